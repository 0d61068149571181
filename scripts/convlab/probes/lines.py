"""Line charts over the levels of a probe, with intervals over seeds."""

from collections.abc import Callable, Mapping

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number, with_unit
from convlab.figures.marks import mark
from convlab.figures.style import look
from convlab.probes.registry import level_label


def with_intervals(caption: str, curves: pd.DataFrame) -> str:
    """Caption of a figure, which ends in what its vertical lines are, or in what it shows without them.

    Args:
        curves: rows that are drawn.
    """
    if curves["ci_low"].notna().any():
        shown = _("Lines: 95 % t intervals over seeds.")
    elif curves["n_seeds"].max() > 1:
        shown = _("Means over seeds, without intervals.")
    else:
        shown = _("Single runs, without intervals.")
    return f"{caption} {shown}"


def lines(
    axis,
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    looks: Mapping[str, int],
    position: Callable[[float], float] = float,
) -> list:
    """One line per variant with its 95 % intervals, in percent.

    Args:
        axis: Matplotlib's, to draw on.
        curves: rows of one measure.
        labels: variant -> its label.
        looks: variant -> its number in the palette.
        position: maps a level's order to its position on the axis.

    Returns:
        What a legend needs: (line, label) of each variant.
    """
    entries = []
    for variant, group in curves.groupby("variant", sort=False):
        group = group.sort_values("order", ascending=False)
        x = [position(order) for order in group["order"]]
        y, style = 100 * group["mean"], look(looks[variant])
        (line,) = axis.plot(x, y, linewidth=1.6, markersize=5, **style)
        entries.append((line, labels[variant]))
        levels = [level_label(probe, order) for probe, order in zip(group["probe"], group["order"], strict=True)]
        name = labels[variant]
        shares = [with_unit(number(value, ".2f"), "%") for value in y]
        mark(line, variant, [f"{name}, {level}: {share}" for level, share in zip(levels, shares, strict=True)])
        known = group["ci_low"].notna()
        if known.any():
            at = [value for value, there in zip(x, known, strict=True) if there]
            limits = [(100 * group[name][known]).clip(0, 100) for name in ("ci_low", "ci_high")]
            mark(axis.vlines(at, *limits, color=style["color"], alpha=0.7), variant)
    return entries
