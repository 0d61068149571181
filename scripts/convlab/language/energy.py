"""Energy of trainings in words: how much, how it is known, and what it leaves out."""

import math
from collections.abc import Mapping
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import N_, ngettext, with_unit
from convlab.common.i18n import gettext as _
from convlab.language import numbers as say

SOURCES = {
    "rapl": N_(
        "{energy}, measured by the energy counters of the processors (RAPL) and attributed to the runs by CPU time"
    ),
    "nvml+rapl": N_(
        "{energy}, measured by the energy counters of GPU (NVML) and processors (RAPL) and attributed to the runs: of "
        "the GPU in equal parts, of the processors by CPU time"
    ),
    "nvml+estimate": N_(
        "{energy}: that of the GPU measured by its energy counter (NVML) and attributed to the runs in equal parts, "
        "that of the processors ({estimated}) estimated from {seconds} of CPU time at {watts} per busy core"
    ),
    "estimate": N_("about {energy}, estimated from {seconds} of CPU time at {watts} per busy core"),
}
"""How the energy of a source is known, by its name in runs.csv."""


def joules_text(joules: float, digits: int = 3) -> str:
    """An energy with so many significant digits: ``9.56 kJ (2.66 Wh)``."""
    return f"{_with_prefix(joules, 'J', digits)} ({_with_prefix(joules / 3600, 'Wh', digits)})"


def _with_prefix(value: float, unit: str, digits: int) -> str:
    prefixes = ["", "k", "M", "G"]
    while float(f"{value:.{digits}g}") >= 1000 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(rounded))) if rounded else 0
    return with_unit(say.number(rounded, decimals), prefixes[0] + unit)


def energy_text(summary: Mapping[str, Any]) -> str:
    """The energy of trainings by how it is known, and what it leaves out; what is unknown is called so.

    Args:
        summary: of ``results.energy.energy_summary``.
    """
    parts, joules = [], 0.0
    known = [entry for entry in summary["sources"] if entry["joules"] is not None]
    unknown = sum(entry["runs"] for entry in summary["sources"] if entry["joules"] is None)
    for entry in known:
        estimated = entry["cpu_seconds"] * summary["watts_per_core"]
        text = _(
            SOURCES[entry["source"]],
            energy=joules_text(entry["joules"], 2 if entry["source"] == "estimate" else 3),
            estimated=_with_prefix(estimated, "J", 2),
            seconds=with_unit(say.count(entry["cpu_seconds"]), "s"),
            watts=with_unit(i18n.number(summary["watts_per_core"], "g"), "W"),
        )
        runs = ngettext("{n} run: {energy}", "{n} runs: {energy}", entry["runs"], energy=text)
        parts.append(runs if len(summary["sources"]) > 1 else text)
        joules += entry["joules"]
    if not known:
        return _("unknown: readings are missing, or are not of these runs alone")
    if unknown:
        parts.append(ngettext("unknown of {n} run", "unknown of {n} runs", unknown))
    if len(known) > 1:
        parts.insert(0, _("{energy} in all", energy=joules_text(joules, 2)))
    left_out = _(
        "Training only: without preparation, evaluation, probes, the start of processes, and the rest of the machine"
    )
    return f"{'; '.join(parts)}. {left_out}."
