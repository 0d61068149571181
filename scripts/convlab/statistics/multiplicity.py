"""Multiplicity: p values adjusted over the questions of a study (Holm, Bonferroni, Benjamini-Hochberg).

References
----------
Benjamini & Hochberg (1995), Controlling the false discovery rate, J. R. Statist. Soc. B 57, 289-300.
Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 65-70.
"""

from collections.abc import Mapping, Sequence


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
    from scipy import stats  # takes a third of a second, and most processes need none of it

    tested = [index for index, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        for index, p in zip(tested, stats.false_discovery_control([p_values[i] for i in tested]), strict=True):
            adjusted[index] = float(p)
    return adjusted
