"""Write a finished study as one zip file that can be cited, checked and run again.

Report, tables, figures, predictions, runs, registration, config, code at its commit, data card, and exported models as
folders for the Hugging Face Hub, tied by SHA-256 (BagIt, RFC 8493) and described as a Workflow Run RO-Crate. The same
results give the same bytes. No result is changed; a study that is not finished or not up to date is refused.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import re
import zipfile
from contextlib import suppress

from convlab.archive.assembly import Contents, Options, assemble, data_paths, naming_this_machine
from convlab.archive.bag import write_bag
from convlab.archive.citation import Deposit
from convlab.archive.code import code_of
from convlab.archive.content import archive_file
from convlab.archive.freshness import jobs_left
from convlab.archive.reading import opened
from convlab.archive.verification import content_checksum, file_checksum, problems
from convlab.common.checksums import EXPORT_MAIN_RESULTS
from convlab.common.cli import run
from convlab.common.files import atomic
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.make_commands import make_command
from convlab.study.schema import Study
from convlab.study.seeds import read_schedule

ROOT = Path(__file__).resolve().parent.parent

SPDX_IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]+")

DOI = re.compile(r"10\.\d{4,9}/\S+")

MAX_LISTED_JOBS = 3
MAX_LISTED_FILES = 5


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results of studies")
    parser.add_argument("--output", type=Path, help="the zip file; results/<study>/archive/<study>.zip if absent")
    parser.add_argument("--data", action="store_true", help="with the prepared images, whose licence must allow it")
    parser.add_argument("--without-models", action="store_true", help="without the models of the runs")
    parser.add_argument("--licence", help="licence of the results, as an SPDX identifier: CC-BY-4.0")
    parser.add_argument("--url", help="where the archive will be found: a reserved DOI, or an address")
    arguments = parser.parse_args(argv)
    if arguments.licence and not SPDX_IDENTIFIER.fullmatch(arguments.licence):
        raise UserError(f"{arguments.licence!r} is no SPDX identifier; write one such as CC-BY-4.0")
    deposit = Deposit(arguments.licence, arguments.url and address(arguments.url))
    study = load_study(read_yaml(arguments.config))
    folder = layout.study_folder(study.study, arguments.results)
    output = arguments.output or archive_file(folder)
    refuse_to_replace(output, study.study)
    study = study.with_schedule(read_schedule(layout.registered(folder), study.seeds))
    refuse_unfinished(study, arguments.config, folder)
    options = Options(arguments.data, not arguments.without_models, deposit)
    contents = assemble(study, arguments.config, folder, code_of(ROOT, data_paths(study)), options)
    write(contents, study, output)


def address(url: str) -> str:
    """The address that was given; of a DOI alone, where it leads. Raises UserError for what is neither."""
    if DOI.fullmatch(url):
        return f"https://doi.org/{url}"
    if not re.fullmatch(r"https?://[^\s<>\"]+", url):
        raise UserError(f"{url!r} is no address; write a DOI such as 10.5281/zenodo.1, or what begins with https://")
    return url


def refuse_to_replace(output: Path, study: str) -> None:
    """Raise UserError where ``output`` is a folder, or another file than a zip file: neither is replaced."""
    if output.is_dir():
        raise UserError(f"{output} is a folder; name a file, such as {output / study}.zip")
    if output.exists() and not zipfile.is_zipfile(output):
        raise UserError(f"{output} exists and is no zip file; name another file, or remove it")


def refuse_unfinished(study: Study, config: Path, folder: Path) -> None:
    """Raise UserError for a study without a report, or with results that Snakemake would make again."""
    report = layout.reported(folder) / "index.html"
    if not report.is_file():
        raise UserError(f"{study.study} has no report yet; run the study first: {make_command('run', config)}")
    made = [layout.exported(folder, name) / file for name in study.exported for file in EXPORT_MAIN_RESULTS]
    exported = [path for path in made if path.is_file()]
    parent = folder.parent.parent
    targets = [path.relative_to(parent).as_posix() for path in (report, *exported)]
    if jobs := jobs_left(ROOT, config, targets, parent):
        shown = [
            *jobs[:MAX_LISTED_JOBS],
            *([f"{len(jobs) - MAX_LISTED_JOBS} more"] if len(jobs) > MAX_LISTED_JOBS else []),
        ]
        command = " and ".join(make_command(target, config) for target in ("run", *(["export"] if exported else [])))
        raise UserError(
            f"{study.study} is not up to date with its config, code and data: {listing(shown)} would run; bring it "
            f"up to date first: {command}"
        )


def write(contents: Contents, study: Study, output: Path) -> None:
    """Write the zip file, verify what was written, and print what it is known by."""
    with atomic(output) as temporary:
        write_bag(temporary, study.study, contents.payload, contents.tags, contents.time)
        with opened(temporary) as archive:
            if faults := problems(archive):  # a result was changed meanwhile
                raise UserError(f"{faults[0]}; nothing was archived, run the same command again")
            content = content_checksum(archive)
    named = list(naming_this_machine(contents.payload, names_of_this_machine()))
    for path, word in named[:MAX_LISTED_FILES]:
        print(f"note: {path} has {word!r} in it; look at it before you publish the archive")
    if len(named) > MAX_LISTED_FILES:
        print(f"note: so have {len(named) - MAX_LISTED_FILES} other files")
    size = output.stat().st_size / 1e6
    if own := [name for name, spec in study.datasets.items() if spec.users_own]:
        print(f"note: report and figures show images of {listing(own)}; publish them only if their licence allows it")
    print(f"{output}: {len(contents.payload) + len(contents.tags) + 1:,} files, {size:.1f} MB")
    print(f"SHA-256 of the file:    {file_checksum(output)}")
    print(f"SHA-256 of its content: {content}  (of tagmanifest-sha256.txt, the same however it is packed)")


def names_of_this_machine() -> list[str]:
    """The folders of this project and of the user, which results should not name."""
    folders = {Path.cwd(), ROOT}
    with suppress(RuntimeError):  # a user without a home
        folders.add(Path.home())
    return sorted(f"{folder}/" for folder in folders if folder != Path("/"))


if __name__ == "__main__":
    run(main)
