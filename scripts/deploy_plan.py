"""Print what deploying to AWS SageMaker would create, which IAM policies it needs, and what it can cost at most.

Creates nothing and sends no request to AWS; no credentials are needed. --policy prints one policy as JSON alone.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import importlib.util
import json
import os
from typing import Literal

from convlab.cloud.time_limits import ENDPOINT_DELETIONS, TRANSFORM_DELETIONS, prediction_minutes
from convlab.common.cli import run
from convlab.errors import UserError
from convlab.study.load import load_study, read_yaml
from convlab.study.sagemaker import SageMaker

POLICIES = {
    "caller": "whoever deploys",
    "role": "the role that SageMaker takes, role_arn",
    "scheduler-role": "the role that EventBridge Scheduler takes, scheduler_role_arn",
    "scheduler-trust": "who may take scheduler_role_arn, its trust policy",
    "inventory": "whoever runs `make teardown ALL=1`, beside the first",
}
"""The policies by their name on the command line, and whose they are."""

REGION_UNKNOWN = "*"
"""In a policy, where neither the config nor the environment names a region."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the study's config file")
    meanings = "; ".join(f"{name}: {owner}" for name, owner in POLICIES.items())
    parser.add_argument("--policy", choices=list(POLICIES), help=f"only the policy of one, as JSON ({meanings})")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    settings = study.deploy.sagemaker
    if settings is None:
        raise UserError(
            f"{arguments.config} has no deploy.sagemaker; add it with role_arn and bucket, see docs/config.md"
        )
    from convlab.cloud import policy

    region = settings.region or os.environ.get("AWS_DEFAULT_REGION") or REGION_UNKNOWN
    policies = {
        "caller": policy.caller_policy(settings, region),
        "role": policy.role_policy(settings, region),
        "scheduler-role": policy.scheduler_policy(settings, region),
        "scheduler-trust": policy.scheduler_trust(settings, region),
        "inventory": policy.inventory_policy(settings, region),
    }
    if arguments.policy:
        print(json.dumps(policies[arguments.policy], indent=2))
        return
    for dataset in study.exported:
        print("\n".join(resources(study.study, dataset, settings, region)))
    print("\n".join(costs(settings, study.deploy.test_images, len(study.exported))))
    for name in ("caller", "role", *("scheduler-role", "scheduler-trust") * bool(settings.scheduler_role_arn)):
        owner = POLICIES[name]
        print(f"\nPolicy of {owner} (alone: --policy {name}):\n{json.dumps(policies[name], indent=2)}")


def minutes(count: int) -> str:
    return f"{count} minute{'s' * (count != 1)}"


def resources(study: str, dataset: str, settings: SageMaker, region: str) -> list[str]:
    """What would be created for one dataset, a line each."""
    from convlab.cloud import governance
    from convlab.cloud.registry import REGISTRY_FOLDER, group_name
    from convlab.cloud.state import new_name

    name = new_name(study)
    where = "the region of the environment" if region == REGION_UNKNOWN else region
    job, endpoint = settings.training, settings.endpoint
    lines = [f"{dataset}: {settings.mode} in {where}; names begin with {name[: -len('-20000101-000000-000000')]}"]
    lines += [f"  objects         below s3://{settings.bucket}/{settings.prefix}/, removed in the end"]
    if settings.keep_objects:
        lines[-1] = lines[-1].replace("removed in the end", "kept")
    if settings.trains:
        image = image_name(settings, "training", region)
        capacity = f", on spare capacity, {minutes(job.max_wait_minutes)} of waiting and running" if job.spot else ""
        lines += [f"  training job    {job.instance_type}, {minutes(job.max_minutes)} at most{capacity}; {image}"]
    if settings.predicts:
        image = image_name(settings, "inference", region)
        kind = f"{endpoint.memory_mb} MB, {endpoint.max_concurrency} calls at once, serverless"
        lines += [f"  model           {image}"]
    if settings.transforms:
        batch = settings.batch
        lines += [
            f"  transform job   {batch.instance_type}, {batch.strategy} of {batch.max_payload_mb} MB at most; stopped",
            f"                  after {minutes(batch.max_minutes)} at most by the process that deploys; where that is",
            *end_without_the_process(settings),
        ]
    if settings.serves:
        lines += [
            "  configuration   one variant with all traffic",
            f"  endpoint        {endpoint.instance_type or kind}; after {minutes(endpoint.max_minutes)} at most taken",
            "                  down by the process that deploys; where that is",
            *end_without_the_process(settings),
        ]
    lines += governance.plan(settings)
    if settings.register:
        group = group_name(study, dataset)
        lines += [f"  registration    after the test a version of {group}, PendingManualApproval, and a model card;"]
        lines += [
            f"                  both stay, with objects below s3://{settings.bucket}/{settings.prefix}/{REGISTRY_FOLDER}/"
        ]
    tags = {"project": "convlab", "study": study, "deployment": "<name>", "expires": "<time>", **settings.tags}
    return [*lines, f"  tags            {', '.join(f'{key}={value}' for key, value in tags.items())}"]


def image_name(settings: SageMaker, scope: Literal["training", "inference"], region: str) -> str:
    """The config's own image, or the name and tag that SageMaker's SDK has for the version; AWS' account left out.

    Without the SDK, or without a region, the version alone.
    """
    chosen = settings.training if scope == "training" else settings.endpoint
    if chosen.image:
        return chosen.image
    if region == REGION_UNKNOWN or importlib.util.find_spec("sagemaker") is None:
        return f"AWS' TensorFlow {chosen.image_version} {scope} image"
    from convlab.cloud import sdk

    return f"AWS' {sdk.image(settings, scope, region).split('/', 1)[1]}"


def end_without_the_process(settings: SageMaker) -> list[str]:
    """What ends an endpoint or a transform job if the deploying process is killed: lines that end a sentence."""
    if settings.scheduler_role_arn is None:
        costs = ": an instance costs until then" if settings.transforms or settings.endpoint.instance_type else ""
        return [f"                  killed, by `make teardown` alone{costs}"]
    lines = ["                  killed, by AWS:"]
    for deletion in TRANSFORM_DELETIONS if settings.transforms else ENDPOINT_DELETIONS:
        due = minutes(prediction_minutes(settings) + deletion.delay_minutes)
        lines.append(f"  schedule        <name>-{deletion.suffix}: {deletion.operation} after {due}")
    return lines


def costs(settings: SageMaker, calls: int, datasets: int) -> list[str]:
    """The estimate, a line for each item, and their sum."""
    from convlab.cloud.price import items

    currency, priced = settings.prices.currency, items(settings, calls)
    lines = [f"\nCost at most, for each of {datasets} dataset(s); storage, transfer and logs of a few MB left out:"]
    for item in priced:
        amount = f"  {item.what}: {item.amount:g} {item.unit}"
        if item.cost is None:
            lines.append(f"{amount}; no price (deploy.sagemaker.prices.{item.price_key})")
        else:
            lines.append(f"{amount} × {item.price:g} = {item.cost:.4f} {currency}")
    if any(item.cost is None for item in priced):
        return [*lines, "  no sum, since a price is missing"]
    return [*lines, f"  sum: {sum(item.cost for item in priced) * datasets:.4f} {currency}"]


if __name__ == "__main__":
    run(main)
