"""Copies of the figures' font without layout tables, so that embedding it in a PDF takes a third of the time.

Every PDF embeds a subset of its fonts, made by fontTools, which reads and reduces all ligatures, marks and kerning
classes for it. Latin, Greek and Cyrillic text needs none of them: pairs are kerned by the table ``kern``, which stays.
"""

import atexit
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import matplotlib
from fontTools.ttLib import TTFont
from matplotlib import font_manager

from convlab.figures.style import FONT

LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF")
"""OpenType tables of ligatures and joined letters, of the position of marks, and of classes of glyphs."""


def use_fonts_without_layout_tables(texts: Iterable[str]) -> bool:
    """Draw with copies of the font that lack the layout tables; returns whether figures are drawn so.

    Args:
        texts: all that the figures may show of a user's; where one needs the layout tables the fonts stay as they are.
    """
    originals = _font_files()  # before the list is changed below
    plain = not any(needs_layout_tables(text) for text in texts)
    manager = font_manager.fontManager
    manager.ttflist = [font for font in manager.ttflist if font.name != FONT]
    for file in _copies() if plain else originals:
        manager.addfont(file)
    return plain


@cache
def _font_files() -> list[Path]:
    """The files of the font that Matplotlib brings along, by name: its list has another order in another home."""
    brought_along = Path(matplotlib.get_data_path())
    files = {Path(font.fname) for font in font_manager.fontManager.ttflist if font.name == FONT}
    return sorted(file for file in files if file.is_relative_to(brought_along))


@cache
def _copies() -> list[Path]:
    """Copies without layout tables, of the same names, since PDFs hold fonts in the order of their names; until this
    process ends."""
    folder = Path(tempfile.mkdtemp(prefix="convlab-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [without_layout_tables(file, folder / file.name) for file in _font_files()]


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
