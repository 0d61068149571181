"""training.*: learning rate by step, augmentation of batches, soft labels, class weights, averaged weights."""

import re
import zipfile

import numpy as np
import pytest
import yaml

from builders.project import ROOT, TINY
from convlab.datasets.prepared import seed_streams
from convlab.errors import UserError
from convlab.models.families.dense import Dense
from convlab.runtime.keras_runtime import keras, tf
from convlab.study.ema_length import long_averages
from convlab.study.load import load_study
from convlab.training import array_pipeline, loop, tensorflow_pipeline
from convlab.training.augmentation import cropped, cut_out, mixed, rotated
from convlab.training.draws import NumpyDraws, TensorFlowDraws
from convlab.training.loop import Data, Hooks, fit
from convlab.training.network import build
from convlab.training.optimizer import inner, optimizer
from convlab.training.pipeline import class_weights
from convlab.training.recipe import Augmentation, Training
from convlab.training.schedule import rate_at, rates

CLASSES = 4
GENERATOR = np.random.default_rng(5)
LABELS = np.repeat(np.arange(CLASSES), (40, 16, 4, 4))
IMAGES = GENERATOR.integers(0, 256, (len(LABELS), 8, 8, 1)).astype(np.uint8)


def factors(steps: int, **training) -> list[float]:
    """Learning rates by step, of a learning_rate of 1."""
    rate = rates(Training(learning_rate=1, **training), steps)
    return [rate_at(rate, step) for step in range(steps)]


# ---------------------------------------------------------------------------------------------------------------------
# Schedule


def test_a_constant_learning_rate_is_the_number_itself():
    assert rates(Training(learning_rate=0.003), 10) == 0.003
    assert rates(Training(learning_rate=0.003, warmup=0), 10) == 0.003


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"warmup": 0.5}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ({"schedule": "cosine"}, [(1 + np.cos(np.pi * step / 8)) / 2 for step in range(8)]),
        ({"schedule": "cosine", "warmup": 0.25}, [0.5, 1, *((1 + np.cos(np.pi * step / 6)) / 2 for step in range(6))]),
        ({"schedule": "one_cycle"}, [0.5, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "one_cycle", "warmup": 0}, [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ({"schedule": "piecewise"}, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        (
            {"schedule": "piecewise", "schedule_boundaries": 0.25, "schedule_factors": 0.5, "warmup": 0.125},
            [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
        ),
    ],
    ids=str,
)
def test_the_learning_rate_of_each_step(training, expected):
    np.testing.assert_allclose(factors(8, **training), expected, atol=1e-7)


def test_a_run_of_one_step_has_a_learning_rate():
    assert factors(1, schedule="one_cycle") == factors(1, schedule="cosine", warmup=0.9) == [1]


def test_the_optimizer_clips_and_averages_as_keras_does():
    made = optimizer(Training(gradient_clip=0.5, ema=0.9), 0.1)
    assert (made.global_clipnorm, made.use_ema, made.ema_momentum) == (0.5, True, 0.9)
    made = optimizer(Training(), 0.1)
    assert (made.global_clipnorm, made.use_ema) == (None, False)


# ---------------------------------------------------------------------------------------------------------------------
# Augmentation


def test_a_crop_is_a_window_of_the_mirrored_image():
    corners = [[0, 0], [2, 2], [4, 1]]
    padded = np.pad(IMAGES[:3], ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = [image[row : row + 8, column : column + 8] for image, (row, column) in zip(padded, corners, strict=True)]
    windows = cropped(tf.constant(IMAGES[:3]), 2, tf.constant(corners)).numpy()
    np.testing.assert_array_equal(windows, expected)
    np.testing.assert_array_equal(windows[1], IMAGES[1])


def test_a_quarter_turn_moves_every_pixel_and_no_turn_none():
    turned = rotated(tf.constant(IMAGES[:2]), tf.constant([0, np.pi / 2], tf.float32)).numpy()
    np.testing.assert_array_equal(turned[0], IMAGES[0])
    quarter = [np.abs(turned[1].astype(int) - np.rot90(IMAGES[1], times)).max() for times in (1, 3)]
    assert min(quarter) <= 1


def test_a_small_turn_keeps_the_middle_and_loses_the_corners():
    turned = rotated(tf.constant(np.full((1, 8, 8, 3), 200, np.uint8)), tf.constant([np.pi / 4])).numpy()
    assert (turned[0, 2:6, 2:6] == 200).all() and turned[0, 0, 0].max() == 0


def test_cutout_covers_a_square_also_over_the_border():
    covered = cut_out(tf.constant(np.full((2, 8, 8, 2), 9, np.uint8)), 3, tf.constant([[4, 5], [0, 7]])).numpy()
    expected = np.full((2, 8, 8, 2), 9, np.uint8)
    expected[0, 3:6, 4:7] = 0
    expected[1, 0:2, 6:8] = 0
    np.testing.assert_array_equal(covered, expected)


def test_mixup_blends_images_and_labels_by_the_same_share():
    values, shares = np.array([[1.0, 0], [0, 1], [0, 3]], np.float32), tf.constant([0.25, 1, 0.5])
    np.testing.assert_allclose(mixed(tf.constant(values), shares), [[0.25, 2.25], [0, 1], [0, 2]])


DRAWS = [TensorFlowDraws, NumpyDraws]


@pytest.mark.parametrize("draws", DRAWS)
def test_shares_of_mixup_are_those_of_the_beta_distribution(draws):
    for alpha in (0.2, 1.0, 0.001):
        shares = np.asarray(draws(7, 3, 4000).beta("mixup", alpha))
        assert shares.min() >= 0 and shares.max() <= 1
        assert abs(shares.mean() - 0.5) < 0.03
        assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


@pytest.mark.parametrize("draws", DRAWS)
def test_angles_and_corners_have_the_whole_range(draws):
    angles = np.asarray(draws(7, 3, 4000).uniform("rotation", 0.5))
    assert -0.5 <= angles.min() < -0.49 and 0.49 < angles.max() <= 0.5 and angles.dtype == np.float32
    corners = np.asarray(draws(7, 3, 4000).whole("crop", 2, 5))
    assert corners.shape == (4000, 2) and set(corners.ravel().tolist()) == set(range(5))


@pytest.mark.parametrize("draws", DRAWS)
def test_random_numbers_follow_from_seed_step_and_purpose_alone(draws):
    def numbers(seed: int, step: int, purpose: str) -> list[int]:
        return np.asarray(draws(seed, step, 20).whole(purpose, 1, 1000)).ravel().tolist()

    largest_seed = 2**32 - 1
    base = numbers(largest_seed, 5, "crop")
    assert base == numbers(largest_seed, 5, "crop")
    assert base not in (numbers(1, 5, "crop"), numbers(largest_seed, 6, "crop"), numbers(largest_seed, 5, "cutout"))


EVERYTHING = {"crop": 1, "rotation": 20, "cutout": 2, "mixup": 0.4}


@pytest.fixture(params=[tensorflow_pipeline, array_pipeline], ids=["tf.data", "arrays"])
def pipeline(request):
    """The input pipeline of TensorFlow, and the one of JAX and PyTorch, here computed by TensorFlow."""
    return request.param


def batches(pipeline, training: Training, epochs: range) -> list[list[np.ndarray]]:
    plain = pipeline.training_batches(IMAGES, LABELS, 16, epochs, 3)
    changed = pipeline.recipe_batches(plain, training, LABELS, CLASSES, 9, epochs.start * 4)
    return [[keras.ops.convert_to_numpy(part) for part in batch] for batch in changed]


@pytest.mark.parametrize("field", EVERYTHING)
def test_an_epoch_of_a_resumed_run_is_augmented_as_it_would_have_been(pipeline, field):
    training = Training(augmentation={field: EVERYTHING[field]})
    whole, resumed = batches(pipeline, training, range(3)), batches(pipeline, training, range(2, 3))
    assert all(
        (a == b).all()
        for batch, again in zip(whole[8:], resumed, strict=True)
        for a, b in zip(batch, again, strict=True)
    )
    plain = batches(pipeline, Training(class_weights="balanced"), range(3))
    assert any((changed[0] != kept[0]).any() for changed, kept in zip(whole, plain, strict=True))
    assert all(batch[0].dtype == np.uint8 and batch[0].shape == (16, 8, 8, 1) for batch in whole)


def test_a_recipe_that_changes_no_example_leaves_the_batches_as_they_are(pipeline):
    plain = pipeline.training_batches(IMAGES, LABELS, 16, range(1), 3)
    training = Training(augmentation={"flip": "both", "shift": 1}, schedule="cosine", ema=0.9, gradient_clip=1)
    assert pipeline.recipe_batches(plain, training, LABELS, CLASSES, 9, 0) is plain


def test_without_randomness_both_pipelines_have_the_same_batches():
    """Epochs that are no whole pass, and whose last batch is smaller."""
    recipe = Training(label_smoothing=0.2, class_weights="balanced")
    ours, theirs = (
        [
            [keras.ops.convert_to_numpy(part) for part in batch]
            for batch in module.recipe_batches(
                module.training_batches(IMAGES, LABELS, 15, range(1, 3), 3, 40), recipe, LABELS, CLASSES, 9, 3
            )
        ]
        for module in (array_pipeline, tensorflow_pipeline)
    )
    assert [len(images) for images, *_ in ours] == [15, 15, 10] * 2
    for batch, other in zip(ours, theirs, strict=True):
        for part, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, expected, strict=True)


def test_smoothed_labels_give_a_share_to_every_class(pipeline):
    plain = [
        keras.ops.convert_to_numpy(labels) for _, labels in pipeline.training_batches(IMAGES, LABELS, 16, range(1), 3)
    ]
    for (_images, soft), labels in zip(batches(pipeline, Training(label_smoothing=0.2), range(1)), plain, strict=True):
        np.testing.assert_allclose(soft, 0.8 * np.eye(CLASSES)[labels] + 0.05, rtol=1e-6)


def test_balanced_weights_give_every_class_the_same_sum_and_are_blended_with_the_labels(pipeline):
    weights = class_weights(LABELS, CLASSES + 1)
    np.testing.assert_allclose(weights, [64 / (4 * count) for count in (40, 16, 4, 4)] + [0])
    np.testing.assert_allclose(weights[LABELS].mean(), 1)
    for _images, labels, weight in batches(pipeline, Training(class_weights="balanced"), range(1)):
        np.testing.assert_array_equal(weight, weights[labels])
    blended = Training(class_weights="balanced", augmentation={"mixup": 1})
    for _images, soft, weight in batches(pipeline, blended, range(1)):
        np.testing.assert_allclose(soft @ weights[:CLASSES], weight, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# Training


def fitted(work, **training):
    """Model, result and training of a small run; the validation images are the training images."""
    settings = Training.model_validate({"epochs": 3, "batch_size": 16, "learning_rate": 0.01, **training})
    keras.utils.set_random_seed(1)
    model = build(Dense(family="dense", units=[8]), (8, 8, 1), CLASSES, augmentation=settings.augmentation)
    outcome = fit(model, settings, Data((IMAGES, LABELS), (IMAGES, LABELS)), seed_streams(1), work, Hooks())
    return model, outcome, settings


RECIPE = {
    "optimizer": "adamw", "weight_decay": 0.01, "schedule": "one_cycle", "gradient_clip": 1, "ema": 0.8,
    "label_smoothing": 0.1, "class_weights": "balanced", "augmentation": {"flip": "horizontal", **EVERYTHING},
}  # fmt: skip


def test_a_whole_recipe_is_validated_with_hard_labels_and_averaged_weights_and_keras_alone_loads_its_model(tmp_path):
    model, outcome, settings = fitted(tmp_path, **RECIPE)
    kept = outcome.history[outcome.best_epoch - 1]
    probabilities = np.asarray(model(IMAGES, training=False))
    loss = -np.log(probabilities[np.arange(len(LABELS)), LABELS]).mean()
    assert kept["val_loss"] == pytest.approx(loss, rel=1e-4)
    assert kept["val_accuracy"] == pytest.approx((probabilities.argmax(axis=1) == LABELS).mean())
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx(
        [0.01 * factor for factor in factors(12, schedule="one_cycle")[3::4]]
    )
    for weight, average in zip(model.trainable_variables, inner(model)._model_variables_moving_average, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), np.asarray(average))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert "convlab" not in config
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(settings.learning_rate)
    np.testing.assert_array_equal(np.asarray(loaded(IMAGES, training=False)), probabilities)


def test_training_goes_on_from_its_own_weights_and_not_from_their_average(tmp_path):
    """With select last: the weights that are kept are the average over the steps, computed again from runs without."""
    options = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64, "select": "last"}
    weights = []
    for epochs in (1, 2, 3):
        model, *_ = fitted(tmp_path / f"plain-{epochs}", **options, epochs=epochs)
        weights.append([np.asarray(weight) for weight in model.trainable_variables])
    averaged, *_ = fitted(tmp_path / "averaged", **options, epochs=3, ema=0.75)
    for first, second, third, average in zip(*weights, averaged.trainable_variables, strict=True):
        expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"batch_size": 15, "label_smoothing": 0.1}], ids=str)
def test_a_run_on_arrays_is_the_run_on_tf_data(options, tmp_path, monkeypatch):
    expected, theirs, _ = fitted(tmp_path / "tf.data", epochs=2, **options)
    for name in ("training_batches", "recipe_batches", "batches_in_order"):
        monkeypatch.setattr(loop, name, getattr(array_pipeline, name))
    model, ours, _ = fitted(tmp_path / "arrays", epochs=2, **options)
    for weight, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    assert [row["val_loss"] for row in ours.history] == [row["val_loss"] for row in theirs.history]


def test_balanced_weights_change_the_training_loss_only(tmp_path):
    _, plain, _ = fitted(tmp_path / "plain", epochs=1, learning_rate=1e-30)
    _, weighted, _ = fitted(tmp_path / "weighted", epochs=1, learning_rate=1e-30, class_weights="balanced")
    (plain,), (weighted,) = plain.history, weighted.history
    assert plain["loss"] != weighted["loss"]
    assert {name: plain[name] for name in ("accuracy", "val_loss", "val_accuracy")} == {
        name: weighted[name] for name in ("accuracy", "val_loss", "val_accuracy")
    }


# ---------------------------------------------------------------------------------------------------------------------
# Config


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"schedule": "linear"}, "should be constant, cosine, one_cycle or piecewise (it is 'linear')"),
        ({"warmup": 1}, "training.warmup should be less than 1 (it is 1)"),
        ({"schedule_boundaries": [0.5, 0.5]}, "schedule_boundaries should ascend (they are [0.5, 0.5])"),
        ({"schedule_boundaries": [0.5, 1.5]}, "training.schedule_boundaries[1] should be less than 1 (it is 1.5)"),
        ({"schedule_boundaries": [0.5]}, "schedule_factors has 2 entries and schedule_boundaries 1; give one factor"),
        ({"schedule": "one_cycle", "early_stopping": {}}, "schedule one_cycle and early_stopping exclude each other"),
        ({"schedule": "cosine", "early_stopping": {}}, "schedule cosine and early_stopping exclude each other"),
        ({"label_smoothing": 1}, "training.label_smoothing should be less than 1 (it is 1)"),
        ({"ema": 1}, "training.ema should be less than 1 (it is 1)"),
        ({"gradient_clip": 0}, "training.gradient_clip should be greater than 0 (it is 0)"),
        ({"class_weights": "even"}, "training.class_weights should be none or balanced (it is 'even')"),
        ({"augmentation": {"mixup": -1}}, "augmentation.mixup should be greater than or equal to 0 (it is -1)"),
        ({"augmentation": {"rotation": 270}}, "training.augmentation.rotation should be less than or equal to 180"),
        ({"augmentation": {"crop": 8}}, "augmentation.crop is 8, which is more than images of digits (8×8 pixels)"),
        ({"augmentation": {"cutout": 8}}, "augmentation.cutout is 8, which covers images of digits (8×8 pixels)"),
        ({"augmentation": {"rotation": 5}, "pixel_permutation": 1}, "would flip, shift, turn or cover afterwards"),
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_that_is_not_possible_is_told_before_anything_runs(training, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_study({**TINY, "training": training})


def test_mixup_and_shuffled_pixels_go_together():
    assert load_study({**TINY, "training": {"augmentation": {"mixup": 0.2}, "pixel_permutation": 1}})
    assert not Augmentation(mixup=0.2).changes_single_images and Augmentation(mixup=0.2).changes


def test_an_average_that_is_longer_than_the_training_is_told():
    def notes(**training) -> list[str]:
        return long_averages(load_study({**TINY, "training": training}))

    (note,) = notes(ema=0.999, epochs=4, steps=40)
    assert note.startswith("training.ema 0.999 averages the weights over about 1,000 steps, but a run on digits has 40")
    (note,) = notes(ema=0.99, epochs=2, batch_size=100)
    assert "has 6" in note
    assert notes(ema=0.9, epochs=4, steps=40) == notes(epochs=1) == []


def test_the_study_of_the_recipes_page_is_planned():
    (study,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/recipes/better-recipe.md").read_text(), re.DOTALL)
    plan = load_study(yaml.safe_load(study)).plan
    assert [len(question.levels) for question in plan.questions.values()] == [3, 2]


def test_off_words_mean_none():
    off = Training(gradient_clip="none", ema=False, warmup="off", class_weights=False)
    assert off == Training()


@pytest.mark.parametrize("options", [{}, RECIPE, {"optimizer": "sgd", "momentum": 0.9}], ids=("adam", "recipe", "sgd"))
def test_a_training_step_is_traced_once_since_nothing_creates_variables_while_it_is(tmp_path, monkeypatch, options):
    traced = []
    step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traced.append(model) or step(model, data))
    fitted(tmp_path, **options)
    assert len(traced) == 1
