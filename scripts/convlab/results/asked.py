"""Which of a study's questions and claims are adjusted together: what was registered, and what came afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, TypeVar

from convlab.study.registration import Standings

FamilyType = TypeVar("FamilyType")
"""``results.family.Family``, whose fields are mappings from questions and claims."""


@dataclass(frozen=True)
class Asked:
    """The questions and claims of one family.

    Attributes:
        standings: their standing; None for a family of all.
        dropped: tested questions and claims that count beside those of the config: registered and no more in it.
    """

    standings: Standings | None = None
    dropped: int = 0

    def holds(self, kind: Literal["question", "claim"], dataset: str, name: str) -> bool:
        """Whether a question or claim belongs to this family."""
        return self.standings is None or not getattr(self.standings, kind)(dataset, name).exploratory

    @property
    def dropped_p_values(self) -> dict[tuple[str, ...], dict[str, float]]:
        """P values of what was dropped, for the adjustment: it rejects nothing, and counts."""
        return {("dropped", str(number)): {"": 1.0} for number in range(self.dropped)}


ALL = Asked()


def family_by_registration(family_of: Callable[[Asked], FamilyType], standings: Standings) -> FamilyType:
    """The family of a study, adjusted by what was registered before any run.

    Registered questions and claims are adjusted together, with what was registered and dropped, and without what came
    later. Exploratory ones are adjusted over everything, so that a claim of after a look never gets a smaller p value
    than it would have had before. Where nothing is exploratory or dropped there is one family of all.

    Args:
        family_of: the family of what is asked.
    """
    everything = family_of(Asked(dropped=_tested(standings.removed)))
    later = any(
        getattr(standings, entry.kind)(entry.dataset, entry.name).exploratory
        for entry in standings.entries
        if entry.kind in ("question", "claim")
    )
    if not later and not standings.dropped:
        return everything
    registered = family_of(Asked(standings, _tested(standings.dropped)))
    return type(everything)(
        **{
            field.name: getattr(everything, field.name) | getattr(registered, field.name)
            for field in fields(everything)
        }
    )


def _tested(labels: list) -> int:
    return sum(label["tested"] for label in labels)
