"""Time limits of jobs and endpoints on AWS.

Separate from prices, on which a deployment must not depend: an edit there deploys nothing.
"""

from dataclasses import dataclass

from convlab.study.sagemaker import SageMaker

QUEUE_MINUTES = 30
"""Minutes that a job may take beside its own limit: to get an instance, load the image, store the model."""

TEARDOWN_MINUTES = 15
"""Minutes that deleting an endpoint may take: it cannot be deleted while it is being created."""


@dataclass(frozen=True)
class Deletion:
    """What AWS does by itself after a time limit (``cloud/guard``): one operation of SageMaker's API on one resource.

    ``suffix`` is that of the schedule's name; ``key`` the request's key for the resource's name, the deployment's.
    """

    suffix: str
    operation: str
    key: str
    delay_minutes: int = 0


ENDPOINT_DELETIONS = (
    Deletion("endpoint", "deleteEndpoint", "EndpointName"),
    # While it is being created SageMaker refuses; whether EventBridge Scheduler then tries again is not documented.
    Deletion("endpoint-again", "deleteEndpoint", "EndpointName", TEARDOWN_MINUTES),
    # An endpoint without its configuration can hang.
    Deletion("config", "deleteEndpointConfig", "EndpointConfigName", 2 * TEARDOWN_MINUTES),
    Deletion("model", "deleteModel", "ModelName", 2 * TEARDOWN_MINUTES),
)

TRANSFORM_DELETIONS = (
    Deletion("transform", "stopTransformJob", "TransformJobName"),
    Deletion("transform-again", "stopTransformJob", "TransformJobName", TEARDOWN_MINUTES),
    Deletion("model", "deleteModel", "ModelName", 2 * TEARDOWN_MINUTES),
)
"""Of a batch transform job, for which AWS has no maximum runtime."""


def prediction_minutes(settings: SageMaker) -> int:
    """The config's limit for the endpoint or the transform job, whichever the mode has; 0 for a mode without."""
    if settings.transforms:
        return settings.batch.max_minutes
    return settings.endpoint.max_minutes if settings.serves else 0


def lifetime_minutes(settings: SageMaker) -> int:
    """Minutes after which all resources of a deployment should be gone; the tag `expires` has the time."""
    job, minutes = settings.training, TEARDOWN_MINUTES
    if settings.trains:
        minutes += QUEUE_MINUTES + (max(job.max_minutes, job.max_wait_minutes) if job.spot else job.max_minutes)
    return minutes + prediction_minutes(settings)
