"""The form of a data set, known before any job runs: its images' shape and how many classes. Standard library only.

What a user's own data are is looked at here as far as names and headers tell it, so that what ``prepare`` would refuse
is refused before anything runs.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from convlab.datasets.folder_listing import list_images, refuse_lost_images, shown
from convlab.datasets.npz_headers import (
    check_class_names,
    check_headers,
    check_labels,
    check_shape,
    count_labels,
    has_class_names,
    read_headers,
    unused_arrays,
)  # fmt: skip
from convlab.datasets.specs import DatasetSpec, ImageFolder, Npz, OwnImages
from convlab.errors import UserError

Form = tuple[tuple[int, int, int], int]
"""Shape of an image (height, width, channels) and number of classes."""

PUBLISHED: dict[str, Form] = {
    "fashion_mnist": ((28, 28, 1), 10),
    "mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "digits": ((8, 8, 1), 10),
}

PUBLISHED_IMAGES = {"fashion_mnist": 70_000, "mnist": 70_000, "cifar10": 60_000, "digits": 1_797}
"""Training and test images together."""


def dataset_form(name: str, spec: DatasetSpec) -> Form:
    """The form of a data set, from its spec where that says it and else from the user's files.

    Raises UserError, which names the key, where the files are not to be seen or are not what they should be.
    """
    if isinstance(spec, OwnImages) and spec.path is None:
        raise UserError(f"datasets.{name}.path is missing; add it")
    if isinstance(spec, ImageFolder):
        return _folder_form(f"datasets.{name}", spec)
    if isinstance(spec, Npz):
        return _npz_form(f"datasets.{name}", spec)
    return PUBLISHED[spec.kind]


def _folder_form(key: str, spec: ImageFolder) -> Form:
    shape = (*spec.image_size, spec.channels)
    if spec.classes is not None:
        return shape, spec.classes
    root = Path(spec.path).expanduser()
    if not root.exists():
        raise UserError(
            f"{key}.path: there is no {shown(str(root))} here; correct it, or write {key}.classes, how many there are, "
            "where only other machines can see the images"
        )
    contents = list_images(root, f"{key}.path")
    if spec.unreadable == "fail":
        refuse_lost_images(contents.skipped, key)
    train = contents.parts["train"].classes
    counts = {one.name: len(one.images) + len(one.doubtful) for one in train}
    check_counts(key, counts, None if "test" in contents.parts else spec.test_fraction)
    return shape, len(train)


def _npz_form(key: str, spec: Npz) -> Form:
    if spec.input_shape is not None and spec.classes is not None:
        return spec.input_shape, len(spec.classes)
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise UserError(
            f"{key}.path: there is no {shown(str(path))} here; correct it, or write {key}.input_shape and "
            f"{key}.classes where only other machines can see the file"
        )
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")
    check_shape(spec.input_shape, shape, path, f"{key}.input_shape")
    named = None if spec.classes is None else len(spec.classes)
    labels = {
        array: count_labels(path, array, headers[array], f"{key}.path")
        for array in ("y_train", "y_test")
        if array in headers
    }
    count = check_labels(labels["y_train"], labels.get("y_test"), named, path, f"{key}.path")
    if spec.classes is None:
        check_class_names(headers, count, path, f"{key}.path")
    names = spec.classes or tuple(map(str, range(count)))
    counts = {names[label]: images for label, images in labels["y_train"].items()}
    check_counts(key, counts, None if "y_test" in labels else spec.test_fraction)
    return spec.input_shape or shape, count


def check_counts(key: str, counts: Mapping[str, int], test_fraction: float | None) -> None:
    """Raise UserError for classes of too few images to train on, to validate with and, unless ``test_fraction`` is None
    because the data bring test images, to test with."""
    smallest = min(counts, key=lambda name: counts[name])
    left = dict(counts)
    if test_fraction is not None:
        if counts[smallest] < 2:
            raise UserError(
                f"{key} has {counts[smallest]} image of class {smallest!r}, too few to train on and to test with; add "
                "images, remove the class, or bring test images"
            )
        left = {name: n - held_out(n, test_fraction) for name, n in counts.items()}
    if max(left.values()) < 2:
        raise UserError(
            f"{key} has one training image of each of its {len(counts):,} classes, and none to set aside for "
            "validation; add images"
            + (
                ""
                if test_fraction is None
                else f", or bring test images (now {key}.test_fraction {test_fraction:g} of every class is held out)"
            )
        )


def held_out(images: int, fraction: float) -> int:
    """How many of a class's images a stratified split sets aside (``data.split``)."""
    return min(max(int(images * fraction + 0.5), 1), images - 1)


def data_notes(datasets: Mapping[str, DatasetSpec]) -> list[str]:
    """For each data set of the user's own that is to be seen here, what would not be used: one sentence each.

    Raises nothing: what is wrong with a data set, ``dataset_form`` has told.
    """
    notes = []
    for name, spec in datasets.items():
        if not isinstance(spec, OwnImages) or spec.path is None or not Path(spec.path).expanduser().exists():
            continue
        path, key = Path(spec.path).expanduser(), f"datasets.{name}"
        try:
            if isinstance(spec, ImageFolder):
                counts: Counter[str] = Counter()
                for one in list_images(path, key, count_skipped=True).skipped:
                    counts[one.reason] += one.count
                listed = [f"{reason} ({count:,})" for reason, count in sorted(counts.items())]
            else:
                headers = read_headers(path, key)
                unused = unused_arrays(headers, spec.classes is None and has_class_names(headers))
                listed = [f"array {array} {detail}" for array, detail in unused.items()]
        except (UserError, OSError):
            continue
        if listed:
            notes.append(f"{name}: not used: {', '.join(listed)}.")
    return notes
