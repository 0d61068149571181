"""A validation split that the data bring is used as it is, by every seed, and every sentence knows it."""

import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import explore
import prepare
import train
from builders.history import write_epochs
from builders.project import TINY
from builders.results import CNN_WINS, manifest_of, write_reports, write_study_with
from builders.study_results import results_with, seeds_around
from convlab.cloud import training_job
from convlab.common import environment, provenance
from convlab.common.files import read_json, write_json
from convlab.common.table_files import read_table
from convlab.datasets import prepared
from convlab.datasets.image_counts import image_counts
from convlab.datasets.prepared import Dataset
from convlab.datasets.reading import Reading
from convlab.datasets.registry import kind_of
from convlab.errors import UserError
from convlab.findings.choice import margin_of, optimism, told_apart
from convlab.findings.left_out import left_out, validation_origin
from convlab.findings.limitations import limitations
from convlab.page.dataset import class_counts
from convlab.probes.sample_efficiency.findings import introduction
from convlab.results.choice_margin import expected_maximum
from convlab.study.estimate import Earlier, earlier_runs, run_seconds
from convlab.study.idle_values import idle_values
from convlab.study.load import load_study
from convlab.study.sagemaker import SageMaker
from convlab.training.recipe import Training

IMAGES = {"train": 5, "valid": 3, "test": 2}
"""Images of each of two classes, by folder."""


def put(path: Path) -> None:
    """An image of noise, different for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(path.relative_to(path.parents[2]).as_posix().encode())
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    for part, images in IMAGES.items():
        for label in ("cat", "dog"):
            for number in range(images):
                put(root / part / label / f"{number}.png")
    shutil.copy(root / "train/cat/0.png", root / "valid/cat/0.png")
    return root


@pytest.fixture(scope="module")
def folder(photos) -> Path:
    """The photos as prepare writes them."""
    output = photos.parent / "prepared"
    spec = f'{{"kind": "image_folder", "image_size": 8, "path": "{photos}"}}'
    prepare.main(["--dataset", "photos", "--spec", spec, "--output-dir", str(output)])
    return output


def study_of(photos: Path, training: dict | None = None, **dataset):
    entry = {"kind": "image_folder", "path": str(photos), "image_size": 8, **dataset}
    return load_study({**TINY, "datasets": {"photos": entry}, "training": {**TINY["training"], **(training or {})}})


# ---------------------------------------------------------------------------------------------------------------------
# Through the stages


def test_the_arrays_and_the_manifest_have_the_split_as_it_is(folder):
    data, manifest = prepared.load(folder), read_json(folder / "manifest.json")
    assert data.y_validation.tolist() == [0] * 3 + [1] * 3 and len(data.y_train) == 10
    assert np.array_equal(data.x_validation[0], data.x_train[0])
    assert manifest["counts"]["validation"] == {"cat": 3, "dog": 3}
    assert manifest["validation_from"] == {"from": "data"} and manifest["available"]["validation"] == 6
    images, labels = prepared.load_validation(folder)
    assert np.array_equal(images, data.x_validation) and np.array_equal(labels, data.y_validation)


def drawn(photos, folder, seed: int, **training):
    """What a run of the seed is trained on and validated with."""
    study = study_of(photos, training)
    run = study.run("photos", "dense", seed)
    return train.load_data(SimpleNamespace(spec=run, data_dir=folder), prepared.seed_streams(seed))


def test_every_seed_trains_on_all_training_images_and_validates_with_the_given_ones(photos, folder):
    data = prepared.load(folder)
    for seed in (1, 2):
        got = drawn(photos, folder, seed, validation_fraction=0.4, train_size=None)
        assert np.array_equal(got.train[0], data.x_train) and np.array_equal(got.train[1], data.y_train)
        assert np.array_equal(got.validation[0], data.x_validation)
        assert np.array_equal(got.validation[1], data.y_validation)


def test_training_sizes_and_permuted_pixels_hold_beside_a_given_split(photos, folder):
    data = prepared.load(folder)
    got = drawn(photos, folder, 1, train_size=10, pixel_permutation=2)
    assert len(got.train[0]) == 10
    assert np.array_equal(got.validation[0], prepared.permute_pixels(data.x_validation, 2))
    assert not np.array_equal(got.validation[0], data.x_validation)
    assert len(drawn(photos, folder, 1, train_size=4).train[0]) == 4


def test_a_training_job_in_the_cloud_gets_the_split(folder, tmp_path):
    sent = {}
    clients = SimpleNamespace(
        s3=SimpleNamespace(put_object=lambda Bucket, Key, Body: sent.update({Key.split("/")[-1]: Body.read()}))
    )
    settings = SageMaker(role_arn="arn:aws:iam::123456789012:role/SageMakerRole", bucket="bucket")
    state = SimpleNamespace(bucket="bucket", prefix="p/")
    training_job.upload_data(SimpleNamespace(clients=clients, state=state, settings=settings), folder, tmp_path)
    arrived = tmp_path / "arrived"
    arrived.mkdir()
    for name, content in sent.items():
        (arrived / name).write_bytes(content)
    assert np.array_equal(prepared.load_validation(arrived)[0], prepared.load(folder).x_validation)


def test_exploration_counts_the_split_and_finds_its_near_duplicates_in_training(folder, tmp_path):
    explore.main(["--data-dir", str(folder), "--output-dir", str(tmp_path)])
    summary = read_json(tmp_path / "summary.json")
    assert summary["images"] == {"train": 10, "validation": 6, "test": 4}
    assert "training_duplicates" not in summary
    assert summary["validation_duplicates"]["near_images"] == summary["validation_duplicates"]["exact_images"] == 1
    assert read_table(tmp_path / "class_distribution.csv").columns.tolist() == ["class", "train", "test", "validation"]
    assert "validation" in (tmp_path / "class_distribution.svg").read_text()
    texts = [finding.text for finding in left_out({"photos": read_json(folder / "manifest.json")}, {"photos": summary})]
    assert any("of 6 validation images 1 (16.7 %) is a near duplicate of a training image" in text for text in texts)


# ---------------------------------------------------------------------------------------------------------------------
# Before anything runs


def test_the_counts_know_the_split_and_all_training_images_may_be_trained_on(photos):
    study = study_of(photos, {"train_size": 10})
    counts = image_counts(study.datasets["photos"], 2)
    assert (counts.train.most, counts.validation.most, counts.test.most) == (10, 6, 4)
    with pytest.raises(UserError, match="train_size is 11, but photos leaves 10 images to train on"):
        study_of(photos, {"train_size": 11})
    assert study_of(photos, train_images=2)  # one of each class; none is set aside
    with pytest.raises(UserError, match="train_images is 1, too few for 2 classes; choose at least 2"):
        study_of(photos, train_images=1)


def test_a_validation_fraction_beside_a_given_split_is_told_to_have_no_effect(photos):
    (note,) = idle_values(study_of(photos, {"validation_fraction": 0.3}))
    assert note == "training.validation_fraction has no effect: the data bring their validation images"
    assert idle_values(study_of(photos)) == []
    assert idle_values(load_study({**TINY, "training": {**TINY["training"], "validation_fraction": 0.3}})) == []


def test_variants_that_differ_in_the_validation_fraction_only_are_told_to_be_the_same(photos):
    experiment = {"base": "dense", "factor": "validation_fraction", "levels": [0.1, 0.3]}
    entry = {"kind": "image_folder", "path": str(photos), "image_size": 8}
    study = load_study({**TINY, "datasets": {"photos": entry}, "experiments": {"share": experiment}})
    assert any("train the same network" in note for note in idle_values(study))


def test_times_are_estimated_from_all_training_images(photos, tmp_path):
    study = study_of(photos)
    run = study.run("photos", "dense", 1)
    record = {"spec": run.identity, "spec_hash": run.spec_hash, "images_per_second": 10.0, "input_shape": [8, 8, 3]}
    record |= {"classes": 2, "device": "CPU", "hardware": provenance.hardware(), "environment": environment.choices()}
    path = tmp_path / "tiny/train/photos/dense/seed-1/run.json"
    path.parent.mkdir(parents=True)
    write_json(path, record | {"images_per_epoch": 10, "validation_images": 6, "epochs_run": 2})
    write_epochs(path.with_name("history.csv"), 1.0, 1.0)
    epochs = study.training.epochs
    assert run_seconds(study, "photos", "dense", earlier_runs(tmp_path, study)) == pytest.approx(epochs * 10 / 10)
    assert run_seconds(study, "photos", "dense", Earlier()) is None


def test_a_validation_folder_with_other_classes_is_refused(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "p")
    shutil.rmtree(tmp_path / "p/valid/dog")
    with pytest.raises(UserError, match="train and valid hold different classes \\('dog' is in one of them only\\)"):
        study_of(tmp_path / "p")


SQUARES, LABELS = np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (SQUARES[:0], LABELS[:0], "has a validation split without images"),
        (SQUARES[:, :4], LABELS, "the validation images are 4×8×1 and the training images 8×8×1"),
        (SQUARES, LABELS + 1, "the validation labels go from 1 to 2, but there are 2 classes"),
    ],
)
def test_a_split_that_does_not_fit_is_refused_in_one_sentence(images, labels, sentence):
    data = Dataset(SQUARES, LABELS, SQUARES, LABELS, ("a", "b"), images, labels)
    with pytest.raises(UserError, match=sentence):
        prepare.check_classes("photos", data)


def test_one_training_image_of_each_class_is_enough_and_a_lacking_class_is_named(caplog):
    prepare.check_classes("photos", Dataset(SQUARES[:2], LABELS[:2], SQUARES, LABELS, ("a", "b"), SQUARES, LABELS))
    prepare.check_classes("photos", Dataset(SQUARES, LABELS, SQUARES, LABELS, ("a", "b"), SQUARES[:1], LABELS[:1]))
    assert "datasets.photos: no validation image of 'b'" in caplog.text


def test_data_without_a_split_have_the_manifest_and_arrays_that_they_had():
    spec = load_study(TINY).datasets["digits"]
    data = Dataset(SQUARES, LABELS, SQUARES, LABELS, ("a", "b"))
    manifest = prepare.describe("digits", spec, kind_of(spec), data, Reading(data))
    assert not [key for key in manifest if "validation" in key]
    for part in ("arrays", "counts", "available"):
        assert not [key for key in manifest[part] if "validation" in key]


# ---------------------------------------------------------------------------------------------------------------------
# In words


def of(given: dict[str, int]):
    values = {"dense": [0.7, 0.702, 0.701], "cnn": [0.95, 0.971, 0.962], "cnn-kernel_size-5x5": seeds_around(0.8)}
    return replace(results_with(values), given_validation=given)


def test_what_a_choice_says_holds_for_other_seeds_only_where_they_share_the_validation_images():
    texts = {}
    for images in (None, 400):
        margin = margin_of(of({"digits": images} if images else {}), "digits", "cnn")
        texts[images] = told_apart(margin, "cnn", {}), optimism(margin, "last"), margin.optimism
    assert texts[None][0].startswith("On validation data it is told apart from every other candidate")
    assert texts[400][0].startswith("On the 400 validation images that the data bring it is told apart from every")
    assert "with other seeds, not on other images" in texts[400][0]
    assert "one sample" in texts[400][1] and "one sample" not in texts[None][1]
    means = [0.701, 0.961, np.mean(seeds_around(0.8))]
    variance = np.mean([mean * (1 - mean) for mean in means]) / 400
    assert texts[400][2] == pytest.approx(np.hypot(texts[None][2], expected_maximum(3) * np.sqrt(variance)), rel=1e-3)


def test_the_limitations_say_that_seeds_vary_no_validation_images():
    for given, named in (({}, False), ({"digits": 400}, True)):
        texts = [finding.text for finding in limitations(of(given), (1, 2, 3), {}, 0)]
        sentence = "validation images of digits are given and the same for all seeds"
        assert any(sentence in text for text in texts) == named


def test_the_subsets_of_images_name_where_the_validation_images_are_from():
    given, by_seed = (introduction(Training(), flag) for flag in (True, False))
    assert "all validation images that the data bring" in given and "10 % of" not in given
    assert "(10 % of the training images)" in by_seed and "the data bring" not in by_seed


def test_the_origin_is_told_once_or_of_each_dataset():
    given, without = manifest_of("a") | {"validation_from": {"from": "data"}}, manifest_of("b")
    assert validation_origin({"a": given}, 0.1).startswith("The validation images are those that the data bring")
    assert validation_origin({"b": without}, 0.1).startswith("Of the training images 10 % are set aside")
    both = validation_origin({"a": given, "b": without}, 0.1)
    assert "a: The validation images" in both and "b: Of the training images" in both


@pytest.mark.parametrize("given", [False, True])
def test_the_report_says_that_seeds_divide_the_images_only_where_they_do(tmp_path, given):
    config = write_study_with(tmp_path, TINY, CNN_WINS)
    path = tmp_path / "prepare/digits/manifest.json"
    manifest = read_json(path)
    if given:
        manifest |= {"validation_from": {"from": "data"}}
        manifest["counts"]["validation"] = {str(n): 30 for n in range(10)}
        write_json(path, manifest)
    for text in write_reports(tmp_path, config):
        assert ("dropout and the division into training and validation images" in text) != given
        assert ("anew for each seed" in text) != given
        assert ("The validation images are those that the data bring, the same for all runs." in text) == given


@pytest.mark.parametrize("parts", [["train", "test"], ["train", "validation", "test"]])
def test_images_per_class_have_a_column_for_each_part_in_the_order_of_their_use(parts):
    explored = {"dataset": "digits", "classes": ["a"], "counts": {part: {"a": 3} for part in sorted(parts)}}
    assert class_counts(explored).columns == ("class", *(f"{part}_images" for part in parts))
