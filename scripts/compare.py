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

from convlab import data, history, metrics, paper, probes, provenance, results, statistics
from convlab.cli import run
from convlab.config import load_study
from convlab.errors import UserError
from convlab.figures import examples
from convlab.figures import probes as probe_charts
from convlab.figures import results as charts
from convlab.figures.style import caption_text, save, use_style
from convlab.files import read_arrays, read_json, write_json, write_text
from convlab.study import Study
from convlab.tables import write_table

EXAMPLES = 12
"""Images shown of each kind."""

DETAILED = 6
"""Variants whose errors, filters and feature maps are shown: base models first, then the chosen one."""

CAPTIONS = {
    "runs": "Every run of the study{where}.",
    "variants": "Every variant{where}: mean over n seeds with SD and 95 % t interval of the mean.",
    "comparisons": "Differences of test accuracy to the reference{where}, with simultaneous 95 % intervals over seeds; "
    "p is adjusted over the study (Holm).",
    "claims": "Claims fixed before the runs, and what this study found{where}; p is adjusted over the study (Holm).",
    "trends": "Trends of test accuracy over ordered factors{where}: slope with 95 % interval, Page's trend test.",
    "factorials": "Two factors in all combinations{where}: main effects and interactions, seeds as blocks.",
    "per_class": "Precision, recall (± SD) and F1 by class{where}, means over seeds.",
    "probe_curves": "What the probes measured{where}: mean ± SD over n seeds with 95 % t interval.",
    "probe_contrasts": "Statistics of the probes{where}, paired by seed, with 95 % t interval.",
}
"""What each table shows; ``where`` names the dataset of a study that has one."""

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
    study, folder = load_study(arguments.settings), arguments.results_dir
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
            write_text(figures_folder / f"{figure['file']}.rst", caption_text(figure["title"], figure["caption"]))
            figures.append(figure)

    named = {
        "runs": runs, "variants": variants, "comparisons": comparisons, "claims": claims, "trends": trends,
        "factorials": factorials, "per_class": per_class, "probe_curves": curves, "probe_contrasts": contrasts,
    }  # fmt: skip
    printed = paper.printed(named, study)
    where = f" on {next(iter(study.datasets))}" if len(study.datasets) == 1 else ""
    for name, caption in CAPTIONS.items():
        write_table(named[name], output / name, caption.format(where=where), printed[name])
    test_images = {dataset: sum(manifest["counts"]["test"].values()) for dataset, manifest in manifests.items()}
    write_text(output / "numbers.tex", paper.numbers_tex(named, study, test_images, chosen))
    write_json(
        output / "summary.json",
        {
            "format": 1,
            "classes": classes,
            "test_images": test_images,
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
            "provenance": made_from(study, loaded, manifests),
        },
    )
    history.keep(output)
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


def made_from(study: Study, loaded: Loaded, manifests: Mapping[str, Mapping]) -> dict[str, Any]:
    """What these results depend on, so that states can be compared: config with its defaults, code, data, versions."""
    script = Path(__file__).resolve()
    return {
        "config": study.model_dump(mode="json"),
        "code": {
            "train": distinct(entry.get("code", {}) for entry in loaded.runs.values()),
            "evaluate": distinct(entry.get("code", {}) for entry in loaded.evaluations.values()),
            "compare": [provenance.code(script)],
        },
        "commit": provenance.commit(script.parent),
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

    every = "Each point is one seed, the bar the mean, the line its 95 % t interval."
    yield entry(
        "overview",
        "accuracy",
        "Test accuracy of every variant",
        every,
        seeds_figure(order, [labels[n] for n in order], ""),
    )
    for question in plan.questions.values():
        rows = tables.comparisons
        rows = rows[(rows["dataset"] == dataset) & (rows["experiment"] == question.name)]
        if question.levels:
            names = [level.variant for level in question.levels]
            texts, xlabel = [level.label for level in question.levels], question.factor.replace("_", " ").capitalize()
        else:
            names = [question.reference, *question.variants]
            texts, xlabel = [labels[name] for name in names], ""
        yield entry(
            "question", f"{question.name}-seeds", "Every seed", every, seeds_figure(names, texts, xlabel),
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
                "question", f"{question.name}-combinations", "All combinations",
                "Mean test accuracy and SD over seeds of every combination of both factors; the reference is framed.",
                charts.combinations(means, spreads, question.grid.factors, question.grid.labels, reference),
                question=question.name,
            )  # fmt: skip
        sides = [results.contrast_labels(plan, question, name) for name in rows["variant"]]
        yield entry(
            "question", f"{question.name}-differences", "Differences to the reference",
            "Points are differences of mean test accuracy, lines simultaneous 95 % intervals; the shaded band is the "
            f"region of practical equivalence, ± {100 * study.statistics.rope:g} percentage points.",
            charts.forest(
                rows,
                [f"{variant} − {reference}" for variant, reference in sides],
                study.statistics.rope,
                [looks[name] for name in rows["variant"]],
            ),
            question=question.name,
        )  # fmt: skip

    begun = {name: [seed for seed in study.seeds if loaded.runs[dataset, name, seed]["epochs_run"]] for name in order}
    drawn = [name for name, seeds in begun.items() if seeds][: charts.MAX_SERIES]
    histories = {
        labels[name]: [
            pd.read_csv(folder / "train" / dataset / name / f"seed-{seed}" / "history.csv") for seed in begun[name]
        ]
        for name in drawn
    }
    if histories:
        yield entry(
            "curves", "curves", "Learning curves",
            "Marked lines: validation, mean over seeds with the range of the seeds shaded; thin lines: training.",
            charts.learning_curves(histories, {labels[name]: looks[name] for name in order}),
        )  # fmt: skip
    yield entry(
        "costs", "costs", "Accuracy against cost",
        "Mean test accuracy with the SD over seeds against what a variant costs.",
        charts.accuracy_against_costs(variants, [looks[name] for name in order]),
    )  # fmt: skip

    drawings = {
        "pixel_permutation": (
            probe_charts.permutation, "Pixels shuffled",
            "Test accuracy of models trained and tested on images whose pixels all stand in another, fixed order.",
        ),
        "translation": (
            probe_charts.translation, "Shifted test images",
            "Means over both axes and directions; no model was trained on shifted images.",
        ),
        "sample_efficiency": (
            probe_charts.sample_efficiency, "Fewer training images",
            "Test accuracy of models trained on nested subsets for the same number of steps.",
        ),
        "receptive_field": (
            probe_charts.receptive_field, "Receptive field",
            "Test accuracy of the convolutional variants against what one unit of their last feature map sees.",
        ),
    }  # fmt: skip
    for name in plan.probes:
        curves = tables.probe_curves[
            (tables.probe_curves["probe"] == name) & (tables.probe_curves["dataset"] == dataset)
        ]
        if name in drawings and len(curves):
            chart, title, caption = drawings[name]
            interval = "" if name == "receptive_field" else " Lines: 95 % t intervals over seeds."
            yield entry("probes", f"probe-{name}", title, caption + interval, chart(curves, labels, looks), probe=name)

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
            "calibration", "calibration", "Calibration",
            f"Accuracy against confidence in {metrics.CALIBRATION_BINS} bins of equally many images, mean over seeds.",
            charts.calibration(reliability, {labels[name]: looks[name] for name in order}),
        )  # fmt: skip


def error_figures(entry, name, label, probabilities, images, truth, classes, matrix) -> Iterator[dict[str, Any]]:
    """Confusion, predictions, confident mistakes and disputed images of one variant; each by a rule, none by hand."""
    count = len(probabilities)
    predicted = probabilities.argmax(axis=2)
    mean, right = probabilities.mean(axis=0), (predicted == truth).sum(axis=0)
    yield entry(
        "errors", f"{name}-confusion", f"Confusion of {label}",
        f"Share of each true class predicted as each class, over {count} seeds; below 0.5 % is left empty.",
        charts.confusion(matrix, classes), variant=name,
    )  # fmt: skip
    kinds = {
        "predictions": (
            "Predictions", "The first test image of every class; green where most seeds are right.",
            np.unique(truth, return_index=True)[1][:EXAMPLES],
        ),
        "mistakes": (
            "Confident mistakes", "Test images that every seed gets wrong, the surest (mean over seeds) first.",
            metrics.confident_mistakes(probabilities, truth, EXAMPLES),
        ),
        "disputed": (
            "Disputed images", "Test images that some seeds get right and others wrong, the most even splits first.",
            metrics.disputed(probabilities, truth, EXAMPLES),
        ),
    }  # fmt: skip
    for kind, (title, rule, chosen) in kinds.items():
        titles = examples.prediction_titles(truth[chosen], mean[chosen], classes, right[chosen], count)
        colours = [examples.RIGHT if 2 * n > count else examples.WRONG for n in right[chosen]]
        yield entry(
            "errors", f"{name}-{kind}", f"{title} of {label}", rule,
            examples.image_grid(images[chosen], titles, colours, empty="No test image fits the rule."),
            variant=name, grid=True, test_images=chosen.tolist(),
        )  # fmt: skip


def feature_figures(entry, name, label, seed, features, images) -> Iterator[dict[str, Any]]:
    """Learned filters and feature maps of one variant's first finished seed; nothing for a dense model."""
    if "filters" in features:
        yield entry(
            "features", f"{name}-filters", f"Learned filters of {label}",
            f"Kernels of the first convolution, seed {seed}, on one scale: red positive, blue negative.",
            examples.filters(features["filters"]), variant=name, grid=True,
        )  # fmt: skip
    if "feature_maps" in features:
        yield entry(
            "features", f"{name}-maps", f"Feature maps of {label}",
            f"What the first convolution makes of fixed test images (the first of each class), seed {seed}; one scale.",
            examples.feature_maps(images[features["images"]], features["feature_maps"].astype(np.float32)),
            variant=name, grid=True,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
