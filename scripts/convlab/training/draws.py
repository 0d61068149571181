"""Random numbers of augmentation, from the run's seed, the batch's number and a purpose alone.

TensorFlow's input pipeline draws them inside of its graph by TensorFlow's stateless generators; for the other backends
NumPy draws them. Both draw from the same distributions, not the same numbers.
"""

import math
import zlib
from typing import Any

import numpy as np

from convlab.runtime.keras_runtime import tf
from convlab.training.recipe import Augmentation


def drawn(augmentation: Augmentation, draws: "TensorFlowDraws | NumpyDraws", sides: tuple[int, int]) -> dict[str, Any]:
    """What a batch of images with these ``sides`` (height, width) is augmented by: an entry for each change.

    Returns:
        ``rotation``: radians, float32 (n,); ``crop``: corners, int32 (n, 2); ``cutout``: centres, int32 (n, 2);
        ``mixup``: shares, float32 (n,).
    """
    numbers: dict[str, Any] = {}
    if augmentation.rotation:
        numbers["rotation"] = draws.uniform("rotation", math.radians(augmentation.rotation))
    if augmentation.crop:
        numbers["crop"] = draws.whole("crop", 2, 2 * augmentation.crop + 1)
    if augmentation.cutout:
        rows, columns = (
            draws.whole(f"cutout {name}", 1, side) for name, side in zip(("height", "width"), sides, strict=True)
        )
        numbers["cutout"] = draws.side_by_side(rows, columns)
    if augmentation.mixup:
        numbers["mixup"] = draws.beta("mixup", augmentation.mixup)
    return numbers


class TensorFlowDraws:
    """Random numbers of one batch as tensors, an independent stream for each purpose.

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

    @staticmethod
    def side_by_side(*columns):
        """Columns (count, 1) as one tensor."""
        return tf.concat(columns, axis=1)


class NumpyDraws:
    """Random numbers of one batch as arrays, an independent stream for each purpose.

    Arguments are those of ``TensorFlowDraws``.
    """

    def __init__(self, seed: int, step: int, count: int) -> None:
        self.seed, self.step, self.count = seed, step, count

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.step, zlib.crc32(purpose.encode())])

    def whole(self, purpose: str, columns: int, below: int) -> np.ndarray:
        """Whole numbers from 0 to ``below`` - 1, int32 (count, columns)."""
        return self._generator(purpose).integers(0, below, (self.count, columns), np.int32)

    def uniform(self, purpose: str, most: float) -> np.ndarray:
        """Numbers from -``most`` to ``most``, float32 (count,)."""
        return self._generator(purpose).uniform(-most, most, self.count).astype(np.float32)

    def beta(self, purpose: str, alpha: float) -> np.ndarray:
        """Numbers of Beta(alpha, alpha), float32 (count,)."""
        return self._generator(purpose).beta(alpha, alpha, self.count).astype(np.float32)

    @staticmethod
    def side_by_side(*columns: np.ndarray) -> np.ndarray:
        """Columns (count, 1) as one array."""
        return np.concatenate(columns, axis=1)
