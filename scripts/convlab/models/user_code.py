"""A user's own Python file: its text and checksums, the parameters of its functions, and how it is imported.

The file and the modules beside it that it imports, directly or not, are one unit, known by content: they are read once,
compared with the checksums of the run's spec, and executed from memory, so that what runs is what was recorded.
Standard library only, and no code of the user's is run to parse a config.
"""

import ast
import hashlib
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from types import CodeType, ModuleType
from typing import Any

from convlab.errors import UserError

MODULE = "convlab_user_model"
"""Name under which the user's file is imported: no file beside it has that name by chance."""

PACKAGE = "convlab_user_files"
"""Package that the user's file belongs to, so that ``from .blocks import x`` finds what is beside it."""

NO_FILES_OF_KERAS = os.devnull
"""Beginning of the paths below which Keras would keep what it fetches (``KERAS_HOME``)."""

BOLD = re.compile(r"\x1b\[[0-9;]*m")
"""What makes letters bold or coloured in a terminal, as Keras' messages have it."""

MAX_BYTES = 10**6
"""Bytes of the file and what it imports beside it at most: every run keeps them."""

MAX_MESSAGE_CHARS = 600
"""Characters of an exception's message that are shown."""


@dataclass(frozen=True)
class Parameters:
    """Parameters of a function, as written in its ``def``.

    Attributes:
        positional: names of those that may be given by position.
        names: of all that may be given by name.
        required: of ``names``, those without a default.
        defaults: values of the defaults that are literals, by name.
        open: whether it also takes names that it does not list (``**kwargs``).
    """

    positional: tuple[str, ...]
    names: tuple[str, ...]
    required: tuple[str, ...]
    defaults: Mapping[str, Any]
    open: bool


@dataclass(frozen=True)
class UserCode:
    """A user's file and what it imports beside it.

    Attributes:
        file: name of the file.
        texts: text of each file, by path below the folder of ``file``.
        folder: where they are, for messages; empty where they come from a run's record.
    """

    file: str
    texts: Mapping[str, str]
    folder: str = ""

    @classmethod
    def read(cls, path: Path) -> "UserCode":
        """Read a file and, by its imports, the modules beside it. Raises ValueError, a clause that names the file."""
        texts: dict[str, str] = {}
        waiting = [path.name]
        while waiting:
            name = waiting.pop()
            if name not in texts:
                texts[name] = _text(path.parent / name)
                waiting += _imported(_parsed(texts[name], str(path.parent / name)), name, path.parent)
        if sum(map(len, texts.values())) > MAX_BYTES:
            raise ValueError(
                f"has with {path} {len(texts)} files of more than {MAX_BYTES:,} bytes together, which every run would "
                "keep; import less from beside it"
            )
        return cls(path.name, dict(sorted(texts.items())), str(path.parent))

    @classmethod
    def of_run(cls, record: Mapping[str, Any]) -> "UserCode | None":
        """The code with which a run was made, from its ``run.json``; None where that is convlab's alone.

        Raises UserError if it is not what the run's spec names.
        """
        if "sources" not in record:
            return None
        model = record["spec"]["model"]
        return cls(model["file"], record["sources"]).checked(model["code"]["sha256"])

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of each file's content, by path below the folder."""
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.texts.items()}

    def checked(self, expected: Mapping[str, str]) -> "UserCode":
        """This code. Raises UserError, which names the first file, if its checksums are not the expected ones."""
        edited = sorted(name for name, _ in self.sha256.items() ^ dict(expected).items())
        if edited:
            raise UserError(
                f"{self.shown(edited[0])} was edited after this job was planned; run the same command again, which "
                "trains its models with the new code"
            )
        return self

    def shown(self, name: str) -> str:
        """A file as messages name it."""
        return str(Path(self.folder) / name)

    def parameters(self, function: str) -> Parameters | None:
        """Parameters of a function of the file; None where they cannot be told: it is imported, assigned or decorated.

        Raises KeyError if the file has no such name.
        """
        tree = _parsed(self.texts[self.file], self.shown(self.file))
        for node in reversed(list(_statements(tree.body))):
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return None if node.decorator_list else _parameters(node.args)
            if {function, "*"} & _bound(node):
                return None
        raise KeyError(function)

    def functions(self) -> list[str]:
        """Names of the functions of the file."""
        tree = _parsed(self.texts[self.file], self.shown(self.file))
        return [node.name for node in _statements(tree.body) if isinstance(node, ast.FunctionDef)]

    @contextmanager
    def importing(self) -> Iterator[ModuleType]:
        """Import the file; while the block lasts, what is beside it can be imported too, and comes before all else.

        Afterwards none of these modules is in ``sys.modules``. What the user's code raises, here or in the block, ends
        as a UserError with the frames of its own files. It sees no arguments of convlab's command line.
        """
        before, command_line = dict(sys.modules), sys.argv
        finder = _Finder(self)
        sys.meta_path.insert(0, finder)
        for name in before:
            if name.partition(".")[0] in self._hidden:
                del sys.modules[name]
        sys.argv = [self.shown(self.file)]
        try:
            yield finder.load(MODULE, self.file)
        except (Exception, SystemExit) as error:
            raise self.explained(error) from None
        finally:
            sys.argv = command_line
            sys.meta_path.remove(finder)
            for name in finder.loaded:
                sys.modules.pop(name, None)
            sys.modules.update({name: before[name] for name in before.keys() - sys.modules.keys()})

    @property
    def _hidden(self) -> set[str]:
        """Names of modules beside the file that come before installed ones, which may have been imported already.

        A file ``keras.py`` that imports keras means the installed one.
        """
        return {name.partition("/")[0].removesuffix(".py") for name in self.texts} - {self.file.removesuffix(".py")}

    def frames(self, error: BaseException) -> list[traceback.FrameSummary]:
        """The frames of an exception's traceback that are in the user's files."""
        own = {self.shown(name) for name in self.texts}
        return [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]

    def explained(self, error: BaseException) -> UserError:
        """An exception of the user's code as an error for people: what it says, and the frames of the user's files."""
        if isinstance(error, UserError):
            return error
        message = BOLD.sub("", str(error)).strip()
        if len(message) > MAX_MESSAGE_CHARS:
            message = f"{message[:MAX_MESSAGE_CHARS]}..."
        lines = [
            f"  {frame.filename}, line {frame.lineno}, in {frame.name}\n    {frame.line}"
            for frame in self.frames(error)
        ]
        if isinstance(error, SyntaxError):
            lines.append(f"  {error.filename}, line {error.lineno}\n    {(error.text or '').strip()}")
            message = error.msg
        hint = ""
        if isinstance(error, SystemExit):
            hint = (
                "; put what ends the program, such as the reading of a command line, below if __name__ == '__main__':"
            )
        elif isinstance(error, ModuleNotFoundError) and error.name:
            hint = f"; install {error.name.split('.')[0]}, or put the module beside the file"
        elif isinstance(error, ImportError) and "beyond top-level package" in message:
            hint = "; only what is beside the file and below can be imported, so put the module there"
        elif isinstance(error, OSError) and NO_FILES_OF_KERAS in message:
            hint = (
                "; nothing is fetched while a model is built, so fetch the file beforehand and name its path "
                "(weights='/path/to/weights.h5')"
            )
        headline = f"{self.shown(self.file)} ended with {type(error).__name__}{message and f': {message}'}{hint}"
        return UserError("\n".join([headline, *lines]))


class _Finder(MetaPathFinder, Loader):
    """Finds and loads modules among the texts of a ``UserCode``.

    Attributes:
        loaded: names of the modules that were made.
    """

    def __init__(self, code: UserCode) -> None:
        self.code, self.loaded = code, []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname == PACKAGE:
            return ModuleSpec(fullname, self, is_package=True)
        stem = fullname.removeprefix(f"{PACKAGE}.").replace(".", "/")
        for name, is_package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            if name in self.code.texts:
                return ModuleSpec(fullname, self, origin=name, is_package=is_package)
        if any(name.startswith(f"{stem}/") for name in self.code.texts):  # a folder without __init__.py
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        self.loaded.append(module.__name__)
        if module.__spec__ is not None and module.__spec__.origin is not None:
            self.run(module, module.__spec__.origin)

    def load(self, module_name: str, file: str) -> ModuleType:
        """A module of one of the files under another name."""
        module = ModuleType(module_name)
        module.__package__ = PACKAGE
        self.loaded.append(module_name)
        sys.modules[module_name] = module
        self.run(module, file)
        return module

    def run(self, module: ModuleType, file: str) -> None:
        """Execute a file's text in a module."""
        shown, text = self.code.shown(file), self.code.texts[file]
        linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)  # for tracebacks
        module.__file__ = shown
        compiled: CodeType = compile(text, shown, "exec", dont_inherit=True)
        exec(compiled, module.__dict__)  # noqa: S102, the user's own code, as importing it would


def _text(path: Path) -> str:
    """Text of a Python file. Raises ValueError, a clause that names it."""
    if path.suffix == ".ipynb":
        raise ValueError(f"names the file {path}, which is a notebook; copy its function into a .py file")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        where = "does not exist" if path.is_absolute() else f"is not in {Path.cwd()}"
        raise ValueError(f"names the file {path}, which {where}; correct the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"names the file {path}, which is not in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ValueError(f"names the file {path}, which cannot be read: {error.strerror}") from None


def _parsed(text: str, shown: str) -> ast.Module:
    """Syntax tree of a file. Raises ValueError, a clause that names its line, if it is not valid Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, reason = getattr(error, "lineno", None), getattr(error, "msg", error)
        where = f", line {line}," if line else ""
        raise ValueError(f"names the file {shown}, which{where} is not valid Python: {reason}") from None


def _imported(tree: ast.Module, name: str, folder: Path) -> list[str]:
    """Files below ``folder`` that the file ``name`` imports, each package's ``__init__.py`` included."""
    package = PurePosixPath(name).parent.parts
    modules: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = (*above, *(node.module.split(".") if node.module else ()))
            modules.add(start)
            modules.update((*start, alias.name) for alias in node.names)
    files = set()
    for parts in modules:
        for end in range(1, len(parts) + 1):
            stem = "/".join(parts[:end])
            files.update(file for file in (f"{stem}.py", f"{stem}/__init__.py") if (folder / file).is_file())
    return sorted(files)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, also of its ``if``, ``try`` and ``with`` blocks."""
    for node in body:
        yield node
        for block in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from _statements(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


def _bound(node: ast.stmt) -> set[str]:
    """Names that a statement of a module binds; ``*`` stands for any name. Blocks have statements of their own."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.If | ast.Try | ast.With):
        return set()
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _parameters(arguments: ast.arguments) -> Parameters:
    """Parameters of a function from its syntax tree."""
    by_position = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(
        zip(reversed([argument.arg for argument in by_position]), reversed(arguments.defaults), strict=False)
    )
    defaults |= {
        argument.arg: default
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }
    names = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    return Parameters(
        tuple(argument.arg for argument in by_position),
        tuple(names),
        tuple(name for name in names if name not in defaults),
        {name: value for name, default in defaults.items() if (value := _literal(default)) is not ...},
        arguments.kwarg is not None,
    )


def _literal(node: ast.expr) -> Any:
    """Value of a literal; ``...`` for any other expression."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ...
