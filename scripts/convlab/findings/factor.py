"""One factor: the best level, the decision, the trend."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import contrast_text, outcome, quoted_numbers, seeds_text, why_inconclusive
from convlab.findings.dense_vs_conv import costs
from convlab.findings.evidence import Evidence, Finding, Statement
from convlab.language.numbers import count, missing, percent, points, region
from convlab.study.variants import Question


def factor(evidence: Evidence, dataset: str, question: Question) -> Finding:
    """Whether a factor pays: the best level, what is settled, the trend, the cost, and what changes along with it."""
    levels = {level.variant: level.label for level in question.levels}
    rows = {name: evidence.variant(dataset, name) for name in levels}
    means = {name: row["test_accuracy_mean"] for name, row in rows.items() if not missing(row["test_accuracy_mean"])}
    if not means:
        return Finding("factor", (Statement(_("No level has a finished run, so nothing is known.")),), question.name)
    top = max(means.values())
    best = [name for name in means if math.isclose(means[name], top, rel_tol=0, abs_tol=1e-12)]
    statements = [_best_level(question, levels, means, best)]
    statements += _decision(evidence, dataset, question, levels)
    statements += _left_out(levels, rows)
    for row in evidence.over_levels(dataset, question.name):
        measured = ("slope", "f_statistic", "contrast", "ci_low", "ci_high", "p_value")
        kept = {name: row[name] for name in measured if not missing(row.get(name))}
        statements.append(Statement(row["sentence"], kept))
    if question.reference not in best:
        statements += costs(evidence, dataset, best[0], question.reference)
    statements += _moves_along(question, rows)
    return Finding("factor", tuple(statements), question.name)


def _best_level(
    question: Question, levels: Mapping[str, str], means: Mapping[str, float], best: Sequence[str]
) -> Statement:
    said = {
        "factor": question.subject,
        "levels": listing(levels[name] for name in best),
        "accuracy": percent(means[best[0]]),
        "reference": levels[question.reference],
    }
    numbers = {"best": means[best[0]]}
    if question.reference in best:
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the highest mean test accuracy, {accuracy}; that is the "
            "reference level.",
            "Of {all} levels of {factor}, {levels} share the highest mean test accuracy, {accuracy}; the reference "
            "level is among them.",
            len(best),
            all=len(levels),
            **said,
        )
    elif question.reference in means:
        numbers["reference"] = means[question.reference]
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the highest mean test accuracy, {accuracy}; the reference "
            "{reference} has {reference_accuracy}.",
            "Of {all} levels of {factor}, {levels} share the highest mean test accuracy, {accuracy}; the reference "
            "{reference} has {reference_accuracy}.",
            len(best),
            all=len(levels),
            **said,
            reference_accuracy=percent(means[question.reference]),
        )
    else:
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the highest mean test accuracy, {accuracy}; the reference "
            "{reference} has no finished run.",
            "Of {all} levels of {factor}, {levels} share the highest mean test accuracy, {accuracy}; the reference "
            "{reference} has no finished run.",
            len(best),
            all=len(levels),
            **said,
        )
    return Statement(text, numbers)


def _decision(evidence: Evidence, dataset: str, question: Question, levels: Mapping[str, str]) -> list[Statement]:
    """What is settled about the levels against the reference, and what is not."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in evidence.contrasts(dataset, question.name):
        groups.setdefault(outcome(row), []).append(row)
    reference = levels[question.reference]

    def named(kind: str) -> str:
        return listing(f"{levels[row['variant']]} ({points(row['difference'])})" for row in groups[kind])

    def numbers(kind: str) -> dict[str, float]:
        return {f"difference {levels[row['variant']]}": row["difference"] for row in groups[kind]}

    statements = []
    settled = set(groups) & {"better", "worse", "equivalent"}
    if "better" in groups:
        text = ngettext(
            "It pays in test accuracy: better than {reference} is {levels}.",
            "It pays in test accuracy: better than {reference} are {levels}.",
            len(groups["better"]),
            reference=reference,
            levels=named("better"),
        )
        statements.append(Statement(text, numbers("better")))
    elif settled and set(groups) <= {"worse", "equivalent"}:
        text = _("It does not pay in test accuracy: no level is better than {reference}.", reference=reference)
        statements.append(Statement(text))
    if "worse" in groups:
        text = ngettext(
            "Worse than {reference} is {levels}.",
            "Worse than {reference} are {levels}.",
            len(groups["worse"]),
            reference=reference,
            levels=named("worse"),
        )
        statements.append(Statement(text, numbers("worse")))
    if "equivalent" in groups:
        text = ngettext(
            "Equivalent to {reference} within {region} is {levels}.",
            "Equivalent to {reference} within {region} are {levels}.",
            len(groups["equivalent"]),
            reference=reference,
            region=region(evidence.rope),
            levels=named("equivalent"),
        )
        statements.append(Statement(text, numbers("equivalent")))
    if "inconclusive" in groups:
        first = max(groups["inconclusive"], key=lambda row: abs(row["difference"]))
        seeds = seeds_text(evidence, dataset, first["variant"], question.reference)
        said = {
            "reference": reference,
            "level": levels[first["variant"]],
            "difference": contrast_text(first, seeds),
            "reasons": why_inconclusive(first),
        }
        if len(groups["inconclusive"]) > 1:
            text = _(
                "Not settled against {reference}: {level}, {difference}; {reasons}. "
                "It has the largest difference of those that are not settled: {levels}.",
                **said,
                levels=named("inconclusive"),
            )
        else:
            text = _("Not settled against {reference}: {level}, {difference}; {reasons}.", **said)
        statements.append(Statement(text, numbers("inconclusive") | quoted_numbers(first)))
    if "smoke" in groups:
        text = _(
            "Nothing is inferred: with n = {n} this is a smoke test. Observed against {reference}: {levels}.",
            n=listing(map(str, sorted({int(row["n_seeds"]) for row in groups["smoke"]}))),
            reference=reference,
            levels=named("smoke"),
        )
        statements.append(Statement(text, numbers("smoke")))
    if "missing" in groups:
        names = listing(levels[row["variant"]] for row in groups["missing"])
        statements.append(
            Statement(
                _("{levels} cannot be compared with {reference}: a side has no finished run.",
                  levels=names, reference=reference)
            )
        )  # fmt: skip
    return statements


def _left_out(levels: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]) -> list[Statement]:
    """Diverged runs of the levels, which means and verdicts are silent about."""
    diverged = {name: int(row["n_diverged"]) for name, row in rows.items() if row["n_diverged"]}
    if not diverged:
        return []
    counts = (
        _("{level} ({n} of {all})", level=levels[name], n=n, all=n + int(rows[name]["n_seeds"]))
        for name, n in diverged.items()
    )
    text = _("Runs that diverged: {levels}. What is said here is about the runs that finished.", levels=listing(counts))
    return [Statement(text, {f"diverged {levels[name]}": n for name, n in diverged.items()})]


def _moves_along(question: Question, rows: Mapping[str, Mapping[str, Any]]) -> list[Statement]:
    """What else differs between the levels, which the factor's effect cannot be told from."""
    ranges = {
        "parameters": N_("{low} to {high} parameters"),
        "macs": N_("{low} to {high} MACs per image"),
        "receptive_field": N_("{low} to {high} pixels of receptive field"),
    }
    parts, numbers = [], {}
    for column, message in ranges.items():
        values = [row[column] for row in rows.values()]
        low, high = min(values), max(values)
        if low != high:
            parts.append(_(message, low=count(low), high=count(high)))
            numbers |= {f"{column}_low": low, f"{column}_high": high}
    if not parts:
        return []
    text = _(
        "What changes along with {factor}, and is not told apart from it here: {changes}.",
        factor=question.subject,
        changes=listing(parts),
    )
    return [Statement(text, numbers)]
