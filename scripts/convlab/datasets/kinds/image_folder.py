"""The user's own images, one folder for each class; ``image_decoding`` brings them to one shape."""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from convlab.common.specs import Location, Name, PositiveWhole, off_as_none
from convlab.datasets.file_content import file_kind, is_readable_kind  # fmt: skip
from convlab.datasets.folder_listing import (
    DISGUISED,
    FORMAT,
    INNER_FOLDER,
    NOT_A_FILE,
    NOT_THERE,
    OTHER,
    OUTSIDE,
    Contents,
    Part,
    Skipped,
    is_image,
    list_images,
    normalised_name,
    part_folders,
    printable_name,
    refuse_lost_images,
    suffix,
    summary,
)
from convlab.datasets.labelled_files import Columns, files_of_a_folder, hint_at_table, list_labelled
from convlab.datasets.own_images import check_counts
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import OwnImages
from convlab.datasets.table_specs import sides
from convlab.errors import UserError

log = logging.getLogger(__name__)


class ImageFolder(OwnImages):
    """``train/<class>/*`` and, if there, ``validation/`` and ``test/``: PNG, JPEG, WebP, BMP, GIF and TIFF files."""

    kind: Literal["image_folder"]
    image_size: Annotated[tuple[PositiveWhole, PositiveWhole], BeforeValidator(sides)] = Field(
        description="Side of the square images in pixels, or [height, width]; other sizes are cropped and resized."
    )
    colour: Literal["rgb", "grey"] = Field("rgb", description="Three channels or one.")
    labels: Annotated[Location | None, BeforeValidator(off_as_none)] = Field(
        None, description="Table in that folder with the label of each image (CSV), where they lie in no class folders."
    )
    file_column: Annotated[Name | None, BeforeValidator(off_as_none)] = Field(
        None, description="Its column of files; known by its name (file, image, id, ...) when absent."
    )
    label_column: Annotated[Name | None, BeforeValidator(off_as_none)] = Field(
        None, description="Its column of labels; known by its name (label, class, ...) when absent."
    )
    classes: Annotated[PositiveWhole | None, BeforeValidator(off_as_none)] = Field(
        None, description="How many; counted in the folder when absent."
    )
    unreadable: Literal["fail", "exclude"] = Field(
        "fail", description="Whether an image that cannot be used ends the preparation, or is left out and named."
    )

    @model_validator(mode="after")
    def _columns_are_of_a_table(self) -> "ImageFolder":
        if self.labels is None and (self.file_column or self.label_column):
            raise ValueError("has file_column or label_column, which are of a table; write labels: its name")
        return self

    @property
    def channels(self) -> int:
        return 3 if self.colour == "rgb" else 1


def form(name: str, spec: ImageFolder) -> Form:
    """Classes from the config, or else by counting the class folders."""
    key = f"datasets.{name}"
    shape = (*spec.image_size, spec.channels)
    if spec.classes is not None:
        return shape, spec.classes
    root = Path(spec.path).expanduser()
    if not root.exists():
        raise UserError(
            f"{key}.path: there is no {printable_name(str(root))} here; correct it, or write {key}.classes, how "
            "many there are, where only other machines can see the images"
        )
    contents = _listing(name, spec)
    if spec.unreadable == "fail":
        refuse_lost_images(contents.skipped, key)
    train = contents.parts["train"].classes
    images = {folder.name: len(folder.images) + len(folder.doubtful) for folder in train}
    test_fraction = None if "test" in contents.parts else spec.test_fraction
    check_counts(key, images, test_fraction, "validation" in contents.parts)
    return shape, len(train)


def _listing(name: str, spec: ImageFolder, count_skipped: bool = False) -> Contents:
    """What the folder holds, by its class folders or by its table of labels."""
    key, root = f"datasets.{name}", Path(spec.path).expanduser()
    if spec.labels is None:
        try:
            return list_images(root, f"{key}.path", count_skipped)
        except UserError as error:
            raise UserError(f"{error}{hint_at_table(root, key)}") from None
    return list_labelled(root, spec.labels, Columns(spec.file_column, spec.label_column), key)


def counts(spec: ImageFolder) -> Counts | None:
    """Bounds: files with the suffix of an image, and all files."""
    root = Path(spec.path).expanduser()
    if spec.labels is not None:
        parts = _listing("", spec).parts
        by_part = (
            Count.of(*(len(folder.images) for folder in parts[part].classes)) if part in parts else None
            for part in ("train", "test", "validation")
        )
        return tuple(by_part)
    folders = part_folders(root)
    train, test, validation = (
        _files(root / folders[part][0]) if part in folders else None for part in ("train", "test", "validation")
    )
    return None if train is None else (train, test, validation)


def _files(part: Path) -> Count:
    """Image files and files of any kind in the class folders of a part."""
    images = others = 0
    for folder in os.scandir(part):
        if not folder.name.startswith(".") and folder.is_dir():
            for entry in os.scandir(folder):
                images += is_image(entry.name)
                others += not is_image(entry.name)
    return Count(images, images + others)


def unused(name: str, spec: ImageFolder) -> list[str]:
    """Each reason for which files would not be used, and how many."""
    files: Counter[str] = Counter()
    for skipped in _listing(name, spec, count_skipped=True).skipped:
        files[skipped.reason] += skipped.count
    return [f"{reason} ({count:,})" for reason, count in sorted(files.items())]


def read(name: str, spec: ImageFolder, threads: int) -> Reading:
    """``train/<class>/*``, ``validation/<class>/*`` if it is there, and ``test/<class>/*`` or else a stratified split.

    Classes and the files of a class are sorted by name. The split is of all files: excluding one moves no other.
    Raises UserError for a folder that is not what it should be and, unless they are excluded, for images that cannot be
    used.
    """
    import numpy as np

    from convlab.datasets.image_decoding import read_image, read_images
    from convlab.datasets.prepared import Dataset

    key, root = f"datasets.{name}", Path(spec.path).expanduser()
    contents = _listing(name, spec, count_skipped=True)
    skipped = list(contents.skipped)
    listed = {part.name: _sift(root, part, skipped) for part in contents.parts.values()}
    classes = [folder.name for folder in contents.parts["train"].classes]
    if spec.classes not in (None, len(classes)):
        there = f"{root / 'train'} holds {len(classes)} class folders"
        if spec.labels is not None:
            there = f"{spec.labels} has {len(classes)} different labels"
        raise UserError(f"{key}.classes is {spec.classes}, but {there}")
    if "test" in listed:
        log.info("%s: brings its own test images", name)
        origin = {"from": "data"}
    else:
        listed |= _hold_out(name, spec, listed["train"], classes)
        origin = {"from": "seed", "seed": spec.split_seed, "fraction": spec.test_fraction}

    total = sum(len(files) for files, _ in listed.values())
    check_memory(total, (*spec.image_size, spec.channels), key, f"choose a smaller {key}.image_size")
    started = time.monotonic()
    decoded = {
        part: read_images(root, files, spec.image_size, spec.channels, threads) for part, (files, _) in listed.items()
    }
    bits = _depth({part: images.deep for part, images in decoded.items()}, key, name)
    arrays, several = {}, sum(images.several for images in decoded.values())
    for part, (files, listed_labels) in listed.items():
        images, problems, labels = decoded[part].images, decoded[part].problems, np.array(listed_labels, np.int64)
        for index in decoded[part].deep if bits < 16 else ():
            path = os.path.join(root, files[index])  # noqa: PTH118 (as in read_images)
            images[index] = read_image(path, spec.image_size, spec.channels, bits)
        for index, problem in problems.items():
            file, class_name = printable_name(files[index]), classes[labels[index]]
            skipped.append(Skipped(file, problem.reason, True, part, class_name, printable_name(problem.detail)))
        kept = np.delete(np.arange(len(images)), list(problems))
        arrays[part] = (images[kept], labels[kept]) if problems else (images, labels)
    log.info("%s: %d files read in %.1f s by %d threads", name, total, time.monotonic() - started, threads)
    if several:
        log.warning("%s: %d files hold several pictures, of which the first counts", name, several)
    _report(name, spec, skipped, total + sum(file.count for file in skipped if file.image and file.reason in _BY_NAME))
    for part, (_, labels) in arrays.items():
        per_class = np.bincount(labels, minlength=len(classes))
        if not per_class.all():
            smallest = classes[per_class.argmin()]
            raise UserError(f"{key}.path: no {part} image of class {smallest!r} is readable; add some")
    given = arrays.get("validation", (None, None))
    dataset = Dataset(*arrays["train"], *arrays["test"], tuple(classes), *given)
    notes = {"several_pictures": several, "bits": bits if any(images.deep for images in decoded.values()) else 8}
    return Reading(dataset, summary(skipped), origin, notes)


Listed = tuple[list[str], list[int]]
"""The image files of one part, by name relative to the folder, and the class of each."""


def _hold_out(name: str, spec: ImageFolder, listed: Listed, classes: list[str]) -> dict[str, Listed]:
    """Stratified split of the training folder's images, for a folder without test images."""
    import numpy as np

    from convlab.datasets.splitting import stratified_split

    files, labels = listed
    sides = stratified_split(
        np.array(labels, np.int64), classes, spec.test_fraction, spec.split_seed, f"datasets.{name}"
    )
    log.info("%s: no test images; %d held out by seed %d", name, len(sides[1]), spec.split_seed)
    return {
        part: ([files[index] for index in indices], [labels[index] for index in indices])
        for part, indices in zip(("train", "test"), sides, strict=True)
    }


_BY_NAME = (FORMAT, NOT_A_FILE, NOT_THERE, INNER_FOLDER, OUTSIDE, DISGUISED)
"""Reasons for leaving an image out by its name."""


def _sift(root: Path, part: Part, skipped: list[Skipped]) -> Listed:
    """The images of one part; a file without a known suffix is judged by its content."""
    files, labels = [], []
    for label, folder in enumerate(part.classes):
        images = list(folder.images)
        for file in folder.doubtful:
            kind = file_kind(root / part.folder / folder.folder / file) or "unreadable"
            detail = f"is {kind}"
            if not is_readable_kind(kind):
                reason = OTHER
            elif suffix(file) == "":
                images.append(file)
                continue
            else:
                reason, detail = DISGUISED, f"{detail}, but is not named so; rename it"
            name = f"{part.folder}/{folder.folder}/{file}"
            skipped.append(Skipped(printable_name(name), reason, reason == DISGUISED, part.name, folder.name, detail))
        if folder.doubtful:
            images.sort(key=lambda name: (normalised_name(name), name))
        files += ["/".join(filter(None, (part.folder, folder.folder, name))) for name in images]
        labels += [label] * len(images)
    return files, labels


def _depth(deep: Mapping[str, Mapping[int, int]], key: str, name: str) -> int:
    """How many of 16 bits the dataset's 16-bit images use: 8, 10, 12, 14 or 16; the same for all of them.

    Cameras, scanners and microscopes often store 12 bits in files of 16, of which the high byte alone is nearly black.
    """
    values = [abs(value) for part in deep.values() for value in part.values()]
    if not values:
        return 16
    bits = next(bits for bits in (8, 10, 12, 14, 16) if max(values) < 2**bits)
    if bits < 16:
        if any(value < 0 for part in deep.values() for value in part.values()):
            raise UserError(
                f"{key}.path: the images of 16 bits for each colour use only the lowest {bits} and would be nearly "
                "black; save them with 8 bits, or scale their values to 65,535"
            )
        log.warning("%s: %d images of 16 bits use only %d; scaled by these", name, len(values), bits)
    return bits


def _report(name: str, spec: ImageFolder, skipped: list[Skipped], total: int) -> None:
    """Log unused files; raise UserError for lost images unless the config excludes them."""
    for file in skipped:
        lost = "cannot be used" if file.image else "not used"
        more = f" ({file.count:,} files)" if file.file.endswith("/") else ""
        log.log(
            logging.WARNING if file.image else logging.INFO,
            *("datasets.%s: %s: %s%s: %s", name, lost, file.file, more, file.detail or file.reason),
        )
    if spec.unreadable == "fail":
        refuse_lost_images(skipped, f"datasets.{name}", total)


KIND = Kind(
    spec=ImageFolder,
    form=form,
    counts=counts,
    read=read,
    unused=unused,
    files=files_of_a_folder,
    source=translatable("a folder of images"),
    licence=translatable("as of the images"),
    threads=8,
    order=5,
)
