"""Batches for TensorFlow, by ``tf.data``; ``training/array_pipeline`` has the same functions for other backends."""

import math

import numpy as np

from convlab.runtime.keras_runtime import tf
from convlab.training.draws import TensorFlowDraws, drawn
from convlab.training.pipeline import EVALUATION_BATCH_SIZE, batch_change, changes_batches, draws_numbers, epoch_order
from convlab.training.recipe import Training


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
    """Batches of :func:`training_batches` as the recipe changes them, or as they are if it changes none.

    Args:
        labels: of all training images, (n,) integers: what classes are weighed by.
        seed: of the run's stream for augmentation.
        first_step: the number of the first batch in the run, from 0.
    """
    if not changes_batches(training):
        return batches
    change, draws = batch_change(training, labels, classes), draws_numbers(training)

    def changed(step, batch):
        images, numbers = batch
        source = TensorFlowDraws(seed, step, tf.shape(images)[0])
        return change(images, numbers, drawn(training.augmentation, source, images.shape[1:3]) if draws else {})

    return batches.enumerate(first_step).map(changed).prefetch(2)


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
