"""How fast this machine trains each architecture of a study: what was measured before, and measuring the rest.

Measured speeds are kept beside downloads (``$CONVLAB_CACHE``), by all that they depend on, and are no result: a machine
with another processor, or another version of a library, is measured anew. Standard library only.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from convlab.common import environment, provenance
from convlab.common.atomic import write_text
from convlab.common.code_digests import code_parts
from convlab.common.specs import canonical_json
from convlab.datasets.cache import cache_folder
from convlab.errors import UserError
from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.runtime import devices
from convlab.study.schema import Study
from convlab.training.recipe import Training

SCRIPT = Path(__file__).resolve().parents[2] / "time_steps.py"

TRAINING_CODE = ("convlab/runtime/", "convlab/training/")
"""Folders with the code on whose changes speeds are measured again."""

MAX_MEASURED = 8
"""Architectures of a precision that are measured at once at most, in two seconds each; the time of the others follows
from their MACs."""

START_LIMIT_SECONDS, LIMIT_SECONDS = 60, 20
"""Time after which measuring is given up: for the start of the process, and for each architecture."""

NO_INFLUENCE = (
    *("epochs", "learning_rate", "schedule", "warmup", "schedule_boundaries", "schedule_factors", "weight_decay"),
    *("validation_fraction", "train_size", "steps", "pixel_permutation", "select", "early_stopping", "tensorboard"),
)
"""Fields of ``training`` on which the time of a step does not depend."""


@dataclass(frozen=True)
class Speed:
    """What ``training.step_times`` measured of an architecture, and the seconds in which a process is ready for it."""

    images_per_second: float
    forward_images_per_second: float
    compile_seconds: float
    start_seconds: float
    device: str


def architecture(study: Study, dataset: str, variant: str) -> dict[str, Any] | None:
    """What a variant's or a trial's speed depends on beside the machine, plain JSON types, and its MACs.

    None for a model whose layers are known only once it is built.
    """
    owner = study.plan.owner(variant)
    if family_of(owner.model).feature_costs is None:
        return None
    shape, classes = study.form(dataset)
    described = as_architecture(owner.model, owner.training, shape, classes)
    return {**described, "macs": study.plan.costs[dataset, owner.name].macs}


def as_architecture(
    model: BaseModelSpec, training: Training, shape: tuple[int, int, int], classes: int
) -> dict[str, Any]:
    """The same without MACs, of any run."""
    recipe = training.model_dump(mode="json", exclude=set(NO_INFLUENCE))
    return {"model": model.identity, "training": recipe, "shape": list(shape), "classes": classes}


def key(described: Mapping[str, Any]) -> str:
    """An architecture as a key: equal for those that train equally fast on the same machine."""
    return canonical_json({name: value for name, value in described.items() if name != "macs"})


def machine() -> dict[str, Any]:
    """What the speed of all architectures depends on: processor, GPUs, versions, the user's choices for libraries, and
    the code that trains."""
    hardware, code = provenance.hardware(), code_parts(SCRIPT)
    return {
        "processor": hardware["processor"],
        "instructions": hardware["instructions"],
        "gpu": computes_on_gpu(),
        "versions": provenance.versions(),
        "environment": environment.choices(),
        "code": {name: digest for name, digest in code.items() if name.startswith(TRAINING_CODE)},
    }


def computes_on_gpu() -> bool:
    """Whether runs use a GPU: one is there, not hidden from CUDA, and a library that was built for GPUs is installed.

    Where TensorFlow's build for processors is installed, runs are taken to use none. JAX's CUDA is a plugin.
    """
    installed = provenance.versions()
    if "tensorflow" not in installed:
        with_cuda = "torch" in installed or importlib.util.find_spec("jax_plugins") is not None
        if "tensorflow-cpu" in installed or not with_cuda:
            return False
    return bool(listed_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("PATH", os.defpath)))


@cache
def listed_gpus(chosen: str | None, path: str) -> tuple[str, ...]:
    """The GPUs that are visible with a value of CUDA_VISIBLE_DEVICES. Asked once: on some machines nvidia-smi takes
    seconds."""
    environment = {"PATH": path} if chosen is None else {"PATH": path, "CUDA_VISIBLE_DEVICES": chosen}
    return tuple(devices.visible_gpus(environment))


def is_of(record: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether a run was trained on such a machine as this one, by its ``run.json``."""
    hardware = record["hardware"]
    return (
        hardware["processor"] == here["processor"]
        and hardware["instructions"] == here["instructions"]
        and record["environment"] == here["environment"]
        and record["device"].startswith("GPU") == here["gpu"]
    )


def known_speeds(keys: Iterable[str], here: Mapping[str, Any]) -> dict[str, Speed]:
    """The speeds of architectures, by key, that were measured on this machine before."""
    speeds = {}
    for name in keys:
        try:
            kept = json.loads(_file(name, here).read_text(encoding="utf-8"))
            speeds[name] = Speed(**kept["speed"])
        except (OSError, ValueError, KeyError, TypeError, UserError):
            continue
    return speeds


def measure_speeds(
    unknown: Mapping[str, Mapping[str, Any]], here: Mapping[str, Any]
) -> tuple[dict[str, Speed], list[str]]:
    """Measure architectures, by key, and keep their speeds: at most ``MAX_MEASURED`` of each backend and precision.

    Returns what was measured and, as sentences, what went wrong: that never ends a run.
    """
    speeds: dict[str, Speed] = {}
    problems, unkept = [], ""
    for backend, chosen in chosen_by_backend(unknown).items():
        lines, problem = _measured(backend, [unknown[name] for name in chosen])
        start = lines[0]["start_seconds"] if lines else 0.0
        for name, line in zip(chosen, lines[1:], strict=False):
            if "problem" in line:
                problem = f"measuring failed ({line['problem']})"
                continue
            speeds[name] = Speed(**line, start_seconds=start)
            unkept = _keep(name, unknown[name], here, speeds[name]) or unkept
        missing = len([name for name in chosen if name not in speeds])
        if missing:
            problems.append(f"the speed of {missing} architecture{'s' * (missing != 1)} is not known: {problem}")
    return speeds, [*problems, *([unkept] if unkept else [])]


def chosen_by_backend(unknown: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The architectures that are measured, by key, of each precision from the smallest to the largest."""
    of_precision: dict[tuple[str, str], list[str]] = {}
    for name, entry in sorted(unknown.items(), key=lambda item: (item[1]["macs"], item[0])):
        of_precision.setdefault((entry["training"]["backend"], entry["training"]["precision"]), []).append(name)
    chosen: dict[str, list[str]] = {}
    for (backend, _), names in sorted(of_precision.items()):
        chosen.setdefault(backend, []).extend(spread(names, MAX_MEASURED))
    return chosen


def spread(names: list[str], most: int) -> list[str]:
    """At most so many of a list, from the first to the last at equal distances."""
    if len(names) <= most:
        return names
    return [names[round(number * (len(names) - 1) / (most - 1))] for number in range(most)]


def _measured(backend: str, entries: list[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Lines that ``time_steps.py`` printed, the first about its start, and what went wrong, if anything."""
    request = json.dumps({"backend": backend, "architectures": entries})
    limit, problem = START_LIMIT_SECONDS + LIMIT_SECONDS * len(entries), ""
    text = {"mode": "w+", "encoding": "utf-8", "errors": "replace"}  # libraries print what they like
    with tempfile.TemporaryFile(**text) as printed, tempfile.TemporaryFile(**text) as errors:
        try:
            command, streams = [sys.executable, str(SCRIPT)], {"stdout": printed, "stderr": errors}
            status = subprocess.run(command, input=request, text=True, timeout=limit, check=False, **streams).returncode
            if status:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or [f"exit status {status}"])[-1]
                problem = f"measuring failed ({last.removeprefix('error: ')[:300]})"
        except subprocess.TimeoutExpired:
            problem = f"measuring was given up after {limit} seconds"
        except OSError as error:
            problem = f"measuring failed ({error.strerror})"
        printed.seek(0)
        return [json.loads(line) for line in printed.read().splitlines() if line.endswith("}")], problem


def _keep(name: str, entry: Mapping[str, Any], here: Mapping[str, Any], speed: Speed) -> str:
    """Write a speed to the cache. Returns what to do if that is not possible, and it will be measured again; else an
    empty text."""
    try:
        path = _file(name, here)
        kept = {"architecture": entry, "machine": here, "speed": asdict(speed)}
        write_text(path, json.dumps(kept, indent=1), durable=False)
    except OSError as error:
        return (
            f"speeds cannot be kept in {path.parent} ({error.strerror}), so that they are measured each time; "
            "set CONVLAB_CACHE to a folder that can be written"
        )
    except UserError as error:
        return str(error)
    return ""


def _file(name: str, here: Mapping[str, Any]) -> Path:
    code = hashlib.sha256(canonical_json([name, here]).encode()).hexdigest()[:24]
    return cache_folder() / "speeds" / f"{code}.json"
