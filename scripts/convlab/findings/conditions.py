"""Runs of one study made under different conditions: software, processor, device, threads, environment, code."""

import json
from collections.abc import Iterator, Mapping
from itertools import combinations

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.study_results import Finding, StudyResults
from convlab.results.conditions import (
    CONDITIONS,
    Runs,
    are_unequal,
    claim_conditions,
    unequal_conditions,
    unequal_settings,
)
from convlab.study.labels import field_label


def conditions_text(counts: Mapping[str, int]) -> str:
    """Warning about a contrast or claim whose runs were made under different conditions; empty if there is none.

    Args:
        counts: by condition, the number of seeds in which the runs differ.
    """
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


def settings_text(settings: list[str]) -> str:
    """Remark on a comparison whose sides the config trains with different settings; empty where they agree."""
    if not settings:
        return ""
    return _(
        "The config also trains the two sides differently: {settings}.",
        settings=listing(field_label(name) for name in settings),
    )


def unequal_text(runs: Runs, results: StudyResults, row: Mapping[str, str]) -> str:
    """Warning about a contrast, a row of comparisons.csv, whose sides differ in more than what is compared."""
    sides = [(row["dataset"], row[side]) for side in ("variant", "reference")]
    settings = unequal_settings(results.plan, row["experiment"], row["variant"], row["reference"])
    texts = (conditions_text(unequal_conditions(runs, *sides)), settings_text(settings))
    return " ".join(filter(None, texts))


def unequal_texts(runs: Runs, results: StudyResults) -> dict[tuple[str, str, str], str]:
    """The warnings of all contrasts that need one, by dataset, question and variant."""
    texts = {
        (row["dataset"], row["experiment"], row["variant"]): unequal_text(runs, results, row)
        for row in results.comparisons.to_dict("records")
    }
    return {key: text for key, text in texts.items() if text}


def unequal_claims(runs: Runs, results: StudyResults) -> dict[tuple[str, str], str]:
    """The warnings of all claims whose runs were made under different conditions, by id and dataset."""
    texts = {
        (row["claim"], row["dataset"]): conditions_text(claim_conditions(runs, results.plan, row))
        for row in results.claims.to_dict("records")
    }
    return {key: text for key, text in texts.items() if text}


def conditions_notice(runs: Runs, results: StudyResults) -> str:
    """Notice for the first screen: in how many comparisons and claims runs differ, and in what; empty if in none."""
    affected = list(_unequal_parts(runs, results))
    if not affected:
        return ""
    conditions = [condition for condition in CONDITIONS if any(condition in counts for _kind, counts in affected)]
    numbers = {kind: sum(kind == name for name, _counts in affected) for kind in ("comparison", "claim")}
    parts = [
        ngettext("{n} comparison", "{n} comparisons", numbers["comparison"]) if numbers["comparison"] else "",
        ngettext("{n} claim", "{n} claims", numbers["claim"]) if numbers["claim"] else "",
    ]
    return _(
        "Not like with like: in {parts} the runs were made under different conditions ({conditions}), from which a "
        "difference may come.",
        parts=listing(filter(None, parts)),
        conditions=listing(_(condition) for condition in conditions),
    )


def _unequal_parts(runs: Runs, results: StudyResults) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Each contrast and claim whose runs differ: its kind, and the conditions with the number of seeds."""
    for row in results.comparisons.to_dict("records"):
        if counts := unequal_conditions(runs, *((row["dataset"], row[side]) for side in ("variant", "reference"))):
            yield "comparison", counts
    for row in results.claims.to_dict("records"):
        if counts := claim_conditions(runs, results.plan, row):
            yield "claim", counts


def conditions_limitation(runs: Runs, results: StudyResults) -> list[Finding]:
    """Limitation of a study whose runs were made under different conditions."""
    different = []
    for condition, value in CONDITIONS.items():
        values = {json.dumps(value(run), sort_keys=True): value(run) for run in runs.values()}
        if any(are_unequal(condition, *pair) for pair in combinations(values.values(), 2)):
            different.append(condition)
    if not different:
        return []
    kinds = [kind for kind, _counts in _unequal_parts(runs, results)]
    contrasts, claims = kinds.count("comparison"), kinds.count("claim")
    text = _(
        "Not all runs were made under the same conditions; they differ in: {conditions}.",
        conditions=listing(_(condition) for condition in different),
    )
    if contrasts:
        text += " " + ngettext(
            "In {n} comparison the two sides differ in this.",
            "In {n} comparisons the two sides differ in this.",
            contrasts,
        )
    if claims:
        text += " " + ngettext(
            "In {n} claim the runs that it compares differ in this.",
            "In {n} claims the runs that they compare differ in this.",
            claims,
        )
    if contrasts or claims:
        text += " " + _("To run all of them again under the same conditions: snakemake --forcerun train.")
    return [Finding(text, {"comparisons": contrasts, "claims": claims})]
