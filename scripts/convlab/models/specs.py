"""Base spec of all model families."""

from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from convlab.common.specs import Fraction, Notes, Spec, short_value

Activation = Literal["relu", "gelu", "elu", "selu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]
Initializer = Literal[
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
    "truncated_normal",
    "random_normal",
]
"""Keras' initializers by their names there, each with Keras' own defaults."""


class ModelSpec(Spec):
    """What the families share. ``why`` and ``label`` explain a model and are no part of its identity."""

    _unexpanded: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Fields before one value was repeated for each block: at another depth it is repeated for that depth."""

    dropout: Fraction = Field(0.0, description="Dropout rate after each hidden dense layer.")
    activation: Activation = Field("relu", description="Activation of every hidden layer.")
    kernel_initializer: Initializer = Field(
        "glorot_uniform",
        description="Distribution of the initial weights of every hidden layer, as Keras names it; biases start at 0 "
        "and the output layer with glorot_uniform.",
    )
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
                raise ValueError(f"why.{name} explains a field that a {self.family} does not have")
        return self
