"""Labels as indices and the split of images that were read from a user's own tables, up to what `prepare` writes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlab.datasets.folder_listing import Skipped, summary
from convlab.datasets.prepared import Dataset
from convlab.datasets.reading import Reading
from convlab.datasets.splitting import stratified_split

log = logging.getLogger(__name__)

Part = tuple[np.ndarray, np.ndarray]
"""Images (n, height, width, channels) and labels (n,) of one split."""


def indices_of(labels: Sequence[str | None], values: Sequence[str]) -> np.ndarray:
    """Index of each label among all ``values``."""
    index = {value: number for number, value in enumerate(values)}
    return np.array([index[label] for label in labels], np.int64)


def divided(
    name: str,
    spec: Any,
    parts: Mapping[str, Part],
    classes: Sequence[str],
    skipped: Sequence[Skipped] = (),
    notes: Mapping[str, Any] | None = None,
) -> Reading:
    """Training, validation and test images as they were given; without test images a share of every class is held out.

    ``skipped`` is what was not used; ``notes`` are further facts for the manifest. Raises UserError where a class is
    too small for that.
    """
    for file in skipped:
        log.warning(
            "datasets.%s: not used: %s (%s)%s", name, file.file, file.reason, file.detail and f": {file.detail}"
        )
    x, y = parts["train"]
    origin: dict[str, Any] = {"from": "data"}
    if "test" in parts:
        x_test, y_test = parts["test"]
    else:
        train, test = stratified_split(y, classes, spec.test_fraction, spec.split_seed, f"datasets.{name}")
        log.info("%s: no test images; %d of %d images held out by seed %d", name, len(test), len(y), spec.split_seed)
        origin = {"from": "seed", "seed": spec.split_seed, "fraction": spec.test_fraction}
        x_test, y_test, x, y = x[test], y[test], x[train], y[train]
    dataset = Dataset(x, y, x_test, y_test, tuple(classes), *parts.get("validation", (None, None)))
    return Reading(dataset, summary(skipped), origin, notes or {})
