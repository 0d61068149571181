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
from convlab.datasets.label_classes import label_text, sorted_labels
from convlab.datasets.pixel_values import flat_shape
from convlab.errors import UserError

_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex", "O": "object"}
_TYPECODES = {"b1": "B", "f4": "f", "f8": "d", "u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i"}
_TYPECODES |= {"u8": "Q", "i8": "q"}
_MAX_HEADER_BYTES = 2**16


@dataclass(frozen=True)
class Header:
    """Header of one array: NumPy's type string (``<f4``), shape, offset of the values, whether in Fortran's order."""

    descr: str
    shape: tuple[int, ...]
    offset: int
    fortran: bool = False

    @property
    def dtype(self) -> str:
        """The type's usual name: ``uint8``, ``float32``, ``object``."""
        simple = re.fullmatch(r"[<>|=]?([a-zA-Z])(\d*)", self.descr)
        if not simple or simple[1] not in _KINDS:
            return self.descr
        bits = int(simple[2]) * 8 if simple[2] and simple[1] not in "Ob" else ""
        return f"{_KINDS[simple[1]]}{bits}"


PARTS = ("train", "validation", "test")

ARRAY_NAMES = tuple(f"{sign}_{part}" for part in PARTS for sign in "xy")
"""Arrays that are read, under these names or those that the config tells; the last four may be absent."""

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
        raise _not_whole(path, key, error) from None
    return headers


def _not_whole(path: Path, key: str, error: Exception) -> UserError:
    """A damaged archive; of zipfile's message the beginning, since it may hold all of a file."""
    reason = printable_name(str(error)[:80])
    return UserError(f"{key}: {path} is not a whole .npz file ({reason}); write it again with numpy.savez")


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
    if beginning[:4] == b"PAR1":
        return "a Parquet file"
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
    offset = 8 + struct.calcsize(length) + size
    return Header(str(fields["descr"]), tuple(map(int, fields["shape"])), offset, fields["fortran_order"] is True)


@dataclass(frozen=True)
class Layout:
    """What the config tells of the images: order of the channels, range of the values, and shape of one image."""

    channels: str | None = None
    scale: str | None = None
    input_shape: tuple[int, int, int] | None = None


def by_role(headers: dict[str, Header], told: Mapping[str, str], path: Path, key: str) -> dict[str, Header]:
    """The headers with the arrays that the config names (``{x_train: images}``) under the names that are read.

    Raises UserError, which names the dataset's ``key``, for names that are not there.
    """
    for role, name in told.items():
        if name not in headers:
            raise UserError(f"{key}.arrays.{role} is {name!r}, but {path.name} has {_listed(headers)}; correct it")
        if role in headers and role != name:
            raise UserError(f"{key}.arrays.{role} is {name!r}, but {path.name} has an array {role} too; remove the key")
    others = {name: header for name, header in headers.items() if name not in told.values()}
    return others | {role: headers[name] for role, name in told.items()}


def _listed(headers: Mapping[str, Header]) -> str:
    return ", ".join(sorted(map(printable_name, headers))) or "no arrays"


def check_headers(headers: dict[str, Header], path: Path, key: str, layout: Layout) -> tuple[int, int, int]:
    """The images' shape (height, width, channels). Raises UserError for arrays that are not images and labels."""

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}.path: {path.name}: {problem}")

    _refuse_misnamed(headers, key, refuse)
    parts = [part for part in PARTS if part == "train" or {f"x_{part}", f"y_{part}"} & set(headers)]
    shapes = {}
    for part in parts:
        for name in (f"x_{part}", f"y_{part}"):
            if name not in headers:
                refuse(f"has no array {name} (it has {_listed(headers)}); add it")
            if headers[name].dtype == "object":
                refuse(f"{name} holds Python objects, which are never unpickled; save it as numbers")
        shapes[part] = _image_shape(headers[f"x_{part}"], part, layout, key, refuse)
        check_label_header(headers[f"y_{part}"], headers[f"x_{part}"].shape[0], part, refuse)
        if shapes[part] != shapes["train"]:
            refuse(f"x_{part}'s images are {shapes[part]} and x_train's {shapes['train']}; they should be of one shape")
    return shapes["train"]


def _image_shape(x: Header, part: str, layout: Layout, key: str, refuse: Callable[[str], NoReturn]) -> tuple[int, ...]:
    name = f"x_{part}"
    if len(x.shape) == 2 and layout.input_shape is None:
        refuse(
            f"{name} has shape {x.shape}, a row for each image; reshape it to (images, height, width), or write "
            f"{key}.input_shape"
        )
    if x.shape[:1] == (0,):
        absent = f"fill it, or leave x_{part} and y_{part} out"
        what = {"train": "fill it", "test": f"{absent} to have images held out"}.get(part, absent)
        refuse(f"{name} has no images (shape {x.shape}); {what}")
    if not x.dtype.startswith(("uint", "int", "float")):
        refuse(f"{name} is {x.dtype}; save it as uint8, 0 to 255, such as (255 * {name}).astype('uint8') for 0 and 1")
    if x.dtype != "uint8" and layout.scale is None:
        how = f", such as (255 * {name}).round().astype('uint8') where they go from 0 to 1" * x.dtype.startswith(
            "float"
        )
        refuse(
            f"{name} is {x.dtype}; save it as uint8, 0 to 255{how}, or write {key}.scale: unit for values from 0 to 1, "
            "or byte for values from 0 to 255"
        )
    if len(x.shape) not in (2, 3, 4) or not all(x.shape):
        refuse(f"{name} has shape {x.shape}; it should be (images, height, width) or with channels last")
    if len(x.shape) == 2:
        size = layout.input_shape[:2]
        keys = f"{key}.input_shape"
        return flat_shape(x.shape[1], size, layout.channels, lambda problem: refuse(f"{name} {problem}"), keys)
    if len(x.shape) == 3:
        return (*x.shape[1:], 1)
    first = layout.channels == "first"
    number = x.shape[1] if first else x.shape[3]
    if number not in (1, 3):
        last = f"; move its channels to the end ({name}.transpose(0, 2, 3, 1)), or write {key}.channels: first"
        hint = last if not first and x.shape[1] in (1, 3) else ""
        where = "first behind the number of images" if first else "last dimension"
        refuse(f"{name} has {number} channels, and images have 1 or 3, the {where}{hint}")
    return (*x.shape[2:], number) if first else x.shape[1:]


def check_label_header(y: Header, images: int, part: str, refuse: Callable[[str], NoReturn]) -> None:
    """Refuse what is neither one label for each of ``images`` nor a row of zeros with a single one."""
    name = f"y_{part}"
    if y.shape[:1] == (images,) and (is_text(y) or is_one_hot(y)):
        if is_text(y) and y.shape not in ((images,), (images, 1)):
            refuse(f"{name} has shape {y.shape}; it should hold one label for each image")
        return
    if not y.dtype.startswith(("int", "uint")):
        refuse(f"{name} is {y.dtype}; save the labels as whole numbers from 0 ({name}.astype('int64'))")
    if y.shape not in ((images,), (images, 1)):
        refuse(f"{name} has shape {y.shape} for {images:,} images; it should hold one label for each")


def is_text(header: Header) -> bool:
    """Whether labels are text."""
    return header.descr[1:2] in ("U", "S")


def is_one_hot(header: Header) -> bool:
    """Whether labels have the shape of one-hot vectors, a column for each class."""
    return len(header.shape) == 2 and header.shape[1] > 1 and header.descr[-2:] in _TYPECODES


CLASS_NAMES = "classes"
"""The array that may name the classes."""

_VALIDATION = re.compile(r"^[xy][_-]?(val|valid|validation|dev)$|^(val|valid|validation|dev)[_-]?[xy]$", re.IGNORECASE)

_COMMON_NAMES = {"x": "x_train", "images": "x_train", "data": "x_train", "train_images": "x_train",
                    "features": "x_train", "y": "y_train", "labels": "y_train", "targets": "y_train",
                    "target": "y_train", "train_labels": "y_train", "test_images": "x_test",
                    "test_labels": "y_test", "val_images": "x_validation", "val_labels": "y_validation"}  # fmt: skip
"""Other common names of these arrays; MedMNIST's files have train_images."""

_UNNAMED = re.compile(r"arr_\d+")
"""Arrays that numpy.savez was given without a name."""


def _meant(name: str) -> str:
    """The array that one of another name may be meant as; empty where none is known."""
    plain = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    meant = plain if plain in ARRAY_NAMES else re.sub(r"^(x|y)(train|test)$", r"\1_\2", plain)
    meant = meant if meant in ARRAY_NAMES else re.sub(r"^(train|test)_?(x|y)$", r"\2_\1", plain)
    return meant if meant in ARRAY_NAMES else _COMMON_NAMES.get(plain, "")


def _refuse_misnamed(headers: Mapping[str, Header], key: str, refuse: Callable[[str], NoReturn]) -> None:
    """Arrays under another name than the one that is read, and validation arrays in place of test arrays."""
    meant = {name: _meant(name) for name in sorted(headers) if name not in ARRAY_NAMES}
    lacking = {role: name for name, role in meant.items() if role and role not in headers}
    for role, name in sorted(lacking.items()):
        if "validation" not in role:
            told = ", ".join(f"{role}: {printable_name(lacking[role])}" for role in ARRAY_NAMES if role in lacking)
            refuse(
                f"has an array {printable_name(name)} and no {role}; if that is what it holds, name it {role} or write "
                f"{key}.arrays: {{{told}}}"
            )
    if "x_train" not in headers and (unnamed := [name for name in sorted(headers) if _UNNAMED.fullmatch(name)]):
        listed = ", ".join(f"{name} {headers[name].shape} {headers[name].dtype}" for name in unnamed)
        refuse(
            f"has arrays without names ({listed}); write {key}.arrays: {{x_train: {unnamed[0]}, ...}}, which is which"
        )
    for name in sorted(headers):
        if _VALIDATION.match(name) and name not in ARRAY_NAMES and "x_test" not in headers:
            sign = "y" if name.lower().startswith("y") or name.lower().endswith("y") else "x"
            refuse(
                f"has {printable_name(name)} and no x_test; name it {sign}_test if it is to test with, or "
                f"{sign}_validation if it is to validate with (or write {key}.arrays: {{{sign}_test: "
                f"{printable_name(name)}}}), or leave it out: validation images are set aside from x_train, anew for "
                "each seed"
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


Label = int | str


def count_labels(path: Path, name: str, header: Header, key: str) -> dict[Label, int]:
    """The different labels in an array of whole numbers, of text or of one-hot vectors, and how often each occurs.

    Inflating them takes a while for large files, so what was counted is kept beside Snakemake's records, by the
    checksum that the archive has of the array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            kept = _COUNTS / f"labels-{info.CRC:08x}-{info.file_size}-{header.descr[1:]}{header.shape[1:2]}.json"
            with suppress(OSError, ValueError, TypeError, AttributeError):
                counted = json.loads(kept.read_text("ascii")).items()
                return {label if is_text(header) else int(label): int(count) for label, count in counted}
            counts: Counter[Label] = Counter()
            with archive.open(info) as stream:
                stream.read(header.offset)
                if is_text(header) or is_one_hot(header):
                    counts.update((_texts if is_text(header) else _hot)(stream.read(), header))
                while block := stream.read(_BLOCK):
                    labels = array.array(_TYPECODES[header.descr[-2:]], block)
                    if header.descr[0] == (">" if sys.byteorder == "little" else "<"):
                        labels.byteswap()
                    counts.update(labels)
                    if len(counts) > _MAX_CLASSES:
                        break
    except _NotOneHotError as error:
        raise UserError(
            f"{key}: {path.name}: {name} has shape {header.shape}, and row {error} is not all zeros but one; save one "
            "label for each image"
        ) from None
    except Exception as error:
        raise _not_whole(path, key, error) from None
    if len(counts) > _MAX_CLASSES:
        raise UserError(f"{key}: {path.name}: {name} has more than {_MAX_CLASSES:,} different labels; are they labels?")
    if _COUNTS.parent.is_dir():
        temporary = kept.with_name(f".{uuid.uuid4().hex[:12]}.{kept.name}")
        with suppress(OSError):
            _COUNTS.mkdir(exist_ok=True)
            temporary.write_text(json.dumps(counts), "ascii")
            temporary.replace(kept)
    return dict(counts)


class _NotOneHotError(Exception):
    """A row is no one-hot vector; the message is its number."""


def _texts(content: bytes, header: Header) -> list[str]:
    """Labels of text, as ``label_text`` has them; missing ones are empty."""
    length = int(header.descr[2:]) * (4 if header.descr[1] == "U" else 1)
    code = "latin-1" if header.descr[1] == "S" else f"utf-32-{'be' if header.descr[0] == '>' else 'le'}"
    values = (content[start : start + length] for start in range(0, len(content), length)) if length else ()
    return [label_text(value.decode(code).rstrip("\0")) or "" for value in values]


def _hot(content: bytes, header: Header) -> list[int]:
    """The position of the one in each row. Raises _NotOneHotError."""
    values = array.array(_TYPECODES[header.descr[-2:]], content)
    if header.descr[0] == (">" if sys.byteorder == "little" else "<"):
        values.byteswap()
    rows, columns = header.shape
    labels = []
    for row in range(rows):
        vector = values[row::rows] if header.fortran else values[row * columns : (row + 1) * columns]
        if vector.count(1) != 1 or vector.count(0) != columns - 1:
            raise _NotOneHotError(f"{row + 1:,}")
        labels.append(vector.index(1))
    return labels


_COUNTS = Path(".snakemake/convlab")
_BLOCK = 2**20
_MAX_CLASSES = 100_000


def check_labels(
    labels: Mapping[str, Mapping[Label, int]], classes: int | None, path: Path, key: str
) -> tuple[Label, ...]:
    """The labels in the order of the classes, from the counts of each array (``y_train``, ...).

    ``classes`` is how many the config names. Raises UserError, also for labels that ``y_train`` lacks.
    """
    train = labels["y_train"]
    if any(isinstance(label, str) for label in train):
        if any("" in counts for counts in labels.values()):
            raise UserError(f"{key}: {path.name}: has images with an empty label; give each one")
        values: tuple[Label, ...] = sorted_labels(train)
        if len(values) < 2:
            raise UserError(
                f"{key}: {path.name}: y_train has one class only, and there is nothing to tell apart; add more"
            )
    else:
        values = tuple(range(count_classes(train, classes, path, key)))
    for name, counts in labels.items():
        if alone := sorted(set(counts) - set(values), key=str):
            raise UserError(
                f"{key}: {path.name}: {name} has labels that y_train has not (such as {alone[0]}); they should be the "
                "same"
            )
    return values


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
