"""Base spec of all model families."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from convlab.common.specs import Fraction, Notes, Spec, canonical_value, short_value

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


class BaseModelSpec(Spec):
    """What all families share. ``why`` and ``label`` explain a model and are no part of its identity."""

    _unexpanded: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Fields before one value was repeated for each block: at another depth it is repeated for that depth."""

    label: str | None = Field(None, description="Name to show in tables and figures; the key when absent.")
    why: Notes = Field({}, description="Reason for each choice, by field name; the report prints it.")

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form as plain JSON types, without what only explains or locates."""
        return self.model_dump(mode="json", exclude={"why", "label"})

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

    @property
    def explained_fields(self) -> dict[str, tuple[Any, str]]:
        """Value and meaning, in English, of each choice that the report explains."""
        fields = {name: field for name, field in type(self).model_fields.items() if name in self.factors}
        return {name: (getattr(self, name), field.description or "") for name, field in fields.items()}

    @property
    def factors(self) -> set[str]:
        """What of the model an experiment can vary: its fields."""
        return set(type(self).model_fields) - {"family", "label", "why"}

    def has_factor(self, name: str) -> bool:
        """Whether an experiment can vary ``name``."""
        return name in self.factors

    def factor_value(self, name: str) -> Any:
        """The model's value of a factor."""
        return getattr(self, name)

    def canonical_level(self, name: str, value: Any) -> Any:
        """A level of a factor with one spelling for equal values. Raises ValidationError for what it cannot be."""
        return canonical_value(type(self), name, value)

    def varied(self, levels: Mapping[str, Any]) -> "BaseModelSpec":
        """The model with other values of factors. Raises ValidationError for values that it cannot have."""
        return type(self).model_validate({**self.unexpanded, **levels})

    @property
    def sources(self) -> Mapping[str, str]:
        """Text of each of the user's own files that the model is built by; most families have none."""
        return {}

    def with_sources(self, sources: Mapping[str, str], folder: str = "") -> "BaseModelSpec":
        """The model with the text of these files; ``folder`` is where they are, for messages."""
        return self

    def explained(self, error: Exception) -> Exception:
        """An error of training the model; where the user's own code raised it, as one for people."""
        return error

    @model_validator(mode="after")
    def _reasons_name_fields(self) -> "BaseModelSpec":
        for name in self.why:
            if name in ("why", "label") or not (name in type(self).model_fields or self.has_factor(name)):
                raise ValueError(f"why.{name} explains a field that a {self.family} does not have")
        return self


class ModelSpec(BaseModelSpec):
    """What families of convlab's own layers share besides."""

    dropout: Fraction = Field(0.0, description="Dropout rate after each hidden dense layer.")
    activation: Activation = Field("relu", description="Activation of every hidden layer.")
    kernel_initializer: Initializer = Field(
        "glorot_uniform",
        description="Distribution of the initial weights of every hidden layer, as Keras names it; biases start at 0 "
        "and the output layer with glorot_uniform.",
    )
