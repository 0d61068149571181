"""Hold planned looks against adastop: group-sequential permutation tests on the same simulated and real runs.

adastop is no dependency of the project. It gets an environment of its own, anywhere, which also runs this script::

    python -m venv adastop-venv
    adastop-venv/bin/pip install adastop scipy
    adastop-venv/bin/python benchmarks/adastop_opinion.py

Runs are those of calibrate_sequential with two sides that do not correlate, since adastop does not pair. Of several
contrasts the first has a true difference and the others have none. adastop has no ROPE, so ours has none either; its
"equal" is what the last look left undecided, and counts as inconclusive.

References
----------
Mathieu, Della Vecchia, Shilova, Centa de Medeiros, Kohler, Maillard & Preux (2023), AdaStop: adaptive statistical
testing for sound comparisons of deep RL agents, arXiv 2306.10882.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from adastop import MultipleAgentsComparator
from calibrate_sequential import COUNTS, LEVEL, Design, Settled, draw, markdown, measure, rates, verdicts_of

from convlab.statistics.sequential import looks_of

FOLDER = Path(__file__).resolve().parent
REFERENCE = "cnn"
SEED = 13
VERDICTS = {"larger": "better", "smaller": "worse"}

LEVELS = (LEVEL, LEVEL / 2)
"""Levels that adastop gets. It holds the largest *absolute* difference against a quantile of the *signed* differences
of the permutations (0.1.3), so that each tail gets the level: half of it is what a two-sided test at the level needs.
"""


def by_adastop(runs: np.ndarray, counts: Sequence[int], level: float, permutations: int) -> Settled:
    """What adastop settles in the runs of one study.

    Args:
        runs: shape (the reference and then each contrast's variant, seeds).
        counts: seeds at each look; adastop wants equally many new ones at each.
        permutations: at most so many are drawn; all are taken while there are fewer.
    """
    contrasts = range(len(runs) - 1)
    pairs = np.array([(n + 1, 0) for n in contrasts])
    comparator = MultipleAgentsComparator(
        n=counts[0], K=len(counts), B=permutations, comparisons=pairs, alpha=level, seed=SEED
    )
    settled: dict[int, tuple[str, int]] = {}
    for n_seeds in counts:
        comparator.partial_compare({str(n): side[:n_seeds] for n, side in enumerate(runs)}, verbose=False)
        for n in contrasts:
            decision = comparator.decisions[str(pairs[n])]
            if n not in settled and decision in VERDICTS:
                settled[n] = VERDICTS[decision], n_seeds
        if comparator.is_finished:
            break
    return settled


def by_convlab(runs: np.ndarray, counts: Sequence[int]) -> list[Settled]:
    """What our looks settle in each of several studies; runs as from ``calibrate_sequential.draw``."""
    looks = looks_of(counts)
    measured = measure(runs, looks, rope=0.0)
    return [verdicts_of(measured, study, looks, rope=0.0) for study in range(len(runs))]


def verdict(settled: Settled, contrast: int) -> str:
    return settled[contrast][0] if contrast in settled else "inconclusive"


def agreement(ours: Sequence[Settled], theirs: Sequence[Settled], n_contrasts: int) -> tuple[float, float, float]:
    """Shares of contrasts with the same verdict, settled by us alone, and settled by the others alone.

    What remains of 1 are opposite verdicts.
    """
    pairs = [
        (verdict(mine, n), verdict(other, n))
        for mine, other in zip(ours, theirs, strict=True)
        for n in range(n_contrasts)
    ]
    same = [mine == other for mine, other in pairs]
    only_mine = [other == "inconclusive" != mine for mine, other in pairs]
    only_other = [mine == "inconclusive" != other for mine, other in pairs]
    return float(np.mean(same)), float(np.mean(only_mine)), float(np.mean(only_other))


def simulated_rows(studies: int, permutations: int) -> Iterator[tuple[str, ...]]:
    """Error rate, power, seeds and agreement, by number of contrasts, true difference and method."""
    for k in (1, 2):
        for difference in (0.0, 1.2, 2.0):
            design = Design((difference, *[0.0] * (k - 1)), correlation=0.0)
            runs = draw(design, COUNTS[-1], studies, np.random.default_rng(SEED))
            cell, ours = (str(k), f"{difference:g} SD" if difference else "none"), by_convlab(runs, COUNTS)
            yield (*cell, "convlab, 5 %", *rates_as_text(design, ours), "", "", "")
            for level in LEVELS:
                theirs = [by_adastop(study, COUNTS, level, permutations) for study in runs]
                shares = [f"{100 * share:.0f} %" for share in agreement(ours, theirs, k)]
                yield (*cell, f"adastop, {100 * level:g} %", *rates_as_text(design, theirs), *shares)


def rates_as_text(design: Design, results: Sequence[Settled]) -> tuple[str, str, str]:
    measured = rates(design, results, COUNTS[-1])
    can_err = 0.0 in design.differences
    return (
        f"{100 * measured.false:.1f} %" if can_err else f"({100 * measured.false:.1f} %)",
        f"{measured.power:.2f}" if any(design.differences) else "",
        f"{measured.seeds:.1f}",
    )


def real_rows(table: str, counts: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Verdicts on a table of real runs, read as if its seeds had come in looks."""
    runs = pd.read_csv(FOLDER / "data" / f"{table}.csv").pivot(index="variant", columns="seed", values="test_accuracy")
    variants = [name for name in runs.index if name != REFERENCE]
    sides = runs.loc[[REFERENCE, *variants]].to_numpy()[:, : counts[-1]]
    # All permutations of three looks are 8,000: none is drawn.
    results = [*by_convlab(sides[None], counts), *(by_adastop(sides, counts, level, 10_000) for level in LEVELS)]
    for n, name in enumerate(variants):
        texts = (f"{verdict(of, n)}, {of[n][1]} seeds" if n in of else "inconclusive" for of in results)
        difference = 100 * (sides[n + 1].mean() - sides[0].mean())
        yield (f"{name} − {REFERENCE}", f"{difference:+.2f}".replace("-", "−"), *texts)


def one_look(studies: int) -> str:
    """Error rates where adastop does nothing but a permutation test: one contrast, one look, all 252 permutations."""
    runs = draw(Design((0.0,), correlation=0.0), 5, studies, np.random.default_rng(SEED))
    errors = [np.mean([bool(by_adastop(study, (5,), level, 500)) for study in runs]) for level in LEVELS]
    texts = [f"{100 * error:.1f} % at {100 * level:g} %" for error, level in zip(errors, LEVELS, strict=True)]
    return f"One look at 5 seeds, no difference, {studies} studies: adastop errs in {' and '.join(texts)}."


def tables(studies: int, permutations: int) -> str:
    """Both tables as Markdown, and error rates of a single look."""
    simulated = [
        (
            *("contrasts", "difference of the first", "by", "studies with a false verdict", "power", "mean seeds"),
            *("same verdict as convlab", "settled by convlab alone", "by adastop alone"),
        ),
        *simulated_rows(studies, permutations),
    ]
    levels = [f"adastop, {100 * level:g} %" for level in LEVELS]
    real = [
        ("contrast", "difference after 9 seeds, pp", "convlab, 5 %", *levels),
        *real_rows("digits_kernels", (3, 6, 9)),
    ]
    heading = "digits_kernels, looks at 3, 6 and 9 seeds:"
    return f"{markdown(simulated)}\n{heading}\n\n{markdown(real)}\n{one_look(5 * studies)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="simulated studies of each cell")
    parser.add_argument("--permutations", type=int, default=500, help="that adastop draws at most")
    arguments = parser.parse_args()
    print(tables(arguments.studies, arguments.permutations))


if __name__ == "__main__":
    main()
