"""Atomic, durable writing: a file appears whole or not at all, whatever ends the process. Standard library only."""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = re.compile(r"\.[0-9a-f]{12}(\..+)?")
"""Names of the temporary files and folders that a killed process leaves."""

STALE_SECONDS = 24 * 3600
"""Age from which a temporary file belongs to no process any more."""


def temporary_name(path: Path) -> Path:
    """A new hidden path beside ``path`` with the same suffixes."""
    return path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, same suffixes; it replaces ``path`` if the block ends without an error.

    It may become a file or a folder; a folder replaces a folder. ``durable`` calls fsync before and after the rename,
    so that a power cut leaves the old file or the new one and never an empty one. Only for files that one job writes a
    hundred times, and that can be made again, is waiting for the disk not worth it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        if durable:
            _flush_all(temporary)
        if path.is_dir() and not path.is_symlink():
            outdated = temporary_name(path)
            path.rename(outdated)
            temporary.rename(path)
            shutil.rmtree(outdated, ignore_errors=True)
        else:
            temporary.replace(path)
        if durable:
            flush(path.parent)
    finally:
        remove(temporary)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path, durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """fsync a file, or the names in a folder; without effect where the file system does not support it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Clean a folder of results: delete stale temporary files, set modification times that lie in the future to now.

    A temporary file is stale when it is older than a day. A clock that was wrong, and set back, leaves times in the
    future; Snakemake would refuse every job that reads such a file, since the job's outputs are older than its inputs.
    Changes are detected by checksums, so nothing more is run. Other processes may write here at the same time: files
    that vanish, or cannot be changed, are skipped.
    """
    now = time.time()
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            try:
                modified = path.lstat().st_mtime
                if TEMPORARY.fullmatch(name) and modified < now - STALE_SECONDS:
                    remove(path)
                elif modified > now:
                    os.utime(path, (now, now), follow_symlinks=False)
            except OSError:
                continue


def _flush_all(path: Path) -> None:
    """Flush a file, or a folder with all that is in it."""
    if path.is_dir():
        for parent, _, files in os.walk(path):
            for name in files:
                flush(Path(parent, name))
            flush(Path(parent))
    else:
        flush(path)
