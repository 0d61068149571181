"""Write results/index.html: all studies of a results folder with their verdicts, one page that needs no network.

Snakemake calls it at the end of each report; `make index` does so by hand. It changes no study: what is damaged is
named, and left as it is.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import os
from dataclasses import asdict

from convlab.common import checksums
from convlab.common.atomic import write_text
from convlab.common.cli import run
from convlab.common.locks import locked
from convlab.errors import UserError
from convlab.page.studies import studies_index
from convlab.page.templates import environment
from convlab.study import layout


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' folders")
    arguments = parser.parse_args(argv)
    os.environ.pop(checksums.JOB_VARIABLE, None)  # as by hand: nothing that is damaged is set aside
    if not arguments.results.is_dir():
        raise UserError(f"{arguments.results} is no folder with studies; run one first, or name a folder by --results")
    path = layout.studies_index(arguments.results)
    # Whoever writes last has read last.
    with locked(arguments.results / ".index.lock", "another process writes the index of studies"):
        shown = asdict(studies_index(arguments.results))
        write_text(path, environment("html").get_template("studies/page.html.j2").render(shown))
    print(path)


if __name__ == "__main__":
    run(main)
