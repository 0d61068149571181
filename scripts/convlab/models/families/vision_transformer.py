"""Vision transformers: patches of the image as a sequence of vectors, blocks of self-attention, then a head."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from convlab.common.specs import Fraction, PositiveReal, PositiveWhole, Whole, off_as_word
from convlab.models.registry import Family
from convlab.models.specs import Activation, ModelSpec

MAX_DEPTH = 100
"""Largest number of blocks; the plan walks through every layer."""

EPSILON = 1e-6
"""Added to variances by layer normalisation, as in the paper's code."""

POSITION_DEVIATION = 0.02
"""Standard deviation of the positions' initial values, as in the paper's code."""


class VisionTransformer(ModelSpec):
    """Patches, positions, blocks of attention and a two-layer perceptron, each after layer normalisation; then a head.

    Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021, equations 1 to 4.
    """

    family: Literal["vision_transformer"]
    patch_size: PositiveWhole = Field(description="Side of the square patches, pixels; it divides the image's sides.")
    embed_dim: PositiveWhole = Field(description="Length of the vector of each patch.")
    depth: Annotated[Whole, Field(gt=0, le=MAX_DEPTH)] = Field(description="Number of blocks.")
    num_heads: PositiveWhole = Field(description="Attention heads of each block; the number divides embed_dim.")
    mlp_ratio: PositiveReal = Field(4.0, description="Hidden units of each block's perceptron, by embed_dim.")
    position: Annotated[Literal["learned", "none"], BeforeValidator(off_as_word)] = Field(
        "learned", description="What tells patches apart: a learned vector for each position, or nothing."
    )
    head: Literal["class_token", "global_average"] = Field(
        "class_token", description="What becomes the vector: a learned token that joins the patches, or their mean."
    )
    activation: Activation = Field("gelu", description="Activation of each perceptron's hidden layer.")
    dropout: Fraction = Field(
        0.0, description="Dropout rate after the embedding, each attention and each layer of the perceptrons."
    )
    attention_dropout: Fraction = Field(0.0, description="Dropout rate of the attention weights.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> "VisionTransformer":
        if self.embed_dim % self.num_heads:
            fitting = [str(heads) for heads in range(1, min(self.embed_dim, 64) + 1) if not self.embed_dim % heads]
            raise ValueError(
                f"num_heads is {self.num_heads}, which does not divide embed_dim, {self.embed_dim}; "
                f"one of {', '.join(fitting)} does"
            )
        if not self.mlp_units:
            raise ValueError(
                f"mlp_ratio is {self.mlp_ratio:g}, which leaves no hidden unit of embed_dim, {self.embed_dim}; write "
                f"1/{self.embed_dim} or more, as a decimal number"
            )
        return self

    @property
    def mlp_units(self) -> int:
        """Hidden units of a block's perceptron."""
        return int(self.mlp_ratio * self.embed_dim)


def features(model: VisionTransformer, x: Any, keras: Any) -> Any:
    """Embedded patches, blocks, layer normalisation, head."""
    layers = keras.layers
    x = _embedding(model, x, keras)
    for block in range(1, model.depth + 1):
        x = _block(model, x, block, layers)
    x = layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    if model.head == "global_average":
        return layers.GlobalAveragePooling1D(name="global_average")(x)
    x = layers.Cropping1D((0, x.shape[1] - 1), name="class_token")(x)
    return layers.Flatten(name="flatten")(x)


def _embedding(model: VisionTransformer, x: Any, keras: Any) -> Any:
    """The patches' vectors, (batch, tokens, embed_dim), by one layer whose biases depend on the position.

    The paper adds learned positions to what a linear layer makes of the patches, and puts a learned token before them:
    a bias for each position is their sum with that layer's bias, and of a patch of zeros it makes the token. So no
    layer beyond Keras' own is needed.
    """
    layers, size = keras.layers, model.patch_size
    rows, columns, channels = x.shape[1] // size, x.shape[2] // size, x.shape[3]
    x = layers.Reshape((rows, size, columns, size, channels), name="rows_and_columns")(x)
    x = layers.Permute((1, 3, 2, 4, 5), name="patches")(x)
    x = layers.Reshape((rows * columns, size * size * channels), name="sequence")(x)
    if model.head == "class_token":
        x = layers.ZeroPadding1D((1, 0), name="with_class_token")(x)
    x = layers.EinsumDense(
        "bti,ie->bte",
        output_shape=(x.shape[1], model.embed_dim),
        bias_axes="e" if model.position == "none" else "te",
        kernel_initializer=model.kernel_initializer,
        bias_initializer=keras.initializers.RandomNormal(stddev=POSITION_DEVIATION),
        name="patch_embedding",
    )(x)
    return layers.Dropout(model.dropout, name="embedding_dropout")(x) if model.dropout else x


def _block(model: VisionTransformer, x: Any, block: int, layers: Any) -> Any:
    """Attention between all tokens, then a perceptron for each; both after normalisation and beside a shortcut."""

    weights = {"kernel_initializer": model.kernel_initializer}

    def dropped(values: Any, name: str) -> Any:
        return layers.Dropout(model.dropout, name=f"{name}_dropout")(values) if model.dropout else values

    attention, expand, project = f"attention_{block}", f"mlp_{block}_expand", f"mlp_{block}_project"
    normal = layers.LayerNormalization(epsilon=EPSILON, name=f"norm_{block}_attention")(x)
    attended = layers.MultiHeadAttention(
        model.num_heads, model.embed_dim // model.num_heads, dropout=model.attention_dropout, name=attention, **weights
    )(normal, normal)
    x = layers.Add(name=f"add_{block}_attention")([x, dropped(attended, attention)])
    normal = layers.LayerNormalization(epsilon=EPSILON, name=f"norm_{block}_mlp")(x)
    hidden = layers.Dense(model.mlp_units, activation=model.activation, name=expand, **weights)(normal)
    update = layers.Dense(model.embed_dim, name=project, **weights)(dropped(hidden, expand))
    return layers.Add(name=f"add_{block}_mlp")([x, dropped(update, project)])


def feature_costs(model: VisionTransformer, costs: Any) -> None:
    """The costs of these layers.

    For T tokens of length E a block has 4 T E² multiplications of queries, keys, values and output, T² E of queries
    with keys and as many of weights with values (Vaswani et al.: Attention Is All You Need, 2017, table 1), and
    2 T E H in a perceptron with H hidden units. After the first attention each token depends on all pixels.
    """
    (height, width, channels), side = costs.shape, model.patch_size
    if height % side or width % side:
        fitting = [str(size) for size in range(1, min(height, width) + 1) if not height % size and not width % size]
        costs.refuse(
            f"layer patch_embedding cuts patches of {side}×{side} pixels, which do not fill the image",
            f"set patch_size to {' or '.join(filter(None, (', '.join(fitting[:-1]), fitting[-1])))}",
        )
    tokens = (height // side) * (width // side) + (model.head == "class_token")
    length, hidden = model.embed_dim, model.mlp_units
    shape, weights = (tokens, length), side**2 * channels * length
    biases = length if model.position == "none" else tokens * length
    costs.layer("patch_embedding", shape, weights + biases, tokens * weights, window=side, receptive_field=side)
    for block in range(1, model.depth + 1):
        start = costs.end
        costs.normalisation(f"norm_{block}_attention", "layer")
        macs = 4 * tokens * length**2 + 2 * tokens**2 * length
        costs.layer(f"attention_{block}", shape, 4 * (length + 1) * length, macs, receptive_field=costs.whole_image)
        costs.add(f"add_{block}_attention", start)
        start = costs.end
        costs.normalisation(f"norm_{block}_mlp", "layer")
        costs.layer(f"mlp_{block}_expand", (tokens, hidden), (length + 1) * hidden, tokens * length * hidden)
        costs.layer(f"mlp_{block}_project", shape, (hidden + 1) * length, tokens * hidden * length)
        costs.add(f"add_{block}_mlp", start)
    costs.normalisation("norm", "layer")
    costs.global_pooling()


FAMILY = Family(
    spec=VisionTransformer,
    title="vision transformer",
    features=features,
    feature_costs=feature_costs,
    order=4,
)
