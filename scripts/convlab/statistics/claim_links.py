"""Tests of the links of a claim's rule: one number for each seed against a bound. No text.

A link is exact (decided by arithmetic), or measured: its measured side, or left minus right, of every seed. Which link
decides a claim is :mod:`convlab.statistics.claims`' part.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from convlab.models.cost import Cost
from convlab.statistics.comparisons import Contrast
from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD, RANGES, SHARE, Summary, as_float, summarise, t_critical
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

ClaimVerdict = Literal["supported", "contradicted", "inconclusive", "described"]
Replicates = Literal["seeds", "rounds"]
Costs = Mapping[tuple[str, str], Cost]

LEVEL = 0.05
"""Significance level of p over the study; intervals have coverage 1 - LEVEL."""


@dataclass(frozen=True)
class QuestionContrast:
    """A contrast of the study's metric that a question tests on a dataset.

    Attributes:
        metric: the claims' quantity that it compares.
        sign: 1, or -1 where a claim has the two sides the other way round.
    """

    dataset: str
    question: str
    metric: str
    contrast: Contrast
    sign: int = 1


Contrasts = Mapping[tuple[str, str, str, str], QuestionContrast]
"""Contrasts by dataset, metric and the two variants, in both directions."""


def contrasts_by_variants(contrasts: Mapping[tuple[str, str], Mapping[str, Contrast]], metric: str) -> Contrasts:
    """Look-up of tested contrasts by their two variants, in both directions; the first of equals.

    Args:
        contrasts: by (dataset, question), then by variant.
        metric: the claims' quantity that they compare.
    """
    lookup: dict[tuple[str, str, str, str], QuestionContrast] = {}
    for (dataset, question), of_question in contrasts.items():
        for contrast in of_question.values():
            if contrast.se is not None:
                entry = QuestionContrast(dataset, question, metric, contrast)
                lookup.setdefault((dataset, metric, contrast.variant, contrast.reference), entry)
                lookup.setdefault((dataset, metric, contrast.reference, contrast.variant), replace(entry, sign=-1))
    return lookup


@dataclass(frozen=True)
class Problem:
    """Why a link of a rule cannot be tested.

    Attributes:
        kind: ``no value``: no finished run gives any of ``quantities``; ``not finite``: ``seeds`` finished seeds give
            no finite value; ``too few seeds``; ``no variation`` between the runs; ``diverged``: in ``seeds`` seeds a
            run diverged, which speaks against what the others show.
    """

    kind: Literal["no value", "not finite", "too few seeds", "no variation", "diverged"]
    quantities: tuple[Quantity, ...] = ()
    seeds: int = 0


@dataclass(frozen=True)
class LinkResult:
    """What the runs say of one link of a rule.

    Attributes:
        relation, bound, tolerance: what is asked of ``value``; turned where the bound stood on the left.
        quantity: what ``value`` is, as it was written; ``unit`` says how it reads.
        value: exact (a Fraction), or the mean over seeds; None without any.
        n_seeds: complete seeds; None for an exact link. In ``n_missing`` others a run diverged.
        sd: over seeds, of what is only described.
        replicates: what ``n_seeds`` counts: seeds, or rounds in which times were measured.
        p_support, p_contradict: one-sided, of this link alone; None where nothing was tested.
        problem: why nothing can be inferred, if so.
        repeats: the contrast of a question that asks the same, whose test this is.
    """

    relation: Relation
    quantity: str
    unit: str
    value: Fraction | float | None
    bound: Fraction
    tolerance: Fraction | None
    verdict: ClaimVerdict
    n_seeds: int | None = None
    n_missing: int = 0
    ci_low: float | None = None
    ci_high: float | None = None
    p_support: float | None = None
    p_contradict: float | None = None
    sd: float | None = None
    problem: Problem | None = None
    repeats: QuestionContrast | None = None
    replicates: Replicates | None = None


def link_result(link: Link, dataset: str, runs: pd.DataFrame, costs: Costs, contrasts: Contrasts) -> LinkResult:
    """One link as a value against a bound."""

    def exact(quantity: Quantity) -> Fraction:
        return Fraction(getattr(costs[quantity.dataset or dataset, quantity.variant], quantity.name))

    if link.exact:
        return _exact_result(link, exact)
    return _measured_result(link, dataset, runs, exact, _contrast_of(link, dataset, contrasts))


def _contrast_of(link: Link, dataset: str, contrasts: Contrasts) -> QuestionContrast | None:
    """The contrast of which a link's number is the difference; None where no question tests it."""
    tree = link.right if is_exact(link.left) else link.left
    if is_exact(link.left) or is_exact(link.right):
        if not (isinstance(tree, Operation) and tree.operator == "-"):
            return None
        first, second = tree.left, tree.right
    else:
        first, second = link.left, link.right
    if not (isinstance(first, Quantity) and isinstance(second, Quantity) and first.name == second.name):
        return None
    where = {quantity.dataset or dataset for quantity in (first, second)}
    return contrasts.get((where.pop(), first.name, first.variant, second.variant)) if len(where) == 1 else None


def _exact_result(link: Link, exact: Callable[[Quantity], Fraction]) -> LinkResult:
    """Decide a link of parameters, MACs and receptive fields by exact arithmetic."""
    sides, relation = [(link.left, link.left_text), (link.right, link.right_text)], link.relation
    if not any(quantities(link.left)):
        sides, relation = sides[::-1], FLIPPED[relation]
    value, bound = (evaluate(tree, exact) for tree, _text in sides)
    verdict = judge(relation, value, value, bound, link.tolerance)
    return LinkResult(relation, sides[0][1], "", value, bound, link.tolerance, verdict)


def _measured_result(
    link: Link,
    dataset: str,
    runs: pd.DataFrame,
    exact: Callable[[Quantity], Fraction],
    of_question: QuestionContrast | None,
) -> LinkResult:
    """A link with a measured side: the mean over seeds of that side, or of left minus right, against a bound."""
    sides, relation = [(link.left, link.left_text), (link.right, link.right_text)], link.relation
    if is_exact(link.left):
        sides, relation = sides[::-1], FLIPPED[relation]
    (tree, text), (other, other_text) = sides
    if one_sided := is_exact(other):
        bound, shown_unit, span = evaluate(other, exact), unit(tree), limits(tree)
    else:
        is_sum = isinstance(other, Negative) or (isinstance(other, Operation) and other.operator in ("+", "-"))
        text = f"{text} − ({other_text})" if is_sum else f"{text} − {other_text}"
        bound, span = Fraction(0), _difference_of(limits(tree), limits(other))
        shown_unit = difference(unit(tree)) if unit(tree) == unit(other) else ""
    replicates = "rounds" if "round" in runs else "seeds"
    result = LinkResult(
        *(relation, text, shown_unit, None, bound, link.tolerance, "inconclusive"), n_seeds=0, replicates=replicates
    )

    measured = [quantity for quantity in dict.fromkeys(link.quantities) if quantity.measured]
    columns = [_by_seed(quantity, dataset, runs) for quantity in measured]
    if missing := tuple(q for q, values in zip(measured, columns, strict=True) if not np.isfinite(values).any()):
        return replace(result, problem=Problem("no value", missing))
    table = pd.DataFrame(dict(enumerate(columns))).sort_index()
    position = {quantity: index for index, quantity in enumerate(measured)}

    def values_of(rows: pd.DataFrame) -> np.ndarray:
        """The link's number of every seed."""

        def value_of(quantity: Quantity) -> Any:
            return rows[position[quantity]].to_numpy() if quantity in position else np.float64(exact(quantity))

        def constant(value: Fraction) -> np.float64:
            return np.float64(as_float(value))

        with np.errstate(all="ignore"):  # non-finite values are handled below
            value = evaluate(tree, value_of, constant) - (0 if one_sided else evaluate(other, value_of, constant))
        return np.asarray(value, dtype=float)

    diverged = (table == DIVERGED).any(axis=1)
    finished, failed = table[~diverged], table[diverged]
    values = values_of(finished)
    if replicates == "seeds" and any(quantity.name in TIMES for quantity in measured):
        return _described(replace(result, n_missing=len(failed)), summarise(values))
    scale = float(finished.abs().max(axis=None)) if len(finished) else 0.0
    result, summary = replace(result, n_missing=len(failed)), summarise(values, limits=span)
    if of_question is None:
        inferred = _inferred(result, summary, scale)
    else:
        inferred = _inferred_with_question(result, summary.n, span, of_question)
    worst = pd.DataFrame({i: failed[i].replace(DIVERGED, worst_value(quantity)) for quantity, i in position.items()})
    speaks = {judge(relation, float(v), float(v), bound, link.tolerance) for v in values_of(worst)}
    if inferred.verdict == "inconclusive" or speaks <= {inferred.verdict}:
        return inferred
    return replace(inferred, verdict="inconclusive", problem=Problem("diverged", seeds=len(failed)))


def _described(result: LinkResult, summary: Summary) -> LinkResult:
    """Mean and SD of a quantity that is described and decides nothing."""
    return replace(result, verdict="described", value=summary.mean, sd=summary.sd, n_seeds=summary.n)


@dataclass(frozen=True)
class _Estimate:
    """A mean over seeds with its standard error, degrees of freedom and interval."""

    value: float
    se: float
    df: float
    ci_low: float
    ci_high: float


def _inferred(result: LinkResult, summary: Summary, scale: float) -> LinkResult:
    """The t interval and the tests of one value per seed; ``scale`` is the largest value that was measured."""
    result = replace(result, value=summary.mean, n_seeds=summary.n)
    if summary.n_missing:
        return replace(result, problem=Problem("not finite", seeds=summary.n_missing))
    if summary.n < MIN_SEEDS:
        return replace(result, problem=Problem("too few seeds"))
    # A difference of equal values varies by rounding of what it was computed from.
    if not summary.sd or summary.sd <= NO_SPREAD * scale:
        return replace(result, problem=Problem("no variation"))
    return _tested(result, _Estimate(summary.mean, summary.se, summary.n - 1, summary.ci_low, summary.ci_high))


def _inferred_with_question(
    result: LinkResult, n_seeds: int, span: tuple[float, float], of_question: QuestionContrast
) -> LinkResult:
    """Interval and tests of a difference by the model of the question that compares the two variants."""
    contrast, sign = of_question.contrast, of_question.sign
    value = sign * contrast.difference
    result = replace(result, value=value, n_seeds=n_seeds)
    repeats = result.bound == 0 and result.relation in (">", ">=", "<", "<=")
    if repeats:
        ends = sorted((sign * contrast.ci_low, sign * contrast.ci_high))
    else:
        half_width = t_critical(contrast.df, 1 - LEVEL) * contrast.se
        ends = [value - half_width, value + half_width]
    low, high = (min(max(limit, span[0]), span[1]) for limit in ends)
    tested = _tested(result, _Estimate(value, contrast.se, contrast.df, low, high))
    if not repeats:
        return tested
    speaks_for = (value > 0) == (result.relation in (">", ">="))
    p_values = (contrast.p_value, 1.0) if speaks_for else (1.0, contrast.p_value)
    return replace(tested, p_support=p_values[0], p_contradict=p_values[1], repeats=of_question)


def _tested(result: LinkResult, estimate: _Estimate) -> LinkResult:
    """Verdict and one-sided p values of an estimate against the link's bound."""
    bound = as_float(result.bound)

    def above(limit: float) -> float:
        """One-sided p value of the alternative that the mean is above ``limit``."""
        return float(special.stdtr(estimate.df, (limit - estimate.value) / estimate.se))

    def below(limit: float) -> float:
        return float(special.stdtr(estimate.df, (estimate.value - limit) / estimate.se))

    if result.relation == "~":
        low, high = (as_float(result.bound + sign * result.tolerance) for sign in (-1, 1))
        p_support, p_contradict = max(above(low), below(high)), min(1.0, 2 * min(below(low), above(high)))
    else:
        p_support, p_contradict = above(bound), below(bound)
        if result.relation in ("<", "<="):
            p_support, p_contradict = p_contradict, p_support
    return replace(
        result,
        verdict=judge(result.relation, estimate.ci_low, estimate.ci_high, result.bound, result.tolerance),
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        p_support=p_support,
        p_contradict=p_contradict,
    )


def judge(relation: Relation, low: Any, high: Any, bound: Fraction, tolerance: Fraction | None) -> ClaimVerdict:
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
    "macro_f1": "macro_f1", "auroc": "auroc",
}  # fmt: skip
"""The column of runs.csv that each quantity of a run comes from; what a probe measures has a column of its spelling."""

DIVERGED = math.inf
"""Marks a diverged run in values by seed."""

WORST = {
    "test_accuracy": 0.0, "val_accuracy": 0.0, "balanced_accuracy": 0.0, "macro_f1": 0.0, "auroc": 0.0,
    "test_loss": math.inf, "ece": 1.0, "brier": 2.0, "best_epoch": math.nan,
}  # fmt: skip
"""Worst possible value of each quantity, which a diverged run counts as; NaN contradicts every verdict. Of a time it is
infinity."""


def worst_value(quantity: Quantity) -> float:
    """What a diverged run counts as; 0 for a share that a probe measures."""
    return 0.0 if quantity.arguments else WORST.get(quantity.name, math.inf)


def limits(tree: Tree) -> tuple[float, float]:
    """Smallest and largest possible value of a rule's side; infinite for products and ratios."""
    if isinstance(tree, Number):
        return (as_float(tree.value),) * 2
    if isinstance(tree, Quantity):
        return SHARE if tree.arguments else RANGES.get(tree.name, (-math.inf, math.inf))
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
    column = quantity.spelling if quantity.arguments else _MEASURES[quantity.name]
    values = rows[column].astype(float)
    if quantity.name == "seconds_per_epoch":
        values = values / rows["epochs_run"].where(rows["epochs_run"] > 0)
    values = values.where(np.isfinite(values)).where(rows["status"] == "finished", DIVERGED)
    values.index = rows["seed"]
    return values
