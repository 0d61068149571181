"""Packages that a training job installs: pinned with hashes, and packed along as wheels if it has no network."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path

from convlab.datasets.cache import cache_folder
from convlab.errors import UserError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""Written by requirements/lock.py. TensorFlow, NumPy and what else Keras needs are in the image."""

WHEELS = "wheels"
"""Folder of the wheels beside the packed requirements.txt."""

IMAGE_PYTHON = re.compile(r"-py(\d)(\d+)(?=-|$)")
"""Python's version in the tag of AWS' images."""

USUAL_PYTHON = "3.12"
"""Of an image whose tag names none: that of AWS' images for the TensorFlow that this project trains with."""

PLATFORMS = tuple(f"{tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_5"))
"""Wheels that run in any image with glibc 2.28 (2018) or newer."""


def pack(folder: Path, image: str, isolated: bool) -> None:
    """Write ``requirements.txt`` to the folder of a job's code, and the wheels too for a job without a network.

    Raises UserError as ``check`` does.
    """
    text = REQUIREMENTS.read_text(encoding="utf-8")
    if isolated:
        text = f"--no-index\n--find-links {WHEELS}\n{text}"
        shutil.copytree(wheels(image), folder / WHEELS)
    (folder / "requirements.txt").write_text(f"--require-hashes\n{text}", encoding="utf-8")


def check(image: str, isolated: bool) -> None:
    """Raise UserError if the job's Keras would not be the one that is installed here, or its wheels cannot be had."""
    check_keras()
    if isolated:
        wheels(image)


def check_keras() -> None:
    """Raise UserError if this environment's Keras is not the pinned one, whose models it need not be able to read."""
    if version("keras") != pins()["keras"]:
        raise UserError(
            f"a training job installs keras {pins()['keras']}, and here is {version('keras')}, which need not read its "
            "model; install what is pinned: pip install --require-hashes -r requirements/cpu.txt"
        )


def pins() -> dict[str, str]:
    """Version of each package in REQUIREMENTS."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))


def wheels(image: str) -> Path:
    """Folder with a wheel for each requirement, for the image's Python on Linux; downloaded by pip unless cached.

    Raises UserError if pip cannot have them.
    """
    match = IMAGE_PYTHON.search(image)
    python = f"{match[1]}.{match[2]}" if match else USUAL_PYTHON
    content = REQUIREMENTS.read_bytes()
    folder = cache_folder() / WHEELS / f"py{python}-{hashlib.sha256(content).hexdigest()[:16]}"
    if complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [*_pip(Path(temporary) / "pip"), "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", python]
        command += ["--implementation", "cp", *(f"--platform={platform}" for platform in PLATFORMS)]
        command += ["--dest", f"{temporary}/{WHEELS}", "--requirement", str(REQUIREMENTS)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode or not complete(Path(temporary) / WHEELS):
            lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
            raise UserError(
                f"the packages for training with network_isolation, for Python {python}, could not be downloaded: "
                f"{lines[0].removeprefix('ERROR: ')[:300]}"
            )
        shutil.rmtree(folder, ignore_errors=True)
        try:
            (Path(temporary) / WHEELS).rename(folder)
        except OSError:  # another process was faster
            if not complete(folder):
                raise
    return folder


def complete(folder: Path) -> bool:
    """Whether the folder holds one wheel for each requirement and nothing else, each with a hash that it names."""
    if not folder.is_dir():
        return False
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", REQUIREMENTS.read_text(encoding="utf-8")))
    files = sorted(folder.iterdir())
    names = [path.name.split("-")[0].lower().replace("_", "-") for path in files]
    return sorted(pins()) == sorted(names) and all(
        hashlib.sha256(path.read_bytes()).hexdigest() in hashes for path in files
    )


def _pip(folder: Path) -> list[str]:
    """The command for pip; environments that uv makes have none, so it is made in ``folder`` then."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    try:
        venv.create(folder, with_pip=True)
    except subprocess.CalledProcessError:  # Debian's Python without python3-venv
        raise UserError(
            "training with network_isolation needs pip, to download what the job installs, and Python cannot make it "
            f"here ({sys.executable}); install pip into this environment, or Debian's python3-venv"
        ) from None
    return [str(folder / "bin/python"), "-m", "pip"]
