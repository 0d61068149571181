"""profiles/slurm on a real SLURM of one node, with fake GPUs: `make test-slurm` installs what these need."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from builders.project import ROOT, TINY, Project, copy_project

SCRIPT = ROOT / "tests/slurm_cluster.sh"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
    MISSING.append("requirements/cluster.txt")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(MISSING), reason="SLURM is not installed; make test-slurm installs it and runs these tests"
    ),
]

SMALL = {**TINY, "seeds": [1, 2], "experiments": {}, "comparisons": {}, "models": {"dense": TINY["models"]["dense"]}}
"""Two runs: each job of SLURM costs some seconds of Snakemake's start beside its own."""

ONLY_TRAIN = ["--until", "train"]

# This cluster has no accounting database, answers at once and has one file system.
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]


@dataclass(frozen=True)
class Cluster:
    folder: Path
    environment: dict[str, str]

    def start(self) -> None:
        subprocess.run([SCRIPT, "start", self.folder, "2", "4"], check=True, stdout=subprocess.DEVNULL)

    def stop_controller(self) -> None:
        pid = int((self.folder / "slurmctld.pid").read_text())
        os.kill(pid, signal.SIGTERM)  # it saves its state, as when it is restarted
        while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            time.sleep(0.1)

    def query(self, *arguments: str) -> str:
        return subprocess.run(arguments, env=self.environment, check=True, capture_output=True, text=True).stdout

    def jobs(self, rule: str) -> list[dict[str, str]]:
        """Jobs of a rule that SLURM remembers, in order: their fields as ``scontrol show job`` names them."""
        records = self.query("scontrol", "-o", "show", "job").splitlines()
        fields = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in records]
        return [job for job in fields if job.get("Comment", "").startswith(f"rule_{rule}")]


@pytest.fixture(scope="session")
def installed():
    """The cluster, for all tests of a session; its sockets want a short path."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)  # munged wants to see its socket's folder open to all
    try:
        text = subprocess.run([SCRIPT, "start", folder, "2", "4"], check=True, stdout=subprocess.PIPE, text=True).stdout
        values = dict(re.findall(r"(SLURM_CONF|PATH)='([^']*)'", text))
        path = os.pathsep.join([values["PATH"], os.environ["PATH"], "/usr/sbin", "/sbin"])
        yield Cluster(folder, {**os.environ, "SLURM_CONF": values["SLURM_CONF"], "PATH": path})
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(installed):
    installed.start()
    yield installed
    subprocess.run(["scancel", "--user", str(os.getuid())], env=installed.environment, check=False)


def begin(project: Project, cluster: Cluster, *arguments: str) -> subprocess.Popen:
    profile = ["--workflow-profile", str(project.folder / "profiles/slurm")]
    command = [sys.executable, "-m", "snakemake", *profile, *HERE, *arguments]
    log = (project.folder / "snakemake.log").open("a")
    return subprocess.Popen(command, cwd=project.folder, env=cluster.environment, stdout=log, stderr=subprocess.STDOUT)


def trained(project: Project) -> int:
    return len(list((project.folder / "results/tiny/train").rglob("run.json")))


def finish(project: Project, process: subprocess.Popen) -> str:
    status = process.wait(timeout=900)
    log = (project.folder / "snakemake.log").read_text()
    assert status == 0, log
    return log


def wait_for(condition, seconds: float = 120):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)
    return value


def insert(project: Project, code: str) -> None:
    """Insert code at the beginning of training."""
    script = project.folder / "scripts/train.py"
    text, line_before = script.read_text(), "    use_threads(threads)\n"
    assert text.count(line_before) == 1
    script.write_text(text.replace(line_before, line_before + "".join(f"    {line}\n" for line in code.splitlines())))


def steady(project: Project, study: str) -> pd.DataFrame:
    columns = ["variant", "seed", "test_accuracy", "test_loss", "val_accuracy", "best_epoch", "spec_hash"]
    return pd.read_csv(project.folder / f"results/{study}/compare/runs.csv")[columns]


def test_the_demo_goes_from_nothing_to_its_report(cluster, project, tmp_path):
    config = yaml.safe_load((ROOT / "studies/demo.yaml").read_text())
    config["training"]["epochs"] = 3
    project.configure(config)
    log = finish(project, begin(project, cluster))
    assert "The report is ready" in log
    assert (project.folder / "results/demo/report/index.html").stat().st_size > 100_000
    here = copy_project(tmp_path / "here")
    here.configure(config)
    assert here.snakemake(env={}).returncode == 0
    pd.testing.assert_frame_equal(steady(project, "demo"), steady(here, "demo"), check_exact=True)
    assert project.planned() == set()


def test_concurrent_jobs_get_devices_of_their_own(cluster, project):
    project.configure({**SMALL, "seeds": 4})
    insert(
        project,
        "import time\n"
        "begin = time.time()\n"
        "time.sleep(4)\n"
        "print(os.environ['CUDA_VISIBLE_DEVICES'], begin, time.time(), file=open('devices.txt', 'a'))",
    )
    finish(project, begin(project, cluster, *ONLY_TRAIN, "--set-resources", "train:gpu=1", "train:cpus_per_gpu=1"))
    rows = [line.split() for line in (project.folder / "devices.txt").read_text().splitlines()]
    times = [(device, float(start), float(end)) for device, start, end in rows]
    assert len(times) == 4 and {device for device, *_ in times} == {"0", "1"}
    together = [(a, b) for a in times for b in times if a < b and a[1] < b[2] and b[1] < a[2]]
    assert together, "two jobs ran at the same time"
    assert all(a[0] != b[0] for a, b in together)


def test_a_failing_job_is_tried_again_with_more_memory_and_time(cluster, project):
    project.configure(SMALL)
    insert(
        project,
        "if spec.seed == 2 and not Path('failed').exists():\n    Path('failed').touch()\n    os.kill(os.getpid(), 9)",
    )
    log = finish(project, begin(project, cluster, *ONLY_TRAIN, "--jobs", "1"))
    assert "Trying to restart" in log
    asked = [(job["TimeLimit"], re.search(r"mem=(\w+)", job["TRES"])[1]) for job in cluster.jobs("train")]
    assert sorted(asked[-3:]) == sorted([("00:11:00", "2G")] * 2 + [("00:22:00", "4G")])


def test_a_job_that_the_scheduler_cancels_is_tried_again(cluster, project):
    project.configure(SMALL)
    insert(project, "import time\ntime.sleep(0 if Path('cancelled').exists() else 60)")
    process = begin(project, cluster, *ONLY_TRAIN)
    running = wait_for(lambda: [job["JobId"] for job in cluster.jobs("train") if job["JobState"] == "RUNNING"])
    (project.folder / "cancelled").touch()
    cluster.query("scancel", *running)
    assert "Trying to restart" in finish(project, process)
    assert trained(project) == 2


def test_the_controller_may_be_restarted_in_the_middle(cluster, project):
    project.configure(SMALL)
    insert(project, "import time\ntime.sleep(5)")
    process = begin(project, cluster, *ONLY_TRAIN)
    wait_for(lambda: [job for job in cluster.jobs("train") if job["JobState"] == "RUNNING"])
    cluster.stop_controller()
    time.sleep(5)
    cluster.start()
    finish(project, process)
    assert trained(project) == 2


@pytest.mark.parametrize(
    "options",
    [["--slurm-array-jobs", "train,evaluate"], ["--groups", "train=small", "--group-components", "small=2"]],
    ids=["arrays", "groups"],
)
def test_small_jobs_can_be_put_together(cluster, project, options):
    project.configure(SMALL)
    before = len(cluster.jobs("train"))
    finish(project, begin(project, cluster, *ONLY_TRAIN, *options))
    assert trained(project) == 2
    submitted = {job.get("ArrayJobId", job["JobId"]) for job in cluster.jobs("train")[before:]}
    assert len(submitted) <= 1, "one submission for both trainings, or none that SLURM counts as one of them"
