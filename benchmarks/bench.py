"""Benchmarks: the suite against a notebook-like script on this machine, and the dry run of a finished 1,000-run study.

`make bench` runs all. Wall times are of whole processes, in turn, and nothing else should run meanwhile; compare the
ratios, since absolute times drift with the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from convlab import provenance
from convlab.config import load_study, read_yaml
from convlab.files import write_json, write_text

NAMES = {"dense": "dense", "cnn": "cnn 3x3", "cnn-kernel_size-5x5-3x3": "cnn 5x5", "cnn-kernel_size-7x7-3x3": "cnn 7x7"}
"""Our variants of the default study, by the notebook's names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["speed", "noop"], help="run one benchmark instead of all")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores that Snakemake may use")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    machine = provenance.hardware()
    print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}")
    figures = {"machine": machine, "versions": provenance.versions()}
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.only != "noop":
            figures["speed"] = speed(Path(temporary) / "speed", arguments.cores)
        if arguments.only != "speed":
            figures["noop"] = noop(Path(temporary) / "noop")
    if arguments.output:
        write_json(arguments.output, figures)


def speed(folder: Path, cores: int) -> dict:
    """Notebook, then the workflow in float32, then with mixed_bfloat16 where the processor computes in it."""
    data = folder / "data"
    spec = json.dumps({"kind": "fashion_mnist", "path": None, "train_images": None, "test_images": None})
    prepare = [sys.executable, ROOT / "scripts/prepare.py", "--dataset", "fashion_mnist", "--spec", spec]
    subprocess.run([*prepare, "--output-dir", data], check=True, capture_output=True)  # fills the cache for all

    print("\n(a) notebook: one process, Keras fit on float32 arrays ...", flush=True)
    output = folder / "notebook.json"
    wall = timed([sys.executable, ROOT / "benchmarks/notebook.py", data / "data.npz", output], folder)
    runs = pd.DataFrame(json.loads(output.read_text()))
    notebook = {"wall": wall, "images_per_second": runs["images"].sum() / wall, "accuracy": mean_by(runs, "accuracy")}
    show("notebook", notebook)

    found = {"notebook": notebook}
    precisions = ["float32", *(["mixed_bfloat16"] if has_bfloat16() else [])]
    for letter, precision in zip("bc", precisions, strict=False):
        print(f"\n({letter}) workflow, {precision}, all stages from prepare to report ...", flush=True)
        found[precision] = workflow(folder / precision, precision, cores)
        found[precision]["ratio"] = notebook["wall"] / found[precision]["wall"]
        show(precision, found[precision])
    if len(precisions) == 1:
        print("\nmixed_bfloat16 left out: this processor has no bfloat16 arithmetic")
    return found


def workflow(folder: Path, precision: str, cores: int) -> dict:
    """The default study from nothing to its report in an empty folder."""
    config = read_yaml(ROOT / "config.yaml")
    config["training"]["precision"] = precision
    config.pop("probes", None)  # the notebook has none
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    profile = ["--workflow-profile", ROOT / "profiles/default", "--configfile", folder / "config.yaml"]
    wall = timed([*snakemake, *profile, "--cores", str(cores)], folder)
    runs = pd.read_csv(folder / "results" / config["study"] / "compare/runs.csv")
    runs["variant"] = runs["variant"].map(NAMES)
    return {
        "wall": wall,
        "images_per_second": (runs["train_images"] * runs["epochs_run"]).sum() / wall,
        "accuracy": mean_by(runs, "test_accuracy"),
        "not_training": 1 - runs["train_seconds"].sum() / cores / wall,
        "peak_memory_mb": runs["peak_memory_mb"].max(),
    }


def noop(folder: Path) -> dict:
    """Time `snakemake -n` where a study of 1,000 runs is finished: 200 variants, five seeds."""
    rates = [round(0.0005 + 0.00001 * step, 6) for step in range(199)]
    config = {
        "study": "thousand",
        "datasets": {"digits": {}},
        "seeds": 5,
        "models": {
            "dense": {"family": "dense", "units": [8]},
            "cnn": {"family": "conv", "filters": [4], "kernel_size": 3},
        },
        "experiments": {"rate": {"base": "cnn", "factor": "learning_rate", "levels": [0.1, *rates[:-1]]}},
    }
    study = load_study(config)
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", "none", "--configfile", folder / "config.yaml", "--cores", "1", "--quiet", "all"]
    finished(folder, study)
    subprocess.run(
        [*command, "--touch", "--forceall", "--cores", "16"],  # records the jobs without running them
        check=True,
        capture_output=True,
    )
    count = len(study.plan.variants) * len(study.seeds)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        result = subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
        if "Nothing to be done" not in result.stdout or "missing metadata" in result.stdout:
            sys.exit(f"the study is not finished for Snakemake:\n{result.stdout}")
    found = {"runs": count, "seconds": sorted(seconds)[1]}
    print(f"\nno-op dry run of a study of {count:,} runs: {found['seconds']:.1f} s (median of 3)")
    return found


def finished(folder: Path, study) -> None:
    """Files that stand for the results of every job; only what Snakemake looks at needs to be real."""
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
            place = folder / f"results/thousand/train/digits/{variant}/seed-{seed}/run.json"
            place.write_text(json.dumps({"spec_hash": study.run("digits", variant, seed).spec_hash}))


def timed(command: list, folder: Path) -> float:
    """Wall seconds of a command; its output goes to a log, whose end is shown if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    begin = time.perf_counter()
    with log.open("w") as stream:
        status = subprocess.run([str(part) for part in command], stdout=stream, stderr=subprocess.STDOUT).returncode
    seconds = time.perf_counter() - begin
    if status:
        sys.exit(f"{command[1]} failed:\n{log.read_text()[-3000:]}")
    return seconds


def mean_by(runs: pd.DataFrame, column: str) -> dict[str, str]:
    """Mean ± SD of a measure by variant, in %."""
    groups = 100 * runs.groupby("variant")[column].agg(["mean", "std"])
    return {name: f"{row['mean']:.2f} ± {row['std']:.2f}" for name, row in groups.iterrows()}


def has_bfloat16() -> bool:
    """Whether this processor has bfloat16 arithmetic; without it mixed_bfloat16 is many times slower, not faster."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def show(name: str, found: dict) -> None:
    print(f"{name}: wall {found['wall']:.0f} s, {found['images_per_second']:,.0f} images/s over all of it")
    print("  test accuracy, %: " + "; ".join(f"{variant} {value}" for variant, value in found["accuracy"].items()))
    if "ratio" in found:
        print(
            f"  {found['ratio']:.2f} times as fast as the notebook; {100 * found['not_training']:.1f} % of the wall "
            f"time is not training; a training process takes at most {found['peak_memory_mb']:,.0f} MB"
        )


if __name__ == "__main__":
    main()
