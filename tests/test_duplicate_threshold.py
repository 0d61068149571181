"""What counts as a near duplicate is calibrated on the data themselves, and what the search misses is said."""

import numpy as np
import pandas as pd
import pytest

from builders.project import TINY
from builders.results import CNN_WINS, exploration_of, write_reports, write_study_with
from builders.study_results import results_with, seeds_around
from convlab.datasets import duplicate_threshold
from convlab.datasets.duplicate_threshold import COPIES, UNCALIBRATED_RMS, calibrated_threshold, nearest_two
from convlab.datasets.near_duplicates import find_near_duplicates
from convlab.findings.limitations import limitations
from convlab.results.distinct_images import with_distinct_images


def blobs(images: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Smooth images that look alike in pairs no more than by chance."""
    coarse = np.random.default_rng(seed).integers(40, 200, (images, 5, 5, channels))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


def labels_of(images: np.ndarray) -> np.ndarray:
    return np.arange(len(images)) % 5


@pytest.mark.parametrize("channels", [1, 3])
def test_the_threshold_finds_compressed_and_brightened_copies_and_no_distinct_pair(channels):
    images = blobs(300, channels)
    threshold = calibrated_threshold(images, labels_of(images))
    first, _ = nearest_two(images, np.arange(300))
    assert threshold.images == 300 and threshold.rms < first.min()
    assert threshold.recall["recompressed"] > 0.95 and threshold.recall["brightened"] > 0.9
    assert threshold.recall["shifted"] < 0.5
    assert calibrated_threshold(images, labels_of(images)) == threshold


def test_the_recall_is_that_of_the_search():
    images = blobs(200)
    threshold = calibrated_threshold(images, labels_of(images))
    for kind, copy in COPIES.items():
        copies = np.stack([copy(image) for image in images])
        labels = labels_of(images)
        found_images = find_near_duplicates(copies, images, labels, labels, threshold.rms).near_images
        assert found_images / 200 == pytest.approx(threshold.recall[kind], abs=0.011)


def test_images_of_a_video_do_not_make_the_threshold_vanish():
    generator = np.random.default_rng(1)
    frames = blobs(60).repeat(6, axis=0)
    frames = np.clip(frames + generator.normal(0, 0.3, frames.shape), 0, 255).astype(np.uint8)
    threshold = calibrated_threshold(frames, labels_of(frames))
    assert threshold.recall["recompressed"] >= 0.4 and threshold.rms >= 1


def test_look_alikes_lower_the_threshold():
    generator = np.random.default_rng(2)
    alike = np.clip(blobs(1).repeat(300, axis=0) + generator.normal(0, 5, (300, 20, 20, 1)), 0, 255).astype(np.uint8)
    different = blobs(300)
    assert calibrated_threshold(alike, labels_of(alike)).rms < calibrated_threshold(different, labels_of(different)).rms


def test_too_few_images_are_not_calibrated_on():
    threshold = calibrated_threshold(blobs(12), np.arange(12) % 2)
    assert (threshold.rms, threshold.images, dict(threshold.recall)) == (UNCALIBRATED_RMS, 0, {})


@pytest.mark.parametrize("rows", [7, 100])
def test_the_two_nearest_images_are_those_of_brute_force(monkeypatch, rows):
    images = blobs(61)
    images[5] = images[4]
    monkeypatch.setattr(duplicate_threshold, "_CHUNK_BYTES", rows * 400 * 4)
    chosen = np.array([0, 4, 5, 33, 60])
    flat = images.reshape(61, -1).astype(int)
    every = np.sqrt([((flat[index] - flat) ** 2).mean(axis=1) for index in chosen])
    every[np.arange(5), chosen] = np.inf
    first, second = nearest_two(images, chosen)
    assert np.allclose(first, np.sort(every, axis=1)[:, 0]) and np.allclose(second, np.sort(every, axis=1)[:, 1])
    assert first[1] == first[2] == 0


# ---------------------------------------------------------------------------------------------------------------------
# In words, and the accuracy without them


@pytest.mark.parametrize(("share", "missed"), [(0.02, True), (0.98, False)])
def test_the_limitations_name_the_copies_that_the_search_misses(share, missed):
    results = results_with(dict.fromkeys(("dense", "cnn", "cnn-kernel_size-5x5"), seeds_around(0.9)))
    summary = exploration_of("digits", ["0", "1"])
    summary["duplicates"]["recall"] = {"shifted": share, "recompressed": 0.99, "brightened": 0.9}
    text = " ".join(finding.text for finding in limitations(results, (1, 2, 3), {"digits": summary}, 0))
    assert ("it finds 2 % of those shifted by a pixel. There may be more" in text) == missed
    assert "compressed again" not in text


RUNS = pd.DataFrame(
    {
        "dataset": "d",
        "variant": ["a", "a", "b"],
        "seed": [1, 2, 1],
        "test_accuracy": [0.5, 0.75, np.nan],
    }
)
CORRECT = {
    ("d", "a", 1): np.array([True, True, False, False]),
    ("d", "a", 2): np.array([True, True, True, False]),
}
VARIANTS = pd.DataFrame({"dataset": "d", "variant": ["a", "b"]})


def test_the_accuracy_on_distinct_images_leaves_near_duplicates_out():
    table = with_distinct_images(VARIANTS, RUNS, CORRECT, {"d": np.array([0])})
    assert table["test_accuracy_distinct_mean"].tolist()[0] == pytest.approx(0.5)
    assert table["distinct_test_images"].tolist()[0] == 3
    assert table.loc[1, ["distinct_test_images", "test_accuracy_distinct_mean"]].isna().all()


@pytest.mark.parametrize("indices", [[], [0, 1, 2, 3]])
def test_without_near_duplicates_or_with_nothing_else_no_accuracy_is_given(indices):
    table = with_distinct_images(VARIANTS, RUNS, CORRECT, {"d": np.array(indices, int)})
    assert table[["distinct_test_images", "test_accuracy_distinct_mean"]].isna().all(axis=None)


def test_the_report_sets_the_accuracy_without_near_duplicates_beside_the_accuracy(tmp_path):
    config = write_study_with(tmp_path, TINY, CNN_WINS)
    for text in write_reports(tmp_path, config):
        assert "Accuracy on the" not in text
    path = tmp_path / "compare/variants.csv"
    table = pd.read_csv(path)
    table["distinct_test_images"], table["test_accuracy_distinct_mean"] = 300, table["test_accuracy_mean"] - 0.02
    table.to_csv(path, index=False)
    for text in write_reports(tmp_path, config):
        assert "Accuracy on the 300 of 355 test images of digits" in text
        assert "−2.00 pp" in text
        assert "of copies of 400 training images it finds" in text
