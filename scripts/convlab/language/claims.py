"""Decide claims: supported, contradicted, inconclusive or described, with the reason. Frames and the plan in, rows out.

Exact rules (parameters, MACs, receptive field) are decided by exact arithmetic. Every other comparison is decided on
one number per seed: its measured side, or left minus right where both sides are measured, computed within each seed.
Runs with the same seed share their split and order of images, so differences of variants are paired, and the mean over
seeds has Student's t interval with n - 1 degrees of freedom (Student 1908, The probable error of a mean, Biometrika 6).
That holds for any expression, ratios and products included, whatever the correlation between variants, without an
approximation of its variance. What is estimated is the mean over seeds of the expression.

- ``supported``: the whole 95 % interval satisfies the relation; ``contradicted``: the whole interval violates it.
- ``a < b < c`` is supported if all of its links are, contradicted if any is.
- ``a ~ b ± t``: supported if the interval of a - b lies within ± t, contradicted if it lies outside.
- Both need p over the study below 5 % besides (Holm, over experiments, comparisons and measured claims).
- Fewer than three seeds, or runs that do not vary, decide nothing, as everywhere in ``convlab.statistics.describe``.
- A finished run without a finite value (a ratio with a denominator of 0, a mean over classes of which one has no test
  image) decides nothing either: the other seeds would be selected by their outcome.
- A seed with a diverged run is left out of the interval, and counts with the worst value there is (accuracy 0, loss
  infinite): where it then speaks against the verdict of the others, the claim is inconclusive.
- Times are ``described``, by mean and SD. Runs of different seeds follow each other on one machine, beside other runs,
so
  what varies between variants is the machine's state as well, and seeds are no replicates of it.

p values are one-sided. Of a claim and its negation exactly one is true, so only one verdict can be an error: support is
tested against the negation, contradiction against the claim, and the p value is that of the side on which the estimate
lies. Several links: the largest p speaks for the support of all (intersection-union test: Berger 1982, Multiparameter
hypothesis testing and acceptance sampling, Technometrics 24, 295-300), the smallest times their number for the
contradiction of any (Bonferroni). An approximate value: support is the larger of two one-sided tests (Schuirmann 1987),
contradiction twice the smaller of the two outward ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from convlab.common.i18n import N_, ngettext, number, with_unit
from convlab.common.i18n import gettext as _
from convlab.language import contrasts
from convlab.models.cost import Cost
from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD, RANGES, summarise
from convlab.study.rules import (
    FLIPPED,
    TIMES,
    Link,
    Negative,
    Number,
    Operation,
    Quantity,
    Relation,
    Tree,
    difference,
    evaluate,
    is_exact,
    quantities,
    unit,
)
from convlab.study.variants import PlannedClaim

Verdict = Literal["supported", "contradicted", "inconclusive", "described"]
Costs = Mapping[tuple[str, str], Cost]

LEVEL = 0.05
"""Of p over the study; the intervals are at 1 - LEVEL."""


@dataclass(frozen=True)
class Finding:
    """What one link of a rule came to.

    Attributes:
        relation, bound, tolerance: what is asked of ``value``; turned where the bound stood on the left.
        quantity: what ``value`` is, as it was written; ``unit`` says how it reads.
        value: exact (a Fraction), or the mean over seeds; None without any.
        n_seeds: complete seeds; None for an exact link. In ``n_missing`` others a run diverged.
        sd: over seeds, of what is only described.
        p_support, p_contradict: one-sided, of this link alone; None where nothing was tested.
        problem: why nothing can be inferred; else empty.
    """

    relation: Relation
    quantity: str
    unit: str
    value: Fraction | float | None
    bound: Fraction
    tolerance: Fraction | None
    verdict: Verdict
    n_seeds: int | None = None
    n_missing: int = 0
    ci_low: float | None = None
    ci_high: float | None = None
    p_support: float | None = None
    p_contradict: float | None = None
    sd: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class ConstantGuess:
    """The baseline of every accuracy: always answering with the most frequent class of the test images.

    Attributes:
        label: that class, empty where several are equally frequent; ``share`` of the test images are of it.
        classes: how many there are.
    """

    label: str
    share: Fraction
    classes: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "ConstantGuess | None":
        """From the number of test images of each class; None without images."""
        total = sum(counts.values())
        if not total:
            return None
        most = max(counts.values())
        labels = [label for label, count in counts.items() if count == most]
        return cls(labels[0] if len(labels) == 1 else "", Fraction(int(most), int(total)), len(counts))

    def value(self, quantity: str) -> Fraction | None:
        """What a claim's quantity would be of this guess; None where that is not known."""
        return {
            "test_accuracy": self.share,
            "balanced_accuracy": Fraction(1, self.classes),
            "macro_f1": 2 * self.share / (1 + self.share) / self.classes,
        }.get(quantity)


@dataclass(frozen=True)
class Decision:
    """A claim on a dataset, before p is adjusted over the study; ``finding`` is the link that decides.

    ``guess``: a constant guess that meets the rule as well.
    """

    claim: PlannedClaim
    dataset: str
    verdict: Verdict
    finding: Finding
    p_value: float | None = None
    guess: ConstantGuess | None = None


def decide(
    claim: PlannedClaim,
    dataset: str,
    runs: pd.DataFrame,
    costs: Costs,
    guesses: Mapping[str, ConstantGuess | None] | None = None,
) -> Decision:
    """Decide one claim by what its runs measured; quantities that name no dataset are those of ``dataset``.

    Args:
        runs: runs.csv as a frame. Runs that are not finished count as missing.
        costs: of every dataset and variant.
        guesses: the constant guess of each dataset.
    """
    decision = _decide(claim, dataset, runs, costs)
    owners = {quantity.dataset or dataset for quantity in claim.rule.quantities}
    guess = (guesses or {}).get(next(iter(owners))) if len(owners) == 1 else None
    return replace(decision, guess=guess) if guess and _guess_meets(claim, guess) else decision


def _guess_meets(claim: PlannedClaim, guess: ConstantGuess) -> bool:
    """Whether always answering with one class fulfils a rule that asks one variant's accuracy to be high enough."""
    if len({quantity.variant for quantity in claim.rule.quantities}) != 1:
        return False
    at_least = [link.relation if is_exact(link.right) else FLIPPED[link.relation] for link in claim.rule.links]
    if not {">", ">=", "~"} & set(at_least):
        return False
    for link in claim.rule.links:
        values = {quantity: guess.value(quantity.name) for quantity in link.quantities}
        if None in values.values() or not (is_exact(link.left) or is_exact(link.right)):
            return False
        try:
            left, right = (evaluate(side, values.__getitem__) for side in (link.left, link.right))
        except ZeroDivisionError:
            return False
        if _judge(link.relation, left, left, right, link.tolerance) != "supported":
            return False
    return True


def _decide(claim: PlannedClaim, dataset: str, runs: pd.DataFrame, costs: Costs) -> Decision:
    findings = [_find(link, dataset, runs, costs) for link in claim.rule.links]
    tested = [found for found in findings if found.p_support is not None]
    measured = [found for found in findings if found.n_seeds is not None]
    verdicts = {found.verdict for found in findings}
    # Without a test of each measured link the claim as a whole cannot be supported.
    p_support = max((found.p_support for found in tested), default=1.0) if len(tested) == len(measured) else 1.0
    p_contradict = min(1.0, len(measured) * min((found.p_contradict for found in tested), default=1.0))
    if "contradicted" in verdicts:
        wrong = [found for found in findings if found.verdict == "contradicted"]
        decisive = min(wrong, key=lambda found: 0.0 if found.p_contradict is None else found.p_contradict)
        exactly = decisive.n_seeds is None
        return Decision(claim, dataset, "contradicted", decisive, None if exactly else p_contradict)
    if "described" in verdicts:
        return Decision(claim, dataset, "described", next(f for f in findings if f.verdict == "described"))
    p_value = min(p_support, p_contradict) if tested else None
    if verdicts == {"supported"}:
        weakest = max(findings, key=lambda found: -1.0 if found.p_support is None else found.p_support)
        return Decision(claim, dataset, "supported", weakest, p_value)
    open_ones = [found for found in findings if found.verdict == "inconclusive"]
    weakest = max(open_ones, key=lambda found: 2.0 if found.p_support is None else found.p_support)
    return Decision(claim, dataset, "inconclusive", weakest, p_value)


def _find(link: Link, dataset: str, runs: pd.DataFrame, costs: Costs) -> Finding:
    """One link as a value against a bound."""
    sides = [(link.left, link.left_text), (link.right, link.right_text)]
    relation = link.relation

    def exact(quantity: Quantity) -> Fraction:
        return Fraction(getattr(costs[quantity.dataset or dataset, quantity.variant], quantity.name))

    if link.exact:
        if not any(quantities(link.left)):
            sides, relation = sides[::-1], FLIPPED[relation]
        value, bound = (evaluate(tree, exact) for tree, _ in sides)
        verdict = _judge(relation, value, value, bound, link.tolerance)
        return Finding(relation, sides[0][1], "", value, bound, link.tolerance, verdict)

    if is_exact(link.left):
        sides, relation = sides[::-1], FLIPPED[relation]
    (tree, text), (other, other_text) = sides
    bound, one_sided = Fraction(0), is_exact(other)
    if one_sided:
        bound = evaluate(other, exact)
    else:
        summed = isinstance(other, Negative) or (isinstance(other, Operation) and other.operator in ("+", "-"))
        text = f"{text} − ({other_text})" if summed else f"{text} − {other_text}"
    shown = unit(tree) if one_sided else difference(unit(tree)) if unit(tree) == unit(other) else ""

    columns = {
        quantity: _by_seed(quantity, dataset, runs) for quantity in link.quantities if quantity.name in _MEASURES
    }
    lacking = [quantity for quantity, values in columns.items() if not np.isfinite(values).any()]
    finding = Finding(relation, text, shown, None, bound, link.tolerance, "inconclusive", n_seeds=0)
    if lacking:
        wanted = dict.fromkeys(_("{quantity} of {variant}", quantity=q.name, variant=q.variant) for q in lacking)
        problem = _("no finished run gives {quantities}", quantities=", ".join(wanted))
        if all(quantity.name in ("balanced_accuracy", "macro_f1") for quantity in lacking):
            problem = _("{problem}, which is not defined where a class has no test image", problem=problem)
        return replace(finding, problem=problem)
    table = pd.DataFrame(dict(enumerate(columns.values()))).sort_index()
    place = {quantity: number for number, quantity in enumerate(columns)}

    def values_of(rows: pd.DataFrame) -> np.ndarray:
        """The link's number of every seed."""

        def value_of(quantity: Quantity) -> Any:
            return rows[place[quantity]].to_numpy() if quantity in place else np.float64(exact(quantity))

        with np.errstate(all="ignore"):  # what is not finite is judged below
            value = evaluate(tree, value_of, _real) - (0 if one_sided else evaluate(other, value_of, _real))
        return np.asarray(value, dtype=float)

    diverged = (table == DIVERGED).any(axis=1)
    finished, failed = table[~diverged], table[diverged]
    values = values_of(finished)
    if any(quantity.name in TIMES for quantity in columns):
        return _describe(finding, values, len(failed))
    scale = float(finished.abs().max(axis=None)) if len(finished) else 0.0
    span = limits(tree) if one_sided else _difference_of(limits(tree), limits(other))
    inferred = _infer(replace(finding, n_missing=len(failed)), values, scale, span)
    worst = pd.DataFrame(
        {place[quantity]: failed[place[quantity]].replace(DIVERGED, WORST[quantity.name]) for quantity in columns}
    )
    speaks = {_judge(relation, float(v), float(v), bound, link.tolerance) for v in values_of(worst)}
    if inferred.verdict == "inconclusive" or speaks <= {inferred.verdict}:
        return inferred
    problem = ngettext(
        "in {n} seed a run diverged, which speaks against what the others show",
        "in {n} seeds a run diverged, which speaks against what the others show",
        len(failed),
    )
    return replace(inferred, verdict="inconclusive", problem=problem)


def _describe(finding: Finding, values: np.ndarray, n_diverged: int) -> Finding:
    """Mean and SD of what decides no claim."""
    summary = summarise(values)
    return replace(
        finding, verdict="described", value=summary.mean, sd=summary.sd, n_seeds=summary.n, n_missing=n_diverged
    )


def _infer(finding: Finding, values: np.ndarray, scale: float, span: tuple[float, float]) -> Finding:
    """The t interval and the tests of one value per seed; ``scale`` is the largest value that was measured, ``span``
    the least and the largest that there can be."""
    summary = summarise(values, limits=span)
    finding = replace(finding, value=summary.mean, n_seeds=summary.n)
    if summary.n_missing:
        problem = ngettext(
            "{n} finished seed gives no finite value, so the claim is not decided",
            "{n} finished seeds give no finite value, so the claim is not decided",
            summary.n_missing,
        )
        return replace(finding, problem=problem)
    if summary.n < MIN_SEEDS:
        problem = _("this is a smoke test, at least {n} seeds are needed to infer anything", n=MIN_SEEDS)
        return replace(finding, problem=problem)
    # A difference of equal values varies by rounding of what it was computed from.
    if not summary.sd or summary.sd <= NO_SPREAD * scale:
        return replace(finding, problem=_("the runs do not vary, so their variance cannot be estimated"))
    bound, df = float(_real(finding.bound)), summary.n - 1

    def above(limit: float) -> float:
        """p of: the mean is above ``limit``."""
        return float(special.stdtr(df, (limit - summary.mean) / summary.se))

    def below(limit: float) -> float:
        return float(special.stdtr(df, (summary.mean - limit) / summary.se))

    if finding.relation == "~":
        low, high = (float(_real(finding.bound + sign * finding.tolerance)) for sign in (-1, 1))
        p_support, p_contradict = max(above(low), below(high)), min(1.0, 2 * min(below(low), above(high)))
    else:
        p_support, p_contradict = above(bound), below(bound)
        if finding.relation in ("<", "<="):
            p_support, p_contradict = p_contradict, p_support
    return replace(
        finding,
        verdict=_judge(finding.relation, summary.ci_low, summary.ci_high, finding.bound, finding.tolerance),
        ci_low=summary.ci_low,
        ci_high=summary.ci_high,
        p_support=p_support,
        p_contradict=p_contradict,
    )


def _judge(relation: Relation, low: Any, high: Any, bound: Fraction, tolerance: Fraction | None) -> Verdict:
    """Whether all of low..high satisfies the relation to the bound, or none of it; numbers are compared exactly."""
    if relation == "~":
        holds = bound - tolerance <= low and high <= bound + tolerance
        fails = high < bound - tolerance or low > bound + tolerance
    else:
        holds, fails = {
            ">": (low > bound, high <= bound),
            ">=": (low >= bound, high < bound),
            "<": (high < bound, low >= bound),
            "<=": (high <= bound, low > bound),
            "==": (low == high == bound, high < bound or low > bound),
        }[relation]
    return "supported" if holds else "contradicted" if fails else "inconclusive"


# ---------------------------------------------------------------------------------------------------------------------
# What was measured


_MEASURES = {
    "test_accuracy": "test_accuracy", "test_loss": "test_loss", "val_accuracy": "val_accuracy", "ece": "ece",
    "brier": "brier", "train_seconds": "train_seconds", "seconds_per_epoch": "train_seconds",
    "latency_ms": "latency_ms", "best_epoch": "best_epoch", "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "macro_f1",
}  # fmt: skip
"""The column of runs.csv that each measured quantity comes from."""

DIVERGED = math.inf
"""Stands in a table of values by seed for a run that diverged."""

WORST = {
    "test_accuracy": 0.0, "val_accuracy": 0.0, "balanced_accuracy": 0.0, "macro_f1": 0.0, "test_loss": math.inf,
    "ece": 1.0, "brier": 2.0, "best_epoch": math.nan,
}  # fmt: skip
"""What a diverged run counts as where it could speak against a verdict; NaN speaks against each."""


def limits(tree: Tree) -> tuple[float, float]:
    """Between which values a side of a rule lies, whatever is measured; products and ratios are not bounded."""
    if isinstance(tree, Number):
        return (float(_real(tree.value)),) * 2
    if isinstance(tree, Quantity):
        return RANGES.get(tree.name, (-math.inf, math.inf))
    if isinstance(tree, Negative):
        return _difference_of((0.0, 0.0), limits(tree.operand))
    if tree.operator == "-":
        return _difference_of(limits(tree.left), limits(tree.right))
    if tree.operator == "+":
        (low, high), (other_low, other_high) = limits(tree.left), limits(tree.right)
        return low + other_low, high + other_high
    return -math.inf, math.inf


def _difference_of(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    return left[0] - right[1], left[1] - right[0]


def _by_seed(quantity: Quantity, dataset: str, runs: pd.DataFrame) -> pd.Series:
    """Values of a quantity's runs, by seed; DIVERGED for a run that did not finish, NaN for a finished one without."""
    rows = runs[(runs["dataset"] == (quantity.dataset or dataset)) & (runs["variant"] == quantity.variant)]
    values = rows[_MEASURES[quantity.name]].astype(float)
    if quantity.name == "seconds_per_epoch":
        values = values / rows["epochs_run"].where(rows["epochs_run"] > 0)
    values = values.where(np.isfinite(values)).where(rows["status"] == "finished", DIVERGED)
    values.index = rows["seed"]
    return values


def _real(value: Fraction) -> np.float64:
    """A fraction as a float, infinite where it is beyond all floats."""
    try:
        return np.float64(value)
    except OverflowError:
        return np.float64(math.inf if value > 0 else -math.inf)


# ---------------------------------------------------------------------------------------------------------------------
# Verdict, row and sentence


def row(decision: Decision, p_adjusted: float | None) -> dict[str, Any]:
    """One row of ``claims.csv``.

    Args:
        p_adjusted: the decision's p value, adjusted over the study; None for an exact decision.
    """
    claim, finding = decision.claim, decision.finding
    verdict = decision.verdict
    if (
        verdict in ("supported", "contradicted")
        and decision.p_value is not None
        and not (p_adjusted is not None and p_adjusted < LEVEL)
    ):
        verdict = "inconclusive"
    return {
        "claim": claim.id,
        "source": " ".join(claim.source.split()),
        "published": None if claim.published is None else " ".join(str(claim.published).split()),
        "measured": _plain(finding.value),
        "ci_low": finding.ci_low,
        "ci_high": finding.ci_high,
        "verdict": verdict,
        "dataset": decision.dataset,
        "text": " ".join(claim.text.split()),
        "rule": claim.rule.text,
        "n_seeds": finding.n_seeds,
        "p_value": decision.p_value,
        "p_adjusted": p_adjusted,
        "reason": reason(decision, verdict, p_adjusted),
        "quantity": finding.quantity,
        "unit": finding.unit,
    }


def reason(decision: Decision, verdict: Verdict, p_adjusted: float | None) -> str:
    """One sentence that states the evidence and what follows from it.

    For example: "test_accuracy(cnn) − test_accuracy(dense) is +2.78 pp (95 % CI +2.31 to +3.25; n = 3 seeds; one-sided
    p < .001, over the study p = .004): all of the interval is above 0."
    """
    finding, links = decision.finding, len(decision.claim.rule.links)
    statement = _exact_reason(finding) if finding.n_seeds is None else _measured_reason(decision, verdict, p_adjusted)
    if decision.guess and decision.verdict != "contradicted":
        guessed = _(
            "It is met by {guess} too, which is right for {share} of the test images.",
            guess=contrasts.guessing(decision.guess.label),
            share=number_text(decision.guess.share, "%"),
        )
        statement = f"{statement} {guessed}"
    if links == 1:
        return statement
    which = {
        "supported": N_("Of {n} comparisons the weakest: {statement}"),
        "contradicted": N_("Of {n} comparisons one that fails: {statement}"),
        "inconclusive": N_("Of {n} comparisons one that is open: {statement}"),
        "described": N_("Of {n} comparisons one about times: {statement}"),
    }
    return _(which[decision.verdict], n=links, statement=statement)


def _exact_reason(finding: Finding) -> str:
    said = {"quantity": finding.quantity, "value": number_text(finding.value, finding.unit)}
    asked = _(_ASKED[finding.relation], bound=_bound_text(finding))
    if finding.verdict == "supported":
        if finding.relation == "==":
            return _("{quantity} is {value}, exactly.", **said)
        return _("{quantity} is {value}, which is {asked}.", **said, asked=asked)
    gap = constant_text(finding.value - finding.bound, "", signed=True)
    return _("{quantity} is {value}, not {asked} (difference {gap}).", **said, asked=asked, gap=gap)


def _measured_reason(decision: Decision, verdict: Verdict, p_adjusted: float | None) -> str:
    finding, bound = decision.finding, _bound_text(decision.finding)
    details = []
    if finding.ci_low is not None:
        limits_text = interval_text(finding.ci_low, finding.ci_high, finding.unit)
        details.append(_("95 % CI {interval}", interval=limits_text))
    if finding.sd is not None:
        details.append(_("SD {sd}", sd=number_text(finding.sd, finding.unit)))
    if finding.n_seeds:
        details.append(ngettext("n = {n} seed", "n = {n} seeds", finding.n_seeds))
    if finding.n_missing:
        details.append(
            ngettext(
                "{n} seed with a diverged run left out", "{n} seeds with a diverged run left out", finding.n_missing
            )
        )
    if decision.p_value is not None and finding.p_support is not None:  # another link's p says nothing of this one
        p_text = _("one-sided {p}", p=contrasts.format_p(decision.p_value))
        if p_adjusted is not None and contrasts.format_p(p_adjusted) != contrasts.format_p(decision.p_value):
            p_text = _("{p}, over the study {adjusted}", p=p_text, adjusted=contrasts.format_p(p_adjusted))
        details.append(p_text)
    if finding.problem:
        where = finding.problem
    elif finding.verdict == "described":
        where = _("times are described and decide no claim, since seeds do not repeat the state of the machine")
    elif finding.verdict == "inconclusive":
        across, edge = N_("the interval reaches across {bound}"), N_("the interval reaches across the edge of {bound}")
        where = _(edge if finding.relation == "~" else across, bound=bound)
    elif finding.relation == "~":
        within, outside = N_("all of the interval is within {bound}"), N_("all of the interval is outside {bound}")
        where = _(within if finding.verdict == "supported" else outside, bound=bound)
    else:
        upward = (finding.relation in (">", ">=")) == (finding.verdict == "supported")
        above, below = N_("all of the interval is above {bound}"), N_("all of the interval is below {bound}")
        where = _(above if upward else below, bound=bound)
    if not finding.problem and verdict != decision.verdict:
        level = number(100 * LEVEL, "g")
        where = _("{where}, but p over the study does not reach {level} %", where=where, level=level)
    if finding.value is None:
        return _("{quantity}: {where}.", quantity=finding.quantity, where=where)
    return _(
        "{quantity} is {value} ({details}): {where}.",
        quantity=finding.quantity,
        value=number_text(finding.value, finding.unit),
        details="; ".join(details),
        where=where,
    )


_ASKED = {
    "<": N_("less than {bound}"),
    "<=": N_("at most {bound}"),
    "==": N_("exactly {bound}"),
    ">=": N_("at least {bound}"),
    ">": N_("more than {bound}"),
    "~": N_("within {bound}"),
}


def _bound_text(finding: Finding) -> str:
    """What the value is held against: ``90.78 % ± 0.5 pp``, ``+0.5 pp``, ``0``."""
    bound = constant_text(finding.bound, finding.unit) if finding.bound else "0"
    if finding.tolerance is None:
        return bound
    tolerance = f"± {constant_text(finding.tolerance, difference(finding.unit), signed=False)}"
    return f"{bound} {tolerance}" if finding.bound else tolerance


def number_text(value: Fraction | float, unit: str) -> str:
    """A measured value in its unit: ``90.78 %``, ``+2.78 pp``, ``12.30 s``, ``0.2848``; whole: ``220,234``."""
    return with_unit(_figure(value, unit), unit) if unit or not _whole(value) else constant_text(value, unit)


def _whole(value: Fraction | float) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1


def _figure(value: Fraction | float, unit: str) -> str:
    """A measured value in its unit, without naming it."""
    value = float(_real(value) if isinstance(value, Fraction) else value) * _scale(unit)
    decimals = 2 if unit else 4
    return contrasts.signed(value, decimals) if unit == "pp" else number(value, f",.{decimals}f")


def constant_text(value: Fraction, unit: str, signed: bool | None = None) -> str:
    """A constant of a rule in a unit, no longer than it needs to be: ``90.78 %``, ``+0.5 pp``, ``220,234.5``."""
    value *= _scale(unit)
    whole = value.denominator == 1 and abs(value) < 10**15
    text = number(int(value), ",") if whole else number(float(_real(value)), ",.10g")
    if value > 0 and (unit == "pp" if signed is None else signed):
        text = f"+{text}"
    return with_unit(text, unit)


def interval_text(low: float, high: float, unit: str) -> str:
    """The limits of an interval, without their unit: ``+2.31 to +3.25``."""
    return _("{low} to {high}", low=_figure(low, unit), high=_figure(high, unit))


def _scale(unit: str) -> int:
    return 100 if unit in ("%", "pp") else 1


def _plain(value: Fraction | float | None) -> int | float | None:
    """A value for the table: whole numbers stay whole."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(_real(value))
    return value
