"""Interpretation flips when the data flip: every sentence with a direction names the other side for opposite data.

Each case makes results from an advantage of one side over the other, reads a text, and has two patterns: what it says
where that side is ahead, and where the other one is. Opposite advantages must give the opposite pattern and not both;
without an advantage neither of them may be said.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.measured import fields_with
from builders.project import CNN_5X5, TINY
from builders.study_results import MADE_UP_STUDY, TWO_FACTORS, history_with, results_with
from convlab.findings import across_datasets as across
from convlab.findings import choice, contrasts, dense_vs_conv, training
from convlab.findings.assumptions import limits_of_convolution
from convlab.findings.factor import factor
from convlab.findings.feature_maps import feature_maps
from convlab.findings.tuning import order_when_tuned
from convlab.probes.all_findings import all_findings
from convlab.probes.measured import Measured
from convlab.probes.tables import all_contrasts, all_curves
from convlab.results.convolutions import convolutions_table
from convlab.study.load import load_study

LIBRARY = Path(__file__).resolve().parent.parent / "scripts" / "convlab"

SCATTER = {"dense": (-0.0011, 0.0, 0.0009), "cnn": (0.0, -0.001, 0.0012), CNN_5X5: (0.001, -0.0009, 0.0)}
"""Deviations of three runs from their variant's mean; different ones, so that differences vary too."""


def around(mean: float, variant: str) -> list[float]:
    return [mean + deviation for deviation in SCATTER[variant]]


def models(advantage: float, **changes):
    """Results in which the CNN is ahead of the dense network by ``advantage``, on every dataset; 5×5 equals 3×3."""
    values = {
        "dense": around(0.8 - advantage / 2, "dense"),
        "cnn": around(0.8 + advantage / 2, "cnn"),
        CNN_5X5: around(0.8 + advantage / 2, CNN_5X5),
    }
    return results_with(values, **changes)


def levels(advantage: float):
    """Results in which the kernel of 5×5 is ahead of 3×3 by ``advantage``."""
    values = {
        "dense": around(0.5, "dense"),
        "cnn": around(0.8 - advantage / 2, "cnn"),
        CNN_5X5: around(0.8 + advantage / 2, CNN_5X5),
    }
    return results_with(values)


def texts(findings) -> str:
    return " ".join(finding.text for finding in findings)


# ---------------------------------------------------------------------------------------------------------------------
# Texts by advantage

REVERSED = {"comparisons": {"convolution": {"variant": "dense", "reference": "cnn"}}}
TWO_MODELS = {"experiments": {}}
TWO_DATASETS = {"datasets": {"digits": {}, "mnist": {}}}
CLAIM = {"claims": [{"id": "wins", "text": "It wins.", "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0"}]}
THREE_LEVELS = {
    "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]}},
    "comparisons": {},
    "models": {"cnn": MADE_UP_STUDY["models"]["cnn"]},
}


def of_factor(advantage: float) -> str:
    results = levels(advantage)
    return texts(factor(results, "digits", results.plan.questions["kernel"]).findings)


def of_noise(advantage: float) -> str:
    values = {"dense": around(0.8, "dense"), "cnn": [a + advantage for a in around(0.8, "dense")]}
    return texts(training.noise(results_with(values, config=TWO_MODELS), "digits").findings)


def of_headline(advantage: float) -> str:
    results = models(advantage)
    (row,) = results.contrasts("digits", "convolution")
    return contrasts.headline(row, "CNN", "Dense", results.rope)


def of_sentence(advantage: float) -> str:
    return models(advantage).contrasts("digits", "convolution")[0]["sentence"]


def of_claim(advantage: float) -> str:
    row = models(advantage, config=CLAIM).claims.iloc[0]
    return f"{row['verdict']}: {row['reason']}"


def of_trend(advantage: float) -> str:
    """Three kernels whose accuracies rise by ``advantage`` from one to the next; without one they are out of order."""
    means = [0.8, 0.8 + advantage, 0.8 + 2 * advantage] if advantage else [0.8, 0.81, 0.8]
    values = [around(mean, name) for mean, name in zip(means, SCATTER, strict=True)]
    row = results_with(values, config=THREE_LEVELS).trends.iloc[0]
    return row["sentence"] if row["p_value"] < 0.05 else "open"


def of_interaction(advantage: float) -> str:
    values = [around(0.8, "cnn")] * 3 + [around(0.8, CNN_5X5), around(0.8 + advantage, "dense")]
    row = results_with(values, config=TWO_FACTORS).factorials.set_index("effect").loc["interaction"]
    return row["sentence"] if row["p_value"] < 0.05 else "open"


def of_datasets(advantage: float) -> str:
    results = models(advantage, config=TWO_DATASETS)
    return texts(across.across_datasets(results, results.plan.questions["convolution"], ["digits", "mnist"]))


def of_choice(advantage: float) -> str:
    results = models(advantage, config=TWO_MODELS)
    name = results.chosen["digits"]
    text = choice.choice_text(results, "digits", name)
    return f"{results.label(name)} was chosen; {text}"


def of_calibration(advantage: float) -> str:
    return texts(training.calibration(models(0.0, confidence=2 * advantage), "digits").findings)


def of_fit(advantage: float) -> str:
    """Training accuracy above validation accuracy by ``advantage`` at the kept epoch."""
    course = (0.5, 0.6, 0.7, 0.7)
    history = history_with(train=[a + advantage for a in course], validation=course)
    histories = dict.fromkeys(("dense", "cnn", CNN_5X5), history)
    return texts(training.fit(models(0.0, histories=histories, validation_images=100_000), "digits").findings)


def of_errors(advantage: float) -> str:
    """The first class is recognised more often than the second by ``advantage``; all others always."""
    matrix = np.eye(10, dtype=int) * 1000
    wrong = 200 + np.array([-1, 1]) * round(500 * advantage)
    for true, other in ((0, 1), (1, 0)):
        matrix[true, true], matrix[true, other] = 1000 - wrong[true], wrong[true]
    return texts(training.errors(models(0.05, confusion=matrix), "digits").findings)


def of_filters(advantage: float) -> str:
    """Filters of 5×5 are smoother than those of 3×3 by ``advantage``."""
    evaluations = {
        ("digits", variant, seed): {
            "convolutions": [{"layer": "conv_1", "filters": 4, "smoothness": 0.5 + ahead + SCATTER[variant][seed - 1]}]
        }
        for variant, ahead in (("cnn", 0.0), (CNN_5X5, advantage)) for seed in (1, 2, 3)
    }  # fmt: skip
    results = levels(0.0)
    results = replace(results, convolutions=convolutions_table(evaluations, results.plan))
    return texts(feature_maps(results, "digits", results.plan.questions["kernel"]).findings)


LABELS = {"cnn": "CNN", "dense": "Dense"}


def of_probe(name: str, options: dict, accuracies: dict[str, float]) -> str:
    """What a probe's findings say of made-up mean accuracies by variant; other variants have 0.8."""
    plan, scatter = load_study({**TINY, "probes": {name: options}}).plan, list(SCATTER.values())
    table = pd.DataFrame(
        [
            {"dataset": "digits", "variant": variant, "seed": seed, "status": "finished",
             "test_accuracy": accuracies.get(variant, 0.8) + scatter[number % 3][(seed + number // 3) % 3],
             "ece": accuracies.get(f"ece {variant}", 0.05), "test_loss": 0.5, "brier": 0.1}
            for number, variant in enumerate(plan.variants)
            for seed in (1, 2, 3)
        ]
    )  # fmt: skip
    curves, differences = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    labels = {variant: LABELS.get(variant, variant) for variant in plan.variants}
    return texts(all_findings(curves, differences, labels, "digits", 0.005)[name])


def of_lead(advantage: float) -> str:
    """A lead of the CNN on intact images that is gone on shuffled ones."""
    return of_probe("pixel_permutation", {}, {"cnn": 0.8 + advantage})


def of_shuffling(advantage: float) -> str:
    """No lead, and shuffling costs the CNN more by ``advantage``."""
    return of_probe("pixel_permutation", {}, {"cnn": 0.795, "cnn-shuffled-1": 0.795 - advantage})


def of_control(advantage: float) -> str:
    return of_probe("pixel_permutation", {}, {"cnn": 0.85, "dense-shuffled-1": 0.8 - advantage})


def of_sample_efficiency(advantage: float) -> str:
    sizes = {f"cnn-images-{size}": 0.8 + advantage for size in (10, 50)}
    text = of_probe("sample_efficiency", {"sizes": [10, 50], "steps": 5}, sizes)
    return text if advantage else text.replace("+0.", "0.")


def of_shifts(advantage: float) -> str:
    """The CNN keeps more of its predictions under shifts than the dense network by ``advantage``."""
    plan = load_study({**TINY, "probes": ["translation"]}).plan
    rows = [
        {"dataset": "digits", "variant": variant, "seed": seed, "axis": axis, "shift": shift, "accuracy": 0.5,
         "consistency": 0.6 + SCATTER[variant][seed - 1] + (advantage if variant == "cnn" else 0)}
        for variant in ("cnn", "dense") for seed in (1, 2, 3) for axis in ("h", "v") for shift in (-1, 0, 1)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    curves, differences = (make(table, plan, {"translation": Measured(table)}) for make in (all_curves, all_contrasts))
    return texts(all_findings(curves, differences, LABELS, "digits", 0.005)["translation"][-1:])


def of_corruption(advantage: float) -> str:
    """The CNN is more accurate on corrupted images by ``advantage``; both are as accurate on clean ones."""
    plan = load_study({**TINY, "probes": {"corruption": {"models": ["cnn", "dense"]}}}).plan
    table = pd.DataFrame(
        [
            {"dataset": "digits", "variant": variant, "seed": seed, "kind": kind, "severity": severity, "images": 100,
             "accuracy": (0.6 + SCATTER[variant][seed - 1] if severity else 0.9)
             + (advantage if severity and variant == "cnn" else 0)}
            for variant in ("cnn", "dense") for seed in (1, 2, 3)
            for kind, severity in (("clean", 0), ("shot_noise", 3), ("contrast", 3))
        ]
    )  # fmt: skip
    measured = {"corruption": Measured(table)}
    curves, differences = (make(table, plan, measured) for make in (all_curves, all_contrasts))
    return texts(all_findings(curves, differences, LABELS, "digits", 0.005)["corruption"][2:])


def of_receptive_fields(advantage: float) -> str:
    """Accuracy rises with the receptive field by ``advantage`` from one kernel to the next."""
    config = {**TINY, "probes": ["receptive_field"]}
    config["experiments"] = {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [3, 5, 7]}}
    plan = load_study(config).plan
    names = [name for name in plan.variants if name.startswith("cnn")]
    means = {name: 0.8 + advantage * position for position, name in enumerate(names)}
    if not advantage:
        means[names[1]] = 0.81
    table = pd.DataFrame(
        [
            {"dataset": "digits", "variant": name, "seed": seed, "status": "finished",
             "test_accuracy": means.get(name, 0.8), "receptive_field": plan.costs["digits", name].receptive_field}
            for name in plan.variants for seed in (1, 2, 3)
        ]
    )  # fmt: skip
    curves, differences = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    labels = {name: variant.label for name, variant in plan.variants.items()}
    return texts(all_findings(curves, differences, labels, "digits", 0.005)["receptive_field"])


def of_effective_fields(advantage: float) -> str:
    """The kernel of 5×5 uses pixels from a larger square than 3×3, by 100 px times ``advantage``."""
    plan = load_study({**TINY, "probes": ["effective_receptive_field"]}).plan
    table, fields = fields_with({"cnn": 9 - 50 * advantage, CNN_5X5: 9 + 50 * advantage}, {"cnn": 12, CNN_5X5: 14})
    measured = {"effective_receptive_field": fields}
    curves, differences = (make(table, plan, measured) for make in (all_curves, all_contrasts))
    labels = {name: variant.label for name, variant in plan.variants.items()}
    return texts(all_findings(curves, differences, labels, "digits", 0.005)["effective_receptive_field"])


def of_tuning(advantage: float) -> str:
    """The CNN is behind by ``advantage`` with the config's settings, and ahead by it when both are tuned."""
    tuning = {"trials": 2, "over": {"learning_rate": [1e-3, 1e-2]}}
    sides = ("dense", "cnn")
    values, tuned = (
        {name: around(0.8 + sign * side * advantage / 2, name) for name, side in zip(sides, (-1, 1), strict=True)}
        for sign in (-1, 1)
    )
    results = results_with(values, tuned=tuned, config=TWO_MODELS | {"tuning": tuning})
    return texts(order_when_tuned(results, "digits", results.plan.questions["convolution"]))


def of_calibration_probe(advantage: float) -> str:
    return of_probe("calibration", {}, {"ece dense": 0.05 + advantage / 10, "ece cnn": 0.05})


@dataclass(frozen=True)
class Case:
    """A text with a direction.

    Attributes:
        module: of ``findings`` or ``probes``, whose sentence it is.
        text: from the advantage of one side, a fraction.
        ahead, behind: patterns of what is said for a positive and for a negative advantage.
        even: whether a text can be made without an advantage.
    """

    module: str
    text: Callable[[float], str]
    ahead: str
    behind: str
    even: bool = True


CASES = {
    "baseline": Case(
        "dense_vs_conv",
        lambda a: texts(dense_vs_conv.baseline(models(a), "digits").findings),
        "Yes: CNN beat Dense",
        "No: CNN did worse than Dense",
    ),
    "baseline, written the other way round": Case(
        "dense_vs_conv",
        lambda a: texts(dense_vs_conv.baseline(models(a, config=REVERSED), "digits").findings),
        "Yes: CNN beat Dense",
        "No: CNN did worse than Dense",
    ),
    "limits of convolution": Case(
        "assumptions",
        lambda a: texts(limits_of_convolution(models(a), "digits").findings),
        "CNN was better than Dense",
        "CNN was worse than Dense",
    ),
    "factor": Case("factor", of_factor, "It pays .* better than 3×3 is 5×5", "Worse than 3×3 is 5×5"),
    "best level": Case("factor", of_factor, "levels of .*, 5×5 has the highest", "3×3 has the highest", even=False),
    "noise": Case("training", of_noise, "CNN leads Dense", "Dense leads CNN"),
    "headline": Case("contrasts", of_headline, "CNN is better than Dense", "CNN is worse than Dense"),
    "sentence of a comparison": Case("contrasts", of_sentence, r"\): better", r"\): worse"),
    "claim": Case("claims", of_claim, "^supported.*all of the interval is above", "^contradicted.*interval is below"),
    "trend": Case("factor", of_trend, r"changes by \+", "changes by −"),
    "interaction": Case("factor", of_interaction, r"gains \+[\d.]+ pp more at", r"gains −[\d.]+ pp more at"),
    "datasets": Case("across_datasets", of_datasets, "is better on digits", "is worse on digits"),
    "choice": Case(
        "choice", of_choice, "CNN was chosen.* told apart from every", "Dense was chosen.* told apart from every"
    ),
    "confidence": Case("training", of_calibration, "overconfident by", "underconfident by"),
    "fit": Case("training", of_fit, "It overfits", "Validation is ahead of training"),
    "hardest class": Case("training", of_errors, "hardest class is 1:", "hardest class is 0:"),
    "lead on intact images": Case(
        "pixel_permutation", of_lead, "CNN leads Dense", "CNN is behind Dense to begin with"
    ),
    "cost of shuffling": Case(
        "pixel_permutation", of_shuffling, "Shuffling costs CNN more than Dense", "Shuffling costs Dense more than CNN"
    ),
    "control": Case("pixel_permutation", of_control, "It should lose nothing", "It should gain nothing"),
    "sample efficiency": Case(
        "sample_efficiency", of_sample_efficiency, r"10 images: \+[\d.]+ pp .*its lead is widest",
        r"10 images: −[\d.]+ pp .*leads at none", even=False
    ),
    "shifts": Case(
        "translation", of_shifts, "^(?!.*Dense keeps).*CNN keeps its predictions", "Dense keeps its predictions"
    ),
    "corruption": Case(
        "corruption", of_corruption, "CNN is more accurate.*loses less.*CNN is ahead on.*Dense as 100 %, is [5-9]",
        "CNN is less accurate.*loses more.*CNN is behind on.*Dense as 100 %, is 1"
    ),
    "receptive field": Case(
        "receptive_field", of_receptive_fields, "has cnn, kernel size 7×7.*accuracy is 1.00",
        "has cnn, which.*accuracy is −1.00"
    ),
    "effective receptive field": Case(
        "effective_receptive_field", of_effective_fields, "Units of .*5×5 use pixels from a larger",
        "Units of .*5×5 use pixels from a smaller"
    ),
    "feature maps": Case(
        "feature_maps", of_filters, "filters higher with 5×5", "filters lower with 5×5"
    ),
    "tuning": Case(
        "tuning", of_tuning, "order turns, worse .* and better when both", "order turns, better .* and worse when both"
    ),
    "calibration error": Case(
        "calibration", of_calibration_probe, "lowest for CNN.*highest for Dense", "lowest for Dense.*highest for CNN"
    ),
}  # fmt: skip

WITHOUT_DIRECTION = {
    "collect": "counts of verdicts",
    "conditions": "which conditions differ",
    "left_out": "counts of images and runs",
    "limitations": "limits of the design",
    "new_images": "counts of verdicts that change",
    "registration": "when something was written",
    "attributions": "which methods pass which checks, of each variant alone",
    "similarity": "one side only: variants are less alike than seeds, or not told apart",
    "study_results": "no sentence",
}
"""Modules of findings whose sentences have no two sides."""


def test_every_module_of_findings_has_a_case_or_no_direction():
    modules = {path.stem for path in (LIBRARY / "findings").glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in (LIBRARY / "probes").glob("*/findings.py")}
    assert modules - WITHOUT_DIRECTION.keys() - {case.module for case in CASES.values()} == set()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4)
@given(advantage=st.sampled_from([0.02, 0.03, 0.05, 0.08]))
def test_opposite_data_give_the_opposite_sentence(name, advantage):
    case = CASES[name]
    for sign, expected, opposite in ((1, case.ahead, case.behind), (-1, case.behind, case.ahead)):
        text = case.text(sign * advantage)
        assert re.search(expected, text), text
        assert not re.search(opposite, text), text


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.even])
def test_without_a_difference_neither_side_is_said_to_be_ahead(name):
    case = CASES[name]
    text = case.text(0.0)
    assert not re.search(case.ahead, text) and not re.search(case.behind, text), text


rows = st.fixed_dictionaries(
    {
        "variant": st.just("a"),
        "reference": st.just("b"),
        **dict.fromkeys(("difference", "ci_low", "ci_high"), st.floats(-1, 1)),
        **dict.fromkeys(
            ("verdict", "finished_verdict"), st.sampled_from(["better", "worse", "equivalent", "inconclusive"])
        ),
        **dict.fromkeys(("n_variant", "n_reference", "n_diverged_variant", "n_diverged_reference"), st.integers(0, 9)),
    }
)


@given(rows)
def test_a_comparison_that_is_turned_round_twice_is_the_same(row):
    assert contrasts.swapped(contrasts.swapped(row)) == row


@given(rows)
def test_a_comparison_that_is_turned_round_says_the_same_of_the_other_side(row):
    turned = contrasts.swapped(row)
    assert (turned["variant"], turned["difference"]) == (row["reference"], -row["difference"])
    assert {row["verdict"], turned["verdict"]} in ({"better", "worse"}, {"equivalent"}, {"inconclusive"})
    assert (turned["n_variant"], turned["n_diverged_variant"]) == (row["n_reference"], row["n_diverged_reference"])
