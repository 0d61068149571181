"""The figures of a study, those of ``figures.features`` apart: one function per section, each of which yields figures
with title, caption and numbers.

Figures are yielded in the order of ``summary.json``, which is the order of the report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.files import write_text
from convlab.common.i18n import gettext as _
from convlab.common.i18n import ngettext
from convlab.common.table_files import csv_text
from convlab.datasets import prepared
from convlab.evaluation import metrics
from convlab.evaluation.records import read_probabilities
from convlab.figures import accuracy, errors, examples, readings, shown_numbers
from convlab.figures.saving import FigureWriter
from convlab.figures.series import MAX_SERIES, Series
from convlab.figures.sprites import Group, write_sprite
from convlab.figures.style import caption_text
from convlab.figures.tuning import validation_of_trials
from convlab.language import captions
from convlab.language.contrasts import contrast_labels
from convlab.results import columns
from convlab.results.loading import RunRecords, load_histories, variants_with_details
from convlab.results.tables import summed_confusion
from convlab.results.tuning import drawn_settings
from convlab.statistics.describe import MIN_SEEDS
from convlab.study import layout
from convlab.study.labels import field_label
from convlab.study.metrics import ACCURACY, Metric
from convlab.study.schema import Study
from convlab.study.variants import Question

MAX_EXAMPLES = 12
"""Images shown of each kind: predictions, confident mistakes, disputed images."""


@dataclass(frozen=True)
class FigureFile:
    """A figure with its title, caption and data.

    Attributes:
        numbers: the data that it shows, written as CSV beside it.
        images: its images for the page, where it is a grid of images.
        subject: further fields of its entry in summary.json: the question, probe or variant that it is about.
        reading: how to read it, in one or two sentences.
    """

    dataset: str
    section: str
    name: str
    title: str
    caption: str
    figure: Figure
    numbers: pd.DataFrame | None = None
    images: Sequence[Group] = ()
    subject: Mapping[str, Any] = field(default_factory=dict)
    reading: str = ""

    def save(self, folder: Path, writer: FigureWriter) -> dict[str, Any]:
        """Write the figure's files and return its entry in summary.json."""
        file = f"{self.dataset}-{self.name}"
        writer.save(self.figure, folder / file)
        write_text(folder / f"{file}.rst", caption_text(self.title, self.caption), durable=False)
        if self.numbers is not None:
            write_text(folder / f"{file}.csv", csv_text(self.numbers), durable=False)
        return {
            "file": file,
            "section": self.section,
            "dataset": self.dataset,
            "title": self.title,
            "caption": self.caption,
            "reading": self.reading,
            "numbers": self.numbers is not None,
            "tiles": write_sprite(self.images, folder / f"{file}.tiles.png") if self.images else None,
            **self.subject,
        }


@dataclass(frozen=True)
class DatasetResults:
    """Results of one dataset that its figures show.

    Attributes:
        tables: of the study, by the names of their files.
        folder: the study's folder under results/.
        classes: names of the dataset's classes.
        chosen: the variant chosen by validation accuracy; None without a finished run.
    """

    study: Study
    dataset: str
    tables: Mapping[str, pd.DataFrame]
    records: RunRecords
    folder: Path
    classes: list[str]
    chosen: str | None

    @cached_property
    def variants(self) -> pd.DataFrame:
        """Rows of the variants that the study compares."""
        rows = self.tables["variants"]
        return rows[(rows["dataset"] == self.dataset) & (rows["probe"] == "")]

    @property
    def metric(self) -> Metric:
        """What verdicts of the study are about."""
        return self.study.plan.metric

    @cached_property
    def runs(self) -> pd.DataFrame:
        rows = self.tables["runs"]
        return rows[rows["dataset"] == self.dataset]

    def most_seeds(self, names: Sequence[str]) -> int:
        """The largest number of runs with a value that one of some variants has."""
        return int(self.variants.set_index("variant").loc[names, "n_seeds"].max())

    @cached_property
    def labels(self) -> dict[str, str]:
        return dict(zip(self.variants["variant"], self.variants["label"], strict=True))

    @cached_property
    def looks(self) -> dict[str, int]:
        """Each variant's index in the palette, the same on every dataset."""
        return {name: position for position, name in enumerate(self.study.plan.compared)}

    @cached_property
    def series(self) -> dict[str, Series]:
        return {name: Series(name, label, self.looks[name]) for name, label in self.labels.items()}

    def figure(self, section: str, name: str, title: str, caption: str, figure: Figure, **more: Any) -> FigureFile:
        """A figure of this dataset; ``more`` are further fields of FigureFile."""
        return FigureFile(self.dataset, section, name, title, caption, figure, **more)


@dataclass(frozen=True)
class VariantDetails:
    """Predictions of one variant's finished runs on the test images.

    Attributes:
        probabilities: (runs, images, classes).
        images, truth: the test images, uint8 NHWC, and their labels.
    """

    series: Series
    probabilities: np.ndarray
    images: np.ndarray
    truth: np.ndarray


def dataset_figures(
    results: DatasetResults, probe_figures: Callable[[DatasetResults], Iterator[FigureFile]]
) -> Iterator[FigureFile]:
    """Every figure of one dataset; ``probe_figures`` draws those of the probes."""
    everything = every_seed(results, list(results.series.values()))
    title = _("{metric} of every variant", metric=_(results.metric.title))
    yield results.figure("overview", "accuracy", title, **everything)
    for question in results.study.plan.questions.values():
        yield from question_figures(results, question)
    yield from search_by_trials(results)
    yield from learning_curves(results)
    yield results.figure("costs", "costs", **costs(results, list(results.series)))
    yield from probe_figures(results)
    reliability = []
    for details in load_details(results):
        curves = [metrics.reliability(one_run, details.truth) for one_run in details.probabilities]
        reliability.append((details.series, np.mean(curves, axis=0)))
        yield from error_figures(results, details)
    if len(reliability) > 1:
        yield recall_of_classes(results, [series for series, _curve in reliability])
    if reliability:
        yield calibration(results, reliability)


# ---------------------------------------------------------------------------------------------------------------------
# Accuracy and costs


def every_seed(results: DatasetResults, shown: Sequence[Series], xlabel: str = "") -> dict[str, Any]:
    """The metric of some variants, every seed a point: caption, figure and numbers of a FigureFile."""
    names, metric = [series.name for series in shown], results.metric
    low, high = (f"{metric.column}_ci_{end}" for end in ("low", "high"))
    # With fewer than three runs only points are shown: nothing is inferred.
    intervals = [
        (row[low], row[high]) if row["n_seeds"] >= MIN_SEEDS and not pd.isna(row[low]) else (None, None)
        for row in results.variants.set_index("variant").loc[names].to_dict("records")
    ]
    runs = results.runs[results.runs["variant"].isin(names)].sort_values(["variant", "seed"])
    measured = {
        variant: dict(zip(group["seed"], group[metric.column], strict=True))
        for variant, group in runs.groupby("variant")
    }
    return {
        "caption": captions.every_seed(results.most_seeds(names), any(None not in pair for pair in intervals)),
        "figure": accuracy.every_seed(shown, [measured[variant] for variant in names], intervals, xlabel, metric),
        "reading": _(readings.EVERY_SEED),
        "numbers": runs[list(columns.SEEDS_SHOWN)],
    }


def costs(results: DatasetResults, names: Sequence[str]) -> dict[str, Any]:
    """The metric of some variants against parameters, MACs and time: a FigureFile's title, caption, figure, numbers."""
    rows, metric = results.variants[results.variants["variant"].isin(names)], results.metric
    return {
        "title": _("Accuracy against cost") if metric == ACCURACY else _("Performance against cost"),
        "caption": captions.costs(metric, results.most_seeds(names)),
        "figure": accuracy.against_costs(rows, [results.series[variant] for variant in rows["variant"]], metric),
        "reading": _(readings.COSTS),
        "numbers": rows[list(columns.COSTS_SHOWN)],
    }


def search_by_trials(results: DatasetResults) -> Iterator[FigureFile]:
    """Validation accuracy of every trial over the settings that were drawn; nothing without tuning."""
    table = results.tables["tuning"]
    trials, settings = table[table["dataset"] == results.dataset], drawn_settings(table)
    if len(trials):
        yield results.figure(
            "tuning", "tuning", _("Validation accuracy of the trials"),
            _("Each point is a trial with its own seed and settings; filled are those with the best validation "
              "accuracy of their variant and seed."),
            validation_of_trials(trials, settings, list(results.series.values())),
            numbers=trials[[*(name for name in columns.TUNING_SHOWN if name in trials), *settings]],
            reading=_(readings.TUNING),
        )  # fmt: skip


def learning_curves(results: DatasetResults) -> Iterator[FigureFile]:
    """Losses and accuracies by epoch; nothing where no run began."""
    order = list(results.series)
    histories = load_histories(results.study, results.folder, results.records, results.dataset, order, MAX_SERIES)
    if histories.empty:
        return
    grouped = dict(list(histories.groupby("variant")))
    curves = [(results.series[name], grouped[name].drop(columns="variant")) for name in order if name in grouped]
    caption = captions.learning_curves(int(histories.groupby("variant")["seed"].nunique().max()))
    variants = results.study.plan.variants
    if any(variants[name].training.alters_examples for name in order if name in grouped):
        caption += " " + _(
            "Training is on images and labels as the recipe changes them: where it does, the two are not on one scale."
        )
    yield results.figure(
        "curves", "curves", _("Learning curves"), caption,
        accuracy.learning_curves(curves), numbers=histories, reading=_(readings.CURVES),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Questions


def question_figures(results: DatasetResults, question: Question) -> Iterator[FigureFile]:
    """Seeds, differences, combinations of two factors, and costs of one question."""
    subject = {"question": question.name}
    names, xlabel = [question.reference, *question.variants], ""
    shown = [results.series[name] for name in names]
    if question.levels:
        names, xlabel = [level.variant for level in question.levels], question.subject.capitalize()
        shown = [replace(results.series[level.variant], label=level.label) for level in question.levels]
    seeds = every_seed(results, shown, xlabel)
    yield results.figure("question", f"{question.name}-seeds", _("Every seed"), **seeds, subject=subject)
    yield differences(results, question, subject)
    if question.grid:
        yield results.figure(
            "question", f"{question.name}-combinations", _("All combinations"),
            captions.combinations(results.metric, results.most_seeds(names)),
            combinations(question, results.variants, results.metric), subject=subject,
            numbers=results.variants.loc[results.variants["variant"].isin(names), list(columns.COSTS_SHOWN)],
            reading=_(readings.COMBINATIONS),
        )  # fmt: skip
    yield results.figure("question", f"{question.name}-costs", **costs(results, names), subject=subject)


def differences(results: DatasetResults, question: Question, subject: Mapping[str, str]) -> FigureFile:
    """Differences to the reference with simultaneous intervals."""
    rows, rope, metric = results.tables["comparisons"], results.study.statistics.rope, results.metric
    rows = rows[(rows["dataset"] == results.dataset) & (rows["experiment"] == question.name)]
    sides = [contrast_labels(results.study.plan, question, name) for name in rows["variant"]]
    pairs = [
        Series(name, f"{variant} − {reference}", results.looks[name])
        for name, (variant, reference) in zip(rows["variant"], sides, strict=True)
    ]
    return results.figure(
        "question", f"{question.name}-differences", _("Differences to the reference"),
        captions.differences(metric, rope, bool(rows["ci_low"].notna().any())),
        accuracy.forest(rows, pairs, rope, metric),
        numbers=rows[list(columns.DIFFERENCES_SHOWN)],
        subject=subject,
        reading=_(readings.DIFFERENCES),
    )  # fmt: skip


def combinations(question: Question, variants: pd.DataFrame, metric: Metric) -> Figure:
    """The heat map of an experiment of two factors."""
    measured = variants.set_index("variant")
    cells = [list(row) for row in question.grid.cells]
    means, spreads = (
        np.array([measured.loc[row, column].to_numpy(dtype=float) for row in cells])
        for column in (f"{metric.column}_mean", f"{metric.column}_sd")
    )
    reference = next((i, row.index(question.reference)) for i, row in enumerate(cells) if question.reference in row)
    return accuracy.combinations(
        means, spreads, tuple(map(field_label, question.grid.factors)), question.grid.labels, reference, metric
    )


# ---------------------------------------------------------------------------------------------------------------------
# Errors and calibration of the variants with details


def load_details(results: DatasetResults) -> Iterator[VariantDetails]:
    """Predictions of the variants with details, one after another: they may be large."""
    images, truth = prepared.load_test(layout.prepared(results.folder, results.dataset))
    for name in variants_with_details(results.study, results.chosen):
        if seeds := results.records.finished(results.dataset, name):
            evaluated = layout.evaluated(results.folder, results.dataset, name)
            probabilities = read_probabilities(evaluated, seeds)
            yield VariantDetails(results.series[name], probabilities, images, truth)


def error_figures(results: DatasetResults, details: VariantDetails) -> Iterator[FigureFile]:
    """Confusion, predictions, confident mistakes and disputed images of one variant; each by a rule, none by hand."""
    variant, label, truth = details.series.name, details.series.label, details.truth
    count = len(details.probabilities)
    matrix = np.array(summed_confusion(results.records.evaluations, results.dataset, variant))
    yield results.figure(
        "errors", f"{variant}-confusion", _("Confusion of {label}", label=label),
        ngettext("Share of each true class predicted as each class, over {n} seed; below 0.5 % is left empty.",
                 "Share of each true class predicted as each class, over {n} seeds; below 0.5 % is left empty.", count),
        errors.confusion(matrix, results.classes),
        numbers=pd.DataFrame(
            matrix, index=pd.Index(results.classes, name="true class"), columns=results.classes
        ).reset_index(),
        subject={"variant": variant},
        reading=_(readings.CONFUSION),
    )  # fmt: skip
    kinds = {
        "predictions": (
            _("Predictions of {label}", label=label),
            _("The first test image of every class; green where most seeds are right."),
            readings.PREDICTIONS,
            np.unique(truth, return_index=True)[1][:MAX_EXAMPLES],
        ),
        "mistakes": (
            _("Confident mistakes of {label}", label=label),
            _("Test images that every seed gets wrong, the surest (mean over seeds) first."),
            readings.MISTAKES,
            metrics.confident_mistakes(details.probabilities, truth, MAX_EXAMPLES),
        ),
        "disputed": (
            _("Disputed images of {label}", label=label),
            _("Test images that some seeds get right and others wrong, the most even splits first."),
            readings.DISPUTED,
            metrics.disputed(details.probabilities, truth, MAX_EXAMPLES),
        ),
    }  # fmt: skip
    mean = details.probabilities.mean(axis=0)
    right = (details.probabilities.argmax(axis=2) == truth).sum(axis=0)
    for kind, (title, rule, reading, chosen) in kinds.items():
        titles = examples.prediction_titles(truth[chosen], mean[chosen], results.classes, right[chosen], count)
        tones = ["right" if 2 * n > count else "wrong" for n in right[chosen]]
        yield results.figure(
            "errors", f"{variant}-{kind}", title, rule,
            examples.image_grid(details.images[chosen], titles, tones, empty=_("No test image fits the rule.")),
            images=[
                Group(details.images[index : index + 1], lines[0], tuple(lines[1:]), tone)
                for index, lines, tone in zip(chosen, (text.split("\n") for text in titles), tones, strict=True)
            ],
            subject={"variant": variant, "grid": True, "test_images": chosen.tolist()},
            numbers=shown_numbers.predictions(chosen, truth, mean, right, results.classes),
            reading=_(reading),
        )  # fmt: skip


def recall_of_classes(results: DatasetResults, shown: Sequence[Series]) -> FigureFile:
    """Recall of every class by variant."""
    rows = results.tables["per_class"]
    rows = rows[(rows["dataset"] == results.dataset) & rows["variant"].isin([series.name for series in shown])]
    return results.figure(
        "errors", "recall", _("Recall of every class"), _("Share of the test images of each class that are found."),
        errors.recall_by_class(rows, shown, results.classes),
        numbers=rows[["variant", "class", "support", "recall", "recall_sd"]],
        reading=_(readings.RECALL),
    )  # fmt: skip


def calibration(results: DatasetResults, reliability: Sequence[tuple[Series, np.ndarray]]) -> FigureFile:
    """Accuracy against confidence; ``reliability`` has rows of confidence, accuracy and images for each variant."""
    return results.figure(
        "calibration", "calibration", _("Calibration"),
        _("Accuracy against confidence in {n} bins of equally many images, mean over seeds.",
          n=metrics.CALIBRATION_BINS),
        errors.calibration(reliability),
        numbers=pd.concat(
            pd.DataFrame(rows, columns=["confidence", "accuracy", "images"]).assign(variant=series.name)
            for series, rows in reliability
        ),
        reading=_(readings.CALIBRATION),
    )  # fmt: skip
