"""Captions of tables and of figures: what points and lines are, by how many seeds there are, and what is not drawn."""

from collections.abc import Mapping

from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.language.contrasts import constant_guess_text
from convlab.language.numbers import quantity_text, region
from convlab.statistics.claims import ConstantGuess
from convlab.study.metrics import Metric

TABLE_CAPTIONS = {
    "runs": N_("Every run of the study{where}."),
    "variants": N_("Every variant{where}: mean over n seeds with SD and 95 % t interval of the mean."),
    "comparisons": N_(
        "Differences of {metric} to the reference{where}, with simultaneous 95 % intervals over seeds; "
        "p is adjusted over the study (Holm), that of equivalence too (Bonferroni)."
    ),
    "robustness": N_(
        "Verdicts of the comparisons by other analyses{where}, with simultaneous 95 % intervals. "
        "Exploratory: the registered analysis decides."
    ),
    "tuning": N_("What tuning chose{where}, of the trials of each variant and seed, by validation accuracy."),
    "claims": N_("Claims of the config, and what this study found{where}; p is adjusted over the study (Holm)."),
    "trends": N_(
        "Trends of {metric} over ordered factors{where}: slope with 95 % interval, Page's trend test. "
        "Exploratory: these p values are not adjusted over the study."
    ),
    "factorials": N_(
        "Two factors in all combinations{where}: effects on {metric} and interactions, seeds as blocks. Exploratory: "
        "these p values are not adjusted over the study."
    ),
    "per_class": N_("Precision, recall (± SD) and F1 by class{where}, means over seeds."),
    "convolutions": N_(
        "Measures of filters and feature maps{where}: mean ± SD over n seeds; differences to the reference are paired "
        "by seed, with 95 % t interval. Exploratory: not adjusted over the study."
    ),
    "timings": N_("Times of “make timing”{where}: in each round every variant once, in a process of its own."),
    "probe_curves": N_("What the probes measured{where}: mean ± SD over n seeds with 95 % t interval."),
    "probe_contrasts": N_(
        "Statistics of the probes{where}, paired by seed, with 95 % t interval. "
        "Exploratory: not adjusted over the study."
    ),
}
"""Caption of each table, before translation; ``where`` names the dataset if the study has only one."""

WITH_BASELINE = ("runs", "variants", "probe_curves")
"""Tables of accuracies, whose captions name the accuracy of a constant guess."""


def table_caption(name: str, guesses: Mapping[str, ConstantGuess | None], metric: Metric) -> str:
    """Caption of a table of compare, in the language in use.

    Args:
        guesses: the constant guess of each dataset of the study; None without test images.
        metric: what verdicts of the study are about.
    """
    where = _(" on {dataset}", dataset=next(iter(guesses))) if len(guesses) == 1 else ""
    caption = _(TABLE_CAPTIONS[name], where=where, metric=_(metric.name))
    if name in WITH_BASELINE:
        for dataset, guess in guesses.items():
            if guess:
                baseline = constant_guess_text(guess.label, quantity_text(guess.share, "%"))
                caption += f" {dataset}: {baseline}" if len(guesses) > 1 else f" {baseline}"
    return caption


def with_not_drawn(caption: str, count: int) -> str:
    """A figure's caption, with how many variants have no place in it; as it is where all are drawn."""
    if not count:
        return caption
    return f"{caption} {ngettext('{n} more variant is not drawn.', '{n} more variants are not drawn.', count)}"


# ---------------------------------------------------------------------------------------------------------------------
# Figures of variants. ``most_seeds``: the largest number of runs with a value that one of the variants has.


def every_seed(most_seeds: int, with_intervals: bool) -> str:
    """Of a metric of some variants, every run a point."""
    if with_intervals:
        return _("Each point is one seed, the bar the mean, the line its 95 % t interval.")
    if most_seeds > 1:
        return _("Each point is one seed, the bar the mean; without intervals.")
    return _("Single runs, without intervals.")


def costs(metric: Metric, most_seeds: int) -> str:
    """Of a metric against what a variant costs."""
    if most_seeds > 1:
        return _("Mean {metric} with the SD over seeds against what a variant costs.", metric=_(metric.name))
    return _("Single runs: {metric} against what a variant costs.", metric=_(metric.name))


def differences(metric: Metric, rope: float, with_intervals: bool) -> str:
    """Of differences to the reference, over the region of practical equivalence ± ``rope``."""
    values = {"metric": _(metric.name), "region": region(rope, metric.difference_unit)}
    if with_intervals:
        return _(
            "Points are differences of mean {metric}, lines simultaneous 95 % intervals; the shaded band is the region "
            "of practical equivalence, {region}.",
            **values,
        )
    return _(
        "Points are differences of mean {metric}, without intervals; the shaded band is the region of practical "
        "equivalence, {region}.",
        **values,
    )


def combinations(metric: Metric, most_seeds: int) -> str:
    """Of the heat map of two factors."""
    if most_seeds > 1:
        return _(
            "Mean {metric} and SD over seeds of every combination of both factors; the reference is framed.",
            metric=_(metric.name),
        )
    return _(
        "Single runs: {metric} of every combination of both factors; the reference is framed.", metric=_(metric.name)
    )


def learning_curves(most_seeds: int) -> str:
    """Of losses and accuracies by epoch."""
    if most_seeds > 1:
        return _("Marked lines: validation, mean over seeds with the range of the seeds shaded; thin lines: training.")
    return _("Single runs. Marked lines: validation; thin lines: training.")
