"""The environment: what of a user's machine could change a number is set, recorded as a choice, or removed."""

import ast
import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report
import train
from builders.project import ROOT, TINY
from builders.results import CNN_WINS, RUN_CONDITIONS, write_study_with
from builders.study_results import MADE_UP_STUDY
from convlab.common import environment, provenance
from convlab.common.code_digests import code_inputs
from convlab.errors import UserError
from convlab.findings.conditions import conditions_limitation, conditions_text, unequal_text
from convlab.results.conditions import (
    unequal_conditions,
    unequal_settings,
    with_claim_conditions,
    with_contrast_conditions,
)
from convlab.study import precision_cost, speeds
from convlab.study.load import load_study
from convlab.training.run_spec import Run
from hostile import MATPLOTLIBRC, hostile_environment

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))

SPEC = {
    "dataset": {"kind": "digits", "train_images": 300, "test_images": 100},
    "model": {"family": "conv", "filters": [4], "kernel_size": 3, "dense_units": []},
    "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
    "seed": 1,
}


def script(name: str, *arguments: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")


def run_script(name: str, folder: Path, env: dict[str, str]) -> dict[str, bytes]:
    """What a stage leaves of a tiny study in ``folder`` under ``env``, as far as it should be the same everywhere."""
    arguments = {
        "prepare": ("--dataset", "digits", "--spec", json.dumps(SPEC["dataset"]), "--output-dir", "prepare"),
        "explore": ("--data-dir", "prepare", "--output-dir", "explore"),
        "train": ("--spec", json.dumps(SPEC), "--data-dir", "prepare", "--output-dir", "train"),
    }
    result = script(name, *arguments[name], folder=folder, env=env)
    assert result.returncode == 0, result.stderr
    contents = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
    if name != "train":
        return contents
    with zipfile.ZipFile(folder / "train/model.keras") as model:  # beside the weights it holds the time and addresses
        weights, architecture = model.read("model.weights.h5"), model.read("config.json")
    with (folder / "train/history.csv").open() as stream:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]
    run = json.loads(contents["run.json"])
    names = ("status", "epochs_run", "val_accuracy", "val_loss", "images_per_epoch", "environment", "versions", "code")
    return {
        "weights": weights,
        "architecture": re.sub(rb'"shared_object_id": \d+', b"", architecture),
        "history": rows,
        "run": {name: run[name] for name in names},
    }


@pytest.mark.slow
def test_a_hostile_home_and_environment_change_no_byte(tmp_path):
    clean, hostile, home = tmp_path / "clean", tmp_path / "hostile", tmp_path / "other/home"
    clean.mkdir()
    hostile.mkdir()
    (hostile / "matplotlibrc").write_text(MATPLOTLIBRC)  # Matplotlib would read it first
    variables = hostile_environment(tmp_path / "other")
    for stage in ("prepare", "train", "explore"):
        expected = run_script(stage, clean, dict(os.environ))
        results = run_script(stage, hostile, variables)
        assert len(expected) > 1 and expected.keys() == results.keys()
        assert [name for name in expected if expected[name] != results[name]] == []
    # And the home is as it was, but for Matplotlib's list of fonts.
    written = {path.name for path in home.rglob("*") if path.is_file() and "fontlist" not in path.name}
    assert written == {"keras.json", "matplotlibrc", "usercustomize.py"}
    assert json.loads((home / ".keras/keras.json").read_text())["floatx"] == "float16"


def test_what_is_removed_is_named_once_in_one_line(tmp_path):
    result = script("plan", "studies/demo.yaml", folder=ROOT, env=hostile_environment(tmp_path))
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "KERAS_MAX_EPOCHS" in line]
    assert len(lines) == 1 and "KERAS_ANYTHING_NEW" in lines[0] and "PYTHONPATH" in lines[0]
    assert "TF_VAR_password" not in result.stderr and "secret" not in result.stderr


@pytest.mark.parametrize("options", [["-P"], ["-O"], ["-W", "error"], ["-X", "dev"], []], ids=" ".join)
def test_a_script_runs_with_any_option_of_python(tmp_path, options):
    command = [sys.executable, *options, str(ROOT / "scripts/plan.py"), str(ROOT / "studies/demo.yaml"), "--brief"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("demo: ")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_prepares_its_environment_before_it_imports_anything(path):
    texts = [ast.unparse(statement) for statement in ast.parse(path.read_text()).body[1:7]]
    settings = ["sys.dont_write_bytecode = True"]  # which is no import, and has to stand before the first of convlab's
    assert [text for text in texts if text not in settings][:5] == [
        "import sys",
        "from pathlib import Path",
        "sys.path.insert(0, str(Path(__file__).resolve().parent))",
        "from convlab.common import environment",
        "environment.start()",
    ]


@pytest.mark.parametrize(
    ("name", "value", "after"),
    [
        ("KERAS_BACKEND", "torch", None),
        ("KERAS_MAX_STEPS_PER_EPOCH", "1", None),
        ("KERAS_NEW_IN_KERAS_9", "1", None),
        ("KERAS_HOME", "/elsewhere", os.devnull),
        ("MATPLOTLIBRC", "/elsewhere", os.devnull),
        ("MPLCONFIGDIR", "/elsewhere", "/elsewhere"),
        ("MPLBACKEND", "TkAgg", "agg"),
        ("OMP_NUM_THREADS", "16", "1"),
        ("TF_NUM_INTRAOP_THREADS", "16", None),
        ("TF_NEW_IN_TENSORFLOW_3", "1", None),
        ("TF_VAR_password", "secret", None),
        ("TF_ENABLE_ONEDNN_OPTS", "0", "0"),
        ("TF_ENABLE_ONEDNN_OPTS", "False", "0"),
        ("TF_ENABLE_ONEDNN_OPTS", "", "1"),
        ("TF_CPP_MIN_LOG_LEVEL", "0", "0"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "AVX2"),
        ("ONEDNN_MAX_CPU_ISA", "", None),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", "--xla_cpu_enable_fast_math=true"),
        ("NVIDIA_TF32_OVERRIDE", "0", "0"),
        ("OPENBLAS_CORETYPE", "Haswell", "Haswell"),
        ("NPY_DISABLE_CPU_FEATURES", "AVX2", None),
        ("PYTHONOPTIMIZE", "2", None),
        ("PYTHONSAFEPATH", "1", None),
        ("PYTHONPATH", "/elsewhere", None),
        ("PYTHONHOME", "/usr", "/usr"),
        ("PYTHON_VERSION", "3.11.9", "3.11.9"),  # of the Docker image; Python does not read it
        ("LC_ALL", "tr_TR", "C.UTF-8"),
        ("SOURCE_DATE_EPOCH", "0", None),
        ("CUDA_VISIBLE_DEVICES", "1", "1"),
        ("SNAKEMAKE_PROFILE", "mine", "mine"),
        ("HOME", "/home/me", "/home/me"),
    ],
)
def test_what_becomes_of_each_kind_of_variable(name, value, after):
    assert environment.prepared({name: value}).get(name) == after


VARIABLES = st.dictionaries(
    st.sampled_from(
        [
            *environment.FIXED_VARIABLES,
            *environment.USER_CHOICES,
            "PYTHONPATH",
            "PYTHONOPTIMIZE",
            "KERAS_A",
            "TF_A",
            "HOME",
            "MPL_A",
        ]
    ).filter(lambda name: name != "TF_ENABLE_ONEDNN_OPTS")
    | st.from_regex(r"(TF|KERAS|XLA|HOME|PYTHON)[A-Z_]{0,9}", fullmatch=True),
    st.sampled_from(["", "0", "1", " ", "text", "/x:/y"]),
)


@given(VARIABLES)
def test_preparing_twice_changes_nothing_more(variables):
    after = environment.prepared(variables)
    assert environment.prepared(after) == after
    assert environment.choices(after) == environment.choices(variables)
    assert environment.removed(after) == []
    touched = {name for name in variables if after.get(name) != variables[name]}
    assert all(
        environment.RELEVANT_VARIABLES.fullmatch(name)
        or name in {*environment.FIXED_VARIABLES, *environment.USER_CHOICES}
        for name in touched
    )


def test_a_named_variable_is_kept_as_a_choice():
    variables = {"CONVLAB_KEEP": "TF_NEW, XLA_NEW", "TF_NEW": "1", "XLA_NEW": "", "XLA_OTHER": "1"}
    assert environment.choices(variables) == {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_NEW": "1"}
    assert environment.removed(variables) == ["XLA_OTHER"]
    assert environment.for_other_machines(variables) == ["TF_NEW", "CONVLAB_KEEP"]
    assert environment.for_other_machines({"TF_ENABLE_ONEDNN_OPTS": "1"}) == []
    assert environment.for_other_machines({"TF_ENABLE_ONEDNN_OPTS": "0"}) == ["TF_ENABLE_ONEDNN_OPTS"]


@pytest.mark.parametrize("name", ["KERAS_MAX_EPOCHS", "PYTHONPATH", "MPLBACKEND", "a-b"])
def test_what_convlab_sets_cannot_be_kept(name):
    with pytest.raises(UserError, match=f"CONVLAB_KEEP names '{name}'"):
        environment.prepared({"CONVLAB_KEEP": name})


def test_a_value_that_tensorflow_would_misread_is_refused(tmp_path):
    result = script("plan", folder=ROOT, env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "no"})
    assert (result.returncode, result.stderr) == (
        1,
        "error: the environment variable TF_ENABLE_ONEDNN_OPTS is 'no'; write 0 or 1, or unset it\n",
    )


def test_packages_that_are_only_on_pythonpath_stay_there(tmp_path, monkeypatch):
    (tmp_path / "numpy_of_the_cluster.py").write_text("")
    monkeypatch.setattr(environment, "PACKAGES", ("numpy_of_the_cluster",))
    variables = {"PYTHONPATH": str(tmp_path)}
    assert environment.prepared(variables)["PYTHONPATH"] == str(tmp_path)
    assert environment.choices(variables)["PYTHONPATH"] == str(tmp_path)


# Variables that these packages read and that say nothing about numbers: folders, displays, notebooks, other programs.
OTHERS = {
    *("HOME", "PATH", "LOCALAPPDATA", "WINDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS"),
    *("DISPLAY", "WAYLAND_DISPLAY", "QT_API", "QT_MAC_WANTS_LAYER", "PYCHARM_HOSTED", "CI", "APPVEYOR"),
    *("_MPLHIDEEXECUTABLES", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PICKLE_FILE_PATH", "TEST_SAVEFIG_PATH"),
    *("TEST_TMPDIR", "TEST_SRCDIR"),
}

READS = re.compile(
    r"""(?:environ(?:\.get|\.pop|\.setdefault)?\s*[\[(]|getenv\()\s*['"]([A-Za-z_0-9]+)"""  # environ["NAME"], ...
    r"""|['"](\w+)['"] in os\.environ"""
)


@pytest.mark.parametrize(
    ("package", "without"),
    [
        ("keras", ("applications",)),
        ("matplotlib", ("tests", "testing")),
        ("seaborn", ()),
        ("tensorflow/python", ("keras", "distribute", "tpu", "debug", "tools", "platform", "kernel_tests", "compiler")),
    ],
)
def test_every_variable_that_a_library_reads_is_known(package, without):
    top, *below = package.split("/")
    folder = Path(find_spec(top).origin).parent.joinpath(*below)
    unknown = set()
    for path in folder.rglob("*.py"):
        if not set(path.relative_to(folder).parts[:-1]) & set(without):
            text = path.read_text(encoding="utf-8")
            if "environ" in text or "getenv" in text:
                unknown |= {first or second for first, second in READS.findall(text)}
    known = {
        name
        for name in unknown
        if environment.RELEVANT_VARIABLES.fullmatch(name) or name in environment.FIXED_VARIABLES
    }
    assert unknown - known - OTHERS == set()


def test_every_variable_that_python_reads_is_known():
    listed = subprocess.run([sys.executable, "--help-env"], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^(PYTHON[A-Z0-9_]+)", listed, re.MULTILINE))
    assert len(names) > 15
    assert {name for name in names if not environment.RELEVANT_VARIABLES.fullmatch(name)} == set()


def test_choices_are_part_of_a_runs_identity(monkeypatch):
    run, manifest = Run.model_validate(SPEC), {"arrays": {}}

    def identity(code=None, **variables):
        return train.work_identity(run, manifest, 1, environment.choices(variables), code or {"train.py": "0"})

    different = [
        identity(),
        identity(TF_ENABLE_ONEDNN_OPTS="0"),
        identity(ONEDNN_MAX_CPU_ISA="AVX2"),
        identity(XLA_FLAGS="--x"),
        identity(NVIDIA_TF32_OVERRIDE="0"),
        identity(TF_DISABLE_MKL="1"),
        identity(code={"train.py": "1"}),
    ]
    monkeypatch.setattr(provenance, "instructions", lambda: "avx2")
    different.append(identity())
    assert len(set(different)) == len(different)
    assert identity() == identity(TF_ENABLE_ONEDNN_OPTS="true") == identity(KERAS_MAX_EPOCHS="1", HOME="/x")


def test_code_that_is_edited_while_a_run_starts_ends_it(tmp_path, monkeypatch):
    states = iter([{"train.py": "before"}, {"train.py": "after"}])
    monkeypatch.setattr(train, "code_of", lambda spec: next(states))
    (tmp_path / "manifest.json").write_text('{"arrays": {}, "classes": []}')
    arguments = ["--spec", json.dumps(SPEC), "--data-dir", str(tmp_path), "--output-dir", str(tmp_path / "run")]
    with pytest.raises(UserError, match="edited while this run was starting"):
        train.main(arguments)


HALTING = """
import importlib.machinery, logging, sys
sys.path.insert(0, "scripts")
from convlab.common import environment
environment.start()

class NeedsPandas:
    def find_spec(self, name, path=None, target=None):
        if name != "keras.src.ops.numpy":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (__import__("pandas"), execute(module))
        return spec

sys.meta_path.insert(0, NeedsPandas())
logging.basicConfig(level=logging.INFO)
from convlab.runtime.keras_runtime import keras, tf
print(keras.config.floatx(), float(keras.ops.sum(tf.constant([1.0, 2.0]))))
"""


def test_keras_is_imported_where_a_version_of_it_needs_an_optional_package():
    result = subprocess.run([sys.executable, "-c", HALTING], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "float32 3.0\n", result.stderr
    assert "importing Keras again" in result.stderr


@pytest.mark.slow
def test_another_choice_trains_again_and_another_home_does_not(finished, tmp_path):
    assert finished.planned() == set()
    hostile = {name: value for name, value in hostile_environment(tmp_path / "h").items() if "PYTHON" not in name}
    del hostile["LC_ALL"]
    result = finished.snakemake("-n", env=hostile)
    assert "Nothing to be done" in result.stderr + result.stdout, result.stderr
    result = finished.snakemake("-n", env={"TF_ENABLE_ONEDNN_OPTS": "0"})
    assert "Train cnn on digits, seed 1" in result.stdout + result.stderr


NO_RESULTS = SimpleNamespace(comparisons=pd.DataFrame(), claims=pd.DataFrame())

DIFFERENT = {
    "software versions": {"versions": {"keras": "3.14.0"}},
    "operating system": {"hardware": RUN_CONDITIONS["hardware"] | {"system": "Darwin arm64"}},
    "processor": {"hardware": RUN_CONDITIONS["hardware"] | {"instructions": "avx2 avx512f"}},
    "device": {"device": "GPU"},
    "number of threads": {"threads": 2},
    "environment variables": {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
    "training code": {"code": {"train.py": "cd"}},
}


def runs_of(variants, seeds=(1, 2, 3), **changes) -> dict:
    """Records of runs on one dataset; ``changes`` are of single runs, by ``variant_seed``."""
    return {
        ("d", name, seed): RUN_CONDITIONS | changes.get(f"{name}_{seed}", {}) for name in variants for seed in seeds
    }


@pytest.mark.parametrize("condition", DIFFERENT)
def test_a_condition_in_which_two_sides_differ_is_counted_by_seeds(condition):
    runs = runs_of(["a", "b", "c"], a_2=DIFFERENT[condition], c_1=DIFFERENT[condition], b_1=DIFFERENT[condition])
    assert unequal_conditions(runs, ("d", "a"), ("d", "b")) == {condition: 2}
    assert unequal_conditions(runs, ("d", "b"), ("d", "c")) == {}  # a pair that shares its condition is a fair one
    assert f"{condition} (2 seeds)" in conditions_text(unequal_conditions(runs, ("d", "a"), ("d", "b")))


CONV, DENSE, OWN = (f"convlab/models/families/{name}.py" for name in ("conv", "dense", "python"))
MODULES = {CONV: [CONV], DENSE: [DENSE], OWN: [OWN, "convlab/models/user_code.py"]}
CONDITIONS_OF = {
    family: {"code": RUN_CONDITIONS["code"] | dict.fromkeys(modules, "12")} for family, modules in MODULES.items()
}


@pytest.mark.parametrize("other", [DENSE, OWN], ids=["dense", "own code, with a module that it alone needs"])
def test_sides_of_two_families_are_not_of_other_training_code(other):
    runs = runs_of(["cnn", "other"], **{f"cnn_{seed}": CONDITIONS_OF[CONV] for seed in (1, 2, 3)},
                   **{f"other_{seed}": CONDITIONS_OF[other] for seed in (1, 2, 3)})  # fmt: skip
    assert unequal_conditions(runs, ("d", "cnn"), ("d", "other")) == {}
    assert conditions_limitation(runs, NO_RESULTS) == []


def test_sides_of_one_family_in_two_versions_are_of_other_training_code():
    edited = {"code": RUN_CONDITIONS["code"] | {CONV: "34"}}
    runs = runs_of(["a", "b"], a_1=CONDITIONS_OF[CONV], b_1=edited, a_2=edited, b_2=edited)
    assert unequal_conditions(runs, ("d", "a"), ("d", "b")) == {"training code": 1}
    (limitation,) = conditions_limitation(runs, NO_RESULTS)
    assert limitation.text.endswith("they differ in: training code.")


COMPARED = load_study(
    {
        **MADE_UP_STUDY,
        "experiments": {
            "precision": {"base": "cnn", "factor": "precision", "levels": ["float32", "mixed_bfloat16"]},
            "two": {"base": "cnn", "factors": {"epochs": [4, 5], "kernel_size": [3, 5]}},
        },
        "comparisons": {
            "convolution": {"variant": "cnn", "reference": "dense"},
            "halved": {"variant": "cnn-precision-mixed-bfloat16", "reference": "dense"},
        },
        "claims": [
            {"id": "wins", "text": "A.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"},
            {"id": "high", "text": "B.", "rule": "test_accuracy(cnn) > 0.5"},
            {"id": "small", "text": "C.", "rule": "parameters(cnn) < parameters(dense)"},
        ],
    }
).plan


def rows_of(*columns: tuple[str, ...], names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([{"dataset": "d", **dict(zip(names, row, strict=True))} for row in columns])


def test_comparisons_name_in_their_last_column_what_else_differs():
    runs = runs_of(COMPARED.variants, **{f"cnn_{seed}": DIFFERENT["software versions"] for seed in (1, 2)})
    table = rows_of(
        *(("convolution", "cnn", "dense"), ("halved", "cnn-precision-mixed-bfloat16", "dense")),
        ("precision", "cnn-precision-mixed-bfloat16", "cnn"),
        *(("two", name, "cnn") for name in COMPARED.questions["two"].variants),
        names=("experiment", "variant", "reference"),
    )
    named = with_contrast_conditions(table, runs, COMPARED)["conditions"]
    assert list(named) == ["software versions", "precision", *["software versions"] * 4]


def test_what_an_experiment_varies_is_no_warning_and_what_a_comparison_varies_besides_is_named():
    halved = "cnn-precision-mixed-bfloat16"
    assert unequal_settings(COMPARED, "precision", halved, "cnn") == []
    assert unequal_settings(COMPARED, "convolution", "cnn", "dense") == []
    assert unequal_settings(COMPARED, "halved", halved, "dense") == ["precision"]
    for name in COMPARED.questions["two"].variants:
        assert unequal_settings(COMPARED, "two", name, "cnn") == []
    row = {"dataset": "d", "experiment": "halved", "variant": halved, "reference": "dense"}
    results = SimpleNamespace(plan=COMPARED)
    text = unequal_text(runs_of(COMPARED.variants), results, row)
    assert text == "The config also trains the two sides differently: precision."


def test_claims_name_the_conditions_in_which_their_runs_differ():
    runs = runs_of(COMPARED.variants, dense_3=DIFFERENT["processor"])
    table = rows_of(
        *(("wins", "seeds"), ("high", "seeds"), ("small", None), ("wins", "rounds")), names=("claim", "replicates")
    )
    assert list(with_claim_conditions(table, runs, COMPARED)["conditions"]) == ["processor", "", "", ""]


def test_versions_of_what_only_draws_make_no_difference():
    changed = {"versions": RUN_CONDITIONS["versions"] | {"matplotlib": "4.0", "snakemake": "9.30"}}
    assert unequal_conditions(runs_of(["a", "b"], a_1=changed), ("d", "a"), ("d", "b")) == {}


def test_the_report_warns_where_sides_were_made_under_different_conditions(tmp_path):
    claims = [
        {"id": "wins", "text": "It wins.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"},
        {"id": "high", "text": "It is high.", "rule": "test_accuracy(cnn) > 0.9"},
    ]
    config, texts = write_study_with(tmp_path, {**MADE_UP_STUDY, "claims": claims}, CNN_WINS), []
    for changes in ({}, DIFFERENT["software versions"]):
        for path in (tmp_path / "train").glob("*/cnn/seed-*/run.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        report.main(["--config", json.dumps(config), "--results-dir", str(tmp_path)])
        texts.append([(tmp_path / "report" / name).read_text() for name in ("index.html", "report.md")])
    for before, after in zip(*texts, strict=True):
        warning = "made under different conditions: software versions"
        assert warning not in before and "Not all runs were made" not in before
        assert warning in after and "they differ in: software versions." in after
        notice = "in 2 comparisons and 1 claim the runs were made under different conditions (software versions)"
        assert notice not in before and after.index(notice) < after.index(warning), "on the first screen"
        assert after.count(warning) == 3 and "In 1 claim the runs that it compares differ in this." in after
        assert "TF_ENABLE_ONEDNN_OPTS=1" in before.replace("\\", "")


@pytest.mark.parametrize(
    ("precision", "instructions", "emulated"),
    [
        ("float32", "avx avx2", False),
        ("mixed_bfloat16", "avx avx2", True),
        ("mixed_bfloat16", "avx2 avx512bw avx512f avx512_vnni", True),
        ("mixed_bfloat16", "avx2 avx512_bf16 avx512f", False),
        ("mixed_bfloat16", "asimd bf16", False),
        ("mixed_bfloat16", "", False),  # not known, so nothing is claimed
        ("mixed_float16", "avx2 avx512_bf16 avx512f", True),
        ("mixed_float16", "avx2 avx512_fp16", False),
    ],
)
def test_an_emulated_precision_is_told_with_its_cost(precision, instructions, emulated, monkeypatch):
    monkeypatch.setattr(speeds, "computes_on_gpu", lambda: False)
    levels = {"base": "cnn", "factor": "precision", "levels": ["float32", precision]}
    config = TINY if precision == "float32" else TINY | {"experiments": {"precision": levels}}
    costs = precision_cost.precision_costs(load_study(config), {}, instructions)
    assert len(costs) == emulated
    assert not emulated or (precision in costs[0] and "1 of 3 variants" in costs[0] and "fifteenth" in costs[0])


def test_on_a_gpu_no_precision_is_emulated(monkeypatch):
    monkeypatch.setattr(speeds, "computes_on_gpu", lambda: True)
    config = TINY | {"training": {**TINY["training"], "precision": "mixed_bfloat16"}}
    assert precision_cost.precision_costs(load_study(config), {}, "avx2") == []


def test_the_documentation_lists_every_choice():
    section = (ROOT / "docs/config.md").read_text(encoding="utf-8").partition("\n## Environment\n")[2]
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", section)) >= {*environment.USER_CHOICES, environment.KEEP_VARIABLE}


def test_the_servers_container_has_every_module_that_the_server_imports():
    dockerfile = (ROOT / "containers/serve.Dockerfile").read_text()
    sent = (ROOT / "containers/serve.Dockerfile.dockerignore").read_text()
    for path in code_inputs(ROOT / "scripts/serve.py"):
        name = path.relative_to(ROOT).as_posix()
        assert name in dockerfile
        assert f"!{name}" in sent or f"!{path.parent.relative_to(ROOT).as_posix()}/*.py" in sent
