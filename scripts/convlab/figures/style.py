"""Style of all figures: fonts, grid, colour-blind-safe palette; and saving them."""

import logging
import re
from io import StringIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, ScalarFormatter

from convlab.common import i18n
from convlab.common.files import atomic, write_text
from convlab.common.hidden_packages import hidden
from convlab.figures.marks import annotated
from convlab.figures.palette import COLOURS, DASHES, FAINT, GRID, INK, MARKERS, PAPER

# Seaborn imports these where they are there, for densities and dendrograms, which no figure has: half a second of CPU.
with hidden("scipy.stats", "scipy.cluster"):
    import seaborn as sns

FONT = "DejaVu Sans"
"""Font of all figures: Matplotlib brings it along, and the page lays its text out as wide."""

WIDTH = 7.2
"""Width of a full-width figure, inches."""


def use_style() -> None:
    """Set Matplotlib's defaults; call it once at the start of a script that draws."""
    matplotlib.rcdefaults()  # discards a matplotlibrc and settings of other modules
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a PDF
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette=COLOURS,
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.size": 9,
            # Arial, which Seaborn asks for first, is on some machines only.
            "font.sans-serif": [FONT],
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
"""Formats of every figure, with the metadata to omit so that equal figures are equal bytes."""


def save(figure: Figure, stem: Path) -> None:
    """Write ``stem``.svg, .png and .pdf, byte-equal for equal figures, and close the figure."""
    save_svg(figure, stem.with_name(stem.name + ".svg"))
    figure.set_layout_engine("none")  # laid out already; laying out again costs as much as drawing
    for suffix in (".png", ".pdf"):
        with atomic(stem.with_name(stem.name + suffix), durable=False) as temporary:
            figure.savefig(temporary, metadata=METADATA[suffix])
    plt.close(figure)


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG; byte-equal for equal figures."""
    localise(figure)
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata=METADATA[".svg"])
    write_text(path, annotated(drawing.getvalue(), figure), durable=False)


class _Ticks(ScalarFormatter):
    """Tick labels with the separators of the language in use."""

    def __call__(self, value: float, position: int | None = None) -> str:
        return i18n.localised(super().__call__(value, position))


class _PrefixedTicks(EngFormatter):
    """Tick labels with SI prefixes (``1.5 M``) and the separators of the language in use."""

    def __call__(self, value: float, position: int | None = None) -> str:
        return i18n.localised(super().__call__(value, position))


def localise(figure: Figure) -> None:
    """Localise the tick labels of all axes; English keeps Matplotlib's own."""
    if i18n.language() != i18n.SOURCE:
        ours = {ScalarFormatter: _Ticks, EngFormatter: _PrefixedTicks}
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                kind = type(axis.get_major_formatter())
                if kind in ours:
                    axis.set_major_formatter(ours[kind]())


_MARKUP = re.compile(r"[\\*`|_<>:@]")


def caption_text(title: str, caption: str) -> str:
    """Title and caption as one paragraph of reStructuredText that shows both as they are, for `snakemake --report`."""
    title, caption = (_MARKUP.sub(lambda m: f"\\{m[0]}", " ".join(text.split())) for text in (title, caption))
    return f"**{title}.** {caption}\n"
