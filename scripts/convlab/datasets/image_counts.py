"""Number of images of a dataset, exact or as bounds, before any job runs. Standard library only.

With bounds only what is certainly impossible is refused.
"""

import math
from collections import Counter
from typing import NamedTuple

from convlab.datasets.own_images import held_out
from convlab.datasets.registry import Count, kind_of
from convlab.datasets.specs import DatasetSpec
from convlab.errors import UserError

ASSUMED_IMAGES = 100_000
"""Assumed size of a user's own dataset in estimates of memory and time: counting the files is slow."""


class ImageCounts(NamedTuple):
    """Numbers of images of each part; ``validation`` is None where the data bring no validation split."""

    train: Count
    test: Count
    validation: Count | None = None


def image_counts(spec: DatasetSpec, classes: int) -> ImageCounts | None:
    """Images of each part as they come, before any limit of the config; None where that cannot be seen here."""
    try:
        counts = kind_of(spec).counts(spec)
    except (OSError, UserError):
        return None  # dataset_form and prepare report what is wrong with the files
    if counts is None:
        return None
    train, test, *validation = counts
    if test is None:
        train, test = _split(train, spec.test_fraction, classes)
    return ImageCounts(train, test, *validation)


def brings_validation(spec: DatasetSpec) -> bool:
    """Whether the data bring a validation split, as far as can be seen here."""
    counts = image_counts(spec, 1)
    return counts is not None and counts.validation is not None


def assumed_images(spec: DatasetSpec) -> int:
    """Images of all parts together, before any limit of the config, without a look at the user's files."""
    counts = None if spec.users_own else kind_of(spec).counts(spec)
    return ASSUMED_IMAGES if counts is None else sum(count.most for count in counts if count is not None)


def limited(count: Count, images: int | None) -> Count:
    """Counts of a part after the config's limit on its images, in the classes' proportions."""
    if images is None or images >= count.most:
        return count
    if count.by_class is not None:
        # The order of prepared.proportional_order: the k-th of a class's n images comes at (k - 1/2) / n.
        order = sorted(((k + 0.5) / n, n, label) for label, n in enumerate(count.by_class) for k in range(n))
        if order[images - 1][0] < order[images][0] or order[images - 1][1] == order[images][1]:
            taken = Counter(label for _, _, label in order[:images])
            return Count.of(*(taken[label] for label in range(len(count.by_class))))
    return Count(min(images, count.least), images)


def images_to_train_on(counts: ImageCounts, limit: int | None, fraction: float, classes: int) -> Count:
    """The images to train on, of those that ``limit`` takes: all beside a given validation split, else those that are
    left where a share of every class is set aside for validation."""
    train = limited(counts.train, limit)
    return train if counts.validation is not None else after_validation(train, fraction, classes)


def after_validation(train: Count, fraction: float, classes: int) -> Count:
    """The images to train on, where a share of every class is set aside for validation."""
    return _split(train, fraction, classes)[0]


def _split(count: Count, fraction: float, classes: int) -> tuple[Count, Count]:
    """Both sides of a split of ``fraction`` of every class to the nearest image, one at least (``prepared.split``)."""
    if count.by_class is not None:
        aside = [held_out(n, fraction) if n > 1 else 0 for n in count.by_class]
        return Count.of(*(n - held for n, held in zip(count.by_class, aside, strict=True))), Count.of(*aside)
    least_aside, most_aside = (
        max(1, math.ceil(count.least * fraction) - classes),
        math.floor(count.most * fraction) + classes,
    )
    return (
        Count(max(count.least - most_aside, 1), max(count.most - least_aside, 1)),
        Count(least_aside, min(most_aside, count.most)),
    )
