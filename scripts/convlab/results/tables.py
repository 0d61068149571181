"""Tables over all runs: one row per run, per variant, per comparison, per trend, per class. Frames in, frames out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from convlab.language.claims import claim_sentence
from convlab.language.contrasts import comparison_sentence, contrast_labels
from convlab.language.factors import factorial_sentence, trend_sentence
from convlab.language.looks import look_text, with_look
from convlab.results import columns
from convlab.results.by_seed import by_seed
from convlab.results.energy import run_energy
from convlab.results.family import Family, confirmatory_family
from convlab.statistics.claims import ClaimResult, ConstantGuess, verdict_over_study
from convlab.statistics.comparisons import verdict, verdict_of_finished_runs
from convlab.statistics.describe import as_float, summarise
from convlab.statistics.factors import Factorial, factorial, trend
from convlab.statistics.sequential import Hypothesis, Look
from convlab.study.metrics import BY_COLUMN, Metric
from convlab.study.registration import Standing
from convlab.study.variants import Plan

RUN_COLUMNS = list(columns.RUNS)
COMPARISON_COLUMNS = list(columns.COMPARISONS)
TREND_COLUMNS = list(columns.TRENDS)
FACTORIAL_COLUMNS = list(columns.FACTORIALS)
CLAIM_COLUMNS = list(columns.CLAIMS)
METRIC_COLUMNS = list(BY_COLUMN)


def run_row(dataset: str, variant: Any, seed: int, cost: Any, run: Mapping, metrics: Mapping) -> dict[str, Any]:
    """One row of ``runs.csv`` from what train and evaluate wrote; a diverged run has no test measures."""
    finished, energy = run["status"] == "finished", run_energy(run)
    return {
        "dataset": dataset,
        "model": variant.base,
        "variant": variant.name,
        "seed": seed,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "receptive_field": cost.receptive_field,
        "epochs_run": run["epochs_run"],
        "best_epoch": run["best_epoch"],
        "train_seconds": run["train_seconds"],
        "images_per_second": run["images_per_second"],
        "val_accuracy": run["val_accuracy"] if finished else None,
        "test_accuracy": metrics.get("accuracy"),
        "test_loss": metrics.get("loss"),
        "ece": metrics.get("ece"),
        "status": run["status"],
        "precision": variant.training.precision,
        "spec_hash": run["spec_hash"],
        "brier": metrics.get("brier"),
        "latency_ms": metrics["latency_ms"]["p50"],
        "train_images": run["train_images"],
        "peak_memory_mb": run["peak_memory_mb"],
        "predictions_sha256": metrics.get("predictions_sha256"),
        "balanced_accuracy": _mean_over_classes(metrics, "recall"),
        "macro_f1": _mean_over_classes(metrics, "f1"),
        "auroc": metrics.get("auroc"),
        "energy_joules": energy.joules,
        "energy_source": energy.source,
    }


def _mean_over_classes(metrics: Mapping, measure: str) -> float | None:
    """Mean of a measure over the classes, each counting alike; NaN if a class has no test image."""
    per_class = metrics.get("per_class")
    if per_class is None or min(per_class["support"]) == 0 or None in per_class[measure]:
        return None
    return float(np.mean(per_class[measure]))


def runs_table(rows: list[dict[str, Any]], guesses: Mapping[str, ConstantGuess | None] | None = None) -> pd.DataFrame:
    """All runs; measures are floats, NaN where a run has none. ``guesses``: the constant guess of each dataset."""
    table = pd.DataFrame(rows, columns=RUN_COLUMNS)
    table["majority_share"] = table["dataset"].map(_majority_shares(guesses))
    measures = ["images_per_second", "val_accuracy", "ece", "brier", *BY_COLUMN, "majority_share", "energy_joules"]
    return table.astype(dict.fromkeys(measures, float))


def _majority_shares(guesses: Mapping[str, ConstantGuess | None] | None) -> dict[str, float]:
    """Share of the most frequent class among the test images, by dataset."""
    return {dataset: float(guess.share) for dataset, guess in (guesses or {}).items() if guess}


def variants_table(
    runs: pd.DataFrame, plan: Plan, guesses: Mapping[str, ConstantGuess | None] | None = None
) -> pd.DataFrame:
    """One row per dataset and variant: n; mean, SD and 95 % interval of every metric; means of the rest.

    Ordered by dataset, then models by their parameters, then variants as the plan lists them.

    Args:
        guesses: the constant guess of each dataset, whose accuracy stands beside those of the variants.
    """
    rows, majority_shares = [], _majority_shares(guesses)
    for (dataset, name), group in runs.groupby(["dataset", "variant"], sort=False):
        accuracy, *others = (summarise(group[column], limits=BY_COLUMN[column].limits) for column in METRIC_COLUMNS)
        seconds = group["train_seconds"] / group["epochs_run"].where(group["epochs_run"] > 0)
        first = group.iloc[0]
        rows.append(
            {
                "dataset": dataset,
                "model": first["model"],
                "variant": name,
                "label": plan.variants[name].label,
                "probe": plan.variants[name].probe,
                "n_seeds": accuracy.n,
                "n_diverged": int((group["status"] == "diverged").sum()),
                "parameters": first["parameters"],
                "macs": first["macs"],
                "receptive_field": first["receptive_field"],
                "test_accuracy_mean": accuracy.mean,
                "test_accuracy_sd": accuracy.sd,
                "test_accuracy_se": accuracy.se,
                "test_accuracy_ci_low": accuracy.ci_low,
                "test_accuracy_ci_high": accuracy.ci_high,
                "brier_mean": group["brier"].mean(),
                "ece_mean": group["ece"].mean(),
                "val_accuracy_mean": group["val_accuracy"].mean(),
                "seconds_per_epoch": seconds.mean(),
                "images_per_second": group["images_per_second"].mean(),
                "latency_ms": group["latency_ms"].mean(),
                "seconds_per_epoch_sd": seconds.std(ddof=1),
                "latency_ms_sd": group["latency_ms"].std(ddof=1),
                "majority_share": majority_shares.get(dataset),
                **{
                    f"{column}_{name}": getattr(summary, name)
                    for column, summary in zip(METRIC_COLUMNS[1:], others, strict=True)
                    for name in ("mean", "sd", "ci_low", "ci_high")
                },
            }
        )
    table = pd.DataFrame(rows, columns=list(columns.VARIANTS))
    size = {name: min(group["parameters"]) for name, group in table.groupby("model")}
    position = {name: number for number, name in enumerate(plan.variants)}
    keys = pd.DataFrame(
        {
            "dataset": table["dataset"],
            "size": table["model"].map(size),
            "model": table["model"],
            "position": table["variant"].map(position),
        }
    )
    return table.loc[keys.sort_values(["dataset", "size", "model", "position"]).index].reset_index(drop=True)


def claims_table(runs: pd.DataFrame, plan: Plan, rope: float, family: Family | None = None) -> pd.DataFrame:
    """Every claim, by dataset where it names none, in the order of the config. Whole numbers stay whole (objects)."""
    family = family or confirmatory_family(runs, plan, rope)
    rows = [claim_row(result, family.adjusted["claim", *key][""]) for key, result in family.claims.items()]
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS, dtype=object)


def claim_row(result: ClaimResult, p_adjusted: float | None) -> dict[str, Any]:
    """One row of ``claims.csv``.

    Args:
        p_adjusted: the claim's p value, adjusted over the study; None for an exact claim.
    """
    claim, link = result.claim, result.link
    over_study = verdict_over_study(result, p_adjusted)
    return {
        "claim": claim.id,
        "source": " ".join(claim.source.split()),
        "published": None if claim.published is None else " ".join(str(claim.published).split()),
        "measured": _to_csv(link.value),
        "ci_low": link.ci_low,
        "ci_high": link.ci_high,
        "verdict": over_study,
        "dataset": result.dataset,
        "text": " ".join(claim.text.split()),
        "rule": claim.rule.text,
        "n_seeds": link.n_seeds,
        "p_value": result.p_value,
        "p_adjusted": p_adjusted,
        "reason": claim_sentence(result, over_study, p_adjusted),
        "quantity": link.quantity,
        "unit": link.unit,
        "met_by_guess": "yes" if result.guess and over_study != "contradicted" else "",
        "replicates": link.replicates,
    }


def _to_csv(value: Fraction | float | None) -> int | float | None:
    """A value as CSV writes it: whole numbers stay whole."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else as_float(value)
    return value


def comparisons_table(runs: pd.DataFrame, plan: Plan, rope: float, family: Family | None = None) -> pd.DataFrame:
    """Every variant against its question's reference, by dataset; p values adjusted over the study, claims included.

    ``family``: the result of :func:`confirmatory_family`, if it is known already.
    """
    family = family or confirmatory_family(runs, plan, rope)
    rows, undefined, planned = [], _undefined(runs, plan.metric), planned_looks(family)
    for (dataset, name), contrasts in family.contrasts.items():
        question = plan.questions[name]
        for variant, contrast in contrasts.items():
            if dataset in undefined:  # runs without a value have not diverged
                diverged = {side: undefined[dataset].get(side, 0) for side in (variant, question.reference)}
                missing = {"n_missing_variant": diverged[variant], "n_missing_reference": diverged[question.reference]}
                contrast = replace(contrast, **missing)
            p_adjusted = family.adjusted[dataset, name][variant]
            p_equivalence_adjusted = family.equivalence[dataset, name][variant]
            reached = verdict(
                contrast, p_adjusted, p_equivalence_adjusted, higher_is_better=plan.metric.higher_is_better
            )
            labels = contrast_labels(plan, question, variant)
            rows.append(
                {
                    "dataset": dataset,
                    "experiment": name,
                    "variant": variant,
                    "reference": question.reference,
                    "metric": plan.metric.column,
                    "n_seeds": contrast.n_seeds,
                    "difference": contrast.difference,
                    "ci_low": contrast.ci_low,
                    "ci_high": contrast.ci_high,
                    "p_value": contrast.p_value,
                    "p_adjusted": p_adjusted,
                    "verdict": reached,
                    "ci90_low": contrast.ci90_low,
                    "ci90_high": contrast.ci90_high,
                    "method": contrast.method,
                    "detectable": contrast.detectable,
                    "seeds_to_settle": None if planned else contrast.seeds_to_settle,
                    "sentence": comparison_sentence(
                        contrast, p_adjusted, reached, *labels, p_equivalence_adjusted, plan.metric, planned
                    ),
                    "p_equivalence": contrast.p_equivalence,
                    "p_equivalence_adjusted": p_equivalence_adjusted,
                    "n_variant": contrast.n_variant,
                    "n_reference": contrast.n_reference,
                    "n_diverged_variant": contrast.n_missing_variant,
                    "n_diverged_reference": contrast.n_missing_reference,
                    "finished_verdict": verdict_of_finished_runs(
                        contrast, p_adjusted, p_equivalence_adjusted, plan.metric.higher_is_better
                    ),
                }
            )
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def planned_looks(family: Family) -> Look | None:
    """The present look of a study that has planned several; None for others."""
    return family.looks.look if family.looks and family.looks.look.n_looks > 1 else None


def with_looks(table: pd.DataFrame, family: Family, text: str, key_of: Callable[[Any], Hypothesis]) -> pd.DataFrame:
    """A table of contrasts or claims with the look that settled each, of how many; the text says it too.

    Args:
        text: column with sentences.
        key_of: hypothesis of a row, which is given as a named tuple.
    """
    present, rows, sentences = planned_looks(family), [], []
    for row in table.itertuples():
        look = family.look_of(*key_of(row))
        rows.append({"look": look and look.number, "n_looks": present.n_looks if present else 1})
        is_exact = row.n_seeds is None or pd.isna(row.n_seeds)
        clause = "" if present is None or is_exact else look_text(look, present, row.verdict)
        sentences.append(with_look(getattr(row, text), clause))
    looked = pd.DataFrame(rows, columns=list(columns.SETTLED), index=table.index).astype("Int64")
    return pd.concat([table.assign(**{text: sentences}), looked], axis=1)


def _undefined(runs: pd.DataFrame, metric: Metric) -> dict[str, dict[str, int]]:
    """Datasets on which no finished run has a value of the metric, with the number of diverged runs by variant."""
    undefined = {}
    for dataset, group in runs.groupby("dataset"):
        finished = group["status"] == "finished"
        if finished.any() and group.loc[finished, metric.column].isna().all():
            undefined[dataset] = (~finished).groupby(group["variant"]).sum().to_dict()
    return undefined


def with_registration(table: pd.DataFrame, standing_of: Callable[[Any], Standing]) -> pd.DataFrame:
    """A table of contrasts or claims with when each was registered.

    Args:
        standing_of: standing of a row, which is given as a named tuple.
    """
    standings = [standing_of(row) for row in table.itertuples()]
    rows = [{"registration": standing.status, "n_runs_known": standing.n_runs_known} for standing in standings]
    registered = pd.DataFrame(rows, columns=list(columns.REGISTRATION), index=table.index)
    return pd.concat([table, registered], axis=1)


def trends_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Page's trend test and the slope for every experiment whose levels have an order, by dataset."""
    rows = []
    for dataset, group in runs.groupby("dataset", sort=True):
        for question in plan.questions.values():
            orders = [level.order for level in question.levels]
            if len(orders) < 3 or None in orders:
                continue
            levels = sorted(question.levels, key=lambda level: level.order)
            values = by_seed(group, [level.variant for level in levels], plan.metric.column)
            measured = trend([level.order for level in levels], values.to_numpy())
            rows.append(
                {
                    "dataset": dataset,
                    "experiment": question.name,
                    "factor": question.factor,
                    "n_levels": measured.n_levels,
                    "n_blocks": measured.n_blocks,
                    "p_value": measured.p_value,
                    "slope": measured.slope,
                    "ci_low": measured.ci_low,
                    "ci_high": measured.ci_high,
                    "slope_per": measured.slope_per,
                    "sentence": trend_sentence(question, measured, plan.metric),
                    "metric": plan.metric.column,
                }
            )
    return pd.DataFrame(rows, columns=TREND_COLUMNS)


def factorial_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Main effects and interaction of every experiment of two factors, by dataset, with seeds as blocks."""
    rows = []
    for dataset, group in runs.groupby("dataset", sort=True):
        for question in plan.questions.values():
            if question.grid is None:
                continue
            cells = [list(row) for row in question.grid.cells]
            wide = by_seed(group, [name for row in cells for name in row], plan.metric.column)
            measured = factorial(np.stack([wide[row].to_numpy() for row in cells], axis=1))
            effects = {
                question.grid.factors[0]: measured.first,
                question.grid.factors[1]: measured.second,
                "interaction": measured.interaction,
            }
            for name, effect in effects.items():
                contrast = measured if name == "interaction" else Factorial(measured.n_blocks, measured.n_incomplete)
                rows.append(
                    {
                        "dataset": dataset,
                        "experiment": question.name,
                        "effect": name,
                        "n_blocks": measured.n_blocks,
                        "df": effect and effect.df,
                        "df_residual": effect and effect.df_residual,
                        "f_statistic": effect and effect.f_statistic,
                        "p_value": effect and effect.p_value,
                        "contrast": contrast.contrast,
                        "ci_low": contrast.ci_low,
                        "ci_high": contrast.ci_high,
                        "sentence": factorial_sentence(question, name, effect, contrast, plan.metric),
                        "metric": plan.metric.column,
                    }
                )
    return pd.DataFrame(rows, columns=FACTORIAL_COLUMNS)


def per_class_table(
    evaluations: Mapping[tuple[str, str, int], Mapping], classes: Mapping[str, list[str]]
) -> pd.DataFrame:
    """Precision, recall and F1 of every class, as means over a variant's finished runs, and the SD of recall.

    A measure that is not defined in a run (0/0: a class without test images, or one that the run never predicts) has no
    part in the mean; ``n_seeds`` and ``precision_seeds`` say over how many runs recall and precision are defined.
    """
    collected: dict[tuple[str, str], list[Mapping]] = {}
    for (dataset, variant, _seed), metrics in evaluations.items():
        if "per_class" in metrics:
            collected.setdefault((dataset, variant), []).append(metrics["per_class"])
    rows = []
    for (dataset, variant), per_run in collected.items():
        measures = {
            name: np.array([entry[name] for entry in per_run], dtype=float) for name in ("precision", "recall", "f1")
        }
        defined = {name: np.isfinite(values).sum(axis=0) for name, values in measures.items()}
        for index, label in enumerate(classes[dataset]):
            rows.append(
                {
                    "dataset": dataset,
                    "variant": variant,
                    "class": label,
                    "support": per_run[0]["support"][index],
                    **{
                        name: np.nanmean(values[:, index]) if defined[name][index] else None
                        for name, values in measures.items()
                    },
                    "recall_sd": measures["recall"][:, index].std(ddof=1) if defined["recall"][index] > 1 else None,
                    "n_seeds": defined["recall"][index],
                    "precision_seeds": defined["precision"][index],
                }
            )
    return pd.DataFrame(rows, columns=list(columns.PER_CLASS))


def summed_confusion(
    evaluations: Mapping[tuple[str, str, int], Mapping], dataset: str, variant: str
) -> list[list[int]]:
    """Confusion counts (true, predicted) summed over a variant's finished runs."""
    counts = [
        np.array(metrics["confusion_matrix"])
        for (name, owner, _), metrics in evaluations.items()
        if (name, owner) == (dataset, variant) and "confusion_matrix" in metrics
    ]
    return np.sum(counts, axis=0).tolist() if counts else []
