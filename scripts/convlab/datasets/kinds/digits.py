"""scikit-learn's digits: real images without a download."""

import logging
from typing import Literal

from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import DatasetSpec

log = logging.getLogger(__name__)


class Digits(DatasetSpec):
    """scikit-learn's digits; they need no files."""

    kind: Literal["digits"]


def form(name: str, spec: Digits) -> Form:
    """Grey images of 8×8 pixels; the digits 0 to 9."""
    return (8, 8, 1), 10


def counts(spec: Digits) -> Counts:
    """1,442 training and 355 test images, for each digit."""
    return (
        Count.of(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        Count.of(35, 36, 35, 36, 36, 36, 36, 35, 34, 36),
    )


def read(name: str, spec: Digits, threads: int) -> Reading:
    """scikit-learn's digits: 1,797 images, 8×8×1.

    Intensities 0 to 16 become round(value × 255 / 16). Every fifth image of each class, in order of appearance, is a
    test image: a fixed rule that needs no random numbers and lets every writer appear on both sides.
    """
    import numpy as np
    from sklearn.datasets import load_digits  # a second to import, and only this kind needs it

    from convlab.datasets.prepared import Dataset

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


KIND = Kind(
    spec=Digits,
    form=form,
    counts=counts,
    read=read,
    source="scikit-learn (UCI: Optical Recognition of Handwritten Digits)",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    licence="CC BY 4.0",
    citation="Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998.",
    order=4,
)
