"""Convolution against a dense baseline: verdict, cost, and possible reasons for a loss."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import (
    contrast_text,
    quoted_numbers,
    swapped,
    verdict_or_gap,
    why_inconclusive,
)
from convlab.findings.study_results import Finding, StudyResults, Topic, VerdictOrGap
from convlab.findings.training import CLOSE_ACCURACY, fits_of, still_falling
from convlab.language.numbers import count, missing, multiple, number, percent, points, region
from convlab.results.timings import time_ratio
from convlab.statistics.describe import MIN_SEEDS, summarise

PARAMETER_RATIO_ALIKE = 1.25
"""Parameter counts within this ratio of each other count as alike."""

COSTS = {
    "parameters": (
        N_("the same parameters ({value})"),
        N_("{variant} parameters against {reference} ({ratio})"),
    ),
    "macs": (
        N_("the same MACs per image ({value})"),
        N_("{variant} MACs per image against {reference} ({ratio})"),
    ),
}
"""Texts of a cost: equal on both sides, different."""


@dataclass(frozen=True)
class Duel:
    """A comparison of a convolutional with a dense variant; differences are convolutional minus dense."""

    conv: str
    dense: str
    row: Mapping[str, Any]
    verdict: VerdictOrGap


def duels(results: StudyResults, dataset: str) -> list[Duel]:
    """Every comparison of the study between a convolutional and a dense variant."""
    duels_of_study = []
    for question in results.plan.questions.values():
        for row in results.contrasts(dataset, question.name):
            variant, reference = row["variant"], row["reference"]
            if {results.side(variant), results.side(reference)} != {"conv", "dense"}:
                continue
            if results.side(reference) == "conv":
                row, variant, reference = swapped(row), reference, variant
            duels_of_study.append(Duel(variant, reference, row, verdict_or_gap(row)))
    return duels_of_study


def baseline(results: StudyResults, dataset: str) -> Topic:
    """Whether convolution beat the dense baseline, by how much, with which interval, and at what cost."""
    findings: list[Finding] = []
    for duel in duels(results, dataset):
        findings += _duel(results, dataset, duel)
    if not findings:
        findings = _no_duel(results, dataset)
    return Topic("baseline", tuple(findings))


MAIN_SENTENCES = {
    "smoke": N_(
        "Nothing is inferred about {conv} against {dense}: the observed difference of {metric} is {difference}, a "
        "smoke test."
    ),
    "better beyond the region": N_(
        "Yes: {conv} beat {dense}. Its {metric} differs by {difference}. "
        "Even the near end of the interval lies beyond the {region} that count as none in practice."
    ),
    "better": N_(
        "Yes: {conv} beat {dense}. Its {metric} differs by {difference}. "
        "The interval excludes 0, but its near end is within {region}: "
        "that there is an advantage is shown, that it matters in practice is not."
    ),
    "worse": N_("No: {conv} did worse than {dense}. Its {metric} differs by {difference}."),
    "equivalent": N_(
        "No, and it did not lose either: {conv} and {dense} are equivalent within {region} of {metric}. "
        "The difference is {difference}."
    ),
    "inconclusive": N_(
        "Not settled: whether {conv} beats {dense} cannot be told from this study. "
        "The observed difference of {metric} is {difference}; {reasons}."
    ),
}
"""Main sentence about a duel, by its verdict."""


def _duel(results: StudyResults, dataset: str, duel: Duel) -> list[Finding]:
    """The verdict, then diverged runs, costs and possible reasons; of a smoke test only the verdict."""
    conv, dense = results.label(duel.conv), results.label(duel.dense)
    if duel.verdict == "missing":
        finished = [results.variant(dataset, name)["n_seeds"] for name in (duel.conv, duel.dense)]
        one_of_them = N_("{conv} and {dense} cannot be compared: one of them has no finished run.")
        neither = N_("{conv} and {dense} cannot be compared: neither of them has a finished run.")
        return [Finding(_(one_of_them if any(finished) else neither, conv=conv, dense=dense))]
    kind, metric = duel.verdict, results.plan.metric
    ends = (duel.row["ci_low"], duel.row["ci_high"])
    if kind == "better" and min(map(abs, ends)) > results.rope:  # the interval excludes 0
        kind = "better beyond the region"
    main = _(
        MAIN_SENTENCES[kind],
        conv=conv,
        dense=dense,
        difference=contrast_text(duel.row),
        metric=_(metric.name),
        region=region(results.rope, metric.difference_unit),
        reasons=why_inconclusive(duel.row) if kind == "inconclusive" else "",
    )
    findings = [Finding(main, quoted_numbers(duel.row))]
    if duel.verdict == "smoke":
        return findings
    findings += _left_out(results, dataset, duel)
    findings += costs(results, dataset, duel.conv, duel.dense)
    findings += _different_sizes(results, dataset, duel)
    findings += _fewer_macs(results, dataset, duel)
    if duel.verdict == "worse":
        findings += [reason for rule in REASONS_TO_LOSE for reason in rule(results, dataset, duel)]
    return findings


def _different_sizes(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    ratio = _parameters(results, dataset, duel.conv) / _parameters(results, dataset, duel.dense)
    if not 1 / PARAMETER_RATIO_ALIKE <= ratio <= PARAMETER_RATIO_ALIKE:
        yield Finding(
            _("The two differ in size as well, so this compares these two models and not convolution alone."),
            {"parameters_ratio": ratio},
        )


def _fewer_macs(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    """Which of two equivalent models needs fewer MACs."""
    macs = {name: results.variant(dataset, name)["macs"] for name in (duel.conv, duel.dense)}
    if duel.verdict == "equivalent" and macs[duel.conv] != macs[duel.dense]:
        yield Finding(_("Of the two, {cheaper} needs fewer MACs.", cheaper=results.label(min(macs, key=macs.get))))


def _left_out(results: StudyResults, dataset: str, duel: Duel) -> list[Finding]:
    """Diverged runs of either side; the verdict is about the finished ones."""
    diverged = {name: int(results.variant(dataset, name)["n_diverged"]) for name in (duel.conv, duel.dense)}
    return [
        Finding(
            ngettext(
                "{n} run of {label} diverged: what is said here is about the runs that finished.",
                "{n} runs of {label} diverged: what is said here is about the runs that finished.",
                n,
                label=results.label(name),
            ),
            {"diverged": n},
        )
        for name, n in diverged.items()
        if n
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Possible reasons why convolution lost; those that this study's numbers point to come first


def _trained_too_briefly(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    fits = fits_of(results, dataset, duel.conv)
    falling, seeds = still_falling(fits), len(fits)
    constant = results.plan.variants[duel.conv].training.schedule == "constant"  # else the last epoch's rate is lowest
    if constant and seeds and falling > seeds / 2:
        text = ngettext(
            "{conv} may have been trained too briefly: its validation loss was lowest at the last epoch in "
            "{falling} of {n} seed.",
            "{conv} may have been trained too briefly: its validation loss was lowest at the last epoch in "
            "{falling} of {n} seeds.",
            seeds,
            conv=results.label(duel.conv),
            falling=falling,
        )
        yield Finding(text, {"falling": falling, "seeds": seeds}, "conjecture")


def _overfits_more(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    if any(results.plan.variants[name].training.mixes_images for name in (duel.conv, duel.dense)):
        return  # training accuracy is of blended images
    gap, other = (fits_of(results, dataset, name)["gap"].mean() for name in (duel.conv, duel.dense))
    if gap > max(CLOSE_ACCURACY, other + CLOSE_ACCURACY):
        text = _(
            "{conv} may overfit more: its training accuracy exceeds its validation accuracy by {gap}, that of "
            "{dense} by {other}.",
            conv=results.label(duel.conv),
            dense=results.label(duel.dense),
            gap=points(gap),
            other=points(other),
        )
        yield Finding(text, {"gap_conv": gap, "gap_dense": other}, "conjecture")


def _too_small(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    size, other = (_parameters(results, dataset, name) for name in (duel.conv, duel.dense))
    if size * PARAMETER_RATIO_ALIKE < other:
        text = _(
            "{conv} may be too small: it has {parameters} parameters, {dense} {others}.",
            conv=results.label(duel.conv),
            dense=results.label(duel.dense),
            parameters=count(size),
            others=count(other),
        )
        yield Finding(text, {"parameters_conv": size, "parameters_dense": other}, "conjecture")


def _aligned_images(results: StudyResults, dataset: str, duel: Duel) -> Iterator[Finding]:
    yield Finding(
        _(
            "Where images are aligned and the place of a pixel carries meaning, a dense network can learn weights "
            "for each place, which shared weights rule out. This study does not test whether that is so here."
        ),
        kind="conjecture",
    )


REASONS_TO_LOSE = (_trained_too_briefly, _overfits_more, _too_small, _aligned_images)


def _no_duel(results: StudyResults, dataset: str) -> list[Finding]:
    """Why the study has no comparison of a convolutional with a dense variant."""
    names = list(results.plan.variants)
    families = {side: [name for name in names if results.side(name) == side] for side in ("conv", "dense")}
    lacking = {
        "dense": N_(
            "This study trains no dense model, so it says nothing about whether convolution beats a dense network."
        ),
        "conv": N_(
            "This study trains no convolutional model, so it says nothing about whether convolution beats a dense "
            "network."
        ),
    }
    for family, message in lacking.items():
        if not families[family]:
            return [Finding(_(message))]
    best = [max((results.variant(dataset, n) for n in group), key=_accuracy) for group in families.values()]
    means = [row["test_accuracy_mean"] for row in best]
    if any(missing(mean) for mean in means):
        return [Finding(_("No comparison of a convolutional with a dense model has finished runs on both sides."))]
    return [
        Finding(
            _(
                "This study trains both families but compares no convolutional with a dense model: nothing is "
                "inferred. Described only: the highest mean test accuracy of a convolutional model is {conv_accuracy} "
                "({conv}), of a dense model {dense_accuracy} ({dense}). A comparison in the config would test it.",
                conv_accuracy=percent(means[0]),
                conv=best[0]["label"],
                dense_accuracy=percent(means[1]),
                dense=best[1]["label"],
            ),
            {"conv": means[0], "dense": means[1]},
        )
    ]


def costs(results: StudyResults, dataset: str, variant: str, reference: str) -> list[Finding]:
    """Parameters, MACs and training time of a variant beside its reference."""
    rows = [results.variant(dataset, name) for name in (variant, reference)]
    parts, numbers = [], {}
    for column in ("parameters", "macs"):
        values = [row[column] for row in rows]
        numbers |= {f"{column}_variant": values[0], f"{column}_reference": values[1]}
        same, other = COSTS[column]
        if values[0] == values[1]:
            parts.append(_(same, value=count(values[0])))
        else:
            ratio = multiple(values[0] / values[1])
            parts.append(_(other, variant=count(values[0]), reference=count(values[1]), ratio=ratio))
    seconds = [row["seconds_per_epoch"] for row in rows]
    ratios = time_ratio(results.timings, dataset, variant, reference, "seconds_per_epoch")
    if len(ratios) >= MIN_SEEDS:
        summary = summarise(ratios)
        numbers |= {"seconds_ratio": summary.mean, "rounds": summary.n}
        parts.append(
            _(
                "{ratio} as long for an epoch (95 % CI {low} to {high}; n = {n} rounds of “make timing”)",
                ratio=multiple(summary.mean),
                low=number(summary.ci_low, 2),
                high=number(summary.ci_high, 2),
                n=summary.n,
            )
        )
    elif results.machines > 1:
        parts.append(_("times are not compared, since these runs come from {n} different machines", n=results.machines))
    elif not any(missing(value) or value <= 0 for value in seconds):
        numbers |= {"seconds_variant": seconds[0], "seconds_reference": seconds[1]}
        parts.append(
            _(
                "{variant} s per epoch against {reference} as measured, which depends on the machine and what ran "
                "beside",
                variant=_seconds(rows[0]),
                reference=_seconds(rows[1]),
            )
        )
    text = _(
        "The cost of {variant} beside {reference}: {costs}.",
        variant=results.label(variant),
        reference=results.label(reference),
        costs="; ".join(parts),
    )
    return [Finding(text, numbers)]


def _seconds(row: Mapping[str, Any]) -> str:
    """Seconds per epoch with their SD over runs: ``1.92 ± 0.03``."""
    mean, sd = number(row["seconds_per_epoch"], 2), row.get("seconds_per_epoch_sd")
    return mean if missing(sd) else f"{mean} ± {number(sd, 2)}"


def _parameters(results: StudyResults, dataset: str, name: str) -> int:
    return int(results.variant(dataset, name)["parameters"])


def _accuracy(row: Mapping[str, Any]) -> float:
    mean = row["test_accuracy_mean"]
    return -1.0 if missing(mean) else mean
