"""Export of a trained model: a SavedModel with a named signature, and ONNX."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from convlab.common.files import atomic, write_json
from convlab.runtime.keras_runtime import keras, tf
from convlab.serving.pack import CODE
from convlab.training.network import build
from convlab.training.run_spec import Run

SIGNATURE = "serving_default"
INPUT, OUTPUT = "pixels", "probabilities"

OPSET = 17
"""Version of ONNX' operators. Tried with ONNX Runtime 1.15 (2023) and the pinned one."""

BATCH_DIMENSION = "n"
"""Name of the ONNX file's first dimension."""

HANDLERS = Path(__file__).resolve().parent
"""Folder of the files packed beside the model: ``pack.CODE`` and ``requirements.txt``."""


def inference_model(model, run: Run, input_shape: tuple[int, int, int], classes: int):
    """The trained model for inference on any machine: the same weights, in float32, without augmentation.

    It takes float32 pixels (batch, height, width, channels) from 0 to 255, whole or not; the model that was trained
    takes bytes. Reduced precision trains faster where the processor has it and is slow or absent elsewhere.
    """
    twin = build(run.model, input_shape, classes, "float32", pixels="float32")
    twin.set_weights(model.get_weights())
    return twin


def write_artifact(model, folder: Path, labels: Sequence[str]) -> dict[str, int]:
    """Write all files that a server needs except ``export.json``: SavedModel, ONNX, labels, handlers.

    ``model`` is from :func:`inference_model`. Returns what :func:`write_onnx` does.
    """
    write_saved_model(model, folder / "saved_model")
    versions = write_onnx(model, folder / "model.onnx", labels)
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
    module.serve = _function(model)
    with atomic(folder) as unfinished:
        tf.saved_model.save(module, str(unfinished / "1"), signatures={SIGNATURE: module.serve})


def write_onnx(model, path: Path, labels: Sequence[str]) -> dict[str, int]:
    """Write the model as ONNX, any number of images at once, the classes' names among its properties.

    Returns what a runtime has to know: ``opset`` and ``ir_version``.
    """
    import onnx
    import tf2onnx

    _teach_erfc()
    function = _function(_convertible(model))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    onnx.helper.set_model_props(proto, {"labels": json.dumps(list(labels), ensure_ascii=False), "pixels": "0 to 255"})
    used = {node.domain for node in [*proto.graph.node, *(node for f in proto.functions for node in f.node)]}
    kept = [opset for opset in proto.opset_import if opset.domain in used]  # the converter names ai.onnx.ml as well
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH_DIMENSION  # the converter: unk__36
    onnx.checker.check_model(proto)
    with atomic(path) as temporary:
        onnx.save(proto, temporary)
    (opset,) = [opset.version for opset in kept if opset.domain == ""]
    return {"opset": opset, "ir_version": proto.ir_version}


def _convertible(model):
    """The model with grouped convolutions as TensorFlow's plain operation, which tf2onnx converts.

    Keras compiles them with XLA, without which TensorFlow cannot train them on processors; tf2onnx knows no such calls.
    """

    class Grouped(keras.layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            return tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate)

    def is_grouped(layer) -> bool:
        return isinstance(layer, keras.layers.Conv2D) and layer.groups > 1

    if not any(map(is_grouped, model.layers)):
        return model
    twin = keras.models.clone_model(
        model,
        clone_function=lambda layer: (Grouped if is_grouped(layer) else type(layer)).from_config(layer.get_config()),
    )
    twin.set_weights(model.get_weights())
    return twin


@cache
def _teach_erfc() -> None:
    """Register a conversion of TensorFlow's Erfc, which GELU uses and tf2onnx 1.17 lacks: 1 - Erf."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, context, node, **kwargs):
            output = node.output[0]
            signature = {"shapes": [context.get_shape(output)], "dtypes": [context.get_dtype(output)]}
            context.remove_node(node.name)
            erf = context.make_node("Erf", node.input)
            constant = context.make_const(f"{node.name}_one", np.float32(1))
            context.make_node("Sub", [constant.output[0], erf.output[0]], outputs=[output], name=node.name, **signature)


def _function(model):
    """The model as a concrete function for any batch size, with named input and output."""
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)
    return tf.function(lambda pixels: {OUTPUT: model(pixels, training=False)}, input_signature=[pixels])


def single_image(model) -> Callable[[np.ndarray], np.ndarray]:
    """The trained model as a compiled function of one uint8 image, for measuring its latency."""
    forward = tf.function(lambda batch: model(batch, training=False))
    return lambda image: forward(tf.constant(image[None])).numpy()[0]
