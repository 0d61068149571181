"""What an AWS account holds of convlab in one region, without any state file: by name, with tags for its time.

Listings of SageMaker by name need no permission that a deployment does not have; the Resource Groups Tagging API would
need another, does not know schedules, and goes on naming what was deleted. ``ListTags`` alone is in addition: the tag
``expires`` tells whether a deployment may still be somebody's at work on another machine.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from convlab.cloud import aws, guard
from convlab.cloud.aws import Clients
from convlab.cloud.logs import LOG_GROUP
from convlab.cloud.registry import REGISTRY_FOLDER
from convlab.cloud.state import NAME_PREFIX, State, deployment_of
from convlab.cloud.teardown import JOB_KINDS, RESOURCES, RUNNING_STATUSES, JobKind, Resource


@dataclass
class Held:
    """What is there of one deployment: kinds and statuses of resources, schedules, objects, tags."""

    name: str
    given_by_convlab: bool = True
    resources: list[tuple[str, str]] = field(default_factory=list)
    arns: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    objects: int = 0
    object_bytes: int = 0
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def created(self) -> datetime | None:
        """The time in its name; None for a name that convlab has not given."""
        try:
            return datetime.strptime(self.name[-22:-7], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def expires(self) -> datetime | None:
        """The time in its tag; None where that cannot be read."""
        try:
            time = datetime.fromisoformat(self.tags["expires"])
        except (KeyError, ValueError):
            return None
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    @property
    def only_objects(self) -> bool:
        """Whether nothing but objects in the bucket is there."""
        return not (self.resources or self.schedules)

    def contents(self) -> str:
        """What is there, in words: the endpoint first."""
        described = [f"{kind} ({status})" if status else kind for kind, status in self.resources]
        described += [f"{len(self.schedules)} schedules"] * bool(self.schedules)
        described += [_objects(self.objects, self.object_bytes)] * bool(self.objects)
        return ", ".join(described)


@dataclass
class Inventory:
    """What a region holds, by deployment; what is kept there beside them; what could not be listed.

    ``complete``: among the last is nothing that costs by the hour, and no objects of deployments.
    """

    deployments: list[Held]
    kept: list[str]
    unlisted: list[str]
    complete: bool


def inventory(clients: Clients, bucket: str | None = None, prefix: str | None = None) -> Inventory:
    """List what the account holds of convlab in the clients' region, and its objects below ``prefix`` of ``bucket``."""
    held: dict[str, Held] = {}
    kept: list[str] = []
    unlisted: list[str] = []

    def of(resource_name: str) -> Held:
        name = deployment_of(resource_name)
        return held.setdefault(name or resource_name, Held(name or resource_name, given_by_convlab=name is not None))

    def attempt(what: str, listing: Callable[[], None]) -> bool:
        try:
            listing()
        except Exception as error:  # also answers that are not from AWS
            unlisted.append(f"{what} could not be listed: {aws.error_message(error)}")
            return False
        return True

    def add(entries: Iterator[tuple[str, str, str, str]]) -> None:
        for kind, name, status, arn in entries:
            of(name).resources.append((kind, status))
            of(name).arns.append(arn)

    def schedules() -> None:
        for name in guard.listed(clients, NAME_PREFIX):
            of(name).schedules.append(name)

    def objects() -> None:
        listing = clients.s3.get_paginator("list_objects_v2")
        pages = listing.paginate(Bucket=bucket, Prefix=f"{prefix}/{NAME_PREFIX}")
        for entry in (entry for page in pages if page["KeyCount"] for entry in page["Contents"]):
            folder = of(entry["Key"].removeprefix(f"{prefix}/").split("/")[0])
            folder.objects += 1
            folder.object_bytes += entry["Size"]

    listed = [
        *(
            attempt(f"{_words(resource.kind)}s", lambda each=resource: add(_resources(clients, each)))
            for resource in RESOURCES
        ),
        *(attempt(f"{jobs.word} jobs", lambda each=jobs: add(_running_jobs(clients, each))) for jobs in JOB_KINDS),
    ]
    attempt("schedules", schedules)
    if bucket:
        listed.append(attempt("objects", objects))
        attempt("objects of registered models", lambda: kept.extend(_registered_objects(clients, bucket, prefix)))
    attempt("registered models", lambda: kept.extend(_registered(clients)))
    attempt("logs", lambda: kept.extend(_logs(clients)))
    for deployment in held.values():
        if deployment.arns:
            attempt(f"tags of {deployment.name}", lambda each=deployment: _read_tags(clients, each))
    complete = all(listed)
    return Inventory(sorted(held.values(), key=lambda deployment: deployment.name), kept, unlisted, complete)


def _resources(clients: Clients, resource: Resource) -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, status and ARN of each resource of a kind."""
    for entry in _pages(clients, resource.listing, resource.response_key):
        if entry[resource.key].startswith(NAME_PREFIX):
            arn = entry[resource.key.removesuffix("Name") + "Arn"]
            yield _words(resource.kind), entry[resource.key], entry.get("EndpointStatus", ""), arn


def _running_jobs(clients: Clients, jobs: JobKind) -> Iterator[tuple[str, str, str, str]]:
    """As _resources, of the jobs that run: ended ones cost nothing and stay."""
    for entry in _pages(clients, f"list_{jobs.kind}s", jobs.response_key):
        name, status = entry[jobs.name_key], entry[jobs.status_key]
        if name.startswith(NAME_PREFIX) and status in RUNNING_STATUSES:
            yield f"{jobs.word} job", name, status, entry[jobs.name_key.removesuffix("Name") + "Arn"]


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _registered(clients: Clients) -> Iterator[str]:
    """A sentence for what was registered, which people delete, if anything was."""
    groups = _pages(clients, "list_model_package_groups", "ModelPackageGroupSummaryList")
    cards = _pages(clients, "list_model_cards", "ModelCardSummaries")
    names = [f"model package group {entry['ModelPackageGroupName']}" for entry in groups]
    names += [f"model card {entry['ModelCardName']}" for entry in cards]
    names = [name for name in names if name.split()[-1].startswith(NAME_PREFIX)]
    if names:
        yield f"registered, and left to people: {', '.join(names)}"


def _registered_objects(clients: Clients, bucket: str, prefix: str) -> Iterator[str]:
    """A sentence for the objects of registered models, also of a registration that a killed process left unfinished."""
    folder = f"{prefix}/{REGISTRY_FOLDER}/"
    pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    sizes = [entry["Size"] for page in pages if page["KeyCount"] for entry in page["Contents"]]
    if sizes:
        yield f"registered, and left to people: {_objects(len(sizes), sum(sizes))} below s3://{bucket}/{folder}"


def _logs(clients: Clients) -> Iterator[str]:
    """A sentence for the logs of endpoints; those of jobs are streams in groups that the whole account shares."""
    pages = clients.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=LOG_GROUP + NAME_PREFIX)
    sizes = [group.get("storedBytes", 0) for page in pages for group in page["logGroups"]]
    if sizes:
        plural = "s" * (len(sizes) != 1)
        yield (
            f"logs, which stay in CloudWatch: {len(sizes)} group{plural} {LOG_GROUP}{NAME_PREFIX}* "
            f"({sum(sizes) / 1e6:.1f} MB)"
        )


def _objects(count: int, size: int) -> str:
    return f"{count} object{'s' * (count != 1)} ({size / 1e6:.1f} MB)"


def _pages(clients: Clients, listing: str, key: str) -> Iterator[dict[str, Any]]:
    for page in clients.sagemaker.get_paginator(listing).paginate(NameContains=NAME_PREFIX):
        yield from page[key]


def _read_tags(clients: Clients, deployment: Held) -> None:
    """Read the tags of one resource of a deployment; all of its resources have the same."""
    pages = clients.sagemaker.get_paginator("list_tags").paginate(ResourceArn=deployment.arns[0])
    deployment.tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def reason_to_keep(
    deployment: Held, at_work: set[str], unexpired: bool, now: datetime, keep_objects: bool
) -> str | None:
    """Why a deployment is not deleted; None if it may be.

    Args:
        at_work: names of deployments on which a process of this machine is at work.
        unexpired: whether those that have not expired may go, too.
        keep_objects: the config's key.
    """
    if not deployment.given_by_convlab:
        return "convlab gives no such name; look at it, and delete it by hand"
    if deployment.name in at_work:
        return "a process of this machine is at work on it"
    if keep_objects and deployment.only_objects:
        return "kept, as deploy.sagemaker.keep_objects asks"
    if unexpired:
        return None
    if deployment.expires is None:
        return "when it expires cannot be read; UNEXPIRED=1 deletes it all the same"
    if deployment.expires > now:
        return "it has not expired, so another machine may be at work on it; UNEXPIRED=1 deletes it all the same"
    return None


def state_of(deployment: Held, clients: Clients, bucket: str | None, prefix: str | None) -> State:
    """The state that a teardown of this deployment takes; without a bucket, objects are left alone."""
    return State(
        name=deployment.name,
        region=clients.region,
        endpoint_url=clients.endpoint_url,
        account="",
        bucket=bucket or "",
        prefix=f"{prefix}/{deployment.name}/" if bucket else "",
        keep_objects=not bucket,
        created="",
        schedules=dict.fromkeys(deployment.schedules, ""),
    )


def lines(deployment: Held, outcome: str) -> list[str]:
    """What is printed of one deployment."""
    study = deployment.tags.get("study", "unknown")
    times = (
        f"{name} {_minute(time)}" for name, time in (("created", deployment.created), ("expires", deployment.expires))
    )
    return [
        f"  {deployment.name}",
        f"      study {study}, {', '.join(times)}",
        f"      {deployment.contents()}",
        f"      {outcome}",
    ]


def totals(listed: Inventory, remaining: list[Held]) -> str:
    """The last line: how many resources of each kind were listed, and how many deployments remain."""
    deployments = listed.deployments
    if not deployments and not listed.complete:
        return "Nothing of convlab was listed there; what could not be listed may be there."
    if not deployments:
        return f"The account holds nothing {'else ' * bool(listed.kept)}of convlab there, by listing."
    counts = Counter(kind for deployment in deployments for kind, _ in deployment.resources)
    counts["schedule"] = sum(len(deployment.schedules) for deployment in deployments)
    counts["object"] = sum(deployment.objects for deployment in deployments)
    described = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count)
    return f"{len(deployments)} deployment{'s' * (len(deployments) != 1)} listed ({described}); {len(remaining)} left."


def _minute(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time else "unknown"
