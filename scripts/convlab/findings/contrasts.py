"""A comparison in words: verdict, headline, numbers, and why it is inconclusive."""

from collections.abc import Mapping
from typing import Any

from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import VerdictOrGap
from convlab.language import contrasts
from convlab.language.numbers import change, change_ci_text, count, format_p, missing, region
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.metrics import ACCURACY, BY_COLUMN, Metric


def verdict_or_gap(row: Mapping[str, Any]) -> VerdictOrGap:
    """A comparison's verdict, or why it has none: fewer than three seeds (``smoke``), or a side without a value
    (``missing``)."""
    if missing(row["difference"]):
        return "missing"
    if row["n_seeds"] < MIN_SEEDS:
        return "smoke"
    return row["verdict"]


def diverged(row: Mapping[str, Any]) -> int:
    """Runs of both sides of a comparison that diverged, and that its verdict leaves out."""
    return int(row.get("n_diverged_variant", 0) + row.get("n_diverged_reference", 0))


def verdict_text(row: Mapping[str, Any]) -> str:
    """Text of a comparison's verdict badge."""
    kind = verdict_or_gap(row)
    if kind in ("smoke", "missing"):
        return _(N_("smoke test") if kind == "smoke" else N_("no value"))
    return contrasts.verdict_text(kind, diverged(row))


def new_images_verdict_text(row: Mapping[str, Any]) -> str:
    """Text of the badge of a comparison's verdict on new test images."""
    return contrasts.verdict_text(row["new_images_verdict"], diverged(row))


def metric_of(row: Mapping[str, Any]) -> Metric:
    """The metric that a comparison is about."""
    return BY_COLUMN[row["metric"]]


def headline(row: Mapping[str, Any], variant: str, reference: str, rope: float) -> str:
    """One-line headline of a comparison; diverged runs are counted, and a metric other than accuracy is named."""
    metric = metric_of(row)
    text = _(
        {
            "better": N_("{variant} is better than {reference}"),
            "worse": N_("{variant} is worse than {reference}"),
            "equivalent": N_("{variant} and {reference} are equal within {region}"),
            "inconclusive": N_("Not settled: {variant} against {reference}"),
            "smoke": N_("Nothing inferred: {variant} against {reference}"),
            "missing": N_("{variant} and {reference} cannot be compared"),
        }[verdict_or_gap(row)],
        variant=variant,
        reference=reference,
        region=region(rope, metric.difference_unit),
    )
    if metric != ACCURACY:
        text = _("{headline}, by {metric}", headline=text, metric=_(metric.name))
    if row.get("n_looks", 1) > 1 and not missing(row["look"]):
        text = _("{headline} (look {look} of {n})", headline=text, look=int(row["look"]), n=int(row["n_looks"]))
    if not diverged(row):
        return text
    return _(
        "{headline} ({first} of {all} and {second} of {others} runs diverged)",
        headline=text,
        first=int(row["n_diverged_variant"]),
        all=int(row["n_diverged_variant"] + row["n_variant"]),
        second=int(row["n_diverged_reference"]),
        others=int(row["n_diverged_reference"] + row["n_reference"]),
    )


def contrast_text(row: Mapping[str, Any]) -> str:
    """The numbers of a comparison: ``+1.31 pp (95 % CI −0.87 to +3.50; n = 3 seeds each; p over the study = .34)``."""
    parts, metric = [], metric_of(row)
    if not missing(row["ci_low"]):
        parts.append(change_ci_text(row["ci_low"], row["ci_high"], metric))
    parts.append(_seeds_text(row))
    if not missing(row["p_adjusted"]):
        parts.append(_("{p} over the study", p=format_p(row["p_adjusted"])))
    return f"{change(row['difference'], metric)} ({'; '.join(parts)})"


def quoted_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of a comparison that its sentences quote, by column; missing ones are left out."""
    names = ("difference", "ci_low", "ci_high", "p_adjusted", "detectable", "seeds_to_settle")
    return {name: row[name] for name in names if not missing(row[name])}


def why_inconclusive(row: Mapping[str, Any]) -> str:
    """Reasons for an inconclusive verdict, with the detectable difference and the seeds that would settle it."""
    if missing(row["ci_low"]):
        return _("the runs do not vary, so nothing can be inferred from them")
    if row.get("finished_verdict", "inconclusive") != "inconclusive":
        sides = (
            tuple(int(row[f"{count}_{side}"]) for count in ("n_diverged", "n")) for side in ("variant", "reference")
        )
        return contrasts.diverged_reason(*sides)
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        reasons = [_("the interval excludes 0, but either p over the study does not reach 5 % or the estimate is tiny")]
    else:
        reasons = [_("the interval leaves room for either to be ahead")]
    if not missing(row["detectable"]):
        reasons.append(contrasts.detectable_reason(row["detectable"], metric=metric_of(row)))
    if row.get("n_looks", 1) > 1:  # the plan says when to look, whatever number of seeds would settle it
        return "; ".join(reasons)
    if missing(row["seeds_to_settle"]):
        reasons.append(contrasts.more_seeds_reason())
    elif row["seeds_to_settle"] > row["n_seeds"]:
        reasons.append(
            _(
                "if the true difference is the observed one, about {n} seeds each would settle it",
                n=count(row["seeds_to_settle"]),
            )
        )
    return "; ".join(reasons)


def _seeds_text(row: Mapping[str, Any]) -> str:
    """Numbers of finished runs on both sides of a comparison: ``n = 3 seeds each``."""
    first, second = int(row["n_variant"]), int(row["n_reference"])
    if first == second:
        return ngettext("n = {n} seed each", "n = {n} seeds each", first)
    return _("n = {first} and {second} seeds", first=first, second=second)


def swapped(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with variant and reference exchanged, signs and verdicts with them."""
    opposite = {"better": "worse", "worse": "better"}
    return {
        **row,
        "variant": row["reference"],
        "reference": row["variant"],
        "difference": -row["difference"],
        "ci_low": -row["ci_high"],
        "ci_high": -row["ci_low"],
        "verdict": opposite.get(row["verdict"], row["verdict"]),
        "finished_verdict": opposite.get(row.get("finished_verdict"), row.get("finished_verdict", "inconclusive")),
        **{
            f"{count}_{side}": row.get(f"{count}_{other}", 0)
            for count in ("n", "n_diverged")
            for side, other in (("variant", "reference"), ("reference", "variant"))
        },
    }
