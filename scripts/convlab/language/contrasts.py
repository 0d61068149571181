"""Comparisons in words: the sentence that states a contrast, p values, signed numbers; in the language in use."""

import math

from convlab.common.i18n import N_, below_one, ngettext, number, with_unit
from convlab.common.i18n import gettext as _
from convlab.statistics.comparisons import (
    Contrast,
    Verdict,
    diverged_runs_forbid,
    excludes_zero,
    verdict_of_finished_runs,
)
from convlab.statistics.describe import MIN_SEEDS
from convlab.statistics.power import MAX_SEEDS

VERDICTS = {
    "better": N_("better"), "worse": N_("worse"), "equivalent": N_("equivalent"), "inconclusive": N_("inconclusive"),
    "supported": N_("supported"), "contradicted": N_("contradicted"), "described": N_("described"),
}  # fmt: skip
"""How a verdict of a comparison or a claim reads, before translation."""

MEASURES = {
    "accuracy": N_("accuracy"), "consistency": N_("consistency"), "test_loss": N_("test loss"), "brier": N_("brier"),
    "ece": N_("ece"), "accuracy lost": N_("accuracy lost"), "lead lost": N_("lead lost"), "lead left": N_("lead left"),
    "lead": N_("lead"),
}  # fmt: skip
"""How the measures of the probes' tables read, before translation."""


def verdict_text(verdict: str, diverged: int = 0) -> str:
    """A verdict as a badge or a table shows it; one that leaves ``diverged`` runs out says so."""
    settled = verdict in ("better", "worse", "equivalent", "supported", "contradicted")
    if settled and diverged:
        return _("{verdict}, of the runs that finished", verdict=_(VERDICTS[verdict]))
    return _(VERDICTS[verdict])


def guessing(label: str) -> str:
    """The constant guess that accuracies are held against; ``label`` is empty where classes are equally frequent."""
    return _("always answering “{label}”", label=label) if label else _("always answering with the same class")


def detectable_reason(difference: float, text: str, power: str = "80") -> str:
    """What a design could have detected: ``text``, or nothing where accuracies cannot differ by that much.

    Args:
        difference: the smallest detectable difference of accuracies, as a share.
        text: the same, with its unit.
        power: in percent.
    """
    if difference > 1:
        return _(
            "this design could detect no difference that accuracies can have ({power} % power, adjusted over the "
            "study)",
            power=power,
        )
    return _(
        "this design could detect {detectable} or more ({power} % power, adjusted over the study)",
        detectable=text,
        power=power,
    )


def constant_guess_text(label: str, share: str) -> str:
    """The baseline of every accuracy, to follow the caption of a table."""
    guess = guessing(label)
    return _("The baseline, {guess}, is right for {share} of the test images.", guess=guess, share=share)


def sentence(
    contrast: Contrast,
    p_adjusted: float | None,
    verdict: Verdict,
    metric_label: str = N_("test accuracy"),
    variant_label: str | None = None,
    reference_label: str | None = None,
    unit: str = "pp",
    p_equivalence_adjusted: float | None = None,
) -> str:
    """One sentence that states a contrast, its uncertainty, and what the design could have seen.

    An example: "5×5 vs 3×3 changed test accuracy by +0.42 pp (95 % CI −0.10 to +0.94; n = 5 seeds each; Dunnett
    p = .11): inconclusive; this design could detect 0.9 pp or more (80 % power, adjusted over the study); if the true
    difference is the observed one, about 19 seeds each would settle it (80 % power)."

    p values follow the APA's style. The p value over the study is added where it reads differently.

    Args:
        contrast: from :func:`statistics.compare_to_reference`.
        p_adjusted: adjusted over the study, or None.
        verdict: from :func:`statistics.verdict`.
        metric_label: what was measured.
        variant_label, reference_label: names for the reader; the contrast's keys by default.
        unit: "pp" prints fractions as percentage points with two decimals; any other text (also "") prints the
            values as they are with three decimals.
        p_equivalence_adjusted: adjusted over the study, or None.
    """
    variant_label = contrast.variant if variant_label is None else variant_label
    reference_label = contrast.reference if reference_label is None else reference_label
    scale, decimals = (100, 2) if unit == "pp" else (1, 3)
    metric = _(metric_label)
    word = verdict_text(verdict, contrast.n_missing_variant + contrast.n_missing_reference)

    counts = _count_text(contrast, variant_label, reference_label)
    if contrast.difference is None:
        return _(
            "{variant} vs {reference}: {verdict}; {metric} cannot be compared, no run of {empty} has a value "
            "({counts}).",
            variant=variant_label,
            reference=reference_label,
            verdict=word,
            metric=metric,
            empty=variant_label if contrast.n_variant == 0 else reference_label,
            counts=counts,
        )
    said = {
        "variant": variant_label,
        "reference": reference_label,
        "metric": metric,
        "change": with_unit(signed(contrast.difference * scale, decimals), unit),
        "verdict": word,
    }
    if contrast.method == "none":
        n = min(contrast.n_variant, contrast.n_reference)
        if n < MIN_SEEDS:
            reason = _(
                "n = {n} is a smoke test, at least {least} seeds each are needed to infer anything",
                n=n,
                least=MIN_SEEDS,
            )
        else:
            reason = _("the runs do not vary, so their variance cannot be estimated")
        return _(OPEN_SENTENCE, **said, details=counts, reasons=reason)

    test = {"Dunnett": "Dunnett", "Welch with Holm": "Welch–Holm"}[contrast.method]
    p_text = f"{test} {format_p(contrast.p_value)}"
    if p_adjusted is not None and format_p(p_adjusted) != format_p(contrast.p_value):
        p_text = _("{p}, over the study {adjusted}", p=p_text, adjusted=format_p(p_adjusted))
    low, high = (signed(limit * scale, decimals) for limit in (contrast.ci_low, contrast.ci_high))
    interval = _("{level} % CI {low} to {high}", level=number(contrast.confidence * 100, "g"), low=low, high=high)
    said["details"] = f"{interval}; {counts}; {p_text}"
    region = f"± {with_unit(number(contrast.rope * scale, 'g'), unit)}"
    if verdict == "equivalent":
        p_text = format_p(contrast.p_equivalence)
        if p_equivalence_adjusted is not None and format_p(p_equivalence_adjusted) != p_text:
            p_text = _("{p}, over the study {adjusted}", p=p_text, adjusted=format_p(p_equivalence_adjusted))
        return _(
            "{variant} vs {reference} changed {metric} by {change} ({details}): {verdict} within {region} (two "
            "one-sided tests {p}).",
            **said,
            region=region,
            p=p_text,
        )
    if verdict != "inconclusive":
        return _("{variant} vs {reference} changed {metric} by {change} ({details}): {verdict}.", **said)

    of_finished = verdict_of_finished_runs(contrast, p_adjusted, p_equivalence_adjusted)
    if diverged_runs_forbid(contrast, of_finished):
        reason = diverged_reason(
            (contrast.n_missing_variant, contrast.n_variant), (contrast.n_missing_reference, contrast.n_reference)
        )
        return _(OPEN_SENTENCE, **said, reasons=reason)
    reasons = []
    if excludes_zero(contrast):
        if abs(contrast.difference) <= contrast.rope:
            reasons.append(_("the interval excludes 0 but the estimate lies within {region}", region=region))
        else:
            reasons.append(_("the interval excludes 0 but p over the study does not reach the level"))
    power = number(contrast.power * 100, "g")
    detectable = with_unit(_round_up(contrast.detectable * scale, decimals - 1), unit)
    reasons.append(detectable_reason(contrast.detectable, detectable, power))
    if contrast.seeds_to_settle is None:
        reasons.append(
            _(
                "if the true difference is the observed one, more than {n} seeds each would be needed to settle it",
                n=MAX_SEEDS,
            )
        )
    elif contrast.seeds_to_settle > min(contrast.n_variant, contrast.n_reference):
        reasons.append(
            _(
                "if the true difference is the observed one, about {n} seeds each would settle it ({power} % power)",
                n=contrast.seeds_to_settle,
                power=power,
            )
        )
    return _(OPEN_SENTENCE, **said, reasons="; ".join(reasons))


def diverged_reason(variant: tuple[int, int], reference: tuple[int, int]) -> str:
    """Why nothing is said where the two sides diverged unequally often; counts of diverged and finished runs."""
    return _(
        "{first} of {all} runs diverged against {second} of {others} of the reference, so the runs that finished "
        "decide nothing",
        first=variant[0],
        all=sum(variant),
        second=reference[0],
        others=sum(reference),
    )


OPEN_SENTENCE = N_("{variant} vs {reference} changed {metric} by {change} ({details}): {verdict}; {reasons}.")


def format_p(p_value: float) -> str:
    """A p value in the APA's style: no leading zero, "p < .001", three decimals below .1 and two from there."""
    if p_value < 0.001:
        return f"p < {below_one(0.001, 3)}"
    if p_value > 0.99:
        return f"p > {below_one(0.99, 2)}"
    return f"p = {below_one(p_value, 3 if round(p_value, 3) < 0.1 else 2)}"


def _count_text(contrast: Contrast, variant_label: str, reference_label: str) -> str:
    """How many runs each side has, and how many were left out."""
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


def signed(value: float, decimals: int) -> str:
    """A number with its sign, a real minus sign, and no sign on a zero."""
    form = f".{decimals}f"
    return number(value, f"+{form}") if float(format(value, form)) else number(0, form)


def _round_up(value: float, decimals: int) -> str:
    """Rounded up, so that "or more" stays true; small values keep one significant digit."""
    decimals = max(decimals, -math.floor(math.log10(value)))
    step = 10.0**-decimals
    return number(math.ceil(round(value / step, 6)) * step, f".{decimals}f")
