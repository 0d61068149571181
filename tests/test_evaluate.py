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
from convlab.evaluation.records import (
    Features,
    read_features,
    read_measures,
    read_probabilities,
    write_evaluation,
    write_features,
)


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
    write_evaluation(tmp_path, {1: {"per_class": per_class}}, [probabilities], Features(None, np.array([0])))
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
        (convolution,) = measures[seed]["convolutions"]
        assert convolution["layer"] == "conv_1" and convolution["filters"] == 4
        assert (
            0 <= convolution["dead_filters"] <= convolution["zero_outputs"] <= 1 <= convolution["effective_maps"] <= 4
        )
        assert convolution["zero_outputs"] > 0
        if seed != 1:
            continue
        features = read_features(evaluated)
        (first,) = features.convolutions
        assert (features.seed, first.layer, first.count, first.is_norm) == (1, "conv_1", 4, False)
        np.testing.assert_array_equal(np.moveaxis(first.filters, 0, -1), np.asarray(model.get_layer("conv_1").kernel))
        assert first.maps.shape == (3, 4, 8, 8) and first.maps.max() == 255
        assert labels[features.images].tolist() == [0, 1, 2]
    assert read_features(results / "evaluate/digits/dense").convolutions == []
    assert read_measures(results / "evaluate/digits/dense", [2])[2]["convolutions"] == []
    assert (read_probabilities(evaluated, [3, 1]) == read_probabilities(evaluated, [1, 3])[::-1]).all()
    with pytest.raises(UserError, match=r"metrics\.json is damaged \(it has nothing of seed 4\); delete"):
        read_measures(evaluated, [1, 4])
    with pytest.raises(UserError, match=r"predictions\.npz is damaged \(it has nothing of seed 4\); delete"):
        read_probabilities(evaluated, [1, 4])


@pytest.fixture(scope="module")
def build():
    from convlab.models.families.conv import Conv
    from convlab.training.network import build

    return lambda shape=(8, 8, 1), **fields: build(Conv(family="conv", **{"filters": [6]} | fields), shape, 3)


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


def test_feature_maps_are_taken_after_normalisation_and_activation(build):
    from convlab.evaluation import features, layers

    for fields in (
        {"norm": "batch"},
        {},
        {"pooling": "average"},
        {"norm": "group", "norm_groups": 2, "pooling": "none", "convolutions_per_block": 2},
        {"convolution": "separable", "norm": "layer", "activation_after": "pooling"},
        {"residual": True, "convolutions_per_block": 2},
    ):
        model = build(**fields)
        maps = features.feature_maps(model, layers.convolutions(model)[0], IMAGES[..., :1])
        assert maps.shape == (2, 8, 8, 6)
        assert maps.min() == 0 and maps.max() > 0


@pytest.mark.parametrize("multiplier", [1, 2])
def test_filters_of_depthwise_and_separable_convolutions_are_what_these_compute(multiplier):
    from convlab.evaluation.features import feature_maps, filters
    from convlab.runtime.keras_runtime import keras

    pixels = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, dtype="float32")(pixels)
    separable = keras.layers.SeparableConv2D(5, 3, depth_multiplier=multiplier)
    depthwise = keras.layers.DepthwiseConv2D(3, depth_multiplier=multiplier)
    model = keras.Model(pixels, [separable(x), depthwise(x)])
    window = IMAGES[0, :3, :3] / 255
    assert filters(separable).shape == (3, 3, 3, 5)
    first_pixel = np.tensordot(window, filters(separable), axes=3)
    np.testing.assert_allclose(feature_maps(model, separable, IMAGES)[0, 0, 0], first_pixel, rtol=1e-4, atol=1e-5)
    assert filters(depthwise).shape == (3, 3, 1, 3 * multiplier)
    each = np.repeat(window, multiplier, axis=2)
    first_pixel = np.einsum("hwf,hwf->f", each, filters(depthwise)[:, :, 0])
    np.testing.assert_allclose(feature_maps(model, depthwise, IMAGES)[0, 0, 0], first_pixel, rtol=1e-4, atol=1e-5)


def test_maps_of_a_residual_block_are_its_convolutions_before_the_addition(build):
    from convlab.evaluation import features, layers

    model = build(residual=True)
    maps = features.feature_maps(model, layers.convolutions(model)[0], IMAGES[..., :1])
    assert maps.shape == (2, 8, 8, 6) and maps.min() < 0
    measured = features.convolution_measures(model, IMAGES[..., :1])
    assert [entry["layer"] for entry in measured] == ["conv_1", "shortcut_1"]
    assert np.isnan([entry[name] for entry in measured for name in ("dead_filters", "zero_outputs")]).all()


def test_every_convolution_is_stored_with_its_first_filters_and_maps(build, tmp_path):
    from convlab.evaluation import features

    model = build((8, 8, 3), filters=[40, 5], kernel_size=3)
    stored = features.convolution_features(model, IMAGES)
    write_features(tmp_path / "features.npz", Features(7, np.array([4, 2]), stored))
    read = read_features(tmp_path)
    assert (read.seed, read.images.tolist()) == (7, [4, 2])
    assert [(c.layer, c.count, c.is_norm) for c in read.convolutions] == [("conv_1", 40, False), ("conv_2", 5, True)]
    first, second = read.convolutions
    kernels = np.asarray(model.get_layer("conv_1").kernel)
    np.testing.assert_array_equal(first.filters, np.moveaxis(kernels, -1, 0)[: features.MAX_FILTERS])
    norms = np.sqrt((np.asarray(model.get_layer("conv_2").kernel) ** 2).sum(axis=2))
    np.testing.assert_allclose(second.filters[..., 0], np.moveaxis(norms, -1, 0), rtol=1e-5)
    assert first.maps.shape == (2, 12, 8, 8) and second.maps.shape == (2, 5, 4, 4)
    assert (tmp_path / "features.npz").stat().st_size < 20_000


def test_large_feature_maps_are_stored_as_means_of_blocks(build, monkeypatch):
    from convlab.evaluation import features

    monkeypatch.setattr(features, "MAX_MAP_PIXELS", 4)
    (stored,) = features.convolution_features(build(), IMAGES[..., :1])
    assert stored.maps.shape == (2, 6, 4, 4)


def test_measures_of_a_convolution_are_their_definitions(monkeypatch, build):
    from convlab.evaluation import features, layers

    model = build(filters=[6, 3])
    kernels, biases = model.get_layer("conv_1").get_weights()
    biases[1] = -1000.0
    model.get_layer("conv_1").set_weights([kernels, biases])
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    whole = features.convolution_measures(model, images)
    monkeypatch.setattr(features, "BATCH_BYTES", 1)
    in_batches = features.convolution_measures(model, images)
    for layer, entry, again in zip(layers.convolutions(model), whole, in_batches, strict=True):
        maps = features.feature_maps(model, layer, images).reshape(-1, entry["filters"])
        assert entry["dead_filters"] == pytest.approx(np.mean((maps == 0).all(axis=0)))
        assert entry["zero_outputs"] == pytest.approx(np.mean(maps == 0))
        eigenvalues = np.linalg.eigvalsh(np.cov(maps.T))
        assert entry["effective_maps"] == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-4)
        numbers = [name for name in entry if name != "layer"]
        assert [again[name] for name in numbers] == pytest.approx([entry[name] for name in numbers], rel=1e-4)
    assert whole[0]["dead_filters"] == pytest.approx(1 / 6)


def test_smoothness_is_one_for_constant_filters_and_zero_for_random_ones():
    from convlab.evaluation.features import smoothness

    assert smoothness(np.full((5, 5, 3, 2), -0.3)) == pytest.approx(1)
    checkers = np.indices((4, 4)).sum(axis=0) % 2 * 2.0 - 1
    assert smoothness(checkers[..., None, None]) == pytest.approx(-1)
    random = np.random.default_rng(0).normal(size=(3, 3, 16, 2000))
    assert smoothness(random) == pytest.approx(0, abs=0.01)
    padded = np.concatenate([random[..., :2], np.zeros((3, 3, 16, 2))], axis=-1)
    assert smoothness(padded) == pytest.approx(smoothness(random[..., :2])), "filters of zeros are left out"
    assert np.isnan(smoothness(np.ones((1, 1, 8, 4)))) and np.isnan(smoothness(np.zeros((3, 3, 1, 2))))


def test_measured_images_are_spaced_evenly_over_the_test_images():
    from evaluate import evenly_spaced

    assert evenly_spaced(3, 256).tolist() == [0, 1, 2]
    assert evenly_spaced(1001, 5).tolist() == [0, 250, 500, 750, 1000]
