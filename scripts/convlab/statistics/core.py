"""The statistics of a study: intervals, comparisons with a reference, trends, multiplicity, verdicts.

The unit of replication is the training run (one seed); all runs are scored on the same test images. Values are
fractions (an accuracy of 0.9123), results are frozen dataclasses of plain numbers, and ``None`` stands where a quantity
is not defined. Everything is deterministic: the integrals are done by quadrature, so no random numbers are drawn.

Three rules hold everywhere:

- Values that are not finite belong to runs that diverged: they are left out, counted, and mentioned.
- n = 2 is a smoke test: with fewer than ``MIN_SEEDS`` runs there is no interval, no p value and no verdict anywhere,
  whether of a mean, a comparison, a trend, a factorial or a difference on new images.
- Where runs do not vary at all, their variance cannot be estimated and nothing is inferred. An interval that collapses
  to a point would claim certainty that identical runs do not give: they may be saturated (every seed at 100 %), or the
  seeds may not have reached the training at all.

References
----------
Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control, JASA 50, 1096-1121.
Dunnett (1964), New tables for multiple comparisons with a control, Biometrics 20, 482-491.
Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 65-70.
Page (1963), Ordered hypotheses for multiple treatments: a significance test for linear ranks, JASA 58, 216-230.
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bull. 2, 110-114.
Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach ..., J. Pharmacokinet.
Biopharm. 15, 657-680. Welch (1947), The generalization of Student's problem ..., Biometrika 34, 28-35.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from scipy.optimize import brentq

MIN_SEEDS = 3  # fewer runs on either side: a smoke test, nothing is inferred
MAX_SEEDS = 200  # a plan that needs more seeds per variant than this is answered with None
SD_RATIO_LIMIT = 3.0  # largest SD over smallest SD beyond which the variance is no longer pooled
NO_SPREAD = 1e-12  # a spread below this fraction of the values is rounding, not variation
SHARE = (0.0, 1.0)  # what an accuracy, a recall or an agreement can be
DIFFERENCE = (-1.0, 1.0)  # what a difference of two of them can be
RANGES = {
    "accuracy": SHARE, "test_accuracy": SHARE, "val_accuracy": SHARE, "balanced_accuracy": SHARE, "macro_f1": SHARE,
    "ece": SHARE, "brier": (0.0, 2.0), "test_loss": (0.0, math.inf),
    "best_epoch": (1.0, math.inf),
}  # fmt: skip
"""The least and the largest value that a measure of a run can have."""

Method = Literal["Dunnett", "Welch with Holm", "none"]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]
Alternative = Literal["two-sided", "increasing", "decreasing"]


# ---------------------------------------------------------------------------------------------------------------------
# Describe
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """Location and spread of one variant's runs, in the unit of the values.

    ``sd`` has ddof = 1, ``se = sd / sqrt(n)``, and the interval is Student's t interval for the mean. ``n_missing``
    runs had no finite value and are left out of everything else.
    """

    n: int
    mean: float | None
    sd: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n_missing: int = 0


def summarise(
    values: Sequence[float], confidence: float = 0.95, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Summary:
    """Mean, SD, SE and t interval of the values of one variant's runs.

    Args:
        values: one value per run, shape (runs,); non-finite ones are counted in ``n_missing`` and left out.
        confidence: coverage of the interval, a fraction.
        limits: the least and the largest value that there can be, ``SHARE`` for an accuracy; the interval ends there.
            Its coverage stays the same, since the mean lies within them.

    Returns:
        A Summary. ``mean`` is None without any value; ``sd`` and ``se`` are None at n = 1; the interval is None with
        fewer than ``MIN_SEEDS`` values, and where all values are equal (see the module's rules).

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    _check_fraction("confidence", confidence)
    finite, n_missing = _finite(values)
    n = len(finite)
    if n == 0:
        return Summary(0, None, None, None, None, None, n_missing)
    mean = float(np.mean(finite))
    if n == 1:
        return Summary(1, mean, None, None, None, None, n_missing)
    sd = _sd(finite)
    se = sd / math.sqrt(n)
    if sd == 0:
        return Summary(n, mean, 0.0, 0.0, None, None, n_missing)
    if n < MIN_SEEDS:
        return Summary(n, mean, sd, se, None, None, n_missing)
    half_width = _t_critical(n - 1, confidence) * se
    low, high = (min(max(limit, limits[0]), limits[1]) for limit in (mean - half_width, mean + half_width))
    return Summary(n, mean, sd, se, low, high, n_missing)


# ---------------------------------------------------------------------------------------------------------------------
# One factor against its reference level
# ---------------------------------------------------------------------------------------------------------------------


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

    The answer is the smallest n in 3..200 at which it is ``power`` or more, with se(n) = sqrt((s_variant^2 +
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
    _check_fraction("confidence", confidence)
    _check_fraction("power", power)
    if power <= 1 - confidence:
        raise ValueError(f"power must exceed the test's level {1 - confidence:g}, not {power}")
    if not rope >= 0:
        raise ValueError(f"rope must be zero or more, not {rope}")

    if family < 1:
        raise ValueError(f"family must be 1 or more, not {family}")

    values, missing = {}, {}
    for name, group in groups.items():
        values[name], missing[name] = _finite(group)
    variants = [name for name in groups if name != reference]
    sds = _sds_for_inference(values, reference)
    inferred = [name for name in sds if name != reference]
    options = _Options(rope, confidence, power, family)

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
            notes.append(_why_nothing(name, n_variant, reference, n_reference))
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
    """Whether :func:`compare_to_reference` would infer anything, so that the question counts in the study's family."""
    return bool(_sds_for_inference({name: _finite(group)[0] for name, group in groups.items()}, reference))


def _sds_for_inference(values: Mapping[str, NDArray], reference: str) -> dict[str, float]:
    """SDs of the groups that take part in the inference, the reference among them; empty where nothing is inferred."""
    if len(values[reference]) < MIN_SEEDS:
        return {}
    sds = {name: _sd(group) for name, group in values.items() if len(group) >= MIN_SEEDS}
    return sds if len(sds) > 1 and max(sds.values()) > 0 else {}


@dataclass(frozen=True)
class _Options:
    rope: float
    confidence: float
    power: float
    family: int

    @property
    def confidence_equivalence(self) -> float:
        """Two one-sided tests at level alpha correspond to the 1 - 2 alpha interval."""
        return 1 - 2 * (1 - self.confidence)

    @property
    def family_confidence(self) -> float:
        """Of the interval that excludes 0 where a question's p value is below its share of the study's level."""
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
            "detectable": _detectable(se, strict, df, options),
            "seeds_to_settle": _seeds_to_settle(difference, 2 * pooled**2, design, options),
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
        critical = _t_critical(df, level)

        def design(n: int, v1: float = v1, v0: float = v0) -> tuple[float, float, float]:
            df_n = (n - 1) * (v1 + v0) ** 2 / (v1**2 + v0**2)
            return df_n, _t_critical(df_n, family_level), _t_critical(df_n, family_level_equivalence)

        results[name] = {
            **_intervals(difference, se, critical, _t_critical(df, level_equivalence)),
            "method": "Welch with Holm",
            "sd_pooled": math.sqrt((v1 + v0) / 2),
            "df": df,
            "detectable": _detectable(se, _t_critical(df, family_level), df, options),
            "seeds_to_settle": _seeds_to_settle(difference, v1 + v0, design, options),
            "note": "SDs too different to pool: Welch's t per contrast, p adjusted by Holm, Bonferroni intervals",
        }
    for name, p_value, p_equivalence in zip(testable, holm(p_values), holm(p_equivalences), strict=True):
        results[name] |= {"p_value": p_value, "p_equivalence": p_equivalence}
    return results


def _one_sided(two_sided: Callable[[float], float], statistic: float) -> float:
    """The one-sided p value of a statistic whose distribution is symmetric, small where it is large and positive."""
    half = two_sided(abs(statistic)) / 2
    return half if statistic > 0 else 1 - half


def _intervals(difference: float, se: float, critical: float, critical_equivalence: float) -> dict[str, float]:
    return {
        "ci_low": difference - critical * se,
        "ci_high": difference + critical * se,
        "ci90_low": difference - critical_equivalence * se,
        "ci90_high": difference + critical_equivalence * se,
    }


def _why_nothing(variant: str, n_variant: int, reference: str, n_reference: int) -> str:
    n = min(n_variant, n_reference)
    if n == 0:
        return f"no finite value of {variant if n_variant == 0 else reference}"
    if n < MIN_SEEDS:
        return f"n = {n} is a smoke test"
    return "the runs do not vary, so their variance cannot be estimated"


def dunnett_p_value(statistic: float, n_variants: tuple[int, ...], n_reference: int, df: float) -> float:
    """Two-sided single-step p value of Dunnett (1955): P(max_i |T_i| >= |statistic|) under the null hypothesis.

    T is multivariate t with correlation lambda_i lambda_j, lambda_i = sqrt(n_i / (n_i + n_0)), because the contrasts
    share the reference group and the pooled SD. Given the reference's deviate z and u = sqrt(chi2_df / df), they are
    independent, so (Dunnett 1955, eq. for unequal n)::

        P = 1 - E_u E_z prod_i [Phi((t u - lambda_i z) / s_i) - Phi((-t u - lambda_i z) / s_i)],  s_i^2 = 1 - lambda_i^2

    Both expectations are smooth and done by Gauss-Legendre quadrature: exact to about 1e-10, the same number on every
    call and a hundred times faster than ``scipy.stats.dunnett``, which integrates by randomised quasi-Monte Carlo
    (its p values scatter by 1e-4). The tests hold one against the other.

    Args:
        statistic: difference over its standard error.
        n_variants: runs per variant, all contrasts of the experiment.
        n_reference: runs of the reference.
        df: degrees of freedom of the pooled variance.

    Returns:
        The p value, between that of Student's t and its Bonferroni bound.
    """
    t = abs(float(statistic))
    single = float(2 * special.stdtr(df, -t))
    if len(n_variants) == 1:
        return single
    u, weight_u = _chi_nodes(float(df))
    z, weight_z = _normal_nodes()
    log_inside = np.zeros((len(u), len(z)))
    with np.errstate(divide="ignore"):  # log(0) where t = 0: nothing lies inside, and the p value is 1
        for n, count in Counter(n_variants).items():
            lam, s = math.sqrt(n / (n + n_reference)), math.sqrt(n_reference / (n + n_reference))
            outside = special.ndtr((lam * z - t * u[:, None]) / s) + special.ndtr((-lam * z - t * u[:, None]) / s)
            log_inside += count * np.log1p(-np.minimum(outside, 1.0))
    # 1 - product through logarithms keeps the relative accuracy of small p values.
    p_value = float(weight_u @ -np.expm1(log_inside) @ weight_z)
    return min(max(p_value, single), len(n_variants) * single, 1.0)


def dunnett_critical(n_variants: tuple[int, ...], n_reference: int, df: float, confidence: float = 0.95) -> float:
    """Two-sided critical value c of Dunnett (1955, tabulated in Dunnett 1964): P(max_i |T_i| <= c) = ``confidence``.

    Arguments as for :func:`dunnett_p_value`; cached, since a study asks for the same few designs again and again.
    """
    return _dunnett_critical(tuple(sorted(n_variants)), n_reference, float(df), confidence)


@lru_cache(maxsize=8192)
def _dunnett_critical(n_variants: tuple[int, ...], n_reference: int, df: float, confidence: float) -> float:
    k = len(n_variants)
    lower = _t_critical(df, confidence)
    if k == 1:
        return lower
    upper = _t_critical(df, 1 - (1 - confidence) / k)  # Bonferroni
    return float(
        brentq(
            lambda c: dunnett_p_value(c, n_variants, n_reference, df) - (1 - confidence),
            lower * (1 - 1e-9),
            upper * (1 + 1e-9),
            xtol=1e-10,
        )
    )


@lru_cache(maxsize=64)
def _legendre(nodes: int) -> tuple[NDArray, NDArray]:
    return np.polynomial.legendre.leggauss(nodes)


@lru_cache(maxsize=4096)
def _chi_nodes(df: float) -> tuple[NDArray, NDArray]:
    """Quadrature nodes and weights (summing to 1) for expectations over U = sqrt(chi2_df / df)."""
    tail = 1e-16
    low = math.sqrt(special.gammaincinv(df / 2, tail) * 2 / df)
    high = math.sqrt(special.gammainccinv(df / 2, tail) * 2 / df)
    x, weight = _legendre(64)
    u = low + (high - low) * (x + 1) / 2
    log_density = (df - 1) * np.log(u) - df * u**2 / 2
    weight = weight * np.exp(log_density - log_density.max())
    return u, weight / weight.sum()


@lru_cache(maxsize=1)
def _normal_nodes() -> tuple[NDArray, NDArray]:
    """Nodes z >= 0 and weights (summing to 1) for expectations of even functions of a standard normal deviate."""
    x, weight = _legendre(96)
    z = 8.5 * (x + 1) / 2
    weight = weight * np.exp(-(z**2) / 2)
    return z, weight / weight.sum()


@lru_cache(maxsize=8192)
def _t_critical(df: float, confidence: float) -> float:
    return float(special.stdtrit(df, (1 + confidence) / 2))


def _detectable(se: float, critical: float, df: float, options: _Options) -> float:
    """Smallest true difference that is called better with probability ``power``: see compare_to_reference.

    Args:
        se: of the difference, taken as true; ``critical``: of the interval that has to exclude 0, in units of se.
    """
    bar, weight = _bars(se, critical, df, options.rope)

    def excess(difference: float) -> float:
        return float(weight @ special.ndtr((difference - bar) / se)) - options.power

    upper = options.rope + 2 * critical * se
    while excess(upper) < 0:
        upper *= 2
    return float(brentq(excess, 0.0, upper, xtol=1e-9 * upper))


def _bars(se: float, critical: float, df: float, rope: float) -> tuple[NDArray, NDArray]:
    """What an observed difference has to exceed to be called better, by how large the SD is estimated, with weights."""
    u, weight = _chi_nodes(float(df))
    return np.maximum(rope, critical * u * se), weight


def _seeds_to_settle(
    difference: float, variance: float, design: Callable[[int], tuple[float, float, float]], options: _Options
) -> int | None:
    """Smallest n in MIN_SEEDS..MAX_SEEDS with the right verdict at probability ``power``: see compare_to_reference.

    Args:
        difference: taken as the true one.
        variance: s_variant^2 + s_reference^2, taken as true; the difference of two means of n has variance / n.
        design: n to (degrees of freedom, critical value of the interval, critical value of the equivalence interval).
    """

    def settled(n: int) -> bool:
        df, critical, critical_equivalence = design(n)
        se = math.sqrt(variance / n)
        if abs(difference) > options.rope:
            bar, weight = _bars(se, critical, df, options.rope)
            probability = weight @ special.ndtr((abs(difference) - bar) / se)
        else:
            u, weight = _chi_nodes(float(df))
            room = options.rope - critical_equivalence * u * se
            inside = special.ndtr((room - difference) / se) - special.ndtr((-room - difference) / se)
            probability = weight @ np.maximum(inside, 0.0)
        return bool(probability >= options.power)

    if not settled(MAX_SEEDS):
        return None
    low, high = MIN_SEEDS - 1, MAX_SEEDS  # not settled (or not allowed) at low, settled at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


# ---------------------------------------------------------------------------------------------------------------------
# Ordered factors
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trend:
    """Whether an outcome rises or falls with an ordered factor.

    Attributes:
        n_levels, n_blocks: what was used; ``n_incomplete`` blocks lacked a finite value and were left out.
        statistic: Page's L for the increasing order of the levels.
        p_value: of the alternative, two-sided by default. No part of the study's family: exploratory.
        slope: mean over blocks of the least-squares slope, in units of the outcome per ``slope_per``.
        ci_low, ci_high: t interval of the slope over blocks.
        slope_per: "doubling" of the level, or "unit" where a level is not positive.
        method: how the p value was found, "exact" or "asymptotic".
        note: why something is missing; else empty.
    """

    n_levels: int
    n_blocks: int
    n_incomplete: int
    statistic: float | None = None
    p_value: float | None = None
    slope: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    slope_per: str | None = None
    method: str | None = None
    note: str = ""


def trend(
    levels: Sequence[float],
    outcomes: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> Trend:
    """Page's trend test (Page 1963) and the slope per doubling of an ordered factor.

    A block is a seed on a dataset: levels are ranked within blocks (ties share their mean rank), so differences between
    seeds and between datasets cancel. "two-sided" doubles the smaller of the two one-sided p values. Slope: least
    squares on log2(level) within each block, then the mean over blocks with its t interval; the levels are fixed by the
    design, so blocks are the replicates. With several datasets it speaks of these datasets.

    Args:
        levels: the levels, distinct numbers, in any order; shape (levels,).
        outcomes: shape (blocks, levels), columns in the order of ``levels``. A block with a value that is not finite is
            left out and counted.
        alternative: "two-sided", "increasing" or "decreasing" (outcome against level).
        confidence: coverage of the slope's interval.

    Returns:
        A Trend, whose results are None with fewer than three levels or without a complete block. With fewer than
        ``MIN_SEEDS`` complete blocks it has the slope alone: nothing is tested. The interval is None too where all
        blocks have the same slope.

    Raises:
        ValueError: the shapes do not fit, levels repeat or are not finite, or an option is unknown.
    """
    _check_fraction("confidence", confidence)
    if alternative not in ("two-sided", "increasing", "decreasing"):
        raise ValueError(f"alternative must be two-sided, increasing or decreasing, not {alternative!r}")
    x = np.asarray(levels, dtype=float)
    y = np.asarray(outcomes, dtype=float)
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != len(x):
        raise ValueError(f"outcomes must have shape (blocks, {x.size}), not {y.shape}")
    if not np.isfinite(x).all() or len(np.unique(x)) != len(x):
        raise ValueError("levels must be distinct, finite numbers")
    order = np.argsort(x)
    x, y = x[order], y[:, order]
    complete = np.isfinite(y).all(axis=1)
    n_incomplete = int((~complete).sum())
    y = y[complete]
    n_blocks, n_levels = y.shape
    if n_levels < 3 or n_blocks < 1:
        note = f"a trend needs 3 levels and a complete block; there are {n_levels} and {n_blocks}"
        return Trend(n_levels, n_blocks, n_incomplete, note=note)
    slope_per = "doubling" if x[0] > 0 else "unit"
    steps = np.log2(x) if slope_per == "doubling" else x
    centred = steps - steps.mean()
    slopes = summarise(y @ centred / (centred @ centred), confidence)
    if n_blocks < MIN_SEEDS:
        note = f"n = {n_blocks} is a smoke test"
        return Trend(n_levels, n_blocks, n_incomplete, slope=slopes.mean, slope_per=slope_per, note=note)

    rising = stats.page_trend_test(y)
    falling = stats.page_trend_test(y, predicted_ranks=np.arange(n_levels, 0, -1))
    p_value = {
        "increasing": rising.pvalue,
        "decreasing": falling.pvalue,
        "two-sided": min(1.0, 2 * min(rising.pvalue, falling.pvalue)),
    }[alternative]
    return Trend(
        n_levels=n_levels,
        n_blocks=n_blocks,
        n_incomplete=n_incomplete,
        statistic=float(rising.statistic),
        p_value=float(p_value),
        slope=slopes.mean,
        ci_low=slopes.ci_low,
        ci_high=slopes.ci_high,
        slope_per=slope_per,
        method=str(rising.method),
        note="" if slopes.ci_low is not None else "all blocks have the same slope: no interval",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Two factors
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """An effect of a factorial: F on (df, df_residual) degrees of freedom, None where nothing scatters."""

    df: int
    df_residual: int
    f_statistic: float | None
    p_value: float | None


@dataclass(frozen=True)
class Factorial:
    """Two factors in all combinations: both main effects and their interaction.

    Attributes:
        n_blocks: blocks used; ``n_incomplete`` lacked a finite value and were left out.
        contrast: of 2 × 2 levels, the second factor's effect (last minus first level) at the first factor's last level
            minus that at its first level, in units of the outcome, with its t interval; else None.
    """

    n_blocks: int
    n_incomplete: int
    first: Effect | None = None
    second: Effect | None = None
    interaction: Effect | None = None
    contrast: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


def factorial(outcomes: ArrayLike, confidence: float = 0.95) -> Factorial:
    """Analysis of variance of two crossed factors in randomised complete blocks (Montgomery, Design and Analysis of
    Experiments, 8th ed. 2013, section 5.6): both factors fixed, a block is a seed, and all effects are tested against
    the residual, with (ab - 1)(n - 1) degrees of freedom.

    Args:
        outcomes: shape (blocks, first levels, second levels). A block with a value that is not finite is left out.

    Returns:
        A Factorial; its effects are None with fewer than ``MIN_SEEDS`` complete blocks.

    Raises:
        ValueError: the shape does not fit.
    """
    _check_fraction("confidence", confidence)
    y = np.asarray(outcomes, dtype=float)
    if y.ndim != 3 or min(y.shape[1:]) < 2:
        raise ValueError(f"outcomes must have shape (blocks, 2 or more, 2 or more), not {y.shape}")
    complete = np.isfinite(y).all(axis=(1, 2))
    y = y[complete]
    n, a, b = y.shape
    if n < MIN_SEEDS:
        return Factorial(n, int((~complete).sum()))
    mean, cells = y.mean(), y.mean(axis=0)
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    df_residual = (a * b - 1) * (n - 1)
    residual = y - cells - y.mean(axis=(1, 2), keepdims=True) + mean
    mean_square = float((residual**2).sum()) / df_residual
    # What rounding leaves of equal values is no scatter.
    scatters = mean_square > (1e-12 * max(abs(mean), 1e-300)) ** 2

    def effect(deviations: np.ndarray, df: int) -> Effect:
        if not scatters:
            return Effect(df, df_residual, None, None)
        f_statistic = n * float((np.broadcast_to(deviations, (a, b)) ** 2).sum()) / df / mean_square
        return Effect(df, df_residual, f_statistic, float(stats.f.sf(f_statistic, df, df_residual)))

    contrast = low = high = None
    if (a, b) == (2, 2):
        contrast = float(cells[1, 1] - cells[1, 0] - cells[0, 1] + cells[0, 0])
        if scatters:
            reach = float(stats.t.ppf((1 + confidence) / 2, df_residual)) * math.sqrt(4 * mean_square / n)
            low, high = contrast - reach, contrast + reach
    return Factorial(
        n,
        int((~complete).sum()),
        effect(rows - mean, a - 1),
        effect(columns - mean, b - 1),
        effect(cells - rows - columns + mean, (a - 1) * (b - 1)),
        contrast,
        low,
        high,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Beyond this test set, and two trained files
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CrossedDifference:
    """Difference in accuracy (a fraction) with an interval that speaks of new seeds *and* new images."""

    difference: float | None
    se: float | None
    df: float | None
    ci_low: float | None
    ci_high: float | None
    n_seeds: int
    n_images: int
    p_value: float | None = None
    n_missing: int = 0


def crossed_difference(correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95) -> CrossedDifference:
    """Accuracy of A minus accuracy of B for new seeds and new images: seeds crossed with images, both random.

    D[s, i] = correct_A - correct_B is a two-way layout without replication: seed effect + image effect + residual.
    Of its grand mean the variance is estimated by (protocol, item 5; expected mean squares of the two-way random model,
    e.g. Searle, Casella & McCulloch, Variance Components, 1992, ch. 4)::

        V = var_s(mean_i D) / S + var_i(mean_s D) / N - MS_residual / (N S)

    since both of the first two terms contain residual / (N S) once. V is floored at the larger of the two terms: more
    sources of variation cannot make the mean more certain. Degrees of freedom by Satterthwaite (1946), with S - 1,
    N - 1 and (S - 1)(N - 1) for the three mean squares, and not below the smaller of S - 1 and N - 1.

    Args:
        correct_a, correct_b: bool or 0/1, shape (seeds, images), the same seeds and images in the same order. A seed
            with a value that is not finite in either is left out and counted.
        confidence: coverage of the interval.

    Returns:
        A CrossedDifference; with fewer than three seeds or two images only the difference, and no interval if D does
        not vary.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    _check_fraction("confidence", confidence)
    a, b = np.asarray(correct_a, dtype=float), np.asarray(correct_b, dtype=float)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"correct_a and correct_b must share the shape (seeds, images), not {a.shape} and {b.shape}")
    d = a - b
    complete = np.isfinite(d).all(axis=1)
    n_missing = int((~complete).sum())
    d = d[complete]
    n_seeds, n_images = d.shape
    if d.size == 0:
        return CrossedDifference(None, None, None, None, None, n_seeds, n_images, None, n_missing)
    difference = float(d.mean())
    if n_seeds < MIN_SEEDS or n_images < 2:
        return CrossedDifference(difference, None, None, None, None, n_seeds, n_images, None, n_missing)

    by_seed, by_image = d.mean(axis=1), d.mean(axis=0)
    seeds = float(np.var(by_seed, ddof=1)) / n_seeds
    images = float(np.var(by_image, ddof=1)) / n_images
    df_seeds, df_images = n_seeds - 1, n_images - 1
    # Sum of squares about both means, by subtraction of the two main effects from the total.
    total = float(((d - difference) ** 2).sum())
    residual_sum = total - df_seeds * seeds * n_seeds * n_images - df_images * images * n_images * n_seeds
    residual = max(residual_sum, 0.0) / (df_seeds * df_images) / (n_seeds * n_images)
    variance = max(seeds + images - residual, seeds, images)
    if variance <= NO_SPREAD**2:
        return CrossedDifference(difference, 0.0, None, None, None, n_seeds, n_images, None, n_missing)
    df = variance**2 / (seeds**2 / df_seeds + images**2 / df_images + residual**2 / (df_seeds * df_images))
    df = max(df, float(min(df_seeds, df_images)))
    se = math.sqrt(variance)
    half_width = float(special.stdtrit(df, (1 + confidence) / 2)) * se
    return CrossedDifference(
        difference=difference,
        se=se,
        df=df,
        ci_low=difference - half_width,
        ci_high=difference + half_width,
        n_seeds=n_seeds,
        n_images=n_images,
        p_value=float(2 * special.stdtr(df, -abs(difference / se))),
        n_missing=n_missing,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Multiplicity
# ---------------------------------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p values (Holm 1979): with the m p values in ascending order, max over j <= i of (m - j + 1) p_(j).

    None passes through and does not count towards m. Order is kept.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = running
    return adjusted


def adjust_family(questions: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Adjust p values over the questions of a study, given that each is already adjusted within its question.

    Holm over questions (experiments, comparisons, claims): with m questions a contrast is rejected at level alpha if
    its p is at most alpha / m; as soon as *all* contrasts of a question are rejected, that question's share passes on
    and the others are held against alpha / (m - 1), and so on. With M_(1) <= M_(2) <= ... the questions' largest p
    values, the adjusted value of any p is::

        min over j = 0..m-1 of max(A_j, (m - j) p),   A_0 = 0,   A_j = max over i <= j of (m - i + 1) M_(i)

    It grows with p, is never below p, and is Holm's when every question has one contrast.

    Why it controls the family-wise error rate at alpha under any dependence, as long as each p value belongs to one
    fixed null hypothesis: call a question open if it holds a true null hypothesis, m0 the number of open ones. Within a
    question, adjustment by Dunnett or Holm ensures that any of its true nulls gets p <= u with probability at most u.
    So with probability 1 - alpha or more no true null of any open question has p <= alpha / m0 (Bonferroni). In that
    event, go through the rejections in order: as long as no true null has been rejected, no open question is exhausted,
    so at least m0 shares are still out, the bar is at most alpha / m0, and the next rejection is not a true null
    either.

    The proof does not cover claims: the p value of a claim is the smaller one of its support and of its contradiction,
    so it has no fixed null hypothesis, and a claim can pass its share on by its right decision. Holm's method with such
    directional decisions is known to hold its level for independent tests (Shaffer 1980, Annals of Statistics 8,
    1342-1347), not under any dependence.

    The tempting shortcut, to let a question's *smallest* p stand for it and pass its share on when that is rejected,
    does not have this property: of two questions with one real and one null contrast each, both real ones are rejected
    and the nulls are tested at alpha / 2 and alpha, an error rate of up to 1.5 alpha.

    Args:
        questions: question to contrast to p value (None where nothing was tested: passes through, does not count).

    Returns:
        Adjusted p values in the same shape.
    """
    largest = sorted(max(p for p in contrasts.values() if p is not None) for contrasts in _tested(questions))
    m = len(largest)
    passed = [0.0]  # A_j
    for index, p in enumerate(largest):
        passed.append(max(passed[-1], (m - index) * p))

    def adjust(p: float) -> float:
        return min(1.0, *(max(passed[j], (m - j) * p) for j in range(m)))

    return {
        question: {name: None if p is None else adjust(p) for name, p in contrasts.items()}
        for question, contrasts in questions.items()
    }


def _tested(questions: Mapping[str, Mapping[str, float | None]]) -> list[Mapping[str, float | None]]:
    return [contrasts for contrasts in questions.values() if any(p is not None for p in contrasts.values())]


def family_size(questions: Mapping[str, Mapping[str, float | None]]) -> int:
    """How many questions and claims are tested, and so adjusted together."""
    return len(_tested(questions))


def adjust_equivalences(
    questions: Mapping[str, Mapping[str, float | None]], family: int
) -> dict[str, dict[str, float | None]]:
    """Adjust p values of equivalence over a study: each times ``family``, Bonferroni's method.

    A contrast can be called different or equivalent, and at most one of the two is wrong. Were the equivalences steps
    of the same Holm procedure, differences that are real but smaller than the ROPE would pass their shares on: with
    seven true differences of exactly the ROPE, 30 % of studies held a false "equivalent". So they get no share of
    others. At most 5 % of studies hold a false "equivalent" under any dependence, and at most 5 % a false "better",
    "worse", "supported" or "contradicted"; in simulations at most 5 % held a wrong verdict of either kind.

    Args:
        questions: question to contrast to p value, adjusted within its question.
        family: questions and measured claims of the study that are tested.
    """
    return {
        question: {name: None if p is None else min(1.0, family * p) for name, p in contrasts.items()}
        for question, contrasts in questions.items()
    }


def false_discovery(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg adjusted p values for exploration (per class), by ``scipy.stats.false_discovery_control``.

    Among the rows called discoveries at 5 %, on average no more than 5 % are false: weaker than the family-wise error
    rate, so these belong to exploration. None passes through and does not count. Order is kept.
    """
    tested = [index for index, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        for index, p in zip(tested, stats.false_discovery_control([p_values[i] for i in tested]), strict=True):
            adjusted[index] = float(p)
    return adjusted


# ---------------------------------------------------------------------------------------------------------------------
# Verdicts
# ---------------------------------------------------------------------------------------------------------------------


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
    """As :func:`verdict`, whatever became of the runs without a finite value."""
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
    """Whether a verdict of the finished runs would hide that more runs of one side diverged.

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


# ---------------------------------------------------------------------------------------------------------------------
# Small helpers
# ---------------------------------------------------------------------------------------------------------------------


def _finite(values: Sequence[float]) -> tuple[NDArray, int]:
    """The finite values and the number of the others."""
    array = np.asarray(values, dtype=float).ravel()
    finite = array[np.isfinite(array)]
    return finite, len(array) - len(finite)


def _sd(values: NDArray) -> float:
    """SD with ddof = 1; exactly 0 where the values differ by rounding only (their computed SD is some 1e-17)."""
    if np.ptp(values) <= NO_SPREAD * np.abs(values).max():
        return 0.0
    return float(np.std(values, ddof=1))


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")
