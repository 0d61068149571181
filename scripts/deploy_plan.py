"""Print what deploying to AWS SageMaker would create, which IAM policies it needs, and what it can cost at most.

Creates nothing and sends no request to AWS; no credentials are needed. --policy prints one policy as JSON alone.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import os

from convlab.common.cli import run
from convlab.errors import UserError
from convlab.study.load import load_study, read_yaml
from convlab.study.sagemaker import SageMaker

REGION_UNKNOWN = "*"
"""In a policy, where neither the config nor the environment names a region."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument(
        "--policy", choices=["caller", "role"], help="only the policy of whoever deploys, or of the role"
    )
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    settings = study.deploy.sagemaker
    if settings is None:
        raise UserError(
            f"{arguments.config} has no deploy.sagemaker; add it with role_arn and bucket, see docs/config.md"
        )
    from convlab.cloud.policy import caller_policy, role_policy

    region = settings.region or os.environ.get("AWS_DEFAULT_REGION") or REGION_UNKNOWN
    policies = {"caller": caller_policy(settings, region), "role": role_policy(settings, region)}
    if arguments.policy:
        print(json.dumps(policies[arguments.policy], indent=2))
        return
    for dataset in study.exported:
        print("\n".join(resources(study.study, dataset, settings, region)))
    print("\n".join(costs(settings, study.deploy.test_images, len(study.exported))))
    for title, name in (("Policy of whoever deploys", "caller"), ("Policy of the role", "role")):
        print(f"\n{title} (alone: --policy {name}):\n{json.dumps(policies[name], indent=2)}")


def minutes(count: int) -> str:
    return f"{count} minute{'s' * (count != 1)}"


def resources(study: str, dataset: str, settings: SageMaker, region: str) -> list[str]:
    """What would be created for one dataset, a line each."""
    from convlab.cloud.state import new_name

    name = new_name(study)
    where = "the region of the environment" if region == REGION_UNKNOWN else region
    job, endpoint = settings.training, settings.endpoint
    lines = [f"{dataset}: {settings.mode} in {where}; names begin with {name[: -len('-20000101-000000-000000')]}"]
    lines += [f"  objects         below s3://{settings.bucket}/{settings.prefix}/, removed in the end"]
    if settings.keep_objects:
        lines[-1] = lines[-1].replace("removed in the end", "kept")
    if settings.trains:
        image = job.image or f"AWS' TensorFlow {job.image_version} training image"
        capacity = f", on spare capacity, {minutes(job.max_wait_minutes)} of waiting and running" if job.spot else ""
        lines += [f"  training job    {job.instance_type}, {minutes(job.max_minutes)} at most{capacity}; {image}"]
    if settings.predicts:
        image = endpoint.image or f"AWS' TensorFlow {endpoint.image_version} inference image"
        kind = f"{endpoint.memory_mb} MB, {endpoint.max_concurrency} calls at once, serverless"
        lines += [f"  model           {image}"]
    if settings.transforms:
        batch = settings.batch
        lines += [
            f"  transform job   {batch.instance_type}, {batch.strategy} of {batch.max_payload_mb} MB at most; stopped",
            f"                  after {minutes(batch.max_minutes)} at most by the process that deploys; where that is",
            "                  killed, by `make teardown` alone: an instance costs until then",
        ]
    if settings.serves:
        lines += [
            "  configuration   one variant with all traffic",
            f"  endpoint        {endpoint.instance_type or kind}; after {minutes(endpoint.max_minutes)} at most taken",
            "                  down by the process that deploys; where that is killed, by `make teardown` alone",
        ]
        if endpoint.instance_type:
            lines[-1] += "; an instance costs until then"
    tags = {"project": "convlab", "study": study, "deployment": "<name>", "expires": "<time>", **settings.tags}
    return [*lines, f"  tags            {', '.join(f'{key}={value}' for key, value in tags.items())}"]


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
