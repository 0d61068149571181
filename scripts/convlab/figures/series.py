"""Shared parts of charts of variants: a variant's label and colour, labels along an axis, percentages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number, with_unit
from convlab.figures.labels import TICK_CHARS, shortened

MAX_SERIES = 24
"""Maximum curves on one plot, the first ones; the title says so if there are more."""

MAX_NAMED_ROWS = 60
"""Up to this many variants or classes each has a labelled row; more share one axis, with some labelled."""

MAX_NAMES_ON_AXIS = 12
"""Labels along an axis of many variants or classes."""


@dataclass(frozen=True)
class Series:
    """One variant in a figure: its name, its label there, and the index of its colour, the same in every figure."""

    name: str
    label: str
    index: int


def name_some(axis, names: Sequence[str], what: str) -> None:
    """Label a few of many positions along the x axis; the axis label states how many there are."""
    step = -(-len(names) // MAX_NAMES_ON_AXIS)
    shown = [shortened(name, TICK_CHARS) for name in names[::step]]
    axis.set_xticks(range(0, len(names), step), shown, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_xlim(-1, len(names))
    axis.set_xlabel(_("{what} ({n} in order, one of {step} named)", what=what, n=len(names), step=step))
    axis.grid(axis="x", visible=False)


def percent_text(value: float, decimals: int = 2) -> str:
    return with_unit(number(value, f".{decimals}f"), "%")


def mean_and_spread(mean: float, sd: float | None, decimals: int) -> str:
    """A percentage ± its SD; the mean alone if the SD is undefined, a dash if the mean is."""
    if not np.isfinite(mean):
        return "–"
    if sd is None or not np.isfinite(sd):
        return percent_text(mean, decimals)
    return f"{number(mean, f'.{decimals}f')} ± {percent_text(sd, decimals)}"
