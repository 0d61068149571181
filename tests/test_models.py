"""What Keras computes, computed again in plain NumPy: the definition of convolution, pooling and dense layers."""

import numpy as np
import pytest

from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.registry import family_of
from convlab.runtime.keras_runtime import keras, tf
from convlab.training.network import build
from convlab.training.optimizer import optimizer
from convlab.training.recipe import Augmentation, Training


def convolution(images, kernel, bias, stride: int, padding: str, dilation: int = 1):
    """Cross-correlation of (n, h, w, c_in) with a (k, k, c_in, c_out) kernel: slide, multiply, add up."""
    size = (kernel.shape[0] - 1) * dilation + 1
    if padding == "same":
        images = pad_same(images, size, stride)
    height = (images.shape[1] - size) // stride + 1
    width = (images.shape[2] - size) // stride + 1
    output = np.empty((len(images), height, width, kernel.shape[3]))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            window = images[:, top : top + size : dilation, left : left + size : dilation, :]
            output[:, row, column, :] = np.tensordot(window, kernel, axes=3) + bias
    return output


def pad_same(images, size: int, stride: int):
    """Zeros around the images so that the output has ceil(length / stride) positions; the odd one goes to the end."""
    amounts = []
    for length in images.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        amounts.append((total // 2, total - total // 2))
    return np.pad(images, ((0, 0), *amounts, (0, 0)))


def pooling(images, size: int, reduce):
    """The largest or the mean value of every size × size window; what does not fill a window is dropped."""
    n, height, width, channels = images.shape
    rows, columns = height // size, width // size
    windows = images[:, : rows * size, : columns * size].reshape(n, rows, size, columns, size, channels)
    return reduce(windows, axis=(2, 4))


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def grouped(images, kernel, bias, stride: int, padding: str, dilation: int = 1, groups: int = 1):
    """Convolutions of equal parts of the channels, each with its part of the filters, side by side.

    The kernel is (k, k, c/groups, filters).
    """
    channels, filters = np.split(images, groups, axis=-1), np.split(kernel, groups, axis=-1)
    parts = zip(channels, filters, np.split(bias, groups), strict=True)
    return np.concatenate([convolution(*part, stride, padding, dilation) for part in parts], axis=-1)


def depthwise(images, kernel, bias, stride: int, padding: str, dilation: int = 1):
    """One kernel for each channel: as many groups as channels. ``kernel`` is (k, k, c, 1)."""
    kernel = np.swapaxes(kernel, 2, 3)
    return grouped(images, kernel, bias, stride, padding, dilation, groups=images.shape[-1])


def normalisation(x, layer):
    """Batch normalisation with moving statistics; layer normalisation of each pixel; group of each image's groups."""
    gamma, beta, *moving = weights_of(layer)
    if moving:
        return gamma * (x - moving[0]) / np.sqrt(moving[1] + layer.epsilon) + beta
    in_groups = isinstance(layer, keras.layers.GroupNormalization)
    axes = (1, 2, 3) if in_groups else 3
    parts = np.split(x, layer.groups if in_groups else 1, axis=-1)
    scaled = [(p - p.mean(axes, keepdims=True)) / np.sqrt(p.var(axes, keepdims=True) + layer.epsilon) for p in parts]
    return gamma * np.concatenate(scaled, axis=-1) + beta


def weights_of(layer):
    return [np.asarray(weight, np.float64) for weight in layer.weights]


def conv_block(model, spec, block, x):
    """One block of the conv family in NumPy, with ReLU."""
    start, convolutions = x, spec.convolutions(block)
    for name, stride in convolutions:
        window = (stride, spec.padding, block.dilation)
        if block.convolution == "depthwise_separable":
            x = depthwise(x, *weights_of(model.get_layer(f"depthwise_{name}")), *window)
            x = np.maximum(normalised(model, spec, f"depthwise_{name}", x), 0)
            x = convolution(x, *weights_of(model.get_layer(f"pointwise_{name}")), 1, "same")
        elif block.convolution == "separable":
            each, across, bias = weights_of(model.get_layer(f"separable_{name}"))
            x = convolution(depthwise(x, each, np.zeros(x.shape[-1]), *window), across, bias, 1, "same")
        else:
            x = grouped(x, *weights_of(model.get_layer(f"conv_{name}")), *window, block.groups)
        x = normalised(model, spec, name, x)
        x = x if name == convolutions[-1][0] else np.maximum(x, 0)
    if block.residual:
        if start.shape != x.shape:
            name = f"shortcut_{block.number}"
            start = convolution(start, *weights_of(model.get_layer(name)), block.strides, "same")
            start = normalised(model, spec, name, start)
        x = x + start
    x = np.maximum(x, 0)
    if block.pooling != "none":
        x = pooling(x, spec.pool_size, {"max": np.max, "average": np.mean}[block.pooling])
    return x


def normalised(model, spec, name: str, x):
    return x if spec.norm == "none" else normalisation(x, model.get_layer(f"norm_{name}"))


def forward(model, spec, images):
    """The whole network in NumPy, with the Keras model's weights."""
    x = images / 255
    if isinstance(spec, Conv):
        for block in spec.blocks():
            x = conv_block(model, spec, block, x)
        x = {"flatten": lambda x: x.reshape(len(x), -1), "global_average": lambda x: x.mean(axis=(1, 2)),
             "global_max": lambda x: x.max(axis=(1, 2))}[spec.head](x)  # fmt: skip
        hidden = len(spec.dense_units)
    else:
        x, hidden = x.reshape(len(x), -1), len(spec.units)
    for name in [*(f"dense_{number}" for number in range(1, hidden + 1)), "dense_output"]:
        kernel, bias = weights_of(model.get_layer(name))
        x = x @ kernel + bias
        x = softmax(x) if name == "dense_output" else np.maximum(x, 0)
    return x


@pytest.mark.parametrize(
    "spec",
    [
        Dense(family="dense", units=[12, 6], dropout=0.4),
        Conv(family="conv", filters=[4, 6], dense_units=[8]),
        Conv(family="conv", filters=[3, 5], kernel_size=[5, 3], strides=[2, 1], padding="valid", pooling="average"),
        Conv(family="conv", filters=[4, 4], kernel_size=[2, 4], strides=[3, 2], pooling="none", head="global_max"),
        Conv(family="conv", filters=[4], norm="batch", convolutions_per_block=2, head="global_average"),
        Conv(family="conv", filters=[4, 4], strides=[2, 1], residual=True, norm="batch", convolutions_per_block=2),
        Conv(family="conv", filters=[3, 4], convolution="separable", residual=[False, True], norm="layer"),
        Conv(
            family="conv",
            filters=[4, 6],
            convolution=["standard", "depthwise_separable"],
            strides=2,
            norm="group",
            norm_groups=2,
        ),
        Conv(family="conv", filters=[4, 6], dilation=[1, 2], groups=[1, 2], pooling="average", padding="valid"),
    ],
    ids=[
        "dense",
        "plain",
        "valid strided average",
        "even kernels",
        "batch norm",
        "residual",
        "separable",
        "depthwise separable",
        "dilated and grouped",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_keras_computes_what_the_definition_says(spec, channels):
    generator = np.random.default_rng(0)
    model = build(spec, (21, 19, channels), 5)
    for layer in model.layers:  # biases, means and scales that are not the neutral ones they start as
        layer.set_weights([w + generator.uniform(0.05, 0.3, w.shape) for w in layer.get_weights()])
    images = generator.integers(0, 256, (4, 21, 19, channels), dtype=np.uint8)
    np.testing.assert_allclose(model(images, training=False), forward(model, spec, images), rtol=2e-4, atol=2e-6)


ORDERS = {
    "relu": {"activation": "relu"},
    "relu and batch norm": {"activation": "relu", "norm": "batch"},
    "relu after an addition": {"activation": "relu", "residual": True, "convolutions_per_block": 2},
    "linear, averaged": {"activation": "linear", "pooling": "average"},
    "sigmoid": {"activation": "sigmoid"},
    "relu, averaged": {"activation": "relu", "pooling": "average"},
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_activation_and_pooling_is_the_configs_and_idle_only_where_no_bit_differs(name):
    """Images of two values, so that windows are full of ties; sigmoid rounds different large values to one."""
    specs = [
        Conv(family="conv", filters=[4], activation_after=order, **ORDERS[name]) for order in ("convolution", "pooling")
    ]
    models = [build(spec, (8, 8, 1), 3) for spec in specs]
    generator = np.random.default_rng(0)
    weights = [generator.choice([-2, 0, 2, 2.2], weight.shape) for weight in models[0].get_weights()]
    weights[-2:] = models[0].get_weights()[-2:]
    images = generator.choice([0, 255], (16, 8, 8, 1)).astype(np.uint8)
    results = []
    for model in models:
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            outputs = model(images, training=False)
            loss = tf.reduce_sum(outputs[:, 0])
        results.append([outputs, *tape.gradient(loss, model.trainable_variables)])
    same = all(np.array_equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
    assert same == (name not in ("sigmoid", "relu, averaged"))
    for spec, model in zip(specs, models, strict=True):
        idle = {field.name for field in family_of(spec).idle_fields if field.is_idle(spec)}
        assert ("activation_after" in idle) == same
        last = {"convolution": "pool", "pooling": "activation"}[spec.activation_after]
        assert model.layers[-3].name.split("_")[0] == last


def test_augmentation_changes_what_is_trained_on_and_nothing_that_is_predicted():
    spec = Conv(family="conv", filters=[4])
    plain, augmented = (
        build(spec, (8, 8, 1), 3),
        build(spec, (8, 8, 1), 3, augmentation=Augmentation(flip="both", shift=2)),
    )
    augmented.set_weights(plain.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    np.testing.assert_array_equal(augmented(images, training=False), plain(images, training=False))
    assert not np.array_equal(augmented(images, training=True), plain(images, training=True))


def test_a_convolution_is_the_same_detector_at_every_place():
    """Translation equivariance: shifting the image shifts the feature map."""
    generator = np.random.default_rng(1)
    image, kernel = generator.normal(size=(1, 12, 12, 1)), generator.normal(size=(3, 3, 1, 2))
    shifted = np.roll(image, (2, 1), axis=(1, 2))
    maps = [convolution(x, kernel, 0.0, 1, "valid") for x in (image, shifted)]
    np.testing.assert_allclose(maps[1][:, 2:, 1:], maps[0][:, :-2, :-1])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_input_is_raw_pixels_and_output_is_float32_probabilities_in_every_precision(precision):
    model = build(Conv(family="conv", filters=[4]), (8, 8, 1), 3, precision)
    assert model.inputs[0].dtype == "uint8"
    probabilities = np.asarray(model(np.full((2, 8, 8, 1), 255, np.uint8), training=False))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert model.get_layer("conv_1").compute_dtype == precision.removeprefix("mixed_")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam", {}),
        ("sgd", {"momentum": 0.9}),
        ("adamw", {"weight_decay": 0.01}),
        ("rmsprop", {"momentum": 0.5}),
        ("adamw", {}),
    ],
)
def test_optimizers_take_their_settings(name, options):
    made = optimizer(Training(optimizer=name, learning_rate=0.02, **options), 0.02)
    assert made.__class__.__name__.lower() == name
    assert float(made.learning_rate) == pytest.approx(0.02)
    assert getattr(made, "momentum", 0.0) == options.get("momentum", 0.0)
    assert (made.weight_decay or 0) == options.get("weight_decay", 0)
