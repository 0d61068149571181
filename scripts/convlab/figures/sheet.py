"""Figures of many images in rows of equal tiles."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from convlab.figures.style import WIDTH


class Sheet:
    """A figure of equal tiles in rows, on one axis that is measured in inches from the top left corner.

    An axis for each would take most of the time that a study's figures take: laying out a hundred takes ten seconds.
    """

    def __init__(
        self,
        count: int,
        columns: int,
        *,
        gap: float = 0.1,
        aspect: float = 1.0,
        above_each: float = 0.0,
        above: float = 0.0,
        right: float = 0.0,
    ):
        """Room for ``count`` tiles. All lengths are inches of one layout, each with a name and most with a default.

        Args:
            gap: between tiles and around them, inches.
            aspect: a tile's height over its width.
            above_each: inches left free above each row, for titles.
            above: inches left free above all rows.
            right: inches left free to the right of all columns.
        """
        self.tile_width = (WIDTH - right - gap) / columns - gap
        self._gap, self._columns, self._above, self._tile_height = gap, columns, above, aspect * self.tile_width
        self._pitch = above_each + self._tile_height + gap
        height = above + -(-count // columns) * self._pitch + gap
        self.figure = plt.figure(figsize=(WIDTH, height))
        self.figure.set_layout_engine("none")
        self._axis = self.figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0), autoscale_on=False)
        self._axis.axis("off")

    def _corner(self, index: int) -> tuple[float, float]:
        """Left and top of a tile."""
        row, column = divmod(index, self._columns)
        bottom = self._above + (row + 1) * self._pitch
        return self._gap + column * (self.tile_width + self._gap), bottom - self._tile_height

    def show(self, index: int, image: np.ndarray, **options) -> AxesImage:
        """Draw an image in a tile, as large as that allows."""
        left, top = self._corner(index)
        inches = min(self._tile_height / image.shape[0], self.tile_width / image.shape[1])
        height, width = inches * image.shape[0], inches * image.shape[1]
        left, top = left + (self.tile_width - width) / 2, top + (self._tile_height - height) / 2
        return show(self._axis, image, extent=(left, left + width, top + height, top), aspect="auto", **options)

    def title(self, index: int, text: str, **options) -> None:
        """Write above a tile, in its middle unless the options say ``ha="left"``."""
        left, top = self._corner(index)
        options = {"ha": "center", "va": "bottom", **options}
        self._axis.text(left + (options["ha"] == "center") * self.tile_width / 2, top - 0.035, text, **options)


def show(axis: Axes, image: np.ndarray, **options) -> AxesImage:
    """Draw a raster without smoothing and without axes; grey from 0 to 255 unless the options say otherwise.

    With interpolation ``none`` an SVG has the raster's pixels one to one.

    Args:
        image: (height, width), or (height, width, 3) for RGB.
    """
    axis.axis("off")
    return axis.imshow(image, **{"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "none", **options})


def raster(image: np.ndarray) -> np.ndarray:
    """An image as Matplotlib draws it: (height, width) for grey, (height, width, 3) for RGB, else the first channel."""
    return image if image.shape[-1] == 3 else image[..., 0]
