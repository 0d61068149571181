"""Findings of the receptive-field probe: the receptive field of the most accurate variant, and the rank correlation."""

from collections.abc import Mapping

import pandas as pd

from convlab.common import i18n
from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import number, percent
from convlab.probes.sentences import joined, without_finished_run
from convlab.training.recipe import Training

TITLE = N_("Receptive field: is it what a layer sees?")


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "Larger kernels also see further; this holds accuracy against what is seen. A unit that sees "
        "more pixels across than the image has sees all of it; the rest is padding."
    )


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """The receptive fields of the convolutional variants, the most accurate, and the rank correlation over means."""
    known = curves.dropna(subset=["mean"])
    without = without_finished_run([labels[variant] for variant in curves.loc[curves["mean"].isna(), "variant"]])
    if not len(known):
        return [Finding(without)]
    best = known[known["mean"] == known["mean"].max()]
    fields = sorted(curves["order"].unique())
    values = {
        "least": i18n.number(fields[0], "g"),
        "most": i18n.number(fields[-1], "g"),
        "best": listing(labels[variant] for variant in best["variant"]),
        "accuracy": percent(best["mean"].iloc[0]),
    }
    if len(fields) == 1:
        text = ngettext(
            "One unit of the last feature map sees {least} pixels across in the only convolutional variant.",
            "One unit of the last feature map sees {least} pixels across in all {n} convolutional variants, so that "
            "nothing can be said of what it sees.",
            len(curves),
            **values,
        )
        return [Finding(joined(text, without), {"best_field": fields[0]})]
    text = ngettext(
        "One unit of the last feature map sees {least} to {most} pixels across. The highest mean test accuracy, "
        "{accuracy}, has {best}, which sees {field}.",
        "One unit of the last feature map sees {least} to {most} pixels across. The highest mean test accuracy, "
        "{accuracy}, is shared by {best}, which see {field}.",
        len(best),
        field=listing(i18n.number(field, "g") for field in best["order"]),
        **values,
    )
    numbers = {"best_field": best["order"].iloc[0]}
    if known["order"].nunique() >= 3 and known["mean"].nunique() >= 3:
        from scipy import stats  # takes a third of a second, and most processes need none of it

        rho = float(stats.spearmanr(known["order"], known["mean"]).statistic)
        correlation = _(
            "Over the variants' means, the rank correlation of receptive field and accuracy is {rho} (description, not "
            "a test: other things change along with the field).",
            rho=number(rho, 2),
        )
        text = joined(text, correlation)
        numbers["spearman"] = rho
    return [Finding(joined(text, without), numbers)]
