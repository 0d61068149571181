"""The speed of this machine: measured once for each architecture, kept, and made a time of; warnings that follow."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pooch
import pytest

import plan
from builders.history import write_epochs
from builders.project import ROOT, TINY
from convlab.common import environment, provenance
from convlab.common.specs import canonical_json
from convlab.study import machine_load, plan_text, precision_cost, schema, speeds
from convlab.study.durations import Job, makespan, study_duration
from convlab.study.estimate import (
    Earlier,
    Images,
    architectures_left,
    architectures_to_measure,
    earlier_runs,
    job_seconds,
    run_seconds,
    were_side_by_side,
)
from convlab.study.load import load_study
from convlab.study.speeds import Speed

HERE = {"processor": "a", "instructions": "avx2", "gpu": False, "versions": {}, "environment": {}}
SPEED = Speed(1000.0, 4000.0, 1.0, 2.0, "CPU")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """No speed that was measured of this machine before."""
    monkeypatch.setenv("CONVLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny_with(**training) -> dict:
    return {**TINY, "training": {**TINY["training"], **training}}


def key_of(config: dict, variant: str = "cnn") -> str:
    return speeds.key(speeds.architecture(load_study(config), "digits", variant))


def test_an_architecture_is_known_whatever_does_not_change_the_time_of_a_step():
    for same in ({"epochs": 9}, {"learning_rate": 0.1}, {"train_size": 100}, {"pixel_permutation": 2}):
        assert key_of(tiny_with(**same)) == key_of(TINY)
    for other in ({"batch_size": 7}, {"precision": "mixed_bfloat16"}, {"optimizer": "sgd"}, {"backend": "jax"}):
        assert key_of(tiny_with(**other)) != key_of(TINY)
    assert key_of(TINY, "dense") != key_of(TINY)


def test_a_users_files_are_listed_once_however_many_variants_there_are(monkeypatch):
    listed = []
    form = schema.dataset_form
    monkeypatch.setattr(schema, "dataset_form", lambda *arguments: (listed.append(1), form(*arguments))[1])
    study = load_study(TINY)
    architectures_left(study, Earlier())
    plan_text.summary(study, known(study), 2)
    assert listed == [1]


def test_a_measured_speed_is_kept_for_this_machine_alone(own_cache):
    entry = speeds.architecture(load_study(TINY), "digits", "cnn")
    name = speeds.key(entry)
    assert speeds.known_speeds([name], HERE) == {}
    speeds._keep(name, entry, HERE, SPEED)
    assert speeds.known_speeds([name], HERE) == {name: SPEED}
    for change in (
        {"processor": "b"},
        {"instructions": "avx512f"},
        {"gpu": True},
        {"versions": {"keras": "4"}},
        {"code": {}},
    ):
        assert speeds.known_speeds([name], HERE | change) == {}
    next(own_cache.rglob("*.json")).write_text("{")
    assert speeds.known_speeds([name], HERE) == {}


def test_speeds_belong_to_the_code_that_trains_and_to_no_other():
    code = speeds.machine()["code"]
    assert {"convlab/training/loop.py", "convlab/runtime/keras_runtime.py"} <= code.keys()
    assert not any(name.startswith(("convlab/study", "time_steps")) for name in code)


def test_a_cache_that_cannot_be_written_ends_nothing(own_cache):
    own_cache.write_text("a file where a folder should be")
    note = speeds._keep("{}", {}, HERE, SPEED)
    assert note.startswith(f"speeds cannot be kept in {own_cache}/speeds (") and "set CONVLAB_CACHE" in note


def test_a_user_without_a_home_folder_can_plan(monkeypatch):
    def no_home(name: str) -> str:
        raise RuntimeError("could not determine the home directory for '~/.cache'")

    monkeypatch.delenv("CONVLAB_CACHE")
    monkeypatch.setattr(pooch, "os_cache", no_home)
    assert speeds.known_speeds(["{}"], HERE) == {}
    assert "set CONVLAB_CACHE to a folder" in speeds._keep("{}", {}, HERE, SPEED)


def test_what_fails_while_speeds_are_measured_is_told_in_a_sentence_and_the_rest_is_kept(tmp_path, monkeypatch):
    study = load_study(TINY)
    entries = architectures_left(study, Earlier())
    script = tmp_path / "time_steps.py"
    line = {"images_per_second": 5, "forward_images_per_second": 9, "compile_seconds": 1, "device": "CPU"}
    script.write_text(
        f"import sys\nprint('{{\"start_seconds\": 2}}')\nprint('{json.dumps(line)}')\nsys.exit('error: no room')\n"
    )
    monkeypatch.setattr(speeds, "SCRIPT", script)
    measured, problems = speeds.measure_speeds(entries, HERE)
    smallest = min(entries, key=lambda name: entries[name]["macs"])
    assert measured == speeds.known_speeds(entries, HERE) == {smallest: Speed(5, 9, 1, 2, "CPU")}
    assert problems == ["the speed of 2 architectures is not known: measuring failed (no room)"]


def test_what_libraries_print_in_other_encodings_ends_nothing(tmp_path, monkeypatch):
    script = tmp_path / "time_steps.py"
    script.write_text("import os, sys\nos.write(2, bytes([255, 10]))\nsys.exit(3)\n")
    monkeypatch.setattr(speeds, "SCRIPT", script)
    _, problems = speeds.measure_speeds(architectures_left(load_study(TINY), Earlier()), HERE)
    assert problems[0].startswith("the speed of 3 architectures is not known: measuring failed (")


def test_a_backend_that_is_not_installed_is_not_measured_with(monkeypatch):
    monkeypatch.setattr(plan, "not_installed", lambda backend: "none")
    monkeypatch.setattr(speeds, "measure_speeds", lambda *_: pytest.fail("measured"))
    assert plan.with_speeds(load_study(TINY), Earlier(), measure=True) == (Earlier(), [])


def test_one_architecture_that_cannot_be_measured_leaves_the_others_measured(tmp_path, monkeypatch):
    entries = architectures_left(load_study(TINY), Earlier())
    script = tmp_path / "time_steps.py"
    line = {"images_per_second": 5, "forward_images_per_second": 9, "compile_seconds": 1, "device": "CPU"}
    lines = [{"start_seconds": 2}, line, {"problem": "too large"}, line]
    script.write_text("\n".join(f"print({json.dumps(line)!r})" for line in lines))
    monkeypatch.setattr(speeds, "SCRIPT", script)
    measured, problems = speeds.measure_speeds(entries, HERE)
    assert len(measured) == 2
    assert problems == ["the speed of 1 architecture is not known: measuring failed (too large)"]


def test_of_many_architectures_some_of_each_size_are_measured():
    names = list("abcdefghijklmnop")
    entries = {name: {"macs": 1, "training": {"backend": "jax", "precision": name < "c"}} for name in names}
    assert sorted(speeds.chosen_by_backend(entries)["jax"])[:3] == ["a", "b", "c"]
    assert len(speeds.chosen_by_backend(entries)["jax"]) == 2 + speeds.MAX_MEASURED
    assert speeds.spread(names, 3) == ["a", "i", "p"] and speeds.spread(names[:3], 3) == ["a", "b", "c"]


# ---------------------------------------------------------------------------------------------------------------------
# From speeds to a time


def known(study, **changes) -> Earlier:
    """What is known of a study with 300 images to divide and 100 test images, each architecture equally fast."""
    entries = architectures_left(study, Earlier())
    sizes = {canonical_json(study.datasets["digits"].identity): Images(0, 300, 100)}
    return Earlier(sizes=sizes).with_speeds(dict.fromkeys(entries, replace(SPEED, **changes)), entries)


def test_a_run_takes_its_training_its_validation_and_the_start_of_its_process():
    study = load_study(tiny_with(epochs=2))
    earlier = known(study)
    assert run_seconds(study, "digits", "cnn", earlier) == pytest.approx(2 * (270 / 1000 + 30 / 4000))
    assert job_seconds(study, "digits", "cnn", earlier) == pytest.approx(2 * (270 / 1000 + 30 / 4000) + 1 + 2)
    steps = load_study(tiny_with(epochs=2, steps=10, batch_size=50))
    assert run_seconds(steps, "digits", "cnn", known(steps)) == pytest.approx(2 * (250 / 1000 + 30 / 4000))


def test_earlier_runs_of_this_machine_know_better_than_what_was_measured():
    study = load_study(tiny_with(epochs=1))
    earlier = known(study)
    earlier.equal[key_of(TINY)] = [0.1, 0.3]
    assert run_seconds(study, "digits", "cnn", earlier) == pytest.approx((270 + 30 / 3) * 0.2)
    assert run_seconds(study, "digits", "dense", earlier) == pytest.approx(270 / 1000 + 30 / 4000)


def test_a_short_run_of_a_few_images_tells_how_long_a_long_one_takes(tmp_path):
    quick = load_study({**tiny_with(epochs=2), "study": "tiny_quick"})
    run = quick.run("digits", "cnn", 1)
    path = tmp_path / "tiny_quick/train/digits/cnn/seed-1/run.json"
    path.parent.mkdir(parents=True)
    record = {"spec": run.identity, "spec_hash": run.spec_hash, "images_per_second": 8.0, "classes": 10}
    record |= {"input_shape": [8, 8, 1], "device": "CPU", "environment": environment.choices()}
    record |= {"images_per_epoch": 24, "validation_images": 3, "epochs_run": 2, "hardware": provenance.hardware()}
    path.write_text(json.dumps(record))
    write_epochs(path.with_name("history.csv"), 5.0, 0.5)
    study = load_study(tiny_with(epochs=20))
    assert run_seconds(study, "digits", "cnn", earlier_runs(tmp_path, study)) == pytest.approx(20 * 0.5 * 280 / 25)
    path.write_text(json.dumps(record | {"epochs_run": 1}))
    assert earlier_runs(tmp_path, study).equal == {}
    path.with_name("history.csv").unlink()
    assert earlier_runs(tmp_path, study).rates == {} and earlier_runs(tmp_path, quick).done == {("digits", "cnn", 1)}


def test_what_was_not_measured_follows_from_macs():
    study = load_study(tiny_with(epochs=1))
    earlier = known(study)
    del earlier.speeds[key_of(TINY)]
    assert run_seconds(study, "digits", "cnn", earlier) == pytest.approx((270 + 30 / 3) / 1000)


def test_runs_of_another_machine_are_done_and_tell_nothing_of_this_one(tmp_path):
    study = load_study(TINY)
    run = study.run("digits", "cnn", 1)
    path = tmp_path / "tiny/train/digits/cnn/seed-1/run.json"
    path.parent.mkdir(parents=True)
    record = {"spec": run.identity, "spec_hash": run.spec_hash, "images_per_second": 1000.0, "classes": 10}
    record |= {"input_shape": [8, 8, 1], "device": "CPU", "environment": environment.choices()}
    record |= {"images_per_epoch": 270, "validation_images": 30, "epochs_run": 2}
    write_epochs(path.with_name("history.csv"), 1.0, 1.0)
    for change, equal in (({}, 1), ({"processor": "another"}, 0), ({"instructions": "another"}, 0)):
        path.write_text(json.dumps(record | {"hardware": provenance.hardware() | change}))
        earlier = earlier_runs(tmp_path, study)
        assert earlier.done == {("digits", "cnn", 1)} and len(earlier.equal) == len(earlier.rates) == equal


def test_a_study_ends_when_the_last_of_its_jobs_does():
    jobs = {name: Job(seconds, seconds) for name, seconds in {"a": 4.0, "b": 3.0, "c": 3.0}.items()}
    assert makespan(jobs, 1) == 10 and makespan(jobs, 2) == 6 and makespan(jobs, 9) == 4
    jobs["after"] = Job(5.0, 99, frozenset({"b", "c"}))
    assert makespan(jobs, 2) == 11 and makespan({}, 2) == 0


def test_a_study_takes_less_on_more_cores_and_more_with_probes_and_trials():
    tuned = {"tuning": {"trials": 3, "over": {"learning_rate": [0.001, 0.01]}}}
    changes = ({}, {"probes": ["translation"]}, tuned)
    studies = [load_study({**TINY, "probes": [], **change}) for change in changes]
    plain, probed, searched = (study_duration(study, known(study), 2).seconds for study in studies)
    assert plain < probed < searched
    assert study_duration(studies[0], known(studies[0]), 1).seconds > plain
    assert study_duration(studies[0], Earlier(), 2) is None


def test_a_study_whose_runs_are_all_there_has_nothing_measured():
    study = load_study(TINY)
    runs = {("digits", variant, seed) for variant in study.plan.trained for seed in study.seeds}
    earlier = Earlier(done=runs)
    assert architectures_left(study, earlier) == {}
    assert plan_text.summary(study, earlier, 2).endswith(
        "9 runs, 9 of them done; nothing is left to train, unless data or code have changed."
    )


def test_only_what_is_not_known_is_measured(monkeypatch):
    study = load_study(TINY)
    entries, earlier = architectures_left(study, Earlier()), known(study)
    assert architectures_to_measure(study, Earlier(), entries) == entries
    assert architectures_to_measure(study, earlier, entries) == {}
    monkeypatch.setattr(speeds, "MAX_MEASURED", 2)
    some = replace(earlier, speeds=dict(list(earlier.speeds.items())[:2]))
    assert architectures_to_measure(study, some, entries) == {}
    ran = Earlier(equal={key_of(TINY): [0.1]})
    assert architectures_to_measure(study, ran, entries).keys() == entries.keys() - {key_of(TINY)}


def test_the_line_names_the_speed_of_each_architecture_once():
    study = load_study({**TINY, "probes": ["pixel_permutation"]})
    printed = plan_text.summary(study, known(study, images_per_second=1234.0), 2)
    assert "cnn 1,200" in printed and "dense 1,200" in printed and "shuffled" not in printed
    assert "(images/s of a run: " in printed
    slow = plan_text.summary(study, known(study, images_per_second=0.123), 2)
    assert "cnn 0.12" in slow


def test_the_line_names_the_dataset_of_a_speed_where_there_are_several():
    one_model = {"models": {"cnn": TINY["models"]["cnn"]}, "experiments": {}, "comparisons": {}}
    study = load_study({**TINY, **one_model, "datasets": {**TINY["datasets"], "fashion_mnist": {}}})
    printed = plan_text.summary(study, known(study), 2)
    assert "(images/s of a run: cnn on digits 1,000; cnn on fashion_mnist 1,000)" in printed


def test_a_speed_that_could_not_be_measured_is_not_offered_to_be_measured():
    study = load_study(TINY)
    earlier = replace(known(study), speeds={}, rates={})
    assert plan_text.summary(study, earlier, 2).endswith("has not been measured (`make plan` does that).")
    assert plan_text.summary(study, earlier, 2, tried=True).endswith("could not be measured.")


@pytest.mark.slow
def test_the_speed_of_this_machine_is_measured_once_by_the_code_that_trains(tmp_path, own_cache):
    config = tmp_path / "study.yaml"
    config.write_text(json.dumps(TINY))
    command = [sys.executable, str(ROOT / "scripts/plan.py"), str(config), "--results", str(tmp_path), "--brief"]
    first, second = (
        subprocess.run([*command, *options], capture_output=True, text=True) for options in (["--measure"], [])
    )
    assert "Measuring once how fast this machine trains 3" in first.stderr and second.stderr == ""
    assert "the report in about" in first.stdout and first.stdout == second.stdout
    kept = [json.loads(path.read_text())["speed"] for path in own_cache.rglob("*.json")]
    assert len(kept) == 3 and all(speed["images_per_second"] > 0 and speed["device"] == "CPU" for speed in kept)


@pytest.mark.slow
@pytest.mark.parametrize(("macs", "images"), [(100, 16), (2 * 10**9, 8), (10**12, 1)])
def test_a_step_that_would_take_too_long_is_measured_with_fewer_images(monkeypatch, macs, images):
    from convlab.training import step_times

    study, sizes = load_study(tiny_with(batch_size=16)), []
    variant, fit_epochs = study.plan.variants["dense"], step_times.fit_epochs

    def noted(model, training, *others):
        sizes.append(training.batch_size)
        fit_epochs(model, training, *others)

    monkeypatch.setattr(step_times, "fit_epochs", noted)
    architecture = step_times.Architecture(variant.model, variant.training, (8, 8, 1), 10, macs)
    measured = step_times.step_times(architecture, seconds=0)
    assert sizes == [images]
    assert all(measured[name] > 0 for name in ("images_per_second", "forward_images_per_second", "compile_seconds"))


# ---------------------------------------------------------------------------------------------------------------------
# Warnings


@pytest.mark.parametrize(("slower", "told"), [(1.5, True), (0.5, False), (1.0, False)])
@pytest.mark.parametrize("instructions", ["avx2", "avx2 avx512_bf16"])
def test_a_precision_is_judged_by_what_was_measured_and_not_by_flags(slower, told, instructions):
    study = load_study(tiny_with(precision="mixed_bfloat16"))
    pair = precision_cost.precision_pairs(study)["mixed_bfloat16"]
    measured = {speeds.key(pair.mixed): SPEED, speeds.key(pair.full): replace(SPEED, images_per_second=1000 * slower)}
    sentences = precision_cost.precision_costs(study, measured, instructions)
    assert sentences == told * [
        "mixed_bfloat16 takes 1.5 times as long as float32 on this machine, measured with cnn-kernel_size-5x5 (3 of "
        "3 variants are trained in it); precision: float32 is faster here"
    ]


def test_float32_is_measured_beside_a_mixed_precision():
    study = load_study(tiny_with(precision="mixed_float16"))
    precisions = [entry["training"]["precision"] for entry in architectures_left(study, Earlier()).values()]
    assert sorted(precisions) == ["float32"] + ["mixed_float16"] * 3


@pytest.mark.slow
def test_warnings_that_make_has_printed_are_not_printed_again_by_snakemake(project, monkeypatch):
    project.configure(tiny_with(momentum=0.5))
    warnings = []
    for _ in range(2):
        result = project.snakemake("-n")
        assert result.returncode == 0, result.stderr
        warnings.append("training.momentum has no effect" in result.stdout + result.stderr)
        monkeypatch.setenv("CONVLAB_NOTES", "printed")
    assert warnings == [True, False]


def test_more_runs_than_processors_are_named(monkeypatch):
    monkeypatch.setattr(machine_load, "usable_processors", lambda: 2)
    assert machine_load.load_notes(load_study(TINY), 2) == []
    (note,) = machine_load.load_notes(load_study(TINY), 12)
    assert note.startswith("12 runs side by side are asked for, but only 2 processors") and "CORES=2" in note


@pytest.mark.parametrize(("quota", "processors"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64)])
def test_a_containers_quota_limits_the_processors(tmp_path, monkeypatch, quota, processors):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(machine_load, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine_load.os, "sched_getaffinity", lambda _: set(range(64)))
    assert machine_load.usable_processors() == processors


def test_two_threads_of_a_core_are_one_run_at_full_speed(tmp_path, monkeypatch):
    for number in range(4):
        folder = tmp_path / f"cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 2},{number % 2 + 2}\n")
    monkeypatch.setattr(machine_load, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(machine_load.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert (
        machine_load.full_speed_runs(4) == machine_load.full_speed_runs(3) == 2 and machine_load.full_speed_runs(1) == 1
    )
    assert machine_load.full_speed_runs(4, were_side_by_side=True) == 4


def test_earlier_runs_shared_cores_already():
    study = load_study(TINY)
    equal = {name: [0.1] for name in architectures_left(study, Earlier())}
    assert were_side_by_side(study, Earlier(equal=equal))
    equal.pop(key_of(TINY))
    assert not were_side_by_side(study, Earlier(equal=equal))


@pytest.mark.parametrize(
    ("installed", "plugin", "computes"),
    [
        (["tensorflow"], False, True),
        (["tensorflow-cpu"], False, False),
        (["torch"], False, True),
        (["jax"], False, False),
        (["jax"], True, True),
    ],
)
def test_a_gpu_is_used_by_libraries_that_were_built_for_it(monkeypatch, installed, plugin, computes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(provenance, "versions", lambda: dict.fromkeys(installed, "1"))
    monkeypatch.setattr(speeds.importlib.util, "find_spec", lambda name: plugin or None)
    assert speeds.computes_on_gpu() == computes
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not speeds.computes_on_gpu()


def test_a_gpu_that_no_run_would_use_is_named(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 0\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (note,) = machine_load.load_notes(load_study(TINY), 1)
    assert note == "nvidia-smi lists 1 GPU, but these runs would compute on processors; use `make run GPU=1`"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(provenance, "versions", lambda: {"tensorflow": "2.21"})
    assert machine_load.load_notes(load_study(TINY), 1) == []
    assert machine_load.load_notes(load_study(tiny_with(backend="jax")), 1) == []
