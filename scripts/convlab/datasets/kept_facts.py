"""Facts of a user's files that take long to read, kept until a file's size or time changes. Standard library only.

The config is parsed each time that jobs are planned; the labels of a CSV file are then read once and not every time.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_FOLDER = Path(".snakemake/convlab")
_kept: dict[str, Any] = {}


def kept_facts(paths: Sequence[Path], settings: Sequence[Any], read: Callable[[], Any]) -> Any:
    """What ``read`` gives, a value of JSON types, from memory or disk if it was read of the same files before.

    ``settings`` are what else the result depends on, values of JSON types.
    """
    files = [(str(path.absolute()), path.stat()) for path in paths]
    # The time of the last change too: rsync and tar set that of the content back.
    stamps = [[name, status.st_size, status.st_mtime_ns, status.st_ctime_ns] for name, status in files]
    code = hashlib.sha256(json.dumps([_VERSION, settings, stamps]).encode()).hexdigest()[:24]
    if code in _kept:
        return _kept[code]
    file = _FOLDER / f"facts-{code}.json"
    with suppress(OSError, ValueError):
        _kept[code] = json.loads(file.read_text(encoding="utf-8"))
        return _kept[code]
    _kept[code] = facts = json.loads(json.dumps(read()))
    if _FOLDER.parent.is_dir():
        temporary = file.with_name(f".{uuid.uuid4().hex[:12]}.{file.name}")
        with suppress(OSError):
            _FOLDER.mkdir(exist_ok=True)
            temporary.write_text(json.dumps(facts), encoding="utf-8")
            temporary.replace(file)
    return facts


_VERSION = 1
"""Raised when what is kept changes its meaning."""
