"""Write a page about a study while it runs: the runs so far on training and validation images, and no verdicts.

It reads results that are there, takes no lock, and writes results/<study>/peek/index.html alone. It opens nothing that
a model said about a test image, so that it is no look at them (docs/registration.md). `make peek` runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import os
from datetime import UTC, datetime

from markupsafe import Markup

from convlab.common import checksums, i18n
from convlab.common.atomic import write_text
from convlab.common.cli import run
from convlab.figures.style import use_style
from convlab.page.format import duration
from convlab.page.peek import peek_view
from convlab.page.templates import TEMPLATES, environment, script_hash
from convlab.results.descriptions import with_described_costs
from convlab.results.progress import Progress, progress
from convlab.study import estimate, layout
from convlab.study.load import load_study, read_yaml
from convlab.study.schema import Study
from convlab.study.seeds import read_schedule


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' folders")
    parser.add_argument("--cores", type=int, default=1, help="runs side by side, for the time that is left")
    arguments = parser.parse_args(argv)
    os.environ.pop(checksums.JOB_VARIABLE, None)  # as by hand: nothing that is damaged is set aside
    study = load_study(read_yaml(arguments.config), for_readers=True)
    folder = layout.study_folder(study.study, arguments.results)
    study = study.with_schedule(read_schedule(layout.registered(folder), study.seeds))
    study = with_described_costs(study, folder, partial=True)
    use_style()
    so_far = progress(study, folder)
    view = peek_view(study, folder, so_far, time_left(study, so_far, arguments.results, arguments.cores))
    view["written"] = i18n.instant(datetime.now(UTC))
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    view["script"], view["script_hash"] = Markup(script), script_hash(script)
    path = layout.peeked(folder) / "index.html"
    write_text(path, environment("html").get_template("peek/page.html.j2").render(view))
    done = so_far.count("finished", "diverged")
    print(f"{done} of {len(so_far.runs)} runs have finished: {path}")


def time_left(study: Study, so_far: Progress, results: Path, cores: int) -> str:
    """Estimated time of the runs that have not finished, on so many cores; empty where it is not known for all."""
    earlier = estimate.earlier_runs(results, study)
    left = [run for run in so_far.runs if run.status not in ("finished", "diverged")]
    seconds = [estimate.run_seconds(study, run.dataset, run.name, earlier) for run in left]
    if not left or None in seconds:
        return ""
    return duration(max(0.0, sum(seconds) - sum(run.seconds for run in left)) / cores)


if __name__ == "__main__":
    run(main)
