"""What charts of many variants share: a variant in a figure, names along an axis, percentages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number, with_unit
from convlab.figures.labels import TICK_WIDTH, shortened

MAX_SERIES = 24
"""Curves drawn at most on one plot; more are thinned to the first ones, and the title says so."""

MAX_NAMED_ROWS = 60
"""Variants up to which each has a row with its name; more stand side by side, and some are named."""

MAX_NAMES_ON_AXIS = 12
"""Names along the axis where there are many variants."""


@dataclass(frozen=True)
class Series:
    """One variant in a figure: its name, how it reads here, and the index of its colour, the same in every figure."""

    variant: str
    label: str
    index: int


def name_some(axis, names: Sequence[str], what: str) -> None:
    """Name a few of many places along the x axis, and say how many there are."""
    step = -(-len(names) // MAX_NAMES_ON_AXIS)
    shown = [shortened(name, TICK_WIDTH) for name in names[::step]]
    axis.set_xticks(range(0, len(names), step), shown, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_xlim(-1, len(names))
    axis.set_xlabel(_("{what} ({n} in order, one of {step} named)", what=what, n=len(names), step=step))
    axis.grid(axis="x", visible=False)


def percent_text(value: float, decimals: int = 2) -> str:
    return with_unit(number(value, f".{decimals}f"), "%")


def mean_and_spread(mean: float, sd: float | None, decimals: int) -> str:
    """A percentage ± its SD; without the SD where one run has none, a dash where the mean is not defined."""
    if not np.isfinite(mean):
        return "–"
    if sd is None or not np.isfinite(sd):
        return percent_text(mean, decimals)
    return f"{number(mean, f'.{decimals}f')} ± {percent_text(sd, decimals)}"
