"""What defines a run: dataset, model and training specs, their canonical form and its hash.

A spec that validates is already canonical: defaults are filled in, one value for all layers is written once per layer,
and ``1.0`` is ``1`` where a whole number is meant. Two spellings of the same run therefore have the same hash.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    model_validator,
)

NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE_NUMBER = re.compile(r"[+-]?\d+(_\d+)*")
OTHER_BASE = re.compile(r"[+-]?0(o[0-7]+|x[0-9a-fA-F]+|b[01]+)")

MAX_DIGITS = 400
"""Longer numbers are left as text, which is refused: Python takes long to read them, or refuses to."""

MAX_WHOLE = 2**31 - 1
"""Largest number of images, pixels, units, epochs, ...; more overflows in TensorFlow, if it fits into memory at all."""

MAX_SEED = 2**63 - 1
"""Largest seed: predictions.npz keeps seeds as 64-bit integers, and so does pandas."""

MAX_BLOCKS = 1000
"""Largest number of blocks, and of convolutions in one; the plan walks through every layer."""

NOTHING = ("none", "null", "off", "no", "false", "~", "")
"""Words by which people switch off what can be absent. YAML reads some of them as false, others as text."""


def as_number(value: Any) -> Any:
    """YAML reads ``1e-3`` and ``0o10`` as text: take them as the numbers they are; refuse yes/no, which Python counts
    as 1 and 0, and decimal commas and percent signs, which nothing here reads."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    if not isinstance(value, str) or len(value) > MAX_DIGITS:
        return value
    text = value.strip()
    if WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if NUMBER.fullmatch(text):
        return float(text)
    if comma := re.fullmatch(r"([+-]?\d+),(\d+)", text):
        whole, rest = comma.groups()
        thousands = f"{whole}{rest} or " if len(rest) == 3 and not whole.strip("+-").startswith("0") else ""
        raise ValueError(f"should be written without a comma: {thousands}{whole}.{rest} (it is {value!r})")
    if percent := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text):
        raise ValueError(f"should be written without a percent sign: {float(percent[1]) / 100:g} (it is {value!r})")
    return value


def _listed(value: Any) -> Any:
    """One value for all layers is a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def is_off(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str) and value.strip().lower() in NOTHING)


def off_as_word(value: Any) -> Any:
    """YAML reads a bare ``none`` as text, ``null`` and ``~`` as nothing and ``off`` as false: all of them mean none."""
    return "none" if is_off(value) else value


def off_as_none(value: Any) -> Any:
    """Whatever means that there is none, as None."""
    return None if is_off(value) else value


def all_as_none(value: Any) -> Any:
    """Whatever means no limit, as None."""
    return None if is_off(value) or (isinstance(value, str) and value.strip().lower() == "all") else value


def off_as_empty(value: Any) -> Any:
    """Whatever means that there is none, as an empty list."""
    return [] if is_off(value) else value


def as_text(value: Any) -> Any:
    """A whole number is a name of its digits; what YAML reads as something else, such as ``on``, is refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"should be text (it is {value!r}){'' if value is None else '; put it in quotation marks'}")
    return value


def as_path(value: str) -> str:
    """A path that the system can be asked about."""
    if "\0" in value:
        raise ValueError("has a character that no path can hold (\\0); remove it")
    if len(os.fsencode(value)) > 4095 or any(len(os.fsencode(part)) > 255 for part in value.split("/")):
        raise ValueError("is longer than a path can be (255 bytes for each folder, 4,095 in all); correct it")
    try:
        Path(value).expanduser()
    except RuntimeError:
        owner = value.split("/")[0]
        raise ValueError(f"begins with {owner}, a home folder that is not known here; write the whole path") from None
    return value


Location = Annotated[str, Field(min_length=1), AfterValidator(as_path)]
Name = Annotated[str, BeforeValidator(as_text)]
Notes = Annotated[dict[Name, Name], AfterValidator(lambda notes: dict(sorted(notes.items())))]
"""Texts by name; the order of keys means nothing."""
Whole = Annotated[int, BeforeValidator(as_number), Field(strict=False)]
PositiveWhole = Annotated[Whole, Field(gt=0, le=MAX_WHOLE)]
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED)]
Blocks = Annotated[Whole, Field(gt=0, le=MAX_BLOCKS)]
Limit = Annotated[PositiveWhole | None, BeforeValidator(all_as_none)]
"""At most so many; None for all."""
Real = Annotated[float, BeforeValidator(as_number), Field(allow_inf_nan=False)]
PositiveReal = Annotated[Real, Field(gt=0)]
Fraction = Annotated[Real, Field(ge=0, lt=1)]
Pooling = Annotated[Literal["max", "average", "none"], BeforeValidator(off_as_word)]
Activation = Literal["relu", "gelu", "elu", "selu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]


def per_layer(item: Any) -> Any:
    """Type of a field that takes one value for all layers or a list of one per layer."""
    return Annotated[tuple[item, ...], BeforeValidator(_listed), Field(min_length=1)]


class Spec(BaseModel):
    """Base of all specs: unknown keys are errors, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """A section or text with nothing behind its colon (``training:``) is as if it had not been written."""
        if isinstance(data, Mapping) and None in data.values():
            return {key: value for key, value in data.items() if value is not None or key not in _optional(cls)}
        return data

    def _set(self, **fields: Any) -> None:
        """Write canonical values while validating (instances are frozen for everyone else)."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@cache
def _optional(spec: type[Spec]) -> set[str]:
    """Names of a spec's sections, mappings and texts that may be left away."""
    return {
        name
        for name, field in spec.model_fields.items()
        if not field.is_required()
        and (
            field.default == ""
            or get_origin(field.annotation) is dict
            or (isinstance(field.annotation, type) and issubclass(field.annotation, Spec))
        )
    }


@cache
def _adapter(spec: type[Spec], field: str) -> TypeAdapter:
    info = spec.model_fields[field]
    return TypeAdapter(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)


def canonical_value(spec: type[Spec], field: str, value: Any) -> Any:
    """A value of a field as plain JSON types, with one spelling for equal values. Raises pydantic's ValidationError."""
    adapter = _adapter(spec, field)
    return _short(spec, field, adapter.dump_python(adapter.validate_python(value), mode="json", exclude_defaults=True))


def _short(spec: type[Spec], field: str, value: Any) -> Any:
    """One value for all layers without its list."""
    per_layer = any(getattr(step, "func", None) is _listed for step in spec.model_fields[field].metadata)
    value = list(value) if isinstance(value, tuple) else value
    return value[0] if per_layer and len(value) == 1 else value


class ModelSpec(Spec):
    """What the families share. ``why`` and ``label`` explain a model and are no part of its identity."""

    _unexpanded: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Fields before one value was written once per block, for another depth would repeat that one value."""

    dropout: Fraction = Field(0.0, description="Dropout rate after each hidden dense layer.")
    activation: Activation = Field("relu", description="Activation of every hidden layer.")
    label: str | None = Field(None, description="Name to show in tables and figures; the key when absent.")
    why: Notes = Field({}, description="Reason for each choice, by field name; the report prints it.")

    @property
    def unexpanded(self) -> dict[str, Any]:
        """All fields as they were validated, one value for all layers where one was written."""
        return {**dict(self), **self._unexpanded}

    def as_written(self, defaults: bool) -> dict[str, Any]:
        """The fields as plain JSON types, one value for all layers where one was written.

        Args:
            defaults: with fields that were written though they have their default's value.
        """
        kept = self.model_fields_set if defaults else set(type(self).model_fields)
        fields = {
            name: value
            for name, value in self.unexpanded.items()
            if name in kept and (defaults or value != type(self).model_fields[name].default)
        }
        return {name: _short(type(self), name, value) for name, value in fields.items()}

    @model_validator(mode="after")
    def _reasons_name_fields(self) -> "ModelSpec":
        for name in self.why:
            if name not in type(self).model_fields or name in ("why", "label"):
                raise ValueError(f"why.{name} explains a field that a {type(self).__name__.lower()} does not have")
        return self


class Dense(ModelSpec):
    """Flatten, then fully connected layers."""

    family: Literal["dense"]
    units: per_layer(PositiveWhole) = Field(description="Units of each hidden layer, e.g. [128, 64].")


PER_BLOCK = ("filters", "kernel_size", "strides", "pooling")
"""Fields of a convolutional model with one value for each block, or one for all."""


class Conv(ModelSpec):
    """Blocks of convolutions (convolution, batch normalisation, activation), each followed by pooling; then a head."""

    family: Literal["conv"]
    filters: per_layer(PositiveWhole) = Field(description="Filters of each block, e.g. [32, 64]; or one number.")
    depth: Annotated[Blocks | None, BeforeValidator(off_as_none)] = Field(
        None, description="Number of blocks: repeats a single number of filters, or keeps the first blocks of a list."
    )
    kernel_size: per_layer(PositiveWhole) = Field((3,), description="Side of the square kernels, pixels.")
    strides: per_layer(PositiveWhole) = Field((1,), description="Step of each block's first convolution, pixels.")
    padding: Literal["same", "valid"] = Field("same", description="Zero padding of the convolutions.")
    pooling: per_layer(Pooling) = Field(("max",), description="Pooling after each block: max, average or none.")
    pool_size: PositiveWhole = Field(2, description="Side and step of the pooling window, pixels.")
    batch_norm: bool = Field(False, description="Batch normalisation between convolution and activation.")
    convolutions_per_block: Blocks = Field(1, description="Convolutions of the same size before each pooling.")
    head: Literal["flatten", "global_average", "global_max"] = Field(
        "flatten", description="How the last feature map becomes a vector."
    )
    dense_units: Annotated[tuple[PositiveWhole, ...], BeforeValidator(off_as_empty)] = Field(
        (), description="Units of each dense layer after the head."
    )

    @model_validator(mode="after")
    def _one_value_per_block(self) -> "Conv":
        if not self._unexpanded:  # pydantic comes here again with the same model when a run is made of it
            self._unexpanded = {name: getattr(self, name) for name in ("depth", *PER_BLOCK)}
        written = len(self.filters)
        depth = self.depth or written
        if written not in (1, depth) and depth > written:
            raise ValueError(f"depth is {depth}, but filters names only {written} blocks")
        self._set(depth=depth)
        for name in PER_BLOCK:
            values = getattr(self, name)
            if len(values) == 1:
                values = values * depth
            elif len(values) not in (depth, written):
                raise ValueError(f"{name} has {len(values)} values for {depth} block{'s' if depth > 1 else ''}")
            self._set(**{name: values[:depth]})
        return self


Model = Annotated[Dense | Conv, Field(discriminator="family")]


class EarlyStopping(Spec):
    """Stop when the validation loss has not improved for ``patience`` epochs."""

    patience: PositiveWhole = 3
    min_delta: Annotated[Real, Field(ge=0)] = 0.0


class Augmentation(Spec):
    """Random changes of the training images, drawn anew each epoch."""

    flip: Annotated[Literal["none", "horizontal", "vertical", "both"], BeforeValidator(off_as_word)] = Field(
        "none", description="Mirror half of the images."
    )
    shift: Annotated[Whole, Field(ge=0, le=MAX_WHOLE)] = Field(
        0, description="Move by up to this many pixels; zeros fill the border."
    )

    @property
    def changes(self) -> bool:
        """Whether it does anything to an image."""
        return self.flip != "none" or self.shift > 0


class Training(Spec):
    """How every model of a study is trained."""

    backend: Literal["tensorflow", "jax", "torch"] = Field("tensorflow", description="What Keras computes with.")
    epochs: PositiveWhole = Field(5, description="Passes over the training images.")
    batch_size: PositiveWhole = Field(128, description="Images per step.")
    optimizer: Literal["adam", "sgd", "adamw", "rmsprop"] = Field("adam", description="Rule of the weights' updates.")
    learning_rate: PositiveReal = Field(0.001, description="Size of the updates.")
    momentum: Fraction = Field(0.0, description="Momentum of sgd and rmsprop.")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(0.0, description="Decoupled weight decay of any optimizer.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Arithmetic: mixed_bfloat16 is faster where the processor has it."
    )
    validation_fraction: Annotated[Real, Field(gt=0, lt=1)] = Field(
        0.1, description="Share of the training images held out to choose the epoch, drawn by seed."
    )
    train_size: Limit = Field(
        None, description="Number of images to train on, drawn by seed from what validation leaves; all when absent."
    )
    steps: Annotated[PositiveWhole | None, BeforeValidator(off_as_none)] = Field(
        None, description="Optimizer steps in all, in `epochs` equal parts: equal effort for unequal training sizes."
    )
    augmentation: Annotated[Augmentation | None, BeforeValidator(off_as_none)] = Field(
        None, description="E.g. {flip: horizontal, shift: 2}; none when absent."
    )
    pixel_permutation: Annotated[PositiveWhole | None, BeforeValidator(off_as_none)] = Field(
        None, description="Shuffle blocks of this side (1: pixels) in all images by one fixed order; none when absent."
    )
    select: Literal["best", "last"] = Field(
        "best", description="Which epoch's weights are kept: the best validation accuracy, or the last."
    )
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(off_as_none)] = Field(
        None, description="Stop early, e.g. {patience: 3}; off when absent."
    )
    jit_compile: bool = Field(False, description="XLA: slower on CPUs, often faster on GPUs.")
    tensorboard: bool = Field(False, description="Write TensorBoard logs beside each model.")


def _sides(value: Any) -> Any:
    """One number is the side of a square."""
    sides = _listed(value)
    if len(sides) == 1 and not isinstance(value, list | tuple):
        sides = sides * 2
    if len(sides) != 2:
        raise ValueError("should be one number of pixels or [height, width]")
    return sides


class DatasetSpec(Spec):
    """Which images: what all kinds share. Every field but ``path`` is part of a run's identity."""

    train_images: Limit = Field(None, description="Take only this many training images.")
    test_images: Limit = Field(None, description="Take only this many test images.")


class Digits(DatasetSpec):
    """scikit-learn's digits; they need no files."""

    kind: Literal["digits"]


class Published(DatasetSpec):
    """A published dataset, fetched and checked by its checksums."""

    kind: Literal["fashion_mnist", "mnist", "cifar10"]
    path: Location | None = Field(None, description="Folder that already holds the dataset's files.")


class OwnImages(DatasetSpec):
    """Images of the user's own. ``path`` is needed to prepare them; a run, which does not locate its data, has none."""

    path: Location | None = Field(None, description="Where they are; relative to the folder in which Snakemake runs.")
    test_fraction: Annotated[Real, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of every class held out for testing, where the data bring no test images."
    )
    split_seed: Seed = Field(0, description="Seed of that split, the same for all runs.")


class ImageFolder(OwnImages):
    """``train/<class>/*`` and, if there, ``test/<class>/*``: PNG, JPEG, WebP, BMP, GIF and TIFF files of any size."""

    kind: Literal["image_folder"]
    image_size: Annotated[tuple[PositiveWhole, PositiveWhole], BeforeValidator(_sides)] = Field(
        description="Side of the square images in pixels, or [height, width]; other sizes are cropped and resized."
    )
    colour: Literal["rgb", "grey"] = Field("rgb", description="Three channels or one.")
    classes: Annotated[PositiveWhole | None, BeforeValidator(off_as_none)] = Field(
        None, description="How many; counted in the folder when absent."
    )
    unreadable: Literal["fail", "exclude"] = Field(
        "fail", description="Whether an image that cannot be used ends the preparation, or is left out and named."
    )

    @property
    def channels(self) -> int:
        return 3 if self.colour == "rgb" else 1


class Npz(OwnImages):
    """A NumPy file with x_train, y_train and, if there, x_test, y_test."""

    kind: Literal["npz"]
    classes: Annotated[Annotated[tuple[Name, ...], Field(min_length=2)] | None, BeforeValidator(off_as_none)] = Field(
        None, description="Names of the classes, in the order of the labels; 0, 1, ... when absent."
    )
    input_shape: Annotated[tuple[PositiveWhole, PositiveWhole, PositiveWhole] | None, BeforeValidator(off_as_none)] = (
        Field(None, description="[height, width, channels]; read from the file when absent.")
    )


Dataset = Annotated[Digits | Published | ImageFolder | Npz, Field(discriminator="kind")]


class Run(Spec):
    """One training run: everything that its result depends on beside code and machine."""

    dataset: Dataset
    model: Model
    training: Training
    seed: Seed

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form as plain JSON types, without what only explains (``why``, ``label``) or locates."""
        return self.model_dump(mode="json", exclude={"model": {"why", "label"}, "dataset": {"path"}})

    @property
    def spec_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; whole floats are written as integers. Equal values give equal text."""
    return json.dumps(normalised(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def normalised(value: Any) -> Any:
    """``value`` with tuples as lists and whole floats as integers, all the way down."""
    if isinstance(value, dict):
        return {str(key): normalised(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalised(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
