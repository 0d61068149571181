"""A run's history, a row for each epoch: history.csv, the best epoch, and when to stop early."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from convlab.common.files import atomic
from convlab.training.recipe import EarlyStopping

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "learning_rate")
"""Columns of history.csv; ``seconds`` are of the whole epoch with validation, ``learning_rate`` of its last step."""


def write_history(path: Path, rows: Sequence[Mapping[str, float]], durable: bool = False) -> None:
    """Write one row per epoch; numbers are written so that reading returns the same floats."""
    with atomic(path, durable) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Read what ``write_history`` wrote."""
    with path.open(newline="") as stream:
        return [
            {name: int(text) if name == "epoch" else float(text) for name, text in row.items()}
            for row in csv.DictReader(stream)
        ]


def best_epoch(rows: Sequence[Mapping[str, float]], select: str) -> int:
    """Number, from 1, of the epoch to keep; 0 without rows.

    ``best`` is the highest validation accuracy, among equals the lowest validation loss, then the earliest.
    """
    if select == "last" or not rows:
        return len(rows)
    return 1 + min(range(len(rows)), key=lambda i: (-rows[i]["val_accuracy"], rows[i]["val_loss"]))


def exhausted(rows: Sequence[Mapping[str, float]], rule: EarlyStopping) -> bool:
    """Whether the validation loss has gone ``rule.patience`` epochs without falling by more than ``rule.min_delta``."""
    best, waited = math.inf, 0
    for row in rows:
        if row["val_loss"] < best - rule.min_delta:
            best, waited = row["val_loss"], 0
        else:
            waited += 1
    return waited >= rule.patience
