"""Deployments to the double of AWS: settings, arguments, what they leave, processes struck on their way."""

import json
import os
import signal
import sys
from multiprocessing.connection import wait
from pathlib import Path

import pytest

import deploy
from aws_double import ACCOUNT, BUCKET, REGION
from convlab.cloud import aws, teardown
from convlab.serving.record import Evidence
from convlab.training.run_spec import Run

ROLE = f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"
SETTINGS = {
    "mode": "deploy", "role_arn": ROLE, "bucket": BUCKET, "prefix": "convlab", "region": REGION,
    "endpoint": {"image": "tensorflow-inference:2.20"}, "training": {"image": "tensorflow-training:2.21"},
}  # fmt: skip
OPTIONS = {"target": "sagemaker", "runtime": "saved_model", "test_images": 6, "seed": 3, "sagemaker": SETTINGS}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12", "AWS_SECRET_ACCESS_KEY": "secretsecretsecret"}

RUN = Run.model_validate(
    {
        "dataset": {"kind": "digits"}, "seed": 2, "model": {"family": "dense", "units": [8], "dropout": 0.0},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01},
    }
)  # fmt: skip
"""A run that a training job can do in seconds."""


def arguments(folder: Path, **changes) -> list[str]:
    options = {**OPTIONS, "sagemaker": {**SETTINGS, **changes}}
    return ["--options", json.dumps(options), "--dataset", "toys", "--results-dir", str(folder)]


def evidence(folder: Path) -> dict:
    return evidence_of(folder / "deploy/toys/endpoint.json")


def evidence_of(path: Path) -> dict:
    text = path.read_text()
    assert ACCOUNT not in text
    record = json.loads(text)
    Evidence.model_validate(record)
    return record


def break_handler(folder: Path) -> None:
    """Make the exported model's handler of requests raise ValueError: no such thing."""
    handlers = folder / "export/toys/code/inference.py"
    broken = handlers.read_text().replace(
        "def input_handler(data: Any, context: Any) -> str:\n",
        "def input_handler(data, context):\n    raise ValueError('no such thing')\n",
    )
    handlers.unlink()  # it is a link
    handlers.write_text(broken)


def state_file(folder: Path) -> Path:
    return folder / "deploy/toys/state.json"


def hurried(arguments: list[str], environment: dict[str, str]) -> None:
    """The script in a separate process with short pauses."""
    os.environ.update(environment)
    os.fsync = lambda descriptor: None
    aws.FIRST_PAUSE, aws.LONGEST_PAUSE, teardown.NOT_FOUND_GRACE_SECONDS = 0.002, 0.05, 0.6
    aws.OUTAGE_SECONDS = 0.1
    with Path(os.devnull).open("w") as sys.stderr:
        deploy.main(arguments)


def interrupted(double, results, processes, number: signal.Signals, step: str, moment: str, **changes) -> int | None:
    """Send a signal while ``step`` is asked for, before AWS does it or after; how the process ended."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "SAGEMAKER_"))}
    process = processes.Process(target=hurried, args=(arguments(results, **changes), environment))
    seen = []

    def strike(operation):
        if operation == step:
            seen.append(operation)
            if len(seen) == 1:
                os.kill(process.pid, number)
                wait([process.sentinel], 0.1)  # the process has been struck before the answer comes

    setattr(double, moment, strike)
    process.start()
    process.join(30)
    if process.exitcode is None:
        process.kill()
        pytest.fail("it hangs")
    double.wait_until_idle()
    assert seen, f"it never came to {step}"
    return process.exitcode
