"""Randomised blocks: runs of several variants with the seed as a block, fitted by least squares.

Runs of one seed share their split, the order of their images and, where shapes allow it, their initial weights, so
their accuracies rise and fall together. In the additive model ``value = variant + seed + residual`` what they share
drops out of every difference of two variants.

References
----------
Fisher (1935), The design of experiments, ch. 4. Searle (1971), Linear models, ch. 7 (missing cells).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from convlab.statistics.describe import NO_SPREAD


@dataclass(frozen=True)
class Blocks:
    """The additive model of blocks and variants, fitted to a table that may lack cells.

    Attributes:
        values: shape (seeds, variants), NaN for a cell without a value; the first column is the reference. Every row
            has two values or more, and every column shares a row with the reference.
    """

    values: NDArray

    @property
    def n_seeds(self) -> int:
        return self.values.shape[0]

    @property
    def n_contrasts(self) -> int:
        return self.values.shape[1] - 1

    @cached_property
    def complete(self) -> bool:
        """Whether every variant has a value for every seed."""
        return bool(np.isfinite(self.values).all())

    @cached_property
    def df(self) -> int:
        """Residual degrees of freedom, (seeds - 1)(variants - 1) of a complete table."""
        cells = int(np.isfinite(self.values).sum())
        return cells - self.n_seeds - self.n_contrasts

    @cached_property
    def differences(self) -> NDArray:
        """Each variant minus the reference, adjusted for the seeds: of a complete table the differences of the means.

        Shape (contrasts,).
        """
        if self.complete:
            means = self.values.mean(axis=0)
            return means[1:] - means[0]
        return self._fit[0]

    @cached_property
    def unit_variances(self) -> NDArray:
        """Variance of each difference over the residual variance, 2 / seeds of a complete table; shape (contrasts,)."""
        if self.complete:
            return np.full(self.n_contrasts, 2 / self.n_seeds)
        return self._fit[1]

    @cached_property
    def residual_variance(self) -> float:
        """Mean square of the residuals; exactly 0 where they are rounding only."""
        if self.df < 1:
            return math.nan
        residuals = self._fit[2] if not self.complete else self._complete_residuals()
        scale = float(np.nanmax(np.abs(self.values)))
        largest = float(np.abs(residuals).max())
        return 0.0 if largest <= NO_SPREAD * scale else float((residuals**2).sum() / self.df)

    def _complete_residuals(self) -> NDArray:
        centred = self.values - self.values.mean(axis=1, keepdims=True)
        return centred - centred.mean(axis=0, keepdims=True)

    @cached_property
    def _fit(self) -> tuple[NDArray, NDArray, NDArray]:
        """Differences, their variances over the residual variance, and residuals of a table with missing cells.

        Least squares after the seeds' means are taken out, which leaves a system of one unknown for each contrast.
        """
        observed = np.isfinite(self.values)
        # Without the grand level numbers are small, and so is the rounding.
        values = np.where(observed, self.values - np.nanmean(self.values), 0.0)
        per_seed = observed.sum(axis=1)
        indicators = observed[:, 1:].astype(float)
        normal = np.diag(indicators.sum(axis=0)) - (indicators / per_seed[:, None]).T @ indicators
        centred = np.where(observed, values - (values.sum(axis=1) / per_seed)[:, None], 0.0)
        inverse = np.linalg.inv(normal)
        differences = inverse @ centred[:, 1:].sum(axis=0)
        effects = np.r_[0.0, differences]
        fitted = np.where(observed, effects - ((observed * effects).sum(axis=1) / per_seed)[:, None], 0.0)
        return differences, np.diag(inverse), (centred - fitted)[observed]

    def paired(self, contrast: int) -> NDArray:
        """Variant minus reference of every seed that has both, of the contrast with this number; shape (pairs,)."""
        pairs = self.values[:, contrast + 1] - self.values[:, 0]
        return pairs[np.isfinite(pairs)]

    def p_larger_variance(self) -> float:
        """P value of the alternative that a difference varies more over seeds than the pooled residuals say.

        Under equal variances and correlations (sphericity) the sum of squares of one difference, over 2, is a part of
        the residual sum of squares with as many degrees of freedom as there are seeds less one, so their ratio has a
        beta distribution; the p value is the smallest over the contrasts times their number (Bonferroni). A table with
        missing cells is judged by its complete seeds. 1 where there are fewer than two contrasts or complete seeds.
        """
        rows = Blocks(self.values[np.isfinite(self.values).all(axis=1)])
        if rows.n_contrasts < 2 or rows.n_seeds < 2 or not rows.residual_variance > 0:
            return 1.0
        residual_sum = rows.residual_variance * rows.df
        own_sums = np.var(rows.values[:, 1:] - rows.values[:, :1], axis=0) * rows.n_seeds / 2
        share = min(1.0, float(own_sums.max() / residual_sum))
        half_df = (rows.n_seeds - 1) / 2
        p_value = float(special.betaincc(half_df, half_df * (rows.n_contrasts - 1), share))
        return min(1.0, rows.n_contrasts * p_value)
