"""Keras' backend, GPU, memory and thread settings, which it reads on import. Standard library only.

Import this module first, call ``configure``, then import what needs Keras (``keras_runtime`` and all that imports it).
"""

import importlib.util
import os
import sys

from convlab.errors import UserError
from convlab.runtime import devices


def configure(backend: str, threads: int) -> None:
    """Configure this process for ``backend`` with ``threads`` threads on one GPU, if there is one.

    Raises UserError if the backend is not installed, RuntimeError if Keras was imported with another one.
    """
    if "keras" in sys.modules and os.environ.get("KERAS_BACKEND", "tensorflow") != backend:
        raise RuntimeError(f"Keras was imported before its backend was chosen to be {backend}")
    if problem := not_installed(backend):
        raise UserError(problem)
    os.environ["KERAS_BACKEND"] = backend
    if devices.use_one_gpu() is not None:
        # Take memory as it is needed, so that several runs share a device, and compute the same bytes each time.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what PyTorch asks for; see keras_runtime
        if backend == "jax":
            _add_xla_flag("xla_gpu_deterministic_ops", "true")
    if backend == "jax":
        os.environ["NPROC"] = str(threads)  # the size of XLA's thread pools on a CPU
        _add_xla_flag("xla_cpu_multi_thread_eigen", "true" if threads > 1 else "false")


def not_installed(backend: str) -> str:
    """What to do about a backend that is not installed; empty for one that is."""
    if importlib.util.find_spec(backend) is not None:
        return ""
    requirements = "cpu" if backend == "tensorflow" else backend
    return (
        f"training.backend is {backend}, which is not installed; install it with 'make install BACKEND={backend}' "
        f"or 'pip install --require-hashes -r requirements/{requirements}.txt'"
    )


def _add_xla_flag(name: str, value: str) -> None:
    """Set a flag of XLA unless the user has chosen its value."""
    flags = os.environ.get("XLA_FLAGS", "")
    if f"--{name}" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{name}={value}".strip()
