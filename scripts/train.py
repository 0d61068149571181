"""Train one run: build its model, fit it, keep the best epoch, and say how it went in run.json."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from convlab.common import checksums, provenance
from convlab.common.cli import run
from convlab.common.code_digests import code_parts
from convlab.common.files import atomic, read_json, write_json
from convlab.common.locks import Writer, locked, sole_writer
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.models.registry import modules
from convlab.runtime import backend, devices
from convlab.training import run_store
from convlab.training.run_spec import Run

RETRAIN_VARIABLE = "CONVLAB_RETRAIN"
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
    code = code_of(spec)  # before the modules are imported that are read here
    manifest = read_json(arguments.data_dir / "manifest.json")
    identity = work_identity(spec, manifest, arguments.threads, environment.choices(), code)
    work = output / f"unfinished-{identity}"
    keeps = store is not None and not spec.training.tensorboard  # TensorBoard's logs are not kept
    lock = store / f"{identity}.lock" if keeps else output / f".{identity}.lock"
    # Jobs may outlive their Snakemake: one that trains this very run is waited for, any other in this folder gives way.
    with (
        locked(lock, "another process trains this very run; waiting for it") as waited,
        sole_writer(output / run_store.MAIN) as writer,
    ):
        again = asked_again(output)
        if not again and waited and is_finished(output, identity):
            log.info("this very run has just been finished by another process")
        elif not again and keeps and run_store.take(store / identity, output):
            log.info("this very run has been finished before; its results were copied")
        else:
            train_run(spec, manifest, arguments.data_dir, output, work, arguments.threads, identity, code, writer)
            if keeps:
                run_store.keep(output, store / identity)
        shutil.rmtree(work, ignore_errors=True)


def code_of(spec: Run) -> dict[str, str]:
    """Checksums of the code that trains a run, by file: this script's, and that of its model's family."""
    return code_parts(Path(__file__).resolve(), modules([spec.model.family]))


def asked_again(output: Path) -> bool:
    """Whether the run in ``output`` was asked for by name, so that a finished one is trained again."""
    asked = os.environ.get(RETRAIN_VARIABLE, "").split(os.pathsep)
    return "all" in asked or str(output.resolve()) in asked


def is_finished(output: Path, identity: str) -> bool:
    """Whether whole results of this very run lie in ``output``."""
    main = output / run_store.MAIN
    return checksums.is_whole(main, run_store.FILES) and read_json(main).get("identity") == identity


def train_run(
    spec: Run,
    manifest: dict,
    data_dir: Path,
    output: Path,
    work: Path,
    threads: int,
    identity: str,
    code: dict[str, str],
    writer: Writer,
) -> None:
    """Train ``spec`` on the data in ``data_dir`` and write what comes of it to ``output``, while ``writer`` may.

    ``work`` is a folder in ``output`` for what a killed run goes on from; it is only ever of this very run.
    ``code`` holds the checksums of the modules at the start of this process. Raises UserError where they were edited
    before they were imported.
    """
    training, choices = spec.training, environment.choices()
    started = datetime.now(UTC)
    backend.choose(training.backend, threads)  # before these import Keras
    from convlab.runtime.keras_runtime import device, keras, use_threads
    from convlab.training.backup import resumable_epochs
    from convlab.training.loop import fit
    from convlab.training.network import build
    from convlab.training.pipeline import images_per_epoch

    if code_of(spec) != code:
        raise UserError("convlab's code was edited while this run was starting; run the same command again")
    use_threads(threads)
    seeds = prepared.seed_streams(spec.seed)
    keras.utils.set_random_seed(seeds["initialisation"])
    images, labels = prepared.load_train(data_dir)
    images = prepared.permute_pixels(images, training.pixel_permutation)
    train, validation = prepared.split(labels, training.validation_fraction, seeds["split"])
    train = train[prepared.subset(labels[train], training.train_size, seeds["subset"])]
    model = build(spec.model, images.shape[1:], len(manifest["classes"]), training.precision, training.augmentation)

    # What a killed run left is taken up again only by the very same run.
    for stale in output.glob("unfinished-*"):
        if stale != work:
            shutil.rmtree(stale, ignore_errors=True)
    if not work.exists():
        shutil.rmtree(output / "tensorboard", ignore_errors=True)  # another run's logs would be shown as this one's
    resumed = resumable_epochs(work, training.select)
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
        check=writer.check,
    )
    fit_seconds = time.perf_counter() - begin
    seen = images_per_epoch(training, len(train))
    epoch_seconds = sum(row["seconds"] for row in outcome.history)
    best = outcome.history[outcome.best_epoch - 1] if outcome.history else {}
    write_results(
        output,
        {
            "format": 1,
            "spec": spec.identity,
            "spec_hash": spec.spec_hash,
            "identity": identity,
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
            "environment": choices,
            "code": code,
        },
        model,
        outcome.history,
        writer,
    )
    log.info("%s after %d epochs; kept epoch %d", outcome.status, len(outcome.history), outcome.best_epoch)


def write_results(output: Path, record: dict, model, history: Sequence[Mapping[str, float]], writer: Writer) -> None:
    """Write all that a run leaves, as long as no other process has begun to make the same."""
    from convlab.training.history import write_history

    main = output / run_store.MAIN
    with writer.writing():
        checksums.drop_record(main)
        with atomic(output / "model.keras") as temporary:
            model.save(temporary)
        write_history(output / "history.csv", history, durable=True)
        write_json(main, record)
        checksums.write_record(main, [output / name for name in run_store.FILES])


def data_sha256(manifest: dict) -> dict[str, str]:
    """The checksums that tie a run to its data."""
    return {name: entry["sha256"] for name, entry in manifest["arrays"].items()}


def work_identity(spec: Run, manifest: dict, threads: int, choices: dict[str, str], code: dict[str, str]) -> str:
    """Hash of all that decides what a run becomes.

    Spec, data, threads, versions, whether on a GPU, the instructions of the processor, by which libraries choose how to
    compute, the user's choices in the environment, and code.
    """
    found = provenance.versions()
    versions = {name: found.get(name) for name in ("tensorflow", "tensorflow-cpu", "jax", "torch", "keras", "numpy")}
    machine = [bool(devices.visible()), provenance.instructions()]
    parts = [spec.spec_hash, data_sha256(manifest), threads, versions, machine, choices, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    run(main)
