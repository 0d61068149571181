"""Pins: hashed, without index addresses, the same in the conda environments."""

import importlib.util
import re
from importlib import metadata
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.project import ROOT
from convlab.training.recipe import Training

FOLDER = ROOT / "requirements"


BACKENDS = get_args(Training.model_fields["backend"].annotation)


def lock_module():
    spec = importlib.util.spec_from_file_location("lock", FOLDER / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cpu", "gpu", "dev", "serve", "deploy", "sagemaker", "cluster", "jax", "torch"])
def test_every_requirement_is_pinned_with_hashes_and_names_no_index(name):
    text = (FOLDER / f"{name}.txt").read_text()
    assert not re.search(r"https?://|--(extra-)?index|find-links", text)
    blocks = re.split(r"\n(?=[^\s#])", text.strip())
    for block in blocks:
        requirement = Requirement(block.split("\\")[0].strip())
        assert [s.operator for s in requirement.specifier] == ["=="], block
        assert "--hash=sha256:" in block, block


def test_every_file_of_requirements_is_locked():
    asked = {name for text in lock_module().LOCKS.values() for name in re.findall(r"(\S+)\.in", text)}
    assert asked == {path.stem for path in FOLDER.glob("*.in")}
    assert set(lock_module().LOCKS) == {path.stem for path in FOLDER.glob("*.txt")}


def test_cpu_and_gpu_differ_only_in_tensorflow_and_what_it_brings():
    def pins(name):
        lines = (FOLDER / f"{name}.txt").read_text().splitlines()
        return {line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))}

    cpu, gpu = pins("cpu"), pins("gpu")
    assert {line.split("==")[0] for line in cpu - gpu} == {"tensorflow-cpu"}
    assert all(line.startswith(("tensorflow==", "nvidia-")) for line in gpu - cpu)


@pytest.mark.parametrize("name", ["serve", "deploy", "sagemaker", "dev", "cluster", "jax", "torch"])
def test_what_is_added_has_the_pins_of_what_it_is_added_to(name):
    def pins(lock):
        lines = [line.rstrip(" \\") for line in (FOLDER / f"{lock}.txt").read_text().splitlines()]
        by_package = {}
        for requirement in (Requirement(line) for line in lines if line and not line.startswith((" ", "#"))):
            by_package.setdefault(requirement.name, set()).add(str(requirement.specifier))
        return by_package

    base = pins("cpu")
    for package, versions in pins(name).items():
        assert versions <= base.get(package, versions), package


def test_an_archive_asks_for_the_same_pins():
    path = ROOT / "scripts/convlab/serving/requirements.txt"
    assert path.read_text() == lock_module().archive(), "run: make lock"
    assert "onnxruntime==" in path.read_text() and "numpy==" in path.read_text()


def required(package: str) -> list[Requirement]:
    """What an installed package requires here, without extras."""
    asked = [Requirement(text) for text in metadata.requires(package) or []]
    return [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_a_training_job_installs_all_that_an_image_with_tensorflow_may_lack():
    text = (ROOT / "scripts/convlab/cloud/requirements.txt").read_text()
    assert text == lock_module().training_job(), "run: make lock"
    pins = dict(re.findall(r"^([\w-]+)==([^\s;\\]+)", text, re.MULTILINE))
    assert {"keras", "pydantic"} < set(pins) and len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) > len(pins)
    installed = {canonicalize_name(each.name) for each in metadata.distributions()}
    (tensorflow,) = installed & {"tensorflow", "tensorflow-cpu"}
    brought, waiting = set(), ["keras", *[each.name for each in required(tensorflow)]]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in brought:
            brought.add(name)
            waiting += [each.name for each in required(name)]
    for package in pins:
        for requirement in required(package):
            name = canonicalize_name(requirement.name)
            if name in pins:
                assert pins[name] in requirement.specifier
            else:
                assert name in brought and not requirement.specifier, f"{package} needs {requirement}"


@pytest.mark.parametrize("name", ["analysis", *BACKENDS, "deploy", "sagemaker"])
def test_conda_environments_hold_the_same_pins(name):
    assert (ROOT / f"envs/{name}.yaml").read_text() == lock_module().environment(name), "run: make lock"


def test_the_conda_environment_of_training_gets_the_pins_of_cuda_on_machines_with_gpus():
    text = (ROOT / "envs/tensorflow.post-deploy.sh").read_text()
    assert text == lock_module().cuda(), "run: make lock"
    removed = re.search(r"uninstall .* --yes (.*)", text)[1].split()
    added = re.search(r"install .* --no-deps (.*)", text)[1].split()
    gpu = (FOLDER / "gpu.txt").read_text()
    assert removed == ["tensorflow-cpu"]
    assert any(pin.startswith("tensorflow==") for pin in added) and any(pin.startswith("nvidia-cudnn") for pin in added)
    assert all(f"{pin} " in gpu for pin in added)


def test_every_rule_that_runs_python_names_an_environment():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        for rule in re.split(r"\n(?=rule )", text)[1:]:
            environment = re.search(r'conda:\s+(?:"\.\./\.\./(envs/[\w-]+\.yaml)"|SOFTWARE\n)', rule)
            assert environment, f"{path.name}: {rule.split(':')[0]}"
            assert environment[1] is None or (ROOT / environment[1]).is_file(), environment[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_a_conda_environment_with_keras_and_no_other_backend(backend):
    packages = set(re.findall(r"- ([\w-]+)==", (ROOT / f"envs/{backend}.yaml").read_text()))
    brought = {name for name in BACKENDS if {name, f"{name}-cpu"} & packages}
    assert brought == {backend} and "keras" in packages
