"""What AWS refuses of network isolation, a VPC and KMS keys, known before anything is asked of AWS."""

import re

KEY_ARN = re.compile(r"arn:(aws[a-z-]*):kms:([a-z0-9-]+):(\d{12}|\*{12}):(key/[\w*-]+|alias/[\w*/-]+)")
"""Partition, region, account and resource of a key's or an alias' ARN; stars stand for a hidden account number."""

KEY_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-([0-9a-f]{12}|\*{12})|mrk-[0-9a-f]{32}")
"""The id of a key; twelve digits at its end are hidden as an account number is."""

ALIAS = re.compile(r"alias/[\w*/-]+")

INSTANCE_STORE = re.compile(r"ml\.([a-z]+\d+[a-z-]*d[a-z-]*|p5[a-z]*|p6[a-z0-9-]*|g5|g6e?|gr6|trn\d[a-z]*|i\d[a-z]*)\.")
"""Instance types with disks of their own (instance store): a d after the generation, as in m5d, g4dn and p4de, or one
of these families."""


def refusal(  # six: all that matters of the section, whose module imports this one
    *, serverless: bool, trains: bool, isolated: bool, in_vpc: bool, kms_key: str | None, region: str | None
) -> str | None:
    """Why AWS would refuse these settings, and what to write instead; None if nothing is known against them.

    Args:
        serverless: whether a serverless endpoint is created; ``trains``: whether a training job is.
    """
    for key, wanted in (("network_isolation: true", isolated), ("vpc", in_vpc)):
        if wanted and serverless:
            return (
                f"has {key}, which AWS' serverless endpoints do not have; name endpoint.instance_type, such as "
                "ml.m5.large, or leave it out"
            )
    if trains and kms_key and "alias/" in kms_key:
        return "has an alias as kms_key, which the disk of a training job does not take; write the key's id or ARN"
    arn = KEY_ARN.fullmatch(kms_key or "")
    if arn and region and arn[2] != region:
        return f"has a kms_key of region {arn[2]}, and AWS takes keys of one region only; use one of {region}"
    return None


def has_instance_store(instance_type: str) -> bool:
    """Whether the type has disks of its own: AWS encrypts them by their hardware and refuses a key for them."""
    return INSTANCE_STORE.match(instance_type) is not None
