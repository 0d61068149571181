"""The study's design: models with their layers and reasons, training settings, factors."""

from typing import Any

from markupsafe import Markup

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.specs import Spec
from convlab.language import numbers as say
from convlab.page.diagrams import diagram
from convlab.page.format import pixels
from convlab.page.views import Table
from convlab.study.labels import field_label, level_label
from convlab.study.schema import Study

MAX_LAYER_TABLES = 24
"""Maximum variants whose layers are listed besides those of the base models."""


def design(study: Study) -> dict[str, Any]:
    """Models with their layers and reasons, training settings, factors."""
    plan = study.plan
    others = [name for name in plan.variants if name not in study.models]
    experiments = []
    for question in plan.questions.values():
        if question.levels:
            levels = ", ".join(level.label for level in question.levels)
            reference = next(level.label for level in question.levels if level.variant == question.reference)
            base = plan.variants[plan.aliases[question.base]].label
            experiments.append((question.name, base, question.subject, levels, reference))
        else:
            sides = (plan.variants[question.variants[0]].label, plan.variants[question.reference].label)
            experiments.append((question.name, *sides[:1], say.MISSING, say.MISSING, sides[1]))
    return {
        "models": [
            {
                "label": model.label or name,
                "name": name,
                "family": level_label("family", model.family),
                "fields": fields_table(model, model.label or name),
                "layers": layers_tables(study, name),
                "layers_note": layers_note(study, name),
                "diagrams": diagrams(study, name),
            }
            for name, model in study.models.items()
        ],
        "others": [
            (plan.variants[name].label, layers_tables(study, name), diagrams(study, name))
            for name in others[:MAX_LAYER_TABLES]
        ],
        "others_left_out": max(0, len(others) - MAX_LAYER_TABLES),
        "training": Table("training", ("field", "value", "meaning"), settings(study.training)),
        "experiments": Table("experiments", ("name", "base", "factor", "levels", "reference"), experiments),
        "select": level_label("select", study.training.select),
        "kept": study.training.select,
    }


def fields_table(model: Any, label: str) -> Table:
    """Every choice of an architecture with its reason, explained ones first."""
    rows = [
        (field_label(name), level_label(name, value), model.why.get(name, say.MISSING), _(meaning or say.MISSING))
        for name, (value, meaning) in model.explained_fields.items()
    ]
    rows.sort(key=lambda row: row[2] == say.MISSING)
    return Table("fields", ("field", "value", "why", "meaning"), rows, {"label": label})


def settings(spec: Spec) -> list[tuple[str, str, str]]:
    """Name, value and meaning of every field of a spec."""
    return [
        (field_label(name), level_label(name, getattr(spec, name)), _(field.description or say.MISSING))
        for name, field in type(spec).model_fields.items()
    ]


def layers_tables(study: Study, variant: str) -> list[Table]:
    """The layers of a variant, once for each input shape among the datasets."""
    groups: dict[Any, list[str]] = {}
    for dataset in study.datasets:
        groups.setdefault(study.plan.costs[dataset, variant], []).append(dataset)
    tables = []
    for cost, datasets in groups.items():
        rows = [
            (
                layer.name,
                "×".join(map(str, layer.output_shape)),
                say.count(layer.parameters),
                say.count(layer.macs),
                pixels(layer.receptive_field) if layer.receptive_field else i18n.pgettext("receptive field", "all"),
            )
            for layer in cost.layers
        ]
        rows.append(("total", "", say.count(cost.parameters), say.count(cost.macs), pixels(cost.receptive_field)))
        caption_values = {"label": study.plan.variants[variant].label, "dataset": ", ".join(datasets)}
        columns = ("layer", "output_shape", "parameters", "macs", "receptive_field")
        tables.append(Table("layers", columns, rows, caption_values))
    return tables


def layers_note(study: Study, variant: str) -> str:
    """What the table of layers of a built model leaves out; empty for a model whose layers are known in advance."""
    if variant not in study.plan.described:
        return ""
    kinds = sorted({kind for dataset in study.datasets for kind in study.plan.costs[dataset, variant].uncounted})
    order = _("The layers are in the order in which they are called; how they are connected is in the file.")
    if not kinds:
        return order
    uncounted = _(
        "Multiply-accumulates and receptive field leave out what these layers do by themselves: {kinds}.",
        kinds=i18n.listing(kinds),
    )
    return f"{order} {uncounted}"


def diagrams(study: Study, variant: str) -> list[Markup]:
    """A drawing of a variant for each input shape among the datasets; none of a model that is described once built."""
    if variant in study.plan.described:
        return []
    label = study.plan.variants[variant].label
    costs = dict.fromkeys(study.plan.costs[dataset, variant] for dataset in study.datasets)
    return [
        diagram(cost.layers, f"diagram-{variant}-{number}", _("Architecture of {label}", label=label))
        for number, cost in enumerate(costs)
    ]
