"""Base class of all specs, field types for YAML values, canonical values and canonical JSON.

A spec that validates is already canonical: defaults are filled in, one value for all layers is written once per layer,
and ``1.0`` is ``1`` where a whole number is meant. Two spellings of the same run therefore have the same hash.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)

NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE_NUMBER = re.compile(r"[+-]?\d+(_\d+)*")
OTHER_BASE = re.compile(r"[+-]?0(o[0-7]+|x[0-9a-fA-F]+|b[01]+)")

MAX_DIGITS = 400
"""Digits of a number at most; longer ones stay text, which is refused: Python is slow to parse them, or refuses."""

MAX_WHOLE = 2**31 - 1
"""Largest number of images, pixels, units, epochs, ...; more overflows in TensorFlow, if it fits into memory at all."""

MAX_SEED = 2**63 - 1
"""Largest seed: predictions.npz keeps seeds as 64-bit integers, and so does pandas."""

OFF_WORDS = ("none", "null", "off", "no", "false", "~", "")
"""Words that mean "absent" or "off". YAML reads some of them as false, others as text."""


def as_number(value: Any) -> Any:
    """YAML reads ``1e-3`` and ``0o10`` as text: take them as the numbers they are; refuse yes/no, which Python counts
    as 1 and 0, and decimal commas and percent signs, which nothing here reads."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    if not isinstance(value, str) or len(value) > MAX_DIGITS:
        return value
    text = value.strip()
    if WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if NUMBER.fullmatch(text):
        return float(text)
    if comma := re.fullmatch(r"([+-]?\d+),(\d+)", text):
        whole, rest = comma.groups()
        thousands = f"{whole}{rest} or " if len(rest) == 3 and not whole.strip("+-").startswith("0") else ""
        raise ValueError(f"should be written without a comma: {thousands}{whole}.{rest} (it is {value!r})")
    if percent := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text):
        raise ValueError(f"should be written without a percent sign: {float(percent[1]) / 100:g} (it is {value!r})")
    return value


def as_list(value: Any) -> Any:
    """One value for all layers is a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def is_off(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str) and value.strip().lower() in OFF_WORDS)


def off_as_word(value: Any) -> Any:
    """YAML reads a bare ``none`` as text, ``null`` and ``~`` as nothing and ``off`` as false: all of them mean none."""
    return "none" if is_off(value) else value


def off_as_none(value: Any) -> Any:
    """None for every spelling of "off"."""
    return None if is_off(value) else value


def all_as_none(value: Any) -> Any:
    """None for every spelling of "off" and for ``all``: no limit."""
    return None if is_off(value) or (isinstance(value, str) and value.strip().lower() == "all") else value


def off_as_empty(value: Any) -> Any:
    """An empty list for every spelling of "off"."""
    return [] if is_off(value) else value


def as_text(value: Any) -> Any:
    """A whole number is a name of its digits; what YAML reads as something else, such as ``on``, is refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"should be text (it is {value!r}){'' if value is None else '; put it in quotation marks'}")
    return value


def as_path(value: str) -> str:
    """Check that a path is one that the file system accepts; ValueError if not."""
    if "\0" in value:
        raise ValueError("has a character that no path can hold (\\0); remove it")
    if len(os.fsencode(value)) > 4095 or any(len(os.fsencode(part)) > 255 for part in value.split("/")):
        raise ValueError("is longer than a path can be (255 bytes for each folder, 4,095 in all); correct it")
    try:
        Path(value).expanduser()
    except RuntimeError:
        owner = value.split("/")[0]
        raise ValueError(f"begins with {owner}, a home folder that is not known here; write the whole path") from None
    return value


Location = Annotated[str, Field(min_length=1), AfterValidator(as_path)]
Name = Annotated[str, BeforeValidator(as_text)]
Notes = Annotated[dict[Name, Name], AfterValidator(lambda notes: dict(sorted(notes.items())))]
"""Texts by name; the order of keys has no meaning."""
Whole = Annotated[int, BeforeValidator(as_number), Field(strict=False)]
PositiveWhole = Annotated[Whole, Field(gt=0, le=MAX_WHOLE)]
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED)]
Limit = Annotated[PositiveWhole | None, BeforeValidator(all_as_none)]
"""Maximum number; None for no limit."""
Real = Annotated[float, BeforeValidator(as_number), Field(allow_inf_nan=False)]
PositiveReal = Annotated[Real, Field(gt=0)]
Fraction = Annotated[Real, Field(ge=0, lt=1)]


def per_layer(item: Any) -> Any:
    """Type of a field that takes one value for all layers or a list of one per layer."""
    return Annotated[tuple[item, ...], BeforeValidator(as_list), Field(min_length=1)]


class Spec(BaseModel):
    """Base of all specs: unknown keys are errors, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """An empty section or text (``training:`` with nothing after the colon) counts as absent."""
        if isinstance(data, Mapping) and None in data.values():
            return {key: value for key, value in data.items() if value is not None or key not in _optional(cls)}
        return data

    def _set(self, **fields: Any) -> None:
        """Write canonical values while validating (instances are frozen for everyone else)."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@cache
def _optional(spec: type[Spec]) -> set[str]:
    """Names of a spec's optional sections, mappings and texts."""
    return {
        name
        for name, field in spec.model_fields.items()
        if not field.is_required()
        and (
            field.default == ""
            or get_origin(field.annotation) is dict
            or (isinstance(field.annotation, type) and issubclass(field.annotation, Spec))
        )
    }


@cache
def _adapter(spec: type[Spec], field: str) -> TypeAdapter:
    info = spec.model_fields[field]
    return TypeAdapter(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)


def canonical_value(spec: type[Spec], field: str, value: Any) -> Any:
    """A value of a field as plain JSON types, with one spelling for equal values. Raises pydantic's ValidationError."""
    adapter = _adapter(spec, field)
    return short_value(
        spec, field, adapter.dump_python(adapter.validate_python(value), mode="json", exclude_defaults=True)
    )


def short_value(spec: type[Spec], field: str, value: Any) -> Any:
    """One value for all layers without its list."""
    per_layer = any(getattr(step, "func", None) is as_list for step in spec.model_fields[field].metadata)
    value = list(value) if isinstance(value, tuple) else value
    return value[0] if per_layer and len(value) == 1 else value


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; whole floats are written as integers. Equal values give equal text."""
    return json.dumps(normalised(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def normalised(value: Any) -> Any:
    """``value`` with tuples as lists and whole floats as integers, all the way down."""
    if isinstance(value, dict):
        return {str(key): normalised(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalised(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
