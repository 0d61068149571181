"""Scaling whole numbers down to a maximum so that different ones stay different, for reduced studies."""

from collections.abc import Iterable


def scaled(numbers: Iterable[int], most: int) -> dict[int, int]:
    """Map each number to a smaller one, at most ``most`` if there are not too many; different ones stay different."""
    numbers = sorted(set(numbers))
    if not numbers or numbers[-1] <= most:
        return {number: number for number in numbers}
    smaller: dict[int, int] = {}
    last = 0
    for number in numbers:
        last = smaller[number] = max(last + 1, number * most // numbers[-1])
    return smaller
