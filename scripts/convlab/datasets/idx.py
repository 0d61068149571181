"""Reading IDX files, the format of MNIST."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convlab.datasets.fetching import Archive, fetch
from convlab.datasets.prepared import Dataset
from convlab.errors import UserError


def read_idx_archive(archive: Archive, classes: tuple[str, ...], name: str, path: str | None) -> Dataset:
    """Fetch and read the four IDX files of an MNIST-like dataset."""
    files = fetch(archive, key=f"datasets.{name}.path", path=path)
    arrays = {file_name: parse_idx(content, file_name) for file_name, content in files.items()}
    return Dataset(
        x_train=arrays["train-images-idx3-ubyte"][..., np.newaxis],
        y_train=arrays["train-labels-idx1-ubyte"].astype(np.int64),
        x_test=arrays["t10k-images-idx3-ubyte"][..., np.newaxis],
        y_test=arrays["t10k-labels-idx1-ubyte"].astype(np.int64),
        classes=classes,
    )


def read_packed_idx(files: Sequence[Path | bytes], names: Sequence[str], classes: tuple[str, ...]) -> Dataset:
    """Read four checked ``.gz`` files, by path or content: images and labels for training, then for testing.

    ``names`` are the files' names, for messages.
    """
    arrays = []
    for file, name in zip(files, names, strict=True):
        content = file.read_bytes() if isinstance(file, Path) else file
        try:
            arrays.append(parse_idx(gzip.decompress(content), name))
        except (OSError, EOFError) as error:
            raise UserError(f"{name} cannot be unpacked ({error}); get it again") from None
    x_train, y_train, x_test, y_test = arrays
    return Dataset(
        x_train[..., np.newaxis], y_train.astype(np.int64), x_test[..., np.newaxis], y_test.astype(np.int64), classes
    )


def refuse_unpacked(folder: Path | None, names: Sequence[str], key: str) -> None:
    """Raise UserError for a folder that has unpacked files in place of the ``.gz`` files ``names``."""
    for name in names if folder is not None else ():
        unpacked = folder / name.removesuffix(".gz")
        if unpacked.is_file() and not (folder / name).exists():
            raise UserError(
                f"{key}: {unpacked} is unpacked, and only of the packed files a checksum is public; give {name} and "
                f"the others as published, or remove {key}"
            )


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The uint8 array of an unpacked IDX file: two zero bytes, the type 8, the rank, then each dimension in 32 bits.

    Raises UserError where the header or the length is wrong.
    """
    rank = content[3] if content[:3] == b"\x00\x00\x08" and len(content) >= 4 else 0
    header = 4 + 4 * rank
    if rank and len(content) >= header:
        shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist())
        if len(content) - header == np.prod(shape, dtype=object):
            return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    raise UserError(f"{name} is not a whole IDX file of bytes; get it again")
