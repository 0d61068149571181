"""Which processor this is, whether TensorFlow uses oneDNN on it, and its GEMM peak in GFLOP/s.

    python benchmarks/processor.py

The GEMM peak is the rate of square matrix products of 2,048², the best of several, of one thread and of all cores:
through NumPy's BLAS in float32, and through TensorFlow with oneDNN (``tf.matmul``) in float32 and bfloat16. Each is
measured in a process of its own, since libraries take their number of threads once.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from processes import plain_environment

from convlab.common import provenance
from convlab.common.environment import ONE_THREAD, USER_CHOICES

SIDE, TRIAL_SIDE = 2048, 512
"""Sides of the matrices whose product is timed, and of those by which it is estimated how long that will take."""

PRODUCTS = 7
"""How many products are timed; the fastest counts."""

MOST_SECONDS = 2.0
"""For one product of the full side; where it would take longer, as with emulated bfloat16, the smaller one counts."""

EXTENSIONS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AVX-512 bfloat16": {"avx512_bf16"},
    "AMX bfloat16": {"amx_bf16"},
    "NEON": {"asimd"},
    "SVE": {"sve"},
    "ARM bfloat16": {"bf16"},
}
"""Instruction sets that decide how fast a network trains, with the flags of /proc/cpuinfo that stand for them."""

INTEL, ARM = ("AVX2", "AVX-512", "VNNI", "AVX-512 bfloat16", "AMX bfloat16"), ("NEON", "SVE", "ARM bfloat16")

IMITATED_AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
"""Environment in which oneDNN, NumPy's BLAS, PyTorch and its MKL use no instructions beyond AVX2.

It imitates the instructions of a processor without AVX-512, and neither its caches nor its clock. bfloat16 cannot be
imitated: TensorFlow 2.21 asks the real processor whether it has it, and crashes where oneDNN then refuses.
"""

AS_ON_AVX2 = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""What TensorFlow as installed does by itself on processors without AVX-512 VNNI: it leaves oneDNN off."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imitate-avx2", action="store_true", help="no instructions beyond AVX2")
    parser.add_argument("--part", choices=[*PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments.threads)))
        return
    print(described(measured_processor(arguments.imitate_avx2)))


def measured_processor(imitate_avx2: bool = False) -> dict[str, Any]:
    """Name, instruction sets, oneDNN's state and GEMM peaks (FLOP/s) of this machine's processor."""
    machine = provenance.hardware()
    limits = IMITATED_AVX2 if imitate_avx2 else {}
    onednn_on = {"TF_ENABLE_ONEDNN_OPTS": USER_CHOICES["TF_ENABLE_ONEDNN_OPTS"]}
    installed = in_a_process("state", machine["cores"], installed_environment(imitate_avx2))
    peaks: dict[str, dict[str, dict[str, float]]] = {"NumPy": {}, "oneDNN": {}}
    for amount, threads in {"one thread": 1, "all cores": machine["cores"]}.items():
        counts = dict.fromkeys(ONE_THREAD, str(threads))
        of_numpy = in_a_process("numpy", threads, {**limits, **counts})
        of_onednn = in_a_process("float32" if imitate_avx2 else "both", threads, {**limits, **onednn_on})
        for library, rates in {"NumPy": of_numpy, "oneDNN": of_onednn}.items():
            for dtype, flops in rates["flops"].items():
                peaks[library].setdefault(dtype, {})[amount] = flops
    return {
        **machine,
        "imitated_avx2": imitate_avx2,
        "extensions": extensions(machine["instructions"]),
        "onednn": {
            "tensorflow": provenance.versions().get("tensorflow") or provenance.versions().get("tensorflow-cpu"),
            "as_installed": installed["convolution"],
            "under_convlab": of_onednn["convolution"],
            "instructions": of_onednn["isa"],
        },
        "gemm_flops": peaks,
    }


def installed_environment(imitate_avx2: bool) -> dict[str, str]:
    """Settings with which TensorFlow runs as it is installed: none, but those of an imitated processor."""
    return IMITATED_AVX2 | AS_ON_AVX2 if imitate_avx2 else {}


def extensions(instructions: str) -> dict[str, bool]:
    """Whether the processor has each instruction set of its architecture; flags as in /proc/cpuinfo."""
    flags = set(instructions.split())
    names = ARM if flags & EXTENSIONS["NEON"] else INTEL
    return {name: bool(flags & EXTENSIONS[name]) for name in names}


def peak_of_all_cores(processor: Mapping[str, Any]) -> float:
    """The float32 GEMM peak of all cores, FLOP/s, by the faster library."""
    return max(rates["float32"]["all cores"] for rates in processor["gemm_flops"].values())


def bfloat16_gain(processor: Mapping[str, Any]) -> float | None:
    """How many times as fast as float32 oneDNN multiplies bfloat16 matrices on all cores; None where not measured."""
    rates = processor["gemm_flops"]["oneDNN"]
    if "bfloat16" not in rates:
        return None
    return rates["bfloat16"]["all cores"] / rates["float32"]["all cores"]


def described(processor: Mapping[str, Any]) -> str:
    """The processor as lines for people."""
    has = ", ".join(name if present else f"no {name}" for name, present in processor["extensions"].items())
    onednn = processor["onednn"]
    states = [
        f"{'on' if onednn[key] else 'off'} {key.replace('_', ' ')}" if onednn[key] is not None else "unknown"
        for key in ("as_installed", "under_convlab")
    ]
    lines = [
        f"processor: {processor['processor']}{'; IMITATED AVX2' if processor['imitated_avx2'] else ''}",
        f"instructions: {has or 'unknown'}",
        f"{processor['cores']} threads, {processor['memory_gb']} GB, {processor['system']}",
        f"oneDNN in TensorFlow {onednn['tensorflow']}: {', '.join(states)}; it uses {onednn['instructions'] or '?'}",
        f"GEMM peak, {SIDE:,}² matrices, GFLOP/s (one thread, all cores):",
    ]
    for library, dtypes in processor["gemm_flops"].items():
        for dtype, rates in dtypes.items():
            lines.append(f"  {library}, {dtype}: {rates['one thread'] / 1e9:,.0f}, {rates['all cores'] / 1e9:,.0f}")
    return "\n".join(lines)


def in_a_process(part: str, threads: int, settings: Mapping[str, str]) -> dict[str, Any]:
    """FLOP/s by dtype that :data:`PARTS` measures in a process with these environment variables, and oneDNN's state."""
    command = [sys.executable, __file__, "--part", part, "--threads", str(threads)]
    # oneDNN writes what it runs to standard output, before the result.
    environment = plain_environment({**settings, "TF_CPP_MIN_LOG_LEVEL": "2", "ONEDNN_VERBOSE": "1"})
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        sys.exit(f"measuring the processor ({part}) failed:\n{result.stderr[-3000:]}")
    *written, last = result.stdout.splitlines()
    return {"flops": json.loads(last), **onednn_state(written)}


def onednn_state(lines: list[str]) -> dict[str, Any]:
    """From oneDNN's verbose output: whether it ran a convolution, and which instructions it uses."""
    isa = next((line.partition(",cpu,isa:")[2].strip() for line in lines if ",cpu,isa:" in line), None)
    return {"convolution": any(",exec,cpu,convolution," in line for line in lines), "isa": isa}


# ---------------------------------------------------------------------------------------------------------------------
# In a process of its own


def numpy_rates(threads: int) -> dict[str, float]:
    """FLOP/s of NumPy's matrix product in float32; the environment sets the number of threads."""
    import numpy as np

    def product_of(side: int) -> Callable[[], Any]:
        first, second = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
        return lambda: first @ second

    return {"float32": rate(product_of)}


def onednn_rates(threads: int, dtypes: Sequence[str] = ()) -> dict[str, float]:
    """FLOP/s of ``tf.matmul`` by dtype, after a convolution, which oneDNN writes to standard output if it is on."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.nn.conv2d(tf.ones((8, 28, 28, 8)), tf.ones((3, 3, 8, 16)), 1, "SAME").numpy()

    def product_in(dtype: str) -> Callable[[int], Callable[[], Any]]:
        def product_of(side: int) -> Callable[[], Any]:
            first, second = (tf.cast(tf.random.stateless_normal((side, side), (0, n)), dtype) for n in (0, 1))
            # Reading one number waits until the product is computed.
            return lambda: tf.matmul(first, second)[0, 0].numpy()

        return product_of

    return {dtype: rate(product_in(dtype)) for dtype in dtypes}


def rate(product_of: Callable[[int], Callable[[], Any]]) -> float:
    """FLOP/s of the fastest of several matrix products; ``product_of`` a side returns what computes one."""
    seconds = fastest(product_of(TRIAL_SIDE), 2)
    if seconds * (SIDE / TRIAL_SIDE) ** 3 > MOST_SECONDS:
        return 2 * TRIAL_SIDE**3 / seconds
    return 2 * SIDE**3 / fastest(product_of(SIDE), PRODUCTS)


def fastest(compute: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


PARTS: dict[str, Callable[[int], dict[str, float]]] = {
    "state": onednn_rates,
    "numpy": numpy_rates,
    "both": partial(onednn_rates, dtypes=("float32", "bfloat16")),
    "float32": partial(onednn_rates, dtypes=("float32",)),
}


if __name__ == "__main__":
    main()
