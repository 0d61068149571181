"""Content-addressed store of finished runs, so that no run is trained twice.

Snakemake deletes a job's results before it runs the job again, also those of a job that ended just before a kill and
was not recorded; and two studies may share a run. So a copy of each finished run is kept, with its checksums, in a
folder beside Snakemake's own records, under the hash of everything that decides its result. Standard library only.
"""

import errno
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from convlab.common import checksums
from convlab.common.atomic import STALE_SECONDS, TEMPORARY, atomic, flush, remove, temporary_name
from convlab.common.locks import locked_if_free

log = logging.getLogger(__name__)

FILES = ("model.keras", "history.csv", "run.json")
"""Results of a run; the last one is written last, with the checksums of all beside it."""

MAIN = FILES[-1]

UNUSED_SECONDS = 14 * 24 * 3600
"""Seconds after which a run that no study uses any more is deleted."""

FREE_BYTES = 2**28
"""Bytes that must stay free on the disk; otherwise a run is not stored, which loses no result."""

_UNUSED = "unused"
_IDENTITY = re.compile(r'"identity":\s*"([0-9a-f]+)"')
_FICLONE = 0x40049409  # Linux: a file shares another's blocks until one of them is written (Btrfs, XFS)


def fetch(entry: Path, output: Path) -> bool:
    """Copy the stored run ``entry`` to ``output``, completely or not at all; returns whether there was an intact one.

    An entry that does not match its checksums is deleted, so that the run is trained. Copies, not links: Snakemake sets
    the modification times of a job's results, which must not change another study's, and neither must an edit in place.
    """
    if not entry.exists():
        return False
    record = checksums.read_record(entry / MAIN)
    output.mkdir(parents=True, exist_ok=True)
    copies = {name: temporary_name(output / name) for name in FILES}
    try:
        if record is None or set(record) != set(FILES):
            raise ValueError("its checksums are missing")
        for name, copy in copies.items():
            try:
                _copy(entry / name, copy)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT) or not output.is_dir():
                    raise
                raise ValueError(error.strerror) from None
            if checksums.sha256(copy) != record[name]["sha256"]:
                raise ValueError(f"the SHA-256 of {name} differs")
        checksums.drop_record(output / MAIN)
        for name, copy in copies.items():
            flush(copy)
            copy.replace(output / name)
        checksums.write_record(output / MAIN, [output / name for name in FILES])
        with suppress(OSError):
            (entry / _UNUSED).unlink(missing_ok=True)
        return True
    except ValueError as error:
        log.warning("the kept run %s is damaged (%s): dropped, it is trained again", entry, error)
        remove(entry)
        return False
    finally:
        for copy in copies.values():
            remove(copy)


def store(output: Path, entry: Path) -> None:
    """Store a copy of the run in ``output`` as ``entry``, replacing an earlier one.

    If the disk is nearly full, or anything else prevents it, the run is not stored; its results in ``output`` are safe.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        size = sum((output / name).stat().st_size for name in FILES)
        if shutil.disk_usage(entry.parent).free < size + FREE_BYTES:
            log.info("not kept for other studies: the disk is nearly full")
            return
        with atomic(entry) as temporary:
            temporary.mkdir()
            for name in FILES:
                _copy(output / name, temporary / name)
            checksums.write_record(temporary / MAIN, [temporary / name for name in FILES])
            if checksums.read_record(temporary / MAIN) != checksums.read_record(output / MAIN):
                raise OSError("the results changed while they were copied")
    except OSError as error:
        log.info("not kept for other studies: %s", error)


def prune(folder: Path, records: Iterable[Path]) -> None:
    """Delete stored runs that no study has used for two weeks.

    ``records`` are the ``run.json`` of all studies' runs. An unused run is first marked, and deleted by a later call:
    its results may have been deleted a moment ago, to be fetched from here. Locked runs are left alone, and no error
    is raised: the study has succeeded.
    """
    with suppress(OSError):
        entries = [entry for entry in folder.iterdir() if entry.is_dir() and not TEMPORARY.fullmatch(entry.name)]
        used = _identities(records) if entries else set()
        for entry in entries:
            with suppress(OSError):
                _prune(entry, entry.name in used)
        for path in folder.iterdir():  # what killed processes left
            with suppress(OSError):
                if path.lstat().st_mtime > time.time() - STALE_SECONDS:
                    continue
                if TEMPORARY.fullmatch(path.name):
                    remove(path)
                elif path.suffix == ".lock":
                    with locked_if_free(path):  # which deletes it
                        pass


def _prune(entry: Path, used: bool) -> None:
    mark = entry / _UNUSED
    if used:
        mark.unlink(missing_ok=True)
    elif not mark.exists():
        mark.touch()
    elif mark.stat().st_mtime < time.time() - UNUSED_SECONDS:
        with locked_if_free(entry.with_name(f"{entry.name}.lock")) as ours:
            if ours and mark.exists():
                remove(entry)


def _identities(records: Iterable[Path]) -> set[str]:
    """Identities of the runs in all studies' results."""
    identities = set()
    for path in records:
        with suppress(OSError, UnicodeDecodeError):
            identities.update(_IDENTITY.findall(path.read_text(encoding="utf-8")))
    return identities


def _copy(source: Path, target: Path) -> None:
    """Copy a file's content, as a reflink if the file system supports it."""
    with source.open("rb") as reading, target.open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            return
        except OSError:
            os.ftruncate(writing.fileno(), 0)
        shutil.copyfileobj(reading, writing)
