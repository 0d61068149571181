"""File locks (``flock``), which the kernel releases when their process ends. Standard library only.

Unlike Snakemake's own locks they need no ``--unlock`` after a kill. They work between machines if the file system
supports that (NFS does); on a file system without locks nothing is locked.
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

_claim_descriptors: list[int] = []
"""File descriptors of the claims that this process holds until it ends."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[bool]:
    """Hold an exclusive lock on ``path``, waiting for its holder (and logging ``waiting``); remove it on exit.

    Yields whether it had to wait.
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
    """Try to lock ``path`` without waiting; yields whether the lock is held."""
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
    """Permission to write certain results, which the latest process to ask for it has. See :func:`sole_writer`."""

    def __init__(self, path: Path, target: Path) -> None:
        self._path, self._target, self._token = path, target, uuid.uuid4().hex.encode()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Context in which no other process can become the writer. Raises UserError if one has already."""
        with self._opened(os.O_RDWR) as descriptor:
            if descriptor is None or os.pread(descriptor, 64, 0) != self._token:
                raise self._error()
            yield

    def check(self) -> None:
        """Raise UserError if another process has become the writer of these results."""
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
        """The file's descriptor, locked; None if the file is missing and ``flags`` do not create it."""
        while True:
            try:
                descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                yield None
                return
            try:
                with suppress(OSError):  # without locks, only the token is checked
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
    """Become the only writer of ``main`` and the results beside it, replacing any earlier one.

    A job that has outlived its Snakemake may still be computing the same results when they are made again: it is no
    longer the writer, and ends without writing.
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
    """Hold an exclusive lock on ``path`` without waiting; the file is removed on exit.

    Raises UserError(``sentence``), with its ``{holder}`` filled in, if another process holds it. On a file system
    without locks nothing is locked.
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
            os.write(descriptor, _holder_record())
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def claim(path: Path, what: str) -> bool:
    """Lock ``path`` until this process ends; False if the file system has no locks.

    Raises UserError, which names the holder, if another process has locked it.
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
    os.write(descriptor, _holder_record())
    _claim_descriptors.append(descriptor)
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was acquired; None if the file system has no locks."""
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


def _holder_record() -> bytes:
    """Content of a lock file: process, machine and time of its holder, as JSON."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "since": since}).encode()


def _holder(descriptor: int) -> str:
    """Description of a lock's holder for messages; empty if the file does not tell."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        where = "" if holder["machine"] == socket.gethostname() else f" on {holder['machine']}"
        return f" (process {holder['process']}{where}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
