"""Filters and feature maps of every convolution: the levels of a question side by side, and single variants."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.datasets import prepared
from convlab.evaluation.records import Convolution, Features, read_features
from convlab.figures.examples import strips
from convlab.figures.sprites import Group, diverging, fitted, grey
from convlab.figures.study import DatasetResults, FigureFile
from convlab.language.captions import with_not_drawn
from convlab.results import columns
from convlab.results.loading import variants_with_details
from convlab.study import layout
from convlab.study.variants import Question

MAX_LEVELS = 8
"""Levels of a question that are shown, the reference and the first others."""

MAX_LAYERS = 12
"""Convolutions that have figures; of more the first, the last and others at equal distances."""

MAX_FILTERS = 16
"""Filters in a row, the first ones."""

MAX_MAPS = 11
"""Feature maps in a row, of the first filters."""

FRAME = 0xD5
"""Grey level around a kernel that is smaller than the largest of its figure."""


@dataclass(frozen=True)
class Row:
    """A variant of a figure: its label, and its convolution of the figure's layer."""

    variant: str
    label: str
    seed: int
    convolution: Convolution


def feature_figures(results: DatasetResults) -> Iterator[FigureFile]:
    """Filters and feature maps of the questions' levels by convolution, then of the variants with details.

    They are those of the first finished run of a variant, on the same test images for all; nothing for variants
    without convolutions.
    """
    images, truth = prepared.load_test(layout.prepared(results.folder, results.dataset))
    known: dict[str, Features] = {}

    def features(name: str) -> Features:
        if name not in known:
            known[name] = read_features(layout.evaluated(results.folder, results.dataset, name))
        return known[name]

    def figures(stem: str, what: str, labels: Mapping[str, str], subject: Mapping[str, str]) -> Iterator[FigureFile]:
        shown = {name: features(name) for name in labels}
        layers = spaced(
            dict.fromkeys(convolution.layer for of_one in shown.values() for convolution in of_one.convolutions)
        )
        for number, layer in layers:
            rows = [
                Row(name, labels[name], of_one.seed, convolution)
                for name, of_one in shown.items()
                for convolution in of_one.convolutions
                if convolution.layer == layer
            ]
            shared = {
                "numbers": measured(results, [row.variant for row in rows], layer),
                "subject": {**subject, "layer": layer, "grid": True},
            }
            yield filters_figure(results, f"{stem}-{number}-filters", f"{layer}, {what}", rows, shared)
            indices = next(shown[row.variant].images for row in rows)
            names = [results.classes[label] for label in truth[indices]]
            yield maps_figure(
                results, f"{stem}-{number}-maps", f"{layer}, {what}", rows, (images[indices], names), shared
            )

    for question in results.study.plan.questions.values():
        labels = levels_shown(results, question)
        what = question.subject or listing(labels.values())
        not_drawn = len(variants_of(question)) - len(labels)
        for file in figures(f"{question.name}-levels", what, labels, {"question": question.name}):
            yield replace(file, caption=with_not_drawn(file.caption, not_drawn))
    for name in variants_with_details(results.study, results.chosen):
        label = results.labels[name]
        yield from figures(f"{name}-layer", label, {name: label}, {"variant": name})


def variants_of(question: Question) -> list[str]:
    """A question's variants, the reference first."""
    return list(dict.fromkeys([question.reference, *question.variants]))


def levels_shown(results: DatasetResults, question: Question) -> dict[str, str]:
    """Labels of a question's variants by name, the reference first."""
    names = variants_of(question)[:MAX_LEVELS]
    levels = {name: f"{question.subject} {label}" for name, label in question.level_labels.items()}
    return {name: levels.get(name, results.labels[name]) for name in names}


def spaced(layers: Mapping[str, None]) -> list[tuple[int, str]]:
    """The convolutions that have figures, each with its number from 1."""
    numbered = list(enumerate(layers, 1))
    if len(numbered) <= MAX_LAYERS:
        return numbered
    return [numbered[index] for index in np.linspace(0, len(numbered) - 1, MAX_LAYERS).round().astype(int)]


def filters_figure(results: DatasetResults, name: str, what: str, rows: Sequence[Row], shared: Mapping) -> FigureFile:
    """Filters of one convolution, a row for each variant."""
    side = [max(row.convolution.filters.shape[axis] for row in rows) for axis in (1, 2)]
    groups = [
        Group(
            framed(kernel_images(row.convolution)[:MAX_FILTERS], *side),
            row.label,
            (counted(row, min(MAX_FILTERS, len(row.convolution.filters))),),
        )
        for row in rows
    ]
    if rows[0].convolution.is_norm:
        how = _("The norm of each filter's weights over all input channels, black the smallest, white the largest.")
    elif rows[0].convolution.filters.shape[-1] == 3:
        how = _("Each filter's weights for red, green and blue as a colour, grey for zero.")
    else:
        how = _("Each filter's weights, red positive, blue negative.")
    scale = _("Each row has its own scale. Seed {seed}.", seed=seeds_of(rows))
    reading = _(
        "A tile is a filter, a row a variant; all are drawn at the size that they have on their input. Filters have no "
        "order: the first one of a row is no counterpart of the first one of another row."
    )
    if len(rows) > 1:
        reading = f"{reading} {_('The reference comes first.')}"
    return results.figure(
        "features", name, _("Filters of {what}", what=what), f"{how} {scale}",
        strips(groups), images=groups, reading=reading, **shared,
    )  # fmt: skip


def maps_figure(
    results: DatasetResults,
    name: str,
    what: str,
    rows: Sequence[Row],
    inputs: tuple[np.ndarray, Sequence[str]],
    shared: Mapping,
) -> FigureFile:
    """Feature maps of one convolution on fixed images, for each image a row of each variant.

    Six parameters, the last one of the figure's fields that filters and maps share.

    Args:
        inputs: the images, uint8 (n, height, width, channels), and the names of their classes.
    """
    groups = [
        Group(
            map_images(image, row.convolution.maps[index][:MAX_MAPS]),
            row.label if len(rows) > 1 else class_name,
            (class_name,) if len(rows) > 1 else (),
        )
        for index, (image, class_name) in enumerate(zip(*inputs, strict=True))
        for row in rows
    ]
    caption = _(
        "The first test image of each of the first classes, and what the first filters make of it, after normalisation "
        "and activation: black the smallest, white the largest output of a row's variant. Seed {seed}.",
        seed=seeds_of(rows),
    )
    reading = _(
        "The first tile of a row is the image, the others are feature maps. Compare how sharp, how sparse and how "
        "alike the maps of a row are, and not single tiles: filters have no order."
    )
    return results.figure(
        "features", name, _("Feature maps of {what}", what=what), caption,
        strips(groups), images=groups, reading=reading, **shared,
    )  # fmt: skip


def counted(row: Row, shown: int) -> str:
    """How many filters a convolution has, and how many of them are shown."""
    count = row.convolution.count
    if shown == count:
        return ngettext("{n} filter", "{n} filters", count)
    return _("{n} of {all} filters", n=shown, all=count)


def seeds_of(rows: Sequence[Row]) -> str:
    return listing(dict.fromkeys(str(row.seed) for row in rows))


def kernel_images(convolution: Convolution) -> np.ndarray:
    """Stored filters as images, uint8 (n, height, width, 3); see ``Convolution.filters``."""
    filters = convolution.filters
    bound = float(np.abs(filters).max()) or 1.0
    if filters.shape[-1] == 3:
        return np.rint(127.5 + 127.5 * filters / bound).astype(np.uint8)
    if convolution.is_norm:  # they are far from zero and alike
        return np.repeat(grey(filters[..., 0], float(filters.min()), bound), 3, axis=-1)
    return diverging(filters[..., 0], bound)


def framed(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (n, h, w, 3) in the middle of frames of this size, pixel for pixel."""
    frames = np.full((len(images), height, width, 3), FRAME, np.uint8)
    top, left = (height - images.shape[1]) // 2, (width - images.shape[2]) // 2
    frames[:, top : top + images.shape[1], left : left + images.shape[2]] = images
    return frames


def map_images(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """An image and its feature maps (n, h, w), as large as the image: uint8 (1 + n, height, width, channels)."""
    height, width, channels = image.shape
    tiles = np.stack([fitted(tile[..., np.newaxis], height, width) for tile in maps])
    return np.concatenate([image[np.newaxis], np.repeat(tiles, channels, axis=-1)])


def measured(results: DatasetResults, variants: Sequence[str], layer: str) -> pd.DataFrame:
    """Measures of one convolution, a row for each variant and seed."""
    rows = [
        {"variant": variant, "seed": seed, **convolution}
        for (dataset, variant, seed), entry in results.records.evaluations.items()
        if dataset == results.dataset and variant in variants
        for convolution in entry.get("convolutions", ())
        if convolution["layer"] == layer
    ]
    return pd.DataFrame(rows, columns=list(columns.CONVOLUTION_RUNS))
