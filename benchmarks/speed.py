"""A study by the workflow, in a notebook and in PyTorch, in turn, for several rounds: wall time, images/s, accuracy.

Each is a process of its own that starts from nothing: the workflow runs from ``prepare`` to its report in an empty
folder, so that no round takes a result from an earlier one. Probes and tuning are off, since a notebook has none.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from gpu import FLOPS_PER_MAC
from processes import ROOT, Usage, plain_environment, usage
from processor import IMITATED_AVX2, bfloat16_gain, installed_environment, peak_of_all_cores

from convlab.common.files import read_json, write_arrays, write_json, write_text
from convlab.common.specs import canonical_json
from convlab.datasets import prepared
from convlab.models.specs import BaseModelSpec
from convlab.study import layout
from convlab.study.load import load_study
from convlab.training.recipe import ONE_CYCLE_WARMUP, Training
from convlab.training.run_spec import Run

CONTENDERS = {
    "notebook": "notebook, TensorFlow as installed",
    "notebook_onednn": "notebook, TensorFlow with oneDNN",
    "torch": "PyTorch, channels-last",
    "float32": "workflow, float32",
    "mixed_bfloat16": "workflow, mixed_bfloat16",
}
"""What is timed, in the order of each round."""

WORKFLOWS = ("float32", "mixed_bfloat16")

SMALLEST_BFLOAT16_GAIN = 0.25
"""Below this share of float32's rate of matrix products bfloat16 is taken to be emulated, and training in it takes too
long to be worth a measurement: on an AMD processor without it, 15 times as long as in float32."""

KNOWN_MODEL_FIELDS = {
    "dense": ("family", "units", "dropout"),
    "conv": ("family", "filters", "depth", "kernel_size", "dense_units", "dropout"),
}
KNOWN_TRAINING_FIELDS = (
    *("epochs", "batch_size", "optimizer", "learning_rate", "momentum", "schedule", "warmup", "label_smoothing"),
    *("validation_fraction", "train_size", "select", "backend", "precision"),
)
KNOWN_VALUES = {"optimizer": ("adam", "sgd"), "schedule": ("constant", "one_cycle", "cosine")}
"""What the notebooks have of a study; where it asks for more, a comparison would not be fair."""


@dataclass(frozen=True)
class Race:
    """What all contenders share.

    Attributes:
        config: the study's config as written, without probes and tuning, with the seeds of its first look.
        dataset: name of its only dataset.
        folder: for everything that is written.
        processor: from :func:`processor.measured_processor`.
        torch_python: a Python that has PyTorch, or None.
    """

    config: dict[str, Any]
    dataset: str
    folder: Path
    cores: int
    processor: Mapping[str, Any] = field(default_factory=dict)
    torch_python: Path | None = None

    @cached_property
    def runs(self) -> list[tuple[str, Run]]:
        """The study's runs, each with its variant."""
        study = load_study(self.config)
        variants = study.plan.compared
        return [(name, study.run(self.dataset, name, seed)) for name in variants for seed in study.seeds]

    @cached_property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of one image, forward, by variant, in closed form."""
        costs = load_study(self.config).plan.costs
        return {name: costs[self.dataset, name].macs for name, _ in self.runs}

    @property
    def data(self) -> Path:
        """What the notebooks read."""
        return self.folder / "data"

    @property
    def imitated(self) -> dict[str, str]:
        """Environment of an imitated processor; none where it is measured as it is."""
        return IMITATED_AVX2 if self.processor["imitated_avx2"] else {}


def race_of(config: Mapping[str, Any], folder: Path, cores: int) -> Race:
    """A race with a study's config, on a processor that is not measured yet.

    Exits with one sentence where the notebooks could not do the same as the study.
    """
    kept = {key: value for key, value in config.items() if key not in ("probes", "tuning")}
    study = load_study(kept)
    if len(study.datasets) > 1:
        sys.exit(f"the study has {len(study.datasets)} datasets; the speed benchmark takes studies with one")
    kept["seeds"] = list(study.seeds[: study.seeds.counts[0]])
    race = Race(kept, next(iter(study.datasets)), folder, cores)
    for name, run in race.runs:
        if unknown := unknown_fields(run):
            sys.exit(
                f"the notebooks of the speed benchmark have no {', '.join(unknown)} (variant {name}), so that the "
                "comparison would not be fair; leave it out of the study"
            )
    return race


def unknown_fields(run: Run) -> list[str]:
    """Fields of a run's model and training that are not at their defaults and that the notebooks do not have."""
    model, training = run.model, run.training
    if model.family not in KNOWN_MODEL_FIELDS:
        return [f"family {model.family}"]
    known = {name: model.identity[name] for name in KNOWN_MODEL_FIELDS[model.family]}
    plain = type(model).model_validate(known).identity
    fields = [f"{name} of {value}" for name, value in model.identity.items() if value != plain[name]]
    usual = Training().model_dump()
    for name, value in training.model_dump().items():
        is_known = name in KNOWN_TRAINING_FIELDS and value in KNOWN_VALUES.get(name, (value,))
        if not is_known and value != usual[name]:
            fields.append(f"training.{name} of {value}")
    return fields


def prepare(race: Race) -> None:
    """Write what the notebooks read: the arrays, the splits that the workflow draws, networks and recipe of each run.

    A downloaded dataset is then in the cache for all.
    """
    spec = canonical_json(load_study(race.config).datasets[race.dataset].model_dump(mode="json"))
    script = [sys.executable, ROOT / "scripts/prepare.py", "--dataset", race.dataset, "--spec", spec]
    usage([*script, "--output-dir", race.data], race.folder / "prepare", plain_environment())
    _, labels = prepared.load_train(race.data)
    if prepared.load_validation(race.data):
        sys.exit("the dataset brings a validation split, which the notebooks of the speed benchmark do not know")
    splits: dict[str, np.ndarray] = {}
    runs = []
    for name, run in race.runs:
        training, seeds = run.training, prepared.seed_streams(run.seed)
        key = f"{run.seed}-{training.validation_fraction}-{training.train_size}"
        train, validation = prepared.split(labels, training.validation_fraction, seeds["split"])
        subset = prepared.nested_subset(labels[train], training.train_size, seeds["subset"])
        splits |= {f"train-{key}": train[subset], f"validation-{key}": validation}
        written = {"model": network_of(run.model), "recipe": recipe_of(training)}
        runs.append({"variant": name, "seed": run.seed, "split": key, **written})
    write_arrays(race.data / "splits.npz", **splits)
    classes = len(read_json(race.data / "manifest.json")["classes"])
    write_json(race.data / "study.json", {"classes": classes, "runs": runs})


def network_of(model: BaseModelSpec) -> dict[str, Any]:
    """A network as the notebooks read it."""
    fields = model.identity
    if fields["family"] == "dense":
        return {"family": "dense", "hidden": fields["units"], "dropout": fields["dropout"]}
    hidden = {"hidden": fields["dense_units"], "dropout": fields["dropout"]}
    return {"family": "conv", "filters": fields["filters"], "kernel_size": fields["kernel_size"], **hidden}


def recipe_of(training: Training) -> dict[str, Any]:
    """A recipe as the notebooks read it, with the warm-up that its schedule has by default."""
    usual = ONE_CYCLE_WARMUP if training.schedule == "one_cycle" else 0.0
    names = ("epochs", "batch_size", "optimizer", "learning_rate", "momentum", "schedule", "label_smoothing", "select")
    warmup = usual if training.warmup is None else training.warmup
    return {name: getattr(training, name) for name in names} | {"warmup": warmup}


def left_out(race: Race, wanted: Sequence[str]) -> dict[str, str]:
    """Contenders that do not start, with the reason."""
    reasons = dict.fromkeys((name for name in CONTENDERS if name not in wanted), "not asked for")
    if race.processor["onednn"]["as_installed"]:
        reasons.setdefault("notebook_onednn", "as installed, TensorFlow has oneDNN on here already")
    if race.torch_python is None:
        reasons.setdefault("torch", "no PyTorch here; --torch-python names a Python that has requirements/torch.txt")
    gain = bfloat16_gain(race.processor)
    if gain is None:
        reasons.setdefault("mixed_bfloat16", "bfloat16 was not measured: it cannot be imitated")
    elif gain < SMALLEST_BFLOAT16_GAIN:
        reasons.setdefault("mixed_bfloat16", f"emulated here: its matrix products have {gain:.2g} times float32's rate")
    return reasons


def python_with_torch(named: Path | None) -> Path | None:
    """The Python that has PyTorch: the one named, or this one; None where neither has it."""
    python = Path(sys.executable) if named is None else named
    try:
        tried = subprocess.run([python, "-c", "import torch, numpy"], capture_output=True, env=plain_environment())
    except OSError as error:
        sys.exit(f"--torch-python {named}: {error.strerror}")
    return None if tried.returncode else python


def run_rounds(race: Race, rounds: int, reasons: dict[str, str], keep: Callable[[list[dict]], None]) -> None:
    """Run all contenders in turn, as often as asked for.

    Args:
        reasons: of contenders that are left out; one that fails is added.
        keep: called with the rounds so far after each contender, so that nothing is lost when this is stopped.
    """
    results: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        results.append({})
        for name, label in CONTENDERS.items():
            if name in reasons:
                continue
            folder = race.folder / f"round-{number}" / name
            try:
                results[-1][name] = RUNNERS[name](race, folder)
            except SystemExit as failure:
                print(f"round {number}, {label}: {failure}", flush=True)
                reasons[name] = f"it failed in round {number}"
                continue
            show(number, label, results[-1][name])
            keep(results)
            shutil.rmtree(folder, ignore_errors=True)


def show(number: int, label: str, result: Mapping[str, Any]) -> None:
    """Print one contender's figures."""
    print(
        f"round {number}, {label}: wall {result['wall']:.0f} s, {result['images_per_second']:,.0f} images/s, "
        f"{100 * result['share_of_peak']:.1f} % of the float32 GEMM peak, CPU {result['cpu_seconds']:.0f} s, "
        f"at most {result['memory_mb']:,.0f} MB a process"
    )
    accuracies = (f"{name} {accuracy_text(row)}" for name, row in result["accuracy"].items())
    print(f"  test accuracy, %: {'; '.join(accuracies)}", flush=True)


def accuracy_text(row: Mapping[str, float | None]) -> str:
    """Mean ± SD over seeds of a test accuracy, %; of one seed without SD."""
    return f"{row['mean']:.2f}" if row["sd"] is None else f"{row['mean']:.2f} ± {row['sd']:.2f}"


def notebook(race: Race, folder: Path, environment: Mapping[str, str], python: Path, script: str) -> dict[str, Any]:
    """All runs in one process of a notebook-like script."""
    output = folder / "runs.json"
    used = usage([python, ROOT / "benchmarks" / script, race.data, output], folder, plain_environment(environment))
    runs = pd.DataFrame(read_json(output)).rename(columns={"accuracy": "test_accuracy", "seconds": "train_seconds"})
    return described(race, asdict(used), runs)


def keras_notebook(race: Race, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The Keras notebook, without a settings file of Keras'."""
    settings = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, **environment}
    return notebook(race, folder, settings, Path(sys.executable), "notebook.py")


def workflow(race: Race, folder: Path, precision: str) -> dict[str, Any]:
    """The study from nothing to its report in an empty folder, by plain Snakemake."""
    config = {**race.config, "training": {**(race.config.get("training") or {}), "precision": precision}}
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    profile = ["--workflow-profile", ROOT / "profiles/log", "--configfile", folder / "config.yaml"]
    begin = time.time()
    used = usage([*snakemake, *profile, "--cores", race.cores], folder, plain_environment(race.imitated))
    results = layout.study_folder(config["study"], folder / layout.RESULTS)
    return workflow_figures(race, results, used, (begin, time.time()))


def workflow_figures(race: Race, results: Path, used: Usage, span: tuple[float, float]) -> dict[str, Any]:
    """Figures of a finished workflow.

    Args:
        results: the study's folder.
        span: when it began and ended, seconds since 1970.
    """
    runs = pd.read_csv(results / "compare/runs.csv")
    runs["images"] = runs["train_images"] * runs["epochs_run"]
    trained = runs["train_seconds"].sum()
    spans = [run_span(read_json(path)) for path in sorted((results / "train").rglob("run.json"))]
    return {
        **described(race, asdict(used), runs),
        "not_training": 1 - trained / race.cores / used.wall,
        "core_seconds": core_seconds(job_seconds(layout.benchmarks(results)), trained, race.cores * used.wall),
        "phases": phases(span, spans, race.cores),
    }


def described(race: Race, used: Mapping[str, float], runs: pd.DataFrame) -> dict[str, Any]:
    """Figures that all contenders have.

    ``images_per_second`` and ``share_of_peak`` are over all of the wall time, those of ``process`` over the time that
    a run trained, validation after each epoch included.
    """
    flops = FLOPS_PER_MAC * (runs["images"] * runs["variant"].map(race.macs)).sum()
    seconds = runs.groupby("variant")["train_seconds"].sum()
    accuracy = 100 * runs.groupby("variant")["test_accuracy"].agg(["mean", "std"])
    return {
        **used,
        "runs": len(runs),
        "images": int(runs["images"].sum()),
        "images_per_second": runs["images"].sum() / used["wall"],
        "share_of_peak": flops / used["wall"] / peak_of_all_cores(race.processor),
        "train_seconds": runs["train_seconds"].sum(),
        "process_images_per_second": runs["images"].sum() / runs["train_seconds"].sum(),
        "process_images_per_second_by_variant": (runs.groupby("variant")["images"].sum() / seconds).to_dict(),
        "accuracy": {
            name: {"mean": row["mean"], "sd": None if np.isnan(row["std"]) else row["std"]}
            for name, row in accuracy.iterrows()
        },
    }


def job_seconds(folder: Path) -> dict[str, float]:
    """Seconds of all jobs of each rule, from Snakemake's benchmark files."""
    seconds: dict[str, float] = {}
    for path in folder.rglob("*.tsv"):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        seconds[rule] = seconds.get(rule, 0.0) + pd.read_csv(path, sep="\t")["s"].sum()
    return seconds


def core_seconds(jobs: Mapping[str, float], training: float, available: float) -> dict[str, float]:
    """How the cores' ``available`` seconds were spent: training, the rest of training jobs, other rules, none of these.

    Starts of trainings are importing, reading, building, tracing and writing. A job counts as one core's.
    """
    spent = {"training": training, "starts of trainings": max(jobs.get("train", 0.0) - training, 0.0)}
    spent |= {rule: seconds for rule, seconds in sorted(jobs.items()) if rule != "train"}
    return spent | {"idle cores and Snakemake": available - sum(spent.values())}


def run_span(record: Mapping[str, Any]) -> tuple[float, float]:
    """When a run started and finished, seconds since 1970, to the second."""
    return tuple(datetime.fromisoformat(record[key]).timestamp() for key in ("started", "finished"))


def phases(span: tuple[float, float], spans: Sequence[tuple[float, float]], cores: int) -> dict[str, float]:
    """Wall seconds before the first training, while cores run out of trainings, and after the last.

    Args:
        span: when the workflow began and ended.
        spans: when each run started and finished.
    """
    finished = sorted(finish for _, finish in spans)
    first_idle = finished[-min(cores, len(finished))]
    return {
        "before the first training": min(start for start, _ in spans) - span[0],
        "tail, not all cores training": finished[-1] - first_idle,
        "after the last training": span[1] - finished[-1],
    }


RUNNERS: dict[str, Callable[[Race, Path], dict[str, Any]]] = {
    "notebook": lambda race, folder: keras_notebook(
        race, folder, installed_environment(race.processor["imitated_avx2"])
    ),
    "notebook_onednn": lambda race, folder: keras_notebook(
        race, folder, {**race.imitated, "TF_ENABLE_ONEDNN_OPTS": "1"}
    ),
    "torch": lambda race, folder: notebook(race, folder, race.imitated, race.torch_python, "notebook_torch.py"),
    "float32": lambda race, folder: workflow(race, folder, "float32"),
    "mixed_bfloat16": lambda race, folder: workflow(race, folder, "mixed_bfloat16"),
}
