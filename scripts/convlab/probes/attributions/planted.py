"""Planted data: images of noise in which one square alone tells the class, and a network trained on them.

Where a map has to point is then known. The square is drawn from the two grey levels of the noise, as often the one as
the other, so that no property of a single image shows where it lies: a map that ignores what was learned is at chance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convlab.runtime.keras_runtime import BACKEND, keras

LEVELS = (64, 192)
"""The two grey levels. None is black, which integrated gradients from a black baseline cannot mark."""

TEXTURES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda row, column: row % 2,
    lambda row, column: column % 2,
    lambda row, column: (row // 2 + column // 2) % 2,
    lambda row, column: (row + column) % 2,
)
"""Grey level (0 or 1) of each class by pixel: stripes along the axes, a coarse and a fine checkerboard."""

PARTS_OF_SIDE, LEAST_SIDE = 4, 4
"""The square's side is a quarter of the image's shorter side, but at least so many pixels that textures show (or half
the image)."""

LEARNING_RATE, BATCH_SIZE, BATCHES, MAX_ROUNDS = 2e-3, 32, 150, 3
"""Training is with Adam, in rounds of so many batches of new images, until a round ends with the task learned."""

TEST_IMAGES = 256
"""New images after each round."""

MOMENTUM = 0.9
"""Of the moving averages of batch normalisation; Keras' 0.99 has not followed after so short a training."""

LEARNED = 0.95
"""Accuracy on new planted images from which on the network counts as having learned the task."""


@dataclass(frozen=True)
class Planted:
    """Planted images uint8 (n, height, width, channels), their labels (n,), and the square: bool (height, width)."""

    images: np.ndarray
    labels: np.ndarray
    region: np.ndarray


@dataclass(frozen=True)
class Task:
    """Which images are drawn: of this shape (height, width, channels), with the square's corner at ``top``, ``left``.

    All classes have the same square, so that nothing outside of it speaks for or against a class.
    """

    shape: tuple[int, int, int]
    classes: int
    side: int
    top: int
    left: int

    @classmethod
    def of(cls, shape: tuple[int, int, int], classes: int, seed: int) -> "Task":
        """A square anywhere in the images, and at most as many classes as there are textures."""
        shorter = min(shape[:2])
        side = max(shorter // PARTS_OF_SIDE, min(LEAST_SIDE, shorter // 2), 1)
        random = np.random.default_rng([seed, 0])
        top, left = (int(random.integers(0, length - side + 1)) for length in shape[:2])
        return cls(tuple(shape), min(classes, len(TEXTURES)), side, top, left)

    def draw(self, count: int, random: np.random.Generator) -> Planted:
        """New images, the classes in turn."""
        row, column = np.indices((self.side, self.side))
        bits = random.integers(0, 2, (count, *self.shape[:2]), dtype=np.uint8)
        labels = np.arange(count) % self.classes
        square = (slice(self.top, self.top + self.side), slice(self.left, self.left + self.side))
        for label in range(self.classes):
            bits[labels == label, *square] = TEXTURES[label](row, column)
        region = np.zeros(self.shape[:2], bool)
        region[square] = True
        images = np.array(LEVELS, np.uint8)[bits][..., None]
        return Planted(np.repeat(images, self.shape[2], axis=-1), labels, region)


class Trainer:
    """Trains one network on planted data, again and again from whatever weights it is given."""

    def __init__(self, model: Any) -> None:
        """Compile ``model`` (float32 pixels to probabilities) once for all trainings."""
        self._model = model
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE)
        for layer in normalisations(model):
            layer.momentum = MOMENTUM
        model.compile(self._optimizer, "sparse_categorical_crossentropy", jit_compile=BACKEND == "jax")
        self._optimizer.build(model.trainable_variables)
        self._start = [keras.ops.convert_to_numpy(variable) for variable in self._optimizer.variables]

    def train(self, task: Task, seed: int) -> float:
        """Train from the model's present weights and return its accuracy on new images."""
        for variable, value in zip(self._optimizer.variables, self._start, strict=True):
            variable.assign(value)
        random = np.random.default_rng([seed, 1])
        for _round in range(MAX_ROUNDS):
            for _batch in range(BATCHES):
                drawn = task.draw(BATCH_SIZE, random)
                self._model.train_on_batch(drawn.images.astype(np.float32), drawn.labels)
            new = task.draw(TEST_IMAGES, random)
            predicted = self._model.predict_on_batch(new.images.astype(np.float32)).argmax(axis=1)
            accuracy = float(np.mean(predicted == new.labels))
            if accuracy >= LEARNED:
                break
        return accuracy


def normalisations(model: Any) -> Iterator[Any]:
    """The batch normalisations of a model and of models inside of it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from normalisations(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer
