"""deploy.target: sagemaker, against a double of AWS: what it does, and that whatever happens nothing is left."""

import errno
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from pydantic import ValidationError

from builders.project import ROOT, TINY, copy_project

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import deploy_plan
import teardown as teardown_script
from aws_double import ACCOUNT, BUCKET, REGION, Fault
from builders.deployments import (
    CREDENTIALS,
    OPTIONS,
    ROLE,
    RUN,
    SETTINGS,
    arguments,
    break_handler,
    evidence,
    evidence_of,
    interrupted,
    state_file,
)
from convlab.cloud import aws, endpoint, sdk, teardown, training_job
from convlab.cloud import state as states
from convlab.cloud.policy import role_policy
from convlab.common import redaction
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.study.load import load_study
from convlab.study.sagemaker import SageMaker

pytest_plugins = ["builders.aws_account"]

# ---------------------------------------------------------------------------------------------------------------------
# When all goes well


def test_a_deployment_is_answered_compared_and_gone(double, results, caplog):
    caplog.set_level("DEBUG", "deploy")
    deploy.main(arguments(results, tags={"team": "vision"}))
    record = evidence(results)
    assert record["status"] == "succeeded" and len(record["answers"]) == 6
    assert record["parity"]["largest_difference"] < 1e-6 and record["parity"]["agreement"] == 1
    assert record["latency_ms"]["calls"] == 5 and record["latency_ms"]["first"] > 0
    assert {answer["about"]["attempts"] for answer in record["answers"]} == {1}
    assert len({answer["about"]["request_id"] for answer in record["answers"]}) == 6
    endpoint = record["endpoint"]
    assert endpoint["clients"]["boto3"] == boto3.__version__
    assert endpoint["on_aws"] is False and endpoint["where"] == "a double of AWS on loopback, not AWS"
    assert endpoint["variant"]["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    assert [step["status"] for step in endpoint["transitions"]] == ["Creating", "InService"]
    assert endpoint["log"]["streams"] == {"AllTraffic/i-0": ["model loaded", "started"]}
    assert [entry["bytes"] for entry in endpoint["objects"]] == [endpoint["model"]["bytes"]]
    assert record["teardown"]["remaining"] == [] and record["model"]["runtime"] == "saved_model"
    assert double.left() == [] and not state_file(results).exists()
    output = caplog.text + (results / "deploy/toys/endpoint.json").read_text()
    assert ACCOUNT not in output and not any(secret in output for secret in CREDENTIALS.values())


def test_everything_is_tagged_and_named_alike(known, results):
    seen = {}

    def look(operation):
        if operation == "InvokeEndpoint" and not seen:
            sagemaker = known.sagemaker
            for kind in (sagemaker.endpoints, sagemaker.endpoint_configs, sagemaker._models):
                ((name, resource),) = kind.items()
                seen[name] = [*seen.get(name, []), {tag["Key"]: tag["Value"] for tag in resource.tags}]

    known.before = look
    deploy.main(arguments(results, tags={"team": "vision"}))
    ((name, tags),) = seen.items()
    assert name.startswith("convlab-my-study-") and len(name) <= 48
    expires = datetime.fromisoformat(tags[0]["expires"]) - datetime.now(UTC)
    assert timedelta(minutes=44) < expires <= timedelta(minutes=45), "30 minutes, and 15 to take it down"
    expected = {"project": "convlab", "study": "my_study", "deployment": name, "team": "vision"}
    assert tags == [expected | {"expires": tags[0]["expires"]}] * 3


def test_an_instance_on_request(known, results):
    chosen = {**SETTINGS["endpoint"], "instance_type": "ml.m5.large"}
    deploy.main(arguments(results, endpoint=chosen, unguarded=True))
    variant = evidence(results)["endpoint"]["variant"]
    assert variant["InstanceType"] == "ml.m5.large" and variant["InitialInstanceCount"] == 1
    assert "ServerlessConfig" not in variant


def test_objects_stay_where_they_are_asked_to_and_are_listed(known, results):
    deploy.main(arguments(results, keep_objects=True))
    (key,) = known.left()
    assert evidence(results)["teardown"]["about"]["kept_objects"] == [f"s3://{BUCKET}/{key}"]
    assert not state_file(results).exists()


def test_a_busy_endpoint_is_asked_again_and_its_time_is_of_the_answer(known, results, monkeypatch):
    known.faults = [
        Fault("InvokeEndpoint", "ThrottlingException", times=3),
        Fault("InvokeEndpoint", "ModelNotReadyException", status=429),
    ]
    monkeypatch.setattr(aws, "time", time)
    monkeypatch.setattr(aws, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(aws, "LONGEST_PAUSE", 0.1)
    deploy.main(arguments(results))
    first, *others = evidence(results)["answers"]
    assert first["about"]["attempts"] == 5 and {answer["about"]["attempts"] for answer in others} == {1}
    calls = sum(answer["latency_ms"] for answer in [first, *others])
    assert evidence(results)["wall_seconds"] * 1e3 - calls > 4 * 100, "the pauses are not in it"


# ---------------------------------------------------------------------------------------------------------------------
# Nothing is created where something is missing


@pytest.mark.parametrize(
    ("changes", "variables", "fault", "sentence"),
    [
        ({"region": None}, {}, None, "no AWS region is known; set deploy.sagemaker.region"),
        ({}, dict.fromkeys(CREDENTIALS, ""), None, "no AWS credentials were found; sign in"),
        ({}, {}, Fault("GetCallerIdentity", "ExpiredToken"), "ExpiredToken: as the test asks; sign in again"),
        ({"bucket": "another"}, {}, None, "deploy.sagemaker.bucket cannot be used: .*NoSuchBucket"),
        ({}, {}, Fault("ListObjectsV2", "AccessDenied"), "`make deploy-plan` prints the policy that allows it"),
        ({"role_arn": "arn:aws:iam::210987654321:role/x"}, {}, None, "is of another account than the credentials"),
        ({"role_arn": "arn:aws:iam::************:role/x"}, {}, None, "its account number hidden"),
        (
            {}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, None,
            "could not be asked whose the credentials are: Could not connect .*; that is a double of AWS on loopback",
        ),
        ({}, {}, Fault("GetCallerIdentity", "", "", 200, body=b"<html>"), "what answers is not AWS; .* sign-in page"),
        (
            {}, {}, Fault("GetCallerIdentity", "SignatureDoesNotMatch", "Signature expired: it is earlier", 403),
            "AWS does not take the credentials: .*; check the secret key, and this machine's clock",
        ),
        ({"bucket": "my-************"}, {}, None, "deploy.sagemaker.bucket has its account number hidden"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_in_a_sentence_before_anything_is_created(
    double, results, monkeypatch, changes, variables, fault, sentence
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    double.faults = [fault] if fault else []
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    options = json.dumps({**OPTIONS, "sagemaker": settings})
    with pytest.raises(UserError, match=sentence) as caught:
        deploy.main(["--options", options, "--dataset", "toys", "--results-dir", str(results)])
    assert "\n" not in str(caught.value) and ACCOUNT not in str(caught.value)
    assert evidence(results)["status"] == "failed" and not state_file(results).exists()
    assert not any(call.startswith(("Create", "Put")) for call in double.calls)


def test_what_an_earlier_deployment_left_is_taken_down_first(double, results):
    state_file(results).parent.mkdir(parents=True)
    state_file(results).write_text("{}")
    (results / "deploy/toys/endpoint.json").write_text("what the earlier deployment left")
    with pytest.raises(UserError, match="run: make teardown"):
        deploy.main(arguments(results))
    assert double.calls == []
    assert (results / "deploy/toys/endpoint.json").read_text() == "what the earlier deployment left"


# ---------------------------------------------------------------------------------------------------------------------
# A fault at every call, one after another


CREATING = ("PutObject", "CreateModel", "CreateEndpointConfig", "CreateEndpoint")
STEPS = (*CREATING, "DescribeEndpoint", "InvokeEndpoint")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["throttled once", "throttled for good", "denied", "quota", "error after it was done"])
def test_a_fault_while_it_is_deployed_leaves_nothing(known, results, monkeypatch, step, kind):
    monkeypatch.setattr(endpoint, "BUSY_SECONDS", 0.05)
    fault = {
        "throttled once": Fault(step, "ThrottlingException"),
        "throttled for good": Fault(step, "ThrottlingException", times=99),
        "denied": Fault(step, "AccessDeniedException", f"arn:aws:sts::{ACCOUNT}:x is not authorized", 403, times=99),
        "quota": Fault(step, "ResourceLimitExceeded", "The account-level service limit is 0 Instances", times=99),
        "error after it was done": Fault(step, "InternalFailure", status=500, times=99, after=True),
    }[kind]
    known.faults = [fault]
    if kind == "throttled once":
        deploy.main(arguments(results))
    else:
        with pytest.raises(UserError, match=fault.code) as caught:
            deploy.main(arguments(results))
        assert ACCOUNT not in str(caught.value)
        assert evidence(results)["error"]["message"] == str(caught.value)
    record = evidence(results)
    assert record["status"] == ("succeeded" if kind == "throttled once" else "failed")
    assert record["teardown"]["remaining"] == known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("status", ["Failed", "OutOfService"])
def test_an_endpoint_that_does_not_come_up_leaves_nothing(known, results, status):
    known.end_as = status
    with pytest.raises(UserError, match=f"the endpoint ended as {status}"):
        deploy.main(arguments(results))
    record = evidence(results)
    assert record["endpoint"]["transitions"][-1]["status"] == status and record["endpoint"]["log"]["streams"]
    assert known.left() == [] and not state_file(results).exists()


def test_an_endpoint_that_never_comes_up_is_not_waited_for_longer_than_allowed(known, results, monkeypatch):
    known.end_as, began = "Creating", aws.clock()
    monkeypatch.setattr(aws, "clock", lambda: began + (30 * 60 - 0.1) * ("CreateEndpoint" in known.calls))

    def give_up(operation):
        known.end_as = "InService" if operation == "DeleteEndpoint" else known.end_as

    known.before = give_up
    with pytest.raises(UserError, match="not in service within 30 minutes"):
        deploy.main(arguments(results))
    assert known.left() == []


def test_a_model_that_fails_on_an_image_is_told_with_the_images_own_words(known, results):
    break_handler(results)
    with pytest.raises(UserError, match=r"answered 500 to test image .*no such thing"):
        deploy.main(arguments(results))
    assert known.left() == []


# ---------------------------------------------------------------------------------------------------------------------
# A fault while it is taken down


GOING = ("StopTrainingJob", "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel", "DeleteObjects")
LISTINGS = (
    "ListTrainingJobs",
    "ListTransformJobs",
    "ListEndpoints",
    "ListEndpointConfigs",
    "ListModels",
    "ListObjectsV2",
)


@pytest.mark.parametrize("step", GOING[1:] + LISTINGS)
@pytest.mark.parametrize("kind", ["throttled for a while", "busy for a while", "unavailable for a while"])
def test_a_passing_fault_while_it_is_taken_down_is_waited_for(known, results, monkeypatch, step, kind):
    first = 1 if step == "ListObjectsV2" else 0  # the look at the bucket before anything is created
    known.faults = [
        {
            "throttled for a while": Fault(step, "ThrottlingException", times=3, skip=first),
            "busy for a while": Fault(step, "ValidationException", "Cannot update it now", times=3, skip=first),
            "unavailable for a while": Fault(step, "ServiceUnavailable", status=503, times=3, skip=first),
        }[kind]
    ]  # fmt: skip
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 20)
    deploy.main(arguments(results))
    assert evidence(results)["status"] == "succeeded"
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize(
    ("step", "kind"),
    [(step, "denied") for step in GOING[1:] + LISTINGS]
    + [(step, "throttled for good") for step in ("DeleteEndpoint", "DeleteModel", "ListObjectsV2")],
)
def test_what_would_not_go_is_named_and_goes_later(known, results, monkeypatch, step, kind, capsys):
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 0.5)
    code = {"denied": "AccessDeniedException", "throttled for good": "ThrottlingException"}[kind]
    known.faults = [Fault(step, code, status=400, times=9999, skip=step == "ListObjectsV2")]
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results))
    assert caught.value.code == 3
    record = evidence(results)
    assert record["status"] == "failed" and record["teardown"]["remaining"]
    name = states.load(state_file(results)).name
    if step in GOING:
        assert all(name in entry for entry in record["teardown"]["remaining"])
    else:
        assert "could not be listed" in " ".join(record["teardown"]["remaining"])
    left = known.left()
    if step == "DeleteEndpoint":
        assert left == [name, name, name, f"convlab/{name}/model.tar.gz"], "an endpoint keeps what it needs"
    with pytest.raises(SystemExit) as caught:
        teardown_script.main(["--results", str(results.parent)])
    assert caught.value.code == 3 and state_file(results).exists()
    known.faults = []
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 20)
    teardown_script.main(["--results", str(results.parent)])
    assert "nothing is left, by listing" in capsys.readouterr().out
    assert known.left() == [] and not state_file(results).exists()


def test_a_deployment_that_fails_and_would_not_go_says_both(known, results):
    known.faults = [
        Fault("InvokeEndpoint", "AccessDeniedException"),
        Fault("DeleteEndpoint", "AccessDeniedException", times=9),
    ]
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results))
    record = evidence(results)
    assert caught.value.code == 3 and "InvokeEndpoint" in record["error"]["message"]
    assert len(record["teardown"]["remaining"]) == 4 and state_file(results).exists()


def test_what_goes_later_is_gone_in_the_evidence_too(known, results):
    """The report shows it; before, it named for ever what `make teardown` had deleted."""
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=1)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    assert evidence(results)["teardown"]["remaining"]
    known.faults = []
    teardown_script.main(["--results", str(results.parent)])
    record = evidence(results)
    assert record["status"] == "failed" and record["teardown"]["remaining"] == known.left() == []
    later = record["teardown"]["about"]["later"]
    assert ("endpoint", "deleted") in [(step["resource"], step["outcome"]) for step in later["steps"]] and later["at"]


def test_the_evidence_of_another_deployment_stays_as_it_is(known, results):
    deploy.main(arguments(results))
    before = (results / "deploy/toys/endpoint.json").read_bytes()
    name = states.new_name("my_study")
    states.State(
        name=name, region=REGION, endpoint_url=None, account=redaction.fingerprint(ACCOUNT, name), bucket=BUCKET,
        prefix=f"convlab/{name}/", keep_objects=False, created="",
    ).save(state_file(results))  # fmt: skip
    teardown_script.main(["--results", str(results.parent)])
    assert (results / "deploy/toys/endpoint.json").read_bytes() == before and not state_file(results).exists()


@pytest.mark.parametrize(("kind", "step"), [("model", "DeleteModel"), ("object", "ListObjectsV2")])
def test_what_comes_late_is_waited_for_where_its_creation_had_no_answer(
    known, clients, results, monkeypatch, kind, step
):
    """As when a connection breaks while AWS works on the request."""
    name = states.new_name("my_study")
    state = states.State(
        name=name, region=REGION, endpoint_url=clients.endpoint_url, account=redaction.fingerprint(ACCOUNT, name),
        bucket=BUCKET, prefix=f"convlab/{name}/", keep_objects=False, created="", asked=[kind],
    )  # fmt: skip
    state_file(results).parent.mkdir(parents=True)
    state.save(state_file(results))
    monkeypatch.setattr(teardown, "NOT_FOUND_GRACE_SECONDS", 1.5)
    looks = []

    def late(operation):
        if operation == step:
            looks.append(operation)
            if len(looks) == 4 and kind == "model":
                container = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/x"}
                clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
            elif len(looks) == 4:
                known.s3.put_object(BUCKET, f"convlab/{name}/model.tar.gz", b"x")

    known.before = late
    teardown_script.main(["--results", str(results.parent)])
    assert len(looks) > 4 and known.left() == []


# ---------------------------------------------------------------------------------------------------------------------
# Errors of types that are no answer of AWS


def raising(client, method: str, error: BaseException, times: int = 99):
    """A client whose ``method``, or whose paginator of that operation, raises ``error`` the first ``times`` times."""
    left = [times]

    def maybe(call):
        def instead(*arguments, **options):
            if left[0] > 0:
                left[0] -= 1
                raise error
            return call(*arguments, **options)

        return instead

    class Paginator:
        def __init__(self, made):
            self.paginate = maybe(made.paginate)

    class Client:
        def __getattr__(self, name):
            return maybe(getattr(client, name)) if name == method else getattr(client, name)

        def get_paginator(self, name):
            made = client.get_paginator(name)
            return Paginator(made) if name == method else made

    return Client()


ODD = [
    ResponseParserError("Unable to parse response (no element found), invalid XML received: <html>"),
    KeyError("logStreams"), OSError(5, "Input/output error"), TimeoutError("timed out"), TypeError("None"),
    MemoryError(),
    ReadTimeoutError(endpoint_url="https://logs"), ClientError({}, "DescribeLogStreams"), RecursionError(),
]  # fmt: skip
DELETING = [
    ("sagemaker", "delete_endpoint"), ("sagemaker", "delete_endpoint_config"), ("sagemaker", "delete_model"),
    ("sagemaker", "list_training_jobs"), ("sagemaker", "list_transform_jobs"),
    ("sagemaker", "list_endpoints"), ("sagemaker", "list_models"),
    ("s3", "list_objects_v2"), ("s3", "delete_objects"),
]  # fmt: skip


def odd_clients(clients, monkeypatch, service: str, method: str, error: BaseException, times: int) -> list[str]:
    """Clients one of whose calls raises, from the first invocation on; the operations, in order."""
    broken = replace(clients, **{service: raising(getattr(clients, service), method, error, times)})

    class FromInvocationOn(endpoint.SageMakerEndpoint):
        def invoke(self, body, content_type):
            self._clients = broken
            return super().invoke(body, content_type)

    monkeypatch.setattr(endpoint, "SageMakerEndpoint", FromInvocationOn)


@pytest.mark.parametrize(
    ("service", "method", "error"),
    [("logs", "describe_log_streams", error) for error in ODD]
    + [("logs", "get_log_events", error) for error in ODD[:2]],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_only_informs_prevents_nothing_whatever_it_raises(
    known, clients, results, monkeypatch, service, method, error
):
    odd_clients(clients, monkeypatch, service, method, error, 99)
    deploy.main(arguments(results))
    record = evidence(results)
    assert record["status"] == "succeeded" and record["endpoint"]["log"]["error"]
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("error", ODD[:2], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("service", "method"), DELETING)
def test_an_odd_error_while_it_is_taken_down_is_waited_for(
    known, clients, results, monkeypatch, service, method, error
):
    odd_clients(clients, monkeypatch, service, method, error, 2)
    deploy.main(arguments(results))
    assert evidence(results)["status"] == "succeeded"
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize(("service", "method"), DELETING)
def test_an_odd_error_for_good_ends_with_evidence_and_status_3(known, clients, results, monkeypatch, service, method):
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 0.1)
    odd_clients(clients, monkeypatch, service, method, ODD[0], 9999)
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results))
    record = evidence(results)
    assert caught.value.code == 3 and record["status"] == "failed" and record["teardown"]["remaining"]
    assert "endpoint" in [step["resource"] for step in record["teardown"]["about"]["steps"]]
    assert (method == "delete_endpoint") == any("convlab-" in name for name in known.sagemaker.endpoints)
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 2.0)
    teardown_script.main(["--results", str(results.parent)])
    assert known.left() == [] and not state_file(results).exists()


def test_the_endpoint_goes_before_anybody_looks(known, results):
    deploy.main(arguments(results))
    calls = known.calls[known.calls.index("InvokeEndpoint") :]
    asked = [call for call in calls if call != "InvokeEndpoint"]
    assert asked[0] == "DeleteEndpoint" and asked[-3:] == ["DescribeLogStreams", "GetLogEvents", "GetMetricData"]
    last_deletion = max(number for number, call in enumerate(asked) if call.startswith("Delete"))
    early = [call for call in asked[:last_deletion] if "Log" in call or "Metric" in call]
    assert early == [], "logs and metrics outlive the endpoint"


@pytest.mark.parametrize(
    "error", [*ODD[:2], SystemExit(143), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("moment", ["check", "create", "wait", "invoke", "facts", "evidence"])
def test_an_exception_of_any_type_at_any_moment_leaves_nothing_and_is_written_down(
    known, clients, results, monkeypatch, moment, error
):
    service, method = {
        "check": ("s3", "list_objects_v2"), "create": ("sagemaker", "create_model"),
        "wait": ("sagemaker", "describe_endpoint"), "invoke": ("runtime", "invoke_endpoint"),
    }.get(moment, (None, None))  # fmt: skip
    informs = moment == "facts" and isinstance(error, Exception)
    if service:
        broken = replace(clients, **{service: raising(getattr(clients, service), method, error, 1)})
        monkeypatch.setattr(aws, "connect", lambda region, endpoint_url=None: broken)
    else:
        target, name = {"facts": (endpoint.SageMakerEndpoint, "facts"), "evidence": (deploy.endpoint_test, "accuracy")}[
            moment
        ]

        def fail(*arguments):
            raise error

        monkeypatch.setattr(target, name, fail)
    if informs:
        deploy.main(arguments(results))
    else:
        with pytest.raises(BaseException) as caught:
            deploy.main(arguments(results))
        assert isinstance(caught.value, UserError | type(error)) and getattr(caught.value, "code", 1) != 3
    record = evidence(results)
    assert record["status"] == ("succeeded" if informs else "failed") and (record["error"] is None) == informs
    assert known.left() == [] and not state_file(results).exists()


def test_evidence_that_cannot_be_written_hides_nothing_that_is_left(known, results, monkeypatch):
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]

    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deploy, "write_json", full)
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results))
    assert caught.value.code == 3 and state_file(results).exists()


def test_a_state_file_that_cannot_be_removed_is_a_note(known, results, monkeypatch):
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.name == states.STATE_FILE:
            raise OSError(30, "Read-only file system")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    deploy.main(arguments(results))
    assert "Read-only file system" in evidence(results)["teardown"]["about"]["state_file"]
    assert known.left() == []


def test_a_defect_of_teardown_does_not_pass_for_an_empty_account(known, results, monkeypatch):
    def defect(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(endpoint, "teardown", defect)
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results))
    assert caught.value.code == 3 and state_file(results).exists()
    assert "teardown failed: ZeroDivisionError" in evidence(results)["teardown"]["remaining"][0]


def test_the_minutes_of_an_endpoint_go_on_while_the_machine_sleeps(known, results, monkeypatch):
    began, calls = aws.clock(), []
    assert abs(aws.clock() - began) < 60

    def slept() -> float:  # the lid is closed after the first answer
        calls.append(known.calls.count("InvokeEndpoint"))
        return began + (8 * 3600 if calls[-1] else 0)

    monkeypatch.setattr(aws, "clock", slept)
    with pytest.raises(UserError, match="the endpoint's 30 minutes are over before all images were sent"):
        deploy.main(arguments(results))
    assert known.calls.count("InvokeEndpoint") == 1 and known.left() == []


def test_an_answer_that_never_ends_is_not_read(known, results, monkeypatch):
    monkeypatch.setattr(endpoint, "MAX_RESPONSE_BYTES", 10)
    with pytest.raises(UserError, match="has more than 10 bytes, which is no prediction"):
        deploy.main(arguments(results))
    assert known.left() == []


# ---------------------------------------------------------------------------------------------------------------------
# The account's number


def test_the_state_file_tells_nobody_the_account_and_is_the_users_alone(known, results):
    known.s3.create_bucket(f"models-{ACCOUNT}", REGION)
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results, bucket=f"models-{ACCOUNT}", prefix=f"p/{ACCOUNT}"))
    text = state_file(results).read_text()
    assert ACCOUNT not in text and "models-************" in text
    assert state_file(results).stat().st_mode & 0o777 == 0o600
    assert json.loads(text)["account"].startswith("scrypt-")
    known.faults = []
    teardown_script.main(["--results", str(results.parent)])
    assert not known.sagemaker.endpoints and not known.s3.get_bucket(f"models-{ACCOUNT}").keys
    assert not state_file(results).exists()


def test_a_fingerprint_needs_no_key_and_costs_a_tenth_of_a_second():
    assert redaction.SCRYPT_COST >= 2**15  # 10^12 numbers: a thousand years of one processor
    made = redaction.fingerprint(ACCOUNT, "a", 16)
    assert redaction.has_fingerprint(ACCOUNT, "a", made) and ACCOUNT not in made
    assert made != redaction.fingerprint(ACCOUNT, "b", 16)
    for other in (redaction.fingerprint("1" * 12, "a", 16), "", "scrypt-16-", "scrypt-3-" + "0" * 32, "0" * 16):
        assert not redaction.has_fingerprint(ACCOUNT, "a", other)


def test_output_has_no_account_number(capsys):
    stream = redaction.MaskedStream(sys.stdout, [ACCOUNT])
    print(f"arn:aws:iam::{ACCOUNT}:role/x", f"my{ACCOUNT}bucket", "763104351884.dkr.ecr", file=stream)
    stream.writelines(["210987654321\n"])
    assert stream.encoding == sys.stdout.encoding
    output = capsys.readouterr().out
    assert output == "arn:aws:iam::************:role/x my************bucket ************.dkr.ecr\n************\n"


# ---------------------------------------------------------------------------------------------------------------------
# make teardown


def test_teardown_without_a_deployment_says_so_and_needs_no_aws(tmp_path, capsys):
    teardown_script.main(["--results", str(tmp_path)])
    assert "has left anything" in capsys.readouterr().out


def test_teardown_refuses_credentials_of_another_account(double, results):
    double.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    text = state_file(results).read_text()
    assert ACCOUNT not in text
    state_file(results).write_text(text.replace(json.loads(text)["account"], redaction.fingerprint("1" * 12, "x")))
    with pytest.raises(UserError, match="are of another account"):
        teardown_script.main(["--results", str(results.parent)])
    assert state_file(results).exists()


def test_teardown_beside_a_running_deployment_says_who_is_at_it(known, results):
    messages = []

    def ask(operation):
        if operation == "InvokeEndpoint" and not messages:
            messages.append("")
            with pytest.raises(UserError) as caught:
                teardown_script.main(["--results", str(results.parent)])
            messages.append(str(caught.value))

    known.before = ask
    deploy.main(arguments(results))
    assert f"a deployment (process {os.getpid()}, since " in messages[1] and "end it with Ctrl-C" in messages[1]
    assert evidence(results)["status"] == "succeeded" and known.left() == []
    assert list(state_file(results).parent.glob(".*")) == [], "the lock's file is gone"


def test_a_second_deployment_beside_a_running_one_leaves_its_evidence_alone(double, results):
    evidence_file = results / "deploy/toys/endpoint.json"
    with states.lock(state_file(results)):
        evidence_file.write_text("of the running deployment")
        with pytest.raises(UserError, match=rf"a deployment \(process {os.getpid()}, .* is at work on"):
            deploy.main(arguments(results))
    assert evidence_file.read_text() == "of the running deployment" and double.calls == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
def test_teardown_needs_no_disk_to_write_to(known, results, monkeypatch, capsys, number):
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=1)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    known.faults = []

    def full(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(states, "held", full)
    monkeypatch.setattr(teardown_script, "write_json", full)
    teardown_script.main(["--results", str(results.parent)])
    assert "nothing is left, by listing" in capsys.readouterr().out and known.left() == []


def test_what_is_wrong_with_one_deployment_keeps_none_of_the_others_up(known, results, tmp_path):
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    known.faults = []
    for name, content in (("a_damaged", "{"), ("z_others", state_file(results).read_text())):
        path = results.parent / name / "deploy/toys/state.json"
        path.parent.mkdir(parents=True)
        path.write_text(content.replace("convlab-my-study", "convlab-another"))
    with pytest.raises(UserError, match=r"a_damaged.* is not valid JSON.*; .*another account than .*z_others"):
        teardown_script.main(["--results", str(results.parent)])
    assert known.left() == [] and not state_file(results).exists()


def test_a_damaged_state_file_says_what_to_look_for(tmp_path, double):
    path = tmp_path / "results/my_study/deploy/toys/state.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"format": 1}')
    with pytest.raises(UserError, match="names that begin with convlab-"):
        teardown_script.main(["--results", str(tmp_path / "results")])


@pytest.mark.parametrize("changes", [
    {"name": "", "prefix": "/"}, {"name": "convlab-"}, {"prefix": ""}, {"prefix": "convlab/"},
    {"prefix": "convlab/convlab-theirs-20260101-010101-abcdef/"}, {"schedules": {"theirs": ""}},
])  # fmt: skip
def test_a_state_file_that_names_more_than_a_deployment_deletes_nothing(tmp_path, double, changes):
    """Its names are what a teardown lists and deletes by; the credentials are those of the account."""
    name = states.new_name("my_study")
    state = states.State(
        name=name, region=REGION, endpoint_url=None, account=redaction.fingerprint(ACCOUNT, changes.get("name", name)),
        bucket=BUCKET, prefix=f"convlab/{name}/", keep_objects=False, created="",
    ).model_copy(update=changes)  # fmt: skip
    path = tmp_path / "results/my_study/deploy/toys/state.json"
    path.parent.mkdir(parents=True)
    state.save(path)
    double.s3.put_object(BUCKET, "convlab/theirs", b"x")
    with pytest.raises(UserError, match="look in the AWS console for names that begin with convlab-"):
        teardown_script.main(["--results", str(tmp_path / "results")])
    assert double.left() == ["convlab/theirs"] and double.calls == [] and path.exists()


def test_nothing_of_others_is_touched(double, results):
    clients = aws.connect(REGION)
    container = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/x"}
    for name in ("theirs", "convlab-my-study-of-old"):
        clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    clients.s3.put_object(Bucket=BUCKET, Key="convlab/theirs", Body=b"x")
    deploy.main(arguments(results))
    assert double.left() == ["theirs", "convlab-my-study-of-old", "convlab/theirs"]


# ---------------------------------------------------------------------------------------------------------------------
# Signals, sent to a process that deploys


MOMENTS = [
    ("CreateEndpoint", "after", signal.SIGTERM), ("InvokeEndpoint", "before", signal.SIGINT),
    ("DeleteEndpoint", "before", signal.SIGTERM),
]  # fmt: skip
"""A step that a process is struck at; tests/test_faults.py strikes all of them."""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "moment", "number"), MOMENTS)
def test_a_process_that_gets_a_signal_takes_everything_down(double, results, processes, step, moment, number):
    ended = interrupted(double, results, processes, number, step, moment)
    while_taken_down = step in GOING
    assert ended == (0 if while_taken_down else 128 + number), "what is being taken down is taken down first"
    record = evidence(results)
    assert record["status"] == ("succeeded" if while_taken_down else "failed")
    assert record["teardown"]["remaining"] == double.left() == [] and not state_file(results).exists()


@pytest.mark.slow
def test_teardown_works_in_a_new_process(double, results, processes):
    interrupted(double, results, processes, signal.SIGKILL, "InvokeEndpoint", "before")
    assert len(double.left()) == 4
    double.before = lambda operation: None
    command = [sys.executable, ROOT / "scripts/teardown.py", "--results", results.parent]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and "nothing is left, by listing" in result.stdout, result.stderr
    assert double.left() == [] and ACCOUNT not in result.stdout + result.stderr


# ---------------------------------------------------------------------------------------------------------------------
# Training jobs


needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("sagemaker") is None,
    reason="needs SageMaker's SDK (pip install --require-hashes -r requirements/sagemaker.txt)",
)


def test_what_is_sent_to_train_a_run_reads_its_spec_without_the_code_of_other_families_and_kinds(tmp_path):
    folder = training_job.pack_source(tmp_path / "source", RUN.identity)
    families = {path.name for path in (folder / "convlab/models/families").iterdir()}
    kinds = {path.name for path in (folder / "convlab/datasets/kinds").iterdir()}
    assert families == {"__init__.py", f"{RUN.model.family}.py"}
    assert kinds == {"__init__.py", f"{RUN.dataset.kind}.py"}
    program = "import sys, train; print(train.Run.model_validate_json(sys.argv[1]).spec_hash)"
    command = [sys.executable, "-c", program, RUN.model_dump_json()]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.stdout.strip() == RUN.spec_hash, result.stderr


@needs_sdk
@pytest.mark.slow
def test_a_run_is_trained_there_comes_back_and_is_served(training_double, to_train):
    seen = {}

    def look(operation):
        if operation == "CreateEndpoint":
            seen["keys"] = training_double.keys("")
            (seen["job"],) = training_double.sagemaker.training_jobs.values()

    training_double.before = look
    deploy.main(arguments(to_train, mode="train_and_deploy", tags={"team": "vision"}))
    record = evidence(to_train)
    assert record["status"] == "succeeded" and len(record["answers"]) == 6
    assert record["parity"]["largest_difference"] < 1e-5, "held against the model that came back"
    job = record["training"]
    assert job["status"] == "Completed" and job["image"] == "tensorflow-training:2.21" and job["max_seconds"] == 3600
    assert job["name"].startswith(record["endpoint"]["name"]) and job["run"]["spec_hash"] == RUN.spec_hash
    assert json.loads(job["hyperparameters"]["spec"]) == RUN.identity
    (lines,) = job["log"]["streams"].values()
    assert any("finished after 2 epochs" in line for line in lines)
    assert job["test_accuracy"] > 0.5, "it learned"
    assert {tag["Key"] for tag in seen["job"].tags} >= {"project", "study", "deployment", "team"}
    files = {key.split("/input/code/")[-1] for key in seen["keys"] if "/input/code/" in key}
    assert {"train_on_sagemaker.py", "train.py", "requirements.txt", "convlab/training/loop.py"} <= files
    assert not any("report" in file or "cloud" in file for file in files), "what training needs and no more"
    families = {file for file in files if "models/families/" in file}
    assert families == {f"convlab/models/families/{name}.py" for name in ("__init__", RUN.model.family)}
    run = json.loads((to_train / "deploy/toys/trained/run.json").read_text())
    assert run["spec_hash"] == RUN.spec_hash and run["versions"]["keras"]
    assert training_double.left() == [] and not state_file(to_train).exists()


@needs_sdk
@pytest.mark.slow
def test_a_run_is_trained_there_on_spare_capacity_and_comes_back(training_double, to_train):
    uploaded = {}

    def look(operation):
        if operation == "CreateTrainingJob":
            (key,) = [key for key in training_double.keys("") if key.endswith("data.npz")]
            content = training_double.s3.get_object(BUCKET, key).value
            uploaded.update({name: array.shape for name, array in np.load(io.BytesIO(content)).items()})

    training_double.before = look
    image = {"image": "tensorflow-training:2.21", "spot": True, "max_minutes": 10, "max_wait_minutes": 20}
    deploy.main(arguments(to_train, mode="train", training=image))
    record = evidence(to_train)
    assert record["status"] == "succeeded" and record["answers"] == [] and record["accuracy"] is None
    assert record["training"]["spot"] is True and record["training"]["max_seconds"] == 600
    assert uploaded == {"x_train": (90, 4, 4, 1), "y_train": (90,)}, "test images stay here"
    assert not any("CreateModel" in call for call in training_double.calls)
    assert (to_train / "deploy/toys/trained/model.keras").is_file() and training_double.left() == []


@needs_sdk
@pytest.mark.slow
def test_a_job_that_fails_is_told_with_its_log_and_leaves_nothing(training_double, to_train):
    manifest = to_train / "prepare/toys/manifest.json"
    content = json.loads(manifest.read_text())

    def break_it(operation):
        if operation == "CreateTrainingJob":  # the data are not those of the manifest
            (key,) = [key for key in training_double.keys("") if key.endswith("manifest.json")]
            content["arrays"]["x_train"]["sha256"] = "0" * 64
            training_double.s3.put_object(BUCKET, key, json.dumps(content).encode())

    training_double.before = break_it
    with pytest.raises(UserError, match="ended as Failed: AlgorithmError"):
        deploy.main(arguments(to_train, mode="train"))
    job = evidence(to_train)["training"]
    assert job["status"] == "Failed" and "error: " in "".join(*job["log"]["streams"].values())
    assert training_double.left() == []


@needs_sdk
@pytest.mark.slow
@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "AccessDeniedException"])
def test_a_job_that_is_refused_leaves_nothing(training_double, to_train, code):
    training_double.faults = [Fault("CreateTrainingJob", code, times=9)]
    with pytest.raises(UserError, match=f"CreateTrainingJob: {code}"):
        deploy.main(arguments(to_train, mode="train"))
    assert training_double.left() == [] and not state_file(to_train).exists()


@needs_sdk
@pytest.mark.slow
@pytest.mark.parametrize("step", ["CreateTrainingJob", "DescribeTrainingJob"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_job_is_stopped_when_the_process_is(training_double, to_train, processes, number, step):
    training_double.hold_jobs = True
    ended = interrupted(training_double, to_train, processes, number, step, "after", mode="train_and_deploy")
    left = training_double.left()
    training_double.after = lambda operation: None
    if number == signal.SIGKILL:
        assert ended == -signal.SIGKILL and len(left) > 5
        teardown_script.main(["--results", str(to_train.parent)])
    else:
        assert ended == 128 + number and evidence(to_train)["teardown"]["remaining"] == []
    assert [job.status for job in training_double.jobs.values()] == ["Stopped"]
    assert training_double.left() == [] and not state_file(to_train).exists()


def archive(folder: Path, **members: bytes) -> Path:
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        for name, content in members.items():
            information = tarfile.TarInfo(name.replace("__", "."))
            information.size = len(content)
            tar.addfile(information, io.BytesIO(content))
    return folder / "model.tar.gz"


EXPECTED = {"spec_hash": "abc", "data_sha256": {"x_train": "1"}}
GOOD = {"model__keras": b"x", "history__csv": b"x", "run__json": json.dumps(EXPECTED | {"status": "finished"}).encode()}


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"run__json": b'{"spec_hash": "other"}'}, "another run: its spec_hash is 'other'"),
    ({"run__json": b'{"spec_hash": "abc", "data_sha256": {}}'}, "another run: its data_sha256"),
    ({"run__json": json.dumps(EXPECTED | {"status": "diverged"}).encode()}, "ended as diverged"),
    ({"run__json": None}, r"has no run\.json"),
    ({"../outside": b"x"}, "cannot be unpacked"),
    ({"model__keras": bytes(3000)}, "unpacks to more than 2,000 bytes"),
    ({"junk": bytes(3000)}, "unpacks to more than 2,000 bytes"),
])  # fmt: skip
def test_what_comes_back_is_not_trusted(tmp_path, monkeypatch, changes, sentence):
    monkeypatch.setattr(training_job, "MAX_ARCHIVE_BYTES", 2000)
    members = {name: content for name, content in (GOOD | changes).items() if content is not None}
    with pytest.raises(UserError, match=sentence):
        training_job.unpack(archive(tmp_path, **members), tmp_path / "trained", EXPECTED)
    assert not (tmp_path / "trained").exists() and not (tmp_path.parent / "outside").exists()


def test_what_is_sent_to_train_reads_the_runs_spec_and_holds_no_other_kind_of_dataset(tmp_path):
    folder = training_job.pack_source(tmp_path / "source", RUN.identity)
    kinds = {path.stem for path in (folder / "convlab/datasets/kinds").iterdir()}
    assert kinds == {"__init__", "digits"}
    code = "from convlab.training.run_spec import Run; print(Run.model_validate_json(input()).spec_hash)"
    spec = canonical_json(RUN.identity)
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, input=spec, text=True, cwd=folder).strip() == RUN.spec_hash


def test_a_jobs_description_may_lack_what_only_informs(known, clients):
    """The evidence keeps what there is; the job's end and its model are all that is needed."""
    name = "convlab-my-study-20260101-010101-abcdef"
    state = states.State(
        name=name,
        region=REGION,
        endpoint_url=None,
        account="",
        bucket=BUCKET,
        prefix="p/",
        keep_objects=False,
        created="",
    )
    job = {"TrainingJobName": f"{name}-1", "TrainingJobStatus": "InProgress"}
    description = {
        "TrainingJobStatus": "Completed",
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/p/model.tar.gz"},
    }
    sagemaker = SimpleNamespace(
        get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [{"TrainingJobSummaries": [job]}]),
        describe_training_job=lambda **_: description,
    )
    facts: dict = {}
    settings = SageMaker.model_validate(SETTINGS | {"mode": "train"})
    trained = training_job.wait(replace(clients, sagemaker=sagemaker), state, settings, facts)
    assert trained == f"s3://{BUCKET}/p/model.tar.gz"
    assert facts["name"] == f"{name}-1" and facts["status"] == "Completed" and facts["image"] is None


def test_a_download_without_end_is_broken_off(tmp_path, monkeypatch):
    monkeypatch.setattr(training_job, "MAX_ARCHIVE_BYTES", 3 * 2**20)
    with (
        pytest.raises(UserError, match="has more than 3,145,728 bytes, which no run has"),
        Path("/dev/zero").open("rb") as zero,
    ):
        training_job.download(zero, tmp_path / "archive")
    assert (tmp_path / "archive").stat().st_size <= 3 * 2**20
    training_job.download(io.BytesIO(b"x" * 99), tmp_path / "archive")
    assert (tmp_path / "archive").read_bytes() == b"x" * 99


def test_what_is_expected_comes_back(tmp_path):
    folder = training_job.unpack(archive(tmp_path, **GOOD, extra=b"y"), tmp_path / "trained", EXPECTED)
    assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "model.keras", "run.json"]


def test_another_backend_than_tensorflow_is_refused_before_anything_is_created(double, to_train):
    exported = to_train / "export/toys/export.json"
    content = json.loads(exported.read_text())
    content["spec"]["training"]["backend"] = "jax"
    exported.write_text(json.dumps(content))
    with pytest.raises(UserError, match="the chosen run needs jax"):
        deploy.main(arguments(to_train, mode="train"))
    assert not any(call.startswith(("Create", "Put")) for call in double.calls)


def test_the_sdk_does_not_judge_the_role(monkeypatch):
    """By its list a training role needs network interfaces without a VPC, and metrics without a condition."""
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "true")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", "")
    with suppress(UserError):
        sdk.check_trainer()
    assert os.environ["SAGEMAKER_VALIDATE_ROLE"] == "false"


@needs_sdk
def test_images_are_those_of_the_versions_and_nothing_is_told_to_anyone():
    settings = SageMaker.model_validate({"role_arn": ROLE, "bucket": BUCKET})
    assert sdk.image(settings, "inference", REGION).endswith("/tensorflow-inference:2.20-cpu-py312")
    assert sdk.image(settings, "training", REGION).endswith("/tensorflow-training:2.21-cpu-py312")
    unknown = SageMaker.model_validate({"role_arn": ROLE, "bucket": BUCKET, "endpoint": {"image_version": "9.9"}})
    with pytest.raises(UserError, match=r"deploy\.sagemaker\.endpoint\.image_version '9\.9' .* nearest are 2\.18"):
        sdk.image(unknown, "inference", REGION)
    assert "TelemetryOptOut: true" in Path(os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text()


@pytest.mark.skipif(importlib.util.find_spec("sagemaker") is not None, reason="SageMaker's SDK is installed")
def test_without_the_sdk_nothing_is_created_that_would_be_trained(double, to_train):
    with pytest.raises(UserError, match="SDK is not installed, which training needs"):
        deploy.main(arguments(to_train, mode="train"))
    assert not any(call.startswith(("Create", "Put")) for call in double.calls) and not state_file(to_train).exists()


@pytest.mark.skipif(importlib.util.find_spec("sagemaker") is not None, reason="SageMaker's SDK is installed")
def test_without_the_sdk_and_without_an_image_one_is_told_what_to_install(double, results):
    with pytest.raises(UserError, match="SDK is not installed"):
        deploy.main(arguments(results, endpoint={}))
    assert not any(call.startswith(("Create", "Put")) for call in double.calls)


# ---------------------------------------------------------------------------------------------------------------------
# Taking down, call by call


def stubbed(clients) -> tuple[aws.Clients, Stubber]:
    """The clients, with SageMaker's answering what a test lays down and nothing else."""
    session = clients.session
    sagemaker = session.client("sagemaker", region_name=REGION, config=Config(retries={"total_max_attempts": 1}))
    return replace(clients, sagemaker=sagemaker), Stubber(sagemaker)


def test_the_endpoint_goes_first_and_the_rest_when_it_is_gone(known, clients):
    name = "convlab-my-study-20260101-010101-abcdef"
    state = states.State(
        name=name, region=REGION, endpoint_url=None, account="", bucket=BUCKET, prefix=f"convlab/{name}/",
        keep_objects=False, created="",
    )  # fmt: skip
    some, stub = stubbed(clients)
    missing = {"service_error_code": "ValidationException", "service_message": "Could not find it"}
    busy = {"service_error_code": "ValidationException", "service_message": "Cannot update in-progress endpoint"}
    job = {"TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/x", "CreationTime": 0}
    jobs = [
        {**job, "TrainingJobName": f"{name}-1", "TrainingJobStatus": status} for status in ("InProgress", "Stopped")
    ]
    listed = {"NameContains": name}
    stub.add_response("delete_endpoint", {}, {"EndpointName": name})
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": jobs[:1]}, listed)
    stub.add_response("stop_training_job", {}, {"TrainingJobName": f"{name}-1"})
    stub.add_response("list_transform_jobs", {"TransformJobSummaries": []}, listed)
    stub.add_client_error("delete_endpoint", **busy)
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": jobs[1:]}, listed)
    stub.add_client_error("delete_endpoint", **missing)
    stub.add_client_error("delete_endpoint_config", **missing)
    stub.add_response("delete_model", {}, {"ModelName": name})
    stub.add_client_error("delete_model", **missing)
    for resource in teardown.RESOURCES:
        stub.add_response(resource.listing, {resource.response_key: []}, listed)
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": jobs[1:]}, listed)
    stub.add_response("list_transform_jobs", {"TransformJobSummaries": []}, listed)
    with stub:
        receipt = teardown.teardown(some, state)
        stub.assert_no_pending_responses()
    assert receipt.remaining == []
    assert [(step["resource"], step["outcome"]) for step in receipt.steps] == [
        ("transform jobs", "none"),
        ("training jobs", f"{name}-1 Stopped"), ("endpoint", "deleted"), ("endpoint_config", "not there"),
        ("model", "deleted"), ("objects", "0 deleted"),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# make deploy-plan


def config(tmp_path, **changes) -> Path:
    path = tmp_path / "config.yaml"
    deploying = {"target": "sagemaker", "test_images": 200, "sagemaker": {**SETTINGS, **changes}}
    path.write_text(yaml.safe_dump({**TINY, "deploy": deploying}))
    return path


def allowed(policy: dict, action: str, resource: str) -> bool:
    return any(
        action in statement["Action"] and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for statement in policy["Statement"]
    )


def test_the_plan_creates_nothing_and_asks_nobody(known, tmp_path, capsys, monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    deploy_plan.main([str(config(tmp_path, mode="train_and_deploy"))])
    output = capsys.readouterr().out
    assert "digits: train_and_deploy in eu-west-1; names begin with convlab-tiny" in output
    assert "endpoint        2048 MB, 2 calls at once, serverless; after 30 minutes at most taken" in output
    assert "killed, by `make teardown` alone" in output and "costs until then" not in output
    assert "training job    ml.m5.large, 60 minutes at most" in output
    assert deploy_plan.minutes(1) == "1 minute"
    assert known.calls == []


def test_a_price_deploys_nothing_again(tmp_path):
    without, priced = (
        load_study(yaml.safe_load(config(tmp_path, prices=prices).read_text())).deploy.options
        for prices in ({}, {"endpoint_hour": 0.2, "seconds_per_call": 3})
    )
    assert without == priced and "prices" not in without["sagemaker"]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"prices": {"serverless_second": 0.00004}}, ["200 calls: 200 seconds, assumed × 4e-05 = 0.0080 USD"]),
        ({"prices": {}}, ["no price (deploy.sagemaker.prices.serverless_second)", "no sum, since a price is missing"]),
        (
            {"endpoint": {"instance_type": "ml.m5.large", "max_minutes": 90}, "prices": {"endpoint_hour": 0.2},
             "unguarded": True},
            ["endpoint on ml.m5.large: 1.75 hours (15 minutes of it to take it down), as long as the deploying process "
             "lives × 0.2 = 0.3500 USD", "by `make teardown` alone: an instance costs until then"],
        ),
        (
            {"mode": "train", "training": {"spot": True, "max_minutes": 30}, "prices": {"training_hour": 0.1}},
            ["training job on ml.m5.large (spot: less): 0.5 hours at most × 0.1 = 0.0500 USD", "sum: 0.0500 USD"],
        ),
    ],
)  # fmt: skip
def test_costs_are_prices_times_limits(tmp_path, capsys, changes, lines):
    deploy_plan.main([str(config(tmp_path, **changes))])
    output = capsys.readouterr().out
    assert all(line in output for line in lines), output


def test_a_policy_can_be_had_alone(tmp_path, capsys):
    deploy_plan.main([str(config(tmp_path)), "--policy", "caller"])
    policy = json.loads(capsys.readouterr().out)
    (pass_role,) = [each for each in policy["Statement"] if each["Action"] == ["iam:PassRole"]]
    assert pass_role["Resource"] == [ROLE]
    assert pass_role["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    wide = [each["Action"] for each in policy["Statement"] if "*" in each["Resource"]]
    informs = ("sagemaker:List", "cloudwatch:GetMetricData")
    assert all(action.startswith(informs) for actions in wide for action in actions)
    for resource in ("endpoint/theirs", "model/theirs"):
        assert not allowed(policy, "sagemaker:DeleteEndpoint", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}")
    assert not allowed(policy, "s3:PutObject", f"arn:aws:s3:::{BUCKET}/elsewhere/x")
    assert not allowed(policy, "s3:GetObject", f"arn:aws:s3:::{BUCKET}/convlab/x")
    deploy_plan.main([str(config(tmp_path)), "--policy", "role"])
    assert "sagemaker:" not in capsys.readouterr().out


OWN_IMAGE = "210987654321.dkr.ecr.eu-central-1.amazonaws.com/team/serve:1.0"


OBJECT = "arn:aws:s3:::my-bucket/convlab/x"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker"
AWS_IMAGES, OWN_IMAGES = (
    f"arn:aws:ecr:{REGION}:763104351884:repository", "arn:aws:ecr:eu-central-1:210987654321:repository"
)  # fmt: skip
ACTIONS = {"s3": "s3:PutObject", "ecr": "ecr:BatchGetImage", "logs": "logs:PutLogEvents"}


@pytest.mark.parametrize(("changes", "may", "may_not"), [
    (
        {"mode": "deploy"},
        [f"{AWS_IMAGES}/tensorflow-inference", f"{LOGS}/Endpoints/convlab-x"],
        [OBJECT, f"{AWS_IMAGES}/tensorflow-training", f"{LOGS}/TrainingJobs", f"{LOGS}/Endpoints/theirs"],
    ),
    (
        {"mode": "train"},
        [OBJECT, f"{AWS_IMAGES}/tensorflow-training", f"{LOGS}/TrainingJobs:log-stream:convlab-x"],
        [f"{AWS_IMAGES}/tensorflow-inference", f"{LOGS}/Endpoints/convlab-x", f"{LOGS}/Elsewhere"],
    ),
    (
        {"mode": "train_and_deploy"},
        [OBJECT, f"{AWS_IMAGES}/tensorflow-training", f"{AWS_IMAGES}/tensorflow-inference", f"{LOGS}/TrainingJobs"],
        [f"{LOGS}/Elsewhere", f"{AWS_IMAGES}/other"],
    ),
    (
        {"mode": "deploy", "endpoint": {"image": OWN_IMAGE}},
        [f"{OWN_IMAGES}/team/serve"],
        [f"{AWS_IMAGES}/tensorflow-inference", f"{OWN_IMAGES}/team/other"],
    ),
])  # fmt: skip
def test_the_role_may_do_what_the_mode_needs_and_no_more(changes, may, may_not):
    policy = role_policy(SageMaker.model_validate(SETTINGS | {"endpoint": {}, "training": {}} | changes), REGION)
    for resource in may + may_not:
        assert allowed(policy, ACTIONS[resource.split(":")[2]], resource) is (resource in may), resource
    assert allowed(policy, "s3:GetObject", OBJECT)


@pytest.mark.parametrize(("tags", "sentence"), [
    ({"AWS:x": "y"}, "AWS' own, so choose another key"), ({"": "y"}, "keys of 1 to 128 characters"),
    ({"x": "y" * 257}, "values of 256 at most"), ({"team": "a & b"}, "takes letters, digits, spaces and"),
    ({"team": "a\nb"}, "takes letters, digits, spaces and"), ({f"k{n}": "" for n in range(47)}, "so leave 46"),
])  # fmt: skip
def test_tags_that_aws_refuses_are_refused_when_the_config_is_read(tags, sentence):
    with pytest.raises(ValidationError, match=sentence):
        SageMaker.model_validate(SETTINGS | {"tags": tags})
    odd = {"Équipe: vision/β": "a+b=c @ 1.5_x", "cost": "of ************", "x" * 128: "y" * 256}
    assert SageMaker.model_validate(SETTINGS | {"tags": odd}).tags == odd


def test_a_study_that_goes_nowhere_is_told_what_to_add(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(TINY))
    with pytest.raises(UserError, match=r"has no deploy\.sagemaker; add it"):
        deploy_plan.main([str(path)])


# ---------------------------------------------------------------------------------------------------------------------
# Batch transform


@needs_sdk
@pytest.mark.slow
def test_a_run_is_trained_there_and_answers_in_a_transform_job(training_double, to_train):
    deploy.main(arguments(to_train, mode="train_and_batch", unguarded=True))
    record = evidence(to_train)
    assert record["status"] == "succeeded" and record["training"]["status"] == "Completed"
    assert record["parity"]["largest_difference"] < 1e-5, "held against the model that came back"
    assert record["endpoint"]["transform"]["images"] == 6
    assert training_double.left() == [] and not state_file(to_train).exists()


def test_the_plan_of_a_transform_job_says_who_stops_it(tmp_path, capsys):
    changes = {"mode": "batch", "unguarded": True, "batch": {"max_minutes": 45}, "prices": {"batch_hour": 0.2}}
    deploy_plan.main([str(config(tmp_path, **changes))])
    output = capsys.readouterr().out
    assert "transform job   ml.m5.large, MultiRecord of 6 MB at most; stopped" in output and "endpoint  " not in output
    assert "after 45 minutes at most by the process that deploys" in output
    assert "transform job on ml.m5.large: 1 hours" in output and "sum: 0.2000 USD" in output
    assert "sagemaker:CreateTransformJob" in output and 'sagemaker:CreateEndpoint"' not in output


# ---------------------------------------------------------------------------------------------------------------------
# In the workflow


@pytest.mark.slow
def test_the_workflow_deploys_a_real_model_and_shows_it_and_no_account_number_anywhere(double, finished):
    double.s3.create_bucket(f"models-{ACCOUNT}", REGION)
    others = "998877665544"  # account of the key, and of the image
    settings = {
        **SETTINGS, "tags": {"team": "vision", "cost": f"of {ACCOUNT}"}, "bucket": f"models-{ACCOUNT}",
        "endpoint": {"image": f"{others}.dkr.ecr.{REGION}.amazonaws.com/serve:1", "instance_type": "ml.m5.large"},
        "kms_key": f"arn:aws:kms:{REGION}:{others}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "scheduler_role_arn": f"arn:aws:iam::{ACCOUNT}:role/Scheduler", "network_isolation": True,
        "vpc": {"subnets": ["subnet-0a1"], "security_groups": ["sg-0c3"]}, "encrypt_traffic": True,
    }  # fmt: skip
    finished.configure({**TINY, "deploy": {"target": "sagemaker", "test_images": 12, "sagemaker": settings}})
    error_text = f"arn:aws:sts::{ACCOUNT}:assumed-role/x is not authorized"
    double.faults = [Fault("CreateModel", "AccessDeniedException", error_text, 403)]
    failed = finished.snakemake("deploy", "--show-failed-logs")
    assert failed.returncode != 0 and "CreateModel: AccessDeniedException" in failed.stdout + failed.stderr
    result = finished.snakemake("deploy", "--printshellcmds", "--verbose")
    assert result.returncode == 0, result.stdout + result.stderr
    printed = failed.stdout + failed.stderr + result.stdout + result.stderr
    assert ACCOUNT not in printed and others not in printed
    assert "CONVLAB_DEPLOY" not in result.stdout + result.stderr
    assert double.left() == [] and not double.s3.get_bucket(f"models-{ACCOUNT}").keys
    folder = finished.folder / "results/tiny"
    record = evidence_of(folder / "deploy/digits/endpoint.json")
    assert record["status"] == "succeeded" and record["parity"]["largest_difference"] < 1e-5, (
        "a SavedModel, by TensorFlow"
    )
    assert finished.planned("deploy") == set()
    assert finished.snakemake("all").returncode == 0
    page = (folder / "report/index.html").read_text()
    assert "A stand-in for AWS answered, not AWS" in page and "arn:aws:iam::************:role" in page
    folders = [finished.folder / "results", finished.folder / ".snakemake"]
    written = [path for directory in folders for path in directory.rglob("*") if path.is_file()]
    for number in (ACCOUNT, others):  # in logs and Snakemake's records too
        assert [path for path in written if number.encode() in path.read_bytes()] == []
    assert len([path for path in written if ".snakemake" in path.parts]) > 20
    moved = {key: settings[key].replace(ACCOUNT, "210987654321") for key in ("role_arn", "scheduler_role_arn")}
    configured = {**settings, **moved}
    finished.configure({**TINY, "deploy": {"target": "sagemaker", "test_images": 12, "sagemaker": configured}})
    assert finished.planned("deploy") == {"Deploy the model of digits and test its endpoint"}, "another account"


# ---------------------------------------------------------------------------------------------------------------------
# On AWS itself


@pytest.mark.aws
@pytest.mark.skipif("AWS_TEST_CONFIG" not in os.environ, reason="AWS_TEST_CONFIG names no config; AWS charges for this")
def test_a_model_is_served_on_aws_and_nothing_is_left(tmp_path):
    """Serves the demo's model as the named config's deploy.sagemaker says."""
    project = copy_project(tmp_path / "project")
    deploying = yaml.safe_load(Path(os.environ["AWS_TEST_CONFIG"]).read_text())["deploy"]
    project.configure({**TINY, "deploy": {**deploying, "test_images": 20}})
    result = project.snakemake("deploy")
    path = project.folder / "results/tiny/deploy/digits"
    record = json.loads((path / "endpoint.json").read_text())
    assert result.returncode == 0, record["error"]
    assert record["endpoint"]["on_aws"] and record["teardown"]["remaining"] == [] and not (path / "state.json").exists()
