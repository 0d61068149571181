"""Every use of Snakemake that its documentation does not promise, with the reason; an upgrade fails with this list."""

import inspect
import re
from pathlib import Path

import pytest
import snakemake.api  # noqa: F401  (first: the modules below need each other)
import yaml
from snakemake.dag import DAG
from snakemake.io import IOFile
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import ConfigSettings, DAGSettings, ExecutionSettings, RerunTrigger, StorageSettings
from snakemake.workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent

USED = {
    "snakefile": "where the checkout is, also as a module or with -s: the only public path of the file that is parsed",
    "configfiles": "config files on the command line replace config.yaml; the report's command to run again",
    "config_settings": "the same, as they were given on the command line, with the values of --config",
    "is_main_process": "a job's own Snakemake plans nothing and claims nothing",
    "storage_settings": "whether results lie in a storage, where they cannot be looked at while jobs are planned",
    "global_resources": "a GPU slot is asked for only where Snakemake is told how many there are",
    "persistence": "Snakemake's records: where there is none, results are held against config, code and data; "
    "and its lock, which a killed process leaves behind and any other Snakemake in the folder removes",
    "dag": "the planned jobs: what results without records are added to, and what the last line says is ready",
    "dag_settings": "what was forced by name is trained again though it is finished; rerun triggers without params",
    "execution_settings": "--nolock",
    "executor_plugin": "whether jobs will run, so that the study is claimed",
    "dryrun": "the same",
}
"""Attributes of ``workflow``."""


def test_no_other_attribute_of_the_workflow_is_used():
    text = "\n".join(
        path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*")] if path.is_file()
    )
    assert set(re.findall(r"\bworkflow\.(\w+)", re.sub(r"#.*|workflow\.rst", "", text))) == set(USED)


@pytest.mark.parametrize("name", USED)
def test_the_attribute_is_there(name):
    assert hasattr(Workflow, name) or f"self.{name}" in inspect.getsource(Workflow)


def test_what_their_parts_are_used_for_is_there():
    assert {"forcerun", "forceall", "forcetargets", "targets", "rerun_triggers"} <= set(
        DAGSettings.__dataclass_fields__
    )
    assert {"config", "configfiles"} <= set(ConfigSettings.__dataclass_fields__)
    assert "lock" in ExecutionSettings.__dataclass_fields__
    assert "default_storage_provider" in StorageSettings.__dataclass_fields__
    assert RerunTrigger.PARAMS
    assert callable(PersistenceBase.metadata) and callable(PersistenceBase.lock) and callable(IOFile)
    assert "forcefiles" in inspect.getsource(DAG.update_needrun), "jobs are added to the planned ones by it"
    assert isinstance(DAG.jobs, property)


def test_no_function_of_ours_has_a_name_of_snakemakes():
    text = "\n".join(path.read_text() for path in (ROOT / "workflow").rglob("*") if path.is_file())
    import snakemake.io
    import snakemake.ioflags

    names = {name for module in (snakemake.io, snakemake.ioflags) for name in dir(module) if not name.startswith("_")}
    assert not set(re.findall(r"^\s*def (\w+)", text, re.MULTILINE)) & names


@pytest.mark.parametrize("profile", sorted(ROOT.glob("profiles/*/profile.yaml")), ids=lambda path: path.parent.name)
def test_every_profile_names_all_triggers_so_that_a_users_own_cannot_switch_one_off(profile):
    triggers = yaml.safe_load(profile.read_text())["rerun-triggers"]
    assert {RerunTrigger.parse_choice(name) for name in triggers} == set(RerunTrigger)
