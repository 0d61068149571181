"""Stratified train/test split, for data without test images."""

from collections.abc import Sequence

import numpy as np

from convlab.datasets.prepared import split
from convlab.errors import UserError


def stratified_split(
    labels: np.ndarray, classes: Sequence[str], fraction: float, seed: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of training and of test images: ``fraction`` of every class, drawn by ``seed``.

    Every class has images on both sides. Raises UserError, which names the data set's ``key``, where one cannot.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        raise UserError(
            f"{key} has {counts.min()} image of class {classes[counts.argmin()]!r}, too few to train on and to test "
            "with; add images, remove the class, or bring test images"
        )
    return split(labels, fraction, seed)
