"""The user's own arrays, in one ``.npz`` file; nothing is unpickled."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from convlab.datasets.folder_listing import ARRAY, Skipped, shown, summary
from convlab.datasets.npz_headers import (
    CLASS_NAMES,
    check_class_names,
    check_headers,
    check_labels,
    check_shape,
    has_class_names,
    read_headers,
    unused_arrays,
)  # fmt: skip
from convlab.datasets.prepared import Dataset
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.specs import Npz
from convlab.datasets.splitting import hold_out
from convlab.errors import UserError

log = logging.getLogger(__name__)


def read_npz(name: str, spec: Npz, threads: int = 1) -> Reading:
    """x_train, y_train and, or else split off, x_test, y_test: uint8 images NHW or NHWC, labels 0 to k - 1; and
    ``classes``, their names, unless the config has them.

    Raises UserError where an array is missing, damaged, or something else.
    """
    key, path = f"datasets.{name}", Path(spec.path).expanduser()
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")  # all that can be told before reading 60,000 images
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
            wrong = f"the name {shown(twice[0])!r} twice" if twice else "an empty name"
            raise UserError(f"{key}.path: {path.name}: classes has {wrong}; give each class a name of its own")
    classes = spec.classes or tuple(map(shown, names or map(str, range(count))))
    skipped = [Skipped(array, ARRAY, detail=detail) for array, detail in unused_arrays(headers, named).items()]
    for one in skipped:
        log.warning("datasets.%s: not used: array %s %s", name, one.file, one.detail)
    log.info("%s: %s with %s", name, path, ", ".join(f"{array} {arrays[array].shape}" for array in wanted))

    if with_test:
        dataset = Dataset(images["x_train"], labels["y_train"], images["x_test"], labels["y_test"], classes)
        return Reading(dataset, summary(skipped))
    x, y = images["x_train"], labels["y_train"]
    train, test = hold_out(y, classes, spec.test_fraction, spec.split_seed, key)
    log.info("%s: no test arrays; %d of %d images held out by seed %d", name, len(test), len(y), spec.split_seed)
    origin = {"from": "seed", "seed": spec.split_seed, "fraction": spec.test_fraction}
    return Reading(Dataset(x[train], y[train], x[test], y[test], classes), summary(skipped), origin)
