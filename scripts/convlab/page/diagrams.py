"""Architecture diagrams: a variant's layers from left to right, drawn to scale as inline SVG."""

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number
from convlab.figures.palette import COLOURS, FAINT, INK
from convlab.models.cost import Layer

MAP_HEIGHT = 96
"""Height of the largest feature map, CSS pixels."""

FILLS = {"input": COLOURS[7], "pool": COLOURS[2], "dense": COLOURS[1]}
"""Colours of layers for viewers that forbid the page's style sheet; others have ``COLOURS[5]``."""

MARGIN, TEXT, ARC = 10, 58, 22
"""Pixels around the layers, below them for three lines of text, and above them for arcs where there are any."""

COLUMN = 86
"""Minimum width in pixels of a layer with its text."""

LETTER = 6
"""Width in pixels that a letter of a layer's name takes, with the space around the name."""

NARROW = 24
"""Width in pixels of a layer without text: normalisation, addition or activation, which keep the map's shape."""

TEXTLESS = ("norm", "add", "activation")
"""Kinds of layers that are drawn narrow; their numbers are in the tooltip and in the description."""


def diagram(layers: Sequence[Layer], name: str, title: str) -> Markup:
    """Architecture diagram: slabs as high as a feature map in pixels, as wide as the logarithm of its channels.

    Where a layer takes another's output than its neighbour's, a shortcut is drawn as an arc above.

    Args:
        layers: of a model's cost, the input first.
        name: unique in the page, for ids.
        title: accessible name of the drawing.
    """
    tallest = max(layer.output_shape[0] for layer in layers if len(layer.output_shape) == 3)
    before = {layer.name: previous.name for previous, layer in pairwise(layers)}
    sources = {layer.name: layer.inputs or (before[layer.name],) for layer in layers[1:]}
    has_arcs = any(taken != (before[name],) for name, taken in sources.items())
    top = MARGIN + (ARC if has_arcs else 0)
    middle, left = top + MAP_HEIGHT / 2, MARGIN
    flows, slabs = [], []
    edges: dict[str, tuple[float, float]] = {}
    for layer in layers:
        column = NARROW if _kind(layer) in TEXTLESS else max(COLUMN, LETTER * len(_title(layer)))
        centre = left + column / 2
        width, height = _size(layer, tallest)
        edges[layer.name] = centre - width / 2, centre + width / 2
        for source in sources.get(layer.name, ()):
            if source == before[layer.name]:
                flows.append(_flow(edges[source], edges[layer.name], middle))
            else:
                flows.append(_arc(edges[source], edges[layer.name], top))
        slabs.append(_slab(layer, centre, middle, (width, height)))
        if column != NARROW:
            slabs.append(_lines(layer, centre, top))
        left += column
    width, height = left + MARGIN, top + MAP_HEIGHT + MARGIN + TEXT
    description = "; ".join(map(_sentence, layers))
    return Markup(
        f'<svg class="diagram" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-about"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-about">{escape(description)}</desc>{"".join(flows)}{"".join(slabs)}</svg>'
    )


def _kind(layer: Layer) -> str:
    return layer.name.split("_")[0]


def _size(layer: Layer, tallest: int) -> tuple[float, float]:
    """Width and height of a layer's slab, CSS pixels."""
    shape = layer.output_shape
    if len(shape) == 1:
        return 9, min(MAP_HEIGHT, 10 + 9 * math.log2(1 + shape[0]))
    width = 9 if _kind(layer) in TEXTLESS else 6 + 5 * math.log2(1 + shape[-1])
    rows = shape[0] if len(shape) == 3 else math.sqrt(shape[0])  # tokens are patches of the image, row by row
    return width, max(MAP_HEIGHT * rows / tallest, 4)


def _slab(layer: Layer, centre: float, middle: float, size: tuple[float, float]) -> str:
    width, height = size
    kind = _kind(layer)
    return (
        f'<rect class="layer {escape(kind)}" x="{centre - width / 2:.1f}" y="{middle - height / 2:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="2" fill="{FILLS.get(kind, COLOURS[5])}" fill-opacity=".55" '
        f'stroke="{INK}" stroke-width=".8"><title>{escape(_sentence(layer))}</title></rect>'
    )


def _flow(source: tuple[float, float], target: tuple[float, float], middle: float) -> str:
    """A line from the right edge of a layer to the left edge of the next."""
    ends = f'x1="{source[1]:.1f}" x2="{target[0]:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
    return f'<line class="flow" stroke="{FAINT}" {ends}/>'


def _arc(source: tuple[float, float], target: tuple[float, float], top: float) -> str:
    """An arc above the layers in between, from the right of one to the left of another."""
    start, end, height = source[1] + 3, target[0] - 3, MARGIN / 2
    path = f"M {start:.1f} {top:.1f} C {start:.1f} {height:.1f}, {end:.1f} {height:.1f}, {end:.1f} {top:.1f}"
    return f'<path class="flow" fill="none" stroke="{FAINT}" d="{path}"/>'


def _lines(layer: Layer, centre: float, top: float) -> str:
    """Name and window, output shape, and number of parameters below a layer."""
    lines = (
        (_title(layer), "kind"),
        ("×".join(map(str, layer.output_shape)), "size"),
        (number(layer.parameters, ",") if layer.parameters else "", "count"),
    )
    texts = []
    for row, (text, style) in enumerate(lines, start=1):
        at = f'x="{centre:.1f}" y="{top + MARGIN + MAP_HEIGHT + 14 * row:.0f}"'
        texts.append(f'<text class="{style}" {at} font-size="11px" text-anchor="middle">{escape(text)}</text>')
    return "".join(texts)


def _title(layer: Layer) -> str:
    window = f", {layer.window}×{layer.window}" if layer.window else ""
    return f"{layer.name.replace('_', ' ')}{window}"


def _sentence(layer: Layer) -> str:
    text = f"{layer.name.replace('_', ' ')}: {'×'.join(map(str, layer.output_shape))}"
    if not layer.parameters:
        return text
    return _("{layer}, {n} parameters", layer=text, n=number(layer.parameters, ","))
