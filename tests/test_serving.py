"""Serving: every form of request gets its answer, every mistake a sentence, and the server survives all of them."""

import asyncio
import base64
import contextlib
import errno
import gzip
import http.client
import io
import itertools
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import psutil
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import serve as serving_script
from builders.project import ROOT
from builders.served_model import MODEL_LABELS, MODEL_SHAPE, write_linear_model
from convlab.common.code_digests import code_inputs
from convlab.errors import UserError
from convlab.serving import inference, limits, request_forms, server
from convlab.serving.local import LocalEndpoint
from convlab.serving.pack import CODE, MEMBERS, pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_linear_model(tmp_path_factory.mktemp("model") / "export")


@pytest.fixture(scope="module")
def model(folder):
    return inference.model_fn(folder)


@pytest.fixture(scope="module")
def endpoint(folder):
    with LocalEndpoint(folder, "onnx") as started:
        yield started


IMAGES = np.random.default_rng(1).integers(0, 256, (2, *MODEL_SHAPE), dtype=np.uint8)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def csv_lines(images: np.ndarray) -> bytes:
    return "".join(",".join(map(str, image.ravel())) + "\n" for image in images).encode()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def picture_file(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """A file of one image, pixels (height, width, 1 or 3)."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, kind, **options)
    return stream.getvalue()


FILES = [picture_file(image) for image in IMAGES]
V2 = {"name": "pixels", "shape": [2, *MODEL_SHAPE], "datatype": "UINT8", "data": IMAGES.ravel().tolist()}

FORMS = {
    "instances": (json.dumps({"instances": IMAGES.tolist()}).encode(), "application/json"),
    "with a signature": (
        json.dumps({"signature_name": "serving_default", "instances": IMAGES.tolist()}).encode(),
        "application/json; charset=utf-8",
    ),
    "TensorFlow Serving's rows by name": (
        json.dumps({"instances": [{"image": image.tolist()} for image in IMAGES]}).encode(),
        "application/json",
    ),
    "TensorFlow Serving's columns": (json.dumps({"inputs": IMAGES.tolist()}).encode(), "application/json"),
    "TensorFlow Serving's columns by name": (
        json.dumps({"signature_name": "serving_default", "inputs": {"pixels": IMAGES.tolist()}}).encode(),
        "application/json",
    ),
    "TensorFlow Serving's b64": (
        json.dumps({"instances": [{"b64": base64_of(file)} for file in FILES]}).encode(),
        "application/json",
    ),
    "TensorFlow Serving's b64 by name": (
        json.dumps({"inputs": {"image": [{"b64": base64_of(file)} for file in FILES]}}).encode(),
        "application/json",
    ),
    "data URLs": (
        json.dumps({"instances": [f"data:image/png;base64,{base64_of(file)}" for file in FILES]}).encode(),
        "application/json",
    ),
    "base64 alone": (json.dumps([base64_of(file) for file in FILES]).encode(), "application/json"),
    "base64 a line": (
        "\n".join(json.dumps({"b64": base64_of(file)}) for file in FILES).encode(),
        "application/jsonlines",
    ),
    "the V2 protocol": (json.dumps({"id": "1", "inputs": [V2]}).encode(), "application/json"),
    "the V2 protocol, nested": (json.dumps({"inputs": [V2 | {"data": IMAGES.tolist()}]}).encode(), "application/json"),
    "gzip": (gzip.compress(json.dumps(IMAGES.tolist()).encode()), "application/json"),
    "gzip in two members": (
        b"".join(gzip.compress(part) for part in (csv_lines(IMAGES[:1]), csv_lines(IMAGES[1:]))),
        "text/csv",
    ),
    "gzip of NumPy bytes": (gzip.compress(npy(IMAGES)), "application/x-npy"),
    "a bare list": (json.dumps(IMAGES.tolist()).encode(), "application/json"),
    "doubly encoded": (json.dumps(json.dumps({"instances": IMAGES.tolist()})).encode(), "application/json"),
    "doubly encoded list": (json.dumps(json.dumps(IMAGES.tolist())).encode(), "application/json"),
    "without a channel": (json.dumps({"instances": IMAGES[..., 0].tolist()}).encode(), "application/json"),
    "flat rows": (json.dumps({"instances": IMAGES.reshape(2, -1).tolist()}).encode(), "application/json"),
    "floats": (json.dumps({"instances": IMAGES.astype(float).tolist()}).encode(), "application/json"),
    "no content type": (json.dumps({"instances": IMAGES.tolist()}).encode(), None),
    "with a byte order mark": (b"\xef\xbb\xbf" + json.dumps(IMAGES.tolist()).encode(), "application/json"),
    "CSV": (csv_lines(IMAGES), "text/csv"),
    "CSV with empty lines": (csv_lines(IMAGES).replace(b"\n", b"\r\n\r\n"), "text/csv; header=absent"),
    "JSON lines": (
        "".join(json.dumps(image.tolist()) + "\r\n" for image in IMAGES).encode(),
        "application/jsonlines",
    ),
    "JSON lines, flat": (
        "\n".join(json.dumps(image.ravel().tolist()) for image in IMAGES).encode(),
        "application/jsonlines",
    ),
    "NumPy bytes": (npy(IMAGES), "application/x-npy"),
    "NumPy floats": (npy(IMAGES.astype(">f8")), "application/x-npy"),
    "NumPy in columns": (npy(np.asfortranarray(IMAGES)), "application/x-npy"),
    "NumPy flat": (npy(IMAGES.reshape(2, -1)), "application/x-npy"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_request_gets_the_same_answer(model, form):
    body, content_type = FORMS[form]
    prediction = inference.predict_fn(inference.read_images(body, content_type, MODEL_SHAPE), model)
    expected = inference.predict_fn(IMAGES.astype(np.float32), model)
    assert prediction == expected
    assert len(prediction.probabilities) == 2


@pytest.mark.parametrize(
    "image", [IMAGES[0], IMAGES[0, ..., 0], IMAGES[0].ravel()], ids=["whole", "no channel", "flat"]
)
def test_one_image_needs_no_list_around_it(model, image):
    expected = inference.predict_fn(IMAGES[:1].tolist(), model)
    assert inference.predict_fn(image.tolist(), model) == inference.predict_fn(image, model) == expected


def test_an_answer_names_class_label_and_probabilities(model):
    text, kind = inference.output_fn(inference.predict_fn(IMAGES, model), "*/*")
    assert kind == "application/json"
    for answer in json.loads(text)["predictions"]:
        assert set(answer) == {"class", "label", "probabilities"}
        assert answer["class"] == int(np.argmax(answer["probabilities"]))
        assert answer["label"] == MODEL_LABELS[answer["class"]]
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-6)


WIDE = json.dumps({"instances": np.zeros((1, 5, 4, 1)).tolist()}).encode()
PICKLE = io.BytesIO()
np.save(PICKLE, np.array([{"a": 1}]), allow_pickle=True)
HUGE = io.BytesIO()
np.lib.format.write_array_header_1_0(HUGE, {"descr": "<f8", "fortran_order": False, "shape": (10**12, *MODEL_SHAPE)})
TAKES = "this model takes [n, 4, 4, 1] or [n, 16] or [n, 4, 4]"

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(20)
GRADES = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, *MODEL_SHAPE)
JSON, CSV, NPY, LINES = "application/json", "text/csv", "application/x-npy", "application/jsonlines"


GZIP = b"\x1f\x8b"
BOMB = gzip.compress(bytes(40 * 2**20))


def png_header(width: int, height: int) -> bytes:
    """A PNG of a kilobyte that claims a size."""
    content = io.BytesIO()
    Image.new("L", (1, 1)).save(content, "PNG")
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return content.getvalue()[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content.getvalue()[33:]


def png_with_texts(count: int) -> bytes:
    """A PNG of the model's size with compressed texts of a megabyte each, a kilobyte as they are sent."""
    content, texts = io.BytesIO(), PngInfo()
    for number in range(count):
        texts.add_text(f"t{number}", "x" * 1_000_000, zip=True)
    Image.fromarray(IMAGES[0, ..., 0]).save(content, "PNG", pnginfo=texts)
    return content.getvalue()


def instances(*items) -> bytes:
    return json.dumps({"instances": list(items)}).encode()


def one_is(value) -> bytes:
    """One image whose last pixel is something else."""
    return instances([1] * 15 + [value])


MISTAKES = {
    "objects": (instances({"image": [1], "id": 3}), JSON, 400, 'instances[0] is an object with "image", "id"'),
    "an empty object": (instances({}), JSON, 400, "instances[0] is an empty object"),
    "half a JPEG": (instances({"b64": "/9j/4AAQ"}), JSON, 400, "instances[0] is a damaged PNG or JPEG file"),
    "half a JPEG as text": (instances("/9j/4AAQSkZJRg=="), JSON, 400, "instances[0] is a damaged PNG or JPEG file"),
    "no base64": (instances("data:image/png;base64,iVBORw0KGgoAA!"), JSON, 400, "instances[0] is not base64"),
    "b64 is a number": (instances({"b64": 3}), JSON, 400, "instances[0] is not base64"),
    "b64 of pixels": (
        instances({"b64": base64_of(bytes(16))}),
        JSON,
        400,
        "should be a PNG or JPEG file; it is something",
    ),
    "b64 of nothing": (instances({"b64": ""}), JSON, 400, "it is empty"),
    "b64 of a GIF": (
        instances({"b64": "R0lGODlhAQ=="}),
        JSON,
        400,
        "should be a PNG or JPEG file; it is a GIF picture",
    ),
    "a picture of another size": (
        instances({"b64": base64_of(picture_file(np.zeros((5, 4, 1), np.uint8)))}),
        JSON,
        400,
        "instances[0] has 5×4 pixels; this model takes 4×4 pixels, grey: resize it",
    ),
    "a picture in colour": (
        picture_file(np.eye(4, dtype=np.uint8)[..., None] * np.uint8([1, 2, 3])),
        "image/png",
        400,
        "the body is in colour",
    ),
    "a transparent picture": (
        picture_file(np.zeros((4, 4, 4), np.uint8)),
        "application/x-image",
        400,
        "has transparent pixels",
    ),
    "a picture of 16 bits": (
        picture_file(np.full((4, 4, 1), 999, np.uint16)),
        "image/png",
        400,
        "pixels of type 16 bits",
    ),
    "a palette in colour": (
        instances({"b64": base64_of(picture_file(np.full((4, 4, 3), [9, 0, 0], np.uint8), "GIF"))}),
        JSON,
        400,
        "it is a GIF picture",
    ),
    "another signature": (b'{"signature_name": "regress", "instances": []}', JSON, 400, 'signature_name is "regress"'),
    "instances and inputs": (b'{"instances": [], "inputs": []}', JSON, 400, 'both "instances" and "inputs"'),
    "two inputs by name": (b'{"inputs": {"image": [], "mask": []}}', JSON, 400, '"inputs" has "image", "mask"'),
    "no input by name": (b'{"inputs": {}}', JSON, 400, '"inputs" has no input; this model takes one'),
    "two tensors": (json.dumps({"inputs": [V2, V2]}).encode(), JSON, 400, '"inputs" has 2 tensors'),
    "a tensor of text": (json.dumps({"inputs": [V2 | {"datatype": "BYTES"}]}).encode(), JSON, 400, 'is "BYTES"'),
    "a tensor of another length": (
        json.dumps({"inputs": [V2 | {"shape": [2, 4, 5, 1]}]}).encode(),
        JSON,
        400,
        "which is 40 values; its data are 32",
    ),
    "a tensor of another depth": (
        json.dumps({"inputs": [V2 | {"data": IMAGES[..., 0].tolist()}]}).encode(),
        JSON,
        400,
        "its data have shape [2, 4, 4]",
    ),
    "a tensor of a negative shape": (json.dumps({"inputs": [V2 | {"shape": [-1, 16]}]}).encode(), JSON, 400, "from 1"),
    "a tensor of an endless size": (
        json.dumps({"inputs": [V2 | {"shape": [10**4000, 10]}]}).encode(),
        JSON,
        400,
        "one to four whole numbers",
    ),
    "a tensor of many sizes": (json.dumps({"inputs": [V2 | {"shape": [1] * 5}]}).encode(), JSON, 400, "one to four"),
    "a tensor without data": (b'{"inputs": [{"datatype": "FP32", "shape": [1]}]}', JSON, 400, "data should be a list"),
    "half of gzip": (gzip.compress(b"[[1, 2]]")[:-9], JSON, 400, "ends before its gzip data do"),
    "damaged gzip": (GZIP + bytes(30), JSON, 400, "damaged gzip data"),
    "gzip and then something": (gzip.compress(b"[]") + b"[]", JSON, 400, "damaged gzip data"),
    "a gzip bomb": (BOMB, JSON, 413, "more than 6,291,456 bytes once gzip is undone"),
    "a gzip bomb of many members": (gzip.compress(bytes(2**20)) * 9, NPY, 413, "once gzip is undone"),
    "a bomb in a bomb": (gzip.compress(BOMB), JSON, 400, "not UTF-8 text"),
    "a picture that claims 4 gigapixels": (png_header(65535, 65535), "image/png", 400, "the body is a damaged PNG"),
    "a picture that claims 64 megapixels": (png_header(8000, 8000), "image/png", 400, "the body has 8000×8000 pixels"),
    "a picture with a bomb of texts": (
        png_with_texts(2),
        "image/png",
        400,
        "damaged PNG or JPEG file (Too much memory",
    ),
    "257 pictures": (instances(*[{"b64": base64_of(FILES[0])}] * 257), JSON, 413, "more than 256 files in one request"),
    "the second one is text": (instances([0] * 16, "x"), JSON, 400, "instances[1] is text; pixels should be numbers"),
    "a file's name": (instances("photos/cat.JPG"), JSON, 400, "instances[0] is a file's name"),
    "an address": (
        instances("https://example.org/x.png"),
        JSON,
        400,
        "instances[0] is an address, which is not fetched",
    ),
    "null for an image": (instances(None), JSON, 400, "instances[0] is null"),
    "null for a pixel": (one_is(None), JSON, 400, "instances[0][15] is null"),
    "true for a pixel": (one_is(True), JSON, 400, "instances[0][15] is true"),
    "a number as text": (one_is("255"), JSON, 400, "instances[0][15] is text"),
    "an object for a pixel": (one_is({"r": 1}), JSON, 400, 'instances[0][15] is an object with "r"'),
    "instances is an object": (b'{"instances": {"a": 1}}', JSON, 400, 'they are an object with "a"'),
    "instances is text": (b'{"instances": "cat"}', JSON, 400, "they are text"),
    "instances is true": (b'{"instances": true}', JSON, 400, "they are true"),
    "another key": (b'{"input": [[1]], "x": 1}', JSON, 400, 'has no "instances" but "input", "x"; send {"instances"'),
    "a body of text": (b'"aGVsbG8="', JSON, 400, "should be a list"),
    "a JPEG that says JSON": (JPEG, JSON, 400, "the body is a JPEG picture; say so with Content-Type: image/jpeg"),
    "a PNG that says CSV": (b"\x89PNG\r\n", CSV, 400, "the body is a PNG picture"),
    "a JPEG that says NumPy": (JPEG, NPY, 400, "(it is a JPEG picture; say so"),
    "NumPy that says JSON": (npy(IMAGES), JSON, 400, "say so with Content-Type: application/x-npy"),
    "half a JPEG that says so": (JPEG, "image/jpg; q=1", 400, "the body is a damaged PNG or JPEG file"),
    "a WebP picture": (b"RIFF", "image/webp", 415, "of pictures PNG and JPEG are decoded"),
    "a form": (b"--x\r\n", "multipart/form-data; boundary=x", 415, "curl -F sends it, is not read"),
    "bytes of no kind": (b"x", "application/octet-stream", 415, "is not supported; send application/json"),
    "scaled pixels": (
        json.dumps(GRADES.tolist()).encode(),
        JSON,
        400,
        "seem to be scaled to 0 to 1 already (the largest is 1)",
    ),
    "scaled pixels, all dark": (instances([0.2] * 16), JSON, 400, "send raw values from 0 to 255"),
    "scaled pixels in CSV": (csv_lines(GRADES), CSV, 400, "seem to be scaled"),
    "scaled pixels in NumPy": (npy(GRADES), NPY, 400, "seem to be scaled"),
    "standardised pixels": (
        npy(GRADES - 0.5),
        NPY,
        400,
        "between 0 and 255; the model scales them itself (they go from -0.5",
    ),
    "underscores in CSV": (b"1_0," * 15 + b"1\n", CSV, 400, "line 1 is not numbers"),
    "only spaces": (b"  \n", JSON, 400, "the body is empty"),
    "no line": (b"", LINES, 400, "there is no image"),
    "an object a line": (b'{"a": 1}\n', LINES, 400, 'line 1 is an object with "a"; send one image a line'),
    "a broken line": (b"[1]\n[", LINES, 400, "line 2 is not valid JSON"),
    "far too many lists": (b"[" + b"[]," * 20_000 + b"[]]", JSON, 413, "far more values than 256 images have"),
    "far too many objects": (b"[1," + b"{}," * 20_000 + b"{}]", JSON, 413, "far more values"),
    "far too many lines": (b"\n" * 20_000, CSV, 413, "far more values"),
    "nothing": (b"", "application/json", 400, "not valid JSON"),
    "not JSON": (b"{", "application/json", 400, "not valid JSON"),
    "not text": (b"\xff\xfe", "application/json", 400, "not UTF-8"),
    "a wrong shape": (WIDE, "application/json", 400, f"the images have shape [1, 5, 4, 1]; {TAKES}"),
    "no image": (b'{"instances": []}', "application/json", 400, "there is no image"),
    "no instances": (b'{"images": []}', "application/json", 400, 'no "instances"'),
    "a number": (b"3", "application/json", 400, "should be a list"),
    "null": (b'{"instances": null}', "application/json", 400, "should be a list"),
    "triply encoded": (json.dumps(json.dumps(json.dumps([1]))).encode(), "application/json", 400, "should be a list"),
    "ragged": (json.dumps([IMAGES[0].tolist(), [[1]]]).encode(), "application/json", 400, "not all of the same shape"),
    "text for a pixel": (json.dumps([["a"] * 16]).encode(), "application/json", 400, "should be numbers"),
    "a list for a pixel": (json.dumps([[1] * 15 + [[1]]]).encode(), "application/json", 400, "should be numbers"),
    "a number without end": (
        b"[[" + b"1," * 15 + b"1" + b"0" * 400 + b"]]",
        "application/json",
        400,
        "should be numbers",
    ),
    "infinity": (b"[[" + b"1," * 15 + b"1e999]]", "application/json", 400, "between 0 and 255"),
    "not a number": (b"[[" + b"1," * 15 + b"NaN]]", "application/json", 400, "NaN is no pixel value"),
    "nested deeply": (b"[" * 100_000, "application/json", 400, "nested too deeply"),
    "a negative pixel": (json.dumps([[-1] + [0] * 15]).encode(), "application/json", 400, "between 0 and 255"),
    "a pixel above 255": (json.dumps([[256] + [0] * 15]).encode(), "application/json", 400, "between 0 and 255"),
    "too many images": (json.dumps([[0] * 16] * 257).encode(), "application/json", 413, "257 images"),
    "a header in CSV": (b"a,b\n1,2\n", "text/csv", 400, "line 1 is not numbers"),
    "a short line in CSV": (b"1,2\n", "text/csv", 400, TAKES),
    "lines of different length": (b"1," * 15 + b"1\n1,2\n", "text/csv", 400, "not all of the same shape"),
    "nan in CSV": (b"1," * 15 + b"nan\n", "text/csv", 400, "between 0 and 255"),
    "empty CSV": (b"\n\n", "text/csv", 400, "there is no image"),
    "no array": (b"PK\x03\x04", "application/x-npy", 400, "not an array in NumPy's .npy format"),
    "a pickle": (PICKLE.getvalue(), "application/x-npy", 400, "the array holds object"),
    "a promise of 128 TB": (HUGE.getvalue(), "application/x-npy", 400, "not an array"),
    "half an array": (npy(IMAGES)[:-5], "application/x-npy", 400, "not an array"),
    "truth for pixels": (npy(IMAGES > 3), "application/x-npy", 400, "the array holds bool"),
    "NaN in an array": (npy(np.full((1, *MODEL_SHAPE), np.nan)), "application/x-npy", 400, "between 0 and 255"),
    "an array of no dimension": (npy(np.float32(3)), "application/x-npy", 400, "the images have shape []"),
    "half a head of a picture": (b"\x89PNG", "image/png", 400, "the body should be a PNG or JPEG file; it is a PNG"),
    "what curl -d says": (b"[]", "application/x-www-form-urlencoded", 415, "is not supported"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_status_and_a_sentence(endpoint, mistake):
    body, content_type, status, sentence = MISTAKES[mistake]
    reply = endpoint.invoke(body, content_type)
    answer = json.loads(reply.body)
    assert reply.status == status, answer
    assert sentence in answer["message"]
    assert answer["code"] == "ValidationError"
    assert answer["example"].startswith('application/json: {"instances": [[[[0], ...], ...], ...]}, raw values')
    assert "[n, 4, 4, 1]" in answer["example"]


# ---------------------------------------------------------------------------------------------------------------------
# The TensorFlow Serving image


def context(content_type: str = "application/json", accept: str = "application/json") -> SimpleNamespace:
    return SimpleNamespace(request_content_type=content_type, accept_header=accept)


def test_the_other_pair_of_handlers_needs_the_standard_library_only(folder):
    """SageMaker's TensorFlow Serving image has no NumPy: the archive's handlers run in a Python without packages."""
    code = (
        "import io, json, sys; from types import SimpleNamespace as N\n"
        "sys.path.insert(0, sys.argv[1]); import inference\n"
        "context = N(request_content_type=sys.argv[2], accept_header='application/json')\n"
        "sent = json.loads(inference.input_handler(io.BytesIO(sys.stdin.buffer.read()), context))\n"
        "response = N(status_code=200, content=json.dumps({'predictions': [[0.1, 0.7, 0.2]]}).encode())\n"
        "print(json.dumps([sent, json.loads(inference.output_handler(response, context)[0])]))"
    )
    for content_type, body in (
        ("application/json", json.dumps(IMAGES[0].tolist())),
        ("text/csv", csv_lines(IMAGES[:1])),
    ):
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, folder / "code", content_type],
            input=body.encode() if isinstance(body, str) else body, capture_output=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr.decode()
        sent, answer = json.loads(result.stdout)
        assert sent == {"instances": IMAGES[:1].tolist()}
        assert answer == {"predictions": [{"class": 1, "label": "one", "probabilities": [0.1, 0.7, 0.2]}]}


def test_a_mistake_says_its_status_where_the_image_answers_500_whatever_it_is(monkeypatch):
    monkeypatch.setattr(inference, "_packed_with", lambda: {"input_shape": MODEL_SHAPE, "labels": MODEL_LABELS})
    with pytest.raises(request_forms.BadRequest, match=r"^400: the images have shape"):
        inference.input_handler(io.BytesIO(WIDE), context())
    with pytest.raises(request_forms.UnsupportedType, match=r"^415: content type image/gif"):
        inference.input_handler(io.BytesIO(b""), context("image/gif"))
    with pytest.raises(request_forms.TooLarge, match=r"^413: "):
        inference.input_handler(io.BytesIO(b"[" + b"[]," * 20_000 + b"[]]"), context())


def test_an_error_of_tensorflow_serving_is_passed_on():
    response = SimpleNamespace(status_code=400, content=b'{"error": "no such model"}')
    with pytest.raises(ValueError, match="no such model"):
        inference.output_handler(response, context())


def test_a_body_of_many_gzip_members_is_not_copied_for_each_of_them(monkeypatch):
    given, decompressor = [], zlib.decompressobj

    class Noting:
        def __init__(self, wbits: int):
            self._real = decompressor(wbits=wbits)

        def decompress(self, piece, most: int) -> bytes:
            given.append(len(piece))
            return self._real.decompress(piece, most)

        def __getattr__(self, name: str):
            return getattr(self._real, name)

    monkeypatch.setattr(request_forms.zlib, "decompressobj", Noting)
    body = gzip.compress(b"") * 2000 + gzip.compress(b"[1]")
    assert request_forms.decompressed(body, 100) == b"[1]"
    assert sum(given) < 2001 * len(body) / 4


def test_the_limit_of_a_body_holds_for_the_pixels_of_its_files_too():
    two = instances(*({"b64": base64_of(content)} for content in FILES[:1] * 2))
    assert len(request_forms.read(two, JSON, lambda: MODEL_SHAPE, request_forms.Limits(32))) == 2
    with pytest.raises(request_forms.TooLarge, match="the pixels of these files are more than 31 bytes"):
        request_forms.read(two, JSON, lambda: MODEL_SHAPE, request_forms.Limits(31))


def test_a_refusal_of_a_damaged_file_has_no_address_of_the_servers_memory():
    with pytest.raises(request_forms.BadRequest) as refused:
        request_forms.read(JPEG_FILE[:3] + b"x" * 20, "image/jpeg", lambda: MODEL_SHAPE, request_forms.Limits())
    assert "is a damaged PNG or JPEG file" in str(refused.value) and " at 0x" not in str(refused.value)


# ---------------------------------------------------------------------------------------------------------------------
# The documented forms


def documented_requests() -> list[tuple[dict[str, str], str]]:
    """Headers and file of every request that docs/serving.md sends to /invocations with curl."""
    requests = []
    for line in re.findall(r"^curl \$URL .*", (ROOT / "docs/serving.md").read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(line)
        headers = dict(value.split(": ") for option, value in itertools.pairwise(words) if option == "-H")
        requests.append((headers, words[-1].removeprefix("@")))
    return requests


JPEG_FILE = picture_file(IMAGES[0], "JPEG", quality=95)
DOCUMENTED = {
    "instances.json": FORMS["instances"][0],
    "rows_by_name.json": FORMS["TensorFlow Serving's rows by name"][0],
    "columns_by_name.json": FORMS["TensorFlow Serving's columns by name"][0],
    "base64.json": FORMS["TensorFlow Serving's b64"][0],
    "v2.json": FORMS["the V2 protocol"][0],
    "images.jsonl": FORMS["JSON lines"][0],
    "images.csv": FORMS["CSV"][0],
    "images.npy": FORMS["NumPy bytes"][0],
    "image.png": FILES[0],
    "image.jpg": JPEG_FILE,
    "instances.json.gz": gzip.compress(FORMS["instances"][0]),
}
"""Files of the names that docs/serving.md uses."""

NEEDS_PACKAGES = {"base64.json": 415, "images.npy": 415, "image.png": 415, "image.jpg": 415}
"""Status of what a Python without NumPy and Pillow refuses."""


def expected_pixels(file: str) -> np.ndarray:
    """The images that a documented file holds."""
    if file == "image.jpg":
        return np.asarray(Image.open(io.BytesIO(JPEG_FILE)))[None, ..., None]
    return IMAGES[:1] if file == "image.png" else IMAGES


def test_the_documented_files_are_all_that_curl_sends():
    assert [file for _, file in documented_requests()] == list(DOCUMENTED)


@pytest.mark.parametrize(("headers", "file"), documented_requests(), ids=list(DOCUMENTED))
def test_every_documented_request_is_answered_by_the_server_and_by_the_archives_handlers(
    headers, file, endpoint, folder, model
):
    expected = inference.predict_fn(expected_pixels(file), model).probabilities
    status, answer, _ = request(endpoint, "POST", "/invocations", DOCUMENTED[file], headers)
    assert status == 200
    assert [row["probabilities"] for row in json.loads(answer)["predictions"]] == expected
    handlers = server.load_handlers(folder)  # as images with the inference toolkit do
    images = handlers.input_fn(DOCUMENTED[file], headers["Content-Type"])
    assert handlers.predict_fn(images, handlers.model_fn(folder)).probabilities == expected


def test_a_python_without_packages_reads_or_refuses_every_documented_request(folder):
    """As the handlers run in SageMaker's TensorFlow Serving image."""
    code = (
        "import base64, io, json, sys; from types import SimpleNamespace as N\n"
        "sys.path.insert(0, sys.argv[1]); import inference\n"
        "for kind, body in json.load(sys.stdin):\n"
        "    try: sent = inference.input_handler(io.BytesIO(base64.b64decode(body)), N(request_content_type=kind))\n"
        "    except inference.BadRequest as error: sent = json.dumps(str(error))\n"
        "    print(sent)"
    )
    sent = [(headers["Content-Type"], base64_of(DOCUMENTED[file])) for headers, file in documented_requests()]
    command = [sys.executable, "-I", "-S", "-c", code, folder / "code"]
    result = subprocess.run(command, input=json.dumps(sent).encode(), capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    for line, (_, file) in zip(result.stdout.splitlines(), documented_requests(), strict=True):
        answer = json.loads(line)
        if file in NEEDS_PACKAGES:
            assert answer.startswith(f"{NEEDS_PACKAGES[file]}: ") and '{"instances": [[[[0], ...' in answer
        else:
            assert answer == {"instances": expected_pixels(file).tolist()}


def test_the_root_shows_every_form_and_each_is_accepted_once_its_dots_are_filled_in(endpoint):
    examples = json.loads(request(endpoint, "GET", "/")[1])["examples"]
    assert list(examples) == list(request_forms.TYPES)
    image = json.dumps(IMAGES[0].tolist())
    for text in examples[JSON]:
        filled = text.replace("[[[0], ...], ...]", image).replace(
            "[0, 128, ...]", json.dumps(IMAGES[0].ravel().tolist())
        )
        filled = filled.replace("iVBORw0KGgo...", base64_of(FILES[0])).replace(", ...]", "]")
        assert request(endpoint, "POST", "/invocations", filled.encode(), {"Content-Type": JSON})[0] == 200, filled


def test_the_documented_limits_are_the_servers():
    section = (ROOT / "docs/serving.md").read_text(encoding="utf-8").split("### Limits")[1].split("###")[0]
    mib = 2**20
    sentences = [
        f"{request_forms.MAX_BODY_BYTES // mib} MiB",
        f"{request_forms.MAX_IMAGES} images",
        f"{request_forms.MAX_PNG_TEXT_BYTES // mib} MiB of texts in a PNG file",
        f"it has {limits.BODY_SECONDS} s to arrive",
        f"| connections | {limits.CONNECTIONS};",
        f"| {limits.HEAD_SECONDS} s, {limits.ANSWER_SECONDS} s |",
        f"bodies above {limits.SMALL_BYTES // 1024} KiB share {limits.HELD_BYTES // mib} MiB and wait up to "
        f"{limits.WAITING_SECONDS} s",
        {1: "one request is", 2: "two requests are"}[limits.COMPUTING],
        f"| computing | {limits.COMPUTING_SECONDS} s, then 503",
    ]
    assert [sentence for sentence in sentences if sentence not in section] == []


# ---------------------------------------------------------------------------------------------------------------------
# Over HTTP


def request(endpoint, method: str, path: str, body=None, headers=None, **options) -> tuple[int, bytes, dict]:
    host, port = endpoint.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request(method, path, body, headers or {}, **options)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_the_container_contract(endpoint):
    assert request(endpoint, "GET", "/ping")[:2] == (200, b"")
    status, body, headers = request(endpoint, "POST", "/invocations", *reversed_headers("instances"))
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert [answer["label"] in MODEL_LABELS for answer in json.loads(body)["predictions"]] == [True, True]


def reversed_headers(form: str) -> tuple[bytes, dict]:
    body, content_type = FORMS[form]
    return body, {"Content-Type": content_type}


def test_the_root_says_what_is_served_and_how_to_ask(endpoint):
    description = json.loads(request(endpoint, "GET", "/")[1])
    assert description["input_shape"] == list(MODEL_SHAPE)
    assert description["labels"] == MODEL_LABELS
    assert description["runtime"] == "onnx"


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/invocations", 405), ("POST", "/ping", 405), ("GET", "/nowhere", 404), ("DELETE", "/", 405),
    ("POST", "/invocations/", 404), ("GET", "/invocations/", 404), ("GET", "/ping/", 404), ("POST", "//", 404),
    ("OPTIONS", "/invocations", 405), ("HEAD", "/invocations", 405), ("PUT", "/invocations", 405),
])  # fmt: skip
def test_another_place_or_method_gets_a_sentence(endpoint, method, path, status):
    code, body, headers = request(endpoint, method, path, headers={"Host": "evil.example"})
    assert code == status and "location" not in headers and b"evil" not in body
    if method != "HEAD":
        message = json.loads(body)["message"]
        assert f"{method} {path} is not served" in message and "POST /invocations" in message
        assert ("without a slash" in message) == (path == "/invocations/" or path == "/ping/")
        assert ("CORS" in message) == (method == "OPTIONS")
    assert request(endpoint, "HEAD", "/")[:2] == (200, b"")


def test_a_body_that_is_compressed_is_read_if_by_gzip(endpoint):
    body, headers = reversed_headers("instances")
    encoded = {**headers, "Content-Encoding": "gzip"}
    plain = request(endpoint, "POST", "/invocations", body, headers)[1]
    assert request(endpoint, "POST", "/invocations", gzip.compress(body), encoded)[:2] == (200, plain)
    for coding in ("br", "deflate", "zstd", "gzip, gzip"):
        answer = request(endpoint, "POST", "/invocations", b"x", {**headers, "Content-Encoding": coding})
        assert (
            answer[0] == 415 and "send it as it is, or with Content-Encoding: gzip" in json.loads(answer[1])["message"]
        )
    status, answer, _ = request(endpoint, "POST", "/invocations", body, encoded)
    assert status == 400 and "the body is no gzip data" in json.loads(answer)["message"]
    assert request(endpoint, "POST", "/invocations", body, {**headers, "Content-Encoding": "identity"})[0] == 200


@pytest.mark.parametrize("accept, kind", [
    (None, JSON), ("", JSON), ("*/*", JSON), ("application/*", JSON), (",;q=", JSON),
    ("text/html, application/json;q=0.5", JSON),
    (LINES, LINES), (f"{JSON};q=0.4, {LINES};q=0.5", LINES), (f"{LINES}, {JSON}", JSON), (f"{JSON};q=0, */*", LINES),
    ("application/json;charset=utf-8; Q=0.1", JSON), ("application/json;q=many", JSON),
    ("image/png", None), ("application/json;q=0", None), ("application/json; q=0.000, text/csv", None),
    ("*/*;q=0", None), ("text/*", None),
])  # fmt: skip
def test_an_answer_is_of_the_kind_that_is_accepted_or_none(model, accept, kind):
    prediction = inference.predict_fn(IMAGES, model)
    if kind is None:
        with pytest.raises(inference.NotAcceptable, match="accept application/json or application/jsonlines") as caught:
            inference.output_fn(prediction, accept)
        assert caught.value.status == 406
    else:
        assert inference.output_fn(prediction, accept)[1] == kind


def test_an_answer_in_lines_has_one_for_each_record(endpoint, model):
    body, headers = reversed_headers("CSV")
    status, answer, response_headers = request(endpoint, "POST", "/invocations", body, {**headers, "Accept": LINES})
    assert (status, response_headers["content-type"]) == (200, LINES)
    rows = [json.loads(line) for line in answer.decode().splitlines()]
    assert rows == json.loads(inference.output_fn(inference.predict_fn(IMAGES, model))[0])["predictions"]
    assert request(endpoint, "POST", "/invocations", body, {**headers, "Accept": "image/png"})[0] == 406


@pytest.mark.parametrize("image", [
    np.zeros(MODEL_SHAPE, np.uint8), np.ones(MODEL_SHAPE, np.uint8), np.eye(4)[..., None], np.zeros(MODEL_SHAPE),
    GRADES[0] * 255, np.full(MODEL_SHAPE, 1.5),
], ids=["black", "nearly black", "of 0 and 1", "black as floats", "with fractions", "dark with fractions"])  # fmt: skip
def test_a_dark_picture_is_no_scaled_one(model, image):
    assert inference.predict_fn(image.tolist(), model) == inference.predict_fn(image, model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_the_servers_fault_and_not_json(model, value):
    broken = model._replace(predict=lambda batch: np.full((len(batch), 3), value, np.float32))
    prediction = inference.predict_fn(IMAGES, broken)
    for accept in (JSON, LINES):
        with pytest.raises(inference.NotFinite, match="probabilities for image 0 are not finite"):
            inference.output_fn(prediction, accept)
    response = SimpleNamespace(status_code=200, content=b'{"predictions": [[NaN, 0.5, 0.5]]}')
    with pytest.raises(inference.NotFinite), pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "_packed_with", lambda: {"labels": MODEL_LABELS})
        inference.output_handler(response, context())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_sender_hears_it(endpoint, chunked):
    body = b" " * (7 * 2**20)
    sent = iter([body[: 2**20]] * 7) if chunked else body
    status, answer, _ = request(endpoint, "POST", "/invocations", sent, encode_chunked=chunked)
    assert status == 413
    assert "6,291,456 bytes" in json.loads(answer)["message"]


def test_only_this_machine_reaches_it_by_default(endpoint):
    port = int(endpoint.url.rsplit(":", 1)[1])
    listening = psutil.Process(endpoint.pid).net_connections()
    assert {c.laddr for c in listening if c.status == psutil.CONN_LISTEN} == {("127.0.0.1", port)}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_the_server_loads_nothing_heavy(endpoint):
    loaded = Path(f"/proc/{endpoint.pid}/maps").read_text()
    assert "onnxruntime" in loaded
    for name in ("tensorflow", "pandas", "pydantic", "scipy", "matplotlib"):
        assert f"/{name}" not in loaded, name


def test_the_real_boto3_client_works_on_it(endpoint):
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=endpoint.url, region_name="eu-west-1", aws_access_key_id="x",
        aws_secret_access_key="x", config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    for form in ("instances", "CSV", "NumPy bytes"):
        body, content_type = FORMS[form]
        response = client.invoke_endpoint(EndpointName="my-endpoint", ContentType=content_type, Body=body)
        assert len(json.loads(response["Body"].read())["predictions"]) == 2
        assert response["ContentType"] == "application/json"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.invoke_endpoint(EndpointName="my-endpoint", ContentType="application/json", Body=WIDE)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "this model takes [n, 4, 4, 1]" in caught.value.response["Error"]["Message"]


numbers = st.integers(-10, 300) | st.floats() | st.booleans() | st.none() | st.text(max_size=5)
anything = st.recursive(
    numbers, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner)
)
nearly = st.lists(st.lists(st.integers(-1, 256) | st.floats(0, 255), min_size=15, max_size=17), min_size=1, max_size=3)
json_bodies = (anything | nearly | nearly.map(lambda v: {"instances": v}) | nearly.map(json.dumps)).map(
    lambda value: json.dumps(value).encode()
)
csv_bodies = nearly.map(lambda rows: "\n".join(",".join(map(str, row)) for row in rows).encode())
damaged = st.builds(
    lambda offset, byte, body: body[:offset] + bytes([byte]) + body[offset + 1 :],
    st.integers(0, 160), st.integers(0, 255), st.sampled_from([npy(IMAGES), npy(IMAGES.astype(np.float32))]),
)  # fmt: skip
content_types = st.sampled_from(
    [None, "application/json", "text/csv", "application/x-npy", "text/csv; charset=x", "application/jsonlines"]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(
    body=json_bodies | csv_bodies | damaged | st.binary(max_size=300),
    content_type=content_types,
    accept=st.sampled_from([None, "application/json", "*/*", "text/csv", ",;q=", "application/jsonlines", "*;q=x;q"]),
    method=st.sampled_from(["POST"] * 20 + ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    path=st.sampled_from(
        ["/invocations"] * 20 + ["/ping", "/", "/endpoints/a%2F../invocations", "/invocations/", "//", "/%00"]
    ),
)
def test_no_request_gets_a_5xx(endpoint, body, content_type, accept, method, path):
    headers = {name: value for name, value in (("Content-Type", content_type), ("Accept", accept)) if value}
    status, _, _ = request(endpoint, method, path, body, headers)
    assert 200 <= status < 500
    assert psutil.pid_exists(endpoint.pid)


@pytest.mark.parametrize("sent", [
    b"GARBAGE\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n[",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nnot all of it",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /" + b"a" * 200_000,
])  # fmt: skip
def test_what_is_no_request_does_no_harm(endpoint, sent):
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        with contextlib.suppress(OSError):  # it may have hung up before all was sent
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 5")
    assert request(endpoint, "GET", "/ping")[0] == 200


def test_many_ask_at_once(endpoint):
    from concurrent.futures import ThreadPoolExecutor

    def ask(number: int) -> int:
        body, headers = reversed_headers(list(FORMS)[number % 3])
        return request(endpoint, "POST", "/invocations", body, headers)[0]

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(200))) == {200}


# ---------------------------------------------------------------------------------------------------------------------
# What one client may take


class InThread:
    """The server in a thread of this process, so that its limits can be changed."""

    def __init__(self, model) -> None:
        config = uvicorn.Config(
            server.application(model, inference), http=limits.BoundedProtocol, log_level="warning", log_config=None,
            lifespan="off", access_log=False, ws="none", timeout_graceful_shutdown=3,
        )  # fmt: skip
        self.http = uvicorn.Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.thread = threading.Thread(target=self.http.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> "InThread":
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.http.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=20)
        connection.sendall(sent)
        return connection


@pytest.fixture
def hurried(model, monkeypatch):
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "ANSWER_SECONDS", "WAITING_SECONDS"):
        monkeypatch.setattr(limits, name, 0.2)
    with InThread(model) as started:
        yield started


def ended(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection; it does within the socket's own time."""
    parts = []
    with connection, contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("sent", [
    b"", b"GET /ping HTTP/1.1\r\nHost:", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET",
], ids=["nothing", "half a head", "kept alive", "half of the next head"])  # fmt: skip
def test_a_client_that_sends_no_request_is_dropped(hurried, sent):
    answer = ended(hurried.connect(sent))
    assert answer.startswith(b"HTTP/1.1 200") == (b"\r\n\r\n" in sent) or not answer


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\n[", b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n"])
def test_a_client_that_stops_sending_is_told_and_dropped(hurried, head):
    answer = ended(hurried.connect(POST + head))
    assert answer.startswith(b"HTTP/1.1 408") and b"did not come within 0.2 s" in answer


def test_a_client_that_goes_on_sending_a_refused_body_is_dropped(hurried, monkeypatch):
    monkeypatch.setattr(server, "MAX_DRAINED_BYTES", 100)
    connection = hurried.connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:  # ends with the connection
            connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
    assert request(hurried, "GET", "/ping")[0] == 200


def test_connections_above_the_limit_are_closed_and_leave_room_for_others(hurried, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 1)
    held = [hurried.connect() for _ in range(6)]
    assert [ended(connection) for connection in held] == [b""] * 6
    assert request(hurried, "GET", "/ping")[0] == 200


def test_bodies_share_a_limited_memory(hurried, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 2)
    size = limits.HELD_BYTES // 8
    slow = [hurried.connect(POST + f"Content-Length: {size}\r\n\r\n[".encode()) for _ in range(8)]
    answers = []
    while not any(answer.startswith(b"HTTP/1.1 503") for answer in answers) and len(answers) < 50:
        answers.append(ended(hurried.connect(POST + f"Connection: close\r\nContent-Length: {size}\r\n\r\n".encode())))
    assert b"too many requests are at work" in answers[-1]
    assert [ended(connection)[:12] for connection in slow] == [b"HTTP/1.1 408"] * 8
    assert request(hurried, "POST", "/invocations", *reversed_headers("instances"))[0] == 200


HOSTILE = {
    "nothing": [b""],
    "a slow head": [b"GET /ping HTTP/1.1\r\nHost: x\r\n", *([b"A: b\r\n"] * 50)],
    "a slow body": [POST + b"Content-Length: 6000000\r\n\r\n", *([b"[" * 100] * 50)],
    "slow chunks": [POST + b"Transfer-Encoding: chunked\r\n\r\n", *([b"1\r\n[\r\n"] * 50)],
    "answers unread": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50],
    "garbage": [bytes(range(256)) * 4],
    "far too much": [POST + b"Content-Length: 1000000000000\r\n\r\n" + bytes(2**18)],
    "a gzip bomb": [POST + f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n".encode() + BOMB],
}
"""What hostile clients send, in parts, and then keep the connection open."""


async def hostile_client(port: int, parts: list[bytes], connected: asyncio.Semaphore, end: asyncio.Event) -> None:
    """Connect, send the parts slowly, read nothing, and stay; connect again whenever the server hangs up."""
    while not end.is_set():
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            connected.release()
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.1)
                if end.is_set() or writer.is_closing():
                    break
            while not end.is_set() and not writer.is_closing():
                await asyncio.sleep(0.2)
            writer.transport.abort()
        connected.release()
        with contextlib.suppress(TimeoutError):  # a pause, else a busy machine does nothing but connect
            await asyncio.wait_for(end.wait(), 1)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_thousand_hostile_connections_leave_it_answering_in_bounded_memory(folder, model):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("needs 2,048 file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    body, headers = reversed_headers("instances")
    expected = inference.output_fn(inference.predict_fn(IMAGES, model))[0].encode()
    command = [sys.executable, ROOT / "scripts/serve.py", folder, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = process.stdout.readline().split(" at ")[1].split()[0]
    served = SimpleNamespace(url=url)

    def answered() -> bool:
        """Whether a client that tries as often as HTTP clients do gets the right answer."""
        for _ in range(5):
            with contextlib.suppress(OSError, http.client.HTTPException):
                return request(served, "POST", "/invocations", body, headers)[:2] == (200, expected)
        return False

    async def besiege() -> list[bool]:
        connected, end = asyncio.Semaphore(0), asyncio.Event()
        port, kinds = int(url.rsplit(":", 1)[1]), list(HOSTILE.values())
        clients = [
            asyncio.create_task(hostile_client(port, kinds[number % len(kinds)], connected, end))
            for number in range(1000)
        ]
        for _ in clients:
            await connected.acquire()
        answers = []
        for _ in range(20):
            await asyncio.sleep(0.2)
            answers.append(await asyncio.to_thread(answered))
        end.set()
        await asyncio.gather(*clients)
        return answers

    try:
        assert answered()
        watched, begin = psutil.Process(process.pid), peak_bytes(process.pid)
        descriptors = watched.num_fds()
        assert asyncio.run(besiege()) == [True] * 20
        # Bodies; those that need no share of them; of each connection the 256 KiB that asyncio reads at once, twice
        # while h11 copies them; of each request that is computed a decompressed body, twice while its parts are joined.
        bound = limits.HELD_BYTES + limits.CONNECTIONS * (limits.SMALL_BYTES + 2 * 2**18)
        bound += limits.COMPUTING * 2 * server.MAX_BODY_BYTES
        assert peak_bytes(process.pid) - begin < bound
        deadline = time.monotonic() + 20
        while watched.num_fds() > descriptors and time.monotonic() < deadline:
            time.sleep(0.05)
        assert watched.num_fds() <= descriptors and answered()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_client_that_answers_promptly_is_served_where_all_connections_are_taken(model, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS", 5)
    with InThread(model) as started:  # with its usual patience
        held = [started.connect(b"GET /ping HTTP/1.1\r\n") for _ in range(5)]
        assert request(started, "POST", "/invocations", *reversed_headers("instances"))[0] == 200
        assert ended(held[0]) == b"", "the one that it waited for longest"
        held[1].sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        assert ended(held[1]).startswith(b"HTTP/1.1 200")
        for connection in held[2:]:
            connection.close()


def test_slow_senders_of_large_bodies_hold_up_no_small_one(model):
    with InThread(model) as started:
        size = limits.HELD_BYTES // 8
        slow = [started.connect(POST + f"Content-Length: {size}\r\n\r\n[".encode()) for _ in range(8)]
        request(started, "GET", "/ping")
        assert request(started, "POST", "/invocations", *reversed_headers("instances"))[0] == 200
        for connection in slow:
            connection.close()


def test_a_model_that_hangs_is_told_and_fails_the_health_check_until_it_is_done(model, monkeypatch, caplog):
    monkeypatch.setattr(limits, "COMPUTING_SECONDS", 0.2)
    ended_now = threading.Event()

    def predict(batch):
        ended_now.wait(20)
        return model.predict(batch)

    with InThread(model._replace(predict=predict)) as started:
        for _ in range(limits.COMPUTING):
            assert request(started, "GET", "/ping")[0] == 200
            status, answer, _ = request(started, "POST", "/invocations", *reversed_headers("instances"))
            assert status == 503 and "the model did not answer within 0.2 s" in json.loads(answer)["message"]
        assert request(started, "GET", "/ping")[0] == 503
        status, answer, _ = request(started, "POST", "/invocations", *reversed_headers("instances"))
        assert status == 503 and "too many requests" in json.loads(answer)["message"]
        ended_now.set()
        while request(started, "GET", "/ping")[0] == 503:
            time.sleep(0.01)
        monkeypatch.setattr(limits, "COMPUTING_SECONDS", 20)
        assert request(started, "POST", "/invocations", *reversed_headers("instances"))[0] == 200
    assert "restart the server if it hangs" in caplog.text


def test_memory_is_given_back_whatever_happens(monkeypatch):
    async def use() -> None:
        memory = limits.Memory(10)
        with contextlib.suppress(ZeroDivisionError):
            async with memory.holding(10, 1):
                with pytest.raises(TimeoutError):
                    async with memory.holding(1, 0.01):
                        pass
                raise ZeroDivisionError
        waiting = asyncio.Event()

        async def hold(size: int) -> None:
            async with memory.holding(size, 5):
                await waiting.wait()

        tasks = [asyncio.create_task(hold(size)) for size in (6, 6, 4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        waiting.set()
        await asyncio.gather(*tasks[1:])
        async with memory.holding(10, 1):
            pass

    monkeypatch.setattr(limits, "SMALL_BYTES", 0)
    asyncio.run(use())


def test_a_connection_that_the_server_has_closed_meanwhile_is_made_again(endpoint):
    """As it closes one over which no request comes for ten seconds."""
    assert endpoint.invoke(*FORMS["instances"]).status == 200
    endpoint._connection.sock.shutdown(socket.SHUT_RDWR)
    assert endpoint.invoke(*FORMS["instances"]).status == 200


def test_a_defect_of_the_model_is_a_500_with_a_sentence(model, caplog):
    def predict(batch):
        raise RuntimeError("no such kernel")

    nowhere = np.full((1, 3), np.nan, np.float32)
    for broken, sentence in ((predict, "the model failed"), (lambda batch: nowhere, "are not finite")):
        with InThread(model._replace(predict=broken)) as started:
            status, answer, _ = request(started, "POST", "/invocations", *reversed_headers("instances"))
            assert status == 500 and json.loads(answer)["code"] == "InternalFailure"
            assert sentence in json.loads(answer)["message"] and "kernel" not in answer.decode()
    assert "no such kernel" in caplog.text


# ---------------------------------------------------------------------------------------------------------------------
# Starting and stopping


@pytest.mark.parametrize("host, port, sentence", [
    ("nowhere.invalid", 0, "--host 'nowhere.invalid' is no address of this machine"),
    ("http://127.0.0.1", 0, "is no address of this machine"),
    ("127.0.0.1:8080", 0, "is no address of this machine"),
    ("192.0.2.7", 0, "--host '192.0.2.7' is no address of this machine (Cannot assign requested address)"),
    ("2001:db8::7", 0, "is no address of this machine"),
    ("fe80::1", 0, "is no address of this machine"),
    ("a" * 70 + ".example", 0, "is no address of this machine"),
    ("", 0, "it is empty"),
    ("127.0.0.1", 70_000, "--port 70000 is no port; choose 1 to 65535"),
    ("127.0.0.1", -1, "--port -1 is no port"),
])  # fmt: skip
def test_what_cannot_be_listened_on_says_whether_the_host_or_the_port_is_wrong(host, port, sentence):
    with pytest.raises(UserError) as caught:
        serving_script.listen(host, port)
    assert sentence in str(caught.value)
    assert ("--port" in str(caught.value)) == (port != 0)


@pytest.mark.parametrize("number, sentence", [
    (errno.EACCES, r"port 80 is for the system's own services; choose .* from 1024 with --port \(make serve PORT="),
    (errno.EADDRINUSE, "port 80 of 127.0.0.1 is in use; choose another with --port .make serve PORT=8081."),
    (errno.ENOBUFS, "port 80 of 127.0.0.1 cannot be had"),
])  # fmt: skip
def test_why_a_port_cannot_be_had_is_told(monkeypatch, number, sentence):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(UserError, match=sentence):
        serving_script.listen("127.0.0.1", 80)


@pytest.mark.parametrize("arguments, sentence", [
    (["--threads", "0"], "--threads is 0; it should be 1 or more"),
    (["--max-body-mb", "nan"], "--max-body-mb is nan; it should be above 0"),
    (["--max-body-mb", "-1"], "--max-body-mb is -1"),
    (["--max-body-mb", "1e9"], "at most 1024"),
])  # fmt: skip
def test_limits_that_are_none_are_told(folder, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        serving_script.main([str(folder), *arguments])


@pytest.mark.parametrize("name, value", [("CONVLAB_RUNTIME", "torch"), ("CONVLAB_THREADS", "many")])
def test_a_variable_that_names_nothing_is_told(folder, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is '{value}'; it should be"):
        inference.model_fn(folder)
    with pytest.raises(UserError, match=f"^{name} is '{value}'; it should be [^;]+$"):  # as in a container
        serving_script.main([str(folder), "--port", "0"])


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="needs IPv6")
def test_it_listens_on_ipv6():
    try:
        listening = serving_script.listen("::1", 0)
    except UserError:
        pytest.skip("IPv6 is off")
    with listening:
        assert listening.getsockname()[0] == "::1"


@pytest.mark.parametrize("sent", [
    b"", POST + b"Content-Length: 100\r\n\r\n[", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["nothing", "half a body", "kept alive"])  # fmt: skip
def test_an_interrupt_waits_for_no_client_that_hangs(model, caplog, sent):
    with InThread(model) as started:
        connection = started.connect(sent)
        request(started, "GET", "/ping")  # by now the server has read what was sent
        started.http.should_exit = True
        ended(connection)
    assert caplog.records == []


def test_it_leaves_nothing_behind(folder):
    with LocalEndpoint(folder, "onnx") as started:
        pid = started.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert started.teardown["remaining"] == []
    assert started.teardown["about"]["exit_status"] == 0


def test_a_killed_program_takes_its_server_along(folder):
    code = (
        "import sys, time; sys.path.insert(0, 'scripts'); from pathlib import Path\n"
        "from convlab.serving.local import LocalEndpoint\n"
        "with LocalEndpoint(Path(sys.argv[1]), 'onnx') as endpoint:\n"
        "    print(endpoint.pid, flush=True); time.sleep(60)"
    )
    program = subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    server = psutil.Process(int(program.stdout.readline()))
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    server.wait(10)
    assert not server.is_running()


def test_a_server_that_cannot_start_says_why(folder, tmp_path):
    for file in folder.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(folder)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no model")
    endpoint = LocalEndpoint(tmp_path, "onnx")
    with pytest.raises(UserError, match="ended before it answered"), endpoint:
        pass
    assert endpoint.teardown["remaining"] == []


def serve(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "scripts/serve.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_folder_without_a_model_and_a_taken_port_are_told_in_a_sentence(folder, tmp_path):
    result = serve(tmp_path)
    assert result.returncode == 1
    assert "holds no exported model: export.json is missing" in result.stderr and "Traceback" not in result.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = serve(folder, "--port", taken.getsockname()[1])
    assert result.returncode == 1
    assert "choose another with --port" in result.stderr and "Traceback" not in result.stderr


def test_an_interrupt_while_the_model_is_loaded_ends_it_without_a_traceback(folder, monkeypatch):
    def interrupted(folder_to_load):
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "load_handlers", interrupted)
    serving_script.main([str(folder), "--port", "0"])


def test_an_interrupt_ends_it_without_a_traceback(folder):
    command = [sys.executable, ROOT / "scripts/serve.py", folder, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Serving" in process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors == ""


# ---------------------------------------------------------------------------------------------------------------------
# The archive


def test_an_archive_has_the_same_bytes_whenever_it_is_packed(folder, tmp_path, monkeypatch):
    pack(folder, tmp_path / "a.tar.gz", "onnx")
    monkeypatch.setattr("time.time", lambda: 2e9)
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))
        if path.is_file():
            path.chmod(0o600)
    pack(folder, tmp_path / "b.tar.gz", "onnx")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_archive_is_what_an_endpoint_unpacks_and_serves(folder, tmp_path):
    pack(folder, tmp_path / "model.tar.gz", "onnx")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "opt", filter="data")
    assert [member.name for member in members] == sorted(MEMBERS["onnx"])
    assert {(m.uid, m.gid, m.uname, m.mtime, m.mode) for m in members} == {(0, 0, "", 0, 0o644)}
    requirements = (tmp_path / "opt/code/requirements.txt").read_text()
    assert "onnxruntime==" in requirements and "numpy==" in requirements
    with LocalEndpoint(tmp_path / "opt", "onnx") as started:
        assert started.invoke(*FORMS["instances"]).status == 200


def test_an_archive_for_tensorflow_serving_has_its_model_where_that_looks(folder, tmp_path):
    version_folder = folder / "saved_model/1"
    version_folder.mkdir(parents=True)
    (version_folder / "saved_model.pb").write_bytes(b"x")
    (version_folder.parent / ".snakemake_timestamp").touch()
    pack(folder, tmp_path / "model.tar.gz", "saved_model")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        names = archive.getnames()
    assert names == [*(f"code/{name}" for name in CODE), "export.json", "labels.json", "saved_model/1/saved_model.pb"]


def test_the_container_has_every_module_that_the_server_imports():
    copied = re.findall(r"scripts/[\w/]+\.py", (ROOT / "containers/serve.Dockerfile").read_text())
    assert {str(path.relative_to(ROOT)) for path in code_inputs(ROOT / "scripts/serve.py")} <= {
        "scripts/serve.py",
        *copied,
    }


def test_packing_what_is_not_there_names_it(tmp_path):
    with pytest.raises(UserError, match=r"model\.onnx is missing"):
        pack(tmp_path, tmp_path / "model.tar.gz", "onnx")
