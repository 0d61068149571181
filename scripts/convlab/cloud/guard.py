"""Time limits kept by AWS: one-time EventBridge Scheduler schedules that delete a deployment's resources.

They are made before what they delete and removed last, so that nothing outlives a process that is killed or a machine
that is lost. A schedule calls one operation of SageMaker's API (a universal target) and deletes itself afterwards.
Sources: EventBridge Scheduler's user guide ("Using universal targets", "Deletion after schedule completion") and API
reference (CreateSchedule, RetryPolicy).
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError

from convlab.cloud import aws
from convlab.cloud.aws import ClientError, Clients
from convlab.cloud.sdk import Deployment
from convlab.cloud.state import State
from convlab.cloud.time_limits import Deletion
from convlab.errors import UserError

RETRY_POLICY = {"MaximumEventAgeInSeconds": 3 * 3600, "MaximumRetryAttempts": 185}
"""An endpoint that is still being created cannot be deleted, so AWS tries again for hours."""

UNSENT = (EndpointConnectionError, ConnectTimeoutError)
"""Errors before a request was sent: the service has no endpoint in the region, or the network does not reach it."""


def arm(deployment: Deployment, deletions: tuple[Deletion, ...], minutes: float) -> dict[str, Any]:
    """Create the schedules, or move those that exist, so that the first is due in ``minutes`` (UTC wall time).

    AWS refuses requests of a clock that is wrong by more than five minutes, so this machine's may set the time.

    Returns:
        Facts for the evidence, under ``guard``; empty without deploy.sagemaker.scheduler_role_arn.

    Raises:
        UserError: a schedule could not be made; nothing that it would delete may be created then.
    """
    settings, state = deployment.settings, deployment.state
    if settings.scheduler_role_arn is None:
        return {}
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
    for deletion in deletions:
        name, due = f"{state.name}-{deletion.suffix}", end + timedelta(minutes=deletion.delay_minutes)
        schedule = {"Name": name, **_schedule(deletion, state.name, due, settings.scheduler_role_arn)}
        exists = name in state.schedules
        state.schedules[name] = due.isoformat()
        try:
            with deployment.pending("schedule"):
                made = _put(deployment.clients, schedule, exists)
        except aws.FAILURES as error:
            if not exists and _was_refused(error):  # then there is nothing to remove, and perhaps no permission to
                del state.schedules[name]
                state.asked.remove("schedule")
                state.save(deployment.state_file)
            raise UserError(
                "the schedule that deletes what is left if this process is killed could not be made "
                f"(deploy.sagemaker.scheduler_role_arn), so it is not deployed: {aws.error_message(error)}"
            ) from None
        if "ScheduleArn" not in made:  # a proxy's page, of which nothing would be deleted
            raise UserError(f"what answered the request for the schedule {name} is not AWS, so it is not deployed")
    return {"guard": {"role": settings.scheduler_role_arn, "schedules": dict(state.schedules)}}


def _put(clients: Clients, schedule: dict[str, Any], exists: bool) -> dict[str, Any]:
    """Create or move a schedule; AWS' response. One whose time is over has deleted itself, as while a machine slept."""
    if exists:
        try:
            return clients.scheduler.update_schedule(**schedule)
        except ClientError as error:
            if not aws.is_missing(error):
                raise
    return clients.scheduler.create_schedule(**schedule)


def _schedule(deletion: Deletion, target_name: str, due: datetime, role: str) -> dict[str, Any]:
    """Parameters of CreateSchedule and UpdateSchedule, but for the schedule's name."""
    return {
        "ScheduleExpression": f"at({due:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Description": f"convlab: {deletion.operation} {target_name}",
        "Target": {
            "Arn": f"arn:{role.split(':')[1]}:scheduler:::aws-sdk:sagemaker:{deletion.operation}",
            "RoleArn": role,
            "Input": json.dumps({deletion.key: target_name}),
            "RetryPolicy": RETRY_POLICY,
        },
    }


def _was_refused(error: Exception) -> bool:
    """Whether AWS certainly has not made what was asked for: a repeated request may follow one without a response."""
    if isinstance(error, UNSENT):
        return True
    metadata = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    return metadata.get("RetryAttempts") == 0 and 400 <= metadata.get("HTTPStatusCode", 500) < 500


def remove(clients: Clients, state: State, early: bool) -> str | None:
    """One attempt to delete the schedules; done when AWS says of each that it does not exist.

    Args:
        early: "not found" may still be wrong for a request that had no response.
    """
    left = []
    for name in state.schedules:
        try:
            clients.scheduler.delete_schedule(Name=name)
        except ClientError as error:
            if not aws.is_missing(error):
                raise
            left += [name] * (early and "schedule" in state.asked)
        else:
            left.append(name)
    return None if left else "deleted, or gone after they were due"


def listed(clients: Clients, prefix: str) -> list[str]:
    """Names of the schedules that begin with ``prefix``."""
    pages = clients.scheduler.get_paginator("list_schedules").paginate(NamePrefix=prefix)
    return [schedule["Name"] for page in pages for schedule in page["Schedules"]]


def times(state: State) -> str:
    """When the schedules delete what is left, in words; empty without schedules, whose times may be unknown."""
    due = [time for time in state.schedules.values() if time]
    if not due:
        return "AWS deletes it when they are due" if state.schedules else ""
    return f"AWS deletes it from {datetime.fromisoformat(min(due)):%Y-%m-%d %H:%M} UTC on"
