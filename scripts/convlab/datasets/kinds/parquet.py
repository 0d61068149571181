"""The user's own images in Parquet files, as Hugging Face stores image datasets."""

from pathlib import Path
from typing import Literal

from convlab.datasets.encoded_tables import Tables, check_tables, count_tables, read_checked, told_form
from convlab.datasets.files_by_split import every_file, pattern_of, split_files
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Counts, Form, Kind, translatable
from convlab.datasets.table_specs import EncodedTables


class Parquet(EncodedTables):
    """Parquet files, one row for each image: an image file or a list of pixels, and a label."""

    kind: Literal["parquet"]


def _tables(name: str, spec: Parquet, path: Path) -> Tables:
    listed = split_files(
        path, spec.splits, lambda file: file.lower().endswith(".parquet"), "Parquet", f"datasets.{name}"
    )
    files = {split: listed.paths(split) for split in listed.splits}
    names = {split: pattern_of(names) for split, names in listed.splits.items()}
    return Tables(files, names, path if path.is_dir() else None, {}, listed.skipped)


def form(name: str, spec: Parquet) -> Form:
    """From schema, labels and the first image, or from the config where the files are elsewhere."""
    if (told := told_form(name, spec)) is not None:
        return told
    checked = check_tables(name, spec, _tables(name, spec, Path(spec.path).expanduser()))
    return checked.form, len(checked.values)


def counts(spec: Parquet) -> Counts | None:
    """Exact numbers of each class, from the column of labels."""
    return count_tables(check_tables("", spec, _tables("", spec, Path(spec.path).expanduser())))


def unused(name: str, spec: Parquet) -> list[str]:
    """Each file that would not be read, and why."""
    skipped = check_tables(name, spec, _tables(name, spec, Path(spec.path).expanduser())).skipped
    return [f"{file.file} ({file.reason})" for file in skipped]


def read(name: str, spec: Parquet, threads: int) -> Reading:
    """Training, validation and test images, or without test images a stratified split.

    Raises UserError for files that are not what they should be.
    """
    tables = _tables(name, spec, Path(spec.path).expanduser())
    return read_checked(name, spec, tables, check_tables(name, spec, tables), threads)


KIND = Kind(
    spec=Parquet,
    form=form,
    counts=counts,
    read=read,
    files=every_file,
    unused=unused,
    source=translatable("Parquet files"),
    licence=translatable("as of the images"),
    threads=8,
    order=8,
)
