"""Confusion matrices and their differences as tables."""

from collections.abc import Sequence

import numpy as np

from convlab.findings.study_results import StudyResults
from convlab.language import numbers as say
from convlab.language.numbers import signed
from convlab.page.views import Matrix, Table

MAX_MATRIX_CLASSES = 25
"""Up to this many classes a confusion matrix is shown as a table, else as a figure."""

MAX_LISTED_CONFUSIONS = 20
"""Most frequent mistakes listed beside such a figure."""


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Matrix:
    """Counts and the share of each true class, over all seeds."""
    shares = row_shares(counts)
    return Matrix(
        title,
        classes,
        [[say.count(value) for value in row] for row in counts],
        [[say.MISSING if value is None else say.number(100 * value, 1) for value in row] for row in shares],
        [[round(value or 0, 4) for value in row] for row in shares],
    )


def confusion_difference(
    first: Sequence[Sequence[int]], second: Sequence[Sequence[int]], classes: Sequence[str], title: str
) -> Matrix:
    """Shares of the first minus shares of the second, percentage points."""
    pairs = [
        list(zip(row_a, row_b, strict=True)) for row_a, row_b in zip(row_shares(first), row_shares(second), strict=True)
    ]
    shares = [[None if None in pair else pair[0] - pair[1] for pair in row] for row in pairs]
    reach = max((abs(value) for row in shares for value in row if value is not None), default=0) or 1.0
    texts = [[_difference(value) for value in row] for row in shares]
    depths = [[round((value or 0) / reach, 4) for value in row] for row in shares]
    return Matrix(title, classes, [], texts, depths, True)


def _difference(share: float | None) -> str:
    if share is None:
        return say.MISSING
    return signed(100 * share, 1) if abs(share) >= 0.0005 else "0"


def row_shares(counts: Sequence[Sequence[int]]) -> list[list[float | None]]:
    """Each row divided by its sum; None for a class without test images."""
    return [[value / sum(row) if sum(row) else None for value in row] for row in counts]


def most_confused(results: StudyResults, dataset: str, variant: str) -> Table | None:
    """The most frequent mistakes, if there are too many classes for a confusion matrix as a table; else None."""
    classes, counts = results.classes[dataset], np.array(results.confusions[dataset][variant])
    if len(classes) <= MAX_MATRIX_CLASSES:
        return None
    mistakes = counts - np.diag(counts.diagonal())
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MAX_LISTED_CONFUSIONS]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, counts.shape), strict=True):
        if mistakes[true, predicted]:
            share = mistakes[true, predicted] / counts[true].sum()
            named = (classes[true], classes[predicted])
            rows.append((*named, say.count(mistakes[true, predicted]), say.percent(share, 1)))
    caption_values = {"label": results.label(variant), "n": say.count(len(rows))}
    return Table("most_confused", ("class", "predicted", "mistakes", "share"), rows, caption_values)


def matrices(results: StudyResults, dataset: str) -> tuple[dict[str, Matrix], list[Matrix]]:
    """Confusion matrices of the variants with details, and their differences within each question; none with more than
    ``MAX_MATRIX_CLASSES`` classes."""
    classes, counts = results.classes[dataset], results.confusions.get(dataset, {})
    if len(classes) > MAX_MATRIX_CLASSES:
        return {}, []
    known = {name: matrix for name, matrix in counts.items() if len(matrix)}
    confusions = {name: confusion_matrix(matrix, classes, results.label(name)) for name, matrix in known.items()}
    pairs = dict.fromkeys(
        (name, question.reference)
        for question in results.plan.questions.values()
        for name in question.variants
        if name in known and question.reference in known
    )
    differences = [
        confusion_difference(known[a], known[b], classes, f"{results.label(a)} − {results.label(b)}") for a, b in pairs
    ]
    return confusions, differences
