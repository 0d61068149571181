"""Charts of errors: recall by class, confusion, calibration."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from convlab.common.i18n import gettext as _
from convlab.evaluation.metrics import ratio
from convlab.figures.labels import TICK_CHARS, legend, shortened, within_percent
from convlab.figures.marks import mark
from convlab.figures.palette import FAINT
from convlab.figures.series import MAX_NAMED_ROWS, MAX_SERIES, Series, mean_and_spread, name_some, percent_text
from convlab.figures.style import WIDTH, look

MAX_ANNOTATED_CLASSES, CLASS_NAME_CHARS = 25, 20
"""Up to this many classes each cell of a confusion matrix has its number; characters of a class's name beside it."""


def recall_by_class(recalls: pd.DataFrame, series: Sequence[Series], classes: Sequence[str]) -> Figure:
    """Recall of every class, a point per variant: the mean over seeds, with its SD as a line.

    Args:
        recalls: rows of per_class with variant, class, recall, recall_sd (fractions).
        series: the variants, in order.
        classes: the classes from top to bottom.
    """
    if len(classes) > MAX_NAMED_ROWS:
        return _recall_side_by_side(recalls, series, classes)
    figure, axis = plt.subplots(figsize=(WIDTH * 0.9, 1.2 + 0.3 * len(classes)))
    entries = []
    shift = np.linspace(-0.18, 0.18, len(series)) if len(series) > 1 else np.zeros(1)
    for variant, offset in zip(series, shift, strict=True):
        rows = recalls[recalls["variant"] == variant.name].set_index("class").reindex(classes)
        y, x, style = np.arange(len(classes)) + offset, 100 * rows["recall"].to_numpy(dtype=float), look(variant.index)
        spread = 100 * rows["recall_sd"].to_numpy(dtype=float)
        low, high = (x - spread).clip(0, 100), (x + spread).clip(0, 100)
        mark(axis.hlines(y, low, high, color=style["color"], linewidth=1.2, alpha=0.75), variant.name)
        (points,) = axis.plot(x, y, markersize=5, **(style | {"linestyle": "none"}))
        entries.append((points, variant.label))
        measured = zip(classes, x, spread, strict=True)
        notes = [f"{variant.label}, {name}: {mean_and_spread(value, sd, 1)}" for name, value, sd in measured]
        mark(points, variant.name, notes)
    axis.set_yticks(range(len(classes)), [shortened(name, TICK_CHARS) for name in classes])
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlabel(_("Recall, % (mean ± SD over seeds)"))
    within_percent(axis, "x")
    legend(figure, entries, loc="outside lower center", ncols=min(3, len(series)), frameon=False)
    return figure


def _recall_side_by_side(recalls: pd.DataFrame, series: Sequence[Series], classes: Sequence[str]) -> Figure:
    """Recall of many classes on one axis in their order: means only, some classes labelled."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    entries = []
    for variant in series:
        rows = recalls[recalls["variant"] == variant.name].set_index("class").reindex(classes)
        values, style = 100 * rows["recall"].to_numpy(dtype=float), look(variant.index) | {"linestyle": "none"}
        (points,) = axis.plot(range(len(classes)), values, markersize=2.5, **style)
        notes = [
            f"{variant.label}, {name}: {percent_text(value, 1)}"
            for name, value in zip(classes, values, strict=True)
            if np.isfinite(value)
        ]
        mark(points, variant.name, notes)
        entries.append((points, variant.label))
    name_some(axis, classes, _("Classes"))
    axis.set_ylabel(_("Recall, % (mean over seeds)"))
    within_percent(axis, "y")
    legend(figure, entries, loc="outside lower center", ncols=min(3, len(series)), frameon=False)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Confusion matrix of one variant: share of each true class that was predicted as each class, in %.

    Args:
        matrix: counts (classes, classes), summed over runs; rows are true classes.

    The row of a class without test images is empty and labelled so.
    """
    share = 100 * ratio(matrix, matrix.sum(axis=1, keepdims=True))
    if len(classes) > MAX_ANNOTATED_CLASSES:
        return _confusion_raster(share, classes)
    side = min(max(0.43 * len(classes) + 1.6, 3.6), 12)
    figure, axis = plt.subplots(figsize=(side + 0.6, side))
    sns.heatmap(
        share,
        ax=axis,
        annot=np.vectorize(lambda value: f"{value:.0f}" if value >= 0.5 else "")(np.nan_to_num(share)),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=100,
        square=True,
        linewidths=0.4,
        linecolor="white",
        xticklabels=[shortened(name, CLASS_NAME_CHARS) for name in classes],
        yticklabels=[shortened(name, CLASS_NAME_CHARS) for name in classes],
        cbar_kws={"label": _("% of the true class"), "shrink": 0.75},
        annot_kws={"fontsize": 7.5},
    )
    for row in np.flatnonzero(np.isnan(share).all(axis=1)):
        axis.text(len(classes) / 2, row + 0.5, _("no test images"), ha="center", va="center", fontsize=7.5, color=FAINT)
    axis.set_xlabel(_("Predicted class"))
    axis.set_ylabel(_("True class"))
    axis.tick_params(axis="x", labelrotation=45)
    plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
    axis.tick_params(axis="y", labelrotation=0)
    return figure


def _confusion_raster(share: np.ndarray, classes: Sequence[str]) -> Figure:
    """Confusion matrix of many classes as one image: some classes labelled, colours on a square-root scale."""
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH * 0.86))
    image = axis.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="none")
    step = -(-len(classes) // MAX_NAMED_ROWS)
    positions = range(0, len(classes), step)
    names = [shortened(name, CLASS_NAME_CHARS) for name in classes[::step]]
    size = 7 if len(positions) <= 40 else 5
    axis.set_xticks(positions, names, rotation=90, fontsize=size)
    axis.set_yticks(positions, names, fontsize=size)
    axis.grid(visible=False)
    axis.set_xlabel(_("Predicted class"))
    axis.set_ylabel(_("True class"))
    figure.colorbar(image, label=_("% of the true class"), shrink=0.75)
    return figure


def calibration(curves: Sequence[tuple[Series, np.ndarray]]) -> Figure:
    """Reliability diagram: accuracy against confidence in bins of equally many images, mean over runs.

    Args:
        curves: of each variant rows (mean confidence, accuracy, count).
    """
    figure, axis = plt.subplots(figsize=(WIDTH * 0.55, 3.6))
    (ideal,) = axis.plot([0, 100], [0, 100], color=FAINT, linewidth=0.8, linestyle="--")
    entries = [(ideal, _("perfectly calibrated"))]
    for variant, rows in curves[:MAX_SERIES]:
        x, y = 100 * rows[:, 0], 100 * rows[:, 1]
        (line,) = axis.plot(x, y, linewidth=1.2, markersize=4, clip_on=False, **look(variant.index))
        entries.append((line, variant.label))
        notes = [
            _("{label}: confidence {confidence}, accuracy {accuracy}",
              label=variant.label, confidence=percent_text(a, 1), accuracy=percent_text(b, 1))
            for a, b in zip(x, y, strict=True)
        ]  # fmt: skip
        mark(line, variant.name, notes)
    low = min([100 * rows[:, :2].min() for _, rows in curves], default=0)
    axis.set_xlim(max(low - 4, 0), 100)
    axis.set_ylim(max(low - 4, 0), 100)
    axis.set_xlabel(_("Confidence, %"))
    axis.set_ylabel(_("Accuracy, %"))
    legend(axis, entries, loc="best", fontsize=7.5)
    return figure
