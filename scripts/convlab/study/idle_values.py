"""Settings without effect because of others, such as momentum with Adam.

Two variants that differ only in such fields train one network twice, and their comparison shows no difference with any
seed. Both are reported before anything runs, and the latter in the report's limitations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.common.specs import canonical_json
from convlab.datasets.image_counts import brings_validation
from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.study.schema import Study
from convlab.study.variants import Variant
from convlab.training.recipe import ONE_CYCLE_WARMUP, Training


def without_effect(model: BaseModelSpec, training: Training, given_validation: bool = False) -> dict[str, str]:
    """Fields whose value has no effect on how ``model`` is trained, each with the reason.

    ``given_validation`` is true where the data of all runs bring a validation split.
    """
    reasons = {}
    if given_validation:
        reasons["validation_fraction"] = _("the data bring their validation images")
    if training.optimizer not in ("sgd", "rmsprop"):
        reasons["momentum"] = _(
            "{optimizer} has no such momentum, only sgd and rmsprop have", optimizer=training.optimizer
        )
    if training.schedule != "piecewise":
        for field in ("schedule_boundaries", "schedule_factors"):
            reasons[field] = _("only the schedule piecewise has them")
    if training.warmup == (ONE_CYCLE_WARMUP if training.schedule == "one_cycle" else 0):
        reasons["warmup"] = _("the schedule {schedule} has that share without it", schedule=training.schedule)
    if training.augmentation is not None and not training.augmentation.changes:
        reasons["augmentation"] = _("it changes no image")
    if training.epochs == 1:
        reasons["select"] = _("of one epoch the best is the last")
    if training.early_stopping is not None and training.early_stopping.patience >= training.epochs - 1:
        reasons["early_stopping"] = _("its patience lasts as long as the epochs do")
    idle = [field for field in family_of(model).idle_fields if field.is_idle(model)]
    return reasons | {field.name: _(field.reason) for field in idle}


def effective(model: BaseModelSpec, training: Training, given_validation: bool = False) -> list[dict[str, Any]]:
    """Model and training as plain values, without names and reasons; fields that have no effect have their default."""
    idle = without_effect(model, training, given_validation)
    optimizer = "adam" if training.optimizer == "adamw" else training.optimizer  # the decay of both is decoupled
    training = training.model_copy(update={"steps": training.whole_steps, "optimizer": optimizer})
    return [
        {
            name: type(spec).model_fields[name].default if name in idle else value
            for name, value in spec.model_dump(exclude={"why", "label"}).items()
        }
        for spec in (model, training)
    ]


def same_trainings(
    trainings: Mapping[str, tuple[BaseModelSpec, Training]], given_validation: bool = False
) -> list[tuple[str, str, str]]:
    """Pairs of names whose trainings differ only in fields that have no effect, and why they have none."""
    names: dict[str, str] = {}
    pairs = []
    for name, (model, training) in trainings.items():
        other = names.setdefault(canonical_json(effective(model, training, given_validation)), name)
        if other == name:
            continue
        reasons = {
            **without_effect(*trainings[other], given_validation),
            **without_effect(model, training, given_validation),
        }
        if trainings[other][1].steps != training.steps:
            reasons["steps"] = _("every epoch has the same whole number of them")
        if trainings[other][1].optimizer != training.optimizer:
            reasons["optimizer"] = _("adamw is adam with decoupled weight decay, which adam has here too")
        first, second = ({**dict(spec), **dict(how)} for spec, how in (trainings[other], (model, training)))
        why = [f"{field}: {reason}" for field, reason in reasons.items() if first[field] != second[field]]
        pairs.append((other, name, "; ".join(why)))
    return pairs


def _given_validation(study: Study) -> bool:
    """Whether all data bring a validation split; looked up only where ``validation_fraction`` is not its default."""
    default = Training().validation_fraction
    if all(variant.training.validation_fraction == default for variant in study.plan.variants.values()):
        return False
    return all(brings_validation(spec) for spec in study.datasets.values())


def same_variants(study: Study) -> list[str]:
    """A sentence for each two variants that train one network, so that no difference between them can show."""
    variants = study.plan.compared
    return [
        _(
            "{first} and {second} train the same network, so no difference between them can show: what differs has no "
            "effect ({why}).",
            first=variants[first].label,
            second=variants[second].label,
            why=why,
        )
        for first, second, why in same_trainings(
            {name: (variant.model, variant.training) for name, variant in variants.items()}, _given_validation(study)
        )
    ]


def idle_values(study: Study) -> list[str]:
    """A sentence for each written value that has no effect, and for variants that differ in nothing else."""
    variants, given_validation = list(study.plan.compared.values()), _given_validation(study)
    owners = [("training", study.training, variants)]
    owners += [
        (f"models.{name}", model, [variant for variant in variants if variant.base == name])
        for name, model in study.models.items()
    ]
    notes = []
    for owner, spec, affected in owners:
        reasons = [without_effect(variant.model, variant.training, given_validation) for variant in affected]
        values = spec.unexpanded if isinstance(spec, BaseModelSpec) else dict(spec)
        for field in sorted(spec.model_fields_set & {name for given in reasons for name in given}):
            default = type(spec).model_fields[field].default
            if values[field] != default and all(field in given for given in reasons):
                notes.append(f"{owner}.{field} has no effect: {reasons[0][field]}")
    return [*notes, *_rounded_steps(variants), *same_variants(study)]


def _rounded_steps(variants: Sequence[Variant]) -> list[str]:
    """A sentence for each number of steps that the epochs do not divide, so that a run takes more."""
    trainings = [variant.training for variant in variants]
    asked = {(how.steps, how.epochs, how.whole_steps) for how in trainings if how.steps != how.whole_steps}
    return [
        f"training.steps {steps:,} becomes {whole:,}: each of {epochs:,} epochs takes {whole // epochs:,}"
        for steps, epochs, whole in sorted(asked)
    ]
