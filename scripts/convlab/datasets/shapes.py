"""The form of a dataset, known before any job runs: its images' shape and how many classes. Standard library only.

What a user's own data are is looked at here as far as names and headers tell it, so that what ``prepare`` would refuse
is refused before anything runs.
"""

from collections.abc import Mapping
from pathlib import Path

from convlab.datasets.registry import Form, kind_of
from convlab.datasets.specs import DatasetSpec
from convlab.errors import UserError


def dataset_form(name: str, spec: DatasetSpec) -> Form:
    """The form of a dataset, from its spec where that says it and else from the user's files.

    Raises UserError, which names the key, where the files are not to be seen or are not what they should be.
    """
    if spec.users_own and spec.path is None:
        raise UserError(f"datasets.{name}.path is missing; add it")
    return kind_of(spec).form(name, spec)


def data_notes(datasets: Mapping[str, DatasetSpec]) -> list[str]:
    """For each dataset of the user's own that is to be seen here, what would not be used: one sentence each.

    Raises nothing: what is wrong with a dataset, ``dataset_form`` has told.
    """
    notes = []
    for name, spec in datasets.items():
        if not spec.users_own or spec.path is None or not Path(spec.path).expanduser().exists():
            continue
        try:
            unused = kind_of(spec).unused(name, spec)
        except (UserError, OSError):
            continue
        if unused:
            notes.append(f"{name}: not used: {', '.join(unused)}.")
    return notes
