"""File type by magic number, whatever the name. Standard library only."""

from pathlib import Path

_MAGIC_NUMBERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyphei", "an HEIC image"),
    (4, b"ftypmif1", "an HEIC image"),
    (4, b"ftyp", "a video"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (4, b"JXL ", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an icon file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"version https://git-lfs", "a Git LFS pointer and not the file itself"),
    (128, b"DICM", "a DICOM file"),
)

_READABLE_KINDS = tuple(f"a {name} image" for name in ("PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF"))

HEADER_BYTES = 512
"""Bytes of a file that are read for its type."""


def content_kind(beginning: bytes) -> str:
    """What a file is, by its first bytes: ``a WebP image``, ``an HTML page``, ``text``, ``empty``."""
    if not beginning:
        return "empty"
    for offset, mark, kind in _MAGIC_NUMBERS:
        if beginning[offset : offset + len(mark)] == mark:
            return kind
    if beginning[:2] == b"BM" and beginning[6:10] == b"\0\0\0\0":
        return "a BMP image"
    start = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith(b"<"):
        return "an SVG image" if b"<svg" in start else "an XML document"
    if not beginning.strip(b"\0"):
        return "zeros only"
    try:
        text = beginning.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        text = beginning[: error.start].decode() if error.start >= len(beginning) - 4 else "\0"
    return "text" if not any(ord(sign) < 32 and sign not in "\t\r\n\f" for sign in text) else "something unknown"


def is_readable_kind(kind: str) -> bool:
    """Whether a content is one of the formats that are read."""
    return kind in _READABLE_KINDS


def file_kind(path: str | Path) -> str | None:
    """What a file is, by its content; None where it cannot be read."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (speed)
            return content_kind(stream.read(HEADER_BYTES))
    except OSError:
        return None
