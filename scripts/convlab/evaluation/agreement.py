"""Agreement of two copies of one trained model: exported files, or an endpoint and the run that it serves."""

from typing import Any

import numpy as np

from convlab.statistics.mcnemar import mcnemar


def parity(probabilities: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Differences between two sets of predictions for the same images.

    Args:
        probabilities, reference: float (n, classes).
        labels: (n,) true classes.

    Returns:
        largest_difference and mean_difference of probabilities (absolute), agreement (share of images given the same
        class), differing (positions of the others), and mcnemar_p, the exact test of whether one of the two is right
        more often, where they differ; else None.
    """
    distance = np.abs(np.asarray(probabilities, np.float64) - reference)
    ours, theirs = np.argmax(probabilities, axis=1), np.argmax(reference, axis=1)
    differing = np.flatnonzero(ours != theirs)
    return {
        "largest_difference": float(distance.max()),
        "mean_difference": float(distance.mean()),
        "agreement": float(np.mean(ours == theirs)),
        "differing": differing.tolist(),
        "mcnemar_p": mcnemar(ours == labels, theirs == labels) if len(differing) else None,
    }
