"""Verdicts by other analyses: each is what its textbook says, and flips are found."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from builders.study_results import correct_answers, runs_with
from convlab.results.family import confirmatory_family
from convlab.results.robustness import robustness_table
from convlab.statistics.comparisons import compare_to_reference
from convlab.statistics.robustness import paired, seeds_as_blocks, unpaired, welch
from convlab.study.load import load_study

ROPE = 0.005
LIMITS = ("ci_low", "ci_high", "ci90_low", "ci90_high")


def made_up(generator, seeds: int, variants: int, missing: float = 0.0) -> np.ndarray:
    values = 0.9 + generator.normal(0, 0.01, (seeds, 1)) + generator.normal(0, 0.004, (seeds, variants))
    values[:, -1] += 0.01
    values[generator.random(values.shape) < missing] = np.nan
    return values


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize(("seeds", "variants"), [(3, 2), (5, 2), (4, 4), (10, 3), (5, 7)])
def test_the_analysis_that_decides_is_recomputed_to_the_same_numbers(seeds, variants, missing):
    generator = np.random.default_rng([seeds, variants])
    for _ in range(20):
        values = made_up(generator, seeds, variants, missing)
        table = pd.DataFrame(values, columns=[str(n) for n in range(variants)])
        decided = compare_to_reference(table, "0", rope=ROPE).values()
        for contrast, tested in zip(decided, seeds_as_blocks(values, ROPE), strict=True):
            assert (tested is None) == (contrast.method == "none")
            if tested is None:
                continue
            assert tested.difference == pytest.approx(contrast.difference)
            for name in LIMITS:
                assert getattr(tested, name) == pytest.approx(getattr(contrast, name))
            for name in ("p_value", "p_equivalence"):
                mine, its = getattr(tested, name), getattr(contrast, name)
                assert mine == pytest.approx(its) if its < 0.05 else mine >= 0.05
            assert tested.n_seeds == contrast.n_seeds


def test_with_two_variants_the_other_tests_are_those_of_scipy():
    values = made_up(np.random.default_rng(1), 6, 2)
    for analysis, expected in (
        (paired, stats.ttest_rel(values[:, 1], values[:, 0])),
        (unpaired, stats.ttest_ind(values[:, 1], values[:, 0])),
        (welch, stats.ttest_ind(values[:, 1], values[:, 0], equal_var=False)),
    ):
        (tested,) = analysis(values, ROPE)
        interval = expected.confidence_interval(0.95)
        assert tested.p_value == pytest.approx(expected.pvalue)
        assert (tested.ci_low, tested.ci_high) == pytest.approx((interval.low, interval.high))
        assert tested.difference == pytest.approx(values[:, 1].mean() - values[:, 0].mean())


def test_the_unpaired_analysis_of_several_variants_is_dunnetts_test():
    values = made_up(np.random.default_rng(2), 5, 4)
    expected = stats.dunnett(*values[:, 1:].T, control=values[:, 0], rng=np.random.default_rng(0))
    interval = expected.confidence_interval(0.95)
    for index, tested in enumerate(unpaired(values, ROPE)):
        if tested.p_value < 0.05:
            assert tested.p_value == pytest.approx(expected.pvalue[index], abs=2e-3)
        assert (tested.ci_low, tested.ci_high) == pytest.approx((interval.low[index], interval.high[index]), abs=2e-4)


def test_variants_with_fewer_than_three_runs_and_runs_that_do_not_vary_are_not_tested():
    values = made_up(np.random.default_rng(3), 4, 3)
    values[:2, 1] = np.nan
    for analysis in (seeds_as_blocks, paired, unpaired, welch):
        assert analysis(values, ROPE)[0] is None and analysis(values, ROPE)[1] is not None
        assert analysis(np.full((4, 2), 0.9), ROPE) == [None]
        assert analysis(values[:2], ROPE) == [None, None]


STUDY = {
    "study": "robust",
    "datasets": {"digits": {}},
    "seeds": 5,
    "models": {"dense": {"family": "dense", "units": [8]}, "cnn": {"family": "conv", "filters": [4]}},
    "comparisons": {"convolution": {"variant": "cnn", "reference": "dense"}},
}
SHARED = np.array([-0.02, 0.015, 0.0, 0.02, -0.015])


def table_of(cnn, *, config=None, losses=None, correct=None, duplicates=(), dense=0.80 + SHARED):
    study = load_study({**STUDY, **(config or {})})
    runs = runs_with(study, {"dense": list(dense), "cnn": list(cnn)})
    if losses:
        runs["test_loss"] = [losses[name][seed - 1] for name, seed in zip(runs["variant"], runs["seed"], strict=True)]
    family = confirmatory_family(runs, study.plan, ROPE)
    correct = correct or correct_answers(runs)
    table = robustness_table(runs, study.plan, ROPE, family, correct, {"digits": np.array(duplicates, int)})
    return table.set_index("analysis")


def test_a_difference_that_only_pairing_shows_flips_without_it():
    rows = table_of(0.81 + SHARED + np.array([0.001, -0.001, 0.0, 0.0005, -0.0005]))
    assert rows.loc["paired", "verdict"] == "better" and not rows.loc["paired", "flips"]
    for name in ("unpaired", "welch"):
        assert rows.loc[name, "verdict"] == "inconclusive" and rows.loc[name, "flips"]
    assert not rows.loc[[f"without_seed_{seed}" for seed in range(1, 6)], "flips"].any()


def test_the_size_of_the_region_of_practical_equivalence_flips_what_lies_near_it():
    noise = np.array([0.0005, -0.0005, 0.0, 0.0003, -0.0003])
    rows = table_of(0.807 + SHARED + noise)
    assert rows.loc["rope_half", "verdict"] == "better" and not rows.loc["rope_half", "flips"]
    assert rows.loc["rope_double", "verdict"] == "equivalent" and rows.loc["rope_double", "flips"]


def test_a_verdict_that_rests_on_one_seed_flips_without_it():
    rows = table_of(0.803 + SHARED + np.array([0.0, 0.0003, -0.0003, 0.0002, 0.014]))
    flips = rows.loc[[f"without_seed_{seed}" for seed in range(1, 6)], "flips"]
    assert flips.tolist() == [False] * 4 + [True]


def test_seeds_are_left_out_only_where_three_remain():
    config = {"seeds": 3}
    rows = table_of(0.85 + SHARED[:3], config=config, dense=0.8 + SHARED[:3] + np.array([0.001, 0.0, -0.001]))
    assert not any(name.startswith("without_seed") for name in rows.index)
    assert "paired" in rows.index


def test_near_duplicates_are_left_out_of_the_test_images():
    """The CNN is ahead on the first 100 images only, which are the near duplicates."""
    generator = np.random.default_rng(0)
    correct = {}
    for seed in range(1, 6):
        right = generator.random(1000) < 0.8
        correct["digits", "dense", seed] = right
        correct["digits", "cnn", seed] = np.where(np.arange(1000) < 100, True, right)
    accuracies = {name: [correct["digits", name, seed].mean() for seed in range(1, 6)] for name in ("dense", "cnn")}
    with_all = table_of(accuracies["cnn"], dense=accuracies["dense"], correct=correct, duplicates=range(97))
    row = with_all.loc["no_near_duplicates"]
    expected = np.mean([correct["digits", "cnn", s][97:].mean() - correct["digits", "dense", s][97:].mean()
                        for s in range(1, 6)])  # fmt: skip
    assert row["difference"] == pytest.approx(expected)
    assert row["verdict"] == "equivalent" and row["flips"]
    none = table_of(accuracies["cnn"], dense=accuracies["dense"], correct=correct)
    assert "no_near_duplicates" not in none.index
    everything = table_of(accuracies["cnn"], dense=accuracies["dense"], correct=correct, duplicates=range(1000))
    assert "no_near_duplicates" not in everything.index


@pytest.mark.parametrize(("losses", "reached", "flips"), [((0.5, 0.4), "better", False), ((0.4, 0.5), "worse", True)])
def test_a_lower_loss_is_better(losses, reached, flips):
    noise = np.array([0.001, -0.001, 0.0, 0.0005, -0.0005])
    by_seed = {"dense": losses[0] + 0.5 * SHARED + noise, "cnn": losses[1] + 0.5 * SHARED - noise}
    rows = table_of(0.85 + SHARED + noise, losses=by_seed)
    assert (rows.loc["loss", "verdict"], rows.loc["loss", "flips"]) == (reached, flips)


def test_an_equivalence_is_not_contradicted_by_a_loss_that_shows_nothing():
    noise = np.array([0.001, -0.001, 0.0, 0.0005, -0.0005])
    losses = {"dense": [0.5, 0.4, 0.6, 0.5, 0.5], "cnn": [0.5, 0.6, 0.4, 0.5, 0.5]}
    rows = table_of(0.80 + SHARED + noise, losses=losses)
    assert rows.loc["paired", "verdict"] == "equivalent"
    assert (rows.loc["loss", "verdict"], rows.loc["loss", "flips"]) == ("inconclusive", False)


def test_the_last_epoch_is_known_only_where_it_was_kept():
    study = load_study(STUDY)
    runs = runs_with(study, {"dense": list(0.8 + SHARED), "cnn": list(0.81 + SHARED[::-1])})
    family = confirmatory_family(runs, study.plan, ROPE)
    for kept, known in ((3, False), (4, True)):
        table = robustness_table(runs.assign(best_epoch=kept), study.plan, ROPE, family, {}, {})
        assert ("last_epoch" in set(table["analysis"])) == known


def test_what_was_not_tested_has_no_other_analysis():
    assert table_of([0.9, 0.91], config={"seeds": 2}, dense=[0.8, 0.82]).empty
