"""Calibration of paired comparisons: error rates, coverage, power and seeds by the correlation of runs over seeds.

Prints Markdown tables for docs/calibration.md. Studies are drawn from normal distributions in which the runs of one
seed share a part of their scatter, with a fixed seed: the same numbers on every machine. `--studies` sets how many.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from convlab.statistics.comparisons import Contrast, compare_to_reference, verdict
from convlab.statistics.dunnett import chi_nodes, dunnett_critical

LEVEL, POWER = 0.05, 0.8
SEEDS = (3, 5, 10, 20)
CORRELATIONS = (0.0, 0.4, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="simulated experiments for each cell")
    arguments = parser.parse_args()
    print(f"Type-I error and coverage, {arguments.studies} experiments a cell, in %:\n")
    print_errors(arguments.studies)
    print(f"\nSDs that differ: experiments with a false difference, {arguments.studies} a cell, in %:\n")
    print_unequal(arguments.studies)
    print(f"\nA true difference of the detectable size: studies with its verdict, {50 * arguments.studies} a cell:\n")
    print_detectable(arguments.studies)
    print("\nSeeds for the same power (80 %) as the unpaired test, by numerical integration:\n")
    print_seeds()


def experiments(generator: np.random.Generator, studies: int, seeds: int, sds: NDArray, correlation: float) -> NDArray:
    """Accuracies of shape (studies, seeds, variants): a part that the seed's runs share, and a part of each run."""
    shared = math.sqrt(correlation) * generator.normal(0, 1, (studies, seeds, 1))
    own = math.sqrt(1 - correlation) * generator.normal(0, 1, (studies, seeds, len(sds))) * sds
    return 0.9 + 0.003 * (shared + own)


def contrasts(table: NDArray, **options) -> list[Contrast]:
    return list(compare_to_reference(pd.DataFrame(table).rename(columns=str), "0", **options).values())


def table_row(cells: list) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def print_errors(studies: int) -> None:
    print(table_row(["variants", "seeds", *(f"correlation {c:g}: error, coverage" for c in CORRELATIONS)]))
    print(table_row(["---"] * (2 + len(CORRELATIONS))))
    for variants in (1, 2, 5):
        for seeds in SEEDS:
            cells = []
            for correlation in CORRELATIONS:
                generator = np.random.default_rng([variants, seeds, int(10 * correlation)])
                drawn = [
                    contrasts(table)
                    for table in experiments(generator, studies, seeds, np.ones(variants + 1), correlation)
                ]
                errors = np.mean([min(c.p_value for c in study) < LEVEL for study in drawn])
                covered = np.mean([all(c.ci_low <= 0 <= c.ci_high for c in study) for study in drawn])
                cells.append(f"{100 * errors:.1f}, {100 * covered:.1f}")
            print(table_row([variants, seeds, *cells]), flush=True)


def print_unequal(studies: int) -> None:
    cases = {
        "reference 2 : 1": lambda k: [2.0] + [1.0] * k,
        "reference 2.5 : 1": lambda k: [2.5] + [1.0] * k,
        "one variant 2.5 : 1": lambda k: [1.0, 2.5] + [1.0] * (k - 1),
    }
    print(table_row(["SDs", "variants", *(f"{seeds} seeds" for seeds in SEEDS)]))
    print(table_row(["---"] * (2 + len(SEEDS))))
    for name, sds in cases.items():
        for variants in (1, 2, 5):
            cells = []
            for seeds in SEEDS:
                generator = np.random.default_rng([variants, seeds, len(name)])
                tables = experiments(generator, studies, seeds, np.array(sds(variants)), 0.4)
                errors = np.mean([min(c.p_value for c in contrasts(table)) < LEVEL for table in tables])
                cells.append(f"{100 * errors:.1f}")
            print(table_row([name, variants, *cells]), flush=True)


def print_detectable(studies: int) -> None:
    print(table_row(["hypotheses", *(f"{seeds} seeds" for seeds in SEEDS[:3])]))
    print(table_row(["---"] * 4))
    for family in (1, 7, 12):
        cells = []
        for seeds in SEEDS[:3]:
            generator = np.random.default_rng([family, seeds])
            sd = 0.002
            pairs = generator.normal(0, 1, (10, seeds))[0]
            pairs = sd * math.sqrt(2) * (pairs - pairs.mean()) / pairs.std(ddof=1)
            (stated,) = contrasts(np.stack([np.full(seeds, 0.9), 0.9 + pairs], axis=1), family=family)
            pairs = stated.detectable + math.sqrt(2) * sd * generator.normal(0, 1, (50 * studies, seeds))
            means, errors = pairs.mean(axis=1), pairs.std(axis=1, ddof=1) / math.sqrt(seeds)
            p_values = 2 * special.stdtr(seeds - 1, -np.abs(means) / errors)
            # As verdict() decides on one contrast; the first ones are held against it.
            reached = (family * p_values < LEVEL) & (means > stated.rope)
            for study, better in zip(pairs[:50], reached[:50], strict=True):
                (contrast,) = contrasts(np.stack([np.full(seeds, 0.9), 0.9 + study], axis=1), family=family)
                if (verdict(contrast, min(1.0, family * contrast.p_value)) == "better") != better:
                    raise RuntimeError("the simulation decides otherwise than the library")
            cells.append(f"{100 * reached.mean():.1f} %")
        print(table_row([family, *cells]), flush=True)


def power(ncp: float, critical: float, df: float) -> float:
    """Probability that a t statistic with this noncentrality exceeds a critical value, either side."""
    u, weight = chi_nodes(float(df))
    return float(weight @ (special.ndtr(ncp - critical * u) + special.ndtr(-ncp - critical * u)))


def paired_seeds(variants: int, effect: float) -> float:
    """Seeds with which the paired test finds a difference of ``effect`` SDs of a paired difference, as a fraction."""

    def missing(n: float) -> float:
        df = variants * (n - 1)
        # The correlation of contrasts with equal numbers of seeds is one half, whatever the number.
        critical = dunnett_critical((10,) * variants, 10, df)
        return power(effect * math.sqrt(n), critical, df) - POWER

    return optimize.brentq(missing, 1.5, 60)


def print_seeds() -> None:
    """Seeds of the paired design, fractions of a seed included, that have the power of the unpaired one."""
    print(table_row(["variants", "unpaired seeds", *(f"correlation {c:g}" for c in (0.0, 0.4, 0.6, 0.8))]))
    print(table_row(["---"] * 6))
    for variants in (1, 2, 5):
        for unpaired in (5, 10, 15, 20):
            df = (variants + 1) * (unpaired - 1)
            critical = dunnett_critical((unpaired,) * variants, unpaired, df)
            ncp = optimize.brentq(lambda x, c=critical, df=df: power(x, c, df) - POWER, 0, 50)
            difference = ncp * math.sqrt(2 / unpaired)  # in SDs of a run
            cells = [
                f"{paired_seeds(variants, difference / math.sqrt(2 * (1 - correlation))):.1f}"
                for correlation in (0.0, 0.4, 0.6, 0.8)
            ]
            print(table_row([variants, unpaired, *cells]), flush=True)


if __name__ == "__main__":
    main()
