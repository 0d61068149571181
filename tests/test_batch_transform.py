"""Batch transform (deploy.sagemaker mode batch), against the double: a job runs the archive's handlers over S3."""

import csv
import json
import signal

import pytest

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import teardown as teardown_script
from aws_double import BUCKET, Fault
from builders.deployments import OPTIONS, SETTINGS, break_handler, evidence, interrupted, state_file
from convlab.cloud import aws, batch_transform, teardown
from convlab.errors import UserError

pytest_plugins = ["builders.aws_account"]


def batch_arguments(folder, test_images: int = 6, **batch) -> list[str]:
    options = {
        **OPTIONS,
        "test_images": test_images,
        "sagemaker": {**SETTINGS, "mode": "batch", "unguarded": True, "batch": batch},
    }
    return ["--options", json.dumps(options), "--dataset", "toys", "--results-dir", str(folder)]


def test_a_transform_job_answers_from_s3_and_is_compared_and_gone(known, results):
    sent = {}

    def look(operation):
        if operation == "DescribeTransformJob":
            (sent["job"],) = known.sagemaker.transform_jobs.values()
            (sent["key"],) = [key for key in known.keys("") if "/input/" in key]
            sent["lines"] = known.s3.get_object(BUCKET, sent["key"]).value.splitlines()

    known.before = look
    deploy.main(batch_arguments(results, instance_type="ml.c5.large"))
    record = evidence(results)
    assert record["status"] == "succeeded" and len(record["answers"]) == 6
    assert record["parity"]["largest_difference"] < 1e-6 and record["accuracy"]["images"] == 6
    assert record["latency_ms"] is None and {answer["latency_ms"] for answer in record["answers"]} == {None}
    job = record["endpoint"]["transform"]
    assert record["endpoint"]["kind"] == "SageMaker transform job" and record["endpoint"]["image"]
    assert job["status"] == "Completed" and job["instance_type"] == "ml.c5.large" and job["images"] == 6
    assert record["endpoint"]["log"]["streams"][f"{job['name']}/i-0"] == ["1 requests"]
    assert [json.loads(line)["index"] for line in sent["lines"]] == [answer["index"] for answer in record["answers"]]
    assert sent["job"].data_processing["JoinSource"] == "Input" and sent["job"].transform_input["SplitType"] == "Line"
    with (results / "deploy/toys/answers.csv").open() as stream:
        assert [row["latency_ms"] for row in csv.DictReader(stream)] == [""] * 6
    assert not any("Endpoint" in call for call in known.calls if call.startswith(("Create", "Invoke")))
    assert known.left() == [] and not state_file(results).exists()


def test_no_request_has_more_images_than_the_handlers_take(known, results, monkeypatch):
    monkeypatch.setattr(batch_transform, "MAX_IMAGES", 20)
    deploy.main(batch_arguments(results, test_images=90))
    record = evidence(results)
    (lines,) = record["endpoint"]["log"]["streams"].values()
    assert len(record["answers"]) == 90 and lines == ["5 requests"], "90 images in objects of 20"
    assert [entry["key"].split("/")[-1] for entry in record["endpoint"]["objects"]].count("part-00004.jsonl.out") == 1


def test_single_records_are_a_request_each(known, results):
    deploy.main(batch_arguments(results, strategy="SingleRecord"))
    (lines,) = evidence(results)["endpoint"]["log"]["streams"].values()
    assert lines == ["6 requests"]


def test_an_image_larger_than_a_request_is_refused_before_the_job(known, results, monkeypatch):
    monkeypatch.setattr(batch_transform, "MB", 10)
    with pytest.raises(UserError, match=r"one test image takes .* raise it"):
        deploy.main(batch_arguments(results))
    assert "CreateTransformJob" not in known.calls and known.left() == []


@pytest.mark.parametrize(
    "step", ["PutObject", "CreateModel", "CreateTransformJob", "DescribeTransformJob", "GetObject"]
)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceLimitExceeded", "InternalFailure"])
@pytest.mark.parametrize("after", [False, True])
def test_a_fault_at_any_step_of_a_transform_job_leaves_nothing(known, results, step, code, after):
    known.faults = [Fault(step, code, times=99, after=after, status=500 if code == "InternalFailure" else 400)]
    with pytest.raises(UserError, match=code):
        deploy.main(batch_arguments(results))
    assert evidence(results)["status"] == "failed"
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("step", ["DescribeTransformJob", "GetObject"])
@pytest.mark.parametrize("code", ["InternalFailure", "ThrottlingException", "no answer of AWS"])
def test_a_job_goes_on_while_aws_cannot_be_asked(known, results, monkeypatch, step, code):
    """As when a laptop wakes before its network does: what the job has cost would be lost."""
    monkeypatch.setattr(aws, "OUTAGE_SECONDS", 20)
    body, status = {"InternalFailure": (None, 500), "ThrottlingException": (None, 400)}.get(code, (b"<html>", 200))
    known.faults = [Fault(step, code, times=9, status=status, body=body if step != "GetObject" else None)]
    if step == "GetObject" and body:
        known.faults[0].status = 503
    deploy.main(batch_arguments(results))
    assert evidence(results)["status"] == "succeeded" and "StopTransformJob" not in known.calls
    assert known.calls.count(step) > 9 and known.left() == []


def test_a_job_does_not_go_on_for_longer_than_allowed_while_aws_cannot_be_asked(known, results):
    known.faults = [Fault("DescribeTransformJob", "InternalFailure", times=9999, status=500)]
    known.hold_jobs = True
    with pytest.raises(UserError, match="DescribeTransformJob: InternalFailure"):
        deploy.main(batch_arguments(results))
    assert [job.status for job in known.transforms.values()] == ["Stopped"] and known.left() == []


def test_a_transform_job_that_does_not_end_is_stopped_after_its_minutes(known, results, monkeypatch):
    known.hold_jobs, began = True, aws.clock()
    monkeypatch.setattr(aws, "clock", lambda: began + (3600 - 0.1) * ("CreateTransformJob" in known.calls))
    with pytest.raises(UserError, match="did not end within 60 minutes; it was stopped"):
        deploy.main(batch_arguments(results))
    assert [job.status for job in known.transforms.values()] == ["Stopped"] and known.left() == []


def test_the_minutes_of_a_transform_job_go_on_while_the_machine_sleeps(known, results, monkeypatch):
    known.hold_jobs, began = True, aws.clock()
    monkeypatch.setattr(aws, "clock", lambda: began + 8 * 3600 * ("DescribeTransformJob" in known.calls))
    with pytest.raises(UserError, match="did not end within 60 minutes; it was stopped"):
        deploy.main(batch_arguments(results))
    assert known.calls.count("DescribeTransformJob") == 1 and known.left() == []


def test_a_transform_job_that_fails_says_why_with_its_log(known, results):
    break_handler(results)
    with pytest.raises(UserError, match=r"ended as Failed: ClientError: .*no such thing"):
        deploy.main(batch_arguments(results))
    assert "no such thing" in str(evidence(results)["endpoint"]["log"]["streams"]) and known.left() == []


@pytest.mark.parametrize(("content", "sentence"), [
    (b"{", r"line 1 of the transform job's part-00000\.jsonl\.out is no prediction: \{"),
    (b'{"index": 0}', "is no prediction"),
    (b"[" * 100_000, "is no prediction"),
    (b'{"index": 10000, "SageMakerOutput": {}}', "lacks 6 of 6 images"),
    (b'{"index": Infinity, "SageMakerOutput": {}}', "is no prediction"),
    (b"", "lacks 6 of 6 images; the first is"),
    (b"x" * 200, "more than 100 bytes, which are no predictions"),
])  # fmt: skip
def test_a_transform_jobs_output_is_not_trusted(known, results, monkeypatch, content, sentence):
    if content.startswith(b"x"):
        monkeypatch.setattr(batch_transform, "MAX_OUTPUT_BYTES", 100)

    def change(operation):
        if operation == "GetObject":
            (key,) = [key for key in known.keys("") if key.endswith(".out")]
            known.s3.put_object(BUCKET, key, content)

    known.before = change
    with pytest.raises(UserError, match=sentence):
        deploy.main(batch_arguments(results))
    assert known.left() == []


def test_a_prediction_in_the_output_is_checked_like_an_endpoints(known, results):
    def change(operation):
        if operation == "GetObject":
            (key,) = [key for key in known.keys("") if key.endswith(".out")]
            content = known.s3.get_object(BUCKET, key).value.replace(b'"probabilities": [', b'"probabilities": [NaN, ')
            known.s3.put_object(BUCKET, key, content)

    known.before = change
    with pytest.raises(UserError, match=r"is no prediction \(its probabilities are not finite"):
        deploy.main(batch_arguments(results))
    assert known.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["CreateModel", "CreateTransformJob", "DescribeTransformJob"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_transform_job_is_stopped_when_the_process_is(double, results, processes, monkeypatch, number, step):
    monkeypatch.setattr(teardown, "NOT_FOUND_GRACE_SECONDS", 0.6)
    double.hold_jobs = True
    ended = interrupted(double, results, processes, number, step, "after", mode="batch", unguarded=True)
    left, double.after = double.left(), lambda operation: None
    if number == signal.SIGKILL:
        assert ended == -signal.SIGKILL and len(left) > 1
        teardown_script.main(["--results", str(results.parent)])
    else:
        assert ended == 128 + number and evidence(results)["teardown"]["remaining"] == []
    assert {job.status for job in double.transforms.values()} <= {"Stopped"}
    assert double.left() == [] and not state_file(results).exists()
