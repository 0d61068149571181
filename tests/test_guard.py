"""Time limits of deployments that AWS keeps: schedules that delete what a killed process leaves, against the double."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
import yaml

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import deploy_plan
import teardown as teardown_script
from aws_double import ACCOUNT, REGION, Fault
from builders.deployments import ROLE, SETTINGS, arguments, evidence, interrupted, state_file
from builders.project import ROOT, TINY
from convlab.cloud import aws, endpoint, teardown, time_limits
from convlab.cloud import state as states
from convlab.cloud.policy import caller_policy, scheduler_policy, scheduler_trust
from convlab.errors import UserError
from convlab.study.load import load_study
from convlab.study.sagemaker import SageMaker

pytest_plugins = ["builders.aws_account"]

GUARD_ROLE = f"arn:aws:iam::{ACCOUNT}:role/DeletesEndpoints"
ON_INSTANCE = {**SETTINGS["endpoint"], "instance_type": "ml.m5.large"}
GUARDED = {"endpoint": ON_INSTANCE, "scheduler_role_arn": GUARD_ROLE}


# ---------------------------------------------------------------------------------------------------------------------
# What a config may ask for


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"endpoint": ON_INSTANCE}, "name in scheduler_role_arn the role with which .* or write unguarded: true"),
    ({"mode": "batch"}, "has a transform job, which costs until it ends; name in scheduler_role_arn the role"),
    ({"endpoint": ON_INSTANCE, "mode": "train_and_deploy"}, "costs until it is deleted"),
    ({"unguarded": True, "scheduler_role_arn": GUARD_ROLE}, "both scheduler_role_arn and unguarded: true"),
    ({"scheduler_role_arn": GUARD_ROLE.replace(ACCOUNT, "2" * 12)}, "of two accounts"),
    ({"scheduler_role_arn": "DeletesEndpoints"}, "should be the ARN of a role"),
])  # fmt: skip
def test_an_instance_without_an_end_that_aws_keeps_is_refused_by_the_config(changes, sentence):
    written = yaml.safe_load(
        yaml.safe_dump({**TINY, "deploy": {"target": "sagemaker", "sagemaker": SETTINGS | changes}})
    )
    with pytest.raises(UserError, match=sentence):
        load_study(written)


@pytest.mark.parametrize("changes", [
    {}, GUARDED, {"endpoint": ON_INSTANCE, "unguarded": True}, {"endpoint": ON_INSTANCE, "mode": "train"},
    {"scheduler_role_arn": None},
])  # fmt: skip
def test_a_serverless_endpoint_and_a_guarded_or_allowed_one_are_accepted(changes):
    SageMaker.model_validate(SETTINGS | changes)


def test_the_roles_absence_leaves_a_deployments_options_as_they_were():
    bare = SageMaker.model_validate(SETTINGS).model_dump(exclude_none=True)
    assert "scheduler_role_arn" not in bare and bare["unguarded"] is False


# ---------------------------------------------------------------------------------------------------------------------
# While the process lives


def test_schedules_come_before_what_they_delete_and_go_after_it(known, results):
    seen = {}

    def look(operation):
        if operation == "InvokeEndpoint" and not seen:
            seen.update({name: schedule.to_dict() for name, schedule in known.schedules.items()})

    known.before = look
    begun = datetime.now(UTC)
    deploy.main(arguments(results, **GUARDED))
    order = [call for call in known.calls if call.startswith(("Create", "Delete", "Put"))]
    assert order[:4] == ["CreateSchedule"] * 4 and order[-1] == "DeleteSchedule"
    assert order.index("PutObject") == 4, "nothing is created before"
    last = {call: number for number, call in enumerate(known.calls)}
    assert max(last[f"List{kind}"] for kind in ("Endpoints", "EndpointConfigs", "Models")) < min(
        number for number, call in enumerate(known.calls) if call == "DeleteSchedule"
    ), "by listing"
    record = evidence(results)
    name = record["endpoint"]["name"]
    assert set(seen) == set(record["endpoint"]["guard"]["schedules"]) and len(seen) == 4
    assert all(len(schedule) <= 64 for schedule in seen), "as long as Scheduler allows"
    first = seen[f"{name}-endpoint"]
    due = datetime.strptime(first["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta(minutes=29) < due - begun <= timedelta(minutes=30, seconds=60)
    assert first["ScheduleExpressionTimezone"] == "UTC" and first["ActionAfterCompletion"] == "DELETE"
    assert first["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint"
    assert json.loads(first["Target"]["Input"]) == {"EndpointName": name}
    assert first["Target"]["RoleArn"] == GUARD_ROLE and first["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert known.left() == [] and not state_file(results).exists()


def test_without_the_role_no_schedule_is_asked_for(known, results):
    deploy.main(arguments(results))
    assert not any("Schedule" in call for call in known.calls)
    assert "guard" not in evidence(results)["endpoint"]


@pytest.mark.parametrize(("fault", "sentence"), [
    (Fault("CreateSchedule", "AccessDeniedException", "not authorized", 403, times=99), "AccessDeniedException"),
    (Fault("CreateSchedule", "ValidationException", "The role must allow it", times=99), "must allow"),
    (Fault("CreateSchedule", "ServiceQuotaExceededException", "too many", 402, times=99), "ServiceQuota"),
    (Fault("CreateSchedule", "AccessDeniedException", "not authorized", 403, times=99, skip=2), "AccessDenied"),
])  # fmt: skip
def test_where_a_schedule_is_refused_nothing_is_created(known, results, fault, sentence):
    """Whoever may not create schedules may not delete or list them either; nobody asks, unless some were made."""
    known.faults = [fault]
    if not fault.skip:
        known.faults += [Fault(call, "AccessDeniedException", times=99) for call in ("DeleteSchedule", "ListSchedules")]
    with pytest.raises(UserError, match=f"scheduler_role_arn.*, so it is not deployed: .*{sentence}") as caught:
        deploy.main(arguments(results, **GUARDED))
    assert "\n" not in str(caught.value)
    assert not {"PutObject", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"} & set(known.calls)
    assert known.left() == [] and not state_file(results).exists()


def test_a_region_without_scheduler_is_told_before_anything_is_created(known, clients, results, monkeypatch):
    scheduler = clients.session.client("scheduler", region_name=REGION, endpoint_url="http://127.0.0.1:9")
    monkeypatch.setattr(aws, "connect", lambda region, endpoint_url=None: replace(clients, scheduler=scheduler))
    with pytest.raises(UserError, match="so it is not deployed: Could not connect to the endpoint URL"):
        deploy.main(arguments(results, **GUARDED))
    assert not {"PutObject", "CreateModel"} & set(known.calls) and not state_file(results).exists()


def test_schedules_stay_as_long_as_what_they_delete_and_it_is_said_when_they_are_due(known, results, monkeypatch):
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 0.3)
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results, **GUARDED))
    assert caught.value.code == 3 and len(known.schedules) == 4
    remaining = evidence(results)["teardown"]["remaining"]
    first = datetime.fromisoformat(min(json.loads(state_file(results).read_text())["schedules"].values()))
    due = re.escape(f"{first:%Y-%m-%d %H:%M} UTC")
    assert re.search(rf"the schedules convlab-\S+-\* \(AWS deletes it from {due} on\)", str(remaining))
    known.faults = []
    known.advance(90)
    assert known.left() == [*known.keys(""), *known.schedules], "AWS may what the caller may not"
    teardown_script.main(["--results", str(results.parent)])
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("slept", [False, True])
def test_when_training_comes_first_schedules_are_made_before_it_and_moved_afterwards(
    known, results, monkeypatch, slept
):
    """Or made again, if this machine slept for so long that they have been carried out and deleted themselves."""
    moments = {}
    exported = results / "export/toys/export.json"
    content = json.loads(exported.read_text()) | {"spec": {"training": {}}}
    exported.unlink()  # it is a link
    exported.write_text(json.dumps(content))

    def train(deployment, *arguments):
        moments["before"] = dict(deployment.state.schedules)
        if slept:
            known.schedules.clear()
        return "trained"

    monkeypatch.setattr(endpoint.sdk, "check_trainer", lambda: None)  # it may not be installed
    monkeypatch.setattr(endpoint.training_job, "train", train)
    monkeypatch.setattr(endpoint.training_job, "write_served_model", lambda trained, model_dir, folder: model_dir)
    monkeypatch.setattr(endpoint.SageMakerEndpoint, "reference", lambda self: None)
    deploy.main(arguments(results, mode="train_and_deploy", **GUARDED))
    after = evidence(results)["endpoint"]["guard"]["schedules"]
    assert moments["before"].keys() == after.keys()
    moved = [datetime.fromisoformat(moments["before"][name]) - datetime.fromisoformat(after[name]) for name in after]
    assert all(abs(shift - timedelta(minutes=90)) < timedelta(minutes=1) for shift in moved), (
        "60 of training, 30 of queues"
    )
    assert known.calls.count("UpdateSchedule") == 4 and known.calls.count("CreateSchedule") == (8 if slept else 4)
    assert known.left() == []


@pytest.mark.parametrize("skip", [0, 2])
def test_a_schedule_whose_creation_got_no_answer_is_removed_whatever_its_repetition_is_answered(known, results, skip):
    """The double knows no ClientToken, by which AWS recognises a repetition: it answers that there is one already."""
    known.faults = [Fault("CreateSchedule", "InternalServerException", status=500, after=True, skip=skip)]
    with pytest.raises(UserError, match="so it is not deployed: CreateSchedule: ConflictException"):
        deploy.main(arguments(results, **GUARDED))
    assert known.calls.count("CreateSchedule") == skip + 2 and "DeleteSchedule" in known.calls
    assert known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize(("last", "changes"), [
    ("CreateEndpointConfig", GUARDED), ("PutObject", {"mode": "batch", "scheduler_role_arn": GUARD_ROLE}),
])  # fmt: skip
def test_nothing_that_costs_is_created_when_its_time_is_over(known, results, monkeypatch, last, changes):
    """After a machine's sleep, when the schedules have been carried out and would delete it no more."""
    began = aws.clock()
    monkeypatch.setattr(aws, "clock", lambda: began + 8 * 3600 * (last in known.calls))
    with pytest.raises(UserError, match=r"'s \d+ minutes were over before it could be created; deploy again"):
        deploy.main(arguments(results, **changes))
    assert not {"CreateEndpoint", "CreateTransformJob"} & set(known.calls) and known.left() == []


# ---------------------------------------------------------------------------------------------------------------------
# When the process is gone


@pytest.mark.slow
@pytest.mark.parametrize("tries_again", [True, False], ids=["Scheduler tries again", "Scheduler tries once"])
@pytest.mark.parametrize(("step", "moment"), [
    ("CreateSchedule", "after"), ("CreateModel", "after"), ("CreateEndpoint", "after"), ("DescribeEndpoint", "before"),
    ("InvokeEndpoint", "before"), ("DeleteEndpoint", "after"), ("DeleteModel", "before"), ("DeleteSchedule", "after"),
])  # fmt: skip
def test_after_a_kill_aws_deletes_it_all_when_its_time_is_over(
    double, results, processes, step, moment, tries_again, capsys
):
    ended = interrupted(double, results, processes, signal.SIGKILL, step, moment, **GUARDED)
    double.before = double.after = lambda operation: None
    assert ended == -signal.SIGKILL and state_file(results).exists()
    double.scheduler_tries_again = tries_again
    double.advance(29)
    assert double.scheduled == [], "not before its time"
    double.advance(4 * 60)
    objects = double.keys("")
    assert double.left() == objects, "what costs by the hour is gone; objects are teardown's"
    may = scheduler_policy(SageMaker.model_validate(SETTINGS | GUARDED), REGION)["Statement"][0]
    for operation, role, sent in double.scheduled:
        kind = {"Endpoint": "endpoint", "EndpointConfig": "endpoint-config", "Model": "model"}[operation[6:]]
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{next(iter(sent.values()))}"
        assert role == GUARD_ROLE and f"sagemaker:{operation}" in may["Action"]
        assert any(fnmatchcase(arn, pattern) for pattern in may["Resource"])
    teardown_script.main(["--results", str(results.parent)])
    assert "nothing is left, by listing" in capsys.readouterr().out
    assert double.left() == [] and not state_file(results).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("step", "moment"), [("CreateTransformJob", "after"), ("DescribeTransformJob", "before")])
def test_after_a_kill_aws_stops_a_transform_job_when_its_time_is_over(double, results, processes, step, moment, capsys):
    double.hold_jobs = True
    batch = {"mode": "batch", "scheduler_role_arn": GUARD_ROLE}
    interrupted(double, results, processes, signal.SIGKILL, step, moment, **batch)
    double.before = double.after = lambda operation: None
    double.advance(59)
    assert [job.status for job in double.transforms.values()] == ["InProgress"]
    double.advance(4 * 60)
    assert [job.status for job in double.transforms.values()] == ["Stopped"] and double.left() == double.keys("")
    may = scheduler_policy(SageMaker.model_validate(SETTINGS | batch), REGION)["Statement"][0]["Action"]
    assert {f"sagemaker:{operation}" for operation, _, _ in double.scheduled} == set(may)
    teardown_script.main(["--results", str(results.parent)])
    assert double.left() == [] and not state_file(results).exists()


@pytest.mark.slow
def test_a_script_that_is_killed_while_the_endpoint_serves_leaves_nothing_that_costs(double, results, clients):
    """The commands themselves; `make teardown`'s after the schedules have been carried out."""
    command = [sys.executable, ROOT / "scripts/deploy.py", *arguments(results, **GUARDED)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def strike(operation):
        if operation == "InvokeEndpoint":
            process.kill()
            process.wait()

    double.before = strike
    process.wait(120)
    double.before = lambda operation: None
    (name,) = double.sagemaker.endpoints
    assert process.returncode == -signal.SIGKILL and len(double.schedules) == 4
    double.advance(33)
    assert name not in double.sagemaker.endpoints, "the endpoint first"
    double.advance(4 * 60)
    assert double.left() == double.keys("") and len(double.left()) == 1
    result = subprocess.run(
        [sys.executable, ROOT / "scripts/teardown.py", "--results", results.parent], capture_output=True, text=True
    )
    assert result.returncode == 0 and "nothing is left, by listing" in result.stdout, result.stderr
    assert double.left() == [] and not state_file(results).exists()


def test_an_endpoint_that_comes_up_only_after_its_time_is_deleted_by_the_second_schedule(known, clients):
    """Where Scheduler does not try again what SageMaker refuses."""
    known.scheduler_tries_again = False
    name = states.new_name("late")
    for deletion in time_limits.ENDPOINT_DELETIONS:
        due = datetime.now(UTC) + timedelta(minutes=1 + deletion.delay_minutes)
        clients.scheduler.create_schedule(Name=f"{name}-{deletion.suffix}", **guard_schedule(deletion, name, due))
    known.sagemaker._models.clear()
    container = {"Image": "i", "ModelDataUrl": "s3://my-bucket/x"}
    clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    clients.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    clients.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    known.endpoints[name].polls = 10  # minutes, here
    known.advance(5)
    assert name in known.endpoints and f"{name}-endpoint" not in known.schedules
    known.advance(60)
    assert known.left() == []


def guard_schedule(deletion, name, due):
    from convlab.cloud.guard import _schedule

    return _schedule(deletion, name, due, GUARD_ROLE)


# ---------------------------------------------------------------------------------------------------------------------
# The plan


def plan(tmp_path, capsys, *options, **changes) -> str:
    path = tmp_path / "config.yaml"
    deploying = {"target": "sagemaker", "test_images": 200, "sagemaker": {**SETTINGS, **changes}}
    path.write_text(yaml.safe_dump({**TINY, "deploy": deploying}))
    deploy_plan.main([str(path), *options])
    return capsys.readouterr().out


def test_the_plan_shows_schedules_their_times_and_the_roles_policies(tmp_path, capsys):
    output = plan(tmp_path, capsys, **GUARDED, prices={"endpoint_hour": 0.2})
    assert "<name>-endpoint: deleteEndpoint after 30 minutes" in output
    assert "<name>-config: deleteEndpointConfig after 60 minutes" in output
    assert "0.75 hours (15 minutes of it to take it down), which AWS keeps too" in output
    assert '"Service": "scheduler.amazonaws.com"' in output and '"aws:SourceAccount"' in output


def test_the_plan_of_what_is_unguarded_says_so(tmp_path, capsys):
    output = plan(tmp_path, capsys, endpoint=ON_INSTANCE, unguarded=True, prices={"endpoint_hour": 0.2})
    assert "by `make teardown` alone: an instance costs until then" in output
    assert "as long as the deploying process lives" in output and "scheduler" not in output


def test_policies_grow_by_schedules_alone(tmp_path, capsys):
    settings = SageMaker.model_validate(SETTINGS | GUARDED)
    bare = SageMaker.model_validate(SETTINGS)
    more = [
        each
        for each in caller_policy(settings, REGION)["Statement"]
        if each not in caller_policy(bare, REGION)["Statement"]
    ]
    actions = {action: each for each in more for action in each["Action"]}
    assert set(actions) == {
        "scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:ListSchedules", "iam:PassRole",
    }  # fmt: skip
    assert actions["scheduler:CreateSchedule"]["Resource"] == [
        f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/convlab-*"
    ]
    assert actions["iam:PassRole"]["Resource"] == [GUARD_ROLE]
    trust = json.loads(plan(tmp_path, capsys, "--policy", "scheduler-trust", **GUARDED))
    assert trust == scheduler_trust(settings, REGION) and trust["Statement"][0]["Action"] == "sts:AssumeRole"
