"""Handlers of an exported model: what a request says, what the model answers, how the answer is written.

This one file goes into every archive as ``code/inference.py`` and is what the local endpoint runs too. It speaks both
of SageMaker's handler contracts: ``model_fn``, ``input_fn``, ``predict_fn``, ``output_fn`` (the local endpoint, our
container, images with the inference toolkit), and ``input_handler``, ``output_handler`` (the TensorFlow Serving image).
That image has neither NumPy nor TensorFlow in its Python, so only the standard library is imported here at the top.

An image is raw pixels, 0 to 255, without any preparation: the model scales them itself.
"""

import json
import math
import os
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

MAX_IMAGES = 256
"""Images in one request at most."""

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


class Model(NamedTuple):
    """A loaded model: ``predict`` takes float32 (n, height, width, channels) and gives probabilities (n, classes)."""

    predict: Callable[[Any], Any]
    input_shape: tuple[int, ...]
    labels: list[str]
    runtime: str


class Prediction(NamedTuple):
    """Class probabilities of each image, and the classes' names in their order."""

    probabilities: list[list[float]]
    labels: list[str]


class BadRequest(ValueError):
    """What the sender can mend; the message says how. ``status`` is the HTTP status that fits."""

    status = 400


class TooLarge(BadRequest):
    status = 413


class UnsupportedType(BadRequest):
    status = 415


class NotAcceptable(BadRequest):
    status = 406


# ---------------------------------------------------------------------------------------------------------------------
# model_fn, input_fn, predict_fn, output_fn


def model_fn(model_dir: str | Path) -> Model:
    """Load the exported model in ``model_dir``.

    The environment variable CONVLAB_RUNTIME names the runtime, ``onnx`` (the default where there is a model.onnx) or
    ``saved_model``; CONVLAB_THREADS the threads of one prediction (1: small models are fastest so).
    """
    import numpy as np

    folder = Path(model_dir)
    about = description(folder)
    runtime = os.environ.get("CONVLAB_RUNTIME") or ("onnx" if (folder / "model.onnx").is_file() else "saved_model")
    load = {"onnx": load_onnx, "saved_model": load_saved_model}[runtime]
    threads = int(os.environ.get("CONVLAB_THREADS") or 1)
    model = Model(load(folder, threads), tuple(about["input_shape"]), about["labels"], runtime)
    model.predict(np.zeros((1, *model.input_shape), np.float32))  # the first call is slower: not at a user's expense
    return model


def input_fn(body: bytes | str, content_type: str | None = JSON) -> Any:
    """Images as the request holds them, of any shape yet: nested lists, or an array for NumPy's format.

    Args:
        body: bytes (or text) of a request.
        content_type: application/json, text/csv or application/x-npy.

    Raises:
        BadRequest: it cannot be read, or the type is none of these.
    """
    kind = (content_type or JSON).split(";")[0].strip().lower()
    if kind == NPY:
        return _from_npy(body)
    if kind not in (JSON, CSV):
        raise UnsupportedType(f"content type {kind[:100]} is not supported; send {JSON}, {CSV} or {NPY}")
    try:
        text = body if isinstance(body, str) else bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None
    return _from_json(text) if kind == JSON else _from_csv(text)


def predict_fn(images: Any, model: Model) -> Prediction:
    """Class probabilities of images in any of the shapes that ``input_shape`` allows, as a Prediction."""
    import numpy as np

    count, pixels = flat_pixels(images, model.input_shape)
    batch = np.frombuffer(pixels, np.float32).reshape(count, *model.input_shape)
    return Prediction(model.predict(batch).tolist(), model.labels)


def output_fn(prediction: Prediction, accept: str | None = JSON) -> tuple[str, str]:
    """The answer as JSON text and its content type: class, label and probabilities of every image."""
    wanted = {part.split(";")[0].strip().lower() for part in (accept or JSON).split(",")}
    if not wanted & {JSON, "application/*", "*/*", ""}:
        raise NotAcceptable(f"cannot answer with {', '.join(sorted(wanted))[:100]}; accept {JSON}")
    rows = []
    for probabilities in prediction.probabilities:
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        rows.append({"class": best, "label": prediction.labels[best], "probabilities": probabilities})
    return json.dumps({"predictions": rows}, separators=(",", ":")), JSON


# ---------------------------------------------------------------------------------------------------------------------
# input_handler, output_handler: SageMaker's TensorFlow Serving image, which runs the SavedModel in a process of its own


def input_handler(data: Any, context: Any) -> str:
    """The request as TensorFlow Serving's REST interface takes it."""
    input_shape = _packed_with()["input_shape"]
    _, pixels = flat_pixels(input_fn(data.read(), context.request_content_type), input_shape)
    nested = list(pixels)
    for size in reversed(input_shape):
        nested = [nested[start : start + size] for start in range(0, len(nested), size)]
    return json.dumps({"instances": nested})


def output_handler(response: Any, context: Any) -> tuple[str, str]:
    """TensorFlow Serving's response as ``output_fn`` writes it."""
    if response.status_code != 200:
        raise ValueError(response.content.decode("utf-8"))
    probabilities = json.loads(response.content.decode("utf-8"))["predictions"]
    return output_fn(Prediction(probabilities, _packed_with()["labels"]), context.accept_header)


@cache
def _packed_with() -> dict[str, Any]:
    """The description of the model in whose archive this file lies, as ``code/inference.py``."""
    return description(Path(__file__).resolve().parent.parent)


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def description(folder: Path) -> dict[str, Any]:
    """``input_shape`` (height, width, channels) and ``labels`` of the exported model in ``folder``."""
    exported = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return {"input_shape": exported["input"]["shape"], "labels": labels}


def _from_json(text: str) -> list:
    """``{"instances": images}``, the images alone, or either as text inside of JSON, as older clients send it."""
    try:
        value = json.loads(text, parse_constant=_no_number)
        if isinstance(value, str):
            value = json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise BadRequest(f"the body is not valid JSON: {reason}") from None
    if isinstance(value, dict):
        if "instances" not in value:
            raise BadRequest('the body has no "instances"; send {"instances": [image, ...]}')
        value = value["instances"]
    if not isinstance(value, list):
        raise BadRequest('the images should be a list: {"instances": [image, ...]}')
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no pixel value")


def _from_csv(text: str) -> list[list[float]]:
    """One image a line, its pixels row by row, channels innermost."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(value) for value in line.split(",")])
        except ValueError:
            raise BadRequest(f"line {number} is not numbers separated by commas; send pixels only, no header") from None
    return rows


def _from_npy(body: bytes) -> Any:
    """An array in NumPy's format, read without unpickling; a header that promises more than there is costs nothing."""
    try:
        import numpy as np
    except ImportError:
        raise UnsupportedType(f"{NPY} is not supported by this image; send {JSON} or {CSV}") from None
    from io import BytesIO

    stream = BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, in_columns, dtype = read(stream)
        if dtype.hasobject or dtype.kind not in "uif":
            raise BadRequest(f"the array holds {dtype}; send numbers, uint8 or float32")
        values = np.frombuffer(body, dtype, offset=stream.tell())
        return values.reshape(shape, order="F" if in_columns else "C")
    except BadRequest:
        raise
    except Exception as error:  # NumPy raises a dozen types for a damaged header
        raise BadRequest(f"the body is not an array in NumPy's .npy format ({str(error)[:200]})") from None


def flat_pixels(images: Any, input_shape: Sequence[int]) -> tuple[int, Any]:
    """How many images there are, and their pixels one after another, as a buffer of float32.

    Args:
        images: nested lists or an array: (n, height, width, channels), (n, height, width) where there is one channel,
            or (n, height × width × channels); or one image, without n.
        input_shape: (height, width, channels).

    Raises:
        BadRequest: another shape, no image or too many, something that is no number, or a pixel outside 0 to 255.
    """
    listed = isinstance(images, list)
    shape = _shape(images) if listed else tuple(images.shape)
    count = _count(shape, tuple(input_shape))
    if count > MAX_IMAGES:
        raise TooLarge(f"{count} images in one request are too many; send {MAX_IMAGES} at most")
    if listed:
        pixels = _flatten(images, shape)
        inside = math.isfinite(sum(pixels)) and min(pixels) >= 0 and max(pixels) <= 255
    else:
        inside = bool(((images >= 0) & (images <= 255)).all())  # not so for NaN
        pixels = images.astype("float32").ravel() if inside else images
    if not inside:
        raise BadRequest("pixels should be raw values between 0 and 255; the model scales them itself")
    return count, pixels


def _shape(images: Any) -> tuple[int, ...]:
    """Lengths of nested lists, along the first item of each."""
    lengths = []
    while isinstance(images, list):
        lengths.append(len(images))
        images = images[0] if images else None
    return tuple(lengths)


def _count(shape: tuple[int, ...], expected: tuple[int, ...]) -> int:
    """How many images an array of this shape holds."""
    forms = [expected, (math.prod(expected),)]
    if expected[-1] == 1:
        forms.append(expected[:-1])
    for form in forms:
        if shape[1:] == form and shape[0]:
            return shape[0]
    if shape in forms:
        return 1
    wanted = " or ".join("[n" + "".join(f", {size}" for size in form) + "]" for form in forms)
    if shape[:1] == (0,):
        raise BadRequest(f"there is no image; send an array of shape {wanted}")
    raise BadRequest(f"the images have shape {list(shape[:8])}; this model takes {wanted}")


def _flatten(images: list, shape: tuple[int, ...]) -> array:
    """The numbers in nested lists of exactly this shape."""
    rows = [images]
    try:
        for length in shape:
            if not all(isinstance(row, list) and len(row) == length for row in rows):
                raise BadRequest("the images are not all of the same shape, or hold something that is no number")
            rows = list(chain.from_iterable(rows))
        return array("f", rows)
    except (TypeError, OverflowError):
        raise BadRequest("pixels should be numbers between 0 and 255") from None


# ---------------------------------------------------------------------------------------------------------------------
# Runtimes


def load_onnx(folder: Path, threads: int) -> Callable:
    """``predict`` of ``model.onnx`` in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def load_saved_model(folder: Path, threads: int) -> Callable:
    """``predict`` of ``saved_model/1`` in TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "saved_model" / "1"))
    call = loaded.signatures["serving_default"]

    def predict(batch, keep=loaded):  # the signature does not keep the model's variables alive
        return call(pixels=tf.constant(batch))["probabilities"].numpy()

    return predict
