"""Near duplicates: pairs of images that differ by little, found exactly. Arrays in, indices and distances out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convlab.datasets.prepared import Dataset, proportional_order

MAX_SHOWN_PAIRS = 8
"""Pairs in the figure and in summary.json: the closest ones, each test image once."""

TRAINING_SAMPLE_IMAGES = 2000
"""Training images of which near duplicates among the other training images are looked for."""

THUMBNAIL_CELLS = 7
"""Cells along each side of the thumbnails that the search compares first."""


@dataclass(frozen=True)
class Pair:
    """Indices of a test and a training image, and the RMS difference of their pixels in grey levels."""

    test: int
    train: int
    rms: float


@dataclass(frozen=True)
class Duplicates:
    """What the search found: pairs within the threshold, the test images in them, and the closest pairs of all.

    ``nearest`` has every test image with a near duplicate, by its index, with the closest training image.
    """

    exact_pairs: int
    exact_images: int
    near_pairs: int
    near_images: int
    disagreeing_pairs: int
    disagreeing: list[Pair]
    closest: list[Pair]
    nearest: list[Pair]


def find_near_duplicates(
    test: np.ndarray,
    train: np.ndarray,
    test_labels: np.ndarray,
    train_labels: np.ndarray,
    threshold: float,
    closest: int = MAX_SHOWN_PAIRS,
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
    within = [Pair(int(i), int(neighbour[i]), float(nearest[i])) for i in np.flatnonzero(np.isfinite(nearest))]

    wanted = min(closest, len(test))
    if len(within) < wanted:  # none or few within the threshold: show how far apart the closest are
        for i, j, rms in search.within(search.bound(wanted)):
            _keep_nearest(nearest, neighbour, i, j, rms)
    order = np.argsort(nearest, kind="stable")[:wanted]
    return Duplicates(
        exact_pairs=exact_pairs,
        exact_images=int(exact_images.sum()),
        near_pairs=near_pairs,
        near_images=len(within),
        disagreeing_pairs=disagreeing_pairs,
        disagreeing=disagreeing,
        closest=[Pair(int(i), int(neighbour[i]), float(nearest[i])) for i in order],
        nearest=within,
    )


def training_duplicates(
    images: np.ndarray, labels: np.ndarray, threshold: float, sample: int = TRAINING_SAMPLE_IMAGES
) -> dict[str, Any]:
    """How many of at most ``sample`` training images, of all classes alike, have a near duplicate among the others.

    Validation images are set aside from the training images, so that these are what a validation accuracy profits from.
    """
    chosen = np.sort(proportional_order(labels, np.random.default_rng(0))[:sample])
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


def validation_duplicates(data: Dataset, threshold: float) -> dict[str, Any]:
    """How many images of a given validation split have a near duplicate among the training images."""
    duplicates = find_near_duplicates(
        *(data.x_validation, data.x_train, data.y_validation, data.y_train), threshold, closest=0
    )
    return {
        "looked_at": len(data.x_validation),
        "near_images": duplicates.near_images,
        "exact_images": duplicates.exact_images,
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
