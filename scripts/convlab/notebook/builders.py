"""Functions that build a study's models with Keras, as code: one for each model, with the factors as parameters.

The levels of an experiment differ from its base in some arguments of some layers. Where these follow from the factor's
value, one function has it as a parameter (``build_cnn(kernel_size=5)``). A level with other layers, such as another
depth, has another function.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convlab.models.registry import family_of
from convlab.notebook.keras_double import Argument, Call, Code, KerasDouble, argument_code, literal
from convlab.notebook.own_code import calls_of_own_code
from convlab.study.variants import Variant
from convlab.training.network import assembled

LINE_LENGTH = 100
"""Columns of a line of code, as wide as a cell shows without scrolling."""

Slot = tuple[int, int]
"""Position of a call in a model's function, and of an argument in that call."""


@dataclass(frozen=True)
class Builder:
    """A function that builds one model or several variants of it: its name, its code, and what calls it for each
    variant, such as ``build_cnn`` or ``partial(build_cnn, kernel_size=5)``."""

    name: str
    variant: str
    code: str
    calls: Mapping[str, str]


def calls_of(variant: Variant, input_shape: Sequence[int], classes: int, keras: Any) -> tuple[tuple[Call, ...], bool]:
    """What Keras is asked for when a variant is built, and whether layers of it draw random numbers while training.

    Raises UserError for what cannot be written as code.
    """
    precision, augmentation = variant.training.precision, variant.training.augmentation
    keras.config.set_dtype_policy(precision)
    double, family = KerasDouble(keras), family_of(variant.model)
    if family.model is None:
        model = assembled(variant.model, tuple(input_shape), classes, double, augmentation)
        calls = double.calls
    else:
        calls = calls_of_own_code(variant, tuple(input_shape), classes)
        model = assembled(variant.model, tuple(input_shape), classes, keras, augmentation)
    variables = [variable for layer in model.layers for variable in layer.variables]
    draws = any(variable.name == "seed_generator_state" for variable in variables)
    return tuple(_tidied(call, precision == "float32") for call in calls), draws


def _tidied(call: Call, plain: bool) -> Call:
    """A call with its layer's name last, and without float32 where all is ``plain`` float32."""
    kept = [a for a in call.arguments if not (plain and a.name == "dtype" and a.value == "float32")]
    kept.sort(key=lambda argument: argument.name == "name")
    return replace(call, arguments=tuple(kept))


def builders(
    base: Variant,
    others: Sequence[Variant],
    calls: Mapping[str, tuple[Call, ...]],
    functions: Mapping[str, str],
) -> list[Builder]:
    """The functions of a model and of its variants, the model's own first.

    Args:
        calls: of each variant by its name, from :func:`calls_of`.
        functions: their names by variant, from :func:`function_names`.
    """
    overrides = {variant.name: _overrides(base, variant) for variant in others}
    parameters: dict[str, Any] = {}
    slots: dict[Slot, str] = {}
    for factor in dict.fromkeys(name for names in overrides.values() for name in names):
        alone = [variant for variant in others if set(overrides[variant.name]) == {factor}]
        values = {variant.name: variant.model.factor_value(factor) for variant in (base, *alone)}
        expressed = _expressed(factor, values, {name: calls[name] for name in values})
        if expressed is not None and not set(expressed) & set(slots):
            parameters[factor] = _short(values[base.name], values.values())
            slots |= expressed
    of_base = functions[base.name]
    shared, own = {base.name: of_base}, []
    for variant in others:
        levels = {factor: variant.model.factor_value(factor) for factor in overrides[variant.name]}
        given = {factor: _shortened(levels[factor], parameters[factor]) for factor in levels if factor in parameters}
        if len(given) == len(levels) and _filled(calls[base.name], slots, parameters | given) == calls[variant.name]:
            arguments = "".join(f", {factor}={literal(value)}" for factor, value in given.items())
            shared[variant.name] = f"partial({of_base}{arguments})" if arguments else of_base
        else:
            own.append(variant)
    used = {factor for name in shared for factor in overrides.get(name, ())}
    kept = {slot: text for slot, text in slots.items() if text.partition("[")[0] in used}
    parameters = {factor: value for factor, value in parameters.items() if factor in used}
    code = function_code(of_base, parameters, kept, calls[base.name])
    made = [Builder(of_base, base.name, code, shared)]
    for variant in own:
        name = functions[variant.name]
        made.append(Builder(name, variant.name, function_code(name, {}, {}, calls[variant.name]), {variant.name: name}))
    return made


def function_names(variants: Iterable[str]) -> dict[str, str]:
    """``build_cnn``: names of the functions that build variants; of ``a-b`` and ``a_b`` the second is numbered."""
    names: dict[str, str] = {}
    for variant in variants:
        name = start = f"build_{re.sub(r'[^0-9A-Za-z]+', '_', variant)}"
        number = 1
        while name in names.values():
            number += 1
            name = f"{start}_{number}"
        names[variant] = name
    return names


def _overrides(base: Variant, variant: Variant) -> tuple[str, ...]:
    """Fields of the model in which a variant differs from its base."""
    return tuple(
        name for name in sorted(base.model.factors) if base.model.factor_value(name) != variant.model.factor_value(name)
    )


def _short(value: Any, values: Iterable[Any]) -> Any:
    """One value for all layers where all of ``values`` are such, else ``value`` as it is."""
    uniform = all(isinstance(v, tuple) and len(set(v)) == 1 for v in values)
    return value[0] if uniform else value


def _shortened(value: Any, like: Any) -> Any:
    """A value written as ``like`` is: one for all layers, or a list."""
    return value[0] if isinstance(value, tuple) and not isinstance(like, tuple) and len(set(value)) == 1 else value


def _expressed(factor: str, values: Mapping[str, Any], calls: Mapping[str, tuple[Call, ...]]) -> dict[Slot, str] | None:
    """Where the value of a factor stands in the calls, as an expression of it; None where that does not say it all.

    Args:
        values: of the factor by variant, the base first.
    """
    base = next(iter(calls))
    if any([call.shape for call in calls[name]] != [call.shape for call in calls[base]] for name in calls):
        return None
    short = {name: _short(value, values.values()) for name, value in values.items()}
    slots = {}
    for position, call in enumerate(calls[base]):
        for number in range(len(call.arguments)):
            written = {name: calls[name][position].arguments[number].value for name in calls}
            if len(set(map(repr, written.values()))) == 1:
                continue
            expressions = {factor: short}
            if isinstance(short[base], tuple):
                for index in range(min(map(len, short.values()))):
                    expressions[f"{factor}[{index}]"] = {name: value[index] for name, value in short.items()}
            fitting = [text for text, value in expressions.items() if value == written]
            if not fitting:
                return None
            # Of a list, the first layer that differs has the first value that fits, the next one the next.
            slots[position, number] = fitting[min(len(slots), len(fitting) - 1)]
    return slots or None


def _filled(calls: tuple[Call, ...], slots: Mapping[Slot, str], values: Mapping[str, Any]) -> tuple[Call, ...]:
    """The calls with the values of the parameters in their slots."""
    filled = []
    for position, call in enumerate(calls):
        arguments = list(call.arguments)
        for number, argument in enumerate(arguments):
            if text := slots.get((position, number)):
                factor, _, index = text.partition("[")
                value = values[factor][int(index[:-1])] if index else values[factor]
                arguments[number] = Argument(argument.name, argument.by_position, value, argument.default)
        filled.append(replace(call, arguments=tuple(arguments)))
    return tuple(filled)


def function_code(name: str, parameters: Mapping[str, Any], slots: Mapping[Slot, str], calls: Sequence[Call]) -> str:
    """A function that builds a model, as code; what each layer takes is called ``x`` where nothing else takes it."""
    names = _variables(calls)
    lines = [f"def {name}({', '.join(f'{key}={literal(value)}' for key, value in parameters.items())}):"]
    for position, call in enumerate(calls):
        arguments = []
        for number, argument in enumerate(call.arguments):
            text = slots.get((position, number))
            value = argument.value if text is None else Code(text)
            if call.callee == "keras.Model":
                value = Code(_renamed(value.text, names))
            arguments.append(Argument(argument.name, argument.by_position, value, argument.default))
        written = [argument_code(a) for a in arguments if a.by_position or not a.is_default]
        before = "return" if call.callee == "keras.Model" else f"{names[call.result]} =" if call.result else ""
        after = "" if call.inputs is None else f"({_renamed(call.inputs.text, names)})"
        start = f"    {before} {call.callee}" if before else f"    {call.callee}"
        if call.is_made or (not arguments and "=" in before and call.inputs is None):
            lines.append(f"{start}{after}")
        else:
            lines += _statement(start, written, after)
    return "\n".join(lines)


def _variables(calls: Sequence[Call]) -> dict[str, str]:
    """The variable of each call's result: ``x``, or its own name where a later call than the next one takes it."""
    names: dict[str, str] = {}
    for position, call in enumerate(calls):
        later = [other for other in calls[position + 2 :] if call.result in _results_in(other)]
        own = call.inputs is None or later
        names[call.result] = call.result if own else "x"
    return names


def _results_in(call: Call) -> set[str]:
    """Results of earlier calls that a call takes."""
    texts = [call.inputs.text] if call.inputs else []
    texts += [call.callee] if call.is_made else []
    texts += [argument.value.text for argument in call.arguments if isinstance(argument.value, Code)]
    return set(re.findall(r"\w+", " ".join(texts)))


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Code with results under the names of their variables."""
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), text)


def _statement(start: str, arguments: Sequence[str], end: str) -> list[str]:
    """``start(arguments)end`` on a line; where that would be too long, its arguments on the next line or on several."""
    line = f"{start}({', '.join(arguments)}){end}"
    if len(line) <= LINE_LENGTH:
        return [line]
    indent = " " * (len(start) - len(start.lstrip()))
    inner = [f"{indent}    {', '.join(arguments)}"]
    if len(inner[0]) > LINE_LENGTH:
        inner = [f"{indent}    {argument}," for argument in arguments]
    return [f"{start}(", *inner, f"{indent}){end}"]
