"""Describe a model whose layers are known only once it is built: check it on real images, and count what it costs.

For a user's own Keras code, before any of its runs is trained. What it writes has the code, too, which the runs are
then trained with.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from convlab.common.cli import run
from convlab.common.files import read_json, write_json
from convlab.common.outputs import job_results
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.models.registry import as_model
from convlab.models.specs import BaseModelSpec
from convlab.models.user_code import UserCode
from convlab.runtime import backend

SEEDS = (0, 1)
"""With each of which the model is built once."""

BATCH = 8
"""Training images on which the model is tried."""

TOLERANCE = {"float32": 1e-3, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}
"""Largest difference from 1 of a sum of probabilities that rounding explains, by precision."""

log = logging.getLogger("describe")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built-by", required=True, type=json.loads, help="model, backend and precision, as JSON")
    parser.add_argument("--file", required=True, type=Path, help="the user's own Python file")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    arguments = parser.parse_args(argv)
    with job_results(arguments.output):
        write_json(arguments.output, description(arguments))


def description(arguments: argparse.Namespace) -> dict[str, Any]:
    """Layers and costs of the model, and the text of its files. Raises UserError for one that cannot be used."""
    built_by = arguments.built_by
    try:
        code = UserCode.read(arguments.file.expanduser())
    except ValueError as error:
        raise UserError(f"the model {error}") from None
    spec = as_model(built_by["model"]).with_sources(code.texts, code.folder)
    backend.configure(built_by["backend"], arguments.threads)  # before these import Keras
    from convlab.models.built_cost import as_json, built_cost
    from convlab.runtime.keras_runtime import keras, use_threads

    use_threads(arguments.threads)
    manifest, (images, _) = read_json(arguments.data_dir / "manifest.json"), prepared.load_train(arguments.data_dir)
    shape, classes = images.shape[1:], len(manifest["classes"])
    models = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        models.append(built(spec, shape, classes, built_by["precision"]))
    model = models[0]
    check_seeds(*models, spec)
    check(model, images[:BATCH], classes, built_by, spec)
    cost = built_cost(model, shape, keras)
    log.info(
        "%d parameters, %d MACs; not counted: %s", cost.parameters, cost.macs, ", ".join(cost.uncounted) or "nothing"
    )
    record = {"format": 1, "built_by": built_by, "input_shape": list(shape), "classes": classes}
    return {**record, **as_json(cost), "sources": dict(spec.sources)}


def built(spec: BaseModelSpec, shape: tuple[int, int, int], classes: int, precision: str) -> Any:
    """The model as it is trained. Raises UserError for one that cannot be part of another."""
    from convlab.training.network import build

    try:
        return build(spec, shape, classes, precision)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{source(spec)} returns a model that does not take the images: {brief(error, spec)}") from None


def source(spec: Any) -> str:
    """The function and its file, for messages."""
    return f"{spec.function} in {spec.user_code.shown(spec.user_code.file)}"


def brief(error: Exception, spec: BaseModelSpec) -> str:
    """An exception's message: with the frames of the user's code if it has any, else its first words."""
    explained = spec.explained(error)
    return str(explained) if isinstance(explained, UserError) else " ".join(str(error).split())[:400]


def check(model: Any, images: np.ndarray, classes: int, built_by: Mapping[str, Any], spec: BaseModelSpec) -> None:
    """Raise UserError for a model that does not give probabilities, does not learn, or cannot be loaded again."""
    from convlab.runtime.keras_runtime import keras

    try:
        output = model(images, training=True)  # first, since it moves the averages of batch normalisation
        if isinstance(output, dict | list | tuple):
            raise UserError(
                f"{source(spec)} returns a model whose output is a {type(output).__name__} of {len(output)}; it should "
                "be one tensor, a probability for each class"
            )
        probabilities = numbers(model(images, training=False))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{source(spec)} returns a model that fails on images: {brief(error, spec)}") from None
    expected = (len(images), classes)
    if probabilities.shape != expected:
        raise UserError(
            f"{source(spec)} returns a model whose output for {len(images)} images is {probabilities.shape}; it should "
            f"be {expected}, a probability for each class: end with Dense(classes, activation='softmax')"
        )
    if not np.isfinite(probabilities).all():
        raise UserError(
            f"{source(spec)} returns a model whose output is not finite before it is trained; mend its layers"
        )
    off = np.abs(probabilities.sum(axis=1) - 1).max()
    if off > TOLERANCE[built_by["precision"]] or probabilities.min() < 0:
        raise UserError(
            f"{source(spec)} returns a model whose outputs are no probabilities (they add up to "
            f"{probabilities.sum(axis=1)[0]:.3g}, the least is {probabilities.min():.3g}); end with a softmax"
        )
    if not model.trainable_weights:
        raise UserError(f"{source(spec)} returns a model without trainable weights; there is nothing to train")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            loaded = keras.models.load_model(path, compile=False, safe_mode=True)
            again = loaded.predict_on_batch(images)
        except Exception as error:
            raise UserError(
                f"{source(spec)} returns a model that cannot be saved and loaded: {brief(error, spec)}; layer classes "
                "of your own need @keras.saving.register_keras_serializable() and a get_config() with their arguments"
            ) from None
    if not np.allclose(again, probabilities, atol=TOLERANCE[built_by["precision"]]):
        raise UserError(
            f"{source(spec)} returns a model that predicts something else after it was saved and loaded; create all "
            "weights in the layers' __init__ or build, and name all arguments in get_config"
        )


def check_seeds(model: Any, again: Any, spec: Any) -> None:
    """Raise UserError for a function that returns another network with another seed, or the same initial weights."""
    first, second = ([tuple(weight.shape) for weight in network.weights] for network in (model, again))
    if first != second:
        raise UserError(
            f"{source(spec)} returns another network each time, of {model.count_params():,} and then "
            f"{again.count_params():,} parameters; take what it draws at random as an argument"
        )
    drawn = [
        pair
        for weights in zip(model.trainable_weights, again.trainable_weights, strict=True)
        if np.ptp((pair := [numbers(weight) for weight in weights])[0]) > 0
    ]
    seeded = any("seed" in text for text in spec.sources.values())  # else they are read from a file
    if seeded and drawn and all(np.array_equal(*pair) for pair in drawn):
        raise UserError(
            f"{source(spec)} returns the same initial weights with every seed, since it sets one of its own; remove "
            "that, since repetitions with other seeds would not be independent"
        )


def numbers(tensor: Any) -> np.ndarray:
    """Any backend's tensor as float32."""
    from convlab.runtime.keras_runtime import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)


if __name__ == "__main__":
    run(main)
