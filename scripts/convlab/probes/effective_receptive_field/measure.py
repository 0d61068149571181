"""The effective receptive field of trained and untrained networks (Luo et al.: Understanding the Effective Receptive
Field in Deep Convolutional Neural Networks, NeurIPS 2016).

The channels of a central unit of the last feature map are summed, and the absolute gradient of that sum with respect to
the pixels is averaged over test images: how much the unit moves with each pixel. Absolute values, so that a share of
the field is a share of what all pixels could move; squared ones would count the centre twice over. The receptive field
of the closed form is where the gradient may be other than zero; most of it usually lies far inside of it.

A map with an even number of rows or columns has two or four central units. Each has its own field, and sides are
averaged over them; the stored field is that of the first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlab.evaluation import layers
from convlab.evaluation.gradients import gradient
from convlab.evaluation.networks import Network
from convlab.runtime.keras_runtime import keras

COLUMNS = ["network", "share", "side", "units"]
"""Rows for ``trained`` and ``untrained`` and each of SHARES; ``side`` in pixels, mean over the central ``units``."""

SHARES = (0.5, 0.9, 0.99, 1.0)
"""Shares of the gradient; 1 is all of it, the pixels on which the unit depends at all on any of the images."""

BATCH_SIZE = 64
"""Images that are differentiated at once."""


def inspect(
    networks: Sequence[Network], images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Fields of every run of a variant and of an untrained network for each.

    Args:
        networks: the finished runs.
        images: uint8 (n, height, width, channels); labels: (n,).
        settings: ``images``, how many to average over.

    Returns:
        Rows of COLUMNS with the seed, and the fields, mean over the runs: ``trained`` and ``untrained``, float32
        (height, width) with sum 1. Neither for networks without a feature map, such as dense ones.
    """
    chosen = networks[0].arranged(images[evenly_spaced(len(images), settings["images"])])
    rows, fields = [], {"trained": [], "untrained": []}
    for network in networks:
        if layers.last_feature_map(network.model) is None:
            return [], {}
        untrained = network.untrained()
        for name, model in (("trained", network.in_float32), ("untrained", untrained)):
            of_units = fields_of_central_units(model, chosen)
            rows += [{"seed": network.seed, "network": name, **row} for row in sides(of_units)]
            fields[name].append(normalised(of_units[0]))
    return rows, {name: np.mean(of_runs, axis=0, dtype=np.float32) for name, of_runs in fields.items()}


def evenly_spaced(total: int, count: int) -> np.ndarray:
    """Indices of ``count`` of ``total`` images, from the first to the last; all where there are no more."""
    return np.linspace(0, total - 1, min(count, total)).astype(int)


def central(size: int) -> list[int]:
    """The middle one of ``size`` positions, or the two in the middle of an even number."""
    return sorted({(size - 1) // 2, size // 2})


def fields_of_central_units(model, images: np.ndarray) -> np.ndarray:
    """Mean absolute gradient of each central unit of the last feature map, summed over its channels.

    Args:
        model: from float32 pixels.
        images: (n, height, width, channels).

    Returns:
        float64 (units, height, width), summed over the channels of the pixels.
    """
    last = layers.last_feature_map(model)
    to_map = layers.outputs(model, [last])
    units = [(row, column) for row in central(last.shape[1]) for column in central(last.shape[2])]
    masks = np.zeros((len(units), 1, *last.shape[1:3], 1), np.float32)
    for mask, (row, column) in zip(masks, units, strict=True):
        mask[0, row, column, 0] = 1
    fields = np.zeros((len(units), *images.shape[1:3]))
    for start in range(0, len(images), BATCH_SIZE // len(units)):
        batch = images[start : start + BATCH_SIZE // len(units)]
        weights = np.repeat(masks, len(batch), axis=1).reshape(-1, *masks.shape[2:])

        def total(pixels, weights=weights):
            return keras.ops.sum(keras.ops.multiply(to_map(pixels, training=False), weights))

        slopes = np.abs(gradient(total, np.concatenate([batch] * len(units)))).sum(axis=-1, dtype=np.float64)
        fields += slopes.reshape(len(units), len(batch), *images.shape[1:3]).sum(axis=1)
    return fields / len(images)


def normalised(field: np.ndarray) -> np.ndarray:
    """A field whose sum is 1; one without any gradient stays zero."""
    total = field.sum()
    return field / total if total else field


def sides(of_units: np.ndarray) -> list[dict]:
    """Rows with ``share``, ``side`` and ``units`` of the fields (units, height, width) of one network."""
    return [
        {"share": share, "side": float(np.mean([side(field, share) for field in of_units])), "units": len(of_units)}
        for share in SHARES
    ]


def side(field: np.ndarray, share: float) -> float:
    """Side in pixels of the smallest square, wherever it lies, that holds a share of a field (height, width).

    Between whole pixels the share is taken as linear, so that small changes show. NaN for a field without any gradient.
    """
    held = largest_shares(field)
    if np.isnan(held[-1]):
        return float("nan")
    held[held > 1 - 1e-12] = 1  # rounding of the sums must not ask for a larger square
    last = int(np.argmax(held >= share))
    before, after = held[last - 1], held[last]
    return float(last - 1 + (share - before) / (after - before))


def largest_shares(field: np.ndarray) -> np.ndarray:
    """For each side from 0 to that of the image the largest share of a field that a square of that side holds.

    A square reaches to the edges of an image that is narrower than it. Shape (longer side + 1,); NaN without gradient.
    """
    height, width = field.shape
    summed = np.zeros((height + 1, width + 1))
    summed[1:, 1:] = normalised(field).cumsum(axis=0).cumsum(axis=1)
    shares = [0.0]
    for square in range(1, max(height, width) + 1):
        high, wide = min(square, height), min(square, width)
        inside = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
        shares.append(float(inside.max()))
    return np.array(shares) if summed[-1, -1] else np.full(len(shares), np.nan)
