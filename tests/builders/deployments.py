"""Deployments to the double of AWS: settings, arguments, what they leave, processes struck on their way."""

import json
import os
import signal
import sys
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
from botocore.retries.standard import ExponentialBackoff

import deploy
from aws_double import ACCOUNT, BUCKET, REGION
from builders.project import ROOT
from convlab.cloud import aws, endpoint, packages, teardown, training_job
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


STAND_INS = (
    (training_job, "evaluate", lambda folder, prepared, facts: np.zeros((90, 3))),
    (training_job, "write_served_model", lambda trained, model_dir, folder: model_dir),
    (endpoint.SageMakerEndpoint, "reference", lambda self: None),
    (packages, "wheels", lambda image: ROOT / "containers"),
    (training_job, "code_inputs", lambda script, loaded: [script]),
)
"""Owner, name and value, in the place of what takes TensorFlow, which other tests load, an index of packages, or sixty
uploads: the exported model stands for the one that a job has trained, any folder for that of the wheels."""


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
    """The script in a separate process with short pauses, and without TensorFlow."""
    os.environ.update(environment)
    os.fsync = lambda descriptor: None
    aws.FIRST_PAUSE, aws.LONGEST_PAUSE, teardown.NOT_FOUND_GRACE_SECONDS = 0.002, 0.05, 0.6
    aws.OUTAGE_SECONDS = 0.1
    aws.ATTEMPTS, ExponentialBackoff.delay_amount = 2, lambda self, context: 0.002
    for stand_in in STAND_INS:
        setattr(*stand_in)
    with Path(os.devnull).open("w") as sys.stderr:
        deploy.main(arguments)


def interrupted(  # seven: what is struck, and when
    double, results, processes, number: signal.Signals, step: str, moment: str, earlier: int = 0, **changes
) -> int | None:
    """Send a signal while ``step`` is asked for, before AWS does it or after; how the process ended.

    ``earlier``: how many calls of it go through before; there may be fewer.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "SAGEMAKER_"))}
    process = processes.Process(target=hurried, args=(arguments(results, **changes), environment))
    seen = []

    def strike(operation):
        if operation == step:
            seen.append(operation)
            if len(seen) == earlier + 1:
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
