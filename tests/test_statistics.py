"""What the statistics promise: published numbers, independent implementations, limits, and the exact sentences."""

import ast
import itertools
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from convlab import statistics
from convlab.language.contrasts import comparison_sentence
from convlab.language.numbers import format_p
from convlab.statistics.blocks import Blocks
from convlab.statistics.comparisons import Contrast, compare_to_reference, verdict
from convlab.statistics.describe import SHARE, summarise
from convlab.statistics.dunnett import dunnett_critical, dunnett_p_value
from convlab.statistics.factors import factorial, trend
from convlab.statistics.images import crossed_difference
from convlab.statistics.mcnemar import mcnemar
from convlab.statistics.multiplicity import adjust_equivalences, adjust_family, false_discovery, family_size, holm

# Dunnett (1955), JASA 50, table 1: blood counts, millions of cells per cubic millimetre.
BLOOD_COUNTS = {
    "control": [7.40, 8.50, 7.20, 8.24, 9.84, 8.32],
    "drug A": [9.76, 8.80, 7.68, 9.36],
    "drug B": [12.80, 9.68, 12.16, 9.20, 10.55],
}
# Dunnett (1955), example with equal groups: breaking strength of a fabric after three chemical processes.
BREAKING_STRENGTH = {
    "standard": [55, 47, 48],
    "process 1": [55, 64, 64],
    "process 2": [55, 49, 52],
    "process 3": [50, 44, 41],
}
# Both as evaluated with R, multcomp::glht(..., mcp(group = "Dunnett")); the numbers are recorded in SciPy's own test
# suite (scipy/stats/tests/test_multicomp.py, SciPy 1.17): two-sided p, lower and upper limit at 95 %. R integrates by
# quasi-Monte Carlo with a tolerance of 1e-3, so from three contrasts on its fourth decimal is not to be relied on.
R_BLOOD_COUNTS = {
    "drug A": (0.6201020, -1.2564116462124, 2.5564116462124),
    "drug B": (0.0058254, 0.8396273539789, 4.4163726460211),
}
R_BREAKING_STRENGTH = {
    "process 1": (0.036407, 0.7529028025053, 21.2470971974947),
    "process 2": (0.896539, -8.2470971974947, 12.2470971974947),
    "process 3": (0.409295, -15.2470971974947, 5.2470971974947),
}


def runs(n, *, mean=0.9, sd=0.004, seed=0):
    """n values whose sample mean and sample SD are exactly ``mean`` and ``sd``."""
    x = np.random.default_rng(seed).normal(size=n)
    x = (x - x.mean()) / x.std(ddof=1)
    return mean + sd * x


def by_seed(groups):
    """Values of each variant as the table of one row for each seed; shorter groups lack the last seeds."""
    return pd.DataFrame({name: pd.Series(list(group), dtype=float) for name, group in groups.items()})


def against(groups, reference, **options):
    return compare_to_reference(by_seed(groups), reference, **options)


def contrast(**changes):
    """The contrast of the protocol's example sentence."""
    base = Contrast(
        variant="k5",
        reference="k3",
        n_variant=5,
        n_reference=5,
        difference=0.0042,
        ci_low=-0.0010,
        ci_high=0.0094,
        ci90_low=0.0001,
        ci90_high=0.0083,
        p_value=0.11,
        method="Dunnett, seeds as blocks",
        se=0.0019,
        df=8.0,
        detectable=0.0084,
        seeds_to_settle=19,
        n_seeds=5,
    )
    return replace(base, **changes)


LABELS = {"variant_label": "5×5", "reference_label": "3×3"}


# --- the module ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["blocks", "describe", "dunnett", "power", "factors", "images", "mcnemar", "multiplicity"]
)
def test_a_module_of_formulas_imports_nothing_beyond_numpy_scipy_and_the_standard_library(module):
    tree = ast.parse((Path(statistics.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if not name.startswith("convlab.statistics.")
    }
    assert imported <= {"numpy", "scipy"} | sys.stdlib_module_names


# --- summarise -------------------------------------------------------------------------------------------------------


def test_summary_has_ddof_one_and_the_t_interval_of_scipy():
    values = [0.901, 0.912, 0.907, 0.899, 0.915]
    summary = summarise(values, confidence=0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert summary.sd == pytest.approx(np.std(values, ddof=1))
    assert summary.se == pytest.approx(stats.sem(values))
    assert (summary.ci_low, summary.ci_high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (0, None, None, None, None, None, 0)),
        ([math.nan], (0, None, None, None, None, None, 1)),
        ([0.9], (1, 0.9, None, None, None, None, 0)),
        ([0.9, math.inf], (1, 0.9, None, None, None, None, 1)),
        ([0.9, 0.8 + 0.1, 0.9], (3, pytest.approx(0.9), 0.0, 0.0, None, None, 0)),
    ],
)
def test_summary_of_too_little_data_has_none_where_nothing_is_defined(values, expected):
    assert tuple(asdict(summarise(values)).values()) == expected


def test_two_runs_are_described_by_mean_and_sd_without_an_interval():
    summary = summarise([0.90, 0.92])
    assert (summary.n, summary.ci_low, summary.ci_high) == (2, None, None)
    assert (summary.mean, summary.sd) == pytest.approx((0.91, 0.02 / math.sqrt(2)))


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=3, max_size=6))
def test_the_interval_of_shares_stays_among_shares(values):
    free, summary = summarise(values), summarise(values, limits=SHARE)
    assert (summary.mean, summary.sd) == (free.mean, free.sd)
    if summary.ci_low is not None:
        assert 0 <= summary.ci_low <= summary.mean <= summary.ci_high <= 1
        assert (summary.ci_low, summary.ci_high) == (max(free.ci_low, 0), min(free.ci_high, 1))


# --- Dunnett ---------------------------------------------------------------------------------------------------------


def unpaired(groups, reference):
    """Dunnett's test of independent groups: p value, difference and half width of the interval of each variant."""
    names = [name for name in groups if name != reference]
    sizes, n_reference = tuple(len(groups[name]) for name in names), len(groups[reference])
    df = sum(sizes) + n_reference - len(groups)
    pooled = math.sqrt(sum((len(group) - 1) * np.var(group, ddof=1) for group in groups.values()) / df)
    results = {}
    for name, n in zip(names, sizes, strict=True):
        difference, se = np.mean(groups[name]) - np.mean(groups[reference]), pooled * math.sqrt(1 / n + 1 / n_reference)
        half = {level: dunnett_critical(sizes, n_reference, df, level) * se for level in (0.95, 0.9)}
        results[name] = dunnett_p_value(difference / se, sizes, n_reference, df), difference, half
    return results


@pytest.mark.parametrize(
    ("groups", "reference", "published"),
    [(BLOOD_COUNTS, "control", R_BLOOD_COUNTS), (BREAKING_STRENGTH, "standard", R_BREAKING_STRENGTH)],
)
def test_dunnetts_own_examples_give_the_published_p_values_and_intervals(groups, reference, published):
    results = unpaired(groups, reference)
    assert list(results) == list(published)
    for name, (p_value, low, high) in published.items():
        own_p, difference, half = results[name]
        assert own_p == pytest.approx(p_value, abs=2e-6 if len(published) == 2 else 3e-4)
        assert (difference - half[0.95], difference + half[0.95]) == pytest.approx((low, high), abs=2e-3)


@pytest.mark.parametrize(
    ("df", "published"),
    [
        (5, [2.57, 3.03, 3.29, 3.48, 3.62]),
        (10, [2.23, 2.57, 2.76, 2.89, 2.99]),
        (20, [2.09, 2.38, 2.54, 2.65, 2.73]),
        (60, [2.00, 2.27, 2.41, 2.51, 2.58]),
    ],
)
def test_critical_values_are_those_of_dunnetts_table(df, published):
    """Dunnett (1964), Biometrics 20, two-sided 5 %, k = 1..5 contrasts; the table rounds in the second decimal."""
    assert [dunnett_critical((7,) * k, 7, df) for k in range(1, 6)] == pytest.approx(published, abs=0.0061)


@pytest.mark.parametrize("sizes", [(3, 3), (5, 5, 5, 5, 5), (3, 10, 5), (10, 3)])
def test_p_values_and_intervals_agree_with_scipys_dunnett(sizes):
    *n_variants, n_reference = sizes
    rng = np.random.default_rng(len(sizes))
    groups = {f"v{i}": rng.normal(0.90 + 0.004 * i, 0.005, n) for i, n in enumerate(n_variants)}
    groups["reference"] = rng.normal(0.90, 0.005, n_reference)
    results = unpaired(groups, "reference")
    samples = [groups[name] for name in results]
    expected = stats.dunnett(*samples, control=groups["reference"], rng=np.random.default_rng(0))
    p_values, _, halves = zip(*results.values(), strict=True)
    assert p_values == pytest.approx(expected.pvalue, abs=1e-3)
    for level in (0.95, 0.9):
        interval = expected.confidence_interval(level)
        assert [half[level] for half in halves] == pytest.approx((interval.high - interval.low) / 2, rel=5e-3)


def test_a_dunnett_p_value_is_exact_to_six_digits():
    rho = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    t = [3.09073] * 3
    inside = stats.multivariate_t(shape=rho, df=8).cdf(t, lower_limit=[-x for x in t], maxpts=10**6, random_state=0)
    assert dunnett_p_value(3.09073, (3, 3, 3), 3, 8) == pytest.approx(1 - inside, abs=1e-6)


def test_one_contrast_is_students_paired_t_test():
    groups = {"a": runs(5, mean=0.90), "b": runs(5, mean=0.907, seed=1)}
    c = against(groups, "a")["b"]
    student = stats.ttest_rel(groups["b"], groups["a"])
    interval = student.confidence_interval(0.95)
    assert (c.method, c.df, c.n_seeds) == ("paired t", 4, 5)
    assert c.p_value == pytest.approx(student.pvalue, rel=1e-9)
    assert (c.ci_low, c.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_seeds_are_blocks_what_they_share_changes_no_difference_interval_or_p_value():
    groups = {str(i): runs(5, mean=0.9 + 0.002 * i, seed=i) for i in range(4)}
    shared = np.array([0.01, -0.02, 0.03, 0.0, -0.01])
    for plain, shifted in zip(
        against(groups, "0").values(),
        against({name: group + shared for name, group in groups.items()}, "0").values(),
        strict=True,
    ):
        assert shifted.method == plain.method
        for name, value in asdict(plain).items():
            if isinstance(value, float):
                assert getattr(shifted, name) == pytest.approx(value, rel=1e-9), name


def test_the_residual_variance_is_that_of_the_two_way_layout():
    """Of R: summary(lm(value ~ variant + factor(seed)))."""
    table = by_seed({"a": [1, 2, 4], "b": [2, 4, 5], "c": [5, 5, 9]})
    contrasts = compare_to_reference(table, "a")
    assert {c.df for c in contrasts.values()} == {4}
    centred = table.to_numpy() - table.to_numpy().mean(axis=1, keepdims=True)
    mean_square = ((centred - centred.mean(axis=0)) ** 2).sum() / 4
    assert contrasts["b"].se == pytest.approx(math.sqrt(2 * mean_square / 3))
    assert contrasts["c"].p_value == pytest.approx(dunnett_p_value((19 - 7) / 3 / contrasts["c"].se, (3, 3), 3, 4))


def test_missing_runs_are_fitted_by_least_squares():
    table = by_seed({"a": runs(6), "b": runs(6, mean=0.91, seed=1), "c": runs(6, mean=0.905, seed=2)})
    table.loc[0, "b"] = table.loc[3, "c"] = table.loc[4, "a"] = math.nan
    contrasts = compare_to_reference(table, "a")
    cells = [(seed, name) for seed in table.index for name in "abc" if not math.isnan(table.loc[seed, name])]
    design = np.array([[s == seed for s in table.index] + [v == name for v in "bc"] for seed, name in cells], float)
    values = np.array([table.loc[cell] for cell in cells])
    effects, residual = np.linalg.lstsq(design, values)[:2]
    df = len(cells) - 8
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * residual[0] / df)
    for index, name in ((6, "b"), (7, "c")):
        c = contrasts[name]
        assert (c.difference, c.se, c.df) == pytest.approx((effects[index], errors[index], df))
        single = 2 * stats.t.sf(abs(c.difference) / c.se, df)
        assert c.p_value == pytest.approx(1 - (1 - single) ** 2, rel=1e-9), "Sidak's bound for two contrasts"
    assert (contrasts["b"].n_seeds, contrasts["b"].n_variant, contrasts["b"].n_missing_reference) == (4, 5, 1)


def test_the_interval_excludes_zero_exactly_when_p_is_below_the_level():
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(200):
        groups = {str(i): rng.normal(0.9, 0.005, 5) + 0.003 * i for i in range(4)}
        for c in against(groups, "0").values():
            outside = c.ci_low > 0 or c.ci_high < 0
            seen.add((c.method, outside))
            assert (c.p_value < 0.05) == outside or (c.method == "paired t with Holm" and not outside)
    assert len(seen) == 4


def test_a_dunnett_p_value_lies_between_students_and_bonferronis():
    for t in (0.0, 0.5, 2.0, 4.0, 12.0, 60.0):
        single = 2 * stats.t.sf(t, 8)
        assert single <= dunnett_p_value(t, (3, 3, 3), 3, 8) <= min(1.0, 3 * single)
    assert dunnett_p_value(0.0, (3, 3, 3), 3, 8) == 1.0


def test_results_are_the_same_bytes_on_every_call():
    groups = {str(i): runs(5, mean=0.9 + 0.001 * i, seed=i) for i in range(4)}
    first = against(groups, "0")
    assert against(groups, "0") == first
    values = {name: group.tolist() for name, group in groups.items()}
    elsewhere = f"from {compare_to_reference.__module__} import compare_to_reference; import pandas as pd\n"
    elsewhere += f"print(compare_to_reference(pd.DataFrame({values!r}), '0'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", elsewhere], env=environment, capture_output=True, text=True)
    assert result.stdout == f"{first}\n", "also in a process that has computed nothing before"


# --- differences that vary unequally ---------------------------------------------------------------------------------


def unequal(n):
    """Three variants of which the last varies much more than the others."""
    return {
        "a": runs(n, sd=0.001),
        "b": runs(n, mean=0.902, sd=0.001, seed=1),
        "c": runs(n, mean=0.915, sd=0.02, seed=2),
    }


def test_a_difference_that_varies_more_than_the_pooled_residuals_is_not_pooled():
    equal = {str(i): runs(6, sd=0.002, seed=i) for i in range(3)}
    assert {c.method for c in against(equal, "0").values()} == {"Dunnett, seeds as blocks"}
    assert {c.method for c in against(unequal(6), "a").values()} == {"paired t with Holm"}


def test_the_screen_for_unequal_variances_trips_at_its_level_where_they_are_equal():
    rng = np.random.default_rng(2)
    reps = 4000
    for variants, seeds in ((3, 3), (3, 10), (6, 5)):
        values = rng.normal(0, 1, (reps, seeds, 1)) + rng.normal(0, 1, (reps, seeds, variants))
        low = np.mean([Blocks(table).p_larger_variance() < 0.05 for table in values])
        assert 0.03 < low <= 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / reps)


def test_differences_that_are_not_pooled_have_paired_t_tests_holms_p_and_bonferroni_intervals():
    groups = unequal(6)
    contrasts = against(groups, "a")
    paired = {name: stats.ttest_rel(groups[name], groups["a"]) for name in "bc"}
    adjusted = dict(zip("bc", holm([paired[name].pvalue for name in "bc"]), strict=True))
    for name in "bc":
        c, expected = contrasts[name], paired[name].confidence_interval(1 - 0.05 / 2)
        expected90 = paired[name].confidence_interval(1 - 0.10 / 2)
        assert c.p_value == pytest.approx(adjusted[name], rel=1e-9)
        assert (c.ci_low, c.ci_high) == pytest.approx((expected.low, expected.high), rel=1e-9)
        assert (c.ci90_low, c.ci90_high) == pytest.approx((expected90.low, expected90.high), rel=1e-9)
        assert (c.df, c.se) == (5, pytest.approx(stats.sem(groups[name] - groups["a"])))


# --- degenerate data -------------------------------------------------------------------------------------------------


def test_runs_that_do_not_vary_support_no_inference():
    c = against({"a": [1.0] * 3, "b": [0.9, 0.8 + 0.1, 0.9]}, "a")["b"]
    assert c.difference == pytest.approx(-0.1)
    assert (c.method, c.ci_low, c.ci90_low, c.p_value, c.detectable, c.seeds_to_settle) == ("none", *[None] * 5)
    assert verdict(c, c.p_value) == "inconclusive"


def test_runs_that_differ_by_the_same_in_every_seed_support_no_inference():
    """Their seeds vary, their difference does not: identical pairs give no estimate of its variance."""
    values = runs(5)
    assert against({"a": values, "b": values + 0.01}, "a")["b"].method == "none"


def test_a_pair_that_does_not_vary_is_left_out_while_a_varying_third_group_is_tested():
    groups = {"a": [0.5] * 4, "b": [0.75] * 4, "c": runs(4, mean=0.505)}
    contrasts = against(groups, "a")
    assert contrasts["b"].method == "none"
    assert contrasts["c"].method == "paired t with Holm"
    # One testable contrast, nothing to adjust for: the pairs with a constant are a single sample.
    assert contrasts["c"].p_value == pytest.approx(stats.ttest_1samp(groups["c"], 0.5).pvalue)


def test_two_runs_are_a_smoke_test_that_shows_the_difference_and_infers_nothing():
    c = against({"a": [0.90, 0.91], "b": [0.99, 0.995, 0.993]}, "a")["b"]
    assert c.difference == pytest.approx(0.0875), "of the two seeds that both have"
    assert (c.method, c.p_value, c.ci_low, c.n_seeds) == ("none", None, None, 2)
    assert verdict(c, 0.0001) == "inconclusive"


def test_diverged_runs_are_dropped_and_counted():
    full = {"a": runs(5), "b": runs(5, mean=0.91, seed=1)}
    with_missing = {"a": [*full["a"], 0.9, math.nan], "b": [*full["b"], math.inf, 0.91]}
    expected, c = (against(groups, "a")["b"] for groups in (full, with_missing))
    assert (c.difference, c.p_value) == pytest.approx((expected.difference, expected.p_value))
    assert (c.n_seeds, c.n_variant, c.n_missing_variant, c.n_missing_reference) == (5, 6, 1, 1)


def test_a_group_too_small_to_infer_from_does_not_weaken_the_other_contrasts():
    groups = {"a": runs(5), "b": runs(5, mean=0.91, seed=1), "c": [0.5, 0.99]}
    contrasts = against(groups, "a")
    assert contrasts["b"] == against({"a": groups["a"], "b": groups["b"]}, "a")["b"]
    assert contrasts["c"].method == "none"


def test_a_variant_without_any_finished_run_has_no_difference():
    c = against({"a": runs(3), "b": [math.nan] * 3}, "a")["b"]
    assert (c.n_variant, c.n_missing_variant, c.difference, c.method) == (0, 3, None, "none")


def test_sides_that_share_no_seed_have_the_difference_of_their_means_and_nothing_else():
    c = against({"a": [0.9, 0.91, 0.92, *[math.nan] * 3], "b": [*[math.nan] * 3, 0.93, 0.94, 0.95]}, "a")["b"]
    assert (c.difference, c.n_seeds, c.method) == (pytest.approx(0.03), 0, "none")


@pytest.mark.parametrize(
    "options", [{"reference": "z"}, {"confidence": 1.0}, {"power": 0.0}, {"power": 0.04}, {"rope": -0.1}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=r"reference|confidence|power|rope"):
        against({"a": runs(3), "b": runs(3)}, **{"reference": "a", **options})


# --- planning --------------------------------------------------------------------------------------------------------


def residual_table(variants, seeds, sd, differences=()):
    """Values whose residual SD in the model of seeds and variants is exactly ``sd``, and whose differences vary alike.

    Args:
        differences: of the variants to the first one, 0 where there are fewer.
    """
    rng = np.random.default_rng(variants * seeds)
    while True:
        noise = rng.normal(size=(seeds, variants))
        noise = noise - noise.mean(axis=0) - noise.mean(axis=1, keepdims=True) + noise.mean()
        if Blocks(noise + 0.9).p_larger_variance() > 0.5:
            break
    noise *= sd / math.sqrt((noise**2).sum() / ((seeds - 1) * (variants - 1)))
    means = np.full(variants, 0.9)
    means[1 : 1 + len(differences)] += differences
    return {str(i): column for i, column in enumerate((noise + means).T)}


@pytest.mark.parametrize("sd", [0.0005, 0.002, 0.005])
@pytest.mark.parametrize(("k", "n", "family"), [(1, 3, 1), (1, 10, 12), (3, 5, 7)])
def test_the_detectable_difference_is_called_better_with_power_080(k, n, family, sd):
    """Every p against 5 % / family, and the estimate outside of the ROPE: the verdict itself."""
    c = against(residual_table(k + 1, n, sd), "0", family=family)["1"]
    reps = 20_000
    y = np.random.default_rng(k * n).normal(0.9, sd, (reps, k + 1, n)) + np.random.default_rng(1).normal(0, 0.01, n)
    y[:, 1] += c.detectable
    centred = y - y.mean(axis=1, keepdims=True)
    residual = np.sqrt(((centred - centred.mean(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2)) / (k * (n - 1)))
    difference = y[:, 1].mean(axis=1) - y[:, 0].mean(axis=1)
    critical = dunnett_critical((n,) * k, n, k * (n - 1), 1 - 0.05 / family)
    power = np.mean((difference / (residual * math.sqrt(2 / n)) > critical) & (difference > c.rope))
    assert power == pytest.approx(0.8, abs=3.3 * math.sqrt(0.8 * 0.2 / reps))


@pytest.mark.parametrize("family", [1, 7])
def test_the_detectable_difference_solves_scipys_noncentral_t(family):
    c = against({"a": runs(5), "b": runs(5, seed=1)}, "a", power=0.9, rope=0.0, family=family)["b"]
    critical = stats.t.isf(0.025 / family, 4)
    assert stats.nct.sf(critical, 4, c.detectable / c.se) == pytest.approx(0.9, abs=1e-6)


def test_a_larger_family_makes_everything_harder_to_find():
    groups = residual_table(3, 5, 0.003, (0.004, 0.008))
    by_family_size = [against(groups, "0", family=size)["2"] for size in (1, 2, 7, 7.5, 40)]
    for low, high in itertools.pairwise(by_family_size):
        assert low.detectable < high.detectable
        assert low.seeds_to_settle <= high.seeds_to_settle
        assert (low.p_value, low.p_equivalence, low.ci_low) == (high.p_value, high.p_equivalence, high.ci_low)
    assert by_family_size[0].seeds_to_settle < by_family_size[-1].seeds_to_settle


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("difference", [0.0015, 0.003, 0.008, 0.014])
def test_seeds_to_settle_is_the_smallest_n_with_the_power_of_the_noncentral_t(difference, k):
    """With a ROPE of zero, only a significant difference of the right sign settles the matter."""
    c = against(residual_table(k + 1, 5, 0.004, (difference,)), "0", rope=0.0)["1"]

    def power(n):
        df = k * (n - 1)
        return stats.nct.sf(dunnett_critical((n,) * k, n, df), df, difference / (0.004 * math.sqrt(2 / n)))

    enough = [n for n in range(3, 201) if power(n) >= 0.8]
    assert c.seeds_to_settle == enough[0]


@pytest.mark.parametrize("difference", [0.0, 0.001, -0.003])
def test_seeds_to_settle_an_equivalence_is_the_smallest_n_with_the_power_of_two_one_sided_tests(difference):
    """Power of the two one-sided t tests at 5 % (Schuirmann 1987), integrated over the SD by scipy.integrate."""
    rope = 0.005

    def power(n):
        df, se = n - 1, 0.004 * math.sqrt(2 / n)
        critical = stats.t.isf(0.05, df)

        def inside(chi):
            room = rope - critical * se * chi / math.sqrt(df)
            share = special.ndtr((room - difference) / se) - special.ndtr((-room - difference) / se)
            return max(share, 0) * stats.chi.pdf(chi, df)

        return integrate.quad(inside, 0, math.sqrt(df) + 10, points=[math.sqrt(df)])[0]

    n = against(residual_table(2, 5, 0.004, (difference,)), "0", rope=rope)["1"].seeds_to_settle
    assert power(n - 1) < 0.8 <= power(n)


@pytest.mark.slow
@pytest.mark.parametrize(("difference", "right"), [(0.001, "equivalent"), (0.009, "better"), (-0.009, "worse")])
def test_with_seeds_to_settle_seeds_four_studies_in_five_reach_the_right_verdict(difference, right):
    n = against(residual_table(3, 4, 0.004, (difference,)), "0")["1"].seeds_to_settle
    rng = np.random.default_rng(8)
    reps, share = 800, {}
    for seeds in (n, max(3, round(0.6 * n))):
        reached = 0
        for _ in range(reps):
            y = rng.normal(0.9, 0.004, (seeds, 3)) + rng.normal(0, 0.01, (seeds, 1))
            y[:, 1] += difference
            c = compare_to_reference(pd.DataFrame(y, columns=list("012")), "0")["1"]
            reached += verdict(c, c.p_value, c.p_equivalence) == right
        share[seeds] = reached / reps
    # The screen for unequal variances, at its level, leaves some studies to the weaker separate tests.
    assert 0.76 < share[n] < 0.93
    assert min(share.values()) < 0.75


def test_seeds_to_settle_grows_towards_the_edge_of_the_rope_and_ends_in_none():
    def seeds(difference):
        return against(residual_table(2, 5, 0.004, (difference,)), "0")["1"].seeds_to_settle

    inside = [seeds(d) for d in (0.0, 0.001, 0.002, 0.003)]
    outside = [seeds(d) for d in (0.012, 0.009, 0.007, 0.0065)]
    assert inside == sorted(inside)
    assert outside == sorted(outside)
    assert seeds(0.0049) is None
    assert seeds(0.0051) is None


# --- Page ------------------------------------------------------------------------------------------------------------


def test_pages_test_gives_the_published_statistic_of_the_teaching_methods():
    """Statext example, as worked in SciPy's documentation: L = 133.5, exact one-sided p = .00182, with ties."""
    table = [
        [3, 4, 3],
        [2, 2, 4],
        [3, 3, 5],
        [1, 3, 2],
        [2, 3, 2],
        [2, 4, 5],
        [1, 2, 4],
        [3, 4, 4],
        [2, 4, 5],
        [1, 3, 4],
    ]
    result = trend([1, 2, 3], table, alternative="increasing")
    assert (result.statistic, result.method, result.n_blocks) == (133.5, "exact", 10)
    assert result.p_value == pytest.approx(0.0018191161948127822, rel=1e-9)
    assert trend([1, 2, 3], table).p_value == pytest.approx(2 * 0.0018191161948127822, rel=1e-9)
    assert trend([1, 2, 3], table, alternative="decreasing").p_value > 0.99


def test_pages_test_reproduces_hollander_and_wolfes_cotton_fibres():
    """Hollander & Wolfe, Nonparametric Statistical Methods, example 7.2 (in R: NSM3::pPage): strength against potash.

    L = 158 for the predicted order of *less* potash, stronger fibre; Page's table for 5 treatments and 3 blocks has
    155 at 1 % and 160 at 0.1 %.
    """
    potash = [144, 108, 72, 54, 36]
    strength = [[7.46, 7.17, 7.76, 8.14, 7.63], [7.68, 7.57, 7.73, 8.15, 8.00], [7.21, 7.80, 7.74, 7.87, 7.93]]
    result = trend(potash, strength, alternative="decreasing")
    # L for the increasing order of the levels mirrors 158 about its null expectation n k (k + 1)^2 / 4 = 135.
    assert result.statistic == 2 * 135 - 158
    assert 0.001 < result.p_value < 0.01
    assert result.slope < 0


def test_the_slope_per_doubling_is_that_of_each_block_with_a_t_interval_over_blocks():
    levels = [16, 8, 32]
    slopes = np.array([0.010, 0.012, 0.017])
    outcomes = 0.8 + slopes[:, None] * np.log2(levels) + np.array([[0.0], [0.05], [-0.05]])
    result = trend(levels, outcomes)
    expected = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert result.slope_per == "doubling"
    assert result.slope == pytest.approx(slopes.mean())
    assert (result.ci_low, result.ci_high) == pytest.approx((expected.low, expected.high))


def test_a_level_of_zero_gives_the_slope_per_unit():
    result = trend([0.0, 0.25, 0.5], [[0.9, 0.88, 0.86], [0.8, 0.775, 0.75]])
    assert result.slope_per == "unit"
    assert result.slope == pytest.approx(-0.09)


def test_incomplete_blocks_are_dropped_and_counted():
    outcomes = [[0.1, 0.2, 0.3], [0.2, math.nan, 0.4], [0.1, 0.25, 0.2]]
    result = trend([1, 2, 4], outcomes)
    assert (result.n_blocks, result.n_incomplete) == (2, 1)
    assert replace(result, n_incomplete=0) == trend([1, 2, 4], [outcomes[0], outcomes[2]])


RADAR = np.array(
    [  # operators (blocks) x ground clutter (low, medium, high) x filter type
        [[90, 86], [102, 87], [114, 93]],
        [[96, 84], [106, 90], [112, 91]],
        [[100, 92], [105, 97], [108, 95]],
        [[92, 81], [96, 80], [98, 83]],
    ]
)


def test_two_factors_agree_with_a_published_example():
    # Montgomery, Design and Analysis of Experiments, 8th ed., example 5.6 and table 5.21.
    result = factorial(RADAR)
    assert (result.first.df, result.second.df, result.interaction.df) == (2, 1, 2)
    assert result.interaction.df_residual == 15
    assert result.first.f_statistic == pytest.approx(15.13, abs=0.005)
    assert result.second.f_statistic == pytest.approx(96.19, abs=0.005)
    assert result.interaction.f_statistic == pytest.approx(3.48, abs=0.005)
    assert result.first.p_value == pytest.approx(0.0003, abs=0.0001)
    assert 0.05 < result.interaction.p_value < 0.06


def test_the_interaction_of_two_by_two_levels_is_the_difference_of_differences():
    outcomes = RADAR[:, :2]
    result = factorial(outcomes)
    gains = outcomes[:, :, 1] - outcomes[:, :, 0]
    assert result.contrast == pytest.approx((gains[:, 1] - gains[:, 0]).mean())
    assert result.ci_low < result.contrast < result.ci_high
    # One degree of freedom: F is the square of t, so that the interval excludes 0 exactly where p < 0.05.
    assert (result.ci_low > 0 or result.ci_high < 0) == (result.interaction.p_value < 0.05)
    half = (result.ci_high - result.ci_low) / 2
    t = result.contrast / half * stats.t.ppf(0.975, result.interaction.df_residual)
    assert t**2 == pytest.approx(result.interaction.f_statistic)


def test_two_factors_leave_out_incomplete_seeds_and_infer_nothing_below_three():
    lacking = RADAR.astype(float)
    lacking[0, 1, 1] = np.nan
    result = factorial(lacking)
    assert (result.n_blocks, result.n_incomplete) == (3, 1)
    assert factorial(lacking[:3]).interaction is None


def test_equal_outcomes_have_nothing_to_test_the_effects_against():
    result = factorial(np.full((3, 2, 2), 0.9) + np.array([[0.0, 0.1], [0.2, 0.3]]))
    assert result.interaction.p_value is None
    assert result.contrast == pytest.approx(0)


@pytest.mark.parametrize(
    ("levels", "outcomes"),
    [([1, 2], [[0.1, 0.2]] * 5), ([1, 2, 4], [[0.1, math.nan, 0.3]] * 3)],
)
def test_too_few_levels_or_no_block_give_no_trend_and_say_so(levels, outcomes):
    result = trend(levels, outcomes)
    assert (result.statistic, result.p_value, result.slope, result.ci_low) == (None, None, None, None)
    assert "3 levels and a complete block" in result.note


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_trend_of_fewer_than_three_seeds_is_described_and_not_tested(blocks):
    result = trend([1, 2, 4, 8, 16], [[0.10, 0.11, 0.12, 0.13, 0.14], [0.10, 0.1101, 0.12, 0.13, 0.14]][:blocks])
    assert result.slope == pytest.approx(0.01, abs=1e-3)
    assert (result.statistic, result.p_value, result.ci_low, result.ci_high) == (None, None, None, None)
    assert result.note == f"n = {blocks} is a smoke test"


def test_outcomes_that_never_change_show_no_trend_and_no_interval():
    result = trend([1, 2, 4], np.full((4, 3), 0.9))
    assert (result.p_value, result.slope, result.ci_low) == (1.0, pytest.approx(0.0, abs=1e-12), None)
    assert "no interval" in result.note


@pytest.mark.parametrize(
    ("levels", "outcomes", "options"),
    [
        ([1, 1, 2], np.zeros((3, 3)), {}),
        ([1, 2, 4], np.zeros((3, 4)), {}),
        ([1, 2, 4], np.zeros((3, 3)), {"alternative": "up"}),
    ],
)
def test_a_malformed_trend_is_refused(levels, outcomes, options):
    with pytest.raises(ValueError, match=r"levels|shape|alternative"):
        trend(levels, outcomes, **options)


# --- crossed model ---------------------------------------------------------------------------------------------------


def test_the_crossed_variance_is_unbiased_where_the_floor_does_not_bind():
    """Brute force: the estimate's mean is the variance of the grand mean over fresh seeds and fresh images."""
    rng = np.random.default_rng(3)
    n_seeds, n_images, reps = 5, 60, 3000
    sd_seed, sd_image, sd_residual = 0.05, 0.25, 0.3
    results = [
        crossed_difference(
            rng.normal(0, sd_seed, (n_seeds, 1))
            + rng.normal(0, sd_image, (1, n_images))
            + rng.normal(0, sd_residual, (n_seeds, n_images)),
            np.zeros((n_seeds, n_images)),
        )
        for _ in range(reps)
    ]
    truth = sd_seed**2 / n_seeds + sd_image**2 / n_images + sd_residual**2 / (n_seeds * n_images)
    assert np.mean([r.se**2 for r in results]) == pytest.approx(truth, rel=0.04)
    assert np.var([r.difference for r in results]) == pytest.approx(truth, rel=0.12)
    assert np.mean([r.ci_low <= 0 <= r.ci_high for r in results]) > 0.93


def test_the_crossed_variance_is_the_formula_of_the_protocol():
    rng = np.random.default_rng(0)
    ability = np.array([[0.6], [0.7], [0.9], [1.0]])
    a, b = rng.random((4, 50)) < ability, rng.random((4, 50)) < np.linspace(0.1, 1, 50)
    d = a.astype(float) - b
    residuals = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0, keepdims=True) + d.mean()
    terms = [
        d.mean(axis=1).var(ddof=1) / 4,
        d.mean(axis=0).var(ddof=1) / 50,
        (residuals**2).sum() / (3 * 49) / (4 * 50),
    ]
    variance = terms[0] + terms[1] - terms[2]
    assert variance > max(terms[:2])  # the floor does not bind here
    result = crossed_difference(a, b)
    assert result.difference == pytest.approx(a.mean() - b.mean())
    assert result.se**2 == pytest.approx(variance)
    df = variance**2 / (terms[0] ** 2 / 3 + terms[1] ** 2 / 49 + terms[2] ** 2 / (3 * 49))
    assert result.df == pytest.approx(df)
    assert result.ci_high - result.difference == pytest.approx(stats.t.isf(0.025, df) * math.sqrt(variance))


@pytest.mark.parametrize("axis", [0, 1])
def test_with_one_source_of_variation_the_crossed_model_is_the_one_sample_t_test(axis):
    """Seeds that all agree leave the images (axis 0 repeated); images that all agree leave the seeds."""
    rng = np.random.default_rng(axis)
    effect = rng.normal(0.1, 0.3, 40 if axis == 0 else 4)
    d = np.repeat(np.expand_dims(effect, axis), 4 if axis == 0 else 40, axis=axis)
    result, expected = crossed_difference(d, np.zeros_like(d)), stats.ttest_1samp(effect, 0)
    interval = expected.confidence_interval(0.95)
    assert (result.n_seeds, result.n_images) == (4, 40)
    assert result.df == pytest.approx(len(effect) - 1)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.ci_low, result.ci_high) == pytest.approx((interval.low, interval.high))


def test_the_crossed_variance_is_never_below_either_of_its_two_terms():
    rng = np.random.default_rng(1)
    for _ in range(50):
        d = rng.normal(size=(3, 20))
        result = crossed_difference(d, np.zeros_like(d))
        floor = max(d.mean(axis=1).var(ddof=1) / 3, d.mean(axis=0).var(ddof=1) / 20)
        assert result.se**2 >= floor * (1 - 1e-12)
        assert result.df >= 2


def test_the_crossed_interval_is_wider_than_the_seed_only_one_when_images_differ():
    rng = np.random.default_rng(2)
    p = rng.beta(4, 0.5, 2000)
    a, b = rng.random((20, 2000)) < p, rng.random((20, 2000)) < rng.permutation(p)
    crossed = crossed_difference(a, b)
    seeds_only = summarise(a.mean(axis=1) - b.mean(axis=1))
    assert crossed.se > 1.5 * seeds_only.se


def test_the_crossed_model_handles_agreement_missing_seeds_and_too_few_seeds():
    rng = np.random.default_rng(4)
    a, b = rng.random((5, 30)) < 0.9, rng.random((5, 30)) < 0.8
    same = crossed_difference(a, a)
    assert (same.difference, same.se, same.ci_low, same.p_value) == (0.0, 0.0, None, None)
    broken = a.astype(float)
    broken[2] = math.nan
    kept = [0, 1, 3, 4]
    assert crossed_difference(broken, b) == replace(crossed_difference(a[kept], b[kept]), n_missing=1)
    two = crossed_difference(a[:2], b[:2])
    assert (two.n_seeds, two.se, two.ci_low) == (2, None, None)
    assert two.difference == pytest.approx(a[:2].mean() - b[:2].mean())
    with pytest.raises(ValueError, match="shape"):
        crossed_difference(a, b[:, :5])


def test_mcnemars_test_is_exact():
    """Discordant counts 121 and 59: statsmodels' documentation of ``mcnemar`` gives the exact p 4.434449e-06."""
    a = np.r_[np.ones(101), np.ones(121), np.zeros(59), np.zeros(33)].astype(bool)
    b = np.r_[np.ones(101), np.zeros(121), np.ones(59), np.zeros(33)].astype(bool)
    assert mcnemar(a, b) == pytest.approx(4.434449e-06, rel=1e-6)
    assert mcnemar(a, a) == 1.0
    assert mcnemar([True, True, True], [False, False, False]) == 0.25  # 2 * (1/2)^3
    with pytest.raises(ValueError, match="shape"):
        mcnemar(a, b[:3])


# --- multiplicity ----------------------------------------------------------------------------------------------------


def test_holm_gives_the_published_adjusted_values():
    """pingouin's documentation of the Holm correction: .5, .003, .32, .054, .0003."""
    assert holm([0.5, 0.003, 0.32, 0.054, 0.0003]) == pytest.approx([0.64, 0.012, 0.64, 0.162, 0.0015])


def test_holm_passes_none_through_without_counting_it():
    assert holm([None, 0.02, None, 0.03]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]
    assert holm([]) == []
    assert holm([None]) == [None]


P_VALUES = st.one_of(st.none(), st.floats(0, 1))
FAMILIES = st.lists(st.lists(P_VALUES, min_size=1, max_size=5), min_size=1, max_size=6).map(
    lambda rows: {f"q{i}": {f"c{j}": p for j, p in enumerate(row)} for i, row in enumerate(rows)}
)


def pairs(family, adjusted):
    return [(p, adjusted[q][c]) for q, contrasts in family.items() for c, p in contrasts.items()]


@given(FAMILIES)
def test_adjusting_a_family_is_monotone_never_below_the_raw_p_and_at_most_bonferronis(family):
    adjusted = pairs(family, adjust_family(family))
    assert [p is None for p, _ in adjusted] == [a is None for _, a in adjusted]
    tested = sorted(pair for pair in adjusted if pair[0] is not None)
    questions = sum(any(p is not None for p in contrasts.values()) for contrasts in family.values())
    for p, a in tested:
        assert p <= a <= min(1.0, questions * p)
    assert [a for _, a in tested] == sorted(a for _, a in tested)


@given(st.lists(P_VALUES, min_size=1, max_size=8))
def test_adjusting_questions_of_one_contrast_is_holm(p_values):
    adjusted = adjust_family({str(i): {"only": p} for i, p in enumerate(p_values)})
    assert [row["only"] for row in adjusted.values()] == pytest.approx(holm(p_values))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_single_question_is_not_adjusted_twice(p_values):
    question = {str(i): p for i, p in enumerate(p_values)}
    assert adjust_family({"experiment": question}) == {"experiment": question}


def reject_in_steps(family, alpha):
    """The procedure as its definition states it: reject below alpha / (questions not exhausted), until nothing more."""
    rejected = set()
    while True:
        left = sum(any((q, c) not in rejected for c in row) for q, row in family.items())
        more = {(q, c) for q, row in family.items() for c, p in row.items() if left and p <= alpha / left} - rejected
        if not more:
            return rejected
        rejected |= more


@given(
    st.lists(st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=3), min_size=1, max_size=4),
    st.floats(0.01, 0.2),
)
def test_adjusted_values_below_alpha_are_what_the_stepwise_procedure_rejects(rows, alpha):
    family = {f"q{i}": {f"c{j}": p for j, p in enumerate(row)} for i, row in enumerate(rows)}
    adjusted = adjust_family(family)
    values = [a for _, a in pairs(family, adjusted)]
    if any(math.isclose(a, alpha, rel_tol=1e-9) for a in values):
        return  # rounding decides ties
    assert {(q, c) for q, row in adjusted.items() for c, a in row.items() if a <= alpha} == reject_in_steps(
        family, alpha
    )


def test_a_question_keeps_its_share_until_all_of_its_contrasts_are_rejected():
    adjusted = adjust_family({"kernel": {"5": 0.001, "7": 0.60}, "depth": {"3": 0.03}})
    assert adjusted["kernel"]["5"] == pytest.approx(0.002)
    assert adjusted["depth"]["3"] == pytest.approx(0.06)  # not .03: "7" against its reference is still open
    adjusted = adjust_family({"kernel": {"5": 0.001, "7": 0.02}, "depth": {"3": 0.03}})
    assert adjusted["depth"]["3"] == pytest.approx(0.04)  # the kernel question is exhausted at .04


def test_false_discovery_gives_benjamini_and_hochbergs_example_and_skips_none():
    """Benjamini & Hochberg (1995), 15 p values of a thrombolysis trial: four discoveries at 5 %."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000]
    adjusted = false_discovery([None, *p_values])
    assert adjusted[0] is None
    assert adjusted[1:6] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625, 0.0603])
    assert sum(p <= 0.05 for p in adjusted[1:]) == 4
    assert false_discovery([None, None]) == [None, None]


# --- verdicts --------------------------------------------------------------------------------------------------------


CLEAR = {"difference": 0.0120, "ci_low": 0.0060, "ci_high": 0.0180, "ci90_low": 0.0070, "ci90_high": 0.0170}


@pytest.mark.parametrize(
    ("changes", "p_adjusted", "expected"),
    [
        (CLEAR, 0.01, "better"),
        ({name: -value for name, value in CLEAR.items()} | {"ci_low": -0.018, "ci_high": -0.006}, 0.01, "worse"),
        (CLEAR, 0.051, "inconclusive"),
        (CLEAR, None, "inconclusive"),
        (CLEAR | {"difference": 0.0045, "ci_low": 0.001}, 0.01, "inconclusive"),
        (CLEAR | {"ci_low": -0.0001}, 0.01, "inconclusive"),
        (CLEAR | {"n_seeds": 2}, 0.01, "inconclusive"),
        ({"difference": 0.001, "ci90_low": -0.0049, "ci90_high": 0.0049}, 0.5, "equivalent"),
        ({"difference": 0.003, "ci_low": 0.001, "ci90_low": 0.002, "ci90_high": 0.004}, 0.001, "equivalent"),
        ({"difference": 0.001, "ci90_low": -0.0051, "ci90_high": 0.0049}, 0.5, "inconclusive"),
        (CLEAR | {"n_missing_reference": 1}, 0.01, "better"),
        (CLEAR | {"n_missing_variant": 1, "n_missing_reference": 1}, 0.01, "better"),
        (CLEAR | {"n_missing_variant": 1}, 0.01, "inconclusive"),
        (CLEAR | {"n_variant": 3, "n_missing_variant": 7, "n_reference": 10, "n_seeds": 3}, 0.01, "inconclusive"),
        ({"difference": 0.001, "ci90_low": -0.004, "ci90_high": 0.004, "n_missing_variant": 1}, 0.5, "inconclusive"),
        ({"difference": 0.001, "ci90_low": -0.004, "ci90_high": 0.004, "n_missing_reference": 1}, 0.5, "inconclusive"),
    ],
)
def test_each_verdict_needs_all_of_its_conditions(changes, p_adjusted, expected):
    assert verdict(contrast(**changes), p_adjusted, 0.049) == expected


@pytest.mark.parametrize("p_equivalence", [None, 0.0501, 0.3])
def test_equivalence_needs_its_p_over_the_study(p_equivalence):
    inside = contrast(difference=0.001, ci90_low=-0.004, ci90_high=0.004)
    assert verdict(inside, 0.5, p_equivalence) == "inconclusive"


def test_equivalence_within_a_question_is_that_of_its_interval():
    """The 1 - 2 alpha interval lies inside the ROPE exactly where the two one-sided tests reject at alpha."""
    rng, seen = np.random.default_rng(3), set()
    for n, k, sds in itertools.product((3, 5), (1, 3), ([0.002] * 4, [0.002, 0.0004, 0.0021, 0.0019])):
        for _ in range(40):
            groups = {str(i): rng.normal(0.9 + 0.001 * i, sds[i], n) for i in range(k + 1)}
            for c in against(groups, "0").values():
                inside = -c.rope < c.ci90_low and c.ci90_high < c.rope
                if c.method != "paired t with Holm":
                    assert inside == (c.p_equivalence < 0.05)
                else:  # Holm's p values are never above those of the Bonferroni intervals
                    assert not inside or c.p_equivalence < 0.05
                seen.add((c.method, inside))
    assert len(seen) == 6


def test_equivalences_are_adjusted_by_the_number_of_questions_and_claims():
    adjusted = adjust_equivalences({"kernel": {"5": 0.001, "7": None}, "depth": {"3": 0.03}}, 7)
    assert adjusted == {"kernel": {"5": pytest.approx(0.007), "7": None}, "depth": {"3": pytest.approx(0.21)}}
    assert adjust_equivalences({"depth": {"3": 0.3}}, 7) == {"depth": {"3": 1.0}}
    assert family_size({"kernel": {"5": 0.001, "7": None}, "depth": {"3": None}, "claim": {"": 0.2}}) == 2


# Multiples of a power of two, so that flipping and scaling round nothing; the ROPE is none of them.
MEASURED = st.integers(500, 530).map(lambda value: value / 1024)
GROUPS = st.lists(st.lists(MEASURED | st.just(math.nan), min_size=3, max_size=5), min_size=2, max_size=4)


@given(GROUPS, st.permutations(range(4)), st.integers(1, 9))
@settings(max_examples=80)
def test_verdicts_follow_the_data_and_nothing_else(groups, order, family):
    """Flipped data flip the verdict, scaled data keep it; the order of seeds and of variants does not matter."""
    names = [str(i) for i in range(len(groups))]

    def verdicts(groups, rope=0.0047, order=range(4)):
        named = {names[i]: groups[i] for i in order if i < len(groups)}
        rows = against(named, "0", rope=rope, family=family)
        return {name: verdict(rows[name], rows[name].p_value, rows[name].p_equivalence) for name in names[1:]}

    plain = verdicts(groups)
    assert verdicts(groups, order=order) == plain
    most = max(len(group) for group in groups)
    padded = [[*group, *[math.nan] * (most - len(group))] for group in groups]
    assert verdicts([group[::-1] for group in padded]) == plain
    assert verdicts([[8 * value for value in group] for group in groups], rope=8 * 0.0047) == plain
    shortest = min(len(group) for group in groups)
    finished = [[500 / 1024 if math.isnan(value) else value for value in group[:shortest]] for group in groups]
    swap = {"better": "worse", "worse": "better"}
    assert verdicts([[1 - value for value in group] for group in finished]) == {
        name: swap.get(rows, rows) for name, rows in verdicts(finished).items()
    }


def test_a_lower_loss_is_better():
    worse_accuracy = contrast(**CLEAR)
    assert verdict(worse_accuracy, 0.01, higher_is_better=False) == "worse"


def test_the_rope_of_the_contrast_bounds_both_verdicts():
    assert verdict(contrast(**CLEAR, rope=0.02), 0.01, 0.01) == "equivalent"
    assert verdict(contrast(**CLEAR, rope=0.015), 0.01, 0.01) == "inconclusive"


# --- sentences -------------------------------------------------------------------------------------------------------


def test_the_sentence_of_the_protocol():
    assert comparison_sentence(contrast(), 0.11, "inconclusive", **LABELS) == (
        "5×5 vs 3×3 changed test accuracy by +0.42 pp (95 % CI −0.10 to +0.94; n = 5 seeds each; Dunnett, paired "
        "p = .11): inconclusive; this design could detect 0.9 pp or more (80 % power, adjusted over the study); if the "
        "true difference is the observed one, about 19 seeds each would settle it (80 % power)."
    )


def test_the_sentence_of_a_better_variant_shows_the_p_over_the_study():
    c = contrast(**CLEAR, p_value=0.0004)
    assert comparison_sentence(c, 0.0012, "better", **LABELS) == (
        "5×5 vs 3×3 changed test accuracy by +1.20 pp (95 % CI +0.60 to +1.80; n = 5 seeds each; "
        "Dunnett, paired p < .001, over the study p = .001): better."
    )


def test_the_sentence_of_an_equivalent_variant_names_the_region():
    c = contrast(difference=-0.00001, ci_low=-0.0031, ci_high=0.0031, p_value=0.996, method="paired t with Holm")
    c = replace(c, p_equivalence=0.004)
    assert comparison_sentence(c, 0.996, "equivalent", **LABELS, p_equivalence_adjusted=0.028) == (
        "5×5 vs 3×3 changed test accuracy by 0.00 pp (95 % CI −0.31 to +0.31; n = 5 seeds each; paired t, Holm "
        "p > .99): equivalent within ± 0.5 pp (two one-sided tests p = .004, over the study p = .028)."
    )


def test_the_sentence_says_where_diverged_runs_take_the_verdict_away_or_are_left_out_of_it():
    c = contrast(**CLEAR, p_value=0.0004, n_variant=3, n_missing_variant=7, n_reference=10)
    assert comparison_sentence(c, 0.0012, verdict(c, 0.0012), **LABELS) == (
        "5×5 vs 3×3 changed test accuracy by +1.20 pp (95 % CI +0.60 to +1.80; n = 3 seeds of 5×5 and 10 of 3×3; 7 "
        "runs of 5×5 left out as diverged; Dunnett, paired p < .001, over the study p = .001): inconclusive; 7 of 10 "
        "runs diverged against 0 of 10 of the reference, so the runs that finished decide nothing."
    )
    c = contrast(**CLEAR, p_value=0.0004, n_reference=4, n_missing_reference=1)
    assert comparison_sentence(c, 0.0012, verdict(c, 0.0012), **LABELS).endswith("better, of the runs that finished.")


def test_the_sentence_tells_unequal_numbers_of_seeds_and_diverged_runs():
    c = contrast(n_variant=4, n_missing_variant=1, seeds_to_settle=None)
    assert comparison_sentence(c, None, "inconclusive", **LABELS) == (
        "5×5 vs 3×3 changed test accuracy by +0.42 pp (95 % CI −0.10 to +0.94; n = 4 seeds of 5×5 and 5 of 3×3; "
        "1 run of 5×5 left out as diverged; Dunnett, paired p = .11): inconclusive; this design could detect 0.9 pp or "
        "more (80 % power, adjusted over the study); if the true difference is the observed one, more than 200 seeds "
        "each would be needed to settle it."
    )


@pytest.mark.parametrize(
    ("changes", "p_adjusted", "reason"),
    [
        (
            {"difference": 0.004, "ci_low": 0.001},
            0.02,
            "inconclusive; the interval excludes 0 but the estimate lies within ± 0.5 pp; this design could",
        ),
        (CLEAR, 0.08, "inconclusive; the interval excludes 0 but p over the study does not reach the level; this"),
    ],
)
def test_the_sentence_says_why_an_interval_that_excludes_zero_is_inconclusive(changes, p_adjusted, reason):
    assert reason in comparison_sentence(contrast(**changes), p_adjusted, "inconclusive", **LABELS)


def test_the_sentences_of_comparisons_that_infer_nothing():
    two = against({"3": [0.90, 0.91], "5": [0.91, 0.93]}, "3")["5"]
    assert comparison_sentence(two, None, verdict(two, None), **LABELS) == (
        "5×5 vs 3×3 changed test accuracy by +1.50 pp (n = 2 seeds each): inconclusive; n = 2 is a smoke test, "
        "at least 3 seeds each are needed to infer anything."
    )
    constant = against({"3": [0.9] * 3, "5": [0.9] * 3}, "3")["5"]
    assert comparison_sentence(constant, None, verdict(constant, None)) == (
        "5 vs 3 changed test accuracy by 0.00 pp (n = 3 seeds each): inconclusive; "
        "the runs do not vary, so their variance cannot be estimated."
    )
    nothing = against({"3": [0.9] * 3, "5": [math.nan] * 3}, "3")["5"]
    assert comparison_sentence(nothing, None, verdict(nothing, None)) == (
        "5 vs 3: inconclusive; test accuracy cannot be compared, no run of 5 has a value "
        "(n = 0 seeds of 5 and 3 of 3; 3 runs of 5 left out as diverged)."
    )


def test_no_sentence_claims_no_effect_and_every_inconclusive_one_states_what_could_be_seen():
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(100):
        groups = {str(i): rng.normal(0.9, 0.003, 4) + 0.003 * i for i in range(4)}
        for c in against(groups, "0").values():
            v = verdict(c, c.p_value, c.p_equivalence)
            text = comparison_sentence(c, c.p_value, v)
            seen.add(v)
            assert "no effect" not in text
            assert not re.search(r"-\d| - ", text)
            assert ("could detect" in text and "settle it" in text) == (v == "inconclusive")
    assert {"better", "equivalent", "inconclusive"} <= seen


def test_the_detectable_difference_is_rounded_up():
    for detectable, text in ((0.0081, "0.9 pp"), (0.0080, "0.8 pp"), (0.00042, "0.05 pp"), (0.0200001, "2.1 pp")):
        assert f"detect {text} or" in comparison_sentence(contrast(detectable=detectable), 0.11, "inconclusive")


def test_a_detectable_difference_beyond_100_points_is_said_to_be_none():
    text = comparison_sentence(contrast(detectable=2.693), 0.11, "inconclusive")
    assert "could detect no difference that there can be" in text and "269" not in text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < .001"),
        (0.00099, "p < .001"),
        (0.0012, "p = .001"),
        (0.0496, "p = .050"),
        (0.0996, "p = .10"),
        (0.11, "p = .11"),
        (0.99, "p = .99"),
        (0.9951, "p > .99"),
        (1.0, "p > .99"),
    ],
)
def test_p_values_are_printed_in_the_apas_style(p, text):
    assert format_p(p) == text
