"""How long jobs and endpoints on AWS may take to come and to go.

Apart from prices and their words, on which a deployment must not depend: an edit there deploys nothing.
"""

from convlab.study.sagemaker import SageMaker

QUEUE_MINUTES = 30
"""Time that a job may take beside its own limit: to get an instance, to load the image, to store the model."""

TEARDOWN_MINUTES = 15
"""Time that an endpoint may take to go: one that is being created cannot be deleted before it is there."""


def lifetime_minutes(settings: SageMaker) -> int:
    """Minutes after which nothing of a deployment should be there any more: what the tag `expires` is made of."""
    job, minutes = settings.training, TEARDOWN_MINUTES
    if settings.mode != "deploy":
        minutes += QUEUE_MINUTES + (max(job.max_minutes, job.max_wait_minutes) if job.spot else job.max_minutes)
    if settings.mode != "train":
        minutes += settings.endpoint.max_minutes
    return minutes
