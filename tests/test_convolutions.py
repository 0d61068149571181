"""Measures of filters and feature maps by level: the table, and what is said about it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from builders.project import CNN_5X5, TINY, tiny_with
from builders.study_results import results_with, seeds_around
from convlab.findings.feature_maps import feature_maps
from convlab.page.features import not_looked_into
from convlab.page.findings_table import findings_table
from convlab.page.views import Figure
from convlab.results import columns
from convlab.results.convolutions import MEASURES, convolutions_table
from convlab.study.load import load_study

PLAN = load_study(TINY).plan


def measured(layer="conv_1", filters=4, **values):
    """Measures of one convolution as evaluate records them."""
    return {"layer": layer, "filters": filters, **dict.fromkeys(MEASURES, 0.5), "effective_maps": 2.0, **values}


def evaluations(**smoothness):
    """What evaluate records of runs on the digits, from the smoothness of each variant's seeds; None diverged."""
    names = {"cnn": "cnn", "larger": CNN_5X5, "dense": "dense"}
    return {
        ("digits", names[name], seed): {} if value is None else {"convolutions": [measured(smoothness=value)]}
        for name, values in smoothness.items()
        for seed, value in enumerate(values, 1)
    }


def rows_of(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table.to_dict("records")


def test_differences_are_paired_by_seed():
    table = convolutions_table(evaluations(cnn=[0.1, 0.5, 0.9], larger=[0.2, 0.61, 0.99]), PLAN)
    assert list(table) == list(columns.CONVOLUTIONS)
    reference, level = rows_of(table, experiment="kernel", measure="smoothness")
    assert (reference["variant"], reference["n_pairs"], level["variant"]) == ("cnn", 0, CNN_5X5)
    assert reference["mean"] == pytest.approx(0.5) and math.isnan(reference["difference"])
    assert level["difference"] == pytest.approx(0.1)
    half_width = 4.302653 * np.std([0.1, 0.11, 0.09], ddof=1) / math.sqrt(3)
    assert (level["ci_low"], level["ci_high"]) == pytest.approx((0.1 - half_width, 0.1 + half_width))


def test_a_diverged_run_is_left_out_of_both_sides_and_counted():
    table = convolutions_table(evaluations(cnn=[0.1, 0.5, None], larger=[0.2, None, 0.9]), PLAN)
    (_reference, level) = rows_of(table, experiment="kernel", measure="smoothness")
    assert (level["n_seeds"], level["n_pairs"], level["n_diverged"]) == (2, 1, 2)
    assert level["difference"] == pytest.approx(0.1) and math.isnan(level["ci_low"])


def test_convolutions_are_matched_by_name_and_one_without_counterpart_has_no_difference():
    runs = {
        ("digits", "cnn", 1): {"convolutions": [measured("a")]},
        ("digits", CNN_5X5, 1): {"convolutions": [measured("b", filters=9), measured("a")]},
    }
    table = convolutions_table(runs, PLAN)
    kernel = table[(table["experiment"] == "kernel") & (table["measure"] == "smoothness")]
    shown = kernel[["layer", "variant", "filters", "n_pairs"]]
    assert shown.values.tolist() == [["a", "cnn", 4, 0], ["a", CNN_5X5, 4, 1], ["b", CNN_5X5, 9, 0]]


def test_what_is_not_defined_stays_so():
    table = convolutions_table({("digits", "cnn", 1): {"convolutions": [measured(dead_filters=None)]}}, PLAN)
    assert math.isnan(rows_of(table, experiment="kernel", measure="dead_filters")[0]["mean"])


def test_models_without_convolutions_give_no_rows():
    assert convolutions_table({("digits", "dense", 1): {"convolutions": []}}, PLAN).empty


def findings(table, config=None):
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.95)}
    results = replace(results_with(values, config=config), convolutions=table)
    return feature_maps(results, "digits", results.plan.questions["kernel"]).findings


def test_a_finding_names_what_is_told_apart_with_its_interval_and_what_is_not():
    larger = [0.3, 0.72, 1.0]
    runs = evaluations(cnn=[0.1, 0.5, 0.8], larger=larger)
    for seed, zeros in enumerate((0.2, 0.9, 0.4), 1):
        runs["digits", CNN_5X5, seed]["convolutions"][0]["zero_outputs"] = zeros
    finding, chance = findings(convolutions_table(runs, PLAN))
    assert chance.text == "Intervals that exclude zero: 1 of 2; by chance alone about one in 20 would."
    assert finding.kind == "exploratory"
    assert finding.text == (
        "Convolution conv_1 against kernel size 3×3 (n = 3 seeds): smoothness of the filters higher with 5×5 (+0.207, "
        "95 % CI +0.178 to +0.235). Not told apart at any level: share of zero outputs."
    )
    assert set(finding.numbers) == {"smoothness 5×5", "smoothness 5×5 ci_low", "smoothness 5×5 ci_high"}


def test_nothing_is_inferred_below_three_seeds():
    (finding,) = findings(convolutions_table(evaluations(cnn=[0.1, 0.5], larger=[0.3, 0.72]), PLAN))
    assert finding.text.startswith("Fewer than three seeds") and not finding.numbers


def test_a_diverged_seed_is_mentioned():
    runs = evaluations(cnn=[0.1, 0.5, 0.8, 0.3], larger=[0.3, 0.72, 1.0, None])
    finding, _chance = findings(convolutions_table(runs, PLAN))
    assert "(n = 3 seeds, 1 seed with a diverged run left out)" in finding.text


def test_the_table_of_findings_holds_every_sentence_and_leads_to_the_section():
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.9), CNN_5X5: seeds_around(0.9)}
    table = convolutions_table(evaluations(cnn=[0.1, 0.5, 0.9], larger=[0.2, 0.61, 0.99]), PLAN)
    results = replace(results_with(values), convolutions=table)
    topic = feature_maps(results, "digits", results.plan.questions["kernel"])
    (row,) = findings_table(results, "digits", [topic], [], {})
    assert [short.text for short in row.results] == [finding.text for finding in topic.findings]
    assert len(row.results) > 1 and row.basis == "exploratory"
    assert [link.anchor for link in row.numbers] == ["features-digits-kernel"]


def test_deep_networks_get_sentences_for_the_first_convolutions_only():
    generator, runs = np.random.default_rng(0), {}
    for variant in ("cnn", CNN_5X5):
        for seed in (1, 2, 3):
            layers = [measured(f"conv_{n}", smoothness=generator.random()) for n in range(9)]
            runs["digits", variant, seed] = {"convolutions": layers}
    *sentences, note, _chance = findings(convolutions_table(runs, PLAN))
    assert len(sentences) == 4 and note.kind == "note" and note.text.startswith("5 more convolutions")


def test_without_convolutions_there_is_no_topic():
    assert findings(convolutions_table({}, PLAN)) == ()


def test_own_code_without_a_visible_convolution_is_named(tmp_path):
    (tmp_path / "own.py").write_text("def model(input_shape, classes):\n    raise NotImplementedError\n")
    own = {"family": "python", "file": str(tmp_path / "own.py"), "function": "model", "label": "Mine"}
    plan = load_study(tiny_with(models={**TINY["models"], "own": own})).plan
    values = {"dense": seeds_around(0.9), "cnn": seeds_around(0.95), CNN_5X5: seeds_around(0.95)}
    results = replace(results_with(values), plan=plan)
    assert not_looked_into(results, []) == "Mine"
    seen = convolutions_table({("digits", "own", 1): {"convolutions": [measured()]}}, plan)
    assert seen.empty, "it is in no question"
    figure = Figure("features", "figure-f", "f", "F", "", "", "", variant="own", layer="conv_1")
    assert not_looked_into(results, [figure]) == ""
