"""Notes about backends of Keras that runs still need and that are not installed here, before anything runs."""

import json
from pathlib import Path

from convlab.runtime.backend import not_installed
from convlab.study import layout
from convlab.study.schema import Study


def missing_backends(study: Study, folder: Path) -> list[str]:
    """A sentence for each backend that is not installed here while a run that needs it has not ended.

    Notes and no errors, since runs may be trained on other machines and in other environments.

    Args:
        folder: the study's folder under results/.
    """
    plan = study.plan
    names: dict[str, list[str]] = {}
    for name in (*plan.variants, *plan.trials):
        names.setdefault(plan.owner(name).training.backend, []).append(name)
    problems = {backend: problem for backend in names if (problem := not_installed(backend))}
    return [
        f"{problem}; {left:,} {'run' if left == 1 else 'runs'} still to be trained, here or elsewhere, need it"
        for backend, problem in problems.items()
        if (left := _runs_left(study, folder, names[backend]))
    ]


def _runs_left(study: Study, folder: Path, names: list[str]) -> int:
    """Number of runs of some variants and trials without results of this config."""
    return sum(
        _trained_spec(layout.run(folder, dataset, name, seed) / "run.json") != study.run(dataset, name, seed).spec_hash
        for dataset in study.datasets
        for name in names
        for seed in study.seeds_of(dataset, name)
    )


def _trained_spec(record: Path) -> str | None:
    """Spec hash of the run that a record is of; None where there is none, or a damaged one."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))["spec_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
