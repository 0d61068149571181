"""Metrics that verdicts can be about: column in the tables, direction, unit, range and name of each.

Imported by the config, and so by the Snakefile: standard library only.
"""

import math
from dataclasses import dataclass

from convlab.common.i18n import N_


@dataclass(frozen=True)
class Metric:
    """A measure of a run on the test images by which variants can be compared (``statistics.metric``).

    Attributes:
        key: what the config calls it; ``column`` is its column in runs.csv and its quantity in rules of claims.
        name: within a sentence, without an article; ``title`` at the beginning of one and on axes. Before translation.
        higher_is_better: False for a loss.
        unit: of its values, ``difference_unit`` of their differences: ``%`` and ``pp`` (a share, which is stored as a
            fraction), or ``nats``.
        limits: smallest and largest possible value, as stored.
    """

    key: str
    column: str
    name: str
    title: str
    higher_is_better: bool = True
    unit: str = "%"
    difference_unit: str = "pp"
    limits: tuple[float, float] = (0.0, 1.0)

    @property
    def is_share(self) -> bool:
        """Whether values are fractions that are printed in percent."""
        return self.unit == "%"

    @property
    def difference_limits(self) -> tuple[float, float]:
        """Smallest and largest possible difference of two values."""
        return self.limits[0] - self.limits[1], self.limits[1] - self.limits[0]

    def better(self, value: float, other: float) -> bool:
        """Whether one value is better than another."""
        return value > other if self.higher_is_better else value < other

    def within_difference(self, limit: float | None) -> float | None:
        """A limit of an interval, clipped to the range of a difference; None stays None."""
        low, high = self.difference_limits
        return None if limit is None else min(max(limit, low), high)


ACCURACY = Metric("accuracy", "test_accuracy", N_("test accuracy"), N_("Test accuracy"))
BALANCED_ACCURACY = Metric(
    "balanced_accuracy", "balanced_accuracy", N_("balanced test accuracy"), N_("Balanced test accuracy")
)
MACRO_F1 = Metric("macro_f1", "macro_f1", N_("macro-F1"), N_("Macro-F1"))
LOSS = Metric("loss", "test_loss", N_("test loss"), N_("Test loss"), False, "nats", "nats", (0.0, math.inf))
AUROC = Metric("auroc", "auroc", N_("AUROC"), N_("AUROC"))

METRICS = {metric.key: metric for metric in (ACCURACY, BALANCED_ACCURACY, MACRO_F1, LOSS, AUROC)}
"""Every metric by its key in the config."""

BY_COLUMN = {metric.column: metric for metric in METRICS.values()}
"""Every metric by its column in runs.csv, which the column ``metric`` of comparisons.csv holds."""
