"""SageMaker's SDK, imported once for all forks of a process that imports this; nothing where it is not installed.

Importing it takes longer than a whole deployment to a double of AWS, and so does its validation of our own settings,
which it does again a dozen times a job.
"""

from contextlib import suppress

import boto3

from convlab.cloud import sdk
from convlab.errors import UserError

with suppress(UserError):
    for _name in ("sagemaker.train", "sagemaker.train.configs", "sagemaker.core.helper.session_helper"):
        sdk._sdk(_name)
    _settings = sdk._sdk("sagemaker.core.config.config_manager").SageMakerConfig
    _settings.validate_sagemaker_config = staticmethod(lambda content=None: None)
    for _service in ("iam", "sagemaker-metrics", "sagemaker-featurestore-runtime"):  # of which it makes clients too
        boto3.Session("x", "x").client(_service, region_name="eu-central-1")
