"""A model as an export leaves it, made without TensorFlow, and the results of a study that deploying reads."""

import json
from pathlib import Path

import numpy as np
import onnx

from builders.project import ROOT
from convlab.common.files import array_sha256, write_arrays, write_json
from convlab.serving import inference
from convlab.serving.pack import CODE

MODEL_SHAPE, MODEL_LABELS = (4, 4, 1), ["zero", "one", "two"]


SERVING = ROOT / "scripts/convlab/serving"


def write_linear_model(folder: Path, shape=MODEL_SHAPE, labels=MODEL_LABELS, name: str = "pixels") -> Path:
    """An exported model as a server takes it: a linear classifier of raw pixels, made without TensorFlow."""
    size = int(np.prod(shape))
    weights = np.random.default_rng(0).normal(scale=0.01, size=(size, len(labels))).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Flatten", [name], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
            onnx.helper.make_node("Softmax", ["scores"], ["probabilities"]),
        ],
        "linear",
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, *shape])],
        [onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, [None, len(labels)])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (folder / "code").mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "labels.json").write_text(json.dumps(labels))
    (folder / "export.json").write_text(json.dumps({"input": {"shape": list(shape)}}))
    for file in (*CODE, "requirements.txt"):
        (folder / "code" / file).write_bytes((SERVING / file).read_bytes())
    return folder


TOY_IMAGES, TOY_CLASSES = 90, np.arange(90) % 3


def write_deployable_study(folder: Path) -> Path:
    """A study's folder as far as deploying reads it; the model is the one of the serving tests."""
    images = np.random.default_rng(2).integers(0, 256, (TOY_IMAGES, *MODEL_SHAPE), dtype=np.uint8)
    arrays = {"x_train": images[:3], "y_train": TOY_CLASSES[:3], "x_test": images, "y_test": TOY_CLASSES}
    write_arrays(folder / "prepare/toys/data.npz", **arrays)
    checksums = {name: {"sha256": array_sha256(array)} for name, array in arrays.items()}
    write_json(folder / "prepare/toys/manifest.json", {"format": 1, "arrays": checksums, "classes": MODEL_LABELS})
    model_dir = write_linear_model(folder / "export/toys")
    write_json(
        model_dir / "export.json",
        {
            "dataset": "toys", "variant": "cnn", "seed": 2, "spec_hash": "0123456789abcdef",
            "files_sha256": {"model.onnx": "00"}, "input": {"shape": MODEL_SHAPE},
        },
    )  # fmt: skip
    write_json(model_dir / "parity.json", {"tolerance": 1e-4})
    probabilities = inference.predict_fn(images, inference.model_fn(model_dir)).probabilities
    probabilities = np.array([probabilities], np.float32)
    write_arrays(folder / "evaluate/toys/cnn/predictions.npz", seeds=np.array([2]), probabilities=probabilities)
    return folder
