"""ONNX export of a Keras model: by tf2onnx from a TensorFlow function, or by torch.onnx where Keras runs on PyTorch.

Weights do not belong to a backend, so a model that JAX trained is rebuilt on whichever of the two is there.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from convlab.common.files import atomic
from convlab.runtime.keras_runtime import BACKEND, keras, tf

INPUT, OUTPUT = "pixels", "probabilities"

OPSETS = {"tensorflow": 17, "torch": 18}
"""Version of ONNX' operators by the backend that writes them: torch.onnx writes none older than 18. 17 was tried with
ONNX Runtime 1.15 (2023) and the pinned one, 18 with the pinned one."""

IR_VERSION = 8
"""Version of the file's format: that of opsets 17 and 18, which older runtimes read."""

BATCH_DIMENSION = "n"
"""Name of the ONNX file's first dimension."""


def write_onnx(model, path: Path, labels: Sequence[str]) -> dict[str, int]:
    """Write the model as ONNX, any number of images at once, the classes' names among its properties.

    ``model`` takes float32 pixels and computes in float32. Returns what a runtime has to know: ``opset`` and
    ``ir_version``.
    """
    import onnx

    proto = _by_torch(model) if BACKEND == "torch" else _by_tensorflow(model)
    onnx.helper.set_model_props(proto, {"labels": json.dumps(list(labels), ensure_ascii=False), "pixels": "0 to 255"})
    used = {node.domain for node in [*proto.graph.node, *(node for f in proto.functions for node in f.node)]}
    kept = [opset for opset in proto.opset_import if opset.domain in used]  # the converter names ai.onnx.ml as well
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH_DIMENSION  # the converter: unk__36
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto)
    with atomic(path) as temporary:
        onnx.save(proto, temporary)
    (opset,) = [opset.version for opset in kept if opset.domain == ""]
    return {"opset": opset, "ir_version": proto.ir_version}


def tensorflow_function(model):
    """The model as a concrete TensorFlow function for any batch size, with named input and output."""
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)
    return tf.function(lambda pixels: {OUTPUT: model(pixels, training=False)}, input_signature=[pixels])


def _by_tensorflow(model):
    """The model's ONNX protocol buffer, by tf2onnx."""
    import tf2onnx

    _teach_erfc()
    function = tensorflow_function(_convertible(model))
    signature = function.input_signature
    return tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSETS["tensorflow"])[0]


def _by_torch(model):
    """The model's ONNX protocol buffer, by torch.onnx, without the stack traces that it notes of each node."""
    import torch

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels):
            return self.model(pixels, training=False)

    images = keras.ops.zeros((2, *model.input_shape[1:]), "float32")  # of one torch.onnx would make a constant
    program = torch.onnx.export(
        Served().eval(), (images,), input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSETS["torch"],
        dynamic_shapes=({0: torch.export.Dim(BATCH_DIMENSION)},), dynamo=True, verbose=False,
    )  # fmt: skip
    proto = program.model_proto
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for noted in (proto, graph, *graph.node, *values, *proto.functions):
        del noted.metadata_props[:]
        noted.doc_string = ""
    return proto


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
