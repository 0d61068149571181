"""Schema of ``endpoint.json``, the evidence of a deployment: model, predictions, latency, teardown.

It is also written on failure; fields without a value are then null. A target may add its own fields to ``endpoint``
(and to ``about`` of each prediction); all else is the same for every target.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EVIDENCE_FILE = "endpoint.json"

Whole = Annotated[int, BeforeValidator(int)]
"""A whole number, NumPy's types included."""


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Deployed(Record):
    """The model that was deployed."""

    dataset: str
    variant: str
    seed: int
    spec_hash: str
    runtime: Literal["onnx", "saved_model"]
    files_sha256: dict[str, str] = Field(description="Checksums of what was served, by file name.")


class ImagePrediction(Record):
    """The endpoint's prediction for one test image."""

    index: Whole = Field(description="Place among the test images, from 0.")
    true_class: Whole
    predicted_class: Whole
    label: str = Field(description="Name of the predicted class.")
    probabilities: list[float]
    correct: bool
    latency_ms: float | None = Field(
        None, description="From sending the request to having read the answer; null where a batch job answered."
    )
    payload_bytes: int
    about: dict[str, Any] = Field({}, description="What a service adds, such as a request's id.")


class Accuracy(Record):
    """Accuracy over the images that were sent, with Wilson's 95 % interval."""

    value: float
    ci_low: float
    ci_high: float
    images: int


class Parity(Record):
    """Agreement of the endpoint's predictions with those that `evaluate` recorded for the run, or, if the target
    trained the model, with that model on this machine; see convlab.evaluation.agreement."""

    largest_difference: float
    mean_difference: float
    agreement: float
    differing: list[int] = Field(description="Indices of test images that were given another class.")
    mcnemar_p: float | None


class Latency(Record):
    """Milliseconds; quantiles leave the first call out."""

    first: float
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    calls: int = Field(description="Calls that the quantiles are of.")


class Spread(Record):
    """Mean, extremes and count of several measurements."""

    mean: float
    min: float
    max: float
    count: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(mean=sum(values) / len(values), min=min(values), max=max(values), count=len(values))


class ServerMetrics(Record):
    """What the service measured (CloudWatch), beside the client's times of the same calls; null: it was not there."""

    complete: bool = Field(description="Whether it counts all calls that were answered.")
    waited_seconds: float = Field(description="How long the metrics were waited for, after the teardown.")
    error: str | None = Field(None, description="Why they could not be read at last.")
    invocations: int | None = None
    errors_4xx: int | None = None
    errors_5xx: int | None = None
    model_latency_ms: Spread | None = Field(None, description="In the container, as the service saw it.")
    overhead_latency_ms: Spread | None = Field(None, description="Of the service; a cold start is part of it.")
    model_setup_ms: Spread | None = Field(None, description="Serverless: starting the container.")
    memory_percent: Spread | None = Field(None, description="Of the memory that the endpoint has.")
    cpu_percent: Spread | None = Field(None, description="Instances: the sum over the cores.")
    client_latency_ms: Spread | None = Field(None, description="Of all calls, the first included.")
    outside_ms: float | None = Field(
        None, description="Mean of the client less both of the service: network, TLS and the client itself."
    )


class ColdStarts(Record):
    """First answers of a serverless endpoint after it was created; milliseconds from the first attempt."""

    asked: int
    milliseconds: list[float] = Field(description="The first is the deployment's own first answer.")
    median: float
    min: float
    max: float
    error: str | None = Field(None, description="Why there are fewer than asked.")


class Registration(Record):
    """What was registered and is left on purpose; people approve it or delete it."""

    group: str = Field(description="Model package group, of which the package is a version.")
    package: str
    approval: str
    card: str = Field(description="Name of the model card.")
    card_status: str
    kept_objects: list[str]


class Failure(Record):
    """The error that ended a deployment."""

    type: str
    message: str


class Teardown(Record):
    """Resources that remain after the teardown, by a listing and not by the delete requests."""

    remaining: list[str] = Field(description="What is still there; empty if all is well.")
    about: dict[str, Any] = Field({}, description="How it went, by target.")


class Evidence(Record):
    """``endpoint.json``. ``endpoint.on_aws`` tells whether it ran on AWS itself."""

    format: Literal[1] = 1
    study: str
    target: Literal["local", "sagemaker"]
    status: Literal["succeeded", "failed"] = "failed"
    error: Failure | None = None
    started: str = Field(description="ISO 8601, UTC.")
    finished: str | None = None
    wall_seconds: float | None = None
    model: Deployed | None = None
    images: dict[str, Any] | None = Field(
        None, description="How many test images, the seed and the rule that chose them."
    )
    endpoint: dict[str, Any] | None = Field(None, description="Where the answers came from, by target.")
    training: dict[str, Any] | None = Field(None, description="The job that trained the model, where the target did.")
    answers: list[ImagePrediction] = []
    accuracy: Accuracy | None = None
    parity: Parity | None = None
    latency_ms: Latency | None = None
    cold_starts: ColdStarts | None = Field(None, description="Of a serverless endpoint.")
    server: ServerMetrics | None = Field(None, description="What the service measured of the same calls.")
    teardown: Teardown | None = None
    registration: Registration | None = None
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = Field({}, description="The machine that asked.")
