"""The user's own arrays, in one ``.npz`` file; nothing is unpickled."""

import logging
from pathlib import Path

import numpy as np

from convlab.data import Dataset
from convlab.errors import UserError
from convlab.npz_headers import check_headers, count_classes, read_headers
from convlab.sources.splitting import hold_out
from convlab.specs import Npz

log = logging.getLogger(__name__)


def read_npz(name: str, spec: Npz, threads: int = 1) -> tuple[Dataset, list[dict[str, str]]]:
    """x_train, y_train and, or else split off, x_test, y_test: uint8 images NHW or NHWC, labels 0 to k - 1.

    Raises UserError where an array is missing, damaged, or something else.
    """
    key, path = f"datasets.{name}", Path(spec.path).expanduser()
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")  # all that can be told before reading 60,000 images
    if spec.input_shape not in (None, shape):
        raise UserError(f"{key}.input_shape is {list(spec.input_shape)}, but {path.name} has images of {list(shape)}")
    with_test = "x_test" in headers
    wanted = ("x_train", "y_train", "x_test", "y_test") if with_test else ("x_train", "y_train")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {array: archive[array] for array in wanted}
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{key}.path: {path} is damaged ({error}); write it again with numpy.savez") from None
    if unused := sorted(set(headers) - set(wanted)):
        log.warning("%s: not read: %s", path.name, ", ".join(unused))
    images = {array: np.ascontiguousarray(arrays[array].reshape(-1, *shape)) for array in wanted[::2]}
    labels = {array: arrays[array].reshape(-1) for array in wanted[1::2]}

    different = np.unique(labels["y_train"]).tolist()
    named = None if spec.classes is None else len(spec.classes)
    count = count_classes(different, named, path, f"{key}.path")
    if with_test and not set(np.unique(labels["y_test"]).tolist()) <= set(different):
        raise UserError(f"{key}.path: {path.name}: y_test has labels that y_train has not; they should be the same")
    labels = {array: values.astype(np.int64) for array, values in labels.items()}
    classes = spec.classes or tuple(map(str, range(count)))
    log.info("%s: %s with %s", name, path, ", ".join(f"{array} {arrays[array].shape}" for array in wanted))

    if with_test:
        return Dataset(images["x_train"], labels["y_train"], images["x_test"], labels["y_test"], classes), []
    x, y = images["x_train"], labels["y_train"]
    train, test = hold_out(y, classes, spec.test_fraction, spec.split_seed, key)
    log.info("%s: no test arrays; %d of %d images held out by seed %d", name, len(test), len(y), spec.split_seed)
    return Dataset(x[train], y[train], x[test], y[test], classes), []
