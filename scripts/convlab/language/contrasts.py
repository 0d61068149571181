"""Comparisons in words: the sentence that states a contrast, verdicts, labels; in the language in use."""

from dataclasses import dataclass

from convlab.common.i18n import N_, ngettext, number
from convlab.common.i18n import gettext as _
from convlab.language.numbers import change, change_interval, format_p, p_over_study, region, rounded_up
from convlab.statistics.comparisons import (
    Contrast,
    Verdict,
    diverged_runs_forbid,
    excludes_zero,
    verdict_of_finished_runs,
)
from convlab.statistics.describe import MIN_SEEDS
from convlab.statistics.power import MAX_SEEDS
from convlab.statistics.sequential import Look
from convlab.study.metrics import ACCURACY, Metric
from convlab.study.variants import Plan, Question

VERDICTS = {
    "better": N_("better"), "worse": N_("worse"), "equivalent": N_("equivalent"), "inconclusive": N_("inconclusive"),
    "supported": N_("supported"), "contradicted": N_("contradicted"), "described": N_("described"),
}  # fmt: skip
"""Text of each verdict of a comparison or a claim, before translation."""


def verdict_text(verdict: str, diverged: int = 0) -> str:
    """Text of a verdict in badges and tables; it says so if ``diverged`` runs were left out."""
    settled = verdict in ("better", "worse", "equivalent", "supported", "contradicted")
    if settled and diverged:
        return _("{verdict}, of the runs that finished", verdict=_(VERDICTS[verdict]))
    return _(VERDICTS[verdict])


def guessing(label: str) -> str:
    """Text of the constant guess; ``label`` is empty if several classes are equally frequent."""
    return _("always answering “{label}”", label=label) if label else _("always answering with the same class")


def detectable_reason(difference: float, power: str = "80", metric: Metric = ACCURACY) -> str:
    """Clause about the smallest detectable difference, also where no two values can differ by that much.

    Args:
        difference: the smallest detectable difference of the metric.
        power: in percent.
    """
    if difference > metric.difference_limits[1]:
        return _(
            "this design could detect no difference that there can be ({power} % power, adjusted over the study)",
            power=power,
        )
    return _(
        "this design could detect {detectable} or more ({power} % power, adjusted over the study)",
        detectable=rounded_up(difference, metric.difference_unit),
        power=power,
    )


def constant_guess_text(label: str, share: str) -> str:
    """Accuracy of the constant guess, as a sentence for captions of tables."""
    guess = guessing(label)
    return _("The baseline, {guess}, is right for {share} of the test images.", guess=guess, share=share)


TESTS = {
    "Dunnett, seeds as blocks": N_("Dunnett, paired"), "paired t": N_("paired t"),
    "paired t with Holm": N_("paired t, Holm"),
}  # fmt: skip
"""Short name of each test before its p value, before translation."""

INCONCLUSIVE_SENTENCE = N_("{variant} vs {reference} changed {metric} by {change} ({details}): {verdict}; {reasons}.")


def contrast_labels(plan: Plan, question: Question, variant: str) -> tuple[str, str]:
    """Labels of a contrast's two sides: those of an experiment's levels, else those of the variants."""
    names = {name: question.level_labels.get(name, plan.variants[name].label) for name in (variant, question.reference)}
    return names[variant], names[question.reference]


@dataclass(frozen=True)
class _Comparison:
    """A contrast with its verdict, labels and numbers of runs; p values are adjusted over the study, or None."""

    contrast: Contrast
    verdict: Verdict
    p_adjusted: float | None
    p_equivalence_adjusted: float | None
    variant: str
    reference: str
    metric: Metric

    @property
    def parts(self) -> dict[str, str]:
        """Placeholders of every sentence with a difference."""
        return {
            "variant": self.variant,
            "reference": self.reference,
            "metric": _(self.metric.name),
            "change": change(self.contrast.difference, self.metric),
            "verdict": self.word,
        }

    @property
    def word(self) -> str:
        return verdict_text(self.verdict, self.contrast.n_missing_variant + self.contrast.n_missing_reference)

    @property
    def counts(self) -> str:
        return _count_text(self.contrast, self.variant, self.reference)

    @property
    def details(self) -> str:
        """Interval, runs and p value of a contrast that was tested."""
        contrast = self.contrast
        test = _(TESTS[contrast.method])
        p_text = p_over_study(f"{test} {format_p(contrast.p_value)}", contrast.p_value, self.p_adjusted)
        level, limits = number(contrast.confidence * 100, "g"), (contrast.ci_low, contrast.ci_high)
        interval = _("{level} % CI {interval}", level=level, interval=change_interval(*limits, self.metric))
        return f"{interval}; {self.counts}; {p_text}"


def comparison_sentence(
    contrast: Contrast,
    p_adjusted: float | None,
    verdict: Verdict,
    variant_label: str | None = None,
    reference_label: str | None = None,
    p_equivalence_adjusted: float | None = None,
    metric: Metric = ACCURACY,
    planned: Look | None = None,
) -> str:
    """Sentence of a contrast: difference, uncertainty, verdict, and the detectable difference.

    An example: "5×5 vs 3×3 changed test accuracy by +0.42 pp (95 % CI −0.10 to +0.94; n = 5 seeds each; Dunnett
    p = .11): inconclusive; this design could detect 0.9 pp or more (80 % power, adjusted over the study); if the true
    difference is the observed one, about 19 seeds each would settle it (80 % power)."

    p values follow the APA's style. The p value over the study is added where it reads differently. Eight parameters:
    those of the verdict, and names.

    Args:
        contrast: of values of ``metric`` (:func:`convlab.statistics.comparisons.compare_to_reference`).
        p_adjusted: adjusted over the study, or None.
        verdict: from :func:`convlab.statistics.comparisons.verdict`.
        variant_label, reference_label: names for the reader; the contrast's keys by default.
        p_equivalence_adjusted: adjusted over the study, or None.
        planned: the present look of a study that has planned several: then no number of seeds is named that would
            settle it, since the plan says when to look.
    """
    variant = contrast.variant if variant_label is None else variant_label
    reference = contrast.reference if reference_label is None else reference_label
    comparison = _Comparison(contrast, verdict, p_adjusted, p_equivalence_adjusted, variant, reference, metric)
    if contrast.difference is None:
        return _without_value(comparison)
    if contrast.method == "none":
        return _not_tested(comparison)
    if verdict == "equivalent":
        return _equivalent(comparison)
    if verdict == "inconclusive":
        return _inconclusive(comparison, planned)
    return _(
        "{variant} vs {reference} changed {metric} by {change} ({details}): {verdict}.",
        **comparison.parts,
        details=comparison.details,
    )


def _without_value(comparison: _Comparison) -> str:
    """Sentence of a contrast of which one side has no finished run, or of a metric that is not defined."""
    contrast = comparison.contrast
    if 0 in (contrast.n_variant + contrast.n_missing_variant, contrast.n_reference + contrast.n_missing_reference):
        return _(
            "{variant} vs {reference}: {verdict}; {metric} cannot be compared, for it is not defined where a class has "
            "no test image.",
            variant=comparison.variant,
            reference=comparison.reference,
            verdict=comparison.word,
            metric=_(comparison.metric.name),
        )
    return _(
        "{variant} vs {reference}: {verdict}; {metric} cannot be compared, no run of {empty} has a value ({counts}).",
        variant=comparison.variant,
        reference=comparison.reference,
        verdict=comparison.word,
        metric=_(comparison.metric.name),
        empty=comparison.variant if contrast.n_variant == 0 else comparison.reference,
        counts=comparison.counts,
    )


def _not_tested(comparison: _Comparison) -> str:
    """Sentence of a contrast that was not tested: fewer than three seeds, or runs that do not vary."""
    n = min(comparison.contrast.n_variant, comparison.contrast.n_reference)
    if n < MIN_SEEDS:
        reason = _(
            "n = {n} is a smoke test, at least {least} seeds each are needed to infer anything", n=n, least=MIN_SEEDS
        )
    else:
        reason = _("the runs do not vary, so their variance cannot be estimated")
    return _(INCONCLUSIVE_SENTENCE, **comparison.parts, details=comparison.counts, reasons=reason)


def _equivalent(comparison: _Comparison) -> str:
    contrast = comparison.contrast
    p_text = p_over_study(format_p(contrast.p_equivalence), contrast.p_equivalence, comparison.p_equivalence_adjusted)
    return _(
        "{variant} vs {reference} changed {metric} by {change} ({details}): {verdict} within {region} (two "
        "one-sided tests {p}).",
        **comparison.parts,
        details=comparison.details,
        region=region(contrast.rope, comparison.metric.difference_unit),
        p=p_text,
    )


def _inconclusive(comparison: _Comparison, planned: Look | None) -> str:
    """Sentence of an inconclusive contrast: reason, detectable difference, seeds that would settle it."""
    contrast, metric = comparison.contrast, comparison.metric
    of_finished = verdict_of_finished_runs(
        contrast, comparison.p_adjusted, comparison.p_equivalence_adjusted, metric.higher_is_better
    )
    if diverged_runs_forbid(contrast, of_finished):
        reason = diverged_reason(
            (contrast.n_missing_variant, contrast.n_variant), (contrast.n_missing_reference, contrast.n_reference)
        )
        return _(INCONCLUSIVE_SENTENCE, **comparison.parts, details=comparison.details, reasons=reason)
    reasons = []
    if excludes_zero(contrast):
        if abs(contrast.difference) <= contrast.rope:
            within = region(contrast.rope, metric.difference_unit)
            text = _("the interval excludes 0 but the estimate lies within {region}", region=within)
        else:
            text = _("the interval excludes 0 but p over the study does not reach the level")
        reasons.append(text)
    power = number(contrast.power * 100, "g")
    reasons.append(detectable_reason(contrast.detectable, power, metric))
    if planned is not None:
        return _(INCONCLUSIVE_SENTENCE, **comparison.parts, details=comparison.details, reasons="; ".join(reasons))
    if contrast.seeds_to_settle is None:
        reasons.append(more_seeds_reason())
    elif contrast.seeds_to_settle > min(contrast.n_variant, contrast.n_reference):
        reasons.append(
            _(
                "if the true difference is the observed one, about {n} seeds each would settle it ({power} % power)",
                n=contrast.seeds_to_settle,
                power=power,
            )
        )
    return _(INCONCLUSIVE_SENTENCE, **comparison.parts, details=comparison.details, reasons="; ".join(reasons))


def more_seeds_reason() -> str:
    """Clause for a comparison that no feasible number of seeds would settle."""
    return _(
        "if the true difference is the observed one, more than {n} seeds each would be needed to settle it", n=MAX_SEEDS
    )


def diverged_reason(variant: tuple[int, int], reference: tuple[int, int]) -> str:
    """Clause for sides that diverged unequally often. Args: (diverged, finished) runs of each side."""
    return _(
        "{first} of {all} runs diverged against {second} of {others} of the reference, so the runs that finished "
        "decide nothing",
        first=variant[0],
        all=sum(variant),
        second=reference[0],
        others=sum(reference),
    )


def _count_text(contrast: Contrast, variant_label: str, reference_label: str) -> str:
    """Number of runs on each side, and of those left out."""
    if contrast.n_variant == contrast.n_reference:
        text = ngettext("n = {n} seed each", "n = {n} seeds each", contrast.n_variant)
    else:
        text = ngettext(
            "n = {n} seed of {variant} and {n_reference} of {reference}",
            "n = {n} seeds of {variant} and {n_reference} of {reference}",
            contrast.n_variant,
            variant=variant_label,
            n_reference=contrast.n_reference,
            reference=reference_label,
        )
    for label, missing in (
        (variant_label, contrast.n_missing_variant),
        (reference_label, contrast.n_missing_reference),
    ):
        if missing:
            left_out = ngettext(
                "{n} run of {label} left out as diverged",
                "{n} runs of {label} left out as diverged",
                missing,
                label=label,
            )
            text = f"{text}; {left_out}"
    return text
