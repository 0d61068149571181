"""Claims: a closed grammar that executes nothing, and verdicts that follow the numbers in every direction."""

import copy
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from builders.project import CNN_5X5, TINY
from builders.study_results import MADE_UP_STUDY, results_with, runs_with
from convlab.common import table_files
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.language.claims import problem_text
from convlab.results import columns, tables
from convlab.results.family import confirmatory_family
from convlab.results.tables import claim_row
from convlab.statistics.claim_links import limits
from convlab.statistics.claims import ConstantGuess
from convlab.statistics.claims import decide as decide_claim
from convlab.statistics.comparisons import compare_to_reference
from convlab.study import rule_parser, rules
from convlab.study.load import load_study
from convlab.study.rule_parser import MAX_DEPTH, MAX_LENGTH, RuleError, parse
from convlab.study.rules import FLIPPED, TIMES, evaluate, unit

DENSE, CNN = 4810, 9258  # parameters


def planned(rule: str, config=MADE_UP_STUDY, **fields):
    """A checked claim with this rule."""
    return load_study({**config, "claims": [{"id": "it", "text": "A statement.", "rule": rule, **fields}]}).plan


def value_of(expression: str) -> Fraction:
    """The value of an expression of numbers."""
    return evaluate(parse(f"{expression} < x(y)").links[0].left, lambda quantity: None)


def decide(rule: str, config=MADE_UP_STUDY, dataset="digits", **accuracies) -> dict:
    """The row of a claim alone in its study: p over the study is its own. Accuracies by variant, ``five`` for 5×5."""
    values = {"dense": [0.9, 0.901, 0.902], "cnn": [0.95, 0.951, 0.953], "five": [0.95, 0.951, 0.953]} | accuracies
    values[CNN_5X5] = values.pop("five")
    study = load_study({**config, "seeds": len(values["cnn"])})
    plan = planned(rule, {**config, "seeds": len(values["cnn"])})
    runs = runs_with(study, values)
    result = decide_claim(plan.claims["it"], dataset, runs, plan.costs)
    return claim_row(result, result.p_value)


# ---------------------------------------------------------------------------------------------------------------------
# The grammar


@pytest.mark.parametrize(("expression", "value"), [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("7 - 2 - 1", 4),
    ("8 / 4 / 2", 1),
    ("8 / 4 * 2", 4),
    ("-2 * -3", 6),
    ("--2", 2),
    ("2 - -1", 3),
    ("-(1 + 2)", -3),
    ("1e-3", Fraction(1, 1000)),
    ("2.5E+2", 250),
    (".5 + 5.", Fraction(11, 2)),
    ("0.1 + 0.2", Fraction(3, 10)),
    ("90 %", Fraction(9, 10)),
    ("90% + 0.5 pp", Fraction(181, 200)),
    ("−2 × 3 ÷ 4 · 2", -3),
    ("1\n+\t1", 2),
])  # fmt: skip
def test_arithmetic_is_exact_and_binds_as_usual(expression, value):
    assert value_of(expression) == value


EXPRESSIONS = st.recursive(
    st.integers(0, 999).map(str) | st.decimals(0, 99, places=3).map(str),
    lambda inner: st.one_of(
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"- {text}"),
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(" ".join),
    ),
    max_leaves=25,
)


@given(EXPRESSIONS)
@settings(max_examples=400)
def test_expressions_have_the_value_that_python_gives_them(expression):
    """The oracle is Python's own grammar, with every number a Fraction."""
    import re

    python = re.sub(r"\d+(\.\d+)?", lambda match: f"Fraction('{match[0]}')", expression)
    try:
        expected = eval(python, {"Fraction": Fraction})  # noqa: S307  (text made by this test)
    except ZeroDivisionError:
        with pytest.raises((RuleError, ZeroDivisionError)):
            value_of(expression)
        return
    try:
        assert value_of(expression) == expected
    except RuleError as error:
        assert "at most" in str(error)  # the grammar's own limits


@given(st.text(max_size=80) | st.text("0123456789.eE+-*/()<>=~±%p abct_,×−", max_size=60))
@settings(max_examples=600)
def test_any_text_is_a_rule_or_a_rule_error_with_a_position_inside_it(text):
    try:
        assert parse(text).links
    except RuleError as error:
        assert 1 <= error.position <= len(text) + 1
        assert "\n" not in str(error)


def test_chains_have_a_link_for_each_comparison():
    rule = parse("0.8 <= f(a) < f(b) == 3 > 2 >= 1")
    assert [link.relation for link in rule.links] == ["<=", "<", "==", ">", ">="]
    assert [(link.left_text, link.right_text) for link in rule.links][:2] == [("0.8", "f(a)"), ("f(a)", "f(b)")]


@pytest.mark.parametrize("text", ["f(a) ~ 0.9078 ± 0.005", "f(a) ≈ 90.78 % +- 0.5 pp", "f(a)~0.9078+/-5e-3"])
def test_an_approximate_value_has_a_tolerance(text):
    text = text.replace("f(", "test_accuracy(")
    (link,) = parse(text).links
    assert (link.relation, link.right.value, link.tolerance) == ("~", Fraction("0.9078"), Fraction("0.005"))


@pytest.mark.parametrize(("plain", "other"), [("a(b) <= 1", "a(b) ≤ 1"), ("a(b) >= 1-2", "a(b) ≥ 1−2"),
                                              ("a(b)*2 > 1/2", "a( b )  ×2>1 ÷ 2")])  # fmt: skip
def test_unicode_spellings_mean_the_same(plain, other):
    assert parse(plain).links == parse(other).links


def test_names_of_variants_run_to_the_comma_or_the_end():
    rule = parse("parameters(cnn-kernel_size-5x5-3x3) - macs( m-learning_rate-0.001 , my-data ) > 0")
    assert [(q.name, q.variant, q.dataset) for q in rule.quantities] == [
        ("parameters", "cnn-kernel_size-5x5-3x3", None),
        ("macs", "m-learning_rate-0.001", "my-data"),
    ]


@pytest.mark.parametrize(("text", "position", "sentence"), [
    ("", 1, "expected a number, a quantity such as test_accuracy(cnn), or '(', but the rule ends"),
    ("f(a)", 5, "expected a comparison"),
    ("f(a) >", 7, "but the rule ends"),
    ("f(a) > * 2", 8, "found '*'"),
    ("f(a) > (1", 10, "expected ')'"),
    ("f(a) > 1)", 9, "expected an operation or the end of the rule, but found ')'"),
    ("f(a) > 1 2", 10, "found '2'"),
    ("f(a > 1", 1, "expected ')' after 'f'"),
    ("f > 1", 1, "but found 'f'"),
    ("f() > 1", 1, "f of what?"),
    ("f(a,) > 1", 1, "expected f(variant) or f(variant, dataset)"),
    ("f(a) = 1", 6, "equality is written =="),
    ("f(a) != 1", 6, "a rule says what holds"),
    ("f(a) > 220,234", 11, "numbers are written without separators"),
    ("f(a) ** 2 > 1", 7, "found '*'"),
    ("f(a) ~ 3", 9, "expected ± and a tolerance"),
    ("f(a) ~ 3 ± f(b)", 12, "without quantities"),
    ("f(a) ~ 3 ± 0", 12, "more than 0"),
    ("f(a) ~ 3 ± 1 < 4", 14, "stands alone"),
    ("1 < f(a) ~ 3 ± 1", 10, "stands alone"),
    ("f(a) > 1 +- 2", 10, "with a space, + -, it adds a negative number"),
    ("f(a) > 1 / (2 - 2)", 10, "divides by zero"),
    ("parameters(a) ~ 94000 ± 5 %", 25, "a tolerance of parameters cannot be in %"),
    ("f(a) > 1e999999999", 8, "exponent"),
    ("f(a) > 1e-31", 8, "exponent"),
    ("f(a) > " + "9" * 21, 8, "20 digits"),
    ("(" * 400, MAX_DEPTH + 1, "nested 20 deep"),
    ("-" * 400, MAX_DEPTH + 1, "nested 20 deep"),
    ("1" + "+1" * 70 + " < f(a)", 122, "60 operations"),
    ("f(a) > 1" + " " * 500, MAX_LENGTH + 1, "500 characters"),
    ("f(a).b > 1", 5, "'.' has no meaning"),
    ("f(a)\0 > 1", 5, "has no meaning"),
    ("lambda: 1", 7, "has no meaning"),
    ("٣ < f(a)", 1, "has no meaning"),
    ("1_000 < f(a)", 2, "expected a comparison"),
])  # fmt: skip
def test_what_is_no_rule_is_told_with_its_place(text, position, sentence):
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert sentence in str(caught.value)
    assert caught.value.position == position


def test_units_follow_the_quantities():
    texts = {
        "test_accuracy(a)": "%", "test_accuracy(a) - val_accuracy(b)": "pp", "test_accuracy(a) - 0.9": "pp",
        "(test_accuracy(a) + test_accuracy(b)) / 2": "%", "test_accuracy(a) / test_accuracy(b)": "",
        "test_accuracy(a) - test_loss(a)": "", "2 * train_seconds(a)": "s", "latency_ms(a) - latency_ms(b)": "ms",
        "test_loss(a)": "", "parameters(a)": "", "1 / train_seconds(a)": "", "-test_accuracy(a)": "pp",
    }  # fmt: skip
    assert {text: unit(parse(f"{text} < 1").links[0].left) for text in texts} == texts


# ---------------------------------------------------------------------------------------------------------------------
# Checked when the config is read


@pytest.mark.parametrize(("rule", "sentence"), [
    ("test_acuracy(cnn) > 0", "character 1 of its rule: 'test_acuracy' is no quantity, did you mean 'test_accuracy'?"),
    ("parameters(cnn) < macs(dens)", "character 19 of its rule: 'dens' is no variant, did you mean 'dense'?"),
    ("parameters(cnn, digit) > 1", "'digit' is no dataset of this study, did you mean 'digits'?"),
    ("1 < 2", "character 3 of its rule: compares constants"),
    ("1 < 2 < parameters(cnn)", "compares constants"),
    ("test_accuracy(cnn) >= test_accuracy( cnn )", "compares a value with itself"),
    ("test_accuracy(cnn) == 0.9", "never equals another exactly; write left ~ right ± tolerance"),
    ("parameters(cnn) / (parameters(dense) - 4810) > 1", "divides by zero"),
    ("test_accuracy(cnn) > 1 / (parameters(dense) - 4810)", "divides by zero"),
    ("test_accuracy(cnn", "claims.it, character 1 of its rule: expected ')'"),
])  # fmt: skip
def test_a_mistake_in_a_rule_is_one_sentence_before_anything_runs(rule, sentence):
    with pytest.raises(UserError) as caught:
        planned(rule)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("claims.it, character")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("entries", "sentence"), [
    ([{"id": "a", "text": "t", "rule": "macs(cnn) > 1"}] * 2, "claims names 'a' twice; rename one of them"),
    ([{"id": "a b", "text": "t", "rule": "macs(cnn) > 1"}], "claims[0].id is 'a b': use letters, digits, - and _ only"),
    ([{"id": "a", "text": "t"}], "claims[0].rule is missing; add it"),
    ([{"id": "a", "rule": "macs(cnn) > 1"}], "claims[0].text is missing; add it"),
    ([{"id": "a", "text": "t", "rule": 3}], "claims[0].rule should be text (it is 3)"),
    ([{"id": "a", "text": "t", "rule": "macs(cnn) > 1", "sorce": "x"}], "did you mean 'source'?"),
    ([{"id": "a", "text": "t", "rule": "macs(cnn) > 1", "published": True}], "claims[0].published should be a number"),
    ([{"id": "a", "text": "t", "rule": "macs(cnn) > 1", "published": math.inf}], "should be a finite number"),
    ([{"id": "a", "text": "t", "rule": "macs(cnn) > 1", "dataset": "x"}], "claims.a.dataset is 'x', which is no"),
    (yaml.safe_load("[{id: a, text: It has 220,234 parameters., rule: macs(cnn) > 1}]"),
     "unknown key '234 parameters.' in claims[0]"),
    (yaml.safe_load("[{id: a, text: It has 220,234 parameters., rule: macs(cnn) > 1}]"),
     "between { } a text with a comma needs quotation marks"),
    ({"a": "macs(cnn) > 1"}, "claims should be a list"),
])  # fmt: skip
def test_a_mistake_in_a_claim_is_one_sentence(entries, sentence):
    with pytest.raises(UserError) as caught:
        load_study({**MADE_UP_STUDY, "claims": entries})
    assert sentence in str(caught.value)


def test_every_name_of_a_variant_is_accepted():
    config = copy.deepcopy(MADE_UP_STUDY) | {
        "experiments": {"kernel": {**MADE_UP_STUDY["experiments"]["kernel"], "levels": [3, 5]}}
    }
    plan = planned("parameters(cnn-kernel_size-3x3) < parameters(cnn-kernel_size-5x5)", config)
    assert [quantity.variant for quantity in plan.claims["it"].rule.quantities] == ["cnn", CNN_5X5]
    with pytest.raises(UserError, match="compares a value with itself"):
        planned("test_accuracy(cnn-kernel_size-3x3) > test_accuracy(cnn)", config)


def test_texts_that_look_like_numbers_stay_texts_on_the_way_to_the_report():
    entry = {"id": "a", "text": "1e3", "rule": "macs(cnn) > 1", "published": "1e-3", "source": "42"}
    study = load_study({**MADE_UP_STUDY, "claims": [entry]})
    again = load_study(study.settings).claims[0]
    assert (again.text, again.published, again.source) == ("1e3", "1e-3", "42")
    assert canonical_json(load_study(study.validated_config).validated_config) == canonical_json(study.validated_config)


# ---------------------------------------------------------------------------------------------------------------------
# Exact rules


@pytest.mark.parametrize(("rule", "verdict"), [
    (f"parameters(cnn) == {CNN}", "supported"),
    (f"parameters(cnn) == {CNN}.5", "contradicted"),
    (f"{CNN} >= parameters(cnn) >= {CNN}", "supported"),
    (f"parameters(cnn) < {CNN}", "contradicted"),
    (f"parameters(cnn) <= {CNN}", "supported"),
    (f"{CNN} < parameters(cnn)", "contradicted"),
    ("parameters(dense) < parameters(cnn) < 100", "contradicted"),
    (f"parameters(cnn) / 3 * 3 == {CNN}", "supported"),
    ("parameters(cnn) ~ 9000 ± 258", "supported"),
    ("parameters(cnn) ~ 9000 ± 257.999", "contradicted"),
    ("parameters(cnn) / parameters(dense) ~ 2 ± 0.1", "supported"),
    ("receptive_field(cnn) == 10", "supported"),
    ("macs(dense) < macs(cnn)", "supported"),
])  # fmt: skip
def test_exact_rules_are_decided_exactly_whatever_the_runs(rule, verdict):
    row = decide(rule, cnn=[None, None, None])
    assert row["verdict"] == verdict
    assert row["p_value"] is row["ci_low"] is row["n_seeds"] is None


def test_an_exact_value_stays_whole_and_says_by_how_much_it_misses(tmp_path):
    row = decide(f"parameters(cnn) == {CNN}.5")
    assert row["measured"] == CNN and isinstance(row["measured"], int)
    assert row["reason"] == "parameters(cnn) is 9,258, not exactly 9,258.5 (difference −0.5)."
    plan = planned(f"parameters(cnn) == {CNN}")
    frame = tables.claims_table(runs_with(load_study(MADE_UP_STUDY), make_accuracies()), plan, 0.005)
    table_files.write_table(frame, tmp_path / "claims", "Claims")
    assert ",9258,,,supported,digits," in (tmp_path / "claims.csv").read_text()


def make_accuracies(**changes) -> dict:
    return {"dense": [0.9, 0.901, 0.902], "cnn": [0.95, 0.951, 0.953], CNN_5X5: [0.95, 0.951, 0.953]} | changes


# ---------------------------------------------------------------------------------------------------------------------
# Measured rules


NEAR = [0.949, 0.950, 0.951]  # mean 0.95, 95 % CI 0.9475 to 0.9525


@pytest.mark.parametrize(("rule", "verdict"), [
    ("test_accuracy(cnn) > 0.94", "supported"),
    ("test_accuracy(cnn) > 0.949", "inconclusive"),
    ("test_accuracy(cnn) > 0.96", "contradicted"),
    ("test_accuracy(cnn) >= 0.94", "supported"),
    ("test_accuracy(cnn) >= 96 %", "contradicted"),
    ("test_accuracy(cnn) < 0.96", "supported"),
    ("test_accuracy(cnn) < 0.951", "inconclusive"),
    ("test_accuracy(cnn) < 0.94", "contradicted"),
    ("0.96 > test_accuracy(cnn)", "supported"),
    ("0.94 >= test_accuracy(cnn)", "contradicted"),
    ("test_accuracy(cnn) ~ 0.95 ± 0.01", "supported"),
    ("0.95 ~ test_accuracy(cnn) ± 0.01", "supported"),
    ("test_accuracy(cnn) ~ 0.95 ± 0.002", "inconclusive"),
    ("test_accuracy(cnn) ~ 0.96 ± 0.009", "inconclusive"),
    ("test_accuracy(cnn) ~ 0.97 ± 0.01", "contradicted"),
    ("test_accuracy(cnn) ~ 0.93 ± 0.01", "contradicted"),
    ("0.94 < test_accuracy(cnn) < 0.96", "supported"),
    ("0.94 < test_accuracy(cnn) < 0.951", "inconclusive"),
    ("0.949 < test_accuracy(cnn) < 0.90", "contradicted"),
    ("parameters(dense) < parameters(cnn) > 1e5 * test_accuracy(cnn)", "contradicted"),
    ("parameters(dense) > parameters(cnn) > test_accuracy(cnn)", "contradicted"),
    ("parameters(dense) < parameters(cnn) > 9000 * test_accuracy(cnn)", "supported"),
    ("test_accuracy(cnn) - test_accuracy(dense) > 0", "supported"),
    ("0 < test_accuracy(dense) - test_accuracy(cnn)", "contradicted"),
    ("test_accuracy(cnn) > test_accuracy(dense)", "supported"),
    ("test_accuracy(dense) < test_accuracy(cnn) < test_accuracy(cnn-kernel_size-5x5)", "inconclusive"),
    ("test_accuracy(cnn) ~ test_accuracy(cnn-kernel_size-5x5) ± 1 pp", "supported"),
    ("test_accuracy(cnn) / test_accuracy(dense) > 1.05", "supported"),
    ("(1 - test_accuracy(cnn)) / (1 - test_accuracy(dense)) < 0.4", "contradicted"),
])  # fmt: skip
def test_every_form_is_decided_in_every_direction(rule, verdict):
    row = decide(rule, cnn=NEAR, five=[0.9512, 0.9501, 0.9504], dense=[0.9, 0.9012, 0.8995])
    assert row["verdict"] == verdict, row["reason"]


def test_the_interval_is_students_over_paired_seeds():
    cnn, dense = np.array([0.95, 0.94, 0.96]), np.array([0.90, 0.891, 0.909])
    row = decide("test_accuracy(cnn) - test_accuracy(dense) > 0", cnn=list(cnn), dense=list(dense))
    expected = stats.ttest_rel(cnn, dense, alternative="greater")
    interval = stats.ttest_rel(cnn, dense).confidence_interval(0.95)
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high))
    assert row["measured"] == pytest.approx((cnn - dense).mean())
    # Unpaired, the seeds' common swing would hide the difference.
    assert stats.ttest_ind(cnn, dense, equal_var=False, alternative="greater").pvalue > 3 * row["p_value"]


def test_pairing_goes_by_seed_and_not_by_order():
    study = load_study(MADE_UP_STUDY)
    runs = runs_with(study, make_accuracies())
    plan = planned("test_accuracy(cnn) - test_accuracy(dense) > 0")
    rows = [
        decide_claim(plan.claims["it"], "digits", frame, plan.costs).link
        for frame in (runs, runs.sample(frac=1, random_state=1))
    ]
    assert rows[0] == rows[1]


def test_nonlinear_expressions_are_evaluated_within_each_seed():
    cnn, dense = np.array([0.95, 0.94, 0.96]), np.array([0.90, 0.89, 0.88])
    row = decide("test_accuracy(cnn) / test_accuracy(dense) > 1", cnn=list(cnn), dense=list(dense))
    assert row["measured"] == pytest.approx((cnn / dense).mean())
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(cnn / dense, 1, alternative="greater").pvalue)


@given(st.lists(st.floats(0.1, 0.9), min_size=3, max_size=6, unique=True), st.floats(0.1, 0.9))
@settings(max_examples=60)
def test_a_rule_turned_around_has_the_same_verdict_and_p(values, bound):
    text = f"{bound:.6f}"
    for relation, turned in FLIPPED.items():
        if relation in ("==", "~"):
            continue
        first, second = (
            decide(f"test_accuracy(cnn) {relation} {text}", cnn=values, five=values, dense=values),
            decide(f"{text} {turned} test_accuracy(cnn)", cnn=values, five=values, dense=values),
        )
        assert {key: first[key] for key in first if key != "rule"} == {
            key: second[key] for key in second if key != "rule"
        }


def test_fewer_than_three_seeds_decide_nothing():
    two = {"cnn": [0.95, 0.951], "dense": [0.90, 0.901], "five": [0.95, 0.95]}
    row = decide("test_accuracy(cnn) > test_accuracy(dense)", **two)
    assert (row["verdict"], row["n_seeds"], row["p_value"]) == ("inconclusive", 2, None)
    assert "n = 2 seeds" in row["reason"] and "smoke test" in row["reason"]
    assert decide(f"parameters(cnn) == {CNN}", **two)["verdict"] == "supported"


def test_runs_that_do_not_vary_decide_nothing():
    row = decide("test_accuracy(cnn) > 0.5", cnn=[0.9, 0.9, 0.9])
    assert row["verdict"] == "inconclusive" and "do not vary" in row["reason"]
    # Equal differences whose computed values differ in the last bit.
    row = decide("test_accuracy(cnn) - test_accuracy(dense) > 0", cnn=[0.3, 0.5, 0.9], dense=[0.1, 0.3, 0.7])
    assert row["verdict"] == "inconclusive" and "do not vary" in row["reason"]


def test_missing_inputs_are_named():
    row = decide("test_accuracy(cnn) > test_accuracy(dense)", cnn=[None, None, None])
    assert row["verdict"] == "inconclusive" and row["measured"] is None
    assert "no finished run gives test_accuracy of cnn" in row["reason"]
    row = decide("test_accuracy(cnn) > test_accuracy(dense)", cnn=[0.95, None, 0.951])
    assert (row["verdict"], row["n_seeds"]) == ("inconclusive", 2)
    assert "1 seed with a diverged run left out" in row["reason"]
    row = decide("train_seconds(cnn) > 0", cnn=[0.95, None, 0.951, 0.96], dense=[0.9] * 4, five=[0.9] * 4)
    assert row["n_seeds"] == 3  # a diverged run has seconds, but no model
    plan = planned("test_accuracy(cnn) > 0")
    runs = runs_with(load_study(MADE_UP_STUDY), make_accuracies())
    result = decide_claim(plan.claims["it"], "digits", runs[runs["variant"] != "cnn"], plan.costs)
    assert "no finished run gives test_accuracy of cnn" in problem_text(result.link.problem)


def test_dividing_by_a_measured_zero_is_a_missing_value():
    row = decide("1 / (test_accuracy(cnn) - 0.95) > 0", cnn=[0.95, 0.95, 0.95])
    assert row["verdict"] == "inconclusive" and "3 finished seeds give no finite value" in row["reason"]
    # On the other seeds alone it would be supported: selected by their outcome.
    one_in_five = {"cnn": [0.95, 0.96, 0.961, 0.962, 0.963], "dense": [0.9] * 5, "five": [0.9] * 5}
    row = decide("1 / (test_accuracy(cnn) - 0.95) > 0", **one_in_five)
    assert (row["verdict"], row["p_value"], row["ci_low"]) == ("inconclusive", None, None)
    assert "1 finished seed gives no finite value, so the claim is not decided" in row["reason"]
    assert decide("test_accuracy(cnn) < 1e30" + " * 1e30" * 11)["verdict"] == "supported"


def test_measures_come_from_the_runs():
    study = load_study(MADE_UP_STUDY)
    runs = runs_with(study, make_accuracies())
    runs["latency_ms"], runs["train_seconds"], runs["test_loss"] = 0.3, 8.0, 0.2
    varied = runs["seed"] * 0.01
    runs["balanced_accuracy"], runs["macro_f1"] = 0.8, 0.7
    for name, column, value in [("seconds_per_epoch", "train_seconds", 2.0), ("latency_ms", "latency_ms", 0.3),
                                ("test_loss", "test_loss", 0.2), ("best_epoch", "best_epoch", 3),
                                ("balanced_accuracy", "balanced_accuracy", 0.8),
                                ("macro_f1", "macro_f1", 0.7)]:  # fmt: skip
        frame = runs.assign(**{column: runs[column] + varied - 0.02})
        plan = planned(f"{name}(cnn) < 100")
        finding = decide_claim(plan.claims["it"], "digits", frame, plan.costs).link
        assert finding.value == pytest.approx(value)
        assert finding.verdict == ("described" if name in TIMES else "supported")


@pytest.mark.parametrize("rule", [
    "train_seconds(cnn) / train_seconds(dense) ~ 1 ± 0.25", "latency_ms(cnn) < 100", "seconds_per_epoch(cnn) > 100",
    "0 < latency_ms(cnn) < 100", "train_seconds(cnn) > 0.9 * test_accuracy(cnn)",
    "test_accuracy(cnn) > 0.5 * latency_ms(cnn) > 0",
])  # fmt: skip
def test_times_are_described_and_decide_nothing(rule):
    study, plan = load_study({**MADE_UP_STUDY, "claims": [{"id": "it", "text": "A.", "rule": rule}]}), planned(rule)
    runs = runs_with(study, make_accuracies())
    runs["train_seconds"], runs["latency_ms"] = 8 + 0.1 * runs["seed"], 0.3 + 0.01 * runs["seed"]
    row = tables.claims_table(runs, plan, 0.005).iloc[0]
    assert (row["verdict"], row["p_value"], row["p_adjusted"], row["ci_low"]) == ("described", None, None, None)
    assert "SD " in row["reason"] and "times are described and decide no claim" in row["reason"]
    # They are no part of the family either.
    alone = tables.comparisons_table(runs, load_study(MADE_UP_STUDY).plan, 0.005)
    pd.testing.assert_frame_equal(tables.comparisons_table(runs, plan, 0.005), alone)


def test_a_claim_that_fails_beside_its_times_is_contradicted():
    row = decide("0.99 < test_accuracy(cnn) < latency_ms(cnn)")
    assert row["verdict"] == "contradicted" and row["p_value"] < 0.05


DIVERGED = {"cnn": [0.95, 0.951, 0.953, 0.952, None], "dense": [0.9, 0.901, 0.902, 0.9, 0.901], "five": [0.95] * 5}


@pytest.mark.parametrize(("rule", "accuracies", "verdict"), [
    ("test_accuracy(cnn) > test_accuracy(dense)", DIVERGED, "inconclusive"),  # the favoured side diverged
    ("test_accuracy(dense) < test_accuracy(cnn)", DIVERGED, "inconclusive"),
    ("test_accuracy(cnn) > 0.9", DIVERGED, "inconclusive"),
    ("test_accuracy(cnn) ~ 0.95 ± 0.01", DIVERGED, "inconclusive"),
    ("test_accuracy(cnn) < 0.96", DIVERGED, "supported"),  # a diverged run is no better
    ("test_accuracy(cnn) > 0.96", DIVERGED, "contradicted"),
    ("test_accuracy(cnn) ~ 0.99 ± 0.01", DIVERGED, "contradicted"),
    ("test_accuracy(cnn) > test_accuracy(dense)",
     {**DIVERGED, "cnn": [0.95, 0.951, 0.953, 0.952, 0.95], "dense": [0.9, 0.901, 0.902, 0.9, None]}, "supported"),
    ("test_accuracy(cnn) > test_accuracy(dense)",
     {**DIVERGED, "dense": [0.9, 0.901, 0.902, 0.9, None]}, "inconclusive"),
])  # fmt: skip
def test_a_diverged_run_speaks_against_what_it_could_not_do(rule, accuracies, verdict):
    row = decide(rule, **accuracies)
    assert row["verdict"] == verdict
    assert "1 seed with a diverged run left out" in row["reason"] and row["n_seeds"] == 4
    if verdict == "inconclusive":
        assert "in 1 seed a run diverged, which speaks against what the others show" in row["reason"]


def test_a_mean_over_classes_is_not_defined_where_a_class_has_no_test_image():
    def row(recall, support):
        per_class = {"recall": recall, "f1": recall, "precision": recall, "support": support}
        return tables._mean_over_classes({"per_class": per_class}, "recall")

    assert row([1.0, 0.5], [3, 2]) == 0.75
    assert row([1.0, None], [3, 0]) is None
    assert row([1.0, 0.0], [3, 0]) is None
    reason = decide("balanced_accuracy(cnn) > 0.5")["reason"]
    assert "balanced_accuracy of cnn, which is not defined where a class has no test image" in reason


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ("test_accuracy(cnn) > 0.9", True),
        ("0.9 < test_accuracy(cnn)", True),
        ("test_accuracy(cnn) ~ 0.95 ± 0.01", True),
        ("0.9 < test_accuracy(cnn) < 0.96", True),
        ("test_accuracy(cnn) > 0.95", False),  # it is no more than that
        ("test_accuracy(cnn) >= 0.95", True),
        ("balanced_accuracy(cnn) >= 0.5", True),
        ("balanced_accuracy(cnn) > 0.6", False),
        ("macro_f1(cnn) > 0.48", True),  # 2 × 0.95 / 1.95 / 2
        ("macro_f1(cnn) > 0.49", False),
        ("auroc(cnn) >= 0.5", True),
        ("auroc(cnn) > 0.51", False),
        ("test_loss(cnn) < 0.2", True),  # the entropy of 95 : 5 is 0.1985
        ("test_loss(cnn) < 0.198", False),
        ("test_loss(cnn) > 0.1", False),  # nothing that a guess could boast of
        ("test_accuracy(cnn) < 0.99", False),  # nothing that a guess could boast of
        ("test_accuracy(cnn) - test_accuracy(dense) > -0.5", False),
        ("val_accuracy(cnn) > 0.1", False),
        ("parameters(cnn) > 1", False),
    ],
)
def test_a_claim_that_a_constant_guess_meets_says_so(rule, met):
    runs = runs_with(load_study(MADE_UP_STUDY), {name: [0.96, 0.961, 0.962] for name in make_accuracies()})
    runs["balanced_accuracy"], runs["macro_f1"] = 0.7 + 0.01 * runs["seed"], 0.65 + 0.01 * runs["seed"]
    runs["auroc"], runs["test_loss"] = 0.8 + 0.01 * runs["seed"], 0.12 + 0.01 * runs["seed"]
    plan = planned(rule)
    guesses = {"digits": ConstantGuess.of({"healthy": 95, "ill": 5})}
    reason = tables.claims_table(runs, plan, 0.005, confirmatory_family(runs, plan, 0.005, guesses)).iloc[0]["reason"]
    text = "It is met by always answering “healthy” too, which is right for 95.00 % of the test images."
    if rule.startswith(("auroc", "test_loss")):
        text = "It is met too by giving every image the shares of the classes as probabilities: a loss of 0.1985 nats, "
    assert (text in reason) == met


def test_the_most_frequent_class_has_a_name_only_where_there_is_one():
    guess = ConstantGuess.of({"a": 10, "b": 10, "c": 0})
    assert (guess.label, guess.share, guess.classes) == ("", Fraction(1, 2), 3)
    assert ConstantGuess.of({"a": 0, "b": 0}) is None


@pytest.mark.parametrize(("rule", "accuracies"), [
    ("test_accuracy(cnn) > 0.5", [0.2, 0.9, 1.0]), ("test_accuracy(cnn) < 0.5", [0.0, 0.1, 0.6]),
    ("test_accuracy(cnn) - test_accuracy(dense) > 0", [1.0, 0.0, 1.0]), ("-test_accuracy(cnn) < 0", [0.1, 1.0, 1.0]),
    ("test_accuracy(cnn) + test_accuracy(dense) < 2", [0.1, 1.0, 1.0]),
])  # fmt: skip
def test_intervals_of_accuracies_end_where_accuracies_do(rule, accuracies):
    row = decide(rule, cnn=accuracies, dense=[0.0, 1.0, 0.9])
    low, high = limits(parse(rule).links[0].left)
    assert low <= row["ci_low"] < row["ci_high"] <= high
    assert low == row["ci_low"] or high == row["ci_high"]


def test_a_claim_is_decided_on_each_dataset_unless_it_names_one():
    config = {**MADE_UP_STUDY, "datasets": {"digits": {}, "other": {"kind": "digits"}}}
    rule = "test_accuracy(cnn) > 0.9"
    assert planned(rule, config).claims["it"].datasets == ("digits", "other")
    assert planned(rule, config, dataset="other").claims["it"].datasets == ("other",)
    across = planned("test_accuracy(cnn, digits) > test_accuracy(cnn, other)", config)
    assert across.claims["it"].datasets == ("digits, other",)
    study = load_study(config)
    runs = runs_with(study, make_accuracies())
    runs.loc[runs["dataset"] == "other", "test_accuracy"] -= np.tile([0.1, 0.11, 0.12], 3)
    frame = tables.claims_table(runs, planned(rule, config), 0.005)
    assert list(frame["dataset"]) == ["digits", "other"]
    assert list(frame["verdict"]) == ["supported", "contradicted"]
    row = tables.claims_table(runs, across, 0.005).iloc[0]
    assert (row["verdict"], row["dataset"]) == ("supported", "digits, other")


# ---------------------------------------------------------------------------------------------------------------------
# Multiplicity, and the error rate


RULES = {"wins": "test_accuracy(cnn) - test_accuracy(dense) > 4 pp", "size": f"parameters(cnn) == {CNN}"}


def test_measured_claims_join_the_family_and_exact_ones_do_not():
    def p_adjusted(**rules):
        entries = [{"id": name, "text": "t", "rule": rule} for name, rule in rules.items()]
        results = results_with(make_accuracies(**{CNN_5X5: [0.951, 0.9502, 0.9533]}), config={"claims": entries})
        return results.comparisons.set_index("experiment")["p_adjusted"], results.claims

    alone, none = p_adjusted()
    exact, table = p_adjusted(size=RULES["size"])
    assert none.empty and list(none.columns) == [*tables.CLAIM_COLUMNS, *columns.REGISTRATION]
    assert exact["convolution"] == alone["convolution"]
    assert table["p_adjusted"].isna().all()
    joined, table = p_adjusted(**RULES)
    smallest = alone["convolution"] / 2  # of two questions
    assert joined["convolution"] == pytest.approx(3 * smallest)
    row = table.set_index("claim").loc["wins"]
    assert row["p_value"] < row["p_adjusted"] == pytest.approx(2 * row["p_value"])


@pytest.mark.parametrize("rule", [
    "test_accuracy(cnn) > test_accuracy(dense)", "test_accuracy(cnn) - test_accuracy(dense) >= 0",
    "test_accuracy(dense) < test_accuracy(cnn)", "0 > test_accuracy(dense) - test_accuracy(cnn)",
])  # fmt: skip
def test_a_claim_that_repeats_a_contrast_counts_once_and_has_its_test(rule):
    config = {"claims": [{"id": "it", "text": "t", "rule": rule}]}
    values = make_accuracies(**{CNN_5X5: [0.951, 0.9502, 0.9533]})
    alone, results = results_with(values), results_with(values, config=config)
    contrast = results.comparisons.set_index("experiment").loc["convolution"]
    assert contrast["p_adjusted"] == alone.comparisons.set_index("experiment").loc["convolution"]["p_adjusted"]
    claim = results.claims.iloc[0]
    assert claim["verdict"] == "supported"
    assert (claim["p_value"], claim["p_adjusted"]) == (contrast["p_value"], contrast["p_adjusted"])
    assert "paired t p " in claim["reason"] and "one-sided" not in claim["reason"], "a contrast's test is two-sided"
    interval = sorted(abs(claim[name]) for name in ("ci_low", "ci_high"))
    assert interval == pytest.approx([contrast["ci_low"], contrast["ci_high"]])


def test_a_claim_about_the_size_of_a_contrast_has_its_model_and_counts_for_itself():
    """Of an experiment with three levels the residual variance is pooled, for the claim as for the contrast."""
    config = {
        "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]}},
        "claims": [{"id": "it", "text": "t", "rule": "test_accuracy(cnn-kernel_size-5x5) - test_accuracy(cnn) < 1 pp"}],
    }
    values = {"dense": [0.9, 0.901, 0.902], "cnn": [0.95, 0.951, 0.953], CNN_5X5: [0.951, 0.9502, 0.9533],
              "cnn-kernel_size-7x7": [0.9501, 0.9522, 0.9523]}  # fmt: skip
    results = results_with(values, config=config)
    claim = results.claims.iloc[0]
    table = pd.DataFrame(values)[["cnn", CNN_5X5, "cnn-kernel_size-7x7"]]
    contrast = compare_to_reference(table, "cnn")[CNN_5X5]
    assert contrast.df == 4
    assert claim["measured"] == pytest.approx(contrast.difference)
    assert claim["p_value"] == pytest.approx(stats.t.cdf((contrast.difference - 0.01) / contrast.se, 4))
    p_values = results.comparisons[["experiment", "p_value", "p_adjusted"]].set_index("experiment")
    smallest = p_values["p_value"].idxmin()
    assert p_values["p_adjusted"][smallest] == pytest.approx(3 * p_values["p_value"][smallest])


@pytest.mark.parametrize(("relation", "verdict"), [(">", "supported"), ("<", "contradicted")])
def test_a_verdict_needs_p_over_the_study_too(relation, verdict):
    plan = planned(f"test_accuracy(cnn) - test_accuracy(dense) {relation} 0")
    runs = runs_with(load_study(MADE_UP_STUDY), make_accuracies(cnn=[0.92, 0.93, 0.925]))
    result = decide_claim(plan.claims["it"], "digits", runs, plan.costs)
    assert result.verdict == verdict
    row = claim_row(result, 0.049)
    assert row["verdict"] == verdict
    assert "over the study p = .049): all of the interval is above 0." in row["reason"]
    row = claim_row(result, 0.05)
    assert row["verdict"] == "inconclusive"
    assert "all of the interval is above 0, but p over the study does not reach 5 %" in row["reason"]


def test_p_values_of_chains_and_approximate_values_are_those_of_their_tests():
    def p(rule):
        return decide(rule, cnn=NEAR)["p_value"]

    low, high = p("test_accuracy(cnn) > 0.94"), p("test_accuracy(cnn) < 0.957")
    assert low != high
    assert p("0.94 < test_accuracy(cnn) < 0.957") == pytest.approx(max(low, high))
    assert p("test_accuracy(cnn) ~ 0.9485 ± 0.0085") == pytest.approx(max(low, high))
    outside = p("test_accuracy(cnn) > 0.96")
    assert p("test_accuracy(cnn) ~ 0.97 ± 0.01") == pytest.approx(2 * outside)
    assert p("0.96 < test_accuracy(cnn) < 0.99") == pytest.approx(2 * outside)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_wrong_verdicts_are_as_rare_as_promised(seeds):
    """A claim that just fails to hold is supported in 2.5 % of studies, whatever variants share by their seeds."""
    rng, reps, wrong = np.random.default_rng(seeds), 1500, 0
    plan = planned("test_accuracy(cnn) / test_accuracy(dense) > 1", {**MADE_UP_STUDY, "seeds": seeds})
    claim, names = plan.claims["it"], ["cnn"] * seeds + ["dense"] * seeds
    frame = pd.DataFrame({"dataset": "digits", "variant": names, "seed": [*range(seeds)] * 2, "status": "finished"})
    for _ in range(reps):
        shared = rng.normal(0, 0.005, seeds)
        noise = rng.normal(0, 0.003, (2, seeds))
        runs = frame.assign(test_accuracy=(0.9 + shared + noise).ravel())
        wrong += decide_claim(claim, "digits", runs, plan.costs).verdict == "supported"
    low, high = stats.binom.interval(0.999, reps, 0.025)
    assert low <= wrong <= high


# ---------------------------------------------------------------------------------------------------------------------
# The table, and a whole study


def test_the_table_begins_with_the_agreed_columns():
    assert tables.CLAIM_COLUMNS[:7] == ["claim", "source", "published", "measured", "ci_low", "ci_high", "verdict"]
    assert {"dataset", "text", "rule", "n_seeds", "p_value", "p_adjusted", "reason"} <= set(tables.CLAIM_COLUMNS)


def test_the_sentence_holds_the_numbers_of_its_row():
    row = decide(
        "test_accuracy(cnn) - test_accuracy(dense) > 0.5 pp", cnn=[0.95, 0.94, 0.96], dense=[0.9, 0.891, 0.909]
    )
    assert row["unit"] == "pp"
    assert row["reason"] == (
        "test_accuracy(cnn) - test_accuracy(dense) is +5.00 pp (95 % CI +4.75 to +5.25; n = 3 seeds; one-sided "
        "p < .001): all of the interval is above +0.5 pp."
    )
    row = decide("test_accuracy(cnn) > test_accuracy(dense) - 1 %")
    assert row["quantity"] == "test_accuracy(cnn) − (test_accuracy(dense) - 1 %)"
    row = decide("test_accuracy(cnn) ~ 90.78 % ± 0.5 pp", cnn=NEAR)
    assert row["reason"].endswith("all of the interval is outside 90.78 % ± 0.5 pp.")
    row = decide("0.94 < test_accuracy(cnn) < 0.951", cnn=NEAR)
    assert row["reason"].startswith("Of 2 comparisons one that is open: test_accuracy(cnn) is 95.00 %")


def test_hostile_text_stays_in_its_cell(tmp_path):
    text = "a|b <script>\n\n& \\ $x$"
    plan = planned("parameters(cnn) > 1", text=text, source=text, published=text)
    frame = tables.claims_table(runs_with(load_study(MADE_UP_STUDY), make_accuracies()), plan, 0.005)
    table_files.write_table(frame, tmp_path / "claims", "Claims")
    assert len((tmp_path / "claims.md").read_text().splitlines()) == 3
    assert "<script>" not in (tmp_path / "claims.md").read_text()
    assert pd.read_csv(tmp_path / "claims.csv")["text"][0] == " ".join(text.split())
    assert "\n\n" not in (tmp_path / "claims.tex").read_text()


def test_the_grammar_imports_nothing_heavy():
    for module in (rule_parser, rules):
        assert "numpy" not in vars(module) and "pandas" not in vars(module)


@pytest.mark.slow
def test_claims_of_a_finished_study_are_decided_without_training(finished):
    entries = [
        {"id": "size", "text": "It has 680 parameters.", "rule": "parameters(cnn) > 100", "published": 680},
        {"id": "wins", "text": "Convolution wins.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"},
    ]
    finished.configure({**TINY, "claims": entries})
    assert finished.planned() == {"Compare all runs", "Write the report"}
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    frame = pd.read_csv(finished.folder / "results/tiny/compare/claims.csv")
    assert list(frame["claim"]) == ["size", "wins"]
    assert frame["verdict"][0] == "supported"
    assert "Convolution wins." in (finished.folder / "results/tiny/report/index.html").read_text()
