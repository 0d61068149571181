"""`pip install -e .` gives an importable library that asks for the versions in requirements/*.in."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from builders.project import ROOT
from convlab.study.load import load_study

REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@dataclass(frozen=True)
class Installation:
    """A copy of the project, and an environment into which it was installed with `pip install -e . --no-deps`."""

    checkout: Path
    python: Path

    def evaluate(self, statements: str, folder: Path) -> str:
        """What Python of the environment prints, started in ``folder``."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [self.python, "-c", statements]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Installation:
    folder = tmp_path_factory.mktemp("installed")
    checkout, venv = folder / "checkout", folder / "venv"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, checkout)
    shutil.copytree(REQUIREMENTS, checkout / "requirements")
    shutil.copytree(ROOT / "scripts", checkout / "scripts", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", venv], check=True)
    made = Installation(checkout, venv / "bin" / "python")
    # The packages that the tests run with, which --system-site-packages leaves out where they are in a .venv.
    own = made.evaluate("import sysconfig; print(sysconfig.get_path('purelib'))", folder)
    (Path(own) / "outer.pth").write_text(sysconfig.get_path("purelib"))
    install = ["uv", "pip", "install", "--python", made.python]
    if not shutil.which("uv"):
        install = [made.python, "-m", "pip", "install", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-e", checkout]
    result = subprocess.run([*install, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return made


def asked_for(*files: str) -> set[str]:
    lines = [line for file in files for line in (REQUIREMENTS / file).read_text().splitlines()]
    return {str(Requirement(line)) for line in lines if line and not line.startswith("#")}


def test_an_editable_installation_makes_the_library_importable_from_the_checkout(installation, tmp_path):
    file = installation.evaluate("import convlab.study.load as module; print(module.__file__)", tmp_path)
    assert Path(file) == installation.checkout / "scripts/convlab/study/load.py"


def test_the_installed_metadata_ask_for_what_the_requirement_files_hold(installation, tmp_path):
    printed = installation.evaluate(
        "import importlib.metadata, json; print(json.dumps(importlib.metadata.requires('convlab')))", tmp_path
    )
    base, extras = set(), {}
    for requirement in map(Requirement, json.loads(printed)):
        extra = re.search(r'extra == "([\w-]+)"', str(requirement.marker or ""))
        requirement.marker = None
        (extras.setdefault(extra[1], set()) if extra else base).add(str(requirement))
    assert base == asked_for("base.in")
    files = {extra: [Path(file).name for file in entry["file"]] for extra, entry in extras_of_project().items()}
    assert extras == {extra: asked_for(*names) for extra, names in files.items()}


def extras_of_project() -> dict[str, dict]:
    return PROJECT["tool"]["setuptools"]["dynamic"]["optional-dependencies"]


def test_every_requirement_file_is_an_extra_or_the_base():
    extras = extras_of_project()
    assert set(extras) == {path.stem for path in REQUIREMENTS.glob("*.in")} - {"base"}
    assert all(entry["file"][0] == f"requirements/{extra}.in" for extra, entry in extras.items())


def test_requirement_files_hold_no_options_which_setuptools_cannot_read():
    for path in REQUIREMENTS.glob("*.in"):
        assert not re.search(r"^\s*-", path.read_text(), re.MULTILINE), path.name


def test_the_version_is_the_same_wherever_it_is_written():
    version = PROJECT["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_continuous_integration_runs_what_a_change_must_pass_on_every_supported_python():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]
    assert job["steps"][-1]["run"] == ".ci/run" and os.access(ROOT / ".ci/run", os.X_OK)
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    assert set(job["strategy"]["matrix"]["python"]) == {f"3.{n}" for n in range(30) if f"3.{n}" in supported}


def test_what_the_workflow_catalog_asks_for_is_there():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert any(usage["software-stack-deployment"].values())
    assert (ROOT / "workflow/Snakefile").is_file() and list((ROOT / "workflow/rules").glob("*.smk"))
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (ROOT / "README.md").read_text().lower()))
    small = yaml.safe_load((ROOT / "config/README.md").read_text().split("```yaml\n")[1].split("```")[0])
    assert load_study(small).study == "my_study"
