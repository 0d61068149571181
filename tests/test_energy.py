"""Energy of trainings: counters below a made-up powercap folder, attribution, the estimate, columns and sentences."""

import os
import sys
import threading
import time
import types
from pathlib import Path

import pandas as pd
import pytest

from builders.results import CNN_WINS, write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, runs_with
from convlab.common import i18n
from convlab.common.files import read_json, write_json
from convlab.common.table_files import read_table, write_table
from convlab.language.energy import energy_text, joules_text
from convlab.results.energy import WATTS_PER_CORE, energy_summary, run_energy
from convlab.results.loading import RunRecords
from convlab.study.load import load_study
from convlab.training import energy

RANGE = 1000
"""Microjoules at which the made-up counters wrap around."""

CPU, GPU = "CPU, 1 thread(s)", "GPU"


def zone(folder: Path, name: str, value: int = 0) -> Path:
    """A power zone as Linux shows it."""
    folder.mkdir(parents=True)
    for file, content in (("name", name), ("energy_uj", value), ("max_energy_range_uj", RANGE)):
        (folder / file).write_text(f"{content}\n")
    return folder


def count(folder: Path, value: int) -> None:
    """Set a counter, at once as Linux does: no reader sees an empty file."""
    (folder / "next").write_text(f"{value}\n")
    (folder / "next").replace(folder / "energy_uj")


@pytest.fixture
def powercap(tmp_path) -> Path:
    """Two packages with cores and memory, the whole platform, and the packages once more over another bus."""
    root = tmp_path / "powercap"
    for number in (0, 1):
        package = root / f"intel-rapl:{number}"
        zone(package, f"package-{number}", 100)
        zone(package / f"intel-rapl:{number}:0", "core", 50)
        zone(package / f"intel-rapl:{number}:1", "dram", 10)
    zone(root / "intel-rapl:2", "psys", 500)
    (zone(root / "intel-rapl-mmio:0", "package-0") / "energy_uj").unlink()
    (root / "intel-rapl").mkdir()
    return root


def test_packages_and_their_memory_are_counted_once_each(powercap):
    assert sorted(energy.rapl_zones(powercap)) == ["package-0", "package-0-dram", "package-1", "package-1-dram"]


def test_a_counter_that_wraps_around_goes_on(powercap):
    package = energy.rapl_zones(powercap)["package-0"]
    count(powercap / "intel-rapl:0", 900)
    assert package.joules() == pytest.approx(800e-6)
    count(powercap / "intel-rapl:0", 50)
    assert package.joules() == pytest.approx(150e-6)
    assert package.joules() == 0


@pytest.mark.parametrize("unreadable", ["intel-rapl:1/energy_uj", "intel-rapl:0/intel-rapl:0:1/energy_uj"])
def test_a_counter_that_cannot_be_read_makes_all_count_as_unreadable(powercap, unreadable):
    (powercap / unreadable).unlink()  # root, as which tests may run, reads files of any mode
    assert energy.rapl_zones(powercap) == {}


def test_a_machine_without_counters_has_none(tmp_path):
    assert energy.rapl_zones(tmp_path) == {}
    assert energy.rapl_zones(tmp_path / "missing") == {}


def stat(folder: Path, busy_ticks: int) -> Path:
    path = folder / "stat"
    path.write_text(f"cpu  {busy_ticks} 0 0 99999 7 0 0 5 {busy_ticks} 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    return path


def test_idle_and_stolen_time_and_waiting_for_disks_are_not_busy(tmp_path):
    path = tmp_path / "stat"
    path.write_text("cpu  100 20 30 5000 600 4 6 70 50 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    assert energy.busy_seconds(path) == pytest.approx((100 + 20 + 30 + 4 + 6) / 100)


def test_a_process_is_given_its_share_of_the_cpu_time_of_all_at_most_everything():
    assert energy.cpu_share(3.0, 12.0) == 0.25
    assert energy.cpu_share(1.004, 1.0) == 1.0
    assert energy.cpu_share(0.004, 0.0) == 1.0


def test_the_energy_between_two_readings_is_attributed_by_the_cpu_time_between_them(powercap, tmp_path, monkeypatch):
    own = iter([10.0, 11.0, 13.0])
    monkeypatch.setattr(time, "process_time", lambda: next(own))
    processors = energy.Processors(energy.rapl_zones(powercap), stat(tmp_path, 0))
    count(powercap / "intel-rapl:0", 500)
    stat(tmp_path, 400)  # four seconds of all, of which this process has one
    processors.read()
    count(powercap / "intel-rapl:0", 700)
    stat(tmp_path, 600)  # two more, both of this process
    processors.read()
    assert processors.joules["package-0"] == pytest.approx(400e-6 / 4 + 200e-6)
    assert processors.joules["package-1"] == 0


def test_cpu_times_of_a_container_are_not_held_against_counters_of_the_machine(powercap, tmp_path):
    (tmp_path / "stat").symlink_to("/proc/stat")  # of another file system than its folder, as LXCFS mounts it
    with pytest.raises(ValueError, match="of a container"):
        energy.Processors(energy.rapl_zones(powercap), tmp_path / "stat")


def process(pid: int) -> types.SimpleNamespace:
    """A process as NVML lists it."""
    return types.SimpleNamespace(pid=pid)


@pytest.fixture
def nvml(monkeypatch) -> types.SimpleNamespace:
    """A stand-in for pynvml (nvidia-ml-py) with one device that two processes compute on."""

    class NVMLError(Exception):
        pass

    def handle(index: int) -> str:
        if index > 0:
            raise NVMLError("no such device")
        return "device"

    library = types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-1": "device"}[uuid],
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: library.millijoules,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: library.processes,
        millijoules=5000,
        processes=[process(os.getpid()), process(1)],
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


@pytest.mark.parametrize("environment", [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}, {}])
def test_runs_on_the_same_gpu_have_equal_parts_of_its_energy(nvml, environment):
    gpu = energy.visible_gpu(environment)
    nvml.millijoules = 9000
    gpu.read()
    nvml.millijoules, nvml.processes = 10_000, [process(os.getpid())]
    gpu.read()
    assert gpu.joules == pytest.approx(4.0 / 2 + 1.0)
    assert gpu.most_processes == 2


@pytest.mark.parametrize("listed", [[], [1]])
def test_where_this_process_is_not_listed_its_share_of_a_gpu_is_unknown(nvml, listed):
    nvml.processes = [process(pid) for pid in listed]  # as in a container with process numbers of its own
    meter = energy.Meter(None, energy.visible_gpu({}))
    reading = meter.reading()
    assert list(reading) == ["cpu_seconds"]
    assert run_energy({"device": GPU, "energy": reading}) == (None, "")
    nvml.processes = [process(os.getpid())]
    assert list(meter.reading()) == ["cpu_seconds"], "a part of the run is unknown, and so is the whole"


def test_a_gpu_without_counter_and_a_missing_library_have_no_energy(nvml, monkeypatch):
    assert energy.visible_gpu({"CUDA_VISIBLE_DEVICES": "3"}) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.visible_gpu({"CUDA_VISIBLE_DEVICES": "0"}) is None


def busy_work() -> None:
    begin = time.process_time()
    while time.process_time() == begin:
        sum(range(1000))


def test_without_counters_cpu_time_alone_is_recorded_and_no_thread_started(tmp_path):
    before = threading.active_count()
    with energy.metered(False, folder=tmp_path) as meter:
        assert threading.active_count() == before
        busy_work()
    assert list(meter.reading()) == ["cpu_seconds"]
    assert meter.reading()["cpu_seconds"] > 0


def test_counters_are_read_while_the_run_goes_on(powercap, monkeypatch):
    monkeypatch.setattr(energy, "READING_SECONDS", 0.001)
    with energy.metered(False, folder=powercap) as meter:
        count(powercap / "intel-rapl:0", 600)
        for _ in range(10_000):
            if meter.processors.joules["package-0"]:
                break
            time.sleep(0.001)
        assert 0 < meter.processors.joules["package-0"] <= 500e-6
    reading = meter.reading()
    assert set(reading) == {"cpu_seconds", "rapl"} and "package-1-dram" in reading["rapl"]


def test_a_counter_that_fails_during_a_run_ends_nothing_and_counts_as_unreadable(powercap):
    with energy.metered(False, folder=powercap) as meter:
        (powercap / "intel-rapl:1/energy_uj").unlink()
        assert list(meter.reading()) == ["cpu_seconds"]


def test_a_resumed_run_adds_what_killed_processes_had_used(tmp_path):
    energy.write_reading(tmp_path, {"cpu_seconds": 1e6, "rapl": {"package-0": 5.0}})
    with energy.metered(False, energy.kept_reading(tmp_path), tmp_path) as meter:
        busy_work()
    reading = meter.reading()
    assert reading["cpu_seconds"] > 1e6
    assert "rapl" not in reading, "this process could not read it, so its sum is unknown"


def test_readings_of_the_same_counters_are_added():
    first = {"cpu_seconds": 1.0, "rapl": {"package-0": 2.0}, "nvml": {"joules": 3.0, "processes": 2}}
    second = {"cpu_seconds": 10.0, "rapl": {"package-0": 20.0}, "nvml": {"joules": 30.0, "processes": 1}}
    assert energy.added(first, second) == {
        "cpu_seconds": 11.0,
        "rapl": {"package-0": 22.0},
        "nvml": {"joules": 33.0, "processes": 2},
    }


@pytest.mark.parametrize("counter", [{"rapl": {"package-0": 2.0}}, {"nvml": {"joules": 3.0, "processes": 1}}])
def test_a_counter_that_part_of_a_run_lacked_is_left_out_of_the_sum(counter):
    with_counter, without = {"cpu_seconds": 1.0, **counter}, {"cpu_seconds": 2.0}
    assert energy.added(with_counter, without) == energy.added(without, with_counter) == {"cpu_seconds": 3.0}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_damaged_reading_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / energy.READING).write_text(content)
    assert energy.kept_reading(tmp_path) is None


READINGS = {
    "estimate": (CPU, {"cpu_seconds": 100.0}, 100 * WATTS_PER_CORE),
    "rapl": (CPU, {"cpu_seconds": 100.0, "rapl": {"package-0": 2000.0, "package-0-dram": 50.0}}, 2050.0),
    "nvml+estimate": (
        *(GPU, {"cpu_seconds": 100.0, "nvml": {"joules": 9000.0, "processes": 1}}),
        9000 + 100 * WATTS_PER_CORE,
    ),
    "nvml+rapl": (
        *(GPU, {"cpu_seconds": 100.0, "nvml": {"joules": 9000.0, "processes": 1}, "rapl": {"package-0": 500.0}}),
        9500.0,
    ),
}
"""By source: device, readings of a run.json, and the joules that they make."""


@pytest.mark.parametrize("source", READINGS)
def test_energy_of_a_run_by_what_could_be_read(source):
    device, readings, joules = READINGS[source]
    assert run_energy({"device": device, "energy": readings}) == (pytest.approx(joules), source)


@pytest.mark.parametrize(
    "run", [{"device": GPU, "energy": {"cpu_seconds": 100.0}}, {"device": CPU, "energy": None}, {"device": CPU}]
)
def test_energy_is_unknown_of_a_gpu_without_counter_and_of_a_run_without_readings(run):
    assert run_energy(run) == (None, "")


def summary_of(*sources: str | None) -> dict:
    runs = [READINGS[source] if source else (CPU, None, None) for source in sources]
    return energy_summary([{"device": device, "energy": readings} for device, readings, _ in runs])


BY_RAPL = "measured by the energy counters of the processors (RAPL) and attributed to the runs by CPU time"
LEFT_OUT = (
    "Training only: without preparation, evaluation, probes, the start of processes, and the rest of the machine."
)


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        (["estimate"] * 3, "about 3.6 kJ (1.0 Wh), estimated from 300 s of CPU time at 12 W per busy core."),
        (["rapl"], f"2.05 kJ (0.569 Wh), {BY_RAPL}."),
        (
            ["nvml+estimate"],
            "10.2 kJ (2.83 Wh): that of the GPU measured by its energy counter (NVML) and attributed to the runs in "
            "equal parts, that of the processors (1.2 kJ) estimated from 100 s of CPU time at 12 W per busy core.",
        ),
        (
            ["nvml+rapl"],
            "9.50 kJ (2.64 Wh), measured by the energy counters of GPU (NVML) and processors (RAPL) and attributed to "
            "the runs: of the GPU in equal parts, of the processors by CPU time.",
        ),
        (
            ["rapl", "estimate", None, "rapl"],
            f"5.3 kJ (1.5 Wh) in all; 2 runs: 4.10 kJ (1.14 Wh), {BY_RAPL}; 1 run: about 1.2 kJ (0.33 Wh), estimated "
            "from 100 s of CPU time at 12 W per busy core; unknown of 1 run.",
        ),
    ],
)
def test_the_report_says_how_energy_is_known_and_what_it_leaves_out(sources, text):
    assert energy_text(summary_of(*sources)) == f"{text} {LEFT_OUT}"


def test_energy_that_nothing_could_read_is_called_unknown():
    assert energy_text(summary_of(None, None)) == "unknown: readings are missing, or are not of these runs alone"


def test_energy_is_given_in_the_unit_that_keeps_it_short():
    assert joules_text(796.8, 2) == "800 J (0.22 Wh)"
    assert joules_text(0.0, 2) == "0 J (0 Wh)"
    assert joules_text(18.0, 2) == "18 J (0.0050 Wh)"
    assert joules_text(999.6) == "1.00 kJ (0.278 Wh)"
    assert joules_text(7.2e6) == "7.20 MJ (2.00 kWh)"
    with i18n.in_language("es"):
        assert joules_text(9560).replace("\N{NO-BREAK SPACE}", " ") == "9,56 kJ (2,66 Wh)"


def test_energy_of_a_study_counts_the_trials_of_tuning_too():
    run = {"train_seconds": 1.0, "started": "a", "finished": "b", "peak_memory_mb": 1.0, "device": CPU, "hardware": {},
           "versions": {}, "environment": {}, "resumed_after_epoch": 0, "energy": {"cpu_seconds": 50.0}}  # fmt: skip
    records = RunRecords({}, runs={("d", "v", 1): run}, trials={("d", "v-trial-1", 1): run})
    (entry,) = records.training_summary()["energy"]["sources"]
    assert entry == {"source": "estimate", "runs": 2, "joules": 100 * WATTS_PER_CORE, "cpu_seconds": 100.0}


def test_runs_csv_ends_with_energy_and_its_source(tmp_path):
    runs = runs_with(load_study(MADE_UP_STUDY), CNN_WINS)
    assert list(runs.columns[-2:]) == ["energy_joules", "energy_source"]
    runs.loc[0, ["energy_joules", "energy_source"]] = [None, ""]
    write_table(runs, tmp_path / "runs", "runs")
    table = read_table(tmp_path / "runs.csv")
    assert pd.isna(table["energy_joules"][0]) and table["energy_joules"][1] == 10 * WATTS_PER_CORE
    assert pd.isna(table["energy_source"][0]) and table["energy_source"][1] == "estimate"


def test_the_report_has_the_energy_of_the_study_and_of_each_run_and_a_dash_where_it_is_unknown(tmp_path):
    config = write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS)
    runs = read_table(tmp_path / "compare/runs.csv")
    runs.loc[0, "energy_joules"] = None
    write_table(runs, tmp_path / "compare/runs", "runs")
    summary = tmp_path / "compare/summary.json"
    content = read_json(summary)
    content["training"]["energy"] = summary_of("estimate", None)
    write_json(summary, content)
    page, markdown = write_reports(tmp_path, config)
    for text in (page, markdown):
        assert "1 run: about 1.2 kJ (0.33 Wh), estimated from 100 s of CPU time at 12 W" in text
        assert "unknown of 1 run." in text and "Energy of the training" in text
    assert markdown.count("| 500 | 120 | no |") == len(runs) - 1
    assert markdown.count("| 500 | – | no |") == 1
