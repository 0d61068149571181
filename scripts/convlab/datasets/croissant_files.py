"""Reading Croissant 1.0 and 1.1 metadata (JSON-LD): record sets, fields, and their files, which lie beside it.

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Keys and types are compared by their local
names, whatever prefix they have. Nothing is fetched. Standard library only.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from convlab.datasets.folder_listing import litter, printable_name, refuse_outside
from convlab.errors import UserError

VERSIONS = ("1.0", "1.1")

FILE_NAMES = ("croissant.json", "metadata.json", "croissant.jsonld", "metadata.jsonld")
"""Usual names of the metadata; the first that is in a folder counts."""

MAX_METADATA_BYTES = 64 * 2**20

PATH_PROPERTIES = ("fullpath", "filepath", "filename")
"""Properties of a file that are its path, or the last part of it."""


@dataclass(frozen=True)
class Source:
    """Where a field's values are from.

    Args:
        resource: id of the files.
        column: of a table, or array of a NumPy file.
        file_property: of the files, such as ``content`` or ``fullpath``.
        regex: pattern whose first group is the value; None for the whole.
    """

    resource: str
    column: str | None
    file_property: str | None
    regex: str | None


@dataclass(frozen=True)
class Field:
    """A field of a record set; ``references`` is the id of a field with the same values, or of its record set."""

    id: str
    name: str
    types: frozenset[str]
    source: Source | None
    references: str | None


@dataclass(frozen=True)
class RecordSet:
    """A record set, and its records where they stand in the metadata."""

    id: str
    name: str
    types: frozenset[str]
    fields: tuple[Field, ...]
    data: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Resource:
    """A FileObject, by its ``url``, or a FileSet, by its patterns ``includes`` without ``excludes``."""

    id: str
    url: str | None
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    encodings: tuple[str, ...]
    checksum: str | None
    contained: bool


@dataclass(frozen=True)
class Metadata:
    """Content of one metadata file.

    Args:
        path: the file.
        facts: name, licence, citation and homepage of the dataset, where they are stated.
        resources: files by id.
        record_sets: in their order.
    """

    path: Path
    facts: Mapping[str, str]
    resources: Mapping[str, Resource]
    record_sets: tuple[RecordSet, ...]

    @property
    def folder(self) -> Path:
        """The folder in which the files are looked for."""
        return self.path.parent

    def field(self, identifier: str) -> tuple[RecordSet, Field] | None:
        """A field by its id, with its record set."""
        fields = ((record_set, field) for record_set in self.record_sets for field in record_set.fields)
        return next((pair for pair in fields if pair[1].id == identifier), None)


def metadata_file(path: Path) -> Path | None:
    """The metadata at ``path``, which is the file itself or its folder; None where there is none."""
    if path.is_file():
        return path
    return next((path / name for name in FILE_NAMES if (path / name).is_file()), None)


def read_metadata(path: Path, key: str) -> Metadata:
    """Read the metadata at ``path``. Raises UserError, which names the dataset's ``key``, for other content."""
    file = metadata_file(path)
    shown = printable_name(str(path))
    if file is None:
        raise UserError(f"{key}.path: {shown} holds none of {', '.join(FILE_NAMES)}; give the Croissant file itself")
    try:
        if file.stat().st_size > MAX_METADATA_BYTES:
            raise UserError(f"{key}.path: {shown} is larger than any Croissant metadata; give the file with these")
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{key}.path: {shown} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{key}.path: {shown} is no JSON ({printable_name(reason)}); give a Croissant file") from None
    content = _local(content)
    if not isinstance(content, dict) or "Dataset" not in _types(content):
        raise UserError(f"{key}.path: {shown} describes no dataset (@type: sc:Dataset); give a Croissant file")
    versions = [str(version).rstrip("/").rpartition("/")[2] for version in _listed(content.get("conformsTo"))]
    if not set(versions) & set(VERSIONS):
        stated = printable_name(", ".join(versions)) or "no version"
        raise UserError(f"{key}.path: {shown} states {stated} of Croissant; versions {' and '.join(VERSIONS)} are read")
    resources = [_resource(entry) for entry in _objects(content.get("distribution"))]
    return Metadata(
        file,
        _facts(content),
        {resource.id: resource for resource in resources},
        tuple(_record_set(entry) for entry in _objects(content.get("recordSet"))),
    )


def files_of(metadata: Metadata, resource: Resource, key: str) -> list[Path]:
    """Paths of a resource's files, sorted, all inside the metadata's folder. Raises UserError if no file matches."""
    folder, shown = metadata.folder, printable_name(metadata.path.name)
    if resource.url is not None:
        files = [_below(folder, _local_name(resource.url), key)]
        if not files[0].is_file():
            raise UserError(
                f"{key}.path: {shown} lists {printable_name(resource.url)}, and there is no "
                f"{printable_name(str(files[0]))}; put it there"
            )
    else:
        files = _matching(folder, resource.includes, key)
        excluded = set(_matching(folder, resource.excludes, key))
        files = sorted({file for file in files if file not in excluded and litter(file.name) is None}, key=str)
        if not files:
            patterns = printable_name(", ".join(resource.includes)) or "no pattern"
            unpack = "; unpack its archive there" if resource.contained else "; put them there"
            raise UserError(
                f"{key}.path: {shown} lists files {patterns}, and {printable_name(str(folder))} has none{unpack}"
            )
    # of 60,000 files in a few folders, the folders and the links are looked at
    for path in [*{file.parent for file in files}, *(file for file in files if file.is_symlink())]:
        refuse_outside(folder, path, f"{key}.path")
    return files


def relative(metadata: Metadata, file: Path) -> str:
    """A file's path below the metadata's folder, with slashes."""
    return file.relative_to(metadata.folder).as_posix()


def value_of(source: Source, text: str, key: str) -> str | None:
    """The value that a source takes from a text: all of it, or the first group of its pattern; None without a match."""
    if source.regex is None:
        return text
    try:
        match = re.search(source.regex, text)
    except re.error as error:
        pattern = printable_name(source.regex)
        raise UserError(f"{key}.path: the pattern {pattern!r} is no regular expression ({error})") from None
    return None if match is None else match[1] if match.re.groups else match[0]


def _below(folder: Path, name: str, key: str) -> Path:
    """A path in the folder. Raises UserError for one that leads elsewhere."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(
            f"{key}.path: {printable_name(name)} is not below the folder of the Croissant file; move it there"
        )
    return folder / name


def _matching(folder: Path, patterns: Iterable[str], key: str) -> list[Path]:
    files = []
    for pattern in patterns:
        _below(folder, pattern, key)
        try:
            files += [file for file in folder.glob(pattern) if file.is_file()]
        except (ValueError, IndexError) as error:
            shown = printable_name(pattern)
            raise UserError(f"{key}.path: {shown!r} is no pattern of files in a folder ({error})") from None
    return files


def _local_name(url: str) -> str:
    """Path of a FileObject below the folder: its relative address, or of another address the last part."""
    parts = urlsplit(url)
    return unquote(parts.path).rpartition("/")[2] if parts.scheme else url


# ---------------------------------------------------------------------------------------------------------------------
# JSON-LD


def _local(value: Any) -> Any:
    """The value with local names as keys; records (``data``) stay as they are."""
    if isinstance(value, list):
        return [_local(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key if key.startswith("@") else _name(key): entry if _name(key) in ("data", "examples") else _local(entry)
        for key, entry in value.items()
        if key != "@context"
    }


def _name(identifier: str) -> str:
    """Local name of a key or type: what follows its prefix or address."""
    return re.split(r"[:/#]", identifier)[-1]


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in _listed(value) if isinstance(entry, dict)]


def _text(value: Any) -> str | None:
    """Text, the first of a list, or of an object its name, address or English."""
    for entry in _listed(value):
        if isinstance(entry, dict):
            entry = next((entry[key] for key in ("name", "url", "@value", "en", "@id") if key in entry), None)
        if isinstance(entry, str) and entry.strip():
            return " ".join(entry.split())
    return None


def _types(entry: Mapping[str, Any], key: str = "@type") -> frozenset[str]:
    return frozenset(_name(_id(kind)) for kind in _listed(entry.get(key)))


def _id(value: Any) -> str:
    """Id of an object or of a reference to it."""
    if isinstance(value, dict):
        value = value.get("@id", value.get("name"))
    return value if isinstance(value, str) else ""


def _facts(content: Mapping[str, Any]) -> dict[str, str]:
    stated = {
        "source": _text(content.get("name")),
        "licence": _text(content.get("license")),
        "homepage": _text(content.get("url")),
        "citation": _text(content.get("citeAs")),
    }
    return {fact: printable_name(text) for fact, text in stated.items() if text}


def _resource(entry: Mapping[str, Any]) -> Resource:
    sums = [str(entry[name]).lower() for name in ("sha256", "md5") if entry.get(name)]
    return Resource(
        id=_id(entry),
        url=_text(entry.get("contentUrl")),
        includes=tuple(map(str, _listed(entry.get("includes")))),
        excludes=tuple(map(str, _listed(entry.get("excludes")))),
        encodings=tuple(map(str, _listed(entry.get("encodingFormat")))),
        checksum=next((text for text in sums if re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{32}", text)), None),
        contained=bool(entry.get("containedIn")),
    )


def _record_set(entry: Mapping[str, Any]) -> RecordSet:
    data = tuple(record for record in _listed(entry.get("data")) if isinstance(record, dict))
    fields = tuple(_field(field) for field in _objects(entry.get("field")))
    name = _text(entry.get("name")) or _id(entry)
    return RecordSet(_id(entry), name, _types(entry, "dataType"), fields, data)


def _field(entry: Mapping[str, Any]) -> Field:
    references = entry.get("references")
    if isinstance(references, dict) and "field" in references:
        references = references["field"]
    name = (_text(entry.get("name")) or _id(entry)).rpartition("/")[2]
    return Field(_id(entry), name, _types(entry, "dataType"), _source(entry.get("source")), _id(references) or None)


def _source(entry: Any) -> Source | None:
    if not isinstance(entry, dict):
        return None
    resource = _id(entry.get("fileObject") or entry.get("fileSet"))
    extract = entry.get("extract") if isinstance(entry.get("extract"), dict) else {}
    transforms: Sequence[dict[str, Any]] = _objects(entry.get("transform"))
    patterns = [transform["regex"] for transform in transforms if isinstance(transform.get("regex"), str)]
    return Source(
        resource,
        _text(extract.get("column")),
        _text(extract.get("fileProperty")),
        patterns[0] if patterns else None,
    )
