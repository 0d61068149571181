"""Bring report/locale/*/LC_MESSAGES/convlab.po up to date with the source, and name what is not translated yet.

New messages are added empty, those that are gone are dropped. `make messages` runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import ast
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from convlab.common import i18n
from convlab.common.cli import run
from convlab.common.files import write_text
from convlab.models.registry import families
from convlab.study.labels import field_label
from convlab.training.recipe import Augmentation, EarlyStopping, Training

ROOT = Path(__file__).resolve().parent.parent

KEYWORDS = {**DEFAULT_KEYWORDS, "translatable": None}
"""Functions whose texts are messages: gettext's, and ``datasets.registry.translatable``."""

HEADER = """# Translations of what convlab says to its readers. Bring it up to date with `make messages`.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""


def main(argv: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    messages = extracted()
    for language in i18n.LANGUAGES:
        path = i18n.catalogue(language)
        if path is not None:
            catalogue = updated(path, messages, language)
            write_text(path, text(catalogue, language))
            empty = [message.id for message in catalogue if message.id and not translated(message)]
            print(f"{path.relative_to(ROOT)}: {len(catalogue)} messages, {len(empty)} not translated")
            for message in empty:
                print(f"  {message}")


def extracted() -> Catalog:
    """All messages: marked ones in scripts and templates, and unmarked ones (families, fields of specs)."""
    messages = Catalog()
    for folder, methods in {"scripts": [("**.py", calls)], "report": [("**.j2", "jinja2.ext:babel_extract")]}.items():
        options = {pattern: {"silent": "false", "encoding": "utf-8"} for pattern, _ in methods}
        for name, _, message, _, context in extract_from_dir(ROOT / folder, methods, options, keywords=KEYWORDS):
            messages.add(message, None, [(f"{folder}/{name}", 0)], context=context)
    for name, family in families().items():
        for message in (name, *(field.reason for field in family.idle_fields)):
            messages.add(message, None, [(f"scripts/convlab/models/families/{name}.py", 0)])
    for spec in (*(family.spec for family in families().values()), Training, EarlyStopping, Augmentation):
        for name, field in spec.model_fields.items():
            if name not in ("family", "label", "why"):
                for message in filter(None, (field_label(name), field.description)):
                    messages.add(message, None, [("scripts/convlab/common/specs.py", 0)])
    return messages


def calls(file: BinaryIO, keywords: Mapping[str, Any], tags: Any, options: Any) -> Iterator[tuple]:
    """Messages of a Python file, for Babel: calls of gettext's names with constant texts, wherever they stand.

    Babel's own method reads tokens: it takes every string inside a call for a message and sees nothing in an f-string.
    """
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            texts = tuple(argument.value for argument in node.args if isinstance(argument, ast.Constant))
            if name in keywords:
                yield node.lineno, name, texts, []


def updated(path: Path, source: Catalog, language: str) -> Catalog:
    """The translations in ``path``, updated for the messages of ``source``; a changed message is a new one."""
    known = Catalog(locale=language)
    if path.is_file():
        with path.open("rb") as file:
            known = read_po(file, locale=language)
    known.update(source, no_fuzzy_matching=True)
    known.obsolete.clear()
    for message in known:  # placeholders are str.format's: "90 % c" is no format of Python's
        message.flags.discard("python-format")
    return known


def text(catalogue: Catalog, language: str) -> str:
    """A catalogue as a file: sorted by place, without line numbers or dates, so that it changes with its messages."""
    written = io.BytesIO()
    write_po(written, catalogue, width=110, sort_by_file=True, omit_header=True, include_lineno=False)
    plurals = Catalog(locale=Locale.parse(language)).plural_forms
    return HEADER.format(language=language, plurals=plurals) + written.getvalue().decode().strip() + "\n"


def translated(message: object) -> bool:
    """Whether every form of a message has a translation."""
    return all(message.string) if message.pluralizable else bool(message.string)


def placeholders(message: str) -> set[str]:
    """The names in braces that are filled in."""
    return set(re.findall(r"\{([a-z_]+)\}", message))


if __name__ == "__main__":
    run(main)
