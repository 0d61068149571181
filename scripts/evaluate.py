"""Evaluate one trained run on the test images: the only place where they are used.

Writes predictions.npz (probabilities of every test image), metrics.json, and features.npz (filters of the first
convolution and its feature maps on fixed images, for figures).
"""

import argparse
import logging
from pathlib import Path

import numpy as np

from convlab import backend, data, metrics, provenance
from convlab.cli import run
from convlab.files import array_sha256, read_json, write_arrays, write_json

FEATURE_IMAGES = 3
"""Feature maps are kept for the first test image of each of the first classes, this many."""

FEATURE_FILTERS = 32
"""Filters and feature maps kept at most, the first ones."""

log = logging.getLogger("evaluate")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", required=True, type=Path, help="folder that train wrote")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for predictions, metrics and features")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    arguments = parser.parse_args(argv)
    output = arguments.output_dir

    trained = read_json(arguments.run_dir / "run.json")
    backend.choose(trained["spec"]["training"]["backend"], arguments.threads)  # before these import Keras
    from convlab import inference
    from convlab.keras_setup import use_threads

    use_threads(arguments.threads)
    images, labels = data.load_test(arguments.data_dir)
    images = data.permute_pixels(images, trained["spec"]["training"]["pixel_permutation"])
    model = inference.load(arguments.run_dir / "model.keras")
    result = {"format": 1, "spec_hash": trained["spec_hash"], "status": trained["status"], "test_images": len(labels)}

    probabilities = inference.predictor(model)(images)
    if trained["status"] == "finished":
        result |= metrics.classification_metrics(probabilities, labels)
        result["reliability"] = metrics.reliability(probabilities, labels)
    result["latency_ms"] = inference.latency_ms(model, images)

    result["predictions_sha256"] = array_sha256(probabilities)
    result["code"] = provenance.code(Path(__file__).resolve())
    write_arrays(output / "predictions.npz", probabilities=probabilities)
    fixed = first_of_each_class(labels)[:FEATURE_IMAGES]
    kernels, maps = inference.filters(model), inference.feature_maps(model, images[fixed])
    features = {} if kernels is None else {"filters": kernels[..., :FEATURE_FILTERS], "images": fixed}
    if maps is not None:
        features["feature_maps"] = maps[..., :FEATURE_FILTERS].astype(np.float16)
    write_arrays(output / "features.npz", **features)
    write_json(output / "metrics.json", result)
    log.info("test accuracy %s on %d images", f"{result['accuracy']:.4f}" if "accuracy" in result else "-", len(labels))


def first_of_each_class(labels: np.ndarray) -> np.ndarray:
    """Index of the first image of every class that occurs, in the classes' order."""
    return np.unique(labels, return_index=True)[1]


if __name__ == "__main__":
    run(main)
