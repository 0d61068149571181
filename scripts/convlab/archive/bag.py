"""BagIt (RFC 8493) in a zip file whose bytes depend on its content alone. Standard library only.

A bag has its content below ``data/``, and beside it a manifest with the SHA-256 of every file of the content, and a tag
manifest with that of every other file, the manifest among them. ``sha256sum --check manifest-sha256.txt`` verifies the
content without any program of ours.
"""

import hashlib
import re
import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

PAYLOAD = "data/"
"""Beginning of the paths of the content."""

DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAG_MANIFEST = "manifest-sha256.txt", "tagmanifest-sha256.txt"

VERSION_TEXT = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

ZIP_EPOCH, ZIP_END = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
"""First and last time that a zip file can hold."""

ESCAPED = {"%": "%25", "\r": "%0D", "\n": "%0A"}
"""Characters of a path that a manifest has in another form."""

CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)")


@dataclass(frozen=True)
class Member:
    """A file of an archive: its bytes, or the file on the disk that has them."""

    content: bytes | Path
    executable: bool = False

    def open(self) -> BinaryIO:
        return BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def sha256(self) -> str:
        """Hexadecimal SHA-256."""
        with self.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest(checksums: Mapping[str, str]) -> str:
    """Text of a manifest: a line for each path, sorted."""
    escape = str.maketrans(ESCAPED)
    return "".join(f"{checksums[path]}  {path.translate(escape)}\n" for path in sorted(checksums))


def read_manifest(text: str) -> dict[str, str]:
    """Checksum of each path. Raises ValueError, a clause, for a line that is no entry and for a path listed twice."""
    back = {escape: character for character, escape in ESCAPED.items()}
    checksums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = CHECKSUM_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not a SHA-256 and a path")
        path = re.sub("%25|%0[AaDd]", lambda code: back[code[0].upper()], match[2])
        if path in checksums:
            raise ValueError(f"line {number} names {path} a second time")
        checksums[path] = match[1].lower()
    return checksums


def tag_files(payload: Mapping[str, Member], checksums: Mapping[str, str], info: Mapping[str, str]) -> dict[str, bytes]:
    """The bag's own files but its tag manifest.

    Args:
        payload: files of the content by path, ``data/`` included; ``checksums`` has theirs.
        info: more entries of ``bag-info.txt``; a value is one line.
    """
    size = sum(member.size for member in payload.values())
    entries = {**info, "Payload-Oxum": f"{size}.{len(payload)}"}
    lines = [f"{key}: {' '.join(value.split())}\n" for key, value in entries.items() if value]
    texts = {DECLARATION: VERSION_TEXT, INFO: "".join(lines), MANIFEST: manifest(checksums)}
    return {name: text.encode() for name, text in texts.items()}


def write_bag(path: Path, name: str, payload: Mapping[str, Member], tags: Mapping[str, bytes], time: datetime) -> None:
    """Write a bag as a zip file with one folder, ``name``: equal content and time give equal bytes.

    Args:
        payload: files of the content by path, ``data/`` included.
        tags: the other files; the tag manifest is added.
        time: modification time of every file, in UTC.
    """
    checksums = {tag: Member(content).sha256() for tag, content in tags.items()}
    members = {tag: Member(content) for tag, content in tags.items()}
    members |= {TAG_MANIFEST: Member(manifest(checksums).encode()), **payload}
    when = min(max(time.astimezone(UTC), ZIP_EPOCH), ZIP_END)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member_path in sorted(members, key=lambda member: (member.startswith(PAYLOAD), member)):
            member = members[member_path]
            header = zipfile.ZipInfo(f"{name}/{member_path}", when.timetuple()[:6])
            header.create_system, header.compress_type = 3, zipfile.ZIP_DEFLATED  # Unix, whatever this system is
            header.external_attr = (stat.S_IFREG | (0o755 if member.executable else 0o644)) << 16
            header.file_size = member.size
            with member.open() as source, archive.open(header, "w") as target:
                shutil.copyfileobj(source, target)
