"""Figures that show images: predictions, mistakes, disputed images, rows of filters or feature maps."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from convlab.common.i18n import NO_BREAK_SPACE, number
from convlab.common.i18n import gettext as _
from convlab.figures.sheet import Sheet, raster
from convlab.figures.sprites import Group, fitted
from convlab.figures.style import WIDTH

TONES = {"right": "#00703C", "wrong": "#B3261E"}


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


def strips(groups: Sequence[Group]) -> Figure:
    """Groups of tiles under each other, each a row of tiles of one size under its title."""
    height, width = (max(group.images.shape[axis] for group in groups) for axis in (1, 2))
    across = max(len(group.images) for group in groups)
    gap = max(1, round(width / 16))
    sheet = Sheet(len(groups), 1, above_each=0.16, aspect=(height + gap) / (across * (width + gap)))
    for index, group in enumerate(groups):
        row = np.full((height, across * (width + gap) - gap, 3), 255, np.uint8)
        for column, image in enumerate(group.images):
            left = column * (width + gap)
            row[:, left : left + width] = fitted(image, height, width)
        sheet.show(index, row)
        sheet.title(index, ", ".join([group.title, *group.lines]), fontsize=7, ha="left")
    return sheet.figure
