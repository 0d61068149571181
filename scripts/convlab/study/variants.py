"""The plan of a study: variants, questions, probes and claims."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convlab.common.specs import canonical_json
from convlab.models.cost import Cost
from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.probes.specs import ProbeSettings
from convlab.study.labels import field_label
from convlab.study.metrics import ACCURACY, Metric
from convlab.study.rules import Rule
from convlab.training.recipe import Training


@dataclass(frozen=True)
class Variant:
    """A model after an experiment's override; equal architectures and training share one variant."""

    name: str
    base: str
    label: str
    model: BaseModelSpec
    training: Training
    probe: str = ""
    """The probe for which alone this variant is trained."""

    @property
    def side(self) -> str:
        """Side of the model where convolution is held against dense networks: ``conv``, ``dense``, "" for neither."""
        if family_of(self.model).convolutional:
            return "conv"
        return "dense" if self.model.family == "dense" else ""

    @property
    def built_by(self) -> dict[str, Any]:
        """What decides which layers the model has, as plain JSON types: architecture, backend and precision."""
        training = self.training
        return {"model": self.model.identity, "backend": training.backend, "precision": training.precision}


@dataclass(frozen=True)
class Trial:
    """A variant trained with settings that are drawn by seed: its ``number``-th draw, from 1."""

    name: str
    variant: str
    number: int


@dataclass(frozen=True)
class Level:
    """One level of an experiment. ``order`` is its value where levels have an order (for the trend), else None."""

    value: Any
    label: str
    variant: str
    order: float | None


@dataclass(frozen=True)
class Grid:
    """Two factors in all combinations: their names, the labels of their levels, and ``cells[first][second]``, the
    variant of each combination."""

    factors: tuple[str, str]
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    cells: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Question:
    """An experiment or a comparison: variants against a reference.

    ``factor`` is None for a comparison; two factors are named as one, ``a × b``, and have a ``grid``.
    """

    name: str
    text: str
    factor: str | None
    base: str
    reference: str
    levels: tuple[Level, ...] = ()
    variants: tuple[str, ...] = ()
    grid: Grid | None = None

    @property
    def subject(self) -> str:
        """Label of the factors in the current language; empty for a comparison."""
        return " × ".join(map(field_label, self.factor.split(" × "))) if self.factor else ""

    @cached_property
    def level_labels(self) -> dict[str, str]:
        """Labels of an experiment's levels by variant."""
        return {level.variant: level.label for level in self.levels}


@dataclass(frozen=True)
class Probe:
    """A probe that is on: its name, settings and models, and for one that trains the variant of each model at each
    level: (label, order, variant)."""

    name: str
    settings: ProbeSettings
    models: tuple[str, ...]
    levels: dict[str, tuple[tuple[str, float, str], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedClaim:
    """A claim with its rule as a tree, variants under the names that they are trained under. If every quantity names a
    dataset, the claim is decided once and ``datasets`` joins their names."""

    id: str
    text: str
    source: str
    published: int | float | str | None
    rule: Rule
    datasets: tuple[str, ...]


ASSUMED_MACS = 50 * 10**6
"""MACs for each image that priorities and time limits take for a model whose cost is not known before it is built."""


@dataclass(frozen=True)
class Plan:
    """The expanded study. ``aliases`` maps every name of a variant to the one it is trained under.

    ``costs`` has every dataset and variant, except models that are described once they are built (``described``): their
    costs are added by ``results.descriptions``.
    """

    variants: dict[str, Variant]
    questions: dict[str, Question]
    costs: dict[tuple[str, str], Cost]
    aliases: dict[str, str] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    claims: dict[str, PlannedClaim] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    """The variants from which the exported one is chosen: one that the config names, else all that can be served."""
    metric: Metric = ACCURACY
    """What verdicts about the questions are about."""
    trials: dict[str, Trial] = field(default_factory=dict)
    """What tuning trains beside the variants, by name; empty for a study without tuning."""

    @property
    def trained(self) -> tuple[str, ...]:
        """Names under which runs are trained: the variants, then the trials."""
        return (*self.variants, *self.trials)

    def owner(self, name: str) -> Variant:
        """The variant that a run's name belongs to: of a trial the one that it tunes."""
        return self.variants[self.trials[name].variant if name in self.trials else name]

    def trials_of(self, variant: str) -> list[Trial]:
        """The trials of a variant by their number."""
        return [trial for trial in self.trials.values() if trial.variant == variant]

    @property
    def compared(self) -> dict[str, Variant]:
        """All variants except those that only a probe trains."""
        return {name: variant for name, variant in self.variants.items() if not variant.probe}

    @cached_property
    def described(self) -> dict[str, str]:
        """The variants whose layers are known only once they are built, each with the variant that stands for it: the
        first of the same model, backend and precision. One description serves all of them."""
        first: dict[str, str] = {}
        return {
            name: first.setdefault(canonical_json(variant.built_by), name)
            for name, variant in self.variants.items()
            if family_of(variant.model).feature_costs is None
        }

    def macs(self, dataset: str, variant: str) -> int:
        """MACs of a variant or a trial for each image; ``ASSUMED_MACS`` while they are not known."""
        cost = self.costs.get((dataset, self.owner(variant).name))
        return ASSUMED_MACS if cost is None else cost.macs

    @property
    def servable(self) -> tuple[str, ...]:
        """The variants that a server could use: compared, and trained on pixels in the order that requests have."""
        return tuple(name for name, variant in self.compared.items() if variant.training.pixel_permutation is None)

    @property
    def duels(self) -> list[tuple[str, str]]:
        """(convolutional, dense) base models that a comparison sets against each other, else the first of each."""
        sides = {name: variant.side for name, variant in self.variants.items() if name == variant.base}
        pairs = [
            tuple(sorted((variant, question.reference), key=lambda name: sides[name] != "conv"))
            for question in self.questions.values()
            for variant in question.variants
            if {sides.get(variant), sides.get(question.reference)} == {"conv", "dense"}
        ]
        if not pairs and {"conv", "dense"} <= set(sides.values()):
            pairs = [tuple(next(name for name in sides if sides[name] == side) for side in ("conv", "dense"))]
        return list(dict.fromkeys(pairs))
