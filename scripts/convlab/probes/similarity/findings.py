"""Findings of the similarity probe: how alike seeds are, and whether variants are less alike than seeds."""

from collections.abc import Mapping

import pandas as pd

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing, number
from convlab.probes.sentences import difference_text, direction, exploratory, joined, quoted_numbers
from convlab.training.recipe import Training

TITLE = N_("Similarity: do they learn the same?")

LAST = "similarity, last_hidden"
"""The contrast of the last hidden layer."""


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "Linear centred kernel alignment (CKA) of what layers make of the same test images: 1 where they tell images "
        "apart alike up to rotation and scale, 0 on average where they have nothing in common (unbiased estimate). "
        "Training begins at random, so two seeds of one variant differ too: two variants represent images differently "
        "only where they are less alike than two seeds of one of them."
    )


VARIANTS = {
    "up": "",
    "down": N_("They represent the images differently, beyond what the seed does."),
    "open": N_(
        "Whether they represent the images differently, beyond what the seed does, cannot be told from these seeds."
    ),
    "none": "",
    "smoke": "",
}
"""Meaning of the difference between variants and seeds, by its direction; it cannot be above zero but by chance."""


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """Similarity between the seeds of each variant, then between variants beside it."""
    findings = [_between_seeds(rows, labels[variant]) for variant, rows in curves.groupby("variant", sort=False)]
    for (variant, reference), rows in contrasts.groupby(["variant", "reference"], sort=False):
        findings += _between_variants(rows, {"variant": labels[variant], "reference": labels[reference]})
    return findings


def _between_seeds(rows: pd.DataFrame, label: str) -> Finding:
    """How alike the last hidden layers of a variant's seeds are, and whether untrained ones are as much."""
    seeds = rows[rows["measure"] == "between seeds"].set_index("order")
    if 0 not in seeds.index:
        if seeds["n_diverged"].sum() and seeds["level"].fillna("").eq("").all():
            return Finding(_("{model} has no finished run to look into.", model=label))
        return Finding(_("The last hidden layer of {model} is not known, so it is not compared.", model=label))
    row = seeds.loc[0]
    if missing(row["mean"]):
        text = _(
            "{model} has fewer than two finished runs whose last hidden layers can be compared on these test images.",
            model=label,
        )
        return Finding(text)
    text = _(
        "The last hidden layers of two seeds of {model} have a CKA of {similarity}", model=label,
        similarity=number(row["mean"], 3),
    )  # fmt: skip
    untrained = rows[(rows["measure"] == "untrained, between seeds") & (rows["order"] == 0)]["mean"].iloc[0]
    numbers = {"between_seeds": row["mean"], "untrained": untrained}
    if missing(row["ci_low"]):
        return Finding(_("{text}; too few seeds for an interval.", text=text), numbers)
    limits = _("{low} to {high}", low=number(row["ci_low"], 3), high=number(row["ci_high"], 3))
    text = _("{text} (95 % CI {limits}; n = {n} seeds).", text=text, limits=limits, n=row["n_seeds"])
    if not missing(untrained):
        similarity = number(untrained, 3)
        beside = _("Of two untrained networks with the same layers it is {similarity}.", similarity=similarity)
        if untrained >= row["ci_low"]:
            beside = joined(beside, _("So this similarity need not have been learned."))
        text = joined(text, beside)
    return exploratory(text, numbers | {"ci_low": row["ci_low"], "ci_high": row["ci_high"]})


def _between_variants(rows: pd.DataFrame, names: Mapping[str, str]) -> list[Finding]:
    """Whether two variants are less alike than two seeds: the last hidden layer, then the convolutions; or nothing."""
    texts, numbers = [], {}
    for row in rows[(rows["measure"] == LAST) & rows["difference"].notna()].itertuples():
        side = direction(row, 0)
        texts.append(
            _(
                "Between {variant} and {reference}, the CKA of the last hidden layers minus that of two seeds of one "
                "of them is {difference}.",
                difference=difference_text(row),
                **names,
            )
        )
        texts.append(_(VARIANTS[side]) if VARIANTS[side] else "")
        if side == "open":
            bound = number(max(-row.ci_low, 0), 3)
            texts.append(_("If they do, the CKA is lower by {bound} at most.", bound=bound))
        numbers |= quoted_numbers(row, "similarity_difference")
    convolutions = rows[(rows["measure"] != LAST) & rows["ci_low"].notna()]
    less = [row.measure.partition(", ")[2] for row in convolutions.itertuples() if row.ci_high < 0]
    numbers |= {f"{row.measure.partition(', ')[2]}_ci_high": row.ci_high for row in convolutions.itertuples()}
    total = len(convolutions)
    if less:
        texts.append(
            _(
                "Convolutions of {variant} and {reference} that are less alike than between seeds, by an interval that "
                "lies below zero: {layers} (of {total} compared).",
                layers=listing(less),
                total=total,
                **names,
            )
        )
    elif total:
        texts.append(
            _(
                "No convolution of {variant} and {reference} is less alike than between seeds by an interval that lies "
                "below zero ({total} compared).",
                total=total,
                **names,
            )
        )
    return [exploratory(joined(*texts), numbers)] if texts else []
