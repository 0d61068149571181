"""Cells of printed tables and values of macros: numbers without their unit, which a heading or a name states."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.findings.registration import exploratory
from convlab.language import numbers
from convlab.language.contrasts import VERDICTS, verdict_text
from convlab.language.numbers import MISSING, constant_text, missing, quantity_text

percent = partial(numbers.percent, unit="")
"""A fraction in %: 0.9559 is ``95.59``."""

change = partial(numbers.change, with_a_unit=False)
"""A difference of two values of a metric, signed: ``+1.31`` (percentage points), ``−0.0131`` (nats)."""

level = partial(numbers.level, with_a_unit=False)
"""A value of a metric: ``95.59`` (%), ``0.2848`` (nats)."""

points = partial(numbers.points, unit="")
"""A difference of fractions in percentage points, signed: 0.0131 is ``+1.31``."""


def difference(value: float | None, unit: str | None) -> str:
    """A probe's difference: percentage points of fractions (``unit`` None), else a number of that unit; signed."""
    if unit is None or missing(value):
        return points(value)
    return numbers.signed(value, numbers.decimals_of_difference(unit))


def claim_unit(row: Mapping[str, Any]) -> str:
    """Unit of a claim's measured quantity; empty for dimensionless ones."""
    return "" if missing(row["unit"]) else row["unit"]


def published_text(value: int | float | str | None, unit: str) -> str:
    """A published value in the unit of its claim; text is kept as it is."""
    if value in (None, ""):
        return MISSING
    return value if isinstance(value, str) else constant_text(Fraction(str(value)), unit)


def measured_text(value: float | None, unit: str) -> str:
    """A measured value in the unit of its claim."""
    if pd.isna(value):  # not missing(): an exact value that overflows is infinite
        return MISSING
    return quantity_text(Fraction(value) if isinstance(value, int) else value, unit)


def new_images_verdict(row: Mapping[str, Any]) -> str:
    """A comparison's verdict on new test images, with a remark if diverged runs are left out."""
    return verdict_text(row["new_images_verdict"], row["n_diverged_variant"] + row["n_diverged_reference"])


def comparison_verdict(row: Mapping[str, Any]) -> str:
    """A comparison's verdict, with a remark if diverged runs are left out, and one if it is exploratory."""
    text = verdict_text(row["verdict"], row["n_diverged_variant"] + row["n_diverged_reference"])
    return _with_registration(text, row)


def claim_verdict(row: Mapping[str, Any]) -> str:
    """A claim's verdict, with a remark if it is exploratory."""
    return _with_registration(_(VERDICTS[row["verdict"]]), row)


def _with_registration(text: str, row: Mapping[str, Any]) -> str:
    return _("{verdict}, exploratory", verdict=text) if exploratory(row) else text
