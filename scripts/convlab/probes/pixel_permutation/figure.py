"""Figure of the probe that shuffles pixels."""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.figures.labels import legend, within_percent
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH
from convlab.probes.charts import probe_figure
from convlab.probes.lines import lines, with_intervals
from convlab.probes.measured import Measured
from convlab.probes.pixel_permutation.settings import SETTINGS
from convlab.study.variants import Probe

READING = N_(
    "Compare slopes, not heights: a model that relies on which pixels are neighbours falls when they are shuffled, and "
    "a dense network should stay level. Where the intervals of two models overlap widely, their order is not settled."
)
"""How to read the chart."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """The chart of the probe's curves."""
    chart = draw(curves, results.labels, results.looks)
    yield probe_figure(
        results,
        probe,
        chart,
        _("Pixels shuffled"),
        with_intervals(caption(probe), curves),
        numbers=curves,
        reading=_(READING),
    )


def caption(probe: Probe) -> str:
    """What the models were trained and tested on."""
    pixels, blocks = 1 in probe.settings.blocks, set(probe.settings.blocks) != {1}
    text = {
        (True, False): N_(
            "Test accuracy of models trained and tested on images whose pixels all stand in another, fixed order."
        ),
        (False, True): N_(
            "Test accuracy of models trained and tested on images whose blocks of pixels stand in another, fixed order."
        ),
        (True, True): N_(
            "Test accuracy of models trained and tested on images whose pixels, or blocks of pixels, stand in another, "
            "fixed order."
        ),
    }
    return _(text[pixels, blocks])


def draw(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy of each model on intact and on shuffled images: a line per model over the size of what stays whole."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    levels = curves.drop_duplicates("order").sort_values("order", ascending=False)
    positions = {order: position for position, order in enumerate(levels["order"])}
    entries = lines(axis, curves, labels, looks, positions.__getitem__)
    axis.set_xticks(range(len(levels)), [SETTINGS.level_label(order) for order in levels["order"]])
    axis.set_xlim(-0.3, len(levels) - 0.7)
    axis.set_ylabel(_("Test accuracy, %"))
    within_percent(axis, "y")
    legend(axis, entries, fontsize=8)
    return figure
