"""What a killed run goes on from, and whether it is still what was written."""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from convlab.common.checksums import sha256
from convlab.training.history import best_epoch, read_history

log = logging.getLogger("train")

BEST = "best.weights.h5"
"""The weights of the best epoch so far."""

WEIGHTS = "latest.weights.h5"
"""The weights and the optimizer's state after the last epoch, as Keras saves them."""

CHECKSUMS = "checksums.json"
"""Of all that a run goes on from, beside Keras' part of it."""


def hdf5_size(variables: Sequence) -> int:
    """Bytes of an HDF5 file with these Keras variables, about: their values (float32), and what describes each."""
    return 2**16 + sum(4096 + 4 * math.prod(variable.shape) for variable in variables)


def epoch_folder(folder: Path, epochs: int) -> Path:
    """The backup after so many epochs."""
    return folder / f"epoch-{epochs:04d}"


def finished_epochs(folder: Path) -> int:
    """Number of epochs that the newest whole backup in ``folder`` holds; 0 without one."""
    return max((int(place.name.removeprefix("epoch-")) for place in folder.glob("epoch-*")), default=0)


def resumable_epochs(work: Path, select: str) -> int:
    """Number of epochs from which a killed run goes on: those of the newest backup in ``work``.

    What is not what was written, as after a power cut, is deleted: the run then begins anew.
    """
    backup = work / "backup"
    epochs = finished_epochs(backup)
    if epochs and not _is_whole(work, epochs, select):
        log.warning("what the killed run left is damaged: it begins anew")
        shutil.rmtree(work)
        return 0
    for outdated in [*backup.glob(".epoch-*"), *backup.glob("epoch-*")]:
        if outdated != epoch_folder(backup, epochs):
            shutil.rmtree(outdated, ignore_errors=True)
    return epochs


def _is_whole(work: Path, epochs: int, select: str) -> bool:
    """Whether a backup, the history and the best weights are those that were written."""
    backup = epoch_folder(work / "backup", epochs)
    try:
        recorded = json.loads((backup / CHECKSUMS).read_text(encoding="utf-8"))
        actual, rows = backup_checksums(work, backup, epochs), read_history(work / "history.csv")
        # A kill between the end of an epoch and its backup leaves better weights than the backup knows.
        newer = best_epoch(rows, select) > epochs
        return actual == (recorded | {BEST: actual[BEST]} if newer else recorded)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def backup_checksums(work: Path, backup: Path, epochs: int) -> dict[str, str]:
    """SHA-256 of all that a run goes on from after so many epochs; ``backup`` holds Keras' part of it."""
    checksums = {path.name: sha256(path) for path in backup.iterdir() if path.name != CHECKSUMS}
    history = (work / "history.csv").read_bytes().splitlines(keepends=True)[: epochs + 1]
    checksums["history.csv"] = hashlib.sha256(b"".join(history)).hexdigest()
    checksums[BEST] = sha256(work / BEST)
    return checksums
