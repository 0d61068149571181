"""Tuning: equal budgets, draws by seed, a choice that no test image takes part in, and what it says of the order."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate
import prepare
import train
from builders.project import ROOT, TINY_SEEDS, threads_as_they_are, tiny_with
from builders.results import write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, results_with, seeds_around
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.evaluation.records import read_measures
from convlab.evaluation.trials import best_trial
from convlab.findings.registration import registration_notices
from convlab.findings.tuning import conclusion, diverged_trials, ends_of_ranges, order_when_tuned
from convlab.results.family import confirmatory_family
from convlab.results.loading import load_runs
from convlab.results.robustness import robustness_table
from convlab.results.tables import runs_table
from convlab.results.tuning import tuning_table
from convlab.statistics.comparisons import verdict
from convlab.study import layout, registration
from convlab.study.estimate import Earlier, Images
from convlab.study.load import load_study
from convlab.study.plan_text import cost_of_looks, summary
from convlab.study.registration_files import Records
from convlab.study.seeds import Schedule

RATES = {"learning_rate": [0.001, 0.1]}
TUNED_TINY = tiny_with(tuning={"trials": 3, "over": RATES})


def rates_of(study, seed: int, variant: str = "cnn") -> list[float]:
    trials = study.plan.trials_of(variant)
    return [study.run("digits", trial.name, seed).training.learning_rate for trial in trials]


# ---------------------------------------------------------------------------------------------------------------------
# The config


@pytest.mark.parametrize(
    ("tuning", "sentence"),
    [
        (
            {"over": {"lr": [1, 2]}},
            "names 'lr', which is no setting of training that can be drawn from a range; it can be",
        ),
        ({"over": {"learning_rates": [1, 2]}}, "did you mean 'learning_rate'?"),
        ({"over": {"epochs": [1, 2]}}, "names 'epochs', which is no setting of training that can be drawn"),
        ({"over": {"validation_fraction": [0.1, 0.2]}}, "names 'validation_fraction', which is no setting"),
        (
            {"over": {"learning_rate": [0.01, 0.001]}},
            "learning_rate should go from a lower to a higher value; write [0.001, 0.01]",
        ),
        ({"over": {"learning_rate": [0.01, 0.01]}}, "write two different values"),
        ({"over": {"learning_rate": [0, 0.01]}}, "is drawn log-uniformly, so both ends must be above 0"),
        (
            {"over": {"learning_rate": 0.01}},
            "should be a lowest and a highest value, such as [3e-4, 3e-3] (it is 0",
        ),
        ({"over": {"learning_rate": ["a", 1]}}, "should be two numbers"),
        ({"over": {"learning_rate": [1e-40, 1]}}, "1e-40 is not possible for cnn: should be at least 1.2e-38"),
        ({"over": {"momentum": [0.5, 0.9]}}, "names momentum, which has no effect in this study: adam has no such"),
        ({"over": {}}, "tuning.over is empty"),
        ({"trials": 5}, "tuning.over is missing; add it"),
        ({"trials": 1, "over": RATES}, "tuning.trials should be greater than or equal to 2 (it is 1)"),
        ({"trials": 101, "over": RATES}, "tuning.trials should be less than or equal to 100 (it is 101)"),
        ({"number": 3, "over": RATES}, "unknown key 'number' in tuning; it can have trials and over"),
        (True, "write a mapping such as {trials: 5, over: {learning_rate: [3e-4, 3e-3]}}, or none"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_sentence(tuning, sentence):
    with pytest.raises(UserError) as refused:
        load_study(tiny_with(tuning=tuning))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"experiments": {"lr": {"base": "cnn", "factor": "learning_rate", "levels": [0.1, 0.2]}}},
            "tuning.over names learning_rate, which experiments.lr varies",
        ),
        (
            {
                "experiments": {
                    "x": {"base": "cnn", "factors": {"learning_rate": [0.1, 0.2], "padding": ["same", "valid"]}}
                }
            },
            "tuning.over names learning_rate, which experiments.x varies",
        ),
        (
            {"models": {"a": {"family": "dense", "units": [8]}, "a-trial-2": {"family": "dense", "units": [9]}}}
            | {"experiments": {}, "comparisons": {}},
            "a-trial-2 is the name of a variant and of a trial of a; rename the model",
        ),
    ],
)
def test_a_search_that_would_replace_levels_or_variants_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        load_study(TUNED_TINY | changes)


@pytest.mark.parametrize("off", [None, "none", False])
def test_without_tuning_nothing_is_tried(off):
    study = load_study(tiny_with(tuning=off))
    assert not study.plan.trials and "tuning" not in study.settings
    assert study.settings == load_study(tiny_with()).settings


def test_reading_a_config_with_tuning_imports_no_scipy():
    program = (
        "import json, sys; sys.path.insert(0, 'scripts')\n"
        "from convlab.study.load import load_study\n"
        f"study = load_study(json.loads({json.dumps(json.dumps(TUNED_TINY))}))\n"
        "assert len(study.plan.trials) == 9 and not {'scipy', 'numpy'} & sys.modules.keys()\n"
        "study.run('digits', 'cnn', 1); assert 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# ---------------------------------------------------------------------------------------------------------------------
# The draws


def test_every_compared_variant_has_the_same_draws_of_each_seed_and_probes_have_none():
    study = load_study(TUNED_TINY | {"probes": ["pixel_permutation"]})
    assert len(study.plan.variants) > len(study.plan.compared)
    assert {trial.variant for trial in study.plan.trials.values()} == set(study.plan.compared)
    for seed in TINY_SEEDS:
        of_variants = {tuple(rates_of(study, seed, name)) for name in study.plan.compared}
        assert len(of_variants) == 1 and len(set(*of_variants)) == 3
    assert len({tuple(rates_of(study, seed)) for seed in TINY_SEEDS}) == 3


def test_draws_are_of_this_seed_on_every_machine_and_with_every_version_of_scipy():
    """Other values here would train all trials of all studies again."""
    assert rates_of(load_study(TUNED_TINY), 1) == [0.04502, 0.004502, 0.01424]


def test_trials_differ_from_their_variant_in_the_drawn_settings_alone_and_leave_it_as_it_was():
    study, without = load_study(TUNED_TINY), load_study(tiny_with())
    for seed in TINY_SEEDS:
        run, trial = (study.run("digits", name, seed).identity for name in ("cnn", "cnn-trial-1"))
        assert run == without.run("digits", "cnn", seed).identity
        trial["training"]["learning_rate"] = run["training"]["learning_rate"]
        assert trial == run


def test_settings_that_are_absent_by_default_can_be_drawn():
    study = load_study(tiny_with(tuning={"over": {"gradient_clip": [0.5, 5], "label_smoothing": [0.01, 0.1]}}))
    training = study.run("digits", "cnn-trial-1", 1).training
    assert 0.5 <= training.gradient_clip <= 5 and 0.01 <= training.label_smoothing <= 0.1
    assert study.run("digits", "cnn", 1).training.gradient_clip is None


def test_draws_are_log_uniform_over_each_range():
    over = {"learning_rate": [1e-4, 1e-2], "weight_decay": [1e-6, 1e-2]}
    tuning = load_study(tiny_with(tuning={"trials": 100, "over": over})).tuning
    for name, (low, high) in over.items():
        drawn = np.array([tuning.drawn(number, seed)[name] for number in range(1, 101) for seed in (1, 2, 3)])
        assert drawn.min() >= low and drawn.max() <= high
        shares = np.log(drawn / low) / np.log(high / low)
        assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(30, abs=6)
    pairs = np.array([list(tuning.drawn(number, 1).values()) for number in range(1, 101)])
    assert abs(np.corrcoef(np.log(pairs).T)[0, 1]) < 0.2


def test_more_trials_keep_the_first_ones_and_the_order_of_keys_means_nothing():
    few, many = (load_study(tiny_with(tuning={"trials": trials, "over": RATES})) for trials in (3, 7))
    assert rates_of(many, 2)[:3] == rates_of(few, 2)
    over = {"weight_decay": [1e-4, 1e-2], **RATES}
    first, second = (
        load_study(tiny_with(tuning={"over": dict(order)})) for order in (over.items(), [*over.items()][::-1])
    )
    assert first.settings == second.settings
    assert first.run("digits", "cnn-trial-4", 3).spec_hash == second.run("digits", "cnn-trial-4", 3).spec_hash


# ---------------------------------------------------------------------------------------------------------------------
# Plan, looks, registration


def test_the_plan_counts_and_prices_the_trials():
    study = load_study(TUNED_TINY)
    assert "(3 variants + 9 trials) × 3 seeds = 36 runs, 0 of them done" in summary(study, Earlier(), 1)
    rates = {("tensorflow", "float32"): [(1000, 0.001)]}
    sizes = {canonical_json(study.datasets["digits"].identity): Images(0, 300)}
    assert "about" in summary(study, Earlier(rates=rates, sizes=sizes), 1)


def test_trials_have_the_seeds_of_their_variant_at_every_look():
    study = load_study(TUNED_TINY | {"seeds": {"from": 3, "to": 9, "step": 3}})
    study = study.with_schedule(Schedule(2, {"digits": {"cnn": 6}}))
    assert study.seeds_of("digits", "cnn-trial-2") == study.seeds_of("digits", "cnn") == (1, 2, 3, 4, 5, 6)
    assert study.seeds_of("digits", "dense-trial-2") == (1, 2, 3)
    assert cost_of_looks(study, Earlier(), 1, 9).startswith("108 runs")


def test_the_search_is_registered_and_no_verdict_depends_on_it():
    def entries(config: dict) -> dict[str, str]:
        return {registration.shown(entry.label): entry.digest for entry in registration.entries(load_study(config))}

    before = entries(TUNED_TINY)
    after = entries(tiny_with(tuning={"trials": 4, "over": RATES}))
    assert [name for name in before if before[name] != after[name]] == ["tuning"]
    assert {**entries(tiny_with()), "tuning": before["tuning"]} == before
    content = registration.content(load_study(TUNED_TINY))
    assert content.pop("tuning") == {"trials": 3, "over": {"learning_rate": [0.001, 0.1]}}
    assert content == registration.content(load_study(tiny_with()))


def test_a_search_that_is_added_once_runs_are_known_is_named():
    results = results_with([seeds_around(0.9)] * 3, config={"tuning": {"over": RATES}})
    study = load_study(TUNED_TINY)
    registered = registration.register(load_study(tiny_with()), "now", None, 0, registration.KnownRuns())
    standings = registration.Standings(study, [registered], 9)
    texts = [finding.text for finding in registration_notices(results, standings, Records((registered,)))]
    assert "Which settings tuning draws was registered after runs were known (n = 9)." in texts
    assert not standings.question("digits", "convolution").exploratory


# ---------------------------------------------------------------------------------------------------------------------
# The choice


def record(accuracy: float | None, loss: float | None = 0.5) -> dict:
    status = "diverged" if accuracy is None else "finished"
    return {"status": status, "val_accuracy": accuracy, "val_loss": loss}


@pytest.mark.parametrize(
    ("records", "chosen"),
    [
        ([record(0.8), record(0.9), record(0.85)], 1),
        ([record(0.9, 0.5), record(0.9, 0.4)], 1),
        ([record(0.9), record(0.9)], 0),
        ([record(None), record(0.1)], 1),
        ([record(None), record(0.0, float("inf"))], 1),
        ([record(None), record(None)], 0),
        ([record(0.9, float("inf")), record(0.9, 9.0)], 1),
    ],
)
def test_the_best_validation_accuracy_is_chosen_then_the_lower_loss_then_the_first(records, chosen):
    assert best_trial(records) == chosen


# ---------------------------------------------------------------------------------------------------------------------
# A real study

PLANTED = {
    "study": "planted",
    "datasets": {"digits": {"train_images": 300, "test_images": 100}},
    "seeds": 3,
    "training": {"epochs": 4, "batch_size": 32, "learning_rate": 0.1},
    "models": {"small": {"family": "dense", "units": [24]}, "large": {"family": "dense", "units": [128] * 4}},
    "comparisons": {"size": {"variant": "large", "reference": "small"}},
    "tuning": {"trials": 2, "over": {"learning_rate": [0.0006, 0.0015]}},
}
"""With the learning rate of the config the large network learns next to nothing; with a lower one it is far ahead."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """The folder of the planted study, trained and evaluated in this process by the scripts that its jobs start."""
    study, folder = load_study(PLANTED), tmp_path_factory.mktemp("planted")
    data = layout.prepared(folder, "digits")
    spec = study.datasets["digits"].model_dump_json()
    prepare.main(["--dataset", "digits", "--spec", spec, "--output-dir", str(data)])
    for name in study.plan.trained:
        for seed in study.seeds:
            identity = canonical_json(study.run("digits", name, seed).identity)
            output = layout.run(folder, "digits", name, seed)
            with threads_as_they_are():
                train.main(["--spec", identity, "--data-dir", str(data), "--output-dir", str(output)])
    for name in study.plan.variants:
        trained = layout.trained(folder, "digits")
        trials = [str(trained / trial.name) for trial in study.plan.trials_of(name)]
        others = ["--seeds", *map(str, study.seeds), "--data-dir", str(data), "--output-dir"]
        with threads_as_they_are():
            evaluate.main(["--train-dir", str(trained / name), *others, str(layout.evaluated(folder, "digits", name))])
            evaluate.main(["--trial-dirs", *trials, *others, str(layout.tuned(folder, "digits", name))])
    return folder


@pytest.mark.slow
def test_the_order_turns_where_the_settings_suit_only_one_side(searched):
    study = load_study(PLANTED)
    records = load_runs(study, searched)
    runs, tuned = runs_table(records.rows), runs_table(records.tuned_rows)
    family = confirmatory_family(runs, study.plan, 0.005)
    table = robustness_table(runs, study.plan, 0.005, family, {}, {}, tuned=tuned).set_index("analysis")
    untuned = verdict(family.contrasts["digits", "size"]["large"], *(
        adjusted["digits", "size"]["large"] for adjusted in (family.adjusted, family.equivalence)
    ))  # fmt: skip
    assert (untuned, table.loc["tuned", "verdict"], table.loc["tuned", "flips"]) == ("worse", "better", True)
    assert records.training_summary()["runs"] == 18


@pytest.mark.slow
def test_only_the_chosen_trials_see_the_test_images(searched):
    study = load_study(PLANTED)
    records = load_runs(study, searched)
    table = tuning_table(study, records)
    assert len(table) == 12 and (table["chosen"] == "yes").sum() == 6
    for (_, seed), trials in table.groupby(["variant", "seed"]):
        best = trials.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
        assert best["chosen"] == "yes"
        assert trials["test_accuracy"].notna().tolist() == (trials["chosen"] == "yes").tolist()
        assert set(trials["learning_rate"]) == {study.tuning.drawn(number, seed)["learning_rate"] for number in (1, 2)}
    measured = read_measures(layout.tuned(searched, "digits", "large"), study.seeds)
    hashes = {measures["spec_hash"] for measures in measured.values()}
    assert hashes == set(table[(table["variant"] == "large") & (table["chosen"] == "yes")]["spec_hash"])


@pytest.mark.slow
def test_trials_of_other_settings_than_the_configs_are_refused(searched):
    study = load_study(PLANTED | {"tuning": {"trials": 2, "over": {"learning_rate": [0.0006, 0.002]}}})
    with pytest.raises(UserError, match="trial-1/seed-1 holds a run of seed 1 with spec hash"):
        load_runs(study, searched)


def test_the_jobs_of_a_tuned_study_train_every_trial_and_evaluate_each_variant_twice(project):
    project.configure(tiny_with(tuning={"trials": 2, "over": RATES}, experiments={}))
    planned = project.planned()
    trials = {f"{name}-trial-{number}" for name in ("cnn", "dense") for number in (1, 2)}
    assert {f"Train {name} on digits, seed {seed}" for name in trials for seed in TINY_SEEDS} < planned
    evaluated = {message for message in planned if message.startswith("Evaluate")}
    assert evaluated == {f"Evaluate {how}{name} on digits" for how in ("", "tuned ") for name in ("cnn", "dense")}


def test_a_trial_cannot_be_evaluated_by_its_own_name(project):
    project.configure(tiny_with(tuning={"trials": 2, "over": RATES}, experiments={}))
    result = project.snakemake("-n", "results/tiny/evaluate/digits/cnn-trial-1/metrics.json")
    assert result.returncode != 0 and "MissingRuleException" in result.stdout + result.stderr


# ---------------------------------------------------------------------------------------------------------------------
# What is said

TUNING = {"tuning": {"trials": 3, "over": RATES}}
BEHIND, AHEAD = ({"dense": seeds_around(d), "cnn": seeds_around(c)} for d, c in ((0.9, 0.8), (0.85, 0.95)))
TWO_MODELS = TUNING | {"experiments": {}}


def sentences(untuned: dict, tuned: dict, **changes) -> str:
    results = results_with(untuned, tuned=tuned, config=TWO_MODELS | changes)
    return " ".join(
        finding.text for finding in order_when_tuned(results, "digits", results.plan.questions["convolution"])
    )


@pytest.mark.parametrize(
    ("untuned", "tuned", "relation"),
    [
        ("better", "better", "stays"),
        ("equivalent", "equivalent", "stays"),
        ("better", "worse", "turns"),
        ("worse", "better", "turns"),
        ("better", "inconclusive", "depends"),
        ("inconclusive", "worse", "depends"),
        ("equivalent", "better", "depends"),
        ("inconclusive", "inconclusive", "open"),
        ("better", None, "unknown"),
    ],
)
def test_what_both_verdicts_say_of_the_order(untuned, tuned, relation):
    assert conclusion(untuned, tuned) == relation


def test_tuned_runs_are_compared_as_the_others_are():
    """With the tuned accuracies as the untuned ones, both analyses give the same numbers and verdict."""
    results = results_with(AHEAD, tuned=AHEAD, config=TWO_MODELS)
    (row,) = results.contrasts("digits", "convolution")
    (tuned,) = [r for r in results.other_analyses("digits", "convolution", "cnn") if r["analysis"] == "tuned"]
    for name in ("difference", "ci_low", "ci_high", "verdict"):
        assert tuned[name] == pytest.approx(row[name]) if name != "verdict" else tuned[name] == row[name]
    assert not tuned["flips"]
    assert "better with the settings of the config, and when both are tuned" in sentences(AHEAD, AHEAD)


def test_a_side_whose_tuned_runs_diverge_more_often_is_not_called_better():
    tuned = AHEAD | {"cnn": [None, *AHEAD["cnn"]]}
    results = results_with(
        {name: [*values, 0.9] for name, values in BEHIND.items()},
        tuned={"dense": [*AHEAD["dense"], 0.85], "cnn": tuned["cnn"]},
        config=TWO_MODELS | {"seeds": 4},
    )
    (row,) = [r for r in results.other_analyses("digits", "convolution", "cnn") if r["analysis"] == "tuned"]
    assert row["difference"] > 0.05 and row["verdict"] == "inconclusive"
    (finding,) = diverged_trials(results, "digits")
    assert finding.text == (
        "3 of 24 trials diverged. Of 1 variant and seed all of them did, so that it has no tuned run."
    )


def test_where_nothing_can_be_compared_the_order_cannot_be_told():
    few = {name: values[:2] for name, values in AHEAD.items()}
    assert "cannot be told from fewer than 3 seeds" in sentences(few, few, seeds=2)


def test_untuned_runs_that_all_diverged_leave_the_tuned_ones_to_tell():
    assert "inconclusive with those of the config, better when both are tuned" in sentences(
        BEHIND | {"cnn": [None, None, None]}, AHEAD
    )


@pytest.mark.parametrize(("chosen", "expected"), [("lowest", "below 0.001"), ("highest", "above 0.1"), ("middle", "")])
def test_a_best_draw_at_the_end_of_the_range_is_named(chosen, expected):
    results = results_with(AHEAD, tuned=AHEAD, config=TWO_MODELS)
    table = results.tuning
    ranks = table.groupby(["variant", "seed"])["learning_rate"].rank()
    table["chosen"] = np.where(ranks == {"lowest": 1, "middle": 2, "highest": 3}[chosen], "yes", "")
    table["learning_rate"] = ranks.map({1: 0.001, 2: 0.01, 3: 0.1})
    texts = [finding.text for finding in ends_of_ranges(results, "digits")]
    if not expected:
        assert texts == []
    else:
        assert len(texts) == 2 and all(
            f"may lie {expected}; widen tuning.over.learning_rate." in text for text in texts
        )
        assert texts[0].startswith("CNN: the ") and "in 3 of 3 seeds" in texts[0]


def test_the_report_names_a_flip_first_and_shows_both_verdicts(tmp_path):
    config = write_study_with(tmp_path, MADE_UP_STUDY | TWO_MODELS, BEHIND, tuned=AHEAD)
    page, text = write_reports(tmp_path, config)
    first, rest = text.split("## All variants")
    assert "**With other analyses the verdict changes: tuned (better).**" in first
    assert "CNN against Dense: the order turns, worse with the settings of the config and better when both" in rest
    assert "| CNN against Dense | −10.00 pp | worse | +10.00 pp |" in rest
    assert 'id="tuning"' in page and "Chosen settings" in page and "scrambled Halton" in page
    without, _ = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY | {"experiments": {}}, BEHIND))
    assert 'id="tuning"' not in without and ">tuned<" not in without and "tunes no hyperparameters" in without
