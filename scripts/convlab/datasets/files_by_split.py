"""Files of a user's own tables, by split: ``train.csv``, ``data/test-00000-of-00002.parquet``; without NumPy."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from convlab.datasets.folder_listing import (
    NO_SPLIT,
    PART_NAMES,
    Skipped,
    is_folder,
    litter,
    printable_name,
    refuse_outside,
)
from convlab.errors import UserError

_PARTS = {word: part for part, words in PART_NAMES.items() for word in words}
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(.*)")
"""One of several files of a split, as Hugging Face and TensorFlow name them."""

_MAX_DEPTH = 8
"""Folders within folders that are searched, at most: links may form a circle."""


def every_file(path: Path, depth: int = 0, prefix: str = "") -> Iterator[tuple[str, os.DirEntry | Path]]:
    """All files at or below ``path``, without hidden and system files, with their names relative to it."""
    if path.is_file():
        yield "", path
        return
    if depth > _MAX_DEPTH:
        return
    with os.scandir(path) as listed:
        entries = sorted((entry for entry in listed if litter(entry.name) is None), key=lambda entry: entry.name)
    for entry in entries:
        if is_folder(entry):
            yield from every_file(Path(entry.path), depth + 1, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def refuse_devices(paths: Iterable[Path], key: str) -> None:
    """Raise UserError for what is neither a file nor a folder: whoever opens a named pipe waits for ever."""
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{key}: {printable_name(str(path))} is neither a file nor a folder; correct the path")


def refuse_missing_shards(names: Iterable[str], key: str) -> None:
    """Raise UserError where of ``train-00000-of-00002.parquet`` and its kin not all are among the names."""
    shards: dict[tuple[str, ...], set[int]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            shards.setdefault((match[1], match[3], match[4]), set()).add(int(match[2]))
    for (stem, total, end), numbers in shards.items():
        if len(numbers) < int(total):
            raise UserError(
                f"{key} holds {len(numbers):,} of the {int(total):,} files {printable_name(stem)}-*-of-{total}{end}; "
                "copy the others too"
            )


def split_of(name: str) -> str | None:
    """The split that a file's name, or else that of its folder, is of: ``train-00000-of-00002.parquet``; or None."""
    for part in reversed(name.lower().split("/")):
        splits = {_PARTS[word] for word in re.split(r"[^a-z]+", part) if word in _PARTS}
        if splits:
            return splits.pop() if len(splits) == 1 else None
    return None


@dataclass(frozen=True)
class SplitFiles:
    """Files of each split, by their names relative to ``root``, and those that are of none."""

    root: Path
    splits: Mapping[str, list[str]]
    skipped: list[Skipped] = field(default_factory=list)

    def paths(self, split: str) -> list[Path]:
        """The files of one split."""
        return [self.root / name for name in self.splits.get(split, ())]


def split_files(
    path: Path, told: Mapping[str, str], is_table: Callable[[str], bool], what: str, key: str
) -> SplitFiles:
    """The tables at ``path``, a file or a folder, by split.

    ``told`` are file names or patterns from the config. Without them a name tells the split, and tables of which none
    does are all to train with. Raises UserError, which names ``key``, the dataset's key in the config.
    """
    if path.is_file():
        if told:
            raise UserError(
                f"{key}.splits names files, but {key}.path is a file itself; give the folder that holds them"
            )
        return SplitFiles(path.parent, {"train": [path.name]})
    refuse_devices([path], f"{key}.path")
    try:
        names = [name for name, _ in every_file(path) if is_table(name)]
        refuse_devices([path / name for name in names], f"{key}.path")
        for name in names:
            if (path / name).is_symlink():
                refuse_outside(path, path / name, f"{key}.path")
    except OSError as error:
        raise UserError(
            f"{key}.path: {printable_name(str(error.filename or path))} cannot be listed ({error.strerror}); change "
            "its permissions, or correct the path"
        ) from None
    if not names:
        raise UserError(f"{key}.path: {printable_name(str(path))} holds no {what} files; correct the path")
    if told:
        splits = {split: [name for name in names if fnmatchcase(name, pattern)] for split, pattern in told.items()}
        if empty := [split for split, matching in splits.items() if not matching]:
            raise UserError(
                f"{key}.splits.{empty[0]} is {told[empty[0]]!r}, but {key}.path holds {_listed(names)}; write one of "
                "them"
            )
    else:
        splits = {}
        for name in names:
            if split := split_of(name):
                splits.setdefault(split, []).append(name)
        splits = splits or {"train": names}
        refuse_missing_shards([name for matching in splits.values() for name in matching], f"{key}.path")
        require_test(splits, key, lambda split: pattern_of(splits[split]))
    used = [name for matching in splits.values() for name in matching]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise UserError(f"{key}.splits: {printable_name(twice[0])} is of two splits; an image belongs into one")
    if "train" not in splits:
        raise UserError(
            f"{key}.path holds no table to train with, only {_listed(names)}; write {key}.splits.train: its name"
        )
    skipped = [Skipped(printable_name(name), NO_SPLIT) for name in names if name not in used]
    return SplitFiles(path, splits, skipped)


def pattern_of(names: Sequence[str]) -> str:
    """A pattern that names match: of several their beginning and a star."""
    same = takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False))
    return names[0] if len(names) == 1 else "".join(signs[0] for signs in same) + "*"


def require_test(splits: Mapping[str, object], key: str, name_of: Callable[[str], str]) -> None:
    """Raise UserError for validation images without test images: which of both they are to be must be told."""
    if "validation" in splits and "test" not in splits and "train" in splits:
        train, other = name_of("train"), name_of("validation")
        raise UserError(
            f"{key}.path has validation images and no test images; write {key}.splits: "
            f"{{train: {train}, test: {other}}} to test with them, or {{train: {train}, validation: {other}}} to have "
            "test images held out of the training images"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(printable_name, names[:5])) + more
