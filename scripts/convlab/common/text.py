"""Pieces of sentences: lists of names, and the nearest of the names that would have been right."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near and near[0] != name else ""


def listing(names: Iterable[str], conjunction: str = "and") -> str:
    names = list(names)
    shown = names if len(names) <= 30 else [*names[:29], f"{len(names) - 29} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"
