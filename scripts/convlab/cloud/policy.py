"""Least-privilege IAM policies of a deployment, as JSON."""

import re
from typing import Any

from convlab.cloud import governance
from convlab.cloud.state import NAME_PREFIX
from convlab.study.sagemaker import SageMaker

KINDS = ("endpoint", "endpoint-config", "model")

LISTED = ("Endpoints", "EndpointConfigs", "Models", "TrainingJobs", "TransformJobs")
"""What teardown lists, in any mode."""

ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)"
)
"""The address of an image in AWS' registry, without tag or digest."""


def caller_policy(settings: SageMaker, region: str) -> dict[str, Any]:
    """Policy of the user who runs `make deploy` and `make teardown`."""
    partition = settings.role_arn.split(":")[1]
    base = f"arn:{partition}:sagemaker:{region}:{settings.account}"
    logs = f"arn:{partition}:logs:{region}:{settings.account}:log-group:/aws/sagemaker"
    named = {kind: f"{base}:{kind}/{NAME_PREFIX}*" for kind in (*KINDS, "training-job", "transform-job")}
    trains, serves = settings.trains, settings.serves
    writes = trains or settings.transforms  # into the bucket, which is read
    # Teardown lists all kinds of resources in any mode.
    actions = [f"sagemaker:Delete{kind}" for kind in ("Endpoint", "EndpointConfig", "Model")]
    statements = [
        statement("Delete", actions, [named[kind] for kind in KINDS]),
        *[statement("Stop", ["sagemaker:StopTrainingJob"], [named["training-job"]])] * trains,
        *[statement("StopTransform", ["sagemaker:StopTransformJob"], [named["transform-job"]])] * settings.transforms,
        statement(
            "Look",  # listings know no resources
            [f"sagemaker:List{kind}" for kind in LISTED],
            ["*"],
        ),
        statement(
            "PassRole",
            ["iam:PassRole"],
            [settings.role_arn],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        *bucket(settings, partition, *["s3:GetObject"] * writes, "s3:PutObject", "s3:DeleteObject"),
    ]
    if serves:
        actions = [f"sagemaker:Create{kind}" for kind in ("Endpoint", "EndpointConfig", "Model")]
        actions += ["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:AddTags"]
        statements.append(statement("Serve", actions, [named[kind] for kind in KINDS]))
    if trains:
        actions = ["sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:AddTags"]
        statements.append(statement("Train", actions, [named["training-job"]]))
    if settings.transforms:
        actions = ["sagemaker:CreateModel", "sagemaker:CreateTransformJob", "sagemaker:DescribeTransformJob"]
        resources = [named["model"], named["transform-job"]]
        statements.append(statement("Transform", [*actions, "sagemaker:AddTags"], resources))
    if settings.register:
        statements += registry_statements(base)
    groups = [f"{logs}/Endpoints/{NAME_PREFIX}*"] * serves + [f"{logs}/TrainingJobs:*"] * trains
    groups += [f"{logs}/TransformJobs:*"] * settings.transforms
    if serves:  # metrics know no resources
        statements.append(statement("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]))
    statements.append(statement("ReadLogs", ["logs:DescribeLogStreams", "logs:GetLogEvents"], groups))
    statements += [statement(*parts) for parts in governance.caller_permissions(settings, region)]
    statements += guard_statements(settings, region) if settings.predicts else []
    return document(with_conditions(statements, settings))


def registry_statements(base: str) -> list[dict[str, Any]]:
    """What the caller needs to register a model, and to undo that where it fails half-way."""
    group, package, card = (
        f"{base}:{kind}/{NAME_PREFIX}*" for kind in ("model-package-group", "model-package", "model-card")
    )
    group_actions = [f"sagemaker:{verb}ModelPackageGroup" for verb in ("Describe", "Create", "Delete")]
    card_actions = ["sagemaker:CreateModelCard", "sagemaker:DeleteModelCard"]
    return [
        statement("Group", group_actions, [group]),
        statement("LookAtPackages", ["sagemaker:ListModelPackages"], ["*"]),  # AWS' own policies name no resource
        statement("Package", ["sagemaker:CreateModelPackage", "sagemaker:DeleteModelPackage"], [group, package]),
        statement("Card", card_actions, [card]),
        statement("TagRegistered", ["sagemaker:AddTags"], [group, card]),
    ]


def with_conditions(statements: list[dict[str, Any]], settings: SageMaker) -> list[dict[str, Any]]:
    """The statements, with those actions apart on whose requests the config's settings put conditions."""
    conditions, parts = governance.request_conditions(settings), []
    for each in statements:
        apart = [action for action in each["Action"] if action in conditions]
        parts += [{**each, "Action": [action for action in each["Action"] if action not in apart]}]
        parts += [statement(action.split(":")[1], [action], each["Resource"], conditions[action]) for action in apart]
    return [each for each in parts if each["Action"]]


def guard_statements(settings: SageMaker, region: str) -> list[dict[str, Any]]:
    """What the caller needs in addition to keep time limits on AWS' side; empty without a role for it."""
    role = settings.scheduler_role_arn
    if role is None:
        return []
    named = f"arn:{role.split(':')[1]}:scheduler:{region}:{settings.account}:schedule/default/{NAME_PREFIX}*"
    moves = ["scheduler:UpdateSchedule"] * settings.trains
    return [
        statement("Guard", ["scheduler:CreateSchedule", *moves, "scheduler:DeleteSchedule"], [named]),
        statement("LookAtGuards", ["scheduler:ListSchedules"], ["*"]),  # which knows no resources
        statement(
            "PassGuardRole",
            ["iam:PassRole"],
            [role],
            {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


def scheduler_policy(settings: SageMaker, region: str) -> dict[str, Any]:
    """Policy of the role that EventBridge Scheduler assumes: it deletes what a deployment made, and no more."""
    base = f"arn:{settings.role_arn.split(':')[1]}:sagemaker:{region}:{settings.account}"
    if settings.transforms:
        actions, kinds = ["sagemaker:StopTransformJob", "sagemaker:DeleteModel"], ("transform-job", "model")
    else:
        actions, kinds = [f"sagemaker:Delete{kind}" for kind in ("Endpoint", "EndpointConfig", "Model")], KINDS
    return document([statement("Delete", actions, [f"{base}:{kind}/{NAME_PREFIX}*" for kind in kinds])])


def scheduler_trust(settings: SageMaker, region: str) -> dict[str, Any]:
    """Trust policy of that role: EventBridge Scheduler, for schedules of this account alone."""
    trusting = {
        "Sid": "Assume",
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": settings.account}},
    }
    return document([trusting])


def inventory_policy(settings: SageMaker, region: str) -> dict[str, Any]:
    """What `make teardown ALL=1` needs beside the caller's policy: the tags of what it lists."""
    base = f"arn:{settings.role_arn.split(':')[1]}:sagemaker:{region}:{settings.account}"
    resources = [f"{base}:{kind}/{NAME_PREFIX}*" for kind in (*KINDS, "training-job", "transform-job")]
    listings = ["scheduler:ListSchedules", "sagemaker:ListModelPackageGroups", "sagemaker:ListModelCards"]
    listings += ["logs:DescribeLogGroups"]
    wide = statement("LookAtTheRest", listings, ["*"])
    return document([statement("ReadTags", ["sagemaker:ListTags"], resources), wide])


def role_policy(settings: SageMaker, region: str) -> dict[str, Any]:
    """Policy of the role that SageMaker assumes: data, models, logs, metrics, images; only jobs write objects."""
    partition = settings.role_arn.split(":")[1]
    trains, serves = settings.trains, settings.serves
    logs = f"arn:{partition}:logs:{region}:{settings.account}:log-group:/aws/sagemaker"
    groups = [f"{logs}/Endpoints/{NAME_PREFIX}*"] * serves + [f"{logs}/TrainingJobs", f"{logs}/TrainingJobs:*"] * trains
    groups += [f"{logs}/TransformJobs", f"{logs}/TransformJobs:*"] * settings.transforms
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    images = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return document(
        [
            *bucket(settings, partition, "s3:GetObject", *["s3:PutObject"] * (trains or settings.transforms)),
            statement("WriteLogs", actions, groups),
            statement("Images", images, repositories(settings, partition, region)),
            statement(
                "WriteMetrics",  # which know no resources either
                ["cloudwatch:PutMetricData"],
                ["*"],
                {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*"]}},
            ),
            statement("ImagesToken", ["ecr:GetAuthorizationToken"], ["*"]),
            *(statement(*parts) for parts in governance.role_permissions(settings, region)),
        ]
    )


def repositories(settings: SageMaker, partition: str, region: str) -> list[str]:
    """The repositories of the images that the mode runs: the config's own, else AWS' for TensorFlow."""
    used = {"training": settings.training.image} if settings.trains else {}
    used |= {"inference": settings.endpoint.image} if settings.predicts else {}
    resources = []
    for scope, image in used.items():
        address = ECR.match(image) if image else None
        if address:
            region_of, account, name = address["region"], address["account"], address["name"]
            resources.append(f"arn:{partition}:ecr:{region_of}:{account}:repository/{name}")
        else:
            resources.append(f"arn:{partition}:ecr:{region}:*:repository/tensorflow-{scope}")
    return resources


def bucket(settings: SageMaker, partition: str, *actions: str) -> list[dict[str, Any]]:
    """The objects below the prefix, and listing them."""
    arn = f"arn:{partition}:s3:::{settings.bucket}"
    below = {"StringLike": {"s3:prefix": [f"{settings.prefix}/*"]}}
    return [
        statement("Objects", list(actions), [f"{arn}/{settings.prefix}/*"]),
        statement("ListObjects", ["s3:ListBucket"], [arn], below),
    ]


def statement(sid: str, actions: list[str], resources: list[str], condition: dict | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**made, "Condition": condition} if condition else made


def document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}
