"""Where results come from: versions, hardware, code, commit. Gathered by scripts, shown by the report."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from convlab.code_inputs import code_parts

PACKAGES = (
    *("tensorflow", "tensorflow-cpu", "jax", "torch"),
    *("keras", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "snakemake"),
)


def versions() -> dict[str, str]:
    """Version of Python and of each package that matters and is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GB, operating system. No host name."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    try:  # Linux: unlike getrusage, this does not count what the parent process had before it started this one
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def code(script: Path) -> dict[str, str]:
    """Start of the SHA-256 of a script and of each module of convlab that it imports, by path below its folder."""
    return code_parts(script)


def commit(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout around ``folder`` and whether tracked files differ from it; None outside git."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": head, "modified": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return result.stdout.strip()
