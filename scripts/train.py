"""Train one run: build its model, fit it, keep the best epoch, and record it in run.json."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from convlab.common import checksums, provenance
from convlab.common.cli import run
from convlab.common.code_digests import code_parts
from convlab.common.files import atomic, read_json, write_json
from convlab.common.locks import Writer, locked, sole_writer
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.models.registry import modules
from convlab.runtime import backend, devices
from convlab.training import energy, run_store
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

if TYPE_CHECKING:
    from convlab.training.loop import Data, Fit

RETRAIN_VARIABLE = "CONVLAB_RETRAIN"
"""Environment variable with runs to train again although they are stored: their folders, or ``all``."""

COMPUTING_PACKAGES = ("tensorflow", "tensorflow-cpu", "jax", "torch", "keras", "numpy")
"""Packages whose versions can change a run's result."""

log = logging.getLogger("train")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, type=Run.model_validate_json, help="the run's spec as JSON")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for model.keras, history.csv, run.json")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow; results depend on their number")
    parser.add_argument("--store", type=Path, help="folder of finished runs, from which an equal one is taken")
    parser.add_argument("--described", type=Path, nargs="?", help="description of the model, with the user's own code")
    arguments = parser.parse_args(argv)
    output, store = arguments.output_dir, arguments.store
    job = Job(
        spec=with_code(arguments.spec, arguments.described),
        manifest=read_json(arguments.data_dir / "manifest.json"),
        data_dir=arguments.data_dir,
        output=output,
        threads=arguments.threads,
        choices=environment.choices(),
        code=code_of(arguments.spec),  # before the modules are imported that are read here
        parameters=None if arguments.described is None else read_json(arguments.described).get("parameters"),
    )
    keeps = store is not None and not job.spec.training.tensorboard  # TensorBoard's logs are not kept
    lock = store / f"{job.identity}.lock" if keeps else output / f".{job.identity}.lock"
    # Jobs may outlive their Snakemake: wait for one that trains the same run; any other in this folder has to stop.
    with (
        locked(lock, "another process trains this very run; waiting for it") as waited,
        sole_writer(output / run_store.MAIN) as writer,
    ):
        again = asked_again(output)
        if not again and waited and is_finished(output, job.identity):
            log.info("this very run has just been finished by another process")
        elif not again and keeps and run_store.fetch(store / job.identity, output):
            log.info("this very run has been finished before; its results were copied")
        else:
            train_run(job, writer)
            if keeps:
                run_store.store(output, store / job.identity)
        shutil.rmtree(job.work, ignore_errors=True)


@dataclass(frozen=True)
class Job:
    """One run to train, and all that decides what it becomes.

    Attributes:
        manifest: what ``prepare`` recorded of the dataset in ``data_dir``.
        choices: environment variables of the user's that can change numbers.
        code: checksums, by file, of the code at the start of this process.
        parameters: of the model, where it was described before.
    """

    spec: Run
    manifest: dict
    data_dir: Path
    output: Path
    threads: int
    choices: dict[str, str]
    code: dict[str, str]
    parameters: int | None = None

    @cached_property
    def identity(self) -> str:
        return work_identity(self.spec, self.manifest, self.threads, self.choices, self.code)

    @property
    def work(self) -> Path:
        """Folder of backups in ``output``, from which a killed run is resumed; only ever of this very run."""
        return self.output / f"unfinished-{self.identity}"


def with_code(spec: Run, described: Path | None) -> Run:
    """The spec with the user's own code from a description, if the model is built by such.

    Raises UserError if it is other code than the spec names.
    """
    if described is None:
        return spec
    return spec.model_copy(update={"model": spec.model.with_sources(read_json(described)["sources"])})


def code_of(spec: Run) -> dict[str, str]:
    """Checksums of the code that trains a run, by file: this script's, and that of its model's family."""
    return code_parts(Path(__file__).resolve(), modules([spec.model.family]))


def asked_again(output: Path) -> bool:
    """Whether the run in ``output`` is forced, so that it is trained again although it is stored."""
    asked = os.environ.get(RETRAIN_VARIABLE, "").split(os.pathsep)
    return "all" in asked or str(output.resolve()) in asked


def is_finished(output: Path, identity: str) -> bool:
    """Whether ``output`` has complete results of the run with this identity."""
    main = output / run_store.MAIN
    return checksums.is_whole(main, run_store.FILES) and read_json(main).get("identity") == identity


def train_run(job: Job, writer: Writer) -> None:
    """Train a run and write its results, while ``writer`` may.

    Raises UserError where the code was edited between the start of this process and the imports below.
    """
    spec, output, threads = job.spec, job.output, job.threads
    training, started = spec.training, datetime.now(UTC)
    if training.tensorboard and importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "training.tensorboard needs TensorFlow, which is not installed here; remove it, or run: "
            "pip install --require-hashes -r requirements/cpu.txt"
        )
    backend.configure(training.backend, threads)  # before these import Keras
    from convlab.runtime.keras_runtime import device, keras, use_threads
    from convlab.training.backup import resumable_epochs
    from convlab.training.loop import Hooks, fit
    from convlab.training.network import build

    if code_of(spec) != job.code:
        raise UserError("convlab's code was edited while this run was starting; run the same command again")
    use_threads(threads)
    seeds = prepared.seed_streams(spec.seed)
    keras.utils.set_random_seed(seeds["initialisation"])
    data = load_data(job, seeds)
    input_shape = data.train[0].shape[1:]
    model = build(spec.model, input_shape, len(job.manifest["classes"]), training.precision, training.augmentation)

    if job.parameters not in (None, model.count_params()):
        raise UserError(
            f"{spec.model.function} in {spec.model.file} returns a model of {model.count_params():,} parameters, but "
            f"one of {job.parameters:,} when it was described: it depends on random numbers, or on a file that has "
            "changed since; make what decides its size an argument"
        )
    remove_other_runs(job)
    used = energy.kept_reading(job.work)  # before what is damaged is deleted
    resumed = resumable_epochs(job.work, training.select)
    where = "GPU" if device() == "GPU" else f"CPU, {threads} thread(s)"
    train_images, validation_images = len(data.train[0]), len(data.validation[0])
    log.info("%d training and %d validation images; %s", train_images, validation_images, where)
    if resumed:
        log.info("taking up again after epoch %d", resumed)
    begin = time.perf_counter()
    logs = output / "tensorboard" if training.tensorboard else None
    with energy.metered(device() == "GPU", used) as meter:

        def report(row: Mapping[str, float]) -> None:
            log_epoch(row, training.epochs)
            energy.write_reading(job.work, meter.reading())

        try:
            outcome = fit(model, training, data, seeds, job.work, Hooks(report, writer.check, logs))
        except Exception as error:
            raise spec.model.explained(error) from None
        fit_seconds, consumed = time.perf_counter() - begin, meter.reading()
    record = {
        "format": 1,
        "spec": spec.identity,
        "spec_hash": spec.spec_hash,
        "identity": job.identity,
        "data_sha256": data_sha256(job.manifest),
        "input_shape": list(input_shape),
        "classes": len(job.manifest["classes"]),
        "parameters": model.count_params(),
        "train_images": train_images,
        "validation_images": validation_images,
        **describe_fit(outcome, training, train_images),
        "fit_seconds": fit_seconds,
        "energy": consumed if used or not resumed else None,  # unknown where a killed process's part is
        "resumed_after_epoch": resumed,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "peak_memory_mb": provenance.peak_memory_mb(),
        "threads": threads,
        "device": where,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "environment": job.choices,
        "code": job.code,
        **({"sources": dict(spec.model.sources)} if spec.model.sources else {}),
    }
    write_results(output, record, model, outcome.history, writer)
    log.info("%s after %d epochs; kept epoch %d", outcome.status, len(outcome.history), outcome.best_epoch)


def load_data(job: Job, seeds: Mapping[str, int]) -> "Data":
    """The images and labels that a run is trained on and validated with, drawn by its seeds.

    A validation split that the data bring is the same for every seed, and all training images are trained on.
    """
    from convlab.training.loop import Data

    training = job.spec.training
    images, labels = prepared.load_train(job.data_dir)
    images = prepared.permute_pixels(images, training.pixel_permutation)
    if given := prepared.load_validation(job.data_dir):
        train = prepared.nested_subset(labels, training.train_size, seeds["subset"])
        validation_images = prepared.permute_pixels(given[0], training.pixel_permutation)
        return Data((images[train], labels[train]), (validation_images, given[1]))
    train, validation = prepared.split(labels, training.validation_fraction, seeds["split"])
    train = train[prepared.nested_subset(labels[train], training.train_size, seeds["subset"])]
    return Data((images[train], labels[train]), (images[validation], labels[validation]))


def remove_other_runs(job: Job) -> None:
    """Delete what other runs left in the output folder: only the very same run is resumed."""
    for stale in job.output.glob("unfinished-*"):
        if stale != job.work:
            shutil.rmtree(stale, ignore_errors=True)
    if not job.work.exists():
        shutil.rmtree(job.output / "tensorboard", ignore_errors=True)  # else its logs would be shown as this run's


def log_epoch(row: Mapping[str, float], epochs: int) -> None:
    """Log a row of the history."""
    log.info(
        "epoch %d/%d: loss %.4f, accuracy %.4f, val_loss %.4f, val_accuracy %.4f, %.1f s",
        *(row["epoch"], epochs),
        *(row[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")),
    )


def describe_fit(outcome: "Fit", training: Training, train_images: int) -> dict[str, Any]:
    """Status, epochs, validation results of the kept epoch, and speed, as run.json has them."""
    from convlab.training.pipeline import images_per_epoch

    seen = images_per_epoch(training, train_images)
    seconds = sum(row["seconds"] for row in outcome.history)
    best = outcome.history[outcome.best_epoch - 1] if outcome.history else {}
    return {
        "status": outcome.status,
        "epochs_run": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "val_accuracy": best.get("val_accuracy"),
        "val_loss": best.get("val_loss"),
        "train_seconds": seconds,
        "images_per_epoch": seen,
        "images_per_second": seen * len(outcome.history) / seconds if seconds else None,
    }


def write_results(output: Path, record: dict, model, history: Sequence[Mapping[str, float]], writer: Writer) -> None:
    """Write a run's results. Raises UserError if another process has become their writer."""
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
    """Hash of everything that decides a run's result.

    Spec, data, threads, versions, whether on a GPU, the instructions of the processor, by which libraries choose how to
    compute, the user's choices in the environment, and code.
    """
    installed = provenance.versions()
    versions = {name: installed.get(name) for name in COMPUTING_PACKAGES}
    machine = [bool(devices.visible_gpus()), provenance.instructions()]
    parts = [spec.spec_hash, data_sha256(manifest), threads, versions, machine, choices, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    run(main)
