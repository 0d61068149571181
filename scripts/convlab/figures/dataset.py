"""Figures of a dataset: its classes, images, sizes, intensities, class means and near duplicates.

Every function takes arrays and returns a Matplotlib Figure; images are uint8, NHWC. Images are drawn pixel by pixel
(never smoothed), and one raster holds a whole strip or grid of them, which keeps an SVG small.
"""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.i18n import ngettext, number, with_unit
from convlab.figures.labels import shortened
from convlab.figures.palette import COLOURS, FAINT, INK
from convlab.figures.sheet import Sheet, raster, show
from convlab.figures.style import WIDTH

TRAIN, VALIDATION, TEST, WARNING = COLOURS[0], COLOURS[2], COLOURS[4], COLOURS[1]

CHANNEL_COLOURS = {1: (COLOURS[0],), 3: (COLOURS[1], COLOURS[2], COLOURS[0])}
"""One line per channel; red, green and blue in the palette's own shades."""

VALUES_PER_BIN = 4
"""Raw values in one bar of the intensity histogram; bars of one value would be too thin to see."""

MAX_NAMED_CLASSES = 68
"""Up to this many classes each has a labelled bar, in two columns."""

PIXEL_BUDGET = 120_000
"""Approximate number of pixels in a figure's images: 300 kB of an SVG in colour."""

DIFFERENCE_GAIN = 4
"""Amplification of the difference image of two near duplicates, which would else look black."""


def class_distribution(
    classes: Sequence[str], train: np.ndarray, test: np.ndarray, validation: np.ndarray | None = None
) -> Figure:
    """Images per class, the parts side by side; each part has one count per class, ``validation`` only if given."""
    parts = [(train, TRAIN, _("training")), (test, TEST, _("test"))]
    if validation is not None:
        parts.insert(1, (validation, VALIDATION, _("validation")))
    if len(classes) > MAX_NAMED_CLASSES:
        return _counts_in_order(classes, parts)
    offsets, thickness = ((-0.2, 0.2), 0.38) if len(parts) == 2 else ((-0.28, 0, 0.28), 0.26)
    blocks = np.array_split(np.arange(len(classes)), -(-len(classes) // 34))
    rows = len(blocks[0])
    pitch = 0.34 if rows <= 12 else 0.22
    figure, axes = plt.subplots(
        1, len(blocks), figsize=(WIDTH, 0.75 + pitch * max(rows, 3)), squeeze=False, sharex=True
    )
    largest = max(*(counts.max() for counts, *_rest in parts), 1)
    for axis, block in zip(axes[0], blocks, strict=True):
        position = np.arange(len(block))
        for (counts, colour, label), offset in zip(parts, offsets, strict=True):
            axis.barh(position + offset, counts[block], height=thickness, color=colour, label=label, linewidth=0)
            if len(blocks) == 1:
                for y, count in zip(position + offset, counts[block], strict=True):
                    axis.text(count + largest * 0.008, y, number(count, ","), va="center", fontsize=7, color=FAINT)
        axis.set_yticks(position, [shortened(classes[i], 24 if len(blocks) == 1 else 17) for i in block])
        axis.tick_params(axis="y", labelsize=9 if rows <= 12 else 7)
        axis.set_ylim(rows - 0.5, -0.5)
        axis.set_xlim(0, largest * 1.09)
        axis.xaxis.set_major_formatter(lambda value, position: number(value, ",.0f"))
        axis.xaxis.set_major_locator(plt.MaxNLocator(6 if len(blocks) == 1 else 3, integer=True))
        axis.grid(axis="y", visible=False)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.supxlabel(_("images"), fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(parts), frameon=False, fontsize=9)
    return figure


def _counts_in_order(classes: Sequence[str], parts: Sequence[tuple[np.ndarray, str, str]]) -> Figure:
    """Counts of many classes as steps over the classes in order, some of them labelled; ``parts`` have counts, colour
    and label."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    edges, step = np.arange(len(classes) + 1) - 0.5, -(-len(classes) // 24)
    for counts, colour, label in parts:
        axis.stairs(counts, edges, color=colour, fill=True, alpha=0.8, linewidth=0, label=label)
    names = [shortened(name, 24) for name in classes[::step]]
    positions = range(0, len(classes), step)
    axis.set_xticks(positions, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_xlim(-1, len(classes))
    axis.set_ylim(0, max(*(counts.max() for counts, *_rest in parts), 1) * 1.05)
    axis.set_xlabel(_("{what} ({n} in order, one of {step} named)", what=_("Classes"), n=len(classes), step=step))
    axis.set_ylabel(_("images"))
    axis.yaxis.set_major_formatter(lambda value, position: number(value, ",.0f"))
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center", ncols=len(parts), frameon=False, fontsize=9)
    return figure


def samples(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """The first images of every class, in order of appearance: eight, or fewer where there are many classes."""
    columns, per_class = sample_layout(len(classes))
    strips = []
    for label in range(len(classes)):
        chosen = pooled(images[np.flatnonzero(labels == label)[:per_class]], len(classes) * per_class)
        strip = np.full((per_class, *chosen.shape[1:]), 255, np.uint8)
        strip[: len(chosen)] = chosen
        strips.append(mosaic(strip, per_class))
    return _titled_rasters(strips, classes, columns)


def sample_layout(classes: int) -> tuple[int, int]:
    """Number of columns of classes, and of images per class, that fit a page."""
    return (2, 8) if classes <= 14 else (4, 4) if classes <= 48 else (7, 2)


def mean_images(means: np.ndarray, classes: Sequence[str]) -> Figure:
    """The mean training image of each class; ``means`` (classes, height, width, channels), 0 to 255."""
    columns = 5 if len(classes) <= 15 else 8 if len(classes) <= 48 else 10
    rasters = [raster(image) for image in pooled(np.rint(means).astype(np.uint8), len(means))]
    return _titled_rasters(rasters, classes, min(columns, max(len(classes), 3)))


def dimensions(example: np.ndarray, images: int, heights: np.ndarray, widths: np.ndarray) -> Figure:
    """Image size, drawn to scale on ``example``, and the distribution of the extent of the images' content.

    ``heights`` and ``widths`` hold the extents in pixels of each training image's content. All images of prepared data
    have one size, so a histogram of sizes would be a single bar.
    """
    height, width, channels = example.shape
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), width_ratios=(1, 1.5))
    frame = (-0.5, width - 0.5, height - 0.5, -0.5)
    show(left, raster(pooled(example[np.newaxis], 1)[0]), extent=frame)
    left.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=FAINT, linewidth=0.8))
    arrow = {"arrowstyle": "<->", "color": FAINT, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    gap = 0.07 * max(height, width)
    left.annotate("", (-0.5, height - 0.5 + gap), (width - 0.5, height - 0.5 + gap), arrowprops=arrow)
    left.annotate("", (-0.5 - gap, -0.5), (-0.5 - gap, height - 0.5), arrowprops=arrow)
    across, down = _("width {pixels} px", pixels=width), _("height {pixels} px", pixels=height)
    left.text(width / 2 - 0.5, height - 0.5 + 1.5 * gap, across, ha="center", va="top")
    left.text(-0.5 - 1.5 * gap, height / 2 - 0.5, down, ha="right", va="center", rotation=90)
    left.set_xlim(-0.5 - 4 * gap, width - 0.5 + gap)
    left.set_ylim(height - 0.5 + 4 * gap, -0.5 - gap)
    kind = _("3 channels (RGB)") if channels == 3 else ngettext("{n} channel", "{n} channels", channels)
    left.set_title(
        _("All {n} images:\n{height} × {width} pixels, {channels}",
          n=number(images, ","), height=height, width=width, channels=kind)
    )  # fmt: skip

    bins = np.arange(0, max(height, width) + 2) - 0.5
    kinds = ((heights, TRAIN, "-", _("content height")), (widths, WARNING, (0, (4, 1.5)), _("content width")))
    for extents, colour, dash, label in kinds:
        share = np.bincount(extents, minlength=len(bins) - 1) / max(len(extents), 1)
        right.stairs(share, bins, color=colour, linestyle=dash, linewidth=1.6, label=label)
    right.set_xlim(-0.5, max(height, width) + 1)
    right.set_ylim(bottom=0)
    right.yaxis.set_major_formatter(lambda value, position: _percent(value, 0))
    right.set_xlabel(_("extent of what differs from the background, pixels"))
    right.set_ylabel(_("share of training images"))
    right.set_title(_("How much of the frame\nthe content fills"))
    right.legend(loc="upper left", frameon=False)
    return figure


def intensities(histogram: np.ndarray) -> Figure:
    """Pixel intensities before and after rescaling; ``histogram`` (channels, 256) counts of the raw values 0 to 255."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.7), sharey=True)
    channels = len(histogram)
    names = [_("channel {n}", n=i + 1) for i in range(channels)]
    names = {1: ("",), 3: (_("red"), _("green"), _("blue"))}.get(channels, names)
    values = np.arange(256)
    for axis, scale, title in ((axes[0], 1, _("Raw, 0 to 255")), (axes[1], 255, _("Rescaled, 0 to 1"))):
        for index, counts in enumerate(histogram):
            share = counts / max(counts.sum(), 1)
            mean = (share * values).sum() / scale
            deviation = np.sqrt((share * (values / scale - mean) ** 2).sum())
            colour = CHANNEL_COLOURS.get(channels, COLOURS)[index % len(COLOURS)]
            prefix = f"{names[index]}: " if names[index] else ""
            digits = 1 if scale == 1 else 3
            form = f".{digits}f"
            label = prefix + _("mean {mean}, SD {sd}", mean=number(mean, form), sd=number(deviation, form))
            edges = (np.arange(0, 257, VALUES_PER_BIN) - 0.5) / scale
            binned = share.reshape(-1, VALUES_PER_BIN).sum(axis=1)
            axis.stairs(binned, edges, color=colour, linewidth=1.2, fill=channels == 1, alpha=0.85, label=label)
            axis.axvline(mean, color=FAINT if channels == 1 else colour, linestyle=(0, (4, 2)), linewidth=1.0)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, position: _percent(value, 3))
        axis.set_title(title)
        axis.set_xlim(-6 / scale, 261 / scale)
        axis.legend(loc="upper center", fontsize=8, framealpha=0.9)
        axis.set_xlabel(_("pixel intensity (dashed: the mean)"))
    bars = (histogram.reshape(channels, -1, VALUES_PER_BIN).sum(axis=2) / histogram.sum(axis=1, keepdims=True)).ravel()
    axes[0].set_ylim(bars[bars > 0].min() / 1.5, min(bars.max() * 40, 1.6))  # room for the legend
    axes[0].set_ylabel(_("training pixels per {n} values", n=VALUES_PER_BIN))
    return figure


def near_duplicates(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], titles: Sequence[tuple[str, str, bool]], threshold: float
) -> Figure:
    """The closest pairs of a test and a training image, with their difference.

    ``titles`` holds for each pair its first line, its second line and whether the two labels disagree (then coloured).
    """
    columns = 2
    rows = max(-(-len(pairs) // columns), 1)
    height, width = pairs[0][0].shape[:2] if pairs else (1, 1)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.35 + rows * (0.42 + 1.05 * height / width)))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (test, train), (first, second, disagree) in zip(axes.flat, pairs, titles, strict=False):
        show(axis, mosaic(pooled(pair_images(test, train), 3 * len(pairs)), 3))
        axis.set_title(first, fontsize=8.5, pad=13, color=WARNING if disagree else INK)
        axis.text(0.5, 1.03, second, transform=axis.transAxes, ha="center", va="bottom", fontsize=7, color=FAINT)
    figure.suptitle(
        _(
            "Test image, closest training image, {times} × their difference (near duplicate: RMS at most {rms} of 255)",
            times=DIFFERENCE_GAIN,
            rms=number(threshold, "g"),
        ),
        fontsize=8.5,
        color=FAINT,
    )
    return figure


def pair_images(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Both images of a pair and their amplified difference: uint8 (3, height, width, channels)."""
    difference = np.minimum(np.abs(test.astype(np.int16) - train) * DIFFERENCE_GAIN, 255).astype(np.uint8)
    return np.stack([test, train, difference])


def pooled(images: np.ndarray, shown: int) -> np.ndarray:
    """Downsample images (n, height, width, channels) by block means; ``shown`` of them stay within ``PIXEL_BUDGET``.

    No side falls below 32 pixels; small images are returned unchanged.
    """
    _, height, width, channels = images.shape
    factor = min(math.ceil(math.sqrt(shown * height * width / PIXEL_BUDGET)), max(min(height, width) // 32, 1))
    if factor == 1:
        return images
    blocks = images[:, : height // factor * factor, : width // factor * factor].reshape(
        len(images), height // factor, factor, width // factor, factor, channels
    )
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (n, height, width, channels) as one raster with white gaps, row by row; missing ones are white."""
    if (scale := -(-28 // images.shape[2])) > 1:  # beside images of 8 pixels a gap of 1 would be a wide stripe
        images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width, _ = images.shape
    gap = max(1, width // 28)
    rows = -(-n // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *raster(images[0]).shape[2:])
    canvas = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = raster(image)
    return canvas


def _percent(value: float, decimals: int) -> str:
    """Tick label of a share without trailing zeros: ``10%``, ``0.1%``; ``0,1 %`` in Spanish."""
    text = format(100 * value, f".{decimals}f")
    figure = number(float(text), f".{decimals}f" if not decimals else "g")
    return f"{figure}%" if i18n.language() == i18n.SOURCE else with_unit(figure, "%")


def _titled_rasters(rasters: Sequence[np.ndarray], classes: Sequence[str], columns: int) -> Figure:
    """Rasters of one size in a grid, each under its class's name."""
    height, width = rasters[0].shape[:2]
    size = 9 if columns <= 5 else 7 if columns <= 8 else 5.5
    gap, above_each = 0.12 if columns <= 5 else 0.08, size * 1.45 / 72
    sheet = Sheet(len(rasters), columns, gap=gap, aspect=height / width, above_each=above_each)
    characters = int(sheet.tile_width * 72 / (size * 0.62))
    for tile, (image, name) in enumerate(zip(rasters, classes, strict=True)):
        sheet.show(tile, image)
        sheet.title(tile, shortened(name, characters), fontsize=size, weight="bold")
    return sheet.figure
