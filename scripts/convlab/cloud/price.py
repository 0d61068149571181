"""Upper bound of a deployment's cost, from prices in the config: AWS' own change and differ by region.

With deploy.sagemaker.scheduler_role_arn AWS keeps an endpoint's time limit too, whatever becomes of the deploying
process; without, the amount holds as long as that process lives.
"""

from dataclasses import dataclass

from convlab.cloud.time_limits import TEARDOWN_MINUTES
from convlab.study.sagemaker import SageMaker


@dataclass(frozen=True)
class Item:
    """One item of the bill: its largest amount, unit, price and cost; None without a price."""

    what: str
    amount: float
    unit: str
    price_key: str
    price: float | None

    @property
    def cost(self) -> float | None:
        return None if self.price is None else self.amount * self.price


def items(settings: SageMaker, calls: int) -> list[Item]:
    """What one deployment pays for, at its limits of time; storage and transfer of a few MB are not counted.

    Args:
        calls: test images that are sent to the endpoint, one per call.
    """
    prices, job, endpoint = settings.prices, settings.training, settings.endpoint
    bound = "which AWS keeps too" if settings.scheduler_role_arn else "as long as the deploying process lives"
    items = []
    if settings.trains:
        kind = f"training job on {job.instance_type}" + (" (spot: less)" if job.spot else "")
        items.append(Item(kind, job.max_minutes / 60, "hours at most", "training_hour", prices.training_hour))
    if settings.serves and endpoint.instance_type:
        hours = (endpoint.max_minutes + TEARDOWN_MINUTES) / 60
        kind = f"endpoint on {endpoint.instance_type}"
        unit = f"hours ({TEARDOWN_MINUTES} minutes of it to take it down), {bound}"
        items.append(Item(kind, hours, unit, "endpoint_hour", prices.endpoint_hour))
    elif settings.serves:
        calls += endpoint.cold_starts - 1
        kind = f"serverless endpoint with {endpoint.memory_mb} MB, {calls} calls"
        seconds = calls * prices.seconds_per_call
        items.append(Item(kind, seconds, "seconds, assumed", "serverless_second", prices.serverless_second))
    if settings.transforms:
        hours = (settings.batch.max_minutes + TEARDOWN_MINUTES) / 60
        kind = f"transform job on {settings.batch.instance_type}"
        unit = f"hours ({TEARDOWN_MINUTES} minutes of it to stop it), {bound}"
        items.append(Item(kind, hours, unit, "batch_hour", prices.batch_hour))
    return items
