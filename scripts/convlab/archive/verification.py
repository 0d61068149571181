"""Verification of an archive: its manifests, its crate and the records of the results against every file.

Standard library only, so that an archive can be checked with nothing but Python.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from convlab.archive import bag
from convlab.archive.reading import UNREADABLE, Archive
from convlab.common.checksums import RECORD_SUFFIX
from convlab.study import layout

CRATE = f"{bag.PAYLOAD}ro-crate-metadata.json"
RESULTS = f"{bag.PAYLOAD}{layout.RESULTS.as_posix()}/"

MAX_TEXT_BYTES = 2**28
"""Bytes of a manifest, crate or record that is read; a million files need no more."""

SHOWN_CHARS = 12
"""Characters of a checksum that are shown."""


def problems(archive: Archive) -> list[str]:
    """All that an archive lacks, has too much or has changed, a sentence each; empty for one that is whole."""
    names = archive.names()
    actual = {name: _checksum(archive, name) for name in names}
    lines = [f"{name} cannot be read: it is damaged" for name, checksum in actual.items() if checksum is None]
    manifests = {}
    for name in (bag.TAG_MANIFEST, bag.MANIFEST):
        text = _text(archive, name, actual)
        if text is None:
            lines.append(f"{name} is missing or damaged, so that what it lists cannot be verified")
            continue
        try:
            manifests[name] = bag.read_manifest(text)
        except ValueError as error:
            lines.append(f"{name} is no manifest: {error}")
    if bag.TAG_MANIFEST in manifests:
        own = {name for name in names if not name.startswith(bag.PAYLOAD)} - {bag.TAG_MANIFEST}
        lines += _differences(bag.TAG_MANIFEST, manifests[bag.TAG_MANIFEST], actual, own)
    if bag.MANIFEST in manifests:
        content = {name for name in names if name.startswith(bag.PAYLOAD)}
        lines += _differences(bag.MANIFEST, manifests[bag.MANIFEST], actual, content)
        lines += _disagreements_of_crate(_text(archive, CRATE, actual), manifests[bag.MANIFEST])
        lines += _disagreements_of_records(archive, manifests[bag.MANIFEST], actual)
    return lines


def content_checksum(archive: Archive) -> str:
    """SHA-256 of the tag manifest, which stands for every file and is the same however the archive is packed."""
    with archive.open(bag.TAG_MANIFEST) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file on the disk."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def study_of(archive: Archive) -> str:
    """Name of the study, by the folder of its results; empty where there is none."""
    return next((name.split("/")[2] for name in archive.names() if name.startswith(RESULTS)), "")


def _checksum(archive: Archive, name: str) -> str | None:
    try:
        with archive.open(name) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, *UNREADABLE):
        return None


def _text(archive: Archive, name: str, actual: Mapping[str, str | None]) -> str | None:
    """Text of a file; None where it is missing, damaged or no UTF-8."""
    if actual.get(name) is None:
        return None
    try:
        with archive.open(name) as stream:
            text = stream.read(MAX_TEXT_BYTES + 1)
        return text.decode("utf-8") if len(text) <= MAX_TEXT_BYTES else None
    except ValueError:
        return None


def _differences(
    manifest: str, expected: Mapping[str, str], actual: Mapping[str, str | None], present: set[str]
) -> Iterator[str]:
    """What a manifest lists that is missing or has changed, and what is there beside it."""
    for name in sorted(expected.keys() | present):
        if name not in expected:
            yield f"{name} was added: {manifest} does not list it"
        elif name not in present:
            yield f"{name} is missing, which {manifest} lists"
        elif actual[name] not in (None, expected[name]):
            kept, now = expected[name][:SHOWN_CHARS], actual[name][:SHOWN_CHARS]
            yield f"{name} was changed: its SHA-256 is {now}…, and {manifest} has {kept}…"


def _disagreements_of_crate(text: str | None, expected: Mapping[str, str]) -> Iterator[str]:
    """Where the RO-Crate says something else of a file than the manifest."""
    try:
        entities = json.loads(text or "")["@graph"]
        described = list(_checksums_of_crate(entities))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        yield f"{CRATE} is missing or no RO-Crate, so that it cannot be held against {bag.MANIFEST}"
        return
    checksums = dict(described)
    for name, count in Counter(name for name, _ in described).items():
        if count > 1:
            yield f"{name} is described {count} times in {CRATE}"
    for name in sorted(expected.keys() ^ checksums.keys() - {CRATE}):
        if name != CRATE:
            has, lacks = (bag.MANIFEST, CRATE) if name in expected else (CRATE, bag.MANIFEST)
            yield f"{name} is described in {has} and not in {lacks}"
    for name in sorted(expected.keys() & checksums.keys()):
        if checksums[name] != expected[name]:
            yield f"{name} has another SHA-256 in {CRATE} than in {bag.MANIFEST}"


def _checksums_of_crate(entities: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each file that a crate describes."""
    for entity in entities:
        kinds = entity["@type"]
        if "File" in (kinds if isinstance(kinds, list) else [kinds]):
            yield bag.PAYLOAD + unquote(entity["@id"]), str(entity.get("sha256", "")).lower()


def _disagreements_of_records(
    archive: Archive, expected: Mapping[str, str], actual: Mapping[str, str | None]
) -> Iterator[str]:
    """Where the checksums that the study's jobs recorded are not those of the manifest.

    A record also names files that the archive leaves out, such as the data.
    """
    for record in (name for name in expected if name.startswith(RESULTS) and name.endswith(RECORD_SUFFIX)):
        folder = record.rpartition("/")[0]
        try:
            files = json.loads(_text(archive, record, actual) or "")
            recorded = {f"{folder}/{name}": entry["sha256"] for name, entry in files.items()}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            yield f"{record} is no record of checksums"
            continue
        for name, checksum in sorted(recorded.items()):
            if name in expected and expected[name] != checksum:
                yield f"{name} has another SHA-256 in {record}, which the study wrote, than in {bag.MANIFEST}"
