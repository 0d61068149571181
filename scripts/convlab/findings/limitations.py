"""Limitations of a study, each from a rule about its design and data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.left_out import copies_text
from convlab.findings.study_results import Finding, StudyResults
from convlab.language.numbers import count, missing, multiple, number, unsigned_points
from convlab.results.tuning import drawn_settings
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.labels import field_label

FEW_TEST_IMAGES = 2000
"""With fewer test images the report states the weight of a single one."""

FEW_SEEDS = 5
"""With fewer seeds the report states that intervals are wide."""

NEAR_DUPLICATE_SHARE = 0.05
"""Share of near duplicates among test images from which accuracies are not taken to hold for new images."""

HALF = 0.5

IMBALANCE_RATIO = 1.5
"""Ratio of the largest to the smallest class from which accuracy alone misleads."""


@dataclass(frozen=True)
class StudyFacts:
    """Facts that limitations follow from.

    Attributes:
        seeds: of the study.
        explored: summary.json of explore, by dataset.
        resumed: runs that were interrupted and resumed.
        timing: how ``make timing`` measured times (timing.json); empty if it did not.
    """

    results: StudyResults
    seeds: Sequence[int]
    explored: Mapping[str, Mapping[str, Any]]
    resumed: int
    timing: Mapping[str, Any]


def limitations(
    results: StudyResults,
    seeds: Sequence[int],
    explored: Mapping[str, Mapping[str, Any]],
    resumed: int,
    timing: Mapping[str, Any] = MappingProxyType({}),
) -> list[Finding]:
    """Limitations of a study, from its design and data.

    Args:
        explored: summary.json of explore, by dataset.
        resumed: runs that were interrupted and resumed.
        timing: how ``make timing`` measured times (timing.json); empty if it did not.
    """
    facts = StudyFacts(results, seeds, explored, resumed, timing)
    return [finding for rule in RULES for finding in rule(facts)]


def _few_seeds(facts: StudyFacts) -> Iterator[Finding]:
    n = len(facts.seeds)
    if n < MIN_SEEDS:
        text = _("n = {n}: a smoke test. It shows that everything runs; nothing is inferred from it.", n=n)
        yield Finding(text, {"seeds": n})
    elif n < FEW_SEEDS:
        yield Finding(_("n = {n} seeds give wide intervals: small differences stay open.", n=n), {"seeds": n})


def _diverged_runs(facts: StudyFacts) -> Iterator[Finding]:
    runs = facts.results.runs
    if diverged := int((runs["status"] == "diverged").sum()):
        text = ngettext(
            "{n} run of {all} diverged and has no test accuracy; means of its variant are of the runs that finished.",
            "{n} runs of {all} diverged and have no test accuracy; means of their variants are of the runs that "
            "finished.",
            diverged,
            all=len(runs),
        )
        yield Finding(text, {"diverged": diverged})


def _one_dataset(facts: StudyFacts) -> Iterator[Finding]:
    if len(facts.explored) == 1:
        (name,) = facts.explored
        yield Finding(
            _("One dataset ({dataset}): nothing here says that the result carries over to another.", dataset=name)
        )


def _few_test_images(facts: StudyFacts) -> Iterator[Finding]:
    for name, images in facts.results.test_images.items():
        if images < FEW_TEST_IMAGES:
            text = ngettext(
                "{dataset} has only {n} test image; one image is {share}.",
                "{dataset} has only {n} test images; one image is {share}.",
                images,
                dataset=name,
                share=unsigned_points(1 / images),
            )
            yield Finding(text, {"images": images})


def _one_test_set(facts: StudyFacts) -> Iterator[Finding]:
    yield Finding(
        _(
            "All runs share one test set and one division into training and test images: intervals over seeds speak of "
            "other seeds, not of other images. Verdicts for new test images speak of images from the same source."
        )
    )


def _given_validation(facts: StudyFacts) -> Iterator[Finding]:
    """What seeds do not vary where the data bring the validation images."""
    if given := facts.results.given_validation:
        yield Finding(
            _(
                "The validation images of {datasets} are given and the same for all seeds: the scatter over seeds does "
                "not hold what other validation images would have chosen.",
                datasets=listing(given),
            ),
            dict(given),
        )


def _data(facts: StudyFacts) -> Iterator[Finding]:
    """Limitations of each dataset."""
    for name, summary in facts.explored.items():
        for rule in DATA_RULES:
            yield from rule(name, summary)


def _near_duplicates(dataset: str, summary: Mapping[str, Any]) -> Iterator[Finding]:
    """Limitation of test images that are near duplicates of training images, by their share."""
    near, exact = (summary["duplicates"][f"{kind}_test_images"] for kind in ("near", "exact"))
    if not near:
        return
    images = summary["images"]["test"]
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
    if share >= NEAR_DUPLICATE_SHARE:
        text = f"{text} {_('So the accuracies are not those of new images.')}"
    yield Finding(text, {"near": near, "exact": exact})


def _unseen_copies(dataset: str, summary: Mapping[str, Any]) -> Iterator[Finding]:
    """Limitation of the search for near duplicates: kinds of copies of which it misses more than half."""
    recall = summary["duplicates"]["recall"]
    missed = {kind: share for kind, share in recall.items() if share < HALF}
    if missed:
        text = _(
            "{dataset}: near duplicates are looked for by the difference of pixels, which misses most copies of some "
            "kinds: of training images copied to try it, it finds {kinds}. There may be more than were counted.",
            dataset=dataset,
            kinds=listing(copies_text(kind, share) for kind, share in missed.items()),
        )
        yield Finding(text, missed)


def _disagreeing_labels(dataset: str, summary: Mapping[str, Any]) -> Iterator[Finding]:
    if pairs := summary["duplicates"]["label_disagreeing_pairs"]:
        text = ngettext(
            "{dataset}: {n} near-duplicate pair has different labels, so that one of the two may be wrong.",
            "{dataset}: {n} near-duplicate pairs have different labels, so that one of each two may be wrong.",
            pairs,
            dataset=dataset,
        )
        yield Finding(text, {"pairs": pairs})


def _imbalance(dataset: str, summary: Mapping[str, Any]) -> Iterator[Finding]:
    ratio = summary.get("imbalance_ratio")
    if not missing(ratio) and ratio > IMBALANCE_RATIO:
        text = _(
            "{dataset}: the largest class has {ratio} as many training images as the smallest; accuracy weighs "
            "classes by their frequency.",
            dataset=dataset,
            ratio=multiple(ratio),
        )
        yield Finding(text, {"ratio": ratio})


def _empty_classes(dataset: str, summary: Mapping[str, Any]) -> Iterator[Finding]:
    if summary.get("empty_classes"):
        classes = listing(summary["empty_classes"])
        yield Finding(_("{dataset}: no training image of {classes}.", dataset=dataset, classes=classes))


def _untuned_variants(facts: StudyFacts) -> Iterator[Finding]:
    if facts.results.plan.trials:
        trials = facts.results.tuning["trial"].max()
        text = _(
            "Verdicts and claims are about the settings of the config. Tuning varies {settings} alone, within the "
            "ranges of the config and by {n} draws for each variant and seed; what lies beyond is not known.",
            settings=listing(map(field_label, drawn_settings(facts.results.tuning))),
            n=trials,
        )
        yield Finding(text, {"trials": int(trials)})
    elif len(facts.results.plan.variants) > 1:
        yield Finding(
            _(
                "This study tunes no hyperparameters for single variants: all share the training settings, except "
                "where they are the factor. A variant may do better with settings of its own."
            )
        )


def _times(facts: StudyFacts) -> Iterator[Finding]:
    yield Finding(
        _("Times and latencies of runs hold for the machine named under provenance, with other runs beside them.")
    )


def _timing(facts: StudyFacts) -> Iterator[Finding]:
    """What times of ``make timing`` hold for, and which of them decide nothing."""
    timing = facts.timing
    if not timing:
        return
    if timing["busy"]:
        text = _(
            "The times of “make timing” decide nothing: other processes kept {load} cores of the machine busy.",
            load=number(timing["other_load"], 1),
        )
        yield Finding(text, {"other_load": timing["other_load"]})
        return
    text = _(
        "Claims about time are decided by {n} rounds of “make timing” on one machine ({processor}): epochs of a few "
        "thousand images, scaled to whole ones, each variant once in a round and nothing beside it.",
        n=timing["rounds"],
        processor=timing["hardware"]["processor"],
    )
    table = facts.results.timings
    outdated = table[table["excluded"] != ""].drop_duplicates(["dataset", "variant"])
    if len(outdated):
        differences = sorted({name for names in outdated["excluded"] for name in names.split("; ")})
        text += " " + ngettext(
            "The times of {n} variant decide nothing, since it was timed with other {differences} than its runs have; "
            "“make timing” measures them again.",
            "The times of {n} variants decide nothing, since they were timed with other {differences} than their runs "
            "have; “make timing” measures them again.",
            len(outdated),
            differences=listing(_(name) for name in differences),
        )
    yield Finding(text, {"rounds": timing["rounds"], "outdated": len(outdated)})


def _resumed_runs(facts: StudyFacts) -> Iterator[Finding]:
    if facts.resumed:
        text = ngettext(
            "{n} run resumed after an interruption; weights continue exactly, times do not.",
            "{n} runs resumed after an interruption; weights continue exactly, times do not.",
            facts.resumed,
        )
        yield Finding(text, {"resumed": facts.resumed})


RULES: tuple[Callable[[StudyFacts], Iterator[Finding]], ...] = (
    _few_seeds,
    _diverged_runs,
    _one_dataset,
    _few_test_images,
    _one_test_set,
    _given_validation,
    _data,
    _untuned_variants,
    _times,
    _timing,
    _resumed_runs,
)
"""Limitations in the order of the report; each rule yields what holds for the study."""

DATA_RULES: tuple[Callable[[str, Mapping[str, Any]], Iterator[Finding]], ...] = (
    _near_duplicates,
    _unseen_copies,
    _disagreeing_labels,
    _imbalance,
    _empty_classes,
)
"""Limitations of one dataset, given its name and summary.json of explore."""


def characters_missing_in_fonts(lacking: str) -> list[Finding]:
    """Limitation of figure files whose fonts lack characters of names."""
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
    return [Finding(text, {"characters": len(lacking)}, "note")]
