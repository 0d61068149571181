"""Content digest of a user's own images, computed incrementally each time that jobs are planned.

Snakemake compares folders and large files by their modification times. A digest of their content lets copying,
unpacking again or touching them rerun nothing, and an edit in place rerun everything that depends on it. An
index, like that of git, remembers the SHA-256 of each file with its size and times; only files whose size or time has
changed are read again. Standard library only.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from convlab.common.atomic import write_text
from convlab.datasets.folder_listing import PART_NAMES, entries, is_folder, may_be_image, part_folders

_BLOCK = 2**20


Files = Callable[[Path], Iterable[tuple[str, Any]]]
"""Lists the files at a path: their names relative to it, each with an object that has ``stat``."""


def content_digest(
    path: Path, index: Path, say: Callable[[str], None] = lambda text: None, files_of: Files | None = None
) -> str:
    """Hexadecimal SHA-256 of the names and contents of a file, or of all files in a folder that its kind may read.

    ``files_of`` lists them (``registry.Kind.files``); by default they are those of an image folder that may be images.
    ``index`` is the cache file, written if anything has changed; ``say`` is called with a line before files are read.
    If ``path`` does not exist on this machine the cached digest is returned, or an empty one: no change is known.
    """
    known = _read_index(index)
    if not path.exists():
        return known["digest"]
    files, unread = {}, []
    for name, entry in (files_of or image_files)(path):
        try:
            status = entry.stat()
        except OSError:  # a dangling link, or a file that was just deleted: prepare reports it
            files[name] = [0, 0, 0, ""]
            continue
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        old = known["files"].get(name)
        if old and old[:3] == stamp:
            files[name] = old
        else:
            unread.append((name, entry, stamp))
    if unread:
        size = sum(stamp[0] for _, _, stamp in unread)
        say(f"reading {len(unread):,} new or changed files of {path} ({size / 1e6:,.1f} MB)")
    for name, entry, stamp in unread:
        files[name] = [*stamp, _sha256(Path(entry))]
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + b"\0" + files[name][3].encode() + b"\n")
    result = {"digest": digest.hexdigest(), "files": files}
    if result != known:
        _write_index(index, result)
    return result["digest"]


def image_files(path: Path) -> Iterator[tuple[str, Path | os.DirEntry]]:
    """Files of an image folder that may be images, by their names relative to ``path``."""
    if path.is_file():
        yield "", path
        return
    folders = part_folders(path)
    for part in (name for kind in PART_NAMES for name in folders.get(kind, ())):
        if (path / part).is_dir():
            for folder in entries(path / part):
                if is_folder(folder):
                    for entry in entries(folder.path):
                        if may_be_image(entry.name) and not is_folder(entry):
                            yield f"{part}/{folder.name}/{entry.name}", entry


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        return f"unreadable {error.errno}"
    return digest.hexdigest()


def _read_index(index: Path) -> dict:
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        return {"digest": str(known["digest"]), "files": dict(known["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"digest": "", "files": {}}


def _write_index(index: Path, content: dict) -> None:
    """Write the index atomically; if that fails the files are read again next time."""
    with suppress(OSError):
        write_text(index, json.dumps(content), durable=False)
