"""The end of what a job or an endpoint wrote to CloudWatch."""

from typing import Any

from convlab.cloud import aws
from convlab.cloud.aws import Clients

LINES = 40
"""Lines of each stream at most."""

LINE_CHARACTERS = 2000
"""Characters of a line that are kept."""


def excerpt(clients: Clients, group: str, prefix: str = "") -> dict[str, Any]:
    """The last lines of each stream whose name begins with ``prefix``; the error where they cannot be read.

    It only informs, so no error of any type leaves it.
    """
    named = {"logStreamNamePrefix": prefix} if prefix else {}
    try:
        streams = clients.logs.describe_log_streams(logGroupName=group, **named)["logStreams"]
        lines = {
            entry["logStreamName"]: [
                event["message"].rstrip()[:LINE_CHARACTERS]
                for event in clients.logs.get_log_events(
                    logGroupName=group, logStreamName=entry["logStreamName"], startFromHead=False, limit=LINES
                )["events"]
            ]
            for entry in streams[:5]
        }
    except Exception as error:
        return {"group": group, "error": aws.error_code(error)}
    return {"group": group, "streams": lines}
