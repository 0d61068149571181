"""Which GPU a process uses, decided before any framework is imported.

Snakemake counts GPUs and assigns none: it only sees to it that no more jobs run at once than there are slots
(``--resources gpu=N``). Here each process takes a slot: a file in a folder of this machine, locked for as long as the
process lives, so that even a kill gives it back. Slots go round the devices: two devices and four runs make two runs on
each. Standard library only.
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

_held: list[int] = []
"""Open files of the slots that this process holds: closed, and so given back, by the kernel at its end."""


def visible(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that this process may use, as CUDA names them; none on a machine without.

    What a scheduler or the user has put into CUDA_VISIBLE_DEVICES is respected, ``-1`` and nothing included. Otherwise
    these are the devices that ``nvidia-smi`` lists.
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
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer: no GPU to be had
        return []
    return [name for name in listed if name.isdigit()]


def acquire_gpu(devices: Sequence[str], folder: Path) -> str:
    """Take the first free slot of the device with the fewest runs, for the life of this process; its device.

    Never waits: how many runs there are at once is for Snakemake to decide. Raises UserError where ``folder`` is
    somebody else's.
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
                return device  # no locks here: better one device for all than none
            _held.append(descriptor)
            return device
    raise AssertionError("itertools.count ended")


def use_one_gpu(environment: dict[str, str] | None = None, folder: Path | None = None) -> str | None:
    """Choose a GPU for this process and leave only that one visible; its name, or None without GPUs."""
    environment = os.environ if environment is None else environment
    devices = visible(environment)
    if not devices:
        return None
    device = acquire_gpu(devices, folder or slots_folder())
    # Without this CUDA numbers devices by speed and nvidia-smi by their place in the machine.
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment["CUDA_VISIBLE_DEVICES"] = device
    return device


def slots_folder() -> Path:
    """Where this user's slots are: on this machine, since devices are."""
    return Path(tempfile.gettempdir()) / f"convlab-gpus-{os.getuid()}"


def _private(folder: Path) -> None:
    """Make ``folder``, for this user only; UserError where somebody else's lies in its place."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UserError(f"{folder} belongs to somebody else; have it removed, or set TMPDIR to a folder of your own")
