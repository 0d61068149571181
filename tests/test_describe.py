"""Models of a user's own Keras code: checked before anything runs, known by content, described before training."""

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import describe
import train
from builders.project import ROOT, threads_as_they_are, tiny_with
from convlab.cloud.training_job import pack_source
from convlab.common.files import array_sha256, read_json, write_arrays, write_json
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.models.built_cost import as_json, built_cost, cost_of
from convlab.models.cost import cost
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.registry import family
from convlab.models.user_code import UserCode
from convlab.page.design import design
from convlab.results.descriptions import with_described_costs
from convlab.study import durations, layout, plan_text
from convlab.study.estimate import Earlier, Images
from convlab.study.load import load_study
from convlab.study.variants import ASSUMED_MACS
from convlab.training.run_spec import Run

BLOCKS = '''
import keras


@keras.saving.register_keras_serializable()
class Block(keras.layers.Layer):
    """Two convolutions and a shortcut."""

    def __init__(self, width, **options):
        super().__init__(**options)
        self.width = width
        self.first = keras.layers.Conv2D(width, 3, padding="same", activation="relu")
        self.second = keras.layers.Conv2D(width, 3, padding="same")

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], self.width))

    def call(self, x):
        return keras.ops.relu(x + self.second(self.first(x)))

    def get_config(self):
        return {**super().get_config(), "width": self.width}
'''

RESNET = """
import keras
from parts.blocks import Block

WIDTHS = (4, 8)


def build(input_shape, classes, depth=2, width=4, dropout=0.5, *, widths=WIDTHS):
    inputs = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(width, 3, padding="same")(x)
    for _ in range(depth):
        x = Block(width)(x)
    x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
"""

MINE = {"family": "python", "file": "models/resnet.py"}


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A folder with a user's model, which imports a package beside it; the working folder is the one above."""
    folder = tmp_path / "models"
    (folder / "parts").mkdir(parents=True)
    (folder / "resnet.py").write_text(RESNET)
    (folder / "parts" / "blocks.py").write_text(BLOCKS)
    (folder / "notes.py").write_text("import secrets\n")
    monkeypatch.chdir(tmp_path)
    return folder


def study_with(mine: dict = MINE, **changes):
    dense = {"family": "dense", "units": [8]}
    return load_study(
        tiny_with(models={"dense": dense, "mine": mine}, **{"experiments": {}, "comparisons": {}, **changes})
    )


# What is refused before anything runs


@pytest.mark.parametrize(
    ("mine", "sentence"),
    [
        ({"file": "models/none.py"}, "names the file models/none.py, which is not in "),
        ({"file": "/no/such.py"}, "names the file /no/such.py, which does not exist; correct the path"),
        ({"file": "models/mine.ipynb"}, "which is a notebook; copy its function into a .py file"),
        ({"file": "models"}, "names the file models, which cannot be read: Is a directory"),
        (
            {"function": "biuld"},
            "names the function biuld, which models/resnet.py does not define, did you mean 'build'",
        ),
        ({"arguments": {"dept": 3}}, "gives build in models/resnet.py the argument 'dept', did you mean 'depth'"),
        ({"arguments": {"classes": 3}}, "the argument 'classes'; it takes depth, width, dropout, widths"),
        ({"arguments": {"depth": {"a": 1}}}, "gives the argument depth {'a': 1}; it can be a number, a text"),
        ({"arguments": {"depth": float("inf")}}, "gives the argument depth inf; it can be a number"),
        ({"why": {"deep": "x"}}, "why.deep explains neither a field of a python model nor an argument"),
    ],
)
def test_a_model_that_cannot_be_called_so_is_one_sentence(files, mine, sentence):
    with pytest.raises(UserError) as error:
        study_with({**MINE, **mine})
    assert str(error.value).startswith("models.mine ") and sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def build(shape, classes):\n    return (\n", "which, line 2, is not valid Python: '(' was never closed"),
        ("def build(shape):\n    pass\n", "which takes (shape); it should take (input_shape, classes) and then"),
        ("def build(s, c, depth):\n    pass\n", "gives build in models/resnet.py no depth, which it needs; add it"),
        ("x = 1\n", "does not define; it defines none"),
        (
            "import parts.broken\ndef build(s, c): pass\n",
            "the file models/parts/broken.py, which, line 1, is not valid",
        ),
        ("x = '\udce9'", "which is not in UTF-8; save it as UTF-8"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(files, text, sentence):
    (files / "parts" / "broken.py").write_text("def (")
    (files / "resnet.py").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as error:
        study_with()
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "from parts.blocks import *\n",
        "from parts.blocks import Block as build\n",
        "build = lambda shape, classes, deep: None\n",
        "try:\n    import torch\nexcept ImportError:\n    def build(s, c, **more): ...\n",
        "@decorated\ndef build(x): ...\n",
    ],
)
def test_what_cannot_be_told_from_the_text_is_left_to_the_describe_job(files, text):
    (files / "resnet.py").write_text(text)
    assert study_with({**MINE, "arguments": {"deep": 1}}).models["mine"].arguments == {"deep": 1}


def test_no_code_of_the_users_runs_when_a_config_is_checked(files):
    (files / "resnet.py").write_text("raise SystemExit\n" + RESNET)
    assert "mine" in study_with().plan.variants


# Identity


def hashes(study) -> dict[str, str]:
    return {name: study.run("digits", name, 1).spec_hash for name in study.plan.variants}


@pytest.mark.parametrize("edited", ["resnet.py", "parts/blocks.py"])
def test_an_edit_of_the_file_or_of_what_it_imports_changes_its_runs_and_no_others(files, edited):
    before = hashes(study_with())
    (files / edited).write_text((files / edited).read_text() + "# A comment.\n")
    after = hashes(study_with())
    assert after["mine"] != before["mine"] and after["dense"] == before["dense"]


def test_other_files_and_the_folder_are_no_part_of_a_run(files):
    before = hashes(study_with())
    (files / "notes.py").write_text("import os\n")
    shutil.move(files, files.parent / "elsewhere")
    assert hashes(study_with({**MINE, "file": "elsewhere/resnet.py"})) == before
    assert sorted(study_with({**MINE, "file": "elsewhere/resnet.py"}).models["mine"].code.sha256) == [
        "parts/blocks.py",
        "resnet.py",
    ]


def test_relative_imports_of_a_package_belong_to_it(files):
    (files / "parts" / "__init__.py").write_text("from .more import x\n")
    (files / "parts" / "more.py").write_text("from . import blocks\nx = 1\n")
    assert list(UserCode.read(files / "resnet.py").texts) == [
        *("parts/__init__.py", "parts/blocks.py", "parts/more.py", "resnet.py")
    ]


def test_settings_that_are_handed_on_need_no_file_and_mean_the_same(files):
    study = study_with(
        {**MINE, "arguments": {"width": "1e1"}, "why": {"width": "Few."}},
        experiments={"wide": {"base": "mine", "factor": "widths", "levels": [[4, 8], [8, 8]]}},
    )
    shutil.rmtree(files)
    for config in (study.settings, study.validated_config, json.loads(canonical_json(study.settings))):
        assert hashes(load_study(config)) == hashes(study)
    run = study.run("digits", "mine", 1)
    assert Run.model_validate_json(canonical_json(run.identity)).spec_hash == run.spec_hash
    assert run.model.arguments == {"depth": 2, "dropout": 0.5, "width": 10}


# Factors


def test_any_argument_is_a_factor_and_its_default_is_the_base_model(files):
    study = study_with(experiments={"depth": {"base": "mine", "factor": "depth", "levels": [1, 2, 3]}})
    (question,) = study.plan.questions.values()
    assert [level.variant for level in question.levels] == ["mine-depth-1", "mine", "mine-depth-3"]
    assert [level.order for level in question.levels] == [1, 2, 3]
    assert study.plan.variants["mine-depth-3"].model.arguments["depth"] == 3


def test_arguments_come_before_the_trainings_fields_and_the_familys_own_before_both(files):
    (files / "resnet.py").write_text("def build(shape, classes, epochs=3, function=1): ...\ndef other(a, b): ...\n")
    study = study_with(
        experiments={
            "epochs": {"base": "mine", "factor": "epochs", "levels": [3, 4]},
            "function": {"base": "mine", "factor": "function", "levels": ["build", "other"]},
        }
    )
    varied = study.plan.variants["mine-epochs-4"]
    assert (varied.model.arguments["epochs"], varied.training.epochs) == (4, 1)
    assert study.plan.variants["mine-function-other"].model.arguments == {}


def test_a_level_that_the_function_does_not_take_is_one_sentence(files):
    with pytest.raises(UserError, match=r"experiments\.x\.factor is 'dept', which is no field of the python model"):
        study_with(experiments={"x": {"base": "mine", "factor": "dept", "levels": [1, 2]}})


# Costs


def random_specs() -> list:
    """Models of the families with closed forms, drawn by seed."""
    generator, specs = np.random.default_rng(0), [Dense(family="dense", units=[5, 3])]
    for _ in range(6):
        depth = int(generator.integers(1, 3))
        specs.append(
            Conv(
                family="conv",
                filters=[int(n) for n in generator.integers(1, 4, depth) * 2],
                kernel_size=[int(n) for n in generator.integers(1, 6, depth)],
                strides=[int(n) for n in generator.integers(1, 3, depth)],
                pooling=str(generator.choice(["max", "average", "none"])),
                convolutions_per_block=int(generator.integers(1, 3)),
                norm=str(generator.choice(["none", "batch", "layer", "group"])),
                norm_groups=2,
                residual=bool(generator.integers(2)),
                convolution=str(generator.choice(["standard", "separable", "depthwise_separable"])),
                head=str(generator.choice(["flatten", "global_average"])),
                dense_units=[4],
            )
        )
    specs += [Conv(family="conv", filters=[4, 4], dilation=[1, 2], groups=[1, 2], padding="same", norm_groups=1)]
    ready = {
        "residual_network": {"filters": [4, 8]},
        "vision_transformer": {"patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2},
    }
    return [*specs, *(family(name).spec(family=name, **fields) for name, fields in ready.items())]


def test_the_count_of_a_built_model_is_the_closed_form_of_our_families():
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build

    shape = (40, 48, 2)
    for spec in random_specs():
        closed, built = cost(spec, shape, 7), built_cost(build(spec, shape, 7), shape, keras)
        totals = [(entry.parameters, entry.macs, entry.receptive_field) for entry in (closed, built)]
        assert totals[0] == totals[1], spec
        assert built.uncounted == (), spec
        assert cost_of(json.loads(json.dumps(as_json(built)))) == built


def test_shared_nested_and_own_layers_are_counted_and_what_is_not_is_named():
    from convlab.runtime.keras_runtime import keras

    layers = keras.layers

    class Shortcut(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = (layers.Conv2D(2, 3, padding="same", use_bias=False) for _ in range(2))

        def call(self, x):
            return x + self.second(keras.ops.relu(self.first(x)))

    class Product(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], 5))

        def call(self, x):
            return keras.ops.matmul(x, self.matrix)

    inputs, shared = keras.Input((8, 8, 2)), layers.Conv2D(2, 1, use_bias=False)
    inner = keras.Sequential([layers.Conv2DTranspose(2, 4, strides=2, padding="same", use_bias=False)])
    x = Shortcut()(shared(shared(inputs)))
    first = built_cost(keras.Model(inputs, x), (8, 8, 2), keras)
    assert (first.parameters, first.macs) == (4 + 2 * 36, 64 * (2 * 4 + 2 * 36))
    assert (first.receptive_field, first.uncounted) == (5, ())
    x = layers.GlobalAveragePooling2D()(Product()(inner(layers.MaxPooling2D(2)(x))))
    whole = built_cost(keras.Model(inputs, layers.Dense(3)(x)), (8, 8, 2), keras)
    transposed = 4 * 4 * (4 * 4 * 2 * 2)
    assert whole.macs == first.macs + transposed + 5 * 3
    assert whole.receptive_field == 5 + 1 + (4 // 2 - 1) * 2
    assert (whole.parameters, whole.uncounted) == (first.parameters + 64 + 10 + 18, ("Product",))


def test_costs_are_not_known_before_the_description_and_are_known_after(files, tmp_path):
    claims = [{"id": "size", "text": "It is.", "rule": "parameters(mine) / parameters(dense) == 2"}]
    study = study_with(claims=claims)
    assert ("digits", "mine") not in study.plan.costs and ("digits", "dense") in study.plan.costs
    assert study.plan.macs("digits", "mine") == ASSUMED_MACS
    assert "known after the describe job" in plan_text.table(study, Earlier())
    assert study.choice("digits")["candidates"]["mine"] is None
    counted = cost(Dense(family="dense", units=[3]), (8, 8, 1), 10)
    path = layout.described(tmp_path, "digits") / "mine.json"
    with pytest.raises(UserError, match=r"mine\.json"):
        with_described_costs(study, tmp_path)
    path.parent.mkdir(parents=True)
    built_by = study.plan.variants["mine"].built_by
    write_json(path, {"built_by": built_by, **as_json(counted)})
    assert with_described_costs(study, tmp_path).plan.costs["digits", "mine"] == counted
    write_json(path, {"built_by": {**built_by, "precision": "mixed_bfloat16"}, **as_json(counted)})
    with pytest.raises(UserError, match="describes another model than the config's mine; delete it"):
        with_described_costs(study_with(claims=claims), tmp_path)


def test_the_time_of_what_is_known_is_told_beside_what_is_not(files, monkeypatch):
    study = study_with(seeds=1)
    monkeypatch.setattr(durations, "job_seconds", lambda study, dataset, name, earlier: {"dense": 600.0}.get(name))
    printed = plan_text.summary(study, Earlier(), 1)
    assert "2 runs, 0 of them done; the report in about 10 minutes on 1 core" in printed
    assert printed.endswith(", and the time of 1 run more, which cannot be estimated yet.")


def test_make_plan_is_not_said_to_measure_what_it_does_not(files):
    study = load_study(tiny_with(models={"mine": MINE}, experiments={}, comparisons={}))
    counted = cost(Dense(family="dense", units=[3]), (8, 8, 1), 10)
    study = study.with_plan(replace(study.plan, costs={("digits", "mine"): counted}))
    sizes = {canonical_json(study.datasets["digits"].identity): Images(0, 300)}
    printed = plan_text.summary(study, Earlier(sizes=sizes), 1)
    assert printed.endswith("once such models have been trained here, since only convlab's own are measured.")


def test_the_report_shows_file_arguments_reasons_and_what_is_not_counted(files, tmp_path):
    study = study_with({**MINE, "arguments": {"width": 6}, "why": {"width": "Fits."}})
    path = layout.described(tmp_path, "digits") / "mine.json"
    path.parent.mkdir(parents=True)
    counted = replace(cost(Dense(family="dense", units=[3]), (8, 8, 1), 10), uncounted=("Raw",))
    write_json(path, {"built_by": study.plan.variants["mine"].built_by, **as_json(counted)})
    _, mine = design(with_described_costs(study, tmp_path))["models"]
    rows = {row[0]: row[1:3] for row in mine["fields"].rows}
    checksum = hashlib.sha256((files / "resnet.py").read_bytes()).hexdigest()
    assert rows["width"] == ("6", "Fits.") and rows["file"][0] == "models/resnet.py" and rows["depth"][0] == "2"
    assert f"resnet.py {checksum}" in rows["code"][0]
    assert mine["layers_note"].endswith("leave out what these layers do by themselves: Raw.")
    assert mine["diagrams"] == [] and len(mine["layers"][0].rows) == len(counted.layers) + 1


def test_a_training_on_sagemaker_brings_the_code_along(files, tmp_path):
    run = study_with().run("digits", "mine", 1)
    folder = pack_source(tmp_path / "source", run.identity, UserCode.read(files / "resnet.py").texts)
    assert (folder / "convlab/models/user_code.py").is_file()
    assert train.with_code(run, folder / "described.json").model.sources["resnet.py"] == RESNET
    assert not (
        pack_source(tmp_path / "dense", study_with().run("digits", "dense", 1).identity) / "described.json"
    ).exists()


def test_variants_that_differ_in_training_alone_share_a_description(files):
    study = study_with(experiments={"rate": {"base": "mine", "factor": "learning_rate", "levels": [0.01, 0.1]}})
    assert study.plan.described == {"mine": "mine", "mine-learning_rate-0.1": "mine"}


# The built model


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A prepared dataset of 40 images, 8×8 grey, in three classes."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    arrays = {
        **{f"x_{part}": generator.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8) for part in ("train", "test")},
        **{f"y_{part}": np.arange(40, dtype=np.int64) % 3 for part in ("train", "test")},
    }
    write_arrays(folder / "data.npz", **arrays)
    sums = {name: {"sha256": array_sha256(array)} for name, array in arrays.items()}
    write_json(folder / "manifest.json", {"format": 1, "classes": ["a", "b", "c"], "arrays": sums})
    return folder


def built_by(**mine) -> dict:
    return study_with({**MINE, **mine}).plan.variants["mine"].built_by


@pytest.fixture
def same_threads():
    with threads_as_they_are():
        yield


def description(data: Path, **mine) -> dict:
    mine = {**MINE, **mine}
    arguments = argparse.Namespace(
        built_by=built_by(**mine), file=Path(mine["file"]), data_dir=data, output=Path("mine.json"), threads=1
    )
    return describe.description(arguments)


@pytest.mark.usefixtures("same_threads")
def test_a_description_counts_the_model_and_keeps_its_code(files, data):
    described = description(data, arguments={"depth": 1})
    assert described["parameters"] == (9 * 4 + 4) + 2 * (9 * 16 + 4) + (4 * 3 + 3)
    assert described["macs"] == 64 * (9 * 4 + 2 * 9 * 16) + 12
    assert (described["receptive_field"], described["uncounted"]) == (7, [])
    assert described["sources"] == {"parts/blocks.py": BLOCKS, "resnet.py": RESNET}


@pytest.mark.usefixtures("same_threads")
def test_the_worked_example_is_described_though_its_normalisation_has_moving_averages(files, data):
    example = ROOT / "studies/models/convmixer.py"
    Path("convmixer.py").write_bytes(example.read_bytes())
    described = description(data, file="convmixer.py", arguments={"width": 4, "depth": 1})
    assert (described["uncounted"], described["sources"]) == ([], {"convmixer.py": example.read_text()})


@pytest.mark.usefixtures("same_threads")
def test_code_that_was_edited_after_the_plan_is_not_imported(files, data):
    planned = built_by()
    (files / "resnet.py").write_text("raise SystemExit\n" + RESNET)
    arguments = argparse.Namespace(built_by=planned, file=files / "resnet.py", data_dir=data, threads=1)
    with pytest.raises(
        UserError, match=r"resnet\.py was edited after this job was planned; run the same command again"
    ):
        describe.description(arguments)


def dense_model(output: str, before: str = "") -> str:
    """A user's file whose function ends with this output of the flattened image ``x``."""
    return (
        f"import keras\nlayers = keras.layers\n{before}\ndef build(input_shape, classes):\n"
        f"    i = keras.Input(input_shape)\n    x = layers.Flatten()(i)\n    {output}\n"
    )


SOFTMAX = "layers.Dense(classes, activation='softmax')"

ARGUMENTS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--width", required=True)
width = parser.parse_args().width
def build(s, c): ...
"""

SIZES = "import builtins\nsizes = builtins.__dict__.setdefault('sizes_of_a_test', iter(range(3, 99)))"

POLICY = "keras.mixed_precision.set_global_policy('mixed_bfloat16')"

OWN_LAYER = """
class Scale(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=())
    def call(self, x):
        return x * self.scale
"""


@pytest.mark.usefixtures("same_threads")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (dense_model("x"), "build in models/resnet.py returns nothing (None); it should return a keras.Model"),
        (dense_model("return x"), "returns a KerasTensor; it should return a keras.Model"),
        (dense_model(f"return keras.Model([i, keras.Input((2,))], {SOFTMAX}(x))"), "a model with 2 inputs"),
        (dense_model(f"i = keras.Input((9, 9)); return keras.Model(i, {SOFTMAX}(i))"), "a model of inputs (9, 9)"),
        (dense_model("return keras.Model(i, layers.Dense(9, activation='softmax')(x))"), "it should be (8, 3)"),
        (dense_model("return keras.Model(i, layers.Dense(classes)(x))"), "are no probabilities (they add up to"),
        (dense_model("return keras.Model(i, layers.Softmax()(x[:, :3]))"), "without trainable weights"),
        (dense_model(f"return keras.Model(i, {SOFTMAX}(layers.Lambda(lambda t: t)(x)))"), "the Lambda layer lambda"),
        (dense_model(f"return keras.Model(i, {SOFTMAX}(Scale()(x)))", OWN_LAYER), "register_keras_serializable()"),
        ("import keras\nimport no_such_package\ndef build(s, c): ...", "install no_such_package, or put the module"),
        ("import keras\ndef build(s, c):\n    return keras.layers.Dense(-1)", "models/resnet.py, line 3, in build"),
        ("import parts.blocks as b\ndef build(s, c):\n    return b.Block()", "models/resnet.py, line 3, in build"),
        ("import sys\ndef build(s, c):\n    sys.exit()", "ended with SystemExit; put what ends the program"),
        (ARGUMENTS, "ended with SystemExit: 2; put what ends the program, such as the reading of a command line"),
        ("from ..up import x\ndef build(s, c): ...", "only what is beside the file and below can be imported"),
        (dense_model("layers.Dense(3, activation=keras.datasets.mnist.load_data())"), "; nothing is fetched while"),
        (dense_model(f"return keras.Model(i, [{SOFTMAX}(x), {SOFTMAX}(x)])"), "returns a model with 2 outputs"),
        (dense_model(f"return keras.Model(i, {{'a': {SOFTMAX}(x)}})"), "whose output is a dict of 1; it should be one"),
        (dense_model(f"return keras.Model(i, {SOFTMAX}(layers.Dense(next(sizes))(x)))", SIZES), "another network each"),
        (dense_model(f"keras.utils.set_random_seed(1); return keras.Model(i, {SOFTMAX}(x))"), "same initial weights"),
        (dense_model(f"return keras.Model(i, {SOFTMAX}(x))", "keras.config.set_floatx('float16')"), "floatx to"),
        (dense_model(f"return keras.Model(i, {SOFTMAX}(x))", POLICY), "remove that and write training.precision"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used_says_why_before_it_is_trained(files, data, text, sentence):
    (files / "resnet.py").write_text(text)
    with pytest.raises(UserError) as error:
        description(data)
    assert sentence in str(error.value)
    assert "convlab" not in str(error.value).replace("convlab_user_model", "")
    assert "site-packages" not in str(error.value)


@pytest.mark.usefixtures("same_threads")
def test_a_run_keeps_its_code_and_is_loaded_with_it_alone(files, data, tmp_path):
    from convlab.evaluation import inference
    from convlab.runtime.keras_runtime import keras
    from convlab.serving.artifacts import inference_model

    write_json(tmp_path / "mine.json", description(data))
    run = study_with(training={"epochs": 1, "batch_size": 32, "augmentation": {"flip": "horizontal"}}).run(
        "digits", "mine", 1
    )
    spec = ["--spec", canonical_json(run.identity), "--described", str(tmp_path / "mine.json")]
    folders = [tmp_path / name for name in ("first", "second")]
    shutil.rmtree(files)
    for folder in folders:
        train.main([*spec, "--data-dir", str(data), "--output-dir", str(folder)])
        keras.saving.get_custom_objects().clear()
    first, second = (read_json(folder / "run.json") for folder in folders)
    assert first["sources"]["resnet.py"] == RESNET
    with pytest.raises(UserError, match=r"model\.keras"):
        inference.load(folders[0] / "model.keras")
    models = [
        inference.load(folder / "model.keras", UserCode.of_run(record))
        for folder, record in zip(folders, (first, second), strict=True)
    ]
    for weights in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(*weights)
    images = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    served = inference_model(models[0], Run.of_record(first), (8, 8, 1), 3)
    np.testing.assert_allclose(served(images.astype(np.float32)), inference.predictor(models[0])(images), atol=1e-5)
    with pytest.raises(UserError, match="was edited"):
        UserCode.of_run({**first, "sources": {**first["sources"], "resnet.py": ""}})


@pytest.mark.usefixtures("same_threads")
def test_a_seed_that_the_file_sets_while_it_is_imported_has_no_effect(files, data):
    (files / "resnet.py").write_text("import keras\nkeras.utils.set_random_seed(42)\n" + RESNET)
    assert description(data)["parameters"]


@pytest.mark.usefixtures("same_threads")
def test_a_run_is_of_the_model_that_was_described(files, data, tmp_path):
    described = {"sources": UserCode.read(files / "resnet.py").texts, "parameters": 7}
    write_json(tmp_path / "mine.json", described)
    run = study_with().run("digits", "mine", 1)
    spec = ["--spec", canonical_json(run.identity), "--described", str(tmp_path / "mine.json")]
    with pytest.raises(UserError, match=r"of \d+ parameters, but one of 7 when it was described: it depends on"):
        train.main([*spec, "--data-dir", str(data), "--output-dir", str(tmp_path / "run")])


def test_relative_imports_of_the_file_and_names_of_installed_modules_are_of_what_is_beside_it(files):
    (files / "parts" / "__init__.py").write_text("from ..more import x as y\n")
    (files / "more.py").write_text("import sys\nx = sys.argv\n")
    (files / "json.py").write_text("from more import x as z\n")
    (files / "resnet.py").write_text("from . import more\nfrom .more import x\nfrom .parts import y\nimport json\n")
    before = dict(sys.modules), list(sys.argv)
    with UserCode.read(files / "resnet.py").importing() as module:
        assert module.more.x == module.x == module.y == module.json.z == [str(files / "resnet.py")]
    assert (dict(sys.modules), sys.argv) == before and sys.modules["json"] is json


def test_modules_of_the_users_do_not_stay_importable(files):
    (files / "parts" / "blocks.py").write_text("Block = 3\n")
    (files / "resnet.py").write_text("import parts.blocks\n")
    code = UserCode.read(files / "resnet.py")
    before = set(sys.modules), list(sys.path), list(sys.meta_path)
    with code.importing() as module:
        assert module.parts.blocks.Block == 3
    assert (set(sys.modules), list(sys.path), list(sys.meta_path)) == before
