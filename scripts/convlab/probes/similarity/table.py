"""Tables of the similarity probe: CKA between seeds, to untrained networks, and between variants beside seeds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS, Measure, level_pairs, paired_contrast, point
from convlab.probes.measured import Measured
from convlab.results.by_seed import common_seeds
from convlab.results.columns import Column
from convlab.statistics.pairs import pseudo_values
from convlab.study.variants import Plan, Probe

CKA = (-1.0, 1.0)
"""Smallest and largest unbiased estimate; the similarity itself is not below 0."""

MEASURES = {
    "between seeds": Measure(N_("CKA between seeds"), CKA, is_share=False),
    "to untrained": Measure(N_("CKA of trained and untrained networks"), CKA, is_share=False),
    "untrained, between seeds": Measure(N_("CKA between untrained networks"), CKA, is_share=False),
}

MEASURED = {
    "layer": Column("text", "name of the convolution, or `last_hidden` for what the output layer takes"),
    "order": Column("integer", "number of the convolution in the network, from 1; 0 for the last hidden layer"),
    "features": Column("integer", "its outputs for an image, after the activation"),
}

CONTRASTS = {"similarity": N_("CKA between variants − between seeds")}

CONTRAST_UNITS = {"similarity": ""}


@dataclass(frozen=True)
class Layers:
    """Stored layers of a variant's networks.

    Attributes:
        orders: layer -> its number; 0 for the last hidden layer.
        seeds: of the trained runs.
        trained, untrained: (networks, layers, pairs of images), vectors whose dot products are CKA.
    """

    orders: dict[str, int]
    seeds: list[int]
    trained: np.ndarray
    untrained: np.ndarray

    def of(self, layer: str, seeds: Sequence[int] | None = None, trained: bool = True) -> np.ndarray:
        """float32 (networks, pairs of images) of one layer, of these seeds or of all networks; those without a
        representation, whose outputs are the same for all images, are left out."""
        stored = self.trained if trained else self.untrained
        kept = range(len(stored)) if seeds is None else [self.seeds.index(seed) for seed in seeds if seed in self.seeds]
        return stored[kept, list(self.orders).index(layer)].astype(np.float32)


def layers_of(measured: Measured, dataset: str, variant: str) -> Layers | None:
    """What was stored of a variant on a dataset; None for models without known layers or finished runs."""
    arrays = measured.arrays(dataset, variant)
    if "names" not in arrays:
        return None
    rows = measured.table[(measured.table["dataset"] == dataset) & (measured.table["variant"] == variant)]
    numbers = dict(zip(rows["layer"], rows["order"], strict=True))
    orders = {str(name): int(numbers[name]) for name in arrays["names"]}
    return Layers(orders, arrays["seeds"].tolist(), arrays["trained"], arrays["untrained"])


def cka(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CKA of each of the first vectors with each of the second ones: (n, pairs), (m, pairs) -> (n, m)."""
    return first @ second.T / first.shape[1]


def beside_seeds(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CKA of two variants minus that of two seeds of one of them, for each pair of different seeds: (seeds, seeds).

    In expectation it is zero where both represent the images alike, and else minus half of the squared distance
    of their mean vectors, since CKA is a dot product. Only different seeds are compared, within and between variants:
    the same seed gives both the same order of images and some of the first weights, which two seeds do not share.
    """
    return cka(first, second) - (cka(first, first) + cka(second, second)) / 2


def by_seed(pairs: np.ndarray, n_missing: int) -> list[float]:
    """Jackknife values by seed of a mean over pairs of seeds, NaN for those that are missing; see statistics.pairs."""
    finite = np.isfinite(pairs).any(axis=1)
    values = pseudo_values(pairs[np.ix_(finite, finite)])
    return [*values, *[math.nan] * (n_missing + int((~finite).sum()))]


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Similarities of each variant by layer; a row without values for a variant whose layers are not known."""
    return pd.DataFrame(_points(probe, runs, measured), columns=CURVE_COLUMNS)


def _points(probe: Probe, runs: pd.DataFrame, measured: Measured) -> Iterator[dict]:
    for (dataset, variant), of_variant in runs[runs["variant"].isin(probe.models)].groupby(["dataset", "variant"]):
        layers = layers_of(measured, dataset, variant)
        n_missing = int(of_variant["test_accuracy"].isna().sum())
        if layers is None:
            yield point(dataset, probe.name, variant, "between seeds", "", math.nan, [math.nan] * n_missing)
            continue
        for layer, order in layers.orders.items():
            trained, untrained = layers.of(layer), layers.of(layer, trained=False)
            to_untrained = cka(trained, untrained).mean(axis=1)
            values = {
                "between seeds": by_seed(cka(trained, trained), n_missing),
                "to untrained": [*to_untrained, *[math.nan] * n_missing],
                "untrained, between seeds": by_seed(cka(untrained, untrained), 0),
            }
            for measure, of_seeds in values.items():
                yield point(dataset, probe.name, variant, measure, layer, order, of_seeds)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """How much less alike two variants are than two seeds of one, for each layer that both have by its name."""
    return pd.DataFrame(_differences(probe, runs, plan, measured), columns=CONTRAST_COLUMNS)


def _differences(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> Iterator[dict]:
    for dataset, of_dataset in runs.groupby("dataset"):
        layers = {variant: layers_of(measured, dataset, variant) for variant in probe.models}
        for variant, reference in level_pairs(probe, plan):
            first, second = layers[variant], layers[reference]
            if first is None or second is None:
                continue
            common = common_seeds(of_dataset, [variant, reference])
            seeds = [seed for seed in common if seed in first.seeds and seed in second.seeds]
            for layer in (layer for layer in first.orders if layer in second.orders):
                pairs = beside_seeds(first.of(layer, seeds), second.of(layer, seeds))
                values = pd.Series(by_seed(pairs, len(common) - len(seeds)), dtype=float)
                yield {"dataset": dataset, "probe": probe.name, "variant": variant, "reference": reference,
                       "measure": f"similarity, {layer}", **paired_contrast(values, (-2.0, 2.0))}  # fmt: skip
