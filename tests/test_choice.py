"""The choice of the exported variant: what the rule achieves (simulated), and what is said of its scores."""

import choice_simulation as simulation
import numpy as np
import pandas as pd
import pytest

from builders.project import CNN_5X5
from builders.study_results import results_with, seeds_around
from convlab.findings.choice import choice_text, margin_of, optimism, told_apart
from convlab.page.verdicts import chosen
from convlab.results.choice import chosen_run
from convlab.results.choice_margin import choice_margin, expected_maximum

MACS = {"a": 1, "b": 2, "c": 3}


def runs_of(scores: dict[str, list[float | None]]) -> pd.DataFrame:
    """Runs with these validation accuracies, one for each seed; None is a diverged run."""
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "macs": MACS[name], "val_accuracy": score,
             "status": "diverged" if score is None else "finished"}
            for name, values in scores.items()
            for seed, score in enumerate(values, start=1)
        ]
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The rule, simulated


@pytest.fixture(scope="module")
def simulated():
    """What each rule of ``choice_simulation`` achieves in 300 studies, by case and rule."""
    return {
        (name, n_seeds): simulation.compare_rules(simulation.Design(n_seeds=n_seeds, means=means), 200, seed=13)
        for name, means in (("equal", (0.90,) * 4), ("best has most MACs", (0.90, 0.90, 0.90, 0.905)))
        for n_seeds in (3, 5)
    }


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_highest_mean_is_the_best_variant_more_often_than_by_any_other_rule(simulated, n_seeds):
    best = {rule: result.best for rule, result in simulated["best has most MACs", n_seeds].items()}
    assert max(best, key=best.get) == "highest mean"
    assert best["highest mean"] > {3: 0.65, 5: 0.8}[n_seeds]
    assert best["highest mean"] - best["highest score of a run"] > 0.05


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_score_of_the_run_nearest_to_the_mean_is_less_optimistic_than_the_highest_of_all(simulated, n_seeds):
    result = simulated["equal", n_seeds]
    assert result["highest mean"].score_bias < 0.5 * result["highest score of a run"].score_bias


@pytest.mark.parametrize("case", ["equal", "best has most MACs"])
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_mean_score_is_optimistic_by_no_more_than_is_said(simulated, case, n_seeds):
    result = simulated[case, n_seeds]["highest mean"]
    assert 0 < result.mean_bias < result.optimism


def test_the_stated_optimism_is_that_of_equal_candidates_with_independent_errors():
    design = simulation.Design(n_seeds=5, means=(0.9,) * 4, correlation=0.0, shared_images=0.0)
    result = simulation.compare_rules(design, 400, seed=3)["highest mean"]
    assert result.optimism == pytest.approx(result.mean_bias, rel=0.15)


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_equal_candidates_are_told_apart_in_at_most_five_percent_of_studies(n_seeds):
    design = simulation.Design(n_seeds=n_seeds, means=(0.9,) * 3)
    assert simulation.share_told_apart(design, 250, seed=7) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 250)


def test_a_maximum_of_normal_deviates_is_that_of_tables():
    assert [round(expected_maximum(k), 3) for k in (1, 2, 3, 10)] == [0, 0.564, 0.846, 1.539]


# ---------------------------------------------------------------------------------------------------------------------
# What is told apart


def test_candidates_are_told_apart_by_differences_within_a_seed():
    scattered = runs_of({"a": [0.80, 0.90, 0.85], "b": [0.78, 0.881, 0.829], "c": [0.81, 0.86, 0.86]})
    margin = choice_margin(scattered, "a", MACS)
    assert margin.equals == ("c",)
    assert margin.fewest_macs == "a"
    assert choice_margin(scattered, "c", MACS).fewest_macs == "a"


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_below_three_seeds_nothing_is_told_apart_and_no_optimism_is_stated(n_seeds):
    margin = choice_margin(runs_of({"a": [0.9, 0.91][:n_seeds], "b": [0.1, 0.1][:n_seeds]}), "a", MACS)
    assert margin.equals == ("b",)
    assert margin.optimism is None
    assert "fewer than three seeds do not tell by how much" in optimism(margin, "last")
    assert told_apart(margin, "a", {}) == "With fewer than three seeds, validation data tell no candidates apart."


def test_differences_that_do_not_vary_tell_nothing_apart():
    assert choice_margin(runs_of({"a": [0.9] * 3, "b": [0.8] * 3}), "a", MACS).equals == ("b",)


def test_a_variant_with_diverged_runs_is_no_candidate_beside_one_without():
    margin = choice_margin(runs_of({"a": [0.9, 0.91, 0.92], "b": [0.95, None, 0.96]}), "a", MACS)
    assert (margin.n_candidates, margin.equals, margin.optimism) == (1, (), 0.0)
    assert told_apart(margin, "a", {}) == ""
    assert optimism(margin, "last") == ""
    assert "therefore optimistic" in optimism(margin, "best")


# ---------------------------------------------------------------------------------------------------------------------
# In words


def text_with(cnn: list[float], large: list[float]) -> str:
    results = results_with({"dense": seeds_around(0.7), "cnn": cnn, CNN_5X5: large})
    return choice_text(results, "digits", results.chosen["digits"])


def test_the_cheaper_of_equals_is_named_whichever_side_was_chosen():
    low, high = [0.90, 0.92, 0.91], [0.92, 0.90, 0.93]
    dearer, cheaper = text_with(low, high), text_with(high, low)
    assert "not told from CNN (95 %, paired by seed, adjusted). Of these CNN needs the fewest" in dearer
    assert "not told from CNN, kernel size 5×5 (95 %" in cheaper
    assert "None of them needs fewer multiply-accumulates." in cheaper


def test_a_choice_that_validation_data_settle_is_said_to_be():
    text = text_with([0.90, 0.92, 0.91], [0.95, 0.971, 0.962])
    assert "told apart from every other candidate" in text
    assert "Chosen among equals" not in text


def test_the_scores_of_the_run_are_its_own():
    results = results_with({"dense": seeds_around(0.7), "cnn": [0.90, 0.95, 0.94], CNN_5X5: seeds_around(0.8)})
    text = choice_text(results, "digits", "cnn")
    runs = results.runs[results.runs["variant"] == "cnn"]
    seed = chosen_run(runs)[1]
    assert f"seed {seed}: validation accuracy 94.00 %, test accuracy of this one run 94.00 %" in text
    assert "Highest mean validation accuracy, 93.00 %" in text


def test_the_first_screen_says_how_optimistic_the_validation_accuracy_is():
    results = results_with({"dense": seeds_around(0.7), "cnn": [0.90, 0.95, 0.94], CNN_5X5: seeds_around(0.94)})
    margin = margin_of(results, "digits", results.chosen["digits"])
    note = chosen(results, "digits")["note"]
    assert f"on average by up to {100 * margin.optimism:.2f} pp" in note
    assert "Chosen among equals" in note
