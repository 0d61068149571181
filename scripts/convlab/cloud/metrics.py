"""CloudWatch's metrics of an endpoint: latency as SageMaker saw it, invocations, errors, memory.

They come a minute late or more and outlive the endpoint, so they are read when it is gone. They only inform.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from convlab.cloud import aws
from convlab.cloud.aws import Clients
from convlab.common.shutdown import noted_signals
from convlab.serving.record import ServerMetrics, Spread

REQUESTS, HOSTS = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
"""Namespaces of metrics of requests, and of the machines behind an endpoint."""

PERIOD_SECONDS = 60
"""SageMaker's metrics have one value a minute."""

SPREAD = ("SampleCount", "Sum", "Minimum", "Maximum")
"""Statistics that minutes can be put together from; percentiles cannot."""

LATENCIES = {"model_latency_ms": "ModelLatency", "overhead_latency_ms": "OverheadLatency"}
"""Time in the container, and the rest until SageMaker answers: microseconds on AWS."""

SETUP = {"model_setup_ms": "ModelSetupTime"}
"""Time to start a serverless endpoint's container: microseconds on AWS."""

COUNTS = {"invocations": "Invocations", "errors_4xx": "Invocation4XXErrors", "errors_5xx": "Invocation5XXErrors"}

MICROSECONDS_PER_MS = 1000.0


def read(
    clients: Clients, endpoint: str, variant: Mapping[str, Any], begin: datetime, calls: Sequence[float], seconds: float
) -> ServerMetrics:
    """Metrics of an endpoint since ``begin``; waits ``seconds`` at most until all calls are counted. Never raises.

    Args:
        variant: the production variant as it was created: name, and whether it is serverless.
        calls: seconds of each answered call, as the client measured them.

    A signal ends the waiting and nothing else.
    """
    serverless = "ServerlessConfig" in variant
    asked = queries(endpoint, variant["VariantName"], serverless)
    values: dict[str, list[float]] = {}
    why, waited = None, 0.0
    with noted_signals() as arrived:
        for passed in aws.poll_intervals(seconds):
            waited = passed
            try:
                values, why = fetch(clients, asked, begin), None
            except Exception as error:  # whatever it is, it only informs
                why = aws.error_message(error)
                if aws.error_code(error) in aws.DENIED:
                    break
            if arrived or (values and sum(values.get("Invocations_Sum", ())) >= len(calls)):
                break
    try:
        return summary(values, calls, round(waited, 1), why)
    except Exception as error:  # of numbers that nothing can be made of
        return summary({}, calls, round(waited, 1), aws.error_message(error))


def not_read(calls: Sequence[float]) -> ServerMetrics:
    """The client's times alone, as they stay in the evidence if the process is killed before the metrics are there."""
    return summary({}, calls, 0.0, "the process ended before they were there")


def queries(endpoint: str, variant: str, serverless: bool) -> list[dict[str, Any]]:
    """CloudWatch's MetricDataQueries, one for each metric and statistic, with ``<metric>_<statistic>`` as label."""
    names = [(REQUESTS, name, "Sum") for name in COUNTS.values()]
    spread = [(REQUESTS, name) for name in (LATENCIES | (SETUP if serverless else {})).values()]
    spread += [(HOSTS, name) for name in ["MemoryUtilization", *["CPUUtilization"] * (not serverless)]]
    names += [(namespace, name, statistic) for namespace, name in spread for statistic in SPREAD]
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    return [
        {
            "Id": f"q{number}",
            "Label": f"{name}_{statistic}",
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions},
                "Period": PERIOD_SECONDS,
                "Stat": statistic,
            },
        }
        for number, (namespace, name, statistic) in enumerate(names)
    ]


def fetch(clients: Clients, asked: list[dict[str, Any]], begin: datetime) -> dict[str, list[float]]:
    """Values a minute, by label; from the minute of ``begin`` to the one after now.

    Raises ValueError or another error for what is no finite number.
    """
    now = datetime.now(UTC)
    window = {"StartTime": begin.replace(second=0, microsecond=0), "EndTime": now + timedelta(seconds=PERIOD_SECONDS)}
    values: dict[str, list[float]] = {}
    for page in clients.cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=asked, **window):
        for result in page["MetricDataResults"]:
            values.setdefault(result["Label"], []).extend(float(value) for value in result["Values"])
    if not all(math.isfinite(value) for of_label in values.values() for value in of_label):
        raise ValueError("CloudWatch's values are no finite numbers")
    return values


def summary(
    values: Mapping[str, Sequence[float]], calls: Sequence[float], waited: float, why: str | None
) -> ServerMetrics:
    """The metrics of all minutes together, beside the client's times."""
    counts = {field: int(sum(values[f"{name}_Sum"])) for field, name in COUNTS.items() if values.get(f"{name}_Sum")}
    times = {field: spread(values, name, MICROSECONDS_PER_MS) for field, name in (LATENCIES | SETUP).items()}
    client = [1000 * second for second in calls]
    measured = ServerMetrics(
        complete=counts.get("invocations", 0) >= len(calls) > 0,
        waited_seconds=waited,
        error=why,
        memory_percent=spread(values, "MemoryUtilization"),
        cpu_percent=spread(values, "CPUUtilization"),
        client_latency_ms=Spread.of(client) if client else None,
        **counts,
        **times,
    )
    model, overhead = measured.model_latency_ms, measured.overhead_latency_ms
    if model and overhead and model.count == overhead.count == len(calls):
        measured.outside_ms = measured.client_latency_ms.mean - model.mean - overhead.mean
    return measured


def spread(values: Mapping[str, Sequence[float]], name: str, divisor: float = 1.0) -> Spread | None:
    """Mean, extremes and count of a metric over all minutes; None without any value."""
    parts = {statistic: values.get(f"{name}_{statistic}", ()) for statistic in SPREAD}
    if not all(parts.values()) or not (count := sum(parts["SampleCount"])) > 0:
        return None
    return Spread(
        mean=sum(parts["Sum"]) / count / divisor,
        min=min(parts["Minimum"]) / divisor,
        max=max(parts["Maximum"]) / divisor,
        count=count,
    )
