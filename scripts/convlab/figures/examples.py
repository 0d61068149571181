"""Figures that show images: predictions, mistakes, disputed images, learned filters, feature maps."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from convlab.common.i18n import NO_BREAK_SPACE, number
from convlab.common.i18n import gettext as _
from convlab.figures.sheet import Sheet, raster
from convlab.figures.sprites import diverging, fitted, grey
from convlab.figures.style import WIDTH

TONES = {"right": "#00703C", "wrong": "#B3261E"}

MAX_FEATURE_MAPS = 12
"""Feature maps shown of an image, the first ones."""


def image_grid(
    images: np.ndarray, titles: Sequence[str], tones: Sequence[str], columns: int = 6, empty: str = ""
) -> Figure:
    """Images in rows with a short title each.

    Args:
        images: uint8 (n, height, width, channels); n may be 0, then ``empty`` is written instead.
        titles: text above each image; line breaks are kept.
        tones: colour of each title, by name: right or wrong.
    """
    if not len(images):
        figure, axis = plt.subplots(figsize=(WIDTH, 0.7))
        axis.axis("off")
        axis.text(0, 0.5, empty, va="center", fontsize=9)
        return figure
    lines = max(title.count("\n") + 1 for title in titles)
    sheet = Sheet(len(images), columns, above_each=0.13 * lines)
    for tile, (image, title, tone) in enumerate(zip(images, titles, tones, strict=True)):
        sheet.show(tile, raster(image))
        sheet.title(tile, title, fontsize=7, color=TONES[tone])
    return sheet.figure


def prediction_titles(
    truth: np.ndarray, mean_probabilities: np.ndarray, classes: Sequence[str], right_runs: np.ndarray, runs: int
) -> list[str]:
    """Titles: the true class, the class that the runs prefer with its mean probability, and how many runs are right."""
    titles = []
    for label, row, right in zip(truth, mean_probabilities, right_runs, strict=True):
        guess = int(row.argmax())
        preferred = f"→ {shortened(classes[guess])} {number(100 * row[guess], '.0f')}{NO_BREAK_SPACE}%"
        share = _("{n} of {runs} right", n=right, runs=runs)
        titles.append(f"{shortened(classes[label])}\n{preferred}\n{share}")
    return titles


def shortened(name: str) -> str:
    return textwrap.shorten(name, 18, placeholder="…") if " " in name else name[:18]


def filters(kernels: np.ndarray) -> Figure:
    """Kernels of a first convolution on one shared scale, zero in the middle (grey); RGB kernels as colour.

    Args:
        kernels: (height, width, channels, filters); channels 1 or 3, others are averaged.
    """
    count = kernels.shape[-1]
    bound = float(np.abs(kernels).max()) or 1.0
    if kernels.shape[2] == 3:
        sheet = Sheet(count, min(count, 16))
        for index in range(count):
            sheet.show(index, 0.5 + 0.5 * kernels[..., index] / bound)
        return sheet.figure
    sheet = Sheet(count, min(count, 16), right=0.9)
    for index in range(count):
        drawn = sheet.show(index, kernels[..., index].mean(axis=-1), cmap="RdBu_r", vmin=-bound, vmax=bound)
    bar = sheet.figure.add_axes((1 - 0.8 / WIDTH, 0.1, 0.1 / WIDTH, 0.8))
    sheet.figure.colorbar(drawn, cax=bar, label=_("weight"))
    return sheet.figure


def kernel_images(kernels: np.ndarray) -> np.ndarray:
    """Kernels as images, uint8 (filters, height, width, 3): blue negative, red positive; those of RGB as colour."""
    stack, bound = np.moveaxis(kernels, -1, 0), float(np.abs(kernels).max()) or 1.0
    if stack.shape[-1] == 3:
        return np.rint(127.5 + 127.5 * stack / bound).astype(np.uint8)
    return diverging(stack.mean(axis=-1), bound)


def map_images(images: np.ndarray, maps: np.ndarray) -> list[np.ndarray]:
    """For each image the image itself and its first feature maps, all maps on one scale: uint8 (1 + maps, h, w, c)."""
    shown = maps[..., :MAX_FEATURE_MAPS]
    low, high = min(float(shown.min()), 0.0), float(shown.max())
    rows = []
    for image, stack in zip(images, shown, strict=True):
        tiles = grey(np.moveaxis(stack, -1, 0), low, high)
        tiles = np.repeat(tiles, image.shape[-1], axis=-1)
        height, width = image.shape[:2]
        rows.append(np.stack([image, *(fitted(tile, height, width) for tile in tiles)]))
    return rows


def feature_maps(images: np.ndarray, maps: np.ndarray) -> Figure:
    """Feature maps of one layer on fixed images: a row per image, all on one shared scale.

    Args:
        images: uint8 (n, height, width, channels).
        maps: (n, height, width, filters); the first ``MAX_FEATURE_MAPS`` are shown.
    """
    shown = maps[..., :MAX_FEATURE_MAPS]
    low, high = min(float(shown.min()), 0.0), float(shown.max()) or 1.0
    columns = 1 + shown.shape[-1]
    sheet = Sheet(len(images) * columns, columns, above=0.13)
    for row, (image, stack) in enumerate(zip(images, shown, strict=True)):
        sheet.show(row * columns, raster(image))
        for index in range(columns - 1):
            sheet.show(row * columns + 1 + index, stack[..., index], cmap="viridis", vmin=low, vmax=high)
    for tile, title in enumerate([_("input"), *map(str, range(1, columns))]):
        sheet.title(tile, title, fontsize=6.5)
    return sheet.figure
