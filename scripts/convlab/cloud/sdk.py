"""SageMaker's Python SDK: names of images, and packing a script for a training job.

It takes seconds to import, so it is imported where it is used. Endpoints and all that is deleted go through boto3: the
SDK's calls raise after they have created something, and its deletions leave parts behind.
"""

import importlib
import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from convlab.cloud.aws import Clients
from convlab.cloud.state import Kind, State
from convlab.common.shutdown import deferred_signals
from convlab.errors import UserError
from convlab.study.sagemaker import SageMaker

NO_TELEMETRY = Path(__file__).with_name("no_telemetry.yaml")
"""Replaces the user's settings of the SDK, whose default reports its use to AWS."""

SERVERLESS_IMAGE = "ml.m5.large"
"""Instance type whose image a serverless endpoint runs: CPU only."""


def image(settings: SageMaker, scope: Literal["training", "inference"], region: str) -> str:
    """Address of the image: the config's own, or that of TensorFlow's version; without asking AWS."""
    chosen = settings.training if scope == "training" else settings.endpoint
    if chosen.image:
        return chosen.image
    image_uris = _sdk("sagemaker.core.image_uris")
    try:
        return image_uris.retrieve(
            "tensorflow",
            region=region,
            version=chosen.image_version,
            image_scope=scope,
            instance_type=_instance(settings, scope),
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"deploy.sagemaker.{'training' if scope == 'training' else 'endpoint'}.image_version "
            f"{chosen.image_version!r}: {' '.join(str(error).split())[:300]}"
        ) from None


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


def start_training(
    deployment: Deployment, source: Path, entry: str, hyperparameters: Mapping[str, Any], data_uri: str
) -> None:
    """Pack and upload ``source``, and create a training job that runs ``entry``; returns when AWS has accepted it."""
    clients, state, settings = deployment.clients, deployment.state, deployment.settings
    ModelTrainer = _sdk("sagemaker.train").ModelTrainer
    configs = _sdk("sagemaker.train.configs")
    Session = _sdk("sagemaker.core.helper.session_helper").Session
    job = settings.training
    seconds, waiting = job.max_minutes * 60, job.max_wait_minutes * 60

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
        ),
        stopping_condition=configs.StoppingCondition(
            max_runtime_in_seconds=seconds,
            **({"max_wait_time_in_seconds": max(waiting, seconds)} if job.spot else {}),
        ),
        output_data_config=configs.OutputDataConfig(s3_output_path=f"s3://{state.bucket}/{state.prefix}jobs"),
        hyperparameters=dict(hyperparameters),
        tags=[configs.Tag(key=key, value=value) for key, value in deployment.tags.items()],
    )
    # The SDK swallows exceptions of signal handlers, Ctrl-C too; so we wait for the job ourselves.
    with deferred_signals():
        trainer.train([configs.InputData(channel_name="training", data_source=data_uri)], wait=False, logs=False)


def _sdk(name: str) -> ModuleType:
    """A module of the SDK, which reads its settings when it is imported."""
    os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(NO_TELEMETRY)
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise UserError(
            "SageMaker's SDK is not installed, and deploy.sagemaker names no image of its own; `make deploy` installs "
            "it, or run: pip install --require-hashes -r requirements/sagemaker.txt"
        ) from None
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    return module
