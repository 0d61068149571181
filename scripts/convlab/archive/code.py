"""The code of an archive: convlab's files in a checkout, with their commit, and what was changed since.

A checkout may hold much that git tracks and that is not the study's code: images, which nobody may have a licence to
publish, results, other work. So what belongs to convlab is taken, and of that no file that the study reads images from.
"""

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from convlab.archive.bag import Member
from convlab.common import provenance

CHECKOUT = (
    *("Snakefile", "Makefile", "config.yaml", "pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
    *("CONTRIBUTING.md", ".gitignore", ".snakemake-workflow-catalog.yml", ".ci", ".github"),
    *("workflow", "scripts", "report", "profiles", "envs", "requirements", "studies", "config", "containers", "docs"),
    *("benchmarks", "tests"),
)
"""Files and folders of convlab; what else lies in its checkout is the user's."""

OF_USERS = ("studies", "config")
"""Folders of these in which users have files of their own."""

CODE_SUFFIXES = (".yaml", ".yml", ".py", ".md")
"""Files that are taken from folders of ``OF_USERS``: configs, models and texts about them, and no images."""

NOT_CODE = ("__pycache__", ".egg-info")


@dataclass(frozen=True)
class Code:
    """The code of a checkout.

    Attributes:
        files: by path below the checkout, as they are now.
        commit: the commit and whether these files were changed since; None without git.
        changes: what differs from the commit in files that it has, for ``git apply``; empty where nothing does.
    """

    files: Mapping[str, Member]
    commit: Mapping[str, Any] | None
    changes: bytes = b""


def code_of(root: Path, data: Collection[Path] = ()) -> Code:
    """The code of a checkout, whether it is a repository or not.

    Args:
        data: files and folders with images, absolute and without links: what is at or below them is no code.
    """
    root = root.resolve()
    inside = {path for path in data if path.is_relative_to(root)} - {root}

    def code_among(names: list[str]) -> list[str]:
        return [name for name in names if _is_code(name) and inside.isdisjoint(_with_parents(root / name))]

    commit = provenance.commit(root)
    if commit is None:
        return Code(_members(root, code_among(_walked(root))), None)
    tracked = code_among(_listed(root, "ls-files", "-z"))
    new = code_among(_listed(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *provenance.CODE_FOLDERS))
    names = ("--name-only", "-z", "--no-renames", "--no-relative")
    changed = code_among(_listed(root, "diff", *names, "HEAD", "--", ".")) if commit["modified"] else []
    commit = {**commit, "modified": bool(changed or new)}
    return Code(_members(root, [*tracked, *new]), commit, _changes(root, changed) if changed else b"")


def _changes(root: Path, changed: list[str]) -> bytes:
    """What differs from the commit in these files, byte for byte, so that ``git apply`` takes it.

    ``git diff`` would follow a user's settings, such as ``diff.noprefix``.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "diff")
        options = ("-p", "--binary", "--full-index", "--no-ext-diff", f"--output={output}")
        _git(root, "diff-index", *options, "HEAD", "--", *(f":(literal){name}" for name in changed))
        return output.read_bytes()


def commit_text(code: Code) -> str:
    """The commit in words."""
    if code.commit is None:
        return "no commit: the code was not in a git repository"
    return f"commit {code.commit['commit']}{', with changes' if code.commit['modified'] else ''}"


_git = provenance._git
"""Public in all but name: a run's code includes that module, so that another name would train every study again."""


def _listed(root: Path, *arguments: str) -> list[str]:
    """The paths that a git command lists, each ended by a zero byte."""
    return [name for name in _git(root, *arguments).split("\0") if name]


def _is_code(name: str) -> bool:
    """Whether a path below a checkout is one of convlab's own, or of the kind that users write for it."""
    top = PurePosixPath(name).parts[0]
    return top in CHECKOUT and (top not in OF_USERS or name.endswith(CODE_SUFFIXES))


def _with_parents(path: Path) -> tuple[Path, ...]:
    return path, *path.parents


def _members(root: Path, names: list[str]) -> dict[str, Member]:
    return {
        name: Member(root / name, executable=os.access(root / name, os.X_OK))
        for name in sorted(names)
        if (root / name).is_file() and not (root / name).is_symlink()
    }


def _walked(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for name in CHECKOUT for path in _files(root / name)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for file in path.rglob("*"):
        hidden = any(part.startswith(".") or part.endswith(NOT_CODE) for part in file.relative_to(path).parts)
        if file.is_file() and not hidden:
            yield file
