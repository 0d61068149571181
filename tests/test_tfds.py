"""Folders of TensorFlow Datasets that lie on the disk are read without TensorFlow or refused in one sentence."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from builders.image_tables import (
    IMAGES,
    LABELS,
    NAMES,
    SPLITS,
    TEST_IMAGES,
    TEST_LABELS,
    planned,
    prepared,
    study,
    tfds_folder,
)
from convlab.datasets.image_counts import image_counts
from convlab.datasets.registry import Count
from convlab.datasets.tfrecords import example, masked_crc32c, records
from convlab.errors import UserError
from convlab.study.load import load_study


def test_a_versions_folder_gives_its_images_splits_and_the_names_of_its_classes(tmp_path):
    folder = tfds_folder(tmp_path / "mine/1.0.0", SPLITS | {"validation": (IMAGES[:6], LABELS[:6])})
    spec = load_study(study("tfds", folder)).datasets["mine"]
    assert planned("tfds", folder) == ((6, 6, 1), 3)
    assert image_counts(spec, 3) == (Count(30, 30), Count(9, 9), Count(6, 6))
    data, manifest = prepared("tfds", folder, tmp_path / "out")
    assert np.array_equal(data.x_train, IMAGES) and data.y_train.tolist() == LABELS.tolist()
    assert np.array_equal(data.x_test, TEST_IMAGES) and data.y_test.tolist() == TEST_LABELS.tolist()
    assert np.array_equal(data.x_validation, IMAGES[:6]) and data.classes == NAMES
    assert manifest["read_as"] == {"image": "image", "label": "label"}


def test_records_are_read_as_tensorflow_wrote_them(tmp_path):
    (record,) = list(records(tfds_folder(tmp_path / "mine", {"train": (IMAGES[:1], LABELS[:1])}, shards=1)
                             / "mine-train.tfrecord-00000-of-00001"))  # fmt: skip
    features = example(record)
    assert features["label"] == [0] and features["weight"] == [0.5, -1.0] and features["id"] == [-(2**40), 300]
    assert features["image"][0].startswith(b"\x89PNG")
    assert ((masked_crc32c(b"123456789") - 0xA282EAD8) % 2**32) == (0xE3069283 >> 15 | 0xE3069283 << 17) % 2**32


def test_without_test_images_a_share_is_held_out_and_images_of_any_size_need_a_size(tmp_path):
    folder = tfds_folder(tmp_path / "mine", {"train": SPLITS["train"]}, shape=(-1, -1, 3))
    with pytest.raises(UserError, match=r"datasets\.mine\.image_size is missing: its images differ in size"):
        planned("tfds", folder)
    data, manifest = prepared("tfds", folder, tmp_path / "out", image_size=4, colour="rgb")
    assert data.x_train.shape == (24, 4, 4, 3) and manifest["test_from"]["from"] == "seed"


def edited(file: str, old: str, new: str):
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return edit


FIRST = "mine-train.tfrecord-00000-of-00002"
DAMAGE = [
    (edited("features.json", "image_feature.Image", "tensor_feature.Tensor"), "has no feature Image; its features are"),
    (edited("features.json", "ClassLabel", "Scalar"), "has no feature ClassLabel"),
    (edited("features.json", '"3"', '"4"'), "has 4 classes and label.labels.txt 3 names"),
    (edited("dataset_info.json", "tfrecord", "array_record"), "its files are array_record; only TFRecord files"),
    (lambda folder: (folder / "features.json").write_text("{"), "features.json is damaged"),
    (lambda folder: ((folder / "features.json").unlink(), os.mkfifo(folder / "features.json")), "is neither a file"),
    (lambda folder: (folder / "features.json").unlink(), "features.json cannot be read"),
    (
        edited("features.json", '"3"', '"three"'),
        "are not in the form of .*prepare the dataset again",
    ),
    (edited("dataset_info.json", '["15", "15"]', "null"), "are not in the form of TensorFlow Datasets"),
    (lambda folder: (folder / "label.labels.txt").write_bytes(b"\xff"), "are not in the form of TensorFlow Datasets"),
    (lambda folder: ((folder / FIRST).unlink(), os.mkfifo(folder / FIRST)), "is neither a file nor a folder"),
    (lambda folder: (folder / FIRST).unlink(), "has 1 of the 2 files of its split train; copy the others too"),
    (lambda folder: (folder / "dataset_info.json").unlink(), "has no dataset_info.json, as a version's folder has"),
]


def test_other_folders_are_refused_before_any_job_runs(tmp_path):
    for number, (damage, message) in enumerate(DAMAGE):
        folder = tfds_folder(tmp_path / str(number))
        damage(folder)
        with pytest.raises(UserError, match=message) as caught:
            planned("tfds", folder)
        assert str(caught.value).startswith("datasets.mine.path: ") and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"has no dataset_info.json, .*; give one of 0, 1, 10 in it"):
        planned("tfds", tmp_path)


def test_files_that_are_not_what_their_description_says_are_refused(tmp_path):
    folder = tfds_folder(tmp_path / "mine")
    whole = (folder / FIRST).read_bytes()
    info = (folder / "dataset_info.json").read_text()
    for content, message in (
        (whole[:-10], f"{FIRST} cannot be read: it is cut short; copy it again"),
        (b"\0" * 100, "checksum of a record's length differs"),
        (b"", "the train split has 15 images and not 30"),
        (whole.replace(b"PNG", b"GNP"), "image 1 of its split: the image is .*; mend or remove it"),
    ):
        (folder / FIRST).write_bytes(content)
        with pytest.raises(UserError, match=message):
            prepared("tfds", folder, tmp_path / "out")
    (folder / FIRST).write_bytes(whole)
    (folder / "dataset_info.json").write_text(info.replace('"15", "15"', '"14", "15"'))
    with pytest.raises(UserError, match=r"more images than dataset_info.json tells|has 30 images and not 29"):
        prepared("tfds", folder, tmp_path / "out")
    assert json.loads(info)["splits"][0]["shardLengths"] == ["15", "15"]


def test_a_label_outside_of_the_classes_is_refused(tmp_path):
    folder = tfds_folder(tmp_path / "mine", {"train": (IMAGES, np.where(LABELS == 2, 5, LABELS))})
    with pytest.raises(UserError, match="has the label 5, but its 3 classes are 0 to 2"):
        prepared("tfds", folder, tmp_path / "out")
