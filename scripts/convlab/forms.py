"""The form of a data set, known before any job runs: its images' shape and how many classes. Standard library only."""

from pathlib import Path

from convlab.errors import UserError
from convlab.folders import class_folders
from convlab.npz_headers import check_headers, count_classes, read_headers, read_labels
from convlab.specs import DatasetSpec, ImageFolder, Npz, OwnImages

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
            f"{key}.path: there is no {root} here; correct it, or write {key}.classes, how many there are, where "
            "only other machines can see the images"
        )
    return shape, len(class_folders(root, "train", f"{key}.path"))


def _npz_form(key: str, spec: Npz) -> Form:
    if spec.input_shape is not None and spec.classes is not None:
        return spec.input_shape, len(spec.classes)
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise UserError(
            f"{key}.path: there is no {path} here; correct it, or write {key}.input_shape and {key}.classes where "
            "only other machines can see the file"
        )
    headers = read_headers(path, f"{key}.path")
    shape = check_headers(headers, path, f"{key}.path")
    named = None if spec.classes is None else len(spec.classes)
    labels = read_labels(path, "y_train", headers["y_train"], f"{key}.path")
    return spec.input_shape or shape, count_classes(labels, named, path, f"{key}.path")
