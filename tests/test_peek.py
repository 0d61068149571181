"""`make peek`: a study while it runs, on training and validation images alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import peek
from builders.project import CNN_5X5
from builders.results import CNN_WINS, write_study_with
from builders.study_results import MADE_UP_STUDY, history_with
from convlab.common.checksums import JOB_VARIABLE, write_record
from convlab.study import layout
from convlab.study.load import load_study

STUDY = {**MADE_UP_STUDY, "training": {"epochs": 4}}
VERDICTS = ("better", "worse", "equivalent", "inconclusive", "supported", "contradicted")


def write_run(results: Path, variant: str, seed: int, config: dict = STUDY, **changes) -> Path:
    """What train leaves of a finished run."""
    study = load_study(config)
    run = layout.run(results / study.study, "digits", variant, seed)
    run.mkdir(parents=True, exist_ok=True)
    history_with().assign(loss=1.0, seconds=2.0, learning_rate=0.001).to_csv(run / "history.csv", index=False)
    record = {"spec_hash": study.run("digits", variant, seed).spec_hash, "status": "finished", "epochs_run": 4}
    record |= {"val_accuracy": 0.9 + seed / 100, "val_loss": 0.3, "train_seconds": 8.0}
    (run / "run.json").write_text(json.dumps(record | changes))
    return run


def begin_run(results: Path, variant: str, seed: int, epochs: int) -> None:
    """What train leaves of a run that is being trained."""
    work = layout.run(results / "made_up", "digits", variant, seed) / "unfinished-0123"
    work.mkdir(parents=True)
    history_with().assign(loss=1.0, seconds=2.0, learning_rate=0.001).iloc[:epochs].to_csv(
        work / "history.csv", index=False
    )


def peek_at(results: Path, config: dict = STUDY) -> str:
    file = results.parent / "study.yaml"
    file.write_text(yaml.safe_dump(config))
    peek.main([str(file), "--results", str(results), "--cores", "2"])
    return (layout.peeked(results / config["study"]) / "index.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    html = re.sub(r"<(style|script|template|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


@pytest.fixture
def results(tmp_path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_a_study_of_which_nothing_has_begun_has_a_page(results):
    text = words(peek_at(results))
    assert "No run has begun yet." in text and "finished of 9 runs 0" in text
    assert text.count("no verdict yet") == 2 and "0 of 3 seeds" in text
    assert "No run has finished an epoch yet." in text


def test_differences_are_paired_over_the_seeds_that_have_finished_on_both_sides(results):
    for seed in (1, 2, 3):
        write_run(results, "cnn", seed, val_accuracy=0.95)
    write_run(results, "dense", 1, val_accuracy=0.90)
    write_run(results, "dense", 3, val_accuracy=0.92)
    text = words(peek_at(results))
    assert "CNN against Dense +4.00 pp, SD 1.41 pp 2 of 3 seeds" in text
    assert "finished of 9 runs 5" in text
    assert "So far, not the report." in text


def test_no_verdict_is_given_however_clear_the_difference(results):
    for variant, accuracy in (("cnn", 0.99), ("dense", 0.5), (CNN_5X5, 0.2)):
        for seed in (1, 2, 3):
            write_run(results, variant, seed, val_accuracy=accuracy)
    html = peek_at(results)
    assert set(re.findall(r'class="badge ([a-z]+)"', html)) == {"smoke"}
    assert not set(VERDICTS) & set(words(html).replace("what is better now", "").split())
    assert "95 % CI" not in words(html)


def test_nothing_that_models_answered_on_test_images_is_read(results):
    """The page of a study with all results is that of the same study without them, but for the time."""
    folder = results / "made_up"
    write_study_with(folder, STUDY, CNN_WINS)
    for variant in ("cnn", "dense", CNN_5X5):
        write_run(results, variant, 1)

    def page() -> str:
        return re.sub(r"\d\d:\d\d:\d\d", "", peek_at(results))

    before = page()
    for stage in ("evaluate", "compare", "probe"):
        shutil.rmtree(folder / stage, ignore_errors=True)
    assert page() == before
    assert "Images per class" in words(before), "what explore has drawn of the data is there"
    (folder / "evaluate").write_text("a file in the place of a folder")
    assert page() == before


def test_nothing_is_written_but_the_page(results, monkeypatch):
    monkeypatch.setenv(JOB_VARIABLE, "1")
    folder = results / "made_up"
    write_study_with(folder, STUDY, CNN_WINS)
    damaged = write_run(results, "cnn", 1) / "run.json"
    write_record(damaged)
    damaged.write_text("{")

    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in results.parent.rglob("*") if path.is_file()}

    before = state()
    peek_at(results)
    after = state()
    written = {results.parent / "study.yaml", folder / "peek/index.html"}
    assert after.keys() - before.keys() == written and before.keys() <= after.keys()
    assert all(after[path] == content for path, content in before.items())


@pytest.mark.parametrize("file, content", [
    ("history.csv", None), ("history.csv", "epoch,loss\n1,\n"), ("run.json", "[]"), ("run.json", "{}"),
])  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_file(results, file, content):
    run = write_run(results, "cnn", 1)
    (run / file).unlink() if content is None else (run / file).write_text(content)
    text = words(peek_at(results))
    assert "CNN, seed 1 cannot be read" in text
    assert re.search(rf"{re.escape(str(run / file))} is (missing|damaged)", text)


def test_a_history_that_was_cut_off_is_not_drawn(results):
    run = write_run(results, "cnn", 1)
    write_record(run / "run.json", [run / "history.csv"])
    whole = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(whole[:-1]))
    text = words(peek_at(results))
    assert "CNN, seed 1 cannot be read" in text and "history.csv is damaged" in text


def test_a_diverged_run_is_named_and_left_out_of_means(results):
    write_run(results, "cnn", 1, val_accuracy=0.95)
    write_run(results, "cnn", 2, status="diverged", val_accuracy=None, val_loss=None, epochs_run=1)
    text = words(peek_at(results))
    assert "Diverged, and left out of all means: CNN, seed 2" in text
    assert "CNN 1 of 3 0 1 95.00 %" in text
    assert "CNN, seed 2 diverged 1 of 4 – –" in text


def test_a_run_that_is_being_trained_shows_its_epochs(results):
    begin_run(results, "cnn", 1, epochs=2)
    begin_run(results, "dense", 1, epochs=0)
    text = words(peek_at(results))
    assert "CNN, seed 1 begun 2 of 4" in text and "Dense, seed 1 begun 0 of 4" in text
    assert "begun 2" in text and "No run has begun yet." not in text


def test_a_history_that_is_of_another_version_or_is_being_written_is_a_run_in_its_first_epoch(results):
    begin_run(results, "cnn", 1, epochs=2)
    history = results / "made_up/train/digits/cnn/seed-1/unfinished-0123/history.csv"
    for content in ("epoch,loss\n1,0.5\n", "epoch,lo", "epoch,loss,accuracy\n1,abc"):
        history.write_text(content)
        assert "CNN, seed 1 begun 0 of 4" in words(peek_at(results))


def test_runs_of_other_settings_are_counted_and_not_shown(results):
    write_run(results, "cnn", 1, spec_hash="of earlier settings")
    text = words(peek_at(results))
    assert "1 run was trained with other settings than the config has now" in text
    assert "finished of 9 runs 0" in text


def test_a_run_that_cannot_be_read_is_no_reason_for_no_page(results):
    for variant, seed, content in (
        *(("cnn", 1, ""), ("cnn", 2, "{"), ("cnn", 3, "[]"), ("dense", 1, "{}"), ("dense", 2, '{"spec_hash": null}')),
    ):
        (write_run(results, variant, seed) / "run.json").write_text(content)
    write_run(results, "dense", 3)
    text = words(peek_at(results))
    assert "finished of 9 runs 1" in text
    for run in ("CNN, seed 1", "CNN, seed 2", "CNN, seed 3", "Dense, seed 1"):
        assert f"{run} cannot be read" in text
    assert "1 run was trained with other settings" in text


def test_a_finished_run_without_its_history_is_named(results):
    (write_run(results, "cnn", 1) / "history.csv").unlink()
    assert "CNN, seed 1 cannot be read" in words(peek_at(results))


def test_a_study_of_one_variant_has_no_comparisons(results):
    config = {"study": "made_up", "datasets": {"digits": {}}, "models": {"cnn": MADE_UP_STUDY["models"]["cnn"]}}
    write_run(results, "cnn", 1, config)
    text = words(peek_at(results, config))
    assert "finished of 3 runs 1" in text and "no verdict yet" not in text and "Differences are" not in text


def test_trials_of_tuning_are_counted(results):
    config = {**STUDY, "tuning": {"trials": 2, "over": {"learning_rate": [0.0001, 0.01]}}}
    write_run(results, "cnn-trial-1", 1, config)
    text = words(peek_at(results, config))
    assert "Tuning: 1 of 18 trials has finished." in text or "Tuning: 1 of 18 trials have finished." in text


def test_a_model_that_is_not_described_yet_leaves_the_design_out(results):
    file = results.parent / "mine.py"
    file.write_text("def build(input_shape, classes):\n    raise NotImplementedError\n")
    models = {**MADE_UP_STUDY["models"], "mine": {"family": "python", "file": str(file), "function": "build"}}
    html = peek_at(results, {**STUDY, "models": models})
    assert 'href="#design"' not in html and "finished of 12 runs 0" in words(html)


def test_with_planned_looks_the_runs_are_those_of_the_present_look(results):
    config = {**STUDY, "seeds": {"from": 3, "to": 9, "step": 3}}
    write_run(results, "cnn", 1, config)
    assert "finished of 9 runs 1" in words(peek_at(results, config))


def test_the_page_is_one_file_whose_links_lead_somewhere_and_whose_texts_are_text(results):
    write_study_with(results / "made_up", STUDY, CNN_WINS)
    write_run(results, "cnn", 1)
    html = peek_at(results, {**STUDY, "question": "Is <script>alert(1)</script> run?"})
    assert "<script>alert" not in html
    links, ids = set(re.findall(r'href="#([^"]+)"', html)), set(re.findall(r'\bid="([^"]+)"', html))
    assert links <= ids
    assert re.findall(r'(?:src|href)="(?!data:|#|\.\./report/)', html) == []
    assert html.startswith("<!doctype html>") and "default-src 'none'" in html


def test_data_that_another_version_explored_are_left_out(results):
    folder = results / "made_up"
    write_study_with(folder, STUDY, CNN_WINS)
    (layout.explored(folder, "digits") / "summary.json").write_text('{"dataset": "digits", "tiles": {}}')
    assert 'id="data"' not in peek_at(results)


def test_an_earlier_report_is_linked(results):
    write_study_with(results / "made_up", STUDY, CNN_WINS)
    assert "../report/index.html" not in peek_at(results)
    layout.reported(results / "made_up").mkdir()
    (layout.reported(results / "made_up") / "index.html").touch()
    assert 'href="../report/index.html"' in peek_at(results)


def test_the_page_is_in_the_language_of_the_report(results):
    html = peek_at(results, {**STUDY, "report": {"language": "es"}})
    assert '<html lang="es">' in html and "todavía sin veredicto" in html
