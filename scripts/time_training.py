"""Time the training of one variant in a fresh process: a few epochs after a warm-up, and single predictions.

What is timed is what `train` does, by the same code: `fit` with its validation, on the variant's own images. Of a large
dataset each epoch takes a part only, of the training and validation images alike, and times are scaled to whole ones.
Test images have no part in it. `make timing` starts one such process after another.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import math
import statistics
import tempfile
from typing import Any

import train
from convlab.common.cli import run
from convlab.common.files import read_json, write_json
from convlab.datasets import prepared
from convlab.runtime import backend
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

WARM_UP_EPOCHS, MIN_TIMED_EPOCHS = 1, 3
"""Epochs of each process, in which the first one compiles and fills the caches."""

MIN_TIMED_IMAGES = 12_800
"""Training images that are timed at least: of a small dataset there are more epochs."""

MAX_IMAGES = 6400
"""Training images in an epoch at most, rounded down to whole batches: about two seconds of the default study's CNN."""

LATENCY_CALLS = 300
"""Single predictions whose median is taken."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", required=True, type=Run.model_validate_json, help="the run's spec as JSON")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output", required=True, type=Path, help="file to write, JSON")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    parser.add_argument("--described", type=Path, help="description of the model, with the user's own code")
    arguments = parser.parse_args(argv)
    spec = train.with_code(arguments.spec, arguments.described)
    with tempfile.TemporaryDirectory(prefix="convlab-timing-") as work:
        job = train.Job(
            spec=spec,
            manifest=read_json(arguments.data_dir / "manifest.json"),
            data_dir=arguments.data_dir,
            output=Path(work),
            threads=arguments.threads,
            choices=environment.choices(),
            code=train.code_of(spec),
        )
        write_json(arguments.output, measured(job))


def measured(job: train.Job) -> dict[str, Any]:
    """Times of one variant, as timings.csv has them; null for times of a training that diverged before the first."""
    spec = job.spec
    backend.configure(spec.training.backend, job.threads)  # before these import Keras
    from convlab.evaluation import inference
    from convlab.runtime.keras_runtime import device, keras, use_threads
    from convlab.training.loop import Data, Hooks, fit
    from convlab.training.network import build
    from convlab.training.pipeline import images_per_epoch

    use_threads(job.threads)
    seeds = prepared.seed_streams(spec.seed)
    keras.utils.set_random_seed(seeds["initialisation"])
    data = train.load_data(job, seeds)
    whole_epoch = images_per_epoch(spec.training, len(data.train[0]))
    training = shortened(spec.training, whole_epoch)
    timed_images = images_per_epoch(training, len(data.train[0]))
    part = timed_images / whole_epoch
    images, labels = data.validation
    kept = max(1, round(len(images) * part))
    shape, classes = images.shape[1:], len(job.manifest["classes"])
    model = build(spec.model, shape, classes, spec.training.precision, spec.training.augmentation)
    outcome = fit(model, training, Data(data.train, (images[:kept], labels[:kept])), seeds, job.work, Hooks())
    epochs = [row["seconds"] / part for row in outcome.history[WARM_UP_EPOCHS:]]
    seconds = statistics.median(epochs) if epochs else None
    return {
        "seconds_per_epoch": seconds,
        "images_per_second": whole_epoch / seconds if seconds else None,
        "latency_ms": inference.latency_ms(model, images, LATENCY_CALLS)["p50"],
        "timed_images": timed_images,
        "device": device(),
    }


def shortened(training: Training, whole_epoch: int) -> Training:
    """The training with a few epochs of ``MAX_IMAGES`` images at most, and without stopping early."""
    steps = math.ceil(whole_epoch / training.batch_size)
    most = max(1, MAX_IMAGES // training.batch_size)
    images = min(steps, most) * training.batch_size
    epochs = WARM_UP_EPOCHS + max(MIN_TIMED_EPOCHS, math.ceil(MIN_TIMED_IMAGES / images))
    changes = {"epochs": epochs, "early_stopping": None, "tensorboard": False}
    if training.steps is not None or steps > most:  # else the epoch is whole, with its smaller last batch
        changes["steps"] = min(steps, most) * epochs
    return training.model_copy(update=changes)


if __name__ == "__main__":
    run(main)
