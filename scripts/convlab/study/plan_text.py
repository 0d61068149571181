"""What `make plan` and `make run` print: table of the variants, number of runs, and the time until the report."""

from collections.abc import Iterable, Sequence

from convlab.common import provenance
from convlab.study import speeds
from convlab.study.durations import study_duration
from convlab.study.estimate import (
    Earlier,
    RunKey,
    architecture_key,
    architectures_left,
    images_of,
    images_per_second,
    job_seconds,
    left_to_train,
    planned_runs,
)
from convlab.study.hypotheses import tested
from convlab.study.schema import Study


def table(study: Study, earlier: Earlier) -> str:
    """One line per dataset and variant: last map, parameters, MACs, receptive field, estimated seconds of a run."""
    blocks = []
    for dataset in study.datasets:
        rows = [("variant", "last map", "parameters", "MACs", "receptive field", "s a run")]
        for name in study.plan.variants:
            if (dataset, name) not in study.plan.costs:
                rows.append((name, "", "known after the describe job", "", "", "?"))
                continue
            entry, seconds = study.plan.costs[dataset, name], job_seconds(study, dataset, name, earlier)
            rows.append(
                (
                    name,
                    "×".join(map(str, entry.feature_map)),
                    f"{entry.parameters:,}",
                    f"{entry.macs:,}",
                    f"{entry.receptive_field} px",
                    "?" if seconds is None else f"{seconds:,.0f}",
                )
            )
        blocks.append(f"{dataset}\n" + aligned(rows))
    return "\n\n".join(blocks)


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows as text, the first column to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return "  ".join(["", first, *(cell.strip().rjust(len(cell)) for cell in others)])

    return "\n".join(map(line, rows))


MAX_LISTED_SPEEDS = 4
"""Speeds that are listed at most; of more the slowest and the fastest are."""


def summary(study: Study, earlier: Earlier, cores: int, parallel: int | None = None, tried: bool = False) -> str:
    """One line: runs in all, runs done, and the estimated time until the report of the present look.

    Args:
        parallel: how many runs are side by side at full speed, where these are not as many as ``cores``.
        tried: whether speeds that are not known were to be measured before.
    """
    plan, counts = study.plan, study.seed_counts
    wanted = planned_runs(study, study.seeds_of)
    done = earlier.done & set(wanted)
    seeds = _number(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    names = _number(len(plan.variants), "variant")
    if plan.trials:
        names = f"({names} + {len(plan.trials)} trials)"
    text = f"{study.study}: {names} × {seeds}"
    if len(study.datasets) > 1:
        text += f" × {len(study.datasets)} datasets"
    text += f" = {_number(len(wanted), 'run')}, {len(done):,} of them done"
    left = left_to_train(study, earlier)
    if not left:
        return f"{text}; nothing is left to train, unless data or code have changed."
    duration = study_duration(study, earlier, parallel or cores)
    if duration is None:
        return f"{text}; {_unknown(study, earlier, left, tried)}."
    stops = any(study.plan.owner(name).training.early_stopping for _, name, _ in left)
    text += f"; the report in {'at most ' * stops}about {_time(duration.seconds)} on {_cores(cores)}"
    text += _processor_and_speeds(study, earlier, left)
    others = duration.unknown_runs
    return (
        f"{text}, and the time of {_number(others, 'run')} more, which cannot be estimated yet."
        if others
        else f"{text}."
    )


def _unknown(study: Study, earlier: Earlier, left: set[RunKey], tried: bool) -> str:
    """Why no time can be estimated; ``tried`` is whether the speed was to be measured."""
    if all(images_of(study, dataset, name, earlier) is None for dataset, name, _ in left):
        return "the time can be estimated once the data are prepared and counted"
    if all((dataset, study.plan.owner(name).name) not in study.plan.costs for dataset, name, _ in left):
        return "the time can be estimated once the models are described"
    if not architectures_left(study, earlier):
        return (
            "the time can be estimated once such models have been trained here, since only convlab's own are measured"
        )
    if tried:
        return "the time is not known, since the speed of this machine could not be measured"
    return "the time is not known, since the speed of this machine has not been measured (`make plan` does that)"


def _processor_and_speeds(study: Study, earlier: Earlier, left: set[RunKey]) -> str:
    """`` of <processor> (images/s of a run: cnn 3,500; dense 61,000)``: what the estimate is about and made of."""
    rates: dict[str, tuple[str, float]] = {}
    for dataset, name in dict.fromkeys((dataset, study.plan.owner(name).name) for dataset, name, _ in sorted(left)):
        per_second = images_per_second(study, dataset, name, earlier)
        if per_second is not None:
            label = name if len(study.datasets) == 1 else f"{name} on {dataset}"
            rates.setdefault(architecture_key(study, dataset, name, earlier), (label, per_second))
    slowest_first = sorted(rates.values(), key=lambda entry: entry[1])
    if len(slowest_first) > MAX_LISTED_SPEEDS:
        slowest_first = [slowest_first[0], slowest_first[-1]]
    joined = (" to " if len(rates) > MAX_LISTED_SPEEDS else "; ").join(
        f"{name} {_rounded(per_second)}" for name, per_second in slowest_first
    )
    where = " with GPU" if speeds.computes_on_gpu() else f" of {provenance.hardware()['processor']}"
    return f"{where} (images/s of a run: {joined})" if joined else where


def _rounded(value: float) -> str:
    """To two significant digits: ``3,500``, ``0.52``."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _time(seconds: float) -> str:
    """``40 seconds``, ``7 minutes``, ``3.5 hours``."""
    if seconds < 180:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:,.0f} minutes"
    return f"{seconds / 3600:,.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} days"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _minutes(seconds: Iterable[float], parallel: int) -> str:
    """``1 minute of training``, ``2 minutes of training``."""
    minutes = f"{sum(seconds) / parallel / 60:,.0f}"
    return f"{minutes} minute{'s' * (minutes != '1')} of training"


def _cores(cores: int) -> str:
    return f"{cores} core{'s' * (cores > 1)}"


def cost_of_looks(study: Study, earlier: Earlier, cores: int, most: int, parallel: int | None = None) -> str:
    """``78 runs, 10 minutes of training on 2 cores``: what a plan costs if all that it tests needs ``most`` seeds.

    Variants that nothing tests, such as those that a probe trains, keep the seeds of the first look.

    Args:
        parallel: as in ``summary``.
    """
    sides, first = set().union(*tested(study)), study.seeds.counts[0]

    def seeds_of(dataset: str, name: str) -> Sequence[int]:
        return study.seeds[: most if (dataset, study.plan.owner(name).name) in sides else first]

    runs = planned_runs(study, seeds_of)
    pairs = {(dataset, name) for dataset, name, _ in runs}
    seconds_of = {(dataset, name): job_seconds(study, dataset, name, earlier) for dataset, name in pairs}
    seconds = [seconds_of[dataset, name] for dataset, name, _ in runs]
    text = f"{len(runs):,} runs"
    return text if None in seconds else f"{text}, {_minutes(seconds, parallel or cores)} on {_cores(cores)}"
