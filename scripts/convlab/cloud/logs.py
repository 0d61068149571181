"""The end of what a job or an endpoint wrote to CloudWatch."""

from typing import Any

from convlab.cloud import aws
from convlab.cloud.aws import BotoCoreError, ClientError, Clients

LINES = 40
"""Lines of each stream at most."""


def excerpt(clients: Clients, group: str, stream: str = "") -> dict[str, Any]:
    """The last lines of each stream whose name begins with ``stream``; the error where they cannot be read."""
    named = {"logStreamNamePrefix": stream} if stream else {}
    try:
        streams = clients.logs.describe_log_streams(logGroupName=group, **named)["logStreams"]
        lines = {
            found["logStreamName"]: [
                event["message"].rstrip()
                for event in clients.logs.get_log_events(
                    logGroupName=group, logStreamName=found["logStreamName"], startFromHead=False, limit=LINES
                )["events"]
            ]
            for found in streams[:5]
        }
    except (ClientError, BotoCoreError) as error:
        return {"group": group, "error": aws.code(error)}
    return {"group": group, "streams": lines}
