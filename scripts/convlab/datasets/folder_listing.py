"""Listing of an image folder, by names alone: ``train/<class>/*`` and, if there, ``validation/`` and ``test/`` alike.

Every file and folder ends in one of two lists: what is read, and what is not, each with its reason (``Skipped``).
Standard library only, since the config is checked with it wherever it is read.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from convlab.errors import UserError, printable

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    *(".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
)
"""Image files that are read, by the end of their name in any case."""

READABLE = "PNG, JPEG, WebP, BMP, GIF or TIFF"

UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".svg", ".svgz", ".psd", ".xcf", ".ico", ".tga"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".exr", ".hdr", ".eps", ".dcm", ".dicom", ".nii", ".fits", ".raw", ".dng"),
    *(".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
"""Image files that are not read."""

DOCUMENT_SUFFIXES = (
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".log"),
    *(".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".sh", ".db", ".url", ".lnk"),
)
"""Documents beside images; never opened."""

PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of the folders of each part, in any case."""

_LIKE_TEST = re.compile(r"(^|[^a-z])(test|eval|val|valid|holdout|hold-out)", re.IGNORECASE)
"""Folder names that suggest test images, but are not among PART_NAMES."""

_LITTER = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "@eadir"}
"""System files of Windows, macOS and network drives, beside hidden files."""

HIDDEN = "hidden file"
SYSTEM = "system file"
OTHER = "not an image by its name"
FORMAT = "in a format that is not read"
NOT_A_FILE = "not a regular file"
INNER_FOLDER = "in a folder inside a class"
OUTSIDE = "outside of the class folders"
OTHER_FOLDER = "in a folder that is neither train, validation nor test"
EMPTY = "empty file"
NO_IMAGE = "no image, whatever its name says"
DISGUISED = "an image, but not by its name"
DAMAGED = "damaged image"
TOO_LARGE = "too many pixels"
DANGLING = "a link that leads nowhere"
DENIED = "may not be read"
PIXEL_TYPE = "pixels of a type that is not read"
ARRAY = "array that is not read"
NO_SPLIT = "table of no split"
NO_LABELS = "table without labels"
UNLABELLED = "without a label in the table"
NOT_THERE = "not there, though the table names it"
TWICE = "in two rows of the table"
REASONS = (
    *(HIDDEN, SYSTEM, OTHER, FORMAT, NOT_A_FILE, INNER_FOLDER, OUTSIDE, OTHER_FOLDER, EMPTY, NO_IMAGE),
    *(DISGUISED, DAMAGED, TOO_LARGE, DANGLING, DENIED, PIXEL_TYPE, ARRAY, NO_SPLIT, NO_LABELS),
    *(UNLABELLED, NOT_THERE, TWICE),
)
"""Reasons for which files are not used, as in the manifest; the report translates them."""

_MAX_FILE_NAMES = 20
"""File names in the manifest for each class and reason at most; the log has all."""

_MAX_COUNTED_FILES = 1_000_000
"""Files counted in a folder that is not read, at most."""


@dataclass(frozen=True)
class Skipped:
    """A file, or a folder of ``count`` files, that is not used.

    ``file`` is its name relative to the image folder. ``image`` is true if an image is lost, which the config must
    allow (``unreadable: exclude``).
    """

    file: str
    reason: str
    image: bool = False
    part: str | None = None
    class_name: str | None = None
    detail: str = ""
    count: int = 1


@dataclass(frozen=True)
class ClassFolder:
    """One class of one part: its name, its folder's name on this disk, its files, and files that may be images."""

    name: str
    folder: str
    images: list[str]
    doubtful: list[str]


@dataclass(frozen=True)
class Part:
    """``train``, ``validation`` or ``test``: its folder's name on this disk, and its classes, sorted by name."""

    name: str
    folder: str
    classes: list[ClassFolder]


@dataclass(frozen=True)
class Contents:
    """Contents of an image folder."""

    parts: dict[str, Part]
    skipped: list[Skipped] = field(default_factory=list)


def entries(folder: str | Path) -> Iterator[os.DirEntry]:
    """Entries of a folder, without hidden and system files, unordered."""
    with os.scandir(folder) as listed:
        for entry in listed:
            if litter(entry.name) is None:
                yield entry


def litter(name: str) -> str | None:
    """Whether a name is of a hidden file or one that an operating system leaves behind: the reason, or None."""
    if name.lower() in _LITTER:
        return SYSTEM
    return HIDDEN if name[0] == "." else None


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; circular links are not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def suffix(name: str) -> str:
    """The end of a file's name in lower case, spaces and dots behind it left out: ``.jpg``; empty where it has none."""
    return os.path.splitext(name.rstrip(" ."))[1].lower()  # noqa: PTH122 (60,000 names each time that jobs are planned)


def is_image(name: str) -> bool:
    """Whether a file's name ends like that of an image which is read."""
    return suffix(name) in SUFFIXES


def may_be_image(name: str) -> bool:
    """Whether a file counts in the content digest of a folder: all but documents."""
    return not name.lower().endswith(DOCUMENT_SUFFIXES)


def normalised_name(name: str) -> str:
    """A name in Unicode's composed form (NFC), since file systems differ in the form they keep."""
    return unicodedata.normalize("NFC", name)


def printable_name(name: str) -> str:
    """A file name with control characters and undecodable bytes escaped."""
    return printable(name)


# ---------------------------------------------------------------------------------------------------------------------
# Listing


def list_images(root: Path, key: str, count_skipped: bool = False) -> Contents:
    """List an image folder, by names alone.

    Raises UserError, which names the config's ``key``, for anything but ``train/<class>/<images>``: a part that is
    missing or exists twice, classes without images or that the parts do not share, links that lead out of the
    folder or nowhere, undecodable names, and folders without read permission. With ``count_skipped`` the files in
    folders that are not read are counted.
    """
    try:
        return _list_images(root, key, count_skipped)
    except OSError as error:
        name = printable_name(str(error.filename or root))
        raise UserError(f"{key}: {name} cannot be listed ({error.strerror}); change its permissions") from None


def _list_images(root: Path, key: str, count_skipped: bool) -> Contents:
    folders, skipped = _parts(root, key, count_skipped)
    listing = _Listing(root, key, skipped)
    parts = {part: _list_part(listing, part, folders[part]) for part in PART_NAMES if part in folders}
    if len(parts["train"].classes) < 2:
        raise UserError(
            f"{key}: {printable_name(str(root / folders['train']))} holds one class only"
            f" ({parts['train'].classes[0].name!r}), and there is nothing to tell apart; add more"
        )
    names = {part: {folder.name for folder in parts[part].classes} for part in parts}
    for part in names:
        if odd := sorted(names["train"] ^ names[part]):
            raise UserError(
                f"{key}: {folders['train']} and {folders[part]} hold different classes ({odd[0]!r} is in one of them "
                "only); make them equal"
            )
    return Contents(parts, skipped)


def part_folders(root: Path) -> dict[str, list[str]]:
    """The folders of each part that is there, by their names on this disk."""
    kinds = {name: part for part, names in PART_NAMES.items() for name in names}
    folders: dict[str, list[str]] = {}
    for entry in entries(root):
        part = kinds.get(entry.name.lower())
        if part and (is_folder(entry) or entry.is_symlink()):
            folders.setdefault(part, []).append(entry.name)
    return {part: sorted(names) for part, names in folders.items()}


def _parts(root: Path, key: str, count_skipped: bool) -> tuple[dict[str, str], list[Skipped]]:
    """The folder of each part, and the other entries of ``root``."""
    if not root.is_dir():
        raise UserError(
            f"{key}: {printable_name(str(root))} is not a folder; give the folder that holds train/<class>/<images>"
        )
    every = part_folders(root)
    for part, names in every.items():
        if len(names) > 1:
            listed = " and ".join(map(printable_name, names))
            raise UserError(
                f"{key}: {printable_name(str(root))} has {listed}, which both mean {part}; keep one of them"
            )
        if not (root / names[0]).is_dir():
            raise UserError(f"{key}: {printable_name(names[0])} is a link that leads nowhere; mend it or remove it")
    chosen = {part: names[0] for part, names in every.items()}
    skipped, others = [], []
    with os.scandir(root) as listed:
        for entry in listed:
            if entry.name in chosen.values():
                continue
            reason = litter(entry.name)
            if reason is None and is_folder(entry):
                others.append(printable_name(entry.name))
                skipped.append(_folder(entry, printable_name(entry.name), OTHER_FOLDER, count_skipped))
            else:
                reason = reason or (OUTSIDE if is_image(entry.name) else OTHER)
                skipped.append(Skipped(printable_name(entry.name), reason))
    if "train" not in chosen:
        there = f" (it has {', '.join(sorted(others)[:5])})" if others else ""
        if root.name.lower() in PART_NAMES["train"] and others:
            raise UserError(f"{key}: {printable_name(str(root))} has no folder train{there}; give the folder above it")
        raise UserError(
            f"{key}: {printable_name(str(root))} has no folder train{there}; put the images of each class into "
            f"{printable_name(str(root / 'train'))}/<class>/"
        )
    if "test" not in chosen:
        like_test = [chosen["validation"]] if "validation" in chosen else []
        like_test += sorted(name for name in others if _LIKE_TEST.search(name))
        if like_test:
            raise UserError(
                f"{key}: {printable_name(str(root))} has {printable_name(like_test[0])} and no test; rename it to "
                "test if its images are to test with, or move it elsewhere, so that a share of train is held out"
            )
    return chosen, skipped


@dataclass(frozen=True)
class _Listing:
    """An image folder that is being listed: its path, the config's key, and the files that are not read so far."""

    root: Path
    key: str
    skipped: list[Skipped]


def _list_part(listing: _Listing, part: str, folder: str) -> Part:
    """The classes of one part; adds files that are not read to ``listing.skipped``."""
    root, key, skipped = listing.root, listing.key, listing.skipped
    named: dict[str, str] = {}
    refuse_outside(root, root / folder, key)
    with os.scandir(root / folder) as listed:
        for entry in listed:
            reason, file = litter(entry.name), f"{printable_name(folder)}/{printable_name(entry.name)}"
            if reason is not None:
                skipped.append(Skipped(file, reason, part=part))
                continue
            if not is_folder(entry):
                if entry.is_symlink() and not is_image(entry.name):
                    refuse_outside(root, root / folder / entry.name, key)
                    raise UserError(f"{key}: {file} is a link that leads nowhere; mend it or remove it")
                image = is_image(entry.name) or suffix(entry.name) in UNREAD_SUFFIXES
                skipped.append(Skipped(file, OUTSIDE if image else OTHER, image, part))
                continue
            name = normalised_name(entry.name)
            if name != os.fsencode(name).decode("utf-8", "backslashreplace"):
                raise UserError(f"{key}: the folder {file} has a name that is not UTF-8; rename it")
            if any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in name):
                raise UserError(f"{key}: the folder {file} has control characters in its name; rename it")
            if name in named:
                raise UserError(
                    f"{key}: {part} has two folders named {name!r} (in different Unicode forms); rename one"
                )
            named[name] = entry.name
    if not named:
        where = printable_name(str(root / folder))
        loose = sum(file.image for file in skipped if file.part == part)
        there = f", but {loose:,} images without a class" if loose else ""
        raise UserError(f"{key}: {where} holds no folders{there}; put the images of each class into {where}/<class>/")
    classes = [_list_class(listing, part, folder, name, named[name]) for name in sorted(named)]
    return Part(part, folder, classes)


def _list_class(listing: _Listing, part: str, part_folder: str, name: str, folder: str) -> ClassFolder:
    """The files of one class, sorted by name; adds files that are not read to ``listing.skipped``."""
    root, key = listing.root, listing.key
    path, images, doubtful, others = root / part_folder / folder, [], [], []
    refuse_outside(root, path, key)
    with os.scandir(path) as listed:
        for entry in listed:
            file_name, reason = entry.name, litter(entry.name)
            if reason is not None:
                others.append(Skipped(file_name, reason))
                continue
            if entry.is_symlink():
                refuse_outside(root, path / file_name, key)
            if is_folder(entry):
                others.append(_folder(entry, file_name, INNER_FOLDER, count_skipped=True))
                continue
            end = suffix(file_name)
            if not entry.is_symlink() and not entry.is_file():
                others.append(Skipped(file_name, NOT_A_FILE, end in SUFFIXES))
            elif end in SUFFIXES:
                images.append(file_name)
            elif end in UNREAD_SUFFIXES:
                others.append(Skipped(file_name, FORMAT, True, detail=f"{end} is not read; save it as PNG or JPEG"))
            elif end in DOCUMENT_SUFFIXES:
                others.append(Skipped(file_name, OTHER))
            else:
                doubtful.append(file_name)
    prefix = f"{printable_name(part_folder)}/{printable_name(folder)}"
    listing.skipped.extend(
        Skipped(
            f"{prefix}/{printable_name(other.file)}", other.reason, other.image, part, name, other.detail, other.count
        )
        for other in others
    )
    if not images and not any("." not in file_name.strip(".") for file_name in doubtful):
        inner = [printable_name(other.file) for other in others if other.reason == INNER_FOLDER and other.image]
        if inner:
            raise UserError(
                f"{key}: {prefix} holds folders ({', '.join(sorted(inner)[:3])}) and no images; the images of a class "
                "lie in its folder itself, so move them up"
            )
        endings = Counter(suffix(file_name) or "no suffix" for file_name in doubtful)
        endings.update(suffix(other.file) if other.reason in (FORMAT, OTHER) else other.reason for other in others)
        there = f" (only {counted(endings)})" if endings else ""
        raise UserError(f"{key}: {prefix} holds no {READABLE} files{there}; add some or remove the folder")
    return ClassFolder(name, folder, sorted(images, key=_by_name), sorted(doubtful, key=_by_name))


def _by_name(name: str) -> tuple[str, str]:
    return normalised_name(name), name


def _folder(entry: os.DirEntry, name: str, reason: str, count_skipped: bool) -> Skipped:
    """A folder that is not read; inside a class it counts as lost images unless it is empty."""
    files = _count(Path(entry.path)) if count_skipped else 1
    return Skipped(f"{name}/", reason, reason == INNER_FOLDER and files > 0, count=files)


def _count(folder: Path) -> int:
    """Number of files below a folder, without hidden and system files, _MAX_COUNTED_FILES at most."""

    def files() -> Iterator[str]:
        for _, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if litter(name) is None]
            yield from (name for name in names if litter(name) is None)

    return sum(1 for _ in islice(files(), _MAX_COUNTED_FILES))


def refuse_outside(root: Path, path: Path, key: str) -> None:
    """Raise UserError if ``path`` resolves, through links, to a place outside ``root``."""
    home = os.path.realpath(root)
    if os.path.commonpath([home, os.path.realpath(path)]) != home:
        name = printable_name(path.relative_to(root).as_posix())
        raise UserError(f"{key}: {name} is a link that leaves {root}; copy what it points to, or remove the link")


# ---------------------------------------------------------------------------------------------------------------------
# Messages


def refuse_lost_images(skipped: Iterable[Skipped], key: str, total: int | None = None) -> None:
    """Raise UserError if images would be left out, for a dataset whose config does not allow that."""
    lost = sorted((entry for entry in skipped if entry.image), key=lambda entry: entry.file)
    if not lost:
        return
    first = "; ".join(f"{entry.file}{of_folder(entry)}: {entry.detail or entry.reason}" for entry in lost[:3])
    more = f"; {len(lost) - 3:,} more in the log" if len(lost) > 3 else ""
    of = f" of {total:,}" if total is not None else ""
    count = sum(entry.count for entry in lost)
    images = "image" if (count, total) == (1, None) else "images"
    raise UserError(
        f"{count:,}{of} {images} cannot be used ({first}{more}); mend, move or remove them, or set "
        f"{key}.unreadable: exclude"
    )


def of_folder(entry: Skipped) -> str:
    """Number of files in an unused folder, `` (14 files)``; empty for a file or a folder of one."""
    return f" ({entry.count:,} files)" if entry.count > 1 else ""


def summary(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    """Unused files by part, class and reason: count and first names, for the manifest."""
    groups: dict[tuple[str, str, str, bool], list[Skipped]] = {}
    for entry in skipped:
        groups.setdefault((entry.part or "", entry.class_name or "", entry.reason, entry.image), []).append(entry)
    return [
        {
            "part": part or None,
            "class": class_name or None,
            "reason": reason,
            "image": image,
            "count": sum(entry.count for entry in group),
            "files": [
                {"file": entry.file} | ({"detail": entry.detail} if entry.detail else {})
                for entry in sorted(group, key=lambda entry: entry.file)[:_MAX_FILE_NAMES]
            ],
        }
        for (part, class_name, reason, image), group in sorted(groups.items())
    ]


def counted(counts: Counter[str]) -> str:
    """``.txt (3), folders (1)``."""
    return ", ".join(f"{printable_name(normalised_name(what))} ({count:,})" for what, count in sorted(counts.items()))
