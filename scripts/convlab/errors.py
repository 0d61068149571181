"""The one exception whose message is meant for the user, and text of others that is safe to print."""

import unicodedata

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Marks that turn the direction of writing, and the byte order mark."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence that names the key, file or value, and what to do."""


def printable(text: str, keep: str = "") -> str:
    r"""Text of somebody else's, such as a file name, that can be printed whatever it is made of.

    Bytes that are no text, control characters but those in ``keep`` (they can rewrite a terminal's lines), and signs
    that turn the direction of writing become escapes such as ``\x1b``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(sign) if _commands(sign) and sign not in keep else sign for sign in text)


def _escaped(sign: str) -> str:
    """A character as Python writes it; of a file name's byte that is no text (PEP 383), that byte."""
    if "\udc80" <= sign <= "\udcff":
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")


def _commands(sign: str) -> bool:
    """Whether a character is none to be read, but tells a terminal or a page what to do."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in _DIRECTIONS
