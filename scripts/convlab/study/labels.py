"""Labels of fields and levels, in the current language."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.specs import Spec

MAX_REPEATS = 3
"""Consecutive equal layers that a level's label writes one by one; more become ``3×3 (×20)``."""


def labels_side_by_side(factor: str, values: Sequence[Any]) -> list[str]:
    """Labels of an experiment's levels: a list of equal values as one value if all lists are such, of one length."""
    lists = [value for value in values if isinstance(value, list)]
    uniform = all(len(set(value)) == 1 for value in lists) and len({len(value) for value in lists}) <= 1
    return [level_label(factor, value, short=uniform) for value in values]


TRANSLATED_WORDS = {
    N_("none"), N_("max"), N_("average"), N_("horizontal"), N_("vertical"), N_("both"), N_("best"), N_("last"),
}  # fmt: skip
"""Words of the config that read differently in other languages; names from Keras (``same``, ``adam``) do not."""


def field_label(name: str) -> str:
    """Label of a field of a model or of the training in the current language: ``kernel_size`` is ``kernel size``."""
    return _(name.replace("_", " "))


def level_label(factor: str, value: Any, short: bool = True) -> str:
    """Label of a level: ``5×5/3×3`` for kernels by layer, ``on`` for true, ``none`` for null.

    ``short`` writes a list of equal values as one of them; ``3×3 (×20)`` stands for twenty layers of 3×3.
    """
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if value is None:
        return _("all") if factor == "train_size" else i18n.pgettext("setting", "none")
    if isinstance(value, list | tuple):
        parts = [level_label(factor, item) for item in value]
        if short and len(set(parts)) == 1:
            return parts[0]
        runs = [(part, len(list(equal))) for part, equal in groupby(parts)]
        shown = (f"{part} (×{count})" if count > MAX_REPEATS else "/".join([part] * count) for part, count in runs)
        return "/".join(shown) or i18n.pgettext("setting", "none")
    if isinstance(value, Spec):
        fields = value.model_dump(exclude_defaults=True)
        return " ".join(f"{field_label(key)} {level_label(key, item)}" for key, item in fields.items()) or _("on")
    if factor == "kernel_size":
        return f"{value}×{value}"
    if isinstance(value, int | float):
        return i18n.number(value, _exact(value) if isinstance(value, float) else "," if factor == "train_size" else "")
    return _(value) if value in TRANSLATED_WORDS or factor == "family" else str(value)


def _exact(value: float) -> str:
    """Shortest format, of six digits at least, from which the number can be read back exactly."""
    return next(f".{digits}g" for digits in range(6, 18) if float(f"{value:.{digits}g}") == value)
