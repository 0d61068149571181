"""The translation probe: predictions for test images that are shifted by whole pixels. Arrays in, rows out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

COLUMNS = ["axis", "shift", "accuracy", "consistency"]
"""One row per axis and shift; ``shift`` in pixels, to the right or down; ``consistency`` is the share of images whose
prediction is that of the unshifted image."""


def shifted(images: np.ndarray, down: int, right: int, fill: str = "black") -> np.ndarray:
    """Images (n, height, width, channels) moved by whole pixels.

    Args:
        fill: what enters: ``black`` (0), ``edge`` (the nearest pixel), or ``wrap`` (what has left on the other side).
    """
    if fill == "wrap":
        return np.roll(images, (down, right), axis=(1, 2))
    if fill == "edge":
        rows, columns = (
            np.clip(np.arange(side) - by, 0, side - 1)
            for side, by in zip(images.shape[1:3], (down, right), strict=True)
        )
        return images[:, rows][:, :, columns]
    result = np.zeros_like(images)
    height, width = images.shape[1:3]
    rows, columns = max(height - abs(down), 0), max(width - abs(right), 0)
    from_row, from_column = max(-down, 0), max(-right, 0)
    to_row, to_column = max(down, 0), max(right, 0)
    result[:, to_row : to_row + rows, to_column : to_column + columns] = images[
        :, from_row : from_row + rows, from_column : from_column + columns
    ]
    return result


def measure(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> list[dict]:
    """Accuracy and consistency of one run for shifts of up to ``shift`` pixels in both directions along each axis.

    Args:
        predict: images -> probabilities (n, classes).
        images: uint8 (n, height, width, channels); labels: (n,).
        settings: ``shift``, the farthest, and ``fill``.

    Returns:
        Rows with axis (``horizontal``, ``vertical``), shift, accuracy, consistency; shift 0 once per axis.
    """
    farthest = settings["shift"]
    unmoved = predict(images).argmax(axis=1)
    rows = []
    for axis in ("horizontal", "vertical"):
        for shift in range(-farthest, farthest + 1):
            down, right = (shift, 0) if axis == "vertical" else (0, shift)
            moved = shifted(images, down, right, settings["fill"])
            predicted = unmoved if shift == 0 else predict(moved).argmax(axis=1)
            rows.append(
                {
                    "axis": axis,
                    "shift": shift,
                    "accuracy": float(np.mean(predicted == labels)),
                    "consistency": float(np.mean(predicted == unmoved)),
                }
            )
    return rows
