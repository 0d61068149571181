"""Tables of all enabled probes: raw measurements, curves and contrasts. Files and frames in."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from convlab.common.table_files import read_table
from convlab.probes import registry
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS
from convlab.study import layout
from convlab.study.schema import Study
from convlab.study.variants import Plan


def load_measured(study: Study, folder: Path) -> dict[str, pd.DataFrame]:
    """Measurements of the probes of trained models, by probe: rows of dataset, variant, seed and their columns.

    Args:
        folder: the study's folder under results/.
    """
    return {
        name: pd.concat(
            [
                read_table(layout.probed(folder, name, dataset) / f"{variant}.csv")
                for dataset in study.datasets
                for variant in probe.models
            ]
        )
        for name, probe in study.plan.probes.items()
        if registry.has(name, "measure")
    }


def all_curves(runs: pd.DataFrame, plan: Plan, measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The curves of every probe of a study: rows of CURVE_COLUMNS.

    Args:
        runs: the runs table.
        measured: see ``load_measured``.
    """
    parts = [pd.DataFrame(columns=CURVE_COLUMNS)]
    for name, probe in plan.probes.items():
        parts.append(registry.part(name, "table").curves(probe, runs, plan, measured.get(name, pd.DataFrame())))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def all_contrasts(runs: pd.DataFrame, plan: Plan, measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The statistics of every probe of a study that has one: rows of CONTRAST_COLUMNS. For the arguments see
    ``all_curves``."""
    parts = [pd.DataFrame(columns=CONTRAST_COLUMNS)]
    for name, probe in plan.probes.items():
        table = registry.part(name, "table")
        if hasattr(table, "contrasts"):
            parts.append(table.contrasts(probe, runs, plan, measured.get(name, pd.DataFrame())))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
