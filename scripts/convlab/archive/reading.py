"""Reading an archive, packed or unpacked, from whoever it may come: nothing is written, and no path leaves it.

Standard library only.
"""

import hashlib
import os
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from convlab.archive.bag import DECLARATION
from convlab.errors import UserError

MAX_FILES = 1_000_000
MAX_EXPANSION, ALWAYS_ALLOWED_BYTES = 100, 2**30
"""A zip file that would grow to more than so many times its size, and to more than so many bytes, is refused."""

AGAIN = "unpack the archive again, and run its study in a copy"

READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises for content that is damaged; ValueError for names that are not in the encoding that they have."""


class Archive(Protocol):
    """Files of an archive by their path below its folder."""

    def names(self) -> list[str]:
        """Sorted paths of all files."""

    def open(self, name: str) -> BinaryIO:
        """Open a file. Raises OSError or one of UNREADABLE."""

    def executable(self, name: str) -> bool:
        """Whether a file is marked as a program."""


class FolderArchive:
    """An unpacked archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = sorted(_files_of(folder))

    def names(self) -> list[str]:
        return self._names

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def executable(self, name: str) -> bool:
        return os.access(self._folder / name, os.X_OK)


class ZipArchive:
    """A packed archive; ``top`` is its only folder, with a slash at its end."""

    def __init__(self, archive: zipfile.ZipFile, top: str) -> None:
        self._archive, self._top = archive, top

    def names(self) -> list[str]:
        files = (info.filename for info in self._archive.infolist() if not info.is_dir())
        return sorted(name.removeprefix(self._top) for name in files)

    def open(self, name: str) -> BinaryIO:
        return self._archive.open(self._top + name)

    def executable(self, name: str) -> bool:
        return bool(self._archive.getinfo(self._top + name).external_attr >> 16 & stat.S_IXUSR)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a zip file, or the folder that one was unpacked to.

    Raises UserError, one sentence, for what is no archive and for a zip file that is made to do harm: paths that lead
    out of it, links, names twice, encryption, and sizes beyond all proportion.
    """
    if path.is_dir():
        yield FolderArchive(_bag_folder(path))
        return
    if not path.exists():
        raise UserError(f"{path} does not exist; name the zip file, or the folder that it was unpacked to")
    if not path.is_file():
        raise UserError(f"{path} is no file; name the zip file, or the folder that it was unpacked to")
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UNREADABLE as error:
        raise UserError(f"{path} is not a whole zip file ({error}); get it again") from None
    with archive:
        yield ZipArchive(archive, _checked(archive, path))


def sha256(archive: Archive, name: str) -> str:
    """Hexadecimal SHA-256 of a file."""
    with archive.open(name) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpack(archive: Archive, folder: Path, below: str = "") -> None:
    """Write the files whose paths begin with ``below``, without that, into a folder that does not exist yet.

    All get the same time, so that no result counts as older than what it was made from.
    """
    folder.mkdir(parents=True)
    now = time.time()
    for name in archive.names():
        if name.startswith(below):
            path = folder / name.removeprefix(below)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, path.open("xb") as target:
                shutil.copyfileobj(source, target)
            if archive.executable(name):
                path.chmod(0o755)
            os.utime(path, (now, now))


def _bag_folder(path: Path) -> Path:
    """The folder with the bag's declaration: ``path`` or the only folder in it."""
    inside = [path, *(child for child in path.iterdir() if child.is_dir() and not child.is_symlink())]
    bags = [folder for folder in inside if (folder / DECLARATION).is_file()]
    if not bags:
        raise UserError(f"{path} is no archive of a study: there is no {DECLARATION} in it")
    if bags[0] != path and len(bags) > 1:
        raise UserError(f"{path} holds {len(bags)} archives; name one of their folders")
    return bags[0]


def _files_of(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink():
                raise UserError(f"{path} is a link, which no archive of a study has; {AGAIN}")
            if name in files and path.exists() and not path.is_file():
                raise UserError(f"{path} is a pipe or a device, which no archive of a study has; {AGAIN}")
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in files)


def _checked(archive: zipfile.ZipFile, path: Path) -> str:
    """The only folder at the top of a zip file whose entries are all harmless; else UserError."""
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise UserError(f"{path} has {len(entries):,} entries, more than any archive of a study; it was not unpacked")
    names: set[str] = set()
    for entry in entries:
        if fault := _fault_of(entry, names):
            raise UserError(f"{path} is refused: its entry {entry.orig_filename!r} {fault}; nothing was unpacked")
        names.add(entry.filename)
    size, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    if size > max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * packed):
        raise UserError(
            f"{path} is refused: its {packed:,} bytes would become {size:,}, which no study does; nothing was unpacked"
        )
    files = {entry.filename for entry in entries if not entry.is_dir()}
    for name in sorted(files):
        if parent := next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in files), None):
            raise UserError(f"{path} is refused: {parent!r} is a file and the folder of another; nothing was unpacked")
    tops = {name.split("/")[0] for name in names}
    top = min(tops, default="")
    if len(tops) != 1 or f"{top}/{DECLARATION}" not in names:
        raise UserError(f"{path} is no archive of a study: it has no folder with a {DECLARATION} as its only one")
    return f"{top}/"


def _fault_of(entry: zipfile.ZipInfo, names: set[str]) -> str:
    """What is wrong with an entry of a zip file, as a clause; empty for a harmless one."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if fault := fault_of_name(entry.orig_filename):
        return fault
    if entry.filename in names:
        return "is there twice"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in READ_METHODS:
        return "is compressed in a way that no archive of ours is"
    return ""


def fault_of_name(name: str) -> str:
    """What is wrong with the path of an entry of a zip file, as a clause; empty for a harmless one."""
    parts = PurePosixPath(name.rstrip("/")).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        return "leads out of the archive"
    if "/".join(parts) != name.rstrip("/") or not name.isprintable():
        return "has a name that no file of ours has"
    return ""
