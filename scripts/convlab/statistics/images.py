"""Differences in accuracy that generalise to new test images: seeds crossed with images, both random effects.

References
----------
Jordan (2023), Calibrated chaos: variance between runs of neural network training is harmless and inevitable,
arXiv 2304.01910.
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bull. 2, 110-114.
Searle, Casella & McCulloch (1992), Variance Components, ch. 4.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD, check_fraction, t_critical


@dataclass(frozen=True)
class SeedScatter:
    """Scatter over seeds of a difference in accuracy, split into two sources whose squares add up (Jordan 2023).

    Attributes:
        on_these_images: SD over seeds of the difference on the test images that were used.
        by_these_images: the part that a finite number of test images causes, as an SD: seeds of exactly the same
            quality differ by it. It shrinks with the square root of the number of images.
        on_any_images: what remains, the SD over seeds of the difference on infinitely many images; 0 where the
            estimate of its square is negative.
    """

    on_these_images: float
    by_these_images: float
    on_any_images: float


@dataclass(frozen=True)
class CrossedDifference:
    """Difference in accuracy (a fraction) with an interval for new seeds *and* new images.

    Attributes:
        ci_low, ci_high: interval at the asked confidence; ``ci90_*`` at 1 - 2 (1 - confidence), as in Contrast.
        p_value: two-sided, of no difference; ``p_equivalence`` of two one-sided tests against the ROPE's edges.
        scatter: of the difference over seeds.
        half_width_seeds: half width of the interval if there were infinitely many seeds and as many images; estimated,
            never above the present one.
        half_width_images: likewise of infinitely many images and as many seeds.
    """

    difference: float | None
    n_seeds: int
    n_images: int
    n_missing: int = 0
    se: float | None = None
    df: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci90_low: float | None = None
    ci90_high: float | None = None
    p_value: float | None = None
    p_equivalence: float | None = None
    scatter: SeedScatter | None = None
    half_width_seeds: float | None = None
    half_width_images: float | None = None


def crossed_difference(
    correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95, rope: float = 0.005
) -> CrossedDifference:
    """Accuracy of A minus accuracy of B for new seeds and new images: seeds crossed with images, both random.

    D[s, i] = correct_A - correct_B is a two-way layout without replication: seed effect + image effect + residual.
    Of its grand mean the variance is estimated by (protocol, item 5; expected mean squares of the two-way random model,
    e.g. Searle, Casella & McCulloch, Variance Components, 1992, ch. 4)::

        V = var_s(mean_i D) / S + var_i(mean_s D) / N - MS_residual / (N S)

    since both of the first two terms contain residual / (N S) once. V is floored at the larger of the two terms: more
    sources of variation cannot make the mean more certain. Degrees of freedom by Satterthwaite (1946), with S - 1,
    N - 1 and (S - 1)(N - 1) for the three mean squares, and not below the smaller of S - 1 and N - 1. Coverage in
    simulations: docs/calibration.md.

    The first term less its share of the residual is what infinitely many images would leave of V, the second term less
    its share is what infinitely many seeds would leave: ``half_width_images`` and ``half_width_seeds``, with the
    critical values of S - 1 and of N - 1 degrees of freedom.

    Args:
        correct_a, correct_b: bool or 0/1, shape (seeds, images), the same seeds and images in the same order. A seed
            with a value that is not finite in either is left out and counted.
        confidence: coverage of the interval.
        rope: half width of the region of practical equivalence, a fraction.

    Returns:
        A CrossedDifference; with fewer than three seeds or two images only the difference, and no interval if D does
        not vary.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    check_fraction("confidence", confidence)
    a, b = np.asarray(correct_a, dtype=float), np.asarray(correct_b, dtype=float)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"correct_a and correct_b must share the shape (seeds, images), not {a.shape} and {b.shape}")
    d = a - b
    by_seed = d.mean(axis=1) if d.shape[1] else np.full(len(d), math.nan)
    complete = np.isfinite(by_seed)
    if not complete.all():
        d, by_seed = d[complete], by_seed[complete]
    n_seeds, n_images = d.shape
    difference = float(by_seed.mean()) if d.size else None
    result = CrossedDifference(difference, n_seeds, n_images, int((~complete).sum()))
    return _inferred(result, d, by_seed, confidence, rope) if n_seeds >= MIN_SEEDS and n_images >= 2 else result


def _inferred(
    result: CrossedDifference, d: np.ndarray, by_seed: np.ndarray, confidence: float, rope: float
) -> CrossedDifference:
    """The result with what the differences ``d`` (seeds, images) allow to infer."""
    n_seeds, n_images = d.shape
    df_seeds, df_images = n_seeds - 1, n_images - 1
    seeds = float(np.var(by_seed, ddof=1)) / n_seeds
    images = float(np.var(d.mean(axis=0), ddof=1)) / n_images
    # Sum of squares about both means, by subtraction of the mean and the two main effects from the total.
    total = float(np.vdot(d, d)) - result.difference**2 * d.size
    residual_sum = total - df_seeds * seeds * n_seeds * n_images - df_images * images * n_images * n_seeds
    residual = max(residual_sum, 0.0) / (df_seeds * df_images) / (n_seeds * n_images)
    variance = max(seeds + images - residual, seeds, images)
    if variance <= NO_SPREAD**2:
        return replace(result, se=0.0, scatter=SeedScatter(0.0, 0.0, 0.0))
    df = variance**2 / (seeds**2 / df_seeds + images**2 / df_images + residual**2 / (df_seeds * df_images))
    df = max(df, float(min(df_seeds, df_images)))
    se, confidence_equivalence = math.sqrt(variance), 1 - 2 * (1 - confidence)
    half, half_equivalence = (t_critical(df, level) * se for level in (confidence, confidence_equivalence))
    seeds_left, images_left = max(seeds - residual, 0.0), max(images - residual, 0.0)
    difference = result.difference
    return replace(
        result,
        se=se,
        df=df,
        ci_low=difference - half,
        ci_high=difference + half,
        ci90_low=difference - half_equivalence,
        ci90_high=difference + half_equivalence,
        p_value=float(2 * special.stdtr(df, -abs(difference / se))),
        p_equivalence=float(special.stdtr(df, (abs(difference) - rope) / se)),
        scatter=SeedScatter(*(math.sqrt(n_seeds * part) for part in (seeds, min(residual, seeds), seeds_left))),
        half_width_seeds=min(half, t_critical(df_images, confidence) * math.sqrt(images_left)),
        half_width_images=min(half, t_critical(df_seeds, confidence) * math.sqrt(seeds_left)),
    )
