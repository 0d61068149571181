"""From a model spec to a Keras model. Preprocessing is inside: raw pixels (0 to 255) in, probabilities out."""

from typing import Any

from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import Augmentation

INPUT = "pixels"
"""Name of the input."""

OWN_MODEL = "own_model"
"""Name of a model inside of the model: that of a user's own code."""


def build(
    spec: BaseModelSpec,
    input_shape: tuple[int, int, int],
    classes: int,
    precision: str = "float32",
    augmentation: Augmentation | None = None,
    pixels: str = "uint8",
):
    """Build an untrained model.

    Args:
        spec: the architecture; layer names are those of ``cost.cost``.
        input_shape: (height, width, channels) of the images.
        classes: number of classes.
        precision: name of a Keras dtype policy for the hidden layers. Rescaling and the output stay in float32.
        augmentation: random changes while training; predictions are made without them.
        pixels: dtype of the images. Training takes bytes, what is served takes float32, whole or not.

    Returns:
        keras.Model: (batch, height, width, channels) in, probabilities (batch, classes) out.
    """
    keras.config.set_dtype_policy(precision)
    return assembled(spec, input_shape, classes, keras, augmentation, pixels)


def assembled(
    spec: BaseModelSpec,
    input_shape: tuple[int, int, int],
    classes: int,
    keras: Any,
    augmentation: Augmentation | None = None,
    pixels: str = "uint8",
):
    """The model of :func:`build` by a ``keras`` that is handed in, as families' layers are: Keras, or a double of it
    that writes down which layers are made."""
    layers = keras.layers
    inputs = keras.Input(input_shape, dtype=pixels, name=INPUT)
    family = family_of(spec)
    scale = 1 if family.model else 1 / 255  # a whole model takes the pixels as they are
    x = layers.Rescaling(scale, dtype="float32", name="rescale")(inputs)
    if augmentation:
        x = _augmentation(x, augmentation, input_shape, layers)
    if family.model is not None:
        own = family.model(spec, input_shape, classes, keras)
        own.name = OWN_MODEL
        outputs = layers.Activation("linear", dtype="float32", name="probabilities")(own(x))
        return keras.Model(inputs, outputs, name=spec.family)
    x = family.features(spec, x, keras)
    for number, width in enumerate(family.hidden_units(spec), start=1):
        x = layers.Dense(
            width, activation=spec.activation, kernel_initializer=spec.kernel_initializer, name=f"dense_{number}"
        )(x)
        if spec.dropout:
            x = layers.Dropout(spec.dropout, name=f"dropout_{number}")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="dense_output")(x)
    return keras.Model(inputs, outputs, name=spec.family)


def _augmentation(x, augmentation: Augmentation, input_shape: tuple[int, int, int], layers: Any):
    """Layers that change images while training only."""
    if augmentation.flip != "none":
        mode = "horizontal_and_vertical" if augmentation.flip == "both" else augmentation.flip
        x = layers.RandomFlip(mode, dtype="float32", name="flip")(x)
    if augmentation.shift:
        height, width, _ = input_shape
        x = layers.RandomTranslation(
            augmentation.shift / height,
            augmentation.shift / width,
            fill_mode="constant",
            interpolation="nearest",
            dtype="float32",
            name="shift",
        )(x)
    return x
