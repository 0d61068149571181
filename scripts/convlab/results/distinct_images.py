"""Accuracy on the test images that have no near duplicate among the training images. Exploratory: nothing is tested."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convlab.results.robustness import without_near_duplicates
from convlab.study.metrics import ACCURACY


def with_distinct_images(
    variants: pd.DataFrame,
    runs: pd.DataFrame,
    correct: Mapping[tuple[str, str, int], NDArray],
    near_duplicates: Mapping[str, NDArray],
) -> pd.DataFrame:
    """The table of variants with the number of distinct test images and the mean accuracy on them.

    Both are missing where no test image has a near duplicate, or all have one, and for variants without answers.

    Args:
        runs: the table of runs.
        correct: correctness of each test image (images,), by dataset, variant and seed.
        near_duplicates: by dataset, indices of the test images that have a near duplicate in the training images.
    """
    distinct = without_near_duplicates(runs, correct, near_duplicates)
    means = distinct.groupby(["dataset", "variant"])[ACCURACY.column].mean()
    images = {dataset: len(answers) for (dataset, _, _), answers in correct.items()}
    keys = list(zip(variants["dataset"], variants["variant"], strict=True))
    accuracies = [float(means.get(key, np.nan)) for key in keys]
    left = [
        images[dataset] - len(near_duplicates[dataset]) if np.isfinite(accuracy) else None
        for (dataset, _), accuracy in zip(keys, accuracies, strict=True)
    ]
    return variants.assign(
        distinct_test_images=pd.array(left, dtype="Int64"), test_accuracy_distinct_mean=np.array(accuracies, float)
    )
