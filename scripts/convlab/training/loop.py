"""Training loop of one run: Keras ``fit``, history and backup after each epoch, early stopping, resuming."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convlab.runtime.keras_runtime import BACKEND, keras
from convlab.training.backup import LATEST_WEIGHTS, epoch_folder, finished_epochs
from convlab.training.callbacks import (
    AveragedWeights,
    Backup,
    Check,
    Journal,
    Randomness,
    StopEarly,
    TorchRandomness,
)
from convlab.training.history import best_epoch, exhausted
from convlab.training.optimizer import inner, optimizer
from convlab.training.pipeline import images_per_epoch
from convlab.training.recipe import Training
from convlab.training.schedule import Schedule, rate_at, rates

if BACKEND == "tensorflow":
    from convlab.training.tensorflow_pipeline import batches_in_order, recipe_batches, training_batches
else:
    from convlab.training.array_pipeline import batches_in_order, recipe_batches, training_batches


@dataclass(frozen=True)
class Fit:
    """Result of ``fit``. ``history`` has a row for each finished epoch; ``best_epoch`` counts from 1, 0 if none."""

    status: str
    history: list[dict[str, float]]
    best_epoch: int


@dataclass(frozen=True)
class Data:
    """Images (n, height, width, channels), uint8, and labels (n,), integers, to train on and to validate with."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Hooks:
    """What is called while a run is trained.

    Attributes:
        report: called with each row of the history as it is finished.
        check: called after each epoch, before anything of it is written; what it raises ends the run.
        tensorboard: folder for TensorBoard logs, or None.
    """

    report: Callable[[dict[str, float]], None] = lambda row: None
    check: Callable[[], None] = lambda: None
    tensorboard: Path | None = None


def fit(model, training: Training, data: Data, seeds: Mapping[str, int], work: Path, hooks: Hooks) -> Fit:
    """Train ``model`` in place, leaving in it the weights of the selected epoch.

    Args:
        seeds: the run's streams; ``shuffling``, ``dropout`` and ``augmentation`` are used.
        work: folder of backups, from which a killed run is resumed; it holds only files of this very run.

    Returns:
        Status ``finished``, or ``diverged`` when a loss stopped being a number, history and best epoch.
    """
    backup = work / "backup"
    first_epoch = finished_epochs(backup)
    steps = math.ceil(images_per_epoch(training, len(data.train[0])) / training.batch_size)
    rate = rates(training, steps * training.epochs)
    journal = Journal(
        work, first_epoch, training.select, hooks.report, lambda epoch: rate_at(rate, (epoch + 1) * steps - 1)
    )
    callbacks: list[keras.callbacks.Callback] = [Check(hooks.check), journal, Randomness(seeds)]
    if BACKEND == "torch":
        callbacks.append(TorchRandomness(seeds["dropout"]))
    epochs = training.epochs
    if training.ema is not None:
        callbacks.append(AveragedWeights())
    if training.early_stopping:
        callbacks.append(StopEarly(journal, training.early_stopping))
        epochs = first_epoch if exhausted(journal.rows, training.early_stopping) else epochs
    if hooks.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(hooks.tensorboard, profile_batch=0))
    callbacks.append(Backup(backup, journal))
    compile_model(model, training, rate)
    if first_epoch:
        model.optimizer.build(model.trainable_variables)  # weights are kept together with its state
        model.load_weights(epoch_folder(backup, first_epoch) / LATEST_WEIGHTS)
    if first_epoch < epochs:  # not where a run was killed after its last epoch
        fit_epochs(model, training, data, seeds, range(first_epoch, epochs), callbacks)
    if journal.rows:
        model.load_weights(journal.weights)
    if isinstance(rate, Schedule):  # Keras alone can then load the file; it has no schedule that is constant
        inner(model).learning_rate = keras.optimizers.schedules.ExponentialDecay(training.learning_rate, 1, 1.0)
    return Fit("diverged" if journal.diverged else "finished", journal.rows, best_epoch(journal.rows, training.select))


def compile_model(model, training: Training, rate: float | Schedule) -> None:
    """Compile a model with the loss, the metrics and the optimizer of a recipe, at a learning rate or its schedule."""
    model.compile(
        optimizer(training, rate),
        loss="categorical_crossentropy" if training.has_soft_labels else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=training.jit_compile or BACKEND == "jax",  # without it JAX runs operation by operation
    )


def fit_epochs(model, training: Training, data: Data, seeds: Mapping[str, int], epochs: range, callbacks: list) -> None:
    """Keras' ``fit`` over ``epochs``, numbered from 0. Labels of validation images are never smoothed."""
    images, labels = data.train
    validation_images, validation_labels = data.validation
    classes = model.output_shape[-1]
    length = images_per_epoch(training, len(images))
    steps = math.ceil(length / training.batch_size)
    batches = training_batches(images, labels, training.batch_size, epochs, seeds["shuffling"], length)
    if training.has_soft_labels:
        validation_labels = np.eye(classes, dtype=np.int32)[validation_labels]
    model.fit(
        recipe_batches(batches, training, labels, classes, seeds["augmentation"], epochs.start * steps),
        steps_per_epoch=steps,
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        validation_data=batches_in_order(validation_images, validation_labels),
        callbacks=callbacks,
        shuffle=False,  # the dataset already is
        verbose=0,
    )
