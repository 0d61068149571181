"""Representations of test images by trained and untrained networks, kept so that their linear CKA is a dot product.

Linear centred kernel alignment (Kornblith et al.: Similarity of Neural Network Representations Revisited, ICML 2019)
of two layers is the cosine of their centred Gram matrices over the same images. Its estimate is biased towards one
where features are many and images few, as here. So the Gram matrices are U-centred, with which the products are
unbiased (Székely and Rizzo: Partial distance correlation, 2014; equal to the estimator of Song et al. that Nguyen et
al.: Do Wide and Deep Networks Learn the Same Things?, ICLR 2021, take): CKA of unrelated layers is then zero on
average, and may be below.

What is stored of a layer is the upper half of its U-centred Gram matrix, scaled to length 1; the dot product of two of
them is their CKA. So similarities of any two networks are computed later, and no job needs two variants.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convlab.evaluation import layers
from convlab.evaluation.networks import Network
from convlab.runtime.keras_runtime import keras

COLUMNS = ["layer", "order", "features"]
"""A row for each compared layer of a run: its name, its number among the convolutions, and its outputs per image."""

LAST = "last_hidden"
"""Name of what the output layer takes; its order is 0."""

UNTRAINED_NETWORKS = 3
"""Untrained networks of each variant."""

MAX_SIDE = 32
"""Feature maps with more rows or columns are averaged over blocks, which keeps memory bounded."""

MAX_VALUES = 50_000_000
"""Outputs that are held at once; layers beyond that are computed in another pass."""

BATCH_SIZE = 64

LEAST_IMAGES = 4
"""U-centred, the Gram matrix of three images or fewer is zero whatever they are."""


def inspect(
    networks: Sequence[Network], images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Layers of every run of a variant, and of a few untrained networks.

    Args:
        networks: the finished runs.
        images: uint8 (n, height, width, channels); labels: (n,).
        settings: ``images`` and ``layers``, how many of each.

    Returns:
        Rows of COLUMNS with the seed; and arrays: ``names``, of the layers; ``seeds``, of the runs; ``trained``
        (runs, layers, pairs of images) and ``untrained``, likewise, float16: vectors whose length is the square root
        of the number of pairs. Neither where no layer is known.
    """
    chosen = images[np.linspace(0, len(images) - 1, min(settings["images"], len(images))).astype(int)]
    chosen = networks[0].arranged(chosen)
    compared = compared_layers(networks[0].model, settings["layers"])
    rows = [
        {"seed": network.seed, "layer": name, "order": order, "features": features}
        for network in networks
        for name, (order, features) in compared.items()
    ]
    if not compared:
        return [], {}
    untrained = [network.untrained() for network in networks[:UNTRAINED_NETWORKS]]
    stored = {
        "trained": [similarity_vectors(network.model, chosen, list(compared)) for network in networks],
        "untrained": [similarity_vectors(model, chosen, list(compared)) for model in untrained],
    }
    arrays = {name: np.array(vectors) for name, vectors in stored.items()}
    seeds = np.array([network.seed for network in networks])
    return rows, arrays | {"names": np.array(list(compared)), "seeds": seeds}


def compared_layers(model, most: int) -> dict[str, tuple[int, int]]:
    """Name -> (order, outputs per image) of at most ``most`` convolutions, evenly spaced, and of the last hidden layer.

    The convolutions of shortcuts count too. None for a model without a known graph.
    """
    convolutions = layers.convolutions(model)
    kept = np.unique(np.linspace(1, len(convolutions), min(most, len(convolutions))).astype(int))
    compared = {
        convolutions[order - 1].name: (int(order), int(np.prod(convolutions[order - 1].output.shape[1:])))
        for order in kept
    }
    last = layers.last_hidden(model)
    return compared if last is None else compared | {LAST: (0, int(np.prod(last.shape[1:])))}


def similarity_vectors(model, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """float16 (layers, pairs of images) of a model's layers by their names."""
    by_name = {layer.name: layer for layer in layers.convolutions(model)}
    tensors = [
        layers.last_hidden(model) if name == LAST else layers.activated_output(model, by_name[name]) for name in names
    ]
    return np.array(
        [vector for group in _groups(tensors, len(images)) for vector in map(u_centred, _outputs(model, group, images))]
    )


def _groups(tensors: Sequence, count: int) -> Iterator[list]:
    """Tensors in order, so many at once that their outputs for ``count`` images stay below MAX_VALUES."""
    group, values = [], 0
    for tensor in tensors:
        size = count * int(np.prod(tensor.shape[1:]))
        if group and values + size > MAX_VALUES:
            yield group
            group, values = [], 0
        group.append(tensor)
        values += size
    yield group


def _outputs(model, tensors: Sequence, images: np.ndarray) -> list[np.ndarray]:
    """What each tensor is for the images: float32 (images, features); large maps are averaged over blocks."""
    network = layers.outputs(model, tensors)
    parts = [[] for _tensor in tensors]
    for start in range(0, len(images), BATCH_SIZE):
        outputs = network(images[start : start + BATCH_SIZE], training=False)
        for part, output in zip(parts, outputs if len(tensors) > 1 else [outputs], strict=True):
            values = np.asarray(keras.ops.convert_to_numpy(output), np.float32)
            part.append(block_means(values).reshape(len(values), -1))
    return [np.concatenate(part) for part in parts]


def block_means(maps: np.ndarray) -> np.ndarray:
    """Feature maps (n, height, width, channels) of at most MAX_SIDE rows and columns; others as they are."""
    if maps.ndim != 4 or max(maps.shape[1:3]) <= MAX_SIDE:
        return maps
    block = -(-max(maps.shape[1:3]) // MAX_SIDE)
    means = np.add.reduceat(maps, range(0, maps.shape[1], block), axis=1)
    return np.add.reduceat(means, range(0, maps.shape[2], block), axis=2) / block**2


def u_centred(features: np.ndarray) -> np.ndarray:
    """The upper half of the U-centred Gram matrix of features (n, d), scaled to mean square 1: float16 (n (n-1)/2,).

    NaN where all images are alike, or fewer than ``LEAST_IMAGES``, so that nothing can be compared.
    """
    n = len(features)
    if n < LEAST_IMAGES:
        return np.full(n * (n - 1) // 2, np.nan, np.float16)
    features = features - features.mean(axis=0)
    scale = np.abs(features).max()
    features = features / scale if scale else features  # which CKA does not depend on, but its precision does
    gram = (features @ features.T).astype(np.float64)
    np.fill_diagonal(gram, 0)
    sums = gram.sum(axis=0) / (n - 2)
    centred = gram - sums - sums[:, np.newaxis] + sums.sum() / (n - 1)
    vector = centred[np.triu_indices(n, k=1)]
    spread = np.sqrt(np.mean(vector**2))
    return (vector / spread if scale and spread else np.full(len(vector), np.nan)).astype(np.float16)
