"""Confusion matrices and their differences as tables."""

from collections.abc import Sequence

from convlab.interpretation import words as say
from convlab.interpretation.evidence import Evidence
from convlab.page.elements import Matrix
from convlab.sentences import signed

CLASSES_IN_TABLE = 25
"""Classes up to which a confusion matrix is a table; beyond it is a figure."""


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Matrix:
    """Counts and the share of each true class, over all seeds."""
    shares = row_shares(counts)
    return Matrix(
        title,
        classes,
        [[say.count(value) for value in row] for row in counts],
        [[say.number(100 * value, 1) for value in row] for row in shares],
        [[round(value, 4) for value in row] for row in shares],
    )


def confusion_difference(
    first: Sequence[Sequence[int]], second: Sequence[Sequence[int]], classes: Sequence[str], title: str
) -> Matrix:
    """Shares of the first minus shares of the second, percentage points."""
    shares = [
        [a - b for a, b in zip(row_a, row_b, strict=True)]
        for row_a, row_b in zip(row_shares(first), row_shares(second), strict=True)
    ]
    reach = max(abs(value) for row in shares for value in row) or 1.0
    texts = [[signed(100 * value, 1) if abs(value) >= 0.0005 else "0" for value in row] for row in shares]
    return Matrix(title, classes, [], texts, [[round(value / reach, 4) for value in row] for row in shares], True)


def row_shares(counts: Sequence[Sequence[int]]) -> list[list[float]]:
    return [[value / max(sum(row), 1) for value in row] for row in counts]


def matrices(evidence: Evidence, dataset: str) -> tuple[dict[str, Matrix], list[Matrix]]:
    """Confusion of every variant that was looked at, and the differences that a question asks about; none if large."""
    classes, counts = evidence.classes[dataset], evidence.confusions.get(dataset, {})
    if len(classes) > CLASSES_IN_TABLE:
        return {}, []
    known = {name: matrix for name, matrix in counts.items() if len(matrix)}
    confusions = {name: confusion_matrix(matrix, classes, evidence.label(name)) for name, matrix in known.items()}
    pairs = dict.fromkeys(
        (name, question.reference)
        for question in evidence.plan.questions.values()
        for name in question.variants
        if name in known and question.reference in known
    )
    differences = [
        confusion_difference(known[a], known[b], classes, f"{evidence.label(a)} − {evidence.label(b)}")
        for a, b in pairs
    ]
    return confusions, differences
