"""Pin requirements/*.in as hashed requirements/*.txt for Python 3.11 to 3.13, and write the same pins to envs/*.yaml
and to what an exported model's archive asks for.

`make lock` runs it. Needs uv for resolving; `--envs` only writes envs/*.yaml again from the pins that are there.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).parent
ENVS = FOLDER.parent / "envs"
PYTHON = "3.12"
"""Python of the conda environments."""

LOCKS = {
    "cpu": "base.in cpu.in",
    "gpu": "base.in gpu.in -c cpu.txt",
    "serve": "serve.in -c cpu.txt",
    "deploy": "deploy.in serve.in -c cpu.txt",
    "sagemaker": "sagemaker.in -c cpu.txt -c deploy.txt",
    "dev": "dev.in -c cpu.txt -c deploy.txt -c sagemaker.txt",
    "cluster": "cluster.in -c cpu.txt",
    "jax": "base.in jax.in -c cpu.txt",
    "torch": "base.in torch.in -c cpu.txt",
}
"""Each lock file, in the order of resolving: what it asks for, and the pins that it keeps (-c).

The .in files hold requirements only, no options, because setuptools reads them too (pyproject.toml).
"""

ENVIRONMENTS = {
    "analysis": "Data, figures, statistics, report: everything but TensorFlow.",
    "tensorflow": "Training and evaluation: on CPUs, and with what tensorflow.post-deploy.sh adds on NVIDIA GPUs.",
    "jax": "Training and evaluation with `training: {backend: jax}`: on CPUs.",
    "torch": "Training and evaluation with `training: {backend: torch}`: on CPUs and NVIDIA GPUs.",
    "deploy": "Export and the local endpoint.",
    "sagemaker": "The same and AWS' SDK, for deploy.target: sagemaker.",
}

CUDA = ENVS / "tensorflow.post-deploy.sh"
"""What Snakemake runs in the environment that it has made of tensorflow.yaml: adds CUDA for machines with a GPU.

A script, and no second environment for GPUs: an environment's files are a part of what Snakemake compares, so that
choosing between two of them would run again all trainings that were made on a machine of the other kind.
"""

ARCHIVE = FOLDER.parent / "scripts" / "convlab" / "serving" / "requirements.txt"
"""What images that install an archive's requirements need to run it."""

ARCHIVED = ("numpy", "onnxruntime", "pillow")

TRAINING_JOB = FOLDER.parent / "scripts" / "convlab" / "cloud" / "requirements.txt"
"""What a training job on SageMaker installs, with hashes."""

INSTALLED_BY_JOB = (
    *("keras", "pydantic"),
    *("annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"),
)
"""This project's Keras, Pydantic and what Pydantic needs in certain versions. The image's TensorFlow brings all that
Keras needs, in any version; a second version of NumPy could break it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", action="store_true", help="only write envs/*.yaml")
    if not parser.parse_args().envs:
        for name, asked in LOCKS.items():
            command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-annotate"]
            command += ["--no-header", "--upgrade", "--python-version", "3.11", *asked.split()]
            subprocess.run([*command, "-o", f"{name}.txt"], cwd=FOLDER, check=True)
    for name in ENVIRONMENTS:
        (ENVS / f"{name}.yaml").write_text(environment(name))
    CUDA.write_text(cuda())
    ARCHIVE.write_text(archive())
    TRAINING_JOB.write_text(training_job())


def environment(name: str) -> str:
    """The text of ``envs/<name>.yaml``."""
    pins = pinned(name if name in ("jax", "torch") else "cpu")
    if name in ("deploy", "sagemaker"):
        pins = sorted({*pins, *pinned("deploy"), *(pinned("sagemaker") if name == "sagemaker" else ())})
    if name == "analysis":
        needless = tensorflow_only()
        pins = [pin for pin in pins if pin.split("==")[0] not in needless]
    lines = [
        f"# {ENVIRONMENTS[name]}",
        "# Written by requirements/lock.py from the pins in requirements/: `make lock`.",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {pin}" for pin in pins),
    ]
    return "\n".join(lines) + "\n"


def cuda() -> str:
    """The text of ``envs/tensorflow.post-deploy.sh``."""
    cpu, gpu = pinned("cpu"), pinned("gpu")
    needless = " ".join(pin.split("==")[0] for pin in cpu if pin not in gpu)
    needed = " ".join(pin for pin in gpu if pin not in cpu)
    return f"""\
#!/usr/bin/env bash
# CUDA, and the TensorFlow that computes with it, where this machine has an NVIDIA GPU. Snakemake runs this in the
# environment that it has just made of tensorflow.yaml. CONVLAB_CUDA=1: without a GPU too, as on a cluster's login node;
# CONVLAB_CUDA=0: not at all.
# Written by requirements/lock.py from the pins in requirements/: `make lock`.
set -euo pipefail
case "${{CONVLAB_CUDA:-}}" in
  0) exit ;;
  1) ;;
  "") nvidia-smi --list-gpus 2>/dev/null | grep '^GPU' >/dev/null || exit 0 ;;
  *) echo "error: CONVLAB_CUDA is $CONVLAB_CUDA; it should be 1, 0 or empty" >&2; exit 1 ;;
esac
python -m pip uninstall --quiet --yes {needless}
python -m pip install --quiet --no-deps {needed}
"""


def archive() -> str:
    """The text of the archive's ``code/requirements.txt``: pins for all versions of Python."""
    lines = (FOLDER / "serve.txt").read_text().splitlines()
    pins = [line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))]
    kept = [pin for pin in pins if re.split(r"[=\[; ]", pin)[0] in ARCHIVED]
    return "\n".join(["# Written by requirements/lock.py from requirements/serve.txt: `make lock`.", *kept]) + "\n"


def training_job() -> str:
    """The text of what a training job installs: the blocks of cpu.txt with their hashes."""
    blocks = re.split(r"\n(?=[^\s#])", (FOLDER / "cpu.txt").read_text().strip())
    kept = [block for block in blocks if re.split(r"[=\[; ]", block)[0] in INSTALLED_BY_JOB]
    return "\n".join(["# Written by requirements/lock.py from requirements/cpu.txt: `make lock`.", *kept]) + "\n"


def pinned(lock: str) -> list[str]:
    """``name==version`` of everything in a lock file that a conda environment on Linux gets."""
    marked = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux"}
    marked |= {"platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    pins = []
    for line in (FOLDER / f"{lock}.txt").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate(marked):
                extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
                pins.append(f"{requirement.name}{extras}{requirement.specifier}")
    return pins


def tensorflow_only() -> set[str]:
    """Packages that are pinned for TensorFlow alone: what base.in does not need."""
    from importlib.metadata import distribution

    needed, waiting = (
        set(),
        [
            Requirement(line)
            for line in (FOLDER / "base.in").read_text().splitlines()
            if line.strip() and not line.startswith("#")
        ],
    )
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        known = (name, frozenset(requirement.extras))
        if known in needed:
            continue
        needed.add(known)
        for text in distribution(name).requires or []:
            dependency = Requirement(text)
            extras = ["", *requirement.extras]
            if dependency.marker is None or any(dependency.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(dependency)
    names = {name for name, _ in needed}
    return {pin.split("==")[0] for pin in pinned("cpu")} - names


if __name__ == "__main__":
    sys.exit(main())
