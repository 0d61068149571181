"""Charts of probes: curves over levels, each with its interval over seeds."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number, with_unit
from convlab.figures.labels import legend, within_percent
from convlab.figures.marks import mark
from convlab.figures.style import WIDTH, look
from convlab.study.labels import probe_level


def permutation(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy of each model on intact and on shuffled images: a line per model over the size of what stays whole."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    levels = curves.drop_duplicates("order").sort_values("order", ascending=False)
    places = {order: place for place, order in enumerate(levels["order"])}
    entries = _lines(axis, curves, labels, looks, lambda order: places[order])
    axis.set_xticks(range(len(levels)), [probe_level("pixel_permutation", order) for order in levels["order"]])
    axis.set_xlim(-0.3, len(levels) - 0.7)
    axis.set_ylabel(_("Test accuracy, %"))
    within_percent(axis, "y")
    legend(axis, entries, fontsize=8)
    return figure


def translation(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy, and consistency of the predictions, by the distance that the test images are shifted."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.1), sharey=True)
    titles = {"accuracy": _("Accuracy, %"), "consistency": _("Same prediction as unshifted, %")}
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        entries = _lines(axis, curves[curves["measure"] == measure], labels, looks, float)
        axis.set_title(title)
        axis.set_xlabel(_("Shift, pixels"))
        axis.set_xticks(sorted(curves["order"].unique()))
    within_percent(axes[0], "y")
    legend(axes[0], entries, fontsize=8)
    return figure


def sample_efficiency(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy by number of training images, on a logarithmic scale; all images stand at the right end."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    levels = curves.drop_duplicates("order").sort_values("order")
    finite = [order for order in levels["order"] if not math.isinf(order)]
    places = {order: math.log10(order) for order in finite}
    places[math.inf] = max(places.values(), default=0) + 0.5
    entries = _lines(axis, curves, labels, looks, places.__getitem__)
    names = [_("all") if math.isinf(order) else number(order, ",.0f") for order in levels["order"]]
    axis.set_xticks([places[order] for order in levels["order"]], names)
    axis.set_xlabel(_("Training images"))
    axis.set_ylabel(_("Test accuracy, %"))
    within_percent(axis, "y")
    legend(axis, entries, fontsize=8)
    return figure


def receptive_field(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy of every convolutional variant against the pixels that one unit of its last feature map sees."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.72, 3.3))
    entries = []
    for row in curves.dropna(subset=["mean"]).itertuples():
        style = look(looks[row.variant]) | {"linestyle": "none"}
        spread, mean = 0 if row.sd is None or math.isnan(row.sd) else 100 * row.sd, 100 * row.mean
        label = labels[row.variant]
        reach = [[min(spread, mean)], [min(spread, 100 - mean)]]  # no accuracy lies beyond 0 and 100
        drawn = axis.errorbar(row.order, mean, yerr=reach, capsize=2, **style)
        entries.append((drawn, label))
        accuracy = f"{number(100 * row.mean, '.2f')} ± {with_unit(number(spread, '.2f'), '%')}"
        about = _("{label}: {accuracy}, sees {n} pixels", label=label, accuracy=accuracy, n=f"{row.order:.0f}")
        mark([part for part in drawn.get_children() if part is not None], row.variant, [about])
    axis.set_xlabel(_("Receptive field of the last feature map, pixels"))
    axis.set_ylabel(_("Test accuracy, % (mean ± SD)"))
    within_percent(axis, "y")
    if 0 < len(entries) <= 12:
        legend(axis, entries, fontsize=7.5)
    return figure


def _lines(axis, curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int], place) -> list:
    """One line per variant with its 95 % intervals; returns what a legend needs, (line, label) of each."""
    entries = []
    for variant, group in curves.groupby("variant", sort=False):
        group = group.sort_values("order", ascending=False)
        x = [place(order) for order in group["order"]]
        y, style = 100 * group["mean"], look(looks[variant])
        (line,) = axis.plot(x, y, linewidth=1.6, markersize=5, **style)
        entries.append((line, labels[variant]))
        levels = [probe_level(probe, order) for probe, order in zip(group["probe"], group["order"], strict=True)]
        name = labels[variant]
        shares = [with_unit(number(value, ".2f"), "%") for value in y]
        mark(line, variant, [f"{name}, {level}: {share}" for level, share in zip(levels, shares, strict=True)])
        known = group["ci_low"].notna()
        if known.any():
            at = [value for value, there in zip(x, known, strict=True) if there]
            limits = [(100 * group[name][known]).clip(0, 100) for name in ("ci_low", "ci_high")]
            mark(axis.vlines(at, *limits, color=style["color"], alpha=0.7), variant)
    return entries
