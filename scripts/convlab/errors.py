"""UserError, whose message is meant for the user, and escaping of untrusted text for terminals."""

import unicodedata

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Bidirectional control characters, and the byte order mark."""


class UserError(Exception):
    """An error that the user can fix. The message is one sentence: the key, file or value, and what to do."""


def printable(text: str, keep: str = "") -> str:
    r"""Escape untrusted text, such as a file name, for printing.

    Undecodable bytes, control characters except those in ``keep`` (they can rewrite a terminal's lines), and
    bidirectional control characters become escapes such as ``\x1b``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(sign) if _commands(sign) and sign not in keep else sign for sign in text)


def _escaped(sign: str) -> str:
    """A character's escape sequence; for an undecodable byte of a file name (PEP 383), that of the byte."""
    if "\udc80" <= sign <= "\udcff":
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")


def _commands(sign: str) -> bool:
    """Whether a character controls a terminal or the direction of text."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in _DIRECTIONS
