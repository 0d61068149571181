"""Findings of the probe that shuffles pixels: whether the lead of convolution rests on which pixels are neighbours."""

from collections.abc import Mapping

import pandas as pd

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing, region
from convlab.probes.sentences import (
    Direction,
    difference_text,
    direction,
    exploratory,
    joined,
    level_labels,
    quoted_numbers,
)
from convlab.training.recipe import Training

TITLE = N_("Shuffled pixels: is it the neighbourhood?")

ASSUMPTION = "locality"


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "The pixels of all images, or blocks of them that stay whole, stand in another, fixed order, the same for "
        "training, validation and test. A dense network cannot tell the difference; a convolution loses neighbours."
    )


LEFT = {
    "up": N_("In this study the lead rests in part on which pixels are neighbours; the part that is left does not."),
    "down": N_(
        "In this study the lead rests on which pixels are neighbours: without its neighbours {conv} is behind {dense}."
    ),
    "none": N_(
        "In this study the lead rests on which pixels are neighbours: what is left is of no practical size ({region})."
    ),
    "open": N_(
        "In this study the lead rests on which pixels are neighbours, wholly or in part: these seeds do not tell which."
    ),
}
"""Interpretation of a lost lead, by the direction of what is left of it."""

LOST = {
    "none": N_("The loss is of no practical size ({region}): this lead does not rest on which pixels are neighbours."),
    "down": N_("The lead grew: it does not rest on which pixels are neighbours."),
    "open": N_(
        "Whether that is a loss that counts, and so whether the lead rests on which pixels are neighbours, cannot be "
        "told from these seeds."
    ),
}
"""Interpretation of a lead whose loss is not shown, by the direction of the loss."""

NO_LEAD = {
    "down": N_("so {conv} is behind {dense} to begin with, and there is no lead that shuffling could take away"),
    "none": N_("so there is no lead of practical size ({region}) that shuffling could take away"),
    "open": N_("so it cannot be told from these seeds whether there is a lead that shuffling could take away"),
}
"""Why there is no lead to interpret, by the direction of conv minus dense on intact images."""

CHANGED = {
    "up": N_("Shuffling costs {conv} more than {dense}, by {lost}."),
    "down": N_("Shuffling costs {dense} more than {conv}, by {gained}."),
    "none": N_("Shuffling costs both alike within {region}: the difference is {lost}."),
    "open": N_(
        "Whether shuffling costs one of them more, by an amount that counts, cannot be told from these seeds: the "
        "difference is {lost}."
    ),
}
"""Sentences about the losses of accuracy if there is no lead."""

CONTROL = {
    "none": N_("That is nothing of practical size, as it should be."),
    "open": N_("Whether that is nothing, as it should be, cannot be told from these seeds."),
    "smoke": "",
    "up": N_(
        "It should lose nothing: more than the order of the pixels differs between these runs, so nothing is concluded "
        "from them about neighbours."
    ),
    "down": N_(
        "It should gain nothing: more than the order of the pixels differs between these runs, so nothing is concluded "
        "from them about neighbours."
    ),
}
"""Interpretation of the dense network's loss, the probe's control, by its direction."""


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """Whether the lead of convolution over a dense network goes when neighbours do; only where there is a lead."""
    findings = []
    level_names = level_labels(curves)
    rows = {  # contrasts of one model have an empty reference, which read_table returns as missing
        (row.variant, "" if missing(row.reference) else row.reference, row.measure): row
        for row in contrasts.itertuples()
    }
    for row in contrasts.itertuples():
        kind, level = row.measure.split(", ", 1)
        if kind != "lead lost":
            continue
        intact = rows[row.variant, row.reference, "lead, intact"]
        left = rows[row.variant, row.reference, f"lead left, {level}"]
        control = rows[row.reference, "", f"accuracy lost, {level}"]
        if any(missing(entry.difference) for entry in (row, intact, left)):
            text = _(
                "{conv} and {dense} cannot be compared with {level}: no seed has finished runs of both, intact and "
                "shuffled.",
                conv=labels[row.variant],
                dense=labels[row.reference],
                level=level_names[level],
            )
            findings.append(Finding(text))
            continue
        values = {
            "level": level_names[level],
            "conv": labels[row.variant],
            "dense": labels[row.reference],
            "intact": difference_text(intact),
            "lost": difference_text(row),
            "gained": difference_text(_negated(row)),
            "left": difference_text(left),
            "region": region(rope),
        }
        numbers = quoted_numbers(intact, "lead") | quoted_numbers(row, "lead_lost") | quoted_numbers(left, "lead_left")
        text = _permuted(direction(intact, rope), direction(row, rope), direction(left, rope), intact, values)
        if direction(control, rope) in ("up", "down"):
            text = _(MEASURED_ONLY, **values)
        findings.append(exploratory(text, numbers))
        text = _("The control: {dense}, which knows no neighbours, loses {lost}.", dense=values["dense"],
                 lost=difference_text(control))  # fmt: skip
        meaning = CONTROL[direction(control, rope)]
        findings.append(exploratory(joined(text, meaning and _(meaning)), quoted_numbers(control, "control")))
    if not findings:
        for row in contrasts.itertuples():
            level = level_names[row.measure.partition(", ")[2]]
            if missing(row.difference):
                no_seed = N_("With {level}, no seed of {model} has finished runs, intact and shuffled, to compare.")
                findings.append(Finding(_(no_seed, level=level, model=labels[row.variant])))
                continue
            text = _(
                "With {level}, {model} loses {lost} of test accuracy.",
                level=level,
                model=labels[row.variant],
                lost=difference_text(row),
            )
            findings.append(exploratory(text, quoted_numbers(row, "accuracy_lost")))
    return findings


MEASURED_ONLY = N_(
    "Intact, {conv} minus {dense} is {intact}; with {level} it is {left}, a change by {gained} of the difference."
)


def _permuted(intact: Direction, lost: Direction, left: Direction, row, values: Mapping[str, str]) -> str:
    """Sentence about one pair of models at one level of shuffling.

    Args:
        intact, lost, left: directions of conv minus dense on intact images, of what shuffling takes of it, and of what
            is left.
        row: the contrast on intact images.
        values: labels and numbers by placeholder.
    """
    if "smoke" in (intact, lost, left):
        return _(MEASURED_ONLY, **values)
    if intact == "open" and row.ci_high < 0:
        intact = "down"
    if intact in NO_LEAD and not (intact == "open" and row.ci_low > 0):
        reason = _(NO_LEAD[intact], **values)
        text = _("Intact, {conv} minus {dense} is {intact}, {reason}.", reason=reason, **values)
        change = _(CHANGED[lost], **values)
        return joined(text, _("With {level} it is {left}.", **values), change)
    text = _(
        "Intact, {conv} leads {dense} by {intact}. With {level} it loses {lost} of this lead; what is left is {left}.",
        **values,
    )
    return joined(text, _(LEFT[left] if lost == "up" else LOST[lost], **values))


def _negated(row):
    """A contrast with its sign reversed."""
    low, high = (None, None) if missing(row.ci_low) else (-row.ci_high, -row.ci_low)
    return row._replace(difference=-row.difference, ci_low=low, ci_high=high)
