"""Findings about filters and feature maps: what changes in a convolution from the reference level to the others."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.language.numbers import ci_text, missing, points, signed
from convlab.results.convolutions import MEASURES
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.variants import Question

MAX_LAYERS = 4
"""Convolutions that get a sentence, the first ones; the others are in the table."""


def feature_maps(results: StudyResults, dataset: str, question: Question) -> Topic:
    """A sentence for each convolution that the reference and another level have."""
    rows = results.convolutions
    rows = rows[(rows["dataset"] == dataset) & (rows["experiment"] == question.name) & (rows["n_pairs"] > 0)]
    layers = list(dict.fromkeys(rows["layer"]))
    if not layers:
        return Topic("feature_maps", (), question.name)
    if rows["n_pairs"].max() < MIN_SEEDS:
        text = _("Fewer than three seeds: filters and feature maps are shown and measured, and nothing is inferred.")
        return Topic("feature_maps", (Finding(text),), question.name)
    findings = [_of_layer(question, layer, rows[rows["layer"] == layer].to_dict("records")) for layer in layers]
    shown = [finding for finding in findings[:MAX_LAYERS] if finding]
    if len(layers) > MAX_LAYERS:
        left = len(layers) - MAX_LAYERS
        text = ngettext(
            "{n} more convolution is in the table of the section on what was learned.",
            "{n} more convolutions are in the table of the section on what was learned.",
            left,
        )
        shown.append(Finding(text, {"convolutions": left}, "note"))
    shown.append(_by_chance(rows))
    return Topic("feature_maps", tuple(shown), question.name)


def _by_chance(rows: pd.DataFrame) -> Finding:
    """How many of the intervals exclude zero, and how many would by chance; nothing is adjusted for their number."""
    intervals = rows[rows["ci_low"].notna()]
    apart = int(((intervals["ci_low"] > 0) | (intervals["ci_high"] < 0)).sum())
    text = _(
        "Intervals that exclude zero: {n} of {all}; by chance alone about one in 20 would.", n=apart, all=len(intervals)
    )
    return Finding(text, {"intervals": len(intervals), "told_apart": apart}, "note")


def _of_layer(question: Question, layer: str, rows: Sequence[dict[str, Any]]) -> Finding | None:
    """What is told apart from the reference in one convolution, and what is not; None without any interval."""
    clauses, numbers, open_measures = [], {}, []
    for measure, description in MEASURES.items():
        measured = [row for row in rows if row["measure"] == measure and not missing(row["ci_low"])]
        higher = [row for row in measured if row["ci_low"] > 0]
        lower = [row for row in measured if row["ci_high"] < 0]
        if higher:
            levels = listing(_difference(question, row) for row in higher)
            clauses.append(_("{measure} higher with {levels}", measure=_(description.label), levels=levels))
        if lower:
            levels = listing(_difference(question, row) for row in lower)
            clauses.append(_("{measure} lower with {levels}", measure=_(description.label), levels=levels))
        if measured and not higher and not lower:
            open_measures.append(_(description.label))
        for row in higher + lower:
            name = f"{measure} {question.level_labels[row['variant']]}"
            numbers |= {name: row["difference"], f"{name} ci_low": row["ci_low"], f"{name} ci_high": row["ci_high"]}
    if not clauses and not open_measures:
        return None
    seeds = min(row["n_pairs"] for row in rows if not missing(row["ci_low"]))
    parts = {"layer": layer, "reference": f"{question.subject} {question.level_labels[question.reference]}"}
    of_seeds = ngettext("n = {n} seed", "n = {n} seeds", seeds)
    if diverged := max(row["n_diverged"] for row in rows):
        left_out = ngettext("{n} seed with a diverged run left out", "{n} seeds with a diverged run left out", diverged)
        of_seeds = f"{of_seeds}, {left_out}"
    sentences = []
    if clauses:
        text = _("Convolution {layer} against {reference} ({seeds}): {changes}.",
                 changes="; ".join(clauses), seeds=of_seeds, **parts)  # fmt: skip
        sentences.append(text)
    if open_measures and clauses:
        sentences.append(_("Not told apart at any level: {measures}.", measures=listing(open_measures)))
    elif open_measures:
        sentences.append(
            _("Convolution {layer} against {reference} ({seeds}): no level is told apart in {measures}.",
              measures=listing(open_measures), seeds=of_seeds, **parts)
        )  # fmt: skip
    return Finding(" ".join(sentences), numbers, "exploratory")


def _difference(question: Question, row: dict[str, Any]) -> str:
    """A level with its difference and interval: ``5×5 (+0.121, 95 % CI +0.083 to +0.159)``."""
    label = question.level_labels[row["variant"]]
    measure = MEASURES[row["measure"]]
    if measure.is_share:
        return f"{label} ({points(row['difference'], measure.decimals)}, {ci_text(row['ci_low'], row['ci_high'])})"
    difference, low, high = (signed(row[name], measure.decimals) for name in ("difference", "ci_low", "ci_high"))
    limits = _("95 % CI {interval}", interval=_("{low} to {high}", low=low, high=high))
    return f"{label} ({difference}, {limits})"
