"""Conditions under which runs were made, and in which the sides of a contrast or claim differ. Numbers, no text."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from convlab.common.i18n import N_
from convlab.results import columns
from convlab.study.variants import Plan, PlannedClaim

Runs = Mapping[tuple[str, str, int], Mapping[str, Any]]
"""Records of all runs (run.json) by dataset, variant and seed."""

COMPUTING_PACKAGES = ("python", "tensorflow", "tensorflow-cpu", "keras", "jax", "torch", "numpy")
"""Packages whose version can change what a training computes; the others only draw and write."""

SOFTWARE, THREADS, ENVIRONMENT = N_("software versions"), N_("number of threads"), N_("environment variables")
CODE = N_("training code")

CONDITIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    SOFTWARE: lambda run: {name: run["versions"].get(name) for name in COMPUTING_PACKAGES},
    N_("operating system"): lambda run: run["hardware"]["system"],
    N_("processor"): lambda run: [run["hardware"]["processor"], run["hardware"]["instructions"]],
    N_("device"): lambda run: run["device"].split(",")[0],
    THREADS: lambda run: run["threads"],
    ENVIRONMENT: lambda run: run["environment"],
    CODE: lambda run: run["code"],
}
"""Conditions that compared runs should share beside data and settings, and how to read them from a run's record."""


def are_unequal(condition: str, first: Any, second: Any) -> bool:
    """Whether two runs' values of a condition differ. Of their code the files that both have are compared.

    A file that one run alone has comes with the family of its model, or with an edit of a file that both have.
    """
    if condition != CODE:
        return first != second
    return any(first[name] != second[name] for name in first.keys() & second.keys())


def unequal_conditions(runs: Runs, *sides: tuple[str, str]) -> dict[str, int]:
    """Conditions in which runs with the same seed differ, with the number of seeds in which they do.

    Args:
        sides: dataset and variant of each side. Seeds that a side lacks are left out.
    """
    counts = dict.fromkeys(CONDITIONS, 0)
    for seed in dict.fromkeys(seed for _dataset, _variant, seed in runs):
        if all((*side, seed) in runs for side in sides):
            pairs = list(combinations([runs[*side, seed] for side in sides], 2))
            for condition, value in CONDITIONS.items():
                counts[condition] += any(are_unequal(condition, value(a), value(b)) for a, b in pairs)
    return {condition: count for condition, count in counts.items() if count}


def unequal_settings(plan: Plan, question: str, variant: str, reference: str) -> list[str]:
    """Fields of ``training`` in which the two sides of a contrast differ, the factors of the question left out.

    An experiment varies its factors on purpose; the variants of a comparison may come from different experiments.
    """
    factors = (plan.questions[question].factor or "").split(" × ")
    sides = [plan.variants[name].training.model_dump(mode="json") for name in (variant, reference)]
    return [name for name in sides[0] if sides[0][name] != sides[1][name] and name not in factors]


def claim_sides(claim: PlannedClaim, dataset: str) -> list[tuple[str, str]]:
    """Dataset and variant of every side of a claim that is measured, each once."""
    measured = [quantity for quantity in claim.rule.quantities if quantity.measured]
    return list(dict.fromkeys((quantity.dataset or dataset, quantity.variant) for quantity in measured))


def claim_conditions(runs: Runs, plan: Plan, row: Mapping[str, Any]) -> dict[str, int]:
    """Conditions in which the runs of a claim differ; none where timings decide it, which are made side by side.

    Args:
        row: of claims.csv.
    """
    if row["replicates"] == "rounds":
        return {}
    sides = [side for dataset in row["dataset"].split(", ") for side in claim_sides(plan.claims[row["claim"]], dataset)]
    return unequal_conditions(runs, *dict.fromkeys(sides))


def with_contrast_conditions(comparisons: pd.DataFrame, runs: Runs, plan: Plan) -> pd.DataFrame:
    """comparisons.csv with a last column that names the conditions and settings in which the two sides differ."""
    names = []
    for row in comparisons.to_dict("records"):
        sides = [(row["dataset"], row[side]) for side in ("variant", "reference")]
        settings = unequal_settings(plan, row["experiment"], row["variant"], row["reference"])
        names.append("; ".join([*unequal_conditions(runs, *sides), *settings]))
    return _with_column(comparisons, names)


def with_claim_conditions(claims: pd.DataFrame, runs: Runs, plan: Plan) -> pd.DataFrame:
    """claims.csv with a last column that names the conditions in which the runs of a claim differ."""
    return _with_column(claims, ["; ".join(claim_conditions(runs, plan, row)) for row in claims.to_dict("records")])


def _with_column(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    (column,) = columns.CONDITIONS
    return table.assign(**{column: pd.Series(names, index=table.index, dtype=object)})
