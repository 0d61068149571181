"""Lists of names, and spelling suggestions, for messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` for the closest of ``known`` names; empty without one."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near and near[0] != name else ""


def listing(names: Iterable[str], conjunction: str = "and") -> str:
    """``a, b and c``, in English; of more than 30 names the rest is counted."""
    names = list(names)
    shown = names if len(names) <= 30 else [*names[:29], f"{len(names) - 29} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"
