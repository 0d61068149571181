"""A double of Keras that builds a model and writes down which calls built it, so that they can be written as code.

Families get Keras handed in (``models/registry.py``); given this double they say, call by call, what a notebook writes
out. So every family of layers has a form in a notebook, and that makes the same layers in the same order: Keras draws
initial weights in the order in which layers are made.
"""

import inspect
import json
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convlab.errors import UserError

RECORDED = ("initializers", "regularizers", "constraints")
"""Namespaces of Keras whose objects may be arguments of layers."""


@dataclass(frozen=True)
class Code:
    """A piece of Python, as it is written."""

    text: str


@dataclass(frozen=True)
class Argument:
    """An argument of a call: its name, whether it was given by position, its value, and the default that it has."""

    name: str
    by_position: bool
    value: Any
    default: Any = inspect.Parameter.empty

    @property
    def is_default(self) -> bool:
        """Whether leaving it out changes nothing. Keras takes one number for all axes."""
        if isinstance(self.default, tuple) and self.default and not isinstance(self.value, tuple):
            return all(value == self.value for value in self.default)
        return self.value == self.default


@dataclass(frozen=True)
class Call:
    """A statement ``result = callee(arguments)(inputs)``; without ``inputs`` it is ``result = callee(arguments)``.

    ``is_made``: the callee is a layer that an earlier statement made, and the statement is ``result = callee(inputs)``.
    """

    result: str
    callee: str
    arguments: tuple[Argument, ...]
    inputs: Code | None = None
    is_made: bool = False

    @property
    def shape(self) -> tuple[Any, ...]:
        """All of it but the values of its arguments: equal for calls that differ in values only."""
        return self.result, self.callee, tuple(a.name for a in self.arguments), self.inputs, self.is_made


@dataclass
class KerasDouble:
    """Stands for the module ``keras`` while a model is built; ``calls`` has what was built, in that order.

    Tensors are Keras' own, so that families can ask for their shapes.
    """

    keras: Any
    calls: list[Call] = field(default_factory=list)
    _made: list[tuple[Any, Code]] = field(default_factory=list)
    """Tensors and objects with the code that stands for them; kept, so that no other object gets their identity."""

    @property
    def layers(self) -> "_Namespace":
        return _Namespace(self, "layers", self.keras.layers)

    def __getattr__(self, name: str) -> Any:
        if name in RECORDED:
            return _Namespace(self, f"keras.{name}", getattr(self.keras, name))
        raise UserError(f"the notebook cannot write down keras.{name}, which this family of models uses")

    def Input(self, *arguments: Any, **options: Any) -> Any:
        tensor = self.keras.Input(*arguments, **options)
        name = self.result(options["name"])
        self.calls.append(Call(name, "keras.Input", self.arguments(self.keras.Input, arguments, options)))
        return self.remember(tensor, Code(name))

    def Model(self, inputs: Any, outputs: Any, **options: Any) -> Any:
        model = self.keras.Model(inputs, outputs, **options)
        values = (Argument("inputs", True, self.code(inputs)), Argument("outputs", True, self.code(outputs)))
        self.calls.append(Call("model", "keras.Model", values))
        return model

    def remember(self, made: Any, code: Code) -> Any:
        """``made``, for which ``code`` stands from now on."""
        self._made.append((made, code))
        return made

    def code(self, value: Any) -> Any:
        """A value with the code that stands for it in the place of tensors and objects, inside of lists too."""
        if isinstance(value, list | tuple):
            items = [self.code(item) for item in value]
            if any(isinstance(item, Code) for item in items):
                return Code(f"[{', '.join(literal(item) for item in items)}]")
            return tuple(items)
        return next((code for made, code in reversed(self._made) if made is value), value)

    def arguments(self, callee: Any, values: tuple, options: Mapping[str, Any]) -> tuple[Argument, ...]:
        """The arguments of a call by name, with their defaults."""
        signature = inspect.signature(callee.__init__ if inspect.isclass(callee) else callee)
        parameters = {name: p for name, p in signature.parameters.items() if name != "self"}
        names = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
        given = [(names[position], True, value) for position, value in enumerate(values)]
        given += [(name, False, value) for name, value in options.items()]
        return tuple(
            Argument(
                name,
                by_position,
                self.code(value),
                parameters[name].default if name in parameters else _inherited_default(name),
            )
            for name, by_position, value in given
        )

    def result(self, name: str) -> str:
        """A name for what a layer gives; a second one of the same name is numbered."""
        name = name if name.isidentifier() and not keyword.iskeyword(name) else f"layer_{len(self.calls)}"
        taken = {call.result for call in self.calls}
        return name if name not in taken else f"{name}_{len(self.calls)}"


def _inherited_default(name: str) -> Any:
    """Default of an argument that layers hand on to Keras' base class."""
    return None if name == "dtype" else inspect.Parameter.empty


@dataclass
class _Namespace:
    """``keras.layers``, or another namespace of Keras: calls of its classes are written down."""

    double: KerasDouble
    path: str
    module: Any

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.module, name)

        def make(*arguments: Any, **options: Any) -> Any:
            made, values = real(*arguments, **options), self.double.arguments(real, arguments, options)
            callee = f"{self.path}.{name}"
            if self.path == "layers":
                layer = _Layer(self.double, made, callee, values, len(self.double.calls))
                self.double.calls.append(Call(f"{self.double.result(made.name)}_layer", callee, values))
                return layer
            written = ", ".join(argument_code(argument) for argument in values if not argument.is_default)
            return self.double.remember(made, Code(f"{callee}({written})"))

        return make


@dataclass
class _Layer:
    """A layer that has been made, at a position of the calls; calling it writes down the statement.

    Layers that were made before it is called drew their seeds after it did, so that it stays a statement by itself.
    """

    double: KerasDouble
    layer: Any
    callee: str
    values: tuple[Argument, ...]
    position: int

    def __call__(self, *inputs: Any) -> Any:
        calls, written = self.double.calls, Code(", ".join(literal(self.double.code(value)) for value in inputs))
        tensor = self.layer(*inputs)
        if self.position == len(calls) - 1 and not calls[-1].inputs:
            calls.pop()
            name = self.double.result(self.layer.name)
            calls.append(Call(name, self.callee, self.values, written))
        else:
            name = self.double.result(self.layer.name)
            calls.append(Call(name, calls[self.position].result, (), written, is_made=True))
        return self.double.remember(tensor, Code(name))


def argument_code(argument: Argument) -> str:
    """An argument as it is written in a call."""
    value = literal(argument.value)
    return value if argument.by_position else f"{argument.name}={value}"


def literal(value: Any) -> str:
    """A value as Python code. Raises UserError for a value that has none."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, tuple):
        items = ", ".join(literal(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # which Python reads as the same text
    if isinstance(value, float):
        return _fraction(value)
    if value is None or isinstance(value, bool | int):
        return repr(value)
    raise UserError(f"the notebook cannot write down the {type(value).__name__} that this family of models makes")


def _fraction(value: float) -> str:
    """A number as ``1 / 255`` where that is shorter and the same."""
    inverse = round(1 / value) if value else 0
    short = f"1 / {inverse}"
    return short if inverse > 1 and 1 / inverse == value and len(short) < len(repr(value)) else repr(value)
