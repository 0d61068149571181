"""What the probes say: rules from their curves and contrasts to sentences, in both directions, with their numbers.

Probes are exploratory: their intervals are t intervals over seeds, paired by seed, and adjusted for nothing. So every
sentence that rests on one is marked as exploratory, speaks of this study only, and infers nothing below three seeds.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from scipy import stats

from convlab.common import i18n
from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.evidence import Statement
from convlab.language.numbers import interval, missing, number, percent, points, region
from convlab.study.labels import probe_level

ASSUMPTIONS = {"pixel_permutation": "locality", "translation": "translation"}
"""The assumption of convolution that a probe tests."""

INTACT = "intact"
"""How tables name the level of images whose pixels stand where they are."""


def findings(
    curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], dataset: str, rope: float
) -> dict[str, list[Statement]]:
    """Statements by probe, for the probes that are on.

    Args:
        curves, contrasts: rows of ``probes.CURVE_COLUMNS`` and ``probes.CONTRAST_COLUMNS`` of the study.
        labels: variant -> how it reads.
        rope: differences within ± this fraction count as none in practice.
    """
    rules = {
        "pixel_permutation": _permutation,
        "translation": _translation,
        "sample_efficiency": _sample_efficiency,
        "receptive_field": _receptive_field,
        "calibration": _calibration,
    }
    found = {}
    for name, rule in rules.items():
        own_curves = curves[(curves["probe"] == name) & (curves["dataset"] == dataset)]
        own_contrasts = contrasts[(contrasts["probe"] == name) & (contrasts["dataset"] == dataset)]
        if len(own_curves):
            found[name] = rule(own_curves, own_contrasts, labels, rope)
    return found


def by_assumption(found: Mapping[str, Sequence[Statement]]) -> dict[str, list[Statement]]:
    """The statements that test an assumption, for ``interpretation.interpret``."""
    return {ASSUMPTIONS[name]: list(statements) for name, statements in found.items() if name in ASSUMPTIONS}


Direction = Literal["up", "down", "none", "open", "smoke"]


def direction(row, rope: float) -> Direction:
    """``up`` or ``down`` where the whole interval lies beyond the ROPE on that side, ``none`` where it lies inside,
    ``open`` otherwise, ``smoke`` without an interval."""
    if missing(row.ci_low):
        return "smoke"
    if row.ci_low > rope:
        return "up"
    if row.ci_high < -rope:
        return "down"
    return "none" if -rope <= row.ci_low and row.ci_high <= rope else "open"


def _sure(row) -> str:
    """``+2.91 pp (95 % CI +2.63 to +3.20; n = 3 seeds)``."""
    seeds = ngettext("n = {n} seed", "n = {n} seeds", row.n_seeds)
    if row.n_diverged:
        left_out = ngettext(
            "{n} seed with a diverged run left out", "{n} seeds with a diverged run left out", row.n_diverged
        )
        seeds = f"{seeds}, {left_out}"
    difference = points(row.difference)
    if missing(row.ci_low):
        return _("{difference} ({seeds}: points only, nothing inferred)", difference=difference, seeds=seeds)
    limits = _("95 % CI {interval}", interval=interval(row.ci_low, row.ci_high))
    return f"{difference} ({limits}; {seeds})"


def _numbers(row, name: str) -> dict[str, float]:
    return {name: row.difference, f"{name}_ci_low": row.ci_low, f"{name}_ci_high": row.ci_high}


def _levels(curves: pd.DataFrame) -> dict[str, str]:
    """How each level of a probe's tables reads in the language in use."""
    return {row.level: probe_level(row.probe, row.order) for row in curves.itertuples()}


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _exploratory(text: str, numbers: Mapping[str, float]) -> Statement:
    return Statement(text, numbers, "exploratory")


LEFT = {
    "up": N_("In this study the lead rests in part on which pixels are neighbours; the part that is left does not."),
    "down": N_(
        "In this study the lead rests on which pixels are neighbours: without its neighbours {conv} is behind {dense}."
    ),
    "none": N_(
        "In this study the lead rests on which pixels are neighbours: what is left is of no practical size ({region})."
    ),
    "open": N_(
        "In this study the lead rests on which pixels are neighbours, wholly or in part: these seeds do not tell which."
    ),
}
"""What a lost lead says, by the direction of what is left of it."""

LOST = {
    "none": N_("The loss is of no practical size ({region}): this lead does not rest on which pixels are neighbours."),
    "down": N_("The lead grew: it does not rest on which pixels are neighbours."),
    "open": N_(
        "Whether that is a loss that counts, and so whether the lead rests on which pixels are neighbours, cannot be "
        "told from these seeds."
    ),
}
"""What a lead says that was not surely lost, by the direction of the loss."""

NO_LEAD = {
    "down": N_("so {conv} is behind {dense} to begin with, and there is no lead that shuffling could take away"),
    "none": N_("so there is no lead of practical size ({region}) that shuffling could take away"),
    "open": N_("so it cannot be told from these seeds whether there is a lead that shuffling could take away"),
}
"""Why nothing is said of a lead, by the direction of conv minus dense on intact images."""

CHANGED = {
    "up": N_("Shuffling costs {conv} more than {dense}, by {lost}."),
    "down": N_("Shuffling costs {dense} more than {conv}, by {gained}."),
    "none": N_("Shuffling costs both alike within {region}: the difference is {lost}."),
    "open": N_(
        "Whether shuffling costs one of them more, by an amount that counts, cannot be told from these seeds: the "
        "difference is {lost}."
    ),
}
"""What is said of the losses instead, where there is no lead."""

CONTROL = {
    "none": N_("That is nothing of practical size, as it should be."),
    "open": N_("Whether that is nothing, as it should be, cannot be told from these seeds."),
    "smoke": "",
    "up": N_(
        "It should lose nothing: more than the order of the pixels differs between these runs, so nothing is concluded "
        "from them about neighbours."
    ),
    "down": N_(
        "It should gain nothing: more than the order of the pixels differs between these runs, so nothing is concluded "
        "from them about neighbours."
    ),
}
"""What the dense network's own loss says about the probe, by its direction."""


def _permutation(curves, contrasts, labels, rope) -> list[Statement]:
    """Whether the lead of convolution over a dense network goes when neighbours do; only where there is a lead."""
    statements = []
    shown = _levels(curves)
    rows = {  # a contrast of one model has no reference, which is empty or, read from a file, missing
        (row.variant, "" if missing(row.reference) else row.reference, row.measure): row
        for row in contrasts.itertuples()
    }
    for row in contrasts.itertuples():
        kind, level = row.measure.split(", ", 1)
        if kind != "lead lost":
            continue
        intact = rows[row.variant, row.reference, f"lead, {INTACT}"]
        left = rows[row.variant, row.reference, f"lead left, {level}"]
        control = rows[row.reference, "", f"accuracy lost, {level}"]
        if any(missing(entry.difference) for entry in (row, intact, left)):
            text = _(
                "{conv} and {dense} cannot be compared with {level}: no seed has finished runs of both, intact and "
                "shuffled.",
                conv=labels[row.variant],
                dense=labels[row.reference],
                level=shown[level],
            )
            statements.append(Statement(text))
            continue
        said = {
            "level": shown[level],
            "conv": labels[row.variant],
            "dense": labels[row.reference],
            "intact": _sure(intact),
            "lost": _sure(row),
            "gained": _sure(_turned(row)),
            "left": _sure(left),
            "region": region(rope),
        }
        numbers = _numbers(intact, "lead") | _numbers(row, "lead_lost") | _numbers(left, "lead_left")
        text = _permuted(direction(intact, rope), direction(row, rope), direction(left, rope), intact, said)
        if direction(control, rope) in ("up", "down"):
            text = _(MEASURED_ONLY, **said)
        statements.append(_exploratory(text, numbers))
        text = _("The control: {dense}, which knows no neighbours, loses {lost}.", dense=said["dense"],
                 lost=_sure(control))  # fmt: skip
        meaning = CONTROL[direction(control, rope)]
        statements.append(_exploratory(_joined(text, meaning and _(meaning)), _numbers(control, "control")))
    if not statements:
        for row in contrasts.itertuples():
            level = shown[row.measure.partition(", ")[2]]
            text = _(
                "With {level}, {model} loses {lost} of test accuracy.",
                level=level,
                model=labels[row.variant],
                lost=_sure(row),
            )
            statements.append(_exploratory(text, _numbers(row, "accuracy_lost")))
    return statements


MEASURED_ONLY = N_(
    "Intact, {conv} minus {dense} is {intact}; with {level} it is {left}, a change by {gained} of the difference."
)


def _permuted(intact: Direction, lost: Direction, left: Direction, row, said: Mapping[str, str]) -> str:
    """What one pair of models says with one level of shuffling.

    Args:
        intact, lost, left: directions of conv minus dense on intact images, of what shuffling takes of it, and of what
            is left.
        row: the contrast on intact images.
        said: labels and numbers by placeholder.
    """
    if "smoke" in (intact, lost, left):
        return _(MEASURED_ONLY, **said)
    if intact == "open" and row.ci_high < 0:
        intact = "down"
    if intact in NO_LEAD and not (intact == "open" and row.ci_low > 0):
        reason = _(NO_LEAD[intact], **said)
        text = _("Intact, {conv} minus {dense} is {intact}, {reason}.", reason=reason, **said)
        change = _(CHANGED[lost], **said)
        return _joined(text, _("With {level} it is {left}.", **said), change)
    text = _(
        "Intact, {conv} leads {dense} by {intact}. With {level} it loses {lost} of this lead; what is left is {left}.",
        **said,
    )
    return _joined(text, _(LEFT[left] if lost == "up" else LOST[lost], **said))


def _turned(row):
    """A contrast with its sign turned."""
    low, high = (None, None) if missing(row.ci_low) else (-row.ci_high, -row.ci_low)
    return row._replace(difference=-row.difference, ci_low=low, ci_high=high)


SURVIVAL = {
    "up": N_("{conv} keeps its predictions under shifts better than {dense}, though not all of them."),
    "down": N_("{dense} keeps its predictions under shifts better than {conv}."),
    "open": N_(
        "Whether one of them keeps its predictions under shifts better, by an amount that counts, cannot be told from "
        "these seeds."
    ),
    "none": N_("They keep their predictions under shifts alike, within {region}."),
    "smoke": "",
}
"""What the difference of consistency says, by its direction."""


def _translation(curves, contrasts, labels, rope) -> list[Statement]:
    statements = []
    consistency = curves[curves["measure"] == "consistency"]
    accuracy = curves[curves["measure"] == "accuracy"].set_index(["variant", "order"])["mean"]
    for variant, group in consistency.groupby("variant", sort=False):
        by_shift = group.set_index("order")["mean"]
        far, near = by_shift.index.max(), by_shift.index[by_shift.index > 0].min()
        if missing(by_shift[far]):
            statements.append(Statement(_("{model} has no finished run to shift images for.", model=labels[variant])))
            continue
        said = {
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
        text = _(at_one if near == far else at_two, **said)
        numbers = {"consistency_near": by_shift[near], "consistency_far": by_shift[far]}
        statements.append(Statement(text, numbers | {"accuracy_far": accuracy[variant, far]}))
    for row in contrasts.itertuples():
        if missing(row.difference):
            continue
        said = {"conv": labels[row.variant], "dense": labels[row.reference], "region": region(rope)}
        text = _(
            "Over all shifts, the consistency of {conv} minus that of {dense} is {difference}.",
            difference=_sure(row),
            **said,
        )
        meaning = SURVIVAL[direction(row, rope)]
        if meaning:
            about = _(
                "They differ in more than convolution (size, layers, head), so this is about these two models, with "
                "black where an image has moved away."
            )
            text = _joined(text, _(meaning, **said), about)
        statements.append(_exploratory(text, _numbers(row, "consistency_difference")))
    return statements


def _sample_efficiency(curves, contrasts, labels, rope) -> list[Statement]:
    statements, shown = [], _levels(curves)
    for (variant, reference), group in contrasts.groupby(["variant", "reference"], sort=False):
        rows = [row for row in group.itertuples() if not missing(row.difference)]
        if not rows:
            continue
        said = {"model": labels[variant], "reference": labels[reference]}
        widest = max(row.difference for row in rows)
        at = listing(shown[row.measure.removeprefix("lead, ")] for row in rows if row.difference == widest)
        text = _(
            "{model} minus {reference} by number of training images, in equally many steps: {differences}.",
            differences="; ".join(f"{shown[row.measure.removeprefix('lead, ')]}: {_sure(row)}" for row in rows),
            **said,
        )
        leads = N_("Described, not tested: as observed its lead is widest at {widest}.")
        behind = N_("Described, not tested: as observed it leads at none of them.")
        picked = _(leads if widest > 0 else behind, widest=at)
        statements.append(_exploratory(_joined(text, picked), {"widest_lead": widest}))
    return statements


def _receptive_field(curves, contrasts, labels, rope) -> list[Statement]:
    known = curves.dropna(subset=["mean"])
    if not len(known):
        return []
    best = known[known["mean"] == known["mean"].max()]
    fields = sorted(known["order"].unique())
    said = {
        "least": i18n.number(fields[0], "g"),
        "most": i18n.number(fields[-1], "g"),
        "best": listing(labels[variant] for variant in best["variant"]),
        "accuracy": percent(best["mean"].iloc[0]),
    }
    if len(fields) == 1:
        text = ngettext(
            "One unit of the last feature map sees {least} pixels across in the only convolutional variant.",
            "One unit of the last feature map sees {least} pixels across in all {n} convolutional variants, so that "
            "nothing can be said of what it sees.",
            len(known),
            **said,
        )
        return [Statement(text, {"best_field": fields[0]})]
    text = ngettext(
        "One unit of the last feature map sees {least} to {most} pixels across. The highest mean test accuracy, "
        "{accuracy}, has {best}, which sees {field}.",
        "One unit of the last feature map sees {least} to {most} pixels across. The highest mean test accuracy, "
        "{accuracy}, is shared by {best}, which see {field}.",
        len(best),
        field=listing(i18n.number(field, "g") for field in best["order"]),
        **said,
    )
    numbers = {"best_field": best["order"].iloc[0]}
    if len(fields) >= 3 and known["mean"].nunique() >= 3:
        rho = float(stats.spearmanr(known["order"], known["mean"]).statistic)
        correlation = _(
            "Over the variants' means, the rank correlation of receptive field and accuracy is {rho} (description, not "
            "a test: other things change along with the field).",
            rho=number(rho, 2),
        )
        text = _joined(text, correlation)
        numbers["spearman"] = rho
    return [Statement(text, numbers)]


def _calibration(curves, contrasts, labels, rope) -> list[Statement]:
    wide = curves.pivot(index="variant", columns="measure", values="mean").dropna()
    if len(wide) < 2 or wide["ece"].nunique() < 2:
        return []
    best, worst = wide["ece"].idxmin(), wide["ece"].idxmax()
    text = _(
        "As observed, the calibration error is lowest for {best} (ECE {best_ece}, loss {best_loss}) and highest for "
        "{worst} ({worst_ece}, loss {worst_loss}); this is described, not tested.",
        best=labels[best],
        best_ece=number(wide.loc[best, "ece"]),
        best_loss=number(wide.loc[best, "test_loss"]),
        worst=labels[worst],
        worst_ece=number(wide.loc[worst, "ece"]),
        worst_loss=number(wide.loc[worst, "test_loss"]),
    )
    return [Statement(text, {"lowest_ece": wide.loc[best, "ece"], "highest_ece": wide.loc[worst, "ece"]})]
