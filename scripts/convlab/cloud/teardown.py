"""Teardown: delete a deployment's resources by name until listings show that none remain.

Order matters: an endpoint and jobs cost, so they go first and neither waits for the other; an endpoint whose
configuration or model is gone can hang for an hour; the objects are what both of them read. Schedules that would delete
the rest stay until a listing shows that the rest is gone. An error of any type in one attempt is noted and the attempt
repeated: only AWS' refusal or a timeout prevents the next deletion.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from convlab.cloud import aws, guard, registry
from convlab.cloud.aws import ClientError, Clients
from convlab.cloud.state import State
from convlab.cloud.time_limits import TEARDOWN_MINUTES

DELETION_SECONDS = 60.0 * TEARDOWN_MINUTES
"""Timeout in seconds for each resource; an endpoint cannot be deleted while it is being created."""

NOT_FOUND_GRACE_SECONDS = 10.0
"""Grace period in seconds: AWS may answer "not found" for a resource whose create request got no response."""

RUNNING_STATUSES = ("InProgress", "Stopping")
"""Statuses of jobs that cost money."""

log = logging.getLogger("teardown")


@dataclass(frozen=True)
class Resource:
    """SageMaker's names for one kind of resource: in calls, of its key, its listing and the listing's response."""

    kind: str
    key: str
    listing: str
    response_key: str

    @property
    def delete(self) -> str:
        return f"delete_{self.kind}"


RESOURCES = (
    Resource("endpoint", "EndpointName", "list_endpoints", "Endpoints"),
    Resource("endpoint_config", "EndpointConfigName", "list_endpoint_configs", "EndpointConfigs"),
    Resource("model", "ModelName", "list_models", "Models"),
)
"""In the order of deletion."""


@dataclass(frozen=True)
class JobKind:
    """SageMaker's names for one kind of job, by its word: training or transform. Jobs cannot be deleted."""

    word: str

    @property
    def kind(self) -> str:
        return f"{self.word}_job"

    @property
    def name_key(self) -> str:
        return f"{self.word.capitalize()}JobName"

    @property
    def status_key(self) -> str:
        return f"{self.word.capitalize()}JobStatus"

    @property
    def response_key(self) -> str:
        return f"{self.word.capitalize()}JobSummaries"


TRAINING, TRANSFORM = JobKind("training"), JobKind("transform")

JOB_KINDS = (TRAINING, TRANSFORM)


@dataclass
class Receipt:
    """Steps of a teardown, and what listings showed afterwards; ``remaining`` is empty on success.

    ``objects``: key, bytes and etag of what was in the bucket; ``kept``: addresses of what stays there.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, resource: str, outcome: str) -> None:
        self.steps.append({"resource": resource, "outcome": outcome, "at": datetime.now(UTC).isoformat()})
        log.info("%s: %s", resource, outcome)


def teardown(clients: Clients, state: State, meanwhile: Callable[[], None] | None = None) -> Receipt:
    """Delete all resources of ``state``. Never raises: errors are in the receipt.

    ``meanwhile`` is called once what costs has been asked to go, which takes minutes; what it raises is noted.
    """
    begin = time.monotonic()
    receipt, deleted, listed = Receipt(), set(), {}

    def deletion(resource: Resource) -> dict[str, Callable[[float], str | None]]:
        return {resource.kind: lambda passed: _delete(clients, state, resource, deleted, passed)}

    endpoint, *others = RESOURCES
    stops = {
        f"{jobs.word} jobs": lambda passed, jobs=jobs: _stop_jobs(clients, state, jobs, passed) for jobs in JOB_KINDS
    }
    gone, *stopped = _until(receipt, deletion(endpoint) | stops, meanwhile)
    for resource in others:
        if gone:
            _until(receipt, deletion(resource))
        else:
            receipt.note(resource.kind, "left alone as long as the endpoint is there")
    undone = not state.registry_group or _undo_registration(clients, state, receipt)
    if not state.bucket:
        receipt.note("objects", "not looked for: no bucket is named")
    elif state.keep_objects or not (gone and undone and all(stopped)):
        why_not = _note_objects(clients, state, listed)
        receipt.kept = [f"s3://{state.bucket}/{key}" for key in listed]
        kept = why_not or f"{len(listed)} kept, as deploy.sagemaker.keep_objects asks"
        receipt.note("objects", kept if state.keep_objects else "left alone as long as something may read them")
    else:
        _until(receipt, {"objects": lambda passed: _delete_objects(clients, state, listed, passed)})
    receipt.objects = list(listed.values())
    receipt.remaining = remaining(clients, state)
    if state.registry_group:
        receipt.remaining += _list_or_error("model package", lambda: registry.packages(clients, state))
        receipt.remaining += [f"perhaps the model card {state.name} or its group {state.registry_group}"] * (not undone)
    if state.schedules:
        receipt.remaining += _remove_schedules(clients, state, receipt)
    receipt.remaining += remaining_objects(clients, state)
    receipt.seconds = time.monotonic() - begin
    return receipt


def _undo_registration(clients: Clients, state: State, receipt: Receipt) -> bool:
    """Delete what an unfinished registration made; whether it is gone."""

    def attempt(passed: float) -> str | None:
        return registry.undo(clients, state, passed < NOT_FOUND_GRACE_SECONDS)

    return _until(receipt, {"registration": attempt})[0]


def _remove_schedules(clients: Clients, state: State, receipt: Receipt) -> list[str]:
    """Delete the schedules if nothing remains that they are for; returns those that remain."""
    if receipt.remaining:
        receipt.note("schedules", f"kept, for what would not go: {guard.times(state)}")
        return [f"the schedules {state.name}-* ({guard.times(state)})"]

    def attempt(passed: float) -> str | None:
        return guard.remove(clients, state, passed < NOT_FOUND_GRACE_SECONDS)

    _until(receipt, {"schedules": attempt})
    return _list_or_error("schedule", lambda: guard.listed(clients, state.name))


def _until(
    receipt: Receipt,
    attempts: Mapping[str, Callable[[float], str | None]],
    meanwhile: Callable[[], None] | None = None,
) -> list[bool]:
    """Poll all attempts until each returns an outcome (None: not yet), AWS denies it, or DELETION_SECONDS pass.

    Returns for each whether its resource is gone; none waits for another. ``meanwhile`` is called after one round.
    """
    open_ones, why, done = dict(attempts), dict.fromkeys(attempts, "it takes too long"), set()
    for passed in aws.poll_intervals(DELETION_SECONDS):
        for resource, attempt in list(open_ones.items()):
            try:
                outcome = attempt(passed)
            except Exception as error:  # also responses that are not from AWS: a proxy's page, a broken certificate
                why[resource] = aws.error_message(error)
                if aws.error_code(error) in aws.DENIED:
                    del open_ones[resource]
                continue
            if outcome:
                receipt.note(resource, outcome)
                done.add(resource)
                del open_ones[resource]
        if meanwhile:
            try:
                meanwhile()
            except BaseException as error:  # it only informs
                receipt.note("evidence", f"not written yet: {aws.error_message(error)}")
            meanwhile = None
        if not open_ones:
            break
    for resource in attempts:
        if resource not in done:
            receipt.note(resource, f"would not go: {why[resource]}")
    return [resource in done for resource in attempts]


def _delete(clients: Clients, state: State, resource: Resource, deleted: set[str], passed: float) -> str | None:
    """One attempt to delete a resource; done when AWS answers "not found"."""
    try:
        getattr(clients.sagemaker, resource.delete)(**{resource.key: state.name})
    except ClientError as error:
        if not aws.is_missing(error):
            raise
        if resource.kind in deleted:
            return "deleted"
        return None if resource.kind in state.asked and passed < NOT_FOUND_GRACE_SECONDS else "not there"
    deleted.add(resource.kind)
    return None


def _stop_jobs(clients: Clients, state: State, kind: JobKind, passed: float) -> str | None:
    """One attempt to stop every job of this kind of the deployment; done when none runs."""
    jobs = dict(list_jobs(clients, state, kind))
    if not jobs and kind.kind in state.asked and passed < NOT_FOUND_GRACE_SECONDS:
        return None
    running = {name: status for name, status in jobs.items() if status in RUNNING_STATUSES}
    for name, status in running.items():
        if status == "InProgress":
            getattr(clients.sagemaker, f"stop_{kind.kind}")(**{kind.name_key: name})
    if running:
        return None
    return ", ".join(f"{name} {status}" for name, status in jobs.items()) or "none"


def _delete_objects(clients: Clients, state: State, listed: dict[str, Any], passed: float) -> str | None:
    """One attempt to delete the objects; an upload whose response is missing may still arrive.

    The listed objects are added to ``listed``.
    """
    entries = objects(clients, state)
    keys = [entry["Key"] for entry in entries]
    for start in range(0, len(keys), 1000):
        batch = [{"Key": key} for key in keys[start : start + 1000]]
        answer = clients.s3.delete_objects(Bucket=state.bucket, Delete={"Objects": batch, "Quiet": True})
        for failed in answer.get("Errors", []):
            raise ClientError({"Error": failed}, "DeleteObjects")
    listed.update((entry["Key"], _described(entry)) for entry in entries)
    if {"object", "training_job", "transform_job"} & set(state.asked) and passed < NOT_FOUND_GRACE_SECONDS:
        return None
    return f"{len(listed)} deleted"


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Key, size and ETag of a listed object, for the evidence."""
    return {"key": entry["Key"], "bytes": entry.get("Size", 0), "etag": str(entry.get("ETag", "")).strip('"')}


# ---------------------------------------------------------------------------------------------------------------------
# Listings


def list_jobs(clients: Clients, state: State, kind: JobKind) -> Iterator[tuple[str, str]]:
    """Name and status of each job of this kind of the deployment; the SDK adds a time to a training job's name."""
    for page in clients.sagemaker.get_paginator(f"list_{kind.kind}s").paginate(NameContains=state.name):
        for job in page[kind.response_key]:
            if job[kind.name_key].startswith(state.name):
                yield job[kind.name_key], job[kind.status_key]


def objects(clients: Clients, state: State) -> list[dict[str, Any]]:
    """The deployment's objects, as S3 lists them; empty if the bucket does not exist.

    Raises KeyError for an answer that is not S3's, such as a proxy's page, which would pass for an empty bucket.
    """
    try:
        pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=state.bucket, Prefix=state.prefix)
        return [entry for page in pages if page["KeyCount"] for entry in page["Contents"]]
    except ClientError as error:
        if aws.is_missing(error):
            return []
        raise


def remaining(clients: Clients, state: State) -> list[str]:
    """Resources of SageMaker that listings still show; a failed listing counts as one, since it proves nothing."""
    left = []
    for resource in RESOURCES:
        left += _list_or_error(
            resource.kind.replace("_", " "),
            lambda resource=resource: [
                entry[resource.key]
                for page in clients.sagemaker.get_paginator(resource.listing).paginate(NameContains=state.name)
                for entry in page[resource.response_key]
                if entry[resource.key] == state.name
            ],
        )
    for jobs in JOB_KINDS:
        left += _list_or_error(
            f"{jobs.word} job",
            lambda jobs=jobs: [name for name, status in list_jobs(clients, state, jobs) if status in RUNNING_STATUSES],
        )
    return left


def remaining_objects(clients: Clients, state: State) -> list[str]:
    """The folder of objects that should be gone, if the bucket's listing still shows any, or fails."""
    if state.keep_objects:
        return []
    return _list_or_error(
        "objects below", lambda: [f"s3://{state.bucket}/{state.prefix}"] * bool(objects(clients, state))
    )


def _list_or_error(kind: str, names: Callable[[], list[str]]) -> list[str]:
    """Listed names, prefixed by their kind; if the listing fails repeatedly, one entry with the error."""
    why = ""
    for _ in aws.poll_intervals(min(DELETION_SECONDS, 60)):
        try:
            return [f"{kind} {name}" for name in names()]
        except Exception as error:
            why = aws.error_message(error)
            if aws.error_code(error) in aws.DENIED:
                break
    return [f"perhaps some {kind}, which could not be listed ({why})"]


def _note_objects(clients: Clients, state: State, listed: dict[str, Any]) -> str | None:
    """Add the bucket's objects to ``listed``; returns the error if that fails. It only informs."""
    try:
        listed.update((entry["Key"], _described(entry)) for entry in objects(clients, state))
    except Exception as error:
        return f"kept, but they could not be listed: {aws.error_message(error)}"
    return None
