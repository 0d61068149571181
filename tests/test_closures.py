"""What reruns what is a contract: the modules that each expensive stage may reach, and so depends on.

A stage's code is what its script imports and the capabilities that the job loads by name: one kind of dataset, one
family of models, one probe. An edit of any other module prepares, trains, measures, converts and deploys nothing: no
text, no statistics, no figure, no config.
"""

from pathlib import Path

import pytest

from convlab.common.code_digests import code_inputs

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

FILES = {"errors", *(f"common/{name}" for name in ("atomic", "checksums", "files", "locks"))}
SCRIPT = FILES | {f"common/{name}" for name in ("cli", "code_digests", "environment", "outputs", "provenance")}
KERAS = {"runtime/backend", "runtime/devices", "runtime/keras_runtime"}
SPECS = {"common/specs", "datasets/specs", "models/specs", "training/recipe", "training/run_spec"}
ARRAYS = {"datasets/prepared"}
PATHS = {"study/layout"}
PREDICT = ARRAYS | KERAS | {"evaluation/inference"}
AGREE = {"evaluation/agreement", "evaluation/latency", "statistics/mcnemar"}

MAY_REACH = {
    "train": SCRIPT | KERAS | SPECS | ARRAYS | {"training/loop", "training/network", "training/run_store"},
    "evaluate": SCRIPT | PREDICT | PATHS | {"evaluation/metrics", "evaluation/records"},
    "probe": SCRIPT | PREDICT | PATHS | {"probes/translation"},
    "export": SCRIPT
    | PREDICT
    | PATHS
    | SPECS
    | AGREE
    | {"results/choice", "training/network", "serving/artifacts", "serving/inference", "serving/pack"},
    "deploy": SCRIPT
    | PREDICT
    | PATHS
    | SPECS
    | AGREE
    | {"common/redaction", "common/shutdown", "evaluation/records", "study/sagemaker", "training/network"}
    | {f"serving/{name}" for name in ("artifacts", "endpoint_test", "local", "pack", "record")}
    | {
        f"cloud/{name}"
        for name in ("aws", "endpoint", "logs", "sdk", "state", "teardown", "time_limits", "training_job")
    },
}


@pytest.mark.parametrize("script", MAY_REACH)
def test_an_expensive_stage_depends_on_nothing_that_it_does_not_need(script):
    package = SCRIPTS / "convlab"
    reached = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in code_inputs(SCRIPTS / f"{script}.py")[1:]
        if path.name != "__init__.py"
    }
    assert reached - MAY_REACH[script] == set()
