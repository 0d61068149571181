"""Locks that end with the process that holds them, however it ends: ``flock`` on files. Standard library only.

Unlike Snakemake's own locks they need no ``--unlock`` after a kill. They hold between machines where the file system
passes them on (NFS does); where there are none at all nothing is locked.
"""

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from convlab.errors import UserError

log = logging.getLogger(__name__)

_claims: list[int] = []
"""Open files of what this process has claimed for its life."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the file ``path`` locked, which is gone afterwards; log ``waiting`` and wait while another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = _open(path)
        try:
            if _lock(descriptor) is False:
                log.info(waiting)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same_file(descriptor, path):
                yield
                path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


@contextmanager
def held(path: Path, sentence: str) -> Iterator[None]:
    """Hold the file ``path`` locked, which is gone afterwards, or raise UserError(``sentence``) at once.

    ``{holder}`` in the sentence becomes who has it. Where the file system has no locks nothing is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = _open(path)
        try:
            if _lock(descriptor) is False:
                raise UserError(sentence.replace("{holder}", _holder(descriptor)))
            if not _same_file(descriptor, path):
                continue  # its last holder has deleted it meanwhile
            os.ftruncate(descriptor, 0)
            os.write(descriptor, _myself())
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def claim(path: Path, what: str) -> bool:
    """Lock ``path`` until this process ends; False where the file system has no locks.

    Raises UserError, which says who is at it, where another process has.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    taken = _lock(descriptor)
    if taken is False:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise UserError(f"another Snakemake{holder} is at work on {what}; wait until it has ended, or end it first")
    if taken is None:
        os.close(descriptor)
        return False
    os.ftruncate(descriptor, 0)
    os.write(descriptor, _myself())
    _claims.append(descriptor)
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free and is ours now; None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether ``path`` still is the open file: its last holder may have deleted it while we waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _myself() -> bytes:
    """What a lock's file says of its holder."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "since": since}).encode()


def _holder(descriptor: int) -> str:
    """Who holds a claim, as far as it has said so."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        where = "" if found["machine"] == socket.gethostname() else f" on {found['machine']}"
        return f" (process {found['process']}{where}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
