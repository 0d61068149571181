"""What tests share: a copy of the project to change, and a finished tiny study in it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from convlab.common import i18n

ROOT = Path(__file__).resolve().parent.parent

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


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own."""

    folder: Path

    def configure(self, config: dict) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def snakemake(self, *arguments: str, cores: int = 2, **options) -> subprocess.CompletedProcess:
        """Run Snakemake here; plain logging, since its text is read."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--workflow-profile", "none", *arguments]
        environment = {**os.environ, "CONVLAB_CACHE": str(self.folder / "cache")} | options.pop("env", {})
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment, **options)

    def planned(self, *arguments: str) -> set[str]:
        """Messages of the jobs that a dry run names, `all` left out: what would be done."""
        result = self.snakemake("-n", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return set(re.findall(r"^Job \d+: (.*)$", result.stdout + result.stderr, re.MULTILINE))


def copy_project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in PROJECT_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    return Project(folder)


@pytest.fixture(autouse=True)
def own_environment():
    """A script that a test calls may set environment variables, such as Keras' backend; they end with the test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def english():
    """A script that a test calls may choose a language; the next test begins in English."""
    yield
    i18n.use(i18n.SOURCE)


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy of the project, without results."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> Project:
    """A copy of the project in which the tiny study has been run to its report. Never change it: copy it."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.configure(TINY)
    result = project.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def finished(finished_study, tmp_path) -> Project:
    """A copy of the finished tiny study, Snakemake's records included, to change at will."""
    shutil.copytree(finished_study.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
