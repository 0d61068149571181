"""Specs of training: optimizer, schedule, augmentation, which epoch is kept."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from convlab.common.specs import (
    MAX_WHOLE,
    Fraction,
    Limit,
    PositiveReal,
    PositiveWhole,
    Real,
    Spec,
    Whole,
    off_as_none,
    off_as_word,
)


class EarlyStopping(Spec):
    """Stop when the validation loss has not improved for ``patience`` epochs."""

    patience: PositiveWhole = Field(3, description="Epochs without improvement after which training stops.")
    min_delta: Annotated[Real, Field(ge=0)] = Field(0.0, description="Smallest change that counts as improvement.")


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


SMALLEST_FLOAT32 = 1.1754944e-38
"""The smallest normal number of single precision, in which Keras keeps the learning rate; what is less may become 0."""


def in_float32(value: float) -> float:
    """A positive number that single precision can hold."""
    if 0 < value < SMALLEST_FLOAT32:
        raise ValueError(f"should be at least 1.2e-38, the smallest number of single precision (it is {value:g})")
    return value


class Training(Spec):
    """How every model of a study is trained."""

    backend: Literal["tensorflow", "jax", "torch"] = Field("tensorflow", description="What Keras computes with.")
    epochs: PositiveWhole = Field(5, description="Passes over the training images.")
    batch_size: PositiveWhole = Field(128, description="Images per step.")
    optimizer: Literal["adam", "sgd", "adamw", "rmsprop"] = Field("adam", description="Rule of the weights' updates.")
    learning_rate: Annotated[PositiveReal, AfterValidator(in_float32)] = Field(
        0.001, description="Size of the updates."
    )
    momentum: Fraction = Field(0.0, description="Momentum of sgd and rmsprop.")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(0.0, description="Decoupled weight decay of any optimizer.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Arithmetic: mixed_bfloat16 is faster where the processor has it."
    )
    validation_fraction: Annotated[Real, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of the training images held out to choose the epoch, drawn by seed; without "
        "effect where the data bring a validation split.",
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
