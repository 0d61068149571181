"""Registration: whether claims, questions, seeds and the ROPE were written before the runs or after a look.

Only kept states of the study show it (``history.settled``); if they do not, the sentence says that it is not known.
"""

from collections.abc import Sequence

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding
from convlab.states.history import Settled

CLAIMS = {
    (True, False): N_("{claims}: recorded before the present runs were started."),
    (True, True): N_(
        "{claims}: added or changed after results of this study had been compared, but recorded before the present "
        "runs were started."
    ),
    (False, True): N_(
        "{claims}: added or changed after results of this study had been compared, so read as exploratory what was "
        "decided."
    ),
    (False, False): N_(
        "{claims}: in the config as it was when results of this study were first compared; whether that was before the "
        "runs is not known."
    ),
}
"""Sentence about claims, by (known to be older than the present runs, known to be younger than a look)."""

REGISTRATION_UNKNOWN = N_("{claims}: in the config; whether that was so before the runs is not known.")
"""The same if the first states are not kept any more."""

LATER = {
    "question": N_("The question {name} was added or changed after results of this study had been compared."),
    "seeds": N_(
        "The seeds were changed after results of this study had been compared: seeds that are added until something is "
        "settled make wrong verdicts more frequent than the p values say."
    ),
    "rope": N_("The region of practical equivalence was changed after results of this study had been compared."),
}


def claims_registration(names: Sequence[str], settled: Settled) -> list[Finding]:
    """Findings about when claims were written, one for all claims of which the same is known."""
    groups: dict[tuple[bool, bool], list[str]] = {}
    for name in names:
        key = ("claim", name)
        groups.setdefault((key in settled.before, key in settled.after), []).append(name)
    findings = []
    for known, members in groups.items():
        message = CLAIMS[known] if any(known) or settled.complete else REGISTRATION_UNKNOWN
        claims = _("All claims") if len(groups) == 1 else listing(members)
        findings.append(Finding(_(message, claims=claims), {"claims": len(members)}))
    return findings


def looks(settled: Settled) -> list[Finding]:
    """Limitation by earlier looks: their number, and what was written after them."""
    findings = []
    if settled.looks:
        text = ngettext(
            "Test results of this study were compared before, in {n} earlier state that is kept: every look is another "
            "occasion to find something by chance, and no p value counts it.",
            "Test results of this study were compared before, in {n} earlier states that are kept: every look is "
            "another occasion to find something by chance, and no p value counts it.",
            settled.looks,
        )
        findings.append(Finding(text, {"looks": settled.looks}))
    later = [(kind, name) for kind, name in sorted(settled.after) if kind in LATER]
    findings += [Finding(_(LATER[kind], name=name)) for kind, name in later]
    if not {("seeds", ""), ("rope", "")} <= settled.before:
        text = _(
            "Whether questions, seeds and the region of practical equivalence were fixed before the runs is not known "
            "from what is kept."
        )
        findings.append(Finding(text))
    return findings
