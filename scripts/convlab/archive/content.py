"""Which results of a study go into its archive: those of its present config, whole, and as they are on the disk."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from convlab.archive.bag import Member
from convlab.common import checksums
from convlab.errors import UserError
from convlab.study import layout
from convlab.study.schema import Study
from convlab.training.run_store import FILES as RUN_FILES

DATA, MODEL = "data.npz", "model.keras"

STATE = "state.json"
"""What may still be on AWS: of no use to a reader."""

OTHER_FOLDERS = ("registration", "timing")
"""Folders of a study that no stage has made."""


def archive_file(folder: Path) -> Path:
    """The zip file of a study, in its folder. Not in ``layout``, on which evaluations and probes depend."""
    return folder / "archive" / f"{folder.name}.zip"


def results_of(study: Study, folder: Path, data: bool = False, models: bool = True) -> dict[str, Member]:
    """Results to archive, by path below ``folder``, the study's.

    Left out are logs, benchmarks, earlier states, results of variants that the config does not have any more, and what
    can be made again from the rest.

    Args:
        study: with the schedule of its looks.
        data, models: whether with the prepared arrays, and with the models of all runs.

    Raises:
        UserError: a result is not what its job recorded, or is a link.
    """
    members = {}
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if not _is_of(study, PurePosixPath(name)) or (path.name == DATA and not data):
            continue
        if path.name == MODEL and name.startswith("train/") and not models:
            continue
        if path.name.endswith(checksums.RECORD_SUFFIX):
            checksums.verify_all(path.with_name(path.name.removesuffix(checksums.RECORD_SUFFIX)))
        members[name] = Member(path)
    return members


def _files_below(folder: Path) -> Iterator[Path]:
    for stage in (*layout.STAGES, *OTHER_FOLDERS):
        for path in sorted((folder / stage).rglob("*")):
            if path.is_symlink() and not path.name.startswith("."):
                raise UserError(f"{path} is a link, which no archive can hold; put what it leads to in its place")
            if path.is_file() and not path.is_symlink():
                yield path


def _is_of(study: Study, path: PurePosixPath) -> bool:
    """Whether a file below the study's folder is a result of the study as its config is now."""
    stage, *folders, name = path.parts
    if any(part.startswith((".", "unfinished-")) for part in folders):
        return False
    if name.endswith(checksums.DAMAGED_SUFFIX) or (name.startswith(".") and not name.endswith("made_from")):
        return False
    variants = {*study.plan.variants, *study.plan.trials}
    match stage, *folders:
        case ["train", dataset, variant, seed]:
            known = dataset in study.datasets and variant in variants
            seeds = {f"{layout.SEED_PREFIX}{number}" for number in study.seeds_of(dataset, variant)} if known else ()
            return seed in seeds and name.removesuffix(checksums.RECORD_SUFFIX) in RUN_FILES
        case ["evaluate", dataset, variant, *_]:
            return dataset in study.datasets and variant in variants
        case ["probe", probe, dataset]:
            return probe in study.plan.probes and dataset in study.datasets and _variant_in(name) in variants
        case ["prepare" | "explore" | "describe" | "deploy", dataset, *_]:
            return dataset in study.datasets and name != STATE
        case ["export", dataset, *_]:
            return dataset in study.exported
        case ["compare", *below]:
            return below[:1] != ["history"]
        case ["report" | "registration" | "timing", *_]:
            return True
    return False


def _variant_in(name: str) -> str:
    """The variant in the name of a file of its own: names of variants have no dot."""
    return name.removeprefix(".").split(".")[0]
