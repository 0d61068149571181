"""Users' own data: every file is used, or excluded with a reason; refusals come before any job runs."""

import json
import logging
import os
import shutil
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import plan
import prepare
from builders.images import png_bytes
from convlab.common import cli
from convlab.datasets import reading, shapes
from convlab.datasets.file_content import content_kind
from convlab.datasets.folder_listing import REASONS, printable_name
from convlab.datasets.image_decoding import Unreadable, read_image
from convlab.datasets.prepared import load
from convlab.errors import UserError
from convlab.findings import left_out
from convlab.study.load import load_study


def picture(name: str, side: int = 8, mode: str = "RGB") -> Image.Image:
    """Noise, different for each name."""
    pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def put(root: Path, name: str, form: str = "PNG", image: Image.Image | None = None, **options) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture(name)).save(path, form, **options)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of four training and two test images."""
    for part, count in (("train", 4), ("test", 2)):
        for name in (f"{part}/{label}/{number}.png" for label in ("cat", "dog") for number in range(count)):
            put(tmp_path / "photos", name)
    return tmp_path / "photos"


def config(path: Path, kind: str = "image_folder", **options) -> dict:
    size = {"image_size": 8} if kind == "image_folder" else {}
    return {
        "study": "s",
        "datasets": {"photos": {"kind": kind, "path": str(path), **size, **options}},
        "models": {"dense": {"family": "dense", "units": [4]}},
    }


def run(path: Path, kind: str = "image_folder", **options) -> dict:
    """Prepare as a study does; the manifest."""
    spec = load_study(config(path, kind, **options)).datasets["photos"].model_dump_json()
    prepare.main(["--dataset", "photos", "--spec", spec, "--output-dir", str(path.parent / "out"), "--threads", "2"])
    return json.loads((path.parent / "out/manifest.json").read_text())


def reasons(manifest: dict) -> dict[str, int]:
    counts = Counter()
    for entry in manifest["excluded"]:
        counts[entry["reason"]] += entry["count"]
    return dict(counts)


def planned(path: Path, kind: str = "image_folder", **options) -> str:
    """Error message before any job runs."""
    with pytest.raises(UserError) as caught:
        load_study(config(path, kind, **options))
    message = str(caught.value)
    assert "\n" not in message and "datasets.photos" in message
    return message


# ---------------------------------------------------------------------------------------------------------------------
# Formats

LOSSLESS = ("PNG", "BMP", "TIFF", "GIF")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("suffix", [".PNG", ".jfif", ".jpe", ".webp", ".Bmp", ".gif", ".TIF", ""])
def test_an_image_is_read_by_its_content_whatever_its_name_ends_in(folder, form, suffix):
    image = picture("x").quantize(100).convert("RGB")
    put(folder, f"train/cat/x{suffix}", form, image)
    manifest = run(folder)
    data = load(folder.parent / "out")
    assert len(data.x_train) == 9 and manifest["excluded"] == []
    if form in LOSSLESS:
        assert any(np.array_equal(pixels, np.asarray(image)) for pixels in data.x_train)


@pytest.mark.parametrize("name", ["IMG_1.jpg_original", "x.png~", "x.orig", "x.heic", "x.AVIF", "x.dcm", "inner/x.png"])
def test_an_image_that_is_not_read_ends_the_preparation_unless_it_is_to_be_left_out(folder, name):
    put(folder, f"train/cat/{name}", "JPEG")
    with pytest.raises(
        UserError, match=r"1.* images? cannot be used \(train/cat/.*datasets\.photos\.unreadable: exclude"
    ):
        run(folder)
    manifest = run(folder, unreadable="exclude")
    (entry,) = manifest["excluded"]
    assert entry["image"] and entry["class"] == "cat" and entry["count"] == 1 and entry["reason"] in REASONS


def test_the_kinds_of_files_that_people_take_for_images_are_told_apart():
    kinds = {
        b"": "empty", b"\n<!doctype html>": "an HTML page", b"%PDF-1.4": "a PDF document", b"hello": "text",
        b"\xef\xbb\xbfa,b\n": "text", b"PK\3\4": "a ZIP archive", b"\0" * 40: "zeros only",
        b"<?xml version='1.0'?><svg": "an SVG image", b"\0\0\0\x1cftypavif": "an AVIF image",
        b"RIFF\0\0\0\0WEBPVP8 ": "a WebP image", b"BM are my initials": "text", b"\1\2\3\xff": "something unknown",
        "é".encode() * 300: "text",
    }  # fmt: skip
    assert {start: content_kind(start[:511]) for start in kinds} == kinds


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(np.full((8, 8), 0.5, np.float32)), "has pixels of type F"),
        (Image.fromarray(np.full((8, 8), 70_000, np.int32)), "has pixels of type I, which is not read"),
    ],
)
def test_pixels_that_are_no_bytes_are_told(tmp_path, image, message):
    with pytest.raises(Unreadable, match=message):
        read_image(put(tmp_path, "x.tif", "TIFF", image), (8, 8), 1)


def deep(bits: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 2**bits, (8, 8)).astype(np.uint16))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_images_are_scaled_by_the_bits_that_all_of_them_use(folder, bits):
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        image = deep(bits - (number > 0), number)  # a darker image stays darker
        image.putpixel((0, 0), 2**bits - 1 if number == 0 else 0)
        image.save(file)
    manifest = run(folder, colour="grey")
    data = load(folder.parent / "out")
    files = sorted((folder / "train").rglob("*.png"))
    expected = [np.asarray(Image.open(file)) >> (bits - 8) for file in files]
    assert np.array_equal(data.x_train[..., 0], expected) and manifest["bits"] == bits


def test_16_bit_colour_that_would_be_nearly_black_is_refused(folder):
    rows = b"".join(b"\0" + np.full(24, 4000, ">u2").tobytes() for _ in range(8))
    for file in folder.rglob("*.png"):
        file.write_bytes(png_bytes(8, 8, rows, depth=16, colour=2))
    with pytest.raises(UserError, match="use only the lowest 12 and would be nearly black; save them with 8 bits"):
        run(folder)


def test_of_several_pictures_in_a_file_the_first_counts_and_such_files_are_counted(folder):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for suffix, form in ((".gif", "GIF"), (".webp", "WEBP"), (".tif", "TIFF"), (".png", "PNG")):
        options = {"lossless": True} if form == "WEBP" else {}
        put(folder, f"train/cat/x{suffix}", form, frames[0], save_all=True, append_images=frames[1:], **options)
    manifest = run(folder)
    assert manifest["several_pictures"] == 4
    images = load(folder.parent / "out").x_train
    assert sum(bool(np.all(image == (255, 0, 0))) for image in images) == 4
    texts = [finding.text for finding in left_out.left_out({"photos": manifest}, {})]
    assert any("4 files hold several pictures, of which the first was used" in text for text in texts)


# ---------------------------------------------------------------------------------------------------------------------
# Every file ends in one of two lists

FILES = {
    "a.png": "PNG", "b.JPG": "JPEG", "c.jfif": "JPEG", "d.webp": "WEBP", "e.bmp": "BMP", "f": "PNG", "g.gif": "GIF",
    "empty.png": b"", "page.jpg": b"<html>", "half.png": b"\x89PNG\r\n\x1a\n12", "notes.txt": b"x", "README": b"x",
    ".hidden.png": b"x", "Thumbs.db": b"x", ".DS_Store": b"x", "phone.heic": b"x", "old.jpg.bak": b"\xff\xd8\xff",
    "inner/deep.png": "PNG", "dangling.png": None,
}  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["train/cat", "train", "train/dog", "test/cat", "", "extra"]),
                       st.sets(st.sampled_from(sorted(FILES)))))  # fmt: skip
def test_every_file_is_used_or_counted_with_its_reason(tmp_path, placed):
    shutil.rmtree(tmp_path / "p", ignore_errors=True)
    root = tmp_path / "p/photos"
    for part in ("train", "test"):
        for name in (f"{part}/{label}/{number}.png" for label in ("cat", "dog") for number in range(2)):
            put(root, name)
    for where, names in placed.items():
        for name in names:
            if name.startswith("inner") and where in ("train", "test"):
                continue  # another class
            path, content = root / where / name, FILES[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                put(path.parent, path.name, content)
            elif content is None:
                path.symlink_to("nowhere")
            else:
                path.write_bytes(content)
    manifest = run(root, unreadable="exclude")
    used = sum(entry["shape"][0] for key, entry in manifest["arrays"].items() if key.startswith("x_"))
    in_folders = {"extra/", "inner/"}
    litter = sum(  # files of folders that are not read are counted without it
        1 for path in root.rglob("*") for name in (path.name,)
        if {f"{part}/" for part in path.relative_to(root).parts[:-1]} & in_folders
        and (name[0] == "." or name == "Thumbs.db")
    )  # fmt: skip
    there = sum(1 for path in root.rglob("*") if path.is_symlink() or path.is_file()) - litter
    assert used + sum(reasons(manifest).values()) == there
    assert set(reasons(manifest)) <= set(REASONS)
    lost = any(entry["image"] for entry in manifest["excluded"])
    if lost:
        with pytest.raises(UserError, match=r"images? cannot be used"):
            run(root)
    else:
        assert run(root)["arrays"] == manifest["arrays"]


def test_every_reason_is_translated():
    assert left_out.REASONS == REASONS


def test_a_class_that_lost_most_of_its_images_is_named_where_people_look(folder, caplog, capsys, tmp_path):
    """Case 5: 15 of 20 images of one class are in formats or states that cannot be used."""
    for number in range(5):
        for suffix in (".heic", ".jpg", ".webp"):
            (folder / f"train/cat/more{number}{suffix}").write_bytes(b"<html>")
    with pytest.raises(UserError, match="15 of 27 images cannot be used"):
        run(folder, classes=2)
    assert "5 images cannot be used (train/cat/more0.heic: .heic is not read; save it as PNG or JPEG; " in planned(
        folder
    )
    manifest = run(folder, unreadable="exclude")
    (finding,) = left_out.left_out({"photos": manifest}, {})
    assert finding.text == (
        "photos: 15 images were not used (no image, whatever its name says: 10; in a format that is not read: 5). "
        "The class that lost most is cat: 15 of 19 training images; what is said of it is of the others."
    )
    assert finding.numbers == {"lost": 15}
    rows = left_out_rows(manifest)
    assert [row[:4] for row in rows] == [
        ("train", "cat", "in a format that is not read", "5"),
        ("train", "cat", "no image, whatever its name says", "10"),
    ]
    assert "train/cat/more0.jpg" in rows[1][4] and "2 more" in rows[1][4]
    (tmp_path / "c.yaml").write_text(json.dumps(config(folder, unreadable="exclude")))
    plan.main([str(tmp_path / "c.yaml"), "--results", str(tmp_path)])
    assert "photos: not used: in a format that is not read (5)." in capsys.readouterr().out


def left_out_rows(manifest: dict) -> list[tuple[str, ...]]:
    from convlab.page.dataset import excluded_table

    return excluded_table("photos", manifest).rows


# ---------------------------------------------------------------------------------------------------------------------
# Folders


@pytest.mark.parametrize("name", ["Train", "TRAIN", "training"])
@pytest.mark.parametrize("other", ["Test", "TEST", "testing"])
def test_train_and_test_may_be_written_in_any_case(folder, name, other):
    before = run(folder)
    (folder / "train").rename(folder / "x")
    (folder / "x").rename(folder / name)
    (folder / "test").rename(folder / "y")
    (folder / "y").rename(folder / other)
    after = run(folder)
    assert after["arrays"] == before["arrays"] and after["test_from"] == {"from": "data"}


def test_a_folder_of_another_name_is_counted_and_named(folder):
    put(folder, "extra/cat/1.png")
    manifest = run(folder)
    assert reasons(manifest) == {"in a folder that is neither train, validation nor test": 1}
    (finding,) = left_out.left_out({"photos": manifest}, {})
    assert "1 file in extra/ was not used: images are read from train, validation and test." in finding.text
    (note,) = shapes.data_notes(load_study(config(folder)).datasets)
    assert note == "photos: not used: in a folder that is neither train, validation nor test (1)."


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "VAL", "dev"])
def test_a_validation_folder_is_used_beside_a_test_folder_and_asked_about_without_one(folder, name):
    for label in ("cat", "dog"):
        put(folder, f"{name}/{label}/1.png")
    manifest = run(folder)
    assert manifest["counts"]["validation"] == {"cat": 1, "dog": 1} and manifest["excluded"] == []
    shutil.rmtree(folder / "test")
    assert f"has {name} and no test; rename it to test if its images are to test with" in planned(folder)


def link(root: Path, name: str, target: str) -> None:
    (root / name).symlink_to(target)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: (root / "test").rename(root / "eval"), "has eval and no test; rename it to test"),
        (lambda root: (root / "test").rename(root / "test_set"), "has test_set and no test; rename it to test"),
        (lambda root: put(root, "Train/cat/1.png"), "has Train and train, which both mean train; keep one of them"),
        (lambda root: put(root, "testing/cat/1.png"), "has test and testing, which both mean test"),
        (lambda root: put(root, "train/1.png"), "1 image cannot be used (train/1.png: outside of the class folders)"),
        (
            lambda root: [put(root, f"train/cat/more/{number}.png") for number in range(14)],
            "14 images cannot be used (train/cat/more/ (14 files): in a folder inside a class)",
        ),
        (lambda root: put(root, "train/cat/more/1.png"), "(train/cat/more/: in a folder inside a class)"),
        (lambda root: link(root, "train/eel", "nowhere"), "train/eel is a link that leads nowhere; mend it or remove"),
        (lambda root: (shutil.rmtree(root / "test"), link(root, "test", "gone")), "test is a link that leads nowhere"),
        (lambda root: (shutil.rmtree(root / "test"), (root / "test").mkdir()), "test holds no folders; put the images"),
        (lambda root: (root / "train").rename(root / "seg_train"), "has no folder train (it has seg_train)"),
        (lambda root: shutil.rmtree(root / "train/dog"), "train holds one class only ('cat')"),
        (lambda root: shutil.rmtree(root / "test/dog"), "train and test hold different classes ('dog' is in one"),
        (lambda root: (root / "test/dog").rename(root / "test/Dog"), "train and test hold different classes ('Dog'"),
        (lambda root: [path.unlink() for path in (root / "train/dog").iterdir()], "train/dog holds no PNG, JPEG"),
        (lambda root: [path.rename(path.with_suffix(".heic")) for path in (root / "train/dog").iterdir()],
         "train/dog holds no PNG, JPEG, WebP, BMP, GIF or TIFF files (only .heic (4))"),
        (lambda root: (root / "train/a\x1b[31mb").mkdir(), r"train/a\x1b[31mb has control characters in its name"),
        (lambda root: (root.rename(root.parent / "x"), (root / "train").mkdir(parents=True),
                       (root.parent / "x/train").rename(root / "train/train")),
         "train/train holds folders (cat/, dog/) and no images; the images of a class lie in its folder itself"),
    ],
)  # fmt: skip
def test_what_is_no_folder_of_images_is_refused_before_anything_runs(folder, change, sentence):
    change(folder)
    message = planned(folder)
    assert sentence in message and "\x1b" not in message
    with pytest.raises(UserError, match=r"datasets\.photos"):
        run(folder, classes=2)  # where the plan does not look, prepare does


def test_a_folder_that_may_not_be_read_is_told(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("convlab.datasets.folder_listing.os.scandir", refuse)
    assert "train/dog cannot be listed (Permission denied); change its permissions" in planned(folder)


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        ([5, 1], 0.2, "1 image of class '1', too few to train on and to test with"),
        ([2] * 20, 0.2, "one training image of each of its 20 classes, and none to set aside for validation"),
        ([3, 3], 0.7, "one training image of each of its 2 classes"),
        ([3, 2], 0.2, None),
    ],
)
@pytest.mark.parametrize("kind", ["image_folder", "npz"])
def test_too_few_images_of_a_class_are_told_before_anything_runs(tmp_path, counts, fraction, message, kind):
    labels = np.repeat(np.arange(len(counts)), counts)
    path = tmp_path / ("photos" if kind == "image_folder" else "photos.npz")
    if kind == "npz":
        np.savez(path, x_train=np.zeros((len(labels), 8, 8), np.uint8), y_train=labels)
    else:
        for number, label in enumerate(labels):
            put(path, f"train/{label}/{number}.png")
    if message is None:
        assert run(path, kind, test_fraction=fraction)["test_from"]["from"] == "seed"
        return
    assert message in planned(path, kind, test_fraction=fraction)


def test_images_that_the_limits_leave_out_are_counted_and_no_class_is_lost(folder):
    manifest = run(folder, train_images=4, test_images=2)
    (finding,) = left_out.left_out({"photos": manifest}, {})
    assert finding.text == "photos: the config takes 4 of 8 training images and 2 of 4 test images only."
    with pytest.raises(UserError, match="train_images is 2, too few for 2 classes; choose at least 3"):
        run(folder, train_images=2)
    for number in range(4, 60):
        put(folder, f"train/cat/{number}.png")
    with pytest.raises(UserError, match="no training image of class 'dog' left; take more"):
        run(folder, train_images=3)


def test_test_images_are_said_to_come_with_the_data_only_where_they_do(folder):
    given_images = run(folder)
    shutil.rmtree(folder / "test")
    held_out = run(folder, test_fraction=0.25, split_seed=7)
    assert left_out.test_origin({"a": given_images}) == "The test images are those that the data bring."
    text = left_out.test_origin({"a": held_out})
    assert "bring no test images" in text and "25" in text and "(seed 7)" in text
    assert left_out.test_origin({"a": given_images, "b": held_out}).startswith("a: The test images are those")


@pytest.mark.parametrize("name", ["a\x1b[2Jb\x07.png", "c\n\rd.png", "e\u202egnp.exe.png", "f\x9b31m.png"])
def test_control_characters_of_file_names_reach_no_log_and_no_message_raw(folder, name, caplog):
    (folder / "train/cat" / name).write_bytes(b"x")
    caplog.set_level("INFO")
    with pytest.raises(UserError) as caught:
        run(folder)
    manifest = run(folder, unreadable="exclude")
    for text in (str(caught.value), caplog.text.replace("\n", ""), json.dumps(manifest, ensure_ascii=False)):
        assert not {"\x1b", "\x07", "\r", "\u202e", "\x9b"} & set(text)
    assert "\\" in manifest["excluded"][0]["files"][0]["file"]


def test_whatever_a_script_logs_or_ends_with_is_printable(capsys, monkeypatch):
    text = "a\x1b[2Jb\x9bc\u202ed"
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def main() -> None:
        logging.getLogger("x").warning("found %s", text)
        raise UserError(f"{text} cannot be used")

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    logged = capsys.readouterr().err
    assert "found a\\x1b[2Jb\\x9bc\\u202ed\n" in logged
    assert ended.value.code == "error: a\\x1b[2Jb\\x9bc\\u202ed cannot be used"


def test_names_in_scripts_that_need_joiners_stay_as_they_are():
    for name in ("می‌خواهم", "क्‍ष", "👩‍🔬", "Äpfel", "猫"):
        assert printable_name(name) == name
    assert printable_name(os.fsdecode(b"caf\xe9")) == "caf\\xe9" and printable_name("\ud800x") == "\\ud800x"


# ---------------------------------------------------------------------------------------------------------------------
# Arrays

ARRAYS = {
    "x_train": np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8), "y_train": np.arange(12) % 3,
    "x_test": np.zeros((3, 8, 8), np.uint8), "y_test": np.arange(3),
}  # fmt: skip


def npz(tmp_path: Path, *without: str, **changed) -> Path:
    arrays = {name: array for name, array in ARRAYS.items() if name not in without} | changed
    np.savez(tmp_path / "photos.npz", **arrays)
    return tmp_path / "photos.npz"


def test_arrays_that_are_not_read_stand_in_the_manifest_the_report_and_the_plan(tmp_path):
    path = npz(tmp_path, x_val=ARRAYS["x_test"], classes=np.array([1, 2, 3]))
    manifest = run(path, "npz")
    assert reasons(manifest) == {"array that is not read": 2}
    (finding,) = left_out.left_out({"photos": manifest}, {})
    assert finding.text == "photos: the file has 2 arrays that were not used (classes and x_val)."
    (note,) = shapes.data_notes(load_study(config(path, "npz")).datasets)
    assert note == "photos: not used: array classes (3,) int64, array x_val (3, 8, 8) uint8."


def test_an_array_of_names_names_the_classes_unless_the_config_does(tmp_path):
    path = npz(tmp_path, classes=np.array(["low", "mid", "hi\x1bgh"]))
    assert run(path, "npz")["classes"] == ["low", "mid", "hi\\x1bgh"]
    manifest = run(path, "npz", classes=["a", "b", "c"])
    assert manifest["classes"] == ["a", "b", "c"] and reasons(manifest) == {"array that is not read": 1}
    with pytest.raises(UserError, match=r"classes has 2 names and y_train 3 classes; give one name for each"):
        run(npz(tmp_path, classes=np.array(["a", "b"])), "npz")


def test_a_class_without_test_images_is_named(tmp_path):
    path = npz(tmp_path, y_test=np.zeros(3, int))
    summary = {"counts": {"test": {"0": 3, "1": 0, "2": 0}}}
    (finding,) = left_out.left_out({"photos": run(path, "npz")}, {"photos": summary})
    assert "2 classes without test images (1 and 2); their recall and F1 are not defined" in finding.text


@pytest.mark.parametrize(
    ("without", "changed", "sentence"),
    [
        ((), {"x_test": ARRAYS["x_test"][:0], "y_test": np.zeros(0, int)}, "x_test has no images (shape (0, 8, 8))"),
        (("y_test",), {}, "has no array y_test"),
        (("x_test", "y_test"), {"x_val": ARRAYS["x_test"]}, "has x_val and no x_test; name it x_test if"),
        (("x_test", "y_test"), {"X_test": ARRAYS["x_test"]}, "has an array X_test and no x_test; if that is what"),
        (("x_train",), {"images": ARRAYS["x_train"]}, "has an array images and no x_train; if that is what it holds"),
        (("y_train",), {"Y_TRAIN": ARRAYS["y_train"]}, "has an array Y_TRAIN and no y_train"),
        (("x_train",), {"train_x": ARRAYS["x_train"]}, "has an array train_x and no x_train"),
        (("x_train",), {"train_images": ARRAYS["x_train"]}, "has an array train_images and no x_train"),
        ((), {"x_train": ARRAYS["x_train"] / 255}, "x_train is float64; save it as uint8, 0 to 255, such as (255 *"),
        ((), {"x_train": ARRAYS["x_train"] / 255}, "write datasets.photos.scale: unit for values from 0 to 1, or byte"),
        ((), {"y_train": np.full((12, 3), 0.3)}, "row 1 is not all zeros but one; save one label for each image"),
        ((), {"y_train": np.array(list("abcabcabcabc"))}, "y_test has labels that y_train has not (such as 0)"),
        (("x_train", "y_train"), {"train_images": ARRAYS["x_train"], "train_labels": ARRAYS["y_train"]},
         "write datasets.photos.arrays: {x_train: train_images, y_train: train_labels}"),
        ((), {"x_train": np.zeros((12, 3, 8, 8), np.uint8)}, "or write datasets.photos.channels: first"),
        ((), {"y_train": np.array(list("abc" * 4), object)}, "y_train holds Python objects, which are never unpickled"),
        ((), {"x_train": np.zeros((12, 3, 8, 8), np.uint8)}, "move its channels to the end (x_train.transpose(0, 2,"),
        ((), {"x_train": np.zeros((12, 64), np.uint8)}, "a row for each image; reshape it to (images, height, width)"),
        ((), {"y_test": np.array([0, 1, 7])}, "y_test has labels that y_train has not (such as 7)"),
        ((), {"y_train": np.zeros(12, int), "y_test": np.zeros(3, int)}, "y_train has one class only"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_told_with_what_to_write_before_anything_runs(tmp_path, without, changed, sentence):
    message = planned(npz(tmp_path, *without, **changed), "npz")
    assert sentence in message and message.startswith("datasets.photos.path: photos.npz: "), message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label,pixel1,pixel2\n1,0,0\n", "is text, such as a CSV file, and no .npz file; write one with numpy.savez"),
        (b"\x93NUMPY\1\0v\0{'descr'", "is a single NumPy array (.npy), and no .npz"),
        (b"\x80\4\x95\0\0", "is a Python pickle, which is never unpickled, and no .npz"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, and no .npz"),
        (b"", "is empty, and no .npz"),
        (b"\x1f\x8b\x08", "is a gzip archive, and no .npz"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer and not the file itself, and no .npz"),
    ],
)
def test_another_kind_of_file_is_told_by_what_it_is(tmp_path, content, message):
    (tmp_path / "photos.npz").write_bytes(content)
    assert message in planned(tmp_path / "photos.npz", "npz")


def test_an_archive_of_other_files_and_a_folder_are_told_by_what_they_are(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "photos.npz", "w") as archive:
        archive.writestr("train/cat/1.png", b"x")
    assert "is a ZIP archive that holds train/cat/1.png, and no .npz file" in planned(tmp_path / "photos.npz", "npz")
    assert "is a folder; give an .npz file, or write kind: image_folder" in planned(tmp_path, "npz")


def test_a_small_file_that_inflates_to_more_than_memory_holds_is_refused_unread(tmp_path, monkeypatch):
    np.savez_compressed(
        tmp_path / "photos.npz", x_train=np.zeros((4000, 50, 50), np.uint8), y_train=np.arange(4000) % 2
    )
    assert (tmp_path / "photos.npz").stat().st_size < 200_000
    monkeypatch.setattr(reading, "memory_limit", lambda: 15_000_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"8,000 images of 50×50×1 take 0\.0 GB, and this machine .or container. has"):
        run(tmp_path / "photos.npz", "npz")


def test_a_containers_limit_of_memory_counts(tmp_path):
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert reading.memory_limit(tmp_path) == whole
    for name, text in {
        "proc/self/cgroup": "0::/slice/job\n3:memory,cpu:/docker/x\n2:cpuset:/\n",
        "sys/fs/cgroup/slice/job/memory.max": "max\n", "sys/fs/cgroup/slice/memory.max": "5000000\n",
        "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "9223372036854771712\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert reading.memory_limit(tmp_path) == 5_000_000
    (tmp_path / "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes").write_text("4000000")
    assert reading.memory_limit(tmp_path) == 4_000_000


def test_labels_are_counted_once_and_not_inflated_each_time_that_jobs_are_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    path = npz(tmp_path)
    load_study(config(path, "npz"))
    monkeypatch.setattr(
        "convlab.datasets.npz_headers.array.array", lambda *_: pytest.fail("the labels were read again")
    )
    assert load_study(config(path, "npz")).plan.costs["photos", "dense"].parameters == 65 * 4 + 5 * 3
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "one class only" in planned(npz(tmp_path, y_train=np.zeros(12, int), y_test=np.zeros(3, int)), "npz")


def test_a_path_that_is_the_folder_train_itself_is_told_the_folder_above(folder):
    assert "give the folder above it" in planned(folder / "train")
