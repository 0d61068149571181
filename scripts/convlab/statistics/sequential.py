"""Sequential analysis with looks fixed beforehand: alpha spending, and p values at a look, adjusted over all of them.

At look j of J every variant of what is not settled has n_j seeds. The level alpha of a study is split over the looks
beforehand, alpha_j = alpha s_j with shares s_j that sum to 1, and look j is a test of the whole family at alpha_j. So
the family-wise error rate over all looks is at most the sum of the alpha_j, which is alpha (Bonferroni over looks),
whatever the dependence between looks, whatever is stopped and whatever is not trained any more.

The shares are the increments of the power family of alpha spending functions (Kim & DeMets 1987), used as separate
levels::

    s_j = t_j^POWER - t_(j-1)^POWER,   t_j = n_j / n_J

Exact boundaries, which use the dependence between looks (Lan & DeMets 1983), exist for one contrast with a known
variance; for a family whose members stop at different looks, with variances estimated from three seeds, they do not.

References
----------
Kim & DeMets (1987), Design and analysis of group sequential tests based on the type I error spending rate function,
Biometrika 74, 149-154. Lan & DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika 70, 659-663.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from convlab.statistics.multiplicity import adjust_equivalences, adjust_family

POWER = 2.0
"""Exponent of the spending function. One needs the fewest seeds and has the least power, three has the most power and
needs the most seeds; two has at most 0.04 less power than three and needs at most half a seed more than one
(benchmarks/calibrate_sequential.py)."""

P_SETTLED = {"better": 0.0, "worse": 0.0, "supported": 0.0, "contradicted": 0.0, "equivalent": 1.0}
"""What a settled hypothesis counts as at later looks, instead of a p value: a null hypothesis that was rejected passes
its share on; one that was called equivalent, and so may be true, keeps it."""

Questions = Mapping[tuple[str, ...], Mapping[str, float | None]]
"""P values by question, then by contrast; None where nothing was tested."""

Hypothesis = tuple[tuple[str, ...], str]
"""A contrast, as (its question, its name), or a claim."""


@dataclass(frozen=True)
class Look:
    """One look of a plan: its ``number`` of ``n_looks``, the seeds that each variant has, its share of the level."""

    number: int
    n_looks: int
    n_seeds: int
    share: float


def usual_look(looks: Sequence[Look], family: int, effect: float, level: float = 0.05) -> Look | None:
    """The first look at which half or more of the studies settle a true difference of this size; None if none does.

    The probability is that of Student's paired t test at the look's share of Bonferroni's level, and so a lower bound.

    Args:
        family: questions and claims that are tested together.
        effect: the difference in standard deviations of a paired difference.
    """
    from scipy import stats  # takes a third of a second, and most processes need none of it

    for look in looks:
        df, shift = look.n_seeds - 1, effect * math.sqrt(look.n_seeds)
        critical = stats.t.isf(level * look.share / (2 * family), df)
        if stats.nct.sf(critical, df, shift) >= 0.5:
            return look
    return None


ONLY_LOOK = Look(1, 1, 0, 1.0)
"""The look of an analysis that is not one of several: all of the level, whatever the seeds."""


def looks_of(counts: Sequence[int]) -> list[Look]:
    """The looks of a plan with these numbers of seeds, in ascending order; a single look has all of the level.

    Raises:
        ValueError: the numbers do not ascend.
    """
    spent = [0.0, *((n / counts[-1]) ** POWER for n in counts)]
    shares = [after - before for before, after in pairwise(spent)]
    if not shares or min(shares) <= 0 or counts[0] < 1:
        raise ValueError(f"looks need numbers of seeds that ascend, not {list(counts)}")
    return [Look(j, len(counts), n, share) for j, (n, share) in enumerate(zip(counts, shares, strict=True), start=1)]


def adjust_at_look(
    questions: Questions, share: float, settled: Mapping[Hypothesis, str]
) -> dict[tuple[str, ...], dict[str, float | None]]:
    """P values of a look, adjusted over the study and over all looks: below 5 % means rejected at this look's level.

    Holm over questions (:func:`convlab.statistics.multiplicity.adjust_family`) at the level of the look, by p / share.

    Why the looks together hold the level: consider the first true null hypothesis that is ever rejected, at look j.
    Until then no true null has passed its share on, since only rejections do; a hypothesis that was called equivalent
    keeps its place. So all questions that hold a true null are still in the family, m0 of them, and the p value of that
    look is at most alpha s_j / m0, which happens with probability alpha s_j at most, over all true nulls (the proof of
    ``adjust_family``, at a fixed number of seeds: it is about the runs that would have been made). The sum over looks
    is alpha.

    Letting what is equivalent leave the family, as a rejected hypothesis does, would break this: of two true nulls the
    first may be called equivalent, and the second be tested at twice its level.

    Args:
        questions: p values at this look; those of settled hypotheses are not looked at.
        share: of the level, of this look.
        settled: verdicts of earlier looks.
    """
    at_level = {
        question: {
            name: P_SETTLED[settled[question, name]] if (question, name) in settled else _over(p, share)
            for name, p in contrasts.items()
        }
        for question, contrasts in questions.items()
    }
    return adjust_family(at_level)


def adjust_equivalences_at_look(
    questions: Questions, family: int, share: float
) -> dict[tuple[str, ...], dict[str, float | None]]:
    """P values of equivalence at a look, adjusted over the study and over all looks (Bonferroni over both).

    Args:
        family: questions and measured claims of the study that are tested, those that are settled included.
    """
    adjusted = adjust_equivalences(questions, family)
    return {question: {name: _over(p, share) for name, p in of.items()} for question, of in adjusted.items()}


def _over(p: float | None, share: float) -> float | None:
    return None if p is None else min(1.0, p / share)


@dataclass(frozen=True)
class Replay:
    """What the looks so far decided.

    Attributes:
        look: the last look that was reached.
        settled: verdict of each settled hypothesis, and the look at which it was reached.
        unsettled: hypotheses without one, in the order in which they were analysed.
    """

    look: Look
    settled: Mapping[Hypothesis, tuple[str, Look]]
    unsettled: tuple[Hypothesis, ...]


Analyse = Callable[[Look, Mapping[Hypothesis, str]], Mapping[Hypothesis, str]]
"""Verdicts at a look, given those that are settled."""


def replay(looks: Sequence[Look], analyse: Analyse, has_runs: Callable[[Look, Hypothesis], bool]) -> Replay:
    """Analyse look after look as if each were the present one, and keep every verdict from the look that reached it.

    Verdicts are a function of the runs and of the plan alone, so an analysis may be repeated, interrupted or lost. The
    first look is analysed whatever there is; a later one is reached when everything unsettled has its runs.

    Args:
        has_runs: whether the runs that a hypothesis needs at a look are there.
    """
    settled: dict[Hypothesis, tuple[str, Look]] = {}
    last, unsettled = looks[0], ()
    for look in looks:
        if look.number > 1 and not all(has_runs(look, hypothesis) for hypothesis in unsettled):
            break
        verdicts = analyse(look, {hypothesis: verdict for hypothesis, (verdict, _) in settled.items()})
        new = {key: (verdict, look) for key, verdict in verdicts.items() if key not in settled and verdict in P_SETTLED}
        settled |= new
        last = look
        unsettled = tuple(key for key, verdict in verdicts.items() if key not in settled and verdict == "inconclusive")
        if not unsettled:
            break
    return Replay(last, settled, unsettled)
