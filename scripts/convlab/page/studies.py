"""Index of all studies in a results folder: question, verdicts, chosen variant, accuracy and date of each.

Read from what ``compare`` left. A study that another version of convlab wrote is shown as far as it can be read; what
cannot be read, or is no study, is named with the reason.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.i18n import ngettext
from convlab.errors import UserError
from convlab.findings.collect import CLAIM_VERDICTS
from convlab.findings.contrasts import headline, verdict_or_gap, verdict_text
from convlab.findings.registration import exploratory, registered_when
from convlab.language import numbers as say
from convlab.language.contrasts import VERDICTS, contrast_labels
from convlab.page.format import mean_and_sd, seeds_text
from convlab.states import find
from convlab.states.find import State
from convlab.study import layout
from convlab.study.load import load_study
from convlab.study.metrics import BY_COLUMN
from convlab.study.schema import SLUG
from convlab.study.variants import Plan

MAX_CONTRASTS = 6
"""Comparisons of a study that the index shows; the others are in its report."""

MAX_REASON_CHARS = 300
"""Characters of the reason why a folder cannot be read."""

READING_ERRORS = (UserError, LookupError, TypeError, ValueError, AttributeError, OSError)
"""What reading a folder raises that is damaged, or that another version of convlab wrote."""

HEAD_CHARS = 20_000
"""Characters at the beginning of a report in which its title stands."""

NO_STUDIES = frozenset({"quick", "diff"})
"""Folders beside the studies: configs that ``make quick`` wrote, and pages of ``make diff``."""


@dataclass(frozen=True)
class ContrastLine:
    """A comparison: its verdict with the badge's text, headline, difference and interval."""

    verdict: str
    badge: str
    headline: str
    difference: str
    interval: str
    exploratory: str


@dataclass(frozen=True)
class StudyCard:
    """One finished study. ``report`` and ``peek`` are addresses below the folder of the index, empty for none;
    ``chosen`` has a line for each dataset, ``left_out`` counts the comparisons that are not shown."""

    name: str
    title: str
    finished: str
    facts: str
    report: str
    chosen: tuple[str, ...]
    contrasts: tuple[ContrastLine, ...]
    left_out: int
    claims: str


@dataclass(frozen=True)
class Unfinished:
    """A study that has not been compared yet: its runs so far, and the address of the report of what is finished."""

    name: str
    runs: int
    peek: str


@dataclass(frozen=True)
class StudiesIndex:
    """All that a results folder holds: studies by date, the newest first, and a sentence for each other folder."""

    language: str
    studies: tuple[StudyCard, ...]
    unfinished: tuple[Unfinished, ...]
    unreadable: tuple[str, ...]


def studies_index(results: Path) -> StudiesIndex:
    """Read every study in a results folder, and set the language of the newest one.

    Args:
        results: folder with the studies' folders; it may be missing.
    """
    states, problems = {}, {}
    unfinished, foreign = [], []
    for folder in sorted(path for path in results.glob("*") if path.is_dir() and not path.name.startswith(".")):
        name = folder.name
        if not (SLUG.fullmatch(name) and layout.holds_study(folder)):
            foreign += [name] if name not in NO_STUDIES else []
        elif not (layout.compared(folder) / "summary.json").exists():
            unfinished.append(_unfinished(folder, results))
        else:
            try:
                states[name] = find.read(str(folder), results)
                ended(states[name])
            except READING_ERRORS as error:
                states.pop(name, None)
                problems[name] = error
    ordered = sorted(states, key=lambda name: (ended(states[name]), name), reverse=True)
    i18n.set_language(_language(states[ordered[0]]) if ordered else i18n.SOURCE)
    cards = []
    for name in ordered:
        try:
            cards.append(study_card(states[name], layout.study_folder(name, results), results))
        except READING_ERRORS as error:
            problems[name] = error
    unreadable = [_cannot_read(name, error) for name, error in sorted(problems.items())]
    unreadable += [_("{name} is no study of convlab.", name=name) for name in foreign]
    return StudiesIndex(i18n.language(), tuple(cards), tuple(unfinished), tuple(unreadable))


def _unfinished(folder: Path, results: Path) -> Unfinished:
    """A study without a comparison: the runs that it has, and the report of what is finished, if there is one."""
    runs = sum(layout.run_of_record(path)[0] == folder.name for path in layout.run_records(results))
    return Unfinished(folder.name, runs, address(layout.peeked(folder) / "index.html", results))


def ended(state: State) -> str:
    """When the last run of a study ended, UTC, ISO 8601."""
    return str(state.summary["training"]["last_finished"])


def _language(state: State) -> str:
    language = state.provenance["config"].get("report", {}).get("language")
    return language if language in i18n.LANGUAGES else i18n.SOURCE


def _cannot_read(name: str, error: Exception) -> str:
    """A sentence about a folder that cannot be read; other errors come from files of another version."""
    if isinstance(error, UserError | OSError):
        return _("{name} cannot be read: {reason}.", name=name, reason=str(error)[:MAX_REASON_CHARS])
    return _("{name} was written by another version of convlab and cannot be read; run it again.", name=name)


def address(path: Path, results: Path) -> str:
    """Relative address of a file below the folder of the index; empty where it does not exist."""
    return quote(path.relative_to(results).as_posix()) if path.is_file() else ""


def study_card(state: State, folder: Path, results: Path) -> StudyCard:
    """What the index shows of one study."""
    config, plan = state.provenance["config"], plan_of(state)
    labels = {(row["dataset"], row["variant"]): row["label"] for row in state.variants.to_dict("records")}
    several = len(config["datasets"]) > 1
    comparisons = list(state.comparisons.to_dict("records"))
    rope = float(config["statistics"]["rope"])
    report = layout.reported(folder) / "index.html"
    shown = [contrast_line(row, plan, labels, rope, several) for row in comparisons[:MAX_CONTRASTS]]
    seeds = sorted({int(n) for n in state.variants["n_seeds"]})
    facts = [
        ", ".join(config["datasets"]),
        ngettext("{n} run", "{n} runs", state.summary["training"]["runs"]),
        ngettext("{n} seed", "{n} seeds", 1)
        if seeds == [1]
        else _("{n} seeds", n=seeds_text(seeds if len(seeds) == 1 else [seeds[0], seeds[-1]])),
    ]
    return StudyCard(
        folder.name,
        report_title(report) or state.study,
        ended(state)[:16].replace("T", " "),
        " · ".join(facts),
        address(report, results),
        tuple(chosen_lines(state, several)),
        tuple(shown),
        len(comparisons) - len(shown),
        claims_text(state.claims),
    )


def report_title(report: Path) -> str:
    """The title of a report, which compare's tables do not have; empty where there is none."""
    try:
        with report.open(encoding="utf-8", errors="replace") as file:
            head = file.read(HEAD_CHARS)
    except OSError:
        return ""
    title = re.search(r"<title>(.*?)</title>", head, re.DOTALL)
    return html.unescape(title[1]).strip() if title else ""


def plan_of(state: State) -> Plan | None:
    """The study's plan, for labels and questions; None where this version, or this machine, cannot expand it."""
    try:
        return load_study(state.provenance["config"]).plan
    except UserError:
        return None


def contrast_line(
    row: Mapping[str, Any], plan: Plan | None, labels: Mapping[tuple[str, str], str], rope: float, several: bool
) -> ContrastLine:
    """One comparison as the index shows it.

    Args:
        labels: of variants by dataset, for a study without ``plan``.
        several: whether the study has several datasets, so that the line names its own.
    """
    if plan is not None and row["experiment"] in plan.questions:
        sides = contrast_labels(plan, plan.questions[row["experiment"]], row["variant"])
    else:
        sides = tuple(labels.get((row["dataset"], row[side]), row[side]) for side in ("variant", "reference"))
    metric, text = BY_COLUMN[row["metric"]], headline(row, *sides, rope)
    return ContrastLine(
        verdict_or_gap(row),
        verdict_text(row),
        f"{row['dataset']}: {text}" if several else text,
        say.change(row["difference"], metric),
        "" if say.missing(row["ci_low"]) else say.change_interval(row["ci_low"], row["ci_high"], metric),
        registered_when(row) if "registration" in row and exploratory(row) else "",
    )


def chosen_lines(state: State, several: bool) -> Iterator[str]:
    """The chosen variant of each dataset with its accuracy."""
    for dataset, name in state.summary["chosen"].items():
        rows = state.variants[(state.variants["dataset"] == dataset) & (state.variants["variant"] == name)]
        if len(rows):
            row = rows.iloc[0].to_dict()
            text = _("{label}, test accuracy {accuracy}", label=row["label"], accuracy=mean_and_sd(row))
            yield f"{dataset}: {text}" if several else text


def claims_text(claims: pd.DataFrame) -> str:
    """How many claims have each verdict, ``2 supported, 1 inconclusive``; empty without claims."""
    numbers = claims["verdict"].value_counts()
    return ", ".join(f"{say.count(numbers[name])} {_(VERDICTS[name])}" for name in CLAIM_VERDICTS if name in numbers)
