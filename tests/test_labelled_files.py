"""A flat folder of images with a table of labels, as competitions have it, is read like one of class folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prepare
from builders.project import TINY
from convlab.common.files import read_json
from convlab.datasets import shapes
from convlab.datasets.content_digest import content_digest
from convlab.datasets.image_counts import image_counts
from convlab.datasets.labelled_files import files_of_a_folder
from convlab.datasets.prepared import Dataset, load
from convlab.errors import UserError
from convlab.study.load import load_study


def put(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), grey, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten images in a folder, whose number is their grey value, and a table of their labels."""
    root = tmp_path / "pets"
    for number in range(10):
        put(root / f"images/{number}.png", number)
    table(root, "id,label", *(f"{number},{'cat' if number % 2 else 'dog'}" for number in range(10)))
    return root


def table(root: Path, *lines: str, name: str = "labels.csv") -> None:
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def entry(root: Path, **options) -> dict:
    return {
        "kind": "image_folder",
        "path": str(root),
        "labels": "labels.csv",
        "image_size": 8,
        "colour": "grey",
    } | options


def run(root: Path, **options) -> tuple[Dataset, dict]:
    """The data as prepared, and the manifest."""
    output = root.parent / "out"
    spec = load_study({**TINY, "datasets": {"pets": entry(root, **options)}}).datasets["pets"]
    prepare.main(["--dataset", "pets", "--spec", spec.model_dump_json(), "--output-dir", str(output)])
    return load(output), read_json(output / "manifest.json")


def label_by_grey(data: Dataset) -> dict[int, str]:
    parts = [(data.x_train, data.y_train), (data.x_test, data.y_test)]
    if data.x_validation is not None:
        parts.append((data.x_validation, data.y_validation))
    return {int(x[0, 0, 0]): data.classes[y] for images, labels in parts for x, y in zip(images, labels, strict=True)}


def refused(root: Path, **options) -> str:
    """The sentence with which the config is refused, before anything runs."""
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "datasets": {"pets": entry(root, **options)}})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_image_has_the_label_of_its_row_and_a_share_is_held_out(folder):
    data, manifest = run(folder)
    assert label_by_grey(data) == {number: "cat" if number % 2 else "dog" for number in range(10)}
    assert manifest["test_from"]["from"] == "seed" and manifest["excluded"] == []
    assert manifest["counts"] == {"train": {"cat": 4, "dog": 4}, "test": {"cat": 1, "dog": 1}}
    assert "labels.csv" not in str(manifest["excluded"])


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("image_id;species", "{}.png"),
        ("file\tclass\tage", "images/{}.png"),
        ("\ufeffFilename,Label", "./images/{}.png"),
        ("x,name,breed", "images\\{}.png"),
    ],
)
def test_columns_are_known_by_their_names_and_files_by_path_name_or_stem(folder, header, name):
    delimiter = next(sign for sign in ";\t," if sign in header)
    names = header.lower().removeprefix("\ufeff").split(delimiter)
    rows = []
    for number in range(10):
        file, label = name.format(number), "cat" if number % 2 else "dog"
        rows.append(delimiter.join({"x": "0", "age": "3"}.get(column) or (file if column in
                    ("image_id", "file", "filename", "name") else label) for column in names))  # fmt: skip
    table(folder, header, *rows)
    assert label_by_grey(run(folder)[0])[3] == "cat"


def test_columns_of_other_names_are_written_in_the_config(folder):
    table(folder, "a,b", *(f"{number},{number % 3}" for number in range(10)))
    assert "has the columns a, b; write file_column: the one with the file of each image" in refused(folder)
    assert "write label_column" in refused(folder, file_column="a")
    assert "has no column 'c' (its columns are a, b); correct label_column" in refused(
        folder, file_column="a", label_column="c"
    )
    data, _ = run(folder, file_column="a", label_column="b")
    assert data.classes == ("0", "1", "2")


def test_classes_that_are_numbers_are_in_the_order_of_the_numbers(folder):
    table(folder, "id,label", *(f"{number},{(2, 10)[number % 2]}" for number in range(10)))
    assert run(folder)[0].classes == ("2", "10")


def test_a_column_of_splits_divides_the_images(folder):
    splits = ["train"] * 6 + ["val", "valid", "Test", "test"]
    table(folder, "id,label,split", *(f"{n},{'cat' if n % 2 else 'dog'},{splits[n]}" for n in range(10)))
    data, manifest = run(folder)
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == (6, 2, 2)
    assert manifest["test_from"] == {"from": "data"} and manifest["validation_from"] == {"from": "data"}
    counts = image_counts(load_study({**TINY, "datasets": {"pets": entry(folder)}}).datasets["pets"], 2)
    assert (counts.train.by_class, counts.validation.by_class, counts.test.by_class) == ((3, 3), (1, 1), (1, 1))
    table(folder, "id,label,split", *(f"{n},{'cat' if n % 2 else 'dog'},{splits[n]}" for n in range(9)))
    assert "train and test have different classes ('cat' is in one of them only)" in refused(folder)


def test_a_table_called_like_a_folder_is_of_the_images_in_it(folder):
    (folder / "images").rename(folder / "train")
    (folder / "labels.csv").rename(folder / "train.csv")
    put(folder / "test/3.png", 200)
    data, manifest = run(folder, labels="train.csv")
    assert label_by_grey(data)[3] == "cat" and 200 not in label_by_grey(data)
    (unused,) = manifest["excluded"]
    assert unused["reason"] == "without a label in the table" and unused["files"][0]["file"] == "test/3.png"


def test_files_without_a_label_are_counted_and_named(folder):
    put(folder / "images/extra.png", 11)
    (folder / "notes.txt").write_text("x")
    table(folder, "id,label", "0,", *(f"{number},{'cat' if number % 2 else 'dog'}" for number in range(1, 10)))
    data, manifest = run(folder)
    assert len(data.x_train) + len(data.x_test) == 9
    counts = {excluded["reason"]: excluded["count"] for excluded in manifest["excluded"]}
    assert counts == {"without a label in the table": 2, "not an image by its name": 1}
    (note,) = shapes.data_notes(load_study({**TINY, "datasets": {"pets": entry(folder)}}).datasets)
    assert "without a label in the table (2)" in note


def test_a_file_that_is_not_there_is_lost_unless_the_config_allows_it(folder):
    (folder / "images/4.png").unlink()
    sentence = refused(folder)
    assert "1 image cannot be used (4: is named in row 6 of labels.csv, but is not there)" in sentence
    data, manifest = run(folder, unreadable="exclude")
    assert 4 not in label_by_grey(data)
    (lost,) = manifest["excluded"]
    assert (lost["reason"], lost["class"], lost["image"]) == ("not there, though the table names it", "dog", True)


def test_a_file_in_two_rows_is_used_once_and_refused_with_two_labels(folder):
    rows = [f"{number},{'cat' if number % 2 else 'dog'}" for number in range(10)]
    table(folder, "id,label", *rows, "3,cat")
    data, manifest = run(folder)
    assert len(data.x_train) + len(data.x_test) == 10
    assert [excluded["reason"] for excluded in manifest["excluded"]] == ["in two rows of the table"]
    table(folder, "id,label", *rows, "3,dog")
    assert "has images/3.png in rows 5 and 12 with different labels or splits ('cat' and 'dog')" in refused(folder)


def test_a_name_that_fits_two_files_is_refused(folder):
    put(folder / "more/3.jpg", 3)
    assert "row 5 of labels.csv names '3', which fits images/3.png and more/3.jpg; write its path" in refused(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "labels.csv is empty"),
        (b"id,label\n", "has no rows below its header"),
        (b"id,label\n0,cat,9\n", "has 3 fields in row 2 and 2 in its header"),
        (b"id,label\n0,cat\n" + b"x" * 140_000 + b",cat\n", "has a field that cannot be read in row 3"),
        (b"id,label\n,cat\n", "names no file in row 2"),
        (b"id,label\n0,cat\n1,cat\n", "has one class only ('cat')"),
        (b"id,label,label\n0,cat,a\n", "has two columns 'label'"),
        (b"id,label,split\n0,cat,later\n", "has the split 'later' in row 2; write train, validation or test"),
        ("id,label\n0,ñ\n".encode("utf-16"), "is not UTF-8 text; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\xff", "is a PNG image, and no table"),
        (None, "labels.csv is not in"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(folder, content, sentence):
    if content is None:
        (folder / "labels.csv").unlink()
    else:
        (folder / "labels.csv").write_bytes(content)
    assert sentence in refused(folder)


def test_a_table_outside_of_the_folder_is_refused(folder):
    (folder / "labels.csv").rename(folder.parent / "labels.csv")
    (folder / "labels.csv").symlink_to(folder.parent / "labels.csv")
    assert "labels.csv is a link that leaves" in refused(folder)


@pytest.mark.parametrize("labels", ["../labels.csv", "/labels.csv"])
def test_the_table_is_named_as_it_lies_in_the_folder(folder, labels):
    assert "give a table in datasets.pets.path by its name there" in refused(folder, labels=labels)


def test_columns_without_a_table_are_refused(folder):
    assert "which are of a table; write labels: its name" in refused(folder, labels=None, file_column="id")


@pytest.mark.parametrize("name", ["images", "train"])
def test_a_flat_folder_is_refused_with_the_table_that_may_hold_its_labels(folder, name):
    (folder / "images").rename(folder / name)
    sentence = "; or, if labels.csv has their labels, write datasets.pets.labels: labels.csv"
    assert refused(folder, labels=None).endswith(sentence)
    (folder / "labels.csv").unlink()
    assert "labels" not in refused(folder, labels=None)


def test_an_edit_of_the_table_or_of_an_image_changes_the_digest(folder, tmp_path):
    def digest() -> str:
        return content_digest(folder, tmp_path / "index.json", files_of=files_of_a_folder)

    first = digest()
    (folder / "notes.txt").write_text("x")
    assert digest() == first
    table(folder, "id,label", *(f"{number},{'cat' if number % 3 else 'dog'}" for number in range(10)))
    second = digest()
    put(folder / "images/3.png", 77)
    assert len({first, second, digest()}) == 3


def test_a_named_pipe_is_no_table_and_nothing_waits_for_it(folder):
    (folder / "labels.csv").unlink()
    os.mkfifo(folder / "labels.csv")
    assert "labels.csv is not a regular file; give a file with the labels" in refused(folder)


def test_one_column_for_files_and_labels_is_refused(folder):
    table(folder, "a,b", *(f"{number},{number % 3}" for number in range(10)))
    assert "in one column, 'a'; correct label_column" in refused(folder, file_column="a", label_column="a")
