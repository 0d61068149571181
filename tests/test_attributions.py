"""Attributions and their checks, against maps that are known in closed form and networks whose answer is planted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from builders.project import TINY
from convlab.errors import UserError
from convlab.evaluation.networks import Network
from convlab.probes.attributions import figure, findings, measure, methods, planted, table
from convlab.probes.attributions.scores import mass_accuracy, rank_accuracy, rank_correlation
from convlab.probes.attributions.settings import Attributions
from convlab.probes.measured import Measured
from convlab.runtime.keras_runtime import keras
from convlab.study.load import load_study

layers = keras.layers

SETTINGS = {"images": 4, "steps": 8, "baseline": "black", "patch": None, "stride": None, "fill": "mean"}
SHAPE, CLASSES = (8, 8, 1), 3
RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.integers(0, 256, (12, *SHAPE), dtype=np.uint8)
LABELS = np.arange(12) % CLASSES

# ---------------------------------------------------------------------------------------------------------------------
# Methods


@pytest.fixture(scope="module")
def linear():
    """A linear network with random weights: the scorer, and the weight of each pixel for each centred logit."""
    network = keras.Sequential(
        [layers.Input(SHAPE), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(CLASSES, activation="softmax")]
    )
    kernel, bias = RANDOM.normal(size=(64, CLASSES)), RANDOM.normal(size=CLASSES)
    network.set_weights([kernel, bias])
    weights = (kernel - kernel.mean(axis=1, keepdims=True)) / 255
    return methods.scorer(network), weights.T.reshape(CLASSES, 8, 8)


def test_integrated_gradients_of_a_linear_network_are_weight_times_difference_to_the_baseline(linear):
    score, weights = linear
    baseline = np.full((1, 1, 1, 1), 100.0)
    maps, missing = methods.integrated_gradients(score, IMAGES, LABELS, baseline, steps=3)
    np.testing.assert_allclose(maps, weights[LABELS] * (IMAGES[..., 0] - 100.0), atol=1e-4)
    assert missing.max() < 1e-4, "the sum is the score's difference to the baseline"


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (3, 2), (8, 4)])
def test_occlusion_of_a_linear_network_is_the_weighted_difference_inside_of_each_square(linear, patch, stride):
    score, weights = linear
    change = weights[LABELS] * (IMAGES[..., 0] - 50.0)
    total, covered = np.zeros_like(change), np.zeros(SHAPE[:2])
    for top in methods.corners(8, patch, stride):
        for left in methods.corners(8, patch, stride):
            window = (slice(top, top + patch), slice(left, left + patch))
            total[:, *window] += change[:, *window].sum(axis=(1, 2), keepdims=True)
            covered[window] += 1
    maps = methods.occlusion(score, IMAGES, LABELS, np.full((1, 1, 1, 1), 50.0), patch, stride)
    assert covered.min() >= 1, "every pixel is covered"
    np.testing.assert_allclose(maps, total / covered, atol=1e-4)


def conv_then_average(inputs, strides: int = 1):
    """Brightness and darkness of each pixel as two feature maps, then pooling; class 0 is bright, class 1 dark."""
    x = layers.Conv2D(2, 1, strides=strides, name="conv")(layers.Rescaling(1 / 255)(inputs))
    return layers.MaxPooling2D(2)(x)


def test_grad_cam_of_a_set_convolution_is_the_map_of_its_class_before_pooling():
    inputs = layers.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(conv_then_average(inputs))
    network = keras.Model(inputs, layers.Dense(2, activation="softmax")(pooled))
    network.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 1.0]), np.eye(2), np.zeros(2)])
    bright = np.zeros((2, *SHAPE), np.uint8)
    bright[:, 3, 5] = 255
    cut = methods.last_feature_map(methods.scorer(network))
    maps = methods.grad_cam(cut, bright, np.array([0, 1]))
    assert maps.shape == (2, 8, 8) and maps.min() >= 0, "as fine as the convolution's own map"
    assert np.unravel_index(maps[0].argmax(), (8, 8)) == (3, 5)
    assert maps[1, 3, 5] == maps[1].min() == 0 and (maps[1] > 0).sum() > 9, "the dark class has the rest"


def test_grad_cam_needs_a_map_of_a_convolution_that_no_path_to_the_output_leads_around(linear):
    assert methods.last_feature_map(linear[0]) is None
    inputs = layers.Input(SHAPE)
    around = layers.Flatten()(inputs)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(conv_then_average(inputs)), around])
    assert methods.last_feature_map(methods.scorer(keras.Model(inputs, layers.Dense(2, "softmax")(both)))) is None


def test_a_model_inside_of_the_model_is_looked_into():
    inputs, inner = layers.Input(SHAPE), layers.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(conv_then_average(inner, strides=2))
    own = keras.Model(inner, layers.Dense(CLASSES, activation="softmax")(pooled))
    network = keras.Model(inputs, layers.Activation("linear")(own(layers.Rescaling(1.0)(inputs))))
    score = methods.scorer(network)
    flat = methods.scorer(own)
    np.testing.assert_allclose(score(IMAGES.astype("float32")), flat(IMAGES.astype("float32")), atol=1e-5)
    cut = methods.last_feature_map(score)
    assert cut.before(IMAGES.astype("float32")).shape == (12, 4, 4, 2)
    maps = methods.grad_cam(cut, IMAGES, LABELS)
    np.testing.assert_allclose(maps, methods.grad_cam(methods.last_feature_map(flat), IMAGES, LABELS), atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# Scores


def test_rank_correlation_is_spearmans_and_undefined_for_a_constant_map():
    first, second = RANDOM.integers(0, 5, (2, 6, 6))
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert rank_correlation(first, first**3) == pytest.approx(1)
    assert np.isnan(rank_correlation(first, np.ones((6, 6))))


def test_a_map_inside_of_a_region_scores_one_and_one_that_knows_nothing_scores_chance():
    region = np.zeros((4, 4), bool)
    region[1:3, 1:3] = True
    assert rank_accuracy(region.astype(float), region) == mass_accuracy(region.astype(float), region) == 1
    assert rank_accuracy(np.ones((4, 4)), region) == mass_accuracy(np.ones((4, 4)), region) == 4 / 16
    assert rank_accuracy((~region).astype(float), region) == 0
    assert np.isnan(mass_accuracy(np.zeros((4, 4)), region))


# ---------------------------------------------------------------------------------------------------------------------
# Planted data


def test_the_square_tells_the_class_and_nothing_else_does():
    task = planted.Task.of((16, 12, 3), 10, seed=3)
    drawn = task.draw(400, np.random.default_rng(0))
    assert drawn.images.shape == (400, 16, 12, 3) and set(np.unique(drawn.images)) == set(planted.LEVELS)
    assert drawn.region.sum() == task.side**2 == 16 and set(drawn.labels) == set(range(4))
    inside, outside = drawn.images[:, drawn.region, 0], drawn.images[:, ~drawn.region, 0]
    for label in range(4):
        own = inside[drawn.labels == label]
        assert (own == own[0]).all() and own[0].mean() == np.mean(planted.LEVELS), "as bright as the noise"
        assert abs(outside[drawn.labels == label].mean() - np.mean(planted.LEVELS)) < 1
    assert planted.Task.of((16, 12, 3), 10, seed=4) != task, "another run has the square elsewhere"


def network(seed: int, convolution: bool) -> Network:
    keras.utils.set_random_seed(seed)
    body = [layers.Conv2D(4, 3, activation="relu")] if convolution else [layers.Flatten()]
    model = keras.Sequential(
        [layers.Input(SHAPE, dtype="uint8"), layers.Rescaling(1 / 255), *body, layers.Flatten(),
         layers.Dense(8, activation="relu"), layers.Dense(CLASSES, activation="softmax")]
    )  # fmt: skip
    return Network(seed, model, None)


def edges(score, images, labels, *_options):
    """A map that ignores the network."""
    return np.abs(np.gradient(images[..., 0].astype(np.float32), axis=2))


@pytest.fixture(scope="module")
def inspected():
    """Rows and arrays of three networks, whose map by occlusion is replaced by one that ignores the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "occlusion", edges)
        return measure.inspect([network(seed, convolution=True) for seed in (1, 2, 3)], IMAGES, LABELS, SETTINGS)


def measured_of(rows: list[dict], variant: str = "cnn") -> Measured:
    return Measured(pd.DataFrame([{"dataset": "digits", "variant": variant, **row} for row in rows]))


PLAN = load_study({**TINY, "probes": ["attributions"]}).plan


def curves_of(rows: list[dict]) -> pd.DataFrame:
    return table.curves(PLAN.probes["attributions"], pd.DataFrame(), PLAN, measured_of(rows))


def rows_by_method(rows: list[dict]) -> dict:
    return dict(table.by_method(curves_of(rows)))["cnn"]


def test_a_map_that_ignores_the_network_fails_against_the_untrained_one_and_on_planted_data(inspected):
    of_methods = rows_by_method(inspected[0])
    assert of_methods[""]["planted_accuracy"]["mean"] > 0.95, "the network learned its task"
    edge, gradients = of_methods["occlusion"], of_methods["integrated_gradients"]
    assert edge["randomised"]["mean"] == edge["randomised_strength"]["mean"] == 1
    assert edge["planted"]["ci_high"] < 0.5
    assert gradients["planted"]["ci_low"] > 0.5 and abs(gradients["randomised"]["mean"]) < 0.5
    assert table.verdicts(edge)["planted"] == "failed" and table.verdicts(gradients)["planted"] == "passed"


def test_an_untrained_network_does_not_point_to_the_square():
    task = planted.Task.of(SHAPE, CLASSES, seed=1)
    drawn = task.draw(8, np.random.default_rng(0))
    maps = measure.maps(network(1, convolution=False).in_float32, drawn.images, drawn.labels, SETTINGS)
    assert set(maps) == {"integrated_gradients", "occlusion"}, "no Grad-CAM without a convolution"
    for values, _missing in maps.values():
        assert np.mean([rank_accuracy(each, drawn.region) for each in np.abs(values)]) < 0.45


def test_a_network_that_has_not_learned_the_planted_task_is_not_scored_on_it(monkeypatch):
    monkeypatch.setattr(planted, "BATCHES", 1)
    rows, arrays = measure.inspect([network(1, convolution=False)], IMAGES, LABELS, SETTINGS)
    assert not {row["check"] for row in rows} & {"planted", "planted_mass", "agreement"}
    assert "planted_images" not in arrays
    of_methods = rows_by_method(rows)
    text = figure.check_text("planted", of_methods["occlusion"], of_methods[""])
    assert text.startswith("NOT CHECKED on planted data: the network reached an accuracy of")


def test_arrays_hold_the_maps_of_every_run_small_enough_for_the_page(inspected):
    _rows, arrays = inspected
    assert arrays["index"].tolist() == [0, 1, 2], "the first image of each class"
    np.testing.assert_array_equal(arrays["images"], IMAGES[:3])
    for method in ("grad_cam", "integrated_gradients", "occlusion"):
        assert arrays[method].shape == (3, 3, 8, 8) and arrays[method].dtype == np.int8
        assert arrays[f"{method}_untrained"].shape == (3, 8, 8)
        groups = figure.groups_of(arrays, method, ["a", "b", "c"])
        assert [(group.title, len(group.images)) for group in groups[:3]] == [("a", 5), ("b", 5), ("c", 5)]
    assert np.abs(arrays["integrated_gradients"]).max(axis=(2, 3)).min() == 127, "each map has its own scale"


def test_layers_that_cannot_be_copied_give_no_map_and_the_report_says_so(monkeypatch):
    def impossible(model):
        raise NotImplementedError

    monkeypatch.setattr("convlab.evaluation.networks._copied", impossible)
    rows, arrays = measure.inspect([network(seed, convolution=False) for seed in (1, 2, 3)], IMAGES, LABELS, SETTINGS)
    assert arrays == {} and len(rows) == 3
    (finding,) = findings.findings(curves_of(rows), pd.DataFrame(), {"cnn": "CNN"}, 0.005)
    assert finding.text == "There are no maps of CNN: its layers cannot be copied, or no run finished."


# ---------------------------------------------------------------------------------------------------------------------
# What passes, and what is said


def scored(seeds: int = 3, **checks: float) -> list[dict]:
    """Measurements of one method that scatter a little over seeds; the method's name may follow a double underscore."""
    rows = [
        {"seed": seed, "method": method or "occlusion", "check": check, "score": mean + 0.01 * (seed - 2)}
        for seed in range(1, seeds + 1)
        for (check, _sep, method), mean in ((name.partition("__"), mean) for name, mean in checks.items())
    ]
    shared = {"planted_accuracy": 1.0, "planted_chance": 0.0625}
    return rows + [
        {"seed": seed, "method": "", "check": check, "score": score}
        for seed in range(1, seeds + 1)
        for check, score in shared.items()
    ]


GOOD = {"randomised": 0.1, "randomised_strength": 0.2, "planted": 0.8, "agreement": 0.7}


@pytest.mark.parametrize(
    ("changed", "check", "verdict"),
    [
        ({}, "randomised", "passed"),
        ({"randomised": 0.9}, "randomised", "failed"),
        ({"randomised_strength": 0.9}, "randomised", "failed"),
        ({"randomised": 0.5}, "randomised", "undecided"),
        ({}, "planted", "passed"),
        ({"planted": 0.3}, "planted", "failed"),
        ({"planted": 0.51}, "planted", "undecided"),
        ({}, "agreement", "passed"),
        ({"agreement": 0.2}, "agreement", "failed"),
    ],
)
def test_a_check_is_decided_where_the_whole_interval_lies_on_one_side_of_its_limit(changed, check, verdict):
    rows = rows_by_method(scored(**GOOD | changed))["occlusion"]
    assert table.verdicts(rows)[check] == verdict


def test_the_interval_of_pairwise_agreement_is_the_jackknifes():
    pairs = {(1, 2): 0.5, (1, 3): 0.2, (1, 4): 0.9, (2, 3): 0.4, (2, 4): 0.6, (3, 4): 0.1}
    of_run = [np.mean([value for pair, value in pairs.items() if run in pair]) for run in (1, 2, 3, 4)]
    without = [np.mean([value for pair, value in pairs.items() if run not in pair]) for run in (1, 2, 3, 4)]
    mean = np.mean(list(pairs.values()))
    np.testing.assert_allclose(table.pseudo_values(pd.Series(of_run)), 4 * mean - 3 * np.array(without))


def test_a_method_that_fails_is_said_to_beside_its_maps_and_in_the_findings():
    rows = scored(**GOOD, randomised__grad_cam=0.9, randomised_strength__grad_cam=0.9, planted__grad_cam=0.8,
                  agreement__grad_cam=0.7)  # fmt: skip
    of_methods = rows_by_method(rows)
    caption = figure.caption("grad_cam", of_methods, Attributions())
    assert "FAILS a check: it is like the map of the untrained network (rank correlation 0.90 (95 % CI" in caption
    assert "80 % (95 % CI 78 to 82) of its strongest pixels" in caption and "chance 6 %" in caption
    assert "FAILS" not in figure.caption("occlusion", of_methods, Attributions())
    (finding,) = findings.findings(curves_of(rows), pd.DataFrame(), {"cnn": "CNN"}, 0.005)
    assert finding.text == (
        "Of the maps of CNN those by occlusion pass all checks. Those by Grad-CAM fail: they are like those of the "
        "untrained network."
    )
    assert finding.numbers["grad_cam_randomised"] == pytest.approx(0.9)


def test_a_map_whose_strengths_alone_are_the_untrained_ones_is_told_apart():
    rows = scored(**GOOD | {"randomised_strength": 0.9})
    caption = figure.caption("occlusion", rows_by_method(rows), Attributions())
    assert "its colours alone depend on what was learned (0.10 (95 % CI 0.08 to 0.12))" in caption.replace(
        "\u00a0", " "
    )
    (finding,) = findings.findings(curves_of(rows), pd.DataFrame(), {"cnn": "CNN"}, 0.005)
    assert "Those by occlusion fail: their strengths are like those of the untrained network, and" in finding.text


def test_nothing_is_decided_with_two_seeds_and_a_model_without_convolution_has_no_grad_cam():
    rows = scored(seeds=2, **GOOD)
    assert set(table.verdicts(rows_by_method(rows)["occlusion"]).values()) == {"undecided"}
    (finding,) = findings.findings(curves_of(rows), pd.DataFrame(), {"cnn": "CNN"}, 0.005)
    assert finding.text.startswith(
        "With fewer than three seeds no check of the maps of CNN is decided. There is no Grad-"
    )


def test_where_no_method_passes_what_is_open_is_named():
    (finding,) = findings.findings(curves_of(scored(**GOOD | {"planted": 0.51})), pd.DataFrame(), {"cnn": "CNN"}, 0.005)
    assert "those by no method pass all checks. Of those by occlusion it is open whether they point to" in finding.text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patch": 9}, "probes.attributions.patch is 9, which is larger than the images of digits (8×8 pixels)"),
        ({"stride": 3}, "probes.attributions.stride is 3, which leaves pixels of digits between the occluding"),
    ],
)
def test_squares_that_the_images_do_not_allow_are_refused_before_anything_runs(options, sentence):
    with pytest.raises(UserError) as error:
        load_study({**TINY, "probes": {"attributions": options}})
    assert sentence in str(error.value)
