"""Simulate studies with planned looks: error rates over all looks, power, seeds needed. Prints Markdown tables.

Runs are normal; the two sides of a difference are correlated over seeds, and all contrasts share their reference. Each
contrast is a question of its own, tested by the paired t test of its seeds, and equivalence by two one-sided tests.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from convlab.statistics import sequential
from convlab.statistics.sequential import Look, adjust_at_look, adjust_equivalences_at_look, looks_of, replay

LEVEL = 0.05
COUNTS = (3, 6, 9, 12, 15)

Settled = Mapping[int, tuple[str, int]]
"""The verdict of each contrast that a study settled, and the seeds that it had then."""


@dataclass(frozen=True)
class Design:
    """Studies of one kind.

    Attributes:
        differences: true difference of each contrast, in SDs of the reference's runs.
        sd: SD of a variant's runs, over that of the reference.
        correlation: of two variants over seeds.
        rope: half width of the region of practical equivalence, in SDs of the reference's runs.
    """

    differences: tuple[float, ...]
    sd: float = 1.0
    correlation: float = 0.5
    rope: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Difference, p value and p value of equivalence at every look; shape (studies, contrasts, looks)."""

    difference: np.ndarray
    p_value: np.ndarray
    p_equivalence: np.ndarray


def draw(design: Design, most: int, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Simulate runs; shape (studies, the reference and then each contrast's variant, ``most`` seeds)."""
    k = len(design.differences)
    shared = rng.standard_normal((studies, 1, most)) * np.sqrt(design.correlation)
    own = rng.standard_normal((studies, k + 1, most)) * np.sqrt(1 - design.correlation)
    return (shared + own) * np.array([1.0, *[design.sd] * k])[:, None] + np.array([0.0, *design.differences])[:, None]


def measure(runs: np.ndarray, looks: Sequence[Look], rope: float) -> Measured:
    """Test every contrast at every look; runs as from :func:`draw`."""
    paired, results = runs[:, 1:] - runs[:, :1], []
    for look in looks:
        seen = paired[:, :, : look.n_seeds]
        mean, se, df = seen.mean(axis=2), seen.std(axis=2, ddof=1) / np.sqrt(look.n_seeds), look.n_seeds - 1
        p_value = 2 * special.stdtr(df, -np.abs(mean / se))
        inside = special.stdtr(df, (np.abs(mean) - rope) / se) if rope else np.ones_like(mean)
        results.append((mean, p_value, inside))
    return Measured(*(np.stack(part, axis=2) for part in zip(*results, strict=True)))


def verdicts_of(measured: Measured, study: int, looks: Sequence[Look], rope: float) -> Settled:
    """What the looks of one study decide, by the functions that decide real ones."""
    questions = [(str(number),) for number in range(measured.p_value.shape[1])]

    def at_look(values: np.ndarray, look: Look) -> dict[tuple[str, ...], dict[str, float | None]]:
        return {key: {"": float(values[study, n, look.number - 1])} for n, key in enumerate(questions)}

    def analyse(look: Look, settled):
        adjusted = adjust_at_look(at_look(measured.p_value, look), look.share, settled)
        same = adjust_equivalences_at_look(at_look(measured.p_equivalence, look), len(questions), look.share)
        verdicts = {}
        for number, key in enumerate(questions):
            difference = measured.difference[study, number, look.number - 1]
            if adjusted[key][""] < LEVEL and abs(difference) > rope:
                verdicts[key, ""] = "better" if difference > 0 else "worse"
            else:
                verdicts[key, ""] = "equivalent" if same[key][""] < LEVEL else "inconclusive"
        return verdicts

    settled = replay(looks, analyse, lambda look, hypothesis: True).settled
    return {int(key[0]): (verdict, look.n_seeds) for (key, _), (verdict, look) in settled.items()}


@dataclass(frozen=True)
class Rates:
    """``false``: share of studies that hold any false verdict; ``power``: share of true differences that are settled
    rightly; ``seeds``: mean seeds of a contrast."""

    false: float
    power: float
    seeds: float


def simulate(design: Design, studies: int, seed: int, counts: Sequence[int] = COUNTS) -> Rates:
    """Error rate over all looks, power and seeds of ``studies`` simulated studies."""
    looks = looks_of(counts)
    measured = measure(draw(design, counts[-1], studies, np.random.default_rng(seed)), looks, design.rope)
    return rates(design, [verdicts_of(measured, study, looks, design.rope) for study in range(studies)], counts[-1])


def rates(design: Design, results: Sequence[Settled], most: int) -> Rates:
    """Error rate, power and seeds of studies; what is unsettled has the ``most`` seeds."""
    contrasts = range(len(design.differences))
    true = [n for n in contrasts if design.differences[n]]
    false, right, seeds = 0, 0, 0.0
    for settled in results:
        wrong = {n for n, (verdict, _) in settled.items() if is_false(verdict, design.differences[n], design.rope)}
        false += bool(wrong)
        right += sum(n in settled and n not in wrong for n in true)
        seeds += np.mean([settled[n][1] if n in settled else most for n in contrasts])
    studies = len(results)
    return Rates(false / studies, right / (studies * len(true)) if true else float("nan"), seeds / studies)


def is_false(verdict: str, difference: float, rope: float) -> bool:
    """Whether a verdict is wrong, of a contrast with this true difference."""
    if verdict == "equivalent":
        return abs(difference) >= rope
    return difference == 0 or (verdict == "better") != (difference > 0)


def error_rows(studies: int) -> Iterator[tuple[str, ...]]:
    """Family-wise error rates: no true difference, all equal to the ROPE, and half of them real."""
    for k in (1, 2, 4, 8, 12):
        for sd in (1.0, 2.5):
            row = [str(k), "1 : 1" if sd == 1 else "2.5 : 1"]
            for differences, rope in (((0.0,) * k, 0.0), ((0.0,) * k, 2.0), ((2.0,) * k, 2.0)):
                rate = simulate(Design(differences, sd, rope=rope), studies, seed=k).false
                row.append(f"{100 * rate:.1f} %")
            yield tuple(row)


def spending_rows(studies: int) -> Iterator[tuple[str, ...]]:
    """Power and seeds by the exponent of the spending function, for the choice of POWER."""
    for k, difference in ((1, 1.2), (1, 2.0), (5, 1.2), (5, 2.0)):
        row = [str(k), f"{difference:g} SD"]
        for power in (1.0, 1.5, 2.0, 2.5, 3.0):
            sequential.POWER = power
            rates = simulate(Design((difference,) + (0.0,) * (k - 1), correlation=0.0), studies, seed=7)
            row.append(f"{rates.power:.2f}, {rates.seeds:.1f}")
        sequential.POWER = 2.0
        yield tuple(row)


def tables(studies: int) -> str:
    """Both tables as Markdown."""
    errors = [
        ("contrasts", "SD", "false better or worse", "the same, with equivalence (ROPE of 2 SD)", "false equivalent"),
        *error_rows(studies),
    ]
    spending = [
        ("contrasts", "one true difference", *(f"t^{p:g}" for p in (1.0, 1.5, 2.0, 2.5, 3.0))),
        *spending_rows(studies),
    ]
    return f"{markdown(errors)}\nPower of that difference, and mean seeds of a contrast:\n\n{markdown(spending)}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="simulated studies of each cell")
    print(tables(parser.parse_args().studies))


if __name__ == "__main__":
    main()
