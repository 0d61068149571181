"""Reruns are exact: an edit names the jobs that it affects and no others."""

import os
import re
import shutil

import pandas as pd
import pytest

from builders.damage import flip_a_bit
from builders.project import CNN_5X5, LAST_JOBS, TINY, append_to, jobs_of_runs, tiny_with
from convlab.common import checksums

pytestmark = pytest.mark.slow


def experiment(levels: list) -> dict:
    return {"kernel": {**TINY["experiments"]["kernel"], "levels": levels}}


def test_nothing_changed_runs_nothing(finished):
    assert finished.planned() == set()


def test_a_changed_level_trains_only_the_new_level(finished):
    finished.configure(tiny_with(experiments=experiment([3, 7])))
    assert finished.planned() == jobs_of_runs("cnn-kernel_size-7x7") | LAST_JOBS


def test_an_added_level_trains_only_that_level(finished):
    finished.configure(tiny_with(experiments=experiment([3, 5, 7])))
    assert finished.planned() == jobs_of_runs("cnn-kernel_size-7x7") | LAST_JOBS


def test_an_added_seed_trains_every_variant_with_that_seed_only(finished):
    finished.configure(tiny_with(seeds=[1, 2, 3, 4]))
    assert finished.planned() == jobs_of_runs("dense", "cnn", CNN_5X5, seeds=(4,)) | LAST_JOBS


def test_a_removed_seed_trains_nothing(finished):
    finished.configure(tiny_with(seeds=[1, 2]))
    assert finished.planned() == jobs_of_runs("dense", "cnn", CNN_5X5, seeds=()) | LAST_JOBS


def test_a_removed_level_trains_nothing(finished):
    finished.configure(tiny_with(experiments={}))
    assert finished.planned() == LAST_JOBS


def test_an_edited_question_rewrites_only_the_report(finished):
    finished.configure(tiny_with(question="Another question?"))
    assert finished.planned() == {"Write the report"}


def test_an_edited_reason_rewrites_only_the_report(finished):
    config = tiny_with()
    config["models"]["cnn"]["why"] = {"kernel_size": "The smallest kernel with a centre."}
    finished.configure(config)
    assert finished.planned() == {"Write the report"}


def test_another_language_draws_and_writes_again_and_trains_nothing(finished):
    finished.configure(tiny_with(report={"language": "es"}))
    assert finished.planned() == {"Explore digits"} | LAST_JOBS


def test_all_else_about_the_report_rewrites_only_the_report(finished):
    finished.configure(tiny_with(report={"title": "A title", "author": "Somebody", "language": "en"}))
    assert finished.planned() == {"Write the report"}


def test_an_edited_translation_runs_nothing_in_english(finished):
    append_to(finished, "report/locale/es/LC_MESSAGES/convlab.po", "\n# An edit.\n")
    assert finished.planned() == set()


def test_a_changed_model_trains_its_variants_only(finished):
    config = tiny_with()
    config["models"]["dense"]["units"] = [9]
    finished.configure(config)
    assert finished.planned() == jobs_of_runs("dense") | LAST_JOBS


def test_changed_training_trains_everything(finished):
    config = tiny_with()
    config["training"]["batch_size"] = 64
    finished.configure(config)
    assert finished.planned() == jobs_of_runs("dense", "cnn", CNN_5X5) | LAST_JOBS


def test_a_changed_region_of_practical_equivalence_trains_nothing(finished):
    finished.configure(tiny_with(statistics={"rope": 0.01}))
    assert finished.planned() == LAST_JOBS


def test_editing_the_statistics_trains_nothing(finished):
    append_to(finished, "scripts/convlab/statistics/comparisons.py")
    assert finished.planned() == LAST_JOBS


def test_editing_the_models_trains_everything(finished):
    append_to(finished, "scripts/convlab/training/network.py")
    assert finished.planned() == jobs_of_runs("dense", "cnn", CNN_5X5) | LAST_JOBS


def test_editing_a_kind_of_dataset_prepares_the_datasets_of_that_kind_only(finished):
    append_to(finished, "scripts/convlab/datasets/kinds/npz.py")
    assert finished.planned() == set()
    append_to(finished, "scripts/convlab/datasets/kinds/digits.py")
    retrained = jobs_of_runs("dense", "cnn", CNN_5X5)
    assert finished.planned() == {"Prepare digits", "Explore digits"} | retrained | LAST_JOBS


def test_editing_one_family_trains_its_models_only(finished):
    append_to(finished, "scripts/convlab/models/families/dense.py")
    assert finished.planned() == jobs_of_runs("dense") | LAST_JOBS


def test_editing_the_metrics_evaluates_everything_and_trains_nothing(finished):
    append_to(finished, "scripts/convlab/evaluation/metrics.py")
    assert finished.planned() == jobs_of_runs("dense", "cnn", CNN_5X5, seeds=()) | LAST_JOBS


def test_editing_a_template_rewrites_only_the_report(finished):
    template = next((finished.folder / "report").rglob("*.css"))
    append_to(finished, str(template.relative_to(finished.folder)), "\n/* An edit. */\n")
    assert finished.planned() == {"Write the report"}


def test_touching_the_dataset_runs_nothing(finished):
    for name in ("data.npz", "manifest.json"):
        os.utime(finished.folder / "results/tiny/prepare/digits" / name)
    assert finished.planned() == set()


def test_touching_the_code_runs_nothing(finished):
    for path in (finished.folder / "scripts").rglob("*.py"):
        os.utime(path)
    assert finished.planned() == set()


def test_reordered_keys_run_nothing(finished):
    config = {key: TINY[key] for key in reversed(TINY)}
    config["models"] = {name: dict(reversed(TINY["models"][name].items())) for name in reversed(TINY["models"])}
    finished.configure(config)
    assert finished.planned() == set()


def test_another_spelling_of_the_same_numbers_runs_nothing(finished):
    config = tiny_with(seeds=3)
    config["training"] |= {"epochs": 1.0, "learning_rate": "1e-2"}
    config["models"]["cnn"] |= {"kernel_size": 3.0}
    config["experiments"]["kernel"]["levels"] = [3, 5.0]
    finished.configure(config)
    planned = finished.planned()
    assert not {job for job in planned if job.startswith(("Train", "Evaluate"))}
    finished.configure({**config, "seeds": [1, 2, 3]})
    assert finished.planned() == set()


def test_a_level_for_all_layers_is_the_level_written_per_layer(finished):
    config = tiny_with()
    config["models"]["cnn"]["kernel_size"] = [3]
    finished.configure(config)
    assert not {job for job in finished.planned() if job.startswith(("Train", "Evaluate"))}


def test_a_run_that_two_experiments_share_is_trained_once(finished):
    again = {"base": "cnn", "factor": "filters", "levels": [4, 8]}
    finished.configure(tiny_with(experiments={**TINY["experiments"], "filters": again}))
    assert finished.planned() == jobs_of_runs("cnn-filters-8") | LAST_JOBS


def test_results_of_other_settings_without_snakemakes_records_are_refused(finished, tmp_path):
    shutil.rmtree(finished.folder / ".snakemake")
    assert finished.planned() == set()
    config = tiny_with()
    config["training"]["epochs"] = 2
    finished.configure(config)
    result = finished.snakemake("-n")
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "spec hash" in output and "delete results/tiny/train/digits/" in output


def test_damaged_results_are_made_again_by_the_same_command(finished):
    """Of the same length, so that nothing but their checksums tells: a model, a figure in a folder, and the report."""
    results = finished.folder / "results/tiny"
    before = pd.read_csv(results / "compare/runs.csv").drop(columns=["latency_ms"])
    figure = next((results / "compare/figures").glob("*.svg")).relative_to(results)
    damaged = ["train/digits/dense/seed-2/model.keras", str(figure), "report/index.html"]
    for name in damaged:
        flip_a_bit(results / name)
    told = finished.snakemake("-n")
    for name in damaged:
        assert f"{name} is damaged; it counts as outdated" in told.stdout + told.stderr
        assert not (results / f"{name}.damaged").exists(), "a dry run changes nothing"
    planned = {"Train dense on digits, seed 2", "Evaluate dense on digits"} | LAST_JOBS
    assert set(re.findall(r"^Job \d+: (.*)$", told.stdout + told.stderr, re.MULTILINE)) == planned
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "finished before" in (results / "logs/train/digits/dense/seed-2.log").read_text(), "a kept run is whole"
    assert (results / "report/index.html.damaged").exists()
    assert finished.planned() == set()
    assert checksums.find_damaged(results, finished.folder / "nothing-seen.json") == {}
    after = pd.read_csv(results / "compare/runs.csv").drop(columns=["latency_ms"])
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_compare_refuses_a_run_that_is_not_the_configs(finished):
    runs_folder = finished.folder / "results/tiny/train/digits"
    shutil.rmtree(runs_folder / "dense/seed-2")
    shutil.copytree(runs_folder / "dense/seed-1", runs_folder / "dense/seed-2")
    result = finished.snakemake("--forcerun", "compare")
    log = (finished.folder / "results/tiny/logs/compare.log").read_text()
    assert result.returncode != 0
    assert "train/digits/dense/seed-2 holds a run of seed 2 with spec hash" in log and "Traceback" not in log
