"""Decoding the image files of a table's rows, which are all of one size and colour unless the config tells another."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import numpy as np

_BATCH_IMAGES = 64
"""Images per task of a thread."""

_LEAST_OF_16_BITS = 2**14
"""A 16-bit image without any value as high is nearly black if its high bytes are kept."""


@dataclass(frozen=True)
class Options:
    """How images are read.

    Args:
        root: folder in which the paths of images that are not in the table itself are looked for; None for none.
        size: height and width that all images are brought to; None where they have one size.
        channels: order of the numbers of colour images that are lists, ``first`` or ``last``.
        colour: whether ``rgb`` or ``grey`` was asked for; None where all images are of one of them.
        threads: number of threads that decode, which does not change the result.
    """

    root: Path | None
    size: tuple[int, int] | None
    channels: str | None
    colour: str | None
    threads: int = 1


def decode_into(
    images: "np.ndarray",
    data: Sequence[bytes | Path],
    options: Options,
    refuse: Callable[[int, str], NoReturn],
    key: str,
) -> None:
    """Decode image files, by their bytes or paths, into the rows of ``images`` (n, height, width, channels).

    ``refuse`` gets the index of a row and what is wrong with its image: it cannot be read, or has another size or
    colour than the others and the config does not tell which is wanted. ``key`` is the dataset's, for messages.
    """
    from convlab.datasets.image_decoding import Unreadable, read_image

    size, channels = images.shape[1:3], images.shape[3]

    def problem_of(fact: str, value: int) -> str | None:
        if fact == "resized" and options.size is None:
            return f"is not of {size[0]}×{size[1]} as the first; write {key}.image_size: what size to bring all to"
        if fact == "channels" and options.colour is None:
            kinds = {1: "grey", 3: "in colour"}
            return f"is {kinds[value]} and the first is {kinds[channels]}; write {key}.colour: rgb or grey"
        if fact == "deep" and abs(value) < _LEAST_OF_16_BITS:
            return "is of 16 bits of which the highest are not used; save it with 8 bits"
        return None

    def decode(start: int) -> None:
        for index in range(start, min(start + _BATCH_IMAGES, len(data))):
            facts: list[tuple[str, int]] = []
            try:
                images[index] = read_image(data[index], size, channels, 16, lambda *fact, to=facts: to.append(fact))
                problem = next(filter(None, (problem_of(*fact) for fact in facts)), None)
            except Unreadable as error:
                problem = f"{error}; mend or remove it"
            if problem is not None:
                refuse(index, f"the image {problem}")

    with ThreadPoolExecutor(max(options.threads, 1)) as pool:
        list(pool.map(decode, range(0, len(data), _BATCH_IMAGES)))
