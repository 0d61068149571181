"""The checklist of a grading rubric, held against the report that shows it."""

from collections.abc import Mapping

from convlab.findings.contrasts import verdict_or_gap
from convlab.findings.registration import exploratory, registered_when
from convlab.findings.study_results import StudyResults
from convlab.page.views import Figure
from convlab.study.checklist import Checklist, Finished, checklist
from convlab.study.schema import Study


def rubric_view(
    study: Study, results: StudyResults, figures: Mapping[str, Mapping[str, list[Figure]]]
) -> Checklist | None:
    """The checklist of the rubric that the config names; None without one.

    Args:
        figures: of the report, by dataset and section.
    """
    names = {
        dataset: {
            f"{section}/{figure.name}": figure.anchor for section, shown in figures[dataset].items() for figure in shown
        }
        for dataset in study.datasets
    }
    seeds = {(row["dataset"], row["variant"]): row["n_seeds"] for row in results.variants.to_dict("records")}
    verdicts = {
        (row["dataset"], row["experiment"], row["variant"]): verdict_or_gap(row)
        for row in results.comparisons.to_dict("records")
    }
    late = {row["claim"]: registered_when(row) for row in results.claims.to_dict("records") if exploratory(row)}
    return checklist(study, Finished(names, seeds, verdicts, late))
