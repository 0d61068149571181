"""Shared parts of probe findings: differences with their intervals in words, directions, exploratory findings.

Probes are exploratory: their intervals are t intervals over seeds, paired by seed, and not adjusted. So every
sentence that rests on one is marked as exploratory, speaks of this study only, and infers nothing below three seeds.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.study_results import Finding
from convlab.language.numbers import difference, difference_interval, missing
from convlab.probes.curves import contrast_unit
from convlab.probes.registry import level_label

Direction = Literal["up", "down", "none", "open", "smoke"]


def direction(row, rope: float) -> Direction:
    """``up`` or ``down`` if the whole interval lies outside the ROPE on that side, ``none`` if it lies inside,
    ``open`` otherwise, ``smoke`` without an interval."""
    if missing(row.ci_low):
        return "smoke"
    if row.ci_low > rope:
        return "up"
    if row.ci_high < -rope:
        return "down"
    return "none" if -rope <= row.ci_low and row.ci_high <= rope else "open"


def difference_text(row) -> str:
    """A contrast in its unit with its interval: ``+2.91 pp (95 % CI +2.63 to +3.20; n = 3 seeds)``."""
    seeds = ngettext("n = {n} seed", "n = {n} seeds", row.n_seeds)
    if row.n_diverged:
        left_out = ngettext(
            "{n} seed left out, where a run diverged or has nothing to measure",
            "{n} seeds left out, where a run diverged or has nothing to measure",
            row.n_diverged,
        )
        seeds = f"{seeds}, {left_out}"
    unit = contrast_unit(row.probe, row.measure)
    value = difference(row.difference, unit)
    if missing(row.ci_low):
        return _("{difference} ({seeds}: points only, nothing inferred)", difference=value, seeds=seeds)
    limits = _("95 % CI {interval}", interval=difference_interval(row.ci_low, row.ci_high, unit))
    return f"{value} ({limits}; {seeds})"


def quoted_numbers(row, name: str) -> dict[str, float]:
    """A contrast's difference and interval, as a finding carries them."""
    return {name: row.difference, f"{name}_ci_low": row.ci_low, f"{name}_ci_high": row.ci_high}


def level_labels(curves: pd.DataFrame) -> dict[str, str]:
    """Label of each level of a probe's tables, in the language in use."""
    return {row.level: level_label(row.probe, row.order) for row in curves.itertuples()}


def joined(*sentences: str) -> str:
    """Sentences joined by spaces, empty ones left out."""
    return " ".join(filter(None, sentences))


def without_finished_run(models: Sequence[str]) -> str:
    """A sentence that names the models, by their labels, of which nothing could be measured; empty without any."""
    if not models:
        return ""
    return ngettext(
        "{models} has no finished run to measure.",
        "{models} have no finished run to measure.",
        len(models),
        models=listing(models),
    )


def exploratory(text: str, numbers: Mapping[str, float]) -> Finding:
    """An exploratory finding: its interval is not adjusted."""
    return Finding(text, numbers, "exploratory")
