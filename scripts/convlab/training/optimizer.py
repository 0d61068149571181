"""The Keras optimizer of a training recipe, and the moving average of weights that it keeps."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import Training
from convlab.training.schedule import Schedule


def optimizer(training: Training, rate: float | Schedule):
    """The Keras optimizer of a training spec with a learning rate from :func:`convlab.training.schedule.rates`."""
    momentum = {"momentum": training.momentum} if training.optimizer in ("sgd", "rmsprop") else {}
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
    }
    average = {} if training.ema is None else {"use_ema": True, "ema_momentum": training.ema}
    # Keras tells "no decay" from "a decay of 0": AdamW refuses the former.
    decay = training.weight_decay if training.optimizer == "adamw" else training.weight_decay or None
    options = {"weight_decay": decay, "global_clipnorm": training.gradient_clip, **momentum, **average}
    return kinds[training.optimizer](rate, **options)


def inner(model):
    """The optimizer of a compiled model without the scaling of losses that ``mixed_float16`` puts around it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


@contextmanager
def averaged(model) -> Iterator[None]:
    """Within the block ``model`` has the moving average of its weights, where its optimizer keeps one.

    Copies are put back afterwards, so that training goes on from the same bytes: Keras' ``SwapEMAWeights`` swaps by
    adding and subtracting, which rounds. The average is copied too, since JAX deletes arrays that evaluation was given.
    """
    averages = inner(model)._model_variables_moving_average if inner(model).use_ema else []
    weights = model.trainable_variables[: len(averages)]
    kept = [_copy(weight) for weight in weights]
    for weight, average in zip(weights, averages, strict=True):
        weight.assign(_copy(average))
    try:
        yield
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def _copy(variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
