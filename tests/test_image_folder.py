"""A folder of anybody's images becomes arrays by stated rules; whatever cannot be used is named."""

import itertools
import json
import os
import subprocess
import sys
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import prepare
from builders.images import png_bytes
from convlab.datasets.image_decoding import Unreadable, read_image, read_images
from convlab.datasets.prepared import load
from convlab.errors import UserError
from convlab.study.load import load_study
from convlab.training.run_spec import Run

SCRIPTS = Path(prepare.__file__).parent


def picture(seed: int, width: int = 8, height: int = 8, mode: str = "RGB") -> Image.Image:
    """Noise, different for each seed."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)


def put(root: Path, name: str, image: Image.Image | None = None, **options) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture(zlib.crc32(name.encode()))).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes, six and four training images, two test images each."""
    root = tmp_path / "photos"
    for name, count in (("cat", 6), ("dog", 4)):
        for number in range(count):
            put(root, f"train/{name}/{number}.png")
        for number in range(2):
            put(root, f"test/{name}/{number}.png")
    return root


def run(root: Path, **options):
    """Prepare the folder as Snakemake does, beside it."""
    options = {"image_size": 8, "path": str(root), **options}
    threads = str(options.pop("threads", 2))
    spec = json.dumps({"kind": "image_folder", **options})
    output = root.parent / "out"
    prepare.main(["--dataset", "photos", "--spec", spec, "--output-dir", str(output), "--threads", threads])
    return load(output)


def manifest(root: Path) -> dict:
    return json.loads((root.parent / "out/manifest.json").read_text())


def refused(root: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        run(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_images_of_the_wanted_size_keep_every_value_in_the_order_of_their_names(folder):
    data = run(folder)
    files = [f"cat/{n}.png" for n in range(6)] + [f"dog/{n}.png" for n in range(4)]
    assert all(np.array_equal(x, pixels(folder / "train" / f)) for x, f in zip(data.x_train, files, strict=True))
    assert data.y_train.tolist() == [0] * 6 + [1] * 4 and data.y_test.tolist() == [0, 0, 1, 1]
    assert data.classes == ("cat", "dog")
    assert manifest(folder)["excluded"] == []
    assert manifest(folder)["options"]["image_size"] == [8, 8]
    assert str(folder) not in (folder.parent / "out/manifest.json").read_text()


def test_any_number_of_threads_gives_the_same_bytes(folder):
    for number in range(200):
        put(folder, f"train/dog/more{number}.jpg", picture(number, 20 + number % 7, 15), quality=80)
    written = []
    for threads in (1, 5):
        run(folder, threads=threads)
        written.append([(folder.parent / "out" / name).read_bytes() for name in ("data.npz", "manifest.json")])
    assert written[0] == written[1]


def test_without_a_test_folder_a_share_of_every_class_is_held_out_by_the_seed(folder):
    for path in sorted((folder / "test").rglob("*.png")):
        path.unlink()
    for name in ("cat", "dog"):
        (folder / "test" / name).rmdir()
    (folder / "test").rmdir()
    first = run(folder, test_fraction=0.25)
    assert np.bincount(first.y_test).tolist() == [2, 1] and np.bincount(first.y_train).tolist() == [4, 3]
    whole = {image.tobytes() for image in (*first.x_train, *first.x_test)}
    assert len(whole) == 10
    tests = {run(folder, test_fraction=0.25, split_seed=seed).x_test.tobytes() for seed in range(6)}
    assert first.x_test.tobytes() in tests and len(tests) > 1


def test_leaving_an_unreadable_image_out_moves_no_other_to_the_other_side(folder):
    for path in (folder / "test").rglob("*.png"):
        path.rename(folder / "train" / path.parent.name / f"t{path.name}")
    for name in ("cat", "dog"):
        (folder / "test" / name).rmdir()
    (folder / "test").rmdir()
    before = {image.tobytes() for image in run(folder).x_test}
    (folder / "train/cat/3.png").write_bytes(b"")
    after = {image.tobytes() for image in run(folder, unreadable="exclude").x_test}
    assert after <= before and len(before) - len(after) <= 1


def test_names_in_any_script_and_suffixes_in_any_case_are_read(tmp_path):
    root = tmp_path / "фото 写真"
    names = ["ябълка/крушa 1.JPG", "Äpfel/bäume.PNG", "Äpfel/birnen.TIFF", "猫/ねこ.Jpeg", "a b;$(c)'\"/x y.png"]
    for number, name in enumerate(names):
        put(root, f"train/{name}", picture(number))
        put(root, f"test/{name}", picture(number + 9))
    decomposed = root / "train" / unicodedata.normalize("NFD", "Äpfel")
    (root / "train/Äpfel").rename(decomposed)  # as macOS has it
    data = run(root)
    assert data.classes == ("a b;$(c)'\"", "Äpfel", "ябълка", "猫")
    assert len(data.x_train) == 5


def test_hidden_files_litter_and_documents_are_no_loss_and_counted_by_class_and_reason(folder, caplog):
    caplog.set_level("INFO")
    for name in (".hidden.png", "Thumbs.db", ".DS_Store", "desktop.ini", "__MACOSX"):
        (folder / "train/cat" / name).write_bytes(b"x")
        (folder / "train" / name).write_bytes(b"x")
    (folder / "train/.git").mkdir()
    for name in ("notes.txt", "a.bak", "README"):
        (folder / "train/cat" / name).write_bytes(b"x")
    (folder / "train/cat/empty").mkdir()
    (folder / "readme.md").write_text("x")
    (folder / "labels").mkdir()
    (folder / "labels/all.csv").write_text("x")
    assert len(run(folder).x_train) == 10
    counts = {
        (entry["part"], entry["class"], entry["reason"]): entry["count"] for entry in manifest(folder)["excluded"]
    }
    assert counts == {
        ("train", "cat", "hidden file"): 1, ("train", "cat", "system file"): 4,
        ("train", "cat", "not an image by its name"): 3, ("train", "cat", "in a folder inside a class"): 0,
        ("train", None, "hidden file"): 2, ("train", None, "system file"): 4,
        (None, None, "not an image by its name"): 1,
        (None, None, "in a folder that is neither train, validation nor test"): 1,
    }  # fmt: skip
    assert not any(entry["image"] for entry in manifest(folder)["excluded"])
    assert "not used: train/cat/README: is text" in caplog.text and "not used: hidden file (3), " in caplog.text


def test_counts_are_limited_as_for_every_kind(folder):
    data = run(folder, train_images=5, test_images=2)
    assert np.bincount(data.y_train).tolist() == [3, 2] and len(data.x_test) == 2
    assert "train_images 99 is not possible; choose 2 (one per class) to 10" in refused(folder, train_images=99)


# ---------------------------------------------------------------------------------------------------------------------
# What becomes of one image


def read(path: Path, size=(8, 8), channels: int = 3) -> np.ndarray:
    return read_image(path, size, channels)


def test_other_sizes_are_cropped_around_the_centre_and_resized(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (200, 100, 50)  # what a square crop keeps
    assert np.all(read(put(tmp_path, "wide.png", Image.fromarray(wide)), (5, 5)) == (200, 100, 50))
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    assert np.all(read(put(tmp_path, "tall.png", Image.fromarray(tall)), (20, 20)) == (200, 100, 50))
    whole = read(put(tmp_path, "same.png", Image.fromarray(wide)), (5, 15))
    assert whole.shape == (5, 15, 3) and np.all(whole[:, :4] == 0) and np.all(whole[:, 6:9] == (200, 100, 50))


def test_making_an_image_smaller_averages_it(tmp_path):
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = read(put(tmp_path, "board.png", Image.fromarray(board)), (8, 8), 1)
    assert small.shape == (8, 8, 1) and np.all(abs(small.astype(int) - 127.5) < 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
@pytest.mark.parametrize("side", [8, 16])
def test_every_mode_becomes_rgb_or_grey(tmp_path, mode, side):
    name = "x.jpg" if mode == "CMYK" else "x.png"
    if mode == "P":
        image = Image.new("RGB", (side, side), (200, 200, 200)).quantize(2)
    elif mode == "I;16":
        image = Image.fromarray(np.full((side, side), 0xC812, np.uint16))
    else:
        image = Image.new("RGBA" if mode in ("LA", "RGBA") else "RGB", (side, side), (200, 200, 200)).convert(mode)
    path = put(tmp_path, name, image)
    expected = 255 if mode == "1" else 200
    for channels in (3, 1):
        array = read(path, channels=channels)
        assert array.shape == (8, 8, channels) and array.dtype == np.uint8
        if mode == "1":  # dithered: black and white dots that average to the grey
            assert array.min() < expected and abs(array.mean() - 200) < 12
        else:
            assert np.all(abs(array.astype(int) - expected) <= (2 if mode == "CMYK" else 0))


@pytest.mark.parametrize("side", [8, 32])
def test_transparency_is_shown_on_white_whatever_colour_hides_below(tmp_path, side):
    clear = Image.new("RGBA", (side, side), (255, 0, 0, 0))
    half = Image.new("RGBA", (side, side), (0, 0, 0, 128))
    palette = Image.new("P", (side, side), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert np.all(read(put(tmp_path, "clear.png", clear)) == 255)
    assert np.all(read(put(tmp_path, "half.png", half)) == 127)
    assert np.all(read(put(tmp_path, "palette.png", palette, transparency=0)) == 255)
    assert np.all(
        read(put(tmp_path, "keyed.png", Image.new("RGB", (side, side), (9, 8, 7)), transparency=(9, 8, 7))) == 255
    )
    assert np.all(read(put(tmp_path, "grey.png", Image.new("L", (side, side), 9), transparency=9), channels=1) == 255)


def test_sixteen_bits_keep_the_high_byte_in_grey_and_in_colour(tmp_path):
    values = np.array([[0x0000, 0x00FF, 0x7F80, 0xFFFF]], np.uint16)
    path = put(tmp_path, "grey.png", Image.fromarray(values))
    assert read(path, (1, 4), 1).ravel().tolist() == [0x00, 0x00, 0x7F, 0xFF]
    rows = b"\0" + values.repeat(3, axis=0).T.astype(">u2").tobytes()
    path = tmp_path / "rgb.png"
    path.write_bytes(png_bytes(4, 1, rows, depth=16, colour=2))
    assert read(path, (1, 4), 1).ravel().tolist() == [0x00, 0x00, 0x7F, 0xFF]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("size", [(12, 8), (8, 12), (24, 16), (80, 80)])
def test_images_are_turned_as_their_metadata_say(tmp_path, suffix, size):
    upright = np.zeros((240, 160, 3), np.uint8)
    upright[:80, :80], upright[160:, 80:] = (250, 20, 20), (20, 20, 250)
    upright = Image.fromarray(upright)
    plain = read(put(tmp_path, f"plain.{suffix}", upright), size)
    # What a camera stores so that the orientation turns it upright: the inverse of each turn.
    turn = Image.Transpose
    stored_by = (turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_90)
    for orientation, inverse in enumerate((*stored_by, turn.TRANSVERSE, turn.ROTATE_270), start=2):
        stored = upright.transpose(inverse)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = put(tmp_path, f"{orientation}.{suffix}", stored, exif=exif)
        assert ImageOps.exif_transpose(Image.open(path)).size == upright.size
        turned = read(path, size)
        assert turned.shape == (*size, 3)
        assert np.abs(turned.astype(int) - plain.astype(int)).mean() < 6, orientation


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_reduced_while_it_is_decoded_and_looks_the_same(tmp_path, progressive):
    smooth = picture(1, 12, 9).resize((1200, 900), Image.Resampling.BICUBIC)
    path = put(tmp_path, "large.jpg", smooth, quality=95, progressive=progressive)
    whole = read(put(tmp_path, "large.png", Image.open(path)), (30, 40)).astype(int)
    assert np.abs(read(path, (30, 40)).astype(int) - whole).mean() < 2.5  # of 255, at 112.5 rows rounded up


def test_a_photograph_of_50_megapixels_is_read_in_little_memory(tmp_path):
    put(tmp_path, "a.png", Image.new("L", (8000, 6250), 77), compress_level=1)
    put(tmp_path, "b.jpg", Image.new("RGB", (8000, 6250), (10, 20, 30)))
    code = (
        "import sys\nfrom pathlib import Path\nfrom convlab.common.provenance import peak_memory_mb\n"
        "from convlab.datasets.image_decoding import read_images\n"
        "read = read_images(Path(sys.argv[1]), ['a.png', 'b.jpg'] * 4, (16, 16), 3, 8)\n"
        "images = read.images\n"
        "print(read.problems, images[0].max(), images[1, 0, 0], peak_memory_mb())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
    assert output.startswith("{} 77 [10 20 30]")
    assert float(output.split()[-1]) < 500


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be used


def bad_files(root: Path) -> dict[str, str]:
    """Damaged images of all sorts with their messages."""
    whole_png, whole_jpeg = put(root, "x.png", picture(1, 40, 40)), put(root, "x.jpg", picture(2, 40, 40))
    png_content, jpeg_content = whole_png.read_bytes(), whole_jpeg.read_bytes()
    flipped = bytearray(png_content)
    flipped[len(flipped) // 2] ^= 0xFF
    for path in (whole_png, whole_jpeg):
        path.unlink()
    contents = {
        "empty.png": (b"", "is empty"),
        "text.jpg": (b"hello", "is text, and no PNG, JPEG, WebP, BMP, GIF or TIFF image"),
        "page.gif": (b"\n <!DOCTYPE html><title>404</title>", "is an HTML page"),
        "pointer.webp": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        "book.tif": (b"%PDF-1.7\n", "is a PDF document"),
        "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is an HEIC image"),
        "zeros.bmp": (b"\0" * 600, "is zeros only"),
        "half.png": (png_content[: len(png_content) // 2], "truncated"),
        "half.jpg": (jpeg_content[: len(jpeg_content) // 2], "truncated"),
        "header.jpg": (jpeg_content[:20], ""),
        "flipped.png": (bytes(flipped), ""),
        "bomb.png": (png_bytes(100_000, 100_000, b"\0" * 99), "million pixels"),
        "huge.png": (png_bytes(9_000, 9_000, b"\0" * 99), "has 81 million pixels, more than 64 million"),
    }
    for name, (content, _) in contents.items():
        (root / name).write_bytes(content)
    return {name: reason for name, (_, reason) in contents.items()}


def test_unreadable_images_are_named_and_end_the_preparation_unless_they_are_to_be_left_out(folder, caplog):
    bad = bad_files(folder / "train/cat")
    message = refused(folder)
    assert f"{len(bad)} of {14 + len(bad)} images cannot be used (train/cat/bomb.png: has" in message
    assert "datasets.photos.unreadable: exclude" in message and f"{len(bad) - 3} more in the log" in message
    assert not list((folder.parent / "out").glob("[!.]*"))  # but for a lock
    for name, reason in bad.items():
        assert f"train/cat/{name}: " in caplog.text and reason in caplog.text

    data = run(folder, unreadable="exclude")
    assert np.array_equal(data.x_train[0], pixels(folder / "train/cat/0.png")) and len(data.x_train) == 10
    every = manifest(folder)["excluded"]
    assert all(entry["part"] == "train" and entry["class"] == "cat" and entry["image"] for entry in every)
    assert {entry["reason"] for entry in every} == {
        "damaged image", "empty file", "no image, whatever its name says", "too many pixels",
    }  # fmt: skip
    assert sum(entry["count"] for entry in every) == len(bad)
    excluded = {file["file"]: file["detail"] for entry in every for file in entry["files"]}
    assert set(excluded) == {f"train/cat/{name}" for name in bad}
    assert all(reason in excluded[f"train/cat/{name}"] for name, reason in bad.items())
    assert str(folder) not in json.dumps(excluded) and "0x" not in json.dumps(excluded)


def test_a_class_whose_images_are_all_unreadable_is_refused(folder):
    for path in (folder / "test/dog").iterdir():
        path.write_bytes(b"x")
    assert "no test image of class 'dog' is readable" in refused(folder, unreadable="exclude")


def test_a_file_that_is_no_file_is_unreadable_and_nothing_waits_for_it(folder):
    os.mkfifo(folder / "train/cat/pipe.png")
    (folder / "train/cat/dangling.png").symlink_to("nowhere.png")
    (folder / "train/cat/loop.png").symlink_to("loop.png")
    assert len(run(folder, unreadable="exclude").x_train) == 10
    files = {entry["reason"]: [file["file"] for file in entry["files"]] for entry in manifest(folder)["excluded"]}
    assert files == {
        "a link that leads nowhere": ["train/cat/dangling.png", "train/cat/loop.png"],
        "not a regular file": ["train/cat/pipe.png"],
    }
    assert "3 of 17 images cannot be used" in refused(folder)


@pytest.mark.parametrize("link", ["train/cat/link.png", "train/link", "test/dog/link.png"])
def test_a_link_that_leaves_the_folder_is_refused_by_name(folder, link):
    outside = put(folder.parent, "outside/secret.png")
    (folder / link).symlink_to(outside if link.endswith(".png") else outside.parent)
    message = refused(folder, unreadable="exclude")
    assert f"datasets.photos.path: {link} is a link that leaves" in message


def test_a_link_within_the_folder_and_a_link_to_the_folder_are_followed(folder):
    (folder / "train/cat/again.png").symlink_to("0.png")
    (folder.parent / "link").symlink_to(folder)
    assert len(run(folder.parent / "link").x_train) == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root.rename(root.parent / "gone"), "photos is not a folder; give the folder that holds train/"),
        (lambda root: (root / "train").rename(root / "tarin"), "has no folder train (it has tarin); put the images"),
        (lambda root: (root / "train/dog").rename(root / "dog"), "holds one class only"),
        (lambda root: (root / "train/eel").mkdir(), "train/eel holds no PNG, JPEG, WebP, BMP, GIF or TIFF files; add"),
        (lambda root: (root / "test/eel").mkdir(), "test/eel holds no PNG, JPEG, WebP, BMP, GIF or TIFF files"),
        (lambda root: put(root, "train/eel/1.png"), "train and test hold different classes ('eel' is in one of them"),
        (lambda root: put(root, "test/eel/1.png"), "train and test hold different classes ('eel'"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_as_it_should_be_is_told_in_one_sentence(folder, change, message):
    change(folder)
    refusal = refused(folder)
    assert message in refusal and "datasets.photos" in refusal


def test_a_folder_with_other_files_only_says_so(folder):
    (folder / "train/eel").mkdir()
    (folder / "train/eel/x.heic").write_bytes(b"x")
    assert "train/eel holds no PNG, JPEG, WebP, BMP, GIF or TIFF files (only .heic (1)); add" in refused(folder)


def test_an_empty_train_folder_is_refused(tmp_path):
    (tmp_path / "photos/train").mkdir(parents=True)
    assert "train holds no folders; put the images of each class" in refused(tmp_path / "photos")


def test_a_class_of_one_image_cannot_be_split(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png"):
        put(tmp_path / "photos", name)
    assert "datasets.photos has 1 image of class 'dog', too few" in refused(tmp_path / "photos")


def test_class_names_that_are_equal_in_composed_form_or_no_text_are_refused(folder):
    for form in ("NFC", "NFD"):
        put(folder, f"train/{unicodedata.normalize(form, 'Äpfel')}/1.png")
    if len(list((folder / "train").iterdir())) == 4:  # else the file system itself takes them for one
        assert "train has two folders named 'Äpfel'" in refused(folder)
    (folder / "train" / os.fsdecode(b"caf\xe9")).mkdir()
    assert "the folder train/caf\\xe9 has a name that is not UTF-8; rename it" in refused(folder)


def test_more_images_than_memory_holds_are_refused_before_they_are_read(folder):
    assert "GB of memory; choose a smaller datasets.photos.image_size" in refused(folder, image_size=10**6)


def test_images_that_are_wrong_in_any_byte_raise_nothing_else(tmp_path):
    """Every error of every decoder is an answer, never a crash."""
    generator = np.random.default_rng(0)
    paths = [put(tmp_path, f"a.{suffix}", picture(5, 30, 20)) for suffix in ("png", "jpg")]
    for path, number in itertools.product(paths, range(150)):
        raw = bytearray(path.read_bytes())
        for position in generator.integers(0, len(raw), 1 + number % 5):
            raw[position] = generator.integers(256)
        damaged = path.with_stem(f"damaged{number}")
        damaged.write_bytes(raw)
        try:
            assert read(damaged).shape == (8, 8, 3)
        except Unreadable as problem:
            assert str(problem)


def test_reading_gives_reasons_in_the_order_of_the_files(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    read = read_images(tmp_path, ["c.png", "a.png", "b.png"], (4, 4), 1, 2)
    assert list(read.problems) == [0, 1, 2] and read.images.shape == (3, 4, 4, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Before any job runs


def study(root, **options) -> dict:
    return {
        "study": "s",
        "datasets": {"photos": {"kind": "image_folder", "path": str(root), "image_size": 8, **options}},
        "models": {"dense": {"family": "dense", "units": [4]}},
    }


def test_the_architectures_are_checked_against_the_wanted_size_and_the_class_folders(folder):
    assert load_study(study(folder)).plan.costs["photos", "dense"].parameters == (192 + 1) * 4 + (4 + 1) * 2
    grey = load_study(study(folder, colour="grey", image_size=[8, 4], classes=7))
    assert grey.plan.costs["photos", "dense"].parameters == (32 + 1) * 4 + (4 + 1) * 7
    assert "classes is 7, but" in refused(folder, classes=7)


def test_where_the_folder_is_not_to_be_seen_the_config_can_say_how_many_classes(tmp_path):
    with pytest.raises(
        UserError, match=r"datasets\.photos\.path: there is no .*nowhere here; .* datasets\.photos\.classes"
    ):
        load_study(study(tmp_path / "nowhere"))
    load_study(study(tmp_path / "nowhere", classes=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": None}, "datasets.photos.image_size"),
        ({"image_size": [8]}, "datasets.photos.image_size should be one number of pixels or [height, width]"),
        ({"image_size": 0}, "datasets.photos.image_size[0] should be greater than 0 (it is 0)"),
        ({"imagesize": 8}, "unknown key 'imagesize' in datasets.photos, did you mean 'image_size'?"),
        ({"colour": "gray"}, "datasets.photos.colour should be rgb or grey (it is 'gray'), did you mean 'grey'?"),
        ({"unreadable": "skip"}, "datasets.photos.unreadable should be fail or exclude (it is 'skip')"),
        ({"test_fraction": 1}, "datasets.photos.test_fraction should be less than 1"),
        ({"kind": "imagefolder"}, "datasets.photos.kind is 'imagefolder', which convlab does not know, did you mean"),
        ({"kind": "photos"}, "datasets.photos is no dataset that convlab knows; there are fashion_mnist, mnist, "
         "cifar10, digits, image_folder"),
        ({"kind": "photos"}, "; images of your own need 'kind: image_folder', 'kind: npz'"),
        ({"kind": "digits"}, "unknown key 'path' in datasets.photos; it can have train_images, test_images, why and"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_is_told_in_one_sentence_that_names_its_place(folder, options, message):
    with pytest.raises(UserError) as caught:
        load_study(study(folder, **options))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["image_size", "path"])
def test_a_missing_image_size_or_path_is_asked_for(folder, key):
    config = study(folder)
    del config["datasets"]["photos"][key]
    with pytest.raises(UserError, match=rf"datasets\.photos\.{key} is missing; add it"):
        load_study(config)


def test_a_runs_identity_holds_what_decides_about_its_images_and_nothing_of_other_kinds(folder):
    config = study(folder)
    config["datasets"] |= {"digits": {}, "cifar10": {"path": "/x"}}
    runs = [load_study(config).run(name, "dense", 1).identity for name in config["datasets"]]
    assert [Run.model_validate(run).identity for run in runs] == runs  # what train is given
    by_kind = {run["dataset"]["kind"]: run["dataset"] for run in runs}
    limits = {"train_images": None, "test_images": None}
    assert by_kind["digits"] == {"kind": "digits", **limits}
    assert by_kind["cifar10"] == {"kind": "cifar10", **limits}
    assert by_kind["image_folder"] == {
        **limits, "kind": "image_folder", "image_size": [8, 8], "colour": "rgb", "classes": None,
        "test_fraction": 0.2, "split_seed": 0, "unreadable": "fail",
            "labels": None, "file_column": None, "label_column": None,
    }  # fmt: skip
