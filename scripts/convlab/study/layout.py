"""Paths of results, ``results/<study>/<stage>/<dataset>/<variant>/seed-<n>``, for scripts and rules.

Functions of a study's folder (:func:`study_folder`), named after what a stage has done. In rules the names are
wildcards, ``"{dataset}"``. Standard library only.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

RESULTS = Path("results")
"""Folder of all studies' results, below the one in which Snakemake runs."""

RECORDS = Path(".snakemake/convlab")
"""Folder of convlab's own records beside Snakemake's: locks of studies, finished runs."""

SEED_PREFIX = "seed-"

STAGES = ("prepare", "explore", "describe", "train", "evaluate", "probe", "compare", "report", "export", "deploy")
"""The stages, each with a folder of its name in a study's results."""

DATA_CARD = "croissant.json"
"""Name of a prepared dataset's Croissant metadata, beside its arrays."""


def study_folder(study: str, results: Path = RESULTS) -> Path:
    """Folder of one study's results."""
    return results / study


def prepared(folder: Path, dataset: str) -> Path:
    """Folder of a dataset's arrays and manifest."""
    return folder / "prepare" / dataset


def explored(folder: Path, dataset: str) -> Path:
    """Folder of a dataset's figures and their numbers."""
    return folder / "explore" / dataset


def described(folder: Path, dataset: str) -> Path:
    """Folder of the descriptions of models whose layers are known once they are built, a file for each variant."""
    return folder / "describe" / dataset


def trained(folder: Path, dataset: str) -> Path:
    """Folder of a dataset's runs, one folder for each variant, and in it one for each seed (:func:`seed_folder`)."""
    return folder / "train" / dataset


def seed_folder(variant_folder: Path, seed: int | str) -> Path:
    """Folder of the run with a seed, in the folder of its variant's runs."""
    return variant_folder / f"{SEED_PREFIX}{seed}"


def run(folder: Path, dataset: str, variant: str, seed: int | str) -> Path:
    """Folder of a run: model, history and record."""
    return seed_folder(trained(folder, dataset) / variant, seed)


def evaluated(folder: Path, dataset: str, variant: str) -> Path:
    """Folder of a variant's metrics and predictions on the test images."""
    return folder / "evaluate" / dataset / variant


def tuned(folder: Path, dataset: str, variant: str) -> Path:
    """Folder of the same of a variant's chosen trials, and of what they were chosen by."""
    return evaluated(folder, dataset, variant) / "tuned"


def probed(folder: Path, probe: str, dataset: str) -> Path:
    """Folder of a probe's measurements, a table for each variant."""
    return folder / "probe" / probe / dataset


def registered(folder: Path) -> Path:
    """Folder of what was fixed before the runs, of the ledger of looks and how far planned ones have come; no job's
    results."""
    return folder / "registration"


def timed(folder: Path) -> Path:
    """Folder of the times that ``make timing`` measured."""
    return folder / "timing"


def compared(folder: Path) -> Path:
    """Folder of the study's tables and figures."""
    return folder / "compare"


def reported(folder: Path) -> Path:
    """Folder of the report."""
    return folder / "report"


def ejected(folder: Path, dataset: str) -> Path:
    """Folder of the notebook that repeats a study's runs on a dataset, and of the data that it reads."""
    return folder / "notebook" / dataset


def peeked(folder: Path) -> Path:
    """Folder of the report of what is finished so far, which ``make peek`` writes; no job's results."""
    return folder / "peek"


def exported(folder: Path, dataset: str) -> Path:
    """Folder of a dataset's exported model."""
    return folder / "export" / dataset


def deployed(folder: Path, dataset: str) -> Path:
    """Folder of a deployment's evidence and state."""
    return folder / "deploy" / dataset


def logs(folder: Path) -> Path:
    """Folder of the jobs' logs, by stage."""
    return folder / "logs"


def benchmarks(folder: Path) -> Path:
    """Folder of the jobs' times and memory, as Snakemake measures them, by stage."""
    return folder / "benchmarks"


@cache
def _in_study(folder: Path) -> re.Pattern:
    """Pattern of a path of a study's results; its first group is what precedes the study's folder."""
    return re.compile(rf"(.*){re.escape(folder.as_posix())}/({'|'.join(STAGES)})/")


def before_results(path: str, folder: Path) -> str:
    """What precedes a study's folder in a path of one of its results: a prefix, a storage's local folder or nothing."""
    match = _in_study(folder).match(path)
    if match is None:
        raise ValueError(f"{path} is no result of {folder}")
    return match[1]


def holds_study(folder: Path) -> bool:
    """Whether a folder holds results of any stage."""
    return any((folder / stage).is_dir() for stage in STAGES)


def studies_index(results: Path = RESULTS) -> Path:
    """The page that lists all studies of a results folder."""
    return results / "index.html"


def run_records(results: Path = RESULTS) -> Iterator[Path]:
    """``run.json`` of every run of every study."""
    return results.glob(f"*/train/*/*/{SEED_PREFIX}*/run.json")


def run_of_record(path: Path) -> tuple[str, str, str, int]:
    """Study, dataset, variant and seed of a run by the path of its ``run.json``. Raises ValueError for other paths."""
    study, _, dataset, variant, seed = path.parts[-6:-1]
    return study, dataset, variant, int(seed.removeprefix(SEED_PREFIX))


def deployment_states(results: Path = RESULTS) -> Iterator[Path]:
    """``state.json`` of every deployment that may have left something in the cloud."""
    return results.glob("*/deploy/*/state.json")
