"""Scores of attribution maps: rank correlation of two maps, share of a map inside a region. Arrays in, numbers out."""

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of a map's values from 0, equal values with the mean of theirs; flat, (n,)."""
    _distinct, inverse, counts = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[np.ravel(inverse)]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps of one shape, ties at their mean rank; NaN where one map is constant."""
    pair = [ranks(values) for values in (first, second)]
    pair = [values - values.mean() for values in pair]
    length = np.sqrt(np.sum(pair[0] ** 2) * np.sum(pair[1] ** 2))
    return float(np.sum(pair[0] * pair[1]) / length) if length else float("nan")


def rank_accuracy(relevance: np.ndarray, region: np.ndarray) -> float:
    """Share of the strongest pixels that lie inside a region, as many of them as the region has (Arras et al. 2022).

    Args:
        relevance: (height, width), not negative.
        region: bool (height, width), with at least one pixel.

    Returns:
        From 0 to 1; a map that knows nothing of the region has the region's share of the image on average. Of pixels
        that tie for the last ranks each counts with its probability to be among them: a constant map has chance level.
    """
    flat, inside = np.ravel(relevance), np.ravel(region)
    count = int(inside.sum())
    last = np.sort(flat)[-count]
    above, tied = flat > last, flat == last
    drawn = (count - above.sum()) / tied.sum()
    return float((inside[above].sum() + drawn * inside[tied].sum()) / count)


def mass_accuracy(relevance: np.ndarray, region: np.ndarray) -> float:
    """Share of a map's total that lies inside a region (Arras et al. 2022); NaN where the map is zero everywhere.

    Args:
        relevance: (height, width), not negative.
        region: bool (height, width).
    """
    total = float(relevance.sum())
    return float(relevance[region].sum()) / total if total else float("nan")
