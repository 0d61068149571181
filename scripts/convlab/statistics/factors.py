"""Effects of factors: Page's trend test over ordered levels, and two crossed factors in randomised blocks.

References
----------
Montgomery (2013), Design and Analysis of Experiments, 8th ed., section 5.6.
Page (1963), Ordered hypotheses for multiple treatments: a significance test for linear ranks, JASA 58, 216-230.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from convlab.statistics.describe import MIN_SEEDS, check_fraction, summarise

Alternative = Literal["two-sided", "increasing", "decreasing"]


@dataclass(frozen=True)
class Trend:
    """Whether an outcome rises or falls with an ordered factor.

    Attributes:
        n_levels, n_blocks: what was used; ``n_incomplete`` blocks lacked a finite value and were left out.
        statistic: Page's L for the increasing order of the levels.
        p_value: of the alternative, two-sided by default. No part of the study's family: exploratory.
        slope: mean over blocks of the least-squares slope, in units of the outcome per ``slope_per``.
        ci_low, ci_high: t interval of the slope over blocks.
        slope_per: "doubling" of the level, or "unit" where a level is not positive.
        method: how the p value was found, "exact" or "asymptotic".
        note: why something is missing; else empty.
    """

    n_levels: int
    n_blocks: int
    n_incomplete: int
    statistic: float | None = None
    p_value: float | None = None
    slope: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    slope_per: str | None = None
    method: str | None = None
    note: str = ""


def trend(
    levels: Sequence[float],
    outcomes: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> Trend:
    """Page's trend test (Page 1963) and the slope per doubling of an ordered factor.

    A block is a seed on a dataset: levels are ranked within blocks (ties share their mean rank), so differences between
    seeds and between datasets cancel. "two-sided" doubles the smaller of the two one-sided p values. Slope: least
    squares on log2(level) within each block, then the mean over blocks with its t interval; the levels are fixed by the
    design, so blocks are the replicates. With several datasets it speaks of these datasets.

    Args:
        levels: the levels, distinct numbers, in any order; shape (levels,).
        outcomes: shape (blocks, levels), columns in the order of ``levels``. A block with a value that is not finite is
            left out and counted.
        alternative: "two-sided", "increasing" or "decreasing" (outcome against level).
        confidence: coverage of the slope's interval.

    Returns:
        A Trend, whose results are None with fewer than three levels or without a complete block. With fewer than
        ``MIN_SEEDS`` complete blocks it has the slope alone: nothing is tested. The interval is None too where all
        blocks have the same slope.

    Raises:
        ValueError: the shapes do not fit, levels repeat or are not finite, or an option is unknown.
    """
    check_fraction("confidence", confidence)
    if alternative not in ("two-sided", "increasing", "decreasing"):
        raise ValueError(f"alternative must be two-sided, increasing or decreasing, not {alternative!r}")
    x = np.asarray(levels, dtype=float)
    y = np.asarray(outcomes, dtype=float)
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != len(x):
        raise ValueError(f"outcomes must have shape (blocks, {x.size}), not {y.shape}")
    if not np.isfinite(x).all() or len(np.unique(x)) != len(x):
        raise ValueError("levels must be distinct, finite numbers")
    order = np.argsort(x)
    x, y = x[order], y[:, order]
    complete = np.isfinite(y).all(axis=1)
    n_incomplete = int((~complete).sum())
    y = y[complete]
    n_blocks, n_levels = y.shape
    if n_levels < 3 or n_blocks < 1:
        note = f"a trend needs 3 levels and a complete block; there are {n_levels} and {n_blocks}"
        return Trend(n_levels, n_blocks, n_incomplete, note=note)
    slope_per = "doubling" if x[0] > 0 else "unit"
    steps = np.log2(x) if slope_per == "doubling" else x
    centred = steps - steps.mean()
    slopes = summarise(y @ centred / (centred @ centred), confidence)
    if n_blocks < MIN_SEEDS:
        note = f"n = {n_blocks} is a smoke test"
        return Trend(n_levels, n_blocks, n_incomplete, slope=slopes.mean, slope_per=slope_per, note=note)

    from scipy import stats  # takes a third of a second, and most processes need none of it

    rising = stats.page_trend_test(y)
    falling = stats.page_trend_test(y, predicted_ranks=np.arange(n_levels, 0, -1))
    p_value = {
        "increasing": rising.pvalue,
        "decreasing": falling.pvalue,
        "two-sided": min(1.0, 2 * min(rising.pvalue, falling.pvalue)),
    }[alternative]
    return Trend(
        n_levels=n_levels,
        n_blocks=n_blocks,
        n_incomplete=n_incomplete,
        statistic=float(rising.statistic),
        p_value=float(p_value),
        slope=slopes.mean,
        ci_low=slopes.ci_low,
        ci_high=slopes.ci_high,
        slope_per=slope_per,
        method=str(rising.method),
        note="" if slopes.ci_low is not None else "all blocks have the same slope: no interval",
    )


@dataclass(frozen=True)
class Effect:
    """An effect of a factorial: F on (df, df_residual) degrees of freedom, None where nothing scatters."""

    df: int
    df_residual: int
    f_statistic: float | None
    p_value: float | None


@dataclass(frozen=True)
class Factorial:
    """Two factors in all combinations: both main effects and their interaction.

    Attributes:
        n_blocks: blocks used; ``n_incomplete`` lacked a finite value and were left out.
        contrast: of 2 × 2 levels, the second factor's effect (last minus first level) at the first factor's last level
            minus that at its first level, in units of the outcome, with its t interval; else None.
    """

    n_blocks: int
    n_incomplete: int
    first: Effect | None = None
    second: Effect | None = None
    interaction: Effect | None = None
    contrast: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


def factorial(outcomes: ArrayLike, confidence: float = 0.95) -> Factorial:
    """Analysis of variance of two crossed factors in randomised complete blocks (Montgomery, Design and Analysis of
    Experiments, 8th ed. 2013, section 5.6): both factors fixed, a block is a seed, and all effects are tested against
    the residual, with (ab - 1)(n - 1) degrees of freedom.

    Args:
        outcomes: shape (blocks, first levels, second levels). A block with a value that is not finite is left out.

    Returns:
        A Factorial; its effects are None with fewer than ``MIN_SEEDS`` complete blocks.

    Raises:
        ValueError: the shape does not fit.
    """
    check_fraction("confidence", confidence)
    y = np.asarray(outcomes, dtype=float)
    if y.ndim != 3 or min(y.shape[1:]) < 2:
        raise ValueError(f"outcomes must have shape (blocks, 2 or more, 2 or more), not {y.shape}")
    complete = np.isfinite(y).all(axis=(1, 2))
    y = y[complete]
    n, a, b = y.shape
    if n < MIN_SEEDS:
        return Factorial(n, int((~complete).sum()))
    mean, cells = y.mean(), y.mean(axis=0)
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    df_residual = (a * b - 1) * (n - 1)
    residual = y - cells - y.mean(axis=(1, 2), keepdims=True) + mean
    from scipy import stats

    mean_square = float((residual**2).sum()) / df_residual
    # Equal values differ by rounding, which is no variance.
    scatters = mean_square > (1e-12 * max(abs(mean), 1e-300)) ** 2

    def effect(deviations: np.ndarray, df: int) -> Effect:
        if not scatters:
            return Effect(df, df_residual, None, None)
        f_statistic = n * float((np.broadcast_to(deviations, (a, b)) ** 2).sum()) / df / mean_square
        return Effect(df, df_residual, f_statistic, float(stats.f.sf(f_statistic, df, df_residual)))

    contrast = low = high = None
    if (a, b) == (2, 2):
        contrast = float(cells[1, 1] - cells[1, 0] - cells[0, 1] + cells[0, 0])
        if scatters:
            reach = float(stats.t.ppf((1 + confidence) / 2, df_residual)) * math.sqrt(4 * mean_square / n)
            low, high = contrast - reach, contrast + reach
    return Factorial(
        n,
        int((~complete).sum()),
        effect(rows - mean, a - 1),
        effect(columns - mean, b - 1),
        effect(cells - rows - columns + mean, (a - 1) * (b - 1)),
        contrast,
        low,
        high,
    )
