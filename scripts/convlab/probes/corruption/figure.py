"""Figures of the corruption probe: accuracy by severity, a panel for each kind, and one image under every kind."""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing, ngettext, number
from convlab.figures.labels import legend, within_percent
from convlab.figures.sheet import Sheet, raster
from convlab.figures.sprites import Group
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH
from convlab.probes.charts import probe_figure, shuffled_afterwards, test_images
from convlab.probes.corruption.settings import (
    CLEAN_ORDER,
    KINDS,
    WITHOUT_DEGREES,
    kind_and_severity,
    order_of,
    seen_in_training,
)
from convlab.probes.lines import lines, with_intervals
from convlab.probes.measured import Measured
from convlab.probes.sentences import joined
from convlab.study.variants import Plan, Probe

PANELS_IN_A_ROW = 4


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """Accuracy by severity, and the images."""
    of_dataset = measured.table[measured.table["dataset"] == results.dataset]
    measured_at = of_dataset.groupby("kind")["severity"].unique()
    severities = {kind: sorted(measured_at[kind]) for kind in KINDS if kind in measured_at}
    if not severities:
        return
    yield probe_figure(
        results,
        probe,
        draw(curves, results.labels, results.looks),
        _("Corrupted test images"),
        with_intervals(
            caption(probe, results.study.plan, int(of_dataset["images"].iloc[0]), test_images(results)), curves
        ),
        numbers=curves,
        reading=_(
            "Each panel is a kind of corruption, from clean images (0) to the strongest (5); inversion and flips have "
            "no degrees. A line that stays high belongs to a variant that the corruption hardly matters to; compare "
            "how far lines fall as well as how high they are."
        ),
    )
    variant = of_dataset["variant"].iloc[0]
    examples = measured.arrays(results.dataset, variant)
    yield probe_figure(
        results,
        probe,
        sheet_of(examples, severities),
        _("What the corruptions do to an image"),
        _(
            "One test image, clean and at each severity that was measured. Severities 1 to 5 of noise, blur, contrast, "
            "brightness and JPEG are those of CIFAR-10-C, of rotation and shear those of MNIST-C."
        ),
        numbers=curves,
        suffix="images",
        images=list(tiles(examples, list(severities))),
        reading=_(
            "Each group begins with the clean image. Where people would not recognise it either, a loss of accuracy "
            "says little about a model."
        ),
    )


def caption(probe: Probe, plan: Plan, images: int, available: int) -> str:
    """Caption of the chart: how many images, of how many that are ``available``, what fills corners, and which variants
    saw such images in training."""
    variants = [plan.variants[name] for name in probe.models]
    some = ngettext(
        "Accuracy on {n} test image, corrupted by kind and severity.",
        "Accuracy on {n} test images, a fixed draw in the classes' proportions, corrupted by kind and severity.",
        images,
    )
    every = ngettext(
        "Accuracy on the only test image, corrupted by kind and severity.",
        "Accuracy on all {n} test images, corrupted by kind and severity.",
        images,
    )
    fill = {
        "black": _("Rotation and shear leave black corners."),
        "edge": _("Rotation and shear fill the corners with the nearest pixel."),
    }
    parts = [some if images < available else every]
    if {"rotation", "shear"} & set(probe.settings.kinds):
        parts.append(fill[probe.settings.fill])
    seen = {
        kind: [variant.label for variant in variants if kind in seen_in_training(variant.training)]
        for kind in probe.settings.kinds
    }
    parts += [
        _("Trained on images with {kind} too (augmentation): {models}.", kind=_(KINDS[kind]), models=listing(labels))
        for kind, labels in seen.items()
        if labels
    ] or [_("No variant has an augmentation that corrupts images in these ways.")]
    parts.insert(1, shuffled_afterwards(probe, plan))
    return joined(*parts)


def draw(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Accuracy by severity, a panel for each kind."""
    points = curves[curves["order"] > CLEAN_ORDER]
    by_order = {order: kind_and_severity(order) for order in points["order"].unique()}
    kinds = [kind for kind in KINDS if kind in {kind for kind, _severity in by_order.values()}]
    rows = -(-len(kinds) // PANELS_IN_A_ROW)
    figure, axes = plt.subplots(
        rows, PANELS_IN_A_ROW, figsize=(WIDTH, 1.75 * rows + 0.5), sharey=True, squeeze=False, layout="constrained"
    )
    entries = []
    for axis, kind in zip(axes.flat, kinds, strict=False):
        orders = {order for order, (of, severity) in by_order.items() if of == kind and severity}
        orders = orders or {order_of(kind)}  # without degrees
        chosen = curves[curves["order"].isin({CLEAN_ORDER, *orders})]
        severities = {CLEAN_ORDER: 0} | {order: kind_and_severity(order)[1] or 1 for order in orders}
        entries = lines(axis, chosen, labels, looks, position=severities.__getitem__)
        axis.set_title(_capitalised(_(KINDS[kind])), fontsize=8.5)
        axis.set_xticks(sorted(severities.values()))
        if severities.keys() == {CLEAN_ORDER, order_of(kind)}:
            axis.set_xticks([0, 1], [_("clean"), _("changed")])
            axis.set_xlim(-0.4, 1.4)
    for axis in list(axes.flat)[len(kinds) :]:
        axis.axis("off")
    for row in axes:
        row[0].set_ylabel(_("Accuracy, %"))
    figure.supxlabel(_("Severity"), fontsize=9)
    within_percent(axes[0, 0], "y")
    legend(figure, entries, fontsize=8, loc="outside upper center", ncols=min(4, max(1, len(entries))))
    return figure


def tiles(examples: Mapping[str, np.ndarray], kinds: list[str]) -> Iterator[Group]:
    """The clean image and what each severity makes of it: a group for each kind, one for all that have no degrees."""
    clean = examples["clean"]
    for kind in kinds:
        if kind not in WITHOUT_DEGREES:
            yield Group(np.concatenate([clean, examples[kind]]), _capitalised(_(KINDS[kind])))
    if others := [kind for kind in kinds if kind in WITHOUT_DEGREES]:
        title = _capitalised(listing(_(KINDS[kind]) for kind in others))
        yield Group(np.concatenate([clean, *(examples[kind] for kind in others)]), title)


def sheet_of(examples: Mapping[str, np.ndarray], severities: Mapping[str, list[int]]) -> Figure:
    """The clean image and what each severity makes of it, two kinds side by side.

    Args:
        examples: by kind, uint8 (severities, height, width, channels); ``clean`` has one image.
        severities: of each kind that is shown.
    """
    width = 1 + max(map(len, severities.values()))
    height, across = examples["clean"].shape[1:3]
    rows = -(-len(severities) // 2)
    sheet = Sheet(rows * 2 * width, 2 * width, above_each=0.26, aspect=height / across)
    for index, (kind, of_kind) in enumerate(severities.items()):
        first = index // 2 * 2 * width + index % 2 * width
        titles = [f"{_capitalised(_(KINDS[kind]))}\n{_('clean')}", *(number(severity, "d") for severity in of_kind)]
        if kind in WITHOUT_DEGREES:
            titles[1] = _("changed")
        for position, image in enumerate([examples["clean"][0], *examples[kind]]):
            sheet.show(first + position, raster(image))
            sheet.title(first + position, titles[position], fontsize=6)
    return sheet.figure


def _capitalised(text: str) -> str:
    """A text that begins a line."""
    return text[:1].upper() + text[1:]
