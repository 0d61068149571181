"""Which images and labels a dataset's Croissant metadata describe: the fields, and the files of each split.

Images are the files of a FileSet, columns of Parquet files, paths in a CSV file, or arrays of a NumPy ``.npz``.
Standard library only.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlab.datasets.croissant_files import PATH_PROPERTIES, Field, Metadata, RecordSet, Source, files_of, relative
from convlab.datasets.croissant_files import value_of as taken_by
from convlab.datasets.files_by_split import split_of
from convlab.datasets.folder_listing import PART_NAMES, printable_name, refuse_outside
from convlab.datasets.label_classes import label_text
from convlab.errors import UserError

LABEL_NAMES = ("label", "labels", "class", "category", "target")
IMAGE_NAMES = ("image", "images", "img")

_PARTS = {word: part for part, words in PART_NAMES.items() for word in words}
_SPLIT_ADDRESSES = {"TrainingSplit": "train", "ValidationSplit": "validation", "TestSplit": "test"}


@dataclass(frozen=True)
class Records:
    """What is to be read.

    Args:
        layout: ``files`` of images, ``parquet`` or ``npz``.
        columns: names of the columns or arrays of images and labels, by split; empty for files of images.
        files: of each split.
        labels: of the files of images, by split, one for each.
        names: name of each label, where the metadata have them.
        resources: ids of the files that are read.
    """

    layout: str
    columns: Mapping[str, tuple[str, str]]
    files: Mapping[str, Sequence[Path]]
    labels: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    resources: Sequence[str]


@dataclass(frozen=True)
class _Chosen:
    """A record set and its fields; ``split`` is the one that all of its records are of, or None."""

    split: str | None
    record_set: RecordSet
    image: Field
    label: Field


class _Reader:
    """Reads one dataset's metadata for its settings in the config."""

    def __init__(self, metadata: Metadata, spec: Any, key: str) -> None:
        self.metadata, self.spec, self.key = metadata, spec, key
        self.parts = self._part_names()

    def refuse(self, problem: str) -> UserError:
        return UserError(f"{self.key}.path: {printable_name(self.metadata.path.name)} {problem}")

    def records(self) -> Records:
        chosen = self.choose()
        layouts = {self.layout(choice.image) for choice in chosen}
        if len(layouts) > 1:
            raise self.refuse(
                f"has images of several kinds ({', '.join(sorted(layouts))}); write {self.key}.record_set"
            )
        (layout,) = layouts
        names = self._class_names(chosen[0].label)
        sources = [field.source for choice in chosen for field in (choice.image, choice.label)]
        resources = sorted({source.resource for source in sources})
        if layout == "files":
            return Records(layout, {}, *self._image_files(chosen), names, resources)
        apart = any(choice.image.source.resource != choice.label.source.resource for choice in chosen)
        if apart or any(not source.column for source in sources):
            raise self.refuse("does not name columns of images and of labels in the same files")
        columns = {
            choice.split or "train": (choice.image.source.column, choice.label.source.column) for choice in chosen
        }
        if layout == "parquet":
            if len(set(columns.values())) > 1:
                raise self.refuse("has other columns in each split; make them equal")
            return Records(layout, columns, self._tables(chosen), {}, names, resources)
        for field in (self._split_field(choice.record_set) for choice in chosen if choice.split is None):
            if field is not None:
                self._require_path(field)
        arrays = {choice.split or "train": self._files(choice.image)[:1] for choice in chosen}
        return Records(layout, columns, arrays, {}, names, resources)

    # ----------------------------------------------------------------------------------------------------------------
    # Record sets and fields

    def choose(self) -> list[_Chosen]:
        """The record sets with images and labels: one, or one for each split."""
        told, sets = self.spec.record_set, self.metadata.record_sets
        if told is not None:
            sets = tuple(entry for entry in sets if told in (entry.id, entry.name))
            if not sets:
                listed = ", ".join(printable_name(entry.id) for entry in self.metadata.record_sets) or "none"
                raise UserError(f"{self.key}.record_set is {told!r}, but the metadata have {listed}; correct it")
        candidates = [(entry, self._images(entry), self._labels(entry)) for entry in sets]
        usable = [candidate for candidate in candidates if candidate[1] and candidate[2]]
        if not usable:
            raise self.refuse(
                "has no record set with a field of images (dataType sc:ImageObject) and one of labels (cr:Label); "
                f"write {self.key}.record_set, {self.key}.image and {self.key}.label"
            )
        splits = [self.part_of(entry.name) or self.part_of(entry.id) for entry, _, _ in usable]
        if len(usable) > 1 and (None in splits or len(set(splits)) < len(splits)):
            listed = ", ".join(printable_name(entry.id) for entry, _, _ in usable)
            raise self.refuse(
                f"has images in the record sets {listed}; write {self.key}.record_set: the one that is meant"
            )
        if len(usable) == 1:
            splits = [None]
        return [
            _Chosen(split, entry, self._only(images, "image"), self._only(labels, "label"))
            for split, (entry, images, labels) in zip(splits, usable, strict=True)
        ]

    def _images(self, record_set: RecordSet) -> list[Field]:
        return self._fields(record_set, self.spec.image, "ImageObject", IMAGE_NAMES)

    def _labels(self, record_set: RecordSet) -> list[Field]:
        return self._fields(record_set, self.spec.label, "Label", LABEL_NAMES)

    def _fields(
        self, record_set: RecordSet, name: str | None, data_type: str, usual_names: Collection[str]
    ) -> list[Field]:
        """Fields with a source: those with the config's name, else those of a type, else those with a usual name."""
        usable = [
            field for field in record_set.fields if field.source and field.source.resource in self.metadata.resources
        ]
        if name is not None:
            return [field for field in usable if name in (field.id, field.name)]
        return [field for field in usable if data_type in field.types] or [
            field for field in usable if field.name.lower() in usual_names
        ]

    def _only(self, fields: list[Field], what: str) -> Field:
        if len(fields) > 1:
            listed = ", ".join(printable_name(field.id) for field in fields)
            raise self.refuse(
                f"has several fields for {what}s ({listed}); write {self.key}.{what}: the one that is meant"
            )
        return fields[0]

    def _class_names(self, label: Field) -> dict[str, str]:
        """Name of each label, where the field refers to a record set that lists them in the metadata."""
        referred = self.metadata.field(label.references or "")
        if referred is None:
            return {}
        record_set, key_field = referred
        names = next((field for field in record_set.fields if field.name.lower() == "name"), key_field)
        return {
            label_text(record[key_field.id]): str(record[names.id])
            for record in record_set.data
            if key_field.id in record and names.id in record and label_text(record[key_field.id]) is not None
        }

    # ----------------------------------------------------------------------------------------------------------------
    # Splits

    def _part_names(self) -> dict[str, str]:
        """The split, train, validation or test, that a name in the data means."""
        if self.spec.splits:
            return {name: part for part, name in self.spec.splits.items()}
        parts = dict(_PARTS)
        for record_set in self.metadata.record_sets:
            if "Split" in record_set.types:
                for record in record_set.data:
                    values = [str(value) for value in record.values()]
                    meant = {_SPLIT_ADDRESSES.get(value.rpartition(":")[2].rpartition("/")[2]) for value in values} - {
                        None
                    }
                    parts |= {value: meant.copy().pop() for value in values} if meant else {}
        return parts

    def part_of(self, name: str) -> str | None:
        return self.parts.get(name, None if self.spec.splits else self.parts.get(name.lower()))

    def _split_field(self, record_set: RecordSet) -> Field | None:
        """The field that tells each record's split: it refers to a record set of splits, or is called so."""
        splits = {field.id for entry in self.metadata.record_sets if "Split" in entry.types for field in entry.fields}
        splits |= {entry.id for entry in self.metadata.record_sets if "Split" in entry.types}
        fields = [field for field in record_set.fields if field.source is not None]
        referring = [field for field in fields if field.references in splits]
        return next(iter(referring or [field for field in fields if field.name.lower() == "split"]), None)

    def _divided(self, chosen: _Chosen, texts: Sequence[str | None], shown: Sequence[str]) -> list[str]:
        """The split of each record, from the values of its field of splits."""
        parts = [None if text is None else self.part_of(text) for text in texts]
        if None in parts:
            index = parts.index(None)
            raise self.refuse(
                f"gives {printable_name(shown[index])} the split {printable_name(texts[index] or 'none')!r} in "
                f"{printable_name(chosen.record_set.id)}; write {self.key}.splits: which names are train, validation "
                "and test"
            )
        return parts

    # ----------------------------------------------------------------------------------------------------------------
    # Files

    def _files(self, field: Field) -> list[Path]:
        return files_of(self.metadata, self.metadata.resources[field.source.resource], self.key)

    def layout(self, image: Field) -> str:
        """How the images of a field are stored."""
        resource = self.metadata.resources[image.source.resource]
        name = (resource.url or next(iter(resource.includes), "")).lower().partition("?")[0]
        if name.endswith(".parquet") or any("parquet" in encoding for encoding in resource.encodings):
            return "parquet"
        if name.endswith(".npz"):
            return "npz"
        if image.source.file_property == "content" or _is_csv(resource.encodings, name):
            return "files"
        encodings = printable_name(", ".join(resource.encodings)) or "no format"
        raise self.refuse(
            f"has images in {printable_name(resource.id)} ({encodings}); image files, Parquet and CSV files and .npz "
            "are read"
        )

    def _tables(self, chosen: Sequence[_Chosen]) -> dict[str, list[Path]]:
        """Parquet files of each split: by the record set, by the field of splits, or by their names."""
        tables: dict[str, list[Path]] = {}
        for choice in chosen:
            files = self._files(choice.image)
            names = [relative(self.metadata, file) for file in files]
            field = self._split_field(choice.record_set)
            if choice.split is not None:
                parts = [choice.split] * len(files)
            elif field is not None:
                self._require_path(field)
                texts = [self._path_value(field.source, name) for name in names]
                # patterns often fit another copy of the files, whose names tell the split as well
                texts = [split_of(name) if text is None else text for text, name in zip(texts, names, strict=True)]
                parts = self._divided(choice, texts, names)
            else:
                told_parts = [self.part_of(name) or split_of(name) for name in names]
                parts = told_parts if None not in told_parts else ["train"] * len(files)
            for part, file in zip(parts, files, strict=True):
                tables.setdefault(part, []).append(file)
        return tables

    def _require_path(self, field: Field) -> None:
        """Raise UserError for splits that stand in rows: only whole files are divided."""
        if field.source.file_property not in PATH_PROPERTIES:
            raise self.refuse(
                f"has the split of each image in {printable_name(field.id)}, which is not read from these files; "
                "describe each split by a record set or by files of its own"
            )

    def _path_value(self, source: Source, name: str) -> str | None:
        """The value that a source takes from a file's path below the folder."""
        return taken_by(source, name.rpartition("/")[2] if source.file_property == "filename" else name, self.key)

    def _image_files(self, chosen: Sequence[_Chosen]) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
        files: dict[str, list[Path]] = {}
        labels: dict[str, list[str]] = {}
        for choice in chosen:
            if choice.image.source.file_property == "content":
                listed = self._files(choice.image)
                names = [relative(self.metadata, file) for file in listed]
                values = self._values(choice.label, choice.image, names)
            else:
                names, values, listed = self._listed_in_table(choice)
            if None in values:
                lacking = [name for name, value in zip(names, values, strict=True) if value is None]
                raise self.refuse(
                    f"gives {len(lacking):,} of {len(names):,} images no label (such as {printable_name(lacking[0])}); "
                    "correct the field of labels, or remove these images"
                )
            parts = self._parts_of_images(choice, names)
            for part, file, value in zip(parts, listed, values, strict=True):
                files.setdefault(part, []).append(file)
                labels.setdefault(part, []).append(value)
        return files, labels

    def _parts_of_images(self, choice: _Chosen, names: list[str]) -> list[str]:
        if choice.split is not None:
            return [choice.split] * len(names)
        field = self._split_field(choice.record_set)
        if field is not None:
            if choice.image.source.file_property == "content":
                return self._divided(choice, self._values(field, choice.image, names), names)
            if field.source.resource != choice.image.source.resource or not field.source.column:
                self._require_path(field)
            return self._divided(choice, [value for (value,) in self._rows(field.source)], names)
        parts = [split_of(name.rpartition("/")[0]) for name in names]
        return parts if None not in parts and "train" in parts else ["train"] * len(names)

    def _values(self, field: Field, image: Field, names: Sequence[str]) -> list[str | None]:
        """A field's value for each image file: from its path, or from the row of a CSV file that names it."""
        source = field.source
        if source.resource == image.source.resource and source.file_property in PATH_PROPERTIES:
            return [label_text(self._path_value(source, name)) for name in names]
        if not source.column:
            raise self.refuse(f"does not say how {printable_name(field.id)} is read from its source")
        column, path = self._join(source.resource, image.source.resource)
        values: dict[str | None, str | None] = {}
        for value, name in self._rows(source, column):
            if values.setdefault(name, value) != value:
                raise self.refuse(
                    f"has {printable_name(name or '')!r} twice in {printable_name(source.resource)}, with "
                    f"{printable_name(values[name] or 'nothing')!r} and {printable_name(value or 'nothing')!r} as "
                    f"{printable_name(field.id)}; keep one row"
                )
        return [values.get(label_text(self._path_value(path, name))) for name in names]

    def _join(self, table: str, images: str) -> tuple[Source, Source]:
        """The column of a table and the property of image files that refer to each other."""
        fields = [field for entry in self.metadata.record_sets for field in entry.fields if field.source is not None]
        by_id = {field.id: field for field in fields}
        for field in fields:
            other = by_id.get(field.references or "")
            for column, path in ((field, other), (other, field)):
                if column is None or path is None or path.source.file_property not in PATH_PROPERTIES:
                    continue
                if column.source.resource == table and column.source.column and path.source.resource == images:
                    return column.source, path.source
        raise self.refuse(
            f"does not say which column of {printable_name(table)} names the files of {printable_name(images)}; add a "
            "field whose references do"
        )

    def _listed_in_table(self, choice: _Chosen) -> tuple[list[str], list[str | None], list[Path]]:
        """Paths and labels of images that a CSV file lists."""
        if choice.label.source.resource != choice.image.source.resource or not choice.label.source.column:
            raise self.refuse(
                f"has {printable_name(choice.label.id)} and {printable_name(choice.image.id)} in different files"
            )
        names, values, files = [], [], []
        for name, value in self._rows(choice.image.source, choice.label.source):
            file = self.metadata.folder / (name or "")
            if not name or not file.is_file():
                raise self.refuse(f"lists the image {printable_name(name or '')!r}, which is not there; add it")
            self._inside(file)
            names.append(name)
            values.append(value)
            files.append(file)
        return names, values, files

    def _inside(self, file: Path) -> None:
        if ".." in file.parts or not file.is_relative_to(self.metadata.folder):
            raise self.refuse(f"lists {printable_name(str(file))}, which is not below its folder; move it there")
        refuse_outside(self.metadata.folder, file, f"{self.key}.path")

    def _rows(self, *sources: Source) -> list[tuple[str | None, ...]]:
        """Values of columns of one CSV file, row by row."""
        rows: list[tuple[str | None, ...]] = []
        for file in files_of(self.metadata, self.metadata.resources[sources[0].resource], self.key):
            try:
                with file.open(encoding="utf-8-sig", newline="") as stream:
                    table = csv.DictReader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
                    twice = [source.column for source in sources if (table.fieldnames or []).count(source.column) > 1]
                    if twice:
                        raise self.refuse(
                            f"names the column {printable_name(twice[0])!r}, which {printable_name(file.name)} has "
                            "twice; rename one"
                        )
                    lacking = [source.column for source in sources if source.column not in (table.fieldnames or ())]
                    if lacking:
                        raise self.refuse(
                            f"names the column {printable_name(lacking[0] or '')!r}, which {printable_name(file.name)} "
                            f"has not; it has {printable_name(', '.join(table.fieldnames or ('no columns',)))}"
                        )
                    rows += [
                        tuple(
                            None
                            if row[source.column] is None
                            else label_text(taken_by(source, row[source.column], self.key))
                            for source in sources
                        )
                        for row in table
                    ]
            except (OSError, ValueError, csv.Error) as error:
                raise self.refuse(f"lists {printable_name(file.name)}, which cannot be read ({error})") from None
        return rows


def _is_csv(encodings: Sequence[str], name: str) -> bool:
    return name.endswith((".csv", ".tsv")) or any("csv" in encoding or "tab-sep" in encoding for encoding in encodings)


def read_records(metadata: Metadata, spec: Any, key: str) -> Records:
    """The images and labels of a dataset, as ``spec`` (``kinds.croissant.Croissant``) asks for them.

    Raises UserError, which names the dataset's ``key``, where fields, files or labels are missing or not unique.
    """
    return _Reader(metadata, spec, key).records()
