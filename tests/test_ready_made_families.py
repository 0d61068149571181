"""Residual networks and vision transformers: what they compute, what they cost, and what they refuse."""

import math
import zlib

import numpy as np
import pytest
from pydantic import ValidationError

from builders.project import TINY
from convlab.errors import UserError
from convlab.models.cost import cost
from convlab.models.families.residual_network import ResidualNetwork
from convlab.models.families.vision_transformer import EPSILON, VisionTransformer
from convlab.runtime.keras_runtime import keras, tf
from convlab.study.load import load_study
from convlab.training.callbacks import Randomness
from convlab.training.network import build


def residual_network(**fields) -> ResidualNetwork:
    return ResidualNetwork(**{"family": "residual_network", "filters": [4, 8], "blocks_per_stage": 2, **fields})


def transformer(**fields) -> VisionTransformer:
    sizes = {"patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2}
    return VisionTransformer(**{"family": "vision_transformer", **sizes, **fields})


MODELS = {
    "residual": residual_network(),
    "plain": residual_network(residual=False, norm="none", blocks_per_stage=[1, 2], dropout=0.2),
    "group normalisation": residual_network(norm="group", norm_groups=4, kernel_size=5),
    "pre-activation": residual_network(pre_activation=True, norm="layer"),
    "transformer": transformer(),
    "no positions": transformer(position="none", mlp_ratio=1.5, num_heads=4),
    "mean of patches": transformer(head="global_average", patch_size=2, depth=1, dropout=0.1, attention_dropout=0.2),
}
SHAPES = [(12, 16, 1), (20, 8, 3)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_closed_forms_equal_keras(name, shape):
    model, closed = build(MODELS[name], shape, 10), cost(MODELS[name], shape, 10)
    assert closed.parameters == model.count_params()
    assert closed.macs == sum(map(macs_of, model.layers))
    for layer in closed.layers[1:]:
        built = model.get_layer(layer.name)
        assert (built.output.shape[1:], built.count_params()) == (layer.output_shape, layer.parameters), layer.name
    listed = {layer.name for layer in closed.layers}
    assert {layer.name for layer in model.layers if layer.count_params()} <= listed, "a layer with weights is missing"


def macs_of(layer) -> int:
    """Multiplications that a layer's output needs: one for each weight of a kernel at each position."""
    if isinstance(layer, keras.layers.MultiHeadAttention):
        tokens, _ = layer.output.shape[1:]
        kernels = [weight for weight in layer.weights if weight.name == "kernel"]
        assert len(kernels) == 4, "queries, keys, values, output"
        config = layer.get_config()
        products = config["num_heads"] * tokens**2 * (config["key_dim"] + (config["value_dim"] or config["key_dim"]))
        return tokens * sum(math.prod(kernel.shape) for kernel in kernels) + products
    return math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) if hasattr(layer, "kernel") else 0


def test_the_papers_network_of_twenty_layers_has_its_parameters():
    """He et al., table 6: 0.27 million. Their shortcuts have none; ours project twice, with normalisation."""
    plain = cost(ResidualNetwork(family="residual_network", residual=False), (32, 32, 3), 10)
    residual = cost(ResidualNetwork(family="residual_network"), (32, 32, 3), 10)
    assert sum(layer.name.split("_")[0] in ("conv", "dense") for layer in plain.layers) == 20
    assert residual.parameters - plain.parameters == (16 + 4) * 32 + (32 + 4) * 64
    assert round(plain.parameters / 1e6, 2) == 0.27


def gradient_of_one_unit(spec, shape, layer_name: str) -> np.ndarray:
    """Side, rows and columns, of the pixels that move one unit in the middle of a layer's output."""
    model = build(spec, shape, 3)
    for weight in model.weights:
        if weight.name == "kernel" and len(weight.shape) == 4 and "attention" not in weight.path:
            weight.assign(tf.ones_like(weight))
    features = keras.Model(model.get_layer("rescale").output, model.get_layer(layer_name).output)
    image = tf.Variable(np.random.default_rng(0).uniform(size=(1, *shape)).astype(np.float32))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        values = features(image, training=False)
        unit = values[0, *(length // 2 for length in values.shape[1:-1]), 0]
    seen = np.argwhere(tape.gradient(unit, image).numpy()[0, :, :, 0] != 0)
    return np.ptp(seen, axis=0) + 1


@pytest.mark.parametrize("options", [{}, {"pre_activation": True}, {"residual": False, "kernel_size": 5}])
def test_the_receptive_field_of_a_residual_network_is_the_square_of_pixels_that_moves_one_unit(options):
    spec, shape = residual_network(norm="none", activation="linear", **options), (80, 80, 1)
    closed = cost(spec, shape, 3)
    last = [layer for layer in closed.layers if len(layer.output_shape) == 3][-1].name
    assert set(gradient_of_one_unit(spec, shape, last)) == {closed.receptive_field}


def test_a_transformers_token_depends_on_its_patch_before_attention_and_on_all_pixels_after_it():
    spec, shape = transformer(), (24, 24, 1)
    fields = {layer.name: layer.receptive_field for layer in cost(spec, shape, 3).layers}
    assert (fields["patch_embedding"], fields["attention_1"], fields["mlp_2_expand"]) == (4, 24, 24)
    for name in ("patch_embedding", "attention_1"):
        assert set(gradient_of_one_unit(spec, shape, name)) == {fields[name]}


def weights_of(model, name: str) -> list[np.ndarray]:
    return [np.asarray(weight, np.float64) for weight in model.get_layer(name).weights]


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def normalised(model, name: str, x):
    scale, shift = weights_of(model, name)
    return scale * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON) + shift


def attention(model, name: str, x):
    """Multi-head self-attention: softmax(Q Kᵀ / √d) V for each head, and their projection."""
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = zip(*[iter(weights_of(model, name))] * 2, strict=True)
    query, key, value = (np.einsum("nte,ehd->nhtd", x, w) + b[:, None] for w, b in ((wq, bq), (wk, bk), (wv, bv)))
    weights = softmax(query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1]))
    return np.einsum("nhtd,hde->nte", weights @ value, wo) + bo


def paper(spec: VisionTransformer, model, images):
    """Equations 1 to 4 of the paper with the Keras model's weights: a class token, positions, blocks, head."""
    size, (n, height, width, _) = spec.patch_size, images.shape
    patches = [
        images[:, row : row + size, column : column + size].reshape(n, -1) / 255
        for row in range(0, height, size)
        for column in range(0, width, size)
    ]
    kernel, biases = weights_of(model, "patch_embedding")
    token, positions = biases[:1], biases[1:]
    embedded = np.stack(patches, axis=1) @ kernel + positions
    x = np.concatenate([np.repeat(token[None], n, axis=0), embedded], axis=1)
    for block in range(1, spec.depth + 1):
        x = x + attention(model, f"attention_{block}", normalised(model, f"norm_{block}_attention", x))
        (w1, b1), (w2, b2) = (weights_of(model, f"mlp_{block}_{part}") for part in ("expand", "project"))
        x = x + np.maximum(normalised(model, f"norm_{block}_mlp", x) @ w1 + b1, 0) @ w2 + b2
    kernel, bias = weights_of(model, "dense_output")
    return softmax(normalised(model, "norm", x)[:, 0] @ kernel + bias)


def with_other_weights(model):
    """The model with biases and scales that are not the neutral ones that they start as."""
    generator = np.random.default_rng(1)
    model.set_weights([weight + generator.uniform(-0.3, 0.3, weight.shape) for weight in model.get_weights()])
    return model


def test_keras_computes_what_the_transformers_paper_says():
    spec = transformer(activation="relu")
    model = with_other_weights(build(spec, (12, 8, 3), 5))
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(model(images, training=False), paper(spec, model, images), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("position", "head"), [("none", "class_token"), ("none", "global_average"), ("learned", "class_token")]
)
def test_only_learned_positions_tell_where_a_patch_lies(position, head):
    model = with_other_weights(build(transformer(position=position, head=head), (8, 8, 1), 5))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    exchanged = np.roll(images, 4, axis=2)  # the left patches for the right ones
    alike = np.allclose(model(images, training=False), model(exchanged, training=False), rtol=1e-4)
    assert alike == (position == "none")


@pytest.mark.parametrize("name", ["pre-activation", "transformer", "mean of patches"])
def test_a_saved_model_is_loaded_in_safe_mode(name, tmp_path):
    model = build(MODELS[name], (8, 8, 3), 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded(images, training=False), model(images, training=False))


def generator_states(model) -> dict[str, list[tuple[int, ...]]]:
    states = {
        layer.name: [tuple(np.asarray(v)) for v in layer.variables if v.name == "seed_generator_state"]
        for layer in model.layers
    }
    return {name: drawn for name, drawn in states.items() if drawn}


def test_random_numbers_inside_of_attention_are_those_of_the_epoch():
    """Two models of one process have generators of other names and seeds, as a resumed run's may have."""
    drawn = []
    for epoch in (3, 3, 4):
        callback = Randomness({"dropout": 7, "augmentation": 8})
        callback.set_model(build(transformer(dropout=0.1, attention_dropout=0.2), (8, 8, 1), 5))
        callback.on_epoch_begin(epoch)
        drawn.append(generator_states(callback.model))
    first, again, next_epoch = drawn
    assert first == again and {"attention_1", "attention_2", "embedding_dropout"} <= set(first)
    flat = [state for states in (first, next_epoch) for layer in states.values() for state in layer]
    assert len(set(flat)) == len(flat), "no two generators draw the same numbers, nor one in two epochs"


def test_dropout_draws_the_numbers_that_it_always_drew():
    """A generator of the layer itself is seeded by the layer's name alone, as in runs of earlier versions."""
    callback = Randomness({"dropout": 7, "augmentation": 8})
    callback.set_model(build(residual_network(dropout=0.5), (8, 8, 1), 5))
    callback.on_epoch_begin(2)
    expected = np.random.SeedSequence([7, 2, zlib.crc32(b"dropout")]).generate_state(2)
    (state,) = generator_states(callback.model)["dropout"]
    assert np.array_equal(np.array(state).astype(expected.dtype), expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3, which does not divide embed_dim, 8; one of 1, 2, 4, 8 does"),
        ({"mlp_ratio": 0.1}, "mlp_ratio is 0.1, which leaves no hidden unit of embed_dim, 8"),
        ({"patch_size": 5}, "patches of 5×5 pixels, which do not fill the image; set patch_size to 1, 2, 4 or 8"),
        ({"patch_size": 16}, "patches of 16×16 pixels, which do not fill the image; set patch_size to 1, 2, 4 or 8"),
    ],
)
def test_sizes_of_a_transformer_that_do_not_fit_are_named_before_anything_runs(model, message):
    sizes = {"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2}
    written = {"family": "vision_transformer", **sizes, **model}
    with pytest.raises(UserError) as error:
        load_study({"study": "sizes", "datasets": {"digits": {}}, "models": {"vit": written}})
    assert message in str(error.value) and "models.vit" in str(error.value)


def test_a_residual_network_of_more_stages_than_the_image_has_halves_is_refused():
    model = {"family": "residual_network", "filters": [4] * 5, "blocks_per_stage": 1}
    with pytest.raises(
        UserError, match=r"models.deep: .* conv_5_1_1 halves a feature map of only 1 pixel; give filters"
    ):
        load_study({"study": "deep", "datasets": {"digits": {}}, "models": {"deep": model}})


def test_blocks_are_given_for_each_stage_or_for_all():
    assert residual_network(blocks_per_stage=3).blocks_per_stage == (3, 3)
    with pytest.raises(ValidationError, match="blocks_per_stage has 3 values, and filters names 2 stages"):
        residual_network(blocks_per_stage=[1, 2, 3])
    with pytest.raises(ValidationError, match="blocks_per_stage has 2 values, and filters names 1 stages"):
        residual_network(filters=[4], blocks_per_stage=[1, 2])


LEVELS = {
    "residual_network": {
        "filters": [[4, 8], [8]], "blocks_per_stage": [1, [1, 2]], "kernel_size": [3, 5], "norm": ["batch", "none"],
        "residual": [True, False], "pre_activation": [False, True], "dropout": [0, 0.1], "activation": ["relu", "elu"],
        "kernel_initializer": ["glorot_uniform", "he_normal"],
    },
    "vision_transformer": {
        "patch_size": [4, 2], "embed_dim": [8, 16], "depth": [1, 2], "num_heads": [2, 4], "mlp_ratio": [4, 1.5],
        "position": ["learned", "none"], "head": ["class_token", "global_average"], "activation": ["gelu", "relu"],
        "dropout": [0, 0.1], "attention_dropout": [0, 0.1], "kernel_initializer": ["glorot_uniform", "he_normal"],
    },
}  # fmt: skip


@pytest.mark.parametrize("family", LEVELS)
def test_every_field_is_a_factor_and_gives_another_model(family):
    model = {name: levels[0] for name, levels in LEVELS[family].items()}
    experiments = {name: {"base": "base", "factor": name, "levels": levels} for name, levels in LEVELS[family].items()}
    study = load_study({
        "study": "factors", "datasets": {"digits": {}}, "models": {"base": {"family": family, **model}},
        "experiments": experiments, "training": TINY["training"],
    })  # fmt: skip
    models = {variant.model.model_dump_json() for variant in study.plan.variants.values()}
    assert len(study.plan.variants) == len(models) == 1 + len(experiments)
    fields = set(type(study.models["base"]).model_fields) - {"family", "label", "why", "norm_groups"}
    assert set(LEVELS[family]) == fields
