"""The corruption probe: accuracy on corrupted test images. Arrays in, rows and example images out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlab.probes.corruption.corruptions import KINDS, corrupted

COLUMNS = ["kind", "severity", "images", "accuracy"]
"""One row per kind and severity, and one for the images as they are: kind ``clean``, severity 0."""

CLEAN = "clean"

DRAW_SEED = 20260101
"""Seed of the draw, the same for every study."""


def drawn(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of ``count`` images in the classes' proportions, ascending; a smaller draw is part of a larger one.

    The images of each class are put in a fixed random order, in which the k-th of n stands at (k + 1/2) / n of the way;
    those that stand first are taken.

    Args:
        labels: (n,), of all test images.
    """
    random = np.random.Generator(np.random.PCG64(DRAW_SEED))
    way = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        way[random.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.lexsort((labels, way))[:count])


def inspect(
    networks: Sequence, images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Accuracy of every run for every kind and severity, and what they make of one image.

    Args:
        networks: ``evaluation.networks.Network`` of each run, of which ``seed`` and ``predict`` are used.
        images: uint8 (n, height, width, channels), all test images; labels: (n,).
        settings: ``kinds``, ``severities``, ``images`` (at most), ``fill``.

    Returns:
        Rows with seed, kind, severity, images (how many), accuracy. And by kind the first image that was drawn, uint8
        (severities, height, width, channels), as each severity has it; ``clean`` is that image alone.
    """
    taken = drawn(labels, settings["images"])
    images, labels = images[taken], labels[taken]
    rows, examples = [], {CLEAN: images[:1]}

    def add_rows(kind: str, severity: int, changed: np.ndarray) -> None:
        for network in networks:
            accuracy = float(np.mean(network.predict(changed).argmax(axis=1) == labels))
            row = {"seed": network.seed, "kind": kind, "severity": severity, "images": len(labels)}
            rows.append(row | {"accuracy": accuracy})

    add_rows(CLEAN, 0, images)
    for kind in settings["kinds"]:
        shown = []
        for severity in settings["severities"] if len(KINDS[kind].parameters) > 1 else [1]:
            changed = corrupted(images, kind, severity, settings["fill"])
            add_rows(kind, severity, changed)
            shown.append(changed[0])
        examples[kind] = np.stack(shown)
    return rows, examples
