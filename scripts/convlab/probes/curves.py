"""Building blocks of probe tables: points of curves, differences paired by seed, their columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes import registry
from convlab.results import columns
from convlab.statistics.describe import DIFFERENCE, SHARE, summarise
from convlab.study.variants import Plan, Probe

CURVE_COLUMNS = list(columns.PROBE_CURVES)
"""One row per point of a measured curve, summarised over seeds; ``n_diverged`` others have no value."""

CONTRAST_COLUMNS = list(columns.PROBE_CONTRASTS)
"""One row per statistic of a probe: a difference with its 95 % t interval over seeds, paired by seed; ``n_diverged``
seeds with a diverged run are left out."""


@dataclass(frozen=True)
class Measure:
    """A measure of a probe's curves.

    Attributes:
        label: its text, before translation.
        limits: smallest and largest possible value.
        is_share: whether it is a fraction, printed in percent.
    """

    label: str
    limits: tuple[float, float] = SHARE
    is_share: bool = True


ACCURACY = Measure(N_("accuracy"))


def measure_of(probe: str, name: str) -> Measure:
    """A measure of a probe's curves by its name in the table."""
    return registry.part(probe, "table").MEASURES[name]


def contrast_label(probe: str, name: str) -> str:
    """Text of a probe's statistic, before translation."""
    return registry.part(probe, "table").CONTRASTS[name]


def contrast_unit(probe: str, name: str) -> str | None:
    """Unit of a probe's statistic that is no difference of shares, empty for a plain number; None for one that is."""
    return getattr(registry.part(probe, "table"), "CONTRAST_UNITS", {}).get(name.partition(", ")[0])


def level_pairs(probe: Probe, plan: Plan) -> list[tuple[str, str]]:
    """Pairs (variant, reference) of the study's questions of which a probe measures both sides."""
    pairs = [(variant, question.reference) for question in plan.questions.values() for variant in question.variants]
    return [pair for pair in dict.fromkeys(pairs) if set(pair) <= set(probe.models)]


def pairs(probe: Probe, plan: Plan) -> list[tuple[str, str]]:
    """Pairs (convolutional model, dense model) that a probe compares."""
    return [pair for pair in plan.duels if set(pair) <= set(probe.models)]


def level_curves(probe: Probe, runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy by level of a probe that trains: a row per dataset, model and level."""
    rows = []
    for dataset, group in runs.groupby("dataset"):
        for model, levels in probe.levels.items():
            for label, order, variant in levels:
                values = group.loc[group["variant"] == variant, "test_accuracy"]
                rows.append(point(dataset, probe.name, model, "accuracy", label, order, values))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def point(dataset: str, probe: str, variant: str, measure: str, level: str, order: float, values: Sequence) -> dict:
    """One row of CURVE_COLUMNS, whose first columns are the parameters, summarised over the seeds' ``values``."""
    summary = summarise(values, limits=measure_of(probe, measure).limits)
    return {
        "dataset": dataset, "probe": probe, "variant": variant, "measure": measure, "level": level,
        "order": order, "n_seeds": summary.n, "mean": summary.mean, "sd": summary.sd,
        "ci_low": summary.ci_low, "ci_high": summary.ci_high, "n_diverged": summary.n_missing,
    }  # fmt: skip


def paired_contrast(values: pd.Series, limits: tuple[float, float] = DIFFERENCE) -> dict:
    """n, mean and 95 % t interval of differences by seed, clipped to ``limits``; NaN seeds are left out and counted."""
    summary = summarise(values, limits=limits)
    return {
        "n_seeds": summary.n,
        "difference": summary.mean,
        "ci_low": summary.ci_low,
        "ci_high": summary.ci_high,
        "n_diverged": summary.n_missing,
    }
