"""Models of a user's own Keras code in a notebook: their file is a cell, and its function is called."""

import ast
import builtins
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from convlab.common.text import listing
from convlab.errors import UserError
from convlab.models.registry import family_of
from convlab.notebook.cells import Cells
from convlab.notebook.keras_double import Argument, Call, Code, literal
from convlab.study.variants import Variant
from convlab.training.network import INPUT, OWN_MODEL

OWN_SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
"""Syntax that has names of its own."""


def calls_of_own_code(variant: Variant, input_shape: tuple[int, ...], classes: int) -> list[Call]:
    """What builds a model of the user's own code around the function in their file, as ``training.network`` does.

    Raises UserError for what a notebook cannot hold: several files, or augmentation by layers before the function.
    """
    key, augmentation = f"models.{variant.base}", variant.training.augmentation
    function_of = family_of(variant.model).own_function
    if function_of is None:
        raise UserError(f"{key}.family is {variant.model.family}, whose models cannot be written into a notebook")
    if len(variant.model.sources) != 1:
        names = listing(variant.model.sources)
        raise UserError(f"{key} is built by {names}, and a notebook holds one file; put them into one")
    if augmentation is not None and augmentation.changes:
        raise UserError(f"{key} is own code with training.augmentation, which cannot be written into a notebook yet")
    function, arguments = function_of(variant.model)
    given = [_first(input_shape), _first(classes), *(_named(name, value) for name, value in arguments.items())]
    return [
        Call(INPUT, "keras.Input", (_first(input_shape), _named("dtype", "uint8"), _named("name", INPUT))),
        Call("rescale", "layers.Rescaling", (_first(1), *_float32("rescale")), Code(INPUT)),
        # As the family does, so that a seed that the file sets while it is read has no effect.
        Call("", "keras.utils.set_random_seed", (_first(Code("random.getrandbits(32)")),)),
        Call(OWN_MODEL, function, tuple(given)),
        Call(f"{OWN_MODEL}.name", literal(OWN_MODEL), ()),
        Call("probabilities", "layers.Activation", (_first("linear"), *_float32("probabilities")), _applied("rescale")),
        Call("model", "keras.Model", (_first(Code(INPUT)), _first(Code("probabilities")))),
    ]


def _applied(result: str) -> Code:
    """The user's model applied to a result."""
    return Code(f"{OWN_MODEL}({result})")


def _first(value: Any) -> Argument:
    """An argument by position."""
    return Argument("", True, value)


def _named(name: str, value: Any) -> Argument:
    """An argument by name; a list as a list is written."""
    written = Code(f"[{', '.join(literal(item) for item in value)}]") if isinstance(value, list) else value
    return Argument(name, False, written)


def _float32(name: str) -> tuple[Argument, Argument]:
    """Type and name of a layer that computes in float32 whatever the others do."""
    return _named("dtype", "float32"), _named("name", name)


def as_cells(sources: Mapping[str, str]) -> list[str]:
    """The user's files as cells hold them: without what is below ``if __name__ == "__main__":``, which a kernel runs.

    Raises UserError for a file that reads ``__file__``, which a notebook does not have.
    """
    return [_without_main_block(name, text) for name, text in sources.items()]


def _without_main_block(name: str, text: str) -> str:
    """Text of a file without its blocks for when it is run as a program."""
    tree = ast.parse(text)
    blocks = [node for node in tree.body if isinstance(node, ast.If) and _asks_for_main(node.test)]
    if any(block.orelse for block in blocks):
        raise UserError(
            f"{name} has an else to if __name__ == '__main__', which a notebook cannot hold; remove the else"
        )
    kept = [node for statement in tree.body if statement not in blocks for node in ast.walk(statement)]
    if any(isinstance(node, ast.Name) and node.id == "__file__" for node in kept):
        raise UserError(f"{name} uses __file__, which a notebook does not have; remove it, and run the study again")
    lines = list(io.StringIO(text, newline=""))
    for block in reversed(blocks):
        del lines[block.lineno - 1 : block.end_lineno]
    return "".join(lines)


def _asks_for_main(test: ast.expr) -> bool:
    """Whether a condition is ``__name__ == "__main__"``, either way round."""
    if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, *test.comparators)
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    return names == {"__name__"} and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)


def refuse_clashes(cells: Cells, sources: Collection[str]) -> None:
    """Raise UserError where a user's own file gives a name another meaning than another cell of the notebook does."""
    code = [text for kind, text in cells.cells if kind == "code"]
    trimmed = {source.strip("\n").rstrip() for source in sources}
    own = [text for text in code if text in trimmed]
    others = "\n".join(text for text in code if text not in own)
    meanings = dict.fromkeys(_builtins_in(others), "") | _meanings(others)
    for text in own:
        mine = _meanings(text)
        if not mine.get("*", "keras").startswith("keras"):
            raise UserError(
                f"your own file imports * from {mine['*']}, which may replace names of the notebook; import by name"
            )
        clashing = [name for name in mine.keys() & meanings.keys() if not mine[name] or mine[name] != meanings[name]]
        if clashing:
            raise UserError(
                f"your own file defines {listing(sorted(clashing))}, and so does another cell of the notebook; rename "
                "what is yours"
            )
        meanings |= mine


def _builtins_in(code: str) -> set[str]:
    """Names of Python's own that code uses."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)} & set(dir(builtins))


def _meanings(code: str) -> dict[str, str]:
    """Names that code binds outside of functions, with the dotted name of what is imported, empty for all else.

    ``*`` has the module from which all is imported.
    """
    meanings: dict[str, str] = {}
    for node in _outside_of_functions(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                meanings[alias.asname or first] = _of_keras(alias.name if alias.asname else first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = "" if alias.name == "*" else f".{alias.name}"
                meanings[alias.asname or alias.name] = _of_keras(f"{node.module or ''}{name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            meanings[node.name] = ""
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            meanings[node.targets[0].id] = _dotted(node.value, meanings)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            meanings.setdefault(node.id, "")
    return meanings


def _outside_of_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below a node, but not those inside of functions, classes and comprehensions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, OWN_SCOPES):
            yield from _outside_of_functions(child)


def _dotted(value: ast.expr, meanings: Mapping[str, str]) -> str:
    """The dotted name that an expression such as ``keras.layers`` stands for; empty for any other."""
    if isinstance(value, ast.Name):
        return meanings.get(value.id, "")
    if isinstance(value, ast.Attribute) and (module := _dotted(value.value, meanings)):
        return _of_keras(f"{module}.{value.attr}")
    return ""


def _of_keras(name: str) -> str:
    """A dotted name; what TensorFlow has of Keras under Keras' own name."""
    return re.sub(r"^tensorflow\.keras\b", "keras", name)
