"""Findings about new test images: whether the verdicts on these test images hold for them."""

from collections.abc import Iterator

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.contrasts import new_images_verdict_text, verdict_or_gap, verdict_text
from convlab.findings.study_results import Finding, StudyResults
from convlab.language.contrasts import contrast_labels
from convlab.language.numbers import missing

SETTLED = ("better", "worse", "equivalent")


def verdicts_on_new_images(results: StudyResults, dataset: str) -> Iterator[Finding]:
    """Which settled verdicts of a dataset change on new test images; nothing where none is settled."""
    settled, changed = 0, []
    for question in results.plan.questions.values():
        for row in results.contrasts(dataset, question.name):
            if verdict_or_gap(row) not in SETTLED or missing(row["new_images_ci_low"]):
                continue
            settled += 1
            if row["new_images_verdict"] != row["verdict"]:
                variant, reference = contrast_labels(results.plan, question, row["variant"])
                changed.append(
                    _(
                        "{variant} vs {reference} ({verdict} on these, {other} on new ones)",
                        variant=variant,
                        reference=reference,
                        verdict=verdict_text(row),
                        other=new_images_verdict_text(row),
                    )
                )
    numbers = {"settled": settled, "changed": len(changed)}
    if changed:
        text = ngettext(
            "{n} settled verdict is not the same for new test images: {changed}.",
            "{n} settled verdicts are not the same for new test images: {changed}.",
            len(changed),
            changed=listing(changed),
        )
        yield Finding(text, numbers)
    elif settled:
        yield Finding(
            ngettext(
                "{n} verdict is settled, and it is the same for new test images.",
                "{n} verdicts are settled, and all are the same for new test images.",
                settled,
            ),
            numbers,
        )
