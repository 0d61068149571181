"""Findings of the translation probe: how many predictions survive shifts, and which model's survive better."""

from collections.abc import Mapping

import pandas as pd

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import missing, percent, region
from convlab.probes.sentences import difference_text, direction, exploratory, joined, quoted_numbers
from convlab.training.recipe import Training

TITLE = N_("Shifted images: does place matter?")

ASSUMPTION = "translation"


def introduction(training: Training, given_validation: bool) -> str:
    text = _(
        "The test images are moved by whole pixels; nothing is trained again. What stands where an image has moved "
        "away (see the figure) is part of what is measured: black on images whose background is not black makes an "
        "edge."
    )
    augmentation = training.augmentation
    if augmentation is None or not (augmentation.shift or augmentation.crop):
        return text
    trained = _("With the study's augmentation the models were trained on shifted images: this is what they practised.")
    return joined(text, trained)


MOVED_IN = {
    "black": N_("with black where an image has moved away"),
    "edge": N_("with the pixels of the edge repeated where an image has moved away"),
    "wrap": N_("with what leaves on one side coming in on the other"),
}
"""What was done where an image has moved away."""


SURVIVAL = {
    "up": N_("{conv} keeps its predictions under shifts better than {dense}."),
    "down": N_("{dense} keeps its predictions under shifts better than {conv}."),
    "open": N_(
        "Whether one of them keeps its predictions under shifts better, by an amount that counts, cannot be told from "
        "these seeds."
    ),
    "none": N_("They keep their predictions under shifts alike, within {region}."),
    "smoke": "",
}
"""Interpretation of the difference in consistency, by its direction."""


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """Consistency of each model's predictions under shifts, and the differences between models."""
    findings = []
    fill = next((level.partition(", ")[2] for level in curves["level"]), "") or "black"
    consistency = curves[curves["measure"] == "consistency"]
    accuracy = curves[curves["measure"] == "accuracy"].set_index(["variant", "order"])["mean"]
    for variant, group in consistency.groupby("variant", sort=False):
        by_shift = group.set_index("order")["mean"]
        far, near = by_shift.index.max(), by_shift.index[by_shift.index > 0].min()
        if missing(by_shift[far]):
            findings.append(Finding(_("{model} has no finished run to shift images for.", model=labels[variant])))
            continue
        values = {
            "model": labels[variant],
            "near": percent(by_shift[near], 1),
            "near_shift": i18n.number(near, "g"),
            "far": percent(by_shift[far], 1),
            "far_shift": i18n.number(far, "g"),
            "accuracy": percent(accuracy[variant, 0], 1),
            "accuracy_far": percent(accuracy[variant, far], 1),
        }
        at_one = N_(
            "{model} predicts the same class for {far} of the test images when they are shifted by {far_shift} px; its "
            "accuracy goes from {accuracy} to {accuracy_far}."
        )
        at_two = N_(
            "{model} predicts the same class for {near} of the test images when they are shifted by {near_shift} px "
            "and for {far} at {far_shift} px; its accuracy goes from {accuracy} to {accuracy_far}."
        )
        text = _(at_one if near == far else at_two, **values)
        numbers = {"consistency_near": by_shift[near], "consistency_far": by_shift[far]}
        findings.append(Finding(text, numbers | {"accuracy_far": accuracy[variant, far]}))
    for row in contrasts.itertuples():
        if missing(row.difference):
            continue
        values = {"conv": labels[row.variant], "dense": labels[row.reference], "region": region(rope)}
        text = _(
            "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}.",
            difference=difference_text(row),
            **values,
        )
        meaning = SURVIVAL[direction(row, rope)]
        if meaning:
            caveat = _(
                "They differ in more than convolution (size, layers, head), so this is about these two models, "
                "{moved_in}.",
                moved_in=_(MOVED_IN[fill]),
            )
            text = joined(text, _(meaning, **values), caveat)
        findings.append(exploratory(text, quoted_numbers(row, "consistency_difference")))
    return findings
