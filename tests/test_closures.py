"""What reruns what is a contract: the modules that each expensive stage may reach, and so depends on."""

from pathlib import Path

import pytest

from convlab.common.code_digests import code_inputs

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

FILES = {"__init__", "atomic", "checksums", "cli", "code_inputs", "environment", "errors", "files", "locks"}
OUTPUTS = {"outputs"}
KERAS = {"backend", "devices", "keras_setup"}
RECORD = {"provenance"}

MAY_REACH = {
    "train": FILES | KERAS | RECORD | {"data", "finished_runs", "models", "specs", "training"},
    "evaluate": FILES | OUTPUTS | KERAS | RECORD | {"data", "evaluation", "inference", "metrics"},
    "probe": FILES | OUTPUTS | KERAS | {"data", "inference", "translation"},
    "export": FILES
    | OUTPUTS
    | KERAS
    | RECORD
    | {"choice", "data", "exporting", "inference", "latency", "mcnemar", "models", "parity", "specs"}
    | {"serving/__init__", "serving/inference", "serving/pack"},
    "deploy": FILES
    | KERAS
    | RECORD
    | {"accounts", "data", "evaluation", "exporting", "inference", "latency", "mcnemar", "models", "parity"}
    | {"sagemaker", "signals", "specs"}
    | {f"serving/{name}" for name in ("__init__", "evidence", "local", "pack", "trial")}
    | {
        f"cloud/{name}"
        for name in ("__init__", "aws", "endpoint", "logs", "sdk", "state", "teardown", "training", "time_limits")
    },
}
"""An edit of any other module measures, converts and deploys nothing: no text, no statistics, no figure, no config."""


@pytest.mark.parametrize("script", MAY_REACH)
def test_an_expensive_stage_depends_on_nothing_that_it_does_not_need(script):
    package = SCRIPTS / "convlab"
    reached = {
        path.relative_to(package).with_suffix("").as_posix() for path in code_inputs(SCRIPTS / f"{script}.py")[1:]
    }
    assert reached <= MAY_REACH[script]
