"""Whether an effect holds across datasets: a question's verdicts on all of them, one finding per comparison."""

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import diverged, verdict_or_gap
from convlab.findings.study_results import Finding, StudyResults
from convlab.language.contrasts import contrast_labels
from convlab.language.numbers import change, missing
from convlab.study.variants import Question

SETTLED_VERDICTS = ("better", "worse", "equivalent")

VERDICT_ON_DATASETS = {
    "better": N_("better on {datasets}"),
    "worse": N_("worse on {datasets}"),
    "equivalent": N_("equivalent on {datasets}"),
    "inconclusive": N_("not settled on {datasets}"),
    "smoke": N_("not tested on {datasets}"),
    "missing": N_("without a value on {datasets}"),
}


def across_datasets(results: StudyResults, question: Question, datasets: list[str]) -> list[Finding]:
    """Verdicts of each comparison on all datasets; nothing for a study with one dataset."""
    if len(datasets) < 2:
        return []
    findings = []
    for variant in question.variants:
        rows = {
            dataset: next(row for row in results.contrasts(dataset, question.name) if row["variant"] == variant)
            for dataset in datasets
        }
        verdicts = {dataset: verdict_or_gap(row) for dataset, row in rows.items()}
        measured = {dataset: row["difference"] for dataset, row in rows.items() if not missing(row["difference"])}
        named = {
            dataset: f"{dataset} ({change(measured[dataset], results.plan.metric)})" if dataset in measured else dataset
            for dataset in datasets
        }
        label, reference = contrast_labels(results.plan, question, variant)
        parts = []
        for kind, words in VERDICT_ON_DATASETS.items():
            for partly in (False, True):  # whether runs that diverged are left out of the verdict
                names = [
                    named[dataset]
                    for dataset, row in rows.items()
                    if verdicts[dataset] == kind and (kind in SETTLED_VERDICTS and diverged(row) > 0) == partly
                ]
                if names:
                    part = _(words, datasets=listing(names))
                    parts.append(_("{verdict}, of the runs that finished", verdict=part) if partly else part)
        where = _(
            "{variant} against {reference} is {verdicts}.",
            variant=label,
            reference=reference,
            verdicts="; ".join(parts),
        )
        text = f"{_reach(list(verdicts.values()))} {where}"
        findings.append(Finding(text, measured))
    return findings


def _reach(verdicts: list[str]) -> str:
    """Whether verdicts on several datasets agree, in one sentence.

    Only opposite verdicts, or an effect on one dataset beside equivalence on another, show that something does not
    carry over. An inconclusive dataset contradicts nothing.
    """
    n, settled = len(verdicts), [verdict for verdict in verdicts if verdict in SETTLED_VERDICTS]
    kinds = set(settled)
    if {"better", "worse"} <= kinds:
        return _("The datasets disagree.")
    if len(kinds) > 1:
        return _("An effect on one dataset, none of practical size on another: it does not carry over to all of them.")
    if not settled:
        return ngettext("Settled on none of {n} dataset.", "Settled on none of {n} datasets.", n)
    if len(settled) == n:
        return ngettext("The same on all {n} dataset.", "The same on all {n} datasets.", n)
    return ngettext(
        "Settled on {settled} of {n} dataset; on the others this study does not tell.",
        "Settled on {settled} of {n} datasets; on the others this study does not tell.",
        n,
        settled=len(settled),
    )
