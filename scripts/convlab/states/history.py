"""History of a study: snapshots of compare's tables, for later comparison.

A state is a folder with FILES. ``results/<study>/compare`` is the current one; snapshots lie in its ``history``,
numbered from 1. They are small, unlike models and predictions. The report reads from them when claims were registered.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convlab.common.atomic import atomic
from convlab.common.files import read_json
from convlab.errors import UserError
from convlab.study.schema import without_texts

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


# ---------------------------------------------------------------------------------------------------------------------
# Registration


@dataclass(frozen=True)
class Settled:
    """When parts of a config were registered, as far as the snapshots tell; parts are (kind, name) pairs.

    A state is written after its runs, so it can never show by itself that something was written before them.

    Attributes:
        looks: earlier states that are kept, each of which compared test results; the oldest may be gone.
        complete: whether the first state of all is still kept.
        before: parts that a state had recorded, as they are now, before the first of the present runs was started.
        after: parts that an earlier state lacks or has otherwise: they were written after results were compared.
    """

    looks: int
    complete: bool
    before: frozenset[tuple[str, str]]
    after: frozenset[tuple[str, str]]


def settled(compare: Path, config: Mapping[str, Any], first_started: datetime) -> Settled:
    """Whether claims, questions, seeds and the ROPE were registered before or after results were compared.

    Args:
        config: the present config, as summary.json keeps it.
        first_started: when the first of the present runs was started.
    """
    states = kept(compare)
    earlier = {number: folder for number, folder in states.items() if not equal(folder, compare)}
    complete, parts, before, after = 1 in states, settled_parts(config), set(), set()
    for folder in earlier.values():
        try:
            recorded = settled_parts(read_json(folder / "summary.json")["provenance"]["config"])
        except (UserError, KeyError):  # damaged: it was a look, but what it had is not known
            complete = False
            continue
        written = datetime.fromtimestamp((folder / "summary.json").stat().st_mtime, UTC)
        for key, value in parts.items():
            if recorded.get(key) != value:
                after.add(key)
            elif written < first_started:  # a copy's time is later, never earlier, so that nothing is said too much
                before.add(key)
    return Settled(len(earlier), complete, frozenset(before), frozenset(after))


def settled_parts(config: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The registered parts of a config, which results must not influence: claims' rules, questions, seeds, the ROPE."""
    config = without_texts(config)
    parts: dict[tuple[str, str], Any] = {
        ("claim", claim["id"]): (" ".join(claim["rule"].split()), claim["dataset"]) for claim in config["claims"]
    }
    parts |= {
        ("question", name): entry for kind in ("experiments", "comparisons") for name, entry in config[kind].items()
    }
    return parts | {("seeds", ""): config["seeds"], ("rope", ""): config["statistics"]["rope"]}
