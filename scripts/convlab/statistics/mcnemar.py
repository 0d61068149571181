"""McNemar's exact test of two classifiers on the same images. Apart from the study's statistics: exporting needs it."""

import numpy as np
from numpy.typing import ArrayLike


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Exact two-sided McNemar test: do these two *trained files* differ on these images?

    The images that exactly one of the two gets right are split evenly under the null hypothesis (McNemar 1947,
    Psychometrika 12, 153-157): a binomial test. For Keras against ONNX against an endpoint, not for architectures:
    across seeds its false-positive rate is about 30 %.

    Args:
        correct_a, correct_b: bool or 0/1, shape (images,), the same images in the same order.

    Returns:
        The p value; 1 if they are right and wrong on the same images.

    Raises:
        ValueError: the shapes differ or are not one-dimensional.
    """
    from scipy import stats  # takes a third of a second, and most processes need none of it

    a, b = np.asarray(correct_a).astype(bool), np.asarray(correct_b).astype(bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"correct_a and correct_b must share the shape (images,), not {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)
