"""Results of a study as findings quote them, and the findings that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from convlab.results import columns
from convlab.results.timings import Timings
from convlab.results.tuning import empty_tuning_table
from convlab.study.variants import Plan

Kind = Literal["measured", "exploratory", "assumed", "conjecture", "note"]
"""Basis of a finding: a number of this study; a number whose interval is not adjusted; no measurement; a possible
reason; an explanation."""

VerdictOrGap = Literal["better", "worse", "equivalent", "inconclusive", "smoke", "missing"]


@dataclass(frozen=True)
class Finding:
    """A sentence or two of the report, and the numbers that it quotes by name, as in the tables (fractions, counts)."""

    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    kind: Kind = "measured"


@dataclass(frozen=True)
class Topic:
    """Findings under one heading of the interpretation: ``name`` is the heading's key in report/text, ``question`` the
    experiment that they are about, if they are about one."""

    name: str
    findings: tuple[Finding, ...]
    question: str | None = None


@dataclass(frozen=True)
class StudyResults:
    """Everything that a finding may quote. Frames have the columns of the tables in compare/; ``fits`` is
    :func:`convlab.results.fits.fits_table`; ``confidence`` has mean confidence and accuracy of each run;
    ``confusions`` are counts (true class, predicted class) by dataset and variant, summed over seeds."""

    plan: Plan
    rope: float
    runs: pd.DataFrame
    variants: pd.DataFrame
    comparisons: pd.DataFrame
    trends: pd.DataFrame
    factorials: pd.DataFrame
    per_class: pd.DataFrame
    fits: pd.DataFrame
    confidence: pd.DataFrame
    confusions: Mapping[str, Mapping[str, Sequence[Sequence[int]]]]
    classes: Mapping[str, Sequence[str]]
    test_images: Mapping[str, int]
    chosen: Mapping[str, str | None]
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)
    constant_guess: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    given_validation: Mapping[str, int] = field(default_factory=dict)
    """Number of validation images of each dataset that brings them; of others each seed sets its own aside."""
    """By dataset, the most frequent class of the test images (``class``), its ``share``, and what a constant guess
    scores by the column of each metric (``metrics``)."""
    robustness: pd.DataFrame = field(default_factory=pd.DataFrame)
    tuning: pd.DataFrame = field(default_factory=empty_tuning_table)
    timings: pd.DataFrame = field(default_factory=lambda: Timings().table)
    """Times that ``make timing`` measured, a row for each process."""
    convolutions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(columns.CONVOLUTIONS)))
    machines: int = 1
    """Number of different machines that trained the runs."""

    def variant(self, dataset: str, name: str) -> dict[str, Any]:
        """The row of one variant."""
        rows = self.variants
        return rows[(rows["dataset"] == dataset) & (rows["variant"] == name)].iloc[0].to_dict()

    def contrasts(self, dataset: str, question: str) -> list[dict[str, Any]]:
        """The rows of one question's comparisons."""
        rows = self.comparisons
        return rows[(rows["dataset"] == dataset) & (rows["experiment"] == question)].to_dict("records")

    def other_analyses(self, dataset: str, question: str, variant: str) -> list[dict[str, Any]]:
        """The rows of one comparison by other analyses than the registered one."""
        return self._robustness_rows.get((dataset, question, variant), [])

    @cached_property
    def _robustness_rows(self) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Rows of ``robustness`` by dataset, question and variant."""
        rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in self.robustness.to_dict("records"):
            rows.setdefault((row["dataset"], row["experiment"], row["variant"]), []).append(row)
        return rows

    def over_levels(self, dataset: str, question: str) -> list[dict[str, Any]]:
        """Rows about an experiment as a whole: the trend over ordered levels, or the effects of two factors."""
        return [
            row
            for rows in (self.trends, self.factorials)
            for row in rows[(rows["dataset"] == dataset) & (rows["experiment"] == question)].to_dict("records")
        ]

    def label(self, name: str) -> str:
        return self.plan.variants[name].label

    def side(self, name: str) -> str:
        """Side of a variant where convolution is held against dense networks: ``conv``, ``dense``, "" for neither."""
        return self.plan.variants[name].side

    def variants_with_details(self, dataset: str) -> list[str]:
        """Variants with a confusion matrix, the chosen one first; those without a finished run have none."""
        names = [name for name, matrix in self.confusions.get(dataset, {}).items() if len(matrix)]
        return sorted(names, key=lambda name: name != self.chosen.get(dataset))
