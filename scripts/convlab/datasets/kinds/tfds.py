"""The user's own copy of an image dataset as TensorFlow Datasets prepares it: TFRecord files and their description."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NoReturn

from convlab.datasets.files_by_split import every_file, refuse_devices
from convlab.datasets.folder_listing import Skipped, printable_name
from convlab.datasets.image_rows import Options, decode_into
from convlab.datasets.label_classes import check_enough, class_names, label_text, labels_in_order, named_label
from convlab.datasets.named_splits import assign_splits
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.table_specs import SPLITS, EncodedTables, own_path
from convlab.datasets.tfrecords import example, records
from convlab.errors import UserError

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 2048


class Tfds(EncodedTables):
    """A version's folder of TensorFlow Datasets (``mnist/3.0.1``), with ``dataset_info.json`` and TFRecord files."""

    kind: Literal["tfds"]


@dataclass(frozen=True)
class _Split:
    files: list[Path]
    examples: int


@dataclass(frozen=True)
class _Folder:
    """What the descriptions tell: splits, features of image and label, names of the classes, shape of an image."""

    splits: dict[str, _Split]
    skipped: list[Skipped]
    image: str
    label: str
    values: tuple[str, ...]
    names: tuple[str, ...]
    form: Form


def _folder(name: str, spec: Tfds, path: Path) -> _Folder:
    """The descriptions in a folder, checked against its files and the config."""
    try:
        return _described(name, spec, path)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"datasets.{name}.path: the descriptions in {printable_name(str(path))} are not in the form of TensorFlow "
            f"Datasets ({printable_name(str(error)[:80])}); prepare the dataset again"
        ) from None


def _described(name: str, spec: Tfds, path: Path) -> _Folder:
    key = f"datasets.{name}"

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{key}.path: {problem}")

    if not (path / "dataset_info.json").is_file():
        inner = sorted(file.parent.relative_to(path).as_posix() for file in path.glob("*/**/dataset_info.json"))
        hint = f"; give one of {', '.join(map(printable_name, inner[:3]))} in it" if inner else "; give such a folder"
        refuse(f"{printable_name(str(path))} has no dataset_info.json, as a version's folder has{hint}")
    refuse_devices([path / "dataset_info.json", path / "features.json"], f"{key}.path")
    info, features = (_json(path / file, refuse) for file in ("dataset_info.json", "features.json"))
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        refuse(
            f"its files are {info['fileFormat']}; only TFRecord files are read, so prepare it with file_format tfrecord"
        )
    there = {str(split.get("name")): _split(path, split, key, refuse) for split in info.get("splits", [])}
    splits, _, skipped = assign_splits(there, spec.splits, key)
    for split, content in splits.items():
        if not content.examples:
            refuse(f"the {split} split has no images")
    kinds = _kinds(features, refuse)
    image = _feature(kinds, "Image", "image", spec.image, refuse)
    label = _feature(kinds, "ClassLabel", "label", spec.label, refuse)
    count = int(kinds[label][1].get("classLabel", {}).get("numClasses", 0))
    listed = path / f"{label}.labels.txt"
    values = tuple(listed.read_text(encoding="utf-8").split("\n")) if listed.is_file() else ()
    values = tuple(value for value in values if value) or tuple(map(str, range(count)))
    if len(values) != count or count < 2:
        refuse(f"features.json has {count:,} classes and {listed.name} {len(values):,} names; prepare it again")
    names = class_names(values, spec.classes, "features.json", key)
    shape = [int(side) for side in kinds[image][1].get("image", {}).get("shape", {}).get("dimensions", [])]
    return _Folder(splits, skipped, image, label, values, names, _form(shape, spec, key))


def _form(shape: list[int], spec: Tfds, key: str) -> Form:
    height, width, channels = shape if len(shape) == 3 else (-1, -1, -1)
    if spec.image_size is not None:
        height, width = spec.image_size
    elif height < 1 or width < 1:
        raise UserError(f"{key}.image_size is missing: its images differ in size; write to what size to bring all")
    if spec.colour is not None:
        channels = 3 if spec.colour == "rgb" else 1
    elif channels not in (1, 3):
        raise UserError(f"{key}.colour is missing: features.json does not tell it; write rgb or grey")
    return height, width, channels


def _json(file: Path, refuse) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        refuse(f"{printable_name(str(file))} cannot be read ({error.strerror}); prepare the dataset again")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        refuse(f"{printable_name(str(file))} is damaged; prepare the dataset again")
    return content


def _split(path: Path, split: Mapping[str, Any], key: str, refuse) -> _Split:
    """Files of a split, which must all be there."""
    name, lengths = str(split.get("name")), [int(length) for length in split.get("shardLengths", [])]
    pattern = f"*-{name}.tfrecord-*-of-{len(lengths):05d}"
    files = sorted(file for file in path.iterdir() if fnmatchcase(file.name, pattern))
    refuse_devices(files, f"{key}.path")
    if len(files) != len(lengths):
        refuse(
            f"{printable_name(str(path))} has {len(files):,} of the {len(lengths):,} files of its split {name}; copy "
            "the others too"
        )
    return _Split(files, sum(lengths))


def _kinds(features: Mapping[str, Any], refuse) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The class of each feature, such as Image, and its description."""
    try:
        listed = features["featuresDict"]["features"]
        return {name: (str(entry["pythonClassName"]).rsplit(".", 1)[-1], entry) for name, entry in listed.items()}
    except (KeyError, TypeError, AttributeError):
        refuse("features.json does not describe features by name; prepare the dataset again")


def _feature(kinds: Mapping[str, tuple[str, Any]], wanted: str, setting: str, told: str | None, refuse) -> str:
    """The feature that the config tells, or the only one of a class."""
    fitting = [name for name, (kind, _) in kinds.items() if kind == wanted]
    listed = ", ".join(printable_name(f"{name} ({kind})") for name, (kind, _) in kinds.items())
    if told is not None:
        if told not in fitting:
            refuse(f"its feature {printable_name(told)} is no {wanted}; its features are {listed}")
        return told
    if not fitting:
        refuse(f"it has no feature {wanted}; its features are {listed}")
    if len(fitting) > 1:
        several = ", ".join(map(printable_name, fitting))
        refuse(f"it has several features {wanted} ({several}); write {setting}: the one that is meant")
    return fitting[0]


def form(name: str, spec: Tfds) -> Form:
    """From ``features.json``, or from the config where the files are elsewhere."""
    told = spec.image_size is not None and spec.colour is not None and spec.classes is not None
    path = own_path(name, spec, told, "image_size, colour and classes")
    if path is None:
        return (*spec.image_size, 3 if spec.colour == "rgb" else 1), len(spec.classes)
    folder = _folder(name, spec, path)
    return folder.form, len(folder.values)


def counts(spec: Tfds) -> Counts | None:
    """Exact numbers, from ``dataset_info.json``."""
    splits = _folder("", spec, Path(spec.path).expanduser()).splits
    parts = {split: Count(content.examples, content.examples) for split, content in splits.items()}
    return parts["train"], parts.get("test"), parts.get("validation")


def unused(name: str, spec: Tfds) -> list[str]:
    """Each split that would not be read, and why."""
    return [f"{split.file} ({split.reason})" for split in _folder(name, spec, Path(spec.path).expanduser()).skipped]


def read(name: str, spec: Tfds, threads: int) -> Reading:
    """Training, validation and test images, or without test images a stratified split.

    Raises UserError for files that are not what their descriptions say.
    """
    import numpy as np

    from convlab.datasets.table_reading import divided, indices_of

    key = f"datasets.{name}"
    folder = _folder(name, spec, Path(spec.path).expanduser())
    total = sum(split.examples for split in folder.splits.values())
    copies = 1 if "test" in folder.splits else 2  # while they are divided
    check_memory(copies * total, folder.form, f"{key}.path", f"choose a smaller {key}.image_size")
    options = Options(None, spec.image_size, None, spec.colour, threads)
    images, labels = {}, {}
    for split in (split for split in SPLITS if split in folder.splits):
        content = folder.splits[split]
        images[split], labels[split] = np.zeros((content.examples, *folder.form), np.uint8), []
        for file in content.files:
            for data, texts in _rows(file, folder, key):
                start = len(labels[split])
                there = images[split][start : start + len(data)]
                if len(there) != len(data):
                    raise UserError(f"{key}.path: {file.name} has more images than dataset_info.json tells")

                def refuse(index: int, problem: str, file: Path = file, start: int = start) -> NoReturn:
                    raise UserError(f"{key}.path: {file.name}, image {start + index + 1:,} of its split: {problem}")

                decode_into(there, data, options, refuse, key)
                labels[split] += texts
        if len(labels[split]) != content.examples:
            raise UserError(
                f"{key}.path: the {split} split has {len(labels[split]):,} images and not {content.examples:,}, as "
                "dataset_info.json tells; copy its files again"
            )
        log.info(
            "%s: %s: %d images of feature %s, labels %s", name, split, content.examples, folder.image, folder.label
        )
    tallies: dict[str, Counter] = {split: Counter(texts) for split, texts in labels.items()}
    skipped = list(folder.skipped)
    labels_in_order(tallies, folder.values, {split: folder.splits[split].files[0].name for split in tallies}, key)
    check_enough(folder.values, tallies, spec.test_fraction, key)
    parts = {split: (images[split], indices_of(labels[split], folder.values)) for split in images}
    notes = {"read_as": {"image": folder.image, "label": folder.label}}
    return divided(name, spec, parts, folder.names, skipped, notes)


def _rows(file: Path, folder: _Folder, key: str) -> Iterator[tuple[list[bytes], list[str | None]]]:
    """Image files and labels of a TFRecord file, some at a time."""
    data: list[bytes] = []
    texts: list[str | None] = []
    try:
        for record in records(file):
            features = example(record)
            if not features.get(folder.image) or not features.get(folder.label):
                raise ValueError(f"an example has no {folder.label if features.get(folder.image) else folder.image}")
            data.append(features[folder.image][0])
            texts.append(label_text(named_label(features[folder.label][0], folder.values)))
            if len(data) == _ROWS_AT_ONCE:
                yield data, texts
                data, texts = [], []
        yield data, texts
    except (ValueError, OSError) as error:
        raise UserError(f"{key}.path: {printable_name(file.name)} cannot be read: {error}; copy it again") from None


KIND = Kind(
    spec=Tfds,
    form=form,
    counts=counts,
    read=read,
    files=every_file,
    unused=unused,
    source=translatable("a folder of TensorFlow Datasets"),
    licence=translatable("as of the images"),
    threads=8,
    order=10,
)
