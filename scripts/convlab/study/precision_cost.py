"""Warnings about mixed precision that is slower than float32 on this machine: as measured, else by its instructions."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from convlab.common import provenance
from convlab.models.registry import family_of
from convlab.study import speeds
from convlab.study.schema import Study
from convlab.study.speeds import Speed

# One set of flags of /proc/cpuinfo is enough for oneDNN to compute in the format. With none it is emulated: converted
# to float32 and back around each operation, by kernels that are not tuned. With one it may be slow all the same: on a
# Xeon with avx512_bf16 but without AMX a step takes 1.5 times as long as in float32 (26 November 2026).
NATIVE_INSTRUCTIONS = {
    "mixed_bfloat16": ({"avx512_bf16"}, {"amx_bf16"}, {"avx_ne_convert"}, {"bf16"}),
    "mixed_float16": ({"avx512_fp16"}, {"amx_fp16"}, {"asimdhp"}),
}

MEASURED_COSTS = {
    "mixed_bfloat16": "expect about a fifteenth of float32's speed, which is what was measured on a Zen 3 (AVX2)",
    "mixed_float16": "expect a small part of float32's speed (not measured; bfloat16 on a Zen 3 had a fifteenth)",
}

SLOWER = 1.1
"""Time of a step, as a multiple of that in float32, from which a precision is warned about."""


class Pair(NamedTuple):
    """The largest network that is trained in a mixed precision, as ``speeds.architecture`` has it, and in float32."""

    variant: str
    mixed: dict[str, Any]
    full: dict[str, Any]


def is_emulated(precision: str, instructions: str) -> bool:
    """Whether a processor with these vector instructions emulates ``precision``; False where they are not known."""
    flags = set(instructions.split())
    return (
        precision in NATIVE_INSTRUCTIONS
        and bool(flags)
        and not any(needed <= flags for needed in NATIVE_INSTRUCTIONS[precision])
    )


def variants_by_precision(study: Study) -> dict[str, list[str]]:
    """Names of the variants of each mixed precision."""
    variants: dict[str, list[str]] = {}
    for name, variant in study.plan.variants.items():
        if variant.training.precision in NATIVE_INSTRUCTIONS:
            variants.setdefault(variant.training.precision, []).append(name)
    return variants


def precision_pairs(study: Study) -> dict[str, Pair]:
    """For each mixed precision its largest network; none where networks are known only once they are built."""
    pairs, dataset = {}, next(iter(study.datasets))
    for precision, names in variants_by_precision(study).items():
        countable = [name for name in names if family_of(study.plan.variants[name].model).feature_costs is not None]
        if countable:
            name = max(countable, key=lambda name: study.plan.macs(dataset, name))
            mixed = speeds.architecture(study, dataset, name)
            pairs[precision] = Pair(name, mixed, {**mixed, "training": {**mixed["training"], "precision": "float32"}})
    return pairs


def precision_costs(
    study: Study, measured: Mapping[str, Speed] | None = None, instructions: str | None = None
) -> list[str]:
    """A sentence for each precision of the study that is slower than float32 on this machine.

    Args:
        measured: speeds by ``speeds.key``; those that are kept of this machine when absent.
        instructions: the processor's, by which an unmeasured precision is judged where there is no GPU.
    """
    variants = variants_by_precision(study)
    if not variants:
        return []
    pairs = precision_pairs(study)
    keys = {precision: (speeds.key(pair.mixed), speeds.key(pair.full)) for precision, pair in pairs.items()}
    if measured is None:
        measured = speeds.known_speeds([name for both in keys.values() for name in both], speeds.machine())
    instructions = provenance.instructions() if instructions is None else instructions
    sentences = []
    for precision, names in variants.items():
        count = f"{len(names)} of {len(study.plan.variants)} variants"
        mixed, full = (measured.get(name) for name in keys.get(precision, ("", "")))
        if mixed and full:
            ratio = full.images_per_second / mixed.images_per_second
            if ratio >= SLOWER:
                sentences.append(
                    f"{precision} takes {ratio:.1f} times as long as float32 on this machine, measured with "
                    f"{pairs[precision].variant} ({count} are trained in it); precision: float32 is faster here"
                )
        elif is_emulated(precision, instructions) and not speeds.computes_on_gpu():
            sentences.append(
                f"{precision} is emulated on this machine's processor ({count}): {MEASURED_COSTS[precision]}; "
                "precision: float32 is faster here"
            )
    return sentences
