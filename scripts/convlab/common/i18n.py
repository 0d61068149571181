"""Translated messages (gettext), and numbers and dates in the language's format (Babel).

A script calls :func:`set_language` once, before it writes anything. English is the language of the source: it needs no
catalogue and imports nothing. The others are in ``report/locale/<language>/LC_MESSAGES/convlab.po``, which is read as
it is; `make messages` brings it up to date with the source.

Messages are whole sentences with named placeholders, so that a translator may change their order::

    _("{variant} is better than {reference}", variant=name, reference=other)

What users wrote (labels, questions, names of classes) is filled in and never looked up. Tables keep their identifiers
(``better``, ``supported``, column names) and plain numbers: they are for programs.
"""

import gettext as catalogues
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

SOURCE = "en"
LANGUAGES = (SOURCE, "es")

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

GROUPED_FROM = {"es": 5}
"""Number of digits from which thousands are grouped, if not four: Spanish writes 9258, but 22.023."""

_INSIDE_A_FIGURE = re.compile(r"(?<=[\d}]) (?=%|pp\b|px\b)|(?<=±) (?=[\d{])")


@dataclass(frozen=True)
class _Language:
    code: str = SOURCE
    messages: catalogues.NullTranslations = field(default_factory=catalogues.NullTranslations)
    decimal: str = "."
    group: str = ","


_current = _Language()


def catalogue(language: str) -> Path | None:
    """Path of a language's message catalogue; None for the language of the source, which needs none."""
    if language == SOURCE:
        return None
    return Path(__file__).resolve().parents[3] / "report" / "locale" / language / "LC_MESSAGES" / "convlab.po"


def set_language(language: str) -> None:
    """Set the language (``en``, ``es``) of all later messages and numbers."""
    global _current
    _current = _Language() if language == SOURCE else _read(language)


def language() -> str:
    """Code of the current language."""
    return _current.code


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Set the language inside the block."""
    global _current
    before = _current
    set_language(language)
    try:
        yield
    finally:
        _current = before


def _read(language: str) -> _Language:
    from babel import Locale
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with catalogue(language).open("rb") as file:
        messages = read_po(file, locale=language)
    for message in messages:  # figures never part from their signs and units at the end of a line
        texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        texts = tuple(_INSIDE_A_FIGURE.sub(NO_BREAK_SPACE, text) for text in texts)
        message.string = texts if message.pluralizable else texts[0]
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    symbols = Locale.parse(language).number_symbols["latn"]
    return _Language(language, catalogues.GNUTranslations(compiled), symbols["decimal"], symbols["group"])


# ---------------------------------------------------------------------------------------------------------------------
# Messages


def gettext(message: str, /, **values: Any) -> str:
    """A message in the language in use, its ``{placeholders}`` filled with ``values``."""
    text = _current.messages.gettext(message) if message else message
    return text.format(**values) if values else text


def ngettext(singular: str, plural: str, n: float, /, **values: Any) -> str:
    """A message about ``n`` things, in the form that the language has for so many; ``{n}`` is ``n``, formatted."""
    return _current.messages.ngettext(singular, plural, n).format(**{"n": number(n, ",.0f"), **values})


def pgettext(context: str, message: str, /, **values: Any) -> str:
    """A message with a context (gettext's msgctxt), for words whose translation depends on it."""
    text = _current.messages.pgettext(context, message)
    return text.format(**values) if values else text


def N_(message: str) -> str:
    """Mark a constant for the catalogue (gettext_noop); :func:`gettext` translates it where it is shown."""
    return message


def listing(names: Iterable[str], most: int = 8) -> str:
    """``a, b and c``; a long list ends in how many more there are."""
    names = list(names)
    if len(names) > most:
        names = [*names[: most - 1], gettext("{n} more", n=number(len(names) - most + 1, ",.0f"))]
    if len(names) == 1:
        return names[0]
    first, last = ", ".join(names[:-1]), names[-1]
    if _current.code == "es" and re.match(r"h?[ií](?![aeou])", last, re.IGNORECASE):
        return f"{first} e {last}"  # "y" becomes "e" before an i sound
    return gettext("{first} and {last}", first=first, last=last)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and dates


def number(value: Any, form: str) -> str:
    """A number in Python's format ``form``, with the separators of the language in use and a real minus sign.

    For example -1234.5 as ``,.2f``: ``−1,234.50`` in English, ``−1234,50`` in Spanish.
    """
    return localised(format(value, form))


def localised(text: str) -> str:
    """A number in Python's or Matplotlib's form (``-1,234.5``) with the separators of the language in use."""
    if "," in text and sum(map(str.isdigit, text.partition(".")[0])) < GROUPED_FROM.get(_current.code, 0):
        text = text.replace(",", "")
    return text.translate({ord(","): _current.group, ord("."): _current.decimal, ord("-"): "−"})


def with_unit(figure: str, unit: str) -> str:
    """A number and its unit: ``95.59 %``; a translation never breaks the line between them. Nothing for no unit."""
    if not unit:
        return figure
    return f"{figure} {unit}" if _current.code == SOURCE else f"{figure}{NO_BREAK_SPACE}{unit}"


def below_one(value: float, decimals: int) -> str:
    """A number that cannot exceed 1: without the zero before the point in English (APA style), with it elsewhere."""
    text = number(value, f".{decimals}f")
    return text.replace("0.", ".", 1) if _current.code == SOURCE else text


def instant(when: datetime) -> str:
    """Date and time: ``2026-11-20 09:52:21 UTC``, in another language as its readers write it."""
    if _current.code == SOURCE:
        return f"{when:%Y-%m-%d %H:%M:%S} {when.tzname()}"
    from babel.dates import format_datetime

    return f"{format_datetime(when, 'medium', locale=_current.code)} {when.tzname()}"
