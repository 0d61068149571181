"""Schema of the config's section ``deploy.sagemaker``.

Separate from the study's schema, since deploying depends on it: an edit of the rest of the schema deploys nothing.
"""

import re
import warnings
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from convlab.common.specs import Notes, PositiveReal, PositiveWhole, Real, Spec, Whole, off_as_none
from convlab.study import governed

ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|\*{12}):role/[\w+=,.@/-]+")
BUCKET = re.compile(r"[a-z0-9*][a-z0-9.*-]{1,61}[a-z0-9*]")
PREFIX = re.compile(r"[\w.*-]+(/[\w.*-]+)*")
INSTANCE = re.compile(r"ml(\.[a-z0-9-]+){2}")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
SUBNET = re.compile(r"subnet-[0-9a-z]{1,25}")
SECURITY_GROUP = re.compile(r"sg-[0-9a-z]{1,29}")
KEY = re.compile("|".join(pattern.pattern for pattern in (governed.KEY_ARN, governed.KEY_ID, governed.ALIAS)))
TAG = re.compile(r"[\w .:/=+@*-]*")
"""Names on AWS; stars stand for a hidden account number."""

MAX_TAGS, MAX_TAG_KEY_CHARS, MAX_TAG_VALUE_CHARS = 46, 128, 256
"""What SageMaker's API takes: 50 tags, of which four are a deployment's own."""


def _version(value: Any) -> Any:
    """YAML takes an unquoted 2.20 for the number 2.2."""
    if isinstance(value, int | float):
        raise ValueError(f"should be in quotation marks, such as '2.20' (it is the number {value})")
    return value


def _like(pattern: re.Pattern, complaint: str) -> AfterValidator:
    """Text that matches all of ``pattern``; ``complaint`` may quote what does not, as ``{name}``."""

    def check(name: str) -> str:
        if not pattern.fullmatch(name):
            raise ValueError(complaint.format(name=repr(name)))
        return name

    return AfterValidator(check)


Role = Annotated[str, _like(ROLE, "should be the ARN of a role, such as arn:aws:iam::<12 digits>:role/SageMakerRole")]
Bucket = Annotated[str, _like(BUCKET, "{name} is no bucket's name; write it without s3:// and without a path")]
Prefix = Annotated[str, _like(PREFIX, "{name} is no prefix; use letters, digits, - _ . and / between names")]
Region = Annotated[str, _like(REGION, "should be a region's name, such as eu-west-1 (it is {name})")]
Instance = Annotated[str, _like(INSTANCE, "should be a type of instance, such as ml.m5.large (it is {name})")]
Subnet = Annotated[str, _like(SUBNET, "should be a subnet's id, such as subnet-0abc1234 (it is {name})")]
SecurityGroup = Annotated[
    str, _like(SECURITY_GROUP, "should be a security group's id, such as sg-0abc1234 (it is {name})")
]


def _as_aws_takes_them(tags: dict[str, str]) -> dict[str, str]:
    """By the time in the tag expires `make teardown ALL=1` tells what may be at work on another machine."""
    if "expires" in tags:
        raise ValueError("has the key expires, which each deployment gives its own time; choose another key")
    if len(tags) > MAX_TAGS:
        raise ValueError(f"has {len(tags)} tags; AWS takes 50, and four are convlab's, so leave {MAX_TAGS}")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ValueError(f"has the key {key!r}; those that begin with aws: are AWS' own, so choose another key")
        if not (1 <= len(key) <= MAX_TAG_KEY_CHARS and len(value) <= MAX_TAG_VALUE_CHARS):
            raise ValueError(
                f"has {key[:40]!r}, and AWS takes keys of 1 to {MAX_TAG_KEY_CHARS} characters and values of "
                f"{MAX_TAG_VALUE_CHARS} at most; shorten it"
            )
        if not TAG.fullmatch(key + value):
            raise ValueError(f"has {key!r}: {value!r}; AWS takes letters, digits, spaces and . : / = + - @ _ in tags")
    return tags


Tags = Annotated[Notes, AfterValidator(_as_aws_takes_them)]
Key = Annotated[str, _like(KEY, "should be the id, ARN or alias/... of a KMS key (it is {name})")]
Version = Annotated[str, BeforeValidator(_version)]
Image = Annotated[str | None, Field(description="Address of another image, instead of AWS' own for image_version.")]
Minutes = Annotated[Whole, Field(gt=0, le=28 * 24 * 60)]
Price = Annotated[Annotated[Real, Field(ge=0)] | None, BeforeValidator(off_as_none)]


class TrainingJob(Spec):
    """The training job of `mode: train`, `train_and_deploy` and `train_and_batch`."""

    instance_type: Instance = Field("ml.m5.large", description="Type of the instance.")
    max_minutes: Minutes = Field(60, description="AWS stops the job after this time.")
    spot: bool = Field(False, description="On spare capacity: cheaper, may wait, starts again when it is taken away.")
    max_wait_minutes: Minutes = Field(120, description="With spot: the longest time of waiting and running together.")
    volume_gb: PositiveWhole = Field(30, description="Disk of the instance, GB.")
    image_version: Version = Field("2.21", description="TensorFlow's version in AWS' training image.")
    image: Image = None


class Endpoint(Spec):
    """The endpoint of `mode: deploy` and `train_and_deploy`; serverless unless an instance type is named."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(2048, description="Serverless: memory, MB.")
    max_concurrency: Annotated[PositiveWhole, Field(le=200)] = Field(2, description="Serverless: calls at once.")
    instance_type: Annotated[Instance | None, BeforeValidator(off_as_none)] = Field(
        None, description="An instance of this type instead of a serverless endpoint; it costs as long as it is there."
    )
    max_minutes: Minutes = Field(
        30,
        description="The endpoint is deleted after this time: by the process that deploys, and with scheduler_role_arn "
        "by AWS too.",
    )
    cold_starts: Annotated[PositiveWhole, Field(le=20)] = Field(
        1,
        description="Serverless: how many cold starts to measure; the first answer is one, for each further one the "
        "endpoint is deleted and created again.",
    )
    metrics_wait_seconds: Annotated[Whole, Field(ge=0, le=3600)] = Field(
        180, description="How long CloudWatch's metrics are waited for at most, after everything was taken down."
    )
    image_version: Version = Field("2.20", description="TensorFlow's version in AWS' inference image.")
    image: Image = None

    @model_validator(mode="after")
    def _cold_starts_are_serverless(self) -> "Endpoint":
        if self.cold_starts > 1 and self.instance_type:
            raise ValueError(
                "has cold_starts and instance_type; an instance is started before its endpoint is in service, so leave "
                "one of them out"
            )
        return self


class Vpc(Spec):
    """The part of a VPC in which jobs and instances run: their network, with what it may reach."""

    subnets: tuple[Subnet, ...] = Field(min_length=1, max_length=16, description="Ids of its subnets.")
    security_groups: tuple[SecurityGroup, ...] = Field(
        min_length=1, max_length=5, description="Ids of its security groups."
    )


class Batch(Spec):
    """The transform job of `mode: batch` and `train_and_batch`; it runs the image of `endpoint`."""

    instance_type: Instance = Field("ml.m5.large", description="Type of the instance.")
    max_minutes: Minutes = Field(
        60,
        description="The job is stopped after this time: by the process that deploys, and with scheduler_role_arn by "
        "AWS too.",
    )
    strategy: Literal["MultiRecord", "SingleRecord"] = Field(
        "MultiRecord", description="Images of one request: as many as max_payload_mb allows (256 at most), or one."
    )
    max_payload_mb: Annotated[PositiveWhole, Field(le=100)] = Field(6, description="The largest request, MB.")


class Prices(Spec):
    """What AWS charges in the region, from its price list; only `make deploy-plan` reads them."""

    currency: str = Field("USD", description="What the prices are in.")
    training_hour: Price = Field(None, description="One hour of the training job's instance.")
    endpoint_hour: Price = Field(None, description="One hour of the endpoint's instance.")
    batch_hour: Price = Field(None, description="One hour of the transform job's instance.")
    serverless_second: Price = Field(None, description="One second of computing of the serverless endpoint.")
    seconds_per_call: PositiveReal = Field(1.0, description="Assumed computing time of one serverless call, seconds.")


# Pydantic takes it for a method: ABCMeta, the type of every model, has one of that name.
warnings.filterwarnings("ignore", message='Field name "register" in "SageMaker" shadows')


class SageMaker(Spec):
    """How and where on AWS; role and bucket have to be there already."""

    mode: Literal["deploy", "train", "train_and_deploy", "batch", "train_and_batch"] = Field(
        "deploy",
        description="deploy: serve the model that was trained here; train: train the chosen run again in a training "
        "job; train_and_deploy: train it there and serve what comes back; batch and train_and_batch: as deploy and "
        "train_and_deploy, with a batch transform job instead of an endpoint.",
    )
    role_arn: Role = Field(description="ARN of the role that SageMaker takes.")
    scheduler_role_arn: Annotated[Role | None, BeforeValidator(off_as_none)] = Field(
        None,
        description="ARN of the role that EventBridge Scheduler takes to delete the endpoint or stop the transform job "
        "after max_minutes, also if the process that deploys is gone; `make deploy-plan` prints its policies.",
    )
    unguarded: bool = Field(
        False,
        description="Allow what costs by the hour without scheduler_role_arn: if the process that deploys is killed, "
        "it costs until `make teardown`.",
    )
    bucket: Bucket = Field(description="Bucket for data and models.")
    prefix: Prefix = Field("convlab", description="Where in the bucket; each deployment has a folder of its own below.")
    region: Region | None = Field(None, description="Region; AWS_DEFAULT_REGION or the profile's when absent.")
    register: bool = Field(
        False,
        description="After a successful test, register the model: a model package that waits for approval, and a model "
        "card; both stay there, with the objects that they name.",
    )
    keep_objects: bool = Field(False, description="Leave in the bucket what was uploaded and trained.")
    tags: Tags = Field({}, description="Tags for all that is created.")
    network_isolation: bool = Field(
        False,
        description="Containers that train and serve reach no network; what the training installs is packed along. "
        "Needs endpoint.instance_type to serve.",
    )
    vpc: Vpc | None = Field(
        None, description="Jobs and instances run in this VPC. Needs endpoint.instance_type to serve."
    )
    kms_key: Annotated[Key | None, BeforeValidator(off_as_none)] = Field(
        None,
        description="Id, ARN or alias of the KMS key that encrypts objects in the bucket and disks; disks inside an "
        "instance (such as g5 has) are encrypted by their hardware, without it.",
    )
    encrypt_traffic: bool = Field(
        False,
        description="Encrypt what the instances of a training job send each other. A run has one instance, which sends "
        "nothing: for accounts that refuse jobs without it.",
    )
    training: TrainingJob = TrainingJob()
    endpoint: Endpoint = Endpoint()
    batch: Batch = Batch()
    prices: Prices = Prices()

    @model_validator(mode="after")
    def _what_aws_refuses(self) -> "SageMaker":
        problem = governed.refusal(
            serverless=self.serves and not self.endpoint.instance_type,
            trains=self.trains,
            isolated=self.network_isolation,
            in_vpc=self.vpc is not None,
            kms_key=self.kms_key,
            region=self.region,
        )
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _guarded(self) -> "SageMaker":
        """What costs by the hour needs an end that AWS keeps, or the user's word that it may lack one."""
        if self.register and not self.predicts:
            raise ValueError("has register: true and mode: train, which tests no model; use train_and_deploy")
        if self.scheduler_role_arn and self.unguarded:
            raise ValueError("has both scheduler_role_arn and unguarded: true; write one of them")
        if self.scheduler_role_arn and self.scheduler_role_arn.split(":")[4] != self.account:
            raise ValueError("has role_arn and scheduler_role_arn of two accounts; use roles of the same account")
        costly = "a transform job, which costs until it ends" * self.transforms
        if self.serves and self.endpoint.instance_type:
            costly = "an endpoint on an instance, which costs until it is deleted"
        if costly and not (self.scheduler_role_arn or self.unguarded):
            raise ValueError(
                f"has {costly}; name in scheduler_role_arn the role with which AWS ends it after max_minutes even if "
                "this machine is lost (write the ARN that it will have, and `make deploy-plan` prints its policies), "
                "or write unguarded: true"
            )
        return self

    @property
    def trains(self) -> bool:
        """Whether a training job runs."""
        return self.mode in ("train", "train_and_deploy", "train_and_batch")

    @property
    def serves(self) -> bool:
        """Whether an endpoint is created."""
        return self.mode in ("deploy", "train_and_deploy")

    @property
    def transforms(self) -> bool:
        """Whether a batch transform job runs."""
        return self.mode in ("batch", "train_and_batch")

    @property
    def predicts(self) -> bool:
        """Whether a model is created there, behind an endpoint or in a transform job."""
        return self.serves or self.transforms

    @property
    def answers_from(self) -> str:
        """What the mode's result comes from, in words."""
        return "endpoint" if self.serves else "transform job" if self.transforms else "training job"

    @property
    def account(self) -> str:
        """Number of the role's account."""
        return self.role_arn.split(":")[4]
