"""Tables over all runs: one row per run, per variant, per comparison, per trend, per class. Frames in, frames out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlab import decisions, statistics
from convlab.plan import Plan, Question

RUN_COLUMNS = [
    "dataset", "model", "variant", "seed", "parameters", "macs", "receptive_field", "epochs_run", "best_epoch",
    "train_seconds", "images_per_second", "val_accuracy", "test_accuracy", "test_loss", "ece", "status", "precision",
    "spec_hash", "brier", "latency_ms", "train_images", "peak_memory_mb", "predictions_sha256",
]  # fmt: skip

COMPARISON_COLUMNS = [
    "dataset", "experiment", "variant", "reference", "metric", "n_seeds", "difference", "ci_low", "ci_high", "p_value",
    "p_adjusted", "verdict", "ci90_low", "ci90_high", "method", "detectable", "seeds_to_settle", "sentence",
]  # fmt: skip

TREND_COLUMNS = [
    "dataset", "experiment", "factor", "n_levels", "n_blocks", "p_value", "slope", "ci_low", "ci_high", "slope_per",
    "sentence",
]  # fmt: skip

FACTORIAL_COLUMNS = [
    "dataset", "experiment", "effect", "n_blocks", "df", "df_residual", "f_statistic", "p_value", "contrast", "ci_low",
    "ci_high", "sentence",
]  # fmt: skip

CLAIM_COLUMNS = [
    "claim", "source", "published", "measured", "ci_low", "ci_high", "verdict", "dataset", "text", "rule", "n_seeds",
    "p_value", "p_adjusted", "reason", "quantity", "unit",
]  # fmt: skip

METRIC = "test_accuracy"
"""What comparisons are about; all other measures are described, not tested."""


def run_row(dataset: str, variant: Any, seed: int, cost: Any, run: Mapping, metrics: Mapping) -> dict[str, Any]:
    """One row of ``runs.csv`` from what train and evaluate wrote; a diverged run has no test measures."""
    finished = run["status"] == "finished"
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
    }


def runs_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """All runs; measures are floats, NaN where a run has none."""
    table = pd.DataFrame(rows, columns=RUN_COLUMNS)
    measures = ["images_per_second", "val_accuracy", "test_accuracy", "test_loss", "ece", "brier"]
    return table.astype(dict.fromkeys(measures, float))


def variants_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """One row per dataset and variant: n, mean, SD, SE and 95 % interval of test accuracy; means of the rest.

    Ordered by dataset, then models by their parameters, then variants as the plan lists them.
    """
    rows = []
    for (dataset, name), group in runs.groupby(["dataset", "variant"], sort=False):
        accuracy = statistics.summarise(group[METRIC])
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
                "test_loss_mean": group["test_loss"].mean(),
                "test_loss_sd": group["test_loss"].std(ddof=1),
                "brier_mean": group["brier"].mean(),
                "ece_mean": group["ece"].mean(),
                "val_accuracy_mean": group["val_accuracy"].mean(),
                "seconds_per_epoch": (
                    group["train_seconds"] / group["epochs_run"].where(group["epochs_run"] > 0)
                ).mean(),
                "images_per_second": group["images_per_second"].mean(),
                "latency_ms": group["latency_ms"].mean(),
            }
        )
    table = pd.DataFrame(rows)
    size = {name: min(group["parameters"]) for name, group in table.groupby("model")}
    place = {name: position for position, name in enumerate(plan.variants)}
    keys = pd.DataFrame(
        {
            "dataset": table["dataset"],
            "size": table["model"].map(size),
            "model": table["model"],
            "place": table["variant"].map(place),
        }
    )
    return table.loc[keys.sort_values(["dataset", "size", "model", "place"]).index].reset_index(drop=True)


@dataclass(frozen=True)
class Family:
    """All that is tested in a study, adjusted together: contrasts by (dataset, question), and decided claims."""

    contrasts: dict[tuple[str, str], dict[str, statistics.Contrast]]
    decisions: dict[tuple[str, str], decisions.Decision]
    adjusted: dict[tuple[str, ...], dict[str, float | None]]


def confirmatory_family(runs: pd.DataFrame, plan: Plan, rope: float) -> Family:
    """Test every question and every claim on every dataset, and adjust their p values over the study (Holm).

    Claims that are decided by exact numbers test nothing and do not count.
    """
    contrasts: dict[tuple[str, str], dict[str, statistics.Contrast]] = {}
    for dataset, group in runs.groupby("dataset", sort=True):
        values = {name: part.sort_values("seed")[METRIC].to_numpy() for name, part in group.groupby("variant")}
        for question in plan.questions.values():
            groups = {name: values[name] for name in (question.reference, *question.variants)}
            contrasts[dataset, question.name] = statistics.compare_to_reference(groups, question.reference, rope=rope)
    decided = {
        (dataset, claim.id): decisions.decide(claim, dataset, runs, plan.costs)
        for claim in plan.claims.values()
        for dataset in claim.datasets
    }
    raw = {key: {variant: contrast.p_value for variant, contrast in found.items()} for key, found in contrasts.items()}
    raw |= {("claim", *key): {"": decision.p_value} for key, decision in decided.items()}
    return Family(contrasts, decided, statistics.adjust_family(raw))


def claims_table(runs: pd.DataFrame, plan: Plan, rope: float, family: Family | None = None) -> pd.DataFrame:
    """Every claim, by dataset where it names none, in the order of the config. Whole numbers stay whole (objects)."""
    family = family or confirmatory_family(runs, plan, rope)
    rows = [decisions.row(decision, family.adjusted["claim", *key][""]) for key, decision in family.decisions.items()]
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS, dtype=object)


def comparisons_table(runs: pd.DataFrame, plan: Plan, rope: float, family: Family | None = None) -> pd.DataFrame:
    """Every variant against its question's reference, by dataset; p values adjusted over the study, claims included.

    ``family``: what :func:`confirmatory_family` gives, to spare computing it again.
    """
    family = family or confirmatory_family(runs, plan, rope)
    rows = []
    for (dataset, name), found in family.contrasts.items():
        question = plan.questions[name]
        for variant, contrast in found.items():
            p_adjusted = family.adjusted[dataset, name][variant]
            verdict = statistics.verdict(contrast, p_adjusted)
            label, reference = contrast_labels(plan, question, variant)
            rows.append(
                {
                    "dataset": dataset,
                    "experiment": name,
                    "variant": variant,
                    "reference": question.reference,
                    "metric": METRIC,
                    "n_seeds": min(contrast.n_variant, contrast.n_reference),
                    "difference": contrast.difference,
                    "ci_low": contrast.ci_low,
                    "ci_high": contrast.ci_high,
                    "p_value": contrast.p_value,
                    "p_adjusted": p_adjusted,
                    "verdict": verdict,
                    "ci90_low": contrast.ci90_low,
                    "ci90_high": contrast.ci90_high,
                    "method": contrast.method,
                    "detectable": contrast.detectable,
                    "seeds_to_settle": contrast.seeds_to_settle,
                    "sentence": statistics.sentence(
                        contrast, p_adjusted, verdict, variant_label=label, reference_label=reference
                    ),
                }
            )
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def with_new_images(comparisons: pd.DataFrame, correct: Mapping[tuple[str, str, int], np.ndarray]) -> pd.DataFrame:
    """The comparisons with an interval that also covers the choice of test images: new_images_ci_low and _high.

    Args:
        correct: (dataset, variant, seed) -> bool (images,), whether each test image is classified rightly; finished
            runs only. Seeds that one of the two variants lacks are left out.
    """
    rows = []
    for row in comparisons.itertuples():
        seeds = [
            seed
            for dataset, variant, seed in correct
            if (dataset, variant) == (row.dataset, row.variant) and (dataset, row.reference, seed) in correct
        ]
        low = high = None
        if seeds:
            sides = [
                np.stack([correct[row.dataset, name, seed] for seed in seeds]) for name in (row.variant, row.reference)
            ]
            found = statistics.crossed_difference(*sides)
            low, high = found.ci_low, found.ci_high
        rows.append({"new_images_ci_low": low, "new_images_ci_high": high})
    columns = pd.DataFrame(rows, columns=["new_images_ci_low", "new_images_ci_high"], index=comparisons.index)
    return pd.concat([comparisons, columns], axis=1)


def contrast_labels(plan: Plan, question: Question, variant: str) -> tuple[str, str]:
    """How a contrast's two sides read: levels of an experiment by their level, others by their variant's label."""
    levels = {level.variant: level.label for level in question.levels}
    names = {name: levels.get(name, plan.variants[name].label) for name in (variant, question.reference)}
    return names[variant], names[question.reference]


def trends_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Page's trend test and the slope for every experiment whose levels have an order, by dataset."""
    rows = []
    for dataset, group in runs.groupby("dataset", sort=True):
        wide = group.pivot(index="seed", columns="variant", values=METRIC)
        for question in plan.questions.values():
            orders = [level.order for level in question.levels]
            if len(orders) < 3 or None in orders:
                continue
            levels = sorted(question.levels, key=lambda level: level.order)
            found = statistics.trend(
                [level.order for level in levels], wide[[level.variant for level in levels]].to_numpy()
            )
            rows.append(
                {
                    "dataset": dataset,
                    "experiment": question.name,
                    "factor": question.factor,
                    "n_levels": found.n_levels,
                    "n_blocks": found.n_blocks,
                    "p_value": found.p_value,
                    "slope": found.slope,
                    "ci_low": found.ci_low,
                    "ci_high": found.ci_high,
                    "slope_per": found.slope_per,
                    "sentence": trend_sentence(question, found),
                }
            )
    return pd.DataFrame(rows, columns=TREND_COLUMNS)


def factorial_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Main effects and interaction of every experiment of two factors, by dataset, with seeds as blocks."""
    rows = []
    for dataset, group in runs.groupby("dataset", sort=True):
        wide = group.pivot(index="seed", columns="variant", values=METRIC)
        for question in plan.questions.values():
            if question.grid is None:
                continue
            cells = [list(row) for row in question.grid.cells]
            found = statistics.factorial(np.stack([wide[row].to_numpy() for row in cells], axis=1))
            effects = {
                question.grid.factors[0]: found.first,
                question.grid.factors[1]: found.second,
                "interaction": found.interaction,
            }
            for name, effect in effects.items():
                contrast = found if name == "interaction" else statistics.Factorial(found.n_blocks, found.n_incomplete)
                rows.append(
                    {
                        "dataset": dataset,
                        "experiment": question.name,
                        "effect": name,
                        "n_blocks": found.n_blocks,
                        "df": effect and effect.df,
                        "df_residual": effect and effect.df_residual,
                        "f_statistic": effect and effect.f_statistic,
                        "p_value": effect and effect.p_value,
                        "contrast": contrast.contrast,
                        "ci_low": contrast.ci_low,
                        "ci_high": contrast.ci_high,
                        "sentence": factorial_sentence(question, name, effect, contrast),
                    }
                )
    return pd.DataFrame(rows, columns=FACTORIAL_COLUMNS)


def factorial_sentence(
    question: Question, name: str, effect: statistics.Effect | None, found: statistics.Factorial
) -> str:
    """An effect of a factorial in words, with its numbers."""
    first, second = (factor.replace("_", " ") for factor in question.grid.factors)
    subject = f"Interaction of {first} and {second}" if name == "interaction" else f"Main effect of {_spaced(name)}"
    if effect is None:
        return f"{subject}: not tested, with n = {found.n_blocks} complete seeds."
    if effect.p_value is None:
        return f"{subject}: not tested, for the seeds do not differ."
    text = (
        f"{subject}: F({effect.df}, {effect.df_residual}) = {effect.f_statistic:.2f}, "
        f"{statistics.format_p(effect.p_value)}, n = {found.n_blocks} seeds"
    )
    if found.contrast is not None:
        (low, high), (before, after) = question.grid.labels
        text += (
            f"; going from {second} {before} to {after} gains {statistics.signed(100 * found.contrast, 2)} pp more at "
            f"{first} {high} than at {low}"
        )
        if found.ci_low is not None:
            text += (
                f" (95 % CI {statistics.signed(100 * found.ci_low, 2)} to {statistics.signed(100 * found.ci_high, 2)})"
            )
    return text + "."


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def trend_sentence(question: Question, found: statistics.Trend) -> str:
    """The trend in words, with its numbers."""
    factor = (question.factor or "").replace("_", " ")
    if found.slope is None:
        return f"No trend over {factor}: {found.note}"
    step = {"doubling": f"per doubling of {factor}"}.get(found.slope_per or "", f"per {found.slope_per} of {factor}")
    interval = (
        ""
        if found.ci_low is None
        else f" (95 % CI {statistics.signed(found.ci_low * 100, 2)} to {statistics.signed(found.ci_high * 100, 2)})"
    )
    p = "" if found.p_value is None else f"; Page's trend test {statistics.format_p(found.p_value)}"
    return (
        f"Test accuracy changes by {statistics.signed(found.slope * 100, 2)} pp {step}{interval}, "
        f"n = {found.n_blocks} seeds{p}."
    )


def per_class_table(
    evaluations: Mapping[tuple[str, str, int], Mapping], classes: Mapping[str, list[str]]
) -> pd.DataFrame:
    """Precision, recall and F1 of every class, as means over a variant's finished runs, and the SD of recall."""
    collected: dict[tuple[str, str], list[Mapping]] = {}
    for (dataset, variant, _), metrics in evaluations.items():
        if "per_class" in metrics:
            collected.setdefault((dataset, variant), []).append(metrics["per_class"])
    rows = []
    for (dataset, variant), found in collected.items():
        measures = {name: np.array([entry[name] for entry in found]) for name in ("precision", "recall", "f1")}
        for index, label in enumerate(classes[dataset]):
            rows.append(
                {
                    "dataset": dataset,
                    "variant": variant,
                    "class": label,
                    "support": found[0]["support"][index],
                    **{name: values[:, index].mean() for name, values in measures.items()},
                    "recall_sd": measures["recall"][:, index].std(ddof=1) if len(found) > 1 else None,
                }
            )
    columns = ["dataset", "variant", "class", "support", "precision", "recall", "f1", "recall_sd"]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Tables:
    """All tables of a study."""

    runs: pd.DataFrame
    variants: pd.DataFrame
    comparisons: pd.DataFrame
    trends: pd.DataFrame
    per_class: pd.DataFrame
    probe_curves: pd.DataFrame


def chosen_variant(variants: pd.DataFrame, dataset: str) -> str | None:
    """The variant with the best mean validation accuracy; of equals the one with fewer MACs, then the first by name.

    Never by test data. None where no variant has a finished run.
    """
    rows = variants[(variants["dataset"] == dataset) & variants["val_accuracy_mean"].notna()]
    if rows.empty:
        return None
    order = ["val_accuracy_mean", "macs", "variant"]
    return rows.sort_values(order, ascending=[False, True, True]).iloc[0]["variant"]


def chosen_run(runs: pd.DataFrame) -> tuple[str, int] | None:
    """The trained file that stands for a study where one is to be used: (variant, seed).

    Args:
        runs: variant, seed, macs and val_accuracy of the finished runs of one dataset.

    Returns:
        The chosen variant, and of its seeds the one with the best validation accuracy, of equals the lowest; None
        without a run.
    """
    means = [
        {
            "dataset": "",
            "variant": name,
            "macs": group["macs"].iloc[0],
            "val_accuracy_mean": group["val_accuracy"].mean(),
        }
        for name, group in runs.sort_values("seed").groupby("variant")
    ]
    variant = chosen_variant(pd.DataFrame(means, columns=["dataset", "variant", "macs", "val_accuracy_mean"]), "")
    if variant is None:
        return None
    seeds = runs[runs["variant"] == variant].sort_values(["val_accuracy", "seed"], ascending=[False, True])
    return variant, int(seeds.iloc[0]["seed"])


def summed_confusion(
    evaluations: Mapping[tuple[str, str, int], Mapping], dataset: str, variant: str
) -> list[list[int]]:
    """Confusion counts (true, predicted) summed over a variant's finished runs."""
    found = [
        np.array(metrics["confusion_matrix"])
        for (name, owner, _), metrics in evaluations.items()
        if (name, owner) == (dataset, variant) and "confusion_matrix" in metrics
    ]
    return np.sum(found, axis=0).tolist() if found else []
