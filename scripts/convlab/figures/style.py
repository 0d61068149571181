"""The one look of all figures: fonts, grid, a palette that colour-blind readers can tell apart, and how to save."""

from io import StringIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from convlab.figures.marks import annotated
from convlab.figures.palette import COLOURS, DASHES, FAINT, GRID, INK, MARKERS, PAPER
from convlab.files import atomic, write_text

WIDTH = 7.2
"""Width of a full-width figure, inches."""


def use_style() -> None:
    """Set Matplotlib's defaults; call it once at the start of a script that draws."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette=COLOURS,
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.edgecolor": FAINT,
            "axes.facecolor": PAPER,
            "axes.labelcolor": INK,
            "figure.facecolor": PAPER,
            "grid.color": GRID,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "image.cmap": "gray",
            "svg.fonttype": "none",
            "svg.hashsalt": "convlab",
            "text.parse_math": False,  # a dollar in a user's class name is a dollar
        },
    )


def look(index: int) -> dict:
    """Colour, marker and dash of the ``index``-th series, as keyword arguments for ``Axes.plot``."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)] if index >= len(COLOURS) else DASHES[index],
    }


def save(figure: Figure, stem: Path) -> None:
    """Write ``stem``.svg and ``stem``.png, byte-equal for equal figures, and close the figure."""
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    write_text(stem.with_name(stem.name + ".svg"), annotated(drawing.getvalue(), figure))
    with atomic(stem.with_name(stem.name + ".png")) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
    plt.close(figure)
