"""A study while it runs: its finished and begun runs on training and validation images, and no verdicts.

What the models answer on test images is not read, neither for a table nor for a figure: so looking at this page is no
look at the test images, and cannot bias a verdict.
"""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Drawing

from convlab.common import i18n
from convlab.common.files import read_json
from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.common.table_files import csv_text
from convlab.figures import accuracy, readings
from convlab.figures.palette import COLOURS
from convlab.figures.series import Series
from convlab.figures.style import save_svg
from convlab.findings.left_out import given_validation, test_origin, validation_origin
from convlab.language import numbers as say
from convlab.language.contrasts import contrast_labels
from convlab.page.dataset import data_tables
from convlab.page.design import design
from convlab.page.figures import inline_svg
from convlab.page.format import duration
from convlab.page.gallery import load_figures
from convlab.page.loading import ReportData
from convlab.page.measures import MAX_TABLE_ROWS
from convlab.page.views import Figure, Table
from convlab.results.progress import READING_ERRORS, Progress, RunProgress
from convlab.study import layout
from convlab.study.data_texts import reason, with_own_texts
from convlab.study.metrics import Metric
from convlab.study.schema import Study
from convlab.study.variants import Question

VALIDATION_ACCURACY = Metric(
    "val_accuracy", "val_accuracy", N_("validation accuracy"), N_("Validation accuracy")
)  # no metric of verdicts: those are about test images

STATUSES = {
    "finished": N_("finished"),
    "diverged": N_("diverged"),
    "training": N_("begun"),
    "waiting": N_("not begun"),
    "unreadable": N_("cannot be read"),
}
"""Text of a run's status, before translation."""


MAX_NUMBERS_CHARS = 40_000
"""Characters of the numbers of a figure that the page holds; larger ones are left out."""


@dataclass(frozen=True)
class ContrastSoFar:
    """A comparison on validation images: ``difference`` is empty until both sides have a run of one seed."""

    text: str
    difference: str
    seeds: str


@dataclass(frozen=True)
class QuestionSoFar:
    """A question on one dataset."""

    name: str
    text: str
    dataset: str
    contrasts: tuple[ContrastSoFar, ...]


@dataclass(frozen=True)
class DrawingSoFar:
    """A figure of the runs so far; ``reading`` says how to read it, before translation, ``numbers`` is its CSV."""

    title: str
    caption: str
    reading: str
    figure: Drawing
    numbers: str


def peek_view(study: Study, folder: Path, progress: Progress, left: str) -> dict[str, Any]:
    """Context of the template.

    Args:
        folder: the study's folder under results/.
        left: the estimated time that is left, as text; empty where there is no estimate.
    """
    plan, datasets = study.plan, list(study.datasets)
    explored, manifests, tables = _prepared(study, folder)
    whole = all((dataset, name) in plan.costs for dataset in datasets for name in plan.variants)
    title = study.report.title or study.question or study.study
    return {
        "study": study,
        "plan": plan,
        "title": title,
        "lead": study.question if study.question != title else "",
        "language": i18n.language(),
        "datasets": datasets,
        "facts": dict(_facts(progress, left)),
        "report": (layout.compared(folder) / "summary.json").is_file()
        and (layout.reported(folder) / "index.html").is_file(),
        "nothing": not progress.count("finished", "diverged", "training"),
        "other_settings": progress.other_settings,
        "unreadable": progress.unreadable,
        "diverged": [_run_name(study, run) for run in progress.runs if run.status == "diverged"],
        "questions": list(_questions(study, progress)),
        "n_claims": len(plan.claims),
        "n_probes": len(plan.probes),
        "variant_rows": {
            dataset: [_variant_row(study, progress, dataset, name) for name in plan.variants] for dataset in datasets
        },
        "trials": _trials_text(study, progress),
        "runs": {dataset: list(_run_rows(study, progress, dataset)) for dataset in datasets},
        "figures": _figures(study, folder, progress, explored, manifests),
        "explored": list(explored),
        "data": tables,
        "distinct": {name: Table("distinct", (), []) for name in explored},
        "reasons": {name: reason(study.datasets[name]) for name in explored},
        "design": design(study) if whole else {"select": study.training.select},
        "designed": whole,
        "legend": [(name, plan.variants[name].label, n % len(COLOURS)) for n, name in enumerate(plan.compared)],
        "max_rows": MAX_TABLE_ROWS,
        # What the report's texts are filled with.
        "rope": say.region(study.statistics.rope, plan.metric.difference_unit),
        "metric": _(plan.metric.name),
        "difference_unit": plan.metric.difference_unit,
        "by_accuracy": False,
        "claims": (),
        "planned": None,
        "registered": True,
        "baselines": {},
        "test_origin": test_origin(manifests) if manifests else "",
        "validation_origin": validation_origin(manifests, study.training.validation_fraction) if manifests else "",
        "drawn_validation": set(datasets) - set(given_validation(manifests)),
    }


def _facts(progress: Progress, left: str) -> Iterator[tuple[str, str]]:
    """Numbers of runs by status, and times, by their heading."""
    yield _("finished of {n} runs", n=say.count(len(progress.runs))), say.count(progress.count("finished", "diverged"))
    if begun := progress.count("training"):
        yield _("begun"), say.count(begun)
    yield _("training time so far, summed"), duration(sum(run.seconds for run in progress.runs))
    if left:
        yield _("estimated time left"), left


def _run_name(study: Study, run: RunProgress) -> str:
    text = _("{variant}, seed {seed}", variant=study.plan.owner(run.name).label, seed=run.seed)
    return f"{text} ({run.dataset})" if len(study.datasets) > 1 else text


def _questions(study: Study, progress: Progress) -> Iterator[QuestionSoFar]:
    """Every question on every dataset, with its differences on validation images so far."""
    for dataset in study.datasets:
        for question in study.plan.questions.values():
            yield QuestionSoFar(
                question.name,
                question.text,
                dataset,
                tuple(_contrast(study, progress, dataset, question, name) for name in question.variants),
            )


def _contrast(study: Study, progress: Progress, dataset: str, question: Question, variant: str) -> ContrastSoFar:
    """One comparison, paired by seed, over the seeds that have finished on both sides."""
    sides = (progress.finished(dataset, variant), progress.finished(dataset, question.reference))
    seeds = sorted(sides[0].keys() & sides[1].keys())
    differences = [sides[0][seed].val_accuracy - sides[1][seed].val_accuracy for seed in seeds]
    label, reference = contrast_labels(study.plan, question, variant)
    text = _("{variant} against {reference}", variant=label, reference=reference)
    planned = min(len(study.seeds_of(dataset, name)) for name in (variant, question.reference))
    counted = _("{n} of {all} seeds", n=len(seeds), all=planned)
    if not differences:
        return ContrastSoFar(text, "", counted)
    difference = say.points(statistics.fmean(differences))
    if len(differences) > 1:
        spread = say.unsigned_points(statistics.stdev(differences))
        difference = _("{difference}, SD {spread}", difference=difference, spread=spread)
    return ContrastSoFar(text, difference, counted)


def _variant_row(study: Study, progress: Progress, dataset: str, name: str) -> tuple[str, ...]:
    """Name, label, finished and begun runs, diverged ones, validation accuracy, time of an epoch."""
    runs, finished = progress.of(dataset, name), list(progress.finished(dataset, name).values())
    values = [run.val_accuracy for run in finished if not math.isnan(run.val_accuracy)]
    mean = statistics.fmean(values) if values else None
    sd = statistics.stdev(values) if len(values) > 1 else None
    epochs = sum(run.epochs for run in runs)
    seconds = sum(run.seconds for run in runs) / epochs if epochs else None
    return (
        name,
        study.plan.variants[name].label,
        _("{n} of {all}", n=len(finished), all=len(runs)),
        str(sum(run.status == "training" for run in runs)),
        str(sum(run.status == "diverged" for run in runs)),
        say.mean_and_sd(mean, sd) if values else say.MISSING,
        say.MISSING if seconds is None else i18n.number(seconds, ",.2f"),
    )


def _trials_text(study: Study, progress: Progress) -> str:
    """How many trials of tuning have finished; empty without tuning."""
    trials = [run for run in progress.runs if run.name in study.plan.trials]
    if not trials:
        return ""
    finished = sum(run.status in ("finished", "diverged") for run in trials)
    return ngettext(
        "Tuning: {finished} of {n} trial has finished.",
        "Tuning: {finished} of {n} trials have finished.",
        len(trials),
        finished=say.count(finished),
    )


def _run_rows(study: Study, progress: Progress, dataset: str) -> Iterator[tuple[str, ...]]:
    """Variant, label, seed, status, epochs, validation accuracy and loss, and time of each run."""
    for name, variant in study.plan.variants.items():
        for run in progress.of(dataset, name):
            yield (
                name,
                _("{variant}, seed {seed}", variant=variant.label, seed=run.seed),
                _(STATUSES[run.status]),
                _("{n} of {all}", n=run.epochs, all=run.planned),
                say.MISSING if math.isnan(run.val_accuracy) else say.percent(run.val_accuracy),
                say.MISSING if math.isnan(run.val_loss) else say.number(run.val_loss),
                duration(run.seconds) if run.epochs else say.MISSING,
            )


Prepared = tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]], dict[str, dict[str, Table]]]
"""What explore says, what prepare says, and tables about the data, each by dataset."""


def _prepared(study: Study, folder: Path) -> Prepared:
    """What explore and prepare say of the datasets that both have finished with, and tables of it, by dataset."""
    explored, manifests, tables = {}, {}, {}
    for dataset, spec in study.datasets.items():
        try:
            summary = read_json(layout.explored(folder, dataset) / "summary.json")
            manifest = with_own_texts(read_json(layout.prepared(folder, dataset) / "manifest.json"), spec)
            tables[dataset] = data_tables(summary, manifest, spec)
        except READING_ERRORS:
            continue
        explored[dataset], manifests[dataset] = summary, manifest
    return explored, manifests, tables


def _figures(
    study: Study,
    folder: Path,
    progress: Progress,
    explored: Mapping[str, Mapping[str, Any]],
    manifests: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, list[Figure]]]:
    """Figures of the data that ``explore`` has drawn, and those of the runs so far, by dataset and section."""
    data = ReportData(None, {"figures": []}, explored, manifests, {}, None)  # no results: nothing is compared
    try:
        figures = load_figures(study, data, folder)
    except READING_ERRORS:  # a figure is being drawn again
        figures = {}
    for dataset in study.datasets:
        drawn = list(_drawings(study, progress, dataset))
        figures.setdefault(dataset, {"data": []})["curves"] = [
            _inline(dataset, number, drawing) for number, drawing in enumerate(drawn)
        ]
    return figures


def _drawings(study: Study, progress: Progress, dataset: str) -> Iterator[DrawingSoFar]:
    """Each figure of the runs so far."""
    series = [Series(name, variant.label, n) for n, (name, variant) in enumerate(study.plan.compared.items())]
    values = {
        entry.name: {seed: run.val_accuracy for seed, run in progress.finished(dataset, entry.name).items()}
        for entry in series
    }
    if any(values.values()):
        shown = [entry for entry in series if values[entry.name]]
        drawing = accuracy.every_seed(
            shown, [values[entry.name] for entry in shown], [(None, None)] * len(shown), "", VALIDATION_ACCURACY
        )
        rows = [(name, seed, value) for name, by_seed in values.items() for seed, value in by_seed.items()]
        numbers = csv_text(pd.DataFrame(rows, columns=["variant", "seed", "val_accuracy"]))
        caption = _("Each point is a finished run, the bar the mean.")
        yield DrawingSoFar(_("Validation accuracy so far"), caption, readings.SO_FAR, drawing, numbers)
    histories = [(entry, progress.histories(dataset, entry.name)) for entry in series]
    begun = [(entry, rows) for entry, rows in histories if len(rows)]
    if begun:
        caption = _(
            "Marked lines: validation, mean over the runs that have come so far; thin lines: training. Where fewer "
            "runs have reached an epoch, the mean is over fewer."
        )
        numbers = csv_text(pd.concat([rows.assign(variant=entry.name) for entry, rows in begun]))
        drawing = accuracy.learning_curves(begun)
        yield DrawingSoFar(_("Learning curves so far"), caption, readings.CURVES, drawing, numbers)


def _inline(dataset: str, number: int, drawing: DrawingSoFar) -> Figure:
    """A drawing as a figure of the page."""
    anchor = f"so-far-{dataset}-{number}"
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "figure.svg"
        save_svg(drawing.figure, path)
        plt.close(drawing.figure)
        svg = inline_svg(path, anchor, drawing.title, f"{drawing.title}, {dataset}. {drawing.caption}")
    return Figure(
        "curves",
        f"figure-{anchor}",
        anchor,
        drawing.title,
        drawing.caption,
        drawing.caption,
        path="",
        svg=svg,
        reading=_(drawing.reading),
        numbers=drawing.numbers if len(drawing.numbers) <= MAX_NUMBERS_CHARS else "",
    )
