"""Folders of Hugging Face's datasets that lie on the disk are read as they are or refused in one sentence."""

import json

import numpy as np
import pyarrow as pa
import pytest

from builders.image_tables import (
    CARD,
    IMAGES,
    LABELS,
    NAMES,
    SPLITS,
    TEST_IMAGES,
    TEST_LABELS,
    image_table,
    parquet_file,
    parquet_folder,
    planned,
    prepared,
    repository,
    saved_to_disk,
)
from convlab.errors import UserError


def cached(folder):
    """The folder that ``load_dataset`` leaves in its cache."""
    folder.mkdir()
    for split, (images, labels) in SPLITS.items():
        table = image_table(images, labels)
        with pa.OSFile(str(folder / f"mine-{split}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
    return folder


@pytest.mark.parametrize("made", [saved_to_disk, repository, parquet_folder, cached])
def test_a_folder_in_any_form_gives_the_images_and_the_names_of_its_classes(tmp_path, made):
    folder = made(tmp_path / "mine")
    assert planned("huggingface", folder) == ((6, 6, 1), 3)
    data, manifest = prepared("huggingface", folder, tmp_path / "out")
    assert np.array_equal(data.x_train, IMAGES) and data.y_train.tolist() == LABELS.tolist()
    assert np.array_equal(data.x_test, TEST_IMAGES) and data.y_test.tolist() == TEST_LABELS.tolist()
    assert data.classes == NAMES and manifest["kind"] == "huggingface"


def with_splits(folder, *names):
    for name in names:
        parquet_file(folder / f"data/{name}-00000-of-00001.parquet")
    return folder


def test_splits_are_used_by_their_names_or_as_the_config_tells(tmp_path):
    folder = with_splits(tmp_path / "mine", "train", "validation")
    with pytest.raises(UserError, match=r"splits: \{train: train, test: validation\} to test with them, or \{train: t"):
        planned("huggingface", folder)
    data, _ = prepared("huggingface", folder, tmp_path / "a", splits={"train": "train", "test": "validation"})
    assert len(data.x_train) == len(data.x_test) == 30 and data.x_validation is None
    data, _ = prepared("huggingface", folder, tmp_path / "b", splits={"train": "train", "validation": "validation"})
    assert (len(data.x_train), len(data.x_test), len(data.x_validation)) == (24, 6, 30)
    with pytest.raises(UserError, match="names 'dev', but the dataset has the splits train, validation; correct it"):
        planned("huggingface", folder, splits={"train": "train", "test": "dev"})


def test_of_several_configurations_one_must_be_told(tmp_path):
    for config in ("small", "large"):
        parquet_file(tmp_path / f"mine/{config}/train-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"the configurations large, small; write datasets\.mine\.config: the one"):
        planned("huggingface", tmp_path / "mine")
    assert planned("huggingface", tmp_path / "mine", config="small") == ((6, 6, 1), 3)
    with pytest.raises(UserError, match="config is 'tiny', but the dataset has only large, small; correct it"):
        planned("huggingface", tmp_path / "mine", config="tiny")


def indexed(folder):
    state = json.loads((folder / "train/state.json").read_text())
    (folder / "train/state.json").write_text(json.dumps(state | {"_indices_data_files": [{"filename": "i.arrow"}]}))


def cut(folder):
    file = folder / "train/data-00000-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:700])


DAMAGE = [
    (lambda folder: (folder / "train/state.json").unlink(), "there is no .*state.json; save the dataset again"),
    (lambda folder: (folder / "dataset_dict.json").write_text("{"), "dataset_dict.json is damaged"),
    (lambda folder: (folder / "train/data-00001-of-00002.arrow").unlink(), "which state.json names; copy it too"),
    (lambda folder: (folder / "dataset_dict.json").write_text('{"splits": 5}'), "lists no splits; save the dataset"),
    (lambda folder: (folder / "dataset_dict.json").write_text("[" * 100_000), "dataset_dict.json is damaged"),
    (lambda folder: (folder / "test/dataset_info.json").write_text('{"features": "x"}'), "describes no columns"),
    (indexed, "selection of rows .* call flatten_indices"),
    (cut, "data-00000-of-00002.arrow is damaged, or no Arrow file"),
    (lambda folder: (folder / "train/data-00000-of-00002.arrow").write_bytes(b""), "is empty; fetch it again"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_folder_is_refused_before_any_job_runs(tmp_path, damage, message):
    folder = saved_to_disk(tmp_path / "mine")
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        planned("huggingface", folder)
    assert str(caught.value).startswith("datasets.mine.path: ") and "\n" not in str(caught.value)


def test_other_folders_and_files_are_refused_with_the_kind_that_reads_them(tmp_path):
    (tmp_path / "photos/train/a").mkdir(parents=True)
    (tmp_path / "photos/train/a/1.png").write_bytes(b"")
    with pytest.raises(UserError, match="holds no Parquet or Arrow files; write kind: image_folder"):
        planned("huggingface", tmp_path / "photos")
    with pytest.raises(UserError, match=r"is no folder; .* or write kind: parquet for a single file"):
        planned("huggingface", parquet_file(tmp_path / "mine.parquet"))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("{2: high, 0: low, 1: mid}", NAMES),
        ("{'2': high, '0': low, '1': mid}", NAMES),
        ("{0: low, 1: mid, 5: high}", ("0", "1", "2")),
    ],
)
def test_the_cards_names_of_classes_are_those_of_their_labels_in_any_order(tmp_path, names, classes):
    folder = repository(tmp_path / "mine")
    start, rest = CARD.split("names:")
    (folder / "README.md").write_text(f"{start}names: {names}\nconfigs:{rest.split('configs:')[1]}")
    assert prepared("huggingface", folder, tmp_path / "out")[0].classes == classes


def test_a_file_of_another_split_is_not_trained_on(tmp_path):
    folder = parquet_folder(tmp_path / "mine")
    parquet_file(folder / "data/unsupervised-00000-of-00001.parquet", image_table(labels=[-1] * 30))
    data, manifest = prepared("huggingface", folder, tmp_path / "out")
    assert np.array_equal(data.x_train, IMAGES)
    assert [entry["files"][0]["file"] for entry in manifest["excluded"]] == ["unsupervised"]
