"""Reading the headers and labels of an ``.npz`` file of images, without NumPy: standard library only.

The config is checked with it before any job runs, and ``prepare`` before it reads an image. The format of the headers:
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import array
import ast
import json
import math
import re
import struct
import sys
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from convlab.datasets.file_content import HEADER_BYTES, content_kind
from convlab.datasets.folder_listing import printable_name
from convlab.errors import UserError

_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex", "O": "object"}
_TYPECODES = {"u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q"}
_MAX_HEADER_BYTES = 2**16


@dataclass(frozen=True)
class Header:
    """Header of one array: NumPy's type string (``<f4``), shape, and offset of the values."""

    descr: str
    shape: tuple[int, ...]
    offset: int

    @property
    def dtype(self) -> str:
        """The type's usual name: ``uint8``, ``float32``, ``object``."""
        simple = re.fullmatch(r"[<>|=]?([a-zA-Z])(\d*)", self.descr)
        if not simple or simple[1] not in _KINDS:
            return self.descr
        bits = int(simple[2]) * 8 if simple[2] and simple[1] not in "Ob" else ""
        return f"{_KINDS[simple[1]]}{bits}"


ARRAY_NAMES = ("x_train", "y_train", "x_test", "y_test")

SAVE_COMMAND = "numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"


def read_headers(path: Path, key: str) -> dict[str, Header]:
    """The header of each array by its name. Raises UserError, which names the config's ``key``, for another file."""
    if path.is_dir():
        raise UserError(
            f"{key}: {path} is a folder; give an .npz file, or write kind: image_folder for images in folders"
        )
    if not path.is_file():
        raise UserError(f"{key}: {path} is not a file; give an .npz file with x_train, y_train, x_test and y_test")
    try:
        with path.open("rb") as stream:
            beginning = stream.read(HEADER_BYTES)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read ({error.strerror}); change its permissions") from None
    if beginning[:2] != b"PK":
        raise UserError(f"{key}: {path} is {_other_file(beginning)}, and no .npz file; write one with {SAVE_COMMAND}")
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    raise _NotArraysError(info.filename)
                with archive.open(info) as stream:
                    header = headers[info.filename.removesuffix(".npy")] = _header(stream)
                size = re.search(r"[a-zA-Z](\d+)$", header.descr)
                whole = header.offset + math.prod(header.shape) * int(size[1]) if size else info.file_size
                if size and header.dtype.startswith(("u", "i", "f", "b")) and whole != info.file_size:
                    raise ValueError(f"{info.filename} is not whole")
    except _NotArraysError as error:
        inside = printable_name(str(error))
        raise UserError(
            f"{key}: {path} is a ZIP archive that holds {inside}, and no .npz file; write one with {SAVE_COMMAND}"
        ) from None
    except Exception as error:  # zipfile and the parser raise a dozen types for a damaged archive
        raise UserError(f"{key}: {path} is not a whole .npz file ({error}); write it again with numpy.savez") from None
    return headers


class _NotArraysError(Exception):
    """The ZIP archive has a member that is no array; the message names it."""


def _other_file(beginning: bytes) -> str:
    """Type of a file that is no ``.npz``, for the message."""
    if beginning[:6] == b"\x93NUMPY":
        return "a single NumPy array (.npy)"
    if beginning[:1] == b"\x80" and beginning[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a Python pickle, which is never unpickled"
    if beginning[:6] == b"MATLAB":
        return "a MATLAB file"
    kind = content_kind(beginning)
    if kind == "text" and b"," in beginning.split(b"\n")[0]:
        return "text, such as a CSV file"
    return kind


def _header(stream: BinaryIO) -> Header:
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY":
        raise ValueError("not an array")
    length = "<H" if start[6] == 1 else "<I"
    size = struct.unpack(length, stream.read(struct.calcsize(length)))[0]
    if size > _MAX_HEADER_BYTES:
        raise ValueError("a header of this length is not NumPy's")
    fields = ast.literal_eval(stream.read(size).decode("utf-8" if start[6] >= 3 else "latin-1"))
    return Header(str(fields["descr"]), tuple(map(int, fields["shape"])), 8 + struct.calcsize(length) + size)


def check_headers(headers: dict[str, Header], path: Path, key: str) -> tuple[int, int, int]:
    """The images' shape (height, width, channels). Raises UserError for arrays that are not images and labels."""

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}: {path.name}: {problem}")

    _refuse_misnamed(headers, refuse)
    parts = ["train", "test"] if {"x_test", "y_test"} & set(headers) else ["train"]
    shapes = {}
    for part in parts:
        for name in (f"x_{part}", f"y_{part}"):
            if name not in headers:
                there = ", ".join(sorted(map(printable_name, headers))) or "no arrays"
                refuse(f"has no array {name} (it has {there}); add it")
            if headers[name].dtype == "object":
                refuse(f"{name} holds Python objects, which are never unpickled; save it as numbers")
        shapes[part] = _image_shape(headers[f"x_{part}"], part, refuse)
        _check_label_header(headers[f"y_{part}"], headers[f"x_{part}"].shape[0], part, refuse)
    if len(set(shapes.values())) > 1:
        refuse(f"x_test's images are {shapes['test']} and x_train's {shapes['train']}; they should be of one shape")
    return shapes["train"]


def _image_shape(x: Header, part: str, refuse: Callable[[str], NoReturn]) -> tuple[int, int, int]:
    name = f"x_{part}"
    if len(x.shape) == 2 and x.dtype == "uint8":
        refuse(f"{name} has shape {x.shape}, a row for each image; reshape it to (images, height, width)")
    if x.shape[:1] == (0,):
        what = "fill it" if part == "train" else "fill it, or leave x_test and y_test out to have images held out"
        refuse(f"{name} has no images (shape {x.shape}); {what}")
    if x.dtype != "uint8":
        how = f", such as (255 * {name}).round().astype('uint8') where they go from 0 to 1" * x.dtype.startswith(
            "float"
        )
        refuse(f"{name} is {x.dtype}; save it as uint8, 0 to 255{how}")
    if len(x.shape) not in (3, 4) or not all(x.shape):
        refuse(f"{name} has shape {x.shape}; it should be (images, height, width) or with channels last")
    shape = (*x.shape[1:3], x.shape[3] if len(x.shape) == 4 else 1)
    if shape[2] not in (1, 3):
        first = f"; move its channels to the end ({name}.transpose(0, 2, 3, 1))" if x.shape[1] in (1, 3) else ""
        refuse(f"{name} has {shape[2]} channels, and images have 1 or 3, the last dimension{first}")
    return shape


def _check_label_header(y: Header, images: int, part: str, refuse: Callable[[str], NoReturn]) -> None:
    name = f"y_{part}"
    if len(y.shape) == 2 and y.shape[0] == images and y.shape[1] > 1:
        refuse(f"{name} has shape {y.shape}, as one-hot labels have; save {name}.argmax(axis=1)")
    if y.descr[1:2] in ("U", "S"):
        refuse(
            f"{name} is {y.descr}, text; save the labels as whole numbers from 0, and the names as an array classes: "
            f"classes, {name} = numpy.unique({name}, return_inverse=True)"
        )
    if not y.dtype.startswith(("int", "uint")):
        refuse(f"{name} is {y.dtype}; save the labels as whole numbers from 0 ({name}.astype('int64'))")
    if y.shape not in ((images,), (images, 1)):
        refuse(f"{name} has shape {y.shape} for {images:,} images; it should hold one label for each")


CLASS_NAMES = "classes"
"""The array that may name the classes."""

_VALIDATION = re.compile(r"^[xy][_-]?(val|valid|validation|dev)$|^(val|valid|validation|dev)[_-]?[xy]$", re.IGNORECASE)

_COMMON_NAMES = {"x": "x_train", "images": "x_train", "data": "x_train", "train_images": "x_train",
                    "features": "x_train", "y": "y_train", "labels": "y_train", "targets": "y_train",
                    "target": "y_train", "train_labels": "y_train", "test_images": "x_test",
                    "test_labels": "y_test"}  # fmt: skip
"""Other common names of these arrays; MedMNIST's files have train_images."""


def _refuse_misnamed(headers: Mapping[str, Header], refuse: Callable[[str], NoReturn]) -> None:
    """Arrays under another name than the one that is read, and validation arrays in place of test arrays."""
    for name in sorted(headers):
        plain = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
        meant = plain if plain in ARRAY_NAMES else re.sub(r"^(x|y)(train|test)$", r"\1_\2", plain)
        meant = meant if meant in ARRAY_NAMES else re.sub(r"^(train|test)_?(x|y)$", r"\2_\1", plain)
        meant = meant if meant in ARRAY_NAMES else _COMMON_NAMES.get(plain, "")
        if name not in ARRAY_NAMES and meant in ARRAY_NAMES and meant not in headers:
            refuse(f"has an array {printable_name(name)} and no {meant}; if that is what it holds, name it {meant}")
        if _VALIDATION.match(name) and "x_test" not in headers:
            refuse(
                f"has {printable_name(name)} and no x_test; name it {name[0].lower()}_test if it is to test with, or "
                "leave it out: validation images are set aside from x_train, anew for each seed"
            )


def has_class_names(headers: Mapping[str, Header]) -> bool:
    """Whether an array ``classes`` of text names the classes."""
    header = headers.get(CLASS_NAMES)
    return header is not None and header.descr[1:2] == "U" and len(header.shape) == 1


def check_class_names(headers: Mapping[str, Header], count: int, path: Path, key: str) -> None:
    """Raise UserError where the array ``classes`` names more or fewer than the ``count`` classes of the labels."""
    if has_class_names(headers) and headers[CLASS_NAMES].shape != (count,):
        raise UserError(
            f"{key}: {path.name}: classes has {headers[CLASS_NAMES].shape[0]:,} names and y_train {count:,} classes; "
            "give one name for each, or leave it out"
        )


def check_shape(given: tuple[int, ...] | None, shape: tuple[int, ...], path: Path, key: str) -> None:
    """Raise UserError where the config's ``input_shape`` is not that of the file's images."""
    if given not in (None, tuple(shape)):
        raise UserError(f"{key} is {list(given)}, but {path.name} has images of {list(shape)}")


def unused_arrays(headers: Mapping[str, Header], names_used: bool) -> dict[str, str]:
    """Arrays that are not read, each with its shape and type; among them ``classes``, unless its names are used."""
    used = (*ARRAY_NAMES, CLASS_NAMES) if names_used else ARRAY_NAMES
    return {
        printable_name(name): f"{header.shape} {header.dtype}"
        for name, header in sorted(headers.items())
        if name not in used
    }


def count_labels(path: Path, name: str, header: Header, key: str) -> dict[int, int]:
    """The different values in an array of whole numbers, and how often each occurs.

    Inflating them takes a while for large files, so what was counted is kept beside Snakemake's records, by the
    checksum that the archive has of the array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            kept = _COUNTS / f"labels-{info.CRC:08x}-{info.file_size}-{header.descr[1:]}.json"
            with suppress(OSError, ValueError, TypeError, AttributeError):
                return {int(label): int(count) for label, count in json.loads(kept.read_text("ascii")).items()}
            counts: Counter[int] = Counter()
            with archive.open(info) as stream:
                stream.read(header.offset)
                while block := stream.read(_BLOCK):
                    labels = array.array(_TYPECODES[header.descr[-2:]], block)
                    if header.descr[0] == (">" if sys.byteorder == "little" else "<"):
                        labels.byteswap()
                    counts.update(labels)
                    if len(counts) > _MAX_CLASSES:
                        break
    except Exception as error:
        raise UserError(f"{key}: {path} is not a whole .npz file ({error}); write it again with numpy.savez") from None
    if len(counts) > _MAX_CLASSES:
        raise UserError(f"{key}: {path.name}: {name} has more than {_MAX_CLASSES:,} different labels; are they labels?")
    if _COUNTS.parent.is_dir():
        temporary = kept.with_name(f".{uuid.uuid4().hex[:12]}.{kept.name}")
        with suppress(OSError):
            _COUNTS.mkdir(exist_ok=True)
            temporary.write_text(json.dumps(counts), "ascii")
            temporary.replace(kept)
    return dict(counts)


_COUNTS = Path(".snakemake/convlab")
_BLOCK = 2**20
_MAX_CLASSES = 100_000


def check_labels(
    train: Mapping[int, int], test: Mapping[int, int] | None, classes: int | None, path: Path, key: str
) -> int:
    """The number of classes, from the counts of labels. Raises UserError, also for test labels that training lacks."""
    count = count_classes(train, classes, path, key)
    if test is not None and (alone := sorted(set(test) - set(train))):
        raise UserError(
            f"{key}: {path.name}: y_test has labels that y_train has not (such as {alone[0]}); they should be the same"
        )
    return count


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
