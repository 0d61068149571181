"""A results folder as the stages before the report leave it, with made-up numbers."""

import base64
import json
from pathlib import Path

import pandas as pd

import report
from builders.project import CNN_5X5
from builders.study_results import history_with, results_with, seeds_around
from convlab.common.files import write_json, write_text
from convlab.common.table_files import write_table
from convlab.page import gallery
from convlab.page.loading import RESULT_TABLES
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS
from convlab.study.load import load_study

RUN_CONDITIONS = {
    "versions": {"python": "3.11.7", "keras": "3.15.1"},
    "hardware": {"processor": "A chip", "instructions": "avx2", "system": "Linux x86_64"},
    "device": "CPU, 1 thread(s)",
    "threads": 1,
    "environment": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "code": {"train.py": "ab"},
}
"""What a run's record says of how it was made; the same for all runs, unless a test says otherwise."""


SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" width="300pt" height="150pt" viewBox="0 0 300 150">
 <metadata><title>Matplotlib, https://matplotlib.org/</title></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <defs><clipPath id="p1"><path d="M 0 0 L 1 1 z"/></clipPath></defs>
 <!-- a label -->
 <g class="mark" data-variant="cnn">
  <path clip-path="url(#p1)" d="M 1.234567 2 \nL 10 20.5 z" style="fill: #0072b2"/>
 </g>
 <text style="font: 700 9px 'DejaVu Sans', 'Arial', sans-serif; fill: #18202c">CNN</text>
</svg>
"""


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


TILES = {"width": 8, "height": 8, "gap": 1, "columns": 2, "rows": 1}


TILED_FIGURES = ("samples", "mean_images", "near_duplicates")


CNN_WINS = {"dense": seeds_around(0.90), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.95)}


def write_study_with(
    folder: Path, config: dict, accuracies, *, classes=None, resumed=0, probed=None, timing=None, **options
) -> dict:
    """A results folder as the other stages leave it, with made-up numbers; returns the config."""
    study = load_study(config)
    results = results_with(accuracies, config=config, **options)
    plan = study.plan
    classes = classes or [str(i) for i in range(10)]
    if classes:
        results.per_class["class"] = [classes[int(name)] for name in results.per_class["class"]]
    for name in RESULT_TABLES:
        write_table(getattr(results, name), folder / "compare" / name, name)
    curves, contrasts = probed or (pd.DataFrame(columns=CURVE_COLUMNS), pd.DataFrame(columns=CONTRAST_COLUMNS))
    write_table(curves, folder / "compare" / "probe_curves", "curves")
    write_table(contrasts, folder / "compare" / "probe_contrasts", "contrasts")
    figures = []

    def tiles(title: str) -> dict:
        return TILES | {"groups": [{"title": title, "lines": ["2 of 3 right"], "tone": "right", "tiles": 2}]}

    def figure(dataset: str, name: str, section: str, title: str, grid: bool = False, **more) -> None:
        entry = {"file": f"{dataset}-{name}", "section": section, "dataset": dataset, "title": title}
        shown = {
            "caption": "A rule.",
            "reading": "A rule.",
            "numbers": True,
            "tiles": tiles(classes[0]) if grid else None,
        }
        figures.append(entry | shown | more)

    for dataset in study.datasets:
        figure(dataset, "accuracy", "overview", "Test accuracy of every variant")
        if study.tuning:
            figure(dataset, "tuning", "tuning", "Validation accuracy of the trials")
        for question in plan.questions:
            figure(dataset, f"{question}-seeds", "question", "Every seed", question=question)
            figure(dataset, f"{question}-differences", "question", "Differences", question=question)
        figure(dataset, "curves", "curves", "Learning curves")
        figure(dataset, "costs", "costs", "Accuracy against cost")
        for name in results.confusions[dataset]:
            label = plan.variants[name].label
            figure(dataset, f"{name}-confusion", "errors", f"Confusion of {label}", variant=name)
            figure(dataset, f"{name}-mistakes", "errors", f"Confident mistakes of {label}", variant=name, grid=True)
            if results.side(name) == "conv":
                more = {"variant": name, "layer": "conv_1", "grid": True}
                figure(dataset, f"{name}-layer-1-filters", "features", f"Filters of conv_1, {label}", **more)
        for question in plan.questions.values():
            for number in (1, 2) if question.levels else ():
                more = {"question": question.name, "layer": f"conv_{number}", "grid": True}
                figure(dataset, f"{question.name}-levels-{number}-filters", "features", "Filters", **more)
        figure(dataset, "calibration", "calibration", "Calibration")
    stems = [folder / "compare" / "figures" / entry["file"] for entry in figures]
    explored = dict.fromkeys([*gallery.DATA_FIGURES, *gallery.DATA_NUMBERS.values()])
    stems += [folder / "explore" / dataset / name for dataset in study.datasets for name in explored]
    for stem in stems:
        write_text(stem.with_name(stem.name + ".svg"), SVG)
        write_text(stem.with_name(stem.name + ".csv"), "variant,seed\ncnn,1\n")
        for suffix in (".png", ".tiles.png"):
            stem.with_name(stem.name + suffix).write_bytes(PNG)
    runs = results.runs
    write_json(
        folder / "compare" / "summary.json",
        {
            "format": 1,
            "classes": dict.fromkeys(study.datasets, classes),
            "test_images": results.test_images,
            "constant_guess": results.constant_guess,
            "chosen": results.chosen,
            "confusions": results.confusions,
            "figures": figures,
            "not_drawn": "",
            "timing": timing or {},
            "training": {
                "runs": len(runs),
                "train_seconds": 4000.0,
                "first_started": "2026-01-02T03:04:05+00:00",
                "last_finished": "2026-01-02T04:04:05+00:00",
                "peak_memory_mb": 512.4,
                "devices": ["CPU, 1 thread(s)"],
                "hardware": [{"processor": "A chip", "cores": 2, "memory_gb": 8.0, "system": "Linux x86_64"}],
                "versions": [{"python": "3.11.7", "keras": "3.15.1"}],
                "environment": [{"TF_ENABLE_ONEDNN_OPTS": "1"}],
                "resumed": resumed,
                "energy": {
                    "watts_per_core": 12.0,
                    "sources": [{"source": "estimate", "runs": len(runs), "joules": 3600.0, "cpu_seconds": 300.0}],
                },
            },
        },
    )
    measured = {}
    for number, row in enumerate(runs.to_dict("records")):
        run_folder = Path(row["dataset"], row["variant"], f"seed-{row['seed']}")
        finished = row["status"] == "finished"
        write_json(
            folder / "train" / run_folder / "run.json",
            {
                "best_epoch": row["best_epoch"],
                "validation_images": 145,
                "resumed_after_epoch": 2 if number < resumed else 0,
                **RUN_CONDITIONS,
            },
        )
        table = history_with() if finished else history_with().iloc[:0]
        write_text(folder / "train" / run_folder / "history.csv", table.to_csv(index=False))
        measures = {"accuracy": row["test_accuracy"], "reliability": [[0.8, 0.9, 10.0], [0.9, 1.0, 30.0]]}
        entry = {"seed": row["seed"], **(measures if finished else {})}
        measured.setdefault(run_folder.parent, []).append(entry)
    for variant_folder, entries in measured.items():
        write_json(folder / "evaluate" / variant_folder / "metrics.json", {"runs": entries})
    for dataset in study.datasets:
        write_json(folder / "prepare" / dataset / "manifest.json", manifest_of(dataset))
        write_json(folder / "explore" / dataset / "summary.json", exploration_of(dataset, classes))
    return config


def manifest_of(dataset: str) -> dict:
    return {
        "arrays": {"x_test": {"dtype": "uint8", "sha256": "ab" * 32, "shape": [355, 8, 8, 1]}},
        "citation": "Somebody, 1998.",
        "dataset": dataset,
        "available": {"train": 1442, "test": 355},
        "counts": {part: {str(n): images for n in range(10)} for part, images in (("train", 100), ("test", 35))},
        "excluded": [],
        "test_from": {"from": "rule"},
        "homepage": "https://example.org/data",
        "licence": "CC BY 4.0",
        "source": "scikit-learn",
        "test_images": None,
        "train_images": 1000,
    }


def exploration_of(dataset: str, classes: list[str]) -> dict:
    return {
        "classes": classes,
        "content": {"median_height": 8.0, "median_width": 6.0},
        "counts": {part: dict.fromkeys(classes, n) for part, n in (("train", 144), ("test", 35))},
        "dataset": dataset,
        "duplicates": {
            "near_test_images": 3,
            "near_share_of_test": 3 / 355,
            "exact_test_images": 1,
            "label_disagreeing_pairs": 0,
            "threshold_rms": 14.0,
            "copied_images": 400,
            "recall": {"shifted": 0.0, "recompressed": 0.98, "brightened": 0.9},
        },
        "empty_classes": [],
        "tiles": {
            name: TILES | {"groups": [{"title": classes[0], "lines": [], "tone": "", "tiles": 2}]}
            for name in TILED_FIGURES
        },
        "image": {"channels": 1, "height": 8, "values": 64, "width": 8},
        "images": {"train": 1442, "test": 355},
        "imbalance_ratio": 1.05,
        "pixels": {
            "maximum": 255,
            "minimum": 0,
            "normalised": {"mean": 0.305, "sd": 0.376},
            "raw": {"mean": 77.8, "sd": 95.9},
            "zero_share": 0.49,
        },
    }


def write_reports(folder: Path, config: dict, *arguments: str) -> tuple[str, str]:
    """Both reports of a results folder."""
    report.main(["--config", json.dumps(config), "--results-dir", str(folder), *arguments])
    return tuple((folder / "report" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))


CLAIMS_OF_EVERY_VERDICT = [
    {"id": "size", "text": "The CNN has 9,258 parameters.", "source": "a notebook", "published": 9258,
     "rule": "parameters(cnn) == 9258"},
    {"id": "wins", "text": "The CNN wins by 3 points.", "published": 0.03,
     "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0"},
    {"id": "small", "text": "It is small.", "published": "about 94,000", "rule": "parameters(cnn) < 94000 / 94"},
    {"id": "best", "text": "5×5 is better.", "rule": "test_accuracy(cnn-kernel_size-5x5) > test_accuracy(cnn)"},
]  # fmt: skip
