"""Models of a user's own Keras code in a notebook: their file is a cell, and its function is called."""

import ast
from collections.abc import Collection
from typing import Any

from convlab.common.text import listing
from convlab.errors import UserError
from convlab.models.registry import family_of
from convlab.notebook.cells import Cells
from convlab.notebook.keras_double import Argument, Call, Code, literal
from convlab.study.variants import Variant
from convlab.training.network import INPUT, OWN_MODEL


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


def refuse_clashes(cells: Cells, sources: Collection[str]) -> None:
    """Raise UserError where a user's own file defines a name that another cell of the notebook defines as well."""
    code = [text for kind, text in cells.cells if kind == "code"]
    trimmed = {source.strip("\n").rstrip() for source in sources}
    own = [text for text in code if text in trimmed]
    others = set().union(*(_defined(text) for text in code if text not in own))
    for number, text in enumerate(own):
        clashing = _defined(text) & others.union(*(_defined(other) for other in own[:number]))
        if clashing:
            raise UserError(
                f"your own file defines {listing(sorted(clashing))}, and so does another cell of the notebook; rename "
                "what is yours"
            )


def _defined(code: str) -> set[str]:
    """Names that the code of a cell defines: functions, classes and variables, no imports."""
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        inner = [part for target in targets if target is not None for part in ast.walk(target)]
        names |= {part.id for part in inner if isinstance(part, ast.Name)}
    return names
