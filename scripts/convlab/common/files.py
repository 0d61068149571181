"""Reading and writing JSON, text and arrays: writes are atomic, reads are verified by recorded checksums."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convlab.common import checksums
from convlab.common.atomic import atomic, write_text
from convlab.errors import UserError


def require_space(folder: Path, size: int) -> None:
    """Raise OSError(ENOSPC) unless ``size`` bytes are free in ``folder``'s file system.

    For libraries that do not survive a full disk: HDF5 crashes the process that closes a file it could not write.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically; NaN and infinity become null, since JSON has neither."""
    write_text(path, json.dumps(to_json(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or damaged file is a UserError that names it."""
    return json.loads(read_text(path, json.loads))


def read_text(path: Path, parse: Callable[[str], Any] = str) -> str:
    """Read UTF-8 text that ``parse`` accepts (it raises ValueError where not).

    A file that is missing, damaged, or not what the job that wrote it recorded, is a UserError that names it.
    """
    checksums.verify(path)
    try:
        text = path.read_text(encoding="utf-8")
        parse(text)
        return text
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise checksums.damaged(path, "it is a folder") from None
    except (ValueError, RecursionError) as error:
        raise checksums.damaged(path, str(error)) from None


def missing(path: Path) -> UserError:
    """The UserError for a missing result."""
    return UserError(f"{path} is missing; run snakemake again to make it")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as an uncompressed ``.npz``, atomically; equal arrays give equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Read all arrays of an ``.npz`` without unpickling anything.

    A file that is missing, damaged, or not what the job that wrote it recorded, is a UserError that names it.
    """
    checksums.verify(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise missing(path) from None
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise checksums.damaged(path, str(error)) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # what NumPy returns for a damaged member
        raise checksums.damaged(path, "it holds something else than arrays")
    return arrays


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes in C order."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def to_json(value: Any) -> Any:
    """JSON's own types for NumPy scalars and arrays, tuples and non-finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
