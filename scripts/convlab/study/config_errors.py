"""What is wrong with a config, in one sentence that names the place and what to do; from pydantic's errors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from convlab.common.specs import Spec
from convlab.common.text import listing, nearest
from convlab.datasets.registry import kinds
from convlab.models.registry import families
from convlab.study.schema import Claim, Comparison, Deploy, Experiment, Probes, ReportOptions, Statistics, Study
from convlab.study.seeds import FORMS, SeedPlan
from convlab.study.tuning import Tuning
from convlab.training.recipe import Training

KINDS = {name: kind.spec for name, kind in kinds().items()}
"""The spec of each kind of dataset."""

MAX_VALUE_CHARS = 200
"""Characters of a wrong value at most; a longer one is cut in messages."""


def explain(error: ValidationError) -> str:
    """The first error as one sentence, and how many more there are."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    key = _place(first)
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        name = str(first["loc"][-1])
        parent = _place({**first, "loc": first["loc"][:-1]}) or "the config"
        text = f"unknown key {name!r} in {parent}{nearest(name, known)}; "
        text += f"it can have {listing(known)}" if known else "it has no keys"
        if len(first["loc"]) > 1 and first["input"] is None:  # YAML ends a text between braces at its first comma
            text += "; between { } a text with a comma needs quotation marks"
        elif len(first["loc"]) == 1 and isinstance(first["input"], dict | list):
            text += "; what only anchors repeat elsewhere goes under a key that begins with x-"
    elif first["type"].startswith("union_tag") and first["loc"][0] == "datasets":
        text = _unknown_kind(first)
    elif first["type"] == "invalid_key":
        parent = _place({**first, "loc": first["loc"][:-1]}) or "the config"
        text = f"a name in {parent} should be text (it is {first['loc'][-1]!r}); put it in quotation marks"
    elif first["type"] == "missing":
        text = f"{key} is missing; add it"
    else:
        text = f"{key or 'the config'} {error_message(first)}{_alternative(first)}"
    given = repr(first.get("input"))
    text = text.replace(given, f"{given[:40]}...") if len(given) > MAX_VALUE_CHARS else text
    return text + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def _unknown_kind(error: Mapping[str, Any]) -> str:
    """Dataset with an unknown kind, given or inferred from its name."""
    name, kind = str(error["loc"][1]), str(error["input"].get("kind"))
    known = f"{nearest(kind, KINDS)}; there are {listing(KINDS)}"
    if kind != name:
        return f"datasets.{name}.kind is {kind!r}, which convlab does not know{known}"
    own = listing([f"'kind: {name}'" for name, spec in KINDS.items() if spec.users_own], "or")
    advice = f"; images of your own need {own}" if "path" in error["input"] else ""
    return f"datasets.{name} is no dataset that convlab knows{known}{advice}"


def error_message(error: Mapping[str, Any]) -> str:
    """Message for one of pydantic's errors, without Python's terms."""
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
    if kind == "int_parsing_size":
        return f"has too many digits{shown}"
    if kind == "union_tag_invalid":
        return f"should have family {listing(families(), 'or')}, not {context['tag']!r}"
    if kind == "union_tag_not_found":
        entries = [f"'family: {name}'" for name in families()]
        return f"has no family; add {listing(entries, 'or')}"
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
    if kind == "string_type" and given is not None and shown:
        shown += "; put it in quotation marks"
    message = message.removesuffix(", unable to interpret input")
    return message[0].lower() + message[1:] + shown


def _specs_by_name(section: Any) -> Mapping[str, type[Spec]]:
    """Specs of a section with a discriminator, by family or kind; empty for other sections."""
    if section == "models":
        return {name: family.spec for name, family in families().items()}
    return KINDS if section == "datasets" else {}


def _as_written(location: Iterable[Any]) -> list[Any]:
    """A location without the form of seeds that pydantic adds."""
    steps = list(location)
    return [step for number, step in enumerate(steps) if not (number == 1 and steps[0] == "seeds" and step in FORMS)]


def _place(error: Mapping[str, Any]) -> str:
    """Dotted key of an error, ``models.cnn.filters[0]``, without pydantic's discriminator steps (family, kind)."""
    text = ""
    for position, step in enumerate(_as_written(error["loc"])):
        if step == "[key]":
            return f"a name in {error['loc'][0]}"
        if isinstance(step, int) and not isinstance(step, bool):
            text += f"[{step}]"
        elif not (position == 2 and step in _specs_by_name(error["loc"][0])):
            text += f".{step}" if text else str(step)
    return text


PLACEHOLDER_WORDS = ("true", "false", "yes", "no", "on", "off", "none", "null", "all", "default", "auto", "")
"""Words that users write in place of a value."""

EXAMPLES = {
    "augmentation": "{flip: horizontal, shift: 2}, or none",
    "early_stopping": "{patience: 3}, or none",
    "tuning": "{trials: 5, over: {learning_rate: [3e-4, 3e-3]}}, or none",
}


def _alternative(error: Mapping[str, Any]) -> str:
    """Advice for a placeholder word such as ``auto``: an example, or to remove the line."""
    given, name = error.get("input"), str(error["loc"][-1])
    if error["type"] == "model_type" and name in EXAMPLES:
        return f"; write a mapping such as {EXAMPLES[name]}"
    word = (
        given is None
        or isinstance(given, bool)
        or (isinstance(given, str) and given.strip().lower() in PLACEHOLDER_WORDS)
    )
    field = _field_at(error["loc"]) if word else None
    if field is None or field.is_required() or error["type"] in ("extra_forbidden", "string_type"):
        return ""
    default = field.default
    if isinstance(default, Spec) or default is None or default in ("", (), {}):
        return "; remove the line if there is none"
    if isinstance(default, tuple):
        default = default[0] if len(default) == 1 else list(default)
    return f"; remove the line for the default, {str(default).lower() if isinstance(default, bool) else default}"


def _field_at(location: Iterable[Any]) -> FieldInfo | None:
    """The pydantic field at a location of the config; None for a whole entry."""
    steps, spec, field = _as_written(location), Study, None
    while steps and spec is not None and (name := steps.pop(0)) in spec.model_fields:
        field = spec.model_fields[name]
        named = {
            "models": None,
            "datasets": None,
            "experiments": Experiment,
            "comparisons": Comparison,
            "claims": Claim,
        }
        if spec is Study and name in named:
            if not steps[1:]:
                return None  # the entry as a whole
            steps.pop(0)
            spec = named[name] or _specs_by_name(name).get(steps.pop(0))
            field = None
        else:
            types = (field.annotation, *get_args(field.annotation))
            spec = next((kind for kind in types if isinstance(kind, type) and issubclass(kind, Spec)), None)
    return field


def _fields_at(location: Iterable[Any]) -> list[str]:
    """Names of the fields that are allowed at a location of the config."""
    location = _as_written(location)
    nested = {
        "seeds": SeedPlan,
        "training": Training,
        "statistics": Statistics,
        "tuning": Tuning,
        "report": ReportOptions,
        "deploy": Deploy,
        "experiments": Experiment,
        "comparisons": Comparison,
        "claims": Claim,
        "probes": Probes,
    }
    if not location:
        return list(Study.model_fields)
    if location[0] in ("models", "datasets") and len(location) > 2:
        return list(_specs_by_name(location[0])[location[2]].model_fields)
    fields = nested[location[0]].model_fields
    if location[0] in ("training", "probes", "deploy"):
        for step in location[1:]:
            annotation = fields[step].annotation
            fields = (get_args(annotation) or (annotation,))[0].model_fields
    return list(fields)
