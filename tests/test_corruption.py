"""The corruption probe: images made by image, kind and severity alone; errors relative to a reference; claims."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from builders.project import TINY
from convlab.datasets.prepared import permute_pixels
from convlab.errors import UserError
from convlab.evaluation.networks import Network
from convlab.probes.all_findings import all_findings
from convlab.probes.corruption import corruptions, figure, measure, settings
from convlab.probes.corruption.corruptions import corrupted
from convlab.probes.measured import Measured
from convlab.probes.tables import all_contrasts, all_curves, with_claim_values
from convlab.results.family import confirmatory_family
from convlab.study.load import load_study
from convlab.study.registration import content, entries

ALL = [
    (kind, severity)
    for kind, (_, parameters) in corruptions.KINDS.items()
    for severity in range(1, len(parameters) + 1)
]
SHAPES = [(6, 8, 8, 1), (6, 28, 28, 1), (6, 32, 32, 3), (6, 9, 14, 3)]


def images_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Smooth random images, as photographs are, so that blur and JPEG have something to keep."""
    coarse = np.random.default_rng(seed).integers(0, 256, (shape[0], -(-shape[1] // 4), -(-shape[2] // 4), shape[3]))
    return np.kron(coarse, np.ones((1, 4, 4, 1)))[:, : shape[1], : shape[2]].astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Images


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_every_severity_gives_images_of_the_same_form_and_severity_0_the_clean_bytes(kind, shape):
    images = images_of(shape)
    before = images.copy()
    assert corrupted(images, kind, 0).tobytes() == images.tobytes()
    for severity in range(1, len(corruptions.KINDS[kind].parameters) + 1):
        changed = corrupted(images, kind, severity)
        assert changed.dtype == np.uint8 and changed.shape == shape
        assert (changed != images).any()
    assert (images == before).all(), "the test images themselves stay as they are"


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_an_image_becomes_the_same_whatever_stands_beside_it(kind, monkeypatch):
    images = images_of((7, 12, 12, 1))
    severity = len(corruptions.KINDS[kind].parameters)
    together = corrupted(images, kind, severity)
    order = [4, 0, 6]
    assert (corrupted(images[order], kind, severity) == together[order]).all()
    monkeypatch.setattr(corruptions, "VALUES_AT_ONCE", 150)
    assert (corrupted(images, kind, severity) == together).all(), "in parts as at once"


@pytest.mark.parametrize("kind", [kind for kind in corruptions.KINDS if kind not in settings.WITHOUT_DEGREES])
def test_a_higher_severity_changes_images_more(kind):
    images = images_of((20, 28, 28, 1))
    distances = [
        np.abs(corrupted(images, kind, severity).astype(float) - images).mean() for severity in range(1, 6)
    ]  # fmt: skip
    assert distances == sorted(distances) and distances[0] < distances[-1]


def test_kinds_do_what_they_are_called():
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[0, 4, 1] = [200, 100, 50]
    assert (corrupted(image, "inversion", 1) == 255 - image).all()
    assert (corrupted(image, "horizontal_flip", 1)[0, 4, 7] == [200, 100, 50]).all()
    assert (corrupted(image, "vertical_flip", 1) == image).all()
    spread = corrupted(image, "gaussian_blur", 5)[0, :, :, 0].astype(int)
    assert spread[4, 1] < 200 and spread[4, 2] == spread[3, 1] > 0
    brighter = corrupted(image, "brightness", 5)[0, 4, 1].astype(int)
    assert brighter[0] == 255 and brighter[1] == pytest.approx(127.5, abs=1), "hue and saturation stay"
    grey = corrupted(np.full((1, 8, 8, 1), 100, np.uint8), "contrast", 5)
    assert (grey == 100).all(), "the mean stays"


def test_noise_has_the_strength_of_its_source():
    grey = np.full((1, 128, 128, 1), 128, np.uint8)
    noise = corrupted(grey, "gaussian_noise", 5).astype(float) - 128
    assert noise.std() == pytest.approx(0.10 * 255, rel=0.05) and abs(noise.mean()) < 0.5
    shot = corrupted(grey, "shot_noise", 5).astype(float)
    assert shot.std() == pytest.approx(255 * np.sqrt(128 / 255 / 50), rel=0.05)
    impulses = corrupted(grey, "impulse_noise", 5)
    assert np.mean(impulses != 128) == pytest.approx(0.07, abs=0.01) and set(np.unique(impulses)) == {0, 128, 255}


def test_a_map_that_turns_nothing_is_the_image_and_a_quarter_turn_is_exact():
    images = images_of((2, 8, 8, 1)).astype(np.float32) / 255
    np.testing.assert_allclose(corruptions.warped(images, np.eye(2), "black"), images, atol=1e-6)
    quarter = corruptions.warped(images, np.array([[0, -1], [1, 0]]), "black")
    np.testing.assert_allclose(quarter, np.rot90(images, -1, axes=(2, 1)), atol=1e-6)


def test_corners_that_rotation_leaves_are_black_or_the_edge():
    white = np.full((3, 16, 16, 1), 255, np.uint8)
    assert (corrupted(white, "rotation", 5)[:, 0, 0] == 0).all()
    assert (corrupted(white, "rotation", 5, "edge") == 255).all()


def test_settings_and_images_know_the_same_kinds_and_severities():
    assert list(settings.KINDS) == list(corruptions.KINDS)
    lengths = {kind: len(parameters) for kind, (_, parameters) in corruptions.KINDS.items()}
    assert lengths == {kind: 1 if kind in settings.WITHOUT_DEGREES else settings.SEVERITIES for kind in settings.KINDS}
    for kind, severity in ALL:
        assert settings.kind_and_severity(settings.order_of(kind, severity)) == (kind, severity)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def test_the_draw_keeps_the_classes_proportions_and_a_smaller_one_is_part_of_a_larger_one():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    fifty, hundred = measure.drawn(labels, 50), measure.drawn(labels, 100)
    assert np.bincount(labels[hundred]).tolist() == [60, 30, 10]
    assert set(fifty) <= set(hundred) and len(fifty) == 50
    assert measure.drawn(labels, 5000).tolist() == list(range(1000))


def a_network(seed: int, threshold: float) -> Network:
    """Class 1 where the mean pixel is above a threshold."""

    def predict(images: np.ndarray) -> np.ndarray:
        bright = images.reshape(len(images), -1).mean(axis=1) > threshold
        return np.stack([~bright, bright], axis=1).astype(np.float32)

    return Network(seed, None, predict)


def test_every_network_sees_every_kind_and_the_first_image_is_kept_as_each_severity_has_it():
    images = np.repeat(np.array([40, 200], np.uint8), 10)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    labels = np.repeat([0, 1], 10)
    options = {"kinds": ["contrast", "inversion"], "severities": [2, 5], "images": 12, "fill": "black"}
    rows, arrays = measure.inspect([a_network(1, 128), a_network(2, 0)], images, labels, options)
    frame = pd.DataFrame(rows).set_index(["seed", "kind", "severity"])["accuracy"]
    assert len(frame) == 2 * 4 and {row["images"] for row in rows} == {12}
    assert frame[1, "clean", 0] == 1 and frame[1, "contrast", 5] == 1 and frame[1, "inversion", 1] == 0
    assert frame[2, "clean", 0] == 0.5
    assert arrays["clean"].shape == (1, 8, 8, 1) and arrays["contrast"].shape == (2, 8, 8, 1)
    assert (arrays["inversion"][0] == 255 - arrays["clean"][0]).all()


# ---------------------------------------------------------------------------------------------------------------------
# Tables, claims, words

OPTIONS = {"kinds": ["gaussian_noise", "shot_noise", "impulse_noise", "inversion"], "severities": [1, 3]}
LABELS = {"cnn": "CNN", "dense": "Dense", "cnn-kernel_size-5x5": "CNN 5×5"}


def study_with(*rules: str, **options):
    claims = [{"id": f"c{number}", "text": "It holds.", "rule": rule} for number, rule in enumerate(rules)]
    return load_study({**TINY, "probes": {"corruption": {**OPTIONS, **options}}, "claims": claims})


def results_of(errors: dict[str, float], scatter: float = 0.002, diverged: tuple[str, int] | None = None, n: int = 3):
    """Runs, and what the probe measured: the error of each variant under corruption, a tenth of it on clean images."""
    runs, rows = [], []
    for variant, error in errors.items():
        for seed in range(1, n + 1):
            finished = (variant, seed) != diverged
            run = {"dataset": "digits", "variant": variant, "seed": seed}
            status = "finished" if finished else "diverged"
            runs.append(run | {"test_accuracy": 0.9 if finished else None, "status": status})
            for kind, severity in [
                ("clean", 0),
                *((k, s) for k in OPTIONS["kinds"][:3] for s in (1, 3)),
                ("inversion", 1),
            ]:
                value = 1 - (error if severity else error / 10) + scatter * (seed - 2) * (1 + len(variant) % 3)
                if finished:
                    rows.append(run | {"kind": kind, "severity": severity, "images": 100, "accuracy": value})
    return pd.DataFrame(runs), {"corruption": Measured(pd.DataFrame(rows))}


def test_the_corruption_error_is_the_ratio_of_summed_errors_within_a_seed():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3}, scatter=0)
    rows = all_contrasts(runs, study_with().plan, measured).set_index(["variant", "reference", "measure"])["difference"]
    assert [", " in measure for _variant, _reference, measure in rows.index] == [False] * 8 + [True] * 16
    assert rows["cnn", "dense", "corruption error"] == pytest.approx(0.2 / 0.4 - 1)
    assert rows["cnn", "dense", "relative corruption error"] == pytest.approx(0.18 / 0.36 - 1)
    assert rows["cnn", "dense", "accuracy"] == pytest.approx(0.2)
    assert rows["cnn", "dense", "accuracy lost"] == pytest.approx(-0.18)
    assert rows["cnn-kernel_size-5x5", "cnn", "corruption error, shot_noise"] == pytest.approx(0.3 / 0.2 - 1)


def test_a_reference_that_makes_no_error_gives_no_ratio():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.0, "cnn-kernel_size-5x5": 0.3}, scatter=0)
    rows = all_contrasts(runs, study_with().plan, measured)
    measures = set(rows.loc[rows["reference"] == "dense", "measure"])
    assert "accuracy" in measures and not any("error" in name for name in measures)


def test_of_one_kind_none_is_said_to_leave_least():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    rows = measured["corruption"].table
    measured = {"corruption": Measured(rows[rows["kind"].isin(["clean", "shot_noise"])])}
    plan = study_with().plan
    curves, contrasts = (make(runs, plan, measured) for make in (all_curves, all_contrasts))
    text = all_findings(curves, contrasts, LABELS, "digits", 0.005)["corruption"][0].text
    assert text.endswith("on average under shot noise.")


def test_kinds_on_which_the_reference_makes_no_error_are_named_as_left_out():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    rows = measured["corruption"].table
    perfect = rows["variant"].eq("dense") & rows["kind"].eq("inversion") & rows["seed"].eq(2)
    measured = {"corruption": Measured(rows.assign(accuracy=rows["accuracy"].where(~perfect, 1.0)))}
    plan = study_with().plan
    for given, left_out in ((measured, True), ({"corruption": Measured(rows)}, False)):
        curves, contrasts = (make(runs, plan, given) for make in (all_curves, all_contrasts))
        results = all_findings(curves, contrasts, LABELS, "digits", 0.005)["corruption"]
        (text,) = [finding.text for finding in results if "mCE) of CNN, with that of Dense" in finding.text]
        assert ("1 kind is left out of it, since Dense makes no error there in some seed." in text) == left_out


def test_curves_have_clean_images_every_severity_each_kind_and_all_kinds():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    rows = all_curves(runs, study_with().plan, measured)
    of_cnn = rows[rows["variant"] == "cnn"].set_index("level")
    assert list(of_cnn.index) == [
        "clean", "gaussian_noise, 1", "gaussian_noise, 3", "gaussian_noise", "shot_noise, 1", "shot_noise, 3",
        "shot_noise", "impulse_noise, 1", "impulse_noise, 3", "impulse_noise", "inversion", "all kinds",
    ]  # fmt: skip
    assert of_cnn.loc["all kinds", "mean"] == pytest.approx(0.8) and of_cnn.loc["clean", "mean"] == pytest.approx(0.98)


def test_a_diverged_run_is_counted_and_left_out():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3}, diverged=("dense", 2))
    plan = study_with().plan
    curves, contrasts = (make(runs, plan, measured) for make in (all_curves, all_contrasts))
    assert set(curves.loc[curves["variant"] == "dense", "n_diverged"]) == {1}
    assert set(contrasts.loc[contrasts["reference"] == "dense", "n_diverged"]) == {1}
    assert set(contrasts.loc[contrasts["reference"] == "cnn", "n_diverged"]) == {0}


def test_a_variant_without_finished_runs_is_named():
    runs, measured = results_of({"cnn": 0.2, "cnn-kernel_size-5x5": 0.3})
    lost = runs.head(3).assign(variant="dense", test_accuracy=None, status="diverged")
    runs, plan = pd.concat([runs, lost]), study_with().plan
    curves, contrasts = (make(runs, plan, measured) for make in (all_curves, all_contrasts))
    text = " ".join(f.text for f in all_findings(curves, contrasts, LABELS, "digits", 0.005)["corruption"])
    assert "Dense has no finished run to show corrupted images to." in text and "minus that of Dense" not in text


def test_a_claim_is_decided_by_what_the_probe_measured_seed_by_seed():
    study = study_with(
        "accuracy_under(noise, 3)(cnn) - accuracy_under(noise, 3)(dense) > 0",
        "accuracy_under(inversion)(cnn) < 50 %",
        "accuracy_under(shot_noise, 1)(cnn) ~ 80 % ± 2 pp",
    )
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    with_values = with_claim_values(runs, study.plan, measured)
    family = confirmatory_family(with_values, study.plan, 0.005)
    results = [family.claims["digits", f"c{number}"] for number in range(3)]
    assert [result.verdict for result in results] == ["supported", "contradicted", "supported"]
    assert float(results[0].link.value) == pytest.approx(0.2) and results[0].link.unit == "pp"
    assert len(with_values) == len(runs) and results[0].link.n_seeds == 3


def test_a_diverged_run_counts_with_the_worst_accuracy_in_a_claim():
    plan = study_with("accuracy_under(noise, 3)(cnn) - accuracy_under(noise, 3)(dense) > 0").plan
    for diverged, verdict in ((("cnn", 2), "inconclusive"), (("dense", 2), "supported")):
        errors = {"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3}
        runs, measured = results_of(errors, diverged=diverged, n=4)
        result = confirmatory_family(with_claim_values(runs, plan, measured), plan, 0.005).claims["digits", "c0"]
        assert (result.verdict, result.link.n_seeds, result.link.n_missing) == (verdict, 3, 1)


@pytest.mark.parametrize(
    ("rule", "options", "sentence"),
    [
        ("accuracy_under(noise, 6)(cnn) > 0", {}, "measures noise at severity 1 and 3, not 6"),
        ("accuracy_under(noise, 2)(cnn) > 0", {}, "measures noise at severity 1 and 3, not 2"),
        ("accuracy_under(nose, 3)(cnn) > 0", {}, "'nose' is no kind of corruption, did you mean 'noise'?"),
        ("accuracy_under(contrast, 3)(cnn) > 0", {}, "does not measure contrast; add to probes.corruption.kinds"),
        ("accuracy_under(noise)(cnn) > 0", {}, "takes a kind and a severity; write accuracy_under(noise, 3)(variant)"),
        (
            "accuracy_under(cnn) > 0",
            {},
            "accuracy_under lacks its arguments; write accuracy_under(kind, severity)(cnn)",
        ),
        ("accuracy_under(noise, 3)(dense) > 0", {"models": ["cnn"]}, "the probe corruption measures cnn, not 'dense'"),
        ("accuracy_shifted(2)(cnn) > 0", {}, "accuracy_shifted is measured by the probe translation, which is off"),
        ("test_accuracy(noise)(cnn) > 0", {}, "test_accuracy takes no arguments; write test_accuracy(cnn)"),
        ("accuracy_under(noise,)(cnn) > 0", {}, "an argument of accuracy_under is empty"),
    ],
)
def test_a_claim_about_what_is_not_measured_is_refused_before_anything_runs(rule, options, sentence):
    with pytest.raises(UserError, match=r"^claims\.c0, character 1 of its rule: ") as caught:
        study_with(rule, **options).plan  # noqa: B018
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"severities": [6]}, "probes.corruption.severities[0] should be less than or equal to 5 (it is 6)"),
        ({"kinds": ["fog"]}, "probes.corruption.kinds[0] should be gaussian_noise"),
        ({"kinds": []}, "probes.corruption.kinds is empty"),
        ({"images": 101}, "probes.corruption.images is 101, but digits has 100 test images; choose at most that"),
        ({"fill": "wrap"}, "probes.corruption.fill should be black or edge"),
        ({"models": ["x"]}, "probes.corruption.models names 'x', which is no variant"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_runs(options, sentence):
    with pytest.raises(UserError) as caught:
        study_with(**options).plan  # noqa: B018
    assert sentence in str(caught.value)


def test_images_too_small_to_turn_are_refused():
    with pytest.raises(UserError, match=r"cannot blur or turn images of d \(2×9 pixels\); it needs 4 pixels"):
        settings.SETTINGS().check_images("d", 2, 9)


def test_what_a_claim_rests_on_is_registered_with_it():
    rule = "accuracy_under(noise, 3)(cnn) > 0.5"
    entry = {entry.name: entry for entry in entries(study_with(rule))}["c0"]
    (link,) = entry.content["rule"]
    assert link["left"]["probe"] == "corruption" and entry.tested
    kinds = ["gaussian_noise", "shot_noise", "impulse_noise"]
    assert link["left"]["measured_with"] == {"kinds": kinds, "severity": 3, "images": 500}
    same = content(study_with("accuracy_under( noise ,3 )( cnn ) > 0.5", severities=[3], fill="edge"))
    assert same == content(study_with(rule)), "what the claim does not rest on may change"
    assert content(study_with(rule, images=50)) != same


def test_a_model_that_was_trained_on_flips_is_said_to_have_been():
    training = {**TINY["training"], "augmentation": {"flip": "both", "rotation": 10}}
    plan = load_study({**TINY, "training": training, "probes": ["corruption"]}).plan
    text = figure.caption(plan.probes["corruption"], plan, 100, 100)
    assert text.startswith("Accuracy on all 100 test images, corrupted by")
    for kind in ("rotation", "horizontal flip", "vertical flip"):
        assert f"Trained on images with {kind} too (augmentation): " in text
    assert "No variant has" not in text
    plan = study_with().plan
    text = figure.caption(plan.probes["corruption"], plan, 60, 100)
    assert text.startswith("Accuracy on 60 test images, a fixed draw in the classes' proportions, corrupted by")
    assert "No variant has an augmentation that corrupts images in these ways." in text
    assert "shuffled" not in text


def test_images_of_a_variant_with_shuffled_pixels_are_corrupted_before_their_pixels_are_shuffled():
    images, seen = images_of((6, 8, 8, 1)), []

    def probabilities(given: np.ndarray) -> np.ndarray:
        seen.append(given)
        return np.eye(2)[np.zeros(len(given), int)]

    network = Network(1, None, probabilities, partial(permute_pixels, block=1))
    options = {"kinds": ["gaussian_blur"], "severities": [5], "images": 6, "fill": "black"}
    _rows, examples = measure.inspect([network], images, np.arange(6) % 2, options)
    clean, blurred = seen
    assert (clean == permute_pixels(images, 1)).all()
    assert (blurred == permute_pixels(corrupted(images, "gaussian_blur", 5), 1)).all()
    assert (examples["clean"] == images[:1]).all(), "shown as people see them"
    experiment = {"base": "cnn", "factor": "pixel_permutation", "levels": [None, 1]}
    plan = load_study({**TINY, "experiments": {"pixels": experiment}, "probes": ["corruption"]}).plan
    text = figure.caption(plan.probes["corruption"], plan, 60, 100)
    assert "Pixels are shuffled after that, as they were in training, for " in text and "3×3" not in text


def test_fewer_than_three_seeds_infer_nothing():
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    runs = runs[runs["seed"] < 3]
    plan = study_with().plan
    curves, contrasts = (make(runs, plan, measured) for make in (all_curves, all_contrasts))
    text = " ".join(f.text for f in all_findings(curves, contrasts, LABELS, "digits", 0.005)["corruption"])
    assert "points only, nothing inferred" in text
    for word in ("ahead", "behind", "more accurate", "Kind by kind"):
        assert word not in text


def test_equal_accuracies_are_told_as_equal_and_a_ratio_with_its_interval():
    runs, measured = results_of({"cnn": 0.4, "dense": 0.4, "cnn-kernel_size-5x5": 0.3}, scatter=0.0005)
    plan = study_with().plan
    curves, contrasts = (make(runs, plan, measured) for make in (all_curves, all_contrasts))
    findings = all_findings(curves, contrasts, LABELS, "digits", 0.005)["corruption"]
    text = next(f.text for f in findings if "CNN minus that of Dense" in f.text)
    assert "On these corrupted images they are equally accurate within ± 0.5 pp." in text
    ratio = next(f for f in findings if "(mCE) of CNN, with that of Dense as 100 %" in f.text)
    assert "is 100.00 % (95 % CI 99." in ratio.text and ratio.kind == "exploratory"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figures_show_every_kind_that_was_measured_at_its_severities(channels):
    images = images_of((8, 12, 8, channels))
    options = {**OPTIONS, "images": 8, "fill": "black"}
    _rows, examples = measure.inspect([a_network(1, 128)], images, np.arange(8) % 2, options)
    severities = {kind: [1] if kind == "inversion" else [1, 3] for kind in OPTIONS["kinds"]}
    sheet = figure.sheet_of(examples, severities)
    texts = [text.get_text() for text in sheet.axes[0].texts]
    assert texts.count("3") == 3 and "Shot noise\nclean" in texts and texts[-1] == "changed"
    groups = list(figure.tiles(examples, OPTIONS["kinds"]))
    assert [(group.title, len(group.images)) for group in groups] == [
        ("Gaussian noise", 3), ("Shot noise", 3), ("Impulse noise", 3), ("Inversion", 2)
    ]  # fmt: skip
    runs, measured = results_of({"cnn": 0.2, "dense": 0.4, "cnn-kernel_size-5x5": 0.3})
    curves = all_curves(runs, study_with().plan, measured)
    chart = figure.draw(curves, LABELS, {name: number for number, name in enumerate(LABELS)})
    drawn = {axis.get_title(): [int(x) for x in axis.get_xticks()] for axis in chart.axes if axis.get_title()}
    assert drawn == {name: [0, 1, 3] for name in ("Gaussian noise", "Shot noise", "Impulse noise")} | {
        "Inversion": [0, 1]
    }
    plt.close("all")
