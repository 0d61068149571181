"""Last lines of CloudWatch log streams."""

from typing import Any

from convlab.cloud import aws
from convlab.cloud.aws import Clients

LOG_GROUP = "/aws/sagemaker/Endpoints/"
"""Beginning of the name of an endpoint's own group."""

MAX_LINES = 40
"""Lines of each stream at most."""

MAX_LINE_CHARS = 2000
"""Characters of a line that are kept."""


def excerpt(clients: Clients, group: str, prefix: str = "") -> dict[str, Any]:
    """The last lines of each stream whose name begins with ``prefix``; the error where they cannot be read.

    Never raises: logs only inform.
    """
    named = {"logStreamNamePrefix": prefix} if prefix else {}
    try:
        streams = clients.logs.describe_log_streams(logGroupName=group, **named)["logStreams"]
        lines = {
            entry["logStreamName"]: [
                event["message"].rstrip()[:MAX_LINE_CHARS]
                for event in clients.logs.get_log_events(
                    logGroupName=group, logStreamName=entry["logStreamName"], startFromHead=False, limit=MAX_LINES
                )["events"]
            ]
            for entry in streams[:5]
        }
    except Exception as error:
        return {"group": group, "error": aws.error_code(error)}
    return {"group": group, "streams": lines}
