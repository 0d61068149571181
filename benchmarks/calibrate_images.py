"""Calibration of verdicts for new test images, by simulation: coverage, type-I error and power, as Markdown tables.

`make calibrate` runs it; the tables are in docs/calibration.md. Each simulated study draws fresh images, with a
difficulty and a liking for one of two models each, and fresh seeds; the two models are equally good on all images there
are, or `difference` apart. tests/test_calibration_images.py holds small versions to their bounds.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from convlab.statistics.comparisons import Contrast, verdict
from convlab.statistics.images import CrossedDifference, crossed_difference
from convlab.statistics.multiplicity import holm

POINTS = 0.01
"""One percentage point, as a fraction."""

LEVEL = 0.05
ROPE = 0.5 * POINTS

LIKINGS = (0.0, 0.5, 1.5)
"""SDs over images of half the difference of two models' log odds of being right."""


@dataclass(frozen=True)
class Design:
    """A study of two models.

    Attributes:
        sd_seed: SD over seeds of the accuracy on all images there are, a fraction.
        liking: SD over images of half the difference of the two models' log odds of being right.
        difference: of the two accuracies on all images there are, a fraction.
    """

    seeds: int
    images: int
    sd_seed: float
    liking: float
    difference: float = 0.0


def correct_answers(generator: np.random.Generator, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Whether each run of the two models is right, bool (seeds, images) each; about 90 % are.

    The probability of being right is that of a beta distribution with many easy images. Its log odds move up for one
    model and down for the other by the image's liking, a normal deviate, so that on all images the models are equally
    good. Seed effects and the difference act on images in doubt, as changes of the accuracy.
    """
    probability = generator.beta(4.5, 0.5, design.images).astype(np.float32)
    log_odds = special.logit(np.clip(probability, 1e-6, 1 - 1e-6))
    liking = generator.normal(0, design.liking, design.images).astype(np.float32)
    answers = []
    for side in (1, -1):
        right = special.expit(log_odds + side * liking)
        doubt = right * (1 - right) / MEAN_DOUBT[design.liking]
        effects = generator.normal(side * design.difference / 2, design.sd_seed, (design.seeds, 1)).astype(np.float32)
        answers.append(generator.random((design.seeds, design.images), dtype=np.float32) < right + effects * doubt)
    return answers[0], answers[1]


def _mean_doubt(liking: float) -> float:
    """Mean of p (1 - p) over all images, by which an effect on the images in doubt is one on the accuracy."""
    generator = np.random.default_rng(0)
    log_odds = special.logit(np.clip(generator.beta(4.5, 0.5, 400_000), 1e-6, 1 - 1e-6))
    right = special.expit(log_odds + generator.normal(0, liking, len(log_odds)))
    return float(np.mean(right * (1 - right)))


MEAN_DOUBT = {liking: _mean_doubt(liking) for liking in LIKINGS}


def verdict_for(crossed: CrossedDifference, p_adjusted: float | None, tested: int = 1) -> str:
    """The verdict on new images of one of ``tested`` contrasts, as a study reaches it."""
    if crossed.p_value is None:
        return "inconclusive"
    contrast = Contrast(
        "a", "b", crossed.n_seeds, crossed.n_seeds, crossed.difference, crossed.ci_low, crossed.ci_high,
        crossed.ci90_low, crossed.ci90_high, crossed.p_value, method="seeds crossed with images",
        n_seeds=crossed.n_seeds, rope=ROPE,
    )  # fmt: skip
    return verdict(contrast, p_adjusted, min(1.0, tested * crossed.p_equivalence))


def rates(design: Design, studies: int, seed: int = 0) -> dict[str, float]:
    """Shares of simulated studies: interval covers the truth, p below 5 %, right verdict, equivalent."""
    generator = np.random.default_rng([seed, design.seeds, design.images, int(1e4 * design.sd_seed)])
    counts = dict.fromkeys(("covered", "significant", "right", "equivalent"), 0)
    for _ in range(studies):
        crossed = crossed_difference(*correct_answers(generator, design), rope=ROPE)
        reached = verdict_for(crossed, crossed.p_value)
        none = crossed.ci_low is None
        counts["covered"] += none or crossed.ci_low <= design.difference <= crossed.ci_high
        counts["significant"] += not none and crossed.p_value < LEVEL
        counts["right"] += reached == ("better" if design.difference > 0 else "worse")
        counts["equivalent"] += reached == "equivalent"
    return {name: count / studies for name, count in counts.items()}


def false_verdicts(design: Design, contrasts: int, studies: int, seed: int = 0) -> float:
    """Share of studies of so many independent contrasts without a difference in which any is called better or worse."""
    generator = np.random.default_rng([seed, contrasts, design.seeds, design.images])
    wrong = 0
    for _ in range(studies):
        crossed = [crossed_difference(*correct_answers(generator, design), rope=ROPE) for _ in range(contrasts)]
        adjusted = holm([result.p_value for result in crossed])
        reached = {verdict_for(result, p, contrasts) for result, p in zip(crossed, adjusted, strict=True)}
        wrong += bool(reached & {"better", "worse"})
    return wrong / studies


def markdown(studies: int) -> str:
    """The tables of docs/calibration.md about verdicts for new images."""
    lines = [
        f"{studies:,} studies a row; about 90 % of the images are classified rightly. Type-I error: p < 5 % where the "
        "two models are equally good on all images there are. Power: the verdict better where one is 2 pp ahead. False "
        "equivalence: where it is ahead by exactly the ROPE, 0.5 pp.",
        "",
        "| seeds | test images | SD of accuracy over seeds | SD of the images' liking | coverage | type-I error "
        "| power | false equivalence |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for images in (300, 2_000, 10_000):
        for seeds in (3, 5, 10):
            for sd_seed in (0.0, 0.9 * POINTS):
                for liking in LIKINGS[1:]:
                    null, ahead, edge = (
                        rates(Design(seeds, images, sd_seed, liking, difference), studies)
                        for difference in (0.0, 2 * POINTS, ROPE)
                    )
                    shares = (null["covered"], null["significant"], ahead["right"], edge["equivalent"])
                    cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
                    lines.append(f"| {seeds} | {images:,} | {100 * sd_seed:.1f} pp | {liking:g} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1_000, help="simulated studies a row")
    print(markdown(parser.parse_args().studies))


if __name__ == "__main__":
    main()
