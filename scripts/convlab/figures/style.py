"""The one look of all figures: fonts, grid, a palette that colour-blind readers can tell apart, and how to save."""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from convlab.files import atomic

# Okabe and Ito's palette without its yellow and black (too faint or too heavy on white); a marker and a dash go with
# each colour so that colour is never the only difference.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#6B6B6B")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2, 2, 2)), (0, (2, 1)), (0, (8, 2)), (0, (3, 3)))

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
            "axes.edgecolor": "#9aa0a6",
            "grid.color": "#e3e6e8",
            "image.cmap": "gray",
            "svg.hashsalt": "convlab",
            "pdf.fonttype": 42,  # TrueType: journals refuse Matplotlib's default, Type 3
        },
    )


def look(index: int) -> dict:
    """Colour, marker and dash of the ``index``-th series, as keyword arguments for ``Axes.plot``."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)] if index >= len(COLOURS) else DASHES[index],
    }


METADATA = {
    ".svg": {"Date": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}
"""The formats of every figure, and what must be left out for equal figures to be equal bytes."""


def save(figure: Figure, stem: Path) -> None:
    """Write ``stem``.svg, .png and .pdf, byte-equal for equal figures, and close the figure."""
    for suffix, metadata in METADATA.items():
        with atomic(stem.with_name(stem.name + suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)
        figure.set_layout_engine("none")  # it is laid out now; doing so again costs as much as drawing
    plt.close(figure)


_MARKUP = re.compile(r"[\\*`|_<>:@]")


def caption_text(title: str, caption: str) -> str:
    """Title and caption as one paragraph of reStructuredText that shows both as they are, for `snakemake --report`."""
    title, caption = (_MARKUP.sub(lambda m: f"\\{m[0]}", " ".join(text.split())) for text in (title, caption))
    return f"**{title}.** {caption}\n"
