"""What the study cannot say."""

from collections.abc import Mapping, Sequence
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.evidence import Evidence, Statement
from convlab.language.numbers import count, missing, multiple, unsigned_points
from convlab.statistics.describe import MIN_SEEDS

FEW_TEST_IMAGES = 2000

FEW_SEEDS = 5

SHARED = 0.05
"""From this share of near duplicates among the test images on, accuracies are not said to be of new images."""

IMBALANCED = 1.5
"""The largest class over the smallest from which on accuracy alone misleads."""


def limitations(
    evidence: Evidence, seeds: Sequence[int], explored: Mapping[str, Mapping[str, Any]], resumed: int
) -> list[Statement]:
    """What this study cannot say, from its own design and data.

    Args:
        explored: summary.json of explore, by dataset.
        resumed: runs that were interrupted and resumed.
    """
    statements = []

    def add(text: str, **numbers: float) -> None:
        statements.append(Statement(text, numbers))

    n = len(seeds)
    if n < MIN_SEEDS:
        add(_("n = {n}: a smoke test. It shows that everything runs; nothing is inferred from it.", n=n), seeds=n)
    elif n < FEW_SEEDS:
        add(_("n = {n} seeds give wide intervals: small differences stay open.", n=n), seeds=n)
    diverged = int((evidence.runs["status"] == "diverged").sum())
    if diverged:
        text = ngettext(
            "{n} run of {all} diverged and has no test accuracy; means of its variant are of the runs that finished.",
            "{n} runs of {all} diverged and have no test accuracy; means of their variants are of the runs that "
            "finished.",
            diverged,
            all=len(evidence.runs),
        )
        add(text, diverged=diverged)
    if len(explored) == 1:
        (name,) = explored
        add(_("One dataset ({dataset}): nothing here says that the result carries over to another.", dataset=name))
    for name, images in evidence.test_images.items():
        if images < FEW_TEST_IMAGES:
            text = ngettext(
                "{dataset} has only {n} test image; one image is {share}.",
                "{dataset} has only {n} test images; one image is {share}.",
                images,
                dataset=name,
                share=unsigned_points(1 / images),
            )
            add(text, images=images)
    add(
        _(
            "All runs share one test set and one division into training and test images: intervals over seeds speak of "
            "other seeds, not of other images."
        )
    )
    for name, summary in explored.items():
        duplicates = summary["duplicates"]
        near, exact = duplicates["near_test_images"], duplicates["exact_test_images"]
        if near:
            add(_near_duplicates(name, near, exact, summary["images"]["test"]), near=near, exact=exact)
        pairs = duplicates["label_disagreeing_pairs"]
        if pairs:
            text = ngettext(
                "{dataset}: {n} near-duplicate pair has different labels, so that one of the two may be wrong.",
                "{dataset}: {n} near-duplicate pairs have different labels, so that one of each two may be wrong.",
                pairs,
                dataset=name,
            )
            add(text, pairs=pairs)
        ratio = summary.get("imbalance_ratio")
        if not missing(ratio) and ratio > IMBALANCED:
            text = _(
                "{dataset}: the largest class has {ratio} as many training images as the smallest; accuracy weighs "
                "classes by their frequency.",
                dataset=name,
                ratio=multiple(ratio),
            )
            add(text, ratio=ratio)
        if summary.get("empty_classes"):
            classes = listing(summary["empty_classes"])
            add(_("{dataset}: no training image of {classes}.", dataset=name, classes=classes))
    if len(evidence.plan.variants) > 1:
        add(
            _(
                "This study tunes no hyperparameters for single variants: all share the training settings, except "
                "where they are the factor. A variant may do better with settings of its own."
            )
        )
    add(_("Times and latencies hold for the machine named under provenance, with other runs beside them."))
    if resumed:
        text = ngettext(
            "{n} run resumed after an interruption; weights continue exactly, times do not.",
            "{n} runs resumed after an interruption; weights continue exactly, times do not.",
            resumed,
        )
        add(text, resumed=resumed)
    return statements


def boxes(lacking: str) -> list[Statement]:
    """That figures as files lack characters of names, where the fonts of the machine that drew them do."""
    if not lacking:
        return []
    text = ngettext(
        "The fonts of the machine that drew the figures lack {n} character of the names ({characters}): it is a box "
        "in PNG and PDF files, while SVG files and this page show it where the reader's machine can.",
        "The fonts of the machine that drew the figures lack {n} characters of the names ({characters}): they are "
        "boxes in PNG and PDF files, while SVG files and this page show them where the reader's machine can.",
        len(lacking),
        characters=lacking if len(lacking) <= 20 else f"{lacking[:20]}…",
    )
    return [Statement(text, {"characters": len(lacking)}, "note")]


def _near_duplicates(dataset: str, near: int, exact: int, images: int) -> str:
    """How far test images that the training data hold too can raise accuracies, by their share."""
    share = near / images
    text = ngettext(
        "{dataset}: {n} test image of {all} is a near duplicate of a training image ({exact} identical), which can "
        "raise every accuracy by up to {share}.",
        "{dataset}: {n} test images of {all} are near duplicates of a training image ({exact} identical), which can "
        "raise every accuracy by up to {share}.",
        near,
        dataset=dataset,
        all=count(images),
        exact=count(exact),
        share=unsigned_points(share),
    )
    if share < SHARED:
        return text
    return f"{text} {_('So the accuracies are not those of new images.')}"
