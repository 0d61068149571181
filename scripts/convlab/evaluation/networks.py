"""Trained networks as probes look into them: the same weights in float32, or the same layers untrained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convlab.runtime.keras_runtime import keras


@dataclass(frozen=True)
class Network:
    """A trained run of a variant.

    Attributes:
        seed: of the run.
        model: the Keras model as it was trained, from uint8 images to class probabilities.
        probabilities: uint8 images (n, height, width, channels) in the model's order of pixels -> float32 class
            probabilities (n, classes).
        arranged: images as the dataset has them -> the same with their pixels in the order in which the model was
            trained on them (``pixel_permutation``).
    """

    seed: int
    model: Any
    probabilities: Callable[[np.ndarray], np.ndarray]
    arranged: Callable[[np.ndarray], np.ndarray] = lambda images: images

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (n, classes) of images as the dataset has them, or as a probe has changed them."""
        return self.probabilities(self.arranged(images))

    @cached_property
    def in_float32(self) -> Any:
        """The model with the same weights that computes in float32, from float32 pixels (0 to 255, whole or not), so
        that it can be differentiated with respect to them.

        Raises:
            NotImplementedError: the user's own layers cannot be built from their configuration.
        """
        twin = _copied(self.model)
        twin.set_weights(self.model.get_weights())
        return twin

    def untrained(self) -> Any:
        """A model of the same layers with newly drawn weights, in float32 from float32 pixels.

        They are drawn by a seed that follows from the run's and is another: with the run's own they could be the
        weights that the run started from. All of Keras' random numbers follow from that seed afterwards.

        Raises:
            NotImplementedError: the user's own layers cannot be built from their configuration.
        """
        keras.utils.set_random_seed(int(np.random.default_rng([self.seed, 3]).integers(2**31)))  # Keras takes 32 bits
        return _copied(self.model)


def _copied(model) -> Any:
    """The same layers with new weights, in float32, from float32 pixels."""

    def in_float32(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    pixels = keras.Input(model.input_shape[1:], dtype="float32", name=model.inputs[0].name)
    try:
        return keras.models.clone_model(model, input_tensors=pixels, clone_function=in_float32)
    except (
        NotImplementedError,
        TypeError,
        ValueError,
    ) as error:  # a layer of the user's own without get_config
        raise NotImplementedError(f"{model.name}: {error}") from None
