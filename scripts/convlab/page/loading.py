"""Outputs of the other stages, loaded for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from convlab.common.files import read_json
from convlab.common.table_files import read_table
from convlab.evaluation.records import read_measures
from convlab.findings.left_out import given_validation
from convlab.findings.study_results import StudyResults
from convlab.results.fits import fits_table
from convlab.study import layout
from convlab.study.data_texts import with_own_texts
from convlab.study.schema import Study


@dataclass(frozen=True)
class ReportData:
    """Outputs of the other stages. Not validated here: compare refuses what does not belong to the config."""

    results: StudyResults
    summary: Mapping[str, Any]
    explored: Mapping[str, Mapping[str, Any]]
    manifests: Mapping[str, Mapping[str, Any]]
    trained: Mapping[tuple[str, str, int], Mapping[str, Any]]
    probed: Mapping[str, pd.DataFrame]


RESULT_TABLES = (
    "runs", "variants", "comparisons", "claims", "trends", "factorials", "per_class", "robustness", "tuning", "timings",
    "convolutions",
)  # fmt: skip
"""Tables of compare that the report reads beside those of probes."""


def load_report_data(study: Study, folder: Path) -> ReportData:
    """Load the tables, summaries, histories and run records of a study from its folder."""
    summary = read_json(layout.compared(folder) / "summary.json")
    tables = {name: read_table(layout.compared(folder) / f"{name}.csv") for name in RESULT_TABLES}
    tables["tuning"] = tables["tuning"].fillna({"chosen": ""})
    tables["timings"] = tables["timings"].fillna({"excluded": ""})
    # Variants that only a probe trained are shown in the section of probes alone.
    plan = replace(study.plan, variants=study.plan.compared)
    for name in ("runs", "variants", "per_class"):
        tables[name] = tables[name][tables[name]["variant"].isin(plan.variants)].reset_index(drop=True)
    probed = {name: read_table(layout.compared(folder) / f"probe_{name}.csv") for name in ("curves", "contrasts")}
    trained, histories, confidence = {}, {}, []
    for dataset in study.datasets:
        looked_at = summary["confusions"].get(dataset, {})
        for variant in study.plan.variants:
            measures, seeds = {}, study.seeds_of(dataset, variant)
            if variant in looked_at:
                measures = read_measures(layout.evaluated(folder, dataset, variant), seeds)
            for seed in seeds:
                key, run_folder = (dataset, variant, seed), layout.run(folder, dataset, variant, seed)
                trained[key] = read_json(run_folder / "run.json")
                if variant not in looked_at:
                    continue
                histories[key], measured = read_table(run_folder / "history.csv"), measures[seed]
                if "reliability" in measured:
                    confidence.append(
                        {
                            **dict(zip(("dataset", "variant", "seed"), key, strict=True)),
                            "confidence": mean_confidence(measured["reliability"]),
                            "accuracy": measured["accuracy"],
                        }
                    )
    manifests = {
        dataset: with_own_texts(read_json(layout.prepared(folder, dataset) / "manifest.json"), spec)
        for dataset, spec in study.datasets.items()
    }
    results = StudyResults(
        plan=plan,
        rope=study.statistics.rope,
        **tables,
        fits=fits_table(
            histories,
            {key: entry["best_epoch"] for key, entry in trained.items()},
            {key: entry["validation_images"] for key, entry in trained.items()},
        ),
        confidence=pd.DataFrame(confidence, columns=["dataset", "variant", "seed", "confidence", "accuracy"]),
        confusions=summary["confusions"],
        classes=summary["classes"],
        test_images=summary["test_images"],
        chosen=summary["chosen"],
        constant_guess=summary["constant_guess"],
        given_validation=given_validation(manifests),
        machines=max(1, len(summary["training"]["hardware"])),
    )
    return ReportData(
        results,
        summary,
        {dataset: read_json(layout.explored(folder, dataset) / "summary.json") for dataset in study.datasets},
        manifests,
        trained,
        probed,
    )


def mean_confidence(reliability: Sequence[Sequence[float]]) -> float:
    """Mean confidence over all images from a reliability diagram's rows (confidence, accuracy, count)."""
    total = sum(row[2] for row in reliability)
    return sum(row[0] * row[2] for row in reliability) / total
