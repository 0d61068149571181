"""Warnings about mixed precision that this processor only emulates."""

from convlab.common import provenance
from convlab.runtime import devices
from convlab.study.schema import Study

# One set of flags of /proc/cpuinfo is enough for oneDNN to compute in the format. With none it is emulated: converted
# to float32 and back around each operation, by kernels that are not tuned.
NATIVE_INSTRUCTIONS = {
    "mixed_bfloat16": ({"avx512_bf16"}, {"amx_bf16"}, {"avx_ne_convert"}, {"bf16"}),
    "mixed_float16": ({"avx512_fp16"}, {"amx_fp16"}, {"asimdhp"}),
}

MEASURED_COSTS = {
    "mixed_bfloat16": "expect about a fifteenth of float32's speed, which is what was measured on a Zen 3 (AVX2)",
    "mixed_float16": "expect a small part of float32's speed (not measured; bfloat16 on a Zen 3 had a fifteenth)",
}


def is_emulated(precision: str, instructions: str) -> bool:
    """Whether a processor with these vector instructions emulates ``precision``; False where they are not known."""
    flags = set(instructions.split())
    return (
        precision in NATIVE_INSTRUCTIONS
        and bool(flags)
        and not any(needed <= flags for needed in NATIVE_INSTRUCTIONS[precision])
    )


def precision_costs(study: Study, instructions: str | None = None) -> list[str]:
    """A sentence for each precision of the study that this machine, if it has no GPU, would emulate."""
    variants: dict[str, list[str]] = {}
    for name, variant in study.plan.variants.items():
        variants.setdefault(variant.training.precision, []).append(name)
    if not variants.keys() & NATIVE_INSTRUCTIONS.keys():
        return []
    instructions = provenance.instructions() if instructions is None else instructions
    emulated = [precision for precision in variants if is_emulated(precision, instructions)]
    if not emulated or devices.visible_gpus():
        return []
    return [
        f"{precision} is emulated on this machine's processor ({len(variants[precision])} of "
        f"{len(study.plan.variants)} variants): {MEASURED_COSTS[precision]}; precision: float32 is faster here"
        for precision in emulated
    ]
