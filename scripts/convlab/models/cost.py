"""Output shapes, parameters, multiply-accumulates and receptive field of a model, in closed form.

Pure Python and instant, so that every variant is checked before anything runs; the tests compare it with Keras.
"""

import math
from dataclasses import dataclass

from convlab.models.registry import family_of
from convlab.models.specs import ModelSpec


class ShapeError(ValueError):
    """A layer's input is smaller than its kernel or pooling window; the message names the layer."""


class UnknownCost(ValueError):
    """A model of a family without closed forms; ``built_cost`` counts it once it is built."""


@dataclass(frozen=True)
class Layer:
    """One layer. ``output_shape`` is (height, width, channels) or (units,); ``receptive_field`` in input pixels;
    ``window`` is the side of its kernel or pooling window, 0 without one. The first word of ``name`` is its kind."""

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
    uncounted: tuple[str, ...] = ()
    """Kinds of layers whose MACs or receptive field are not known, and not counted."""

    @property
    def parameters(self) -> int:
        """All parameters, as Keras' ``count_params``: the moving statistics of batch normalisation included."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def receptive_field(self) -> int:
        """Side, pixels, of the input square on which a unit of the last feature map depends; all for dense layers."""
        return max(layer.receptive_field for layer in self.layers)

    @property
    def feature_map(self) -> tuple[int, ...]:
        """Shape of the last feature map, before the head."""
        return [layer for layer in self.layers if len(layer.output_shape) == 3][-1].output_shape

    @property
    def has_windows(self) -> bool:
        """Whether any layer has a kernel or pooling window, so that its units have a receptive field."""
        return any(layer.window for layer in self.layers)


class LayerCosts:
    """The layers of a model, added one by one from the pixels on, in closed form.

    Receptive field r and jump j, both in input pixels: a window of k pixels moved by s makes r += (k - 1) j, then
    j *= s (Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill 2019).

    Attributes:
        layers: those so far, without the input.
        shape: (height, width, channels) of the feature map so far.
        features: number of values of the vector; 0 until ``flatten`` or ``global_pooling`` has made one.
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        self.layers: list[Layer] = []
        self.shape = input_shape
        self.features = 0
        self._field, self._jump = 1, 1

    def convolution(
        self, name: str, filters: int, kernel_size: int, stride: int, padding: str, batch_norm: bool
    ) -> None:
        """A convolution with square kernels and biases, with batch normalisation (four parameters per filter)."""
        weights = kernel_size**2 * self.shape[2] * filters
        parameters = weights + filters + (4 * filters if batch_norm else 0)
        self.kernel(name, kernel_size, stride, padding, filters, parameters, weights)

    def pooling(self, name: str, size: int) -> None:
        """Pooling with a square window and equal stride; rows and columns that do not fill a window are dropped."""
        self._move(name, "pooling window", size, size, "valid")
        self._add(name, self.shape[2], 0, 0, size)

    def kernel(
        self, name: str, kernel_size: int, stride: int, padding: str, channels: int, parameters: int, macs: int
    ) -> None:
        """Any layer with square kernels. ``channels`` are its outputs, ``macs`` its cost, both per position.

        Seven parameters: those of the Keras layer, and the two that are counted.
        """
        self._move(name, "kernel", kernel_size, stride, padding)
        self._add(name, channels, parameters, macs, kernel_size)

    def flatten(self) -> None:
        """All values of the feature map become the vector."""
        self.features = math.prod(self.shape)

    def global_pooling(self) -> None:
        """One value for each channel becomes the vector."""
        self.features = self.shape[2]

    def dense(self, name: str, units: int) -> None:
        """A dense layer with biases; its units become the vector."""
        self.layers.append(Layer(name, (units,), (self.features + 1) * units, self.features * units, 0))
        self.features = units

    def _move(self, name: str, window_name: str, window: int, stride: int, padding: str) -> None:
        """Update height, width, receptive field and jump for a window. Raises ShapeError if it does not fit."""
        height, width, channels = self.shape
        if padding == "valid" and window > min(height, width):
            size = height if window > height else width
            raise ShapeError(
                f"layer {name} lays a {window}×{window} {window_name} on a feature map of only {size} "
                f"pixel{'s' * (size > 1)}"
            )
        covered = 1 if padding == "same" else window
        height, width = (math.ceil((size - covered + 1) / stride) for size in (height, width))
        self.shape = height, width, channels
        self._field, self._jump = self._field + (window - 1) * self._jump, self._jump * stride

    def _add(self, name: str, channels: int, parameters: int, macs: int, window: int) -> None:
        """Append a layer with the current height and width; ``macs`` are per position."""
        height, width, _ = self.shape
        self.shape = height, width, channels
        self.layers.append(Layer(name, self.shape, parameters, height * width * macs, self._field, window))


def cost(model: ModelSpec, input_shape: tuple[int, int, int], classes: int) -> Cost:
    """Layers and totals of ``model`` as ``training.network.build`` builds it.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, the units of the output layer.

    Raises:
        ShapeError: a kernel or window is larger than its input.
        UnknownCost: the model's layers are known only once it is built.
    """
    family, costs = family_of(model), LayerCosts(input_shape)
    if family.feature_costs is None:
        raise UnknownCost(f"the layers of a {model.family} model are known once it is built")
    family.feature_costs(model, costs)
    # Without windows all pixels go into each unit; with some the input is where the receptive field begins, one pixel.
    field = 1 if any(layer.window for layer in costs.layers) else max(input_shape[:2])
    for number, units in enumerate(family.hidden_units(model), start=1):
        costs.dense(f"dense_{number}", units)
    costs.dense("dense_output", classes)
    return Cost((Layer("input", input_shape, 0, 0, field), *costs.layers))
