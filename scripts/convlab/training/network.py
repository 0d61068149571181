"""From a model spec to a Keras model. Preprocessing is inside: raw pixels (0 to 255) in, probabilities out."""

from convlab.models.specs import Conv, Dense
from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import Augmentation, Training

layers = keras.layers


def build(
    spec: Dense | Conv,
    input_shape: tuple[int, int, int],
    classes: int,
    precision: str = "float32",
    augmentation: Augmentation | None = None,
):
    """Build an untrained model.

    Args:
        spec: the architecture; layer names are those of ``cost.cost``.
        input_shape: (height, width, channels) of the uint8 images.
        classes: number of classes.
        precision: name of a Keras dtype policy for the hidden layers. Rescaling and the output stay in float32.
        augmentation: random changes while training; predictions are made without them.

    Returns:
        keras.Model: (batch, height, width, channels) in, probabilities (batch, classes) out.
    """
    keras.config.set_dtype_policy(precision)
    inputs = keras.Input(input_shape, dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescale")(inputs)
    if augmentation:
        x = _augmentation(x, augmentation, input_shape)
    if isinstance(spec, Conv):
        x = _convolutions(x, spec)
        units = spec.dense_units
    else:
        x = layers.Flatten(name="flatten")(x)
        units = spec.units
    for number, width in enumerate(units, start=1):
        x = layers.Dense(width, activation=spec.activation, name=f"dense_{number}")(x)
        if spec.dropout:
            x = layers.Dropout(spec.dropout, name=f"dropout_{number}")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="dense_output")(x)
    return keras.Model(inputs, outputs, name=spec.family)


def _augmentation(x, augmentation: Augmentation, input_shape: tuple[int, int, int]):
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


MONOTONE = ("relu", "elu", "selu", "leaky_relu", "tanh", "sigmoid", "linear")
"""Activations that never fall: they can be exchanged with taking a maximum."""


def _convolutions(x, spec: Conv):
    """Blocks of convolution, batch normalisation and activation, then pooling; then the head.

    Before max pooling an activation that never falls is applied after it instead: the result is the same to the last
    bit, forwards and backwards, and it is computed for a quarter of the values.
    """
    pool = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    blocks = zip(spec.filters, spec.kernel_size, spec.strides, spec.pooling, strict=True)
    for block, (filters, kernel_size, block_strides, pooling) in enumerate(blocks, start=1):
        for number in range(1, spec.convolutions_per_block + 1):
            suffix = f"{block}" if spec.convolutions_per_block == 1 else f"{block}_{number}"
            exchange = pooling == "max" and number == spec.convolutions_per_block and spec.activation in MONOTONE
            x = layers.Conv2D(
                filters,
                kernel_size,
                strides=block_strides if number == 1 else 1,
                padding=spec.padding,
                activation=None if spec.batch_norm or exchange else spec.activation,
                name=f"conv_{suffix}",
            )(x)
            if spec.batch_norm:
                x = layers.BatchNormalization(name=f"norm_{suffix}")(x)
            if exchange:
                x = pool[pooling](spec.pool_size, name=f"pool_{block}")(x)
            if spec.batch_norm or exchange:
                x = layers.Activation(spec.activation, name=f"activation_{suffix}")(x)
        if pooling != "none" and not exchange:
            x = pool[pooling](spec.pool_size, name=f"pool_{block}")(x)
    head = {
        "flatten": layers.Flatten,
        "global_average": layers.GlobalAveragePooling2D,
        "global_max": layers.GlobalMaxPooling2D,
    }[spec.head]
    return head(name=spec.head)(x)


def optimizer(training: Training):
    """The Keras optimizer of a training spec."""
    momentum = {"momentum": training.momentum} if training.optimizer in ("sgd", "rmsprop") else {}
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
    }
    # Keras tells "no decay" from "a decay of 0": AdamW refuses the former.
    decay = training.weight_decay if training.optimizer == "adamw" else training.weight_decay or None
    return kinds[training.optimizer](training.learning_rate, weight_decay=decay, **momentum)
