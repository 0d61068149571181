"""Findings across datasets: where an effect holds and where it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.study_results import MADE_UP_STUDY, results_with, seeds_around
from convlab.findings.across_datasets import _reach, across_datasets

TWO = {**MADE_UP_STUDY, "datasets": {"digits": {}, "other": {"kind": "digits"}}, "experiments": {}}


def sentence_for(first: dict, second: dict) -> str:
    """The sentence about the CNN against the dense model, with these accuracies on the two datasets."""
    results = results_with(first, config=TWO)
    rows = results.comparisons.copy()
    other = results_with(second, config=TWO).comparisons
    rows.loc[rows["dataset"] == "other"] = other[other["dataset"] == "other"].to_numpy()
    object.__setattr__(results, "comparisons", rows)
    (finding,) = across_datasets(results, results.plan.questions["convolution"], ["digits", "other"])
    return finding.text


WIN = {"dense": seeds_around(0.90), "cnn": seeds_around(0.95)}
LOSS = {"dense": seeds_around(0.95), "cnn": seeds_around(0.90)}
EQUAL = {"dense": seeds_around(0.90, (-0.0002, 0.0, 0.0002)), "cnn": seeds_around(0.9001, (-0.0002, 0.0, 0.0002))}
OPEN = {"dense": [0.93, 0.95, 0.94], "cnn": [0.93, 0.97, 0.95]}


@pytest.mark.parametrize(("first", "second", "begins", "tells"), [
    (WIN, WIN, "The same on all 2 datasets.", "better on digits (+5.00 pp) and other (+5.00 pp)."),
    (WIN, LOSS, "The datasets disagree.", "better on digits (+5.00 pp); worse on other (−5.00 pp)."),
    (WIN, OPEN, "Settled on 1 of 2 datasets; on the others this study does not tell.",
     "better on digits (+5.00 pp); not settled on other (+1.00 pp)."),
    (WIN, EQUAL, "An effect on one dataset, none of practical size on another: it does not carry over",
     "better on digits (+5.00 pp); equivalent on other (+0.01 pp)."),
    (EQUAL, OPEN, "Settled on 1 of 2 datasets; on the others", "equivalent on digits (+0.01 pp); not settled on other"),
    (OPEN, OPEN, "Settled on none of 2 datasets.", "not settled on digits (+1.00 pp) and other (+1.00 pp)."),
])  # fmt: skip
def test_it_says_on_which_datasets_an_effect_holds(first, second, begins, tells):
    text = sentence_for(first, second)
    assert text.startswith(begins)
    assert f"CNN against Dense is {tells}" in text


@given(st.lists(st.sampled_from(["better", "worse", "equivalent", "inconclusive", "smoke", "missing"]), min_size=2))
def test_nothing_carries_over_or_fails_to_without_a_verdict_on_both(verdicts):
    text, settled = _reach(verdicts), {"better", "worse", "equivalent"} & set(verdicts)
    assert ("carry over" in text or "disagree" in text) == (len(settled) > 1)
    assert text.startswith("The same on all") == (len(settled) == 1 and len(set(verdicts)) == 1)


def test_a_verdict_without_the_runs_that_diverged_says_so_beside_one_with_all():
    config = {**TWO, "seeds": 5}
    steady, better = [0.90, 0.901, 0.899, 0.9005, 0.8995], [0.951, 0.95, 0.9495, 0.9505, 0.949]
    results = results_with({"dense": [*steady[:4], None], "cnn": better}, config=config)
    whole = results_with({"dense": steady, "cnn": better}, config=config).comparisons
    rows = results.comparisons.copy()
    rows.loc[rows["dataset"] == "other"] = whole[whole["dataset"] == "other"].to_numpy()
    object.__setattr__(results, "comparisons", rows)
    (finding,) = across_datasets(results, results.plan.questions["convolution"], ["digits", "other"])
    assert "better on other (+5.00 pp); better on digits (+5.01 pp), of the runs that finished." in finding.text


def test_one_dataset_has_nothing_to_compare():
    results = results_with(WIN, config={**MADE_UP_STUDY, "experiments": {}})
    assert across_datasets(results, results.plan.questions["convolution"], ["digits"]) == []
