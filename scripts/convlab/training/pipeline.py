"""The input pipeline: which images an epoch trains on, in which order, and how a recipe changes a batch.

What is here is common to all backends. ``tensorflow_pipeline`` makes batches with ``tf.data``, ``array_pipeline`` for
JAX and PyTorch, which need no TensorFlow; both have the same functions.
"""

import math
from collections.abc import Callable

import numpy as np

from convlab.runtime.keras_runtime import keras
from convlab.training.augmentation import augmented
from convlab.training.recipe import Augmentation, Training

ops = keras.ops

EVALUATION_BATCH_SIZE = 250
"""Images per step where nothing is learned. With 1,000 the default study's CNN takes 100 MB more, and more time."""


def images_per_epoch(training: Training, count: int) -> int:
    """Images that an epoch trains on: all ``count`` once, or as many as the equal share of ``steps`` takes."""
    return count if training.steps is None else math.ceil(training.steps / training.epochs) * training.batch_size


def epoch_order(count: int, length: int, seed: int, epoch: int) -> np.ndarray:
    """Indices of the images that an epoch trains on, int32 (length,).

    The sequence of all passes over the images, each in a new random order, is cut into epochs of ``length`` images.
    With ``length = count`` every epoch is one pass. An epoch's order depends only on the arguments, so that a resumed
    run sees the same images.
    """
    first = epoch * length
    passes = range(first // count, (first + length - 1) // count + 1)
    orders = np.concatenate([np.random.default_rng([seed, number]).permutation(count) for number in passes])
    start = first - passes.start * count
    return orders[start : start + length].astype(np.int32)


def changes_batches(training: Training) -> bool:
    """Whether a recipe changes what a batch holds: images, labels, or weights of the examples."""
    return training.has_soft_labels or training.class_weights == "balanced" or draws_numbers(training)


def draws_numbers(training: Training) -> bool:
    """Whether the input pipeline augments images, for which random numbers are drawn."""
    augmentation = training.augmentation or Augmentation()
    return any((augmentation.crop, augmentation.rotation, augmentation.cutout, augmentation.mixup))


def batch_change(training: Training, labels: np.ndarray, classes: int) -> Callable[..., tuple]:
    """The function by which a recipe changes a batch: weights, augmentation, smoothed labels.

    It takes images, labels (n,) and the random numbers of :func:`convlab.training.draws.drawn`, and returns (images,
    labels) or, with class weights, (images, labels, weights); soft labels are float32 (n, classes).

    Args:
        labels: of all training images, (n,) integers: what classes are weighed by.
    """
    weights = class_weights(labels, classes) if training.class_weights == "balanced" else None
    smoothing = training.label_smoothing

    def change(images, numbers, drawn):
        others = [ops.one_hot(numbers, classes, dtype="float32") if training.has_soft_labels else numbers]
        if weights is not None:
            others.append(ops.take(ops.convert_to_tensor(weights), numbers, axis=0))
        if drawn:
            images, *others = augmented(images, others, training.augmentation, drawn)
        if smoothing:
            others[0] = others[0] * (1 - smoothing) + smoothing / classes
        return (images, *others)

    return change


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of an image of each class, float32 (classes,): inversely proportional to the class's images, mean 1.

    The mean is over the images; classes without any have weight 0. scikit-learn's ``balanced``.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0).astype(np.float32)
