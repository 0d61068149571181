"""How many runs this machine computes side by side at full speed, and warnings where a study asks for more or less.

Standard library only.
"""

import os
from pathlib import Path

from convlab.study import speeds
from convlab.study.schema import Study

TOPOLOGY = Path("/sys/devices/system/cpu")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_processors() -> int:
    """Processors that this process may use: those that it is bound to, and no more than a container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return max(1, min(bound, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no quota, which reads "max", or another system
        return bound


def physical_cores() -> int | None:
    """Cores behind the processors that this process may use, which may be two threads of one; None if not known."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    try:
        siblings = {
            (TOPOLOGY / f"cpu{number}" / "topology" / "thread_siblings_list").read_text()
            for number in os.sched_getaffinity(0)
        }
    except OSError:
        return None
    return len(siblings)


def full_speed_runs(cores: int, gpu_runs: int | None = None, were_side_by_side: bool = False) -> int:
    """Runs of so many side by side that a core computes alone, as a measured speed supposes, or that have a GPU.

    Args:
        gpu_runs: runs for which there are GPUs.
        were_side_by_side: the times are those of runs that already shared cores, two threads of one included.
    """
    limits = [
        usable_processors(),
        None if were_side_by_side else physical_cores(),
        gpu_runs if speeds.computes_on_gpu() else None,
    ]
    return max(1, min(cores, *(limit for limit in limits if limit)))


def load_notes(study: Study, cores: int) -> list[str]:
    """Sentences about more runs side by side than processors, and about a GPU that stands idle."""
    notes, processors = [], usable_processors()
    if cores > processors:
        notes.append(
            f"{cores} runs side by side are asked for, but only {processors} processor{'s' * (processors > 1)} may be "
            f"used here, so that each takes longer and none ends sooner; CORES={processors} is as fast and needs less "
            "memory"
        )
    gpus = idle_gpus(study)
    if gpus:
        notes.append(
            f"nvidia-smi lists {gpus} GPU{'s' * (gpus > 1)}, but these runs would compute on processors; "
            "use `make run GPU=1`"
        )
    return notes


def idle_gpus(study: Study) -> int:
    """GPUs that the driver lists and that no run will use."""
    listed = len(speeds.listed_gpus(None, os.environ.get("PATH", os.defpath)))
    backends = {variant.training.backend for variant in study.plan.variants.values()}
    if not listed or backends != {"tensorflow"}:
        return 0
    return 0 if speeds.computes_on_gpu() else listed
