"""Files that `evaluate` writes for a variant. Each holds all seeds, so that large studies have fewer files.

metrics.json has an entry for each run. The arrays of predictions.npz and features.npz begin with the axis of the seeds,
whose order is in their array ``seeds``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convlab.common import checksums
from convlab.common.files import read_arrays, read_json, write_arrays, write_json


def write_evaluation(
    folder: Path,
    measured: Mapping[int, Mapping[str, Any]],
    probabilities: Sequence[np.ndarray],
    features: Mapping[str, Sequence[np.ndarray]],
    images: np.ndarray,
) -> None:
    """Write predictions.npz, features.npz and, last, metrics.json, which marks them as complete.

    Args:
        measured: the metrics of each seed's run, by seed; the arrays below are in this order.
        probabilities: float (images, classes) for each run.
        features: ``filters`` and ``feature_maps`` of each run, as :func:`read_features` returns them.
        images: indices of the test images that have feature maps, int (n,).
    """
    seeds = np.array(list(measured))
    write_arrays(folder / "predictions.npz", seeds=seeds, probabilities=np.stack(probabilities))
    kept = {name: np.stack(arrays) for name, arrays in features.items() if arrays}
    write_arrays(folder / "features.npz", seeds=seeds, images=images, **kept)
    write_json(
        folder / "metrics.json",
        {"format": 1, "runs": [{"seed": seed, **measures} for seed, measures in measured.items()]},
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


def read_features(folder: Path, seed: int) -> dict[str, np.ndarray]:
    """Features of one run: ``images``, indices of n test images, int (n,); and of its first convolution, if any,
    ``filters`` (height, width, channels, filters) and ``feature_maps`` (n, height, width, filters)."""
    file = folder / "features.npz"
    arrays = dict(read_arrays(file))
    (position,) = _positions(file, arrays.pop("seeds"), [seed])
    return {name: array if name == "images" else array[position] for name, array in arrays.items()}


def _positions(file: Path, seeds: Iterable[int], wanted: Sequence[int]) -> list[int]:
    """Positions of the wanted seeds among a file's seeds. Raises UserError for one that the file lacks."""
    positions = {int(seed): position for position, seed in enumerate(seeds)}
    try:
        return [positions[seed] for seed in wanted]
    except KeyError as error:
        raise checksums.damaged(file, f"it has nothing of seed {error}") from None
