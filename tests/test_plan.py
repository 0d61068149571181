"""`make plan`: size, remaining runs and time of a study before anything runs."""

import json
import subprocess
import sys

import pytest

from builders.history import write_epochs
from builders.project import ROOT, TINY
from convlab.common import environment, provenance
from convlab.study import plan_text
from convlab.study.durations import Duration
from convlab.study.estimate import Earlier, earlier_runs, run_seconds, seconds_per_image
from convlab.study.load import load_study
from convlab.study.plan_text import summary, table


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No speed that was measured of this machine before."""
    monkeypatch.setenv("CONVLAB_CACHE", str(tmp_path / "cache"))


def plan(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "scripts/plan.py", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_default_plan_names_every_variant_with_its_size_and_the_number_of_runs(tmp_path):
    result = plan("--results", str(tmp_path))
    assert result.returncode == 0, result.stderr
    for text in (
        "220,234",
        "220,746",
        "221,514",
        "109,386",
        "7×7×64",
        "6 variants × 3 seeds = 18 runs, 0 of them done",
    ):
        assert text in result.stdout
    assert "the speed of this machine has not been measured (`make plan` does that)" in result.stdout


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "does not exist; name a study's config file, with make as STUDY=<file>"),
        ("study: [", "line 1 is not valid YAML"),
        ("study: a\n", "datasets is missing"),
    ],
)
def test_a_config_that_cannot_run_ends_with_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "study.yaml"
    if text:
        path.write_text(text)
    result = plan(str(path))
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and sentence in result.stderr and result.stderr.count("\n") == 1


def test_time_grows_with_macs_and_is_never_below_the_fastest_run():
    known = [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert seconds_per_image(250, known) == pytest.approx(2.5)
    assert seconds_per_image(1, known) == 1.0
    assert seconds_per_image(200, [(100, 1.0)]) == pytest.approx(2.0)
    assert seconds_per_image(200, []) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(42, "40 seconds"), (425, "7 minutes"), (7 * 3600, "7.0 hours"), (72 * 3600, "3.0 days")]
)
def test_the_time_until_the_report_is_told_in_one_line(monkeypatch, seconds, text):
    study = load_study(TINY)
    runs = [("digits", variant, seed) for variant in study.plan.variants for seed in study.seeds]
    monkeypatch.setattr(plan_text, "study_duration", lambda *_: Duration(seconds, 0))
    printed = summary(study, Earlier(done=set(runs[1:])), 1)
    assert f"8 of them done; the report in about {text} on 1 core" in printed and "\n" not in printed
    stopping = load_study({**TINY, "training": {**TINY["training"], "early_stopping": {"patience": 2}}})
    assert f"the report in at most about {text} on 1 core" in summary(stopping, Earlier(), 1)


def test_earlier_runs_count_as_done_only_with_the_configs_spec_and_give_the_speed(tmp_path):
    study = load_study(TINY)
    for name, seed, spec_hash in (("tiny", 1, None), ("tiny", 2, "other"), ("elsewhere", 1, None)):
        run = study.run("digits", "cnn", seed)
        run_folder = tmp_path / name / "train/digits/cnn" / f"seed-{seed}"
        run_folder.mkdir(parents=True)
        record = {"spec": run.identity, "spec_hash": spec_hash or run.spec_hash, "images_per_second": 1000.0}
        record |= {"images_per_epoch": 270, "validation_images": 30, "input_shape": [8, 8, 1], "classes": 10}
        write_epochs(run_folder / "history.csv", 9.0, 0.27)  # the model is compiled in the first
        record |= {
            "epochs_run": 2,
            "device": "CPU, 1 thread(s)",
            "hardware": provenance.hardware(),
            "environment": environment.choices(),
        }
        (run_folder / "run.json").write_text(json.dumps(record))
    (tmp_path / "tiny/train/digits/dense/seed-1").mkdir(parents=True)
    (tmp_path / "tiny/train/digits/dense/seed-1/run.json").write_text("{")
    earlier = earlier_runs(tmp_path, study)
    assert earlier.done == {("digits", "cnn", 1)}
    assert len(earlier.rates["tensorflow", "float32"]) == 3 and list(earlier.sizes.values()) == [(0, 300, 100, 0)]
    assert run_seconds(study, "digits", "cnn", earlier) == pytest.approx(0.27)
    assert "9 runs, 1 of them done; the report in about" in summary(study, earlier, 2)
    assert "?" not in table(study, earlier)
    assert run_seconds(study, "digits", "cnn", Earlier()) is None
