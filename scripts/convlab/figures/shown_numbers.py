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
