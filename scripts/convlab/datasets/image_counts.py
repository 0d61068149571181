"""How many images a dataset has, as far as that can be told before any job runs. Standard library only.

What is not known exactly has bounds, so that only what is certainly impossible is refused.
"""

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from convlab.datasets.folder_listing import is_image
from convlab.datasets.npz_headers import read_headers
from convlab.datasets.specs import DatasetSpec, ImageFolder, Npz, OwnImages
from convlab.errors import UserError


@dataclass(frozen=True)
class Count:
    """Images of one part, at least and at most, and of each class where that is known."""

    least: int
    most: int
    by_class: tuple[int, ...] | None = None


def _known(*by_class: int) -> Count:
    return Count(sum(by_class), sum(by_class), by_class)


PUBLISHED = {
    "fashion_mnist": (_known(*[6000] * 10), _known(*[1000] * 10)),
    "mnist": (
        _known(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        _known(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ),
    "cifar10": (_known(*[5000] * 10), _known(*[1000] * 10)),
    "digits": (
        _known(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        _known(35, 36, 35, 36, 36, 36, 36, 35, 34, 36),
    ),
}
"""Training and test images of the published datasets."""


def image_counts(spec: DatasetSpec, classes: int) -> tuple[Count, Count] | None:
    """Training and test images as they come, before any limit of the config; None where that cannot be seen here."""
    if not isinstance(spec, OwnImages):
        return PUBLISHED[spec.kind]
    path = Path(spec.path).expanduser()
    try:
        if isinstance(spec, ImageFolder):
            parts = {part: _files(path, part) for part in ("train", "test")}
        elif isinstance(spec, Npz):
            parts = dict.fromkeys(("train", "test"))
            for array, header in read_headers(path, "datasets").items():
                if array in ("x_train", "x_test"):
                    parts[array.removeprefix("x_")] = Count(header.shape[0], header.shape[0])
    except (OSError, UserError, IndexError):
        return None  # what is wrong with the files is told by those who read them
    train, test = parts["train"], parts["test"]
    if train is None:
        return None
    return (train, test) if test is not None else _split(train, spec.test_fraction, classes)


def limited(count: Count, images: int | None) -> Count:
    """What is left of a part where the config takes only so many images of it, in the classes' proportions."""
    if images is None or images >= count.most:
        return count
    if count.by_class is not None:
        # The order of data.stratified_order: the k-th of a class's n images comes at (k - 1/2) / n.
        order = sorted(((k + 0.5) / n, n, label) for label, n in enumerate(count.by_class) for k in range(n))
        if order[images - 1][0] < order[images][0] or order[images - 1][1] == order[images][1]:
            taken = Counter(label for _, _, label in order[:images])
            return _known(*(taken[label] for label in range(len(count.by_class))))
    return Count(min(images, count.least), images)


def after_validation(train: Count, fraction: float, classes: int) -> Count:
    """The images to train on, where a share of every class is set aside for validation."""
    return _split(train, fraction, classes)[0]


def _split(count: Count, fraction: float, classes: int) -> tuple[Count, Count]:
    """Both sides of a split of ``fraction`` of every class to the nearest image, one at least (``data.split``)."""
    if count.by_class is not None:
        aside = [min(max(int(n * fraction + 0.5), 1), n - 1) if n > 1 else 0 for n in count.by_class]
        return _known(*(n - held for n, held in zip(count.by_class, aside, strict=True))), _known(*aside)
    least_aside, most_aside = (
        max(1, math.ceil(count.least * fraction) - classes),
        math.floor(count.most * fraction) + classes,
    )
    return (
        Count(max(count.least - most_aside, 1), max(count.most - least_aside, 1)),
        Count(least_aside, min(most_aside, count.most)),
    )


def _files(root: Path, part: str) -> Count | None:
    """Image files and files of any kind in the class folders of a part; None where the folder has no such part."""
    images = others = 0
    folders = [entry for entry in os.scandir(root) if entry.name.lower() == part and entry.is_dir()]
    if not folders:
        return None
    for folder in os.scandir(folders[0]):
        if not folder.name.startswith(".") and folder.is_dir():
            for entry in os.scandir(folder):
                images += is_image(entry.name)
                others += not is_image(entry.name)
    return Count(images, images + others)
