"""Parquet files of images, as Hugging Face stores them, are read as they are or refused in one sentence."""

import json
import os
import sys

import numpy as np
import pyarrow as pa
import pytest

from builders.image_tables import (
    COLOUR_IMAGES,
    FEATURES,
    IMAGES,
    LABELS,
    NAMES,
    STRUCT,
    TEST_IMAGES,
    TEST_LABELS,
    csv_folder,
    encoded,
    image_table,
    list_table,
    parquet_file,
    parquet_folder,
    planned,
    prepared,
    saved_to_disk,
    study,
)
from convlab.datasets.content_digest import content_digest
from convlab.datasets.image_counts import image_counts
from convlab.datasets.registry import Count, kind_of
from convlab.errors import UserError
from convlab.study.load import load_study


def test_a_folder_of_shards_is_read_in_their_order_with_the_names_of_its_classes(tmp_path):
    data, manifest = prepared("parquet", parquet_folder(tmp_path / "hub"), tmp_path / "out")
    assert np.array_equal(data.x_train, IMAGES) and data.y_train.tolist() == LABELS.tolist()
    assert np.array_equal(data.x_test, TEST_IMAGES) and data.y_test.tolist() == TEST_LABELS.tolist()
    assert data.classes == NAMES and manifest["read_as"] == {"image": "image", "label": "label"}


def test_the_same_images_in_every_form_give_the_same_arrays(tmp_path):
    names = list(NAMES)
    np.savez(tmp_path / "mine.npz", x_train=IMAGES, y_train=LABELS, x_test=TEST_IMAGES, y_test=TEST_LABELS)
    forms = {
        "csv": (csv_folder(tmp_path / "csv"), {"classes": names}),
        "parquet": (parquet_folder(tmp_path / "hub"), {}),
        "huggingface": (saved_to_disk(tmp_path / "saved"), {}),
        "npz": (tmp_path / "mine.npz", {"classes": names}),
    }
    arrays = {
        kind: prepared(kind, path, tmp_path / f"out-{kind}", **options)[1]["arrays"]
        for kind, (path, options) in forms.items()
    }
    assert arrays["csv"] == arrays["parquet"] == arrays["huggingface"] == arrays["npz"]


def test_shape_classes_and_counts_are_known_before_any_job_runs(tmp_path):
    spec = load_study(study("parquet", parquet_folder(tmp_path / "hub"))).datasets["mine"]
    assert planned("parquet", tmp_path / "hub") == ((6, 6, 1), 3)
    assert image_counts(spec, 3) == (Count.of(10, 10, 10), Count.of(3, 3, 3), None)


@pytest.mark.parametrize(
    "table",
    [
        image_table(),
        image_table(features=None),
        pa.table({"picture": [encoded(image) for image in IMAGES], "label": LABELS}),
        list_table(IMAGES[..., 0], pa.list_(pa.list_(pa.uint8()))),
        list_table(IMAGES, pa.list_(pa.list_(pa.list_(pa.int64())))),
        list_table(IMAGES.reshape(30, 36), pa.list_(pa.float32())),
        list_table(IMAGES.reshape(30, 36), pa.list_(pa.uint8(), 36)),
        image_table().append_column("caption", pa.array(["text"] * 30)),
    ],
    ids=["structs", "no-features", "binary", "rows", "channels", "flat", "fixed", "more-columns"],
)
def test_one_file_of_bytes_or_of_lists_is_split_by_seed(tmp_path, table):
    data, manifest = prepared("parquet", parquet_file(tmp_path / "mine.parquet", table), tmp_path / "out")
    together = sorted(image.tobytes() for image in (*data.x_train, *data.x_test))
    assert together == sorted(image.tobytes() for image in IMAGES)
    assert len(data.x_test) == 6 and manifest["test_from"]["from"] == "seed"


def test_colour_images_as_lists_are_read_in_the_order_that_the_config_tells(tmp_path):
    kind = pa.list_(pa.list_(pa.list_(pa.uint8())))
    path = parquet_file(tmp_path / "mine.parquet", list_table(COLOUR_IMAGES.transpose(0, 3, 1, 2), kind))
    with pytest.raises(UserError, match=r"images of 3×6×6, 6 channels.*; write channels: first"):
        planned("parquet", path)
    data, _ = prepared("parquet", path, tmp_path / "out", channels="first")
    together = {image.tobytes() for image in (*data.x_train, *data.x_test)}
    assert together == {image.tobytes() for image in COLOUR_IMAGES}


def test_images_of_several_sizes_or_colours_are_brought_to_what_the_config_tells(tmp_path):
    rows = [encoded(image) for image in IMAGES]
    rows[4] = encoded(np.zeros((9, 9, 1), np.uint8))
    rows[5] = encoded(COLOUR_IMAGES[0])
    path = parquet_file(tmp_path / "mine.parquet", pa.table({"image": rows, "label": LABELS}))
    with pytest.raises(UserError, match=r"row 5: the image is not of 6×6 as the first; write .*\.image_size"):
        prepared("parquet", path, tmp_path / "out")
    with pytest.raises(UserError, match=r"row 6: the image is in colour and the first is grey; write .*\.colour: rgb"):
        prepared("parquet", path, tmp_path / "out", image_size=6)
    data, _ = prepared("parquet", path, tmp_path / "out", image_size=[4, 3], colour="rgb")
    assert data.x_train.shape == (24, 4, 3, 3)


def test_images_that_a_table_names_by_a_path_are_read_from_the_same_folder_only(tmp_path):
    folder = parquet_folder(tmp_path / "hub")
    (folder / "images").mkdir()
    (folder / "images/0.png").write_bytes(encoded(IMAGES[0]))
    (tmp_path / "secret.png").write_bytes(encoded(IMAGES[0]))
    outcomes = {}
    for path in ("images/0.png", "images/1.png", "../secret.png"):
        rows = [{"bytes": None, "path": path}, *({"bytes": encoded(image), "path": None} for image in IMAGES[1:])]
        table = image_table().set_column(0, "image", pa.array(rows, STRUCT))
        for shard, part in enumerate((table.slice(0, 17), table.slice(17))):
            parquet_file(folder / f"data/train-0000{shard}-of-00002.parquet", part)
        try:
            outcomes[path] = np.array_equal(prepared("parquet", folder, tmp_path / "out")[0].x_train, IMAGES)
        except UserError as error:
            outcomes[path] = str(error)
    assert outcomes["images/0.png"] is True
    assert "row 1: there is no image images/1.png" in outcomes["images/1.png"]
    assert "is a link that leaves" in outcomes["../secret.png"]


def test_a_test_split_without_labels_is_named_and_not_used(tmp_path):
    folder = parquet_folder(tmp_path / "hub")
    parquet_file(folder / "data/test-00000-of-00001.parquet", image_table(TEST_IMAGES, [-1] * 9))
    data, manifest = prepared("parquet", folder, tmp_path / "out")
    assert len(data.x_train) == 24 and manifest["excluded"][0]["reason"] == "table without labels"


BAD = [
    (pa.table({"text": ["a"] * 30, "label": LABELS}), "has no column of images.*its columns are text, label"),
    (pa.table({"image": [encoded(image) for image in IMAGES]}), r"no column of labels.*write datasets\.mine\.label"),
    (image_table(features=None).append_column("label", [LABELS]), "two columns called 'label'"),
    (image_table(features=None).append_column("class", [LABELS]), "has labels in label, class; write .*label: the one"),
    (image_table(features=None).append_column("b", [[b""] * 30]), "has images in image, b; write .*image: the one"),
    (image_table(labels=[3, *LABELS[1:].tolist()]), "has the label 3, but its 3 classes are 0 to 2"),
    (image_table(labels=[None, *LABELS[1:].tolist()]), "1 of 30 rows without a label"),
    (image_table(labels=[float("nan"), *LABELS[1:].tolist()], features=None), "1 of 30 rows without a label"),
    (image_table(labels=[0, 1] * 15), "has no training image of class 'high'"),
    (image_table().slice(0, 0), "has no rows"),
    (pa.table({"image": [{"bytes": "text"}] * 30, "label": LABELS}), "has no column of images"),
    (pa.table({"image": [{"bytes": 5}] * 30, "label": LABELS}), "has no column of images"),
    (image_table(features=FEATURES | {"label": {"names": 7, "_type": "ClassLabel"}}), "are no list of texts"),
    (image_table(features=FEATURES | {"label": {"names": "abc", "_type": "ClassLabel"}}), "are no list of texts"),
    (pa.table({"image": [b"no image"] * 30, "label": LABELS}), "row 1: the image is text, and no .* image"),
    (pa.table({"image": pa.array([[1, 2], *[[1]] * 29]), "label": LABELS}), "2 pixels in a row, which is no square"),
    (list_table(IMAGES.reshape(30, -1)[:, :35], pa.list_(pa.uint8())), "35 pixels in a row, which is no square"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "message"), BAD)
def test_other_tables_are_refused_before_any_job_runs(tmp_path, table, message):
    path = parquet_file(tmp_path / "mine.parquet", table)
    with pytest.raises(UserError, match=message) as caught:
        planned("parquet", path)
    assert str(caught.value).startswith("datasets.mine.path: mine.parquet ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer .*run git lfs pull"),
        (b"PAR1" + b"\1" * 100, "is damaged, or no Parquet file"),
        (b"label,a\n1,2\n", "is damaged, or no Parquet file"),
    ],
)
def test_other_files_are_refused_before_any_job_runs(tmp_path, content, message):
    path = tmp_path / "mine.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        planned("parquet", path)


def test_a_damaged_image_is_named_with_its_row(tmp_path):
    rows = [encoded(image) for image in IMAGES]
    rows[7] = rows[7][:50]
    path = parquet_file(tmp_path / "mine.parquet", pa.table({"image": rows, "label": LABELS}))
    with pytest.raises(UserError, match=r"mine\.parquet row 8: the image .*; mend or remove it"):
        prepared("parquet", path, tmp_path / "out")


def test_without_pyarrow_the_config_can_say_what_the_files_hold(tmp_path, monkeypatch):
    folder = parquet_folder(tmp_path / "hub")
    monkeypatch.setattr("convlab.datasets.encoded_tables.pyarrow_is_installed", lambda: False)
    with pytest.raises(UserError, match="pyarrow, which reads its files, is not installed here; install it, or write"):
        planned("parquet", folder)
    assert planned("parquet", folder, image_size=6, colour="grey", classes=list(NAMES)) == ((6, 6, 1), 3)


def test_an_edit_of_a_shard_changes_the_digest_of_the_content_and_a_new_time_does_not(tmp_path):
    folder = parquet_folder(tmp_path / "hub")
    spec = load_study(study("parquet", folder)).datasets["mine"]

    def digest() -> str:
        return content_digest(folder, tmp_path / "index.json", files_of=kind_of(spec).files)

    before = digest()
    shard = folder / "data/train-00001-of-00002.parquet"
    shard.touch()
    assert digest() == before
    parquet_file(shard, image_table().slice(16))
    assert digest() != before


def test_metadata_that_are_not_hugging_faces_are_passed_over(tmp_path):
    table = image_table().replace_schema_metadata({"huggingface": json.dumps([1])})
    assert planned("parquet", parquet_file(tmp_path / "mine.parquet", table)) == ((6, 6, 1), 3)
    assert "datasets" not in sys.modules


@pytest.mark.parametrize(("image", "label"), [(pa.binary_view(), pa.string_view()), (None, pa.large_string())])
def test_the_types_that_other_libraries_write_are_read(tmp_path, image, label):
    files = [encoded(picture).ljust(400, b"\0") for picture in IMAGES]
    images = pa.array(files, pa.binary(400)) if image is None else pa.array(files).cast(image)
    labels = pa.array([NAMES[number] for number in LABELS]).cast(label)
    path = parquet_file(tmp_path / "mine.parquet", pa.table({"image": images, "label": labels}))
    assert prepared("parquet", path, tmp_path / "out")[0].classes == ("high", "low", "mid")


def test_a_test_table_without_a_column_of_labels_is_named_and_not_used(tmp_path):
    folder = parquet_folder(tmp_path / "hub")
    parquet_file(
        folder / "data/test-00000-of-00001.parquet", image_table(TEST_IMAGES, TEST_LABELS).drop_columns("label")
    )
    data, manifest = prepared("parquet", folder, tmp_path / "out")
    assert len(data.x_train) == 24 and manifest["excluded"][0]["reason"] == "table without labels"


def test_a_missing_shard_is_told_and_not_passed_over(tmp_path):
    folder = parquet_folder(tmp_path / "hub")
    (folder / "data/train-00001-of-00002.parquet").unlink()
    for kind in ("parquet", "huggingface"):
        with pytest.raises(
            UserError, match=r"holds 1 of the 2 files data/train-\*-of-00002.parquet; copy the others too"
        ):
            planned(kind, folder)
    splits = {"train": "data/train-00000-of-00002.parquet"}
    assert planned("parquet", folder, splits=splits) == ((6, 6, 1), 3)


def test_lists_of_pixels_from_0_to_1_are_refused_without_a_key_that_is_not_there(tmp_path):
    path = parquet_file(tmp_path / "mine.parquet", list_table(IMAGES[..., 0] / 255, pa.list_(pa.list_(pa.float64()))))
    with pytest.raises(UserError, match="not a whole number from 0 to 255; save whole numbers from 0 to 255"):
        prepared("parquet", path, tmp_path / "out")
    parquet_file(path, list_table(IMAGES[..., 0] // 128, pa.list_(pa.list_(pa.uint8()))))
    with pytest.raises(UserError, match="no pixel value above 1; save whole numbers from 0 to 255 if 1 is white"):
        prepared("parquet", path, tmp_path / "out")


def test_a_named_pipe_is_refused_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "train.parquet")
    for kind in ("parquet", "huggingface"):
        with pytest.raises(UserError, match=r"train\.parquet is neither a file nor a folder"):
            planned(kind, tmp_path)
