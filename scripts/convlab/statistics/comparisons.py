"""Comparisons of variants with a reference: contrasts with simultaneous intervals, p values and verdicts.

References
----------
Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control, JASA 50, 1096-1121.
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bull. 2, 110-114.
Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach ..., J. Pharmacokinet.
Biopharm. 15, 657-680. Welch (1947), The generalization of Student's problem ..., Biometrika 34, 28-35.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from convlab.statistics.describe import MIN_SEEDS, check_fraction, finite_values, standard_deviation, t_critical
from convlab.statistics.dunnett import dunnett_critical, dunnett_p_value
from convlab.statistics.multiplicity import holm
from convlab.statistics.power import detectable_difference, seeds_to_settle

SD_RATIO_LIMIT = 3.0  # above this ratio of the largest to the smallest SD the variance is not pooled
Method = Literal["Dunnett", "Welch with Holm", "seeds crossed with images", "none"]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class Contrast:
    """One variant minus its reference, with what the design can and cannot say about it.

    All intervals and ``p_value`` are simultaneous over the contrasts of one call (one experiment). Differences,
    intervals, ``sd_pooled``, ``detectable`` and ``rope`` are in the unit of the values (fractions).

    Attributes:
        n_variant, n_reference: runs with a finite value; ``n_missing_*`` count the others.
        difference: mean of the variant minus mean of the reference; None if either has no run.
        ci_low, ci_high: interval at ``confidence``.
        ci90_low, ci90_high: interval at 1 - 2 (1 - confidence), 90 % by default; lying inside the ROPE is equivalence
            by two one-sided tests at 5 % (Schuirmann 1987).
        p_value: two-sided, adjusted within the experiment (Dunnett, or Holm over Welch's tests).
        p_equivalence: of two one-sided tests against the ROPE's edges, adjusted within the experiment in the same way.
        sd_pooled: the SD of a run. Dunnett: pooled over all groups of the experiment; Welch: root mean square of the
            two groups' SDs.
        df: degrees of freedom of ``sd_pooled`` (Welch: of the difference).
        detectable: smallest true difference that is called better (or worse) with probability ``power`` in this design.
        seeds_to_settle: see :func:`compare_to_reference`.
        note: why nothing is inferred, what was left out, which intervals these are; empty if nothing is to be said.
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
    sd_pooled: float | None = None
    df: float | None = None
    detectable: float | None = None
    seeds_to_settle: int | None = None
    note: str = ""
    n_missing_variant: int = 0
    n_missing_reference: int = 0
    rope: float = 0.005
    confidence: float = 0.95
    power: float = 0.8


def compare_to_reference(
    groups: Mapping[str, Sequence[float]],
    reference: str,
    *,
    rope: float = 0.005,
    confidence: float = 0.95,
    power: float = 0.8,
    sd_ratio_limit: float = SD_RATIO_LIMIT,
    family: int = 1,
) -> dict[str, Contrast]:
    """Compare every variant of an experiment with the reference level.

    Dunnett's test with its simultaneous intervals (Dunnett 1955): the variance is pooled over all groups, which is what
    makes it useful at n = 3. With a single contrast it is Student's t test. If the largest SD exceeds
    ``sd_ratio_limit`` times the smallest, Welch's t test per contrast (Welch 1947, Satterthwaite df) with Holm-adjusted
    p values and Bonferroni simultaneous intervals. Such an interval can include 0 where Holm rejects (never the other
    way round); the verdict asks for both.

    The ratio is a rule of thumb that few seeds trip by chance: with equal SDs and n = 3 it exceeds 3 in 20, 40 and 75 %
    of experiments with 2, 3 and 6 groups (n = 10: 0.3, 1 and 3 %). That costs power: raise ``sd_ratio_limit`` for many
    levels at n = 3. True SDs that differ by less than the ratio are often pooled: with a reference twice as noisy as
    five variants the family-wise error rate is 5, 7, 10 and 12 % at 3, 5, 10 and 20 seeds instead of 5
    (tests/test_statistics_calibration.py).

    Seven parameters: the data, and the options of the tests, all of them by name and with a study's defaults.

    A group with fewer than three finite values takes no part in the inference (neither in the pooled variance nor in
    the number of contrasts): its difference is shown with method "none". So is a contrast in which nothing varies.

    ``detectable`` and ``seeds_to_settle`` ask for the verdict as :func:`verdict` gives it, so they count the ROPE and
    the adjustment over the study: with m = ``family`` questions and measured claims, every test is held against 5 % /
    m. That is Bonferroni's bar, which Holm's (:func:`adjust_family`) is never above; where other questions of the study
    are settled, somewhat smaller differences are found too. Both take the observed SDs as the true ones.

    With c the critical value of the simultaneous test at that level, U = sqrt(chi2_nu / nu), nu the degrees of freedom
    and se the standard error of the difference, the probability of the right one of better and worse is::

        E_U[Phi((|d| - max(rope, c U se)) / se)]

    ``detectable``: the smallest true difference d at which it is ``power``.

    ``seeds_to_settle``: take the observed difference as the true one too, and give every group of the experiment n
    seeds. The right verdict is then better or worse (|d| > ROPE) or equivalent (|d| < ROPE); the probability of the
    latter is, with c2 the critical value of the interval that must lie inside the ROPE::

        E_U[max(0, Phi((rope - c2 U se - d) / se) - Phi((-rope + c2 U se - d) / se))]

    The result is the smallest n in 3..200 at which it is ``power`` or more, with se(n) = sqrt((s_variant^2 +
    s_reference^2) / n), and nu and c those of n seeds. Both probabilities grow with n, so bisection finds it. Asking
    only that the *expected* interval clears the bar would name a number of seeds that settles the matter in one study
    of two.

    Args:
        groups: values of the runs per variant, shape (runs,) each, the reference among them.
        reference: key of the reference level.
        rope: half width of the region of practical equivalence, in the unit of the values.
        confidence: simultaneous coverage of the intervals; 1 - confidence is the test's level.
        power: probability for ``detectable`` and ``seeds_to_settle``.
        sd_ratio_limit: ratio of SDs above which the variance is not pooled.
        family: questions and measured claims whose p values are adjusted together, this one among them.

    Returns:
        One Contrast per variant, in the order of ``groups``, without the reference.

    Raises:
        ValueError: ``reference`` is not in ``groups``, or an option is out of range.
    """
    if reference not in groups:
        raise ValueError(f"the reference {reference!r} is not among the groups: {', '.join(map(repr, groups))}")
    options = _Options(rope, confidence, power, family)

    values, missing = {}, {}
    for name, group in groups.items():
        values[name], missing[name] = finite_values(group)
    variants = [name for name in groups if name != reference]
    sds = _sds_for_inference(values, reference)
    inferred = [name for name in sds if name != reference]

    inference: dict[str, dict] = {}
    if sds:
        # A zero SD beside a positive one is an infinite ratio.
        if max(sds.values()) > sd_ratio_limit * min(sds.values()):
            inference = _welch(values, sds, inferred, reference, options)
        else:
            inference = _dunnett(values, sds, inferred, reference, options)

    contrasts = {}
    for name in variants:
        n_variant, n_reference = len(values[name]), len(values[reference])
        result = dict(inference.get(name, {}))
        notes = [result.pop("note", "")]
        if not result:
            notes.append(_why_untested(name, n_variant, reference, n_reference))
        notes += [
            f"{missing[group]} of {missing[group] + len(values[group])} runs of {group} had no finite value"
            for group in (name, reference)
            if missing[group]
        ]
        contrasts[name] = Contrast(
            variant=name,
            reference=reference,
            n_variant=n_variant,
            n_reference=n_reference,
            difference=float(np.mean(values[name]) - np.mean(values[reference])) if n_variant and n_reference else None,
            n_missing_variant=missing[name],
            n_missing_reference=missing[reference],
            rope=rope,
            confidence=confidence,
            power=power,
            note="; ".join(note for note in notes if note),
            **result,
        )
    return contrasts


def is_tested(groups: Mapping[str, Sequence[float]], reference: str) -> bool:
    """Whether :func:`compare_to_reference` tests anything, so that the question belongs to the study's family."""
    return bool(_sds_for_inference({name: finite_values(group)[0] for name, group in groups.items()}, reference))


def _sds_for_inference(values: Mapping[str, NDArray], reference: str) -> dict[str, float]:
    """SDs of the groups that are tested, with the reference; empty if nothing is tested."""
    if len(values[reference]) < MIN_SEEDS:
        return {}
    sds = {name: standard_deviation(group) for name, group in values.items() if len(group) >= MIN_SEEDS}
    return sds if len(sds) > 1 and max(sds.values()) > 0 else {}


@dataclass(frozen=True)
class _Options:
    """Options of :func:`compare_to_reference`, checked, and the coverages that follow from them."""

    rope: float
    confidence: float
    power: float
    family: int

    def __post_init__(self) -> None:
        check_fraction("confidence", self.confidence)
        check_fraction("power", self.power)
        if self.power <= 1 - self.confidence:
            raise ValueError(f"power must exceed the test's level {1 - self.confidence:g}, not {self.power}")
        if not self.rope >= 0:
            raise ValueError(f"rope must be zero or more, not {self.rope}")
        if self.family < 1:
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


def _dunnett(values: Mapping, sds: Mapping, inferred: list[str], reference: str, options: _Options) -> dict[str, dict]:
    """Dunnett's single-step test and intervals for the contrasts in ``inferred``: keyword arguments of Contrast."""
    n_reference, k = len(values[reference]), len(inferred)
    n_variants = tuple(len(values[name]) for name in inferred)
    df = sum(n_variants) + n_reference - k - 1
    pooled = math.sqrt(sum((len(values[name]) - 1) * sds[name] ** 2 for name in sds) / df)
    critical = dunnett_critical(n_variants, n_reference, df, options.confidence)
    critical_equivalence = dunnett_critical(n_variants, n_reference, df, options.confidence_equivalence)

    def design(n: int) -> tuple[float, float, float]:
        df_n = (k + 1) * (n - 1)
        sizes = (n,) * k
        return (
            df_n,
            dunnett_critical(sizes, n, df_n, options.family_confidence),
            dunnett_critical(sizes, n, df_n, options.family_confidence_equivalence),
        )

    strict = dunnett_critical(n_variants, n_reference, df, options.family_confidence)
    results = {}
    for name, n in zip(inferred, n_variants, strict=True):
        difference = float(np.mean(values[name]) - np.mean(values[reference]))
        se = pooled * math.sqrt(1 / n + 1 / n_reference)
        results[name] = {
            **_intervals(difference, se, critical, critical_equivalence),
            "p_value": dunnett_p_value(difference / se, n_variants, n_reference, df),
            "p_equivalence": _one_sided(
                lambda t: dunnett_p_value(t, n_variants, n_reference, df), (options.rope - abs(difference)) / se
            ),
            "method": "Dunnett",
            "sd_pooled": pooled,
            "df": float(df),
            "detectable": detectable_difference(se, strict, df, options.rope, options.power),
            "seeds_to_settle": seeds_to_settle(difference, 2 * pooled**2, design, options.rope, options.power),
        }
    return results


def _welch(values: Mapping, sds: Mapping, inferred: list[str], reference: str, options: _Options) -> dict[str, dict]:
    """Welch's t test per contrast, Holm over them, Bonferroni intervals: keyword arguments of Contrast."""
    # A pair in which neither group varies has no standard error, even if a third group of the experiment varies.
    testable = [name for name in inferred if sds[name] > 0 or sds[reference] > 0]
    k = len(testable)
    level, level_equivalence = (
        1 - (1 - confidence) / k for confidence in (options.confidence, options.confidence_equivalence)
    )
    family_level, family_level_equivalence = (
        1 - (1 - confidence) / k for confidence in (options.family_confidence, options.family_confidence_equivalence)
    )
    results, p_values, p_equivalences = {}, [], []
    for name in testable:
        difference = float(np.mean(values[name]) - np.mean(values[reference]))
        v1, v0 = sds[name] ** 2, sds[reference] ** 2
        n1, n0 = len(values[name]), len(values[reference])
        se = math.sqrt(v1 / n1 + v0 / n0)
        df = (v1 / n1 + v0 / n0) ** 2 / ((v1 / n1) ** 2 / (n1 - 1) + (v0 / n0) ** 2 / (n0 - 1))
        p_values.append(float(2 * special.stdtr(df, -abs(difference / se))))
        p_equivalences.append(float(special.stdtr(df, (abs(difference) - options.rope) / se)))
        critical = t_critical(df, level)

        def design(n: int, v1: float = v1, v0: float = v0) -> tuple[float, float, float]:
            df_n = (n - 1) * (v1 + v0) ** 2 / (v1**2 + v0**2)
            return df_n, t_critical(df_n, family_level), t_critical(df_n, family_level_equivalence)

        results[name] = {
            **_intervals(difference, se, critical, t_critical(df, level_equivalence)),
            "method": "Welch with Holm",
            "sd_pooled": math.sqrt((v1 + v0) / 2),
            "df": df,
            "detectable": detectable_difference(se, t_critical(df, family_level), df, options.rope, options.power),
            "seeds_to_settle": seeds_to_settle(difference, v1 + v0, design, options.rope, options.power),
            "note": "SDs too different to pool: Welch's t per contrast, p adjusted by Holm, Bonferroni intervals",
        }
    for name, p_value, p_equivalence in zip(testable, holm(p_values), holm(p_equivalences), strict=True):
        results[name] |= {"p_value": p_value, "p_equivalence": p_equivalence}
    return results


def _one_sided(two_sided: Callable[[float], float], statistic: float) -> float:
    """Upper-tail p value from the two-sided one of a statistic with a symmetric distribution."""
    half = two_sided(abs(statistic)) / 2
    return half if statistic > 0 else 1 - half


def _intervals(difference: float, se: float, critical: float, critical_equivalence: float) -> dict[str, float]:
    return {
        "ci_low": difference - critical * se,
        "ci_high": difference + critical * se,
        "ci90_low": difference - critical_equivalence * se,
        "ci90_high": difference + critical_equivalence * se,
    }


def _why_untested(variant: str, n_variant: int, reference: str, n_reference: int) -> str:
    n = min(n_variant, n_reference)
    if n == 0:
        return f"no finite value of {variant if n_variant == 0 else reference}"
    if n < MIN_SEEDS:
        return f"n = {n} is a smoke test"
    return "the runs do not vary, so their variance cannot be estimated"


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
    if contrast.method == "none" or min(contrast.n_variant, contrast.n_reference) < MIN_SEEDS:
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
