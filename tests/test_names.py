"""Names that say nothing are not used: what a name holds should be readable where it is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BANNED = frozenset({"found", "place", "said", "one", "about"})
"""A name says what it holds: a message, a folder, a position in a list, a key of the config ..."""


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each local, loop variable, argument, function, class and alias; fields are no such names."""
    fields = {
        statement.target
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if node not in fields:
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def banned_names(source: str) -> list[tuple[int, str]]:
    return [(line, name) for line, name in bound_names(ast.parse(source)) if name in BANNED]


FOLDERS = ("scripts", "tests", "benchmarks")
FILES = sorted(path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_every_name_says_what_it_holds(file):
    assert not banned_names((ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "found: int = 1",
        "place, other = 1, 2",
        "for one in range(3): pass",
        "[said for said in range(3)]",
        "if (found := 1): pass",
        "def f(about): pass",
        "def f(*, about=1): pass",
        "lambda place: 1",
        "def place(): pass",
        "async def said(): pass",
        "class one: pass",
        "import os as place",
        "with open('x') as found: pass",
        "try: pass\nexcept OSError as said: pass",
        "match 1:\n    case one: pass",
        "match [1]:\n    case [*found]: pass",
    ],
)
def test_a_banned_name_is_noticed_however_it_is_bound(source):
    assert banned_names(source)


def test_keys_and_fields_of_records_are_no_names_of_ours():
    assert not banned_names('class Reply:\n    about: dict\n\nf(about=1)["found"] = reply.place\n')
