"""Benchmarks: the suite against notebooks on this machine, whatever it is, and a study of 1,000 runs.

`make bench` runs all; ARGS takes these options. Times are of whole processes, in turn, and nothing else should run
meanwhile; compare the ratios, since absolute times drift with the machine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from processes import ROOT, measured
from processor import described, measured_processor
from ratios import summary, table
from speed import CONTENDERS, left_out, prepare, python_with_torch, race_of, run_rounds

from convlab.common import provenance
from convlab.common.files import array_sha256, read_json, write_arrays, write_json, write_text
from convlab.errors import UserError
from convlab.evaluation import metrics
from convlab.evaluation.records import Features, write_evaluation
from convlab.statistics.comparisons import compare_to_reference
from convlab.statistics.images import crossed_difference
from convlab.study.load import load_study, read_yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=["speed", "statistics", "noop", "scale", "endpoint"], help="run one benchmark instead of all"
    )
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores that Snakemake may use")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file, after each step")
    parser.add_argument(
        "--table", type=Path, metavar="JSON", help="only print the Markdown table of a file of --output"
    )
    of_speed = parser.add_argument_group("speed")
    of_speed.add_argument("--study", type=Path, default=ROOT / "config.yaml", help="config of one published dataset")
    of_speed.add_argument("--rounds", type=int, default=3, help="how often all are run in turn")
    of_speed.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=[*CONTENDERS], help="those to run")
    of_speed.add_argument("--torch-python", type=Path, help="a Python with PyTorch; this one if it has it")
    of_speed.add_argument(
        "--imitate-avx2", action="store_true", help="libraries use no instructions beyond AVX2, TensorFlow no oneDNN"
    )
    arguments = parser.parse_args()
    if arguments.table:
        try:
            read = read_json(arguments.table)
        except UserError as error:
            sys.exit(f"error: {error}")
        if not read.get("speed", {}).get("rounds"):
            sys.exit(f"{arguments.table} has no rounds of the speed benchmark")
        print(table(read["speed"]))
        print("\n".join(summary_of(read)))
        return
    # What was measured so far is kept and summed up; shells let what they start in the background ignore SIGINT.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    machine = provenance.hardware()
    print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}")
    figures: dict[str, Any] = {"machine": machine, "versions": provenance.versions(), "command": sys.argv[1:]}

    def write() -> None:
        if arguments.output:
            write_json(arguments.output, figures)

    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        parts: dict[str, Callable[[], Any]] = {
            "speed": lambda: speed(arguments, folder / "speed", figures, write),
            "statistics": comparisons,
            "noop": lambda: noop(folder / "noop"),
            "scale": lambda: scale(folder / "scale", arguments.cores),
            "endpoint": lambda: endpoint(folder / "endpoint"),
        }
        try:
            for name in parts if arguments.only is None else [arguments.only]:
                result = parts[name]()
                figures |= {} if result is None else {name: result}
                write()
        except UserError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            where = f" and in {arguments.output}" if arguments.output else ""
            sys.exit(f"stopped; what was measured so far stands above{where}")


def speed(arguments: argparse.Namespace, folder: Path, figures: dict[str, Any], write: Callable[[], None]) -> None:
    """Add the processor, and the workflow against notebooks in turn, to the figures; ``write`` after each contender."""
    race = race_of(read_yaml(arguments.study), folder, arguments.cores)
    torch_python = python_with_torch(arguments.torch_python)
    print("measuring the processor ...", flush=True)
    figures["processor"] = measured_processor(arguments.imitate_avx2)
    print(described(figures["processor"]), flush=True)
    race = replace(race, processor=figures["processor"], torch_python=torch_python)
    reasons = left_out(race, arguments.contenders)
    for name, reason in reasons.items():
        print(f"left out: {CONTENDERS[name]}: {reason}", flush=True)
    measured = figures["speed"] = {
        "study": race.config["study"],
        "training": race.config.get("training"),
        "runs": len(race.runs),
        "cores": race.cores,
        "shown_variant": max(race.macs, key=lambda name: (name in race.config["models"], race.macs[name])),
        "left_out": reasons,
        "rounds": [],
    }

    def keep(rounds: list[dict]) -> None:
        measured["rounds"] = rounds
        write()

    write()
    prepare(race)
    try:
        run_rounds(race, arguments.rounds, reasons, keep)
    finally:  # also what is there when it is stopped
        print("\n".join(summary_of(figures)), flush=True)


def summary_of(figures: dict[str, Any]) -> list[str]:
    """Ratios and goals of measured figures, as lines for people."""
    onednn, measured = figures["processor"]["onednn"], figures["speed"]
    return summary(measured["rounds"], measured["cores"], onednn["as_installed"])


def comparisons() -> dict:
    """Time the statistics of a report: six levels with ten seeds, cold, and two models on 10,000 images."""
    generator = np.random.default_rng(0)
    runs = pd.DataFrame({str(level): generator.normal(0.9, 0.005, 10) for level in range(6)})
    right, other = generator.random((2, 10, 10_000)) < 0.9
    seconds = {}
    for name, compute in {
        "dunnett": lambda: compare_to_reference(runs, "0"),
        "crossed": lambda: crossed_difference(right, other),
    }.items():
        begin = time.perf_counter()
        compute()
        seconds[name] = time.perf_counter() - begin
    print(f"\nDunnett's test of six levels with ten seeds: {seconds['dunnett']:.2f} s (first call, cold)")
    print(f"two models with ten seeds on 10,000 images: {seconds['crossed']:.2f} s")
    return seconds


def thousand() -> dict:
    """A study of 1,000 runs: 200 variants, five seeds."""
    rates = [round(0.0005 + 0.00001 * step, 6) for step in range(198)]
    return {
        "study": "thousand",
        "question": "Which learning rate?",
        "datasets": {"digits": {}},
        "seeds": 5,
        "models": {
            "dense": {"family": "dense", "units": [8]},
            "cnn": {"family": "conv", "filters": [4], "kernel_size": 3},
        },
        "experiments": {
            "rate": {"base": "cnn", "factor": "learning_rate", "levels": [0.001, *rates[:50], *rates[51:]]}
        },
        "comparisons": {"convolution": {"variant": "cnn", "reference": "dense"}},
    }


def noop(folder: Path) -> dict:
    """Time `snakemake -n` where a study of 1,000 runs is finished."""
    study = load_study(thousand())
    write_text(folder / "config.yaml", yaml.safe_dump(thousand()))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", "none", "--configfile", folder / "config.yaml", "--quiet", "all", "--cores", "16"]
    finished(folder, study)
    # Records the jobs without running them.
    subprocess.run([*command, "--touch", "--forceall"], check=True, capture_output=True)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        result = subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
        if "Nothing to be done" not in result.stdout or "missing metadata" in result.stdout:
            sys.exit(f"the study is not finished for Snakemake:\n{result.stdout}")
    measured = {"runs": len(study.plan.variants) * len(study.seeds), "seconds": sorted(seconds)[1]}
    print(f"\nno-op dry run of a study of {measured['runs']:,} runs: {measured['seconds']:.1f} s (median of 3)")
    return measured


def scale(folder: Path, cores: int, test_images: int = 10_000) -> dict:
    """Tables, figures and report of 1,000 runs with made-up results in the form of real ones: time, memory, size."""
    study = load_study(thousand())
    results = folder / "results/thousand"
    synthetic(results, study, test_images)
    figures = {"runs": len(study.plan.variants) * len(study.seeds)}
    for stage, arguments in {
        "explore": ["--data-dir", results / "prepare/digits", "--output-dir", results / "explore/digits"],
        "compare": ["--settings", json.dumps(study.settings), "--results-dir", results, "--processes", cores],
        "report": ["--config", json.dumps(study.validated_config), "--results-dir", results],
    }.items():
        seconds, megabytes = measured([sys.executable, ROOT / f"scripts/{stage}.py", *arguments], folder)
        figures[stage] = {"seconds": seconds, "memory_mb": megabytes}
    figures["page_mb"] = (results / "report/index.html").stat().st_size / 1e6
    print(f"\n{figures['runs']:,} runs with {test_images:,} test images each:")
    for stage in ("compare", "report"):
        print(f"  {stage}: {figures[stage]['seconds']:.1f} s, {figures[stage]['memory_mb']:,.0f} MB")
    print(f"  index.html: {figures['page_mb']:.1f} MB")
    return figures


def endpoint(folder: Path, calls: int = 500) -> dict:
    """One 28×28 image through the default study's CNN: the local endpoint with both runtimes, and Keras without one.

    The weights are untrained, which changes no time. Over HTTP: from sending JSON to having read the answer. The median
    of three starts.
    """
    from convlab.evaluation.latency import latency_ms
    from convlab.runtime.keras_runtime import use_threads
    from convlab.serving import artifacts
    from convlab.serving.local import LocalEndpoint
    from convlab.training.network import build

    study, shape = load_study(read_yaml(ROOT / "config.yaml")), (28, 28, 1)
    run = study.run("fashion_mnist", "cnn", 1)
    use_threads(1)
    model = build(run.model, shape, 10)
    artifacts.write_artifact(
        artifacts.inference_model(model, run, shape, 10), folder, [str(digit) for digit in range(10)]
    )
    write_json(folder / "export.json", {"input": {"shape": shape}})
    images = np.random.default_rng(0).integers(0, 256, (calls + 20, *shape), dtype=np.uint8)
    bodies = [json.dumps({"instances": [image.tolist()]}).encode() for image in images]

    costs = {}
    for runtime in ("onnx", "saved_model"):
        starts = []
        for _ in range(3):
            begin = time.perf_counter()
            with LocalEndpoint(folder, runtime) as server:
                server.invoke(bodies[0], "application/json")
                starts.append(time.perf_counter() - begin)
                times = latency_ms(lambda body, server=server: server.invoke(body, "application/json"), bodies, 20)
        costs[runtime] = {"first_answer_s": sorted(starts)[1], "memory_mb": server.memory_mb, "latency_ms": times}
    costs["keras_predict"] = {"latency_ms": latency_ms(lambda image: model.predict(image[None], verbose=0), images, 20)}
    costs["keras_traced"] = {"latency_ms": latency_ms(artifacts.single_image(model), images, 20)}
    print(f"\none 28×28 image through the default study's CNN, {calls} calls:")
    names = {"onnx": "endpoint, ONNX", "saved_model": "endpoint, SavedModel", "keras_predict": "Keras predict, no HTTP"}
    names |= {"keras_traced": "Keras traced, no HTTP"}
    for name, label in names.items():
        times, more = costs[name]["latency_ms"], ""
        if "memory_mb" in costs[name]:
            more = (
                f"; first answer {costs[name]['first_answer_s']:.2f} s after start, {costs[name]['memory_mb']:.0f} MB"
            )
        print(f"  {label}: p50 {times['p50']:.2f} ms, p99 {times['p99']:.2f} ms{more}")
    return costs


def synthetic(results: Path, study, test_images: int) -> None:
    """Results of prepare, train and evaluate with random numbers."""
    generator = np.random.default_rng(0)
    classes = [str(digit) for digit in range(10)]
    arrays = {
        "x_train": generator.integers(0, 256, (1000, 8, 8, 1), dtype=np.uint8),
        "y_train": np.arange(1000) % 10,
        "x_test": generator.integers(0, 256, (test_images, 8, 8, 1), dtype=np.uint8),
        "y_test": np.arange(test_images) % 10,
    }
    manifest = {
        "format": 1, "dataset": "digits", "kind": "digits", "source": "drawn at random", "homepage": None,
        "licence": "none", "citation": None, "train_images": None, "test_images": None, "classes": classes,
        "counts": {part: dict.fromkeys(classes, len(arrays[f"y_{part}"]) // 10) for part in ("train", "test")},
        "input_shape": [8, 8, 1], "excluded": [], "options": {}, "test_from": {"from": "data"},
        "available": {"train": 1000, "test": test_images},
        "arrays": {
            name: {"sha256": array_sha256(array), "shape": array.shape, "dtype": str(array.dtype)}
            for name, array in arrays.items()
        },
    }  # fmt: skip
    write_arrays(results / "prepare/digits/data.npz", **arrays)
    write_json(results / "prepare/digits/manifest.json", manifest)
    checksums = {name: entry["sha256"] for name, entry in manifest["arrays"].items()}
    truth = np.eye(10)[arrays["y_test"]]
    for variant in study.plan.variants:
        entries, predictions = {}, []
        for seed in study.seeds:
            run = study.run("digits", variant, seed)
            probabilities = generator.dirichlet(np.full(10, 0.3), test_images) + generator.uniform(0.9, 1.1) * truth
            probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
            measures = metrics.classification_metrics(probabilities, arrays["y_test"])
            train = results / "train/digits" / variant / f"seed-{seed}"
            history = pd.DataFrame({"epoch": range(1, 6), "seconds": 1.0})
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
                history[name] = generator.random(5)
            write_text(train / "history.csv", history.to_csv(index=False))
            write_json(
                train / "run.json",
                {
                    "spec": run.identity, "spec_hash": run.spec_hash, "data_sha256": checksums, "status": "finished",
                    "epochs_run": 5, "best_epoch": 5, "val_accuracy": measures["accuracy"], "val_loss": 0.3,
                    "train_seconds": 5.0, "images_per_second": 900.0, "train_images": 900, "validation_images": 100,
                    "resumed_after_epoch": 0, "peak_memory_mb": 700.0, "threads": 1, "device": "CPU, 1 thread(s)",
                    "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:10+00:00",
                    "versions": provenance.versions(), "hardware": provenance.hardware(), "environment": {},
                    "code": {},
                },
            )  # fmt: skip
            rows = metrics.reliability(probabilities, arrays["y_test"])
            latency = {"p50": 0.3, "p90": 0.4, "p99": 0.5, "calls": 60}
            head = {"spec_hash": run.spec_hash, "status": "finished", "test_images": test_images}
            entries[seed] = {**head, **measures, "reliability": rows, "latency_ms": latency}
            predictions.append(probabilities)
        write_evaluation(results / "evaluate/digits" / variant, entries, predictions, Features(None, np.arange(3)))


def finished(folder: Path, study) -> None:
    """Placeholder files for the results of every job; Snakemake reads only run.json."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", "none", "--configfile", folder / "config.yaml", "--summary"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    for line in lines:
        path = folder / line.split("\t")[0]
        if path.suffix in ("", ".d"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for variant in study.plan.variants:
        for seed in study.seeds:
            record = folder / f"results/thousand/train/digits/{variant}/seed-{seed}/run.json"
            record.write_text(json.dumps({"spec_hash": study.run("digits", variant, seed).spec_hash}))


if __name__ == "__main__":
    main()
