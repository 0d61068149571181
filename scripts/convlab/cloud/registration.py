"""SageMaker's model registry (``register: true``): a model package that waits for approval, and a model card.

Registered is what was tested, after everything that costs is gone; a failure half-way is undone. What is registered
stays: the package, the card, and the objects that they name.
"""

import hashlib
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from convlab.cloud import aws, governance
from convlab.cloud import state as states
from convlab.cloud.aws import ClientError
from convlab.cloud.registry import REGISTRY_FOLDER, group_name
from convlab.cloud.sdk import Deployment
from convlab.cloud.teardown import Receipt, teardown
from convlab.errors import UserError
from convlab.serving.pack import pack
from convlab.serving.record import Evidence, Registration

MAX_TEXT_CHARS = 1000
"""Characters of a text of the card; the shortest limit of its schema is 1,024."""

CAVEATS = (
    "The accuracy is of one trained run; other seeds differ. Test images are of the same source as the training "
    "images: images of another source, size, contrast or class are not covered. The model always names one of its "
    "classes."
)

CONTENT_TYPES = ["application/json", "application/jsonlines", "text/csv"]

log = logging.getLogger("deploy")


def register_or_undo(
    deployment: Deployment, served: Path, image: str, evidence: Evidence, test_accuracy: float
) -> tuple[Registration | None, Receipt | None, BaseException | None]:
    """As ``register``, but a failure is undone: what was registered, or the undoing's receipt and the error.

    The state file, written before each request, is removed at the end unless something remains. Its state is the
    deployment's, which is taken down by now, with a prefix and a group of the registration.
    """
    prefix = f"{deployment.settings.prefix}/{REGISTRY_FOLDER}/{deployment.state.name}/"
    group = group_name(evidence.study, evidence.model.dataset)
    changes = {"prefix": prefix, "keep_objects": False, "registry_group": group, "asked": [], "schedules": {}}
    state, state_file = deployment.state.model_copy(update=changes), deployment.state_file
    deployment = replace(deployment, state=state)
    with states.lock(state_file):
        state.save(state_file)
        made = receipt = failure = None
        try:
            made = register(deployment, served, image, evidence, test_accuracy)
        except BaseException as error:
            receipt, failure = teardown(deployment.clients, state), error
        if receipt is None or not receipt.remaining:
            state_file.unlink(missing_ok=True)
    return made, receipt, failure


def register(
    deployment: Deployment, served: Path, image: str, evidence: Evidence, test_accuracy: float
) -> Registration:
    """Register the tested model as the next version of its group, PendingManualApproval, with a card as Draft.

    Args:
        deployment: its state has the registration's own prefix and group, and is written before each request.
        served: folder of the files that were served; their archive is made again, byte for byte.
        image: address of the inference image.
        test_accuracy: of the evaluated model on all test images.

    Raises:
        UserError, or an error of AWS: the caller has to undo what the state names.
    """
    clients, state = deployment.clients, deployment.state
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        pack(served, archive, "saved_model")
        content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != evidence.endpoint["model"]["sha256"]:
        raise UserError("the exported files have changed since they were tested, so they are not registered")
    objects = {"model.tar.gz": content, "metrics.json": json.dumps(model_quality(evidence)).encode()}
    for name, body in objects.items():
        with deployment.pending("object"):
            clients.s3.put_object(
                Bucket=state.bucket, Key=state.prefix + name, Body=body, **governance.upload(deployment.settings)
            )
    addresses = {name: f"s3://{state.bucket}/{state.prefix}{name}" for name in objects}
    make_group(deployment, evidence)
    tags = [{"Key": key, "Value": value} for key, value in deployment.tags.items() if key != "expires"]
    container = {
        "Image": image,
        "ModelDataUrl": addresses["model.tar.gz"],
        "Environment": {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "saved_model"},
    }
    with deployment.pending("model_package"):
        package = clients.sagemaker.create_model_package(  # tags are its group's
            ModelPackageGroupName=state.registry_group,
            ModelPackageDescription=f"{evidence.model.variant}, seed {evidence.model.seed}, tested as {state.name}",
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": CONTENT_TYPES,
                "SupportedResponseMIMETypes": CONTENT_TYPES[:2],
            },
            ModelMetrics={
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": addresses["metrics.json"]}}
            },
        )["ModelPackageArn"]
    with deployment.pending("model_card"):
        clients.sagemaker.create_model_card(
            ModelCardName=state.name,
            Content=json.dumps(card(evidence, image, addresses["model.tar.gz"], test_accuracy)),
            ModelCardStatus="Draft",
            Tags=tags,
        )
    log.info("registered %s, to be approved by people, with the model card %s", package, state.name)
    return Registration(
        group=state.registry_group, package=package, approval="PendingManualApproval", card=state.name,
        card_status="Draft", kept_objects=list(addresses.values()),
    )  # fmt: skip


def make_group(deployment: Deployment, evidence: Evidence) -> None:
    """Create the model package group unless it is there."""
    sagemaker, state = deployment.clients.sagemaker, deployment.state
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=state.registry_group)
        return
    except ClientError as error:
        if not aws.is_missing(error):
            raise
    state.new_registry_group = True
    tags = [{"Key": key, "Value": deployment.tags[key]} for key in ("project", "study")]
    with deployment.pending("model_package_group"):
        sagemaker.create_model_package_group(
            ModelPackageGroupName=state.registry_group,
            ModelPackageGroupDescription=f"convlab: {evidence.study}, {evidence.model.dataset}",
            Tags=tags,
        )


def model_quality(evidence: Evidence) -> dict[str, Any]:
    """Statistics in the form of SageMaker Model Monitor's model quality, of the images that the endpoint answered."""
    return {
        "version": 0.0,
        "dataset": {"item_count": evidence.accuracy.images},
        "multiclass_classification_metrics": {"accuracy": {"value": evidence.accuracy.value}},
    }


def card(evidence: Evidence, image: str, model_uri: str, test_accuracy: float) -> dict[str, Any]:
    """Content of the model card, by SageMaker's JSON schema of model cards, from what this study measured."""
    model, accuracy, parity = evidence.model, evidence.accuracy, evidence.parity
    measured = {
        "accuracy of the deployed model": accuracy.value,
        "accuracy, lower end of the 95 % interval": accuracy.ci_low,
        "accuracy, upper end of the 95 % interval": accuracy.ci_high,
        "test images sent": accuracy.images,
        "accuracy of the evaluated model, all test images": test_accuracy,
        "same class as the evaluated model": parity.agreement,
        "largest difference of a probability": parity.largest_difference,
    }
    if evidence.latency_ms and evidence.latency_ms.p50 is not None:
        measured["median latency, ms"] = evidence.latency_ms.p50
    return {
        "model_overview": {
            "model_description": _text(
                f"Image classifier for {model.dataset}: variant {model.variant}, seed {model.seed}, of the study "
                f"{evidence.study}. It takes raw pixels from 0 to 255 and returns class probabilities."
            ),
            "problem_type": "Multiclass classification",
            "algorithm_type": "Neural network",
            "model_artifact": [model_uri],
            "inference_environment": {"container_image": [image]},
        },
        "intended_uses": {
            "purpose_of_model": "Comparing architectures of image classifiers in a controlled experiment.",
            "intended_uses": "Classifying images like those of its dataset; anything else needs an evaluation first.",
            "factors_affecting_model_efficiency": "Images of another size, contrast or position.",
            "risk_rating": "Unknown",
            "explanations_for_risk_rating": "To be rated by people who know its use.",
        },
        "training_details": {"training_observations": _text(f"Spec hash of the run: {model.spec_hash}.")},
        "evaluation_details": [
            {
                "name": "Answers of the deployed model",
                "evaluation_observation": _text(
                    f"{accuracy.images} test images, {evidence.images['rule']}; Wilson's 95 % interval."
                ),
                "metric_groups": [
                    {
                        "name": "measured",
                        "metric_data": [
                            {"name": name, "type": "number", "value": value} for name, value in measured.items()
                        ],
                    }
                ],
            }
        ],
        "additional_information": {"caveats_and_recommendations": CAVEATS},
    }


def _text(text: str) -> str:
    return text[:MAX_TEXT_CHARS]
