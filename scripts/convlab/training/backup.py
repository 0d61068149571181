"""Backups from which a killed run resumes, and their checksums."""

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

BEST_WEIGHTS = "best.weights.h5"
"""The weights of the best epoch so far."""

LATEST_WEIGHTS = "latest.weights.h5"
"""The weights and the optimizer's state after the last epoch, as Keras saves them."""

CHECKSUMS = "checksums.json"
"""Checksums of a backup: Keras' files, the history and the best weights."""


def hdf5_size(variables: Sequence) -> int:
    """Approximate size, bytes, of an HDF5 file with these Keras variables (float32), metadata included."""
    return 2**16 + sum(4096 + 4 * math.prod(variable.shape) for variable in variables)


def epoch_folder(folder: Path, epochs: int) -> Path:
    """Folder of the backup after ``epochs`` epochs."""
    return folder / f"epoch-{epochs:04d}"


def finished_epochs(folder: Path) -> int:
    """Number of epochs in the newest complete backup in ``folder``; 0 without one."""
    return max((int(backup.name.removeprefix("epoch-")) for backup in folder.glob("epoch-*")), default=0)


def resumable_epochs(work: Path, select: str) -> int:
    """Number of finished epochs from which a killed run resumes: those of the newest backup in ``work``.

    A backup whose checksums differ, as after a power cut, is deleted: the run then starts from the beginning.
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
    """Whether a backup, the history and the best weights match the recorded checksums."""
    backup = epoch_folder(work / "backup", epochs)
    try:
        recorded = json.loads((backup / CHECKSUMS).read_text(encoding="utf-8"))
        actual, rows = backup_checksums(work, backup, epochs), read_history(work / "history.csv")
        # A kill between the end of an epoch and its backup may leave newer best weights than the backup has recorded.
        newer = best_epoch(rows, select) > epochs
        return actual == (recorded | {BEST_WEIGHTS: actual[BEST_WEIGHTS]} if newer else recorded)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def backup_checksums(work: Path, backup: Path, epochs: int) -> dict[str, str]:
    """SHA-256, by file name, of everything a run resumes from: files in ``backup``, history, best weights."""
    checksums = {path.name: sha256(path) for path in backup.iterdir() if path.name != CHECKSUMS}
    history = (work / "history.csv").read_bytes().splitlines(keepends=True)[: epochs + 1]
    checksums["history.csv"] = hashlib.sha256(b"".join(history)).hexdigest()
    checksums[BEST_WEIGHTS] = sha256(work / BEST_WEIGHTS)
    return checksums
