"""Splits of a dataset that names them: which is to train, to validate and to test with. Standard library only."""

from collections.abc import Mapping
from typing import TypeVar

from convlab.datasets.files_by_split import require_test, split_of
from convlab.datasets.folder_listing import NO_SPLIT, Skipped, printable_name
from convlab.errors import UserError

T = TypeVar("T")


def assign_splits(
    there: Mapping[str, T], told: Mapping[str, str], key: str
) -> tuple[dict[str, T], dict[str, str], list[Skipped]]:
    """What is there of ``train``, ``validation`` and ``test``; the name of each; and splits that are not used.

    ``told`` is the config's choice by name; without it a split's name tells it (``val`` is validation). Raises
    UserError, which names the dataset's ``key``, where that leaves nothing to train with or two splits for one purpose.
    """
    listed = ", ".join(map(printable_name, there)) or "none"
    if unknown := [name for name in told.values() if name not in there]:
        raise UserError(f"{key}.splits names {unknown[0]!r}, but the dataset has the splits {listed}; correct it")
    if twice := {name for name in told.values() if list(told.values()).count(name) > 1}:
        raise UserError(f"{key}.splits has {min(twice)!r} twice; an image belongs into one split")
    names = dict(told)
    if not told:
        for name in there:
            if (split := split_of(name)) is not None:
                if split in names:
                    raise UserError(
                        f"{key}.path has the splits {names[split]} and {name}; write {key}.splits, such as "
                        f"{{{split}: {name}}}"
                    )
                names[split] = name
    if "train" not in names:
        raise UserError(
            f"{key}.path has the splits {listed} and none to train with; write {key}.splits.train: its name"
        )
    if not told:
        require_test(names, key, names.__getitem__)
    skipped = [Skipped(printable_name(name), NO_SPLIT) for name in there if name not in names.values()]
    return {split: there[name] for split, name in names.items()}, names, skipped
