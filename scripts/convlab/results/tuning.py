"""What tuning drew and chose: table tuning.csv, a row for each trial."""

import pandas as pd

from convlab.results import columns
from convlab.results.loading import RunRecords
from convlab.results.tables import METRIC_COLUMNS
from convlab.study.schema import Study

FIXED_COLUMNS = [name for name in columns.TUNING if not name.startswith("<")]
"""Columns of the table beside those of the drawn settings."""


def drawn_settings(table: pd.DataFrame) -> list[str]:
    """The settings that were drawn, as the last columns of the table name them."""
    return [name for name in table if name not in FIXED_COLUMNS]


def empty_tuning_table() -> pd.DataFrame:
    """The table of a study without tuning."""
    return pd.DataFrame(columns=FIXED_COLUMNS)


def tuning_table(study: Study, records: RunRecords) -> pd.DataFrame:
    """Every trial by dataset, variant, seed and number, with test measures of those that were chosen, which alone have
    seen the test images."""
    if study.tuning is None:
        return empty_tuning_table()
    measured = {(row["dataset"], row["variant"], row["seed"]): row for row in records.tuned_rows}
    rows = []
    for (dataset, name, seed), trained in records.trials.items():
        trial, finished = study.plan.trials[name], trained["status"] == "finished"
        key = dataset, trial.variant, seed
        is_chosen = records.tuned[key]["trial"] == trial.number
        rows.append(
            {
                "dataset": dataset,
                "variant": trial.variant,
                "seed": seed,
                "trial": trial.number,
                "chosen": "yes" if is_chosen else "",
                "status": trained["status"],
                "val_accuracy": trained["val_accuracy"] if finished else None,
                "val_loss": trained["val_loss"] if finished else None,
                **{column: measured[key][column] if is_chosen else None for column in METRIC_COLUMNS},
                "spec_hash": trained["spec_hash"],
                **study.tuning.drawn(trial.number, seed),
            }
        )
    table = pd.DataFrame(rows).astype(dict.fromkeys(["val_accuracy", "val_loss", *METRIC_COLUMNS], float))
    position = {name: number for number, name in enumerate(study.plan.variants)}
    keys = table.assign(variant=table["variant"].map(position))
    return table.loc[keys.sort_values(["dataset", "variant", "seed", "trial"]).index].reset_index(drop=True)
