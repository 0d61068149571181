"""Prepared data agree with their manifest; splits and subsets are stratified, repeatable and nested."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convlab.common.files import array_sha256, write_arrays, write_json
from convlab.datasets.prepared import (
    SEED_PURPOSES,
    first_images,
    load,
    load_test,
    load_train,
    nested_subset,
    permute_pixels,
    seed_streams,
    split,
)
from convlab.errors import UserError


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 256, (12, 4, 5, 3), np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": generator.integers(0, 256, (6, 4, 5, 3), np.uint8),
        "y_test": np.arange(6) % 3,
    }
    write_arrays(tmp_path / "data.npz", **arrays)
    described = {name: {"sha256": array_sha256(array)} for name, array in arrays.items()}
    write_json(tmp_path / "manifest.json", {"format": 1, "classes": ["a", "b", "c"], "arrays": described})
    return tmp_path


def rewrite(directory: Path, **changed: np.ndarray) -> None:
    with np.load(directory / "data.npz") as archive:
        arrays = dict(archive)
    write_arrays(directory / "data.npz", **{**arrays, **changed})


def test_loading_gives_images_labels_and_classes(prepared):
    data = load(prepared)
    assert data.x_train.shape == (12, 4, 5, 3)
    assert data.x_train.dtype == np.uint8
    assert data.y_test.dtype == np.int64
    assert data.classes == ("a", "b", "c")
    assert np.array_equal(load_test(prepared)[0], data.x_test)


def test_one_changed_pixel_is_refused_with_the_file_and_the_remedy(prepared):
    x_train = load(prepared).x_train.copy()
    x_train[3, 2, 1, 0] ^= 1
    rewrite(prepared, x_train=x_train)
    with pytest.raises(UserError, match=r"data\.npz is damaged \(x_train .*SHA-256 differs\); delete .*data\.npz and"):
        load(prepared)


@pytest.mark.parametrize("wrong", [np.zeros((12, 4, 5, 3)), np.zeros((12, 60), np.uint8)], ids=["dtype", "rank"])
def test_arrays_of_another_form_are_refused(prepared, wrong):
    rewrite(prepared, x_train=wrong)
    with pytest.raises(UserError, match="x_train is not an array of uint8 with rank 4"):
        load_train(prepared)


def test_a_truncated_file_is_refused(prepared):
    path = prepared / "data.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"data\.npz is damaged.*delete .*data\.npz and run snakemake again"):
        load(prepared)


def test_a_manifest_of_another_format_is_refused(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    write_json(prepared / "manifest.json", {**manifest, "format": 99})
    with pytest.raises(UserError, match=r"manifest\.json is damaged \(it is not a manifest of format 1\)"):
        load(prepared)


def test_loading_training_data_does_not_touch_the_test_arrays(prepared):
    expected = load(prepared)
    with zipfile.ZipFile(prepared / "data.npz") as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if "train" in name}
    with zipfile.ZipFile(prepared / "data.npz", "w") as archive:
        for name, content in {**kept, "x_test.npy": b"unreadable", "y_test.npy": b"unreadable"}.items():
            archive.writestr(name, content)
    images, labels = load_train(prepared)
    assert np.array_equal(images, expected.x_train)
    assert np.array_equal(labels, expected.y_train)
    with pytest.raises(UserError, match="x_test is not an array"):
        load_test(prepared)


def test_a_split_holds_the_fraction_of_every_class_and_every_image_once():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    training, validation = split(labels, 0.1, 7)
    assert np.bincount(labels[validation]).tolist() == [10, 5, 1]
    assert sorted([*training, *validation]) == list(range(153))
    assert np.all(np.diff(validation) > 0)


def test_a_split_follows_its_seed_and_nothing_else():
    labels = np.arange(200) % 4
    assert np.array_equal(split(labels, 0.2, 1)[1], split(labels, 0.2, 1)[1])
    assert not np.array_equal(split(labels, 0.2, 1)[1], split(labels, 0.2, 2)[1])


def test_a_split_leaves_training_an_image_and_a_lone_image_in_training():
    labels = np.array([0, 0, 1])
    training, validation = split(labels, 0.99, 0)
    assert labels[validation].tolist() == [0]
    assert sorted(labels[training]) == [0, 1]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        split(np.arange(10) % 2, fraction, 0)


def test_a_split_of_single_images_is_refused():
    with pytest.raises(UserError, match="no class has two images"):
        split(np.arange(10), 0.5, 0)


def test_smaller_subsets_are_contained_in_larger_ones():
    labels = np.random.default_rng(0).choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    previous = set()
    for size in (1, 2, 3, 10, 50, 51, 250, 499, 500):
        chosen = set(nested_subset(labels, size, 3).tolist())
        assert len(chosen) == size
        assert previous <= chosen
        previous = chosen


@pytest.mark.parametrize("size", [10, 37, 100, 299])
def test_subsets_keep_the_classes_proportions(size):
    labels = np.repeat([0, 1, 2], [150, 100, 50])
    counts = np.bincount(labels[nested_subset(labels, size, 5)], minlength=3)
    assert np.all(np.abs(counts - size * np.array([1 / 2, 1 / 3, 1 / 6])) < 1)


def test_a_subset_follows_its_seed_and_none_takes_all():
    labels = np.arange(100) % 10
    assert np.array_equal(nested_subset(labels, 30, 1), nested_subset(labels, 30, 1))
    assert not np.array_equal(nested_subset(labels, 30, 1), nested_subset(labels, 30, 2))
    assert np.array_equal(nested_subset(labels, None, 1), np.arange(100))


@pytest.mark.parametrize("size", [0, -5, 101])
def test_a_subset_of_an_impossible_size_is_refused(size):
    with pytest.raises(UserError, match="choose 1 to 100"):
        nested_subset(np.arange(100) % 10, size, 0)


def test_first_images_are_the_first_of_every_class():
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    assert first_images(labels, 4).tolist() == [0, 1, 3, 4]


def test_seed_streams_differ_by_purpose_and_by_seed_and_never_change():
    streams = seed_streams(0)
    assert tuple(streams) == SEED_PURPOSES
    assert len({*streams.values(), *seed_streams(1).values()}) == 2 * len(SEED_PURPOSES)
    assert all(0 <= value < 2**32 for value in streams.values())
    # Recorded once: another value would change every published run.
    assert streams["initialisation"] == RECORDED_INITIALISATION


RECORDED_INITIALISATION = 1525658073


def test_a_permutation_moves_every_pixel_of_every_image_alike_and_loses_none():
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 2), dtype=np.uint8)
    moved = permute_pixels(images, 1)
    assert moved.shape == images.shape and not np.array_equal(moved, images)
    pixels = images.reshape(3, -1, 2)
    assert all(
        np.array_equal(np.sort(a, axis=0), np.sort(b, axis=0))
        for a, b in zip(moved.reshape(3, -1, 2), pixels, strict=True)
    )
    places = permute_pixels(np.arange(48, dtype=np.uint8).reshape(1, 6, 8, 1), 1).ravel()
    np.testing.assert_array_equal(moved.reshape(3, -1, 2), pixels[:, places])


def test_a_permutation_of_blocks_keeps_each_block_whole():
    image = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    moved = permute_pixels(image, 2)[0, ..., 0]
    before = {image[0, r : r + 2, c : c + 2, 0].tobytes() for r in (0, 2, 4) for c in (0, 2, 4)}
    after = {moved[r : r + 2, c : c + 2].tobytes() for r in (0, 2, 4) for c in (0, 2, 4)}
    assert before == after and not np.array_equal(moved, image[0, ..., 0])


def test_what_fills_no_block_stays_in_place():
    image = np.arange(49, dtype=np.uint8).reshape(1, 7, 7, 1)
    moved = permute_pixels(image, 3)
    np.testing.assert_array_equal(moved[:, 6], image[:, 6])
    np.testing.assert_array_equal(moved[:, :, 6], image[:, :, 6])


def test_no_permutation_changes_nothing_and_one_block_is_refused():
    image = np.zeros((1, 6, 6, 1), np.uint8)
    assert permute_pixels(image, None) is image
    with pytest.raises(UserError, match="pixel_permutation 4 leaves no two blocks in images of 6×6"):
        permute_pixels(image, 4)
