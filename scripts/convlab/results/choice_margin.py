"""How sure the choice of the exported variant is: candidates that validation data do not tell apart, and optimism.

References
----------
Cawley, Talbot (2010), On over-fitting in model selection and subsequent selection bias in performance evaluation, JMLR
11, 2079-2107.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from convlab.statistics.describe import MIN_SEEDS, NO_SPREAD, t_critical


@dataclass(frozen=True)
class ChoiceMargin:
    """The chosen variant among its candidates, on validation data of one dataset.

    Attributes:
        n_candidates: variants of which as large a share of runs finished as of the chosen one, itself included.
        n_seeds: finished runs of the chosen variant.
        equals: candidates whose mean validation accuracy is not told from that of the chosen one, in the order given.
        fewest_macs: of the chosen variant and its equals the one with the fewest MACs, the chosen one if it is among
            several.
        optimism: by how much the chosen variant's mean validation accuracy is too high, on average and at most, because
            it was chosen for it (a fraction); None below ``MIN_SEEDS``, 0 with a single candidate.
        validation_images: how many the data bring, the same for all seeds; None where each seed draws its own.
    """

    n_candidates: int
    n_seeds: int
    equals: tuple[str, ...]
    fewest_macs: str
    optimism: float | None
    validation_images: int | None = None


def choice_margin(
    runs: pd.DataFrame, chosen: str, macs: Mapping[str, int], validation_images: int | None = None
) -> ChoiceMargin:
    """Compare the chosen variant with the other candidates on validation data.

    Runs of one seed share their validation images, so that variants are paired by seed. A candidate is told apart if
    the 95 % t interval of the paired differences lies on one side of 0, adjusted by Bonferroni over all pairs of
    candidates, since which of them is the highest shows only afterwards;
    with fewer than ``MIN_SEEDS`` common seeds, or differences that do not vary, it is not.

    Optimism: of k candidates that are equally good, the highest of their means exceeds the true one by the expected
    maximum of k standard normal deviates times the standard error of a mean, if their errors are independent. That is
    the most: errors that candidates share, and candidates that are worse, make it less. The SD of a run is pooled over
    the candidates. The epoch, chosen on the same images, adds to it and is not counted. Where the data bring the
    validation images, they are one sample for all seeds, whose error no number of seeds makes smaller: the binomial
    variance of an accuracy over that many images is then added to that of the mean.

    Args:
        runs: variant, seed, val_accuracy and status of all runs of the candidates on one dataset.
        chosen: the variant that :func:`convlab.results.choice.chosen_variant` gave.
        macs: MACs by variant.
        validation_images: how many the data bring, the same for all seeds; None where each seed draws its own.
    """
    wide = runs.assign(score=runs["val_accuracy"].where(runs["status"] == "finished").astype(float))
    wide = wide.pivot(index="seed", columns="variant", values="score")
    n_runs = runs["variant"].value_counts()
    scores = {name: wide[name].to_numpy() for name in runs["variant"].unique()}
    share = {name: np.isfinite(values).sum() / n_runs[name] for name, values in scores.items()}
    candidates = [name for name in share if name == chosen or math.isclose(share[name], share[chosen])]
    n_pairs = math.comb(len(candidates), 2)
    equals = tuple(
        name for name in candidates if name != chosen and not _told_apart(scores[chosen] - scores[name], n_pairs)
    )
    cheapest = min((chosen, *equals), key=lambda name: macs[name])
    n_seeds = int(np.isfinite(scores[chosen]).sum())
    optimism = _optimism([scores[name] for name in candidates], n_seeds, validation_images)
    return ChoiceMargin(len(candidates), n_seeds, equals, cheapest, optimism, validation_images)


def _told_apart(differences: NDArray, n_pairs: int) -> bool:
    """Whether paired differences exclude 0 at 95 %, adjusted over ``n_pairs`` comparisons; NaN ones are left out."""
    differences = differences[np.isfinite(differences)]
    n = len(differences)
    if n < MIN_SEEDS:
        return False
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    if error <= NO_SPREAD:
        return False
    return bool(abs(differences.mean()) > t_critical(n - 1, 1 - 0.05 / n_pairs) * error)


def _optimism(scores: Sequence[NDArray], n_seeds: int, validation_images: int | None) -> float | None:
    """Expected excess of the highest of the candidates' means over the true one, were all equally good.

    Args:
        scores: validation accuracies of each candidate's runs, NaN where one diverged.
        n_seeds: runs behind a mean.
        validation_images: how many all runs share, or None.
    """
    if len(scores) == 1:
        return 0.0
    finished = [values[np.isfinite(values)] for values in scores]
    df = sum(max(len(values) - 1, 0) for values in finished)
    if n_seeds < MIN_SEEDS or not df:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in finished if len(values))
    variance = squares / df / n_seeds
    if validation_images:
        means = [float(values.mean()) for values in finished if len(values)]
        variance += sum(mean * (1 - mean) for mean in means) / len(means) / validation_images
    return expected_maximum(len(scores)) * math.sqrt(variance)


@lru_cache(maxsize=256)
def expected_maximum(k: int) -> float:
    """Expected maximum of k independent standard normal deviates, by quadrature; 0.846 for three."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    z, reach = 9 * nodes, 9.0
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(reach * (weights * z * k * density * special.ndtr(z) ** (k - 1)).sum())
