"""What an image folder holds, by names alone: ``train/<class>/*`` and, if there, ``test/<class>/*``.

Standard library only, since the config is checked with it wherever it is read.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from convlab.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Image files, by the end of their name in any case."""

PARTS = ("train", "test")

_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}
"""What Windows and macOS leave behind, beside hidden files."""


def entries(folder: str | Path) -> Iterator[os.DirEntry]:
    """What a folder holds, hidden files and litter left out, in no order."""
    with os.scandir(folder) as found:
        for entry in found:
            if not entry.name.startswith(".") and entry.name.lower() not in _LITTER:
                yield entry


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; links that lead round in a circle are none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return name.lower().endswith(SUFFIXES)


def natural(name: str) -> str:
    """A name as it is shown and sorted: Unicode's composed form, since file systems differ in which form they keep."""
    return unicodedata.normalize("NFC", name)


def shown(name: str) -> str:
    """A file name that can be printed, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def class_folders(root: Path, part: str, key: str) -> dict[str, str]:
    """Names of the classes in ``root/part``, sorted, each with its folder's name on this disk.

    Raises UserError, which names the config's ``key``, where there is no such folder or none in it, and for names that
    are no text or are equal in composed form.
    """
    folder = root / part
    if not root.is_dir():
        raise UserError(f"{key}: {root} is not a folder; give the folder that holds train/<class>/<images>")
    if not folder.is_dir():
        raise UserError(f"{key}: {root} has no folder {part}; put the images of each class into {folder}/<class>/")
    found: dict[str, str] = {}
    for entry in entries(folder):
        if not is_folder(entry):
            continue
        name = natural(entry.name)
        if name != shown(name):
            raise UserError(f"{key}: the folder {part}/{shown(entry.name)} has a name that is not UTF-8; rename it")
        if name in found:
            raise UserError(f"{key}: {part} has two folders named {name!r} (in different Unicode forms); rename one")
        found[name] = entry.name
    if not found:
        raise UserError(f"{key}: {folder} holds no folders; put the images of each class into {folder}/<class>/")
    return dict(sorted(found.items()))


def image_names(root: Path, folder: Path, key: str) -> tuple[list[str], Counter[str]]:
    """Names of the image files in one class's folder, sorted, and how many of what else lies there, by suffix.

    Raises UserError for a link that leaves ``root``.
    """
    names, others = [], Counter()
    refuse_outside(root, folder, key)
    for entry in entries(folder):
        if entry.is_symlink():
            refuse_outside(root, folder / entry.name, key)
        if is_folder(entry):
            others["folders"] += 1
        elif is_image(entry.name) and (entry.is_symlink() or entry.is_file()):
            names.append(entry.name)
        else:
            others[Path(entry.name).suffix.lower() or "no suffix"] += 1
    return sorted(names, key=lambda name: (natural(name), name)), others


def refuse_outside(root: Path, path: Path, key: str) -> None:
    """Raise UserError where ``path`` is a link, or goes through one, that leaves ``root``."""
    home = os.path.realpath(root)
    if os.path.commonpath([home, os.path.realpath(path)]) != home:
        name = shown(path.relative_to(root).as_posix())
        raise UserError(f"{key}: {name} is a link that leaves {root}; copy what it points to, or remove the link")
