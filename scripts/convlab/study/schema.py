"""Schema of ``config.yaml``: pydantic models of the study and its parts.

The Snakefile imports it: pydantic and the standard library only.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    create_model,
    field_validator,
    model_validator,
)

from convlab.common import registry
from convlab.common.i18n import LANGUAGES, SOURCE
from convlab.common.redaction import account_numbers, masked
from convlab.common.specs import (
    Name,
    PositiveWhole,
    Real,
    Seed,
    Spec,
    canonical_value,
    is_off,
    normalised,
    off_as_none,
)
from convlab.datasets.registry import Form, any_dataset
from convlab.datasets.shapes import dataset_form
from convlab.datasets.specs import DATASET_TEXTS
from convlab.models.registry import any_model
from convlab.models.specs import BaseModelSpec
from convlab.probes import registry as probes
from convlab.study.metrics import METRICS
from convlab.study.sagemaker import SageMaker
from convlab.study.seeds import PlannedSeeds, Schedule
from convlab.study.tuning import Tuning
from convlab.study.variants import Plan
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

SLUG = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")
MAX_NAME = 100
"""Characters of a name. File systems allow 255 bytes, and a variant's name is a model's and a level's."""

PERIODIC = re.compile(r"(.+?)\1{19,}$")
"""A name whose end repeats twenty times, which Snakemake takes for an endless recursion."""

RUBRICS = "convlab.study.rubrics"
"""Package of the grading rubrics, a module each."""

TEXTS = {"question", "description", "report", *DATASET_TEXTS}
"""Keys with explanations: only the report depends on them (the figures depend on the report's language)."""


def _slug(name: str) -> str:
    if not SLUG.fullmatch(name):
        raise ValueError(
            f"{name!r} names a folder: use letters, digits, - and _ only, and begin with a letter or digit"
        )
    if len(name) > MAX_NAME:
        raise ValueError(f"{name[:20] + '...'!r} has {len(name)} characters; choose a name of at most {MAX_NAME}")
    if PERIODIC.search(name):
        raise ValueError(
            f"{name!r} ends in twenty equal parts, which Snakemake takes for an endless recursion; choose another name"
        )
    return name


Slug = Name


Levels = Annotated[list[Any], Field(min_length=2)]


class Experiment(Spec):
    """One factor varied over levels from a base model, everything else fixed; or two, in all combinations."""

    base: Slug = Field(description="The model to vary.")
    factor: str | None = Field(None, description="A field of the model or of `training`.")
    levels: Levels | None = Field(None, description="The values that the factor takes.")
    factors: dict[str, Levels] | None = Field(
        None, description="Instead of factor and levels: two factors, each with its levels, in all combinations."
    )
    reference: Any = Field(
        None, description="The level that the others are compared with, of two factors both; the first when absent."
    )
    question: str | None = Field(None, description="What the experiment asks, for the report.")

    @model_validator(mode="after")
    def _one_factor_or_two(self) -> "Experiment":
        if self.factors is None and (self.factor is None or self.levels is None):
            missing = "factor" if self.factor is None else "levels"
            raise ValueError(f"has no {missing}; it needs factor and levels, or factors: two of them with their levels")
        if self.factors is not None:
            if self.factor is not None or self.levels is not None:
                raise ValueError("has factors beside factor or levels; keep one way of saying it")
            if len(self.factors) != 2:
                raise ValueError(
                    f"varies {len(self.factors)} factors together; that is possible for exactly two, and one is "
                    "written as factor and levels"
                )
        return self

    def as_written(self, base: BaseModelSpec) -> dict[str, Any]:
        """Levels and reference in canonical form; values that the base model cannot have are left as they are."""

        def canonical(factor: str | None, value: Any) -> Any:
            try:
                if factor is not None and base.has_factor(factor):
                    return base.canonical_level(factor, value)
                return canonical_value(Training, factor, value) if factor in Training.model_fields else value
            except ValueError:  # pydantic's ValidationError is such
                return value

        if self.factors is None:
            written = {"levels": [canonical(self.factor, value) for value in self.levels]}
            reference = None if self.reference is None else canonical(self.factor, self.reference)
        else:
            written = {
                "factors": {
                    factor: [canonical(factor, value) for value in levels] for factor, levels in self.factors.items()
                }
            }
            reference = self.reference
            if isinstance(reference, Mapping):
                reference = {factor: canonical(factor, value) for factor, value in sorted(reference.items())}
        return written if reference is None else {**written, "reference": reference}


class Comparison(Spec):
    """Two variants set against each other."""

    variant: Slug = Field(description="Any variant.")
    reference: Slug = Field(description="The variant that it is compared with.")
    question: str | None = Field(None, description="What the comparison asks, for the report.")


def _figure(value: Any) -> Any:
    """A published figure is a number or text; Python would take true for 1, and infinity for a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | None):
        raise ValueError(f"should be a number or text (it is {value!r}); put it in quotation marks")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should be a finite number or text")
    return value


class Claim(Spec):
    """A statement with its rule: supported, contradicted, inconclusive, or described. Write it before the runs."""

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
        0.005,
        description="Differences within ± this count as none in practice, in the unit of the metric: 0.005 is half a "
        "percentage point of accuracy, balanced accuracy, macro F1 or AUROC, and 0.005 nats of loss.",
    )
    metric: Literal[tuple(METRICS)] = Field(
        "accuracy",
        description="What verdicts are about, on the test images: accuracy; balanced_accuracy, the mean recall of the "
        "classes; macro_f1, their mean F1; loss, the cross-entropy in nats, of which less is better; auroc, the mean "
        "area under the ROC curve of each class against the rest. Every table has all of them.",
    )


Probes = create_model(
    "Probes",
    __base__=Spec,
    __module__=__name__,
    __doc__="Measurements that test what models assume; a list of names takes their defaults.",
    **{name: (probes.settings(name) | None, None) for name in probes.names()},
)


class ReportOptions(Spec):
    """What the report says about itself."""

    title: str | None = Field(None, description="Heading of the report; the question or the study's name when absent.")
    author: str | None = Field(None, description="Who made it, for the report's head.")
    language: Literal[LANGUAGES] = Field(SOURCE, description="Language of the report, its figures and its sentences.")
    rubric: Literal[registry.names(RUBRICS)] | None = Field(
        None,
        description="Grading rubric whose checklist `make plan` and the report show: what is there, what is missing, "
        "and which key adds it. It gives no points.",
    )


class Deploy(Spec):
    """The model that leaves the suite, and where it is served. Only `export` and `deploy` depend on it."""

    target: Literal["local", "sagemaker"] = Field(
        "local", description="Where it is served: local, a server on this machine; sagemaker, an endpoint on AWS."
    )
    dataset: Slug | None = Field(None, description="The dataset whose model it is; one model for each when absent.")
    variant: Slug | None = Field(
        None,
        description="Any variant; when absent, of those of which most runs finished the one with the best mean "
        "validation accuracy.",
    )
    formats: tuple[Literal["keras", "onnx", "saved_model", "safetensors"], ...] = Field(
        ("keras", "onnx", "saved_model"),
        description="Files that export writes, each compared with the trained model: keras and onnx always; "
        "saved_model needs TensorFlow, and target sagemaker needs it; safetensors are the weights by name.",
    )
    runtime: Literal["onnx", "saved_model"] = Field("onnx", description="What computes: ONNX Runtime or TensorFlow.")
    test_images: PositiveWhole = Field(100, description="Test images that the endpoint is asked about, one at a time.")
    seed: Seed = Field(0, description="Seed that draws them.")
    sagemaker: SageMaker | None = Field(None, description="What target sagemaker needs to know.")

    @model_validator(mode="after")
    def _what_is_served_is_exported(self) -> "Deploy":
        if missing := [name for name in ("keras", "onnx") if name not in self.formats]:
            raise ValueError(f"has formats without {missing[0]}; keras and onnx are always exported")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError("has formats that are named twice")
        if "saved_model" not in self.formats:
            if self.target == "sagemaker":
                raise ValueError("has target sagemaker, which serves the SavedModel; add saved_model to its formats")
            if self.runtime == "saved_model":
                raise ValueError("has runtime saved_model, which is not among its formats; add it there")
        return self

    @model_validator(mode="after")
    def _what_sagemaker_needs(self) -> "Deploy":
        if self.target == "sagemaker":
            if self.sagemaker is None:
                raise ValueError("has target sagemaker, which needs sagemaker: with at least role_arn and bucket")
            if self.runtime == "onnx" and "runtime" in self.model_fields_set:
                raise ValueError("has runtime onnx, which is for target local; on SageMaker TensorFlow computes")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options that ``deploy.py`` takes."""
        unused = {
            "dataset": True,
            "variant": True,
            "formats": True,
            "sagemaker": {"prices"},
        }  # which only the plan reads
        written = self.model_dump(exclude=unused, exclude_none=True)
        if self.target == "sagemaker":
            return {**written, "runtime": "saved_model"}
        return {name: value for name, value in written.items() if name != "sagemaker"}


class Study(Spec):
    """One config file."""

    _plan: Plan | None = PrivateAttr(None)
    _schedule: Schedule = PrivateAttr(Schedule())
    _forms: dict[str, Form] = PrivateAttr(default_factory=dict)

    study: Name = Field(description="Name of the study and of its folder under results/.")
    question: str = Field("", description="What the study asks, in one sentence.")
    description: str = Field("", description="More about it, for the report.")
    datasets: dict[Slug, any_dataset()] = Field(min_length=1, description="Which images, at least one dataset.")
    seeds: PlannedSeeds = Field(
        (1, 2, 3),
        validate_default=True,
        description="How many seeds (numbered from 1), a list of them, or planned looks.",
    )
    training: Training = Training()
    models: dict[Slug, any_model()] = Field(min_length=1, description="Architectures, at least one.")
    experiments: dict[Slug, Experiment] = Field({}, description="Factors that are varied, one or two together.")
    comparisons: dict[Slug, Comparison] = Field({}, description="Pairs of variants that are compared.")
    claims: tuple[Claim, ...] = Field((), description="Statements with rules, decided by what the study finds.")
    probes: Probes = Probes()
    statistics: Statistics = Statistics()
    tuning: Annotated[Tuning | None, BeforeValidator(off_as_none)] = Field(
        None, description="A search over training settings, the same for all variants; none when absent."
    )
    report: ReportOptions = ReportOptions()
    deploy: Deploy = Deploy()

    @field_validator("study")
    @classmethod
    def _study_is_a_slug(cls, name: str) -> str:
        return _slug(name)

    @field_validator("models", "datasets", "experiments", "comparisons", mode="after")
    @classmethod
    def _keys_are_slugs(cls, entries: dict) -> dict:
        for name in entries:
            _slug(name)
        return dict(sorted(entries.items()))  # the order of keys means nothing

    @field_validator("models", "datasets", "experiments", "comparisons", mode="before")
    @classmethod
    def _names_differ(cls, entries: Any) -> Any:
        if isinstance(entries, Mapping):
            for name, count in Counter(map(str, entries)).items():
                if count > 1:
                    raise ValueError(f"has two entries called {name}; rename or remove one")
        return entries

    @field_validator("datasets", mode="before")
    @classmethod
    def _dataset_kind_is_its_key(cls, datasets: Any) -> Any:
        if not isinstance(datasets, Mapping):
            return datasets
        return {
            name: {
                "kind": str(name),
                **{key: item for key, item in (options or {}).items() if (key, item) != ("kind", None)},
            }
            if isinstance(options, Mapping | None)
            else options
            for name, options in datasets.items()
        }

    @field_validator("probes", mode="before")
    @classmethod
    def _probes_by_name(cls, probes: Any) -> Any:
        if is_off(probes):
            return {}
        if isinstance(probes, list | tuple) and all(isinstance(name, str) for name in probes):
            return {name: {} for name in probes}
        if isinstance(probes, Mapping):  # a probe without settings takes its defaults; one that is off is not there
            return {
                name: {} if options is None or options is True else options
                for name, options in probes.items()
                if options is None or not is_off(options)
            }
        raise ValueError(f"should be a list of names, such as [translation, calibration] (it is {probes!r})")

    @field_validator("claims", mode="before")
    @classmethod
    def _no_claims(cls, claims: Any) -> Any:
        return off_as_none(claims) or ()

    @property
    def plan(self) -> Plan:
        """Variants, runs and the questions about them, as ``load_study`` expanded them."""
        if self._plan is None:
            raise RuntimeError("a study has its plan from convlab.study.load.load_study")
        return self._plan

    def with_plan(self, plan: Plan) -> "Study":
        """This study with its plan, which ``convlab.study.expand`` made from it."""
        self._plan = plan
        return self

    @property
    def schedule(self) -> Schedule:
        """How far the study has come in its planned looks."""
        return self._schedule

    def with_schedule(self, schedule: Schedule) -> "Study":
        """This study with the seeds that its variants have so far."""
        self._schedule = schedule
        return self

    def form(self, dataset: str) -> Form:
        """Image shape and class count of a dataset; a user's own files are listed for it once."""
        if dataset not in self._forms:
            self._forms[dataset] = dataset_form(dataset, self.datasets[dataset])
        return self._forms[dataset]

    def seeds_of(self, dataset: str, variant: str) -> tuple[int, ...]:
        """The seeds of a variant's runs on a dataset, or of a trial's: all, or those of the planned looks so far."""
        first, owner = self.seeds.counts[0], self.plan.owner(variant).name
        return self.seeds[: self._schedule.counts.get(dataset, {}).get(owner, first)]

    @property
    def seed_counts(self) -> tuple[int, ...]:
        """The numbers of seeds that variants have so far, in ascending order: one where they have equally many."""
        return tuple(sorted({len(self.seeds_of(name, v)) for name in self.datasets for v in self.plan.compared}))

    def run(self, dataset: str, variant: str, seed: int) -> Run:
        """The spec of one run, of a variant or of a trial."""
        chosen, trial = self.plan.owner(variant), self.plan.trials.get(variant)
        training = self.tuning.of_trial(chosen.training, trial.number, seed) if trial else chosen.training
        return Run(dataset=self.datasets[dataset], model=chosen.model, training=training, seed=seed)

    def choice(self, dataset: str) -> dict[str, Any]:
        """Input to the choice of the exported model: MACs and seeds of each candidate, whether the config names one.

        MACs are None for a model that is known once it is built; ``described`` has the variant of its description.
        """
        costs = self.plan.costs
        candidates = {
            name: costs[dataset, name].macs if (dataset, name) in costs else None for name in self.plan.candidates
        }
        seeds = {name: list(self.seeds_of(dataset, name)) for name in self.plan.candidates}
        described = {name: self.plan.described[name] for name in self.plan.candidates if name in self.plan.described}
        named = self.deploy.variant is not None
        choice = {"candidates": candidates, "seeds": seeds, "named": named, "described": described}
        return {**choice, "formats": list(self.deploy.formats)}

    @cached_property
    def validated_config(self) -> dict[str, Any]:
        """The config's own settings after validation, without account numbers. Loading it returns the same study.

        Other processes are given this or ``settings``, never the file, which can say the same in many ways.
        """
        written = self._as_config(defaults=True)
        if self.deploy.sagemaker:
            written["deploy"] = masked(written["deploy"], account_numbers(written["deploy"]))
        return written

    @property
    def settings(self) -> dict[str, Any]:
        """What tables and figures depend on: the study without explanations and deployment, and the language.

        Equal studies have equal settings, however they were written and whether defaults were written or not.
        """
        handed_on = self._as_config(defaults=False)
        kept = {key: value for key, value in without_texts(handed_on).items() if key != "deploy"}
        return {**kept, "report": {"language": self.report.language}}

    def _as_config(self, defaults: bool) -> dict[str, Any]:
        """The study as plain JSON types, from which another process can load an equal one.

        Args:
            defaults: keep keys that were written with their default value.
        """
        written = self.model_dump(mode="json", exclude_unset=defaults, exclude_defaults=not defaults)
        written |= {"study": self.study, "seeds": self.seeds.as_written()}
        for name, model in self.models.items():
            written["models"][name] = {"family": model.family, **model.as_written(defaults)}
        for name, experiment in self.experiments.items():
            if experiment.base in self.models:
                written["experiments"][name] |= experiment.as_written(self.models[experiment.base])
        return normalised(written)

    @property
    def exported(self) -> tuple[str, ...]:
        """The datasets for which a model is exported."""
        return (self.deploy.dataset,) if self.deploy.dataset else tuple(self.datasets)


def without_texts(value: Any, names: bool = False) -> Any:
    """Drop the keys of TEXTS, but not a model, experiment or dataset with such a name (``names``)."""
    if not isinstance(value, dict):
        return value
    named = {"models", "experiments", "comparisons", "datasets"}
    return {
        key: without_texts(item, names=not names and key in named)
        for key, item in value.items()
        if names or key not in TEXTS
    }
