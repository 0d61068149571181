"""Check a config and print its plan: every variant with its size, the number of runs, and their time.

Nothing is trained and nothing is written. The time is estimated from the runs that lie under results/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse

from convlab.common.cli import run
from convlab.datasets.shapes import data_notes
from convlab.study import estimate, layout, precision_cost
from convlab.study.idle_values import idle_values
from convlab.study.load import load_study, read_yaml


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results of earlier runs")
    parser.add_argument("--cores", type=int, default=1, help="runs side by side")
    parser.add_argument("--brief", action="store_true", help="one line instead of the table")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    earlier = estimate.earlier_runs(arguments.results, study)
    if not arguments.brief:
        print(estimate.table(study, earlier))
        print()
    print(estimate.summary(study, earlier, arguments.cores))
    for note in [*data_notes(study.datasets), *idle_values(study), *precision_cost.precision_costs(study)]:
        print(note)


if __name__ == "__main__":
    run(main)
