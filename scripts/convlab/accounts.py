"""AWS account numbers, which no result, report or log may show."""

import re
from collections.abc import Iterable
from typing import Any

NUMBER = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
"""An account's number; twelve digits inside of a checksum are none."""

HIDDEN = "*" * 12


def masked(value: Any, known: Iterable[str] = ()) -> Any:
    """The same text, list or mapping with every account number hidden; ``known`` ones also in the middle of a word."""
    if isinstance(value, dict):
        return {key: masked(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, known) for item in value]
    if not isinstance(value, str):
        return value
    for number in known:
        value = value.replace(number, HIDDEN)
    return NUMBER.sub(HIDDEN, value)
