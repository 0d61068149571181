"""Downloading published datasets from mirrors or packages, verified by checksums.

Unlike the rest of the library this module touches the world: files, the network, the package manager.
"""

import errno
import gzip
import hashlib
import io
import logging
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from convlab.datasets.cache import cache_folder
from convlab.datasets.mirrors import LimitedFile, probe_mirrors, short_reason
from convlab.datasets.watched_process import STALL_SECONDS, run_watched
from convlab.errors import UserError

log = logging.getLogger(__name__)

NETWORK_SECONDS = 8.5
"""Seconds in which a network must respond; without one, fetching fails within ten seconds in all."""

PROBE_SECONDS = 3.0
"""Seconds of the above for probing the mirrors, in parallel."""

MAX_FILE_BYTES = 256 * 2**20
"""Bytes of an unpacked file at most, where its archive has no ``max_bytes``; more means a damaged or hostile file."""

ALGORITHMS = {32: "MD5", 64: "sha256"}
"""Algorithm of a checksum by its number of hexadecimal digits."""


@dataclass(frozen=True)
class Archive:
    """A published set of files: the checksum of each, SHA-256 or MD5 by its length, and where the files are found.

    The sums are of the *unpacked* content since distributors pack again. ``mirrors`` are addresses that end in a slash
    and hold ``<name>.gz`` for every name. Where ``packed`` is false, files are found, checked and kept as they are, and
    ``fetch_files`` gives their paths. ``max_bytes`` bounds a file's size instead of ``MAX_FILE_BYTES``.
    """

    title: str
    folder: str
    checksums: Mapping[str, str]
    mirrors: tuple[str, ...] = ()
    debian_package: str | None = None
    debian_folder: Path | None = None
    packed: bool = True
    max_bytes: int | None = None

    def published(self, name: str) -> str:
        """The name under which mirrors hold a file."""
        return f"{name}.gz" if self.packed else name

    @property
    def limit_bytes(self) -> int:
        """Bytes of a file at most."""
        return self.max_bytes or MAX_FILE_BYTES


@dataclass
class _Fetch:
    """State of one fetch: files so far, unpacked or else by path, and failed sources with reasons."""

    archive: Archive
    files: dict[str, bytes | Path] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.archive.checksums if name not in self.files]

    def failed(self, source: str, reason: str) -> None:
        log.info("%s: %s: %s", self.archive.title, source, reason)
        self.tried.append(f"{source}: {reason}")

    def read(self, folder: Path, source: str, damaged: Callable[[Path, str], None]) -> bool:
        """Read missing files from ``folder``; returns whether all files are there now."""
        names = self.missing
        for name in names:
            content = read_checked(folder, name, self.archive, damaged)
            if content is not None:
                self.files[name] = content
        taken = len(names) - len(self.missing)
        if taken:
            log.info("%s: %d of %d files from %s", self.archive.title, taken, len(self.archive.checksums), source)
        if self.missing:
            there = folder.is_dir() and any(folder.iterdir())
            none = "has none of the files" if there else "empty"
            self.failed(source, f"lacks {len(self.missing)} of {len(self.archive.checksums)} files" if taken else none)
        return not self.missing


def fetch(
    archive: Archive,
    *,
    key: str,
    path: str | Path | None = None,
    cache: Path | None = None,
    patience: float = NETWORK_SECONDS,
) -> dict[str, bytes | Path]:
    """The unpacked files of ``archive`` by name, each with the right checksum.

    With ``path`` they come from that folder or not at all. Otherwise the sources are, in this order: the cache, the
    installed Debian package, the publisher's mirrors, the Debian package downloaded and unpacked without installing it.
    What was downloaded goes to the cache (``$CONVLAB_CACHE``, or the user's cache folder).

    Raises UserError, which names the config's ``key`` for the folder, when no source has them. A network that shows no
    sign of life within ``patience`` seconds is given up on.
    """
    return _collect(archive, key, path, cache, patience)


def _collect(
    archive: Archive, key: str, path: str | Path | None, cache: Path | None, patience: float
) -> dict[str, bytes | Path]:
    """The files of ``archive``, unpacked or, of one that is not ``packed``, by path."""
    state = _Fetch(archive)
    if path is not None:
        return _from_folder(state, Path(path).expanduser(), key)

    cache = (cache or cache_folder()) / archive.folder
    if state.read(cache, "the cache", _drop_damaged):
        return state.files
    if archive.debian_folder and state.read(archive.debian_folder, "the installed Debian package", _leave_damaged):
        return state.files

    with _staging(cache) as (staging, keep):
        give_up_at = time.monotonic() + patience
        if archive.mirrors:
            _from_mirrors(state, staging, min(PROBE_SECONDS, patience / 2))
        if state.missing and archive.debian_package:
            _from_debian_package(state, staging, give_up_at)
        if keep:
            _keep(staging, cache, state)
    if state.missing:
        names = ", ".join(map(archive.published, archive.checksums))
        raise UserError(
            f"cannot get {archive.title} ({'; '.join(state.tried)}); "
            f"put its files ({names}) in a folder and set {key} to that folder"
        )
    return state.files


def fetch_files(
    archive: Archive, *, key: str, path: str | Path | None = None, cache: Path | None = None
) -> dict[str, Path]:
    """Paths of the files of an archive that is kept as it is published, each with the right checksum.

    Sources and errors are those of ``fetch``. Where the archive has one file, ``path`` may also be that file, under any
    name. Files are read in parts: they may be larger than memory.
    """
    location = None if path is None else Path(path).expanduser()
    if location is not None and location.is_file() and len(archive.checksums) == 1:
        ((name, checksum),) = archive.checksums.items()
        if location.stat().st_size > archive.limit_bytes or digest(location, checksum) != checksum:
            raise UserError(
                f"{key}: {location} has the wrong {algorithm(checksum)}, so it is not {archive.title}'s {name} "
                f"or was cut short; get it again or remove {key}"
            )
        log.info("%s: read from %s", archive.title, location)
        return {name: location}
    return _collect(archive, key, location, cache, NETWORK_SECONDS)


def algorithm(checksum: str) -> str:
    """Name of the algorithm of a hexadecimal checksum: MD5 or sha256."""
    return ALGORITHMS[len(checksum)]


def digest(content: bytes | Path, checksum: str) -> str:
    """The checksum of bytes or of a file, by the algorithm of the ``checksum`` that it is compared with."""
    summed = hashlib.new(algorithm(checksum).lower(), usedforsecurity=False)
    if isinstance(content, bytes):
        summed.update(content)
    else:
        with content.open("rb") as stream:
            while part := stream.read(2**20):
                summed.update(part)
    return summed.hexdigest()


def read_checked(
    folder: Path, name: str, archive: Archive, damaged: Callable[[Path, str], None]
) -> bytes | Path | None:
    """The unpacked content of ``name``.gz or ``name`` in ``folder``, if one of them has the right checksum, else None.

    ``damaged`` is called with the path and the reason for a file that is there and is not good. Of an archive that is
    not ``packed`` only ``name`` is looked for, and its path is given. Other spellings: ``spellings``.
    """
    checksum = archive.checksums[name]
    for path in spellings(folder, name) if archive.packed else (folder / name,):
        try:
            if path.exists() and not path.is_file():
                damaged(path, "is no file")
                continue
            if path.exists() and path.stat().st_size > archive.limit_bytes:
                damaged(path, f"is larger than {archive.limit_bytes // 2**20} MiB")
                continue
            content = path
            if archive.packed:
                content = path.read_bytes()
                if content[:2] == b"\x1f\x8b":  # by content: a server may unpack on the way and keep the name
                    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                        content = stream.read(archive.limit_bytes)
            if digest(content, checksum) == checksum:
                return content
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, EOFError, zlib.error) as error:
            damaged(path, f"cannot be read ({error})")
            continue
        damaged(path, f"has the wrong {algorithm(checksum)}")
    return None


def spellings(folder: Path, name: str) -> list[Path]:
    """Possible paths of a published file: packed or not, as its publisher names it or with a full stop as Kaggle does
    (``train-images.idx3-ubyte``), and in a folder of that name, as some unpackers leave it."""
    names = [f"{stem}{end}" for stem in dict.fromkeys((name, name.replace("-idx", ".idx"))) for end in (".gz", "")]
    paths = []
    for spelling in names:
        path = folder / spelling
        paths += [path / inner for inner in names] if path.is_dir() else [path]
    return paths


def _from_folder(state: _Fetch, folder: Path, key: str) -> dict[str, bytes | Path]:
    """Read from the user's own folder: a problem with it is an error, never a reason to try other sources."""

    def refuse(path: Path, reason: str) -> None:
        raise UserError(f"{path} {reason}, so it is not {state.archive.title}'s; replace it or remove {key}")

    if not folder.is_dir():
        raise UserError(f"{key}: {folder} is not a folder; give the folder that holds {state.archive.title}'s files")
    if not state.read(folder, str(folder), refuse):
        names = ", ".join(map(state.archive.published, state.missing))
        either = " (packed or not)" if state.archive.packed else ""
        raise UserError(f"{key}: {folder} lacks {names}{either}; add it or remove {key}")
    return state.files


def _drop_damaged(path: Path, reason: str) -> None:
    log.warning("%s %s: dropped, it is fetched again", path, reason)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # another user's read-only cache: other sources are tried
        log.warning("%s cannot be dropped (%s)", path, error.strerror)


def _leave_damaged(path: Path, reason: str) -> None:
    log.warning("%s %s: not used", path, reason)


@contextmanager
def _staging(cache: Path):
    """Temporary folder, inside the cache if that is writable, and whether its files can be moved to the cache."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache)
    except OSError as error:
        log.warning("the cache %s cannot be written (%s): what is downloaded is not kept", cache, error.strerror)
        folder = tempfile.TemporaryDirectory(prefix="convlab-")
        _until_exit.append(folder)
        yield Path(folder.name), False
    else:
        with folder as name:
            yield Path(name), True


_until_exit: list[tempfile.TemporaryDirectory] = []
"""Folders of downloads that are not kept; they go when the process ends, since files in them may be read until then."""


def _keep(staging: Path, cache: Path, state: _Fetch) -> None:
    """Move the good files to the cache; a rename within it, so that two processes at once cannot leave half a file."""
    good = {name for name in state.files for suffix in ("", ".gz") if (staging / (name + suffix)).is_file()}
    for name in sorted(good):
        for suffix in ("", ".gz"):
            if (staging / (name + suffix)).is_file():
                (staging / (name + suffix)).replace(cache / (name + suffix))
        if not state.archive.packed:
            state.files[name] = cache / name
    if good:
        log.info("%s: %d files kept in %s", state.archive.title, len(good), cache)


# ---------------------------------------------------------------------------------------------------------------------
# Mirrors


def _from_mirrors(state: _Fetch, staging: Path, probe_seconds: float) -> None:
    """Download what is missing, with pooch, from the mirrors that answer a probe."""
    import pooch
    import requests

    archive, mirrors = state.archive, state.archive.mirrors
    log.info("%s: asking %d mirrors", archive.title, len(mirrors))
    smallest = state.missing[-1]  # the test labels, unless they are here already
    answers = probe_mirrors(mirrors, archive.published(smallest), probe_seconds)
    usable = []
    for mirror in mirrors:
        if answers[mirror] is None:
            usable.append(mirror)
        else:
            state.failed(urlsplit(mirror).netloc, answers[mirror])
    pooch.get_logger().setLevel("WARNING")  # it advises to note a sha256, and we check one
    inner = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(5, 15), chunk_size=2**16)

    def downloader(address: str, output_file: str, downloading: pooch.Pooch) -> None:
        with Path(output_file).open("w+b") as stream:
            inner(address, LimitedFile(stream, archive.limit_bytes), downloading)

    for name in state.missing:
        file_name = archive.published(name)
        for mirror in list(usable):
            address = mirror + file_name
            reason = None
            try:
                pooch.retrieve(address, known_hash=None, fname=file_name, path=staging, downloader=downloader)
            except (requests.RequestException, OSError, ValueError) as error:
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise
                reason = f"{file_name}: {short_reason(error)}"
            else:
                content = read_checked(staging, name, archive, _drop_damaged)
                if content is not None:
                    state.files[name] = content
                    size = len(content) if isinstance(content, bytes) else content.stat().st_size
                    log.info("%s: %s (%.1f MB)", archive.title, address, size / 1e6)
                    break
                reason = f"{file_name} is damaged"
            usable.remove(mirror)
            state.failed(urlsplit(mirror).netloc, reason)


# ---------------------------------------------------------------------------------------------------------------------
# The Debian package, without root


def _from_debian_package(state: _Fetch, staging: Path, give_up_at: float) -> None:
    """Download the distribution's package and unpack it beside, first by the system's package lists, then by our own.

    Neither step needs root, and nothing is installed. The system's lists may be missing (containers) or older than the
    package's present version; ``apt-get update`` into a folder of ours mends both.
    """
    package = state.archive.debian_package
    source = f"Debian package {package}"
    apt_get, dpkg_deb = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if not apt_get or not dpkg_deb:
        state.failed(source, "this system has no apt-get")
        return
    log.info("%s: trying apt-get download %s", state.archive.title, package)
    folders = {name: staging / "apt" / name for name in ("packages", "lists/partial", "cache/archives/partial", "root")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    packages, root = folders["packages"], folders["root"]
    quiet = [
        *("-q", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=15"),
        *("-o", "Acquire::https::Timeout=15", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="),
    ]
    # The system's hooks after an update (cleaning caches, waking services) are not meant for a private update.
    hooks = staging / "apt" / "no-hooks.conf"
    hooks.write_text("".join(f"#clear APT::Update::{when};\n" for when in _UPDATE_HOOKS), encoding="utf-8")
    private = [
        *("-c", str(hooks), "-o", f"Dir::State::Lists={staging / 'apt' / 'lists'}", "-o", "Acquire::Languages=none"),
        *("-o", f"Dir::Cache={staging / 'apt' / 'cache'}"),
    ]

    def apt(*arguments: str) -> str | None:
        nonlocal give_up_at
        outcome = run_watched([apt_get, *quiet, *arguments], packages, staging / "apt", give_up_at)
        if outcome.alive:
            give_up_at = max(give_up_at, time.monotonic() + STALL_SECONDS)
        return outcome.problem

    problem = apt("download", package)
    if problem and time.monotonic() < give_up_at:
        log.info("%s: %s; trying with package lists of our own", state.archive.title, problem)
        second = apt(*private, "update") or apt(*private, "download", package)
        problem = second and f"{problem}; with package lists of our own: {second}"
    archives = sorted(packages.glob("*.deb"))
    if not problem and not archives:
        problem = "apt-get left no package"
    if not problem:
        unpack_by = time.monotonic() + STALL_SECONDS
        problem = run_watched([dpkg_deb, "-x", str(archives[-1]), str(root)], packages, root, unpack_by).problem
    if problem:
        state.failed(source, problem)
        return
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name.removesuffix(".gz") in state.missing:
            path.replace(staging / path.name)
    state.read(staging, source, _leave_damaged)


_UPDATE_HOOKS = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
