"""Locks that end with their process, and finished runs that are taken instead of trained again."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from convlab import finished_runs, locks
from convlab.errors import UserError

HOLDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, "scripts")
from convlab import locks
path = Path(sys.argv[1])
if sys.argv[2] == "claim":
    locks.claim(path, "the study")
    print("held", flush=True)
    time.sleep(60)
with locks.locked(path, "waiting"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def holder(path: Path, how: str, seconds: float = 60) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLDER, str(path), how, str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_claim_names_who_is_at_work_and_ends_with_a_kill(tmp_path):
    process = holder(tmp_path / "study.lock", "claim")
    with pytest.raises(
        UserError, match=rf"another Snakemake \(process {process.pid}, since .*\) is at work on the study"
    ):
        locks.claim(tmp_path / "study.lock", "the study")
    kill(process)
    assert locks.claim(tmp_path / "study.lock", "the study") is True


def test_a_lock_is_waited_for_until_its_process_is_killed(tmp_path, caplog):
    caplog.set_level("INFO")
    process = holder(tmp_path / "run.lock", "lock")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
    with locks.locked(tmp_path / "run.lock", "somebody is at it"):
        assert process.wait(timeout=5) == -9
    assert "somebody is at it" in caplog.text
    killer.wait()
    process.stdout.close()
    assert not (tmp_path / "run.lock").exists()


def test_a_lock_whose_file_was_deleted_while_waiting_is_taken_again(tmp_path):
    process = holder(tmp_path / "run.lock", "lock", seconds=0.5)
    with locks.locked(tmp_path / "run.lock", ""):
        assert (tmp_path / "run.lock").exists(), "the file that the holder deleted locks nobody out"
    process.wait()
    process.stdout.close()


def test_without_locks_nothing_is_locked(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert locks.claim(tmp_path / "study.lock", "the study") is False
    with locks.locked(tmp_path / "run.lock", ""):
        pass


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "results/seed-1"
    folder.mkdir(parents=True)
    for name in finished_runs.FILES:
        (folder / name).write_text(name)
    return folder


def test_a_kept_run_is_copied_so_that_times_stay_apart(run, tmp_path):
    finished_runs.keep(run, tmp_path / "store/abc")
    assert finished_runs.take(tmp_path / "store/abc", tmp_path / "other")
    for name in finished_runs.FILES:
        assert (tmp_path / "other" / name).read_text() == name
        assert not (tmp_path / "other" / name).samefile(run / name)


def test_a_run_stays_kept_while_results_are_deleted_and_made_again(run, tmp_path):
    finished_runs.keep(run, tmp_path / "store/abc")
    for name in finished_runs.FILES:
        (run / name).unlink()
    assert finished_runs.take(tmp_path / "store/abc", run)
    assert sorted(path.name for path in run.iterdir()) == sorted(finished_runs.FILES)


def test_what_no_results_hold_is_thinned_out(run, tmp_path):
    finished_runs.keep(run, tmp_path / "store/abc")
    finished_runs.thin_out(tmp_path / "store")
    assert (tmp_path / "store/abc").exists()
    for name in finished_runs.FILES:
        (run / name).unlink()
    finished_runs.thin_out(tmp_path / "store")
    assert not (tmp_path / "store/abc").exists()


def test_nothing_is_taken_where_nothing_whole_is_kept(tmp_path):
    assert not finished_runs.take(tmp_path / "nothing", tmp_path / "output")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/run.json").write_text("{}")
    assert not finished_runs.take(tmp_path / "half", tmp_path / "output")
    assert list((tmp_path / "output").iterdir()) == []


def test_a_run_that_cannot_be_kept_is_no_failure(run, tmp_path):
    (tmp_path / "store").write_text("a file where the folder should be")
    finished_runs.keep(run, tmp_path / "store/abc")
    assert (run / "run.json").exists()
