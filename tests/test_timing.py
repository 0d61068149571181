"""Times that decide claims: measured in rounds, variants interleaved, a fresh process each, alone on the machine.

No test asserts a time. What is asserted is the protocol, and what is decided on made-up times.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import time_training
import timing
from builders.project import CNN_5X5, LAST_JOBS, TINY, job_forks, tiny_with
from builders.results import CNN_WINS, write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, results_with, runs_with
from convlab.common import busy, checksums
from convlab.common.files import read_json, write_json
from convlab.common.locks import locked
from convlab.common.table_files import read_table, write_table
from convlab.errors import UserError
from convlab.findings.dense_vs_conv import costs
from convlab.results import columns, tables
from convlab.results.conditions import CODE, SOFTWARE
from convlab.results.family import confirmatory_family
from convlab.results.timings import DATA, SETTINGS, Timings, differences, settings_digest
from convlab.study import layout
from convlab.study.load import load_study
from convlab.training.pipeline import images_per_epoch
from convlab.training.recipe import EarlyStopping, Training

SLOWER = "train_seconds(cnn) / train_seconds(dense) > 1.5"
ACCURACIES = {"dense": [0.9, 0.901, 0.902], "cnn": [0.95, 0.951, 0.953], CNN_5X5: [0.95, 0.951, 0.953]}


def timings(excluded: str = "", **seconds: list[float | None]) -> Timings:
    """Made-up times by variant, seconds per epoch of each round; latencies in ms are a tenth of them."""
    rows = [
        {"dataset": "digits", "variant": name, "round": number, "position": 1, "seconds_per_epoch": value,
         "images_per_second": 100.0, "latency_ms": value and value / 10, "timed_images": 1297, "other_load": 0.0,
         "excluded": excluded}
        for name, values in seconds.items()
        for number, value in enumerate(values, start=1)
    ]  # fmt: skip
    return Timings(pd.DataFrame(rows, columns=list(columns.TIMINGS)), {"busy": False})


NOISY_ROUNDS = (1.0, 3.0, 0.7, 2.0, 1.4)
"""How much slower the machine was in each round, for every variant alike."""

TWICE = {
    "dense": [1.0 * noise for noise in NOISY_ROUNDS],
    "cnn": [ratio * noise for ratio, noise in zip((2.0, 2.1, 1.9, 2.05, 1.95), NOISY_ROUNDS, strict=True)],
}


def decided(rule: str, measured: Timings, config=MADE_UP_STUDY) -> dict:
    """The row of a claim alone in its study; runs' times are equal, so that they could decide nothing."""
    study = load_study({**config, "claims": [{"id": "it", "text": "A statement.", "rule": rule}]})
    runs = runs_with(study, ACCURACIES)
    family = confirmatory_family(runs, study.plan, study.statistics.rope, timings=measured)
    (row,) = tables.claims_table(runs, study.plan, study.statistics.rope, family).to_dict("records")
    return row


# ---------------------------------------------------------------------------------------------------------------------
# What is decided


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (SLOWER, "supported"),
        ("train_seconds(cnn) / train_seconds(dense) < 1.5", "contradicted"),
        ("seconds_per_epoch(cnn) / seconds_per_epoch(dense) ~ 2 ± 0.3", "supported"),
        ("latency_ms(dense) / latency_ms(cnn) < 0.7", "supported"),
        ("latency_ms(dense) / latency_ms(cnn) < 0.5", "inconclusive"),
        ("1 < train_seconds(cnn) / train_seconds(dense) < 3", "supported"),
    ],
)
def test_a_claim_about_time_is_decided_within_rounds(rule, verdict):
    row = decided(rule, timings(**TWICE))
    assert (row["verdict"], row["replicates"], row["n_seeds"]) == (verdict, "rounds", 5)
    assert "rounds of “make timing”" in row["reason"]


def test_what_slows_a_whole_round_cancels_out():
    calm = {"dense": [1.0] * 5, "cnn": [2.0, 2.1, 1.9, 2.05, 1.95]}
    for column in ("measured", "ci_low", "ci_high"):
        assert decided(SLOWER, timings(**TWICE))[column] == pytest.approx(decided(SLOWER, timings(**calm))[column])


def test_training_time_is_the_time_of_an_epoch_times_the_epochs():
    row = decided("train_seconds(dense) < 1000", timings(dense=[1.0, 2.0, 3.0]))
    assert row["measured"] == pytest.approx(2.0 * MADE_UP_STUDY["training"]["epochs"])
    assert decided("seconds_per_epoch(dense) < 1000", timings(dense=[1.0, 2.0, 3.0]))["measured"] == pytest.approx(2)


EARLY = {**MADE_UP_STUDY, "training": {"epochs": 4, "early_stopping": {"patience": 2}}}


@pytest.mark.parametrize(
    ("rule", "measured", "config"),
    [
        (SLOWER, Timings(), MADE_UP_STUDY),
        (SLOWER, timings("training code", **TWICE), MADE_UP_STUDY),
        (SLOWER, timings(dense=TWICE["dense"]), MADE_UP_STUDY),
        (SLOWER, timings(**TWICE), EARLY),
        ("train_seconds(cnn) > 0.9 * test_accuracy(cnn)", timings(**TWICE), MADE_UP_STUDY),
    ],
    ids=["no times", "of other code", "one side not timed", "stops early", "beside an accuracy"],
)
def test_without_times_that_fit_a_claim_is_described(rule, measured, config):
    row = decided(rule, measured, config)
    assert (row["verdict"], row["p_value"], row["replicates"]) == ("described", None, "seeds")
    assert "times are described and decide no claim" in row["reason"]
    assert ("“make timing” measures times that decide it" in row["reason"]) == ("test_accuracy" not in rule)


def test_seconds_per_epoch_are_known_where_training_stops_early():
    assert decided("seconds_per_epoch(cnn) > seconds_per_epoch(dense)", timings(**TWICE), EARLY)["p_value"] is not None


def test_a_round_without_a_value_decides_nothing():
    row = decided(SLOWER, timings(dense=[1.0, 1.0, None, 1.1], cnn=[2.0, 2.1, 1.9, 2.0]))
    assert (row["verdict"], row["p_value"]) == ("inconclusive", None)


def test_a_decided_claim_about_time_is_one_of_the_family():
    study = load_study({**MADE_UP_STUDY, "claims": [{"id": "it", "text": "A.", "rule": SLOWER}]})
    runs = runs_with(study, ACCURACIES)
    p_values = [
        tables.comparisons_table(
            runs, study.plan, 0.005, confirmatory_family(runs, study.plan, 0.005, timings=measured)
        )["p_equivalence_adjusted"].dropna()
        for measured in (Timings(), timings(**TWICE))
    ]  # fmt: skip
    assert (p_values[1] >= p_values[0]).all() and (p_values[1] > p_values[0]).any()


def test_costs_quote_the_ratio_of_rounds_instead_of_the_times_of_runs():
    results = results_with(CNN_WINS)
    (without,) = costs(results, "digits", "cnn", "dense")
    (measured,) = costs(replace(results, timings=timings(**TWICE).table), "digits", "cnn", "dense")
    assert "as measured, which depends on the machine" in without.text
    assert "2.00 times as long for an epoch (95 % CI 1.90 to 2.10; n = 5 rounds of “make timing”)" in measured.text
    (excluded,) = costs(replace(results, timings=timings("busy machine", **TWICE).table), "digits", "cnn", "dense")
    assert excluded.text == without.text


def test_costs_compare_no_times_of_several_machines():
    (finding,) = costs(replace(results_with(CNN_WINS), machines=2), "digits", "cnn", "dense")
    assert "times are not compared, since these runs come from 2 different machines" in finding.text


# ---------------------------------------------------------------------------------------------------------------------
# Whether times are of the study as it is

TIMED_WITH = {
    "settings": "ab",
    "data_sha256": {"x_train": "cd"},
    "versions": {"keras": "3.15.1", "matplotlib": "3.10"},
    "threads": 1,
    "environment": {},
    "code": {"train.py": "ef"},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"versions": {"keras": "3.15.1", "matplotlib": "4.0"}}, []),
        ({"versions": {"keras": "3.16.0"}}, [SOFTWARE]),
        ({"code": {"train.py": "00"}}, [CODE]),
        ({"settings": "00"}, [SETTINGS]),
        ({"data_sha256": {}}, [DATA]),
    ],
)
def test_times_of_another_state_name_what_differs(changes, expected):
    runs = [{name: TIMED_WITH[name] for name in ("data_sha256", "versions", "threads", "environment", "code")}] * 2
    assert differences(TIMED_WITH | changes, "ab", runs) == expected


def test_settings_are_the_same_for_every_seed_and_no_other_variant():
    study = load_study(TINY)
    digests = {name: {settings_digest(study.run("digits", name, s)) for s in (1, 2)} for name in study.plan.variants}
    assert all(len(digest) == 1 for digest in digests.values())
    assert len(set.union(*digests.values())) == len(digests)


def timing_record(busy_machine: bool) -> dict:
    return {"rounds": 5, "busy": busy_machine, "other_load": 1.25, "hardware": {"processor": "A chip"}}


@pytest.mark.parametrize(
    ("busy_machine", "sentence"),
    [(False, "decided by 5 rounds of “make timing” on one machine (A chip)"), (True, "kept 1.2 cores of the machine")],
)
def test_the_report_says_how_times_were_measured(busy_machine, sentence, tmp_path):
    config = write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS, timing=timing_record(busy_machine))
    assert all(sentence in text for text in write_reports(tmp_path, config))


def test_the_report_says_which_times_decide_nothing_and_why(tmp_path):
    config = write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS, timing=timing_record(False))
    write_table(timings("settings; training code", **TWICE).table, tmp_path / "compare/timings", "times")
    for text in write_reports(tmp_path, config):
        assert "times of 2 variants decide nothing, since they were timed with other settings and training code" in text


# ---------------------------------------------------------------------------------------------------------------------
# The protocol


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 99))
def test_every_round_times_every_variant_once(count, rounds, seed):
    variants = [f"v{number}" for number in range(count)]
    orders = timing.orders(variants, rounds, seed)
    assert len(orders) == rounds and all(sorted(order) == variants for order in orders)
    assert timing.orders(variants, rounds, seed) == orders


def test_the_order_differs_from_round_to_round():
    orders = timing.orders([f"v{number}" for number in range(6)], 5, seed=1)
    assert len({tuple(order) for order in orders}) == 5


def test_each_variant_is_timed_in_a_process_of_its_own_one_after_another(tmp_path, monkeypatch):
    commands = []

    def start(command, **_options):
        commands.append(dict(zip(command[2::2], command[3::2], strict=True)))
        write_json(timing.Path(commands[-1]["--output"]), {"seconds_per_epoch": 1.0})
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(timing.subprocess, "run", start)
    study, asked = load_study(TINY), argparse.Namespace(rounds=3, seed=1, threads=1)
    rows = list(timing.time_rounds(study, "digits", list(study.plan.variants), tmp_path, asked))
    assert len(commands) == len(rows) == 9
    specs = [study.run("digits", row["variant"], 1).identity for row in rows]
    assert [json.loads(command["--spec"]) for command in commands] == specs
    assert Counter((row["round"], row["position"]) for row in rows) == Counter(
        (r, p) for r in (1, 2, 3) for p in (1, 2, 3)
    )
    assert {command["--threads"] for command in commands} == {"1"}
    assert {command["--data-dir"] for command in commands} == {str(layout.prepared(tmp_path, "digits"))}


@given(
    st.integers(1, 100_000), st.integers(1, 4096), st.integers(1, 40), st.one_of(st.none(), st.integers(1, 10_000))
)  # fmt: skip
def test_what_is_timed_is_a_bounded_part_of_an_epoch_in_whole_batches(images, batch, epochs, steps):
    training = Training(batch_size=batch, epochs=epochs, steps=steps, early_stopping=EarlyStopping(), tensorboard=True)
    whole = images_per_epoch(training, images)
    short = time_training.shortened(training, whole)
    timed = images_per_epoch(short, images)
    assert timed <= max(whole, batch) and timed <= max(time_training.MAX_IMAGES, batch)
    assert timed == whole or timed % batch == 0
    assert (short.epochs - 1) * timed >= min(time_training.MIN_TIMED_IMAGES, 3 * timed)
    assert short.early_stopping is None and not short.tensorboard and short.batch_size == batch


def test_names_of_variants_are_checked_and_all_but_those_of_probes_are_timed():
    study = load_study({**TINY, "probes": ["pixel_permutation"]})
    assert timing.timed_variants(study, None) == list(study.plan.compared) != list(study.plan.variants)
    assert timing.timed_variants(study, ["cnn-kernel_size-3x3", "dense"]) == ["cnn", "dense"]
    with pytest.raises(UserError, match="'cn', which is no variant of tiny"):
        timing.timed_variants(study, ["cn"])


def test_a_busy_machine_is_refused(tmp_path, monkeypatch):
    own = tmp_path / "tiny.lock"
    monkeypatch.setattr(timing.busy, "load_of_others", lambda seconds: 1.4)
    with pytest.raises(UserError, match=r"keep 1\.4 cores of this machine busy"):
        timing.refuse_busy(own)
    for load in (0.05, None):
        monkeypatch.setattr(timing.busy, "load_of_others", lambda seconds, load=load: load)
        assert timing.refuse_busy(own) == load


def test_a_study_that_is_being_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(timing.busy, "load_of_others", lambda seconds: 0.0)
    with locked(tmp_path / "other.lock", ""), locked(tmp_path / "tiny.lock", ""):
        assert busy.held_locks(tmp_path, but="tiny.lock") == ["other"]
        with pytest.raises(UserError, match="another Snakemake is at work on other"):
            timing.refuse_busy(tmp_path / "tiny.lock")
    (tmp_path / "other.lock").touch()  # what a Snakemake that has ended leaves behind
    assert timing.refuse_busy(tmp_path / "tiny.lock") == 0.0


def test_fewer_than_three_rounds_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(json.dumps(TINY))
    with pytest.raises(UserError, match="fewer than 3 rounds"):
        timing.main(["--rounds", "2"])


def test_time_of_our_own_processes_is_not_that_of_others(monkeypatch):
    seconds = iter([100.0, 107.0])
    monkeypatch.setattr(busy, "busy_seconds", lambda: next(seconds))
    monkeypatch.setattr(busy.time, "monotonic", iter([0.0, 4.0]).__next__)
    monkeypatch.setattr(busy, "_own_seconds", iter([50.0, 53.0]).__next__)
    assert busy.Load().others() == pytest.approx((7 - 3) / 4)


WITH_PYTHON = """
import runpy, sys
sys.executable = sys.argv.pop(1)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A script that starts others by the Python that its first argument names."""


@pytest.mark.slow
def test_times_are_measured_and_rerun_the_comparison_and_the_report_alone(finished, monkeypatch):
    finished.configure(tiny_with(claims=[{"id": "time", "text": "It trains longer.", "rule": SLOWER}]))
    assert finished.planned() == LAST_JOBS
    monkeypatch.chdir(finished.folder)
    script = ["scripts/timing.py", "--busy", "--rounds", "3", "--variants", "cnn", "dense"]
    command = [sys.executable, "-c", WITH_PYTHON, job_forks().python, *script]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    folder = layout.timed(layout.study_folder("tiny"))
    table, record = read_table(folder / "timings.csv"), read_json(folder / "timing.json")
    assert list(table.columns) == list(columns.TIMED)
    assert [sorted(part) for _round, part in table.groupby("round")["variant"]] == [["cnn", "dense"]] * 3
    times = table[["seconds_per_epoch", "images_per_second", "latency_ms"]].to_numpy()
    assert np.isfinite(times).all() and (times > 0).all()
    assert (record["rounds"], set(record["variants"]["digits"])) == (3, {"cnn", "dense"})
    # Whoever runs the tests may do other things meanwhile.
    write_json(folder / "timing.json", record | {"busy": False})
    checksums.write_record(folder / "timing.json", [folder / "timings.csv"])
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Train" not in result.stdout + result.stderr and "Evaluate" not in result.stdout + result.stderr
    row = read_table(layout.compared(folder.parent) / "claims.csv").iloc[0]
    assert (row["replicates"], row["n_seeds"]) == ("rounds", 3)
    assert finished.planned() == set()
    write_json(folder / "timing.json", record | {"busy": True})
    checksums.write_record(folder / "timing.json", [folder / "timings.csv"])
    assert finished.planned() == LAST_JOBS
