"""Earlier states of a study: compare keeps the tables that it has written, so that what changed can be told later.

A state is a folder with FILES. ``results/<study>/compare`` is the present one; the others lie in its ``history``,
numbered from 1, and no stage reads them. They are small, unlike models and predictions.
"""

import shutil
from pathlib import Path

from convlab.atomic import atomic

FILES = ("summary.json", "runs.csv", "variants.csv", "comparisons.csv", "claims.csv")
HISTORY = "history"

KEPT = 20
"""States that are kept; the oldest goes first."""


def kept(compare: Path) -> dict[int, Path]:
    """The states that were kept, by number, the oldest first; the last is the present one."""
    folders = [folder for folder in (compare / HISTORY).glob("*") if folder.name.isdecimal()]
    return dict(sorted((int(folder.name), folder) for folder in folders))


def keep(compare: Path) -> None:
    """Keep the present state, unless it is the one that was kept last."""
    earlier = kept(compare)
    if earlier and equal(earlier[max(earlier)], compare):
        return
    with atomic(compare / HISTORY / str(max(earlier, default=0) + 1)) as temporary:
        temporary.mkdir()
        for file in FILES:
            shutil.copy2(compare / file, temporary / file)
    for number in list(earlier)[: max(0, len(earlier) + 1 - KEPT)]:
        shutil.rmtree(earlier[number], ignore_errors=True)


def equal(first: Path, second: Path) -> bool:
    """Whether two states are the same, byte for byte."""
    return all(_content(first / file) == _content(second / file) for file in FILES)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
