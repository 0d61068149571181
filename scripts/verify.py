"""Verify an archive of a study: every checksum, and what is missing, changed or added. Needs nothing but Python.

The archive is a zip file or the folder that it was unpacked to. --against also holds its results against those of the
same study that was run again, and --rerun runs it again: with the code of the archive, which is executed.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an archive that verifies itself must not add files to itself
sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import subprocess
import tempfile

from convlab.archive.comparison import compare
from convlab.archive.reading import Archive, opened, unpack
from convlab.archive.verification import content_checksum, file_checksum, problems, study_of
from convlab.common.atomic import write_text
from convlab.common.cli import run
from convlab.errors import UserError, printable
from convlab.study import layout

CODE, CONFIG = "data/code/", "data/config/"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the zip file, or the folder that it was unpacked to")
    parser.add_argument("--sha256", help="the checksum that was published, of the file or of its content")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="results/<study> of the study that was run again"
    )
    parser.add_argument("--rerun", action="store_true", help="run the study again in a new folder, and compare")
    parser.add_argument("--cores", default="1", help="cores for --rerun")
    arguments = parser.parse_args(argv)
    with opened(arguments.archive) as archive:
        whole = report_problems(archive, arguments.archive, arguments.sha256)
        if whole and arguments.against:
            whole = report_comparison(archive, arguments.against)
        if whole and arguments.rerun:
            whole = rerun(archive, arguments.cores)
    sys.exit(0 if whole else 1)


def report_problems(archive: Archive, path: Path, published: str | None) -> bool:
    """Print what is wrong with an archive, a line each, and what it is known by; whether nothing is."""
    lines = problems(archive)
    checksums = {} if path.is_dir() else {"file": file_checksum(path)}
    if not any(line.startswith("tagmanifest") for line in lines):
        checksums["content"] = content_checksum(archive)
    if published is not None and published.lower() not in checksums.values():
        lines.append(f"its SHA-256 is not the one that was given, {published or 'which is empty'}")
    for line in lines:
        print(printable(line))
    for name, checksum in checksums.items():
        print(f"SHA-256 of the {name}: {checksum}")
    verdict = counted(len(lines), "problem") if lines else "all as its manifests, its crate and the study's records say"
    print(printable(f"{path}: {len(archive.names()):,} files, {verdict}"))
    return not lines


def report_comparison(archive: Archive, folder: Path) -> bool:
    """Print how a study's results that were made again differ from those of the archive; whether they are the same."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; name the folder of the study's results: results/<study>")
    comparison = compare(archive, study_of(archive), folder)
    for line in comparison.different:
        print(printable(line))
    if comparison.left_out:
        print(f"not in the archive, so not compared: {', '.join(comparison.left_out)}")
    same = ", ".join(f"{kind} ({count})" for kind, count in comparison.same.items())
    print(f"the same to the byte, times left out: {same or 'nothing'}")
    number = len(comparison.different)
    differ = f"{counted(number, 'result')} {'differs' if number == 1 else 'differ'}" if number else "no result differs"
    print(printable(f"{folder}: {differ}"))
    return bool(comparison.same) and not comparison.different


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def rerun(archive: Archive, cores: str) -> bool:
    """Run the study of an archive with its code and this Python in a new folder; whether the results are the same."""
    from convlab.study.seeds import SCHEDULE  # which needs more than Python

    study = study_of(archive)
    with tempfile.TemporaryDirectory(prefix="convlab-rerun-") as temporary:
        code, config = Path(temporary, "code"), Path(temporary, "config")
        unpack(archive, code, CODE)
        unpack(archive, config, CONFIG)
        written = sorted(config.iterdir())
        if not written:
            raise UserError(f"the archive has no config in {CONFIG}, so that its study cannot be run again")
        results = layout.study_folder(study)
        schedule = layout.registered(results) / SCHEDULE  # with which all looks that were taken are one
        if f"data/{schedule.as_posix()}" in archive.names():
            with archive.open(f"data/{schedule.as_posix()}") as stream:
                write_text(code / schedule, stream.read().decode())
        command = [
            *(sys.executable, "-m", "snakemake", "--cores", cores, "--workflow-profile", "profiles/log"),
            *("--configfile", str(written[0])),
        ]
        if subprocess.run(command, cwd=code, env=environment.inherited(), check=False).returncode:
            raise UserError("the study of the archive could not be run again; what Snakemake printed says why")
        return report_comparison(archive, code / results)


if __name__ == "__main__":
    run(main)
