"""`--sdm conda` and `--sdm apptainer`: what is asked of Conda and Apptainer, and what reruns.

Programs in their place do what the real ones do as far as Snakemake sees, note how they are called, and run the job.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.project import ROOT, TINY, Project, job_forks
from convlab.archive.freshness import jobs_left

SMALL = {**TINY, "study": "small", "seeds": [1], "experiments": {}, "comparisons": {}}
SMALL["models"] = {"dense": TINY["models"]["dense"]}
RUN = "results/small/train/digits/dense/seed-1/model.keras"

CONDA = """#!/bin/sh
echo "conda $*" >> {calls}
case "$1 $2" in
  "info --json") echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
  "config --get") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "env create") for word; do case "$before" in --prefix) prefix=$word;; esac; before=$word; done
    mkdir -p "$prefix/bin" && ln -s {base}/bin/python "$prefix/bin/python" ;;
  "--version "*) echo "conda 25.5.1" ;;
esac
"""
ACTIVATE = 'export PATH="$1/bin:$PATH" CONDA_PREFIX="$1"\n'

PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m pip") echo "pip $*" >> {calls} ;;
  *) exec {python} "$@" ;;
esac
"""

APPTAINER = """#!/usr/bin/env bash
[ "$1" = --version ] && {{ echo "apptainer version 1.4.5"; exit; }}
echo "apptainer $* BIND=$APPTAINER_BIND" >> {calls}
while [ "$1" != exec ]; do shift; done; shift
while [[ "$1" == --* ]]; do shift 2; done
shift  # the image
exec "$@"
"""

NVIDIA_SMI = '#!/bin/sh\necho "GPU 0: NVIDIA Something (UUID: GPU-1)"\n'


class StandIns:
    """A folder of programs for the PATH, and the lines that they have noted."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.calls = folder / "calls"
        names = {"calls": self.calls, "base": folder / "base"}
        self.write("bin/conda", CONDA.format(**names))
        self.write("bin/apptainer", APPTAINER.format(**names))
        self.write("base/bin/activate", ACTIVATE)
        self.write_python(sys.executable)
        self.write("bin/nvidia-smi", "#!/bin/sh\necho 'No devices were found'; exit 6\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def write_python(self, python: str) -> None:
        """The Python of Conda's environments, which notes what pip is asked for and is ``python`` for all else."""
        self.write("base/bin/python", PYTHON.format(calls=self.calls, python=python))

    def noted(self, first_word: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(f"{first_word} ")]


@pytest.fixture
def stand_ins(tmp_path, monkeypatch) -> StandIns:
    programs = StandIns(tmp_path / "stand-ins")
    monkeypatch.setenv("PATH", f"{programs.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CONVLAB_CUDA", "")
    return programs


def planned(project: Project, method: str, target: str = RUN) -> str:
    result = project.snakemake(target, "-n", "--sdm", method)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.slow
def test_conda_gets_cuda_where_there_is_a_gpu_and_a_new_gpu_makes_nothing_run_again(project, stand_ins):
    project.configure(SMALL)
    stand_ins.write_python(job_forks().python)
    result = project.snakemake(RUN, "--sdm", "conda")
    assert result.returncode == 0, result.stdout + result.stderr
    created = stand_ins.noted("conda")
    assert sum("env create" in line for line in created) == 2  # analysis.yaml and tensorflow.yaml
    assert stand_ins.noted("pip") == []
    assert jobs_left(ROOT, project.folder / "config.yaml", [RUN], project.folder) == [], "it can be archived"

    stand_ins.write("bin/nvidia-smi", NVIDIA_SMI)
    assert "Nothing to be done" in planned(project, "conda")
    shutil.rmtree(project.folder / ".snakemake/conda")
    result = project.snakemake(RUN, "--sdm", "conda", "--conda-create-envs-only", "--forceall")
    assert result.returncode == 0, result.stdout + result.stderr
    removed, added = stand_ins.noted("pip")
    assert removed.endswith("--yes tensorflow-cpu")
    assert " tensorflow==" in added and " nvidia-cudnn-cu12==" in added
    assert "Nothing to be done" in planned(project, "conda")


BACKENDS = {
    **SMALL,
    "experiments": {"backend": {"base": "dense", "factor": "backend", "levels": ["tensorflow", "jax", "torch"]}},
}
"""A study that compares backends."""


def run_of(variant: str) -> str:
    return f"results/small/train/digits/{variant}/seed-1/model.keras"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "targets", "expected"),
    [
        (BACKENDS, [run_of("dense-backend-jax")], {"analysis", "jax"}),
        (BACKENDS, [run_of("dense-backend-torch"), run_of("dense")], {"analysis", "tensorflow", "torch"}),
        ({**SMALL, "training": {**TINY["training"], "backend": "jax"}}, [], {"analysis", "jax"}),
    ],
)
def test_conda_makes_the_environment_of_each_backend_that_is_asked_for(config, targets, expected, project, stand_ins):
    project.configure(config)
    result = project.snakemake(*targets, "--sdm", "conda", "--conda-create-envs-only")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "not installed" not in result.stdout + result.stderr, "what is installed here does not matter"
    made = {path.read_text() for path in (project.folder / ".snakemake/conda").glob("*.yaml")}
    assert made == {(ROOT / f"envs/{name}.yaml").read_text() for name in expected}


@pytest.mark.slow
def test_backends_that_the_image_of_make_image_lacks_are_refused_before_anything_runs(project, stand_ins, monkeypatch):
    project.configure(BACKENDS)
    result = project.snakemake("--sdm", "apptainer")
    assert result.returncode == 1 and not stand_ins.noted("apptainer")
    assert (
        "training.backend is jax and torch, and the image that make image writes has TensorFlow alone; name an image"
        in result.stdout + result.stderr
    )
    monkeypatch.setenv("CONVLAB_IMAGE", "docker://registry.example/jax")
    assert "will be pulled" in planned(project, "apptainer", run_of("dense-backend-jax"))


@pytest.mark.parametrize(
    ("gpu", "wanted", "expected"),
    [(False, "", 0), (True, "", 2), (False, "1", 2), (True, "0", 0), (True, "yes", None)],
)
def test_cuda_is_installed_where_there_is_a_gpu_or_where_it_is_asked_for(stand_ins, gpu, wanted, expected):
    if gpu:
        stand_ins.write("bin/nvidia-smi", NVIDIA_SMI)
    environment = {**os.environ, "CONVLAB_CUDA": wanted}
    environment["PATH"] = f"{stand_ins.folder / 'base/bin'}:{environment['PATH']}"
    script = ROOT / "envs/tensorflow.post-deploy.sh"
    result = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    if expected is None:
        assert result.returncode == 1 and "CONVLAB_CUDA is yes" in result.stderr
    else:
        assert result.returncode == 0, result.stderr
        assert len(stand_ins.noted("pip")) == expected


@pytest.mark.slow
def test_apptainer_runs_each_job_in_the_image_that_make_image_writes(project, stand_ins):
    project.configure(SMALL)
    result = project.snakemake(RUN, "--sdm", "apptainer")
    assert result.returncode == 1
    assert (
        "there is no container image containers/convlab.sif; make it with make image" in result.stdout + result.stderr
    )
    assert not stand_ins.noted("apptainer")

    (project.folder / "containers").mkdir()
    (project.folder / "containers/convlab.sif").touch()
    result = project.snakemake(RUN, "--sdm", "apptainer")
    assert result.returncode == 0, result.stdout + result.stderr
    calls = [line for line in stand_ins.noted("apptainer") if " exec " in line]
    assert len(calls) == 2 and all(" containers/convlab.sif " in line for line in calls)
    assert all(f"BIND={project.folder},{project.folder / 'cache'}" in line for line in calls)

    moved = Project(project.folder.rename(project.folder.with_name("moved")))
    assert "Nothing to be done" in planned(moved, "apptainer")


@pytest.mark.slow
def test_an_image_elsewhere_is_named_by_an_environment_variable(project, stand_ins, monkeypatch):
    project.configure(SMALL)
    monkeypatch.setenv("CONVLAB_IMAGE", "docker://registry.example/convlab:cpu")
    assert "Singularity image docker://registry.example/convlab:cpu will be pulled" in planned(project, "apptainer")


@pytest.mark.slow
def test_without_either_neither_is_asked_for_anything(project, stand_ins):
    project.configure(SMALL)
    result = project.snakemake("-n", RUN)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not stand_ins.calls.exists()
