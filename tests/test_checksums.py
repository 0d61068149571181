"""Damaged results are found before they are used, set aside and made again; writing is atomic and durable."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.damage import DAMAGES, flip_a_bit, make_older
from builders.project import ROOT, TINY
from convlab.common import atomic, checksums
from convlab.common.files import read_arrays, read_json, write_arrays, write_json, write_text
from convlab.common.outputs import files_below, job_results
from convlab.common.table_files import read_table, write_table
from convlab.errors import UserError
from convlab.page import figures
from convlab.probes.measured import load_measured
from convlab.probes.tables import all_contrasts, all_curves
from convlab.probes.translation.measure import COLUMNS
from convlab.study.load import load_study

SVG = '<svg viewBox="0 0 10 10"><path d="M 0 0"/></svg>'
READERS = {
    "summary.json": read_json,
    "arrays.npz": read_arrays,
    "runs.csv": read_table,
    "figures/a.svg": lambda path: figures.inline_svg(path, "a", "title", "description"),
    "figures/a.tiles.png": lambda path: figures.sprite(path, {}),
    "figures/a.csv": figures.numbers,
}
PRESENT = [damage for damage in DAMAGES if damage != "missing"]


@pytest.fixture
def results(tmp_path) -> Path:
    """A job's results, with a folder among them."""
    folder = tmp_path / "results/study/compare"
    main = folder / "summary.json"
    with job_results(main, lambda: files_below(folder, {"history"})):
        write_json(main, {"a": list(range(50))})
        write_arrays(folder / "arrays.npz", a=np.arange(50), b=np.zeros((3, 4)))
        write_text(folder / "runs.csv", "variant,seed,value\n" + "".join(f"v,{i},{i / 7}\n" for i in range(30)))
        write_text(folder / "figures/a.svg", SVG)
        write_text(folder / "figures/a.tiles.png", "pixels")
        write_text(folder / "figures/a.csv", "a,b\n1,2\n")
        write_text(folder / "history/1/runs.csv", "not the job's own")
    return folder


def test_a_job_leaves_the_checksums_of_all_that_it_wrote_and_nothing_hidden(results):
    assert set(checksums.read_record(results / "summary.json")) == set(READERS)
    assert checksums.is_whole(results / "summary.json", READERS)
    assert not list(results.rglob(".*"))
    for name in set(READERS) - {"figures/a.tiles.png"}:
        READERS[name](results / name)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_who_reads_a_damaged_result_is_told_in_one_sentence_what_to_do(results, name, damage):
    path = results / name
    DAMAGES[damage](path)
    with pytest.raises(UserError) as error:
        READERS[name](path)
    text = str(error.value)
    assert str(path) in text and "\n" not in text
    if damage == "missing":
        assert "run snakemake again to make it" in text
    else:
        # Of a folder that is one result, Snakemake misses no file.
        missed = results / "summary.json" if "/" in name else path
        assert f"delete {missed} and run snakemake again, which makes it again" in text
        assert path.exists(), "only a job of the workflow sets anything aside"


@pytest.mark.parametrize("damage", ["empty", "truncated", "zeros", "a folder"])
@pytest.mark.parametrize("name", ["summary.json", "arrays.npz", "figures/a.svg"])
def test_without_checksums_what_cannot_be_read_is_told_as_well(results, name, damage):
    checksums.drop_record(results / "summary.json")
    DAMAGES[damage](results / name)
    with pytest.raises(UserError, match=re.escape(f"{results / name} is damaged")):
        READERS[name](results / name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"1', b"a,b\n1,2\n1,2,3\n"])
def test_a_table_that_cannot_be_read_is_damaged(tmp_path, content):
    (tmp_path / "runs.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"runs\.csv is damaged"):
        read_table(tmp_path / "runs.csv")


@pytest.mark.parametrize("damage", PRESENT)
@pytest.mark.parametrize("name", READERS)
def test_a_job_sets_a_damaged_result_aside_so_that_snakemake_misses_it(results, name, damage, monkeypatch):
    monkeypatch.setenv(checksums.JOB_VARIABLE, "1")
    path = results / name
    DAMAGES[damage](path)
    with pytest.raises(UserError, match="run the same command again, which makes it again"):
        READERS[name](path)
    assert not path.exists() and path.with_name(path.name + ".damaged").exists()
    assert (results / "summary.json").exists() == ("/" not in name and name != "summary.json")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["export.json", "saved_model/1/variables/weights"])
def test_an_exported_model_is_verified_whole_before_it_is_served(tmp_path, name, damage):
    main = tmp_path / "export.json"
    write_json(main, {"input": {}})
    write_text(tmp_path / "saved_model/1/variables/weights", "numbers")
    checksums.write_record(main, files_below(tmp_path))
    checksums.verify_all(main)
    DAMAGES[damage](tmp_path / name)
    with pytest.raises(UserError, match=rf"{tmp_path / name} is damaged .*delete {main} and run `make export` again"):
        checksums.verify_all(main)


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "never seen"])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_when_jobs_are_planned_damaged_results_are_found(results, tmp_path, name, damage, seen):
    path, index = results / name, tmp_path / "seen.json"
    if seen:
        assert checksums.find_damaged(tmp_path / "results", index) == {}
    DAMAGES[damage](path)
    same_size = path.is_file() and path.stat().st_size == checksums.read_record(results / "summary.json")[name]["bytes"]
    if damage == "missing" and "/" not in name:
        expected = {}  # Snakemake misses it by itself
    elif same_size and not seen:
        expected = {}  # found by whoever reads it: reading all that was never seen takes too long
    else:
        expected = {path: results / "summary.json"}
    for _look in range(2):  # a first look must not make a second one blind
        assert checksums.find_damaged(tmp_path / "results", index) == expected


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_copy_of_what_is_damaged_is_kept_and_its_job_can_write_again(results, name, damage):
    path, told = results / name, []
    DAMAGES[damage](path)
    content = path.read_bytes() if path.is_file() else None
    checksums.keep_damaged([path], told.append)
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.exists() == (damage != "missing") and len(told) == aside.exists()
    if content is not None:
        assert aside.read_bytes() == path.read_bytes() == content
    assert not path.is_dir(), "Snakemake deletes a job's files before it does it again, but no folder in their place"


def test_what_has_not_changed_is_not_read_when_jobs_are_planned(results, tmp_path, monkeypatch):
    index = tmp_path / "seen.json"
    checksums.find_damaged(tmp_path / "results", index)
    os.utime(results / "runs.csv", (1, 1))
    read = []
    monkeypatch.setattr(checksums, "sha256", lambda path, real=checksums.sha256: read.append(path.name) or real(path))
    for _look in range(2):
        assert checksums.find_damaged(tmp_path / "results", index) == {}
    assert read == ["runs.csv"], "touching changes nothing, and is looked into once"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"summary.json.checksums": [[1, 2], {"a": []}]}', "null"])
def test_a_damaged_index_of_what_was_seen_does_no_harm(results, tmp_path, content):
    (tmp_path / "seen.json").write_text(content)
    assert checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json") == {}


def test_touching_everything_blinds_nobody(results, tmp_path):
    checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json")
    for path in results.rglob("*"):
        os.utime(path)
    assert checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json") == {}
    flip_a_bit(results / "runs.csv")
    assert list(checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json")) == [results / "runs.csv"]


def test_results_that_are_made_anew_are_not_damaged(results, tmp_path):
    checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json")
    with job_results(results / "summary.json", lambda: [results / "runs.csv"]):
        write_json(results / "summary.json", {"b": 2})
    assert checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json") == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checksums_do_no_harm(results, tmp_path, damage):
    DAMAGES[damage](results / "summary.json.checksums")
    for path in checksums.find_damaged(tmp_path / "results", tmp_path / "seen.json"):
        assert damage == "one bit", path
    with job_results(results / "summary.json"):
        write_json(results / "summary.json", {})
    assert checksums.is_whole(results / "summary.json", ["summary.json"])


def test_a_job_that_fails_leaves_no_lock_and_no_empty_folder(tmp_path):
    with pytest.raises(RuntimeError), job_results(tmp_path / "new/summary.json"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


WRITES = """
import sys, time
from pathlib import Path
sys.path.insert(0, "scripts")
from convlab.common.outputs import job_results
main = Path(sys.argv[1])
with job_results(main):
    print("begun", flush=True)
    time.sleep(float(sys.argv[3]))
    main.write_text(sys.argv[2])
"""


def test_a_job_that_outlived_its_snakemake_does_not_write_over_newer_results(tmp_path):
    main = tmp_path / "out/metrics.json"
    orphan = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(main), "old", "1"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert orphan.stdout.readline() == "begun\n"
    subprocess.run([sys.executable, "-c", WRITES, str(main), "new", "0"], cwd=ROOT, check=True, capture_output=True)
    assert orphan.wait() == 0
    orphan.stdout.close()
    assert main.read_text() == "new"
    assert checksums.is_whole(main, ["metrics.json"])


def test_a_folder_where_jobs_write_a_log_or_a_measurement_is_set_aside(tmp_path):
    names = ["logs/compare.log", "benchmarks/report.tsv", "compare/.made_from", "probe/digits/.cnn.made_from"]
    for name in [*names, "train/digits/cnn"]:
        (tmp_path / name).mkdir(parents=True)
    told = []
    checksums.set_aside_folders(tmp_path, told.append)
    assert len(told) == len(names) and all("is a folder where a file belongs" in text for text in told)
    assert not any((tmp_path / name).exists() for name in names)
    assert (tmp_path / "logs/compare.log.damaged").is_dir() and (tmp_path / "train/digits/cnn").is_dir()


def test_writing_waits_for_the_disk_the_content_before_the_name(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor, real=os.fsync):
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.json", "{}")
    assert re.fullmatch(rf"{tmp_path}/\.[0-9a-f]{{12}}\.a\.json", flushed[0])
    assert flushed[1:] == [str(tmp_path)]
    flushed.clear()
    write_text(tmp_path / "figure.svg", SVG, durable=False)
    assert flushed == []
    with atomic.atomic(tmp_path / "saved_model") as temporary:
        write_text(temporary / "1/weights", "w", durable=False)
    assert any(path.endswith("saved_model/1/weights") for path in flushed) and flushed[-1] == str(tmp_path)


def test_a_folder_replaces_a_folder_or_a_file_and_appears_whole(tmp_path):
    saved = tmp_path / "saved_model"
    for content in ("old", "new"):
        with atomic.atomic(saved) as temporary:
            temporary.mkdir()
            (temporary / content).write_text("")
    assert [path.name for path in saved.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), atomic.atomic(saved) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert [path.name for path in saved.iterdir()] == ["new"]
    write_text(saved, "a file")
    assert saved.read_text() == "a file"
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    stale = [".0123456789ab.model.keras", ".0123456789ab", "a/.ba9876543210.saved_model/1/x"]
    kept = ["model.keras", ".snakemake_timestamp", ".0123456789ab-mine", "0123456789ab.x", ".0123456789AB.x", "a/b/c"]
    for name in [*stale, *kept, ".aaaaaaaaaaaa.fresh"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        make_older(path, 60 if path.name.endswith("fresh") else 2 * atomic.STALE_SECONDS)
    atomic.tidy(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, ".aaaaaaaaaaaa.fresh"}


def test_times_in_the_future_become_now_also_while_files_vanish(tmp_path, monkeypatch):
    for name in ("future", "vanishes", "past"):
        (tmp_path / name).write_text("")
        make_older(tmp_path / name, 1000 if name == "past" else -1e6)
    past = (tmp_path / "past").stat().st_mtime_ns

    def utime(path, *arguments, real=os.utime, **options):
        if Path(path).name == "vanishes":
            Path(path).unlink()
        real(path, *arguments, **options)

    monkeypatch.setattr(os, "utime", utime)
    atomic.tidy(tmp_path)
    assert (tmp_path / "future").stat().st_mtime <= time.time()
    assert (tmp_path / "past").stat().st_mtime_ns == past
    assert not (tmp_path / "vanishes").exists()
    atomic.tidy(tmp_path / "nowhere")


NAMES = st.one_of(
    st.sampled_from(
        ["32", "2024", "NA", "null", "None", "nan", "NaN", "N/A", "true", "True", "1e5", "007", "-", "inf"]
    ),
    st.from_regex(r"[A-Za-z0-9_.+-]{1,12}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1),
)


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_names_are_text_whatever_they_look_like(tmp_path_factory, names):
    stem = tmp_path_factory.mktemp("table") / "runs"
    table = pd.DataFrame({"dataset": names, "variant": names[::-1], "seed": range(len(names)), "value": 0.5})
    write_table(table, stem, "caption")
    read = read_table(stem.with_suffix(".csv"))
    assert read["dataset"].tolist() == names and read["variant"].tolist() == names[::-1]
    assert read["seed"].dtype.kind == "i" and read["value"].dtype.kind == "f"


@pytest.mark.parametrize(
    ("dataset", "dense", "cnn"), [("2024", "16", "32"), ("1e5", "NA", "null"), ("nan", "007", "7")]
)
def test_models_and_datasets_called_like_numbers_keep_their_probes(tmp_path, dataset, dense, cnn):
    config = {
        "study": "names",
        "datasets": {dataset: {"kind": "digits"}},
        "seeds": 3,
        "training": TINY["training"],
        "models": {dense: TINY["models"]["dense"], cnn: TINY["models"]["cnn"]},
        "comparisons": {"convolution": {"variant": cnn, "reference": dense}},
        "probes": ["translation"],
    }
    study = load_study(config)
    for name in study.plan.probes["translation"].models:
        path = tmp_path / "probe/translation" / dataset / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["dataset", "variant", "seed", *COLUMNS])
            writer.writerows(
                [dataset, name, seed, axis, shift, 0.5 + seed / 100 - abs(shift) / 10, 1 - abs(shift) / 5]
                for seed in study.seeds
                for axis in ("x", "y")
                for shift in range(-2, 3)
            )
    measured = load_measured(study, tmp_path)
    shifts = measured["translation"].table
    assert set(shifts["dataset"]) == {dataset} and set(shifts["variant"]) == {dense, cnn}
    runs = pd.DataFrame(
        [(dataset, name, seed) for name in (dense, cnn) for seed in study.seeds], columns=["dataset", "variant", "seed"]
    )
    assert set(all_curves(runs, study.plan, measured)["variant"]) == {dense, cnn}
    assert all_contrasts(runs, study.plan, measured)["dataset"].tolist() == [dataset]
