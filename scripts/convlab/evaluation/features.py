"""Filters and feature maps of a trained model."""

import numpy as np

from convlab.evaluation import layers
from convlab.runtime.keras_runtime import keras


def filters(model) -> np.ndarray | None:
    """Kernels of the first convolution, (height, width, channels, filters); None for a model without one.

    Those of a separable convolution are the products of its two kernels, which is what it computes; a depthwise
    one has a filter of one channel for each channel.
    """
    convolutions = layers.convolutions(model)
    if not convolutions:
        return None
    layer = convolutions[0]
    if isinstance(layer, keras.layers.SeparableConv2D):
        return _array(layer.depthwise_kernel) * _array(layer.pointwise_kernel)[0, 0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return np.swapaxes(_array(layer.kernel), 2, 3)
    return _array(layer.kernel)


def feature_maps(model, images: np.ndarray) -> np.ndarray | None:
    """Output of the first convolution, (n, height, width, filters), after its normalisation and activation; see
    ``layers.activated_output``. None for a model without convolutions.
    """
    convolutions = layers.convolutions(model)
    if not convolutions:
        return None
    network = layers.outputs(model, [layers.activated_output(model, convolutions[0])])
    return _array(network(images, training=False))


def _array(tensor) -> np.ndarray:
    """Any backend's tensor or variable as float32."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)
