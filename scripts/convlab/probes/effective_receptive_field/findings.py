"""Findings of the effective receptive field: how much of the closed form is used, by level, trained and untrained."""

from collections.abc import Iterator, Mapping

import pandas as pd

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing, number, percent, signed
from convlab.probes.sentences import difference_text, direction, exploratory, joined, quoted_numbers
from convlab.training.recipe import Training

TITLE = N_("Effective receptive field: how much of it does a unit use?")


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "The closed form says which pixels a unit of the last feature map can depend on; its gradient says on which it "
        "does. Measured is the absolute gradient of the central units, summed over channels and averaged over test "
        "images, and the side of the smallest square that holds 50, 90 and 99 % of it. (The probe receptive_field sets "
        "accuracy against the closed form.)"
    )


LEVELS = {
    "up": N_("Units of {variant} use pixels from a larger square."),
    "down": N_("Units of {variant} use pixels from a smaller square."),
    "open": N_("Whether its units use pixels from a larger square cannot be told from these seeds."),
    "none": "",
    "smoke": "",
}
"""Meaning of a difference between levels, by its direction."""

TRAINING = {
    "up": N_("Training widens the field."),
    "down": N_("Training narrows the field."),
    "open": N_("Whether training widens or narrows the field cannot be told from these seeds."),
    "none": "",
    "smoke": "",
}
"""Meaning of the difference to untrained networks, by its direction."""


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """The field of each variant and what training makes of it, then the differences between levels."""
    of_training = {row.variant: row for row in contrasts[contrasts["measure"] == "trained − untrained"].itertuples()}
    findings, without, unfinished = [], [], []
    for variant, rows in curves.groupby("variant", sort=False):
        trained = rows[rows["measure"] == "side"]
        if trained["level"].fillna("").eq("").all():
            (unfinished if trained["n_diverged"].sum() else without).append(labels[variant])
        else:
            findings.append(_field(rows, of_training.get(variant), labels[variant]))
    closed = curves[curves["measure"] == "closed form"].set_index("variant")["mean"]
    findings += _levels(contrasts[contrasts["measure"] == "side 90 %"], closed, labels)
    if without:
        text = ngettext(
            "{models} has no feature map of a convolution that can be looked into, so there is no field to measure.",
            "{models} have no feature map of a convolution that can be looked into, so there is no field to measure.",
            len(without), models=listing(without),
        )  # fmt: skip
        findings.append(Finding(text))
    if unfinished:
        text = ngettext(
            "{models} has no finished run to look into.", "{models} have no finished run to look into.",
            len(unfinished), models=listing(unfinished),
        )  # fmt: skip
        findings.append(Finding(text))
    return findings


def _field(rows: pd.DataFrame, of_training, label: str) -> Finding:
    """How wide the field of one variant is, beside the closed form and, by a row of contrasts, untrained networks."""
    sides = rows[rows["measure"] == "side"].set_index("order")["mean"]
    if missing(sides[0.9]):
        return Finding(_("Central units of {model} do not respond to any pixel of these images.", model=label))
    text = _(
        "In {model} half of the gradient of a central unit lies in a square of {half} px, 90 % in one of {most} px and "
        "99 % in one of {nearly} px.",
        model=label,
        half=number(sides[0.5], 1),
        most=number(sides[0.9], 1),
        nearly=number(sides[0.99], 1),
    )
    closed = rows.set_index("measure")["mean"]
    field, inside = closed.get("closed form"), closed.get("closed form in the image")
    numbers = {"side_50": sides[0.5], "side_90": sides[0.9], "side_99": sides[0.99]}
    if not missing(field):
        share = closed["area share"]
        numbers |= {"closed_form": field, "area_share": share}
        text = joined(text, _closed_form_text(field, inside, share))
    if of_training is None or missing(of_training.difference):
        return Finding(text, numbers)
    change = _(
        "Trained minus untrained, the side of the square with 90 % is {difference}.",
        difference=difference_text(of_training),
    )
    meaning = TRAINING[direction(of_training, 0)]
    text = joined(text, change, _(meaning) if meaning else "")
    return exploratory(text, numbers | quoted_numbers(of_training, "trained_minus_untrained"))


def _closed_form_text(field: float, inside: float, share: float) -> str:
    """The receptive field of the closed form, and the share of it that the square with 90 % covers."""
    values = {"field": number(field, 0), "image": number(inside, 0), "share": percent(share, 0)}
    if field > inside:
        return _(
            "The closed form gives {field} px, more than the {image} px of the image; the square with 90 % covers "
            "{share} of the image.",
            **values,
        )
    return _("The closed form gives {field} px; the square with 90 % is {share} of that area in the image.", **values)


def _levels(rows: pd.DataFrame, closed: Mapping[str, float], labels: Mapping[str, str]) -> Iterator[Finding]:
    """Differences between levels, beside that of the closed form."""
    for row in rows.itertuples():
        if missing(row.difference):
            continue
        names = {"variant": labels[row.variant], "reference": labels[row.reference]}
        text = _(
            "The side of the square with 90 % in {variant} minus that in {reference} is {difference}.",
            difference=difference_text(row),
            **names,
        )
        change = closed.get(row.variant, float("nan")) - closed.get(row.reference, float("nan"))
        allowed = "" if missing(change) else _("The closed form differs by {pixels} px.", pixels=signed(change, 0))
        meaning = LEVELS[direction(row, 0)]
        text = joined(text, allowed, _(meaning, **names) if meaning else "")
        yield exploratory(text, quoted_numbers(row, "side_difference"))
