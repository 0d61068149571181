"""Made-up results of a study from given accuracies: runs.csv, and StudyResults for findings."""

import numpy as np
import pandas as pd

from convlab.findings.study_results import StudyResults
from convlab.results import tables
from convlab.results.choice import chosen_variant
from convlab.results.family import confirmatory_family
from convlab.results.fits import fits_table
from convlab.results.loading import RunRecords
from convlab.results.new_images import with_new_images
from convlab.results.robustness import robustness_table
from convlab.results.tuning import empty_tuning_table, tuning_table
from convlab.study.load import load_study
from convlab.study.metrics import ACCURACY
from convlab.study.registration import Standing
from convlab.study.schema import Study

MADE_UP_STUDY = {
    "study": "made_up",
    "question": "Does the rule follow the numbers?",
    "datasets": {"digits": {}},
    "seeds": 3,
    "training": {"epochs": 4},
    "models": {
        "dense": {"family": "dense", "units": [64], "label": "Dense"},
        "cnn": {"family": "conv", "filters": [16, 32], "kernel_size": 3, "dense_units": [32], "label": "CNN"},
    },
    "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5]}},
    "comparisons": {"convolution": {"variant": "cnn", "reference": "dense"}},
}


CLEAR_SPREAD, CLOSE_SPREAD = (-0.001, 0.0, 0.001), (-0.0002, 0.0, 0.0002)


def seeds_around(mean: float, offsets=CLEAR_SPREAD) -> list[float]:
    """Accuracies with this mean; those of other means have their offsets in another order, so that differences vary."""
    order = np.random.default_rng(round(10_000 * mean)).permutation(offsets)
    return [mean + float(offset) for offset in order]


def correct_answers(runs: pd.DataFrame, images: int = 1000) -> dict[tuple[str, str, int], np.ndarray]:
    """Whether each of so many made-up test images is classified rightly, bool (images,) for every finished run: as many
    as its accuracy says, the easier ones with a higher probability."""
    generator, correct = np.random.default_rng(0), {}
    difficulty = generator.normal(0, 2, images)
    for row in runs[runs["test_accuracy"].notna()].itertuples():
        order = np.argsort(difficulty + generator.normal(0, 1, images))
        correct[row.dataset, row.variant, row.seed] = np.isin(
            np.arange(images), order[: round(images * row.test_accuracy)]
        )
    return correct


def runs_with(study: Study, accuracies: dict[str, list[float | None]]) -> pd.DataFrame:
    """runs.csv with the test accuracies given by variant, one for each seed; None is a diverged run.

    Of a study whose verdicts are about another metric they are values of that, and accuracy is 0.9 in every run.
    """
    rows, metric = [], study.plan.metric
    for dataset in study.datasets:
        for name, variant in study.plan.variants.items():
            for seed, accuracy in zip(study.seeds, accuracies[name], strict=True):
                finished, value = accuracy is not None, accuracy
                if finished and metric != ACCURACY:
                    accuracy = 0.9
                rows.append(
                    tables.run_row(
                        dataset,
                        variant,
                        seed,
                        study.plan.costs[dataset, name],
                        {
                            "status": "finished" if finished else "diverged",
                            "epochs_run": 4 if finished else 0,
                            "best_epoch": 3 if finished else 0,
                            "train_seconds": 8.0,
                            "images_per_second": 1000.0,
                            "val_accuracy": accuracy,
                            "spec_hash": study.run(dataset, name, seed).spec_hash,
                            "train_images": 1297,
                            "peak_memory_mb": 500.0,
                            "device": "CPU, 1 thread(s)",
                            "energy": {"cpu_seconds": 10.0},
                        },
                        {"latency_ms": {"p50": 0.3}}
                        | ({"accuracy": accuracy, "loss": 0.2, "ece": 0.03, "brier": 0.06} if finished else {}),
                    )
                    | ({} if metric == ACCURACY else {metric.column: value})
                )
    return tables.runs_table(rows)


def history_with(
    train=(0.5, 0.7, 0.8, 0.9), validation=(0.5, 0.7, 0.9, 0.88), loss=(2.0, 1.0, 0.5, 0.51)
) -> pd.DataFrame:
    epochs = range(1, len(train) + 1)
    return pd.DataFrame({"epoch": epochs, "accuracy": train, "val_accuracy": validation, "val_loss": loss})


def tuning_with(
    study: Study, tuned: dict[str, list[float | None]], chosen: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """runs.csv of the chosen trials and tuning.csv, from the test accuracies of the tuned variants.

    Args:
        chosen: number of the trial that each variant and seed is best with.
    """
    runs = runs_with(study, {name: tuned.get(name, [0.5] * len(study.seeds)) for name in study.plan.variants})
    runs = runs[runs["variant"].isin(study.plan.compared)]
    records = RunRecords({}, tuned_rows=runs.to_dict("records"))
    for row in records.tuned_rows:
        records.tuned[row["dataset"], row["variant"], row["seed"]] = {"trial": chosen}
        for trial in study.plan.trials_of(row["variant"]):
            is_chosen, finished = trial.number == chosen, row["status"] == "finished"
            records.trials[row["dataset"], trial.name, row["seed"]] = {
                "status": row["status"],
                "val_accuracy": row["val_accuracy"] - (0.0 if is_chosen else 0.1) if finished else None,
                "val_loss": 0.5 if finished else None,
                "spec_hash": study.run(row["dataset"], trial.name, row["seed"]).spec_hash,
            }
    return runs, tuning_table(study, records)


def results_with(
    accuracies,
    *,
    config=None,
    histories=None,
    kept=3,
    confusion=None,
    validation_images=145,
    confidence=0.01,
    tuned=None,
):
    """Results of a study from test accuracies; the rest is alike for all variants unless it is given.

    Eight parameters: the parts of a study's results. ``tuned``: test accuracies of the tuned variants, of a study with
    tuning; those of the untuned ones if they are not given.
    """
    study = load_study({**MADE_UP_STUDY, **(config or {})})
    plan, datasets = study.plan, list(study.datasets)
    if not isinstance(accuracies, dict):
        accuracies = dict(zip(plan.variants, accuracies, strict=True))
    runs = runs_with(study, accuracies)
    variants = tables.variants_table(runs, plan)
    classes = {dataset: [str(i) for i in range(10)] for dataset in datasets}
    matrix = np.eye(10, dtype=int) * 90 if confusion is None else np.array(confusion)
    finished = [name for name in plan.variants if any(value is not None for value in accuracies[name])]
    shown = {}
    for key in ((d, n, s) for d in datasets for n in plan.variants for s in study.seeds):
        shown[key] = (histories or {}).get(key[1], history_with())
    recall = np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)
    measures = {"precision": 0.9, "f1": 0.9, "recall_sd": 0.01, "n_seeds": 3, "precision_seeds": 3}
    per_class = [
        {"dataset": d, "variant": n, "class": c, "support": 35, "recall": r, **measures}
        for d in datasets
        for n in finished
        for c, r in zip(classes[d], recall, strict=True)
    ]
    correct, rope = correct_answers(runs), study.statistics.rope
    family = confirmatory_family(runs, plan, rope)
    tuned_runs, tuning = tuning_with(study, tuned or accuracies) if study.tuning else (None, empty_tuning_table())
    return StudyResults(
        plan=plan,
        rope=study.statistics.rope,
        runs=runs,
        variants=variants,
        comparisons=tables.with_registration(
            with_new_images(tables.comparisons_table(runs, plan, rope, family), correct, plan, rope),
            lambda row: Standing(),
        ),
        robustness=robustness_table(runs, plan, rope, family, correct, {}, tuned=tuned_runs),
        tuning=tuning,
        claims=tables.with_registration(tables.claims_table(runs, plan, rope), lambda row: Standing()),
        trends=tables.trends_table(runs, plan),
        factorials=tables.factorial_table(runs, plan),
        per_class=pd.DataFrame(per_class, columns=["dataset", "variant", "class", "support", "recall", *measures]),
        fits=fits_table(shown, dict.fromkeys(shown, kept), dict.fromkeys(shown, validation_images)),
        confidence=pd.DataFrame(
            [
                {"dataset": d, "variant": n, "seed": s, "confidence": 0.9 + confidence, "accuracy": 0.9}
                for d in datasets
                for n in finished
                for s in study.seeds
            ],
            columns=["dataset", "variant", "seed", "confidence", "accuracy"],
        ),
        confusions={d: {n: matrix.tolist() for n in finished} for d in datasets},
        classes=classes,
        test_images=dict.fromkeys(datasets, 355),
        chosen={d: chosen_variant(variants, d) for d in datasets},
    )


TWO_FACTORS = {
    "experiments": {"both": {"base": "cnn", "factors": {"kernel_size": [3, 5], "norm": ["none", "batch"]}}},
    "comparisons": {},
}
