"""Probes: what they measure, against answers known by construction."""

import shutil
import subprocess
import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from builders.project import ROOT, TINY
from convlab.errors import UserError
from convlab.evaluation.records import read_measures
from convlab.findings.study_results import Finding
from convlab.page import findings_table
from convlab.page.views import ProbeView
from convlab.probes import registry
from convlab.probes.all_findings import all_findings
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS, point
from convlab.probes.measured import Measured
from convlab.probes.pixel_permutation import figure as permutation_figure
from convlab.probes.specs import ProbeSettings
from convlab.probes.tables import all_contrasts, all_curves, with_claim_values
from convlab.probes.translation import figure, measure
from convlab.probes.translation import findings as translation_words
from convlab.study.load import load_study

LARGE = {**TINY, "datasets": {"digits": {"kind": "mnist"}}}  # images enough for every default size
PLAN = load_study({**LARGE, "probes": ["pixel_permutation", "translation", "sample_efficiency"]}).plan
TRANSLATION_ONLY = load_study({**TINY, "probes": ["translation"]}).plan


@pytest.mark.parametrize("probe", registry.names())
def test_the_folder_of_a_probe_defines_what_the_registry_asks_for(probe):
    settings, table, words = registry.settings(probe), registry.part(probe, "table"), registry.part(probe, "findings")
    assert issubclass(settings, ProbeSettings) and settings.__doc__ and settings.label and settings.order
    assert table.MEASURES and callable(table.curves)
    assert hasattr(table, "CONTRASTS") == hasattr(table, "contrasts")
    assert words.TITLE and callable(words.introduction) and callable(words.findings)
    assert getattr(words, "ASSUMPTION", "locality") in ("locality", "weight_sharing", "translation")
    if registry.has(probe, "figure"):
        chart = registry.part(probe, "figure")
        assert callable(chart.figures)
    if registry.has(probe, "measure"):
        measured = registry.part(probe, "measure")
        assert callable(measured.inspect if settings.looks_inside else measured.measure)
        assert {"dataset", "variant", "seed"}.isdisjoint(measured.COLUMNS)
        assert list(table.MEASURED) == measured.COLUMNS, "docs/tables.md describes every column"


def test_every_probe_has_a_position_and_a_section_name_of_its_own():
    classes = [registry.settings(probe) for probe in registry.names()]
    positions = [settings.order for settings in classes if settings.order != ProbeSettings.order]
    assert positions == sorted(set(positions))
    assert len({settings.__name__ for settings in classes}) == len(classes), "the config's schema is named after them"


def test_a_shift_moves_every_pixel_and_brings_in_black():
    images = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4, 1)
    moved = measure.shifted(images, 1, -2)[0, ..., 0]
    np.testing.assert_array_equal(moved, [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]])
    np.testing.assert_array_equal(measure.shifted(images, 0, 0), images)
    assert not measure.shifted(images, 3, 0).any() and not measure.shifted(images, 0, -9).any()


def test_what_enters_a_shifted_image_is_black_the_edge_or_what_has_left():
    images = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4, 1)
    edge, around = (measure.shifted(images, 1, -2, fill)[0, ..., 0] for fill in ("edge", "wrap"))
    np.testing.assert_array_equal(edge, [[3, 4, 4, 4], [3, 4, 4, 4], [7, 8, 8, 8]])
    np.testing.assert_array_equal(around, [[11, 12, 9, 10], [3, 4, 1, 2], [7, 8, 5, 6]])
    assert measure.shifted(images, 1, 0).tobytes() == measure.shifted(images, 1, 0, "black").tobytes()


def test_a_detector_of_presence_survives_shifts_and_a_detector_of_place_does_not():
    """One bright pixel in the middle is class 1. One model asks whether there is any, the other whether it is there."""
    images = np.zeros((4, 9, 9, 1), np.uint8)
    images[2:, 4, 4] = 255
    labels = np.array([0, 0, 1, 1])

    def somewhere(x):
        bright = x.reshape(len(x), -1).max(axis=1) > 0
        return np.stack([~bright, bright], axis=1).astype(float)

    def in_the_middle(x):
        bright = x[:, 4, 4, 0] > 0
        return np.stack([~bright, bright], axis=1).astype(float)

    rows = pd.DataFrame(measure.measure(somewhere, images, labels, {"shift": 4, "fill": "black"}))
    assert len(rows) == 18 and (rows["accuracy"] == 1).all() and (rows["consistency"] == 1).all()
    rows = pd.DataFrame(measure.measure(in_the_middle, images, labels, {"shift": 4, "fill": "black"})).set_index(
        ["axis", "shift"]
    )
    assert rows.loc[("vertical", 0), "accuracy"] == 1
    assert (rows.drop(index=[("vertical", 0), ("horizontal", 0)])["consistency"] == 0.5).all()


def runs(**accuracies: list[float]) -> pd.DataFrame:
    rows = [
        {"dataset": "digits", "variant": name.replace("_", "-"), "seed": seed, "test_accuracy": value,
         "receptive_field": 3, "test_loss": 0.5, "brier": 0.2, "ece": 0.1}
        for name, values in accuracies.items()
        for seed, value in enumerate(values, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_permutation_gives_what_each_model_loses_and_what_is_left_of_the_lead_paired_by_seed():
    table = runs(cnn=[0.90, 0.92, 0.91], dense=[0.80, 0.82, 0.81], cnn_shuffled_1=[0.79, 0.81, 0.81],
                 dense_shuffled_1=[0.80, 0.82, 0.81])  # fmt: skip
    plan = load_study({**TINY, "probes": ["pixel_permutation"]}).plan
    rows = all_contrasts(table, plan, {}).set_index(["variant", "measure"])
    lost = rows.loc[("cnn", "accuracy lost, pixels shuffled")]
    differences = [0.11, 0.11, 0.10]
    assert lost["difference"] == pytest.approx(np.mean(differences))
    half = 4.302653 * np.std(differences, ddof=1) / np.sqrt(3)  # t(2) at 97.5 %
    assert lost["ci_high"] - lost["difference"] == pytest.approx(half, rel=1e-5)
    assert rows.loc[("dense", "accuracy lost, pixels shuffled"), "difference"] == pytest.approx(0)
    assert rows.loc[("cnn", "lead lost, pixels shuffled"), "difference"] == pytest.approx(np.mean(differences))
    assert rows.loc[("cnn", "lead left, pixels shuffled"), "difference"] == pytest.approx(np.mean([-0.01, -0.01, 0]))


def test_two_seeds_give_points_and_no_interval():
    table = runs(cnn=[0.9, 0.92], dense=[0.8, 0.82], cnn_shuffled_1=[0.8, 0.8], dense_shuffled_1=[0.8, 0.8])
    plan = load_study({**TINY, "probes": ["pixel_permutation"]}).plan
    assert all_contrasts(table, plan, {})["ci_low"].isna().all()
    assert all_curves(table, plan, {})["ci_low"].isna().all()


def test_translation_curves_average_axes_and_directions_within_a_run_first():
    rows = [
        {"dataset": "d", "variant": "cnn", "seed": seed, "axis": axis, "shift": shift, "accuracy": a, "consistency": a}
        for seed, lift in ((1, 0.0), (2, 0.1), (3, 0.2))
        for axis, shift, a in (("h", -1, 0.2 + lift), ("h", 1, 0.4 + lift), ("v", -1, 0.2 + lift), ("v", 1, 0.4 + lift))
    ]
    curve = all_curves(pd.DataFrame(), TRANSLATION_ONLY, {"translation": Measured(pd.DataFrame(rows))})
    assert list(curve["level"]) == ["1 px", "1 px"]
    assert curve["mean"].tolist() == pytest.approx([0.4, 0.4])
    assert curve["sd"].tolist() == pytest.approx([0.1, 0.1]), "over runs, not over shifts"


def test_the_shuffled_and_the_small_variants_are_trained_but_not_compared():
    assert {"cnn-shuffled-1", "dense-shuffled-1", "cnn-images-100", "dense-images-all"} <= set(PLAN.variants)
    assert set(PLAN.compared) == {"cnn", "dense", "cnn-kernel_size-5x5"}
    assert PLAN.variants["cnn-shuffled-1"].training.pixel_permutation == 1
    small = PLAN.variants["cnn-images-100"].training
    assert (small.train_size, small.steps) == (100, 2000)
    assert PLAN.duels == [("cnn", "dense")]


def test_without_comparisons_the_probes_take_every_model():
    plan = load_study({**TINY, "comparisons": {}, "models": {"dense": TINY["models"]["dense"]}, "experiments": {},
                       "probes": ["pixel_permutation"]}).plan  # fmt: skip
    assert plan.duels == [] and plan.probes["pixel_permutation"].models == ("dense",)
    contrasts = all_contrasts(runs(dense=[0.5] * 3, dense_shuffled_1=[0.5] * 3), plan, {})
    assert list(contrasts["measure"]) == ["accuracy lost, pixels shuffled"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["pixelpermutation"], "unknown key 'pixelpermutation' in probes, did you mean 'pixel_permutation'?"),
        ({"translation": {"shft": 2}}, "unknown key 'shft' in probes.translation, did you mean 'shift'?"),
        ({"translation": {"models": ["cn"]}}, "probes.translation.models names 'cn', which is no model, did you mean"),
        ({"pixel_permutation": {"blocks": []}}, "probes.pixel_permutation.blocks is empty"),
        ({"translation": {"models": []}}, "probes.translation.models is empty"),
        ({"corruption": {"models": []}}, "probes.corruption.models is empty"),
        ({"sample_efficiency": {"sizes": [50, 50]}}, "sizes needs two different sizes (it is [50, 50])"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_probes_is_told_in_one_sentence(options, sentence):
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "probes": options})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("probe", ["similarity", "effective_receptive_field"])
def test_more_test_images_than_there_are_cannot_be_looked_at(probe):
    with pytest.raises(UserError, match=rf"probes\.{probe}\.images is 101, but digits has 100 test images"):
        load_study({**TINY, "probes": {probe: {"images": 101}}}).plan  # noqa: B018


@pytest.mark.slow
def test_the_script_measures_every_seed_of_a_variant(finished_study, tmp_path):
    results = finished_study.folder / "results/tiny"
    arguments = [
        "--probe",
        "translation",
        "--dataset",
        "digits",
        "--variant",
        "cnn",
        "--settings",
        '{"shift": 2, "fill": "black"}',
        "--seeds",
        "1",
        "2",
        "3",
    ]
    folders = ["--train-dir", results / "train/digits/cnn", "--data-dir", results / "prepare/digits"]
    command = [sys.executable, ROOT / "scripts/probe.py", *arguments, *folders, "--output", tmp_path / "cnn.csv"]
    subprocess.run(command, check=True, capture_output=True)
    table = pd.read_csv(tmp_path / "cnn.csv")
    assert list(table.columns) == ["dataset", "variant", "seed", *measure.COLUMNS] and len(table) == 3 * 2 * 5
    measures = read_measures(results / "evaluate/digits/cnn", [1, 2, 3])
    for seed in (1, 2, 3):
        unshifted = table[(table["seed"] == seed) & (table["shift"] == 0)]
        assert unshifted["accuracy"].tolist() == pytest.approx([measures[seed]["accuracy"]] * 2)
        assert (unshifted["consistency"] == 1).all()
    assert table.loc[table["shift"] != 0, "consistency"].lt(1).any()


@pytest.mark.slow
def test_switching_a_probe_on_trains_only_its_own_variants(finished):
    finished.configure({**TINY, "probes": ["pixel_permutation", "translation"]})
    planned = finished.planned()
    trained = {job for job in planned if job.startswith("Train")}
    assert trained == {f"Train {m}-shuffled-1 on digits, seed {s}" for m in ("cnn", "dense") for s in (1, 2, 3)}
    assert {job for job in planned if job.startswith("Probe")} == {
        f"Probe translation of {m} on digits" for m in ("cnn", "dense")
    }


@pytest.mark.slow
def test_an_edit_of_how_a_probe_measures_measures_that_probe_only_and_one_of_table_figure_or_words_measures_nothing(
    finished,
):
    folders = finished.folder / "scripts/convlab/probes"
    shutil.copytree(folders / "translation", folders / "another")
    finished.configure({**TINY, "probes": ["translation", "another"]})
    for probe, variant in product(("translation", "another"), ("cnn", "dense")):
        table = finished.folder / f"results/tiny/probe/{probe}/digits/{variant}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("dataset,variant,seed,axis,shift,accuracy,consistency\n")
    assert finished.snakemake("--touch").returncode == 0
    assert finished.planned() == set()
    end = {"Compare all runs", "Write the report"}
    for files, planned in [
        (["measure"], {f"Probe another of {variant} on digits" for variant in ("cnn", "dense")} | end),
        (["table", "figure"], end),
        (["findings"], {"Write the report"}),
    ]:
        for file in files:
            path = folders / f"another/{file}.py"
            path.write_text(path.read_text() + "\n# An edit.\n")
        assert finished.planned() == planned, files
        for file in files:
            shutil.copy(folders / f"translation/{file}.py", folders / f"another/{file}.py")


LABELS = {"cnn": "CNN", "dense": "Dense"}


def permutation_text(intact: tuple, lead_lost: tuple, lead_left: tuple, control: tuple) -> str:
    """What the report says of a permutation probe with these (difference, low, high)."""
    rows = [
        {"dataset": "d", "probe": "pixel_permutation", "variant": variant, "reference": reference, "n_seeds": 3,
         "measure": measure, "difference": value, "ci_low": low, "ci_high": high, "n_diverged": 0}
        for variant, reference, measure, (value, low, high) in (
            ("cnn", "", "accuracy lost, pixels shuffled", lead_lost),
            ("dense", "", "accuracy lost, pixels shuffled", control),
            ("cnn", "dense", "lead, intact", intact),
            ("cnn", "dense", "lead lost, pixels shuffled", lead_lost),
            ("cnn", "dense", "lead left, pixels shuffled", lead_left),
        )
    ]  # fmt: skip
    curves = pd.DataFrame(
        [point("d", "pixel_permutation", "cnn", "accuracy", "pixels shuffled", 1.0, [0.9, 0.9, 0.91])]
    )
    by_probe = all_findings(curves, pd.DataFrame(rows), LABELS, "d", 0.005)
    expected = "measured" if np.isnan(intact[0]) else "exploratory"  # "cannot be compared" rests on no interval
    assert {finding.kind for finding in by_probe["pixel_permutation"]} == {expected}
    return " ".join(finding.text for finding in by_probe["pixel_permutation"])


NOTHING, LEAD = (0.0, -0.002, 0.002), (0.03, 0.028, 0.032)


def test_a_lead_that_shuffling_takes_away_is_told_as_resting_on_neighbours_with_its_numbers():
    text = permutation_text(LEAD, (0.03, 0.025, 0.035), NOTHING, NOTHING)
    assert "CNN leads Dense by +3.00 pp (95 % CI +2.80 to +3.20; n = 3 seeds)" in text
    assert "loses +3.00 pp (95 % CI +2.50 to +3.50; n = 3 seeds) of this lead" in text
    assert "In this study the lead rests on which pixels are neighbours: what is left is of no practical size" in text
    assert "as it should be" in text


def test_a_lead_that_shuffling_does_not_touch_is_not_told_as_resting_on_neighbours():
    assert "cannot be told" in permutation_text(LEAD, (0.001, -0.02, 0.022), (0.029, 0.01, 0.04), NOTHING)
    grown = permutation_text(LEAD, (-0.03, -0.04, -0.02), (0.06, 0.05, 0.07), NOTHING)
    assert "The lead grew: it does not rest on which pixels are neighbours." in grown
    assert "the lead rests" not in grown


def test_a_loss_inside_the_region_of_equivalence_is_none():
    text = permutation_text(LEAD, (0.001, 0.0005, 0.0015), (0.029, 0.027, 0.031), NOTHING)
    assert (
        "The loss is of no practical size (± 0.5 pp): this lead does not rest on which pixels are neighbours." in text
    )


@pytest.mark.parametrize(
    ("intact", "reason"),
    [
        ((-0.01, -0.012, -0.008), "CNN is behind Dense to begin with"),
        ((-0.003, -0.0059, -0.0001), "CNN is behind Dense to begin with"),
        ((0.002, 0.001, 0.003), "there is no lead of practical size (± 0.5 pp)"),
        ((0.01, -0.01, 0.03), "it cannot be told from these seeds whether there is a lead"),
    ],
)
def test_without_a_lead_none_is_lost(intact, reason):
    left = (intact[0] - 0.04, intact[1] - 0.04, intact[2] - 0.04)
    text = permutation_text(intact, (0.04, 0.03, 0.05), left, NOTHING)
    assert reason in text
    assert "Shuffling costs CNN more than Dense, by +4.00 pp" in text
    for wrong in ("of its lead", "of this lead", "leads Dense", "the lead rests"):
        assert wrong not in text


def test_convolution_that_falls_below_the_dense_network_is_told():
    text = permutation_text(LEAD, (0.05, 0.04, 0.06), (-0.02, -0.03, -0.01), NOTHING)
    assert "without its neighbours CNN is behind Dense" in text


@pytest.mark.parametrize("control", [(0.02, 0.015, 0.025), (-0.02, -0.025, -0.015)])
def test_where_the_control_fails_nothing_is_concluded(control):
    text = permutation_text(LEAD, (0.03, 0.02, 0.04), NOTHING, control)
    assert "so nothing is concluded from them about neighbours" in text and "the lead rests" not in text


def test_two_seeds_conclude_nothing():
    text = permutation_text((0.03, None, None), (0.03, None, None), (0.0, None, None), (0.0, None, None))
    assert "points only, nothing inferred" in text
    for word in ("rests", "leads", "as it should be", "practical"):
        assert word not in text


def test_runs_that_diverged_leave_nothing_to_compare():
    nan = (float("nan"), None, None)
    assert "cannot be compared with pixels shuffled" in permutation_text(nan, nan, nan, nan)


def test_the_lead_on_intact_images_is_in_the_table():
    plan = load_study({**TINY, "probes": ["pixel_permutation"]}).plan
    names = {name.replace("-", "_"): [0.9, 0.91, 0.92] for name in plan.variants}
    table = all_contrasts(runs(**names), plan, {})
    assert list(table["measure"]).count("lead, intact") == 1


def shifts_measured(lift: float) -> pd.DataFrame:
    """What the translation probe measured of the tiny study's models: the CNN is more consistent by ``lift``."""

    def consistency(variant: str, seed: int) -> float:
        return 0.6 + (lift + 0.01 * (seed - 2) if variant == "cnn" else 0)

    return pd.DataFrame(
        [
            {"dataset": "digits", "variant": variant, "seed": seed, "axis": axis, "shift": shift,
             "accuracy": 0.5 + 0.1 * (variant == "cnn") + 0.001 * seed if shift else 0.9,
             "consistency": consistency(variant, seed) if shift else 1.0}
            for variant in ("cnn", "dense") for seed in (1, 2, 3) for axis in ("h", "v") for shift in (-1, 0, 1)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("black", ("black moves in", "with black where an image has moved away")),
        ("edge", ("the pixels of the edge are repeated", "with the pixels of the edge repeated")),
        ("wrap", ("what leaves on one side comes in on the other", "with what leaves on one side coming in")),
    ],
)
def test_caption_and_findings_say_what_moved_in(fill, expected):
    plan = load_study({**TINY, "probes": {"translation": {"shift": 1, "fill": fill}}}).plan
    table = shifts_measured(0.2)
    curves, contrasts = (make(table, plan, {"translation": Measured(table)}) for make in (all_curves, all_contrasts))
    assert expected[0] in figure.caption(plan.probes["translation"], plan)
    assert expected[1] in all_findings(curves, contrasts, LABELS, "digits", 0.005)["translation"][-1].text


def test_a_claim_about_shifted_images_takes_the_mean_over_axes_and_directions_at_its_distance():
    claims = [{"id": "a", "text": "t", "rule": "accuracy_shifted(1)(cnn) - accuracy_shifted(1)(dense) > 0"}]
    config = {**TINY, "probes": {"translation": {"shift": 1}}, "claims": claims}
    table, plan = shifts_measured(0.2), load_study(config).plan
    values = with_claim_values(table.drop_duplicates(["variant", "seed"]), plan, {"translation": Measured(table)})
    values = values.set_index(["variant", "seed"])["accuracy_shifted(1)"]
    assert values["cnn", 2] == pytest.approx(0.602) and values["dense", 3] == pytest.approx(0.503)
    for asked in ("2", "0", "x"):
        config["claims"] = [{**claims[0], "rule": f"accuracy_shifted({asked})(cnn) > 0"}]
        with pytest.raises(UserError, match=f"measures shifts of up to 1 px, not {asked}"):
            load_study(config).plan  # noqa: B018


@pytest.mark.parametrize(("shift", "told"), [(0, False), (2, True)])
def test_the_introduction_of_shifted_images_knows_the_augmentation(shift, told):
    training = load_study({**TINY, "training": {**TINY["training"], "augmentation": {"shift": shift}}}).training
    assert ("trained on shifted images" in translation_words.introduction(training, False)) == told


@pytest.mark.parametrize(
    ("lift", "expected"),
    [
        (0.2, "CNN keeps its predictions under shifts better than Dense."),
        (-0.2, "Dense keeps its predictions under shifts better than CNN."),
        (0, "cannot"),
    ],
)
def test_translation_is_told_in_either_direction(lift, expected):
    table = shifts_measured(lift)
    measured = {"translation": Measured(table)}
    curves, contrasts = (make(table, TRANSLATION_ONLY, measured) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)["translation"][-1].text
    assert expected in text
    assert "so this is about these two models, with black where an image has moved away" in text


@pytest.mark.parametrize("probe", ["translation", "corruption", "similarity", "sample_efficiency"])
def test_a_model_that_is_named_twice_is_measured_once(probe):
    plan = load_study({**TINY, "probes": {probe: {"models": ["cnn", "dense", "cnn"]}}, "datasets": {"digits": {}}}).plan
    assert plan.probes[probe].models == ("cnn", "dense")


def test_a_claim_is_told_to_add_a_model_where_the_probe_can_measure_it():
    claims = [{"id": "c", "text": "x", "rule": "accuracy_shifted(2)(dense) > 0.5"}]
    probes = {"translation": {"models": ["cnn"]}}
    with pytest.raises(UserError, match=r"one of those, or add dense to probes\.translation\.models"):
        load_study({**TINY, "probes": probes, "claims": claims}).plan  # noqa: B018
    claims[0]["rule"] = "accuracy_shifted(2)(cnn-kernel_size-5x5) > 0.5"
    with pytest.raises(UserError, match=r"not 'cnn-kernel_size-5x5'; write one of those$"):
        load_study({**TINY, "probes": probes, "claims": claims}).plan  # noqa: B018


def test_sizes_beyond_the_images_are_refused_with_sizes_that_are_possible():
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "probes": {"sample_efficiency": {"sizes": [5000, None]}}}).plan  # noqa: B018
    sizes = yaml.safe_load(str(caught.value).partition("write sizes: ")[2])
    load_study({**TINY, "probes": {"sample_efficiency": {"sizes": sizes}}}).plan  # noqa: B018


def test_runs_on_fewer_images_take_all_their_steps():
    training = {**TINY["training"], "early_stopping": {"patience": 1}}
    plan = load_study({**TINY, "training": training, "probes": {"sample_efficiency": {"sizes": [10, 50]}}}).plan
    assert plan.variants["cnn"].training.early_stopping and not plan.variants["cnn-images-10"].training.early_stopping


@pytest.mark.parametrize(
    ("blocks", "told"),
    [([1], "whose pixels all stand"), ([2], "whose blocks of pixels stand"), ([1, 2], "whose pixels, or blocks of")],
)
def test_the_caption_of_shuffled_pixels_says_what_was_shuffled(blocks, told):
    plan = load_study({**TINY, "probes": {"pixel_permutation": {"blocks": blocks}}}).plan
    assert told in permutation_figure.caption(plan.probes["pixel_permutation"])


def test_receptive_fields_name_the_variants_without_a_finished_run():
    plan = load_study({**TINY, "probes": ["receptive_field"]}).plan
    table = runs(cnn=[0.9, 0.91, 0.9], dense=[0.8] * 3, larger=[np.nan] * 3)
    table = table.replace({"variant": {"larger": "cnn-kernel_size-5x5"}})
    table = table.assign(receptive_field=table["variant"].map({"cnn": 10, "dense": 28, "cnn-kernel_size-5x5": 16}))
    labels, none = {**LABELS, "cnn-kernel_size-5x5": "CNN 5×5"}, pd.DataFrame(columns=CONTRAST_COLUMNS)
    text = all_findings(all_curves(table, plan, {}), none, labels, "digits", 0.005)
    (finding,) = text["receptive_field"]
    assert "sees 10 to 16 pixels across" in finding.text
    assert finding.text.endswith("CNN 5×5 has no finished run to measure.")


def test_what_has_no_finished_run_is_named_by_every_probe_that_trains_or_describes():
    plan = load_study({**TINY, "comparisons": {}, "models": {"cnn": TINY["models"]["cnn"]}, "experiments": {},
                       "probes": ["pixel_permutation"]}).plan  # fmt: skip
    table = runs(cnn=[0.9, 0.91, 0.9], cnn_shuffled_1=[np.nan] * 3)
    table.loc[table["test_accuracy"].isna(), ["test_loss", "brier", "ece"]] = np.nan
    curves, contrasts = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)
    (finding,) = text["pixel_permutation"]
    assert finding.text == "With pixels shuffled, no seed of CNN has finished runs, intact and shuffled, to compare."

    probes = {"sample_efficiency": {"sizes": [10, 50]}, "calibration": {}}
    plan = load_study({**TINY, "probes": probes}).plan
    table = runs(cnn=[0.9, 0.91, 0.9], dense=[np.nan] * 3, cnn_images_10=[0.5] * 3, dense_images_10=[np.nan] * 3,
                 cnn_images_50=[0.5] * 3, dense_images_50=[0.4, 0.41, 0.42])  # fmt: skip
    table.loc[table["test_accuracy"].isna(), ["test_loss", "brier", "ece"]] = np.nan
    curves, contrasts = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)
    (finding,) = text["sample_efficiency"]
    assert "CNN and Dense cannot be compared with 10 images: no seed has finished runs of both." in finding.text
    (finding,) = text["calibration"]
    assert finding.text == "Dense has no finished run to measure."


def test_the_table_of_findings_counts_what_it_does_not_show_of_a_probe_that_compares_nothing():
    none = {"curves": pd.DataFrame(columns=CURVE_COLUMNS), "contrasts": pd.DataFrame(columns=CONTRAST_COLUMNS)}
    results = SimpleNamespace(label=str)
    for kind, basis in (("exploratory", "exploratory"), ("measured", "described")):
        of_probe = [Finding("One.", {}, kind), Finding("Two."), Finding("Three.")]
        probe = ProbeView("attributions", "Attributions", "", of_probe, [], None)
        row = findings_table._probe(results, "digits", probe, none)
        assert [short.text for short in row.results] == ["One.", "2 more findings"] and row.basis == basis


def test_sample_efficiency_names_the_size_with_the_widest_lead():
    plan = load_study({**TINY, "probes": {"sample_efficiency": {"sizes": [10, 50], "steps": 5}}}).plan
    table = runs(cnn_images_10=[0.5, 0.52, 0.51], dense_images_10=[0.4, 0.41, 0.40], cnn_images_50=[0.8, 0.8, 0.81],
                 dense_images_50=[0.79, 0.8, 0.8])  # fmt: skip
    curves, contrasts = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)["sample_efficiency"][0].text
    assert "Described, not tested: as observed its lead is widest at 10 images." in text
    assert "10 images: +10.67 pp" in text


def test_where_convolution_never_leads_no_lead_is_widest():
    plan = load_study({**TINY, "probes": {"sample_efficiency": {"sizes": [10, 50], "steps": 5}}}).plan
    table = runs(cnn_images_10=[0.4, 0.42, 0.41], dense_images_10=[0.5, 0.51, 0.50], cnn_images_50=[0.8, 0.8, 0.81],
                 dense_images_50=[0.89, 0.9, 0.9])  # fmt: skip
    curves, contrasts = (make(table, plan, {}) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)["sample_efficiency"][0].text
    assert "it leads at none of them" in text and "widest" not in text


@pytest.mark.parametrize(
    ("training", "options"),
    [
        ({"augmentation": {"flip": "horizontal"}}, {"probes": ["pixel_permutation"]}),
        ({"augmentation": {"shift": 1}, "pixel_permutation": 1}, {}),
        ({"pixel_permutation": 2}, {"experiments": {"a": {"base": "cnn", "factor": "augmentation",
                                                          "levels": [None, {"shift": 1}]}}}),
    ],
)  # fmt: skip
def test_shuffled_pixels_are_not_augmented(training, options):
    config = {**TINY, "training": {**TINY["training"], **training}, **options}
    with pytest.raises(UserError, match="shuffles the pixels of images that training"):
        load_study(config).plan  # noqa: B018


def test_an_augmentation_that_does_nothing_may_stand_beside_shuffled_pixels():
    config = {**TINY, "training": {**TINY["training"], "augmentation": {}}, "probes": ["pixel_permutation"]}
    assert "cnn-shuffled-1" in load_study(config).plan.variants


@pytest.mark.parametrize(
    ("shift", "told"), [(0, "No model has an augmentation that shifts"), (2, "Trained on shifted images too")]
)
def test_the_caption_of_shifted_images_knows_the_augmentation(shift, told):
    config = {**TINY, "probes": ["translation"], "training": {**TINY["training"], "augmentation": {"shift": shift}}}
    plan = load_study(config).plan
    assert told in figure.caption(plan.probes["translation"], plan)


def test_a_reduced_study_keeps_its_questions_and_shrinks_what_takes_time(tmp_path):
    from quick import reduced

    config = {**TINY, "datasets": {"fashion_mnist": None, "digits": {"train_images": 300}}, "probes": ["translation"],
              "training": {"epochs": 15}, "seeds": 5}  # fmt: skip
    study = load_study(reduced(config))
    assert study.study == "tiny_quick" and study.seeds == (1, 2) and study.training.epochs == 2
    assert study.datasets["fashion_mnist"].train_images == 3000 and study.datasets["digits"].train_images == 300
    assert list(study.plan.questions) == ["kernel", "convolution"] and list(study.plan.probes) == ["translation"]
