"""Similarity of representations: CKA by its properties and a second formula, seeds as units, what is said of it."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from builders.measured import MeasuredInMemory
from builders.project import CNN_5X5, TINY
from convlab.figures.study import DatasetResults
from convlab.models.families.conv import Conv
from convlab.models.families.dense import Dense
from convlab.probes.measured import Measured
from convlab.probes.similarity import figure, findings, table
from convlab.statistics.describe import summarise
from convlab.statistics.pairs import pseudo_values
from convlab.study.load import load_study

PLAN = load_study({**TINY, "probes": ["similarity"]}).plan
PROBE = PLAN.probes["similarity"]
LABELS = {name: variant.label for name, variant in PLAN.variants.items()}
N_IMAGES = 60


def vector(features: np.ndarray) -> np.ndarray:
    from convlab.probes.similarity.measure import u_centred

    return u_centred(features).astype(np.float32)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    return float(table.cka(vector(first)[np.newaxis], vector(second)[np.newaxis])[0, 0])


def hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased HSIC of two linear kernels, by the formula of Song et al. (2012), as Nguyen et al. (2021) print it."""
    n = len(first)
    gram, other = first @ first.T, second @ second.T
    np.fill_diagonal(gram, 0)
    np.fill_diagonal(other, 0)
    terms = np.trace(gram @ other) + gram.sum() * other.sum() / ((n - 1) * (n - 2))
    terms -= 2 * (gram @ other).sum() / (n - 2)
    return terms / (n * (n - 3))


@pytest.fixture
def generator():
    return np.random.default_rng(7)


def test_similarity_is_one_with_itself_turned_and_scaled(generator):
    features = generator.normal(size=(N_IMAGES, 12)) @ generator.normal(size=(12, 12))
    turned = features @ np.linalg.qr(generator.normal(size=(12, 12)))[0]
    assert similarity(features, features) == pytest.approx(1, abs=1e-4)
    assert similarity(features, 1e-4 * turned + 3) == pytest.approx(1, abs=1e-4)
    assert similarity(features, features @ np.diag(np.arange(12))) < 0.99, "not to any linear map"


def test_similarity_is_that_of_the_second_formula(generator):
    first = generator.normal(size=(N_IMAGES, 30))
    second = first[:, :10] + generator.normal(size=(N_IMAGES, 10))
    expected = hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))
    assert 0.2 < expected < 0.8
    assert similarity(first, second) == pytest.approx(expected, abs=1e-3)


def test_unrelated_features_have_no_similarity_on_average_however_many_there_are(generator):
    values = [
        similarity(generator.normal(size=(N_IMAGES, 500)), generator.normal(size=(N_IMAGES, 500))) for _ in range(40)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40) + 1e-3
    assert min(values) < 0 < max(values) and np.abs(values).max() < 0.15, "the biased estimate is about 0.9 here"


def test_images_that_a_layer_does_not_tell_apart_have_no_similarity():
    assert np.isnan(vector(np.ones((N_IMAGES, 4)))).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_images_have_no_similarity(generator, n):
    assert np.isnan(vector(generator.normal(size=(n, 5)))).all()
    curves, contrasts = tables(0.0)
    curves = curves.assign(mean=np.nan, ci_low=np.nan, ci_high=np.nan)
    texts = [finding.text for finding in findings.findings(curves, contrasts.iloc[:0], LABELS, 0.005)]
    assert all("fewer than two finished runs whose last hidden layers can be compared" in text for text in texts)


def test_large_maps_are_averaged_over_blocks():
    from convlab.probes.similarity.measure import block_means

    maps = np.arange(2 * 64 * 40 * 3, dtype=np.float32).reshape(2, 64, 40, 3)
    means = block_means(maps)
    assert means.shape == (2, 32, 20, 3)
    np.testing.assert_allclose(means[0, 0, 0], maps[0, :2, :2].mean(axis=(0, 1)))
    assert block_means(maps[:, :32, :32]) is not maps and block_means(maps[:, :32, :32]).shape == (2, 32, 32, 3)


def test_the_layers_of_a_network_are_its_convolutions_and_the_last_hidden_one():
    from convlab.evaluation.networks import Network
    from convlab.probes.similarity import measure
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build

    keras.utils.set_random_seed(1)  # else the five hidden units may all be dead
    spec = Conv(family="conv", filters=[4, 4, 6], norm="batch", dense_units=[5])
    networks = [Network(seed, build(spec, (8, 8, 1), 3), None) for seed in (1, 2, 3, 4)]
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    rows, arrays = measure.inspect(networks, images, None, {"images": 10, "layers": 2})
    assert [(row["layer"], row["order"], row["features"]) for row in rows[:3]] == [
        ("conv_1", 1, 256), ("conv_3", 3, 24), ("last_hidden", 0, 5)
    ]  # fmt: skip
    assert arrays["trained"].shape == (4, 3, 45) and arrays["untrained"].shape == (3, 3, 45)
    assert arrays["seeds"].tolist() == [1, 2, 3, 4] and arrays["trained"].dtype == np.float16
    np.testing.assert_allclose((arrays["trained"][0].astype(np.float32) ** 2).mean(axis=1), 1, rtol=1e-3)
    dense = Network(1, build(Dense(family="dense", units=[4]), (8, 8, 1), 3), None)
    assert [row["layer"] for row in measure.inspect([dense], images, None, {"images": 10, "layers": 2})[0]] == [
        "last_hidden"
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Seeds as units


def test_pseudo_values_are_those_of_leaving_out_one_unit_of_a_mean_over_pairs(generator):
    values = generator.normal(size=(5, 5))

    def mean(kept):
        return np.mean([values[i, j] for i in kept for j in kept if i != j])

    every = list(range(5))
    expected = [5 * mean(every) - 4 * mean([u for u in every if u != unit]) for unit in every]
    np.testing.assert_allclose(pseudo_values(values), expected)
    assert pseudo_values(values).mean() == pytest.approx(mean(every))
    assert len(pseudo_values(values[:1, :1])) == 0
    np.testing.assert_allclose(pseudo_values(values[:2, :2]), [(values[0, 1] + values[1, 0]) / 2] * 2)


@pytest.mark.parametrize(("distance", "least", "most"), [(0.0, 0.0, 0.025), (9.0, 0.9, 1.0)])
def test_variants_that_differ_by_no_more_than_seeds_are_rarely_told_apart(generator, distance, least, most):
    """Two variants whose vectors scatter alike over five seeds, ``distance`` standard deviations apart."""
    below = 0
    for _study in range(400):
        first, second = generator.normal(size=(2, 5, 30))
        second[:, 0] += distance
        below += summarise(pseudo_values(table.beside_seeds(first, second))).ci_high < 0
    assert least <= below / 400 <= most


# ---------------------------------------------------------------------------------------------------------------------
# Tables and findings


def layers_with(apart: float, seeds=(1, 2, 3), images: int = 40) -> tuple[pd.DataFrame, Measured]:
    """Runs and stored layers: each network is what all share, a part of its seed, and ``apart`` times its variant's."""
    generator = np.random.default_rng(3)
    shared = {name: generator.normal(size=(images, 8)) for name in ("conv_1", "last_hidden")}
    rows, runs, held = [], [], {}
    for variant, names in (("dense", ["last_hidden"]), ("cnn", ["conv_1", "last_hidden"]),
                           (CNN_5X5, ["conv_1", "last_hidden"])):  # fmt: skip
        own = {name: generator.normal(size=(images, 8)) for name in names}
        networks = {
            kind: np.array([
                [vector(shared[name] + apart * own[name] + 0.2 * generator.normal(size=(images, 8))) for name in names]
                for _seed in seeds
            ])
            for kind in ("trained", "untrained")
        }  # fmt: skip
        held["digits", variant] = {"names": np.array(names), "seeds": np.array(seeds), **networks}
        for seed in seeds:
            runs.append({"dataset": "digits", "variant": variant, "seed": seed, "test_accuracy": 0.9})
            for name in names:
                rows.append({"dataset": "digits", "variant": variant, "seed": seed, "layer": name,
                             "order": int(name == "conv_1"), "features": 8})  # fmt: skip
    return pd.DataFrame(runs), MeasuredInMemory(pd.DataFrame(rows), held=held)


def tables(apart, seeds=(1, 2, 3)):
    runs, measured = layers_with(apart, seeds)
    return tuple(make(PROBE, runs, PLAN, measured) for make in (table.curves, table.contrasts))


@pytest.mark.parametrize(
    ("apart", "meaning"), [(1.5, "differently, beyond what the seed does."), (0.0, "cannot be told")]
)
def test_variants_are_told_apart_only_where_they_are_less_alike_than_seeds(apart, meaning):
    curves, contrasts = tables(apart)
    assert set(contrasts["measure"]) == {"similarity, conv_1", "similarity, last_hidden"}
    assert ("cnn", "dense", "similarity, conv_1") not in set(
        contrasts[["variant", "reference", "measure"]].itertuples(index=False, name=None)
    )
    texts = [finding.text for finding in findings.findings(curves, contrasts, LABELS, 0.005)]
    of_variants = [text for text in texts if text.startswith("Between")]
    assert len(of_variants) == 2 and all(meaning in text for text in of_variants)
    (text,) = [text for text in of_variants if "compared)" in text]
    assert ("No convolution of" in text) == (apart == 0)


def test_similarity_of_untrained_networks_stands_beside_that_of_seeds():
    curves, contrasts = tables(0.0)
    (text, *_others) = [
        finding.text
        for finding in findings.findings(curves, contrasts, LABELS, 0.005)
        if "two seeds of" in finding.text
    ]
    assert "untrained networks with the same layers" in text and "need not have been learned" in text
    lower = curves.assign(mean=curves["mean"].where(curves["measure"] != "untrained, between seeds", 0.1))
    texts = " ".join(finding.text for finding in findings.findings(lower, contrasts, LABELS, 0.005))
    assert "untrained networks" in texts and "need not have been learned" not in texts


def test_two_seeds_have_a_similarity_and_infer_nothing():
    curves, contrasts = tables(1.5, seeds=(1, 2))
    assert curves["mean"].notna().all()
    assert contrasts["ci_low"].isna().all() and curves["ci_low"].isna().all()
    text = " ".join(finding.text for finding in findings.findings(curves, contrasts, LABELS, 0.005))
    assert "nothing inferred" in text and "differently, beyond" not in text and "compared)" not in text


def test_seeds_without_a_finished_run_are_left_out_and_counted():
    runs, measured = layers_with(1.5)
    runs.loc[len(runs)] = {"dataset": "digits", "variant": "cnn", "seed": 4, "test_accuracy": None}
    runs.loc[len(runs)] = {"dataset": "digits", "variant": CNN_5X5, "seed": 4, "test_accuracy": 0.9}
    row = table.contrasts(PROBE, runs, PLAN, measured).set_index(["variant", "measure"]).loc[CNN_5X5]
    assert (row["n_seeds"] == 3).all() and (row["n_diverged"] == 1).all()


@pytest.mark.parametrize(("images", "drawn"), [(40, True), (3, False)])
def test_layers_without_a_similarity_are_not_drawn(tmp_path, images, drawn):
    runs, measured = layers_with(1.0, images=images)
    results = DatasetResults(
        load_study({**TINY, "probes": ["similarity"]}),
        *("digits", {"runs": runs.assign(probe=""), "variants": variants_table()}, None, tmp_path, [], "cnn"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = list(figure.figures(PROBE, results, table.curves(PROBE, runs, PLAN, measured), measured))
    assert ("probe-similarity-layers" in [file.name for file in files]) == drawn
    for file in files:
        plt.close(file.figure)


def variants_table() -> pd.DataFrame:
    return pd.DataFrame([{"dataset": "digits", "variant": name, "label": LABELS[name], "probe": ""} for name in LABELS])


@pytest.mark.parametrize(("most", "sentences"), [(2, ["1 more variant is not drawn."]), (3, [])])
def test_variants_that_have_no_place_in_a_figure_are_counted_in_its_caption(monkeypatch, tmp_path, most, sentences):
    monkeypatch.setattr(figure, "MAX_VARIANTS", most)
    runs, measured = layers_with(1.0)
    runs["probe"] = ""
    study = load_study({**TINY, "probes": ["similarity"]})
    results = DatasetResults(study, "digits", {"runs": runs, "variants": variants_table()}, None, tmp_path, [], "cnn")
    drawn = list(figure.figures(PROBE, results, table.curves(PROBE, runs, PLAN, measured), measured))
    (of_variants,) = [file for file in drawn if file.name == "probe-similarity-variants"]
    assert [sentence for sentence in sentences if sentence in of_variants.caption] == sentences
    assert ("not drawn" in of_variants.caption) == bool(sentences)
    for file in drawn:
        plt.close(file.figure)
