"""The user's own arrays, in one ``.npz`` file; nothing is unpickled."""

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from convlab.common.specs import Name, PositiveWhole, off_as_none
from convlab.datasets.folder_listing import ARRAY, Skipped, printable_name, summary
from convlab.datasets.npz_headers import (
    CLASS_NAMES,
    check_class_names,
    check_headers,
    check_labels,
    check_shape,
    count_labels,
    has_class_names,
    read_headers,
    unused_arrays,
)  # fmt: skip
from convlab.datasets.own_images import check_counts
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import OwnImages
from convlab.errors import UserError

log = logging.getLogger(__name__)


class Npz(OwnImages):
    """A NumPy file with x_train, y_train and, if there, x_test, y_test."""

    kind: Literal["npz"]
    classes: Annotated[Annotated[tuple[Name, ...], Field(min_length=2)] | None, BeforeValidator(off_as_none)] = Field(
        None, description="Names of the classes, in the order of the labels; 0, 1, ... when absent."
    )
    input_shape: Annotated[tuple[PositiveWhole, PositiveWhole, PositiveWhole] | None, BeforeValidator(off_as_none)] = (
        Field(None, description="[height, width, channels]; read from the file when absent.")
    )


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
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")
    check_shape(spec.input_shape, shape, path, f"{key}.input_shape")
    named = None if spec.classes is None else len(spec.classes)
    labels = {
        array: count_labels(path, array, headers[array], f"{key}.path")
        for array in ("y_train", "y_test")
        if array in headers
    }
    count = check_labels(labels["y_train"], labels.get("y_test"), named, path, f"{key}.path")
    if spec.classes is None:
        check_class_names(headers, count, path, f"{key}.path")
    names = spec.classes or tuple(map(str, range(count)))
    counts = {names[label]: images for label, images in labels["y_train"].items()}
    check_counts(key, counts, None if "y_test" in labels else spec.test_fraction)
    return spec.input_shape or shape, count


def counts(spec: Npz) -> Counts | None:
    """Exact numbers, from the arrays' headers."""
    headers = read_headers(Path(spec.path).expanduser(), "datasets")
    shapes = {array: headers[array].shape for array in ("x_train", "x_test") if array in headers}
    if "x_train" not in shapes or () in shapes.values():
        return None
    parts = {array: Count(shape[0], shape[0]) for array, shape in shapes.items()}
    return parts["x_train"], parts.get("x_test")


def unused(name: str, spec: Npz) -> list[str]:
    """Each array that would not be read, with its shape and type."""
    headers = read_headers(Path(spec.path).expanduser(), f"datasets.{name}")
    arrays = unused_arrays(headers, spec.classes is None and has_class_names(headers))
    return [f"array {array} {detail}" for array, detail in arrays.items()]


def read(name: str, spec: Npz, threads: int) -> Reading:
    """x_train, y_train and, or else split off, x_test, y_test: uint8 images NHW or NHWC, labels 0 to k - 1; and
    ``classes``, their names, unless the config has them.

    Raises UserError where an array is missing, damaged, or something else.
    """
    import numpy as np

    from convlab.datasets.prepared import Dataset
    from convlab.datasets.splitting import stratified_split

    key, path = f"datasets.{name}", Path(spec.path).expanduser()
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")  # before reading 60,000 images
    check_shape(spec.input_shape, shape, path, f"{key}.input_shape")
    with_test = "x_test" in headers
    wanted = ("x_train", "y_train", "x_test", "y_test") if with_test else ("x_train", "y_train")
    copies = 1 if with_test else 2  # while they are divided
    images = copies * sum(headers[array].shape[0] for array in wanted[::2])
    check_memory(images, shape, f"{key}.path", "give fewer or smaller images")
    named = spec.classes is None and has_class_names(headers)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {array: archive[array] for array in wanted}
            names = archive[CLASS_NAMES].tolist() if named else None
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{key}.path: {path} is damaged ({error}); write it again with numpy.savez") from None
    images = {array: np.ascontiguousarray(arrays[array].reshape(-1, *shape)) for array in wanted[::2]}
    labels = {array: arrays[array].reshape(-1) for array in wanted[1::2]}

    counts = {
        array: dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))
        for array, values in labels.items()
    }
    configured = None if spec.classes is None else len(spec.classes)
    count = check_labels(counts["y_train"], counts.get("y_test"), configured, path, f"{key}.path")
    labels = {array: values.astype(np.int64) for array, values in labels.items()}
    if named:
        check_class_names(headers, count, path, f"{key}.path")
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice or not all(map(str.strip, names)):
            wrong = f"the name {printable_name(twice[0])!r} twice" if twice else "an empty name"
            raise UserError(f"{key}.path: {path.name}: classes has {wrong}; give each class a name of its own")
    classes = spec.classes or tuple(map(printable_name, names or map(str, range(count))))
    skipped = [Skipped(array, ARRAY, detail=detail) for array, detail in unused_arrays(headers, named).items()]
    for array in skipped:
        log.warning("datasets.%s: not used: array %s %s", name, array.file, array.detail)
    log.info("%s: %s with %s", name, path, ", ".join(f"{array} {arrays[array].shape}" for array in wanted))

    if with_test:
        dataset = Dataset(images["x_train"], labels["y_train"], images["x_test"], labels["y_test"], classes)
        return Reading(dataset, summary(skipped))
    x, y = images["x_train"], labels["y_train"]
    train, test = stratified_split(y, classes, spec.test_fraction, spec.split_seed, key)
    log.info("%s: no test arrays; %d of %d images held out by seed %d", name, len(test), len(y), spec.split_seed)
    origin = {"from": "seed", "seed": spec.split_seed, "fraction": spec.test_fraction}
    return Reading(Dataset(x[train], y[train], x[test], y[test], classes), summary(skipped), origin)


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
