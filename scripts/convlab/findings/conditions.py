"""Runs of one study made under different conditions: software, processor, device, threads, environment, code."""

import json
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding, StudyResults
from convlab.models.registry import PACKAGE

Runs = Mapping[tuple[str, str, int], Mapping[str, Any]]
"""Records of all runs (run.json) by dataset, variant and seed."""

COMPUTING_PACKAGES = ("python", "tensorflow", "tensorflow-cpu", "keras", "jax", "torch", "numpy")
"""Packages whose version can change what a training computes; the others only draw and write."""

CODE = N_("training code")

CONDITIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    N_("software versions"): lambda run: {name: run["versions"].get(name) for name in COMPUTING_PACKAGES},
    N_("processor"): lambda run: [run["hardware"]["processor"], run["hardware"]["instructions"]],
    N_("device"): lambda run: run["device"].split(",")[0],
    N_("number of threads"): lambda run: run["threads"],
    N_("environment variables"): lambda run: run["environment"],
    CODE: lambda run: run["code"],
}
"""Conditions that compared runs should share beside data and settings, and how to read them from a run's record."""

FAMILY_FILES = f"{PACKAGE.replace('.', '/')}/"
"""Beginning of the names of model families' modules; a run has that of its own family in its code."""


def are_unequal(condition: str, first: Any, second: Any) -> bool:
    """Whether two runs' values of a condition differ. The code of the families of their models is not compared."""
    if condition != CODE:
        return first != second
    names = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    return any((name in first and name in second) or not name.startswith(FAMILY_FILES) for name in names)


def unequal_conditions(runs: Runs, dataset: str, variant: str, reference: str) -> dict[str, int]:
    """Conditions in which the two sides of a contrast differ, with the number of seeds in which they do."""
    counts = dict.fromkeys(CONDITIONS, 0)
    for name, seed in [(name, seed) for where, name, seed in runs if where == dataset]:
        if name == variant and (dataset, reference, seed) in runs:
            first, second = runs[dataset, variant, seed], runs[dataset, reference, seed]
            for condition, value in CONDITIONS.items():
                counts[condition] += are_unequal(condition, value(first), value(second))
    return {condition: count for condition, count in counts.items() if count}


def unequal_text(runs: Runs, dataset: str, variant: str, reference: str) -> str:
    """Warning about a contrast whose runs were made under different conditions; empty if there is none."""
    counts = unequal_conditions(runs, dataset, variant, reference)
    if not counts:
        return ""
    return _(
        "The runs of the two sides were made under different conditions: {conditions}. The difference may come from "
        "these.",
        conditions=listing(
            ngettext("{condition} ({n} seed)", "{condition} ({n} seeds)", count, condition=_(condition))
            for condition, count in counts.items()
        ),
    )


def unequal_texts(runs: Runs, results: StudyResults) -> dict[tuple[str, str, str], str]:
    """The warnings of all contrasts that need one, by dataset, question and variant."""
    texts = {
        (row["dataset"], row["experiment"], row["variant"]): unequal_text(
            runs, row["dataset"], row["variant"], row["reference"]
        )
        for row in results.comparisons.to_dict("records")
    }
    return {key: text for key, text in texts.items() if text}


def conditions_limitation(runs: Runs, results: StudyResults) -> list[Finding]:
    """Limitation of a study whose compared runs were made under different conditions."""
    different = []
    for condition, value in CONDITIONS.items():
        values = {json.dumps(value(run), sort_keys=True): value(run) for run in runs.values()}
        if any(are_unequal(condition, *pair) for pair in combinations(values.values(), 2)):
            different.append(condition)
    if not different:
        return []
    affected = len(unequal_texts(runs, results))
    text = _(
        "Not all runs were made under the same conditions; they differ in: {conditions}.",
        conditions=listing(_(condition) for condition in different),
    )
    if affected:
        text += " " + ngettext(
            "In {n} comparison the two sides differ in this, and claims may be affected too. To run all of them again "
            "under the same conditions: snakemake --forcerun train.",
            "In {n} comparisons the two sides differ in this, and claims may be affected too. To run all of them again "
            "under the same conditions: snakemake --forcerun train.",
            affected,
        )
    return [Finding(text, {"comparisons": affected})]
