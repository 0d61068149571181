"""Run a study with planned looks: Snakemake, then the schedule of the next look, and so on until it stops.

The command after the config is started again for each look. After each one compare's summary.json says what was
decided and which variants need more seeds; that becomes results/<study>/registration/schedule.json, which Snakemake
reads when it starts. Whatever is interrupted goes on where it was, since verdicts are computed from the runs and the
plan alone. A study with fixed seeds is one invocation. The exit status is that of Snakemake.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import os
import signal
import subprocess
from typing import Any

from convlab.common.cli import run
from convlab.common.files import write_json
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.schema import Study
from convlab.study.seeds import SCHEDULE, Schedule, progress, read_schedule

RUNS_NOTHING = {
    *("-n", "--dry-run", "--dryrun", "-t", "--touch", "-S", "--summary", "--list-rules", "-l", "--list", "--dag"),
    *("--rulegraph", "--filegraph", "--d3dag", "--unlock", "--lint", "--report", "--delete-all-output", "-h", "--help"),
    *("--delete-temp-output", "--detailed-summary", "-D", "--list-input-changes", "--list-params-changes"),
    *("--cleanup-metadata", "--archive", "--containerize", "--until", "-U", "--version", "-v"),
}
"""Options with which Snakemake does not bring a study to its report, so that no look follows."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument("--may-pause", action="store_true", help="stop after the first look where the config says so")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and Snakemake with its options")
    arguments = parser.parse_args(argv)
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    study = load_study(read_yaml(arguments.config))
    if study.seeds.looks is None or any(one_time(argument) for argument in command):
        os.execvpe(command[0], command, environment.inherited())
    sys.exit(run_looks(study, command, arguments.may_pause and study.seeds.looks.pause))


def one_time(argument: str) -> bool:
    """Whether an option makes Snakemake print or tidy something instead of running the study; ``-np`` is ``-n -p``."""
    short = argument[:2] if argument[:1] == "-" and argument[:2] != "--" else argument
    return argument.split("=")[0] in RUNS_NOTHING or short == "-n"


def run_looks(study: Study, command: list[str], pause: bool) -> int:
    """Run look after look; the exit status of the last Snakemake.

    Args:
        pause: stop after the first look.
    """
    folder = layout.study_folder(study.study)
    while True:
        before = read_schedule(layout.registered(folder), study.seeds)
        status = wait_for(command)
        proposed = read_proposal(folder)
        if status:
            return status
        if proposed is None or Schedule.of(proposed["schedule"], study.seeds) != before:
            print("No look follows: the study was not compared with the seeds of its present look.", file=sys.stderr)
            return status
        paused = "the config pauses after the first look" if pause and proposed["look"] == 1 else ""
        print(f"\n{progress(proposed, paused)}", file=sys.stderr, flush=True)
        if proposed["next"] is None or paused:
            return status
        write_json(layout.registered(folder) / SCHEDULE, proposed["next"])


def read_proposal(folder: Path) -> dict[str, Any] | None:
    """What compare proposes for the next look; None where there is no comparison."""
    try:
        return json.loads((layout.compared(folder) / "summary.json").read_text(encoding="utf-8")).get("looks")
    except (OSError, ValueError):
        return None


def wait_for(command: list[str]) -> int:
    """Run a command to its end; signals that ask this process to end go to the command, which decides."""
    process = subprocess.Popen(command, env={**environment.inherited(), "CONVLAB_LOOKS": "1"})
    # Ctrl-C reaches the command by itself, as it is in the same group.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    run(main)
