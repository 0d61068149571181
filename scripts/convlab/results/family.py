"""The confirmatory family of a study: all contrasts and claims that are tested, with p values adjusted together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from convlab.results.asked import ALL, Asked
from convlab.results.by_seed import by_seed
from convlab.results.timings import Timings
from convlab.statistics.claim_links import contrasts_by_variants
from convlab.statistics.claims import ClaimResult, ConstantGuess, decide
from convlab.statistics.comparisons import Contrast, compare_to_reference, is_tested
from convlab.statistics.multiplicity import family_size
from convlab.statistics.sequential import (
    ONLY_LOOK,
    Hypothesis,
    Look,
    Replay,
    adjust_at_look,
    adjust_equivalences_at_look,
)
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
        looks: what the looks of the study decided so far; None of an analysis that is not one of several.
    """

    contrasts: dict[tuple[str, str], dict[str, Contrast]]
    claims: dict[tuple[str, str], ClaimResult]
    adjusted: dict[tuple[str, ...], dict[str, float | None]]
    equivalence: dict[tuple[str, ...], dict[str, float | None]]
    looks: Replay | None = None

    def look_of(self, question: tuple[str, ...], name: str = "") -> Look | None:
        """The look that settled a contrast, by (dataset, question) and variant, or a claim; None if none did."""
        settled = self.looks and self.looks.settled.get((question, name))
        return settled[1] if settled else None


def confirmatory_family(
    runs: pd.DataFrame,
    plan: Plan,
    rope: float,
    guesses: Mapping[str, ConstantGuess | None] | None = None,
    asked: Asked = ALL,
    timings: Timings | None = None,
    *,
    look: Look = ONLY_LOOK,
    settled: Mapping[Hypothesis, str] | None = None,
) -> Family:
    """Test every question and every claim on every dataset, and adjust their p values over the study.

    Claims that are decided by exact numbers test nothing and do not count, nor do those that are only described. A
    claim that repeats a contrast counts once, with it.

    Args:
        guesses: the constant guess of each dataset, that claims are held against.
        asked: which questions and claims belong to the family.
        timings: times that were measured in rounds, which decide claims about time.
        look: of a plan; every test is held against its share of the level.
        settled: verdicts of earlier looks. Present values of what is settled mean nothing.
    """
    timings = timings or Timings()
    tables = {}
    for dataset, of_dataset in runs.groupby("dataset", sort=True):
        for question in plan.questions.values():
            if not asked.holds("question", dataset, question.name):
                continue
            variants = [question.reference, *question.variants]
            tables[dataset, question.name] = question.reference, by_seed(of_dataset, variants, plan.metric.column)

    def contrasts_of_family(size: float) -> dict[tuple[str, str], dict[str, Contrast]]:
        return {
            key: compare_to_reference(values, reference, rope=rope, family=size)
            for key, (reference, values) in tables.items()
        }

    lookup = contrasts_by_variants(contrasts_of_family(1), plan.metric.column)
    claims = {
        (dataset, claim.id): decide(
            claim, dataset, timings.for_claim(claim, dataset, plan, runs), plan.costs, guesses, lookup
        )
        for claim in plan.claims.values()
        for dataset in claim.datasets
        if asked.holds("claim", dataset, claim.id)
    }
    own = {key: claim for key, claim in claims.items() if claim.repeats is None}
    tested = sum(is_tested(values, reference) for reference, values in tables.values())
    size = max(1, asked.dropped + tested + sum(claim.p_value is not None for claim in own.values()))
    contrasts = {
        key: {variant: _within_possible(contrast, plan.metric) for variant, contrast in of_question.items()}
        for key, of_question in contrasts_of_family(size / look.share).items()
    }

    return adjusted_family(contrasts, claims, asked, look=look, settled=settled)


def adjusted_family(
    contrasts: Mapping[tuple[str, str], Mapping[str, Contrast]],
    claims: Mapping[tuple[str, str], ClaimResult],
    asked: Asked = ALL,
    *,
    look: Look = ONLY_LOOK,
    settled: Mapping[Hypothesis, str] | None = None,
) -> Family:
    """The family of those contrasts and claims that are asked, with p values adjusted over all of them.

    Args:
        contrasts: by (dataset, question), then by variant.
        claims: by (dataset, id).
        look, settled: as of :func:`confirmatory_family`.
    """
    contrasts = {key: of_question for key, of_question in contrasts.items() if asked.holds("question", *key)}
    claims = {key: claim for key, claim in claims.items() if asked.holds("claim", *key)}

    def p_values(name: str) -> dict[tuple[str, ...], dict[str, float | None]]:
        return {
            key: {variant: getattr(contrast, name) for variant, contrast in of_question.items()}
            for key, of_question in contrasts.items()
        }

    own = {("claim", *key): {"": claim.p_value} for key, claim in claims.items() if claim.repeats is None}
    tested = p_values("p_value") | own | asked.dropped_p_values
    adjusted = adjust_at_look(tested, look.share, settled or {})
    for key, claim in claims.items():
        if same := claim.repeats:
            adjusted["claim", *key] = {"": adjusted[same.dataset, same.question][same.contrast.variant]}
    size = max(1, family_size(tested))
    return Family(contrasts, claims, adjusted, adjust_equivalences_at_look(p_values("p_equivalence"), size, look.share))


def _within_possible(contrast: Contrast, metric: Metric) -> Contrast:
    """The contrast with its intervals clipped to the range of a difference of two values of the metric."""
    limits = {name: getattr(contrast, name) for name in ("ci_low", "ci_high", "ci90_low", "ci90_high")}
    return replace(contrast, **{name: metric.within_difference(limit) for name, limit in limits.items()})
