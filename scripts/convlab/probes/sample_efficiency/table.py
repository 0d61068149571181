"""Tables of the sample-efficiency probe: accuracy, and the lead of convolution, by number of training images."""

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import ACCURACY, CONTRAST_COLUMNS, level_curves, paired_contrast, pairs
from convlab.probes.measured import Measured
from convlab.results.by_seed import by_seed
from convlab.study.variants import Plan, Probe

MEASURES = {"accuracy": ACCURACY}

CONTRASTS = {"lead": N_("lead")}


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Test accuracy of each model by number of training images."""
    return level_curves(probe, runs)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """The lead of convolution, conv - dense, at every number of training images; paired by seed."""
    rows = []
    for dataset, group in runs.groupby("dataset"):
        for conv, dense in pairs(probe, plan):
            for (label, _, first), (_, _, second) in zip(probe.levels[conv], probe.levels[dense], strict=True):
                wide = by_seed(group, [first, second])
                rows.append(
                    {"dataset": dataset, "probe": probe.name, "variant": conv, "reference": dense,
                     "measure": f"lead, {label}", **paired_contrast(wide[first] - wide[second])}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)
