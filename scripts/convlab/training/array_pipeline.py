"""Batches for JAX and PyTorch: gathered from images that lie on the device that computes; no TensorFlow.

``training/tensorflow_pipeline`` has the same functions for TensorFlow.
"""

import math
from collections.abc import Callable

import numpy as np

from convlab.runtime.keras_runtime import compiled, keras
from convlab.training.draws import NumpyDraws, drawn
from convlab.training.pipeline import EVALUATION_BATCH_SIZE, batch_change, changes_batches, draws_numbers, epoch_order
from convlab.training.recipe import Training

ops = keras.ops


class Batches(keras.utils.PyDataset):
    """Batches of all epochs, one after another; a batch depends on its number alone.

    Args:
        images: uint8 (n, height, width, channels).
        labels: (n, ...) integers.
        epochs: numbers of the epochs, from 0.
        length: images in an epoch.
        order: indices of the images of an epoch, (length,), by its number.
    """

    def __init__(  # six that are independent
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        epochs: range,
        length: int,
        order: Callable[[int], np.ndarray],
    ) -> None:
        super().__init__()
        self.images = ops.convert_to_tensor(images)
        self.labels = ops.convert_to_tensor(labels.astype(np.int32))
        self.batch_size, self.epochs, self.order = batch_size, epochs, order
        self.steps = math.ceil(length / batch_size)
        self._epoch, self._indices = -1, np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self.epochs) * self.steps

    def __getitem__(self, number: int) -> tuple:
        position, step = divmod(number, self.steps)
        epoch = self.epochs[position]
        if epoch != self._epoch:
            self._epoch, self._indices = epoch, self.order(epoch)
        indices = self._indices[step * self.batch_size : (step + 1) * self.batch_size]
        return _gather(self.images, self.labels, indices)


class ChangedBatches(keras.utils.PyDataset):
    """Batches as a recipe changes them.

    Args:
        change: takes images, labels and random numbers, by name, and returns the changed batch.
        numbers: gives the random numbers of a batch by its number here and its images' shape.
    """

    def __init__(
        self, batches: Batches, change: Callable[..., tuple], numbers: Callable[[int, tuple], dict[str, np.ndarray]]
    ) -> None:
        super().__init__()
        self.batches, self.change, self.numbers = batches, change, numbers

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple:
        images, labels = self.batches[number]
        numbers = self.numbers(number, images.shape)
        return self.change(images, labels, {name: ops.convert_to_tensor(array) for name, array in numbers.items()})


def training_batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, epochs: range, seed: int, length: int | None = None
) -> Batches:
    """Shuffled batches of all ``epochs``, one after another, of (images, labels), in the order of TensorFlow's.

    Args:
        images: uint8 (n, height, width, channels).
        labels: (n,) integers.
        epochs: numbers of the epochs, from 0.
        length: images in an epoch; n when absent.
    """
    length = length or len(images)
    order = lambda epoch: epoch_order(len(images), length, seed, epoch)  # noqa: E731
    return Batches(images, labels, batch_size, epochs, length, order)


def recipe_batches(
    batches: Batches, training: Training, labels: np.ndarray, classes: int, seed: int, first_step: int
) -> Batches | ChangedBatches:
    """Batches of :func:`training_batches` as the recipe changes them, or as they are if it changes none.

    Args:
        labels: of all training images, (n,) integers: what classes are weighed by.
        seed: of the run's stream for augmentation.
        first_step: the number of the first batch in the run, from 0.
    """
    if not changes_batches(training):
        return batches
    draws = draws_numbers(training)

    def numbers(number: int, shape: tuple) -> dict[str, np.ndarray]:
        if not draws:
            return {}
        return drawn(training.augmentation, NumpyDraws(seed, first_step + number, shape[0]), shape[1:3])

    return ChangedBatches(batches, compiled(batch_change(training, labels, classes)), numbers)


def batches_in_order(images: np.ndarray, labels: np.ndarray) -> Batches:
    """Large batches in the order given, for validation."""
    order = np.arange(len(images), dtype=np.int32)
    return Batches(images, labels, EVALUATION_BATCH_SIZE, range(1), len(images), lambda epoch: order)


@compiled
def _gather(images, labels, indices) -> tuple:
    """The images and labels at ``indices``."""
    return ops.take(images, indices, axis=0), ops.take(labels, indices, axis=0)
