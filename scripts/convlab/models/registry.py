"""Registry of model families: one module each, ``families/<family>.py``, which ends in ``FAMILY = Family(...)``.

To add one, copy ``families/dense.py`` to ``families/<name>.py`` and change it. Nothing else is edited: the config then
takes ``family: <name>``, and every field of the family's spec can be a factor of an experiment. A family's module has

1. what a user writes: ``spec``, a pydantic model with ``family: Literal["<name>"]``; ``activation``, ``dropout``,
   ``label`` and ``why`` it has from ``ModelSpec``, and the types of ``common/specs.py`` read what users write;
2. which Keras layers that is: ``features``, from the scaled pixels to one vector for each image;
3. what these layers cost, in closed form and before anything runs: ``feature_costs``;
4. the hidden dense layers behind that vector: ``hidden_units``. They, dropout and the output layer are made by
   ``training/network.py`` and counted by ``models/cost.py``, alike for all families;
5. fields that change nothing beside certain values of others: ``idle_fields``.

A family whose layers are known only once they are built gives ``model`` instead of 2 to 4: the whole model, from raw
pixels to probabilities. The stage ``describe`` builds it before it is trained and counts what it costs.

Runs of a family depend on its module, so an edit of it trains that family again and no other. Therefore families import
neither each other nor Keras, NumPy or translations; Keras and the costs are passed in.
``tests/test_families.py`` holds every family to this contract, costs against Keras included.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from convlab.common import registry
from convlab.models.specs import BaseModelSpec

PACKAGE = "convlab.models.families"


@dataclass(frozen=True)
class IdleField:
    """A field that has no effect on any model for which ``is_idle`` is true, and why.

    ``reason`` is part of a sentence, in English; it is translated where it is shown.
    """

    name: str
    is_idle: Callable[[Any], bool]
    reason: str


@dataclass(frozen=True)
class Family:
    """A model family; every function takes a model's spec first.

    Args:
        spec: what a user writes.
        title: what a model of it is called in a model card, in English.
        features: (spec, x, keras) -> Keras tensor (batch, n). ``x`` are the scaled pixels, float32 (batch, height,
            width, channels). Layers only, no model inside of the model: their random numbers are seeded by layer.
        feature_costs: (spec, costs) adds the same layers, each under the name that the Keras layer has, to a
            ``models.cost.LayerCosts``, and calls ``flatten`` or ``global_pooling``.
        model: instead of both, (spec, input_shape, classes, keras) -> Keras model that takes float32 pixels (batch,
            height, width, channels) from 0 to 255 and gives probabilities (batch, classes).
        own_function: beside ``model``, (spec) -> name and arguments of the function in the user's own file that gives
            the model; a notebook holds the file and calls ``name(input_shape, classes, **arguments)``.
        hidden_units: (spec) -> units of each hidden dense layer between the vector and the output layer.
        idle_fields: fields that have no effect beside certain values of others.
        convolutional: whether what is said of convolution is said of its models: locality, weights that all positions
            share, equivariance to shifts. Their specs have ``padding``, ``strides``, ``pooling``, ``pool_size`` and
            ``head`` as fields or properties, from which texts read what limits these.
        order: position in lists of families; those without one follow, by name.
    """

    spec: type[BaseModelSpec]
    title: str
    features: Callable[[Any, Any, Any], Any] | None = None
    feature_costs: Callable[[Any, Any], None] | None = None
    model: Callable[[Any, tuple[int, int, int], int, Any], Any] | None = None
    own_function: Callable[[Any], tuple[str, Mapping[str, Any]]] | None = None
    hidden_units: Callable[[Any], tuple[int, ...]] = lambda model: ()
    idle_fields: tuple[IdleField, ...] = ()
    convolutional: bool = False
    order: int = 100


def family(name: str) -> Family:
    """A family by its name in configs; imports only its module. Raises KeyError for an unknown name."""
    return registry.load(PACKAGE, name).FAMILY


def family_of(model: BaseModelSpec) -> Family:
    """The family of a model."""
    return family(model.family)


@cache
def families() -> dict[str, Family]:
    """All families by name, in the order in which texts list them."""
    by_name = {name: family(name) for name in registry.names(PACKAGE)}
    return dict(sorted(by_name.items(), key=lambda item: (item[1].order, item[0])))


def modules(names: Iterable[str]) -> tuple[str, ...]:
    """Dotted names of these families' modules, sorted and once each: what jobs load by name (``code_digests``)."""
    return tuple(f"{PACKAGE}.{name}" for name in sorted(set(names)))


def any_model() -> Any:
    """Union of all families' specs, discriminated by ``family``; imports all families."""
    return Annotated[reduce(or_, (entry.spec for entry in families().values())), Field(discriminator="family")]


def as_model(value: Any) -> Any:
    """Validate a model in a run's record by its family's spec; imports only the module of that family.

    Raises:
        ValueError: it has no family, or an unknown one.
    """
    if not isinstance(value, Mapping):
        return value
    name, known = value.get("family"), registry.names(PACKAGE)
    if name not in known:
        raise ValueError(f"names none of the families {', '.join(known)}")
    return family(name).spec.model_validate(value)
