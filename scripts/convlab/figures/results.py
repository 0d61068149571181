"""Charts of results: accuracy by level with every seed, learning curves, costs, confusion, calibration."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convlab.figures.style import COLOURS, WIDTH, look

MAX_SERIES = 24
"""Curves drawn at most on one plot; more are thinned to the first ones, and the title says so."""

MANY = 60
"""Variants up to which each has a row with its name; more stand side by side, and some are named."""

NAMED = 12
"""Names along the axis where there are many variants."""


def every_seed(
    names: Sequence[str],
    values: Sequence[np.ndarray],
    intervals: Sequence[tuple[float | None, float | None]],
    looks: Sequence[int],
    xlabel: str,
) -> Figure:
    """Test accuracy of each variant: every run a point, the mean a bar, the 95 % t interval a line.

    Args:
        names: label of each variant, in the order to show.
        values: test accuracies (runs,) of each variant, fractions.
        intervals: (low, high) of each mean, None where there is none.
        looks: index of each variant's colour and marker.
    """
    if len(names) > MANY:
        centres = [np.nanmean(points) if np.isfinite(points).any() else np.nan for points in values]
        return _side_by_side(names, centres, intervals, xlabel or "Variants", "Test accuracy, %", values)
    rows = len(names) > 6
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.38 * len(names)) if rows else (WIDTH * 0.72, 3.3))
    for place, (points, interval, index) in enumerate(zip(values, intervals, looks, strict=True)):
        points = 100 * points[np.isfinite(points)]
        if not len(points):
            continue
        offsets = place + (np.linspace(-0.13, 0.13, len(points)) if len(points) > 1 else np.zeros(1))
        style = look(index)
        mean = points.mean()
        low, high = (None, None) if None in interval else (100 * interval[0], 100 * interval[1])
        draw = _horizontal(axis) if rows else _vertical(axis)
        if low is not None:
            draw["range"](place, low, high, color=style["color"], linewidth=1.6, alpha=0.75)
        draw["level"](mean, place - 0.24, place + 0.24, color=style["color"], linewidth=2.2)
        draw["points"](
            offsets, points, s=24, marker=style["marker"], facecolor="white", edgecolor=style["color"], zorder=3
        )
    if rows:
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xlabel("Test accuracy, %")
        axis.grid(axis="y", visible=False)
    else:
        axis.set_xticks(range(len(names)), [_wrapped(name) for name in names])
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.set_ylabel("Test accuracy, %")
        axis.set_xlabel(xlabel)
        axis.grid(axis="x", visible=False)
    return figure


def _side_by_side(
    names: Sequence[str],
    centres: Sequence[float],
    intervals: Sequence[tuple[float | None, float | None]],
    xlabel: str,
    ylabel: str,
    points: Sequence[np.ndarray] = (),
) -> Figure:
    """More variants than rows could be read: all on one axis in their order, so that the shape shows; fractions."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    places, (low, high) = np.arange(len(names)), 100 * np.array(intervals, dtype=float).T
    axis.vlines(places, low, high, color=COLOURS[0], linewidth=0.9, alpha=0.55)
    if len(points):
        seeds = np.concatenate([np.full(len(values), place) for place, values in enumerate(points)])
        axis.scatter(seeds, 100 * np.concatenate(points), s=3, color="#6B6B6B", linewidth=0, alpha=0.7)
    axis.plot(
        places, 100 * np.asarray(centres, dtype=float), linestyle="none", marker=".", markersize=4, color=COLOURS[0]
    )
    step = -(-len(names) // NAMED)
    axis.set_xticks(places[::step], list(names)[::step], rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_xlim(-1, len(names))
    axis.set_xlabel(f"{xlabel} ({len(names)} in order, one of {step} named)")
    axis.set_ylabel(ylabel)
    axis.grid(axis="x", visible=False)
    return figure


def _vertical(axis) -> dict:
    return {
        "range": lambda place, low, high, **style: axis.vlines(place, low, high, **style),
        "level": lambda value, low, high, **style: axis.hlines(value, low, high, **style),
        "points": lambda places, values, **style: axis.scatter(places, values, **style),
    }


def _horizontal(axis) -> dict:
    return {
        "range": lambda place, low, high, **style: axis.hlines(place, low, high, **style),
        "level": lambda value, low, high, **style: axis.vlines(value, low, high, **style),
        "points": lambda places, values, **style: axis.scatter(values, places, **style),
    }


def forest(contrasts: pd.DataFrame, labels: Sequence[str], rope: float, looks: Sequence[int]) -> Figure:
    """Differences to the reference with their simultaneous 95 % intervals, over the region of practical equivalence.

    Args:
        contrasts: rows with difference, ci_low, ci_high (fractions) and verdict.
        labels: one label per row.
        rope: half width of the region, a fraction.
    """
    if len(contrasts) > MANY:
        limits = list(zip(contrasts["ci_low"], contrasts["ci_high"], strict=True))
        figure = _side_by_side(labels, contrasts["difference"], limits, "Comparisons", "Difference, percentage points")
        figure.axes[0].axhspan(-100 * rope, 100 * rope, color="#8fa3b0", alpha=0.22, linewidth=0, zorder=0)
        figure.axes[0].axhline(0, color="#555555", linewidth=0.8, zorder=1)
        return figure
    figure, axis = plt.subplots(figsize=(WIDTH * 0.9, 1.1 + 0.42 * len(contrasts)))
    axis.axvspan(-100 * rope, 100 * rope, color="#8fa3b0", alpha=0.22, linewidth=0, label=f"± {100 * rope:g} pp")
    axis.axvline(0, color="#555555", linewidth=0.8)
    for place, (row, index) in enumerate(zip(contrasts.itertuples(), looks, strict=True)):
        if row.difference is None or math.isnan(row.difference):
            continue
        style = look(index)
        if row.ci_low is not None and not math.isnan(row.ci_low):
            axis.hlines(place, 100 * row.ci_low, 100 * row.ci_high, color=style["color"], linewidth=1.8)
        axis.plot(100 * row.difference, place, marker=style["marker"], color=style["color"], markersize=6)
    axis.set_yticks(
        range(len(contrasts)),
        [f"{label}\n{verdict}" for label, verdict in zip(labels, contrasts["verdict"], strict=True)],
    )
    axis.set_ylim(len(contrasts) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("Difference of test accuracy, percentage points")
    return figure


def combinations(
    means: np.ndarray,
    spreads: np.ndarray,
    factors: tuple[str, str],
    labels: tuple[Sequence[str], Sequence[str]],
    reference: tuple[int, int],
) -> Figure:
    """Heat map of mean test accuracy over all combinations of two factors, with SDs over seeds; the reference framed.

    Args:
        means, spreads: fractions (levels of the first factor, levels of the second), NaN where there is none.
        factors, labels: names of both factors and of their levels; the first one's go down, the second one's across.
        reference: row and column of the reference.
    """
    rows, columns = means.shape
    text = np.array(
        [
            [
                "–" if not math.isfinite(mean) else f"{100 * mean:.2f}"
                + (f"\n± {100 * spread:.2f}" if math.isfinite(spread) else "")
                for mean, spread in zip(line, spread_line, strict=True)
            ]
            for line, spread_line in zip(means, spreads, strict=True)
        ]
    )  # fmt: skip
    figure, axis = plt.subplots(figsize=(min(WIDTH, 2.4 + 1.05 * columns), 1.3 + 0.62 * rows))
    sns.heatmap(
        100 * means, ax=axis, annot=text, fmt="", cmap="viridis", linewidths=0.8, linecolor="white",
        xticklabels=list(labels[1]), yticklabels=list(labels[0]), annot_kws={"fontsize": 8},
        cbar_kws={"label": "Test accuracy, %"},
    )  # fmt: skip
    axis.add_patch(
        plt.Rectangle((reference[1] + 0.03, reference[0] + 0.03), 0.94, 0.94, fill=False, edgecolor=COLOURS[1], lw=2.5)
    )
    axis.set_xlabel(factors[1].replace("_", " ").capitalize())
    axis.set_ylabel(factors[0].replace("_", " ").capitalize())
    axis.tick_params(axis="y", labelrotation=0)
    return figure


def learning_curves(histories: Mapping[str, Sequence[pd.DataFrame]], looks: Mapping[str, int]) -> Figure:
    """Loss and accuracy by epoch of all variants on one plot: validation in bold, training thin; mean over seeds.

    Args:
        histories: label -> one frame per finished run with epoch, loss, accuracy, val_loss, val_accuracy.
        looks: label -> index of its colour.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    shown = list(histories.items())[:MAX_SERIES]
    for label, runs in shown:
        style = look(looks[label])
        mean = pd.concat(runs).groupby("epoch").mean()
        for axis, measure, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
            curve = mean[f"val_{measure}"] * scale
            axis.plot(curve.index, curve, label=label, linewidth=1.6, markersize=4, **style)
            axis.plot(mean.index, mean[measure] * scale, color=style["color"], linewidth=0.8, alpha=0.55)
            if len(runs) > 1:
                spread = pd.concat(runs).groupby("epoch")[f"val_{measure}"].agg(["min", "max"]) * scale
                axis.fill_between(
                    spread.index, spread["min"], spread["max"], color=style["color"], alpha=0.12, linewidth=0
                )
    for axis, title in zip(axes, ("Loss", "Accuracy, %"), strict=True):
        axis.set_title(title)
        axis.set_xlabel("Epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    return figure


def accuracy_against_costs(variants: pd.DataFrame, looks: Sequence[int]) -> Figure:
    """Mean test accuracy against parameters, multiply-accumulates and training time per epoch.

    Args:
        variants: rows with label, parameters, macs, seconds_per_epoch, test_accuracy_mean, test_accuracy_sd.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.9), sharey=True)
    measures = {
        "parameters": "Parameters",
        "macs": "Multiply-accumulates per image",
        "seconds_per_epoch": "Training time, s per epoch",
    }
    means = 100 * variants["test_accuracy_mean"].astype(float)
    spreads = 100 * variants["test_accuracy_sd"].astype(float).fillna(0)
    for axis, (column, title) in zip(axes, measures.items(), strict=True):
        if len(variants) > MANY:  # no colour could tell them apart
            axis.errorbar(variants[column], means, yerr=spreads, fmt=".", color=COLOURS[0], alpha=0.5, linewidth=0.6)
        for row, index in zip(variants.to_dict("records") if len(variants) <= MANY else (), looks, strict=False):
            style = look(index) | {"linestyle": "none"}
            if row["test_accuracy_mean"] is None or math.isnan(row["test_accuracy_mean"]):
                continue
            spread = 0 if row["test_accuracy_sd"] is None else 100 * np.nan_to_num(row["test_accuracy_sd"])
            axis.errorbar(
                row[column], 100 * row["test_accuracy_mean"], yerr=spread, capsize=2, label=row["label"], **style
            )
        low, high = variants[column].min(), variants[column].max()
        if high > 8 * low:
            axis.set_xscale("log")
        axis.set_xlabel(title)
        axis.xaxis.set_major_locator(MaxNLocator(4)) if high <= 8 * low else None
        axis.tick_params(axis="x", labelrotation=30)
    axes[0].set_ylabel("Test accuracy, %")
    handles, names = axes[0].get_legend_handles_labels()
    if len(names) <= MAX_SERIES:
        figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Confusion of one variant: share of each true class that was predicted as each class, in %.

    Args:
        matrix: counts (classes, classes), summed over runs; rows are true classes.
    """
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(0.43 * len(classes) + 1.6, 3.6), 12)
    figure, axis = plt.subplots(figsize=(side + 0.6, side))
    sns.heatmap(
        share,
        ax=axis,
        annot=np.vectorize(lambda value: f"{value:.0f}" if value >= 0.5 else "")(share)
        if len(classes) <= 25
        else False,
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=100,
        square=True,
        linewidths=0.4,
        linecolor="white",
        xticklabels=list(classes),
        yticklabels=list(classes),
        cbar_kws={"label": "% of the true class", "shrink": 0.75},
        annot_kws={"fontsize": 7.5},
    )
    axis.set_xlabel("Predicted class")
    axis.set_ylabel("True class")
    axis.tick_params(axis="x", labelrotation=45)
    plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
    axis.tick_params(axis="y", labelrotation=0)
    return figure


def calibration(curves: Mapping[str, np.ndarray], looks: Mapping[str, int]) -> Figure:
    """Reliability diagram: accuracy against confidence in bins of equally many images, mean over runs.

    Args:
        curves: label -> rows (mean confidence, accuracy, count).
    """
    figure, axis = plt.subplots(figsize=(WIDTH * 0.55, 3.6))
    axis.plot([0, 100], [0, 100], color="#888888", linewidth=0.8, linestyle="--", label="perfectly calibrated")
    for label, rows in list(curves.items())[:MAX_SERIES]:
        axis.plot(100 * rows[:, 0], 100 * rows[:, 1], label=label, linewidth=1.2, markersize=4, **look(looks[label]))
    low = min([100 * rows[:, :2].min() for rows in curves.values()], default=0)
    axis.set_xlim(max(low - 4, 0), 101)
    axis.set_ylim(max(low - 4, 0), 101)
    axis.set_xlabel("Confidence, %")
    axis.set_ylabel("Accuracy, %")
    axis.legend(loc="best", fontsize=7.5)
    return figure


def _wrapped(text: str, width: int = 16) -> str:
    """Break a label at spaces so that neighbours do not run into each other."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
