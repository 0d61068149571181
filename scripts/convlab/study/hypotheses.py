"""Questions and measured claims of a study, and the variants whose runs decide each. Standard library only."""

from convlab.study.rules import TIMES
from convlab.study.schema import Study
from convlab.study.variants import Plan

Sides = set[tuple[str, str]]
"""Variants, as (dataset, variant)."""


def variants_of_question(plan: Plan, dataset: str, name: str) -> Sides:
    """All variants of a question, the reference among them."""
    question = plan.questions[name]
    return {(dataset, variant) for variant in (question.reference, *question.variants)}


def variants_of_claim(plan: Plan, dataset: str, name: str) -> Sides:
    """The variants of which a claim measures something that seeds vary: none for an exact claim, or one about times."""
    quantities = plan.claims[name].rule.quantities
    by_seeds = (quantity for quantity in quantities if quantity.measured and quantity.name not in TIMES)
    return {(quantity.dataset or dataset, quantity.variant) for quantity in by_seeds}


def tested(study: Study) -> list[Sides]:
    """The variants of every question and of every claim that is tested: on each dataset, without claims about times."""
    plan = study.plan
    questions = [variants_of_question(plan, dataset, name) for dataset in study.datasets for name in plan.questions]
    claims = [
        variants_of_claim(plan, dataset, claim.id)
        for claim in plan.claims.values()
        if not any(quantity.name in TIMES for quantity in claim.rule.quantities)
        for dataset in claim.datasets
    ]
    return questions + [sides for sides in claims if sides]
