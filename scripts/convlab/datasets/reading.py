"""Return type of dataset readers, and the check of memory that they share. Standard library only."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convlab.errors import UserError

if TYPE_CHECKING:
    from convlab.datasets.prepared import Dataset  # NumPy

_LIMIT_FILES = {False: "memory.max", True: "memory.limit_in_bytes"}
"""The file with a group's limit; true for version 1."""


@dataclass(frozen=True)
class Reading:
    """A dataset as it was read.

    Args:
        dataset: its arrays, all images that can be used.
        excluded: what was not used: ``folder_listing.summary``.
        test_images: where they come from: ``{"from": "data"}`` that brought them, ``{"from": "rule"}`` for a fixed one,
            or ``{"from": "seed"}`` with ``seed`` and ``fraction``.
        notes: other facts for the manifest.
    """

    dataset: "Dataset"
    excluded: Sequence[Mapping[str, Any]] = ()
    test_images: Mapping[str, Any] = field(default_factory=lambda: {"from": "data"})
    notes: Mapping[str, Any] = field(default_factory=dict)


def memory_limit(system: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its container or job.

    Linux keeps such limits in the files of control groups, version 2 or 1, each group bound by those above it.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        groups = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return there
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        home = system / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = home / path.strip("/")
        while folder.is_relative_to(home):
            with suppress(OSError, ValueError):  # no limit here: no such file, or "max"
                there = min(there, int((folder / _LIMIT_FILES[bool(controllers)]).read_text(encoding="ascii")))
            folder = folder.parent
    return there


def check_memory(images: int, shape: Sequence[int], key: str, remedy: str) -> None:
    """Raise UserError if the images do not fit into memory, before the system kills the job without a message."""
    needed, there = images * prod(shape), memory_limit()
    if needed > there:
        raise UserError(
            f"{key}: {images:,} images of {'×'.join(map(str, shape))} take {needed / 1e9:,.1f} GB, and this machine "
            f"(or container) has {there / 1e9:,.1f} GB of memory; {remedy}"
        )
