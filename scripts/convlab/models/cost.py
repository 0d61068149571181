"""Output shapes, parameters, multiply-accumulates and receptive field of a model, in closed form.

Pure Python and instant, so that every variant is checked before anything runs; the tests compare it with Keras.
"""

import math
from dataclasses import dataclass, replace

from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec

POOLING = "pooling window"
"""What messages call the window of a pooling layer, which has no padding to choose."""


class ShapeError(ValueError):
    """A layer that does not fit what it is given; the message names the layer.

    Attributes:
        remedy: what to change in the config; empty where that is the window's size or the padding.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UnknownCost(ValueError):
    """A model of a family without closed forms; ``built_cost`` counts it once it is built."""


@dataclass(frozen=True)
class Layer:
    """One layer. ``output_shape`` is (height, width, channels), (tokens, channels) or (units,); ``receptive_field`` in
    input pixels; ``window`` is the side of its kernel, pooling window or patch, 0 without one; ``inputs`` are the names
    of the layers that it takes: several of an addition, empty for the one before it alone. The first word of ``name``
    is its kind."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int
    window: int = 0
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """A model's layers and totals. MACs are per image and forward pass: convolutions, dense layers and attention (its
    products of queries with keys and of weights with values too), without biases, normalisation and additions, which
    are small beside them."""

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
        """Shape of the last feature map or sequence of tokens, before the head."""
        return [layer for layer in self.layers if len(layer.output_shape) > 1][-1].output_shape

    @property
    def has_windows(self) -> bool:
        """Whether any layer has a kernel or pooling window, so that its units have a receptive field."""
        return any(layer.window for layer in self.layers)


@dataclass(frozen=True)
class FeatureMap:
    """A point of a network where a shortcut may begin or end.

    Attributes:
        layer: name of the layer whose output it is.
        shape: (height, width, channels), or (tokens, channels) of a sequence.
        receptive_field, jump: both in input pixels, as in ``LayerCosts``.
    """

    layer: str
    shape: tuple[int, ...]
    receptive_field: int = 1
    jump: int = 1


class LayerCosts:
    """The layers of a model, added one by one from the pixels on, in closed form.

    Receptive field r and jump j, both in input pixels: a window of k pixels moved by s makes r += (k - 1) j, then
    j *= s (Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill 2019); dilated by
    d, its k pixels span (k - 1) d + 1. Where two branches are added, the larger receptive field holds: with zero
    padding the smaller one lies inside of it.

    A branch begins where ``end`` is set to an earlier feature map, and ends in ``add``::

        start = costs.end
        costs.convolution("conv_1", 64, 3, stride=2)
        main, costs.end = costs.end, start
        costs.convolution("shortcut_1", 64, 1, stride=2)
        costs.add("add_1", main)

    Attributes:
        layers: those so far, without the input.
        end: the last feature map or sequence of tokens so far.
        whole_image: receptive field of what depends on all pixels: the larger side of the image.
        features: number of values of the vector; 0 until ``flatten`` or ``global_pooling`` has made one.
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        self.layers: list[Layer] = []
        self.end = FeatureMap("input", input_shape)
        self.whole_image = max(input_shape[:2])
        self.features = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the last feature map so far, or (tokens, channels) of the sequence."""
        return self.end.shape

    def convolution(
        self,
        name: str,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        padding: str = "same",
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        """A convolution with square kernels, Keras' ``Conv2D``: k² c/g f weights, and f biases.

        More than six parameters, since they are those of the Keras layer. Raises ShapeError if ``groups`` divides not
        both channels and filters.
        """
        channels = self.shape[2]
        for number, what in ((channels, f"the {_count(channels, 'channel')} that it takes"),
                             (filters, f"its {_count(filters, 'filter')}")):  # fmt: skip
            if number % groups:
                message = f"layer {name} has {groups} groups, which do not divide {what}"
                raise ShapeError(message, "choose groups that divide both, or 1 for this block")
        weights = kernel_size**2 * (channels // groups) * filters
        self.kernel(name, kernel_size, stride, padding, filters, weights + filters * bias, weights, dilation)

    def depthwise(
        self,
        name: str,
        kernel_size: int,
        stride: int = 1,
        padding: str = "same",
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        """One square kernel for each channel, Keras' ``DepthwiseConv2D``: k² c weights, and c biases."""
        channels = self.shape[2]
        weights = kernel_size**2 * channels
        self.kernel(name, kernel_size, stride, padding, channels, weights + channels * bias, weights, dilation)

    def separable(
        self, name: str, filters: int, kernel_size: int, stride: int = 1, padding: str = "same", dilation: int = 1
    ) -> None:
        """A depthwise and a 1×1 convolution in one layer, Keras' ``SeparableConv2D``: k² c + c f weights, f biases."""
        channels = self.shape[2]
        weights = kernel_size**2 * channels + channels * filters
        self.kernel(name, kernel_size, stride, padding, filters, weights + filters, weights, dilation)

    def kernel(
        self,
        name: str,
        kernel_size: int,
        stride: int,
        padding: str,
        channels: int,
        parameters: int,
        macs: int,
        dilation: int = 1,
    ) -> None:
        """Any layer with square kernels. ``channels`` are its outputs, ``macs`` its cost for each position of these.

        More than six parameters: those of the Keras layer, and the two that are counted.
        """
        self._move(name, "kernel", kernel_size, stride, padding, dilation)
        self._append(name, channels, parameters, macs, kernel_size)

    def pooling(self, name: str, size: int) -> None:
        """Pooling with a square window and equal stride; rows and columns that do not fill a window are dropped."""
        self._move(name, POOLING, size, size, "valid")
        self._append(name, self.shape[2], 0, 0, size)

    def normalisation(self, name: str, kind: str, groups: int = 1) -> None:
        """Batch (4 parameters per channel, moving mean and variance included), layer or group normalisation (2).

        Statistics that layer or group normalisation takes from an image are not counted to the receptive field.

        Args:
            kind: ``batch``, ``layer`` or ``group``.
            groups: of group normalisation.

        Raises:
            ShapeError: ``groups`` does not divide the channels.
        """
        channels = self.shape[-1]
        if kind == "group" and channels % groups:
            taken = _count(channels, "channel")
            message = f"layer {name} has {groups} groups, which do not divide the {taken} that it takes"
            raise ShapeError(message, "choose norm_groups that divide them, or another norm")
        self._append(name, channels, {"batch": 4, "layer": 2, "group": 2}[kind] * channels, 0, 0)

    def add(self, name: str, branch: FeatureMap) -> None:
        """The sum of the last feature map and another of the same shape; the larger receptive field is that of both."""
        field = max(self.end.receptive_field, branch.receptive_field)
        inputs = (branch.layer, self.end.layer)
        self.end = replace(self.end, receptive_field=field, layer=name)
        self.layers.append(Layer(name, self.shape, 0, 0, field, 0, inputs))

    def activation(self, name: str) -> None:
        """An activation that is a layer; it costs nothing that is counted."""
        self._append(name, self.shape[2], 0, 0, 0)

    def flatten(self) -> None:
        """All values of the feature map become the vector."""
        self.features = math.prod(self.shape)

    def global_pooling(self) -> None:
        """One value for each channel becomes the vector."""
        self.features = self.shape[-1]

    def refuse(self, message: str, remedy: str) -> None:
        """Raise ShapeError: a layer that ``message`` names does not fit its input; ``remedy`` is what to change."""
        raise ShapeError(message, remedy)

    def layer(
        self,
        name: str,
        output_shape: tuple[int, ...],
        parameters: int,
        macs: int,
        window: int = 0,
        receptive_field: int | None = None,
    ) -> None:
        """Any layer, by what it makes of one image: all its MACs, and the receptive field where that changes."""
        inputs = (self.end.layer,)
        field = self.end.receptive_field if receptive_field is None else receptive_field
        self.end = replace(self.end, layer=name, shape=output_shape, receptive_field=field)
        self.layers.append(Layer(name, output_shape, parameters, macs, field, window, inputs))

    def dense(self, name: str, units: int) -> None:
        """A dense layer with biases; its units become the vector."""
        inputs = (self.layers[-1].name if self.layers else "input",)
        self.layers.append(Layer(name, (units,), (self.features + 1) * units, self.features * units, 0, 0, inputs))
        self.features = units

    def _move(self, name: str, window_name: str, window: int, stride: int, padding: str, dilation: int = 1) -> None:
        """Update height, width, receptive field and jump for a window. Raises ShapeError if it does not fit.

        More than six parameters: a window's, and the two that the message needs.
        """
        height, width, channels = self.shape
        span = (window - 1) * dilation + 1
        if padding == "valid" and span > min(height, width):
            size = height if span > height else width
            dilated = f", dilated to {span}×{span}," if span > window else ""
            raise ShapeError(
                f"layer {name} lays a {window}×{window} {window_name}{dilated} on a feature map of only "
                f"{_count(size, 'pixel')}",
                "choose less pooling or fewer layers" if window_name == POOLING else "",
            )
        covered = 1 if padding == "same" else span
        height, width = (math.ceil((size - covered + 1) / stride) for size in (height, width))
        field, jump = self.end.receptive_field + (span - 1) * self.end.jump, self.end.jump * stride
        self.end = FeatureMap(self.end.layer, (height, width, channels), field, jump)

    def _append(self, name: str, channels: int, parameters: int, macs: int, window: int) -> None:
        """Append a layer at the current positions, rows and columns or tokens; ``macs`` are for each of these."""
        *positions, _ = self.shape
        inputs = (self.end.layer,)
        self.end = replace(self.end, layer=name, shape=(*positions, channels))
        macs *= math.prod(positions)
        self.layers.append(Layer(name, self.shape, parameters, macs, self.end.receptive_field, window, inputs))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def cost(model: BaseModelSpec, input_shape: tuple[int, int, int], classes: int) -> Cost:
    """Layers and totals of ``model`` as ``training.network.build`` builds it.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, the units of the output layer.

    Raises:
        ShapeError: a layer does not fit its input.
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
