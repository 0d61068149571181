"""What an ``.npz`` file of images holds, from the headers of its arrays and its labels: standard library only.

The config is checked with it before any job runs, and ``prepare`` before it reads an image. The format of the headers:
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import array
import ast
import math
import re
import struct
import sys
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from convlab.errors import UserError

_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex", "O": "object"}
_TYPECODES = {"u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q"}
_LONGEST_HEADER = 2**16


@dataclass(frozen=True)
class Header:
    """Of one array: NumPy's type string (``<f4``), its shape, and where its values begin."""

    descr: str
    shape: tuple[int, ...]
    offset: int

    @property
    def dtype(self) -> str:
        """The type as people call it: ``uint8``, ``float32``, ``object``."""
        simple = re.fullmatch(r"[<>|=]?([a-zA-Z])(\d*)", self.descr)
        if not simple or simple[1] not in _KINDS:
            return self.descr
        bits = int(simple[2]) * 8 if simple[2] and simple[1] not in "Ob" else ""
        return f"{_KINDS[simple[1]]}{bits}"


def read_headers(path: Path, key: str) -> dict[str, Header]:
    """The header of each array by its name. Raises UserError, which names the config's ``key``, for a damaged file."""
    if not path.is_file():
        raise UserError(f"{key}: {path} is not a file; give an .npz file with x_train, y_train, x_test and y_test")
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as stream:
                        header = headers[info.filename.removesuffix(".npy")] = _header(stream)
                    size = re.search(r"[a-zA-Z](\d+)$", header.descr)
                    whole = header.offset + math.prod(header.shape) * int(size[1]) if size else info.file_size
                    if size and header.dtype.startswith(("u", "i", "f", "b")) and whole != info.file_size:
                        raise ValueError(f"{info.filename} is not whole")
            return headers
    except Exception as error:  # zipfile and the parser raise a dozen types for a damaged archive
        raise UserError(f"{key}: {path} is not a whole .npz file ({error}); write it again with numpy.savez") from None


def _header(stream: BinaryIO) -> Header:
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY":
        raise ValueError("not an array")
    length = "<H" if start[6] == 1 else "<I"
    size = struct.unpack(length, stream.read(struct.calcsize(length)))[0]
    if size > _LONGEST_HEADER:
        raise ValueError("a header of this length is not NumPy's")
    fields = ast.literal_eval(stream.read(size).decode("utf-8" if start[6] >= 3 else "latin-1"))
    return Header(str(fields["descr"]), tuple(map(int, fields["shape"])), 8 + struct.calcsize(length) + size)


def check_headers(headers: dict[str, Header], path: Path, key: str) -> tuple[int, int, int]:
    """The images' shape (height, width, channels). Raises UserError for arrays that are no images and labels."""

    def refuse(problem: str) -> None:
        raise UserError(f"{key}: {path.name}: {problem}")

    parts = ["train", "test"] if {"x_test", "y_test"} & set(headers) else ["train"]
    shapes = {}
    for part in parts:
        for name in (f"x_{part}", f"y_{part}"):
            if name not in headers:
                there = ", ".join(sorted(headers)) or "no arrays"
                refuse(f"has no array {name} (it has {there}); add it")
            if headers[name].dtype == "object":
                refuse(f"{name} holds Python objects, which are never unpickled; save it as numbers")
        x, y = headers[f"x_{part}"], headers[f"y_{part}"]
        if x.dtype != "uint8":
            refuse(f"x_{part} is {x.dtype}; save it as uint8, 0 to 255")
        if len(x.shape) not in (3, 4) or not all(x.shape):
            refuse(f"x_{part} has shape {x.shape}; it should be (images, height, width) or with channels last")
        shape = (*x.shape[1:3], x.shape[3] if len(x.shape) == 4 else 1)
        if shape[2] not in (1, 3):
            first = "; move its channels to the end" if x.shape[1] in (1, 3) else ""
            refuse(f"x_{part} has {shape[2]} channels, and images have 1 or 3, the last dimension{first}")
        if not y.dtype.startswith(("int", "uint")):
            refuse(f"y_{part} is {y.dtype}; save the labels as whole numbers from 0")
        if y.shape not in (x.shape[:1], (x.shape[0], 1)):
            refuse(f"y_{part} has shape {y.shape} for {x.shape[0]:,} images; it should hold one label for each")
        shapes[part] = shape
    if len(set(shapes.values())) > 1:
        refuse(f"x_test's images are {shapes['test']} and x_train's {shapes['train']}; they should be of one shape")
    return shapes["train"]


def read_labels(path: Path, name: str, header: Header, key: str) -> set[int]:
    """The different values in an array of whole numbers."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(f"{name}.npy")[header.offset :]
        labels = array.array(_TYPECODES[header.descr[-2:]], content)
    except Exception as error:
        raise UserError(f"{key}: {path} is not a whole .npz file ({error}); write it again with numpy.savez") from None
    if header.descr[0] == (">" if sys.byteorder == "little" else "<"):
        labels.byteswap()
    return set(labels)


def count_classes(labels: Collection[int], classes: int | None, path: Path, key: str) -> int:
    """The number of classes from the different training labels, which must be 0 to k - 1 and all be there.

    ``classes`` is how many the config names, or None. Raises UserError.
    """
    count = len(labels) if classes is None else classes
    if set(labels) != set(range(count)):
        raise UserError(
            f"{key}: {path.name}: y_train has {len(labels):,} different labels from {min(labels)} to {max(labels)}; "
            f"they should be 0 to {count - 1}, each at least once"
        )
    if count < 2:
        raise UserError(f"{key}: {path.name}: y_train has one class only, and there is nothing to tell apart; add more")
    return count
