"""Checksums of results: damaged files are detected before they are used, and made again.

The last thing that a job writes is the size and SHA-256 of each of its results, beside the most important one:
``run.json.checksums``, ``metrics.json.checksums``. They are verified when a result is read and, for files that have
changed since they were last seen, when jobs are planned. A result that differs is set aside and made again; one without
a record is used as it is. Standard library only.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from convlab.common.atomic import atomic, remove, write_text
from convlab.errors import UserError

RECORD_SUFFIX = ".checksums"
DAMAGED_SUFFIX = ".damaged"

EXPORT_MAIN_RESULTS = ("export.json", "MODEL_CARD.md")
"""Main results of jobs that are not part of the default target."""

JOB_VARIABLE = "CONVLAB_JOB"
"""Environment variable of the workflow's jobs: only they set damaged results aside, since it makes them again."""

_BLOCK = 2**20

_NEVER_A_FOLDER = re.compile(r".+\.(log|tsv|made_from)|\.made_from|\.card_made_from")
"""Names of files that are never folders; names of datasets and variants have no dot."""

Files = Mapping[str, Mapping[str, int | str]]


def write_record(main: Path, others: Iterable[Path] = ()) -> None:
    """Record the size and SHA-256 of a job's results: ``main``, and others in its folder or below."""
    files = {}
    for path in sorted({main, *others}):
        files[path.relative_to(main.parent).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    write_text(_record_of(main), json.dumps(files, indent=1) + "\n")


def drop_record(main: Path) -> None:
    """Delete the record: the first step of a job that writes these files again."""
    remove(_record_of(main))


def read_record(main: Path) -> Files | None:
    """The recorded files of a job by their path from ``main``'s folder; None for a missing or damaged record."""
    return _read(_record_of(main))


def is_whole(main: Path, names: Iterable[str]) -> bool:
    """Whether all of ``names``, beside ``main``, have recorded checksums and still match them."""
    record = read_record(main)
    return record is not None and all(
        name in record and _intact(main.parent / name, record[name]["bytes"], record[name]["sha256"]) for name in names
    )


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path) -> None:
    """Verify a result against its recorded checksum. Raises UserError, and sets ``path`` aside, if it differs."""
    main, expected = _recorded(path)
    if expected is not None:
        _compare(path, expected, main)


def verify_all(main: Path) -> None:
    """Verify all results of a job. Raises UserError for the first that is missing or differs; it is set aside."""
    for name, expected in (read_record(main) or {}).items():
        path = main.parent / name
        if not path.exists():
            raise damaged(path, "it is missing", main)
        _compare(path, expected, main)


def _compare(path: Path, expected: Mapping[str, int | str], main: Path) -> None:
    try:
        intact = path.is_file() and path.stat().st_size == expected["bytes"] and sha256(path) == expected["sha256"]
    except OSError as error:
        raise damaged(path, error.strerror or str(error), main) from None
    if path.exists() and not intact:
        raise damaged(path, "it is not what was written: its SHA-256 differs", main)


def damaged(path: Path, reason: str, main: Path | None = None) -> UserError:
    """The error to raise for a result that cannot be used; a job sets it aside so that the same command makes it again.

    ``main``: the result beside which the checksums are, if there are any.
    """
    if main is None:
        main, _ = _recorded(path)
    # Snakemake does not notice a file that is missing in a folder output; the main result must be missing instead.
    missed = path if main is None or path.parent == main.parent else main
    if JOB_VARIABLE in os.environ:
        with suppress(OSError):
            set_aside(path, main)
            return UserError(
                f"{path} is damaged ({reason}); it was set aside as {path.name}{DAMAGED_SUFFIX}: run the same command "
                "again, which makes it again"
            )
    command = "`make export`" if main is not None and main.name in EXPORT_MAIN_RESULTS else "snakemake"
    return UserError(f"{path} is damaged ({reason}); delete {missed} and run {command} again, which makes it again")


def set_aside(path: Path, main: Path | None = None) -> None:
    """Rename a damaged result, so that Snakemake makes it again; for one in a subfolder, also delete ``main``."""
    if os.path.lexists(path):
        aside = path.with_name(path.name + DAMAGED_SUFFIX)
        remove(aside)
        path.rename(aside)
    if main is not None and path.parent != main.parent:
        remove(main)


def find_damaged(results: Path, index: Path, remember: bool = True) -> dict[Path, Path]:
    """Results below ``results`` that are not what their jobs recorded, each with the main result of its job.

    ``index`` is a cache of the size and modification time of intact files, so that only changed files are hashed. Of a
    file that is not in it only the size is compared; its content is verified when it is read. Without ``remember`` the
    index is not written: a dry run leaves nothing behind.
    """
    known = _read_index(index)
    seen, broken = {}, {}
    for record in _records(results):
        key, main = os.path.relpath(record, results), record.removesuffix(RECORD_SUFFIX)
        folder, stamp = main.rpartition("/")[0], _stamp(record)
        before, remembered = known.get(key, (None, {}))
        if before == stamp:
            files = {name: entry[:2] for name, entry in remembered.items()}
        else:
            files = {name: [entry["bytes"], entry["sha256"]] for name, entry in (_read(Path(record)) or {}).items()}
        # Entries of an earlier version of the file do not count.
        times = {name: entry[2] for name, entry in remembered.items() if files.get(name) == entry[:2]}
        intact = {}
        for name, (size, checksum) in files.items():
            path = f"{folder}/{name}"
            now, then = _stamp(path), times.get(name)
            if now is None:
                if "/" in name and Path(main).exists():  # a file of a folder, which Snakemake does not miss
                    broken[Path(path)] = Path(main)
            elif now[0] != size or (then not in (None, now) and not _intact(Path(path), size, checksum)):
                broken[Path(path)] = Path(main)
                if then:  # it stays marked as damaged for the next start
                    intact[name] = then
            else:
                intact[name] = now
        seen[key] = [stamp, {name: [*entry, intact.get(name)] for name, entry in files.items()}]
    if remember and seen != known:
        with suppress(OSError):
            write_text(index, json.dumps(seen), durable=False)
    return broken


def _stamp(path: str) -> list[int] | None:
    """Size and modification time of a file; -1 for the size of anything else, None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size if stat.S_ISREG(status.st_mode) else -1, status.st_mtime_ns]


def _intact(path: Path, size: int, checksum: str) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size and sha256(path) == checksum
    except OSError:
        return False


def keep_damaged(paths: Iterable[Path], say: Callable[[str], None]) -> None:
    """Keep a copy of each damaged result, which may have been edited by hand: Snakemake deletes what a job wrote before
    it does the job again.

    Anything but a file, such as a folder in its place, is renamed, since Snakemake cannot delete it.
    """
    for path in paths:
        if not os.path.lexists(path):
            continue
        try:
            if path.is_file():
                with atomic(path.with_name(path.name + DAMAGED_SUFFIX), durable=False) as temporary:
                    shutil.copyfile(path, temporary)
            else:
                set_aside(path)
        except OSError as error:
            raise UserError(f"{path} is damaged and cannot be set aside ({error.strerror}); delete it") from None
        say(f"{path} is damaged: it is set aside as {path.name}{DAMAGED_SUFFIX}, and made again with what is asked for")


def set_aside_folders(results: Path, say: Callable[[str], None]) -> None:
    """Set aside folders in the place of logs, benchmarks or digests: the jobs that write these would fail."""
    for parent, folders, _ in os.walk(results):
        for name in [name for name in folders if _NEVER_A_FOLDER.fullmatch(name)]:
            folders.remove(name)
            path = Path(parent, name)
            if path.is_symlink():
                continue
            try:
                set_aside(path)
            except OSError as error:
                raise UserError(f"{path} is a folder and cannot be set aside ({error.strerror}); delete it") from None
            say(f"{path} is a folder where a file belongs: it is set aside as {path.name}{DAMAGED_SUFFIX}")


def _record_of(main: Path) -> Path:
    return main.with_name(main.name + RECORD_SUFFIX)


def _recorded(path: Path) -> tuple[Path | None, Mapping[str, int | str] | None]:
    """The main result of the job that wrote ``path``, and what was recorded of ``path``, in its folder or above."""
    for folder in (path.parent, path.parent.parent):
        name = path.relative_to(folder).as_posix()
        for record in sorted(folder.glob(f"*{RECORD_SUFFIX}")):
            if (files := _read(record)) and name in files:
                return record.with_name(record.name.removesuffix(RECORD_SUFFIX)), files[name]
    return None, None


def _read(record: Path) -> Files | None:
    """A record; None if it is missing or damaged."""
    try:
        files = json.loads(record.read_text(encoding="utf-8"))
        if all(isinstance(entry["bytes"], int) and isinstance(entry["sha256"], str) for entry in files.values()):
            return files
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _records(results: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(results):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "unfinished-")))
        yield from (f"{parent}/{name}" for name in sorted(files) if name.endswith(RECORD_SUFFIX))


def _read_index(index: Path) -> dict[str, tuple[list, dict[str, list]]]:
    """By record: its size and time, and of each of its files size, SHA-256, and the size and time it had when seen."""
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        if all(len(entry) == 3 for _, files in known.values() for entry in files.values()):
            return known
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    return {}
