"""Inline SVG figures in the page's colours and font, and image sprites.

A chart's looks are attributes, not styles, so that it can be read where a server's content policy forbids styles (as
Jenkins does): the page's style sheet then overrides the colours where it may.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from convlab.common import checksums
from convlab.common.files import missing
from convlab.figures.palette import BAND, COLOURS, FAINT, GRID, INK, PAPER

VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper", BAND: "band"} | {
    colour: f"series-{index}" for index, colour in enumerate(COLOURS)
}
"""Colours of a figure that follow the page's theme, with their CSS variables."""

WIDTH_STEP = 40
"""Charts get a class for their width in steps of so many CSS pixels, for the rules of narrow screens."""


@dataclass(frozen=True)
class Tile:
    """One image of a sprite, placed as CSS percentages of its background."""

    x: str
    y: str


@dataclass(frozen=True)
class TileGroup:
    """Tiles under one title."""

    title: str
    lines: Sequence[str]
    tone: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Sprite:
    """A grid of images: the PNG as a data URI, its size as a CSS percentage of a tile, a tile's pixels, the groups."""

    source: str
    size: str
    width: int
    height: int
    groups: Sequence[TileGroup]


def inline_svg(path: Path, name: str, title: str, description: str) -> Markup:
    """Matplotlib's SVG as part of a page.

    Args:
        name: unique in the page; all ids get it as a prefix.
        title, description: accessible name and description.
    """
    svg = without_clutter(_text(path))
    opening = re.match(r"<svg\b[^>]*>", svg)
    if not opening or not svg.endswith("</svg>"):
        raise checksums.damaged(path, "it is not a whole SVG")
    box = re.search(r'viewBox="([^"]*)"', opening[0])[1]
    width, height = (round(float(size) * 4 / 3) for size in box.split()[2:])  # points to CSS pixels
    body = svg[opening.end() :].removesuffix("</svg>")
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r'\bxlink:href="#([^"]*)"', rf'href="#{name}-\1"', body)
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r'<[^<>]*?\sstyle="[^"]*"[^<>]*>', lambda match: with_attributes(match[0]), body)
    head = (
        f'<svg class="chart n{-(-width // WIDTH_STEP)}" viewBox="{box}" width="{width}" height="{height}" '
        f'font-family="{FONT}" stroke-linejoin="round" stroke-linecap="butt" role="img" '
        f'aria-labelledby="{name}-title {name}-about"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-about">{escape(description)}</desc>'
    )
    return Markup(f"{head}{body}</svg>")


FONT = "DejaVu Sans, Verdana, sans-serif"
"""Font that charts are laid out for, and fallbacks of the same width."""

_FONT = re.compile(r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+px)\b.*")
"""CSS's shorthand ``font``, which SVG lacks as an attribute."""


def with_attributes(tag: str) -> str:
    """A tag of SVG whose ``style`` is written as attributes; fonts are the page's own."""
    before, style, after = re.fullmatch(r'(.*?)\sstyle="([^"]*)"(.*)', tag, re.DOTALL).groups()
    properties: dict[str, str] = {}
    for entry in style.split(";"):
        name, _colon, value = (part.strip() for part in entry.partition(":"))
        if name == "font":
            parts = _FONT.fullmatch(value).groupdict()
            properties |= {f"font-{part}": text for part, text in parts.items() if text}
        elif name and name != "font-family":
            properties[name] = value
    for name in ("fill", "stroke"):
        if properties.get(name, "").startswith("#"):
            properties[name] = properties[name].lower()
    given = "".join(f' {name}="{value}"' for name, value in properties.items() if f" {name}=" not in before + after)
    return f"{before}{given}{after}"


def without_clutter(svg: str) -> str:
    """Matplotlib's SVG without prolog, metadata, comments and style sheet, its paths to a hundredth of a point."""
    svg = re.sub(
        r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style\b.*?</style>", "", svg, flags=re.DOTALL
    )
    svg = re.sub(r'\bd="([^"]*)"', lambda match: f'd="{_rounded(match[1])}"', svg)
    svg = re.sub(r'\b([xy])="(-?\d+\.\d{3,})"', lambda match: f'{match[1]}="{_rounded(match[2])}"', svg)
    return re.sub(r">\s+<", "><", svg).strip()


def _rounded(numbers: str) -> str:
    shorter = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return " ".join(shorter.split())


def sprite(path: Path, layout: Mapping[str, Any]) -> Sprite:
    """A sprite that ``figures.sprites`` wrote."""
    return sprite_view(_bytes(path), layout)


def sprite_view(png: bytes, layout: Mapping[str, Any]) -> Sprite:
    """A sprite that ``figures.sprites`` made."""
    columns, pitch_x, span_x = layout["columns"], layout["width"] + layout["gap"], layout["width"]
    pitch_y, span_y = layout["height"] + layout["gap"], layout["height"]
    whole_x, whole_y = columns * pitch_x, layout["rows"] * pitch_y
    groups, index = [], 0
    for group in layout["groups"]:
        tiles = []
        for number in range(group["tiles"]):
            row, column = divmod(index + number, columns)
            tiles.append(Tile(_percent(column * pitch_x, whole_x - span_x), _percent(row * pitch_y, whole_y - span_y)))
        index += group["tiles"]
        groups.append(TileGroup(group["title"], group["lines"], group["tone"], tiles))
    size = f"{_percent(whole_x, span_x)} {_percent(whole_y, span_y)}"
    return Sprite(data_uri(png), size, layout["width"], layout["height"], groups)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.6g}%"


def data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def numbers(path: Path, limit: int = 40_000) -> str:
    """The CSV beside a figure, for the page; empty where it is larger than ``limit`` characters."""
    text = _text(path)
    return text if len(text) <= limit else ""


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise checksums.damaged(path, str(error)) from None


def _bytes(path: Path) -> bytes:
    checksums.verify(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise checksums.damaged(path, "it is a folder") from None
