"""Energy of trainings, joules: measured where run.json has readings of counters, else estimated from CPU time."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

WATTS_PER_CORE = 12.0
"""Watts of a busy core where no counter can be read: what Green Algorithms assumes of a processor that it does not know
(Lannelongue, Grealey and Inouye 2021, doi:10.1002/advs.202100707, and "Any" in the data/latest/TDP_cpu.csv of its
repository, in which listed processors have 4 to 24 W). A hardware thread counts as a core."""

RAPL, NVML, ESTIMATE = "rapl", "nvml", "estimate"
"""Counters of processors, counters of NVIDIA's GPUs, CPU time at ``WATTS_PER_CORE``."""


class RunEnergy(NamedTuple):
    """Energy of one training, J; None where it is unknown. ``source`` joins what it is made of by a plus."""

    joules: float | None
    source: str


def run_energy(run: Mapping[str, Any]) -> RunEnergy:
    """Energy of the training that a run.json records.

    It is unknown without readings, and of a GPU whose counter, or the run's share of it, could not be read: the
    processors' part alone would mislead.
    """
    readings = run.get("energy")
    if not readings or (run["device"] == "GPU" and NVML not in readings):
        return RunEnergy(None, "")
    joules, source = WATTS_PER_CORE * readings["cpu_seconds"], ESTIMATE
    if RAPL in readings:
        joules, source = sum(readings[RAPL].values()), RAPL
    if NVML in readings:
        return RunEnergy(joules + readings[NVML]["joules"], f"{NVML}+{source}")
    return RunEnergy(joules, source)


def energy_summary(runs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Energy of several trainings by source, as summary.json has it.

    Returns:
        ``watts_per_core`` of estimates, and ``sources`` with joules, CPU seconds and number of runs of each; those of
        which it is unknown have the source "" and no joules.
    """
    sources: dict[str, dict[str, Any]] = {}
    for run in runs:
        joules, source = run_energy(run)
        entry = sources.setdefault(source, {"source": source, "joules": None, "cpu_seconds": 0.0, "runs": 0})
        entry["runs"] += 1
        if joules is not None:
            entry["joules"] = (entry["joules"] or 0.0) + joules
            entry["cpu_seconds"] += run["energy"]["cpu_seconds"]
    return {"watts_per_core": WATTS_PER_CORE, "sources": [sources[source] for source in sorted(sources, reverse=True)]}
