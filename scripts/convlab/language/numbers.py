"""Number formatting for readers: rounding, signs, units, intervals, p values.

Everything that is printed for readers is rounded here; a missing value is an en dash.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from convlab.common import i18n
from convlab.common.i18n import below_one, with_unit
from convlab.common.i18n import gettext as _
from convlab.statistics.describe import as_float
from convlab.study.metrics import Metric

MISSING = "–"


def missing(value: Any) -> bool:
    """Whether a value is None, NaN or infinite."""
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))


def number(value: float | None, decimals: int = 4) -> str:
    """A number with thousands separators and a real minus sign."""
    return MISSING if missing(value) else i18n.number(value, f",.{decimals}f")


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return number(value, 0)


def signed(value: float, decimals: int) -> str:
    """A number with its sign, a real minus sign, and no sign on a zero."""
    form = f".{decimals}f"
    return i18n.number(value, f"+{form}") if float(format(value, form)) else i18n.number(0, form)


def two_digits(value: float) -> str:
    """A setting with two significant digits: ``0.0046``, ``2.3e-04``."""
    return i18n.number(value, ".2g" if abs(value) >= 1e-3 else ".1e")


# ---------------------------------------------------------------------------------------------------------------------
# Fractions and their differences


def percent(value: float | None, decimals: int = 2, unit: str = "%") -> str:
    """A fraction as a percentage: 0.9559 is ``95.59 %``; without a ``unit`` where the heading of a table names it."""
    return MISSING if missing(value) else with_unit(number(100 * value, decimals), unit)


def points(value: float | None, decimals: int = 2, unit: str = "pp") -> str:
    """A difference of fractions in percentage points, with its sign: 0.0131 is ``+1.31 pp``."""
    return MISSING if missing(value) else with_unit(signed(100 * value, decimals), unit)


def unsigned_points(value: float | None, decimals: int = 2) -> str:
    """The size of a difference of fractions in percentage points: 0.0081 and −0.0081 are ``0.81 pp``."""
    return MISSING if missing(value) else with_unit(number(100 * abs(value), decimals), "pp")


def plus_minus(value: float, decimals: int) -> str:
    """A difference of fractions to either side, in percentage points: 0.0152 is ``± 1.5 pp``."""
    return f"± {with_unit(number(100 * value, decimals), 'pp')}"


def difference(value: float | None, unit: str | None) -> str:
    """A difference in its unit, with its sign: ``+1.31 pp`` of fractions (``unit`` None), ``−2.50 px``, ``−0.012``."""
    if unit is None or missing(value):
        return points(value)
    return with_unit(signed(value, decimals_of_difference(unit)), unit)


def decimals_of_difference(unit: str) -> int:
    """Decimals of a difference with a unit, such as pixels, or without one."""
    return 2 if unit else 3


def difference_interval(low: float | None, high: float | None, unit: str | None) -> str:
    """The limits of a difference's interval, without their unit; see ``difference``."""
    if unit is None or missing(low) or missing(high):
        return interval(low, high)
    decimals = decimals_of_difference(unit)
    return _("{low} to {high}", low=signed(low, decimals), high=signed(high, decimals))


def region(rope: float, unit: str = "pp") -> str:
    """The region of practical equivalence: 0.005 is ``± 0.5 pp``."""
    return f"± {with_unit(i18n.number(_scale(unit) * rope, 'g'), unit)}"


def rounded_up(value: float, unit: str = "pp") -> str:
    """A detectable difference, rounded up so that "or more" stays true: 0.0291 is ``3.0 pp``, or ``0.030 nats``; small
    values keep one significant digit."""
    value *= _scale(unit)
    least = 1 if unit == "pp" else 3
    decimals = max(least, -math.floor(math.log10(value))) if value > 0 else least
    return with_unit(number(math.ceil(round(value * 10**decimals, 6)) / 10**decimals, decimals), unit)


# ---------------------------------------------------------------------------------------------------------------------
# Values of a metric and their differences, in its units


def level(value: float | None, metric: Metric, with_a_unit: bool = True) -> str:
    """A value of a metric: ``95.59 %``, ``0.2848 nats``; without the unit where a heading names it."""
    if metric.is_share:
        return percent(value, unit=metric.unit if with_a_unit else "")
    return MISSING if missing(value) else with_unit(number(value), metric.unit if with_a_unit else "")


def level_and_sd(mean: float | None, sd: float | None, metric: Metric) -> str:
    """A mean of a metric with its SD: ``95.59 ± 1.27 %``; the mean alone where there is one run."""
    if missing(mean) or missing(sd):
        return level(mean, metric)
    return f"{level(mean, metric, with_a_unit=False)} ± {level(sd, metric)}"


def change(value: float | None, metric: Metric, with_a_unit: bool = True) -> str:
    """A difference of two values of a metric, with its sign: ``+1.31 pp``, ``−0.0131 nats``."""
    if metric.is_share:
        return points(value, unit=metric.difference_unit if with_a_unit else "")
    return MISSING if missing(value) else with_unit(signed(value, 4), metric.difference_unit if with_a_unit else "")


def spread(value: float, metric: Metric) -> str:
    """The size of a difference or an SD of a metric: ``0.81 pp``, ``0.0131 nats``."""
    return unsigned_points(value) if metric.is_share else with_unit(number(abs(value)), metric.difference_unit)


def change_interval(low: float | None, high: float | None, metric: Metric) -> str:
    """The limits of an interval of a difference, without their unit: ``−0.87 to +3.50``."""
    if missing(low) or missing(high):
        return MISSING
    return _("{low} to {high}", low=change(low, metric, False), high=change(high, metric, False))


def change_ci_text(low: float, high: float, metric: Metric) -> str:
    """A 95 % interval of a difference: ``95 % CI +2.31 to +3.25``."""
    return _("95 % CI {interval}", interval=change_interval(low, high, metric))


def mean_and_sd(mean: float | None, sd: float | None) -> str:
    """A mean of fractions with its SD: ``95.59 ± 1.27 %``; the mean alone where there is one run."""
    return percent(mean) if missing(mean) or missing(sd) else f"{percent(mean, unit='')} ± {percent(sd)}"


def interval(low: float | None, high: float | None, unit: str = "pp") -> str:
    """The limits of an interval, without their unit: ``−0.87 to +3.50`` (pp), ``92.43 to 98.74`` (%)."""
    if missing(low) or missing(high):
        return MISSING
    return _("{low} to {high}", low=_in_unit(low, unit), high=_in_unit(high, unit))


def ci_text(low: float, high: float, unit: str = "pp") -> str:
    """A 95 % interval: ``95 % CI +2.31 to +3.25``."""
    return _("95 % CI {interval}", interval=interval(low, high, unit))


# ---------------------------------------------------------------------------------------------------------------------
# Quantities of claims, in the unit of their rule


def quantity_text(value: Fraction | float, unit: str) -> str:
    """A measured value in its unit: ``90.78 %``, ``+2.78 pp``, ``12.30 s``, ``0.2848``; whole: ``220,234``."""
    whole = isinstance(value, Fraction) and value.denominator == 1
    return with_unit(_in_unit(value, unit), unit) if unit or not whole else constant_text(value, unit)


def constant_text(value: Fraction, unit: str, signed: bool | None = None) -> str:
    """A constant of a rule in a unit, no longer than it needs to be: ``90.78 %``, ``+0.5 pp``, ``220,234.5``."""
    value *= _scale(unit)
    whole = value.denominator == 1 and abs(value) < 10**15
    text = i18n.number(int(value), ",") if whole else i18n.number(as_float(value), ",.10g")
    if value > 0 and (unit == "pp" if signed is None else signed):
        text = f"+{text}"
    return with_unit(text, unit)


def _in_unit(value: Fraction | float, unit: str) -> str:
    """A measured value in its unit, without naming it."""
    value, decimals = as_float(value) * _scale(unit), 2 if unit else 4
    return signed(value, decimals) if unit == "pp" else i18n.number(value, f",.{decimals}f")


def _scale(unit: str) -> int:
    return 100 if unit in ("%", "pp") else 1


# ---------------------------------------------------------------------------------------------------------------------
# p values, ratios, sizes


def format_p(p_value: float) -> str:
    """A p value in the APA's style: no leading zero, "p < .001", three decimals below .1 and two from there."""
    if p_value < 0.001:
        return f"p < {below_one(0.001, 3)}"
    if p_value > 0.99:
        return f"p > {below_one(0.99, 2)}"
    return f"p = {below_one(p_value, 3 if round(p_value, 3) < 0.1 else 2)}"


def p_over_study(text: str, p_value: float, p_adjusted: float | None) -> str:
    """``text``, which states a p value, followed by the one over the study if it is rounded differently."""
    if p_adjusted is None or format_p(p_adjusted) == format_p(p_value):
        return text
    return _("{p}, over the study {adjusted}", p=text, adjusted=format_p(p_adjusted))


def multiple(ratio: float) -> str:
    """A ratio to three significant digits: ``1.92 times``, ``18.4 times``, ``184 times``."""
    decimals = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return _("{ratio} times", ratio=number(ratio, decimals))


def square(side: int) -> str:
    """A window of equal sides: ``3×3``."""
    return f"{side}×{side}"
