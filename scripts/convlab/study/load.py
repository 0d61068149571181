"""Reading a config: from a YAML file or Snakemake's ``config`` to a checked study."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from convlab.common import i18n
from convlab.datasets.registry import kinds
from convlab.errors import UserError
from convlab.study.config_errors import MAX_VALUE_CHARS, explain
from convlab.study.expand import expand
from convlab.study.schema import Deploy, Study

IGNORED_KEY_PREFIX = "x-"
"""Top-level keys with this prefix are ignored; they hold anchors that are used elsewhere, as in Compose files."""


def load_study(config: Mapping[str, Any], *, for_readers: bool = False) -> Study:
    """Check a config as Snakemake or YAML gives it, and expand it.

    Args:
        for_readers: set the report's language first, for the labels of the plan and all later messages.

    Raises:
        UserError: one sentence that names the key and what to do.
    """
    config = {key: value for key, value in config.items() if not str(key).startswith(IGNORED_KEY_PREFIX)}
    try:
        study = _checked(config)
        if for_readers:
            i18n.set_language(study.report.language)
        return study.with_plan(expand(study))
    except UserError as error:
        raise UserError(_without_long_texts(str(error), config)) from None


def load_deploy(config: Mapping[str, Any]) -> Deploy:
    """The section `deploy` of a config alone, for what has to work where the study's data are lost.

    Raises UserError: one sentence that names the key and what to do.
    """
    try:
        return _DeployOnly.model_validate(config).deploy
    except ValidationError as error:
        raise UserError(explain(error)) from None


class _DeployOnly(BaseModel):
    """A config of which nothing else is read."""

    deploy: Deploy = Deploy()


def _checked(config: Mapping[str, Any]) -> Study:
    for key, text in _texts(config):
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise UserError(f"{key} has half of a character (a lone surrogate), which no file can hold; remove it")
    try:
        return Study.model_validate(config)
    except ValidationError as error:
        raise UserError(explain(error)) from None


def _without_long_texts(message: str, config: Mapping[str, Any]) -> str:
    """A message with very long names and values of the config cut."""
    long = {text for _, text in _texts(config) if len(text) > MAX_VALUE_CHARS}
    for text in sorted(long, key=len, reverse=True):
        for written in (repr(text)[1:-1], text):
            message = message.replace(written, f"{text[:40]}...")
    return message


def _texts(value: Any, key: str = "the config") -> Iterator[tuple[str, str]]:
    """Every text of a config with its dotted key, names included."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield f"a name in {key}", str(name)
            yield from _texts(item, str(name) if key == "the config" else f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, key)


UNUSED_YAML_TYPES = {
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:value": "a sign of its own",
}
"""YAML types that no key of a config has."""

LEADING_ZERO = re.compile(r"([+-]?)0[\d_]+")
BINARY = re.compile(r"[+-]?0b[01_]+")
BASE_60 = re.compile(r"[+-]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file, YAML or JSON; every failure is a UserError that names the file and line.

    Returns what Snakemake reads from the same file, and refuses YAML's surprises: duplicate keys, of which YAML keeps
    the last, ``010``, which is 8, ``1:30``, which is 90, and names such as ``on``, which is true.
    """
    text = _read_text(path)
    try:
        value = _read_json(text) if text.lstrip().startswith("{") else None
        if value is None:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            if node is not None:
                _check(node, "", ())
                value = loader.construct_document(node)
    except UserError as error:
        raise UserError(f"{path}, {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_syntax(error, text)}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply; a config has at most six levels") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no settings; begin with a line such as 'study: my_study'")
    if "__use_yte__" in value:
        raise UserError(f"{path} is a template (__use_yte__), which only Snakemake would fill in; write it out")
    return value


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a study's config file, with make as STUDY=<file>") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name the config file in it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UserError(f"{path} is in UTF-16; save it as UTF-8") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line} has a character that is not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is no text in UTF-8 (it has zero bytes); save it as UTF-8")
    return text


def _read_json(text: str) -> Any:
    """The value of a JSON file, which Snakemake reads as JSON; None if it is not valid JSON."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                raise UserError(f"which is JSON, names {name!r} a second time in one mapping; rename or remove one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=mapping)
    except ValueError:
        return None


def _check(node: yaml.Node, key: str, above: tuple[yaml.Node, ...]) -> None:
    """Raise UserError for values that YAML reads differently from how they look; ``key`` is the node's dotted key."""
    line = node.start_mark.line + 1
    if any(node is other for other in above):
        raise UserError(f"line {line}: {key} holds itself by an anchor; write out what it should hold")
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node, key, line, bool(above and above[-1].flow_style))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _check(item, f"{key}[{number}]", (*above, node))
    else:
        seen: set[str] = set()
        before: yaml.Node | None = None
        for key_node, value in node.value:
            name = _check_name(key_node, value, before, key)
            if name in seen:
                raise UserError(
                    f"line {key_node.start_mark.line + 1} names {name!r} a second time; "
                    + ("write one line, <<: [*first, *second]" if name == "<<" else "rename or remove one")
                )
            seen.add(name)
            before = value
            if not (name == "<<" and any(value is other for other in above)):
                _check(value, f"{key}.{name}" if key else name, (*above, node))


def _check_scalar(node: yaml.ScalarNode, key: str, line: int, between_brackets: bool) -> None:
    text, kind = node.value, node.tag.removeprefix("tag:yaml.org,2002:")
    written = f"line {line}: {key} is {text}"
    if node.tag in UNUSED_YAML_TYPES:
        raise UserError(
            f"{written}, which YAML reads as {UNUSED_YAML_TYPES[node.tag]}; put it in quotation marks: '{text}'"
        )
    if kind not in ("int", "float", "str") or (kind == "str" and node.style is not None):
        return
    # 08 is no octal number: YAML leaves it as text, which is 8 where a number is meant. In [1,080] it is half of one.
    if (zero := LEADING_ZERO.fullmatch(text)) and (kind == "int" or between_brackets):
        value = zero[1] + (text.lstrip("+-").replace("_", "").lstrip("0") or "0")
        octal = " (an octal number)" if kind == "int" else ""
        read = f"{yaml.safe_load(text)}{octal}" if kind == "int" else "text"
        raise UserError(f"{written}, which YAML reads as {read}; write {value}, or '{text}' for a name")
    if BINARY.fullmatch(text):
        raise UserError(f"{written}, which YAML reads as {yaml.safe_load(text)}; write {yaml.safe_load(text)}")
    if kind != "str" and BASE_60.fullmatch(text):
        value = yaml.safe_load(text)
        raise UserError(f"{written}, which YAML reads as {value} (in sixties); write {value}, or '{text}' for a name")


def _check_name(node: yaml.Node, value: yaml.Node, before: yaml.Node | None, key: str) -> str:
    """The name of an entry of the mapping ``key``; UserError if YAML reads it as another type than text."""
    line = node.start_mark.line + 1
    inside = f" in {key}" if key else ""
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"line {line}: a name{inside} should be text, not a list or mapping; see docs/config.md")
    text, kind = node.value, node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "merge" or node.style is not None:
        return text
    empty = isinstance(value, yaml.ScalarNode) and value.value == "" and value.style is None
    if re.fullmatch(r"\d[\d_]*", text) and empty and isinstance(before, yaml.ScalarNode) and before.value.isdigit():
        first = before.value
        thousands = f"{first}{text} or " if len(text) == 3 and first != "0" else ""
        raise UserError(
            f"line {line}: {first},{text}{inside} ends at its comma, between braces; write {thousands}{first}.{text}"
        )
    if kind != "str" and not (kind == "int" and re.fullmatch(r"-?(0|[1-9]\d*)", text)):
        read = {"bool": "true or false", "null": "nothing", "timestamp": "a date"}.get(kind, "a number")
        raise UserError(f"line {line}: the name {text}{inside} is {read} to YAML; put it in quotation marks: '{text}'")
    return text


def _syntax(error: yaml.YAMLError, text: str) -> str:
    """Line and reason of a YAML syntax error, with advice for the usual reasons."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        problem = f"it has a character that cannot be seen ({error.character:#06x})"
    else:
        line = mark.line + 1 if mark else 1
    advice = ""
    if "\\t" in problem:
        problem, advice = "it is indented with a tab", "; use spaces"
    elif "mapping values are not allowed" in problem:
        advice = "; a text with a colon needs quotation marks"
    elif "but found another document" in problem:
        problem, advice = "a line --- begins a second config", "; a file holds one"
    elif "could not determine a constructor" in problem:
        problem, advice = problem.replace("could not determine a constructor for", "it has"), "; remove it"
    elif "undefined alias" in problem:
        advice = "; an anchor (&name) has to stand before it"
    return f", line {line} is not valid YAML: {problem}{advice}"


class _Dumper(yaml.SafeDumper):
    """YAML dumper whose texts survive a round trip."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # PyYAML writes the sign of a next line (U+0085) as it is, and reads it as a line break.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def to_yaml(config: Mapping[str, Any], width: int = 110) -> str:
    """A config as a YAML file that read_yaml reads to the same values, keys in their order."""
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def schema() -> dict[str, Any]:
    """JSON schema of the config, for editors; ``workflow/schemas/config.schema.json`` is kept equal to it."""
    written = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
    datasets = written["properties"]["datasets"]["additionalProperties"]
    datasets.pop("discriminator")
    datasets["anyOf"] = datasets.pop("oneOf")
    for kind in kinds().values():  # a dataset's name is its kind unless one is written
        written["$defs"][kind.spec.__name__]["required"].remove("kind")
    written["patternProperties"] = {f"^{IGNORED_KEY_PREFIX}": True}
    return written
