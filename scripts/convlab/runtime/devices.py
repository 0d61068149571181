"""Assigning a GPU to a process, before any framework is imported.

Snakemake counts GPUs (``--resources gpu=N``) but assigns none. Here each process takes a slot: a file in a folder of
this machine, locked as long as the process lives, so that even a kill releases it. Slots go round the devices: two
devices and four runs make two runs on each. Standard library only.
"""

import errno
import fcntl
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from convlab.errors import UserError

_slot_descriptors: list[int] = []
"""File descriptors of the slots that this process holds; the kernel closes them, and so releases them, at its end."""


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that this process may use, as CUDA names them; empty on a machine without.

    CUDA_VISIBLE_DEVICES, which a scheduler or the user may have set, is respected, also ``-1`` and an empty value.
    Without it these are the devices that ``nvidia-smi`` lists.
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in (part.strip() for part in chosen.split(",")) if name and name != "-1"]
    command = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if command is None:
        return []
    try:
        query = [command, "--query-gpu=index", "--format=csv,noheader"]
        listed = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):  # a driver that does not respond: no usable GPU
        return []
    return [name for name in listed if name.isdigit()]


def acquire_gpu(devices: Sequence[str], folder: Path) -> str:
    """Lock the first free slot of the device with the fewest runs until this process ends; returns the device.

    Never waits: Snakemake limits the number of concurrent runs. Raises UserError if ``folder`` belongs to another user.
    """
    _private(folder)
    for number in itertools.count():
        for device in devices:
            slot = folder / f"{device.replace('/', '_')}.{number}"
            try:
                descriptor = os.open(slot, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise UserError(f"cannot open {slot}: {error.strerror}; remove {folder} and run again") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    continue
                return device  # without file locks all processes share the first device
            _slot_descriptors.append(descriptor)
            return device
    raise AssertionError("itertools.count ended")


def use_one_gpu(environment: dict[str, str] | None = None, folder: Path | None = None) -> str | None:
    """Acquire a GPU and make it the only visible one; returns its name, or None without GPUs."""
    environment = os.environ if environment is None else environment
    devices = visible_gpus(environment)
    if not devices:
        return None
    device = acquire_gpu(devices, folder or slots_folder())
    # Without this CUDA numbers devices by speed and nvidia-smi by their position on the PCI bus.
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment["CUDA_VISIBLE_DEVICES"] = device
    return device


def slots_folder() -> Path:
    """Folder of this user's slots, on this machine."""
    return Path(tempfile.gettempdir()) / f"convlab-gpus-{os.getuid()}"


def _private(folder: Path) -> None:
    """Create ``folder`` for this user only. Raises UserError if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UserError(f"{folder} belongs to somebody else; have it removed, or set TMPDIR to a folder of your own")
