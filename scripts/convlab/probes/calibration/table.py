"""Table of the calibration probe: loss, Brier score and calibration error of every variant."""

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import CURVE_COLUMNS, Measure, point
from convlab.probes.measured import Measured
from convlab.statistics.describe import RANGES
from convlab.study.variants import Plan, Probe

MEASURES = {
    "test_loss": Measure(N_("test loss"), RANGES["test_loss"], is_share=False),
    "brier": Measure(N_("brier"), RANGES["brier"], is_share=False),
    "ece": Measure(N_("ece"), RANGES["ece"], is_share=False),
}


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """The three measures of each variant that the study compares."""
    rows = []
    for (dataset, variant), group in runs[runs["variant"].isin(plan.compared)].groupby(["dataset", "variant"]):
        for name in MEASURES:
            rows.append(point(dataset, probe.name, variant, name, "", 0.0, group[name]))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)
