"""Compare all runs of a study: tables with statistics, figures, and summary.json, which the report is written from.

The runs are those that the config names; a run whose spec or data are not the config's is refused.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common import provenance
from convlab.common.cli import run
from convlab.common.code_digests import code_parts
from convlab.common.files import read_json, write_json, write_text
from convlab.common.i18n import N_, ngettext, number
from convlab.common.i18n import gettext as _
from convlab.common.outputs import files_below, job_results
from convlab.common.table_files import csv_text, read_table, write_table
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation import metrics
from convlab.evaluation.records import read_features, read_measures, read_probabilities
from convlab.figures import examples
from convlab.figures import results as charts
from convlab.figures.labels import tell_boxes
from convlab.figures.results import Series
from convlab.figures.saving import FigureWriter
from convlab.figures.sprites import Group, write_sprite
from convlab.figures.style import caption_text, use_style
from convlab.language import contrasts as sentences
from convlab.language.numbers import quantity_text
from convlab.paper import printed as paper
from convlab.paper.macros import numbers_tex
from convlab.probes import registry as probe_registry
from convlab.probes import tables as probe_tables
from convlab.results import tables as results
from convlab.results.choice import chosen_variant
from convlab.results.family import confirmatory_family
from convlab.states import history
from convlab.statistics.claims import ConstantGuess
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.labels import field_label
from convlab.study.load import load_study
from convlab.study.schema import Study
from convlab.study.variants import Plan, Question

EXAMPLES = 12
"""Images shown of each kind."""

DETAILED = 6
"""Variants whose errors, filters and feature maps are shown: base models first, then the chosen one."""

CAPTIONS = {
    "runs": N_("Every run of the study{where}."),
    "variants": N_("Every variant{where}: mean over n seeds with SD and 95 % t interval of the mean."),
    "comparisons": N_(
        "Differences of test accuracy to the reference{where}, with simultaneous 95 % intervals over seeds; "
        "p is adjusted over the study (Holm), that of equivalence too (Bonferroni)."
    ),
    "claims": N_("Claims of the config, and what this study found{where}; p is adjusted over the study (Holm)."),
    "trends": N_(
        "Trends of test accuracy over ordered factors{where}: slope with 95 % interval, Page's trend test. "
        "Exploratory: these p values are not adjusted over the study."
    ),
    "factorials": N_(
        "Two factors in all combinations{where}: main effects and interactions, seeds as blocks. Exploratory: these p "
        "values are not adjusted over the study."
    ),
    "per_class": N_("Precision, recall (± SD) and F1 by class{where}, means over seeds."),
    "probe_curves": N_("What the probes measured{where}: mean ± SD over n seeds with 95 % t interval."),
    "probe_contrasts": N_(
        "Statistics of the probes{where}, paired by seed, with 95 % t interval. "
        "Exploratory: not adjusted over the study."
    ),
}
"""What each table shows; ``where`` names the dataset of a study that has one."""

WITH_BASELINE = ("runs", "variants", "probe_curves")
"""Tables of accuracies, whose captions name the accuracy of a constant guess."""

log = logging.getLogger("compare")


@dataclass(frozen=True)
class Loaded:
    """What train and evaluate left, by (dataset, variant, seed)."""

    seeds: Sequence[int]
    rows: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    evaluations: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)

    def finished(self, dataset: str, variant: str) -> list[int]:
        """Seeds of a variant's runs that did not diverge."""
        return [seed for seed in self.seeds if self.runs[dataset, variant, seed]["status"] == "finished"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=json.loads, help="the config as JSON, texts may be missing")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    parser.add_argument("--processes", type=int, default=1, help="figures that are written at the same time")
    arguments = parser.parse_args(argv)
    output = arguments.results_dir / "compare"
    with job_results(output / "summary.json", lambda: files_below(output, {history.HISTORY})):
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Read all runs, and write tables, figures and summary."""
    study, folder = load_study(arguments.settings, for_readers=True), arguments.results_dir
    output, plan = folder / "compare", study.plan

    loaded = load_runs(study, folder)
    manifests = {dataset: read_json(folder / "prepare" / dataset / "manifest.json") for dataset in study.datasets}
    classes = {dataset: manifest["classes"] for dataset, manifest in manifests.items()}

    guesses = {dataset: ConstantGuess.of(manifest["counts"]["test"]) for dataset, manifest in manifests.items()}

    runs = results.runs_table(loaded.rows)
    variants = results.variants_table(runs, plan, guesses)
    family = confirmatory_family(runs, plan, study.statistics.rope, guesses)
    comparisons = results.comparisons_table(runs, plan, study.statistics.rope, family)
    comparisons = results.with_new_images(comparisons, load_correct(study, folder, loaded))
    claims = results.claims_table(runs, plan, study.statistics.rope, family)
    trends, factorials = results.trends_table(runs, plan), results.factorial_table(runs, plan)
    per_class = results.per_class_table(loaded.evaluations, classes)
    chosen = {dataset: chosen_variant(variants[variants["probe"] == ""], dataset) for dataset in study.datasets}
    measured = probe_tables.load_measured(study, folder)
    curves = probe_tables.all_curves(runs, plan, measured)
    contrasts = probe_tables.all_contrasts(runs, plan, measured)

    use_style()
    names = [variant.label for variant in study.plan.variants.values()]
    lacking = tell_boxes(log, [*names, *(name for named_classes in classes.values() for name in named_classes)])
    figures_folder = output / "figures"
    shutil.rmtree(figures_folder, ignore_errors=True)
    figures_folder.mkdir(parents=True)
    figures = []
    tables = results.Tables(runs, variants, comparisons, trends, per_class, curves)
    named = {
        "runs": runs, "variants": variants, "comparisons": comparisons, "claims": claims, "trends": trends,
        "factorials": factorials, "per_class": per_class, "probe_curves": curves, "probe_contrasts": contrasts,
    }  # fmt: skip
    with FigureWriter(arguments.processes) as writer:
        for dataset in study.datasets:
            for drawing in draw(study, dataset, tables, loaded, folder, classes[dataset], chosen[dataset]):
                figures.append(drawing.save(figures_folder, writer))
        # The tables are written while the last figures are.
        printed = paper.printed(named, study)
        where = _(" on {dataset}", dataset=next(iter(study.datasets))) if len(study.datasets) == 1 else ""
        for name, caption in CAPTIONS.items():
            text = _(caption, where=where)
            if name in WITH_BASELINE:
                text += "".join(
                    f" {constant_guess_text(guess, dataset, len(guesses) > 1)}"
                    for dataset, guess in guesses.items()
                    if guess
                )
            write_table(named[name], output / name, text, printed[name])
        test_images = {dataset: sum(manifest["counts"]["test"].values()) for dataset, manifest in manifests.items()}
        write_text(output / "numbers.tex", numbers_tex(named, study, test_images, chosen, guesses))
    write_json(
        output / "summary.json",
        {
            "format": 1,
            "classes": classes,
            "test_images": test_images,
            "constant_guess": {
                dataset: guess and {"class": guess.label, "share": float(guess.share)}
                for dataset, guess in guesses.items()
            },
            "chosen": chosen,
            "confusions": {
                dataset: {
                    variant: results.summed_confusion(loaded.evaluations, dataset, variant)
                    for variant in detailed(study, chosen[dataset])
                }
                for dataset in study.datasets
            },
            "figures": figures,
            "not_drawn": lacking,
            "training": training_summary(loaded),
            "provenance": made_from(study, loaded, manifests),
        },
    )
    history.keep(output)
    log.info("%d runs, %d comparisons, %d figures", len(runs), len(comparisons), len(figures))


def load_runs(study: Study, folder: Path) -> Loaded:
    """Read every run that the config names, and refuse those that are not what it asks for."""
    loaded = Loaded(study.seeds)
    for dataset in study.datasets:
        manifest = read_json(folder / "prepare" / dataset / "manifest.json")
        checksums = {name: entry["sha256"] for name, entry in manifest["arrays"].items()}
        for variant in study.plan.variants.values():
            evaluated_in = folder / "evaluate" / dataset / variant.name
            for seed, evaluated in read_measures(evaluated_in, study.seeds).items():
                trained_in = folder / "train" / dataset / variant.name / f"seed-{seed}"
                trained = read_json(trained_in / "run.json")
                expected = study.run(dataset, variant.name, seed).spec_hash
                for place, found in ((trained_in, trained), (evaluated_in, evaluated)):
                    if found["spec_hash"] != expected:
                        raise UserError(
                            f"{place} holds a run of seed {seed} with spec hash {found['spec_hash']}, but the config "
                            f"asks for {expected}; delete that folder and run snakemake again"
                        )
                if trained["data_sha256"] != checksums:
                    raise UserError(
                        f"{trained_in} was trained on other data than {folder / 'prepare' / dataset} holds; delete "
                        "that folder and run snakemake again"
                    )
                key = (dataset, variant.name, seed)
                loaded.runs[key], loaded.evaluations[key] = trained, evaluated
                cost = study.plan.costs[dataset, variant.name]
                loaded.rows.append(results.run_row(dataset, variant, seed, cost, trained, evaluated))
    return loaded


def load_correct(study: Study, folder: Path, loaded: Loaded) -> dict[tuple[str, str, int], np.ndarray]:
    """Whether each test image is classified rightly, bool (images,), by every finished run of a question's variants."""
    asked = {name for question in study.plan.questions.values() for name in (question.reference, *question.variants)}
    correct = {}
    for dataset in study.datasets:
        _, truth = prepared.load_test(folder / "prepare" / dataset)
        for name in [name for name in study.plan.variants if name in asked]:
            seeds = loaded.finished(dataset, name)
            probabilities = read_probabilities(folder / "evaluate" / dataset / name, seeds)
            for seed, predicted in zip(seeds, probabilities.argmax(axis=-1), strict=True):
                correct[dataset, name, seed] = predicted == truth
    return correct


def constant_guess_text(guess: ConstantGuess, dataset: str, several: bool) -> str:
    """The baseline of every accuracy, to follow the caption of a table; ``several`` datasets are named."""
    text = sentences.constant_guess_text(guess.label, quantity_text(guess.share, "%"))
    return f"{dataset}: {text}" if several else text


def detailed(study: Study, chosen: str | None) -> list[str]:
    """Variants whose errors and features are shown: the base models, then the chosen variant."""
    bases = [name for name in study.plan.variants if name in study.models]
    extra = [chosen] if chosen and chosen not in bases else []
    return bases[: DETAILED - len(extra)] + extra


def training_summary(loaded: Loaded) -> dict[str, Any]:
    """Machine, versions and times over all runs, for the report's provenance."""
    runs = list(loaded.runs.values())
    return {
        "runs": len(runs),
        "train_seconds": sum(entry["train_seconds"] for entry in runs),
        "first_started": min(entry["started"] for entry in runs),
        "last_finished": max(entry["finished"] for entry in runs),
        "peak_memory_mb": max(entry["peak_memory_mb"] for entry in runs),
        "devices": sorted({entry["device"] for entry in runs}),
        "hardware": distinct(entry["hardware"] for entry in runs),
        "versions": distinct(entry["versions"] for entry in runs),
        "environment": distinct(entry["environment"] for entry in runs),
        "resumed": sum(entry["resumed_after_epoch"] > 0 for entry in runs),
    }


def made_from(study: Study, loaded: Loaded, manifests: Mapping[str, Mapping]) -> dict[str, Any]:
    """What these results depend on, so that states can be compared: config with its defaults, code, data, versions."""
    script = Path(__file__).resolve()
    return {
        "config": study.model_dump(mode="json"),
        "code": {
            "train": distinct(entry.get("code", {}) for entry in loaded.runs.values()),
            "evaluate": distinct(entry.get("code", {}) for entry in loaded.evaluations.values()),
            "compare": [code_parts(script, probe_registry.modules(study.plan.probes, *probe_registry.COMPARE_PARTS))],
        },
        "commit": provenance.commit(script.parent.parent),
        "versions": provenance.versions(),
        "data": {
            dataset: {
                "images": {part: sum(counts.values()) for part, counts in manifest["counts"].items()},
                "classes": manifest["classes"],
                "sha256": {name: entry["sha256"] for name, entry in manifest["arrays"].items()},
            }
            for dataset, manifest in manifests.items()
        },
    }


def distinct(values: Iterator[Mapping]) -> list[Mapping]:
    """Different values, in the order of their first appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


@dataclass(frozen=True)
class Drawing:
    """A figure with what the report says about it, the numbers that it shows, and its images for the page."""

    dataset: str
    section: str
    name: str
    title: str
    caption: str
    figure: Figure
    numbers: pd.DataFrame | None = None
    images: Sequence[Group] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

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
            "numbers": self.numbers is not None,
            "tiles": write_sprite(self.images, folder / f"{file}.tiles.png") if self.images else None,
            **self.about,
        }


def draw(
    study: Study,
    dataset: str,
    tables: results.Tables,
    loaded: Loaded,
    folder: Path,
    classes: list[str],
    chosen: str | None,
) -> Iterator[Drawing]:
    """Every figure of one dataset."""
    drawing = partial(Drawing, dataset)
    plan = study.plan
    variants = tables.variants[(tables.variants["dataset"] == dataset) & (tables.variants["probe"] == "")]
    runs = tables.runs[tables.runs["dataset"] == dataset]
    order = list(variants["variant"])
    looks = {name: position for position, name in enumerate(plan.compared)}  # on every dataset the same
    labels = dict(zip(variants["variant"], variants["label"], strict=True))
    series = {name: Series(name, labels[name], looks[name]) for name in order}
    # Below three runs the points are shown and nothing is inferred.
    intervals = {
        row.variant: (row.test_accuracy_ci_low, row.test_accuracy_ci_high)
        if row.n_seeds >= MIN_SEEDS and not pd.isna(row.test_accuracy_ci_low)
        else (None, None)
        for row in variants.itertuples()
    }
    measured = {
        name: dict(zip(group["seed"], group["test_accuracy"], strict=True))
        for name, group in runs.sort_values("seed").groupby("variant")
    }

    def every_seed(shown: Sequence[Series], xlabel: str = "") -> dict[str, Any]:
        names = [one.variant for one in shown]
        columns = ["variant", "seed", "val_accuracy", "test_accuracy", "test_loss", "status"]
        return {
            "figure": charts.every_seed(shown, [measured[n] for n in names], [intervals[n] for n in names], xlabel),
            "numbers": runs[runs["variant"].isin(names)].sort_values(["variant", "seed"])[columns],
        }

    def costs(names: Sequence[str]) -> dict[str, Any]:
        rows = variants[variants["variant"].isin(names)]
        columns = [
            "variant", "label", "parameters", "macs", "receptive_field", "seconds_per_epoch", "n_seeds",
            "test_accuracy_mean", "test_accuracy_sd",
        ]  # fmt: skip
        figure = charts.accuracy_against_costs(rows, [series[name] for name in rows["variant"]])
        return {"figure": figure, "numbers": rows[columns]}

    every = _("Each point is one seed, the bar the mean, the line its 95 % t interval.")
    against = _("Mean test accuracy with the SD over seeds against what a variant costs.")
    title = _("Test accuracy of every variant")
    yield drawing("overview", "accuracy", title, every, **every_seed(list(series.values())))
    for question in plan.questions.values():
        about = {"question": question.name}
        rows = tables.comparisons
        rows = rows[(rows["dataset"] == dataset) & (rows["experiment"] == question.name)]
        names, xlabel = [question.reference, *question.variants], ""
        shown = [series[name] for name in names]
        if question.levels:
            names, xlabel = [level.variant for level in question.levels], question.subject.capitalize()
            shown = [replace(series[level.variant], label=level.label) for level in question.levels]
        yield drawing(
            "question", f"{question.name}-seeds", _("Every seed"), every, **every_seed(shown, xlabel), about=about
        )
        sides = [results.contrast_labels(plan, question, name) for name in rows["variant"]]
        pairs = [
            Series(name, f"{variant} − {reference}", looks[name])
            for name, (variant, reference) in zip(rows["variant"], sides, strict=True)
        ]
        yield drawing(
            "question", f"{question.name}-differences", _("Differences to the reference"),
            _("Points are differences of mean test accuracy, lines simultaneous 95 % intervals; the shaded band is the "
              "region of practical equivalence, ± {rope} percentage points.",
              rope=number(100 * study.statistics.rope, "g")),
            charts.forest(rows, pairs, study.statistics.rope),
            rows[["variant", "reference", "n_seeds", "difference", "ci_low", "ci_high", "p_adjusted", "verdict"]],
            about=about,
        )  # fmt: skip
        if question.grid:
            yield drawing(
                "question", f"{question.name}-combinations", _("All combinations"),
                _("Mean test accuracy and SD over seeds of every combination of both factors; the reference is "
                  "framed."),
                combinations(question, variants), about=about,
            )  # fmt: skip
        yield drawing(
            "question", f"{question.name}-costs", _("Accuracy against cost"), against, **costs(names), about=about
        )

    histories = read_histories(study, dataset, order, loaded, folder)
    if not histories.empty:
        grouped = dict(list(histories.groupby("variant")))
        yield drawing(
            "curves", "curves", _("Learning curves"),
            _("Marked lines: validation, mean over seeds with the range of the seeds shaded; thin lines: training."),
            charts.learning_curves([
                (series[name], grouped[name].drop(columns="variant")) for name in order if name in grouped
            ]),
            histories,
        )  # fmt: skip
    yield drawing("costs", "costs", _("Accuracy against cost"), against, **costs(order))
    yield from probe_drawings(plan, drawing, tables.probe_curves, labels, looks)

    images, truth = prepared.load_test(folder / "prepare" / dataset)
    reliability = []
    for name in detailed(study, chosen):
        finished = loaded.finished(dataset, name)
        if not finished:
            continue
        evaluated = folder / "evaluate" / dataset / name
        probabilities = read_probabilities(evaluated, finished)
        mean = np.mean([metrics.reliability(p, truth) for p in probabilities], axis=0)
        reliability.append((series[name], mean))
        confusion = np.array(results.summed_confusion(loaded.evaluations, dataset, name))
        yield from error_drawings(drawing, series[name], probabilities, images, truth, classes, confusion)
        features = read_features(evaluated, finished[0])
        yield from feature_drawings(drawing, series[name], finished[0], features, images, truth, classes)
    if len(reliability) > 1:
        recalls = tables.per_class[tables.per_class["dataset"] == dataset]
        shown = [one for one, _curve in reliability]
        recalls = recalls[recalls["variant"].isin([one.variant for one in shown])]
        yield drawing(
            "errors", "recall", _("Recall of every class"), _("Share of the test images of each class that are found."),
            charts.recall_by_class(recalls, shown, classes),
            recalls[["variant", "class", "support", "recall", "recall_sd"]],
        )  # fmt: skip
    if reliability:
        yield drawing(
            "calibration", "calibration", _("Calibration"),
            _("Accuracy against confidence in {n} bins of equally many images, mean over seeds.",
              n=metrics.CALIBRATION_BINS),
            charts.calibration(reliability),
            pd.concat(
                pd.DataFrame(rows, columns=["confidence", "accuracy", "images"]).assign(variant=one.variant)
                for one, rows in reliability
            ),
        )  # fmt: skip


def combinations(question: Question, variants: pd.DataFrame) -> Figure:
    """The heat map of an experiment of two factors."""
    measured = variants.set_index("variant")
    cells = [list(row) for row in question.grid.cells]
    means, spreads = (
        np.array([measured.loc[row, column].to_numpy(dtype=float) for row in cells])
        for column in ("test_accuracy_mean", "test_accuracy_sd")
    )
    reference = next((i, row.index(question.reference)) for i, row in enumerate(cells) if question.reference in row)
    return charts.combinations(
        means, spreads, tuple(map(field_label, question.grid.factors)), question.grid.labels, reference
    )


def read_histories(study: Study, dataset: str, names: Sequence[str], loaded: Loaded, folder: Path) -> pd.DataFrame:
    """The histories of the first variants, as many as are drawn: variant, seed, epoch, losses and accuracies."""
    begun = {name: [seed for seed in study.seeds if loaded.runs[dataset, name, seed]["epochs_run"]] for name in names}
    drawn = [name for name, seeds in begun.items() if seeds][: charts.MAX_SERIES]
    parts = [
        read_table(folder / "train" / dataset / name / f"seed-{seed}" / "history.csv").assign(variant=name, seed=seed)
        for name in drawn
        for seed in begun[name]
    ]
    columns = ["variant", "seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def probe_drawings(
    plan: Plan, drawing: Any, curves: pd.DataFrame, labels: Mapping, looks: Mapping
) -> Iterator[Drawing]:
    """A figure of each probe that has one and measured something on the drawing's dataset."""
    for name, probe in plan.probes.items():
        rows = curves[(curves["probe"] == name) & (curves["dataset"] == drawing.args[0])]
        if probe_registry.has(name, "figure") and len(rows):
            chart = probe_registry.part(name, "figure")
            figure = chart.draw(rows, labels, looks)
            title, caption = _(chart.TITLE), chart.caption(probe, plan)
            yield drawing("probes", f"probe-{name}", title, caption, figure, rows, about={"probe": name})


def error_drawings(
    drawing: Any,
    one: Series,
    probabilities: np.ndarray,
    images: np.ndarray,
    truth: np.ndarray,
    classes: list[str],
    matrix: np.ndarray,
) -> Iterator[Drawing]:
    """Confusion, predictions, confident mistakes and disputed images of one variant; each by a rule, none by hand."""
    count = len(probabilities)
    predicted = probabilities.argmax(axis=2)
    mean, right = probabilities.mean(axis=0), (predicted == truth).sum(axis=0)
    yield drawing(
        "errors", f"{one.variant}-confusion", _("Confusion of {label}", label=one.label),
        ngettext("Share of each true class predicted as each class, over {n} seed; below 0.5 % is left empty.",
                 "Share of each true class predicted as each class, over {n} seeds; below 0.5 % is left empty.", count),
        charts.confusion(matrix, classes),
        pd.DataFrame(matrix, index=pd.Index(classes, name="true class"), columns=classes).reset_index(),
        about={"variant": one.variant},
    )  # fmt: skip
    kinds = {
        "predictions": (
            _("Predictions of {label}", label=one.label),
            _("The first test image of every class; green where most seeds are right."),
            np.unique(truth, return_index=True)[1][:EXAMPLES],
        ),
        "mistakes": (
            _("Confident mistakes of {label}", label=one.label),
            _("Test images that every seed gets wrong, the surest (mean over seeds) first."),
            metrics.confident_mistakes(probabilities, truth, EXAMPLES),
        ),
        "disputed": (
            _("Disputed images of {label}", label=one.label),
            _("Test images that some seeds get right and others wrong, the most even splits first."),
            metrics.disputed(probabilities, truth, EXAMPLES),
        ),
    }  # fmt: skip
    for kind, (title, rule, chosen) in kinds.items():
        titles = examples.prediction_titles(truth[chosen], mean[chosen], classes, right[chosen], count)
        tones = ["right" if 2 * n > count else "wrong" for n in right[chosen]]
        yield drawing(
            "errors", f"{one.variant}-{kind}", title, rule,
            examples.image_grid(images[chosen], titles, tones, empty=_("No test image fits the rule.")),
            images=[
                Group(images[index : index + 1], lines[0], tuple(lines[1:]), tone)
                for index, lines, tone in zip(chosen, (text.split("\n") for text in titles), tones, strict=True)
            ],
            about={"variant": one.variant, "grid": True, "test_images": chosen.tolist()},
        )  # fmt: skip


def feature_drawings(
    drawing: Any,
    one: Series,
    seed: int,
    features: Mapping[str, np.ndarray],
    images: np.ndarray,
    truth: np.ndarray,
    classes: list[str],
) -> Iterator[Drawing]:
    """Learned filters and feature maps of one variant's first finished seed; nothing for a dense model."""
    about = {"variant": one.variant, "grid": True}
    if "filters" in features:
        yield drawing(
            "features", f"{one.variant}-filters", _("Learned filters of {label}", label=one.label),
            _("Kernels of the first convolution, seed {seed}, on one scale: red positive, blue negative.", seed=seed),
            examples.filters(features["filters"]),
            images=[Group(kernel[np.newaxis]) for kernel in examples.kernel_images(features["filters"])],
            about=about,
        )  # fmt: skip
    if "feature_maps" in features:
        inputs, maps = images[features["images"]], features["feature_maps"].astype(np.float32)
        yield drawing(
            "features", f"{one.variant}-maps", _("Feature maps of {label}", label=one.label),
            _("What the first convolution makes of fixed test images (the first of each class), seed {seed}; one "
              "scale.", seed=seed),
            examples.feature_maps(inputs, maps),
            images=[
                Group(tiles, classes[label])
                for tiles, label in zip(examples.map_images(inputs, maps), truth[features["images"]], strict=True)
            ],
            about=about,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
