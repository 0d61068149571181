"""The code of an archive: the files of a checkout that git tracks, with their commit, and what was changed since."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlab.archive.bag import Member
from convlab.common import provenance

CHECKOUT = (
    *("Snakefile", "Makefile", "config.yaml", "pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
    *("workflow", "scripts", "report", "profiles", "envs", "requirements", "studies", "config", "containers", "docs"),
)
"""Files and folders of convlab that are taken where git does not say which ones are."""

NOT_CODE = ("__pycache__", ".egg-info")


@dataclass(frozen=True)
class Code:
    """The code of a checkout.

    Attributes:
        files: by path below the checkout, as they are now.
        commit: commit and whether it was changed since, as :func:`provenance.commit` gives it; None without git.
        changes: what differs from the commit, for ``git apply``; empty where nothing does.
    """

    files: Mapping[str, Member]
    commit: Mapping[str, Any] | None
    changes: bytes = b""


def code_of(root: Path) -> Code:
    """The code of a checkout, whether it is a repository or not."""
    commit = provenance.commit(root)
    if commit is None:
        return Code(_members(root, _walked(root)), None)
    tracked = _git(root, "ls-files", "-z").split("\0")
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *provenance.CODE_FOLDERS).split("\0")
    return Code(_members(root, [*tracked, *new]), commit, _changes(root) if commit["modified"] else b"")


def _changes(root: Path) -> bytes:
    """What differs from the commit, byte for byte, so that ``git apply`` takes it.

    ``git diff`` would follow a user's settings, such as ``diff.noprefix``.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "diff")
        options = ("-p", "--binary", "--full-index", "--no-ext-diff", f"--output={output}")
        _git(root, "diff-index", *options, "HEAD", "--", ".")
        return output.read_bytes()


def commit_text(code: Code) -> str:
    """The commit in words."""
    if code.commit is None:
        return "no commit: the code was not in a git repository"
    return f"commit {code.commit['commit']}{', with changes' if code.commit['modified'] else ''}"


_git = provenance._git
"""Public in all but name: a run's code includes that module, so that another name would train every study again."""


def _members(root: Path, names: list[str]) -> dict[str, Member]:
    files = {name: root / name for name in names if name}
    return {
        name: Member(path, executable=os.access(path, os.X_OK))
        for name, path in sorted(files.items())
        if path.is_file() and not path.is_symlink()
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
