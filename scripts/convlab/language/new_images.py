"""Comparisons on new test images in words: verdict, what would narrow the interval, where the scatter comes from."""

from convlab.common.i18n import gettext as _
from convlab.language.contrasts import verdict_text
from convlab.language.numbers import ci_text, count, format_p, plus_minus, points, region, unsigned_points
from convlab.statistics.comparisons import Contrast, Verdict
from convlab.statistics.images import CrossedDifference


def new_images_sentence(
    contrast: Contrast,
    p_adjusted: float | None,
    verdict: Verdict,
    labels: tuple[str, str],
    p_equivalence_adjusted: float | None,
) -> str:
    """Sentence of a contrast on new test images; empty where nothing is inferred.

    An example: "On new test images, 5×5 vs 3×3 changes test accuracy by +0.42 pp (95 % CI −0.60 to +1.44; p = .40 over
    the study's comparisons): inconclusive."

    Args:
        contrast: of the crossed model; p values are adjusted over all contrasts of the study.
        labels: the names of the variant and of the reference for the reader.
    """
    if contrast.method == "none":
        return ""
    variant, reference = labels
    diverged = contrast.n_missing_variant + contrast.n_missing_reference
    p_value = p_equivalence_adjusted if verdict == "equivalent" else p_adjusted
    parts = {
        "variant": variant,
        "reference": reference,
        "metric": _("test accuracy"),
        "change": points(contrast.difference),
        "interval": ci_text(contrast.ci_low, contrast.ci_high),
        "p": format_p(p_value),
        "verdict": verdict_text(verdict, diverged),
    }
    if verdict == "equivalent":
        return _(
            "On new test images, {variant} vs {reference} changes {metric} by {change} ({interval}): {verdict} within "
            "{region} (two one-sided tests {p} over the study's comparisons).",
            **parts,
            region=region(contrast.rope),
        )
    return _(
        "On new test images, {variant} vs {reference} changes {metric} by {change} ({interval}; {p} over the study's "
        "comparisons): {verdict}.",
        **parts,
    )


def narrowing_sentence(crossed: CrossedDifference) -> str:
    """Whether more seeds or more test images would narrow the interval for new images; empty without an interval."""
    if crossed.half_width_seeds is None:
        return ""
    limits = {"seeds": crossed.half_width_seeds, "images": crossed.half_width_images}
    parts = {name: plus_minus(limit, 2) for name, limit in limits.items()}
    parts["present"] = plus_minus((crossed.ci_high - crossed.ci_low) / 2, 2)
    if limits["images"] < limits["seeds"]:
        return _(
            "More test images would narrow this interval most: from {present} to {images} at best, more seeds to "
            "{seeds} at best.",
            **parts,
        )
    return _(
        "More seeds would narrow this interval most: from {present} to {seeds} at best, more test images to {images} "
        "at best.",
        **parts,
    )


def scatter_sentence(crossed: CrossedDifference) -> str:
    """How much of the scatter over seeds comes from the choice of test images; empty where nothing is inferred."""
    if crossed.half_width_seeds is None:
        return ""
    scatter = crossed.scatter
    return _(
        "Over seeds the difference has an SD of {sd}: {images} of it because there are only {n} test images, on which "
        "equally good runs differ by that much, and {remaining} that would remain on any images (squares add up).",
        sd=unsigned_points(scatter.on_these_images),
        images=unsigned_points(scatter.by_these_images),
        n=count(crossed.n_images),
        remaining=unsigned_points(scatter.on_any_images),
    )
