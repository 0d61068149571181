"""Print the wall time, memory and CPU of a finished study's jobs, by rule.

Read from the benchmark files that Snakemake writes under results/<study>/benchmarks. On a cluster's own machines these
figures are what to set memory and time limits by (`set-resources` in a profile).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import csv
import math
import statistics

from convlab.common.cli import run
from convlab.errors import UserError
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.plan_text import aligned

COLUMNS = ("rule", "jobs", "median s", "longest s", "median MB", "most MB", "CPU %")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config)).study
    folder = layout.benchmarks(layout.study_folder(study, arguments.results))
    measured = read(folder)
    if not measured:
        raise UserError(f"{folder} holds no measurements; run the study first")
    print(aligned([COLUMNS, *(usage_row(rule, jobs) for rule, jobs in measured.items())]))


def read(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Rows of the benchmark files by rule, the first part of their path; what was not measured is NaN."""
    usage: dict[str, list[dict[str, float]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with path.open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream, delimiter="\t"):
                usage.setdefault(rule, []).append(
                    {name: _number(line.get(name)) for name in ("s", "max_rss", "mean_load")}
                )
    return usage


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:  # NA, and - for jobs too short to be sampled
        return math.nan


def usage_row(rule: str, jobs: list[dict[str, float]]) -> tuple[str, ...]:
    """Row of the table for one rule."""

    def over(name: str, function) -> str:
        values = [job[name] for job in jobs if math.isfinite(job[name])]
        return f"{function(values):,.0f}" if values else "?"

    seconds, memory = (
        (over("s", statistics.median), over("s", max)),
        (
            over("max_rss", statistics.median),
            over("max_rss", max),
        ),
    )
    return rule, f"{len(jobs):,}", *seconds, *memory, over("mean_load", statistics.median)


if __name__ == "__main__":
    run(main)
