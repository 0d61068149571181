"""Whether this machine is busy: processor time of others, and Snakemakes of other studies. Standard library only."""

import errno
import fcntl
import os
import time
from pathlib import Path

IDLE_FIELDS = (3, 4)
"""Positions of idle and iowait among the times of a processor in /proc/stat."""

COUNTED_FIELDS = 8
"""Times that count, from user to steal; those of guests are in user's already."""


def busy_seconds() -> float | None:
    """Seconds that the cores which this process may use have been busy since the machine started; None if not known.

    By whatever process, in another container and, as stolen time, in another virtual machine of the host too.
    """
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for name, *times in (line.split() for line in lines if line.startswith("cpu")):
        if name in ours:
            counted = list(map(int, times[:COUNTED_FIELDS]))
            ticks += sum(counted) - sum(counted[position] for position in IDLE_FIELDS)
    return ticks / os.sysconf("SC_CLK_TCK")


class Load:
    """Cores that were busy with something else than this process and its children, from creation on."""

    def __init__(self) -> None:
        self._wall, self._busy, self._own = time.monotonic(), busy_seconds(), _own_seconds()

    def others(self) -> float | None:
        """Mean number of cores that others kept busy until now; None where the system does not tell.

        Children count from when they have ended.
        """
        busy, wall = busy_seconds(), time.monotonic() - self._wall
        if busy is None or self._busy is None or wall <= 0:
            return None
        return max(0.0, (busy - self._busy - (_own_seconds() - self._own)) / wall)


def load_of_others(seconds: float) -> float | None:
    """Number of cores that others keep busy, measured for so many seconds; None where the system does not tell."""
    load = Load()
    time.sleep(seconds)
    return load.others()


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def held_locks(folder: Path, but: str) -> list[str]:
    """Names of the lock files in ``folder`` that a process holds, the one called ``but`` left out."""
    return [path.stem for path in sorted(folder.glob("*.lock")) if path.name != but and _is_held(path)]


def _is_held(path: Path) -> bool:
    """Whether a process holds the lock (``flock``) on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(descriptor)
    return False
