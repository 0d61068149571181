"""Where results come from: the commit of convlab's own checkout, never of a repository around it."""

import subprocess
from pathlib import Path

import pytest

from convlab.common import provenance

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(autouse=True)
def plain_git(monkeypatch, tmp_path):
    """Git without the user's settings and without the variables of a hook."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


def repository(folder: Path) -> Path:
    """A committed checkout with one script."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/train.py").write_text("# train\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_the_commit_of_the_checkout(tmp_path):
    root = repository(tmp_path / "con vlab é")
    assert provenance.commit(root) == {"commit": git(root, "rev-parse", "HEAD"), "modified": False}


def test_a_repository_around_says_nothing_of_convlab(tmp_path):
    around = repository(tmp_path / "around")
    inside = around / "tools/convlab"
    (inside / "scripts").mkdir(parents=True)
    assert provenance.commit(inside) is None
    git(around, "add", "-A")
    assert provenance.commit(inside) is None


def test_a_folder_that_is_no_repository(tmp_path):
    assert provenance.commit(tmp_path) is None


def test_a_repository_without_commits(tmp_path):
    git(tmp_path, "init", "-q")
    assert provenance.commit(tmp_path) is None


def test_without_git(tmp_path, monkeypatch):
    root = repository(tmp_path / "convlab")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit(root) is None


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CEILING_DIRECTORIES"])
def test_git_variables_of_the_shell_are_not_followed(tmp_path, monkeypatch, name):
    root, other = repository(tmp_path / "convlab"), repository(tmp_path / "other")
    git(other, "commit", "-q", "--allow-empty", "-m", "second")
    expected = git(root, "rev-parse", "HEAD")
    values = {"GIT_DIR": other / ".git", "GIT_WORK_TREE": other, "GIT_INDEX_FILE": tmp_path / "none"}
    monkeypatch.setenv(name, str(values.get(name, tmp_path)))
    assert provenance.commit(root) == {"commit": expected, "modified": False}


@pytest.mark.parametrize(
    ("path", "modified"),
    [("scripts/train.py", True), ("scripts/new.py", True), ("workflow/rules/x.smk", True), ("results/x.csv", False)],
)
def test_what_is_not_committed_is_told(tmp_path, path, modified):
    root = repository(tmp_path / "convlab")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("edited\n")
    assert provenance.commit(root)["modified"] is modified


def test_a_worktree_and_a_link_to_a_checkout(tmp_path):
    root = repository(tmp_path / "convlab")
    git(root, "worktree", "add", "-q", str(tmp_path / "second"))
    (tmp_path / "link").symlink_to(root)
    expected = {"commit": git(root, "rev-parse", "HEAD"), "modified": False}
    assert provenance.commit(tmp_path / "second") == provenance.commit(tmp_path / "link") == expected


def test_a_checkout_of_another_user(tmp_path, monkeypatch):
    root = repository(tmp_path / "convlab")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own tests pretend so
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "status")
    monkeypatch.setattr(provenance, "IGNORED_GIT_VARIABLES", r"GIT_(?!TEST_).*")
    assert provenance.commit(root) == {
        "commit": git(root, "-c", f"safe.directory={root}", "rev-parse", "HEAD"),
        "modified": False,
    }


def test_nothing_that_a_repository_asks_for_is_run(tmp_path):
    root = repository(tmp_path / "convlab")
    (root / "monitor").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (root / "monitor").chmod(0o755)
    git(root, "config", "core.fsmonitor", str(root / "monitor"))
    provenance.commit(root)
    assert not (tmp_path / "ran").exists()
