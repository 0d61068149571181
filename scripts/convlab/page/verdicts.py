"""Cards of questions and claims with their verdicts, for the first screen and the sections of questions and claims."""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.findings.choice import margin_of, optimism, told_apart
from convlab.findings.contrasts import headline, new_images_verdict_text, verdict_or_gap, verdict_text
from convlab.findings.registration import exploratory, registered_when
from convlab.findings.study_results import StudyResults
from convlab.language import numbers as say
from convlab.language.contrasts import contrast_labels, guessing
from convlab.page.format import mean_and_sd, pixels, seeds_text
from convlab.page.robustness import marks_and_flips
from convlab.page.views import Bar, ClaimCard, ContrastView, NewImagesView, QuestionCard, Table
from convlab.study.metrics import ACCURACY
from convlab.study.variants import Question


def chosen(results: StudyResults, dataset: str) -> dict[str, str] | None:
    """The chosen variant with its mean accuracies and what they are; None without a finished run."""
    name = results.chosen.get(dataset)
    if name is None:
        return None
    row, margin = results.variant(dataset, name), margin_of(results, dataset, name)
    labels = {variant: results.label(variant) for variant in results.plan.variants}
    score_text = optimism(margin, results.plan.variants[name].training.select)
    return {
        "variant": name,
        "label": row["label"],
        "validation": say.percent(row["val_accuracy_mean"]),
        "test": say.percent(row["test_accuracy_mean"]),
        "note": " ".join(filter(None, (told_apart(margin, name, labels), score_text))),
    }


def question_card(results: StudyResults, dataset: str, question: Question) -> QuestionCard:
    """Card of one question on one dataset."""
    rows = results.contrasts(dataset, question.name)
    contrasts, metric = [], results.plan.metric
    limits = [row[name] for row in rows for name in ("ci_low", "ci_high", "difference") if not say.missing(row[name])]
    reach = 1.08 * max([abs(limit) for limit in limits] + [2 * results.rope, 1e-4])
    for row in rows:
        variant, reference = contrast_labels(results.plan, question, row["variant"])
        contrasts.append(
            ContrastView(
                row["variant"],
                variant,
                reference,
                verdict_or_gap(row),
                verdict_text(row),
                _beside_constant_guess(results, row, headline(row, variant, reference, results.rope)),
                say.change(row["difference"], metric),
                say.change_interval(row["ci_low"], row["ci_high"], metric),
                say.MISSING if say.missing(row["p_adjusted"]) else say.format_p(row["p_adjusted"]),
                row["sentence"],
                bar(row, results.rope, reach),
                0.0 if say.missing(row["difference"]) else abs(row["difference"]),
                registered_when(row) if exploratory(row) else "",
                new_images_view(row),
                *marks_and_flips(results, row),
            )
        )
    names = [question.reference, *question.variants]
    counts = sorted({int(results.variant(dataset, name)["n_seeds"]) for name in names})
    return QuestionCard(
        question,
        dataset,
        contrasts,
        seeds_text(counts),
        say.count(results.test_images[dataset]),
        [row["sentence"] for row in results.over_levels(dataset, question.name)],
        levels_table(results, dataset, question),
    )


def _beside_constant_guess(results: StudyResults, row: Mapping[str, Any], text: str) -> str:
    """A headline, with a remark if by the metric of verdicts neither side is better than a constant guess."""
    guess, metric = results.constant_guess.get(row["dataset"]), results.plan.metric
    guessed = guess["metrics"].get(metric.column) if guess else None
    sides = [results.variant(row["dataset"], row[side]) for side in ("variant", "reference")]
    means = [side[f"{metric.column}_mean"] for side in sides if not say.missing(side[f"{metric.column}_mean"])]
    if guessed is None or not means or any(metric.better(mean, guessed) for mean in means):
        return text
    if metric != ACCURACY:
        return _(
            "{headline}; neither is better than a constant guess ({metric} {value})",
            headline=text,
            metric=_(metric.name),
            value=say.level(guessed, metric),
        )
    return _(
        "{headline}; neither is right more often than {guess} ({share})",
        headline=text,
        guess=guessing(guess["class"]),
        share=say.percent(guess["share"]),
    )


def new_images_view(row: Mapping[str, Any]) -> NewImagesView | None:
    """The verdict of a comparison on new test images; None where nothing is inferred."""
    if say.missing(row["new_images_ci_low"]):
        return None
    return NewImagesView(
        row["new_images_verdict"],
        new_images_verdict_text(row),
        say.interval(row["new_images_ci_low"], row["new_images_ci_high"]),
        [row[f"new_images_{part}"] for part in ("sentence", "narrowing", "scatter")],
    )


def bar(row: Mapping[str, Any], rope: float, reach: float) -> Bar | None:
    """Positions of a comparison's interval on a scale from −``reach`` to ``reach``; None without an interval."""
    if say.missing(row["ci_low"]) or say.missing(row["difference"]):
        return None

    def percent_position(value: float) -> float:
        return round(50 + 50 * value / reach, 2)

    return Bar(*(percent_position(v) for v in (row["ci_low"], row["ci_high"], row["difference"], 0, -rope, rope)))


def claim_cards(
    results: StudyResults, several: bool, unequal: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> list[ClaimCard]:
    """Card of every claim, in the order of the config.

    Args:
        several: whether the study has several datasets, so that each card names its own.
        unequal: warnings of claims whose runs were made under different conditions, by id and dataset.
    """
    cards = []
    for row in results.claims.to_dict("records"):
        claim, unit = results.plan.claims[row["claim"]], "" if say.missing(row["unit"]) else row["unit"]
        published, measured = claim.published, row["measured"]
        if isinstance(published, int | float):
            published = say.constant_text(Fraction(str(published)), unit)
        if say.missing(row["n_seeds"]) and float(measured).is_integer():  # an exact whole number
            measured = Fraction(int(measured))
        cards.append(
            ClaimCard(
                row["claim"],
                claim.text,
                claim.source,
                row["rule"],
                row["dataset"] if several else "",
                say.MISSING if published in (None, "") else published,
                say.MISSING if say.missing(measured) else say.quantity_text(measured, unit),
                "" if say.missing(row["ci_low"]) else say.interval(row["ci_low"], row["ci_high"], unit),
                row["verdict"],
                " ".join(filter(None, (row["reason"], unequal.get((row["claim"], row["dataset"]))))),
                registered_when(row),
                exploratory(row),
            )
        )
    return cards


def levels_table(results: StudyResults, dataset: str, question: Question) -> Table:
    """Levels of an experiment, or the two sides of a comparison, with measures, costs and verdicts."""
    rows, metric = {row["variant"]: row for row in results.contrasts(dataset, question.name)}, results.plan.metric
    if question.levels:
        names = question.level_labels
    else:
        names = {name: results.label(name) for name in (question.reference, *question.variants)}
    cells = []
    for name, label in names.items():
        variant, row = results.variant(dataset, name), rows.get(name)
        cells.append(
            (
                label,
                str(variant["n_seeds"]),
                mean_and_sd(variant, metric),
                _("reference") if row is None else say.change(row["difference"], metric),
                "" if row is None else say.change_interval(row["ci_low"], row["ci_high"], metric),
                "" if row is None else verdict_text(row),
                "" if row is None else say.interval(row["new_images_ci_low"], row["new_images_ci_high"]),
                "" if row is None or say.missing(row["new_images_ci_low"]) else new_images_verdict_text(row),
                say.count(variant["parameters"]),
                say.count(variant["macs"]),
                pixels(variant["receptive_field"]),
                say.number(variant["seconds_per_epoch"], 2),
            )
        )
    columns = (
        "level" if question.levels else "label", "n_seeds", metric.column, "difference", "difference_ci",
        "verdict", "new_images_ci", "new_images_verdict", "parameters", "macs", "receptive_field", "seconds_per_epoch",
    )  # fmt: skip
    return Table("levels", columns, cells, {"question": question.text, "dataset": dataset}, list(names))
