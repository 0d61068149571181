"""Findings about tuning: whether verdicts depend on the training settings, and whether the ranges were wide enough."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import metric_of, verdict_or_gap
from convlab.findings.study_results import Finding, StudyResults
from convlab.language.contrasts import VERDICTS, contrast_labels
from convlab.language.numbers import change, change_interval, missing
from convlab.language.robustness import TUNED
from convlab.results.tuning import drawn_settings
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.labels import field_label, level_label
from convlab.study.variants import Question

CHANCE_LEVEL = 0.05
"""Probability below which a count is not put down to chance."""

OPPOSITE = {"better": "worse", "worse": "better"}

CONCLUSIONS = {
    "stays": N_("{variant} against {reference}: {verdict} with the settings of the config, and when both are tuned."),
    "turns": N_(
        "{variant} against {reference}: the order turns, {verdict} with the settings of the config and {tuned_verdict} "
        "when both are tuned, so that the conclusion is about these settings and not about the two."
    ),
    "depends": N_(
        "{variant} against {reference}: the conclusion depends on the settings, {verdict} with those of the config, "
        "{tuned_verdict} when both are tuned."
    ),
    "open": N_(
        "{variant} against {reference}: whether the order depends on the settings cannot be told; it is settled "
        "neither with those of the config nor when both are tuned."
    ),
    "unknown": N_(
        "{variant} against {reference}: whether the order depends on the settings cannot be told, since too few tuned "
        "runs finished or they do not vary."
    ),
    "few": N_(
        "{variant} against {reference}: whether the order depends on the settings cannot be told from fewer than "
        "{least} seeds."
    ),
}
"""Sentence for each relation of the two verdicts."""


def conclusion(untuned: str, tuned: str | None, n_seeds: int = MIN_SEEDS) -> str:
    """Key of ``CONCLUSIONS`` for the verdict with the config's settings and the one when both are tuned, if any."""
    if tuned is None:
        return "unknown" if n_seeds >= MIN_SEEDS else "few"
    if untuned == tuned:
        return "open" if tuned == "inconclusive" else "stays"
    return "turns" if OPPOSITE.get(untuned) == tuned else "depends"


def tuned_contrast(results: StudyResults, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of robustness.csv with the tuned runs of a row of comparisons.csv; None where nothing could be tested."""
    others = results.other_analyses(row["dataset"], row["experiment"], row["variant"])
    return next((other for other in others if other["analysis"] == TUNED), None)


def order_when_tuned(results: StudyResults, dataset: str, question: Question) -> Iterator[Finding]:
    """For each comparison of a question, whether its conclusion depends on the training settings."""
    for row in results.contrasts(dataset, question.name):
        tuned, untuned = tuned_contrast(results, row), row["verdict"]
        variant, reference = contrast_labels(results.plan, question, row["variant"])
        text = _(
            CONCLUSIONS[conclusion(untuned, tuned and tuned["verdict"], int(row["n_seeds"]))],
            least=MIN_SEEDS,
            variant=variant,
            reference=reference,
            verdict=_(VERDICTS[untuned]),
            tuned_verdict=_(VERDICTS[tuned["verdict"]]) if tuned else "",
        )
        numbers = {"difference": row["difference"]} if verdict_or_gap(row) != "missing" else {}
        if tuned:
            numbers |= {f"tuned_{name}": tuned[name] for name in ("difference", "ci_low", "ci_high")}
            metric = metric_of(row)
            text += " " + _(
                "The difference of {untuned} becomes {tuned} (95 % CI {interval}).",
                untuned=change(row["difference"], metric),
                tuned=change(tuned["difference"], metric),
                interval=change_interval(tuned["ci_low"], tuned["ci_high"], metric),
            )
        yield Finding(text, {name: value for name, value in numbers.items() if not missing(value)}, "exploratory")


def diverged_trials(results: StudyResults, dataset: str) -> Iterator[Finding]:
    """How many trials diverged, and of how many variants and seeds all did; nothing where none did."""
    table = results.tuning[results.tuning["dataset"] == dataset]
    diverged = table["status"] == "diverged"
    if not diverged.any():
        return
    lost = int(diverged.groupby([table["variant"], table["seed"]]).all().sum())
    text = ngettext(
        "{n} of {all} trials diverged.", "{n} of {all} trials diverged.", int(diverged.sum()), all=len(table)
    )
    if lost:
        text += " " + ngettext(
            "Of {n} variant and seed all of them did, so that it has no tuned run.",
            "Of {n} variants and seeds all of them did, so that they have no tuned run.",
            lost,
        )
    yield Finding(text, {"diverged": int(diverged.sum()), "trials": len(table), "without_a_tuned_run": lost}, "note")


def ends_of_ranges(results: StudyResults, dataset: str) -> Iterator[Finding]:
    """Variants whose best draw is the lowest, or the highest, in more seeds than chance explains (5 %, each by itself),
    so that better values may lie beyond the range."""
    from scipy.stats import binom  # takes a third of a second, and most processes need none of it

    table = results.tuning[results.tuning["dataset"] == dataset]
    for name in drawn_settings(table):
        for variant, trials in table.groupby("variant", sort=False):
            chosen = trials[trials["chosen"] == "yes"].set_index("seed")[name]
            draws = trials.groupby("seed")[name].agg(["min", "max"]).loc[chosen.index]
            chance = 1 / trials["trial"].max()
            for end in ("min", "max"):
                count = int((chosen == draws[end]).sum())
                if binom.sf(count - 1, len(chosen), chance) < CHANCE_LEVEL:
                    yield _at_the_end(results.label(variant), name, end, trials[name], (count, len(chosen)))


def _at_the_end(label: str, name: str, end: str, values: pd.Series, seeds: tuple[int, int]) -> Finding:
    """The finding about a variant whose best values lie at an end; ``seeds`` are those in which they do, and all."""
    value = float(values.min() if end == "min" else values.max())
    text = _(
        N_(
            "{label}: the lowest {setting} that was drawn was the best in {n} of {all} seeds, so better ones may lie "
            "below {value}; widen tuning.over.{key}."
        )
        if end == "min"
        else N_(
            "{label}: the highest {setting} that was drawn was the best in {n} of {all} seeds, so better ones may lie "
            "above {value}; widen tuning.over.{key}."
        ),
        label=label,
        setting=field_label(name),
        n=seeds[0],
        all=seeds[1],
        value=level_label(name, value),
        key=name,
    )
    return Finding(text, {"seeds_at_the_end": seeds[0], "seeds": seeds[1], "value": value}, "note")
