"""Benchmark of a recipe: 3 epochs of one-cycle with label smoothing against 5 epochs of constant Adam.

`python benchmarks/one_cycle.py` trains the default study's CNN on Fashion-MNIST, three seeds with each recipe. The peak
of the learning rate is chosen beforehand by validation accuracy, with another seed; test images are looked at once, at
the end. The figures are in docs/measurements.md.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from processes import ROOT

from convlab.common import provenance
from convlab.common.files import read_json, write_json
from convlab.common.specs import canonical_json
from convlab.evaluation.records import read_measures
from convlab.study.load import load_study, read_yaml
from convlab.training.run_spec import Run

SEEDS = (1, 2, 3)
CHOOSING_SEED = 100
"""Seed of the runs that choose the peak; its validation images differ from those of the others."""

PEAKS = (0.002, 0.004, 0.008)
"""Largest learning rates to choose from."""

CONSTANT = {"epochs": 5}
ONE_CYCLE = {"epochs": 3, "schedule": "one_cycle", "label_smoothing": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of each training")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    machine = provenance.hardware()
    print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}")
    with tempfile.TemporaryDirectory(prefix="one-cycle-") as temporary:
        bench = Bench(Path(temporary), arguments.threads)
        peaks = {peak: bench.validation_accuracy({**ONE_CYCLE, "learning_rate": peak}) for peak in PEAKS}
        for peak, accuracy in peaks.items():
            print(f"peak {peak:g}: validation accuracy {100 * accuracy:.2f} % (seed {CHOOSING_SEED})", flush=True)
        best = max(peaks, key=peaks.get)
        recipes = {
            "5 epochs, Adam, constant 0.001": CONSTANT,
            f"3 epochs, Adam, one-cycle to {best:g}, label smoothing 0.1": {**ONE_CYCLE, "learning_rate": best},
        }
        figures = {name: bench.test_accuracies(name, training) for name, training in recipes.items()}
    constant, one_cycle = (np.array(row["test_accuracy"]) for row in figures.values())
    gain = one_cycle - constant
    for name, row in figures.items():
        print(f"{name}: {text(np.array(row['test_accuracy']))}, {np.mean(row['seconds']):.0f} s of training a run")
    print(f"difference, by seed: {text(gain)}; at least the same accuracy: {'yes' if gain.mean() >= 0 else 'NO'}")
    if arguments.output:
        choosing = {f"{peak:g}": accuracy for peak, accuracy in peaks.items()}
        write_json(arguments.output, {"machine": machine, "validation_accuracy": choosing, "recipes": figures})


def text(values: np.ndarray) -> str:
    """Mean ± SD over seeds, and each seed's, in % (of differences: percentage points)."""
    each = ", ".join(f"{100 * value:.2f}" for value in values)
    return f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f} ({each})"


class Bench:
    """Trains and evaluates the default study's CNN by the suite's own scripts, below ``folder``."""

    def __init__(self, folder: Path, threads: int) -> None:
        study = load_study(read_yaml(ROOT / "config.yaml"))
        self.folder, self.threads = folder, str(threads)
        self.dataset, self.model, self.training = study.datasets["fashion_mnist"], study.models["cnn"], study.training
        spec = canonical_json(self.dataset.model_dump(mode="json"))
        self.data = folder / "data"
        script("prepare", "--dataset", "fashion_mnist", "--spec", spec, "--output-dir", self.data)

    def train(self, training: dict, seed: int, output: Path) -> dict:
        """run.json of a run with these changes of the default study's training."""
        changed = {**self.training.model_dump(), **training}
        run = Run.model_validate({"dataset": self.dataset, "model": self.model, "training": changed, "seed": seed})
        folders = ("--data-dir", self.data, "--output-dir", output)
        script("train", "--spec", canonical_json(run.identity), *folders, "--threads", self.threads)
        return read_json(output / "run.json")

    def validation_accuracy(self, training: dict) -> float:
        """Of the run with the seed that chooses."""
        output = self.folder / f"choosing-{training['learning_rate']:g}"
        return self.train(training, CHOOSING_SEED, output)["val_accuracy"]

    def test_accuracies(self, name: str, training: dict) -> dict[str, list[float]]:
        """Test accuracy and seconds of training of each seed."""
        output = self.folder / name.replace(" ", "-")
        seconds = [self.train(training, seed, output / f"seed-{seed}")["train_seconds"] for seed in SEEDS]
        folders = ("--data-dir", self.data, "--output-dir", output / "evaluated")
        script("evaluate", "--train-dir", output, "--seeds", *map(str, SEEDS), *folders)
        measures = read_measures(output / "evaluated", SEEDS)
        return {"test_accuracy": [measures[seed]["accuracy"] for seed in SEEDS], "seconds": seconds}


def script(name: str, *arguments: object) -> None:
    """Run a stage's script; its log is shown if it fails."""
    command = [sys.executable, str(ROOT / f"scripts/{name}.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{name} failed:\n{result.stderr[-3000:]}")


if __name__ == "__main__":
    main()
