"""benchmarks/step.py: a step's time, in oneDNN's kernels by kind and direction, and outside of them."""

from collections import Counter

import pytest
import step

LINES = [
    "onednn_verbose,v1,info,cpu,isa:Intel AVX2",
    "onednn_verbose,v1,primitive,create:cache_miss,cpu,convolution,jit:avx2,forward_training,src:f32,,,mb4_ic1oc32_ih8,9",
    "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,forward_training,src:f32,,,mb4_ic1oc32_ih8,2",
    "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,forward_training,src:f32,,,mb4_ic1oc32_ih8,4",
    "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,backward_weights,src:f32,,,mb4_ic1oc32_ih8,3",
    "onednn_verbose,v1,primitive,exec,cpu,matmul,brg:avx2,undef,src:f32,,,4x8:8x2,1",
]


def test_kernels_are_added_up_by_kind_direction_and_channels():
    seconds = step.kernel_seconds(LINES, steps=2)
    assert dict(seconds) == pytest.approx(
        {
            "convolution forward_training ic1oc32": 3e-3,
            "convolution backward_weights ic1oc32": 1.5e-3,
            "matmul": 0.5e-3,
        }
    )


def test_shares_are_of_the_step_and_of_the_peak():
    taken = {"seconds": 0.01, "system_seconds": 0.001, "faults": 1200.0, "flop": 4e8}
    text = step.described("cnn", taken, Counter({"convolution": 6e-3, "eltwise": 1e-4, "sum": 1e-4}), 8e10)
    assert "10.00 ms, 12,800 images/s, 40 GFLOP/s, 50% of the peak; 1,200 page faults, 1.00 ms in the system" in text
    assert "6.00 ms   60%  convolution" in text and "0.20 ms    2%  other kernels" in text
    assert "3.80 ms   38%  outside of oneDNN" in text and "eltwise" not in text


def test_a_network_is_trained_and_its_kernels_are_read():
    settings = {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_VERBOSE": "1"}
    taken, lines = step.in_process("dense", 2, settings)
    assert taken["seconds"] > 0 and taken["flop"] == 6 * 128 * (784 * 128 + 128 * 64 + 64 * 10)
    assert sum(step.kernel_seconds(lines, 2 * step.EPOCHS).values()) > 0
