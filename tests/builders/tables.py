"""All tables of a made-up study, with names that LaTeX would trip over, and the macros printed from them."""

import re
from itertools import product

import numpy as np
import pandas as pd

from builders.project import tiny_with
from builders.study_results import correct_answers, runs_with, tuning_with
from convlab.probes.measured import Measured
from convlab.probes.tables import all_contrasts, all_curves
from convlab.results import columns, tables
from convlab.results.convolutions import MEASURES, convolutions_table
from convlab.results.family import confirmatory_family
from convlab.results.new_images import with_new_images
from convlab.results.robustness import robustness_table
from convlab.results.tuning import empty_tuning_table
from convlab.study.load import load_study
from convlab.study.registration import Standing
from convlab.study.schema import Study

REGISTERED = Standing()

HOSTILE_LABEL = "50 % & $x_1$ #\\input{/etc/passwd} ~^ {[*] -- ?` \"'' <b>\n\\end{table}"


CLAIMS_WITH_HOSTILE_TEXT = [
    {"id": "wins", "text": f"The CNN wins {HOSTILE_LABEL}.", "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0",
     "published": 0.0278},
    {"id": "size", "text": "It is small.", "rule": "parameters(cnn) < 10000", "published": HOSTILE_LABEL},
    {"id": "level", "text": "It reaches 90 %.", "rule": "test_accuracy(cnn) ~ 90 % ± 1 pp", "published": 0.9},
]  # fmt: skip


CORRUPTED = (("clean", 0), ("shot_noise", 1), ("shot_noise", 3), ("inversion", 1))
"""Kinds and severities that the probe of corruptions has measured."""


def study_and_tables_with(
    config: dict, accuracies: dict[str, list[float | None]] | None = None, standing: Standing = REGISTERED
) -> tuple[Study, dict[str, pd.DataFrame]]:
    """A study with its tables, from made-up accuracies; everything in it has the same standing."""
    study = load_study(config)
    plan, generator = study.plan, np.random.default_rng(0)
    means = {name: 0.6 if name == "dense" else 0.8 + 0.02 * number for number, name in enumerate(plan.variants)}
    drawn = {name: list(mean + 0.01 * generator.random(len(study.seeds))) for name, mean in means.items()}
    runs = runs_with(study, drawn | (accuracies or {}))
    family = confirmatory_family(runs, plan, 0.005)
    comparisons = tables.comparisons_table(runs, plan, 0.005, family)
    measures = dict.fromkeys(("precision", "recall", "f1"), 0.9)
    per_class = [{"dataset": d, "variant": v, "class": c, "support": 10, **measures, "recall_sd": 0.01}
                 for d, v, c in product(study.datasets, plan.variants, ("T-shirt/top", HOSTILE_LABEL))]  # fmt: skip
    shifts = [{"dataset": d, "variant": v, "seed": s, "axis": a, "shift": x, "accuracy": 0.8, "consistency": 0.9}
              for d, v, s, a, x in product(study.datasets, ("dense", "cnn"), study.seeds, ("x", "y"), (-1, 0, 1))
              if "translation" in plan.probes]  # fmt: skip
    corruptions = [{"dataset": d, "variant": v, "seed": s, "kind": k, "severity": n, "images": 100,
                    "accuracy": means[v] - 0.1 * n + 0.01 * generator.random()}
                   for d, v, s, (k, n) in product(study.datasets, plan.compared, study.seeds, CORRUPTED)
                   if "corruption" in plan.probes]  # fmt: skip
    measured = {"translation": Measured(pd.DataFrame(shifts)), "corruption": Measured(pd.DataFrame(corruptions))}
    return study, {
        "runs": runs,
        "variants": tables.variants_table(runs, plan),
        "comparisons": tables.with_registration(
            with_new_images(comparisons, correct_answers(runs), plan, 0.005), lambda row: standing
        ),
        "robustness": robustness_table(runs, plan, 0.005, family, correct_answers(runs), {}),
        "tuning": tuning_with(study, drawn)[1] if study.tuning else empty_tuning_table(),
        "claims": tables.with_registration(tables.claims_table(runs, plan, 0.005, family), lambda row: standing),
        "convolutions": convolutions_table(convolutions_of_runs(study), plan),
        "timings": pd.DataFrame(columns=list(columns.TIMINGS)),
        "trends": tables.trends_table(runs, plan),
        "factorials": tables.factorial_table(runs, plan),
        "per_class": pd.DataFrame(per_class),
        "probe_curves": all_curves(runs, plan, measured),
        "probe_contrasts": all_contrasts(runs, plan, measured),
    }


def convolutions_of_runs(study: Study) -> dict[tuple[str, str, int], dict]:
    """What evaluate measures of the convolutions of a study's runs, made up: every CNN has one."""
    generator = np.random.default_rng(1)
    return {
        (dataset, name, seed): {
            "convolutions": [{"layer": "conv_1", "filters": 4, **dict(zip(MEASURES, generator.random(4), strict=True))}]
            if variant.side == "conv"
            else []
        }
        for dataset in study.datasets
        for name, variant in study.plan.compared.items()
        for seed in study.seeds
    }


def config_of_every_table() -> dict:
    """Every kind of table has rows, and labels are hostile."""
    config = tiny_with(
        claims=CLAIMS_WITH_HOSTILE_TEXT,
        probes=["pixel_permutation", "translation", "calibration", "receptive_field", "corruption"],
        tuning={"trials": 2, "over": {"learning_rate": [1e-3, 1e-2], "weight_decay": [1e-4, 1e-2]}},
    )
    config["models"]["cnn"]["label"] = HOSTILE_LABEL
    config["experiments"] = {
        "kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]},
        "grid": {"base": "cnn", "factors": {"filters": [4, 8], "padding": ["same", "valid"]}},
    }
    return config


def macros_of(text: str) -> dict[str, str]:
    """Name and value of every \\newcommand; nothing but comments stands beside them."""
    values = {}
    for line in text.splitlines():
        if line.startswith("%"):
            continue
        match = re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\} % [^\n]*", line)
        assert match, line
        assert match[1] not in values, match[1]
        values[match[1]] = match[2]
    return values
