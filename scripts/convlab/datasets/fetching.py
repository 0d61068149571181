"""Downloading published datasets from mirrors or packages, verified by checksums.

Unlike the rest of the library this module touches the world: files, the network, the package manager.
"""

import errno
import gzip
import hashlib
import io
import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from convlab.datasets.watched_process import DOWNLOAD_SECONDS, STALL_SECONDS, run_watched
from convlab.errors import UserError

log = logging.getLogger(__name__)

NETWORK_SECONDS = 8.5
"""Seconds in which a network must respond; without one, fetching fails within ten seconds in all."""

PROBE_SECONDS = 3.0
"""Seconds of the above for probing the mirrors, in parallel."""

MAX_FILE_BYTES = 256 * 2**20
"""Bytes of an unpacked file at most; more means a damaged or hostile file."""


@dataclass(frozen=True)
class Archive:
    """A published set of files: the sha256 of each *unpacked* file, and where the files are found.

    The sums are of the unpacked content since distributors pack again. ``mirrors`` are addresses that end in a slash
    and hold ``<name>.gz`` for every name. Where ``packed`` is false, files are found, checked and kept as they are.
    """

    title: str
    folder: str
    sha256: Mapping[str, str]
    mirrors: tuple[str, ...] = ()
    debian_package: str | None = None
    debian_folder: Path | None = None
    packed: bool = True

    def published(self, name: str) -> str:
        """The name under which mirrors hold a file."""
        return f"{name}.gz" if self.packed else name


@dataclass
class _Fetch:
    """State of one fetch: files so far, and failed sources with reasons."""

    archive: Archive
    files: dict[str, bytes] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.archive.sha256 if name not in self.files]

    def failed(self, source: str, reason: str) -> None:
        log.info("%s: %s: %s", self.archive.title, source, reason)
        self.tried.append(f"{source}: {reason}")

    def read(self, folder: Path, source: str, damaged: Callable[[Path, str], None]) -> bool:
        """Read missing files from ``folder``; returns whether all files are there now."""
        names = self.missing
        for name in names:
            content = read_checked(folder, name, self.archive.sha256[name], damaged, self.archive.packed)
            if content is not None:
                self.files[name] = content
        taken = len(names) - len(self.missing)
        if taken:
            log.info("%s: %d of %d files from %s", self.archive.title, taken, len(self.archive.sha256), source)
        if self.missing:
            there = folder.is_dir() and any(folder.iterdir())
            none = "has none of the files" if there else "empty"
            self.failed(source, f"lacks {len(self.missing)} of {len(self.archive.sha256)} files" if taken else none)
        return not self.missing


def fetch(
    archive: Archive,
    *,
    key: str,
    path: str | Path | None = None,
    cache: Path | None = None,
    patience: float = NETWORK_SECONDS,
) -> dict[str, bytes]:
    """The unpacked files of ``archive`` by name, each with the right sha256.

    With ``path`` they come from that folder or not at all. Otherwise the sources are, in this order: the cache, the
    installed Debian package, the publisher's mirrors, the Debian package downloaded and unpacked without installing it.
    What was downloaded goes to the cache (``$CONVLAB_CACHE``, or the user's cache folder).

    Raises UserError, which names the config's ``key`` for the folder, when no source has them. A network that shows no
    sign of life within ``patience`` seconds is given up on.
    """
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
        names = ", ".join(map(archive.published, archive.sha256))
        raise UserError(
            f"cannot get {archive.title} ({'; '.join(state.tried)}); "
            f"put its files ({names}) in a folder and set {key} to that folder"
        )
    return state.files


def cache_folder() -> Path:
    """Where downloads are kept: ``$CONVLAB_CACHE``, or convlab's folder in the user's cache."""
    if os.environ.get("CONVLAB_CACHE"):
        try:
            return Path(os.environ["CONVLAB_CACHE"]).expanduser()
        except RuntimeError:
            raise UserError(
                f"CONVLAB_CACHE is {os.environ['CONVLAB_CACHE']!r}, in a home folder that is not known here; "
                "write the whole path"
            ) from None
    import pooch  # slow to import, and not needed by the other kinds

    return Path(pooch.os_cache("convlab"))


def read_checked(
    folder: Path, name: str, sha256: str, damaged: Callable[[Path, str], None], packed: bool = True
) -> bytes | None:
    """The unpacked content of ``name``.gz or ``name`` in ``folder``, if one of them has this sha256, else None.

    ``damaged`` is called with the path and the reason for a file that is there and is not good. Without ``packed`` only
    ``name`` is looked for, and nothing is unpacked. Other spellings: ``spellings``.
    """
    for path in spellings(folder, name) if packed else (folder / name,):
        try:
            if path.exists() and not path.is_file():
                damaged(path, "is no file")
                continue
            if path.exists() and path.stat().st_size > MAX_FILE_BYTES:
                damaged(path, f"is larger than {MAX_FILE_BYTES // 2**20} MiB")
                continue
            content = path.read_bytes()
            if packed and content[:2] == b"\x1f\x8b":  # by content: a server may unpack on the way and keep the name
                with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                    content = stream.read(MAX_FILE_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, EOFError, zlib.error) as error:
            damaged(path, f"cannot be read ({error})")
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        damaged(path, "has the wrong sha256")
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


def _from_folder(state: _Fetch, folder: Path, key: str) -> dict[str, bytes]:
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
        folder, keep = tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache), True
    except OSError as error:
        log.warning("the cache %s cannot be written (%s): what is downloaded is not kept", cache, error.strerror)
        folder, keep = tempfile.TemporaryDirectory(prefix="convlab-"), False
    with folder as name:
        yield Path(name), keep


def _keep(staging: Path, cache: Path, state: _Fetch) -> None:
    """Move the good files to the cache; a rename within it, so that two processes at once cannot leave half a file."""
    good = {name for name in state.files for suffix in ("", ".gz") if (staging / (name + suffix)).is_file()}
    for name in sorted(good):
        for suffix in ("", ".gz"):
            if (staging / (name + suffix)).is_file():
                (staging / (name + suffix)).replace(cache / (name + suffix))
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
            inner(address, _LimitedFile(stream), downloading)

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
                reason = f"{file_name}: {_short(error)}"
            else:
                content = read_checked(staging, name, archive.sha256[name], _drop_damaged, archive.packed)
                if content is not None:
                    state.files[name] = content
                    log.info("%s: %s (%.1f MB)", archive.title, address, len(content) / 1e6)
                    break
                reason = f"{file_name} is damaged"
            usable.remove(mirror)
            state.failed(urlsplit(mirror).netloc, reason)


class _EndlessDownloadError(ValueError):
    """A download that is larger, or takes longer, than any file of ours; the message says which."""


class _LimitedFile:
    """A file to which no more than ``MAX_FILE_BYTES`` bytes can be written, for ``DOWNLOAD_SECONDS``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._written, self._end_at = stream, 0, time.monotonic() + DOWNLOAD_SECONDS

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._written > MAX_FILE_BYTES:
            raise _EndlessDownloadError(f"sends more than {MAX_FILE_BYTES // 2**20} MiB")
        if time.monotonic() > self._end_at:
            raise _EndlessDownloadError(f"takes more than {DOWNLOAD_SECONDS:.0f} s")
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def probe_mirrors(mirrors: Iterable[str], file_name: str, seconds: float) -> dict[str, str | None]:
    """Request the start of ``file_name`` from all mirrors in parallel; for each None if it is good, else the reason.

    Daemon threads, since nothing else can bound a name look-up that hangs; ``requests`` honours the proxy settings.
    The content counts, not only the status: a hotel's log-in page answers everything with 200.
    """
    import requests

    def ask(mirror: str) -> None:
        try:
            with requests.get(mirror + file_name, stream=True, timeout=(seconds, seconds)) as response:
                if response.status_code != requests.codes.ok:
                    reason = f"HTTP {response.status_code}"
                else:
                    start = next(response.iter_content(4), b"")
                    reason = None if start[:2] in (b"\x1f\x8b", b"\x00\x00") else "does not serve the file"
        except (requests.RequestException, OSError, ValueError) as error:
            reason = _short(error)
        answers.put((mirror, reason))

    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    result: dict[str, str | None] = dict.fromkeys(mirrors, "no answer")
    for mirror in result:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    give_up_at = time.monotonic() + seconds
    for _ in range(len(result)):
        try:
            mirror, reason = answers.get(timeout=max(0.0, give_up_at - time.monotonic()))
        except queue.Empty:
            break
        result[mirror] = reason
    return result


def _short(error: Exception) -> str:
    """Short message for an error of ``requests``, whose own text is a paragraph of nested exceptions."""
    import requests

    if isinstance(error, _EndlessDownloadError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


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
