"""Claims in words: measured value, bound, and verdict in one sentence."""

from convlab.common.i18n import N_, ngettext, number
from convlab.common.i18n import gettext as _
from convlab.language.contrasts import TESTS, guessing
from convlab.language.numbers import ci_text, constant_text, format_p, p_over_study, quantity_text
from convlab.statistics.claim_links import LEVEL, ClaimVerdict, LinkResult, Problem
from convlab.statistics.claims import ClaimResult
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.metrics import AUROC, LOSS
from convlab.study.rules import difference, measures_only_times


def claim_sentence(result: ClaimResult, verdict: ClaimVerdict, p_adjusted: float | None) -> str:
    """Sentence of a claim: measured value with its uncertainty, and the verdict.

    For example: "test_accuracy(cnn) − test_accuracy(dense) is +2.78 pp (95 % CI +2.31 to +3.25; n = 3 seeds; one-sided
    p < .001, over the study p = .004): all of the interval is above 0."

    Args:
        verdict: over the study (:func:`convlab.statistics.claims.verdict_over_study`).
        p_adjusted: the claim's p value, adjusted over the study; None for an exact claim.
    """
    exact, links = result.link.n_seeds is None, len(result.claim.rule.links)
    sentence = _exact_sentence(result.link) if exact else _measured_sentence(result, verdict, p_adjusted)
    if result.guess and result.verdict != "contradicted":
        sentence = f"{sentence} {_met_by_guess(result)}"
    if links == 1:
        return sentence
    which = {
        "supported": N_("Of {n} comparisons the weakest: {statement}"),
        "contradicted": N_("Of {n} comparisons one that fails: {statement}"),
        "inconclusive": N_("Of {n} comparisons one that is open: {statement}"),
        "described": N_("Of {n} comparisons one about times: {statement}"),
    }
    return _(which[result.verdict], n=links, statement=sentence)


def _met_by_guess(result: ClaimResult) -> str:
    """Sentence about a constant guess that meets a claim's rule too."""
    guess = result.guess
    if {quantity.name for quantity in result.claim.rule.quantities} & {LOSS.column, AUROC.column}:
        return _(
            "It is met too by giving every image the shares of the classes as probabilities: a loss of {loss} nats, an "
            "AUROC of {auroc}.",
            loss=quantity_text(guess.entropy, ""),
            auroc=quantity_text(guess.value(AUROC.column), "%"),
        )
    return _(
        "It is met by {guess} too, which is right for {share} of the test images.",
        guess=guessing(guess.label),
        share=quantity_text(guess.share, "%"),
    )


def _exact_sentence(link: LinkResult) -> str:
    parts = {"quantity": link.quantity, "value": quantity_text(link.value, link.unit)}
    asked = _(_ASKED[link.relation], bound=_bound_text(link))
    if link.verdict == "supported":
        if link.relation == "==":
            return _("{quantity} is {value}, exactly.", **parts)
        return _("{quantity} is {value}, which is {asked}.", **parts, asked=asked)
    gap = constant_text(link.value - link.bound, "", signed=True)
    return _("{quantity} is {value}, not {asked} (difference {gap}).", **parts, asked=asked, gap=gap)


def _measured_sentence(result: ClaimResult, verdict: ClaimVerdict, p_adjusted: float | None) -> str:
    link = result.link
    where = problem_text(link.problem) if link.problem else _interval_against_bound(link)
    if link.verdict == "described" and measures_only_times(result.claim.rule):
        where = _("{where}; “make timing” measures times that decide it", where=where)
    if not link.problem and verdict != result.verdict:
        level = number(100 * LEVEL, "g")
        where = _("{where}, but p over the study does not reach {level} %", where=where, level=level)
    if link.value is None:
        return _("{quantity}: {where}.", quantity=link.quantity, where=where)
    return _(
        "{quantity} is {value} ({details}): {where}.",
        quantity=link.quantity,
        value=quantity_text(link.value, link.unit),
        details="; ".join(_details(result, p_adjusted)),
        where=where,
    )


def _details(result: ClaimResult, p_adjusted: float | None) -> list[str]:
    """Interval or SD, seeds and p value of the link that decides a claim."""
    link, details = result.link, []
    if link.ci_low is not None:
        details.append(ci_text(link.ci_low, link.ci_high, link.unit))
    if link.sd is not None:
        details.append(_("SD {sd}", sd=quantity_text(link.sd, link.unit)))
    if link.n_seeds and link.replicates == "rounds":
        details.append(ngettext("n = {n} round of “make timing”", "n = {n} rounds of “make timing”", link.n_seeds))
    elif link.n_seeds:
        details.append(ngettext("n = {n} seed", "n = {n} seeds", link.n_seeds))
    if link.n_missing:
        details.append(
            ngettext("{n} seed with a diverged run left out", "{n} seeds with a diverged run left out", link.n_missing)
        )
    if result.p_value is not None and link.p_support is not None:  # the p value may be of another link
        if result.repeats:
            p_text = f"{_(TESTS[result.repeats.contrast.method])} {format_p(result.p_value)}"
        else:
            p_text = _("one-sided {p}", p=format_p(result.p_value))
        details.append(p_over_study(p_text, result.p_value, p_adjusted))
    return details


def _interval_against_bound(link: LinkResult) -> str:
    """Position of the interval relative to the rule's bound; times are only described."""
    bound = _bound_text(link)
    if link.verdict == "described":
        return _("times are described and decide no claim, since seeds do not repeat the state of the machine")
    if link.verdict == "inconclusive":
        across, edge = N_("the interval reaches across {bound}"), N_("the interval reaches across the edge of {bound}")
        return _(edge if link.relation == "~" else across, bound=bound)
    if link.relation == "~":
        within, outside = N_("all of the interval is within {bound}"), N_("all of the interval is outside {bound}")
        return _(within if link.verdict == "supported" else outside, bound=bound)
    upward = (link.relation in (">", ">=")) == (link.verdict == "supported")
    above, below = N_("all of the interval is above {bound}"), N_("all of the interval is below {bound}")
    return _(above if upward else below, bound=bound)


def problem_text(problem: Problem) -> str:
    """Why a link of a rule cannot be tested, as a clause."""
    if problem.kind == "no value":
        wanted = dict.fromkeys(
            _("{quantity} of {variant}", quantity=q.spelling, variant=q.variant) for q in problem.quantities
        )
        text = _("no finished run gives {quantities}", quantities=", ".join(wanted))
        if all(quantity.name in ("balanced_accuracy", "macro_f1", "auroc") for quantity in problem.quantities):
            return _("{problem}, which is not defined where a class has no test image", problem=text)
        return text
    if problem.kind == "not finite":
        return ngettext(
            "{n} finished seed gives no finite value, so the claim is not decided",
            "{n} finished seeds give no finite value, so the claim is not decided",
            problem.seeds,
        )
    if problem.kind == "too few seeds":
        return _("this is a smoke test, at least {n} seeds are needed to infer anything", n=MIN_SEEDS)
    if problem.kind == "no variation":
        return _("the runs do not vary, so their variance cannot be estimated")
    return ngettext(
        "in {n} seed a run diverged, which speaks against what the others show",
        "in {n} seeds a run diverged, which speaks against what the others show",
        problem.seeds,
    )


_ASKED = {
    "<": N_("less than {bound}"),
    "<=": N_("at most {bound}"),
    "==": N_("exactly {bound}"),
    ">=": N_("at least {bound}"),
    ">": N_("more than {bound}"),
    "~": N_("within {bound}"),
}


def _bound_text(link: LinkResult) -> str:
    """Text of the bound with its tolerance: ``90.78 % ± 0.5 pp``, ``+0.5 pp``, ``0``."""
    bound = constant_text(link.bound, link.unit) if link.bound else "0"
    if link.tolerance is None:
        return bound
    tolerance = f"± {constant_text(link.tolerance, difference(link.unit), signed=False)}"
    return f"{bound} {tolerance}" if link.bound else tolerance
