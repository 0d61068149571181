"""Layers of trained models: convolutions, their outputs, the last feature map, models inside of models."""

import numpy as np
import pytest

from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.families.residual_network import ResidualNetwork
from convlab.models.families.vision_transformer import VisionTransformer

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)


def built(spec):
    from convlab.training.network import build

    return build(spec, SHAPE, 3)


def around(own):
    """A model as ``training.network`` builds it of a user's own one."""
    from convlab.runtime.keras_runtime import keras

    pixels = keras.Input(SHAPE, dtype="uint8")
    own.name = "own_model"
    return keras.Model(pixels, own(keras.layers.Rescaling(1, dtype="float32")(pixels)))


def own_functional():
    from convlab.runtime.keras_runtime import keras

    pixels = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, name="first")(pixels)
    x = keras.layers.Activation("relu")(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Conv2D(5, 3, name="second", activation="relu")(x)
    return keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D(keepdims=True)(x)))


def own_subclass():
    from convlab.runtime.keras_runtime import keras

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution, self.head = keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()

        def call(self, pixels):
            return self.head(self.convolution(pixels))

    return Own()


@pytest.mark.parametrize(
    ("spec", "names", "shape"),
    [
        (Conv(family="conv", filters=[4, 6]), ["conv_1", "conv_2"], (2, 2, 6)),
        (Conv(family="conv", filters=[4], convolution="depthwise_separable"), ["depthwise_1", "pointwise_1"],
         (4, 4, 4)),
        (Conv(family="conv", filters=[4], residual=True, pooling="none"), ["conv_1", "shortcut_1"], (8, 8, 4)),
        (ResidualNetwork(family="residual_network", filters=[4], blocks_per_stage=[1]),
         ["conv_stem", "conv_1_1_1", "conv_1_1_2"], (8, 8, 4)),
    ],
)  # fmt: skip
def test_convolutions_are_named_in_order_and_the_last_feature_map_is_what_the_head_takes(spec, names, shape):
    from convlab.evaluation import layers

    model = built(spec)
    assert [layer.name for layer in layers.convolutions(model)] == names
    last = layers.last_feature_map(model)
    assert last.shape[1:] == shape
    assert layers.outputs(model, [last])(IMAGES, training=False).shape == (3, *shape)


@pytest.mark.parametrize(
    "spec",
    [
        Dense(family="dense", units=[4]),
        VisionTransformer(family="vision_transformer", patch_size=4, embed_dim=8, depth=1, num_heads=2),
    ],
)
def test_a_dense_network_and_a_transformer_have_no_feature_map(spec):
    from convlab.evaluation import layers

    model = built(spec)
    assert layers.convolutions(model) == [] and layers.last_feature_map(model) is None


def test_functional_models_of_own_code_are_looked_into_and_subclassed_ones_have_no_layers():
    from convlab.evaluation import layers

    model = around(own_functional())
    first, second = layers.convolutions(model)
    assert (first.name, second.name) == ("first", "second")
    assert layers.last_feature_map(model) is second.output
    tensors = [layers.activated_output(model, first), second.output]
    maps, last = layers.outputs(model, tensors)(IMAGES, training=False)
    assert maps.shape == (3, 6, 6, 4) and np.asarray(maps).min() == 0, "the activation behind the pooling"
    assert last.shape == (3, 1, 1, 5)
    subclassed = around(own_subclass())
    assert layers.convolutions(subclassed) == [] and layers.last_feature_map(subclassed) is None
