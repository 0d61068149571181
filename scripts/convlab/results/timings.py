"""Times that ``make timing`` measured, read for the claims about time that they decide."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlab.common.files import read_json
from convlab.common.i18n import N_
from convlab.common.specs import canonical_json
from convlab.common.table_files import read_table
from convlab.results import columns
from convlab.results.conditions import CODE, CONDITIONS, ENVIRONMENT, SOFTWARE, THREADS, Runs, are_unequal
from convlab.study import layout
from convlab.study.rules import TIMES, measures_only_times
from convlab.study.schema import Study
from convlab.study.variants import Plan, PlannedClaim
from convlab.training.run_spec import Run

TABLE, RECORD = "timings.csv", "timing.json"
"""Files of the folder of times: a row for each process that was timed, and how it was done."""

MADE_LIKE_RUNS = (SOFTWARE, THREADS, ENVIRONMENT, CODE)
"""Conditions that timings share with the runs of their study; processor and device are those of the timings."""

SETTINGS, DATA = N_("settings"), N_("data")
"""What else of a variant's timings may differ from its runs."""

BUSY = "busy machine"
"""Reason to exclude times: other processes ran beside them."""


def settings_digest(run: Run) -> str:
    """First 16 hexadecimal digits of the SHA-256 of all settings of a run but its seed, on which no time depends."""
    identity = {name: value for name, value in run.identity.items() if name != "seed"}
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Timings:
    """Times that were measured in rounds, each of which times every variant once in a fresh process.

    Attributes:
        table: a row for each process, with the columns of compare/timings.csv. ``excluded`` says why its times decide
            nothing, such as an older state of the code; empty for times that hold for the study as it is.
        record: how they were measured; empty without any.
    """

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(columns.TIMINGS)))
    record: Mapping[str, Any] = field(default_factory=dict)

    def for_claim(self, claim: PlannedClaim, dataset: str, plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
        """Times that decide a claim, in the columns of runs.csv with rounds as seeds; ``runs`` where they cannot.

        They can where all that the rule measures are times, and where all of its variants were timed as the study
        has them. The training time of a variant that stops early is not known from its epochs.
        """
        if self.table.empty or not measures_only_times(claim.rule):
            return runs
        usable = self.table[self.table["excluded"] == ""]
        timed = set(zip(usable["dataset"], usable["variant"], strict=True))
        for quantity in (quantity for quantity in claim.rule.quantities if quantity.name in TIMES):
            stops_early = plan.variants[quantity.variant].training.early_stopping is not None
            if quantity.name == "train_seconds" and stops_early:
                return runs
            if (quantity.dataset or dataset, quantity.variant) not in timed:
                return runs
        epochs = usable["variant"].map({name: variant.training.epochs for name, variant in plan.variants.items()})
        return usable.assign(
            seed=usable["round"],
            train_seconds=usable["seconds_per_epoch"] * epochs,
            epochs_run=epochs,
            status="finished",
        )


def read_record(folder: Path) -> dict[str, Any]:
    """How the times of a study were measured, timing.json; empty without any.

    Args:
        folder: the study's folder under results/.
    """
    path = layout.timed(folder) / RECORD
    return read_json(path) if path.is_file() else {}


def load_timings(study: Study, folder: Path, runs: Runs) -> Timings:
    """Read the times of a study, if there are any; those of variants that it no longer has are left out.

    Args:
        folder: the study's folder under results/.
        runs: run.json of every run.
    """
    record = read_record(folder)
    if not record:
        return Timings()
    table = read_table(layout.timed(folder) / TABLE)
    table = table[table["dataset"].isin(study.datasets) & table["variant"].isin(study.plan.variants)]
    busy = [BUSY] if record["busy"] else []
    excluded = {}
    for dataset, name in table[["dataset", "variant"]].drop_duplicates().itertuples(index=False):
        of_variant = [run for (owner, variant, _seed), run in runs.items() if (owner, variant) == (dataset, name)]
        settings = settings_digest(study.run(dataset, name, study.seeds[0]))
        different = differences(record["variants"][dataset][name], settings, of_variant)
        excluded[dataset, name] = "; ".join([*busy, *different])
    keys = zip(table["dataset"], table["variant"], strict=True)
    table = table.assign(excluded=[excluded[key] for key in keys]).reset_index(drop=True)
    return Timings(table[list(columns.TIMINGS)], record)


def differences(timed: Mapping[str, Any], settings: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs between a variant as it was timed and its runs; empty where the times hold for these.

    Args:
        timed: the variant's entry of timing.json.
        settings: digest of the variant's present settings.
        runs: run.json of the variant's runs.
    """
    different = [SETTINGS] if timed["settings"] != settings else []
    different += [DATA] if any(timed["data_sha256"] != run["data_sha256"] for run in runs) else []
    return different + [
        name
        for name in MADE_LIKE_RUNS
        if any(are_unequal(name, CONDITIONS[name](timed), CONDITIONS[name](run)) for run in runs)
    ]


def time_ratio(table: pd.DataFrame, dataset: str, variant: str, reference: str, quantity: str) -> np.ndarray:
    """Quotients of two variants' times within each round, float (rounds,); empty where one of them was not timed.

    Args:
        table: compare/timings.csv.
        quantity: column of the times.
    """
    usable = table[(table["dataset"] == dataset) & (table["excluded"] == "")]
    wide = usable.pivot(index="round", columns="variant", values=quantity)
    if not {variant, reference} <= set(wide.columns):
        return np.array([])
    ratios = (wide[variant] / wide[reference]).to_numpy(dtype=float)
    return ratios[np.isfinite(ratios)]
