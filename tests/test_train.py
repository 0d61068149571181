"""Training: the same bytes for the same seed, nothing lost by a kill, divergence is a result."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from builders.damage import DAMAGES
from builders.interruptions import held_at, killed_at
from builders.project import ROOT, job_forks
from convlab.common import checksums
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.evaluation.records import read_measures
from convlab.training import array_pipeline, backup, run_store, tensorflow_pipeline
from convlab.training.backup import resumable_epochs
from convlab.training.energy import kept_reading, write_reading
from convlab.training.history import HISTORY_COLUMNS, best_epoch, exhausted, read_history, write_history
from convlab.training.pipeline import epoch_order
from convlab.training.recipe import EarlyStopping
from convlab.training.run_spec import Run

WHOLE_RECIPE = {
    "optimizer": "adamw", "schedule": "one_cycle", "gradient_clip": 1, "ema": 0.9, "label_smoothing": 0.1,
    "class_weights": "balanced", "augmentation": {"crop": 1, "rotation": 10, "cutout": 2, "mixup": 0.2},
}  # fmt: skip
CNN = {"family": "conv", "filters": [4], "dense_units": [8], "dropout": 0.2, "conv_dropout": 0.1}


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    spec = json.dumps({"kind": "digits", "train_images": 400, "test_images": 100})
    arguments = ["--dataset", "digits", "--spec", spec, "--output-dir", folder]
    subprocess.run([job_forks().python, ROOT / "scripts/prepare.py", *arguments], check=True, capture_output=True)
    return folder


def spec(seed: int = 1, model: dict = CNN, **training) -> str:
    settings = {"epochs": 3, "batch_size": 32, **training}
    run = Run.model_validate({"dataset": {"kind": "digits"}, "model": model, "training": settings, "seed": seed})
    return canonical_json(run.identity)


def command(text: str, data: Path, output: Path) -> list[str]:
    script = str(ROOT / "scripts/train.py")
    return [job_forks().python, script, "--spec", text, "--data-dir", str(data), "--output-dir", str(output)]


def train(text: str, data: Path, output: Path) -> dict:
    result = subprocess.run(command(text, data, output), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads((output / "run.json").read_text())


def predictions(data: Path, output: Path) -> np.ndarray:
    from convlab.datasets.prepared import load_test
    from convlab.evaluation import inference

    return inference.predictor(inference.load(output / "model.keras"))(load_test(data)[0])


def without_seconds(output: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(output / "history.csv")]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(digits, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(spec(seed), digits, tmp_path / name)
    a, b, c = (predictions(digits, tmp_path / name) for name in "abc")
    assert a.tobytes() == b.tobytes()
    assert without_seconds(tmp_path / "a") == without_seconds(tmp_path / "b")
    assert a.tobytes() != c.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "sgd", "momentum": 0.9, "augmentation": {"flip": "both", "shift": 1}}, WHOLE_RECIPE],
    ids=["adam with dropout", "sgd with dropout and augmentation", "a whole recipe"],
)
def test_a_killed_run_goes_on_from_its_last_finished_epoch_and_ends_with_the_same_bytes(digits, tmp_path, options):
    text = spec(epochs=6, **options)
    train(text, digits, tmp_path / "undisturbed")
    killed = killed_at("epoch-0003", command(text, digits, tmp_path / "killed"), tmp_path)
    assert subprocess.run(killed, stderr=subprocess.DEVNULL).returncode == 128 + signal.SIGKILL, "in a fork"
    assert not (tmp_path / "killed/run.json").exists()
    (work,) = (tmp_path / "killed").glob("unfinished-*")
    assert kept_reading(work)["cpu_seconds"] > 0
    write_reading(work, {"cpu_seconds": 1e6})
    run = train(text, digits, tmp_path / "killed")
    assert run["resumed_after_epoch"] == 3
    assert run["epochs_run"] == 6
    assert run["energy"]["cpu_seconds"] > 1e6, "what the killed process had used counts too"
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "undisturbed")
    assert predictions(digits, tmp_path / "killed").tobytes() == predictions(digits, tmp_path / "undisturbed").tobytes()
    assert not list((tmp_path / "killed").glob("unfinished-*"))


def begun_and_held(text: str, data: Path, folder: Path, *more: str) -> subprocess.Popen:
    """A run in ``folder``/run that has finished its second epoch and goes on when its input is closed."""
    held = held_at("epoch-0002", [*command(text, data, folder / "run"), *more], folder)
    pipe = subprocess.PIPE
    process = subprocess.Popen(held, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout.readline() == "held\n", process.communicate()[1]
    return process


@pytest.mark.slow
def test_a_job_that_outlived_its_snakemake_is_waited_for_where_it_trains_the_very_same(digits, tmp_path):
    """With TensorBoard's logs, with which nothing is kept for other studies, as well."""
    text = spec(epochs=3, tensorboard=True)
    orphan = begun_and_held(text, digits, tmp_path)
    second = subprocess.Popen(command(text, digits, tmp_path / "run"), stderr=subprocess.PIPE, text=True)
    assert any("another process trains this very run" in line for line in second.stderr), "it did not wait"
    _, errors = orphan.communicate()
    assert orphan.returncode == 0, errors
    _, errors = second.communicate()
    assert second.returncode == 0, errors
    assert "has just been finished by another process" in errors
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["epochs_run"] == 3 and run["resumed_after_epoch"] == 0
    assert checksums.is_whole(tmp_path / "run/run.json", run_store.FILES)
    assert not list((tmp_path / "run").glob(".*")) and not list((tmp_path / "run").glob("unfinished-*"))


@pytest.mark.slow
def test_a_job_that_outlived_its_snakemake_gives_way_where_another_run_takes_its_folder(digits, tmp_path):
    """The config was changed after a kill: what the orphan would write at its end is of the old one."""
    store = ["--store", str(tmp_path / "store")]
    orphan = begun_and_held(spec(epochs=4), digits, tmp_path, *store)
    text = spec(epochs=2, learning_rate=0.002)
    result = subprocess.run([*command(text, digits, tmp_path / "run"), *store], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    _, errors = orphan.communicate()
    assert orphan.returncode == 1 and "another process has begun to make" in errors
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["spec_hash"] == Run.model_validate_json(text).spec_hash
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith("unfinished-")) == [
        "history.csv",
        "model.keras",
        "run.json",
        "run.json.checksums",
    ]


def unfinished(work: Path, epochs: int = 3, rows: int = 3) -> Path:
    """Folder of a run killed after ``epochs`` epochs: history and made-up weights."""
    epoch_folder = work / "backup" / f"epoch-{epochs:04d}"
    epoch_folder.mkdir(parents=True)
    for name in ("latest.weights.h5", "../../best.weights.h5"):
        (epoch_folder / name).write_text(f"content of {name}")
    accuracies = [0.1 * (1 + epoch) for epoch in range(rows)]
    names = HISTORY_COLUMNS
    write_history(
        work / "history.csv",
        [dict(zip(names, (i + 1, 1, a, 1, a, 1, 0.001), strict=True)) for i, a in enumerate(accuracies)],
    )
    content = backup.backup_checksums(work, epoch_folder, epochs)
    (epoch_folder / backup.CHECKSUMS).write_text(json.dumps(content))
    return epoch_folder


LEFT = ("latest.weights.h5", "../../best.weights.h5", "../../history.csv", backup.CHECKSUMS)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", LEFT)
def test_what_a_power_cut_has_damaged_is_not_gone_on_from(tmp_path, name, damage):
    backup = unfinished(tmp_path / "work")
    assert resumable_epochs(tmp_path / "work", "best") == 3
    if (name, damage) == ("../../history.csv", "longer"):
        return  # a row that was begun after the backup
    DAMAGES[damage](backup / name)
    assert resumable_epochs(tmp_path / "work", "best") == 0
    assert not (tmp_path / "work").exists(), "the run begins anew"


def test_a_kill_between_an_epoch_and_its_backup_costs_that_epoch_only(tmp_path):
    unfinished(tmp_path / "work", epochs=3, rows=4)
    (tmp_path / "work/best.weights.h5").write_text("of the fourth epoch")
    assert resumable_epochs(tmp_path / "work", "best") == 3


def test_a_kill_between_two_backups_leaves_the_newer_one(tmp_path):
    unfinished(tmp_path / "work", epochs=2)
    newer = unfinished(tmp_path / "work", epochs=3)
    (tmp_path / "work/backup/.epoch-0004").mkdir()
    assert resumable_epochs(tmp_path / "work", "last") == 3
    assert list((tmp_path / "work/backup").iterdir()) == [newer]


def test_nothing_is_gone_on_from_where_nothing_was_left(tmp_path):
    assert resumable_epochs(tmp_path / "nothing", "best") == 0


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "missing"])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_damaged_model_is_told_in_one_sentence(tmp_path, damage, recorded):
    from convlab.evaluation import inference
    from convlab.runtime.keras_runtime import keras

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)
    (tmp_path / "run.json").write_text("{}")
    if recorded:
        checksums.write_record(tmp_path / "run.json", [path])
    inference.load(path)
    DAMAGES[damage](path)
    if not recorded and damage in ("one bit", "longer"):
        return  # what Keras does not see is seen by its checksum only
    with pytest.raises(UserError, match=r"model\.keras is damaged \(.*\); delete") as error:
        inference.load(path)
    assert "\n" not in str(error.value)
    path.unlink() if path.is_file() else path.rename(tmp_path / "aside")
    with pytest.raises(UserError, match=r"model\.keras is missing; run snakemake again"):
        inference.load(path)


@pytest.mark.slow
def test_what_a_run_of_other_settings_left_is_not_taken_up(digits, tmp_path):
    stale = tmp_path / "run" / "unfinished-0123456789abcdef" / "backup" / "epoch-0002"
    stale.mkdir(parents=True)
    run = train(spec(), digits, tmp_path / "run")
    assert run["resumed_after_epoch"] == 0
    assert not stale.exists()


@pytest.mark.slow
def test_a_loss_that_stops_being_a_number_is_a_result(digits, tmp_path):
    run_folder = tmp_path / "seed-1"
    run = train(spec(optimizer="sgd", learning_rate=1e30), digits, run_folder)
    assert run["status"] == "diverged"
    assert run["epochs_run"] == 0 and run["val_accuracy"] is None
    assert (run_folder / "model.keras").exists()
    evaluated = tmp_path / "evaluated"
    arguments = ["--train-dir", tmp_path, "--seeds", "1", "--data-dir", digits, "--output-dir", evaluated]
    subprocess.run([job_forks().python, ROOT / "scripts/evaluate.py", *arguments], check=True, capture_output=True)
    measures = read_measures(evaluated, [1])[1]
    assert measures["status"] == "diverged" and "accuracy" not in measures


@pytest.mark.slow
def test_run_json_says_what_was_run_and_the_best_epoch_is_kept(digits, tmp_path):
    text = spec(epochs=4, tensorboard=True, train_size=200)
    run = train(text, digits, tmp_path / "run")
    history = read_history(tmp_path / "run/history.csv")
    assert run["status"] == "finished" and run["epochs_run"] == len(history) == 4
    assert run["spec_hash"] == Run.model_validate_json(text).spec_hash
    assert run["train_images"] == 200 and run["validation_images"] == 40
    assert (
        run["val_accuracy"] == history[run["best_epoch"] - 1]["val_accuracy"] == max(r["val_accuracy"] for r in history)
    )
    assert run["parameters"] == 10 * 4 + (4 * 4 * 4 + 1) * 8 + 9 * 10
    assert run["versions"]["keras"] and run["hardware"]["cores"]
    assert run["energy"]["cpu_seconds"] > 0
    assert list((tmp_path / "run/tensorboard").rglob("events*"))


@pytest.mark.slow
def test_a_corrupt_dataset_ends_the_run_with_one_sentence(digits, tmp_path):
    broken = tmp_path / "data"
    shutil.copytree(digits, broken)
    content = bytearray((broken / "data.npz").read_bytes())
    content[len(content) // 4] ^= 255
    (broken / "data.npz").write_bytes(content)
    result = subprocess.run(command(spec(), broken, tmp_path / "run"), capture_output=True, text=True)
    assert result.returncode == 1
    assert "data.npz" in result.stderr and "run snakemake again" in result.stderr and "Traceback" not in result.stderr


def rows(*values: tuple[float, float]) -> list[dict]:
    return [{"epoch": i, "val_accuracy": a, "val_loss": b} for i, (a, b) in enumerate(values, start=1)]


def test_best_epoch_is_highest_accuracy_then_lowest_loss_then_earliest():
    assert best_epoch(rows((0.8, 1), (0.9, 2), (0.9, 1), (0.9, 1), (0.7, 0)), "best") == 3
    assert best_epoch(rows((0.8, 1), (0.9, 2), (0.7, 0)), "last") == 3
    assert best_epoch([], "best") == 0


def test_early_stopping_waits_for_its_patience():
    rule = EarlyStopping(patience=2, min_delta=0.1)
    falling = rows((0, 1.0), (0, 0.95), (0, 0.85), (0, 0.8))
    assert not exhausted(falling, rule)
    assert exhausted([*falling, {"val_loss": 0.84}], rule)
    assert not exhausted([*falling, {"val_loss": 0.7}], rule)


@pytest.mark.parametrize("pipeline", [tensorflow_pipeline, array_pipeline])
def test_batches_cover_every_image_once_an_epoch_in_an_order_of_seed_and_epoch(pipeline):
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)

    def orders(epochs: range, seed: int = 3) -> list[list[int]]:
        batches = pipeline.training_batches(images, np.arange(10), 4, epochs, seed)
        parts = [np.asarray(labels).tolist() for _, labels in batches]
        assert [len(part) for part in parts] == [4, 4, 2] * len(epochs)
        flat = [label for part in parts for label in part]
        return [flat[start : start + 10] for start in range(0, len(flat), 10)]

    whole = orders(range(3))
    assert all(sorted(epoch) == list(range(10)) for epoch in whole)
    assert whole[0] != whole[1]
    assert orders(range(2, 3)) == [whole[2]], "a resumed run sees the order that it would have seen"
    assert orders(range(1), seed=4) != [whole[0]]


def test_an_epoch_of_given_length_goes_on_where_the_last_one_stopped():
    orders = [epoch_order(10, 7, 3, epoch) for epoch in range(10)]
    flat = np.concatenate(orders)
    assert all(sorted(flat[start : start + 10]) == list(range(10)) for start in range(0, 70, 10))
    np.testing.assert_array_equal(flat[:10], epoch_order(10, 10, 3, 0))
    assert len(epoch_order(10, 25, 3, 4)) == 25, "more than one pass"


@pytest.mark.slow
def test_equal_steps_for_unequal_training_sizes(digits, tmp_path):
    run = train(spec(epochs=4, steps=40, train_size=50), digits, tmp_path / "run")
    assert run["train_images"] == 50 and run["images_per_epoch"] == 10 * 32 and run["epochs_run"] == 4


@pytest.mark.slow
def test_augmentation_changes_training_and_not_prediction(digits, tmp_path):
    options = {"augmentation": {"flip": "horizontal", "shift": 1}, "epochs": 3}
    train(spec(**options), digits, tmp_path / "a")
    train(spec(epochs=3), digits, tmp_path / "plain")
    assert without_seconds(tmp_path / "a")[0]["loss"] != without_seconds(tmp_path / "plain")[0]["loss"]
    np.testing.assert_array_equal(predictions(digits, tmp_path / "a"), predictions(digits, tmp_path / "a"))


@pytest.mark.slow
def test_early_stopping_ends_a_run(digits, tmp_path):
    run = train(spec(epochs=30, learning_rate=0.05, early_stopping={"patience": 1}), digits, tmp_path / "run")
    assert 1 < run["epochs_run"] < 30
    assert exhausted(read_history(tmp_path / "run/history.csv"), EarlyStopping(patience=1))


def test_only_the_runs_that_were_asked_for_by_name_are_trained_again(monkeypatch, tmp_path):
    import train as script

    asked, other = tmp_path / "seed-1", tmp_path / "seed-2"
    monkeypatch.delenv(script.RETRAIN_VARIABLE, raising=False)
    assert not script.asked_again(asked)
    monkeypatch.setenv(script.RETRAIN_VARIABLE, f"{tmp_path}{os.pathsep}{asked}")
    assert script.asked_again(asked) and not script.asked_again(other)
    monkeypatch.setenv(script.RETRAIN_VARIABLE, "all")
    assert script.asked_again(other)
