"""Check a config and print its plan: every variant with its size, the number of runs, and their time.

No run is trained. The time is estimated from runs of this machine that lie under results/ and, with --measure, from a
few training steps of each architecture that none of them had; these speeds are kept beside downloads ($CONVLAB_CACHE).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
from collections.abc import Iterator

from convlab.common.cli import run
from convlab.datasets.shapes import data_notes
from convlab.results.descriptions import with_described_costs
from convlab.runtime.backend import not_installed
from convlab.study import checklist, estimate, layout, machine_load, plan_text, precision_cost, speeds
from convlab.study.ema_length import long_averages
from convlab.study.hypotheses import tested
from convlab.study.idle_values import idle_values
from convlab.study.load import load_study, read_yaml
from convlab.study.missing_backends import missing_backends
from convlab.study.schema import Study
from convlab.study.seeds import read_schedule

EFFECTS = (1, 2, 4)
"""True differences for which the plan says what is to be expected, in standard deviations of a paired difference."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results of earlier runs")
    parser.add_argument("--cores", type=int, default=1, help="runs side by side")
    parser.add_argument("--gpu-runs", type=int, help="runs side by side on GPUs, where these are used")
    parser.add_argument("--brief", action="store_true", help="one line instead of the table")
    parser.add_argument("--measure", action="store_true", help="measure what is not known of this machine's speed")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    registered = layout.registered(layout.study_folder(study.study, arguments.results))
    study = study.with_schedule(read_schedule(registered, study.seeds))
    folder = layout.study_folder(study.study, arguments.results)
    study = with_described_costs(study, folder, partial=True)
    earlier = estimate.earlier_runs(arguments.results, study)
    earlier, problems = with_speeds(study, earlier, arguments.measure)
    side_by_side = estimate.were_side_by_side(study, earlier)
    parallel = machine_load.full_speed_runs(arguments.cores, arguments.gpu_runs, side_by_side)
    if not arguments.brief:
        print(plan_text.table(study, earlier))
        print()
    print(plan_text.summary(study, earlier, arguments.cores, parallel, arguments.measure))
    if not arguments.brief and study.seeds.looks:
        print("\n".join(looks_text(study, earlier, arguments.cores, parallel)))
    notes = [*data_notes(study.datasets), *idle_values(study), *long_averages(study), *problems]
    notes += precision_cost.precision_costs(study, earlier.speeds or None)
    if estimate.left_to_train(study, earlier):
        notes += machine_load.load_notes(study, arguments.cores)
    for note in notes:
        print(note)
    for note in missing_backends(study, folder):
        print(note)
    checked = None if arguments.brief else checklist.checklist(study)
    if checked:
        print("\n".join(["", *checklist.lines(checked)]))


def with_speeds(study: Study, earlier: estimate.Earlier, measure: bool) -> tuple[estimate.Earlier, list[str]]:
    """The speeds of this machine for the runs that are left, and what could not be measured of them."""
    entries = estimate.architectures_left(study, earlier)
    if not entries:
        return earlier, []
    here, problems = speeds.machine(), []
    earlier = earlier.with_speeds(speeds.known_speeds(entries, here), entries)
    unknown = {
        name: entry
        for name, entry in estimate.architectures_to_measure(study, earlier, entries).items()
        if not not_installed(entry["training"]["backend"])  # a note of its own says so
    }
    if measure and unknown:
        number = sum(map(len, speeds.chosen_by_backend(unknown).values()))
        print(
            f"Measuring once how fast this machine trains {number} architecture{'s' * (number > 1)} ...",
            file=sys.stderr,
            flush=True,
        )
        measured, problems = speeds.measure_speeds(unknown, here)
        earlier = earlier.with_speeds(measured, entries)
    return earlier, problems


def looks_text(study: Study, earlier: estimate.Earlier, cores: int, parallel: int) -> Iterator[str]:
    """Lines about planned looks: their levels, what they can cost at most, and what is to be expected."""
    from convlab.statistics.sequential import looks_of, usual_look  # SciPy is imported for these lines alone

    looks, family = looks_of(study.seeds.counts), len(tested(study))
    levels = ", ".join(f"{look.n_seeds} ({100 * look.share:.2g} %)" for look in looks)
    yield f"Planned looks, by seeds, with their shares of the level of 5 %: {levels}."
    costs = {look: plan_text.cost_of_looks(study, earlier, cores, look.n_seeds, parallel) for look in looks}
    yield f"  at most, if nothing is settled before the last look: {costs[looks[-1]]}"
    for effect in EFFECTS:
        look = usual_look(looks, family, effect)
        after = "not by the last look" if look is None else f"by look {look.number}, with {look.n_seeds} seeds"
        cost = "" if look is None else f"; if all are: {costs[look]}"
        yield f"  a difference of {effect} SD (of paired differences) is settled in half of the studies {after}{cost}"
    yield "  what is truly equal is called so where its interval fits into the ROPE, else it goes on to the last look"


if __name__ == "__main__":
    run(main)
