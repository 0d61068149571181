"""The real DAG on real data, from nothing to the report, and what happens when something breaks on the way."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import yaml

from builders.project import ROOT, TINY
from convlab.common.cli import run
from convlab.errors import UserError
from convlab.evaluation.records import read_probabilities

FASHION = {
    "study": "fashion_slice",
    "question": "Does the real thing run?",
    "datasets": {"fashion_mnist": {"train_images": 3000, "test_images": 1000}},
    "seeds": 2,
    "training": {"epochs": 2},
    "models": {
        "dense": {"family": "dense", "units": [128, 64]},
        "cnn": {"family": "conv", "filters": [32, 64], "kernel_size": [3, 3], "dense_units": [64]},
    },
    "experiments": {"first_kernel": {"base": "cnn", "factor": "kernel_size", "levels": [[3, 3], [5, 3]]}},
    "comparisons": {"convolution": {"variant": "cnn", "reference": "dense"}},
}


@pytest.mark.slow
def test_a_slice_of_real_fashion_mnist_goes_from_nothing_to_its_report(project):
    project.configure(FASHION)
    result = project.snakemake(cache=os.environ.get("CONVLAB_CACHE") or str(Path.home() / ".cache/convlab"))
    log = project.folder / "results/fashion_slice/logs/prepare/fashion_mnist.log"
    if result.returncode and "cannot get Fashion-MNIST" in log.read_text() and not os.environ.get("CI"):
        pytest.skip("Fashion-MNIST can be had from nowhere: no cache, no package, no network")
    assert result.returncode == 0, result.stdout + result.stderr
    folder = project.folder / "results/fashion_slice"
    manifest = json.loads((folder / "prepare/fashion_mnist/manifest.json").read_text())
    assert set(manifest["counts"]["train"].values()) == {300}
    runs = pd.read_csv(folder / "compare/runs.csv")
    assert len(runs) == 6
    assert set(runs.groupby("variant")["parameters"].first()) == {109_386, 220_234, 220_746}
    assert runs["test_accuracy"].min() > 0.5, "better than guessing by far"
    page = (folder / "report/index.html").read_text()
    assert "Does the real thing run?" in page and "220,234" in page
    assert project.planned() == set()


@pytest.mark.slow
def test_predictions_are_those_of_a_run_by_hand(finished_study, tmp_path):
    """What the DAG computed, `python scripts/train.py` and `evaluate.py` compute again, byte for byte."""
    results = finished_study.folder / "results/tiny"
    spec = json.loads((results / "train/digits/cnn/seed-2/run.json").read_text())["spec"]
    script, data = ROOT / "scripts", results / "prepare/digits"
    arguments = ["--spec", json.dumps(spec), "--data-dir", data, "--output-dir", tmp_path / "seed-2"]
    subprocess.run([sys.executable, script / "train.py", *arguments], check=True, capture_output=True)
    arguments = ["--train-dir", tmp_path, "--seeds", "2", "--data-dir", data, "--output-dir", tmp_path / "evaluated"]
    subprocess.run([sys.executable, script / "evaluate.py", *arguments], check=True, capture_output=True)
    again, before = (
        read_probabilities(folder, [2]) for folder in (tmp_path / "evaluated", results / "evaluate/digits/cnn")
    )
    assert again.tobytes() == before.tobytes()


@pytest.mark.slow
def test_a_failing_run_shows_the_end_of_its_log_and_the_others_go_on(project):
    project.configure({**TINY, "experiments": {}})
    script = project.folder / "scripts/train.py"
    line = "    seeds = prepared.seed_streams(spec.seed)\n"
    pulled = '    assert spec.seed != 2 or "CABLE" not in __import__("os").environ, "the cable was pulled"\n'
    assert line in script.read_text()
    script.write_text(script.read_text().replace(line, line + pulled))
    environment = {**os.environ, "CABLE": "pulled"}
    command = project.command(real=False)
    result = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, env=environment)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "the cable was pulled" in output
    assert re.search(r"results/tiny/logs/train/digits/\w+/seed-2\.log", output.replace("\n", ""))
    assert "Finished results are kept" in output
    variants, folder = ("dense", "cnn"), project.folder / "results/tiny/train/digits"
    finished = {str(path.parent.relative_to(folder)) for path in folder.rglob("run.json")}
    assert finished == {f"{variant}/seed-{seed}" for variant in variants for seed in (1, 3)}
    left = {
        job for variant in variants for job in (f"Train {variant} on digits, seed 2", f"Evaluate {variant} on digits")
    }
    assert project.planned() == left | {"Compare all runs", "Write the report"}


def test_a_full_disk_is_told_in_one_sentence(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    code = (
        "import sys; sys.path.insert(0, 'scripts')\nfrom convlab.common.cli import run\n"
        "def main():\n    with open('/dev/full', 'w') as stream: stream.write('x' * 100000)\nrun(main)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: cannot write" in result.stderr and "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_users_mistake_ends_a_script_with_one_line(capsys):
    def main():
        raise UserError("the file is missing; add it")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert str(caught.value) == "error: the file is missing; add it"


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    from convlab.common.files import atomic

    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_stage_has_its_rule_script_and_test():
    stages = {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"common"}
    for stage in stages:
        assert (ROOT / f"scripts/{stage}.py").is_file(), stage
        assert (ROOT / f"tests/test_{stage}.py").is_file(), stage


@pytest.mark.parametrize(
    "stage",
    [
        "prepare",
        "explore",
        "train",
        "evaluate",
        "compare",
        "report",
        "export",
        "model_card",
        "deploy",
        "serve",
        "archive",
        "verify",
    ],
)
def test_every_script_explains_itself(stage, capsys, monkeypatch):
    monkeypatch.chdir("/")
    with pytest.raises(SystemExit) as ended:
        import_module(stage).main(["--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert "usage:" in printed and len(printed) > 200


def test_the_log_profile_is_the_default_one_without_progress_bars():
    default, log = (yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text()) for name in ("default", "log"))
    assert default.pop("logger") == "rich"
    assert log.pop("quiet") == ["host", "reason"]
    assert log == default
