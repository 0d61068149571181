"""Convolutional networks: blocks of convolutions, plain or with shortcuts, each followed by pooling; then a head."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from convlab.common.specs import Fraction, PositiveWhole, Whole, off_as_empty, off_as_none, off_as_word, per_layer
from convlab.models.registry import Family, IdleField
from convlab.models.specs import ModelSpec

MAX_BLOCKS = 1000
"""Largest number of blocks, and of convolutions in one; the plan walks through every layer."""

Blocks = Annotated[Whole, Field(gt=0, le=MAX_BLOCKS)]
Convolution = Literal["standard", "separable", "depthwise_separable"]
Norm = Annotated[Literal["none", "batch", "layer", "group"], BeforeValidator(off_as_word)]
Pooling = Annotated[Literal["max", "average", "none"], BeforeValidator(off_as_word)]


@dataclass(frozen=True)
class Block:
    """One block: its number, from 1, and its value of each field of ``Conv`` that may differ between blocks."""

    number: int
    filters: int
    kernel_size: int
    strides: int
    convolution: Convolution
    dilation: int
    groups: int
    residual: bool
    pooling: str
    conv_dropout: float


PER_BLOCK = tuple(name for name in Block.__dataclass_fields__ if name != "number")
"""Fields with one value for each block, or one for all."""


class Conv(ModelSpec):
    """Blocks of convolutions (convolution, normalisation, activation), each followed by pooling; then a head."""

    family: Literal["conv"]
    filters: per_layer(PositiveWhole) = Field(description="Filters of each block, e.g. [32, 64]; or one number.")
    depth: Annotated[Blocks | None, BeforeValidator(off_as_none)] = Field(
        None, description="Number of blocks: repeats a single number of filters, or keeps the first blocks of a list."
    )
    kernel_size: per_layer(PositiveWhole) = Field((3,), description="Side of the square kernels, pixels.")
    strides: per_layer(PositiveWhole) = Field((1,), description="Step of each block's first convolution, pixels.")
    padding: Literal["same", "valid"] = Field("same", description="Zero padding of the convolutions.")
    pooling: per_layer(Pooling) = Field(("max",), description="Pooling after each block: max, average or none.")
    pool_size: PositiveWhole = Field(2, description="Side and step of the pooling window, pixels.")
    convolutions_per_block: Blocks = Field(1, description="Convolutions of the same size before each pooling.")
    head: Literal["flatten", "global_average", "global_max"] = Field(
        "flatten", description="How the last feature map becomes a vector."
    )
    dense_units: Annotated[tuple[PositiveWhole, ...], BeforeValidator(off_as_empty)] = Field(
        (), description="Units of each dense layer after the head."
    )
    convolution: per_layer(Convolution) = Field(
        ("standard",),
        description="standard; separable (one kernel for each channel, then a 1×1 convolution); or depthwise_separable "
        "(MobileNet: the same two with normalisation and activation after each).",
    )
    dilation: per_layer(PositiveWhole) = Field(
        (1,), description="Distance between the pixels under a kernel; above 1 a block needs strides of 1."
    )
    groups: per_layer(PositiveWhole) = Field(
        (1,), description="Groups of channels that are convolved apart; divides a block's channels and its filters."
    )
    norm: Norm = Field(
        "none",
        description="Normalisation after each convolution: batch; layer (over the channels of each pixel); group (over "
        "groups of channels and all pixels); none.",
    )
    norm_groups: PositiveWhole = Field(8, description="Groups of channels of group normalisation; divides all filters.")
    residual: per_layer(bool) = Field(
        (False,),
        description="Add a block's input to what its convolutions make of it, before the last activation (ResNet); by "
        "a 1×1 convolution where channels or size differ.",
    )
    activation_after: Literal["convolution", "pooling"] = Field(
        "convolution", description="Whether a block's last activation comes before its pooling or after it."
    )
    conv_dropout: per_layer(Fraction) = Field(
        (0.0,), description="Rate at which whole feature maps are dropped after each block (SpatialDropout2D)."
    )

    @model_validator(mode="after")
    def _one_value_per_block(self) -> "Conv":
        if not self._unexpanded:  # pydantic comes here again with the same model when a run is made of it
            self._unexpanded = {name: getattr(self, name) for name in ("depth", *PER_BLOCK)}
        written = len(self.filters)
        depth = self.depth or written
        if written not in (1, depth) and depth > written:
            raise ValueError(f"depth is {depth}, but filters names only {written} blocks")
        self._set(depth=depth)
        for name in PER_BLOCK:
            values = getattr(self, name)
            if len(values) == 1:
                values = values * depth
            elif len(values) not in (depth, written):
                raise ValueError(f"{name} has {len(values)} values for {depth} block{'s' if depth > 1 else ''}")
            self._set(**{name: values[:depth]})
        for block in self.blocks():
            _check_block(block, self.padding)
        return self

    def blocks(self) -> Iterator[Block]:
        """The blocks, from the first on."""
        values = zip(*(getattr(self, name) for name in PER_BLOCK), strict=True)
        for number, of_block in enumerate(values, start=1):
            yield Block(number, **dict(zip(PER_BLOCK, of_block, strict=True)))

    def convolutions(self, block: Block) -> list[tuple[str, int]]:
        """A block's convolutions: suffix of the layers' names (block and, if it has several, number), and stride."""
        if self.convolutions_per_block == 1:
            return [(f"{block.number}", block.strides)]
        numbers = range(1, self.convolutions_per_block + 1)
        return [(f"{block.number}_{number}", block.strides if number == 1 else 1) for number in numbers]

    def last_activation(self, block: Block) -> tuple[bool, bool]:
        """Whether a block's last activation stands apart from its convolution (and its normalisation), and if so
        whether that is after pooling instead of after the addition."""
        after_pooling = self.activation_after == "pooling" and block.pooling != "none"
        return block.residual or after_pooling, after_pooling


def _check_block(block: Block, padding: str) -> None:
    """Raise ValueError for combinations that make no network."""
    if block.strides > 1 and block.dilation > 1:
        raise ValueError(
            f"block {block.number} has strides of {block.strides} and a dilation of {block.dilation}, which no layer "
            "takes together; set one of them to 1"
        )
    if block.groups > 1 and block.convolution != "standard":
        raise ValueError(
            f"block {block.number} has {block.groups} groups and a {block.convolution} convolution, which already "
            "takes each channel apart; set groups to 1 or convolution to standard"
        )
    if block.residual and padding != "same":
        raise ValueError(
            f"block {block.number} is residual and padding is {padding}, with which its convolutions give a smaller "
            "map than they take, so that the two cannot be added; write padding: same"
        )


def features(model: Conv, x: Any, keras: Any) -> Any:
    """The blocks, then the head."""
    layers = keras.layers
    blocks = _Blocks(model, layers)
    for block in model.blocks():
        x = blocks.block(block, x)
    head = {
        "flatten": layers.Flatten,
        "global_average": layers.GlobalAveragePooling2D,
        "global_max": layers.GlobalMaxPooling2D,
    }[model.head]
    return head(name=model.head)(x)


class _Blocks:
    """Keras layers of a model's blocks, from Keras tensors (batch, height, width, channels) to such."""

    def __init__(self, model: Conv, layers: Any) -> None:
        self.model, self.layers = model, layers

    def block(self, block: Block, x: Any) -> Any:
        """Convolutions, addition of a shortcut, pooling and dropout; activations where the config has them."""
        start, convolutions = x, self.model.convolutions(block)
        last, _ = convolutions[-1]
        apart, after_pooling = self.model.last_activation(block)
        for name, stride in convolutions:
            x = self.convolution(block, name, stride, x, activated=not (apart and name == last))
        if block.residual:
            x = self.layers.Add(name=f"add_{block.number}")([x, self.shortcut(block, start, x.shape)])
        if apart and not after_pooling:
            x = self.activation(last, x)
        if block.pooling != "none":
            pool = {"max": self.layers.MaxPooling2D, "average": self.layers.AveragePooling2D}[block.pooling]
            x = pool(self.model.pool_size, name=f"pool_{block.number}")(x)
        if apart and after_pooling:
            x = self.activation(last, x)
        if block.conv_dropout:
            x = self.layers.SpatialDropout2D(block.conv_dropout, name=f"spatial_dropout_{block.number}")(x)
        return x

    def convolution(self, block: Block, name: str, stride: int, x: Any, activated: bool) -> Any:
        """One convolution of a block with its normalisation, and its activation if ``activated``."""
        initializer = self.model.kernel_initializer
        window = {"strides": stride, "padding": self.model.padding, "dilation_rate": block.dilation}
        if block.convolution == "depthwise_separable":
            inside = self.fused(activated=True)
            depthwise = self.layers.DepthwiseConv2D(
                block.kernel_size, depthwise_initializer=initializer, name=f"depthwise_{name}", **window, **inside
            )
            x = self.normalised(f"depthwise_{name}", depthwise(x), activated=True)
            convolution = self.layers.Conv2D(
                block.filters, 1, kernel_initializer=initializer, name=f"pointwise_{name}", **self.fused(activated)
            )
        elif block.convolution == "separable":
            convolution = self.layers.SeparableConv2D(
                block.filters,
                block.kernel_size,
                depthwise_initializer=initializer,
                pointwise_initializer=initializer,
                name=f"separable_{name}",
                **window,
                **self.fused(activated),
            )
        else:
            if block.kernel_size == 1:
                x, window["strides"] = self.every(stride, name, x), 1
            convolution = self.layers.Conv2D(
                block.filters,
                block.kernel_size,
                groups=block.groups,
                kernel_initializer=initializer,
                name=f"conv_{name}",
                **window,
                **self.fused(activated),
            )
        return self.normalised(name, convolution(x), activated)

    def fused(self, activated: bool) -> dict[str, str]:
        """The activation as an option of the convolution itself, where nothing comes between the two."""
        return {"activation": self.model.activation} if activated and self.model.norm == "none" else {}

    def normalised(self, name: str, x: Any, activated: bool) -> Any:
        """Normalisation, and behind it the activation; neither without a norm, where ``fused`` activates."""
        if self.model.norm == "none":
            return x
        norm = {
            "batch": self.layers.BatchNormalization,
            "layer": self.layers.LayerNormalization,
            "group": partial(self.layers.GroupNormalization, self.model.norm_groups),
        }[self.model.norm]
        x = norm(name=f"norm_{name}")(x)
        return self.activation(name, x) if activated else x

    def activation(self, name: str, x: Any) -> Any:
        return self.layers.Activation(self.model.activation, name=f"activation_{name}")(x)

    def shortcut(self, block: Block, start: Any, shape: tuple[int | None, ...]) -> Any:
        """A block's input; where the sum has another shape, a 1×1 convolution and normalisation of it."""
        if start.shape == shape:
            return start
        name = f"shortcut_{block.number}"
        x = self.every(block.strides, name, start)
        projection = self.layers.Conv2D(block.filters, 1, kernel_initializer=self.model.kernel_initializer, name=name)
        return self.normalised(name, projection(x), activated=False)

    def every(self, stride: int, name: str, x: Any) -> Any:
        """Every ``stride``-th row and column, which is all that a strided 1×1 convolution takes.

        A layer of its own: the gradient of oneDNN's strided 1×1 convolution writes beyond its memory where there are
        few channels (TensorFlow 2.21, AVX-512).
        """
        return self.layers.MaxPooling2D(1, strides=stride, name=f"every_{name}")(x) if stride > 1 else x


def feature_costs(model: Conv, costs: Any) -> None:
    """The costs of these layers. An activation is listed where it follows an addition or pooling."""
    for block in model.blocks():
        _block_costs(model, block, costs)
    if model.head == "flatten":
        costs.flatten()
    else:
        costs.global_pooling()


def _block_costs(model: Conv, block: Block, costs: Any) -> None:
    start, convolutions = costs.end, model.convolutions(block)
    last, _ = convolutions[-1]
    apart, after_pooling = model.last_activation(block)
    for name, stride in convolutions:
        _convolution_costs(model, block, name, stride, costs)
    if block.residual:
        main, costs.end = costs.end, start
        if start.shape != main.shape:
            costs.convolution(f"shortcut_{block.number}", block.filters, 1, block.strides)
            _norm_costs(model, f"shortcut_{block.number}", costs)
        costs.add(f"add_{block.number}", main)
    if apart and not after_pooling:
        costs.activation(f"activation_{last}")
    if block.pooling != "none":
        costs.pooling(f"pool_{block.number}", model.pool_size)
    if apart and after_pooling:
        costs.activation(f"activation_{last}")


def _convolution_costs(model: Conv, block: Block, name: str, stride: int, costs: Any) -> None:
    window = {"stride": stride, "padding": model.padding, "dilation": block.dilation}
    if block.convolution == "depthwise_separable":
        costs.depthwise(f"depthwise_{name}", block.kernel_size, **window)
        _norm_costs(model, f"depthwise_{name}", costs)
        costs.convolution(f"pointwise_{name}", block.filters, 1)
    elif block.convolution == "separable":
        costs.separable(f"separable_{name}", block.filters, block.kernel_size, **window)
    else:
        costs.convolution(f"conv_{name}", block.filters, block.kernel_size, groups=block.groups, **window)
    _norm_costs(model, name, costs)


def _norm_costs(model: Conv, name: str, costs: Any) -> None:
    if model.norm != "none":
        costs.normalisation(f"norm_{name}", model.norm, model.norm_groups)


def hidden_units(model: Conv) -> tuple[int, ...]:
    return model.dense_units


def _order_is_idle(model: Conv) -> bool:
    """Whether activation and pooling can be exchanged without any change, forwards and backwards.

    ReLU and max pooling: where the largest value of a window is not positive, no gradient passes in either order; where
    it is, both orders pass the gradient to the same pixel. Other activations round different values to the same one
    (sigmoid, tanh) or their derivative is rounded elsewhere (elu), and training gives other weights.
    """
    poolings = set(model.pooling) - {"none"}
    return model.activation == "linear" or (model.activation == "relu" and poolings <= {"max"}) or not poolings


FAMILY = Family(
    spec=Conv,
    title="convolutional network",
    features=features,
    feature_costs=feature_costs,
    hidden_units=hidden_units,
    idle_fields=(
        IdleField(
            "dropout",
            lambda model: not model.dense_units,
            "it follows hidden dense layers, and dense_units names none",
        ),
        IdleField("pool_size", lambda model: set(model.pooling) == {"none"}, "pooling is none"),
        IdleField("norm_groups", lambda model: model.norm != "group", "only group normalisation has groups"),
        IdleField("dilation", lambda model: set(model.kernel_size) == {1}, "kernels of one pixel cannot be dilated"),
        IdleField("padding", lambda model: set(model.kernel_size) == {1}, "kernels of one pixel need none"),
        IdleField("activation_after", _order_is_idle, "this activation and this pooling give the same in either order"),
    ),
    convolutional=True,
    order=2,
)
