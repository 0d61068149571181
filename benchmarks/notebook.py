"""A study's runs as a person would write them in a Keras notebook: what the suite's speed is held against.

One process, Keras ``fit`` on float32 NumPy arrays, one run after another, TensorFlow's own choice of threads. Needs
nothing of convlab: bench.py writes networks, recipe and splits of the study's runs into a folder.
"""

import json
import math
import sys
import time
from pathlib import Path

import keras
import numpy as np


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle (up and down to 0 in straight lines) or cosine, after a warm-up, over all steps of a run."""

    def __init__(self, recipe, steps):
        self.kind, self.peak = recipe["schedule"], recipe["learning_rate"]
        self.steps, self.warmup = steps, min(round(recipe["warmup"] * steps), steps - 1)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        progress = (step - self.warmup) / (self.steps - self.warmup)
        factor = {
            "one_cycle": lambda: 1 - progress,
            "cosine": lambda: (1 + keras.ops.cos(math.pi * progress)) / 2,
            "constant": lambda: keras.ops.ones_like(step),
        }[self.kind]()
        if self.warmup:
            factor = keras.ops.where(step < self.warmup, (step + 1) / self.warmup, factor)
        return self.peak * factor


def network(model, shape, classes):
    layers = keras.layers
    built = keras.Sequential([keras.Input(shape)])
    if model["family"] == "conv":
        for filters, size in zip(model["filters"], model["kernel_size"], strict=True):
            built.add(layers.Conv2D(filters, size, padding="same", activation="relu"))
            built.add(layers.MaxPooling2D())
    built.add(layers.Flatten())
    for units in model["hidden"]:
        built.add(layers.Dense(units, activation="relu"))
        if model["dropout"]:
            built.add(layers.Dropout(model["dropout"]))
    built.add(layers.Dense(classes, activation="softmax"))
    return built


def optimizer(recipe, steps):
    rate = recipe["learning_rate"]
    if recipe["schedule"] != "constant" or recipe["warmup"]:
        rate = Schedule(recipe, steps)
    if recipe["optimizer"] == "sgd":
        return keras.optimizers.SGD(rate, momentum=recipe["momentum"])
    return keras.optimizers.Adam(rate)


def main(folder, output):
    folder = Path(folder)
    study = json.loads((folder / "study.json").read_text())
    arrays, splits = np.load(folder / "data.npz"), np.load(folder / "splits.npz")
    x, y = arrays["x_train"].astype("float32") / 255, arrays["y_train"]
    x_test, y_test = arrays["x_test"].astype("float32") / 255, arrays["y_test"]
    results = []
    for run in study["runs"]:
        recipe, seed = run["recipe"], run["seed"]
        keras.utils.set_random_seed(seed)
        train, validation = splits[f"train-{run['split']}"], splits[f"validation-{run['split']}"]
        labels, loss = y, "sparse_categorical_crossentropy"
        if recipe["label_smoothing"]:
            labels = np.eye(study["classes"], dtype="float32")[y]
            loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe["label_smoothing"])
        begin = time.perf_counter()
        model = network(run["model"], x.shape[1:], study["classes"])
        steps = math.ceil(len(train) / recipe["batch_size"]) * recipe["epochs"]
        model.compile(optimizer(recipe, steps), loss, metrics=["accuracy"])
        callbacks = []
        if recipe["select"] == "best":  # never stops early: it keeps the weights of the best epoch
            stop = keras.callbacks.EarlyStopping("val_accuracy", patience=recipe["epochs"], restore_best_weights=True)
            callbacks.append(stop)
        model.fit(
            x[train], labels[train], batch_size=recipe["batch_size"], epochs=recipe["epochs"], verbose=2,
            validation_data=(x[validation], labels[validation]), callbacks=callbacks,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        accuracy = float((model.predict(x_test, batch_size=256, verbose=0).argmax(axis=1) == y_test).mean())
        results.append(
            {
                "variant": run["variant"], "seed": seed, "accuracy": accuracy, "seconds": seconds,
                "images": len(train) * recipe["epochs"], "parameters": model.count_params(),
            }
        )  # fmt: skip
    Path(output).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
