"""Specs of training: optimizer, schedule, augmentation, which epoch is kept."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

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
    per_layer,
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
    crop: Annotated[Whole, Field(ge=0, le=MAX_WHOLE)] = Field(
        0, description="Pad by this many mirrored pixels on each side, and cut out the image's size at random."
    )
    rotation: Annotated[Real, Field(ge=0, le=180)] = Field(
        0.0, description="Turn by up to this many degrees either way; zeros fill the corners."
    )
    cutout: Annotated[Whole, Field(ge=0, le=MAX_WHOLE)] = Field(
        0, description="Set a square of this side, pixels, to 0; its centre is anywhere in the image."
    )
    mixup: Annotated[Real, Field(ge=0)] = Field(
        0.0,
        description="Alpha of mixup: each image and its label are blended with another of the batch, by a share drawn "
        "from Beta(alpha, alpha); 0 is off.",
    )

    @property
    def changes(self) -> bool:
        """Whether it does anything to an image."""
        return self.changes_single_images or self.mixup > 0

    @property
    def changes_single_images(self) -> bool:
        """Whether it does anything that depends on where in the image a pixel is, as mixup does not."""
        return self.flip != "none" or any((self.shift, self.crop, self.rotation, self.cutout))


SMALLEST_FLOAT32 = 1.1754944e-38
"""The smallest normal number of single precision, in which Keras keeps the learning rate; what is less may become 0."""


def in_float32(value: float) -> float:
    """A positive number that single precision can hold."""
    if 0 < value < SMALLEST_FLOAT32:
        raise ValueError(f"should be at least 1.2e-38, the smallest number of single precision (it is {value:g})")
    return value


ONE_CYCLE_WARMUP = 0.3
"""Share of the steps in which one_cycle's learning rate rises where ``warmup`` is absent: fastai's and PyTorch's."""

Share = Annotated[Real, Field(gt=0, lt=1)]


class Training(Spec):
    """How every model of a study is trained."""

    backend: Literal["tensorflow", "jax", "torch"] = Field("tensorflow", description="What Keras computes with.")
    epochs: PositiveWhole = Field(5, description="Passes over the training images.")
    batch_size: PositiveWhole = Field(128, description="Images per step.")
    optimizer: Literal["adam", "sgd", "adamw", "rmsprop"] = Field("adam", description="Rule of the weights' updates.")
    learning_rate: Annotated[PositiveReal, AfterValidator(in_float32)] = Field(
        0.001, description="Size of the updates; with a schedule their largest."
    )
    schedule: Literal["constant", "cosine", "one_cycle", "piecewise"] = Field(
        "constant",
        description="Learning rate over the steps: constant; cosine, half a period down to 0; one_cycle, a straight "
        "line up and one down to 0; piecewise, times a factor from each boundary on.",
    )
    warmup: Annotated[Fraction | None, BeforeValidator(off_as_none)] = Field(
        None,
        description="Share of the steps in which the learning rate rises from 0; when absent 0, of one_cycle 0.3.",
    )
    schedule_boundaries: per_layer(Share) = Field(
        (0.5, 0.75), description="Where piecewise changes the learning rate: shares of the steps, in ascending order."
    )
    schedule_factors: per_layer(PositiveReal) = Field(
        (0.1, 0.01), description="Factors of learning_rate from each boundary of piecewise on."
    )
    momentum: Fraction = Field(0.0, description="Momentum of sgd and rmsprop.")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(0.0, description="Decoupled weight decay of any optimizer.")
    gradient_clip: Annotated[PositiveReal | None, BeforeValidator(off_as_none)] = Field(
        None, description="Largest norm of all gradients together; longer ones are shortened to it. Off when absent."
    )
    ema: Annotated[Share | None, BeforeValidator(off_as_none)] = Field(
        None,
        description="Momentum of an exponential moving average of the weights, e.g. 0.99, with which the model is "
        "validated and kept; off when absent.",
    )
    label_smoothing: Fraction = Field(
        0.0, description="Share of each training label that is spread evenly over all classes."
    )
    class_weights: Annotated[Literal["none", "balanced"], BeforeValidator(off_as_word)] = Field(
        "none", description="balanced weighs training images so that each class has the same weight in the loss."
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32",
        description="Arithmetic: mixed_bfloat16 is faster on some processors and slower on others; make plan "
        "measures it.",
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
        None,
        description="Optimizer steps in all, in `epochs` equal parts, rounded up to whole steps: equal effort for "
        "unequal training sizes.",
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

    @property
    def whole_steps(self) -> int | None:
        """``steps`` as they are taken: as many in each epoch."""
        return None if self.steps is None else -(-self.steps // self.epochs) * self.epochs

    @property
    def has_constant_rate(self) -> bool:
        """Whether all steps have the same learning rate."""
        return self.schedule == "constant" and not self.warmup

    @property
    def mixes_images(self) -> bool:
        """Whether it trains on blends of images, so that its training accuracy is none of the images as they are."""
        return self.augmentation is not None and self.augmentation.mixup > 0

    @property
    def alters_examples(self) -> bool:
        """Whether training images, their labels or weights differ from what validation computes its loss of."""
        augmented = self.augmentation is not None and self.augmentation.changes
        return augmented or self.label_smoothing > 0 or self.class_weights != "none"

    @property
    def has_soft_labels(self) -> bool:
        """Whether training labels are shares of several classes: smoothed or mixed."""
        return self.label_smoothing > 0 or self.mixes_images

    @model_validator(mode="after")
    def _schedule_is_possible(self) -> "Training":
        boundaries, factors = self.schedule_boundaries, self.schedule_factors
        if any(later <= earlier for earlier, later in pairwise(boundaries)):
            raise ValueError(f"schedule_boundaries should ascend (they are {list(boundaries)})")
        if len(boundaries) != len(factors):
            raise ValueError(
                f"schedule_factors has {len(factors)} entries and schedule_boundaries {len(boundaries)}; give one "
                "factor for each boundary"
            )
        if self.early_stopping is not None and self.schedule in ("cosine", "one_cycle"):
            raise ValueError(
                f"schedule {self.schedule} and early_stopping exclude each other: the learning rate falls until the "
                "last step, and a run that stops early would never get there; remove one of them"
            )
        return self
