"""Copies of the figures' font without layout tables, so that embedding it in a PDF takes a third of the time.

Every PDF embeds a subset of its fonts, made by fontTools, which reads and reduces all ligatures, marks and kerning
classes for it. Latin, Greek and Cyrillic text needs none of them: pairs are kerned by the table ``kern``, which stays.
"""

import atexit
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import matplotlib
from fontTools.ttLib import TTFont
from matplotlib import font_manager

from convlab.figures.style import FONT

LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF")
"""OpenType tables of ligatures and joined letters, of the position of marks, and of classes of glyphs."""


def use_fonts_without_layout_tables(texts: Iterable[str]) -> bool:
    """Draw with copies of the font that lack the layout tables, until this process ends; returns whether it does.

    Args:
        texts: all that the figures may show of a user's; where one needs the layout tables nothing is changed.
    """
    if any(needs_layout_tables(text) for text in texts):
        return False
    manager = font_manager.fontManager
    brought_along = Path(matplotlib.get_data_path())
    ours = [font for font in manager.ttflist if font.name == FONT and Path(font.fname).is_relative_to(brought_along)]
    folder = Path(tempfile.mkdtemp(prefix="convlab-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    manager.ttflist = [font for font in manager.ttflist if font.name != FONT]
    for number, font in enumerate(ours):
        manager.addfont(without_layout_tables(Path(font.fname), folder / f"{number}.ttf"))
    return True


def needs_layout_tables(text: str) -> bool:
    """Whether a text has combining marks or letters that are written from right to left, which join or take marks."""
    return any(
        unicodedata.category(character).startswith("M") or unicodedata.bidirectional(character) in ("R", "AL", "AN")
        for character in text
    )


def without_layout_tables(font: Path, copy: Path) -> Path:
    """Write a copy of a TrueType font without the layout tables; the other tables keep their bytes."""
    with TTFont(font, lazy=True, recalcTimestamp=False) as tables:  # no time of day in PDFs
        for table in LAYOUT_TABLES:
            if table in tables:
                del tables[table]
        tables.save(copy, reorderTables=None)
    return copy
