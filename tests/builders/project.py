"""A copy of the project to run Snakemake in, and a study that trains in seconds."""

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from builders.fork_server import ForkServer
from builders.job_forks import JobForks

ROOT = Path(__file__).resolve().parent.parent.parent

PROJECT_FILES = ("Snakefile", "workflow", "scripts", "profiles", "envs", "report", "config.yaml")

TINY = {
    "study": "tiny",
    "question": "Is the machinery exact?",
    "datasets": {"digits": {"train_images": 300, "test_images": 100}},
    "seeds": [1, 2, 3],
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "models": {
        "dense": {"family": "dense", "units": [8]},
        "cnn": {"family": "conv", "filters": [4], "kernel_size": 3, "dense_units": []},
    },
    "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5]}},
    "comparisons": {"convolution": {"variant": "cnn", "reference": "dense"}},
}
"""A study that trains in seconds; nine runs of three variants."""


@cache
def fork_server() -> ForkServer:
    return ForkServer()


@cache
def job_forks() -> JobForks:
    return JobForks()


@contextmanager
def threads_as_they_are() -> Iterator[None]:
    """Scripts that a test calls in its own process leave TensorFlow's threads, which can be set once."""
    from convlab.runtime import keras_runtime

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_runtime, "use_threads", lambda count: None)
        yield


SNAKEMAKE_WITH_PYTHON = """
import sys
sys.executable = sys.argv.pop(1)
sys.path[0] = ""
from snakemake.cli import main
main(sys.argv[1:])
"""
"""Snakemake, which has its jobs started by the Python that its first argument names."""


@dataclass(frozen=True)
class Project:
    """A copy of the project in its own folder."""

    folder: Path

    def copy(self, folder: Path) -> "Project":
        """A copy with its results and Snakemake's records, to change at will."""
        return Project(Path(shutil.copytree(self.folder, folder, symlinks=True)))

    def configure(self, config: dict) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def snakemake(
        self, *arguments: str, env: dict[str, str] | None = None, cache: str = ""
    ) -> subprocess.CompletedProcess:
        """Run Snakemake here; plain logging, since its text is read.

        It and its jobs are forks of processes that have imported what they import, unless there is an ``env``, be it
        empty: then each of them is started as users start it. ``cache``: of datasets, if not one of its own.
        """
        arguments = ["--cores", "2", "--workflow-profile", "none", *arguments]
        environment = {**os.environ, "CONVLAB_CACHE": cache or str(self.folder / "cache")} | (env or {})
        if env is None:
            python = sys.executable if "-n" in arguments else job_forks().python
            return fork_server().snakemake(arguments, self.folder, environment, python)
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def command(self, *arguments: str, real: bool = True) -> list[str]:
        """A command that starts Snakemake with the default profile; its jobs are started really, or are forks."""
        start = ["-m", "snakemake"] if real else ["-c", SNAKEMAKE_WITH_PYTHON, job_forks().python]
        profile = str(self.folder / "profiles/default")
        return [sys.executable, *start, "--cores", "2", "--workflow-profile", profile, *arguments]

    def planned(self, *arguments: str) -> set[str]:
        """Messages of the jobs that a dry run names, `all` left out: what would be done."""
        result = self.snakemake("-n", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return set(re.findall(r"^Job \d+: (.*)$", result.stdout + result.stderr, re.MULTILINE))


def copy_project(folder: Path) -> Project:
    """The project's files without results, with the bytecode that is there, which its jobs would compile again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROJECT_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy2(source, folder / name)
    return Project(folder)


TINY_SEEDS = tuple(TINY["seeds"])
CNN_5X5 = "cnn-kernel_size-5x5"
"""The variant with the larger kernel, of the tiny study and of the made-up one."""

LAST_JOBS = {"Compare all runs", "Write the report"}


def jobs_of_runs(*variants: str, seeds=TINY_SEEDS) -> set[str]:
    """Messages of the jobs that train these runs and evaluate their variants."""
    trainings = {f"Train {variant} on digits, seed {seed}" for variant in variants for seed in seeds}
    return trainings | {f"Evaluate {variant} on digits" for variant in variants}


def tiny_with(**changes) -> dict:
    """The tiny study's config with these keys instead; a copy."""
    return copy.deepcopy(TINY) | changes


def append_to(project: Project, path: str, text: str = "\n# An edit.\n") -> None:
    file = project.folder / path
    file.write_text(file.read_text() + text)
