"""Reading CIFAR's binary version: records of label bytes and 3,072 pixel bytes; nothing is unpickled."""

import logging
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convlab.datasets.fetching import MAX_FILE_BYTES, Archive, algorithm, digest, fetch_files
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from convlab.datasets.prepared import Dataset

log = logging.getLogger(__name__)

SIDE, CHANNELS = 32, 3
PIXEL_BYTES = CHANNELS * SIDE * SIDE
"""Bytes of an image behind its labels: the red, green and blue plane, row by row."""


@dataclass(frozen=True)
class Batches:
    """The publisher's archive, and what is in it.

    Args:
        archive: the packed archive, with its checksum.
        folder: the folder in it.
        images: number of images in each file, training first, the test file last.
        checksums: of these files, for those that the user has unpacked.
        names_file: the file that names the classes, one in each line.
        classes: number of classes.
        label_bytes: number of labels before each image.
        label: which of them is read, from 0.
        pickled: a file or folder of the version that is pickled, by which a user's folder with it is known.
    """

    archive: Archive
    folder: str
    images: Mapping[str, int]
    checksums: Mapping[str, str]
    names_file: str
    classes: int
    label_bytes: int = 1
    label: int = 0
    pickled: tuple[str, ...] = ()

    @property
    def packed_name(self) -> str:
        return next(iter(self.archive.checksums))

    @property
    def record_bytes(self) -> int:
        """Bytes of one image with its labels."""
        return self.label_bytes + PIXEL_BYTES


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
    else:
        files = _unpack(source, fetch_files(source.archive, key=key, path=location, cache=cache)[packed_name])

    names_text = files.pop(source.names_file).decode("ascii", "replace")
    names = tuple(line.strip() for line in names_text.splitlines() if line.strip())
    if len(set(names)) != source.classes or len(names) != source.classes:
        raise UserError(
            f"{source.names_file} of {source.archive.title} does not name {source.classes} classes; "
            "get the archive again"
        )
    batches = [_parse(source, content, file_name) for file_name, content in files.items()]
    *train, test = batches
    return Dataset(
        x_train=np.concatenate([images for images, _ in train]),
        y_train=np.concatenate([labels for _, labels in train]),
        x_test=test[0],
        y_test=test[1],
        classes=names,
    )


def _unpack(source: Batches, archive: Path) -> dict[str, bytes]:
    """The files of a checked archive, by exact name. Members are read in memory: nothing is extracted to a disk."""
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            files = {}
            for file_name in (*source.images, source.names_file):
                member = tar.getmember(f"{source.folder}/{file_name}")
                expected = source.images.get(file_name, 0) * source.record_bytes
                size_fits = member.size == expected if file_name in source.images else member.size <= MAX_FILE_BYTES
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
    """Read the user's unpacked files, verified by size and checksum."""
    files = {}
    for file_name in (*source.images, source.names_file):
        path = folder / file_name
        if not path.is_file():
            if any((folder / name).exists() for name in source.pickled):
                raise UserError(
                    f"{key}: {folder} holds {source.archive.title}'s Python version, whose files are pickles and are "
                    f"never unpickled; get the binary version ({source.packed_name}) or remove {key}"
                )
            raise UserError(
                f"{key}: {folder} lacks {file_name}; give the folder with {source.archive.title}'s .bin files, "
                f"{source.packed_name} itself, or remove {key}"
            )
        size, expected = path.stat().st_size, source.images.get(file_name, 0) * source.record_bytes
        if file_name in source.images and size != expected:
            raise UserError(f"{key}: {path} has {size:,} bytes and not {expected:,}; unpack the archive again")
        files[file_name] = path.read_bytes() if size <= MAX_FILE_BYTES else b""
        checksum = source.checksums.get(file_name)
        if checksum and digest(files[file_name], checksum) != checksum:
            raise UserError(
                f"{key}: {path} has the wrong {algorithm(checksum)}, so it is not {source.archive.title}'s; "
                "unpack it again"
            )
    log.info("%s: %d files from %s", source.archive.title, len(files), folder)
    return files


def _parse(source: Batches, content: bytes, file_name: str) -> "tuple[np.ndarray, np.ndarray]":
    """Images (n, 32, 32, 3) and labels of one file; UserError for an incomplete record or an invalid label."""
    import numpy as np

    size, classes = source.record_bytes, source.classes
    if not content or len(content) % size:
        raise UserError(f"{file_name} is not a whole number of records of {size:,} bytes; get it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, source.label].astype(np.int64)
    if labels.max() >= classes:
        raise UserError(f"{file_name} has the label {labels.max()}, and there are {classes} classes; get it again")
    images = records[:, source.label_bytes :].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
