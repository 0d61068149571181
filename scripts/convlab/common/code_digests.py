"""The code that a script depends on, found by reading its imports: what makes reruns exact."""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

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


def code_parts(script: Path) -> dict[str, str]:
    """Start of the SHA-256 of a script and of each module of convlab that it imports, by path below its folder."""
    return {
        path.relative_to(script.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in code_inputs(script)
    }


@cache
def code_digest(script: Path) -> str:
    """One digest of all that ``script`` is made of, the same wherever the checkout lies."""
    return content_of((name, checksum.encode()) for name, checksum in code_parts(script).items())


def content_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Digest of named contents, in their order."""
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()[:32]


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
