"""Other analyses of the same runs, for asking whether a verdict depends on the one that was registered.

Each analysis takes the runs of one experiment, shape (seeds, variants) with the reference first and NaN for a diverged
run, and gives an interval and p values for every variant against the reference. Arrays throughout, and p values are
exact only where they are below the level, so that a thousand runs take a second.

References
----------
Welch (1947), The generalization of Student's problem when several different population variances are involved,
Biometrika 34, 28-35.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from convlab.statistics.blocks import Blocks
from convlab.statistics.comparisons import is_pooled
from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD
from convlab.statistics.dunnett import dunnett_critical, dunnett_p_value
from convlab.statistics.multiplicity import holm

LEVEL = 0.05


class Tested(NamedTuple):
    """A variant against the reference by one analysis; everything is simultaneous over the experiment.

    ``ci_*`` is the 95 % interval, ``ci90_*`` the one that decides on equivalence, ``n_seeds`` the runs of the side that
    has fewer. A p value of 5 % or more is approximate, and 5 % or more all the same.
    """

    difference: float
    ci_low: float
    ci_high: float
    ci90_low: float
    ci90_high: float
    p_value: float
    p_equivalence: float
    n_seeds: int


Analysis = Callable[[NDArray, float], list[Tested | None]]
"""From (values, rope) to one result for each variant but the reference; None where nothing can be tested."""


def seeds_as_blocks(values: NDArray, rope: float) -> list[Tested | None]:
    """The analysis that decides verdicts: :func:`convlab.statistics.comparisons.compare_to_reference`."""
    pairs = _pairs(values)
    inferred = np.flatnonzero(pairs >= MIN_SEEDS)
    table = values[:, [0, *(inferred + 1)]]
    blocks = Blocks(table[np.isfinite(table).sum(axis=1) >= 2])
    if not len(inferred) or not blocks.residual_variance > 0:
        return [None] * len(pairs)
    if not is_pooled(blocks):
        return paired(values, rope)
    se = np.sqrt(blocks.residual_variance * blocks.unit_variances)
    k, df = blocks.n_contrasts, blocks.df
    test = _dunnett((blocks.n_seeds,) * k, blocks.n_seeds, df) if blocks.complete else _sidak(k, df)
    return _results(inferred, pairs, blocks.differences, se, test, rope)


def paired(values: NDArray, rope: float) -> list[Tested | None]:
    """Student's t test of the differences within a seed, one for each variant, with Holm's adjustment."""
    differences = values[:, 1:] - values[:, :1]
    pairs, means, variances = _moments(differences, values)
    inferred = np.flatnonzero((pairs >= MIN_SEEDS) & (variances > 0))
    se = np.sqrt(variances[inferred] / pairs[inferred])
    return _results(inferred, pairs, means[inferred], se, _separate(len(inferred), pairs[inferred] - 1), rope)


def unpaired(values: NDArray, rope: float) -> list[Tested | None]:
    """Dunnett's test with independent runs: the variance within variants, pooled over all of them."""
    counts, means, variances = _moments(values, values)
    inferred = np.flatnonzero(counts[1:] >= MIN_SEEDS)
    groups = np.r_[0, inferred + 1]
    df = int((counts[groups] - 1).sum())
    if counts[0] < MIN_SEEDS or not len(inferred) or not variances[groups].max() > 0:
        return [None] * (len(counts) - 1)
    pooled = float((variances[groups] * (counts[groups] - 1)).sum()) / df
    se = np.sqrt(pooled * (1 / counts[inferred + 1] + 1 / counts[0]))
    test = _dunnett(tuple(int(n) for n in counts[inferred + 1]), int(counts[0]), df)
    return _results(inferred, np.minimum(counts[1:], counts[0]), means[inferred + 1] - means[0], se, test, rope)


def welch(values: NDArray, rope: float) -> list[Tested | None]:
    """Welch's t test of independent runs with unequal variances, one for each variant, with Holm's adjustment."""
    counts, means, variances = _moments(values, values)
    smaller = np.minimum(counts[1:], counts[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        own, reference = variances[1:] / counts[1:], variances[0] / counts[0]
        inferred = np.flatnonzero((smaller >= MIN_SEEDS) & (own + reference > 0))
        own = own[inferred]
        freedom = own**2 / (counts[inferred + 1] - 1) + reference**2 / (counts[0] - 1)
        df = (own + reference) ** 2 / freedom
    difference = means[inferred + 1] - means[0]
    return _results(inferred, smaller, difference, np.sqrt(own + reference), _separate(len(inferred), df), rope)


class _Test(NamedTuple):
    """A simultaneous test: p values of statistics (two-sided), one-sided ones, and critical values by coverage."""

    two_sided: Callable[[NDArray], NDArray]
    one_sided: Callable[[NDArray], NDArray]
    critical: Callable[[float], NDArray | float]


def _simultaneous(adjusted: Callable[[float], float], df: float, critical: Callable[[float], float]) -> _Test:
    """A test with one distribution for all contrasts. ``adjusted``: statistic to two-sided p value."""

    def two_sided(statistics: NDArray) -> NDArray:
        p_values = 2 * special.stdtr(df, -np.abs(statistics))
        for index in np.flatnonzero(p_values < LEVEL):
            p_values[index] = adjusted(statistics[index])
        return p_values

    def one_sided(statistics: NDArray) -> NDArray:
        p_values = special.stdtr(df, -statistics)
        for index in np.flatnonzero(p_values < LEVEL):
            p_values[index] = adjusted(statistics[index]) / 2
        return p_values

    return _Test(two_sided, one_sided, critical)


def _dunnett(n_variants: tuple[int, ...], n_reference: int, df: float) -> _Test:
    return _simultaneous(
        lambda statistic: dunnett_p_value(statistic, n_variants, n_reference, df),
        df,
        lambda coverage: dunnett_critical(n_variants, n_reference, df, coverage),
    )


def _sidak(k: int, df: float) -> _Test:
    def adjusted(statistic: float) -> float:
        single = 2 * special.stdtr(df, -abs(statistic))
        return float(-np.expm1(k * np.log1p(-single)))

    return _simultaneous(adjusted, df, lambda coverage: special.stdtrit(df, (1 + coverage ** (1 / k)) / 2))


def _separate(k: int, df: NDArray) -> _Test:
    """A t test for each of ``k`` contrasts: Holm's adjustment, Bonferroni intervals."""

    def adjusted(p_values: NDArray) -> NDArray:
        return np.array(holm(p_values.tolist()))

    return _Test(
        lambda statistics: adjusted(2 * special.stdtr(df, -np.abs(statistics))),
        lambda statistics: adjusted(special.stdtr(df, -statistics)),
        lambda coverage: special.stdtrit(df, 1 - (1 - coverage) / k / 2),
    )


def _results(
    inferred: NDArray, n_seeds: NDArray, difference: NDArray, se: NDArray, test: _Test, rope: float
) -> list[Tested | None]:
    """Results of all variants, in their order, from those of the ``inferred`` ones. Six parameters: an estimate has
    four parts."""
    results: list[Tested | None] = [None] * len(n_seeds)
    if not len(inferred):
        return results
    half, half_equivalence = test.critical(1 - LEVEL) * se, test.critical(1 - 2 * LEVEL) * se
    columns = (
        *(difference, difference - half, difference + half),
        *(difference - half_equivalence, difference + half_equivalence),
        *(test.two_sided(difference / se), test.one_sided((rope - np.abs(difference)) / se)),
    )
    for index, *numbers in zip(inferred, *(column.tolist() for column in columns), strict=True):
        results[index] = Tested(*numbers, n_seeds=int(n_seeds[index]))
    return results


def _pairs(values: NDArray) -> NDArray:
    """Seeds of which each variant and the reference have a value, shape (variants - 1,)."""
    return np.isfinite(values[:, 1:] - values[:, :1]).sum(axis=0)


def _moments(table: NDArray, values: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Count, mean and variance (ddof = 1) of each column's finite entries; 0 where they differ by rounding only.

    ``values``: what the table was computed from, by which rounding is judged.
    """
    finite = np.isfinite(table)
    counts = finite.sum(axis=0)
    kept = np.where(finite, table, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = kept.sum(axis=0) / counts
        centred = np.where(finite, table - means, 0.0)
        variances = (centred**2).sum(axis=0) / (counts - 1)
    rounding = NO_SPREAD * np.nanmax(np.abs(values), initial=0.0)
    return counts, means, np.where(np.abs(centred).max(axis=0, initial=0.0) <= rounding, 0.0, variances)
