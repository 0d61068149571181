"""Architecture diagrams: a variant's layers from left to right, drawn to scale as inline SVG."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number
from convlab.figures.palette import COLOURS, FAINT, INK
from convlab.models.cost import Layer

MAP_HEIGHT = 96
"""Height of the largest feature map, CSS pixels."""

FILLS = {"input": COLOURS[7], "pool": COLOURS[2], "dense": COLOURS[1]}
"""Colours of layers for viewers that forbid the page's style sheet; others have ``COLOURS[5]``."""

GAP, MARGIN, TEXT = 26, 10, 58
"""Pixels between layers, around them, and below them for three lines of text."""

COLUMN = 86
"""Minimum width in pixels of a layer with its text."""


def diagram(layers: Sequence[Layer], name: str, title: str) -> Markup:
    """Architecture diagram: slabs as high as a feature map in pixels, as wide as the logarithm of its channels.

    Args:
        layers: of a model's cost, the input first.
        name: unique in the page, for ids.
        title: accessible name of the drawing.
    """
    tallest = max(layer.output_shape[0] for layer in layers if len(layer.output_shape) == 3)
    parts, left = [], MARGIN
    middle = MARGIN + MAP_HEIGHT / 2
    previous = None
    for layer in layers:
        kind, shape, parameters = layer.name.replace("_", " "), layer.output_shape, layer.parameters
        width = 6 + 5 * math.log2(1 + shape[-1])
        if len(shape) == 3:
            height = max(MAP_HEIGHT * shape[0] / tallest, 4)
        else:
            height, width = min(MAP_HEIGHT, 10 + 9 * math.log2(1 + shape[0])), 9
        centre = left + COLUMN / 2
        x, y = centre - width / 2, middle - height / 2
        if previous is not None:
            ends = f'x1="{previous:.1f}" x2="{x:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
            parts.append(f'<line class="flow" stroke="{FAINT}" {ends}/>')
        if layer.window:
            kind += f", {layer.window}×{layer.window}"
        role = kind.split()[0]
        parts.append(
            f'<rect class="layer {escape(role)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="2" fill="{FILLS.get(role, COLOURS[5])}" fill-opacity=".55" stroke="{INK}" stroke-width=".8">'
            f"<title>{escape(_sentence(layer))}</title></rect>"
        )
        size = "×".join(map(str, shape))
        lines = [(kind, "kind"), (size, "size"), (number(parameters, ",") if parameters else "", "count")]
        for row, (text, style) in enumerate(lines):
            at = f'x="{centre:.1f}" y="{2 * MARGIN + MAP_HEIGHT + 14 * (row + 1):.0f}"'
            parts.append(f'<text class="{style}" {at} font-size="11px" text-anchor="middle">{escape(text)}</text>')
        previous, left = x + width, left + COLUMN
    width, height = left + MARGIN, MAP_HEIGHT + 2 * MARGIN + TEXT
    description = "; ".join(map(_sentence, layers))
    return Markup(
        f'<svg class="diagram" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-about"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-about">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _sentence(layer: Layer) -> str:
    text = f"{layer.name.replace('_', ' ')}: {'×'.join(map(str, layer.output_shape))}"
    if not layer.parameters:
        return text
    return _("{layer}, {n} parameters", layer=text, n=number(layer.parameters, ","))
