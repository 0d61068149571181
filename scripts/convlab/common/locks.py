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
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from convlab.errors import UserError

log = logging.getLogger(__name__)

_claims: list[int] = []
"""Open files of what this process has claimed for its life."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[bool]:
    """Hold the file ``path`` locked, which is gone afterwards; log ``waiting`` and wait while another process does.

    Gives whether it was waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        descriptor = _open(path)
        try:
            if _lock(descriptor) is False:
                if not waited:
                    log.info(waiting)
                waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same_file(descriptor, path):
                try:
                    yield waited
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the file ``path`` locked, unless another process does; gives whether it is ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        ours = _lock(descriptor) is not False and _same_file(descriptor, path)
        try:
            yield ours
        finally:
            if ours:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


class Writer:
    """The one process that may write certain results; the latest to begin is it. See :func:`sole_writer`."""

    def __init__(self, path: Path, target: Path) -> None:
        self._path, self._target, self._token = path, target, uuid.uuid4().hex.encode()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around writing results: nobody else can begin meanwhile. Raises UserError where somebody has."""
        with self._opened(os.O_RDWR) as descriptor:
            if descriptor is None or os.pread(descriptor, 64, 0) != self._token:
                raise self._error()
            yield

    def check(self) -> None:
        """Raise UserError where another process has begun to make these results since."""
        with self.writing():
            pass

    def begin(self) -> None:
        with self._opened(os.O_RDWR | os.O_CREAT) as descriptor:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._token, 0)

    def end(self) -> None:
        with self._opened(os.O_RDWR) as descriptor:
            if descriptor is not None and os.pread(descriptor, 64, 0) == self._token:
                self._path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int | None]:
        """The file, locked; None where it is missing and not to be made."""
        while True:
            try:
                descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                yield None
                return
            try:
                with suppress(OSError):  # where the file system has no locks the check alone must do
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _same_file(descriptor, self._path):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _error(self) -> UserError:
        return UserError(
            f"another process has begun to make {self._target}, or its folder was deleted; this one ends without "
            "writing"
        )


@contextmanager
def sole_writer(main: Path) -> Iterator[Writer]:
    """Become the one process that may write ``main`` and what belongs to it, in the place of any other.

    A job that has outlived its Snakemake may still be at work on the same results when they are made again: it finds
    that somebody else has begun, and ends without writing.
    """
    main.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(main.with_name(f".{main.name}.writer"), main)
    writer.begin()
    try:
        yield writer
    finally:
        writer.end()


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
