"""Compare all runs of a study: tables with statistics, figures, and summary.json, which the report is written from.

The runs are those that the config names; a run whose spec or data are not the config's is refused.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlab import data, metrics, probes, results, statistics
from convlab.cli import run
from convlab.config import load_study
from convlab.errors import UserError
from convlab.figures import examples
from convlab.figures import probes as probe_charts
from convlab.figures import results as charts
from convlab.figures.style import save, use_style
from convlab.files import read_arrays, read_json, write_json
from convlab.i18n import gettext as _
from convlab.i18n import ngettext, number
from convlab.plan import field_label
from convlab.study import Study
from convlab.tables import write_table

EXAMPLES = 12
"""Images shown of each kind."""

DETAILED = 6
"""Variants whose errors, filters and feature maps are shown: base models first, then the chosen one."""

log = logging.getLogger("compare")


@dataclass(frozen=True)
class Loaded:
    """What train and evaluate left, by (dataset, variant, seed)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    evaluations: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=json.loads, help="the config as JSON, texts may be missing")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    arguments = parser.parse_args(argv)
    study, folder = load_study(arguments.settings, for_readers=True), arguments.results_dir
    output, plan = folder / "compare", study.plan

    loaded = load_runs(study, folder)
    manifests = {dataset: read_json(folder / "prepare" / dataset / "manifest.json") for dataset in study.datasets}
    classes = {dataset: manifest["classes"] for dataset, manifest in manifests.items()}

    runs = results.runs_table(loaded.rows)
    variants = results.variants_table(runs, plan)
    family = results.confirmatory_family(runs, plan, study.statistics.rope)
    comparisons = results.comparisons_table(runs, plan, study.statistics.rope, family)
    comparisons = results.with_new_images(comparisons, load_correct(study, folder, loaded))
    claims = results.claims_table(runs, plan, study.statistics.rope, family)
    trends, factorials = results.trends_table(runs, plan), results.factorial_table(runs, plan)
    per_class = results.per_class_table(loaded.evaluations, classes)
    chosen = {dataset: results.chosen_variant(variants[variants["probe"] == ""], dataset) for dataset in study.datasets}
    shifts = load_shifts(study, folder)
    curves, contrasts = probes.all_curves(runs, plan, shifts), probes.all_contrasts(runs, plan, shifts)

    use_style()
    figures_folder = output / "figures"
    shutil.rmtree(figures_folder, ignore_errors=True)
    figures_folder.mkdir(parents=True)
    figures = []
    tables = results.Tables(runs, variants, comparisons, trends, per_class, curves)
    for dataset in study.datasets:
        for figure in draw(study, dataset, tables, loaded, folder, classes[dataset], chosen[dataset]):
            save(figure.pop("figure"), figures_folder / figure["file"])
            figures.append(figure)

    write_table(runs, output / "runs", _("Every run of the study"))
    write_table(variants, output / "variants", _("Every variant: mean over seeds with SD, SE and 95 % t interval"))
    write_table(comparisons, output / "comparisons", _("Differences to the reference with simultaneous 95 % intervals"))
    write_table(claims, output / "claims", _("Claims fixed before the runs, and what this study found"))
    write_table(trends, output / "trends", _("Trends over ordered factors"))
    write_table(factorials, output / "factorials", _("Two factors in all combinations: main effects and interactions"))
    write_table(per_class, output / "per_class", _("Precision, recall and F1 by class, means over seeds"))
    write_table(curves, output / "probe_curves", _("What the probes measured, over seeds"))
    write_table(contrasts, output / "probe_contrasts", _("Statistics of the probes, paired by seed"))
    write_json(
        output / "summary.json",
        {
            "format": 1,
            "classes": classes,
            "test_images": {
                dataset: sum(manifest["counts"]["test"].values()) for dataset, manifest in manifests.items()
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
            "training": training_summary(loaded),
        },
    )
    log.info("%d runs, %d comparisons, %d figures", len(runs), len(comparisons), len(figures))


def load_runs(study: Study, folder: Path) -> Loaded:
    """Read every run that the config names, and refuse those that are not what it asks for."""
    loaded = Loaded()
    for dataset in study.datasets:
        manifest = read_json(folder / "prepare" / dataset / "manifest.json")
        checksums = {name: entry["sha256"] for name, entry in manifest["arrays"].items()}
        for variant in study.plan.variants.values():
            for seed in study.seeds:
                place = Path(dataset, variant.name, f"seed-{seed}")
                trained = read_json(folder / "train" / place / "run.json")
                evaluated = read_json(folder / "evaluate" / place / "metrics.json")
                expected = study.run(dataset, variant.name, seed).spec_hash
                for path, found in (("train", trained), ("evaluate", evaluated)):
                    if found["spec_hash"] != expected:
                        raise UserError(
                            f"{folder / path / place} holds a run with spec hash {found['spec_hash']}, but the config "
                            f"asks for {expected}; delete that folder and run snakemake again"
                        )
                if trained["data_sha256"] != checksums:
                    raise UserError(
                        f"{folder / 'train' / place} was trained on other data than {folder / 'prepare' / dataset} "
                        "holds; delete that folder and run snakemake again"
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
        _, truth = data.load_test(folder / "prepare" / dataset)
        for key in loaded.runs:
            if key[0] == dataset and key[1] in asked and loaded.runs[key]["status"] == "finished":
                file = folder / "evaluate" / dataset / key[1] / f"seed-{key[2]}" / "predictions.npz"
                correct[key] = read_arrays(file)["probabilities"].argmax(axis=1) == truth
    return correct


def load_shifts(study: Study, folder: Path) -> pd.DataFrame:
    """What the translation probe measured; empty where it is off."""
    probe = study.plan.probes.get("translation")
    parts = [
        pd.read_csv(folder / "probe" / "translation" / dataset / f"{variant}.csv")
        for dataset in study.datasets
        for variant in (probe.models if probe else ())
    ]
    return pd.concat(parts) if parts else pd.DataFrame(columns=probes.TRANSLATION_COLUMNS)


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
        "resumed": sum(entry["resumed_after_epoch"] > 0 for entry in runs),
    }


def distinct(values: Iterator[Mapping]) -> list[Mapping]:
    """Different values, in the order of their first appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def draw(
    study: Study,
    dataset: str,
    tables: results.Tables,
    loaded: Loaded,
    folder: Path,
    classes: list[str],
    chosen: str | None,
) -> Iterator[dict[str, Any]]:
    """Every figure of one dataset with what the report says about it: file, section, title, caption."""
    plan = study.plan
    variants = tables.variants[(tables.variants["dataset"] == dataset) & (tables.variants["probe"] == "")]
    runs = tables.runs[tables.runs["dataset"] == dataset]
    order = list(variants["variant"])
    looks = {name: position for position, name in enumerate(order)}
    labels = dict(zip(variants["variant"], variants["label"], strict=True))
    # Below three runs the points are shown and nothing is inferred.
    intervals = {
        row.variant: (row.test_accuracy_ci_low, row.test_accuracy_ci_high)
        if row.n_seeds >= statistics.MIN_SEEDS and not pd.isna(row.test_accuracy_ci_low)
        else (None, None)
        for row in variants.itertuples()
    }
    accuracies = {
        name: group.sort_values("seed")["test_accuracy"].to_numpy() for name, group in runs.groupby("variant")
    }

    def entry(section: str, name: str, title: str, caption: str, figure: Any, **more: Any) -> dict[str, Any]:
        return {
            "file": f"{dataset}-{name}",
            "section": section,
            "dataset": dataset,
            "title": title,
            "caption": caption,
            "figure": figure,
            **more,
        }

    def seeds_figure(names: list[str], texts: list[str], xlabel: str) -> Any:
        return charts.every_seed(
            texts,
            [accuracies[name] for name in names],
            [intervals[name] for name in names],
            [looks[name] for name in names],
            xlabel,
        )

    every = _("Each point is one seed, the bar the mean, the line its 95 % t interval.")
    yield entry(
        "overview",
        "accuracy",
        _("Test accuracy of every variant"),
        every,
        seeds_figure(order, [labels[n] for n in order], ""),
    )
    for question in plan.questions.values():
        rows = tables.comparisons
        rows = rows[(rows["dataset"] == dataset) & (rows["experiment"] == question.name)]
        if question.levels:
            names = [level.variant for level in question.levels]
            texts, xlabel = [level.label for level in question.levels], question.subject.capitalize()
        else:
            names = [question.reference, *question.variants]
            texts, xlabel = [labels[name] for name in names], ""
        yield entry(
            "question", f"{question.name}-seeds", _("Every seed"), every, seeds_figure(names, texts, xlabel),
            question=question.name,
        )  # fmt: skip
        if question.grid:
            measured = variants.set_index("variant")
            cells = [list(row) for row in question.grid.cells]
            means, spreads = (
                np.array([measured.loc[row, column].to_numpy(dtype=float) for row in cells])
                for column in ("test_accuracy_mean", "test_accuracy_sd")
            )
            reference = next(
                (i, row.index(question.reference)) for i, row in enumerate(cells) if question.reference in row
            )
            yield entry(
                "question", f"{question.name}-combinations", _("All combinations"),
                _("Mean test accuracy and SD over seeds of every combination of both factors; the reference is "
                  "framed."),
                charts.combinations(
                    means, spreads, tuple(map(field_label, question.grid.factors)), question.grid.labels, reference
                ),
                question=question.name,
            )  # fmt: skip
        sides = [results.contrast_labels(plan, question, name) for name in rows["variant"]]
        yield entry(
            "question", f"{question.name}-differences", _("Differences to the reference"),
            _("Points are differences of mean test accuracy, lines simultaneous 95 % intervals; the shaded band is the "
              "region of practical equivalence, ± {rope} percentage points.",
              rope=number(100 * study.statistics.rope, "g")),
            charts.forest(
                rows,
                [f"{variant} − {reference}" for variant, reference in sides],
                study.statistics.rope,
                [looks[name] for name in rows["variant"]],
            ),
            question=question.name,
        )  # fmt: skip

    histories = {
        labels[name]: [
            pd.read_csv(folder / "train" / dataset / name / f"seed-{seed}" / "history.csv")
            for seed in study.seeds
            if loaded.runs[dataset, name, seed]["epochs_run"]
        ]
        for name in order
    }
    histories = {label: frames for label, frames in histories.items() if frames}
    if histories:
        yield entry(
            "curves", "curves", _("Learning curves"),
            _("Marked lines: validation, mean over seeds with the range of the seeds shaded; thin lines: training."),
            charts.learning_curves(histories, {labels[name]: looks[name] for name in order}),
        )  # fmt: skip
    yield entry(
        "costs", "costs", _("Accuracy against cost"),
        _("Mean test accuracy with the SD over seeds against what a variant costs."),
        charts.accuracy_against_costs(variants, [looks[name] for name in order]),
    )  # fmt: skip

    drawings = {
        "pixel_permutation": (
            probe_charts.permutation, _("Pixels shuffled"),
            _("Test accuracy of models trained and tested on images whose pixels all stand in another, fixed order."),
        ),
        "translation": (
            probe_charts.translation, _("Shifted test images"),
            _("Means over both axes and directions; no model was trained on shifted images."),
        ),
        "sample_efficiency": (
            probe_charts.sample_efficiency, _("Fewer training images"),
            _("Test accuracy of models trained on nested subsets for the same number of steps."),
        ),
        "receptive_field": (
            probe_charts.receptive_field, _("Receptive field"),
            _("Test accuracy of the convolutional variants against what one unit of their last feature map sees."),
        ),
    }  # fmt: skip
    for name in plan.probes:
        curves = tables.probe_curves[
            (tables.probe_curves["probe"] == name) & (tables.probe_curves["dataset"] == dataset)
        ]
        if name in drawings and len(curves):
            chart, title, caption = drawings[name]
            if name != "receptive_field":
                caption = " ".join([caption, _("Lines: 95 % t intervals over seeds.")])
            yield entry("probes", f"probe-{name}", title, caption, chart(curves, labels, looks), probe=name)

    images, truth = data.load_test(folder / "prepare" / dataset)
    reliability = {}
    for name in detailed(study, chosen):
        finished = [seed for seed in study.seeds if loaded.runs[dataset, name, seed]["status"] == "finished"]
        if not finished:
            continue
        place = folder / "evaluate" / dataset / name
        probabilities = np.stack(
            [read_arrays(place / f"seed-{seed}" / "predictions.npz")["probabilities"] for seed in finished]
        )
        reliability[labels[name]] = np.mean([metrics.reliability(p, truth) for p in probabilities], axis=0)
        confusion = np.array(results.summed_confusion(loaded.evaluations, dataset, name))
        yield from error_figures(entry, name, labels[name], probabilities, images, truth, classes, confusion)
        features = read_arrays(place / f"seed-{finished[0]}" / "features.npz")
        yield from feature_figures(entry, name, labels[name], finished[0], features, images)
    if reliability:
        yield entry(
            "calibration", "calibration", _("Calibration"),
            _("Accuracy against confidence in {n} bins of equally many images, mean over seeds.",
              n=metrics.CALIBRATION_BINS),
            charts.calibration(reliability, {labels[name]: looks[name] for name in order}),
        )  # fmt: skip


def error_figures(entry, name, label, probabilities, images, truth, classes, matrix) -> Iterator[dict[str, Any]]:
    """Confusion, predictions, confident mistakes and disputed images of one variant; each by a rule, none by hand."""
    count = len(probabilities)
    predicted = probabilities.argmax(axis=2)
    mean, right = probabilities.mean(axis=0), (predicted == truth).sum(axis=0)
    yield entry(
        "errors", f"{name}-confusion", _("Confusion of {label}", label=label),
        ngettext("Share of each true class predicted as each class, over {n} seed; below 0.5 % is left empty.",
                 "Share of each true class predicted as each class, over {n} seeds; below 0.5 % is left empty.", count),
        charts.confusion(matrix, classes), variant=name,
    )  # fmt: skip
    kinds = {
        "predictions": (
            _("Predictions of {label}", label=label),
            _("The first test image of every class; green where most seeds are right."),
            np.unique(truth, return_index=True)[1][:EXAMPLES],
        ),
        "mistakes": (
            _("Confident mistakes of {label}", label=label),
            _("Test images that every seed gets wrong, the surest (mean over seeds) first."),
            metrics.confident_mistakes(probabilities, truth, EXAMPLES),
        ),
        "disputed": (
            _("Disputed images of {label}", label=label),
            _("Test images that some seeds get right and others wrong, the most even splits first."),
            metrics.disputed(probabilities, truth, EXAMPLES),
        ),
    }  # fmt: skip
    for kind, (title, rule, chosen) in kinds.items():
        titles = examples.prediction_titles(truth[chosen], mean[chosen], classes, right[chosen], count)
        colours = [examples.RIGHT if 2 * n > count else examples.WRONG for n in right[chosen]]
        yield entry(
            "errors", f"{name}-{kind}", title, rule,
            examples.image_grid(images[chosen], titles, colours, empty=_("No test image fits the rule.")),
            variant=name, grid=True, test_images=chosen.tolist(),
        )  # fmt: skip


def feature_figures(entry, name, label, seed, features, images) -> Iterator[dict[str, Any]]:
    """Learned filters and feature maps of one variant's first finished seed; nothing for a dense model."""
    if "filters" in features:
        yield entry(
            "features", f"{name}-filters", _("Learned filters of {label}", label=label),
            _("Kernels of the first convolution, seed {seed}, on one scale: red positive, blue negative.", seed=seed),
            examples.filters(features["filters"]), variant=name, grid=True,
        )  # fmt: skip
    if "feature_maps" in features:
        yield entry(
            "features", f"{name}-maps", _("Feature maps of {label}", label=label),
            _("What the first convolution makes of fixed test images (the first of each class), seed {seed}; one "
              "scale.", seed=seed),
            examples.feature_maps(images[features["images"]], features["feature_maps"].astype(np.float32)),
            variant=name, grid=True,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
