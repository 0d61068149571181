"""What a service measured of an endpoint, and cold starts, against the double of AWS."""

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from pydantic import ValidationError

import deploy
import teardown as teardown_script
from aws_double import Fault
from builders.deployments import SETTINGS, arguments, evidence, interrupted, state_file
from convlab.cloud import aws, cold_starts, metrics
from convlab.errors import UserError
from convlab.study.sagemaker import SageMaker

ODD = [
    ResponseParserError("Unable to parse response (no element found), invalid XML received: <html>"),
    KeyError("MetricDataResults"), OSError(5, "Input/output error"), MemoryError(), RecursionError(),
    ReadTimeoutError(endpoint_url="https://monitoring"), ClientError({}, "GetMetricData"),
]  # fmt: skip

pytest_plugins = ["builders.aws_account"]


def test_the_services_times_stand_beside_the_clients(known, results):
    deploy.main(arguments(results))
    record = evidence(results)
    server, calls = record["server"], [answer["latency_ms"] for answer in record["answers"]]
    assert server["complete"] and server["error"] is None
    assert (server["invocations"], server["errors_4xx"], server["errors_5xx"]) == (6, 0, 0)
    assert (
        server["client_latency_ms"]["mean"] == pytest.approx(np.mean(calls))
        and server["model_setup_ms"]["mean"] == 2000
    )
    assert server["overhead_latency_ms"] == {"mean": 1.0, "min": 1.0, "max": 1.0, "count": 6}
    model, overhead = server["model_latency_ms"], server["overhead_latency_ms"]
    assert 0 < model["min"] <= model["mean"] <= model["max"] and model["count"] == 6
    assert server["outside_ms"] == pytest.approx(np.mean(calls) - model["mean"] - overhead["mean"])
    assert server["memory_percent"]["mean"] == 12.5 and server["cpu_percent"] is None


def test_an_instance_has_no_cold_start_and_says_how_busy_it_was(known, results):
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "instance_type": "ml.m5.large"}, unguarded=True))
    record = evidence(results)
    assert record["cold_starts"] is None and record["server"]["model_setup_ms"] is None
    assert record["server"]["cpu_percent"]["mean"] == 50


def test_metrics_that_come_late_are_waited_for_and_the_endpoint_is_gone_meanwhile(known, results):
    known.hidden_metrics, left = 3, []
    known.before = lambda operation: left.extend(known.left()) if operation == "GetMetricData" else None
    deploy.main(arguments(results))
    server = evidence(results)["server"]
    assert server["complete"] and server["waited_seconds"] >= 0 and known.calls.count("GetMetricData") == 4
    assert left == []


def test_metrics_that_count_some_calls_only_are_read_again(known, results, monkeypatch):
    fetch, answers = metrics.fetch, []

    def some(*arguments):
        answers.append(fetch(*arguments))
        return {**answers[-1], "Invocations_Sum": [4.0]} if len(answers) < 3 else answers[-1]

    monkeypatch.setattr(metrics, "fetch", some)
    deploy.main(arguments(results))
    assert len(answers) == 3 and evidence(results)["server"]["invocations"] == 6


def test_metrics_that_do_not_come_are_waited_for_no_longer_than_allowed(known, results):
    known.hidden_metrics = 10**9
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "metrics_wait_seconds": 0}))
    record = evidence(results)
    assert record["status"] == "succeeded" and not record["server"]["complete"]
    assert record["server"]["invocations"] is None and record["server"]["model_latency_ms"] is None
    assert record["server"]["client_latency_ms"]["count"] == 6 and known.calls.count("GetMetricData") == 1


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_metrics_prevent_nothing_whatever_reading_them_raises(known, clients, results, monkeypatch, error):
    def fail(**_):
        raise error

    broken = SimpleNamespace(get_paginator=lambda name: SimpleNamespace(paginate=fail))
    monkeypatch.setattr(aws, "connect", lambda region, endpoint_url=None: replace(clients, cloudwatch=broken))
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "metrics_wait_seconds": 0}))
    record = evidence(results)
    assert record["status"] == "succeeded" and record["server"]["error"] and known.left() == []


@pytest.mark.parametrize("values", [["many"], [None], ["NaN"], [1e308, 1e308], "many", 5])
def test_metrics_that_are_no_numbers_prevent_nothing(known, clients, results, monkeypatch, values):
    page = {"MetricDataResults": [{"Label": "Invocations_Sum", "Values": values}]}
    broken = SimpleNamespace(get_paginator=lambda name: SimpleNamespace(paginate=lambda **_: [page]))
    monkeypatch.setattr(aws, "connect", lambda region, endpoint_url=None: replace(clients, cloudwatch=broken))
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "metrics_wait_seconds": 0}))
    server = evidence(results)["server"]
    assert server["error"] and server["invocations"] is None and not server["complete"] and known.left() == []


def test_metrics_that_are_denied_are_asked_for_once(known, results):
    known.faults = [Fault("GetMetricData", "AccessDeniedException", times=99)]
    deploy.main(arguments(results))
    assert "GetMetricData: AccessDeniedException" in evidence(results)["server"]["error"]
    assert known.calls.count("GetMetricData") == 1 and known.left() == []


def test_a_deployment_that_fails_waits_for_no_metrics(known, results):
    known.hidden_metrics = 10**9
    known.faults = [Fault("InvokeEndpoint", "AccessDeniedException", skip=2)]
    with pytest.raises(UserError):
        deploy.main(arguments(results))
    assert known.calls.count("GetMetricData") == 1 and known.left() == []


def test_a_signal_ends_the_waiting_for_metrics_and_nothing_else(known, results):
    known.hidden_metrics = 10**9

    def strike(operation):
        if operation == "GetMetricData":
            os.kill(os.getpid(), signal.SIGTERM)

    known.before = strike
    deploy.main(arguments(results))
    assert evidence(results)["status"] == "succeeded" and known.calls.count("GetMetricData") == 1


def test_cold_starts_are_of_endpoints_that_were_created_anew(known, results):
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "cold_starts": 3}))
    record = evidence(results)
    cold = record["cold_starts"]
    assert cold["asked"] == len(cold["milliseconds"]) == 3 and cold["error"] is None
    assert cold["milliseconds"][0] >= record["answers"][0]["latency_ms"], "from the first attempt on"
    assert cold["median"] == sorted(cold["milliseconds"])[1] and cold["max"] == max(cold["milliseconds"])
    assert known.calls.count("CreateEndpoint") == 3 and known.calls.count("CreateEndpointConfig") == 1
    assert record["server"]["model_setup_ms"]["count"] == 3 and record["server"]["invocations"] == 8
    assert len(record["answers"]) == 6 and known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("step", ["DeleteEndpoint", "DescribeEndpoint", "CreateEndpoint", "InvokeEndpoint"])
@pytest.mark.parametrize("after", [False, True])
def test_a_fault_at_a_further_cold_start_costs_that_cold_start_alone(known, results, step, after):
    skip = {"CreateEndpoint": 1, "InvokeEndpoint": 6, "DescribeEndpoint": 2}.get(step, 0)
    known.faults = [Fault(step, "InternalFailure", status=500, times=2, skip=skip, after=after)]
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "cold_starts": 2}))
    record = evidence(results)
    assert record["status"] == "succeeded" and len(record["cold_starts"]["milliseconds"]) == 1
    assert "InternalFailure" in record["cold_starts"]["error"]
    assert known.left() == [] and not state_file(results).exists()


def test_an_odd_error_at_a_further_cold_start_costs_that_cold_start_alone(known, results, monkeypatch):
    def fail(*_):
        raise KeyError("EndpointStatus")

    monkeypatch.setattr(cold_starts, "wait_until_gone", fail)
    deploy.main(arguments(results, endpoint={**SETTINGS["endpoint"], "cold_starts": 2}))
    record = evidence(results)
    assert record["status"] == "succeeded" and record["cold_starts"]["error"] == "KeyError: 'EndpointStatus'"
    assert known.left() == []


# ---------------------------------------------------------------------------------------------------------------------
# What is known is on disk before anything is waited for

ON_INSTANCE = {"endpoint": {**SETTINGS["endpoint"], "instance_type": "ml.m5.large"}, "unguarded": True}
FURTHER = {"endpoint": {**SETTINGS["endpoint"], "cold_starts": 3}}
ENDING = ["DeleteEndpoint", "ListTrainingJobs", "ListTransformJobs"]
"""What costs is asked to go before anything is written."""


@pytest.mark.parametrize(("changes", "last", "unwritten"), [
    ({}, "InvokeEndpoint", ENDING), (ON_INSTANCE, "InvokeEndpoint", ENDING), (FURTHER, "InvokeEndpoint", []),
    ({"register": True}, "InvokeEndpoint", ENDING), ({"mode": "batch", "unguarded": True}, "GetObject", ENDING),
])  # fmt: skip
def test_from_the_last_answer_on_the_answers_are_on_disk_at_every_call(known, results, changes, last, unwritten):
    """Whatever ends the process then: a call is where it waits."""
    answers = 6 if last == "InvokeEndpoint" else 1
    path, missing, seen = results / "deploy/toys/endpoint.json", [], []

    def look(operation):
        if known.calls.count(last) < answers or operation == last:
            return
        seen.append(operation)
        if not path.is_file() or len(evidence(results)["answers"]) < 6:
            missing.append(operation)

    known.before = look
    deploy.main(arguments(results, **changes))
    assert missing == unwritten and len(seen) > 8


@pytest.mark.slow
@pytest.mark.parametrize(("step", "changes"), [
    ("DescribeLogStreams", {}), ("GetMetricData", {}), ("DescribeLogStreams", {"mode": "batch", "unguarded": True}),
    ("GetMetricData", {"register": True}),
])  # fmt: skip
def test_a_kill_while_it_only_informs_leaves_the_evidence_of_a_success(double, results, processes, step, changes):
    assert interrupted(double, results, processes, signal.SIGKILL, step, "before", **changes) == -signal.SIGKILL
    record = evidence(results)
    assert record["status"] == "succeeded" and record["error"] is None and len(record["answers"]) == 6
    assert record["parity"]["agreement"] == 1 and record["teardown"]["remaining"] == [] and record["finished"]
    assert (record["registration"] is not None) == ("register" in changes)
    assert (results / "deploy/toys/answers.csv").is_file() and not state_file(results).exists()
    if "mode" not in changes:
        server = record["server"]
        assert "the process ended before" in server["error"] and not server["complete"]
        assert server["client_latency_ms"]["count"] == 6


@pytest.mark.slow
@pytest.mark.parametrize(("step", "changes", "doing"), [
    ("DeleteEndpoint", FURTHER, "further measurements were made"),
    ("DeleteEndpointConfig", {}, "its resources were being taken down"),
    ("CreateModelPackage", {"register": True}, "the tested model was being registered"),
])  # fmt: skip
def test_a_kill_in_the_middle_leaves_the_answers_and_what_to_do(double, results, processes, step, changes, doing):
    assert interrupted(double, results, processes, signal.SIGKILL, step, "before", **changes) == -signal.SIGKILL
    double.before = lambda operation: None
    record = evidence(results)
    assert record["status"] == "failed" and len(record["answers"]) == 6 and state_file(results).exists()
    assert doing in record["error"]["message"] and record["error"]["message"].endswith("run: make teardown")
    if changes == FURTHER:
        assert record["cold_starts"]["error"] == cold_starts.UNFINISHED and record["cold_starts"]["asked"] == 3
    teardown_script.main(["--results", str(results.parent)])
    assert evidence(results)["teardown"]["remaining"] == [] and len(evidence(results)["answers"]) == 6
    assert double.left() == double.registered() == [] and not state_file(results).exists()


def test_a_disk_that_is_full_meanwhile_prevents_no_teardown(known, results, monkeypatch):
    write, failed = deploy.write_json, []

    def full(path, value):
        if not failed:
            failed.append(path)
            raise OSError(28, "No space left on device")
        write(path, value)

    monkeypatch.setattr(deploy, "write_json", full)
    deploy.main(arguments(results))
    assert failed and evidence(results)["status"] == "succeeded" and known.left() == []


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(143)], ids=lambda error: type(error).__name__)
def test_what_is_done_while_it_is_taken_down_prevents_nothing(known, results, monkeypatch, error):
    def fail(self, doing):
        raise error

    monkeypatch.setattr(deploy.EvidenceFile, "write_unfinished", fail)
    deploy.main(arguments(results))
    record = evidence(results)
    assert record["status"] == "succeeded" and record["teardown"]["remaining"] == known.left() == []
    assert "not written yet" in str(record["teardown"]["about"]["steps"])


def test_logs_that_cannot_be_looked_at_leave_the_evidence_whole(known, results, monkeypatch):
    def fail(self):
        raise KeyError("variant")

    monkeypatch.setattr("convlab.cloud.endpoint.SageMakerEndpoint.look", fail)
    deploy.main(arguments(results))
    assert evidence(results)["status"] == "succeeded" and evidence(results)["endpoint"]["name"]


def test_a_signal_between_cold_starts_keeps_those_that_were_measured(known, results):
    def strike(operation):
        if operation == "DeleteEndpoint" and known.calls.count("CreateEndpoint") == 2:
            known.before = lambda operation: None
            os.kill(os.getpid(), signal.SIGTERM)

    known.before = strike
    with pytest.raises(SystemExit):
        deploy.main(arguments(results, **FURTHER))
    cold = evidence(results)["cold_starts"]
    assert len(cold["milliseconds"]) == 2 and cold["error"] == cold_starts.UNFINISHED and known.left() == []


def test_cold_starts_of_an_instance_are_refused():
    endpoint = {"cold_starts": 2, "instance_type": "ml.m5.large"}
    with pytest.raises(ValidationError, match="an instance is started before its endpoint is in service"):
        SageMaker.model_validate(SETTINGS | {"endpoint": endpoint})
