"""Keras callbacks: history, reproducible random numbers, early stopping, atomic backups."""

import json
import math
import shutil
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from convlab.common.files import atomic, require_space
from convlab.runtime.keras_runtime import keras
from convlab.training.backup import BEST_WEIGHTS, CHECKSUMS, LATEST_WEIGHTS, backup_checksums, epoch_folder, hdf5_size
from convlab.training.history import HISTORY_COLUMNS, best_epoch, exhausted, read_history, write_history
from convlab.training.optimizer import averaged
from convlab.training.recipe import EarlyStopping


class Check(keras.callbacks.Callback):
    """Calls a function after each epoch, before anything is written; it may end the run by raising."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self.check = check

    def on_epoch_end(self, epoch, logs=None):
        self.check()


class Journal(keras.callbacks.Callback):
    """Writes ``history.csv`` and the best weights after each epoch, before the backup that a resume starts from.

    ``rate`` gives the learning rate of the last step of an epoch, counted from 0.
    """

    def __init__(
        self, work: Path, first_epoch: int, select: str, report: Callable, rate: Callable[[int], float]
    ) -> None:
        super().__init__()
        self.rate = rate
        self.path, self.weights = work / "history.csv", work / BEST_WEIGHTS
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
        measured = {name: logs[name] for name in HISTORY_COLUMNS[1:-2]}
        self.rows.append({"epoch": epoch + 1, **measured, "seconds": seconds, "learning_rate": self.rate(epoch)})
        write_history(self.path, self.rows)
        self.report(self.rows[-1])
        if best_epoch(self.rows, self.select) == epoch + 1:
            require_space(self.weights.parent, hdf5_size(self.model.variables))
            with averaged(self.model), atomic(self.weights, durable=False) as temporary:
                self.model.save_weights(temporary)


class AveragedWeights(keras.callbacks.Callback):
    """Validates with the moving average of the weights, where the optimizer keeps one."""

    def on_test_begin(self, logs=None):
        self.block = averaged(self.model)
        self.block.__enter__()

    def on_test_end(self, logs=None):
        self.block.__exit__(None, None, None)


class Randomness(keras.callbacks.Callback):
    """Reseeds dropout and augmentation at the start of each epoch, from the seed and the epoch's number.

    A backup of the weights lacks the generators' state; reseeded, a resumed epoch draws the same numbers. Generators
    inside of layers, such as that of attention, are known by their order there, since Keras names them by a counter.
    """

    def __init__(self, seeds: Mapping[str, int]) -> None:
        super().__init__()
        self.seeds = seeds

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.model.layers:
            purpose = "augmentation" if hasattr(layer, "generator") else "dropout"
            for number, state in enumerate(_generator_states(layer)):
                name = zlib.crc32(f"{layer.name}/{number}".encode() if number else layer.name.encode())
                drawn = np.random.SeedSequence([self.seeds[purpose], epoch, name]).generate_state(2)
                state.assign(drawn.astype(state.dtype))


def _generator_states(layer) -> list:
    """State of each random generator of a layer and of the layers inside of it, in the order in which they were made.

    ``variables`` is all that Keras documents of them: a layer's weights and the states of its generators.
    """
    return [variable for variable in layer.variables if variable.name == "seed_generator_state"]


class TorchRandomness(keras.callbacks.Callback):
    """Reseeds PyTorch's global generator each epoch: Keras' dropout draws from it there, not from the layer's state.

    At an epoch's first batch, since creating the iterator over the batches, once per process, draws from it too.
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


class StopEarly(keras.callbacks.Callback):
    """Early stopping, decided from the journal, so that a resumed run stops at the same epoch."""

    def __init__(self, journal: Journal, rule: EarlyStopping) -> None:
        super().__init__()
        self.journal, self.rule = journal, rule

    def on_epoch_end(self, epoch, logs=None):
        if exhausted(self.journal.rows, self.rule):
            self.model.stop_training = True


class Backup(keras.callbacks.Callback):
    """Saves weights and optimizer state after each epoch, atomically: after any kill one backup is complete.

    Keras' own ``BackupAndRestore`` writes in place. ``training.loop.fit`` loads the backup before it starts.
    """

    def __init__(self, folder: Path, journal: Journal) -> None:
        super().__init__()
        self.folder, self.journal = folder, journal

    def on_epoch_end(self, epoch, logs=None):
        if self.journal.diverged:
            return
        epochs = epoch + 1
        finished = epoch_folder(self.folder, epochs)
        unfinished = finished.with_name(f".{finished.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        require_space(self.folder.parent, hdf5_size([*self.model.variables, *self.model.optimizer.variables]))
        unfinished.mkdir(parents=True)
        self.model.save_weights(unfinished / LATEST_WEIGHTS)
        content = backup_checksums(self.folder.parent, unfinished, epochs)
        (unfinished / CHECKSUMS).write_text(json.dumps(content), encoding="utf-8")
        unfinished.rename(finished)
        shutil.rmtree(epoch_folder(self.folder, epoch), ignore_errors=True)
