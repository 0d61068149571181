"""Checklist of a grading rubric: what a study has of it, what is missing, and which key of the config adds it.

A rubric is a module of ``study/rubrics/`` that defines ``RUBRIC``; ``report.rubric`` names it. A study is checked
against its plan before anything runs, and in the report also against what its runs gave. Nothing here gives points:
whether a text convinces, a grader decides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from convlab.common import registry
from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.study.schema import RUBRICS, Study

State = Literal["there", "missing", "unchecked"]

STATES: Mapping[State, str] = {
    "there": N_("there"),
    "missing": N_("missing"),
    "unchecked": N_("cannot be checked by a program"),
}
"""How each state reads, before translation."""

MAX_LACKING = 6
"""Keys of the config that one line names; of more their number."""


@dataclass(frozen=True)
class Finished:
    """What the report of a study has.

    Attributes:
        figures: by dataset, the id on the page of every figure by its ``<section>/<name>``.
        seeds: number of runs that finished, by dataset and variant.
        verdicts: by dataset, question and variant.
        late_claims: claims that were not registered before the first run, with when they were, in words.
    """

    figures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seeds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    verdicts: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    late_claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Requirement:
    """One thing that a grader looks for.

    Attributes:
        text: what it is, before translation.
        section: the report's section in which it is, by its id.
        lacking: from a study, the keys of the config that would add it, none where it is there; None for what no
            program can check.
        figures: patterns of ``<section>/<name>``; the report needs a figure for each of them, on every dataset.
        unfinished: from a study and what its report has, what is missing there, as translated text.
    """

    text: str
    section: str
    lacking: Callable[[Study], Iterable[str]] | None = None
    figures: tuple[str, ...] = ()
    unfinished: Callable[[Study, Finished], Iterable[str]] = lambda study, finished: ()


@dataclass(frozen=True)
class Criterion:
    """Requirements that are graded together; ``points`` are the most that a grader gives, None for a bonus."""

    title: str
    points: int | None
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True)
class Rubric:
    """A grading rubric; ``title`` is English, and translated where it is shown."""

    title: str
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True)
class Checked:
    """A requirement held against a study; ``missing`` says what to add, or what the report lacks, ``anchor`` is the id
    of the figure or section in which it is."""

    requirement: Requirement
    state: State
    missing: str = ""
    anchor: str = ""

    @property
    def word(self) -> str:
        """The state in words."""
        return _(STATES[self.state])


@dataclass(frozen=True)
class CheckedCriterion:
    """A criterion with its requirements, in their order."""

    criterion: Criterion
    checks: tuple[Checked, ...]

    @property
    def weight(self) -> str:
        """How much a grader gives at most, in words."""
        points = self.criterion.points
        return _("bonus") if points is None else ngettext("{n} point", "{n} points", points)


@dataclass(frozen=True)
class Checklist:
    """A rubric held against a study."""

    rubric: Rubric
    criteria: tuple[CheckedCriterion, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Number of requirements in each state."""
        states = [check.state for entry in self.criteria for check in entry.checks]
        return {state: states.count(state) for state in STATES}

    @property
    def summary(self) -> str:
        """How many requirements are there, missing, and left to a grader, in one sentence."""
        return _(
            "{there} of {checked} requirements are there, {missing} are missing; {unchecked} more cannot be checked by "
            "a program. Points are the grader's.",
            checked=self.counts["there"] + self.counts["missing"],
            **self.counts,
        )


def rubric(name: str) -> Rubric:
    """The rubric that ``report.rubric`` names."""
    return registry.load(RUBRICS, name).RUBRIC


def modules(study: Study) -> tuple[str, ...]:
    """Dotted name of the module of a study's rubric, which is loaded by name; empty without one."""
    return (f"{RUBRICS}.{study.report.rubric}",) if study.report.rubric else ()


def checklist(study: Study, finished: Finished | None = None) -> Checklist | None:
    """A study's rubric held against its plan, and against its report where it has one; None without a rubric."""
    if study.report.rubric is None:
        return None
    chosen = rubric(study.report.rubric)
    return Checklist(
        chosen,
        tuple(
            CheckedCriterion(entry, tuple(_checked(item, study, finished) for item in entry.requirements))
            for entry in chosen.criteria
        ),
    )


def _checked(requirement: Requirement, study: Study, finished: Finished | None) -> Checked:
    """A requirement held against the plan first: what the config lacks, the report cannot have."""
    if requirement.lacking is None:
        return Checked(requirement, "unchecked", anchor=requirement.section)
    keys = list(requirement.lacking(study))
    if keys:
        return Checked(requirement, "missing", _("add {keys}", keys=_listed(keys)))
    if finished is not None:
        reasons = [*_missing_figures(requirement, finished), *requirement.unfinished(study, finished)]
        if reasons:
            return Checked(requirement, "missing", _("not in this report: {what}", what=_listed(reasons)))
    return Checked(requirement, "there", anchor=_anchor(requirement, finished))


def _anchor(requirement: Requirement, finished: Finished | None) -> str:
    """The id of the first figure of a requirement, else of its section."""
    shown = {} if finished is None else next(iter(finished.figures.values()), {})
    anchors = (shown[name] for pattern in requirement.figures for name in shown if fnmatchcase(name, pattern))
    return next(anchors, requirement.section)


def _missing_figures(requirement: Requirement, finished: Finished) -> list[str]:
    """A text for each figure that a dataset's report lacks."""
    return [
        _("figure {name} of {dataset}", name=pattern, dataset=dataset)
        for dataset, names in finished.figures.items()
        for pattern in requirement.figures
        if not any(fnmatchcase(name, pattern) for name in names)
    ]


def _listed(texts: list[str]) -> str:
    """Some texts, of many the first ones and how many more there are."""
    if len(texts) <= MAX_LACKING:
        return "; ".join(texts)
    shown = texts[: MAX_LACKING - 1]
    return "; ".join([*shown, _("{n} more", n=len(texts) - len(shown))])


def lines(checked: Checklist) -> Iterable[str]:
    """The checklist as lines of text, for ``make plan``."""
    yield f"{_(checked.rubric.title)}. {checked.summary}"
    for entry in checked.criteria:
        yield f"  {_(entry.criterion.title)} ({entry.weight})"
        for check in entry.checks:
            text = f"    {check.word}: {_(check.requirement.text)}"
            yield f"{text}: {check.missing}" if check.missing else text
