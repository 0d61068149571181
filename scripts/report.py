"""Write a study's report: report/index.html, one file that needs nothing else, and report/report.md for a code host.

Everything in it comes from the tables, figures and summaries of this study. Prose is in the templates under report/,
sentences that depend on numbers are made by convlab.findings.collect.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from convlab.common import i18n, provenance
from convlab.common.cli import run
from convlab.common.files import write_text
from convlab.common.i18n import gettext as _
from convlab.common.outputs import job_results
from convlab.figures.palette import COLOURS
from convlab.findings.across_datasets import across_datasets
from convlab.findings.collect import claims_count, claims_met_by_guess, interpret
from convlab.findings.conditions import conditions_limitation, conditions_notice, unequal_claims, unequal_texts
from convlab.findings.left_out import left_out, test_origin, validation_origin
from convlab.findings.limitations import characters_missing_in_fonts, limitations
from convlab.findings.registration import claims_registration, looks, registration_notices
from convlab.findings.study_results import Finding, StudyResults
from convlab.language import numbers as say
from convlab.language.looks import progress_text
from convlab.page.card import model_card
from convlab.page.confusions import matrices, most_confused
from convlab.page.dataset import data_tables
from convlab.page.deployment import deployment
from convlab.page.design import design
from convlab.page.features import features_of_questions, features_of_variants, not_looked_into
from convlab.page.findings_table import findings_table, topic_anchor
from convlab.page.format import duration, seeds_text
from convlab.page.gallery import load_figures
from convlab.page.loading import ReportData, load_report_data
from convlab.page.measures import (
    MAIN_COLUMNS,
    MAX_TABLE_ROWS,
    calibration_table,
    constant_guess_text,
    distinct_table,
    fits_summary,
    main_table,
    per_class,
    probe_table,
)
from convlab.page.provenance import provenance_view
from convlab.page.rubric import rubric_view
from convlab.page.templates import TEMPLATES, environment, script_hash, tidy_markdown
from convlab.page.tuning import tuning_view
from convlab.page.verdicts import chosen, claim_cards, question_card
from convlab.page.views import ProbeView
from convlab.probes import registry as probe_registry
from convlab.probes.all_findings import all_findings, by_assumption
from convlab.results.descriptions import with_described_costs
from convlab.results.looks import data_digest
from convlab.statistics.describe import MIN_SEEDS
from convlab.statistics.sequential import looks_of
from convlab.study import layout, registration_files
from convlab.study.data_texts import reason
from convlab.study.idle_values import same_variants
from convlab.study.load import load_study
from convlab.study.metrics import ACCURACY
from convlab.study.registration import Standings
from convlab.study.registration_files import Records
from convlab.study.schema import Study
from convlab.study.seeds import Schedule

log = logging.getLogger("report")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=json.loads, help="the whole config as JSON")
    parser.add_argument("--schedule", default={}, type=json.loads, help="seeds of each variant so far, as JSON")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    parser.add_argument("--registration-dir", type=Path, help="its registration; in --results-dir if absent")
    parser.add_argument("--config-file", nargs="*", default=[], help="config files, for the command to run again")
    parser.add_argument(
        "--config-values", default={}, type=json.loads, help="what was set beside them, as JSON, for that command too"
    )
    arguments = parser.parse_args(argv)
    output = layout.reported(arguments.results_dir)
    with job_results(output / "index.html", lambda: [output / "report.md"]):
        write_report(arguments)


def write_report(arguments: argparse.Namespace) -> None:
    """Read the other stages' results, and write the report as HTML and Markdown."""
    study, folder = load_study(arguments.config, for_readers=True), arguments.results_dir
    study = with_described_costs(study.with_schedule(Schedule.of(arguments.schedule, study.seeds)), folder)

    data = load_report_data(study, folder)
    records = registration_files.read(arguments.registration_dir or layout.registered(folder))
    view = build_view(study, data, folder, records)
    view["provenance"] = provenance_view(study, data, records, arguments.config_file, arguments.config_values)
    view["commit"] = provenance.commit(Path(__file__).resolve().parent.parent)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    view["script"], view["script_hash"] = Markup(script), script_hash(script)
    page = environment("html").get_template("index.html.j2").render(view)
    text = environment("markdown").get_template("report.md.j2").render(view)
    write_text(layout.reported(folder) / "index.html", page)
    write_text(layout.reported(folder) / "report.md", tidy_markdown(text))
    log.info("index.html has %.1f MB, report.md %.0f kB", len(page.encode()) / 1e6, len(text.encode()) / 1e3)


def build_view(study: Study, data: ReportData, folder: Path, records: Records) -> dict[str, Any]:
    """Context of the templates, without provenance."""
    digests = {dataset: data_digest(manifest) for dataset, manifest in data.manifests.items()}
    standings = registration_files.standings(study, records, len(data.trained), digests)
    figures = load_figures(study, data, folder)
    runs = data.results.runs
    return {
        **head(study, data),
        **verdicts_and_claims(study, data),
        **registration_view(data, standings, records),
        **findings_and_probes(study, data, figures),
        **details(study, data),
        **features(data, figures),
        "limitations": all_limitations(study, data, records),
        "deployments": [view for dataset in study.datasets if (view := deployment(folder, dataset, runs))],
        "figures": figures,
        "rubric": rubric_view(study, data.results, figures),
    }


def head(study: Study, data: ReportData) -> dict[str, Any]:
    """Title, facts about the study as a whole, runs that diverged, legend and design."""
    results, plan, datasets = data.results, study.plan, list(study.datasets)
    runs = results.runs
    title = study.report.title or study.question or study.study
    return {
        "study": study,
        "plan": plan,
        "title": title,
        "lead": study.question if study.question != title else "",
        "datasets": datasets,
        "language": i18n.language(),
        "rope": say.region(study.statistics.rope, plan.metric.difference_unit),
        "metric": _(plan.metric.name),
        "by_accuracy": plan.metric == ACCURACY,
        "difference_unit": plan.metric.difference_unit,
        "seeds": [str(seed) for seed in study.seeds[: study.seed_counts[-1]]],
        "looks": looks_line(study, data.summary.get("looks")),
        "smoke": study.seed_counts[0] < MIN_SEEDS,
        "facts": {
            "runs": say.count(data.summary["training"]["runs"]),
            "variants": say.count(len(plan.variants)),
            "seeds": seeds_text(study.seed_counts),
            "test_images": i18n.listing(say.count(results.test_images[dataset]) for dataset in datasets),
            "training": duration(data.summary["training"]["train_seconds"]),
        },
        "diverged": [
            (plan.variants[row["variant"]].label, row["dataset"], row["seed"])
            for row in runs[runs["status"] == "diverged"].to_dict("records")
        ],
        "legend": [
            (name, plan.variants[name].label, number % len(COLOURS)) for number, name in enumerate(plan.compared)
        ],
        "design": design(study),
        "planned": planned_looks(study),
    }


def planned_looks(study: Study) -> dict[str, str] | None:
    """Numbers of the planned looks for the methods, as text; None without."""
    if study.seeds.looks is None:
        return None
    looks = looks_of(study.seeds.counts)
    percents = [i18n.with_unit(i18n.number(100 * look.share, ".0f"), "%") for look in looks]
    counts = [str(look.n_seeds) for look in looks]
    return {"counts": i18n.listing(counts, len(looks)), "shares": i18n.listing(percents, len(looks))}


def looks_line(study: Study, proposed: Mapping[str, Any] | None) -> str:
    """How far a study with planned looks has come; empty for others."""
    if proposed is None:
        return ""
    settled, unsettled = len(proposed["settled"]), len(proposed["unsettled"])
    return progress_text(proposed["look"], study.seeds.counts, settled, unsettled)


def registration_view(data: ReportData, standings: Standings, records: Records) -> dict[str, Any]:
    """Number of the look, and what is said about the registration."""
    results = data.results
    return {
        "look": records.looks[-1].look if records.looks else None,
        "registration_notices": registration_notices(results, standings, records),
        "registered": bool(records.registrations) and not records.registrations[0].runs_known,
        "claims_registration": claims_registration(results.claims),
    }


def verdicts_and_claims(study: Study, data: ReportData) -> dict[str, Any]:
    """Verdict of each question and claim, the chosen model, the main table."""
    results, plan, datasets = data.results, study.plan, list(study.datasets)
    question_cards = {
        dataset: [question_card(results, dataset, question) for question in plan.questions.values()]
        for dataset in datasets
    }
    return {
        "question_cards": question_cards,
        "across": {question.name: across_datasets(results, question, datasets) for question in plan.questions.values()},
        "claims": claim_cards(results, len(datasets) > 1, unequal_claims(data.trained, results)),
        "claims_count": claims_count(results),
        "claims_met_by_guess": claims_met_by_guess(results),
        "chosen": {dataset: chosen(results, dataset) for dataset in datasets},
        "cards": {dataset: model_card(results, dataset, data.manifests[dataset]) for dataset in datasets},
        "baselines": {dataset: constant_guess_text(results, dataset) for dataset in datasets},
        "tuning": {dataset: tuning_view(results, dataset) for dataset in datasets},
        "main": {dataset: main_table(results, dataset) for dataset in datasets},
        "main_columns": MAIN_COLUMNS,
        "max_rows": MAX_TABLE_ROWS,
    }


def findings_and_probes(study: Study, data: ReportData, figures: Mapping[str, Any]) -> dict[str, Any]:
    """The sentences of each dataset's interpretation, and each probe with its figures and table."""
    results, datasets = data.results, list(study.datasets)
    labels = {name: variant.label for name, variant in study.plan.variants.items()}
    probes = {
        dataset: all_findings(**data.probed, labels=labels, dataset=dataset, rope=results.rope)
        for dataset in study.datasets
    }
    topics = {dataset: interpret(results, dataset, by_assumption(probes[dataset])) for dataset in datasets}
    views = {
        dataset: [
            ProbeView(
                name,
                _(probe_registry.part(name, "findings").TITLE),
                probe_registry.part(name, "findings").introduction(study.training, dataset in results.given_validation),
                findings,
                [figure for figure in figures[dataset]["probes"] if figure.probe == name],
                probe_table(data.probed["curves"], dataset, name, labels),
            )
            for name, findings in probes[dataset].items()
        ]
        for dataset in datasets
    }
    return {
        "topics": {
            dataset: [(topic_anchor(dataset, topic), topic) for topic in topics[dataset]] for dataset in datasets
        },
        "findings_table": {
            dataset: findings_table(results, dataset, topics[dataset], views[dataset], data.probed)
            for dataset in datasets
        },
        "probes": views,
    }


def features(data: ReportData, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Filters and feature maps of each dataset, and whose model cannot be looked into."""
    results = data.results
    shown = {dataset: sections["features"] for dataset, sections in figures.items()}
    return {
        "features_of_questions": {
            dataset: features_of_questions(results, dataset, figures) for dataset, figures in shown.items()
        },
        "features_of_variants": {
            dataset: features_of_variants(looked_at(results, dataset), figures) for dataset, figures in shown.items()
        },
        "not_looked_into": {dataset: not_looked_into(results, figures) for dataset, figures in shown.items()},
    }


def looked_at(results: StudyResults, dataset: str) -> list[tuple[str, str]]:
    """Names and labels of the variants with details, the chosen one first."""
    return [(name, results.label(name)) for name in results.variants_with_details(dataset)]


def all_limitations(study: Study, data: ReportData, records: Records) -> list[Finding]:
    """The sentences of the limitations, in the report's order."""
    results = data.results
    resumed = sum(entry["resumed_after_epoch"] > 0 for entry in data.trained.values())
    return [
        *(Finding(text) for text in same_variants(study)),
        *conditions_limitation(data.trained, results),
        *limitations(results, study.seeds[: study.seed_counts[0]], data.explored, resumed, data.summary["timing"]),
        *looks(records.looks),
        *characters_missing_in_fonts(data.summary["not_drawn"]),
    ]


def details(study: Study, data: ReportData) -> dict[str, Any]:
    """Tables and notes of each dataset, its images and its runs."""
    results, datasets = data.results, list(study.datasets)
    return {
        "unequal": unequal_texts(data.trained, results),
        "conditions_notice": conditions_notice(data.trained, results),
        "looked_at": {dataset: looked_at(results, dataset) for dataset in datasets},
        "fits": {dataset: fits_summary(results, dataset) for dataset in datasets},
        "per_class": {
            dataset: {name: per_class(results, dataset, name) for name in results.variants_with_details(dataset)}
            for dataset in datasets
        },
        "calibration": {dataset: calibration_table(results, dataset) for dataset in datasets},
        "data": {
            dataset: data_tables(data.explored[dataset], data.manifests[dataset], spec)
            for dataset, spec in study.datasets.items()
        },
        "distinct": {dataset: distinct_table(results, dataset) for dataset in datasets},
        "reasons": {dataset: reason(spec) for dataset, spec in study.datasets.items()},
        "most_confused": {
            dataset: {name: most_confused(results, dataset, name) for name in results.variants_with_details(dataset)}
            for dataset in datasets
        },
        "left_out": left_out(data.manifests, data.explored),
        "test_origin": test_origin(data.manifests),
        "validation_origin": validation_origin(data.manifests, study.training.validation_fraction),
        "drawn_validation": set(datasets) - set(results.given_validation),
        "matrices": {dataset: matrices(results, dataset) for dataset in datasets},
    }


if __name__ == "__main__":
    run(main)
