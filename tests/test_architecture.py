"""The library's packages import in one direction, without circles; who may import whom is written here."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent / "scripts" / "convlab"

ORDER = (
    *("errors", "common", "runtime", "datasets", "models", "training", "probes: settings", "study", "statistics"),
    *("evaluation", "language", "results", "states", "findings", "serving", "cloud", "figures", "probes", "paper"),
    *("page", "notebook", "archive"),
)
"""From the lowest level up: none imports one that comes later. A level is a package; ``probes`` has two: the config is
parsed with the settings of a probe, while its table, figure and findings are made of what lies above the config."""

SETTINGS_OF_PROBES = re.compile(r"probes|probes\.registry|probes\.specs|probes\.\w+\.settings")
"""What of ``probes`` is parsed with the config: registry, base class and each probe's settings."""


def level(module: str) -> str:
    """The level of a module."""
    return "probes: settings" if SETTINGS_OF_PROBES.fullmatch(module) else module.split(".")[0]


@cache
def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name below ``convlab``."""
    files = (path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): LIBRARY / path for path in files}


def imported_by(node: ast.AST) -> set[str]:
    """Modules that an import names, and what it takes from them; nothing for any other node."""
    if isinstance(node, ast.ImportFrom) and node.module:
        return {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()


@cache
def imports(path: Path) -> set[str]:
    """Modules of the library that one imports, inside of functions too."""
    names = {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in imported_by(node)}
    inside = {name.removeprefix("convlab.") for name in names if name.startswith("convlab.")}
    return inside & modules().keys()


def test_every_package_has_its_level():
    assert {level(name) for name in modules()} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("module", sorted(modules().keys() - {"__init__"}))
def test_no_module_imports_a_higher_package(module):
    own = ORDER.index(level(module))
    assert [name for name in imports(modules()[module]) if ORDER.index(level(name)) > own] == []


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: imports(path) - {name} for name, path in modules().items()}
    while free := [name for name, needed in waiting.items() if not needed & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert waiting == {}


TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.stem)
def test_tests_share_builders_and_import_nothing_from_one_another(path):
    names = {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in imported_by(node)}
    assert {name for name in names if name.split(".")[0] == "conftest" or name.startswith("test_")} == set()


@pytest.mark.parametrize("module", sorted(name for name in modules() if name.startswith("statistics.")))
def test_statistics_give_numbers_and_no_text(module):
    assert "common.i18n" not in imports(modules()[module])
