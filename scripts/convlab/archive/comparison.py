"""Comparison of an archive's results with those of a study that was run again: byte for byte, times left out.

Standard library only.
"""

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from convlab.archive.reading import MAX_EXPANSION, UNREADABLE, Archive, FolderArchive
from convlab.archive.verification import RESULTS
from convlab.results.columns import TABLES

MEASURED_UNITS = {"s", "1/s", "ms", "J", "MB"}
"""Units of what a machine measures of itself, which no second run repeats."""

MEASURED_COLUMNS = {
    name for table in TABLES for name, column in table.columns.items() if column.unit in MEASURED_UNITS
} | {"energy_source"}

WEIGHTS = "model.weights.h5"
"""The weights in a ``.keras`` file, whose other parts have the time and numbers of the process that wrote it."""

REPEATED_OF_RUN = (
    *("status", "spec_hash", "data_sha256", "parameters", "train_images", "validation_images"),
    *("epochs_run", "best_epoch", "val_accuracy", "val_loss"),
)
"""Entries of ``run.json`` that a second run repeats."""

UNREADABLE_RESULT = (OSError, LookupError, TypeError, AttributeError, csv.Error, *UNREADABLE)


@dataclass
class Comparison:
    """Results of two sides, by what they are.

    Attributes:
        same: number of equal files of each kind, such as "weights".
        different: a sentence for each file that differs or that one side lacks.
        left_out: kinds of which the archive has no file.
    """

    same: dict[str, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def whole(stream: BinaryIO) -> bytes:
    """All bytes."""
    return stream.read()


def weights(stream: BinaryIO) -> bytes:
    """The weights of a ``.keras`` file."""
    packed = stream.read()
    with zipfile.ZipFile(io.BytesIO(packed)) as model:
        if model.getinfo(WEIGHTS).file_size > MAX_EXPANSION * len(packed):
            raise ValueError(f"{WEIGHTS} would become too large")
        return model.read(WEIGHTS)


def without_measured_columns(stream: BinaryIO) -> bytes:
    """A CSV table without times, memory and energy, as JSON."""
    rows = list(csv.DictReader(io.StringIO(stream.read().decode("utf-8"), newline="")))
    kept = [{name: value for name, value in row.items() if name not in MEASURED_COLUMNS} for row in rows]
    return json.dumps(kept).encode()


def repeated_of_run(stream: BinaryIO) -> bytes:
    """What a run's record says that a second run repeats, as JSON."""
    record = json.load(stream)
    return json.dumps([record.get(name) for name in REPEATED_OF_RUN], sort_keys=True).encode()


def without_latency(stream: BinaryIO) -> bytes:
    """Measures of a variant's runs without their latency, as JSON."""
    return json.dumps(_without(json.load(stream), "latency_ms"), sort_keys=True).encode()


def registered(stream: BinaryIO) -> bytes:
    """The hash of what was fixed before the runs."""
    return str(json.load(stream)["sha256"]).encode()


Reader = Callable[[BinaryIO], bytes]

KINDS: Mapping[str, tuple[str, Reader]] = {
    "registrations": (r"registration/registration\.json", registered),
    "manifests of the data": (r"prepare/[^/]+/manifest\.json", whole),
    "descriptions of models": (r"describe/.+\.json", whole),
    "numbers of the data": (r"explore/.+\.(csv|json)", whole),
    "weights": (r"train/.+/model\.keras", weights),
    "histories": (r"train/.+/history\.csv", without_measured_columns),
    "records of runs": (r"train/.+/run\.json", repeated_of_run),
    "predictions and features": (r"evaluate/.+\.npz", whole),
    "measures": (r"evaluate/.+/metrics\.json", without_latency),
    "results of probes": (r"probe/.+\.(csv|npz)", whole),
    "tables": (r"compare/(?!timings)[^/]+\.csv", without_measured_columns),
}
"""Pattern of the paths of each kind, below the study's folder, and what of such a file a second run repeats."""


def compare(archive: Archive, study: str, folder: Path) -> Comparison:
    """Hold the results of an archive against the folder of the same study's results, ``results/<study>``."""
    below = f"{RESULTS}{study}/"
    archived = {name.removeprefix(below): name for name in archive.names() if name.startswith(below)}
    other = FolderArchive(folder)
    present = set(other.names())
    comparison = Comparison()
    for kind, (pattern, reader) in KINDS.items():
        own = {name for name in archived if re.fullmatch(pattern, name)}
        theirs = {name for name in present if re.fullmatch(pattern, name) and not _is_beside(name)}
        if not own:
            comparison.left_out += [kind] if theirs else []
            continue
        comparison.different += [f"{name} is in the archive only" for name in sorted(own - theirs)]
        comparison.different += [f"{name} is not in the archive" for name in sorted(theirs - own)]
        for name in sorted(own & theirs):
            if _content(archive, archived[name], reader) == _content(other, name, reader):
                comparison.same[kind] = comparison.same.get(kind, 0) + 1
            else:
                comparison.different.append(f"{name} differs ({kind})")
    return comparison


def _is_beside(name: str) -> bool:
    """Whether a path is hidden or of a run that is not finished."""
    return any(part.startswith((".", "unfinished-")) for part in name.split("/"))


def _content(archive: Archive, name: str, reader: Reader) -> str:
    """Checksum of what a second run repeats of a file; of all of it where it is not what its name says."""
    try:
        with archive.open(name) as stream:
            return hashlib.sha256(reader(stream)).hexdigest()
    except UNREADABLE_RESULT:
        with archive.open(name) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def _without(value: Any, key: str) -> Any:
    """JSON without the entries of a key, at any depth."""
    if isinstance(value, dict):
        return {name: _without(item, key) for name, item in value.items() if name != key}
    return [_without(item, key) for item in value] if isinstance(value, list) else value
