"""Schema of ``endpoint.json``, the evidence of a deployment: model, predictions, latency, teardown.

It is also written on failure; fields without a value are then null. A target may add its own fields to ``endpoint``
(and to ``about`` of each prediction); all else is the same for every target.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
    teardown: Teardown | None = None
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = Field({}, description="The machine that asked.")
