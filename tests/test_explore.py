"""Explore: near duplicates are exact, the numbers are right, figures can be drawn of any data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import explore
import prepare
from convlab.datasets import description, near_duplicates
from convlab.datasets import prepared as data
from convlab.datasets.prepared import Dataset
from convlab.figures import dataset as draw
from convlab.figures.style import save, use_style
from convlab.findings.left_out import left_out

SCRIPTS = Path(explore.__file__).parent
RMS = 10.0
"""A threshold of near duplicates."""

FIGURES = ("class_distribution", "samples", "dimensions", "intensities", "mean_images", "near_duplicates")


def smooth_images(generator, n, height, width, channels):
    """Images with structure at all scales, so that thumbnails neither decide everything nor nothing."""
    coarse = generator.integers(0, 256, (n, -(-height // 4), -(-width // 4), channels))
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    return np.clip(images + generator.normal(0, 15, images.shape), 0, 255).astype(np.uint8)


def brute_force(test, train):
    a, b = (x.reshape(len(x), -1).astype(np.int32) for x in (test, train))
    return np.sqrt([((row - b) ** 2).mean(axis=1) for row in a])


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 13, 3), (5, 4, 1)])
@pytest.mark.parametrize("threshold", [0, 8, 60])
def test_the_search_finds_what_brute_force_finds(shape, threshold):
    generator = np.random.default_rng(1)
    train, test = smooth_images(generator, 330, *shape), smooth_images(generator, 270, *shape)
    for i, noise in enumerate((0, 0, 1, 3, 6, 8, 9, 12, 20)):  # planted copies, some beyond the threshold
        copy = np.clip(train[10 * i] + generator.normal(0, noise, shape), 0, 255)
        test[7 * i] = np.rint(copy).astype(np.uint8)
    y_train, y_test = generator.integers(0, 3, 330), generator.integers(0, 3, 270)

    duplicates = near_duplicates.find_near_duplicates(test, train, y_test, y_train, threshold, closest=5)
    distances = brute_force(test, train)
    within = distances <= threshold
    assert duplicates.near_pairs == within.sum()
    assert duplicates.near_images == within.any(axis=1).sum()
    assert duplicates.exact_pairs == (distances == 0).sum()
    assert duplicates.disagreeing_pairs == (within & (y_test[:, None] != y_train[None])).sum()
    expected = np.sort(distances.min(axis=1))[:5]
    assert [pair.rms for pair in duplicates.closest] == pytest.approx(expected)
    assert all(distances[pair.test, pair.train] == pytest.approx(pair.rms) for pair in duplicates.closest)


def test_planted_duplicates_are_counted_and_their_labels_compared():
    generator = np.random.default_rng(2)
    train, test = (generator.integers(0, 256, (n, 8, 8, 3), np.uint8) for n in (60, 30))
    test[4], test[9] = train[50], train[51] ^ 1  # one exact, one that differs by one level everywhere
    y_train, y_test = np.zeros(60, np.int64), np.zeros(30, np.int64)
    y_test[9] = 1
    duplicates = near_duplicates.find_near_duplicates(test, train, y_test, y_train, RMS)
    assert (duplicates.exact_images, duplicates.near_images, duplicates.near_pairs) == (1, 2, 2)
    assert [(pair.test, pair.train, pair.rms) for pair in duplicates.closest[:2]] == [(4, 50, 0.0), (9, 51, 1.0)]
    assert [(pair.test, pair.train) for pair in duplicates.disagreeing] == [(9, 51)]


def test_the_closest_pairs_are_found_where_nothing_is_a_duplicate():
    generator = np.random.default_rng(3)
    train, test = smooth_images(generator, 200, 12, 12, 1), smooth_images(generator, 50, 12, 12, 1)
    labels = np.zeros(200, np.int64)
    duplicates = near_duplicates.find_near_duplicates(test, train, labels[:50], labels, RMS, closest=4)
    assert duplicates.near_images == 0
    assert [pair.rms for pair in duplicates.closest] == pytest.approx(np.sort(brute_force(test, train).min(axis=1))[:4])


def test_thumbnails_are_never_farther_apart_than_the_images():
    generator = np.random.default_rng(4)
    images = smooth_images(generator, 40, 19, 23, 3)
    flat = images.reshape(40, -1).astype(float)
    full = ((flat[:, None] - flat[None]) ** 2).sum(axis=2)
    thumbs = near_duplicates.thumbnails(images).astype(float)
    assert np.all(((thumbs[:, None] - thumbs[None]) ** 2).sum(axis=2) <= full * (1 + 1e-5))


def test_intensities_and_moments_are_those_of_the_pixels():
    images = np.random.default_rng(5).integers(0, 256, (30, 5, 7, 3), np.uint8)
    histogram = description.intensity_histogram(images)
    assert histogram.sum() == images.size
    assert histogram[1, 17] == (images[..., 1] == 17).sum()
    assert description.moments(histogram.sum(axis=0)) == pytest.approx((images.mean(), images.std()))


def test_content_extents_leave_out_the_background():
    images = np.full((3, 10, 12, 1), 7, np.uint8)
    images[0, 2:6, 3:10] = 200
    images[1, 9, 11] = 0
    heights, widths = description.content_extents(images)
    assert heights.tolist() == [4, 1, 0]
    assert widths.tolist() == [7, 1, 0]


def test_class_means_are_zero_for_a_class_without_images():
    images = np.array([[[[10]]], [[[20]]]], np.uint8)
    data = Dataset(images, np.array([1, 1]), images, np.array([0, 1]), ("a", "b"))
    assert description.class_means(data).ravel().tolist() == [0, 15]


def test_exploring_digits_writes_every_figure_and_true_numbers(tmp_path):
    spec = ["--dataset", "digits", "--spec", '{"kind": "digits"}', "--output-dir", str(tmp_path / "d")]
    prepare.main(spec)
    command = [sys.executable, "-W", "error::UserWarning", str(SCRIPTS / "explore.py")]
    arguments = ["--data-dir", str(tmp_path / "d"), "--output-dir", str(tmp_path / "e")]
    subprocess.run([*command, *arguments], check=True, cwd=tmp_path, timeout=120)
    for name in FIGURES:
        assert (tmp_path / "e" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        svg = (tmp_path / "e" / f"{name}.svg").read_text()
        assert svg.rstrip().endswith("</svg>")
        assert len(svg) < 300_000
    summary = json.loads((tmp_path / "e" / "summary.json").read_text())
    with np.load(tmp_path / "d" / "data.npz") as data:
        distances = brute_force(data["x_test"], data["x_train"])
        assert summary["pixels"]["raw"]["mean"] == pytest.approx(data["x_train"].mean())
        assert summary["pixels"]["normalised"]["sd"] == pytest.approx(data["x_train"].std() / 255)
        assert summary["pixels"]["zero_share"] == pytest.approx((data["x_train"] == 0).mean())
    duplicates = summary["duplicates"]
    assert duplicates["near_pairs"] == (distances <= duplicates["threshold_rms"]).sum()
    assert duplicates["closest"][0]["rms"] == pytest.approx(distances.min(), abs=1e-4)
    assert summary["images"] == {"train": 1442, "test": 355}
    assert summary["imbalance_ratio"] == pytest.approx(147 / 140)


@pytest.mark.parametrize(("classes", "shape"), [(2, (40, 64, 1)), (30, (16, 16, 3)), (100, (8, 8, 3))])
def test_figures_hold_up_for_few_and_many_classes_and_long_names(tmp_path, classes, shape):
    use_style()
    generator = np.random.default_rng(6)
    labels = np.arange(classes * 3) % classes
    images = generator.integers(0, 256, (len(labels), *shape), np.uint8)
    names = [f"a_class_with_quite_a_long_name_{i}" for i in range(classes)]
    counts = np.bincount(labels, minlength=classes)
    figures = [
        draw.class_distribution(names, counts, counts),
        draw.samples(images, labels, names),
        draw.mean_images(images[:classes].astype(float), names),
    ]
    for index, figure in enumerate(figures):
        width, height = figure.get_size_inches()
        assert height < 12 and width < 8
        save(figure, tmp_path / str(index))
    assert len(list(tmp_path.iterdir())) == 9


def test_large_images_are_drawn_smaller_and_small_ones_as_they_are():
    large = np.full((2, 224, 200, 3), 100, np.uint8)
    assert draw.pooled(large, 80).shape == (2, 37, 33, 3)
    assert np.all(draw.pooled(large, 80) == 100)
    assert draw.pooled(large[:, :28, :28], 80).shape == (2, 28, 28, 3)


@pytest.mark.parametrize("sample", [10_000, 120])
def test_training_images_that_are_there_twice_are_counted_and_no_image_is_its_own_duplicate(sample):
    """Validation images are drawn from these: near duplicates among them flatter the accuracy that chooses epochs."""
    generator = np.random.default_rng(3)
    images, labels = smooth_images(generator, 300, 9, 13, 1), np.arange(300) % 3
    images[3:6] = images[0:3]  # identical, with the same labels
    images[10] = np.clip(images[20].astype(int) + 2, 0, 255)  # near, labels 1 and 2
    twice = near_duplicates.training_duplicates(images, labels, RMS, sample)
    chosen = np.sort(data.proportional_order(labels, np.random.default_rng(0))[:sample])
    exact = brute_force(images, images)
    np.fill_diagonal(exact, np.inf)
    near = exact[chosen].min(axis=1) <= RMS
    assert twice["looked_at"] == min(sample, 300) and twice["near_images"] == near.sum()
    assert twice["exact_images"] == (exact[chosen].min(axis=1) == 0).sum()
    if sample > 300:
        assert twice["near_images"] >= 8 and twice["exact_images"] == 6 and twice["label_disagreeing_images"] == 2
    manifest = {"excluded": [], "available": {}, "arrays": {}}
    (finding,) = left_out({"d": manifest}, {"d": {"training_duplicates": twice}})
    assert f"of {twice['looked_at']} training images that were looked at, {twice['near_images']} (" in finding.text
