"""The code and the studies in docs/recipes/ work as they are written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.project import ROOT

RECIPES = ROOT / "docs" / "recipes"


@pytest.fixture
def followed(tmp_path, request) -> Path:
    """A copy of the scripts with a recipe's files in it, and its study as study.yaml."""
    text = (RECIPES / f"{request.param}.md").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    files = dict(re.findall(r"^`(scripts/\S+\.py)`\n\n```python\n(.*?)```", text, re.MULTILINE | re.DOTALL))
    assert files
    for file, code in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(code, encoding="utf-8")
    for study in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    return tmp_path


def python(folder: Path, *arguments: str) -> str:
    result = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("followed", ["add-a-dataset", "add-a-family"], indirect=True)
def test_the_study_of_a_recipe_is_planned(followed):
    printed = python(followed, "scripts/plan.py", "study.yaml", "--cores", "2")
    assert re.search(r"variants × 3 seeds = \d+ runs", printed)


@pytest.mark.parametrize("followed", ["add-a-dataset"], indirect=True)
def test_the_kind_of_the_recipe_reads_as_many_images_as_it_promises(followed):
    program = (
        "import sys; sys.path.insert(0, 'scripts')\n"
        "import numpy as np\n"
        "from convlab.datasets.registry import kinds\n"
        "kind = kinds()['stripes']; spec = kind.spec(kind='stripes', images=23)\n"
        "data, (train, test) = kind.read('stripes', spec, 1).dataset, kind.counts(spec)\n"
        "assert tuple(np.bincount(data.y_train)) == train.by_class, data.y_train\n"
        "assert tuple(np.bincount(data.y_test)) == test.by_class, data.y_test\n"
        "assert (data.x_train.shape[1:], len(data.classes)) == kind.form('stripes', spec)\n"
    )
    python(followed, "-c", program)


@pytest.mark.parametrize("followed", ["add-a-probe"], indirect=True)
def test_the_measurement_of_the_recipe_tells_turned_images_from_upright_ones(followed):
    program = (
        "import sys; sys.path.insert(0, 'scripts')\n"
        "import numpy as np\n"
        "from convlab.probes.rotation.measure import COLUMNS, measure\n"
        "images = np.zeros((2, 4, 4, 1), np.uint8); images[0, 0] = 255; images[1, :, 0] = 255\n"
        "predict = lambda x: np.eye(2)[(x[:, :, 0].mean((1, 2)) > x[:, 0].mean((1, 2))).astype(int)]\n"
        "rows = measure(predict, images, np.array([0, 1]), {})\n"
        "assert [list(row) for row in rows] == [COLUMNS] * 4\n"
        "assert rows[0] == {'quarter_turns': 0, 'accuracy': 1.0, 'consistency': 1.0}\n"
        "assert rows[1]['accuracy'] < 1, rows\n"
    )
    python(followed, "-c", program)
