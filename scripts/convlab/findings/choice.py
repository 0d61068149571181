"""The choice of the exported variant in words: what validation data tell apart, and how optimistic the score is."""

from collections.abc import Mapping

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext
from convlab.findings.study_results import StudyResults
from convlab.language.numbers import percent, unsigned_points
from convlab.results.choice import chosen_run
from convlab.results.choice_margin import ChoiceMargin, choice_margin
from convlab.statistics.describe import MIN_SEEDS


def margin_of(results: StudyResults, dataset: str, chosen: str) -> ChoiceMargin:
    """The chosen variant among all that could be exported instead of it."""
    plan, runs = results.plan, results.runs
    candidates = {*plan.servable, chosen}
    runs = runs[(runs["dataset"] == dataset) & runs["variant"].isin(candidates)]
    macs = {name: plan.costs[dataset, name].macs for name in candidates}
    return choice_margin(runs, chosen, macs, results.given_validation.get(dataset))


def told_apart(margin: ChoiceMargin, chosen: str, labels: Mapping[str, str]) -> str:
    """Sentences on the candidates that validation data do not tell from the chosen variant; empty with a single
    candidate."""
    if margin.n_candidates == 1:
        return ""
    if margin.n_seeds < MIN_SEEDS:
        return _("With fewer than three seeds, validation data tell no candidates apart.")
    if not margin.equals and margin.validation_images:
        return ngettext(
            "On the {n} validation image that the data bring it is told apart from every other candidate (95 %, "
            "paired by seed, adjusted): with other seeds, not on other images.",
            "On the {n} validation images that the data bring it is told apart from every other candidate (95 %, "
            "paired by seed, adjusted): with other seeds, not on other images.",
            margin.validation_images,
        )
    if not margin.equals:
        return _("On validation data it is told apart from every other candidate (95 %, paired by seed, adjusted).")
    text = _(
        "Chosen among equals: on validation data it is not told from {others} (95 %, paired by seed, adjusted).",
        others=listing(labels[name] for name in margin.equals),
    )
    if margin.fewest_macs == chosen:
        fewest = _("None of them needs fewer multiply-accumulates.")
    else:
        fewest = _("Of these {label} needs the fewest multiply-accumulates.", label=labels[margin.fewest_macs])
    return f"{text} {fewest}"


def optimism(margin: ChoiceMargin, select: str) -> str:
    """Sentences on the bias of the chosen variant's mean validation accuracy; empty where nothing was chosen by it.

    Args:
        select: which epoch of a run is kept, ``best`` (by validation accuracy) or ``last``.
    """
    sentences = []
    if margin.n_candidates > 1 and margin.optimism is None:
        sentences.append(
            _(
                "The variant was chosen for its validation accuracy, which is therefore optimistic; fewer than three "
                "seeds do not tell by how much."
            )
        )
    elif margin.n_candidates > 1:
        sentences.append(
            _(
                "The variant was chosen for its validation accuracy, which is therefore optimistic, on average by up "
                "to {optimism}.",
                optimism=unsigned_points(margin.optimism),
            )
        )
        if margin.validation_images:
            sentences.append(_("That counts that the validation images are one sample, the same for every seed."))
    if select == "best":
        sentences.append(
            _("The epoch of each run was chosen by its validation accuracy too, which adds to that and is not counted.")
            if sentences
            else _("The epoch of each run was chosen by its validation accuracy, which is therefore optimistic.")
        )
    return " ".join(sentences)


def choice_text(results: StudyResults, dataset: str, chosen: str) -> str:
    """The rule of choice, what it could not tell apart, and what the scores of the variant and of its run are."""
    margin = margin_of(results, dataset, chosen)
    labels = {name: variant.label for name, variant in results.plan.variants.items()}
    rule = _(
        "Highest mean validation accuracy, {accuracy}, among the variants of which the largest share of runs finished; "
        "of exact ties the one with fewer multiply-accumulates. Test images had no part in it.",
        accuracy=percent(results.variant(dataset, chosen)["val_accuracy_mean"]),
    )
    score_text = optimism(margin, results.plan.variants[chosen].training.select)
    sentences = [rule, told_apart(margin, chosen, labels), score_text, run_text(results, dataset, chosen)]
    return " ".join(filter(None, sentences))


def run_text(results: StudyResults, dataset: str, chosen: str) -> str:
    """Sentence on the run of the chosen variant that is exported, with its own scores."""
    rows = results.runs[(results.runs["dataset"] == dataset) & (results.runs["variant"] == chosen)]
    _variant, seed = chosen_run(rows)
    row = rows[rows["seed"] == seed].iloc[0]
    return _(
        "Of its runs the one nearest to that mean stands for it, seed {seed}: validation accuracy {validation}, test "
        "accuracy of this one run {test}.",
        seed=seed,
        validation=percent(row["val_accuracy"]),
        test=percent(row["test_accuracy"]),
    )
