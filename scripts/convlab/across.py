"""Where an effect holds: a question's verdicts on several datasets, a sentence for each comparison."""

from convlab.interpretation import Evidence, Statement, listing, missing, outcome, plural, points
from convlab.plan import Question
from convlab.results import contrast_labels

WORDS = {
    "better": "better on",
    "worse": "worse on",
    "equivalent": "equivalent on",
    "inconclusive": "not settled on",
    "smoke": "not tested on",
    "missing": "without a value on",
}


def across_datasets(evidence: Evidence, question: Question, datasets: list[str]) -> list[Statement]:
    """Where each comparison of a question holds; nothing for a study with one dataset."""
    if len(datasets) < 2:
        return []
    found = []
    for variant in question.variants:
        rows = {
            dataset: next(row for row in evidence.contrasts(dataset, question.name) if row["variant"] == variant)
            for dataset in datasets
        }
        outcomes = {dataset: outcome(row) for dataset, row in rows.items()}
        measured = {dataset: row["difference"] for dataset, row in rows.items() if not missing(row["difference"])}
        named = {
            dataset: f"{dataset} ({points(measured[dataset])})" if dataset in measured else dataset
            for dataset in datasets
        }
        label, reference = contrast_labels(evidence.plan, question, variant)
        parts = []
        for kind, words in WORDS.items():
            where = [named[dataset] for dataset in datasets if outcomes[dataset] == kind]
            if where:
                parts.append(f"{words} {listing(where)}")
        text = f"{_reach(list(outcomes.values()))} {label} against {reference} is {'; '.join(parts)}."
        found.append(Statement(text, measured))
    return found


def _reach(outcomes: list[str]) -> str:
    """How far the verdicts agree, in a few words."""
    count = plural(len(outcomes), "dataset")
    if {"better", "worse"} <= set(outcomes):
        return "The datasets disagree."
    if len(set(outcomes)) == 1 and outcomes[0] in ("better", "worse", "equivalent"):
        return f"The same on all {count}."
    settled = max(("better", "worse", "equivalent"), key=outcomes.count)
    if outcomes.count(settled):
        return f"Settled on {outcomes.count(settled)} of {count}, so it does not carry over to all of them."
    return f"Settled on none of {count}."
