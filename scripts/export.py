"""Export the chosen model of one dataset: model.keras, ONNX and what else is asked for, checked against each other.

The folder that it writes is what a server, a container or an endpoint takes: code/inference.py and all. model.tar.gz is
the same, packed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import importlib.util
import os

CONVERTERS = ("tensorflow", "torch")
"""Backends of Keras that ONNX files are written with: the first that is installed, whichever trained the model."""

CONVERTER = next((name for name in CONVERTERS if importlib.util.find_spec(name) is not None), None)
if CONVERTER is None:
    sys.exit(
        "error: exporting needs TensorFlow or PyTorch, which are not installed here; run: "
        "pip install --require-hashes -r requirements/cpu.txt, or -r requirements/torch.txt"
    )
os.environ["KERAS_BACKEND"] = CONVERTER
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # files are compared as processors compute them: GPUs round float32 to TF32

import argparse
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from convlab.common import provenance
from convlab.common.atomic import remove
from convlab.common.checksums import sha256
from convlab.common.cli import run
from convlab.common.files import atomic, read_json, write_json, write_text
from convlab.common.outputs import files_below, job_results
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation import inference
from convlab.evaluation.agreement import parity
from convlab.evaluation.latency import latency_ms
from convlab.evaluation.records import read_probabilities
from convlab.models.user_code import UserCode
from convlab.results.choice import chosen_run
from convlab.runtime.keras_runtime import use_threads
from convlab.serving import artifacts, onnx_files
from convlab.serving import inference as handlers
from convlab.serving.pack import pack
from convlab.serving.weights import load_weights
from convlab.study import layout
from convlab.training.run_spec import Run

PARITY_IMAGES, PARITY_SEED = 1000, 0
"""Number and seed of the test images on which the formats are compared, in the classes' proportions."""

WARM_UP, CALLS = 20, 200
"""Calls of the latency measurement: warm-up, and timed."""

TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 0.1, "mixed_float16": 0.02}
"""Largest difference of probabilities to the trained model that rounding explains, by training precision."""

GPU_TOLERANCE = 0.02
"""The same for a model whose probabilities a GPU computed: its TF32 has the mantissa of float16."""

EXPORTED_FILES = {
    "keras": ("model.keras",),
    "onnx": ("model.onnx",),
    "saved_model": ("saved_model/1/saved_model.pb", "saved_model/1/variables/variables.data-00000-of-00001"),
    "safetensors": ("model.safetensors",),
}
"""Files of each format whose checksums are in ``export.json``: all that decide a prediction."""

OWN_CODE = "model_code"
"""Folder of the user's own files that built the model, which ``model.keras`` is loaded with."""

PACKAGES = {
    "tensorflow": {"deploy": ("onnx", "onnxruntime", "tf2onnx")},
    "torch": {"deploy": ("onnx", "onnxruntime"), "torch": ("onnxscript",)},
    "safetensors": {"deploy": ("safetensors",)},
}
"""Packages that no other stage needs, by the backend or format that does and the requirements file that has them."""

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

    refuse_what_is_missing(choice["formats"])
    use_threads(arguments.threads)
    choice = with_described_macs(choice, layout.described(folder, dataset))
    variant, seed, trained, scores = choose_run(choice, dataset, runs)
    source = layout.seed_folder(runs / variant, seed) / "model.keras"
    log.info("chosen: %s, seed %d, validation accuracy %.4f", variant, seed, trained["val_accuracy"])
    labels = list(read_json(layout.prepared(folder, dataset) / "manifest.json")["classes"])

    model = inference.load(source, UserCode.of_run(trained))
    served = artifacts.inference_model(model, Run.of_record(trained), tuple(trained["input_shape"]), len(labels))
    remove_earlier(output, choice["formats"])
    with atomic(output / "model.keras") as temporary:
        shutil.copyfile(source, temporary)
    onnx = artifacts.write_artifact(served, output, labels, choice["formats"])
    files = {name: sha256(output / name) for kind in choice["formats"] for name in EXPORTED_FILES[kind]}
    identity = {"dataset": dataset, "variant": variant, "seed": seed, "files_sha256": files, "onnx": onnx}
    for name, text in trained.get("sources", {}).items():
        write_text(output / OWN_CODE / name, text)
    write_json(output / "export.json", identity | description(trained, variant, choice, scores, len(labels)))

    images, truth = prepared.load_test(layout.prepared(folder, dataset))
    chosen = prepared.nested_subset(truth, min(PARITY_IMAGES, len(truth)), PARITY_SEED)
    evaluated = read_probabilities(layout.evaluated(folder, dataset, variant), [seed])[0]
    sample = Sample(images[chosen], truth[chosen], evaluated[chosen])
    formats = readers(model, lambda: build_untrained(trained, len(labels)), output, choice["formats"])
    agreement = compare(formats, sample, trained)
    agreement["images"]["of"] = len(truth)
    agreement["bytes"] = sizes(output, choice["formats"])
    write_json(output / "parity.json", agreement)
    check(agreement)
    pack(output, output / "model.tar.gz", "onnx")
    largest = agreement["onnx_against_keras"]["largest_difference"]
    log.info("exported to %s by %s; largest difference %.1e", output, CONVERTER, largest)


def remove_earlier(output: Path, formats: Sequence[str]) -> None:
    """Delete what an earlier export wrote and this one does not: Snakemake knows nothing of it."""
    paths = {"saved_model": "saved_model", "safetensors": "model.safetensors"}
    for name in (OWN_CODE, *(path for kind, path in paths.items() if kind not in formats)):
        remove(output / name)


def refuse_what_is_missing(formats: Sequence[str]) -> None:
    """Raise UserError for a format that cannot be written here, or a package that is not installed."""
    if "saved_model" in formats and CONVERTER != "tensorflow":
        raise UserError(
            "deploy.formats has saved_model, which TensorFlow writes, and it is not installed here; install it with "
            "pip install --require-hashes -r requirements/cpu.txt, or set deploy.formats: [keras, onnx]"
        )
    needed = [*PACKAGES[CONVERTER].items(), *(PACKAGES["safetensors"].items() if "safetensors" in formats else [])]
    for requirements, names in needed:
        if missing := [name for name in names if importlib.util.find_spec(name) is None]:
            raise UserError(
                f"exporting needs {', '.join(missing)}; `make export` installs what it needs, or run: "
                f"pip install --require-hashes -r requirements/{requirements}.txt"
            )


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
        "input": {"name": onnx_files.INPUT, "shape": trained["input_shape"], "dtype": "float32", "range": [0, 255]},
        "output": {"name": onnx_files.OUTPUT, "shape": [classes], "dtype": "float32"},
        "signature": artifacts.SIGNATURE,
        "precision": precision(trained["spec"]["training"]["precision"], choice["formats"]),
        "versions": provenance.versions(),
    }


def precision(training: str, formats: Sequence[str]) -> dict[str, str]:
    """The arithmetic of each format."""
    return {name: training if name == "keras" else "float32" for name in formats}


class Sample(NamedTuple):
    """Test images (uint8) on which the formats are compared, their classes, and the probabilities that ``evaluate``
    stored of them, as the backend that trained the model computed them."""

    images: np.ndarray
    truth: np.ndarray
    evaluated: np.ndarray


class Reader(NamedTuple):
    """A format as it is read again: ``predict`` takes images of ``dtype``, ``single`` one image; both give
    probabilities."""

    dtype: type
    predict: Callable[[np.ndarray], np.ndarray]
    single: Callable[[np.ndarray], np.ndarray]


def readers(model, untrained: Callable[[], Any], folder: Path, formats: Sequence[str]) -> dict[str, Reader]:
    """Each format's file as others read it; SavedModel and ONNX by the handlers that serve them.

    Args:
        model: the trained model, as loaded from ``model.keras``.
        untrained: makes a model of the same architecture, which weights from safetensors are loaded into.
    """
    loaded = {"keras": Reader(np.uint8, inference.predictor(model), artifacts.single_image(model))}
    load = {"saved_model": handlers.load_saved_model, "onnx": handlers.load_onnx}
    for name in ("saved_model", "onnx"):
        if name in formats:
            run_batch = load[name](folder, 1)
            loaded[name] = Reader(np.float32, in_batches(run_batch), lambda image, run=run_batch: run(image[None]))
    if "safetensors" in formats:
        other = untrained()
        load_weights(other, folder / "model.safetensors")
        loaded["safetensors"] = Reader(np.float32, inference.predictor(other), artifacts.single_image(other))
    return loaded


def in_batches(run_batch: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """``run_batch`` on any number of images, a batch at a time."""
    size = inference.BATCH_SIZE
    return lambda images: np.concatenate([run_batch(images[i : i + size]) for i in range(0, len(images), size)])


def build_untrained(trained: Mapping[str, Any], classes: int):
    """A model as ``artifacts.inference_model`` makes it, with weights that training never saw."""
    return artifacts.untrained_model(Run.of_record(trained), tuple(trained["input_shape"]), classes)


def sizes(folder: Path, formats: Sequence[str]) -> dict[str, int]:
    """Bytes of each format's files."""
    paths = {"keras": "model.keras", "onnx": "model.onnx", "safetensors": "model.safetensors"}
    saved = sum(path.stat().st_size for path in (folder / "saved_model").rglob("*") if path.is_file())
    return {name: (folder / paths[name]).stat().st_size if name in paths else saved for name in formats}


def compare(loaded: Mapping[str, Reader], sample: Sample, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the formats on the same images: differences of probabilities, latency of one image.

    ``keras_against_evaluated`` compares backends: how the one that converts, and the one that trained the model,
    compute the same weights.
    """
    training = Run.of_record(trained).training
    probabilities = {name: reader.predict(sample.images.astype(reader.dtype)) for name, reader in loaded.items()}
    keras = probabilities["keras"]
    pairs = {f"{name}_against_keras": (rows, keras) for name, rows in probabilities.items() if name != "keras"}
    if "saved_model" in probabilities:
        pairs["saved_model_against_onnx"] = probabilities["saved_model"], probabilities["onnx"]
    pairs["keras_against_evaluated"] = keras, sample.evaluated
    tolerance = TOLERANCE[training.precision]
    by_gpu = trained["device"].startswith("GPU")
    calls = {
        name: islice(cycle(sample.images.astype(reader.dtype)), WARM_UP + CALLS) for name, reader in loaded.items()
    }
    return {
        "format": 1,
        "images": {
            "count": len(sample.images),
            "seed": PARITY_SEED,
            "rule": "test images in the classes' proportions, drawn by seed",
        },
        "precision": precision(training.precision, list(loaded)),
        "tolerance": tolerance,
        "evaluated": {
            "backend": training.backend,
            "device": "GPU" if by_gpu else "CPU",
            "converted_by": CONVERTER,
            "tolerance": max(tolerance, GPU_TOLERANCE) if by_gpu else tolerance,
        },
        "accuracy": {name: float(np.mean(rows.argmax(axis=1) == sample.truth)) for name, rows in probabilities.items()},
        **{name: parity(given, reference, sample.truth) for name, (given, reference) in pairs.items()},
        "latency_ms": {name: latency_ms(reader.single, calls[name], WARM_UP) for name, reader in loaded.items()},
    }


def check(agreement: Mapping[str, Any]) -> None:
    """Raise UserError if a format's probabilities differ from the trained model's by more than the tolerance, or that
    model's, as Keras computes them here, from those that ``evaluate`` stored."""
    limits = {
        "saved_model_against_onnx": TOLERANCE["float32"],
        "keras_against_evaluated": agreement["evaluated"]["tolerance"],
    }
    for name in (name for name in agreement if "_against_" in name):
        largest, limit = agreement[name]["largest_difference"], limits.get(name, agreement["tolerance"])
        if not largest <= limit:
            raise UserError(
                f"{name.replace('_', ' ')}: probabilities differ by up to {largest:.2g}, more than rounding explains "
                f"({limit:g}); please report it with the study's config"
            )


if __name__ == "__main__":
    run(main)
