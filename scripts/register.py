"""Fix what is confirmatory in a study before its runs, print the hash for a preregistration, and verify one.

`snakemake` does the same before a study's first run. Run by hand it fixes the study earlier, for a preregistration
(OSF, AsPredicted, a commit) that cites the hash. Run again it compares the study with its registration; --verify
compares it with a hash that was published, also where no registration lies on this disk.

Exit status: 0 registered, or as registered; 1 an error; 3 the config differs from the registration or the hash; 4 a
file of the registration is not as it was written.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
from collections.abc import Mapping
from typing import Any

from convlab.common import provenance
from convlab.common.cli import run
from convlab.common.locks import locked_if_free
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.study import layout, registration_files
from convlab.study.load import load_study, read_yaml
from convlab.study.registration import Registration, content, entries, sha256, shown
from convlab.study.registration import differences as registration_differences
from convlab.study.schema import Study

DIFFERS, ALTERED = 3, 4
"""Exit status: the config is not what was registered; a file of the registration is not as it was written."""

OWN_RECORDS = Path(".snakemake/convlab")
"""Folder of the study's lock and of finished runs, as in the workflow."""

MAX_LISTED = 40
"""Entries that are printed by name."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default=Path("config.yaml"), type=Path, help="the study's config file")
    parser.add_argument("--verify", metavar="HASH", help="a hash that was published; compares, and writes nothing")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' folders")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    status = verify(study, arguments.verify) if arguments.verify else fix(study, arguments.results)
    if status:
        sys.exit(status)


def verify(study: Study, expected: str) -> int:
    """Compare the study's hash with a published one, of which the first eight digits are enough."""
    actual, expected = sha256(content(study)), expected.strip().lower()
    if len(expected) < 8 or set(expected) - set("0123456789abcdef"):
        raise UserError(f"{expected!r} is no SHA-256; give at least its first eight hexadecimal digits")
    if actual.startswith(expected):
        print(f"The study {study.study} is what this hash stands for: {actual}")
        return 0
    print(f"The study {study.study} is not what this hash stands for: its own is {actual}")
    return DIFFERS


def fix(study: Study, results: Path) -> int:
    """Register the study, or compare it with its registration; prints what is fixed."""
    folder = layout.registered(layout.study_folder(study.study, results))
    earlier = registration_files.read(folder)
    if earlier.altered:
        print(registration_files.altered_message(earlier, folder))
        return ALTERED
    if not earlier.registrations or not registration_files.begun(study, folder, results):
        commit = provenance.commit(Path(__file__).resolve().parent.parent)
        with locked_if_free(OWN_RECORDS / f"{study.study}.lock") as ours:
            if not ours:
                raise UserError(f"Snakemake is at work on the study {study.study}, and has registered it")
            written, text = registration_files.fix(study, folder, results, OWN_RECORDS / "runs", commit)
        if written:
            print_entries(study)
            print(text)
            return 0
    return compare(study, registration_files.read(folder).registrations[0])


def compare(study: Study, first: Registration) -> int:
    """Compare the study with its registration; prints the entries that differ."""
    differences = registration_differences(study, first)
    for kind, names in differences.items():
        if names:
            print(f"{kind} since the registration: {listing(names, 'and')}")
    if any(differences.values()):
        print(f"The study {study.study} differs from its registration of {first.time}: SHA-256 {first.sha256}")
        return DIFFERS
    print(f"The study {study.study} is as it was registered at {first.time}: SHA-256 {first.sha256}")
    known = max(first.runs_known.values(), default=0)
    if known:
        print(f"That was after {known} runs were known, so that its verdicts are exploratory.")
    return 0


def pairs(values: Mapping[str, Any]) -> str:
    """``rope 0.005, metric accuracy``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def print_entries(study: Study) -> None:
    """What is fixed, a line for each entry."""
    rules = {claim.id: claim.rule.text for claim in study.plan.claims.values()}
    sides = {
        question.name: f"{', '.join(question.variants)} against {question.reference}"
        for question in study.plan.questions.values()
    }
    seeds = content(study)["seeds"]
    settings = {
        "seeds": ", ".join(map(str, seeds)) if isinstance(seeds, list) else pairs(seeds),
        "statistics": pairs(study.statistics.model_dump(mode="json")),
        "choice": f"the variant {study.deploy.variant}"
        if study.deploy.variant
        else "the best mean validation accuracy of all variants",
        "tuning": study.tuning and pairs({"trials": study.tuning.trials, **study.tuning.over}),
    }
    texts = {"claim": rules, "question": sides}
    lines = [
        f"{shown(entry.label)}: {texts.get(entry.kind, settings)[entry.name or entry.kind]}" for entry in entries(study)
    ]
    for line in lines[:MAX_LISTED]:
        print(line)
    if len(lines) > MAX_LISTED:
        print(f"and {len(lines) - MAX_LISTED} more")


if __name__ == "__main__":
    run(main)
