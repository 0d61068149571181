"""training.backend: JAX and PyTorch learn what TensorFlow learns, as reproducibly, and lose as little by a kill."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.interruptions import killed_at
from builders.project import ROOT, TINY, job_forks
from convlab.common.files import read_json, write_json
from convlab.common.specs import canonical_json
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation.records import read_measures, read_probabilities
from convlab.runtime import backend
from convlab.serving.local import LocalEndpoint
from convlab.study import layout
from convlab.study.load import load_study
from convlab.study.missing_backends import missing_backends
from convlab.training.run_spec import Run

OTHERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed: make install BACKEND={name}"
        ),
    )
    for name in ("jax", "torch")
]
MODEL = {
    "family": "conv", "filters": [8], "norm": "batch", "residual": True, "conv_dropout": 0.1, "dense_units": [16],
    "dropout": 0.1,
}  # fmt: skip
RECIPE = {
    "schedule": "one_cycle", "gradient_clip": 1, "ema": 0.9, "label_smoothing": 0.1, "class_weights": "balanced",
    "augmentation": {"crop": 1, "rotation": 10, "cutout": 2, "mixup": 0.2},
}  # fmt: skip
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    arguments = ["--dataset", "digits", "--spec", json.dumps({"kind": "digits"}), "--output-dir", folder]
    subprocess.run([sys.executable, ROOT / "scripts/prepare.py", *arguments], check=True, capture_output=True)
    return folder


def command(name: str, data: Path, output: Path, seed: int = 1, **training) -> list[str]:
    settings = {"backend": name, "epochs": 6, "batch_size": 32, "learning_rate": 0.003, **training}
    run = Run.model_validate({"dataset": {"kind": "digits"}, "model": MODEL, "training": settings, "seed": seed})
    arguments = ["--spec", canonical_json(run.identity), "--data-dir", str(data), "--output-dir", str(output)]
    return [python(name), str(ROOT / "scripts/train.py"), *arguments]


def python(name: str) -> str:
    """The Python to run a job of this backend by: forks for TensorFlow, which most other tests import as well."""
    return job_forks().python if name == "tensorflow" else sys.executable


def trained(name: str, data: Path, output: Path, seed: int = 1, **training) -> tuple[dict, dict, np.ndarray]:
    """run.json, the measures and the test images' probabilities of a run with its evaluation."""
    run_folder = output / f"seed-{seed}"
    evaluate = [python(name), ROOT / "scripts/evaluate.py", "--train-dir", output, "--seeds", str(seed)]
    for step in (
        command(name, data, run_folder, seed, **training),
        [*evaluate, "--data-dir", data, "--output-dir", output / "evaluated"],
    ):
        result = subprocess.run(step, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    measures = read_measures(output / "evaluated", [seed])[seed]
    (probabilities,) = read_probabilities(output / "evaluated", [seed])
    return json.loads((run_folder / "run.json").read_text()), measures, probabilities


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_accuracy_is_tensorflows_within_seed_noise(name, digits, tmp_path):
    def accuracies(which: str) -> np.ndarray:
        runs = [trained(which, digits, tmp_path / f"{which}-{seed}", seed) for seed in SEEDS]
        assert all(run["versions"][which.replace("tensorflow", "keras")] for run, *_ in runs)
        return np.array([metrics["accuracy"] for _, metrics, _ in runs])

    ours, theirs = accuracies("tensorflow"), accuracies(name)
    assert min(ours.min(), theirs.min()) > 0.85
    # Three standard errors of the difference; a point at least, since three seeds may happen to agree.
    allowed = max(3 * np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / len(SEEDS)), 0.01)
    assert abs(ours.mean() - theirs.mean()) < allowed, (ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "options",
    [{}, {"augmentation": {"flip": "horizontal", "shift": 1}}, RECIPE],
    ids=["dropout", "dropout and augmentation", "a whole recipe"],
)
def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(name, options, digits, tmp_path):
    options = {"train_size": 500, **options}
    _, _, undisturbed = trained(name, digits, tmp_path / "undisturbed", **options)
    output = tmp_path / "killed"
    killed = killed_at("epoch-0003", command(name, digits, output / "seed-1", **options), tmp_path)
    assert subprocess.run(killed, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert not (output / "seed-1/run.json").exists()
    run, _, resumed = trained(name, digits, output, **options)
    assert (run["resumed_after_epoch"], run["epochs_run"]) == (3, 6)
    assert resumed.tobytes() == undisturbed.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorflow", *OTHERS])
def test_a_run_that_ended_after_its_last_epoch_is_finished_as_if_it_had_not(name, digits, tmp_path):
    options = {"epochs": 2, "train_size": 100}
    _, _, undisturbed = trained(name, digits, tmp_path / "undisturbed", **options)
    output = tmp_path / "ended"
    ended = subprocess.run(killed_at("epoch-0002", command(name, digits, output / "seed-1", **options), tmp_path))
    assert ended.returncode != 0 and not (output / "seed-1/model.keras").exists()
    run, _, resumed = trained(name, digits, output, **options)
    assert run["resumed_after_epoch"] == run["epochs_run"] == 2
    assert resumed.tobytes() == undisturbed.tobytes()


WITHOUT_TENSORFLOW = """
import importlib.machinery, os, runpy, sys
class Others(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)
sys.meta_path = [Others if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
absent = sys.argv[1].split()
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A program that runs a script as if packages were not installed: TensorFlow, and others that are named."""


def without_tensorflow(*arguments: str | Path, also: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, f"tensorflow {also}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_run_needs_no_tensorflow_and_is_the_same_without(name, digits, tmp_path):
    options = {"epochs": 2, "train_size": 200, **RECIPE}
    _, _, expected = trained(name, digits, tmp_path / "with", **options)
    output = tmp_path / "without"
    evaluate = [ROOT / "scripts/evaluate.py", "--train-dir", output, "--seeds", "1"]
    for step in (
        command(name, digits, output / "seed-1", **options)[1:],
        [*evaluate, "--data-dir", digits, "--output-dir", output / "evaluated"],
    ):
        result = without_tensorflow(*step)
        assert result.returncode == 0, result.stderr
    (probabilities,) = read_probabilities(output / "evaluated", [1])
    assert probabilities.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scripts/export.py"], "error: exporting needs TensorFlow or PyTorch, which are not installed here; run: pip"),
        (["scripts/train.py", "tensorboard"], "error: training.tensorboard needs TensorFlow, which is not installed"),
        (["scripts/train.py", "tensorflow"], "error: training.backend is tensorflow, which is not installed"),
    ],
    ids=["export", "tensorboard", "training"],
)
def test_what_needs_tensorflow_says_so_where_it_is_not_installed(arguments, message, digits, tmp_path):
    script, *what = arguments
    if what:
        training = {"tensorboard": True} if what == ["tensorboard"] else {}
        arguments = command("tensorflow", digits, tmp_path / "run", **training)[2:]
    else:
        arguments = []
    result = without_tensorflow(ROOT / script, *arguments, also="torch")
    assert result.returncode == 1 and message in result.stderr.splitlines()[-1], result.stderr


def exported(folder: Path, formats: list[str], run) -> subprocess.CompletedProcess:
    """Export the run of ``folder``, a study's results, in these formats."""
    choice = {"candidates": {"cnn": 1}, "seeds": {"cnn": [1]}, "named": False, "described": {}, "formats": formats}
    return run(
        ROOT / "scripts/export.py", "--choice", json.dumps(choice), "--dataset", "digits", "--results-dir", folder
    )


def with_all_packages(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module", params=OTHERS)
def other_study(request, digits, tmp_path_factory) -> tuple[str, Path, np.ndarray]:
    """A backend, a study's results with one run of it, and the probabilities of its test images. Only export writes."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(digits, layout.prepared(folder, "digits"))
    _, _, probabilities = trained(request.param, digits, layout.trained(folder, "digits") / "cnn", epochs=2)
    evaluated = layout.evaluated(folder, "digits", "cnn")
    evaluated.parent.mkdir(parents=True)
    (layout.trained(folder, "digits") / "cnn/evaluated").rename(evaluated)
    return request.param, folder, probabilities


@pytest.mark.slow
@pytest.mark.parametrize("converter", ["tensorflow", "torch"])
def test_a_model_of_another_backend_is_exported_with_its_own_answers_and_served(converter, other_study):
    name, folder, probabilities = other_study
    formats = ["keras", "onnx", "safetensors", *(["saved_model"] if converter == "tensorflow" else [])]
    if importlib.util.find_spec(converter) is None or importlib.util.find_spec("safetensors") is None:
        pytest.skip(f"{converter} or safetensors is not installed")
    result = exported(folder, formats, with_all_packages if converter == "tensorflow" else without_tensorflow)
    assert result.returncode == 0, result.stderr
    output = layout.exported(folder, "digits")
    parity = read_json(output / "parity.json")
    assert parity["evaluated"]["backend"] == name and parity["evaluated"]["converted_by"] == converter
    compared = {pair: values["largest_difference"] for pair, values in parity.items() if "_against_" in pair}
    assert compared.keys() >= {"onnx_against_keras", "safetensors_against_keras", "keras_against_evaluated"}
    assert max(compared.values()) < 1e-5
    assert set(parity["bytes"]) == set(formats)
    assert (output / "saved_model").exists() == ("saved_model" in formats)
    images, _ = prepared.load_test(layout.prepared(folder, "digits"))
    with LocalEndpoint(output, "onnx") as endpoint:
        reply = endpoint.invoke(json.dumps({"instances": images[:5].tolist()}).encode(), "application/json")
    answers = [answer["probabilities"] for answer in json.loads(reply.body)["predictions"]]
    np.testing.assert_allclose(answers, probabilities[:5], atol=1e-5)


@pytest.mark.slow
def test_a_format_that_cannot_be_written_here_is_told_before_anything_is(other_study):
    _, folder, _ = other_study
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    result = exported(folder, ["keras", "onnx", "saved_model"], without_tensorflow)
    assert result.returncode == 1
    assert "deploy.formats has saved_model, which TensorFlow writes, and it is not installed here" in result.stderr


@pytest.mark.slow
def test_pytorch_writes_every_kind_of_model_as_onnx(tmp_path):
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
        pytest.skip("PyTorch or onnxscript is not installed: make install BACKEND=torch")
    program = """
import json, os, sys
os.environ |= {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
sys.path.insert(0, "scripts")
import numpy as np, onnx, onnxruntime
from convlab.runtime.keras_runtime import keras
from convlab.serving import artifacts, onnx_files
from convlab.training.network import build
from convlab.training.run_spec import Run
images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
for model in json.loads(sys.argv[1]):
    described = {"dataset": {"kind": "digits"}, "model": model, "training": {"backend": "torch"}, "seed": 1}
    run = Run.model_validate(described)
    keras.utils.set_random_seed(1)
    trained = build(run.model, (8, 8, 3), 5, "float32", run.training.augmentation)
    generator = np.random.default_rng(3)
    trained.set_weights([w + np.abs(generator.normal(scale=0.1, size=w.shape)) for w in trained.get_weights()])
    served = artifacts.inference_model(trained, run, (8, 8, 3), 5)
    versions = onnx_files.write_onnx(served, onnx_files.Path(sys.argv[2]), list("abcde"))
    text = onnx_files.Path(sys.argv[2]).read_bytes()
    assert b".py" not in text and b"site-packages" not in text, "no paths of this machine"
    assert {o.domain for o in onnx.load(sys.argv[2]).opset_import} == {""}
    assert versions == {"opset": 18, "ir_version": 8}
    session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
    for count in (1, 7, 20):
        given = session.run(["probabilities"], {"pixels": images[:count].astype(np.float32)})[0]
        np.testing.assert_allclose(given, trained.predict_on_batch(images[:count]), atol=1e-5, err_msg=str(model))
"""
    models = [
        {"family": "dense", "units": [8]},
        {
            "family": "conv", "filters": [4, 6], "norm": "batch", "pooling": ["average", "none"], "strides": [1, 2],
            "padding": "valid", "head": "global_average", "dense_units": [8], "activation": "gelu", "dropout": 0.5,
        },
        {"family": "conv", "filters": [6, 6], "groups": 3, "dilation": [1, 2], "norm": "layer", "activation": "silu"},
        {"family": "residual_network", "filters": [4, 6], "blocks_per_stage": 1, "norm": "layer", "dropout": 0.1},
        {
            "family": "vision_transformer", "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2,
            "attention_dropout": 0.1,
        },
    ]  # fmt: skip
    command = [sys.executable, "-c", program, json.dumps(models), tmp_path / "model.onnx"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_backend_can_be_a_studys_factor(name, project):
    experiments = {"backend": {"base": "cnn", "factor": "backend", "levels": ["tensorflow", name]}}
    probes = {"translation": {"shift": 1, "models": ["cnn"]}}
    project.configure({**TINY, "experiments": experiments, "probes": probes})
    result = project.snakemake(env={})  # of jobs that import each its own backend
    assert result.returncode == 0, result.stdout + result.stderr
    spec = json.loads((project.folder / f"results/tiny/train/digits/cnn-backend-{name}/seed-1/run.json").read_text())
    assert spec["spec"]["training"]["backend"] == name
    assert name in (project.folder / "results/tiny/compare/comparisons.csv").read_text()


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(UserError, match=r"training.backend is jax, which is not installed; .*requirements/jax.txt"):
        backend.configure("jax", 1)


def test_a_backend_that_runs_still_need_is_called_missing_before_anything_runs(monkeypatch, tmp_path):
    experiments = {"backend": {"base": "cnn", "factor": "backend", "levels": ["tensorflow", "jax"]}}
    study = load_study({**TINY, "experiments": experiments})
    installed = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jax" else installed("json"))
    (note,) = missing_backends(study, tmp_path)
    assert note.startswith(
        "training.backend is jax, which is not installed; install it with 'make install BACKEND=jax'"
    )
    assert note.endswith("; 3 runs still to be trained, here or elsewhere, need it")
    for seed in study.seeds:
        spec_hash = study.run("digits", "cnn-backend-jax", seed).spec_hash
        write_json(layout.run(tmp_path, "digits", "cnn-backend-jax", seed) / "run.json", {"spec_hash": spec_hash})
    assert missing_backends(study, tmp_path) == []
    changed = load_study({**TINY, "experiments": experiments, "training": {**TINY["training"], "learning_rate": 0.5}})
    assert len(missing_backends(changed, tmp_path)) == 1, "runs of another config are trained again"


def test_a_backend_is_not_changed_behind_keras_back(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    with pytest.raises(RuntimeError, match="before its backend"):
        backend.configure("torch", 1)
