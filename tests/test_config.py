"""A config is checked before any job runs; every mistake gets one sentence that names its place and what to do."""

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builders.project import ROOT, TINY
from convlab.common.specs import canonical_json
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.registry import families
from convlab.study.load import load_study, read_yaml, schema
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

DEFAULT = read_yaml(ROOT / "config.yaml")


def changed(path: str, value, base=DEFAULT) -> dict:
    """A copy of the default config with one key set; ``path`` is dotted."""
    config = copy.deepcopy(base)
    *parents, last = path.split(".")
    section = config
    for key in parents:
        section = section[key]
    section[last] = value
    return config


SAGEMAKER = {"role_arn": "arn:aws:iam::123456789012:role/MyRole", "bucket": "b-123456789012"}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("models.cnn.kernal_size", 3, "unknown key 'kernal_size' in models.cnn, did you mean 'kernel_size'?"),
        ("training.epoch", 3, "unknown key 'epoch' in training, did you mean 'epochs'?"),
        ("seed", 3, "unknown key 'seed' in the config, did you mean 'seeds'?"),
        ("experiments.first_kernel.level", [3], "unknown key 'level' in experiments.first_kernel, did you mean 'levels'?"),
        ("training.early_stopping", {"patence": 2}, "unknown key 'patence' in training.early_stopping"),
        ("probes", {"calibration": {"bins": 3}}, "unknown key 'bins' in probes.calibration; it has no keys"),
        ("datasets.fashion_mnist.path", "~no-such-user/x", "begins with ~no-such-user, a home folder that is not known"),
        ("datasets.fashion_mnist.path", "a" * 300, "datasets.fashion_mnist.path is longer than a path can be"),
        ("datasets.fashion_mnist.path", "a\0b", "datasets.fashion_mnist.path has a character that no path can hold"),
        ("training.epochs", "five", "training.epochs should be a whole number (it is 'five')"),
        ("training.epochs", 2.5, "training.epochs should be a whole number (it is 2.5)"),
        ("training.epochs", True, "training.epochs should be a number, not true or false"),
        ("training.epochs", 0, "training.epochs should be greater than 0 (it is 0)"),
        ("training.learning_rate", -1, "training.learning_rate should be greater than 0"),
        ("training.learning_rate", 1e-50, "training.learning_rate should be at least 1.2e-38, the smallest number of single precision"),
        ("training.optimizer", "adm", "training.optimizer should be adam, sgd, adamw or rmsprop (it is 'adm')"),
        ("training.validation_fraction", 1, "training.validation_fraction should be less than 1"),
        ("models.cnn.filters", [], "models.cnn.filters is empty; it needs at least one entry"),
        ("models.cnn.kernel_size", [3, 3, 3], "models.cnn kernel_size has 3 values for 2 blocks"),
        ("models.cnn.family", "cnn", f"models.cnn should have family {listing(families(), 'or')}, not 'cnn'"),
        ("models.cnn", {"filters": [3]}, "models.cnn has no family; add 'family: dense'"),
        ("models.cnn", None, "models.cnn should be a mapping (name: value)"),
        ("models", {}, "models is empty; it needs at least one entry"),
        ("models", [], "models should be a mapping (name: value)"),
        ("models.a/b", DEFAULT["models"]["cnn"], "models 'a/b' names a folder"),
        ("models.twin", DEFAULT["models"]["cnn"], "models.twin is the same as models.cnn"),
        ("models.cnn.why", {"kernl": "x"}, "models.cnn why.kernl explains a field"),
        ("datasets", {}, "datasets is empty; it needs at least one entry"),
        ("datasets.fashion_mnst", {}, "datasets.fashion_mnst is no dataset that convlab knows, did you mean 'fashion_mnist'?"),
        ("seeds", 0, "seeds asks for 0 seeds; a study needs at least one"),
        ("seeds", [], "seeds names no seed; a study needs at least one"),
        ("seeds", [1, 1], "seeds names seed 1 twice"),
        ("seeds", "many", "seeds should be a list (it is 'many')"),
        ("study", "my study", "study 'my study' names a folder: use letters, digits, - and _ only"),
        ("study", None, "study should be text"),
        ("experiments.first_kernel.base", "cn", "experiments.first_kernel.base is 'cn', which is no model, did you mean 'cnn'?"),
        ("experiments.first_kernel.factor", "kernel", "is no field of the conv model cnn or of training, did you mean 'kernel_size'?"),
        ("experiments.first_kernel.levels", [], "experiments.first_kernel.levels is empty"),
        ("experiments.first_kernel.levels", [3], "experiments.first_kernel.levels needs at least 2 entries"),
        ("experiments.first_kernel.levels", [3, [3, 3]], "experiments.first_kernel.levels names [3, 3] twice (equal to [3, 3])"),
        ("experiments.first_kernel.levels", [3, "big"], "experiments.first_kernel.levels[1]: kernel_size 'big' is not possible"),
        ("experiments.first_kernel.reference", 9, "experiments.first_kernel.reference 9 is not one of the levels"),
        ("comparisons.convolution.reference", "cnn", "comparisons.convolution compares cnn with itself"),
        ("comparisons.convolution.reference", "dens", "is 'dens', which is no variant, did you mean 'dense'?"),
        ("deploy", {"target": "moon"}, "deploy.target should be local or sagemaker (it is 'moon')"),
        ("deploy", {"variant": "cn"}, "deploy.variant is 'cn', which is no variant, did you mean 'cnn'?"),
        ("deploy", {"variant": "cnn-shuffled-1"}, "deploy.variant is 'cnn-shuffled-1', which is trained on images with their pixels in another order"),
        ("deploy", {"dataset": "fashion_mnst"}, "deploy.dataset is 'fashion_mnst', which is no dataset of this study, did you mean 'fashion_mnist'?"),
        ("deploy", {"runtime": "onxx"}, "deploy.runtime should be onnx or saved_model (it is 'onxx'), did you mean 'onnx'?"),
        ("deploy", {"formats": ["onnx"]}, "deploy has formats without keras; keras and onnx are always exported"),
        ("deploy", {"formats": ["keras", "onnx", "onnx"]}, "deploy has formats that are named twice"),
        ("deploy", {"formats": ["keras", "onnx", "torchscript"]}, "should be keras, onnx, saved_model or safetensors (it is 'torchscript')"),
        ("deploy", {"formats": ["keras", "onnx"], "runtime": "saved_model"}, "deploy has runtime saved_model, which is not among its formats"),
        ("deploy", {"formats": ["keras", "onnx"], "target": "sagemaker", "sagemaker": SAGEMAKER}, "which serves the SavedModel; add saved_model to its formats"),
        ("deploy", {"test_images": 0}, "deploy.test_images should be greater than 0 (it is 0)"),
        ("deploy", {"seed": -1}, "deploy.seed should be greater than or equal to 0 (it is -1)"),
        ("deploy", {"images": 9}, "unknown key 'images' in deploy, did you mean 'test_images'?"),
        ("deploy", {"target": "sagemaker"}, "deploy has target sagemaker, which needs sagemaker: with at least role_arn and bucket"),
        ("deploy", {"target": "sagemaker", "runtime": "onnx", "sagemaker": SAGEMAKER}, "deploy has runtime onnx, which is for target local"),
        ("deploy", {"sagemaker": {"bucket": "b-1"}}, "deploy.sagemaker.role_arn is missing; add it"),
        ("deploy", {"sagemaker": SAGEMAKER | {"role_arn": "MyRole"}}, "deploy.sagemaker.role_arn should be the ARN of a role"),
        ("deploy", {"sagemaker": SAGEMAKER | {"bucket": "s3://b"}}, "deploy.sagemaker.bucket 's3://b' is no bucket's name; write it without s3://"),
        ("deploy", {"sagemaker": SAGEMAKER | {"region": "Ireland"}}, "deploy.sagemaker.region should be a region's name, such as eu-west-1 (it is 'Ireland')"),
        ("deploy", {"sagemaker": SAGEMAKER | {"prefix": "/x"}}, "deploy.sagemaker.prefix '/x' is no prefix"),
        ("deploy", {"sagemaker": SAGEMAKER | {"endpoint": {"memory_mb": 3000}}}, "deploy.sagemaker.endpoint.memory_mb should be 1024, 2048, 3072, 4096, 5120 or 6144 (it is 3000)"),
        ("deploy", {"sagemaker": SAGEMAKER | {"endpoint": {"image_version": 2.20}}}, "deploy.sagemaker.endpoint.image_version should be in quotation marks, such as '2.20' (it is the number 2.2)"),
        ("deploy", {"sagemaker": SAGEMAKER | {"training": {"instance_type": "m5"}}}, "deploy.sagemaker.training.instance_type should be a type of instance, such as ml.m5.large"),
        ("deploy", {"sagemaker": SAGEMAKER | {"endpoint": {"memory": 1}}}, "unknown key 'memory' in deploy.sagemaker.endpoint, did you mean 'memory_mb'?"),
        ("comparisons.first_kernel", DEFAULT["comparisons"]["convolution"], "comparisons.first_kernel has the name of an experiment"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_sentence_that_names_its_place(path, value, sentence):
    with pytest.raises(UserError) as caught:
        load_study(changed(path, value))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["datasets.fashion_mnist.kind", "models.cnn.family", "experiments.first_kernel.base", "training.optimizer", "probes",
     "experiments.first_kernel.factor", "experiments.first_kernel.reference", "comparisons.convolution.variant"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["x" * 5000, "it's a line\n" * 500], ids=["word", "lines"])
def test_a_value_that_nobody_would_read_to_its_end_is_cut(path, value):
    with pytest.raises(UserError) as caught:
        load_study(changed(path, [value] if path == "probes" else value))
    assert len(str(caught.value)) < 1000 and value[:10] in str(caught.value)


def test_a_study_is_shown_without_account_numbers_and_deploys_with_them():
    sagemaker = SAGEMAKER | {"endpoint": {"image_version": "2.20"}}
    study = load_study(changed("deploy", {"target": "sagemaker", "sagemaker": sagemaker}))
    assert "123456789012" not in canonical_json(study.validated_config)
    assert study.validated_config["deploy"]["sagemaker"]["endpoint"] == {"image_version": "2.20"}, "no number"
    assert load_study(study.validated_config).validated_config == study.validated_config
    assert study.deploy.options["sagemaker"]["role_arn"] == SAGEMAKER["role_arn"]
    assert "sagemaker" not in load_study(changed("deploy", {"sagemaker": sagemaker})).deploy.options


def test_a_missing_key_is_named():
    config = {key: value for key, value in DEFAULT.items() if key != "study"}
    with pytest.raises(UserError, match="study is missing; add it"):
        load_study(config)


def test_a_kernel_larger_than_valid_padding_allows_names_experiment_level_and_layer():
    config = changed("models.cnn.padding", "valid")
    config["experiments"]["first_kernel"]["levels"] = [3, [29, 3]]
    with pytest.raises(
        UserError, match=r"experiments.first_kernel, level 29×29/3×3: .* layer conv_1 lays a 29×29 kernel"
    ):
        load_study(config)


def test_shapes_that_shrink_to_nothing_name_the_layer():
    config = changed("models.cnn", {"family": "conv", "filters": 4, "depth": 6})
    with pytest.raises(
        UserError, match=r"models.cnn: on fashion_mnist .* layer pool_5 lays a 2×2 pooling window .* 1 pixel;"
    ):
        load_study({**config, "experiments": {}})


def test_a_key_written_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("study: a\nmodels:\n  cnn: {family: dense}\n  cnn: {family: conv}\n")
    with pytest.raises(UserError, match=r"config.yaml, line 4 names 'cnn' a second time"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "sentence"), [("study: [", "line 1"), ("", "holds no settings"), ("- a\n", "holds no")]
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, sentence):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_yaml(path)


@pytest.mark.slow
def test_snakemake_ends_before_any_job_with_one_sentence_and_no_traceback(project):
    project.configure(changed("training.epoch", 3, TINY))
    result = project.snakemake("-n")
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "unknown key 'epoch' in training, did you mean 'epochs'?" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_config_on_the_command_line_replaces_the_default_one(project):
    other = project.folder / "other.yaml"
    other.write_text(json.dumps({**TINY, "study": "other"}))
    planned = project.planned("--configfile", "other.yaml")
    assert any("digits" in job for job in planned)
    assert not any("fashion_mnist" in job for job in planned)


def test_numbers_that_yaml_reads_as_text_are_numbers():
    study = load_study(changed("training.learning_rate", "1e-3"))
    assert study.training.learning_rate == 0.001


def test_equal_spellings_have_one_hash_and_different_values_have_another():
    plain = Conv(family="conv", filters=[4, 4], kernel_size=3)
    spelled = Conv.model_validate(
        {"family": "conv", "filters": 4.0, "depth": 2, "kernel_size": [3, 3.0], "why": {"depth": "x"}}
    )
    data = {"kind": "digits"}

    def spec_hash(model, **training):
        return Run(dataset=data, model=model, training=Training(**training), seed=1).spec_hash

    assert spec_hash(plain) == spec_hash(spelled)
    assert spec_hash(plain) != spec_hash(plain, learning_rate=0.01)
    assert spec_hash(plain) != spec_hash(Dense(family="dense", units=[4]))


def test_the_place_of_the_data_is_no_part_of_a_runs_identity():
    here, there = ({"kind": "fashion_mnist", "path": path} for path in ("/here", "/there"))
    model = Dense(family="dense", units=[4])
    assert len({Run(dataset=d, model=model, training=Training(), seed=1).spec_hash for d in (here, there)}) == 1


def test_seeds_are_a_count_or_a_list():
    assert load_study(changed("seeds", 5)).seeds == (1, 2, 3, 4, 5)
    assert load_study(changed("seeds", [42, 7])).seeds == (7, 42)


def test_depth_repeats_one_filter_count_or_keeps_the_first_blocks():
    assert Conv(family="conv", filters=8, depth=3).filters == (8, 8, 8)
    assert Conv(family="conv", filters=[8, 16, 32], kernel_size=[3, 5, 7], depth=2).kernel_size == (3, 5)


def test_every_field_can_be_a_factor():
    base = {"family": "conv", "filters": [8, 16], "dense_units": [8]}
    levels = {
        "filters": [[8, 16], 16], "depth": [2, 1], "kernel_size": [3, 5], "strides": [1, 2], "padding": ["same", "valid"],
        "pooling": ["max", "average", "none"], "pool_size": [2, 3], "norm": ["none", "batch", "layer", "group"],
        "convolutions_per_block": [1, 2], "head": ["flatten", "global_average", "global_max"],
        "convolution": ["standard", "separable", ["standard", "depthwise_separable"]], "dilation": [1, [1, 2]],
        "groups": [1, [1, 2]], "norm_groups": [8, 4], "residual": [False, True, [False, True]],
        "activation_after": ["convolution", "pooling"], "conv_dropout": [0, 0.2, [0, 0.2]],
        "kernel_initializer": ["glorot_uniform", "he_normal", "orthogonal"],
        "dense_units": [[8], [], [16, 8]], "dropout": [0, 0.3], "activation": ["relu", "gelu"],
        "epochs": [1, 2], "batch_size": [16, 32], "optimizer": ["adam", "sgd"], "learning_rate": ["1e-3", 0.01],
        "momentum": [0, 0.9], "weight_decay": [0, 0.01], "precision": ["float32", "mixed_bfloat16"],
        "validation_fraction": [0.1, 0.2], "train_size": [None, 100], "select": ["best", "last"],
        "early_stopping": [None, {"patience": 2}], "steps": [None, 100], "pixel_permutation": [None, 1, 7],
        "schedule": ["constant", "cosine", "one_cycle", "piecewise"], "warmup": [None, 0.1],
        "schedule_boundaries": [[0.5, 0.75], [0.6, 0.8]], "schedule_factors": [[0.1, 0.01], [0.3, 0.1]],
        "gradient_clip": [None, 1], "ema": [None, 0.99], "label_smoothing": [0, 0.1],
        "class_weights": ["none", "balanced"],
        "augmentation": [None, {"flip": "horizontal"}, {"shift": 2}, {"crop": 2}, {"mixup": 0.2}], "backend": ["tensorflow", "jax"], "jit_compile": [False, True], "tensorboard": [False, True],
    }  # fmt: skip
    assert set(levels) == (set(Conv.model_fields) | set(Training.model_fields)) - {"family", "label", "why"}
    experiments = {factor: {"base": "cnn", "factor": factor, "levels": values} for factor, values in levels.items()}
    settings = {**TINY, "datasets": {"fashion_mnist": {}}, "models": {"cnn": base}}
    study = load_study({**settings, "comparisons": {}, "experiments": experiments})
    assert len(study.plan.variants) == 1 + sum(len(values) - 1 for values in levels.values())
    assert len({canonical_json(study.run("fashion_mnist", name, 1).identity) for name in study.plan.variants}) == len(
        study.plan.variants
    )


GRID = {"base": "cnn", "factors": {"kernel_size": [3, 5], "norm": ["none", "batch"]}}


def test_two_factors_are_varied_in_all_combinations():
    study = load_study({**TINY, "comparisons": {}, "experiments": {"both": GRID}})
    question = study.plan.questions["both"]
    assert question.grid.factors == ("kernel_size", "norm")
    assert question.grid.labels == (("3×3", "5×5"), ("none", "batch"))
    assert [level.label for level in question.levels] == [
        "kernel size 3×3, norm none", "kernel size 3×3, norm batch",
        "kernel size 5×5, norm none", "kernel size 5×5, norm batch",
    ]  # fmt: skip
    assert question.reference == question.grid.cells[0][0] == "cnn", "the model itself is trained once"
    made = study.plan.variants[question.grid.cells[1][1]].model
    assert (made.kernel_size, made.norm) == ((5,), "batch")
    named = {**GRID, "reference": {"norm": "batch", "kernel_size": 3}}
    question = load_study({**TINY, "comparisons": {}, "experiments": {"both": named}}).plan.questions["both"]
    assert question.reference == question.grid.cells[0][1]


def test_a_combination_shares_its_run_with_an_experiment_of_one_factor():
    single_factor = {"base": "cnn", "factor": "kernel_size", "levels": [3, 5]}
    plan = load_study({**TINY, "comparisons": {}, "experiments": {"both": GRID, "kernel": single_factor}}).plan
    assert plan.questions["kernel"].variants == (plan.questions["both"].grid.cells[1][0],)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": None}, "experiments.both has no factor; it needs factor and levels, or factors"),
        ({"factor": "filters"}, "experiments.both has factors beside factor or levels; keep one way of saying it"),
        ({"factors": {"kernel_size": [3, 5]}}, "experiments.both varies 1 factors together"),
        (
            {"factors": {"kernel_size": [3, 5], "padding": ["same"]}},
            "experiments.both.factors.padding needs at least 2",
        ),
        (
            {"factors": {"kernel_size": [3, 5], "pading": ["same", "valid"]}},
            "factors names 'pading', which is no field",
        ),
        ({"factors": {"kernel_size": [3, 3.0], "padding": ["same", "valid"]}}, "experiments.both.factors names 3.0"),
        (
            {"factors": {"kernel_size": [3, 5], "padding": ["same", "mirror"]}},
            "experiments.both.factors: kernel_size 3 with padding 'mirror' is not possible for cnn",
        ),
        ({"reference": 3}, "experiments.both.reference is 3; it should give a level of kernel_size and norm"),
        ({"reference": {"kernel_size": 7, "norm": "batch"}}, "is not one of the levels"),
    ],
)
def test_a_wrong_combination_is_explained(change, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_study({**TINY, "comparisons": {}, "experiments": {"both": {**GRID, **change}}})


@pytest.mark.parametrize(
    ("factor", "levels", "message"),
    [
        (
            "groups",
            [1, 4],
            "experiments.e, level 4: on digits (8×8 pixels) layer conv_1 has 4 groups, which do not divide the 1 channel "
            "that it takes; choose groups that divide both, or 1 for this block",
        ),
        (
            "norm",
            ["none", "group"],
            "layer norm_1 has 8 groups, which do not divide the 4 channels that it takes; choose",
        ),
        (
            "residual",
            [False, True],
            "experiments.e.levels[1]: residual True is not possible for cnn: block 1 is residual",
        ),
    ],
)
def test_a_level_that_makes_no_network_says_what_to_change(factor, levels, message):
    cnn = {"family": "conv", "filters": [4], "padding": "valid"}
    experiments = {"e": {"base": "cnn", "factor": factor, "levels": levels}}
    with pytest.raises(UserError, match=re.escape(message)):
        load_study({**TINY, "models": {"cnn": cnn}, "comparisons": {}, "experiments": experiments})


def test_names_of_variants_do_not_depend_on_the_order_of_keys():
    experiments = {
        "width": {"base": "cnn", "factor": "filters", "levels": [[16], [16, 16]]},
        "depth": {"base": "cnn", "factor": "depth", "levels": [1, 2]},
    }
    config = {**TINY, "models": {"cnn": {"family": "conv", "filters": 16}}, "comparisons": {}}
    plans = [
        load_study({**config, "experiments": {name: experiments[name] for name in order}}).plan
        for order in (("width", "depth"), ("depth", "width"))
    ]
    assert list(plans[0].variants) == list(plans[1].variants) == ["cnn", "cnn-depth-2"]
    assert plans[0].questions["width"].variants == ("cnn-depth-2",)


def test_levels_read_as_people_write_them_and_know_their_order():
    study = load_study(DEFAULT)
    question = study.plan.questions["first_kernel"]
    assert [level.label for level in question.levels] == ["3×3/3×3", "5×5/3×3", "7×7/3×3"]
    assert [level.order for level in question.levels] == [3, 5, 7]
    assert question.reference == "cnn"


def test_texts_are_no_part_of_the_settings():
    study = load_study(DEFAULT)
    assert load_study(study.settings).plan.variants == {
        name: variant.__class__(**{**vars(variant), "model": variant.model.model_copy(update={"why": {}})})
        for name, variant in study.plan.variants.items()
    }
    assert "question" not in canonical_json(study.settings)


def test_the_schema_file_is_the_models():
    written = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert written == schema(), "run: make schema"


def test_every_ready_made_study_is_valid():
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        load_study(read_yaml(path))


def test_reading_the_config_imports_no_heavy_library():
    code = "import sys; sys.path.insert(0, 'scripts'); import convlab.study.load, convlab.common.code_digests; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "pandas", "tensorflow", "keras", "matplotlib", "scipy"} & set(loaded)


@pytest.mark.parametrize("path", sorted(ROOT.glob("scripts/**/*.py")), ids=lambda path: path.stem)
def test_no_import_of_the_package_is_overlooked(path):
    from convlab.common.code_digests import _imports

    root, names = ROOT / "scripts", set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    stems = {root.joinpath(*name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2)}
    files = {file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()}
    assert {file for file in files if file.is_relative_to(root / "convlab")} <= set(_imports(path, root))


def test_code_inputs_follow_imports_and_nothing_else(tmp_path):
    from convlab.common.code_digests import code_inputs

    package = tmp_path / "convlab"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "", "a.py": "import os\nfrom convlab import b\n", "b.py": "def f():\n    import convlab.inner.c\n",
        "inner/__init__.py": "", "inner/c.py": "", "unused.py": "", "inner/unused.py": "",
    }.items():  # fmt: skip
        (package / name).write_text(text)
    script = tmp_path / "script.py"
    script.write_text("from convlab.a import x\n")
    inputs = [str(path.relative_to(tmp_path)) for path in code_inputs(script)]
    assert inputs[0] == "script.py"
    assert set(inputs[1:]) == {
        f"convlab/{name}" for name in ("__init__.py", "a.py", "b.py", "inner/__init__.py", "inner/c.py")
    }


def test_a_scripts_digest_changes_with_its_modules_and_not_with_their_times_or_place(tmp_path):
    """Each time in another folder: within a process, a path's digest stays what it was."""
    from convlab.common.code_digests import code_digest

    def digest(checkout: Path) -> str:
        return code_digest(checkout / "scripts/train.py")

    package = tmp_path / "here/scripts/convlab"
    package.mkdir(parents=True)
    for path in ("__init__.py", "used.py", "unused.py"):
        (package / path).write_text("")
    (package.parent / "train.py").write_text("import convlab.used\n")
    first = digest(tmp_path / "here")
    (package / "unused.py").write_text("changed")
    os.utime(package / "used.py", (1e9, 1e9))
    (tmp_path / "here").rename(tmp_path / "there")
    assert digest(tmp_path / "there") == first
    (tmp_path / "there").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/scripts/convlab/used.py").write_text("changed")
    assert digest(tmp_path / "elsewhere") != first
