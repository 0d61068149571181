"""Marks of a verdict: whether other analyses of the same runs, and tuned runs, give the same one."""

from collections.abc import Sequence
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.findings.study_results import StudyResults
from convlab.language.contrasts import VERDICTS
from convlab.language.robustness import (
    ANALYSES,
    TUNED,
    WITHOUT_SEED,
    flips_sentence,
    not_known_reason,
    seeds_left_out_text,
    unchanged_text,
)
from convlab.page.views import Mark
from convlab.statistics.describe import MIN_SEEDS


def marks_and_flips(results: StudyResults, row: dict[str, Any]) -> tuple[list[Mark], str]:
    """The marks of one comparison in their order, and the sentence that names the analyses that change its verdict.

    No marks where nothing was tested.
    """
    rows = results.other_analyses(row["dataset"], row["experiment"], row["variant"])
    if not rows:
        return [], ""
    marks, changes = [], []
    for name, label in ANALYSES.items():
        if name == TUNED and not results.plan.trials:
            continue
        of_analysis = [entry for entry in rows if _group(entry["analysis"]) == name]
        flips = [entry for entry in of_analysis if entry["flips"]]
        if not of_analysis:
            marks.append(Mark(_(label), "unknown", not_known_reason(name, MIN_SEEDS + 1, results.plan.metric)))
        elif not flips:
            marks.append(Mark(_(label), "same", unchanged_text()))
        else:
            named = _named_flips(name, flips)
            marks.append(Mark(_(label), "flip", "; ".join(" – ".join(change) for change in named)))
            changes += named
    return marks, flips_sentence(changes)


def _group(analysis: str) -> str:
    """Key of an analysis in ``ANALYSES``."""
    return "seeds" if analysis.startswith(WITHOUT_SEED) else analysis


def _named_flips(name: str, flips: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Text of each analysis that changes the verdict, and of its verdict; seeds with the same verdict in one."""
    if name != "seeds":
        return [(_(ANALYSES[name]), _(VERDICTS[entry["verdict"]])) for entry in flips]
    verdicts = {}
    for entry in flips:
        verdicts.setdefault(entry["verdict"], []).append(entry["analysis"].removeprefix(WITHOUT_SEED))
    return [(seeds_left_out_text(seeds), _(VERDICTS[verdict])) for verdict, seeds in verdicts.items()]
