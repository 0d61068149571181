"""Measure training times and latencies of a study's variants side by side, so that claims about time can be decided.

In each round every variant is timed once, in random order, one at a time, each in a fresh process with as many threads
as a training has (scripts/time_training.py). So a round is a replicate: variants are compared within it, and what the
machine does to a whole round cancels out. Writes results/<study>/timing/; it trains nothing that is kept.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

import train
from convlab.common import busy, provenance
from convlab.common.cli import run
from convlab.common.files import read_json, write_json, write_text
from convlab.common.locks import claim
from convlab.common.outputs import job_results
from convlab.common.specs import canonical_json
from convlab.common.table_files import csv_text
from convlab.errors import UserError
from convlab.results import columns
from convlab.results.timings import RECORD, TABLE, settings_digest
from convlab.statistics.describe import MIN_SEEDS
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.schema import Study

ROUNDS = 5
"""Rounds unless another number is asked for: about a minute for each variant of the default study."""

MAX_OTHER_LOAD = 0.2
"""Cores that others may keep busy before and, in the mean, while times are measured."""

LOOK_SECONDS = 2
"""Time for which the machine is watched before anything is measured."""

log = logging.getLogger("timing")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results of studies")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each variant is timed")
    parser.add_argument("--variants", nargs="+", help="the variants to time; all but those of probes when absent")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process; trainings have one")
    parser.add_argument("--seed", type=int, default=1, help="seed of the variants' order in each round")
    parser.add_argument("--busy", action="store_true", help="measure although the machine is busy")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    if arguments.rounds < MIN_SEEDS:
        raise UserError(f"--rounds is {arguments.rounds}; nothing is inferred from fewer than {MIN_SEEDS} rounds")
    variants = timed_variants(study, arguments.variants)
    lock = layout.RECORDS / f"{study.study}.lock"
    claim(lock, f"the study {study.study}")
    load = None if arguments.busy else refuse_busy(lock)
    folder = layout.study_folder(study.study, arguments.results)
    main_result = layout.timed(folder) / RECORD
    with job_results(main_result, lambda: [main_result.with_name(TABLE)]):
        time_study(study, variants, folder, arguments, load)


def timed_variants(study: Study, names: Sequence[str] | None) -> list[str]:
    """The variants to time, in the order of the plan. Raises UserError for a name that the study does not have."""
    plan = study.plan
    for name in names or ():
        if name not in plan.aliases and name not in plan.variants:
            raise UserError(f"--variants names {name!r}, which is no variant of {study.study}; `make plan` lists them")
    chosen = {plan.aliases.get(name, name) for name in names or plan.compared}
    return [name for name in plan.variants if name in chosen]


def refuse_busy(lock: Path) -> float | None:
    """Number of cores that others keep busy. Raises UserError if it is too large, or if another study is being run."""
    if studies := busy.held_locks(lock.parent, but=lock.name):
        raise UserError(
            f"another Snakemake is at work on {', '.join(studies)}; times are measured alone on the machine, so wait "
            "until it has ended"
        )
    load = busy.load_of_others(LOOK_SECONDS)
    if load is not None and load > MAX_OTHER_LOAD:
        raise UserError(
            f"other processes keep {load:.1f} cores of this machine busy; times are measured alone, so wait until they "
            "have ended, or ask for --busy (make timing BUSY=1), whose times are described and decide nothing"
        )
    return load


def time_study(
    study: Study, variants: Sequence[str], folder: Path, arguments: argparse.Namespace, load: float | None
) -> None:
    """Time the variants on every dataset, and write the table and the record of how it was done."""
    started = datetime.now(UTC)
    rows = []
    for dataset in study.datasets:
        rows += time_rounds(study, dataset, variants, folder, arguments)
    table = pd.DataFrame(rows)
    others = table["other_load"].astype(float).mean()
    if others > MAX_OTHER_LOAD:
        log.warning(
            "other processes kept %.1f cores busy meanwhile: these times are described and decide no claim", others
        )
    write_text(layout.timed(folder) / TABLE, csv_text(table[list(columns.TIMED)]))
    record = {
        "format": 1,
        "rounds": arguments.rounds,
        "order_seed": arguments.seed,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": provenance.hardware(),
        "device": sorted(set(table["device"])),
        "load_before": load,
        "other_load": others,  # null where the system does not tell
        "busy": bool(others > MAX_OTHER_LOAD),
        "variants": {
            dataset: {name: made_with(study, dataset, name, folder, arguments.threads) for name in variants}
            for dataset in study.datasets
        },
    }
    write_json(layout.timed(folder) / RECORD, record)
    means = table.groupby(["dataset", "variant"], sort=False)[["seconds_per_epoch", "latency_ms"]].mean()
    for (dataset, name), row in means.iterrows():
        log.info("%s on %s: %.3g s per epoch, %.3g ms for one image", name, dataset, *row)


def time_rounds(
    study: Study, dataset: str, variants: Sequence[str], folder: Path, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Time every variant once in each round; yields a row for each process, as timings.csv has it."""
    for number, order in enumerate(orders(variants, arguments.rounds, arguments.seed), start=1):
        for position, name in enumerate(order, start=1):
            log.info("%s, round %d of %d: %s", dataset, number, arguments.rounds, name)
            load = busy.Load()
            times = time_variant(study, dataset, name, folder, arguments.threads)
            yield {
                "dataset": dataset,
                "variant": name,
                "round": number,
                "position": position,
                **times,
                "other_load": load.others(),
            }


def orders(variants: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """The order of the variants in each round: all of them, shuffled."""
    generator = random.Random(seed)
    return [generator.sample(list(variants), len(variants)) for _round in range(rounds)]


def time_variant(study: Study, dataset: str, name: str, folder: Path, threads: int) -> Mapping[str, Any]:
    """Times of one variant, from a fresh process. Raises UserError, which names the log, if it fails."""
    spec = canonical_json(study.run(dataset, name, study.seeds[0]).identity)
    described = study.plan.described.get(name)
    log_file = layout.logs(folder) / "timing.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="convlab-timing-") as work, log_file.open("a") as stream:
        output = Path(work) / "times.json"
        command = [
            *(sys.executable, str(Path(__file__).resolve().parent / "time_training.py"), "--spec", spec),
            *("--data-dir", str(layout.prepared(folder, dataset)), "--output", str(output)),
            *("--threads", str(threads)),
            *(["--described", str(layout.described(folder, dataset) / f"{described}.json")] if described else []),
        ]
        if subprocess.run(command, stdout=stream, stderr=stream, env=os.environ).returncode:
            raise UserError(f"{name} on {dataset} could not be timed; see the end of {log_file}")
        return read_json(output)


def made_with(study: Study, dataset: str, name: str, folder: Path, threads: int) -> dict[str, Any]:
    """What a variant was timed with: settings, data, threads, versions, environment and code, as run.json has them."""
    spec = study.run(dataset, name, study.seeds[0])
    return {
        "settings": settings_digest(spec),
        "data_sha256": train.data_sha256(read_json(layout.prepared(folder, dataset) / "manifest.json")),
        "threads": threads,
        "versions": provenance.versions(),
        "environment": environment.choices(),
        "code": train.code_of(spec),
    }


if __name__ == "__main__":
    run(main)
