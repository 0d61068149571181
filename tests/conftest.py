"""Fixtures that all tests share: a copy of the project to change, and a finished tiny study in it."""

import os
import shutil

import pytest

from builders.project import TINY, Project, copy_project
from convlab.common import i18n


@pytest.fixture(autouse=True)
def own_environment():
    """A script that a test calls may set environment variables, such as Keras' backend; the next test has none."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def english():
    """A script that a test calls may choose a language; the next test begins in English."""
    yield
    i18n.use(i18n.SOURCE)


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy of the project, without results."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> Project:
    """A copy of the project in which the tiny study has been run to its report. Never change it: copy it."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.configure(TINY)
    result = project.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def finished(finished_study, tmp_path) -> Project:
    """A copy of the finished tiny study, Snakemake's records included, to change at will."""
    shutil.copytree(finished_study.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
