"""Probes: measurements that test what a model assumes about images. Arrays and frames in, frames and sentences out."""

import math
from collections.abc import Sequence

import pandas as pd

from convlab.statistics.describe import DIFFERENCE, RANGES, summarise
from convlab.study.variants import Plan, Probe

CURVE_COLUMNS = [
    "dataset", "probe", "variant", "measure", "level", "order", "n_seeds", "mean", "sd", "ci_low", "ci_high",
    "n_diverged",
]  # fmt: skip
"""One row per point of a measured curve, summarised over seeds; ``n_diverged`` others have no value."""

CONTRAST_COLUMNS = [
    "dataset", "probe", "variant", "reference", "measure", "n_seeds", "difference", "ci_low", "ci_high", "n_diverged",
]  # fmt: skip
"""One row per statistic of a probe: a difference with its 95 % t interval over seeds, paired by seed; ``n_diverged``
seeds with a diverged run are left out."""


def translation_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Curves over the distance of the shift: accuracy and consistency, the mean over both axes and directions per run.

    Args:
        table: rows of TRANSLATION_COLUMNS.
    """
    per_run = (
        table.assign(distance=table["shift"].abs())
        .groupby(["dataset", "variant", "seed", "distance"])[["accuracy", "consistency"]]
        .mean()
        .reset_index()
    )
    rows = []
    for (dataset, variant, distance), group in per_run.groupby(["dataset", "variant", "distance"]):
        for measure in ("accuracy", "consistency"):
            label = f"{distance} px"
            rows.append(point(dataset, "translation", variant, measure, label, distance, group[measure]))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def level_curves(runs: pd.DataFrame, name: str, probe: Probe) -> pd.DataFrame:
    """Test accuracy by level of a probe that trains: a row per dataset, model and level."""
    rows = []
    for dataset, group in runs.groupby("dataset"):
        for model, levels in probe.levels.items():
            for label, order, variant in levels:
                values = group.loc[group["variant"] == variant, "test_accuracy"]
                rows.append(point(dataset, name, model, "accuracy", label, order, values))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def described_curves(runs: pd.DataFrame, plan: Plan, name: str) -> pd.DataFrame:
    """What every run gives anyway, for the variants that the study compares.

    ``receptive_field``: test accuracy by the pixels that one unit of the last feature map sees, convolutions only.
    ``calibration``: loss, Brier score and calibration error of each variant.
    """
    rows = []
    for (dataset, variant), group in runs[runs["variant"].isin(plan.compared)].groupby(["dataset", "variant"]):
        if name == "calibration":
            for measure in ("test_loss", "brier", "ece"):
                rows.append(point(dataset, name, variant, measure, "", 0.0, group[measure]))
        elif plan.variants[variant].model.family == "conv":
            field = int(group["receptive_field"].iloc[0])
            rows.append(point(dataset, name, variant, "accuracy", f"{field} px", field, group["test_accuracy"]))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def all_curves(runs: pd.DataFrame, plan: Plan, shifts: pd.DataFrame) -> pd.DataFrame:
    """The curves of every probe of a study.

    Args:
        runs: the runs table.
        shifts: rows of TRANSLATION_COLUMNS of all runs; empty where translation is off.
    """
    parts = [pd.DataFrame(columns=CURVE_COLUMNS)]
    for name, probe in plan.probes.items():
        if probe.levels:
            parts.append(level_curves(runs, name, probe))
        elif name == "translation":
            parts.append(translation_curves(shifts))
        else:
            parts.append(described_curves(runs, plan, name))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def all_contrasts(runs: pd.DataFrame, plan: Plan, shifts: pd.DataFrame) -> pd.DataFrame:
    """The statistics of every probe of a study that has one."""
    parts = [pd.DataFrame(columns=CONTRAST_COLUMNS)]
    for name, probe in plan.probes.items():
        pairs = [pair for pair in plan.duels if set(pair) <= set(probe.models)]
        if name == "pixel_permutation":
            permuted = {
                model: {label: variant for label, order, variant in levels if not math.isinf(order)}
                for model, levels in probe.levels.items()
            }
            parts.append(permutation_contrasts(runs, pairs, permuted))
        elif name == "sample_efficiency":
            parts.append(efficiency_contrasts(runs, pairs, probe))
        elif name == "translation":
            parts.append(translation_contrasts(shifts, pairs))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def point(dataset: str, probe: str, variant: str, measure: str, level: str, order: float, values: Sequence) -> dict:
    """One row of CURVE_COLUMNS."""
    summary = summarise(values, limits=RANGES[measure])
    return {
        "dataset": dataset, "probe": probe, "variant": variant, "measure": measure, "level": level, "order": order,
        "n_seeds": summary.n, "mean": summary.mean, "sd": summary.sd,
        "ci_low": summary.ci_low, "ci_high": summary.ci_high, "n_diverged": summary.n_missing,
    }  # fmt: skip


def paired_contrast(values: pd.Series, limits: tuple[float, float] = DIFFERENCE) -> dict:
    """n, mean and 95 % t interval of one difference per seed, between ``limits``; NaN seeds are left out, counted."""
    summary = summarise(values, limits=limits)
    return {
        "n_seeds": summary.n,
        "difference": summary.mean,
        "ci_low": summary.ci_low,
        "ci_high": summary.ci_high,
        "n_diverged": summary.n_missing,
    }


def permutation_contrasts(
    runs: pd.DataFrame, pairs: Sequence[tuple[str, str]], permuted: dict[str, dict[str, str]]
) -> pd.DataFrame:
    """What shuffling pixels costs each model, and how much of the lead of convolution it takes away.

    Args:
        runs: the runs table.
        pairs: (convolutional model, dense model) to set against each other.
        permuted: model -> {label of the block size: variant trained on shuffled pixels}.

    Returns:
        Rows of CONTRAST_COLUMNS. ``accuracy lost``: intact minus permuted, of one model. ``lead``: conv - dense
        intact. ``lead left``: conv - dense permuted. ``lead lost``: the first minus the second. All paired by seed.
    """
    rows = []
    for dataset, group in runs.groupby("dataset"):
        wide = group.pivot(index="seed", columns="variant", values="test_accuracy")
        for model, variants in permuted.items():
            for label, variant in variants.items():
                rows.append(
                    {"dataset": dataset, "probe": "pixel_permutation", "variant": model, "reference": "",
                     "measure": f"accuracy lost, {label}", **paired_contrast(wide[model] - wide[variant])}
                )  # fmt: skip
        for conv, dense in pairs:
            lead = wide[conv] - wide[dense]
            rows.append(
                {"dataset": dataset, "probe": "pixel_permutation", "variant": conv, "reference": dense,
                 "measure": "lead, intact", **paired_contrast(lead)}
            )  # fmt: skip
            for label in permuted[conv]:
                after = wide[permuted[conv][label]] - wide[permuted[dense][label]]
                rows.append(
                    {"dataset": dataset, "probe": "pixel_permutation", "variant": conv, "reference": dense,
                     "measure": f"lead lost, {label}", **paired_contrast(lead - after, (-2.0, 2.0))}
                )  # fmt: skip
                rows.append(
                    {"dataset": dataset, "probe": "pixel_permutation", "variant": conv, "reference": dense,
                     "measure": f"lead left, {label}", **paired_contrast(after)}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def efficiency_contrasts(runs: pd.DataFrame, pairs: Sequence[tuple[str, str]], probe: Probe) -> pd.DataFrame:
    """The lead of convolution, conv - dense, at every number of training images; paired by seed."""
    rows = []
    for dataset, group in runs.groupby("dataset"):
        wide = group.pivot(index="seed", columns="variant", values="test_accuracy")
        for conv, dense in pairs:
            for (label, _, first), (_, _, second) in zip(probe.levels[conv], probe.levels[dense], strict=True):
                rows.append(
                    {"dataset": dataset, "probe": "sample_efficiency", "variant": conv, "reference": dense,
                     "measure": f"lead, {label}", **paired_contrast(wide[first] - wide[second])}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def translation_contrasts(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """By how much one model's predictions survive shifts better than another's: consistency, mean over all shifts."""
    rows = []
    moved = table[table["shift"] != 0]
    for dataset, group in moved.groupby("dataset"):
        wide = group.groupby(["seed", "variant"])["consistency"].mean().unstack()
        for first, second in pairs:
            rows.append(
                {"dataset": dataset, "probe": "translation", "variant": first, "reference": second,
                 "measure": "consistency", **paired_contrast(wide[first] - wide[second])}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)
