"""Planned looks in words: at which look something was settled, and whether the plan goes on."""

from collections.abc import Sequence

from convlab.common.i18n import gettext as _
from convlab.statistics.sequential import Look


def settled_text(look: int, n_looks: int, n_seeds: int) -> str:
    """``settled at look 2 of 5, with 6 seeds``."""
    return _("settled at look {look} of {n}, with {seeds} seeds", look=look, n=n_looks, seeds=n_seeds)


def unsettled_text(look: Look) -> str:
    """``not settled at look 2 of 5, with 6 seeds; the plan goes on with more``."""
    if look.number == look.n_looks:
        return _("not settled at the last of {n} planned looks, with {seeds} seeds", n=look.n_looks, seeds=look.n_seeds)
    return _(
        "not settled at look {look} of {n}, with {seeds} seeds; the plan goes on with more",
        look=look.number,
        n=look.n_looks,
        seeds=look.n_seeds,
    )


def look_text(settled: Look | None, present: Look, verdict: str) -> str:
    """Clause about the look of a verdict; nothing about what is only described.

    Args:
        settled: the look that settled it, if one did; ``present``: the last look that was reached.
    """
    if settled is not None and verdict != "inconclusive":
        return settled_text(settled.number, settled.n_looks, settled.n_seeds)
    return unsettled_text(present) if verdict == "inconclusive" else ""


def progress_text(look: int, counts: Sequence[int], settled: int, unsettled: int) -> str:
    """First line about a study with planned looks: how far it has come, and what follows.

    Args:
        look: the present look, from 1.
        counts: seeds at each look.
        settled, unsettled: numbers of comparisons and claims.
    """
    parts = {"look": look, "n": len(counts), "seeds": counts[look - 1], "settled": settled, "all": settled + unsettled}
    if not unsettled:
        return _("Look {look} of {n}, with {seeds} seeds: all {all} comparisons and claims are settled.", **parts)
    if look == len(counts):
        return _(
            "Look {look} of {n}, the last, with {seeds} seeds: {settled} of {all} comparisons and claims are settled.",
            **parts,
        )
    return _(
        "Look {look} of {n} planned ones, with {seeds} seeds: {settled} of {all} comparisons and claims are settled. "
        "The others get more seeds, up to {most}, at error rates that were fixed beforehand: make settle goes on.",
        **parts,
        most=counts[-1],
    )


def with_look(sentence: str, clause: str) -> str:
    """A sentence with a clause about its look as a sentence of its own; as it is without one."""
    return f"{sentence} {clause[0].upper()}{clause[1:]}." if clause else sentence
