"""What Keras computes, computed again in plain NumPy: the definition of convolution, pooling and dense layers."""

import numpy as np
import pytest

from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.runtime.keras_runtime import keras, tf
from convlab.training.network import build
from convlab.training.optimizer import optimizer
from convlab.training.recipe import Augmentation, Training


def convolution(images, kernel, bias, stride: int, padding: str):
    """Cross-correlation of (n, h, w, c_in) with a (k, k, c_in, c_out) kernel: slide, multiply, add up."""
    size = kernel.shape[0]
    if padding == "same":
        images = pad_same(images, size, stride)
    height = (images.shape[1] - size) // stride + 1
    width = (images.shape[2] - size) // stride + 1
    output = np.empty((len(images), height, width, kernel.shape[3]))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            window = images[:, top : top + size, left : left + size, :]
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


def normalisation(x, layer):
    """Batch normalisation with the moving statistics that inference uses."""
    gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in layer.weights)
    return gamma * (x - mean) / np.sqrt(variance + layer.epsilon) + beta


def forward(model, spec, images):
    """The whole network in NumPy, with the Keras model's weights."""
    x = images / 255
    if isinstance(spec, Conv):
        for block in range(1, spec.depth + 1):
            for number in range(1, spec.convolutions_per_block + 1):
                suffix = f"{block}" if spec.convolutions_per_block == 1 else f"{block}_{number}"
                kernel, bias = (np.asarray(w, np.float64) for w in model.get_layer(f"conv_{suffix}").weights)
                stride = spec.strides[block - 1] if number == 1 else 1
                x = convolution(x, kernel, bias, stride, spec.padding)
                if spec.batch_norm:
                    x = normalisation(x, model.get_layer(f"norm_{suffix}"))
                x = np.maximum(x, 0)
            kind = spec.pooling[block - 1]
            if kind != "none":
                x = pooling(x, spec.pool_size, {"max": np.max, "average": np.mean}[kind])
        x = {"flatten": lambda x: x.reshape(len(x), -1), "global_average": lambda x: x.mean(axis=(1, 2)),
             "global_max": lambda x: x.max(axis=(1, 2))}[spec.head](x)  # fmt: skip
        hidden = len(spec.dense_units)
    else:
        x, hidden = x.reshape(len(x), -1), len(spec.units)
    for name in [*(f"dense_{number}" for number in range(1, hidden + 1)), "dense_output"]:
        kernel, bias = (np.asarray(w, np.float64) for w in model.get_layer(name).weights)
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
        Conv(family="conv", filters=[4], batch_norm=True, convolutions_per_block=2, head="global_average"),
    ],
    ids=["dense", "plain", "valid strided average", "even kernels", "batch norm"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_keras_computes_what_the_definition_says(spec, channels):
    generator = np.random.default_rng(0)
    model = build(spec, (21, 19, channels), 5)
    for layer in model.layers:  # biases, means and scales that are not the neutral ones they start as
        layer.set_weights([w + generator.uniform(0.05, 0.3, w.shape) for w in layer.get_weights()])
    images = generator.integers(0, 256, (4, 21, 19, channels), dtype=np.uint8)
    np.testing.assert_allclose(model(images, training=False), forward(model, spec, images), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_exchanging_relu_and_max_pooling_changes_no_bit_of_outputs_and_gradients(batch_norm):
    """The spec says activation, then pooling; the model pools first. Build the spec's order by hand and compare."""
    spec = Conv(family="conv", filters=[4], batch_norm=batch_norm)
    model = build(spec, (8, 8, 1), 3)
    assert [layer.name for layer in model.layers][-4:-1] == ["pool_1", "activation_1", "flatten"]
    x = model.get_layer("conv_1")(model.get_layer("rescale")(model.inputs[0]))
    x = model.get_layer("norm_1")(x) if batch_norm else x
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D()(keras.layers.ReLU()(x)))
    literal = keras.Model(model.inputs[0], model.get_layer("dense_output")(x))
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    results = []
    for candidate in (model, literal):
        with tf.GradientTape() as tape:
            outputs = candidate(images, training=False)
            loss = tf.reduce_sum(outputs[:, 0])
        results.append([outputs, *tape.gradient(loss, model.trainable_variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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
