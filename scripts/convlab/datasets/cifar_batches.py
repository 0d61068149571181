"""Reading CIFAR's binary version: records of one label byte and 3,072 pixel bytes; nothing is unpickled."""

import hashlib
import io
import logging
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convlab.datasets.fetching import MAX_FILE_BYTES, Archive, fetch
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from convlab.datasets.prepared import Dataset

log = logging.getLogger(__name__)

SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD_BYTES = 1 + CHANNELS * SIDE * SIDE
"""Bytes of one image: its label, then its red, green and blue plane, row by row."""

CLASS_NAMES_FILE = "batches.meta.txt"
"""The file that names the classes, one in each line."""


@dataclass(frozen=True)
class Batches:
    """The publisher's archive, the folder in it, and of each file of ``images`` records the MD5, training first.

    The archive is checked by its SHA-256; the MD5 sums are for files that the user has unpacked.
    """

    archive: Archive
    folder: str
    images: int
    md5: Mapping[str, str]

    @property
    def packed_name(self) -> str:
        return next(iter(self.archive.sha256))


def read_batches(source: Batches, name: str, path: str | None, cache: Path | None = None) -> "Dataset":
    """Read the batches from ``path`` (the packed archive, or a folder with its files) or else fetch the archive.

    Raises UserError where a file is missing, damaged, or not the publisher's.
    """
    import numpy as np

    from convlab.datasets.prepared import Dataset

    key, packed_name = f"datasets.{name}.path", source.packed_name
    location = None if path is None else Path(path).expanduser()
    if location is not None and not location.exists():
        raise UserError(f"{key}: {location} does not exist; give {packed_name} or the folder with its .bin files")
    if location is not None and (location / source.folder).is_dir():
        location = location / source.folder
    if location is not None and location.is_dir() and not (location / packed_name).is_file():
        files = _from_folder(source, location, key)
    elif location is not None and location.is_file():
        files = _unpack(source, _checked_archive(source, location, key))
    else:
        files = _unpack(source, fetch(source.archive, key=key, path=location, cache=cache)[packed_name])

    names = tuple(
        line.strip() for line in files.pop(CLASS_NAMES_FILE).decode("ascii", "replace").splitlines() if line.strip()
    )
    if len(set(names)) != CLASSES or len(names) != CLASSES:
        raise UserError(
            f"{CLASS_NAMES_FILE} of {source.archive.title} does not name {CLASSES} classes; get the archive again"
        )
    batches = [_parse(content, file_name) for file_name, content in files.items()]
    *train, test = batches
    return Dataset(
        x_train=np.concatenate([images for images, _ in train]),
        y_train=np.concatenate([labels for _, labels in train]),
        x_test=test[0],
        y_test=test[1],
        classes=names,
    )


def _checked_archive(source: Batches, path: Path, key: str) -> bytes:
    """Read the user's archive. Raises UserError if it is not the publisher's."""
    content = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    if hashlib.sha256(content).hexdigest() != source.archive.sha256[source.packed_name]:
        raise UserError(
            f"{key}: {path} has the wrong sha256, so it is not {source.archive.title}'s {source.packed_name} "
            f"or was cut short; get it again or remove {key}"
        )
    log.info("%s: read from %s", source.archive.title, path)
    return content


def _unpack(source: Batches, content: bytes) -> dict[str, bytes]:
    """The files of a checked archive, by exact name. Members are read in memory: nothing is extracted to a disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            files = {}
            for file_name in (*source.md5, CLASS_NAMES_FILE):
                member = tar.getmember(f"{source.folder}/{file_name}")
                expected = source.images * RECORD_BYTES
                size_fits = member.size == expected if file_name in source.md5 else member.size <= MAX_FILE_BYTES
                if not member.isreg() or not size_fits:
                    raise UserError(
                        f"{file_name} in {source.packed_name} is not a file of the right size; get it again"
                    )
                files[file_name] = tar.extractfile(member).read()
            return files
    except KeyError:
        raise UserError(f"{source.packed_name} lacks {source.folder}/{file_name}; get it again") from None
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{source.packed_name} cannot be unpacked ({error}); get it again") from None


def _from_folder(source: Batches, folder: Path, key: str) -> dict[str, bytes]:
    """Read the user's unpacked files, verified by size and MD5."""
    files = {}
    for file_name in (*source.md5, CLASS_NAMES_FILE):
        path = folder / file_name
        if not path.is_file():
            if (folder / "data_batch_1").is_file() or (folder / "cifar-10-batches-py").is_dir():
                raise UserError(
                    f"{key}: {folder} holds {source.archive.title}'s Python version, whose files are pickles and are "
                    f"never unpickled; get the binary version ({source.packed_name}) or remove {key}"
                )
            raise UserError(
                f"{key}: {folder} lacks {file_name}; give the folder with {source.archive.title}'s .bin files, "
                f"{source.packed_name} itself, or remove {key}"
            )
        size, expected = path.stat().st_size, source.images * RECORD_BYTES
        if file_name in source.md5 and size != expected:
            raise UserError(f"{key}: {path} has {size:,} bytes and not {expected:,}; unpack the archive again")
        files[file_name] = path.read_bytes() if size <= MAX_FILE_BYTES else b""
        sum_ = source.md5.get(file_name)
        if sum_ and hashlib.md5(files[file_name], usedforsecurity=False).hexdigest() != sum_:
            raise UserError(f"{key}: {path} has the wrong MD5, so it is not {source.archive.title}'s; unpack it again")
    log.info("%s: %d files from %s", source.archive.title, len(files), folder)
    return files


def _parse(content: bytes, file_name: str) -> "tuple[np.ndarray, np.ndarray]":
    """Images (n, 32, 32, 3) and labels of one file; UserError for an incomplete record or an invalid label."""
    import numpy as np

    if not content or len(content) % RECORD_BYTES:
        raise UserError(f"{file_name} is not a whole number of records of {RECORD_BYTES:,} bytes; get it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= CLASSES:
        raise UserError(f"{file_name} has the label {labels.max()}, and there are {CLASSES} classes; get it again")
    images = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
