"""Models of a user's own Keras code: a function in a Python file, called with the input shape and the classes.

The file runs as the user's own code, with all that this user may do. What it imports beside it belongs to it.
"""

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from convlab.common.specs import Location, Name, Spec, as_number, normalised
from convlab.common.text import nearest
from convlab.errors import UserError
from convlab.models.registry import Family
from convlab.models.specs import BaseModelSpec
from convlab.models.user_code import Parameters, UserCode

PASSED = ("input_shape", "classes")
"""What the function is given by position: (height, width, channels), and the number of classes."""


class Code(Spec):
    """What convlab read in the file when the config was checked; it fills this in."""

    sha256: dict[str, str] = Field({}, description="SHA-256 of the file and of what it imports beside it.")
    parameters: tuple[str, ...] | None = Field(
        None, description="Arguments that the function takes; absent where any name may be one."
    )


class Python(BaseModelSpec):
    """Your own Keras code: a function that returns a model from raw pixels (0 to 255) to probabilities."""

    family: Literal["python"]
    file: Location = Field(description="Python file, relative to the folder in which Snakemake runs.")
    function: Name = Field("build", description="Its function of (input_shape, classes, **arguments).")
    arguments: dict[Name, Any] = Field(
        {},
        description="Arguments of the function by name: numbers, texts, true, false, null, or lists of these. Each can "
        "be a factor.",
    )
    code: Code = Field(Code(), description="Checksums of the file and what it imports; convlab fills it in.")

    _user_code: UserCode | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _reasons_name_fields(self) -> "Python":
        """Read the file, unless a config that was validated before has its checksums; then check the reasons."""
        arguments = {name: _argument(name, value) for name, value in self.arguments.items()}
        if not self.code.sha256:
            self._unexpanded = {"arguments": arguments, "code": Code()}
            code = UserCode.read(Path(self.file).expanduser())
            parameters = _checked_parameters(code, self.function, arguments)
            names = None
            if parameters is not None:
                defaults = {name: parameters.defaults.get(name, ...) for name in _free(parameters)}
                arguments = {name: value for name, value in defaults.items() if _is_argument(value)} | arguments
                names = None if parameters.open else tuple(_free(parameters))
            self._set(code=Code(sha256=code.sha256, parameters=names))
        self._set(arguments=dict(sorted(arguments.items())))
        for name in self.why:
            if name in ("why", "label") or not (name in type(self).model_fields or self.has_factor(name)):
                raise ValueError(f"why.{name} explains neither a field of a python model nor an argument")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form: the file by its name and content, not by where it lies."""
        identity = super().identity
        return {**identity, "file": Path(self.file).name, "code": {"sha256": dict(self.code.sha256)}}

    def as_written(self, defaults: bool) -> dict[str, Any]:
        """The fields with the arguments' defaults and the checksums, so that nobody needs to read the file again."""
        written = super().as_written(defaults)
        code = self.code.model_dump(mode="json", exclude_none=True)
        return {**written, "arguments": self.arguments, "code": code}

    @property
    def explained_fields(self) -> dict[str, tuple[Any, str]]:
        """File, function, each argument by itself, and the checksums."""
        meanings = {name: field.description or "" for name, field in type(self).model_fields.items()}
        checksums = ", ".join(f"{name} {checksum}" for name, checksum in self.code.sha256.items())
        return {
            **{name: (getattr(self, name), meanings[name]) for name in ("file", "function")},
            **{name: (value, meanings["arguments"]) for name, value in self.arguments.items()},
            "code": (checksums, meanings["code"]),
        }

    @property
    def factors(self) -> set[str]:
        """File, function, and every argument that the function takes."""
        return {"file", "function", *self.arguments, *(self.code.parameters or ())}

    def has_factor(self, name: str) -> bool:
        return name in self.factors

    def factor_value(self, name: str) -> Any:
        return getattr(self, name) if name in ("file", "function") else self.arguments.get(name)

    def canonical_level(self, name: str, value: Any) -> Any:
        return super().canonical_level(name, value) if name in ("file", "function") else _argument(name, value)

    def varied(self, levels: Mapping[str, Any]) -> "Python":
        fields = self.unexpanded
        own = {name: value for name, value in levels.items() if name in ("file", "function")}
        arguments = {name: value for name, value in levels.items() if name not in own}
        return type(self).model_validate({**fields, **own, "arguments": {**fields["arguments"], **arguments}})

    @property
    def sources(self) -> Mapping[str, str]:
        return self.user_code.texts

    def with_sources(self, sources: Mapping[str, str], folder: str = "") -> "Python":
        """A copy that can be built. Raises UserError if the code is not what the config was checked with."""
        copy = self.model_copy()
        copy._user_code = UserCode(Path(self.file).name, sources, folder).checked(self.code.sha256)
        return copy

    def explained(self, error: Exception) -> Exception:
        return self.user_code.explained(error) if self.user_code.frames(error) else error

    @property
    def user_code(self) -> UserCode:
        """The user's files, as ``with_sources`` was given them."""
        if self._user_code is None:
            raise RuntimeError("a model of the user's own code is built after with_sources")
        return self._user_code


def _argument(name: str, value: Any) -> Any:
    """An argument's value in its canonical form. Raises ValueError for what a config cannot hand to a function."""
    if not _is_argument(value):
        raise ValueError(
            f"gives the argument {name} {value!r}; it can be a number, a text, true, false, null, or a list of these"
        )
    if isinstance(value, str) and "e" in value.lower():  # YAML reads 1e-3 as text
        try:
            value = as_number(value)
        except ValueError:
            return value
    return normalised(value)


def _is_argument(value: Any) -> bool:
    """Whether a value can be handed on as JSON: a scalar or a list of scalars."""
    if isinstance(value, list | tuple):
        return all(_is_argument(item) and not isinstance(item, list | tuple) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _free(parameters: Parameters) -> list[str]:
    """Names of a function's arguments beside the two that it is passed."""
    return [name for name in parameters.names if name not in parameters.positional[: len(PASSED)]]


def _checked_parameters(code: UserCode, function: str, arguments: Mapping[str, Any]) -> Parameters | None:
    """Parameters of the function; None where they cannot be told before it is imported.

    Raises ValueError, a clause, for a function that is missing or does not take what it is to be given.
    """
    shown = code.shown(code.file)
    try:
        parameters = code.parameters(function)
    except KeyError:
        known = code.functions()
        there = f"; there are {', '.join(known)}" if known else "; it defines none"
        raise ValueError(
            f"names the function {function}, which {shown} does not define{nearest(function, known)}{there}"
        ) from None
    if parameters is None:
        return None
    if len(parameters.positional) < len(PASSED):
        raise ValueError(
            f"names {function} in {shown}, which takes ({', '.join(parameters.positional)}); it should take "
            f"({', '.join(PASSED)}) and then its arguments"
        )
    free = _free(parameters)
    for name in arguments:
        if name not in free and not parameters.open:
            can = f"it takes {', '.join(free)}" if free else "it takes none"
            raise ValueError(f"gives {function} in {shown} the argument {name!r}{nearest(name, free)}; {can}")
    missing = [name for name in free if name in parameters.required and name not in arguments]
    if missing:
        raise ValueError(f"gives {function} in {shown} no {missing[0]}, which it needs; add it to arguments")
    return parameters


def model(spec: Python, input_shape: tuple[int, int, int], classes: int, keras: Any) -> Any:
    """The model that the user's function returns.

    Raises:
        UserError: the code fails, or what it returns is no model of one input that can be saved and loaded.
    """
    code, seed = spec.user_code, random.getrandbits(32)
    with _settings_kept(spec, keras), code.importing() as module:
        function = getattr(module, spec.function, None)
        if not callable(function):
            raise UserError(f"{code.shown(code.file)} has no function {spec.function}")
        keras.utils.set_random_seed(seed)  # also where the file sets one of its own while it is imported
        built = function(input_shape, classes, **spec.arguments)
    _check_model(built, spec, input_shape, keras)
    return built


@contextmanager
def _settings_kept(spec: Python, keras: Any) -> Iterator[None]:
    """Raise UserError if Keras' settings have changed in the block, and put them back."""
    before = _settings(keras)
    yield
    after = _settings(keras)
    keras.config.set_dtype_policy(before["dtype policy"])
    keras.config.set_floatx(before["floatx"])
    keras.config.set_image_data_format(before["image data format"])
    for name in before:
        if after[name] != before[name]:
            hint = " and write training.precision" if name == "dtype policy" else ""
            raise UserError(
                f"{spec.user_code.shown(spec.user_code.file)} sets Keras' {name} to {after[name]} for all models, "
                f"but the study's is {before[name]}; remove that{hint}"
            )


def _settings(keras: Any) -> dict[str, str]:
    """Settings of Keras that hold for all models, and which a user's file may not change."""
    config = keras.config
    return {
        "dtype policy": config.dtype_policy().name,
        "floatx": config.floatx(),
        "image data format": config.image_data_format(),
    }


def _check_model(built: Any, spec: Python, input_shape: tuple[int, int, int], keras: Any) -> None:
    """Raise UserError for what is no Keras model of these images, or cannot be loaded without running code."""
    source = f"{spec.function} in {spec.user_code.shown(spec.user_code.file)}"
    if not isinstance(built, keras.Model):
        returned = "nothing (None)" if built is None else f"a {type(built).__name__}"
        raise UserError(f"{source} returns {returned}; it should return a keras.Model")
    inputs = getattr(built, "inputs", None)
    if inputs is not None:
        if len(inputs) != 1:
            raise UserError(f"{source} returns a model with {len(inputs)} inputs; it should take the images alone")
        taken = tuple(inputs[0].shape[1:])
        fits = len(taken) == len(input_shape) and all(
            size in (None, given) for size, given in zip(taken, input_shape, strict=True)
        )
        if not fits:
            raise UserError(
                f"{source} returns a model of inputs {taken}, but the images are {tuple(input_shape)}; use input_shape"
            )
    outputs = getattr(built, "outputs", None)
    if outputs is not None and len(outputs) != 1:
        raise UserError(
            f"{source} returns a model with {len(outputs)} outputs; it should give one, a probability for each class"
        )
    for layer in _layers(built, keras):
        if isinstance(layer, keras.layers.Lambda):
            raise UserError(
                f"{source} uses the Lambda layer {layer.name}, whose code a saved model would carry; write a function "
                "of keras.ops, or a layer class with @keras.saving.register_keras_serializable()"
            )


def _layers(model: Any, keras: Any) -> list[Any]:
    """All layers of a model, those of models inside of it too."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return [*model.layers, *(layer for inner in nested for layer in _layers(inner, keras))]


def own_function(spec: Python) -> tuple[str, Mapping[str, Any]]:
    return spec.function, spec.arguments


FAMILY = Family(spec=Python, title="own Keras code", model=model, own_function=own_function, order=200)
