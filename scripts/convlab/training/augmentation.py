"""Data augmentation of training batches: rotation, crop, cutout, mixup.

They belong to the input pipeline, so that no layer of them is in the model; ``flip`` and ``shift`` are layers of
``training/network.py``. Written with ``keras.ops``, they are the same for each backend and are computed where its
images lie. All random numbers follow from the run's seed and the step (``training/draws.py``), so that a resumed run
draws what it would have drawn.
"""

from collections.abc import Mapping
from typing import Any

from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import Augmentation

ops = keras.ops


def augmented(images, others: list, augmentation: Augmentation, drawn: Mapping[str, Any]) -> tuple:
    """A batch with its images changed at random, in this order: rotation, crop, cutout, mixup.

    Args:
        images: uint8 (n, height, width, channels).
        others: labels or labels and weights (n,); for mixup the labels are shares of the classes, float32 (n, classes).
        drawn: random numbers of the batch, from :func:`convlab.training.draws.drawn`.
    """
    if augmentation.rotation:
        images = rotated(images, drawn["rotation"])
    if augmentation.crop:
        images = cropped(images, augmentation.crop, drawn["crop"])
    if augmentation.cutout:
        images = cut_out(images, augmentation.cutout, drawn["cutout"])
    if augmentation.mixup:
        shares = drawn["mixup"]
        images = as_bytes(mixed(ops.cast(images, "float32"), shares))
        others = [mixed(other, shares) for other in others]
    return (images, *others)


def as_bytes(images):
    """Images in bytes, rounded."""
    return ops.cast(ops.round(ops.clip(images, 0, 255)), "uint8")


def rotated(images, angles):
    """Images turned about their centre by ``angles`` (n,), radians; bilinear, zeros fill the corners."""
    height, width = (float(side - 1) for side in images.shape[1:3])
    cosine, sine = ops.cos(angles), ops.sin(angles)
    zero = ops.zeros_like(angles)
    left = (width - (cosine * width - sine * height)) / 2
    top = (height - (sine * width + cosine * height)) / 2
    turned = ops.image.affine_transform(
        ops.cast(images, "float32"),
        ops.stack([cosine, -sine, left, sine, cosine, top, zero, zero], axis=1),
        interpolation="bilinear",
        fill_mode="constant",
        fill_value=0.0,
        data_format="channels_last",
    )
    return as_bytes(turned)


def cropped(images, border: int, corners):
    """Images padded by ``border`` mirrored pixels, from which windows of the images' size are cut.

    Args:
        corners: row and column of each window in the padded image, int32 (n, 2), from 0 to 2 ``border``.
    """
    _, height, width, channels = images.shape
    rows, columns = (
        _mirrored(corners[:, axis, None] - border + ops.arange(length, dtype="int32"), length)
        for axis, length in enumerate((height, width))
    )
    first = ops.arange(ops.shape(images)[0], dtype="int32") * (height * width)
    pixels = first[:, None, None] + rows[:, :, None] * width + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), pixels, axis=0)


def _mirrored(positions, length: int):
    """Positions in an image of ``length`` pixels; those outside are mirrored at its first or last pixel."""
    return (length - 1) - ops.abs((length - 1) - ops.abs(positions))


def cut_out(images, side: int, centres):
    """Images with a square of ``side`` pixels set to 0 (DeVries and Taylor 2017), which may reach over the border.

    Args:
        centres: row and column of each square's centre, int32 (n, 2).
    """
    inside = []
    for axis in (0, 1):
        start = centres[:, axis, None] - side // 2
        positions = ops.arange(images.shape[axis + 1], dtype="int32")
        inside.append((positions >= start) & (positions < start + side))
    square = inside[0][:, :, None] & inside[1][:, None, :]
    return ops.where(square[..., None], ops.zeros_like(images), images)


def mixed(values, shares):
    """Each entry of a batch blended with the one before it (Zhang et al. 2018): the order of a batch is random.

    Args:
        values: float32 (n, ...).
        shares: (n,) share of the entry itself.
    """
    shares = ops.reshape(shares, [-1, *[1] * (len(values.shape) - 1)])
    return shares * values + (1 - shares) * ops.roll(values, 1, axis=0)
