"""The user's own arrays, in one ``.npz`` file; nothing is unpickled."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from pydantic import BeforeValidator, Field

from convlab.common.specs import Name, PositiveWhole, off_as_none
from convlab.datasets.folder_listing import ARRAY, Skipped, printable_name
from convlab.datasets.label_classes import class_names, label_text
from convlab.datasets.npz_headers import (
    ARRAY_NAMES,
    CLASS_NAMES,
    Header,
    Label,
    Layout,
    by_role,
    check_class_names,
    check_headers,
    check_labels,
    check_shape,
    count_labels,
    has_class_names,
    is_one_hot,
    is_text,
    read_headers,
    unused_arrays,
)  # fmt: skip
from convlab.datasets.own_images import check_counts
from convlab.datasets.pixel_values import as_bytes, channels_last, refuse_black
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import OwnImages
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class Npz(OwnImages):
    """A NumPy file with x_train, y_train and, if there, x_validation, y_validation, x_test, y_test."""

    kind: Literal["npz"]
    arrays: dict[Literal["x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test", "classes"], Name] = (
        Field({}, description="Names of these arrays in the file, where they have others.")
    )
    channels: Literal["last", "first"] | None = Field(
        None, description="Whether the channels of colour images are the last dimension (when absent) or the first."
    )
    scale: Literal["byte", "unit"] | None = Field(
        None, description="Values from 0 to 255 or from 0 to 1, for images that are no uint8."
    )
    classes: Annotated[Annotated[tuple[Name, ...], Field(min_length=2)] | None, BeforeValidator(off_as_none)] = Field(
        None, description="Names of the classes, in the order of the labels; 0, 1, ... when absent."
    )
    input_shape: Annotated[tuple[PositiveWhole, PositiveWhole, PositiveWhole] | None, BeforeValidator(off_as_none)] = (
        Field(None, description="[height, width, channels]; read from the file when absent.")
    )


@dataclass(frozen=True)
class _File:
    """What headers and labels tell: headers by the names that are read, names in the file, shape, labels, classes."""

    path: Path
    headers: dict[str, Header]
    arrays: dict[str, str]
    shape: tuple[int, int, int]
    values: tuple[Label, ...]
    names: tuple[str, ...] | None

    @property
    def wanted(self) -> list[str]:
        """The arrays that are read."""
        return [array for array in ARRAY_NAMES if array in self.headers]


def _file(name: str, spec: Npz, path: Path) -> _File:
    """The file's headers and labels, checked against each other and the config."""
    key = f"datasets.{name}"
    headers = by_role(read_headers(path, f"{key}.path"), spec.arrays, path, key)
    shape = check_headers(headers, path, key, Layout(spec.channels, spec.scale, spec.input_shape))
    check_shape(spec.input_shape, shape, path, f"{key}.input_shape")
    labels = {
        array: count_labels(path, spec.arrays.get(array, array), headers[array], f"{key}.path")
        for array in ARRAY_NAMES
        if array in headers and array[0] == "y"
    }
    named = None if spec.classes is None else len(spec.classes)
    values = check_labels(labels, named, path, f"{key}.path")
    columns = headers["y_train"].shape[1] if is_one_hot(headers["y_train"]) else len(values)
    if columns != len(values):  # without images of the last classes; a gap between others is refused above
        raise UserError(
            f"{key}.path: {path.name}: y_train has {columns:,} columns, a class each, and no image of the last "
            f"{columns - len(values):,}; add some, or leave these columns out"
        )
    texts = tuple(map(str, values))
    if is_text(headers["y_train"]):
        names = class_names(texts, spec.classes, path.name, key)
    else:
        names = spec.classes
        if spec.classes is None:
            check_class_names(headers, len(values), path, f"{key}.path")
    counts = {text: labels["y_train"].get(value, 0) for text, value in zip(names or texts, values, strict=True)}
    check_counts(key, counts, None if "y_test" in labels else spec.test_fraction, "y_validation" in labels)
    arrays = {array: spec.arrays.get(array, array) for array in (*ARRAY_NAMES, CLASS_NAMES)}
    return _File(path, headers, arrays, shape, values, names)


def form(name: str, spec: Npz) -> Form:
    """From the config, or else from the headers and labels of the file."""
    key = f"datasets.{name}"
    if spec.input_shape is not None and spec.classes is not None:
        return spec.input_shape, len(spec.classes)
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise UserError(
            f"{key}.path: there is no {printable_name(str(path))} here; correct it, or write {key}.input_shape and "
            f"{key}.classes where only other machines can see the file"
        )
    file = _file(name, spec, path)
    return file.shape, len(file.values)


def counts(spec: Npz) -> Counts | None:
    """Exact numbers, from the arrays' headers."""
    path = Path(spec.path).expanduser()
    headers = by_role(read_headers(path, "datasets"), spec.arrays, path, "datasets")
    shapes = {array: headers[array].shape for array in ARRAY_NAMES[::2] if array in headers}
    if "x_train" not in shapes or () in shapes.values():
        return None
    parts = {array: Count(shape[0], shape[0]) for array, shape in shapes.items()}
    return parts["x_train"], parts.get("x_test"), parts.get("x_validation")


def _names_used(spec: Npz, headers: Mapping[str, Header]) -> bool:
    return spec.classes is None and has_class_names(headers) and not is_text(headers["y_train"])


def unused(name: str, spec: Npz) -> list[str]:
    """Each array that would not be read, with its shape and type."""
    path = Path(spec.path).expanduser()
    headers = by_role(read_headers(path, f"datasets.{name}"), spec.arrays, path, f"datasets.{name}")
    arrays = unused_arrays(headers, _names_used(spec, headers))
    return [f"array {array} {detail}" for array, detail in arrays.items()]


def _images(values: "np.ndarray", array: str, file: _File, spec: Npz, key: str) -> "np.ndarray":
    """An array of images as uint8 (n, height, width, channels)."""
    import numpy as np

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}.path: {file.path.name}: {array} {problem}")

    if spec.scale is not None:
        values = as_bytes(values, spec.scale, refuse)
    if spec.scale == "byte" or (spec.scale is None and array == "x_train" and values.max() == 1):
        refuse_black(int(values.max()), refuse)
    return np.ascontiguousarray(channels_last(values, file.shape, spec.channels))


def _labels(values: "np.ndarray", file: _File, header: Header) -> "np.ndarray":
    """An array of labels as indices into the classes."""
    import numpy as np

    from convlab.datasets.table_reading import indices_of

    if is_text(header):
        texts = (
            value.decode("latin-1") if isinstance(value, bytes) else value for value in values.reshape(-1).tolist()
        )
        return indices_of([label_text(text) for text in texts], file.values)
    return values.argmax(axis=1) if is_one_hot(header) else values.reshape(-1).astype(np.int64)


def read(name: str, spec: Npz, threads: int) -> Reading:
    """x_train, y_train and, if there, x_validation, y_validation, x_test, y_test: images as the config tells their
    layout, labels as whole numbers, text or one-hot vectors; and ``classes``, the names, unless the config has them.

    Raises UserError where an array is missing, damaged, or something else.
    """
    import numpy as np

    from convlab.datasets.table_reading import divided

    key, path = f"datasets.{name}", Path(spec.path).expanduser()
    file = _file(name, spec, path)  # before reading 60,000 images
    copies = 1 if "x_test" in file.wanted else 2  # while they are divided
    images = copies * sum(file.headers[array].shape[0] for array in file.wanted[::2])
    check_memory(images, file.shape, f"{key}.path", "give fewer or smaller images")
    named = _names_used(spec, file.headers)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {array: archive[file.arrays[array]] for array in file.wanted}
            names = archive[file.arrays[CLASS_NAMES]].tolist() if named else None
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{key}.path: {path} is damaged ({error}); write it again with numpy.savez") from None
    if named:
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice or not all(map(str.strip, names)):
            wrong = f"the name {printable_name(twice[0])!r} twice" if twice else "an empty name"
            raise UserError(f"{key}.path: {path.name}: classes has {wrong}; give each class a name of its own")
    classes = file.names or tuple(map(printable_name, names or map(str, file.values)))
    log.info("%s: %s with %s", name, path, ", ".join(f"{array} {arrays[array].shape}" for array in file.wanted))
    notes = _layout_notes(spec, file)
    if notes:
        log.info("%s: read as %s", name, notes["read_as"])
    parts = {
        array.removeprefix("x_"): (
            _images(arrays[array], array, file, spec, key),
            _labels(arrays[f"y{array[1:]}"], file, file.headers[f"y{array[1:]}"]),
        )
        for array in file.wanted[::2]
    }
    skipped = [Skipped(array, ARRAY, detail=detail) for array, detail in unused_arrays(file.headers, named).items()]
    return divided(name, spec, parts, classes, skipped, notes)


def _layout_notes(spec: Npz, file: _File) -> dict[str, dict[str, str]]:
    """How arrays were read that are not as the suite writes them, for log and manifest."""
    labels = file.headers["y_train"]
    facts = {f"array {role}": array for role, array in spec.arrays.items()}
    facts |= {"channels": spec.channels or "", "scale": spec.scale or ""}
    facts["labels"] = "text" if is_text(labels) else "one-hot" if is_one_hot(labels) else ""
    facts = {fact: value for fact, value in facts.items() if value}
    return {"read_as": facts} if facts else {}


KIND = Kind(
    spec=Npz,
    form=form,
    counts=counts,
    read=read,
    unused=unused,
    source=translatable("a NumPy file"),
    licence=translatable("as of the images"),
    order=6,
)
