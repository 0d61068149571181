"""Comparisons on new test images: verdicts of the crossed model, and the split of the scatter over seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlab.language.contrasts import contrast_labels
from convlab.language.new_images import narrowing_sentence, new_images_sentence, scatter_sentence
from convlab.results import columns
from convlab.statistics.comparisons import Contrast, verdict
from convlab.statistics.images import CrossedDifference, crossed_difference
from convlab.statistics.multiplicity import holm
from convlab.study.metrics import ACCURACY
from convlab.study.variants import Plan

NOT_TESTED = {"new_images_verdict": "inconclusive"} | dict.fromkeys(
    ("new_images_sentence", "new_images_narrowing", "new_images_scatter"), ""
)
"""Columns of a comparison whose sides share no seed; all others are empty."""


def with_new_images(
    comparisons: pd.DataFrame,
    correct: Mapping[tuple[str, str, int], np.ndarray],
    plan: Plan,
    rope: float,
    share: float = 1.0,
) -> pd.DataFrame:
    """The comparisons with a verdict that also holds for new test images: columns ``new_images_*`` and ``sd_seeds_*``.

    The rule is that of the other verdict (:func:`convlab.statistics.comparisons.verdict`), over a family of its own:
    p values of differences are adjusted over all contrasts of the study by Holm's method, those of equivalence by
    Bonferroni's. The crossed model's intervals stand for themselves and are not simultaneous over an experiment.

    Args:
        correct: (dataset, variant, seed) -> bool (images,), whether each test image is classified rightly; finished
            runs only. Seeds that one of the two variants lacks are left out.
        rope: half width of the region of practical equivalence, a fraction.
        share: of the level that the present look has; p values are divided by it, so that over all planned looks the
            error rate is that of the whole level (:mod:`convlab.statistics.sequential`).
    """
    rows = comparisons.to_dict("records")
    crossed = [_crossed(row, correct, rope) for row in rows]
    over_contrasts = holm([result and result.p_value for result in crossed])
    p_adjusted = [None if p is None else min(1.0, p / share) for p in over_contrasts]
    bonferroni = sum(p is not None for p in p_adjusted) / share
    added = [
        NOT_TESTED if result is None else _columns(row, result, p, bonferroni, plan, rope)
        for row, result, p in zip(rows, crossed, p_adjusted, strict=True)
    ]
    table = pd.DataFrame(added, columns=list(columns.NEW_IMAGES), index=comparisons.index)
    return pd.concat([comparisons, table], axis=1)


def _crossed(
    row: Mapping[str, Any], correct: Mapping[tuple[str, str, int], np.ndarray], rope: float
) -> CrossedDifference | None:
    """The crossed model of one comparison; None without a seed that both sides have."""
    dataset, sides = row["dataset"], (row["variant"], row["reference"])
    seeds = [
        seed
        for of_dataset, variant, seed in correct
        if (of_dataset, variant) == (dataset, sides[0]) and (dataset, sides[1], seed) in correct
    ]
    if not seeds:
        return None
    return crossed_difference(
        *(np.stack([correct[dataset, name, seed] for seed in seeds]) for name in sides), rope=rope
    )


def _columns(
    row: Mapping[str, Any],
    crossed: CrossedDifference,
    p_adjusted: float | None,
    bonferroni: float,
    plan: Plan,
    rope: float,
) -> dict[str, Any]:
    """The columns of one comparison. ``bonferroni``: what the p value of equivalence is multiplied by."""
    contrast = Contrast(
        row["variant"],
        row["reference"],
        int(row["n_variant"]),
        int(row["n_reference"]),
        crossed.difference,
        *(
            ACCURACY.within_difference(limit)
            for limit in (crossed.ci_low, crossed.ci_high, crossed.ci90_low, crossed.ci90_high)
        ),
        p_value=crossed.p_value,
        p_equivalence=crossed.p_equivalence,
        method="none" if crossed.p_value is None else "seeds crossed with images",
        n_seeds=crossed.n_seeds,
        n_missing_variant=int(row["n_diverged_variant"]),
        n_missing_reference=int(row["n_diverged_reference"]),
        rope=rope,
    )
    p_equivalence = None if crossed.p_equivalence is None else min(1.0, bonferroni * crossed.p_equivalence)
    reached = verdict(contrast, p_adjusted, p_equivalence)
    labels = contrast_labels(plan, plan.questions[row["experiment"]], row["variant"])
    scatter = crossed.scatter
    return {
        "new_images_ci_low": contrast.ci_low,
        "new_images_ci_high": contrast.ci_high,
        "new_images_p": crossed.p_value,
        "new_images_p_adjusted": p_adjusted,
        "new_images_p_equivalence_adjusted": p_equivalence,
        "new_images_verdict": reached,
        "new_images_sentence": new_images_sentence(contrast, p_adjusted, reached, labels, p_equivalence),
        "new_images_narrowing": narrowing_sentence(crossed),
        "new_images_scatter": scatter_sentence(crossed),
        "new_images_half_width_seeds": crossed.half_width_seeds,
        "new_images_half_width_images": crossed.half_width_images,
        "sd_seeds": scatter and scatter.on_these_images,
        "sd_seeds_these_images": scatter and scatter.by_these_images,
        "sd_seeds_any_images": scatter and scatter.on_any_images,
    }
