"""Verdicts for new test images keep their error rates in simulated studies: small ones of benchmarks/calibrate_images.

Bounds are binomial at 99.9 %, seeds are fixed: a failure is a change of behaviour, never bad luck.
"""

import numpy as np
import pytest
from calibrate_images import LEVEL, POINTS, ROPE, Design, correct_answers, false_verdicts, rates
from scipy import stats

from convlab.statistics.images import crossed_difference

pytestmark = pytest.mark.slow

LEAST_COVERAGE = 0.93


def at_most(reps: int, rate: float = LEVEL) -> float:
    """Largest share of ``reps`` events of probability ``rate`` that chance explains."""
    return stats.binom.ppf(0.999, reps, rate) / reps


@pytest.mark.parametrize("liking", [0.0, 1.5])
@pytest.mark.parametrize("sd_seed", [0.0, 0.9 * POINTS])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_for_new_images_covers_the_truth_and_its_test_errs_in_at_most_five_percent(seeds, sd_seed, liking):
    measured = rates(Design(seeds, 300, sd_seed, liking), studies=1200)
    assert measured["covered"] >= LEAST_COVERAGE
    assert measured["significant"] <= at_most(1200)


@pytest.mark.parametrize(("seeds", "images", "studies"), [(3, 2_000, 600), (3, 10_000, 250), (10, 10_000, 150)])
def test_the_interval_covers_the_truth_with_more_images_too(seeds, images, studies):
    measured = rates(Design(seeds, images, 0.9 * POINTS, 0.5), studies)
    assert measured["covered"] >= 1 - at_most(studies)
    assert measured["significant"] <= at_most(studies)


def test_the_interval_covers_a_difference_that_there_is_and_finds_it():
    design = Design(5, 2_000, 0.3 * POINTS, 0.5, difference=4 * POINTS)
    measured = rates(design, studies=400)
    assert measured["covered"] >= LEAST_COVERAGE
    assert measured["right"] > 0.99


def test_a_difference_of_the_size_of_the_rope_is_seldom_called_equivalent():
    assert rates(Design(10, 10_000, 0.0, 0.0, difference=ROPE), studies=100)["equivalent"] <= at_most(100)
    assert rates(Design(10, 10_000, 0.0, 0.0), studies=25)["equivalent"] > 0.5, "what makes no difference is"


def test_at_most_five_percent_of_studies_call_any_of_seven_equal_contrasts_better_or_worse():
    assert false_verdicts(Design(5, 300, 0.3 * POINTS, 0.5), contrasts=7, studies=250) <= at_most(250)


def test_intervals_over_seeds_alone_do_not_cover_new_images():
    """What the crossed model is for: with the seeds' scatter alone the images' is missed."""
    generator, covered = np.random.default_rng(0), 0
    for _ in range(200):
        a, b = correct_answers(generator, Design(10, 300, 0.0, 1.5))
        low, high = stats.ttest_1samp(a.mean(axis=1) - b.mean(axis=1), 0).confidence_interval(0.95)
        covered += low <= 0 <= high
    assert covered / 200 < 0.7


def test_the_scatter_over_seeds_is_split_into_what_the_images_cause_and_what_remains():
    """Means over studies of the two variances: that of the true difference, and what 500 images add to it."""
    generator, parts, reps = np.random.default_rng(1), [], 400
    design = Design(5, 500, 0.9 * POINTS, 0.5)
    for _ in range(reps):
        scatter = crossed_difference(*correct_answers(generator, design)).scatter
        parts.append((scatter.on_these_images**2, scatter.by_these_images**2, scatter.on_any_images**2))
        assert parts[-1][0] == pytest.approx(parts[-1][1] + parts[-1][2])
    observed, by_images, on_any = np.mean(parts, axis=0)
    # Of two sides: seeds whose accuracy on all images has an SD of 0.9 pp; the estimate is cut off at 0.
    assert on_any == pytest.approx(2 * (0.9 * POINTS) ** 2, rel=0.3)
    assert by_images == pytest.approx(observed - on_any)
    few, many = (
        np.mean([crossed_difference(*correct_answers(generator, Design(5, n, 0.0, 0.5))).scatter.by_these_images ** 2
                 for _ in range(40)]) for n in (500, 2000)
    )  # fmt: skip
    assert few / many == pytest.approx(4, rel=0.3), "it shrinks with the number of images"


@pytest.mark.parametrize(("design", "narrower"), [
    (Design(3, 10_000, 0.9 * POINTS, 0.0), "seeds"),
    (Design(10, 300, 0.0, 1.5), "images"),
])  # fmt: skip
def test_more_of_what_the_interval_owes_its_width_to_narrows_it_most(design, narrower):
    generator = np.random.default_rng(2)
    results = [crossed_difference(*correct_answers(generator, design)) for _ in range(20)]
    seeds = np.mean([result.half_width_seeds for result in results])
    images = np.mean([result.half_width_images for result in results])
    half = np.mean([result.ci_high - result.difference for result in results])
    assert ("seeds" if seeds < images else "images") == narrower
    assert min(seeds, images) < 0.5 * half and max(seeds, images) <= half


def test_the_named_half_widths_are_what_more_seeds_and_more_images_give():
    """Brute force: fifty times the images and twenty times the seeds, root mean square over studies."""

    def half_width(name: str, seeds: int, images: int, liking: float, studies: int) -> float:
        generator, design = np.random.default_rng(3), Design(seeds, images, 0.9 * POINTS, liking)
        results = [crossed_difference(*correct_answers(generator, design)) for _ in range(studies)]
        present = [(result.ci_high - result.ci_low) / 2 for result in results]
        widths = present if name == "present" else [getattr(result, name) for result in results]
        return float(np.sqrt(np.mean(np.square(widths))))

    more_images = half_width("present", 8, 100_000, 0.5, 15)
    assert half_width("half_width_images", 8, 2_000, 0.5, 200) == pytest.approx(more_images, rel=0.2)
    more_seeds = half_width("present", 160, 2_000, 1.5, 15)
    assert half_width("half_width_seeds", 8, 2_000, 1.5, 200) == pytest.approx(more_seeds, rel=0.2)
