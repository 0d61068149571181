"""States of a study, found by the names that people use: the present one, one that compare kept, or a copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from convlab.config import load_study, read_yaml
from convlab.errors import UserError
from convlab.files import read_json
from convlab.history import FILES, equal, kept
from convlab.study import without_texts
from convlab.tables import as_written
from convlab.wording import listing

PREVIOUS = "previous"

TEXT = {
    "dataset", "model", "variant", "label", "status", "spec_hash", "predictions_sha256", "experiment", "reference",
    "verdict", "claim", "text", "rule", "published", "unit", "probe",
}  # fmt: skip
"""Columns that stay text, whatever they look like; others are numbers where they can be."""


@dataclass(frozen=True)
class State:
    """A state of a study.

    Attributes:
        name: what the user called it.
        outdated: it was named by a config file that has been changed since.
    """

    name: str
    summary: Mapping[str, Any]
    runs: pd.DataFrame
    variants: pd.DataFrame
    comparisons: pd.DataFrame
    claims: pd.DataFrame
    outdated: bool = False

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.summary["provenance"]

    @property
    def study(self) -> str:
        return self.provenance["config"]["study"]

    @property
    def ended(self) -> str:
        """When its last run was trained."""
        return f"trained until {self.summary['training']['last_finished'].replace('T', ' ')[:16]}"


def read(name: str, results: Path) -> State:
    """The state that ``name`` means.

    Args:
        name: a study, its config file, its folder under results/, or a copy of that folder or of its compare/; with
            ``@previous`` or ``@3`` at its end, the state before this one or the third that was kept.
        results: the folder in which studies are looked up.

    Raises:
        UserError: there is no such state.
    """
    folder = find(name, results)
    tables = {Path(file).stem: read_table(folder / file) for file in FILES if file.endswith(".csv")}
    summary = read_json(folder / "summary.json")
    if "provenance" not in summary:
        raise UserError(f"{folder} does not say what made it; run the study again with this version of convlab")
    asked = load_study(read_yaml(Path(name))).model_dump(mode="json") if _is_config(Path(name)) else None
    outdated = asked is not None and without_texts(asked) != without_texts(summary["provenance"]["config"])
    return State(name, summary, **tables, outdated=outdated)


def find(name: str, results: Path) -> Path:
    """The folder of a state; see :func:`read`."""
    place, _, which = name.rpartition("@") if "@" in Path(name).name else (name, "", "")
    compare = _compare_folder(place, results)
    if not which:
        return compare
    found = {str(number): folder for number, folder in kept(compare).items()}
    if which == PREVIOUS:
        earlier = [folder for folder in found.values() if not equal(folder, compare)]
        if not earlier:
            raise UserError(f"{place} has no earlier state; change something, run it, and ask again")
        return earlier[-1]
    if which not in found:
        there = f"there are {listing([*found, PREVIOUS])}" if found else "none is kept"
        raise UserError(f"{place} has no state {which!r}; {there}")
    return found[which]


def _compare_folder(place: str, results: Path) -> Path:
    path = Path(place)
    if _is_config(path):
        path = results / load_study(read_yaml(path)).study
    elif not path.is_dir() and len(path.parts) == 1:
        path = results / path
    for folder in (path / "compare", path):
        if all((folder / file).is_file() for file in FILES):
            return folder
    if path.is_dir():
        raise UserError(f"{path} holds no finished study, for it has no compare/summary.json; run the study first")
    raise UserError(f"{place} does not exist; name a study that has been run, its folder under results/, or its config")


def _is_config(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def read_table(path: Path) -> pd.DataFrame:
    """A table of compare; text stays text, and an empty cell of it is empty."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run snakemake again") from None
    return table.apply(
        lambda column: column.map(as_written) if column.name in TEXT else pd.to_numeric(column, errors="coerce")
    )
