"""Evaluate all runs of one variant on the test images, or the best of its trials: the only place where they are used.

One process for all seeds, since importing TensorFlow takes longer than any of them.
convlab.evaluation.records describes what it writes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlab.common.cli import run
from convlab.common.code_digests import code_parts
from convlab.common.files import array_sha256, read_json
from convlab.common.outputs import job_results
from convlab.datasets import prepared
from convlab.evaluation import metrics
from convlab.evaluation.records import Features, write_evaluation
from convlab.evaluation.trials import best_trial
from convlab.models.user_code import UserCode
from convlab.runtime import backend
from convlab.study import layout

FEATURE_IMAGES = 3
"""Test images with stored feature maps: the first of each of the first classes."""

MEASURED_IMAGES = 256
"""Test images, evenly spaced, on which feature maps are measured."""

log = logging.getLogger("evaluate")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folders = parser.add_mutually_exclusive_group(required=True)
    folders.add_argument("--train-dir", type=Path, help="folder with the variant's runs, seed-<n>")
    folders.add_argument(
        "--trial-dirs", type=Path, nargs="+", help="folders of its trials by number: of each seed the best is evaluated"
    )
    parser.add_argument("--seeds", required=True, type=int, nargs="+", help="the runs to evaluate")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for predictions, metrics and features")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    arguments = parser.parse_args(argv)
    output = arguments.output_dir
    with job_results(output / "metrics.json", lambda: [output / "predictions.npz", output / "features.npz"]):
        evaluate(arguments)


def evaluate(arguments: argparse.Namespace) -> None:
    """Predict the test images with every run's model; write metrics, predictions and features."""
    code = code_parts(Path(__file__).resolve())  # before the modules are imported that are read here
    choices = environment.choices()
    trials = chosen_trials(arguments.trial_dirs, arguments.seeds) if arguments.trial_dirs else {}
    variant_folders = arguments.trial_dirs or [arguments.train_dir]
    folders = {seed: layout.seed_folder(variant_folders[trials.get(seed, 1) - 1], seed) for seed in arguments.seeds}
    records = {seed: read_json(folder / "run.json") for seed, folder in folders.items()}
    training = records[arguments.seeds[0]]["spec"]["training"]  # the same for all seeds of a variant
    backend.configure(training["backend"], arguments.threads)  # before these import Keras
    from convlab.evaluation import inference
    from convlab.evaluation.features import convolution_features, convolution_measures
    from convlab.runtime.keras_runtime import use_threads

    use_threads(arguments.threads)
    images, labels = prepared.load_test(arguments.data_dir)
    images = prepared.permute_pixels(images, training["pixel_permutation"])
    fixed, spaced = first_of_each_class(labels)[:FEATURE_IMAGES], evenly_spaced(len(images), MEASURED_IMAGES)

    measured, predictions, features = {}, [], Features(None, fixed)
    for seed, trained in records.items():
        model = inference.load(folders[seed] / "model.keras", UserCode.of_run(trained))
        probabilities = inference.predictor(model)(images)
        measured[seed] = (
            measures(trained, probabilities, labels)
            | {
                "latency_ms": inference.latency_ms(model, images),
                "predictions_sha256": array_sha256(probabilities),
                "environment": choices,
                "code": code,
            }
            | ({"trial": trials[seed]} if trials else {})
        )
        predictions.append(probabilities)
        if trained["status"] == "finished":
            measured[seed]["convolutions"] = convolution_measures(model, images[spaced])
            if features.seed is None:
                features = Features(seed, fixed, convolution_features(model, images[fixed]))
        accuracy = measured[seed].get("accuracy")
        log.info("seed %d: test accuracy %s", seed, "-" if accuracy is None else f"{accuracy:.4f}")
    write_evaluation(arguments.output_dir, measured, predictions, features)
    log.info("%d runs on %d test images", len(measured), len(labels))


def chosen_trials(folders: Sequence[Path], seeds: Sequence[int]) -> dict[int, int]:
    """The number, from 1, of the best trial of each seed, by validation accuracy; each trial has a folder."""
    chosen = {}
    for seed in seeds:
        records = [read_json(layout.seed_folder(folder, seed) / "run.json") for folder in folders]
        chosen[seed] = best_trial(records) + 1
        log.info("seed %d: trial %d of %d", seed, chosen[seed], len(folders))
    return chosen


def measures(trained: Mapping[str, Any], probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Metrics of one run; a diverged run has none but its latency."""
    measured = {"spec_hash": trained["spec_hash"], "status": trained["status"], "test_images": len(labels)}
    if trained["status"] == "finished":
        measured |= metrics.classification_metrics(probabilities, labels)
        measured["reliability"] = metrics.reliability(probabilities, labels)
    return measured


def first_of_each_class(labels: np.ndarray) -> np.ndarray:
    """Index of the first image of every class that occurs, in the classes' order."""
    return np.unique(labels, return_index=True)[1]


def evenly_spaced(n: int, most: int) -> np.ndarray:
    """At most ``most`` of n indices, from the first to the last at equal distances; images may be sorted by class."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


if __name__ == "__main__":
    run(main)
