"""Imports without optional packages, which cost time and memory and are used for nothing here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[list[str]]:
    """Within the block imports of these modules fail as if they were not installed; gives the names that are hidden.

    Those that are imported already are not among them: they stay.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield absent
    finally:
        for name in absent:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
