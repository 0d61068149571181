"""Export: chosen by validation alone, the same answers from every file, and a card that tells the truth."""

import copy
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from safetensors.numpy import load_file

import export
import model_card
from builders.project import ROOT, TINY, Project
from convlab.archive.citation import Deposit
from convlab.archive.hub import hub_folder
from convlab.common.files import write_json
from convlab.common.i18n import NO_BREAK_SPACE
from convlab.datasets.prepared import load_test
from convlab.errors import UserError
from convlab.evaluation.records import read_measures, read_probabilities
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.models.families.residual_network import ResidualNetwork
from convlab.models.families.vision_transformer import VisionTransformer
from convlab.models.specs import Activation
from convlab.page.templates import environment, markdown_text, tidy_markdown
from convlab.results.choice import chosen_run, chosen_variant
from convlab.runtime.keras_runtime import keras, tf
from convlab.serving import artifacts, inference, onnx_files, weights
from convlab.serving.pack import CODE
from convlab.study.load import load_study
from convlab.training.network import build
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)

MODELS = {
    "dense": Dense(family="dense", units=[8]),
    "plain": Conv(family="conv", filters=[4, 6], dense_units=[8]),
    "everything": Conv(
        family="conv", filters=[4, 6], kernel_size=3, norm="batch", dropout=0.5, pooling=["average", "none"],
        strides=[1, 2], padding="valid", convolutions_per_block=1, head="global_average", dense_units=[8],
        activation="gelu",
    ),
    "global max": Conv(family="conv", filters=[4], norm="batch", head="global_max", activation="leaky_relu"),
    "deep": Conv(family="conv", filters=[4, 4], convolutions_per_block=2, norm="batch", activation="selu"),
    "shortcuts": Conv(
        family="conv", filters=[4, 4, 6], convolution=["standard", "separable", "depthwise_separable"], residual=True,
        strides=[1, 2, 1], norm="group", norm_groups=2, conv_dropout=0.2, activation_after="pooling",
        pooling=["max", "average", "none"],
    ),
    "residual network": ResidualNetwork(
        family="residual_network", filters=[4, 6], blocks_per_stage=1, norm="layer", pre_activation=True, dropout=0.1
    ),
    "transformer": VisionTransformer(
        family="vision_transformer", patch_size=4, embed_dim=8, depth=1, num_heads=2, dropout=0.1, attention_dropout=0.1
    ),
    "groups": Conv(family="conv", filters=[6, 6], groups=3, dilation=[1, 2], norm="layer"),
} | {
    activation: Conv(family="conv", filters=[4], dense_units=[6], activation=activation)
    for activation in get_args(Activation)
}  # fmt: skip


def trained(spec, **training):
    """A model as a run leaves it, with weights and running statistics that are not the initial ones."""
    run = Run(dataset={"kind": "digits"}, model=spec, training=Training(**training), seed=1)
    keras.utils.set_random_seed(1)
    model = build(spec, SHAPE, 5, run.training.precision, run.training.augmentation)
    generator = np.random.default_rng(3)
    model.set_weights([np.abs(w + generator.normal(scale=0.2, size=w.shape)) + 0.01 if w.ndim == 1
                       else w + generator.normal(scale=0.05, size=w.shape) for w in model.get_weights()])  # fmt: skip
    return model, run


def predictions(model, images) -> np.ndarray:
    return np.asarray(model(tf.constant(images), training=False))


def onnx_predictions(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"pixels": images.astype(np.float32)})[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_file_gives_the_trained_models_answers(name, tmp_path):
    augmentation = {"flip": "both", "shift": 2} if name == "everything" else None
    model, run = trained(MODELS[name], augmentation=augmentation)
    served = artifacts.inference_model(model, run, SHAPE, 5)
    artifacts.write_saved_model(served, tmp_path / "saved_model")
    onnx_files.write_onnx(served, tmp_path / "model.onnx", list("abcde"))
    expected = predictions(model, IMAGES)
    saved = inference.load_saved_model(tmp_path, 1)(IMAGES.astype(np.float32))
    np.testing.assert_allclose(saved, expected, atol=1e-5)
    onnx_model = onnx.load(tmp_path / "model.onnx")
    assert (
        {opset.domain for opset in onnx_model.opset_import} == {node.domain for node in onnx_model.graph.node} == {""}
    )
    for value in (*onnx_model.graph.input, *onnx_model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "n"
    for count in (1, 20):  # any number of images at once
        np.testing.assert_allclose(
            onnx_predictions(tmp_path / "model.onnx", IMAGES[:count]), expected[:count], atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_of_reduced_precision_is_served_in_float32(precision, tmp_path):
    model, run = trained(MODELS["everything"], precision=precision)
    served = artifacts.inference_model(model, run, SHAPE, 5)
    assert {layer.compute_dtype for layer in served.layers} == {"float32"}
    onnx_files.write_onnx(served, tmp_path / "model.onnx", list("abcde"))
    expected = predictions(model, IMAGES)
    assert np.abs(onnx_predictions(tmp_path / "model.onnx", IMAGES) - expected).max() < export.TOLERANCE[precision]
    wide = build(run.model, SHAPE, 5)
    wide.set_weights(model.get_weights())
    np.testing.assert_allclose(onnx_predictions(tmp_path / "model.onnx", IMAGES), predictions(wide, IMAGES), atol=1e-5)


@pytest.mark.slow
def test_pixels_may_be_fractions(tmp_path):
    """The trained model takes bytes and would cut 0.9 to 0; what is served does not."""
    model, run = trained(MODELS["plain"])
    served = artifacts.inference_model(model, run, SHAPE, 5)
    halves = np.full((1, *SHAPE), 0.9, np.float32)
    assert np.abs(predictions(served, halves) - predictions(served, np.zeros_like(halves))).max() > 1e-6


@pytest.mark.slow
def test_the_signature_has_names(tmp_path):
    model, run = trained(MODELS["dense"])
    artifacts.write_saved_model(artifacts.inference_model(model, run, SHAPE, 5), tmp_path / "saved_model")
    signature = tf.saved_model.load(str(tmp_path / "saved_model/1")).signatures["serving_default"]
    assert signature.structured_input_signature[1]["pixels"].shape.as_list() == [None, *SHAPE]
    assert set(signature.structured_outputs) == {"probabilities"}


@pytest.mark.slow
def test_a_file_that_says_something_else_is_refused():
    same, other = {"largest_difference": 1e-6}, {"largest_difference": 0.3}
    names = ("saved_model_against_keras", "onnx_against_keras", "saved_model_against_onnx", "keras_against_evaluated")
    agreements = dict.fromkeys(names, same) | {"tolerance": 1e-4, "evaluated": {"tolerance": 0.02}}
    export.check(agreements)
    export.check({"onnx_against_keras": same, "tolerance": 1e-4, "evaluated": {"tolerance": 0.02}})
    with pytest.raises(UserError, match=r"onnx against keras: probabilities differ by up to 0\.3"):
        export.check(agreements | {"onnx_against_keras": other})
    with pytest.raises(UserError, match=r"safetensors against keras: probabilities differ by up to 0\.3"):
        export.check(agreements | {"safetensors_against_keras": other})
    with pytest.raises(UserError, match="saved model against onnx"):  # both compute in float32, whatever was trained
        export.check(agreements | {"tolerance": 0.5, "saved_model_against_onnx": other})
    export.check(agreements | {"keras_against_evaluated": {"largest_difference": 0.01}})  # a GPU's TF32
    with pytest.raises(UserError, match=r"keras against evaluated: .* than rounding explains \(0\.02\)"):
        export.check(agreements | {"keras_against_evaluated": other})
    with pytest.raises(UserError):
        export.check(agreements | {"onnx_against_keras": {"largest_difference": float("nan")}})


@pytest.mark.slow
def test_weights_by_name_are_all_that_a_model_of_the_same_architecture_needs(tmp_path):
    model, run = trained(MODELS["everything"])
    served = artifacts.inference_model(model, run, SHAPE, 5)
    weights.write_weights(served, tmp_path / "model.safetensors")
    other = artifacts.untrained_model(run, SHAPE, 5)
    images = IMAGES.astype(np.float32)
    assert np.abs(predictions(other, images) - predictions(served, images)).max() > 0.01
    weights.load_weights(other, tmp_path / "model.safetensors")
    assert predictions(other, images).tobytes() == predictions(served, images).tobytes()
    named = load_file(tmp_path / "model.safetensors")
    assert named["conv_1/kernel"].shape == (3, 3, 3, 4) and all(array.dtype == np.float32 for array in named.values())


@pytest.mark.slow
def test_weights_of_the_same_name_are_not_written(tmp_path):
    both = keras.layers.Layer()
    both.first, both.second = (keras.layers.Dense(2, name="same") for _ in range(2))
    for layer in (both.first, both.second):
        layer.build((None, 2))
    with pytest.raises(UserError, match="two weights of this model have the same name"):
        weights.write_weights(both, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_formats_of_an_earlier_export_are_deleted(tmp_path):
    for name in ("saved_model/1/saved_model.pb", "model.safetensors", "model_code/mine.py", "model.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    export.remove_earlier(tmp_path, ["keras", "onnx", "saved_model"])
    assert {path.name for path in tmp_path.iterdir()} == {"saved_model", "model.onnx"}
    export.remove_earlier(tmp_path, ["keras", "onnx"])
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx"}


# ---------------------------------------------------------------------------------------------------------------------
# The choice


def write_runs(folder: Path, accuracies: dict[str, list[float | None]]) -> None:
    for variant, values in accuracies.items():
        for seed, value in enumerate(values, start=1):
            status = "finished" if value is not None else "diverged"
            write_json(folder / variant / f"seed-{seed}" / "run.json", {"status": status, "val_accuracy": value})


def choose(folder: Path, macs: dict[str, int], seeds=(1, 2, 3)) -> tuple[str, int]:
    choice = {"candidates": macs, "seeds": {name: list(seeds) for name in macs}, "named": False}
    return export.choose_run(choice, "d", folder)[:2]


def test_the_best_mean_validation_accuracy_and_of_its_seeds_the_one_nearest_to_it(tmp_path):
    write_runs(tmp_path, {"a": [0.95, 0.91, 0.9], "b": [0.8, 0.99, 0.8]})
    assert choose(tmp_path, {"a": 10, "b": 5}) == ("a", 2)


def test_of_equals_the_cheaper_variant_and_the_lower_seed(tmp_path):
    write_runs(tmp_path, {"a": [0.8, 0.9, 0.9], "b": [0.9, 0.9, 0.8]})
    assert choose(tmp_path, {"a": 10, "b": 5}) == ("b", 1)
    assert choose(tmp_path, {"a": 5, "b": 5}) == ("a", 2)


@given(scores=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_exported_run_depends_on_neither_the_order_of_the_seeds_nor_their_highest_score(scores, seed):
    rows = [
        {"variant": "a", "seed": number, "macs": 1, "val_accuracy": score / 40, "status": "finished"}
        for number, score in enumerate(scores, start=1)
    ]
    chosen = chosen_run(pd.DataFrame(rows))
    distance = {row["seed"]: abs(row["val_accuracy"] - np.mean(scores) / 40) for row in rows}
    assert distance[chosen[1]] <= min(distance.values()) + 1e-9
    seed.shuffle(rows)
    assert chosen_run(pd.DataFrame(rows)) == chosen


def test_a_diverged_run_is_never_exported(tmp_path):
    write_runs(tmp_path, {"a": [None, 0.7, 0.6], "b": [None, None, None]})
    assert choose(tmp_path, {"a": 10, "b": 5}) == ("a", 2)
    with pytest.raises(UserError, match="no run of b on d finished"):
        choose(tmp_path, {"b": 5})


def test_a_variant_of_which_more_runs_finished_goes_before_a_luckier_one(tmp_path):
    write_runs(tmp_path, {"a": [0.99, None, None], "b": [0.8, 0.81, 0.82], "c": [0.9, 0.95, None]})
    assert choose(tmp_path, {"a": 1, "b": 5, "c": 1}) == ("b", 2)
    assert choose(tmp_path, {"a": 1, "c": 5})[0] == "c"


def test_the_choice_is_that_of_the_report():
    runs = pd.DataFrame(
        {"variant": list("aabb"), "seed": [1, 2, 1, 2], "macs": [9, 9, 5, 5], "val_accuracy": [0.8, 0.9, 0.7, 0.95]}
    ).assign(status="finished")
    variants = pd.DataFrame(
        {"dataset": "d", "variant": ["a", "b"], "macs": [9, 5], "val_accuracy_mean": [0.85, 0.825], "n_seeds": 2}
    ).assign(n_diverged=0)
    assert chosen_run(runs)[0] == chosen_variant(variants, "d") == "a"


def test_candidates_are_what_can_be_served():
    config = copy.deepcopy(TINY) | {"probes": {"pixel_permutation": {}, "sample_efficiency": {"sizes": [50, None]}}}
    config["experiments"]["order"] = {"base": "cnn", "factor": "pixel_permutation", "levels": [None, 2]}
    study = load_study(config)
    assert set(study.plan.candidates) == {"dense", "cnn", "cnn-kernel_size-5x5"}
    named = load_study(config | {"deploy": {"variant": "cnn-kernel_size-5x5"}})
    assert named.plan.candidates == ("cnn-kernel_size-5x5",)
    assert named.choice("digits")["named"]


# ---------------------------------------------------------------------------------------------------------------------
# In the workflow


EXPORT, CARD = "Export the chosen model of digits", "Write the model card of digits"
DEPLOY = "Deploy the model of digits and test its endpoint"


@pytest.fixture(scope="module")
def exported(finished_study, tmp_path_factory) -> Project:
    """A finished tiny study whose model has been exported and deployed. Never change it."""
    project = finished_study.copy(tmp_path_factory.mktemp("exported") / "project")
    result = project.snakemake("export", "deploy")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The model is exported: results/tiny/export/digits" in result.stderr
    result = project.snakemake()  # the report takes up what the endpoint answered
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def again(exported, tmp_path) -> Project:
    """A copy of the exported study, to change at will."""
    return exported.copy(tmp_path / "project")


@pytest.mark.slow
def test_the_default_target_exports_nothing(finished_study):
    assert not (finished_study.folder / "results/tiny/export").exists()


@pytest.mark.slow
def test_what_an_export_holds(exported):
    folder = exported.folder / "results/tiny/export/digits"
    description = json.loads((folder / "export.json").read_text())
    summary = json.loads((exported.folder / "results/tiny/compare/summary.json").read_text())
    assert description["variant"] == summary["chosen"]["digits"]
    source = exported.folder / "results/tiny/train/digits" / description["variant"] / f"seed-{description['seed']}"
    assert (folder / "model.keras").read_bytes() == (source / "model.keras").read_bytes()
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["images"]["count"] == parity["images"]["of"] == 100
    assert parity["onnx_against_keras"]["largest_difference"] < 1e-5
    assert parity["onnx_against_keras"]["agreement"] == 1
    evaluated_in, seed = exported.folder / "results/tiny/evaluate/digits" / description["variant"], description["seed"]
    evaluated = read_measures(evaluated_in, [seed])[seed]
    assert parity["accuracy"]["onnx"] == pytest.approx(evaluated["accuracy"])
    assert json.loads((folder / "labels.json").read_text()) == [str(digit) for digit in range(10)]
    for name in CODE:
        assert (folder / "code" / name).read_bytes() == (ROOT / "scripts/convlab/serving" / name).read_bytes()
    assert parity["keras_against_evaluated"]["largest_difference"] < 1e-5
    assert parity["evaluated"] == {
        "backend": "tensorflow", "device": "CPU", "converted_by": "tensorflow", "tolerance": 1e-4,
    }  # fmt: skip
    assert (folder / "model.tar.gz").stat().st_size > 1000
    hidden = {path.name for path in folder.rglob(".*")}
    assert hidden <= {".snakemake_timestamp", ".made_from", ".card_made_from"}, "nothing unfinished is left"


@pytest.mark.slow
def test_the_card_tells_what_was_measured(exported):
    folder = exported.folder / "results/tiny"
    card = (folder / "export/digits/MODEL_CARD.md").read_text()
    export_record = json.loads((folder / "export/digits/export.json").read_text())
    row = (
        pd.read_csv(folder / "compare/runs.csv")
        .set_index(["variant", "seed"])
        .loc[(export_record["variant"], export_record["seed"])]
    )
    assert f"{100 * row['test_accuracy']:.2f}" in card.replace("\u00a0", " ")
    assert "Wilson" in card and "t over n" in card.replace("\u00a0", " ")
    for heading in ("Intended use", "Data", "How good it is", "Calibration", "Limits", "Files", "Provenance"):
        assert f"\n## {heading}\n" in card
    assert export_record["spec_hash"] in card and "scikit-learn" in card
    assert "None" not in card and "nan" not in card.lower().split()
    tables = MarkdownIt().enable("table").render(card).count("<table>")
    assert tables == 6


@pytest.mark.slow
def test_the_card_for_the_hub_names_no_file_that_its_folder_lacks(exported):
    results = exported.folder / "results/tiny"
    members = hub_folder(load_study(TINY), "digits", results, Deposit())
    own, card = (results / "export/digits/MODEL_CARD.md").read_text(), members["README.md"].content.decode()
    named = r"[`\"]([\w/.-]+\.(?:tar\.gz|keras|onnx|json|safetensors|py|pb))\b"
    assert {"model.tar.gz", "model.onnx"} <= set(re.findall(named, own)) and "scripts/serve.py" in own
    assert set(re.findall(named, card)) <= members.keys() and "scripts/serve.py" not in card
    assert "SHA-256 of `model.onnx`" in card and "Calibration" in card


def card_of(exported: Project, **changes) -> str:
    """The card of the exported model as another config would have it."""
    config = {key: value for key, value in (copy.deepcopy(TINY) | changes).items() if value is not None}
    view = model_card.build_view(load_study(config), "digits", exported.folder / "results/tiny") | {"commit": None}
    card = environment("markdown").get_template("MODEL_CARD.md.j2").render(view)
    return tidy_markdown(card).replace(NO_BREAK_SPACE, " ")


@pytest.mark.slow
def test_the_cards_code_runs_as_it_stands(exported, monkeypatch, tmp_path):
    folder = exported.folder / "results/tiny"
    blocks = re.findall(r"```python\n(.*?)```", (folder / "export/digits/MODEL_CARD.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(folder / "export/digits")
    images, _ = load_test(folder / "prepare/digits")
    description = json.loads((folder / "export/digits/export.json").read_text())
    (expected,) = read_probabilities(folder / "evaluate/digits" / description["variant"], [description["seed"]])
    for block in blocks:
        names = {"images": images.astype(np.float32)}
        exec(block, names)  # noqa: S102
        np.testing.assert_allclose(names["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_the_cards_sentences_hold_for_odd_studies(exported):
    usual = card_of(exported)
    assert "which asked: *Is the machinery exact?* It is for images" in usual
    assert "<https://archive.ics.uci.edu/" in usual and "https:\\" not in usual
    assert "| `model.keras` | uint8 | float32 |" in usual and "| `model.onnx` | float32 | float32 |" in usual
    description = json.loads((exported.folder / "results/tiny/export/digits/export.json").read_text())
    assert description["onnx"] == {"opset": 17, "ir_version": 8} and "| ONNX | opset 17, IR version 8 |" in usual
    assert "what its probes found" not in usual and "or of the variant" in usual
    assert "which asked: *Is it so.* It is" in card_of(exported, question="Is it so")
    assert "a controlled experiment. It is for images" in card_of(exported, question=None)
    assert "what its probes found" in card_of(exported, probes={"translation": {"shift": 1}})
    assert "The variant was chosen for its validation accuracy, which is therefore optimistic" in usual
    named = card_of(exported, deploy={"variant": description["variant"]})
    assert "The variant was chosen" not in named and "The config names this variant." in named
    assert "who may have seen test results" in named and "or of the variant" not in named
    for card in (usual, named):
        assert not re.search(r"(?<![.…])\.\.(?!\.)|\s[.,;](?!\.)|None|\bnan\b|\{\{|unk__", card)


def test_what_is_not_defined_is_no_weakness():
    classes = ["a", "b", "c"]
    measured = {
        "confusion_matrix": [[3, 1, 0], [0, 0, 0], [0, 0, 2]],
        "per_class": {
            "support": [4, 0, 2], "precision": [1.0, 0.0, 1.0], "recall": [0.75, 0.0, 1.0], "f1": [0.857, 0.0, 1.0]
        },
    }  # fmt: skip
    rows = model_card.per_class_rows(classes, measured)
    assert [row[2:] for row in map(tuple, rows)][1] == ("0.0 %", "–", "–")
    assert model_card.weakest(classes, measured) == "a (75.0 %)"
    assert model_card.unmeasured(classes, measured) == "b"
    measured["per_class"] |= {"support": [4, 1, 2], "recall": [1.0, 1.0, 1.0]}
    assert model_card.weakest(classes, measured) is None and model_card.unmeasured(classes, measured) is None


@pytest.mark.parametrize("address, expected", [
    ("https://example.org/a_b?x=1", "<https://example.org/a_b?x=1>"), (None, None),
    ("https://example.org/<script>", "https:\\//example.org/&lt;script&gt;"), ("javascript:alert", "javascript:alert"),
])  # fmt: skip
def test_a_homepage_is_a_link_if_it_is_an_address_and_nothing_else(address, expected):
    link = model_card.link(address)
    assert (link if link is None else str(markdown_text(link))) == expected


@pytest.mark.slow
def test_a_finished_export_is_not_made_again(again):
    assert again.planned("export", "deploy") == set()
    assert again.planned() == set()


@pytest.mark.slow
@pytest.mark.parametrize("change, target, planned", [
    ({"deploy": {"seed": 4}}, "export", {CARD}),
    ({"deploy": {"seed": 4}}, "deploy", {DEPLOY}),
    ({"deploy": {"seed": 4}}, "all", {"Write the report"}),
    ({"deploy": {"variant": "dense"}}, "export", {EXPORT, CARD}),
    ({"deploy": {"variant": "dense"}}, "deploy", {EXPORT, DEPLOY}),
    ({"deploy": {"formats": ["keras", "onnx", "safetensors"]}}, "export", {EXPORT, CARD}),
    ({"deploy": {"formats": ["keras", "onnx"]}}, "all", {"Write the report"}),
    ({"question": "Another?"}, "export", {CARD}),
    ({"question": "Another?"}, "deploy", set()),
    ({"statistics": {"rope": 0.01}}, "export", {"Compare all runs", CARD}),
    ({"statistics": {"rope": 0.01}}, "deploy", set()),
])  # fmt: skip
def test_an_edit_names_the_jobs_that_it_affects(again, change, target, planned):
    again.configure(copy.deepcopy(TINY) | change)
    assert again.planned(target) == planned


@pytest.mark.slow
@pytest.mark.parametrize("file, target, planned", [
    ("scripts/convlab/serving/inference.py", "export", {EXPORT, CARD}),
    ("scripts/convlab/serving/request_forms.py", "export", {EXPORT, CARD}),
    ("scripts/convlab/serving/server.py", "export", set()),
    ("scripts/convlab/serving/server.py", "deploy", {DEPLOY}),
    ("report/MODEL_CARD.md.j2", "export", {CARD}),
    ("report/MODEL_CARD.md.j2", "all", set()),
    ("scripts/convlab/serving/artifacts.py", "all", set()),
])  # fmt: skip
def test_an_edit_of_the_code_names_the_jobs_that_it_affects(again, file, target, planned):
    path = again.folder / file
    path.write_text(
        path.read_text() + "\n{# An edit. #}\n" if path.suffix == ".j2" else path.read_text() + "\n# An edit.\n"
    )
    assert again.planned(target) == planned


@pytest.mark.slow
def test_one_dataset_of_several_can_be_named(project):
    other = {"kind": "digits", "test_images": 50}
    config = copy.deepcopy(TINY) | {"datasets": {**TINY["datasets"], "small": other}}
    project.configure(config)
    jobs = {job for job in project.planned("export") if job.startswith("Export")}
    assert jobs == {"Export the chosen model of digits", "Export the chosen model of small"}
    project.configure(config | {"deploy": {"dataset": "small", "variant": "cnn"}})
    planned = project.planned("export")
    assert {job for job in planned if job.startswith("Export")} == {"Export the chosen model of small"}


def test_the_folder_of_an_export_is_found_by_its_study(tmp_path, capsys):
    import show_export as script

    path = tmp_path / "the study.yaml"
    path.write_text(yaml.safe_dump(TINY))
    script.main([str(path)])
    assert capsys.readouterr().out == "results/tiny/export/digits\n"
    path.write_text(yaml.safe_dump(TINY | {"datasets": {"digits": {}, "small": {"kind": "digits"}}}))
    with pytest.raises(UserError, match="tiny exports 2 models; name one of digits and small"):
        script.main([str(path)])
    script.main([str(path), "small"])
    assert capsys.readouterr().out == "results/tiny/export/small\n"
    command = re.escape(f"make serve STUDY='{path}' DATASET=digits")
    with pytest.raises(UserError, match=f"'large' is not exported; name one of digits and small: {command}$"):
        script.main([str(path), "large"])


def test_the_documented_tolerances_are_those_of_the_export():
    page = " ".join((ROOT / "docs/serving.md").read_text(encoding="utf-8").split())
    allowed = export.TOLERANCE
    assert f"within {allowed['float32']:.0e} for float32, ".replace("e-0", "e-") in page
    assert f"{export.GPU_TOLERANCE} where a GPU computed them" in page
    assert f"{allowed['mixed_bfloat16']} for bfloat16" in page
