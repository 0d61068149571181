"""Measures of convolutions by level of a question: means over seeds, differences to the reference paired by seed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convlab.common.i18n import N_
from convlab.results import columns
from convlab.statistics.describe import DIFFERENCE, SHARE, Summary, summarise
from convlab.study.variants import Plan, Question


@dataclass(frozen=True)
class Measure:
    """How a measure reads in sentences, before translation; the values that it and its differences can have; decimals
    that are printed, of a share in percent."""

    label: str
    limits: tuple[float, float] = SHARE
    differences: tuple[float, float] = DIFFERENCE
    decimals: int = 1

    @property
    def is_share(self) -> bool:
        """Whether it is printed in percent, and its differences in percentage points."""
        return self.limits == SHARE


MEASURES = {
    "dead_filters": Measure(N_("share of dead filters")),
    "zero_outputs": Measure(N_("share of zero outputs")),
    "smoothness": Measure(N_("smoothness of the filters"), (-1.0, 1.0), (-2.0, 2.0), 3),
    "effective_maps": Measure(N_("number of effective maps"), (1.0, math.inf), (-math.inf, math.inf), 2),
}
"""What `evaluate` measures of every convolution, see ``evaluation.features``."""


Runs = dict[int, Mapping[str, Mapping[str, Any]] | None]
"""Measures of each seed's convolutions by layer; None of a run that diverged."""


def convolutions_table(evaluations: Mapping[tuple[str, str, int], Mapping[str, Any]], plan: Plan) -> pd.DataFrame:
    """A row for each dataset, question, convolution, variant and measure. Convolutions are matched by their names.

    Args:
        evaluations: what evaluate recorded of each run, by dataset, variant and seed.
    """
    runs: dict[tuple[str, str], Runs] = {}
    for (dataset, variant, seed), entry in evaluations.items():
        convolutions = entry.get("convolutions")
        runs.setdefault((dataset, variant), {})[seed] = (
            None if convolutions is None else {convolution["layer"]: convolution for convolution in convolutions}
        )
    rows = [
        row
        for dataset in dict.fromkeys(dataset for dataset, _variant in runs)
        for question in plan.questions.values()
        for row in _question_rows(dataset, question, {name: runs.get((dataset, name), {}) for name in _sides(question)})
    ]
    numbers = ("mean", "sd", "difference", "ci_low", "ci_high")
    return pd.DataFrame(rows, columns=list(columns.CONVOLUTIONS)).astype(dict.fromkeys(numbers, float))


def _sides(question: Question) -> list[str]:
    """The variants of a question, its reference first."""
    return [question.reference, *(name for name in question.variants if name != question.reference)]


def _question_rows(dataset: str, question: Question, runs: Mapping[str, Runs]) -> Iterator[dict[str, Any]]:
    """Rows of one question; ``runs`` are those of its variants."""
    layers = dict.fromkeys(layer for by_seed in runs.values() for run in by_seed.values() for layer in run or ())
    for layer in layers:
        for name, by_seed in runs.items():
            measured = [run[layer] for run in by_seed.values() if run and layer in run]
            if not measured:
                continue
            shared = [seed for seed in by_seed if seed in runs[question.reference]]
            diverged = sum(by_seed[seed] is None or runs[question.reference][seed] is None for seed in shared)
            for measure in MEASURES:
                values = {seed: _value(run, layer, measure) for seed, run in by_seed.items()}
                pairs = [values[seed] - _value(runs[question.reference][seed], layer, measure) for seed in shared]
                summary = summarise(list(values.values()), limits=MEASURES[measure].limits)
                difference = Summary(0, None, None, None, None, None)
                if name != question.reference:
                    difference = summarise(pairs, limits=MEASURES[measure].differences)
                yield {
                    "dataset": dataset,
                    "experiment": question.name,
                    "layer": layer,
                    "variant": name,
                    "reference": question.reference,
                    "filters": measured[0]["filters"],
                    "measure": measure,
                    "n_seeds": summary.n,
                    "mean": summary.mean,
                    "sd": summary.sd,
                    "n_pairs": difference.n,
                    "difference": difference.mean,
                    "ci_low": difference.ci_low,
                    "ci_high": difference.ci_high,
                    "n_diverged": diverged,
                }


def _value(run: Mapping[str, Any] | None, layer: str, measure: str) -> float:
    """A measure of a run's convolution; NaN where it is not defined, and for a run that diverged."""
    value = (run or {}).get(layer, {}).get(measure)
    return math.nan if value is None else value
