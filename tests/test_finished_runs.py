"""Locks that end with their process, and finished runs that are taken instead of trained again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.damage import DAMAGES, make_older
from builders.project import ROOT
from convlab.common import checksums, locks
from convlab.common.atomic import remove
from convlab.errors import UserError
from convlab.study import layout
from convlab.training import run_store

HOLDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, "scripts")
from convlab.common import locks
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


def test_a_lock_is_waited_for_until_its_process_is_killed(tmp_path, monkeypatch):
    process, told = holder(tmp_path / "run.lock", "lock"), []

    def kill_when_told(message):
        told.append(message)
        process.kill()

    monkeypatch.setattr(locks.log, "info", kill_when_told)
    with locks.locked(tmp_path / "run.lock", "somebody is at it"):
        assert process.wait() == -9
    process.stdout.close()
    assert told == ["somebody is at it"] and not (tmp_path / "run.lock").exists()


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


IDENTITY = "0123456789abcdef"
ALL = sorted([*run_store.FILES, "run.json.checksums"])


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run of a study, as training leaves it."""
    folder = tmp_path / "results/study/train/digits/cnn/seed-1"
    write_run(folder, "weights")
    return folder


@pytest.fixture
def entry(tmp_path) -> Path:
    """Where that run is kept."""
    return tmp_path / "store" / IDENTITY


def write_run(folder: Path, weights: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_text(weights)
    (folder / "history.csv").write_text("epoch\n1\n")
    (folder / "run.json").write_text(json.dumps({"identity": IDENTITY}))
    checksums.write_record(folder / "run.json", [folder / name for name in run_store.FILES])


def test_a_kept_run_is_copied_so_that_times_stay_apart(run, entry, tmp_path):
    run_store.store(run, entry)
    assert run_store.fetch(entry, tmp_path / "other")
    for name in run_store.FILES:
        assert (tmp_path / "other" / name).read_bytes() == (run / name).read_bytes()
        assert not (tmp_path / "other" / name).samefile(run / name)
        assert not (tmp_path / "other" / name).samefile(entry / name)
    assert checksums.is_whole(tmp_path / "other/run.json", run_store.FILES)


def test_a_run_stays_kept_while_results_are_deleted_and_made_again(run, entry):
    run_store.store(run, entry)
    for name in run_store.FILES:
        (run / name).unlink()
    assert run_store.fetch(entry, run)
    assert sorted(path.name for path in run.iterdir()) == ALL


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ALL)
def test_results_that_are_damaged_in_place_leave_the_kept_run_whole(run, entry, name, damage):
    """The kept run was a hard link once: damaged with the results, and given back for ever."""
    run_store.store(run, entry)
    DAMAGES[damage](run / name)
    for left in run_store.FILES:
        remove(run / left)
    assert run_store.fetch(entry, run)
    assert (run / "model.keras").read_text() == "weights"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ALL)
def test_a_damaged_kept_run_is_dropped_and_nothing_of_it_is_taken(run, entry, tmp_path, name, damage):
    run_store.store(run, entry)
    DAMAGES[damage](entry / name)
    assert not run_store.fetch(entry, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    assert not entry.exists(), "so that the run which is trained now can be kept"


def test_a_run_that_was_trained_again_replaces_the_kept_one(run, entry, tmp_path):
    run_store.store(run, entry)
    write_run(run, "other weights")
    run_store.store(run, entry)
    assert run_store.fetch(entry, tmp_path / "other")
    assert (tmp_path / "other/model.keras").read_text() == "other weights"


@pytest.mark.parametrize("damage", DAMAGES)
def test_results_that_are_damaged_are_not_kept(run, entry, damage):
    DAMAGES[damage](run / "model.keras")
    run_store.store(run, entry)
    assert not entry.exists()


def test_a_kept_run_is_thinned_out_when_no_results_have_been_of_it_for_two_weeks(run, entry, tmp_path):
    store, results = tmp_path / "store", tmp_path / "results"
    run_store.store(run, entry)
    make_older(entry, 10 * run_store.UNUSED_SECONDS)
    run_store.prune(store, layout.run_records(results))
    assert entry.exists(), "results are of it"
    shutil.rmtree(run)
    run_store.prune(store, layout.run_records(results))
    run_store.prune(store, layout.run_records(results))
    assert entry.exists(), "its results may have been deleted a moment ago, to be taken from here"
    make_older(entry / "unused", run_store.UNUSED_SECONDS + 60)
    with locks.locked(entry.with_name(f"{IDENTITY}.lock"), ""):
        run_store.prune(store, layout.run_records(results))
    assert entry.exists(), "another process has it locked"
    run_store.prune(store, layout.run_records(results))
    assert not entry.exists()


def test_a_run_that_is_used_again_begins_anew_to_be_unused(run, entry, tmp_path):
    store, results = tmp_path / "store", tmp_path / "results"
    run_store.store(run, entry)
    shutil.move(run, tmp_path / "elsewhere")
    run_store.prune(store, layout.run_records(results))
    make_older(entry / "unused", run_store.UNUSED_SECONDS + 60)
    assert run_store.fetch(entry, run)
    run_store.prune(store, layout.run_records(results))
    assert entry.exists() and not (entry / "unused").exists()


def test_what_killed_processes_left_in_the_store_is_deleted_after_a_day(run, entry, tmp_path):
    store = tmp_path / "store"
    run_store.store(run, entry)
    for name, seconds in ((".0123456789ab.x", 2e5), (".ba9876543210.x", 60), ("old.lock", 2e5), ("new.lock", 60)):
        path = store / name
        path.write_text("") if name.endswith("lock") else path.mkdir()
        make_older(path, seconds)
    run_store.prune(store, layout.run_records(tmp_path / "results"))
    assert sorted(path.name for path in store.iterdir()) == [".ba9876543210.x", IDENTITY, "new.lock"]


def test_results_on_another_disk_keep_their_runs(run, entry, tmp_path):
    """Links cannot reach there, so they cannot tell what is used: kept runs were deleted at each end."""
    shutil.move(tmp_path / "results", tmp_path / "disk")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    run_store.store(run, entry)
    run_store.prune(tmp_path / "store", layout.run_records(tmp_path / "results"))
    assert entry.exists() and not (entry / "unused").exists()


def test_nothing_is_taken_where_nothing_whole_is_kept(tmp_path):
    assert not run_store.fetch(tmp_path / "nothing", tmp_path / "output")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/run.json").write_text("{}")
    assert not run_store.fetch(tmp_path / "half", tmp_path / "output")
    assert list((tmp_path / "output").iterdir()) == []


def test_a_run_that_cannot_be_kept_is_no_failure(run, entry, tmp_path, monkeypatch):
    (tmp_path / "store").write_text("a file where the folder should be")
    run_store.store(run, entry)
    assert (run / "run.json").exists()
    (tmp_path / "store").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=run_store.FREE_BYTES))
    run_store.store(run, entry)
    assert not entry.exists(), "the last of a disk is for results"


def test_one_process_at_a_time_may_write_and_the_latest_is_it(tmp_path):
    main = tmp_path / "folder/run.json"
    with locks.sole_writer(main) as first:
        with first.writing():
            pass
        with locks.sole_writer(main) as second:
            second.check()
            with pytest.raises(UserError, match=r"another process has begun to make .*run\.json"):
                first.check()
        with pytest.raises(UserError, match="another process has begun"), first.writing():
            raise AssertionError("it must not write")
    assert list(main.parent.iterdir()) == []


def test_who_lost_its_folder_writes_nothing(tmp_path):
    with locks.sole_writer(tmp_path / "folder/run.json") as writer:
        shutil.rmtree(tmp_path / "folder")
        with pytest.raises(UserError, match="its folder was deleted"):
            writer.check()
    assert not (tmp_path / "folder").exists()
