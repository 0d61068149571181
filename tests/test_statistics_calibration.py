"""Calibration by simulation: tests keep their error rates under the null, intervals their coverage.

The data are made as a study makes them. The test set is drawn once per simulated study and shared by all of its runs:
images have difficulties, and a run is right on image i with probability p_i, moved up or down by the run's seed effect.
With a seed SD of zero, runs still differ by chance image by image (two trainings never agree on every image), which is
the smallest noise an accuracy can have: sum p_i (1 - p_i) / N^2, below the binomial p (1 - p) / N since the test set is
shared. Runs without even this noise would be identical, and then nothing is inferred (tests/test_statistics.py).

Bounds are binomial at 99.9 %, seeds are fixed: a failure is a change of behaviour, never bad luck.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from convlab.statistics import comparisons
from convlab.statistics.comparisons import Contrast, compare_to_reference, verdict
from convlab.statistics.images import crossed_difference
from convlab.statistics.multiplicity import adjust_equivalences, adjust_family

pytestmark = pytest.mark.slow

LEVEL = 0.05
IMAGES = 10_000
STRATA = 20  # images of equal difficulty, so that a run is 20 binomial draws instead of 10,000 Bernoulli draws
POINTS = 0.01  # one percentage point as a fraction


def bounds(reps, rate=LEVEL):
    """Central 99.9 % of the share of ``reps`` events that happen with probability ``rate``."""
    low, high = stats.binom.interval(0.999, reps, rate)
    return low / reps, high / reps


def accuracies(rng, groups, seeds, sd_seed, shift=0.0):
    """Accuracies of one study, shape (groups, seeds), about 90 %; group g is better by g * shift on these images."""
    p = rng.beta(4.5, 0.5, STRATA)
    # Seed effects and shifts act on images in doubt; the weights average 1, so an effect is one of the accuracy.
    weight = p * (1 - p) / np.mean(p * (1 - p))
    effect = rng.normal(0, sd_seed, (groups, seeds)) + shift * np.arange(groups)[:, None]
    return rng.binomial(IMAGES // STRATA, np.clip(p + effect[..., None] * weight, 0, 1)).sum(axis=-1) / IMAGES


@pytest.fixture
def tests_only(monkeypatch):
    """What a comparison says of further seeds and equivalence takes most of its time, and no error rate needs it."""
    for name in ("detectable_difference", "seeds_to_settle"):
        monkeypatch.setattr(comparisons, name, lambda *_: None)
    monkeypatch.setattr(comparisons, "_one_sided", lambda two_sided, statistic: 1.0)


def compared(values):
    """The contrasts of groups of runs, shape (groups, seeds), with the first group."""
    names = pd.Index([str(group) for group in range(len(values))], dtype=object)  # a quarter faster than pandas' own
    return list(compare_to_reference(pd.DataFrame(np.transpose(values), columns=names), "0").values())


@pytest.mark.parametrize("sd_seed", [0.0, 0.9 * POINTS])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("contrasts", "reps"), [(1, 1500), (2, 1000)])
def test_the_comparison_errs_in_five_percent_of_experiments_under_the_null(tests_only, contrasts, reps, seeds, sd_seed):
    """Each case finds an error rate of 9 % with a probability of 0.998 (one contrast) and 0.96 (two)."""
    rng = np.random.default_rng([contrasts, seeds, int(sd_seed * 1e4)])
    errors = covered = 0
    for _ in range(reps):
        values = accuracies(rng, contrasts + 1, seeds, sd_seed)
        results = compared(values)
        errors += min(c.p_value for c in results) < LEVEL
        covered += all(c.ci_low <= 0 <= c.ci_high for c in results)
    low, high = bounds(reps)
    assert low <= errors / reps <= high
    assert covered / reps >= 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_simultaneous_intervals_cover_real_differences(tests_only, seeds):
    """Three variants that are truly 0.5, 1.0 and 1.5 points better: all three intervals must hold their difference."""
    rng = np.random.default_rng(seeds)
    reps, covered = 1200, 0
    truth = {str(g): 0.5 * POINTS * g for g in range(4)}
    for _ in range(reps):
        values = accuracies(rng, 4, seeds, 0.9 * POINTS, shift=0.5 * POINTS)
        results = compared(values)
        covered += all(c.ci_low <= truth[c.variant] <= c.ci_high for c in results)
    assert covered / reps >= 0.93


@pytest.mark.parametrize("contrasts", [2, 5])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_switch_to_separate_tests_never_inflates_the_error_rate(tests_only, correlation, seeds, contrasts):
    """Differences that vary alike often look different by chance; the switch must then err on the safe side."""
    rng = np.random.default_rng([seeds, contrasts, int(10 * correlation)])
    reps, errors, separate = 800, 0, 0
    for _ in range(reps):
        results = compared(correlated(rng, contrasts + 1, seeds, correlation))
        errors += min(c.p_value for c in results) < LEVEL
        separate += results[0].method == "paired t with Holm"
    assert separate > 0
    assert errors / reps <= bounds(reps)[1]


def correlated(rng, groups, seeds, correlation):
    """Accuracies with an SD of half a point, correlated between groups over seeds; shape (groups, seeds)."""
    shared = math.sqrt(correlation) * rng.normal(0, 1, seeds)
    return 0.9 + 0.005 * (shared + math.sqrt(1 - correlation) * rng.normal(0, 1, (groups, seeds)))


def correct(rng, p, sd_seed, seeds):
    """Right or wrong, shape (seeds, images), with a seed effect of ``sd_seed`` on the accuracy."""
    weight = p * (1 - p) / np.mean(p * (1 - p))
    effect = rng.normal(0, sd_seed, (seeds, 1))
    return rng.random((seeds, len(p))) < p + effect * weight


@pytest.mark.parametrize("sd_seed", [0.0, 0.9 * POINTS])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("images_differ", [False, True])
def test_the_crossed_model_errs_in_at_most_five_percent_of_studies_under_the_null(images_differ, seeds, sd_seed):
    """Fresh seeds and fresh images in every study; A and B are equally good over all images there are.

    ``images_differ``: each image suits one of the two more, in a random direction, which a seed-only interval misses.
    Where neither seeds nor images tell A from B, both variance terms estimate the same residual and their maximum (the
    floor) is too large on average: the test is then conservative, about 2 %. That is the price of the floor.
    """
    rng = np.random.default_rng([int(images_differ), seeds, int(sd_seed * 1e4)])
    n_images, reps = 400, 2000
    errors = covered = seed_only_errors = 0
    for _ in range(reps):
        p = rng.beta(4.5, 0.5, n_images)
        gap = rng.normal(0, 2.0, n_images) * p * (1 - p) if images_differ else np.zeros(n_images)
        gap = np.clip(gap, -np.minimum(p, 1 - p), np.minimum(p, 1 - p))
        a, b = correct(rng, p + gap, sd_seed, seeds), correct(rng, p - gap, sd_seed, seeds)
        result = crossed_difference(a, b)
        errors += result.p_value < LEVEL
        covered += result.ci_low <= 0 <= result.ci_high
        d = a.mean(axis=1) - b.mean(axis=1)
        seed_only_errors += abs(d.mean()) > stats.t.isf(LEVEL / 2, seeds - 1) * d.std(ddof=1) / math.sqrt(seeds)
    low, high = bounds(reps)
    assert errors / reps <= high
    assert covered / reps >= 0.93
    if images_differ and sd_seed > 0:
        assert errors / reps >= low
    if images_differ and seeds == 10:
        assert seed_only_errors / reps > 2 * LEVEL  # why the crossed model is there


def smallest_stands_for_its_question(family):
    """The shortcut that ``adjust_family`` does not take: Holm over the questions' smallest p values."""
    order = sorted(family, key=lambda question: min(family[question].values()))
    adjusted, running = {}, 0.0
    for rank, question in enumerate(order):
        scale = len(order) - rank
        adjusted[question] = {name: max(running, min(1.0, scale * p)) for name, p in family[question].items()}
        running = min(adjusted[question].values())
    return adjusted


def test_the_family_wise_error_rate_holds_when_every_question_has_one_real_effect():
    rng = np.random.default_rng(11)
    reps = 10_000
    errors = {adjust_family: 0, smallest_stands_for_its_question: 0}
    for nulls in rng.random((reps, 2)):
        family = {f"q{i}": {"real": 1e-9 * (i + 1), "null": p} for i, p in enumerate(nulls)}
        for procedure in errors:
            adjusted = procedure(family)
            errors[procedure] += any(row["null"] < LEVEL for row in adjusted.values())
    assert errors[adjust_family] / reps <= bounds(reps)[1]
    # The shortcut tests the two nulls at 2.5 % and 5 %.
    assert errors[smallest_stands_for_its_question] / reps > 0.065


# ---------------------------------------------------------------------------------------------------------------------
# Verdicts over a study. Questions of one contrast each, so that the test is Student's paired one and can be vectorised.

ROPE = 0.005


def student(rng, reps, truths, seeds, sd):
    """Differences and their p values, two-sided and of equivalence; shape (reps, questions) each."""
    pairs = rng.normal(0, math.sqrt(2) * sd, (reps, len(truths), seeds)) + np.asarray(truths)[:, None]
    difference, se = pairs.mean(axis=-1), pairs.std(axis=-1, ddof=1) / math.sqrt(seeds)
    df = seeds - 1
    return difference, 2 * stats.t.sf(np.abs(difference) / se, df), stats.t.sf((ROPE - np.abs(difference)) / se, df)


def verdicts(differences, p_values, p_equivalences):
    """The verdicts of one study, adjusted as a study's are."""
    m = len(differences)
    adjusted = adjust_family({str(i): {"": p} for i, p in enumerate(p_values)})
    equivalence = adjust_equivalences({str(i): {"": p} for i, p in enumerate(p_equivalences)}, m)
    decided = []
    for i, difference in enumerate(differences):
        # An interval holds 0 where p is above the level, and lies inside the ROPE where p of equivalence is below it.
        inside = p_equivalences[i] < LEVEL
        contrast = Contrast(
            "a", "b", 3, 3, difference,
            ci_low=difference if p_values[i] < LEVEL else -1.0, ci_high=difference if p_values[i] < LEVEL else 1.0,
            ci90_low=0.0 if inside else -1.0, ci90_high=0.0 if inside else 1.0, method="paired t", n_seeds=3, rope=ROPE,
        )  # fmt: skip
        decided.append(verdict(contrast, adjusted[str(i)][""], equivalence[str(i)][""]))
    return decided


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("questions", [1, 7, 12])
@pytest.mark.parametrize("sd", [0.002, 0.005])
def test_a_difference_of_the_detectable_size_gets_its_verdict_in_four_studies_of_five(questions, seeds, sd):
    """All other questions are true nulls, so that none of them passes its share on. Tolerance: 3.3 standard errors."""
    pairs = np.random.default_rng(0).normal(size=seeds)
    pairs = math.sqrt(2) * sd * (pairs - pairs.mean()) / pairs.std(ddof=1)
    table = pd.DataFrame({"reference": np.full(seeds, 0.9), "variant": 0.9 + pairs})
    stated = compare_to_reference(table, "reference", rope=ROPE, family=questions)["variant"].detectable
    reps = 700
    drawn = student(np.random.default_rng([questions, seeds]), reps, [stated] + [0.0] * (questions - 1), seeds, sd)
    reached = sum(verdicts(*study)[0] == "better" for study in zip(*drawn, strict=True)) / reps
    assert reached == pytest.approx(0.8, abs=3.3 * math.sqrt(0.16 / reps))


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("noise", [0.1, 0.3, 0.55, 1.2])
@pytest.mark.parametrize("edges", [1, 4, 7])
def test_at_most_five_percent_of_studies_hold_a_wrong_verdict_of_any_kind(edges, noise, seeds):
    """Seven questions: some true differences are exactly the ROPE, where "equivalent" is wrong, the others 0, where
    "better" and "worse" are. ``noise``: standard error of a difference in units of the ROPE."""
    truths = [ROPE] * edges + [0.0] * (7 - edges)
    reps, wrong = 500, 0
    drawn = student(np.random.default_rng([edges, seeds]), reps, truths, seeds, noise * ROPE * math.sqrt(seeds / 2))
    for study in zip(*drawn, strict=True):
        wrong += any(
            decided in (("equivalent", "worse") if truth else ("better", "worse"))
            for truth, decided in zip(truths, verdicts(*study), strict=True)
        )
    assert wrong / reps <= bounds(reps)[1]


@pytest.mark.parametrize(
    ("variants", "ratio", "seeds", "stated"),
    [(5, 2.0, 5, 0.065), (5, 2.5, 3, 0.09), (5, 2.5, 5, 0.065), (2, 2.5, 3, 0.07)],
)
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_a_noisier_reference_errs_more_often_but_no_more_than_the_methods_say(
    tests_only, correlation, variants, ratio, seeds, stated
):
    """Variants without effect, what the reference has of its own ``ratio`` times as noisy as theirs."""
    rng = np.random.default_rng([int(10 * ratio), seeds, variants, int(10 * correlation)])
    reps = 1000
    values = correlated(rng, reps * (variants + 1), seeds, 0.0).reshape(reps, variants + 1, seeds) - 0.9
    values[:, 0] *= ratio
    values = math.sqrt(1 - correlation) * values + math.sqrt(correlation) * 0.005 * rng.normal(0, 1, (reps, 1, seeds))
    errors = sum(min(c.p_value for c in compared(0.9 + study)) < LEVEL for study in values)
    assert errors / reps <= bounds(reps, stated)[1]


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_a_single_contrast_errs_at_its_level_whatever_the_correlation_and_the_sds(tests_only, correlation):
    rng = np.random.default_rng(int(10 * correlation))
    reps = 2000
    errors = 0
    for _ in range(reps):
        values = correlated(rng, 2, 3, correlation)
        values[1] = 0.9 + 2.5 * (values[1] - 0.9)
        errors += compared(values)[0].p_value < LEVEL
    low, high = bounds(reps)
    assert low <= errors / reps <= high
