"""Training against validation at the kept epoch, and the course of validation loss: a row for each run."""

from collections.abc import Mapping

import pandas as pd


def fits_table(
    histories: Mapping[tuple[str, str, int], pd.DataFrame], kept: Mapping[tuple[str, str, int], int],
    validation_images: Mapping[tuple[str, str, int], int],
) -> pd.DataFrame:  # fmt: skip
    """One row for each run: training and validation accuracy at the kept epoch, and the course of validation loss.

    Args:
        histories: by (dataset, variant, seed); rows with epoch, accuracy, val_accuracy, val_loss.
        kept: the epoch whose weights were kept, from 1; runs with 0 (none) are left out.
        validation_images: images that the validation accuracy is a mean over.
    """
    rows = []
    for key, history in histories.items():
        chosen = history[history["epoch"] == kept[key]]
        if chosen.empty:
            continue
        row, last = chosen.iloc[0], history.iloc[-1]
        lowest = history.loc[history["val_loss"].idxmin()]
        rows.append(
            {
                **dict(zip(("dataset", "variant", "seed"), key, strict=True)),
                "kept_epoch": int(row["epoch"]),
                "epochs": int(last["epoch"]),
                "train_accuracy": row["accuracy"],
                "val_accuracy": row["val_accuracy"],
                "gap": row["accuracy"] - row["val_accuracy"],
                "lowest_epoch": int(lowest["epoch"]),
                "lowest_val_loss": lowest["val_loss"],
                "last_val_loss": last["val_loss"],
                "validation_images": validation_images[key],
            }
        )
    columns = [
        "dataset", "variant", "seed", "kept_epoch", "epochs", "train_accuracy", "val_accuracy", "gap", "lowest_epoch",
        "lowest_val_loss", "last_val_loss", "validation_images",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
