"""Data augmentation of training batches: crop, rotation, cutout, mixup.

They belong to the input pipeline, so that they are the same with each backend and no layer of them is in the model;
``flip`` and ``shift`` are layers of ``training/network.py``. All random numbers follow from the run's seed and the
step, by TensorFlow's stateless generators, so that a resumed run draws what it would have drawn.
"""

import math
import zlib

from convlab.runtime.keras_runtime import tf
from convlab.training.recipe import Augmentation


class Draws:
    """Random numbers of one batch, an independent stream for each purpose.

    Args:
        seed: of the run's stream for augmentation.
        step: the batch's number in the run, from 0, an integer tensor.
        count: images in the batch.
    """

    def __init__(self, seed: int, step, count) -> None:
        self.seed, self.step, self.count = seed, tf.cast(step, tf.int64), count

    def _key(self, purpose: str):
        return tf.stack([tf.constant(self.seed + (zlib.crc32(purpose.encode()) << 30), tf.int64), self.step])

    def whole(self, purpose: str, columns: int, below: int):
        """Whole numbers from 0 to ``below`` - 1, int32 (count, columns)."""
        return tf.random.stateless_uniform((self.count, columns), self._key(purpose), 0, below, tf.int32)

    def uniform(self, purpose: str, most: float):
        """Numbers from -``most`` to ``most``, float32 (count,)."""
        return tf.random.stateless_uniform((self.count,), self._key(purpose), -most, most)

    def beta(self, purpose: str, alpha: float):
        """Numbers of Beta(alpha, alpha), float32 (count,): the share of one of two gamma variates in their sum.

        A variate of Gamma(alpha) is one of Gamma(alpha + 1) times U^(1 / alpha) (Marsaglia and Tsang 2000); the
        logarithms do not underflow where alpha is small.
        """
        gamma = tf.random.stateless_gamma((self.count, 2), self._key(purpose), alpha + 1.0, dtype=tf.float64)
        uniform = tf.random.stateless_uniform((self.count, 2), self._key(f"{purpose} U"), dtype=tf.float64)
        logarithms = tf.math.log(gamma) + tf.math.log(1 - uniform) / alpha
        return tf.cast(tf.sigmoid(logarithms[:, 0] - logarithms[:, 1]), tf.float32)


def augmented(batches, augmentation: Augmentation, seed: int, first_step: int):
    """Batches with their images changed at random, in this order: rotation, crop, cutout, mixup.

    Args:
        batches: a ``tf.data.Dataset`` of (images, labels) or (images, labels, weights): images uint8 (n, height, width,
            channels), weights (n,); for mixup the labels are shares of the classes, float32 (n, classes).
        first_step: the number of the first batch in the run.
    """

    def change(step, batch):
        images, *others = batch
        draws = Draws(seed, step, tf.shape(images)[0])
        if augmentation.rotation:
            images = rotated(images, draws.uniform("rotation", math.radians(augmentation.rotation)))
        if augmentation.crop:
            images = cropped(images, augmentation.crop, draws.whole("crop", 2, 2 * augmentation.crop + 1))
        if augmentation.cutout:
            height, width = images.shape[1:3]
            rows, columns = (
                draws.whole(f"cutout {side}", 1, side_length)
                for side, side_length in (("height", height), ("width", width))
            )
            images = cut_out(images, augmentation.cutout, tf.concat([rows, columns], axis=1))
        if augmentation.mixup:
            shares = draws.beta("mixup", augmentation.mixup)
            images = as_bytes(mixed(tf.cast(images, tf.float32), shares))
            others = [mixed(other, shares) for other in others]
        return (images, *others)

    return batches.enumerate(first_step).map(change)


def as_bytes(images):
    """Images in bytes, rounded."""
    return tf.cast(tf.round(tf.clip_by_value(images, 0, 255)), tf.uint8)


def rotated(images, angles):
    """Images turned about their centre by ``angles`` (n,), radians; bilinear, zeros fill the corners."""
    height, width = (float(side - 1) for side in images.shape[1:3])
    cosine, sine = tf.cos(angles), tf.sin(angles)
    zero = tf.zeros_like(angles)
    left = (width - (cosine * width - sine * height)) / 2
    top = (height - (sine * width + cosine * height)) / 2
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([cosine, -sine, left, sine, cosine, top, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return as_bytes(turned)


def cropped(images, border: int, corners):
    """Images padded by ``border`` mirrored pixels, from which windows of the images' size are cut.

    Args:
        corners: row and column of each window in the padded image, int32 (n, 2), from 0 to 2 ``border``.
    """
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [border, border], [border, border], [0, 0]], "REFLECT")
    for axis, length in ((1, height), (2, width)):
        window = corners[:, axis - 1, None] + tf.range(length)
        padded = tf.gather(padded, window, axis=axis, batch_dims=1)
    return padded


def cut_out(images, side: int, centres):
    """Images with a square of ``side`` pixels set to 0 (DeVries and Taylor 2017), which may reach over the border.

    Args:
        centres: row and column of each square's centre, int32 (n, 2).
    """
    inside = []
    for axis in (0, 1):
        start = centres[:, axis, None] - side // 2
        positions = tf.range(images.shape[axis + 1])
        inside.append((positions >= start) & (positions < start + side))
    square = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(square[..., None], tf.zeros_like(images), images)


def mixed(values, shares):
    """Each entry of a batch blended with the one before it (Zhang et al. 2018): the order of a batch is random.

    Args:
        values: float32 (n, ...).
        shares: (n,) share of the entry itself.
    """
    shares = tf.reshape(shares, [-1, *[1] * (len(values.shape) - 1)])
    return shares * values + (1 - shares) * tf.roll(values, 1, axis=0)
