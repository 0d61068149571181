"""No sentence says more than its numbers: what made-up tables allow, who came first."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.project import CNN_5X5
from builders.results import CNN_WINS, exploration_of
from builders.study_results import CLEAR_SPREAD, history_with, results_with, seeds_around
from convlab.findings.collect import interpret
from convlab.findings.dense_vs_conv import baseline
from convlab.findings.factor import factor
from convlab.findings.limitations import characters_missing_in_fonts, limitations
from convlab.findings.training import errors, fit, noise


def texts(findings) -> str:
    return " ".join(finding.text for finding in findings)


# ---------------------------------------------------------------------------------------------------------------------
# Made-up tables


accuracies = st.lists(st.one_of(st.none(), st.integers(0, 100).map(lambda n: n / 100)), min_size=3, max_size=3)


@settings(max_examples=25)
@given(st.fixed_dictionaries({"dense": accuracies, "cnn": accuracies, CNN_5X5: accuracies}), st.sampled_from([1, 2, 3]))
def test_whatever_the_table_the_sentences_hold(values, seeds):
    values = {name: runs[:seeds] for name, runs in values.items()}
    results = results_with(values, config={"seeds": seeds})
    means = {name: np.mean(kept) for name, runs in values.items() if (kept := [v for v in runs if v is not None])}
    text = " ".join(s.text for topic in interpret(results, "digits") for s in topic.findings)
    assert not re.search(r"\b(nan|None|inf)\b", text)
    for leader, other in re.findall(
        r"(CNN(?:, kernel size 5×5)?|Dense) leads (CNN(?:, kernel size 5×5)?|Dense) by", text
    ):
        names = {"CNN": "cnn", "Dense": "dense", "CNN, kernel size 5×5": CNN_5X5}
        assert means[names[leader]] > means[names[other]]
    verdicts = dict(zip(results.comparisons["experiment"], results.comparisons["verdict"], strict=True))
    assert ("Yes: CNN beat Dense" in text) == (verdicts["convolution"] == "better" and seeds == 3)
    assert ("No: CNN did worse than Dense" in text) == (verdicts["convolution"] == "worse" and seeds == 3)
    if seeds < 3:
        for inferred in (
            "pays in test accuracy",
            "was better than",
            "more than twice",
            "Equivalent to",
            "equivalent",
        ):
            assert inferred not in text


@settings(max_examples=15)
@given(st.lists(st.integers(50, 99), min_size=6, max_size=6))
def test_turning_the_data_round_turns_the_answer_round(values):
    first, second = ([value / 100 for value in half] for half in (values[:3], values[3:]))
    untested = {CNN_5X5: [None] * 3}
    first_text = baseline(results_with({"dense": first, "cnn": second, **untested}), "digits").findings[0].text
    second_text = baseline(results_with({"dense": second, "cnn": first, **untested}), "digits").findings[0].text
    opposite = {"Yes": "No: CNN did worse", "No: CNN did worse": "Yes"}
    for begins, turned in opposite.items():
        assert first_text.startswith(begins) == second_text.startswith(turned)


def test_diverged_runs_qualify_the_answer():
    values = {"dense": [*seeds_around(0.8), 0.8], "cnn": [*seeds_around(0.9), None], CNN_5X5: [0.9] * 4}
    text = texts(baseline(results_with(values, config={"seeds": 4}), "digits").findings)
    assert "1 run of CNN diverged: what is said here is about the runs that finished." in text


def test_equal_costs_name_no_cheaper_model():
    results = results_with({"dense": [0.95, 0.9501, 0.9499], "cnn": [0.95, 0.9501, 0.9499], CNN_5X5: seeds_around(0.9)})
    results.variants["macs"] = 1000
    assert "fewer MACs" not in texts(baseline(results, "digits").findings)


# ---------------------------------------------------------------------------------------------------------------------
# Noise, fits, errors


@pytest.mark.parametrize(
    ("values", "sentence", "never"),
    [
        (CNN_WINS, "share the highest mean", "leads"),
        ({"dense": [0.9, 0.8], "cnn": [0.95, 0.96], CNN_5X5: [0.99, 0.98]}, "cannot be told from these", "more than"),
        (
            {"dense": [0.9] * 3, "cnn": [0.95] * 3, CNN_5X5: [0.96] * 3},
            "cannot be told from these",
            "standard error of 0",
        ),
        (CNN_WINS | {CNN_5X5: seeds_around(0.99)}, "picked for being the first two", "alone"),
    ],
)
def test_the_lead_of_the_first_is_said_as_it_is(values, sentence, never):
    seeds = len(values["dense"])
    text = texts(noise(results_with(values, config={"seeds": seeds}), "digits").findings)
    assert sentence in text and never not in text


def test_all_that_share_the_highest_mean_are_named():
    text = texts(
        noise(results_with({name: seeds_around(0.9) for name in ("dense", "cnn", CNN_5X5)}), "digits").findings
    )
    assert "Dense, CNN and CNN, kernel size 5×5 share the highest mean" in text


def test_a_factor_says_which_of_its_runs_diverged_and_how_many_seeds_are_few():
    kernel = {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]}
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.93), CNN_5X5: [None, None, 0.94]}
    values[CNN_5X5.replace("5", "7")] = [0.95, 0.951, None]
    results = results_with(values, config={"experiments": {"kernel": kernel}})
    text = texts(factor(results, "digits", results.plan.questions["kernel"]).findings)
    assert "Runs that diverged: 5×5 (2 of 3) and 7×7 (1 of 3). What is said here is about the runs that" in text
    assert "with n = 1 and 2 this is a smoke test" in text
    first = results.comparisons.set_index("variant").loc[CNN_5X5, "sentence"]
    assert "n = 1 seed of 5×5 and 3 of 3×3" in first


def test_two_models_without_a_finished_run_are_no_single_one():
    results = results_with({"dense": [None] * 3, "cnn": [None] * 3, CNN_5X5: seeds_around(0.9)})
    assert "neither of them has a finished run" in texts(baseline(results, "digits").findings)


def test_a_part_of_a_claim_without_variance_has_no_p_value():
    rule = {"id": "order", "text": "In order.", "rule": "0.1 < test_accuracy(dense) < test_accuracy(cnn)"}
    results = results_with(
        {"dense": [0.9, 0.9, 0.9], "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.9)},
        config={"claims": [rule]},
    )
    reason = results.claims.iloc[0]["reason"]
    assert "do not vary" in reason and "one-sided" not in reason


def test_a_perfect_model_has_no_binomial_error():
    values = {"dense": seeds_around(0.9), "cnn": [1.0, 1.0, 1.0], CNN_5X5: seeds_around(0.9)}
    assert "Another test set" not in texts(noise(results_with(values), "digits").findings)


def test_a_validation_loss_that_rises_shows_overfitting_whatever_the_gap():
    losing = history_with(train=(0.6, 0.9, 1.0, 1.0), validation=(0.6, 0.94, 0.95, 0.95), loss=(1.0, 0.2, 0.4, 0.68))
    results = results_with(
        dict.fromkeys(("dense", "cnn", CNN_5X5), seeds_around(0.95)),
        histories=dict.fromkeys(("dense", "cnn", CNN_5X5), losing),
        kept=3,
        validation_images=60,
    )
    text = texts(fit(results, "digits").findings)
    assert "No overfitting shows" not in text
    assert "validation loss shows overfitting in later epochs" in text
    assert "validation loss rose by 240 % until the last epoch" in text


def test_a_gap_that_not_every_seed_has_is_no_overfitting():
    results = results_with(dict.fromkeys(("dense", "cnn", CNN_5X5), seeds_around(0.95)))
    fits = results.fits.assign(gap=[0.52, 0.46, -0.26] * (len(results.fits) // 3), train_accuracy=0.9, val_accuracy=0.7)
    text = texts(fit(dataclasses.replace(results, fits=fits), "digits").findings)
    assert "but not in every seed: whether it overfits cannot be told from these" in text and "It overfits" not in text


def test_one_seed_has_no_range():
    results = results_with({name: [0.9] for name in ("dense", "cnn", CNN_5X5)}, config={"seeds": 1})
    assert "(1 seed)" in texts(fit(results, "digits").findings)


def test_ties_are_told_where_something_is_called_the_most():
    matrix = np.eye(10, dtype=int) * 90
    matrix[0, 1], matrix[2, 3] = 5, 5
    results = results_with(dict.fromkeys(("dense", "cnn", CNN_5X5), seeds_around(0.95)), confusion=matrix)
    text = texts(errors(results, "digits").findings)
    assert "1 other pair is confused as often." in text
    assert "The hardest classes are 0 and 2: recall 94.7 % each." in text


# ---------------------------------------------------------------------------------------------------------------------
# Limits


@pytest.mark.parametrize(("near", "sentence"), [(2, False), (17, False), (18, True), (213, True)])
def test_near_duplicates_are_said_with_what_they_can_do(near, sentence):

    summary = exploration_of("digits", ["0", "1"])
    summary["duplicates"] |= {"near_test_images": near, "near_share_of_test": near / 355}
    results = results_with(dict.fromkeys(("dense", "cnn", CNN_5X5), seeds_around(0.95, CLEAR_SPREAD)))
    text = texts(limitations(results, [1, 2, 3], {"digits": summary}, 0))
    assert f"can raise every accuracy by up to {100 * near / 355:.2f} pp" in text
    assert ("the accuracies are not those of new images" in text) == sentence
    assert "a little" not in text


def test_characters_that_no_font_has_are_told_once():
    assert characters_missing_in_fonts("") == []
    assert "lack 2 characters of the names (字漢)" in characters_missing_in_fonts("字漢")[0].text
