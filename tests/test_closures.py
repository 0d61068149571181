"""What reruns what is a contract: the modules that each expensive stage may reach, and so depends on.

A stage's code is what its script imports and the capabilities that the job loads by name: one kind of dataset, one
family of models, one probe. An edit of any other module prepares, trains, measures, converts and deploys nothing: no
text, no statistics, no figure, no config.
"""

from pathlib import Path

import pytest

from convlab.common.code_digests import code_inputs
from convlab.probes import registry as probes

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

FILES = {"errors", *(f"common/{name}" for name in ("atomic", "checksums", "files", "locks"))}
SCRIPT = FILES | {f"common/{name}" for name in ("cli", "code_digests", "environment", "outputs", "provenance")}
KERAS = {"runtime/backend", "runtime/devices", "runtime/keras_runtime"}
SPECS = {"common/specs", "datasets/specs", "models/specs", "training/recipe", "training/run_spec"}
ARRAYS = {"datasets/prepared"}
PREDICT = ARRAYS | KERAS | {"evaluation/inference"}
AGREE = {"evaluation/agreement", "evaluation/latency", "statistics/mcnemar"}

MAY_REACH = {
    "train": SCRIPT | KERAS | SPECS | ARRAYS | {"training/loop", "training/network", "training/run_store"},
    "evaluate": SCRIPT | PREDICT | {"evaluation/metrics", "evaluation/records"},
    "probe": SCRIPT | PREDICT | {"common/registry"},
    "export": SCRIPT
    | PREDICT
    | SPECS
    | AGREE
    | {"results/choice", "training/network", "serving/artifacts", "serving/inference", "serving/pack"},
    "deploy": SCRIPT
    | PREDICT
    | SPECS
    | AGREE
    | {"common/redaction", "common/shutdown", "evaluation/records", "study/sagemaker", "training/network"}
    | {f"serving/{name}" for name in ("artifacts", "endpoint_test", "local", "pack", "record")}
    | {
        f"cloud/{name}"
        for name in ("aws", "endpoint", "logs", "sdk", "state", "teardown", "time_limits", "training_job")
    },
}


def reached(script: str, *loaded: str) -> set[str]:
    """Modules below ``convlab`` that a job of this script depends on, packages apart."""
    package = SCRIPTS / "convlab"
    return {
        path.relative_to(package).with_suffix("").as_posix()
        for path in code_inputs(SCRIPTS / f"{script}.py", loaded)[1:]
        if path.name != "__init__.py"
    }


@pytest.mark.parametrize("script", MAY_REACH)
def test_an_expensive_stage_depends_on_nothing_that_it_does_not_need(script):
    assert reached(script) - MAY_REACH[script] == set()


MEASURING = [name for name in probes.names() if probes.has(name, "measure")]


@pytest.mark.parametrize("probe", MEASURING)
def test_measuring_a_probe_depends_on_its_own_measure_and_on_no_other_probe_and_no_other_part_of_it(probe):
    of_probe = reached("probe", *probes.modules([probe], "measure")) - MAY_REACH["probe"]
    assert {name.rpartition("/")[0] for name in of_probe} == {f"probes/{probe}"}
    assert f"probes/{probe}/measure" in of_probe
    assert of_probe.isdisjoint(f"probes/{probe}/{part}" for part in ("settings", "table", "figure", "findings"))


@pytest.mark.parametrize(("script", "parts"), [("compare", probes.COMPARE_PARTS), ("report", probes.REPORT_PARTS)])
@pytest.mark.parametrize("probe", probes.names())
def test_compare_and_report_depend_on_what_they_load_of_the_probes_that_are_on(script, parts, probe):
    def of_probes(code: set[str]) -> set[tuple[str, str]]:
        return {tuple(name.split("/")[1:]) for name in code if name.startswith("probes/") and name.count("/") == 2}

    assert of_probes(reached(script)) == set(), "with every probe off"
    assert of_probes(reached(script, *probes.modules([probe], *parts))) == {
        (probe, part) for part in parts if probes.has(probe, part)
    }
