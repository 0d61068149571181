"""Numbers as sentences and tables show them."""

import math
from typing import Any

import numpy as np

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.i18n import with_unit
from convlab.language import contrasts

MISSING = "–"


def missing(value: Any) -> bool:
    """Whether there is no number: None, NaN or infinity."""
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))


def percent(value: float | None, decimals: int = 2) -> str:
    """A fraction as a percentage: 0.9559 is ``95.59 %``."""
    return MISSING if missing(value) else with_unit(number(100 * value, decimals), "%")


def points(value: float | None, decimals: int = 2) -> str:
    """A difference of fractions with its sign: 0.0131 is ``+1.31 pp``."""
    return MISSING if missing(value) else with_unit(contrasts.signed(100 * value, decimals), "pp")


def spread(value: float | None, decimals: int = 2) -> str:
    """A distance of fractions, without a sign: 0.0081 is ``0.81 pp``."""
    return MISSING if missing(value) else with_unit(number(100 * abs(value), decimals), "pp")


def region(rope: float) -> str:
    """What counts as no difference in practice: 0.005 is ``± 0.5 pp``."""
    return f"± {with_unit(i18n.number(100 * rope, 'g'), 'pp')}"


def interval(low: float | None, high: float | None, signed: bool = True) -> str:
    """Limits of an interval: ``−0.87 to +3.50`` (points), or ``92.43 to 98.74`` (percent) without signs."""
    if missing(low) or missing(high):
        return MISSING
    write = contrasts.signed if signed else number
    return _("{low} to {high}", low=write(100 * low, 2), high=write(100 * high, 2))


def number(value: float | None, decimals: int = 4) -> str:
    """A number with thousands separators and a real minus sign."""
    return MISSING if missing(value) else i18n.number(value, f",.{decimals}f")


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return number(value, 0)


def times(ratio: float) -> str:
    """How many times as much, to three significant digits: ``1.92 times``, ``18.4 times``, ``184 times``."""
    decimals = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return _("{ratio} times", ratio=number(ratio, decimals))


def at_least(value: float) -> str:
    """A detectable difference, rounded up so that "or more" stays true: 0.0291 is ``3.0 pp``."""
    value *= 100
    decimals = max(1, -math.floor(math.log10(value))) if value > 0 else 1
    return with_unit(number(math.ceil(round(value * 10**decimals, 6)) / 10**decimals, decimals), "pp")


def square(side: int) -> str:
    return f"{side}×{side}"
