"""AWS' SDK reads its descriptions of services once for a process and its forks, instead of once for each client.

Reading them takes longer than a whole deployment to a double of AWS.
"""

from functools import cache
from typing import Any

import boto3
from botocore.loaders import JSONFileLoader

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch", "sts", "scheduler")

_read = JSONFileLoader().load_file


@cache
def read_once(path: str) -> Any:
    """The content of a description, which nobody changes; None where there is none."""
    return _read(path)


JSONFileLoader.load_file = lambda _self, path: read_once(path)
for _service in SERVICES:
    boto3.Session("x", "x").client(_service, region_name="eu-central-1")
