"""The input pipeline: which images an epoch trains on, in which order, as batches of ``tf.data``."""

import math

import numpy as np

from convlab.runtime.keras_runtime import tf
from convlab.training.augmentation import augmented
from convlab.training.recipe import Augmentation, Training

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


def training_batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, epochs: range, seed: int, length: int | None = None
):
    """Shuffled batches of all ``epochs``, one after another: a ``tf.data.Dataset`` of (images, labels).

    The images stay in memory once, as bytes; what is shuffled are indices, from which each batch is gathered.

    Args:
        images: uint8 (n, height, width, channels).
        labels: (n,) integers.
        epochs: numbers of the epochs, from 0.
        length: images in an epoch; n when absent.
    """
    length = length or len(images)
    all_images, all_labels = tf.constant(images), tf.constant(labels, tf.int32)

    def orders():
        for epoch in epochs:
            yield epoch_order(len(images), length, seed, epoch)

    def gather(indices):
        return tf.gather(all_images, indices), tf.gather(all_labels, indices)

    def batches(order):
        steps = math.ceil(length / batch_size)
        return tf.data.Dataset.range(steps).map(lambda step: order[step * batch_size : (step + 1) * batch_size])

    shuffled = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec(length, tf.int32))
    return shuffled.flat_map(batches).map(gather).prefetch(2).with_options(pipeline_options())


def recipe_batches(batches, training: Training, labels: np.ndarray, classes: int, seed: int, first_step: int):
    """Batches of :func:`training_batches` as the recipe changes them: weights, augmentation, smoothed labels.

    Without any of these they are returned as they are; else they are (images, labels) or, with class weights, (images,
    labels, weights), and soft labels are float32 (n, classes).

    Args:
        labels: of all training images, (n,) integers: what classes are weighed by.
        seed: of the run's stream for augmentation.
        first_step: the number of the first batch in the run, from 0.
    """
    augmentation = training.augmentation or Augmentation()
    smoothing, soft = training.label_smoothing, training.has_soft_labels
    weights = tf.constant(class_weights(labels, classes)) if training.class_weights == "balanced" else None
    in_pipeline = any((augmentation.crop, augmentation.rotation, augmentation.cutout, augmentation.mixup))
    if not in_pipeline and not soft and weights is None:
        return batches

    def with_targets(images, numbers):
        targets = tf.one_hot(numbers, classes) if soft else numbers
        return (images, targets) if weights is None else (images, targets, tf.gather(weights, numbers))

    def smoothed(images, targets, *weight):
        return (images, targets * (1 - smoothing) + smoothing / classes, *weight)

    batches = batches.map(with_targets)
    if in_pipeline:
        batches = augmented(batches, augmentation, seed, first_step)
    if smoothing:
        batches = batches.map(smoothed)
    return batches.prefetch(2)


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of an image of each class, float32 (classes,): inversely proportional to the class's images, mean 1.

    The mean is over the images; classes without any have weight 0. scikit-learn's ``balanced``.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0).astype(np.float32)


def batches_in_order(images: np.ndarray, labels: np.ndarray):
    """Large batches in the order given, for validation."""
    parts = (images, labels.astype(np.int32))
    return (
        tf.data.Dataset.from_tensor_slices(parts)
        .batch(EVALUATION_BATCH_SIZE)
        .prefetch(1)
        .with_options(pipeline_options())
    )


def pipeline_options():
    """Options without autotuning: its thread polls ever more slowly and is waited for at the end of ``fit``, in one run
    of two for up to half of the training time (TensorFlow 2.21, found by sampling the stack of a run that hung)."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
