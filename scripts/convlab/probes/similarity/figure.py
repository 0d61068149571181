"""Figures of the similarity probe: variants beside seeds layer by layer, all variants, and the layers of each."""

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.figures.labels import TICK_CHARS, legend, shortened
from convlab.figures.marks import mark
from convlab.figures.palette import FAINT
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH, look
from convlab.language.numbers import missing, number
from convlab.probes.charts import probe_figure
from convlab.probes.measured import Measured
from convlab.probes.registry import level_label
from convlab.probes.similarity.table import CKA, Layers, cka, layers_of
from convlab.results.by_seed import common_seeds
from convlab.statistics.describe import summarise
from convlab.statistics.pairs import pseudo_values
from convlab.study.variants import Probe, Question

PROBE = "similarity"

LAST = "last_hidden"

MAX_ROWS = 36
"""Most rows of a chart of a question; of more layers, evenly spaced ones are shown."""

MAX_VARIANTS = 16
"""Most variants of a heat map."""

MAX_PANELS = 9
"""Most variants whose layers are shown."""

MAX_NUMBERED = 8
"""Most rows of a heat map whose cells are written out."""

PLACES = {"between variants": "o", "between seeds": "|", "untrained, between seeds": "x"}
"""Similarities in the chart of a question, each with its marker."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """A chart for each question, then the variants against each other, then the layers of each variant."""
    layers = {variant: layers_of(measured, results.dataset, variant) for variant in probe.models}
    known = {variant: of_variant for variant, of_variant in layers.items() if of_variant is not None}
    for question in results.study.plan.questions.values():
        rows = beside_reference(question, known, results.runs, curves)
        if len(rows):
            yield question_figure(probe, results, question, rows)
    last = {variant: of_variant for variant, of_variant in known.items() if LAST in of_variant.orders}
    shown = dict(list(last.items())[:MAX_VARIANTS])
    values = np.array([[_mean_of_pairs(shown[row], shown[column]) for column in shown] for row in shown])
    if np.isfinite(values).any():  # with one seed there are no pairs
        yield variants_figure(probe, results, list(shown), values, len(last) - len(shown))
    several = {variant: of_variant for variant, of_variant in known.items() if _several_layers(of_variant)}
    if several:
        drawn = dict(list(several.items())[:MAX_PANELS])
        yield layers_figure(probe, results, drawn, len(several) - len(drawn))


# ---------------------------------------------------------------------------------------------------------------------
# Variants beside seeds


def beside_reference(
    question: Question, known: Mapping[str, Layers], runs: pd.DataFrame, curves: pd.DataFrame
) -> pd.DataFrame:
    """Rows of variant, reference, layer, order, measure, mean and interval: what the chart of a question shows."""
    rows = []
    reference = known.get(question.reference)
    if reference is None:
        return pd.DataFrame()
    of_layer = curves.set_index(["variant", "level", "measure"])
    for variant in (name for name in question.variants if name in known):
        first = known[variant]
        seeds = [s for s in common_seeds(runs, [variant, question.reference]) if s in first.seeds]
        seeds = [seed for seed in seeds if seed in reference.seeds]
        for layer in (layer for layer in first.orders if layer in reference.orders):
            pairs = cka(first.of(layer, seeds), reference.of(layer, seeds))
            between = summarise(pseudo_values(pairs), limits=CKA)
            common = {"variant": variant, "reference": question.reference, "layer": layer, "order": first.orders[layer]}
            rows.append(
                {**common, "measure": "between variants", "mean": between.mean, "ci_low": between.ci_low,
                 "ci_high": between.ci_high}
            )  # fmt: skip
            for measure in ("between seeds", "untrained, between seeds"):
                both = [of_layer.loc[(name, layer, measure), "mean"] for name in (variant, question.reference)]
                rows.append({**common, "measure": measure, "mean": np.mean(np.array(both, float))})
    return pd.DataFrame(rows).dropna(subset="mean") if rows else pd.DataFrame()


def question_figure(probe: Probe, results: DatasetResults, question: Question, rows: pd.DataFrame) -> FigureFile:
    """The chart of one question."""
    title = _("Variants beside seeds: {question}", question=question.subject.capitalize() or question.name)
    texts = {
        True: N_(
            "CKA of the same layer in two networks: of a variant and {reference}, with different seeds (points, "
            "lines: 95 % jackknife t intervals over seeds); of two seeds of one variant, mean of both (bars); of two "
            "untrained networks with the same layers, likewise (crosses)."
        ),
        False: N_(
            "CKA of the same layer in two networks: of a variant and {reference}, with different seeds (points, "
            "without intervals); of two seeds of one variant, mean of both (bars); of two untrained networks with the "
            "same layers, likewise (crosses)."
        ),
    }
    with_intervals = bool(rows["ci_low"].notna().any())
    return probe_figure(
        results, probe, variants_beside_seeds(rows, results.labels, results.looks), title,
        _(texts[with_intervals], reference=results.labels[question.reference]),
        numbers=rows, suffix=f"question-{question.name}",
        reading=_("A point left of its bar: the two variants are less alike than two seeds of one; the sentences "
                  "above have the difference with its own interval. A cross as far right as the bar: that similarity "
                  "comes with the architecture and need not have been learned."),
    )  # fmt: skip


def variants_beside_seeds(rows: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Similarities by variant and layer: a row each."""
    shown = _rows_shown(rows)
    figure, axis = plt.subplots(figsize=(WIDTH, 1.2 + 0.26 * len(shown)))
    by_row = rows.set_index(["variant", "layer"])
    texts = []
    for position, (variant, layer) in enumerate(shown):
        style, label = look(looks[variant]), labels[variant]
        name = level_label(PROBE, by_row.loc[[(variant, layer)], "order"].iloc[0])
        first = position == 0 or shown[position - 1][0] != variant
        texts.append(f"{shortened(label, TICK_CHARS)}: {name}" if first else name)
        for row in by_row.loc[[(variant, layer)]].itertuples():
            note = f"{label}, {name}, {_place(row.measure)}: {number(row.mean, 3)}"
            if row.measure == "between variants" and not missing(row.ci_low):
                mark(axis.hlines(position, row.ci_low, row.ci_high, color=style["color"]), variant, [note])
            colour = style["color"] if row.measure == "between variants" else FAINT
            size = 11 if row.measure == "between seeds" else 6
            drawn = axis.plot(row.mean, position, marker=PLACES[row.measure], color=colour, markersize=size,
                              markeredgewidth=2, linestyle="none")  # fmt: skip
            mark(drawn, variant, [note])
    axis.set_yticks(range(len(shown)), texts)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlim(right=1.02)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(_("CKA (1: the same up to rotation and scale)"))
    samples = [
        (plt.Line2D([], [], color=FAINT, marker=marker, markeredgewidth=2, linestyle="none"), _place(measure))
        for measure, marker in PLACES.items()
    ]
    legend(figure, samples, loc="outside upper right", ncols=3, fontsize=8)
    return figure


def _place(measure: str) -> str:
    return {
        "between variants": _("variant and reference"),
        "between seeds": _("two seeds of one variant"),
        "untrained, between seeds": _("two untrained networks"),
    }[measure]


def _rows_shown(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(variant, layer) of the chart's rows, evenly spaced layers of each variant where there are many."""
    variants = list(dict.fromkeys(rows["variant"]))
    most = max(2, MAX_ROWS // len(variants))
    shown = []
    for variant in variants:
        layers = list(dict.fromkeys(rows.loc[rows["variant"] == variant, "layer"]))
        kept = np.unique(np.linspace(0, len(layers) - 1, min(most, len(layers))).astype(int))
        shown += [(variant, layers[index]) for index in kept]
    return shown


# ---------------------------------------------------------------------------------------------------------------------
# Heat maps


def variants_figure(
    probe: Probe, results: DatasetResults, names: Sequence[str], values: np.ndarray, not_drawn: int
) -> FigureFile:
    """The last hidden layers of variants against each other: CKA by row and column, mean over pairs of seeds."""
    numbers = pd.DataFrame(
        [(row, column, values[i, j]) for i, row in enumerate(names) for j, column in enumerate(names)],
        columns=["variant", "other", "cka"],
    )
    figure, axis = plt.subplots(figsize=(min(WIDTH, 2.6 + 0.75 * len(names)), 1.2 + 0.5 * len(names)))
    _heat_map(axis, values, [shortened(results.labels[name], TICK_CHARS) for name in names])
    figure.colorbar(axis.images[0], ax=axis, label=_("CKA"))
    return probe_figure(
        results, probe, figure, _("Similarity of the variants' last hidden layers"),
        _("CKA of the last hidden layers of two networks with different seeds, mean over pairs; on the diagonal two "
          "seeds of one variant."),
        numbers=numbers, suffix="variants", not_drawn=not_drawn,
        reading=_("A cell as bright as the diagonal of its row and column: the two variants are as alike as two seeds "
                  "of one of them."),
    )  # fmt: skip


def _mean_of_pairs(first: Layers, second: Layers) -> float:
    """Mean CKA of the last hidden layers over pairs of runs with different seeds; NaN without any."""
    pairs = cka(first.of(LAST), second.of(LAST))
    different = np.not_equal.outer(first.seeds, second.seeds) & np.isfinite(pairs)
    return float(pairs[different].mean()) if different.any() else float("nan")


def layers_figure(probe: Probe, results: DatasetResults, layers: Mapping[str, Layers], not_drawn: int) -> FigureFile:
    """The layers of each variant against each other, within a run."""
    columns = min(len(layers), 3)
    rows = -(-len(layers) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.6 + 2.3 * rows), squeeze=False)
    numbers = []
    for axis in axes.flat[len(layers) :]:
        axis.axis("off")
    for axis, (variant, of_variant) in zip(axes.flat, layers.items(), strict=False):
        names = list(of_variant.orders)
        stored = [of_variant.of(name) for name in names]
        values = np.array([[_within_runs(first, second) for second in stored] for first in stored])
        numbers += [
            (variant, first, second, values[i, j]) for i, first in enumerate(names) for j, second in enumerate(names)
        ]
        _heat_map(axis, values, [_short(of_variant.orders[name]) for name in names])
        axis.set_title(shortened(results.labels[variant], TICK_CHARS), fontsize=8)
    figure.colorbar(axes.flat[0].images[0], ax=axes, label=_("CKA"), shrink=0.8)
    return probe_figure(
        results, probe, figure, _("Similarity of the layers of each variant"),
        _("CKA of two layers of one run, mean over the runs. Numbers are those of the convolutions, h is the last "
          "hidden layer."),
        numbers=pd.DataFrame(numbers, columns=["variant", "layer", "other", "cka"]), suffix="layers",
        not_drawn=not_drawn,
        reading=_("Bright blocks: neighbouring layers that represent the images alike. A dark last row: the hidden "
                  "layer tells images apart otherwise than the convolutions before it."),
    )  # fmt: skip


def _several_layers(layers: Layers) -> bool:
    """Whether a variant has several layers with similarities, for which four images are the fewest."""
    return len(layers.orders) > 1 and any(np.isfinite(layers.of(name)).any() for name in layers.orders)


def _within_runs(first: np.ndarray, second: np.ndarray) -> float:
    """Mean CKA of two layers of the same run: of vectors (runs, pairs of images)."""
    return float(np.nanmean((first * second).mean(axis=1)))


def _short(order: int) -> str:
    return str(order) if order else "h"


def _heat_map(axis: plt.Axes, values: np.ndarray, names: Sequence[str]) -> None:
    """Similarities from 0 to 1 as a heat map, written out in small ones."""
    axis.imshow(values, cmap="viridis", vmin=0, vmax=1)
    axis.grid(visible=False)
    axis.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 4 else 30, fontsize=7,
                    ha="center" if max(map(len, names)) < 4 else "right")  # fmt: skip
    axis.set_yticks(range(len(names)), names, fontsize=7)
    if len(names) <= MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "black" if value > 0.6 else "white"
                axis.text(column, row, number(value, 2), ha="center", va="center", fontsize=7, color=ink)
