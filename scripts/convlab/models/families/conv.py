"""Convolutional networks: blocks of convolutions, each followed by pooling, then a head."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from convlab.common.specs import PositiveWhole, Whole, off_as_empty, off_as_none, off_as_word, per_layer
from convlab.models.registry import Family, IdleField
from convlab.models.specs import ModelSpec

MAX_BLOCKS = 1000
"""Largest number of blocks, and of convolutions in one; the plan walks through every layer."""

Blocks = Annotated[Whole, Field(gt=0, le=MAX_BLOCKS)]
Pooling = Annotated[Literal["max", "average", "none"], BeforeValidator(off_as_word)]

PER_BLOCK = ("filters", "kernel_size", "strides", "pooling")
"""Fields with one value for each block, or one for all."""

NON_DECREASING = ("relu", "elu", "selu", "leaky_relu", "tanh", "sigmoid", "linear")
"""Non-decreasing activations; these commute with max pooling."""


class Conv(ModelSpec):
    """Blocks of convolutions (convolution, batch normalisation, activation), each followed by pooling; then a head."""

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
    batch_norm: bool = Field(False, description="Batch normalisation between convolution and activation.")
    convolutions_per_block: Blocks = Field(1, description="Convolutions of the same size before each pooling.")
    head: Literal["flatten", "global_average", "global_max"] = Field(
        "flatten", description="How the last feature map becomes a vector."
    )
    dense_units: Annotated[tuple[PositiveWhole, ...], BeforeValidator(off_as_empty)] = Field(
        (), description="Units of each dense layer after the head."
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
        return self

    def convolution_name(self, block: int, number: int) -> str:
        """Suffix of the names of a convolution's layers: its block and, if a block has several, its number."""
        return f"{block}" if self.convolutions_per_block == 1 else f"{block}_{number}"


def features(model: Conv, x: Any, keras: Any) -> Any:
    """Blocks of convolution, batch normalisation and activation, then pooling; then the head.

    Before max pooling a non-decreasing activation is applied after it instead: the result is the same to the last bit,
    forwards and backwards, and it is computed for a quarter of the values.
    """
    layers = keras.layers
    pool = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    blocks = zip(model.filters, model.kernel_size, model.strides, model.pooling, strict=True)
    for block, (filters, kernel_size, block_strides, pooling) in enumerate(blocks, start=1):
        for number in range(1, model.convolutions_per_block + 1):
            name = model.convolution_name(block, number)
            last = number == model.convolutions_per_block
            pool_first = pooling == "max" and last and model.activation in NON_DECREASING
            x = layers.Conv2D(
                filters,
                kernel_size,
                strides=block_strides if number == 1 else 1,
                padding=model.padding,
                activation=None if model.batch_norm or pool_first else model.activation,
                name=f"conv_{name}",
            )(x)
            if model.batch_norm:
                x = layers.BatchNormalization(name=f"norm_{name}")(x)
            if pool_first:
                x = pool[pooling](model.pool_size, name=f"pool_{block}")(x)
            if model.batch_norm or pool_first:
                x = layers.Activation(model.activation, name=f"activation_{name}")(x)
        if pooling != "none" and not pool_first:
            x = pool[pooling](model.pool_size, name=f"pool_{block}")(x)
    head = {
        "flatten": layers.Flatten,
        "global_average": layers.GlobalAveragePooling2D,
        "global_max": layers.GlobalMaxPooling2D,
    }[model.head]
    return head(name=model.head)(x)


def feature_costs(model: Conv, costs: Any) -> None:
    """The costs of these layers."""
    blocks = zip(model.filters, model.kernel_size, model.strides, model.pooling, strict=True)
    for block, (filters, kernel_size, block_strides, pooling) in enumerate(blocks, start=1):
        for number in range(1, model.convolutions_per_block + 1):
            name, stride = model.convolution_name(block, number), block_strides if number == 1 else 1
            costs.convolution(f"conv_{name}", filters, kernel_size, stride, model.padding)
            if model.batch_norm:
                costs.normalisation(f"norm_{name}", "batch")
        if pooling != "none":
            costs.pooling(f"pool_{block}", model.pool_size)
    if model.head == "flatten":
        costs.flatten()
    else:
        costs.global_pooling()


def hidden_units(model: Conv) -> tuple[int, ...]:
    return model.dense_units


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
    ),
    order=2,
)
