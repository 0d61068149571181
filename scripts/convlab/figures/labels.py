"""Labels in figures: truncation, legends with any text, percentage axes, characters that the fonts lack."""

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend import Legend

LEGEND_CHARS, TICK_CHARS = 44, 32
"""Maximum characters of a name in a legend, and beside an axis."""


def shortened(name: str, width: int) -> str:
    """A name on one line of at most ``width`` characters, truncated with an ellipsis."""
    name = " ".join(name.split())
    return name if len(name) <= width else name[: max(width - 1, 1)].rstrip() + "…"


def legend(owner, entries: Sequence[tuple[object, str]], **options) -> Legend:
    """A legend of (artist, text) on a figure or an axis.

    Matplotlib omits labels that begin with an underscore, so texts are set afterwards.
    """
    made = owner.legend([artist for artist, _text in entries], [str(index) for index in range(len(entries))],
                        **options)  # fmt: skip
    for shown, (_artist, text) in zip(made.get_texts(), entries, strict=True):
        shown.set_text(shortened(text, LEGEND_CHARS))
    return made


def within_percent(axis: Axes, which: str) -> None:
    """Limit a percentage axis (``x`` or ``y``) to 0 to 100, without clipping markers at the limits."""
    first, last = getattr(axis, f"get_{which}lim")()
    bounded = [min(max(limit, 0), 100) for limit in (first, last)]
    if bounded == [first, last] or bounded[0] == bounded[1]:
        return
    getattr(axis, f"set_{which}lim")(*bounded)
    for artist in [*axis.lines, *axis.collections]:
        if not hasattr(artist, "get_marker") or artist.get_marker() not in ("None", None, ""):
            artist.set_clip_on(False)


def missing_characters(texts: Iterable[str]) -> str:
    """Characters of ``texts`` that the fonts in use lack: boxes in PNG and PDF files; SVG files keep them as text."""
    families = matplotlib.rcParams["font.family"]
    known = set().union(*(get_font(findfont(FontProperties(family=[family]))).get_charmap() for family in families))
    characters = {character for text in texts for character in text if ord(character) not in known}
    return "".join(sorted(c for c in characters if unicodedata.category(c)[0] not in "CZ" and c not in _MODIFIERS))


def warn_of_missing_characters(log: logging.Logger, texts: Iterable[str]) -> str:
    """Log one warning about the characters that the fonts lack, instead of Matplotlib's for each text; return them."""
    lacking = missing_characters(texts)
    if lacking:
        some = lacking if len(lacking) <= 20 else f"{lacking[:20]}…"
        log.warning(
            "the fonts installed here lack %d characters (%s): they are boxes in PNG and PDF files; SVG files and the "
            "report show them where the reader's machine can",
            len(lacking),
            some,
        )
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
    return lacking


_MODIFIERS = "\N{VARIATION SELECTOR-15}\N{VARIATION SELECTOR-16}"
