"""How fields and levels read, in the language in use."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.specs import Spec

MAX_REPEATS = 3
"""Equal layers that follow each other and are still written one by one in a level's label."""


def labels_side_by_side(factor: str, values: Sequence[Any]) -> list[str]:
    """How levels read side by side: a list of equal values as one of them where that is so for all of one length."""
    lists = [value for value in values if isinstance(value, list)]
    uniform = all(len(set(value)) == 1 for value in lists) and len({len(value) for value in lists}) <= 1
    return [level_label(factor, value, short=uniform) for value in values]


WORDS = {
    N_("none"), N_("max"), N_("average"), N_("horizontal"), N_("vertical"), N_("both"), N_("best"), N_("last"),
}  # fmt: skip
"""Words of the config that read differently in other languages; names from Keras (``same``, ``adam``) do not."""


def field_label(name: str) -> str:
    """How a field of a model or of the training reads in the language in use: ``kernel_size`` is ``kernel size``."""
    return _(name.replace("_", " "))


def level_label(factor: str, value: Any, short: bool = True) -> str:
    """How a level reads: ``5×5/3×3`` for kernels by layer, ``on`` for true, ``none`` for nothing.

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
    return _(value) if value in WORDS or factor == "family" else str(value)


def _exact(value: float) -> str:
    """The format that tells a number from any other with the fewest digits, six at least."""
    return next(f".{digits}g" for digits in range(6, 18) if float(f"{value:.{digits}g}") == value)
