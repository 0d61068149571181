"""Parameters, MACs, shapes and receptive fields in closed form are those of the Keras model."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders.project import ROOT
from convlab.models.cost import LayerCosts, ShapeError, cost
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.study.load import load_study, read_yaml

ARCHITECTURES = {
    "plain": Conv(family="conv", filters=[4, 8], dense_units=[6]),
    "valid strided": Conv(family="conv", filters=[4, 8], kernel_size=[5, 3], strides=[2, 1], padding="valid"),
    "same strided": Conv(family="conv", filters=[4, 8, 8], strides=[1, 3, 2], pooling=["none", "none", "average"]),
    "batch norm blocks": Conv(family="conv", filters=[4, 8], norm="batch", convolutions_per_block=2, dense_units=[5]),
    "global average": Conv(family="conv", filters=[4], kernel_size=7, head="global_average", dense_units=[3, 3]),
    "global max, pool 3": Conv(family="conv", filters=[4, 4], pool_size=3, head="global_max"),
    "no pooling": Conv(family="conv", filters=8, depth=3, pooling="none"),
    "residual": Conv(
        family="conv", filters=[4, 4, 8], residual=[True, True, True], strides=[2, 1, 2], convolutions_per_block=2,
        norm="batch", pooling=["max", "none", "none"],
    ),
    "residual, pooled first": Conv(
        family="conv", filters=[4, 8], residual=[False, True], activation_after="pooling", kernel_size=[2, 5],
        pooling=["average", "max"],
    ),
    "separable": Conv(
        family="conv", filters=[4, 8], convolution="separable", strides=[2, 1], norm="layer", padding="valid"
    ),
    "depthwise separable": Conv(
        family="conv", filters=[4, 8, 8], convolution=["standard", "depthwise_separable", "depthwise_separable"],
        norm="group", norm_groups=2, convolutions_per_block=2, residual=[False, True, False], conv_dropout=0.2,
    ),
    "dilated and grouped": Conv(
        family="conv", filters=[4, 8], dilation=[1, 3], groups=[1, 2], head="global_average", kernel_size=[5, 3]
    ),
    "dense": Dense(family="dense", units=[9, 7], dropout=0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(28, 28, 1), (31, 29, 3)])
def test_closed_forms_equal_keras(name, shape):
    spec = ARCHITECTURES[name]
    assert_equal_to_keras(cost(spec, shape, 10), spec, shape)


def assert_equal_to_keras(closed, spec, shape):
    from convlab.training.network import build

    model = build(spec, shape, 10)
    assert closed.parameters == model.count_params()
    for layer in closed.layers[1:]:
        assert model.get_layer(layer.name).output.shape[1:] == layer.output_shape
    uncounted = {layer.name for layer in model.layers if layer.count_params()} - {layer.name for layer in closed.layers}
    assert uncounted == set()
    assert closed.macs == sum(macs_of(layer, layer.output.shape) for layer in model.layers)


def macs_of(layer, output_shape) -> int:
    """Multiplications that a layer's output needs: one per kernel weight and output position."""
    kernels = [weight for weight in layer.weights if "kernel" in weight.name]
    positions = int(np.prod(output_shape[1:-1])) if len(output_shape) == 4 else 1
    return positions * sum(int(np.prod(kernel.shape)) for kernel in kernels)


def per_block(values):
    return st.one_of(values, st.lists(values, min_size=2, max_size=2))


SPECS = st.fixed_dictionaries(
    {"filters": per_block(st.sampled_from([4, 8]))},
    optional={
        "kernel_size": per_block(st.integers(1, 5)),
        "strides": per_block(st.integers(1, 3)),
        "dilation": per_block(st.integers(1, 2)),
        "groups": per_block(st.integers(1, 2)),
        "padding": st.sampled_from(["same", "valid"]),
        "pooling": per_block(st.sampled_from(["max", "average", "none"])),
        "pool_size": st.integers(1, 3),
        "convolutions_per_block": st.integers(1, 2),
        "convolution": per_block(st.sampled_from(["standard", "separable", "depthwise_separable"])),
        "norm": st.sampled_from(["none", "batch", "layer", "group"]),
        "norm_groups": st.integers(1, 2),
        "residual": per_block(st.booleans()),
        "activation_after": st.sampled_from(["convolution", "pooling"]),
        "conv_dropout": per_block(st.sampled_from([0, 0.5])),
        "head": st.sampled_from(["flatten", "global_max"]),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(fields=SPECS, shape=st.tuples(st.integers(9, 17), st.integers(9, 17), st.sampled_from([2, 4])))
def test_closed_forms_of_any_config_equal_keras(fields, shape):
    try:
        spec = Conv(family="conv", depth=2, **fields)
        closed = cost(spec, shape, 10)
    except (ValidationError, ShapeError):
        reject()
    assert_equal_to_keras(closed, spec, shape)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "dense"])
def test_receptive_field_is_the_square_of_pixels_that_moves_one_unit(name):
    """Gradient of one unit of the last feature map with respect to the image, ones for weights: what is not zero."""
    from convlab.runtime.keras_runtime import keras, tf
    from convlab.training.network import build

    # Group normalisation looks at whole maps, and the others may cancel; what is counted are kernels and windows.
    spec, shape = ARCHITECTURES[name].model_copy(update={"activation": "linear", "norm": "none"}), (64, 64, 1)
    model, closed = build(spec, shape, 10), cost(spec, shape, 10)
    last = [layer for layer in closed.layers if len(layer.output_shape) == 3][-1]
    # Max pooling passes a gradient to one pixel only; average pooling passes it to all that the window sees.
    averaged = keras.models.clone_model(
        keras.Model(model.inputs[0], model.get_layer(last.name).output),
        clone_function=lambda layer: (
            keras.layers.AveragePooling2D(layer.pool_size, layer.strides, name=layer.name)
            if isinstance(layer, keras.layers.MaxPooling2D)
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    averaged.set_weights([np.ones_like(weight) for weight in averaged.get_weights()])
    features = keras.Model(averaged.get_layer("rescale").output, averaged.outputs[0])
    image = tf.Variable(tf.ones((1, *shape)))
    with tf.GradientTape() as tape:
        middle = features(image, training=False)
        unit = middle[0, middle.shape[1] // 2, middle.shape[2] // 2, 0]
    seen = np.argwhere(tape.gradient(unit, image).numpy()[0, :, :, 0] != 0)
    assert set(np.ptp(seen, axis=0) + 1) == {closed.receptive_field}


LAYERS = {
    "grouped": lambda layers: layers.Conv2D(6, 3, strides=2, padding="same", groups=2),
    "dilated": lambda layers: layers.Conv2D(6, 3, dilation_rate=2),
    "without bias": lambda layers: layers.Conv2D(6, 3, use_bias=False),
    "depthwise": lambda layers: layers.DepthwiseConv2D(3, strides=2, padding="same"),
    "separable": lambda layers: layers.SeparableConv2D(6, 3, padding="same", dilation_rate=2),
    "batch": lambda layers: layers.BatchNormalization(),
    "layer": lambda layers: layers.LayerNormalization(),
    "group": lambda layers: layers.GroupNormalization(2),
}
COUNTED = {
    "grouped": lambda costs: costs.convolution("a", 6, 3, 2, groups=2),
    "dilated": lambda costs: costs.convolution("a", 6, 3, padding="valid", dilation=2),
    "without bias": lambda costs: costs.convolution("a", 6, 3, padding="valid", bias=False),
    "depthwise": lambda costs: costs.depthwise("a", 3, 2),
    "separable": lambda costs: costs.separable("a", 6, 3, dilation=2),
    "batch": lambda costs: costs.normalisation("a", "batch"),
    "layer": lambda costs: costs.normalisation("a", "layer"),
    "group": lambda costs: costs.normalisation("a", "group", 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_has_the_parameters_and_the_shape_of_keras(name):
    from convlab.runtime.keras_runtime import keras

    layer, costs = LAYERS[name](keras.layers), LayerCosts((9, 8, 4))
    output = layer(np.zeros((1, 9, 8, 4), np.float32))
    COUNTED[name](costs)
    (counted,) = costs.layers
    assert counted.output_shape == output.shape[1:]
    assert counted.parameters == layer.count_params()
    assert counted.macs == macs_of(layer, output.shape)


def test_an_addition_sees_what_the_larger_branch_sees_and_names_both():
    costs = LayerCosts((8, 8, 2))
    start = costs.end
    costs.convolution("conv_1", 4, 5, 2)
    main, costs.end = costs.end, start
    costs.convolution("shortcut_1", 4, 1, 2)
    costs.add("add_1", main)
    costs.pooling("pool_1", 2)
    conv, shortcut, added, pool = costs.layers
    assert (conv.inputs, shortcut.inputs, added.inputs, pool.inputs) == (
        ("input",), ("input",), ("conv_1", "shortcut_1"), ("add_1",)
    )  # fmt: skip
    assert added.output_shape == (4, 4, 4) and added.parameters == added.macs == 0
    assert [layer.receptive_field for layer in costs.layers] == [5, 1, 5, 7]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (lambda costs: costs.convolution("conv_2", 4, 3, groups=3), "conv_2 has 3 groups, .* divide its 4 filters"),
        (lambda costs: costs.convolution("conv_2", 6, 3, groups=4), "conv_2 has 4 groups, .* the 6 channels that it"),
        (
            lambda costs: costs.normalisation("norm_2", "group", 4),
            "norm_2 has 4 groups, .* the 6 channels that it",
        ),
        (
            lambda costs: costs.convolution("conv_2", 4, 3, padding="valid", dilation=4),
            "conv_2 lays a 3×3 kernel, dilated to 9×9, on a feature map of only 8 pixels",
        ),
    ],
)
def test_what_does_not_divide_or_fit_names_its_layer(count, message):
    with pytest.raises(ShapeError, match=message):
        count(LayerCosts((8, 8, 6)))


def test_the_default_study_has_exactly_the_published_parameters():
    study = load_study(read_yaml(ROOT / "config.yaml"))
    costs = study.plan.costs
    parameters = {variant: costs["fashion_mnist", variant].parameters for variant in study.plan.compared}
    assert parameters == {
        "dense": 109_386,
        "cnn": 220_234,
        "cnn-kernel_size-5x5-3x3": 220_746,
        "cnn-kernel_size-7x7-3x3": 221_514,
    }


def test_a_window_that_does_not_fit_names_its_layer():
    with pytest.raises(ShapeError, match="layer conv_2 lays a 3×3 kernel on a feature map of only 2 pixels"):
        cost(Conv(family="conv", filters=[2, 2], padding="valid"), (6, 6, 1), 10)
