"""The default study's runs as a person would write them in a notebook: what the suite's speed is held against.

One process, Keras `fit` on float32 NumPy arrays, one run after another, TensorFlow's own choice of threads.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

KERNELS, SEEDS, EPOCHS, BATCH_SIZE = (3, 5, 7), (1, 2, 3), 5, 128


def dense():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(kernel_size):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, kernel_size, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main(data: str, output: str) -> None:
    arrays = np.load(data, allow_pickle=False)
    x, y = arrays["x_train"].astype("float32") / 255, arrays["y_train"]
    x_test, y_test = arrays["x_test"].astype("float32") / 255, arrays["y_test"]
    models = {"dense": dense} | {f"cnn {k}x{k}": lambda k=k: cnn(k) for k in KERNELS}
    results = []
    for name, build in models.items():
        for seed in SEEDS:
            keras.utils.set_random_seed(seed)
            order = np.random.default_rng(seed).permutation(len(x))
            train, validation = order[6000:], order[:6000]
            model = build()
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            begin = time.perf_counter()
            model.fit(
                x[train], y[train], batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=2,
                validation_data=(x[validation], y[validation]),
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            _, accuracy = model.evaluate(x_test, y_test, verbose=0)
            results.append(
                {"variant": name, "seed": seed, "accuracy": accuracy, "seconds": seconds, "images": len(train) * EPOCHS}
            )
    Path(output).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
