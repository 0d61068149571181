"""The attributions probe: maps of three methods on fixed test images, and the sanity checks of each method.

``randomised`` compares each map with that of the same architecture with new random weights (Adebayo et al. 2018),
``planted`` asks whether a method points to the one square that tells the class on planted data (Arras et al. 2022),
``agreement`` compares the runs of a variant. Arrays in, rows and arrays out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlab.evaluation.networks import Network
from convlab.probes.attributions import methods
from convlab.probes.attributions.planted import LEARNED, Task, Trainer
from convlab.probes.attributions.scores import mass_accuracy, rank_accuracy, rank_correlation

COLUMNS = ["method", "check", "score"]
"""One row per check of a method: ``randomised`` and ``randomised_strength`` (rank correlation with the map of an
untrained network, and that of the absolute values), ``agreement`` (with the maps of the other runs), ``planted`` and
``planted_mass`` (share inside of the square), ``incomplete`` (integrated gradients: what is missing from the sum).
Without a method: ``planted_chance``, the square's share of the image, and ``planted_accuracy``, that of the network
that was trained on planted data. Scores are means over the images."""

PLANTED_IMAGES = 8
"""Planted images on which each method is scored."""

MAX_SHOWN_RUNS = 3
"""Runs whose maps are kept for the figures, the first ones."""

MAX_SHOWN_PLANTED = 2
"""Planted images that are kept for the figures."""

GREY = 127.5


def inspect(
    networks: Sequence[Network], images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Maps of the runs of one variant and their checks.

    Args:
        networks: the finished runs.
        images: uint8 test images (n, height, width, channels); labels: (n,).
        settings: the fields of ``settings.Attributions``.

    Returns:
        Rows of ``COLUMNS`` with their seed. Arrays for the figures: ``index`` (images shown,) into the test images and
        ``images`` themselves, as the model takes them; for each method ``<method>`` int8 (runs, images, height, width)
        and ``<method>_untrained`` (images, height, width) of the first run, each map from -127 to 127 by its own
        largest absolute value; ``planted_images``, ``planted_region`` (the square) and ``<method>_planted`` where the
        first run's network learned its task. A network whose layers cannot be copied has one row, without a score, and
        no arrays.
    """
    index = np.unique(labels, return_index=True)[1][: settings["images"]]
    shown, classes = networks[0].arranged(images[index]), labels[index]
    try:
        copies = [(network.seed, network.in_float32, network.untrained()) for network in networks]
    except NotImplementedError:
        return [_row(network.seed, "", "planted_accuracy", float("nan")) for network in networks], {}
    untrained = copies[0][2]  # one network for all weights, so that it is compiled once
    trainer = Trainer(untrained)
    rows, arrays, of_runs = [], {"index": index, "images": shown}, []
    for seed, model, fresh in copies:
        untrained.set_weights(fresh.get_weights())
        trained, random = (maps(network, shown, classes, settings) for network in (model, untrained))
        task = Task.of(images.shape[1:], int(model.output_shape[-1]), seed)
        accuracy, planted = trainer.train(task, seed), task.draw(PLANTED_IMAGES, np.random.default_rng([seed, 2]))
        hits = maps(untrained, planted.images, planted.labels, settings) if accuracy >= LEARNED else {}
        rows += [
            _row(seed, "", "planted_accuracy", accuracy),
            _row(seed, "", "planted_chance", float(planted.region.mean())),
            *_randomised(seed, trained, random),
            *_planted(seed, hits, planted.region),
        ]
        if not of_runs:
            arrays |= {f"{name}_untrained": _shown(values) for name, (values, _missing) in random.items()}
            if hits:
                arrays |= {"planted_images": planted.images[:MAX_SHOWN_PLANTED], "planted_region": planted.region}
                arrays |= {f"{name}_planted": _shown(values[:MAX_SHOWN_PLANTED]) for name, (values, _) in hits.items()}
        of_runs.append({name: values for name, (values, _missing) in trained.items()})
    for name in of_runs[0]:
        arrays[name] = np.stack([_shown(run[name]) for run in of_runs[:MAX_SHOWN_RUNS]])
        rows += _agreement(name, [seed for seed, _model, _fresh in copies], [run[name] for run in of_runs])
    return rows, arrays


def maps(
    model: Any, images: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """The map of each method (n, height, width), and how far each is from complete (n,) for integrated gradients.

    Args:
        model: from float32 pixels to class probabilities.
        images: uint8 (n, height, width, channels); labels: (n,), the class that is explained.
    """
    score = methods.scorer(model)
    patch = settings["patch"] or max(1, min(images.shape[1:3]) // 4)
    stride = settings["stride"] or -(-patch // 2)
    baseline, fill = (colour(settings[key], images) for key in ("baseline", "fill"))
    cut = methods.last_feature_map(score)
    by_method = {} if cut is None else {"grad_cam": (methods.grad_cam(cut, images, labels), None)}
    return by_method | {
        "integrated_gradients": methods.integrated_gradients(score, images, labels, baseline, settings["steps"]),
        "occlusion": (methods.occlusion(score, images, labels, fill, patch, stride), None),
    }


def colour(name: str, images: np.ndarray) -> np.ndarray:
    """``black``, ``grey`` or each image's ``mean`` colour, float32 (n, 1, 1, channels) or of fewer images."""
    if name == "mean":
        return images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return np.full((1, 1, 1, 1), {"black": 0, "grey": GREY}[name], np.float32)


def _row(seed: int, method: str, check: str, score: float) -> dict[str, Any]:
    return {"seed": seed, "method": method, "check": check, "score": score}


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are defined; NaN without any."""
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _randomised(seed: int, trained: Mapping[str, Any], untrained: Mapping[str, Any]) -> list[dict]:
    rows = []
    for name, (values, missing) in trained.items():
        pairs = list(zip(values, untrained[name][0], strict=True))
        signed = _mean([rank_correlation(ours, theirs) for ours, theirs in pairs])
        strength = _mean([rank_correlation(np.abs(ours), np.abs(theirs)) for ours, theirs in pairs])
        rows += [_row(seed, name, "randomised", signed), _row(seed, name, "randomised_strength", strength)]
        if missing is not None:
            rows.append(_row(seed, name, "incomplete", _mean(missing)))
    return rows


def _planted(seed: int, hits: Mapping[str, Any], region: np.ndarray) -> list[dict]:
    rows = []
    for name, (values, _missing) in hits.items():
        rows += [
            _row(seed, name, "planted", _mean([rank_accuracy(each, region) for each in np.abs(values)])),
            _row(seed, name, "planted_mass", _mean([mass_accuracy(each, region) for each in np.abs(values)])),
        ]
    return rows


def _agreement(method: str, seeds: Sequence[int], of_runs: Sequence[np.ndarray]) -> list[dict]:
    """Mean rank correlation of each run's maps with those of all others; nothing of a single run."""
    rows = []
    for number, seed in enumerate(seeds):
        others = [other for position, other in enumerate(of_runs) if position != number]
        if others:
            correlations = [
                rank_correlation(ours, theirs)
                for other in others
                for ours, theirs in zip(of_runs[number], other, strict=True)
            ]
            rows.append(_row(seed, method, "agreement", _mean(correlations)))
    return rows


def _shown(maps_of_images: np.ndarray) -> np.ndarray:
    """Maps (n, height, width) as int8, each from -127 to 127 by its own largest absolute value."""
    largest = np.abs(maps_of_images).max(axis=(1, 2), keepdims=True)
    return np.rint(127 * maps_of_images / np.where(largest > 0, largest, 1)).astype(np.int8)
