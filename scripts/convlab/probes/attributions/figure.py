"""Figures of the attributions probe: a grid of maps for each variant and method, with what its checks say."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.datasets import prepared
from convlab.figures.sheet import Sheet, raster
from convlab.figures.sprites import Group, diverging
from convlab.figures.study import DatasetResults, FigureFile
from convlab.language.numbers import missing, number, percent
from convlab.probes.attributions.settings import METHODS, Attributions
from convlab.probes.attributions.table import CHECKS, HIT, SIMILAR, by_method, only_strengths_fail, verdicts
from convlab.probes.charts import probe_figure
from convlab.probes.measured import Measured
from convlab.study import layout
from convlab.study.variants import Probe

LARGEST = 127
"""Value of a stored map's strongest pixel."""

MISSING_SHARE = 0.05
"""Share missing from the sum of integrated gradients from which on more steps are advised."""


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """The maps of every variant and method; nothing for a variant whose network cannot be looked into."""
    labels = prepared.load_test(layout.prepared(results.folder, results.dataset))[1]
    rows = measured.table
    for variant, of_variant in by_method(curves):
        arrays = measured.arrays(results.dataset, variant)
        seeds = rows.loc[(rows["dataset"] == results.dataset) & (rows["variant"] == variant), "seed"].unique()
        for method, name in METHODS.items():
            if method in arrays:
                names = [results.classes[label] for label in labels[arrays["index"]]]
                groups = groups_of(arrays, method, names)
                seeds_shown = list(seeds[: len(arrays[method])])
                heading = _("{method}: {model}", method=_(name)[0].upper() + _(name)[1:], model=results.labels[variant])
                yield probe_figure(
                    results,
                    probe,
                    drawn(groups),
                    heading,
                    caption(method, of_variant, probe.settings),
                    numbers=curves[(curves["variant"] == variant) & curves["level"].isin(["", name])],
                    suffix=f"{variant}-{method}",
                    images=groups,
                    reading=reading(seeds_shown, "planted_images" in arrays),
                )


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def groups_of(arrays: Mapping[str, np.ndarray], method: str, names: list[str]) -> list[Group]:
    """A row for each image: the image, its map by each run, and that of the untrained network; then planted images."""
    runs, untrained = arrays[method], arrays[f"{method}_untrained"]
    groups = [
        Group(np.stack([_colour(image), *map(_map, runs[:, row]), _map(untrained[row])]), names[row])
        for row, image in enumerate(arrays["images"])
    ]
    if "planted_images" in arrays:
        pairs = zip(arrays["planted_images"], arrays[f"{method}_planted"], strict=True)
        square = _colour(255 * arrays["planted_region"][..., np.newaxis].astype(np.uint8))
        tiles = [tile for image, values in pairs for tile in (_colour(image), square, _map(values))]
        groups.append(Group(np.stack(tiles), _("planted data")))
    return groups


def _colour(image: np.ndarray) -> np.ndarray:
    """An image uint8 (height, width, channels) with three channels, the first of other numbers of channels as grey."""
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, axis=-1)


def _map(values: np.ndarray) -> np.ndarray:
    return diverging(values.astype(np.float32), LARGEST)


def drawn(groups: list[Group]) -> Figure:
    """The rows of ``groups_of`` side by side in pairs, each with its title."""
    columns = max(len(group.images) for group in groups)
    sheet = Sheet(2 * columns * -(-len(groups) // 2), 2 * columns, above_each=0.16)
    for position, group in enumerate(groups):
        first = position * columns
        for tile, image in enumerate(group.images, start=first):
            sheet.show(tile, raster(image))
        sheet.title(first, group.title, fontsize=7)
    return sheet.figure


# ---------------------------------------------------------------------------------------------------------------------
# Words


def reading(seeds: list[int], with_planted: bool) -> str:
    """How to read a grid: what each tile is, and what its colours say."""
    order = ngettext(
        "From the left: the image, its map by the run with seed {seeds}, and that of the same network untrained.",
        "From the left: the image, its maps by the runs with seeds {seeds}, and that of the same network untrained.",
        len(seeds),
        seeds=listing(map(str, seeds)),
    )
    colours = _(
        "Red pixels speak for the image's true class, blue ones against it; each map has a scale of its own. What the "
        "untrained map shows too was not learned; what one run's map alone shows is chance."
    )
    planted = _(
        "Last, images of noise in which one square alone tells the class, where that square is, and their maps by a "
        "network that was trained on such images: they should be strong there."
    )
    return " ".join([order, colours, planted] if with_planted else [order, colours])


def caption(method: str, of_variant: Mapping[str, Mapping[str, Any]], settings: Attributions) -> str:
    """How the maps were made, and a sentence for each check."""
    rows, shared = of_variant.get(method, {}), of_variant.get("", {})
    sentences = [made_how(method, settings), *(check_text(check, rows, shared) for check in CHECKS)]
    if "incomplete" in rows and not missing(rows["incomplete"]["mean"]):
        share = rows["incomplete"]["mean"]
        sentences.append(_("The sum of a map misses {share} of what it should explain.", share=percent(share, 1)))
        if share > MISSING_SHARE:
            sentences.append(_("More steps (probes.attributions.steps) bring it closer."))
    return " ".join(sentences)


def made_how(method: str, settings: Attributions) -> str:
    colours = {"black": _("black"), "grey": _("grey"), "mean": _("the image's mean colour")}
    if method == "grad_cam":
        return _("Last feature map of a convolution, its channels weighted by their gradient, enlarged to the image.")
    if method == "integrated_gradients":
        return _(
            "Gradients summed along a line of {steps} points from {baseline} to the image, times the difference.",
            steps=settings.steps,
            baseline=colours[settings.baseline],
        )
    if settings.patch is None:
        return _(
            "How much the score falls where a square, a quarter of the image's shorter side, is covered with {fill}.",
            fill=colours[settings.fill],
        )
    return _(
        "How much the score falls where a square of {patch} px is covered with {fill}.",
        patch=settings.patch,
        fill=colours[settings.fill],
    )


def correlation(row: Mapping[str, Any]) -> str:
    """A rank correlation with its interval over seeds: ``0.12 (95 % CI 0.05 to 0.19)``."""
    mean, low, high = (number(row[name], 2) for name in ("mean", "ci_low", "ci_high"))
    return mean if missing(row["ci_low"]) else _("{mean} (95 % CI {low} to {high})", mean=mean, low=low, high=high)


CHECK_TEXTS = {
    ("randomised", "passed"): N_(
        "Depends on what was learned: its rank correlation with the map of the untrained network is {value}, that of "
        "strengths alone {strength}; both have to be below {limit}."
    ),
    ("randomised", "failed"): N_(
        "FAILS a check: it is like the map of the untrained network (rank correlation {value}, of strengths alone "
        "{strength}; both have to be below {limit}), so much of it shows the image and nothing that was learned."
    ),
    ("randomised", "strengths"): N_(
        "FAILS a check: where it is strong is where the map of the untrained network is (rank correlation of strengths "
        "{strength}; less than {limit} is asked for), so its outlines show the image; its colours alone depend on what "
        "was learned ({value})."
    ),
    ("randomised", "undecided"): N_(
        "UNDECIDED whether it depends on what was learned: its rank correlation with the map of the untrained network "
        "is {value}, that of strengths alone {strength}; both have to be below {limit}."
    ),
    ("planted", "passed"): N_(
        "Points to what tells the class: on planted data {value} of its strongest pixels lie in the square that alone "
        "tells the class (chance {chance}; more than {limit} are asked for)."
    ),
    ("planted", "failed"): N_(
        "FAILS a check: on planted data {value} of its strongest pixels lie in the square that alone tells the class "
        "(chance {chance}; more than {limit} are asked for), so most of the strongest pixels need not matter."
    ),
    ("planted", "undecided"): N_(
        "UNDECIDED whether it points to what tells the class: on planted data {value} of its strongest pixels lie in "
        "the square that alone tells the class (chance {chance}; more than {limit} are asked for)."
    ),
    ("agreement", "passed"): N_(
        "Runs agree: the maps of runs that differ in the seed alone have a rank correlation of {value}; more than "
        "{limit} is asked for."
    ),
    ("agreement", "failed"): N_(
        "FAILS a check: the maps of runs that differ in the seed alone have a rank correlation of {value}; more than "
        "{limit} is asked for. What one run's map shows is about that run."
    ),
    ("agreement", "undecided"): N_(
        "UNDECIDED whether runs agree: the maps of runs that differ in the seed alone have a rank correlation of "
        "{value}; more than {limit} is asked for."
    ),
    ("randomised", "not_made"): N_(
        "NOT CHECKED against the untrained network: one of the two maps is the same everywhere."
    ),
    ("planted", "not_made"): N_(
        "NOT CHECKED on planted data: the network reached an accuracy of {accuracy} there, too little to know what its "
        "maps should show."
    ),
    ("agreement", "not_made"): N_("NOT CHECKED between runs: fewer than two have maps."),
}
"""What each check says beside the maps, by its verdict."""


def check_text(check: str, rows: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Mapping[str, Any]]) -> str:
    """A sentence that says whether a check is passed and by which number; ``shared``: rows about all methods."""
    verdict = verdicts(rows)[check]
    if check == "randomised" and only_strengths_fail(rows):
        verdict = "strengths"
    values = {"limit": percent(HIT, 0) if check == "planted" else number(SIMILAR, 1)}
    if check == "planted":
        values |= {
            "accuracy": percent(shared["planted_accuracy"]["mean"], 0),
            "chance": percent(shared["planted_chance"]["mean"], 0),
        }
    if verdict != "not_made":
        values["value"] = share_text(rows[check]) if check == "planted" else correlation(rows[check])
        if check == "randomised":
            values["strength"] = correlation(rows["randomised_strength"])
    return _(CHECK_TEXTS[check, verdict], **values)


def share_text(row: Mapping[str, Any]) -> str:
    """A share with its interval over seeds: ``84 % (95 % CI 80 to 88)``."""
    if missing(row["ci_low"]):
        return percent(row["mean"], 0)
    low, high = (number(100 * row[name], 0) for name in ("ci_low", "ci_high"))
    return _("{mean} (95 % CI {low} to {high})", mean=percent(row["mean"], 0), low=low, high=high)
