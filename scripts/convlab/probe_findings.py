"""What the probes say: rules from their curves and contrasts to sentences, in both directions, with their numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from convlab import i18n
from convlab.i18n import N_, ngettext
from convlab.i18n import gettext as _
from convlab.interpretation.evidence import Statement
from convlab.interpretation.words import interval, missing, number, percent, points
from convlab.plan import probe_level

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
    seeds = ngettext("n = {n} seed", "n = {n} seeds", row.n_seeds)
    difference = points(row.difference)
    if missing(row.ci_low):
        return _("{difference} ({seeds}: points only, nothing inferred)", difference=difference, seeds=seeds)
    limits = _("95 % CI {interval}", interval=interval(row.ci_low, row.ci_high))
    return f"{difference} ({limits}; {seeds})"


def _numbers(row, name: str) -> dict[str, float]:
    return {name: row.difference, f"{name}_ci_low": row.ci_low, f"{name}_ci_high": row.ci_high}


def _levels(curves: pd.DataFrame) -> dict[str, str]:
    """How each level of a probe's tables reads in the language in use."""
    return {row.level: probe_level(row.probe, row.order) for row in curves.itertuples()}


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _permutation(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    rows, shown = {(row.variant, row.measure): row for row in contrasts.itertuples()}, _levels(curves)
    for row in contrasts.itertuples():
        kind, level = row.measure.split(", ", 1)
        if kind != "lead lost":
            continue
        conv, dense = labels[row.variant], labels[row.reference]
        left = rows[row.variant, f"lead left, {level}"]
        over = direction(left, rope)
        lost = {
            "up": {
                "up": N_(
                    "So the lead rests on which pixels are neighbours, but not all of it: part of the lead does not "
                    "need neighbours: these data reward locality."
                ),
                "down": N_(
                    "So the lead rests on which pixels are neighbours, and without its neighbours convolution is the "
                    "worse choice: these data reward locality."
                ),
                "none": N_(
                    "So the lead rests on which pixels are neighbours, and nothing of practical size is left: these "
                    "data reward locality."
                ),
            }.get(
                over,
                N_(
                    "So the lead rests on which pixels are neighbours, and whether any is left cannot be told: these "
                    "data reward locality."
                ),
            ),
            "down": N_("The lead grew, so that it does not rest on which pixels are neighbours."),
            "open": N_("Whether the lead rests on which pixels are neighbours cannot be told from these seeds."),
        }.get(direction(row), "")
        text = _(
            "With {level}, {conv} loses {lost} of its lead over {dense}; what is left of it is {left}.",
            level=shown[level],
            conv=conv,
            dense=dense,
            lost=_sure(row),
            left=_sure(left),
        )
        statements.append(Statement(_joined(text, _(lost)), _numbers(row, "lead_lost") | _numbers(left, "lead_left")))
        control = rows[row.reference, f"accuracy lost, {level}"]
        text = _("The control: {dense}, which knows no neighbours, loses {lost}.", dense=dense, lost=_sure(control))
        meaning = {
            "none": N_("That is nothing of practical size, as it should be."),
            "open": N_("The interval leaves room for no loss, as it should be."),
            "smoke": "",
        }.get(
            direction(control, rope),
            N_("It should lose nothing: something else changed with the order, so read the figures above with care."),
        )
        statements.append(Statement(_joined(text, _(meaning)), _numbers(control, "control")))
    if not statements:
        for row in contrasts.itertuples():
            level = shown[row.measure.partition(", ")[2]]
            text = _(
                "With {level}, {model} loses {lost} of test accuracy.",
                level=level,
                model=labels[row.variant],
                lost=_sure(row),
            )
            statements.append(Statement(text, _numbers(row, "accuracy_lost")))
    return statements


def _translation(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    consistency = curves[curves["measure"] == "consistency"]
    accuracy = curves[curves["measure"] == "accuracy"].set_index(["variant", "order"])["mean"]
    for variant, group in consistency.groupby("variant", sort=False):
        by_shift = group.set_index("order")["mean"]
        far, near = by_shift.index.max(), by_shift.index[by_shift.index > 0].min()
        text = _(
            "{model} predicts the same class for {near} of the test images when they are shifted by {near_shift} px "
            "and for {far} at {far_shift} px; its accuracy goes from {accuracy} to {accuracy_far}.",
            model=labels[variant],
            near=percent(by_shift[near], 1),
            near_shift=i18n.number(near, "g"),
            far=percent(by_shift[far], 1),
            far_shift=i18n.number(far, "g"),
            accuracy=percent(accuracy[variant, 0], 1),
            accuracy_far=percent(accuracy[variant, far], 1),
        )
        numbers = {"consistency_near": by_shift[near], "consistency_far": by_shift[far]}
        statements.append(Statement(text, numbers | {"accuracy_far": accuracy[variant, far]}))
    for row in contrasts.itertuples():
        conv, dense = labels[row.variant], labels[row.reference]
        text = _(
            {
                "up": N_(
                    "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}: convolution "
                    "makes predictions survive shifts better, though not wholly - it is not invariant."
                ),
                "down": N_(
                    "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}: here "
                    "convolution makes predictions survive shifts worse."
                ),
                "open": N_(
                    "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}: which of them "
                    "survives shifts better cannot be told from these seeds."
                ),
                "none": N_(
                    "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}: the two survive "
                    "shifts alike."
                ),
                "smoke": N_(
                    "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}: two seeds or "
                    "fewer are a smoke test."
                ),
            }[direction(row)],
            conv=conv,
            dense=dense,
            difference=_sure(row),
        )
        statements.append(Statement(text, _numbers(row, "consistency_difference")))
    return statements


def _sample_efficiency(curves, contrasts, labels, rope) -> list[Statement]:
    statements, shown = [], _levels(curves)
    for (variant, reference), group in contrasts.groupby(["variant", "reference"], sort=False):
        rows = list(group.itertuples())
        widest = max(rows, key=lambda row: -np.inf if missing(row.difference) else row.difference)
        parts = "; ".join(f"{shown[row.measure.removeprefix('lead, ')]}: {_sure(row)}" for row in rows)
        text = _(
            "{model} minus {reference} by number of training images, in equally many steps: {differences}. The lead is "
            "widest at {widest}.",
            model=labels[variant],
            reference=labels[reference],
            differences=parts,
            widest=shown[widest.measure.removeprefix("lead, ")],
        )
        statements.append(Statement(text, _numbers(widest, "widest_lead")))
    return statements


def _receptive_field(curves, contrasts, labels, rope) -> list[Statement]:
    known = curves.dropna(subset=["mean"])
    if not len(known):
        return []
    best = known.loc[known["mean"].idxmax()]
    text = _(
        "One unit of the last feature map sees {least} to {most} pixels across; the best of {n} convolutional "
        "variants, {best} ({accuracy}), sees {field}.",
        least=i18n.number(known["order"].min(), "g"),
        most=i18n.number(known["order"].max(), "g"),
        n=len(known),
        best=labels[best["variant"]],
        accuracy=percent(best["mean"]),
        field=i18n.number(best["order"], "g"),
    )
    numbers = {"best_field": best["order"]}
    if known["order"].nunique() >= 3 and known["mean"].nunique() >= 3:
        rho = float(stats.spearmanr(known["order"], known["mean"]).statistic)
        correlation = _(
            "Over the variants' means, the rank correlation of receptive field and accuracy is {rho} (description, not "
            "a test: other things change along with the field).",
            rho=number(rho, 2),
        )
        text = _joined(text, correlation)
        numbers["spearman"] = rho
    return [Statement(text, numbers)]


def _calibration(curves, contrasts, labels, rope) -> list[Statement]:
    wide = curves.pivot(index="variant", columns="measure", values="mean").dropna()
    if not len(wide):
        return []
    best, worst = wide["ece"].idxmin(), wide["ece"].idxmax()
    text = _(
        "The calibration error is lowest for {best} (ECE {best_ece}, loss {best_loss}) and highest for {worst} "
        "({worst_ece}, loss {worst_loss}).",
        best=labels[best],
        best_ece=number(wide.loc[best, "ece"]),
        best_loss=number(wide.loc[best, "test_loss"]),
        worst=labels[worst],
        worst_ece=number(wide.loc[worst, "ece"]),
        worst_loss=number(wide.loc[worst, "test_loss"]),
    )
    return [Statement(text, {"lowest_ece": wide.loc[best, "ece"], "highest_ece": wide.loc[worst, "ece"]})]
