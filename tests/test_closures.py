"""What reruns what is a contract: the modules that each expensive stage may reach, and so depends on.

A stage's code is what its script imports and the capabilities that the job loads by name: one kind of dataset, one
family of models, one probe. An edit of any other module prepares, trains, measures, converts and deploys nothing: no
text, no statistics, no figure, no config.
"""

import shutil
from pathlib import Path

import pytest

from convlab.common import registry
from convlab.common.code_digests import code_inputs, code_parts
from convlab.datasets.specs import KINDS, kind_module
from convlab.models.registry import PACKAGE as FAMILIES
from convlab.models.registry import modules
from convlab.probes import registry as probes

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

FILES = {"errors", *(f"common/{name}" for name in ("atomic", "checksums", "files", "locks"))}
SCRIPT = FILES | {f"common/{name}" for name in ("cli", "code_digests", "environment", "outputs", "provenance")}
KERAS = {"common/hidden_packages", "runtime/backend", "runtime/devices", "runtime/keras_runtime"}
MODELS = {"common/registry", "models/registry", "models/specs"}
SPECS = MODELS | {"common/specs", "datasets/specs", "training/recipe", "training/run_spec"}
ARRAYS = {"datasets/prepared"}
PIPELINE = {f"training/{name}" for name in ("array_pipeline", "draws", "pipeline", "tensorflow_pipeline")}
RECIPE = {f"training/{name}" for name in ("augmentation", "optimizer", "schedule")}
FIT = RECIPE | PIPELINE | {f"training/{name}" for name in ("backup", "callbacks", "history", "loop", "network")}
PATHS = {"study/layout"}
OWN_CODE = {"models/user_code"}
PREDICT = ARRAYS | KERAS | OWN_CODE | {"evaluation/inference"}
INSIDE = {"evaluation/gradients", "evaluation/layers", "evaluation/networks"}
AGREE = {"evaluation/agreement", "evaluation/latency", "statistics/mcnemar"}

MAY_REACH = {
    "prepare": SCRIPT
    | ARRAYS
    | {"common/registry", "common/specs"}
    | {f"datasets/{m}" for m in ("reading", "registry", "specs")},
    "train": SCRIPT | KERAS | SPECS | ARRAYS | FIT | {"training/energy", "training/run_store"},
    "describe": SCRIPT
    | KERAS
    | MODELS
    | ARRAYS
    | OWN_CODE
    | {"common/specs", "models/built_cost", "models/cost", "training/network", "training/recipe"},
    "evaluate": SCRIPT
    | PREDICT
    | PATHS
    | {f"evaluation/{name}" for name in ("features", "layers", "metrics", "records", "trials")},
    "probe": SCRIPT | PREDICT | INSIDE | PATHS | {"common/registry"},
    "export": SCRIPT
    | PREDICT
    | PATHS
    | SPECS
    | AGREE
    | {"results/choice", "training/network", "evaluation/records"}
    | {f"serving/{name}" for name in ("artifacts", "inference", "onnx_files", "pack", "request_forms", "weights")},
    "deploy": SCRIPT
    | PREDICT
    | PATHS
    | SPECS
    | AGREE
    | {"common/redaction", "common/shutdown", "datasets/cache", "evaluation/records", "study/governed"}
    | {"study/sagemaker", "training/network"}
    | {
        f"serving/{name}"
        for name in (
            *("artifacts", "endpoint_test", "inference", "local", "onnx_files", "pack", "record", "request_forms"),
            "weights",
        )
    }
    | {
        f"cloud/{name}"
        for name in (
            *("aws", "batch_transform", "cold_starts", "endpoint", "governance", "guard"),
            *("logs", "metrics", "packages", "registration", "registry", "sdk"),
            *("state", "teardown", "time_limits", "training_job"),
        )
    },
}


def reached(script: str, *loaded: str) -> set[str]:
    """Modules that a script depends on where it loads those by name, as paths below the package."""
    package = SCRIPTS / "convlab"
    files = code_inputs(SCRIPTS / f"{script}.py", loaded)[1:]
    return {path.relative_to(package).with_suffix("").as_posix() for path in files if path.name != "__init__.py"}


@pytest.mark.parametrize("script", MAY_REACH)
def test_an_expensive_stage_depends_on_nothing_that_it_does_not_need(script):
    assert reached(script) - MAY_REACH[script] == set()


WITH_FAMILY = {"python": {"models/user_code", "common/text"}}
"""What a family's module needs beside what all families do."""


@pytest.mark.parametrize("family", registry.names(FAMILIES))
@pytest.mark.parametrize("script", ["train", "export"])
def test_what_builds_a_model_depends_on_its_own_family_and_on_nothing_more(script, family):
    added = {f"models/families/{family}", *WITH_FAMILY.get(family, ())} - reached(script)
    assert reached(script, *modules([family])) - reached(script) == added


@pytest.mark.parametrize("edited", registry.names(FAMILIES))
def test_an_edit_of_one_family_changes_the_code_of_its_own_runs_only(edited, tmp_path):
    scripts = shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))

    def codes() -> dict[str, dict[str, str]]:
        runs = {family: code_parts(scripts / "train.py", modules([family])) for family in registry.names(FAMILIES)}
        return runs | {script: code_parts(scripts / f"{script}.py") for script in ("prepare", "evaluate", "probe")}

    before = codes()
    with (scripts / f"convlab/models/families/{edited}.py").open("a") as file:
        file.write("\n# An edit.\n")
    assert [name for name, code in codes().items() if code != before[name]] == [edited]


@pytest.mark.parametrize("kind", registry.names(KINDS))
def test_preparing_a_dataset_depends_on_the_module_of_its_kind_and_of_no_other(kind):
    added = reached("prepare", kind_module(kind)) - reached("prepare")
    assert {name for name in added if name.startswith("datasets/kinds/")} == {f"datasets/kinds/{kind}"}
    assert {name.split("/")[0] for name in added} == {"datasets"}


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
