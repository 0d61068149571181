"""The code that a script depends on, found by reading its imports: what makes reruns exact."""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

from convlab.atomic import atomic

PACKAGE = "convlab"

IMPORT = re.compile(
    rf"^[ \t]*(?:from +({PACKAGE}[\w.]*) +import +(\([^)]*\)|[^\n(]*)|import +({PACKAGE}\b[^\n]*))", re.MULTILINE
)
"""An import of the package, as ruff formats it.

Found by text: parsing a hundred modules takes a third of a second, each time that Snakemake or one of its jobs starts.
A line of a docstring that looks like an import does no harm.
"""


@cache
def code_inputs(script: Path) -> list[Path]:
    """``script``, then every module of convlab that it imports, directly or not, in sorted order.

    Imports anywhere in a file count, those inside functions too.
    """
    root = script.parent
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path, root))
    return [script, *sorted(found - {script})]


def write_manifest(script: Path, manifest: Path) -> Path:
    """Write the checksums of all that ``script`` is made of to one small file, where they have changed; its path.

    A job then has one input where it would have twenty. A first manifest is as old as the newest part, so that results
    which came here without Snakemake's records are not taken for outdated.
    """
    parts = code_inputs(script)
    lines = [f"{_checksum(path)}  {path.relative_to(script.parent).as_posix()}\n" for path in parts]
    text, first = "".join(lines), not manifest.exists()
    if not first and manifest.read_text(encoding="utf-8") == text:
        return manifest
    with atomic(manifest, durable=False) as temporary:
        temporary.write_text(text, encoding="utf-8")
        if first:
            newest = max(path.stat().st_mtime_ns for path in parts)
            os.utime(temporary, ns=(newest, newest))
    return manifest


@cache
def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _imports(path: Path, root: Path) -> list[Path]:
    """Files of the package that one file imports, the ``__init__`` of each package on the way included."""
    names: set[str] = set()
    for module, members, plain in IMPORT.findall(path.read_text(encoding="utf-8")):
        names.update(re.findall(r"[\w.]+", plain))
        names.update([module] if module else [])
        names.update(f"{module}.{member}" for member in re.findall(r"\w+", members))
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != PACKAGE:
            continue
        for end in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:end])
            files.update(file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file())
    return sorted(files)
