"""Where the CPU time of a training step goes: each network's step, in oneDNN's kernels and outside of them.

    python benchmarks/step.py [--imitate-avx2 | --without-onednn] [--networks cnn_3x3 ...] [--batches 40]

Networks of the default study, and its 3×3 CNN with batch normalisation, are trained on random images by one thread, in
processes of their own: once for the CPU time of a step (the best of several epochs) and its page faults, once with
``ONEDNN_VERBOSE=1`` for the mean time of each kernel, so that what is outside of oneDNN is approximate. GFLOP/s count
two operations for each multiply-add: forwards, backwards to inputs, backwards to weights. The peak is that of
``benchmarks/processor.py`` for one thread and float32.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from processes import plain_environment
from processor import IMITATED_AVX2, in_a_process

from convlab.common import provenance
from convlab.common.environment import ONE_THREAD

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"family": "dense", "units": [128, 64]},
    "cnn_3x3": {"family": "conv", "filters": [32, 64], "kernel_size": [3, 3], "dense_units": [64]},
    "cnn_7x7": {"family": "conv", "filters": [32, 64], "kernel_size": [7, 3], "dense_units": [64]},
    "cnn_3x3_batch_norm": {"family": "conv", "filters": [32, 64], "dense_units": [64], "norm": "batch"},
}
"""Specs of the networks that are trained on 28×28 images of one channel."""

BATCH_SIZE, EPOCHS = 128, 4
"""Images of a step, and epochs of which the fastest counts, the first one excepted."""

MIN_SHARE = 0.02
"""Of a step: kernels that take less are shown together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS], help="what is trained")
    parser.add_argument("--batches", type=int, default=40, help="steps of an epoch")
    instructions = parser.add_mutually_exclusive_group()
    instructions.add_argument("--imitate-avx2", action="store_true", help="oneDNN uses no instructions beyond AVX2")
    instructions.add_argument("--without-onednn", action="store_true", help="TensorFlow's own kernels")
    parser.add_argument("--train", choices=[*NETWORKS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(trained(arguments.train, arguments.batches)))
        return
    settings = {"TF_ENABLE_ONEDNN_OPTS": "0" if arguments.without_onednn else "1", **ONE_THREAD}
    if arguments.imitate_avx2:
        settings |= IMITATED_AVX2
    peak = in_a_process("float32", 1, settings)["flops"]["float32"]
    limits = ", IMITATED AVX2" if arguments.imitate_avx2 else ", without oneDNN" if arguments.without_onednn else ""
    print(f"{provenance.hardware()['processor']}{limits}; GEMM peak of one thread {peak / 1e9:,.0f} GFLOP/s")
    for network in arguments.networks:
        step = in_process(network, arguments.batches, settings)[0]
        _, lines = in_process(network, arguments.batches, settings | {"ONEDNN_VERBOSE": "1"})
        later = lines[len(lines) // EPOCHS :]  # as for the step, the first epoch does not count
        print(described(network, step, kernel_seconds(later, arguments.batches * (EPOCHS - 1)), peak))


def in_process(network: str, batches: int, settings: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """What :func:`trained` returns in a process with these environment variables, and what oneDNN wrote there."""
    command = [sys.executable, __file__, "--train", network, "--batches", str(batches)]
    environment = plain_environment({**settings, "TF_CPP_MIN_LOG_LEVEL": "2"})
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        sys.exit(f"training {network} failed:\n{result.stderr[-3000:]}")
    *written, last = result.stdout.splitlines()
    return json.loads(last), written


def trained(network: str, batches: int) -> dict[str, float]:
    """CPU seconds (``seconds``, and ``system_seconds`` of it) and page faults of a step, and its ``flop``."""
    from convlab.runtime import backend

    backend.configure("tensorflow", 1)
    import numpy as np

    from convlab.models.cost import cost
    from convlab.models.registry import as_model
    from convlab.runtime.keras_runtime import keras, use_threads
    from convlab.training.loop import Data, compile_model, fit_epochs
    from convlab.training.network import build
    from convlab.training.recipe import Training

    use_threads(1)
    generator = np.random.default_rng(0)
    count = batches * BATCH_SIZE
    images = generator.integers(0, 256, (count, 28, 28, 1), np.uint8)
    labels = generator.integers(0, 10, count)
    training = Training(batch_size=BATCH_SIZE, epochs=EPOCHS)
    spec = as_model(NETWORKS[network])
    model = build(spec, images.shape[1:], 10)
    compile_model(model, training, training.learning_rate, labels[:1])
    epochs: list[tuple[float, float, int]] = []

    class Watch(keras.callbacks.Callback):
        """CPU time and page faults of each epoch's training."""

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = resource.getrusage(resource.RUSAGE_SELF), time.process_time()

        def on_test_begin(self, logs=None):
            used, (before, seconds) = resource.getrusage(resource.RUSAGE_SELF), self.begin
            system, faults = used.ru_stime - before.ru_stime, used.ru_minflt - before.ru_minflt
            epochs.append((time.process_time() - seconds, system, faults))

    data = Data((images, labels), (images[:1], labels[:1]))
    fit_epochs(model, training, data, {"shuffling": 1, "augmentation": 2}, range(EPOCHS), [Watch()])
    seconds, system, faults = min(epochs[1:])
    return {
        "seconds": seconds / batches,
        "system_seconds": system / batches,
        "faults": faults / batches,
        "flop": 6 * cost(spec, images.shape[1:], 10).macs * BATCH_SIZE,
    }


def kernel_seconds(lines: list[str], steps: int) -> Counter[str]:
    """Seconds of a step by oneDNN kernel, from the lines of ``ONEDNN_VERBOSE=1`` of so many steps.

    A line has, between commas, ``exec``, the engine, the kind of kernel, its implementation, the direction, and last
    the problem and milliseconds.
    """
    seconds: Counter[str] = Counter()
    for line in lines:
        if not line.startswith("onednn_verbose") or ",exec," not in line:
            continue
        fields = line.split(",")
        kind, _, direction = fields[fields.index("exec") + 2 :][:3]
        channels = re.search(r"ic\d+(oc\d+)?", fields[-2])
        name = " ".join(part for part in (kind, direction, channels[0] if channels else "") if part != "undef")
        seconds[name.strip()] += float(fields[-1]) / 1e3 / steps
    return seconds


def described(network: str, step: Mapping[str, float], kernels: Counter[str], peak: float) -> str:
    """A network's step as lines for people."""
    seconds, rate = step["seconds"], step["flop"] / step["seconds"]
    rows = [(name, taken) for name, taken in kernels.most_common() if taken >= MIN_SHARE * seconds]
    rows.append(("other kernels", sum(kernels.values()) - sum(taken for _, taken in rows)))
    rows.append(("outside of oneDNN", max(0.0, seconds - sum(kernels.values()))))
    lines = [
        f"{network}: {seconds * 1e3:.2f} ms, {BATCH_SIZE / seconds:,.0f} images/s, {rate / 1e9:,.0f} GFLOP/s, "
        f"{rate / peak:.0%} of the peak; {step['faults']:,.0f} page faults, {step['system_seconds'] * 1e3:.2f} ms in "
        "the system"
    ]
    return "\n".join([*lines, *(f"  {taken * 1e3:7.2f} ms  {taken / seconds:4.0%}  {name}" for name, taken in rows)])


if __name__ == "__main__":
    main()
