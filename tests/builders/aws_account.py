"""Fixtures of an account on the double of AWS and of a process signed in to it.

A test file has them by ``pytest_plugins = ["builders.aws_account"]``; others need not import moto.
"""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import builders.aws_descriptions  # noqa: F401
from aws_double import LINEAR, REGION, Double, Server
from builders.deployments import CREDENTIALS, RUN
from builders.project import ROOT
from builders.served_model import write_deployable_study
from convlab.cloud import aws, teardown
from convlab.common import redaction
from convlab.common.files import array_sha256, write_arrays, write_json
from convlab.common.shutdown import SIGNALS


@pytest.fixture(scope="module")
def server():
    with Server() as started:
        yield started


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study's folder as far as deploying reads it, with a stand-in for the SavedModel. Copy it."""
    folder = write_deployable_study(tmp_path_factory.mktemp("study") / "my_study")
    model_dir = folder / "export/toys"
    weights = onnx.numpy_helper.to_array(onnx.load(model_dir / "model.onnx").graph.initializer[0])
    version = model_dir / "saved_model/1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"in the place of a SavedModel")
    np.save(version / LINEAR, weights, allow_pickle=False)
    return folder


@pytest.fixture
def double(server, monkeypatch):
    """An empty account, and this process signed in to it; no pause is long."""
    server.double.reset()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(aws, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    monkeypatch.setattr(aws, "OUTAGE_SECONDS", 0.1)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.002)
    monkeypatch.setattr(teardown, "NOT_FOUND_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 2.0)
    monkeypatch.setattr(redaction, "SCRYPT_COST", 2**4)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield server.double
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def clients(server):
    """Clients of the double, made once: reading the services' descriptions takes longer than a whole deployment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url, "AWS_CONFIG_FILE": "/dev/null"}.items():
            patch.setenv(name, value)
        patch.setattr(aws, "ATTEMPTS", 2)
        return aws.connect(REGION)


@pytest.fixture
def known(double, clients, no_pauses, monkeypatch):
    """The double, with the clients that are there already, and polls that do not wait."""
    monkeypatch.setattr(aws, "connect", lambda region, endpoint_url=None: clients)
    return double


class Clock:
    """Stands in for the module ``time`` where polls pause: once the double is idle, a pause is over, however long."""

    def __init__(self, double: Double) -> None:
        self.double, self.skipped = double, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.double.wait_until_idle()
        self.skipped += seconds


@pytest.fixture
def no_pauses(double, monkeypatch):
    """Polls that do not wait, for as long on a clock of their own: nothing may need seconds, as a training job does."""
    monkeypatch.setattr(aws, "time", Clock(double))
    monkeypatch.setattr(aws, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def results(study, tmp_path) -> Path:
    """A study's folder to deploy from; big files are links."""
    target = tmp_path / "results" / study.name
    for path in study.rglob("*"):
        if path.is_file():
            link = target / path.relative_to(study)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
    return target


@pytest.fixture
def to_train(tmp_path, study) -> Path:
    """A study's folder whose run can be trained: spots, to be told apart by where they are."""
    folder = tmp_path / "results/my_study"
    shutil.copytree(study, folder)
    labels = np.arange(120) % 3
    images = np.random.default_rng(4).integers(0, 60, (120, 4, 4, 1), dtype=np.uint8)
    images[np.arange(120), labels] += 150
    arrays = {"x_train": images[:90], "y_train": labels[:90], "x_test": images[90:], "y_test": labels[90:]}
    write_arrays(folder / "prepare/toys/data.npz", **arrays)
    checksums = {name: {"sha256": array_sha256(array)} for name, array in arrays.items()}
    write_json(folder / "prepare/toys/manifest.json", {"format": 1, "arrays": checksums, "classes": list("abc")})
    exported = json.loads((folder / "export/toys/export.json").read_text()) | {
        "spec": RUN.identity, "spec_hash": RUN.spec_hash, "data_sha256": {n: c["sha256"] for n, c in checksums.items()},
    }  # fmt: skip
    write_json(folder / "export/toys/export.json", exported)
    probabilities = np.full((1, 30, 3), 1 / 3, np.float32)
    write_arrays(folder / "evaluate/toys/cnn/predictions.npz", seeds=np.array([2]), probabilities=probabilities)
    return folder


@pytest.fixture
def training_double(double, monkeypatch):
    """Training takes real seconds."""
    monkeypatch.setattr(aws, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(aws, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 20)
    return double


@pytest.fixture(scope="module")
def processes():
    """Makes processes that have imported all of this already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["builders.aws_descriptions", "builders.deployments", "builders.aws_sdk"])
    with pytest.MonkeyPatch.context() as patch:  # Python 3.11 does not tell the server where the modules are
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests")]))
        multiprocessing.forkserver.ensure_running()
    return context
