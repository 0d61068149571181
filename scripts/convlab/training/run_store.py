"""Finished runs, kept by what decides them, so that none is trained twice.

Snakemake deletes a job's results before it runs the job again, also those of a job that ended just before a kill and
was not recorded. And two studies may want the same run. Both are met by a folder, beside Snakemake's own records, in
which a copy of each finished run lies under the hash of all that decides it, with its checksums. Standard library only.
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
"""What a run leaves; the last one is written last, with the checksums of all beside it."""

MAIN = FILES[-1]

UNUSED_SECONDS = 14 * 24 * 3600
"""How long a kept run stays after it was first seen that no study's results are of it any more."""

FREE_BYTES = 2**28
"""Space that must stay free on the disk; otherwise a run is not kept, which costs no result."""

_UNUSED = "unused"
_IDENTITY = re.compile(r'"identity":\s*"([0-9a-f]+)"')
_FICLONE = 0x40049409  # Linux: a file shares another's blocks until one of them is written (Btrfs, XFS)


def take(entry: Path, output: Path) -> bool:
    """Copy the run kept at ``entry`` to ``output``, whole or not at all; whether there was a good one.

    What does not fit its checksums is dropped, so that the run is trained. Copies, not links: Snakemake sets the times
    of a job's results, which must not change another study's, and who edits one in place must not edit all.
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


def keep(output: Path, entry: Path) -> None:
    """Keep a copy of the run in ``output`` at ``entry``, in the place of an earlier one.

    Where the disk is nearly full, or anything else prevents it, the run is not kept: it is safe where it belongs.
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


def thin_out(store: Path, records: Iterable[Path]) -> None:
    """Delete kept runs that no study's results have been of for two weeks.

    ``records`` are the ``run.json`` of all studies' runs. A run that is not used is first marked, and deleted by a
    later call: its results may have been deleted a moment ago, to be taken from here. Nothing that is locked is
    touched, and a run is never in the way of its study's success.
    """
    with suppress(OSError):
        entries = [entry for entry in store.iterdir() if entry.is_dir() and not TEMPORARY.fullmatch(entry.name)]
        used = _identities(records) if entries else set()
        for entry in entries:
            with suppress(OSError):
                _thin_out(entry, entry.name in used)
        for path in store.iterdir():  # what killed processes left
            with suppress(OSError):
                if path.lstat().st_mtime > time.time() - STALE_SECONDS:
                    continue
                if TEMPORARY.fullmatch(path.name):
                    remove(path)
                elif path.suffix == ".lock":
                    with locked_if_free(path):  # which deletes it
                        pass


def _thin_out(entry: Path, used: bool) -> None:
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
    """The runs that all studies' results are of."""
    identities = set()
    for path in records:
        with suppress(OSError, UnicodeDecodeError):
            identities.update(_IDENTITY.findall(path.read_text(encoding="utf-8")))
    return identities


def _copy(source: Path, target: Path) -> None:
    """Copy a file's content, where the file system can do so without taking space."""
    with source.open("rb") as reading, target.open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            return
        except OSError:
            os.ftruncate(writing.fileno(), 0)
        shutil.copyfileobj(reading, writing)
