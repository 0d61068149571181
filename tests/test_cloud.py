"""profiles/kubernetes and aws-batch: what would be asked of them, and a real run in which jobs share no disk.

The services' clients are replaced (fake_clouds.py); their jobs run here, each in an empty folder, and everything goes
through the file-system storage plugin in the place of S3.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from builders.project import ROOT, TINY, Project, copy_project

PLUGINS = ("snakemake_executor_plugin_kubernetes", "snakemake_executor_plugin_aws_batch", "snakemake_storage_plugin_fs")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in PLUGINS) or not shutil.which("rsync"),
        reason="needs the executors' plugins (pip install --require-hashes -r requirements/cluster.txt) and rsync",
    ),
]

STUDY = {**TINY, "seeds": [1], "experiments": {}, "probes": {"translation": {"shift": 1}}}
IMAGE = "registry.example/convlab:cpu"


def run(project: Project, profile: str, *arguments: str) -> list[dict]:
    """Run the study through a profile; the requests that its plugin made, in order."""
    project.configure(STUDY)
    for git in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *git], cwd=project.folder, check=True)
    outside = project.folder.parent
    requests, tools = outside / "requests", outside / "tools"
    for directory in (requests, tools, outside / "storage"):
        directory.mkdir()
    # In a container pip installs the storage plugin; here it is installed already.
    (tools / "pip").write_text("#!/bin/sh\n")
    (tools / "pip").chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, ROOT / "tests/fake_clouds.py", requests]
    command += ["--workflow-profile", project.folder / f"profiles/{profile}", "--container-image", IMAGE]
    command += ["--default-storage-provider", "fs", "--default-storage-prefix", outside / "storage"]
    command += ["--seconds-between-status-checks", "1", *arguments]
    environment = {**os.environ, "PATH": path, "CONVLAB_CACHE": str(outside / "cache")}
    result = subprocess.run(
        list(map(str, command)),
        cwd=project.folder,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    logs = "\n".join(path.read_text()[-3000:] for path in sorted(requests.glob("*.log")))
    assert result.returncode == 0, result.stdout + result.stderr + logs
    return [json.loads(path.read_text()) for path in sorted(requests.glob("*.json"), key=lambda path: int(path.stem))]


def assert_results_are_those_of_one_machine(project: Project, tmp_path: Path) -> None:
    storage = tmp_path / "storage/results/tiny"
    assert (storage / "report/index.html").stat().st_size > 100_000
    here = copy_project(tmp_path / "here")
    here.configure(STUDY)
    assert here.snakemake(env={}).returncode == 0
    columns = ["variant", "seed", "test_accuracy", "test_loss", "val_accuracy", "best_epoch", "spec_hash"]
    tables = [pd.read_csv(f / "compare/runs.csv")[columns] for f in (storage, here.folder / "results/tiny")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def of_rule(requests: list[dict], rule: str) -> list[dict]:
    return [request for request in requests if re.search(rf"--allowed-rules '?{rule}\b", json.dumps(request))]


def test_kubernetes(tmp_path):
    project = copy_project(tmp_path / "project")
    requests = run(
        project,
        "kubernetes",
        "--set-resources",
        "train:gpu=1",
        "train:gpu_manufacturer=nvidia",
    )
    rules = {
        rule: len(of_rule(requests, rule)) for rule in ("prepare", "explore", "train", "evaluate", "probe", "compare")
    }
    assert rules == {"prepare": 0, "explore": 1, "train": 2, "evaluate": 1, "probe": 2, "compare": 0}
    for request in requests:
        assert request["namespace"] == "default"
        pod = request["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == IMAGE and pod["restartPolicy"] == "Never"
        assert request["spec"]["backoffLimit"] == 0, "Snakemake is who tries again"
        assert container["resources"]["limits"]["memory"] == "2048M" == container["resources"]["requests"]["memory"]
        assert container["resources"]["requests"]["ephemeral-storage"] == "4096M"
    train, evaluate = of_rule(requests, "train")[0], of_rule(requests, "evaluate")[0]
    train, evaluate = (job["spec"]["template"]["spec"] for job in (train, evaluate))
    assert train["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert train["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "nvidia.com/gpu" not in evaluate["containers"][0]["resources"]["limits"] and "tolerations" not in evaluate
    assert_results_are_those_of_one_machine(project, tmp_path)


def test_aws_batch(tmp_path):
    project = copy_project(tmp_path / "project")
    queue, role = "arn:aws:batch:us-east-1:0:job-queue/q", "arn:aws:iam::0:role/r"
    arguments = ["--aws-batch-job-queue", queue, "--aws-batch-job-role", role, "--set-resources", "train:_gpus=1"]
    requests = run(project, "aws-batch", *arguments)
    assert len(requests) == 6
    for request in requests:
        definition = request["definition"]
        needs = {entry["type"]: entry["value"] for entry in definition["containerProperties"]["resourceRequirements"]}
        assert needs["VCPU"] == "1" and needs["MEMORY"] == "2048"
        assert definition["timeout"] == {"attemptDurationSeconds": 86400}
        assert definition["containerProperties"]["image"] == IMAGE
        assert definition["containerProperties"]["jobRoleArn"] == role
        assert request["job"]["jobQueue"] == queue
        assert needs.get("GPU") == ("1" if of_rule([request], "train") else None)
    assert_results_are_those_of_one_machine(project, tmp_path)
