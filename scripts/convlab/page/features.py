"""Filters and feature maps on the page: by question and by variant, a choice of convolutions, and their measures."""

from collections.abc import Mapping, Sequence

from convlab.common import i18n
from convlab.findings.study_results import StudyResults
from convlab.language import numbers as say
from convlab.page.views import FeaturesView, Figure, Table
from convlab.results.convolutions import MEASURES
from convlab.study.variants import Question

TABLE_COLUMNS = ("level", "layer", "filters", *MEASURES)


def features_of_questions(results: StudyResults, dataset: str, figures: Sequence[Figure]) -> list[FeaturesView]:
    """The levels of every question that has convolutions to show, side by side."""
    return [
        FeaturesView(question.name, question.text, by_layer(shown), measures_table(results, dataset, question))
        for question in results.plan.questions.values()
        if (shown := [figure for figure in figures if figure.question == question.name])
    ]


def features_of_variants(looked_at: Sequence[tuple[str, str]], figures: Sequence[Figure]) -> list[FeaturesView]:
    """The variants with details that have convolutions to show; ``looked_at`` are names and labels."""
    return [
        FeaturesView(name, label, by_layer(shown))
        for name, label in looked_at
        if (shown := [figure for figure in figures if figure.variant == name])
    ]


def by_layer(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Figures by the convolution that they show, in their order."""
    layers: dict[str, list[Figure]] = {}
    for figure in figures:
        layers.setdefault(figure.layer, []).append(figure)
    return layers


def measures_table(results: StudyResults, dataset: str, question: Question) -> Table | None:
    """Measures of every convolution of a question, a row for each variant: mean ± SD over seeds; None without rows."""
    rows = results.convolutions
    rows = rows[(rows["dataset"] == dataset) & (rows["experiment"] == question.name)]
    if rows.empty:
        return None
    cells, variants = [], []
    for (layer, variant), group in rows.groupby(["layer", "variant"], sort=False):
        measured = group.set_index("measure").to_dict("index")
        label = question.level_labels.get(variant, results.label(variant))
        values = (mean_and_sd(name, measured[name]) for name in MEASURES)
        cells.append((label, layer, say.count(group["filters"].iloc[0]), *values))
        variants.append(variant)
    return Table("features", TABLE_COLUMNS, cells, {"question": question.text, "dataset": dataset}, variants)


def mean_and_sd(measure: str, row: Mapping[str, float]) -> str:
    """``12.3 ± 1.4 %`` or ``0.412 ± 0.021``; a dash where the measure is not defined."""
    scale, unit = (100, "%") if MEASURES[measure].is_share else (1, "")
    mean, sd = (say.MISSING if say.missing(row[name]) else say.number(scale * row[name], MEASURES[measure].decimals)
                for name in ("mean", "sd"))  # fmt: skip
    if mean == say.MISSING:
        return mean
    text = mean if sd == say.MISSING else f"{mean} ± {sd}"
    return i18n.with_unit(text, unit) if unit else text


def not_looked_into(results: StudyResults, figures: Sequence[Figure]) -> str:
    """Labels of variants of the user's own code of which no convolution can be seen; empty without any."""
    shown = {figure.variant for figure in figures} | set(results.convolutions["variant"])
    own = [
        variant.label
        for name, variant in results.plan.compared.items()
        if variant.model.family == "python" and name not in shown
    ]
    return i18n.listing(own) if own else ""
