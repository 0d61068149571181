"""Look at a prepared data set before anything is trained on it: ``summary.json`` and figures, each as SVG and PNG.

Everything is computed from the training images, but for the counts, the sizes and the search for images that are in
both parts: a test image that the training data hold too flatters every model.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlab.common import i18n
from convlab.common.cli import run
from convlab.common.files import read_json, write_json, write_text
from convlab.common.i18n import gettext as _
from convlab.common.outputs import files_below, job_results
from convlab.common.table_files import csv_text
from convlab.datasets.prepared import Dataset, load, stratified_order
from convlab.figures import dataset as draw
from convlab.figures.labels import shortened, tell_boxes
from convlab.figures.sprites import Group, write_sprite
from convlab.figures.style import save, use_style

log = logging.getLogger("explore")

NEAR_DUPLICATE_RMS = 10.0
"""Root mean square difference over all pixels and channels, in grey levels of 255, up to which a test image counts as a
near duplicate of a training image. Looked at in Fashion-MNIST: nearly all pairs below it show one photograph or one
garment twice (of a few trousers one cannot tell); from about 15 on ordinary look-alikes come in, trousers first, and up
to 20 there are pairs whose labels disagree."""

PAIRS_SHOWN = 8
"""Pairs in the figure and in summary.json: the closest ones, each test image once."""

TRAINING_SAMPLE = 2000
"""Training images of which near duplicates among the other training images are looked for."""

THUMBNAIL_CELLS = 7
"""Cells along each side of the thumbnails that the search compares first."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, type=Path, help="folder with data.npz and manifest.json")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for summary.json and the figures")
    parser.add_argument("--language", default=i18n.SOURCE, choices=i18n.LANGUAGES, help="of the figures' words")
    arguments = parser.parse_args(argv)
    output = arguments.output_dir
    with job_results(output / "summary.json", lambda: files_below(output)):
        explore(arguments)


def explore(arguments: argparse.Namespace) -> None:
    """Look at the data, and write figures, their numbers and the summary."""
    i18n.use(arguments.language)

    data = load(arguments.data_dir)
    manifest = read_json(arguments.data_dir / "manifest.json")
    histogram = intensity_histogram(data.x_train)
    heights, widths = content_extents(data.x_train)
    duplicates = find_near_duplicates(data.x_test, data.x_train, data.y_test, data.y_train)
    summary = summarise(data, manifest["dataset"], histogram, heights, widths, duplicates)
    summary["training_duplicates"] = training_duplicates(data.x_train, data.y_train)

    use_style()
    tell_boxes(log, data.classes)
    counts = [np.bincount(labels, minlength=len(data.classes)) for labels in (data.y_train, data.y_test)]
    images = len(data.x_train) + len(data.x_test)
    closest = [(data.x_test[pair.test], data.x_train[pair.train]) for pair in duplicates.closest]
    figures = {
        "class_distribution": draw.class_distribution(data.classes, *counts),
        "samples": draw.samples(data.x_train, data.y_train, data.classes),
        "dimensions": draw.dimensions(data.x_train[0], images, heights, widths),
        "intensities": draw.intensities(histogram),
        "mean_images": draw.mean_images(class_means(data), data.classes),
        "near_duplicates": draw.near_duplicates(closest, pair_titles(data, duplicates), NEAR_DUPLICATE_RMS),
    }
    strips = {
        "samples": sample_groups(data),
        "mean_images": mean_groups(data),
        "near_duplicates": pair_groups(data, duplicates),
    }
    summary["tiles"] = {
        name: write_sprite(groups, arguments.output_dir / f"{name}.tiles.png") for name, groups in strips.items()
    }
    numbers = {
        "class_distribution": {"class": data.classes, "train": counts[0], "test": counts[1]},
        "dimensions": {
            "pixels": np.arange(max(data.x_train.shape[1:3]) + 1),
            "height": np.bincount(heights, minlength=max(data.x_train.shape[1:3]) + 1),
            "width": np.bincount(widths, minlength=max(data.x_train.shape[1:3]) + 1),
        },
        "intensities": {"value": np.arange(256)} | {f"channel {i + 1}": row for i, row in enumerate(histogram)},
    }
    for name, columns in numbers.items():
        write_text(arguments.output_dir / f"{name}.csv", csv_text(pd.DataFrame(columns)))
    for name, figure in figures.items():
        save(figure, arguments.output_dir / name)
    write_json(arguments.output_dir / "summary.json", summary)
    log.info(
        "%s: %d figures; %d of %d test images have a near duplicate in the training data",
        manifest["dataset"],
        len(figures),
        duplicates.near_images,
        len(data.x_test),
    )


def intensity_histogram(images: np.ndarray) -> np.ndarray:
    """Counts of the values 0 to 255 for each channel: (channels, 256) from uint8 images NHWC."""
    channels = images.shape[-1]
    histogram = np.zeros((channels, 256), np.int64)
    step = max(1, 2**22 // images[0].size)  # bincount makes 8 bytes of every pixel
    for channel in range(channels):
        for start in range(0, len(images), step):
            histogram[channel] += np.bincount(images[start : start + step, ..., channel].ravel(), minlength=256)
    return histogram


def moments(histogram: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the intensities behind a histogram of 256 values."""
    values = np.arange(256)
    total = max(int(histogram.sum()), 1)
    mean = float((histogram * values).sum() / total)
    return mean, float(np.sqrt((histogram * (values - mean) ** 2).sum() / total))


def content_extents(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and width in pixels of what differs from the image's background, for each image.

    The background is the top left pixel; an image of one colour has extent 0.
    """
    heights, widths = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
    step = max(1, 2**24 // images[0].size)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        content = (part != part[:, :1, :1]).any(axis=3)
        for extents, axis in ((heights, 2), (widths, 1)):
            occupied = content.any(axis=axis)
            first, last = occupied.argmax(axis=1), occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
            extents[start : start + step] = np.where(occupied.any(axis=1), last - first, 0)
    return heights, widths


def class_means(data: Dataset) -> np.ndarray:
    """Mean training image of each class: (classes, height, width, channels), 0 to 255; zeros for an empty class."""
    means = np.zeros((len(data.classes), *data.x_train.shape[1:]))
    for label in np.unique(data.y_train):
        means[label] = data.x_train[data.y_train == label].mean(axis=0, dtype=np.float32)
    return means


# ---------------------------------------------------------------------------------------------------------------------
# Near duplicates


@dataclass(frozen=True)
class Pair:
    """Indices of a test and a training image, and the RMS difference of their pixels in grey levels."""

    test: int
    train: int
    rms: float


@dataclass(frozen=True)
class Duplicates:
    """What the search found: pairs within the threshold, the test images in them, and the closest pairs of all."""

    exact_pairs: int
    exact_images: int
    near_pairs: int
    near_images: int
    disagreeing_pairs: int
    disagreeing: list[Pair]
    closest: list[Pair]


def find_near_duplicates(
    test: np.ndarray,
    train: np.ndarray,
    test_labels: np.ndarray,
    train_labels: np.ndarray,
    threshold: float = NEAR_DUPLICATE_RMS,
    closest: int = PAIRS_SHOWN,
) -> Duplicates:
    """All pairs of a test and a training image that differ by at most ``threshold`` (RMS, grey levels): exact.

    ``closest`` pairs are given whether they are within the threshold or not, each test image once.
    """
    search = _Search(test, train)
    exact_pairs = near_pairs = disagreeing_pairs = 0
    exact_images = np.zeros(len(test), bool)
    nearest = np.full(len(test), np.inf)
    neighbour = np.zeros(len(test), np.int64)
    disagreeing: list[Pair] = []
    for i, j, rms in search.within(threshold):
        near_pairs += len(i)
        exact_pairs += int((rms == 0).sum())
        exact_images[i[rms == 0]] = True
        differ = np.flatnonzero(test_labels[i] != train_labels[j])
        disagreeing_pairs += len(differ)
        disagreeing += [Pair(int(i[k]), int(j[k]), float(rms[k])) for k in differ]
        disagreeing = sorted(disagreeing, key=_closeness)[:closest]
        _keep_nearest(nearest, neighbour, i, j, rms)
    near_images = int(np.isfinite(nearest).sum())

    wanted = min(closest, len(test))
    if near_images < wanted:  # none or few within the threshold: show how far apart the closest are
        for i, j, rms in search.within(search.bound(wanted)):
            _keep_nearest(nearest, neighbour, i, j, rms)
    order = np.argsort(nearest, kind="stable")[:wanted]
    return Duplicates(
        exact_pairs=exact_pairs,
        exact_images=int(exact_images.sum()),
        near_pairs=near_pairs,
        near_images=near_images,
        disagreeing_pairs=disagreeing_pairs,
        disagreeing=disagreeing,
        closest=[Pair(int(i), int(neighbour[i]), float(nearest[i])) for i in order],
    )


def training_duplicates(
    images: np.ndarray, labels: np.ndarray, sample: int = TRAINING_SAMPLE, threshold: float = NEAR_DUPLICATE_RMS
) -> dict[str, Any]:
    """How many of at most ``sample`` training images, of all classes alike, have a near duplicate among the others.

    Validation images are set aside from the training images, so that these are what a validation accuracy profits from.
    """
    chosen = np.sort(stratified_order(labels, np.random.default_rng(0))[:sample])
    near, exact, disagreeing = (np.zeros(len(chosen), bool) for _ in range(3))
    for i, j, rms in _Search(images[chosen], images).within(threshold):
        other = chosen[i] != j
        i, j, rms = i[other], j[other], rms[other]
        near[i] = True
        exact[i[rms == 0]] = True
        disagreeing[i[labels[chosen[i]] != labels[j]]] = True
    return {
        "looked_at": len(chosen),
        "near_images": int(near.sum()),
        "exact_images": int(exact.sum()),
        "label_disagreeing_images": int(disagreeing.sum()),
        "threshold_rms": threshold,
    }


class _Search:
    """Exact search for close pairs by a lower bound.

    Cut both images into the same cells. By Jensen's inequality a cell of n pixels contributes at least n times the
    square of the difference of the two cell means to the squared distance, so thumbnails of cell sums divided by √n are
    never farther apart than the images. A projection of the thumbnails on one direction is in turn a lower bound on
    *their* distance: sorted along the direction in which the training images vary most, a test image needs to be
    compared with a window of training images only. What passes both is measured in full, in integers.
    """

    CHUNK = 256  # test images at once: a window of 60,000 training images then takes 61 MB

    def __init__(self, test: np.ndarray, train: np.ndarray) -> None:
        self.test, self.train = test, train
        self.pixels = int(np.prod(test.shape[1:]))
        a, b = thumbnails(test), thumbnails(train)
        centre = b.mean(axis=0)  # smaller numbers, smaller rounding errors in the products below
        a, b = a - centre, b - centre
        _, directions = np.linalg.eigh(b.T @ b)
        direction = directions[:, -1]
        self.test_order, self.train_order = np.argsort(a @ direction), np.argsort(b @ direction)
        a, b = a[self.test_order], b[self.train_order]
        self.test_position, self.train_position = a @ direction, b @ direction
        # |a - b|² as one product: [-2a, 1, |a|²] · [b, |b|², 1]
        square = [(x * x).sum(axis=1, keepdims=True) for x in (a, b)]
        self.left = np.hstack([-2 * a, np.ones_like(square[0]), square[0]])
        self.right = np.hstack([b, square[1], np.ones_like(square[1])])
        # Float32 sums of some 50 to 200 terms are off by far less than this share of the largest term.
        self.slack = 1e-5 * float(max(square[0].max(), square[1].max(), 1.0))

    def within(self, rms: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """All pairs up to ``rms`` apart, in portions: test indices, training indices, RMS differences."""
        limit = rms**2 * self.pixels + self.slack
        for start, low, squared in self._chunks(np.sqrt(limit)):
            row, column = np.nonzero(squared <= limit)
            step = max(1, 2**24 // self.pixels)
            for part in range(0, len(row), step):
                i = self.test_order[start + row[part : part + step]]
                j = self.train_order[low + column[part : part + step]]
                exact = self.distance(i, j)
                close = exact <= rms
                yield i[close], j[close], exact[close]

    def bound(self, count: int) -> float:
        """An RMS difference within which at least ``count`` test images have a training image."""
        candidates = np.zeros(len(self.test), np.int64)
        for start, low, squared in self._chunks(np.inf):
            rows = slice(start, start + len(squared))
            candidates[self.test_order[rows]] = self.train_order[low + squared.argmin(axis=1)]
        step = max(1, 2**24 // self.pixels)
        every = np.arange(len(self.test))
        parts = [self.distance(every[i : i + step], candidates[i : i + step]) for i in range(0, len(every), step)]
        return float(np.partition(np.concatenate(parts), count - 1)[count - 1])

    def distance(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """RMS differences of test images ``i`` and training images ``j`` over all their values."""
        difference = self.test[i].reshape(len(i), -1).astype(np.int32) - self.train[j].reshape(len(j), -1)
        return np.sqrt(np.einsum("ij,ij->i", difference, difference, dtype=np.int64) / self.pixels)

    def _chunks(self, radius: float) -> Iterator[tuple[int, int, np.ndarray]]:
        """Squared thumbnail distances of a chunk of test images to its window: first row, first column, distances."""
        for start in range(0, len(self.left), self.CHUNK):
            rows = slice(start, start + self.CHUNK)
            position = self.test_position[rows]
            margin = radius * (1 + 1e-4) + 1e-2
            low = int(np.searchsorted(self.train_position, position[0] - margin))
            high = int(np.searchsorted(self.train_position, position[-1] + margin, side="right"))
            if high > low:
                yield start, low, self.left[rows] @ self.right[low:high].T


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Cell sums divided by √(pixels in the cell), flattened: float32 (n, cells × channels).

    Distances between thumbnails are never larger than between the images.
    """
    _, height, width, _ = images.shape
    tops = np.unique(np.linspace(0, height, min(THUMBNAIL_CELLS, height), endpoint=False).astype(int))
    lefts = np.unique(np.linspace(0, width, min(THUMBNAIL_CELLS, width), endpoint=False).astype(int))
    pixels = np.outer(np.diff([*tops, height]), np.diff([*lefts, width]))[..., np.newaxis]
    parts = []
    step = max(1, 2**24 // images[0].size)
    for start in range(0, len(images), step):
        rows = np.add.reduceat(images[start : start + step], tops, axis=1, dtype=np.float32)
        parts.append(np.add.reduceat(rows, lefts, axis=2) / np.sqrt(pixels, dtype=np.float32))
    return np.concatenate(parts).reshape(len(images), -1)


def _keep_nearest(nearest: np.ndarray, neighbour: np.ndarray, i: np.ndarray, j: np.ndarray, rms: np.ndarray) -> None:
    """Note the closest training image of each test image so far; of equals the one that comes first."""
    order = np.lexsort((j, rms))
    tests, first = np.unique(i[order], return_index=True)
    trains, distances = j[order][first], rms[order][first]
    better = (distances < nearest[tests]) | ((distances == nearest[tests]) & (trains < neighbour[tests]))
    nearest[tests[better]], neighbour[tests[better]] = distances[better], trains[better]


def _closeness(pair: Pair) -> tuple[float, int, int]:
    return pair.rms, pair.test, pair.train


# ---------------------------------------------------------------------------------------------------------------------
# Words


def pair_titles(data: Dataset, duplicates: Duplicates) -> list[tuple[str, str, bool]]:
    """For each closest pair the figure's two lines, and whether the labels disagree."""
    titles = []
    for pair in duplicates.closest:
        test, train = data.classes[data.y_test[pair.test]], data.classes[data.y_train[pair.train]]
        names = test if test == train else f"{shortened(test, 16)} / {shortened(train, 16)}"
        first = f"{shortened(names, 36)}: RMS {i18n.number(pair.rms, '.1f')}"
        places = {"test": i18n.number(pair.test, ","), "training": i18n.number(pair.train, ",")}
        titles.append((first, _("test {test}, training {training}", **places), test != train))
    return titles


def sample_groups(data: Dataset) -> list[Group]:
    """The first training images of every class, as many as the figure shows."""
    _, per_class = draw.sample_layout(len(data.classes))
    found = [np.flatnonzero(data.y_train == label)[:per_class] for label in range(len(data.classes))]
    return [Group(data.x_train[chosen], name) for chosen, name in zip(found, data.classes, strict=True) if len(chosen)]


def mean_groups(data: Dataset) -> list[Group]:
    """The mean training image of every class."""
    means = np.rint(class_means(data)).astype(np.uint8)
    return [Group(image[np.newaxis], name) for image, name in zip(means, data.classes, strict=True)]


def pair_groups(data: Dataset, duplicates: Duplicates) -> list[Group]:
    """The closest pairs: test image, training image, their difference."""
    groups = []
    for pair, (first, second, disagree) in zip(duplicates.closest, pair_titles(data, duplicates), strict=True):
        images = draw.pair_images(data.x_test[pair.test], data.x_train[pair.train])
        groups.append(Group(images, first, (second,), "wrong" if disagree else ""))
    return groups


def summarise(
    data: Dataset,
    name: str,
    histogram: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    duplicates: Duplicates,
) -> dict[str, Any]:
    """The numbers behind the figures, in JSON's types."""
    counts = {
        part: np.bincount(labels, minlength=len(data.classes))
        for part, labels in (("train", data.y_train), ("test", data.y_test))
    }
    present = counts["train"][counts["train"] > 0]
    mean, deviation = moments(histogram.sum(axis=0))
    channels = [moments(channel) for channel in histogram]
    height, width, depth = data.x_train.shape[1:]

    def listed(pairs: list[Pair]) -> list[dict[str, Any]]:
        return [
            {
                "test_index": pair.test,
                "train_index": pair.train,
                "test_label": data.classes[data.y_test[pair.test]],
                "train_label": data.classes[data.y_train[pair.train]],
                "rms": round(pair.rms, 4),
            }
            for pair in pairs
        ]

    return {
        "dataset": name,
        "classes": data.classes,
        "images": {part: int(values.sum()) for part, values in counts.items()},
        "counts": {part: dict(zip(data.classes, values, strict=True)) for part, values in counts.items()},
        "imbalance_ratio": float(present.max() / present.min()) if len(present) else None,
        "empty_classes": [data.classes[i] for i in np.flatnonzero(counts["train"] == 0)],
        "image": {"height": height, "width": width, "channels": depth, "values": height * width * depth},
        "content": {
            "rule": "extent of the pixels that differ from the image's top left pixel, training images",
            "median_height": float(np.median(heights)),
            "median_width": float(np.median(widths)),
        },
        "pixels": {
            "raw": {"mean": mean, "sd": deviation},
            "normalised": {"mean": mean / 255, "sd": deviation / 255},
            "channels": [{"mean": m, "sd": s} for m, s in channels],
            "minimum": int(np.flatnonzero(histogram.sum(axis=0))[0]),
            "maximum": int(np.flatnonzero(histogram.sum(axis=0))[-1]),
            "zero_share": float(histogram[:, 0].sum() / histogram.sum()),
        },
        "duplicates": {
            "threshold_rms": NEAR_DUPLICATE_RMS,
            "rule": "a test image is a near duplicate of a training image when the root mean square difference of "
            f"their pixels is at most {NEAR_DUPLICATE_RMS:g} of 255 grey levels; an exact one differs in no pixel; "
            "a copy that was moved, recoloured or encoded again can lie above that",
            "exact_test_images": duplicates.exact_images,
            "exact_pairs": duplicates.exact_pairs,
            "near_test_images": duplicates.near_images,
            "near_pairs": duplicates.near_pairs,
            "near_share_of_test": duplicates.near_images / len(data.x_test) if len(data.x_test) else None,
            "label_disagreeing_pairs": duplicates.disagreeing_pairs,
            "label_disagreeing": listed(duplicates.disagreeing),
            "closest": listed(duplicates.closest),
        },
    }


if __name__ == "__main__":
    run(main)
