"""Serving: every form of request gets its answer, every mistake a sentence, and the server survives all of them."""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import onnx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from convlab.errors import UserError
from convlab.serving import inference
from convlab.serving.local import LocalEndpoint
from convlab.serving.pack import MEMBERS, pack

SHAPE, LABELS = (4, 4, 1), ["zero", "one", "two"]
SERVING = ROOT / "scripts/convlab/serving"


def write_model(folder: Path, shape=SHAPE, labels=LABELS, name: str = "pixels") -> Path:
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
    for file in ("inference.py", "requirements.txt"):
        (folder / "code" / file).write_bytes((SERVING / file).read_bytes())
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "export")


@pytest.fixture(scope="module")
def model(folder):
    return inference.model_fn(folder)


@pytest.fixture(scope="module")
def endpoint(folder):
    with LocalEndpoint(folder, "onnx") as started:
        yield started


IMAGES = np.random.default_rng(1).integers(0, 256, (2, *SHAPE), dtype=np.uint8)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def csv_lines(images: np.ndarray) -> bytes:
    return "".join(",".join(map(str, image.ravel())) + "\n" for image in images).encode()


FORMS = {
    "instances": (json.dumps({"instances": IMAGES.tolist()}).encode(), "application/json"),
    "with a signature": (
        json.dumps({"signature_name": "serving_default", "instances": IMAGES.tolist()}).encode(),
        "application/json; charset=utf-8",
    ),
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
    "NumPy bytes": (npy(IMAGES), "application/x-npy"),
    "NumPy floats": (npy(IMAGES.astype(">f8")), "application/x-npy"),
    "NumPy in columns": (npy(np.asfortranarray(IMAGES)), "application/x-npy"),
    "NumPy flat": (npy(IMAGES.reshape(2, -1)), "application/x-npy"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_request_gets_the_same_answer(model, form):
    body, content_type = FORMS[form]
    found = inference.predict_fn(inference.input_fn(body, content_type), model)
    expected = inference.predict_fn(IMAGES.astype(np.float32), model)
    assert found == expected
    assert len(found.probabilities) == 2


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
        assert answer["label"] == LABELS[answer["class"]]
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-6)


WIDE = json.dumps({"instances": np.zeros((1, 5, 4, 1)).tolist()}).encode()
PICKLE = io.BytesIO()
np.save(PICKLE, np.array([{"a": 1}]), allow_pickle=True)
HUGE = io.BytesIO()
np.lib.format.write_array_header_1_0(HUGE, {"descr": "<f8", "fortran_order": False, "shape": (10**12, *SHAPE)})
TAKES = "this model takes [n, 4, 4, 1] or [n, 16] or [n, 4, 4]"

MISTAKES = {
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
    "NaN in an array": (npy(np.full((1, *SHAPE), np.nan)), "application/x-npy", 400, "between 0 and 255"),
    "an array of no dimension": (npy(np.float32(3)), "application/x-npy", 400, "the images have shape []"),
    "a picture": (b"\x89PNG", "image/png", 415, "content type image/png is not supported; send application/json"),
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


def test_an_error_of_tensorflow_serving_is_passed_on():
    response = SimpleNamespace(status_code=400, content=b'{"error": "no such model"}')
    with pytest.raises(ValueError, match="no such model"):
        inference.output_handler(response, context())


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
    assert [answer["label"] in LABELS for answer in json.loads(body)["predictions"]] == [True, True]


def reversed_headers(form: str) -> tuple[bytes, dict]:
    body, content_type = FORMS[form]
    return body, {"Content-Type": content_type}


def test_the_root_says_what_is_served_and_how_to_ask(endpoint):
    found = json.loads(request(endpoint, "GET", "/")[1])
    assert found["input_shape"] == list(SHAPE)
    assert found["labels"] == LABELS
    assert found["runtime"] == "onnx"


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/invocations", 405), ("POST", "/ping", 405), ("GET", "/nowhere", 404), ("DELETE", "/", 405),
])  # fmt: skip
def test_another_place_or_method_gets_a_sentence(endpoint, method, path, status):
    found, body, _ = request(endpoint, method, path)
    assert found == status
    assert "POST /invocations" in json.loads(body)["message"]


def test_another_kind_of_answer_is_refused(endpoint):
    body, headers = reversed_headers("instances")
    assert request(endpoint, "POST", "/invocations", body, {**headers, "Accept": "image/png"})[0] == 406
    accepted = {**headers, "Accept": "text/html, application/json;q=0.5"}
    assert request(endpoint, "POST", "/invocations", body, accepted)[0] == 200


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
        found = client.invoke_endpoint(EndpointName="my-endpoint", ContentType=content_type, Body=body)
        assert len(json.loads(found["Body"].read())["predictions"]) == 2
        assert found["ContentType"] == "application/json"
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
    lambda place, byte, body: body[:place] + bytes([byte]) + body[place + 1 :],
    st.integers(0, 160), st.integers(0, 255), st.sampled_from([npy(IMAGES), npy(IMAGES.astype(np.float32))]),
)  # fmt: skip
content_types = st.sampled_from(
    [None, "application/json", "text/csv", "application/x-npy", "text/csv; charset=x"]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(
    body=json_bodies | csv_bodies | damaged | st.binary(max_size=300),
    content_type=content_types,
    accept=st.sampled_from([None, "application/json", "*/*", "text/csv", ",;q="]),
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
# Starting and stopping


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


def test_an_interrupt_ends_it_without_a_traceback(folder):
    command = [sys.executable, ROOT / "scripts/serve.py", folder, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Serving" in server.stdout.readline()
    time.sleep(0.3)
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=20)
    assert "Traceback" not in said


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
        found = archive.getmembers()
        archive.extractall(tmp_path / "opt", filter="data")
    assert [member.name for member in found] == sorted(MEMBERS["onnx"])
    assert {(m.uid, m.gid, m.uname, m.mtime, m.mode) for m in found} == {(0, 0, "", 0, 0o644)}
    requirements = (tmp_path / "opt/code/requirements.txt").read_text()
    assert "onnxruntime==" in requirements and "numpy==" in requirements
    with LocalEndpoint(tmp_path / "opt", "onnx") as started:
        assert started.invoke(*FORMS["instances"]).status == 200


def test_an_archive_for_tensorflow_serving_has_its_model_where_that_looks(folder, tmp_path):
    place = folder / "saved_model/1"
    place.mkdir(parents=True)
    (place / "saved_model.pb").write_bytes(b"x")
    (place.parent / ".snakemake_timestamp").touch()
    pack(folder, tmp_path / "model.tar.gz", "saved_model")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        names = archive.getnames()
    assert names == ["code/inference.py", "export.json", "labels.json", "saved_model/1/saved_model.pb"]


def test_packing_what_is_not_there_names_it(tmp_path):
    with pytest.raises(UserError, match=r"model\.onnx is missing"):
        pack(tmp_path, tmp_path / "model.tar.gz", "onnx")
