"""Evaluation: measures against their definitions, and the rules by which images are chosen."""

import numpy as np
import pytest
import sklearn.metrics
from sklearn.metrics import log_loss

from convlab.common.files import read_json
from convlab.errors import UserError
from convlab.evaluation.metrics import (
    auroc,
    classification_metrics,
    confident_mistakes,
    disputed,
    expected_calibration_error,
    reliability,
)
from convlab.evaluation.records import read_features, read_measures, read_probabilities, write_evaluation


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(500, 4))
    labels = generator.integers(0, 4, 500)
    scores[np.arange(500), labels] += 1
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return probabilities, labels


def test_measures_are_their_definitions(sample):
    probabilities, labels = sample
    measures = classification_metrics(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert measures["accuracy"] == np.mean(predicted == labels)
    assert measures["loss"] == pytest.approx(log_loss(labels, probabilities))
    brier = np.mean([sum((row[k] - (k == label)) ** 2 for k in range(4)) for row, label in zip(*sample, strict=True)])
    assert measures["brier"] == pytest.approx(brier)
    matrix = np.array(measures["confusion_matrix"])
    assert matrix.sum() == 500 and np.trace(matrix) == np.sum(predicted == labels)
    for k in range(4):
        right = np.sum((predicted == k) & (labels == k))
        assert measures["per_class"]["precision"][k] == pytest.approx(right / np.sum(predicted == k))
        assert measures["per_class"]["recall"][k] == pytest.approx(right / np.sum(labels == k))
        assert measures["per_class"]["support"][k] == np.sum(labels == k)


def test_measures_by_class_are_those_of_scikit_learn(sample):
    measures = classification_metrics(*sample)
    predicted, labels = sample[0].argmax(axis=1), sample[1]
    np.testing.assert_array_equal(measures["confusion_matrix"], sklearn.metrics.confusion_matrix(labels, predicted))
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(labels, predicted)
    for name, expected in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        np.testing.assert_allclose(measures["per_class"][name], expected)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_auroc_is_scikit_learns_also_with_equal_scores(classes):
    generator = np.random.default_rng(classes)
    labels = np.arange(400) % classes
    scores = generator.normal(size=(400, classes))
    scores[np.arange(400), labels] += 1
    probabilities = np.round(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), 1) + 0.1
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert len(np.unique(probabilities[:, 0])) < 200, "many scores are equal"
    if classes == 2:
        expected = sklearn.metrics.roc_auc_score(labels, probabilities[:, 1])
    else:
        expected = sklearn.metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert auroc(probabilities, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("error")
def test_auroc_of_a_constant_guess_is_one_half_and_not_defined_without_a_class():
    guess = np.tile([0.7, 0.2, 0.1], (30, 1))
    assert auroc(guess, np.arange(30) % 3) == 0.5
    assert np.isnan(auroc(guess, np.arange(30) % 2)), "class 2 has no image"
    assert np.isnan(auroc(guess[:, :2], np.zeros(30, int))), "there is one class only"
    assert np.isnan(auroc(np.full((30, 3), np.nan), np.arange(30) % 3))


def test_a_ratio_without_a_denominator_is_not_defined_and_never_zero(tmp_path):
    """Class 1 is never predicted, class 2 never occurs, class 3 neither."""
    probabilities = np.array([[0.9, 0.1, 0, 0], [0.8, 0.2, 0, 0], [0, 0.1, 0.9, 0]])
    per_class = classification_metrics(probabilities, np.array([0, 1, 0]))["per_class"]
    np.testing.assert_array_equal(per_class["precision"], [0.5, np.nan, 0, np.nan])
    np.testing.assert_array_equal(per_class["recall"], [0.5, 0, np.nan, np.nan])
    np.testing.assert_array_equal(per_class["f1"], [0.5, 0, np.nan, np.nan])
    write_evaluation(tmp_path, {1: {"per_class": per_class}}, [probabilities], {}, np.array([0]))
    assert read_measures(tmp_path, [1])[1]["per_class"]["recall"] == [0.5, 0, None, None]


@pytest.mark.filterwarnings("error")
def test_without_images_no_measure_is_defined():
    measures = classification_metrics(np.zeros((0, 3)), np.zeros(0, int))
    assert all(np.isnan(measures[name]) for name in ("accuracy", "loss", "brier", "ece", "auroc"))
    assert all(np.isnan(measures["per_class"][name]).all() for name in ("precision", "recall", "f1"))
    assert reliability(np.zeros((0, 3)), np.zeros(0, int)).shape == (0, 3)


def test_a_certain_mistake_has_a_finite_loss():
    assert np.isfinite(classification_metrics(np.array([[1.0, 0.0]]), np.array([1]))["loss"])


def test_calibration_error_is_zero_for_honest_confidence_and_the_gap_for_boasting():
    labels = np.array([0] * 8 + [1] * 2)
    assert expected_calibration_error(np.tile([0.8, 0.2], (10, 1)), labels, bins=1) == pytest.approx(0)
    assert expected_calibration_error(np.tile([1.0, 0.0], (10, 1)), labels, bins=1) == pytest.approx(0.2)


def test_calibration_bins_hold_equally_many_images(sample):
    rows = reliability(*sample, bins=15)
    assert rows[:, 2].sum() == 500 and np.ptp(rows[:, 2]) <= 1
    assert np.all(np.diff(rows[:, 0]) >= 0)


def test_fewer_images_than_bins_is_no_error(sample):
    assert len(reliability(sample[0][:3], sample[1][:3])) == 3


def runs(*correct: list[int], confidence=0.9) -> np.ndarray:
    """Probabilities (runs, images, 2) for true class 0: right where 1."""
    right = np.array(correct)[..., None]
    return np.where(right == 1, [confidence, 1 - confidence], [1 - confidence, confidence])


def test_confident_mistakes_are_wrong_in_every_run_and_the_surest_first():
    probabilities = runs([0, 0, 1, 0], [0, 1, 1, 0])
    probabilities[:, 0] = [0.45, 0.55]
    probabilities[:, 3] = [0.01, 0.99]
    assert confident_mistakes(probabilities, np.zeros(4, int), 5).tolist() == [3, 0]


def test_disputed_images_split_the_runs_most_evenly_first():
    probabilities = runs([1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0])
    assert disputed(probabilities, np.zeros(4, int), 5).tolist() == [2, 1]


def test_no_image_fits_the_rule():
    assert len(confident_mistakes(runs([1, 1]), np.zeros(2, int), 3)) == 0
    assert len(disputed(runs([1, 0]), np.zeros(2, int), 3)) == 0


@pytest.mark.slow
def test_evaluation_writes_what_the_model_gives(finished_study):
    from convlab.datasets import prepared
    from convlab.evaluation import inference

    results = finished_study.folder / "results/tiny"
    evaluated = results / "evaluate/digits/cnn"
    images, labels = prepared.load_test(results / "prepare/digits")
    measures = read_measures(evaluated, [1, 2, 3])
    assert [entry["seed"] for entry in read_json(evaluated / "metrics.json")["runs"]] == [1, 2, 3]
    for seed in (3, 1):
        model = inference.load(results / f"train/digits/cnn/seed-{seed}/model.keras")
        (written,) = read_probabilities(evaluated, [seed])
        np.testing.assert_allclose(written, model.predict(images, verbose=0), atol=1e-6)
        assert measures[seed]["accuracy"] == np.mean(written.argmax(axis=1) == labels)
        assert measures[seed]["test_images"] == len(labels) == 100
        features = read_features(evaluated, seed)
        np.testing.assert_array_equal(features["filters"], np.asarray(model.get_layer("conv_1").kernel))
        assert features["feature_maps"].shape == (3, 8, 8, 4) and features["feature_maps"].min() >= 0
        assert labels[features["images"]].tolist() == [0, 1, 2]
    assert set(read_features(results / "evaluate/digits/dense", 1)) == {"images"}
    assert (read_probabilities(evaluated, [3, 1]) == read_probabilities(evaluated, [1, 3])[::-1]).all()
    with pytest.raises(UserError, match=r"metrics\.json is damaged \(it has nothing of seed 4\); delete"):
        read_measures(evaluated, [1, 4])
    with pytest.raises(UserError, match=r"predictions\.npz is damaged \(it has nothing of seed 4\); delete"):
        read_probabilities(evaluated, [1, 4])


def test_feature_maps_are_taken_after_normalisation_and_activation():
    from convlab.evaluation.features import feature_maps
    from convlab.models.families.conv import Conv
    from convlab.training.network import build

    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    for spec in (
        Conv(family="conv", filters=[6], norm="batch"),
        Conv(family="conv", filters=[6]),
        Conv(family="conv", filters=[6], pooling="average"),
        Conv(family="conv", filters=[6], norm="group", norm_groups=2, pooling="none", convolutions_per_block=2),
        Conv(family="conv", filters=[6], convolution="separable", norm="layer", activation_after="pooling"),
        Conv(family="conv", filters=[6], residual=True, convolutions_per_block=2),
    ):
        maps = feature_maps(build(spec, (8, 8, 1), 3), images)
        assert maps.shape == (2, 8, 8, 6)
        assert maps.min() == 0 and maps.max() > 0


def test_filters_of_depthwise_and_separable_convolutions_are_what_these_compute():
    from convlab.evaluation.features import feature_maps, filters
    from convlab.models.families.conv import Conv
    from convlab.training.network import build

    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    fields = {"family": "conv", "filters": [5], "padding": "valid", "activation": "linear", "pooling": "none"}
    separable = build(Conv(convolution="separable", **fields), (8, 8, 3), 3)
    kernels = filters(separable)
    assert kernels.shape == (3, 3, 3, 5)
    first_pixel = np.tensordot(images[0, :3, :3] / 255, kernels, axes=3)
    np.testing.assert_allclose(feature_maps(separable, images)[0, 0, 0], first_pixel, rtol=1e-4, atol=1e-6)
    depthwise = build(Conv(convolution="depthwise_separable", **fields), (8, 8, 3), 3)
    kernels = filters(depthwise)
    assert kernels.shape == (3, 3, 1, 3)
    first_pixel = np.einsum("hwc,hwc->c", images[0, :3, :3] / 255, kernels[:, :, 0])
    np.testing.assert_allclose(feature_maps(depthwise, images)[0, 0, 0], first_pixel, rtol=1e-4, atol=1e-6)


def test_maps_of_a_residual_block_are_its_convolutions_before_the_addition():
    from convlab.evaluation.features import feature_maps
    from convlab.models.families.conv import Conv
    from convlab.training.network import build

    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    maps = feature_maps(build(Conv(family="conv", filters=[6], residual=True), (8, 8, 1), 3), images)
    assert maps.shape == (2, 8, 8, 6) and maps.min() < 0
