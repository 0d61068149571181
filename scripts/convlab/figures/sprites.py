"""Image sprites for the page: all tiles in one PNG at their own size, with the layout as plain data.

The page writes titles as text and enlarges the pixels itself, so that a grid reads well on any screen.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlab.common.files import atomic
from convlab.figures.palette import DIVERGING

COLUMNS = 16
"""Tiles side by side in a sprite."""

GAP = 1
"""Pixels between tiles, so that rounding never shows a neighbour's edge."""

PIXEL_BUDGET = 120_000
"""Approximate number of pixels in a sprite; larger images are downsampled by block means to keep the page small."""


@dataclass(frozen=True)
class Group:
    """Tiles that belong together under one title: uint8 (n, height, width, 1 or 3). ``tone``: right, wrong or none."""

    images: np.ndarray
    title: str = ""
    lines: tuple[str, ...] = ()
    tone: str = ""


def write_sprite(groups: Sequence[Group], path: Path) -> dict[str, Any]:
    """Write the PNG and return its layout; see :func:`sprite_of`."""
    png, layout = sprite_of(groups)
    with atomic(path, durable=False) as temporary:
        temporary.write_bytes(png)
    return layout


def sprite_of(groups: Sequence[Group]) -> tuple[bytes, dict[str, Any]]:
    """The PNG and its layout: size of a tile and the gap after it, columns, rows, and for each group its number of
    tiles."""
    height = max(group.images.shape[1] for group in groups)
    width = max(group.images.shape[2] for group in groups)
    count = sum(len(group.images) for group in groups)
    factor = max(1, min(math.ceil(math.sqrt(count * height * width / PIXEL_BUDGET)), min(height, width) // 24))
    tiles = [shrunk(fitted(image, height, width), factor) for group in groups for image in group.images]
    colour = any(tile.shape[-1] == 3 for tile in tiles)
    tiles = [np.repeat(tile, 3, axis=-1) if colour and tile.shape[-1] == 1 else tile for tile in tiles]
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    height, width, channels = tiles[0].shape
    canvas = np.full((rows * (height + GAP), columns * (width + GAP), channels), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        # The gap has the tile's own edge: where a browser rounds a position, no white line shows.
        canvas[top : top + height + GAP, left : left + width + GAP] = np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), "edge")
    png = io.BytesIO()
    Image.fromarray(canvas if colour else canvas[..., 0]).save(png, format="PNG", optimize=True)
    return png.getvalue(), {
        "width": width,
        "height": height,
        "gap": GAP,
        "columns": columns,
        "rows": rows,
        "groups": [
            {"title": group.title, "lines": list(group.lines), "tone": group.tone, "tiles": len(group.images)}
            for group in groups
        ],
    }


def fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image (h, w, channels) by nearest neighbour."""
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return image[rows][:, columns]


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Downsample by means over blocks of ``factor`` × ``factor`` pixels; incomplete blocks at the edges are dropped."""
    if factor == 1:
        return image
    height, width, channels = image.shape
    blocks = image[: height // factor * factor, : width // factor * factor].reshape(
        height // factor, factor, width // factor, factor, channels
    )
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def diverging(values: np.ndarray, bound: float) -> np.ndarray:
    """Values of any shape from -``bound`` to ``bound`` as colours, uint8 (..., 3): blue, white at zero, red."""
    low, middle, high = (np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) for code in DIVERGING)
    share = np.clip(values / bound, -1, 1)[..., np.newaxis]
    colour = np.where(share < 0, middle + (low - middle) * -share, middle + (high - middle) * share)
    return np.rint(colour).astype(np.uint8)


def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values (n, height, width) as grey levels, uint8 (n, height, width, 1): ``low`` black, ``high`` white."""
    return np.rint(255 * (values - low) / ((high - low) or 1.0)).clip(0, 255).astype(np.uint8)[..., np.newaxis]
