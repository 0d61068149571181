"""Tables of all enabled probes: their curves and contrasts, and the values that claims ask for."""

import json
from collections.abc import Mapping

import pandas as pd

from convlab.probes import registry
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS
from convlab.probes.measured import Measured
from convlab.study.variants import Plan


def all_curves(runs: pd.DataFrame, plan: Plan, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """The curves of every probe of a study: rows of CURVE_COLUMNS.

    Args:
        runs: the runs table.
        measured: of the probes that measure trained models, by probe.
    """
    parts = [pd.DataFrame(columns=CURVE_COLUMNS)]
    for name, probe in plan.probes.items():
        parts.append(registry.part(name, "table").curves(probe, runs, plan, measured.get(name, Measured())))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def all_contrasts(runs: pd.DataFrame, plan: Plan, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """The statistics of every probe of a study that has one: rows of CONTRAST_COLUMNS. For the arguments see
    ``all_curves``."""
    parts = [pd.DataFrame(columns=CONTRAST_COLUMNS)]
    for name, probe in plan.probes.items():
        table = registry.part(name, "table")
        if hasattr(table, "contrasts"):
            parts.append(table.contrasts(probe, runs, plan, measured.get(name, Measured())))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def with_claim_values(runs: pd.DataFrame, plan: Plan, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """The runs with what probes measured for claims: a column for each quantity, named as it is spelled in the rule.

    Args:
        runs: the runs table.
        measured: of the probes that measure trained models, by probe.
    """
    asked = {
        quantity.spelling: quantity
        for claim in plan.claims.values()
        for quantity in claim.rule.quantities
        if quantity.probe
    }
    for column, quantity in asked.items():
        table = registry.part(quantity.probe, "table")
        values = table.claim_values(quantity.name, json.loads(quantity.measured_with), measured[quantity.probe])
        runs = runs.merge(values.rename(columns={"value": column}), "left", ["dataset", "variant", "seed"])
    return runs
