"""Fixtures that all tests share: a copy of the project to change, and a finished tiny study in it."""

import os
import re
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

from builders.project import TINY, Project, copy_project
from convlab.common import i18n, locks

# What tests would take from whoever runs them: an account, a repository, a profile, the width of a terminal.
OF_THE_USER = re.compile(
    r"(AWS|SAGEMAKER|GIT|SNAKEMAKE)_.*|CONVLAB_(?!CACHE$).*|SOURCE_DATE_EPOCH|LANGUAGE|COLUMNS|FORCE_COLOR"
)
if "AWS_TEST_CONFIG" not in os.environ:  # a test on AWS itself is for the user's account
    for name in filter(OF_THE_USER.fullmatch, list(os.environ)):
        del os.environ[name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # no hooks, no signatures
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get(name)]))
os.environ["KERAS_HOME"] = os.devnull  # as scripts set it: Keras reads it when a test of this process first imports it
os.fsync = lambda descriptor: None
"""No test cuts the power, and to wait for the disk takes milliseconds at every small file."""

# Jobs in the background of a shell ignore Ctrl-C, and those of nohup a closed terminal; their children inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples in every run, on machines of any speed; --hypothesis-profile=default draws others.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

LONGEST_FIRST = (
    "test_nothing_lost", "test_faults", "test_end_to_end", "test_sagemaker", "test_page", "test_train",
    "test_export", "test_reruns", "test_statistics_calibration", "test_timing", "test_archive", "test_i18n",
    "test_claims", "test_report", "test_diff", "test_environment", "test_used_elsewhere", "test_metric",
    "test_serving", "test_records", "test_notebook", "test_registration", "test_deploy", "test_speeds",
    "test_tuning", "test_index", "test_statistics", "test_flips", "test_what_numbers_allow",
    "test_snakemake_report", "test_gpu_benchmark", "test_choice", "test_speed_benchmark", "test_training_recipe",
    "test_guard", "test_software_environments", "test_probe", "test_looks", "test_explore", "test_backends",
    "test_model_registry", "test_batch_transform", "test_describe", "test_figures", "test_fewer_than_three_seeds",
    "test_governed", "test_report_markdown", "test_peek", "test_calibration_images", "test_step_benchmark",
    "test_fingerprint",
)  # fmt: skip
"""xdist hands files out in this order (``--no-loadscope-reorder``), so that no long one begins at the end."""


BEFORE_COLLECTION = frozenset(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for name in os.environ.keys() - BEFORE_COLLECTION:  # KERAS_BACKEND, by test files that import Keras
        if not name.startswith("PYTEST"):
            del os.environ[name]
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(autouse=True)
def own_environment():
    """A script that a test calls may set environment variables, such as Keras' backend; the next test has none."""
    if "KERAS_BACKEND" not in BEFORE_COLLECTION:  # fixtures of whole files may have imported Keras, which sets it
        os.environ.pop("KERAS_BACKEND", None)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def english():
    """A script that a test calls may choose a language; the next test begins in English."""
    yield
    i18n.set_language(i18n.SOURCE)


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy of the project, without results."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> Project:
    """A copy of the project in which the tiny study has been run to its report. Never change it: copy it.

    One for all of xdist's workers, whose temporary folders have one parent; the first to need it makes it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with locks.locked(folder / "finished.lock", "another worker makes the finished study"):
        if not (folder / "finished").exists():
            shutil.rmtree(folder / "unfinished", ignore_errors=True)
            project = copy_project(folder / "unfinished/project")
            project.configure(TINY)
            result = project.snakemake()
            assert result.returncode == 0, result.stdout + result.stderr
            (folder / "unfinished").rename(folder / "finished")
    return Project(folder / "finished/project")


@pytest.fixture
def finished(finished_study, tmp_path) -> Project:
    """A copy of the finished tiny study, Snakemake's records included, to change at will."""
    return finished_study.copy(tmp_path / "project")
