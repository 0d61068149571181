"""What the probes say: rules from their curves and contrasts to sentences, in both directions, with their numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from convlab.interpretation import Statement, interval, missing, number, percent, points

ASSUMPTIONS = {"pixel_permutation": "locality", "translation": "translation"}
"""The assumption of convolution that a probe tests."""


def findings(
    curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], dataset: str, rope: float
) -> dict[str, list[Statement]]:
    """Statements by probe, for the probes that are on.

    Args:
        curves, contrasts: rows of ``probes.CURVE_COLUMNS`` and ``probes.CONTRAST_COLUMNS`` of the study.
        labels: variant -> how it reads.
        rope: differences within ± this fraction count as none in practice.
    """
    rules = {
        "pixel_permutation": _permutation,
        "translation": _translation,
        "sample_efficiency": _sample_efficiency,
        "receptive_field": _receptive_field,
        "calibration": _calibration,
    }
    found = {}
    for name, rule in rules.items():
        own_curves = curves[(curves["probe"] == name) & (curves["dataset"] == dataset)]
        own_contrasts = contrasts[(contrasts["probe"] == name) & (contrasts["dataset"] == dataset)]
        if len(own_curves):
            found[name] = rule(own_curves, own_contrasts, labels, rope)
    return found


def by_assumption(found: Mapping[str, Sequence[Statement]]) -> dict[str, list[Statement]]:
    """The statements that tell whether the data reward an assumption, for ``interpretation.interpret``."""
    return {ASSUMPTIONS[name]: list(statements) for name, statements in found.items() if name in ASSUMPTIONS}


def direction(row, rope: float = 0.0) -> str:
    """``up`` or ``down`` where the whole interval lies beyond the ROPE on that side, ``none`` where it lies inside,
    ``open`` otherwise, ``smoke`` without an interval."""
    if missing(row.ci_low):
        return "smoke"
    if row.ci_low > rope:
        return "up"
    if row.ci_high < -rope:
        return "down"
    return "none" if rope and -rope <= row.ci_low and row.ci_high <= rope else "open"


def _sure(row) -> str:
    """``+2.91 pp (95 % CI +2.63 to +3.20; n = 3 seeds)``."""
    seeds = f"n = {row.n_seeds} seed{'s' * (row.n_seeds != 1)}"
    if missing(row.ci_low):
        return f"{points(row.difference)} ({seeds}: points only, nothing inferred)"
    return f"{points(row.difference)} (95 % CI {interval(row.ci_low, row.ci_high)}; {seeds})"


def _numbers(row, name: str) -> dict[str, float]:
    return {name: row.difference, f"{name}_ci_low": row.ci_low, f"{name}_ci_high": row.ci_high}


def _permutation(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    rows = {(row.variant, row.measure): row for row in contrasts.itertuples()}
    for row in contrasts.itertuples():
        kind, _, level = row.measure.partition(", ")
        if kind != "lead lost":
            continue
        conv, dense = labels[row.variant], labels[row.reference]
        left = rows[row.variant, f"lead left, {level}"]
        text = (
            f"With {level}, {conv} loses {_sure(row)} of its lead over {dense}; what is left of it is {_sure(left)}. "
        )
        verdict = direction(row)
        if verdict == "up":
            over = direction(left, rope)
            rest = {
                "up": "but not all of it: part of the lead does not need neighbours",
                "down": "and without its neighbours convolution is the worse choice",
                "none": "and nothing of practical size is left",
            }.get(over, "and whether any is left cannot be told")
            text += f"So the lead rests on which pixels are neighbours, {rest}: these data reward locality."
        elif verdict == "down":
            text += "The lead grew, so that it does not rest on which pixels are neighbours."
        elif verdict == "open":
            text += "Whether the lead rests on which pixels are neighbours cannot be told from these seeds."
        statements.append(Statement(text, _numbers(row, "lead_lost") | _numbers(left, "lead_left")))
        control = rows[row.reference, f"accuracy lost, {level}"]
        text = f"The control: {dense}, which knows no neighbours, loses {_sure(control)}. "
        text += {
            "none": "That is nothing of practical size, as it should be.",
            "open": "The interval leaves room for no loss, as it should be.",
            "smoke": "",
        }.get(
            direction(control, rope),
            "It should lose nothing: something else changed with the order, so read the figures above with care.",
        )
        statements.append(Statement(text.strip(), _numbers(control, "control")))
    if not statements:
        for row in contrasts.itertuples():
            level = row.measure.partition(", ")[2]
            text = f"With {level}, {labels[row.variant]} loses {_sure(row)} of test accuracy."
            statements.append(Statement(text, _numbers(row, "accuracy_lost")))
    return statements


def _translation(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    consistency = curves[curves["measure"] == "consistency"]
    accuracy = curves[curves["measure"] == "accuracy"].set_index(["variant", "order"])["mean"]
    for variant, group in consistency.groupby("variant", sort=False):
        by_shift = group.set_index("order")["mean"]
        far, near = by_shift.index.max(), by_shift.index[by_shift.index > 0].min()
        text = (
            f"{labels[variant]} predicts the same class for {percent(by_shift[near], 1)} of the test images when they "
            f"are shifted by {near:g} px and for {percent(by_shift[far], 1)} at {far:g} px; its accuracy goes from "
            f"{percent(accuracy[variant, 0], 1)} to {percent(accuracy[variant, far], 1)}."
        )
        numbers = {"consistency_near": by_shift[near], "consistency_far": by_shift[far]}
        statements.append(Statement(text, numbers | {"accuracy_far": accuracy[variant, far]}))
    for row in contrasts.itertuples():
        conv, dense = labels[row.variant], labels[row.reference]
        text = f"Over all shifts, the consistency of {conv} minus that of {dense} is {_sure(row)}: "
        text += {
            "up": "convolution makes predictions survive shifts better, though not wholly - it is not invariant.",
            "down": "here convolution makes predictions survive shifts worse.",
            "open": "which of them survives shifts better cannot be told from these seeds.",
            "none": "the two survive shifts alike.",
            "smoke": "two seeds or fewer are a smoke test.",
        }[direction(row)]
        statements.append(Statement(text, _numbers(row, "consistency_difference")))
    return statements


def _sample_efficiency(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    for (variant, reference), group in contrasts.groupby(["variant", "reference"], sort=False):
        rows = list(group.itertuples())
        widest = max(rows, key=lambda row: -np.inf if missing(row.difference) else row.difference)
        parts = "; ".join(f"{row.measure.removeprefix('lead, ')}: {_sure(row)}" for row in rows)
        text = (
            f"{labels[variant]} minus {labels[reference]} by number of training images, in equally many steps: "
            f"{parts}. The lead is widest at {widest.measure.removeprefix('lead, ')}."
        )
        statements.append(Statement(text, _numbers(widest, "widest_lead")))
    return statements


def _receptive_field(curves, contrasts, labels, rope) -> list[Statement]:
    known = curves.dropna(subset=["mean"])
    if not len(known):
        return []
    best = known.loc[known["mean"].idxmax()]
    text = (
        f"One unit of the last feature map sees {known['order'].min():g} to {known['order'].max():g} pixels across; "
        f"the best of {len(known)} convolutional variants, {labels[best['variant']]} ({percent(best['mean'])}), sees "
        f"{best['order']:g}."
    )
    numbers = {"best_field": best["order"]}
    if known["order"].nunique() >= 3 and known["mean"].nunique() >= 3:
        rho = float(stats.spearmanr(known["order"], known["mean"]).statistic)
        text += (
            f" Over the variants' means, the rank correlation of receptive field and accuracy is {number(rho, 2)} "
            "(description, not a test: other things change along with the field)."
        )
        numbers["spearman"] = rho
    return [Statement(text, numbers)]


def _calibration(curves, contrasts, labels, rope) -> list[Statement]:
    wide = curves.pivot(index="variant", columns="measure", values="mean").dropna()
    if not len(wide):
        return []
    best, worst = wide["ece"].idxmin(), wide["ece"].idxmax()
    text = (
        f"The calibration error is lowest for {labels[best]} (ECE {number(wide.loc[best, 'ece'])}, loss "
        f"{number(wide.loc[best, 'test_loss'])}) and highest for {labels[worst]} ({number(wide.loc[worst, 'ece'])}, "
        f"loss {number(wide.loc[worst, 'test_loss'])})."
    )
    return [Statement(text, {"lowest_ece": wide.loc[best, "ece"], "highest_ece": wide.loc[worst, "ece"]})]
