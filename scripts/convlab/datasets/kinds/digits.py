"""scikit-learn's digits: real images without a download."""

import logging

import numpy as np

from convlab.datasets.prepared import Dataset
from convlab.datasets.reading import Reading
from convlab.datasets.specs import Digits

log = logging.getLogger(__name__)


def read_digits(name: str, spec: Digits, threads: int = 1) -> Reading:
    """scikit-learn's digits: 1,797 images, 8×8×1.

    Intensities 0 to 16 become round(value × 255 / 16). Every fifth image of each class, in order of appearance, is a
    test image: a fixed rule that needs no random numbers and lets every writer appear on both sides.
    """
    from sklearn.datasets import load_digits  # a second to import, and only this kind needs it

    log.info("digits: read from the installed scikit-learn")
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[4::5]] = True
    classes = tuple(str(digit) for digit in bunch.target_names)
    dataset = Dataset(images[~test], labels[~test], images[test], labels[test], classes)
    return Reading(dataset, test_images={"from": "rule"})
