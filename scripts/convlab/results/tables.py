"""Tables over all runs: one row per run, per variant, per comparison, per trend, per class. Frames in, frames out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from convlab.common.i18n import N_, ngettext, number, with_unit
from convlab.common.i18n import gettext as _
from convlab.language import claims as decisions
from convlab.language import contrasts as sentences
from convlab.statistics.comparisons import Contrast, compare_to_reference, is_tested, verdict, verdict_of_finished_runs
from convlab.statistics.describe import SHARE, summarise
from convlab.statistics.factors import Effect, Factorial, Trend, factorial, trend
from convlab.statistics.images import crossed_difference
from convlab.statistics.multiplicity import adjust_equivalences, adjust_family
from convlab.study.labels import field_label
from convlab.study.variants import Plan, Question

RUN_COLUMNS = [
    "dataset", "model", "variant", "seed", "parameters", "macs", "receptive_field", "epochs_run", "best_epoch",
    "train_seconds", "images_per_second", "val_accuracy", "test_accuracy", "test_loss", "ece", "status", "precision",
    "spec_hash", "brier", "latency_ms", "train_images", "peak_memory_mb", "predictions_sha256", "balanced_accuracy",
    "macro_f1",
]  # fmt: skip

COMPARISON_COLUMNS = [
    "dataset", "experiment", "variant", "reference", "metric", "n_seeds", "difference", "ci_low", "ci_high", "p_value",
    "p_adjusted", "verdict", "ci90_low", "ci90_high", "method", "detectable", "seeds_to_settle", "sentence",
    "p_equivalence", "p_equivalence_adjusted", "n_variant", "n_reference", "n_diverged_variant",
    "n_diverged_reference", "finished_verdict",
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
        "balanced_accuracy": _mean_over_classes(metrics, "recall"),
        "macro_f1": _mean_over_classes(metrics, "f1"),
    }


def _mean_over_classes(metrics: Mapping, measure: str) -> float | None:
    """Mean of a measure over the classes, each counting alike; not defined where a class has no test image."""
    per_class = metrics.get("per_class")
    if per_class is None or min(per_class["support"]) == 0 or None in per_class[measure]:
        return None
    return float(np.mean(per_class[measure]))


def runs_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """All runs; measures are floats, NaN where a run has none."""
    table = pd.DataFrame(rows, columns=RUN_COLUMNS)
    measures = [
        "images_per_second", "val_accuracy", "test_accuracy", "test_loss", "ece", "brier", "balanced_accuracy",
        "macro_f1",
    ]  # fmt: skip
    return table.astype(dict.fromkeys(measures, float))


def variants_table(
    runs: pd.DataFrame, plan: Plan, guesses: Mapping[str, decisions.ConstantGuess | None] | None = None
) -> pd.DataFrame:
    """One row per dataset and variant: n, mean, SD, SE and 95 % interval of test accuracy; means of the rest.

    Ordered by dataset, then models by their parameters, then variants as the plan lists them.

    Args:
        guesses: the constant guess of each dataset, whose accuracy stands beside those of the variants.
    """
    rows = []
    for (dataset, name), group in runs.groupby(["dataset", "variant"], sort=False):
        accuracy = summarise(group[METRIC], limits=SHARE)
        seconds = group["train_seconds"] / group["epochs_run"].where(group["epochs_run"] > 0)
        first, guess = group.iloc[0], (guesses or {}).get(dataset)
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
                "seconds_per_epoch": seconds.mean(),
                "images_per_second": group["images_per_second"].mean(),
                "latency_ms": group["latency_ms"].mean(),
                "seconds_per_epoch_sd": seconds.std(ddof=1),
                "latency_ms_sd": group["latency_ms"].std(ddof=1),
                "balanced_accuracy_mean": group["balanced_accuracy"].mean(),
                "macro_f1_mean": group["macro_f1"].mean(),
                "majority_share": None if guess is None else float(guess.share),
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
    """All that is tested in a study, adjusted together: contrasts by (dataset, question), and decided claims.

    ``adjusted`` has the p values of differences and claims over the study, ``equivalence`` those of equivalences.
    """

    contrasts: dict[tuple[str, str], dict[str, Contrast]]
    decisions: dict[tuple[str, str], decisions.Decision]
    adjusted: dict[tuple[str, ...], dict[str, float | None]]
    equivalence: dict[tuple[str, ...], dict[str, float | None]]


def confirmatory_family(
    runs: pd.DataFrame,
    plan: Plan,
    rope: float,
    guesses: Mapping[str, decisions.ConstantGuess | None] | None = None,
) -> Family:
    """Test every question and every claim on every dataset, and adjust their p values over the study.

    Claims that are decided by exact numbers test nothing and do not count, nor do those that are only described.

    Args:
        guesses: the constant guess of each dataset, that claims are held against.
    """
    decided = {
        (dataset, claim.id): decisions.decide(claim, dataset, runs, plan.costs, guesses)
        for claim in plan.claims.values()
        for dataset in claim.datasets
    }
    groups = {}
    for dataset, group in runs.groupby("dataset", sort=True):
        values = {name: part.sort_values("seed")[METRIC].to_numpy() for name, part in group.groupby("variant")}
        for question in plan.questions.values():
            names = (question.reference, *question.variants)
            groups[dataset, question.name] = question.reference, {name: values[name] for name in names}
    tested = sum(is_tested(values, reference) for reference, values in groups.values())
    size = max(1, tested + sum(decision.p_value is not None for decision in decided.values()))
    contrasts = {}
    for key, (reference, values) in groups.items():
        of_question = compare_to_reference(values, reference, rope=rope, family=size)
        contrasts[key] = {variant: _within_possible(contrast) for variant, contrast in of_question.items()}

    def p_values(name: str) -> dict[tuple[str, ...], dict[str, float | None]]:
        return {
            key: {variant: getattr(contrast, name) for variant, contrast in of_question.items()}
            for key, of_question in contrasts.items()
        }

    claims = {("claim", *key): {"": decision.p_value} for key, decision in decided.items()}
    return Family(
        contrasts,
        decided,
        adjust_family(p_values("p_value") | claims),
        adjust_equivalences(p_values("p_equivalence"), size),
    )


def _within_possible(contrast: Contrast) -> Contrast:
    """The contrast with its intervals ended at ±1, the largest difference of two accuracies."""
    limits = {name: getattr(contrast, name) for name in ("ci_low", "ci_high", "ci90_low", "ci90_high")}
    return replace(contrast, **{name: _share_difference(limit) for name, limit in limits.items()})


def _share_difference(limit: float | None) -> float | None:
    return None if limit is None else min(max(limit, -1.0), 1.0)


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
            p_equivalence_adjusted = family.equivalence[dataset, name][variant]
            reached = verdict(contrast, p_adjusted, p_equivalence_adjusted)
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
                    "verdict": reached,
                    "ci90_low": contrast.ci90_low,
                    "ci90_high": contrast.ci90_high,
                    "method": contrast.method,
                    "detectable": contrast.detectable,
                    "seeds_to_settle": contrast.seeds_to_settle,
                    "sentence": sentences.sentence(
                        contrast,
                        p_adjusted,
                        reached,
                        variant_label=label,
                        reference_label=reference,
                        p_equivalence_adjusted=p_equivalence_adjusted,
                    ),
                    "p_equivalence": contrast.p_equivalence,
                    "p_equivalence_adjusted": p_equivalence_adjusted,
                    "n_variant": contrast.n_variant,
                    "n_reference": contrast.n_reference,
                    "n_diverged_variant": contrast.n_missing_variant,
                    "n_diverged_reference": contrast.n_missing_reference,
                    "finished_verdict": verdict_of_finished_runs(contrast, p_adjusted, p_equivalence_adjusted),
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
            found = crossed_difference(*sides)
            low, high = _share_difference(found.ci_low), _share_difference(found.ci_high)
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
            found = trend([level.order for level in levels], wide[[level.variant for level in levels]].to_numpy())
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
            found = factorial(np.stack([wide[row].to_numpy() for row in cells], axis=1))
            effects = {
                question.grid.factors[0]: found.first,
                question.grid.factors[1]: found.second,
                "interaction": found.interaction,
            }
            for name, effect in effects.items():
                contrast = found if name == "interaction" else Factorial(found.n_blocks, found.n_incomplete)
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


def factorial_sentence(question: Question, name: str, effect: Effect | None, found: Factorial) -> str:
    """An effect of a factorial in words, with its numbers."""
    first, second = map(field_label, question.grid.factors)
    if name == "interaction":
        subject = _("Interaction of {first} and {second}", first=first, second=second)
    else:
        subject = _("Main effect of {factor}", factor=field_label(name))
    if effect is None:
        return _(
            "{subject}: not tested, with n = {n} complete seeds{left_out}.",
            subject=subject,
            n=found.n_blocks,
            left_out=_incomplete_seeds(found.n_incomplete),
        )
    if effect.p_value is None:
        return _("{subject}: not tested, for the seeds do not differ.", subject=subject)
    said = {
        "subject": subject,
        "statistic": f"F({effect.df}, {effect.df_residual}) = {number(effect.f_statistic, '.2f')}",
        "p": _exploratory(effect.p_value),
        "n": found.n_blocks,
        "left_out": _incomplete_seeds(found.n_incomplete),
    }
    if found.contrast is None:
        return _("{subject}: {statistic}, {p}, n = {n} seeds{left_out}.", **said)
    (low, high), (before, after) = question.grid.labels
    gain = with_unit(sentences.signed(100 * found.contrast, 2), "pp")
    said |= {"first": first, "low": low, "high": high, "second": second, "before": before, "after": after}
    if found.ci_low is None:
        return _(
            "{subject}: {statistic}, {p}, n = {n} seeds{left_out}; going from {second} {before} to {after} gains "
            "{gain} more at {first} {high} than at {low}.",
            **said,
            gain=gain,
        )
    return _(
        "{subject}: {statistic}, {p}, n = {n} seeds{left_out}; going from {second} {before} to {after} gains "
        "{gain} more at {first} {high} than at {low} ({interval}).",
        **said,
        gain=gain,
        interval=_interval(found.ci_low, found.ci_high),
    )


def _exploratory(p_value: float) -> str:
    """A p value that is no part of the study's family, and says so."""
    return _("exploratory {p}", p=sentences.format_p(p_value))


def _interval(low: float, high: float) -> str:
    """``95 % CI +2.31 to +3.25`` from limits as fractions, in points."""
    limits = _("{low} to {high}", low=sentences.signed(100 * low, 2), high=sentences.signed(100 * high, 2))
    return _("95 % CI {interval}", interval=limits)


def trend_sentence(question: Question, found: Trend) -> str:
    """The trend in words, with its numbers."""
    factor = question.subject
    if found.slope is None:
        return _(
            "No trend over {factor}: a trend needs 3 levels and a complete seed; there are {levels} and {blocks}.",
            factor=factor,
            levels=found.n_levels,
            blocks=found.n_blocks,
        )
    slope = with_unit(sentences.signed(found.slope * 100, 2), "pp")
    doubling, unit = N_("{slope} per doubling of {factor}"), N_("{slope} per unit of {factor}")
    change = _(doubling if found.slope_per == "doubling" else unit, slope=slope, factor=factor)
    if found.ci_low is not None:
        change = f"{change} ({_interval(found.ci_low, found.ci_high)})"
    left_out = _incomplete_seeds(found.n_incomplete)
    if found.p_value is None:
        return ngettext(
            "Test accuracy changes by {change}, n = {n} seed{left_out}: a smoke test, nothing is inferred.",
            "Test accuracy changes by {change}, n = {n} seeds{left_out}: a smoke test, nothing is inferred.",
            found.n_blocks,
            change=change,
            left_out=left_out,
        )
    return _(
        "Test accuracy changes by {change}, n = {n} seeds{left_out}; Page's trend test, {p}.",
        change=change,
        n=found.n_blocks,
        left_out=left_out,
        p=_exploratory(found.p_value),
    )


def _incomplete_seeds(n: int) -> str:
    """How many seeds a trend or a factorial leaves out, ready to follow the number of those that it uses."""
    if not n:
        return ""
    return ngettext(" ({n} seed with a diverged run left out)", " ({n} seeds with a diverged run left out)", n)


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
    for (dataset, variant), found in collected.items():
        measures = {
            name: np.array([entry[name] for entry in found], dtype=float) for name in ("precision", "recall", "f1")
        }
        defined = {name: np.isfinite(values).sum(axis=0) for name, values in measures.items()}
        for index, label in enumerate(classes[dataset]):
            rows.append(
                {
                    "dataset": dataset,
                    "variant": variant,
                    "class": label,
                    "support": found[0]["support"][index],
                    **{
                        name: np.nanmean(values[:, index]) if defined[name][index] else None
                        for name, values in measures.items()
                    },
                    "recall_sd": measures["recall"][:, index].std(ddof=1) if defined["recall"][index] > 1 else None,
                    "n_seeds": defined["recall"][index],
                    "precision_seeds": defined["precision"][index],
                }
            )
    columns = [
        "dataset", "variant", "class", "support", "precision", "recall", "f1", "recall_sd", "n_seeds",
        "precision_seeds",
    ]  # fmt: skip
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
