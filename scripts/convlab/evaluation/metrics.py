"""Classification metrics: accuracy, log-likelihood, calibration error, confusion matrix, confident mistakes.

In NumPy alone: importing scikit-learn for the confusion matrix would take a third of an evaluation's time. The tests
compare these measures with scikit-learn's.
"""

from typing import Any

import numpy as np

CALIBRATION_BINS = 15
"""Bins of equal mass for the calibration error (Nixon et al., 2019)."""

SMALLEST_PROBABILITY = 1e-7
"""Floor under a probability before its logarithm, as in Keras' cross-entropy."""


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """All measures of one run on one set of images.

    Args:
        probabilities: float (n, classes), rows summing to 1.
        labels: (n,) integers.

    Returns:
        accuracy, loss (mean negative log-likelihood, nats), brier (sum over classes of squared errors, 0 to 2: Brier
        1950), ece, auroc, confusion_matrix (rows: true class, columns: predicted), and per_class precision, recall, f1
        and support as lists over the classes. A ratio without a denominator is NaN, not 0: precision of a class that is
        never predicted, recall and F1 of a class without images, and every mean over no images.
    """
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(classes))
    right, support, claimed = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    likelihood = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": mean(predicted == labels),
        "loss": -mean(np.log(np.maximum(likelihood, SMALLEST_PROBABILITY))),
        "brier": mean(np.sum((probabilities - np.eye(len(classes))[labels]) ** 2, axis=1)),
        "ece": expected_calibration_error(probabilities, labels),
        "auroc": auroc(probabilities, labels),
        "confusion_matrix": matrix,
        "per_class": {
            "precision": ratio(right, claimed),
            "recall": ratio(right, support),
            "f1": np.where(support > 0, ratio(2 * right, claimed + support), np.nan),
            "support": support,
        },
    }


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient as float; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator != 0)


def mean(values: np.ndarray) -> float:
    """Mean as a float; NaN, without NumPy's warning, where there are no values."""
    return float(np.mean(values)) if len(values) else float("nan")


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): rows are true classes, columns predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """Rows (mean confidence, accuracy, count) of ``bins`` groups of equally many images, by rising confidence."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return np.array([(confidence[group].mean(), correct[group].mean(), len(group)) for group in groups]).reshape(-1, 3)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Mean over equal-mass bins of |accuracy - mean confidence|, weighted by their size (Guo et al. 2017).

    NaN for no images.
    """
    confidence, accuracy, count = reliability(probabilities, labels, bins).T
    return float(ratio(np.sum(count * np.abs(accuracy - confidence)), np.sum(count)))


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve, a fraction: macro mean of one-vs-rest over the classes; of two classes that of the
    second.

    By ranks (Hanley and McNeil, 1982, Radiology 143, 29-36): the probability that an image of the class gets a higher
    score than one of the rest; equal scores count one half. The same as scikit-learn's ``roc_auc_score`` with
    ``multi_class="ovr"``, ``average="macro"``.

    Args:
        probabilities: float (n, classes).
        labels: (n,) integers.

    Returns:
        NaN where a class has no image or is the only one, and where a probability is not finite.
    """
    classes = probabilities.shape[1]
    support = np.bincount(labels, minlength=classes)
    if classes < 2 or support.min() == 0 or not np.isfinite(probabilities).all():
        return float("nan")
    areas = []
    for index in [1] if classes == 2 else range(classes):
        _, inverse, counts = np.unique(probabilities[:, index], return_inverse=True, return_counts=True)
        mean_ranks = np.cumsum(counts) - (counts - 1) / 2
        positive, rank_sum = int(support[index]), mean_ranks[inverse[labels == index]].sum()
        areas.append((rank_sum - positive * (positive + 1) / 2) / (positive * (len(labels) - positive)))
    return float(np.mean(areas))


def confident_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` images that every run gets wrong, the surest mistakes first.

    Args:
        probabilities: (runs, n, classes).

    The rule: wrong in all runs; by falling mean probability of the class that the runs' mean prefers; equals by index.
    """
    wrong = np.all(probabilities.argmax(axis=2) != labels, axis=0)
    confidence = probabilities.mean(axis=0).max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    return order[wrong[order]][:count]


def disputed(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` images on which the runs agree least: right for some seeds, wrong for others.

    Args:
        probabilities: (runs, n, classes).

    The rule: by the distance of the share of right runs from one half; of equals, the image whose mean probability for
    the true class is nearest one half; then by index.
    """
    share = np.mean(probabilities.argmax(axis=2) == labels, axis=0)
    truth = probabilities.mean(axis=0)[np.arange(len(labels)), labels]
    order = np.lexsort((np.abs(truth - 0.5), np.abs(share - 0.5)))
    mixed = (share > 0) & (share < 1)
    return order[mixed[order]][:count]
