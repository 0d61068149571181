"""Means over pairs of runs, such as the similarity of two seeds, with what is needed for an interval over seeds.

Pairs are not independent: with n seeds there are n (n - 1) / 2 of them, and each seed is in n - 1. So the unit stays
the seed: the mean over pairs is a U-statistic of degree two, and the pseudo-values of its jackknife, one for each seed,
take the place of the values of the seeds (Arvesen: Jackknifing U-statistics, 1969). Their mean is the mean over pairs,
and Student's t interval of them is one for it.

Simulated with three to fifteen seeds, these 95 % intervals hold the expectation in 89 to 99 % of studies. Where the
expectation of a difference is zero, at most 1.5 % of them lie below zero: there the jackknife takes the variance too
large (Efron and Stein: The jackknife estimate of variance, 1981).
"""

import numpy as np
from numpy.typing import NDArray


def pseudo_values(values: NDArray) -> NDArray:
    """Jackknife pseudo-values of the mean over pairs of different units; their mean is that mean.

    Args:
        values: (n, n), of units i and j; both orders are averaged, and the diagonal has no part.

    Returns:
        (n,); empty below two units. Of two units, of which none can be left out, both are the value of the only pair.
    """
    n = len(values)
    if n < 2:
        return np.empty(0)
    symmetric = (values + values.T) / 2
    of_unit = symmetric.sum(axis=1) - np.diag(symmetric)
    total = of_unit.sum()
    mean = total / (n * (n - 1))
    if n == 2:
        return np.full(2, mean)
    without = (total - 2 * of_unit) / ((n - 1) * (n - 2))
    return n * mean - (n - 1) * without
