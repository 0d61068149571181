"""The user's own images, one folder for each class: of any size and kind of pixels, made equal by stated rules.

- Turned as the EXIF orientation says, then cropped around the centre to the wanted aspect ratio (to the nearest pixel),
  then resized with Pillow's antialiased bilinear filter. An image that has the wanted size keeps every value.
- A JPEG that is at least four times too large is decoded at a half, quarter or eighth of its size, never below twice
  the wanted size: libjpeg does that many times faster.
- Transparent pixels are shown on white. Palettes and CMYK become RGB (by Pillow's formula; colour profiles are not
  applied), 16-bit values keep their high byte, and grey is the luma of ITU-R 601-2.
- Of an animation or a multi-picture file the first picture counts.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from convlab.data import Dataset
from convlab.errors import UserError
from convlab.folders import class_folders, image_names, natural, shown
from convlab.sources.splitting import hold_out
from convlab.specs import ImageFolder

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
"""Larger images are refused: a few bytes of a hostile file can claim any size."""

LARGE_PIXELS = 8_000_000
"""Images that take more pixels in memory are decoded one at a time, so that memory is bounded for any thread count."""

_BATCH = 64
"""Images that a thread takes at once: many enough for little overhead, few enough to spread."""

_ORIENTATION = 0x0112  # EXIF
_TURNS = {
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
    """An image that cannot be used; the message says why, in a few words."""


@dataclass(frozen=True)
class Listing:
    """The image files of one part, by name relative to the folder, with each one's class."""

    files: list[str]
    labels: np.ndarray


def read_image_folder(name: str, spec: ImageFolder, threads: int = 1) -> tuple[Dataset, list[dict[str, str]]]:
    """``train/<class>/*`` and ``test/<class>/*``, or without ``test`` a stratified split; PNG and JPEG.

    Classes and the files of a class are sorted by name. The split is of all files: excluding one moves no other.
    Raises UserError for a folder that is not what it should be and, unless they are excluded, for unreadable files.
    """
    key, root = f"datasets.{name}", Path(spec.path).expanduser()
    classes, train = list_part(root, "train", key)
    if len(classes) < 2:
        raise UserError(
            f"{key}.path: {root / 'train'} holds one class only, and there is nothing to tell apart; add more"
        )
    if spec.classes not in (None, len(classes)):
        raise UserError(f"{key}.classes is {spec.classes}, but {root / 'train'} holds {len(classes)} class folders")
    if (root / "test").is_dir():
        tested, test = list_part(root, "test", key)
        if tested != classes:
            odd = sorted(set(tested) ^ set(classes))[0]
            raise UserError(
                f"{key}.path: train and test hold different classes ({odd!r} is in one of them only); make them equal"
            )
        log.info("%s: %s brings its own test images", name, root)
    else:
        first, second = hold_out(train.labels, classes, spec.test_fraction, spec.split_seed, key)
        files = np.array(train.files, dtype=object)
        train, test = (Listing(files[chosen].tolist(), train.labels[chosen]) for chosen in (first, second))
        log.info("%s: no test images; %d held out by seed %d", name, len(test.files), spec.split_seed)

    total = len(train.files) + len(test.files)
    _check_memory(total, spec, key)
    started = time.monotonic()
    parts, excluded = [], []
    for listing in (train, test):
        images, problems = read_images(root, listing.files, spec.image_size, spec.channels, threads)
        excluded += [{"file": shown(listing.files[index]), "reason": reason} for index, reason in problems.items()]
        labels = listing.labels
        if problems:
            kept = np.delete(np.arange(len(labels)), list(problems))
            images, labels = images[kept], labels[kept]
        parts += [images, labels]
    log.info("%s: %d files read in %.1f s by %d threads", name, total, time.monotonic() - started, threads)
    if excluded:
        _report(key, spec, excluded, total)
    dataset = Dataset(*parts, classes=tuple(classes))
    for part, labels in (("train", dataset.y_train), ("test", dataset.y_test)):
        counts = np.bincount(labels, minlength=len(classes))
        if not counts.all():
            raise UserError(f"{key}.path: no {part} image of class {classes[counts.argmin()]!r} is readable; add some")
    return dataset, excluded


def list_part(root: Path, part: str, key: str) -> tuple[list[str], Listing]:
    """The classes and the files of ``root/part``. Raises UserError for a class without images and for odd folders."""
    classes = class_folders(root, part, f"{key}.path")
    files, labels, others = [], [], Counter()
    for label, (class_name, folder) in enumerate(classes.items()):
        names, besides = image_names(root, root / part / folder, f"{key}.path")
        if not names:
            there = f" (only {_counted(besides)})" if besides else ""
            raise UserError(
                f"{key}.path: {part}/{class_name} holds no PNG or JPEG files{there}; add some or remove the folder"
            )
        files += [f"{part}/{folder}/{name}" for name in names]
        labels += [label] * len(names)
        others += besides
    if others:
        log.warning("%s: not read in %s: %s", key, part, _counted(others))
    return list(classes), Listing(files, np.array(labels, np.int64))


def read_images(
    root: Path, files: Sequence[str], size: tuple[int, int], channels: int, threads: int
) -> tuple[np.ndarray, dict[int, str]]:
    """Images (n, height, width, channels), uint8, and for each index that cannot be read the reason, in order.

    Threads serve, since Pillow lets others run while it decodes; each writes to its own rows, so that their number
    changes nothing.
    """
    images = np.zeros((len(files), *size, channels), np.uint8)

    def work(start: int) -> dict[int, str]:
        problems = {}
        for index in range(start, min(start + _BATCH, len(files))):
            try:
                images[index] = read_image(os.path.join(root, files[index]), size, channels)  # noqa: PTH118 (speed)
            except Unreadable as problem:
                problems[index] = str(problem)
        return problems

    problems: dict[int, str] = {}
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for found in pool.map(work, range(0, len(files), _BATCH)):
            problems.update(found)
    return images, problems


def read_image(path: str | Path, size: tuple[int, int], channels: int) -> np.ndarray:
    """One image as (height, width, channels), uint8, by the rules above; raises Unreadable."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return _pixels(image, size, channels)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("is no PNG or JPEG image") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {MAX_PIXELS // 10**6} million pixels") from None
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except Exception as error:  # decoders raise a dozen types for a damaged file
        raise Unreadable(f"is damaged ({error})") from None


def _pixels(image: Image.Image, size: tuple[int, int], channels: int) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise Unreadable(f"has {pixels / 1e6:,.0f} million pixels, more than {MAX_PIXELS // 10**6} million")
    if image.format != "PNG":
        scale = min(image.size) // (2 * max(size))
        if scale >= 2:
            image.draft(None, (image.width // scale, image.height // scale))
        if not image.info.get("progressive"):  # of a progressive image libjpeg keeps all, whatever the scale
            pixels = image.width * image.height
    with _large if pixels > LARGE_PIXELS else nullcontext():
        image.load()
        orientation = _orientation(image)  # after loading, since a PNG's metadata may stand behind its pixels
        height, width = size[::-1] if orientation in (5, 6, 7, 8) else size
        image = _eight_bit(image)
        if image.size != (width, height):
            image = _crop(image, width, height).resize((width, height), Image.Resampling.BILINEAR)
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    mode = "RGB" if channels == 3 else "L"
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array.reshape(*array.shape[:2], channels)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as L, LA, RGB or RGBA, whichever loses nothing but what eight bits cannot hold."""
    if image.mode.startswith("I"):  # 16-bit grey; NumPy since Pillow clips instead of scaling
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
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
    """The EXIF orientation, 1 to 8; damaged metadata are no reason to do without an image."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _check_memory(images: int, spec: ImageFolder, key: str) -> None:
    """All images are kept in memory, here and in training: say so before the system ends the job without a word."""
    needed = images * spec.image_size[0] * spec.image_size[1] * spec.channels
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        shape = "×".join(map(str, (*spec.image_size, spec.channels)))
        raise UserError(
            f"{key}: {images:,} images of {shape} take {needed / 1e9:,.0f} GB, and this machine has "
            f"{there / 1e9:,.0f} GB of memory; choose a smaller {key}.image_size"
        )


def _report(key: str, spec: ImageFolder, excluded: list[dict[str, str]], total: int) -> None:
    """Name the unreadable files in the log; raise UserError unless the config asks to exclude them."""
    for entry in excluded:
        log.warning("%s: cannot be used: %s: %s", key, entry["file"], entry["reason"])
    if spec.unreadable == "fail":
        shown_first = "; ".join(f"{entry['file']}: {entry['reason']}" for entry in excluded[:3])
        more = f"; {len(excluded) - 3:,} more in the log" if len(excluded) > 3 else ""
        raise UserError(
            f"{len(excluded):,} of {total:,} images cannot be used ({shown_first}{more}); mend or remove them, or set "
            f"{key}.unreadable: exclude"
        )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{natural(what)} ({count:,})" for what, count in sorted(counts.items()))
