"""Graceful shutdown: the first signal raises SystemExit; later ones are ignored during clean-up."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end: from Snakemake and clusters, Ctrl-C, a closed terminal."""

IGNORED = frozenset(number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN)
"""Those that whoever started this process had it ignore."""


def exit_on_signals() -> None:
    """Install handlers: the first signal raises SystemExit, so that clean-up runs; later ones are ignored.

    What was ignored when this process began stays so: ``nohup`` is for what a closed terminal should not end.
    """
    for number in SIGNALS:
        if number not in IGNORED:
            signal.signal(number, _exit)


def _exit(number: int, frame: object) -> None:
    ignore_signals()
    sys.exit(128 + number)


def ignore_signals() -> None:
    """Ignore all of SIGNALS from here on."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the signals that arrive in the block, for code that looks by itself; handlers are restored afterwards."""
    arrived: list[int] = []
    handlers = {number: signal.signal(number, lambda number, frame: arrived.append(number)) for number in SIGNALS}
    try:
        yield arrived
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer signals to the end of the block: for third-party code that would swallow what a handler raises."""
    arrived: list[int] = []
    try:
        with noted_signals() as arrived:
            yield
    finally:
        for number in arrived[:1]:
            signal.raise_signal(number)
