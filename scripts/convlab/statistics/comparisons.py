"""Comparisons of variants with a reference: contrasts with simultaneous intervals, p values and verdicts.

References
----------
Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control, JASA 50, 1096-1121.
Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach ..., J. Pharmacokinet.
Biopharm. 15, 657-680. Sidak (1967), Rectangular confidence regions for the means of multivariate normal distributions,
JASA 62, 626-633. Student (1908), The probable error of a mean, Biometrika 6, 1-25.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from convlab.statistics.blocks import Blocks
from convlab.statistics.describe import MIN_SEEDS, check_fraction, standard_deviation, t_critical
from convlab.statistics.dunnett import dunnett_critical, dunnett_p_value
from convlab.statistics.multiplicity import holm
from convlab.statistics.power import detectable_difference, seeds_to_settle

SCREEN_LEVEL = 0.2
"""Level of the screen for a difference that varies more than the others, above which nothing is pooled."""

Method = Literal["Dunnett, seeds as blocks", "paired t", "paired t with Holm", "seeds crossed with images", "none"]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class Contrast:
    """One variant minus its reference, with what the design can and cannot say about it.

    All intervals and ``p_value`` are simultaneous over the contrasts of one call (one experiment). Differences,
    intervals, ``se``, ``detectable`` and ``rope`` are in the unit of the values (fractions).

    Attributes:
        n_seeds: seeds of which both sides have a finite value, the pairs.
        n_variant, n_reference: runs with a finite value; ``n_missing_*`` count the others.
        difference: mean of the variant minus mean of the reference, adjusted for the seeds where runs are missing; None
            if either has no run.
        ci_low, ci_high: interval at ``confidence``.
        ci90_low, ci90_high: interval at 1 - 2 (1 - confidence), 90 % by default; lying inside the ROPE is equivalence
            by two one-sided tests at 5 % (Schuirmann 1987).
        p_value: two-sided, adjusted within the experiment (Dunnett, or Holm over paired t tests).
        p_equivalence: of two one-sided tests against the ROPE's edges, adjusted within the experiment in the same way.
        se: standard error of the difference; df: its degrees of freedom.
        detectable: smallest true difference that is called better (or worse) with probability ``power`` in this design.
        seeds_to_settle: see :func:`compare_to_reference`.
    """

    variant: str
    reference: str
    n_variant: int
    n_reference: int
    difference: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    ci90_low: float | None = None
    ci90_high: float | None = None
    p_value: float | None = None
    p_equivalence: float | None = None
    method: Method = "none"
    se: float | None = None
    df: float | None = None
    detectable: float | None = None
    seeds_to_settle: int | None = None
    n_seeds: int = 0
    n_missing_variant: int = 0
    n_missing_reference: int = 0
    rope: float = 0.005
    confidence: float = 0.95
    power: float = 0.8


def compare_to_reference(
    runs: pd.DataFrame,
    reference: str,
    *,
    rope: float = 0.005,
    confidence: float = 0.95,
    power: float = 0.8,
    family: float = 1,
) -> dict[str, Contrast]:
    """Compare every variant of an experiment with the reference level, with seeds as blocks.

    Runs of one seed share split, order and initial weights, so the seed is a block: the residual variance is that of
    the additive model of variants and seeds, pooled over all variants, with (seeds - 1)(variants - 1) degrees of
    freedom. Dunnett's test with its simultaneous intervals (Dunnett 1955) is held against it. With a single contrast it
    is Student's t test of the paired differences, which is exact whatever the SDs of the two sides and their
    correlation. Where runs are missing, differences are least squares estimates and Sidak's inequality (1967) takes
    the place of Dunnett's distribution.

    Pooling assumes that all differences vary alike. Where one does not vary at all, or more than the pooled residuals
    say (:meth:`Blocks.p_larger_variance` below ``SCREEN_LEVEL``), each contrast has its own paired t test, with
    Holm-adjusted p values and Bonferroni simultaneous intervals. Such an interval can include 0 where Holm rejects
    (never the other way round); the verdict asks for both. With equal SDs the family-wise error rate stays at 5 %;
    docs/calibration.md has it for unequal ones.

    A variant that shares fewer than three seeds with the reference takes no part in the inference: its difference is
    shown with method "none". So is a contrast in which nothing varies.

    ``detectable`` and ``seeds_to_settle`` ask for the verdict as :func:`verdict` gives it, so they count the ROPE and
    the adjustment over the study: with m = ``family`` questions and measured claims, every test is held against 5 % /
    m. That is Bonferroni's bar, which Holm's (:func:`adjust_family`) is never above; where other questions of the study
    are settled, somewhat smaller differences are found too. Both take the observed variance as the true one.

    With c the critical value of the simultaneous test at that level, U = sqrt(chi2_nu / nu), nu the degrees of freedom
    and se the standard error of the difference, the probability of the right one of better and worse is::

        E_U[Phi((|d| - max(rope, c U se)) / se)]

    ``detectable``: the smallest true difference d at which it is ``power``.

    ``seeds_to_settle``: take the observed difference as the true one too, and give every variant of the experiment n
    seeds. The right verdict is then better or worse (|d| > ROPE) or equivalent (|d| < ROPE); the probability of the
    latter is, with c2 the critical value of the interval that must lie inside the ROPE::

        E_U[max(0, Phi((rope - c2 U se - d) / se) - Phi((-rope + c2 U se - d) / se))]

    The result is the smallest n in 3..200 at which it is ``power`` or more, with se(n) = sqrt(variance of a paired
    difference / n), and nu and c those of n seeds. Both probabilities grow with n, so bisection finds it. Asking only
    that the *expected* interval clears the bar would name a number of seeds that settles the matter in one study of
    two.

    Args:
        runs: one row for each seed, one column for each variant, the reference among them; a value that is not finite
            is that of a diverged run.
        reference: column of the reference level.
        rope: half width of the region of practical equivalence, in the unit of the values.
        confidence: simultaneous coverage of the intervals; 1 - confidence is the test's level.
        power: probability for ``detectable`` and ``seeds_to_settle``.
        family: the number of questions and measured claims whose p values are adjusted together, this one among them;
            more generally, the level over the share of it that this question gets.

    Returns:
        One Contrast per variant, in the order of the columns, without the reference.

    Raises:
        ValueError: ``reference`` is not a column, or an option is out of range.
    """
    if reference not in runs.columns:
        raise ValueError(f"the reference {reference!r} is not among the groups: {', '.join(map(repr, runs.columns))}")
    options = _Options(rope, confidence, power, family)
    values = _reference_first(runs, reference)
    variants = [name for name in runs.columns if name != reference]
    finite = np.isfinite(values)
    counts, pairs = finite.sum(axis=0), (finite & finite[:, :1]).sum(axis=0)
    inferred = _inferred_columns(values)
    inference = _tests(_blocks(values, inferred), options) if inferred else []
    by_column = dict(zip(inferred, inference, strict=True))
    contrasts = {}
    for column, name in enumerate(variants, start=1):
        result = by_column.get(column) or {"difference": _plain_difference(values[:, column], values[:, 0])}
        contrasts[name] = Contrast(
            variant=name,
            reference=reference,
            n_variant=int(counts[column]),
            n_reference=int(counts[0]),
            n_seeds=int(pairs[column]),
            n_missing_variant=len(values) - int(counts[column]),
            n_missing_reference=len(values) - int(counts[0]),
            rope=rope,
            confidence=confidence,
            power=power,
            **result,
        )
    return contrasts


def is_tested(runs: pd.DataFrame, reference: str) -> bool:
    """Whether :func:`compare_to_reference` tests anything, so that the question belongs to the study's family."""
    return bool(_inferred_columns(_reference_first(runs, reference)))


def _reference_first(runs: pd.DataFrame, reference: str) -> NDArray:
    """Values of shape (seeds, variants) with the reference as the first column, NaN for what is not finite."""
    values = runs[[reference, *(name for name in runs.columns if name != reference)]].to_numpy(dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _plain_difference(variant: NDArray, reference: NDArray) -> float | None:
    """Difference of the means, over the seeds that both have if there are any; None if a side has no value."""
    both = np.isfinite(variant) & np.isfinite(reference)
    sides = [side[both] if both.any() else side[np.isfinite(side)] for side in (variant, reference)]
    return float(sides[0].mean() - sides[1].mean()) if all(map(len, sides)) else None


def _inferred_columns(values: NDArray) -> list[int]:
    """Columns that are tested against the first one: those with enough pairs, if anything varies."""
    finite = np.isfinite(values)
    pairs = (finite[:, 1:] & finite[:, :1]).sum(axis=0)
    columns = [int(column) + 1 for column in np.flatnonzero(pairs >= MIN_SEEDS)]
    return columns if columns and _blocks(values, columns).residual_variance > 0 else []


def _blocks(values: NDArray, columns: list[int]) -> Blocks:
    """The model of the reference and these columns; a seed with a single value says nothing."""
    table = values[:, [0, *columns]]
    return Blocks(table[np.isfinite(table).sum(axis=1) >= 2])


@dataclass(frozen=True)
class _Options:
    """Options of :func:`compare_to_reference`, checked, and the coverages that follow from them."""

    rope: float
    confidence: float
    power: float
    family: float

    def __post_init__(self) -> None:
        check_fraction("confidence", self.confidence)
        check_fraction("power", self.power)
        if self.power <= 1 - self.confidence:
            raise ValueError(f"power must exceed the test's level {1 - self.confidence:g}, not {self.power}")
        if not self.rope >= 0:
            raise ValueError(f"rope must be zero or more, not {self.rope}")
        if not self.family >= 1:
            raise ValueError(f"family must be 1 or more, not {self.family}")

    @property
    def confidence_equivalence(self) -> float:
        """Coverage of the interval for equivalence: two one-sided tests at level alpha are the 1 - 2 alpha interval."""
        return 1 - 2 * (1 - self.confidence)

    @property
    def family_confidence(self) -> float:
        """Coverage of the interval that excludes 0 if a question's p value is below its share of the study's level."""
        return 1 - (1 - self.confidence) / self.family

    @property
    def family_confidence_equivalence(self) -> float:
        return 1 - 2 * (1 - self.confidence) / self.family


@dataclass(frozen=True)
class _Test:
    """A simultaneous test of ``n_contrasts`` contrasts: its two-sided p value and critical values.

    Attributes:
        p_value: statistic to p value, adjusted for the number of contrasts; ``critical``: coverage to critical value.
    """

    p_value: Callable[[float], float]
    critical: Callable[[float], float]


def _dunnett_test(n_seeds: int, n_contrasts: int, df: float) -> _Test:
    sizes = (n_seeds,) * n_contrasts
    return _Test(
        lambda statistic: dunnett_p_value(statistic, sizes, n_seeds, df),
        lambda confidence: dunnett_critical(sizes, n_seeds, df, confidence),
    )


def _sidak_test(n_contrasts: int, df: float) -> _Test:
    def p_value(statistic: float) -> float:
        single = 2 * special.stdtr(df, -abs(statistic))
        return float(-np.expm1(n_contrasts * np.log1p(-min(single, 1 - 1e-16))))

    return _Test(p_value, lambda confidence: t_critical(df, confidence ** (1 / n_contrasts)))


def is_pooled(blocks: Blocks) -> bool:
    """Whether the variance of an experiment's differences is pooled: see :func:`compare_to_reference`."""
    scale = float(np.nanmax(np.abs(blocks.values)))
    constant = any(standard_deviation(blocks.paired(index), scale) == 0 for index in range(blocks.n_contrasts))
    return not constant and blocks.p_larger_variance() >= SCREEN_LEVEL


def _tests(blocks: Blocks, options: _Options) -> list[dict]:
    """Keyword arguments of Contrast for each contrast of a fitted table."""
    if not is_pooled(blocks):
        return _separate_tests(blocks, float(np.nanmax(np.abs(blocks.values))), options)
    k, df = blocks.n_contrasts, blocks.df
    test = _dunnett_test(blocks.n_seeds, k, df) if blocks.complete else _sidak_test(k, df)

    def design(n: int) -> tuple[float, float, float]:
        df_n = k * (n - 1)
        planned = _dunnett_test(n, k, df_n)
        return (
            df_n,
            planned.critical(options.family_confidence),
            planned.critical(options.family_confidence_equivalence),
        )

    results = []
    for difference, unit_variance in zip(map(float, blocks.differences), blocks.unit_variances, strict=True):
        se = math.sqrt(blocks.residual_variance * unit_variance)
        paired_variance = 2 * blocks.residual_variance
        results.append(
            {
                **_contrast(difference, se, df, test, options),
                "method": "paired t" if k == 1 else "Dunnett, seeds as blocks",
                "seeds_to_settle": seeds_to_settle(difference, paired_variance, design, options.rope, options.power),
            }
        )
    return results


def _separate_tests(blocks: Blocks, scale: float, options: _Options) -> list[dict]:
    """A paired t test for each contrast, Holm over them, Bonferroni intervals: keyword arguments of Contrast.

    ``scale``: the largest value, by which rounding is judged. A pair of which no difference varies has no standard
    error, even if another of the experiment varies; it has no arguments.
    """
    pairs = [blocks.paired(index) for index in range(blocks.n_contrasts)]
    sds = [standard_deviation(differences, scale) for differences in pairs]
    k = sum(sd > 0 for sd in sds)
    results: list[dict] = [{} for _ in pairs]
    for result, differences, sd in zip(results, pairs, sds, strict=True):
        if sd == 0:
            continue
        n, difference = len(differences), float(np.mean(differences))
        single = _dunnett_test(n, 1, n - 1)
        test = _Test(single.p_value, lambda confidence, single=single: single.critical(1 - (1 - confidence) / k))

        def design(n: int) -> tuple[float, float, float]:
            return (
                n - 1,
                t_critical(n - 1, 1 - (1 - options.family_confidence) / k),
                t_critical(n - 1, 1 - (1 - options.family_confidence_equivalence) / k),
            )

        result |= {
            **_contrast(difference, sd / math.sqrt(n), n - 1, test, options),
            "method": "paired t with Holm",
            "seeds_to_settle": seeds_to_settle(difference, sd**2, design, options.rope, options.power),
        }
    testable = [result for result in results if result]
    for key in ("p_value", "p_equivalence"):
        for result, p_value in zip(testable, holm([result[key] for result in testable]), strict=True):
            result[key] = p_value
    return results


def _contrast(difference: float, se: float, df: float, test: _Test, options: _Options) -> dict[str, float]:
    """Interval, tests and detectable difference of one contrast."""
    critical, critical_equivalence = test.critical(options.confidence), test.critical(options.confidence_equivalence)
    strict = test.critical(options.family_confidence)
    return {
        "difference": difference,
        "ci_low": difference - critical * se,
        "ci_high": difference + critical * se,
        "ci90_low": difference - critical_equivalence * se,
        "ci90_high": difference + critical_equivalence * se,
        "p_value": test.p_value(difference / se),
        "p_equivalence": _one_sided(test.p_value, (options.rope - abs(difference)) / se),
        "se": se,
        "df": float(df),
        "detectable": detectable_difference(se, strict, df, options.rope, options.power),
    }


def _one_sided(two_sided: Callable[[float], float], statistic: float) -> float:
    """Upper-tail p value from the two-sided one of a statistic with a symmetric distribution."""
    half = two_sided(abs(statistic)) / 2
    return half if statistic > 0 else 1 - half


def verdict(
    contrast: Contrast,
    p_adjusted: float | None,
    p_equivalence_adjusted: float | None = None,
    *,
    higher_is_better: bool = True,
) -> Verdict:
    """What the contrast shows: the one rule for every verdict of a comparison.

    - better / worse: the interval excludes 0, the estimate lies outside the ROPE, ``p_adjusted`` is below the level;
    - equivalent: the 90 % interval lies inside the ROPE, ``p_equivalence_adjusted`` is below the level;
    - inconclusive: everything else; always with fewer than three runs on either side, and where
      :func:`diverged_runs_forbid` what the finished runs say.

    Args:
        contrast: from :func:`compare_to_reference`.
        p_adjusted: its p value, adjusted over the study (:func:`adjust_family`); ``contrast.p_value`` for a study of
            one question; None never yields better or worse.
        p_equivalence_adjusted: likewise of ``contrast.p_equivalence`` (:func:`adjust_equivalences`); None never yields
            equivalent.
        higher_is_better: False for losses and error rates.
    """
    of_finished = verdict_of_finished_runs(contrast, p_adjusted, p_equivalence_adjusted, higher_is_better)
    return "inconclusive" if diverged_runs_forbid(contrast, of_finished) else of_finished


def verdict_of_finished_runs(
    contrast: Contrast,
    p_adjusted: float | None,
    p_equivalence_adjusted: float | None = None,
    higher_is_better: bool = True,
) -> Verdict:
    """The verdict of :func:`verdict` if diverged runs are disregarded."""
    if contrast.method == "none" or contrast.n_seeds < MIN_SEEDS:
        return "inconclusive"
    level = 1 - contrast.confidence
    significant = p_adjusted is not None and p_adjusted < level
    if excludes_zero(contrast) and abs(contrast.difference) > contrast.rope and significant:
        return "better" if (contrast.difference > 0) == higher_is_better else "worse"
    inside = -contrast.rope < contrast.ci90_low and contrast.ci90_high < contrast.rope
    if inside and p_equivalence_adjusted is not None and p_equivalence_adjusted < level:
        return "equivalent"
    return "inconclusive"


def diverged_runs_forbid(contrast: Contrast, of_finished: Verdict) -> bool:
    """Whether diverged runs forbid a verdict that the finished runs support.

    A side is not called better where a larger share of its own runs diverged, and two sides are not called equivalent
    where their shares differ: a mean over the runs that went well says nothing of how often they do.
    """
    variant = contrast.n_missing_variant * (contrast.n_reference + contrast.n_missing_reference)
    reference = contrast.n_missing_reference * (contrast.n_variant + contrast.n_missing_variant)
    return {
        "better": variant > reference,
        "worse": reference > variant,
        "equivalent": variant != reference,
        "inconclusive": False,
    }[of_finished]


def excludes_zero(contrast: Contrast) -> bool:
    """Whether the interval lies on one side of zero."""
    return contrast.ci_low > 0 or contrast.ci_high < 0
