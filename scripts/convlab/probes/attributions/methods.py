"""Grad-CAM, integrated gradients and occlusion for a Keras model on any backend: maps of what a class's score rests on.

What is explained is the centred logit of a class, its logit minus the mean of all logits. Probabilities saturate, so
that confident predictions would have no gradient; and adding one function of the image to all logits changes no
prediction, so it should change no map either. Maps are float32 (n, height, width), positive where a pixel speaks for
the class; channels are summed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from convlab.evaluation import layers
from convlab.evaluation.gradients import gradient
from convlab.runtime.keras_runtime import keras

BATCH_PIXELS = 250 * 32 * 32
"""Pixels that pass through a network at once."""

LEAST_PROBABILITY = 1e-30
"""Smaller probabilities count as this one where logits have to be computed from them."""

NO_FINER_LAYERS = (*layers.POOLINGS, keras.layers.Dropout, keras.layers.SpatialDropout2D)
"""Layers whose output is a feature map that they made coarser, or left as it is."""


@dataclass(frozen=True)
class Scorer:
    """Centred logits of a network: ``head`` behind ``trunk``, tensors in, tensors out.

    Attributes:
        trunk: float32 pixels (n, height, width, channels) -> what the head takes.
        head: that -> centred logits (n, classes).
    """

    trunk: Any
    head: Callable[[Any], Any]

    def __call__(self, pixels: Any) -> Any:
        return self.head(self.trunk(pixels, training=False))

    def of_classes(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The score of one class for each image, float32 (n,)."""
        scores = [keras.ops.convert_to_numpy(self(pixels[part])) for part in batches(pixels)]
        return np.concatenate(scores)[np.arange(len(labels)), labels].astype(np.float32)


def scorer(model: Any) -> Scorer:
    """Centred logits of a Keras model from float32 pixels to class probabilities.

    They are computed before the softmax where the last layer is a dense one with it, and else from the probabilities.
    """
    last = model.layers[-1]
    if isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax:

        def head(hidden):
            return centred(keras.ops.add(keras.ops.matmul(hidden, last.kernel), last.bias))

        return Scorer(keras.Model(model.inputs[0], last.input), head)
    return Scorer(model, lambda given: centred(keras.ops.log(keras.ops.maximum(given, LEAST_PROBABILITY))))


def centred(logits: Any) -> Any:
    """Logits (n, classes) minus their mean over the classes, float32."""
    logits = keras.ops.cast(logits, "float32")
    return logits - keras.ops.mean(logits, axis=-1, keepdims=True)


def batches(images: np.ndarray, copies: int = 1) -> Iterator[slice]:
    """Parts of ``images`` that pass through a network at once, each image so many times."""
    size = max(1, BATCH_PIXELS // (copies * images.shape[1] * images.shape[2]))
    return (slice(start, start + size) for start in range(0, len(images), size))


def _gradients(scores: Callable[[Any], Any], inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Gradient of each image's score for its class, of the shape of ``inputs``."""
    parts = []
    for part in batches(inputs):
        chosen = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[part]]

        def total(tensor, chosen=chosen):
            return keras.ops.sum(keras.ops.multiply(scores(tensor)[:, : chosen.shape[1]], chosen))

        parts.append(gradient(total, inputs[part]))
    return np.concatenate(parts)


# ---------------------------------------------------------------------------------------------------------------------
# Integrated gradients


def integrated_gradients(
    score: Scorer, images: np.ndarray, labels: np.ndarray, baseline: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Integrated gradients (Sundararajan et al. 2017) along the straight line from a baseline to each image.

    Args:
        images: (n, height, width, channels); labels: (n,), the class that is explained.
        baseline: of the shape of ``images``, or one that is repeated to it.
        steps: points on the line, in the middle of equal parts of it.

    Returns:
        The maps, and how far each is from complete: the difference between its sum and that of the score at the image
        and at the baseline, over the latter (n,).
    """
    images = images.astype(np.float32)
    baseline = np.broadcast_to(baseline, images.shape).astype(np.float32)
    shares = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    maps = np.empty(images.shape[:3], np.float32)
    for part in batches(images, steps):
        difference = images[part] - baseline[part]
        points = baseline[part][:, None] + shares[:, None, None, None] * difference[:, None]
        gradients = _gradients(score, points.reshape(-1, *images.shape[1:]), np.repeat(labels[part], steps))
        maps[part] = np.sum(difference * gradients.reshape(points.shape).mean(axis=1), axis=-1)
    change = score.of_classes(images, labels) - score.of_classes(baseline, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        missing = np.abs(maps.sum(axis=(1, 2)) - change) / np.abs(change)
    return maps, missing


# ---------------------------------------------------------------------------------------------------------------------
# Occlusion


def occlusion(
    score: Scorer, images: np.ndarray, labels: np.ndarray, fill: np.ndarray, patch: int, stride: int
) -> np.ndarray:
    """Occlusion (Zeiler and Fergus 2014): how much a class's score falls where a square of the image is covered.

    A pixel gets the mean over the squares that cover it, as in Captum. The last square of a row or column ends at the
    image's edge, whatever the stride.

    Args:
        images: (n, height, width, channels); labels: (n,), the class that is explained.
        fill: what covers the square, of a shape that is repeated to (n, 1, 1, channels).
        patch: side of the square; stride: from one square to the next. Pixels; the patch is not larger than the image.
    """
    images = images.astype(np.float32)
    height, width = images.shape[1:3]
    whole = score.of_classes(images, labels)
    total, covered = np.zeros(images.shape[:3], np.float32), np.zeros((height, width), np.float32)
    for top in corners(height, patch, stride):
        for left in corners(width, patch, stride):
            window = (slice(top, top + patch), slice(left, left + patch))
            changed = images.copy()
            changed[:, *window] = fill
            total[:, *window] += (whole - score.of_classes(changed, labels))[:, None, None]
            covered[window] += 1
    return total / covered


def corners(side: int, patch: int, stride: int) -> list[int]:
    """First pixels of squares along an axis of ``side`` pixels, the last of which ends at the edge."""
    return sorted({*range(0, side - patch + 1, stride), side - patch})


# ---------------------------------------------------------------------------------------------------------------------
# Grad-CAM


@dataclass(frozen=True)
class FeatureMap:
    """A network cut at a feature map: ``before`` gives it for pixels, ``scores`` the centred logits for it."""

    before: Callable[[Any], Any]
    scores: Callable[[Any], Any]


def last_feature_map(score: Scorer) -> FeatureMap | None:
    """The last feature map (n, height, width, channels) of a convolution through which every path to the output goes.

    It is taken before pooling, which only makes it coarser. None where there is none: without a convolution, where
    attention follows, with branches that meet behind the last map, or in code whose layers Keras does not know.
    """
    cut = None if layers.last_feature_map(score.trunk) is None else _cut(score.trunk)
    if cut is None:
        return None
    before, after = cut
    return FeatureMap(before, lambda features: score.head(after(features)))


def _cut(model: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:
    """A model as two functions, up to its last feature map and from there on; None without one."""
    for number, layer in reversed(list(enumerate(model.layers))):
        if isinstance(layer, keras.Model):  # in a chain, as a user's own model is; its tensors are those inside of it
            inner = _cut(layer) if hasattr(layer, "output") else None
            if inner is None or not number:
                return None
            before = _between(model.inputs[0], model.layers[number - 1].output)
            last = number + 1 == len(model.layers)
            after = None if last else _between(model.layers[number + 1].input, model.outputs[0])
            return partial(_in_turn, before, inner[0]), partial(_in_turn, inner[1], after or _unchanged)
        if len(getattr(getattr(layer, "output", None), "shape", ())) == 4 and not isinstance(layer, NO_FINER_LAYERS):
            before = _between(model.inputs[0], layer.output)
            after = _between(layer.output, model.outputs[0])
            if after is not None and any(isinstance(part, layers.CONVOLUTIONS) for part in before.layers):
                return partial(before, training=False), partial(after, training=False)
    return None


def _unchanged(given: Any) -> Any:
    return given


def _between(start: Any, end: Any) -> Any:
    """The layers between two tensors as a model; None where a path to ``end`` does not go through ``start``."""
    try:
        return keras.Model(start, end)
    except ValueError:
        return None


def _in_turn(first: Callable[[Any], Any], second: Callable[[Any], Any], given: Any) -> Any:
    return second(first(given))


def grad_cam(cut: FeatureMap, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017), enlarged to the images by bilinear interpolation; not negative.

    Args:
        images: (n, height, width, channels); labels: (n,), the class that is explained.
    """
    maps = []
    for part in batches(images):
        features = keras.ops.convert_to_numpy(keras.ops.cast(cut.before(images[part].astype(np.float32)), "float32"))
        weights = _gradients(cut.scores, features, labels[part]).mean(axis=(1, 2), keepdims=True)
        maps.append(np.maximum(np.sum(weights * features, axis=-1, keepdims=True), 0))
    enlarged = keras.ops.image.resize(np.concatenate(maps), images.shape[1:3], interpolation="bilinear")
    return keras.ops.convert_to_numpy(enlarged)[..., 0]
