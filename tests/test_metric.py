"""The metric that verdicts are about: direction, unit and name in every sentence; all metrics in every table."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from builders.project import CNN_5X5, LAST_JOBS, tiny_with
from builders.results import write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, results_with, runs_with, seeds_around
from builders.tables import config_of_every_table, macros_of, study_and_tables_with
from convlab.common import i18n
from convlab.common.table_files import write_table
from convlab.errors import UserError
from convlab.evaluation.metrics import classification_metrics
from convlab.figures import accuracy
from convlab.figures.series import Series
from convlab.findings.collect import interpret
from convlab.findings.contrasts import headline
from convlab.language.captions import table_caption
from convlab.language.robustness import analysis_text
from convlab.page.verdicts import question_card
from convlab.paper.macros import numbers_tex
from convlab.paper.printed import printed
from convlab.results import tables
from convlab.results.family import confirmatory_family
from convlab.results.robustness import robustness_table
from convlab.statistics.claims import ConstantGuess
from convlab.study.load import load_study
from convlab.study.metrics import BY_COLUMN, METRICS
from convlab.study.registration import Standing

NAMES = {
    "balanced_accuracy": "balanced test accuracy", "macro_f1": "macro-F1", "loss": "test loss", "auroc": "AUROC",
}  # fmt: skip


def config_with(metric: str, **changes) -> dict:
    return {**MADE_UP_STUDY, "statistics": {"metric": metric, "rope": 0.005}, **changes}


def values_of(dense: float, cnn: float) -> dict[str, list[float]]:
    return {"dense": seeds_around(dense), "cnn": seeds_around(cnn), CNN_5X5: seeds_around(cnn + 0.03)}


def verdicts(results) -> dict[tuple[str, str], str]:
    rows = results.comparisons
    return dict(zip(zip(rows["experiment"], rows["variant"], strict=True), rows["verdict"], strict=True))


@pytest.mark.parametrize("metric", METRICS)
def test_a_higher_value_is_better_but_of_a_loss(metric):
    expected = "worse" if metric == "loss" else "better"
    results = results_with(values_of(0.3, 0.4), config=config_with(metric))
    assert verdicts(results) == {("convolution", "cnn"): expected, ("kernel", CNN_5X5): expected}
    assert set(results.comparisons["finished_verdict"]) == {expected}
    assert set(results.comparisons["metric"]) == {METRICS[metric].column}
    assert results.comparisons["difference"].tolist() == pytest.approx([0.03, 0.1])


@pytest.mark.parametrize("metric", METRICS)
def test_other_analyses_judge_by_the_direction_of_the_metric(metric):
    study = load_study(config_with(metric))
    runs = runs_with(study, values_of(0.3, 0.4))
    family = confirmatory_family(runs, study.plan, 0.005)
    rows = robustness_table(runs, study.plan, 0.005, family, {}, {})
    same_measure = rows[rows["analysis"] != "loss"]
    expected = "worse" if metric == "loss" else "better"
    assert set(same_measure["verdict"]) == {expected} and not same_measure["flips"].any()
    assert {"paired", "unpaired", "welch", "rope_half", "rope_double"} <= set(rows["analysis"])


def test_a_metric_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"statistics.metric.*accuracy.*auroc"):
        load_study(config_with("precision"))


def test_where_classes_are_imbalanced_accuracy_and_balanced_accuracy_can_disagree():
    """Of 950 healthy and 50 ill one model misses nearly all that are ill, the other finds them and raises alarms."""
    labels, recalls = np.repeat([0, 1], [950, 50]), {"dense": (0.99, 0.02), "cnn": (0.90, 0.80)}

    def verdict(metric: str) -> str:
        study = load_study(config_with(metric, seeds=4, experiments={}))
        generator, rows = np.random.default_rng(0), []
        for row in runs_with(study, {"dense": [0.9] * 4, "cnn": [0.9] * 4}).to_dict("records"):
            right = generator.random(1000) < np.repeat(recalls[row["variant"]], [950, 50])
            probabilities = 0.1 + 0.8 * np.eye(2)[np.where(right, labels, 1 - labels)]
            measured = {**classification_metrics(probabilities, labels), "latency_ms": {"p50": 0.3}}
            variant, cost = study.plan.variants[row["variant"]], study.plan.costs["digits", row["variant"]]
            rows.append(tables.run_row("digits", variant, row["seed"], cost, row, measured))
        return tables.comparisons_table(tables.runs_table(rows), study.plan, 0.005).iloc[0]["verdict"]

    assert verdict("accuracy") == "worse"
    assert verdict("balanced_accuracy") == "better"


def test_every_table_has_every_metric_and_the_share_of_the_most_frequent_class():
    study = load_study(MADE_UP_STUDY)
    runs = runs_with(study, values_of(0.8, 0.9))
    runs["auroc"] = 0.7 + 0.01 * runs["seed"]
    guesses = {"digits": ConstantGuess.of({"a": 3, "b": 1})}
    again = tables.runs_table(runs.to_dict("records"), guesses)
    assert set(BY_COLUMN) <= set(again) and set(again["majority_share"]) == {0.75}
    variants = tables.variants_table(runs, study.plan, guesses).set_index("variant")
    for column in BY_COLUMN:
        assert {f"{column}_{name}" for name in ("mean", "sd", "ci_low", "ci_high")} <= set(variants)
    assert variants.loc["cnn", "auroc_mean"] == pytest.approx(0.72)
    assert variants.loc["cnn", "auroc_sd"] == pytest.approx(0.01)
    assert variants.loc["cnn", "auroc_ci_high"] == pytest.approx(0.72 + 4.302653 * 0.01 / 3**0.5)
    assert set(variants["majority_share"]) == {0.75}


@pytest.mark.parametrize(("metric", "name"), NAMES.items())
def test_every_sentence_names_the_metric_and_its_unit(metric, name):
    config = config_with(metric) | {
        "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]}}
    }
    values = values_of(0.3, 0.4) | {"cnn-kernel_size-7x7": seeds_around(0.401)}
    results = results_with(values, config=config)
    unit, other = ("nats", "pp") if metric == "loss" else ("pp", "nats")
    sentences = [*results.comparisons["sentence"], *results.trends["sentence"]]
    sentences += [text for topic in interpret(results, "digits") for text in _about_verdicts(topic)]
    assert len(sentences) > 6
    for text in sentences:
        assert "test accuracy" not in text.lower().replace("balanced test accuracy", ""), text
        assert not re.search(rf"\d {other}\b", text), text
    for text in [*results.comparisons["sentence"], *results.trends["sentence"]]:
        assert name.lower() in text.lower() and re.search(rf"\d {unit}\b", text), text
    row = results.comparisons.iloc[0].to_dict()
    assert headline(row, "CNN", "Dense", 0.005).endswith(f", by {name}")


def _about_verdicts(topic) -> list[str]:
    """Findings of a topic that state verdicts, differences of the metric or its means."""
    named = {"baseline": slice(0, 1), "noise": slice(0, 1), "factor": slice(None), "limits_of_convolution": slice(0, 1)}
    return [finding.text for finding in topic.findings[named[topic.name]]] if topic.name in named else []


def test_the_level_with_the_lowest_loss_is_the_best():
    results = results_with(values_of(0.3, 0.4), config=config_with("loss"))
    (topic,) = [topic for topic in interpret(results, "digits") if topic.name == "factor"]
    text = " ".join(finding.text for finding in topic.findings)
    assert "3×3 has the lowest mean test loss, 0.4000 nats; that is the reference level" in text
    assert "It does not pay in test loss: no level is better than 3×3" in text
    results = results_with(values_of(0.5, 0.4), config=config_with("loss"))
    assert results.comparisons.iloc[1]["sentence"].startswith("CNN vs Dense changed test loss by −0.1000 nats (95 % CI")
    (topic,) = [topic for topic in interpret(results, "digits") if topic.name == "baseline"]
    assert topic.findings[0].text.startswith("Yes: CNN beat Dense. Its test loss differs by −0.1000 nats")
    assert "near end of the interval lies beyond the ± 0.005 nats" in topic.findings[0].text


def test_a_loss_may_exceed_one_and_its_intervals_with_it():
    wide = {"dense": [1.0, 3.0, 8.0], "cnn": [9.0, 12.0, 17.0], CNN_5X5: [9.0, 12.0, 17.0]}
    results = results_with(wide, config=config_with("loss"))
    assert results.comparisons["ci_high"].max() > 1
    variants = results.variants.set_index("variant")
    assert variants.loc["cnn", "test_loss_ci_high"] > 1 and variants.loc["dense", "test_loss_ci_low"] == 0


@pytest.mark.parametrize(
    ("metric", "guessed", "beaten"),
    [("accuracy", 0.9, False), ("balanced_accuracy", 0.5, True), ("auroc", 0.5, True), ("loss", 0.325, False),
     ("macro_f1", 0.9474 / 2, True)],
)  # fmt: skip
def test_a_headline_says_where_neither_side_is_better_than_a_constant_guess(metric, guessed, beaten):
    values = values_of(0.86, 0.8) if not beaten else values_of(0.5, 0.9)
    results = results_with(values, config=config_with(metric))
    guess = ConstantGuess.of({"a": 90, "b": 10})
    assert float(guess.value(METRICS[metric].column)) == pytest.approx(guessed, abs=1e-3)
    metrics = {column: float(guess.value(column)) for column in BY_COLUMN}
    results.constant_guess["digits"] = {"class": "a", "share": 0.9, "metrics": metrics}
    title = question_card(results, "digits", results.plan.questions["convolution"]).contrasts[0].headline
    assert ("; neither is" in title) != beaten
    if metric == "loss":
        assert "neither is better than a constant guess (test loss 0.3251 nats)" in title


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "auroc"])
def test_a_metric_that_is_not_defined_on_the_test_images_says_so_and_calls_no_run_diverged(metric):
    runs = runs_with(load_study(MADE_UP_STUDY), values_of(0.8, 0.9) | {"dense": [0.8, None, 0.81]})
    comparisons = tables.comparisons_table(runs, load_study(config_with(metric)).plan, 0.005).set_index("experiment")
    row = comparisons.loc["convolution"]
    assert row["sentence"] == (
        f"CNN vs Dense: inconclusive; {NAMES[metric]} cannot be compared, for it is not defined where a class has no "
        "test image."
    )
    assert (row["n_diverged_variant"], row["n_diverged_reference"]) == (0, 1)
    results = results_with(values_of(0.8, 0.9), config=config_with(metric))
    results.variants[f"{METRICS[metric].column}_mean"] = np.nan
    text = " ".join(finding.text for topic in interpret(results, "digits") for finding in topic.findings)
    assert f"No verdict on digits: {NAMES[metric]} is not defined where a class has no test image." in text
    assert "no finished run" not in text.lower()


@pytest.mark.parametrize("metric", ["loss", "auroc"])
def test_captions_and_numbers_for_papers_are_in_the_unit_of_the_metric(metric):
    study, named = study_and_tables_with(config_of_every_table() | {"statistics": {"metric": metric, "rope": 0.01}})
    unit, rope = ("nats", "0.01") if metric == "loss" else ("pp", "1")
    assert f"Diff. ({unit})" in printed(named, study)["comparisons"].cells
    assert f"Slope ({unit})" in printed(named, study)["trends"].cells
    assert f"Contrast ({unit})" in printed(named, study)["factorials"].cells
    assert all(text.endswith(unit) for text in _differences(printed(named, study), "unpaired"))
    assert all(text.endswith("nats") for text in _differences(printed(named, study), "loss"))
    for name in ("comparisons", "trends", "factorials"):
        assert NAMES[metric] in table_caption(name, {"digits": None}, study.plan.metric)
    values = macros_of(numbers_tex(named, study, {"digits": 100}, {"digits": "cnn"}, {}))
    assert values["convlabMetric"] == NAMES[metric] and rope in values["convlabRope"]
    difference = named["comparisons"].set_index(["experiment", "variant"])["difference"]["convolution", "cnn"]
    shown = f"{difference:+.4f}" if metric == "loss" else f"{100 * difference:+.2f}"
    assert shown in values["convlabDifferenceConvolutionCnn"]


def _differences(tables_for_print, analysis: str) -> list[str]:
    """Differences of the printed table of other analyses, by one of them."""
    cells = tables_for_print["robustness"].cells
    differences = list(cells.loc[cells["Analysis"] == analysis_text(analysis), "Difference"])
    assert differences or analysis == "loss"
    return differences


@pytest.mark.parametrize(("metric", "language"), [("loss", "en"), ("loss", "es"), ("macro_f1", "es"), ("auroc", "en")])
def test_the_page_is_about_the_metric(tmp_path, metric, language):
    config = config_with(metric, report={"language": language})
    with i18n.in_language(language):
        page, text = write_reports(tmp_path, write_study_with(tmp_path, config, values_of(0.3, 0.4)))
        name = i18n.gettext(METRICS[metric].name)
    for shown in (re.sub("<[^>]*>", " ", page), text):
        assert name in shown
        words = " ".join(shown.split()).replace("\N{NO-BREAK SPACE}", " ")
        unit = "nats" if metric == "loss" else "pp"
        assert re.search(rf"\+(0[.,]1000|10[.,]00) {unit}", words)
        assert ("± 0.005 nats" in words or "± 0,005 nats" in words) == (metric == "loss")
        assert not re.search("(Differences|Diferencias) (of|de) (test accuracy|exactitud de prueba)", words)


@pytest.mark.parametrize(("metric", "label"), [("loss", "Test loss, nats"), ("auroc", "AUROC, %")])
def test_figures_show_the_metric_in_its_unit(metric, label):
    results = results_with(values_of(0.3, 0.4), config=config_with(metric))
    variants, shown = results.variants, METRICS[metric]
    series = [Series(name, name, index) for index, name in enumerate(variants["variant"])]
    seeds = [{1: 0.3, 2: 0.4, 3: 0.5}] * len(series)
    factor = 1 if metric == "loss" else 100
    for figure in (
        accuracy.every_seed(series, seeds, [(0.2, 0.6)] * len(series), "", shown),
        accuracy.against_costs(variants, series, shown),
    ):
        assert figure.axes[0].get_ylabel() == label
        low, high = figure.axes[0].get_ylim()
        assert low < 0.4 * factor < high < factor
        plt.close(figure)
    forest = accuracy.forest(results.comparisons, series[:2], 0.005, shown)
    long_unit = "nats" if metric == "loss" else "percentage points"
    assert forest.axes[0].get_xlabel() == f"Difference of {NAMES[metric]}, {long_unit}"
    drawn = [float(line.get_xdata()[0]) for line in forest.axes[0].lines]
    assert max(drawn) == pytest.approx(0.1 * factor)
    plt.close(forest)


def test_the_first_screen_names_supported_claims_that_a_constant_guess_meets(tmp_path):
    claims = [{"id": "high", "text": "It is good.", "rule": "test_accuracy(cnn) > 0.5"},
              {"id": "wins", "text": "It wins.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"},
              {"id": "low", "text": "It is perfect.", "rule": "test_accuracy(cnn) > 0.85"}]  # fmt: skip
    config, folder = MADE_UP_STUDY | {"claims": claims}, tmp_path / "results"
    study = load_study(config)
    write_study_with(folder, config, values_of(0.6, 0.8))
    runs, guesses = runs_with(study, values_of(0.6, 0.8)), {"digits": ConstantGuess.of({"a": 90, "b": 10})}
    decided = tables.claims_table(runs, study.plan, 0.005, confirmatory_family(runs, study.plan, 0.005, guesses))
    assert decided.set_index("claim")["met_by_guess"].to_dict() == {"high": "yes", "wins": "", "low": ""}
    registered = tables.with_registration(decided, lambda row: Standing())
    write_table(registered, folder / "compare" / "claims", "claims")
    notice = "Supported, but met by a constant guess too, which looks at no image: the claim high."
    for shown in write_reports(folder, config):
        assert notice in shown


@pytest.mark.slow
def test_a_study_that_has_run_is_compared_by_another_metric_without_training_again(finished):
    metric, name, unit = "loss", "test loss", "nats"
    finished.configure(tiny_with(statistics={"metric": metric, "rope": 0.01}))
    assert finished.planned() == LAST_JOBS
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    compared = finished.folder / "results/tiny/compare"
    comparisons, runs = pd.read_csv(compared / "comparisons.csv"), pd.read_csv(compared / "runs.csv")
    column = METRICS[metric].column
    assert runs[[*BY_COLUMN, "majority_share"]].notna().all(axis=None)
    means = runs.groupby("variant")[column].mean()
    row = comparisons.set_index("experiment").loc["convolution"]
    assert row["metric"] == column and row["difference"] == pytest.approx(means["cnn"] - means["dense"])
    assert pd.isna(row["new_images_ci_low"]), "right and wrong answers say nothing of it"
    for sentence in comparisons["sentence"]:
        assert f"changed {name} by" in sentence and re.search(rf"\d {unit} \(", sentence)
    titles = {entry["title"] for entry in json.loads((compared / "summary.json").read_text())["figures"]}
    assert f"{name.capitalize()} of every variant" in titles
    page = (finished.folder / "results/tiny/report/index.html").read_text(encoding="utf-8")
    assert f"by {name}" in page and f"Verdicts are about {name}." in page
