"""Numbers of figures that show images: which images, what was predicted, what is drawn. Arrays in, tables out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from convlab.results import columns


def predictions(
    chosen: np.ndarray,
    truth: np.ndarray,
    mean_probabilities: np.ndarray,
    right_runs: np.ndarray,
    classes: Sequence[str],
) -> pd.DataFrame:
    """One row for each image shown, with the class that the runs prefer.

    Args:
        chosen: positions of the images among the test images.
        truth, mean_probabilities, right_runs: of all test images: labels, probabilities (images, classes), and how
            many runs are right.
    """
    preferred = mean_probabilities.argmax(axis=1)
    values = (
        chosen,
        [classes[label] for label in truth[chosen]],
        [classes[label] for label in preferred[chosen]],
        mean_probabilities[chosen, preferred[chosen]],
        right_runs[chosen],
    )
    return pd.DataFrame(dict(zip(columns.PREDICTIONS_SHOWN, values, strict=True)))


def weights(kernels: np.ndarray) -> pd.DataFrame:
    """One row for each filter of ``kernels`` (height, width, channels, filters): its weights in four numbers."""
    flat = kernels.reshape(-1, kernels.shape[-1]).astype(np.float64)
    values = (np.arange(1, flat.shape[1] + 1), flat.mean(axis=0), flat.std(axis=0), flat.min(axis=0), flat.max(axis=0))
    return pd.DataFrame(dict(zip(columns.FILTERS_SHOWN, values, strict=True)))


def activations(maps: np.ndarray, images: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """One row for each image and filter of ``maps`` (images, height, width, filters).

    Args:
        images: positions of the images among the test images.
        labels: name of each image's class.
    """
    n, count = len(maps), maps.shape[-1]
    values = (
        np.repeat(images, count),
        np.repeat(labels, count),
        np.tile(np.arange(1, count + 1), n),
        maps.mean(axis=(1, 2)).ravel(),
        maps.max(axis=(1, 2)).ravel(),
    )
    return pd.DataFrame(dict(zip(columns.MAPS_SHOWN, values, strict=True)))
