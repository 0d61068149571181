"""deploy.target: sagemaker, against a double of AWS: what it does, and that whatever happens nothing is left."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import ROOT

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import teardown as teardown_script
from aws_double import ACCOUNT, BUCKET, LINEAR, REGION, Fault, Server
from convlab.cloud import aws, endpoint, teardown
from convlab.cloud import state as states
from convlab.errors import UserError
from convlab.serving.evidence import Evidence
from test_deploy import write_results

ROLE = f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"
SETTINGS = {
    "mode": "deploy", "role_arn": ROLE, "bucket": BUCKET, "prefix": "convlab", "region": REGION,
    "endpoint": {"image": "tensorflow-inference:2.20"}, "training": {"image": "tensorflow-training:2.21"},
}  # fmt: skip
OPTIONS = {"target": "sagemaker", "runtime": "saved_model", "test_images": 6, "seed": 3, "sagemaker": SETTINGS}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12", "AWS_SECRET_ACCESS_KEY": "secretsecretsecret"}


@pytest.fixture(scope="module")
def server():
    with Server() as started:
        yield started


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study's folder as far as deploying reads it, with a stand-in for the SavedModel. Copy it."""
    folder = write_results(tmp_path_factory.mktemp("study") / "my_study")
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
    monkeypatch.setattr(teardown, "GRACE", 0.2)
    monkeypatch.setattr(teardown, "DEADLINE", 1.0)
    before = {number: signal.getsignal(number) for number in deploy.SIGNALS}
    yield server.double
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def results(study, tmp_path) -> Path:
    """A study's folder to deploy from; big files are links."""
    target = tmp_path / "results" / study.name
    for path in study.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(study)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
    return target


def arguments(folder: Path, **changes) -> list[str]:
    options = {**OPTIONS, "sagemaker": {**SETTINGS, **changes}}
    return ["--options", json.dumps(options), "--dataset", "toys", "--results-dir", str(folder)]


def evidence(folder: Path) -> dict:
    text = (folder / "deploy/toys/endpoint.json").read_text()
    assert ACCOUNT not in text
    found = json.loads(text)
    Evidence.model_validate(found)
    return found


def test_a_deployment_is_answered_compared_and_gone(double, results):
    deploy.main(arguments(results, tags={"team": "vision"}))
    found = evidence(results)
    print(json.dumps(found["endpoint"], indent=1), json.dumps(found["teardown"], indent=1), double.calls)
    assert found["status"] == "succeeded" and len(found["answers"]) == 6
    assert double.left() == []
