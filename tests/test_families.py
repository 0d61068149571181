"""Model families as files: what the registry's docstring asks of each, and what reads the registry."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from convlab.common import registry
from convlab.models.cost import LayerCosts, cost
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.registry import PACKAGE, as_model, families, family_of, modules
from convlab.models.specs import BaseModelSpec, Initializer
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

ROOT = Path(__file__).resolve().parent.parent
NAMES = registry.names(PACKAGE)


def imported(name: str) -> set[str]:
    """Modules that a family's module imports, inside of functions too."""
    tree = ast.parse((ROOT / f"scripts/convlab/models/families/{name}.py").read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", NAMES)
def test_a_familys_name_in_configs_is_the_name_of_its_file(name):
    spec = families()[name].spec
    assert issubclass(spec, BaseModelSpec)
    assert get_args(spec.model_fields["family"].annotation) == (name,)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_imports_only_what_a_run_of_it_may_depend_on(name):
    allowed = {"convlab.common.specs", "convlab.models.registry", "convlab.models.specs"}
    if name == "python":  # reads and imports the user's file
        allowed |= {"convlab.common.text", "convlab.errors", "convlab.models.user_code"}
    others = {module for module in imported(name) if module.split(".")[0] not in {*sys.stdlib_module_names, "pydantic"}}
    assert others - allowed == set()


@pytest.mark.parametrize("name", NAMES)
def test_idle_fields_are_fields_of_the_family(name):
    family = families()[name]
    assert {field.name for field in family.idle_fields} <= set(family.spec.model_fields) - {"family", "label", "why"}


def test_texts_list_the_simplest_family_first():
    assert list(families())[:2] == ["dense", "conv"]


def test_a_runs_record_is_read_without_loading_other_families():
    program = (
        "import sys; from convlab.models.registry import PACKAGE, as_model\n"
        "as_model({'family': 'dense', 'units': [4]})\n"
        "print(*sorted(name for name in sys.modules if name.startswith(PACKAGE + '.')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [f"{PACKAGE}.dense"]


@pytest.mark.parametrize("name", ["recurrent", "__init__", "dense.layers", "", None, 3])
def test_a_record_of_an_unknown_family_is_refused(name):
    with pytest.raises(ValueError, match="names none of the families conv, dense"):
        as_model({"family": name})


def test_a_run_keeps_every_field_of_its_model_in_its_record():
    model = Conv(family="conv", filters=[4, 8], kernel_size=[5, 3], label="CNN", why={"filters": "Few."})
    run = Run(dataset={"kind": "digits"}, model=model, training=Training(), seed=1)
    assert run.identity["model"] == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in model.model_dump(exclude={"label", "why"}).items()
    }
    again = Run.model_validate(run.identity)
    assert again.spec_hash == run.spec_hash and type(again.model) is Conv


def test_a_wrong_field_in_a_runs_record_names_it():
    with pytest.raises(ValidationError, match="kernel_size"):
        Run(dataset={"kind": "digits"}, model={"family": "dense", "units": 4, "kernel_size": 3}, training={}, seed=1)


def test_what_jobs_load_is_sorted_and_named_once():
    assert modules(["dense", "conv", "dense"]) == (f"{PACKAGE}.conv", f"{PACKAGE}.dense")
    assert family_of(Dense(family="dense", units=[4])).title == "dense network"


def test_any_kernel_can_be_counted_such_as_a_depthwise_one():
    """A separable convolution of 3×3 from 2 to 5 channels, against Keras' own count."""
    from convlab.runtime.keras_runtime import keras

    layer = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same")
    output = layer(np.zeros((1, 9, 8, 2), np.float32))
    weights = 3 * 3 * 2 + 2 * 5
    costs = LayerCosts((9, 8, 2))
    costs.kernel("separable_1", 3, 2, "same", 5, weights + 5, weights)
    (counted,) = costs.layers
    assert counted.output_shape == costs.shape == output.shape[1:] == (5, 4, 5)
    assert (counted.parameters, counted.macs) == (layer.count_params(), 5 * 4 * weights)
    assert (counted.receptive_field, counted.window) == (3, 3)


def test_only_models_with_windows_have_a_receptive_field_of_their_own():
    dense = cost(Dense(family="dense", units=[4]), (8, 6, 1), 3)
    conv = cost(Conv(family="conv", filters=[4], pooling="none"), (8, 6, 1), 3)
    assert (dense.has_windows, dense.receptive_field) == (False, 8)
    assert (conv.has_windows, conv.receptive_field) == (True, 3)


@pytest.mark.parametrize(
    "spec",
    [
        Dense(family="dense", units=[4], kernel_initializer="he_normal"),
        Conv(
            family="conv", filters=[4, 4, 4], convolution=["standard", "separable", "depthwise_separable"],
            residual=True, dense_units=[4], kernel_initializer="he_normal",
        ),
    ],
    ids=["dense", "conv"],
)  # fmt: skip
def test_all_hidden_kernels_begin_as_the_config_says_and_the_output_layer_as_keras_does(spec):
    from convlab.training.network import build

    initializers = {
        (layer.name == "dense_output", value["class_name"])
        for layer in build(spec, (8, 8, 1), 3).layers
        for field, value in layer.get_config().items()
        if field in ("kernel_initializer", "depthwise_initializer", "pointwise_initializer") and value
    }
    assert initializers == {(False, "HeNormal"), (True, "GlorotUniform")}


@pytest.mark.parametrize("name", get_args(Initializer))
def test_each_initializer_is_one_of_keras(name):
    from convlab.runtime.keras_runtime import keras

    assert np.std(keras.initializers.get(name)((3, 3, 4, 8))) > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strides": 2, "dilation": [1, 2]}, "block 2 has strides of 2 and a dilation of 2, .*; set one of them to 1"),
        ({"groups": 2, "convolution": "separable"}, "block 1 has 2 groups and a separable convolution, which already"),
        ({"residual": [False, True], "padding": "valid"}, "block 2 is residual and padding is valid, .* padding: same"),
        ({"residual": [True, True, False]}, "residual has 3 values for 2 blocks"),
        ({"norm": "instance"}, "Input should be 'none', 'batch', 'layer' or 'group'"),
    ],
)
def test_a_block_that_makes_no_network_is_refused_with_its_number(fields, message):
    with pytest.raises(ValidationError, match=message):
        Conv(family="conv", filters=[4, 8], **fields)
