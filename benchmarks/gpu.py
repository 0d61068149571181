"""The default study's trainings on one device: how fast, what share of the device, how accurate, and the same bytes?

    python benchmarks/gpu.py --data-dir results/fashion_mnist_first_kernel/prepare/fashion_mnist --backend jax

Needs Keras, one backend, pydantic and this repository: neither Snakemake nor pandas. Each run is the workflow's own
``scripts/train.py`` in a process of its own, as many side by side as ``--side-by-side`` says, so wall time includes
imports, reading the data, compiling and writing results. On a machine without a GPU a small part of it is trained.
"""

import argparse
import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

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

PEAK_SIDE, PEAK_PRODUCTS = 8192, 20
"""Side of the square matrices by which a GPU's peak is measured, and how many products are timed."""

SMALL = {"epochs": 1, "train_size": 1000}
"""What of the training is changed on a machine without a GPU."""

SMALL_PEAK_SIDE, SMALL_TEST_IMAGES, SMALL_FUSED_IMAGES = 1024, 500, 256


def main() -> None:
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
    parser.add_argument("--reference", type=Path, help="compare/runs.csv of the study on another machine")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--part", choices=["peak", "evaluate", "fused"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(part(arguments)))
        return
    figures = measured(arguments)
    print_figures(figures)
    if arguments.output:
        write_json(arguments.output, figures)


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


# ---------------------------------------------------------------------------------------------------------------------
# One process for all


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures: each repetition's wall time and runs, accuracies, equal bytes, the device's peak."""
    runs = planned_runs(arguments)
    macs = macs_of(dict.fromkeys(name for name, _ in runs))
    figures: dict[str, Any] = {
        "device": provenance.hardware(),
        "gpus": devices.visible_gpus(),
        "versions": provenance.versions(),
        "command": sys.argv[1:],
        "peak_flops": in_a_process(arguments, "peak"),
        "rounds": [],
    }
    print_peak(figures["peak_flops"])
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(1, arguments.repeat + 1):
            folder = Path(temporary) / f"round-{number}"
            begin = time.perf_counter()
            train_all(runs, arguments, folder)
            figures["rounds"].append(described_round(runs, macs, folder, time.perf_counter() - begin))
            print_round(number, figures["rounds"][-1], figures["peak_flops"])
        tested = in_a_process(arguments, "evaluate", Path(temporary))
    figures["tested"] = {key: entry["accuracy"] for key, entry in tested.items()}
    figures["same_bytes"] = {key: len(set(entry["sha256"])) == 1 for key, entry in tested.items()}
    if arguments.reference:
        figures["reference"] = reference_accuracies(arguments.reference, runs)
    if arguments.fused:
        figures["fused"] = in_a_process(arguments, "fused")
    return figures


def train_all(runs: Mapping[tuple[str, int], Run], arguments: argparse.Namespace, folder: Path) -> None:
    """Train runs as the workflow does, ``--side-by-side`` at once. Raises SystemExit with the log of one that fails."""

    def train(item: tuple[tuple[str, int], Run]) -> None:
        (name, seed), run = item
        command = [sys.executable, ROOT / "scripts/train.py", "--spec", canonical_json(run.identity)]
        command += ["--data-dir", arguments.data_dir, "--output-dir", folder / name / f"seed-{seed}"]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{name}, seed {seed}:\n{result.stderr[-3000:]}")

    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        list(pool.map(train, runs.items()))


def in_a_process(arguments: argparse.Namespace, name: str, folder: Path | None = None) -> Any:
    """What :func:`part` returns in a process of its own, so that this one holds no memory of the device."""
    command = [sys.executable, __file__, *sys.argv[1:], "--part", name]
    command += ["--folder", str(folder)] if folder else []
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{name}:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


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
    print(f"peak of matrix products: {rates}", flush=True)


def print_round(number: int, entry: Mapping[str, Any], peak: Mapping[str, float]) -> None:
    """Wall time, rate and share of the peak of one round of trainings, and each run's own times."""
    rate = entry["flops"] / entry["seconds"]
    shares = ", ".join(f"{rate / value:.2%} of {name}" for name, value in peak.items())
    print(
        f"round {number}: {len(entry['runs'])} trainings in {entry['seconds']:.1f} s wall; "
        f"{entry['images'] / entry['seconds']:,.0f} images/s, {rate / 1e12:.3g} TFLOP/s: {shares}"
    )
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
    if len(figures["rounds"]) > 1:
        print(f"same seed, same weights to the byte in all rounds: {sum(equal.values())} of {len(equal)}")
    for name, fused in figures.get("fused", {}).items():
        print(
            f"an epoch of {fused['seeds']} seeds, {name}: fused {fused['fused_seconds']:.2f} s, one after another "
            f"{fused['apart_seconds']:.2f} s; compiling {fused['fused_compile']:.1f} and {fused['apart_compile']:.1f} s"
        )


def by_variant(tested: Iterable[str]) -> dict[str, list[int]]:
    """Seeds of each variant, by the runs' keys."""
    seeds: dict[str, list[int]] = {}
    for key in tested:
        variant, seed = key.rsplit(" ", 1)
        seeds.setdefault(variant, []).append(int(seed))
    return seeds


# ---------------------------------------------------------------------------------------------------------------------
# In a process of its own, with Keras


def part(arguments: argparse.Namespace) -> Any:
    """The part that the command line names."""
    from convlab.runtime import backend

    backend.configure(arguments.backend, 1)  # before these import Keras
    from convlab.runtime.keras_runtime import use_threads

    use_threads(1)
    if arguments.part == "peak":
        return peak_flops()
    if arguments.part == "evaluate":
        return evaluated(arguments.folder, arguments.data_dir)
    return {name: fused_seeds(name, arguments) for name in dict.fromkeys(name for name, _ in planned_runs(arguments))}


def peak_flops() -> dict[str, float]:
    """Operations per second of a large matrix product of random numbers, by dtype (float32 as the backend does it)."""
    import numpy as np

    from convlab.runtime.keras_runtime import compiled, device, keras

    ops = keras.ops
    on_gpu = device() == "GPU"
    side, products = (PEAK_SIDE, PEAK_PRODUCTS) if on_gpu else (SMALL_PEAK_SIDE, 3)
    product = compiled(ops.matmul)
    rates = {}
    for dtype in ("float32", "bfloat16") if on_gpu else ("float32",):
        numbers = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
        first, second = (ops.cast(ops.convert_to_tensor(matrix), dtype) for matrix in numbers)
        for count in (1, products):  # the first one compiles
            begin = time.perf_counter()
            for _ in range(count):
                result = product(first, second)
            # Reading one number of the last product waits until the device has computed them all.
            float(ops.convert_to_numpy(ops.cast(result[0, 0], "float32")))
            seconds = time.perf_counter() - begin
        rates[dtype] = 2 * side**3 * products / seconds
    return rates


def evaluated(folder: Path, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Of every run its test accuracy in the first round, and the SHA-256 of its weights in each."""
    import numpy as np

    from convlab.datasets import prepared
    from convlab.evaluation import inference

    images, labels = prepared.load_test(data_dir)
    if not devices.visible_gpus():
        images, labels = images[:SMALL_TEST_IMAGES], labels[:SMALL_TEST_IMAGES]
    results: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("round-*/*/seed-*/model.keras")):
        model = inference.load(path)
        digest = hashlib.sha256()
        for weight in model.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        key = run_name(path.parent.parent.name, int(path.parent.name.removeprefix("seed-")))
        if key not in results:
            accuracy = float((inference.predictor(model)(images).argmax(axis=1) == labels).mean())
            results[key] = {"accuracy": accuracy, "sha256": []}
        results[key]["sha256"].append(digest.hexdigest())
    return results


def fused_seeds(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch of a variant's seeds as one vmapped program, and of one seed after another (JAX).

    Both are a whole epoch of the run's model, optimizer and image order as one compiled loop, without validation.
    """
    import jax
    import numpy as np

    from convlab.datasets import prepared
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build
    from convlab.training.optimizer import optimizer
    from convlab.training.pipeline import epoch_order

    runs = {seed: run for (variant, seed), run in planned_runs(arguments).items() if variant == name}
    training = next(iter(runs.values())).training
    images, labels = prepared.load_train(arguments.data_dir)
    count = round(len(images) * (1 - training.validation_fraction)) if devices.visible_gpus() else SMALL_FUSED_IMAGES
    images, labels = jax.device_put(images[:count]), jax.device_put(labels[:count].astype(np.int32))
    states, orders = [], []
    for seed, run in runs.items():
        keras.utils.set_random_seed(seed)
        model = build(run.model, images.shape[1:], 10, training.precision)
        steps_optimizer = optimizer(training, training.learning_rate)
        steps_optimizer.build(model.trainable_variables)
        variables = (model.trainable_variables, model.non_trainable_variables, steps_optimizer.variables)
        states.append([[variable.value for variable in kind] for kind in variables])
        steps = count // training.batch_size
        order = epoch_order(count, count, seed, 0)[: steps * training.batch_size]
        orders.append(order.reshape(steps, training.batch_size))

    def loss(trainable, others, batch, truth):
        probabilities, others = model.stateless_call(trainable, others, batch, training=True)
        losses = keras.ops.sparse_categorical_crossentropy(truth, probabilities)
        return keras.ops.mean(losses), others

    def epoch(state, order, images, labels):
        def step(state, indices):
            trainable, others, slots = state
            gradient = jax.value_and_grad(loss, has_aux=True)
            (value, others), gradients = gradient(trainable, others, images[indices], labels[indices])
            trainable, slots = steps_optimizer.stateless_apply(slots, gradients, trainable)
            return [trainable, others, slots], value

        return jax.lax.scan(step, state, order)

    together = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
    fused = timed(jax.jit(jax.vmap(epoch, (0, 0, None, None))), [(together, np.stack(orders))], images, labels)
    apart = timed(jax.jit(epoch), list(zip(states, orders, strict=True)), images, labels)
    return {
        "seeds": len(runs),
        **{f"fused_{key}": value for key, value in fused.items()},
        **{f"apart_{key}": value for key, value in apart.items()},
    }


def timed(function, calls: Sequence[tuple], images, labels, rounds: int = 3) -> dict[str, float]:
    """Seconds of all ``calls``, one after another: the median after the first round, and what the first took more."""
    import jax

    def seconds() -> Iterator[float]:
        for _ in range(1 + rounds):
            begin = time.perf_counter()
            for state, order in calls:
                jax.block_until_ready(function(state, order, images, labels))
            yield time.perf_counter() - begin

    first, *later = seconds()
    median = statistics.median(later)
    return {"seconds": median, "compile": first - median}


if __name__ == "__main__":
    main()
