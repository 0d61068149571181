"""Inference handlers of an exported model: reading requests, predicting, formatting responses.

This file is copied into every archive as ``code/inference.py``, with ``request_forms.py`` beside it, and the local
endpoint runs that copy. It implements both of SageMaker's handler contracts:
``model_fn``, ``input_fn``, ``predict_fn``, ``output_fn`` (the local endpoint, our container, images with the inference
toolkit), and ``input_handler``, ``output_handler`` (the TensorFlow Serving image). That image has neither NumPy nor
TensorFlow in its Python, so only the standard library is imported here at the top.

An image is raw pixels, 0 to 255, without any preparation: the model scales them itself.
"""

import importlib.util
import json
import math
import os
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

if __package__:  # in the repository
    from convlab.serving import request_forms as forms
else:  # in an archive, of which model servers load this file by its path
    _spec = importlib.util.spec_from_file_location("request_forms", Path(__file__).with_name("request_forms.py"))
    forms = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(forms)

BadRequest, TooLarge = forms.BadRequest, forms.TooLarge
JSON, LINES = forms.JSON, forms.LINES


class Model(NamedTuple):
    """A loaded model: ``predict`` takes float32 (n, height, width, channels) and returns probabilities (n, classes)."""

    predict: Callable[[Any], Any]
    input_shape: tuple[int, ...]
    labels: list[str]
    runtime: str


class Prediction(NamedTuple):
    """Class probabilities of each image, and the classes' names in their order."""

    probabilities: list[list[float]]
    labels: list[str]


class NotAcceptable(BadRequest):
    status = 406


class NotFinite(ArithmeticError):
    """The model returned NaN or infinity, which JSON cannot represent and the client cannot fix."""

    status = 500


# ---------------------------------------------------------------------------------------------------------------------
# model_fn, input_fn, predict_fn, output_fn


def model_fn(model_dir: str | Path) -> Model:
    """Load the exported model in ``model_dir``.

    The environment variable CONVLAB_RUNTIME names the runtime, ``onnx`` (the default where there is a model.onnx) or
    ``saved_model``; CONVLAB_THREADS the threads of one prediction (1: small models are fastest so).
    """
    import numpy as np

    folder = Path(model_dir)
    stated = description(folder)
    runtime = os.environ.get("CONVLAB_RUNTIME") or ("onnx" if (folder / "model.onnx").is_file() else "saved_model")
    loaders = {"onnx": load_onnx, "saved_model": load_saved_model}
    if runtime not in loaders:
        raise ValueError(f"CONVLAB_RUNTIME is {runtime!r}; it should be onnx or saved_model")
    load, threads = loaders[runtime], os.environ.get("CONVLAB_THREADS") or "1"
    if not (threads.isascii() and threads.isdigit() and int(threads)):
        raise ValueError(f"CONVLAB_THREADS is {threads!r}; it should be a whole number from 1")
    threads = int(threads)
    model = Model(load(folder, threads), tuple(stated["input_shape"]), stated["labels"], runtime)
    model.predict(np.zeros((1, *model.input_shape), np.float32))  # the first call is slower: not at a user's expense
    return model


def input_fn(body: bytes | str, content_type: str | None = JSON) -> Any:
    """Images as the request holds them, of any shape yet: nested lists, or an array for NumPy's format.

    Args:
        body: bytes (or text) of a request.
        content_type: one of ``request_forms.TYPES``.

    Raises:
        BadRequest: the body is invalid, or the type is not supported.
    """
    return forms.read(body, content_type, lambda: _packed_with()["input_shape"], forms.Limits())


def read_images(
    body: bytes, content_type: str | None, input_shape: Sequence[int], max_bytes: int = forms.MAX_BODY_BYTES
) -> Any:
    """As ``input_fn``, and TooLarge for far more values than 256 images of this shape have, before any is made.

    Nested lists take up to thirty times the memory of their text. A body that is compressed may have ``max_bytes``.
    """
    most = 2 * forms.MAX_IMAGES * math.prod(input_shape) + 10_000
    return forms.read(body, content_type, lambda: input_shape, forms.Limits(max_bytes, most))


def predict_fn(images: Any, model: Model) -> Prediction:
    """Class probabilities of images in any of the shapes that ``input_shape`` allows, as a Prediction."""
    import numpy as np

    count, pixels = flat_pixels(images, model.input_shape)
    batch = np.frombuffer(pixels, np.float32).reshape(count, *model.input_shape)
    return Prediction(model.predict(batch).tolist(), model.labels)


def output_fn(prediction: Prediction, accept: str | None = JSON) -> tuple[str, str]:
    """The response's text and content type: class, label and probabilities of every image.

    JSON, or where only that is accepted one line of JSON for each image, as batch transform joins them.

    Raises:
        NotAcceptable: neither is accepted.
        NotFinite: a probability is NaN or infinite.
    """
    kind = _accepted(accept)
    rows = []
    for number, probabilities in enumerate(prediction.probabilities):
        if not all(map(math.isfinite, probabilities)):
            raise NotFinite(f"the model's probabilities for image {number} are not finite; export another model")
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        rows.append({"class": best, "label": prediction.labels[best], "probabilities": probabilities})
    dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    if kind == LINES:
        return "".join(f"{dump(row)}\n" for row in rows), LINES
    return dump({"predictions": rows}), JSON


def _accepted(header: str | None) -> str:
    """JSON or LINES, whichever an Accept header weights higher (RFC 9110, 12.5.1); JSON without one."""
    weights = {}
    for part in (header or "").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[name] = float(quality)
        except ValueError:
            weights[name] = 1.0
    weights.pop("", None)
    if not weights:
        return JSON
    offers = {}
    for kind in (JSON, LINES):
        ranges = (kind, "application/*", "*/*")
        offers[kind] = next((weights[name] for name in ranges if name in weights), 0.0)
    best = max(offers, key=offers.__getitem__)  # of equals the first, JSON
    if not offers[best] > 0:
        raise NotAcceptable(f"cannot answer with {', '.join(sorted(weights))[:100]}; accept {JSON} or {LINES}")
    return best


# ---------------------------------------------------------------------------------------------------------------------
# input_handler, output_handler: SageMaker's TensorFlow Serving image, which runs the SavedModel in another process


def input_handler(data: Any, context: Any) -> str:
    """Convert a request for TensorFlow Serving's REST API."""
    input_shape = _packed_with()["input_shape"]
    try:
        _, pixels = flat_pixels(read_images(data.read(), context.request_content_type, input_shape), input_shape)
    except BadRequest as error:
        # That image responds 500 to any exception; only the message can tell whose error it was.
        raise type(error)(f"{error.status}: {error} (for example {example(input_shape)})") from None
    return json.dumps({"instances": forms.nested(pixels, input_shape)})


def output_handler(response: Any, context: Any) -> tuple[str, str]:
    """Convert TensorFlow Serving's response to the form of ``output_fn``."""
    if response.status_code != 200:
        raise ValueError(response.content.decode("utf-8"))
    probabilities = json.loads(response.content.decode("utf-8"))["predictions"]
    return output_fn(Prediction(probabilities, _packed_with()["labels"]), context.accept_header)


@cache
def _packed_with() -> dict[str, Any]:
    """The description of the model in this file's archive."""
    return description(Path(__file__).resolve().parent.parent)


# ---------------------------------------------------------------------------------------------------------------------
# What a request looks like


def examples(input_shape: Sequence[int]) -> dict[str, str | list[str]]:
    """Forms of a request for images of this shape, by content type; ``...`` stands for what is repeated."""
    image = f"[[[{', '.join(['0', '128', '255'][i % 3] for i in range(input_shape[2]))}], ...], ...]"
    size = ", ".join(map(str, input_shape))
    file = f"one file of {forms.shown_shape(input_shape)}"
    return {
        JSON: [
            f'{{"instances": [{image}, ...]}}',
            f'{{"instances": [{{"image": {image}}}, ...]}}',
            f'{{"inputs": {{"image": [{image}, ...]}}}}',
            '{"instances": [{"b64": "iVBORw0KGgo..."}, ...]}',
            f'{{"inputs": [{{"name": "image", "shape": [1, {size}], "datatype": "UINT8", "data": [0, 128, ...]}}]}}',
        ],
        LINES: f"{image}, one image a line",
        forms.CSV: f"0,128,..., one image of {math.prod(input_shape)} values a line",
        forms.NPY: f"numpy.save of an array [n, {size}], uint8 or float32",
        **dict.fromkeys((forms.PNG, forms.JPEG, forms.PICTURE), file),
    }


def example(input_shape: Sequence[int]) -> str:
    """The accepted form in short, for refusals."""
    body = examples(input_shape)[JSON][0]
    return f"{JSON}: {body}, raw values from 0 to 255 in an array [n, {', '.join(map(str, input_shape))}]"


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def description(folder: Path) -> dict[str, Any]:
    """``input_shape`` (height, width, channels) and ``labels`` of the exported model in ``folder``."""
    exported = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return {"input_shape": exported["input"]["shape"], "labels": labels}


def flat_pixels(images: Any, input_shape: Sequence[int]) -> tuple[int, Any]:
    """How many images there are, and their pixels one after another, as a buffer of float32.

    Args:
        images: nested lists or an array: (n, height, width, channels), (n, height, width) where there is one channel,
            or (n, height × width × channels); or one image, without n.
        input_shape: (height, width, channels).

    Raises:
        BadRequest: another shape, no image or too many, something that is no number, a pixel outside 0 to 255, or
            pixels that have been scaled to 0 to 1 already: nothing is brighter than 1 and there are fractions. (A
            picture that is so dark has whole numbers, unless resizing made fractions: then it has to be rounded.)
    """
    listed = isinstance(images, list)
    shape = _shape(images) if listed else tuple(images.shape)
    try:
        count = _count(shape, tuple(input_shape))
        if count > forms.MAX_IMAGES:
            raise TooLarge(f"{count} images in one request are too many; send {forms.MAX_IMAGES} at most")
        values = _flatten(images, shape) if listed else images
    except TooLarge:
        raise
    except BadRequest:
        if listed:
            _refuse_what_is_no_number(images, tuple(input_shape))
        raise
    if listed:
        low, high = (min(values), max(values)) if math.isfinite(sum(values)) else (math.nan, math.nan)
    else:
        low, high = float(values.min()), float(values.max())  # NaN if any is
    if not (low >= 0 and high <= 255):
        range_ = f" (they go from {low:.4g} to {high:.4g})" if math.isfinite(low + high) else ""
        raise BadRequest(f"pixels should be raw values between 0 and 255; the model scales them itself{range_}")
    if high <= 1 and (any(0 < value < 1 for value in values) if listed else bool(((values > 0) & (values < 1)).any())):
        raise BadRequest(
            f"these pixels seem to be scaled to 0 to 1 already (the largest is {high:.4g}); send raw values from 0 to "
            "255, the model scales them itself (whole numbers, should the images be as dark as that)"
        )
    return count, values if listed else values.astype("float32").ravel()


def _shape(images: Any) -> tuple[int, ...]:
    """Lengths of nested lists, along the first item of each."""
    lengths = []
    while isinstance(images, list):
        lengths.append(len(images))
        images = images[0] if images else None
    return tuple(lengths)


def _count(shape: tuple[int, ...], expected: tuple[int, ...]) -> int:
    """How many images an array of this shape holds."""
    forms = _forms(expected)
    for form in forms:
        if shape[1:] == form and shape[0]:
            return shape[0]
    if shape in forms:
        return 1
    wanted = _wanted(expected)
    if shape[:1] == (0,):
        raise BadRequest(f"there is no image; send an array of shape {wanted}")
    raise BadRequest(f"the images have shape {list(shape[:8])}; this model takes {wanted}")


def _forms(expected: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes that one image may have."""
    return [expected, (math.prod(expected),), *([expected[:-1]] if expected[-1] == 1 else [])]


def _wanted(expected: tuple[int, ...]) -> str:
    """The accepted shapes of several images, in words, for messages."""
    return " or ".join("[n" + "".join(f", {size}" for size in form) + "]" for form in _forms(expected))


def _flatten(images: list, shape: tuple[int, ...]) -> array:
    """The numbers in nested lists of exactly this shape."""
    rows = [images]
    for length in shape:
        if not all(isinstance(row, list) and len(row) == length for row in rows):
            raise BadRequest("the images are not all of the same shape")
        rows = list(chain.from_iterable(rows))
    if not set(map(type, rows)) <= {int, float}:  # to Python true is 1
        raise BadRequest("pixels should be numbers between 0 and 255")
    try:
        return array("f", rows)
    except OverflowError:
        raise BadRequest("pixels should be numbers between 0 and 255") from None


def _refuse_what_is_no_number(images: list, expected: tuple[int, ...]) -> None:
    """Raise BadRequest for the first item in nested lists that is not a number, with its position."""
    pending = [("instances", images)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, list):
            pending += [(f"{path}[{index}]", item) for index, item in reversed(list(enumerate(value)))]
        elif type(value) not in (int, float):
            raise BadRequest(
                f"{path} is {forms.kind_in_words(value)}; pixels should be numbers between 0 and 255: send images "
                f'as an array of shape {_wanted(expected)}, or PNG or JPEG files as {{"b64": ...}}'
            )


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
