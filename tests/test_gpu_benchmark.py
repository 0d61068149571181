"""benchmarks/gpu.py: without a GPU it trains a small part, by the workflow's own script, and says what came of it."""

import json
import subprocess
import sys

import gpu
import numpy as np
import pytest

from builders.project import ROOT
from convlab.common.files import array_sha256, write_arrays, write_json

IMAGES = {"train": 1200, "test": 600}


@pytest.fixture
def fashion(tmp_path):
    """A folder as prepare writes it, with images of Fashion-MNIST's shape whose class is the brightest row."""
    generator, arrays = np.random.default_rng(0), {}
    for part, count in IMAGES.items():
        labels = np.arange(count) % 10
        images = generator.integers(0, 100, (count, 28, 28, 1), dtype=np.uint8)
        images[np.arange(count), 2 * labels] = 255
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    write_arrays(tmp_path / "data/data.npz", **arrays)
    manifest = {
        "format": 1, "dataset": "fashion_mnist", "classes": [str(number) for number in range(10)],
        "arrays": {
            name: {"sha256": array_sha256(array), "shape": array.shape, "dtype": str(array.dtype)}
            for name, array in arrays.items()
        },
    }  # fmt: skip
    write_json(tmp_path / "data/manifest.json", manifest)
    return tmp_path / "data"


@pytest.mark.slow
def test_without_a_gpu_a_small_part_is_trained_twice_to_the_same_bytes(fashion, tmp_path):
    reference = tmp_path / "runs.csv"
    reference.write_text("variant,seed,test_accuracy\ndense,1,0.5\ncnn,1,0.9\n")
    arguments = ["--data-dir", fashion, "--backend", "tensorflow", "--variants", "dense", "--seeds", "1"]
    arguments += ["--side-by-side", "2", "--reference", reference, "--output", tmp_path / "figures.json"]
    arguments += ["--fused"]
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    (accuracy,) = figures["tested"].values()
    assert accuracy > 0.3 and figures["reference"] == {"dense 1": 0.5}
    assert figures["same_bytes"] == {"dense 1": True}
    first = figures["rounds"][0]
    assert len(figures["rounds"]) == 2 and first["images"] == 1000
    assert first["flops"] == 6 * (784 * 128 + 128 * 64 + 64 * 10) * 1000
    assert f"mean difference {accuracy - 0.5:+.4f}" in result.stdout
    assert list(figures["left_out"]) == ["fused seeds"]
    assert "left out: fused seeds: seeds become one program by JAX' vmap, which tensorflow lacks" in result.stdout
    assert "same seed, same weights to the byte each time: 1 of 1 trained repeatedly" in result.stdout


def test_weights_of_a_run_that_was_trained_once_are_held_against_nothing():
    digests = {"cnn 1": ["a"], "cnn 2": ["a", "a"], "cnn 3": ["a", "b"]}
    assert gpu.same_bytes(digests) == {"cnn 2": True, "cnn 3": False}


def test_what_the_limit_leaves_no_time_for_is_named(tmp_path):
    arguments = ["--data-dir", tmp_path, "--backend", "tensorflow", "--limit", "0", "--repeat", "1"]
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *arguments, "--output", tmp_path / "figures.json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    left_out = json.loads((tmp_path / "figures.json").read_text())["left_out"]
    assert left_out == dict.fromkeys(["the peak in float32", "the peak in bfloat16", "round 1"], "not done after 0 s")


def test_a_training_that_fails_is_named_with_the_end_of_its_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu.Measurement, "_in_a_process", lambda self, name, folder=None: {})
    arguments = ["--data-dir", tmp_path / "missing", "--backend", "tensorflow", "--variants", "dense", "--seeds", "1"]
    gpu.print_figures(gpu.Measurement(gpu.command_line().parse_args(list(map(str, arguments)))).figures)
    printed = capsys.readouterr().out
    assert "left out: round 1: dense, seed 1: " in printed and "manifest.json" in printed
