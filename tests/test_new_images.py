"""Verdicts for new test images: by the rule of the other verdict, over their own family, in tables and sentences."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.study_results import runs_with
from convlab.findings.new_images import verdicts_on_new_images
from convlab.findings.study_results import StudyResults
from convlab.results import tables
from convlab.results.new_images import with_new_images
from convlab.statistics.images import crossed_difference
from convlab.statistics.multiplicity import holm
from convlab.study.load import load_study

ROPE = 0.005
SEEDS = 5
STUDY = {
    "study": "pictures",
    "datasets": {"digits": {}},
    "seeds": SEEDS,
    "models": {name: {"family": "dense", "units": [8 + index]} for index, name in enumerate(("one", "two", "three"))},
    "comparisons": {
        "second": {"variant": "two", "reference": "one"},
        "third": {"variant": "three", "reference": "one"},
    },
}


def answers(shares: dict[str, float], images: int, noise: float = 0.3, seed: int = 0) -> dict:
    """Made-up correctness: images differ in difficulty and in which model they suit (SD ``noise``, log odds)."""
    generator = np.random.default_rng(seed)
    difficulty, correct = generator.normal(0, 1, images), {}
    for name, share in shares.items():
        ease = difficulty + generator.normal(0, noise, images)
        limit = np.quantile(ease, 1 - share)
        for run in range(1, SEEDS + 1):
            correct["digits", name, run] = ease + generator.normal(0, 0.3, images) > limit
    return correct


def comparisons(correct: dict, config: dict | None = None, diverged: tuple = (), share: float = 1.0) -> pd.DataFrame:
    """comparisons.csv by question, from the correctness of every run, at a look with this share of the level."""
    study = load_study({**STUDY, **(config or {})})
    accuracies = {
        name: [None if (name, run) in diverged else float(correct["digits", name, run].mean())
               for run in range(1, SEEDS + 1)]
        for name in study.plan.variants
    }  # fmt: skip
    correct = {key: right for key, right in correct.items() if key[1:] not in diverged}
    table = tables.comparisons_table(runs_with(study, accuracies), study.plan, ROPE)
    return with_new_images(table, correct, study.plan, ROPE, share).set_index("experiment")


def test_a_large_difference_on_many_images_is_one_for_new_images_and_its_opposite_the_opposite():
    for shares, reached in (({"one": 0.7, "two": 0.8}, "better"), ({"one": 0.8, "two": 0.7}, "worse")):
        row = comparisons(answers({**shares, "three": 0.75}, 5000)).loc["second"]
        assert row["new_images_verdict"] == reached
        assert row["new_images_sentence"].endswith(f"comparisons): {reached}.")


def test_what_holds_on_few_images_of_which_some_suit_a_model_is_not_settled_for_new_ones():
    row = comparisons(answers({"one": 0.7, "two": 0.8, "three": 0.75}, 60, noise=3)).loc["second"]
    crossed_low, crossed_high = row["new_images_ci_low"], row["new_images_ci_high"]
    assert row["verdict"] in ("better", "worse") and row["new_images_verdict"] == "inconclusive"
    assert crossed_low < 0 < crossed_high
    assert row["new_images_narrowing"].startswith("More test images would narrow this interval most")


def test_models_that_answer_nearly_alike_are_equivalent_for_new_images():
    correct = answers({"one": 0.8, "two": 0.8, "three": 0.7}, 10_000)
    generator = np.random.default_rng(1)
    for run in range(1, SEEDS + 1):
        correct["digits", "two", run] = correct["digits", "one", run] ^ (generator.random(10_000) < 0.002)
    row = comparisons(correct).loc["second"]
    assert row["new_images_verdict"] == "equivalent"
    assert "equivalent within ± 0.5" in row["new_images_sentence"]


def test_p_values_for_new_images_are_adjusted_over_all_comparisons_of_the_study():
    correct = answers({"one": 0.70, "two": 0.735, "three": 0.73}, 1500, noise=1)
    table = comparisons(correct)
    alone = [
        crossed_difference(
            *(np.stack([correct["digits", name, run] for run in range(1, SEEDS + 1)]) for name in (variant, "one")),
            rope=ROPE,
        )
        for variant in ("two", "three")
    ]
    assert table["new_images_p"].tolist() == pytest.approx([result.p_value for result in alone])
    assert table["new_images_p_adjusted"].tolist() == pytest.approx(holm([result.p_value for result in alone]))
    assert table["new_images_p_equivalence_adjusted"].tolist() == pytest.approx(
        [min(1.0, 2 * result.p_equivalence) for result in alone]
    )


def test_at_a_planned_look_verdicts_for_new_images_are_held_at_its_share_of_the_level():
    correct = answers({"one": 0.7, "two": 0.8, "three": 0.75}, 5000)
    alone, looked = comparisons(correct).loc["second"], comparisons(correct, share=0.04).loc["second"]
    assert looked["new_images_p"] == alone["new_images_p"]
    for name in ("new_images_p_adjusted", "new_images_p_equivalence_adjusted"):
        assert looked[name] == pytest.approx(min(1.0, alone[name] / 0.04))
    barely = comparisons(correct, share=alone["new_images_p_adjusted"] / 0.051).loc["second"]
    assert (alone["new_images_verdict"], barely["new_images_verdict"]) == ("better", "inconclusive")


def test_the_adjusted_p_value_decides_and_not_the_interval_alone():
    """The interval of each comparison excludes 0, but p over twelve of them does not reach the level."""
    correct = answers({"one": 0.7, "two": 0.73, "three": 0.7}, 1500, noise=0.8, seed=4)
    many = {f"q{index}": {"variant": "two", "reference": "one"} for index in range(12)}
    row = comparisons(correct, {"comparisons": {"second": many["q0"]}}).iloc[0]
    assert row["new_images_verdict"] == "better" and 0.05 / 12 < row["new_images_p"] < 0.05
    rows = comparisons(correct, {"comparisons": many})
    assert (rows["new_images_ci_low"] > 0).all() and set(rows["new_images_verdict"]) == {"inconclusive"}


def test_a_side_that_diverged_more_often_is_not_called_better_for_new_images():
    correct = answers({"one": 0.7, "two": 0.8, "three": 0.75}, 5000)
    row = comparisons(correct, diverged=(("two", 1),)).loc["second"]
    assert row["new_images_ci_low"] > ROPE and row["new_images_verdict"] == "inconclusive"
    assert comparisons(correct, diverged=(("one", 1),)).loc["second"]["new_images_verdict"].startswith("better")


@given(seed=st.integers(0, 10_000), images=st.integers(20, 300), noise=st.floats(0, 3))
@settings(max_examples=25)
def test_exchanging_the_two_sides_exchanges_the_verdict_and_nothing_else(seed, images, noise):
    correct = answers({"one": 0.7, "two": 0.75, "three": 0.7}, images, noise, seed)
    there = comparisons(correct, {"comparisons": {"q": {"variant": "two", "reference": "one"}}}).loc["q"]
    back = comparisons(correct, {"comparisons": {"q": {"variant": "one", "reference": "two"}}}).loc["q"]
    opposite = {"better": "worse", "worse": "better"}
    verdict = there["new_images_verdict"]
    assert back["new_images_verdict"] == opposite.get(verdict, verdict)
    assert there["new_images_narrowing"] == back["new_images_narrowing"]
    assert there["new_images_scatter"] == back["new_images_scatter"]


def test_the_sentences_say_the_numbers_of_the_table():
    row = comparisons(answers({"one": 0.7, "two": 0.8, "three": 0.75}, 5000)).loc["second"]

    def points(value: float) -> str:
        return f"{100 * value:.2f}"

    half = (row["new_images_ci_high"] - row["new_images_ci_low"]) / 2
    for value in (half, row["new_images_half_width_seeds"], row["new_images_half_width_images"]):
        assert f"± {points(value)}" in row["new_images_narrowing"]
    for name in ("sd_seeds", "sd_seeds_these_images", "sd_seeds_any_images"):
        assert points(row[name]) in row["new_images_scatter"]
    assert row["sd_seeds"] ** 2 == pytest.approx(row["sd_seeds_these_images"] ** 2 + row["sd_seeds_any_images"] ** 2)


def results_of(table: pd.DataFrame) -> StudyResults:
    """Results that have these comparisons and nothing else."""
    plan = load_study(STUDY).plan
    empty = pd.DataFrame()
    return StudyResults(plan, ROPE, empty, empty, table.reset_index(), *[empty] * 5, {}, {}, {"digits": 100}, {})


def test_the_interpretation_names_verdicts_that_do_not_hold_for_new_images():
    table = comparisons(answers({"one": 0.7, "two": 0.8, "three": 0.8}, 5000))
    (same,) = verdicts_on_new_images(results_of(table), "digits")
    assert same.text == "2 verdicts are settled, and all are the same for new test images."
    changed = table.assign(new_images_verdict=["better", "inconclusive"])
    (finding,) = verdicts_on_new_images(results_of(changed), "digits")
    named = "three vs one (better on these, inconclusive on new ones)"
    assert finding.text == f"1 settled verdict is not the same for new test images: {named}."
    assert finding.numbers == {"settled": 2, "changed": 1}
    assert list(verdicts_on_new_images(results_of(table.assign(verdict="inconclusive")), "digits")) == []
