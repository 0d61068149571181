"""Decoding image files of any size and pixel type into uint8 arrays of one shape.

- Rotated by the EXIF orientation, then cropped around the centre to the wanted aspect ratio (to the nearest pixel),
  then resized with Pillow's antialiased bilinear filter. An image that has the wanted size keeps every value.
- A JPEG that is at least four times too large is decoded at a half, quarter or eighth of its size, never below twice
  the wanted size: libjpeg does that many times faster.
- Transparent pixels are shown on white. Palettes and CMYK become RGB (by Pillow's formula; colour profiles are not
  applied), and grey is the luma of ITU-R 601-2.
- 16-bit values keep their high byte; where all 16-bit images of a dataset use 8, 10, 12 or 14 bits only, the highest
  eight of these.
- Of an animation or a multi-picture file the first picture counts; such files are counted.
- The format is detected by content, not by name.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from convlab.datasets.file_content import HEADER_BYTES, content_kind, file_kind, is_readable_kind
from convlab.datasets.folder_listing import DAMAGED, DANGLING, DENIED, EMPTY, NO_IMAGE, PIXEL_TYPE, READABLE, TOO_LARGE

MAX_PIXELS = 64_000_000
"""Larger images are refused: a few bytes of a hostile file can claim any size."""

LARGE_PIXELS = 8_000_000
"""Images that take more pixels in memory are decoded one at a time, so that memory is bounded for any thread count."""

_BATCH_IMAGES = 64
"""Images per task of a thread: many enough for little overhead, few enough to balance."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF")
"""Pillow decoders that may be used, of some forty: files are untrusted."""

_MULTI_FRAME_FORMATS = ("PNG", "GIF", "WEBP", "TIFF")
"""Formats whose further frames are separate images; those in a JPEG are previews and depth maps."""

_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

_ORIENTATION = 0x0112  # EXIF
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_large = threading.Lock()


class Unreadable(Exception):
    """An image that cannot be used: the reason, one of ``folder_listing.REASONS``, and what is wrong with this file."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Images:
    """What was read: images (n, height, width, channels), uint8; by index, why others cannot be used; how many files
    hold several pictures; by index, the largest value of 16-bit images (negative, to the high byte, for colour)."""

    images: np.ndarray
    problems: dict[int, "Unreadable"]
    several: int
    deep: dict[int, int]


def read_images(root: Path, files: Sequence[str], size: tuple[int, int], channels: int, threads: int) -> Images:
    """Read every file, those that cannot be used left black and named.

    Threads serve, since Pillow lets others run while it decodes; each writes to its own rows, so that their number
    changes nothing.
    """
    images = np.zeros((len(files), *size, channels), np.uint8)

    def work(start: int) -> tuple[dict[int, Unreadable], list[Facts]]:
        problems, facts = {}, []
        for index in range(start, min(start + _BATCH_IMAGES, len(files))):
            try:
                images[index] = read_image(
                    os.path.join(root, files[index]),  # noqa: PTH118 (speed)
                    *(size, channels, 16, lambda *fact, index=index: facts.append((index, *fact))),
                )
            except Unreadable as problem:
                problems[index] = problem
        return problems, facts

    problems: dict[int, Unreadable] = {}
    several, deep = 0, {}
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for unreadable, facts in pool.map(work, range(0, len(files), _BATCH_IMAGES)):
            problems.update(unreadable)
            for index, fact, value in facts:
                if fact == "several":
                    several += 1
                elif fact == "deep":
                    deep[index] = value
    return Images(images, problems, several, deep)


Facts = tuple[int, str, int]
"""Index of a file, what is to be noted of it, and a number: ``several`` pictures, ``deep`` pixels, ``resized``, or
other ``channels`` than wanted."""


def read_image(
    path: str | Path | bytes,
    size: tuple[int, int],
    channels: int,
    bits: int = 16,
    note: Callable[[str, int], None] = lambda fact, value: None,
) -> np.ndarray:
    """One image as (height, width, channels), uint8, by the rules above; raises Unreadable.

    ``path`` is a file or the bytes of one. ``bits`` is how many of 16 a 16-bit grey image uses; ``note`` is called for
    multi-frame files, 16-bit values, and images of another size or number of channels.
    """
    try:
        with Image.open(BytesIO(path) if isinstance(path, bytes) else path, formats=_FORMATS) as image:
            return _pixels(image, size, channels, bits, note)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        kind = content_kind(path[:HEADER_BYTES]) if isinstance(path, bytes) else file_kind(path)
        if kind == "empty":
            raise Unreadable(EMPTY, "is empty") from None
        if kind is None or is_readable_kind(kind):
            raise Unreadable(DAMAGED, f"is damaged: begins like {kind}, of which nothing can be read") from None
        raise Unreadable(NO_IMAGE, f"is {kind}, and no {READABLE} image") from None
    except Image.DecompressionBombError:
        raise Unreadable(TOO_LARGE, f"has more than {MAX_PIXELS // 10**6} million pixels") from None
    except FileNotFoundError:
        raise Unreadable(DANGLING, "is a link that leads nowhere, or has just gone") from None
    except PermissionError:
        raise Unreadable(DENIED, "may not be read; change its permissions") from None
    except OSError as error:
        reason = DANGLING if error.errno == errno.ELOOP else DAMAGED
        raise Unreadable(reason, error.strerror or str(error)) from None
    except Exception as error:  # decoders raise a dozen types for a damaged file
        raise Unreadable(DAMAGED, f"is damaged ({error})") from None


def image_form(data: bytes) -> tuple[int, int, int]:
    """Height, width and channels (1 for grey, 3 for any other) of an image file, from its header; raises Unreadable."""
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            height, width = image.size[::-1] if _orientation(image) < 5 else image.size
            return height, width, _channels(image)
    except Exception as error:  # decoders raise a dozen types for a damaged file
        detail = f"is {content_kind(data[:HEADER_BYTES])}, and no {READABLE} image"
        raise Unreadable(NO_IMAGE, detail if isinstance(error, UnidentifiedImageError) else str(error)) from None


def _channels(image: Image.Image) -> int:
    return 1 if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16") else 3


def _pixels(
    image: Image.Image, size: tuple[int, int], channels: int, bits: int, note: Callable[[str, int], None]
) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        text = f"has {pixels / 1e6:,.0f} million pixels, more than {MAX_PIXELS // 10**6} million"
        raise Unreadable(TOO_LARGE, text)
    if image.format in _MULTI_FRAME_FORMATS and getattr(image, "is_animated", False):
        note("several", 1)
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise Unreadable(
            PIXEL_TYPE, f"has pixels of type {image.mode}, which is not read; save it as grey or RGB of 8 bits"
        )
    colour_of_16_bits = any("RGB" in str(tile[-1]) and "16" in str(tile[-1]) for tile in image.tile)
    if image.format in ("JPEG", "MPO"):
        scale = min(image.size) // (2 * max(size))
        if scale >= 2:
            image.draft(None, (image.width // scale, image.height // scale))
        if not image.info.get("progressive"):  # of a progressive image libjpeg keeps all, whatever the scale
            pixels = image.width * image.height
    with _large if pixels > LARGE_PIXELS else nullcontext():
        image.load()
        orientation = _orientation(image)  # after loading, since a PNG's metadata may stand behind its pixels
        height, width = size[::-1] if orientation in (5, 6, 7, 8) else size
        if _channels(image) != channels:
            note("channels", _channels(image))
        image = _eight_bit(image, bits, note)
        if colour_of_16_bits:  # Pillow has kept the high byte already
            note("deep", -(int(np.asarray(image).max()) * 256 + 255))
        if image.size != (width, height):
            note("resized", 1)
            image = _crop(image, width, height).resize((width, height), Image.Resampling.BILINEAR)
    if orientation in _TRANSPOSITIONS:
        image = image.transpose(_TRANSPOSITIONS[orientation])
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    mode = "RGB" if channels == 3 else "L"
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array.reshape(*array.shape[:2], channels)


def _eight_bit(image: Image.Image, bits: int, note: Callable[[str, int], None]) -> Image.Image:
    """The image as L, LA, RGB or RGBA, whichever loses nothing but what eight bits cannot hold."""
    if image.mode.startswith("I;16"):  # 16-bit grey; NumPy since Pillow clips instead of scaling
        values = np.asarray(image)
        note("deep", int(values.max()))
        return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    if image.mode in ("L", "RGB", "LA", "RGBA") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest part of the aspect ratio ``width`` to ``height`` around the centre, to the nearest pixel."""
    across = min(image.width, max(1, round(image.height * width / height)))
    down = min(image.height, max(1, round(image.width * height / width)))
    if (across, down) == image.size:
        return image
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return image.crop((left, top, left + across, top + down))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; damaged metadata are ignored."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1
