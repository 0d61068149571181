"""Results of earlier stages, read for the tables and figures of a study: runs, measures, predictions, histories."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlab.common.files import read_json
from convlab.common.table_files import read_table
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation.records import read_measures, read_probabilities
from convlab.results.energy import energy_summary
from convlab.results.tables import run_row
from convlab.study import layout
from convlab.study.schema import Study

MAX_DETAILED_VARIANTS = 6
"""Variants with details (errors, filters, feature maps): base models first, then the chosen one."""


@dataclass(frozen=True)
class RunRecords:
    """What train and evaluate recorded of every run, by (dataset, variant, seed); ``rows`` are those of runs.csv,
    ``seeds`` those of each (dataset, variant)."""

    seeds: Mapping[tuple[str, str], Sequence[int]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    evaluations: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    trials: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    """What train recorded of every trial of tuning, by (dataset, trial, seed)."""
    tuned: dict[tuple[str, str, int], Mapping] = field(default_factory=dict)
    """What evaluate recorded of the chosen trials, by (dataset, variant, seed)."""
    tuned_rows: list[dict[str, Any]] = field(default_factory=list)
    """The chosen trials as rows of runs.csv, each under the name of its variant."""

    def finished(self, dataset: str, variant: str) -> list[int]:
        """Seeds of a variant's runs that did not diverge."""
        return [
            seed for seed in self.seeds[dataset, variant] if self.runs[dataset, variant, seed]["status"] == "finished"
        ]

    def training_summary(self) -> dict[str, Any]:
        """Machine, versions and times over all runs, trials included, for the report's provenance."""
        runs = [*self.runs.values(), *self.trials.values()]
        return {
            "runs": len(runs),
            "train_seconds": sum(entry["train_seconds"] for entry in runs),
            "first_started": min(entry["started"] for entry in runs),
            "last_finished": max(entry["finished"] for entry in runs),
            "peak_memory_mb": max(entry["peak_memory_mb"] for entry in runs),
            "devices": sorted({entry["device"] for entry in runs}),
            "hardware": distinct(entry["hardware"] for entry in runs),
            "versions": distinct(entry["versions"] for entry in runs),
            "environment": distinct(entry["environment"] for entry in runs),
            "resumed": sum(entry["resumed_after_epoch"] > 0 for entry in runs),
            "energy": energy_summary(runs),
        }

    def code(self) -> dict[str, list[Mapping]]:
        """Distinct code digests of these runs' training and evaluation."""
        return {
            "train": distinct(entry.get("code", {}) for entry in self.runs.values()),
            "evaluate": distinct(entry.get("code", {}) for entry in self.evaluations.values()),
        }


def distinct(values: Iterable[Mapping]) -> list[Mapping]:
    """Distinct values in order of first appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def load_manifests(study: Study, folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest of every prepared dataset of a study."""
    return {dataset: read_json(layout.prepared(folder, dataset) / "manifest.json") for dataset in study.datasets}


def load_runs(study: Study, folder: Path) -> RunRecords:
    """Read every run that the config names.

    Args:
        folder: the study's folder under results/.

    Raises:
        UserError: a run is not what the config asks for, or was trained on other data.
    """
    records = RunRecords({(name, v): study.seeds_of(name, v) for name in study.datasets for v in study.plan.variants})
    for dataset, manifest in load_manifests(study, folder).items():
        checksums = {name: entry["sha256"] for name, entry in manifest["arrays"].items()}
        for variant in study.plan.variants.values():
            evaluated_in = layout.evaluated(folder, dataset, variant.name)
            for seed, evaluated in read_measures(evaluated_in, records.seeds[dataset, variant.name]).items():
                trained_in = layout.run(folder, dataset, variant.name, seed)
                trained = read_json(trained_in / "run.json")
                expected = study.run(dataset, variant.name, seed).spec_hash
                _refuse_other_spec(evaluated_in, seed, evaluated, expected)
                _refuse_other_spec(trained_in, seed, trained, expected)
                _refuse_other_data(trained_in, trained, layout.prepared(folder, dataset), checksums)
                key = (dataset, variant.name, seed)
                records.runs[key], records.evaluations[key] = trained, evaluated
                cost = study.plan.costs[dataset, variant.name]
                records.rows.append(run_row(dataset, variant, seed, cost, trained, evaluated))
        _load_trials(study, folder, dataset, checksums, records)
    return records


def _load_trials(study: Study, folder: Path, dataset: str, checksums: Mapping[str, str], records: RunRecords) -> None:
    """Add the trials of tuning on a dataset to ``records``, and the chosen ones with their measures."""
    for name in study.plan.trials:
        for seed in study.seeds_of(dataset, name):
            trained_in = layout.run(folder, dataset, name, seed)
            trained = read_json(trained_in / "run.json")
            _refuse_other_spec(trained_in, seed, trained, study.run(dataset, name, seed).spec_hash)
            _refuse_other_data(trained_in, trained, layout.prepared(folder, dataset), checksums)
            records.trials[dataset, name, seed] = trained
    for name in dict.fromkeys(trial.variant for trial in study.plan.trials.values()):
        trials, tuned_in = study.plan.trials_of(name), layout.tuned(folder, dataset, name)
        for seed, evaluated in read_measures(tuned_in, study.seeds_of(dataset, name)).items():
            trained = records.trials[dataset, trials[evaluated["trial"] - 1].name, seed]
            _refuse_other_spec(tuned_in, seed, evaluated, trained["spec_hash"])
            records.tuned[dataset, name, seed] = evaluated
            variant, cost = study.plan.variants[name], study.plan.costs[dataset, name]
            records.tuned_rows.append(run_row(dataset, variant, seed, cost, trained, evaluated))


def _refuse_other_spec(read_from: Path, seed: int, record: Mapping[str, Any], expected: str) -> None:
    """Raise UserError for the record of a run with another spec than the config's."""
    if record["spec_hash"] != expected:
        raise UserError(
            f"{read_from} holds a run of seed {seed} with spec hash {record['spec_hash']}, but the config asks for "
            f"{expected}; delete that folder and run snakemake again"
        )


def _refuse_other_data(read_from: Path, trained: Mapping[str, Any], data: Path, checksums: Mapping[str, str]) -> None:
    """Raise UserError for a run that was trained on other arrays than those in ``data``, which have ``checksums``."""
    if trained["data_sha256"] != checksums:
        raise UserError(
            f"{read_from} was trained on other data than {data} holds; delete that folder and run snakemake again"
        )


def load_correct(study: Study, folder: Path, records: RunRecords) -> dict[tuple[str, str, int], np.ndarray]:
    """Correctness of each test image, bool (images,), for every finished run of the variants that are compared."""
    correct = {}
    for dataset in study.datasets:
        _, truth = prepared.load_test(layout.prepared(folder, dataset))
        for name in study.plan.compared:
            seeds = records.finished(dataset, name)
            probabilities = read_probabilities(layout.evaluated(folder, dataset, name), seeds)
            for seed, predicted in zip(seeds, probabilities.argmax(axis=-1), strict=True):
                correct[dataset, name, seed] = predicted == truth
    return correct


def load_near_duplicates(study: Study, folder: Path) -> dict[str, np.ndarray]:
    """By dataset, indices of the test images that have a near duplicate among the training images, int (n,)."""
    tables = {
        dataset: read_table(layout.explored(folder, dataset) / "near_duplicates.csv") for dataset in study.datasets
    }
    return {dataset: table["test_index"].to_numpy(dtype=int) for dataset, table in tables.items()}


def load_histories(
    study: Study, folder: Path, records: RunRecords, dataset: str, names: Sequence[str], most: int
) -> pd.DataFrame:
    """Histories of the first ``most`` variants that have any: seed, epoch, losses, accuracies, learning rate."""
    begun = {
        name: [seed for seed in records.seeds[dataset, name] if records.runs[dataset, name, seed]["epochs_run"]]
        for name in names
    }
    parts = [
        read_table(layout.run(folder, dataset, name, seed) / "history.csv").assign(variant=name, seed=seed)
        for name in [name for name, seeds in begun.items() if seeds][:most]
        for seed in begun[name]
    ]
    columns = ["variant", "seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def variants_with_details(study: Study, chosen: str | None) -> list[str]:
    """Variants whose errors and features are shown: the chosen variant, then the base models."""
    first = [chosen] if chosen else []
    bases = [name for name in study.plan.variants if name in study.models and name != chosen]
    return [*first, *bases][:MAX_DETAILED_VARIANTS]
