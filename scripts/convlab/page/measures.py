"""Tables of measures: all variants with their seeds, fit, classes, calibration, probes."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlab.common.i18n import N_, NO_BREAK_SPACE, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import StudyResults
from convlab.language import contrasts
from convlab.language import numbers as say
from convlab.language.contrasts import contrast_labels
from convlab.page.format import mean_and_sd, mean_interval, pixels
from convlab.page.views import Table, VariantRow
from convlab.probes.curves import measure_of
from convlab.probes.registry import level_label
from convlab.study.metrics import AUROC, BALANCED_ACCURACY, MACRO_F1

MAX_TABLE_ROWS = 20
"""Rows of a table that are shown; the others are folded."""

MAIN_COLUMNS = (
    "label", "parameters", "macs", "receptive_field", "test_accuracy", "ci", "n_seeds", "difference", "test_loss",
    "ece", "brier", "seconds_per_epoch", "latency_ms", "balanced_accuracy", "macro_f1", "auroc",
)  # fmt: skip

LAST_METRICS = (BALANCED_ACCURACY, MACRO_F1, AUROC)
"""Metrics in the last columns of the main table."""

STATES = {"finished": N_("finished"), "diverged": N_("diverged")}
"""Text of a run's status, before translation."""


def main_table(results: StudyResults, dataset: str) -> list[VariantRow]:
    """Every variant with its measures and seeds. Featured are base models, the chosen and the best ones."""
    rows = results.variants[results.variants["dataset"] == dataset]
    metric = results.plan.metric
    ranked = rows.sort_values(f"{metric.column}_mean", ascending=not metric.higher_is_better)
    best = set(ranked["variant"][: MAX_TABLE_ROWS // 2])
    best |= {results.chosen.get(dataset)}
    groups = results.runs[results.runs["dataset"] == dataset].groupby("variant")
    runs = {str(name): group for name, group in groups}
    differences = differences_by_variant(results, dataset)
    table = []
    for row in rows.to_dict("records"):
        n, diverged = row["n_seeds"], row["n_diverged"]
        cells = (
            row["label"],
            say.count(row["parameters"]),
            say.count(row["macs"]),
            pixels(row["receptive_field"]),
            mean_and_sd(row),
            mean_interval(row),
            ngettext("{finished} ({n} diverged)", "{finished} ({n} diverged)", diverged, finished=n)
            if diverged
            else str(n),
            differences.get(row["variant"], say.MISSING),
            say.number(row["test_loss_mean"]),
            say.number(row["ece_mean"]),
            say.number(row["brier_mean"]),
            say.number(row["seconds_per_epoch"], 2),
            say.number(row["latency_ms"], 2),
            *(mean_and_sd(row, metric) for metric in LAST_METRICS),
        )
        seeds = [seed_cells(entry) for entry in runs[row["variant"]].sort_values("seed").to_dict("records")]
        table.append(VariantRow(row["variant"], cells, seeds, row["variant"] in best or row["variant"] == row["model"]))
    return table


def distinct_table(results: StudyResults, dataset: str) -> Table:
    """Mean accuracy of each variant with and without the test images that have a near duplicate in the training images.

    Without rows where no test image has one.
    """
    rows = results.variants[results.variants["dataset"] == dataset]
    rows = rows[rows["test_accuracy_distinct_mean"].notna()].to_dict("records")
    cells = [
        (
            row["label"],
            say.percent(row["test_accuracy_mean"]),
            say.percent(row["test_accuracy_distinct_mean"]),
            say.points(row["test_accuracy_distinct_mean"] - row["test_accuracy_mean"]),
        )
        for row in rows
    ]
    left = say.count(rows[0]["distinct_test_images"]) if rows else ""
    caption_values = {"dataset": dataset, "left": left, "all": say.count(results.test_images[dataset])}
    names = [row["variant"] for row in rows]
    return Table("distinct", ("label", "all_images", "distinct_images", "change"), cells, caption_values, names)


def constant_guess_text(results: StudyResults, dataset: str) -> str:
    """Accuracy of the constant guess on a dataset, as a sentence for captions of tables."""
    guess = results.constant_guess.get(dataset)
    return f". {contrasts.constant_guess_text(guess['class'], say.percent(guess['share']))}" if guess else ""


def probe_table(curves: pd.DataFrame, dataset: str, probe: str, labels: Mapping[str, str]) -> Table:
    """Every point of a probe's curves; losses and scores as numbers, shares in percent."""
    rows = curves[(curves["dataset"] == dataset) & (curves["probe"] == probe)]
    cells = []
    for row in rows.to_dict("records"):
        measured = measure_of(probe, row["measure"])
        shown = say.percent if measured.is_share else say.number
        limits = say.MISSING
        if not say.missing(row["ci_low"]):
            limits = _("{low} to {high}", low=shown(row["ci_low"]), high=shown(row["ci_high"]))
        cells.append(
            (
                labels[row["variant"]],
                say.MISSING if say.missing(row["level"]) else level_label(probe, row["order"]),
                _(measured.label),
                shown(row["mean"]),
                limits,
                str(row["n_seeds"]),
            )
        )
    columns = ("label", "level", "measure", "mean", "mean_ci", "n_seeds")
    return Table("probe", columns, cells, {"dataset": dataset}, list(rows["variant"]))


def seed_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One run under its variant, in the main table's columns; the second cell spans the three of the architecture."""
    epochs = row["epochs_run"]
    if row["status"] == "finished":
        accuracy = say.percent(row["val_accuracy"])
        kept = _(
            "epoch {best} of {all} kept, validation {accuracy}", best=row["best_epoch"], all=epochs, accuracy=accuracy
        )
    else:
        kept = _("diverged after epoch {epoch}", epoch=epochs)
    return (
        _("seed {seed}", seed=row["seed"]),
        kept,
        say.percent(row["test_accuracy"]),
        "",
        "",
        "",
        say.number(row["test_loss"]),
        say.number(row["ece"]),
        say.number(row["brier"]),
        say.number(row["train_seconds"] / epochs if epochs else None, 2),
        say.number(row["latency_ms"], 2),
        *(say.level(row[metric.column], metric) for metric in LAST_METRICS),
    )


def differences_by_variant(results: StudyResults, dataset: str) -> dict[str, str]:
    """Each variant's difference to the reference of every question that it is part of."""
    texts: dict[str, list[str]] = {}
    for question in results.plan.questions.values():
        for row in results.contrasts(dataset, question.name):
            reference = contrast_labels(results.plan, question, row["variant"])[1]
            difference = say.change(row["difference"], results.plan.metric)
            if not say.missing(row["ci_low"]):
                limits = say.change_interval(row["ci_low"], row["ci_high"], results.plan.metric)
                limits = limits.replace(" ", NO_BREAK_SPACE)
                difference = f"{difference} ({limits})"
            text = _("{difference} to {reference}", difference=difference, reference=reference)
            texts.setdefault(row["variant"], []).append(text)
    return {name: "; ".join(parts) for name, parts in texts.items()}


def fits_summary(results: StudyResults, dataset: str) -> Table:
    """Training against validation at the kept epoch, every run of the variants with details, the chosen one first."""
    rows = results.fits[results.fits["dataset"] == dataset].to_dict("records")
    rows.sort(key=lambda row: row["variant"] != results.chosen.get(dataset))
    cells = [
        (
            results.label(row["variant"]),
            str(row["seed"]),
            _("{n} of {all}", n=row["kept_epoch"], all=row["epochs"]),
            say.percent(row["train_accuracy"]),
            say.percent(row["val_accuracy"]),
            say.MISSING if results.plan.variants[row["variant"]].training.mixes_images else say.points(row["gap"]),
            _("{loss} (epoch {epoch})", loss=say.number(row["lowest_val_loss"]), epoch=row["lowest_epoch"]),
            say.number(row["last_val_loss"]),
        )
        for row in rows
    ]
    columns = (
        "label", "seed", "kept_epoch", "train_accuracy", "val_accuracy", "gap", "lowest_val_loss", "last_val_loss",
    )  # fmt: skip
    return Table("fits", columns, cells, {"dataset": dataset}, [row["variant"] for row in rows])


def per_class(results: StudyResults, dataset: str, variant: str) -> Table:
    """Precision, recall and F1 of every class; a dash if undefined (0/0)."""
    rows = results.per_class
    rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == variant)].to_dict("records")
    runs = max((row["n_seeds"] for row in rows), default=0)
    cells = [
        (
            row["class"],
            say.count(row["support"]),
            _over(say.percent(row["precision"], 1), row["precision_seeds"], runs),
            say.percent(row["recall"], 1),
            say.unsigned_points(row["recall_sd"], 1),
            say.percent(row["f1"], 1),
        )
        for row in rows
    ]
    return Table(
        "per_class",
        ("class", "support", "precision", "recall", "recall_sd", "f1"),
        cells,
        {"label": results.label(variant), "dataset": dataset},
    )


def _over(mean: str, seeds: int, runs: int) -> str:
    """A mean, with the number of runs in which it is defined if that is not all of them."""
    return f"{mean} ({_('in {n} of {all} runs', n=seeds, all=runs)})" if 0 < seeds < runs else mean


def calibration_table(results: StudyResults, dataset: str) -> Table:
    """Confidence against accuracy of the variants with details."""
    cells = []
    names = results.variants_with_details(dataset)
    for name in names:
        rows, variant = results.confidence, results.variant(dataset, name)
        rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == name)]
        cells.append(
            (
                variant["label"],
                say.percent(rows["confidence"].mean()),
                say.percent(rows["accuracy"].mean()),
                say.points((rows["confidence"] - rows["accuracy"]).mean()),
                say.number(variant["ece_mean"]),
                say.number(variant["brier_mean"]),
                say.number(variant["test_loss_mean"]),
            )
        )
    columns = ("label", "confidence", "accuracy", "excess", "ece", "brier", "test_loss")
    return Table("calibration", columns, cells, {"dataset": dataset}, names)
