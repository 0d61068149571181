"""What the templates of a notebook are given: a finished study's data, code, sentences and recorded predictions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing
from convlab.datasets.prepared import PERMUTATION_SEED
from convlab.evaluation.records import read_measures
from convlab.findings.collect import interpret
from convlab.language import numbers as say
from convlab.notebook.cells import Cells
from convlab.notebook.keras_double import Code, literal
from convlab.notebook.models import (
    Written,
    baselines_first,
    model_sections,
    probe_sections,
    question_sections,
    trainings_of,
    written,
)
from convlab.notebook.own_code import as_cells, refuse_clashes
from convlab.notebook.recipes import Recipe, recipes
from convlab.page.dataset import data_tables
from convlab.page.format import duration
from convlab.page.loading import ReportData
from convlab.page.templates import Verbatim, environment, markdown_text
from convlab.page.verdicts import claim_cards, question_card
from convlab.probes import registry as probe_registry
from convlab.probes.all_findings import all_findings, by_assumption
from convlab.study import layout
from convlab.study.data_texts import reason
from convlab.study.labels import field_label, level_label
from convlab.study.metrics import ACCURACY
from convlab.study.schema import Study

SHOWN_CLASSES = 10
"""Classes of which samples are shown, the first ones."""

MAX_DRAWN_VARIANTS = 8
"""Variants whose filters and feature maps are drawn, the first ones."""

COMPUTING_PACKAGES = {"keras": ("keras",), "tensorflow": ("tensorflow", "tensorflow-cpu"), "numpy": ("numpy",)}
"""Packages whose versions the last cell compares: the name to import, and the names that may be installed."""


def render(study: Study, dataset: str, data: ReportData, folder: Path, keras: Any) -> Cells:
    """The cells of a study's notebook on one dataset.

    Args:
        folder: the study's folder under results/.
        keras: the module, with which the models are built once.

    Raises:
        UserError: a model or a setting cannot be written into a notebook.
    """
    study, cells = _with_own_code(study, dataset, data), Cells()
    manifest = data.manifests[dataset]
    variants = {name: study.plan.variants[name] for name in _in_order(study)}
    how = recipes(list(variants.values()), study.training)
    code = written(study, manifest["input_shape"], len(manifest["classes"]), keras)
    seeds = {name: study.seeds_of(dataset, name) for name in variants}
    trainings = trainings_of(study, seeds, code, how)
    cards = {name: question_card(data.results, dataset, q) for name, q in study.plan.questions.items()}
    sentences = {name: [*(c.sentence for c in card.contrasts), *card.trends] for name, card in cards.items()}
    detailed = data.results.variants_with_details(dataset)
    labels = {name: variant.label for name, variant in study.plan.variants.items()}
    probed = all_findings(**data.probed, labels=labels, dataset=dataset, rope=data.results.rope)
    filtered = [name for name in detailed if name in code.filtered]
    view = {
        **template_functions(cells),
        **_words(study, data, dataset),
        **_data_view(study, data, dataset),
        **_runs_view(study, data, dataset, seeds, folder),
        "recipes": how,
        "recipe_text": recipe_text(study),
        "needs": needs(study, how, code, any(entry["status"] != "finished" for entry in data.trained.values())),
        "models": model_sections(study, dataset, code, trainings),
        "questions": question_sections(study, code, trainings, sentences),
        "detailed": detailed,
        "shown_model": next(reversed(filtered or detailed), None),
        "convolutional": [name for name in code.filtered if name in study.plan.compared][:MAX_DRAWN_VARIANTS],
        "probes": probe_sections(study, trainings, probed, "x_validation" in manifest["arrays"]),
        "topics": interpret(data.results, dataset, by_assumption(probed)),
        "left_out": _left_out(study),
    }
    environment("markdown").get_template("notebook/notebook.j2").render(view)
    refuse_clashes(cells, {text for variant in variants.values() for text in as_cells(variant.model.sources)})
    return cells


def _with_own_code(study: Study, dataset: str, data: ReportData) -> Study:
    """The study with the user's own code in its models, as the runs recorded it."""
    plan, variants = study.plan, {}
    for name, variant in plan.variants.items():
        record = data.trained[dataset, name, study.seeds_of(dataset, name)[0]]
        variants[name] = replace(variant, model=variant.model.with_sources(record.get("sources", {})))
    return study.with_plan(replace(plan, variants=variants))


def template_functions(cells: Cells) -> dict[str, Any]:
    """Functions of the templates: what adds a cell, and what prints values, code and texts into code."""
    return {
        "markdown": cells.markdown,
        "code": cells.code,
        "py": lambda value: Verbatim(literal(_plain(value))),
        "raw": Verbatim,
        "code_text": code_text,
        "formatted": formatted,
        "schedule_text": schedule_text,
        "permutation_seed": PERMUTATION_SEED,
    }


def _in_order(study: Study) -> list[str]:
    """Names of all variants: of each model in turn, baselines first."""
    order = {name: position for position, name in enumerate(baselines_first(study))}
    return sorted(study.plan.variants, key=lambda name: order[study.plan.variants[name].base])


def _plain(value: Any) -> Any:
    """A value as a literal can be written: lists as lists."""
    if isinstance(value, list):
        return Code(f"[{', '.join(literal(_plain(item)) for item in value)}]")
    return value


def code_text(text: str) -> Markup:
    """Text for the inside of a string in double quotes, of a docstring or of a comment: on one line, quotes escaped."""
    return Markup(re.sub(r"\s+", " ", text).replace("\\", "\\\\").replace('"', '\\"'))


def formatted(message: str, **values: Any) -> Markup:
    """A message of ours, whose Markdown stays, with values from elsewhere, whose Markdown is escaped."""
    return Markup(message.format(**{name: markdown_text(value) for name, value in values.items()}))


def _words(study: Study, data: ReportData, dataset: str) -> dict[str, Any]:
    """Title, and what the words of the report (report/text) are made with."""
    metric, title = study.plan.metric, study.report.title or study.question or study.study
    return {
        "study": study,
        "plan": study.plan,
        "dataset": dataset,
        "datasets": [dataset],
        "title": title,
        "lead": study.question if study.question != title else "",
        "metric": _(metric.name),
        "by_accuracy": metric == ACCURACY,
        "difference_unit": metric.difference_unit,
        "rope": say.region(study.statistics.rope, metric.difference_unit),
        "claims": claim_cards(data.results, several=False),
        # Words about methods, which a notebook does not have.
        "planned": None,
        "registered": False,
        "test_origin": "",
        "validation_origin": "",
        "drawn_validation": (),
        "design": {"select": "", "kept": ""},
        "max_rows": 0,
        "baselines": {},
    }


def _data_view(study: Study, data: ReportData, dataset: str) -> dict[str, Any]:
    """What is said of the data, and how their arrays are known again."""
    manifest, classes = data.manifests[dataset], data.manifests[dataset]["classes"]
    facts = data_tables(data.explored[dataset], manifest, study.datasets[dataset])["facts"].rows
    named = dict(facts)
    return {
        "reason": reason(study.datasets[dataset]),
        "images_text": named["images"],
        "shape_text": "×".join(map(str, manifest["input_shape"])),
        "source": _(manifest["source"]),
        "licence": _(manifest["licence"]),
        "citation": manifest["citation"],
        "facts": [(name, value) for name, value in facts if name not in ("images", "classes", "shape")],
        "checksums": {name: entry["sha256"] for name, entry in manifest["arrays"].items()},
        "given_validation": "x_validation" in manifest["arrays"],
        "classes": classes,
        "shown_classes": min(len(classes), SHOWN_CLASSES),
        "has_dollars": any("$" in text for text in (*classes, *(v.label for v in study.plan.variants.values()))),
        "long_names": max(map(len, classes)) > 3,
        "matrix_side": 5 if len(classes) <= 10 else 8,
    }


def _runs_view(
    study: Study, data: ReportData, dataset: str, seeds: Mapping[str, Sequence[int]], folder: Path
) -> dict[str, Any]:
    """The runs to repeat: seeds, labels, environment, how long they took, and what they predicted."""
    runs = {(name, seed): data.trained[dataset, name, seed] for name, counted in seeds.items() for seed in counted}
    first = next(iter(runs.values()))
    recorded = {}
    for name, counted in seeds.items():
        measures = read_measures(layout.evaluated(folder, dataset, name), counted)
        recorded[name] = {seed: measures[seed]["predictions_sha256"] for seed in counted}
    installed = first["versions"]
    packages = {name: next((p for p in names if p in installed), "") for name, names in COMPUTING_PACKAGES.items()}
    known = {name: installed[package] for name, package in packages.items() if package}
    return {
        "seeds": list(max(seeds.values(), key=len)),
        "labels": {name: study.plan.variants[name].label for name in seeds},
        "runs_text": say.count(len(runs)),
        "time_text": duration(sum(entry["fit_seconds"] for entry in runs.values())),
        "environment": first["environment"],
        "threads": first["threads"],
        "on_cpu": not first["device"].startswith("GPU"),
        "recorded": recorded,
        "processor": first["hardware"]["processor"],
        "install_command": " ".join(
            ["pip install", *(f"{p}=={installed[p]}" for p in packages.values() if p), "matplotlib", "notebook"]
        ),
        "versions_text": listing(f"{name} {version}" for name, version in known.items()),
        "versions_code": f"{{{', '.join(f'{literal(name)}: {literal(v)}' for name, v in known.items())}}}",
    }


def recipe_text(study: Study) -> str:
    """The settings of the training that are not defaults, and those that every notebook has as constants."""
    training = study.training
    shown = ["optimizer", "learning_rate", "batch_size", "epochs"]
    shown += [
        name
        for name, field in type(training).model_fields.items()
        if name not in (*shown, "backend", "tensorboard") and getattr(training, name) != field.default
    ]
    return listing((f"{field_label(name)} {level_label(name, getattr(training, name))}" for name in shown), len(shown))


def schedule_text(recipe: Recipe) -> str:
    """First line of the docstring of a schedule."""
    schedules = {
        "constant": _("The learning rate: it rises, then stays."),
        "cosine": _("The learning rate: it may rise, then falls to 0 by half a period of the cosine."),
        "one_cycle": _("The learning rate: a straight line up, then one down to 0."),
        "piecewise": _("The learning rate: times a factor from each boundary on."),
    }
    return schedules[recipe.training.schedule]


def needs(study: Study, how: Sequence[Recipe], code: Written, diverged: bool) -> dict[str, bool]:
    """Which helpers the code of the notebook uses; ``diverged`` is whether a run has."""
    trainings = [recipe.training for recipe in how]
    augmented = [v.training.augmentation for v in study.plan.variants.values() if v.training.augmentation is not None]
    return {
        "math": any(training.steps is not None or not training.has_constant_rate for training in trainings),
        "zlib": code.draws,
        "partial": any("partial(" in call for call in code.calls.values()),
        "subset": any(training.train_size is not None for training in trainings),
        "steps": any(training.steps is not None for training in trainings),
        "class_weights": any(training.class_weights == "balanced" for training in trainings),
        "augmentation": any(entry.flip != "none" or entry.shift for entry in augmented),
        "precision": any(training.precision != "float32" for training in trainings),
        "permutation": any(v.training.pixel_permutation is not None for v in study.plan.variants.values()),
        "random": any(variant.model.sources for variant in study.plan.variants.values()),
        "divergence": diverged,
    }


def _left_out(study: Study) -> list[str]:
    """What the study does and the notebook does not."""
    probes = study.plan.probes
    titles = [_(probe_registry.part(name, "findings").TITLE) for name in probes if not probes[name].levels]
    sentences = []
    if titles:
        sentences.append(_("Probes: {names}; what they measured is in the report.", names=listing(titles, len(titles))))
    if study.tuning:
        sentences.append(_("The search for hyperparameters; its trials and verdicts are in the report."))
    if len(study.datasets) > 1:
        sentences.append(_("The other datasets of the study; each has a notebook of its own."))
    sentences.append(
        _("Intervals and p values, adjusted over the whole study; the sentences above and the report have them.")
    )
    return sentences
