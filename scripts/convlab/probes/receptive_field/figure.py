"""Figure of the receptive-field probe."""

import math
from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_, number, with_unit
from convlab.common.i18n import gettext as _
from convlab.figures.labels import legend, within_percent
from convlab.figures.marks import mark
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH, look
from convlab.probes.charts import probe_figure
from convlab.probes.measured import Measured
from convlab.study.variants import Plan, Probe

READING = N_(
    "Further right a unit sees more of the image. Points that rise with it say that these variants do better with a "
    "wider view, but other things (parameters, kernel size, depth) change along with it."
)
"""How to read the chart."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """The chart of the probe's curves."""
    chart = draw(curves, results.labels, results.looks)
    yield probe_figure(
        results,
        probe,
        chart,
        _("Receptive field"),
        caption(probe, results.study.plan),
        numbers=curves,
        reading=_(READING),
    )


def caption(probe: Probe, plan: Plan) -> str:
    return _("Test accuracy of the convolutional variants against what one unit of their last feature map sees.")


def draw(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy of every convolutional variant against the pixels that one unit of its last feature map sees."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    entries = []
    for row in curves.dropna(subset=["mean"]).itertuples():
        style = look(looks[row.variant]) | {"linestyle": "none"}
        spread, mean = 0 if row.sd is None or math.isnan(row.sd) else 100 * row.sd, 100 * row.mean
        label = labels[row.variant]
        reach = [[min(spread, mean)], [min(spread, 100 - mean)]]  # clipped to 0 and 100
        drawn = axis.errorbar(row.order, mean, yerr=reach, capsize=2, **style)
        entries.append((drawn, label))
        accuracy = f"{number(100 * row.mean, '.2f')} ± {with_unit(number(spread, '.2f'), '%')}"
        title = _("{label}: {accuracy}, sees {n} pixels", label=label, accuracy=accuracy, n=f"{row.order:.0f}")
        mark([part for part in drawn.get_children() if part is not None], row.variant, [title])
    axis.set_xlabel(_("Receptive field of the last feature map, pixels"))
    axis.set_ylabel(_("Test accuracy, % (mean ± SD)"))
    within_percent(axis, "y")
    if 0 < len(entries) <= 12:
        legend(axis, entries, fontsize=7.5)
    return figure
