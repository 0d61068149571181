"""Commands that benchmarks run: wall time, CPU time and memory of each, and an environment without settings."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from convlab.common.environment import RELEVANT_VARIABLES

MEGABYTES_PER_UNIT = (1 if sys.platform == "darwin" else 1024) / 1e6
"""Of ``ru_maxrss``, which macOS gives in bytes and Linux in KiB."""

GRACE_SECONDS = 60
"""From SIGINT to SIGKILL for a command that is stopped: time for Snakemake to end its jobs."""


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        cpu_seconds: user and system time of its processes together.
        memory_mb: of its largest process.
    """

    wall: float
    cpu_seconds: float
    memory_mb: float


def plain_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment with ``settings``, without GPUs and variables that change how libraries compute.

    What is measured so is the processor, whose peak the results are held against.
    """
    kept = {name: value for name, value in os.environ.items() if not RELEVANT_VARIABLES.fullmatch(name)}
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", **(settings or {})}


def usage(command: list, folder: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command; its output goes to ``folder``/log.txt, whose end is shown if it fails.

    Where this process is stopped meanwhile, the command and the processes it started end first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    arguments = [str(part) for part in command]
    begin = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(
            arguments, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            _stop(process)
            raise
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        program = next(part for part in arguments[1:] if part != "-m")
        sys.exit(f"{program} failed:\n{log.read_text()[-3000:]}")
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * MEGABYTES_PER_UNIT)


def timed(command: list, folder: Path, environment: Mapping[str, str] | None = None) -> float:
    """Wall seconds of a command; its output goes to a log, whose end is shown if it fails."""
    return usage(command, folder, environment).wall


def _stop(process: subprocess.Popen) -> None:
    """End a command's processes as Ctrl-C does; what is left after the grace period, at once."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return


def measured(command: list, folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory (MB) of a command."""
    code = "import resource, subprocess, sys\nstatus = subprocess.run(sys.argv[1:]).returncode\n"
    code += "sys.exit(status) if status else print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    begin = time.perf_counter()
    arguments = [sys.executable, "-c", code, *map(str, command)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)
    if result.returncode:
        sys.exit(f"{command[1]} failed:\n{result.stderr[-3000:]}")
    return time.perf_counter() - begin, float(result.stdout.split()[-1]) * MEGABYTES_PER_UNIT
