"""How often the rule of choice takes the truly best variant, and how optimistic the quoted score is: simulated.

A run's true accuracy is its variant's mean, a deviation of its seed that all variants share, and one of its own. Its
validation score adds the sampling error of the validation images, which are the same for all variants of a seed and
new ones for the next seed: most of that error is shared, since models mostly fail on the same images.

``python benchmarks/choice_simulation.py`` prints the tables of docs/calibration.md.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from convlab.results.choice import chosen_run
from convlab.results.choice_margin import choice_margin

EQUIVALENT = 0.005
"""Differences up to this fraction count as none in practice, as a study's ROPE by default."""


@dataclass(frozen=True)
class Design:
    """A study: seeds, the variants' true mean accuracies (the first has the fewest MACs), and what scatters.

    Attributes:
        sd: SD over seeds of a run's true accuracy, a fraction.
        correlation: of two variants' true accuracies over seeds.
        validation_images: validation images of a run.
        shared_images: share of a score's sampling variance that the variants of a seed have in common.
    """

    n_seeds: int
    means: tuple[float, ...]
    sd: float = 0.006
    correlation: float = 0.5
    validation_images: int = 6000
    shared_images: float = 0.6


@dataclass(frozen=True)
class Achieved:
    """What a rule of choice achieves, means over studies.

    Attributes:
        best: share of studies in which the truly best variant was chosen.
        loss: true mean accuracy that was given away, a fraction.
        equivalent: share of studies in which no more than ``EQUIVALENT`` was given away.
        score_bias: validation score of the chosen run minus its true accuracy.
        mean_bias: the chosen variant's mean validation score minus its true mean.
        rank: MACs of the chosen variant as a rank, 1 for the fewest.
        optimism: what :func:`choice_margin` states, the rule of the suite only.
    """

    best: float
    loss: float
    equivalent: float
    score_bias: float
    mean_bias: float
    rank: float
    optimism: float = math.nan


def draw(design: Design, studies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True accuracies and validation scores of all runs, shape (studies, seeds, variants) each."""
    generator = np.random.default_rng(seed)
    shape = (studies, design.n_seeds, len(design.means))

    def deviations(sd: float, shared: float) -> np.ndarray:
        common = generator.normal(0, sd * math.sqrt(shared), (*shape[:2], 1))
        return common + generator.normal(0, sd * math.sqrt(1 - shared), shape)

    true = np.asarray(design.means) + deviations(design.sd, design.correlation)
    accuracy = float(np.mean(design.means))
    error = math.sqrt(accuracy * (1 - accuracy) / design.validation_images)
    return true, true + deviations(error, design.shared_images)


def table(scores: np.ndarray) -> pd.DataFrame:
    """Runs of one study as the rule takes them, from scores of shape (seeds, variants)."""
    n_seeds, n_variants = scores.shape
    variants = np.tile(np.arange(n_variants), n_seeds)
    return pd.DataFrame(
        {
            "variant": variants.astype(str),
            "seed": np.repeat(np.arange(n_seeds), n_variants),
            "macs": variants,
            "val_accuracy": scores.ravel(),
            "status": "finished",
        }
    )


def nearest_to_mean(scores: np.ndarray) -> int:
    """Index of the run whose score is nearest to the mean of the scores (seeds,)."""
    return int(np.abs(scores - scores.mean()).argmin())


def choices(scores: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """Each rule's (name, variant, seed) in one study; scores have the shape (seeds, variants)."""
    variant, seed = chosen_run(table(scores))
    yield "highest mean", int(variant), seed
    seed, top = np.unravel_index(scores.argmax(), scores.shape)
    yield "highest score of a run", int(top), int(seed)
    means = scores.mean(axis=0)
    behind = means.max() - means
    differences = scores[:, [means.argmax()]] - scores
    errors = differences.std(axis=0, ddof=1) / math.sqrt(len(scores))
    for name, kept in (
        ("fewest MACs within one standard error", behind <= errors),
        ("fewest MACs within 0.5 pp", behind <= EQUIVALENT),
    ):
        variant = int(np.flatnonzero(kept)[0])
        yield name, variant, nearest_to_mean(scores[:, variant])


def compare_rules(design: Design, studies: int, seed: int) -> Mapping[str, Achieved]:
    """What the suite's rule and three others achieve in the same studies; three seeds or more."""
    true, scores = draw(design, studies, seed)
    means = np.asarray(design.means)
    rows: dict[str, list[tuple[float, ...]]] = {}
    stated = []
    for true_study, scores_study in zip(true, scores, strict=True):
        for name, variant, run in choices(scores_study):
            loss = means.max() - means[variant]
            score_bias = scores_study[run, variant] - true_study[run, variant]
            mean_bias = scores_study[:, variant].mean() - means[variant]
            row = (loss == 0, loss, loss <= EQUIVALENT + 1e-9, score_bias, mean_bias, variant + 1)
            rows.setdefault(name, []).append(row)
            if name == "highest mean":
                macs = {str(number): number for number in range(len(means))}
                stated.append(choice_margin(table(scores_study), str(variant), macs).optimism)
    optimism = {"highest mean": float(np.mean(stated))}
    return {
        name: Achieved(*np.mean(values, axis=0).tolist(), optimism.get(name, math.nan)) for name, values in rows.items()
    }


def share_told_apart(design: Design, studies: int, seed: int) -> float:
    """Share of studies in which the variant with the highest mean is told apart from any other, by validation data."""
    macs = {str(number): number for number in range(len(design.means))}
    _true, scores = draw(design, studies, seed)
    n_apart = 0
    for scores_study in scores:
        runs = table(scores_study)
        margin = choice_margin(runs, chosen_run(runs)[0], macs)
        n_apart += len(margin.equals) < margin.n_candidates - 1
    return n_apart / studies


CASES = {
    "equal": (0.90, 0.90, 0.90, 0.90),
    "0.2 pp": (0.90, 0.90, 0.90, 0.902),
    "0.5 pp": (0.90, 0.90, 0.90, 0.905),
    "1 pp": (0.90, 0.90, 0.90, 0.91),
    "0.5 pp, fewest MACs": (0.905, 0.90, 0.90, 0.90),
}
"""True means of four variants by the lead of the best one, which has the most MACs unless the name says otherwise."""

HEAD = """| seeds | validation images | rule | best chosen: ahead by 0.2 pp | 0.5 pp | 1 pp | 0.5 pp, with the \
fewest MACs | given away at most, pp | score of the run too high by, pp | mean too high by, pp (stated) | MACs, rank |
|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"""
"""Heading of the table; the last three columns are of four equal variants."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=600, help="simulated studies of each cell")
    arguments = parser.parse_args()
    print(HEAD)
    for n_seeds, images in ((3, 500), (3, 6000), (5, 6000), (10, 6000)):
        achieved = {
            case: compare_rules(Design(n_seeds, means, validation_images=images), arguments.studies, seed=0)
            for case, means in CASES.items()
        }
        for rule, equal in achieved["equal"].items():
            best = [f"{100 * achieved[case][rule].best:.0f} %" for case in CASES if case != "equal"]
            loss = max(achieved[case][rule].loss for case in CASES)
            stated = "" if math.isnan(equal.optimism) else f" ({100 * equal.optimism:.2f})"
            biases = (f"{100 * equal.score_bias:.2f}", f"{100 * equal.mean_bias:.2f}{stated}", f"{equal.rank:.1f}")
            print("|", " | ".join([str(n_seeds), f"{images:,}", rule, *best, f"{100 * loss:.2f}", *biases]), "|")


if __name__ == "__main__":
    main()
