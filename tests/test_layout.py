"""Where results lie has one owner."""

import re
from pathlib import Path

import pytest

from builders.project import ROOT
from convlab.study import layout

FOLDER = layout.study_folder("tiny")
OWNER = ROOT / "scripts/convlab/study/layout.py"


def test_results_lie_by_study_stage_dataset_variant_and_seed():
    assert layout.run(FOLDER, "digits", "cnn", 3) == Path("results/tiny/train/digits/cnn/seed-3")
    assert layout.evaluated(FOLDER, "digits", "cnn") == Path("results/tiny/evaluate/digits/cnn")
    assert layout.probed(FOLDER, "translation", "digits") == Path("results/tiny/probe/translation/digits")
    assert str(layout.run(FOLDER, "{dataset}", "{variant}", "{seed}")) == (
        "results/tiny/train/{dataset}/{variant}/seed-{seed}"
    )


def test_runs_are_found_and_known_by_their_path(tmp_path):
    path = layout.run(layout.study_folder("tiny", tmp_path), "digits", "cnn", 3) / "run.json"
    path.parent.mkdir(parents=True)
    path.touch()
    assert list(layout.run_records(tmp_path)) == [path]
    assert layout.run_of_record(path) == ("tiny", "digits", "cnn", 3)


@pytest.mark.parametrize("before", ["", "below/", ".snakemake/storage/s3/bucket/", "results/tiny/", "a 'b' (c)/"])
@pytest.mark.parametrize("dataset", ["digits", "results", "train"])
@pytest.mark.parametrize("variant", ["cnn", "tiny", "compare"])
def test_what_precedes_the_results_is_told_from_any_of_them(before, dataset, variant):
    for path in (
        layout.prepared(FOLDER, dataset) / "manifest.json",
        layout.run(FOLDER, dataset, variant, 1) / "run.json",
        layout.evaluated(FOLDER, dataset, variant) / "metrics.json",
        layout.probed(FOLDER, "translation", dataset) / f"{variant}.csv",
        layout.compared(FOLDER) / "figures",
    ):
        assert layout.before_results(f"{before}{path}", FOLDER) == before


STAGE = "prepare|explore|describe|train|evaluate|probe|compare|report|export|deploy"
OWN_PATHS = re.compile(
    rf"""seed-[{{*]|results/\{{|\$\(dirname|\{{RESULTS\}}/({STAGE})"""
    # The checkout's folder of templates is called report, too.
    rf"""|(?<!ROOT )(?<!\[3\] )/ "({STAGE})"( /|$)|_dir / "({STAGE})\""""
)


def test_a_path_of_results_is_recognised():
    for line in ('folder / "train" / dataset', 'f"seed-{seed}"', 'f"results/{study}/x"', "$(dirname {output.run:q})"):
        assert OWN_PATHS.search(line)


def test_nobody_else_spells_a_path_of_results():
    files = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), ROOT / "workflow/Snakefile"]
    assert {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        if path != OWNER
        for line in path.read_text(encoding="utf-8").splitlines()
        if OWN_PATHS.search(line)
    } == set()
