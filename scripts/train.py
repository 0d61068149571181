"""Train one run: build its model, fit it, keep the best epoch, and say how it went in run.json."""

import argparse
import hashlib
import json
import logging
import os
import shutil
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from convlab import backend, data, devices, finished_runs, provenance
from convlab.cli import run
from convlab.code_inputs import code_inputs
from convlab.files import atomic, read_json, write_json
from convlab.locks import locked
from convlab.specs import Run

AGAIN = "CONVLAB_AGAIN"
"""Environment variable that asks to train finished runs again: their folders, or ``all``."""

log = logging.getLogger("train")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, type=Run.model_validate_json, help="the run's spec as JSON")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for model.keras, history.csv, run.json")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow; results depend on their number")
    parser.add_argument("--store", type=Path, help="folder of finished runs, from which an equal one is taken")
    arguments = parser.parse_args(argv)
    spec, output, store = arguments.spec, arguments.output_dir, arguments.store
    manifest = read_json(arguments.data_dir / "manifest.json")
    identity = work_identity(spec, manifest, arguments.threads)
    work = output / f"unfinished-{identity}"
    keeps = store is not None and not spec.training.tensorboard  # TensorBoard's logs are not kept
    waiting = "another process trains this very run; waiting for it"
    with locked(store / f"{identity}.lock", waiting) if keeps else nullcontext():
        if keeps and not asked_again(output) and finished_runs.take(store / identity, output):
            log.info("this very run has been finished before; its results were copied")
        else:
            train_run(spec, manifest, arguments.data_dir, output, work, arguments.threads)
            if keeps:
                finished_runs.keep(output, store / identity)
    shutil.rmtree(work, ignore_errors=True)


def asked_again(output: Path) -> bool:
    """Whether the run in ``output`` was asked for by name, so that a finished one is trained again."""
    asked = os.environ.get(AGAIN, "").split(os.pathsep)
    return "all" in asked or str(output.resolve()) in asked


def train_run(spec: Run, manifest: dict, data_dir: Path, output: Path, work: Path, threads: int) -> None:
    """Train ``spec`` on the data in ``data_dir`` and write what comes of it to ``output``.

    ``work`` is a folder in ``output`` for what a killed run goes on from; it is only ever of this very run.
    """
    training = spec.training
    started = datetime.now(UTC)
    backend.choose(training.backend, threads)  # before these import Keras
    from convlab.keras_setup import device, keras, use_threads
    from convlab.models import build
    from convlab.training import finished_epochs, fit, images_per_epoch, write_history

    use_threads(threads)
    seeds = data.seed_streams(spec.seed)
    keras.utils.set_random_seed(seeds["initialisation"])
    images, labels = data.load_train(data_dir)
    images = data.permute_pixels(images, training.pixel_permutation)
    train, validation = data.split(labels, training.validation_fraction, seeds["split"])
    train = train[data.subset(labels[train], training.train_size, seeds["subset"])]
    model = build(spec.model, images.shape[1:], len(manifest["classes"]), training.precision, training.augmentation)

    # What a killed run left is taken up again only by the very same run.
    for stale in output.glob("unfinished-*"):
        if stale != work:
            shutil.rmtree(stale)
    resumed = finished_epochs(work / "backup")
    where = "GPU" if device() == "GPU" else f"CPU, {threads} thread(s)"
    log.info("%d training and %d validation images; %s", len(train), len(validation), where)
    if resumed:
        log.info("taking up again after epoch %d", resumed)

    begin = time.perf_counter()
    outcome = fit(
        model,
        training,
        (images[train], labels[train]),
        (images[validation], labels[validation]),
        seeds,
        work,
        report=lambda row: log.info(
            "epoch %d/%d: loss %.4f, accuracy %.4f, val_loss %.4f, val_accuracy %.4f, %.1f s",
            *(row["epoch"], training.epochs),
            *(row[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")),
        ),
        tensorboard=output / "tensorboard" if training.tensorboard else None,
    )
    fit_seconds = time.perf_counter() - begin

    with atomic(output / "model.keras") as temporary:
        model.save(temporary)
    write_history(output / "history.csv", outcome.history)
    seen = images_per_epoch(training, len(train))
    epoch_seconds = sum(row["seconds"] for row in outcome.history)
    best = outcome.history[outcome.best_epoch - 1] if outcome.history else {}
    write_json(
        output / "run.json",
        {
            "format": 1,
            "spec": spec.identity,
            "spec_hash": spec.spec_hash,
            "data_sha256": data_sha256(manifest),
            "status": outcome.status,
            "input_shape": list(images.shape[1:]),
            "classes": len(manifest["classes"]),
            "parameters": model.count_params(),
            "train_images": len(train),
            "validation_images": len(validation),
            "epochs_run": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "val_accuracy": best.get("val_accuracy"),
            "val_loss": best.get("val_loss"),
            "train_seconds": epoch_seconds,
            "images_per_epoch": seen,
            "images_per_second": seen * len(outcome.history) / epoch_seconds if epoch_seconds else None,
            "fit_seconds": fit_seconds,
            "resumed_after_epoch": resumed,
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "peak_memory_mb": provenance.peak_memory_mb(),
            "threads": threads,
            "device": where,
            "versions": provenance.versions(),
            "hardware": provenance.hardware(),
            "code": provenance.code(Path(__file__).resolve()),
        },
    )
    log.info("%s after %d epochs; kept epoch %d", outcome.status, len(outcome.history), outcome.best_epoch)


def data_sha256(manifest: dict) -> dict[str, str]:
    """The checksums that tie a run to its data."""
    return {name: entry["sha256"] for name, entry in manifest["arrays"].items()}


def work_identity(spec: Run, manifest: dict, threads: int) -> str:
    """Hash of all that decides what a run becomes: spec, data, threads, versions, whether on a GPU, and code."""
    found = provenance.versions()
    versions = {name: found.get(name) for name in ("tensorflow", "tensorflow-cpu", "jax", "torch", "keras", "numpy")}
    parts = [spec.spec_hash, data_sha256(manifest), threads, versions, bool(devices.visible())]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in code_inputs(Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    run(main)
