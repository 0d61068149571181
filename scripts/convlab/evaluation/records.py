"""Files that `evaluate` writes for a variant. Each holds all seeds, so that large studies have fewer files.

metrics.json has an entry for each run. The arrays of predictions.npz begin with the axis of the seeds, whose order is
in its array ``seeds``. features.npz is about one run, the first that finished: filters and feature maps are pictures;
what is said about all seeds is measured in metrics.json (``convolutions``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convlab.common import checksums
from convlab.common.files import read_arrays, read_json, write_arrays, write_json


@dataclass(frozen=True)
class Convolution:
    """A convolution of a trained model as it is shown: its first filters, and their maps of some images.

    Attributes:
        count: how many filters it has.
        filters: float32 (n, height, width, channels) of the first ones: weights, of 1 or 3 channels; or, if
            ``is_norm``, the norm of the weights over all input channels.
        maps: uint8 (images, n, height, width), feature maps of the first filters, 0 the smallest and 255 the largest
            output that is shown.
    """

    layer: str
    count: int
    filters: np.ndarray
    is_norm: bool
    maps: np.ndarray


@dataclass(frozen=True)
class Features:
    """Convolutions of one run of a variant, on fixed test images.

    Attributes:
        seed: of the run; None where none finished.
        images: indices of the test images, int (n,).
    """

    seed: int | None
    images: np.ndarray
    convolutions: Sequence[Convolution] = field(default_factory=list)


def write_evaluation(
    folder: Path, measured: Mapping[int, Mapping[str, Any]], probabilities: Sequence[np.ndarray], features: Features
) -> None:
    """Write predictions.npz, features.npz and, last, metrics.json, which marks them as complete.

    Args:
        measured: the metrics of each seed's run, by seed; the arrays below are in this order.
        probabilities: float (images, classes) for each run.
    """
    seeds = np.array(list(measured))
    write_arrays(folder / "predictions.npz", seeds=seeds, probabilities=np.stack(probabilities))
    write_features(folder / "features.npz", features)
    write_json(
        folder / "metrics.json",
        {"format": 1, "runs": [{"seed": seed, **measures} for seed, measures in measured.items()]},
    )


def write_features(file: Path, features: Features) -> None:
    """Write features.npz: ``filters_1`` and ``maps_1`` are of the first layer, ``seed`` is empty without a run."""
    convolutions, arrays = features.convolutions, {}
    for number, convolution in enumerate(convolutions, 1):
        arrays |= {f"filters_{number}": convolution.filters, f"maps_{number}": convolution.maps}
    write_arrays(
        file,
        seed=np.array([] if features.seed is None else [features.seed], np.int64),
        images=features.images,
        layers=np.array([convolution.layer for convolution in convolutions], np.str_),
        counts=np.array([convolution.count for convolution in convolutions], np.int64),
        norms=np.array([convolution.is_norm for convolution in convolutions], bool),
        **arrays,
    )


def read_measures(folder: Path, seeds: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Metrics of the runs with these seeds, by seed."""
    file = folder / "metrics.json"
    runs = read_json(file)["runs"]
    positions = _positions(file, [entry["seed"] for entry in runs], seeds)
    return {seed: runs[position] for seed, position in zip(seeds, positions, strict=True)}


def read_probabilities(folder: Path, seeds: Sequence[int]) -> np.ndarray:
    """Class probabilities of all test images, for the runs with these seeds: float32 (seeds, images, classes)."""
    file = folder / "predictions.npz"
    arrays = read_arrays(file)
    return arrays["probabilities"][_positions(file, arrays["seeds"], seeds)]


def read_features(folder: Path) -> Features:
    """Features of a variant's first finished run."""
    file = folder / "features.npz"
    arrays = read_arrays(file)
    try:
        convolutions = [
            Convolution(str(layer), int(count), arrays[f"filters_{number}"], bool(norm), arrays[f"maps_{number}"])
            for number, (layer, count, norm) in enumerate(
                zip(arrays["layers"], arrays["counts"], arrays["norms"], strict=True), 1
            )
        ]
        return Features(next(map(int, arrays["seed"]), None), arrays["images"], convolutions)
    except KeyError as error:
        raise checksums.damaged(file, f"it has no array {error}") from None


def _positions(file: Path, seeds: Iterable[int], wanted: Sequence[int]) -> list[int]:
    """Positions of the wanted seeds among a file's seeds. Raises UserError for one that the file lacks."""
    positions = {int(seed): position for position, seed in enumerate(seeds)}
    try:
        return [positions[seed] for seed in wanted]
    except KeyError as error:
        raise checksums.damaged(file, f"it has nothing of seed {error}") from None
