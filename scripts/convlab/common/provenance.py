"""Provenance of results: package versions, hardware, memory use, git commit."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("tensorflow", "tensorflow-cpu", "jax", "torch"),
    *("keras", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "snakemake"),
)


def versions() -> dict[str, str]:
    """Version of Python and of each installed package of PACKAGES."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GB, operating system. No host name."""
    return {
        "processor": _processor(),
        "instructions": instructions(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine() or "unknown"


def _cpuinfo(*keys: str) -> str:
    """Value of the first of ``keys`` in /proc/cpuinfo; empty without one, or on another system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() in keys)
    return next(values, "")


INSTRUCTIONS = re.compile(
    r"avx|avx2|fma|f16c|avx_vnni|avx_vnni_int8|avx_ne_convert|avx10.*|avx512.*|amx_.*|asimd.*|sve.*|bf16|i8mm"
)
"""Flags of /proc/cpuinfo by which TensorFlow, oneDNN, XLA and NumPy choose how to compute."""


def instructions() -> str:
    """The processor's vector instructions, space-separated and sorted; empty on systems without /proc/cpuinfo."""
    return " ".join(sorted(filter(INSTRUCTIONS.fullmatch, _cpuinfo("flags", "Features").split())))


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    try:  # Linux: unlike getrusage, this does not count what the parent process had before it started this one
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


IGNORED_GIT_VARIABLES = r"GIT_.*"
"""Variables by which a shell or a git hook names another repository, index or setting."""

CODE_FOLDERS = ("scripts", "workflow", "report")
"""Folders of a checkout in which a file that git does not know yet can change results too."""


def commit(root: Path) -> dict[str, Any] | None:
    """Commit of the checkout at ``root``, and whether it was changed since.

    None if ``root`` is not the top level of a repository (the commit of a surrounding one is not convlab's), and if git
    is missing or fails.
    """
    root = root.resolve()
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root:
            return None
        head = _git(root, "rev-parse", "HEAD")
        lines = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".").splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    modified = [line for line in lines if not line.startswith("??") or line[3:].strip('"').startswith(CODE_FOLDERS)]
    return {"commit": head, "modified": bool(modified)}


def _git(root: Path, *arguments: str) -> str:
    """Output of a git command in ``root``, whoever owns it and whatever repository the environment names."""
    environment = {name: value for name, value in os.environ.items() if not re.fullmatch(IGNORED_GIT_VARIABLES, name)}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}  # asking changes nothing in a shared checkout
    settings = (f"safe.directory={root}", "core.fsmonitor=false", "core.quotePath=false")
    options = [part for setting in settings for part in ("-c", setting)]
    result = subprocess.run(
        ["git", "-C", str(root), *options, *arguments],
        capture_output=True, text=True, errors="surrogateescape", check=True, timeout=30, env=environment,
    )  # fmt: skip
    return result.stdout.rstrip("\n")
