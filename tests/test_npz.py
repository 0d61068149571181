"""A NumPy file of images is read if it is what it should be, and refused in one sentence if not."""

import io
import json
import zipfile

import numpy as np
import pytest

import prepare
from convlab.datasets.prepared import load
from convlab.errors import UserError
from convlab.study.load import load_study

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "x_train": GENERATOR.integers(0, 256, (30, 5, 6), np.uint8),
    "y_train": np.arange(30) % 3,
    "x_test": GENERATOR.integers(0, 256, (9, 5, 6), np.uint8),
    "y_test": np.arange(9) % 3,
}


def study(path, **options) -> dict:
    return {
        "study": "s",
        "datasets": {"mine": {"kind": "npz", "path": str(path), **options}},
        "models": {"dense": {"family": "dense", "units": [4]}},
    }


def run(tmp_path, arrays=ARRAYS, save=np.savez, **options):
    path = tmp_path / "mine.npz"
    save(path, **arrays)
    spec = load_study(study(path, **options)).datasets["mine"]
    prepare.main(["--dataset", "mine", "--spec", spec.model_dump_json(), "--output-dir", str(tmp_path / "out")])
    return load(tmp_path / "out")


def without(*names, **changed) -> dict:
    return {**{name: array for name, array in ARRAYS.items() if name not in names}, **changed}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_without_a_channel_get_one(tmp_path, save):
    data = run(tmp_path, save=save, classes=["low", "mid", "high"])
    assert np.array_equal(data.x_train[..., 0], ARRAYS["x_train"])
    assert np.array_equal(data.x_test, ARRAYS["x_test"][..., None])
    assert data.y_test.tolist() == ARRAYS["y_test"].tolist()
    assert data.classes == ("low", "mid", "high")


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i4", "<u2", ">u8", "<i8"])
def test_labels_may_be_any_whole_numbers_in_one_column_or_none(tmp_path, dtype):
    data = run(tmp_path, without(y_train=ARRAYS["y_train"].astype(dtype)[:, None], x_test=ARRAYS["x_test"]))
    assert data.y_train.tolist() == ARRAYS["y_train"].tolist()
    assert data.classes == ("0", "1", "2")


def test_without_test_arrays_a_fixed_share_of_every_class_is_held_out(tmp_path):
    arrays = without("x_test", "y_test")
    arrays["x_train"] = np.asfortranarray(np.repeat(arrays["x_train"][..., None], 3, axis=3))
    first, again = run(tmp_path, arrays), run(tmp_path, arrays)
    assert np.bincount(first.y_test).tolist() == [2, 2, 2] and np.bincount(first.y_train).tolist() == [8, 8, 8]
    assert np.array_equal(first.x_test, again.x_test)
    together = sorted(image.tobytes() for image in (*first.x_train, *first.x_test))
    assert together == sorted(image.tobytes() for image in arrays["x_train"])
    other = run(tmp_path, arrays, split_seed=1, test_fraction=0.3)
    assert np.bincount(other.y_test).tolist() == [3, 3, 3]
    assert json.loads((tmp_path / "out/manifest.json").read_text())["options"]["split_seed"] == 1


def objects(values) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


IMAGES = ARRAYS["x_train"]
BAD = [
    (without("y_train"), r"mine.npz: has no array y_train \(it has x_test, x_train, y_test\); add it"),
    (without("y_test"), "has no array y_test"),
    (without(x_train=IMAGES / 255), "x_train is float64; save it as uint8, 0 to 255"),
    (without(x_train=IMAGES.astype("<i4")), "x_train is int32; save it as uint8"),
    (without(x_train=IMAGES > 128), r"x_train is bool; save it as uint8, .* such as \(255 \* x_train\)"),
    (without(y_train=np.eye(3, dtype="f2")[ARRAYS["y_train"]]), "y_train is float16; save the labels as whole numbers"),
    (without(x_train=objects(IMAGES)), "x_train holds Python objects, which are never unpickled"),
    (without(y_train=objects("a" * 30)), "y_train holds Python objects"),
    (without(y_train=ARRAYS["y_train"].astype("U1")), r"y_test has labels that y_train has not \(such as 0\)"),
    (without(y_train=np.array(["a", ""] * 15), y_test=np.array(["a"] * 9)), "images with an empty label"),
    (without(y_train=np.ones((30, 3))), r"y_train has shape \(30, 3\), and row 1 is not all zeros but one"),
    (without("x_train", "y_train", arr_0=IMAGES), r"arrays without names \(arr_0 \(30, 5, 6\) uint8\); write datas"),
    (without(y_train=ARRAYS["y_train"] / 1), "y_train is float64; save the labels as whole numbers"),
    (without(y_train=ARRAYS["y_train"] > 0), "y_train is bool; save the labels"),
    (without(x_train=IMAGES.reshape(30, -1)), r"x_train has shape \(30, 30\)"),
    (without(x_train=np.moveaxis(np.stack([IMAGES] * 3), 0, 1)), "6 channels.*move its channels to the end"),
    (without(x_train=IMAGES[..., None].repeat(4, axis=3)), "x_train has 4 channels, and images have 1 or 3"),
    (without(x_test=ARRAYS["x_test"][:, :4]), "they should be of one shape"),
    (without(y_train=np.arange(29) % 3), r"y_train has shape \(29,\) for 30 images"),
    (without(y_train=np.arange(30) % 3 + 1), "y_train has 3 different labels from 1 to 3; they should be 0 to 2"),
    (without(y_train=np.arange(30) % 3 - 1), "from -1 to 1; they should be 0 to 2"),
    (without(y_train=np.zeros(30, int), y_test=np.zeros(9, int)), "one class only"),
    (without(x_train=IMAGES[:0], y_train=np.zeros(0, int)), "x_train has no images"),
    (without(classes=np.array(["a", "b"])), "classes has 2 names and y_train 3 classes"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), BAD)
def test_other_arrays_are_refused_before_any_job_runs(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UserError, match=message) as caught:
        load_study(study(tmp_path / "mine.npz"))
    assert "datasets.mine.path" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["a", "b"]}, "y_train has 3 different labels from 0 to 2; they should be 0 to 1"),
        ({"classes": ["a", "b", "c", "d"], "input_shape": [5, 6, 1]}, "they should be 0 to 3, each at least once"),
        ({"classes": ["a", "b", "c"], "input_shape": [6, 5, 1]}, r"input_shape is \[6, 5, 1\], but .* \[5, 6, 1\]"),
    ],
)
def test_what_the_config_says_of_the_file_is_compared_with_it(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, **options)


def test_a_shape_that_is_not_the_files_is_refused_before_any_job_runs(tmp_path):
    np.savez(tmp_path / "mine.npz", **ARRAYS)
    with pytest.raises(UserError, match=r"input_shape is \[6, 5, 1\], but mine.npz has images of \[5, 6, 1\]"):
        load_study(study(tmp_path / "mine.npz", input_shape=[6, 5, 1]))


@pytest.mark.parametrize(
    ("classes", "message"), [(["a", "a", "b"], "has the name 'a' twice"), (["a", " ", "b"], "has an empty name")]
)
def test_names_that_tell_no_classes_apart_are_refused(tmp_path, classes, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, without(classes=np.array(classes)))


def test_test_labels_that_training_lacks_are_refused(tmp_path):
    with pytest.raises(UserError, match="y_test has labels that y_train has not"):
        run(tmp_path, without(y_test=np.arange(9)))


def test_a_class_of_one_image_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match="1 image of class '3', too few"):
        run(tmp_path, without("x_test", "y_test", y_train=np.append(ARRAYS["y_train"][:29], 3)))


@pytest.mark.parametrize("cut", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "mine.npz"
    np.savez(path, **ARRAYS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(UserError, match=r"datasets\.mine\.path: .*mine\.npz is not a whole \.npz file"):
        load_study(study(path))


def test_a_member_that_is_cut_short_or_changed_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["x_train"])
    np.savez(path, **without("x_train"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", buffer.getvalue()[:-10])
    with pytest.raises(UserError, match=r"x_train\.npy is not whole"):
        load_study(study(path))
    np.savez(path, **ARRAYS)
    raw = bytearray(path.read_bytes())
    raw[raw.index(ARRAYS["x_train"].tobytes()) + 50] ^= 1
    path.write_bytes(raw)
    spec = json.dumps({"kind": "npz", "path": str(path)})
    with pytest.raises(UserError, match=r"not a whole \.npz file \(Bad CRC-32"):
        prepare.main(["--dataset", "mine", "--spec", spec, "--output-dir", str(tmp_path / "out")])


def test_where_the_file_is_not_to_be_seen_the_config_can_say_what_it_holds(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*nowhere\.npz here; .*input_shape and datasets\.mine\.classes"):
        load_study(study(tmp_path / "nowhere.npz"))
    load_study(study(tmp_path / "nowhere.npz", classes=["a", "b"], input_shape=[8, 8, 1]))


def test_the_architectures_are_checked_against_the_files_shape_and_classes(tmp_path):
    np.savez(tmp_path / "mine.npz", **ARRAYS)
    cost = load_study(study(tmp_path / "mine.npz")).plan.costs["mine", "dense"]
    assert cost.parameters == (30 + 1) * 4 + (4 + 1) * 3


COLOUR = np.stack([ARRAYS["x_train"]] * 3, axis=-1) // np.array([1, 2, 3], np.uint8)
ONE_HOT = np.eye(3)[ARRAYS["y_train"]]


def same(images: np.ndarray) -> dict:
    """The same images to train, validate and test with."""
    return {f"x_{part}": images for part in ("train", "validation", "test")}


LAYOUTS = {
    "floats": (same(ARRAYS["x_train"] / 255), {"scale": "unit"}),
    "floats of 32 bits": (same((ARRAYS["x_train"] / 255).astype("f4")), {"scale": "unit"}),
    "whole numbers": (same(ARRAYS["x_train"].astype("i8")), {"scale": "byte"}),
    "rows": (same(ARRAYS["x_train"].reshape(30, 30)), {"input_shape": [5, 6, 1]}),
    "one channel first": (same(ARRAYS["x_train"][:, None]), {"channels": "first"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_of_the_images_is_read_as_the_config_tells(tmp_path, layout):
    images, options = LAYOUTS[layout]
    labels = {f"y_{part}": ARRAYS["y_train"] for part in ("train", "validation", "test")}
    data = run(tmp_path, images | labels, **options)
    for array in (data.x_train, data.x_validation, data.x_test):
        assert array.dtype == np.uint8 and np.array_equal(array[..., 0], ARRAYS["x_train"])


def test_channels_that_come_first_are_moved_to_the_end(tmp_path):
    arrays = {"x_train": COLOUR.transpose(0, 3, 1, 2), "y_train": ARRAYS["y_train"]}
    data = run(tmp_path, arrays | {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}, channels="first")
    assert np.array_equal(data.x_train, COLOUR)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["read_as"] == {"channels": "first"}


@pytest.mark.parametrize(
    ("labels", "classes", "labels_as"),
    [
        (ONE_HOT, ("0", "1", "2"), "one-hot"),
        (np.asfortranarray(ONE_HOT), ("0", "1", "2"), "one-hot"),
        (ONE_HOT.astype(">f4"), ("0", "1", "2"), "one-hot"),
        (ONE_HOT.astype(bool), ("0", "1", "2"), "one-hot"),
        (ONE_HOT.astype("i2"), ("0", "1", "2"), "one-hot"),
        (np.array(["ape", "bee", "cät"])[ARRAYS["y_train"]], ("ape", "bee", "cät"), "text"),
        (np.array(["ape", "bee", "cat"])[ARRAYS["y_train"]].astype("S"), ("ape", "bee", "cat"), "text"),
        (np.array(["1", "2", "10"])[ARRAYS["y_train"]][:, None].astype(">U5"), ("1", "2", "10"), "text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_hot_labels_and_labels_of_text_are_classes(tmp_path, labels, classes, labels_as, save):
    data = run(tmp_path, without(y_train=labels, y_test=labels[:9]), save=save)
    assert data.y_train.tolist() == ARRAYS["y_train"].tolist() and data.classes == classes
    assert json.loads((tmp_path / "out/manifest.json").read_text())["read_as"] == {"labels": labels_as}


def test_a_class_of_one_hot_labels_without_images_is_not_dropped_in_silence(tmp_path):
    labels = np.pad(ONE_HOT, ((0, 0), (0, 1)))
    with pytest.raises(UserError, match="y_train has 4 columns, a class each, and no image of the last 1; add some"):
        run(tmp_path, without(y_train=labels, y_test=labels[:9]))


def test_names_that_would_change_what_text_labels_mean_are_refused(tmp_path):
    text = np.array(["ape", "bee", "cat"])
    arrays = without(y_train=text[ARRAYS["y_train"]], y_test=text[ARRAYS["y_test"]])
    with pytest.raises(UserError, match=r"classes has 'bee' where mine.npz has the label 'ape'; give the names"):
        run(tmp_path, arrays, classes=["bee", "ape", "cat"])
    assert run(tmp_path, arrays, classes=["Affe", "Biene", "Katze"]).classes == ("Affe", "Biene", "Katze")


def test_arrays_of_other_names_are_read_as_the_config_tells(tmp_path):
    arrays = {
        "train_images": ARRAYS["x_train"], "train_labels": ARRAYS["y_train"], "val_images": ARRAYS["x_train"][:6],
        "val_labels": ARRAYS["y_train"][:6], "arr_0": ARRAYS["x_test"], "arr_1": ARRAYS["y_test"],
    }  # fmt: skip
    told = {
        "x_train": "train_images", "y_train": "train_labels", "x_validation": "val_images",
        "y_validation": "val_labels", "x_test": "arr_0", "y_test": "arr_1",
    }  # fmt: skip
    np.savez(tmp_path / "mine.npz", **arrays)
    spec = load_study(study(tmp_path / "mine.npz", arrays=told)).datasets["mine"]
    prepare.main(["--dataset", "mine", "--spec", spec.model_dump_json(), "--output-dir", str(tmp_path / "out")])
    data = load(tmp_path / "out")
    assert np.array_equal(data.x_train[..., 0], ARRAYS["x_train"]) and len(data.x_validation) == 6
    assert np.array_equal(data.x_test[..., 0], ARRAYS["x_test"])
    with pytest.raises(UserError, match=r"arrays\.x_train is 'images', but mine\.npz has arr_0, arr_1, train_images"):
        load_study(study(tmp_path / "mine.npz", arrays=told | {"x_train": "images"}))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES * 1.0, {"scale": "unit"}, "x_train has the pixel value 25[0-9]; values should lie from 0 to 1"),
        (IMAGES / 255, {"scale": "byte"}, "not a whole number from 0 to 255; write scale: unit"),
        (IMAGES // 128, {"scale": "byte"}, "no pixel value above 1; write scale: unit"),
        (IMAGES // 128, {}, "no pixel value above 1; write scale: unit"),
        (IMAGES.astype("i4") * 2, {"scale": "byte"}, "values should lie from 0 to 255"),
        (np.where(IMAGES > 9, np.nan, IMAGES / 255), {"scale": "unit"}, "pixels that are NaN or infinite"),
    ],
)
def test_values_outside_of_what_the_config_tells_are_refused(tmp_path, images, options, message):
    with pytest.raises(UserError, match=message) as caught:
        run(tmp_path, {"x_train": images, "y_train": ARRAYS["y_train"]}, **options)
    assert str(caught.value).startswith("datasets.mine.path: mine.npz: x_train ")


def test_one_hot_labels_in_fortrans_order_are_read_by_rows(tmp_path):
    labels = np.arange(30) // 10
    data = run(tmp_path, without(y_train=np.asfortranarray(np.eye(3)[labels])))
    assert data.y_train.tolist() == labels.tolist()
