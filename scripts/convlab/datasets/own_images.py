"""Checks that a user's own images suffice, by the number in each class. Standard library only."""

from collections.abc import Mapping

from convlab.errors import UserError


def check_counts(
    key: str, counts: Mapping[str, int], test_fraction: float | None, given_validation: bool = False
) -> None:
    """Raise UserError for classes of too few images to train on, to validate with unless the data bring validation
    images, and, unless ``test_fraction`` is None because they bring test images, to test with."""
    smallest = min(counts, key=lambda name: counts[name])
    left = dict(counts)
    if test_fraction is not None:
        if counts[smallest] < 2:
            raise UserError(
                f"{key} has {counts[smallest]} image of class {smallest!r}, too few to train on and to test with; add "
                "images, remove the class, or bring test images"
            )
        left = {name: n - held_out(n, test_fraction) for name, n in counts.items()}
    if not given_validation and max(left.values()) < 2:
        raise UserError(
            f"{key} has one training image of each of its {len(counts):,} classes, and none to set aside for "
            "validation; add images"
            + (
                ""
                if test_fraction is None
                else f", or bring test images (now {key}.test_fraction {test_fraction:g} of every class is held out)"
            )
        )


def held_out(images: int, fraction: float) -> int:
    """How many of a class's images a stratified split sets aside (``prepared.split``)."""
    return min(max(int(images * fraction + 0.5), 1), images - 1)
