"""How long a study takes to its report: the jobs that are left, what each takes, and when the last of them ends.

Trainings take what was measured. Of all else the time is a multiple of what a process of this machine takes until it
can compute: importing libraries is most of it.
"""

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from convlab.study.estimate import Earlier, RunKey, job_seconds, left_to_train, test_seconds
from convlab.study.schema import Study

# Multiples of the start of a process, from the CPU times of the jobs of the default study and the demo on an Intel Xeon
# (AVX-512), 26 November 2026.
LOADED, NETWORK_INSIDE = 0.75, 0.4  # a process that loads models; what looks inside of one network
BEFORE, EXPLORE, COMPARE, PROBE_SHOWN, REPORT = 2.2, 2.2, 2.3, 0.45, 1.0
"""Snakemake, its plan and ``prepare``; ``explore``; ``compare`` without probes and for each; ``report``, its index."""


@dataclass(frozen=True)
class Job:
    """A job on one core: its seconds, its priority, and the jobs that have to end before."""

    seconds: float
    priority: float = 0.0
    after: frozenset[Hashable] = frozenset()


def makespan(jobs: Mapping[Hashable, Job], cores: int) -> float:
    """Seconds until the last job ends on so many cores, if a free core takes the job with the highest priority of
    those that can begin."""
    waiting = {name: set(job.after) for name, job in jobs.items()}
    ready = [(-job.priority, number, name) for number, (name, job) in enumerate(jobs.items()) if not job.after]
    heapq.heapify(ready)
    followers: dict[Hashable, list[Hashable]] = {}
    for name, job in jobs.items():
        for earlier in job.after:
            followers.setdefault(earlier, []).append(name)
    running: list[tuple[float, int, Hashable]] = []
    now, started = 0.0, len(jobs)
    while ready or running:
        while ready and len(running) < cores:
            name = heapq.heappop(ready)[2]
            started += 1
            heapq.heappush(running, (now + jobs[name].seconds, started, name))
        now, _, ended = heapq.heappop(running)
        for name in followers.get(ended, ()):
            waiting[name].discard(ended)
            if not waiting[name]:
                started += 1
                heapq.heappush(ready, (-jobs[name].priority, started, name))
    return now


@dataclass(frozen=True)
class Duration:
    """Seconds until the report, and how many runs are not in them, since their time is not known."""

    seconds: float
    unknown_runs: int


def study_duration(study: Study, earlier: Earlier, cores: int) -> Duration | None:
    """How long the runs that are left take on so many cores, up to the report of the present look.

    With early stopping it is the most that they take. None without a run whose time is known.
    """
    start = earlier.start_seconds
    jobs: dict[Hashable, Job] = {}
    runs = left_to_train(study, earlier)
    names = {(dataset, name) for dataset, name, _ in runs}
    seconds_of = {(dataset, name): job_seconds(study, dataset, name, earlier) for dataset, name in names}
    for dataset, name, seed in runs:
        seconds = seconds_of[dataset, name]
        if seconds is not None:
            jobs[dataset, name, seed] = Job(seconds, seconds)
    if not jobs:
        return None
    unknown = len(runs) - len(jobs)
    jobs |= _after_training(study, earlier, runs & jobs.keys(), start)
    jobs |= {("explore", dataset): Job(EXPLORE * start) for dataset in study.datasets}
    once = BEFORE + COMPARE + PROBE_SHOWN * len(study.plan.probes) + REPORT
    return Duration(makespan(jobs, cores) + once * start, unknown)


def _after_training(study: Study, earlier: Earlier, runs: set[RunKey], start: float) -> dict[Hashable, Job]:
    """Evaluation and probes of the variants that have runs left: one job for all runs of a variant."""
    jobs: dict[Hashable, Job] = {}
    owned: dict[tuple[str, str], set[RunKey]] = {}
    for run in runs:
        owned.setdefault((run[0], study.plan.owner(run[1]).name), set()).add(run)
    for (dataset, variant), own in owned.items():
        networks = len(study.seeds_of(dataset, variant))
        once = networks * test_seconds(study, dataset, variant, earlier)
        jobs["evaluate", dataset, variant] = Job(LOADED * start + once, 0.5, frozenset(own))
        for probe in study.plan.probes.values():
            if probe.levels or variant not in probe.models:
                continue
            inside = probe.settings.looks_inside
            measured = networks * NETWORK_INSIDE * start if inside else probe.settings.passes * once
            jobs["probe", probe.name, dataset, variant] = Job(LOADED * start + measured, 1e9, frozenset(own))
    return jobs
