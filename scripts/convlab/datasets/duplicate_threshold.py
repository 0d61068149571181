"""Threshold of near duplicates, calibrated on a dataset's own images: planted copies against distinct look-alikes.

Copies of a sample of the training images are planted: shifted by a pixel, compressed again as JPEG, brightened. Pairs
that are taken as distinct are an image and its second nearest training image, since the nearest may be its copy; that
the nearest distinct image is nearer still is corrected by the median ratio of both distances. The threshold lies where
one in ``DISTINCT_PAIRS`` distinct pairs is within it, but not above the distance within which nearly all compressed and
brightened copies lie, nor below that of half of the compressed ones: where copies stand in groups of three or more,
such as frames of a video, the second nearest image is a copy too.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from convlab.datasets.prepared import proportional_order

UNCALIBRATED_RMS = 10.0
"""Threshold for datasets of too few images to calibrate on, in grey levels of 255: of Fashion-MNIST nearly all pairs
below it show one photograph or one garment twice."""

MAX_SAMPLE_IMAGES = 400
"""Training images that are copied, and whose neighbours are looked for."""

MIN_SAMPLE_IMAGES = 30
"""With fewer the threshold is ``UNCALIBRATED_RMS``."""

MAX_MULTIPLICATIONS = 6e10
"""Multiplications in the search for neighbours, a second or two of one core; large images are sampled less."""

DISTINCT_PAIRS = 400
"""One in so many pairs of distinct images lies within the threshold."""

NEARLY_ALL = 0.99

JPEG_QUALITY = 50

BRIGHTENING = 1.1

_CHUNK_BYTES = 2**26


@dataclass(frozen=True)
class Threshold:
    """A calibrated threshold.

    Attributes:
        rms: root mean square difference in grey levels of 255 up to which two images are near duplicates.
        images: how many images were copied; 0 where they are too few to calibrate on.
        recall: share of the planted copies within the threshold, by kind of copy; empty where none was planted.
    """

    rms: float
    images: int = 0
    recall: Mapping[str, float] = field(default_factory=dict)


def shifted(image: np.ndarray) -> np.ndarray:
    """The image moved by a pixel to the right; its first column is there twice."""
    return np.concatenate([image[:, :1], image[:, :-1]], axis=1)


def recompressed(image: np.ndarray) -> np.ndarray:
    """The image after compression as JPEG."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file)).reshape(image.shape)


def brightened(image: np.ndarray) -> np.ndarray:
    """The image a tenth brighter."""
    return np.minimum(np.rint(image * BRIGHTENING), 255).astype(np.uint8)


COPIES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "shifted": shifted,
    "recompressed": recompressed,
    "brightened": brightened,
}
"""How copies are planted; texts on each are in ``findings``."""


def calibrated_threshold(images: np.ndarray, labels: np.ndarray) -> Threshold:
    """The threshold for a dataset, from its training images, uint8 NHWC, of which the sample has every class alike."""
    affordable = int(MAX_MULTIPLICATIONS / max(images.size, 1))
    size = min(len(images), MAX_SAMPLE_IMAGES, max(affordable, MIN_SAMPLE_IMAGES))
    if size < MIN_SAMPLE_IMAGES:
        return Threshold(UNCALIBRATED_RMS)
    chosen = np.sort(proportional_order(labels, np.random.default_rng(0))[:size])
    sample = images[chosen]
    distances = {kind: _rms(sample, np.stack([copy(image) for image in sample])) for kind, copy in COPIES.items()}
    first, second = nearest_two(images, chosen)
    apart = second > 0
    ratio = np.median(first[apart] / second[apart]) if apart.any() else 1.0
    distinct = ratio * np.quantile(second, 1 / DISTINCT_PAIRS, method="lower")
    low = np.median(distances["recompressed"])
    high = np.quantile(np.concatenate([distances["recompressed"], distances["brightened"]]), NEARLY_ALL)
    rms = max(np.floor(10 * np.clip(distinct, low, high)) / 10, 1.0)
    return Threshold(float(rms), size, {kind: float(np.mean(rmss <= rms)) for kind, rmss in distances.items()})


def nearest_two(images: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RMS distances of each chosen image, by its index, to the nearest and the second nearest other image: (n,) each.

    Candidates are found by products of float32 numbers; their distances are computed from the bytes.
    """
    queries = images[chosen].reshape(len(chosen), -1).astype(np.float32)
    rows = np.arange(len(chosen))
    values, indices = [], []
    step = max(1, _CHUNK_BYTES // (4 * max(queries.shape)))  # rows of images, and of distances
    for start in range(0, len(images), step):
        part = images[start : start + step].reshape(-1, queries.shape[1]).astype(np.float32)
        squared = queries @ (-2 * part.T)
        squared += (part * part).sum(axis=1)  # but for a constant of each query
        inside = np.flatnonzero((chosen >= start) & (chosen < start + len(part)))
        squared[inside, chosen[inside] - start] = np.inf  # no image is its own neighbour
        for _ in range(2):
            best = squared.argmin(axis=1)
            values.append(squared[rows, best])
            indices.append(start + best)
            squared[rows, best] = np.inf
    best = np.argsort(values, axis=0, kind="stable")[:2]
    which = np.take_along_axis(np.array(indices), best, axis=0)
    pair = [_rms(images[chosen], images[which[rank]]) for rank in (0, 1)]
    return np.minimum(*pair), np.maximum(*pair)


def _rms(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean square difference of each two images, float (n,)."""
    step = max(1, 2**24 // first[0].size)
    parts = [
        ((first[i : i + step].astype(np.int32) - second[i : i + step]) ** 2).mean(axis=(1, 2, 3))
        for i in range(0, len(first), step)
    ]
    return np.sqrt(np.concatenate(parts))
