"""What the kinds for Parquet and Arrow files share: from the files of each split to images and classes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlab.datasets import arrow_tables
from convlab.datasets.arrow_tables import pyarrow_is_installed
from convlab.datasets.files_by_split import require_test
from convlab.datasets.folder_listing import NO_LABELS, Skipped, printable_name
from convlab.datasets.image_rows import Options
from convlab.datasets.kept_facts import kept_facts
from convlab.datasets.label_classes import check_enough, class_names, labels_in_order
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts
from convlab.datasets.table_specs import SPLITS, EncodedTables, own_path
from convlab.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tables:
    """Files by split, and the folder that they and images beside them are in.

    Args:
        files: of each split; other splits than train, validation and test are not among them.
        names: of each split, as the config would name it in ``splits``.
        root: the folder; None where a single file was given.
        features: Hugging Face's description of the columns, where it stands beside the files.
        skipped: what is not read.
    """

    files: Mapping[str, Sequence[Path]]
    names: Mapping[str, str]
    root: Path | None
    features: Mapping[str, Any]
    skipped: Sequence[Skipped] = ()


@dataclass(frozen=True)
class Checked:
    """What is known of tables before their images are read.

    Args:
        columns: where they have images and labels.
        labels: how often each label occurs, by split; splits without labels are left out.
        values, names: the labels in the order of the classes, and the classes' names.
        form: height, width and channels of an image.
        skipped: what is not read.
    """

    columns: arrow_tables.Columns
    labels: Mapping[str, Mapping[str | None, int]]
    values: tuple[str, ...]
    names: tuple[str, ...]
    form: arrow_tables.Form
    skipped: list[Skipped]


def _options(tables: Tables, spec: EncodedTables, threads: int = 1) -> Options:
    return Options(tables.root, spec.image_size, spec.channels, spec.colour, threads)


def told_form(name: str, spec: EncodedTables) -> tuple[arrow_tables.Form, int] | None:
    """Shape and number of classes as the config tells them, where the files are elsewhere or cannot be read here; None
    where they can be read. Raises UserError where they cannot and the config does not tell."""
    told = spec.image_size is not None and spec.colour is not None and spec.classes is not None
    remedy = "image_size, colour and classes"
    if own_path(name, spec, told, remedy) is not None and pyarrow_is_installed():
        return None
    if not told:
        raise UserError(
            f"datasets.{name}.path: pyarrow, which reads its files, is not installed here; install it, or write "
            f"{remedy} of datasets.{name}"
        )
    return (*spec.image_size, 3 if spec.colour == "rgb" else 1), len(spec.classes)


def check_tables(name: str, spec: EncodedTables, tables: Tables) -> Checked:
    """Schema, labels and the first image; what was read of the files is kept until they change.

    Raises UserError for whatever `prepare` would refuse and can be seen without decoding all images.
    """
    key = f"datasets.{name}"
    if not tables.files.get("train"):
        raise UserError(f"{key}.path holds no table to train with; correct it, or write {key}.splits")
    settings = [spec.image, spec.label, spec.image_size, spec.channels, tables.features]
    try:
        facts = kept_facts(
            [file for files in tables.files.values() for file in files],
            [*settings, {split: len(files) for split, files in tables.files.items()}],
            lambda: _facts(key, spec, tables),
        )
    except OSError as error:
        raise UserError(f"{key}.path: {error.filename} cannot be read ({error.strerror})") from None
    columns = arrow_tables.Columns(*facts["columns"][:3], facts["columns"][3] and tuple(facts["columns"][3]))
    skipped, labels = list(tables.skipped), {}
    for split, pairs in facts["labels"].items():
        counts = dict(map(tuple, pairs))
        file = printable_name(tables.files[split][0].name)
        if not counts:
            raise UserError(f"{key}.path: {file} has no rows; give a table with images")
        if set(counts) == {None} and split != "train":
            skipped.append(Skipped(file, NO_LABELS, part=split, detail="no row has a label"))
        else:
            labels[split] = counts
    if not spec.splits:
        require_test(labels, key, tables.names.__getitem__)
    file_of = {split: printable_name(files[0].name) for split, files in tables.files.items() if files}
    values = labels_in_order(labels, columns.names, file_of, key)
    names = class_names(values, spec.classes, file_of["train"], key)
    check_enough(values, labels, spec.test_fraction, key)
    height, width, channels = facts["form"]
    if columns.encoded:
        height, width = spec.image_size or (height, width)
        channels = {"rgb": 3, "grey": 1, None: channels}[spec.colour]
    elif spec.colour is not None and (spec.colour == "rgb") != (channels == 3):
        raise UserError(f"{key}.colour is {spec.colour}, but the images have {channels} channels; correct it")
    return Checked(columns, labels, values, names, (height, width, channels), skipped)


def _facts(key: str, spec: EncodedTables, tables: Tables) -> dict[str, Any]:
    columns = arrow_tables.columns_of(tables.files["train"][0], spec.image, spec.label, tables.features, key)
    unlabelled = {
        split
        for split, files in tables.files.items()
        if split != "train" and not any(arrow_tables.has_column(file, columns.label, key) for file in files)
    }
    of_split = {
        split: [arrow_tables.columns_of(file, spec.image, spec.label, tables.features, key) for file in files]
        for split, files in tables.files.items()
        if split not in unlabelled
    }
    for split, others in of_split.items():
        for other, file in zip(others, tables.files[split], strict=True):
            if other != columns:
                raise UserError(
                    f"{key}.path: {printable_name(file.name)} has other columns or classes than "
                    f"{printable_name(tables.files['train'][0].name)}; make them equal"
                )
    labels = {
        split: list(arrow_tables.label_counts(files, columns, key).items()) if split in of_split else [(None, 1)]
        for split, files in tables.files.items()
    }
    form = arrow_tables.first_form(tables.files["train"], columns, _options(tables, spec), key)
    return {
        "columns": [columns.image, columns.encoded, columns.label, columns.names],
        "labels": labels,
        "form": form,
    }


def count_tables(checked: Checked) -> Counts:
    """Exact numbers of each class."""
    parts = {
        split: Count.of(*(labels.get(value, 0) for value in checked.values)) for split, labels in checked.labels.items()
    }
    return parts["train"], parts.get("test"), parts.get("validation")


def read_checked(name: str, spec: EncodedTables, tables: Tables, checked: Checked, threads: int) -> Reading:
    """The images and labels of all splits, or without test images a stratified split."""
    from convlab.datasets.table_reading import divided, indices_of

    key, parts = f"datasets.{name}", {}
    total = sum(sum(labels.values()) for labels in checked.labels.values())
    copies = 1 if "test" in checked.labels else 2  # while they are divided
    check_memory(copies * total, checked.form, f"{key}.path", f"choose a smaller {key}.image_size")
    for split in (split for split in SPLITS if split in checked.labels):
        rows = sum(checked.labels[split].values())
        images, labels = arrow_tables.read_tables(
            *(tables.files[split], checked.columns, rows, checked.form, _options(tables, spec, threads), key)
        )
        parts[split] = images, indices_of(labels, checked.values)
        log.info(
            "%s: %s: %d images to %s with; images in column %r (%s), labels in column %r%s",
            *(name, ", ".join(file.name for file in tables.files[split]), rows, split, checked.columns.image),
            *("image files" if checked.columns.encoded else "numbers", checked.columns.label),
            "" if checked.columns.names is None else ", which names its classes",
        )
    notes = {"read_as": {"image": checked.columns.image, "label": checked.columns.label}}
    return divided(name, spec, parts, checked.names, checked.skipped, notes)
