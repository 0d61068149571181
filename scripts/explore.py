"""Exploratory analysis of a prepared dataset: ``summary.json`` and figures, each as SVG, PNG and PDF.

Everything is computed from the training images, but for the counts, the sizes and the search for images that are in
both parts: a test image that the training data hold too flatters every model.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging

import numpy as np
import pandas as pd

from convlab.common import i18n
from convlab.common.cli import run
from convlab.common.files import read_json, write_json, write_text
from convlab.common.i18n import gettext as _
from convlab.common.outputs import files_below, job_results
from convlab.common.table_files import csv_text
from convlab.datasets.description import class_counts, class_means, content_extents, describe, intensity_histogram
from convlab.datasets.duplicate_threshold import calibrated_threshold
from convlab.datasets.near_duplicates import (
    Duplicates,
    find_near_duplicates,
    training_duplicates,
    validation_duplicates,
)
from convlab.datasets.prepared import Dataset, load
from convlab.figures import dataset as draw
from convlab.figures.fonts import use_fonts_without_layout_tables
from convlab.figures.labels import shortened, warn_of_missing_characters
from convlab.figures.sprites import Group, write_sprite
from convlab.figures.style import save, use_style

PARTS = ("train", "test", "validation")
"""Columns of class_distribution.csv; the last one is empty where the data bring no validation split."""

log = logging.getLogger("explore")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, type=Path, help="folder with data.npz and manifest.json")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder for summary.json and the figures")
    parser.add_argument("--language", default=i18n.SOURCE, choices=i18n.LANGUAGES, help="of the figures' words")
    arguments = parser.parse_args(argv)
    output = arguments.output_dir
    with job_results(output / "summary.json", lambda: files_below(output)):
        explore(arguments)


def explore(arguments: argparse.Namespace) -> None:
    """Write the figures, their numbers and the summary."""
    i18n.set_language(arguments.language)

    data = load(arguments.data_dir)
    manifest = read_json(arguments.data_dir / "manifest.json")
    histogram = intensity_histogram(data.x_train)
    heights, widths = content_extents(data.x_train)
    threshold = calibrated_threshold(data.x_train, data.y_train)
    duplicates = find_near_duplicates(data.x_test, data.x_train, data.y_test, data.y_train, threshold.rms)
    summary = describe(data, manifest["dataset"], histogram, (heights, widths), duplicates, threshold)
    if data.x_validation is None:
        summary["training_duplicates"] = training_duplicates(data.x_train, data.y_train, threshold.rms)
    else:
        summary["validation_duplicates"] = validation_duplicates(data, threshold.rms)

    use_style()
    warn_of_missing_characters(log, data.classes)
    use_fonts_without_layout_tables([manifest["dataset"], *data.classes])
    counts = class_counts(data)
    images = sum(int(values.sum()) for values in counts.values())
    closest = [(data.x_test[pair.test], data.x_train[pair.train]) for pair in duplicates.closest]
    figures = {
        "class_distribution": draw.class_distribution(data.classes, **counts),
        "samples": draw.samples(data.x_train, data.y_train, data.classes),
        "dimensions": draw.dimensions(data.x_train[0], images, heights, widths),
        "intensities": draw.intensities(histogram),
        "mean_images": draw.mean_images(class_means(data), data.classes),
        "near_duplicates": draw.near_duplicates(closest, pair_titles(data, duplicates), threshold.rms),
    }
    strips = {
        "samples": sample_groups(data),
        "mean_images": mean_groups(data),
        "near_duplicates": pair_groups(data, duplicates),
    }
    summary["tiles"] = {
        name: write_sprite(groups, arguments.output_dir / f"{name}.tiles.png") for name, groups in strips.items()
    }
    numbers = {
        "class_distribution": {"class": data.classes} | {part: counts.get(part) for part in PARTS},
        "dimensions": {
            "pixels": np.arange(max(data.x_train.shape[1:3]) + 1),
            "height": np.bincount(heights, minlength=max(data.x_train.shape[1:3]) + 1),
            "width": np.bincount(widths, minlength=max(data.x_train.shape[1:3]) + 1),
        },
        "near_duplicates": {
            "test_index": [pair.test for pair in duplicates.nearest],
            "train_index": [pair.train for pair in duplicates.nearest],
            "rms": [pair.rms for pair in duplicates.nearest],
        },
        "closest_pairs": closest_pairs(data, duplicates),
        "samples": sample_numbers(data),
        "mean_images": mean_numbers(data),
        "intensities": {"value": np.arange(256)} | {f"channel {i + 1}": row for i, row in enumerate(histogram)},
    }
    for name, columns in numbers.items():
        write_text(arguments.output_dir / f"{name}.csv", csv_text(pd.DataFrame(columns)))
    for name, figure in figures.items():
        save(figure, arguments.output_dir / name)
    write_json(arguments.output_dir / "summary.json", summary)
    log.info(
        "%s: %d figures; %d of %d test images have a near duplicate in the training data",
        manifest["dataset"],
        len(figures),
        duplicates.near_images,
        len(data.x_test),
    )


def pair_titles(data: Dataset, duplicates: Duplicates) -> list[tuple[str, str, bool]]:
    """For each closest pair the figure's two lines, and whether the labels disagree."""
    titles = []
    for pair in duplicates.closest:
        test, train = data.classes[data.y_test[pair.test]], data.classes[data.y_train[pair.train]]
        names = test if test == train else f"{shortened(test, 16)} / {shortened(train, 16)}"
        first = f"{shortened(names, 36)}: RMS {i18n.number(pair.rms, '.1f')}"
        indices = {"test": i18n.number(pair.test, ","), "training": i18n.number(pair.train, ",")}
        titles.append((first, _("test {test}, training {training}", **indices), test != train))
    return titles


def closest_pairs(data: Dataset, duplicates: Duplicates) -> dict[str, list]:
    """Columns of closest_pairs.csv."""
    pairs = duplicates.closest
    return {
        "test_index": [pair.test for pair in pairs],
        "test_class": [data.classes[data.y_test[pair.test]] for pair in pairs],
        "train_index": [pair.train for pair in pairs],
        "train_class": [data.classes[data.y_train[pair.train]] for pair in pairs],
        "rms": [pair.rms for pair in pairs],
    }


def first_images(data: Dataset) -> list[np.ndarray]:
    """Positions of the first training images of every class, as many as the figure shows."""
    _, per_class = draw.sample_layout(len(data.classes))
    return [np.flatnonzero(data.y_train == label)[:per_class] for label in range(len(data.classes))]


def sample_numbers(data: Dataset) -> dict[str, np.ndarray]:
    """Columns of samples.csv."""
    first = first_images(data)
    shown = np.concatenate(first)
    pixels = data.x_train[shown].reshape(len(shown), -1)
    return {
        "class": np.repeat(data.classes, [len(chosen) for chosen in first]),
        "train_index": shown,
        "mean": pixels.mean(axis=1),
        "sd": pixels.std(axis=1),
    }


def mean_numbers(data: Dataset) -> dict[str, np.ndarray]:
    """Columns of mean_images.csv."""
    means = class_means(data).reshape(len(data.classes), -1)
    counts = np.bincount(data.y_train, minlength=len(data.classes))
    return {"class": data.classes, "images": counts, "mean": means.mean(axis=1), "sd": means.std(axis=1)}


def sample_groups(data: Dataset) -> list[Group]:
    """The first training images of every class, as many as the figure shows."""
    first = first_images(data)
    return [Group(data.x_train[chosen], name) for chosen, name in zip(first, data.classes, strict=True) if len(chosen)]


def mean_groups(data: Dataset) -> list[Group]:
    """The mean training image of every class."""
    means = np.rint(class_means(data)).astype(np.uint8)
    return [Group(image[np.newaxis], name) for image, name in zip(means, data.classes, strict=True)]


def pair_groups(data: Dataset, duplicates: Duplicates) -> list[Group]:
    """The closest pairs: test image, training image, their difference."""
    groups = []
    for pair, (first, second, disagree) in zip(duplicates.closest, pair_titles(data, duplicates), strict=True):
        images = draw.pair_images(data.x_test[pair.test], data.x_train[pair.train])
        groups.append(Group(images, first, (second,), "wrong" if disagree else ""))
    return groups


if __name__ == "__main__":
    run(main)
