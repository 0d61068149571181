"""Run a download command with a stall timeout and a size limit."""

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

STALL_SECONDS = 30.0
"""A package download that has begun is given up on after this long without a byte."""

DOWNLOAD_SECONDS = 1200.0
"""A package download is given up on after this long in any case."""

MAX_DOWNLOAD_BYTES = 2**30
"""Bytes; a package and the package lists together take less."""


@dataclass(frozen=True)
class CommandResult:
    """Result of a watched command: the problem, or None, and whether any byte arrived."""

    problem: str | None
    alive: bool


def run_watched(command: list[str], cwd: Path, watch: Path, give_up_at: float) -> CommandResult:
    """Run a command while the folder ``watch`` grows.

    It is ended, with its children, when nothing has arrived by ``give_up_at`` (monotonic clock), when nothing more
    arrives for ``STALL_SECONDS``, and after ``DOWNLOAD_SECONDS`` in any case.
    """
    end_at = time.monotonic() + DOWNLOAD_SECONDS
    size = _size(watch)
    alive = False
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its download helpers end with it
        )
        try:
            while process.poll() is None:
                now = time.monotonic()
                if (grown := _size(watch)) > size:
                    size, alive, give_up_at = grown, True, now + STALL_SECONDS
                if size > MAX_DOWNLOAD_BYTES:
                    return CommandResult(f"sends more than {MAX_DOWNLOAD_BYTES // 2**20} MiB", alive)
                if now > min(give_up_at, end_at):
                    return CommandResult("no answer" if not alive else "the download stalled", alive)
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()
    if process.returncode == 0:
        return CommandResult(None, alive or _size(watch) > size)
    errors = [line.removeprefix("E:").strip() for line in lines if line.startswith("E:")] or lines[-1:]
    name = Path(command[0]).name
    return CommandResult(errors[0][:200] if errors else f"{name} ended with status {process.returncode}", alive)


def _size(folder: Path) -> int:
    """Bytes in the files under ``folder``."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:  # renamed while we looked
            continue
    return total
