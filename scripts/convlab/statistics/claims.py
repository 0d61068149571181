"""Tests of claims: supported, contradicted, inconclusive or described, from one number per seed. No text.

Exact rules (parameters, MACs, receptive field) are decided by exact arithmetic. Every other comparison is decided on
one number per seed: its measured side, or left minus right where both sides are measured, computed within each seed.
Runs with the same seed share their split and order of images, so the seed is a block, as in a comparison
(:mod:`convlab.statistics.comparisons`), and the mean over seeds has Student's t interval with n - 1 degrees of freedom
(Student 1908, The probable error of a mean, Biometrika 6). That holds for any expression, ratios and products included,
whatever the correlation between variants, without an approximation of its variance. What is estimated is the mean over
seeds of the expression.

- A difference of two variants that a question compares has the estimate, standard error and degrees of freedom of that
  contrast: one model for both.
- A claim that only asks for the sign of such a difference repeats the contrast: it has the contrast's interval and p
  value, and the two count once in the family.

- ``supported``: the whole 95 % interval satisfies the relation; ``contradicted``: the whole interval violates it.
- ``a < b < c`` is supported if all of its links are, contradicted if any is.
- ``a ~ b ± t``: supported if the interval of a - b lies within ± t, contradicted if it lies outside.
- Both need p over the study below 5 % besides (Holm, over experiments, comparisons and measured claims).
- Fewer than three seeds, or runs that do not vary, decide nothing, as everywhere in ``convlab.statistics``.
- A finished run without a finite value (a ratio with a denominator of 0, a mean over classes of which one has no test
  image) decides nothing either: the other seeds would be selected by their outcome.
- A seed with a diverged run is left out of the interval, and counts with the worst value there is (accuracy 0, loss
  infinite): where it then speaks against the verdict of the others, the claim is inconclusive.
- Times are ``described``, by mean and SD. Runs of different seeds follow each other on one machine, beside other runs,
  so what varies between variants is the machine's state as well, and seeds are no replicates of it. Times are tested
  only if they were measured in rounds, each of which times every variant once. A round is then what a seed is.

p values are one-sided. Of a claim and its negation exactly one is true, so only one verdict can be an error: support is
tested against the negation, contradiction against the claim, and the p value is that of the side on which the estimate
lies. Several links: the largest p speaks for the support of all (intersection-union test: Berger 1982, Multiparameter
hypothesis testing and acceptance sampling, Technometrics 24, 295-300), the smallest times their number for the
contradiction of any (Bonferroni). An approximate value: support is the larger of two one-sided tests (Schuirmann 1987),
contradiction twice the smaller of the two outward ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pandas as pd

from convlab.statistics.claim_links import (
    LEVEL,
    ClaimVerdict,
    Contrasts,
    Costs,
    LinkResult,
    QuestionContrast,
    judge,
    link_result,
)
from convlab.study.rules import (
    FLIPPED,
    evaluate,
    is_exact,
)
from convlab.study.variants import PlannedClaim


@dataclass(frozen=True)
class ConstantGuess:
    """The baseline of every metric: the same probabilities for every image, the shares of the classes.

    Its answer is the most frequent class of the test images.

    Attributes:
        label: that class, empty where several are equally frequent; ``share`` of the test images are of it.
        classes: how many there are.
        entropy: of the shares of the classes, in nats: the loss of the guess, the least that a constant guess has.
    """

    label: str
    share: Fraction
    classes: int
    entropy: float

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "ConstantGuess | None":
        """The constant guess for these numbers of test images by class; None without images."""
        total = sum(counts.values())
        if not total:
            return None
        most = max(counts.values())
        labels = [label for label, count in counts.items() if count == most]
        entropy = -sum(count / total * math.log(count / total) for count in counts.values() if count)
        return cls(labels[0] if len(labels) == 1 else "", Fraction(int(most), int(total)), len(counts), entropy)

    def value(self, quantity: str) -> Fraction | None:
        """Value of a claim's quantity for this guess; None where it is undefined."""
        return {
            "test_accuracy": self.share,
            "balanced_accuracy": Fraction(1, self.classes),
            "macro_f1": 2 * self.share / (1 + self.share) / self.classes,
            "test_loss": Fraction(self.entropy),
            "auroc": Fraction(1, 2),
        }.get(quantity)


@dataclass(frozen=True)
class ClaimResult:
    """A claim on a dataset, before p is adjusted over the study; ``link`` is the result of the link that decides.

    ``guess``: a constant guess that meets the rule as well.
    """

    claim: PlannedClaim
    dataset: str
    verdict: ClaimVerdict
    link: LinkResult
    p_value: float | None = None
    guess: ConstantGuess | None = None

    @property
    def repeats(self) -> QuestionContrast | None:
        """The contrast of a question of which this claim is the same hypothesis; None for rules of several links."""
        return self.link.repeats if len(self.claim.rule.links) == 1 else None


def decide(
    claim: PlannedClaim,
    dataset: str,
    runs: pd.DataFrame,
    costs: Costs,
    guesses: Mapping[str, ConstantGuess | None] | None = None,
    contrasts: Contrasts | None = None,
) -> ClaimResult:
    """Test one claim on its runs; quantities that name no dataset are those of ``dataset``.

    Args:
        runs: runs.csv as a frame, with a column of its spelling for each quantity that a probe measured. Runs that are
            not finished count as missing. Or times that were measured in rounds: then it has a column ``round``, and
            rounds are its seeds.
        costs: of every dataset and variant.
        guesses: the constant guess of each dataset.
        contrasts: what the study's questions test, from :func:`contrasts_by_variants`.
    """
    links = [link_result(link, dataset, runs, costs, contrasts or {}) for link in claim.rule.links]
    result = _over_links(claim, dataset, links)
    owners = {quantity.dataset or dataset for quantity in claim.rule.quantities}
    guess = (guesses or {}).get(next(iter(owners))) if len(owners) == 1 else None
    return replace(result, guess=guess) if guess and _guess_meets(claim, guess) else result


def verdict_over_study(result: ClaimResult, p_adjusted: float | None) -> ClaimVerdict:
    """Verdict of a claim after adjustment over the study: a tested claim needs an adjusted p below ``LEVEL``.

    Args:
        p_adjusted: None for an exact claim.
    """
    tested = result.verdict in ("supported", "contradicted") and result.p_value is not None
    return "inconclusive" if tested and not (p_adjusted is not None and p_adjusted < LEVEL) else result.verdict


def _guess_meets(claim: PlannedClaim, guess: ConstantGuess) -> bool:
    """Whether a constant guess also meets a rule that sets a lower bound for one variant's accuracy, F1 or AUROC, or an
    upper bound for its loss."""
    if len({quantity.variant for quantity in claim.rule.quantities}) != 1:
        return False
    at_least = [link.relation if is_exact(link.right) else FLIPPED[link.relation] for link in claim.rule.links]
    only_loss = all(quantity.name == "test_loss" for quantity in claim.rule.quantities)
    if not ({"<", "<=", "~"} if only_loss else {">", ">=", "~"}) & set(at_least):
        return False
    for link in claim.rule.links:
        values = {quantity: guess.value(quantity.name) for quantity in link.quantities}
        if None in values.values() or not (is_exact(link.left) or is_exact(link.right)):
            return False
        try:
            left, right = (evaluate(side, values.__getitem__) for side in (link.left, link.right))
        except ZeroDivisionError:
            return False
        if judge(link.relation, left, left, right, link.tolerance) != "supported":
            return False
    return True


def _over_links(claim: PlannedClaim, dataset: str, links: list[LinkResult]) -> ClaimResult:
    """Result of a rule from the results of its links."""
    tested = [link for link in links if link.p_support is not None]
    measured = [link for link in links if link.n_seeds is not None]
    verdicts = {link.verdict for link in links}
    # Without a test of each measured link the claim as a whole cannot be supported.
    p_support = max((link.p_support for link in tested), default=1.0) if len(tested) == len(measured) else 1.0
    p_contradict = min(1.0, len(measured) * min((link.p_contradict for link in tested), default=1.0))
    if "contradicted" in verdicts:
        wrong = [link for link in links if link.verdict == "contradicted"]
        decisive = min(wrong, key=lambda link: 0.0 if link.p_contradict is None else link.p_contradict)
        exactly = decisive.n_seeds is None
        return ClaimResult(claim, dataset, "contradicted", decisive, None if exactly else p_contradict)
    if "described" in verdicts:
        return ClaimResult(claim, dataset, "described", next(link for link in links if link.verdict == "described"))
    p_value = min(p_support, p_contradict) if tested else None
    if verdicts == {"supported"}:
        weakest = max(links, key=lambda link: -1.0 if link.p_support is None else link.p_support)
        return ClaimResult(claim, dataset, "supported", weakest, p_value)
    inconclusive = [link for link in links if link.verdict == "inconclusive"]
    weakest = max(inconclusive, key=lambda link: 2.0 if link.p_support is None else link.p_support)
    return ClaimResult(claim, dataset, "inconclusive", weakest, p_value)
