"""Findings of the sample-efficiency probe: the lead of convolution by number of training images."""

from collections.abc import Mapping

import pandas as pd

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing, percent
from convlab.probes.sentences import difference_text, exploratory, joined, level_labels
from convlab.training.recipe import Training

TITLE = N_("Fewer images: who learns from less?")


def introduction(training: Training, given_validation: bool) -> str:
    if training.select != "best":
        return _(
            "Nested subsets of the training images, drawn by seed, trained for the same number of steps; the last "
            "epoch is kept."
        )
    if given_validation:
        return _(
            "Nested subsets of the training images, drawn by seed, trained for the same number of steps. Only the "
            "images to train on become fewer: the epoch that is kept is still chosen on all validation images that the "
            "data bring, so that the fewest are not all the labels that are used."
        )
    return _(
        "Nested subsets of the training images, drawn by seed, trained for the same number of steps. Only the images "
        "to train on become fewer: the epoch that is kept is still chosen on the whole validation split ({share} of "
        "the training images), so that the fewest are not all the labels that are used.",
        share=percent(training.validation_fraction, 0),
    )


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """The lead of convolution at every number of training images, and where it is widest; described, not tested."""
    findings, level_names = [], level_labels(curves)
    for (variant, reference), group in contrasts.groupby(["variant", "reference"], sort=False):
        rows = [row for row in group.itertuples() if not missing(row.difference)]
        absent = [
            level_names[row.measure.removeprefix("lead, ")] for row in group.itertuples() if missing(row.difference)
        ]
        values = {"model": labels[variant], "reference": labels[reference]}
        without = (
            _(
                "{model} and {reference} cannot be compared with {levels}: no seed has finished runs of both.",
                levels=listing(absent),
                **values,
            )
            if absent
            else ""
        )
        if not rows:
            findings.append(Finding(without))
            continue
        widest = max(row.difference for row in rows)
        at = listing(level_names[row.measure.removeprefix("lead, ")] for row in rows if row.difference == widest)
        differences = [f"{level_names[row.measure.removeprefix('lead, ')]}: {difference_text(row)}" for row in rows]
        text = _(
            "{model} minus {reference} by number of training images, in equally many steps: {differences}.",
            differences="; ".join(differences),
            **values,
        )
        leads = N_("Described, not tested: as observed its lead is widest at {widest}.")
        behind = N_("Described, not tested: as observed it leads at none of them.")
        picked = _(leads if widest > 0 else behind, widest=at)
        findings.append(exploratory(joined(text, picked, without), {"widest_lead": widest}))
    return findings
