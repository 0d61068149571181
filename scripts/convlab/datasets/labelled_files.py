"""Listing of image files by a table of labels, as competitions on Kaggle have them: ``train.csv`` with ``id,label``.

The table names a file in each row: by its path in the folder, by its name alone, or without its suffix. Standard
library only, since the config is checked with it wherever it is read.
"""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from convlab.datasets.content_digest import image_files
from convlab.datasets.file_content import HEADER_BYTES, content_kind
from convlab.datasets.folder_listing import (
    FORMAT,
    NOT_THERE,
    OTHER,
    PART_NAMES,
    READABLE,
    TWICE,
    UNLABELLED,
    UNREAD_SUFFIXES,
    ClassFolder,
    Contents,
    Part,
    Skipped,
    entries,
    is_folder,
    is_image,
    litter,
    may_be_image,
    normalised_name,
    part_folders,
    printable_name,
    refuse_outside,
    suffix,
)
from convlab.datasets.label_classes import label_text, sorted_labels
from convlab.errors import UserError

TABLE_SUFFIXES = (".csv", ".tsv")

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "image_id", "imageid", "image_name", "image_path", "img", "path"),
    *("filepath", "file_path", "id", "name"),
)
"""Names of the column of files, in any case; the first that is there counts."""

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "species", "breed", "diagnosis")
"""Names of the column of labels, likewise."""

SPLIT_COLUMNS = ("split", "set", "subset", "partition")
"""Names of a column that says which images are to train, to validate and to test with."""


Refusal = Callable[[str], NoReturn]
"""Raises UserError with what is wrong with the table."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that the config gives; None for those that are to be known by their names."""

    file: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class _Row:
    number: int
    file: str
    label: str | None
    split: str


def list_labelled(root: Path, table: str, columns: Columns, key: str) -> Contents:
    """The images of a folder that a table gives labels to, and all other files with the reason why they are not used.

    A table called like a folder beside it (``train.csv``, ``train/``) is of the images in that folder. A column
    ``split`` with train, validation and test divides them. Raises UserError, which names the dataset's ``key``, for a
    table that cannot be read or lacks a column, two labels of one file, names that fit two files, fewer than two
    classes, and classes that a split lacks.
    """
    if not root.is_dir():
        raise UserError(f"{key}.path: {printable_name(str(root))} is not a folder; give the folder with the images")
    if Path(table).is_absolute() or ".." in Path(table).parts:
        raise UserError(f"{key}.labels is {table!r}; give a table in {key}.path by its name there")
    path = root / table
    refuse_outside(root, path, f"{key}.labels")
    rows = _rows(path, columns, f"{key}.labels")
    skipped: list[Skipped] = []
    named = _Names(_files(root, path, key, skipped))
    taken: dict[str, _Row] = {}
    for row in rows:
        _take(row, named, taken, skipped, path, key)
    files = defaultdict(lambda: defaultdict(list))
    for file, row in taken.items():
        if row.label is not None:
            files[row.split][row.label].append(file)
    for file in named.files:
        if file not in taken or taken[file].label is None:
            skipped.append(Skipped(printable_name(file), UNLABELLED))
    classes = _classes(files, path, key)
    parts = {
        part: Part(part, "", [ClassFolder(printable_name(name), "", sorted(files[part][name]), []) for name in classes])
        for part in PART_NAMES
        if part in files
    }
    return Contents(parts, skipped)


def _take(
    row: _Row, named: "_Names", taken: dict[str, _Row], skipped: list[Skipped], path: Path, key: str
) -> None:  # what is known so far of the table, and the two names for messages
    """Note the file that a row names; a file that is not there, or of a kind that is not read, is lost."""
    shown = printable_name(row.file)
    candidates = named.files_called(row.file)
    if len(candidates) > 1:
        listed = " and ".join(map(printable_name, candidates[:2]))
        raise UserError(
            f"{key}.labels: row {row.number:,} of {path.name} names {shown!r}, which fits {listed}; write its path in "
            "the folder"
        )
    if not candidates:
        detail = f"is named in row {row.number:,} of {path.name}, but is not there"
        skipped.append(Skipped(shown, NOT_THERE, row.label is not None, row.split, row.label, detail))
        return
    file = candidates[0]
    earlier = taken.get(file)
    if earlier is not None:
        if (earlier.label, earlier.split) != (row.label, row.split):
            first, second = (printable_name(entry.label or "none") for entry in (earlier, row))
            raise UserError(
                f"{key}.labels: {path.name} has {printable_name(file)} in rows {earlier.number:,} and {row.number:,} "
                f"with different labels or splits ({first!r} and {second!r}); keep one of them"
            )
        skipped.append(Skipped(printable_name(file), TWICE, part=row.split, class_name=row.label))
        return
    if suffix(file) in UNREAD_SUFFIXES:
        detail = f"{suffix(file)} is not read; save it as PNG or JPEG"
        skipped.append(Skipped(printable_name(file), FORMAT, True, row.split, row.label, detail))
        del named.files[file]
        return
    taken[file] = row


class _Names:
    """Image files of a folder by the names that a table may call them."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = dict.fromkeys(files)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in files:
            base = file.rsplit("/", 1)[-1]
            stem = file[: len(file) - len(suffix(file))]
            for name in dict.fromkeys((file, base, stem, stem.rsplit("/", 1)[-1])):
                self._by_name[normalised_name(name)].append(file)

    def files_called(self, name: str) -> list[str]:
        """The files that a name fits: the one at that path, or else all of that name, with or without a suffix."""
        wanted = normalised_name(name.strip().replace("\\", "/").removeprefix("./"))
        if wanted in self.files:
            return [wanted]
        return self._by_name.get(wanted, [])


def _files(root: Path, table: Path, key: str, skipped: list[Skipped]) -> list[str]:
    """Image files below the folder, by their paths in it; adds the other files to ``skipped``."""
    own = table.with_suffix("")
    inside = own.relative_to(root).as_posix() + "/" if own.is_dir() else ""
    images = []
    for file in _walk(root):
        reason = litter(file.rsplit("/", 1)[-1])
        if reason is None and not is_image(file) and suffix(file) not in UNREAD_SUFFIXES:
            reason = OTHER
        if reason is not None:
            if root / file != table:
                skipped.append(Skipped(printable_name(file), reason))
        elif not file.startswith(inside):
            skipped.append(Skipped(printable_name(file), UNLABELLED))
        else:
            if (root / file).is_symlink():
                refuse_outside(root, root / file, f"{key}.path")
            images.append(file)
    if not images:
        where = printable_name(str(root / inside))
        raise UserError(f"{key}.path: {where} holds no {READABLE} files; give the folder with the images")
    return sorted(images)


def _walk(root: Path) -> Iterator[str]:
    """All files below a folder, by their paths in it."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if litter(name) is None)
        inside = Path(folder).relative_to(root).as_posix()
        yield from (name if inside == "." else f"{inside}/{name}" for name in names)


def _rows(path: Path, columns: Columns, key: str) -> list[_Row]:
    """The rows of a table: file, label (None where it is missing) and split."""

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}: {printable_name(path.name)} {problem}")

    text = _text(path, refuse)
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(_fields(reader, refuse), (1, []))[1]]
    file, label = (
        _column(header, given, names, what, refuse)
        for given, names, what in (
            (columns.file, FILE_COLUMNS, "file"),
            (columns.label, LABEL_COLUMNS, "label"),
        )
    )
    split = next((index for index, name in enumerate(header) if name.lower() in SPLIT_COLUMNS), None)
    if file == label:
        refuse(f"has its files and its labels in one column, {printable_name(header[file])!r}; correct label_column")
    rows = []
    for number, fields in _fields(reader, refuse):
        if not any(map(str.strip, fields)):
            continue
        if len(fields) != len(header):
            refuse(f"has {len(fields):,} fields in row {number:,} and {len(header):,} in its header; mend that row")
        if not fields[file].strip():
            refuse(f"names no file in row {number:,}; give one or remove the row")
        part = "train" if split is None else _part(fields[split], number, refuse)
        rows.append(_Row(number, fields[file], label_text(fields[label]), part))
    if not rows:
        refuse("has no rows below its header")
    return rows


def _fields(reader: Iterator[list[str]], refuse: Refusal) -> Iterator[tuple[int, list[str]]]:
    """The rows that a reader of CSV has left, with their numbers."""
    number = 0 if reader.line_num == 0 else 1
    try:
        for fields in reader:
            number += 1
            yield number, fields
    except csv.Error as error:
        refuse(f"has a field that cannot be read in row {number + 1:,} ({error}); mend that row")


def _text(path: Path, refuse: Refusal) -> str:
    if path.exists() and not (path.is_file() or path.is_dir()):
        refuse("is not a regular file; give a file with the labels")  # whoever opens a named pipe waits for ever
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        refuse("is a folder; give the file with the labels")
    except FileNotFoundError:
        refuse(f"is not in {printable_name(str(path.parent))}; correct the name of the table")
    except OSError as error:
        refuse(f"cannot be read ({error.strerror})")
    kind = content_kind(content[:HEADER_BYTES])
    if kind == "empty":
        refuse("is empty")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        unknown = kind in ("text", "something unknown")
        refuse("is not UTF-8 text; save it as UTF-8" if unknown else f"is {kind}, and no table")


def _column(header: Sequence[str], given: str | None, names: Sequence[str], what: str, refuse: Refusal) -> int:
    """Index of a column, by the config's name for it or by one of the usual names."""
    listed = ", ".join(map(printable_name, header)) or "none"
    if given is not None:
        if header.count(given) != 1:
            times = "no column" if given not in header else "two columns"
            refuse(f"has {times} {given!r} (its columns are {listed}); correct {what}_column")
        return header.index(given)
    lower = [name.lower() for name in header]
    index = next((lower.index(name) for name in names if name in lower), None)
    if index is None:
        refuse(f"has the columns {listed}; write {what}_column: the one with the {what} of each image")
    if lower.count(lower[index]) > 1:
        refuse(f"has two columns {printable_name(header[index])!r}; rename one of them")
    return index


def _part(value: str, number: int, refuse: Refusal) -> str:
    """The part that a row's split means."""
    name = value.strip().lower()
    meant = next((part for part, names in PART_NAMES.items() if name in names), None)
    if meant is None:
        refuse(f"has the split {printable_name(value)!r} in row {number:,}; write train, validation or test")
    return meant


def _classes(files: Mapping[str, Mapping[str, Sequence[str]]], path: Path, key: str) -> tuple[str, ...]:
    """The classes in their order: by number where all labels are whole numbers, else by name."""
    if "train" not in files:
        raise UserError(f"{key}.labels: {path.name} has no labelled images to train on; give some the split train")
    classes = sorted_labels(files["train"])
    if len(classes) < 2:
        raise UserError(
            f"{key}.labels: {path.name} has one class only ({printable_name(classes[0])!r}), and there is nothing to "
            "tell apart; add more"
        )
    for part in files:
        if odd := sorted(set(classes) ^ set(files[part])):
            raise UserError(
                f"{key}.labels: in {path.name} train and {part} have different classes ({printable_name(odd[0])!r} is "
                "in one of them only); make them equal"
            )
    return classes


def hint_at_table(root: Path, key: str) -> str:
    """Half a sentence on a table that may hold the labels of a folder without class folders; else empty."""
    try:
        train = part_folders(root).get("train", [])
        if any(is_folder(entry) for name in train for entry in entries(root / name)):
            return ""
        tables = sorted(entry.name for entry in entries(root) if entry.name.lower().endswith(TABLE_SUFFIXES))
    except OSError:  # no folder, or none that may be read: the sentence before says so
        return ""
    return f"; or, if {printable_name(tables[0])} has their labels, write {key}.labels: {tables[0]}" if tables else ""


def files_of_a_folder(path: Path) -> Iterator[tuple[str, Path | os.DirEntry]]:
    """Files for the digest of a folder: all images and tables where it has a table, else those of its class folders."""
    tables = [entry for entry in path.iterdir() if entry.suffix.lower() in TABLE_SUFFIXES] if path.is_dir() else []
    if not tables:
        yield from image_files(path)
        return
    for file in _walk(path):
        if litter(file.rsplit("/", 1)[-1]) is None and (may_be_image(file) or file.lower().endswith(TABLE_SUFFIXES)):
            yield file, path / file
