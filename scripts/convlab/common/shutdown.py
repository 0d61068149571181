"""Ending in an orderly way when asked to: one signal is enough, and nothing interrupts what it sets going."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
"""What asks a process to end: Snakemake and clusters, Ctrl-C, a closed terminal."""


def exit_on_signals() -> None:
    """Let the first signal raise SystemExit, so that everything is undone, and no other disturb that."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def _exit(number: int, frame: object) -> None:
    ignore_signals()
    sys.exit(128 + number)


def ignore_signals() -> None:
    """From here on nothing but SIGKILL ends this process before it is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Let signals wait for the end of the block: for code of others, which would swallow what a handler raises."""
    arrived: list[int] = []
    handlers = {number: signal.signal(number, lambda number, frame: arrived.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in arrived[:1]:
            signal.raise_signal(number)
