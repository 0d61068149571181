"""Specs of the model families: what a user writes about an architecture."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from convlab.common.specs import (
    Fraction,
    Notes,
    PositiveWhole,
    Spec,
    Whole,
    off_as_empty,
    off_as_none,
    off_as_word,
    per_layer,
    short_value,
)

MAX_BLOCKS = 1000
"""Largest number of blocks, and of convolutions in one; the plan walks through every layer."""

Blocks = Annotated[Whole, Field(gt=0, le=MAX_BLOCKS)]
Pooling = Annotated[Literal["max", "average", "none"], BeforeValidator(off_as_word)]
Activation = Literal["relu", "gelu", "elu", "selu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]


class ModelSpec(Spec):
    """What the families share. ``why`` and ``label`` explain a model and are no part of its identity."""

    _unexpanded: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Fields before one value was written once per block, for another depth would repeat that one value."""

    dropout: Fraction = Field(0.0, description="Dropout rate after each hidden dense layer.")
    activation: Activation = Field("relu", description="Activation of every hidden layer.")
    label: str | None = Field(None, description="Name to show in tables and figures; the key when absent.")
    why: Notes = Field({}, description="Reason for each choice, by field name; the report prints it.")

    @property
    def unexpanded(self) -> dict[str, Any]:
        """All fields as they were validated, one value for all layers where one was written."""
        return {**dict(self), **self._unexpanded}

    def as_written(self, defaults: bool) -> dict[str, Any]:
        """The fields as plain JSON types, one value for all layers where one was written.

        Args:
            defaults: with fields that were written though they have their default's value.
        """
        kept = self.model_fields_set if defaults else set(type(self).model_fields)
        fields = {
            name: value
            for name, value in self.unexpanded.items()
            if name in kept and (defaults or value != type(self).model_fields[name].default)
        }
        return {name: short_value(type(self), name, value) for name, value in fields.items()}

    @model_validator(mode="after")
    def _reasons_name_fields(self) -> "ModelSpec":
        for name in self.why:
            if name not in type(self).model_fields or name in ("why", "label"):
                raise ValueError(f"why.{name} explains a field that a {type(self).__name__.lower()} does not have")
        return self


class Dense(ModelSpec):
    """Flatten, then fully connected layers."""

    family: Literal["dense"]
    units: per_layer(PositiveWhole) = Field(description="Units of each hidden layer, e.g. [128, 64].")


PER_BLOCK = ("filters", "kernel_size", "strides", "pooling")
"""Fields of a convolutional model with one value for each block, or one for all."""


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


Model = Annotated[Dense | Conv, Field(discriminator="family")]
