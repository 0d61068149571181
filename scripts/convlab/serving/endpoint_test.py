"""Query an endpoint with test images and summarise accuracy, agreement and latency; the same for every target."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest

from convlab.errors import UserError
from convlab.evaluation.agreement import parity
from convlab.evaluation.latency import quantiles_ms
from convlab.serving.record import Accuracy, ImagePrediction, Latency, Parity

JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """What an endpoint sent back. ``about`` holds what a service adds, such as a request's id; ``seconds`` is the time
    of the call that was answered, where there were others before it."""

    status: int
    body: bytes
    about: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


Invoke = Callable[[bytes, str], Reply]
"""Sends a body with a content type and returns the reply; the test needs nothing else of an endpoint."""


def ask(invoke: Invoke, images: np.ndarray, indices: Sequence[int], labels: np.ndarray) -> Iterator[ImagePrediction]:
    """Send images (uint8, NHWC) one at a time as JSON; yields a prediction for each, in order.

    Args:
        indices: which of the images.
        labels: their true classes, (n,).

    Raises:
        UserError: the endpoint refused an image, or its response is no prediction.
    """
    for index in indices:
        request = json.dumps({"instances": [images[index].tolist()]}).encode()
        begin = time.perf_counter()
        reply = invoke(request, JSON)
        seconds = time.perf_counter() - begin if reply.seconds is None else reply.seconds
        if reply.status != 200:
            text = reply.body[:500].decode("utf-8", "replace")
            raise UserError(f"the endpoint answered {reply.status} to test image {index}: {text}")
        try:
            (prediction,) = json.loads(reply.body, parse_constant=_no_number)["predictions"]
        except Exception as error:  # any error here is the response's
            text = reply.body[:200].decode("utf-8", "replace")
            raise UserError(f"the endpoint's answer to test image {index} is no prediction ({error}): {text}") from None
        yield image_prediction(
            prediction,
            index,
            labels[index],
            payload_bytes=len(request),
            latency_ms=seconds * 1e3,
            about=reply.about,
        )


def image_prediction(prediction: Any, index: int, true_class: int, **details: Any) -> ImagePrediction:
    """The record of one image's prediction, as ``output_fn`` of the handlers writes it: class, label, probabilities.

    ``details`` are further fields of ImagePrediction. Raises UserError for anything else, which it quotes.
    """
    try:
        probabilities = np.array(prediction["probabilities"], np.float64)
        if probabilities.ndim != 1 or not np.isfinite(probabilities).all():
            raise ValueError("its probabilities are not finite numbers")
        return ImagePrediction(
            index=index,
            true_class=true_class,
            predicted_class=prediction["class"],
            label=prediction["label"],
            probabilities=prediction["probabilities"],
            correct=bool(prediction["class"] == true_class),
            **details,
        )
    except Exception as error:  # any error here is the response's
        text = json.dumps(prediction)[:200]
        raise UserError(f"the endpoint's answer to test image {index} is no prediction ({error}): {text}") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no probability")


def accuracy(answers: Sequence[ImagePrediction]) -> Accuracy:
    """Share of correct predictions, with Wilson's 95 % interval (Wilson 1927, JASA 22, 209-212)."""
    right = sum(answer.correct for answer in answers)
    interval = binomtest(right, len(answers)).proportion_ci(method="wilson")
    return Accuracy(value=right / len(answers), ci_low=interval.low, ci_high=interval.high, images=len(answers))


def agreement(answers: Sequence[ImagePrediction], reference: np.ndarray) -> Parity:
    """Agreement of the predictions with the evaluated model's probabilities (all test images, classes).

    Raises UserError if those are not finite or have other classes: they cannot be compared.
    """
    indices = [answer.index for answer in answers]
    truth = np.array([answer.true_class for answer in answers])
    lengths = {len(answer.probabilities) for answer in answers}
    if lengths != {reference.shape[1]} or not np.isfinite(reference[indices]).all():
        raise UserError(
            "the evaluated model's probabilities are not finite or of other classes than the endpoint's; evaluate and "
            "export it again with --forcerun evaluate export_model"
        )
    given = np.array([answer.probabilities for answer in answers])
    figures = parity(given, reference[indices], truth)
    return Parity(**{**figures, "differing": [indices[position] for position in figures["differing"]]})


def latency(answers: Sequence[ImagePrediction]) -> Latency:
    """Latency of the first call, and quantiles over the others, if any."""
    times = [answer.latency_ms for answer in answers if answer.latency_ms is not None]
    warm = quantiles_ms([time / 1e3 for time in times[1:]]) if len(times) > 1 else {"calls": 0}
    return Latency(first=times[0], max=max(times[1:], default=None), **warm)
