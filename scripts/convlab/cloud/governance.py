"""Network isolation, VPC and KMS key of a deployment: the parts that they add to requests and to IAM policies.

Each function returns nothing to add where the config asks for nothing.
"""

from collections.abc import Mapping
from typing import Any

from convlab.study.governed import ALIAS, KEY_ARN, has_instance_store
from convlab.study.sagemaker import SageMaker

Permission = tuple[str, list[str], list[str], dict[str, Any]]
"""Sid, actions, resources and condition of a policy's statement."""

GRANTS_OF_SERVICES = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
"""Grants are for disks that an AWS service makes, and for nobody else."""

NETWORK_INTERFACES = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
    *("ec2:DeleteNetworkInterfacePermission", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"),
)
"""What AWS documents that SageMaker's role needs for jobs and models in a VPC; most know no resources."""

# ---------------------------------------------------------------------------------------------------------------------
# Requests


def upload(settings: SageMaker) -> dict[str, Any]:
    """For PutObject: encryption of the object by the key."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key} if settings.kms_key else {}


def model(settings: SageMaker) -> dict[str, Any]:
    """For CreateModel, also of batch transform: isolation and VPC of its containers."""
    return ({"EnableNetworkIsolation": True} if settings.network_isolation else {}) | (
        {"VpcConfig": vpc(settings)} if settings.vpc else {}
    )


def endpoint_config(settings: SageMaker) -> dict[str, Any]:
    """For CreateEndpointConfig: the key of the instance's disk, or of what a serverless endpoint keeps of the image."""
    return {"KmsKeyId": settings.kms_key} if settings.kms_key else {}


def transform_output(settings: SageMaker) -> dict[str, Any]:
    """For the TransformOutput of CreateTransformJob: the key of the objects that it writes."""
    return {"KmsKeyId": settings.kms_key} if settings.kms_key else {}


def disk(settings: SageMaker, instance_type: str) -> dict[str, Any]:
    """For the TransformResources or ResourceConfig of a job: the key of the disk, which is not one of the instance's
    own."""
    return {"VolumeKmsKeyId": settings.kms_key} if encrypts_disk(settings, instance_type) else {}


def encrypts_disk(settings: SageMaker, instance_type: str) -> bool:
    """Whether the key encrypts the disk of a job on such an instance; AWS refuses it for an instance's own disks."""
    return settings.kms_key is not None and not has_instance_store(instance_type)


def facts(settings: SageMaker) -> dict[str, Any]:
    """What was asked for, for the evidence."""
    asked = settings.model_dump(
        mode="json", include={"network_isolation", "vpc", "kms_key", "encrypt_traffic"}, exclude_defaults=True
    )
    return {"controls": asked} if asked else {}


def plan(settings: SageMaker) -> list[str]:
    """What of it a deployment asks for, a line each as `make deploy-plan` prints them; else who might want it."""
    lines = []
    if settings.network_isolation:
        packed = "; what the training installs is packed along" * settings.trains
        lines.append(f"  isolation       containers reach no network{packed}")
    if settings.vpc:
        inside = ", ".join((*settings.vpc.subnets, *settings.vpc.security_groups))
        lines.append(f"  network         of the VPC: {inside}")
    if settings.kms_key:
        own = [name for name, instance in instances(settings) if has_instance_store(instance)]
        lines.append(f"  encryption      objects and disks, by {settings.kms_key}")
        lines += [
            f"                  not the disks of the {name}'s instance, which its hardware encrypts" for name in own
        ]
    if settings.encrypt_traffic and settings.trains:
        lines.append("  traffic         encrypted between instances, of which a run has one")
    if not lines:
        lines = [
            "  controls        none; accounts with rules may ask for network_isolation, vpc or kms_key, and AWS Config",
            "                  reports a model without network_isolation",
        ]
    return lines


def instances(settings: SageMaker) -> list[tuple[str, str]]:
    """What runs on which type of instance."""
    return [
        *[("training job", settings.training.instance_type)] * settings.trains,
        *[("transform job", settings.batch.instance_type)] * settings.transforms,
        *[("endpoint", settings.endpoint.instance_type or "")] * settings.serves,
    ]


def vpc(settings: SageMaker) -> dict[str, list[str]]:
    return {"Subnets": list(settings.vpc.subnets), "SecurityGroupIds": list(settings.vpc.security_groups)}


# ---------------------------------------------------------------------------------------------------------------------
# Policies


def key_resource(settings: SageMaker, region: str) -> tuple[str, dict[str, Any]]:
    """The key's ARN for a policy, and a condition: an alias is no resource, so any key that has it is meant."""
    partition, key = settings.role_arn.split(":")[1], settings.kms_key
    arn = KEY_ARN.fullmatch(key)
    account = arn[3] if arn else settings.account
    alias = arn[4] if arn else key
    if ALIAS.fullmatch(alias):
        any_key = f"arn:{partition}:kms:{region}:{account}:key/*"
        return any_key, {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
    return (key if arn else f"arn:{partition}:kms:{region}:{account}:key/{key}"), {}


def caller_permissions(settings: SageMaker, region: str) -> list[Permission]:
    """What whoever deploys may do with the key: encrypt and read objects through S3, and have disks encrypted."""
    if not settings.kms_key:
        return []
    arn, if_alias = key_resource(settings, region)
    through_s3 = {"StringLike": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}
    # What a job wrote is read, and what is uploaded in several pieces is decrypted to be joined.
    used = ["kms:GenerateDataKey", *["kms:Decrypt"] * (settings.trains or settings.transforms)]
    return [
        ("KeyOfObjects", used, [arn], merged(through_s3, if_alias)),
        ("KeyOfDisks", ["kms:CreateGrant"], [arn], merged(GRANTS_OF_SERVICES, if_alias)),
        ("Key", ["kms:DescribeKey"], [arn], if_alias),
    ]


def role_permissions(settings: SageMaker, region: str) -> list[Permission]:
    """What SageMaker's role may do in the VPC and with the key, as AWS documents its needs."""
    permissions: list[Permission] = [("Network", list(NETWORK_INTERFACES), ["*"], {})] if settings.vpc else []
    if settings.kms_key:
        arn, if_alias = key_resource(settings, region)
        writes = ["kms:Encrypt", "kms:GenerateDataKey"] if settings.trains or settings.transforms else []
        permissions.append(("Key", ["kms:Decrypt", "kms:DescribeKey", *writes], [arn], if_alias))
        permissions.append(("KeyOfDisks", ["kms:CreateGrant"], [arn], merged(GRANTS_OF_SERVICES, if_alias)))
    return permissions


def request_conditions(settings: SageMaker) -> Mapping[str, dict[str, Any]]:
    """Conditions of the creating calls, by action: with them the policy allows no request without these settings.

    A condition on keys compares ARNs, so there is none for a key that the config names in another way.
    """
    isolated = {"Bool": {"sagemaker:NetworkIsolation": "true"}} if settings.network_isolation else {}
    inside: dict[str, Any] = {}
    if settings.vpc:
        ids = {
            "sagemaker:VpcSubnets": list(settings.vpc.subnets),
            "sagemaker:VpcSecurityGroupIds": list(settings.vpc.security_groups),
        }
        # ForAllValues is also true of a request that names none.
        inside = {"ForAllValues:StringEquals": ids, "Null": dict.fromkeys(ids, "false")}
    arn = KEY_ARN.fullmatch(settings.kms_key or "")
    key = settings.kms_key if arn and arn[4].startswith("key/") else None
    output = {"sagemaker:OutputKmsKey": key} if key else {}
    volume = {"sagemaker:VolumeKmsKey": key} if key else {}
    job_keys = output | (volume if key and encrypts_disk(settings, settings.training.instance_type) else {})
    batch_keys = output | (volume if key and encrypts_disk(settings, settings.batch.instance_type) else {})
    by_action = {
        "sagemaker:CreateTrainingJob": merged(
            isolated,
            inside,
            {"ArnEquals": job_keys} if job_keys else {},
            {"Bool": {"sagemaker:InterContainerTrafficEncryption": "true"}} if settings.encrypt_traffic else {},
        ),
        "sagemaker:CreateModel": merged(isolated, inside),
        "sagemaker:CreateEndpointConfig": {"ArnEquals": volume} if volume else {},
        "sagemaker:CreateTransformJob": {"ArnEquals": batch_keys} if batch_keys else {},
    }
    return {action: condition for action, condition in by_action.items() if condition}


def merged(*conditions: dict[str, Any]) -> dict[str, Any]:
    """One condition that holds where all of them do."""
    together: dict[str, Any] = {}
    for condition in conditions:
        for operator, keys in condition.items():
            together[operator] = together.get(operator, {}) | keys
    return together
