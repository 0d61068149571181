"""Gradients with respect to a network's input, on any backend of Keras."""

from collections.abc import Callable
from typing import Any

import numpy as np

from convlab.runtime.keras_runtime import BACKEND, keras


def gradient(function: Callable[[Any], Any], inputs: np.ndarray) -> np.ndarray:
    """Gradient of a scalar function at ``inputs``, by the backend's automatic differentiation.

    Args:
        function: of one float32 tensor of ``inputs``' shape, to a tensor without axes; written with ``keras.ops`` and
            Keras models, so that TensorFlow, JAX and PyTorch differentiate it alike. To get a gradient for each image
            of a batch, sum what is differentiated over the batch: no image's output depends on another image.
        inputs: any numbers; they are taken as float32.

    Returns:
        float32, of ``inputs``' shape.
    """
    values = np.asarray(inputs, np.float32)
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(function)(values), np.float32)
    if BACKEND == "torch":
        import torch

        tensor = keras.ops.convert_to_tensor(values).requires_grad_()
        (slope,) = torch.autograd.grad(function(tensor), tensor)
        return slope.detach().cpu().numpy().astype(np.float32)
    import tensorflow as tf

    tensor = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        scalar = function(tensor)
    return tape.gradient(scalar, tensor).numpy().astype(np.float32)
