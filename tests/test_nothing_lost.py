"""Kills, full and read-only disks, two at once, jumping clocks: results are those of an undisturbed study, or none."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from builders.project import ROOT, TINY, Project, copy_project
from convlab.common import locks

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "3"))
DEATHS = ("Snakemake", "a job", "everything")
SLIM = {**TINY, "study": "slim", "seeds": [1, 2], "experiments": {}, "training": {**TINY["training"], "epochs": 2}}
"""Four runs of two variants."""

STEADY = ["variant", "seed", "test_accuracy", "test_loss", "val_accuracy", "best_epoch", "spec_hash"]
"""Columns of runs.csv that do not depend on the machine's mood."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Project:
    """The slim study, run to its end by one Snakemake. Never change it."""
    project = copy_project(tmp_path_factory.mktemp("undisturbed") / "project")
    project.configure(SLIM)
    result = project.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def audited(folder: Path, config: dict) -> Project:
    """A project whose training leaves a line in audit.txt for each epoch, and for each run that it finishes."""
    project = copy_project(folder)
    project.configure(config)
    note = 'open("audit.txt", "a").write("{} " + __import__("os").path.relpath({}) + "\\n")\n'
    for name, before, kind, path_expression in (
        (
            "convlab/training/callbacks.py",
            "        write_history(self.path, self.rows)\n",
            "epoch",
            "self.path.parent.parent",
        ),
        ("train.py", '    log.info("%s after %d epochs', "finished", "output"),
    ):
        script = project.folder / "scripts" / name
        text = script.read_text()
        assert text.count(before) == 1
        indent = before[: len(before) - len(before.lstrip())]
        script.write_text(text.replace(before, indent + note.format(kind, path_expression) + before))
    return project


def audit(project: Project) -> list[list[str]]:
    path = project.folder / "audit.txt"
    return [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []


def begin(project: Project, *arguments: str, real: bool = False) -> psutil.Popen:
    log = (project.folder / "snakemake.log").open("a")
    command = project.command(*arguments, real=real)
    return psutil.Popen(command, cwd=project.folder, stdout=log, stderr=subprocess.STDOUT)


def jobs(project: Project) -> list[psutil.Process]:
    """Processes of scripts that run in this project, also those whose Snakemake was killed."""
    names = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.folder.resolve()) and "scripts/" in " ".join(process.cmdline()):
                names.append(process)
        except psutil.Error:
            continue
    return names


def steady_runs(project: Project, study: str = "slim") -> pd.DataFrame:
    return pd.read_csv(project.folder / f"results/{study}/compare/runs.csv")[STEADY]


def assert_equal_tables(project: Project, other: Project, study: str = "slim", other_study: str = "slim") -> None:
    folders = (project.folder / f"results/{study}/compare", other.folder / f"results/{other_study}/compare")
    pd.testing.assert_frame_equal(steady_runs(project, study), steady_runs(other, other_study), check_exact=True)
    for name in ("comparisons.csv", "per_class.csv", "trends.csv"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


@pytest.mark.kills
def test_kills_at_random_moments_lose_nothing(request, tmp_path):
    """Of Snakemake, of any job, of all at once: the same command again ends with an undisturbed study's tables.

    Three kills are of forks, which take a third of the time; `make test-kills` starts all processes as users do.
    """
    real, longest = KILLS > 3, 6  # seconds between two kills
    if real:
        config = yaml.safe_load((ROOT / "studies/demo.yaml").read_text())
        calm = copy_project(tmp_path / "undisturbed")
        calm.configure(config)
        assert calm.snakemake().returncode == 0
    else:
        config, calm = SLIM, request.getfixturevalue("undisturbed")
    study = config["study"]
    seed = int(os.environ.get("KILLS_SEED", time.time_ns() % 10**6))
    print(f"KILLS_SEED={seed}")  # pytest shows it where anything below fails
    dice = random.Random(seed)
    victims, rounds = Counter(), 0
    deaths = [DEATHS[number % len(DEATHS)] for number in range(KILLS)]
    dice.shuffle(deaths)
    while deaths:
        rounds += 1
        project = audited(tmp_path / f"round-{rounds}", config)
        process = begin(project, real=real)
        try:
            while (status := process.poll()) != 0:
                if status is not None:
                    process = begin(project, real=real)
                time.sleep(dice.uniform(0.5, longest))
                running = jobs(project)
                if deaths and process.poll() is None and (running or deaths[-1] == "Snakemake"):
                    death = deaths.pop()
                    if death != "a job":
                        process.kill()
                        process.wait()
                    if death != "Snakemake":
                        for victim in running if death == "everything" else [dice.choice(running)]:
                            with suppress(psutil.NoSuchProcess):
                                victim.kill()
                    victims[death] += 1
        finally:
            for left in [process, *jobs(project)]:
                if left.is_running():
                    left.kill()
        done = set()
        for kind, run in audit(project):
            assert kind != "epoch" or run not in done, f"{run} was trained again"
            if kind == "finished":
                done.add(run)
        assert_equal_tables(project, calm, study, study)
        assert not list(project.folder.rglob("unfinished-*")), "what unfinished runs left is gone"
        assert project.planned() == set()
    print(f"{KILLS} kills in {rounds} studies: {dict(victims)}")


def test_jobs_that_outlive_their_snakemake_are_not_done_again(undisturbed, tmp_path):
    """kill -9 of Snakemake leaves its jobs running; the next one waits for them instead of writing between them."""
    project = audited(tmp_path / "project", {**SLIM, "seeds": [1]})
    process = begin(project, "compare")
    while not [job for job in jobs(project) if "train.py" in " ".join(job.cmdline())]:
        assert process.poll() is None
        time.sleep(0.05)
    lock = project.folder / ".snakemake/convlab/slim.lock"
    with locks.locked_if_free(lock) as ours:
        assert not ours, "the study is claimed"
    process.kill()
    process.wait()
    orphans = jobs(project)
    assert orphans
    with locks.locked_if_free(lock) as ours:
        assert ours, "no job holds on to the claim"
    command = project.command("compare", real=False)
    result = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert Counter(kind for kind, _ in audit(project)) == {"epoch": 4, "finished": 2}
    both = steady_runs(undisturbed)
    pd.testing.assert_frame_equal(
        steady_runs(project), both[both["seed"] == 1].reset_index(drop=True), check_exact=True
    )


HOLDER = """
import sys
from pathlib import Path
from convlab.common.locks import claim
claim(Path(".snakemake/convlab/slim.lock"), "it")
print("claimed", flush=True)
sys.stdin.read()
"""


def test_a_second_snakemake_of_a_study_is_told_about_the_first_however_it_is_started(project):
    """What `onstart` claims is held by another process; its end, however it ends, is the end of its claim."""
    project.configure(SLIM)
    (project.folder / ".snakemake/convlab").mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(project.folder / "scripts")}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=project.folder, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "claimed\n"
    assert project.snakemake("--unlock").returncode == 0, "which removes no lock of ours"
    for profile in (str(project.folder / "profiles/log"), "none"):
        second = project.snakemake("--until", "prepare", "--nolock", "--workflow-profile", profile)
        output = " ".join((second.stdout + second.stderr).split())
        assert second.returncode != 0
        assert f"another Snakemake (process {holder.pid}, since" in output and "is at work on the study slim" in output
        assert "Traceback" not in output and "--unlock" not in output
    assert not (project.folder / "results").exists()
    assert project.planned(), "a dry run beside it is no harm"
    holder.kill()
    holder.communicate()
    result = project.snakemake("--until", "prepare")
    assert result.returncode == 0, result.stdout + result.stderr


def test_two_studies_at_the_same_time_share_their_runs(undisturbed, tmp_path):
    project = audited(tmp_path / "project", SLIM)
    (project.folder / "other.yaml").write_text(yaml.safe_dump({**SLIM, "study": "other"}, sort_keys=False))
    both = [begin(project, "compare"), begin(project, "compare", "--configfile", "other.yaml")]
    assert [process.wait() for process in both] == [0, 0], (project.folder / "snakemake.log").read_text()
    assert Counter(kind for kind, _ in audit(project))["finished"] == 4, "each run was trained for one of them only"
    assert_equal_tables(project, undisturbed)
    assert_equal_tables(project, undisturbed, "other")
    assert project.planned("compare") == set() and project.planned("compare", "--configfile", "other.yaml") == set()


def test_a_run_that_another_study_has_finished_is_not_trained_again_unless_asked(undisturbed, tmp_path):
    finished = undisturbed.copy(tmp_path / "project")
    finished.configure({**SLIM, "study": "later"})
    target = "results/later/train/digits/cnn/seed-1/run.json"
    result = finished.snakemake(target)
    assert result.returncode == 0, result.stdout + result.stderr
    log = finished.folder / "results/later/logs/train/digits/cnn/seed-1.log"
    assert "finished before" in log.read_text()
    for options in (["--forcerun", target], ["--nolock", "--forcerun", target]):
        log.unlink()
        assert finished.snakemake(target, *options).returncode == 0
        assert "epoch 2/2" in log.read_text(), options
    finished.configure(SLIM)
    assert finished.planned() == set(), "the first study has not noticed"


def mounted(options: str, project: Project, script: str) -> subprocess.CompletedProcess:
    """Run a shell script in the project with a small file system of its own over results/."""
    setup = f"mount -t tmpfs -o {options} tmpfs results && {script}"
    where = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    (project.folder / "results").mkdir(exist_ok=True)
    probe = subprocess.run(
        [*where, "sh", "-c", "mount -t tmpfs tmpfs results"], cwd=project.folder, capture_output=True
    )
    if probe.returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace of his own")
    return subprocess.run([*where, "sh", "-c", setup], cwd=project.folder, capture_output=True, text=True)


def test_a_full_disk_is_named_and_what_is_there_stays_whole(undisturbed, project):
    project.configure(SLIM)
    keep = "cp -a results ../kept"
    result = mounted("size=400k", project, f"{' '.join(project.command())}; status=$?; {keep}; exit $status")
    output = " ".join((result.stdout + result.stderr).split())  # Snakemake wraps the lines of a log that it shows
    assert result.returncode == 1
    assert re.search(r"error: cannot write.*No space left on device", output), output
    assert "Traceback" not in output
    shutil.rmtree(project.folder / "results")
    shutil.move(project.folder.parent / "kept", project.folder / "results")
    result = project.snakemake("--rerun-incomplete")
    assert result.returncode == 0, result.stdout + result.stderr
    assert_equal_tables(project, undisturbed)


@pytest.mark.parametrize("kilobytes", [24, 100, 140])
def test_a_disk_that_is_full_while_training_ends_the_run_with_one_sentence(undisturbed, project, kilobytes):
    """HDF5, in which Keras writes weights, crashes the process where it finds out by itself."""
    run = json.loads((undisturbed.folder / "results/slim/train/digits/cnn/seed-1/run.json").read_text())
    spec, data = shlex.quote(json.dumps(run["spec"])), undisturbed.folder / "results/slim/prepare/digits"
    train = f"{sys.executable} scripts/train.py --spec {spec} --data-dir {data} --output-dir results/run --threads 1"
    result = mounted(f"size={kilobytes}k", project, train)
    assert result.returncode == 1, result.stderr
    assert re.search(r"^error: cannot write.*No space left on device", result.stderr, re.MULTILINE), result.stderr
    assert "Traceback" not in result.stderr


def test_a_read_only_results_folder_is_told_in_one_sentence(project):
    project.configure(SLIM)
    if os.geteuid() != 0:
        (project.folder / "results").mkdir(mode=0o555)
        result = project.snakemake()
    else:
        result = mounted("ro", project, " ".join(project.command()))
    output = " ".join((result.stdout + result.stderr).split())
    assert result.returncode != 0
    assert re.search(r"results cannot be written; make it writable, or run in another folder", output), output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Project:
    """The audited slim study, stopped by Ctrl-C when two of its runs were finished. Never change it."""
    project = audited(tmp_path_factory.mktemp("stopped") / "project", SLIM)
    process = begin(project)
    while len([1 for kind, _ in audit(project) if kind == "finished"]) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait()
    return project


@pytest.mark.parametrize("days", [-2, 2], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_in_the_middle_changes_no_number(undisturbed, stopped, tmp_path, days):
    """Files that were written before a jump look as if they were from another day."""
    project = stopped.copy(tmp_path / "project")
    for path in (project.folder / "results").rglob("*"):
        moment = path.stat().st_mtime + days * 86400
        os.utime(path, (moment, moment))
    trained = audit(project)
    result = project.snakemake("--rerun-incomplete")
    assert result.returncode == 0, result.stdout + result.stderr
    finished = {run for kind, run in trained if kind == "finished"}
    assert not finished & {run for kind, run in audit(project)[len(trained) :] if kind == "epoch"}
    assert_equal_tables(project, undisturbed)
    assert project.planned() == set()
