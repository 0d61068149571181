"""Write a study's report: report/index.html, one file that needs nothing else, and report/report.md for a code host.

Everything in it comes from the tables, figures and summaries of this study. Prose is in the templates under report/,
sentences that depend on numbers are made by convlab.interpretation.
"""

import argparse
import base64
import hashlib
import json
import logging
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from convlab import decisions, i18n, probe_findings, provenance
from convlab import interpretation as say
from convlab.across import across_datasets
from convlab.cli import run
from convlab.config import load_study
from convlab.errors import UserError
from convlab.figures.palette import COLOURS, ON_DARK
from convlab.files import read_json, write_text
from convlab.i18n import N_, NO_BREAK_SPACE, ngettext
from convlab.i18n import gettext as _
from convlab.page.card import model_card
from convlab.page.deployment import deployment
from convlab.page.diagrams import diagram
from convlab.page.figures import VARIABLES, Sprite, inline_svg, sprite
from convlab.page.figures import numbers as numbers_of
from convlab.plan import Question, field_label, level_label, probe_level
from convlab.results import contrast_labels
from convlab.sentences import MEASURES, VERDICTS, format_p, signed
from convlab.statistics import MIN_SEEDS
from convlab.study import Study

TEMPLATES = Path(__file__).resolve().parent.parent / "report"

LONG = 20
"""Rows of a table that are shown at once; the others are folded away."""

CONTRASTS_SHOWN = 4
"""Comparisons in a verdict box; the others are in the question's own section."""

LAYERS_SHOWN = 24
"""Variants whose layers are listed beside those of the base models."""

FIGURES_EMBEDDED = 100
"""Figures in the page at most, the most important ones first; the others are named with their file."""

URGENCY = ("overview", "question", "probes", "curves", "costs", "calibration", "data", "errors", "features")
"""Sections by how much they need their figures."""

CLASSES_IN_TABLE = 25
"""Classes up to which a confusion matrix is a table; beyond it is a figure."""

TEXT_COLUMNS = (
    "dataset", "model", "variant", "label", "class", "experiment", "reference", "verdict", "method", "status",
    "precision_type", "spec_hash", "sentence", "smallest", "metric", "source", "licence", "claim", "text", "published",
    "rule", "reason", "quantity", "unit", "probe", "level", "measure",
)  # fmt: skip

log = logging.getLogger("report")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=json.loads, help="the whole config as JSON")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    parser.add_argument("--config-file", default=None, help="name of the config file, for the command to run again")
    arguments = parser.parse_args(argv)
    study, folder = load_study(arguments.config, for_readers=True), arguments.results_dir

    results = load_results(study, folder)
    view = build_view(study, results, folder, arguments.config_file)
    view["commit"] = provenance.commit(Path(__file__).resolve().parent)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    view["script"], view["script_hash"] = Markup(script), script_hash(script)
    page = environment("html").get_template("index.html.j2").render(view)
    text = environment("markdown").get_template("report.md.j2").render(view)
    write_text(folder / "report" / "index.html", page)
    write_text(folder / "report" / "report.md", tidy_markdown(text))
    log.info("index.html has %.1f MB, report.md %.0f kB", len(page.encode()) / 1e6, len(text.encode()) / 1e3)


# ---------------------------------------------------------------------------------------------------------------------
# Read


@dataclass(frozen=True)
class Results:
    """What the other stages left, checked for nothing: compare has refused what does not belong to the config."""

    evidence: say.Evidence
    summary: Mapping[str, Any]
    explored: Mapping[str, Mapping[str, Any]]
    manifests: Mapping[str, Mapping[str, Any]]
    trained: Mapping[tuple[str, str, int], Mapping[str, Any]]
    probed: Mapping[str, pd.DataFrame]


def load_results(study: Study, folder: Path) -> Results:
    """Read tables, summaries, histories and what each run says of itself."""
    summary = read_json(folder / "compare" / "summary.json")
    tables = {
        name: read_table(folder / "compare" / f"{name}.csv")
        for name in ("runs", "variants", "comparisons", "claims", "trends", "factorials", "per_class")
    }
    # What only a probe trained has its own section; everything else is about what the study compares.
    plan = replace(study.plan, variants=study.plan.compared)
    for name in ("runs", "variants", "per_class"):
        tables[name] = tables[name][tables[name]["variant"].isin(plan.variants)].reset_index(drop=True)
    probed = {name: read_table(folder / "compare" / f"probe_{name}.csv") for name in ("curves", "contrasts")}
    trained, histories, confidence = {}, {}, []
    for dataset in study.datasets:
        looked_at = summary["confusions"].get(dataset, {})
        for variant in study.plan.variants:
            for seed in study.seeds:
                key, place = (dataset, variant, seed), Path(dataset, variant, f"seed-{seed}")
                trained[key] = read_json(folder / "train" / place / "run.json")
                if variant not in looked_at:
                    continue
                histories[key] = pd.read_csv(folder / "train" / place / "history.csv")
                measured = read_json(folder / "evaluate" / place / "metrics.json")
                if "reliability" in measured:
                    confidence.append(
                        {
                            **dict(zip(("dataset", "variant", "seed"), key, strict=True)),
                            "confidence": mean_confidence(measured["reliability"]),
                            "accuracy": measured["accuracy"],
                        }
                    )
    evidence = say.Evidence(
        plan=plan,
        rope=study.statistics.rope,
        **tables,
        fits=say.fits_table(
            histories,
            {key: entry["best_epoch"] for key, entry in trained.items()},
            {key: entry["validation_images"] for key, entry in trained.items()},
        ),
        confidence=pd.DataFrame(confidence, columns=["dataset", "variant", "seed", "confidence", "accuracy"]),
        confusions=summary["confusions"],
        classes=summary["classes"],
        test_images=summary["test_images"],
        chosen=summary["chosen"],
    )
    return Results(
        evidence,
        summary,
        {dataset: read_json(folder / "explore" / dataset / "summary.json") for dataset in study.datasets},
        {dataset: read_json(folder / "prepare" / dataset / "manifest.json") for dataset in study.datasets},
        trained,
        probed,
    )


def read_table(path: Path) -> pd.DataFrame:
    """A table of compare; only empty cells are missing, so that a class or label called "NA" or "007" stays text."""
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake again to make it") from None


def mean_confidence(reliability: Sequence[Sequence[float]]) -> float:
    """Mean confidence over all images from a reliability diagram's rows (confidence, accuracy, count)."""
    total = sum(row[2] for row in reliability)
    return sum(row[0] * row[2] for row in reliability) / total


# ---------------------------------------------------------------------------------------------------------------------
# What the templates show: every number already as text, headings and captions by name (report/text)


@dataclass(frozen=True)
class Table:
    """A table: ``name`` and ``columns`` stand for caption and headings in report/text, ``about`` fills the caption;
    ``variants`` names the variant of each row where a reader can hide it."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    about: Mapping[str, str] = field(default_factory=dict)
    variants: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """A figure: drawn inline (``svg``), as a grid of images (``sprite``), or only named by its ``path``.

    ``numbers`` is the CSV of what it shows.
    """

    section: str
    name: str
    title: str
    caption: str
    alt: str
    path: str
    svg: Markup | None = None
    sprite: Sprite | None = None
    numbers: str = ""
    variant: str | None = None
    question: str | None = None
    probe: str | None = None


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, or the difference of two: texts by row, and the share that colours each cell, -1 to 1."""

    title: str
    classes: Sequence[str]
    counts: Sequence[Sequence[str]]
    shares: Sequence[Sequence[str]]
    weights: Sequence[Sequence[float]]
    difference: bool = False


@dataclass(frozen=True)
class Probed:
    """A probe on one dataset: what it says, shows and measured."""

    name: str
    statements: Sequence[say.Statement]
    figures: Sequence[Figure]
    table: Table


@dataclass(frozen=True)
class Bar:
    """An interval drawn to scale: positions in percent of the width."""

    low: float
    high: float
    point: float
    zero: float
    rope_low: float
    rope_high: float


@dataclass(frozen=True)
class Contrast:
    """One comparison as a verdict box shows it."""

    name: str
    variant: str
    reference: str
    outcome: str
    headline: str
    difference: str
    interval: str
    p_value: str
    sentence: str
    bar: Bar | None
    size: float


@dataclass(frozen=True)
class Answer:
    """What a question found on one dataset."""

    question: Question
    dataset: str
    contrasts: list[Contrast]
    seeds: str
    test_images: str
    trends: list[str]
    levels: Table | None

    @property
    def shown(self) -> list[Contrast]:
        """The comparisons for the first screen: settled ones first, larger differences first."""
        if len(self.contrasts) <= CONTRASTS_SHOWN:
            return self.contrasts
        rank = {name: place for place, name in enumerate(("better", "worse", "equivalent", "inconclusive"))}
        order = sorted(self.contrasts, key=lambda contrast: (rank.get(contrast.outcome, len(rank)), -contrast.size))
        return order[:CONTRASTS_SHOWN]


@dataclass(frozen=True)
class ClaimCard:
    """A claim as the scorecard shows it: what was published beside what was measured, and the verdict with its reason.

    ``dataset`` is empty where the study has only one.
    """

    name: str
    text: str
    source: str
    rule: str
    dataset: str
    published: str
    measured: str
    interval: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class VariantRow:
    """A row of the main table, and one for each seed under it."""

    variant: str
    cells: tuple[str, ...]
    seeds: list[tuple[str, ...]]
    featured: bool


def build_view(study: Study, results: Results, folder: Path, config_file: str | None) -> dict[str, Any]:
    """All that the templates need, by name."""
    evidence, plan = results.evidence, study.plan
    runs = evidence.runs
    labels = {name: variant.label for name, variant in plan.variants.items()}
    probes = {
        dataset: probe_findings.findings(**results.probed, labels=labels, dataset=dataset, rope=evidence.rope)
        for dataset in study.datasets
    }
    datasets = list(study.datasets)
    figures = load_figures(study, results, folder)
    resumed = sum(entry["resumed_after_epoch"] > 0 for entry in results.trained.values())
    title = study.report.title or study.question or study.study
    answers = {
        dataset: [answer(evidence, dataset, question) for question in plan.questions.values()] for dataset in datasets
    }
    return {
        "study": study,
        "plan": plan,
        "title": title,
        "lead": study.question if study.question != title else "",
        "datasets": datasets,
        "language": i18n.language(),
        "rope": i18n.with_unit(i18n.number(100 * study.statistics.rope, "g"), "pp"),
        "seeds": [str(seed) for seed in study.seeds],
        "smoke": len(study.seeds) < MIN_SEEDS,
        "facts": {
            "runs": say.count(len(results.trained)),
            "variants": say.count(len(plan.variants)),
            "seeds": say.count(len(study.seeds)),
            "test_images": i18n.listing(say.count(evidence.test_images[dataset]) for dataset in datasets),
            "training": duration(results.summary["training"]["train_seconds"]),
        },
        "diverged": [
            (plan.variants[row["variant"]].label, row["dataset"], row["seed"])
            for row in runs[runs["status"] == "diverged"].to_dict("records")
        ],
        "answers": answers,
        "across": {
            question.name: across_datasets(evidence, question, datasets) for question in plan.questions.values()
        },
        "claims": claim_cards(evidence, len(datasets) > 1),
        "claims_count": say.claims_count(evidence),
        "chosen": {dataset: chosen(evidence, dataset) for dataset in datasets},
        "cards": {dataset: model_card(evidence, dataset, results.manifests[dataset]) for dataset in datasets},
        "main": {dataset: main_table(evidence, dataset) for dataset in datasets},
        "main_columns": MAIN_COLUMNS,
        "long": LONG,
        "findings": {
            dataset: say.interpret(evidence, dataset, probe_findings.by_assumption(probes[dataset]))
            for dataset in datasets
        },
        "probes": {
            dataset: [
                Probed(
                    name,
                    statements,
                    [figure for figure in figures[dataset]["probes"] if figure.probe == name],
                    probe_table(results.probed["curves"], dataset, name, labels),
                )
                for name, statements in probes[dataset].items()
            ]
            for dataset in datasets
        },
        "deployments": [found for dataset in datasets if (found := deployment(folder, dataset, runs))],
        "limitations": say.limitations(evidence, study.seeds, results.explored, resumed),
        "figures": figures,
        "looked_at": {
            dataset: [(name, plan.variants[name].label) for name in closest_first(evidence, dataset)]
            for dataset in datasets
        },
        "fits": {dataset: fits_summary(evidence, dataset) for dataset in datasets},
        "per_class": {
            dataset: {name: per_class(evidence, dataset, name) for name in evidence.detailed(dataset)}
            for dataset in datasets
        },
        "calibration": {dataset: calibration_table(evidence, dataset) for dataset in datasets},
        "data": {dataset: data_tables(results.explored[dataset], results.manifests[dataset]) for dataset in datasets},
        "matrices": {dataset: matrices(evidence, dataset) for dataset in datasets},
        "legend": [(name, labels[name], number % len(COLOURS)) for number, name in enumerate(plan.compared)],
        "light": {name: colour for colour, name in VARIABLES.items()},
        "design": design(study),
        "provenance": provenance_view(study, results, config_file),
    }


MAIN_COLUMNS = (
    "label", "parameters", "macs", "receptive_field", "test_accuracy", "ci", "n_seeds", "difference", "test_loss",
    "ece", "brier", "seconds_per_epoch", "latency_ms",
)  # fmt: skip


def main_table(evidence: say.Evidence, dataset: str) -> list[VariantRow]:
    """Every variant with its measures and seeds. Featured are base models, the chosen and the most accurate ones."""
    rows = evidence.variants[evidence.variants["dataset"] == dataset]
    best = set(rows.sort_values("test_accuracy_mean", ascending=False)["variant"][: LONG // 2])
    best |= {evidence.chosen.get(dataset)}
    groups = evidence.runs[evidence.runs["dataset"] == dataset].groupby("variant")
    runs = {str(name): group for name, group in groups}
    differences = differences_by_variant(evidence, dataset)
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
        )
        seeds = [seed_cells(entry) for entry in runs[row["variant"]].sort_values("seed").to_dict("records")]
        table.append(VariantRow(row["variant"], cells, seeds, row["variant"] in best or row["variant"] == row["model"]))
    return table


def probe_table(curves: pd.DataFrame, dataset: str, probe: str, labels: Mapping[str, str]) -> Table:
    """Every point of a probe's curves; losses and scores as numbers, shares in percent."""
    rows = curves[(curves["dataset"] == dataset) & (curves["probe"] == probe)]
    cells = []
    for row in rows.to_dict("records"):
        shown = say.number if row["measure"] in ("test_loss", "brier", "ece") else say.percent
        limits = say.MISSING
        if not say.missing(row["ci_low"]):
            limits = _("{low} to {high}", low=shown(row["ci_low"]), high=shown(row["ci_high"]))
        cells.append(
            (
                labels[row["variant"]],
                say.MISSING if say.missing(row["level"]) else probe_level(probe, row["order"]),
                _(MEASURES[row["measure"]]),
                shown(row["mean"]),
                limits,
                str(row["n_seeds"]),
            )
        )
    columns = ("label", "level", "measure", "mean", "mean_ci", "n_seeds")
    return Table("probe", columns, cells, {"dataset": dataset}, list(rows["variant"]))


STATES = {"finished": N_("finished"), "diverged": N_("diverged")}
"""How a run's status reads, before translation."""


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
    )


def differences_by_variant(evidence: say.Evidence, dataset: str) -> dict[str, str]:
    """Each variant's difference to the reference of every question that it is part of."""
    texts: dict[str, list[str]] = {}
    for question in evidence.plan.questions.values():
        for row in evidence.contrasts(dataset, question.name):
            reference = contrast_labels(evidence.plan, question, row["variant"])[1]
            difference = say.points(row["difference"])
            if not say.missing(row["ci_low"]):
                limits = say.interval(row["ci_low"], row["ci_high"]).replace(" ", NO_BREAK_SPACE)
                difference = f"{difference} ({limits})"
            text = _("{difference} to {reference}", difference=difference, reference=reference)
            texts.setdefault(row["variant"], []).append(text)
    return {name: "; ".join(parts) for name, parts in texts.items()}


def mean_and_sd(row: Mapping[str, Any]) -> str:
    """``95.59 ± 1.27 %``, or only the mean where there is one run."""
    mean, sd = row["test_accuracy_mean"], row["test_accuracy_sd"]
    if say.missing(mean) or say.missing(sd):
        return say.percent(mean)
    return f"{say.number(100 * mean, 2)} ± {i18n.with_unit(say.number(100 * sd, 2), '%')}"


def mean_interval(row: Mapping[str, Any]) -> str:
    """The t interval of a variant's mean; none below the seeds that allow to infer anything."""
    if row["n_seeds"] < MIN_SEEDS:
        return say.MISSING
    return say.interval(row["test_accuracy_ci_low"], row["test_accuracy_ci_high"], signed=False)


def pixels(side: float) -> str:
    return f"{side:.0f}×{side:.0f}"


def chosen(evidence: say.Evidence, dataset: str) -> dict[str, str] | None:
    """The variant that validation accuracy chose."""
    name = evidence.chosen.get(dataset)
    if name is None:
        return None
    row = evidence.variant(dataset, name)
    return {
        "label": row["label"],
        "validation": say.percent(row["val_accuracy_mean"]),
        "test": say.percent(row["test_accuracy_mean"]),
    }


def answer(evidence: say.Evidence, dataset: str, question: Question) -> Answer:
    """One question on one dataset."""
    rows = evidence.contrasts(dataset, question.name)
    contrasts = []
    limits = [row[name] for row in rows for name in ("ci_low", "ci_high", "difference") if not say.missing(row[name])]
    reach = 1.08 * max([abs(limit) for limit in limits] + [2 * evidence.rope, 1e-4])
    for row in rows:
        variant, reference = contrast_labels(evidence.plan, question, row["variant"])
        contrasts.append(
            Contrast(
                row["variant"],
                variant,
                reference,
                say.outcome(row),
                say.headline(row, variant, reference, evidence.rope),
                say.points(row["difference"]),
                say.interval(row["ci_low"], row["ci_high"]),
                say.MISSING if say.missing(row["p_adjusted"]) else format_p(row["p_adjusted"]),
                row["sentence"],
                bar(row, evidence.rope, reach),
                0.0 if say.missing(row["difference"]) else abs(row["difference"]),
            )
        )
    names = [question.reference, *question.variants]
    counts = sorted({int(evidence.variant(dataset, name)["n_seeds"]) for name in names})
    return Answer(
        question,
        dataset,
        contrasts,
        _("{low} to {high}", low=counts[0], high=counts[-1]) if len(counts) > 1 else str(counts[0]),
        say.count(evidence.test_images[dataset]),
        [row["sentence"] for row in evidence.over_levels(dataset, question.name)],
        levels_table(evidence, dataset, question),
    )


def bar(row: Mapping[str, Any], rope: float, reach: float) -> Bar | None:
    """A comparison's interval on a scale from −``reach`` to ``reach``; None without an interval."""
    if say.missing(row["ci_low"]) or say.missing(row["difference"]):
        return None

    def place(value: float) -> float:
        return round(50 + 50 * value / reach, 2)

    return Bar(*(place(v) for v in (row["ci_low"], row["ci_high"], row["difference"], 0, -rope, rope)))


def claim_cards(evidence: say.Evidence, several: bool) -> list[ClaimCard]:
    """Every claim, in the order of the config; ``several`` datasets are named."""
    cards = []
    for row in evidence.claims.to_dict("records"):
        claim, unit = evidence.plan.claims[row["claim"]], "" if say.missing(row["unit"]) else row["unit"]
        published, measured = claim.published, row["measured"]
        if isinstance(published, int | float):
            published = decisions.constant_text(Fraction(str(published)), unit)
        if say.missing(row["n_seeds"]) and float(measured).is_integer():  # an exact whole number
            measured = Fraction(int(measured))
        cards.append(
            ClaimCard(
                row["claim"],
                claim.text,
                claim.source,
                row["rule"],
                row["dataset"] if several else "",
                say.MISSING if published in (None, "") else published,
                say.MISSING if say.missing(measured) else decisions.number_text(measured, unit),
                "" if say.missing(row["ci_low"]) else decisions.interval_text(row["ci_low"], row["ci_high"], unit),
                row["verdict"],
                row["reason"],
            )
        )
    return cards


def levels_table(evidence: say.Evidence, dataset: str, question: Question) -> Table:
    """Levels of an experiment, or the two sides of a comparison, with measures, costs and verdicts."""
    rows = {row["variant"]: row for row in evidence.contrasts(dataset, question.name)}
    if question.levels:
        names = {level.variant: level.label for level in question.levels}
    else:
        names = {name: evidence.label(name) for name in (question.reference, *question.variants)}
    cells = []
    for name, label in names.items():
        variant, row = evidence.variant(dataset, name), rows.get(name)
        cells.append(
            (
                label,
                str(variant["n_seeds"]),
                mean_and_sd(variant),
                _("reference") if row is None else say.points(row["difference"]),
                "" if row is None else say.interval(row["ci_low"], row["ci_high"]),
                "" if row is None else say.interval(row.get("new_images_ci_low"), row.get("new_images_ci_high")),
                "" if row is None else verdict_word(say.outcome(row)),
                say.count(variant["parameters"]),
                say.count(variant["macs"]),
                pixels(variant["receptive_field"]),
                say.number(variant["seconds_per_epoch"], 2),
            )
        )
    columns = (
        "level" if question.levels else "label", "n_seeds", "test_accuracy", "difference", "difference_ci",
        "new_images_ci", "verdict", "parameters", "macs", "receptive_field", "seconds_per_epoch",
    )  # fmt: skip
    return Table("levels", columns, cells, {"question": question.text, "dataset": dataset}, list(names))


def verdict_word(outcome: str) -> str:
    return _({**VERDICTS, "smoke": N_("smoke test"), "missing": N_("no value")}[outcome])


def closest_first(evidence: say.Evidence, dataset: str) -> list[str]:
    """Variants that were looked at closely, the chosen one first."""
    return sorted(evidence.detailed(dataset), key=lambda name: name != evidence.chosen.get(dataset))


def fits_summary(evidence: say.Evidence, dataset: str) -> Table:
    """Training against validation at the kept epoch, every run of the variants looked at closely."""
    rows = evidence.fits[evidence.fits["dataset"] == dataset].to_dict("records")
    cells = [
        (
            evidence.label(row["variant"]),
            str(row["seed"]),
            _("{n} of {all}", n=row["kept_epoch"], all=row["epochs"]),
            say.percent(row["train_accuracy"]),
            say.percent(row["val_accuracy"]),
            say.points(row["gap"]),
            _("{loss} (epoch {epoch})", loss=say.number(row["lowest_val_loss"]), epoch=row["lowest_epoch"]),
            say.number(row["last_val_loss"]),
        )
        for row in rows
    ]
    columns = (
        "label", "seed", "kept_epoch", "train_accuracy", "val_accuracy", "gap", "lowest_val_loss", "last_val_loss",
    )  # fmt: skip
    return Table("fits", columns, cells, {"dataset": dataset}, [row["variant"] for row in rows])


def per_class(evidence: say.Evidence, dataset: str, variant: str) -> Table:
    """Precision, recall and F1 of every class."""
    rows = evidence.per_class
    rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == variant)].to_dict("records")
    cells = [
        (
            row["class"],
            say.count(row["support"]),
            *(say.percent(row[name], 1) for name in ("precision", "recall")),
            say.spread(row["recall_sd"], 1),
            say.percent(row["f1"], 1),
        )
        for row in rows
    ]
    return Table(
        "per_class",
        ("class", "support", "precision", "recall", "recall_sd", "f1"),
        cells,
        {"label": evidence.label(variant), "dataset": dataset},
    )


def calibration_table(evidence: say.Evidence, dataset: str) -> Table:
    """Confidence against accuracy of the variants looked at closely."""
    cells = []
    for name in closest_first(evidence, dataset):
        rows, variant = evidence.confidence, evidence.variant(dataset, name)
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
    return Table("calibration", columns, cells, {"dataset": dataset}, closest_first(evidence, dataset))


def data_tables(explored: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Table]:
    """What the data are, from what explore measured and where prepare found them."""
    image, pixel, duplicates = explored["image"], explored["pixels"], explored["duplicates"]
    content, raw, normalised = explored["content"], pixel["raw"], pixel["normalised"]
    parts = {"train": say.count(explored["images"]["train"]), "test": say.count(explored["images"]["test"])}
    share = say.percent(duplicates["near_share_of_test"], 1)
    values = _("{n} values", n=say.count(image["values"]))
    size = f"{i18n.number(content['median_height'], 'g')}×{i18n.number(content['median_width'], 'g')}"
    scale = _("{low} to {high}", low=pixel["minimum"], high=pixel["maximum"])
    facts = [
        ("images", _("{train} training, {test} test", **parts)),
        ("classes", say.count(len(explored["classes"]))),
        ("imbalance", say.MISSING if explored["imbalance_ratio"] is None else say.times(explored["imbalance_ratio"])),
        ("shape", f"{image['height']}×{image['width']}×{image['channels']} ({values})"),
        ("content", _("{size} pixels (median)", size=size)),
        ("raw", f"{say.number(raw['mean'], 1)} ± {say.number(raw['sd'], 1)}, {scale}"),
        (
            "normalised",
            f"{say.number(normalised['mean'], 3)} ± {say.number(normalised['sd'], 3)}, "
            + _("{low} to {high}", low=0, high=1),
        ),
        ("zeros", say.percent(pixel["zero_share"], 1)),
        (
            "duplicates",
            ngettext(
                "{near} ({share}), {n} of them identical",
                "{near} ({share}), {n} of them identical",
                duplicates["exact_test_images"],
                near=say.count(duplicates["near_test_images"]),
                share=share,
            ),
        ),
        ("disagreeing", say.count(duplicates["label_disagreeing_pairs"])),
    ]
    dataset = explored["dataset"]
    counts = [
        (name, say.count(explored["counts"]["train"][name]), say.count(explored["counts"]["test"][name]))
        for name in explored["classes"]
    ]
    files = [(name, "×".join(map(str, entry["shape"])), entry["sha256"]) for name, entry in manifest["arrays"].items()]
    limits = {part: manifest.get(f"{part}_images") for part in ("train", "test")}
    kinds = {"train": N_("{n} train images"), "test": N_("{n} test images")}
    taken = ", ".join(_(kinds[part], n=say.count(limit)) for part, limit in limits.items() if limit)
    source = [
        ("source", _(manifest["source"])),
        ("licence", _(manifest["licence"])),
        ("citation", manifest["citation"]),
        ("homepage", manifest["homepage"]),
        ("taken", taken or _("all images")),
        ("excluded", say.count(len(manifest["excluded"]))),
    ]
    return {
        "facts": Table("data_facts", ("fact", "value"), facts, {"dataset": dataset}),
        "counts": Table("class_counts", ("class", "train_images", "test_images"), counts, {"dataset": dataset}),
        "files": Table("arrays", ("array", "shape", "sha256"), files, {"dataset": dataset}),
        "source": Table("source", ("fact", "value"), source, {"dataset": dataset}),
    }


MANIFEST_WORDS = (
    N_("none stated by its authors, who ask for the citation"),
    N_("as of the images"),
    N_("a folder of images"),
    N_("a NumPy file"),
)
"""What a manifest says in words of ours; names of people and licences stay as they are."""


# ---------------------------------------------------------------------------------------------------------------------
# Design and provenance


def design(study: Study) -> dict[str, Any]:
    """Models with their layers and reasons, training settings, factors."""
    plan = study.plan
    others = [name for name in plan.variants if name not in study.models]
    experiments = []
    for question in plan.questions.values():
        if question.levels:
            levels = ", ".join(level.label for level in question.levels)
            reference = next(level.label for level in question.levels if level.variant == question.reference)
            base = plan.variants[plan.aliases[question.base]].label
            experiments.append((question.name, base, question.subject, levels, reference))
        else:
            sides = (plan.variants[question.variants[0]].label, plan.variants[question.reference].label)
            experiments.append((question.name, *sides[:1], say.MISSING, say.MISSING, sides[1]))
    return {
        "models": [
            {
                "label": model.label or name,
                "name": name,
                "family": level_label("family", model.family),
                "fields": fields_table(model, model.label or name),
                "layers": layers_tables(study, name),
                "diagrams": diagrams(study, name),
            }
            for name, model in study.models.items()
        ],
        "others": [
            (plan.variants[name].label, layers_tables(study, name), diagrams(study, name))
            for name in others[:LAYERS_SHOWN]
        ],
        "others_left_out": max(0, len(others) - LAYERS_SHOWN),
        "training": Table("training", ("field", "value", "meaning"), settings(study.training)),
        "experiments": Table("experiments", ("name", "base", "factor", "levels", "reference"), experiments),
        "validation": say.percent(study.training.validation_fraction, 0),
        "select": level_label("select", study.training.select),
    }


def fields_table(model: Any, label: str) -> Table:
    """Every choice of an architecture with its reason, explained ones first."""
    rows = [
        (name, value, model.why.get(key, say.MISSING), meaning)
        for key, (name, value, meaning) in zip(fields_of(model), settings(model), strict=True)
    ]
    rows.sort(key=lambda row: row[2] == say.MISSING)
    return Table("fields", ("field", "value", "why", "meaning"), rows, {"label": label})


def fields_of(spec: Any) -> list[str]:
    return [name for name in type(spec).model_fields if name not in ("family", "label", "why")]


def settings(spec: Any) -> list[tuple[str, str, str]]:
    """Name, value and meaning of every field of a spec."""
    found = []
    for name in fields_of(spec):
        meaning = _(type(spec).model_fields[name].description or say.MISSING)
        found.append((field_label(name), level_label(name, getattr(spec, name)), meaning))
    return found


def layers_tables(study: Study, variant: str) -> list[Table]:
    """The layers of a variant, once for each input shape among the datasets."""
    groups: dict[Any, list[str]] = {}
    for dataset in study.datasets:
        groups.setdefault(study.plan.costs[dataset, variant], []).append(dataset)
    tables = []
    for cost, datasets in groups.items():
        rows = [
            (
                layer.name,
                "×".join(map(str, layer.output_shape)),
                say.count(layer.parameters),
                say.count(layer.macs),
                pixels(layer.receptive_field) if layer.receptive_field else i18n.pgettext("receptive field", "all"),
            )
            for layer in cost.layers
        ]
        rows.append(("total", "", say.count(cost.parameters), say.count(cost.macs), pixels(cost.receptive_field)))
        about = {"label": study.plan.variants[variant].label, "dataset": ", ".join(datasets)}
        columns = ("layer", "output_shape", "parameters", "macs", "receptive_field")
        tables.append(Table("layers", columns, rows, about))
    return tables


def diagrams(study: Study, variant: str) -> list[Markup]:
    """A drawing of a variant for each input shape among the datasets."""
    label = study.plan.variants[variant].label
    costs = dict.fromkeys(study.plan.costs[dataset, variant] for dataset in study.datasets)
    return [
        diagram(cost.layers, f"diagram-{variant}-{number}", _("Architecture of {label}", label=label))
        for number, cost in enumerate(costs)
    ]


def provenance_view(study: Study, results: Results, config_file: str | None) -> dict[str, Any]:
    """Where the results come from, and how to make them again."""
    training, runs = results.summary["training"], results.evidence.runs
    rows = [
        (
            _("{variant}, seed {seed}", variant=row["variant"], seed=row["seed"]),
            row["dataset"],
            _(STATES[row["status"]]),
            _("{n} of {all}", n=row["best_epoch"], all=row["epochs_run"]),
            say.number(row["train_seconds"], 1),
            say.count(row["images_per_second"]),
            say.count(row["peak_memory_mb"]),
            _("yes")
            if results.trained[row["dataset"], row["variant"], row["seed"]]["resumed_after_epoch"]
            else _("no"),
            row["spec_hash"],
        )
        for row in runs.to_dict("records")
    ]
    resumed = [
        _(
            "{variant}, seed {seed} on {dataset} (after epoch {epoch})",
            variant=variant,
            seed=seed,
            dataset=dataset,
            epoch=entry["resumed_after_epoch"],
        )
        for (dataset, variant, seed), entry in results.trained.items()
        if entry["resumed_after_epoch"]
    ]
    columns = (
        "run", "dataset", "status", "kept_epoch", "train_seconds", "images_per_second", "peak_memory_mb", "resumed",
        "spec_hash",
    )  # fmt: skip
    return {
        "runs": Table("runs", columns, rows),
        "resumed": resumed,
        "versions": [sorted(entry.items()) for entry in training["versions"]],
        "hardware": [machine(entry) for entry in training["hardware"]],
        "devices": [device(text) for text in training["devices"]],
        "started": i18n.instant(datetime.fromisoformat(training["first_started"])),
        "finished": i18n.instant(datetime.fromisoformat(training["last_finished"])),
        "train_time": duration(training["train_seconds"]),
        "peak_memory": f"{say.count(training['peak_memory_mb'])} MB",
        "config_file": config_file,
        "command": command(study, training["hardware"], config_file),
        "config": yaml.safe_dump(study.written, sort_keys=False, allow_unicode=True, width=110),
    }


def command(study: Study, hardware: Iterable[Mapping[str, Any]], config_file: str | None) -> str:
    """What makes these results again, on as many cores as were used."""
    cores = max((entry["cores"] for entry in hardware), default=1)
    return f"snakemake --cores {cores} --configfile {shlex.quote(config_file or study.study + '.yaml')}"


def duration(seconds: float) -> str:
    """``33 s``, ``4 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{say.count(whole // 3600)} h {whole % 3600 // 60} min"


def machine(entry: Mapping[str, Any]) -> str:
    """``A chip, 2 cores, 8 GB, Linux x86_64``."""
    cores = ngettext("{n} core", "{n} cores", entry["cores"])
    memory = i18n.with_unit(i18n.number(entry["memory_gb"], "g"), "GB")
    return f"{entry['processor']}, {cores}, {memory}, {entry['system']}"


def device(text: str) -> str:
    """``CPU, 2 threads`` from what a run says of itself (``CPU, 2 thread(s)``); others, such as GPU, as they are."""
    found = re.fullmatch(r"CPU, (\d+) thread\(s\)", text)
    return ngettext("CPU, {n} thread", "CPU, {n} threads", int(found[1])) if found else text


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def load_figures(study: Study, results: Results, folder: Path) -> dict[str, dict[str, list[Figure]]]:
    """All figures by dataset and section, the most urgent ones embedded."""
    entries = [(entry, Path("compare", "figures", entry["file"])) for entry in results.summary["figures"]]
    for dataset, explored in results.explored.items():
        for name in DATA_FIGURES:
            tiles, numbers = explored["tiles"].get(name), name in DATA_NUMBERS
            entry = {"section": "data", "dataset": dataset, "title": name, "caption": "", "file": name}
            entries.append((entry | {"tiles": tiles, "numbers": numbers}, Path("explore", dataset, name)))
    ranked = sorted(entries, key=lambda pair: URGENCY.index(pair[0]["section"]))
    embedded = {id(pair[0]) for pair in ranked[:FIGURES_EMBEDDED]}
    figures = {dataset: {section: [] for section in URGENCY} for dataset in study.datasets}
    for number, (entry, stem) in enumerate(entries):
        shown: dict[str, Any] = {}
        description = alternative(entry, results.evidence)
        if id(entry) in embedded and entry.get("tiles"):
            shown["sprite"] = sprite(folder / f"{stem}.tiles.png", entry["tiles"])
        elif id(entry) in embedded:
            shown["svg"] = inline_svg(folder / f"{stem}.svg", f"f{number}", spoken_title(entry), description)
        if shown and entry.get("numbers"):
            shown["numbers"] = numbers_of(folder / f"{stem}.csv")
        figures[entry["dataset"]][entry["section"]].append(
            Figure(
                entry["section"],
                entry["file"],
                entry["title"],
                entry["caption"],
                description,
                f"{quote(stem.as_posix())}.png",
                variant=entry.get("variant"),
                question=entry.get("question"),
                probe=entry.get("probe"),
                **shown,
            )
        )
    return figures


DATA_FIGURES = ("class_distribution", "samples", "dimensions", "intensities", "mean_images", "near_duplicates")
"""Figures of explore in the order of the page."""

DATA_NUMBERS = ("class_distribution", "dimensions", "intensities")
"""Those of them that have their numbers in a CSV."""


DATA_TITLES = {
    "class_distribution": N_("class distribution"),
    "samples": N_("samples"),
    "dimensions": N_("dimensions"),
    "intensities": N_("intensities"),
    "mean_images": N_("mean images"),
    "near_duplicates": N_("near duplicates"),
}


def spoken_title(entry: Mapping[str, Any]) -> str:
    """A figure's title; explore's figures are known by their name."""
    return _(DATA_TITLES[entry["title"]]) if entry["section"] == "data" else entry["title"]


def alternative(entry: Mapping[str, Any], evidence: say.Evidence) -> str:
    """A figure's text for who cannot see it: its numbers where they are few, else what it shows."""
    dataset = entry["dataset"]
    what = f"{spoken_title(entry)}, {dataset}"
    if entry["section"] in ("overview", "costs") or entry["file"].endswith(("-seeds", "-costs")):
        rows = evidence.variants[evidence.variants["dataset"] == dataset]
        if entry["section"] == "question":
            question = evidence.plan.questions[entry["question"]]
            rows = rows[rows["variant"].isin([question.reference, *question.variants])]
        measures = [f"{row['label']} {mean_and_sd(row)} (n = {row['n_seeds']})" for row in rows.to_dict("records")]
        accuracies = _("Test accuracy: {measures}.", measures=i18n.listing(measures, most=12))
        return f"{what}. {accuracies}"
    if entry["section"] == "question":
        sentences = [row["sentence"] for row in evidence.contrasts(dataset, entry["question"])]
        return f"{what}. {' '.join(sentences[:6])}"
    return f"{what}. {entry['caption']}".strip()


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Matrix:
    """Counts and the share of each true class, over all seeds."""
    shares = row_shares(counts)
    return Matrix(
        title,
        classes,
        [[say.count(value) for value in row] for row in counts],
        [[say.number(100 * value, 1) for value in row] for row in shares],
        [[round(value, 4) for value in row] for row in shares],
    )


def confusion_difference(
    first: Sequence[Sequence[int]], second: Sequence[Sequence[int]], classes: Sequence[str], title: str
) -> Matrix:
    """Shares of the first minus shares of the second, percentage points."""
    shares = [
        [a - b for a, b in zip(row_a, row_b, strict=True)]
        for row_a, row_b in zip(row_shares(first), row_shares(second), strict=True)
    ]
    reach = max(abs(value) for row in shares for value in row) or 1.0
    texts = [[signed(100 * value, 1) if abs(value) >= 0.0005 else "0" for value in row] for row in shares]
    return Matrix(title, classes, [], texts, [[round(value / reach, 4) for value in row] for row in shares], True)


def row_shares(counts: Sequence[Sequence[int]]) -> list[list[float]]:
    return [[value / max(sum(row), 1) for value in row] for row in counts]


def matrices(evidence: say.Evidence, dataset: str) -> tuple[dict[str, Matrix], list[Matrix]]:
    """Confusion of every variant that was looked at, and the differences that a question asks about; none if large."""
    classes, counts = evidence.classes[dataset], evidence.confusions.get(dataset, {})
    if len(classes) > CLASSES_IN_TABLE:
        return {}, []
    known = {name: matrix for name, matrix in counts.items() if len(matrix)}
    confusions = {name: confusion_matrix(matrix, classes, evidence.label(name)) for name, matrix in known.items()}
    pairs = dict.fromkeys(
        (name, question.reference)
        for question in evidence.plan.questions.values()
        for name in question.variants
        if name in known and question.reference in known
    )
    differences = [
        confusion_difference(known[a], known[b], classes, f"{evidence.label(a)} − {evidence.label(b)}")
        for a, b in pairs
    ]
    return confusions, differences


# ---------------------------------------------------------------------------------------------------------------------
# Templates


def environment(kind: str) -> Environment:
    """Templates for ``html`` or ``markdown``: a value is escaped for its output unless a template says otherwise."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=markdown_text if kind == "markdown" else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"_": _, "ngettext": ngettext, "pgettext": i18n.pgettext}
    made.globals["palette"] = {"light": COLOURS, "dark": ON_DARK}  # page.css is a template
    made.filters["fenced"] = fenced
    made.filters["tight"] = tight
    return made


def script_hash(script: str) -> str:
    """What the page's policy allows to run: this very script and nothing else."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


MARKDOWN_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#&$]")
MARKDOWN_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
LINE_START = re.compile(r"^(?:([-+=])(?=[\s=+-]|$)|(\d{1,9})([.)])(?=\s|$))")


def markdown_text(value: Any) -> Any:
    """A value as Markdown that shows it as it is: no markup, no HTML, no links, no line of its own.

    What templates and macros have already made (Markup) passes.
    """
    if isinstance(value, Markup):
        return value
    text = re.sub(rf"[^\S{NO_BREAK_SPACE}]+", " ", str(value)).strip()
    text = MARKDOWN_SPECIAL.sub(lambda match: MARKDOWN_ENTITIES.get(match[0], "\\" + match[0]), text)
    text = LINE_START.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", text)
    return Markup(text.replace("://", ":\\//").replace("www.", "www\\.").replace("@", "&#64;"))


def tight(text: str) -> str:
    """Text whose numbers do not part from their units, nor "n =" from its number, at the end of a line."""
    text = re.sub(r"(?<=\d) (?=%|pp\b)|(?<=±) (?=\d)|(?<=%) (?=CI\b)", NO_BREAK_SPACE, text)
    return re.sub(r"\b([np]) ([=<>]) (?=[\d.])", rf"\1{NO_BREAK_SPACE}\2{NO_BREAK_SPACE}", text)


def fenced(text: str, language: str = "") -> Markup:
    """A code block whose fence is longer than any run of backticks in it, so that nothing in it can end it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markup(f"{fence}{language}\n{text.strip()}\n{fence}")


def tidy_markdown(text: str) -> str:
    """No more than one empty line in a row, none at the start."""
    return re.sub(r"\n{3,}", "\n\n", text).lstrip()


if __name__ == "__main__":
    run(main)
