"""Findings of the attributions probe: which methods pass which checks, and what their maps do not show."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing
from convlab.probes.attributions.settings import METHODS
from convlab.probes.attributions.table import CHECKS, by_method, only_strengths_fail, verdicts
from convlab.probes.sentences import exploratory, joined
from convlab.statistics.describe import MIN_SEEDS
from convlab.training.recipe import Training

TITLE = N_("Attributions: what speaks for a class?")

PASS = N_("Of the maps of {model} those by {methods} pass all checks.")

FAILURES = {
    "randomised": N_("they are like those of the untrained network"),
    "strengths": N_("their strengths are like those of the untrained network, and their colours alone were learned"),
    "planted": N_("most of their strongest pixels miss the one square that tells the class on planted data"),
    "agreement": N_("runs that differ in the seed alone give other maps"),
}
"""What it means that a method fails a check."""

UNDECIDED = {
    "randomised": N_("whether they depend on what was learned"),
    "planted": N_("whether they point to what tells the class"),
    "agreement": N_("whether runs agree"),
}


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "Maps of which pixels speak for the true class of fixed test images: what raises its logit above the mean of "
        "all logits. Such maps look plausible whatever they show, so each method has three checks on these models: "
        "against the same network untrained, on planted data whose answer is known, and between runs. A map that fails "
        "one, or could not be checked, is shown for that, and is no explanation of what a model looks at."
    )


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """For each variant the methods that pass all checks, and why the others do not."""
    return [of_variant(labels[variant], rows) for variant, rows in by_method(curves)]


def of_variant(model: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Finding:
    """Which methods pass all checks on one variant, which fail, and which it does not have."""
    methods = [method for method in METHODS if method in rows]
    if not methods:
        return Finding(_("There are no maps of {model}: its layers cannot be copied, or no run finished.", model=model))
    texts, numbers = [], {}
    for method in methods:
        for check in CHECKS:
            row = rows[method].get(check)
            if row is not None and not missing(row["mean"]):
                numbers[f"{method}_{check}"] = row["mean"]
    decides = max(row["n_seeds"] for row in rows[methods[0]].values()) >= MIN_SEEDS
    if not decides:
        texts.append(_("With fewer than three seeds no check of the maps of {model} is decided.", model=model))
    else:
        alone = {method for method in methods if only_strengths_fail(rows[method])}
        texts += checked(model, {method: verdicts(rows[method]) for method in methods}, alone)
    if "grad_cam" not in rows:
        without = N_(
            "There is no Grad-CAM of {model}: no feature map of a convolution that can be looked into has every path "
            "to the output behind it."
        )
        texts.append(_(without, model=model))
    return exploratory(joined(*texts), numbers) if decides else Finding(joined(*texts), numbers)


def checked(model: str, of_methods: Mapping[str, Mapping[str, str]], strengths_fail: Collection[str]) -> list[str]:
    """Sentences about the methods that pass, that fail, and that are not decided; each method is in one of them.

    Args:
        of_methods: verdict of each check by method.
        strengths_fail: the methods of which only the strengths are like those of the untrained network.
    """
    names = {method: _(METHODS[method]) for method in of_methods}
    passed = [names[method] for method, checks in of_methods.items() if set(checks.values()) == {"passed"}]
    sentences = [_("Of the maps of {model} those by no method pass all checks.", model=model)]
    if passed:
        sentences = [_(PASS, model=model, methods=listing(passed))]
    for method, checks in of_methods.items():
        failed = [check for check in CHECKS if checks[check] == "failed"]
        reasons = ["strengths" if check == "randomised" and method in strengths_fail else check for check in failed]
        open_checks = [_(UNDECIDED[check]) for check in CHECKS if checks[check] in ("undecided", "not_made")]
        if failed:
            failures = listing(_(FAILURES[reason]) for reason in reasons)
            sentences.append(_("Those by {method} fail: {reasons}.", method=names[method], reasons=failures))
        elif open_checks:
            text = _("Of those by {method} it is open {checks}.", method=names[method], checks=listing(open_checks))
            sentences.append(text)
    return sentences
