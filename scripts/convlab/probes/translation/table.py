"""Tables of the translation probe: accuracy and consistency by distance of the shift, differences between models."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import (
    ACCURACY,
    CONTRAST_COLUMNS,
    CURVE_COLUMNS,
    Measure,
    paired_contrast,
    pairs,
    point,
)
from convlab.probes.measured import Measured
from convlab.results.by_seed import common_seeds
from convlab.results.columns import FRACTION, Column
from convlab.study.variants import Plan, Probe

MEASURES = {"accuracy": ACCURACY, "consistency": Measure(N_("consistency"))}

MEASURED = {
    "axis": Column("text", "`horizontal` or `vertical`"),
    "shift": Column("integer", "to the right, or down; 0 once for each axis", "pixels"),
    "accuracy": Column("number", "accuracy on the shifted test images", FRACTION),
    "consistency": Column(
        "number", "share of the images whose predicted class is that of the unshifted image", FRACTION
    ),
}

BLACK = "black"
"""What enters a shifted image unless the levels of the curves name something else behind a comma."""

CONTRASTS = {"consistency": N_("consistency")}


def claim_values(name: str, measured_with: Mapping[str, Any], measured: Measured) -> pd.DataFrame:
    """``accuracy_shifted``: the mean accuracy over both axes and directions at a distance, of every finished run."""
    table = measured.table
    chosen = table[table["shift"].abs() == measured_with["shift"]]
    values = chosen.groupby(["dataset", "variant", "seed"])["accuracy"].mean()
    return values.rename("value").reset_index()


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Accuracy and consistency by the distance of the shift, the mean over both axes and directions per run first."""
    per_run = (
        measured.table.assign(distance=measured.table["shift"].abs())
        .groupby(["dataset", "variant", "seed", "distance"])[["accuracy", "consistency"]]
        .mean()
        .reset_index()
    )
    filled = "" if probe.settings.fill == BLACK else f", {probe.settings.fill}"
    rows = []
    for (dataset, variant, distance), group in per_run.groupby(["dataset", "variant", "distance"]):
        for name in MEASURES:
            level = f"{distance} px{filled}"
            rows.append(point(dataset, probe.name, variant, name, level, distance, group[name]))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Differences in consistency between models, mean over all shifts."""
    rows = []
    moved = measured.table[measured.table["shift"] != 0]
    for dataset, group in moved.groupby("dataset"):
        wide = group.groupby(["seed", "variant"])["consistency"].mean().unstack().reindex(columns=probe.models)
        for first, second in pairs(probe, plan):
            seeds = common_seeds(runs[runs["dataset"] == dataset], [first, second])
            difference = wide[first] - wide[second]
            rows.append(
                {"dataset": dataset, "probe": probe.name, "variant": first, "reference": second,
                 "measure": "consistency", **paired_contrast(difference[difference.index.isin(seeds)])}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)
