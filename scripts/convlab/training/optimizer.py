"""The Keras optimizer of a training recipe."""

from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import Training


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
