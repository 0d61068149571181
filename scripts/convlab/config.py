"""The study: what a user writes in ``config.yaml``, checked, and expanded into variants and runs.

Imported by the Snakefile, so it needs nothing beyond pydantic, PyYAML and the standard library.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, PrivateAttr, TypeAdapter, ValidationError, field_validator, model_validator

from convlab.claims import EXACT, MEASURED, Rule, RuleError, evaluate, is_exact, parse, renamed
from convlab.cost import Cost, ShapeError, cost
from convlab.errors import UserError
from convlab.forms import dataset_form
from convlab.specs import (
    NUMBER,
    Conv,
    Dataset,
    Dense,
    Digits,
    ImageFolder,
    Model,
    Npz,
    PositiveWhole,
    Published,
    Real,
    Run,
    Spec,
    Training,
    Whole,
    canonical_json,
    normalised,
)

SLUG = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")
TEXTS = {"question", "description", "why", "report"}
"""Keys that only explain: nothing but the report depends on them."""

KINDS: dict[str, type[Spec]] = {
    kind: spec
    for spec in (Published, Digits, ImageFolder, Npz)
    for kind in spec.model_fields["kind"].annotation.__args__
}
"""The spec of each kind of dataset."""

_models = TypeAdapter(Model)


def _slug(name: str) -> str:
    if not SLUG.fullmatch(name):
        raise ValueError(
            f"{name!r} names a folder: use letters, digits, - and _ only, and begin with a letter or digit"
        )
    return name


Slug = Annotated[str, BeforeValidator(str)]


class Experiment(Spec):
    """One factor varied over levels from a base model, everything else fixed."""

    base: Slug = Field(description="The model to vary.")
    factor: str = Field(description="A field of the model or of `training`.")
    levels: list[Any] = Field(min_length=2, description="The values that the factor takes.")
    reference: Any = Field(None, description="The level that the others are compared with; the first when absent.")
    question: str | None = Field(None, description="What the experiment asks, for the report.")


class Comparison(Spec):
    """Two variants set against each other."""

    variant: Slug
    reference: Slug
    question: str | None = Field(None, description="What the comparison asks, for the report.")


def _figure(value: Any) -> Any:
    """A published figure is a number or text; Python would take true for 1, and infinity for a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | None):
        raise ValueError("should be a number or text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should be a finite number or text")
    return value


class Claim(Spec):
    """A statement fixed before the runs, with the rule that decides it: supported, contradicted or inconclusive."""

    id: Slug = Field(description="Short name, for tables.")
    text: str = Field(description="The statement in words, for the report.")
    rule: str = Field(description="What holds if it is true, e.g. test_accuracy(cnn) - test_accuracy(dense) > 0.")
    source: str = Field("", description="Where it was stated.")
    published: Annotated[int | float | str | None, BeforeValidator(_figure)] = Field(
        None, description="The figure stated there, a number or text; nothing is computed from it."
    )
    dataset: Slug | None = Field(None, description="The dataset it is about; it is decided on each one when absent.")


class Statistics(Spec):
    """How differences are judged."""

    rope: Annotated[Real, Field(ge=0, lt=1)] = Field(
        0.005, description="Differences of accuracy within ± this count as none in practice."
    )


Models = Annotated[tuple[Slug, ...] | None, Field(description="Models to probe; those of the comparisons when absent.")]


class PixelPermutation(Spec):
    """Train again with the pixels of all images in another, fixed order: is it the neighbourhood that helps?"""

    blocks: tuple[PositiveWhole, ...] = Field(
        (1,), min_length=1, description="Side of the blocks that stay whole, pixels; 1 shuffles every pixel."
    )
    models: Models = None


class Translation(Spec):
    """Shift the test images, without training again: do predictions survive?"""

    shift: PositiveWhole = Field(4, description="Farthest shift along each axis, pixels.")
    models: Models = None


class SampleEfficiency(Spec):
    """Train on nested subsets for the same number of steps: who needs fewer images?"""

    sizes: tuple[PositiveWhole | None, ...] = Field(
        (100, 300, 1000, 3000, 10000, None), min_length=2, description="Numbers of training images; null for all."
    )
    steps: PositiveWhole = Field(2000, description="Optimizer steps of every run, whatever its size.")
    models: Models = None


class Described(Spec):
    """A probe of what every run gives anyway; it has no settings."""


class Probes(Spec):
    """Measurements that test what models assume; a list of names takes their defaults."""

    pixel_permutation: PixelPermutation | None = None
    translation: Translation | None = None
    sample_efficiency: SampleEfficiency | None = None
    receptive_field: Described | None = None
    calibration: Described | None = None


class ReportOptions(Spec):
    """What the report says about itself."""

    title: str | None = None
    author: str | None = None


class Study(Spec):
    """One config file."""

    study: str = Field(description="Name of the study and of its folder under results/.")
    question: str = Field("", description="What the study asks, in one sentence.")
    description: str = Field("", description="More about it, for the report.")
    datasets: dict[Slug, Dataset] = Field(min_length=1)
    seeds: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(
        (1, 2, 3), description="How many seeds (numbered from 1), or a list of them."
    )
    training: Training = Training()
    models: dict[Slug, Model] = Field(min_length=1)
    experiments: dict[Slug, Experiment] = Field({})
    comparisons: dict[Slug, Comparison] = Field({})
    claims: tuple[Claim, ...] = Field((), description="Statements with rules, decided by what the study finds.")
    probes: Probes = Probes()
    statistics: Statistics = Statistics()
    report: ReportOptions = ReportOptions()

    @field_validator("study")
    @classmethod
    def _study_is_a_slug(cls, name: str) -> str:
        return _slug(name)

    @field_validator("models", "datasets", "experiments", "comparisons", mode="after")
    @classmethod
    def _keys_are_slugs(cls, entries: dict) -> dict:
        for name in entries:
            _slug(name)
        return entries

    @field_validator("datasets", mode="before")
    @classmethod
    def _dataset_kind_is_its_key(cls, datasets: Any) -> Any:
        if not isinstance(datasets, Mapping):
            return datasets
        return {
            name: {"kind": name, **(options or {})} if isinstance(options, Mapping | None) else options
            for name, options in datasets.items()
        }

    @field_validator("probes", mode="before")
    @classmethod
    def _probes_by_name(cls, probes: Any) -> Any:
        if isinstance(probes, list) and all(isinstance(name, str) for name in probes):
            return {name: {} for name in probes}
        if isinstance(probes, Mapping):  # a probe without settings takes its defaults
            return {name: {} if options is None else options for name, options in probes.items()}
        return probes

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, seeds: Any) -> Any:
        if isinstance(seeds, float) and seeds.is_integer():
            seeds = int(seeds)
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError(f"asks for {seeds} seeds; a study needs at least one")
            return tuple(range(1, seeds + 1))
        return seeds

    @field_validator("seeds", mode="after")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds:
            raise ValueError("names no seed; a study needs at least one")
        for seed in seeds:
            if seeds.count(seed) > 1:
                raise ValueError(f"names seed {seed} twice")
        return tuple(sorted(seeds))

    @model_validator(mode="wrap")
    @classmethod
    def _keep_what_was_written(cls, data: Any, validate: Any) -> "Study":
        study = validate(data)
        if isinstance(data, Mapping):
            study._written = dict(data)
        return study

    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @cached_property
    def plan(self) -> "Plan":
        """Variants, runs and the questions about them; raises UserError for what cannot be built."""
        return _plan(self)

    def run(self, dataset: str, variant: str, seed: int) -> Run:
        """The spec of one run."""
        chosen = self.plan.variants[variant]
        return Run(dataset=self.datasets[dataset], model=chosen.model, training=chosen.training, seed=seed)

    @property
    def written(self) -> dict[str, Any]:
        """The config as it was given, with one spelling for equal numbers and for seeds."""
        written = {**_numbers(normalised(self._written)), "study": self.study, "seeds": list(self.seeds)}
        if "claims" in self._written:  # their texts stay as they are, even those that look like numbers
            written["claims"] = normalised(self._written["claims"])
        return written

    @property
    def settings(self) -> dict[str, Any]:
        """The config without what only explains: what tables and figures depend on."""
        return _without_texts(self.written)


def _numbers(value: Any) -> Any:
    """Numbers that YAML left as text (``1e-3``) as numbers, and nothing (``fashion_mnist:``) as an empty mapping."""
    if isinstance(value, dict):
        return {
            key: item if key in TEXTS or key == "label" else {} if item is None else _numbers(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return normalised(float(value)) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _without_texts(value: Any, names: bool = False) -> Any:
    """Drop the keys of TEXTS; a model, experiment or dataset that happens to be called so stays (``names``)."""
    if not isinstance(value, dict):
        return value
    named = {"models", "experiments", "comparisons", "datasets"}
    return {
        key: _without_texts(item, names=not names and key in named)
        for key, item in value.items()
        if names or key not in TEXTS
    }


@dataclass(frozen=True)
class Variant:
    """A model after an experiment's override; equal architectures and training share one variant."""

    name: str
    base: str
    label: str
    model: Dense | Conv
    training: Training
    probe: str = ""
    """The probe that this variant is trained for, and nothing else."""


@dataclass(frozen=True)
class Level:
    """One level of an experiment. ``order`` is its value where levels have an order (for the trend), else None."""

    value: Any
    label: str
    variant: str
    order: float | None


@dataclass(frozen=True)
class Question:
    """An experiment or a comparison: variants against a reference. ``factor`` is None for a comparison."""

    name: str
    text: str
    factor: str | None
    base: str
    reference: str
    levels: tuple[Level, ...] = ()
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """A probe's models, and for one that trains the variant of each model at each level: (label, order, variant)."""

    models: tuple[str, ...]
    levels: dict[str, tuple[tuple[str, float, str], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedClaim:
    """A claim with its rule as a tree, variants under the names that they are trained under. Where every quantity names
    its dataset it is decided once, for all of them, which ``datasets`` then joins into one name."""

    id: str
    text: str
    source: str
    published: int | float | str | None
    rule: Rule
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a study trains and asks. ``aliases`` maps every name of a variant to the one it is trained under."""

    variants: dict[str, Variant]
    questions: dict[str, Question]
    costs: dict[tuple[str, str], Cost]
    aliases: dict[str, str] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    claims: dict[str, PlannedClaim] = field(default_factory=dict)

    @property
    def compared(self) -> dict[str, Variant]:
        """The variants that the study is about: all but those that only a probe trains."""
        return {name: variant for name, variant in self.variants.items() if not variant.probe}

    @property
    def duels(self) -> list[tuple[str, str]]:
        """(convolutional, dense) base models that a comparison sets against each other, else the first of each."""
        family = {name: variant.model.family for name, variant in self.variants.items() if name == variant.base}
        found = [
            tuple(sorted((variant, question.reference), key=lambda name: family[name] != "conv"))
            for question in self.questions.values()
            for variant in question.variants
            if {family.get(variant), family.get(question.reference)} == {"conv", "dense"}
        ]
        if not found and {"conv", "dense"} <= set(family.values()):
            found = [tuple(next(name for name in family if family[name] == kind) for kind in ("conv", "dense"))]
        return list(dict.fromkeys(found))


def _plan(study: Study) -> Plan:
    variants: dict[str, Variant] = {}
    identities: dict[str, str] = {}
    aliases: dict[str, str] = {}

    def add(
        name: str, base: str, label: str, model: Dense | Conv, training: Training, where: str, probe: str = ""
    ) -> str:
        """Register a variant, or find the one that is the same; returns its name."""
        identity = canonical_json([model.model_dump(exclude={"why", "label"}), training.model_dump()])
        if identity in identities:
            return aliases.setdefault(name, identities[identity])
        if name in variants:
            raise UserError(f"{where} makes a variant called {name}, which is the name of another; rename one of them")
        identities[identity] = aliases[name] = name
        variants[name] = Variant(name, base, label, model, training, probe)
        return name

    # In sorted order, so that names do not depend on the order of keys, which means nothing.
    for name, model in sorted(study.models.items()):
        owner = add(name, name, model.label or name, model, study.training, f"models.{name}")
        if owner != name:
            raise UserError(f"models.{name} is the same as models.{owner}; remove one, or change a field")

    questions = {}
    for name, experiment in sorted(study.experiments.items()):
        questions[name] = _experiment(study, name, experiment, add)
    for name, comparison in sorted(study.comparisons.items()):
        if name in questions:
            raise UserError(f"comparisons.{name} has the name of an experiment; rename one of them")
        for key, given in (("variant", comparison.variant), ("reference", comparison.reference)):
            if given not in aliases:
                raise UserError(
                    f"comparisons.{name}.{key} is {given!r}, which is no variant{_nearest(given, aliases)}; "
                    f"there are {_listing(aliases)}"
                )
        chosen, reference = aliases[comparison.variant], aliases[comparison.reference]
        if chosen == reference:
            raise UserError(f"comparisons.{name} compares {chosen} with itself; name two different variants")
        text = comparison.question or f"Does {variants[chosen].label} beat {variants[reference].label}?"
        questions[name] = Question(name, text, None, reference, reference, variants=(chosen,))

    probes = _probes(study, Plan(variants, questions, {}), add)
    costs = _check_architectures(study, variants, questions)
    return Plan(variants, questions, costs, aliases, probes, _claims(study, aliases, costs))


def _probes(study: Study, plan: Plan, add: Any) -> dict[str, Probe]:
    """Expand the probes that are switched on; ``add`` registers the variants that they train."""
    compared = dict.fromkeys(name for pair in plan.duels for name in pair)
    found = {}
    for name in Probes.model_fields:
        options = getattr(study.probes, name)
        if options is None:
            continue
        models = getattr(options, "models", None) or tuple(compared or study.models)
        for model in models:
            if model not in study.models:
                raise UserError(
                    f"probes.{name}.models names {model!r}, which is no model{_nearest(model, study.models)}; "
                    f"there are {_listing(study.models)}"
                )
        changes: list[tuple[str, str, float, dict[str, Any]]] = []
        if name == "pixel_permutation":
            intact = math.inf  # whole images are the largest blocks
            changes = [("intact", "", intact, {})]
            for block in sorted(set(options.blocks)):
                label = "pixels shuffled" if block == 1 else f"{block}×{block} blocks shuffled"
                changes.append((label, f"shuffled-{block}", block, {"pixel_permutation": block}))
        elif name == "sample_efficiency":
            for size in sorted(set(options.sizes), key=lambda size: size or math.inf):
                label = "all images" if size is None else f"{size:,} images"
                settings = {"train_size": size, "steps": options.steps}
                changes.append((label, f"images-{size or 'all'}", size or math.inf, settings))
        levels = {}
        for model in models if changes else ():
            variants = []
            for label, slug, order, settings in changes:
                base = plan.variants[model]
                training = Training.model_validate({**base.training.model_dump(), **settings})
                text = f"{base.label}, {label}"
                variant = add(f"{model}-{slug}", model, text, base.model, training, f"probes.{name}", probe=name)
                variants.append((label, order, variant))
            levels[model] = tuple(variants)
        found[name] = Probe(tuple(models), levels)
    return found


def _experiment(study: Study, name: str, experiment: Experiment, add: Any) -> Question:
    """Expand one experiment; ``add`` registers its variants."""
    where = f"experiments.{name}"
    if experiment.base not in study.models:
        raise UserError(
            f"{where}.base is {experiment.base!r}, which is no model{_nearest(experiment.base, study.models)}; "
            f"there are {_listing(study.models)}"
        )
    base, factor = study.models[experiment.base], experiment.factor
    model_fields = set(type(base).model_fields) - {"family", "label", "why"}
    if factor not in model_fields and factor not in Training.model_fields:
        known = sorted(model_fields | set(Training.model_fields))
        raise UserError(
            f"{where}.factor is {factor!r}, which is no field of the {base.family} model {experiment.base} or of "
            f"training{_nearest(factor, known)}; it can be {_listing(known)}"
        )

    def override(value: Any) -> tuple[Dense | Conv, Training]:
        if factor in model_fields:
            written = study._written.get("models", {}).get(experiment.base) or base.model_dump()
            return _models.validate_python({**written, factor: value}), study.training
        return base, Training.model_validate({**study.training.model_dump(), factor: value})

    def built(value: Any, key: str) -> tuple[Dense | Conv, Training]:
        try:
            return override(value)
        except ValidationError as error:
            reason = _sentence(error.errors()[0])
            raise UserError(
                f"{where}.{key}: {factor} {value!r} is not possible for {experiment.base}: {reason}"
            ) from None

    levels: list[Level] = []
    seen: dict[str, Any] = {}
    chosen = [(f"levels[{number}]", value) for number, value in enumerate(experiment.levels)]
    if experiment.reference is not None:
        chosen.append(("reference", experiment.reference))
    reference = None
    for key, value in chosen:
        model, training = built(value, key)
        spec = model if factor in model_fields else training
        canonical = getattr(spec, factor)
        identity = canonical_json([model.model_dump(exclude={"why", "label"}), training.model_dump()])
        if key == "reference":
            if identity not in seen:
                raise UserError(f"{where}.reference {value!r} is not one of the levels; choose one of them")
            reference = seen[identity]
            break
        if identity in seen:
            raise UserError(f"{where}.levels names {value!r} twice (equal to {seen[identity].value!r}); remove one")
        label = level_label(factor, canonical)
        if isinstance(canonical, tuple):
            canonical = list(canonical)
        # One value stands for all blocks only where there are as many as in the base model.
        plain = getattr(base if factor in model_fields else study.training, factor)
        same_length = not isinstance(plain, tuple) or len(plain) == len(canonical)
        name_label = level_label(factor, canonical, short=same_length)
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", name_label.replace("×", "x").replace(", ", "-")).strip("-")
        variant = add(
            f"{experiment.base}-{factor}-{slug}",
            experiment.base,
            f"{base.label or experiment.base}, {factor.replace('_', ' ')} {label}",
            model,
            training,
            f"{where}.levels",
        )
        level = Level(normalised(canonical), label, variant, None)
        seen[identity] = level
        levels.append(level)
    reference = reference or levels[0]
    orders = _orders([level.value for level in levels])
    lists = [level.value for level in levels if isinstance(level.value, list)]
    uniform = all(len(set(values)) == 1 for values in lists) and len({len(values) for values in lists}) <= 1
    levels = [
        Level(level.value, level_label(factor, level.value, short=uniform), level.variant, order)
        for level, order in zip(levels, orders, strict=True)
    ]
    text = experiment.question or f"Does {factor.replace('_', ' ')} matter for {base.label or experiment.base}?"
    others = tuple(level.variant for level in levels if level.variant != reference.variant)
    return Question(name, text, factor, experiment.base, reference.variant, tuple(levels), others)


def level_label(factor: str, value: Any, short: bool = True) -> str:
    """How a level reads: ``5×5, 3×3`` for kernels, ``on`` for true, ``none`` for nothing.

    ``short`` writes a list of equal values as one of them.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "all" if factor == "train_size" else "none"
    if isinstance(value, list | tuple):
        parts = [level_label(factor, item) for item in value]
        return parts[0] if short and len(set(parts)) == 1 else ", ".join(parts) or "none"
    if isinstance(value, Spec):
        return " ".join(f"{key} {item}" for key, item in value.model_dump(exclude_defaults=True).items()) or "on"
    if factor == "kernel_size":
        return f"{value}×{value}"
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if factor == "train_size" else str(value)


def _orders(values: list[Any]) -> list[float | None]:
    """The number that orders each level: itself, or the one place of a per-layer list that varies; else None."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    if all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
        columns = [column for column in zip(*values, strict=True) if len(set(column)) > 1]
        if columns and all(column == columns[0] for column in columns):
            return _orders(list(columns[0]))
    return [None] * len(values)


def _check_architectures(
    study: Study, variants: dict[str, Variant], questions: dict[str, Question]
) -> dict[tuple[str, str], Cost]:
    costs = {}
    for dataset, spec in study.datasets.items():
        shape, classes = dataset_form(dataset, spec)
        for name, variant in variants.items():
            try:
                costs[dataset, name] = cost(variant.model, shape, classes)
            except ShapeError as error:
                where = next(
                    (
                        f"experiments.{question.name}, level {level.label}"
                        for question in questions.values()
                        for level in question.levels
                        if level.variant == name and name != question.base
                    ),
                    f"models.{name}",
                )
                raise UserError(
                    f"{where}: on {dataset} ({shape[0]}×{shape[1]} pixels) {error}; "
                    "use a smaller window, padding: same, or fewer layers"
                ) from None
    return costs


def _claims(study: Study, aliases: Mapping[str, str], costs: Mapping[tuple[str, str], Cost]) -> dict[str, PlannedClaim]:
    """Every claim, its rule parsed and its names found."""
    claims: dict[str, PlannedClaim] = {}
    for number, claim in enumerate(study.claims):
        if not SLUG.fullmatch(claim.id):
            raise UserError(
                f"claims[{number}].id is {claim.id!r}: use letters, digits, - and _ only, and begin with a letter or "
                "digit"
            )
        if claim.id in claims:
            raise UserError(f"claims names {claim.id!r} twice; rename one of them")
        if claim.dataset is not None and claim.dataset not in study.datasets:
            raise UserError(
                f"claims.{claim.id}.dataset is {claim.dataset!r}, which is no dataset of this study"
                f"{_nearest(claim.dataset, study.datasets)}; there are {_listing(study.datasets)}"
            )
        try:
            rule = parse(claim.rule)
            named = _check_names(study, rule, aliases)
            rule = renamed(rule, aliases)
            datasets = (claim.dataset,) if claim.dataset else tuple(study.datasets)
            if None not in named:
                datasets = (", ".join(sorted(named)),)
            _check_meaning(rule, datasets, costs)
        except RuleError as error:
            raise UserError(f"claims.{claim.id}, character {error.position} of its rule: {error}") from None
        claims[claim.id] = PlannedClaim(claim.id, claim.text, claim.source, claim.published, rule, datasets)
    return claims


def _check_names(study: Study, rule: Rule, aliases: Mapping[str, str]) -> set[str | None]:
    """The datasets that a rule's quantities name; RuleError for a name that stands for nothing."""
    for quantity in rule.quantities:
        for kind, name, known in (
            ("quantity", quantity.name, (*EXACT, *MEASURED)),
            ("variant", quantity.variant, aliases),
            ("dataset of this study", quantity.dataset, study.datasets),
        ):
            if name is not None and name not in known:
                raise RuleError(
                    quantity.position, f"{name!r} is no {kind}{_nearest(name, known)}; there are {_listing(known)}"
                )
    return {quantity.dataset for quantity in rule.quantities}


def _check_meaning(rule: Rule, datasets: Iterable[str], costs: Mapping[tuple[str, str], Cost]) -> None:
    """RuleError for a rule that can be read but says nothing."""
    for link in rule.links:
        if not link.quantities:
            raise RuleError(link.position, "compares constants; a claim is about a quantity such as test_accuracy(cnn)")
        if link.left == link.right:
            raise RuleError(link.position, "compares a value with itself")
        if link.relation == "==" and not link.exact:
            raise RuleError(
                link.position, "a measured value never equals another exactly; write left ~ right ± tolerance"
            )
        for dataset in datasets:
            for side in filter(is_exact, (link.left, link.right)):
                try:
                    evaluate(side, lambda q: Fraction(getattr(costs[q.dataset or dataset, q.variant], q.name)))  # noqa: B023
                except ZeroDivisionError:
                    raise RuleError(link.position, "divides by zero") from None


def load_study(config: Mapping[str, Any]) -> Study:
    """Check a config as Snakemake or YAML gives it, and expand it.

    Raises:
        UserError: one sentence that names the key and what to do.
    """
    try:
        study = Study.model_validate(dict(config))
    except ValidationError as error:
        raise UserError(_explain(error)) from None
    study.plan  # noqa: B018  (expanding is what finds impossible variants)
    return study


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen and key != "<<":
                raise UserError(
                    f"line {key_node.start_mark.line + 1} names {key!r} a second time; rename or remove one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file, refusing duplicate keys; every failure is a UserError that names the file and line."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a config file with --configfile") from None
    except UserError as error:
        raise UserError(f"{path}, {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{place} is not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no settings; begin with a line such as 'study: my_study'")
    return value


def _explain(error: ValidationError) -> str:
    """The first error as one sentence, and how many more there are."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    place = _place(first)
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        name = str(first["loc"][-1])
        parent = _place({**first, "loc": first["loc"][:-1]}) or "the config"
        text = f"unknown key {name!r} in {parent}{_nearest(name, known)}; it can have {_listing(known)}"
        if first["loc"][0] == "claims" and first["input"] is None:  # YAML ends a text between braces at its first comma
            text += "; between { } a text with a comma needs quotation marks"
    elif first["type"].startswith("union_tag") and first["loc"][0] == "datasets":
        text = _unknown_kind(first)
    elif first["type"] == "missing":
        text = f"{place} is missing; add it"
    else:
        text = f"{place or 'the config'} {_sentence(first)}"
    return text + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def _unknown_kind(error: Mapping[str, Any]) -> str:
    """A dataset whose kind, written or taken from its name, is none."""
    name, kind = str(error["loc"][1]), str(error["input"].get("kind"))
    known = f"{_nearest(kind, KINDS)}; there are {_listing(KINDS)}"
    if kind != name:
        return f"datasets.{name}.kind is {kind!r}, which convlab does not know{known}"
    own = "; images of your own need 'kind: image_folder' or 'kind: npz'"
    return f"datasets.{name} is no dataset that convlab knows{known}{own if 'path' in error['input'] else ''}"


def _sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with one value, in words that need no knowledge of Python."""
    kind, context, given = error["type"], error.get("ctx", {}), error.get("input")
    shown = "" if isinstance(given, dict | list | tuple) or kind == "value_error" else f" (it is {given!r})"
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_short":
        least = context["min_length"]
        return (
            "is empty; it needs at least one entry"
            if not context["actual_length"]
            else f"needs at least {least} entries"
        )
    if kind == "union_tag_invalid":
        return f"should have family dense or conv, not {context['tag']!r}"
    if kind == "union_tag_not_found":
        return "has no family; add 'family: dense' or 'family: conv'"
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return f"should be {_listing(options, 'or')}{shown}{_nearest(str(given), options)}"
    message = error["msg"].replace("Input should be", "should be").replace("a valid integer", "a whole number")
    message = re.sub(r"a valid dictionary.*", "a mapping (name: value)", message).replace("a valid tuple", "a list")
    message = (
        message.replace("a valid number", "a number")
        .replace("a valid string", "text")
        .replace("a valid boolean", "true or false")
    )
    message = message.split(", unable to parse")[0].split(", got a number with a fractional part")[0]
    return message[0].lower() + message[1:] + shown


def _place(error: Mapping[str, Any]) -> str:
    """``models.cnn.filters[0]``: the place, without pydantic's own steps (family of a model, kind of a dataset)."""
    text = ""
    for position, step in enumerate(error["loc"]):
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (position == 2 and step in {"models": ("dense", "conv"), "datasets": KINDS}.get(error["loc"][0], ())):
            text += f".{step}" if text else str(step)
    return text


def _fields_at(location: Iterable[Any]) -> list[str]:
    """Names that are allowed at a place of the config."""
    location = list(location)
    nested = {
        "training": Training,
        "statistics": Statistics,
        "report": ReportOptions,
        "experiments": Experiment,
        "comparisons": Comparison,
        "claims": Claim,
        "probes": Probes,
    }
    if not location:
        return list(Study.model_fields)
    if location[0] == "models" and len(location) > 2:
        return list((Dense if location[2] == "dense" else Conv).model_fields)
    if location[0] == "datasets" and len(location) > 2:
        return list(KINDS[location[2]].model_fields)
    holder = {"training": Training, "probes": Probes}.get(location[0])
    if holder and len(location) > 1:
        return list(holder.model_fields[location[1]].annotation.__args__[0].model_fields)
    return list(nested[location[0]].model_fields)


def _nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near and near[0] != name else ""


def _listing(names: Iterable[str], conjunction: str = "and") -> str:
    names = list(names)
    shown = names if len(names) <= 30 else [*names[:29], f"{len(names) - 29} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"


def schema() -> dict[str, Any]:
    """JSON schema of the config, for editors; ``workflow/schemas/config.schema.json`` is kept equal to it."""
    written = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
    datasets = written["properties"]["datasets"]["additionalProperties"]
    datasets.pop("discriminator")
    datasets["anyOf"] = datasets.pop("oneOf")
    for spec in set(KINDS.values()):  # a dataset's name is its kind unless one is written
        written["$defs"][spec.__name__]["required"].remove("kind")
    return written


__all__ = ["Level", "Plan", "PositiveWhole", "Question", "Study", "Variant", "load_study", "read_yaml", "schema"]
