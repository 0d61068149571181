"""Energy of a training run: readings of RAPL, NVML and CPU time while it is trained.

RAPL is the energy counter of Intel's and AMD's processors, which Linux shows below /sys/class/powercap; NVML is the
management library of NVIDIA, read through ``nvidia-ml-py`` where that is installed. Only readings are recorded: what is
estimated without counters is computed where results are read, so that another assumption trains nothing again.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convlab.common.atomic import write_text

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of RAPL (Documentation/power/powercap in the kernel's source)."""

PROC_STAT = Path("/proc/stat")

READING_SECONDS = 60
"""Seconds between two readings: the smallest counters (65 kJ) wrap around after three and a half minutes at 300 W."""


READING = "energy.json"
"""What a run has used when its last epoch ended, in its folder of backups."""


class RaplZone:
    """An energy counter of a processor: a package or its memory.

    Raises OSError or ValueError where it cannot be read, as on most systems without root's rights.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.range_uj = int((folder / "max_energy_range_uj").read_text())
        self.last_uj = self._read()

    def joules(self) -> float:
        """Joules since the last reading, of which there has to be one for each time that the counter wraps around."""
        last, self.last_uj = self.last_uj, self._read()
        return ((self.last_uj - last) % self.range_uj) / 1e6

    def _read(self) -> int:
        return int((self.folder / "energy_uj").read_text())


def rapl_zones(folder: Path = POWERCAP) -> dict[str, RaplZone]:
    """Counters of all packages and of memory counted apart, by name; empty without any, or if one is unreadable.

    Cores and the graphics unit are parts of a package, and the platform (psys) contains it.
    """
    zones = {}
    try:
        for package in sorted(folder.glob("intel-rapl:*")):  # intel-rapl-mmio:* are the same packages again
            name = (package / "name").read_text().strip()
            if not name.startswith("package"):
                continue
            zones[name] = RaplZone(package)
            for part in sorted(package.glob("intel-rapl:*")):
                if (part / "name").read_text().strip() == "dram":
                    zones[f"{name}-dram"] = RaplZone(part)
    except (OSError, ValueError):
        return {}
    return zones


def busy_seconds(stat: Path = PROC_STAT) -> float:
    """CPU seconds of all processes of this machine since it was started. Raises OSError or ValueError without them."""
    name, *ticks = stat.read_text().split("\n", 1)[0].split()
    if name != "cpu" or len(ticks) < 8:
        raise ValueError(f"{stat} does not begin with the times of all processors")
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, _steal, *_guests = map(int, ticks)
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")  # user includes guests


class Processors:
    """This process's share of the energy of the processors, by CPU time.

    Of what the packages took between two readings this process is given its share of the CPU time of all processes of
    the machine, so that the shares of all add up to the whole, idle cores included.

    Raises OSError or ValueError where CPU times cannot be read, or are those of a container: the counters are of the
    whole machine.
    """

    def __init__(self, zones: Mapping[str, RaplZone], stat: Path = PROC_STAT) -> None:
        if stat.stat().st_dev != stat.parent.stat().st_dev:  # LXCFS mounts a file of its own over the kernel's
            raise ValueError(f"{stat} is not the kernel's: it has the CPU times of a container")
        self.zones, self.stat = zones, stat
        self.joules = dict.fromkeys(zones, 0.0)
        self.busy, self.own = busy_seconds(stat), time.process_time()

    def read(self) -> None:
        """Add what has been used since the last reading."""
        busy, own = self.busy, self.own
        self.busy, self.own = busy_seconds(self.stat), time.process_time()
        share = cpu_share(self.own - own, self.busy - busy)
        for name, zone in self.zones.items():
            self.joules[name] += share * zone.joules()


def cpu_share(own: float, busy: float) -> float:
    """Share of a process in the CPU seconds of all, which are counted in coarser steps: at most 1."""
    return min(1.0, own / busy) if busy > 0 else 1.0


class Gpu:
    """This process's share of the energy of an NVIDIA GPU: all of it, or an equal part where several compute on it.

    Needs Volta or newer. A part of a device (MIG) has no counter. In a container with process numbers of its own NVML
    commonly lists no processes: how many share the device is then unknown, and so is this process's share.

    Args:
        nvml: the module ``pynvml``, initialised.
        device: index or UUID, as in CUDA_VISIBLE_DEVICES.
    """

    def __init__(self, nvml: Any, device: str) -> None:
        self.nvml = nvml
        by_index = device.isdigit()
        self.handle = (
            nvml.nvmlDeviceGetHandleByIndex(int(device)) if by_index else nvml.nvmlDeviceGetHandleByUUID(device)
        )
        self.joules, self.most_processes = 0.0, 1
        self.last_mj = nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)

    def read(self) -> None:
        """Add what has been used since the last reading.

        Raises ValueError if this process, which computes on the device, is not among those that are listed.
        """
        last, self.last_mj = self.last_mj, self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        listed = [process.pid for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)]
        if os.getpid() not in listed:
            raise ValueError(f"NVML does not list process {os.getpid()}, so it is unknown how many share the device")
        self.most_processes = max(self.most_processes, len(listed))
        self.joules += (self.last_mj - last) / 1e3 / len(listed)


def visible_gpu(environment: Mapping[str, str] = os.environ) -> Gpu | None:
    """The GPU that this process was assigned (``runtime.devices``); None where its energy cannot be read."""
    device = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return Gpu(pynvml, device)
    except Exception:  # NVMLError, and what older modules of this name raise
        return None


class Meter:
    """Reads energy counters while a run is trained. No failure of a counter ends the run: it counts as unreadable.

    Args:
        processors: None where their counters cannot be read.
        gpu: None on a machine without, or where it has no counter.
        earlier: reading of the processes that were killed while they trained the same run.
    """

    def __init__(
        self, processors: Processors | None, gpu: Gpu | None, earlier: Mapping[str, Any] | None = None
    ) -> None:
        self.processors, self.gpu, self.earlier = processors, gpu, earlier
        self.cpu_begin = time.process_time()
        self.lock = threading.Lock()

    def reading(self) -> dict[str, Any]:
        """What the run has used so far: ``cpu_seconds``, and by each readable kind of counter joules and shares.

        ``rapl`` has joules by counter, ``nvml`` joules and the largest number of processes that shared the GPU.
        """
        with self.lock:
            self.processors = _advanced(self.processors)
            self.gpu = _advanced(self.gpu)
            measured: dict[str, Any] = {"cpu_seconds": time.process_time() - self.cpu_begin}
            if self.processors:
                measured["rapl"] = dict(self.processors.joules)
            if self.gpu:
                measured["nvml"] = {"joules": self.gpu.joules, "processes": self.gpu.most_processes}
        return measured if self.earlier is None else added(self.earlier, measured)


def _advanced(counter: Any) -> Any:
    """A counter after another reading; None if it can no longer be read."""
    if counter is None:
        return None
    try:
        counter.read()
    except Exception:  # OSError and ValueError of what is read, NVMLError of a library that need not be there
        return None
    return counter


def added(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Sum of two readings. A kind of counter that one of them lacks is left out: its sum is unknown."""
    total: dict[str, Any] = {"cpu_seconds": first["cpu_seconds"] + second["cpu_seconds"]}
    if "rapl" in first and "rapl" in second:
        names = sorted({*first["rapl"], *second["rapl"]})
        total["rapl"] = {name: first["rapl"].get(name, 0.0) + second["rapl"].get(name, 0.0) for name in names}
    if "nvml" in first and "nvml" in second:
        total["nvml"] = {
            "joules": first["nvml"]["joules"] + second["nvml"]["joules"],
            "processes": max(first["nvml"]["processes"], second["nvml"]["processes"]),
        }
    return total


def write_reading(work: Path, reading: Mapping[str, Any]) -> None:
    """Keep a reading in a run's folder of backups, for a process that resumes the run."""
    write_text(work / READING, json.dumps(reading), durable=False)


def kept_reading(work: Path) -> dict[str, Any] | None:
    """The reading that killed processes of a run left; None without one, or where it is damaged."""
    try:
        reading = json.loads((work / READING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return reading if isinstance(reading, dict) and "cpu_seconds" in reading else None


@contextmanager
def metered(on_gpu: bool, earlier: Mapping[str, Any] | None = None, folder: Path = POWERCAP) -> Iterator[Meter]:
    """A meter that is read once a minute inside the block, by a thread that exists only where there are counters.

    Args:
        on_gpu: whether the run is trained on a GPU.
        earlier: reading of the processes that were killed while they trained the same run.
        folder: where Linux shows the counters.
    """
    zones, processors = rapl_zones(folder), None
    if zones:
        try:
            processors = Processors(zones)
        except (OSError, ValueError):
            processors = None
    meter = Meter(processors, visible_gpu() if on_gpu else None, earlier)
    ended = threading.Event()

    def read_until_the_end() -> None:
        while not ended.wait(READING_SECONDS):
            meter.reading()

    if meter.processors or meter.gpu:
        threading.Thread(target=read_until_the_end, name="energy", daemon=True).start()
    try:
        yield meter
    finally:
        ended.set()
