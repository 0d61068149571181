"""Classes from the labels of a table: whole numbers or text, with or without names. Standard library only."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from convlab.datasets.folder_listing import printable_name
from convlab.datasets.own_images import check_counts
from convlab.errors import UserError

MISSING_WORDS = ("", "nan", "null", "na", "n/a")
"""Labels in text, in lower case, that stand for none."""


def label_text(value: Any) -> str | None:
    """A label as text, the same for 3, 3.0 and " 3"; None where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text.lower() in MISSING_WORDS:
        return None
    if re.fullmatch(r"[+-]?\d+(\.0*)?", text):
        return str(int(text.split(".")[0]))
    return text


def named_label(value: Any, names: Sequence[str]) -> str | None:
    """A label that is an index into ``names``, as its name; None for -1, which stands for a missing label.

    Raises ValueError where there is no such class.
    """
    text = label_text(value)
    if text is None or text == "-1":
        return None
    if re.fullmatch(r"\d+", text) and int(text) < len(names):
        return names[int(text)]
    if text in names:
        return text
    raise ValueError(f"has the label {printable_name(text)}, but its {len(names):,} classes are 0 to {len(names) - 1}")


Labels = Mapping[str | None, int]
"""How often each label occurs; None stands for missing ones."""


def labels_in_order(
    labels: Mapping[str, Labels], order: Sequence[str] | None, file_of: Mapping[str, str], key: str
) -> tuple[str, ...]:
    """The different labels, in the order of the classes: by number or else by name, unless an ``order`` is given.

    Args:
        labels: how often each label occurs, by split.
        order: all labels in their order, where the data name their classes.
        file_of: name of each split's file, for messages.
        key: of the dataset in the config.

    Raises UserError for missing labels, for labels that training lacks, and for fewer than two classes.
    """
    for split, counts in labels.items():
        if missing := sum(number for label, number in counts.items() if label is None):
            raise UserError(
                f"{key}.path: {file_of[split]} has {missing:,} of {sum(counts.values()):,} rows without a label; give "
                "each one or remove these rows"
            )
    train = {label for label in labels["train"] if label is not None}
    values = tuple(order) if order is not None else sorted_labels(train)
    if absent := [value for value in values if value not in train]:
        raise UserError(
            f"{key}.path: {file_of['train']} has no training image of class {printable_name(absent[0])!r}; add some, "
            "or leave the class out"
        )
    for split in labels.keys() - {"train"}:
        if alone := sorted_labels({label for label in labels[split] if label is not None} - train):
            raise UserError(
                f"{key}.path: {file_of[split]} has labels that {file_of['train']} has not (such as "
                f"{printable_name(alone[0])!r}); they should be the same"
            )
    if len(values) < 2:
        raise UserError(
            f"{key}.path: {file_of['train']} has one class only, and there is nothing to tell apart; add more"
        )
    return values


def sorted_labels(labels: Collection[str]) -> tuple[str, ...]:
    """Labels by number where all are whole numbers, else by name."""
    if all(re.fullmatch(r"-?\d+", label) for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def class_names(values: Sequence[str], named: Sequence[str] | None, file: str, key: str) -> tuple[str, ...]:
    """Names of the classes: from the config, or else the labels themselves. Raises UserError where they do not fit."""
    if named is not None and len(named) != len(values):
        listed = ", ".join(map(printable_name, values[:5])) + (", ..." if len(values) > 5 else "")
        raise UserError(
            f"{key}.classes has {len(named):,} names, but {file} has {len(values):,} different labels ({listed}); give "
            "each a name"
        )
    for value, name in zip(values, named or (), strict=False):
        if value != name and name in values and not re.fullmatch(r"-?\d+", value):
            raise UserError(
                f"{key}.classes has {name!r} where {file} has the label {printable_name(value)!r}; give the names in "
                f"the order {', '.join(map(printable_name, values))}"
            )
    names = tuple(named) if named is not None else tuple(map(printable_name, values))
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise UserError(f"{key}.classes has the name {twice[0]!r} twice; give each class a name of its own")
    return names


def check_enough(values: Sequence[str], labels: Mapping[str, Labels], test_fraction: float, key: str) -> None:
    """Raise UserError for classes of too few images; without a test split ``test_fraction`` of them is held out."""
    train = {printable_name(value): labels["train"].get(value, 0) for value in values}
    check_counts(key, train, None if "test" in labels else test_fraction, "validation" in labels)
