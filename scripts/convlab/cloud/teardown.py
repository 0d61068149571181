"""Taking down what a deployment may have left, by name, until a listing shows that nothing of it is there.

Order matters: an endpoint and jobs cost, so they go first and neither waits for the other; an endpoint whose
configuration or model is gone can hang for an hour; the objects are what both of them read. An error of any type in
one attempt is noted and the attempt repeated: nothing but AWS' refusal or the end of time prevents the next deletion.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from convlab.cloud import aws
from convlab.cloud.aws import ClientError, Clients
from convlab.cloud.state import State
from convlab.cloud.time_limits import TEARDOWN_MINUTES

DELETION_SECONDS = 60.0 * TEARDOWN_MINUTES
"""Seconds that each resource may take to go; an endpoint that is being created cannot be deleted before it is there."""

NOT_FOUND_GRACE_SECONDS = 10.0
"""Seconds for which "not there" is not believed of something whose creation was asked for without an answer."""

RUNNING_STATUSES = ("InProgress", "Stopping")
"""Statuses of a training job that costs."""

log = logging.getLogger("teardown")


@dataclass(frozen=True)
class Resource:
    """How SageMaker calls one kind of resource."""

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
"""In the order in which they go."""


@dataclass
class Receipt:
    """What was done, and what a listing showed afterwards; ``remaining`` is empty if all is well.

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


def teardown(clients: Clients, state: State) -> Receipt:
    """Remove all that ``state`` names; no error of any type leaves it."""
    begin = time.monotonic()
    receipt, deleted, listed = Receipt(), set(), {}

    def deletion(resource: Resource) -> dict[str, Callable[[float], str | None]]:
        return {resource.kind: lambda passed: _delete(clients, state, resource, deleted, passed)}

    endpoint, *others = RESOURCES
    jobs = {"training jobs": lambda passed: _stop_jobs(clients, state, passed)}
    gone, stopped = _until(receipt, deletion(endpoint) | jobs)
    for resource in others:
        if gone:
            _until(receipt, deletion(resource))
        else:
            receipt.note(resource.kind, "left alone as long as the endpoint is there")
    if state.keep_objects or not (gone and stopped):
        why_not = _note_objects(clients, state, listed)
        receipt.kept = [f"s3://{state.bucket}/{key}" for key in listed]
        kept = why_not or f"{len(listed)} kept, as deploy.sagemaker.keep_objects asks"
        receipt.note("objects", kept if state.keep_objects else "left alone as long as something may read them")
    else:
        _until(receipt, {"objects": lambda passed: _delete_objects(clients, state, listed, passed)})
    receipt.objects = list(listed.values())
    receipt.remaining = remaining(clients, state)
    receipt.seconds = time.monotonic() - begin
    return receipt


def _until(receipt: Receipt, attempts: Mapping[str, Callable[[float], str | None]]) -> list[bool]:
    """Make each attempt in turn until it says what came of it (None: not yet), AWS forbids it, or time is over.

    Returns for each whether it is done; none waits for another's end.
    """
    open_ones, why, done = dict(attempts), dict.fromkeys(attempts, "it takes too long"), set()
    for passed in aws.poll_intervals(DELETION_SECONDS):
        for resource, attempt in list(open_ones.items()):
            try:
                outcome = attempt(passed)
            except Exception as error:  # also what is no answer of AWS: a proxy's page, a broken certificate
                why[resource] = aws.error_message(error)
                if aws.error_code(error) in aws.DENIED:
                    del open_ones[resource]
                continue
            if outcome:
                receipt.note(resource, outcome)
                done.add(resource)
                del open_ones[resource]
        if not open_ones:
            break
    for resource in attempts:
        if resource not in done:
            receipt.note(resource, f"would not go: {why[resource]}")
    return [resource in done for resource in attempts]


def _delete(clients: Clients, state: State, resource: Resource, deleted: set[str], passed: float) -> str | None:
    """One attempt to delete a resource; done when AWS says that it is not there (any more)."""
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


def _stop_jobs(clients: Clients, state: State, passed: float) -> str | None:
    """One attempt to stop every training job of the deployment; done when none runs."""
    jobs = dict(training_jobs(clients, state))
    if not jobs and "training_job" in state.asked and passed < NOT_FOUND_GRACE_SECONDS:
        return None
    running = {name: status for name, status in jobs.items() if status in RUNNING_STATUSES}
    for name, status in running.items():
        if status == "InProgress":
            clients.sagemaker.stop_training_job(TrainingJobName=name)
    if running:
        return None
    return ", ".join(f"{name} {status}" for name, status in jobs.items()) or "none"


def _delete_objects(clients: Clients, state: State, listed: dict[str, Any], passed: float) -> str | None:
    """One attempt to delete the objects; where an upload had no answer, it may still come.

    What there is, is noted in ``listed`` as far as the listing tells it.
    """
    entries = objects(clients, state)
    keys = [entry["Key"] for entry in entries]
    for start in range(0, len(keys), 1000):
        batch = [{"Key": key} for key in keys[start : start + 1000]]
        answer = clients.s3.delete_objects(Bucket=state.bucket, Delete={"Objects": batch, "Quiet": True})
        for failed in answer.get("Errors", []):
            raise ClientError({"Error": failed}, "DeleteObjects")
    listed.update((entry["Key"], _described(entry)) for entry in entries)
    if {"object", "training_job"} & set(state.asked) and passed < NOT_FOUND_GRACE_SECONDS:
        return None
    return f"{len(listed)} deleted"


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the evidence keeps of an object."""
    return {"key": entry["Key"], "bytes": entry.get("Size", 0), "etag": str(entry.get("ETag", "")).strip('"')}


# ---------------------------------------------------------------------------------------------------------------------
# Looking


def training_jobs(clients: Clients, state: State) -> Iterator[tuple[str, str]]:
    """Name and status of each training job of the deployment; AWS adds a time to the name."""
    for page in clients.sagemaker.get_paginator("list_training_jobs").paginate(NameContains=state.name):
        for job in page["TrainingJobSummaries"]:
            if job["TrainingJobName"].startswith(state.name):
                yield job["TrainingJobName"], job["TrainingJobStatus"]


def objects(clients: Clients, state: State) -> list[dict[str, Any]]:
    """The deployment's objects, as S3 lists them; none where the bucket is not there."""
    try:
        pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=state.bucket, Prefix=state.prefix)
        return [entry for page in pages for entry in page.get("Contents", [])]
    except ClientError as error:
        if aws.is_missing(error):
            return []
        raise


def remaining(clients: Clients, state: State) -> list[str]:
    """What listings show of the deployment; a listing that fails counts, since it proves nothing."""
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
    left += _list_or_error(
        "training job", lambda: [name for name, status in training_jobs(clients, state) if status in RUNNING_STATUSES]
    )
    if not state.keep_objects:
        left += _list_or_error(
            "objects below", lambda: [f"s3://{state.bucket}/{state.prefix}"] * bool(objects(clients, state))
        )
    return left


def _list_or_error(kind: str, look: Callable[[], list[str]]) -> list[str]:
    """What a look found, with its kind in front."""
    why = ""
    for _ in aws.poll_intervals(min(DELETION_SECONDS, 60)):
        try:
            return [f"{kind} {name}" for name in look()]
        except Exception as error:
            why = aws.error_message(error)
            if aws.error_code(error) in aws.DENIED:
                break
    return [f"perhaps some {kind}, which could not be listed ({why})"]


def _note_objects(clients: Clients, state: State, listed: dict[str, Any]) -> str | None:
    """Put what is in the bucket into ``listed``; why that was not possible, if so. It only informs."""
    try:
        listed.update((entry["Key"], _described(entry)) for entry in objects(clients, state))
    except Exception as error:
        return f"kept, but they could not be listed: {aws.error_message(error)}"
    return None
