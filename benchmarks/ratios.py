"""Ratios of the speed benchmark round by round, the goals that they are held against, and the tables in the docs.

Ratios are taken within a round, since absolute times drift with the load on a machine.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speed import CONTENDERS, WORKFLOWS, accuracy_text

Rounds = Sequence[Mapping[str, Mapping[str, Any]]]
"""Results by contender of each round; a round that was stopped lacks some."""

WALL_WITHOUT_ONEDNN, WALL, WALL_BFLOAT16 = 0.55, 0.75, 0.4
"""Goals: wall time of the workflow as a share of the notebook's as installed; the first where oneDNN is off there."""

NOT_TRAINING = 0.12
"""Goal: share of the workflow's wall time on all cores that is not training, in float32."""


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    lowest: float
    highest: float

    def text(self, scale: float = 1.0, decimals: int = 2) -> str:
        """``0.71 (0.69 to 0.74)``; of one round its value."""
        median, lowest, highest = (f"{scale * n:,.{decimals}f}" for n in (self.median, self.lowest, self.highest))
        return median if self.lowest == self.highest else f"{median} ({lowest} to {highest})"


@dataclass(frozen=True)
class Goal:
    """A bound for the median of a measure: ``wall`` (share of the notebook's wall time) or ``not_training``."""

    contender: str
    measure: str
    bound: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def values_of(rounds: Rounds, contender: str, measure: str) -> list[float]:
    """A measure of a contender in each round that has it."""
    return [row[contender][measure] for row in rounds if contender in row]


def ratios(rounds: Rounds, contender: str, measure: str = "wall") -> list[float]:
    """A measure as a share of the notebook's in the same round."""
    return [
        row[contender][measure] / row["notebook"][measure] for row in rounds if contender in row and "notebook" in row
    ]


def ratios_without_overhead(rounds: Rounds, contender: str, cores: int) -> list[float]:
    """What a workflow's share of the notebook's wall time would be if all cores trained all of the time.

    The notebook's images/s over all of its wall time, divided by those of ``cores`` training processes together.
    """
    return [
        row["notebook"]["images_per_second"] / (cores * row[contender]["process_images_per_second"])
        for row in rounds
        if contender in row and "notebook" in row
    ]


def goals(onednn_as_installed: bool) -> list[Goal]:
    """The goals on a machine where TensorFlow as installed has oneDNN on, or off."""
    of_float32 = Goal("float32", "wall", WALL if onednn_as_installed else WALL_WITHOUT_ONEDNN)
    of_bfloat16 = [Goal("mixed_bfloat16", "wall", WALL_BFLOAT16)] if onednn_as_installed else []
    return [of_float32, *of_bfloat16, Goal("float32", "not_training", NOT_TRAINING)]


def measured_for(goal: Goal, rounds: Rounds) -> Spread | None:
    """What was measured of a goal's measure; None if nothing was."""
    values = (
        ratios(rounds, goal.contender) if goal.measure == "wall" else values_of(rounds, goal.contender, goal.measure)
    )
    return spread(values) if values else None


def summary(rounds: Rounds, cores: int, onednn_as_installed: bool) -> list[str]:
    """Ratios, goals, and the arithmetic of each goal that is not met, as lines for people."""
    lines = []
    for name, label in CONTENDERS.items():
        if name != "notebook" and (walls := ratios(rounds, name)):
            per_round, cpu = ", ".join(f"{n:.2f}" for n in walls), spread(ratios(rounds, name, "cpu_seconds")).text()
            lines.append(
                f"{label}: {spread(walls).text()} of the notebook's wall time, {cpu} of its CPU time; "
                f"wall time by round: {per_round}"
            )
    explained: set[str] = set()
    for goal in goals(onednn_as_installed):
        reached = measured_for(goal, rounds)
        words, scale = ("of the notebook's wall time", 1) if goal.measure == "wall" else ("% not training", 100)
        text = f"goal: {CONTENDERS[goal.contender]}, at most {scale * goal.bound:g} {words}: "
        if reached is None:
            lines.append(f"{text}not measured")
            continue
        is_met = reached.median <= goal.bound
        lines.append(f"{text}{'met' if is_met else 'NOT MET'}, {reached.text(scale)}")
        if not is_met and goal.contender not in explained:
            explained.add(goal.contender)
            lines += [f"  {line}" for line in arithmetic(rounds, goal.contender, cores)]
    return lines


def arithmetic(rounds: Rounds, contender: str, cores: int) -> list[str]:
    """What a workflow's ratio would be without any overhead, and where its overhead lies; medians of the rounds."""
    lines = []
    if without := ratios_without_overhead(rounds, contender, cores):
        notebook = statistics.median(values_of(rounds, "notebook", "images_per_second"))
        together = cores * statistics.median(values_of(rounds, contender, "process_images_per_second"))
        lines.append(
            f"without any overhead it would be {spread(without).text()}: the notebook takes {notebook:,.0f} images/s "
            f"over all of its time, {cores} training processes {together:,.0f} together"
        )
    parts = shares_of_cores(rounds, contender, cores)
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in parts.items())
    lines.append(f"the cores' time: {shares}")
    waits = medians_by_name(values_of(rounds, contender, "phases"))
    lines.append("wall time: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in waits.items()))
    return lines


def shares_of_cores(rounds: Rounds, contender: str, cores: int) -> dict[str, float]:
    """Medians of how a workflow's cores spent their time, as shares of it."""
    rows = [row[contender] for row in rounds if contender in row]
    return medians_by_name(
        [{name: seconds / cores / row["wall"] for name, seconds in row["core_seconds"].items()} for row in rows]
    )


def medians_by_name(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median over rows of each entry, the largest first."""
    medians = {name: statistics.median(row.get(name, 0.0) for row in rows) for name in rows[0]}
    return dict(sorted(medians.items(), key=lambda item: -item[1]))


def table(figures: Mapping[str, Any]) -> str:
    """The rounds of a speed benchmark as a Markdown table: medians, with lowest and highest."""
    rounds, variant = figures["rounds"], figures["shown_variant"]
    count = max(len(values_of(rounds, name, "wall")) for name in CONTENDERS)
    lines = [
        f"| {figures['study']}, {figures['runs']} runs, {count} round{'s' if count > 1 else ''} "
        f"| wall, s | share of the notebook's | not training, % | images/s | images/s of one process "
        f"| of the GEMM peak, % | accuracy of {variant} in the first round, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, label in CONTENDERS.items():
        if not values_of(rounds, name, "wall"):
            continue
        walls, shares = spread(values_of(rounds, name, "wall")), ratios(rounds, name)
        accuracy = next(row[name] for row in rounds if name in row)["accuracy"][variant]
        of_process = spread(values_of(rounds, name, "process_images_per_second")).text(decimals=0)
        cells = (
            label,
            walls.text(decimals=0),
            "1" if name == "notebook" else spread(shares).text() if shares else "",
            spread(values_of(rounds, name, "not_training")).text(100, 1) if name in WORKFLOWS else "",
            spread(values_of(rounds, name, "images_per_second")).text(decimals=0),
            of_process,
            spread(values_of(rounds, name, "share_of_peak")).text(100, 1),
            accuracy_text(accuracy),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
