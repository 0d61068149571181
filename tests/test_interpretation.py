"""The interpretation follows the numbers in both directions, says what is open, and invents nothing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from builders.project import CNN_5X5
from builders.study_results import CLOSE_SPREAD, MADE_UP_STUDY, TWO_FACTORS, history_with, results_with, seeds_around
from convlab.findings.assumptions import assumptions, limits_of_convolution
from convlab.findings.collect import interpret
from convlab.findings.dense_vs_conv import baseline, duels
from convlab.findings.factor import factor
from convlab.findings.limitations import limitations
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.findings.training import calibration, errors, fit, noise
from convlab.language import numbers as say


def text_of(topic: Topic) -> str:
    return " ".join(finding.text for finding in topic.findings)


def everything(results: StudyResults) -> str:
    return " ".join(text_of(topic) for topic in interpret(results, "digits"))


# ---------------------------------------------------------------------------------------------------------------------
# Convolution against dense


def test_a_clear_win_of_the_cnn_is_said_with_its_numbers():
    results = results_with({"dense": seeds_around(0.90), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.95)})
    text = text_of(baseline(results, "digits"))
    assert text.startswith("Yes: CNN beat Dense.")
    assert "+5.00 pp" in text
    assert "Even the near end of the interval lies beyond the ± 0.5 pp" in text
    assert "9,258 parameters against 4,810 (1.92 times)" in text
    assert "No:" not in text
    assert "not settled" not in text.lower()


def test_a_clear_loss_of_the_cnn_is_said_plainly_and_why_it_may_be_is_marked_as_untested():
    results = results_with({"dense": seeds_around(0.95), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.90)})
    topic = baseline(results, "digits")
    text = text_of(topic)
    assert text.startswith("No: CNN did worse than Dense.")
    assert "−5.00 pp" in text
    assert "Yes" not in text
    reasons = [finding for finding in topic.findings if finding.kind == "conjecture"]
    assert reasons
    assert all("may" in reason.text or "does not test" in reason.text for reason in reasons)
    limits = text_of(limits_of_convolution(results, "digits"))
    assert "digits is such a case: CNN was worse than Dense (−5.00 pp of test accuracy)" in limits
    assert "rewarded" not in limits


def test_the_direction_of_the_comparison_does_not_matter():
    config = {"comparisons": {"convolution": {"variant": "dense", "reference": "cnn"}}}
    wins = results_with(
        {"dense": seeds_around(0.90), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.95)}, config=config
    )
    loses = results_with(
        {"dense": seeds_around(0.95), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.90)}, config=config
    )
    (duel,) = duels(wins, "digits")
    assert (duel.conv, duel.dense, duel.verdict) == ("cnn", "dense", "better")
    assert duel.row["ci_low"] < 0.05 < duel.row["ci_high"]
    assert duel.row["difference"] == pytest.approx(0.05)
    assert text_of(baseline(wins, "digits")).startswith("Yes: CNN beat Dense.")
    assert text_of(baseline(loses, "digits")).startswith("No: CNN did worse than Dense.")


def test_an_inconclusive_comparison_names_what_it_could_detect_and_never_says_no_effect():
    results = results_with({"dense": [0.93, 0.95, 0.94], "cnn": [0.93, 0.97, 0.95], CNN_5X5: [0.94, 0.96, 0.95]})
    topic = baseline(results, "digits")
    text = text_of(topic)
    assert text.startswith("Not settled: whether CNN beats Dense cannot be told")
    assert "the interval leaves room for either to be ahead" in text
    assert re.search(r"this design could detect \d+\.\d pp or more", text)
    assert "seeds each would settle it" in text
    assert "no effect" not in everything(results).lower()
    assert "no difference" not in everything(results).lower()
    assert "is not settled by this study" in text_of(limits_of_convolution(results, "digits"))


def test_equivalence_names_the_cheaper_model_and_recommends_none():
    results = results_with(
        {
            "dense": seeds_around(0.95, CLOSE_SPREAD),
            "cnn": seeds_around(0.9501, CLOSE_SPREAD),
            CNN_5X5: seeds_around(0.95, CLOSE_SPREAD),
        }
    )
    text = text_of(baseline(results, "digits"))
    assert "equivalent within ± 0.5 pp" in text
    assert "Of the two, Dense needs fewer MACs." in text
    limits = text_of(limits_of_convolution(results, "digits"))
    assert "equivalent in test accuracy, and CNN needs" in limits and "appropriate choice" not in limits


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_infer_nothing(seeds):
    values = {name: seeds_around(mean)[:seeds] for name, mean in (("dense", 0.80), ("cnn", 0.95), (CNN_5X5, 0.99))}
    results = results_with(values, config={"seeds": seeds})
    text = everything(results)
    assert "Nothing is inferred about CNN against Dense" in text
    assert "smoke test" in text
    for word in ("Yes:", "No:", "beat Dense.", "It pays", "does not pay", "equivalent"):
        assert word not in text
    assert any("smoke test" in s.text for s in limitations(results, range(seeds), {}, 0))


def test_diverged_runs_leave_a_comparison_open_and_are_a_limitation():
    results = results_with({"dense": seeds_around(0.9), "cnn": [None, None, None], CNN_5X5: seeds_around(0.9)})
    assert "cannot be compared: one of them has no finished run" in text_of(baseline(results, "digits"))
    assert "no finished run" in text_of(factor(results, "digits", results.plan.questions["kernel"]))
    assert any("3 runs of 9 diverged" in s.text for s in limitations(results, (1, 2, 3), {}, 0))


def test_a_study_without_a_dense_model_says_that_it_has_no_answer():
    config = {"models": {"cnn": MADE_UP_STUDY["models"]["cnn"]}, "comparisons": {}}
    text = text_of(
        baseline(results_with({"cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.8)}, config=config), "digits")
    )
    assert text == (
        "This study trains no dense model, so it says nothing about whether convolution beats a dense network."
    )


def test_a_study_of_dense_models_claims_nothing_about_convolution():
    config = {"models": {"dense": MADE_UP_STUDY["models"]["dense"]}, "experiments": {}, "comparisons": {}}
    results = results_with({"dense": seeds_around(0.9)}, config=config)
    topics = {topic.name: text_of(topic) for topic in interpret(results, "digits")}
    assert "trains no convolutional model" in topics["baseline"]
    assert "No model of this study convolves" in topics["assumptions"]
    assert "limits_of_convolution" not in topics


def test_both_families_without_a_comparison_are_only_described():
    results = results_with(
        {"dense": seeds_around(0.90), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.96)},
        config={"comparisons": {}},
    )
    text = text_of(baseline(results, "digits"))
    assert "nothing is inferred" in text
    assert "96.00 % (CNN, kernel size 5×5)" in text
    assert "90.00 % (Dense)" in text


def test_a_cnn_that_was_still_learning_or_overfits_is_named_as_a_possible_reason():
    values = {"dense": seeds_around(0.95), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.90)}
    falling = results_with(values, histories={"cnn": history_with(loss=(2.0, 1.0, 0.6, 0.5))})
    assert "may have been trained too briefly" in text_of(baseline(falling, "digits"))
    overfitted = results_with(
        values, histories={"cnn": history_with(train=(0.6, 0.9, 0.99, 1.0), validation=(0.5, 0.7, 0.8, 0.79))}
    )
    text = text_of(baseline(overfitted, "digits"))
    assert "may overfit more" in text
    assert "+19.00 pp" in text
    assert "trained too briefly" not in text


# ---------------------------------------------------------------------------------------------------------------------
# Factors


def kernel(results):
    return text_of(factor(results, "digits", results.plan.questions["kernel"]))


def test_a_factor_pays_only_where_a_level_is_better():
    pays = kernel(results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.95)}))
    assert "5×5 has the highest mean test accuracy, 95.00 %; the reference 3×3 has 90.00 %" in pays
    assert "It pays in test accuracy: better than 3×3 is 5×5 (+5.00 pp)" in pays
    assert "17,706 parameters against 9,258 (1.91 times)" in pays
    worse = kernel(results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.90)}))
    assert "3×3 has the highest mean test accuracy, 95.00 %; that is the reference level" in worse
    assert "It does not pay in test accuracy: no level is better than 3×3" in worse
    assert "Worse than 3×3 is 5×5 (−5.00 pp)" in worse
    assert "It pays" not in worse


def test_an_open_factor_is_neither_said_to_pay_nor_not_to():
    text = kernel(results_with({"dense": seeds_around(0.9), "cnn": [0.93, 0.97, 0.95], CNN_5X5: [0.94, 0.98, 0.955]}))
    assert "Not settled against 3×3: 5×5" in text
    assert "could detect" in text
    assert "It pays" not in text
    assert "does not pay" not in text


def test_what_changes_along_with_the_factor_is_named():
    text = kernel(results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.90)}))
    assert "10 to 16 pixels of receptive field" in text
    rates = {"experiments": {"rate": {"base": "cnn", "factor": "learning_rate", "levels": [0.001, 0.01]}}}
    results = results_with([seeds_around(0.9), seeds_around(0.9), seeds_around(0.95)], config=rates)
    assert "changes along" not in text_of(factor(results, "digits", results.plan.questions["rate"]))


def test_a_trend_is_quoted_from_its_table():
    three = {"experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [1, 3, 5]}}}
    results = results_with(
        [seeds_around(0.9), seeds_around(0.95), seeds_around(0.92), seeds_around(0.97)], config=three
    )
    sentence = results.trends.iloc[0]["sentence"]
    assert sentence in kernel(results)


def test_two_factors_that_help_only_together_interact():
    results = results_with(
        [seeds_around(0.95), seeds_around(0.9), [0.952, 0.95, 0.948], seeds_around(0.95), seeds_around(0.99)],
        config=TWO_FACTORS,
    )
    cells = results.plan.questions["both"].grid.cells
    assert [name for row in cells for name in row] == [name for name in results.plan.variants if name != "dense"]
    row = results.factorials.set_index("effect").loc["interaction"]
    assert row["contrast"] == pytest.approx(0.04)
    assert row["sentence"].startswith("Interaction of kernel size and norm: F(1, 6) = ")
    assert "going from norm none to batch gains +4.00 pp more at kernel size 5×5 than at 3×3" in row["sentence"]
    text = text_of(factor(results, "digits", results.plan.questions["both"]))
    assert row["sentence"] in text
    assert "Of 4 levels of kernel size × norm" in text


# ---------------------------------------------------------------------------------------------------------------------
# Seeds, fit, errors, calibration, assumptions


def test_seed_noise_is_set_beside_the_lead():
    close = text_of(
        noise(
            results_with({"dense": seeds_around(0.9), "cnn": [0.93, 0.97, 0.95], CNN_5X5: seeds_around(0.951)}),
            "digits",
        )
    )
    assert "could turn with other seeds" in close
    far = text_of(
        noise(
            results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.92), CNN_5X5: seeds_around(0.97)}),
            "digits",
        )
    )
    assert "leads CNN by 5.00 pp" in far
    assert "could turn" not in far


def test_the_pooled_standard_deviation_is_that_of_the_runs():
    results = results_with({"dense": [0.89, 0.90, 0.91], "cnn": [0.93, 0.95, 0.97], CNN_5X5: [0.94, 0.95, 0.96]})
    finding = noise(results, "digits").findings[0]
    assert finding.numbers["sd"] == pytest.approx(np.sqrt((0.01**2 + 0.02**2 + 0.01**2) / 3))
    assert "SD of 1.41 pp" in finding.text


def test_overfitting_is_claimed_only_beyond_what_the_validation_images_resolve():
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.9)}
    wide = {"cnn": history_with(train=(0.6, 0.9, 0.99, 1.0), validation=(0.5, 0.7, 0.85, 0.8))}
    assert "CNN: at the kept epoch training accuracy is 99.00 %, validation accuracy 85.00 %" in text_of(
        fit(results_with(values, histories=wide), "digits")
    )
    assert "It overfits" in text_of(fit(results_with(values, histories=wide), "digits"))
    narrow = {"cnn": history_with(train=(0.6, 0.9, 0.92, 0.93), validation=(0.5, 0.7, 0.90, 0.89))}
    assert "It overfits" not in text_of(fit(results_with(values, histories=narrow), "digits"))
    many = text_of(fit(results_with(values, histories=narrow, validation_images=100_000), "digits"))
    assert "It overfits" in many


def test_training_accuracy_of_blended_images_is_compared_with_nothing():
    values = {"dense": seeds_around(0.95), "cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.9)}
    wide = {"cnn": history_with(train=(0.6, 0.9, 0.99, 1.0), validation=(0.5, 0.7, 0.85, 0.8))}
    config = {"training": {"augmentation": {"mixup": 0.2}}}
    results = results_with(values, histories=wide, config=config)
    text = text_of(fit(results, "digits"))
    assert "CNN: at the kept epoch validation accuracy is 85.00 % (3 seeds); training accuracy is of blended" in text
    assert "overfit" not in text and "gap of" not in text and "99.00 %" not in text
    assert "With augmentation it is of the changed images" in text
    assert "may overfit more" not in text_of(baseline(results, "digits"))
    assert "may overfit more" in text_of(baseline(results_with(values, histories=wide), "digits"))


def test_a_loss_that_is_lowest_where_a_schedule_ends_calls_for_no_more_epochs():
    values = {"dense": seeds_around(0.95), "cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.9)}
    falling = {"cnn": history_with(loss=(2.0, 1.0, 0.6, 0.5))}
    constant, cosine = (
        results_with(values, histories=falling, config={"training": {"schedule": schedule}})
        for schedule in ("constant", "cosine")
    )
    assert "more epochs may make it better" in text_of(fit(constant, "digits"))
    text = text_of(fit(cosine, "digits"))
    assert "with which the schedule of the learning rate ends" in text and "may make it better" not in text
    assert "trained too briefly" not in text_of(baseline(cosine, "digits"))


def test_the_most_confused_pair_counts_both_ways():
    matrix = np.eye(10, dtype=int) * 90
    matrix[4, 9], matrix[9, 4], matrix[2, 3] = 7, 5, 9
    matrix[3, 3] = 20
    matrix[3, 5] = 6
    results = results_with(
        {"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.9)}, confusion=matrix
    )
    finding = errors(results, "digits").findings[0]
    assert finding.text.startswith("CNN (chosen by validation accuracy): 27 of")
    assert "Most confused are 4 and 9: 12 times (“4” taken for “9” 7, “9” for “4” 5)" in finding.text
    assert "The hardest class is 3: recall 76.9 %" in finding.text


@pytest.mark.parametrize(("images", "told"), [(30, "With about 2 test images in each of 15 bins"), (9, "With fewer")])
def test_calibration_of_few_test_images_is_called_biased_and_of_fewer_than_bins_next_to_nothing(images, told):
    results = replace(results_with([[0.9, 0.91, 0.92]] * 3), test_images={"digits": images})
    assert told in text_of(calibration(results, "digits"))


def test_calibration_names_the_direction():
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.9)}
    assert "overconfident by 5.00 pp" in text_of(calibration(results_with(values, confidence=0.05), "digits"))
    assert "underconfident by 5.00 pp" in text_of(calibration(results_with(values, confidence=-0.05), "digits"))
    assert "agree within the ± 3.2 pp that the test images leave open" in text_of(
        calibration(results_with(values, confidence=0.03), "digits")
    )


def test_assumptions_are_marked_as_not_measured_until_a_probe_measures_them():
    results = results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.9)})
    topic = assumptions(results, "digits", {})
    assert [finding.kind for finding in topic.findings] == ["assumed"] * 3
    assert "1,024 outputs with 160 parameters; a dense layer with as many outputs would need 66,560" in text_of(topic)
    measured = Finding("With permuted pixels the CNN lost 9.00 pp.", {"loss": 0.09})
    topic = assumptions(results, "digits", {"locality": [measured]})
    assert [finding.kind for finding in topic.findings] == ["note", "measured", "assumed", "assumed"]


def test_every_number_that_is_quoted_comes_with_the_finding():
    results = results_with({"dense": seeds_around(0.90), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.93)})
    row = results.contrasts("digits", "convolution")[0]
    finding = baseline(results, "digits").findings[0]
    assert finding.numbers["difference"] == row["difference"]
    assert say.interval(finding.numbers["ci_low"], finding.numbers["ci_high"]) in finding.text


def test_limitations_follow_from_the_study():
    results = results_with({"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.9)})
    explored = {
        "images": {"train": 1000, "test": 355},
        "duplicates": {"near_test_images": 0, "exact_test_images": 0, "label_disagreeing_pairs": 0, "recall": {}},
        "imbalance_ratio": 1.0,
        "empty_classes": [],
    }
    clean = " ".join(s.text for s in limitations(results, (1, 2, 3), {"digits": explored}, 0))
    assert "n = 3 seeds give wide intervals" in clean
    assert "One dataset (digits)" in clean
    for word in ("near duplicate", "diverged", "resumed", "as many training images"):
        assert word not in clean
    explored["duplicates"] |= {"near_test_images": 7, "exact_test_images": 2, "label_disagreeing_pairs": 1}
    explored["imbalance_ratio"] = 4.0
    dirty = " ".join(s.text for s in limitations(results, range(10), {"digits": explored, "more": explored}, 2))
    assert "7 test images of 355 are near duplicates of a training image (2 identical)" in dirty
    assert "4.00 times as many training images" in dirty
    assert "2 runs resumed" in dirty
    assert "One dataset" not in dirty
    assert "wide intervals" not in dirty


# ---------------------------------------------------------------------------------------------------------------------
# Numbers as text


def test_numbers_read_alike_everywhere():
    assert say.percent(0.95587) == "95.59 %"
    assert say.points(0.01314) == "+1.31 pp"
    assert say.points(-0.01314) == "−1.31 pp"
    assert say.points(0.0) == "0.00 pp"
    assert say.unsigned_points(0.0) == "0.00 pp"
    assert say.count(1234567.0) == "1,234,567"
    assert say.number(-0.5, 2) == "−0.50"
    assert say.interval(-0.0087, 0.035) == "−0.87 to +3.50"
    assert say.multiple(1.9252) == "1.93 times"
    assert say.multiple(18.45) == "18.4 times"
    assert say.rounded_up(0.02912) == "3.0 pp"


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float64("nan"), float("inf")])
def test_what_is_missing_is_a_dash(nothing):
    for write in (say.percent, say.points, say.unsigned_points, say.number, say.count):
        assert write(nothing) == "–"
    assert say.interval(nothing, 0.1) == "–"
