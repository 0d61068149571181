"""Every use of Snakemake that its documentation does not promise, with the reason; an upgrade fails with this list.

Documented, so not listed: the language of Snakefiles, handlers (`onstart:`), `rules.<name>.output`, profiles.
"""

import inspect
import io
import re
import string
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import snakemake.api  # first: the modules below need each other
import snakemake.io
import snakemake.ioflags
import yaml
from snakemake.dag import DAG
from snakemake.io import IOFile
from snakemake.jobs import Job
from snakemake.logging import DefaultFormatter
from snakemake.persistence import PersistenceBase
from snakemake.rules import Rule
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    RerunTrigger,
    StorageSettings,
)
from snakemake.workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent

FORCED = "what was forced by name is trained again though it is finished"
PLANNED = "the planned jobs: the last lines name what is ready of them"
UNDOCUMENTED = {
    "workflow.snakefile": "where the checkout is, also as a module or with -s; workflow.source_path gives a copy",
    "workflow.configfiles": "two studies on the command line are refused, and the report names the config files",
    "workflow.config_settings.configfiles": "config files on the command line replace config.yaml",
    "workflow.config_settings.config": "the values of --config, for the command in the report",
    "workflow.is_main_process": "a job's own Snakemake looks at no results and says nothing twice",
    "workflow.storage_settings.default_storage_provider": "results in a storage are not here to be looked at",
    "workflow.deployment_settings.deployment_method": "an image is named with --sdm apptainer alone: "
    "Snakemake refuses a path with a space also where no image is used, and runs jobs without one where none is named",
    "workflow.global_resources": "a GPU slot is asked for only where Snakemake is told how many there are: SLURM and "
    "Kubernetes take the resource as a request for a device",
    "workflow.persistence.metadata": "results of which Snakemake has no record are held against config, code and data",
    "workflow.dag.forcefiles.add": "plans jobs of damaged results, and of results without a record that are outdated",
    "workflow.dag.jobs": PLANNED,
    "job.rule.name": PLANNED,
    "workflow.dag_settings.forcerun": FORCED,
    "workflow.dag_settings.forceall": FORCED,
    "workflow.dag_settings.forcetargets": FORCED,
    "workflow.dag_settings.targets": FORCED,
    "workflow.dag_settings.rerun_triggers": "a profile of the user's that leaves out params is warned of",
    "snakemake.io.IOFile": "what Snakemake's records are asked about",
    "snakemake.exceptions.WorkflowError": "an error in one sentence; an example of the documentation imports it, too",
    "snakemake.utils.min_version": "documented",
}
"""Whatever the rules take from Snakemake's objects and packages, with the reason."""

SNAKEMAKES = {"workflow", "dag", "persistence", "job", "snakemake"}
"""Names of Snakemake's objects in Snakefiles."""


def workflow_files() -> list[Path]:
    return [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]


def code_of(text: str) -> Iterator[list[str]]:
    """Names and operators of a Snakefile, without its comments and strings; expressions in f-strings one by one."""
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING and "f" in token.string.partition(token.string[-1])[0].lower():
            fields = string.Formatter().parse(re.sub(r"^\w*", "", token.string).strip("\"'"))
            for expression in (name for _, name, _, _ in fields if name):
                yield from code_of(expression)
        elif token.type in (tokenize.NAME, tokenize.OP):
            tokens.append(token.string)
    yield tokens


def uses(text: str) -> set[str]:
    """Chains of attributes that begin with an object of Snakemake's, ``workflow.dag.jobs``, and what is imported."""
    chains = set()
    for tokens in code_of(text):
        position = 0
        while position < len(tokens):
            before, name = tokens[position - 1] if position else "", tokens[position]
            position += 1
            if name not in SNAKEMAKES or before == ".":
                continue
            if before == "for":
                continue  # a variable of a loop, by that name
            chain = [name]
            while tokens[position : position + 1] == ["."]:
                chain.append(tokens[position + 1])
                position += 2
            if before == "from":
                assert tokens[position] == "import" and tokens[position + 1] != "("
                chains |= {".".join([*chain, tokens[position + 1]])}
                assert tokens[position + 2 : position + 3] != [","], "one import a line"
            else:
                chains.add(".".join(chain))
    return chains


def test_nothing_undocumented_is_used_that_is_not_listed():
    assert set().union(*(uses(path.read_text()) for path in workflow_files())) == set(UNDOCUMENTED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workflow.persistence.lock = None", {"workflow.persistence.lock"}),
        ("rule a:\n    params:\n        b=lambda wildcards: workflow.touch,\n", {"workflow.touch"}),
        ('print(f"{workflow.dag.x} {y}")', {"workflow.dag.x"}),
        ("dag = workflow.dag\n", {"workflow.dag", "dag"}),
        ('getattr(workflow, "lock")', {"workflow"}),
        ("from snakemake.io import get_flag_value\n", {"snakemake.io.get_flag_value"}),
        ("import snakemake.dag\n", {"snakemake.dag"}),
        ('names = {job.rule.name for job in jobs}  # workflow.x\n"workflow.y"', {"job.rule.name"}),
    ],
)
def test_a_use_is_found_wherever_it_hides(text, expected):
    assert uses(text) == expected


def test_scripts_know_nothing_of_snakemake():
    for path in (ROOT / "scripts").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) snakemake\b", path.read_text(), re.MULTILINE), path


def has(kind: type, name: str) -> bool:
    return hasattr(kind, name) or f"self.{name}" in inspect.getsource(kind)


@pytest.mark.parametrize(
    "name", sorted({use.split(".")[1] for use in UNDOCUMENTED if use.startswith("workflow.")}), ids=str
)
def test_the_attribute_is_there(name):
    assert has(Workflow, name)


def test_what_their_parts_are_used_for_is_there():
    parts = {
        "dag_settings": DAGSettings,
        "config_settings": ConfigSettings,
        "storage_settings": StorageSettings,
        "deployment_settings": DeploymentSettings,
        "persistence": PersistenceBase,
        "dag": DAG,
    }
    for use in UNDOCUMENTED:
        _, owner, *attributes = use.split(".")
        if use.startswith("workflow.") and attributes:
            fields = getattr(parts[owner], "__dataclass_fields__", {})
            assert attributes[0] in fields or has(parts[owner], attributes[0]), use
    assert "forcefiles" in inspect.getsource(DAG.update_needrun), "jobs are added to the planned ones by it"
    assert has(Job, "rule") and has(Rule, "name") and callable(IOFile)
    assert RerunTrigger.PARAMS and DeploymentMethod.APPTAINER


def test_a_dry_run_names_every_job_in_the_line_that_archives_read():
    """`make archive` refuses outdated results: a dry run names them, ``Job 3: train cnn``, which no page documents."""
    assert "Job {msg['jobid']}: {msg['rule_msg']}" in inspect.getsource(DefaultFormatter.format_job_info)
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        rules, messages = (re.findall(rf"^\s*{word}", text, re.MULTILINE) for word in ("rule ", "message:"))
        assert len(rules) == len(messages), f"{path.name}: a rule without a message is left out"


def test_no_function_of_ours_has_a_name_of_snakemakes():
    text = "\n".join(path.read_text() for path in workflow_files())
    names = {name for module in (snakemake.io, snakemake.ioflags) for name in dir(module) if not name.startswith("_")}
    assert not set(re.findall(r"^\s*def (\w+)", text, re.MULTILINE)) & names


def test_snakemakes_version_is_bounded_since_undocumented_parts_are_used():
    assert "snakemake>=9.27,<9.28" in (ROOT / "requirements/base.in").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("profiles/*/profile.yaml")), ids=lambda path: path.parent.name)
def test_every_profile_names_all_triggers_and_leaves_the_lock_to_us(path):
    """So that a profile of the user's own cannot switch a trigger off, and no killed process leaves a lock behind."""
    profile = yaml.safe_load(path.read_text())
    assert {RerunTrigger.parse_choice(name) for name in profile["rerun-triggers"]} == set(RerunTrigger)
    assert profile["nolock"] is True
