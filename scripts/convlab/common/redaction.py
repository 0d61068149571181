"""Redaction of AWS account numbers from results, reports and logs."""

import hashlib
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

ACCOUNT_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
"""An AWS account number. The look-arounds skip twelve digits inside a checksum."""

MASK = "*" * 12

SCRYPT_COST = 2**15
"""Work of one fingerprint, in scrypt's N (32 MiB and a tenth of a second): there are only 10^12 account numbers."""


def masked(value: Any, known: Iterable[str] = ()) -> Any:
    """Text, list or mapping with account numbers replaced by stars; ``known`` numbers also inside words."""
    known = list(known)
    if isinstance(value, dict):
        return {masked(key, known): masked(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, known) for item in value]
    if not isinstance(value, str):
        return value
    for number in known:
        value = value.replace(number, MASK)
    return ACCOUNT_NUMBER.sub(MASK, value)


def account_numbers(value: Any) -> list[str]:
    """All account numbers in text, lists and mappings, to be masked inside words of other texts too."""
    if isinstance(value, dict):
        return account_numbers([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return sorted({number for item in value for number in account_numbers(item)})
    return sorted(set(ACCOUNT_NUMBER.findall(value))) if isinstance(value, str) else []


def fingerprint(secret: str, salt: str, cost: int | None = None) -> str:
    """Salted slow hash (scrypt, RFC 7914) of a secret with few possible values, prefixed by its cost.

    It needs no key, so that another machine can verify it; trying all account numbers takes a processor a thousand
    years.
    """
    cost = cost or SCRYPT_COST
    digest = hashlib.scrypt(secret.encode(), salt=salt.encode(), n=cost, r=8, p=1, maxmem=256 * cost * 8, dklen=16)
    return f"scrypt-{cost}-{digest.hex()}"


def has_fingerprint(secret: str, salt: str, expected: str) -> bool:
    """Whether ``expected`` is the fingerprint of ``secret``; False for a malformed one."""
    cost = re.fullmatch(r"scrypt-(\d{1,7})-[0-9a-f]{32}", expected)
    cost = int(cost[1]) if cost else 0
    if cost < 2 or cost & (cost - 1) or cost > 2**20:
        return False
    return fingerprint(secret, salt, cost) == expected


class MaskedStream:
    """A text stream that hides account numbers in all that is written to it; ``known`` may grow."""

    def __init__(self, stream: TextIO, known: list[str]) -> None:
        self._stream, self._known = stream, known

    def write(self, text: str) -> int:
        self._stream.write(masked(text, self._known))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


KNOWN_ACCOUNTS: list[str] = []
"""Account numbers that masked streams replace also inside words."""


def mask_output() -> None:
    """Mask account numbers in all later output of this process: log lines, errors and tracebacks."""
    sys.stdout, sys.stderr = MaskedStream(sys.stdout, KNOWN_ACCOUNTS), MaskedStream(sys.stderr, KNOWN_ACCOUNTS)
