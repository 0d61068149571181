"""Filters and feature maps of every convolution of a trained model, and measures of them.

Measures of a convolution, over all positions of the feature maps of some images:

``dead_filters``
    Share of the filters whose output is zero everywhere ("dead ReLUs": Lu et al., 2020).
``zero_outputs``
    Share of the outputs that are zero (average percentage of zeros, APoZ: Hu et al., 2016).
``smoothness``
    Correlation of neighbouring weights of a filter, about zero: 0 for independent weights, 1 for a constant filter
    (Moran's I without subtracting the mean); mean over the filters. Not defined for 1×1 kernels.
``effective_maps``
    Number of feature maps that vary independently: the participation ratio tr(C)² / tr(C²) of the covariance C of the
    filters' outputs, from 1 to their number (Recanatesi et al., 2019).

The first two are defined where the activation clips at zero, as ReLU does: where the smallest output is exactly zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convlab.evaluation import layers
from convlab.evaluation.records import Convolution
from convlab.runtime.keras_runtime import keras

MAX_CONVOLUTIONS = 64
"""Convolutions of a model whose filters and feature maps are stored, the first ones; all are measured."""

MAX_FILTERS = 32
"""Stored filters of a convolution, the first ones."""

MAX_MAPS = 12
"""Stored feature maps of an image and convolution, those of the first filters."""

MAX_MAP_PIXELS = 64
"""Stored height and width of a feature map; larger ones are reduced to means of blocks."""

BATCH_BYTES = 2**25
"""Memory for the feature maps of all convolutions that are held at the same time."""


def convolution_features(model, images: np.ndarray) -> list[Convolution]:
    """Filters of the model's convolutions, and their feature maps on uint8 images (n, height, width, channels)."""
    convolutions = layers.convolutions(model)[:MAX_CONVOLUTIONS]
    if not convolutions or not len(images):
        return []
    forward = _forward(model, convolutions)
    return [
        _features(layer, maps, is_first=number == 0)
        for number, (layer, maps) in enumerate(zip(convolutions, forward(images), strict=True))
    ]


def _features(layer, maps: np.ndarray, is_first: bool) -> Convolution:
    """What is stored of a convolution with these feature maps (n, height, width, filters)."""
    kernels = filters(layer)
    channels = kernels.shape[2]
    is_norm = channels > 1 and not (is_first and channels == 3)
    if is_norm:
        kernels = np.sqrt((kernels**2).sum(axis=2, keepdims=True))
    shown = _reduced(maps[..., :MAX_MAPS])
    low, high = min(float(shown.min()), 0.0), max(float(shown.max()), 0.0)
    scaled = np.rint(255 * (shown - low) / ((high - low) or 1.0)).astype(np.uint8)
    return Convolution(
        layer.name,
        kernels.shape[-1],
        np.moveaxis(kernels[..., :MAX_FILTERS], -1, 0),
        is_norm,
        np.moveaxis(scaled, -1, 1),
    )


def convolution_measures(model, images: np.ndarray) -> list[dict[str, Any]]:
    """The measures of every convolution on uint8 images (n, height, width, channels), by layer; NaN is not defined."""
    convolutions = layers.convolutions(model)
    if not convolutions or not len(images):
        return []
    sizes = [layers.activated_output(model, layer).shape[1:] for layer in convolutions]
    bytes_per_image = sum(4 * math.prod(side or 1 for side in size) for size in sizes)
    batch = int(np.clip(BATCH_BYTES // bytes_per_image, 1, len(images)))
    collected = [Outputs(size[-1]) for size in sizes]
    forward = _forward(model, convolutions)
    for start in range(0, len(images), batch):
        for outputs, maps in zip(collected, forward(images[start : start + batch]), strict=True):
            outputs.add(maps)
    return [
        {
            "layer": layer.name,
            "filters": outputs.filters,
            "smoothness": smoothness(filters(layer)),
            **outputs.measures(),
        }
        for layer, outputs in zip(convolutions, collected, strict=True)
    ]


class Outputs:
    """Outputs of a convolution, summed batch by batch to what its measures need."""

    def __init__(self, filters: int):
        self.filters = filters
        self._active = np.zeros(filters, bool)
        self._zeros = self._count = 0
        self._smallest = math.inf
        self._sums, self._products = np.zeros(filters), np.zeros((filters, filters))
        self._origin: np.ndarray | None = None

    def add(self, maps: np.ndarray) -> None:
        """Add feature maps, float32 (n, height, width, filters)."""
        values = maps.reshape(-1, self.filters)
        self._active |= (values != 0).any(axis=0)
        self._zeros += int((values == 0).sum())
        self._count += len(values)
        self._smallest = min(self._smallest, float(values.min()))
        if self._origin is None:  # so that a large mean does not drown the variance in float32
            self._origin = values.mean(axis=0)
        values = values - self._origin
        self._sums += values.sum(axis=0, dtype=np.float64)
        self._products += values.T @ values

    def measures(self) -> dict[str, float]:
        """``dead_filters``, ``zero_outputs`` and ``effective_maps`` of all that was added."""
        clips = self._smallest == 0
        covariance = self._products - np.outer(self._sums, self._sums) / self._count
        spread = float((covariance**2).sum())
        varies = math.isfinite(spread) and spread > 0
        return {
            "dead_filters": float(1 - self._active.mean()) if clips else math.nan,
            "zero_outputs": self._zeros / (self._count * self.filters) if clips else math.nan,
            "effective_maps": float(np.trace(covariance) ** 2 / spread) if varies else math.nan,
        }


def smoothness(kernels: np.ndarray) -> float:
    """Correlation of neighbouring weights about zero, mean over the filters of kernels (height, width, channels,
    filters); filters of zeros are left out, NaN without any other or without neighbours."""
    pairs = kernels[:-1, :, :, :] * kernels[1:, :, :, :], kernels[:, :-1, :, :] * kernels[:, 1:, :, :]
    count = sum(products[..., 0].size for products in pairs)
    energy = (kernels**2).mean(axis=(0, 1, 2))
    if not count or not (energy > 0).any():
        return math.nan
    together = sum(products.sum(axis=(0, 1, 2)) for products in pairs) / count
    return float((together[energy > 0] / energy[energy > 0]).mean())


def filters(layer) -> np.ndarray:
    """Kernels of a convolution layer, float32 (height, width, channels, filters).

    Those of a separable convolution are the products of its two kernels, which is what it computes; a depthwise one has
    filters of one channel.
    """
    if isinstance(layer, keras.layers.SeparableConv2D):
        depthwise, pointwise = _array(layer.depthwise_kernel), _array(layer.pointwise_kernel)[0, 0]
        return np.einsum("hwcm,cmf->hwcf", depthwise, pointwise.reshape(*depthwise.shape[2:], -1))
    kernels = _array(layer.kernel)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernels.reshape(*kernels.shape[:2], 1, -1)
    return kernels


def feature_maps(model, layer, images: np.ndarray) -> np.ndarray:
    """Output of a convolution of the model on images, (n, height, width, filters), as ``layers.activated_output``."""
    (maps,) = _forward(model, [layer])(images)
    return maps


def _forward(model, convolutions: Sequence) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function from images to the activated outputs of these convolutions, float32 (n, height, width, filters)."""
    forward = layers.outputs(model, [layers.activated_output(model, layer) for layer in convolutions])

    def maps(images: np.ndarray) -> list[np.ndarray]:
        computed = forward(images, training=False)
        return [_array(values) for values in (computed if len(convolutions) > 1 else [computed])]

    return maps


def _reduced(maps: np.ndarray) -> np.ndarray:
    """Maps (n, height, width, filters) of at most ``MAX_MAP_PIXELS`` rows and columns, by means over blocks."""
    factor = math.ceil(max(maps.shape[1:3]) / MAX_MAP_PIXELS)
    if factor == 1:
        return maps
    n, height, width, count = maps.shape
    rows, columns = max(height // factor, 1), max(width // factor, 1)
    across, down = min(factor, width), min(factor, height)
    blocks = maps[:, : rows * down, : columns * across].reshape(n, rows, down, columns, across, count)
    return blocks.mean(axis=(2, 4))


def _array(tensor) -> np.ndarray:
    """Any backend's tensor or variable as float32."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)
