"""Export the chosen model of one dataset: model.keras, a SavedModel and ONNX, checked against each other.

The folder that it writes is what a server, a container or an endpoint takes: code/inference.py and all. model.tar.gz is
the same, packed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import importlib.util

if importlib.util.find_spec("tensorflow") is None:
    sys.exit(
        "error: exporting needs TensorFlow, which is not installed here; `make export` installs it, or run: "
        "pip install --require-hashes -r requirements/cpu.txt"
    )

import argparse
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd

from convlab.common import provenance
from convlab.common.checksums import sha256
from convlab.common.cli import run
from convlab.common.files import atomic, read_json, write_json, write_text
from convlab.common.outputs import files_below, job_results
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation import inference
from convlab.evaluation.agreement import parity
from convlab.evaluation.latency import latency_ms
from convlab.models.user_code import UserCode
from convlab.results.choice import chosen_run
from convlab.runtime.keras_runtime import use_threads
from convlab.serving import artifacts
from convlab.serving import inference as handlers
from convlab.serving.pack import pack
from convlab.study import layout
from convlab.training.run_spec import Run

PARITY_IMAGES, PARITY_SEED = 1000, 0
"""Number and seed of the test images on which the formats are compared, in the classes' proportions."""

WARM_UP, CALLS = 20, 200
"""Calls of the latency measurement: warm-up, and timed."""

TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 0.1, "mixed_float16": 0.02}
"""Largest difference of probabilities to the trained model that rounding explains, by training precision."""

EXPORTED_FILES = (
    "model.keras",
    "model.onnx",
    "saved_model/1/saved_model.pb",
    "saved_model/1/variables/variables.data-00000-of-00001",
)
"""Files whose checksums are in ``export.json``: all that decide a prediction."""

OWN_CODE = "model_code"
"""Folder of the user's own files that built the model, which ``model.keras`` is loaded with."""

PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
"""Packages that no other stage needs."""

log = logging.getLogger("export")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--choice", required=True, type=json.loads, help="candidates with their MACs and seeds, as JSON"
    )
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    arguments = parser.parse_args(argv)
    output = layout.exported(arguments.results_dir, arguments.dataset)
    with job_results(output / "export.json", lambda: files_below(output, {"MODEL_CARD.md"})):
        export(arguments)


def export(arguments: argparse.Namespace) -> None:
    """Choose the model, convert it, compare the formats, and write all files that a server needs."""
    folder, dataset, choice = arguments.results_dir, arguments.dataset, arguments.choice
    output, runs = layout.exported(folder, dataset), layout.trained(folder, dataset)

    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"exporting needs {', '.join(missing)}; `make export` installs what it needs, or run: "
            "pip install --require-hashes -r requirements/deploy.txt"
        )
    use_threads(arguments.threads)
    choice = with_described_macs(choice, layout.described(folder, dataset))
    variant, seed, trained, scores = choose_run(choice, dataset, runs)
    source = layout.seed_folder(runs / variant, seed) / "model.keras"
    log.info("chosen: %s, seed %d, validation accuracy %.4f", variant, seed, trained["val_accuracy"])
    labels = list(read_json(layout.prepared(folder, dataset) / "manifest.json")["classes"])

    model = inference.load(source, UserCode.of_run(trained))
    served = artifacts.inference_model(model, Run.of_record(trained), tuple(trained["input_shape"]), len(labels))
    with atomic(output / "model.keras") as temporary:
        shutil.copyfile(source, temporary)
    onnx = artifacts.write_artifact(served, output, labels)
    files = {name: sha256(output / name) for name in EXPORTED_FILES}
    identity = {"dataset": dataset, "variant": variant, "seed": seed, "files_sha256": files, "onnx": onnx}
    for name, text in trained.get("sources", {}).items():
        write_text(output / OWN_CODE / name, text)
    write_json(output / "export.json", identity | description(trained, variant, choice, scores, len(labels)))

    images, truth = prepared.load_test(layout.prepared(folder, dataset))
    chosen = prepared.nested_subset(truth, min(PARITY_IMAGES, len(truth)), PARITY_SEED)
    agreement = compare(model, output, images[chosen], truth[chosen], trained["spec"]["training"]["precision"])
    agreement["images"]["of"] = len(truth)
    write_json(output / "parity.json", agreement)
    check(agreement)
    pack(output, output / "model.tar.gz", "onnx")
    largest = agreement["saved_model_against_onnx"]["largest_difference"]
    log.info("exported to %s; largest difference %.1e", output, largest)


def with_described_macs(choice: Mapping[str, Any], descriptions: Path) -> dict[str, Any]:
    """The choice with the MACs of models that are known once they are built, from their descriptions."""
    described = choice["described"]
    candidates = {
        name: read_json(descriptions / f"{described[name]}.json")["macs"] if macs is None else macs
        for name, macs in choice["candidates"].items()
    }
    return {**choice, "candidates": candidates}


def choose_run(
    choice: Mapping[str, Any], dataset: str, runs: Path
) -> tuple[str, int, Mapping[str, Any], Sequence[float]]:
    """Variant, seed and ``run.json`` of the model to export, by finished runs and validation accuracy alone, and the
    validation accuracies of all the variant's finished runs."""
    if not choice["candidates"]:
        raise UserError("every variant is trained on images with their pixels in another order; none can be exported")
    trained, rows = {}, []
    for variant, macs in choice["candidates"].items():
        for seed in choice["seeds"][variant]:
            entry = trained[variant, seed] = read_json(layout.seed_folder(runs / variant, seed) / "run.json")
            measured = {name: entry[name] for name in ("val_accuracy", "status")}
            rows.append({"variant": variant, "seed": seed, "macs": macs, **measured})
    best = chosen_run(pd.DataFrame(rows))
    if best is None:
        raise UserError(
            f"no run of {', '.join(choice['candidates'])} on {dataset} finished; there is nothing to export"
        )
    scores = [row["val_accuracy"] for row in rows if row["variant"] == best[0] and row["status"] == "finished"]
    return *best, trained[best], scores


def description(
    trained: Mapping[str, Any], variant: str, choice: Mapping[str, Any], scores: Sequence[float], classes: int
) -> dict[str, Any]:
    """The rest of ``export.json``: by which rule it was chosen, what goes in and comes out, in which arithmetic."""
    copied = ("spec", "spec_hash", "data_sha256", "parameters", "val_accuracy")
    return {
        "format": 1,
        **{name: trained[name] for name in copied},
        **({"sources": trained["sources"]} if "sources" in trained else {}),
        "chosen": {
            "variant_by": "deploy.variant"
            if choice["named"]
            else "share of finished runs, then mean validation accuracy over seeds",
            "seed_by": "validation accuracy nearest to the mean over the variant's finished runs",
            "candidates": len(choice["candidates"]),
            "seeds": len(choice["seeds"][variant]),
            "finished": len(scores),
            "val_accuracy_mean": float(np.mean(scores)),
            "chosen_by_val_accuracy": [
                *(["variant"] if len(choice["candidates"]) > 1 else []),
                *(["epoch"] if trained["spec"]["training"]["select"] == "best" else []),
            ],
        },
        "input": {"name": artifacts.INPUT, "shape": trained["input_shape"], "dtype": "float32", "range": [0, 255]},
        "output": {"name": artifacts.OUTPUT, "shape": [classes], "dtype": "float32"},
        "signature": artifacts.SIGNATURE,
        "precision": precision(trained["spec"]["training"]["precision"]),
        "versions": provenance.versions(),
    }


def precision(training: str) -> dict[str, str]:
    """The arithmetic of each format."""
    return {"keras": training, "saved_model": "float32", "onnx": "float32"}


def compare(model, folder: Path, images: np.ndarray, truth: np.ndarray, training: str) -> dict[str, Any]:
    """Compare the three formats on the same images: differences of probabilities, sizes, latency of one image.

    SavedModel and ONNX are run by the handlers that serve them.
    """
    load = {"saved_model": handlers.load_saved_model, "onnx": handlers.load_onnx}
    float_images = images.astype(np.float32)
    probabilities = {"keras": inference.predictor(model)(images)}
    single: dict[str, Callable[[np.ndarray], Any]] = {"keras": artifacts.single_image(model)}
    timed: dict[str, Any] = {"keras": images}
    for name, loader in load.items():
        predict = loader(folder, 1)
        parts = [
            predict(float_images[i : i + inference.BATCH_SIZE]) for i in range(0, len(images), inference.BATCH_SIZE)
        ]
        probabilities[name] = np.concatenate(parts)
        single[name], timed[name] = (lambda image, predict=predict: predict(image[None])), float_images
    sizes = {
        "keras": (folder / "model.keras").stat().st_size,
        "saved_model": sum(path.stat().st_size for path in (folder / "saved_model").rglob("*") if path.is_file()),
        "onnx": (folder / "model.onnx").stat().st_size,
    }
    return {
        "format": 1,
        "images": {
            "count": len(images),
            "seed": PARITY_SEED,
            "rule": "test images in the classes' proportions, drawn by seed",
        },
        "precision": precision(training),
        "tolerance": TOLERANCE[training],
        "accuracy": {name: float(np.mean(rows.argmax(axis=1) == truth)) for name, rows in probabilities.items()},
        "saved_model_against_keras": parity(probabilities["saved_model"], probabilities["keras"], truth),
        "onnx_against_keras": parity(probabilities["onnx"], probabilities["keras"], truth),
        "saved_model_against_onnx": parity(probabilities["saved_model"], probabilities["onnx"], truth),
        "bytes": sizes,
        "latency_ms": {
            name: latency_ms(call, islice(cycle(timed[name]), WARM_UP + CALLS), WARM_UP)
            for name, call in single.items()
        },
    }


def check(agreement: Mapping[str, Any]) -> None:
    """Raise UserError if a format's probabilities differ from the trained model's by more than the tolerance."""
    limits = {
        "saved_model_against_keras": agreement["tolerance"],
        "onnx_against_keras": agreement["tolerance"],
        "saved_model_against_onnx": TOLERANCE["float32"],
    }
    for name, limit in limits.items():
        largest = agreement[name]["largest_difference"]
        if not largest <= limit:
            raise UserError(
                f"{name.replace('_', ' ')}: probabilities differ by up to {largest:.2g}, more than rounding explains "
                f"({limit:g}); please report it with the study's config"
            )


if __name__ == "__main__":
    run(main)
