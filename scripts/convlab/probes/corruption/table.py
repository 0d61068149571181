"""Tables of the corruption probe: accuracy by kind and severity, corruption errors, differences paired by seed.

The error of a model for a kind is the sum over severities of the share of wrong answers. The corruption error is its
ratio to that of the reference, the relative corruption error the ratio of what is added to the error on clean images;
the means over kinds are mCE and relative mCE (Hendrycks & Dietterich 2019, section 4.1). They are computed within each
seed. The tables hold them minus 1, which is the reference's own value.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.corruption.settings import ALL_ORDER, CLEAN_ORDER, KINDS, WITHOUT_DEGREES, order_of
from convlab.probes.curves import ACCURACY, CONTRAST_COLUMNS, CURVE_COLUMNS, paired_contrast, pairs, point
from convlab.probes.measured import Measured
from convlab.results.by_seed import common_seeds
from convlab.results.columns import FRACTION, Column
from convlab.statistics.describe import DIFFERENCE
from convlab.study.variants import Plan, Probe

MEASURES = {"accuracy": ACCURACY}

MEASURED = {
    "kind": Column("text", "kind of corruption; `clean` for the images as they are"),
    "severity": Column("integer", "from 1 to 5, 1 for inversion and flips, 0 for clean images"),
    "images": Column("integer", "test images that were corrupted, a fixed draw"),
    "accuracy": Column("number", "accuracy on these images", FRACTION),
}

CONTRASTS = {
    "accuracy": N_("accuracy under corruption"),
    "accuracy lost": N_("accuracy lost to corruption"),
    "corruption error": N_("corruption error minus that of the reference, 100 %"),
    "relative corruption error": N_("relative corruption error minus that of the reference, 100 %"),
}
"""Each alone is the mean over kinds; those of BY_KIND also stand with a kind behind a comma, for that kind."""

BY_KIND = ("accuracy", "corruption error")

LEAST_LOST = 0.01
"""Accuracy that a kind costs the reference in every seed if its relative error counts: less makes ratios of noise."""

RATIO = (-1.0, math.inf)
"""Limits of a ratio minus 1."""


def claim_values(name: str, measured_with: Mapping[str, Any], measured: Measured) -> pd.DataFrame:
    """``accuracy_under``: the mean accuracy over kinds at a severity, of every finished run."""
    table = measured.table
    chosen = table[table["kind"].isin(measured_with["kinds"]) & (table["severity"] == measured_with["severity"])]
    values = chosen.groupby(["dataset", "variant", "seed"])["accuracy"].mean()
    return values.rename("value").reset_index()


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Accuracy on clean images, at every severity of each kind, over its severities, and over all kinds."""
    rows = []
    for dataset, variant, accuracy in _by_run(probe, runs, measured):

        def add(level: str, order: float, columns: Sequence[tuple[str, int]]) -> None:
            values = accuracy[columns].mean(axis=1, skipna=False)  # noqa: B023
            rows.append(point(dataset, probe.name, variant, "accuracy", level, order, values))  # noqa: B023

        add("clean", CLEAN_ORDER, [("clean", 0)])
        kinds = _columns_by_kind(accuracy)
        for kind, columns in kinds.items():
            for column in columns if kind not in WITHOUT_DEGREES else ():
                add(f"{kind}, {column[1]}", order_of(*column), [column])
            add(kind, order_of(kind), columns)
        by_kind = pd.DataFrame({kind: accuracy[columns].mean(axis=1, skipna=False) for kind, columns in kinds.items()})
        overall = by_kind.mean(axis=1, skipna=False)
        rows.append(point(dataset, probe.name, variant, "accuracy", "all kinds", ALL_ORDER, overall))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def _by_run(probe: Probe, runs: pd.DataFrame, measured: Measured) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Dataset, variant, and accuracies with a row for each of its seeds and a column for each (kind, severity); a run
    that diverged has no values."""
    for dataset, group in measured.table.groupby("dataset"):
        wide = group.pivot(index=["variant", "seed"], columns=["kind", "severity"], values="accuracy")
        for variant in probe.models:
            seeds = common_seeds(runs[runs["dataset"] == dataset], [variant])
            yield dataset, variant, wide.reindex(pd.MultiIndex.from_product([[variant], seeds])).droplevel(0)


def _columns_by_kind(accuracy: pd.DataFrame) -> dict[str, list[tuple[str, int]]]:
    """The columns of each kind by severity, kinds in their order."""
    columns = sorted(column for column in accuracy.columns if column[1] > 0)
    by_kind = {kind: [column for column in columns if column[0] == kind] for kind in KINDS}
    return {kind: columns for kind, columns in by_kind.items() if columns}


def compared_pairs(probe: Probe, plan: Plan) -> list[tuple[str, str]]:
    """Pairs (variant, reference) of all questions of which both sides are measured, else convolutional and dense."""
    asked = [
        (variant, question.reference)
        for question in plan.questions.values()
        for variant in question.variants
        if {variant, question.reference} <= set(probe.models)
    ]
    return list(dict.fromkeys(asked)) or pairs(probe, plan)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Differences of variants and their references in accuracy and in accuracy lost, and corruption errors."""
    accuracies = {(dataset, variant): table for dataset, variant, table in _by_run(probe, runs, measured)}
    rows = []
    for dataset in dict.fromkeys(dataset for dataset, _variant in accuracies):
        of_dataset = runs[runs["dataset"] == dataset]
        for variant, reference in compared_pairs(probe, plan):
            seeds = common_seeds(of_dataset, [variant, reference])
            first, second = (accuracies[dataset, name].loc[seeds] for name in (variant, reference))
            for measure, values, limits in _differences(first, second):
                rows.append(
                    {"dataset": dataset, "probe": probe.name, "variant": variant, "reference": reference,
                     "measure": measure, **paired_contrast(values, limits)}
                )  # fmt: skip
    rows.sort(key=lambda row: (row["dataset"], ", " in row["measure"]))  # those over all kinds first
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def _differences(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[tuple[str, pd.Series, tuple[float, float]]]:
    """Measure, value of every seed, and limits.

    A ratio of errors is left out for a kind where a seed of the reference makes no error, or loses less than
    ``LEAST_LOST``.
    """
    clean = [("clean", 0)]
    by_kind: dict[str, dict[str, pd.Series]] = {measure: {} for measure in CONTRASTS}
    for kind, columns in _columns_by_kind(first).items():
        (own, others), (own_clean, others_clean) = (
            tuple(table[at].mean(axis=1, skipna=False) for table in (first, second)) for at in (columns, clean)
        )
        own_lost, others_lost = own_clean - own, others_clean - others
        by_kind["accuracy"][kind] = own - others
        by_kind["accuracy lost"][kind] = own_lost - others_lost
        if (1 - others.dropna() > 0).all():
            by_kind["corruption error"][kind] = (1 - own) / (1 - others) - 1
        if (others_lost.dropna() >= LEAST_LOST).all():
            by_kind["relative corruption error"][kind] = own_lost / others_lost - 1
    for measure, values in by_kind.items():
        limits = {"corruption error": RATIO, "relative corruption error": (-math.inf, math.inf)}.get(
            measure, DIFFERENCE
        )
        if values:
            yield measure, pd.DataFrame(values).mean(axis=1, skipna=False), limits
        for kind, of_kind in values.items() if measure in BY_KIND else ():
            yield f"{measure}, {kind}", of_kind, limits
