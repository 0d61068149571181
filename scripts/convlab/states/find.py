"""Reading a state of a study by its name: the current one, a snapshot in its history, or a copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from convlab.common.files import read_json
from convlab.common.table_files import TEXT_COLUMNS, read_table
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.states.history import FILES, HISTORY, equal, kept
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.schema import without_texts

PREVIOUS = "previous"


@dataclass(frozen=True)
class State:
    """A state of a study.

    Attributes:
        name: as the user wrote it.
        outdated: the config file has changed since these results were made.
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
    """Read a state of a study.

    Args:
        name: a study, its config file, its folder under results/, or a copy of that folder or of its compare/; with
            ``@previous`` or ``@3`` at its end, the state before this one or the third that was kept.
        results: the folder in which studies are looked up.

    Raises:
        UserError: there is no such state.
    """
    folder = find(name, results)
    try:
        tables = {Path(file).stem: _read_state_table(folder / file) for file in FILES if file.endswith(".csv")}
        summary = read_json(folder / "summary.json")
    except UserError as error:
        if folder.parent.name != HISTORY:
            raise
        raise UserError(
            f"{error.args[0].split('; ')[0]}, and no job makes a kept state again; delete {folder}"
        ) from None
    if "provenance" not in summary:
        raise UserError(f"{folder} does not say what made it; run the study again with this version of convlab")
    outdated = _is_config(Path(name)) and _current_settings(Path(name)) != without_texts(
        summary["provenance"]["config"]
    )
    return State(name, summary, **tables, outdated=outdated)


def _current_settings(config: Path) -> dict[str, Any]:
    """A config file's current settings in the form that compare records, without texts and deployment."""
    asked = load_study(load_study(read_yaml(config)).settings)
    return without_texts(asked.model_dump(mode="json"))


def find(name: str, results: Path) -> Path:
    """The folder of a state; see :func:`read`."""
    where, _, which = name.rpartition("@") if "@" in Path(name).name else (name, "", "")
    compare = _compare_folder(where, results)
    if not which:
        return compare
    states = {str(number): folder for number, folder in kept(compare).items()}
    if which == PREVIOUS:
        earlier = [folder for folder in states.values() if not equal(folder, compare)]
        if not earlier:
            raise UserError(f"{where} has no earlier state; change something, run it, and ask again")
        return earlier[-1]
    if which not in states:
        there = f"there are {listing([*states, PREVIOUS])}" if states else "none is kept"
        raise UserError(f"{where} has no state {which!r}; {there}")
    return states[which]


def _compare_folder(named: str, results: Path) -> Path:
    path = Path(named)
    if _is_config(path):
        path = layout.study_folder(load_study(read_yaml(path)).study, results)
    elif not path.is_dir() and len(path.parts) == 1:
        path = layout.study_folder(str(path), results)
    for folder in (layout.compared(path), path):
        if all((folder / file).is_file() for file in FILES):
            return folder
    if path.is_dir():
        raise UserError(f"{path} holds no finished study, for it has no compare/summary.json; run the study first")
    raise UserError(f"{named} does not exist; name a study that has been run, its folder under results/, or its config")


def _is_config(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _read_state_table(path: Path) -> pd.DataFrame:
    """A table of compare, in which an empty cell of text is empty text, and what is no text is a number or missing."""
    table = read_table(path)
    return table.apply(
        lambda column: (
            column.astype(object).fillna("") if column.name in TEXT_COLUMNS else pd.to_numeric(column, errors="coerce")
        )
    )
