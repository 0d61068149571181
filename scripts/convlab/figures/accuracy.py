"""Charts of the metric that verdicts are about: every seed, differences, combinations, learning curves, costs."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, ScalarFormatter

from convlab.common.i18n import N_, number
from convlab.common.i18n import gettext as _
from convlab.figures.labels import TICK_CHARS, legend, shortened, within_percent
from convlab.figures.marks import mark
from convlab.figures.palette import BAND, COLOURS, FAINT, PAPER
from convlab.figures.series import MAX_NAMED_ROWS, MAX_SERIES, Series, name_some, percent_text
from convlab.figures.style import WIDTH, look
from convlab.language import numbers as say
from convlab.language.contrasts import VERDICTS
from convlab.study.metrics import ACCURACY, Metric

MAX_LINE_CHARS = 16
"""Characters per line of a label below an axis."""


def every_seed(
    series: Sequence[Series],
    values: Sequence[Mapping[int, float]],
    intervals: Sequence[tuple[float | None, float | None]],
    xlabel: str,
    metric: Metric = ACCURACY,
) -> Figure:
    """A metric of each variant: every run a point, the mean a bar, the 95 % t interval a line.

    Args:
        series: the variants, in the order to show.
        values: of each variant, seed -> value of the metric, a share as a fraction.
        intervals: (low, high) of each mean, None without an interval.
    """
    factor = scale(metric)
    if len(series) > MAX_NAMED_ROWS:
        finite = [[value for value in by_seed.values() if math.isfinite(value)] for by_seed in values]
        means = [sum(points) / len(points) if points else math.nan for points in finite]
        limits = [(None, None) if None in pair else tuple(np.clip(pair, *metric.limits)) for pair in intervals]
        figure = _side_by_side(series, means, limits, (xlabel or _("Variants"), axis_label(metric)), factor, finite)
        within_limits(figure.axes[0], "y", metric)
        return figure
    rows = len(series) > 6
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.38 * len(series)) if rows else (WIDTH * 0.72, 3.3))
    draw = _horizontal(axis) if rows else _vertical(axis)
    for position, (variant, by_seed, interval) in enumerate(zip(series, values, intervals, strict=True)):
        points = {seed: factor * value for seed, value in by_seed.items() if math.isfinite(value)}
        if not points:
            continue
        offsets = position + (np.linspace(-0.13, 0.13, len(points)) if len(points) > 1 else np.zeros(1))
        style, mean = look(variant.index), sum(points.values()) / len(points)
        note = _(
            "{label}: mean {mean}, n = {n}", label=variant.label, mean=say.level(mean / factor, metric), n=len(points)
        )
        if None not in interval:
            low, high = (factor * limit for limit in np.clip(interval, *metric.limits))
            note = f"{note}, {say.ci_text(low / factor, high / factor, metric.unit)}"
            line = draw["range"](position, low, high, color=style["color"], linewidth=1.6, alpha=0.75)
            mark(line, variant.name, [note])
        bar = draw["level"](mean, position - 0.24, position + 0.24, color=style["color"], linewidth=2.2)
        mark(bar, variant.name, [note])
        dots = draw["points"](
            offsets,
            list(points.values()),
            s=24,
            marker=style["marker"],
            facecolor=PAPER,
            edgecolor=style["color"],
            zorder=3,
        )
        notes = [
            _(
                "{variant}, seed {seed}: {value}",
                variant=variant.label,
                seed=seed,
                value=say.level(value / factor, metric),
            )
            for seed, value in points.items()
        ]
        mark(dots, variant.name, notes)
    names = [shortened(variant.label, TICK_CHARS if rows else 3 * MAX_LINE_CHARS) for variant in series]
    if rows:
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xlabel(axis_label(metric))
        axis.grid(axis="y", visible=False)
    else:
        axis.set_xticks(range(len(names)), [_wrapped(name) for name in names])
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.set_ylabel(axis_label(metric))
        axis.set_xlabel(xlabel)
        axis.grid(axis="x", visible=False)
    within_limits(axis, "x" if rows else "y", metric)
    return figure


def scale(metric: Metric) -> int:
    """What values of a metric are multiplied by on an axis."""
    return 100 if metric.is_share else 1


def axis_label(metric: Metric) -> str:
    """Title and unit of a metric: ``Test accuracy, %``."""
    return f"{_(metric.title)}, {metric.unit}"


def within_limits(axis: Axes, which: str, metric: Metric) -> None:
    """Limit an axis (``x`` or ``y``) to the values that a share can have; a loss has no such end in sight."""
    if metric.is_share:
        within_percent(axis, which)


def _side_by_side(
    series: Sequence[Series],
    centres: Sequence[float],
    intervals: Sequence[tuple[float | None, float | None]],
    labels: tuple[str, str],
    factor: int,
    points: Sequence[Sequence[float]] = (),
) -> Figure:
    """Many variants on one axis in their order, some labelled; values are drawn multiplied by ``factor``.

    Args:
        labels: of the x axis and of the y axis.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    names = [shortened(variant.label, TICK_CHARS) for variant in series]
    positions, (low, high) = np.arange(len(names)), factor * np.array(intervals, dtype=float).T
    axis.vlines(positions, low, high, color=COLOURS[0], linewidth=0.9, alpha=0.55)
    if len(points):
        seeds = np.concatenate([np.full(len(values), position) for position, values in enumerate(points)])
        axis.scatter(seeds, factor * np.concatenate(points), s=3, color="#6B6B6B", linewidth=0, alpha=0.7)
    middle = factor * np.asarray(centres, dtype=float)
    (dots,) = axis.plot(positions, middle, linestyle="none", marker=".", markersize=4, color=COLOURS[0])
    known = [(name, value) for name, value in zip(names, middle, strict=True) if math.isfinite(value)]
    decimals = ".2f" if factor > 1 else ".4f"
    mark(dots, notes=[f"{name}: {number(value, decimals)}" for name, value in known])
    name_some(axis, names, labels[0])
    axis.set_ylabel(labels[1])
    return figure


def _vertical(axis) -> dict:
    return {
        "range": lambda position, low, high, **style: axis.vlines(position, low, high, **style),
        "level": lambda value, low, high, **style: axis.hlines(value, low, high, **style),
        "points": lambda positions, values, **style: axis.scatter(positions, values, **style),
    }


def _horizontal(axis) -> dict:
    return {
        "range": lambda position, low, high, **style: axis.hlines(position, low, high, **style),
        "level": lambda value, low, high, **style: axis.vlines(value, low, high, **style),
        "points": lambda positions, values, **style: axis.scatter(values, positions, **style),
    }


def forest(contrasts: pd.DataFrame, series: Sequence[Series], rope: float, metric: Metric = ACCURACY) -> Figure:
    """Differences to the reference with their simultaneous 95 % intervals, over the region of practical equivalence.

    Args:
        contrasts: rows with difference, ci_low, ci_high (of shares as fractions) and verdict.
        series: one for each row.
        rope: half width of the region, likewise.
    """
    factor, unit = scale(metric), _("percentage points") if metric.is_share else metric.difference_unit
    if len(contrasts) > MAX_NAMED_ROWS:
        limits = list(zip(contrasts["ci_low"], contrasts["ci_high"], strict=True))
        titles = _("Comparisons"), _("Difference, {unit}", unit=unit)
        figure = _side_by_side(series, contrasts["difference"], limits, titles, factor)
        figure.axes[0].axhspan(-factor * rope, factor * rope, color=BAND, alpha=0.3, linewidth=0, zorder=0)
        figure.axes[0].axhline(0, color=FAINT, linewidth=0.8, zorder=1)
        return figure
    figure, axis = plt.subplots(figsize=(WIDTH * 0.9, 1.1 + 0.42 * len(contrasts)))
    band = axis.axvspan(-factor * rope, factor * rope, color=BAND, alpha=0.3, linewidth=0)
    region = say.region(rope, metric.difference_unit)
    mark(band, notes=[_("Region of practical equivalence, {region}", region=region)])
    axis.axvline(0, color=FAINT, linewidth=0.8)
    for position, (row, variant) in enumerate(zip(contrasts.itertuples(), series, strict=True)):
        if row.difference is None or math.isnan(row.difference):
            continue
        style, note = look(variant.index), f"{variant.label}: {say.change(row.difference, metric)}"
        if row.ci_low is not None and not math.isnan(row.ci_low):
            note = f"{note}, {say.change_ci_text(row.ci_low, row.ci_high, metric)}"
            ends = factor * row.ci_low, factor * row.ci_high
            line = axis.hlines(position, *ends, color=style["color"], linewidth=1.8)
            mark(line, variant.name, [note])
        middle = factor * row.difference
        point = axis.plot(middle, position, marker=style["marker"], color=style["color"], markersize=6)
        mark(point, variant.name, [note])
    axis.set_yticks(
        range(len(contrasts)),
        [
            f"{shortened(variant.label, 2 * TICK_CHARS)}\n{_(VERDICTS[verdict])}"
            for variant, verdict in zip(series, contrasts["verdict"], strict=True)
        ],
    )
    axis.set_ylim(len(contrasts) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(_("Difference of {metric}, {unit}", metric=_(metric.name), unit=unit))
    return figure


def combinations(
    means: np.ndarray,
    spreads: np.ndarray,
    factors: tuple[str, str],
    labels: tuple[Sequence[str], Sequence[str]],
    reference: tuple[int, int],
    metric: Metric = ACCURACY,
) -> Figure:
    """Heat map of a metric's mean over all combinations of two factors, with SDs over seeds; the reference framed.

    Args:
        means, spreads: shares as fractions (levels of the first factor, levels of the second), NaN where there is none.
        factors, labels: names of both factors and of their levels; the first one's go down, the second one's across.
        reference: row and column of the reference.
    """
    rows, columns = means.shape
    factor, decimals = scale(metric), ".2f" if metric.is_share else ".4f"
    text = np.array(
        [
            [
                "–" if not math.isfinite(mean) else number(factor * mean, decimals)
                + (f"\n± {number(factor * spread, decimals)}" if math.isfinite(spread) else "")
                for mean, spread in zip(line, spread_line, strict=True)
            ]
            for line, spread_line in zip(means, spreads, strict=True)
        ]
    )  # fmt: skip
    figure, axis = plt.subplots(figsize=(min(WIDTH, 2.4 + 1.05 * columns), 1.3 + 0.62 * rows))
    sns.heatmap(
        factor * means, ax=axis, annot=text, fmt="", cmap="viridis", linewidths=0.8, linecolor="white",
        xticklabels=[shortened(label, MAX_LINE_CHARS) for label in labels[1]],
        yticklabels=[shortened(label, TICK_CHARS) for label in labels[0]], annot_kws={"fontsize": 8},
        cbar_kws={"label": axis_label(metric)},
    )  # fmt: skip
    axis.add_patch(
        plt.Rectangle((reference[1] + 0.03, reference[0] + 0.03), 0.94, 0.94, fill=False, edgecolor=COLOURS[1], lw=2.5)
    )
    axis.set_xlabel(factors[1].replace("_", " ").capitalize())
    axis.set_ylabel(factors[0].replace("_", " ").capitalize())
    axis.tick_params(axis="y", labelrotation=0)
    return figure


def learning_curves(histories: Sequence[tuple[Series, pd.DataFrame]]) -> Figure:
    """Loss and accuracy by epoch of all variants on one plot: validation in bold, training thin; mean over seeds.

    A third plot has the learning rate of each epoch's last step, if it varies within any run.

    Args:
        histories: of each variant one row per finished run and epoch: seed, epoch, loss, accuracy, val_loss,
            val_accuracy, learning_rate.
    """
    shown = histories[:MAX_SERIES]
    scheduled = any((runs.groupby("seed")["learning_rate"].nunique() > 1).any() for _series, runs in shown)
    figure, axes = plt.subplots(1, 3 if scheduled else 2, figsize=(WIDTH, 3.2))
    entries, last = [], 1
    for variant, runs in shown:
        style, by_epoch = look(variant.index), runs.groupby("epoch")
        mean = by_epoch.mean()
        if scheduled:
            mark(axes[2].plot(mean.index, mean["learning_rate"], linewidth=1.2, **style), variant.name)
        for axis, measure, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
            curve = mean[f"val_{measure}"] * scale
            (line,) = axis.plot(curve.index, curve, linewidth=1.6, markersize=4, **style)
            validated, trained = CURVES[measure]
            values = [percent_text(value) if measure == "accuracy" else number(value, ".4f") for value in curve]
            notes = [
                _(validated, label=variant.label, epoch=epoch, value=value)
                for epoch, value in zip(curve.index, values, strict=True)
            ]
            mark(line, variant.name, notes)
            thin = axis.plot(mean.index, mean[measure] * scale, color=style["color"], linewidth=0.8, alpha=0.55)
            mark(thin, variant.name, [_(trained, label=variant.label)])
            if runs["seed"].nunique() > 1:
                spread = by_epoch[f"val_{measure}"].agg(["min", "max"]) * scale
                band = axis.fill_between(
                    spread.index, spread["min"], spread["max"], color=style["color"], alpha=0.12, linewidth=0
                )
                mark(band, variant.name)
        entries.append((line, variant.label))
        last = max(last, int(runs["epoch"].max()))
    titles = (_("Loss"), _("Accuracy, %"), _("Learning rate"))[: len(axes)]
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
        axis.set_xlabel(_("Epoch"))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if last == 1:  # a point and not a curve: no axis of fractions of an epoch around it
            axis.set_xlim(0.5, 1.5)
            axis.set_xticks([1])
    within_percent(axes[1], "y")
    legend(figure, entries, loc="outside lower center", ncols=min(3, len(entries)), frameon=False)
    return figure


CURVES = {
    "loss": (N_("{label}, epoch {epoch}: validation loss {value}"), N_("{label}: training loss")),
    "accuracy": (N_("{label}, epoch {epoch}: validation accuracy {value}"), N_("{label}: training accuracy")),
}
"""Tooltips of learning curves: validation, training."""


def against_costs(variants: pd.DataFrame, series: Sequence[Series], metric: Metric = ACCURACY) -> Figure:
    """Mean of a metric against parameters, multiply-accumulates and training time per epoch.

    Args:
        variants: rows with parameters, macs, seconds_per_epoch, and the metric's mean and SD.
        series: one for each row.
    """
    factor, (mean_column, sd_column) = scale(metric), (f"{metric.column}_{name}" for name in ("mean", "sd"))
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.9), sharey=True)
    entries = {}
    measures = {
        "parameters": _("Parameters"),
        "macs": _("Multiply-accumulates per image"),
        "seconds_per_epoch": _("Training time, s per epoch"),
    }
    means = factor * variants[mean_column].astype(float)
    spreads = _within(means, factor * variants[sd_column].astype(float).fillna(0), metric)
    for axis, (column, title) in zip(axes, measures.items(), strict=True):
        if len(variants) > MAX_NAMED_ROWS:  # too many for distinct colours
            axis.errorbar(variants[column], means, yerr=spreads, fmt=".", color=COLOURS[0], alpha=0.5, linewidth=0.6)
        shown = zip(variants.to_dict("records"), series, strict=True) if len(variants) <= MAX_NAMED_ROWS else ()
        for row, variant in shown:
            style = look(variant.index) | {"linestyle": "none"}
            mean, sd = row[mean_column], row[sd_column]
            if mean is None or math.isnan(mean):
                continue
            spread = None if sd is None or math.isnan(sd) else factor * sd  # undefined for one run
            bars = None if spread is None else _within([factor * mean], [spread], metric)
            drawn = axis.errorbar(row[column], factor * mean, yerr=bars, capsize=2, **style)
            entries.setdefault(variant.name, (drawn, variant.label))
            amount = number(row[column], ",.2f" if column == "seconds_per_epoch" else ",.0f")
            what = f"{title[:1].lower()}{title[1:]} {amount}"
            value = say.level_and_sd(mean, sd, metric)
            mark(
                [part for part in drawn.get_children() if part is not None],
                variant.name,
                [f"{variant.label}: {value}, {what}"],
            )
        low, high = variants[column].min(), variants[column].max()
        axis.set_xscale("log" if high > 8 * low else "linear")
        axis.xaxis.set_major_locator(LogLocator(numticks=4) if high > 8 * low else MaxNLocator(3, prune="upper"))
        axis.xaxis.set_major_formatter(EngFormatter() if high >= 1000 else ScalarFormatter(useOffset=False))
        axis.minorticks_off()
        axis.set_xlabel(title)
    axes[0].set_ylabel(axis_label(metric))
    within_limits(axes[0], "y", metric)
    if 0 < len(entries) <= MAX_SERIES:
        legend(figure, list(entries.values()), loc="outside lower center", ncols=min(3, len(entries)), frameon=False)
    return figure


def _within(means: Sequence[float], spreads: Sequence[float], metric: Metric) -> np.ndarray:
    """Error bars below and above their means, (2, n), clipped to the values that the metric can have."""
    means, spreads = np.asarray(means, dtype=float), np.asarray(spreads, dtype=float)
    low, high = (scale(metric) * limit for limit in metric.limits)
    return np.stack([np.minimum(spreads, (means - low).clip(min=0)), np.minimum(spreads, (high - means).clip(min=0))])


def _wrapped(text: str) -> str:
    """Wrap a label at spaces, long words anywhere, so that neighbours do not overlap."""
    return "\n".join(textwrap.wrap(text, MAX_LINE_CHARS))
