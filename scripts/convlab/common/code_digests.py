"""Digests of a script's code and all that it imports, so that edits rerun exactly the jobs that they affect."""

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
def code_inputs(script: Path, loaded: tuple[str, ...] = ()) -> list[Path]:
    """``script``, then every module of convlab that it imports, directly or not, in sorted order.

    Imports anywhere in a file count, those inside functions too.

    Args:
        loaded: dotted names of modules that the script loads by name, and so without an import that can be read: the
            family, kind or probe that this job is about (``convlab.models.families.conv``).
    """
    root = script.parent
    reached: set[Path] = set()
    waiting = [script, *(file for name in loaded for file in _files(name, root))]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(_imports(path, root))
    return [script, *sorted(reached - {script})]


def code_parts(script: Path, loaded: tuple[str, ...] = ()) -> dict[str, str]:
    """Start of the SHA-256 of each file of ``code_inputs``, by path below the script's folder."""
    return {
        path.relative_to(script.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in code_inputs(script, loaded)
    }


@cache
def code_digest(script: Path, loaded: tuple[str, ...] = ()) -> str:
    """One digest of a script's code, independent of the checkout's path, followed by the names of ``loaded``.

    Returns:
        Hexadecimal digits, then ``+`` and a module for each that is loaded by name: what ``matches`` needs to tell
        whether the code is still the same.
    """
    digest = content_of((name, checksum.encode()) for name, checksum in code_parts(script, loaded).items())
    return "+".join([digest, *loaded])


def matches(digest: str, script: Path) -> bool:
    """Whether ``digest``, from ``code_digest``, is that of ``script`` as it is now."""
    return digest == code_digest(script, tuple(digest.split("+")[1:]))


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
    return sorted({file for name in names for file in _files(name, root)})


def _files(name: str, root: Path) -> set[Path]:
    """The file of a dotted module of the package, and the ``__init__`` of each package on the way to it."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return set()
    stems = [root.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    return {file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()}
