"""Deploying: the evidence says what happened, whatever happens, and nothing is left behind."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import deploy
from builders.project import ROOT
from builders.served_model import MODEL_SHAPE, TOY_CLASSES, TOY_IMAGES, write_deployable_study
from convlab.common import checksums
from convlab.common.files import write_arrays
from convlab.common.outputs import files_below
from convlab.errors import UserError
from convlab.serving import endpoint_test, local
from convlab.serving.endpoint_test import Reply
from convlab.serving.record import Evidence

OPTIONS = {"target": "local", "runtime": "onnx", "test_images": 40, "seed": 3}


@pytest.fixture
def results(tmp_path) -> Path:
    return write_deployable_study(tmp_path / "my_study")


def arguments(folder: Path, **options) -> list[str]:
    return ["--options", json.dumps(OPTIONS | options), "--dataset", "toys", "--results-dir", str(folder)]


def evidence(folder: Path) -> dict:
    record = json.loads((folder / "deploy/toys/endpoint.json").read_text())
    Evidence.model_validate(record)
    return record


def servers(folder: Path) -> list[psutil.Process]:
    """Servers of this folder's model that run."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(part.startswith(str(folder)) for part in process.info["cmdline"] or [])
        and any(part.endswith("serve.py") for part in process.info["cmdline"])
    ]


def test_evidence_of_a_deployment(results):
    deploy.main(arguments(results))
    record = evidence(results)
    assert record["status"] == "succeeded" and record["error"] is None
    assert record["study"] == "my_study" and record["model"]["variant"] == "cnn" and record["model"]["seed"] == 2
    assert record["images"] == {"count": 40, "of": TOY_IMAGES, "seed": 3, "rule": deploy.SAMPLING_RULE}
    assert len(record["answers"]) == len({answer["index"] for answer in record["answers"]}) == 40
    right = sum(answer["predicted_class"] == TOY_CLASSES[answer["index"]] for answer in record["answers"])
    assert record["accuracy"]["value"] == right / 40
    assert record["accuracy"]["ci_low"] < right / 40 < record["accuracy"]["ci_high"]
    assert record["parity"]["largest_difference"] < 1e-6 and record["parity"]["agreement"] == 1
    assert record["latency_ms"]["calls"] == 39
    assert record["latency_ms"]["p50"] <= record["latency_ms"]["p99"] <= record["latency_ms"]["max"]
    assert record["endpoint"]["url"].startswith("http://127.0.0.1:") and record["endpoint"]["memory_mb"] > 10
    assert record["teardown"]["remaining"] == []
    assert servers(results) == []
    with (results / "deploy/toys/answers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["index"]) for row in rows] == [answer["index"] for answer in record["answers"]]


def test_the_seed_draws_the_images_and_nothing_else_does(results):
    drawn = []
    for seed in (3, 3, 4):
        deploy.main(arguments(results, seed=seed))
        drawn.append([answer["index"] for answer in evidence(results)["answers"]])
    assert drawn[0] == drawn[1] != drawn[2]


def test_more_images_than_there_are_means_all(results):
    deploy.main(arguments(results, test_images=1000))
    assert evidence(results)["images"]["count"] == TOY_IMAGES


def test_a_single_image_has_a_first_call_and_no_quantiles(results):
    deploy.main(arguments(results, test_images=1))
    assert evidence(results)["latency_ms"]["p50"] is None and evidence(results)["latency_ms"]["first"] > 0


def test_a_model_that_cannot_be_served_leaves_evidence_of_it(results):
    (results / "export/toys/model.onnx").write_bytes(b"broken")
    with pytest.raises(UserError, match="ended before it answered"):
        deploy.main(arguments(results))
    record = evidence(results)
    assert record["status"] == "failed" and "ended before it answered" in record["error"]["message"]
    assert record["model"]["variant"] == "cnn" and record["answers"] == [] and record["accuracy"] is None
    assert record["teardown"]["remaining"] == []
    assert not (results / "deploy/toys/answers.csv").exists()


def test_a_model_that_was_never_exported_leaves_evidence_of_it(results):
    (results / "export/toys/export.json").unlink()
    with pytest.raises(UserError, match=r"export\.json is missing"):
        deploy.main(arguments(results))
    assert evidence(results)["status"] == "failed" and evidence(results)["endpoint"] is None


def test_other_answers_than_the_evaluated_models_are_a_failure(results):
    path = results / "evaluate/toys/cnn/predictions.npz"
    write_arrays(path, seeds=np.array([2]), probabilities=np.tile(np.float32([0.2, 0.3, 0.5]), (1, TOY_IMAGES, 1)))
    with pytest.raises(UserError, match="differ from the evaluated model's by up to"):
        deploy.main(arguments(results))
    failed = evidence(results)
    assert (
        failed["status"] == "failed" and failed["parity"]["largest_difference"] > 0.01 and len(failed["answers"]) == 40
    )


@pytest.mark.parametrize("reference", [np.nan, np.inf])
def test_a_reference_that_is_no_number_agrees_with_nothing(results, reference):
    path = results / "evaluate/toys/cnn/predictions.npz"
    write_arrays(path, seeds=np.array([2]), probabilities=np.full((1, TOY_IMAGES, 3), reference, np.float32))
    with pytest.raises(UserError, match="the evaluated model's probabilities are not finite"):
        deploy.main(arguments(results))
    assert evidence(results)["status"] == "failed" and evidence(results)["parity"] is None


@pytest.mark.parametrize("lengths", [(3, 2), (2, 2)])
def test_answers_of_other_classes_than_the_reference_are_told_whatever_their_lengths(lengths):
    answers = [
        endpoint_test.image_prediction(
            {"class": 0, "label": "a", "probabilities": [1.0] * length}, index, 0, payload_bytes=1
        )
        for index, length in enumerate(lengths)
    ]
    with pytest.raises(UserError, match="of other classes than the endpoint's"):
        endpoint_test.agreement(answers, np.full((2, 3), 1 / 3))


def test_a_difference_that_is_no_number_is_no_small_one(results, monkeypatch):
    agreement = endpoint_test.agreement
    nowhere = {"largest_difference": float("nan")}
    monkeypatch.setattr(endpoint_test, "agreement", lambda *given: agreement(*given).model_copy(update=nowhere))
    with pytest.raises(UserError, match="differ from the evaluated model's by up to nan"):
        deploy.main(arguments(results))


@pytest.mark.parametrize(
    "error", [psutil.AccessDenied(), KeyError("rss"), MemoryError()], ids=lambda e: type(e).__name__
)
def test_looking_at_the_server_does_not_keep_it_alive(results, monkeypatch, error):
    def refuse(pid):
        raise error

    monkeypatch.setattr(local, "psutil", SimpleNamespace(Process=refuse, pid_exists=psutil.pid_exists))
    deploy.main(arguments(results, test_images=2))
    assert evidence(results)["status"] == "succeeded" and evidence(results)["endpoint"]["memory_mb"] is None
    assert servers(results) == []


def test_evidence_of_a_type_that_json_does_not_know_is_written_all_the_same(results, monkeypatch):
    odd = {"seen": datetime(2026, 1, 1, tzinfo=UTC), "set": {1}, "path": Path("x"), "error": ValueError("x")}
    monkeypatch.setattr(deploy.LocalEndpoint, "facts", lambda self: odd)
    deploy.main(arguments(results, test_images=2))
    assert evidence(results)["endpoint"]["seen"].startswith("2026-01-01")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_evidence_and_without_a_server(results, number):
    command = [sys.executable, ROOT / "scripts/deploy.py", *arguments(results)]
    handlers = results / "export/toys/code/inference.py"
    step = "    count, pixels = flat_pixels(images, model.input_shape)\n    batch"
    asked = results / "asked"
    slow = f"    import pathlib, time; pathlib.Path({str(asked)!r}).touch(); time.sleep(0.2)\n"
    assert step in handlers.read_text()
    handlers.write_text(handlers.read_text().replace(step, slow + step))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not asked.exists():  # so that the signal comes in the middle
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    record = evidence(results)
    assert record["status"] == "failed" and record["error"]["type"] in ("SystemExit", "KeyboardInterrupt")
    assert record["teardown"]["remaining"] == []
    assert servers(results) == []


ENDS = """
import os, signal, sys
sys.path.insert(0, "scripts")
from convlab.common import shutdown
shutdown.exit_on_signals()
for name in sys.argv[1:]:
    os.kill(os.getpid(), getattr(signal, name))
"""


@pytest.mark.parametrize(("started", "names", "status"), [
    ([], ["SIGHUP"], 129), (["nohup"], ["SIGHUP"], 0), (["nohup"], ["SIGHUP", "SIGTERM"], 143),
])  # fmt: skip
def test_a_closed_terminal_ends_it_unless_nohup_started_it(started, names, status):
    command = [*started, sys.executable, "-c", ENDS, *names]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == status


# ---------------------------------------------------------------------------------------------------------------------
# The trial


def reply(status: int = 200, **answer) -> Reply:
    prediction = {"class": 1, "label": "one", "probabilities": [0.1, 0.7, 0.2]} | answer
    return Reply(status, json.dumps({"predictions": [prediction]}).encode(), {"request_id": "7"})


def test_answers_carry_what_the_service_adds():
    answers = list(
        endpoint_test.ask(
            lambda body, kind: reply(), np.zeros((3, *MODEL_SHAPE), np.uint8), [2, 0], np.array([0, 1, 1])
        )
    )
    assert [answer.index for answer in answers] == [2, 0]
    assert [answer.correct for answer in answers] == [True, False]
    assert answers[0].about == {"request_id": "7"}


@pytest.mark.parametrize("sent, sentence", [
    (Reply(503, b"busy"), "answered 503 to test image 0: busy"),
    (Reply(200, b"<html>"), "is no prediction"),
    (Reply(200, b'{"predictions": []}'), "is no prediction"),
    (reply(probabilities="many"), "is no prediction"),
    (reply(probabilities=[0.1, float("nan"), 0.2]), "NaN is no probability"),
    (reply(probabilities=[1e999, 0.0, 0.0]), "Infinity is no probability"),
    (Reply(200, b'{"predictions": [{"class": 1, "label": "x", "probabilities": [1e999]}]}'), "are not finite numbers"),
    (reply(probabilities=[[0.1, 0.9]]), "is no prediction"),
    (Reply(200, b"[" * 100_000), "is no prediction"),
    (Reply(200, b'"text"'), "is no prediction"),
])  # fmt: skip
def test_an_answer_that_is_none_is_told(sent, sentence):
    with pytest.raises(UserError, match=sentence):
        list(endpoint_test.ask(lambda body, kind: sent, np.zeros((1, *MODEL_SHAPE), np.uint8), [0], np.array([0])))


def test_the_first_call_is_apart():
    answers = list(
        endpoint_test.ask(lambda body, kind: reply(), np.zeros((9, *MODEL_SHAPE), np.uint8), range(9), np.ones(9, int))
    )
    times = [100.0, *range(1, 9)]
    times_ms = endpoint_test.latency(
        [a.model_copy(update={"latency_ms": t}) for a, t in zip(answers, times, strict=True)]
    )
    assert (times_ms.first, times_ms.p50, times_ms.max, times_ms.calls) == (100.0, 4.5, 8.0, 8)


def test_wilsons_interval_is_the_textbooks():
    answers = [Answer(correct) for correct in [True] * 81 + [False] * 182]
    accuracy = endpoint_test.accuracy(answers)  # Newcombe 1998, Statistics in Medicine 17, 857-872, table I: 81 of 263
    assert (round(accuracy.ci_low, 4), round(accuracy.ci_high, 4)) == (0.2553, 0.3662)


class Answer:
    def __init__(self, correct: bool) -> None:
        self.correct = correct


# ---------------------------------------------------------------------------------------------------------------------
# In the workflow


@pytest.mark.slow
def test_a_failed_deployment_keeps_its_evidence_under_snakemake(finished):
    config = (finished.folder / "config.yaml").read_text()
    (finished.folder / "config.yaml").write_text(config + "deploy: {test_images: 20}\n")
    assert finished.snakemake("export").returncode == 0
    broken = finished.folder / "results/tiny/export/digits/model.onnx"
    good, times = broken.read_bytes(), broken.stat()
    broken.write_bytes(b"broken")
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    record = broken.with_name("export.json")
    checksums.write_record(record, files_below(broken.parent))  # or it would be exported again
    result = finished.snakemake("deploy")
    assert result.returncode != 0
    folder = finished.folder / "results/tiny"
    assert json.loads((folder / "deploy/digits/endpoint.json").read_text())["status"] == "failed"
    broken.write_bytes(good)
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    checksums.write_record(record, files_below(broken.parent))
    result = finished.snakemake("deploy")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The endpoint's answers: results/tiny/deploy/digits/endpoint.json" in result.stderr
    written = json.loads((folder / "deploy/digits/endpoint.json").read_text())
    assert written["status"] == "succeeded" and len(written["answers"]) == 20
    assert finished.planned("deploy") == set()
