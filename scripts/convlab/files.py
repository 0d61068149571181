"""Reading and writing results: every write is atomic, so that a killed job never leaves half a file."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from convlab.errors import UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, same suffixes; it replaces ``path`` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_space(folder: Path, size: int) -> None:
    """Raise what a full disk raises unless ``size`` bytes are free in ``folder``'s file system.

    For libraries that do not survive a full disk: HDF5 crashes the process that closes a file it could not write.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically; NaN and infinity become null, since JSON has neither."""
    write_text(path, json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or damaged file is a UserError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake again to make it") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run snakemake again") from None


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as an uncompressed ``.npz``, atomically; equal arrays give equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Read all arrays of an ``.npz`` without unpickling anything; a damaged file is a UserError that names it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake again to make it") from None
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{path} is damaged ({error}); delete it and run snakemake again") from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # what NumPy gives for a damaged member
        raise UserError(f"{path} is damaged; delete it and run snakemake again")
    return arrays


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes in C order."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """JSON's own types for NumPy scalars and arrays, tuples and non-finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
