"""results/index.html: all studies of a folder with their verdicts, whatever else lies there."""

import json
import re
from pathlib import Path

import pytest

import index
from builders.project import Project
from builders.results import CNN_WINS, write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, seeds_around
from convlab.common.checksums import JOB_VARIABLE, write_record
from convlab.study import layout
from convlab.study.load import load_study


def write_study(results: Path, name: str = "made_up", finished: str = "2026-01-02T04:04:05+00:00", **changes) -> Path:
    """A study with its report, as the stages leave it."""
    config = {**MADE_UP_STUDY, "study": name, **changes}
    accuracies = (
        CNN_WINS if "seeds" not in changes else {name: runs[: changes["seeds"]] for name, runs in CNN_WINS.items()}
    )
    folder = results / name
    write_study_with(folder, config, accuracies)
    write_reports(folder, config)
    summary = layout.compared(folder) / "summary.json"
    written = json.loads(summary.read_text())
    written["training"]["last_finished"] = finished
    study = load_study(config)
    written["provenance"] = {"config": load_study(study.settings).model_dump(mode="json")}
    summary.write_text(json.dumps(written))
    return folder


def page(results: Path) -> str:
    index.main(["--results", str(results)])
    return (results / "index.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_every_study_has_its_question_verdicts_accuracy_date_and_report_the_newest_first(tmp_path):
    write_study(tmp_path, "older")
    write_study(tmp_path, "newer", "2026-02-02T04:04:05+00:00", question="What is <new>?")
    html = page(tmp_path)
    assert html.index('id="study-newer"') < html.index('id="study-older"')
    assert '<a href="newer/report/index.html">What is &lt;new&gt;?</a>' in html
    text = words(html)
    for part in (
        "until 2026-02-02 04:04 UTC",
        "9 runs · 3 seeds",
        "CNN is better than Dense",
        "+5.00 pp",
        "95.00 ± 0.10 %",
    ):
        assert part in text
    assert "quick" not in text


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    write_study(tmp_path)
    html = page(tmp_path)
    assert "default-src 'none'" in html and "<script" not in html
    assert re.findall(r'(?:src|href)="(?!data:|#|made_up/)', html) == []
    assert "url(" not in html and "@import" not in html


def test_what_cannot_be_read_is_named_in_one_line_and_the_rest_is_listed(tmp_path):
    write_study(tmp_path, "whole")
    damaged = layout.compared(write_study(tmp_path, "damaged")) / "summary.json"
    write_record(damaged)
    damaged.write_text("{")
    foreign = write_study(tmp_path, "foreign_version")
    tables = layout.compared(foreign) / "comparisons.csv"
    tables.write_text(re.sub("metric", "measure", tables.read_text()))
    for name, content in (
        ("number", "3"),
        ("empty", '{"provenance": {}}'),
        ("text", '{"provenance": "x", "training": []}'),
    ):
        (layout.compared(write_study(tmp_path, name)) / "summary.json").write_text(content)
    (tmp_path / "holiday pictures").mkdir()
    (tmp_path / "quick").mkdir()
    (tmp_path / "notes.txt").write_text("a file")
    html = page(tmp_path)
    lines = re.findall(r"<li>(.*?)</li>", html.split('id="unreadable"')[1])
    assert lines[0].startswith("damaged cannot be read: ") and "summary.json" in lines[0]
    another_version = "was written by another version of convlab and cannot be read; run it again."
    assert lines[1:-1] == [f"{name} {another_version}" for name in ("empty", "foreign_version", "number", "text")]
    assert lines[-1] == "holiday pictures is no study of convlab."
    assert html.count("<article") == 1


def test_damaged_results_are_left_as_they_are_though_snakemake_calls(tmp_path, monkeypatch):
    monkeypatch.setenv(JOB_VARIABLE, "1")
    damaged = layout.compared(write_study(tmp_path)) / "summary.json"
    write_record(damaged)
    damaged.write_text("{")
    page(tmp_path)
    assert damaged.read_text() == "{"


def test_a_study_without_a_comparison_is_listed_with_its_runs(tmp_path):
    for seed in (1, 2):
        run = layout.run(tmp_path / "going_on", "digits", "cnn", seed)
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
    html = page(tmp_path)
    assert "going_on: 2 runs" in words(html) and "peek" not in html
    assert "No study of this folder has been compared yet." in html
    (layout.peeked(tmp_path / "going_on")).mkdir()
    (layout.peeked(tmp_path / "going_on") / "index.html").touch()
    assert 'href="going_on/peek/index.html"' in page(tmp_path)


def test_two_seeds_are_a_smoke_test_here_too(tmp_path):
    write_study(tmp_path, "made_up_quick", seeds=2)
    text = words(page(tmp_path))
    assert "smoke test" in text and "2 seeds" in text
    assert "better" not in text and "95 % CI" not in text


def test_a_study_that_this_version_cannot_expand_is_shown_under_its_own_names(tmp_path):
    summary = layout.compared(write_study(tmp_path)) / "summary.json"
    written = json.loads(summary.read_text())
    written["provenance"]["config"]["models"]["cnn"]["family"] = "of_another_version"
    summary.write_text(json.dumps(written))
    assert "CNN is better than Dense" in words(page(tmp_path))


def test_the_language_is_that_of_the_newest_study(tmp_path):
    write_study(tmp_path, "older")
    write_study(tmp_path, "newer", "2026-02-02T04:04:05+00:00", report={"language": "es"})
    html = page(tmp_path)
    assert '<html lang="es">' in html and "<h1>Estudios</h1>" in html


def test_a_report_that_was_deleted_is_not_linked(tmp_path):
    (layout.reported(write_study(tmp_path)) / "index.html").unlink()
    html = page(tmp_path)
    assert "made_up/report" not in html and "run the study again" in html


def test_many_comparisons_are_counted_and_left_to_the_report(tmp_path):
    levels = [[3, 3], [5, 3], [7, 3], [3, 5], [5, 5], [7, 5], [3, 7], [5, 7]]
    experiments = {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": levels}}
    config = {**MADE_UP_STUDY, "experiments": experiments, "models": MADE_UP_STUDY["models"]}
    variants = load_study(config).plan.variants
    folder = tmp_path / "made_up"
    write_study_with(folder, config, {name: seeds_around(0.9) for name in variants})
    summary = layout.compared(folder) / "summary.json"
    written = json.loads(summary.read_text()) | {"provenance": {"config": load_study(config).model_dump(mode="json")}}
    summary.write_text(json.dumps(written))
    html = page(tmp_path)
    assert html.count('class="headline"') == 6
    assert re.search(r"\d+ more comparisons in the report", html)


def test_a_folder_that_is_not_there_is_told_in_one_sentence(tmp_path):
    with pytest.raises(index.UserError, match="no folder with studies"):
        index.main(["--results", str(tmp_path / "none")])


def test_snakemake_writes_the_index_after_a_report_and_a_failure_of_it_is_none_of_the_study(finished: Project):
    path = finished.folder / "results/index.html"
    assert "tiny/report/index.html" in path.read_text(encoding="utf-8")
    path.unlink()
    assert finished.snakemake("-n").returncode == 0
    assert not path.exists()
    (finished.folder / "results/.index.lock").mkdir()
    result = finished.snakemake("--forcerun", "report")
    assert result.returncode == 0, result.stderr
    assert not path.exists()
