"""What IAM asks of the requests that the double saw, and whether a policy allows it.

Actions, resources and condition keys are those of AWS' Service Authorization Reference; names of keys are from there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, unquote

from aws_double import ACCOUNT, REGION, Request

SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"

RESOURCES = {
    "Endpoint": ("endpoint", "EndpointName"), "EndpointConfig": ("endpoint-config", "EndpointConfigName"),
    "Model": ("model", "ModelName"), "TrainingJob": ("training-job", "TrainingJobName"),
    "TransformJob": ("transform-job", "TransformJobName"),
    "ModelPackageGroup": ("model-package-group", "ModelPackageGroupName"),
    "ModelPackages": ("model-package-group", "ModelPackageGroupName"),
    "ModelPackage": ("model-package-group", "ModelPackageGroupName"), "ModelCard": ("model-card", "ModelCardName"),
}  # fmt: skip
"""Resource type and parameter with the name, by what an operation's name ends with."""

SERVICES = {"GraniteServiceVersion20100801": "cloudwatch"}
"""IAM's names of services whose actions know no resources, by what their requests are addressed to."""

FREE = {"GetCallerIdentity"}
"""Operations that need no permission."""

SDKS_OWN = {"SimulatePrincipalPolicy"}
"""What SageMaker's SDK asks and goes on without."""


@dataclass(frozen=True)
class Need:
    """One permission that a request needs: the action, the resource and the values of condition keys."""

    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)


def needs(requests: Iterable[Request], key: str | None = None) -> Iterator[Need]:
    """The permissions that the requests need on AWS; ``key``, if any, has encrypted the objects that are read."""
    for request in requests:
        target = request.environ.get("HTTP_X_AMZ_TARGET", "")
        if request.operation in FREE | SDKS_OWN:
            continue
        if request.path.startswith("/schedules"):
            yield from _scheduler(request)
        elif target.startswith("SageMaker.") or request.path.endswith("/invocations"):
            yield from _sagemaker(request)
        elif target.startswith("Logs_"):
            yield from _logs(request)
        elif target:
            yield Need(f"{SERVICES[target.split('.')[0]]}:{request.operation}", "*")
        else:
            yield from _s3(request, key)


def _s3(request: Request, key: str | None) -> Iterator[Need]:
    bucket, _, name = unquote(request.path).lstrip("/").partition("/")
    through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    objects = f"arn:aws:s3:::{bucket}/"
    if request.operation == "ListObjectsV2":
        prefix = parse_qs(request.environ["QUERY_STRING"])["prefix"][0]
        yield Need("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix})
    elif request.operation == "DeleteObjects":
        for deleted in re.findall(r"<Key>([^<]+)</Key>", request.body.decode()):
            yield Need("s3:DeleteObject", objects + deleted)
    elif request.operation in ("GetObject", "HeadObject"):
        yield Need("s3:GetObject", objects + name)
        if key:
            yield Need("kms:Decrypt", key, through)
    else:
        yield Need("s3:PutObject", objects + name)
        if used := request.environ.get("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"):
            yield Need("kms:GenerateDataKey", used, through)


def _scheduler(request: Request) -> Iterator[Need]:
    action = f"scheduler:{request.operation}"
    if request.operation == "ListSchedules":
        yield Need(action, "*")
        return
    yield Need(action, f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{request.path.split('/')[2]}")
    if request.operation in ("CreateSchedule", "UpdateSchedule"):
        role = request.sent["Target"]["RoleArn"]
        yield Need("iam:PassRole", role, {"iam:PassedToService": "scheduler.amazonaws.com"})


def _logs(request: Request) -> Iterator[Need]:
    sent = request.sent
    stream = sent.get("logStreamName", "")
    resource = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{sent['logGroupName']}:log-stream:{stream}"
    yield Need(f"logs:{request.operation}", resource)


def _sagemaker(request: Request) -> Iterator[Need]:
    action = f"sagemaker:{request.operation}"
    if request.operation == "InvokeEndpoint":
        yield Need(action, f"{SAGEMAKER}:endpoint/{request.path.split('/')[2]}")
        return
    sent, ending = request.sent, re.sub("^(Create|Describe|Delete|Stop|List)", "", request.operation)
    if ending not in RESOURCES:
        yield Need(action, "*")
        return
    if request.operation == "DeleteModelPackage":  # whose name is given as its ARN
        yield Need(action, sent["ModelPackageName"])
        return
    kind, key = RESOURCES[ending]
    resource, context = f"{SAGEMAKER}:{kind}/{sent[key]}", {}
    if request.operation.startswith("Create"):
        context = condition_keys(sent)
        yield Need("sagemaker:AddTags", resource)
        if "RoleArn" in sent or "ExecutionRoleArn" in sent:
            role = sent.get("RoleArn") or sent["ExecutionRoleArn"]
            yield Need("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})
        for used in sorted({context[name] for name in ("sagemaker:VolumeKmsKey",) if name in context}):
            yield Need("kms:CreateGrant", used, {"kms:GrantIsForAWSResource": "true"})
            yield Need("kms:DescribeKey", used)
    yield Need(action, resource, context)
    if request.operation == "CreateEndpoint":  # needs both
        yield Need(action, f"{SAGEMAKER}:endpoint-config/{sent['EndpointConfigName']}")


def condition_keys(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Values of SageMaker's condition keys for a creating request; of what it does not name there is none."""
    vpc = sent.get("VpcConfig") or {}
    volume = (
        sent.get("KmsKeyId")
        or sent.get("ResourceConfig", {}).get("VolumeKmsKeyId")
        or sent.get("TransformResources", {}).get("VolumeKmsKeyId")
    )
    output = sent.get("OutputDataConfig", {}).get("KmsKeyId") or sent.get("TransformOutput", {}).get("KmsKeyId")
    values = {
        "sagemaker:NetworkIsolation": {True: "true"}.get(sent.get("EnableNetworkIsolation")),
        "sagemaker:InterContainerTrafficEncryption": {True: "true"}.get(
            sent.get("EnableInterContainerTrafficEncryption")
        ),
        "sagemaker:VpcSubnets": vpc.get("Subnets"),
        "sagemaker:VpcSecurityGroupIds": vpc.get("SecurityGroupIds"),
        "sagemaker:VolumeKmsKey": volume,
        "sagemaker:OutputKmsKey": output,
    }
    return {name: value for name, value in values.items() if value}


# ---------------------------------------------------------------------------------------------------------------------
# Policies


def grants(statement: Mapping[str, Any], need: Need) -> bool:
    """Whether a statement allows what is needed."""
    return (
        need.action in statement["Action"]
        and any(fnmatchcase(need.resource, pattern) for pattern in statement["Resource"])
        and all(holds(*condition, need.context) for condition in statement.get("Condition", {}).items())
    )


def holds(operator: str, expected: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    """Whether one operator of a condition holds: for all of its keys, each with any of its values, as in IAM."""

    def listed(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    for key, wanted in expected.items():
        given = listed(context[key]) if key in context else []
        if operator == "Null":
            met = (not given) == (wanted == "true")
        elif operator == "ForAllValues:StringEquals":
            met = set(given) <= set(listed(wanted))
        elif operator in ("StringLike", "ArnLike"):
            met = any(fnmatchcase(value, pattern) for value in given for pattern in listed(wanted))
        elif operator in ("StringEquals", "ArnEquals", "Bool", "ForAnyValue:StringEquals"):
            met = any(value in listed(wanted) for value in given)
        else:
            raise AssertionError(f"{operator} is not known here")
        if not met:
            return False
    return True


def refused(policy: Mapping[str, Any], wanted: Iterable[Need]) -> list[Need]:
    """The permissions that the policy does not give."""
    return [need for need in wanted if not any(grants(statement, need) for statement in policy["Statement"])]


def unused(policy: Mapping[str, Any], wanted: Iterable[Need]) -> set[tuple[str, str]]:
    """Sid and action of what the policy allows and nothing needed."""
    wanted = list(wanted)
    return {
        (statement["Sid"], action)
        for statement in policy["Statement"]
        for action in statement["Action"]
        if not any(need.action == action and grants(statement, need) for need in wanted)
    }
