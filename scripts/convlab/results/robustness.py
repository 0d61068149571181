"""Whether verdicts survive other analyses, of the same runs and of tuned ones: table robustness.csv."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convlab.language.robustness import TUNED, WITHOUT_SEED
from convlab.results import columns
from convlab.results.asked import ALL, Asked
from convlab.results.family import Family, adjusted_family
from convlab.statistics import robustness
from convlab.statistics.comparisons import Contrast, Verdict, verdict
from convlab.statistics.sequential import ONLY_LOOK
from convlab.study.metrics import ACCURACY, LOSS, Metric
from convlab.study.variants import Plan

Key = tuple[str, str]
"""Dataset and question."""


@dataclass(frozen=True)
class _Analysis:
    """One analysis of all questions of a study.

    Attributes:
        values: runs of each question, shape (seeds, variants), the reference first; questions that it cannot be applied
            to are left out.
        rope: half width of the region of practical equivalence; None for a measure that has none.
    """

    name: str
    values: Mapping[Key, NDArray]
    test: robustness.Analysis
    rope: float | None
    higher_is_better: bool = True


def robustness_table(
    runs: pd.DataFrame,
    plan: Plan,
    rope: float,
    family: Family,
    correct: Mapping[tuple[str, str, int], NDArray],
    near_duplicates: Mapping[str, NDArray],
    by_registration: Callable[[Callable[[Asked], Family]], Family] = lambda family_of: family_of(ALL),
    tuned: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every contrast that was tested by every other analysis that applies to it, and whether its verdict changes.

    p values are adjusted over the study as those of the registered analysis are, with the claims' own p values beside
    them. Eight parameters: what was run, what was asked of it, what was decided, and what is adjusted together.

    Args:
        rope: half width of the region of practical equivalence, in the unit of the metric.
        family: the registered analysis.
        correct: (dataset, variant, seed) -> bool (images,), whether each test image is classified rightly; finished
            runs only.
        near_duplicates: by dataset, indices of the test images that have a near duplicate in the training images.
        by_registration: adjusts a family by what was registered (:func:`convlab.results.asked.family_by_registration`).
        tuned: the runs that tuning chose, as ``runs`` are; None without tuning.
    """
    registered = {
        key: {
            variant: verdict(
                contrast,
                family.adjusted[key][variant],
                family.equivalence[key][variant],
                higher_is_better=plan.metric.higher_is_better,
            )
            for variant, contrast in contrasts.items()
        }
        for key, contrasts in family.contrasts.items()
    }
    rows, look = [], family.looks.look if family.looks else ONLY_LOOK
    analyses = [*_analyses(runs, plan, rope, correct, near_duplicates), *_of_tuned_runs(tuned, plan, rope)]
    for analysis in analyses:
        contrasts = {
            key: _contrasts(family.contrasts[key], analysis, values, plan.metric)
            for key, values in analysis.values.items()
        }
        reanalysed = {**family.contrasts, **contrasts}
        other = by_registration(
            lambda asked, tested=reanalysed: adjusted_family(tested, family.claims, asked, look=look)
        )
        for key, of_question in contrasts.items():
            for variant, contrast in of_question.items():
                untested = family.contrasts[key][variant].method == "none" and analysis.name != TUNED
                if contrast.method == "none" or untested:
                    continue
                reached = verdict(
                    contrast,
                    other.adjusted[key][variant],
                    other.equivalence[key][variant],
                    higher_is_better=analysis.higher_is_better,
                )
                of_study = registered[key][variant]
                rows.append(
                    {
                        "dataset": key[0],
                        "experiment": key[1],
                        "variant": variant,
                        "analysis": analysis.name,
                        "difference": contrast.difference,
                        "ci_low": contrast.ci_low,
                        "ci_high": contrast.ci_high,
                        "verdict": reached,
                        "flips": _flips(of_study, reached, analysis.rope is not None),
                    }
                )
    rows += _kept_epoch_is_the_last(runs, plan, family, registered)
    table = pd.DataFrame(rows, columns=list(columns.ROBUSTNESS))
    position = {(*key, variant): number for number, (key, variant) in enumerate(
        (key, variant) for key, contrasts in family.contrasts.items() for variant in contrasts
    )}  # fmt: skip
    order = [position[key] for key in zip(table["dataset"], table["experiment"], table["variant"], strict=True)]
    return table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def _analyses(
    runs: pd.DataFrame,
    plan: Plan,
    rope: float,
    correct: Mapping[tuple[str, str, int], NDArray],
    near_duplicates: Mapping[str, NDArray],
) -> Iterator[_Analysis]:
    """The analyses in the order in which the report shows them."""
    metric = plan.metric
    values, seeds = _values(runs, plan, metric.column)
    as_decided, higher = robustness.seeds_as_blocks, metric.higher_is_better
    yield _Analysis("paired", values, robustness.paired, rope, higher)
    yield _Analysis("unpaired", values, robustness.unpaired, rope, higher)
    yield _Analysis("welch", values, robustness.welch, rope, higher)
    yield _Analysis("rope_half", values, as_decided, rope / 2, higher)
    yield _Analysis("rope_double", values, as_decided, 2 * rope, higher)
    if metric == ACCURACY:  # the one that follows from right and wrong answers
        distinct = without_near_duplicates(runs, correct, near_duplicates)
        yield _Analysis("no_near_duplicates", _values(distinct, plan, metric.column)[0], as_decided, rope)
    for seed in sorted(set().union(*seeds.values())):
        kept = {key: rows[seeds[key] != seed] for key, rows in values.items() if seed in seeds[key]}
        yield _Analysis(f"{WITHOUT_SEED}{seed}", kept, as_decided, rope, higher)
    if metric != LOSS:
        yield _Analysis("loss", _values(runs, plan, LOSS.column)[0], as_decided, None, LOSS.higher_is_better)


def _of_tuned_runs(tuned: pd.DataFrame | None, plan: Plan, rope: float) -> Iterator[_Analysis]:
    """The analysis that decides, of the runs that tuning chose."""
    if tuned is not None:
        values, metric = _values(tuned, plan, plan.metric.column)[0], plan.metric
        yield _Analysis(TUNED, values, robustness.seeds_as_blocks, rope, metric.higher_is_better)


def _values(runs: pd.DataFrame, plan: Plan, measure: str) -> tuple[dict[Key, NDArray], dict[Key, NDArray]]:
    """A measure of the runs of every question, shape (seeds, variants), and the seeds; of seeds that all variants of a
    question were run with."""
    values, seeds = {}, {}
    for dataset, rows in runs.groupby("dataset", sort=True):
        wide = rows.pivot(index="seed", columns="variant", values=measure)
        was_run = rows.assign(run=1).pivot(index="seed", columns="variant", values="run").notna()
        for question in plan.questions.values():
            positions = wide.columns.get_indexer([question.reference, *question.variants])
            whole = was_run.to_numpy()[:, positions].all(axis=1)
            table = wide.to_numpy()[whole][:, positions]
            values[dataset, question.name] = np.where(np.isfinite(table), table, np.nan)
            seeds[dataset, question.name] = wide.index.to_numpy()[whole]
    return values, seeds


def without_near_duplicates(
    runs: pd.DataFrame, correct: Mapping[tuple[str, str, int], NDArray], near_duplicates: Mapping[str, NDArray]
) -> pd.DataFrame:
    """The runs of datasets with near duplicates, with the accuracy on the other test images; if any are left."""
    kept = {}
    for dataset, indices in near_duplicates.items():
        images = next((len(answers) for (name, _, _), answers in correct.items() if name == dataset), 0)
        if 0 < len(indices) < images:
            kept[dataset] = np.delete(np.arange(images), indices)
    rows = runs[runs["dataset"].isin(list(kept))]
    accuracies = [
        np.mean(correct[key][kept[key[0]]]) if key in correct else np.nan
        for key in zip(rows["dataset"], rows["variant"], rows["seed"], strict=True)
    ]
    return rows.assign(**{ACCURACY.column: np.array(accuracies, dtype=float)})


def _contrasts(
    registered: Mapping[str, Contrast], analysis: _Analysis, values: NDArray, metric: Metric
) -> dict[str, Contrast]:
    """The contrasts of a question by another analysis, with the numbers of runs of the registered one."""
    rope = analysis.rope or 0.0
    contrasts = {}
    results = zip(registered.items(), analysis.test(values, rope), strict=True)
    for position, ((variant, contrast), tested) in enumerate(results, start=1):
        if tested is None:
            contrasts[variant] = replace(contrast, method="none", p_value=None, p_equivalence=None)
            continue
        if analysis.name == TUNED:  # other runs, of which others may have diverged
            contrast = replace(contrast, **_counts(values, position))
        numbers = tested._asdict()
        if analysis.rope is None:
            numbers["p_equivalence"] = None
        else:
            limits = ("ci_low", "ci_high", "ci90_low", "ci90_high")
            numbers |= {name: metric.within_difference(numbers[name]) for name in limits}
        contrasts[variant] = replace(contrast, **numbers, rope=rope, method="paired t")
    return contrasts


def _counts(values: NDArray, position: int) -> dict[str, int]:
    """Finished and diverged runs of the variant in a column and of the reference, as a contrast counts them."""
    finished = np.isfinite(values).sum(axis=0)
    counts = {}
    for side, column in (("variant", position), ("reference", 0)):
        counts |= {f"n_{side}": int(finished[column]), f"n_missing_{side}": len(values) - int(finished[column])}
    return counts


def _flips(registered: Verdict, reached: Verdict, with_rope: bool) -> bool:
    """Whether another analysis changes a verdict.

    A measure without a ROPE cannot be equivalent, so that "inconclusive" does not contradict an equivalence.
    """
    return reached != registered and (with_rope or (registered, reached) != ("equivalent", "inconclusive"))


def _kept_epoch_is_the_last(
    runs: pd.DataFrame, plan: Plan, family: Family, registered: Mapping[Key, Mapping[str, Verdict]]
) -> list[dict[str, Any]]:
    """Rows of the analysis by the last epoch, of contrasts whose runs all kept their last one: test images were
    predicted with the kept epoch only, so that it is known nowhere else."""
    finished = runs[runs["status"] == "finished"]
    last = (finished["best_epoch"] == finished["epochs_run"]).groupby([finished["dataset"], finished["variant"]]).all()
    rows = []
    for (dataset, name), contrasts in family.contrasts.items():
        for variant, contrast in contrasts.items():
            sides = [(dataset, variant), (dataset, plan.questions[name].reference)]
            if contrast.method != "none" and all(last.get(side, False) for side in sides):
                rows.append(
                    {
                        "dataset": dataset,
                        "experiment": name,
                        "variant": variant,
                        "analysis": "last_epoch",
                        "difference": contrast.difference,
                        "ci_low": contrast.ci_low,
                        "ci_high": contrast.ci_high,
                        "verdict": registered[dataset, name][variant],
                        "flips": False,
                    }
                )
    return rows
