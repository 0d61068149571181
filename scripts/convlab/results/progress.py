"""How far the runs of a study have come: those that finished or diverged, and those that are being trained.

Read from what ``train`` leaves, run by run, so that a study can be looked at while it goes on. Nothing here is about
test images.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from convlab.common import checksums
from convlab.common.files import missing, read_json
from convlab.errors import UserError
from convlab.study import layout
from convlab.study.schema import Study
from convlab.training.history import HISTORY_COLUMNS, best_epoch, read_history

Status = Literal["finished", "diverged", "training", "waiting", "unreadable"]

READING_ERRORS = (UserError, OSError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a file raises that is damaged, is being replaced, or comes from another version."""


@dataclass(frozen=True)
class RunProgress:
    """One run of a variant or a trial.

    Attributes:
        status: ``training`` also for one that was interrupted, since only its process knows.
        epochs: finished ones; ``planned`` is the most that it may get.
        val_accuracy, val_loss: on the validation images, at the epoch that would be kept now; NaN without one.
        seconds: of its epochs so far.
        history: a row for each finished epoch.
    """

    dataset: str
    name: str
    seed: int
    status: Status
    planned: int
    epochs: int = 0
    val_accuracy: float = math.nan
    val_loss: float = math.nan
    seconds: float = 0.0
    history: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class Progress:
    """All runs of a study's present look, of variants and trials; ``other_settings`` counts finished runs of settings
    that the config had before."""

    runs: tuple[RunProgress, ...]
    other_settings: int = 0
    unreadable: tuple[str, ...] = field(default=())

    def of(self, dataset: str, name: str) -> list[RunProgress]:
        """The runs of one variant, by seed."""
        return [run for run in self.runs if (run.dataset, run.name) == (dataset, name)]

    def count(self, *statuses: Status) -> int:
        """Number of runs with any of these statuses."""
        numbers = Counter(run.status for run in self.runs)
        return sum(numbers[status] for status in statuses)

    def finished(self, dataset: str, name: str) -> dict[int, RunProgress]:
        """Finished runs of one variant that did not diverge, by seed."""
        return {run.seed: run for run in self.of(dataset, name) if run.status == "finished"}

    def histories(self, dataset: str, name: str) -> pd.DataFrame:
        """Rows of all epochs of one variant's runs, finished or not: seed, epoch, losses, accuracies, rate."""
        rows = [{"seed": run.seed, **row} for run in self.of(dataset, name) for row in run.history]
        return pd.DataFrame(rows, columns=["seed", *HISTORY_COLUMNS])


def progress(study: Study, folder: Path) -> Progress:
    """Read how far every run is that the config names.

    Args:
        folder: the study's folder under results/; it may be missing.
    """
    runs, other_settings, unreadable = [], 0, []
    for dataset in study.datasets:
        for name in study.plan.trained:
            for seed in study.seeds_of(dataset, name):
                run_folder = layout.run(folder, dataset, name, seed)
                run, is_other, error = _run(study, (dataset, name, seed), run_folder)
                runs.append(run)
                other_settings += is_other
                unreadable += [error] if error else []
    return Progress(tuple(runs), other_settings, tuple(unreadable))


def _run(study: Study, key: tuple[str, str, int], run_folder: Path) -> tuple[RunProgress, bool, str]:
    """A run, whether other settings have left one in its folder, and what cannot be read there."""
    expected = study.run(*key)
    planned, is_other = expected.training.epochs, False
    record: dict[str, Any] | None = None
    if (run_folder / "run.json").exists():
        try:
            record = read_json(run_folder / "run.json")
            if record["spec_hash"] == expected.spec_hash:
                history = _history_of_finished(run_folder / "history.csv")
                values = (record[name] for name in ("val_accuracy", "val_loss"))
                accuracy, loss = (math.nan if value is None else float(value) for value in values)
                done = (int(record["epochs_run"]), accuracy, loss, float(record["train_seconds"]))
                return RunProgress(*key, record["status"], planned, *done, history), False, ""
            is_other = True
        except UserError as error:
            return RunProgress(*key, "unreadable", planned), False, str(error)
        except READING_ERRORS as error:
            reason = str(checksums.damaged(run_folder / "run.json", f"{type(error).__name__}: {error}"))
            return RunProgress(*key, "unreadable", planned), False, reason
    history = _unfinished(run_folder)
    if not history:
        return RunProgress(*key, "waiting" if history is None else "training", planned), is_other, ""
    kept = history[best_epoch(history, expected.training.select) - 1]
    done = (len(history), kept["val_accuracy"], kept["val_loss"], sum(row["seconds"] for row in history))
    return RunProgress(*key, "training", planned, *done, history), is_other, ""


def _history_of_finished(path: Path) -> tuple[dict[str, float], ...]:
    """Rows of a finished run's history. Raises UserError, which names the file, if it is not what the run wrote."""
    checksums.verify(path)
    try:
        return tuple(read_history(path))
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError, TypeError) as error:
        raise checksums.damaged(path, str(error)) from None


def _unfinished(run_folder: Path) -> tuple[dict[str, float], ...] | None:
    """Rows of the epochs that a run without a record has finished; None for a run that has not begun."""
    rows = None
    for work in run_folder.glob("unfinished-*"):
        try:
            rows = tuple(read_history(work / "history.csv"))
            if any(set(row) != set(HISTORY_COLUMNS) for row in rows):
                rows = ()
        except READING_ERRORS:  # in its first epoch, or just being finished
            rows = rows or ()
    return rows
