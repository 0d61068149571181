"""The report's interpretation: rules that turn tables into sentences, each with the numbers that it quotes.

Pure: frames and the plan in, findings out. No sentence claims more than its rule checked. What is assumed and what is
only a possible reason is marked as such (``Finding.kind``), so that the page can tell it from what was measured.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.assumptions import assumptions, limits_of_convolution
from convlab.findings.dense_vs_conv import baseline
from convlab.findings.factor import factor
from convlab.findings.feature_maps import feature_maps
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.findings.training import calibration, errors, fit, noise
from convlab.language.numbers import count

CLAIM_VERDICTS = ("supported", "contradicted", "inconclusive", "described")


def interpret(
    results: StudyResults, dataset: str, measured: Mapping[str, Sequence[Finding]] | None = None
) -> list[Topic]:
    """Findings about one dataset by topic, in reading order; topics without a finding are left out.

    Args:
        measured: findings of probes by assumption (``locality``, ``weight_sharing``, ``translation``); an assumption
            without one is marked as not measured.
    """
    questions = [question for question in results.plan.questions.values() if question.levels]
    if missing_metric := _metric_not_defined(results, dataset):
        by_metric = [missing_metric]
    else:
        by_metric = [
            baseline(results, dataset),
            *(factor(results, dataset, question) for question in questions),
            noise(results, dataset),
        ]
    topics = [
        *by_metric,
        *(feature_maps(results, dataset, question) for question in questions),
        fit(results, dataset),
        errors(results, dataset),
        calibration(results, dataset),
        assumptions(results, dataset, measured or {}),
        limits_of_convolution(results, dataset),
    ]
    return [topic for topic in topics if topic.findings]


def _metric_not_defined(results: StudyResults, dataset: str) -> Topic | None:
    """Finding in the place of verdicts where runs have finished and the metric is defined for none of them."""
    metric, rows = results.plan.metric, results.variants[results.variants["dataset"] == dataset]
    if not rows["n_seeds"].any() or rows[f"{metric.column}_mean"].notna().any():
        return None
    text = _(
        "No verdict on {dataset}: {metric} is not defined where a class has no test image.",
        dataset=dataset,
        metric=_(metric.name),
    )
    return Topic("noise", (Finding(text),))


def claims_count(results: StudyResults) -> Finding | None:
    """How many claims were supported, contradicted, inconclusive and described; None without claims.

    Exploratory claims are counted apart, after those that were registered before any run.
    """
    claims = results.claims
    if claims.empty:
        return None
    registered = claims["registration"] == "registered"
    texts = []
    if registered.any():
        texts.append(_counted(claims[registered]))
    if not registered.all():
        texts.append(_("Exploratory: {counts}", counts=_counted(claims[~registered])))
    numbers = {verdict: int((claims["verdict"] == verdict).sum()) for verdict in CLAIM_VERDICTS}
    return Finding(" ".join(texts), {**numbers, "claims": len(claims), "exploratory": int((~registered).sum())})


def _counted(claims: pd.DataFrame) -> str:
    """Counts of the verdicts of some claims, in a sentence."""
    counts = {verdict: int((claims["verdict"] == verdict).sum()) for verdict in CLAIM_VERDICTS}
    sayings = {
        "supported": lambda n: ngettext("{n} is supported", "{n} are supported", n),
        "contradicted": lambda n: ngettext("{n} is contradicted", "{n} are contradicted", n),
        "inconclusive": lambda n: ngettext("{n} is inconclusive", "{n} are inconclusive", n),
        "described": lambda n: ngettext("{n} is about times and described", "{n} are about times and described", n),
    }
    total, parts = len(claims), listing(sayings[verdict](n) for verdict, n in counts.items() if n)
    if claims["claim"].nunique() == total:
        return ngettext("Of {n} claim, {parts}.", "Of {n} claims, {parts}.", total, parts=parts)
    return _("Of {n} claims, each dataset counted, {parts}.", n=count(total), parts=parts)


def claims_met_by_guess(results: StudyResults) -> Finding | None:
    """Which supported claims a constant guess meets too, so that their support says little; None without one."""
    claims = results.claims
    if claims.empty:
        return None
    names = list(
        dict.fromkeys(claims.loc[(claims["met_by_guess"] == "yes") & (claims["verdict"] == "supported"), "claim"])
    )
    if not names:
        return None
    text = ngettext(
        "Supported, but met by a constant guess too, which looks at no image: the claim {claims}.",
        "Supported, but met by a constant guess too, which looks at no image: the claims {claims}.",
        len(names),
        claims=listing(names),
    )
    return Finding(text, {"claims": len(names)})
