"""Findings about a factor: the best level, verdicts of the levels, the trend, the cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import contrast_text, quoted_numbers, verdict_or_gap, why_inconclusive
from convlab.findings.dense_vs_conv import costs
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.language.numbers import change, count, level, missing, region
from convlab.study.metrics import Metric
from convlab.study.variants import Question


def factor(results: StudyResults, dataset: str, question: Question) -> Topic:
    """Findings about a factor: best level, verdicts against the reference, trend, cost, what varies along with it."""
    levels = question.level_labels
    rows = {name: results.variant(dataset, name) for name in levels}
    metric = results.plan.metric
    measured = {name: row[f"{metric.column}_mean"] for name, row in rows.items()}
    means = {name: mean for name, mean in measured.items() if not missing(mean)}
    if not means:
        return Topic("factor", (Finding(_("No level has a finished run, so nothing is known.")),), question.name)
    top = max(means.values()) if metric.higher_is_better else min(means.values())
    best = [name for name in means if math.isclose(means[name], top, rel_tol=0, abs_tol=1e-12)]
    findings = [_best_level(question, metric, levels, means, best)]
    findings += _against_reference(results, dataset, question, levels)
    findings += _left_out(levels, rows)
    for row in results.over_levels(dataset, question.name):
        quoted = ("slope", "f_statistic", "contrast", "ci_low", "ci_high", "p_value")
        kept = {name: row[name] for name in quoted if not missing(row.get(name))}
        inferred = {"p_value", "ci_low"} & kept.keys()
        findings.append(Finding(row["sentence"], kept, "exploratory" if inferred else "measured"))
    if question.reference not in best:
        findings += costs(results, dataset, best[0], question.reference)
    findings += _moves_along(question, rows)
    return Topic("factor", tuple(findings), question.name)


def _best_level(
    question: Question, metric: Metric, levels: Mapping[str, str], means: Mapping[str, float], best: Sequence[str]
) -> Finding:
    """The levels with the best mean of the metric, beside the reference."""
    extreme = N_("highest mean {metric}") if metric.higher_is_better else N_("lowest mean {metric}")
    parts = {
        "extreme": _(extreme, metric=_(metric.name)),
        "factor": question.subject,
        "levels": listing(levels[name] for name in best),
        "value": level(means[best[0]], metric),
        "reference": levels[question.reference],
    }
    numbers = {"best": means[best[0]]}
    if question.reference in best:
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the {extreme}, {value}; that is the reference level.",
            "Of {all} levels of {factor}, {levels} share the {extreme}, {value}; the reference level is among them.",
            len(best),
            all=len(levels),
            **parts,
        )
    elif question.reference in means:
        numbers["reference"] = means[question.reference]
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the {extreme}, {value}; the reference "
            "{reference} has {reference_value}.",
            "Of {all} levels of {factor}, {levels} share the {extreme}, {value}; the reference "
            "{reference} has {reference_value}.",
            len(best),
            all=len(levels),
            **parts,
            reference_value=level(means[question.reference], metric),
        )
    else:
        text = ngettext(
            "Of {all} levels of {factor}, {levels} has the {extreme}, {value}; the reference "
            "{reference} has no finished run.",
            "Of {all} levels of {factor}, {levels} share the {extreme}, {value}; the reference "
            "{reference} has no finished run.",
            len(best),
            all=len(levels),
            **parts,
        )
    return Finding(text, numbers)


@dataclass(frozen=True)
class LevelGroups:
    """The levels of a factor against its reference, grouped by verdict.

    Attributes:
        levels: label of each level's variant.
        rows: comparisons by verdict, or by why they have none.
    """

    results: StudyResults
    dataset: str
    question: Question
    levels: Mapping[str, str]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def metric(self) -> Metric:
        return self.results.plan.metric

    @property
    def reference(self) -> str:
        return self.levels[self.question.reference]

    def named(self, verdict: str) -> str:
        """Levels with one verdict and their differences, as text."""
        return listing(
            f"{self.levels[row['variant']]} ({change(row['difference'], self.metric)})" for row in self.rows[verdict]
        )

    def numbers(self, verdict: str) -> dict[str, float]:
        return {f"difference {self.levels[row['variant']]}": row["difference"] for row in self.rows[verdict]}


def _against_reference(
    results: StudyResults, dataset: str, question: Question, levels: Mapping[str, str]
) -> list[Finding]:
    """Verdicts of the levels against the reference."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in results.contrasts(dataset, question.name):
        rows.setdefault(verdict_or_gap(row), []).append(row)
    groups = LevelGroups(results, dataset, question, levels, rows)
    findings = [rule(groups) for kind, rule in RULES if kind in rows]
    if rows and set(rows) <= {"worse", "equivalent"}:
        text = _(
            "It does not pay in {metric}: no level is better than {reference}.",
            metric=_(groups.metric.name),
            reference=groups.reference,
        )
        findings.insert(0, Finding(text))
    return findings


def _better(groups: LevelGroups) -> Finding:
    text = ngettext(
        "It pays in {metric}: better than {reference} is {levels}.",
        "It pays in {metric}: better than {reference} are {levels}.",
        len(groups.rows["better"]),
        metric=_(groups.metric.name),
        reference=groups.reference,
        levels=groups.named("better"),
    )
    return Finding(text, groups.numbers("better"))


def _worse(groups: LevelGroups) -> Finding:
    text = ngettext(
        "Worse than {reference} is {levels}.",
        "Worse than {reference} are {levels}.",
        len(groups.rows["worse"]),
        reference=groups.reference,
        levels=groups.named("worse"),
    )
    return Finding(text, groups.numbers("worse"))


def _equivalent(groups: LevelGroups) -> Finding:
    text = ngettext(
        "Equivalent to {reference} within {region} is {levels}.",
        "Equivalent to {reference} within {region} are {levels}.",
        len(groups.rows["equivalent"]),
        reference=groups.reference,
        region=region(groups.results.rope, groups.metric.difference_unit),
        levels=groups.named("equivalent"),
    )
    return Finding(text, groups.numbers("equivalent"))


def _inconclusive(groups: LevelGroups) -> Finding:
    """The largest difference that is not settled, and why; the others by name."""
    rows = groups.rows["inconclusive"]
    largest = max(rows, key=lambda row: abs(row["difference"]))
    parts = {
        "reference": groups.reference,
        "level": groups.levels[largest["variant"]],
        "difference": contrast_text(largest),
        "reasons": why_inconclusive(largest),
    }
    if len(rows) > 1:
        text = _(
            "Not settled against {reference}: {level}, {difference}; {reasons}. "
            "It has the largest difference of those that are not settled: {levels}.",
            **parts,
            levels=groups.named("inconclusive"),
        )
    else:
        text = _("Not settled against {reference}: {level}, {difference}; {reasons}.", **parts)
    return Finding(text, groups.numbers("inconclusive") | quoted_numbers(largest))


def _too_few_seeds(groups: LevelGroups) -> Finding:
    text = _(
        "Nothing is inferred: with n = {n} this is a smoke test. Observed against {reference}: {levels}.",
        n=listing(map(str, sorted({int(row["n_seeds"]) for row in groups.rows["smoke"]}))),
        reference=groups.reference,
        levels=groups.named("smoke"),
    )
    return Finding(text, groups.numbers("smoke"))


def _without_runs(groups: LevelGroups) -> Finding:
    names = listing(groups.levels[row["variant"]] for row in groups.rows["missing"])
    return Finding(
        _(
            "{levels} cannot be compared with {reference}: a side has no finished run.",
            levels=names,
            reference=groups.reference,
        )
    )


RULES: tuple[tuple[str, Callable[[LevelGroups], Finding]], ...] = (
    ("better", _better),
    ("worse", _worse),
    ("equivalent", _equivalent),
    ("inconclusive", _inconclusive),
    ("smoke", _too_few_seeds),
    ("missing", _without_runs),
)
"""Sentence for each verdict, in reading order."""


def _left_out(levels: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Diverged runs of the levels; means and verdicts are about the finished ones."""
    diverged = {name: int(row["n_diverged"]) for name, row in rows.items() if row["n_diverged"]}
    if not diverged:
        return []
    counts = (
        _("{level} ({n} of {all})", level=levels[name], n=n, all=n + int(rows[name]["n_seeds"]))
        for name, n in diverged.items()
    )
    text = _("Runs that diverged: {levels}. What is said here is about the runs that finished.", levels=listing(counts))
    return [Finding(text, {f"diverged {levels[name]}": n for name, n in diverged.items()})]


def _moves_along(question: Question, rows: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
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
    return [Finding(text, numbers)]
