"""Cold starts of a serverless endpoint: the first answer after it was created, as often as asked.

An idle endpoint becomes cold after a time that AWS does not state, and UpdateEndpoint needs another configuration each
time. So the endpoint is deleted and created again from the same one: nothing of it can be warm, and nothing has to be
taken down beside what there was. It takes a minute or two each; a serverless endpoint costs nothing meanwhile.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from convlab.cloud import aws
from convlab.cloud.aws import ClientError, Clients
from convlab.errors import UserError
from convlab.serving.record import ColdStarts

UNFINISHED = "the process ended before the others were measured"
GOING_SECONDS = 120.0
"""Seconds that a deleted endpoint may take to go. One that stays may never have been told: a proxy's page looks like
the empty answer to a deletion."""

log = logging.getLogger("deploy")


def measure(
    asked: int, first: float, start_anew: Callable[[], None], call: Callable[[], float]
) -> Iterator[ColdStarts]:
    """Measure ``asked`` cold starts, of which ``first`` seconds are that of the deployment itself.

    Args:
        start_anew: deletes the endpoint, creates it again and waits until it is in service.
        call: sends one image; returns the seconds from the first attempt to the answer.

    Yields:
        What is known after each of them, the first included. An error of any type ends the measurement and is
        recorded: what was asked of the endpoint is known by then.
    """
    seconds = [first]
    yield _record(asked, seconds, UNFINISHED if asked > 1 else None)
    while len(seconds) < asked:
        try:
            start_anew()
            seconds.append(call())
        except Exception as error:  # it only informs
            why = aws.error_message(error)
            log.warning("%d of %d cold starts were measured: %s", len(seconds), asked, why)
            yield _record(asked, seconds, why)
            return
        log.info("cold start %d of %d: %.2f s", len(seconds), asked, seconds[-1])
        yield _record(asked, seconds, UNFINISHED if len(seconds) < asked else None)


def _record(asked: int, seconds: Sequence[float], why: str | None) -> ColdStarts:
    times = [1000 * second for second in seconds]
    return ColdStarts(
        asked=asked, milliseconds=times, median=median(times), min=min(times), max=max(times), error=why
    )  # fmt: skip


def wait_until_gone(clients: Clients, endpoint: str, seconds: float) -> None:
    """Poll for ``seconds`` at most, or GOING_SECONDS, until SageMaker does not know the endpoint any more.

    Raises UserError if it is still there then.
    """
    for _ in aws.poll_intervals(min(seconds, GOING_SECONDS)):
        try:
            clients.sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if not aws.is_missing(error):
                raise
            return
    raise UserError("the endpoint was deleted for another cold start, and did not go")
