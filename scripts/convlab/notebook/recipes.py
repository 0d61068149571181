"""How a study trains, as functions of a notebook: one for all variants whose training differs in numbers only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convlab.errors import UserError
from convlab.notebook.keras_double import literal
from convlab.study.variants import Variant
from convlab.training.recipe import ONE_CYCLE_WARMUP, Augmentation, Training

CONSTANTS = ("epochs", "batch_size", "learning_rate")
"""Settings that a notebook has as constants, at its beginning."""

PARAMETERS = (*CONSTANTS, "train_size", "momentum", "label_smoothing", "pixel_permutation")
"""Settings in which variants may differ and yet share a function, which then has them as parameters."""

CLASSES_OF_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}

CLASSES_OF_SCHEDULES = {
    "constant": "WarmUp",
    "cosine": "Cosine",
    "one_cycle": "OneCycle",
    "piecewise": "Piecewise",
}
"""Names of the classes that a notebook has for the schedules of the learning rate."""


@dataclass(frozen=True)
class Recipe:
    """A function that trains: its name, the settings of its first variant, those in which its variants differ, and the
    code of the keyword arguments by variant."""

    name: str
    training: Training
    study: Training
    parameters: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    schedule_name: str = ""
    """Name of the class of its learning rate's schedule; empty where the rate is constant."""

    def value(self, setting: str) -> str:
        """Code of a setting's value: a parameter, a constant of the notebook, or the number."""
        return setting if setting in self.parameters else self.default(setting)

    def default(self, setting: str) -> str:
        """Code of the value that the first variant has."""
        value = getattr(self.training, setting)
        same = setting in CONSTANTS and value == getattr(self.study, setting)
        return setting.upper() if same else literal(value)

    @property
    def signature(self) -> str:
        """Code of the function's parameters behind the model and the seed."""
        return "".join(f", {setting}={self.default(setting)}" for setting in self.parameters)

    @property
    def schedule(self) -> tuple[Any, ...]:
        """What decides the code of the schedule; equal for recipes that share a class."""
        training = self.training
        return training.schedule, self.warmup, training.schedule_boundaries, training.schedule_factors

    @property
    def warmup(self) -> float:
        """Share of the steps that warm up."""
        share = ONE_CYCLE_WARMUP if self.training.schedule == "one_cycle" else 0.0
        return share if self.training.warmup is None else self.training.warmup

    @property
    def optimizer(self) -> str:
        """Code of the optimizer but its learning rate: the class, and the other arguments."""
        training = self.training
        options = {}
        if training.optimizer == "adamw" or training.weight_decay:
            options["weight_decay"] = literal(training.weight_decay)
        if training.gradient_clip is not None:
            options["global_clipnorm"] = literal(training.gradient_clip)
        if training.optimizer in ("sgd", "rmsprop") and training.momentum:
            options["momentum"] = self.value("momentum")
        rate = self.value("learning_rate") if training.has_constant_rate else "rate"
        written = "".join(f", {name}={value}" for name, value in options.items())
        return f"keras.optimizers.{CLASSES_OF_OPTIMIZERS[training.optimizer]}({rate}{written})"


def recipes(variants: Sequence[Variant], study: Training) -> list[Recipe]:
    """The functions that train these variants. Raises UserError for a setting that has no form in a notebook."""
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        _refuse(variant)
        groups.setdefault(_structure(variant.training), []).append(variant)
    made: list[Recipe] = []
    for number, group in enumerate(groups.values(), start=1):
        name = "train" if number == 1 else f"train_{number}"
        first = group[0].training
        differing = tuple(s for s in PARAMETERS if len({getattr(v.training, s) for v in group}) > 1)
        recipe = Recipe(name, first, study, differing)
        arguments = {v.name: ("" if name == "train" else f", train={name}") + _given(v.training, recipe) for v in group}
        made.append(Recipe(name, first, study, differing, arguments, _schedule_name(recipe, made)))
    return made


def _schedule_name(recipe: Recipe, others: Sequence[Recipe]) -> str:
    """Name of the class of a recipe's schedule: that of an equal one, or a new one."""
    if recipe.training.has_constant_rate:
        return ""
    equal = [other.schedule_name for other in others if other.schedule == recipe.schedule]
    named = len({other.schedule_name for other in others if other.training.schedule == recipe.training.schedule})
    name = CLASSES_OF_SCHEDULES[recipe.training.schedule]
    return equal[0] if equal else f"{name}{named + 1}" if named else name


def _given(training: Training, recipe: Recipe) -> str:
    """Code of the keyword arguments with which a recipe's function trains like this."""
    values = {setting: getattr(training, setting) for setting in recipe.parameters}
    changed = {setting: v for setting, v in values.items() if v != getattr(recipe.training, setting)}
    return "".join(f", {setting}={literal(value)}" for setting, value in changed.items())


def _structure(training: Training) -> str:
    """Equal for trainings that one function can do."""
    fixed = training.model_dump_json(exclude={*PARAMETERS, "augmentation", "tensorboard"})
    switches = (training.train_size is None, training.momentum > 0, training.label_smoothing > 0)
    return f"{fixed} {switches}"


def _refuse(variant: Variant) -> None:
    """Raise UserError for the first setting of a variant's training that has no form in a notebook."""
    training = variant.training
    augmentation = training.augmentation or Augmentation()
    in_pipeline = [name for name in ("crop", "rotation", "cutout", "mixup") if getattr(augmentation, name)]
    unwritten: dict[str, Any] = {
        "backend": training.backend if training.backend != "tensorflow" else None,
        "ema": training.ema,
        **{f"augmentation.{name}": getattr(augmentation, name) for name in in_pipeline},
    }
    for key, value in unwritten.items():
        if value is not None:
            raise UserError(
                f"training.{key} of {variant.name} is {value}, which cannot be written into a notebook yet; a study "
                "without it can be"
            )
