"""Dense networks: the image as one vector, then fully connected layers."""

from typing import Any, Literal

from pydantic import Field

from convlab.common.specs import PositiveWhole, per_layer
from convlab.models.registry import Family
from convlab.models.specs import ModelSpec


class Dense(ModelSpec):
    """Flatten, then fully connected layers."""

    family: Literal["dense"]
    units: per_layer(PositiveWhole) = Field(description="Units of each hidden layer, e.g. [128, 64].")


def features(model: Dense, x: Any, keras: Any) -> Any:
    """The pixels as one vector."""
    return keras.layers.Flatten(name="flatten")(x)


def feature_costs(model: Dense, costs: Any) -> None:
    """Flattening costs nothing."""
    costs.flatten()


def hidden_units(model: Dense) -> tuple[int, ...]:
    return model.units


FAMILY = Family(
    spec=Dense,
    title="dense network",
    features=features,
    feature_costs=feature_costs,
    hidden_units=hidden_units,
    order=1,
)
