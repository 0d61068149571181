"""ConvMixer (Trockman and Kolter, Patches Are All You Need?, 2022): patches, then depthwise and 1×1 convolutions.

An example of a model of one's own: ``{family: python, file: studies/models/convmixer.py, arguments: {width: 64}}``.
"""

import keras

layers = keras.layers


def build(input_shape, classes, width=64, depth=4, kernel_size=5, patch_size=2):
    """A model from raw pixels, 0 to 255, to a probability for each class.

    Args:
        input_shape: (height, width, channels) of the images.
        classes: number of classes.
        width: channels of every layer.
        depth: number of blocks, each with a shortcut around its depthwise convolution.
        kernel_size: side of the depthwise kernels, patches.
        patch_size: side of the patches, pixels.
    """
    pixels = keras.Input(input_shape)
    x = layers.Rescaling(1 / 255)(pixels)
    x = activation(layers.Conv2D(width, patch_size, strides=patch_size)(x))
    for _ in range(depth):
        mixed = activation(layers.DepthwiseConv2D(kernel_size, padding="same")(x))
        x = layers.Add()([mixed, x])
        x = activation(layers.Conv2D(width, 1)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(classes, activation="softmax")(x))


def activation(x):
    """GELU, then batch normalisation, as in the paper."""
    return layers.BatchNormalization()(layers.Activation("gelu")(x))
