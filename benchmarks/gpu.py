"""The default study's trainings on one device: how fast, what share of the device, how accurate, and the same bytes?

    python benchmarks/gpu.py --data-dir results/fashion_mnist_first_kernel/prepare/fashion_mnist --backend jax

Needs Keras, one backend, pydantic and this repository: neither Snakemake nor pandas. Each run is the workflow's own
``scripts/train.py`` in a process of its own, as many side by side as ``--side-by-side`` says, so wall time includes
imports, reading the data, compiling and writing results. On a machine without a GPU a small part of it is trained.

What fails, or is not done when ``--limit`` is reached, is named at the end; all else is written after each step.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from processes import ROOT

from convlab.common import provenance
from convlab.common.files import read_json, write_json
from convlab.common.specs import canonical_json
from convlab.runtime import devices
from convlab.study.load import load_study, read_yaml
from convlab.training.run_spec import Run

DATASET = "fashion_mnist"
SEEDS = (1, 2, 3)

FLOPS_PER_MAC = 6
"""Of a training step: a multiplication and an addition, forward and twice as many backward."""

SMALL = {"epochs": 1, "train_size": 1000}
"""What of the training is changed on a machine without a GPU."""


def main() -> None:
    print_figures(Measurement(command_line().parse_args()).figures)


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="Fashion-MNIST as prepare wrote it")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], default="jax")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    parser.add_argument("--jit", action="store_true", help="XLA or torch.compile; JAX always compiles")
    parser.add_argument("--side-by-side", type=int, default=len(os.sched_getaffinity(0)), help="runs at once")
    parser.add_argument("--variants", nargs="+", help="of the default study; all those of its questions when absent")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--epochs", type=int, help="instead of the study's")
    parser.add_argument("--repeat", type=int, default=2, help="train all of it so many times, to the same bytes or not")
    parser.add_argument("--fused", action="store_true", help="also train a variant's seeds as one program (JAX)")
    parser.add_argument("--limit", type=float, help="seconds after which what is not done yet is left out")
    parser.add_argument("--reference", type=Path, help="compare/runs.csv of the study on another machine")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    return parser


def planned_runs(arguments: argparse.Namespace) -> dict[tuple[str, int], Run]:
    """The runs of the default study's questions, by variant and seed, changed as the command line says."""
    study = load_study(read_yaml(ROOT / "config.yaml"))
    questions = study.plan.questions.values()
    variants = arguments.variants or dict.fromkeys(
        name for question in questions for name in (question.reference, *question.variants)
    )
    changes = {"backend": arguments.backend, "precision": arguments.precision, "jit_compile": arguments.jit}
    if not devices.visible_gpus():
        changes |= SMALL
    if arguments.epochs:
        changes["epochs"] = arguments.epochs
    runs = {(name, seed): study.run(DATASET, name, seed) for name in variants for seed in arguments.seeds}
    return {
        key: run.model_copy(update={"training": run.training.model_copy(update=changes)}) for key, run in runs.items()
    }


def macs_of(names: Iterable[str]) -> dict[str, int]:
    """Multiply-accumulates of one image, forward, by variant, in closed form."""
    costs = load_study(read_yaml(ROOT / "config.yaml")).plan.costs
    return {name: costs[DATASET, name].macs for name in names}


class Measurement:
    """All figures: the device's peak, each round's wall time and runs, accuracies, equal bytes, and what is left out.

    Attributes:
        figures: as ``--output`` has them, where they are written after each step.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.begin = arguments, time.perf_counter()
        self.runs = planned_runs(arguments)
        self.figures: dict[str, Any] = {
            "device": provenance.hardware(),
            "gpus": devices.visible_gpus(),
            "versions": provenance.versions(),
            "command": sys.argv[1:],
            "peak_flops": {},
            "rounds": [],
            "tested": {},
            "same_bytes": {},
            "left_out": {},
        }
        print(
            "GPUs: " + (", ".join(self.figures["gpus"]) or "none; a small part is trained on the processor"), flush=True
        )
        with tempfile.TemporaryDirectory() as temporary:
            self._measure(Path(temporary))

    def _measure(self, folder: Path) -> None:
        figures = self.figures
        self._try("the peak in float32", lambda: figures["peak_flops"].update(self._in_a_process("float32")))
        self._try("the peak in bfloat16", lambda: figures["peak_flops"].update(self._in_a_process("bfloat16")))
        print_peak(figures["peak_flops"])
        for number in range(1, self.arguments.repeat + 1):
            self._try(f"round {number}", lambda number=number: self._round(number, folder / f"round-{number}"))
        if figures["rounds"]:
            self._try("accuracy and equal bytes", lambda: self._tested(folder))
        if self.arguments.reference:
            self._try("reference", self._reference)
        if self.arguments.fused:
            self._try("fused seeds", self._fused)

    def _try(self, name: str, measure: Callable[[], None]) -> None:
        """Measure something; where it fails or takes too long, keep the reason instead."""
        try:
            measure()
        except subprocess.TimeoutExpired:
            self.figures["left_out"][name] = f"not done after {self.arguments.limit:g} s"
        except NotPossible as reason:
            self.figures["left_out"][name] = str(reason)
        if self.arguments.output:
            write_json(self.arguments.output, self.figures)

    def _round(self, number: int, folder: Path) -> None:
        begin = time.perf_counter()
        train_all(self.runs, self.arguments, folder, self._process)
        macs = macs_of(dict.fromkeys(name for name, _ in self.runs))
        self.figures["rounds"].append(described_round(self.runs, macs, folder, time.perf_counter() - begin))
        print_round(number, self.figures["rounds"][-1], self.figures["peak_flops"])

    def _tested(self, folder: Path) -> None:
        tested = self._in_a_process("evaluate", folder)
        self.figures["tested"] = {key: entry["accuracy"] for key, entry in tested.items()}
        self.figures["same_bytes"] = same_bytes({key: entry["sha256"] for key, entry in tested.items()})

    def _reference(self) -> None:
        self.figures["reference"] = reference_accuracies(self.arguments.reference, self.runs)

    def _fused(self) -> None:
        if self.arguments.backend != "jax":
            raise NotPossible(f"seeds become one program by JAX' vmap, which {self.arguments.backend} lacks")
        training = next(iter(self.runs.values())).training
        if training.augmentation or training.class_weights != "none":
            raise NotPossible("the fused program has neither augmentation nor class weights")
        self.figures["fused"] = self._in_a_process("fused")

    def _in_a_process(self, name: str, folder: Path | None = None) -> Any:
        """What :func:`part` returns in a process of its own, so that this one holds no memory of the device."""
        command = [sys.executable, ROOT / "benchmarks/gpu_parts.py", *sys.argv[1:], "--part", name]
        command += ["--folder", folder] if folder else []
        return json.loads(self._process(command).splitlines()[-1])

    def _process(self, command: Sequence[object]) -> str:
        """Output of a command. Raises NotPossible with the end of its log if it fails, TimeoutExpired at the limit."""
        limit = self.arguments.limit
        left = None if limit is None else max(self.begin + limit - time.perf_counter(), 0.0)
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=left)
        if result.returncode:
            raise NotPossible(result.stderr[-3000:].strip() or f"it ended with status {result.returncode}")
        return result.stdout


class NotPossible(Exception):
    """Why something was not measured."""


def same_bytes(digests: Mapping[str, Sequence[str]]) -> dict[str, bool]:
    """Whether all digests of a run's weights are equal, of each run that was trained more than once."""
    return {key: len(set(of_run)) == 1 for key, of_run in digests.items() if len(of_run) > 1}


def train_all(
    runs: Mapping[tuple[str, int], Run],
    arguments: argparse.Namespace,
    folder: Path,
    process: Callable[[Sequence[object]], str],
) -> None:
    """Train runs as the workflow does, ``--side-by-side`` at once. Raises what ``process`` raises."""

    def train(item: tuple[tuple[str, int], Run]) -> None:
        (name, seed), run = item
        command = [sys.executable, ROOT / "scripts/train.py", "--spec", canonical_json(run.identity)]
        try:
            process([*command, "--data-dir", arguments.data_dir, "--output-dir", folder / name / f"seed-{seed}"])
        except NotPossible as reason:
            raise NotPossible(f"{name}, seed {seed}: {reason}") from None

    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        try:
            list(pool.map(train, runs.items()))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def described_round(
    runs: Mapping[tuple[str, int], Run], macs: Mapping[str, int], folder: Path, seconds: float
) -> dict[str, Any]:
    """Wall time and arithmetic of one round of trainings, and each run's own times."""
    records = {key: read_json(folder / key[0] / f"seed-{key[1]}" / "run.json") for key in runs}
    images = {key: record["images_per_epoch"] * record["epochs_run"] for key, record in records.items()}
    return {
        "seconds": seconds,
        "images": sum(images.values()),
        "flops": sum(FLOPS_PER_MAC * macs[name] * images[name, seed] for name, seed in runs),
        "runs": {
            run_name(*key): {
                "fit_seconds": record["fit_seconds"],
                "epoch_seconds": epoch_seconds(folder / key[0] / f"seed-{key[1]}" / "history.csv"),
                "images_per_epoch": record["images_per_epoch"],
                "val_accuracy": record["val_accuracy"],
                "device": record["device"],
                "energy": record["energy"],
            }
            for key, record in records.items()
        },
    }


def epoch_seconds(history: Path) -> list[float]:
    """Seconds of each epoch; the first one compiles."""
    with history.open(newline="") as file:
        return [float(row["seconds"]) for row in csv.DictReader(file)]


def run_name(name: str, seed: int) -> str:
    """A run's key in the figures."""
    return f"{name} {seed}"


def reference_accuracies(path: Path, runs: Iterable[tuple[str, int]]) -> dict[str, float]:
    """Test accuracies of the same variants and seeds by another machine's ``compare/runs.csv``."""
    wanted = {run_name(*key) for key in runs}
    with path.open(newline="") as file:
        rows = {run_name(row["variant"], int(row["seed"])): row for row in csv.DictReader(file)}
    return {key: float(rows[key]["test_accuracy"]) for key in wanted if key in rows}


def print_peak(peak: Mapping[str, float]) -> None:
    """The device's peak, as measured."""
    rates = ", ".join(f"{name} {value / 1e12:.3g} TFLOP/s" for name, value in peak.items())
    print(f"peak of matrix products: {rates or 'not measured'}", flush=True)


def print_round(number: int, entry: Mapping[str, Any], peak: Mapping[str, float]) -> None:
    """Wall time, rate and share of the peak of one round of trainings, and each run's own times."""
    rate = entry["flops"] / entry["seconds"]
    shares = ", ".join(f"{rate / value:.2%} of {name}" for name, value in peak.items())
    print(
        f"round {number}: {len(entry['runs'])} trainings in {entry['seconds']:.1f} s wall; "
        f"{entry['images'] / entry['seconds']:,.0f} images/s, {rate / 1e12:.3g} TFLOP/s: {shares}"
    )
    read = [run["energy"]["nvml"]["joules"] for run in entry["runs"].values() if "nvml" in (run["energy"] or {})]
    if read:
        print(f"  energy of the GPU while {len(read)} of them were trained, by NVML: {sum(read):,.0f} J")
    for name, run in entry["runs"].items():
        first, *later = run["epoch_seconds"]
        median = statistics.median(later or [first])
        print(
            f"  {name}: fit {run['fit_seconds']:.1f} s, first epoch {first:.1f} s, later ones {median:.2f} s "
            f"({run['images_per_epoch'] / median:,.0f} images/s)",
            flush=True,
        )


def print_figures(figures: Mapping[str, Any]) -> None:
    """Accuracies, equal bytes and fused seeds, as a person reads them."""
    if figures["tested"]:
        print("test accuracy by seed, and on the reference machine:")
    for variant, seeds in by_variant(figures["tested"]).items():
        here = [figures["tested"][run_name(variant, seed)] for seed in seeds]
        text = f"  {variant}: {', '.join(f'{value:.4f}' for value in here)}"
        there = [figures.get("reference", {}).get(run_name(variant, seed)) for seed in seeds]
        if None not in there:
            difference = statistics.mean(here) - statistics.mean(there)
            text += f"; reference {', '.join(f'{value:.4f}' for value in there)}; mean difference {difference:+.4f}"
        print(text)
    equal = figures["same_bytes"]
    if equal:
        print(
            f"same seed, same weights to the byte each time: {sum(equal.values())} of {len(equal)} trained repeatedly"
        )
    for name, fused in figures.get("fused", {}).items():
        print(
            f"an epoch of {fused['seeds']} seeds, {name}: fused {fused['fused_seconds']:.2f} s, one after another "
            f"{fused['apart_seconds']:.2f} s; compiling {fused['fused_compile']:.1f} and {fused['apart_compile']:.1f} s"
        )
    for name, reason in figures["left_out"].items():
        print(f"left out: {name}: {reason}")


def by_variant(tested: Iterable[str]) -> dict[str, list[int]]:
    """Seeds of each variant, by the runs' keys."""
    seeds: dict[str, list[int]] = {}
    for key in tested:
        variant, seed = key.rsplit(" ", 1)
        seeds.setdefault(variant, []).append(int(seed))
    return seeds


if __name__ == "__main__":
    main()
