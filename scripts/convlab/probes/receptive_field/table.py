"""Table of the receptive-field probe: test accuracy by the pixels that one unit of the last feature map sees."""

import pandas as pd

from convlab.probes.curves import ACCURACY, CURVE_COLUMNS, point
from convlab.probes.measured import Measured
from convlab.study.variants import Plan, Probe

MEASURES = {"accuracy": ACCURACY}


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Test accuracy of the convolutional variants that the study compares, by their receptive field."""
    rows = []
    for (dataset, variant), group in runs[runs["variant"].isin(plan.compared)].groupby(["dataset", "variant"]):
        if plan.variants[variant].side == "conv":
            field = int(group["receptive_field"].iloc[0])
            rows.append(point(dataset, probe.name, variant, "accuracy", f"{field} px", field, group["test_accuracy"]))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)
