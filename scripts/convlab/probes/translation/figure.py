"""Figure of the translation probe."""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.figures.labels import legend, within_percent
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH
from convlab.probes.charts import probe_figure, shuffled_afterwards
from convlab.probes.lines import lines, with_intervals
from convlab.probes.measured import Measured
from convlab.probes.sentences import joined
from convlab.study.variants import Plan, Probe

READING = N_(
    "A line that stays high belongs to a model whose predictions do not depend on where the object is. On the right a "
    "prediction counts as kept even if it is wrong, so a model that is often wrong can still be consistent."
)
"""How to read the chart."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """The chart of the probe's curves."""
    chart = draw(curves, results.labels, results.looks)
    yield probe_figure(
        results,
        probe,
        chart,
        _("Shifted test images"),
        with_intervals(caption(probe, results.study.plan), curves),
        numbers=curves,
        reading=_(READING),
    )


def caption(probe: Probe, plan: Plan) -> str:
    """Caption of the figure, with the models that were trained on shifted images."""
    probed = [plan.variants[name] for name in probe.models]
    augmented = [(v.label, v.training.augmentation) for v in probed if v.training.augmentation]
    used = [label for label, augmentation in augmented if augmentation.shift or augmentation.crop]
    how = {
        "black": _("Means over both axes and directions; black moves in."),
        "edge": _(
            "Means over both axes and directions; the pixels of the edge are repeated where an image moves away."
        ),
        "wrap": _("Means over both axes and directions; what leaves on one side comes in on the other."),
    }[probe.settings.fill]
    seen = _("No model has an augmentation that shifts images.")
    if used:
        seen = _("Trained on shifted images too (augmentation): {models}.", models=listing(used))
    return joined(how, shuffled_afterwards(probe, plan), seen)


def draw(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy, and consistency of the predictions, by the distance that the test images are shifted."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.1), sharey=True)
    titles = {"accuracy": _("Accuracy, %"), "consistency": _("Same prediction as unshifted, %")}
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        entries = lines(axis, curves[curves["measure"] == measure], labels, looks)
        axis.set_title(title)
        axis.set_xlabel(_("Shift, pixels"))
        axis.set_xticks(sorted(curves["order"].unique()))
    within_percent(axes[0], "y")
    legend(axes[0], entries, fontsize=8)
    return figure
