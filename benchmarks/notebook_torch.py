"""A study's runs as a plain PyTorch training loop on all cores, channels-last: what the suite's speed is held against.

One process, float32 tensors in memory, one run after another; batches are gathered by index, which is faster than a
``DataLoader``. Weights are drawn as Keras draws them, and Adam has Keras' epsilon. Needs PyTorch and NumPy, and nothing
of convlab: bench.py writes networks, recipe and splits of the study's runs into a folder.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def network(model, shape, classes):
    height, width, channels = shape
    layers = []
    if model["family"] == "conv":
        for filters, size in zip(model["filters"], model["kernel_size"], strict=True):
            layers += [nn.Conv2d(channels, filters, size, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
            height, width, channels = height // 2, width // 2, filters
    layers.append(nn.Flatten())
    inputs = height * width * channels
    for units in model["hidden"]:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        if model["dropout"]:
            layers.append(nn.Dropout(model["dropout"]))
        inputs = units
    layers.append(nn.Linear(inputs, classes))
    built = nn.Sequential(*layers)
    for layer in built:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)  # Keras' glorot_uniform
            nn.init.zeros_(layer.bias)
    return built.to(memory_format=torch.channels_last)


def optimizer(recipe, parameters):
    if recipe["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, recipe["learning_rate"], momentum=recipe["momentum"])
    return torch.optim.Adam(parameters, recipe["learning_rate"], eps=1e-7)


def factor_of(recipe, steps):
    """Factor of the learning rate by step: one cycle or cosine after a warm-up, or constant."""
    warmup = min(round(recipe["warmup"] * steps), steps - 1)

    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / (steps - warmup)
        if recipe["schedule"] == "one_cycle":
            return 1 - progress
        return (1 + math.cos(math.pi * progress)) / 2 if recipe["schedule"] == "cosine" else 1.0

    return factor


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = sum(
            (model(batch).argmax(1) == truth).sum().item()
            for batch, truth in zip(images.split(256), labels.split(256), strict=True)
        )
    model.train()
    return right / len(labels)


def fit(model, recipe, train, validation):
    """Train in place; leaves the weights of the best epoch by validation accuracy, or of the last."""
    images, labels = train
    size = recipe["batch_size"]
    steps = math.ceil(len(images) / size) * recipe["epochs"]
    updates = optimizer(recipe, model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(updates, factor_of(recipe, steps))
    loss = nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])
    best, weights = -1.0, {}
    for epoch in range(recipe["epochs"]):
        for indices in torch.randperm(len(images)).split(size):
            batch = images[indices].contiguous(memory_format=torch.channels_last)
            updates.zero_grad()
            loss(model(batch), labels[indices]).backward()
            updates.step()
            schedule.step()
        validated = accuracy(model, *validation)
        print(f"epoch {epoch + 1}: validation accuracy {validated:.4f}", flush=True)
        if validated > best and recipe["select"] == "best":
            best, weights = validated, {name: value.clone() for name, value in model.state_dict().items()}
    if weights:
        model.load_state_dict(weights)


def main(folder, output):
    folder = Path(folder)
    study = json.loads((folder / "study.json").read_text())
    arrays, splits = np.load(folder / "data.npz"), np.load(folder / "splits.npz")

    def images(name):
        numbers = torch.from_numpy(arrays[name].transpose(0, 3, 1, 2).astype("float32") / 255)
        return numbers.contiguous(memory_format=torch.channels_last)

    x, y = images("x_train"), torch.from_numpy(arrays["y_train"].astype("int64"))
    x_test, y_test = images("x_test"), torch.from_numpy(arrays["y_test"].astype("int64"))
    results = []
    for run in study["runs"]:
        recipe, seed = run["recipe"], run["seed"]
        torch.manual_seed(seed)
        train, validation = (torch.from_numpy(splits[f"{part}-{run['split']}"]) for part in ("train", "validation"))
        begin = time.perf_counter()
        model = network(run["model"], arrays["x_train"].shape[1:], study["classes"])
        fit(model, recipe, (x[train], y[train]), (x[validation], y[validation]))
        seconds = time.perf_counter() - begin
        results.append(
            {
                "variant": run["variant"], "seed": seed, "accuracy": accuracy(model, x_test, y_test),
                "seconds": seconds, "images": len(train) * recipe["epochs"],
                "parameters": sum(weights.numel() for weights in model.parameters()),
            }
        )  # fmt: skip
    Path(output).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
