"""History of a study: snapshots of compare's tables, for later comparison.

A state is a folder with FILES. ``results/<study>/compare`` is the current one; snapshots lie in its ``history``,
numbered from 1. They are small, unlike models and predictions.
"""

import shutil
from pathlib import Path

from convlab.common.atomic import atomic

FILES = ("summary.json", "runs.csv", "variants.csv", "comparisons.csv", "claims.csv")
HISTORY = "history"

KEPT_STATES = 20
"""Number of snapshots; the oldest is deleted first."""


def kept(compare: Path) -> dict[int, Path]:
    """Snapshots by number, the oldest first; the last is the current state."""
    folders = [folder for folder in (compare / HISTORY).glob("*") if folder.name.isdecimal()]
    return dict(sorted((int(folder.name), folder) for folder in folders))


def snapshot(compare: Path) -> None:
    """Add the current state to the history, unless it equals the last snapshot."""
    earlier = kept(compare)
    if earlier and equal(earlier[max(earlier)], compare):
        return
    with atomic(compare / HISTORY / str(max(earlier, default=0) + 1)) as temporary:
        temporary.mkdir()
        for file in FILES:
            shutil.copy2(compare / file, temporary / file)
    for number in list(earlier)[: max(0, len(earlier) + 1 - KEPT_STATES)]:
        shutil.rmtree(earlier[number], ignore_errors=True)


def equal(first: Path, second: Path) -> bool:
    """Whether two states are the same, byte for byte."""
    return all(_content(first / file) == _content(second / file) for file in FILES)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
