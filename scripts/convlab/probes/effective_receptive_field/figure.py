"""Figures of the effective receptive field: its heat maps with the square of the closed form, and its sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convlab.common.i18n import gettext as _
from convlab.figures.labels import TICK_CHARS, legend, shortened
from convlab.figures.marks import mark
from convlab.figures.palette import COLOURS, FAINT
from convlab.figures.sheet import Sheet
from convlab.figures.sprites import Group, grey
from convlab.figures.study import DatasetResults, FigureFile
from convlab.figures.style import WIDTH, look
from convlab.language.numbers import missing, number
from convlab.probes.charts import probe_figure, test_images
from convlab.probes.lines import with_intervals
from convlab.probes.measured import Measured
from convlab.probes.registry import level_label
from convlab.study.variants import Probe

FRAME = tuple(int(COLOURS[1][i : i + 2], 16) for i in (1, 3, 5))
"""Colour of the closed form's square, red, green and blue."""

MAX_FIELDS = 24
"""Most variants whose fields are shown, those of the first rows of the table."""

SHARES = {0.5: "o", 0.9: "s", 0.99: "D"}
"""Shares of the gradient in the chart, each with its marker."""


@dataclass(frozen=True)
class Field:
    """Fields of one variant as images.

    Attributes:
        title: label of the variant.
        images: uint8 (2, height, width, 3), trained and untrained.
        lines: sides of the trained networks, and the closed form.
    """

    title: str
    images: np.ndarray
    lines: tuple[str, ...]


def figures(probe: Probe, results: DatasetResults, curves: pd.DataFrame, measured: Measured) -> Iterator[FigureFile]:
    """Heat maps of the fields, then their sides; nothing where no variant has a field."""
    shown = curves[curves["measure"].isin(("side", "untrained side")) & curves["mean"].notna()]
    fields = [
        field_of(results.labels[variant], measured.arrays(results.dataset, variant), rows)
        for variant, rows in curves[curves["variant"].isin(shown["variant"])].groupby("variant", sort=False)
    ]
    drawn, not_drawn = fields[:MAX_FIELDS], len(fields[MAX_FIELDS:])
    if not drawn:
        return
    yield probe_figure(
        results, probe, heat_maps(drawn), _("Effective receptive fields"),
        _("Absolute gradient of a central unit of the last feature map with respect to the pixels, mean over {n} test "
          "images and over the seeds: left the trained networks, right untrained ones of the same layers. Brightness "
          "is the square root of the gradient; the frame is where the closed form allows one.",
          n=min(probe.settings.images, test_images(results))),
        numbers=shown, suffix="fields", images=[Group(field.images, field.title, field.lines) for field in drawn],
        not_drawn=not_drawn,
        reading=_("A small bright spot inside a large frame: the unit hardly uses what it could see. A field that "
                  "fills its frame uses all of it."),
    )  # fmt: skip
    caption = _(
        "Side of the smallest square that holds a share of that gradient, for trained networks (filled) and untrained "
        "ones (open); the bar is the receptive field of the closed form, within the image."
    )
    chart = sides(curves[curves["variant"].isin(shown["variant"])], results.labels, results.looks)
    yield probe_figure(
        results, probe, chart, _("Sides of the effective receptive fields"), with_intervals(caption, shown),
        numbers=shown,
        reading=_("Marks further right: the unit uses pixels from a larger square. The distance from 99 % to the bar "
                  "is what the closed form allows and the network leaves unused."),
    )  # fmt: skip


def field_of(label: str, arrays: Mapping[str, np.ndarray], rows: pd.DataFrame) -> Field:
    """A variant's fields as grey images with the frame, and their sides as text."""
    closed = rows.set_index("measure")["mean"].get("closed form")
    sides = rows[rows["measure"] == "side"].set_index("order")["mean"]
    lines = [f"{level_label('effective_receptive_field', share)}: {number(sides[share], 1)} px" for share in SHARES]
    if not missing(closed):
        lines.append(_("closed form: {side} px", side=number(closed, 0)))
    images = []
    for name in ("trained", "untrained"):
        brightness = np.sqrt(arrays[name] / (arrays[name].max() or 1))
        image = np.repeat(grey(brightness[np.newaxis], 0, 1)[0], 3, axis=-1)
        images.append(image if missing(closed) else framed(image, arrays["trained"] + arrays["untrained"], int(closed)))
    return Field(label, np.array(images), tuple(lines))


def framed(image: np.ndarray, field: np.ndarray, side: int) -> np.ndarray:
    """An image (height, width, 3) with a frame around the square of ``side`` pixels in which the field lies.

    Edges outside of the image are not drawn: the square reaches to the image's edge there, or beyond.
    """
    result, spans, edges = image.copy(), [], []
    for axis in (0, 1):
        used = np.flatnonzero(field.any(axis=1 - axis))
        if not used.size:
            return result
        first = used[0] if used[0] > 0 else used[-1] - side + 1
        before, after = first - 1, first + side
        spans.append(slice(max(before, 0), after + 1))
        edges.append([edge for edge in (before, after) if 0 <= edge < field.shape[axis]])
    result[edges[0], spans[1]] = FRAME
    result[spans[0], edges[1]] = FRAME
    return result


def heat_maps(fields: list[Field]) -> Figure:
    """Pairs of images, trained and untrained, two variants in a row."""
    height, width = fields[0].images.shape[1:3]
    pairs = min(len(fields), 2)
    sheet = Sheet(2 * len(fields), 2 * pairs, above_each=0.3, aspect=height / width)
    for number_of_field, field in enumerate(fields):
        for position, (image, name) in enumerate(zip(field.images, (_("trained"), _("untrained")), strict=True)):
            sheet.show(2 * number_of_field + position, image)
            label = shortened(field.title, TICK_CHARS) if position == 0 else ""
            sheet.title(2 * number_of_field + position, f"{label}\n{name}", fontsize=7)
    return sheet.figure


def sides(curves: pd.DataFrame, labels: Mapping[str, str], looks: Mapping[str, int]) -> Figure:
    """Sides of the squares by variant, trained and untrained, with intervals, and the closed form."""
    variants = list(dict.fromkeys(curves["variant"]))
    figure, axis = plt.subplots(figsize=(WIDTH, 1.1 + 0.5 * len(variants)))
    for position, variant in enumerate(variants):
        rows = curves[curves["variant"] == variant]
        colour, label = look(looks[variant])["color"], labels[variant]
        for measure, offset, filled in (("side", -0.14, True), ("untrained side", 0.14, False)):
            for row in rows[(rows["measure"] == measure) & rows["order"].isin(SHARES)].itertuples():
                where = position + offset
                note = f"{label}, {level_label(row.probe, row.order)}: {number(row.mean, 1)} px"
                drawn = axis.plot(row.mean, where, marker=SHARES[row.order], color=colour, markersize=5,
                                  markerfacecolor=colour if filled else "none", linestyle="none")  # fmt: skip
                mark(drawn, variant, [note])
                if not missing(row.ci_low):
                    mark(axis.hlines(where, row.ci_low, row.ci_high, color=colour, alpha=0.7), variant, [note])
        closed = rows.loc[rows["measure"] == "closed form in the image", "mean"]
        if len(closed) and not missing(closed.iloc[0]):
            note = _("{label}, closed form: {side} px", label=label, side=number(closed.iloc[0], 0))
            mark(
                axis.vlines(closed.iloc[0], position - 0.3, position + 0.3, color=colour, linewidth=2), variant, [note]
            )
    axis.set_yticks(range(len(variants)), [shortened(labels[variant], TICK_CHARS) for variant in variants])
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(_("Side of the square, pixels"))
    probe = curves["probe"].iloc[0]
    samples = [
        (plt.Line2D([], [], color=FAINT, marker=marker, linestyle="none"), level_label(probe, share))
        for share, marker in SHARES.items()
    ]
    open_mark = plt.Line2D([], [], color=FAINT, marker="o", markerfacecolor="none", linestyle="none")
    legend(figure, [*samples, (open_mark, _("untrained"))], loc="outside upper right", ncols=4, fontsize=8)
    return figure
