"""`make diff`: every change between two states is listed, nothing else, and names are escaped."""

import copy
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import compare
from builders.project import CNN_5X5, ROOT
from builders.results import CNN_WINS
from builders.study_results import MADE_UP_STUDY, runs_with, seeds_around
from convlab.common.files import write_json
from convlab.common.table_files import write_table
from convlab.errors import UserError
from convlab.results import tables as results
from convlab.results.family import confirmatory_family
from convlab.results.loading import RunRecords
from convlab.states import find, history
from convlab.states.differences import compare_states, config_changes
from convlab.study.load import load_study

CODE = {"train.py": "1" * 16, "convlab/training/network.py": "2" * 16, "convlab/common/files.py": "3" * 16}
MACHINE = {"processor": "A chip", "cores": 2, "memory_gb": 8.0, "system": "Linux x86_64"}
CLAIM = {"id": "wins", "text": "It wins.", "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0"}
HOSTILE = "<script>alert(1)</script>|`*_\x1b[2J$&[x](javascript:alert(1))"


def write_state(folder: Path, config: dict | None = None, accuracies: dict | None = None, **options) -> Path:
    """A results folder as compare leaves it: made-up numbers, real tables, real provenance."""
    study = load_study(load_study(config or MADE_UP_STUDY).settings)
    runs = runs_with(study, accuracies or CNN_WINS)
    runs["predictions_sha256"] = runs["test_accuracy"].map(lambda value: f"predicts {value}")
    family = confirmatory_family(runs, study.plan, 0.005)
    tables = {
        "runs": runs,
        "variants": results.variants_table(runs, study.plan),
        "comparisons": results.comparisons_table(runs, study.plan, 0.005, family),
        "claims": results.claims_table(runs, study.plan, 0.005, family),
    }
    for name, table in tables.items():
        write_table(table, folder / "compare" / name, name)
    versions = {"python": "3.11.7", "keras": "3.15.1"} | options.get("versions", {})
    keys = [(row.dataset, row.variant, row.seed) for row in runs.itertuples()]
    records = RunRecords(
        seeds=[],
        runs={key: {"code": CODE | options.get("code", {})} for key in keys},
        evaluations={key: {"code": CODE} for key in keys},
    )
    manifest = {
        "counts": {"train": {"a": 900, "b": 100}, "test": {"a": 100, "b": 10}},
        "classes": ["a", options.get("label", "b")],
        "arrays": {"x_train": {"sha256": options.get("sha256", "ab" * 32)}},
    }
    training = {
        "last_finished": "2026-01-02T04:04:05+00:00",
        "versions": [versions],
        "hardware": [MACHINE],
        "environment": [{"TF_ENABLE_ONEDNN_OPTS": "1"}],
        "devices": ["CPU, 1 thread(s)"],
    }
    provenance = compare.made_from(study, records, dict.fromkeys(study.datasets, manifest))
    write_json(folder / "compare/summary.json", {"training": training, "provenance": provenance})
    return folder


def told(before: Path, after: Path):
    return compare_states(*(find.read(str(folder), Path("nowhere")) for folder in (before, after)))


def edited(**changes) -> dict:
    return copy.deepcopy(MADE_UP_STUDY) | changes


def diffed(tmp_path, *sides) -> tuple[str, str, str]:
    """Page, Markdown and what is printed."""
    command = [sys.executable, ROOT / "scripts/diff.py", *map(str, sides), "--output-dir", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    return (tmp_path / "out/index.html").read_text(), (tmp_path / "out/diff.md").read_text(), result.stdout


def test_nothing_changed(tmp_path):
    differences = told(write_state(tmp_path / "a"), write_state(tmp_path / "b"))
    assert differences.nothing and differences.headlines == ["Nothing changed."]
    for text in diffed(tmp_path, tmp_path / "a", tmp_path / "b"):
        assert "Nothing changed." in text


def test_an_added_level_is_a_setting_a_variant_and_a_comparison(tmp_path):
    more = edited(experiments={"kernel": {**MADE_UP_STUDY["experiments"]["kernel"], "levels": [3, 5, 7]}})
    accuracies = CNN_WINS | {"cnn-kernel_size-7x7": seeds_around(0.94)}
    differences = told(write_state(tmp_path / "a"), write_state(tmp_path / "b", more, accuracies))
    assert [(change.where, change.before, change.after) for change in differences.config] == [
        ("experiments.kernel.levels", "[3, 5]", "[3, 5, 7]")
    ]
    assert [(change.label, change.runs) for change in differences.variants] == [("CNN, kernel size 7×7", "only after")]
    assert [item.what for item in differences.comparisons if not item.verdict_before] == [
        "kernel: CNN, kernel size 7×7 against CNN"
    ]
    assert (differences.runs.common, differences.runs.same, differences.runs.others) == (9, 9, [])
    assert "No verdict changed; 1 verdict only before or only after." in differences.headlines
    assert "9 runs in both, of 9 before and 12 after." in differences.headlines
    assert "All of them gave the same predictions, byte for byte." in differences.headlines


def test_an_added_seed_is_told_with_each_variant(tmp_path):
    accuracies = {name: [*values, values[-1]] for name, values in CNN_WINS.items()}
    differences = told(write_state(tmp_path / "a"), write_state(tmp_path / "b", edited(seeds=4), accuracies))
    assert {(change.where, change.before, change.after) for change in differences.config} == {
        ("seeds", "[1, 2, 3]", "[1, 2, 3, 4]")
    }
    assert {change.runs for change in differences.variants} == {"1 seed added"}
    assert all("(n = 3)" in change.before and "(n = 4)" in change.after for change in differences.variants)


def test_a_flipped_verdict_comes_first(tmp_path):
    config = edited(claims=[CLAIM])
    won, lost = (
        {"dense": seeds_around(0.9), "cnn": values, CNN_5X5: values}
        for values in ([0.95, 0.951, 0.953], [0.85, 0.851, 0.853])
    )
    differences = told(write_state(tmp_path / "a", config, won), write_state(tmp_path / "b", config, lost))
    assert differences.headlines[0] == "1 verdict changed: convolution: CNN against Dense, better → worse."
    assert differences.headlines[1] == "1 claim changed: It wins., supported → contradicted."
    assert differences.comparisons[0].flipped and not differences.comparisons[1].flipped
    assert differences.comparisons[0].before.startswith("+5.13 pp (+")
    assert (differences.claims[0].before, differences.claims[0].after) == ("5.13 pp", "−4.87 pp")
    page, text, printed = diffed(tmp_path, tmp_path / "a", tmp_path / "b")
    assert '<tr class="flipped"><th scope="row">convolution' in page
    assert "**changed**" in text and "! convolution: CNN against Dense" in printed


def test_runs_of_one_spec_with_other_predictions_are_named(tmp_path):
    other = CNN_WINS | {"cnn": [0.950, 0.951, 0.9495]}
    differences = told(write_state(tmp_path / "a"), write_state(tmp_path / "b", accuracies=other))
    assert not differences.config and differences.runs.common == 9 and differences.runs.same == 8
    change = differences.runs.others[0]
    assert (change.where, change.before, change.after) == ("cnn, seed 3 on digits", "94.90 %", "94.95 %")
    assert change.difference == "+0.05 pp"
    assert "1 of them gave other predictions, though spec and seed are the same." in differences.headlines


def test_a_diverged_run_is_told_as_such(tmp_path):
    differences = told(
        write_state(tmp_path / "a"), write_state(tmp_path / "b", accuracies=CNN_WINS | {"cnn": [0.95, 0.951, None]})
    )
    assert [(change.before, change.after) for change in differences.runs.others] == [("94.90 %", "diverged")]


def test_runs_that_do_not_say_what_they_predicted_are_not_called_equal(tmp_path):
    write_state(tmp_path / "a")
    path = tmp_path / "a/compare/runs.csv"
    path.write_text(re.sub(r"predicts [\d.]+", "", path.read_text()))
    differences = told(tmp_path / "a", write_state(tmp_path / "b"))
    assert (differences.runs.common, differences.runs.same, differences.runs.without_predictions) == (9, 0, 9)
    assert not any("same predictions" in sentence for sentence in differences.headlines)


def test_changed_code_versions_and_data_are_named_once(tmp_path):
    before = write_state(tmp_path / "a")
    options = {
        "code": {"convlab/common/files.py": "9" * 16, "convlab/new.py": "8" * 16},
        "versions": {"keras": "3.16.0"},
    }
    differences = told(before, write_state(tmp_path / "b", sha256="cd" * 32, label="c", **options))
    assert [(change.where, change.before, change.after, change.kind) for change in differences.code] == [
        ("convlab/common/files.py (train)", "3" * 12, "9" * 12, "changed"),
        ("convlab/new.py (train)", "", "8" * 12, "added"),
    ]
    assert [(change.where, change.before, change.after) for change in differences.environment] == [
        ("keras, training", "3.15.1", "3.16.0")
    ]
    assert [(change.where, change.before, change.after) for change in differences.data] == [
        ("digits: classes", "a, b", "a, c"),
        ("digits: checksum of x_train", "ab" * 6, "cd" * 6),
    ]
    assert "Changed: 2 modules, 1 version or machine and the data." in differences.headlines


def test_settings_are_compared_by_key_and_by_what_they_mean(tmp_path):
    same = edited(training={"epochs": 4.0, "batch_size": 128}, question="Another question?")
    same["models"]["cnn"] |= {"kernel_size": [3], "why": {"kernel_size": "A reason."}}
    assert told(write_state(tmp_path / "a"), write_state(tmp_path / "b", same)).config == []
    other = edited(training={"epochs": 5}, claims=[CLAIM])
    other["models"]["wide"] = {"family": "dense", "units": [256]}
    accuracies = CNN_WINS | {"wide": seeds_around(0.9)}
    changed_settings = told(write_state(tmp_path / "a"), write_state(tmp_path / "c", other, accuracies)).config
    assert [(change.where, change.kind) for change in changed_settings] == [
        ("claims", "changed"), ("models.wide", "added"), ("training.epochs", "changed"),
    ]  # fmt: skip
    assert (
        changed_settings[1].after == "activation: relu, family: dense, kernel_initializer: glorot_uniform, units: [256]"
    )


def test_claims_are_compared_by_their_id():
    first = {"claims": [{"id": "a", "rule": "x > 1"}, {"id": "b", "rule": "y > 1"}]}
    second = {"claims": [{"id": "b", "rule": "y > 2"}, {"id": "a", "rule": "x > 1"}]}
    assert [change.where for change in config_changes(first, second)] == ["claims.b.rule"]


def test_two_studies_without_a_run_in_common_are_told_so(tmp_path):
    other = edited(study="other", training={"epochs": 9})
    differences = told(write_state(tmp_path / "a"), write_state(tmp_path / "b", other))
    assert "No run is in both: 9 before, 9 after." in differences.headlines
    assert {change.runs for change in differences.variants} == {"another spec"}


# ---------------------------------------------------------------------------------------------------------------------
# Finding states


def test_a_state_is_found_by_study_folder_copy_and_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_state(Path("results/made_up"))
    shutil.copytree(folder / "compare", tmp_path / "copy")
    Path("study.yaml").write_text("study: made_up\ndatasets: {digits: {}}\nmodels: {d: {family: dense, units: [8]}}\n")
    for name in ("made_up", "results/made_up", "results/made_up/compare", "copy", "study.yaml"):
        assert find.read(name, Path("results")).study == "made_up", name
    assert find.read("study.yaml", Path("results")).outdated, "this config is not the one of the results"
    assert not find.read("made_up", Path("results")).outdated


def test_compare_keeps_states_and_no_state_twice(tmp_path):
    folder = write_state(tmp_path / "results/made_up")
    history.snapshot(folder / "compare")
    history.snapshot(folder / "compare")
    assert list(history.kept(folder / "compare")) == [1]
    write_state(folder, accuracies=CNN_WINS | {"cnn": seeds_around(0.85)})
    history.snapshot(folder / "compare")
    assert list(history.kept(folder / "compare")) == [1, 2]
    means = [find.read(f"made_up@{which}", tmp_path / "results").variants.set_index("variant")["test_accuracy_mean"]
             for which in ("previous", "1", "2")]  # fmt: skip
    assert [round(mean["cnn"], 3) for mean in means] == [0.95, 0.95, 0.85]
    assert not list((folder / "compare/history").glob(".*")), "nothing half-written stays"


def test_the_oldest_states_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "KEPT_STATES", 3)
    for number in range(5):
        folder = write_state(tmp_path / "x", accuracies=CNN_WINS | {"cnn": seeds_around(0.8 + number / 100)})
        history.snapshot(folder / "compare")
    assert list(history.kept(folder / "compare")) == [3, 4, 5]


@pytest.mark.parametrize(("name", "sentence"), [
    ("nothing", "nothing does not exist; name a study that has been run"),
    ("results/empty", "results/empty holds no finished study"),
    ("missing.yaml", "missing.yaml does not exist"),
    ("made_up@7", "made_up has no state '7'; there are 1 and previous"),
    ("made_up@previous", "made_up has no earlier state"),
])  # fmt: skip
def test_a_missing_study_is_told_in_one_sentence(tmp_path, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    folder = write_state(Path("results/made_up"))
    history.snapshot(folder / "compare")
    Path("results/empty").mkdir()
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        find.read(name, Path("results"))
    assert "\n" not in str(caught.value)


def test_results_without_provenance_are_told_to_be_run_again(tmp_path):
    write_state(tmp_path / "a")
    write_json(tmp_path / "a/compare/summary.json", {"training": {}})
    with pytest.raises(UserError, match="run the study again"):
        find.read(str(tmp_path / "a"), tmp_path)


def test_the_command_ends_with_one_line_for_a_missing_study(tmp_path):
    # Tests that ran before in this process may have set variables of libraries, which the script names as removed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS_", "TF_"))}
    command = [sys.executable, ROOT / "scripts/diff.py", "nowhere"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 1 and result.stderr.startswith("error: nowhere does not exist")
    assert "Traceback" not in result.stderr and list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# The page


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.said = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.said.append(data)


def test_hostile_names_stay_text(tmp_path):
    hostile = edited(claims=[CLAIM | {"text": HOSTILE}], report={"title": HOSTILE})
    hostile["models"]["cnn"]["label"] = HOSTILE
    lost = CNN_WINS | {"cnn": seeds_around(0.85)}
    before = write_state(tmp_path / "a")
    after = write_state(tmp_path / f"b{HOSTILE.replace('/', '')}", hostile, lost, label=HOSTILE)
    page, text, printed = diffed(tmp_path, before, after)
    read = Page(page)
    assert "script" not in read.tags and "img" not in read.tags
    assert not [value for name, value in read.attributes if name.startswith("on") or "javascript" in (value or "")]
    assert HOSTILE.split("|")[0] in "".join(read.said)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {child.type for token in tokens for child in token.children or []} | {token.type for token in tokens}
    assert not kinds & {"html_inline", "html_block", "link_open", "image"}
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len(rows) > 5, "no name ends a table"
    assert "\x1b" not in printed


def test_the_page_needs_nothing_and_every_table_has_a_caption_and_scopes(tmp_path):
    page, *_ = diffed(
        tmp_path,
        write_state(tmp_path / "a"),
        write_state(tmp_path / "b", accuracies=CNN_WINS | {"cnn": seeds_around(0.85)}),
    )
    read = Page(page)
    assert "default-src 'none'" in page
    assert not [value for name, value in read.attributes if name in ("src", "href") and not re.match(r"#|data:", value)]
    assert read.tags.count("table") == read.tags.count("caption") > 2
    assert page.count("<th ") == page.count("<th scope=")
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for name, value in read.attributes if name == "href" and value.startswith("#")}
    assert targets <= set(ids)


@pytest.mark.slow
def test_a_study_that_is_run_again_with_a_new_level_tells_what_changed(finished):
    import yaml

    config = yaml.safe_load((finished.folder / "config.yaml").read_text())
    config["experiments"]["kernel"]["levels"] = [3, 5, 7]
    finished.configure(config)
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    command = [sys.executable, "scripts/diff.py", "config.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=finished.folder)
    assert result.returncode == 0, result.stderr
    assert "config.yaml@previous → config.yaml" in result.stdout
    assert "~ experiments.kernel.levels: [3, 5] → [3, 5, 7]" in result.stdout
    assert "9 runs in both, of 9 before and 12 after." in result.stdout
    assert "All of them gave the same predictions, byte for byte." in result.stdout
    assert (finished.folder / "results/diff/config.yaml-previous--config.yaml/index.html").is_file()
    assert finished.planned() == set(), "telling what changed makes nothing run"
