"""Write the generated pages of docs/: the columns of every table, and the keys of the config.

docs/tables.md is written whole; in docs/config.md what stands between ``<!-- keys: SECTION -->`` and ``<!-- end -->``.
`make docs` runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, get_args

from pydantic.fields import FieldInfo

from convlab.common.cli import run
from convlab.common.files import write_text
from convlab.common.specs import MAX_SEED, MAX_WHOLE, Spec, as_list
from convlab.probes import registry
from convlab.results.columns import FIGURES, MEASURED_RUN, TABLES, Table
from convlab.study.schema import Study

DOCS = Path(__file__).resolve().parent.parent / "docs"

DISCRIMINATORS = ("kind", "family")
"""Keys that choose one of several specs; each spec has its own table, whose heading names the value."""

BOUNDS = {
    **{"gt": ">", "exclusiveMinimum": ">", "ge": "≥", "minimum": "≥"},
    **{"lt": "<", "exclusiveMaximum": "<", "le": "≤", "maximum": "≤"},
}
"""Limits of a number in a JSON schema: pydantic names its own where a validator stands before the type."""

SECTION = re.compile(r"(<!-- keys: ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)

TABLES_HEAD = """# Tables

Every CSV file that a study writes below `results/<study>/`. Written by `make docs` from
`scripts/convlab/results/columns.py`; do not edit.

Tables are comma-separated UTF-8 with a header; numbers have all their digits and a decimal point in every language. An
empty cell has no value: nothing was measured, or nothing is defined (0/0). A text that a spreadsheet would take for a
formula has an apostrophe before it. *Fraction* means 0.9 for 90 %; so 0.01 is a difference of one percentage point.

Beside each `compare/*.csv` lie the same rows rounded, as Markdown (`.md`), and as a paper prints them, as LaTeX
(`.tex`). `compare/history/<n>/` holds earlier states of `runs`, `variants`, `comparisons` and `claims`. New columns are
added at the end, and none is renamed.
"""

PROBES_HEAD = """## Measures of the probes

The values of `measure` in `probe_curves.csv` and `probe_contrasts.csv`.
"""

FIGURES_HEAD = """## Numbers of the figures

Each figure of `compare` has its numbers beside it, in columns of the tables above unless they are described here.
"""


def main(argv: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    for name, text in pages().items():
        write_text(DOCS / name, text)


def pages() -> dict[str, str]:
    """The text of each page that is generated, at least in part, by its name below docs/."""
    return {"tables.md": tables_page(), "config.md": config_page((DOCS / "config.md").read_text(encoding="utf-8"))}


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def tables_page() -> str:
    """docs/tables.md: every table with its columns, measures of the probes, tables that lie beside figures."""
    measures = rows_of(("probe", "measures", "differences"), probe_measures())
    shown = rows_of(("file", "one row is", "columns"), figures())
    return "\n".join([TABLES_HEAD, *map(columns_of, tables()), PROBES_HEAD, measures, FIGURES_HEAD, shown])


def tables() -> tuple[Table, ...]:
    """Every table but those of figures, what the probes measure on trained models at the end."""
    measuring = [probe for probe in registry.names() if registry.has(probe, "measure")]
    return TABLES + tuple(
        Table(
            f"probe/{probe}/<dataset>/<variant>.csv",
            "what the probe measured of a run",
            MEASURED_RUN | registry.part(probe, "table").MEASURED,
        )
        for probe in measuring
    )


def probe_measures() -> Iterator[tuple[str, str, str]]:
    """Each probe with the names of its measures, and of the differences that it computes."""
    for probe in registry.names():
        table = registry.part(probe, "table")
        measures, contrasts = table.MEASURES, getattr(table, "CONTRASTS", {})
        yield f"`{probe}`", *(", ".join(f"`{name}`" for name in names) for names in (measures, contrasts))


def columns_of(table: Table) -> str:
    """A table's heading, and its columns with type, unit and meaning."""
    rows = [(f"`{name}`", column.type, column.unit, column.meaning) for name, column in table.columns.items()]
    return f"## `{table.file}`\n\nOne row is {table.rows}.\n\n{rows_of(('column', 'type', 'unit', 'meaning'), rows)}"


def figures() -> Iterator[tuple[str, str, str]]:
    """File, row and columns of the numbers of each figure; columns that no table has are described."""
    known = {(name, column) for table in tables() for name, column in table.columns.items()}
    for table in FIGURES:
        columns = [
            f"`{name}`" if (name, column) in known else f"`{name}` ({column.type}: {column.meaning})"
            for name, column in table.columns.items()
        ]
        yield f"`{Path(table.file).name}`", table.rows, ", ".join(columns)


# ---------------------------------------------------------------------------------------------------------------------
# Config


def config_page(text: str) -> str:
    """docs/config.md with its generated sections replaced; the text around them stays."""
    sections = {match[2] for match in SECTION.finditer(text)}
    return SECTION.sub(lambda match: f"{match[1]}{keys_of(match[2], sections)}{match[3]}", text)


def keys_of(section: str, sections: Set[str]) -> str:
    """The keys of a section of the config, such as ``training`` or ``deploy.sagemaker``; of ``study`` the top level.

    Args:
        sections: all that the page has; keys of other sections stand in the table of the section around them.
    """
    if section == "study":
        return keys_table(Study, Study.model_fields, "", sections)
    *above, name = section.split(".")
    spec: type[Spec] = Study
    for part in above:
        spec = specs_in(spec.model_fields[part].annotation)[0]
    specs = specs_in(spec.model_fields[name].annotation)
    if len(specs) > 1:
        return alternatives(specs)
    return f"`{section}`: {summary(specs[0])}\n\n{keys_table(specs[0], specs[0].model_fields, f'{section}.', sections)}"


def alternatives(specs: list[type[Spec]]) -> str:
    """The keys that all of several specs share, then those of each one by itself: its own, and shared ones that have
    another meaning or default there."""
    first, *others = specs
    shared = [name for name in first.model_fields if all(name in spec.model_fields for spec in others)]
    shared = [name for name in shared if name not in DISCRIMINATORS]
    parts = [keys_table(first, shared)]
    for spec in specs:
        chooser = next(name for name in DISCRIMINATORS if name in spec.model_fields)
        values = ", ".join(f"`{chooser}: {value}`" for value in get_args(spec.model_fields[chooser].annotation))
        alike = [name for name in shared if described(spec, name) == described(first, name)]
        own = [name for name in spec.model_fields if name not in (*alike, chooser)]
        table = f"\n{keys_table(spec, own)}" if own else "\nNo further keys.\n"
        parts.append(f"{values}: {summary(spec)}\n{table}")
    return "\n".join(parts)


def described(spec: type[Spec], name: str) -> tuple[Any, str | None]:
    """Default and meaning of a field."""
    return spec.model_fields[name].default, spec.model_fields[name].description


def keys_table(spec: type[Spec], names: Iterable[str], path: str = "", sections: Set[str] = frozenset()) -> str:
    """Key, type, default and meaning of these fields of a spec.

    Args:
        path: of the spec in the config, with a dot at its end.
        sections: as in :func:`keys_of`.
    """
    rows = ((key.removeprefix(path), *cells) for key, *cells in keys(spec, names, path, sections))
    return rows_of(("key", "type", "default", "meaning"), ((f"`{key}`", *cells) for key, *cells in rows))


def keys(spec: type[Spec], names: Iterable[str], path: str, sections: Set[str]) -> Iterator[tuple[str, ...]]:
    """Rows of :func:`keys_table` with whole keys; a section that has no table is followed by its own keys."""
    properties = spec.model_json_schema()["properties"]
    for name in names:
        field, key = spec.model_fields[name], f"{path}{name}"
        nested = specs_in(field.annotation)
        meaning = field.description or (summary(nested[0]) if nested else "")
        yield key, type_of(field, properties[name]), default_of(field), meaning
        if len(nested) == 1 and key not in sections:
            yield from keys(nested[0], nested[0].model_fields, f"{key}.", sections)


def summary(spec: type[Spec]) -> str:
    """First paragraph of a spec's docstring, on one line."""
    return " ".join((spec.__doc__ or "").strip().split("\n\n")[0].split()).replace("``", "`")


def specs_in(annotation: Any) -> list[type[Spec]]:
    """The specs that a type holds, in their order: of a union, a mapping, a list, an annotated type."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for argument in get_args(annotation) for spec in specs_in(argument)]


def default_of(field: FieldInfo) -> str:
    """A field's default as YAML would write it; nothing for one whose absence its meaning describes."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", {}, ()) or isinstance(value, Spec):
        return ""
    if isinstance(value, tuple) and len(value) == 1 and takes_one_value(field):
        value = value[0]
    return f"`{as_yaml(value)}`"


def as_yaml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and re.fullmatch(r"[\d.]+", value):
        return f"'{value}'"
    return f"{value:g}" if isinstance(value, float) else str(value)


def takes_one_value(field: FieldInfo) -> bool:
    """Whether one value stands for a list with one for each layer."""
    return any(getattr(step, "func", None) is as_list for step in field.metadata)


def type_of(field: FieldInfo, schema: Mapping[str, Any]) -> str:
    """A field's type in words, with the bounds of its values."""
    if takes_one_value(field):
        return f"{type_name(schema['items'])}, or a list of them"
    return type_name(schema)


def type_name(schema: Mapping[str, Any], plural: str = "") -> str:
    """A JSON schema in words: ``whole number > 0``, ``list of texts``, `` `same`, `valid` ``.

    Args:
        plural: an s for more than one of them.
    """
    if "anyOf" in schema or "oneOf" in schema:
        parts = [part for part in schema.get("anyOf", schema.get("oneOf")) if part.get("type") != "null"]
        names = [type_name(part, plural) for part in parts]
        if "number" in names:
            names = [name for name in names if name != "whole number"]
        return " or ".join(dict.fromkeys(names))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    if "$ref" in schema:
        return f"section{plural}"
    kind = schema.get("type", "any value")
    if kind == "array":
        if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])} {type_name(schema['prefixItems'][0], 's')}"
        return f"list of {type_name(schema['items'], 's')}"
    if kind == "object":
        values = schema["additionalProperties"]
        return f"{type_name(values if isinstance(values, dict) else {}, 's')} by name"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    return f"{words.get(kind, kind)}{plural if kind != 'boolean' else ''}{bounds(schema)}"


def bounds(schema: Mapping[str, Any]) -> str:
    """The limits of a number, such as `` > 0``, without those that only computers have."""
    limits = [
        f" {sign} {schema[name]:g}"
        for name, sign in BOUNDS.items()
        if name in schema and schema[name] not in (MAX_WHOLE, MAX_SEED)
    ]
    return ",".join(limits)


def rows_of(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    run(main)
