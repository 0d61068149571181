"""Export of a trained model: all files that a server needs."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from convlab.common.files import atomic, write_json
from convlab.runtime.keras_runtime import BACKEND, tf
from convlab.serving.onnx_files import tensorflow_function, write_onnx
from convlab.serving.pack import CODE
from convlab.serving.weights import write_weights
from convlab.training.network import build
from convlab.training.run_spec import Run

SIGNATURE = "serving_default"

HANDLERS = Path(__file__).resolve().parent
"""Folder of the files packed beside the model: ``pack.CODE`` and ``requirements.txt``."""


def inference_model(model, run: Run, input_shape: tuple[int, int, int], classes: int):
    """The trained model for inference on any machine: the same weights, in float32, without augmentation.

    It takes float32 pixels (batch, height, width, channels) from 0 to 255, whole or not; the model that was trained
    takes bytes. Reduced precision trains faster where the processor has it and is slow or absent elsewhere.
    """
    twin = untrained_model(run, input_shape, classes)
    twin.set_weights(model.get_weights())
    return twin


def untrained_model(run: Run, input_shape: tuple[int, int, int], classes: int):
    """A model of this run's architecture for inference, with random weights."""
    return build(run.model, input_shape, classes, "float32", pixels="float32")


def write_artifact(model, folder: Path, labels: Sequence[str], formats: Sequence[str]) -> dict[str, int]:
    """Write all files that a server needs except ``export.json``: ONNX, labels, handlers, and what else is asked for.

    Args:
        model: from :func:`inference_model`.
        formats: of which ``saved_model`` and ``safetensors`` are written here.

    Returns:
        What :func:`onnx_files.write_onnx` does.
    """
    versions = write_onnx(model, folder / "model.onnx", labels)
    if "saved_model" in formats:
        write_saved_model(model, folder / "saved_model")
    if "safetensors" in formats:
        write_weights(model, folder / "model.safetensors")
    write_json(folder / "labels.json", list(labels))
    for name in (*CODE, "requirements.txt"):
        with atomic(folder / "code" / name) as temporary:
            shutil.copyfile(HANDLERS / name, temporary)
    return versions


def write_saved_model(model, folder: Path) -> None:
    """Write ``folder/1``, a SavedModel whose signature ``serving_default`` takes pixels and returns probabilities.

    TensorFlow Serving requires a version number as the folder's name. The write is atomic. Keras' ExportArchive
    would store every weight twice.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tensorflow_function(model)
    with atomic(folder) as unfinished:
        tf.saved_model.save(module, str(unfinished / "1"), signatures={SIGNATURE: module.serve})


def single_image(model) -> Callable[[np.ndarray], np.ndarray]:
    """The trained model as a function of one uint8 image, compiled by TensorFlow if it is that, to measure latency."""
    if BACKEND != "tensorflow":
        return lambda image: model.predict_on_batch(image[None])[0]
    forward = tf.function(lambda batch: model(batch, training=False))
    return lambda image: forward(tf.constant(image[None])).numpy()[0]
