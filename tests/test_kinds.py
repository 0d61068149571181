"""Kinds of datasets are files: a module in ``datasets/kinds`` is all of a kind."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from builders.project import ROOT
from convlab.common import registry
from convlab.common.files import read_json
from convlab.datasets.kinds import digits
from convlab.datasets.registry import kind_of, kinds
from convlab.datasets.specs import KINDS

STRIPES = '''
from typing import Literal

from pydantic import Field

from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import DatasetSpec


class Stripes(DatasetSpec):
    """Horizontal against vertical stripes."""

    kind: Literal["stripes"]
    side: int = Field(6, ge=2)


def form(name: str, spec: Stripes) -> Form:
    return (spec.side, spec.side, 1), 2


def counts(spec: Stripes) -> Counts:
    return Count.of(8, 8), Count.of(4, 4)


def read(name: str, spec: Stripes, threads: int) -> Reading:
    import numpy as np

    from convlab.datasets.prepared import Dataset

    vertical = np.zeros((spec.side, spec.side, 1), np.uint8)
    vertical[:, ::2] = 255
    parts = []
    for images in (8, 4):
        brightness = np.arange(1, images + 1).reshape(-1, 1, 1, 1)
        pair = [(shape // images * brightness).astype(np.uint8) for shape in (vertical.transpose(1, 0, 2), vertical)]
        parts += [np.concatenate(pair), np.repeat([0, 1], images)]
    return Reading(Dataset(*parts, classes=("horizontal", "vertical")), test_images={"from": "rule"})


KIND = Kind(spec=Stripes, form=form, counts=counts, read=read, source="drawn", licence="CC0")
'''


@pytest.mark.parametrize("name", registry.names(KINDS))
def test_a_kind_is_called_as_its_module_and_found_by_its_spec(name):
    kind = kinds()[name]
    assert get_args(kind.spec.model_fields["kind"].annotation) == (name,)
    assert kind_of(kind.spec.model_construct(kind=name)) is kind


def test_specs_of_kinds_have_different_names_in_the_schema():
    names = [kind.spec.__name__ for kind in kinds().values()]
    assert sorted(set(names)) == sorted(names)


def test_the_form_of_digits_is_that_of_the_images_read():
    spec = digits.Digits(kind="digits")
    dataset = digits.read("digits", spec, threads=1).dataset
    assert digits.form("digits", spec) == (dataset.x_train.shape[1:], len(dataset.classes))


def test_a_module_in_the_kinds_package_is_all_that_a_new_kind_needs(tmp_path):
    scripts = shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "convlab/datasets/kinds/stripes.py").write_text(STRIPES)

    def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess:
        command = [sys.executable, scripts / script, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    config = {"study": "s", "datasets": {"stripes": {"side": 8}}, "models": {"d": {"family": "dense", "units": [2]}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    planned = run("plan.py")
    assert planned.returncode == 0, planned.stderr
    assert "136" in planned.stdout, "8 × 8 pixels, 2 units, 2 classes: 136 parameters"

    config["datasets"]["stripes"] = {"side": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    refused = run("plan.py")
    assert refused.stderr.startswith("error: datasets.stripes.side should be greater than or equal to 2")

    prepared = run("prepare.py", "--dataset", "s", "--spec", '{"kind": "stripes"}', "--output-dir", tmp_path / "out")
    assert prepared.returncode == 0, prepared.stderr
    manifest = read_json(tmp_path / "out/manifest.json")
    assert manifest["input_shape"] == [6, 6, 1] and manifest["counts"]["test"] == {"horizontal": 4, "vertical": 4}
    assert manifest["source"] == "drawn" and manifest["options"] == {"side": 6}


def test_a_kind_without_test_images_is_refused_before_anything_runs_and_by_prepare(tmp_path):
    scripts = shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    without = STRIPES.replace("Count.of(4, 4)", "Count.of(0, 0)").replace("// images *", "// max(images, 1) *")
    (scripts / "convlab/datasets/kinds/stripes.py").write_text(without.replace("in (8, 4)", "in (8, 0)"))
    config = {"study": "s", "datasets": {"stripes": {}}, "models": {"d": {"family": "dense", "units": [2]}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    prepare = ["prepare.py", "--dataset", "stripes", "--spec", '{"kind": "stripes"}', "--output-dir", tmp_path / "out"]
    for script in (["plan.py"], prepare):
        refused = subprocess.run(
            [sys.executable, scripts / script[0], *script[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1 and "error: datasets.stripes has no test images" in refused.stderr
        assert "Traceback" not in refused.stderr
