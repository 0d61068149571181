"""Seeds of a study: a list, or planned looks (a group-sequential design) with the seeds that each variant has so far.

With planned looks the seeds are 1 to ``to``; at look j the first n_j of them are analysed. What a study has trained so
far is its schedule, results/<study>/registration/schedule.json, which ``scripts/settle.py`` writes between two
invocations of Snakemake, so that it never changes while jobs run. Standard library and pydantic only.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    create_model,
    model_validator,
)

from convlab.common.specs import PositiveWhole, Seed, Spec, as_number
from convlab.errors import UserError

MAX_SEEDS = 1000
"""Most seeds that can be asked for by number; a larger number is more likely a seed, a year or a date."""

FIRST_LOOK_SEEDS = 3
"""Fewest seeds at a look: fewer decide nothing (``convlab.statistics.describe.MIN_SEEDS``)."""

SCHEDULE = "schedule.json"


class _SeedPlan(Spec):
    """Planned looks: more seeds for what is not settled, at numbers of seeds that are fixed beforehand."""

    @model_validator(mode="after")
    def _whole_steps(self) -> "_SeedPlan":
        first, last, step = getattr(self, "from"), self.to, self.step
        if first < FIRST_LOOK_SEEDS:
            raise ValueError(f"has from: {first}; a look needs at least {FIRST_LOOK_SEEDS} seeds to decide anything")
        if last > MAX_SEEDS:
            raise ValueError(f"has to: {last:,}; a plan has at most {MAX_SEEDS:,} seeds")
        if last <= first:
            raise ValueError(f"has to: {last}, which is not above from: {first}; write seeds: {first} for one look")
        if (last - first) % step:
            below = last - (last - first) % step
            nearby = " or ".join(str(n) for n in (below, below + step) if first < n <= MAX_SEEDS)
            raise ValueError(f"has no look at to: {last}, in steps of {step} from {first}; write to: {nearby}")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of seeds at each look."""
        return tuple(range(getattr(self, "from"), self.to + 1, self.step))


SeedPlan = create_model(
    "SeedPlan",
    __base__=_SeedPlan,
    __module__=__name__,
    __doc__=_SeedPlan.__doc__,
    **{
        "from": (PositiveWhole, Field(description="Seeds at the first look.")),
        "to": (PositiveWhole, Field(description="Seeds at the last look, the most that a variant gets.")),
        "step": (PositiveWhole, Field(description="Seeds that a look adds.")),
        "pause": (
            bool,
            Field(False, description="End `make run` after the first look; `make settle` goes on from there."),
        ),
    },
)


class Seeds(tuple[int, ...]):
    """All seeds that a study may train, in ascending order; ``looks`` if they are planned, else None."""

    looks: SeedPlan | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of seeds at each look; that of all seeds where there is one look only."""
        return self.looks.counts if self.looks else (len(self),)

    def as_written(self) -> list[int] | dict[str, Any]:
        """The seeds as a config has them."""
        if self.looks is None:
            return list(self)
        return self.looks.model_dump(mode="json", exclude_defaults=True)


def _counted(seeds: Any) -> Any:
    """Seeds as they are written: a number stands for the seeds from 1 to it."""
    if seeds is None:
        return (1, 2, 3)
    if isinstance(seeds, Mapping | SeedPlan | Seeds):
        return seeds.as_written() if isinstance(seeds, Seeds) else seeds
    seeds = as_number(seeds)
    if isinstance(seeds, float) and seeds.is_integer():
        seeds = int(seeds)
    if isinstance(seeds, int):
        if seeds < 1:
            raise ValueError(f"asks for {seeds} seeds; a study needs at least one")
        if seeds > MAX_SEEDS:
            raise ValueError(
                f"asks for {seeds:,} seeds; write [{seeds}] for the one seed {seeds}, or a list for more than "
                f"{MAX_SEEDS:,} seeds"
            )
        return tuple(range(1, seeds + 1))
    if not isinstance(seeds, list | tuple):
        raise ValueError(f"should be a list (it is {seeds!r}), such as [1, 2, 3], or how many")
    return seeds


def _in_order(seeds: SeedPlan | tuple[int, ...]) -> Seeds:
    """The seeds in ascending order, all of a plan. Raises ValueError for none, or for one that is named twice."""
    if isinstance(seeds, SeedPlan):
        planned = Seeds(range(1, seeds.to + 1))
        planned.looks = seeds
        return planned
    if not seeds:
        raise ValueError("names no seed; a study needs at least one")
    ordered = Seeds(sorted(seeds))
    for seed, following in pairwise(ordered):
        if seed == following:
            raise ValueError(f"names seed {seed} twice")
    return ordered


def _form(seeds: Any) -> str:
    """Which of the two forms of seeds a value has, for messages about it."""
    return "looks" if isinstance(seeds, Mapping | SeedPlan) else "list"


FORMS = ("looks", "list")
"""What pydantic puts into the place of an error, and no user wrote."""

PlannedSeeds = Annotated[
    Annotated[SeedPlan, Tag("looks")] | Annotated[tuple[Seed, ...], Tag("list")],
    Discriminator(_form),
    BeforeValidator(_counted),
    AfterValidator(_in_order),
    PlainSerializer(lambda seeds: seeds.as_written() if isinstance(seeds, Seeds) else list(seeds)),
]
"""Type of the config's ``seeds``: its value is a :class:`Seeds`."""


@dataclass(frozen=True)
class Schedule:
    """How far a study with planned looks has come: the present look, from 1, and the seeds of each dataset's variants.

    ``counts``: number of seeds by dataset and variant; those that are missing have the seeds of the first look.
    """

    look: int = 1
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As schedule.json has it, and as scripts are given it."""
        return {"look": self.look, "seeds": {name: dict(counts) for name, counts in self.counts.items()}}

    @classmethod
    def of(cls, written: Any, seeds: Seeds) -> "Schedule":
        """The schedule as it is written, held against the study's plan. A study without planned looks has none.

        Raises:
            UserError: it is no schedule, or gives a variant seeds that the plan does not.
        """
        if seeds.looks is None or not written:
            return cls()
        planned = seeds.counts
        try:
            look = written["look"]
            counts = {str(name): dict(entries) for name, entries in written["seeds"].items()}
            ahead = {n for entries in counts.values() for n in entries.values()} - set(planned[:look])
            if not (isinstance(look, int) and 1 <= look <= len(planned)) or ahead:
                raise UserError(
                    "the schedule of looks gives seeds that the config's plan, looks at "
                    f"{', '.join(map(str, planned))} seeds, does not give at look {look}; restore the plan with which "
                    f"the study began, or delete registration/{SCHEDULE} in its results to begin again"
                )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(
                f"registration/{SCHEDULE} in the study's results is no schedule of looks; delete it, and the study "
                "begins again at its first look, with the runs that it has"
            ) from None
        return cls(look, counts)


def read_schedule(folder: Path, seeds: Seeds) -> Schedule:
    """The schedule of a study; the first look where there is no file.

    Args:
        folder: registration/ in the study's results.

    Raises:
        UserError: as :meth:`Schedule.of`.
    """
    try:
        written = json.loads((folder / SCHEDULE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = {}
    except (OSError, ValueError):
        written = "unreadable"
    return Schedule.of(written, seeds)


def extended(schedule: Schedule, seeds: Seeds, look: int, wanted: Iterable[tuple[str, str]]) -> Schedule:
    """The schedule of the look after ``look``: the wanted (dataset, variant) get its seeds, no variant loses any."""
    counts = {name: dict(entries) for name, entries in schedule.counts.items()}
    for dataset, variant in wanted:
        of_dataset = counts.setdefault(dataset, {})
        of_dataset[variant] = max(of_dataset.get(variant, 0), seeds.counts[look])
    ordered = {name: dict(sorted(counts[name].items())) for name in sorted(counts)}
    return Schedule(max(schedule.look, look + 1), ordered)


def progress(proposal: Mapping[str, Any], pause: str = "") -> str:
    """Lines that say what a look decided, what is unsettled, and why the study stops or what comes next.

    Args:
        proposal: ``looks`` of compare's summary.json.
        pause: why the study stops here although a look follows; empty where it goes on.
    """
    look, unsettled = proposal["look"], proposal["unsettled"]
    new = [entry for entry in proposal["settled"] if entry["look"] == look]
    lines = [
        f"look {look} of {proposal['n_looks']}, {proposal['seeds']} seeds, "
        f"level {100 * proposal['level']:.2g} % of the study's 5 %",
        f"  settled now: {_listed(new) or 'nothing'}",
        f"  unsettled: {_listed(unsettled) or 'nothing'}",
    ]
    if proposal["next"] is None:
        reason = "this was the last look of the plan" if unsettled else "everything is settled"
        return "\n".join([*lines, f"  stops: {reason}"])
    counts = [n for entries in proposal["next"]["seeds"].values() for n in entries.values()]
    wanted = sum(n == max(counts) for n in counts)
    more = f"{max(counts)} seeds for {wanted} variant{'s' * (wanted > 1)} of what is unsettled"
    return "\n".join([*lines, f"  stops: {pause}; make settle goes on, with {more}" if pause else f"  goes on: {more}"])


def _listed(entries: Sequence[Mapping[str, Any]]) -> str:
    """Contrasts and claims by name, with their verdicts where they have one."""
    several = len({entry["dataset"] for entry in entries}) > 1
    texts = []
    for entry in entries:
        name = entry["claim"] if "claim" in entry else f"{entry['question']}: {entry['variant']}"
        where = f" ({entry['dataset']})" if several else ""
        texts.append(f"{name}{where}{' ' + entry['verdict'] if 'verdict' in entry else ''}")
    return "; ".join(texts)
