"""What the numbers say: rules from tables to sentences, in both directions, each with the numbers that it quotes.

Pure: frames and the plan in, findings out. No sentence claims more than its rule checked. What is assumed and what is
only a possible reason is marked as such (``Statement.kind``), so that the page can tell it from what was measured.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from convlab import i18n, sentences, statistics
from convlab.i18n import N_, listing, ngettext, with_unit
from convlab.i18n import gettext as _
from convlab.plan import Plan, Question
from convlab.specs import Conv, Dense

Kind = Literal["measured", "assumed", "conjecture", "note"]
Outcome = Literal["better", "worse", "equivalent", "inconclusive", "smoke", "missing"]

MISSING = "–"
CLOSE = 0.01
"""Gaps of training to validation, or of confidence to accuracy, up to this fraction are called close."""

RISE = 0.05
"""A validation loss that ends this share above its lowest value is said to have risen."""

ALIKE = 1.25
"""Parameter counts within this ratio of each other are called alike."""

IMAGES_PER_BIN = 100
"""With fewer test images in a bin the calibration error is noticeably biased upwards (Nixon et al. 2019)."""

FEW_TEST_IMAGES = 2000
FEW_SEEDS = 5
IMBALANCED = 1.5
"""The largest class over the smallest from which on accuracy alone misleads."""


@dataclass(frozen=True)
class Statement:
    """A sentence or two, and the numbers in it by name, as they are in the tables (fractions, counts)."""

    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    kind: Kind = "measured"


@dataclass(frozen=True)
class Finding:
    """What belongs together under one heading; ``question`` names the experiment that it is about, if one."""

    topic: str
    statements: tuple[Statement, ...]
    question: str | None = None


@dataclass(frozen=True)
class Evidence:
    """All that sentences may quote. Frames as in compare/, ``fits`` from :func:`fits_table`, ``confidence`` with mean
    confidence and accuracy of each run; ``confusions`` by dataset and variant, summed over seeds."""

    plan: Plan
    rope: float
    runs: pd.DataFrame
    variants: pd.DataFrame
    comparisons: pd.DataFrame
    trends: pd.DataFrame
    factorials: pd.DataFrame
    per_class: pd.DataFrame
    fits: pd.DataFrame
    confidence: pd.DataFrame
    confusions: Mapping[str, Mapping[str, Sequence[Sequence[int]]]]
    classes: Mapping[str, Sequence[str]]
    test_images: Mapping[str, int]
    chosen: Mapping[str, str | None]
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)

    def variant(self, dataset: str, name: str) -> dict[str, Any]:
        """The row of one variant."""
        rows = self.variants
        return rows[(rows["dataset"] == dataset) & (rows["variant"] == name)].iloc[0].to_dict()

    def contrasts(self, dataset: str, question: str) -> list[dict[str, Any]]:
        """The rows of one question's comparisons."""
        rows = self.comparisons
        return rows[(rows["dataset"] == dataset) & (rows["experiment"] == question)].to_dict("records")

    def over_levels(self, dataset: str, question: str) -> list[dict[str, Any]]:
        """What is said of an experiment as a whole: the trend over ordered levels, or the effects of two factors."""
        return [
            row
            for rows in (self.trends, self.factorials)
            for row in rows[(rows["dataset"] == dataset) & (rows["experiment"] == question)].to_dict("records")
        ]

    def label(self, name: str) -> str:
        return self.plan.variants[name].label

    def is_conv(self, name: str) -> bool:
        return isinstance(self.plan.variants[name].model, Conv)

    def detailed(self, dataset: str) -> list[str]:
        """Variants whose errors were looked at, those without a finished run left out."""
        return [name for name, matrix in self.confusions.get(dataset, {}).items() if len(matrix)]


# ---------------------------------------------------------------------------------------------------------------------
# Numbers as text


def missing(value: Any) -> bool:
    """Whether there is no number: None, NaN or infinity."""
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))


def percent(value: float | None, decimals: int = 2) -> str:
    """A fraction as a percentage: 0.9559 is ``95.59 %``."""
    return MISSING if missing(value) else with_unit(number(100 * value, decimals), "%")


def points(value: float | None, decimals: int = 2) -> str:
    """A difference of fractions with its sign: 0.0131 is ``+1.31 pp``."""
    return MISSING if missing(value) else with_unit(sentences.signed(100 * value, decimals), "pp")


def spread(value: float | None, decimals: int = 2) -> str:
    """A distance of fractions, without a sign: 0.0081 is ``0.81 pp``."""
    return MISSING if missing(value) else with_unit(number(100 * abs(value), decimals), "pp")


def region(rope: float) -> str:
    """What counts as no difference in practice: 0.005 is ``± 0.5 pp``."""
    return f"± {with_unit(i18n.number(100 * rope, 'g'), 'pp')}"


def interval(low: float | None, high: float | None, signed: bool = True) -> str:
    """Limits of an interval: ``−0.87 to +3.50`` (points), or ``92.43 to 98.74`` (percent) without signs."""
    if missing(low) or missing(high):
        return MISSING
    write = sentences.signed if signed else number
    return _("{low} to {high}", low=write(100 * low, 2), high=write(100 * high, 2))


def number(value: float | None, decimals: int = 4) -> str:
    """A number with thousands separators and a real minus sign."""
    return MISSING if missing(value) else i18n.number(value, f",.{decimals}f")


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return number(value, 0)


def times(ratio: float) -> str:
    """How many times as much, to three significant digits: ``1.92 times``, ``18.4 times``, ``184 times``."""
    decimals = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return _("{ratio} times", ratio=number(ratio, decimals))


def at_least(value: float) -> str:
    """A detectable difference, rounded up so that "or more" stays true: 0.0291 is ``3.0 pp``."""
    value *= 100
    decimals = max(1, -math.floor(math.log10(value))) if value > 0 else 1
    return with_unit(number(math.ceil(round(value * 10**decimals, 6)) / 10**decimals, decimals), "pp")


# ---------------------------------------------------------------------------------------------------------------------
# Outcomes


def outcome(row: Mapping[str, Any]) -> Outcome:
    """A comparison's verdict, or why there is none: fewer than three seeds (``smoke``), or no value at all."""
    if missing(row["difference"]):
        return "missing"
    if row["n_seeds"] < statistics.MIN_SEEDS:
        return "smoke"
    return row["verdict"]


def headline(row: Mapping[str, Any], variant: str, reference: str, rope: float) -> str:
    """A comparison in a few words, for who reads nothing else."""
    return _(
        {
            "better": N_("{variant} is better than {reference}"),
            "worse": N_("{variant} is worse than {reference}"),
            "equivalent": N_("{variant} and {reference} are equal within {region}"),
            "inconclusive": N_("Not settled: {variant} against {reference}"),
            "smoke": N_("Nothing inferred: {variant} against {reference}"),
            "missing": N_("{variant} and {reference} cannot be compared"),
        }[outcome(row)],
        variant=variant,
        reference=reference,
        region=region(rope),
    )


def contrast_text(row: Mapping[str, Any], seeds: str) -> str:
    """The numbers of a comparison: ``+1.31 pp (95 % CI −0.87 to +3.50; n = 3 seeds each; p over the study = .34)``."""
    parts = []
    if not missing(row["ci_low"]):
        parts.append(_("95 % CI {interval}", interval=interval(row["ci_low"], row["ci_high"])))
    parts.append(seeds)
    if not missing(row["p_adjusted"]):
        parts.append(_("{p} over the study", p=sentences.format_p(row["p_adjusted"])))
    return f"{points(row['difference'])} ({'; '.join(parts)})"


def quoted(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a comparison that sentences quote."""
    names = ("difference", "ci_low", "ci_high", "p_adjusted", "detectable", "seeds_to_settle")
    return {name: row[name] for name in names if not missing(row[name])}


def open_text(row: Mapping[str, Any]) -> str:
    """Why a comparison is not settled, and what its design could have seen."""
    if missing(row["ci_low"]):
        return _("the runs do not vary, so nothing can be inferred from them")
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        reasons = [_("the interval excludes 0, but either p over the study does not reach 5 % or the estimate is tiny")]
    else:
        reasons = [_("the interval leaves room for either to be ahead")]
    if not missing(row["detectable"]):
        reasons.append(_("this design could detect {detectable} or more", detectable=at_least(row["detectable"])))
    if missing(row["seeds_to_settle"]):
        reasons.append(_("more than {n} seeds each would be needed to settle it", n=statistics.MAX_SEEDS))
    elif row["seeds_to_settle"] > row["n_seeds"]:
        reasons.append(_("about {n} seeds each would settle it", n=count(row["seeds_to_settle"])))
    return "; ".join(reasons)


def seeds_text(evidence: Evidence, dataset: str, variant: str, reference: str) -> str:
    """How many runs stand behind a comparison."""
    first, second = (int(evidence.variant(dataset, name)["n_seeds"]) for name in (variant, reference))
    if first == second:
        return ngettext("n = {n} seed each", "n = {n} seeds each", first)
    return _("n = {first} and {second} seeds", first=first, second=second)


# ---------------------------------------------------------------------------------------------------------------------
# All findings


def interpret(
    evidence: Evidence, dataset: str, measured: Mapping[str, Sequence[Statement]] | None = None
) -> list[Finding]:
    """Every finding about one dataset, in reading order.

    Args:
        measured: statements of probes by assumption (``locality``, ``weight_sharing``, ``translation``); an assumption
            without one is marked as not measured.
    """
    findings = [
        baseline(evidence, dataset),
        *(factor(evidence, dataset, question) for question in evidence.plan.questions.values() if question.levels),
        noise(evidence, dataset),
        fit(evidence, dataset),
        errors(evidence, dataset),
        calibration(evidence, dataset),
        assumptions(evidence, dataset, measured or {}),
        limits_of_convolution(evidence, dataset),
    ]
    return [finding for finding in findings if finding.statements]


# ---------------------------------------------------------------------------------------------------------------------
# Claims


def claims_count(evidence: Evidence) -> Statement | None:
    """How many claims were supported, contradicted and left open; None without claims."""
    claims = evidence.claims
    if claims.empty:
        return None
    verdicts = ("supported", "contradicted", "inconclusive")
    counts = {verdict: int((claims["verdict"] == verdict).sum()) for verdict in verdicts}
    total = len(claims)
    sayings = {
        "supported": lambda n: ngettext("{n} is supported", "{n} are supported", n),
        "contradicted": lambda n: ngettext("{n} is contradicted", "{n} are contradicted", n),
        "inconclusive": lambda n: ngettext("{n} is inconclusive", "{n} are inconclusive", n),
    }
    parts = listing(sayings[verdict](n) for verdict, n in counts.items() if n)
    if claims["claim"].nunique() == total:
        text = ngettext("Of {n} claim, {parts}.", "Of {n} claims, {parts}.", total, parts=parts)
    else:
        text = _("Of {n} claims, each dataset counted, {parts}.", n=count(total), parts=parts)
    return Statement(text, {**counts, "claims": total})


# ---------------------------------------------------------------------------------------------------------------------
# Convolution against dense


@dataclass(frozen=True)
class Duel:
    """A comparison of a convolutional with a dense variant, turned so that positive means convolution is ahead."""

    conv: str
    dense: str
    row: Mapping[str, Any]
    outcome: Outcome


def duels(evidence: Evidence, dataset: str) -> list[Duel]:
    """Every comparison of the study between a convolutional and a dense variant."""
    found = []
    for question in evidence.plan.questions.values():
        for row in evidence.contrasts(dataset, question.name):
            variant, reference = row["variant"], row["reference"]
            if evidence.is_conv(variant) == evidence.is_conv(reference):
                continue
            if not evidence.is_conv(variant):
                row, variant, reference = turned(row), reference, variant
            found.append(Duel(variant, reference, row, outcome(row)))
    return found


def turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison seen from its reference."""
    swapped = {"better": "worse", "worse": "better"}
    return {
        **row,
        "variant": row["reference"],
        "reference": row["variant"],
        "difference": -row["difference"],
        "ci_low": -row["ci_high"],
        "ci_high": -row["ci_low"],
        "verdict": swapped.get(row["verdict"], row["verdict"]),
    }


def baseline(evidence: Evidence, dataset: str) -> Finding:
    """Whether the CNN beat the dense baseline, by how much, how surely, and at what cost."""
    statements: list[Statement] = []
    for duel in duels(evidence, dataset):
        statements += _duel(evidence, dataset, duel)
    if not statements:
        statements = _no_duel(evidence, dataset)
    return Finding("baseline", tuple(statements))


def _duel(evidence: Evidence, dataset: str, duel: Duel) -> list[Statement]:
    conv, dense, row = evidence.label(duel.conv), evidence.label(duel.dense), duel.row
    said = {"conv": conv, "dense": dense}
    if duel.outcome == "missing":
        return [Statement(_("{conv} and {dense} cannot be compared: one of them has no finished run.", **said))]
    said["difference"] = contrast_text(row, seeds_text(evidence, dataset, duel.conv, duel.dense))
    said["region"] = region(evidence.rope)
    numbers = quoted(row)
    if duel.outcome == "smoke":
        main = _(
            "Nothing is inferred about {conv} against {dense}: the observed difference is {difference}, a smoke test.",
            **said,
        )
        return [Statement(main, numbers)]
    if duel.outcome == "better" and row["ci_low"] > evidence.rope:
        main = _(
            "Yes: {conv} beat {dense}. Its test accuracy differs by {difference}. "
            "Even the low end of the interval lies beyond the {region} that count as none in practice.",
            **said,
        )
    elif duel.outcome == "better":
        main = _(
            "Yes: {conv} beat {dense}. Its test accuracy differs by {difference}. "
            "The interval excludes 0, but its low end is within {region}: "
            "that there is an advantage is sure, that it matters in practice is not.",
            **said,
        )
    elif duel.outcome == "worse":
        main = _("No: {conv} did worse than {dense}. Its test accuracy differs by {difference}.", **said)
    elif duel.outcome == "equivalent":
        main = _(
            "No, and it did not lose either: {conv} and {dense} are equivalent within {region} of test accuracy. "
            "The difference is {difference}.",
            **said,
        )
    else:
        main = _(
            "Not settled: whether {conv} beats {dense} cannot be told from this study. "
            "The observed difference is {difference}; {reasons}.",
            **said,
            reasons=open_text(row),
        )
    statements = [Statement(main, numbers), *costs(evidence, dataset, duel.conv, duel.dense)]
    ratio = _parameters(evidence, dataset, duel.conv) / _parameters(evidence, dataset, duel.dense)
    if not 1 / ALIKE <= ratio <= ALIKE:
        statements.append(
            Statement(
                _("The two differ in size as well, so this compares these two models and not convolution alone."),
                {"parameters_ratio": ratio},
            )
        )
    if duel.outcome == "equivalent":
        cheaper = min((duel.conv, duel.dense), key=lambda name: evidence.variant(dataset, name)["macs"])
        statements.append(
            Statement(
                _(
                    "Of two that are equally accurate the cheaper one is {cheaper} (fewer MACs).",
                    cheaper=evidence.label(cheaper),
                )
            )
        )
    if duel.outcome == "worse":
        statements += _why_convolution_may_lose(evidence, dataset, duel)
    return statements


def _why_convolution_may_lose(evidence: Evidence, dataset: str, duel: Duel) -> list[Statement]:
    """Possible reasons, those first for which this study has a sign."""
    conv, dense = evidence.label(duel.conv), evidence.label(duel.dense)
    reasons = []
    fits = {name: _fits(evidence, dataset, name) for name in (duel.conv, duel.dense)}
    falling, seeds = _still_falling(fits[duel.conv]), len(fits[duel.conv])
    if seeds and falling > seeds / 2:
        reasons.append(
            Statement(
                ngettext(
                    "{conv} may have been trained too briefly: its validation loss was lowest at the last epoch in "
                    "{falling} of {n} seed.",
                    "{conv} may have been trained too briefly: its validation loss was lowest at the last epoch in "
                    "{falling} of {n} seeds.",
                    seeds,
                    conv=conv,
                    falling=falling,
                ),
                {"falling": falling, "seeds": seeds},
                "conjecture",
            )
        )
    gaps = {name: frame["gap"].mean() for name, frame in fits.items()}
    if gaps[duel.conv] > max(CLOSE, gaps[duel.dense] + CLOSE):
        reasons.append(
            Statement(
                _(
                    "{conv} may overfit more: its training accuracy exceeds its validation accuracy by {gap}, that of "
                    "{dense} by {other}.",
                    conv=conv,
                    dense=dense,
                    gap=points(gaps[duel.conv]),
                    other=points(gaps[duel.dense]),
                ),
                {"gap_conv": gaps[duel.conv], "gap_dense": gaps[duel.dense]},
                "conjecture",
            )
        )
    sizes = [_parameters(evidence, dataset, name) for name in (duel.conv, duel.dense)]
    if sizes[0] * ALIKE < sizes[1]:
        reasons.append(
            Statement(
                _(
                    "{conv} may be too small: it has {parameters} parameters, {dense} {others}.",
                    conv=conv,
                    dense=dense,
                    parameters=count(sizes[0]),
                    others=count(sizes[1]),
                ),
                {"parameters_conv": sizes[0], "parameters_dense": sizes[1]},
                "conjecture",
            )
        )
    reasons.append(
        Statement(
            _(
                "Where images are aligned and the place of a pixel carries meaning, a dense network can learn weights "
                "for each place, which shared weights rule out. This study does not test whether that is so here."
            ),
            kind="conjecture",
        )
    )
    return reasons


def _no_duel(evidence: Evidence, dataset: str) -> list[Statement]:
    """A study that compares no convolutional with a dense variant says why it has no answer."""
    names = list(evidence.plan.variants)
    families = {
        "conv": [n for n in names if evidence.is_conv(n)],
        "dense": [n for n in names if not evidence.is_conv(n)],
    }
    lacking = {
        "conv": N_(
            "This study trains no dense model, so it says nothing about whether convolution beats a dense network."
        ),
        "dense": N_(
            "This study trains no convolutional model, so it says nothing about whether convolution beats a dense "
            "network."
        ),
    }
    for family, message in lacking.items():
        if len(families[family]) == len(names):
            return [Statement(_(message))]
    best = [max((evidence.variant(dataset, n) for n in group), key=_accuracy) for group in families.values()]
    means = [row["test_accuracy_mean"] for row in best]
    if any(missing(mean) for mean in means):
        return [Statement(_("No comparison of a convolutional with a dense model has finished runs on both sides."))]
    return [
        Statement(
            _(
                "This study trains both families but compares no convolutional with a dense model: nothing is "
                "inferred. Described only: the highest mean test accuracy of a convolutional model is {conv_accuracy} "
                "({conv}), of a dense model {dense_accuracy} ({dense}). A comparison in the config would test it.",
                conv_accuracy=percent(means[0]),
                conv=best[0]["label"],
                dense_accuracy=percent(means[1]),
                dense=best[1]["label"],
            ),
            {"conv": means[0], "dense": means[1]},
        )
    ]


def costs(evidence: Evidence, dataset: str, variant: str, reference: str) -> list[Statement]:
    """What a variant costs beside its reference; a cost that is the same is said to be."""
    rows = [evidence.variant(dataset, name) for name in (variant, reference)]
    parts, numbers = [], {}
    for column in ("parameters", "macs"):
        values = [row[column] for row in rows]
        numbers |= {f"{column}_variant": values[0], f"{column}_reference": values[1]}
        same, other = COSTS[column]
        if values[0] == values[1]:
            parts.append(_(same, value=count(values[0])))
        else:
            ratio = times(values[0] / values[1])
            parts.append(_(other, variant=count(values[0]), reference=count(values[1]), ratio=ratio))
    seconds = [row["seconds_per_epoch"] for row in rows]
    if not any(missing(value) or value <= 0 for value in seconds):
        numbers |= {"seconds_variant": seconds[0], "seconds_reference": seconds[1]}
        parts.append(
            _(
                "{variant} s per epoch against {reference} ({ratio}, on this machine)",
                variant=number(seconds[0], 2),
                reference=number(seconds[1], 2),
                ratio=times(seconds[0] / seconds[1]),
            )
        )
    text = _(
        "The cost of {variant} beside {reference}: {costs}.",
        variant=evidence.label(variant),
        reference=evidence.label(reference),
        costs="; ".join(parts),
    )
    return [Statement(text, numbers)]


COSTS = {
    "parameters": (
        N_("the same parameters ({value})"),
        N_("{variant} parameters against {reference} ({ratio})"),
    ),
    "macs": (
        N_("the same MACs per image ({value})"),
        N_("{variant} MACs per image against {reference} ({ratio})"),
    ),
}
"""How a cost reads that is the same for both sides, and one that differs."""


# ---------------------------------------------------------------------------------------------------------------------
# One factor


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
            "Equal to {reference} within {region} is {levels}: there the cheaper level is enough.",
            "Equal to {reference} within {region} are {levels}: there the cheaper level is enough.",
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
            "reasons": open_text(first),
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
        statements.append(Statement(text, numbers("inconclusive") | quoted(first)))
    if "smoke" in groups:
        text = _(
            "Nothing is inferred: with n = {n} this is a smoke test. Observed against {reference}: {levels}.",
            n=int(min(row["n_seeds"] for row in groups["smoke"])),
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


# ---------------------------------------------------------------------------------------------------------------------
# Seeds, fit, errors, calibration


def noise(evidence: Evidence, dataset: str) -> Finding:
    """How far seeds scatter beside how far the variants' means lie apart."""
    rows = evidence.variants[evidence.variants["dataset"] == dataset]
    repeated = rows[rows["test_accuracy_sd"].notna() & (rows["n_seeds"] > 1)]
    means = rows["test_accuracy_mean"].dropna()
    images = evidence.test_images[dataset]
    statements = []
    if repeated.empty:
        statements.append(
            Statement(_("No variant has two finished runs, so how far seeds scatter is not known from this study."))
        )
    else:
        freedom = repeated["n_seeds"] - 1
        pooled = float(np.sqrt((freedom * repeated["test_accuracy_sd"] ** 2).sum() / freedom.sum()))
        said, numbers = {"sd": spread(pooled)}, {"sd": pooled}
        if len(means) > 1:
            reach = float(means.max() - means.min())
            ordered = rows.dropna(subset="test_accuracy_mean").sort_values("test_accuracy_mean", ascending=False)
            first, second = ordered.iloc[0], ordered.iloc[1]
            lead = float(first["test_accuracy_mean"] - second["test_accuracy_mean"])
            error = pooled * math.sqrt(1 / first["n_seeds"] + 1 / second["n_seeds"])
            numbers |= {"range": reach, "lead": lead, "se": error}
            scatter = ngettext(
                "From seed to seed a variant's test accuracy has an SD of {sd}, pooled over {n} variant; the means of "
                "all variants lie {range} apart from lowest to highest.",
                "From seed to seed a variant's test accuracy has an SD of {sd}, pooled over {n} variants; the means of "
                "all variants lie {range} apart from lowest to highest.",
                len(repeated),
                **said,
                range=spread(reach),
            )
            turns = N_(
                "{first} leads {second} by {lead}, beside a standard error of {error}: the order of these two could "
                "turn with other seeds."
            )
            stays = N_(
                "{first} leads {second} by {lead}, beside a standard error of {error}: more than twice what seeds "
                "alone move it."
            )
            leads = _(
                turns if lead < 2 * error else stays,
                first=first["label"],
                second=second["label"],
                lead=spread(lead),
                error=spread(error),
            )
            text = f"{scatter} {leads}"
        else:
            text = ngettext(
                "From seed to seed a variant's test accuracy has an SD of {sd}, pooled over {n} variant.",
                "From seed to seed a variant's test accuracy has an SD of {sd}, pooled over {n} variants.",
                len(repeated),
                **said,
            )
        statements.append(Statement(text, numbers))
    if len(means):
        accuracy = float(means.max())
        error = math.sqrt(accuracy * (1 - accuracy) / images)
        text = ngettext(
            "Another test set of {n} image would move the accuracy of the best variant by a standard error of {error} "
            "(binomial); the intervals here are over seeds and leave that out.",
            "Another test set of {n} images would move the accuracy of the best variant by a standard error of {error} "
            "(binomial); the intervals here are over seeds and leave that out.",
            images,
            error=spread(error),
        )
        statements.append(Statement(text, {"se": error, "test_images": images}))
    return Finding("noise", tuple(statements))


def fits_table(
    histories: Mapping[tuple[str, str, int], pd.DataFrame], kept: Mapping[tuple[str, str, int], int],
    validation_images: Mapping[tuple[str, str, int], int],
) -> pd.DataFrame:  # fmt: skip
    """One row for each run: training and validation accuracy at the kept epoch, and the course of validation loss.

    Args:
        histories: by (dataset, variant, seed); rows with epoch, accuracy, val_accuracy, val_loss.
        kept: the epoch whose weights were kept, from 1; runs with 0 (none) are left out.
        validation_images: images that the validation accuracy is a mean over.
    """
    rows = []
    for key, history in histories.items():
        chosen = history[history["epoch"] == kept[key]]
        if chosen.empty:
            continue
        row, last = chosen.iloc[0], history.iloc[-1]
        lowest = history.loc[history["val_loss"].idxmin()]
        rows.append(
            {
                **dict(zip(("dataset", "variant", "seed"), key, strict=True)),
                "kept_epoch": int(row["epoch"]),
                "epochs": int(last["epoch"]),
                "train_accuracy": row["accuracy"],
                "val_accuracy": row["val_accuracy"],
                "gap": row["accuracy"] - row["val_accuracy"],
                "lowest_epoch": int(lowest["epoch"]),
                "lowest_val_loss": lowest["val_loss"],
                "last_val_loss": last["val_loss"],
                "validation_images": validation_images[key],
            }
        )
    columns = [
        "dataset", "variant", "seed", "kept_epoch", "epochs", "train_accuracy", "val_accuracy", "gap", "lowest_epoch",
        "lowest_val_loss", "last_val_loss", "validation_images",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _fits(evidence: Evidence, dataset: str, variant: str) -> pd.DataFrame:
    rows = evidence.fits
    return rows[(rows["dataset"] == dataset) & (rows["variant"] == variant)]


def _still_falling(fits: pd.DataFrame) -> int:
    """Runs whose validation loss was lowest at their last epoch, of more than one."""
    return int(((fits["lowest_epoch"] == fits["epochs"]) & (fits["epochs"] > 1)).sum())


def fit(evidence: Evidence, dataset: str) -> Finding:
    """Over- and underfitting of the variants that were looked at closely."""
    statements = []
    for name in evidence.detailed(dataset):
        fits = _fits(evidence, dataset, name)
        if not fits.empty:
            statements.append(_fit(evidence.label(name), fits))
    if statements:
        statements.append(
            Statement(
                _(
                    "Training accuracy is Keras' running mean over an epoch, with dropout active, while the weights "
                    "still improve: it understates what the kept weights reach, so a small or negative gap says little."
                ),
                kind="note",
            )
        )
    return Finding("fit", tuple(statements))


def _fit(label: str, fits: pd.DataFrame) -> Statement:
    gap, train, validation = fits["gap"].mean(), fits["train_accuracy"].mean(), fits["val_accuracy"].mean()
    images = int(fits["validation_images"].min())
    error = math.sqrt(max(validation * (1 - validation), 0) / max(images, 1))
    band = max(CLOSE, 2 * error)
    texts = [
        _(
            "{label}: at the kept epoch training accuracy is {train}, validation accuracy {validation}, a gap of {gap} "
            "(seeds {range}).",
            label=label,
            train=percent(train),
            validation=percent(validation),
            gap=points(gap),
            range=interval(fits["gap"].min(), fits["gap"].max()),
        )
    ]
    said = {"band": f"± {with_unit(number(100 * band, 1), 'pp')}"}
    if gap > band:
        texts.append(
            ngettext(
                "It overfits: the gap is larger than the {band} that {n} validation image leave open.",
                "It overfits: the gap is larger than the {band} that {n} validation images leave open.",
                images,
                **said,
            )
        )
    elif gap < -band:
        texts.append(
            ngettext(
                "Validation is ahead of training by more than the {band} that {n} validation image leave open.",
                "Validation is ahead of training by more than the {band} that {n} validation images leave open.",
                images,
                **said,
            )
        )
    else:
        texts.append(
            ngettext(
                "No overfitting shows: the gap is within the {band} that {n} validation image leave open.",
                "No overfitting shows: the gap is within the {band} that {n} validation images leave open.",
                images,
                **said,
            )
        )
    numbers = {"gap": gap, "train": train, "validation": validation, "band": band, "validation_images": images}
    falling, runs = _still_falling(fits), len(fits)
    rises = (fits["last_val_loss"] / fits["lowest_val_loss"] - 1).where(fits["lowest_val_loss"] > 0)
    risen = int((rises > RISE).sum())
    if falling > runs / 2:
        texts.append(
            ngettext(
                "Validation loss was lowest at the last epoch in {falling} of {n} seed: it was still learning, and "
                "more epochs may make it better.",
                "Validation loss was lowest at the last epoch in {falling} of {n} seeds: it was still learning, and "
                "more epochs may make it better.",
                runs,
                falling=falling,
            )
        )
        numbers |= {"falling": falling}
    elif risen > runs / 2:
        texts.append(
            _(
                "After its lowest point validation loss rose by {rise} on average: training longer would not help as "
                "it is.",
                rise=percent(rises.mean(), 0),
            )
        )
        numbers |= {"rise": rises.mean()}
    return Statement(" ".join(texts), numbers)


def errors(evidence: Evidence, dataset: str) -> Finding:
    """Which classes are confused and which is hardest; described, not tested."""
    classes, statements = evidence.classes[dataset], []
    names = sorted(evidence.detailed(dataset), key=lambda name: name != evidence.chosen.get(dataset))
    for name in names:
        found = _errors(evidence, dataset, name, classes)
        statements.append(found)
    if statements:
        statements.append(
            Statement(
                _("Classes were looked at after the fact: these are descriptions, no test stands behind them."),
                kind="note",
            )
        )
    return Finding("errors", tuple(statements))


def _errors(evidence: Evidence, dataset: str, name: str, classes: Sequence[str]) -> Statement:
    matrix = np.array(evidence.confusions[dataset][name])
    off = matrix - np.diag(np.diag(matrix))
    wrong, total = int(off.sum()), int(matrix.sum())
    label = evidence.label(name)
    if name == evidence.chosen.get(dataset):
        label = _("{label} (chosen by validation accuracy)", label=label)
    texts = [
        _(
            "{label}: {wrong} of {total} predictions over all seeds are wrong.",
            label=label,
            wrong=count(wrong),
            total=count(total),
        )
    ]
    numbers: dict[str, float] = {"wrong": wrong, "total": total}
    if not wrong:
        return Statement(texts[0], numbers)
    both = np.triu(off + off.T)
    first, second = np.unravel_index(both.argmax(), both.shape)
    there, back = int(off[first, second]), int(off[second, first])
    numbers |= {"pair": there + back, "there": there, "back": back, "share": (there + back) / wrong}
    texts.append(
        ngettext(
            "Most confused are {first} and {second}: {n} time (“{first}” taken for “{second}” {there}, “{second}” for "
            "“{first}” {back}), {share} of all errors.",
            "Most confused are {first} and {second}: {n} times (“{first}” taken for “{second}” {there}, “{second}” for "
            "“{first}” {back}), {share} of all errors.",
            there + back,
            first=classes[first],
            second=classes[second],
            there=there,
            back=back,
            share=percent((there + back) / wrong, 1),
        )
    )
    rows = evidence.per_class
    rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == name)]
    rows = rows[rows["support"] > 0]
    if not rows.empty:
        hardest = rows.loc[rows["recall"].idxmin()]
        numbers |= {"recall": float(hardest["recall"]), "support": int(hardest["support"])}
        texts.append(
            ngettext(
                "The hardest class is {name}: recall {recall} on {n} test image.",
                "The hardest class is {name}: recall {recall} on {n} test images.",
                int(hardest["support"]),
                name=hardest["class"],
                recall=percent(hardest["recall"], 1),
            )
        )
    return Statement(" ".join(texts), numbers)


def calibration(evidence: Evidence, dataset: str) -> Finding:
    """Whether confidence matches accuracy."""
    statements = []
    for name in evidence.detailed(dataset):
        rows = evidence.confidence
        rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == name)]
        if rows.empty:
            continue
        confidence, accuracy = float(rows["confidence"].mean()), float(rows["accuracy"].mean())
        row = evidence.variant(dataset, name)
        excess = confidence - accuracy
        agree = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, confidence and accuracy agree "
            "within 1 pp; calibration error (ECE) {ece}, Brier score {brier}."
        )
        over = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, it is overconfident by {excess}; "
            "calibration error (ECE) {ece}, Brier score {brier}."
        )
        under = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, it is underconfident by "
            "{excess}; calibration error (ECE) {ece}, Brier score {brier}."
        )
        text = _(
            agree if abs(excess) <= CLOSE else over if excess > 0 else under,
            label=evidence.label(name),
            confidence=percent(confidence),
            accuracy=percent(accuracy),
            excess=spread(abs(excess)),
            ece=number(row["ece_mean"]),
            brier=number(row["brier_mean"]),
        )
        quoted_numbers = {"ece": row["ece_mean"], "brier": row["brier_mean"]}
        statements.append(Statement(text, {"confidence": confidence, "accuracy": accuracy, **quoted_numbers}))
    per_bin = evidence.test_images[dataset] / 15
    if statements and per_bin < IMAGES_PER_BIN:
        text = _(
            "With about {n} test images in each of 15 bins the calibration error is biased upwards; compare it between "
            "variants rather than with zero.",
            n=count(per_bin),
        )
        statements.append(Statement(text, {"images_per_bin": per_bin}))
    return Finding("calibration", tuple(statements))


# ---------------------------------------------------------------------------------------------------------------------
# What convolution assumes, and where it would not fit


def assumptions(evidence: Evidence, dataset: str, measured: Mapping[str, Sequence[Statement]]) -> Finding:
    """What the study's convolutional models take for granted, in their own numbers; measured only where a probe did."""
    name = _main_conv(evidence, dataset)
    if name is None:
        return Finding(
            "assumptions",
            (
                Statement(
                    _(
                        "No model of this study convolves. A dense network assumes nothing about which pixels are "
                        "neighbours: permuting all pixels alike would not change what it can learn."
                    ),
                    kind="assumed",
                ),
            ),
        )
    model, cost = evidence.plan.variants[name].model, evidence.plan.costs[dataset, name]
    label, source, first = evidence.label(name), cost.layers[0].output_shape, cost.layers[1]
    outputs = math.prod(first.output_shape)
    dense = outputs * (math.prod(source) + 1)
    field, first_field = cost.receptive_field, first.receptive_field
    local = N_(
        "Locality: what matters lies close together. A unit of the last feature map of {label} sees {field} pixels of "
        "an input of {input}."
    )
    early = N_(
        "Locality: what matters lies close together. A unit of the last feature map of {label} sees {field} pixels of "
        "an input of {input}, which is all of it: only its early layers are local (the first convolution sees {first})."
    )
    texts = {
        "locality": Statement(
            _(
                early if field >= max(source[:2]) else local,
                label=label,
                field=_square(field),
                input=f"{source[0]}×{source[1]}",
                first=_square(first_field),
            ),
            {"receptive_field": field},
        ),
        "weight_sharing": Statement(
            _(
                "Weight sharing: a pattern is worth looking for everywhere. The first convolution of {label} makes "
                "{outputs} outputs with {parameters} parameters; a dense layer with as many outputs would need "
                "{dense}.",
                label=label,
                outputs=count(outputs),
                parameters=count(first.parameters),
                dense=count(dense),
            ),
            {"outputs": outputs, "parameters": first.parameters, "dense_parameters": dense},
        ),
        "translation": Statement(
            _(
                "Translation equivariance: a shifted pattern gives a shifted response. In {label} it holds only "
                "approximately: {reasons}.",
                label=label,
                reasons=listing(_breaks_equivariance(model)),
            ),
        ),
    }
    statements = []
    for key, statement in texts.items():
        found = measured.get(key, ())
        statements += [replace(statement, kind="note" if found else "assumed"), *found]
    return Finding("assumptions", tuple(statements))


def _main_conv(evidence: Evidence, dataset: str) -> str | None:
    """The convolutional variant to speak of: the chosen one, else the first base model, else the first."""
    names = [name for name in evidence.plan.variants if evidence.is_conv(name)]
    if evidence.chosen.get(dataset) in names:
        return evidence.chosen[dataset]
    return next(iter(names), None)


def _breaks_equivariance(model: Conv | Dense) -> list[str]:
    """What in a model breaks exact translation equivariance, from its spec."""
    reasons = []
    if model.padding == "same":
        reasons.append(_("zero padding marks the border"))
    if any(stride > 1 for stride in model.strides):
        reasons.append(_("strides keep only every so many positions"))
    if any(pooling != "none" for pooling in model.pooling):
        window = _square(model.pool_size)
        reasons.append(_("pooling over {window} keeps it for shifts of whole windows only", window=window))
    if model.head == "flatten":
        reasons.append(_("the flattened head has a weight for each place"))
    else:
        reasons.append(_("the global pooling of the head makes the response invariant rather than equivariant"))
    return reasons


def limits_of_convolution(evidence: Evidence, dataset: str) -> Finding:
    """When convolution would not be appropriate, given what this study found."""
    general = Statement(
        _(
            "Convolution is not appropriate where neighbours mean nothing (tables, shuffled pixels), where the "
            "absolute place decides, or where the relations that matter lie further apart than the receptive field."
        ),
        kind="assumed",
    )
    found = duels(evidence, dataset)
    statements = []
    for duel in found:
        conv, dense, row = evidence.label(duel.conv), evidence.label(duel.dense), duel.row
        macs = [evidence.variant(dataset, name)["macs"] for name in (duel.conv, duel.dense)]
        numbers = {"macs_ratio": macs[0] / macs[1]}
        said = {"dataset": dataset, "conv": conv, "dense": dense, "ratio": times(macs[0] / macs[1])}
        if duel.outcome == "better":
            dearer = N_(
                "On {dataset} convolution was rewarded ({difference} for {conv} over {dense}). It would still not be "
                "the choice where {ratio} the MACs of {dense} are not worth that much."
            )
            cheaper = N_(
                "On {dataset} convolution was rewarded ({difference} for {conv} over {dense}), and without more MACs "
                "({ratio} those of {dense}): this study gives no reason against it here."
            )
            text = _(dearer if macs[0] > macs[1] else cheaper, **said, difference=points(row["difference"]))
            numbers["difference"] = row["difference"]
        elif duel.outcome == "worse":
            text = _(
                "As configured, {dataset} is such a case: {conv} was {difference} less accurate than {dense}, at "
                "{ratio} its MACs.",
                **said,
                difference=spread(abs(row["difference"])),
            )
            numbers["difference"] = row["difference"]
        elif duel.outcome == "equivalent":
            text = _(
                "On {dataset} {conv} and {dense} are equally accurate in practice, and {conv} needs {ratio} the MACs: "
                "where cost matters {cheaper} is the appropriate choice.",
                **said,
                cheaper=dense if macs[0] > macs[1] else conv,
            )
        else:
            text = _(
                "Whether {dataset} is such a case is not settled by this study ({conv} against {dense}); {conv} needs "
                "{ratio} the MACs of {dense}.",
                **said,
            )
        statements.append(Statement(text, numbers))
    if not found and _main_conv(evidence, dataset) is None:
        return Finding("limits_of_convolution", ())
    return Finding("limits_of_convolution", (*statements, general))


# ---------------------------------------------------------------------------------------------------------------------
# Limitations


def limitations(
    evidence: Evidence, seeds: Sequence[int], explored: Mapping[str, Mapping[str, Any]], resumed: int
) -> list[Statement]:
    """What this study cannot say, from its own design and data.

    Args:
        explored: summary.json of explore, by dataset.
        resumed: runs that were interrupted and resumed.
    """
    statements = []

    def add(text: str, **numbers: float) -> None:
        statements.append(Statement(text, numbers))

    n = len(seeds)
    if n < statistics.MIN_SEEDS:
        add(_("n = {n}: a smoke test. It shows that everything runs; nothing is inferred from it.", n=n), seeds=n)
    elif n < FEW_SEEDS:
        add(
            _(
                "n = {n} seeds give wide intervals; 5 are normal, 10 are what to publish. Small differences stay open.",
                n=n,
            ),
            seeds=n,
        )
    diverged = int((evidence.runs["status"] == "diverged").sum())
    if diverged:
        text = ngettext(
            "{n} run of {all} diverged and had no test accuracy; means over the rest flatter those variants.",
            "{n} runs of {all} diverged and had no test accuracy; means over the rest flatter those variants.",
            diverged,
            all=len(evidence.runs),
        )
        add(text, diverged=diverged)
    if len(explored) == 1:
        (name,) = explored
        add(_("One dataset ({dataset}): nothing here says that the result carries over to another.", dataset=name))
    for name, images in evidence.test_images.items():
        if images < FEW_TEST_IMAGES:
            text = ngettext(
                "{dataset} has only {n} test image; one image is {share}.",
                "{dataset} has only {n} test images; one image is {share}.",
                images,
                dataset=name,
                share=spread(1 / images),
            )
            add(text, images=images)
    add(
        _(
            "All runs share one fixed test set and one fixed division into training and test images: intervals speak "
            "of other seeds, not of other images."
        )
    )
    for name, summary in explored.items():
        duplicates = summary["duplicates"]
        near, exact = duplicates["near_test_images"], duplicates["exact_test_images"]
        said = {"dataset": name, "all": count(summary["images"]["test"]), "exact": count(exact)}
        if near and exact:
            text = ngettext(
                "{dataset}: {n} test image of {all} is a near duplicate of a training image ({exact} identical), which "
                "flatters every model a little.",
                "{dataset}: {n} test images of {all} are near duplicates of a training image ({exact} identical), "
                "which flatters every model a little.",
                near,
                **said,
            )
            add(text, near=near)
        elif near:
            text = ngettext(
                "{dataset}: {n} test image of {all} is a near duplicate of a training image, which flatters every "
                "model a little.",
                "{dataset}: {n} test images of {all} are near duplicates of a training image, which flatters every "
                "model a little.",
                near,
                **said,
            )
            add(text, near=near)
        pairs = duplicates["label_disagreeing_pairs"]
        if pairs:
            text = ngettext(
                "{dataset}: {n} near-duplicate pair with different labels, so some labels are noise.",
                "{dataset}: {n} near-duplicate pairs with different labels, so some labels are noise.",
                pairs,
                dataset=name,
            )
            add(text, pairs=pairs)
        ratio = summary.get("imbalance_ratio")
        if not missing(ratio) and ratio > IMBALANCED:
            text = _(
                "{dataset}: the largest class has {ratio} as many training images as the smallest; accuracy weighs "
                "classes by their frequency.",
                dataset=name,
                ratio=times(ratio),
            )
            add(text, ratio=ratio)
        if summary.get("empty_classes"):
            classes = listing(summary["empty_classes"])
            add(_("{dataset}: no training image of {classes}.", dataset=name, classes=classes))
    if len(evidence.plan.variants) > 1:
        add(
            _(
                "Hyperparameters were not tuned for each variant: all share the training settings, except where they "
                "are the factor. A variant may do better with settings of its own."
            )
        )
    add(_("Times and latencies hold for the machine named under provenance, with other runs beside them."))
    if resumed:
        text = ngettext(
            "{n} run resumed after an interruption; weights continue exactly, times do not.",
            "{n} runs resumed after an interruption; weights continue exactly, times do not.",
            resumed,
        )
        add(text, resumed=resumed)
    return statements


# ---------------------------------------------------------------------------------------------------------------------
# Small helpers


def _square(side: int) -> str:
    return f"{side}×{side}"


def _parameters(evidence: Evidence, dataset: str, name: str) -> int:
    return int(evidence.variant(dataset, name)["parameters"])


def _accuracy(row: Mapping[str, Any]) -> float:
    mean = row["test_accuracy_mean"]
    return -1.0 if missing(mean) else mean
