"""Layers of a trained model and their outputs: convolutions, what their activations make of them, the last feature map.

Outputs are symbolic: ``outputs(model, tensors)`` is a Keras model that computes them from raw pixels. A functional or
sequential model of a user's own code is looked into; a subclassed one has no graph, and gives no layers.
"""

from collections.abc import Sequence

from convlab.runtime.keras_runtime import keras

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
"""Kinds of convolution layers over rows and columns."""

NORMALISATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
"""Kinds of layers between a convolution and its activation."""

POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
"""Kinds of pooling with a window."""


def graph(model) -> list:
    """The layers of a model in order, or those of the model inside of it; only layers whose output is known.

    A layer of a subclassed model has no output before it is called, and is left out.
    """
    inside = _model_inside(model)
    return [layer for layer in (model if inside is None else inside).layers if hasattr(layer, "output")]


def convolutions(model) -> list:
    """The convolution layers of a model in order, depthwise, separable and those of shortcuts included."""
    return [layer for layer in graph(model) if isinstance(layer, CONVOLUTIONS)]


def activated_output(model, layer):
    """Output of a convolution after its normalisation and activation: a Keras tensor (batch, height, width, filters).

    An activation that comes after pooling is applied to the map before pooling; one that comes after an addition is
    left out, since there it is no map of this convolution alone.
    """
    last, following = layer, _next_layer(model, layer)
    if isinstance(following, NORMALISATIONS):
        last, following = following, _next_layer(model, following)
    if isinstance(following, keras.layers.Activation):
        return following.output
    if isinstance(following, POOLINGS):
        following = _next_layer(model, following)
        if isinstance(following, keras.layers.Activation):
            return keras.layers.Activation(following.activation, name=f"{layer.name}_activated")(last.output)
    return last.output


def last_feature_map(model):
    """Output of the last layer that has rows and columns: a Keras tensor (batch, height, width, channels).

    It is what the head flattens or pools, after the last pooling and activation. None for a model without convolutions,
    and for one in which another kind of layer follows that sees all positions, such as attention.
    """
    layers = graph(model)
    if not any(isinstance(layer, CONVOLUTIONS) for layer in layers):
        return None
    if any(isinstance(layer, keras.layers.MultiHeadAttention) for layer in layers):
        return None
    maps = [layer.output for layer in layers if _is_map(layer)]
    return maps[-1] if maps else None


def last_hidden(model):
    """What the last dense layer takes, the output layer of a classifier: a Keras tensor; None without such a layer."""
    dense = [layer for layer in graph(model) if isinstance(layer, keras.layers.Dense)]
    return dense[-1].input if dense else None


def outputs(model, tensors: Sequence):
    """A Keras model from raw pixels (batch, height, width, channels) to tensors of the model's ``graph``.

    It returns a list of several tensors, and of one that tensor itself.
    """
    inside = _model_inside(model)
    if inside is None:
        return keras.Model(model.inputs[0], list(tensors))
    before = model.layers[model.layers.index(inside) - 1].output
    return keras.Model(model.inputs[0], keras.Model(inside.inputs, list(tensors))(before))


def _model_inside(model):
    """The model that is a layer of another one, as a user's own code is; None without one."""
    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def _is_map(layer) -> bool:
    """Whether a layer's output has rows, columns and channels, and is not of a head that keeps these dimensions."""
    heads = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D, keras.layers.Dense)
    return len(getattr(layer.output, "shape", ())) == 4 and not isinstance(layer, heads)


def _next_layer(model, layer):
    """The only layer that takes the output of ``layer``; None if no layer or more than one does."""
    following = [other for other in graph(model) if any(taken is layer.output for taken in _inputs(other))]
    return following[0] if len(following) == 1 else None


def _inputs(layer) -> list:
    """The tensors that a layer takes."""
    return layer.input if isinstance(layer.input, list) else [layer.input]
