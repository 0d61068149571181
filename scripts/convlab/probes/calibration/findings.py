"""Findings of the calibration probe: the variants with the lowest and the highest calibration error."""

from collections.abc import Mapping

import pandas as pd

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import number
from convlab.probes.sentences import joined, without_finished_run
from convlab.training.recipe import Training

TITLE = N_("Calibration of every variant")


def introduction(training: Training, given_validation: bool) -> str:
    return _("Whether confidence can be trusted, beside accuracy.")


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """The variants with the lowest and the highest calibration error."""
    wide = curves.pivot(index="variant", columns="measure", values="mean").dropna()
    unfinished = [labels[variant] for variant in dict.fromkeys(curves["variant"]) if variant not in wide.index]
    without = without_finished_run(unfinished)
    if len(wide) < 2 or wide["ece"].nunique() < 2:
        return [Finding(without)] if without else []
    best, worst = wide["ece"].idxmin(), wide["ece"].idxmax()
    text = _(
        "As observed, the calibration error is lowest for {best} (ECE {best_ece}, loss {best_loss}) and highest for "
        "{worst} ({worst_ece}, loss {worst_loss}); this is described, not tested.",
        best=labels[best],
        best_ece=number(wide.loc[best, "ece"]),
        best_loss=number(wide.loc[best, "test_loss"]),
        worst=labels[worst],
        worst_ece=number(wide.loc[worst, "ece"]),
        worst_loss=number(wide.loc[worst, "test_loss"]),
    )
    return [
        Finding(joined(text, without), {"lowest_ece": wide.loc[best, "ece"], "highest_ece": wide.loc[worst, "ece"]})
    ]
