"""Images per second that this machine trains and validates with, from a few steps on random pixels.

The model is built, compiled and fitted by the code that trains a run. Weights, images and labels are random, since a
step takes the same time whatever they are.
"""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convlab.datasets import prepared
from convlab.models.specs import BaseModelSpec
from convlab.runtime.keras_runtime import device, keras
from convlab.training.loop import Data, compile_model, fit_epochs
from convlab.training.network import build
from convlab.training.pipeline import EVALUATION_BATCH_SIZE
from convlab.training.recipe import Training
from convlab.training.schedule import rates

STEPS_SECONDS = 0.5
"""Time for which training steps are measured, after the first one, which compiles."""

MAX_STEPS = 2000
"""Training steps at most."""

MAX_STEP_MACS = 5 * 10**10
"""Multiply-accumulates of a training step at most: beyond them a step is measured with fewer images. A second of
oneDNN at 100 GFLOP/s."""

MAX_FORWARD_MACS = 2 * 10**10
"""Multiply-accumulates of all validation batches at most; where they are less than two, validation is not measured."""

MAX_FORWARD_BATCHES = 20
"""Validation batches at most; the first of them compiles."""

BACKWARD_PASSES = 3
"""Forward passes that a training step is taken to be, where validation is not measured."""


class Moment(NamedTuple):
    """A point of time: the number of the batch that was finished then, wall clock and CPU time of this process, s."""

    batch: int
    wall: float
    processor: float

    @classmethod
    def now(cls, batch: int = 0) -> "Moment":
        return cls(batch, time.perf_counter(), time.process_time())

    def since(self, earlier: "Moment") -> float:
        """Seconds in between that this process was at work: others, which a machine may be busy with just now, make a
        run slower only while they last. A GPU computes while the process waits."""
        wall, processor = self.wall - earlier.wall, self.processor - earlier.processor
        return wall if device() == "GPU" else min(wall, processor)


class Stopwatch(keras.callbacks.Callback):
    """The first and the last batch of training and of validation; ``fit`` ends after so many ``seconds`` of steps."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.steps: list[Moment] = []
        self.forward: list[Moment] = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps[1:] = [Moment.now(batch)]
        if self.steps[-1].wall - self.steps[0].wall >= self.seconds:
            self.model.stop_training = True

    def on_test_batch_end(self, batch, logs=None):
        self.forward[1:] = [Moment.now(batch)]


@dataclass(frozen=True)
class Architecture:
    """What is trained: a model for images of ``shape`` (height, width, channels) and so many classes, by a recipe.

    ``macs`` are the multiply-accumulates of a forward pass of one image.
    """

    model: BaseModelSpec
    training: Training
    shape: tuple[int, int, int]
    classes: int
    macs: int


def step_times(architecture: Architecture, seconds: float = STEPS_SECONDS) -> dict[str, Any]:
    """Speed of one architecture, as plain JSON types; ``seconds`` is how long its training steps are measured.

    Returns:
        ``images_per_second`` in training, ``forward_images_per_second`` in validation, ``compile_seconds`` from
        building the model to the end of its first batches, and ``device``, CPU or GPU.
    """
    macs, training = max(architecture.macs, 1), architecture.training
    batch_size = min(training.batch_size, max(1, MAX_STEP_MACS // (BACKWARD_PASSES * macs)))
    batches = min(MAX_FORWARD_BATCHES, MAX_FORWARD_MACS // (EVALUATION_BATCH_SIZE * macs))
    train_images, validation_images = max(4 * batch_size, 2), batches * EVALUATION_BATCH_SIZE if batches > 1 else 1
    shortened = {"batch_size": batch_size, "epochs": 1, "steps": MAX_STEPS, "early_stopping": None}
    training = training.model_copy(update=shortened)
    images, labels = random_images(train_images + validation_images, architecture.shape, architecture.classes)
    data = Data((images[:train_images], labels[:train_images]), (images[train_images:], labels[train_images:]))
    started, watch = Moment.now(), Stopwatch(seconds)
    shape, classes = architecture.shape, architecture.classes
    model = build(architecture.model, shape, classes, training.precision, training.augmentation)
    compile_model(model, training, rates(training, MAX_STEPS))
    fit_epochs(model, training, data, prepared.seed_streams(0), range(1), [watch])
    first, last = watch.steps[0], watch.steps[-1]
    step = last.since(first) / max(last.batch - first.batch, 1) if len(watch.steps) > 1 else first.since(started)
    per_second = batch_size / step
    forward = BACKWARD_PASSES * per_second
    if len(watch.forward) > 1:
        counted = (watch.forward[-1].batch - watch.forward[0].batch) * EVALUATION_BATCH_SIZE
        forward = counted / watch.forward[-1].since(watch.forward[0])
    return {
        "images_per_second": per_second,
        "forward_images_per_second": forward,
        "compile_seconds": first.since(started) + watch.forward[0].since(last),
        "device": device(),
    }


def random_images(count: int, shape: tuple[int, int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels, uint8 (count, height, width, channels), and labels, (count,) integers."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, *shape), np.uint8), generator.integers(0, classes, count)
