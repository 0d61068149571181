"""Time limits of jobs and endpoints on AWS.

Separate from prices, on which a deployment must not depend: an edit there deploys nothing.
"""

from convlab.study.sagemaker import SageMaker

QUEUE_MINUTES = 30
"""Minutes that a job may take beside its own limit: to get an instance, load the image, store the model."""

TEARDOWN_MINUTES = 15
"""Minutes that deleting an endpoint may take: it cannot be deleted while it is being created."""


def lifetime_minutes(settings: SageMaker) -> int:
    """Minutes after which all resources of a deployment should be gone; the tag `expires` has the time."""
    job, minutes = settings.training, TEARDOWN_MINUTES
    if settings.trains:
        minutes += QUEUE_MINUTES + (max(job.max_minutes, job.max_wait_minutes) if job.spot else job.max_minutes)
    if settings.serves:
        minutes += settings.endpoint.max_minutes
    if settings.transforms:
        minutes += settings.batch.max_minutes
    return minutes
