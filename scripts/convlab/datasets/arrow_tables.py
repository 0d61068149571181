"""Images and labels from Parquet and Arrow files, as Hugging Face and others store them; read with pyarrow.

A column of images holds image files (bytes, or a struct of ``bytes`` and ``path``) or numbers (lists, nested or flat).
The schema's metadata may say which column is which and name the classes: the key ``huggingface``, as written by
https://huggingface.co/docs/datasets/about_arrow. Nothing is unpickled; extension types are read as what they store.
"""

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from convlab.datasets.file_content import file_kind
from convlab.datasets.folder_listing import printable_name, refuse_outside
from convlab.datasets.image_rows import Options, decode_into
from convlab.datasets.label_classes import label_text, named_label
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LABEL_NAMES = ("label", "labels", "class")
"""Names of the column of labels, in any case, where neither the config nor the metadata name one."""

ROWS_AT_ONCE = 2048
"""Rows that are held in memory beside the images that were read."""

Form = tuple[int, int, int]
"""Height, width and channels of an image."""


@dataclass(frozen=True)
class Columns:
    """Where a table has its images and labels.

    Args:
        image: name of the column of images.
        encoded: whether it holds image files; numbers if not.
        label: name of the column of labels.
        names: names of the classes, if the metadata have them.
    """

    image: str
    encoded: bool
    label: str
    names: tuple[str, ...] | None


def pyarrow_is_installed() -> bool:
    """Whether files can be read here; jobs may run in another environment than the one that plans them."""
    return importlib.util.find_spec("pyarrow") is not None


def columns_of(file: Path, image: str | None, label: str | None, features: Mapping[str, Any], key: str) -> Columns:
    """The columns of images and labels of a file, from its schema.

    ``image`` and ``label`` are what the config names, ``features`` those of Hugging Face's metadata where they stand
    beside the file; the file's own count first. Raises UserError, which names the dataset's ``key``, where there is no
    such column or more than one.
    """
    schema = _schema(file, key)
    if twice := sorted(name for name, times in Counter(schema.names).items() if times > 1):
        raise _refusal(file, key, f"has two columns called {printable_name(twice[0])!r}; rename one")
    features = dict(features) | _features(schema)
    types = {name: _stored(schema.field(name).type) for name in schema.names}
    for told, what in ((image, "image"), (label, "label")):
        if told is not None and told not in types:
            raise _refusal(
                file, key, f"has no column {printable_name(told)!r}, only {_listed(types)}; correct {key}.{what}"
            )
    if image is None:
        of_type = [name for name in types if _type_of(features, name) == "Image"]
        images = of_type or [name for name, kind in types.items() if _may_be_images(kind)]
        if not images:
            raise _refusal(
                file,
                key,
                f"has no column of images, which are bytes, a struct with bytes, or lists of pixels; its columns are "
                f"{_listed(types)}",
            )
        image = _only(images, "images", "image", file, key)
    if not _may_be_images(types[image]):
        raise _refusal(file, key, f"column {printable_name(image)} holds {types[image]}, and no images")
    if label is None:
        of_type = [name for name in types if _type_of(features, name) == "ClassLabel"]
        labels = of_type or [name for name in types if name.lower() in LABEL_NAMES]
        if not labels:
            raise _refusal(file, key, f"has no column of labels, only {_listed(types)}; write {key}.label: its name")
        label = _only(labels, "labels", "label", file, key)
    if not _may_be_labels(types[label]):
        raise _refusal(file, key, f"column {printable_name(label)} holds {types[label]}; labels are numbers or text")
    names = features[label].get("names") if _type_of(features, label) == "ClassLabel" else None
    if names and not (isinstance(names, list) and all(isinstance(name, str | int) for name in names)):
        raise _refusal(
            file,
            key,
            f"has metadata whose names of the classes of {printable_name(label)} are no list of texts; mend them",
        )
    return Columns(image, not _is_list(types[image]), label, tuple(map(str, names)) if names else None)


def has_column(file: Path, name: str, key: str) -> bool:
    """Whether a file has a column of that name."""
    return name in _schema(file, key).names


def _only(names: Sequence[str], what: str, setting: str, file: Path, key: str) -> str:
    if len(names) > 1:
        raise _refusal(file, key, f"has {what} in {_listed(names)}; write {key}.{setting}: the one that is meant")
    return names[0]


def _features(schema: "pa.Schema") -> dict[str, Any]:
    """Hugging Face's features in the schema's metadata; empty without any."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return features if isinstance(features, dict) else {}
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}


def _type_of(features: Mapping[str, Any], column: str) -> str | None:
    feature = features.get(column)
    return feature.get("_type") if isinstance(feature, dict) else None


def _stored(kind: "pa.DataType") -> "pa.DataType":
    return getattr(kind, "storage_type", kind)


def _is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_binary(kind: "pa.DataType") -> bool:
    from pyarrow import types

    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def _may_be_images(kind: "pa.DataType") -> bool:
    from pyarrow import types

    if _is_binary(kind):
        return True
    if types.is_struct(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        return any(field.name == "bytes" and (_is_binary(field.type) or types.is_null(field.type)) for field in fields)
    while _is_list(kind):
        kind = kind.value_type
        if types.is_integer(kind) or types.is_floating(kind):
            return True
    return False


def _may_be_labels(kind: "pa.DataType") -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean, *texts))


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = list(names)[:8]
    return ", ".join(map(printable_name, shown)) + (", ..." if len(names) > 8 else "")


# ---------------------------------------------------------------------------------------------------------------------
# Files


def _refusal(file: Path, key: str, problem: str) -> UserError:
    return UserError(f"{key}.path: {printable_name(file.name)} {problem}")


def _damaged(file: Path, key: str, error: Exception) -> UserError:
    kind = file_kind(file)
    if kind in ("empty", "an HTML page") or (kind or "").startswith("a Git LFS pointer"):
        more = "; run git lfs pull" if "LFS" in kind else "; fetch it again"
        return _refusal(file, key, f"is {kind}{more}")
    first = printable_name(str(error).splitlines()[0] if str(error) else type(error).__name__)
    return _refusal(file, key, f"is damaged, or no {_format(file)} file ({first}); fetch or write it again")


def _format(file: Path) -> str:
    return "Arrow" if file.suffix.lower() == ".arrow" else "Parquet"


def _opened_arrow(file: Path) -> Any:
    """Reader of an Arrow file, in the form of a stream or of a file."""
    import pyarrow as pa

    with file.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.memory_map(str(file)))


def _schema(file: Path, key: str) -> "pa.Schema":
    from pyarrow import parquet

    try:
        if _format(file) == "Arrow":
            return _opened_arrow(file).schema
        return parquet.read_schema(file, memory_map=True)
    except Exception as error:  # pyarrow raises a dozen types for a damaged file
        raise _damaged(file, key, error) from None


def _tables(file: Path, columns: Sequence[str], key: str) -> Iterator["pa.RecordBatch"]:
    """Record batches of at most ROWS_AT_ONCE rows with some of the columns."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if _format(file) == "Parquet":
            with parquet.ParquetFile(file, memory_map=True, pre_buffer=False) as table:
                yield from table.iter_batches(ROWS_AT_ONCE, columns=list(columns))
            return
        reader = _opened_arrow(file)
        if hasattr(reader, "num_record_batches"):
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            batches = iter(reader)
        for batch in batches:
            chosen = batch.select(list(columns))
            yield from (chosen.slice(start, ROWS_AT_ONCE) for start in range(0, max(len(chosen), 1), ROWS_AT_ONCE))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, key, error) from None


def label_counts(files: Sequence[Path], columns: Columns, key: str) -> dict[str | None, int]:
    """How often each label occurs, as text or as the name of its class; None for missing ones.

    Raises UserError for labels outside of the classes.
    """
    counts: Counter[str | None] = Counter()
    for file in files:
        for batch in _tables(file, [columns.label], key):
            counts.update(_labels(batch.column(0), columns, file, key))
    return dict(counts)


def _labels(column: "pa.Array", columns: Columns, file: Path, key: str) -> list[str | None]:
    values = column.to_pylist()
    if columns.names is None:
        texts = {value: label_text(value) for value in set(values)}
    else:
        try:
            texts = {value: named_label(value, columns.names) for value in set(values)}
        except ValueError as error:
            raise _refusal(file, key, str(error)) from None
    return [texts.get(value) for value in values]  # NaN equals no key, and is missing


# ---------------------------------------------------------------------------------------------------------------------
# Images


def first_form(files: Sequence[Path], columns: Columns, options: Options, key: str) -> Form:
    """Height, width and channels of the first image, by its header or by the lengths of its lists."""
    from convlab.datasets.image_decoding import Unreadable, image_form

    for file in files:
        for batch in _tables(file, [columns.image], key):
            if not len(batch):
                continue
            column = batch.column(0).slice(0, 1)
            if not columns.encoded:
                return _numbers(column, options, file, key)[1]
            (data,) = _encoded(column, options.root, file, key, 0)
            try:
                return image_form(data)
            except Unreadable as error:
                raise _refusal(file, key, f"row 1: the image {error}; mend or remove it") from None
    raise _refusal(files[0], key, "has no rows; give a table with images")


def read_tables(
    files: Sequence[Path], columns: Columns, rows: int, form: Form, options: Options, key: str
) -> tuple["np.ndarray", list[str | None]]:
    """Images (rows, height, width, channels) as uint8 and labels as text, of all files of one split in their order.

    ``rows`` is their number together and ``form`` the shape of each image. Raises UserError, with file and row, for
    images that cannot be read or, unless the config tells a size or colour, differ from the first.
    """
    import numpy as np

    from convlab.datasets.pixel_values import refuse_black

    images, labels, filled = np.zeros((rows, *form), np.uint8), [], 0
    for file in files:
        before = filled
        for batch in _tables(file, [columns.image, columns.label], key):
            there = images[filled : filled + len(batch)]
            if len(there) != len(batch):
                raise _refusal(file, key, "has changed since it was checked; run again")
            first = filled - before
            if columns.encoded:
                data = _encoded(batch.column(0), options.root, file, key, first)
                decode_into(there, data, options, partial(_refuse_row, file, key, first), key)
            elif len(batch):
                values, shape = _numbers(batch.column(0), options, file, key)
                if shape != form:
                    raise _refusal(
                        file,
                        key,
                        f"has images of {'×'.join(map(str, shape))} and of {'×'.join(map(str, form))}; "
                        "lists of pixels are not resized, so give images of one size",
                    )
                there[:] = values
            labels += _labels(batch.column(1), columns, file, key)
            filled += len(batch)
    if filled != rows:
        raise _refusal(files[-1], key, "has changed since it was checked; run again")
    if not columns.encoded:
        refuse_black(int(images.max()), partial(_refuse_file, files[0], key), _WHOLE_NUMBERS)
    return images, labels


_WHOLE_NUMBERS = "save whole numbers from 0 to 255"
"""What to do about pixels from 0 to 1; tables of this kind have no scale in the config."""


def _refuse_file(file: Path, key: str, problem: str) -> NoReturn:
    raise _refusal(file, key, problem)


def _refuse_row(file: Path, key: str, first: int, index: int, problem: str) -> NoReturn:
    raise _refusal(file, key, f"row {first + index + 1:,}: {problem}")


def _encoded(column: "pa.Array", root: Path | None, file: Path, key: str, first: int) -> list[bytes]:
    """The image file of each row: its bytes, or what its path leads to."""
    from pyarrow import types

    column = getattr(column, "storage", column)
    if not types.is_struct(column.type):
        data, paths = column.to_pylist(), [None] * len(column)
    else:
        fields = {column.type.field(i).name: i for i in range(column.type.num_fields)}
        data = column.field(fields["bytes"]).to_pylist()
        paths = column.field(fields["path"]).to_pylist() if "path" in fields else [None] * len(column)
    for index, value in enumerate(data):
        if value is None:
            row, path = first + index + 1, paths[index]
            if not isinstance(path, str) or not path:
                raise _refusal(file, key, f"row {row:,} has no image; remove the row")
            if root is None:
                raise _refusal(
                    file,
                    key,
                    f"row {row:,} has the path {printable_name(path)} in place of an image; give the folder "
                    "that holds the table and the images as path",
                )
            data[index] = _linked(root, file.parent, path, row, file, key)
    return data


def _linked(root: Path, beside: Path, path: str, row: int, file: Path, key: str) -> bytes:
    """The content of an image that a table names by a path, inside ``root``."""
    for folder in (beside, root):
        there = folder / path
        if there.is_file():
            try:
                refuse_outside(root, there, f"{key}.path")
                return there.read_bytes()
            except (OSError, ValueError) as error:
                raise _refusal(file, key, f"row {row:,}: {printable_name(path)} cannot be read ({error})") from None
    raise _refusal(file, key, f"row {row:,}: there is no image {printable_name(path)}; add it, or correct the path")


def _numbers(column: "pa.Array", options: Options, file: Path, key: str) -> tuple["np.ndarray", Form]:
    """Images that are lists of numbers, as (n, height, width, channels) uint8, and their shape."""
    from pyarrow import compute

    from convlab.datasets.pixel_values import as_bytes, channels_last, flat_shape, stacked_shape

    def refuse(problem: str) -> NoReturn:
        raise _refusal(file, key, problem)

    shape, count = [], len(column)
    column = getattr(column, "storage", column)
    while _is_list(column.type):
        if column.null_count:
            refuse("has a row without an image; remove it")
        lengths = compute.unique(compute.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            refuse("has lists of pixels of different lengths; give images of one size")
        shape.append(lengths[0])
        column = column.flatten()
    if column.null_count:
        refuse("has pixels without a value; give every pixel one")
    values = as_bytes(column.to_numpy(zero_copy_only=False), "byte", refuse, _WHOLE_NUMBERS).reshape(count, *shape)
    if len(shape) == 1:
        form = flat_shape(shape[0], options.size, options.channels, refuse, f"{key}.image_size")
    elif len(shape) > 3:
        refuse(f"has images of {len(shape)} dimensions; images have two, or three with their channels")
    else:
        form = stacked_shape(shape, options.channels, refuse)
    if options.size not in (None, form[:2]):
        refuse(f"has images of {form[0]}×{form[1]}; lists of pixels are not resized, so correct {key}.image_size")
    return channels_last(values, form, options.channels), form
