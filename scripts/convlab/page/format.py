"""Number formats shared by several tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.language import numbers as say
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.metrics import ACCURACY, Metric


def mean_and_sd(row: Mapping[str, Any], metric: Metric = ACCURACY) -> str:
    """A variant's mean of a metric, ``95.59 ± 1.27 %``, or only the mean where there is one run."""
    return say.level_and_sd(row[f"{metric.column}_mean"], row[f"{metric.column}_sd"], metric)


def mean_interval(row: Mapping[str, Any], metric: Metric = ACCURACY) -> str:
    """The t interval of a variant's mean; a dash with too few seeds."""
    if row["n_seeds"] < MIN_SEEDS:
        return say.MISSING
    return say.interval(row[f"{metric.column}_ci_low"], row[f"{metric.column}_ci_high"], metric.unit)


def seeds_text(counts: Sequence[int]) -> str:
    """Numbers of seeds in ascending order: ``5``, or ``3 to 12`` where variants have different ones."""
    fewest, most = say.count(counts[0]), say.count(counts[-1])
    return fewest if len(counts) == 1 else _("{low} to {high}", low=fewest, high=most)


def pixels(side: float) -> str:
    return f"{side:.0f}×{side:.0f}"


def duration(seconds: float) -> str:
    """``33 s``, ``4 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{say.count(whole // 3600)} h {whole % 3600 // 60} min"
