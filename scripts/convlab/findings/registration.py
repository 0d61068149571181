"""Registration in words: what was fixed before any run, what was changed or added afterwards, and earlier looks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from convlab.common.i18n import N_, instant, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import Finding, StudyResults
from convlab.study.registration import Kind, Standing, Standings
from convlab.study.registration_files import Look, Records

MAX_LISTED_LOOKS = 6
"""Looks listed with their dates: the last ones."""

SETTINGS = {
    "seeds": {
        "changed": N_(
            "The seeds were changed after runs were known (n = {n}), so every verdict is exploratory: seeds that are "
            "added until something is settled make wrong verdicts more frequent than the p values say."
        ),
        "added": N_("The seeds were registered after runs were known (n = {n}), so every verdict is exploratory."),
    },
    "statistics": {
        "changed": N_(
            "How differences are judged (the region of practical equivalence, the measure) was changed after runs were "
            "known (n = {n}), so every verdict is exploratory."
        ),
        "added": N_(
            "How differences are judged was registered after runs were known (n = {n}), so every verdict is "
            "exploratory."
        ),
    },
    "choice": {
        "changed": N_("The rule that chooses the exported model was changed after runs were known (n = {n})."),
        "added": N_("The rule that chooses the exported model was registered after runs were known (n = {n})."),
    },
    "tuning": {
        "changed": N_("Which settings tuning draws was changed after runs were known (n = {n})."),
        "added": N_("Which settings tuning draws was registered after runs were known (n = {n})."),
    },
}


def registered_when(row: Mapping[str, Any]) -> str:
    """When a claim or contrast was registered, in a few words."""
    known = int(row["n_runs_known"])
    if row["registration"] == "changed":
        return ngettext("changed after {n} run was known", "changed after {n} runs were known", known)
    if row["registration"] == "added":
        return ngettext("added after {n} run was known", "added after {n} runs were known", known)
    return _("registered before any run")


def exploratory(row: Mapping[str, Any]) -> bool:
    """Whether a claim or contrast was not registered before any run."""
    return row["registration"] != "registered"


def claims_registration(claims: pd.DataFrame) -> list[Finding]:
    """When claims were registered: a finding for all claims of which the same is known."""
    groups: dict[tuple[str, int], list[str]] = {}
    for row in claims.to_dict("records"):
        names = groups.setdefault((row["registration"], int(row["n_runs_known"])), [])
        if row["claim"] not in names:
            names.append(row["claim"])
    findings = []
    for (status, known), names in groups.items():
        claims = _("All claims") if len(groups) == 1 else listing(names)
        row = {"registration": status, "n_runs_known": known}
        text = _("{claims}: {when}.", claims=claims, when=registered_when(row))
        if exploratory(row):
            text = _(
                "{claims}: {when}. Read as exploratory what was decided; it is no part of the confirmatory family.",
                claims=claims,
                when=registered_when(row),
            )
        findings.append(Finding(text, {"claims": len(names), "n_runs_known": known}))
    return findings


def registration_notices(results: StudyResults, standings: Standings, records: Records) -> list[Finding]:
    """What the first screen says about the registration; nothing where all that was registered is as it was."""
    return [
        *_altered(records.altered),
        *_verdicts(results, records),
        *_settings(standings, ("seeds", "statistics", "choice", *(["tuning"] if results.plan.trials else []))),
        *_removed(standings),
    ]


def _altered(names: Sequence[str]) -> Iterable[Finding]:
    if names:
        text = _(
            "The registration of this study is not as it was written: {files}. What it says about times and contents "
            "cannot be relied on.",
            files=listing(names),
        )
        yield Finding(text, {"files": len(names)})


def _verdicts(results: StudyResults, records: Records) -> Iterable[Finding]:
    """How many verdicts are exploratory, and why where it is for one reason."""
    rows = [*results.comparisons.to_dict("records"), *results.claims.to_dict("records")]
    later = [row for row in rows if exploratory(row)]
    if not later:
        return
    numbers = {"exploratory": len(later), "verdicts": len(rows)}
    if not records.registrations:
        text = _("Nothing of this study was registered before its runs: read all verdicts as exploratory.")
    elif len(later) == len(rows):
        text = _(
            "No verdict of this study was registered as it is now before its runs: read all of them as exploratory."
        )
    else:
        text = ngettext(
            "{count} of {n} verdict is exploratory: what it is about was changed or added when runs were known.",
            "{count} of {n} verdicts are exploratory: what they are about was changed or added when runs were known.",
            len(rows),
            count=len(later),
        )
    yield Finding(text, numbers)


def _settings(standings: Standings, kinds: Sequence[Kind]) -> Iterable[Finding]:
    for kind in kinds:
        standing: Standing = standings.setting(kind)
        if standing.exploratory:
            text = _(SETTINGS[kind][standing.status], n=standing.n_runs_known)
            yield Finding(text, {"n_runs_known": standing.n_runs_known})


def _removed(standings: Standings) -> Iterable[Finding]:
    names = list(dict.fromkeys(label["name"] for label in standings.removed))
    if names:
        text = ngettext(
            "{names} was registered and is no more in the config. The verdicts are adjusted as if it were.",
            "{names} were registered and are no more in the config. The verdicts are adjusted as if they were.",
            len(names),
            names=listing(names),
        )
        yield Finding(text, {"removed": len(names)})


def look_text(look: Look) -> str:
    """``look 2: 2026-11-20 09:52:21 UTC, 18 runs``."""
    date = instant(datetime.fromisoformat(look.time))
    return ngettext(
        "look {look}: {date}, {n} run", "look {look}: {date}, {n} runs", look.runs, look=look.look, date=date
    )


def looks(ledger: Sequence[Look]) -> list[Finding]:
    """Limitation by earlier looks at the test images; nothing at the first."""
    if len(ledger) < 2:
        return []
    dates = [look_text(look) for look in ledger[-MAX_LISTED_LOOKS:]]
    text = _(
        "This is look {look} at the test results of this study ({dates}). Every look is another occasion to find "
        "something by chance, and no p value counts one that was not planned.",
        look=ledger[-1].look,
        dates=listing(dates),
    )
    return [Finding(text, {"looks": ledger[-1].look})]
