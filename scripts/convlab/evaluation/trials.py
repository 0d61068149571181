"""Choice among the trials of a hyperparameter search, by validation alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def best_trial(records: Sequence[Mapping[str, Any]]) -> int:
    """Position of the run with the best validation accuracy; of equals the one with the lower validation loss, then the
    first.

    A run that diverged is chosen only where all did.

    Args:
        records: run.json of the trials of one variant with one seed, by their number.
    """

    def merit(position: int) -> tuple[bool, float, float, int]:
        record = records[position]
        finished, loss = record["status"] == "finished", record["val_loss"]
        has_loss = finished and loss is not None and math.isfinite(loss)
        return finished, record["val_accuracy"] if finished else 0.0, -loss if has_loss else -math.inf, -position

    return max(range(len(records)), key=merit)
