"""Figure of the sample-efficiency probe."""

import math
from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_, number
from convlab.common.i18n import gettext as _
from convlab.figures.labels import legend, within_percent
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH
from convlab.probes.charts import probe_figure
from convlab.probes.lines import lines, with_intervals
from convlab.probes.measured import Measured
from convlab.study.variants import Probe

READING = N_(
    "The height between two lines is the lead at that number of images. If it grows to the left, the upper model needs "
    "fewer images for the same accuracy; where the intervals overlap, the lead itself is not settled."
)
"""How to read the chart."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """The chart of the probe's curves."""
    chart = draw(curves, results.labels, results.looks)
    yield probe_figure(
        results,
        probe,
        chart,
        _("Fewer training images"),
        with_intervals(_("Test accuracy of models trained on nested subsets for the same number of steps."), curves),
        numbers=curves,
        reading=_(READING),
    )


def draw(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy by number of training images, on a logarithmic scale; all images stand at the right end."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    levels = curves.drop_duplicates("order").sort_values("order")
    finite = [order for order in levels["order"] if not math.isinf(order)]
    positions = {order: math.log10(order) for order in finite}
    positions[math.inf] = max(positions.values(), default=0) + 0.5
    entries = lines(axis, curves, labels, looks, positions.__getitem__)
    names = [_("all") if math.isinf(order) else number(order, ",.0f") for order in levels["order"]]
    axis.set_xticks([positions[order] for order in levels["order"]], names)
    axis.set_xlabel(_("Training images"))
    axis.set_ylabel(_("Test accuracy, %"))
    within_percent(axis, "y")
    legend(axis, entries, fontsize=8)
    return figure
