"""Inference with a trained model: class probabilities, latency, filters and feature maps."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from convlab.common import checksums
from convlab.common.files import missing
from convlab.models.user_code import UserCode
from convlab.runtime.keras_runtime import BACKEND, keras, tf

BATCH_SIZE = 250
"""Batch size for inference."""


def load(path: Path, code: UserCode | None = None):
    """Load a ``.keras`` file; safe mode refuses files that carry code.

    ``code`` is the user's file by which the model was built, if it was: its layer classes are registered by importing
    it. A file that is missing, damaged, or not what training wrote, is a UserError that names it.
    """
    checksums.verify(path)
    if not path.exists():
        raise missing(path)
    if code is not None:
        with code.importing():
            pass
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras, zipfile and HDF5 raise a dozen types for a damaged file
        reason = " ".join(str(error).split())[:300]
        raise checksums.damaged(path, f"Keras {keras.__version__} cannot load it: {reason}") from None


def _compiled(model, **options) -> Callable[[np.ndarray], np.ndarray]:
    """The model as a compiled function of a batch of uint8 images, by the backend's own compiler."""
    if BACKEND != "tensorflow":
        return model.predict_on_batch
    forward = tf.function(lambda batch: model(batch, training=False), **options)
    return lambda batch: forward(tf.constant(batch)).numpy()


def predictor(model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, height, width, channels) to class probabilities, float32 (n, classes)."""
    forward = _compiled(model, reduce_retracing=True)

    def predict(images: np.ndarray) -> np.ndarray:
        parts = [forward(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)]
        return np.concatenate(parts).astype(np.float32)

    return predict


def latency_ms(model, images: np.ndarray, calls: int = 60, warm_up: int = 10) -> dict[str, float]:
    """Time of one image at a time through a compiled model, in ms: quantiles over ``calls`` after ``warm_up``."""
    forward = _compiled(model)
    batches = [images[i % len(images)][None] for i in range(calls + warm_up)]
    seconds = []
    for batch in batches:
        begin = time.perf_counter()
        forward(batch)
        seconds.append(time.perf_counter() - begin)
    p50, p90, p99 = np.quantile(np.array(seconds[warm_up:]) * 1e3, [0.5, 0.9, 0.99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "calls": calls}


def first_convolution(model):
    """The first convolution layer of a model, depthwise and separable ones included, or None."""
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return next((layer for layer in model.layers if isinstance(layer, kinds)), None)


def filters(model) -> np.ndarray | None:
    """Kernels of the first convolution, (height, width, channels, filters); None for a model without one.

    Those of a separable convolution are the products of its two kernels, which is what it computes; a depthwise
    one has a filter of one channel for each channel.
    """
    layer = first_convolution(model)
    if isinstance(layer, keras.layers.SeparableConv2D):
        return _array(layer.depthwise_kernel) * _array(layer.pointwise_kernel)[0, 0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return np.swapaxes(_array(layer.kernel), 2, 3)
    return None if layer is None else _array(layer.kernel)


def feature_maps(model, images: np.ndarray) -> np.ndarray | None:
    """Output of the first convolution, (n, height, width, filters), after its normalisation and activation.

    An activation that comes after pooling is applied to the map before pooling; one that comes after an addition is
    left out, since there it is no map of this convolution alone. None for a model without convolutions.
    """
    layer = first_convolution(model)
    if layer is None:
        return None
    last, activation = layer, None
    normalisations = (
        keras.layers.BatchNormalization,
        keras.layers.LayerNormalization,
        keras.layers.GroupNormalization,
    )
    following = _next_layer(model, layer)
    if isinstance(following, normalisations):
        last, following = following, _next_layer(model, following)
    if isinstance(following, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D):
        following = _next_layer(model, following)
    if isinstance(following, keras.layers.Activation):
        activation = following.activation
    maps = keras.Model(model.inputs[0], last.output)(images, training=False)
    return _array(activation(maps) if activation else maps)


def _next_layer(model, layer):
    """The only layer that takes the output of ``layer``; None if no layer or more than one does."""
    following = [other for other in model.layers if any(taken is layer.output for taken in _inputs(other))]
    return following[0] if len(following) == 1 else None


def _inputs(layer) -> list:
    """The tensors that a layer takes."""
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _array(tensor) -> np.ndarray:
    """Any backend's tensor or variable as float32."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)
