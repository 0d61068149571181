"""Effective receptive fields against closed forms, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from builders.measured import fields_with
from builders.project import CNN_5X5, TINY
from convlab.common.specs import MAX_SEED
from convlab.errors import UserError
from convlab.models.cost import cost
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.families.residual_network import ResidualNetwork
from convlab.probes.effective_receptive_field import figure, findings, table
from convlab.study.load import load_study

PLAN = load_study({**TINY, "probes": ["effective_receptive_field"]}).plan
PROBE = PLAN.probes["effective_receptive_field"]
LABELS = {name: variant.label for name, variant in PLAN.variants.items()}


def built(spec, shape):
    from convlab.training.network import build

    return build(spec, shape, 3)


def all_ones(kernels: list[int], stride: int = 1, side: int = 21, channels: int = 2):
    """Linear convolutions with kernels of ones, from float32 pixels."""
    from convlab.runtime.keras_runtime import keras

    pixels = x = keras.Input((side, side, channels))
    for kernel in kernels:
        x = keras.layers.Conv2D(1, kernel, stride, padding="same", kernel_initializer="ones")(x)
    return keras.Model(pixels, keras.layers.Flatten()(x))


def images(shape, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_one_convolution_sees_exactly_its_kernel_and_all_of_it_alike():
    from convlab.probes.effective_receptive_field import measure

    (field,) = measure.fields_of_central_units(all_ones([5]), images((21, 21, 2)))
    expected = np.zeros((21, 21))
    expected[8:13, 8:13] = 2  # both channels
    np.testing.assert_array_equal(field, expected)
    assert measure.side(field, 1.0) == 5
    assert measure.side(field, 16 / 25) == pytest.approx(4), "a square of 4 pixels holds 16 of 25"
    assert measure.side(field, 0.82) == pytest.approx(4.5), "linear between 4 and 5 pixels"


def test_a_stack_of_ones_has_the_field_of_the_kernels_convolved_with_each_other():
    from convlab.probes.effective_receptive_field import measure

    (field,) = measure.fields_of_central_units(all_ones([3, 3, 3]), images((21, 21, 2)))
    line = np.convolve(np.convolve(np.ones(3), np.ones(3)), np.ones(3))
    inner = measure.normalised(field)[7:14, 7:14]
    np.testing.assert_allclose(inner, np.outer(line, line) / line.sum() ** 2, rtol=1e-6)
    assert inner.sum() == pytest.approx(1)
    shares = [(line[3 - k : 4 + k].sum() / line.sum()) ** 2 for k in range(4)]  # centred squares of 1, 3, 5, 7 pixels
    np.testing.assert_allclose(measure.largest_shares(field)[1:8:2], shares, rtol=1e-6)


def test_an_even_map_has_four_central_units_each_with_the_field_of_the_closed_form():
    from convlab.probes.effective_receptive_field import measure

    fields = measure.fields_of_central_units(all_ones([3, 3], stride=2, side=16), images((16, 16, 2)))
    assert len(fields) == 4
    assert {measure.side(field, 1.0) for field in fields} == {7}
    assert len({tuple(np.argwhere(field).mean(axis=0)) for field in fields}) == 4, "each lies elsewhere"
    assert measure.central(5) == [2] and measure.central(4) == [1, 2] and measure.central(1) == [0]


@pytest.mark.parametrize(
    "spec",
    [
        Conv(family="conv", filters=[4, 6]),
        Conv(family="conv", filters=[4, 4], kernel_size=[7, 3], pooling="none", strides=[2, 1]),
        Conv(family="conv", filters=[4, 4], convolution="separable", dilation=[2, 1], pooling="average"),
        ResidualNetwork(family="residual_network", filters=[4, 4], blocks_per_stage=[1, 1]),
    ],
)
def test_all_of_the_gradient_lies_in_the_square_of_the_closed_form(spec):
    from convlab.evaluation.networks import Network
    from convlab.probes.effective_receptive_field import measure

    shape = (24, 24, 1)
    network = Network(3, built(spec, shape), None)
    rows, arrays = measure.inspect([network], images(shape, 12), None, {"images": 8})
    sides = pd.DataFrame(rows).set_index(["network", "share"])["side"]
    assert sides["untrained", 1.0] == cost(spec, shape, 3).receptive_field
    for name in ("trained", "untrained"):
        assert (np.diff(sides[name]) > 0).all() and arrays[name].sum() == pytest.approx(1, rel=1e-5)
    again, _arrays = measure.inspect([network], images(shape, 12), None, {"images": 8})
    assert again == rows, "untrained weights are drawn by the run's seed"


def test_a_run_of_any_seed_has_an_untrained_network_with_other_weights_than_those_it_started_from():
    from convlab.evaluation.networks import Network
    from convlab.runtime.keras_runtime import keras

    for seed in (0, MAX_SEED):  # Keras' own seeds have 32 bits
        keras.utils.set_random_seed(seed % 2**32)
        network = Network(seed, built(Dense(family="dense", units=[4]), (8, 8, 1)), None)
        start, drawn = (model.get_weights()[0] for model in (network.model, network.untrained()))
        assert not np.allclose(start, drawn)
        np.testing.assert_array_equal(network.untrained().get_weights()[0], drawn)


def test_networks_without_convolutions_have_no_field():
    from convlab.evaluation.networks import Network
    from convlab.probes.effective_receptive_field import measure

    network = Network(1, built(Dense(family="dense", units=[4]), (8, 8, 1)), None)
    assert measure.inspect([network], images((8, 8, 1)), None, {"images": 4}) == ([], {})


def test_a_study_without_convolutions_is_refused_before_anything_runs():
    models = {"dense": TINY["models"]["dense"]}
    config = {**TINY, "models": models, "experiments": {}, "comparisons": {}, "probes": ["effective_receptive_field"]}
    with pytest.raises(UserError, match=r"no model that it probes has any \(dense\); add one with family: conv"):
        load_study(config).plan  # noqa: B018


def test_a_field_without_gradient_and_one_beyond_a_narrow_image():
    from convlab.probes.effective_receptive_field import measure

    assert np.isnan(measure.side(np.zeros((4, 6)), 0.5))
    even = np.ones((2, 6))
    assert measure.side(even, 1.0) == 6, "a square reaches beyond an image of two rows"
    assert measure.side(even, 1 / 3) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Tables, figures and findings


CLOSED_FORMS = {"cnn": 4, CNN_5X5: 6, "dense": 8}


def texts_and_tables(sides, seeds=(1, 2, 3)):
    runs, measured = fields_with(sides, CLOSED_FORMS, seeds)
    curves, contrasts = (make(PROBE, runs, PLAN, measured) for make in (table.curves, table.contrasts))
    texts = [finding.text for finding in findings.findings(curves, contrasts, LABELS, 0.005)]
    return " ".join(texts), curves, contrasts


def test_levels_are_compared_by_seed_in_pixels():
    _text, curves, contrasts = texts_and_tables({"cnn": 3.0, CNN_5X5: 5.0})
    row = contrasts[contrasts["measure"] == "side 90 %"].iloc[0]
    assert (row["variant"], row["reference"], row["n_seeds"]) == (CNN_5X5, "cnn", 3)
    assert row["difference"] == pytest.approx(2.02)
    assert row["ci_high"] - row["difference"] == pytest.approx(4.302653 * 0.01 / np.sqrt(3), rel=1e-4)
    assert "dense" not in set(contrasts["variant"])
    closed = curves[curves["measure"] == "closed form"].set_index("variant")["mean"]
    assert closed.to_dict() == {"cnn": 4, CNN_5X5: 6}


def test_areas_are_those_inside_of_images_that_are_not_square():
    assert table.area_share(5.0, 10.0, (20, 40)) == pytest.approx(0.25)
    assert table.area_share(20.0, 60.0, (20, 40)) == pytest.approx(0.5), "the square holds half of the image"
    assert table.area_share(10.0, 30.0, (20, 40)) == pytest.approx(10 / 20 * 10 / 30)


def test_findings_have_the_sides_the_closed_form_and_what_training_changes():
    text, _curves, _contrasts = texts_and_tables({"cnn": 3.0, CNN_5X5: 5.0})
    assert "In cnn half of the gradient of a central unit lies in a square of 1.8 px, 90 % in one of 3.0 px" in text
    assert "The closed form gives 6 px; the square with 90 % is 71 % of that area in the image." in text
    assert "Training narrows the field." in text and "Training widens" not in text
    assert "The closed form differs by +2 px." in text
    assert "dense has no feature map of a convolution that can be looked into" in text


def test_a_finished_run_without_any_gradient_is_not_said_to_have_diverged():
    runs, measured = fields_with({"cnn": 3.0, CNN_5X5: 5.0}, CLOSED_FORMS, (1, 2, 3, 4))
    dead = (
        (measured.table["variant"] == "cnn") & (measured.table["seed"] == 4) & (measured.table["network"] == "trained")
    )
    measured.table.loc[dead, "side"] = np.nan
    curves, contrasts = (make(PROBE, runs, PLAN, measured) for make in (table.curves, table.contrasts))
    (text,) = [f.text for f in findings.findings(curves, contrasts, LABELS, 0.005) if f.text.startswith("In cnn half")]
    assert "n = 3 seeds, 1 seed left out, where a run diverged or has nothing to measure" in text


def test_two_seeds_give_sides_and_infer_nothing():
    text, curves, contrasts = texts_and_tables({"cnn": 3.0, CNN_5X5: 5.0}, seeds=(1, 2))
    assert contrasts["ci_low"].isna().all() and curves["ci_low"].isna().all()
    assert "nothing inferred" in text
    assert "from a larger" not in text and "Training narrows" not in text


def test_the_square_of_the_closed_form_is_framed_where_the_field_lies():
    field = np.zeros((7, 8))
    field[2:5, 5:8] = 1
    image = np.zeros((7, 8, 3), np.uint8)
    frame = (figure.framed(image, field, 3) == figure.FRAME).all(axis=-1)
    expected = np.zeros((7, 8), bool)
    expected[[1, 5], 4:8] = True
    expected[1:6, 4] = True
    np.testing.assert_array_equal(frame, expected)
    assert not figure.framed(image, np.ones((7, 8)), 20).any(), "larger than the image"
