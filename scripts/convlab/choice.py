"""Which trained model stands for a study: chosen by validation data, never by test data. No text, no statistics."""

import pandas as pd


def chosen_variant(variants: pd.DataFrame, dataset: str) -> str | None:
    """The variant with the best mean validation accuracy; of equals the one with fewer MACs, then the first by name.

    Never by test data. None where no variant has a finished run.
    """
    rows = variants[(variants["dataset"] == dataset) & variants["val_accuracy_mean"].notna()]
    if rows.empty:
        return None
    order = ["val_accuracy_mean", "macs", "variant"]
    return rows.sort_values(order, ascending=[False, True, True]).iloc[0]["variant"]


def chosen_run(runs: pd.DataFrame) -> tuple[str, int] | None:
    """The trained file that stands for a study where one is to be used: (variant, seed).

    Args:
        runs: variant, seed, macs and val_accuracy of the finished runs of one dataset.

    Returns:
        The chosen variant, and of its seeds the one with the best validation accuracy, of equals the lowest; None
        without a run.
    """
    means = [
        {
            "dataset": "",
            "variant": name,
            "macs": group["macs"].iloc[0],
            "val_accuracy_mean": group["val_accuracy"].mean(),
        }
        for name, group in runs.sort_values("seed").groupby("variant")
    ]
    variant = chosen_variant(pd.DataFrame(means, columns=["dataset", "variant", "macs", "val_accuracy_mean"]), "")
    if variant is None:
        return None
    seeds = runs[runs["variant"] == variant].sort_values(["val_accuracy", "seed"], ascending=[False, True])
    return variant, int(seeds.iloc[0]["seed"])
