"""Compare all runs of a study: tables with statistics, figures, and summary.json, which the report is written from.

The runs are those that the config names; a run whose spec or data are not the config's is refused.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from convlab.common import provenance
from convlab.common.cli import run
from convlab.common.code_digests import code_parts
from convlab.common.files import write_json, write_text
from convlab.common.outputs import files_below, job_results
from convlab.common.table_files import write_table
from convlab.figures.features import feature_figures
from convlab.figures.fonts import use_fonts_without_layout_tables
from convlab.figures.labels import warn_of_missing_characters
from convlab.figures.saving import FigureWriter
from convlab.figures.study import DatasetResults, FigureFile, dataset_figures
from convlab.figures.style import use_style
from convlab.language.captions import table_caption
from convlab.models.registry import modules
from convlab.paper.macros import numbers_tex
from convlab.paper.printed import printed
from convlab.probes import registry as probe_registry
from convlab.probes import tables as probe_tables
from convlab.probes.measured import Measured, load_measured
from convlab.results import looks, tables
from convlab.results.asked import family_by_registration
from convlab.results.choice import chosen_variant
from convlab.results.conditions import with_claim_conditions, with_contrast_conditions
from convlab.results.convolutions import convolutions_table
from convlab.results.descriptions import with_described_costs
from convlab.results.distinct_images import with_distinct_images
from convlab.results.family import Family
from convlab.results.loading import (
    RunRecords,
    load_correct,
    load_manifests,
    load_near_duplicates,
    load_runs,
    variants_with_details,
)
from convlab.results.new_images import with_new_images
from convlab.results.robustness import robustness_table
from convlab.results.sequential import claim_key, contrast_key, family_over_looks, proposal
from convlab.results.timings import Timings, load_timings, read_record
from convlab.results.tuning import tuning_table
from convlab.states import history
from convlab.statistics.claims import ConstantGuess
from convlab.study import layout, registration_files
from convlab.study.load import load_study
from convlab.study.metrics import ACCURACY, BY_COLUMN
from convlab.study.registration import Standings
from convlab.study.schema import Study
from convlab.study.seeds import Schedule

log = logging.getLogger("compare")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=json.loads, help="the config as JSON, texts may be missing")
    parser.add_argument("--schedule", default={}, type=json.loads, help="seeds of each variant so far, as JSON")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    parser.add_argument("--registration-dir", type=Path, help="its registration; in --results-dir if absent")
    parser.add_argument("--processes", type=int, default=1, help="figures that are written at the same time")
    arguments = parser.parse_args(argv)
    output = layout.compared(arguments.results_dir)
    with job_results(output / "summary.json", lambda: files_below(output, {history.HISTORY})):
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Read all runs, and write tables, figures and summary."""
    study, folder = load_study(arguments.settings, for_readers=True), arguments.results_dir
    study = with_described_costs(study.with_schedule(Schedule.of(arguments.schedule, study.seeds)), folder)
    output = layout.compared(folder)

    records, manifests = load_runs(study, folder), load_manifests(study, folder)
    classes = {dataset: manifest["classes"] for dataset, manifest in manifests.items()}
    test_images = {dataset: sum(manifest["counts"]["test"].values()) for dataset, manifest in manifests.items()}
    guesses = {dataset: ConstantGuess.of(manifest["counts"]["test"]) for dataset, manifest in manifests.items()}

    registered_in = arguments.registration_dir or layout.registered(folder)
    registration = registration_files.read(registered_in)
    data = {dataset: looks.data_digest(manifest) for dataset, manifest in manifests.items()}
    standings = registration_files.standings(study, registration, len(records.runs), data)

    timings = load_timings(study, folder, records.runs)
    runs = tables.runs_table(records.rows, guesses)
    runs = probe_tables.with_claim_values(runs, study.plan, load_measured(study, folder))
    family = family_over_looks(runs, study, guesses, standings, timings)
    named = study_tables(study, folder, records, classes, guesses, (family, standings, timings))
    variants = named["variants"]
    candidates = variants[variants["variant"].isin(study.plan.servable or study.plan.compared)]
    chosen = {dataset: chosen_variant(candidates, dataset) for dataset in study.datasets}

    use_style()
    labels = [variant.label for variant in study.plan.variants.values()]
    class_names = [name for names in classes.values() for name in names]
    lacking = warn_of_missing_characters(log, [*labels, *class_names])
    use_fonts_without_layout_tables([study.model_dump_json(), *class_names])
    figures_folder = output / "figures"
    shutil.rmtree(figures_folder, ignore_errors=True)
    figures_folder.mkdir(parents=True)
    figures = []
    with FigureWriter(arguments.processes) as writer:
        for dataset in study.datasets:
            results = DatasetResults(study, dataset, named, records, folder, classes[dataset], chosen[dataset])
            files = chain(dataset_figures(results, probe_figures), feature_figures(results))
            figures += [file.save(figures_folder, writer) for file in files]
        # The tables are written while the last figures are.
        for name, as_printed in printed(named, study).items():
            write_table(named[name], output / name, table_caption(name, guesses, study.plan.metric), as_printed)
        write_text(output / "numbers.tex", numbers_tex(named, study, test_images, chosen, guesses))
    summary = {
        "format": 1,
        "classes": classes,
        "test_images": test_images,
        "constant_guess": {
            dataset: guess
            and {
                "class": guess.label,
                "share": float(guess.share),
                "metrics": {column: float(guess.value(column)) for column in BY_COLUMN},
            }
            for dataset, guess in guesses.items()
        },
        "chosen": chosen,
        "confusions": {
            dataset: {
                variant: tables.summed_confusion(records.evaluations, dataset, variant)
                for variant in variants_with_details(study, chosen[dataset])
            }
            for dataset in study.datasets
        },
        "figures": figures,
        "not_drawn": lacking,
        "looks": proposal(study, family.looks),
        "training": records.training_summary(),
        "timing": read_record(folder),
        "provenance": made_from(study, records, manifests),
    }
    write_json(output / "summary.json", summary)
    commit = provenance.commit(Path(__file__).resolve().parent.parent)
    look = looks.look(study, records, registration.registrations, data, commit)
    seen = registration_files.add_look(registered_in, look)
    history.snapshot(output)
    counts = (len(named["runs"]), len(named["comparisons"]), len(figures), len(seen))
    log.info("%d runs, %d comparisons, %d figures; look %d at the test images", *counts)


def study_tables(
    study: Study,
    folder: Path,
    records: RunRecords,
    classes: Mapping[str, list[str]],
    guesses: Mapping[str, ConstantGuess | None],
    decided: tuple[Family, Standings, Timings],
) -> dict[str, pd.DataFrame]:
    """Every table of a study, by the name of its file; six parameters, each read once and used by other files too.

    Args:
        decided: the family over all looks, the standing of what is registered, and times that were measured in rounds.
    """
    plan, rope, runs = study.plan, study.statistics.rope, tables.runs_table(records.rows, guesses)
    family, standings, timings = decided
    by_registration = partial(family_by_registration, standings=standings)
    # Answers that are right or wrong give intervals for new images of accuracy, and of no other metric.
    answers, near_duplicates = load_correct(study, folder, records), load_near_duplicates(study, folder)
    correct = answers if plan.metric == ACCURACY else {}
    share = family.looks.look.share if family.looks else 1.0
    comparisons = with_new_images(tables.comparisons_table(runs, plan, rope, family), correct, plan, rope, share)
    comparisons = tables.with_registration(comparisons, lambda row: standings.question(row.dataset, row.experiment))
    comparisons = tables.with_looks(comparisons, family, "sentence", contrast_key)
    claims = tables.claims_table(runs, plan, rope, family)
    claims = tables.with_registration(claims, lambda row: standings.claim(row.dataset, row.claim))
    claims = tables.with_looks(claims, family, "reason", claim_key)
    measured = load_measured(study, folder)
    tuned = tables.runs_table(records.tuned_rows, guesses) if study.tuning else None
    return {
        "runs": runs,
        "variants": with_distinct_images(tables.variants_table(runs, plan, guesses), runs, answers, near_duplicates),
        "comparisons": with_contrast_conditions(comparisons, records.runs, plan),
        "robustness": robustness_table(runs, plan, rope, family, correct, near_duplicates, by_registration, tuned),
        "tuning": tuning_table(study, records),
        "claims": with_claim_conditions(claims, records.runs, plan),
        "trends": tables.trends_table(runs, plan),
        "factorials": tables.factorial_table(runs, plan),
        "per_class": tables.per_class_table(records.evaluations, classes),
        "convolutions": convolutions_table(records.evaluations, plan),
        "timings": timings.table,
        "probe_curves": probe_tables.all_curves(runs, plan, measured),
        "probe_contrasts": probe_tables.all_contrasts(runs, plan, measured),
    }


def loaded_code(study: Study) -> tuple[str, ...]:
    """Modules that this script loads by name: the families of the study's models, and its probes."""
    probes = probe_registry.modules(study.plan.probes, *probe_registry.COMPARE_PARTS)
    return (*modules(model.family for model in study.models.values()), *probes)


def made_from(study: Study, records: RunRecords, manifests: Mapping[str, Mapping]) -> dict[str, Any]:
    """Provenance of the results, for comparing states: config with its defaults, code, data, versions."""
    script = Path(__file__).resolve()
    return {
        "config": study.model_dump(mode="json"),
        "code": {
            **records.code(),
            "compare": [code_parts(script, loaded_code(study))],
        },
        "commit": provenance.commit(script.parent.parent),
        "versions": provenance.versions(),
        "data": {
            dataset: {
                "images": {part: sum(counts.values()) for part, counts in manifest["counts"].items()},
                "classes": manifest["classes"],
                "sha256": {name: entry["sha256"] for name, entry in manifest["arrays"].items()},
            }
            for dataset, manifest in manifests.items()
        },
    }


def probe_figures(results: DatasetResults) -> Iterator[FigureFile]:
    """The figures of each probe that has some and measured something on the dataset."""
    plan, curves = results.study.plan, results.tables["probe_curves"]
    measured = load_measured(results.study, results.folder)
    for name, probe in plan.probes.items():
        rows = curves[(curves["probe"] == name) & (curves["dataset"] == results.dataset)]
        if probe_registry.has(name, "figure") and len(rows):
            figure = probe_registry.part(name, "figure")
            yield from figure.figures(probe, results, rows, measured.get(name, Measured()))


if __name__ == "__main__":
    run(main)
