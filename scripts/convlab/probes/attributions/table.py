"""Tables of the attributions probe: the score of every check by method, and which checks a method passes."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd

from convlab.common.i18n import N_
from convlab.language.numbers import missing
from convlab.probes.attributions.settings import METHODS
from convlab.probes.curves import CURVE_COLUMNS, Measure, point
from convlab.probes.measured import Measured
from convlab.results.columns import Column
from convlab.study.variants import Plan, Probe

CORRELATION = (-1.0, 1.0)

MEASURES = {
    "randomised": Measure(N_("rank correlation with an untrained network"), CORRELATION, is_share=False),
    "randomised_strength": Measure(N_("the same, of strengths alone"), CORRELATION, is_share=False),
    "planted": Measure(N_("strongest pixels inside the planted square")),
    "planted_mass": Measure(N_("attribution inside the planted square")),
    "agreement": Measure(N_("rank correlation between runs"), CORRELATION, is_share=False),
    "incomplete": Measure(N_("missing from the sum"), (0.0, float("inf"))),
    "planted_chance": Measure(N_("planted square's share of the image")),
    "planted_accuracy": Measure(N_("accuracy on planted data")),
}

MEASURED = {
    "method": Column("text", "`grad_cam`, `integrated_gradients` or `occlusion`; empty for what is about all of them"),
    "check": Column(
        "text",
        "`randomised` (rank correlation with the map of an untrained network), `randomised_strength` (of absolute "
        "values), `agreement` (with the maps of the other runs), `planted`, `planted_mass` (strongest pixels, and "
        "absolute attribution, inside of the planted square), `planted_chance` (that square's share of the image), "
        "`planted_accuracy` (of the network trained on planted data), `incomplete` (share missing from the sum)",
    ),
    "score": Column("number", "the mean over the images; empty where it is not defined"),
}

Verdict = Literal["passed", "failed", "undecided", "not_made"]

CHECKS = ("randomised", "planted", "agreement")
"""The checks of a method, by the measure that each rests on."""

SIMILAR = 0.5
"""Rank correlation from which on two maps count as similar: one then gives a quarter of the variance of the other's
ranks, which is more than a picture should owe to an untrained network, and the least that runs should share."""

HIT = 0.5
"""Share of the strongest pixels that have to lie inside of the planted square: most of what a reader looks at."""


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Scores of every check by method; a method is a level, and what is about all of them has the level 0."""
    rows = []
    levels = {"": "", **METHODS}
    table = measured.table.fillna({"method": ""})
    for (dataset, variant), of_variant in table.groupby(["dataset", "variant"]):
        for order, (method, level) in enumerate(levels.items()):
            of_method = of_variant[of_variant["method"] == method]
            for check in MEASURES:
                scores = of_method.loc[of_method["check"] == check, "score"]
                if len(scores):
                    values = pseudo_values(scores) if check == "agreement" else scores
                    rows.append(point(dataset, probe.name, variant, check, level, float(order), values))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def pseudo_values(scores: pd.Series) -> pd.Series:
    """Jackknife's pseudo-values of a mean over all pairs of runs (Efron and Stein 1981), one for each run.

    Pairs share runs, so their own scatter would give too short an interval. The pseudo-values have the same mean.

    Args:
        scores: of each run, the mean over its pairs with all others.
    """
    runs = scores.notna().sum()
    return scores if runs < 3 else (2 * (runs - 1) * scores - runs * scores.mean()) / (runs - 2)


def by_method(curves: pd.DataFrame) -> Iterator[tuple[str, dict[str, dict[str, dict[str, Any]]]]]:
    """Variants with their rows of the curves, by method ('' for what is about all of them) and measure."""
    names = ["", *METHODS]
    for variant, group in curves.groupby("variant", sort=False):
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        for row in group.to_dict("records"):
            rows.setdefault(names[int(row["order"])], {})[row["measure"]] = row
        yield variant, rows


def verdicts(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Verdict]:
    """Which checks a method passes: those whose whole interval lies on the right side of the limit.

    A map is like that of an untrained network if either its values or their strengths alone are. Without an interval,
    as with fewer than three runs, nothing is decided.

    Args:
        rows: of one variant and method, by measure.
    """
    values, strengths = (_side(rows.get(name), SIMILAR) for name in ("randomised", "randomised_strength"))
    sides = {
        "randomised": _worse(_REVERSED[values], _REVERSED[strengths]),
        "planted": _side(rows.get("planted"), HIT),
        "agreement": _side(rows.get("agreement"), SIMILAR),
    }
    return {check: sides[check] for check in CHECKS}


def only_strengths_fail(rows: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the strengths of a map are those of the untrained network, and its values are not."""
    return verdicts(rows)["randomised"] == "failed" and _side(rows["randomised"], SIMILAR) == "failed"


_REVERSED: dict[Verdict, Verdict] = {
    "passed": "failed", "failed": "passed", "undecided": "undecided", "not_made": "not_made",
}  # fmt: skip


def _worse(first: Verdict, second: Verdict) -> Verdict:
    return min(first, second, key=("failed", "not_made", "undecided", "passed").index)


def _side(row: Mapping[str, Any] | None, limit: float) -> Verdict:
    """``passed`` above a limit, ``failed`` below it, by the whole interval."""
    if row is None or missing(row["mean"]):
        return "not_made"
    if missing(row["ci_low"]):
        return "undecided"
    if row["ci_low"] > limit:
        return "passed"
    return "failed" if row["ci_high"] < limit else "undecided"
