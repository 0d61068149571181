"""A study as a notebook: valid, without convlab, and its runs give the same predictions byte for byte."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import nbformat
import numpy as np
import pytest

import notebook
from builders.project import CNN_5X5, ROOT, TINY, tiny_with
from convlab.common.files import read_json
from convlab.common.table_files import read_table
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.models.registry import as_model
from convlab.study import layout
from convlab.study.load import load_study
from convlab.training.recipe import Training

STANDARD_LIBRARY = {"os", "hashlib", "math", "time", "zlib", "functools"}
KERAS = {"keras", "tensorflow", "numpy", "matplotlib"}

EXECUTE = """
import json, sys
import numpy as np
cells = ["".join(c["source"]) for c in json.load(open(sys.argv[1]))["cells"] if c["cell_type"] == "code"]
namespace = {}
for cell in cells:
    exec(cell, namespace)
print("--- changed")
changed = namespace["probabilities"]["dense"][1]
changed[0, 0] = np.nextafter(changed[0, 0], np.float32(2))
exec(cells[-1], namespace)
"""
"""Runs a notebook's code in one namespace, as a kernel does; then its last cell again, with one bit changed."""


@pytest.fixture(scope="module")
def study_results(finished_study, tmp_path_factory):
    """A copy of the finished tiny study's results, with its config beside them."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(finished_study.folder / "results", folder / "results")
    (folder / "config.json").write_text(json.dumps(TINY))
    return folder


@pytest.fixture(scope="module")
def ejected(study_results):
    """The folder of the tiny study's notebook."""
    notebook.main([str(study_results / "config.json"), "--results", str(study_results / "results")])
    return layout.ejected(layout.study_folder("tiny", study_results / "results"), "digits")


def cells_of(folder, kind: str, name: str = "tiny") -> list[str]:
    cells = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_its_runs_give_the_predictions_of_the_study_byte_for_byte_and_its_last_cell_says_so(ejected):
    environment = {"PATH": os.environ["PATH"], "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", EXECUTE, "tiny.ipynb"]
    result = subprocess.run(command, cwd=ejected, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    as_it_is, changed = result.stdout.split("--- changed")
    assert "All 9 runs give the predictions of the study, byte for byte." in as_it_is
    assert as_it_is.count(": the same") == 9
    assert "8 of 9 runs give the predictions of the study; it has 9." in changed
    assert changed.count(": other predictions") == 1


def test_it_is_a_valid_notebook_of_keras_numpy_and_matplotlib_alone(ejected):
    nbformat.validate(nbformat.read(ejected / "tiny.ipynb", as_version=4))
    trees = [ast.parse(cell) for cell in cells_of(ejected, "code")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= STANDARD_LIBRARY | KERAS
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {alias.asname or alias.name for node in imports for alias in node.names} <= used


def test_it_quotes_the_report(ejected, study_results):
    text = "\n".join(cells_of(ejected, "markdown"))
    comparisons = read_table(study_results / "results/tiny/compare/comparisons.csv")
    plain = re.sub(r"\\(.)", r"\1", text)
    assert [sentence for sentence in comparisons["sentence"] if sentence not in plain] == []
    assert "# Is the machinery exact?" in text
    assert "## Baseline: dense" in text and text.index("Baseline: dense") < text.index("Model: cnn")


def test_written_again_it_is_the_same_file(ejected, study_results):
    before = (ejected / "tiny.ipynb").read_bytes()
    notebook.main([str(study_results / "config.json"), "digits", "--results", str(study_results / "results")])
    assert (ejected / "tiny.ipynb").read_bytes() == before
    manifest = read_json(study_results / "results/tiny/prepare/digits/manifest.json")
    with np.load(ejected / "data.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(manifest["arrays"])


def test_it_speaks_the_language_of_the_report(study_results, tmp_path):
    shutil.copytree(study_results / "results", tmp_path / "results")
    (tmp_path / "config.json").write_text(json.dumps(tiny_with(report={"language": "es"})))
    notebook.main([str(tmp_path / "config.json"), "--results", str(tmp_path / "results")])
    folder = layout.ejected(layout.study_folder("tiny", tmp_path / "results"), "digits")
    code, text = "\n".join(cells_of(folder, "code")), "\n".join(cells_of(folder, "markdown"))
    assert "## Cómo se entrena cada modelo" in text
    english = cells_of(layout.ejected(layout.study_folder("tiny", study_results / "results"), "digits"), "code")
    docstrings = re.findall(r'"""(.*?)"""', "\n".join(english))
    assert docstrings and [text for text in docstrings if text in code] == []


@pytest.mark.parametrize("config, arguments, message", [
    (tiny_with(study="other"), [], "other has no report yet, and its notebook quotes it; run the study first"),
    (TINY, ["mnist"], "'mnist' is no dataset of tiny; name digits: make notebook STUDY="),
    (tiny_with(training={"epochs": 2}), [], "holds a run of seed 1 with spec hash"),
])  # fmt: skip
def test_what_cannot_be_written_is_told_in_a_sentence(study_results, tmp_path, config, arguments, message):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(message)):
        notebook.main([str(tmp_path / "config.json"), *arguments, "--results", str(study_results / "results")])


def test_a_study_of_another_backend_is_told_that_and_not_that_tensorflow_is_missing(study_results, monkeypatch):
    monkeypatch.setattr(notebook.backend, "configure", lambda *settings, **options: pytest.fail("asks for TensorFlow"))
    study = load_study(tiny_with(training={"backend": "jax"}))
    with pytest.raises(UserError, match="is jax, which cannot be written into a notebook yet"):
        notebook.write_notebook(study, "digits", study_results / "results/tiny")


def test_no_comment_and_no_docstring_of_the_templates_escapes_translation():
    for path in (ROOT / "report/notebook").iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.match(r' *(#|""") *[A-Za-z]', line), f"{path.name}: {line}"


# ---------------------------------------------------------------------------------------------------------------------
# Models as code


def written_by(config: dict):
    """The builders of a study's models on digits, and the study."""
    from convlab.notebook.models import written
    from convlab.runtime.keras_runtime import keras

    study = load_study(config)
    return study, written(study, (8, 8, 1), 10, keras)


def executed(code: str) -> dict:
    """Namespace of a notebook's code."""
    from functools import partial

    import keras

    namespace = {"keras": keras, "layers": keras.layers, "partial": partial}
    exec(code, namespace)  # noqa: S102 - what notebooks are for
    return namespace


@pytest.mark.parametrize("model, factor, levels", [
    ({"family": "dense", "units": [8, 6], "dropout": 0.1, "activation": "gelu"}, "units", [[8, 6], [4, 6]]),
    ({"family": "conv", "filters": [4, 8], "kernel_size": 3, "dense_units": [5]}, "kernel_size", [[3, 3], [5, 3]]),
    ({"family": "conv", "filters": [4, 4], "pooling": "none", "norm": "group", "norm_groups": 2}, "strides", [1, 2]),
    ({"family": "conv", "filters": [4, 8], "residual": True, "norm": "batch", "conv_dropout": 0.1}, "depth", [2, 1]),
    ({"family": "conv", "filters": [4], "convolution": "separable", "head": "global_max"}, "pooling", ["max", "none"]),
    ({"family": "residual_network", "filters": [4, 8], "blocks_per_stage": 1}, "pre_activation", [False, True]),
    ({"family": "vision_transformer", "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2,
      "dropout": 0.1}, "depth", [1, 2]),
], ids=lambda value: value if isinstance(value, str) else None)  # fmt: skip
def test_the_code_of_a_model_builds_the_same_layers_with_the_same_initial_weights(model, factor, levels):
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build

    experiment = {"base": "net", "factor": factor, "levels": levels}
    study, code = written_by(tiny_with(models={"net": model}, experiments={"x": experiment}, comparisons={}))
    namespace = executed("\n".join(builder.code for builder in code.builders["net"]))
    for name, call in code.calls.items():
        keras.utils.set_random_seed(3)
        expected = build(study.plan.variants[name].model, (8, 8, 1), 10)
        keras.utils.set_random_seed(3)
        built = eval(f"{call}()", namespace)  # noqa: S307 - code of ours
        assert [(type(layer), layer.name) for layer in built.layers] == [(type(e), e.name) for e in expected.layers]
        both = zip(variables(built), variables(expected), strict=True)  # with the states of random generators
        assert all(np.array_equal(*pair) for pair in both)


def test_the_code_of_a_model_in_mixed_precision_keeps_the_ends_in_float32():
    from convlab.runtime.keras_runtime import keras

    _, code = written_by(tiny_with(training={"precision": "mixed_bfloat16"}, experiments={}, comparisons={}))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        built = executed(code.builders["cnn"][0].code)["build_cnn"]()
    finally:
        keras.config.set_dtype_policy("float32")
    dtypes = {layer.name: layer.compute_dtype for layer in built.layers}
    assert (dtypes["rescale"], dtypes["conv_1"], dtypes["dense_output"]) == ("float32", "bfloat16", "float32")


OWN_FILE = """
import keras

keras.utils.set_random_seed(1)


def branch(x, units):
    return keras.layers.Dense(units, activation="relu")(x)


def mine(input_shape, classes, units=8):
    pixels = keras.Input(input_shape)
    x = keras.layers.Dropout(0.2)(branch(keras.layers.Flatten()(pixels), units))
    return keras.Model(pixels, keras.layers.Dense(classes, activation="softmax")(x))
"""


def test_own_code_is_a_cell_and_its_function_is_called(tmp_path):
    from convlab.notebook.builders import builders, calls_of, function_names
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build

    (tmp_path / "own.py").write_text(OWN_FILE)
    own = {"family": "python", "file": str(tmp_path / "own.py"), "function": "mine"}
    experiment = {"base": "own", "factor": "units", "levels": [8, 4]}
    study = load_study(tiny_with(models={"own": own}, experiments={"x": experiment}, comparisons={}))
    variants = [
        replace(variant, model=variant.model.with_sources({"own.py": OWN_FILE}))
        for variant in study.plan.variants.values()
    ]
    calls = {variant.name: calls_of(variant, (8, 8, 1), 10, keras)[0] for variant in variants}
    (written,) = builders(variants[0], variants[1:], calls, function_names(calls))
    namespace = executed(f"import random\n{OWN_FILE}\n{written.code}")
    for variant in variants:
        keras.utils.set_random_seed(3)
        expected = build(variant.model, (8, 8, 1), 10)
        keras.utils.set_random_seed(3)
        built = eval(f"{written.calls[variant.name]}()", namespace)  # noqa: S307 - code of ours
        assert [layer.name for layer in built.layers] == [layer.name for layer in expected.layers]
        assert all(np.array_equal(*pair) for pair in zip(variables(built), variables(expected), strict=True))


NOTEBOOK_CELL = "import time\nimport numpy as np\nfrom keras import layers\n\n\ndef train():\n    sum([1])"


@pytest.mark.parametrize("own, message", [
    ("def train(): pass", "your own file defines train, and so does another cell of the notebook"),
    ("import numpy as np\ndef mine(): pass", None),
    ("from time import time", "your own file defines time, and so"),
    ("from sklearn.model_selection import cross_validate as train", "your own file defines train, and so"),
    ("layers = [8, 4]", "your own file defines layers, and so"),
    ("if True:\n    def sum(values): pass", "your own file defines sum, and so"),
    ("import tensorflow as tf\nlayers = tf.keras.layers", None),
    ("try:\n    from tensorflow.keras import layers\nexcept ImportError:\n    from keras import layers", None),
    ("def mine(time): return [sum for sum in time]", None),
    ("from math import *", "your own file imports * from math"),
    ("from keras.layers import *", None),
])  # fmt: skip
def test_own_code_that_would_replace_a_name_of_the_notebook_is_refused(own, message):
    from convlab.notebook.cells import Cells
    from convlab.notebook.own_code import refuse_clashes

    cells = Cells([("code", NOTEBOOK_CELL), ("code", own)])
    with pytest.raises(UserError, match=re.escape(message)) if message else nullcontext():
        refuse_clashes(cells, {own})


def test_what_a_file_does_as_a_program_is_left_out_since_a_notebook_is_one():
    from convlab.notebook.own_code import as_cells

    program = 'def mine():\n    pass\n\n\nif __name__ == "__main__":\n    print(__file__)\n    mine()\n'
    assert as_cells({"own.py": program}) == ["def mine():\n    pass\n\n\n"]
    assert as_cells({"own.py": OWN_FILE}) == [OWN_FILE]
    for text, message in (
        ("HERE = __file__\n", "own.py uses __file__, which a notebook does not have"),
        ("if '__main__' == __name__:\n    pass\nelse:\n    pass\n", "own.py has an else to if __name__"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            as_cells({"own.py": text})


def test_code_is_printed_as_it_is_also_in_arabic():
    from convlab.notebook.cells import Cells
    from convlab.notebook.view import template_functions
    from convlab.page.templates import environment

    template = environment("markdown").from_string("{% call code() %}\n{{ raw(text) }}\n{{ py(text) }}\n{% endcall %}")
    cells, text = Cells(), "قطة = 'כלב'"
    template.render(template_functions(cells), text=text)
    assert cells.cells == [("code", f'{text}\n"{text}"')]


def test_models_of_almost_one_name_have_functions_of_two_names():
    models = {name: {"family": "dense", "units": [size]} for name, size in (("a-b", 4), ("a_b", 5), ("a_b_2", 6))}
    _, code = written_by(tiny_with(models=models, experiments={}, comparisons={}))
    assert code.calls == {"a-b": "build_a_b", "a_b": "build_a_b_2", "a_b_2": "build_a_b_2_2"}


def variables(model) -> list[np.ndarray]:
    return [np.array(variable.numpy()) for layer in model.layers for variable in layer.variables]


def test_a_factor_is_a_parameter_where_levels_have_the_same_layers_and_else_they_have_functions():
    config = tiny_with(
        models={"cnn": {"family": "conv", "filters": [4, 4], "kernel_size": 3}},
        experiments={
            "kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5]},
            "first": {"base": "cnn", "factor": "filters", "levels": [[4, 4], [2, 4]]},
            "depth": {"base": "cnn", "factor": "depth", "levels": [2, 1]},
        },
        comparisons={},
    )
    _, code = written_by(config)
    assert code.calls == {
        "cnn": "build_cnn",
        CNN_5X5: "partial(build_cnn, kernel_size=5)",
        "cnn-filters-2-4": "partial(build_cnn, filters=(2, 4))",
        "cnn-depth-1": "build_cnn_depth_1",
    }
    assert code.builders["cnn"][0].code.startswith("def build_cnn(filters=(4, 4), kernel_size=3):\n")
    assert "    x = layers.Conv2D(filters[0], kernel_size, padding" in code.builders["cnn"][0].code
    assert "    x = layers.Conv2D(4, kernel_size, padding" in code.builders["cnn"][0].code


# ---------------------------------------------------------------------------------------------------------------------
# Training as code

NET = {"family": "dense", "units": [8], "dropout": 0.2}

UNUSUAL = {
    "epochs": 2, "batch_size": 32, "optimizer": "adamw", "weight_decay": 0.01, "learning_rate": 0.004,
    "schedule": "one_cycle", "label_smoothing": 0.1, "class_weights": "balanced", "gradient_clip": 1.0,
    "train_size": 100, "augmentation": {"flip": "horizontal", "shift": 1},
}  # fmt: skip


def trained_by(settings: dict, given_validation: bool = False) -> dict:
    """Namespace of a notebook's code that trains a small dense model like this; it has no images."""
    from convlab.notebook.cells import Cells
    from convlab.notebook.recipes import recipes
    from convlab.notebook.view import needs, template_functions
    from convlab.page.templates import environment

    study, code = written_by(tiny_with(models={"net": NET}, training=settings, experiments={}, comparisons={}))
    how, cells = recipes(list(study.plan.variants.values()), study.training), Cells()
    view = {"study": study, "given_validation": given_validation, "recipe_text": "", "recipes": how}
    used = needs(study, how, code, diverged=False)
    environment("markdown").get_template("notebook/training.j2").render(view | template_functions(cells), needs=used)
    lines = ["import hashlib, math, time, zlib", "import numpy as np", "import matplotlib.pyplot as plt"]
    lines += [f"{name} = {getattr(study.training, name.lower())}" for name in ("EPOCHS", "BATCH_SIZE", "LEARNING_RATE")]
    lines += ["SEEDS, CLASSES = [5], range(10)", code.builders["net"][0].code]
    return executed("\n".join([*lines, *(text for kind, text in cells.cells if kind == "code")]))


@pytest.mark.parametrize("settings, given_validation", [
    (UNUSUAL, False),
    ({"epochs": 6, "batch_size": 32, "learning_rate": 0.05, "optimizer": "sgd", "momentum": 0.9, "steps": 40,
      "early_stopping": {"patience": 1, "min_delta": 0.01}, "pixel_permutation": 2}, True),
], ids=["augmented", "stopped"])  # fmt: skip
def test_the_code_of_a_recipe_trains_the_same_weights(settings, given_validation, tmp_path):
    from convlab.runtime.keras_runtime import keras
    from convlab.training.loop import Data, Hooks, fit
    from convlab.training.network import build

    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    labels = np.sort(generator.integers(0, 10, 200))
    training, seeds = Training(**settings), prepared.seed_streams(5)
    train, held_out = prepared.split(labels, training.validation_fraction, seeds["split"])
    given = {"x_train": images[train], "y_train": labels[train], "x_validation": images[held_out]}
    given |= {"y_validation": labels[held_out]} if given_validation else {"x_train": images, "y_train": labels}
    train = train[prepared.nested_subset(labels[train], training.train_size, seeds["subset"])]
    keras.utils.set_random_seed(seeds["initialisation"])
    expected = build(as_model(NET), (8, 8, 1), 10, augmentation=training.augmentation)
    images = prepared.permute_pixels(images, training.pixel_permutation)
    data = Data((images[train], labels[train]), (images[held_out], labels[held_out]))
    outcome = fit(expected, training, data, seeds, tmp_path, Hooks())

    namespace = trained_by(settings, given_validation)
    namespace.update(given)
    trained, history = namespace["train"](namespace["build_net"], 5)
    assert [row["val_loss"] for row in history] == [row["val_loss"] for row in outcome.history]
    assert all(np.array_equal(*pair) for pair in zip(trained.get_weights(), expected.get_weights(), strict=True))


@pytest.mark.parametrize("settings, name", [
    ({"schedule": "cosine", "warmup": 0.2}, "Cosine"),
    ({"schedule": "one_cycle"}, "OneCycle"),
    ({"schedule": "piecewise"}, "Piecewise"),
    ({"warmup": 0.5}, "WarmUp"),
])  # fmt: skip
def test_the_code_of_a_schedule_gives_the_same_rates(settings, name):
    from convlab.training.schedule import Schedule, rate_at

    written, own = trained_by(settings)[name](0.01, 20), Schedule(Training(learning_rate=0.01, **settings), 20)
    assert [rate_at(written, step) for step in range(20)] == [rate_at(own, step) for step in range(20)]


@pytest.mark.parametrize("settings, message", [
    ({"ema": 0.99}, "training.ema of dense is 0.99"),
    ({"backend": "jax"}, "training.backend of dense is jax"),
    ({"augmentation": {"crop": 1}}, "training.augmentation.crop of dense is 1"),
])  # fmt: skip
def test_a_setting_without_a_form_in_notebooks_is_named(settings, message):
    from convlab.notebook.recipes import recipes

    study = load_study(tiny_with(training=settings))
    variants = sorted(study.plan.compared.values(), key=lambda variant: variant.name != "dense")
    with pytest.raises(UserError, match=re.escape(f"{message}, which cannot be written into a notebook yet")):
        recipes(variants, study.training)


def test_variants_that_differ_in_numbers_share_the_function_that_trains_them():
    from convlab.notebook.recipes import recipes

    experiment = {"rate": {"base": "cnn", "factor": "learning_rate", "levels": [0.01, 0.1]}}
    optimizer = {"optimizer": {"base": "cnn", "factor": "optimizer", "levels": ["adam", "sgd"]}}
    study = load_study(tiny_with(experiments=experiment | optimizer))
    shared, other = recipes(list(study.plan.compared.values()), study.training)
    assert shared.signature == ", learning_rate=LEARNING_RATE"
    assert shared.arguments["cnn-learning_rate-0.1"] == ", learning_rate=0.1"
    assert other.arguments == {"cnn-optimizer-sgd": ", train=train_2"}
    assert (shared.optimizer, other.optimizer) == (
        "keras.optimizers.Adam(learning_rate)", "keras.optimizers.SGD(LEARNING_RATE)",
    )  # fmt: skip
