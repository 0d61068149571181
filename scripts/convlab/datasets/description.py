"""Description of a prepared dataset in numbers: intensities, extents, class means, counts, duplicates."""

from typing import Any

import numpy as np

from convlab.datasets.duplicate_threshold import Threshold
from convlab.datasets.near_duplicates import Duplicates, Pair
from convlab.datasets.prepared import Dataset


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


def class_counts(data: Dataset) -> dict[str, np.ndarray]:
    """Images of each class, int (classes,), by part: ``train``, ``validation`` where the data bring it, ``test``."""
    parts = {"train": data.y_train, "validation": data.y_validation, "test": data.y_test}
    return {
        part: np.bincount(labels, minlength=len(data.classes)) for part, labels in parts.items() if labels is not None
    }


def describe(
    data: Dataset,
    name: str,
    histogram: np.ndarray,
    extents: tuple[np.ndarray, np.ndarray],
    duplicates: Duplicates,
    threshold: Threshold,
) -> dict[str, Any]:
    """The contents of ``summary.json``, in JSON's types.

    Args:
        extents: heights and widths of the training images' content, in pixels.
    """
    counts = class_counts(data)
    present = counts["train"][counts["train"] > 0]
    mean, deviation = moments(histogram.sum(axis=0))
    channels = [moments(channel) for channel in histogram]
    height, width, depth = data.x_train.shape[1:]

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
            "median_height": float(np.median(extents[0])),
            "median_width": float(np.median(extents[1])),
        },
        "pixels": {
            "raw": {"mean": mean, "sd": deviation},
            "normalised": {"mean": mean / 255, "sd": deviation / 255},
            "channels": [{"mean": m, "sd": s} for m, s in channels],
            "minimum": int(np.flatnonzero(histogram.sum(axis=0))[0]),
            "maximum": int(np.flatnonzero(histogram.sum(axis=0))[-1]),
            "zero_share": float(histogram[:, 0].sum() / histogram.sum()),
        },
        "duplicates": describe_duplicates(data, duplicates, threshold),
    }


def describe_duplicates(data: Dataset, duplicates: Duplicates, threshold: Threshold) -> dict[str, Any]:
    """Result of the search for near duplicates, in JSON's types, with how far the threshold can be trusted."""

    def described(pairs: list[Pair]) -> list[dict[str, Any]]:
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
        "threshold_rms": threshold.rms,
        "copied_images": threshold.images,
        "recall": dict(threshold.recall),
        "rule": "a test image is a near duplicate of a training image when the root mean square difference of "
        f"their pixels is at most {threshold.rms:g} of 255 grey levels; an exact one differs in no pixel; recall is "
        "the share of planted copies of training images that are within it",
        "exact_test_images": duplicates.exact_images,
        "exact_pairs": duplicates.exact_pairs,
        "near_test_images": duplicates.near_images,
        "near_pairs": duplicates.near_pairs,
        "near_share_of_test": duplicates.near_images / len(data.x_test) if len(data.x_test) else None,
        "label_disagreeing_pairs": duplicates.disagreeing_pairs,
        "label_disagreeing": described(duplicates.disagreeing),
        "closest": described(duplicates.closest),
    }
