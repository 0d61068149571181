"""Benchmarks of scale: dry runs up to 10,000 runs beside a bare Snakefile's, runs side by side, overhead of each job by
executor.

`python benchmarks/scaling.py` does all; the figures are in docs/scaling.md. Nothing else should run meanwhile. The
executors need requirements/cluster.txt, and SLURM the packages that `tests/slurm_cluster.sh install` installs; what is
not there is left out and said so.
"""

import argparse
import csv
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from processes import ROOT, timed, usage

from convlab.common import provenance
from convlab.common.files import write_json, write_text

SIZES = (1_000, 3_000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["dryrun", "concurrency", "executors"], help="one benchmark instead of all")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of runs to plan")
    parser.add_argument("--concurrent", type=int, nargs="+", default=[1, 2, 3], help="runs side by side to try")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    machine = provenance.hardware()
    print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}")
    figures = {"machine": machine, "versions": provenance.versions()}
    with tempfile.TemporaryDirectory(prefix="scaling-") as temporary:
        folder = Path(temporary)
        if arguments.only in (None, "dryrun"):
            figures["dryrun"] = [dry_run(folder / f"dryrun-{runs}", runs) for runs in arguments.sizes]
        if arguments.only in (None, "concurrency"):
            figures["concurrency"] = concurrency(folder, arguments.concurrent)
        if arguments.only in (None, "executors"):
            figures["executors"] = executors(folder)
    if arguments.output:
        write_json(arguments.output, figures)


def snakemake(folder: Path, config: dict, *arguments: str, profile: str = "none") -> list:
    """Command that runs a study in ``folder``."""
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", profile if profile == "none" else ROOT / "profiles" / profile]
    return [*command, "--configfile", folder / "config.yaml", *arguments]


def many(runs: int) -> dict:
    """A study of so many runs, five seeds each."""
    rates = [round(0.0005 + 1e-7 * step, 9) for step in range(runs // 5)]
    return {
        "study": "many",
        "datasets": {"digits": {}},
        "seeds": 5,
        "training": {"learning_rate": rates[0]},
        "models": {"cnn": {"family": "conv", "filters": [4], "kernel_size": 3}},
        "experiments": {"rate": {"base": "cnn", "factor": "learning_rate", "levels": rates}},
    }


def bare(folder: Path, config: dict) -> list:
    """Command that plans as many jobs and files as a study of `many` runs without convlab."""
    levels = config["experiments"]["rate"]["levels"]
    write_text(folder / "bare.yaml", yaml.safe_dump({"rates": levels}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "benchmarks/bare.smk", "--directory", folder]
    return [*command, "--workflow-profile", ROOT / "profiles/default", "--configfile", folder / "bare.yaml"]


def dry_run(folder: Path, runs: int, rounds: int = 3) -> dict:
    """Time and memory of planning so many runs before anything has run, beside a bare Snakefile's, and of `make plan`.

    `--quiet` without a value is what Snakemake's help advises for large workflows: it prints the statistics of the jobs
    and formats none of them.

    Returns:
        Medians over the rounds, and the ratios of ours to bare in seconds of the processor, in ascending order.
    """
    folder.mkdir()
    config = many(runs)
    commands = {"ours": snakemake(folder, config, profile="default"), "bare": bare(folder, config)}
    for command in commands.values():
        command += ["--dry-run", "--quiet", "--cores", "16"]
    rounds_used = [{name: usage(command, folder) for name, command in commands.items()} for _ in range(rounds)]
    medians = {
        name: {
            measure: statistics.median(getattr(used[name], measure) for used in rounds_used)
            for measure in ("wall", "cpu_seconds", "memory_mb")
        }
        for name in commands
    }
    ratios = sorted(used["ours"].cpu_seconds / used["bare"].cpu_seconds for used in rounds_used)
    plan = [sys.executable, ROOT / "scripts/plan.py", folder / "config.yaml", "--brief"]
    plan_seconds = statistics.median(timed(plan, folder) for _ in range(rounds))
    print(f"dry run of {runs:,} runs:")
    for name, row in medians.items():
        print(f"  {name}: {row['wall']:.1f} s, {row['cpu_seconds']:.1f} s of the processor, {row['memory_mb']:,.0f} MB")
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"  ours to bare: {shown}; make plan: {plan_seconds:.1f} s", flush=True)
    return {"runs": runs, "medians": medians, "ratios_to_bare": ratios, "plan_seconds": plan_seconds}


def trainings(folder: Path, study: str) -> list[dict[str, float]]:
    """Wall time (s) and memory (MB) of each training, from Snakemake's benchmark files."""
    rows = []
    for path in (folder / f"results/{study}/benchmarks/train").rglob("*.tsv"):
        with path.open(newline="") as stream:
            row = next(csv.DictReader(stream, delimiter="\t"))
        rows.append({"seconds": float(row["s"]), "memory_mb": float(row["max_rss"])})
    return rows


def concurrency(folder: Path, numbers: list[int]) -> list[dict]:
    """Trainings of the default study's 3×3 CNN on 10,000 images of Fashion-MNIST, so many processes at once."""
    config = {
        "study": "side",
        "datasets": {"fashion_mnist": {"train_images": 11_112, "test_images": 1_000}},
        "seeds": 6,
        "training": {"epochs": 4},
        "models": {
            "cnn": {"family": "conv", "filters": [32, 64], "kernel_size": [3, 3], "dense_units": [64], "dropout": 0.2}
        },
    }
    figures = []
    for number in numbers:
        side_folder = folder / f"side-{number}"
        timed(snakemake(side_folder, config, "--until", "prepare", "--cores", "1"), side_folder)
        wall = timed(snakemake(side_folder, config, "--until", "train", "--cores", str(number)), side_folder)
        runs = [json.loads(path.read_text()) for path in (side_folder / "results/side/train").rglob("run.json")]
        row = {
            "side_by_side": number,
            "wall": wall,
            "runs_per_hour": 3600 * len(runs) / wall,
            "images_per_second": sum(run["images_per_epoch"] * run["epochs_run"] for run in runs) / wall,
            "images_per_second_while_training": number * statistics.mean(run["images_per_second"] for run in runs),
            "memory_mb_each": max(run["peak_memory_mb"] for run in runs),
        }
        figures.append(row)
        print(
            f"{number} side by side: {row['runs_per_hour']:,.0f} runs an hour, {row['images_per_second']:,.0f} "
            f"images/s over all, {row['images_per_second_while_training']:,.0f} while training, "
            f"{row['memory_mb_each']:,.0f} MB each",
            flush=True,
        )
    return figures


def small(runs: int) -> dict:
    """A study of runs that are as short as possible."""
    return {
        "study": "small",
        "datasets": {"digits": {"train_images": 200, "test_images": 50}},
        "seeds": runs,
        "training": {"epochs": 1},
        "models": {"dense": {"family": "dense", "units": [4]}},
    }


def executors(folder: Path, runs: int = 16) -> list[dict]:
    """Wall time of 16 small trainings, two at once, by executor; overhead is what is not the script itself."""
    ways: dict[str, tuple[str, list[str]]] = {"local": ("none", ["--cores", "2"])}
    slurm = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
    Path(slurm).chmod(0o755)  # munged wants to see its socket's folder open to all
    environment = start_slurm(Path(slurm))
    if environment:
        here = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
        here += ["--latency-wait", "5", "--jobs", "100"]
        ways["slurm, a job for each"] = ("slurm", here)
        ways["slurm, array"] = ("slurm", [*here, "--slurm-array-jobs", "train"])
        ways["slurm, groups of two"] = ("slurm", [*here, "--groups", "train=small", "--group-components", "small=2"])
    else:
        print("SLURM left out: tests/slurm_cluster.sh install, and requirements/cluster.txt")
    figures = []
    try:
        for number, (name, (profile, options)) in enumerate(ways.items()):
            executor_folder = folder / f"executor-{number}"
            timed(snakemake(executor_folder, small(runs), "--until", "prepare", "--cores", "1"), executor_folder)
            command = snakemake(executor_folder, small(runs), "--until", "train", *options, profile=profile)
            wall = timed(command, executor_folder, environment or None)
            inside = statistics.mean(job["seconds"] for job in trainings(executor_folder, "small"))
            row = {"executor": name, "wall": wall, "script": inside, "overhead": 2 * wall / runs - inside}
            figures.append(row)
            print(
                f"{name}: {wall:.0f} s for {runs} jobs, two at once; a script takes {inside:.1f} s, overhead of a job "
                f"{row['overhead']:.1f} s",
                flush=True,
            )
    finally:
        if environment:
            subprocess.run([ROOT / "tests/slurm_cluster.sh", "stop", slurm], check=False)
        shutil.rmtree(slurm, ignore_errors=True)
    return figures


def start_slurm(folder: Path) -> dict[str, str]:
    """The environment of a one-node SLURM with two cores, started for this; nothing where it is not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    programs = all(shutil.which(name, path=path) for name in ("munged", "slurmctld", "slurmd"))
    if not programs or importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return {}
    command = [ROOT / "tests/slurm_cluster.sh", "start", folder, "2", "2"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    values = dict(re.findall(r"(SLURM_CONF|PATH)='([^']*)'", output))
    return {**os.environ, "SLURM_CONF": values["SLURM_CONF"], "PATH": f"{values['PATH']}:{path}"}


if __name__ == "__main__":
    main()
