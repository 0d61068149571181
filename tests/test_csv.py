"""CSV files with a label and pixels in each row, as on Kaggle, are read as they are or refused in one sentence."""

import gzip
import os

import numpy as np
import pytest

from builders.image_tables import (
    COLOUR_IMAGES,
    IMAGES,
    LABELS,
    NAMES,
    TEST_IMAGES,
    TEST_LABELS,
    csv_folder,
    csv_text,
    planned,
    prepared,
    study,
)
from convlab.datasets.csv_tables import scan
from convlab.datasets.image_counts import image_counts
from convlab.datasets.registry import Count
from convlab.datasets.shapes import data_notes, dataset_form
from convlab.errors import UserError
from convlab.study.load import load_study


def csv_file(folder, text: str | bytes, name="mine.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_a_folder_with_a_training_and_a_test_file_is_read_as_it_is(tmp_path, compressed):
    folder = csv_folder(tmp_path / "tables", compressed)
    (folder / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    data, manifest = prepared("csv", folder, tmp_path / "out", classes=list(NAMES))
    assert np.array_equal(data.x_train, IMAGES) and data.y_train.tolist() == LABELS.tolist()
    assert np.array_equal(data.x_test, TEST_IMAGES) and data.y_test.tolist() == TEST_LABELS.tolist()
    assert data.classes == NAMES and manifest["test_from"] == {"from": "data"}
    assert manifest["read_as"] == {"label": "label", "header": True, "pixels": 36}
    assert [(entry["reason"], entry["count"]) for entry in manifest["excluded"]] == [("table of no split", 1)]


def test_shape_classes_and_counts_are_known_before_any_job_runs(tmp_path):
    spec = load_study(study("csv", csv_folder(tmp_path / "tables"))).datasets["mine"]
    assert dataset_form("mine", spec) == ((6, 6, 1), 3)
    assert image_counts(spec, 3) == (Count.of(10, 10, 10), Count.of(3, 3, 3), None)
    assert data_notes({"mine": spec}) == []


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path):
    """As ``rsync -t``, ``tar`` and ``cp -p`` leave it; what was read of a file is kept until it changes."""
    path = csv_file(tmp_path, csv_text(IMAGES, LABELS))
    before = path.stat()
    assert [count for _, count in scan(path, "comma", None, "datasets.mine").labels] == [10, 10, 10]
    path.write_text(csv_text(IMAGES, np.zeros_like(LABELS)))
    changed = before
    while changed.st_ctime_ns == before.st_ctime_ns:  # a file system's clock ticks slowly
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        changed = path.stat()
    assert (changed.st_size, changed.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [count for _, count in scan(path, "comma", None, "datasets.mine").labels] == [30]


def test_a_test_file_without_labels_is_named_and_a_share_of_the_training_images_held_out(tmp_path):
    folder = csv_folder(tmp_path / "tables")
    (folder / "test.csv").write_text(csv_text(TEST_IMAGES, None))
    data, manifest = prepared("csv", folder, tmp_path / "out")
    assert len(data.x_train) == 24 and np.bincount(data.y_test).tolist() == [2, 2, 2]
    assert manifest["test_from"]["from"] == "seed"
    assert [(entry["reason"], entry["part"]) for entry in manifest["excluded"]] == [("table without labels", "test")]
    spec = load_study(study("csv", folder)).datasets["mine"]
    assert data_notes({"mine": spec}) == ["mine: not used: test.csv (table without labels)."]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (csv_text(header=[]), {"label": "first"}),
        (csv_text().replace("label", "kind of thing"), {"label": "kind of thing"}),
        (csv_text().replace("label", "\ufeffClass"), {}),
        (csv_text(header=["label", *map(str, range(36))]), {}),
        (csv_text(header=["label", *(f"{row}x{column}" for row in range(6) for column in range(6))]), {}),
        (csv_text(delimiter=";"), {"delimiter": "semicolon"}),
        (csv_text(delimiter="\t"), {"delimiter": "tab"}),
        (csv_text().replace("\n", "\r\n") + "\r\n", {}),
        ("\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in csv_text().splitlines()), {}),
        (csv_text(IMAGES.astype(float)), {}),
        (csv_text(np.round(IMAGES / 255, 6)), {"scale": "unit"}),
        (csv_text(labels=[f"{label}.0" for label in LABELS]), {}),
        ("".join(f"{line.split(',', 1)[1]},{line.split(',', 1)[0]}\n" for line in csv_text().splitlines()), {}),
        ("".join(f"{'id' * (not n) or n},{line}\n" for n, line in enumerate(csv_text().splitlines())),
         {"ignore": ["id"]}),
    ],
)  # fmt: skip
def test_other_headers_delimiters_and_numbers_give_the_same_images(tmp_path, text, options):
    data, _ = prepared("csv", csv_file(tmp_path, text), tmp_path / "out", test_fraction=0.2, **options)
    reference, _ = prepared("csv", csv_file(tmp_path, csv_text(), "plain.csv"), tmp_path / "plain")
    assert np.array_equal(data.x_train, reference.x_train) and np.array_equal(data.x_test, reference.x_test)
    assert data.y_train.tolist() == reference.y_train.tolist() and data.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([f"{(0, 2, 10)[n]}" for n in LABELS], ("0", "2", "10")), ([NAMES[n] for n in LABELS], ("high", "low", "mid"))],
)
def test_labels_with_gaps_and_labels_of_text_are_classes_in_order(tmp_path, labels, classes):
    data, _ = prepared("csv", csv_file(tmp_path, csv_text(labels=labels)), tmp_path / "out")
    assert data.classes == classes
    assert [data.classes[label] for label in data.y_train[:3]] == labels[:3]


@pytest.mark.parametrize("order", ["first", "last"])
def test_colour_images_are_read_in_the_order_that_the_config_tells(tmp_path, order):
    images = COLOUR_IMAGES if order == "last" else COLOUR_IMAGES.transpose(0, 3, 1, 2)
    path = csv_file(tmp_path, csv_text(images.reshape(30, 6, 6, 3)))
    with pytest.raises(UserError, match="108 pixels in a row, 6×6 in three channels; write channels: last where"):
        planned("csv", path)
    data, _ = prepared("csv", path, tmp_path / "out", channels=order)
    together = {image.tobytes() for image in (*data.x_train, *data.x_test)}
    assert together == {image.tobytes() for image in COLOUR_IMAGES}


def test_images_that_are_no_squares_have_the_shape_that_the_config_tells(tmp_path):
    path = csv_file(tmp_path, csv_text(IMAGES[:, :5]))
    with pytest.raises(UserError, match=r"30 pixels in a row, which is no square .*write datasets\.mine\.input_shape"):
        planned("csv", path)
    assert planned("csv", path, input_shape=[5, 6, 1]) == ((5, 6, 1), 3)
    with pytest.raises(UserError, match="are no images of 4×6"):
        planned("csv", path, input_shape=[4, 6, 1])


PLAIN = csv_text()
BAD = [
    ("", "mine.csv is empty"),
    ("label,pixel0,pixel1\n", "mine.csv has no rows below its header"),
    (csv_text(delimiter=";"), "separated by a semicolon and not by a comma; write delimiter: semicolon"),
    (csv_text(header=[]), "has no header; write label: first or label: last"),
    (PLAIN.replace("label", "digit"), r"has no column 'label or class' .*write datasets\.mine\.label"),
    (PLAIN.replace("pixel1,", "pixel0,"), "two columns called 'pixel0'"),
    (PLAIN.replace("pixel2,pixel3", "pixel3,pixel2"), "the column pixel2 behind pixel3"),
    (PLAIN.replace("pixel0", "id"), r"named otherwise than the pixels \(id\); write ignore: \[id\]"),
    (PLAIN + "1,2\n", "row 32 has 2 fields and the first row 37"),
    (csv_text(labels=["", "nan", *LABELS[2:]]), "2 of 30 rows without a label"),
    (csv_text(labels=np.zeros(30, int)), "one class only"),
    (csv_text(labels=[7, *LABELS[1:]]), "1 image of class '7', too few"),
    (PLAIN.encode("utf-16"), "is UTF-16 or binary; save it as UTF-8"),
    (b"\x89PNG\r\n\x1a\n" + PLAIN.encode(), "is a PNG image, and no CSV file"),
    (b"<!doctype html><p>no,data</p>", "is an HTML page, and no CSV file"),
    (PLAIN.replace("\n", "\r"), "has carriage returns without line feeds"),
    (PLAIN.replace("label", '"' + "x" * 140_000 + '"'), "has a field that cannot be read"),
    (b"label,pixel\xe9\n1,1\n", "is not UTF-8 text; save it as UTF-8"),
    (gzip.compress(PLAIN.encode())[:-60], "is cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD)
def test_other_files_are_refused_before_any_job_runs(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        planned("csv", csv_file(tmp_path, text))
    assert str(caught.value).startswith("datasets.mine") and "\n" not in str(caught.value)


def replaced(value: str) -> str:
    """The plain file with another value in row 3, column pixel0."""
    lines = PLAIN.splitlines()
    fields = lines[2].split(",")
    return "\n".join([*lines[:2], ",".join([fields[0], value, *fields[2:]]), *lines[3:]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replaced("256"), "row 3, column pixel0 has the value 256; pixels go from 0 to 255"),
        (replaced("-1"), "row 3, column pixel0 has the value -1; pixels go from 0 to 255"),
        (replaced("cat"), "row 3, column pixel0 has 'cat', no number"),
        (replaced(""), "row 3 has no value in column pixel0"),
        (replaced("300.0"), "row 3, column pixel0 has the pixel value 300; values should lie from 0 to 255"),
        (replaced("nan"), "pixel0"),
        (replaced("1e999"), "row 3, column pixel0 has pixels that are NaN or infinite"),
        (replaced("0.5"), "row 3, column pixel0 has the pixel value 0.5, not a whole number"),
        (csv_text(IMAGES / 255), "not a whole number from 0 to 255; write scale: unit"),
        (csv_text(IMAGES // 128), "has no pixel value above 1; write scale: unit"),
    ],
)
def test_pixels_that_are_no_bytes_are_refused_with_row_and_column(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        prepared("csv", csv_file(tmp_path, text), tmp_path / "out")
    assert str(caught.value).startswith("datasets.mine.path: mine.csv ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.csv", csv_text(TEST_IMAGES, TEST_LABELS + 1), "test.csv has labels that train.csv has not .such as '3'"),
        ("test.csv", csv_text(TEST_IMAGES[:, :5], TEST_LABELS), "test.csv and train.csv have different columns"),
        ("train2.csv", PLAIN, "has train.csv and train2.csv for train"),
        ("val.csv", csv_text(TEST_IMAGES, TEST_LABELS), None),
    ],
)
def test_files_of_a_folder_are_checked_against_each_other(tmp_path, name, text, message):
    folder = csv_folder(tmp_path / "tables")
    (folder / name).write_text(text)
    if message is None:
        assert planned("csv", folder) == ((6, 6, 1), 3)
        (folder / "test.csv").unlink()
        message = r"write datasets\.mine\.splits: \{train: train\.csv, test: val\.csv\} to test with them"
    with pytest.raises(UserError, match=message):
        planned("csv", folder)


def test_the_config_can_say_which_file_is_which(tmp_path):
    folder = csv_folder(tmp_path / "tables")
    (folder / "test.csv").rename(folder / "other.csv")
    (folder / "train.csv").rename(folder / "one.csv")
    with pytest.raises(UserError, match=r"has one\.csv and other\.csv for train; write"):
        planned("csv", folder)
    data, _ = prepared("csv", folder, tmp_path / "out", splits={"train": "one.csv", "test": "other.csv"})
    assert len(data.x_train) == 30 and len(data.x_test) == 9
    with pytest.raises(UserError, match=r"splits\.test is 'no\.csv', but .* holds one\.csv, other\.csv"):
        planned("csv", folder, splits={"train": "one.csv", "test": "no.csv"})


def test_the_number_of_names_is_compared_with_the_labels(tmp_path):
    path = csv_file(tmp_path, PLAIN)
    with pytest.raises(UserError, match=r"classes has 2 names, but mine.csv has 3 different labels \(0, 1, 2\)"):
        planned("csv", path, classes=["a", "b"])


def test_where_the_files_are_not_to_be_seen_the_config_can_say_what_they_hold(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*nowhere\.csv here; .*input_shape and classes"):
        planned("csv", tmp_path / "nowhere.csv")
    assert planned("csv", tmp_path / "nowhere.csv", classes=["a", "b"], input_shape=[8, 8, 1]) == ((8, 8, 1), 2)


def test_a_validation_file_is_used_as_it_is(tmp_path):
    folder = csv_folder(tmp_path / "tables")
    (folder / "valid.csv").write_text(csv_text(IMAGES[:6], LABELS[:6]))
    data, _ = prepared("csv", folder, tmp_path / "out")
    assert np.array_equal(data.x_validation, IMAGES[:6]) and data.y_validation.tolist() == LABELS[:6].tolist()
    spec = load_study(study("csv", folder)).datasets["mine"]
    assert image_counts(spec, 3).validation == Count.of(2, 2, 2)


def test_a_named_pipe_is_refused_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "train.csv")
    for path in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(UserError, match=r"train\.csv is neither a file nor a folder; correct the path"):
            planned("csv", path)


def test_all_pixels_in_one_field_are_refused_with_what_to_do_unless_the_column_is_left_out(tmp_path):
    rows = [f"{label},{' '.join(map(str, image.flat))},Training" for image, label in zip(IMAGES, LABELS, strict=True)]
    path = csv_file(tmp_path, "\n".join(["emotion,pixels,Usage", *rows]))
    with pytest.raises(UserError, match="all pixels of an image in one field of column pixels; give each a column"):
        planned("csv", path, label="emotion", ignore=["Usage"])
    with pytest.raises(UserError, match="has no columns of pixels beside its labels"):
        planned("csv", path, label="emotion", ignore=["Usage", "pixels"])


def test_the_column_of_labels_cannot_be_left_out(tmp_path):
    with pytest.raises(UserError, match=r"datasets\.mine\.ignore: 'label' is the column of the labels of mine\.csv"):
        planned("csv", csv_file(tmp_path, PLAIN), ignore=["label"])
