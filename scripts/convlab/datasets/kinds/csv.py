"""The user's own images as rows of pixels with a label, in CSV files."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import BeforeValidator, Field

from convlab.common.specs import Name, PositiveWhole, off_as_none
from convlab.datasets.csv_tables import CsvTable, is_csv, pixel_columns, pixel_rows, scan
from convlab.datasets.files_by_split import every_file, require_test, split_files
from convlab.datasets.folder_listing import NO_LABELS, Skipped, printable_name
from convlab.datasets.label_classes import check_enough, class_names, labels_in_order
from convlab.datasets.pixel_values import channels_last, flat_shape, refuse_black
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.table_specs import SPLITS, OwnTables, own_path
from convlab.errors import UserError

log = logging.getLogger(__name__)


class Csv(OwnTables):
    """CSV files, one row for each image: a label and the pixels, as on Kaggle; gzip-compressed or not."""

    kind: Literal["csv"]
    label: Annotated[Name | None, BeforeValidator(off_as_none)] = Field(
        None, description="Column of the labels: its name, first or last; label or class when absent."
    )
    ignore: tuple[Name, ...] = Field((), description="Columns that are neither label nor pixels.")
    delimiter: Literal["comma", "semicolon", "tab"] = Field("comma", description="Between two columns.")
    scale: Literal["byte", "unit"] = Field("byte", description="Pixels from 0 to 255, or from 0 to 1.")
    input_shape: Annotated[tuple[PositiveWhole, PositiveWhole, PositiveWhole] | None, BeforeValidator(off_as_none)] = (
        Field(None, description="[height, width, channels]; a square when absent.")
    )


@dataclass(frozen=True)
class _Tables:
    """The files at a path: by split the file and what it holds; columns of pixels, labels in order, shape."""

    files: dict[str, tuple[Path, CsvTable]]
    skipped: list[Skipped]
    pixels: list[str]
    values: tuple[str, ...]
    names: tuple[str, ...]
    shape: tuple[int, int, int]


def _tables(name: str, spec: Csv, path: Path) -> _Tables:
    """Headers and labels of all files, checked against each other and the config."""
    key = f"datasets.{name}"
    listed = split_files(path, spec.splits, is_csv, "CSV", key)
    for split, names in listed.splits.items():
        if len(names) > 1:
            raise UserError(
                f"{key}.path has {' and '.join(map(printable_name, names[:3]))} for {split}; write "
                f"{key}.splits: {{{split}: the one that is meant}}"
            )
    files, skipped = {}, list(listed.skipped)
    for split in (split for split in SPLITS if split in listed.splits):
        file = listed.paths(split)[0]
        table = scan(file, spec.delimiter, spec.label, key)
        if split == "train":
            if table.label is None:
                first = ", ".join(map(printable_name, table.columns[:4]))
                raise UserError(
                    f"{key}.path: {file.name} has no column {spec.label or 'label or class'!r} (its columns are "
                    f"{first}, ...); write {key}.label: the column of the labels"
                )
            pixels = pixel_columns(table, spec.ignore, file, key)
        elif _without_labels(files["train"][1], table):
            skipped.append(Skipped(printable_name(file.name), NO_LABELS, part=split, detail="has no column of labels"))
            continue
        elif odd := sorted(set(table.columns) ^ set(files["train"][1].columns)):
            raise UserError(
                f"{key}.path: {file.name} and {files['train'][0].name} have different columns "
                f"({printable_name(odd[0])!r} is in one of them only); make them equal"
            )
        files[split] = file, table
    if not spec.splits:
        require_test(files, key, lambda split: files[split][0].name)
    labels = {split: dict(table.labels) for split, (_, table) in files.items()}
    train = files["train"][0]
    values = labels_in_order(labels, None, {split: file.name for split, (file, _) in files.items()}, key)
    names = class_names(values, spec.classes, train.name, key)
    check_enough(values, labels, spec.test_fraction, key)

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}.path: {train.name} {problem}")

    size = spec.input_shape and spec.input_shape[:2]
    shape = flat_shape(
        len(pixels), size, spec.channels, refuse, f"{key}.input_shape, or {key}.ignore for other columns"
    )
    if spec.input_shape not in (None, shape):
        raise UserError(f"{key}.input_shape is {list(spec.input_shape)}, but {train.name} has images of {list(shape)}")
    return _Tables(files, skipped, pixels, values, names, shape)


def _without_labels(train: CsvTable, table: CsvTable) -> bool:
    """Whether a table has the columns of the training images but not the labels, as Kaggle's test.csv."""
    if table.header:
        return table.columns == train.pixels
    return len(table.columns) == len(train.columns) - 1


def form(name: str, spec: Csv) -> Form:
    """From the files' headers and labels, or from the config where the files are elsewhere."""
    told = spec.input_shape is not None and spec.classes is not None
    path = own_path(name, spec, told, "input_shape and classes")
    if path is None:
        return spec.input_shape, len(spec.classes)
    tables = _tables(name, spec, path)
    return tables.shape, len(tables.values)


def counts(spec: Csv) -> Counts | None:
    """Exact numbers of each class, from the labels."""
    tables = _tables("", spec, Path(spec.path).expanduser())
    parts = {
        split: Count.of(*(dict(table.labels).get(value, 0) for value in tables.values))
        for split, (_, table) in tables.files.items()
    }
    return parts["train"], parts.get("test"), parts.get("validation")


def unused(name: str, spec: Csv) -> list[str]:
    """Each file that would not be read, and why."""
    tables = _tables(name, spec, Path(spec.path).expanduser())
    return [f"{file.file} ({file.reason})" for file in tables.skipped] + [f"column {name}" for name in spec.ignore]


def read(name: str, spec: Csv, threads: int) -> Reading:
    """Training, validation and test images of one file each, or without test images a stratified split.

    Raises UserError for files that are not what they should be, with the row and column where there is one.
    """
    from convlab.datasets.table_reading import divided, indices_of

    key = f"datasets.{name}"
    tables = _tables(name, spec, Path(spec.path).expanduser())
    total = sum(table.rows for _, table in tables.files.values())
    check_memory(total * (1 if "test" in tables.files else 2), tables.shape, f"{key}.path", "give fewer images")
    parts = {}
    for split, (file, table) in tables.files.items():

        def refuse(problem: str, file: Path = file) -> NoReturn:
            raise UserError(f"{key}.path: {file.name} {problem}")

        pixels, labels = pixel_rows(file, table, tables.pixels, spec.delimiter, spec.scale, key)
        largest = int(pixels.max())
        if spec.scale == "byte":
            refuse_black(largest, refuse)
        log.info(
            "%s: %s: %d images to %s with; labels in column %r, %d pixels as %s, largest value %d%s",
            *(name, file.name, table.rows, split, table.columns[table.label], len(tables.pixels)),
            *("×".join(map(str, tables.shape)), largest, "" if table.header else "; no header"),
        )
        parts[split] = channels_last(pixels, tables.shape, spec.channels), indices_of(labels, tables.values)
    first = tables.files["train"][1]
    notes = {"read_as": {"label": first.columns[first.label], "header": first.header, "pixels": len(tables.pixels)}}
    return divided(name, spec, parts, tables.names, tables.skipped, notes)


KIND = Kind(
    spec=Csv,
    form=form,
    counts=counts,
    read=read,
    files=every_file,
    unused=unused,
    source=translatable("CSV files"),
    licence=translatable("as of the images"),
    order=7,
)
