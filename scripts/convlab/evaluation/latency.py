"""Latency of single calls, as quantiles."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95 and p99, in ms, of times in seconds, and their number, ``calls``."""
    milliseconds = np.quantile(np.asarray(seconds) * 1e3, list(QUANTILES.values()))
    return {**{name: float(value) for name, value in zip(QUANTILES, milliseconds, strict=True)}, "calls": len(seconds)}


def latency_ms(call: Callable[[Any], Any], inputs: Iterable[Any], warm_up: int = 10) -> dict[str, float]:
    """Quantiles of the time that ``call`` takes for each input, in ms; the first ``warm_up`` are not counted."""
    seconds = []
    for value in inputs:
        begin = time.perf_counter()
        call(value)
        seconds.append(time.perf_counter() - begin)
    return quantiles_ms(seconds[warm_up:])
