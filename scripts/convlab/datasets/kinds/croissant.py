"""Datasets that are described by Croissant metadata and lie on the disk."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from pydantic import Field

from convlab.datasets.croissant_files import Metadata, files_of, metadata_file, read_metadata, relative
from convlab.datasets.croissant_records import Records, read_records
from convlab.datasets.encoded_tables import Checked, Tables, check_tables, count_tables, read_checked, told_form
from convlab.datasets.fetching import algorithm, digest
from convlab.datasets.files_by_split import require_test
from convlab.datasets.folder_listing import printable_name
from convlab.datasets.label_classes import Labels, check_enough, class_names, label_text, labels_in_order
from convlab.datasets.npz_headers import read_headers
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.table_specs import SPLITS, ColumnName, EncodedTables
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class Croissant(EncodedTables):
    """A Croissant file (JSON-LD) whose files lie beside it: images, Parquet or CSV files, or a NumPy .npz."""

    kind: Literal["croissant"]
    record_set: ColumnName = Field(
        None, description="Which record set; found by its fields of images and labels when absent."
    )


def form(name: str, spec: Croissant) -> Form:
    """From the metadata, labels and the first image, or from the config where the files are elsewhere."""
    if (told := told_form(name, spec)) is not None:
        return told
    content = _content(name, spec)
    return content.form, len(content.values)


def counts(spec: Croissant) -> Counts | None:
    """Exact numbers of each class."""
    content = _content("", spec)
    if content.checked is not None:
        return count_tables(content.checked)
    parts = {
        split: Count.of(*(labels.get(value, 0) for value in content.values)) for split, labels in content.labels.items()
    }
    return parts["train"], parts.get("test"), parts.get("validation")


def unused(name: str, spec: Croissant) -> list[str]:
    """Each table that would not be read, and why."""
    checked = _content(name, spec).checked
    return [] if checked is None else [f"{file.file} ({file.reason})" for file in checked.skipped]


def files(path: Path) -> Iterator[tuple[str, Path]]:
    """The metadata and all files that they describe, by their names below the folder."""
    file = metadata_file(path)
    if file is None:
        return
    yield file.name, file
    try:
        metadata = read_metadata(path, "datasets")
    except UserError:
        return
    described = {}
    for resource in metadata.resources.values():
        try:
            described |= {relative(metadata, file): file for file in files_of(metadata, resource, "datasets")}
        except UserError:  # files that no image needs may be elsewhere
            continue
    yield from sorted(described.items())


def details(spec: Croissant) -> Mapping[str, str]:
    """Name, licence, homepage and citation that the metadata state."""
    return read_metadata(Path(spec.path).expanduser(), "datasets").facts


def read(name: str, spec: Croissant, threads: int) -> Reading:
    """Images and labels of all splits, or without test images a stratified split.

    Raises UserError for metadata and files that are not what they should be, and for files with another checksum than
    the metadata state.
    """
    from convlab.datasets.table_reading import divided, indices_of

    key, content = f"datasets.{name}", _content(name, spec)
    records, metadata = content.records, content.metadata
    log.info("%s: %s: %s of %s", name, metadata.path, records.layout, ", ".join(records.resources))
    for resource in (metadata.resources[resource] for resource in records.resources):
        _check_sum(metadata, resource, key)
    if content.checked is not None:
        return read_checked(name, content.spec, content.tables, content.checked, threads)
    copies = 1 if "test" in content.labels else 2  # while they are divided
    total = sum(sum(labels.values()) for labels in content.labels.values())
    check_memory(copies * total, content.form, f"{key}.path", f"choose a smaller {key}.image_size")
    parts = {}
    for split in (split for split in SPLITS if split in content.labels):
        if records.layout == "files":
            images = _decoded(metadata, records.files[split], content, threads)
            labels = records.labels[split]
        else:
            images, labels = _arrays(records, split, key)
        parts[split] = images, indices_of(labels, content.values)
    return divided(name, spec, parts, content.names)


# ---------------------------------------------------------------------------------------------------------------------
# What is known before images are read


@dataclass(frozen=True)
class _Content:
    """Metadata and labels of a dataset, and the form of its images.

    ``values`` are the labels in the order of the classes, ``labels`` how often each occurs, by split. Of Parquet files
    ``spec``, ``tables`` and ``checked`` are what their reader needs; of others ``checked`` is None.
    """

    key: str
    spec: Croissant
    metadata: Metadata
    records: Records
    values: tuple[str, ...]
    names: tuple[str, ...]
    form: tuple[int, int, int]
    labels: Mapping[str, Labels]
    tables: Tables | None = None
    checked: Checked | None = None


def _content(name: str, spec: Croissant) -> _Content:
    """Raises UserError for whatever `prepare` would refuse and can be seen without decoding all images."""
    key, path = f"datasets.{name}", Path(spec.path).expanduser()
    metadata = read_metadata(path, key)
    records = read_records(metadata, spec, key)
    if records.layout == "parquet":
        image, label = records.columns["train" if "train" in records.columns else next(iter(records.columns))]
        spec = spec.model_copy(update={"image": image, "label": label})
        names = {split: split for split in records.files}
        tables = Tables(records.files, names, metadata.folder, {})
        checked = check_tables(name, spec, tables)
        if spec.classes is None and checked.columns.names is None:
            checked = replace(checked, names=_named(checked.values, records.names) or checked.names)
        return _Content(
            *(key, spec, metadata, records, checked.values, checked.names, checked.form, checked.labels),
            *(tables, checked),
        )
    if records.layout == "files":
        labels = {split: Counter(values) for split, values in records.labels.items()}
        shape = _form_of_files(spec, records, key)
    else:
        labels = {split: Counter(_array_labels(records, split, key)) for split in records.files}
        shape = _form_of_arrays(records, key)
    if "train" not in labels:
        raise UserError(
            f"{key}.path: {printable_name(metadata.path.name)} has no images to train with; write {key}.splits"
        )
    if not spec.splits:
        require_test(labels, key, lambda split: split)
    file_of = {split: f"{printable_name(metadata.path.name)} ({split})" for split in labels}
    known = [label for label in records.names if label in labels["train"]]
    order = known if set(known) == set(labels["train"]) else None
    values = labels_in_order(labels, order, file_of, key)
    names = class_names(values, spec.classes or _named(values, records.names), file_of["train"], key)
    check_enough(values, labels, spec.test_fraction, key)
    return _Content(key, spec, metadata, records, values, names, shape, labels)


def _named(values: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names of the labels, where the metadata name all of them differently."""
    named = tuple(printable_name(names[value]) for value in values if value in names)
    return named if len(set(named)) == len(values) else None


def _form_of_files(spec: Croissant, records: Records, key: str) -> tuple[int, int, int]:
    """From the config, or else from the header of the first image."""
    channels = {"rgb": 3, "grey": 1, None: None}[spec.colour]
    if spec.image_size is not None and channels is not None:
        return (*spec.image_size, channels)
    from convlab.datasets.image_decoding import Unreadable, image_form

    first = records.files["train" if "train" in records.files else next(iter(records.files))][0]
    try:
        height, width, own_channels = image_form(first.read_bytes())
    except (Unreadable, OSError) as error:
        raise UserError(f"{key}.path: {printable_name(first.name)} {error}; mend or remove it") from None
    return (*(spec.image_size or (height, width)), channels or own_channels)


def _form_of_arrays(records: Records, key: str) -> tuple[int, int, int]:
    """From the headers of the arrays, which must be bytes and equal in all splits."""
    forms = {}
    for split, (file,) in records.files.items():
        header = read_headers(file, f"{key}.path")[records.columns[split][0]]
        array = records.columns[split][0]
        shape = header.shape[1:] if len(header.shape) == 4 else (*header.shape[1:], 1)
        if header.dtype != "uint8" or len(shape) != 3 or shape[2] not in (1, 3):
            raise UserError(
                f"{key}.path: {printable_name(file.name)}: {array} is of {header.dtype} {list(header.shape)}; images "
                "are uint8 (images, height, width) or with 1 or 3 channels last"
            )
        forms[split] = tuple(shape)
    if len(set(forms.values())) > 1:
        raise UserError(f"{key}.path: images have the shapes {forms}; give all splits one")
    return forms["train"] if "train" in forms else next(iter(forms.values()))


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def _check_sum(metadata: Metadata, resource, key: str) -> None:
    """Raise UserError for a file that has another checksum than the metadata state."""
    if resource.url is None or resource.checksum is None:
        return
    (file,) = files_of(metadata, resource, key)
    if digest(file, resource.checksum) != resource.checksum:
        raise UserError(
            f"{key}.path: {printable_name(file.name)} has another {algorithm(resource.checksum)} than "
            f"{printable_name(metadata.path.name)} states; get both again"
        )


def _array_labels(records: Records, split: str, key: str) -> list[str | None]:
    """Labels of one split of a NumPy file, as text."""
    import numpy as np

    (file,) = records.files[split]
    image, label = records.columns[split]
    headers = read_headers(file, f"{key}.path")
    for array in (image, label):
        if array not in headers:
            raise UserError(
                f"{key}.path: {printable_name(file.name)} has no array {printable_name(array)}, only "
                f"{printable_name(', '.join(headers))}"
            )
    if len(headers[label].shape) != 1 or headers[label].shape != headers[image].shape[:1]:
        raise UserError(f"{key}.path: {printable_name(file.name)}: {label} does not have one label for each image")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return [label_text(value) for value in arrays[label].tolist()]
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{key}.path: {printable_name(file.name)} is damaged ({error}); get it again") from None


def _arrays(records: Records, split: str, key: str) -> "tuple[np.ndarray, list[str | None]]":
    """Images (n, height, width, channels) and labels of one split of a NumPy file."""
    import numpy as np

    (file,) = records.files[split]
    labels = _array_labels(records, split, key)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images = arrays[records.columns[split][0]]
    except Exception as error:  # as above
        raise UserError(f"{key}.path: {printable_name(file.name)} is damaged ({error}); get it again") from None
    return images.reshape(*images.shape[:3], -1), labels


def _decoded(metadata: Metadata, images: Sequence[Path], content: _Content, threads: int) -> "np.ndarray":
    """Images (n, height, width, channels) of bytes. Raises UserError, with the file, for one that cannot be used."""
    import numpy as np

    from convlab.datasets.image_rows import Options, decode_into

    def refuse(index: int, problem: str) -> NoReturn:
        raise UserError(f"{content.key}.path: {printable_name(relative(metadata, images[index]))}: {problem}")

    spec = content.spec
    decoded = np.zeros((len(images), *content.form), np.uint8)
    options = Options(metadata.folder, spec.image_size, spec.channels, spec.colour, threads)
    decode_into(decoded, images, options, refuse, content.key)
    return decoded


KIND = Kind(
    spec=Croissant,
    form=form,
    counts=counts,
    read=read,
    files=files,
    unused=unused,
    source=translatable("a dataset with Croissant metadata"),
    licence=translatable("as of the images"),
    details=details,
    threads=8,
    order=11,
)
