"""Whole numbers scaled down to a maximum, different ones staying different: what a reduced study is made with."""

from collections.abc import Iterable


def scaled(numbers: Iterable[int], most: int) -> dict[int, int]:
    """Each number with one that is not larger than ``most``, if that leaves room for all; different ones stay so."""
    numbers = sorted(set(numbers))
    if not numbers or numbers[-1] <= most:
        return {number: number for number in numbers}
    smaller: dict[int, int] = {}
    last = 0
    for number in numbers:
        last = smaller[number] = max(last + 1, number * most // numbers[-1])
    return smaller
