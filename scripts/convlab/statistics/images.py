"""Differences in accuracy that generalise to new test images: seeds crossed with images, both random effects.

References
----------
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bull. 2, 110-114.
Searle, Casella & McCulloch (1992), Variance Components, ch. 4.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD, check_fraction


@dataclass(frozen=True)
class CrossedDifference:
    """Difference in accuracy (a fraction) with an interval for new seeds *and* new images."""

    difference: float | None
    se: float | None
    df: float | None
    ci_low: float | None
    ci_high: float | None
    n_seeds: int
    n_images: int
    p_value: float | None = None
    n_missing: int = 0


def crossed_difference(correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95) -> CrossedDifference:
    """Accuracy of A minus accuracy of B for new seeds and new images: seeds crossed with images, both random.

    D[s, i] = correct_A - correct_B is a two-way layout without replication: seed effect + image effect + residual.
    Of its grand mean the variance is estimated by (protocol, item 5; expected mean squares of the two-way random model,
    e.g. Searle, Casella & McCulloch, Variance Components, 1992, ch. 4)::

        V = var_s(mean_i D) / S + var_i(mean_s D) / N - MS_residual / (N S)

    since both of the first two terms contain residual / (N S) once. V is floored at the larger of the two terms: more
    sources of variation cannot make the mean more certain. Degrees of freedom by Satterthwaite (1946), with S - 1,
    N - 1 and (S - 1)(N - 1) for the three mean squares, and not below the smaller of S - 1 and N - 1.

    Args:
        correct_a, correct_b: bool or 0/1, shape (seeds, images), the same seeds and images in the same order. A seed
            with a value that is not finite in either is left out and counted.
        confidence: coverage of the interval.

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
    complete = np.isfinite(d).all(axis=1)
    n_missing = int((~complete).sum())
    d = d[complete]
    n_seeds, n_images = d.shape
    if d.size == 0:
        return CrossedDifference(None, None, None, None, None, n_seeds, n_images, None, n_missing)
    difference = float(d.mean())
    if n_seeds < MIN_SEEDS or n_images < 2:
        return CrossedDifference(difference, None, None, None, None, n_seeds, n_images, None, n_missing)

    by_seed, by_image = d.mean(axis=1), d.mean(axis=0)
    seeds = float(np.var(by_seed, ddof=1)) / n_seeds
    images = float(np.var(by_image, ddof=1)) / n_images
    df_seeds, df_images = n_seeds - 1, n_images - 1
    # Sum of squares about both means, by subtraction of the two main effects from the total.
    total = float(((d - difference) ** 2).sum())
    residual_sum = total - df_seeds * seeds * n_seeds * n_images - df_images * images * n_images * n_seeds
    residual = max(residual_sum, 0.0) / (df_seeds * df_images) / (n_seeds * n_images)
    variance = max(seeds + images - residual, seeds, images)
    if variance <= NO_SPREAD**2:
        return CrossedDifference(difference, 0.0, None, None, None, n_seeds, n_images, None, n_missing)
    df = variance**2 / (seeds**2 / df_seeds + images**2 / df_images + residual**2 / (df_seeds * df_images))
    df = max(df, float(min(df_seeds, df_images)))
    se = math.sqrt(variance)
    half_width = float(special.stdtrit(df, (1 + confidence) / 2)) * se
    return CrossedDifference(
        difference=difference,
        se=se,
        df=df,
        ci_low=difference - half_width,
        ci_high=difference + half_width,
        n_seeds=n_seeds,
        n_images=n_images,
        p_value=float(2 * special.stdtr(df, -abs(difference / se))),
        n_missing=n_missing,
    )
