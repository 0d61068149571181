"""Parallel writing of figures by child processes: rendering three formats takes most of compare's time."""

import gc
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from io import BytesIO
from multiprocessing.connection import Connection, wait
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from convlab.figures.style import METADATA, save

FIGURES_PER_CHILD = 6
"""Figures that a child process writes. Each fork makes both processes copy the pages that they go on to change, which
costs a tenth of a second of CPU where a figure takes half a second."""


class FigureWriter:
    """Writes figures as :func:`convlab.figures.style.save` does, up to ``processes`` of them at the same time.

    A context manager: all files are there when it ends, and it raises what went wrong in any of them. Children are
    forked, so that a figure need not be copied; elsewhere than on Linux, where forking is not safe, and for one process
    everything is written at once and here.
    """

    def __init__(self, processes: int):
        self._processes = processes if sys.platform == "linux" else 1
        self._running: dict[Connection, multiprocessing.Process] = {}
        self._waiting: list[tuple[Figure, Path]] = []

    def __enter__(self) -> "FigureWriter":
        if self._processes > 1:
            # Fonts and format writers, which Matplotlib loads at first use, are then loaded for all children.
            figure = plt.figure(figsize=(1, 1))
            figure.text(0, 0, "0")
            for suffix in METADATA:
                figure.savefig(BytesIO(), format=suffix.lstrip("."))
            plt.close(figure)
            gc.freeze()  # a collection would change, and so copy, every page
        return self

    def __exit__(self, kind: type | None, *exception: object) -> None:
        try:
            if kind is None:
                for part in range(self._processes):
                    self._start(self._waiting[part :: self._processes])
                while self._running:
                    self._collect()
        finally:
            for child in self._running.values():  # not empty after a failure only
                child.kill()
                child.join()

    def save(self, figure: Figure, stem: Path) -> None:
        """Write ``stem``.svg, .png and .pdf, now or with others, and close the figure.

        Raises what went wrong in an earlier one.
        """
        if self._processes == 1:
            save(figure, stem)
            return
        plt.close(figure)
        self._waiting.append((figure, stem))
        if len(self._waiting) == FIGURES_PER_CHILD:
            self._start(self._waiting)
            self._waiting = []

    def _start(self, figures: Sequence[tuple[Figure, Path]]) -> None:
        """Write figures in a child process, as soon as fewer than the most run."""
        if not figures:
            return
        while len(self._running) >= self._processes:
            self._collect()
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_write, args=(figures, theirs))
        child.start()
        theirs.close()
        self._running[ours] = child

    def _collect(self) -> None:
        """Wait for a child to end."""
        for connection in wait(list(self._running)):
            child = self._running.pop(connection)
            try:
                failure = connection.recv()
            except EOFError:
                failure = None  # killed before it could report
            connection.close()
            child.join()
            if failure:
                raise failure
            if child.exitcode:
                raise RuntimeError(f"a process that draws ended with exit code {child.exitcode}")


def _write(figures: Sequence[tuple[Figure, Path]], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the parent too, which says so
    try:
        for figure, stem in figures:
            save(figure, stem)
        connection.send(None)
    except Exception as problem:  # raised again in the parent
        connection.send(problem)
