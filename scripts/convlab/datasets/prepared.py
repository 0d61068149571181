"""Prepared data: verified reading, stratified splits, nested subsets, permuted pixels, random seeds of a run.

Training imports this module, so an edit here retrains everything: keep it small.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convlab.common import checksums
from convlab.common.files import array_sha256, missing, read_json
from convlab.errors import UserError

MANIFEST_FORMAT = 1
"""Version of ``manifest.json``; raised when its meaning changes."""

PERMUTATION_SEED = 1
"""Seed of the block order in ``permute_pixels``."""

SEED_PURPOSES = ("initialisation", "shuffling", "dropout", "augmentation", "split", "subset")
"""Purposes of a run's random numbers, one independent stream each, so that changing one leaves the others alone."""


@dataclass(frozen=True)
class Dataset:
    """Images (uint8, NHWC), labels (int64, indices into ``classes``) and the classes' names.

    ``x_validation`` and ``y_validation`` are a validation split that the data bring, or None.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None


def load(directory: Path) -> Dataset:
    """Read all that ``prepare`` wrote to ``directory``.

    Raises UserError where ``data.npz`` is missing, damaged, or not what ``manifest.json`` describes.
    """
    arrays, classes = _read(directory, ("train", "validation", "test"))
    return Dataset(**arrays, classes=classes)


def load_train(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training images and labels. The test arrays are not read, so that training cannot use them."""
    arrays, _ = _read(directory, ("train",))
    return arrays["x_train"], arrays["y_train"]


def load_validation(directory: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels of the validation split that the data bring; None where they bring none."""
    arrays, _ = _read(directory, ("validation",))
    return (arrays["x_validation"], arrays["y_validation"]) if arrays else None


def load_test(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Test images and labels."""
    arrays, _ = _read(directory, ("test",))
    return arrays["x_test"], arrays["y_test"]


def split(labels: np.ndarray, fraction: float, seed: int | np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices for training and for validation, ``fraction`` of every class to the nearest image.

    A class of two or more images keeps at least one on each side; a class of one image stays in training.
    Raises UserError for a fraction outside (0, 1) and where no class has two images.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the validation fraction {fraction} must lie between 0 and 1")
    generator = np.random.default_rng(seed)
    validation = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= 2:
            count = min(max(int(len(members) * fraction + 0.5), 1), len(members) - 1)
            validation.append(generator.permutation(members)[:count])
    if not validation:
        raise UserError("cannot set validation images aside: no class has two images; add images to the training data")
    held_out = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True), held_out


def nested_subset(labels: np.ndarray, size: int | None, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Sorted indices of ``size`` images that keep the classes' proportions; None takes all.

    Nested: with one seed, a smaller subset is contained in every larger one, so that a curve over the training size
    adds images and swaps none. Raises UserError where ``size`` is not between 1 and the number of images.
    """
    if size is None:
        return np.arange(len(labels))
    return np.sort(_first(proportional_order(labels, np.random.default_rng(seed)), size))


def first_images(labels: np.ndarray, size: int | None) -> np.ndarray:
    """Like ``nested_subset``, but deterministic: the first images of every class."""
    return np.arange(len(labels)) if size is None else np.sort(_first(proportional_order(labels), size))


def proportional_order(labels: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
    """An order of all images of which every prefix keeps the classes' proportions as well as integers allow.

    The k-th of a class's n images comes at (k - 1/2) / n, which is Webster's (Sainte-Laguë's) apportionment; unlike the
    largest remainder it never takes an image back when the size grows. Equals are ordered by chance, or by appearance
    without a ``generator``.
    """
    order = np.arange(len(labels)) if generator is None else generator.permutation(len(labels))
    _, codes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    rank = np.empty(len(labels), np.int64)
    rank[np.argsort(codes, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return order[np.argsort((rank + 0.5) / counts[codes], kind="stable")]


def seed_streams(seed: int) -> dict[str, int]:
    """Independent 32-bit seeds by purpose, from a run's seed alone: equal for all variants, which pairs their runs."""
    streams = {}
    for purpose in SEED_PURPOSES:
        key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
        streams[purpose] = int(np.random.SeedSequence(seed, spawn_key=(key,)).generate_state(1)[0])
    return streams


def _first(order: np.ndarray, size: int) -> np.ndarray:
    if not 1 <= size <= len(order):
        raise UserError(f"a subset of {size:,} images is not possible; choose 1 to {len(order):,}, or null for all")
    return order[:size]


def _read(directory: Path, parts: Iterable[str]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Images and labels of each part in ``data.npz``, checked against the manifest, and the classes.

    A ``validation`` part that the manifest does not have is left out.
    """
    path = directory / "data.npz"
    manifest = read_json(directory / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != MANIFEST_FORMAT:
        raise checksums.damaged(directory / "manifest.json", f"it is not a manifest of format {MANIFEST_FORMAT}")
    parts = [part for part in parts if part != "validation" or "x_validation" in manifest["arrays"]]
    names = [f"{axis}_{part}" for part in parts for axis in "xy"]
    try:
        with np.load(path, allow_pickle=False) as archive:  # reads an array when it is asked for, not before
            arrays = {name: archive[name] for name in names}
    except FileNotFoundError:
        raise missing(path) from None
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise checksums.damaged(path, str(error)) from None
    for name, array in arrays.items():
        dtype, dimensions = (np.uint8, 4) if name.startswith("x_") else (np.int64, 1)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
            raise checksums.damaged(path, f"{name} is not an array of {np.dtype(dtype)} with rank {dimensions}")
        if array_sha256(array) != manifest["arrays"][name]["sha256"]:
            raise checksums.damaged(path, f"{name} is not the array that manifest.json describes: its SHA-256 differs")
    return arrays, tuple(manifest["classes"])


def permute_pixels(images: np.ndarray, block: int | None) -> np.ndarray:
    """Permute the blocks of ``block`` × ``block`` pixels of images (n, height, width, channels), in one fixed order.

    The order depends on the image's size and ``block`` alone, so that training, validation and test images, every seed
    and every variant share it. Inside a block pixels stay together; 1 moves every pixel on its own; None changes
    nothing. Rows and columns that fill no block stay where they are. Raises UserError if the image holds fewer than two
    blocks.
    """
    if block is None:
        return images
    height, width = images.shape[1:3]
    rows, columns = height // block, width // block
    if rows * columns < 2:
        raise UserError(f"pixel_permutation {block} leaves no two blocks in images of {height}×{width}; choose less")
    order = np.random.default_rng([PERMUTATION_SEED, height, width, block]).permutation(rows * columns)
    indices = np.arange(height * width).reshape(height, width)
    inner = indices[: rows * block, : columns * block]
    blocks = inner.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(rows * columns, block, block)[order]
    inner[:] = blocks.reshape(rows, columns, block, block).swapaxes(1, 2).reshape(inner.shape)
    return images.reshape(len(images), height * width, -1)[:, indices.ravel()].reshape(images.shape)
