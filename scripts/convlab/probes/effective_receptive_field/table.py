"""Tables of the effective receptive field: sides of squares that hold shares of the gradient, differences of levels."""

import math
from collections.abc import Iterator

import pandas as pd

from convlab.common.i18n import N_
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS, Measure, level_pairs, paired_contrast, point
from convlab.probes.measured import Measured
from convlab.results.by_seed import common_seeds
from convlab.results.columns import FRACTION, Column
from convlab.study.variants import Plan, Probe

PIXELS = (0.0, math.inf)
"""Smallest and largest side."""

CHANGES = (-math.inf, math.inf)
"""Smallest and largest difference of sides."""

AREA_SHARE = 0.9
"""Share of the gradient whose square is set against the area of the closed form."""

COMPARED_SHARES = (0.5, 0.9, 0.99)
"""Shares of the gradient by which levels are compared."""

MEASURES = {
    "side": Measure(N_("side of the square, px"), PIXELS, is_share=False),
    "untrained side": Measure(N_("side of the square, untrained, px"), PIXELS, is_share=False),
    "closed form": Measure(N_("receptive field by the closed form, px"), PIXELS, is_share=False),
    "closed form in the image": Measure(N_("the same, within the image, px"), PIXELS, is_share=False),
    "area share": Measure(N_("square's share of the closed form's area in the image")),
}

MEASURED = {
    "network": Column("text", "`trained`, or `untrained` for newly drawn weights"),
    "share": Column("number", "share of the absolute gradient of a central unit; 1 is all of it", FRACTION),
    "side": Column("number", "side of the smallest square that holds this share, mean over the units", "pixels"),
    "units": Column("integer", "central units of the last feature map: 1, 2 or 4"),
}

CONTRASTS = {
    "side 50 %": N_("side of the square with 50 %"),
    "side 90 %": N_("side of the square with 90 %"),
    "side 99 %": N_("side of the square with 99 %"),
    "trained − untrained": N_("side of the square with 90 %, trained − untrained"),
}

CONTRAST_UNITS = dict.fromkeys(CONTRASTS, "px")


def curves(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Sides by share of the gradient, trained and untrained, and the closed form; a row without values for a variant
    that has no feature map or no finished run."""
    return pd.DataFrame(_points(probe, runs, measured), columns=CURVE_COLUMNS)


def _points(probe: Probe, runs: pd.DataFrame, measured: Measured) -> Iterator[dict]:
    sides = measured.table
    for (dataset, variant), of_variant in runs[runs["variant"].isin(probe.models)].groupby(["dataset", "variant"]):
        rows = sides[(sides["dataset"] == dataset) & (sides["variant"] == variant)]
        trained = of_variant["seed"]
        if rows.empty:
            absent = [math.nan] * int(of_variant["test_accuracy"].isna().sum())
            yield point(dataset, probe.name, variant, "side", "", 0.0, absent)
            continue
        for (network, share), group in rows.groupby(["network", "share"]):
            name = "side" if network == "trained" else "untrained side"
            values = group.set_index("seed")["side"].reindex(trained)
            yield point(dataset, probe.name, variant, name, share_text(share), share, values)
        field = of_variant["receptive_field"].iloc[0]
        image = measured.arrays(dataset, variant)["trained"].shape
        for name, value in (("closed form", field), ("closed form in the image", min(field, max(image)))):
            yield point(dataset, probe.name, variant, name, "", 0.0, [value] * len(trained))
        most = rows[(rows["network"] == "trained") & (rows["share"] == AREA_SHARE)]
        sides_of_runs = most.set_index("seed")["side"].reindex(trained)
        areas = [area_share(side, field, image) for side in sides_of_runs]
        yield point(dataset, probe.name, variant, "area share", share_text(AREA_SHARE), AREA_SHARE, areas)


def contrasts(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> pd.DataFrame:
    """Sides of each variant minus those of the reference of its question, and of trained minus untrained networks."""
    return pd.DataFrame(_differences(probe, runs, plan, measured), columns=CONTRAST_COLUMNS)


def _differences(probe: Probe, runs: pd.DataFrame, plan: Plan, measured: Measured) -> Iterator[dict]:
    for dataset, rows in measured.table.groupby("dataset", sort=False):
        of_dataset = runs[runs["dataset"] == dataset]
        wide = rows.pivot(index="seed", columns=["variant", "network", "share"], values="side")
        for variant in wide.columns.unique("variant"):
            change = wide[variant, "trained", 0.9] - wide[variant, "untrained", 0.9]
            values = change.reindex(common_seeds(of_dataset, [variant]))
            yield {"dataset": dataset, "probe": probe.name, "variant": variant, "reference": "",
                   "measure": "trained − untrained", **paired_contrast(values, CHANGES)}  # fmt: skip
        for variant, reference in level_pairs(probe, plan):
            if not {variant, reference} <= set(wide.columns.unique("variant")):
                continue
            for share in COMPARED_SHARES:
                difference = wide[variant, "trained", share] - wide[reference, "trained", share]
                values = difference.reindex(common_seeds(of_dataset, [variant, reference]))
                yield {"dataset": dataset, "probe": probe.name, "variant": variant, "reference": reference,
                       "measure": f"side {share_text(share)}", **paired_contrast(values, CHANGES)}  # fmt: skip


def area_share(side: float, field: float, image: tuple[int, int]) -> float:
    """A square's area as a share of the closed form's, both as far as they are in an image (height, width)."""
    return math.prod(min(side, length) / min(field, length) for length in image)


def share_text(share: float) -> str:
    """A share of the gradient in tables: ``90 %``."""
    return f"{100 * share:.0f} %"
