"""The confirmatory family of a study: all contrasts and claims that are tested, with p values adjusted together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from convlab.statistics.claims import ClaimResult, ConstantGuess, decide
from convlab.statistics.comparisons import Contrast, compare_to_reference, is_tested
from convlab.statistics.multiplicity import adjust_equivalences, adjust_family
from convlab.study.metrics import Metric
from convlab.study.variants import Plan


@dataclass(frozen=True)
class Family:
    """Contrasts and claims of a study with p values adjusted over all of them.

    Attributes:
        contrasts: by (dataset, question), then by variant.
        claims: by (dataset, id), before their p values are adjusted.
        adjusted: p values of differences and claims over the study, by (dataset, question) and ("claim", dataset, id).
        equivalence: p values of equivalences over the study, by (dataset, question).
    """

    contrasts: dict[tuple[str, str], dict[str, Contrast]]
    claims: dict[tuple[str, str], ClaimResult]
    adjusted: dict[tuple[str, ...], dict[str, float | None]]
    equivalence: dict[tuple[str, ...], dict[str, float | None]]


def confirmatory_family(
    runs: pd.DataFrame,
    plan: Plan,
    rope: float,
    guesses: Mapping[str, ConstantGuess | None] | None = None,
) -> Family:
    """Test every question and every claim on every dataset, and adjust their p values over the study.

    Claims that are decided by exact numbers test nothing and do not count, nor do those that are only described.

    Args:
        guesses: the constant guess of each dataset, that claims are held against.
    """
    claims = {
        (dataset, claim.id): decide(claim, dataset, runs, plan.costs, guesses)
        for claim in plan.claims.values()
        for dataset in claim.datasets
    }
    groups = {}
    for dataset, group in runs.groupby("dataset", sort=True):
        values = {
            name: part.sort_values("seed")[plan.metric.column].to_numpy() for name, part in group.groupby("variant")
        }
        for question in plan.questions.values():
            names = (question.reference, *question.variants)
            groups[dataset, question.name] = question.reference, {name: values[name] for name in names}
    tested = sum(is_tested(values, reference) for reference, values in groups.values())
    size = max(1, tested + sum(claim.p_value is not None for claim in claims.values()))
    contrasts = {}
    for key, (reference, values) in groups.items():
        of_question = compare_to_reference(values, reference, rope=rope, family=size)
        contrasts[key] = {variant: _within_possible(contrast, plan.metric) for variant, contrast in of_question.items()}

    def p_values(name: str) -> dict[tuple[str, ...], dict[str, float | None]]:
        return {
            key: {variant: getattr(contrast, name) for variant, contrast in of_question.items()}
            for key, of_question in contrasts.items()
        }

    p_claims = {("claim", *key): {"": claim.p_value} for key, claim in claims.items()}
    return Family(
        contrasts,
        claims,
        adjust_family(p_values("p_value") | p_claims),
        adjust_equivalences(p_values("p_equivalence"), size),
    )


def _within_possible(contrast: Contrast, metric: Metric) -> Contrast:
    """The contrast with its intervals clipped to the range of a difference of two values of the metric."""
    limits = {name: getattr(contrast, name) for name in ("ci_low", "ci_high", "ci90_low", "ci90_high")}
    return replace(contrast, **{name: metric.within_difference(limit) for name, limit in limits.items()})
