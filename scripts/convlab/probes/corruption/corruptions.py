"""Corruptions of test images, by kind and severity. uint8 arrays in, uint8 arrays of the same shape out.

What an image becomes depends on the image, the kind and the severity alone: random numbers are drawn for each image
from a generator that its own bytes and the kind seed, so that neither the other images nor their order matter.
Severity 0 is the image itself.

Severities 1 to 5 have the parameters of CIFAR-10-C (Hendrycks & Dietterich 2019, Benchmarking neural network
robustness to common corruptions and perturbations, ICLR; ``make_cifar_c.py`` in github.com/hendrycks/robustness), those
of rotation and shear are from MNIST-C (Mu & Gilmer 2019, MNIST-C: a robustness benchmark for computer vision;
``corruptions.py`` in github.com/google-research/mnist-c). Inversion and flips have one severity. Lengths are in pixels
whatever the size of the images, which have 32×32 pixels in CIFAR-10-C and 28×28 in MNIST-C.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

SIGMAS_IN_PIXELS_REACHED = 4.0
"""Half width of the blur's kernel, in standard deviations: that of scikit-image, with which CIFAR-10-C was made."""


VALUES_AT_ONCE = 2**21
"""Pixel values that are changed together, so that the copies of large photographs fit into memory."""


class Kind(NamedTuple):
    """A kind of corruption.

    Attributes:
        change: (images, parameter, what fills the corners) -> images; images are float32 in 0..1, (n, height, width,
            channels).
        parameters: of the severities 1, 2, ...
    """

    change: Callable[[np.ndarray, float, str], np.ndarray]
    parameters: tuple[float, ...]


def corrupted(images: np.ndarray, kind: str, severity: int, fill: str = "black") -> np.ndarray:
    """Test images with a corruption of a severity.

    Args:
        images: uint8 (n, height, width, channels), one channel or three.
        kind: a key of ``KINDS``.
        severity: 0 for the images as they are, up to the number of the kind's parameters.
        fill: what rotation and shear leave empty: ``black``, or ``edge`` (the nearest pixel).

    Raises:
        KeyError: there is no such kind; IndexError: there is no such severity.
    """
    change, parameters = KINDS[kind]
    if not 0 <= severity <= len(parameters):
        raise IndexError(f"{kind} has severities up to {len(parameters)}, not {severity}")
    result, at_once = images.copy(), max(1, VALUES_AT_ONCE // max(1, images[0].size if len(images) else 1))
    for start in range(0, len(images) if severity else 0, at_once):
        part = images[start : start + at_once].astype(np.float32) / 255
        changed = change(part, parameters[severity - 1], fill)
        result[start : start + at_once] = np.rint(np.clip(changed, 0, 1) * 255)
    return result


def generators(images: np.ndarray, kind: str) -> Iterator[np.random.Generator]:
    """A random generator for each image, seeded by its bytes and the kind."""
    for image in np.rint(images * 255).astype(np.uint8):
        digest = hashlib.blake2b(image.tobytes(), digest_size=16, person=kind.encode()[:16]).digest()
        yield np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def gaussian_noise(images: np.ndarray, scale: float, fill: str) -> np.ndarray:
    """Normal noise with the standard deviation ``scale``, added to every value."""
    noise = [random.standard_normal(images.shape[1:], np.float32) for random in generators(images, "gaussian_noise")]
    return images + scale * np.stack(noise)


def shot_noise(images: np.ndarray, photons: float, fill: str) -> np.ndarray:
    """Poisson noise of an image whose white is ``photons`` counts."""
    counts = [
        random.poisson(image * photons)
        for image, random in zip(images, generators(images, "shot_noise"), strict=True)
    ]  # fmt: skip
    return np.stack(counts).astype(np.float32) / photons


def impulse_noise(images: np.ndarray, share: float, fill: str) -> np.ndarray:
    """A share of the values becomes black or white, by the toss of a coin (salt and pepper)."""
    drawn = np.stack([random.random((2, *images.shape[1:])) for random in generators(images, "impulse_noise")])
    replaced, white = drawn[:, 0] < share, drawn[:, 1] < 0.5
    return np.where(replaced, white, images).astype(np.float32)


def gaussian_blur(images: np.ndarray, sigma: float, fill: str) -> np.ndarray:
    """Convolution with a Gaussian of ``sigma`` pixels; beyond the border stands the nearest pixel."""
    radius = int(SIGMAS_IN_PIXELS_REACHED * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (1, 2):
        length = images.shape[axis]
        positions = [np.clip(np.arange(length) + offset, 0, length - 1) for offset in offsets]
        images = sum(weight * images.take(at, axis) for weight, at in zip(weights, positions, strict=True))
    return images


def contrast(images: np.ndarray, share: float, fill: str) -> np.ndarray:
    """The share of each value's distance to its channel's mean over the image that is left."""
    means = images.mean(axis=(1, 2), keepdims=True)
    return (images - means) * np.float32(share) + means


def brightness(images: np.ndarray, added: float, fill: str) -> np.ndarray:
    """HSV's value raised by ``added``, hue and saturation as they were; of a grey image its grey."""
    value = images.max(axis=-1, keepdims=True)
    raised = np.minimum(value + np.float32(added), 1)
    return np.where(value > 0, images * raised / np.where(value > 0, value, 1), raised)


def jpeg_compression(images: np.ndarray, quality: float, fill: str) -> np.ndarray:
    """Written as JPEG of that quality by Pillow, and read again."""
    from PIL import Image

    decoded = []
    for image in np.rint(images * 255).astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)).reshape(image.shape))
    return np.stack(decoded).astype(np.float32) / 255


def rotation(images: np.ndarray, angle: float, fill: str) -> np.ndarray:
    """Turned about the centre by an angle in radians, one way or the other by the toss of a coin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return _either_way(images, "rotation", [[[cosine, -s], [s, cosine]] for s in (sine, -sine)], fill)


def shear(images: np.ndarray, angle: float, fill: str) -> np.ndarray:
    """Rows displaced by sin(angle) for each pixel from the centre, columns stretched by 1 / cos(angle), either way.

    It is scikit-image's map, with which MNIST-C was made; the angle is in radians.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    return _either_way(images, "shear", [[[1, -s], [0, cosine]] for s in (sine, -sine)], fill)


def _either_way(images: np.ndarray, kind: str, matrices: list, fill: str) -> np.ndarray:
    """Each image by one of two maps, which its own generator chooses."""
    second = np.array([random.random() < 0.5 for random in generators(images, kind)])
    result = np.empty_like(images)
    for chosen, matrix in zip((~second, second), matrices, strict=True):
        result[chosen] = warped(images[chosen], np.array(matrix), fill)
    return result


def warped(images: np.ndarray, matrix: np.ndarray, fill: str) -> np.ndarray:
    """Images whose pixel at p, from the centre, is the pixel at ``matrix`` p of those that are given, bilinearly.

    Args:
        matrix: (2, 2), of x and y in pixels.
        fill: ``black`` or ``edge``, what lies beyond the image.
    """
    height, width = images.shape[1:3]
    centre = (np.array([width, height]) - 1)[:, None, None] / 2
    rows, columns = np.indices((height, width))
    x, y = np.tensordot(matrix, np.stack([columns, rows]) - centre, axes=1) + centre
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge" if fill == "edge" else "constant")
    (top, down), (left, right) = _neighbours(y, height), _neighbours(x, width)
    down, right = down[..., None].astype(np.float32), right[..., None].astype(np.float32)
    upper = padded[:, top, left] * (1 - right) + padded[:, top, left + 1] * right
    lower = padded[:, top + 1, left] * (1 - right) + padded[:, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _neighbours(position: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the lower neighbour of a position in a padded axis, and the weight of the upper one."""
    inside = np.clip(position, -1, length) + 1
    lower = np.minimum(np.floor(inside), length).astype(int)
    return lower, inside - lower


def inversion(images: np.ndarray, _parameter: float, fill: str) -> np.ndarray:
    """The negative."""
    return 1 - images


def horizontal_flip(images: np.ndarray, _parameter: float, fill: str) -> np.ndarray:
    """Left and right exchanged."""
    return images[:, :, ::-1]


def vertical_flip(images: np.ndarray, _parameter: float, fill: str) -> np.ndarray:
    """Top and bottom exchanged."""
    return images[:, ::-1]


ALL_OF_IT = (1.0,)
"""Parameters of what has no degrees: one severity."""

KINDS = {
    "gaussian_noise": Kind(gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Kind(shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": Kind(impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "gaussian_blur": Kind(gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": Kind(contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "brightness": Kind(brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "jpeg_compression": Kind(jpeg_compression, (80, 65, 58, 50, 40)),
    "rotation": Kind(rotation, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "shear": Kind(shear, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "inversion": Kind(inversion, ALL_OF_IT),
    "horizontal_flip": Kind(horizontal_flip, ALL_OF_IT),
    "vertical_flip": Kind(vertical_flip, ALL_OF_IT),
}
"""Every kind of corruption, in the order of tables and figures."""
