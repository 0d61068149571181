"""Image shape and class count of each dataset, known before any job runs. Standard library only.

Of a user's own data names and headers are read, so that what ``prepare`` would refuse is refused before anything runs.
"""

from collections.abc import Mapping
from pathlib import Path

from convlab.datasets.registry import Form, kind_of
from convlab.datasets.specs import DatasetSpec
from convlab.errors import UserError


def dataset_form(name: str, spec: DatasetSpec) -> Form:
    """Image shape and class count of a dataset, from its spec or else from the user's files.

    Raises UserError, which names the key, if files are missing or invalid.
    """
    if spec.users_own and spec.path is None:
        raise UserError(f"datasets.{name}.path is missing; add it")
    return kind_of(spec).form(name, spec)


def data_notes(datasets: Mapping[str, DatasetSpec]) -> list[str]:
    """One sentence for each of the user's own datasets with files that would not be used.

    Never raises: ``dataset_form`` has reported errors.
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
