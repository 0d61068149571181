"""Tuning of training settings: a random search with the same budget for every compared variant.

For each seed ``trials`` points are drawn, log-uniform over the ranges of the config, the same for all variants. Every
compared variant is trained at each of them, and its tuned run of that seed is the trial with the best validation
accuracy, so that the scatter over seeds contains the search (Bouthillier et al. 2021, Accounting for variance in
machine learning benchmarks). Pydantic and the standard library only, until something is drawn.
"""

import math
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, Field, field_validator

from convlab.common.specs import Name, PositiveReal, Spec, Whole, as_number
from convlab.common.text import listing, nearest
from convlab.training.recipe import Training

MAX_TRIALS = 100
"""Most trials of a variant with a seed; more are more likely a mistake than a search."""

DRAWN_DIGITS = 4
"""Significant digits of a drawn value: a run's identity must not depend on the last bit of a machine's logarithm."""

DECIDES_THE_CHOICE = ("validation_fraction",)
"""Settings that are not drawn: validation accuracies of trials that differ in them are of different images."""


def is_real(annotation: Any) -> bool:
    """Whether a field's type is a real number, or one of several that it may be."""
    if get_origin(annotation) is Annotated:
        return is_real(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return any(is_real(option) for option in get_args(annotation))
    return annotation is float


def drawable() -> list[str]:
    """The settings of training that can be drawn from a range."""
    names = (name for name, field in Training.model_fields.items() if is_real(field.annotation))
    return [name for name in names if name not in DECIDES_THE_CHOICE]


def _two_numbers(value: Any) -> Any:
    """The ends of a range as numbers. Raises ValueError for anything but a lower and a higher number above 0."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"should be a lowest and a highest value, such as [3e-4, 3e-3] (it is {value!r})")
    low, high = map(as_number, value)
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in (low, high)):
        raise ValueError(f"should be two numbers, such as [3e-4, 3e-3] (it is {value!r})")
    if min(low, high) <= 0:
        raise ValueError(f"is drawn log-uniformly, so both ends must be above 0 (it is {value!r})")
    if low >= high:
        ordered = f"[{high:g}, {low:g}]" if low > high else "two different values"
        raise ValueError(f"should go from a lower to a higher value; write {ordered} (it is {value!r})")
    return low, high


Range = Annotated[tuple[PositiveReal, PositiveReal], BeforeValidator(_two_numbers)]


class Tuning(Spec):
    """Train every compared variant with other settings too, the same draws for all, and compare them at their best."""

    trials: Annotated[Whole, Field(ge=2, le=MAX_TRIALS)] = Field(
        5,
        description="Draws for each variant and seed; of these runs the one with the best validation accuracy counts.",
    )
    over: dict[Name, Range] = Field(
        min_length=1,
        description="Settings of `training` that are drawn, each log-uniform from a lowest to a highest value.",
    )

    @field_validator("over")
    @classmethod
    def _settings_of_training(cls, over: dict) -> dict:
        for name in over:
            if name not in drawable():
                raise ValueError(
                    f"names {name!r}, which is no setting of training that can be drawn from a range"
                    f"{nearest(name, drawable())}; it can be {listing(drawable(), 'or')}"
                )
        return dict(sorted(over.items()))  # the order of keys means nothing

    def drawn(self, number: int, seed: int) -> dict[str, float]:
        """The settings of trial ``number``, from 1, of a seed."""
        return dict(zip(self.over, _draws(tuple(self.over.values()), self.trials, seed)[number - 1], strict=True))

    def of_trial(self, training: Training, number: int, seed: int) -> Training:
        """The training of trial ``number``, from 1, of a seed."""
        return Training.model_validate({**training.model_dump(), **self.drawn(number, seed)})


@cache
def _draws(ranges: tuple[tuple[float, float], ...], trials: int, seed: int) -> list[tuple[float, ...]]:
    """Points of a scrambled Halton sequence, log-uniform over ``ranges``. More trials keep the first ones, and so their
    runs."""
    from scipy.stats import qmc  # takes most of a second, and only trials need it

    points = qmc.Halton(len(ranges), scramble=True, rng=seed).random(trials)
    return [
        tuple(
            min(high, max(low, float(f"{low * (high / low) ** share:.{DRAWN_DIGITS}g}")))
            for share, (low, high) in zip(point, ranges, strict=True)
        )
        for point in points.tolist()
    ]
