"""Power of a comparison: the smallest detectable difference, and the seeds that a verdict needs.

The formulas stand in :func:`convlab.statistics.comparisons.compare_to_reference`.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from convlab.statistics.describe import MIN_SEEDS
from convlab.statistics.dunnett import chi_nodes

MAX_SEEDS = 200  # a plan that needs more seeds per variant than this is answered with None


def detectable_difference(se: float, critical: float, df: float, rope: float, power: float) -> float:
    """Smallest true difference that is called better with probability ``power``: see compare_to_reference.

    Args:
        se: of the difference, taken as true; ``critical``: of the interval that has to exclude 0, in units of se.
    """
    bar, weight = _bars(se, critical, df, rope)

    def excess(difference: float) -> float:
        return float(weight @ special.ndtr((difference - bar) / se)) - power

    upper = rope + 2 * critical * se
    while excess(upper) < 0:
        upper *= 2
    return float(brentq(excess, 0.0, upper, xtol=1e-9 * upper))


def _bars(se: float, critical: float, df: float, rope: float) -> tuple[NDArray, NDArray]:
    """What an observed difference has to exceed to be called better, by how large the SD is estimated, with weights."""
    u, weight = chi_nodes(float(df))
    return np.maximum(rope, critical * u * se), weight


def seeds_to_settle(
    difference: float,
    variance: float,
    design: Callable[[int], tuple[float, float, float]],
    rope: float,
    power: float,
) -> int | None:
    """Smallest n in MIN_SEEDS..MAX_SEEDS with the right verdict at probability ``power``: see compare_to_reference.

    Args:
        difference: taken as the true one.
        variance: s_variant^2 + s_reference^2, taken as true; the difference of two means of n has variance / n.
        design: n to (degrees of freedom, critical value of the interval, critical value of the equivalence interval).
    """

    def settled(n: int) -> bool:
        df, critical, critical_equivalence = design(n)
        se = math.sqrt(variance / n)
        if abs(difference) > rope:
            bar, weight = _bars(se, critical, df, rope)
            probability = weight @ special.ndtr((abs(difference) - bar) / se)
        else:
            u, weight = chi_nodes(float(df))
            room = rope - critical_equivalence * u * se
            inside = special.ndtr((room - difference) / se) - special.ndtr((-room - difference) / se)
            probability = weight @ np.maximum(inside, 0.0)
        return bool(probability >= power)

    if not settled(MAX_SEEDS):
        return None
    low, high = MIN_SEEDS - 1, MAX_SEEDS  # not settled (or not allowed) at low, settled at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high
