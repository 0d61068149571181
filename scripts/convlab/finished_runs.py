"""Finished runs, kept by what decides them, so that none is trained twice.

Snakemake deletes a job's results before it runs the job again, also those of a job that ended just before a kill and
was not recorded. And two studies may ask for the same run, at the same time. Both are met by a folder, beside
Snakemake's own records, in which a finished run lies under the hash of all that decides it. Standard library only.
"""

import logging
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

FILES = ("model.keras", "history.csv", "run.json")
"""What a run leaves; the last one is written last."""


def take(place: Path, output: Path) -> bool:
    """Copy a kept run from ``place`` to ``output``, whole or not at all; whether there was one.

    Copies, not links: Snakemake sets the times of a job's results, which must not change another study's.
    """
    if not (place / FILES[-1]).is_file():
        return False
    output.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        temporary = output / f".{uuid.uuid4().hex[:12]}.{name}"
        try:
            shutil.copyfile(place / name, temporary)
            temporary.replace(output / name)
        except FileNotFoundError:  # thinned out at this very moment
            return False
        finally:
            temporary.unlink(missing_ok=True)
    return True


def keep(output: Path, place: Path) -> None:
    """Keep the run in ``output`` at ``place``: as links, which take no space while the results exist."""
    if place.exists():
        return
    temporary = place.with_name(f".{uuid.uuid4().hex[:12]}")
    try:
        temporary.mkdir(parents=True)
        for name in FILES:
            try:
                (temporary / name).hardlink_to(output / name)
            except OSError:
                shutil.copyfile(output / name, temporary / name)
        temporary.rename(place)
    except OSError as error:  # the run itself is safe where it belongs
        shutil.rmtree(temporary, ignore_errors=True)
        log.info("not kept for other studies: %s", error)


def thin_out(folder: Path) -> None:
    """Delete the runs that no study's results hold any more, by the number of links to them."""
    for place in folder.glob("[!.]*/"):
        with suppress(OSError):
            if all((place / name).stat().st_nlink < 2 for name in FILES):
                shutil.rmtree(place)
