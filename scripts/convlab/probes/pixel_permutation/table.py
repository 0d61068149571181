"""Tables of the probe that shuffles pixels: accuracy by level, and what shuffling takes of accuracies and of leads."""

import math

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import ACCURACY, CONTRAST_COLUMNS, level_curves, paired_contrast, pairs
from convlab.probes.measured import Measured
from convlab.results.by_seed import by_seed
from convlab.study.variants import Plan, Probe

MEASURES = {"accuracy": ACCURACY}

CONTRASTS = {
    "accuracy lost": N_("accuracy lost"),
    "lead": N_("lead"),
    "lead lost": N_("lead lost"),
    "lead left": N_("lead left"),
}


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Test accuracy of each model on intact and on shuffled images."""
    return level_curves(probe, runs)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """What shuffling pixels costs each model, and how much of the lead of convolution it takes away.

    Returns:
        Rows of CONTRAST_COLUMNS. ``accuracy lost``: intact minus permuted, of one model. ``lead``: conv - dense
        intact. ``lead left``: conv - dense permuted. ``lead lost``: the first minus the second. All paired by seed.
    """
    permuted = {
        model: {label: variant for label, order, variant in levels if not math.isinf(order)}
        for model, levels in probe.levels.items()
    }
    rows = []
    for dataset, group in runs.groupby("dataset"):
        for model, variants in permuted.items():
            for label, variant in variants.items():
                wide = by_seed(group, [model, variant])
                rows.append(
                    {"dataset": dataset, "probe": probe.name, "variant": model, "reference": "",
                     "measure": f"accuracy lost, {label}", **paired_contrast(wide[model] - wide[variant])}
                )  # fmt: skip
        for conv, dense in pairs(probe, plan):
            wide = by_seed(group, [conv, dense])
            lead = wide[conv] - wide[dense]
            rows.append(
                {"dataset": dataset, "probe": probe.name, "variant": conv, "reference": dense,
                 "measure": "lead, intact", **paired_contrast(lead)}
            )  # fmt: skip
            for label in permuted[conv]:
                others = permuted[conv][label], permuted[dense][label]
                shuffled, intact = by_seed(group, others), by_seed(group, [conv, dense, *others])
                after = shuffled[others[0]] - shuffled[others[1]]
                lost = intact[conv] - intact[dense] - (intact[others[0]] - intact[others[1]])
                rows.append(
                    {"dataset": dataset, "probe": probe.name, "variant": conv, "reference": dense,
                     "measure": f"lead lost, {label}", **paired_contrast(lost, (-2.0, 2.0))}
                )  # fmt: skip
                rows.append(
                    {"dataset": dataset, "probe": probe.name, "variant": conv, "reference": dense,
                     "measure": f"lead left, {label}", **paired_contrast(after)}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)
