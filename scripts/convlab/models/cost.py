"""What a model costs and sees, in closed form: output shapes, parameters, multiply-accumulates, receptive field.

Pure Python and instant, so that every variant is checked before anything runs; the tests hold it against Keras.
"""

import math
from dataclasses import dataclass

from convlab.models.specs import Conv, Dense


class ShapeError(ValueError):
    """An architecture that its input cannot pass through; the message names the layer."""


@dataclass(frozen=True)
class Layer:
    """One layer. ``output_shape`` is (height, width, channels) or (units,); ``receptive_field`` in input pixels;
    ``window`` is the side of its kernel or pooling window, 0 without one."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int
    window: int = 0


@dataclass(frozen=True)
class Cost:
    """A model's layers and totals. MACs are per image and forward pass: convolutions and dense layers, no biases."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """All parameters, as Keras' ``count_params``: the moving statistics of batch normalisation included."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def receptive_field(self) -> int:
        """Side of the square of input pixels that one unit of the last feature map sees; a dense layer sees all."""
        return max(layer.receptive_field for layer in self.layers if not layer.name.startswith("dense"))

    @property
    def feature_map(self) -> tuple[int, ...]:
        """Shape of the last feature map, before the head."""
        return [layer for layer in self.layers if len(layer.output_shape) == 3][-1].output_shape


def cost(model: Dense | Conv, input_shape: tuple[int, int, int], classes: int) -> Cost:
    """Walk through ``model`` as ``models.build`` builds it.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, the units of the output layer.

    Raises:
        ShapeError: a kernel or window is larger than what it is laid on.
    """
    if isinstance(model, Dense):
        height, width, _ = input_shape
        layers = [Layer("input", input_shape, 0, 0, max(height, width))]
        features, units = math.prod(input_shape), model.units
    else:
        layers = _convolutions(model, input_shape)
        features = math.prod(layers[-1].output_shape) if model.head == "flatten" else layers[-1].output_shape[2]
        units = model.dense_units
    for number, width in enumerate(units, start=1):
        layers.append(_dense(f"dense_{number}", features, width))
        features = width
    layers.append(_dense("dense_output", features, classes))
    return Cost(tuple(layers))


def _dense(name: str, features: int, units: int) -> Layer:
    return Layer(name, (units,), (features + 1) * units, features * units, 0)


def _convolutions(model: Conv, input_shape: tuple[int, int, int]) -> list[Layer]:
    """Feature layers. Receptive field r, jump j: r += (k - 1) j, then j *= s (Araujo, Norris, Sim, Distill 2019)."""
    height, width, channels = input_shape
    layers = [Layer("input", input_shape, 0, 0, 1)]
    field, jump = 1, 1
    blocks = zip(model.filters, model.kernel_size, model.strides, model.pooling, strict=True)
    for block, (filters, kernel, block_stride, pooling) in enumerate(blocks, start=1):
        for number in range(1, model.convolutions_per_block + 1):
            name = f"conv_{block}" if model.convolutions_per_block == 1 else f"conv_{block}_{number}"
            stride = block_stride if number == 1 else 1
            height, width = (_length(size, kernel, stride, model.padding, name) for size in (height, width))
            parameters = (kernel * kernel * channels + 1) * filters + (4 * filters if model.batch_norm else 0)
            macs = height * width * kernel * kernel * channels * filters
            field, jump = field + (kernel - 1) * jump, jump * stride
            channels = filters
            layers.append(Layer(name, (height, width, channels), parameters, macs, field, kernel))
        if pooling != "none":
            name = f"pool_{block}"
            height, width = (_length(size, model.pool_size, model.pool_size, "valid", name) for size in (height, width))
            field, jump = field + (model.pool_size - 1) * jump, jump * model.pool_size
            layers.append(Layer(name, (height, width, channels), 0, 0, field, model.pool_size))
    return layers


def _length(size: int, window: int, stride: int, padding: str, layer: str) -> int:
    """Output length of a window of ``window`` pixels moved by ``stride`` over ``size`` pixels."""
    if padding == "same":
        return math.ceil(size / stride)
    if window > size:
        kind = "pooling window" if layer.startswith("pool") else "kernel"
        raise ShapeError(
            f"layer {layer} lays a {window}×{window} {kind} on a feature map of only {size} pixel{'s' * (size > 1)}"
        )
    return (size - window) // stride + 1
