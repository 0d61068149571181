"""Findings of the corruption probe: what each variant loses, and which variant of a pair keeps more."""

from collections.abc import Iterator, Mapping

import pandas as pd

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.language.numbers import ci_text, missing, percent, region
from convlab.probes.corruption.settings import ALL_ORDER, CLEAN_ORDER, KINDS, kind_and_severity
from convlab.probes.sentences import difference_text, direction, exploratory, joined, quoted_numbers
from convlab.training.recipe import Training

TITLE = N_("Corrupted images: what accuracy is left?")


def introduction(training: Training, given_validation: bool) -> str:
    return _(
        "The test images are corrupted by kind and severity; nothing is trained again. What an image becomes follows "
        "from the image, the kind and the severity alone, so that all models see the same images. Accuracies are "
        "described; differences between variants are exploratory."
    )


ACCURACY = {
    "up": N_("{variant} is more accurate than {reference} on these corrupted images."),
    "down": N_("{variant} is less accurate than {reference} on these corrupted images."),
    "none": N_("On these corrupted images they are equally accurate within {region}."),
    "open": N_(
        "Whether one of them is more accurate on these corrupted images, by an amount that counts, cannot be told from "
        "these seeds."
    ),
    "smoke": "",
}
"""Interpretation of the difference in accuracy over all kinds, by its direction."""

LOST = {
    "up": N_("It loses more of its accuracy on clean images than {reference} does, by {difference}."),
    "down": N_("It loses less of its accuracy on clean images than {reference} does: the difference is {difference}."),
    "none": N_("Both lose alike of their accuracy on clean images within {region}: the difference is {difference}."),
    "open": N_(
        "Whether one of them loses more of its accuracy on clean images cannot be told from these seeds: the "
        "difference is {difference}."
    ),
    "smoke": N_("What {variant} loses of its accuracy on clean images minus what {reference} loses is {difference}."),
}
"""Sentence about the difference in accuracy lost, by its direction."""

BY_KIND = {
    "up": N_("{variant} is ahead on {kinds}."),
    "down": N_("{variant} is behind on {kinds}."),
    "none": N_("They are alike within {region} on {kinds}."),
}
"""Sentences about single kinds, by the direction of the difference in accuracy."""


def findings(curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], rope: float) -> list[Finding]:
    """What corruption leaves of each variant's accuracy, then every pair: accuracy, loss, kinds, corruption errors."""
    results = [_of_variant(group, labels[variant]) for variant, group in curves.groupby("variant", sort=False)]
    for (variant, reference), group in contrasts.groupby(["variant", "reference"], sort=False):
        rows = {row.measure: row for row in group.itertuples()}
        if not missing(rows["accuracy"].difference):
            results += _of_pair(rows, labels[variant], labels[reference], rope)
    return results


def _of_variant(curves: pd.DataFrame, label: str) -> Finding:
    """Accuracy on clean and on corrupted images, and the kind that leaves least of it."""
    means = curves.set_index("order")["mean"]
    if missing(means[CLEAN_ORDER]):
        return Finding(_("{model} has no finished run to show corrupted images to.", model=label))
    of_kinds = {order: mean for order, mean in means.items() if order > 0 and not kind_and_severity(order)[1]}
    worst = min(of_kinds, key=of_kinds.get)
    one_kind = N_("{model} has an accuracy of {clean} on the clean images and of {corrupted} on average under {kind}.")
    several = N_(
        "{model} has an accuracy of {clean} on the clean images and of {corrupted} on average over all kinds and "
        "severities; of the kinds, {kind} leaves least, {least}."
    )
    text = _(
        one_kind if len(of_kinds) == 1 else several,
        model=label,
        clean=percent(means[CLEAN_ORDER], 1),
        corrupted=percent(means[ALL_ORDER], 1),
        kind=_(KINDS[kind_and_severity(worst)[0]]),
        least=percent(of_kinds[worst], 1),
    )
    numbers = {"clean": means[CLEAN_ORDER], "corrupted": means[ALL_ORDER], "least": of_kinds[worst]}
    return Finding(text, {f"accuracy_{name}": value for name, value in numbers.items()})


def _of_pair(rows: Mapping[str, tuple], variant: str, reference: str, rope: float) -> Iterator[Finding]:
    """Two exploratory findings about a variant and its reference: accuracies, and corruption errors."""
    values = {"variant": variant, "reference": reference, "region": region(rope)}
    over_all, lost = rows["accuracy"], rows["accuracy lost"]
    text = _(
        "Over all corruptions the accuracy of {variant} minus that of {reference} is {difference}.",
        difference=difference_text(over_all),
        **values,
    )
    loss = _(LOST[direction(lost, rope)], difference=difference_text(lost), **values)
    meaning = ACCURACY[direction(over_all, rope)]
    yield exploratory(
        joined(text, _(meaning, **values) if meaning else "", loss, _single_kinds(rows, values, rope)),
        quoted_numbers(over_all, "accuracy_difference") | quoted_numbers(lost, "loss_difference"),
    )
    if "corruption error" in rows and not missing(rows["corruption error"].difference):
        yield _errors(rows, values)


def _single_kinds(rows: Mapping[str, tuple], values: Mapping[str, str], rope: float) -> str:
    """On which kinds a pair is told apart, by unadjusted intervals; empty without intervals or with one kind."""
    by_direction: dict[str, list[str]] = {}
    for measure, row in rows.items():
        name, _comma, kind = measure.partition(", ")
        if name == "accuracy" and kind:
            by_direction.setdefault(direction(row, rope), []).append(_(KINDS[kind]))
    told = [
        _(sentence, kinds=listing(by_direction[name], len(KINDS)), **values)
        for name, sentence in BY_KIND.items()
        if name in by_direction
    ]
    if open_kinds := len(by_direction.get("open", [])):
        told.append(
            ngettext("On {n} kind they are not told apart.", "On {n} kinds they are not told apart.", open_kinds)
        )
    if not told or sum(map(len, by_direction.values())) < 2:
        return ""
    return joined(_("Kind by kind, each by its own interval:"), *told)


def _errors(rows: Mapping[str, tuple], values: Mapping[str, str]) -> Finding:
    """The mean corruption error and the relative one, with the reference's as 100 %."""
    row, relative = rows["corruption error"], rows.get("relative corruption error")
    text = _(
        "The mean corruption error (mCE) of {variant}, with that of {reference} as 100 %, is {error}.",
        error=_ratio_text(row),
        **values,
    )
    kinds, with_errors = (
        sum(measure.startswith(f"{name}, ") for measure in rows) for name in ("accuracy", "corruption error")
    )
    if kinds > with_errors:
        left_out = ngettext(
            "{n} kind is left out of it, since {reference} makes no error there in some seed.",
            "{n} kinds are left out of it, since {reference} makes no error there in some seed.",
            kinds - with_errors,
            **values,
        )
        text = joined(text, left_out)
    if relative is not None and not missing(relative.difference):
        more = _(
            "The relative one, of the errors that corruption adds on those kinds that cost {reference} at least one "
            "point in every seed, is {error}.",
            error=_ratio_text(relative),
            **values,
        )
        text = joined(text, more)
    return exploratory(text, quoted_numbers(row, "mce_minus_one"))


def _ratio_text(row) -> str:
    """A ratio to the reference's errors with its interval: ``85.02 % (95 % CI 80.11 to 89.93)``."""
    ratio = percent(1 + row.difference)
    if missing(row.ci_low):
        return ratio
    return f"{ratio} ({ci_text(1 + row.ci_low, 1 + row.ci_high, '%')})"
