"""Deleting an unfinished registration: model package, model card, and the group if it was made for them.

A finished one is left on purpose and deleted by people, in SageMaker's registry.
"""

import hashlib
import re

from convlab.cloud import aws
from convlab.cloud.aws import ClientError, Clients
from convlab.cloud.state import NAME_PREFIX, State

REGISTRY_FOLDER = "registry"
"""Folder of the objects of registered models, below the config's prefix."""

MAX_READABLE_CHARS = 54
"""Characters of a group's name after the prefix; AWS allows 63 in all."""


def group_name(study: str, dataset: str) -> str:
    """Name of the model package group of a study's dataset, whose deployments become its versions."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{study}-{dataset}".lower()).strip("-")
    if len(readable) > MAX_READABLE_CHARS:  # a digest tells apart what begins alike
        digest = hashlib.sha256(f"{study}/{dataset}".encode()).hexdigest()[:8]
        readable = f"{readable[: MAX_READABLE_CHARS - 9].strip('-')}-{digest}"
    return f"{NAME_PREFIX}{readable}"


def packages(clients: Clients, state: State) -> list[str]:
    """ARNs of the versions that this deployment has registered, by its name in their description."""
    versions = _versions(clients, state)
    return [arn for arn, description in versions.items() if state.name in description]


def _versions(clients: Clients, state: State) -> dict[str, str]:
    """Descriptions of all versions in the group, by ARN."""
    try:
        pages = clients.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=state.registry_group, ModelPackageType="Versioned"
        )
        return {
            entry["ModelPackageArn"]: entry.get("ModelPackageDescription", "")
            for page in pages
            for entry in page["ModelPackageSummaryList"]
        }
    except ClientError as error:
        if aws.is_missing(error):
            return {}
        raise


def undo(clients: Clients, state: State, early: bool) -> str | None:
    """One attempt to delete what was registered; done when none of it is there any more.

    A group that was made for it stays if another deployment has registered in it meanwhile.

    Args:
        early: "not found" may still be wrong for a request that had no response.
    """
    sagemaker, seen = clients.sagemaker, False
    versions = _versions(clients, state)
    own = [arn for arn, description in versions.items() if state.name in description]
    for arn in own:
        sagemaker.delete_model_package(ModelPackageName=arn)
        seen = True
    deletions = [(sagemaker.delete_model_card, {"ModelCardName": state.name})]
    if state.new_registry_group and len(own) == len(versions):
        deletions += [(sagemaker.delete_model_package_group, {"ModelPackageGroupName": state.registry_group})]
    for delete, named in deletions:
        try:
            delete(**named)
            seen = True
        except ClientError as error:
            if not aws.is_missing(error):
                raise
    unsure = early and {"model_package", "model_card", "model_package_group"} & set(state.asked)
    return None if seen or unsure else "deleted, or not there"
