"""A study's models and questions as sections of a notebook: what builds each variant, and where it is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language import numbers as say
from convlab.notebook.builders import Builder, builders, calls_of, function_names
from convlab.notebook.own_code import as_cells
from convlab.notebook.recipes import Recipe
from convlab.probes import registry as probe_registry
from convlab.study.labels import field_label, level_label
from convlab.study.schema import Study
from convlab.study.variants import Question, Variant


@dataclass(frozen=True)
class Training:
    """A variant to train: its name, code of the function that builds it, and code of further arguments."""

    name: str
    build: str
    arguments: str


@dataclass(frozen=True)
class Section:
    """A model: heading, the choices that were made with their reasons, code, and how it is trained.

    ``source`` is the text of the user's own file that has the model's function, if it has one and is not shown before.
    """

    heading: str
    rows: Sequence[tuple[str, str, str]]
    parameters: str
    code: str
    training: Training
    source: str = ""


@dataclass(frozen=True)
class QuestionSection:
    """An experiment or a comparison: what changes, functions and trainings that it adds, and what the study says."""

    text: str
    factor: str
    levels: str
    base: str
    names: Sequence[str]
    functions: Sequence[str]
    trained: Sequence[Training]
    sentences: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class ProbeSection:
    """A probe that trains variants: heading, what it does, the variants, trainings that it adds, and what was found."""

    heading: str
    introduction: str
    names: Sequence[str]
    trained: Sequence[Training]
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Written:
    """All variants of a study as code, for one dataset.

    Attributes:
        builders: the functions of each model, by its name.
        draws: whether a layer of any variant draws random numbers while it trains.
        filtered: the variants whose first convolution has filters that can be drawn, a plain ``Conv2D``.
    """

    builders: Mapping[str, Sequence[Builder]]
    draws: bool
    filtered: Sequence[str]

    @property
    def calls(self) -> dict[str, str]:
        """Code of what builds each variant."""
        return {name: text for group in self.builders.values() for entry in group for name, text in entry.calls.items()}


def written(study: Study, input_shape: Sequence[int], classes: int, keras: Any) -> Written:
    """Write all variants of a study as code. Raises UserError for a model that cannot be written."""
    variants = study.plan.variants
    made = {name: calls_of(variant, input_shape, classes, keras) for name, variant in variants.items()}
    calls = {name: entry[0] for name, entry in made.items()}
    first = {name: next((c.callee for c in entry if "Conv2D" in c.callee), "") for name, entry in calls.items()}
    filtered = [name for name in calls if first[name] == "layers.Conv2D"]
    by_model, functions = {}, function_names(variants)
    for model in baselines_first(study):
        others = [variant for variant in variants.values() if variant.base == model and variant.name != model]
        by_model[model] = builders(variants[model], others, calls, functions)
    return Written(by_model, any(draws for _calls, draws in made.values()), filtered)


def baselines_first(study: Study) -> list[str]:
    """Names of the models: dense ones, then the others, both in the order of the plan."""
    return sorted(study.models, key=lambda name: study.plan.variants[name].side != "dense")


def model_sections(study: Study, dataset: str, code: Written, trainings: Mapping[str, Training]) -> list[Section]:
    """A section for each model, baselines first."""
    shown: set[str] = set()
    sections = []
    for name, functions in code.builders.items():
        variant = study.plan.variants[name]
        sources = [text for text in as_cells(variant.model.sources) if text not in shown]
        shown.update(sources)
        parameters = say.count(study.plan.costs[dataset, name].parameters)
        source = "".join(sources)
        sections.append(
            Section(_heading(variant), choices(variant), parameters, functions[0].code, trainings[name], source)
        )
    return sections


def _heading(variant: Variant) -> str:
    """What a model is, and its label."""
    return _(N_("Baseline: {label}") if variant.side == "dense" else N_("Model: {label}"), label=variant.label)


def choices(variant: Variant) -> list[tuple[str, str, str]]:
    """Field, value and reason of what was chosen: all that has a reason, or is not a default."""
    model, explained = variant.model, variant.model.explained_fields
    chosen = {*model.why, *model.as_written(defaults=False)}
    rows = [
        (field_label(name), level_label(name, value), model.why.get(name, say.MISSING))
        for name, (value, _meaning) in explained.items()
        if name in chosen
    ]
    rows.sort(key=lambda row: row[2] == say.MISSING)
    return [(_("family"), level_label("family", model.family), model.why.get("family", say.MISSING)), *rows]


def trainings_of(study: Study, seeds: Mapping[str, Sequence[int]], code: Written, recipes: Sequence[Recipe]) -> dict:
    """How each variant is trained, by name; with the number of its seeds where that is not the most."""
    arguments = {name: text for recipe in recipes for name, text in recipe.arguments.items()}
    most = max(map(len, seeds.values()))
    trainings = {}
    for name, build in code.calls.items():
        fewer = f", seeds=SEEDS[:{len(seeds[name])}]" if len(seeds[name]) < most else ""
        trainings[name] = Training(name, build, f"{arguments[name]}{fewer}")
    return trainings


def probe_sections(
    study: Study, trainings: Mapping[str, Training], findings: Mapping[str, Sequence[Finding]], given_validation: bool
) -> list[ProbeSection]:
    """A section for each probe that trains variants, as far as it measured something."""
    trained = set(study.plan.compared)
    sections = []
    for name, probe in study.plan.probes.items():
        names = [variant for levels in probe.levels.values() for _label, _order, variant in levels]
        if name not in findings or not names:
            continue
        new = [variant for variant in dict.fromkeys(names) if variant not in trained]
        trained.update(new)
        words = probe_registry.part(name, "findings")
        sections.append(
            ProbeSection(
                _(words.TITLE),
                words.introduction(study.training, given_validation),
                list(dict.fromkeys(names)),
                [trainings[variant] for variant in new],
                findings[name],
            )
        )
    return sections


def question_sections(
    study: Study, code: Written, trainings: Mapping[str, Training], sentences: Mapping[str, Sequence[str]]
) -> list[QuestionSection]:
    """A section for each question; each variant is built and trained in the first that asks for it."""
    functions = {entry.variant: entry for group in code.builders.values() for entry in group[1:]}
    trained, sections = set(code.builders), []
    for question in study.plan.questions.values():
        names = list(dict.fromkeys([question.reference, *question.level_labels, *question.variants]))
        new = [name for name in names if name not in trained]
        trained.update(new)
        sections.append(_question_section(study, question, names, new, functions, trainings, sentences[question.name]))
    return sections


def _question_section(
    study: Study,
    question: Question,
    names: Sequence[str],
    new: Sequence[str],
    functions: Mapping[str, Builder],
    trainings: Mapping[str, Training],
    sentences: Sequence[str],
) -> QuestionSection:
    """A question's section; seven parameters, what the sections share among them."""
    variants, levels = study.plan.variants, [level.label for level in question.levels]
    base = study.plan.aliases.get(question.base, question.base) if question.levels else question.reference
    others = levels or [variants[name].label for name in question.variants]
    return QuestionSection(
        question.text,
        question.subject,
        listing(others),
        variants[base].label,
        names,
        [functions[name].code for name in new if name in functions],
        [trainings[name] for name in new],
        sentences,
    )
