"""From an experiment to its question: a variant for each level of its factor, or for all combinations of two."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from pydantic import ValidationError

from convlab.common.i18n import SOURCE, in_language
from convlab.common.i18n import gettext as _
from convlab.common.specs import canonical_json, normalised
from convlab.common.text import listing, nearest
from convlab.errors import UserError
from convlab.models.specs import BaseModelSpec
from convlab.study.config_errors import error_message
from convlab.study.labels import field_label, labels_side_by_side, level_label
from convlab.study.schema import PERIODIC, Experiment, Study
from convlab.study.variants import Grid, Level, Question
from convlab.training.recipe import Training

MAX_SLUG = 60
"""Characters of a level in a variant's name, which is a folder's."""


class AddVariant(Protocol):
    """Registers a variant, or finds an equal one; returns the name that it is trained under.

    Seven parameters: the fields of a ``Variant``, and the key of the config that an error names.
    """

    def __call__(
        self, name: str, base: str, label: str, model: BaseModelSpec, training: Training, where: str, probe: str = ""
    ) -> str: ...


def variant_identity(model: BaseModelSpec, training: Training) -> str:
    """Canonical JSON of what a variant trains; equal for equal variants, whatever their names."""
    return canonical_json([model.identity, training.model_dump()])


@dataclass(frozen=True)
class _Cells:
    """The combinations of an experiment's levels (with one factor: its levels), by identity, in the config's order."""

    variants: dict[str, str] = field(default_factory=dict)
    """Name of the variant of each."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    """Canonical value of each factor."""

    def columns(self) -> list[tuple[Any, ...]]:
        """The values by factor."""
        return list(zip(*self.values.values(), strict=True))


class _Design:
    """An experiment's base model, factors and levels. Raises UserError for a base or factor that is not there."""

    def __init__(self, study: Study, name: str, experiment: Experiment) -> None:
        self.study, self.experiment, self.where = study, experiment, f"experiments.{name}"
        if experiment.base not in study.models:
            raise UserError(
                f"{self.where}.base is {experiment.base!r}, which is no model{nearest(experiment.base, study.models)}; "
                f"there are {listing(study.models)}"
            )
        self.base = study.models[experiment.base]
        self.factors: dict[str, list[Any]] = experiment.factors or {experiment.factor: experiment.levels}
        for factor in self.factors:
            if not self.of_model(factor) and factor not in Training.model_fields:
                known = sorted(self.base.factors | set(Training.model_fields))
                naming = "factors names" if experiment.factors else "factor is"
                raise UserError(
                    f"{self.where}.{naming} {factor!r}, which is no field of the {self.base.family} model "
                    f"{experiment.base} or of training{nearest(factor, known)}; it can be {listing(known)}"
                )

    def of_model(self, factor: str) -> bool:
        """Whether a factor is the base model's; the other factors are fields of the training."""
        return self.base.has_factor(factor)

    @property
    def base_label(self) -> str:
        return self.base.label or self.experiment.base

    def build(self, values: Sequence[Any], key: str) -> tuple[BaseModelSpec, Training]:
        """Model and training with these values of the factors; ``key`` is their key in the experiment, for errors.

        Raises UserError for values that the base model or the training cannot have.
        """
        changes = dict(zip(self.factors, values, strict=True))
        of_model = {factor: value for factor, value in changes.items() if self.of_model(factor)}
        of_training = {factor: value for factor, value in changes.items() if not self.of_model(factor)}
        try:
            model = self.base.varied(of_model) if of_model else self.base
            return model, Training.model_validate({**self.study.training.model_dump(), **of_training})
        except ValidationError as error:
            reason = error_message(error.errors()[0])
            given = " with ".join(f"{factor} {value!r}" for factor, value in changes.items())
            base = self.experiment.base
            raise UserError(f"{self.where}.{key}: {given} is not possible for {base}: {reason}") from None

    def value(self, factor: str, model: BaseModelSpec, training: Training) -> Any:
        """The value of a factor, of the model or of the training."""
        return model.factor_value(factor) if self.of_model(factor) else getattr(training, factor)

    def cells(self, add: AddVariant) -> _Cells:
        """Register a variant for each combination of levels. Raises UserError where two of them are equal."""
        cells = _Cells()
        levels_key = f"{self.where}.factors" if self.experiment.factors else f"{self.where}.levels"
        for number, given in enumerate(product(*self.factors.values())):
            model, training = self.build(given, "factors" if self.experiment.factors else f"levels[{number}]")
            identity = variant_identity(model, training)
            if identity in cells.values:
                shown, equal = (listing(map(repr, values)) for values in (given, cells.values[identity]))
                raise UserError(f"{levels_key} names {shown} twice (equal to {equal}); remove one")
            values = [self.value(factor, model, training) for factor in self.factors]
            values = [list(value) if isinstance(value, tuple) else value for value in values]
            cells.values[identity] = values
            levels = dict(zip(self.factors, values, strict=True))
            slugs = sorted(f"{factor}-{self.slug(factor, value)}" for factor, value in levels.items())
            labels = [f"{field_label(factor)} {level_label(factor, value)}" for factor, value in levels.items()]
            name, label = "-".join([self.experiment.base, *slugs]), ", ".join([self.base_label, *labels])
            cells.variants[identity] = add(name, self.experiment.base, label, model, training, levels_key)
        return cells

    def slug(self, factor: str, value: Any) -> str:
        """A level as part of a variant's name."""
        # One value stands for all blocks only where there are as many as in the base model.
        base_value = self.value(factor, self.base, self.study.training)
        same_length = not isinstance(base_value, tuple) or len(base_value) == len(value)
        with in_language(SOURCE):  # folders are called the same in every language
            return _level_slug(level_label(factor, value, short=same_length), value)

    def reference(self, cells: _Cells) -> str:
        """Identity of the reference: the first combination where the config names none."""
        given, where = self.experiment.reference, f"{self.where}.reference"
        if given is None:
            return next(iter(cells.variants))
        values = [given]
        if self.experiment.factors:
            if not isinstance(given, dict) or set(given) != set(self.factors):
                levels = listing(self.factors, "and")
                raise UserError(f"{where} is {given!r}; it should give a level of {levels}")
            values = [given[factor] for factor in self.factors]
        identity = variant_identity(*self.build(values, "reference"))
        if identity not in cells.variants:
            raise UserError(f"{where} {given!r} is not one of the levels; choose one of them")
        return identity

    def question(self) -> str:
        """The experiment's question, in the current language."""
        if self.experiment.question:
            return self.experiment.question
        subjects, model = [field_label(factor) for factor in self.factors], self.base_label
        if not self.experiment.factors:
            return _("Does {factor} matter for {model}?", factor=subjects[0], model=model)
        first, second = subjects
        return _("Do {first} and {second} matter for {model}, and together?", first=first, second=second, model=model)


def expand_experiment(study: Study, name: str, experiment: Experiment, add: AddVariant) -> Question:
    """Expand an experiment, of one factor or of two in all combinations; ``add`` registers its variants.

    Raises:
        UserError: a base, factor, level or reference that is not possible.
    """
    design = _Design(study, name, experiment)
    cells = design.cells(add)
    reference = cells.variants[design.reference(cells)]
    columns = cells.columns()
    labels = [labels_side_by_side(factor, column) for factor, column in zip(design.factors, columns, strict=True)]
    grid, cell_labels = None, labels[0]
    values, orders = list(columns[0]), _orders(list(columns[0]))
    if experiment.factors:
        grid = _grid(design, list(cells.variants.values()), labels)
        cell_labels = [
            ", ".join(f"{field_label(factor)} {label}" for factor, label in zip(design.factors, cell, strict=True))
            for cell in zip(*labels, strict=True)
        ]
        values, orders = list(cells.values.values()), [None] * len(cell_labels)
    levels = tuple(
        Level(normalised(value), label, variant, order)
        for value, label, variant, order in zip(values, cell_labels, cells.variants.values(), orders, strict=True)
    )
    compared = tuple(level.variant for level in levels if level.variant != reference)
    title = " × ".join(design.factors)
    return Question(name, design.question(), title, experiment.base, reference, levels, compared, grid)


def _grid(design: _Design, variants: list[str], labels: list[list[str]]) -> Grid:
    """The variants of two factors as a table; they and the labels are in the order of all combinations."""
    width = len(variants) // len(next(iter(design.factors.values())))
    return Grid(
        tuple(design.factors),
        (tuple(labels[0][::width]), tuple(labels[1][:width])),
        tuple(tuple(variants[start : start + width]) for start in range(0, len(variants), width)),
    )


def _level_slug(label: str, value: Any) -> str:
    """A level as part of a variant's name: its label, or a checksum where that is long or repeats itself.

    Snakemake refuses names whose end repeats twenty times, and file systems those of more than 255 bytes.
    """
    label = re.sub(r"(?<=[0-9])e\+0*", "e", label)  # 1e+06 is 1e6, and not 1e-06
    text = re.sub(r"[^A-Za-z0-9.]+", "-", label.replace("×", "x")).strip("-")
    if len(text) <= MAX_SLUG and not PERIODIC.search(text):
        return text
    length = f"{len(value)}-values-" if isinstance(value, list) else ""
    return length + hashlib.sha256(canonical_json(value).encode()).hexdigest()[:8]


def _orders(values: list[Any]) -> list[float | None]:
    """The number that orders each level: itself, or the one place of a per-layer list that varies; else None."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    if all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
        columns = [column for column in zip(*values, strict=True) if len(set(column)) > 1]
        if columns and all(column == columns[0] for column in columns):
            return _orders(list(columns[0]))
    return [None] * len(values)
