"""The user's own copy of an image dataset of Hugging Face: saved to disk, cloned, or in the cache."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from convlab.common.specs import Name, off_as_none
from convlab.datasets.encoded_tables import Tables, check_tables, count_tables, read_checked, told_form
from convlab.datasets.files_by_split import every_file
from convlab.datasets.hub_folders import list_folder
from convlab.datasets.named_splits import assign_splits
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Counts, Form, Kind, translatable
from convlab.datasets.table_specs import EncodedTables


class HuggingFace(EncodedTables):
    """A folder of ``datasets``: from ``save_to_disk``, a clone of a repository with Parquet files, or of its cache."""

    kind: Literal["huggingface"]
    config: Annotated[Name | None, BeforeValidator(off_as_none)] = Field(
        None, description="Configuration, where a repository has several."
    )


def _tables(name: str, spec: HuggingFace) -> Tables:
    path, key = Path(spec.path).expanduser(), f"datasets.{name}"
    folder = list_folder(path, spec.config, key)
    files, names, skipped = assign_splits(folder.splits, spec.splits, key)
    return Tables(files, names, path, folder.features, skipped)


def form(name: str, spec: HuggingFace) -> Form:
    """From schema, labels and the first image, or from the config where the files are elsewhere."""
    if (told := told_form(name, spec)) is not None:
        return told
    checked = check_tables(name, spec, _tables(name, spec))
    return checked.form, len(checked.values)


def counts(spec: HuggingFace) -> Counts | None:
    """Exact numbers of each class, from the column of labels."""
    return count_tables(check_tables("", spec, _tables("", spec)))


def unused(name: str, spec: HuggingFace) -> list[str]:
    """Each split that would not be read, and why."""
    return [f"{split.file} ({split.reason})" for split in check_tables(name, spec, _tables(name, spec)).skipped]


def read(name: str, spec: HuggingFace, threads: int) -> Reading:
    """Training, validation and test images, or without test images a stratified split.

    Raises UserError for a folder that is not what it should be.
    """
    tables = _tables(name, spec)
    return read_checked(name, spec, tables, check_tables(name, spec, tables), threads)


KIND = Kind(
    spec=HuggingFace,
    form=form,
    counts=counts,
    read=read,
    files=every_file,
    unused=unused,
    source=translatable("a folder of Hugging Face's datasets"),
    licence=translatable("as of the images"),
    threads=8,
    order=9,
)
