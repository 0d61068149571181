"""SageMaker's Python SDK: names of images, and packing a script for a training job.

It takes seconds to import, so it is imported where it is used. Endpoints and all that is deleted go through boto3: the
SDK's calls raise after they have created something, and its deletions leave parts behind.
"""

import importlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from convlab.cloud import governance
from convlab.cloud.aws import Clients
from convlab.cloud.state import Kind, State
from convlab.common.redaction import masked
from convlab.common.shutdown import deferred_signals
from convlab.errors import UserError
from convlab.study.sagemaker import SageMaker

NO_TELEMETRY = Path(__file__).with_name("no_telemetry.yaml")
"""Replaces the user's settings of the SDK, whose default reports its use to AWS."""

SERVERLESS_IMAGE = "ml.m5.large"
"""Instance type whose image a serverless endpoint runs: CPU only."""


def image(settings: SageMaker, scope: Literal["training", "inference"], region: str) -> str:
    """Address of the image: the config's own, or that of TensorFlow's version; from the SDK's table, without AWS.

    Raises UserError, which lists the nearest versions, if there is none for the region and the type of instance.
    """
    chosen = settings.training if scope == "training" else settings.endpoint
    if chosen.image:
        return chosen.image
    image_uris = _sdk("sagemaker.core.image_uris")
    key = f"deploy.sagemaker.{'training' if scope == 'training' else 'endpoint'}"
    version, sdk = chosen.image_version, f"SageMaker's SDK {package_version('sagemaker')}"
    versions = image_uris.list_versions("tensorflow", scope)
    if version not in versions:
        raise UserError(
            f"{key}.image_version {version!r} is no TensorFlow {scope} image that {sdk} knows; the nearest are "
            f"{', '.join(nearest_versions(version, versions))}; write one of them, or name an image in {key}.image"
        )
    try:
        return image_uris.retrieve(
            "tensorflow",
            region=region,
            version=version,
            image_scope=scope,
            instance_type=_instance(settings, scope),
        )
    except (ValueError, KeyError) as error:
        reason = masked(" ".join(str(error).split())).split(". ")[0][:160]
        raise UserError(
            f"{sdk} knows no TensorFlow {version} {scope} image for {_instance(settings, scope)} "
            f"in {region} ({reason}); choose another in deploy.sagemaker, or name an image in {key}.image"
        ) from None


def nearest_versions(wanted: str, versions: Sequence[str], count: int = 3) -> list[str]:
    """The versions nearest to ``wanted``, in order: those of two numbers, the newest where it is no version at all."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:2]]

    short = sorted({version for version in versions if version.count(".") == 1}, key=numbers)
    target = numbers(wanted)
    if len(target) < 2:
        return short[-count:]

    def distance(version: str) -> int:
        major, minor = numbers(version)
        return abs(1000 * (major - target[0]) + minor - target[1])  # a major version is further than any minor one

    return sorted(sorted(short, key=distance)[:count], key=numbers)


def _instance(settings: SageMaker, scope: Literal["training", "inference"]) -> str:
    """Type of the instance that runs the image."""
    if scope == "training":
        return settings.training.instance_type
    return (settings.batch if settings.transforms else settings.endpoint).instance_type or SERVERLESS_IMAGE


@dataclass(frozen=True)
class Deployment:
    """What each step of a deployment uses: clients, the state and its file, the config's section, tags of resources."""

    clients: Clients
    state: State
    state_file: Path
    settings: SageMaker
    tags: Mapping[str, str]

    def pending(self, kind: Kind) -> AbstractContextManager[None]:
        """As :meth:`State.pending`."""
        return self.state.pending(kind, self.state_file)


def check_trainer() -> None:
    """Raise UserError if the SDK is not installed, which packs what a training job runs."""
    _sdk("sagemaker.train")


def start_training(
    deployment: Deployment, source: Path, entry: str, hyperparameters: Mapping[str, Any], data_uri: str
) -> None:
    """Pack and upload ``source``, and create a training job that runs ``entry``; returns when AWS has accepted it."""
    clients, state, settings = deployment.clients, deployment.state, deployment.settings
    ModelTrainer = _sdk("sagemaker.train").ModelTrainer
    configs = _sdk("sagemaker.train.configs")
    Session = _sdk("sagemaker.core.helper.session_helper").Session
    job = settings.training
    seconds, waiting, key = job.max_minutes * 60, job.max_wait_minutes * 60, settings.kms_key

    class OurSession(Session):
        """The SDK's version lists all buckets of the account, and creates the bucket if it cannot see it."""

        def default_bucket(self) -> str:
            return state.bucket

    session = OurSession(
        boto_session=clients.session,
        sagemaker_client=clients.sagemaker,
        default_bucket_prefix=settings.prefix,  # to which the SDK adds base_job_name
    )
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=settings.role_arn,
        base_job_name=state.name,
        training_image=image(settings, "training", clients.region),
        source_code=configs.SourceCode(source_dir=str(source), entry_script=entry, requirements="requirements.txt"),
        compute=configs.Compute(
            instance_type=job.instance_type,
            instance_count=1,
            volume_size_in_gb=job.volume_gb,
            enable_managed_spot_training=job.spot,
            **({"volume_kms_key_id": key} if governance.encrypts_disk(settings, job.instance_type) else {}),
        ),
        **_networking(settings, configs),
        stopping_condition=configs.StoppingCondition(
            max_runtime_in_seconds=seconds,
            **({"max_wait_time_in_seconds": max(waiting, seconds)} if job.spot else {}),
        ),
        # The SDK encrypts what it uploads by the key of the output.
        output_data_config=configs.OutputDataConfig(
            s3_output_path=f"s3://{state.bucket}/{state.prefix}jobs", **({"kms_key_id": key} if key else {})
        ),
        hyperparameters=dict(hyperparameters),
        tags=[configs.Tag(key=key, value=value) for key, value in deployment.tags.items()],
    )
    # The SDK swallows exceptions of signal handlers, Ctrl-C too; so we wait for the job ourselves.
    with deferred_signals():
        trainer.train([configs.InputData(channel_name="training", data_source=data_uri)], wait=False, logs=False)


def _networking(settings: SageMaker, configs: ModuleType) -> dict[str, Any]:
    """The SDK's argument for isolation, VPC and encrypted traffic; empty where the config asks for none of them."""
    chosen: dict[str, Any] = {"enable_network_isolation": True} if settings.network_isolation else {}
    if settings.encrypt_traffic:
        chosen["enable_inter_container_traffic_encryption"] = True
    if settings.vpc:
        chosen |= {"subnets": list(settings.vpc.subnets), "security_group_ids": list(settings.vpc.security_groups)}
    return {"networking": configs.Networking(**chosen)} if chosen else {}


def _sdk(name: str) -> ModuleType:
    """A module of the SDK, which reads its settings when it is imported."""
    os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(NO_TELEMETRY)
    # Else a caller who may simulate policies is refused every role with least permissions: the SDK asks for network
    # interfaces without a VPC, and for metrics without the condition that ours has.
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise UserError(
            "SageMaker's SDK is not installed, which training needs, and an endpoint whose image deploy.sagemaker does "
            "not name; `make deploy` installs it, or run: pip install --require-hashes -r requirements/sagemaker.txt"
        ) from None
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    return module
