"""One training run: the input pipeline, Keras ``fit``, and what is kept epoch by epoch so that a kill loses nothing."""

import csv
import hashlib
import json
import logging
import math
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convlab.common.checksums import sha256
from convlab.common.files import atomic, require_space
from convlab.runtime.keras_runtime import BACKEND, keras, tf
from convlab.training.network import optimizer
from convlab.training.recipe import EarlyStopping, Training

log = logging.getLogger("train")

BEST = "best.weights.h5"
"""The weights of the best epoch so far."""

CHECKSUMS = "checksums.json"
"""Of all that a run goes on from, beside Keras' part of it."""

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
"""Columns of history.csv; ``seconds`` are of the whole epoch, validation included."""

EVALUATION_BATCH = 250
"""Images per step where nothing is learned. With 1,000 the default study's CNN takes 100 MB more, and more time."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run. ``history`` has a row for each finished epoch; ``best_epoch`` counts from 1, 0 if none."""

    status: str
    history: list[dict[str, float]]
    best_epoch: int


def epoch_order(count: int, length: int, seed: int, epoch: int) -> np.ndarray:
    """Indices of the images that an epoch trains on, int32 (length,).

    The images are gone through again and again, each time in a new random order of its own; an epoch is the next
    ``length`` of that sequence. With ``length = count`` every epoch is one pass. An epoch's order depends only on these
    numbers, so that a resumed run sees what it would have seen.
    """
    first = epoch * length
    passes = range(first // count, (first + length - 1) // count + 1)
    orders = np.concatenate([np.random.default_rng([seed, number]).permutation(count) for number in passes])
    start = first - passes.start * count
    return orders[start : start + length].astype(np.int32)


def training_batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, epochs: range, seed: int, length: int | None = None
):
    """Shuffled batches of all ``epochs``, one after another: a ``tf.data.Dataset`` of (images, labels).

    The images stay in memory once, as bytes; what is shuffled are indices, from which each batch is gathered.

    Args:
        images: uint8 (n, height, width, channels).
        labels: (n,) integers.
        epochs: numbers of the epochs to give, from 0.
        length: images in an epoch; n when absent.
    """
    length = length or len(images)
    all_images, all_labels = tf.constant(images), tf.constant(labels, tf.int32)

    def orders():
        for epoch in epochs:
            yield epoch_order(len(images), length, seed, epoch)

    def gather(indices):
        return tf.gather(all_images, indices), tf.gather(all_labels, indices)

    def batches(order):
        steps = math.ceil(length / batch_size)
        return tf.data.Dataset.range(steps).map(lambda step: order[step * batch_size : (step + 1) * batch_size])

    shuffled = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec(length, tf.int32))
    return shuffled.flat_map(batches).map(gather).prefetch(2).with_options(pipeline_options())


def batches_in_order(images: np.ndarray, labels: np.ndarray):
    """Large batches in the order given, for validation."""
    parts = (images, labels.astype(np.int32))
    return (
        tf.data.Dataset.from_tensor_slices(parts).batch(EVALUATION_BATCH).prefetch(1).with_options(pipeline_options())
    )


def pipeline_options():
    """Options without autotuning: its thread polls ever more slowly and is waited for at the end of ``fit``, in one run
    of two for up to half of the training time (TensorFlow 2.21, found by sampling the stack of a run that hung)."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class _Check(keras.callbacks.Callback):
    """Calls a function after each epoch, before anything is written; it may end the run by raising."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self.check = check

    def on_epoch_end(self, epoch, logs=None):
        self.check()


class _Journal(keras.callbacks.Callback):
    """Writes ``history.csv`` and the best weights after each epoch, before the backup that a resume starts from."""

    def __init__(self, work: Path, first_epoch: int, select: str, report: Callable) -> None:
        super().__init__()
        self.path, self.weights = work / "history.csv", work / BEST
        self.rows = read_history(self.path)[:first_epoch] if self.path.exists() else []
        self.select, self.report, self.diverged = select, report, False

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not all(math.isfinite(logs[name]) for name in ("loss", "val_loss")):
            self.diverged = True
            self.model.stop_training = True
            return
        seconds = time.perf_counter() - self.started
        self.rows.append(
            {"epoch": epoch + 1, **{name: logs[name] for name in HISTORY_COLUMNS[1:-1]}, "seconds": seconds}
        )
        write_history(self.path, self.rows)
        self.report(self.rows[-1])
        if best_epoch(self.rows, self.select) == epoch + 1:
            require_space(self.weights.parent, hdf5_size(self.model.variables))
            with atomic(self.weights, durable=False) as temporary:
                self.model.save_weights(temporary)


class _Randomness(keras.callbacks.Callback):
    """Starts the random numbers of dropout and augmentation anew each epoch, from the seed and the epoch's number.

    Keras does not keep their state in its backup; so a resumed epoch draws what it would have drawn.
    """

    def __init__(self, seeds: Mapping[str, int]) -> None:
        super().__init__()
        self.seeds = seeds

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.model.layers:
            generator = getattr(layer, "seed_generator", None) or getattr(layer, "generator", None)
            if generator is not None:
                purpose = "dropout" if isinstance(layer, keras.layers.Dropout) else "augmentation"
                name = zlib.crc32(layer.name.encode())
                state = np.random.SeedSequence([self.seeds[purpose], epoch, name]).generate_state(2)
                generator.state.assign(state.astype(generator.state.dtype))


class _TorchRandomness(keras.callbacks.Callback):
    """Starts PyTorch's own generator anew each epoch: Keras' dropout draws from it there, not from the layer's state.

    At an epoch's first batch, since the iterator over the batches, made once by each process, has drawn from it too.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            import torch

            torch.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]))


class _EarlyStopping(keras.callbacks.Callback):
    """Stops when the journal says that validation has not improved for long enough."""

    def __init__(self, journal: _Journal, rule: EarlyStopping) -> None:
        super().__init__()
        self.journal, self.rule = journal, rule

    def on_epoch_end(self, epoch, logs=None):
        if exhausted(self.journal.rows, self.rule):
            self.model.stop_training = True


class _Backup(keras.callbacks.BackupAndRestore):
    """Keras' backup, made safe against a kill while it is written: each epoch's goes to a folder that appears whole."""

    def __init__(self, folder: Path, journal: _Journal) -> None:
        self.folder, self.journal = folder, journal
        super().__init__(self._place(finished_epochs(folder)), delete_checkpoint=False)

    def _place(self, epochs: int, prefix: str = "") -> Path:
        return self.folder / f"{prefix}epoch-{epochs:04d}"

    def _point_to(self, place: Path) -> None:
        self.backup_dir = str(place)
        self._weights_path = str(place / "latest.weights.h5")
        self._training_metadata_path = str(place / "training_metadata.json")

    def _save_model(self):
        if self.journal.diverged:
            return
        previous, unfinished = Path(self.backup_dir), self._place(self._current_epoch, prefix=".")
        shutil.rmtree(unfinished, ignore_errors=True)
        require_space(self.folder.parent, hdf5_size([*self.model.variables, *self.model.optimizer.variables]))
        self._point_to(unfinished)
        super()._save_model()
        content = _backup_checksums(self.folder.parent, unfinished, self._current_epoch)
        (unfinished / CHECKSUMS).write_text(json.dumps(content), encoding="utf-8")
        place = unfinished.rename(self._place(self._current_epoch))
        self._point_to(place)
        shutil.rmtree(previous, ignore_errors=True)


def hdf5_size(variables: Sequence) -> int:
    """Bytes of an HDF5 file with these Keras variables, about: their values (float32), and what describes each."""
    return 2**16 + sum(4096 + 4 * math.prod(variable.shape) for variable in variables)


def images_per_epoch(training: Training, count: int) -> int:
    """Images that an epoch trains on: all ``count`` once, or as many as the equal share of ``steps`` takes."""
    return count if training.steps is None else math.ceil(training.steps / training.epochs) * training.batch_size


def finished_epochs(folder: Path) -> int:
    """Number of epochs that the newest whole backup in ``folder`` holds; 0 without one."""
    return max((int(place.name.removeprefix("epoch-")) for place in folder.glob("epoch-*")), default=0)


def resumable_epochs(work: Path, select: str) -> int:
    """Number of epochs from which a killed run goes on: those of the newest backup in ``work``.

    What is not what was written, as after a power cut, is deleted: the run then begins anew.
    """
    backup = work / "backup"
    epochs = finished_epochs(backup)
    if epochs and not _is_whole(work, epochs, select):
        log.warning("what the killed run left is damaged: it begins anew")
        shutil.rmtree(work)
        return 0
    for outdated in [*backup.glob(".epoch-*"), *backup.glob("epoch-*")]:
        if outdated.name != f"epoch-{epochs:04d}":
            shutil.rmtree(outdated, ignore_errors=True)
    return epochs


def _is_whole(work: Path, epochs: int, select: str) -> bool:
    """Whether a backup, the history and the best weights are those that were written."""
    backup = work / "backup" / f"epoch-{epochs:04d}"
    try:
        recorded = json.loads((backup / CHECKSUMS).read_text(encoding="utf-8"))
        actual, rows = _backup_checksums(work, backup, epochs), read_history(work / "history.csv")
        # A kill between the end of an epoch and its backup leaves better weights than the backup knows.
        newer = best_epoch(rows, select) > epochs
        return actual == (recorded | {BEST: actual[BEST]} if newer else recorded)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _backup_checksums(work: Path, backup: Path, epochs: int) -> dict[str, str]:
    """SHA-256 of all that a run goes on from after so many epochs; ``backup`` holds Keras' part of it."""
    checksums = {path.name: sha256(path) for path in backup.iterdir() if path.name != CHECKSUMS}
    history = (work / "history.csv").read_bytes().splitlines(keepends=True)[: epochs + 1]
    checksums["history.csv"] = hashlib.sha256(b"".join(history)).hexdigest()
    checksums[BEST] = sha256(work / BEST)
    return checksums


def exhausted(rows: Sequence[Mapping[str, float]], rule: EarlyStopping) -> bool:
    """Whether the validation loss has gone ``rule.patience`` epochs without falling by more than ``rule.min_delta``."""
    best, waited = math.inf, 0
    for row in rows:
        if row["val_loss"] < best - rule.min_delta:
            best, waited = row["val_loss"], 0
        else:
            waited += 1
    return waited >= rule.patience


def best_epoch(rows: Sequence[Mapping[str, float]], select: str) -> int:
    """Number, from 1, of the epoch to keep; 0 without rows.

    ``best`` is the highest validation accuracy, among equals the lowest validation loss, then the earliest.
    """
    if select == "last" or not rows:
        return len(rows)
    return 1 + min(range(len(rows)), key=lambda i: (-rows[i]["val_accuracy"], rows[i]["val_loss"]))


def write_history(path: Path, rows: Sequence[Mapping[str, float]], durable: bool = False) -> None:
    """Write one row per epoch; numbers are written so that reading gives the same ones back."""
    with atomic(path, durable) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Read what ``write_history`` wrote."""
    with path.open(newline="") as stream:
        return [
            {name: int(text) if name == "epoch" else float(text) for name, text in row.items()}
            for row in csv.DictReader(stream)
        ]


def fit(
    model,
    training: Training,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    seeds: Mapping[str, int],
    work: Path,
    report: Callable[[dict[str, float]], None] = lambda row: None,
    tensorboard: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Outcome:
    """Train ``model`` in place, leaving in it the weights of the selected epoch.

    Args:
        train, validation: (uint8 images, integer labels).
        seeds: the run's streams; ``shuffling``, ``dropout`` and ``augmentation`` are used.
        work: folder for what a resumed run needs; it holds only files of this very run.
        report: called with each row of the history as it is finished.
        tensorboard: folder for TensorBoard logs, or None.
        check: called after each epoch, before anything of it is written; what it raises ends the run.

    Returns:
        Outcome with status ``finished``, or ``diverged`` when a loss stopped being a number.
    """
    backup = work / "backup"
    first_epoch = finished_epochs(backup)
    journal = _Journal(work, first_epoch, training.select, report)
    callbacks: list[keras.callbacks.Callback] = [_Check(check), journal, _Randomness(seeds)]
    if BACKEND == "torch":
        callbacks.append(_TorchRandomness(seeds["dropout"]))
    epochs = training.epochs
    if training.early_stopping:
        callbacks.append(_EarlyStopping(journal, training.early_stopping))
        epochs = first_epoch if exhausted(journal.rows, training.early_stopping) else epochs
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard, profile_batch=0))
    callbacks.append(_Backup(backup, journal))
    model.compile(
        optimizer(training),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=training.jit_compile or BACKEND == "jax",  # without it JAX runs operation by operation
    )
    images, labels = train
    length = images_per_epoch(training, len(images))
    if first_epoch < epochs:
        model.fit(
            training_batches(
                images, labels, training.batch_size, range(first_epoch, epochs), seeds["shuffling"], length
            ),
            steps_per_epoch=math.ceil(length / training.batch_size),
            epochs=epochs,
            validation_data=batches_in_order(*validation),
            callbacks=callbacks,
            shuffle=False,  # the dataset already is
            verbose=0,
        )
    else:  # killed after its last epoch: with JAX and PyTorch, Keras cannot begin without a batch
        model.optimizer.build(model.trainable_variables)  # as the weights of the best epoch come with its state
    if journal.rows:
        model.load_weights(journal.weights)
    return Outcome(
        "diverged" if journal.diverged else "finished", journal.rows, best_epoch(journal.rows, training.select)
    )
