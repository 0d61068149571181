"""Descriptive statistics of one variant's runs (mean, SD, SE, t interval), and constants that all modules share.

The unit of replication is the training run (one seed); all runs are scored on the same test images. Values are
fractions (an accuracy of 0.9123), results are frozen dataclasses of plain numbers, and ``None`` stands where a quantity
is not defined. Everything is deterministic: the integrals are done by quadrature, so no random numbers are drawn.

Three rules hold in every module of this package:

- Values that are not finite belong to runs that diverged: they are left out, counted, and mentioned.
- n = 2 is a smoke test: with fewer than ``MIN_SEEDS`` runs there is no interval, no p value and no verdict anywhere,
  whether of a mean, a comparison, a trend, a factorial or a difference on new images.
- Where runs do not vary at all, their variance cannot be estimated and nothing is inferred. An interval that collapses
  to a point would claim certainty that identical runs do not give: they may be saturated (every seed at 100 %), or the
  seeds may not have reached the training at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

MIN_SEEDS = 3  # fewer runs on either side: a smoke test, nothing is inferred
NO_SPREAD = 1e-12  # a spread below this fraction of the values is rounding, not variation
SHARE = (0.0, 1.0)  # range of an accuracy, a recall or an agreement
DIFFERENCE = (-1.0, 1.0)  # range of a difference of two of them
RANGES = {
    "accuracy": SHARE, "test_accuracy": SHARE, "val_accuracy": SHARE, "balanced_accuracy": SHARE, "macro_f1": SHARE,
    "auroc": SHARE, "ece": SHARE, "brier": (0.0, 2.0), "test_loss": (0.0, math.inf),
    "best_epoch": (1.0, math.inf),
}  # fmt: skip
"""Smallest and largest possible value of each measure of a run."""


@dataclass(frozen=True)
class Summary:
    """Location and spread of one variant's runs, in the unit of the values.

    ``sd`` has ddof = 1, ``se = sd / sqrt(n)``, and the interval is Student's t interval for the mean. ``n_missing``
    runs had no finite value and are left out of everything else.
    """

    n: int
    mean: float | None
    sd: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n_missing: int = 0


def summarise(
    values: Sequence[float], confidence: float = 0.95, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Summary:
    """Mean, SD, SE and t interval of the values of one variant's runs.

    Args:
        values: one value per run, shape (runs,); non-finite ones are counted in ``n_missing`` and left out.
        confidence: coverage of the interval, a fraction.
        limits: the least and the largest value that there can be, ``SHARE`` for an accuracy; the interval ends there.
            Its coverage stays the same, since the mean lies within them.

    Returns:
        A Summary. ``mean`` is None without any value; ``sd`` and ``se`` are None at n = 1; the interval is None with
        fewer than ``MIN_SEEDS`` values, and where all values are equal (see the module's rules).

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    check_fraction("confidence", confidence)
    finite, n_missing = finite_values(values)
    n = len(finite)
    if n == 0:
        return Summary(0, None, None, None, None, None, n_missing)
    mean = float(np.mean(finite))
    if n == 1:
        return Summary(1, mean, None, None, None, None, n_missing)
    sd = standard_deviation(finite)
    se = sd / math.sqrt(n)
    if sd == 0:
        return Summary(n, mean, 0.0, 0.0, None, None, n_missing)
    if n < MIN_SEEDS:
        return Summary(n, mean, sd, se, None, None, n_missing)
    half_width = t_critical(n - 1, confidence) * se
    low, high = (min(max(limit, limits[0]), limits[1]) for limit in (mean - half_width, mean + half_width))
    return Summary(n, mean, sd, se, low, high, n_missing)


def finite_values(values: Sequence[float]) -> tuple[NDArray, int]:
    """Finite values, and the number of non-finite ones."""
    array = np.asarray(values, dtype=float).ravel()
    finite = array[np.isfinite(array)]
    return finite, len(array) - len(finite)


def as_float(value: Fraction | float) -> float:
    """A number as a float; infinite if it overflows."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def standard_deviation(values: NDArray, scale: float | None = None) -> float:
    """SD with ddof = 1; exactly 0 where the values differ by rounding only (their computed SD is some 1e-17).

    Args:
        scale: size of the numbers that the values were computed from, by which rounding is judged; the largest value by
            default.
    """
    if np.ptp(values) <= NO_SPREAD * (np.abs(values).max() if scale is None else scale):
        return 0.0
    return float(np.std(values, ddof=1))


@lru_cache(maxsize=8192)
def t_critical(df: float, confidence: float) -> float:
    """Two-sided critical value of Student's t: P(|T| <= c) = ``confidence``."""
    return float(special.stdtrit(df, (1 + confidence) / 2))


def check_fraction(name: str, value: float) -> None:
    """Raise ValueError unless the option ``name`` lies between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")
