"""benchmarks/bench.py, speed: same data and recipe for all, ratios round by round, goals with their arithmetic."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import bench
import numpy as np
import processor
import pytest
import ratios
import speed
from processes import Usage, plain_environment, usage

from builders.project import TINY
from convlab.common.files import read_json, write_json
from convlab.datasets import prepared

PROCESSOR = {
    "processor": "Test processor", "cores": 2, "memory_gb": 8.0, "system": "Linux x86_64", "imitated_avx2": False,
    "extensions": {"AVX2": True, "AMX bfloat16": False},
    "onednn": {"tensorflow": "2.21.0", "as_installed": True, "under_convlab": True, "instructions": "Intel AVX2"},
    "gemm_flops": {
        "NumPy": {"float32": {"one thread": 8e10, "all cores": 1.5e11}},
        "oneDNN": {
            "float32": {"one thread": 9e10, "all cores": 1.6e11},
            "bfloat16": {"one thread": 1e10, "all cores": 2e10},
        },
    },
}  # fmt: skip

RECIPE = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "schedule": "one_cycle", "label_smoothing": 0.1}
SMALL = {
    **TINY,
    "seeds": [1],
    "datasets": {"digits": {"train_images": 600, "test_images": 200}},
    "training": RECIPE,
    "probes": ["translation"],
}


def race(tmp_path, config=SMALL, **options):
    return replace(speed.race_of(config, tmp_path, 2), processor={**PROCESSOR, **options})


def result(wall, train_seconds, images=1000, cores=2):
    """A contender's figures as far as ratios need them."""
    return {
        "wall": wall, "cpu_seconds": wall, "images_per_second": images / wall,
        "process_images_per_second": images / train_seconds, "not_training": 1 - train_seconds / cores / wall,
        "core_seconds": {"training": train_seconds, "idle cores and Snakemake": cores * wall - train_seconds},
        "phases": {"before the first training": 4.0}, "share_of_peak": 0.5,
        "accuracy": {"cnn": {"mean": 90.0, "sd": 0.25}},
    }  # fmt: skip


ROUNDS = [
    {"notebook": result(100, 96), "float32": result(80, 140), "mixed_bfloat16": result(47, 72)},
    {"notebook": result(200, 190), "float32": result(140, 260), "mixed_bfloat16": result(70, 120)},
    {"notebook": result(100, 96)},  # stopped
]


def test_ratios_are_taken_within_a_round_and_unfinished_ones_are_left_out():
    assert ratios.ratios(ROUNDS, "float32") == [0.8, 0.7]
    assert ratios.spread(ratios.ratios(ROUNDS, "float32")).text() == "0.75 (0.70 to 0.80)"
    assert ratios.spread([0.5]).text() == "0.50"


def test_without_overhead_all_cores_train_all_of_the_time():
    assert ratios.ratios_without_overhead(ROUNDS[:1], "float32", 2) == [pytest.approx(140 / 2 / 100)]


def test_goals_depend_on_whether_tensorflow_has_onednn_on_as_installed():
    assert ratios.goals(True) == [
        ratios.Goal("float32", "wall", 0.75),
        ratios.Goal("mixed_bfloat16", "wall", 0.4),
        ratios.Goal("float32", "not_training", 0.12),
    ]
    assert ratios.goals(False) == [ratios.Goal("float32", "wall", 0.55), ratios.Goal("float32", "not_training", 0.12)]


def test_a_goal_that_is_not_met_gets_its_arithmetic_and_one_that_is_met_none():
    text = "\n".join(ratios.summary(ROUNDS, 2, True))
    assert "workflow, float32, at most 0.75 of the notebook's wall time: met, 0.75 (0.70 to 0.80)" in text
    assert "mixed_bfloat16, at most 0.4 of the notebook's wall time: NOT MET, 0.41 (0.35 to 0.47)" in text
    assert "without any overhead it would be 0.33 (0.30 to 0.36)" in text and "before the first training 4 s" in text
    assert "at most 12 % not training: met, 9.82 (7.14 to 12.50)" in text
    assert text.count("without any overhead") == 1


def test_the_table_has_medians_and_a_row_for_each_contender_that_ran():
    figures = {"study": "tiny", "runs": 12, "shown_variant": "cnn", "rounds": ROUNDS}
    head, _, notebook, float32, bfloat16 = ratios.table(figures).splitlines()
    assert head.startswith("| tiny, 12 runs, 3 rounds | wall, s |")
    assert notebook.startswith("| notebook, TensorFlow as installed | 100 (100 to 200) | 1 |  |")
    assert float32.startswith("| workflow, float32 | 110 (80 to 140) | 0.75 (0.70 to 0.80) | 9.8 (7.1 to 12.5) |")
    assert bfloat16.endswith("| 50.0 | 90.00 ± 0.25 |")


def test_the_processor_is_measured_without_gpus_and_without_settings_of_libraries(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = plain_environment({"TF_ENABLE_ONEDNN_OPTS": "0"})
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1" and environment["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert "OMP_NUM_THREADS" not in environment


def test_one_seed_has_no_sd():
    assert speed.accuracy_text({"mean": 90.0, "sd": 0.25}) == "90.00 ± 0.25"
    assert speed.accuracy_text({"mean": 90.0, "sd": None}) == "90.00"


def test_cores_are_accounted_for_by_rule():
    jobs = {"train": 120.0, "evaluate": 10.0, "report": 2.0}
    assert speed.core_seconds(jobs, 100.0, 150.0) == {
        "training": 100.0, "starts of trainings": 20.0, "evaluate": 10.0, "report": 2.0,
        "idle cores and Snakemake": 18.0,
    }  # fmt: skip


def test_the_tail_begins_when_the_first_core_has_no_training_left():
    spans = [(105.0, 150.0), (106.0, 190.0), (150.0, 170.0)]
    waits = speed.phases((100.0, 205.0), spans, 2)
    assert list(waits.values()) == [5.0, 20.0, 15.0]


def test_the_notebooks_refuse_a_study_that_they_could_not_repeat(tmp_path):
    config = {**SMALL, "models": {**TINY["models"], "cnn": {**TINY["models"]["cnn"], "norm": "batch"}}}
    with pytest.raises(SystemExit, match=r"have no norm of batch \(variant cnn\)"):
        race(tmp_path, config)
    with pytest.raises(SystemExit, match=r"have no training\.schedule of piecewise"):
        race(tmp_path, {**SMALL, "training": {"schedule": "piecewise"}})
    with pytest.raises(SystemExit, match="has 2 datasets"):
        race(tmp_path, {**SMALL, "datasets": {"digits": {}, "mnist": {}}})


def test_planned_looks_stop_at_the_first_and_probes_are_left_out(tmp_path):
    planned = race(tmp_path, {**SMALL, "seeds": {"from": 3, "to": 6, "step": 3}})
    assert [run.seed for name, run in planned.runs if name == "dense"] == [1, 2, 3]
    assert "probes" not in planned.config


def test_what_does_not_start_is_named_with_its_reason(tmp_path):
    reasons = speed.left_out(race(tmp_path), [*speed.CONTENDERS])
    assert set(reasons) == {"notebook_onednn", "torch", "mixed_bfloat16"}
    assert "0.12 times float32's rate" in reasons["mixed_bfloat16"]
    onednn = {**PROCESSOR["onednn"], "as_installed": False}
    assert "notebook_onednn" not in speed.left_out(race(tmp_path, onednn=onednn), [*speed.CONTENDERS])


def test_an_imitated_processor_has_no_onednn_as_installed():
    assert processor.installed_environment(True)["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert processor.installed_environment(False) == {}
    assert processor.bfloat16_gain(PROCESSOR) == 0.125
    assert processor.peak_of_all_cores(PROCESSOR) == 1.6e11


def test_onednn_is_on_where_it_ran_a_convolution():
    lines = [
        "onednn_verbose,v1,info,cpu,isa:Intel AVX2",
        "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,forward_training,src:f32",
    ]
    assert processor.onednn_state(lines) == {"convolution": True, "isa": "Intel AVX2"}
    assert processor.onednn_state(lines[:1])["convolution"] is False


def test_instruction_sets_are_those_of_the_architecture():
    assert processor.extensions("avx avx2 avx512f") == {
        "AVX2": True, "AVX-512": True, "VNNI": False, "AVX-512 bfloat16": False, "AMX bfloat16": False,
    }  # fmt: skip
    assert processor.extensions("asimd bf16") == {"NEON": True, "SVE": False, "ARM bfloat16": True}


def test_the_notebooks_get_the_splits_and_the_recipe_of_the_workflow(tmp_path):
    prepared_race = race(tmp_path, {**SMALL, "training": {**RECIPE, "train_size": 200}})
    speed.prepare(prepared_race)
    written = read_json(prepared_race.data / "study.json")
    first = written["runs"][0]
    assert first["variant"] == "cnn" and first["model"]["kernel_size"] == [3] and first["recipe"]["warmup"] == 0.3
    _, labels = prepared.load_train(prepared_race.data)
    seeds = prepared.seed_streams(1)
    train, validation = prepared.split(labels, 0.1, seeds["split"])
    splits = np.load(prepared_race.data / "splits.npz")
    subset = train[prepared.nested_subset(labels[train], 200, seeds["subset"])]
    assert (splits[f"train-{first['split']}"] == subset).all()
    assert (splits[f"validation-{first['split']}"] == validation).all()


def test_a_finished_workflow_says_how_its_time_was_spent(finished_study, tmp_path):
    results = finished_study.folder / "results/tiny"
    tiny = race(tmp_path, TINY)
    figures = speed.workflow_figures(tiny, results, Usage(100.0, 120.0, 600.0), (0.0, 2e9))
    assert figures["runs"] == 9 and figures["images"] == 9 * 270
    flops = 6 * 3 * 270 * sum(tiny.macs.values())
    assert figures["share_of_peak"] == pytest.approx(flops / 100 / 1.6e11)
    assert sum(figures["core_seconds"].values()) == pytest.approx(200)
    assert {"compare", "report", "evaluate"} <= set(figures["core_seconds"])
    assert figures["not_training"] == pytest.approx(1 - figures["core_seconds"]["training"] / 200)
    assert set(figures["accuracy"]) == set(tiny.macs)


@pytest.mark.slow
def test_a_round_with_the_notebook_is_written_and_summed_up(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "measured_processor", lambda imitate: PROCESSOR)
    write_json(tmp_path / "study.yaml", {key: value for key, value in SMALL.items() if key != "experiments"})
    arguments = ["--only", "speed", "--study", tmp_path / "study.yaml", "--rounds", "1", "--contenders", "notebook"]
    arguments += ["--output", tmp_path / "figures.json"]
    monkeypatch.setattr("sys.argv", ["bench.py", *map(str, arguments)])
    bench.main()
    figures = json.loads((tmp_path / "figures.json").read_text())
    notebook = figures["speed"]["rounds"][0]["notebook"]
    assert notebook["runs"] == 2 and notebook["images"] == 2 * 2 * 540
    assert notebook["accuracy"]["dense"]["mean"] > 30
    printed = capsys.readouterr().out
    assert "goal: workflow, float32, at most 0.75 of the notebook's wall time: not measured" in printed
    monkeypatch.setattr("sys.argv", ["bench.py", "--table", str(tmp_path / "figures.json")])
    bench.main()
    assert "| notebook, TensorFlow as installed |" in capsys.readouterr().out


def test_what_was_measured_is_kept_when_a_contender_fails(tmp_path, monkeypatch):
    def fail(race, folder):
        raise SystemExit("no memory")

    measured = {**result(100, 96), "memory_mb": 700.0}
    monkeypatch.setitem(speed.RUNNERS, "notebook", lambda race, folder: measured)
    monkeypatch.setitem(speed.RUNNERS, "float32", fail)
    kept, reasons = [], dict.fromkeys(("notebook_onednn", "torch", "mixed_bfloat16"), "not asked for")
    speed.run_rounds(race(tmp_path), 2, reasons, lambda rounds: kept.append(len(rounds)))
    assert kept == [1, 2] and reasons["float32"] == "it failed in round 1"


def test_a_command_that_is_stopped_takes_its_processes_along(tmp_path):
    started = tmp_path / "started"
    code = "import pathlib, subprocess, sys\nchild = subprocess.Popen(['sleep', '600'])\n"
    code += "pathlib.Path(sys.argv[1]).write_text(f'{child.pid} ')\nchild.wait()"

    def interrupt():
        while not (started.exists() and started.read_text().endswith(" ")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        usage([sys.executable, "-c", code, started], tmp_path)
    status = Path(f"/proc/{started.read_text().strip()}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()


def test_usage_is_that_of_the_command_and_a_failure_shows_its_log(tmp_path):
    used = usage([sys.executable, "-c", "print(sum(range(1_000_000)))"], tmp_path)
    assert used.wall > 0 and used.cpu_seconds > 0 and used.memory_mb > 1
    with pytest.raises(SystemExit, match="no such thing"):
        usage([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)
