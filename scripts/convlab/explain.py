"""What is wrong with a config, in one sentence that names the place and what to do; from pydantic's errors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from convlab.specs import Conv, Dense, Training
from convlab.study import KINDS, Claim, Comparison, Deploy, Experiment, Probes, ReportOptions, Statistics, Study
from convlab.wording import listing, nearest


def explain(error: ValidationError) -> str:
    """The first error as one sentence, and how many more there are."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    place = _place(first)
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        name = str(first["loc"][-1])
        parent = _place({**first, "loc": first["loc"][:-1]}) or "the config"
        text = f"unknown key {name!r} in {parent}{nearest(name, known)}; it can have {listing(known)}"
        if first["loc"][0] == "claims" and first["input"] is None:  # YAML ends a text between braces at its first comma
            text += "; between { } a text with a comma needs quotation marks"
    elif first["type"].startswith("union_tag") and first["loc"][0] == "datasets":
        text = _unknown_kind(first)
    elif first["type"] == "missing":
        text = f"{place} is missing; add it"
    else:
        text = f"{place or 'the config'} {sentence(first)}"
    return text + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def _unknown_kind(error: Mapping[str, Any]) -> str:
    """A dataset whose kind, written or taken from its name, is none."""
    name, kind = str(error["loc"][1]), str(error["input"].get("kind"))
    known = f"{nearest(kind, KINDS)}; there are {listing(KINDS)}"
    if kind != name:
        return f"datasets.{name}.kind is {kind!r}, which convlab does not know{known}"
    own = "; images of your own need 'kind: image_folder' or 'kind: npz'"
    return f"datasets.{name} is no dataset that convlab knows{known}{own if 'path' in error['input'] else ''}"


def sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with one value, in words that need no knowledge of Python."""
    kind, context, given = error["type"], error.get("ctx", {}), error.get("input")
    shown = "" if isinstance(given, dict | list | tuple) or kind == "value_error" else f" (it is {given!r})"
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_short":
        least = context["min_length"]
        return (
            "is empty; it needs at least one entry"
            if not context["actual_length"]
            else f"needs at least {least} entries"
        )
    if kind == "union_tag_invalid":
        return f"should have family dense or conv, not {context['tag']!r}"
    if kind == "union_tag_not_found":
        return "has no family; add 'family: dense' or 'family: conv'"
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"]) or re.findall(r"\d+", context["expected"])
        return f"should be {listing(options, 'or')}{shown}{nearest(str(given), options)}"
    message = error["msg"].replace("Input should be", "should be").replace("a valid integer", "a whole number")
    message = re.sub(r"a valid dictionary.*", "a mapping (name: value)", message).replace("a valid tuple", "a list")
    message = (
        message.replace("a valid number", "a number")
        .replace("a valid string", "text")
        .replace("a valid boolean", "true or false")
    )
    message = message.split(", unable to parse")[0].split(", got a number with a fractional part")[0]
    return message[0].lower() + message[1:] + shown


def _place(error: Mapping[str, Any]) -> str:
    """``models.cnn.filters[0]``: the place, without pydantic's own steps (family of a model, kind of a dataset)."""
    text = ""
    for position, step in enumerate(error["loc"]):
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (position == 2 and step in {"models": ("dense", "conv"), "datasets": KINDS}.get(error["loc"][0], ())):
            text += f".{step}" if text else str(step)
    return text


def _fields_at(location: Iterable[Any]) -> list[str]:
    """Names that are allowed at a place of the config."""
    location = list(location)
    nested = {
        "training": Training,
        "statistics": Statistics,
        "report": ReportOptions,
        "deploy": Deploy,
        "experiments": Experiment,
        "comparisons": Comparison,
        "claims": Claim,
        "probes": Probes,
    }
    if not location:
        return list(Study.model_fields)
    if location[0] == "models" and len(location) > 2:
        return list((Dense if location[2] == "dense" else Conv).model_fields)
    if location[0] == "datasets" and len(location) > 2:
        return list(KINDS[location[2]].model_fields)
    fields = nested[location[0]].model_fields
    if location[0] in ("training", "probes", "deploy"):
        for step in location[1:]:
            annotation = fields[step].annotation
            fields = (get_args(annotation) or (annotation,))[0].model_fields
    return list(fields)
