"""GPU slots: runs spread over devices, a scheduler's choice is respected, a machine without GPUs is as before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.project import ROOT
from convlab.errors import UserError
from convlab.runtime import backend, devices

PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, "scripts")
from convlab.runtime import devices
print(devices.use_one_gpu({"CUDA_VISIBLE_DEVICES": sys.argv[1]}, Path(sys.argv[2])), flush=True)
sys.stdin.readline()
"""


class Run:
    """A process that takes a slot and keeps it until it is ended."""

    def __init__(self, visible: str, folder: Path) -> None:
        command = [sys.executable, "-c", PROCESS, visible, str(folder)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.device = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(visible: str = "0,1") -> Run:
        running.append(Run(visible, tmp_path / "slots"))
        return running[-1]

    yield begin
    for run in running:
        if run.process.poll() is None:
            run.kill()


def fake_nvidia_smi(folder: Path, text: str, status: int = 0) -> dict[str, str]:
    """An environment with an nvidia-smi that says ``text``."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {status}\n")
    tool.chmod(0o755)
    return {"PATH": str(folder)}


def test_runs_are_spread_evenly_over_the_devices(start):
    assert sorted(start().device for _ in range(2)) == ["0", "1"]
    assert sorted(start().device for _ in range(2)) == ["0", "1"], "two runs on each device"


def test_a_killed_run_gives_its_slot_back(start):
    first, second = start(), start()
    third = start()
    assert third.device == first.device
    second.kill()
    assert start().device == second.device, "not a third run on the other device"


def test_a_process_sees_only_its_own_device(tmp_path):
    environment = {**fake_nvidia_smi(tmp_path, "0\\n1\\n"), "HOME": "/"}
    assert devices.visible_gpus(environment) == ["0", "1"]
    assert devices.use_one_gpu(environment, tmp_path / "slots") == "0"
    assert environment["CUDA_VISIBLE_DEVICES"] == "0" and environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("given", "seen"), [("", []), ("-1", []), ("3", ["3"]), ("2, GPU-8932f937", ["2", "GPU-8932f937"])]
)
def test_what_a_scheduler_or_the_user_has_set_is_respected(tmp_path, given, seen):
    environment = {**fake_nvidia_smi(tmp_path, "0\\n1\\n"), "CUDA_VISIBLE_DEVICES": given}
    assert devices.visible_gpus(environment) == seen
    assert devices.use_one_gpu(environment, tmp_path / "slots") == (seen[0] if seen else None)
    assert environment["CUDA_VISIBLE_DEVICES"] == (seen[0] if seen else given)


@pytest.mark.parametrize("answer", ["", "NVIDIA-SMI has failed because it could not communicate with the driver\\n"])
def test_a_driver_that_does_not_answer_is_no_gpu(tmp_path, answer):
    assert devices.visible_gpus(fake_nvidia_smi(tmp_path, answer, status=9)) == []


def test_nothing_is_set_or_written_without_gpus(tmp_path):
    environment = {"PATH": str(tmp_path)}
    assert devices.use_one_gpu(environment, tmp_path / "slots") is None
    assert environment == {"PATH": str(tmp_path)} and not (tmp_path / "slots").exists()


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "slots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="belongs to somebody else"):
        devices.acquire_gpu(["0"], tmp_path / "slots")
    (tmp_path / "ours").mkdir(mode=0o700)
    (tmp_path / "ours/0.0").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match=r"cannot open .*ours/0\.0"):
        devices.acquire_gpu(["0"], tmp_path / "ours")
    assert not (tmp_path / "target").exists()


def test_memory_grows_on_a_gpu_and_nothing_changes_on_a_cpu(tmp_path):
    code = "import sys, os; sys.path.insert(0, 'scripts')\nfrom convlab.runtime import backend\n"
    code += "backend.configure('tensorflow', 1)\n"
    code += "print({k: v for k, v in os.environ.items() if k.startswith(('TF_', 'XLA', 'CUDA', 'CUBLAS', 'NPROC'))})"

    def devices_with(more: dict[str, str]) -> dict:
        environment = {"PATH": str(tmp_path), "TMPDIR": str(tmp_path), **more}
        return eval_dict(subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True))

    assert devices_with({}) == {}
    gpu = devices_with({"CUDA_VISIBLE_DEVICES": "1"})
    assert gpu["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and gpu["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert gpu["CUDA_VISIBLE_DEVICES"] == "1" and gpu["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert devices_with({"CUDA_VISIBLE_DEVICES": "1", "TF_DETERMINISTIC_OPS": "0"})["TF_DETERMINISTIC_OPS"] == "0"


def test_jax_computes_the_same_bytes_on_a_gpu_unless_the_user_says_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "keras", raising=False)

    def flags(gpu: str | None, chosen: str) -> list[str]:
        monkeypatch.setattr(devices, "use_one_gpu", lambda: gpu)
        monkeypatch.setattr(os, "environ", {"XLA_FLAGS": chosen})
        backend.configure("jax", 1)
        return os.environ["XLA_FLAGS"].split()

    assert flags(None, "") == ["--xla_cpu_multi_thread_eigen=false"]
    assert flags("0", "") == ["--xla_gpu_deterministic_ops=true", "--xla_cpu_multi_thread_eigen=false"]
    chosen = "--xla_gpu_deterministic_ops=false"
    assert flags("0", chosen) == [chosen, "--xla_cpu_multi_thread_eigen=false"]


def eval_dict(result: subprocess.CompletedProcess) -> dict[str, str]:
    import ast

    assert result.returncode == 0, result.stderr.decode()
    return ast.literal_eval(result.stdout.decode())


def test_the_folder_of_the_slots_is_this_users(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert devices.slots_folder() == tmp_path / f"convlab-gpus-{os.getuid()}"
