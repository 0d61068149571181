"""Model selection by validation accuracy, never by test data: the variant and the run that are exported."""

import pandas as pd


def chosen_variant(variants: pd.DataFrame, dataset: str) -> str | None:
    """The variant with the best mean validation accuracy among those of which the largest share of runs finished.

    A mean over the runs that went well says nothing of how often they do, so a variant with a diverged run is chosen
    only where every variant has one. Of equals the one with fewer MACs, then the first by name. Never by test data.

    Returns:
        None where no variant has a finished run.
    """
    rows = variants[(variants["dataset"] == dataset) & variants["val_accuracy_mean"].notna()]
    if rows.empty:
        return None
    rows = rows.assign(finished=rows["n_seeds"] / (rows["n_seeds"] + rows["n_diverged"]))
    order = ["finished", "val_accuracy_mean", "macs", "variant"]
    return rows.sort_values(order, ascending=[False, False, True, True]).iloc[0]["variant"]


def chosen_run(runs: pd.DataFrame) -> tuple[str, int] | None:
    """The run that is exported: (variant, seed).

    Of the chosen variant's finished runs it is the one whose validation accuracy is nearest to their mean, of equals
    the lowest seed: a typical run. Where each seed has validation images of its own, the highest score is luck of the
    split more often than the best model, and would be quoted too high.

    Args:
        runs: variant, seed, macs, val_accuracy and status of all runs of one dataset.

    Returns:
        None without a finished run.
    """
    finished = runs[runs["status"] == "finished"]
    rows = [
        {
            "dataset": "",
            "variant": name,
            "macs": group["macs"].iloc[0],
            "val_accuracy_mean": group["val_accuracy"].mean(),
            "n_seeds": len(group),
            "n_diverged": int((runs["variant"] == name).sum()) - len(group),
        }
        for name, group in finished.sort_values("seed").groupby("variant")
    ]
    columns = ["dataset", "variant", "macs", "val_accuracy_mean", "n_seeds", "n_diverged"]
    variant = chosen_variant(pd.DataFrame(rows, columns=columns), "")
    if variant is None:
        return None
    own = finished[finished["variant"] == variant].sort_values("seed")
    distance = (own["val_accuracy"] - own["val_accuracy"].mean()).abs().round(12)  # differences below are rounding
    return variant, int(own.loc[distance.idxmin(), "seed"])
