"""containers/: both images built, the server under SageMaker's contract, the demo as a user unknown to the image.

`make test-containers` runs these; they need Docker or Podman, packages for pip, and some minutes.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from builders.container_engine import HARDENED, UNKNOWN_USER, find_engine
from builders.project import ROOT
from builders.served_model import MODEL_LABELS, MODEL_SHAPE, write_linear_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("CONTAINERS" not in os.environ, reason="make test-containers builds the images and runs them"),
]

USER = "{}:{}".format(*UNKNOWN_USER)
IMAGES = np.random.default_rng(3).integers(0, 256, (5, *MODEL_SHAPE))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    if not (shutil.which("docker") or shutil.which("podman")):
        pytest.skip("neither Docker nor Podman is installed")
    found_engine = find_engine(tmp_path_factory.mktemp("engine"))
    if found_engine is None:
        pytest.fail(
            "neither docker nor podman runs the base image here; where no registry is reached, make one with "
            "tests/base_image.sh, and name it: make test-containers BASE=..."
        )
    return found_engine


def size_mb(engine, image: str) -> int:
    return round(engine.inspect(image)["Size"] / 1e6)


@pytest.fixture(scope="module")
def serving_image(engine, tmp_path_factory):
    image = engine.build("serve.Dockerfile", "localhost/convlab:serve", tmp_path_factory.mktemp("serve"))
    print(f"\nserving image: {size_mb(engine, image)} MB")
    return image


@pytest.fixture(scope="module")
def workflow_image(engine, tmp_path_factory):
    image = engine.build("Dockerfile", "localhost/convlab:cpu", tmp_path_factory.mktemp("cpu"))
    print(f"\nworkflow image: {size_mb(engine, image)} MB")
    return image


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = write_linear_model(tmp_path_factory.mktemp("model") / "model")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def options(model: Path, port: int, *more: str) -> list[str]:
    return ["--user", USER, "-v", f"{model}:/opt/ml/model:ro", "-e", f"SAGEMAKER_BIND_TO_PORT={port}", *more]


def ask(port: int, path: str, body: bytes | None = None, content_type: str = "application/json"):
    """Status and text of an answer of the server."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until_ready(engine, name: str, port: int) -> float:
    """Seconds until /ping answers 200, as it does when the model is loaded."""
    start = time.perf_counter()
    while time.perf_counter() - start < 60:
        try:
            if ask(port, "/ping")[0] == 200:
                return time.perf_counter() - start
        except OSError:
            time.sleep(0.02)
    logs = engine.run("logs", name)
    raise AssertionError(f"the server did not answer: {logs.stdout}{logs.stderr}")


def expected_probabilities(model: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(model / "model.onnx")
    return session.run(None, {session.get_inputs()[0].name: IMAGES.astype(np.float32)})[0]


def assert_answers(model: Path, port: int) -> None:
    status, text = ask(port, "/invocations", json.dumps({"instances": IMAGES.tolist()}).encode())
    assert status == 200, text
    answered = json.loads(text)["predictions"]
    expected = expected_probabilities(model)
    np.testing.assert_allclose([entry["probabilities"] for entry in answered], expected, atol=1e-6)
    assert [entry["label"] for entry in answered] == [MODEL_LABELS[k] for k in expected.argmax(axis=1)]


def test_the_server_answers_an_unknown_user_with_everything_read_only_and_ends_on_sigterm(engine, serving_image, model):
    port = free_port()
    # Podman would lay a writable /tmp over a read-only image; Docker does not.
    read_only = ["--read-only-tmpfs=false"] if engine.command == "podman" else []
    hardened = options(model, port, *HARDENED, *read_only, "--memory", "256m")
    with engine.started(serving_image, "serve", options=hardened) as name:
        print(f"\nserver: /ping answers after {wait_until_ready(engine, name, port):.2f} s")
        assert_answers(model, port)
        engine.run("kill", "--signal", "TERM", name)
        assert engine.exit_status(name) == 0
        logs = engine.run("logs", name)
        assert "Traceback" not in logs.stdout + logs.stderr


def test_the_server_writes_nothing(engine, serving_image, model):
    port = free_port()
    with engine.started(serving_image, "serve", options=options(model, port)) as name:
        wait_until_ready(engine, name, port)
        assert_answers(model, port)
        changed = {line.split()[1] for line in engine.run("diff", name).stdout.splitlines()}
    of_the_engine = {"/opt", "/opt/ml", "/opt/ml/model", "/etc", "/etc/mtab", "/etc/passwd", "/etc/group"}
    assert changed <= of_the_engine | {"/run", "/run/secrets"}


def test_the_server_holds_its_memory_limit_under_requests_of_all_sizes(engine, serving_image, model):
    port = free_port()
    with engine.started(serving_image, "serve", options=options(model, port, "--memory", "200m")) as name:
        wait_until_ready(engine, name, port)
        limit = 6 * 1024**2  # bytes, as SageMaker's
        statuses = [ask(port, "/invocations", b" " * size)[0] for size in (0, limit, limit + 1, limit, limit - 1)]
        assert statuses == [400, 400, 413, 400, 400]
        assert_answers(model, port)
        assert engine.run("inspect", name, "--format", "{{.State.OOMKilled}}").stdout.strip() == "false"


HOSTILE_STARTS = (
    b"",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\n",
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 6291456\r\n\r\n[",
    b"\x16\x03\x01" + bytes(range(256)) * 8,
)
"""How connections begin that send nothing more: silence, half of the headers, the first byte of a body, no HTTP."""


def test_a_thousand_slow_connections_leave_the_server_answering_within_its_memory(engine, serving_image, model):
    port = free_port()
    with engine.started(serving_image, "serve", options=options(model, port, *HARDENED, "--memory", "256m")) as name:
        wait_until_ready(engine, name, port)
        with contextlib.ExitStack() as stack:
            for number in range(1000):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                with contextlib.suppress(ConnectionError):  # one too many is closed at once
                    connection.sendall(HOSTILE_STARTS[number % len(HOSTILE_STARTS)])
            print(f"\n1,000 slow connections: /ping answers after {wait_until_ready(engine, name, port):.1f} s")
            assert_answers(model, port)
        assert engine.run("inspect", name, "--format", "{{.State.OOMKilled}}").stdout.strip() == "false"


@pytest.mark.parametrize("more", [[], ["--user", USER]], ids=["image's user", "unknown user"])
def test_without_a_model_the_server_says_in_one_sentence_what_is_missing(engine, serving_image, more):
    result = engine.run("run", "--rm", *more, serving_image, check=False, timeout=60)
    assert result.returncode == 1
    assert "holds no exported model" in result.stderr and "Traceback" not in result.stderr


def test_images_keep_nothing_of_the_index_that_they_were_built_from(engine, serving_image, workflow_image):
    for image in (serving_image, workflow_image):
        listed = engine.run("run", "--rm", image, "sh", "-c", "ls -A /run/secrets; python -m pip config list")
        settings = [line for line in listed.stdout.splitlines() if "PIP" not in line and not line.startswith(":env:")]
        assert settings == []
        history = engine.run("history", "--no-trunc", image).stdout
        assert "index-url" not in history and "cert =" not in history


def test_every_package_of_the_images_has_what_it_needs(engine, serving_image, workflow_image):
    for image in (serving_image, workflow_image):
        engine.run("run", "--rm", image, "python", "-m", "pip", "check")


@pytest.fixture(scope="module")
def demo(engine, workflow_image, tmp_path_factory):
    """The demo, exported and deployed locally, in the container by an unknown user id without a network: its folder."""
    folder = tmp_path_factory.mktemp("demo")
    checkout, study = folder / "checkout", folder / "study"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, checkout / name)
    study.mkdir()
    os.chown(study, *UNKNOWN_USER)
    command = ["run", "--rm", "--network", "none", "--user", USER, *HARDENED, "--tmpfs", "/tmp", "--memory", "4g"]
    command += ["-v", f"{checkout}:/convlab:ro", "-v", f"{study}:/study", "-w", "/study", workflow_image]
    command += ["snakemake", "-s", "/convlab/Snakefile", "--configfile", "/convlab/studies/demo.yaml", "--cores", "2"]
    start = time.perf_counter()
    engine.run(*command, timeout=1500)
    print(f"\ndemo in the container: {time.perf_counter() - start:.0f} s")
    engine.run(*command, "deploy", timeout=600)
    engine.run(*command, timeout=600)  # the report shows the endpoint
    return study, command


def test_the_demo_ends_with_a_report_and_all_files_belong_to_the_user(demo):
    study, _ = demo
    assert "</html>" in (study / "results/demo/report/index.html").read_text(encoding="utf-8")
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in study.rglob("*")}
    assert owners == {UNKNOWN_USER}


def test_nothing_but_results_and_records_is_left_in_the_users_folder(demo):
    study, _ = demo
    assert {path.name for path in study.iterdir()} == {"results", ".snakemake"}


def test_a_second_container_finds_nothing_to_do(engine, demo):
    _, command = demo
    result = engine.run(*command, "--dry-run", timeout=120)
    assert "Nothing to be done" in result.stdout + result.stderr


def test_an_endpoint_within_the_container_answers_as_the_model_did(demo):
    study, _ = demo
    evidence = json.loads((study / "results/demo/deploy/digits/endpoint.json").read_text())
    assert evidence["status"] == "succeeded" and evidence["parity"]["agreement"] == 1, evidence


def test_what_one_container_exports_the_other_serves(engine, serving_image, demo):
    study, _ = demo
    exported = study / "results/demo/export/digits"
    port = free_port()
    shape = json.loads((exported / "export.json").read_text())["input"]["shape"]
    with engine.started(serving_image, "serve", options=options(exported, port, *HARDENED)) as name:
        print(f"\nserver of the demo's model: /ping answers after {wait_until_ready(engine, name, port):.2f} s")
        status, text = ask(port, "/invocations", json.dumps({"instances": np.zeros((2, *shape)).tolist()}).encode())
        assert status == 200 and len(json.loads(text)["predictions"]) == 2
