"""Warnings about fields without effect beside others, and about comparisons of two equal trainings."""

import pytest

from convlab.study.idle_values import idle_values
from convlab.study.load import load_study

MODELS = {
    "dense": {"family": "dense", "units": [8]},
    "cnn": {"family": "conv", "filters": [4]},
    "deep": {"family": "conv", "filters": [4], "dense_units": [8], "pooling": "none"},
    "pixels": {"family": "conv", "filters": [4, 8], "kernel_size": 1, "dilation": 1},
}


def notes(training=None, models=None, **experiment):
    config = {
        "study": "idle",
        "datasets": {"digits": {}},
        "models": {**MODELS, **(models or {})},
        "training": training or {},
        "experiments": {"e": experiment} if experiment else {},
    }
    return idle_values(load_study(config))


@pytest.mark.parametrize(
    ("base", "factor", "levels", "reason"),
    [
        ("cnn", "momentum", [0, 0.9], "momentum: adam has no such momentum"),
        ("cnn", "dropout", [0, 0.5], "dropout: it follows hidden dense layers, and dense_units names none"),
        ("deep", "pool_size", [2, 3], "pool_size: pooling is none"),
        ("cnn", "norm_groups", [8, 4], "norm_groups: only group normalisation has groups"),
        (
            "cnn",
            "activation_after",
            ["convolution", "pooling"],
            "activation_after: this activation and this pooling give",
        ),
        ("pixels", "dilation", [1, 2], "dilation: kernels of one pixel cannot be dilated"),
        ("pixels", "padding", ["same", "valid"], "padding: kernels of one pixel need none"),
        ("cnn", "optimizer", ["adam", "adamw"], "optimizer: adamw is adam with decoupled weight decay"),
        ("cnn", "augmentation", ["none", {"shift": 0}], "augmentation: it changes no image"),
        ("cnn", "warmup", ["none", 0], "warmup: the schedule constant has that share without it"),
        (
            "cnn",
            "schedule_factors",
            [[0.1, 0.01], [0.2, 0.1]],
            "schedule_factors: only the schedule piecewise has them",
        ),
        (
            "cnn",
            "early_stopping",
            ["none", {"patience": 4}],
            "early_stopping: its patience lasts as long as the epochs",
        ),
    ],
)
def test_levels_that_train_the_same_network_are_told_with_the_reason(base, factor, levels, reason):
    (note,) = notes(base=base, factor=factor, levels=levels)
    assert "train the same network, so no difference between them can show" in note and reason in note


def test_steps_that_the_epochs_do_not_divide_are_told_as_they_are_taken():
    rounded, same = notes({"epochs": 5}, base="cnn", factor="steps", levels=[8, 10])
    assert rounded == "training.steps 8 becomes 10: each of 5 epochs takes 2"
    assert "train the same network" in same and "steps: every epoch has the same whole number of them" in same


def test_models_and_combinations_that_train_the_same_network_are_told():
    (note, pair) = notes(models={"other": {**MODELS["cnn"], "dropout": 0.3}})
    assert note.startswith("models.other.dropout has no effect") and pair.startswith("cnn and other train the same")
    factors = {"optimizer": ["adam", "sgd"], "momentum": [0, 0.9]}
    (pair,) = notes(base="cnn", factors=factors)
    assert "adam has no such momentum" in pair


def test_a_value_that_has_no_effect_on_any_variant_is_told():
    assert [note.split(":")[0] for note in notes({"momentum": 0.9})] == ["training.momentum has no effect"]


@pytest.mark.parametrize(
    ("training", "base", "factor", "levels"),
    [
        ({"optimizer": "sgd"}, "cnn", "momentum", [0, 0.9]),
        ({"schedule": "one_cycle"}, "cnn", "warmup", ["none", 0]),
        ({"schedule": "piecewise"}, "cnn", "schedule_factors", [[0.1, 0.01], [0.2, 0.1]]),
        ({}, "cnn", "augmentation", ["none", {"mixup": 0.2}]),
        ({"momentum": 0.9}, "cnn", "optimizer", ["adam", "sgd"]),
        ({}, "deep", "dropout", [0, 0.5]),
        ({"epochs": 5}, "cnn", "early_stopping", ["none", {"patience": 3}]),
        ({"epochs": 2}, "cnn", "select", ["best", "last"]),
    ],
)
def test_levels_that_differ_are_compared_without_a_word(training, base, factor, levels):
    assert notes(training, base=base, factor=factor, levels=levels) == []
