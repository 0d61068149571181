"""The Makefile hands on any file name whole, as the user wrote it: no shell reads it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

NAMES = [
    "my tiny.yaml", "it's.yaml", 'a "b".yaml', "#x.yaml", "a$HOME.yaml", "a$(date).yaml", "a`date`.yaml", "{a}.yaml",
    "-x.yaml", "--help", "é ñ.yaml", "a;b&c.yaml", "a*?.yaml", "a\\b.yaml", "studies/a b.yaml", "a,b.yaml",
]  # fmt: skip

TARGETS = (
    "run",
    "quick",
    "plan",
    "register",
    "diff",
    "peek",
    "timing",
    "usage",
    "archive",
    "export",
    "serve",
    "deploy",
    "deploy-plan",
)

STUB = r"""#!/bin/sh
printf '%s\0' "$@" >> calls; printf '\n\0' >> calls
echo "folder of a model"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with the Makefile and, in the place of Python and Snakemake, stubs that note how they are called."""
    folder = tmp_path_factory.mktemp("make")
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    (folder / "requirements/install.sh").write_text("#!/bin/sh\necho nothing is installed here >&2\nexit 1\n")
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("python", "snakemake"):
        (binaries / name).write_text(STUB)
        (binaries / name).chmod(0o755)
    for name in ("cpu", "deploy", "sagemaker", "dev"):
        (folder / f".venv/.installed-{name}").touch()
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run make without what an outer make hands on and what else the Makefile would take from a shell, such as PORT."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "DELETE") if name in os.environ}
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, env=environment)


def calls(project: Path, *arguments: str) -> list[list[str]]:
    (project / "calls").unlink(missing_ok=True)
    result = make(project, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return [call.split("\0")[:-1] for call in (project / "calls").read_text().split("\n\0")[:-1]]


@pytest.mark.parametrize("name", NAMES)
def test_a_studys_file_name_reaches_every_program_of_every_target_whole(project, name):
    whole = f"./{name}" if name.startswith("-") else name
    quick = f"results/quick/{name.rpartition('/')[2]}"
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).touch()
    made = calls(project, *TARGETS, f"STUDY={name}")
    assert len(made) == 22 and any(quick in call for call in made)
    for call in made:
        assert whole in call or quick in call or call[0] == "scripts/serve.py", call


@pytest.mark.parametrize(("arguments", "measures"), [([], True), (["ARGS=-n"], False)])
def test_speeds_are_measured_before_a_study_runs_and_not_for_other_uses_of_snakemake(project, arguments, measures):
    for target in ("run", "settle", "quick", "demo"):
        (checked,) = (call for call in calls(project, target, *arguments) if call[0] == "scripts/plan.py")
        assert ("--measure" in checked) == measures
    assert "--measure" in calls(project, "plan")[-1]
    assert "--measure" not in calls(project, "export")[0]


def test_other_names_reach_the_program_whole_too(project):
    (verify,) = calls(project, "verify", "ARCHIVE=-a 'b'.zip", "AGAINST=results/$x", "SHA256=ab")
    assert verify[1:] == ["--sha256=ab", "--against=results/$x", "--", "-a 'b'.zip"]
    assert "--rerun" in calls(project, "verify", "ARCHIVE=a", "RERUN=1")[-1]
    assert "--rerun" not in calls(project, "verify", "ARCHIVE=a", "RERUN=0")[-1], "it runs code of others"
    given = ("ARCHIVE=it's.zip", "DATA=1", "MODELS=0", "LICENCE=C C", "URL=$y")
    assert calls(project, "archive", *given)[-1][2:] == [
        "--output=it's.zip",
        "--data",
        "--without-models",
        "--licence=C C",
        "--url=$y",
    ]
    assert calls(project, "diff", "A=x y", "B=$z")[-1][1:] == ["x y", "$z"]
    serve = calls(project, "serve", "DATASET=a b", "RUNTIME=o'x")[-2:]
    assert serve[0][-1] == "a b" and serve[1] == [
        "scripts/serve.py", "folder of a model", "--port", "8080", "--runtime", "o'x",
    ]  # fmt: skip


@pytest.mark.parametrize(("given", "handed_on"), [
    ([], []), (["ALL=1"], ["--all", "--config", "x.yaml"]), (["ALL=0"], []),
    (["ALL=1", "DELETE=0", "UNEXPIRED="], ["--all", "--config", "x.yaml"]),
    (["ALL=1", "DELETE=1", "REGIONS=a b"], ["--all", "--config", "x.yaml", "--delete", "--regions", "a", "b"]),
])  # fmt: skip
def test_teardown_deletes_only_where_it_is_told_to(project, monkeypatch, given, handed_on):
    monkeypatch.setenv("DELETE", "1")  # of the shell's, for something else
    (project / "x.yaml").touch()
    assert calls(project, "teardown", "STUDY=x.yaml", *given)[-1][1:] == handed_on


def test_what_lists_an_account_is_installed_on_a_machine_that_never_deployed(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed-cpu").touch()
    for given, installs in ((["ALL=1"], True), ([], False)):
        result = make(tmp_path, "--dry-run", "teardown", *given)
        assert ("requirements/sagemaker.txt" in result.stdout) == installs, result.stderr


def refusal(project: Path, *arguments: str) -> str:
    """What make says to a command that it refuses before it starts anything."""
    (project / "calls").unlink(missing_ok=True)
    made = make(project, *arguments)
    assert made.returncode and not made.stdout and not (project / "calls").exists(), made.stdout
    return made.stderr


@pytest.mark.parametrize("name", ["ALL", "DELETE", "UNEXPIRED", "DATA", "MODELS", "RERUN", "GPU", "BUSY"])
def test_another_value_than_yes_or_no_starts_nothing(project, name):
    assert f"{name} should be 1 or 0, not no." in refusal(project, "teardown", "ALL=1", f"{name}=no")


def test_no_means_no(project):
    assert calls(project, "run", "GPU=0") == calls(project, "run")
    assert "--busy" not in calls(project, "timing", "BUSY=0")[-1]
    assert "--busy" in calls(project, "timing", "BUSY=1")[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "STUDDY=studies/demo.yaml"], "make knows no variable STUDDY; make help and README.md name those"),
        (["run", "study=studies/demo.yaml"], "make knows no variable study; "),
        (["teardown", "a'b=1"], "make knows no variable a'b; "),
        (["run", "studies/demo.yaml"], "a study is named so: make run STUDY=studies/demo.yaml."),
        (["mine.yml"], "a study is named so: make run STUDY=mine.yml."),
        (["run", "STUDY=it's $x.yaml"], "it's $x.yaml does not exist; name a study's config file: STUDY=<file>."),
    ],
)
def test_what_make_would_pass_over_runs_no_other_study_than_the_one_that_is_meant(project, arguments, sentence):
    assert sentence in refusal(project, *arguments)


def test_variables_of_an_outer_make_and_of_the_environment_are_let_through(project, tmp_path):
    assert calls(project, "plan", "CONVLAB_CACHE=/tmp", "CUDA_VISIBLE_DEVICES=") == calls(project, "plan")
    outer = tmp_path / "Makefile"
    outer.write_text(f"all:\n\t@$(MAKE) --no-print-directory -C {project} help\n")
    made = make(tmp_path, "PREFIX=/usr")
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(("arguments", "build"), [([], "cpu"), (["GPU=1"], "gpu")])
def test_the_image_for_apptainer_is_made_of_what_the_engine_has_built(project, tmp_path, monkeypatch, arguments, build):
    for name in ("podman", "apptainer"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    built, saved, converted = calls(project, "image", "ENGINE=podman", "BASE=a b", *arguments)
    assert built[:3] == ["build", "-f", "containers/Dockerfile"] and f"BUILD={build}" in built and "BASE=a b" in built
    assert saved[:2] == ["save", "-o"] and saved[-1] == built[built.index("-t") + 1] == f"convlab:{build}"
    assert converted[-2:] == ["containers/convlab.sif", f"docker-archive:{saved[2]}"]


def test_without_apptainer_or_an_engine_no_image_is_begun(project):
    made = make(project, "image", "ENGINE=no-engine")
    assert made.returncode and "error: make image needs Apptainer, and Docker or Podman" in made.stderr


@pytest.mark.parametrize("present, arguments, installed", [
    ([], ["peek"], ["cpu"]),
    ([], ["peek", "GPU=1"], ["gpu"]),
    (["cpu"], ["run"], []),
    (["gpu"], ["peek"], []),
    (["gpu"], ["run"], []),
    (["cpu", "gpu"], ["run"], []),
    (["gpu"], ["export"], ["deploy"]),
    ([], ["export", "BACKEND=torch"], ["torch", "deploy"]),
    (["torch"], ["export"], ["deploy"]),
    (["cpu", "torch"], ["export"], ["deploy"]),
    (["jax"], ["export"], ["cpu", "deploy"]),
    (["jax"], ["peek"], []),
    (["jax"], ["run"], []),
    (["jax"], ["run", "BACKEND=torch"], ["torch"]),
    (["jax"], ["install", "BACKEND=tensorflow"], ["cpu"]),
    (["cpu"], ["run", "GPU=1"], ["gpu"]),
])  # fmt: skip
def test_no_command_installs_another_build_or_backend_beside_what_is_there_unless_it_is_told_to(
    tmp_path, present, arguments, installed
):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv").mkdir()
    for name in present:
        (tmp_path / f".venv/.installed-{name}").touch()
    result = make(tmp_path, "--dry-run", *arguments)
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^requirements/install\.sh .*/(\w+)\.txt$", result.stdout, re.MULTILINE) == installed


@pytest.mark.parametrize("present, arguments, devices", [
    ("gpu", [], "-1"), ("gpu", ["GPU=1"], ""), ("cpu", [], ""), ("gpu", ["BACKEND=jax"], ""),
])  # fmt: skip
def test_no_gpu_is_used_unless_it_is_asked_for_though_the_build_could(tmp_path, present, arguments, devices):
    text = (ROOT / "Makefile").read_text() + '\nshow:\n\t@echo "devices:$${CUDA_VISIBLE_DEVICES:-}"\n'
    (tmp_path / "Makefile").write_text(text)
    (tmp_path / ".venv").mkdir()
    (tmp_path / f".venv/.installed-{present}").touch()
    result = make(tmp_path, "show", *arguments)
    assert result.stdout == f"devices:{devices}\n"
