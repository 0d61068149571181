"""Docker or Podman, whichever works on this machine: build images of containers/ and run them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.project import ROOT

UNKNOWN_USER = (12345, 12345)
"""User and group id that no image has an entry for."""

HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "128"]

# Podman where systemd is not running, or where the right to raise limits of resources is missing.
WITHOUT_SYSTEMD = """
[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

DEFAULT_BASE = "python:3.12-slim"
"""FROM of both Dockerfiles, unless the build argument BASE names another image."""

PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
"""Settings of this machine's pip that the build needs, where they are set: how it reaches packages."""


@dataclass(frozen=True)
class Engine:
    """A container engine that has shown that it runs: its command, and the environment that it needs."""

    command: str
    environment: dict[str, str]

    def run(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Run the engine's command line; fails the test with its output unless ``check`` is false."""
        result = subprocess.run(
            [self.command, *arguments], env=self.environment, capture_output=True, text=True, **options
        )
        assert not check or result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
        return result

    def build(self, dockerfile: str, tag: str, folder: Path, *arguments: str) -> str:
        """Build one of containers/ from the base image that BASE names; ``folder`` is for pip's settings."""
        base = os.environ.get("BASE") or DEFAULT_BASE
        secrets = [f"--secret=id={name},src={path}" for name, path in pip_secrets(folder).items()]
        options = ["--build-arg", f"BASE={base}", *secrets, *arguments]
        self.run("build", "-f", f"containers/{dockerfile}", "-t", tag, *options, ".", cwd=ROOT, timeout=3000)
        return tag

    def inspect(self, image: str) -> dict:
        return json.loads(self.run("image", "inspect", image).stdout)[0]

    @contextmanager
    def started(self, image: str, *arguments: str, options: list[str]) -> Iterator[str]:
        """A container in the background while the block lasts: its id. Its network is this machine's."""
        name = self.run("run", "--detach", "--network", "host", *options, image, *arguments).stdout.strip()
        try:
            yield name
        finally:
            self.run("rm", "--force", name, check=False)

    def exit_status(self, name: str) -> int:
        """Wait for a container to end: its exit status, above 128 if a signal killed it."""
        return int(self.run("wait", name, timeout=60).stdout)


def find_engine(folder: Path) -> Engine | None:
    """Docker, else Podman, if it can run a container here; ``folder`` is for its settings."""
    settings = folder / "containers.conf"
    settings.write_text(WITHOUT_SYSTEMD)
    probe = os.environ.get("BASE") or DEFAULT_BASE
    for command in filter(shutil.which, ("docker", "podman")):
        for extra in ({}, {"CONTAINERS_CONF": str(settings)}):
            engine = Engine(command, {**os.environ, **extra})
            if engine.run("run", "--rm", probe, "true", check=False, timeout=600).returncode == 0:
                return engine
    return None


def pip_secrets(folder: Path) -> dict[str, Path]:
    """Settings of this machine's pip as files for ``--secret``: what it needs to reach packages, and certificates."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    remote = {
        name: " ".join(word for word in settings[name].split() if not word.startswith(("file:", "/")))
        for name in PIP_SETTINGS
        if name in settings
    }
    certificates = settings.get("cert")
    if certificates:
        remote["cert"] = "/run/secrets/certificates"
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in remote.items() if value)]) + "\n")
    return {"pip": file} | ({"certificates": Path(certificates)} if certificates else {})
