"""Images from numbers: shape of a row of pixels, values as bytes, order of the channels."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    import numpy as np

Scale = Literal["byte", "unit"]
"""Values from 0 to 255, or from 0 to 1."""


def flat_shape(
    pixels: int, size: Sequence[int] | None, channels: str | None, refuse: Callable[[str], NoReturn], keys: str
) -> tuple[int, int, int]:
    """Shape (height, width, channels) of an image that is a row of ``pixels`` numbers.

    ``size`` is height and width where they are known; otherwise the image is square. ``channels`` is the order of a
    colour image's numbers. ``refuse`` gets a sentence where the numbers make no image; ``keys`` names the setting that
    tells the size.
    """
    if size is None:
        for number in (1, 3):
            side = math.isqrt(pixels // number)
            if number * side * side == pixels:
                size = (side, side)
                break
        else:
            refuse(f"has {pixels:,} pixels in a row, which is no square of one or three channels; write {keys}")
    number = pixels // (size[0] * size[1])
    if number * size[0] * size[1] != pixels or number not in (1, 3):
        refuse(f"has {pixels:,} pixels in a row, which are no images of {size[0]}×{size[1]}; correct {keys}")
    if number == 3 and channels is None:
        refuse(
            f"has {pixels:,} pixels in a row, {size[0]}×{size[1]} in three channels; write channels: last where red, "
            "green and blue of a pixel stand together, or channels: first where all of red comes first"
        )
    return (size[0], size[1], number)


def stacked_shape(
    shape: Sequence[int], channels: str | None, refuse: Callable[[str], NoReturn]
) -> tuple[int, int, int]:
    """Shape (height, width, channels) of an image that is kept in two or three dimensions."""
    if len(shape) == 2:
        return (*shape, 1)
    order = channels or "last"
    number = shape[0] if order == "first" else shape[-1]
    if number not in (1, 3):
        other = shape[-1] if order == "first" else shape[0]
        hint = f"; write channels: {'last' if order == 'first' else 'first'}" if other in (1, 3) else ""
        refuse(f"has images of {'×'.join(map(str, shape))}, {number} channels, and images have 1 or 3{hint}")
    return (*shape[1:], number) if order == "first" else tuple(shape)


def channels_last(images: "np.ndarray", shape: tuple[int, int, int], channels: str | None) -> "np.ndarray":
    """Images (n, ...) in the order of ``channels`` as (n, height, width, channels)."""
    if channels == "first" and shape[2] > 1:
        return images.reshape(-1, shape[2], *shape[:2]).transpose(0, 2, 3, 1)
    return images.reshape(-1, *shape)


SCALE_KEY = "write scale: unit"
"""What to do about values from 0 to 1, for kinds that have this key."""


def as_bytes(
    values: "np.ndarray", scale: str, refuse: Callable[[str], NoReturn], remedy: str = SCALE_KEY
) -> "np.ndarray":
    """Pixel values as uint8: whole numbers from 0 to 255 (``byte``), or 0 to 1 times 255, rounded (``unit``).

    ``refuse`` gets a sentence for any other value, about the one at ``wrong_value``; ``remedy`` is what to do where
    values go from 0 to 1.
    """
    import numpy as np

    if values.dtype == np.uint8 and scale == "byte":
        return values
    if values.dtype.kind not in "uif":
        refuse(f"has pixels of type {values.dtype}; they should be numbers")
    if not values.size:
        return values.astype(np.uint8)
    least, most = values.min(), values.max()
    if not (math.isfinite(least) and math.isfinite(most)):
        refuse("has pixels that are NaN or infinite; they should be numbers")
    top = 1 if scale == "unit" else 255
    if least < 0 or most > top:
        wrong = values[wrong_value(values, scale)]
        told_scale = f" (scale: {scale})" if remedy == SCALE_KEY else ""
        refuse(f"has the pixel value {_number(wrong)}; values should lie from 0 to {top}{told_scale}")
    if scale == "unit":
        return np.rint(values * 255.0).astype(np.uint8)
    if values.dtype.kind == "f" and (fractions := values != np.floor(values)).any():
        hint = f"; {remedy}" if most <= 1 else ""
        refuse(f"has the pixel value {_number(values[fractions][0])}, not a whole number from 0 to 255{hint}")
    return values.astype(np.uint8)


def wrong_value(values: "np.ndarray", scale: str) -> tuple[int, ...]:
    """Index of the value that ``as_bytes`` refuses: infinite, NaN, else least or most, or a fraction."""
    import numpy as np

    top = 1 if scale == "unit" else 255
    if (wrong := ~np.isfinite(values)).any():
        position = wrong.argmax()
    elif values.min() < 0 or values.max() > top:
        position = values.argmin() if values.min() < 0 else values.argmax()
    else:
        position = (values != np.floor(values)).argmax()
    return tuple(map(int, np.unravel_index(position, values.shape)))


def refuse_black(largest: int, refuse: Callable[[str], NoReturn], remedy: str = SCALE_KEY) -> None:
    """Refuse images without any value above 1: from 0 to 255 they would be black."""
    if largest <= 1:
        refuse(f"has no pixel value above 1; {remedy} if 1 is white")


def _number(value: Any) -> str:
    return f"{float(value):.6g}"
