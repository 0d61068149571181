"""The workflow at work where it was not cloned to: as a module, from another folder, read-only, with odd names.

Real jobs, as few and as small as can be: what could break is a name on its way through a shell.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from builders.project import Project, copy_project

pytestmark = pytest.mark.slow

SMALL = {
    "study": "small",
    "question": "Does it run here?",
    "datasets": {"digits": {"train_images": 120, "test_images": 40}},
    "seeds": [1],
    "training": {"epochs": 1, "batch_size": 32},
    "models": {"dense": {"family": "dense", "units": [4]}},
}
PREFIX = "unter 'm' é \"q\" $HOME"
RUN = "results/small/train/digits/dense/seed-1"

MODULE = """
module convlab:
    snakefile: {snakefile!r}
    config: {config!r}
    prefix: {prefix!r}

use rule * from convlab as convlab_*

onstart:
    convlab.onstart()

rule everything:
    default_target: True
    input: rules.convlab_all.input
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone in a folder whose name no shell takes as it is."""
    folder = copy_project(tmp_path_factory.mktemp("elsewhere") / "the 'clone' é #1").folder
    (folder / "config.yaml").unlink()
    return folder


def read_only(folder: Path, *command: str, **options) -> subprocess.CompletedProcess:
    """Run a command to which a folder is read-only: mounted so, since permissions do not stop root."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && if touch "$0/x"; then exit 99; fi && exec "$@"'
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*namespace, "sh", "-c", script, folder, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace of his own")
    return subprocess.run([*namespace, "sh", "-c", script, folder, *command], capture_output=True, text=True, **options)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_as_a_module_with_a_prefix_and_a_config_of_its_own_from_a_read_only_clone(checkout, tmp_path):
    outer = Project(tmp_path / "outer ñ 'x' \"y\"")
    outer.folder.mkdir()
    snakefile = str(checkout / "workflow/Snakefile")
    (outer.folder / "Snakefile").write_text(MODULE.format(snakefile=snakefile, config=SMALL, prefix=PREFIX))
    before = files(checkout)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--workflow-profile", "none"]
    result = read_only(checkout, *command, cwd=outer.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    results = outer.folder / PREFIX / "results/small"
    assert "Does it run here?" in (results / "report/index.html").read_text()
    assert {path.name for path in outer.folder.iterdir()} == {"Snakefile", ".snakemake", PREFIX}
    stamps = {path.relative_to(results).as_posix() for path in results.rglob("*made_from")}
    stages = ("prepare/digits", "explore/digits", "evaluate/digits/dense", "compare", "report")
    assert stamps == {f"{stage}/.made_from" for stage in stages}
    assert files(checkout) == before, "nothing is written into the clone"
    assert outer.planned() == set()
    assert (outer.folder / ".snakemake/convlab/small.lock").is_file(), "the study was claimed by the outer `onstart`"
    result = outer.snakemake(f"{PREFIX}/{RUN}/run.json", "--forcerun", "convlab_train", env={})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "epoch 1/1" in (results / "logs/train/digits/dense/seed-1.log").read_text(), (
        "forced, so not taken from the kept"
    )


def test_with_s_and_directory_from_elsewhere(checkout, tmp_path):
    work = tmp_path / "wörk `x` ; \\ * [1]"
    work.mkdir()
    (work / "my study.yaml").write_text(yaml.safe_dump(SMALL))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "-s", checkout / "Snakefile", "--directory", work]
    arguments = ["--configfile", work / "my study.yaml", "--until", "train"]
    result = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (work / RUN / "run.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {work.name}, "nothing is written where it was started"
    assert not (work / ".snakemake/locks").exists() or not list((work / ".snakemake/locks").iterdir())
    shutil.rmtree(work)
