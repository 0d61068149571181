"""Values of several variants side by side, a row for each seed that all of them have."""

from collections.abc import Sequence

import pandas as pd


def by_seed(runs: pd.DataFrame, names: Sequence[str], measure: str = "test_accuracy") -> pd.DataFrame:
    """A measure of variants on one dataset: a row per seed, a column per name; NaN where a run has none, as diverged.

    With planned looks variants have different numbers of seeds. A seed that one of them was not trained with is left
    out, since its absence is no failure.

    Args:
        runs: rows of runs.csv of one dataset.
    """
    wide = runs[runs["variant"].isin(names)].pivot(index="seed", columns="variant", values=measure)
    return wide.loc[common_seeds(runs, names), list(names)]


def common_seeds(runs: pd.DataFrame, names: Sequence[str]) -> list[int]:
    """The seeds with which every one of these variants was trained on one dataset."""
    trained = runs[runs["variant"].isin(names)].groupby("variant")["seed"]
    return sorted(set.intersection(*({name: set() for name in names} | trained.agg(set).to_dict()).values()))
