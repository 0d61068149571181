"""Fetch or read a dataset, check it, and write it as arrays for all later stages.

Writes ``data.npz`` (x_train, y_train, x_test, y_test and, where the data bring a validation split, x_validation,
y_validation: uint8 images NHWC, int64 labels) and then ``manifest.json``, which describes it. Equal data give equal
bytes: neither file holds a time or a path of this machine.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from convlab.common.cli import run
from convlab.common.files import array_sha256, write_arrays, write_json
from convlab.common.outputs import job_results
from convlab.datasets.prepared import MANIFEST_FORMAT, Dataset, first_images
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Kind, kind_of
from convlab.datasets.specs import AnyDataset, DatasetSpec
from convlab.errors import UserError

log = logging.getLogger("prepare")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="the data set's name in the config")
    parser.add_argument("--spec", required=True, help='its part of the config, as JSON: {"kind": "digits", ...}')
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for data.npz and manifest.json")
    parser.add_argument("--threads", type=int, default=1, help="for decoding images; the result is the same for any")
    arguments = parser.parse_args(argv)

    output = arguments.output_dir
    with job_results(output / "manifest.json", lambda: [output / "data.npz"]):
        prepare(arguments)


def prepare(arguments: argparse.Namespace) -> None:
    """Read the dataset, check it, and write its arrays and manifest."""
    name, output = arguments.dataset, arguments.output_dir
    spec = parse_spec(name, arguments.spec)
    kind = kind_of(spec)
    reading = kind.read(name, spec, arguments.threads)
    dataset = take_first(name, reading.dataset, spec.train_images, spec.test_images)
    check_classes(name, dataset)

    manifest = output / "manifest.json"
    manifest.unlink(
        missing_ok=True
    )  # an old one must not describe new arrays, should this job be killed between the two
    write_arrays(output / "data.npz", **arrays(dataset))
    write_json(manifest, describe(name, spec, kind, dataset, reading))
    log.info(
        "%s: %d training, %sand %d test images of %s in %d classes%s; %s, %.1f MB",
        name,
        len(dataset.x_train),
        "" if dataset.x_validation is None else f"{len(dataset.x_validation)} validation ",
        len(dataset.x_test),
        "×".join(str(size) for size in dataset.x_train.shape[1:]),
        len(dataset.classes),
        not_used(reading),
        output / "data.npz",
        (output / "data.npz").stat().st_size / 1e6,
    )


def parse_spec(name: str, text: str) -> DatasetSpec:
    """The dataset's spec from JSON. Raises UserError for an invalid one."""
    try:
        spec = TypeAdapter(AnyDataset).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ("kind",) if first["type"] == "unknown_kind" else first["loc"]
        raise UserError(f"--spec: {'.'.join(['datasets', name, *map(str, field)])}: {first['msg']}") from None
    if spec.users_own and spec.path is None:
        raise UserError(f"datasets.{name}.path is missing; say where the images are")
    return spec


def take_first(name: str, dataset: Dataset, train_images: int | None, test_images: int | None) -> Dataset:
    """Limit the data to the first images of every class, in the classes' proportions.

    Raises UserError where a number is not between the number of classes and the number of images.
    """
    for part, size in (("train", train_images), ("test", test_images)):
        if size is None:
            continue
        labels = getattr(dataset, f"y_{part}")
        if isinstance(size, bool) or not isinstance(size, int) or not len(dataset.classes) <= size <= len(labels):
            raise UserError(
                f"datasets.{name}.{part}_images {size!r} is not possible; "
                f"choose {len(dataset.classes)} (one per class) to {len(labels)}, or null for all"
            )
        chosen = first_images(labels, size)
        dataset = replace(dataset, **{f"x_{part}": getattr(dataset, f"x_{part}")[chosen], f"y_{part}": labels[chosen]})
    return dataset


def check_classes(name: str, dataset: Dataset) -> None:
    """Raise UserError if a part has no images, or too few of a class to train and validate."""
    if not len(dataset.y_test):
        raise UserError(f"datasets.{name} has no test images; every run is evaluated on some, so add some")
    given = dataset.y_validation is not None
    if given and not len(dataset.y_validation):
        raise UserError(
            f"datasets.{name} has a validation split without images; fill it, or leave it out to have a share of the "
            "training images set aside"
        )
    counts = np.bincount(dataset.y_train, minlength=len(dataset.classes))
    if not counts.all():
        raise UserError(
            f"datasets.{name} has no training image of class {dataset.classes[counts.argmin()]!r} left; take more "
            f"(datasets.{name}.train_images) or leave the class out"
        )
    if given:
        check_validation(name, dataset)
    elif counts.max() < 2:
        raise UserError(
            f"datasets.{name} has one training image of each class, and none to set aside for validation; add images, "
            f"or take more of them for training"
        )


def check_validation(name: str, dataset: Dataset) -> None:
    """Raise UserError where a given validation split has other images or labels than the training images.

    A class that it lacks is only named: validation chooses epochs, and says nothing of single classes.
    """
    if dataset.x_validation.shape[1:] != dataset.x_train.shape[1:]:
        shapes = ["×".join(map(str, images.shape[1:])) for images in (dataset.x_validation, dataset.x_train)]
        raise UserError(
            f"datasets.{name}: the validation images are {shapes[0]} and the training images {shapes[1]}; they should "
            "be of one shape"
        )
    labels = np.unique(dataset.y_validation)
    if labels[0] < 0 or labels[-1] >= len(dataset.classes):
        raise UserError(
            f"datasets.{name}: the validation labels go from {labels[0]} to {labels[-1]}, but there are "
            f"{len(dataset.classes)} classes; they should be 0 to {len(dataset.classes) - 1}"
        )
    lacking = [dataset.classes[label] for label in sorted(set(range(len(dataset.classes))) - set(labels.tolist()))]
    if lacking:
        log.warning("datasets.%s: no validation image of %s", name, ", ".join(map(repr, lacking)))


def not_used(reading: Reading) -> str:
    """Number of unused files by reason, for the last line of the log."""
    counts: Counter[str] = Counter()
    for entry in reading.excluded:
        counts[entry["reason"]] += entry["count"]
    listed = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(counts.items()))
    return f"; not used: {listed}" if listed else ""


def arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """The arrays by the names they have in ``data.npz``: of training and test, and of a given validation split."""
    parts = ("train", "test") if dataset.x_validation is None else ("train", "validation", "test")
    return {name: getattr(dataset, name) for part in parts for name in (f"x_{part}", f"y_{part}")}


def describe(name: str, spec: DatasetSpec, kind: Kind, dataset: Dataset, reading: Reading) -> dict[str, Any]:
    """The manifest. Later stages depend on it, so it describes the data and not how they were obtained.

    What concerns a given validation split is in it only where the data bring one.
    """
    given = dataset.x_validation is not None
    validation = {"validation": dataset.y_validation} if given else {}
    return {
        "format": MANIFEST_FORMAT,
        "dataset": name,
        "kind": spec.kind,
        "source": kind.source,
        "homepage": kind.homepage,
        "licence": kind.licence,
        "citation": kind.citation,
        **kind.details(spec),
        "train_images": spec.train_images,
        "test_images": spec.test_images,
        "options": {
            key: value for key, value in spec.identity.items() if key not in ("kind", "train_images", "test_images")
        },
        "classes": dataset.classes,
        "counts": {
            part: dict(zip(dataset.classes, np.bincount(labels, minlength=len(dataset.classes)), strict=True))
            for part, labels in {"train": dataset.y_train, **validation, "test": dataset.y_test}.items()
        },
        "input_shape": dataset.x_train.shape[1:],
        "arrays": {
            key: {"sha256": array_sha256(array), "shape": array.shape, "dtype": str(array.dtype)}
            for key, array in arrays(dataset).items()
        },
        "available": {"train": len(reading.dataset.x_train), "test": len(reading.dataset.x_test)}
        | {part: len(labels) for part, labels in validation.items()},
        "excluded": reading.excluded,
        "test_from": reading.test_images,
        **({"validation_from": {"from": "data"}} if given else {}),
        **reading.notes,
    }


if __name__ == "__main__":
    run(main)
